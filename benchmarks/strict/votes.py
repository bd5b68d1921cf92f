"""What an answer is counted under where answers are compared with each other rather than with a gold: majority votes, answer keys.

This runs outside the judging processes, on text of any origin, so it reads plain numbers only; nothing here can take long.
"""

from __future__ import annotations

from fractions import Fraction

from benchmarks.strict.latex import tokenize
from benchmarks.strict.parts import trimmed
from benchmarks.strict.reading import quantity
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.values import NoValue, Unbounded, exact

LONGEST = 300
"""Characters of an answer that is read as a number."""


def joined_answer(text: str) -> Fraction | str:
    r"""The exact value of a plain number («0.5», `\\frac12`, «x = 1/2»), else the text without white space.

    Answers that are equal only by algebra stay apart.
    """
    if len(text) <= LONGEST:
        try:
            tokens = trimmed(tokenize(text))
            if all(_is_plain(token) for token in tokens):
                read = quantity(tokens, False)
                value = exact(read.trees[0]) if len(read.trees) == 1 else None
                if value is not None:
                    return value / 100 if read.unit is not None and read.unit.percent else value
        except (Unreadable, NoValue, Unbounded):
            pass
    return "".join(text.split())


_PLAIN = {"num", "run", "word", "name", "percent", "degree", "money", "rel", "vulgar"}


def _is_plain(token: Token) -> bool:
    if token.kind in ("frac", "group"):
        return all(_all_plain(argument) for argument in token.args)
    return token.kind in _PLAIN or (token.kind == "op" and token.text in "+-/")


def _all_plain(tokens: Tokens) -> bool:
    return all(_is_plain(token) for token in tokens)
