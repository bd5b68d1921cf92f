"""Made-up answers as trees, and what they are worth: evaluated with mpmath, 50 digits, at random points.

`answer_draws` draws them and changes one node, `answer_spellings` prints them.  Nothing here uses the judge's reader.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mpmath import mp, mpc, mpf

mp.dps = 50


class Node(NamedTuple):
    """One node.  Its parts are nodes, or the strings and integers that the kind has."""

    kind: str
    parts: tuple[Any, ...] = ()


class Worthless(Exception):
    """The tree has no value (a zero denominator, say)."""


def integer(value: int) -> Node:
    return Node("int", (value,)) if value >= 0 else Node("neg", (Node("int", (-value,)),))


def symbol(name: str) -> Node:
    return Node("sym", (name,))


def product(parts: tuple[Node, ...]) -> Node:
    """Factors two by two."""
    return parts[0] if len(parts) == 1 else Node("mul", (parts[0], product(parts[1:])))


def with_unit(tree: Node, unit: str = "") -> Node:
    return Node("value", (tree, unit))


# --- values


Point = Mapping[str, Any]
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"sin": mp.sin, "cos": mp.cos, "tan": mp.tan, "ln": mp.log}


def evaluate(node: Node, point: Point) -> Any:
    """The value of a tree at a point, 50 digits.  Raises Worthless."""
    try:
        value = _evaluate(node, point)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        raise Worthless(str(error)) from error
    if not mp.isinf(value) and not mp.isfinite(value):
        raise Worthless("not a number")
    return value


def _evaluate(node: Node, point: Point) -> Any:
    kind, parts = node
    inner = [_evaluate(part, point) for part in parts if isinstance(part, Node)]
    if kind == "int":
        return mpf(parts[0])
    if kind == "rat":
        return mpf(parts[0]) / parts[1]
    if kind == "dec":
        return mpf(parts[0])
    if kind == "mixed":
        return parts[0] + mpf(parts[1]) / parts[2]
    if kind in ("fact", "binom"):
        return mpf(math.factorial(parts[0]) if kind == "fact" else math.comb(*parts))
    if kind == "inf":
        return mp.inf
    if kind == "pi":
        return +mp.pi
    if kind == "i":
        return mpc(0, 1)
    if kind == "sym":
        return point[parts[0]]
    if kind == "fn":
        return _FUNCTIONS[parts[0]](inner[0])
    if kind == "log":
        return mp.log(inner[0]) / mp.log(parts[0])
    return _ARITHMETIC[kind](inner)


def _power(inner: list[Any]) -> Any:
    if abs(inner[1]) > 60:
        raise ValueError("too large")
    return mp.power(*inner)


_ARITHMETIC: dict[str, Callable[[list[Any]], Any]] = {
    "neg": lambda inner: -inner[0], "add": sum, "mul": mp.fprod, "div": lambda inner: inner[0] / inner[1], "pow": _power,
    "sqrt": lambda inner: mp.sqrt(inner[0]), "cbrt": lambda inner: mp.cbrt(inner[0]),
}  # fmt: skip


def close(a: Any, b: Any) -> bool:
    if mp.isinf(a) or mp.isinf(b):
        return bool(a == b)
    return bool(abs(a - b) <= mpf(10) ** -38 * max(1, abs(a), abs(b)))


def names(node: Node) -> set[str]:
    """The symbols of a tree."""
    if node.kind == "sym":
        return {node.parts[0]}
    return set().union(*(names(part) for part in node.parts if isinstance(part, Node)))


def points(rng: random.Random, count: int = 4) -> list[Point]:
    """Random points: the first two have positive coordinates."""
    return [{name: mpf(rng.uniform(-3 if place > 1 else 0.2, 3)) for name in "abcnrtxyz"} for place in range(count)]


# --- are two answers the same, by the policy table?


def same(gold: Node, answer: Node, policy: Mapping[str, Mapping[str, Any]], at: list[Point]) -> bool:
    """Is the answer the gold, by value at the points and by `order` and `unit` of the policy table?  Raises Worthless."""
    if gold.kind != answer.kind:
        return False
    kind = gold.kind
    if kind == "value":
        row = policy[type_of(gold)]
        (tree, unit), (other, its_unit) = gold.parts, answer.parts
        fits = unit == its_unit or (row["unit"] == "optional" and "" in (unit, its_unit))
        return fits and _same_trees(tree, other, at)
    if kind == "percent":
        return _same_trees(gold.parts[0], answer.parts[0], at)
    if kind == "money":
        return gold.parts[0] == answer.parts[0] and _same_trees(gold.parts[1], answer.parts[1], at)
    if kind == "pairs":
        found = _without_repeats(answer.parts, lambda a, b: same(a, b, policy, at))
        return _same_in_any_order(gold.parts, found, lambda a, b: same(a, b, policy, at))
    if kind in ("tuple", "list", "matrix"):
        return _same_members(gold, answer, policy[kind]["order"], at)
    if kind == "interval":
        return _pieces(gold) == _pieces(answer)
    if kind == "equation":
        return _proportional(gold, answer, at)
    return gold.parts == answer.parts  # base, choice, text


def _same_trees(a: Node, b: Node, at: list[Point]) -> bool:
    if not names(a) | names(b):
        at = at[:1]
    pairs = [(evaluate(a, point), evaluate(b, point)) for point in at]
    real = [(x, y) for x, y in pairs if not isinstance(x, mpc) and not isinstance(y, mpc)]
    return all(close(x, y) for x, y in real or pairs)


def _same_members(gold: Node, answer: Node, order: str, at: list[Point]) -> bool:
    trees, others = ([part for part in node.parts if isinstance(part, Node)] for node in (gold, answer))
    plain, its_plain = ([part for part in node.parts if not isinstance(part, Node)] for node in (gold, answer))
    if order == "free":
        others = _without_repeats(others, lambda a, b: _same_trees(a, b, at))
    if plain != its_plain or len(trees) != len(others):
        return False
    if order == "fixed":
        return all(_same_trees(a, b, at) for a, b in zip(trees, others, strict=True))
    return _same_in_any_order(trees, others, lambda a, b: _same_trees(a, b, at))


def _same_in_any_order(trees: Sequence[Node], others: Sequence[Node], agree: Callable[[Node, Node], bool]) -> bool:
    left = list(others)
    for tree in trees:
        found = next((place for place, other in enumerate(left) if agree(tree, other)), None)
        if found is None:
            return False
        del left[found]
    return not left


def _without_repeats(trees: Sequence[Node], agree: Callable[[Node, Node], bool]) -> list[Node]:
    """Drawn lists have no member twice, so a member that is said twice adds nothing."""
    kept: list[Node] = []
    for tree in trees:
        if not any(agree(tree, other) for other in kept):
            kept.append(tree)
    return kept


def _pieces(node: Node) -> list[tuple[str, str, bool, bool]]:
    """The union of the pieces as disjoint ones in order, bounds to 40 digits."""
    found: list[list[Any]] = []
    pieces = [[evaluate(low, {}), evaluate(high, {}), opening == "[", closing == "]"] for low, high, opening, closing in _of(node)]
    if any(isinstance(bound, mpc) for piece in pieces for bound in piece[:2]):
        raise Worthless("a bound that is not real")
    for low, high, first, last in sorted(pieces, key=lambda piece: (piece[0], not piece[2])):
        if low > high or (close(low, high) and not (first and last)):
            continue
        if found and (low < found[-1][1] or (close(low, found[-1][1]) and (first or found[-1][3]))):
            end = found[-1]
            end[3] = max((high, last), (end[1], end[3]))[1]
            end[1] = max(high, end[1])
        else:
            found.append([low, high, first, last])
    return [(mp.nstr(low, 40), mp.nstr(high, 40), first, last) for low, high, first, last in found]


def _of(node: Node) -> list[tuple[Any, ...]]:
    return [piece.parts for piece in node.parts]


def _proportional(gold: Node, answer: Node, at: list[Point]) -> bool:
    sides = [[evaluate(node.parts[0], point) - evaluate(node.parts[1], point) for point in at] for node in (gold, answer)]
    if all(close(value, 0) for value in sides[1]):
        return False
    return all(close(sides[0][0] * b, sides[1][0] * a) for a, b in zip(*sides, strict=True))


def type_of(answer: Node) -> str:
    """The type in the policy table that a drawn gold has."""
    if answer.kind == "value":
        tree = answer.parts[0].parts[0] if answer.parts[0].kind == "neg" else answer.parts[0]
        return {"int": "integer", "rat": "rational", "dec": "decimal", "mixed": "mixed number"}.get(tree.kind, "expression")
    return {"base": "base-n number", "pairs": "list"}.get(answer.kind, answer.kind)
