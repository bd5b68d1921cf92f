"""Ratios: `3:2`, `1 : 2 : 3`, «3 to 2», `a:b = 3:2`."""

from __future__ import annotations

from fractions import Fraction

from benchmarks.strict.equality import equal
from benchmarks.strict.expressions import Tree, parse
from benchmarks.strict.parts import cut, letters_of, members, trimmed, without_remark, without_words_before
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.values import symbols

ZERO: Tree = ("num", Fraction(0))


def ratio(tokens: Tokens) -> list[Tree] | None:
    """The terms of a ratio, none if its members differ (`1:2 = 3:2`); None for anything else."""
    try:
        tokens, beside = without_remark(trimmed(without_words_before(tokens)))
        written = tuple(Token("rel", ":") if place and _is_to(token) else token for place, token in enumerate(tokens))
        *before, last = (_terms(part) for part in cut(written, "rel", "="))
        if beside or last is None:
            return None
        differs = any(one is not None and not _has_symbols(one) and not same_ratio(one, last) for one in before)
        return [] if differs else last
    except Unreadable:
        return None


def _terms(tokens: Tokens) -> list[Tree] | None:
    parts, relations = members(tokens)
    return [parse(trimmed(part)) for part in parts] if relations and set(relations) == {":"} else None


def _has_symbols(terms: list[Tree]) -> bool:
    return any(symbols(term) for term in terms)


def _is_to(token: Token) -> bool:
    return token.kind == "word" and letters_of(token) == "to"


def same_ratio(wanted: list[Tree], found: list[Tree]) -> bool:
    """Are two ratios the same up to a common factor?"""
    place = next((place for place, term in enumerate(wanted) if not equal(term, ZERO)), None)
    if place is None or len(wanted) != len(found) or equal(found[place], ZERO):
        return False
    return all(equal(("mul", a, found[place]), ("mul", wanted[place], b)) for a, b in zip(wanted, found, strict=True))
