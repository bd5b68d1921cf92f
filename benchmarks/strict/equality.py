"""Are two expressions equal?

They are if they are the same tree, the same rational number, or agree at every point of the symbols that is tried: to 50 digits more
than the largest number on the way has before its point, and once more with 300 digits if they agree there.  Where no value can be had
in bounded time, only the same tree is equal.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

import mpmath

from benchmarks.strict.expressions import Tree
from benchmarks.strict.values import DIGITS, Evaluation, NoValue, Unbounded, exact, symbols

MORE_DIGITS = 300


POINTS = 5


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
    """The tree with sums and products in one order, for trees that have no value."""
    if tree[0] not in ("add", "mul"):
        return tuple(ordered(part) if isinstance(part, tuple) else part for part in tree)
    parts, open_ones = [], [tree]
    while open_ones:
        one = open_ones.pop()
        if one[0] == tree[0]:
            open_ones += [one[1], one[2]]
        else:
            parts.append(ordered(one))
    return (tree[0], *sorted(parts, key=repr))


def value_near(tree: Tree) -> float:
    """The value as a float, to put bounds in order.  Raises NoValue or Unbounded."""
    endless = _infinite(tree)
    if endless is not None:
        return endless * math.inf
    rational = exact(tree)
    if rational is not None:
        return float(rational) if abs(rational) < 10**300 else math.copysign(1e300, rational)
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
    """Are the values equal at a point?  None where one of them has none, or none that is real."""
    scale = 0
    for digits in (DIGITS, MORE_DIGITS):
        with mpmath.workdps(digits + scale):
            work = Evaluation(point, digits)
            try:
                left, right = work.value(a), work.value(b)
            except NoValue:
                return None
            if not complex_too and (mpmath.im(left) != 0 or mpmath.im(right) != 0):
                return None
            difference = abs(left - right)
            if difference > work.largest * mpmath.mpf(10) ** (10 - digits):
                return False
            scale = max(0, int(mpmath.mag(work.largest) * 0.302))
            if scale > 3_000:
                raise Unbounded
    return True


@lru_cache(256)
def _points(names: tuple[str, ...]) -> tuple[tuple[bool, dict[str, Fraction]], ...]:
    """Points to try: positive, negative, then whole numbers; whether each is a whole one."""
    draw = random.Random("klear " + " ".join(names))
    found: list[tuple[bool, dict[str, Fraction]]] = []
    for low, high in ((1, 30), (1, 30), (-30, -1), (31, 90), (-90, 90), (1, 9), (-9, 90), (1, 90)):
        found.append((False, {name: Fraction(draw.randint(low, high) * 101 + 7, 1009) for name in names}))
    for high in (4, 7, 12, 15, 20, 9, 11, 30):
        found.append((True, {name: Fraction(draw.randint(1, high)) for name in names}))
    return tuple(found)


def _equal_everywhere(a: Tree, b: Tree, names: list[str]) -> bool:
    seen = 0
    for whole, point in _points(tuple(names)):
        if whole and seen >= POINTS:
            break
        same = _agree(a, b, point, False)
        if same is False:
            return False
        seen += same is True
    if seen >= 3:
        return True
    seen = 0
    for _, point in _points(tuple(names)):
        same = _agree(a, b, point, True)
        if same is False:
            return False
        seen += same is True
    return seen >= 3
