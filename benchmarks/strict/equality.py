"""Are two expressions equal?

They are if they are the same tree, the same rational number, or agree at every point of the symbols that is tried: to 50 digits more
than the largest number on the way has before its point, and once more with 300 digits if they agree there.  Where no value can be had
in bounded time, only the same tree is equal.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache

import mpmath

from benchmarks.strict.expressions import Tree
from benchmarks.strict.values import DIGITS, Evaluation, NoValue, Unbounded, exact, symbols

MORE_DIGITS = 300


FEWEST_POINTS = 3
MOST_DIGITS = 6_000


def equal(a: Tree, b: Tree) -> bool:
    """Do two expressions have the same value, for every value of their symbols for which both are defined?"""
    if a == b:
        return True
    names = symbols(a) | symbols(b)
    try:
        if not names:
            return _equal_numbers(a, b)
        if not symbols(a) or not symbols(b):
            return False
        return _equal_everywhere(a, b, sorted(names))
    except (Unbounded, NoValue, OverflowError):
        if ordered(a) == ordered(b):
            return True
        return _infinite(a) is not None and _infinite(a) == _infinite(b)


@lru_cache(1024)
def ordered(tree: Tree) -> Tree:
    """The tree with sums and products in one order and what can be worked out, for trees that have no value."""
    try:
        if (value := exact(tree)) is not None:
            return ("num", value)
    except (NoValue, Unbounded):
        pass
    if tree[0] == "pow" and (primitive := _primitive_power(tree[1], tree[2])) is not None:
        return primitive
    if tree[0] not in ("add", "mul"):
        return tuple(ordered(part) if isinstance(part, tuple) else part for part in tree)
    parts, open_ones = [], [tree]
    while open_ones:
        one = open_ones.pop()
        if one[0] == tree[0]:
            open_ones += [one[1], one[2]]
        else:
            parts.append(ordered(one))
    return (tree[0], *sorted(parts, key=_sort_key))


def _primitive_power(base: Tree, exponent: Tree) -> Tree | None:
    """A power of a whole number with the smallest base (`4^{1000}` as `2^{2000}`); None for any other, or if it is that already."""
    try:
        number, power = exact(base), exact(exponent)
    except (NoValue, Unbounded):
        return None
    if number is None or power is None or number.denominator != 1 or not 1 < number < 2**64:
        return None
    for index in range(int(number).bit_length(), 1, -1):
        root = round(int(number) ** (1 / index))
        if root > 1 and root**index == number:
            return ("pow", ("num", Fraction(root)), ("num", power * index))
    return None


def _sort_key(tree: Tree) -> str:
    """Text to sort trees by; hexadecimal, since Python bounds the decimal digits that it writes."""
    parts = (_sort_key(part) if isinstance(part, tuple) else f"{part:x}" if isinstance(part, int) else _hexadecimal(part) for part in tree)
    return "(" + " ".join(parts) + ")"


def _hexadecimal(part: object) -> str:
    return f"{part.numerator:x}/{part.denominator:x}" if isinstance(part, Fraction) else str(part)


def value_near(tree: Tree) -> float:
    """The value as a float, to put bounds in order.  Raises NoValue or Unbounded."""
    endless = _infinite(tree)
    if endless is not None:
        return endless * math.inf
    rational = exact(tree)
    if rational is not None:
        return float(rational) if abs(rational) < 10**300 else (1e300 if rational > 0 else -1e300)
    value = Evaluation({}, DIGITS).value(tree)
    if mpmath.im(value) != 0:
        raise NoValue
    return float(mpmath.re(value))


def _infinite(tree: Tree) -> int | None:
    if tree == ("const", "inf"):
        return 1
    return -1 if tree == ("neg", ("const", "inf")) else None


def _equal_numbers(a: Tree, b: Tree) -> bool:
    left, right = exact(a), exact(b)
    if left is not None and right is not None:
        return left == right
    if _infinite(a) is not None or _infinite(b) is not None:
        return _infinite(a) == _infinite(b)
    return _agree(a, b, {}, True) is True


def _agree(a: Tree, b: Tree, point: Mapping[str, Fraction], complex_too: bool) -> bool | None:
    """Are the values equal at a point?  None if one of them has none there, or none that is real.

    The second look has 300 digits more than the largest number on the way has before its point, and the smallest behind it.
    """
    up = down = 0
    for digits in (DIGITS, MORE_DIGITS):
        with mpmath.workdps(digits + 2 * (up + down)):
            work = Evaluation(point, digits)
            try:
                left, right = work.value(a), work.value(b)
            except NoValue:
                return None
            if work.complex and not complex_too:
                return None
            bound = mpmath.mpf(10) ** (20 - digits - up - down) * (work.largest if digits == DIGITS else 1)
            if abs(left - right) > bound and not (work.rough and digits == DIGITS):
                return False
            up, down = (max(0, int(sign * mpmath.mag(size) * 0.302)) for sign, size in ((1, work.largest), (-1, work.smallest)))
            if up + down > MOST_DIGITS:
                raise Unbounded
    return True


def _agree_or_skip(a: Tree, b: Tree, point: Mapping[str, Fraction], complex_too: bool) -> bool | None:
    try:
        return _agree(a, b, point, complex_too)
    except Unbounded:
        return None


@lru_cache(256)
def _points(names: tuple[str, ...]) -> tuple[tuple[dict[str, Fraction], ...], tuple[dict[str, Fraction], ...]]:
    """Points to try: of any numbers, small and large, positive and negative; and of whole ones, some with many divisors."""
    draw = random.Random("klear " + " ".join(names))
    ranges = ((1, 30), (-30, -1), (31, 90), (-90, 90), (100, 500), (-500, -100), (1_000, 50_000), (-50_000, -1_000), (1, 9), (-9, 90),
              (10**8, 10**9), (-(10**9), -(10**8)))  # fmt: skip
    real = tuple({name: Fraction(draw.randint(low, high) * 101 + 7, 1009) for name in names} for low, high in ranges)
    small = tuple({name: Fraction(draw.randint(1, high)) for name in names} for high in (4, 7, 12, 15, 20, 9, 11, 30, 60, 200))
    large = tuple(
        {name: Fraction(draw.randint(1, 50) * step) for name in names}
        for step in (9_699_690, 2_646_000, 667 * 31 * 37, 4_391_633, 10**6 + 3)
    )
    return real, small + large


COUNTERS = frozenset("nmkijlpqrNMK")
"""Symbols that stand for whole numbers when nothing else is said."""
_OF_WHOLE_NUMBERS = {"floor", "ceil", "factorial", "double factorial", "binom", "gcd", "lcm"}


def _counts(tree: Tree) -> bool:
    """Does a tree hold a function that is meant for whole numbers?"""
    if tree[0] in ("sum", "prod") or (tree[0] == "fn" and tree[1] in _OF_WHOLE_NUMBERS):
        return True
    return any(_counts(part) for part in tree[1:] if isinstance(part, tuple))


def _equal_everywhere(a: Tree, b: Tree, names: list[str]) -> bool:
    real, whole = _points(tuple(names))
    if set(names) <= COUNTERS and (_counts(a) or _counts(b)):
        return _equal_at(a, b, whole, False)
    seen = [_agree_or_skip(a, b, point, False) for point in real]
    if False in seen or _differ_at_steps(a, b, (*whole, *_steps(tuple(names)))):
        return False
    if seen.count(True) >= FEWEST_POINTS:
        return True
    return _equal_at(a, b, whole, False) or _equal_at(a, b, real, True)


@lru_cache(256)
def _steps(names: tuple[str, ...]) -> tuple[dict[str, Fraction], ...]:
    """Points where floors jump: whole and half numbers of both signs."""
    draw = random.Random("steps " + " ".join(names))
    return tuple({name: Fraction(draw.randint(-40, 40), half) for name in names} for half in (1, 1, 1, 1, 2, 2, 2, 2))


def _differ_at_steps(a: Tree, b: Tree, points: Iterable[Mapping[str, Fraction]]) -> bool:
    return (_counts(a) or _counts(b)) and any(_agree_or_skip(a, b, point, False) is False for point in points)


def _equal_at(a: Tree, b: Tree, points: Iterable[Mapping[str, Fraction]], complex_too: bool) -> bool:
    """Do they agree wherever both have a value, at enough points?"""
    seen = [_agree_or_skip(a, b, point, complex_too) for point in points]
    return False not in seen and seen.count(True) >= FEWEST_POINTS
