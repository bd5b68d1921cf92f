r"""Formulas that the project's own reader does not know, by math-verify: integrals, limits, sums to infinity, unusual commands.

math-verify gets the whole text of an answer in a box, as it stands.  It is asked only where the text holds such a formula and
nothing that math-verify is known to read around (words, bounds, several values): it would answer with the part that it understood.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Float, Rational, nan, zoo
from sympy.core.relational import Relational
from sympy.sets import Set

from benchmarks.judges import SYMPY_ERRORS
from benchmarks.strict.latex import tokenize
from benchmarks.strict.tokens import Token, Tokens, Unreadable

_BOX_ONLY = (LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False),)
"""Parse the box as a whole; math-verify would otherwise fall back to any number inside an unreadable one."""
KNOWN_TO_IT = {"int", "iint", "oint", "lim", "partial", "mathrm", "bigcup", "bigcap", "infty"}


def same_by_library(answer: str, gold: str) -> bool:
    """Are two formulas equal for math-verify, where at least one of them is for it to read?"""
    try:
        tokens = [tokenize(text) for text in (answer, gold)]
    except Unreadable:
        return False
    if not any(_is_for_it(side) for side in tokens) or any(_is_more(side) for side in tokens):
        return False
    target = _parsed(gold)
    given = _parsed(answer)
    return bool(target and given) and _same_parsed(target, given)


def _flat(tokens: Tokens) -> list[Token]:
    found = []
    for token in tokens:
        found.append(token)
        for argument in token.args:
            found += _flat(argument)
    return found


def _is_for_it(tokens: Tokens) -> bool:
    flat = _flat(tokens)
    endless = any(token.kind == "sum" for token in flat) and any(token.kind == "name" and token.text == "infty" for token in flat)
    return endless or any(token.kind == "unknown" and token.text in KNOWN_TO_IT for token in flat)


def _is_more(tokens: Tokens) -> bool:
    """Words, relations, separators, matrices, plus-minus: what math-verify must not be asked to read around."""
    return any(
        token.kind in ("word", "sep", "matrix", "rows", "remark", "dots", "percent", "degree", "money")
        or (token.kind == "op" and token.text in "±∓∪\\")
        or (token.kind == "rel" and token.text not in ("=", "→"))
        or (token.kind == "unknown" and token.text not in KNOWN_TO_IT)
        for token in _flat(tokens)
    )  # fmt: skip


@lru_cache(1024)
def _parsed(text: str) -> list[Any]:
    return list(parse(f"\\boxed{{{text}}}", extraction_config=_BOX_ONLY, parsing_timeout=None))


def _same_parsed(target: list[Any], given: list[Any]) -> bool:
    a, b = target[0], given[0]
    try:
        if _is_number(a) and _is_number(b):
            same = same_number(a, b)
            if same is not None:
                return same
        return bool(verify(target, given, timeout_seconds=None))
    except SYMPY_ERRORS:
        return False


def _is_number(value: object) -> bool:
    if not isinstance(value, Basic) or isinstance(value, Set | Relational):
        return False
    return not value.free_symbols and value.is_number is True and value not in (nan, zoo)


def same_number(a: Any, b: Any) -> bool | None:
    """Are two closed SymPy expressions equal, to 50 digits relative?  None when they have no finite value.

    math-verify rounds decimals to 6 places and compares tiny numbers as equal; here decimals are exact rationals.
    """
    a, b = _with_exact_decimals(a).doit(), _with_exact_decimals(b).doit()
    if a == b:
        return True
    if a.is_Rational and b.is_Rational:
        return False
    left, right = a.evalf(60), b.evalf(60)
    if not (left.is_number and right.is_number and left.is_finite and right.is_finite):
        return None
    size = max(abs(left), abs(right))
    return bool(abs(left - right) <= size * Rational(1, 10**50)) if size else True


def _with_exact_decimals(value: Any) -> Any:
    return value.replace(lambda part: isinstance(part, Float), lambda part: Rational(str(part)))
