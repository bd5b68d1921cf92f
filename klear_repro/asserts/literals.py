"""Values of expressions that are written out, such as `[1, -2]`, `10**9 + 7` or `float("inf")`, without running anything.

Python's `ast.literal_eval` knows no powers and no `float("inf")`, which tests are full of.  All sizes are bounded, so a
hostile text costs no more than its length.
"""

from __future__ import annotations

import ast
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

MOST_BITS = 4096
MOST_MADE = 1_000_000
"""Items and characters that names, repetitions, sums and ranges of one text may stand for together."""
MOST_COLLISIONS = 250_000
DEEPEST = 60

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv, ast.Mod: operator.mod,
}  # fmt: skip
_CONSTANTS = {"inf": math.inf, "nan": math.nan, "pi": math.pi, "e": math.e}
_MAKERS: dict[str, Callable[..., Any]] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}


class NotLiteral(Exception):
    """The expression is not written out, or its value is too large."""


class Literals:
    """Reads the expressions of one text; `names` are those that stand for a value.

    What is not written out in full (names, repetitions, sums, ranges) is counted before it is made.
    """

    def __init__(self) -> None:
        self._made = 0

    def value(self, node: ast.expr, names: Mapping[str, Any], depth: int = 0) -> Any:
        """The value. Raises NotLiteral."""
        if depth > DEEPEST:
            raise NotLiteral("nested too deeply")
        try:
            return self._value(node, names, depth + 1)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise NotLiteral(str(error)) from None

    def _value(self, node: ast.expr, names: Mapping[str, Any], depth: int) -> Any:
        match node:
            case ast.Constant(value=value) if value is not Ellipsis:
                return value
            case ast.Name(id=name) if name in names:
                return self._counted(names[name])
            case ast.List(elts=items):
                return [self.value(item, names, depth) for item in items]
            case ast.Tuple(elts=items):
                return tuple([self.value(item, names, depth) for item in items])
            case ast.Set(elts=items):
                return set(_spread([self.value(item, names, depth) for item in items]))
            case ast.Dict(keys=keys, values=values):
                known = _spread([self._key(key, names, depth) for key in keys])
                return dict(zip(known, [self.value(item, names, depth) for item in values], strict=True))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand, names, depth)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return +self.value(operand, names, depth)
            case ast.BinOp(left=left, op=op, right=right):
                return self._arithmetic(op, self.value(left, names, depth), self.value(right, names, depth))
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if name in _CONSTANTS:
                return _CONSTANTS[name]
            case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]) if len(text) < 30:
                return float(text)
            case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]):
                return self._counted(range(*[self.value(arg, names, depth) for arg in args]))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _MAKERS and len(args) <= 1:
                given = [self._counted(self.value(arg, names, depth)) for arg in args]
                return _MAKERS[name](*(given if name in ("list", "tuple", "dict") else map(_spread, given)))
        raise NotLiteral(type(node).__name__)

    def _key(self, key: ast.expr | None, names: Mapping[str, Any], depth: int) -> Any:
        if key is None:
            raise NotLiteral("**")
        return self.value(key, names, depth)

    def _counted(self, value: Any, times: int = 1) -> Any:
        self._made += times * size(value)
        if self._made > MOST_MADE:
            raise NotLiteral("too large")
        return value

    def _arithmetic(self, op: ast.operator, left: Any, right: Any) -> Any:
        sequences = [one for one in (left, right) if isinstance(one, (str, bytes, list, tuple))]
        if sequences:
            return self._sequence(op, left, right, sequences[0])
        if not all(isinstance(one, (int, float, complex)) for one in (left, right)):
            raise NotLiteral(type(left).__name__)
        whole = isinstance(left, int) and isinstance(right, int)
        if whole and max(left.bit_length(), right.bit_length()) > MOST_BITS:
            raise NotLiteral("too large")
        if isinstance(op, ast.Pow):
            if whole and right >= 0 and (left.bit_length() or 1) * (right + 1) > MOST_BITS:
                raise NotLiteral("too large")
            return left**right
        if type(op) not in _ARITHMETIC:
            raise NotLiteral(type(op).__name__)
        return _ARITHMETIC[type(op)](left, right)

    def _sequence(self, op: ast.operator, left: Any, right: Any, sequence: Any) -> Any:
        if isinstance(op, ast.Mult):
            times = right if sequence is left else left
            if not isinstance(times, int):
                raise NotLiteral("repetition")
            self._counted(sequence, max(times, 0))
            return left * right
        if not isinstance(op, ast.Add):  # not %, which formats
            raise NotLiteral(type(op).__name__)
        self._counted(left)
        self._counted(right)
        return left + right


def size(value: Any) -> int:
    """Items and characters of a value, those inside it too."""
    if isinstance(value, (str, bytes, range)):
        return 1 + len(value)
    if isinstance(value, dict):
        return 1 + sum(size(key) + size(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return 1 + sum(map(size, value))
    return 1


def _spread(keys: Any) -> Any:
    """The keys, unless they were chosen to collide: a table of those takes quadratic time to build."""
    if isinstance(keys, (list, tuple)) and len(keys) > 64 and sum(n * n for n in Counter(map(hash, keys)).values()) > MOST_COLLISIONS + 64 * len(keys):
        raise NotLiteral("keys collide")
    return keys
