"""Are two quantities the same?  The policy for units, percentages, angles and bases."""

from __future__ import annotations

from fractions import Fraction

from benchmarks.strict.equality import equal
from benchmarks.strict.expressions import Tree
from benchmarks.strict.reading import Quantity
from benchmarks.strict.units import same_kind
from benchmarks.strict.values import exact

_ONE_DEGREE: Tree = ("div", ("const", "pi"), ("num", Fraction(180)))
"""In radians."""
_DEGREE, _RADIAN = (("degree", 1),), (("radian", 1),)


def same_quantity(wanted: Quantity, found: Quantity) -> bool:
    """Is a quantity of an answer the gold's?  Two values that a ± stands for may come in either order.

    Raises:
        NoValue: a percentage has no value.
        Unbounded: it would take too long to compute.
    """
    if wanted.label is not None and ((found.label is not None and wanted.label != found.label) or not found.named):
        return False
    if len(wanted.trees) != len(found.trees):
        return False
    if len(wanted.trees) == 2:
        a, b = found.trees
        return any(
            _same_one(wanted, wanted.trees[0], found, x) and _same_one(wanted, wanted.trees[1], found, y) for x, y in ((a, b), (b, a))
        )
    return _same_one(wanted, wanted.trees[0], found, found.trees[0])


def _same_one(wanted: Quantity, a: Tree, found: Quantity, b: Tree) -> bool:
    """Is `b` with the unit of the answer `a` with the unit of the gold?"""
    gold_unit, unit = wanted.unit, found.unit
    if gold_unit is not None and gold_unit.kinds and unit is not None and unit.percent:
        return False  # 36 % is no sum of money
    if gold_unit is not None and gold_unit.percent and unit is not None and unit.kinds and not unit.percent:
        return False
    if (gold_unit and gold_unit.percent) or (unit and unit.percent):
        return _same_percent(bool(gold_unit and gold_unit.percent), a, bool(unit and unit.percent), b)
    if gold_unit is not None and unit is not None and gold_unit.kinds and unit.kinds:
        if not same_kind(gold_unit, unit):
            return _same_angle(gold_unit.kinds, a, unit.kinds, b)
        return equal(_times(a, gold_unit.size), _times(b, unit.size)) if gold_unit.size != unit.size else equal(a, b)
    if unit is not None and unit.kinds == _DEGREE and gold_unit is None and _has_pi(b):
        return False
    if equal(a, b):
        return True
    if unit is not None and unit.kinds == _DEGREE and gold_unit is None:
        return equal(a, ("mul", b, _ONE_DEGREE))
    return gold_unit is not None and gold_unit.kinds == _DEGREE and unit is None and _has_pi(b) and equal(("mul", a, _ONE_DEGREE), b)


def _same_angle(gold: object, a: Tree, unit: object, b: Tree) -> bool:
    """An angle in degrees on one side and in radians on the other."""
    if gold == _DEGREE and unit == _RADIAN:
        return equal(("mul", a, _ONE_DEGREE), b)
    return gold == _RADIAN and unit == _DEGREE and equal(a, ("mul", b, _ONE_DEGREE))


def _has_pi(tree: Tree) -> bool:
    return tree == ("const", "pi") or any(_has_pi(part) for part in tree if isinstance(part, tuple))


def _times(tree: Tree, factor: Fraction) -> Tree:
    return tree if factor == 1 else ("mul", tree, ("num", factor))


def _same_percent(gold_percent: bool, a: Tree, percent: bool, b: Tree) -> bool:
    """Equal values, where at least one side is a percentage.  For a gold of 50 % also 50 and 0.5 are right."""
    hundredth = Fraction(1, 100)
    if gold_percent and percent:
        return equal(a, b)
    if gold_percent:
        return equal(a, b) or equal(_times(a, hundredth), b)
    if equal(a, _times(b, hundredth)):
        return True
    value = exact(a)  # 10 % for 10, but not 0.5 % for 0.5, nor 1.25 % for 1.25
    return value is not None and abs(value) >= (1 if value.denominator == 1 else 2) and equal(a, b)
