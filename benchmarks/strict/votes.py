"""The key under which equal answers are counted when there is no gold: in majority votes and answer keys.

This runs outside the judging processes, on text of any origin.  So it reads plain numbers only, and nothing here can take long.
"""

from __future__ import annotations

from fractions import Fraction

from benchmarks.strict.latex import tokenize
from benchmarks.strict.parts import trimmed
from benchmarks.strict.reading import quantity
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.values import NoValue, Unbounded, exact

_LONGEST = 300
"""A longer text is not read as a number (characters)."""


def joined_answer(text: str) -> Fraction | str:
    r"""The exact value of a plain number («0.5», `\\frac12`, «x = 1/2»), else the text without white space.

    Answers that are equal only by algebra stay apart.
    """
    if len(text) <= _LONGEST:
        try:
            tokens = trimmed(tokenize(text))
            if _all_plain(tokens):
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
