"""Equations and inequalities in several symbols: the same up to a constant factor."""

from __future__ import annotations

from fractions import Fraction

from benchmarks.strict.domains import renamed
from benchmarks.strict.equality import equal
from benchmarks.strict.expressions import Tree, parse
from benchmarks.strict.gold import Gold
from benchmarks.strict.parts import enclosed, members, symbol_of, trimmed, without_words
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.values import substituted, symbols

_ORIENTED = {"<": ("<", 1), "≤": ("≤", 1), ">": ("<", -1), "≥": ("≤", -1), "=": ("=", 1), "≠": ("≠", 1)}
"""Each relation as one that points left, and the sign of the difference."""


def same_relation(given: Tokens, gold: Gold) -> bool:
    """Is an answer the inequality of the gold, up to a positive factor?

    Raises:
        Unreadable: one of them is not a single relation.
    """
    wanted, found = (_difference(tokens, "<≤≠>≥") for tokens in (gold.tokens, given))
    return wanted[1] == found[1] and _proportional(wanted[0], found[0], wanted[1] != "≠")


def same_equation(given: Tokens, gold: Gold) -> bool:
    """Does an answer state the gold's equation, up to a constant factor?  The other side alone is enough for `y = …`.

    Raises:
        Unreadable: it is no equation.
    """
    given = without_words(_as_equation(given, gold.tokens))
    wanted, _ = _difference(gold.tokens, "=")
    sides, relations = members(given)
    if not relations:
        name, value = _defined(gold.tokens)
        return name is not None and value is not None and equal(value, parse(trimmed(given)))
    if len(relations) > 1 and relations == ["="] * len(relations):
        if not all(equal(_side(side), _side(sides[-1])) for side in sides[1:-1]):
            raise Unreadable("members that differ")
        given = (*sides[0], Token("rel", "="), *sides[-1])
    found, _ = _difference(given, "=")
    return _proportional(wanted, found, False)


def _as_equation(given: Tokens, gold: Tokens) -> Tokens:
    r"""`f(x) = 2x` of `f(x) \equiv 2x`, of `f: x \mapsto 2x`, and of `f(t) = 2t` where the gold says x."""
    given = tuple(Token("rel", "=") if token == Token("rel", "≡", spaced=token.spaced) else token for token in given)
    sides, relations = members(given)
    if relations == [":", "→"] and symbol_of(sides[0]) and symbol_of(sides[1]):
        given = (*trimmed(sides[0]), Token("open", "("), *trimmed(sides[1]), Token("close", ")"), Token("rel", "="), *sides[2])
    named, wanted = _argument(given), _argument(gold)
    if named is None or wanted is None or named[0] != wanted[0] or named[1] in (wanted[1], "e", "i"):
        return given
    if renamed(given, wanted[1], "") != given:
        return given  # the name is taken
    return renamed(given, named[1], wanted[1])


def _argument(tokens: Tokens) -> tuple[str, str] | None:
    """The names of a function and its argument where an equation begins with `f(x) =`; None for any other."""
    sides, relations = members(tokens)
    first = trimmed(sides[0])
    if relations != ["="] or len(first) != 4 or enclosed(first[1:]) != "()":
        return None
    name, argument = symbol_of(first[:1]), symbol_of(first[2:3])
    return None if name is None or argument is None else (name, argument)


def _defined(tokens: Tokens) -> tuple[str | None, Tree | None]:
    """The symbol and the expression of `y = 2x + 3`; two Nones if neither side is a symbol that the other lacks."""
    sides, _ = members(tokens)
    if len(sides) != 2:
        return None, None
    for one, other in (sides, sides[::-1]):
        name = symbol_of(one)
        if name is not None:
            value = parse(trimmed(other))
            if name not in symbols(value):
                return name, value
    return None, None


def _difference(tokens: Tokens, allowed: str) -> tuple[Tree, str]:
    """The smaller side minus the larger one, and the relation."""
    sides, relations = members(tokens)
    if len(relations) != 1 or relations[0] not in allowed:
        raise Unreadable("not one relation")
    left, right = (_side(side) for side in sides)
    relation, sign = _ORIENTED[relations[0]]
    return (("add", left, ("neg", right)) if sign > 0 else ("add", right, ("neg", left))), relation


def _side(tokens: Tokens) -> Tree:
    """One side of an equation; `f(x)` is a symbol there, not a product."""
    tokens = trimmed(tokens)
    name = symbol_of(tokens)
    argument = symbol_of(tokens[-2:-1])
    if name is not None and name.endswith("()") and argument is not None and len(tokens) < 6:
        return ("sym", f"{name} of {argument}")
    return parse(tokens)


def _proportional(a: Tree, b: Tree, positive: bool) -> bool:
    """Is one tree the other times a constant that is not zero (with `positive`, that is positive)?"""
    names = symbols(a)
    if names != symbols(b) or not names:
        return False
    for shift in (0, 5, 9):
        point = {name: Fraction(7 + 3 * place + shift, 5 + place) for place, name in enumerate(sorted(names))}
        at_a, at_b = substituted(a, point), substituted(b, point)
        if equal(at_a, ("num", Fraction(0))) or equal(at_b, ("num", Fraction(0))):
            continue
        if positive and not equal(("fn", "sgn", at_a), ("fn", "sgn", at_b)):
            return False
        return equal(("mul", a, at_b), ("mul", b, at_a))
    return False
