"""Made-up answers as trees: drawn at random, printed in many spellings, changed by one token, evaluated with mpmath.

Nothing here uses the judge's reader.  A spelling is printed from the tree, and the tree says what it is worth.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
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
        others = _without_repeats(others, at)
    if plain != its_plain or len(trees) != len(others):
        return False
    if order == "fixed":
        return all(_same_trees(a, b, at) for a, b in zip(trees, others, strict=True))
    left = list(others)
    for tree in trees:
        found = next((place for place, other in enumerate(left) if _same_trees(tree, other, at)), None)
        if found is None:
            return False
        del left[found]
    return True


def _without_repeats(trees: list[Node], at: list[Point]) -> list[Node]:
    """Drawn lists have no member twice, so a member that is said twice adds nothing."""
    kept: list[Node] = []
    for tree in trees:
        if not any(_same_trees(tree, other, at) for other in kept):
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
    return "base-n number" if answer.kind == "base" else answer.kind


# --- drawing


UNITS = {
    "cm": (r"\text{ cm}", r"\,\mathrm{cm}", r"\text{ centimeters}", " cm", r"~\text{cm}"),
    "m": (r"\text{ meters}", r"\text{ m}", r"\text{ metres}"),
    "cm^2": (r"\text{ cm}^2", r"\text{ square centimeters}", r"\,\mathrm{cm}^2", r"\mbox{ cm}^2"),
    "degree": (r"^\circ", r"^{\circ}", "°", r"\text{ degrees}", r"^\circ{}"),
    "hour": (r"\text{ hours}", r"\text{ h}", r"\,\mathrm{hr}"),
    "minute": (r"\text{ minutes}", r"\text{ min}"),
    "apple": (r"\text{ apples}",),
    "dollar": (r"\text{ dollars}",),
}
"""Unit → its spellings, the plain one first."""
WORDS = ("even", "odd", "east", "west", "ellipse", "parabola", "hyperbola", "Evelyn", "Navin", "yes", "increasing", "decreasing")


def draw(rng: random.Random) -> Node:
    """An answer of a random type."""
    kind = rng.choice(list(_DRAWN))
    return _DRAWN[kind](rng)


def _signed(rng: random.Random, tree: Node) -> Node:
    return Node("neg", (tree,)) if rng.random() < 0.3 else tree


def _int(rng: random.Random, low: int = 1) -> Node:
    return Node("int", (rng.randint(low, rng.choice([9, 99, 999, 99_999])),))


def _rational(rng: random.Random) -> Node:
    while True:
        top, bottom = rng.randint(1, rng.choice([9, 99, 999])), rng.randint(2, rng.choice([9, 99, 2017]))
        if math.gcd(top, bottom) == 1:
            return Node("rat", (top, bottom))


def _decimal(rng: random.Random) -> Node:
    return Node("dec", (f"{rng.randint(0, rng.choice([0, 9, 999]))}.{rng.randint(0, 99):02d}{rng.randint(1, 9)}"[: rng.choice([9, 9, 99])],))


def _mixed(rng: random.Random) -> Node:
    bottom = rng.randint(2, 19)
    top = rng.choice([top for top in range(1, bottom) if math.gcd(top, bottom) == 1])
    return Node("mixed", (rng.randint(1, 40), top, bottom))


def _root(rng: random.Random) -> Node:
    return Node("sqrt", (integer(rng.choice([2, 3, 5, 6, 7, 10, 11, 13, 15, 17, 19, 21, 23, 37, 113])),))


def _surd(rng: random.Random) -> Node:
    root = Node("mul", (integer(rng.randint(2, 14)), _root(rng))) if rng.random() < 0.6 else _root(rng)
    whole = Node("add", (integer(rng.randint(1, 20)), _signed(rng, root))) if rng.random() < 0.5 else root
    return Node("div", (whole, integer(rng.randint(2, 25)))) if rng.random() < 0.4 else whole


def _closed(rng: random.Random) -> Node:
    """A number that is not rational, or not written as one."""
    shape = rng.randrange(9)
    small = rng.randint(2, 9)
    if shape < 3:
        return _surd(rng)
    if shape == 3:
        return Node("mul", (_rational(rng) if rng.random() < 0.5 else integer(small), Node("pi")))
    if shape == 4:
        return Node("add", (integer(small), _signed(rng, Node("div", (integer(rng.randint(1, 9)), Node("pi"))))))
    if shape == 5:
        angle = Node("div", (Node("pi"), integer(rng.choice([5, 7, 8, 9, 12, 26]))))
        return Node("mul", (integer(small), Node("fn", (rng.choice(["sin", "cos", "tan"]), angle))))
    if shape == 6:
        log = Node("fn", ("ln", integer(rng.choice([2, 3, 5, 7])))) if rng.random() < 0.5 else Node("log", (rng.choice([2, 3, 10]), integer(rng.choice([5, 6, 7]))))
        return Node("mul", (integer(small), log)) if rng.random() < 0.5 else log
    if shape == 7:
        binomial = Node("binom", (rng.randint(6, 30), rng.randint(2, 5)))
        return Node("add", (binomial, _signed(rng, _root(rng))))
    return Node("mul", (Node("cbrt", (integer(rng.choice([2, 3, 5, 7])),)), Node("pow", (integer(small), integer(rng.randint(2, 9))))))


def _product(rng: random.Random) -> Node:
    """An integer written as a product of powers and factorials."""
    power = Node("pow", (integer(rng.randint(2, 12)), integer(rng.randint(2, 30))))
    return Node("mul", (power, Node("fact", (rng.randint(4, 26),)))) if rng.random() < 0.5 else power


def _polynomial(rng: random.Random) -> Node:
    letters = rng.choice(["x", "n", "t", "xy", "ab"])
    terms = []
    for degree in range(rng.randint(1, 3), -1, -1):
        if rng.random() < 0.25 and terms:
            continue
        factor, base = rng.randint(1, 14), symbol(letters[degree % len(letters)])
        power = Node("pow", (base, integer(degree))) if degree > 1 else base
        terms.append(_signed(rng, integer(factor) if degree == 0 else power if factor == 1 else Node("mul", (integer(factor), power))))
    return terms[0] if len(terms) == 1 else Node("add", tuple(terms))


def _formula(rng: random.Random) -> Node:
    shape, letter = rng.randrange(5), symbol(rng.choice("xnar"))
    if shape < 2:
        return _polynomial(rng)
    linear = Node("add", (letter, _signed(rng, integer(rng.randint(1, 9)))))
    if shape == 2:
        return Node("div", (linear if rng.random() < 0.5 else integer(1), Node("add", (Node("pow", (letter, integer(2))), integer(rng.randint(1, 9))))))
    if shape == 3:
        return Node("mul", (linear, Node("add", (letter, integer(rng.randint(10, 19))))))
    return Node("mul", (integer(rng.randint(2, 9)), Node("mul", (Node("pi"), letter))))


def _scalar(rng: random.Random) -> Node:
    shape = rng.randrange(6)
    if shape < 3:
        return integer(rng.randint(-30, 60))
    return _signed(rng, _rational(rng)) if shape < 5 else _signed(rng, _surd(rng))


def _distinct(rng: random.Random, count: int) -> tuple[Node, ...]:
    found: list[Node] = []
    while len(found) < count:
        tree = _scalar(rng)
        if not any(close(evaluate(tree, {}), evaluate(other, {})) for other in found):
            found.append(tree)
    return tuple(found)


def _interval(rng: random.Random) -> Node:
    bounds = sorted(_distinct(rng, rng.choice([2, 4])), key=lambda tree: evaluate(tree, {}))
    pieces = []
    for low, high in zip(bounds[::2], bounds[1::2], strict=True):
        opening, closing = rng.choice(["[)", "(]", "[]", "()"])
        pieces.append(Node("piece", (low, high, opening, closing)))
    if rng.random() < 0.3:
        pieces[0] = Node("piece", (Node("neg", (Node("inf"),)), *pieces[0].parts[1:2], "(", pieces[0].parts[3]))
    elif rng.random() < 0.3:
        pieces[-1] = Node("piece", (pieces[-1].parts[0], Node("inf"), pieces[-1].parts[2], ")"))
    if len(pieces) == 1 and pieces[0].parts[2:] == ("(", ")"):  # (a, b) is a tuple
        pieces = [pieces[0]._replace(parts=(*pieces[0].parts[:2], "[", ")"))] if pieces[0].parts[0].kind != "neg" else pieces
        if pieces[0].parts[0].kind == "neg":
            pieces = [Node("piece", (integer(rng.randint(-90, -40)), pieces[0].parts[1], "(", "]"))]
            if pieces[0].parts[1].kind == "inf":
                pieces = [Node("piece", (integer(1), integer(rng.randint(2, 30)), "(", "]"))]
    return Node("interval", tuple(pieces))


def _equation(rng: random.Random) -> Node:
    shape, x, y = rng.randrange(4), symbol("x"), symbol("y")
    if shape == 0:
        return Node("equation", (y, Node("add", (Node("mul", (integer(rng.randint(2, 9)), x)), _signed(rng, integer(rng.randint(1, 20)))))))
    if shape == 1:
        left = Node("add", (Node("mul", (integer(rng.randint(2, 9)), x)), _signed(rng, Node("mul", (integer(rng.randint(2, 9)), y)))))
        return Node("equation", (left, integer(rng.randint(1, 30))))
    squares = [Node("pow", (Node("add", (one, _signed(rng, integer(rng.randint(1, 9))))), integer(2))) for one in (x, y)]
    if shape == 2:
        return Node("equation", (Node("add", tuple(squares)), integer(rng.randint(2, 40))))
    return Node("equation", (Node("pow", (x, integer(2))), Node("mul", (integer(rng.randint(2, 9)), y))))


def _matrix(rng: random.Random) -> Node:
    rows, columns = rng.choice([(2, 1), (3, 1), (2, 2), (2, 3), (3, 3)])
    return Node("matrix", (rows, columns, *(_scalar(rng) if rng.random() < 0.4 else integer(rng.randint(-9, 20)) for _ in range(rows * columns))))


def _base(rng: random.Random) -> Node:
    base = rng.choice([2, 3, 5, 6, 7, 8, 9])
    return Node("base", (str(rng.randint(1, base - 1)) + "".join(str(rng.randrange(base)) for _ in range(rng.randint(1, 6))), base))


def _measured(rng: random.Random, tree: Node) -> Node:
    return with_unit(_signed(rng, tree), "")if rng.random() < 0.6 else with_unit(tree, rng.choice([unit for unit in UNITS if unit != "dollar"]))


_DRAWN: dict[str, Callable[[random.Random], Node]] = {
    "integer": lambda rng: _measured(rng, _int(rng)),
    "product": lambda rng: with_unit(_product(rng)),
    "rational": lambda rng: _measured(rng, _rational(rng)),
    "decimal": lambda rng: _measured(rng, _decimal(rng)),
    "mixed number": lambda rng: _measured(rng, _mixed(rng)),
    "percent": lambda rng: Node("percent", (_int(rng) if rng.random() < 0.5 else _decimal(rng),)),
    "money": lambda rng: Node("money", (rng.choice(["$", "$", "€", "£"]), Node("dec", (f"{rng.randint(1, 999)}.{rng.randint(0, 99):02d}",)))),
    "closed": lambda rng: _measured(rng, _closed(rng)),
    "closed, no unit": lambda rng: with_unit(_signed(rng, _closed(rng))),
    "formula": lambda rng: with_unit(_formula(rng)),
    "polynomial": lambda rng: with_unit(_polynomial(rng)),
    "tuple": lambda rng: Node("tuple", ("(", *(_scalar(rng) for _ in range(rng.randint(2, 4))))),
    "list": lambda rng: Node("list", _distinct(rng, rng.randint(2, 4))),
    "interval": _interval,
    "equation": _equation,
    "matrix": _matrix,
    "base": _base,
    "choice": lambda rng: Node("choice", (rng.choice("ABCDE"),)),
    "text": lambda rng: Node("text", (rng.choice(WORDS),)),
}  # fmt: skip


# --- changing one token


def near_miss(rng: random.Random, answer: Node) -> Node:
    """The answer with one node changed."""
    while True:
        path, node = rng.choice(list(_walk(answer)))
        found = _changes(rng, node)
        if found:
            return _replaced(answer, path, rng.choice(found))


def _walk(node: Node, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Node]]:
    yield path, node
    for place, part in enumerate(node.parts):
        if isinstance(part, Node):
            yield from _walk(part, (*path, place))


def _replaced(node: Node, path: tuple[int, ...], new: Node) -> Node:
    if not path:
        return new
    place = path[0]
    return node._replace(parts=(*node.parts[:place], _replaced(node.parts[place], path[1:], new), *node.parts[place + 1 :]))


def other_digit(rng: random.Random, digits: str) -> str:
    """The text with one digit changed, the first not to 0."""
    place = rng.choice([place for place, letter in enumerate(digits) if letter.isdigit()])
    lowest = "1" if place == 0 and len(digits) > 1 else "0"
    return digits[:place] + rng.choice([digit for digit in "0123456789" if digit >= lowest and digit != digits[place]]) + digits[place + 1 :]


def _changes(rng: random.Random, node: Node) -> list[Node]:
    kind, parts = node
    found: list[Node] = []
    if kind == "int":
        text = str(parts[0])
        changed = [int(other_digit(rng, text)), parts[0] + 1, abs(parts[0] - 1)]
        changed += [int(text[::-1]), parts[0] * 10] if len(text) < 5 else [int(text[:-1])]
        found = [Node("int", (value,)) for value in changed if value != parts[0]]
    elif kind == "rat":
        top, bottom = parts
        found = [Node("rat", pair) for pair in ((int(other_digit(rng, str(top))), bottom), (top, int(other_digit(rng, str(bottom)))), (bottom, top), (top + 1, bottom))]
        found = [one for one in found if one.parts[1] > 1]
    elif kind == "dec":
        whole, _, digits = parts[0].partition(".")
        found = [Node("dec", (other_digit(rng, parts[0]),)), Node("dec", (f"{whole}{digits[0]}.{digits[1:] or 0}".lstrip("0") if whole != "0" else f"0.0{digits}",))]
        if len(digits) > 1:
            found.append(Node("dec", (parts[0][:-1],)))
        found = [one for one in found if one.parts[0][0] != "."]
    elif kind == "mixed":
        whole, top, bottom = parts
        found = [Node("mixed", (int(other_digit(rng, str(whole))), top, bottom)), Node("mixed", (whole, top, bottom + 1)), Node("mul", (integer(whole), Node("rat", (top, bottom))))]
        found = [one for one in found if one.parts[0]]
    elif kind in ("sqrt", "cbrt"):
        found = [parts[0], Node("cbrt" if kind == "sqrt" else "sqrt", parts)]
    elif kind == "pow":
        found = [Node("mul", parts), parts[0]]
        if not names(node):
            found.append(Node("pow", parts[::-1]))
    elif kind == "fact":
        found = [Node("fact", (parts[0] + 1,)), integer(parts[0])]
    elif kind == "binom":
        found = [Node("binom", (parts[0] + 1, parts[1])), Node("binom", (parts[0], parts[1] + 1)), Node("rat", parts)]
    elif kind == "fn":
        found = [Node("fn", (name, parts[1])) for name in ("sin", "cos", "tan") if name != parts[0]] if parts[0] != "ln" else [Node("log", (10, parts[1])), parts[1]]
    elif kind == "log":
        found = [Node("log", (parts[0] + 1, parts[1])), Node("fn", ("ln", parts[1]))]
    elif kind == "pi":
        found = [integer(3), integer(1), symbol("x")]
    elif kind == "sym":
        found = [symbol(name) for name in "xyzabnt" if name != parts[0]]
    elif kind == "add":
        place = rng.randrange(len(parts))
        part = parts[place]
        flipped = part.parts[0] if part.kind == "neg" else Node("neg", (part,))
        found = [_replaced(node, (place,), flipped), Node("add", parts[:place] + parts[place + 1 :]) if len(parts) > 2 else parts[place], product(parts)]
    elif kind == "mul":
        found = [Node("add", parts), Node("div", parts), parts[0], parts[1]]
    elif kind == "div":
        found = [Node("div", parts[::-1]), Node("mul", parts), parts[0]]
    elif kind == "neg":
        found = [] if parts[0].kind == "inf" else [parts[0]]
    else:
        return _answer_changes(rng, node)
    if kind not in ("neg", "inf") and rng.random() < 0.25:
        found.append(Node("neg", (node,)))
    return found


def _answer_changes(rng: random.Random, node: Node) -> list[Node]:
    kind, parts = node
    if kind == "value" and parts[1]:
        return [with_unit(parts[0], unit) for unit in UNITS if unit != parts[1]]
    if kind == "money":
        return [Node("money", (sign, parts[1])) for sign in "$€£" if sign != parts[0]]
    if kind in ("tuple", "list", "matrix"):
        start = {"tuple": 1, "list": 0, "matrix": 2}[kind]
        members = list(parts[start:])
        a, b = rng.sample(range(len(members)), 2)
        swapped = list(members)
        swapped[a], swapped[b] = members[b], members[a]
        found = [Node(kind, (*parts[:start], *swapped))]
        if kind != "matrix":
            found += [Node(kind, (*parts[:start], *members, members[a])), Node(kind, (*parts[:start], *members, integer(0)))]
            found += [Node(kind, (*parts[:start], *members[:a], *members[a + 1 :]))] if len(members) > 2 else []
        elif parts[0] == parts[1]:
            found.append(Node(kind, (*parts[:2], *(members[row * parts[1] + column] for column in range(parts[1]) for row in range(parts[0])))))
        return found + ([Node(kind, (bracket, *members)) for bracket in "[{"] if kind == "tuple" else [])
    if kind == "piece":
        low, high, opening, closing = parts
        found = [] if low.kind == "neg" and low.parts[0].kind == "inf" else [Node(kind, (low, high, "(" if opening == "[" else "[", closing))]
        return found if high.kind == "inf" else [*found, Node(kind, (low, high, opening, ")" if closing == "]" else "]"))]
    if kind == "interval":
        return [Node(kind, parts[1:]), Node(kind, parts[:1])] if len(parts) > 1 else []
    if kind == "base":
        digits = rng.choice([other_digit(rng, parts[0]), parts[0] + "1", parts[0][::-1]])
        valid = digits[0] != "0" and all(int(digit) < parts[1] for digit in digits)
        return [Node(kind, (digits if valid else parts[0], parts[1] + (0 if valid and rng.random() < 0.7 else 1)))]
    if kind == "choice":
        return [Node(kind, (letter,)) for letter in "ABCDE" if letter != parts[0]]
    if kind == "text":
        return [Node(kind, (word,)) for word in (*WORDS, f"not {parts[0]}", f"{parts[0]} or {WORDS[0]}") if word != parts[0]]
    return []


def drawn_misses(rng: random.Random, gold: Node, count: int, policy: Mapping[str, Mapping[str, Any]], at: list[Point]) -> list[tuple[Node, bool]]:
    """Near misses of a gold that have a value, and whether each is still the gold."""
    found: list[tuple[Node, bool]] = []
    while len(found) < count:
        answer = near_miss(rng, gold)
        try:
            found.append((answer, same(gold, answer, policy, at)))
        except Worthless:
            continue
    return found


# --- printing


SUM, SLASH, PRODUCT, POWER, ATOM = range(5)
"""How strongly a printed tree holds together.  A weaker one gets brackets."""
_SUPERSCRIPTS = {2: "²", 3: "³"}


class Speller:
    """Prints trees.  Without a random generator it prints the usual spelling."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self.rng = rng

    def choose(self, *options: Any) -> Any:
        return options[0] if self.rng is None else self.rng.choice(options)

    def chance(self, share: float) -> bool:
        return self.rng is not None and self.rng.random() < share

    def space(self) -> str:
        return self.choose("", "", " ", " ", r"\,", r"\;", r"\ ")

    def bracketed(self, text: str) -> str:
        opening, closing = self.choose("()", (r"\left(", r"\right)"), (r"\bigl(", r"\bigr)"), "()")
        return f"{opening}{self.space()}{text}{self.space()}{closing}"

    def at(self, node: Node, level: int) -> str:
        text, found = self.tree(node)
        return text if found >= level else self.bracketed(text)

    def tree(self, node: Node) -> tuple[str, int]:
        """The text of a tree, and how strongly it holds together."""
        return getattr(self, f"_{node.kind}")(*node.parts)  # type: ignore[no-any-return]

    def _int(self, value: int) -> tuple[str, int]:
        return str(value), ATOM

    def _inf(self) -> tuple[str, int]:
        return r"\infty", ATOM

    def _pi(self) -> tuple[str, int]:
        return self.choose(r"\pi", "π", r"{\pi}"), ATOM

    def _sym(self, name: str) -> tuple[str, int]:
        return name, ATOM

    def _rat(self, top: int, bottom: int) -> tuple[str, int]:
        factor = self.choose(1, 1, 1, 3, 10)
        return self._fraction(str(top * factor), str(bottom * factor))

    def _fraction(self, top: str, bottom: str) -> tuple[str, int]:
        form = self.choose("frac", "frac", "dfrac", "tfrac", "over", "slash", "div", "short", "brackets")
        if form == "short" and len(top) == len(bottom) == 1:
            return rf"\frac{top}{bottom}" if top.isdigit() else rf"\frac {top}{bottom}", POWER
        if form == "over":
            return rf"{{{top} \over {bottom}}}", POWER
        if form in ("slash", "div", "brackets"):
            plain = top.isdigit() and bottom.isdigit()
            sign = "/" if form != "div" else r" \div "
            if plain and form != "brackets":
                return f"{top}{sign}{bottom}", SLASH
            return f"({top}){sign}({bottom})", SLASH
        form = form if form != "short" else "frac"
        return rf"\{form}{{{top}}}{{{bottom}}}", POWER

    def _dec(self, text: str) -> tuple[str, int]:
        whole, _, digits = text.partition(".")
        if self.chance(0.15):
            return self._fraction(str(int(whole + digits)), str(10 ** len(digits)))
        return self.choose(text, text, text + "0", text[1:] if whole == "0" else text), ATOM

    def _mixed(self, whole: int, top: int, bottom: int) -> tuple[str, int]:
        form = self.choose("frac", "dfrac", "over", "plus", "improper", "spaced")
        if form == "plus":
            return rf"{whole} + \frac{{{top}}}{{{bottom}}}", SUM
        if form == "improper":
            return self._fraction(str(whole * bottom + top), str(bottom))
        if form == "spaced":
            return f"{whole} {top}/{bottom}", SLASH
        if form == "over":
            return rf"{whole}{{{top} \over {bottom}}}", PRODUCT
        return rf"{whole}{self.choose('', ' ', chr(92) + ',')}\{form}{{{top}}}{{{bottom}}}", PRODUCT

    def _sqrt(self, inner: Node) -> tuple[str, int]:
        text, level = self.tree(inner)
        form = self.choose("braces", "braces", "short", "sign", "half", "index")
        if form == "half":
            return f"{self.at(inner, ATOM)}^{{{self.choose('1/2', chr(92) + 'frac{1}{2}', chr(92) + 'frac12', '0.5')}}}", POWER
        if form == "index":
            return rf"\sqrt[2]{{{text}}}", ATOM
        if form == "sign":
            return f"√{text}" if text.isdigit() else f"√({text})", POWER
        if form == "short" and len(text) == 1 and level == ATOM:
            return rf"\sqrt {text}" if text.isalpha() else rf"\sqrt{text}", POWER
        return rf"\sqrt{{{text}}}", ATOM

    def _cbrt(self, inner: Node) -> tuple[str, int]:
        if self.chance(0.3):
            return f"{self.at(inner, ATOM)}^{{{self.choose('1/3', chr(92) + 'frac{1}{3}')}}}", POWER
        return rf"\sqrt[3]{{{self.tree(inner)[0]}}}", ATOM

    def _pow(self, base: Node, exponent: Node) -> tuple[str, int]:
        number = exponent.parts[0] if exponent.kind == "int" else None
        if number in (2, 3) and self.chance(0.15):
            text = self.at(base, ATOM)
            return rf" \cdot ".join([text] * number), PRODUCT  # noqa: F541
        if number in (2, 3) and base.kind in ("sym", "int") and self.chance(0.2):
            return f"{self.at(base, ATOM)}{_SUPERSCRIPTS[number]}", POWER
        if number is not None and number < 10 and self.choose(True, False):
            return f"{self.at(base, ATOM)}^{number}", POWER
        return f"{self.at(base, ATOM)}^{{{self.space()}{self.tree(exponent)[0]}}}", POWER

    def _fact(self, number: int) -> tuple[str, int]:
        return self.choose((f"{number}!", POWER), (f"{number}!", POWER), (rf"{number} \cdot {number - 1}!", PRODUCT), (f"({number})!", POWER))  # type: ignore[no-any-return]

    def _binom(self, top: int, bottom: int) -> tuple[str, int]:
        form = self.choose("binom", "dbinom", "choose", "factorials", "value")
        if form == "value":
            return str(math.comb(top, bottom)), ATOM
        if form == "choose":
            return rf"{{{top} \choose {bottom}}}", POWER
        if form == "factorials" and bottom <= top:
            return rf"\frac{{{top}!}}{{{bottom}! \cdot {top - bottom}!}}", POWER
        return rf"\{'dbinom' if form == 'dbinom' else 'binom'}{{{top}}}{{{bottom}}}", POWER

    def _fn(self, name: str, argument: Node) -> tuple[str, int]:
        if name != "ln" and argument.kind == "div" and argument.parts[0] == Node("pi") and argument.parts[1].kind == "int" and self.chance(0.2):
            divisor = argument.parts[1].parts[0]
            if divisor and 180 % divisor == 0:
                return rf"\{name} {180 // divisor}{self.choose('^' + chr(92) + 'circ', '^{' + chr(92) + 'circ}', '°')}", SLASH
        return self._applied(rf"\{name}", argument)

    def _applied(self, head: str, argument: Node) -> tuple[str, int]:
        text, level = self.tree(argument)
        if level >= POWER and self.choose(True, False):
            return f"{head} {text}", SLASH
        return f"{head}{self.bracketed(text)}", POWER

    def _log(self, base: int, argument: Node) -> tuple[str, int]:
        if self.chance(0.3):
            return rf"\frac{{\ln {self.bracketed(self.tree(argument)[0])}}}{{\ln {base}}}", POWER
        return self._applied(rf"\log_{{{base}}}" if base > 9 or self.choose(True, False) else rf"\log_{base}", argument)

    def _neg(self, inner: Node) -> tuple[str, int]:
        return f"{self.choose('-', '-', '−')}{self.at(inner, SLASH)}", SUM

    def _add(self, *parts: Node) -> tuple[str, int]:
        order = list(parts)
        if self.rng is not None:
            self.rng.shuffle(order)
        text = ""
        for place, part in enumerate(order):
            minus = part.kind == "neg"
            term = self.at(part.parts[0] if minus else part, SLASH)
            sign = self.choose("-", "-", "−") if minus else "+" if place else ""
            text += f"{self.space() if place else ''}{sign}{self.space() if place else ''}{term}"
        return text, SUM

    def _mul(self, a: Node, b: Node) -> tuple[str, int]:
        if self.chance(0.3):
            a, b = b, a
        left, right = self.at(a, PRODUCT), self.at(b, PRODUCT)
        sign = self.choose("", "", r" \cdot ", r" \times ", "*", "·", "×")
        if not sign:
            before, after = left.rstrip(), right.lstrip(" ")
            if after[0].isdigit() or (before[-1].isdigit() and after.startswith((r"\frac", r"\dfrac", r"\tfrac", "{"))) or before[-1] in "!}" and after[0] == "{":
                sign = r" \cdot "
            elif (before[-1].isalpha() and after[0].isalpha()) or after.startswith((r"\sin", r"\cos", r"\tan", r"\ln", r"\log")):
                sign = " "
        return f"{left}{sign}{right}", PRODUCT

    def _div(self, top: Node, bottom: Node) -> tuple[str, int]:
        if self.chance(0.15):
            return rf"\frac{{1}}{{{self.tree(bottom)[0]}}} \cdot {self.at(top, PRODUCT)}", PRODUCT
        return self._fraction(self.tree(top)[0], self.tree(bottom)[0])

    # answers as a whole

    def answer(self, node: Node, loose: bool = True) -> str:
        """The text of an answer.  `loose`: also in ways that only the gold explains, such as `28` for `28\\%`."""
        text: str = getattr(self, f"_answer_{node.kind}")(loose, *node.parts)
        return text if self.rng is None else self._wrapped(node, text)

    def _wrapped(self, node: Node, text: str) -> str:
        kind = node.kind
        forms = [text] * 6 + [f"{{{text}}}", f" {text} ", rf"\displaystyle {text}", f"${text}$", rf"{{\color{{blue}} {text}}}", rf"\color{{red}}{{{text}}}", rf"\boxed{{{text}}}"]
        if kind in ("choice", "text"):
            forms = [text]
        if kind == "value" and not names(node):
            forms += [rf"\left({text}\right)", f"x = {text}", f"N={text}"]
            forms += [rf"\mathbf{{{text}}}", rf"\text{{{text}}}", f"{text}."] if text.isdigit() else []
        if kind == "value" and names(node) == {"x"}:
            forms += [f"f(x) = {text}"]
        return self.choose(*forms)  # type: ignore[no-any-return]

    def _number(self, tree: Node) -> str:
        """A number that stands alone: thousands may be set apart."""
        if tree.kind == "int" and self.rng is not None:
            value = tree.parts[0]
            return self.choose(str(value), str(value), f"{value:,}", f"{value:,}".replace(",", "{,}"), f"{value:,}".replace(",", r",\!"), f"{value}.0", f"{value:,}".replace(",", r"\,"))  # type: ignore[no-any-return]
        if tree.kind == "neg" and tree.parts[0].kind == "int":
            return self.choose("-", "−") + self._number(tree.parts[0])  # type: ignore[no-any-return]
        return self.tree(tree)[0]

    def _answer_value(self, loose: bool, tree: Node, unit: str) -> str:
        if not unit:
            return self._number(tree)
        if loose and self.chance(0.2):
            return self._number(tree)
        text, level = self.tree(tree)
        return (text if level >= PRODUCT or tree.kind == "neg" and tree.parts[0].kind in ("int", "dec", "rat") else self.bracketed(text)) + self.choose(*UNITS[unit])

    def _answer_percent(self, loose: bool, tree: Node) -> str:
        text, level = self.tree(tree)
        text = text if level == ATOM else self.bracketed(text)
        return text + (self.choose(r"\%", r"\,\%", r" \%", r"\text{ percent}", "") if loose else self.choose(r"\%", r"\text{ percent}"))

    def _answer_money(self, loose: bool, sign: str, tree: Node) -> str:
        text, level = self.tree(tree)
        text = text if level == ATOM else self.bracketed(text)
        if loose and self.chance(0.2):
            return text
        if sign == "$" and self.choose(False, False, True):
            return text + r"\text{ dollars}"
        return ("\\$" if sign == "$" else sign) + text

    def _answer_tuple(self, loose: bool, bracket: str, *members: Node) -> str:
        texts = [self.tree(member)[0] for member in members]
        inside = f",{self.space()}".join(texts)
        if bracket == "[":
            return f"[{inside}]"
        if bracket == "{":
            return rf"\{{{inside}\}}"
        form = self.choose("round", "round", "left", "angle", "column", "labelled", "labels", "bmatrix")
        letters = "xyzt"[: len(members)]
        if form == "left":
            return rf"\left({inside}\right)"
        if form == "angle":
            return rf"\langle {inside} \rangle"
        if form in ("column", "bmatrix"):
            name = "pmatrix" if form == "column" else "bmatrix"
            return rf"\begin{{{name}}} " + r" \\ ".join(texts) + rf" \end{{{name}}}"
        if form == "labelled" and len(members) <= 4:
            return f"({', '.join(letters)}) = ({inside})"
        if form == "labels" and 1 < len(members) <= 4:
            return ", ".join(f"{letter} = {text}" for letter, text in zip(letters, texts, strict=True))
        return f"({inside})"

    def _answer_list(self, loose: bool, *members: Node) -> str:
        order = list(members)
        if self.rng is not None:
            self.rng.shuffle(order)
        texts = [self.tree(member)[0] for member in order]
        form = self.choose("commas", "commas", "braces", "and", "or", "label", "semicolons", "set")
        if form == "braces":
            return rf"\{{{', '.join(texts)}\}}"
        if form == "set":
            return rf"x \in \left\{{{', '.join(texts)}\right\}}"
        if form == "and":
            return ", ".join(texts[:-1]) + rf" \text{{ and }} {texts[-1]}"
        if form == "or":
            return r" \text{ or } ".join(f"x = {text}" for text in texts)
        if form == "label":
            return "x = " + ", ".join(texts)
        return f"{';' if form == 'semicolons' else ','}{self.choose(' ', self.space())}".join(texts)

    def _answer_interval(self, loose: bool, *pieces: Node) -> str:
        order = list(pieces)
        if self.rng is not None:
            self.rng.shuffle(order)
        if self.chance(0.3):
            return r" \text{ or } ".join(self._inequality(*piece.parts) for piece in order)
        texts = []
        for piece in order:
            low, high, opening, closing = piece.parts
            left, right = self.choose(("", ""), (r"\left", r"\right"))
            texts.append(f"{left}{opening}{self.tree(low)[0]},{self.space()}{self.tree(high)[0]}{right}{closing}")
        return self.choose("", "", r"x \in ") + self.choose(r" \cup ", "∪").join(texts)  # type: ignore[no-any-return]

    def _inequality(self, low: Node, high: Node, opening: str, closing: str) -> str:
        below = {"[": self.choose(r" \le ", r" \leq ", "≤"), "(": self.choose(" < ", r" \lt ")}[opening]
        above = {"]": self.choose(r" \le ", r" \leqslant ", "≤"), ")": " < "}[closing]
        if low.kind == "neg" and low.parts[0].kind == "inf":
            return f"x{above}{self.tree(high)[0]}"
        if high.kind == "inf":
            return f"x{'>' if opening == '(' else self.choose(chr(92) + 'ge ', '≥')}{self.tree(low)[0]}"
        return f"{self.tree(low)[0]}{below}x{above}{self.tree(high)[0]}"

    def _answer_equation(self, loose: bool, left: Node, right: Node) -> str:
        form = self.choose("plain", "plain", "swapped", "scaled", "moved", "alone")
        if form == "swapped":
            left, right = right, left
        elif form == "scaled":
            factor = integer(self.choose(2, -1, 5))
            left, right = Node("mul", (factor, left)), Node("mul", (factor, right))
        elif form == "moved":
            left, right = Node("add", (left, Node("neg", (right,)))), integer(0)
        elif form == "alone" and loose and left.kind == "sym" and left.parts[0] not in names(right):
            return self.tree(right)[0]
        return f"{self.tree(left)[0]}{self.space()}={self.space()}{self.tree(right)[0]}"

    def _answer_matrix(self, loose: bool, rows: int, columns: int, *entries: Node) -> str:
        form = self.choose("pmatrix", "pmatrix", "bmatrix", "array", "factor", "left")
        factor = ""
        if form == "factor":
            factor, entries = r"\frac{1}{2}", tuple(Node("mul", (integer(2), entry)) for entry in entries)
        body = r" \\ ".join(" & ".join(self.tree(entry)[0] for entry in entries[row * columns : (row + 1) * columns]) for row in range(rows))
        if form in ("array", "left"):
            name, arguments = ("array", "{" + "c" * columns + "}") if form == "array" else ("matrix", "")
            return rf"\left( \begin{{{name}}}{arguments} {body} \end{{{name}}} \right)"
        name = form if form != "factor" else "pmatrix"
        return rf"{factor}\begin{{{name}}} {body} \end{{{name}}}"

    def _answer_base(self, loose: bool, digits: str, base: int) -> str:
        forms = [f"{digits}_{base}", f"{digits}_{{{base}}}", f"{digits}_{{({base})}}", rf"{digits}_{{\text{{{_NAMES[base]}}}}}", rf"{digits} \text{{ base }} {base}"]
        return self.choose(*forms, *([digits] if loose else []))  # type: ignore[no-any-return]

    def _answer_choice(self, loose: bool, letter: str) -> str:
        return self.choose(rf"\text{{({letter})}}", letter, f"({letter})", rf"\textbf{{({letter})}}", rf"\mathrm{{{letter}}}", f"{letter}.", rf"\text{{{letter}}}")  # type: ignore[no-any-return]

    def _answer_text(self, loose: bool, words: str) -> str:
        if self.rng is None:
            return rf"\text{{{words}}}"
        words = self.choose(words, words, words.capitalize(), words.upper())
        return self.choose(rf"\text{{{words}}}", rf"\textbf{{{words}}}", rf"\mathrm{{{words.replace(' ', '~')}}}", words, rf"\text{{{words}.}}", rf"\text{{The answer is {words}}}", rf"\mbox{{{words}}}")  # type: ignore[no-any-return]


_NAMES = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}
