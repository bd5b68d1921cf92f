"""Values of expression trees: exactly where all is rational, else with mpmath to as many digits as are asked for.

Powers, factorials and sums that no value can be computed for in bounded time raise Unbounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath

from benchmarks.strict.expressions import Tree

LARGEST_BITS = 200_000


LONGEST_SUM = 3_000


LARGEST_FACTORIAL = 20_000


DIGITS = 60


class Unbounded(ArithmeticError):
    """A value too large, or one that would take too long."""


class NoValue(ArithmeticError):
    """No finite value here."""


@lru_cache(4096)
def symbols(tree: Tree) -> frozenset[str]:
    """Names of the free symbols."""
    if tree[0] == "sym":
        return frozenset([tree[1]])
    if tree[0] in ("sum", "prod"):
        inside = symbols(tree[4]) - {tree[1]}
        return inside | symbols(tree[2]) | symbols(tree[3])
    found: frozenset[str] = frozenset()
    for part in tree[1:]:
        if isinstance(part, tuple):
            found |= symbols(part)
    return found


@lru_cache(4096)
def exact(tree: Tree) -> Fraction | None:
    """The rational value of a tree without symbols, roots and constants; None if it has none that is found this way.

    Raises:
        NoValue: division by zero.
        Unbounded: more than LARGEST_BITS bits.
    """
    kind = tree[0]
    if kind == "num":
        return tree[1]  # type: ignore[no-any-return]
    if kind in ("sym", "const"):
        return None
    if kind in ("sum", "prod"):
        return _exact_series(tree)
    values = [exact(part) for part in tree[1:] if isinstance(part, tuple)]
    if any(value is None for value in values):
        return None
    numbers = [value for value in values if value is not None]
    if kind == "fn":
        return _exact_function(tree[1], numbers)
    return _checked(_exact_operation(kind, numbers))


def _exact_operation(kind: str, numbers: list[Fraction]) -> Fraction | None:
    if kind == "neg":
        return -numbers[0]
    a, b = numbers
    if kind == "add":
        return a + b
    if kind == "mul":
        return a * b
    if kind == "div":
        if not b:
            raise NoValue
        return a / b
    return _exact_power(a, b)


def _checked(value: Fraction | None) -> Fraction | None:
    if value is not None and value.numerator.bit_length() + value.denominator.bit_length() > LARGEST_BITS:
        raise Unbounded
    return value


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1:
        if base < 0 or exponent.denominator > 64:
            return None
        root = _exact_root(base, exponent.denominator)
        return None if root is None else _exact_power(root, Fraction(exponent.numerator))
    if not base and exponent < 0:
        raise NoValue
    if abs(base) in (0, 1):
        return base ** (int(exponent) % 2 or (2 if exponent else 0))
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * bits > LARGEST_BITS:
        raise Unbounded
    return Fraction(base ** int(exponent))


def _exact_root(base: Fraction, index: int) -> Fraction | None:
    top, bottom = (_integer_root(number, index) for number in (base.numerator, base.denominator))
    return None if top is None or bottom is None else Fraction(top, bottom)


def _integer_root(number: int, index: int) -> int | None:
    if number < 0 or number.bit_length() > 4_000:
        return None
    if index == 2:
        root = math.isqrt(number)
    else:
        low, high = 0, 1 << (number.bit_length() // index + 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if middle**index <= number else (low, middle - 1)
        root = low
    return root if root**index == number else None


def _exact_function(name: str, numbers: list[Fraction]) -> Fraction | None:
    first = numbers[0]
    integers = all(number.denominator == 1 for number in numbers)
    if name == "factorial":
        return Fraction(math.factorial(_small(first))) if integers and first >= 0 else None
    if name == "double factorial":
        return Fraction(math.prod(range(_small(first), 0, -2))) if integers and first >= 0 else None
    if name == "binom":
        if not integers or numbers[1] < 0:
            return None
        top, bottom = int(first), int(numbers[1])
        if top < 0 or top > LARGEST_FACTORIAL or bottom > LARGEST_FACTORIAL:
            raise Unbounded
        return _checked(Fraction(math.comb(top, bottom)))
    if name in ("abs", "floor", "ceil", "sgn"):
        return {
            "abs": abs(first), "floor": Fraction(math.floor(first)), "ceil": Fraction(math.ceil(first)),
            "sgn": Fraction((first > 0) - (first < 0)),
        }[name]  # fmt: skip
    if name in ("max", "min"):
        return max(numbers) if name == "max" else min(numbers)
    if name in ("gcd", "lcm") and integers:
        return Fraction((math.gcd if name == "gcd" else math.lcm)(*map(int, numbers)))
    if name == "root" and first >= 0 and numbers[1].denominator == 1 and 2 <= numbers[1] <= 64:
        return _exact_root(first, int(numbers[1]))
    if name == "ln" and first == 1:
        return Fraction(0)
    return None


def _small(number: Fraction) -> int:
    if number > LARGEST_FACTORIAL:
        raise Unbounded
    return int(number)


def _exact_series(tree: Tree) -> Fraction | None:
    _, variable, low, high, body = tree
    first, last = exact(low), exact(high) if high != ("const", "inf") else None
    if first is None or last is None or first.denominator != 1 or last.denominator != 1:
        return None
    if last - first > LONGEST_SUM:
        raise Unbounded
    total = Fraction(tree[0] == "prod")
    for index in range(int(first), int(last) + 1):
        value = exact(_put(body, variable, ("num", Fraction(index))))
        if value is None:
            return None
        total = total * value if tree[0] == "prod" else total + value
        _checked(total)
    return total


def _put(tree: Tree, name: str, value: Tree) -> Tree:
    if tree == ("sym", name):
        return value
    return tuple(_put(part, name, value) if isinstance(part, tuple) else part for part in tree)


def substituted(tree: Tree, point: Mapping[str, Fraction]) -> Tree:
    """The tree with numbers for its symbols."""
    for name, value in point.items():
        tree = _put(tree, name, ("num", value))
    return tree


class Evaluation:
    """Value of trees at one point with a number of digits; remembers the largest and the smallest number on the way."""

    def __init__(self, point: Mapping[str, Fraction], digits: int) -> None:
        self.point, self.digits = point, digits
        self.largest: Any = mpmath.mpf(1)
        self.smallest: Any = mpmath.mpf(1)
        self.steps = 0
        self.rough = False
        """Was a number rounded that is whole as far as these digits show?"""
        self.complex = False
        """Was a number on the way not real?"""

    def value(self, tree: Tree) -> Any:
        """Real or complex value of `tree`.  Raises NoValue or Unbounded."""
        self.steps += 1
        if self.steps > 20_000:
            raise Unbounded
        result = self._value(tree)
        if not mpmath.isfinite(result):
            raise NoValue
        self.complex = self.complex or mpmath.im(result) != 0
        size = abs(result)
        if tree[0] not in ("add", "neg", "sym"):  # a sum may be rounding noise
            self.note(size)
        if size > self.largest:
            self.largest = size
            if mpmath.mag(size) > LARGEST_BITS:
                raise Unbounded
        return result

    def note(self, size: Any) -> None:
        """Remember a size that digits must reach down to."""
        if 0 < size < self.smallest:
            self.smallest = size

    def _value(self, tree: Tree) -> Any:
        kind = tree[0]
        if kind == "num":
            return mpmath.mpf(tree[1].numerator) / tree[1].denominator
        if kind == "sym":
            value = self.point[tree[1]]
            return mpmath.mpf(value.numerator) / value.denominator
        if kind == "const":
            return self._constant(tree[1])
        if kind in ("sum", "prod"):
            return self._series(tree)
        if kind == "fn":
            return self._function(tree[1], [self.value(part) for part in tree[2:]])
        if kind == "neg":
            return -self.value(tree[1])
        if kind == "pow":
            return self._power(tree)
        a, b = self.value(tree[1]), self.value(tree[2])
        if kind == "add":
            return a + b
        if kind == "mul":
            return a * b
        if b == 0:
            raise NoValue
        return a / b

    def _constant(self, name: str) -> Any:
        if name == "inf":
            raise NoValue
        return {"pi": +mpmath.pi, "e": +mpmath.e, "i": mpmath.mpc(0, 1)}[name]

    def _power(self, tree: Tree) -> Any:
        base, exponent = self.value(tree[1]), self.value(tree[2])
        if base == 0:
            if mpmath.re(exponent) <= 0 and exponent != 0:
                raise NoValue
            return mpmath.mpf(1) if exponent == 0 else mpmath.mpf(0)
        if abs(exponent) * abs(mpmath.mag(base) or 1) > LARGEST_BITS:
            raise Unbounded
        if mpmath.im(exponent) == 0 and exponent == mpmath.floor(mpmath.re(exponent)):
            return base ** int(mpmath.re(exponent))
        if mpmath.im(base) == 0 and mpmath.re(base) < 0:
            rational = exact(tree[2])
            if rational is not None and rational.denominator % 2 == 1:  # the real root, as authors mean it
                size = mpmath.power(-base, exponent)
                return size if rational.numerator % 2 == 0 else -size
        return mpmath.power(base, exponent)

    def _series(self, tree: Tree) -> Any:
        kind, variable, low, high, body = tree
        first = self.value(low)
        if high == ("const", "inf"):
            raise Unbounded
        last = self.value(high)
        if first != mpmath.floor(mpmath.re(first)) or last != mpmath.floor(mpmath.re(last)):
            raise NoValue
        if last - first > LONGEST_SUM:
            raise Unbounded
        total = mpmath.mpf(kind == "prod")
        for index in range(int(mpmath.re(first)), int(mpmath.re(last)) + 1):
            value = self.value(_put(body, variable, ("num", Fraction(index))))
            total = total * value if kind == "prod" else total + value
        return total

    def _function(self, name: str, numbers: list[Any]) -> Any:
        first = numbers[0]
        if name in ("floor", "ceil"):
            return self._whole(name, first)
        if name == "root":
            return self._root(first, numbers[1])
        if name in ("max", "min", "gcd", "lcm", "binom", "factorial", "double factorial"):
            return self._several(name, numbers)
        if name == "ln" and first == 0:
            raise NoValue
        if name == "abs":
            return abs(first)
        if name == "sgn":
            return mpmath.sign(first)
        if name == "deg":
            return first * 180 / mpmath.pi
        known = FUNCTION_VALUES.get(name)
        if known is None:
            raise Unbounded
        if abs(first) > 10**30:
            raise Unbounded
        if name in ("tanh", "coth"):
            self.note(mpmath.exp(-2 * abs(first)))  # how far the value is from 1
        try:
            return known(first)
        except (ValueError, ZeroDivisionError) as error:
            raise NoValue from error

    def _whole(self, name: str, first: Any) -> Any:
        if mpmath.im(first) != 0:
            raise NoValue
        nearest = mpmath.nint(first)
        if abs(first - nearest) < self.largest * mpmath.mpf(10) ** (20 - mpmath.mp.dps):
            self.rough = self.rough or first != nearest
            return nearest
        return mpmath.floor(first) if name == "floor" else mpmath.ceil(first)

    def _root(self, first: Any, index: Any) -> Any:
        if mpmath.im(index) != 0 or index == 0:
            raise NoValue
        whole = int(index) if index == mpmath.floor(index) and abs(index) < 1_000 else None
        if whole is not None and whole % 2 and mpmath.im(first) == 0 and first < 0:
            return -mpmath.power(-first, 1 / mpmath.mpf(whole))
        return mpmath.power(first, 1 / index) if first != 0 else mpmath.mpf(0)

    def _several(self, name: str, numbers: list[Any]) -> Any:
        if any(mpmath.im(number) != 0 for number in numbers):
            raise NoValue
        numbers = [mpmath.re(number) for number in numbers]
        if name in ("max", "min"):
            return max(numbers) if name == "max" else min(numbers)
        if name in ("gcd", "lcm"):
            if any(number != mpmath.nint(number) for number in numbers):
                raise NoValue
            return mpmath.mpf((math.gcd if name == "gcd" else math.lcm)(*(int(number) for number in numbers)))
        if max(abs(number) for number in numbers) > LARGEST_FACTORIAL:
            raise Unbounded
        if name == "double factorial":
            if numbers[0] != mpmath.nint(numbers[0]) or numbers[0] < -1:
                raise NoValue
            return mpmath.fac2(numbers[0])
        try:
            return mpmath.factorial(numbers[0]) if name == "factorial" else mpmath.binomial(*numbers)
        except ValueError as error:  # a pole of the gamma function
            raise NoValue from error


FUNCTION_VALUES: dict[str, Callable[[Any], Any]] = {
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "cot": mpmath.cot, "sec": mpmath.sec, "csc": mpmath.csc,
    "asin": mpmath.asin, "acos": mpmath.acos, "atan": mpmath.atan, "acot": mpmath.acot, "sinh": mpmath.sinh, "cosh": mpmath.cosh,
    "tanh": mpmath.tanh, "coth": mpmath.coth, "asinh": mpmath.asinh, "acosh": mpmath.acosh, "atanh": mpmath.atanh, "ln": mpmath.ln,
    "asec": mpmath.asec, "acsc": mpmath.acsc, "Re": mpmath.re, "Im": mpmath.im, "arg": mpmath.arg,
}  # fmt: skip
