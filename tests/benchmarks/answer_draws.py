"""Random answers of every type as trees, and near misses of them: one node changed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from answer_spellings import UNITS
from answer_trees import Node, Point, Worthless, close, evaluate, integer, names, product, same, symbol, with_unit

WORDS = (
    "even", "odd", "east", "west", "ellipse", "parabola", "hyperbola", "Evelyn", "Navin", "yes", "increasing", "decreasing")


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
    return Node("dec", (f"{rng.randint(0, rng.choice([0, 9, 999]))}.{rng.randint(0, rng.choice([9, 999]))}{rng.randint(1, 9)}",))


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
        natural = Node("fn", ("ln", integer(rng.choice([2, 3, 5, 7]))))
        log = natural if rng.random() < 0.5 else Node("log", (rng.choice([2, 3, 10]), integer(rng.choice([5, 6, 7]))))
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
        square = Node("add", (Node("pow", (letter, integer(2))), integer(rng.randint(1, 9))))
        return Node("div", (linear if rng.random() < 0.5 else integer(1), square))
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
    cells = (_scalar(rng) if rng.random() < 0.4 else integer(rng.randint(-9, 20)) for _ in range(rows * columns))
    return Node("matrix", (rows, columns, *cells))


def _base(rng: random.Random) -> Node:
    base = rng.choice([2, 3, 5, 6, 7, 8, 9])
    return Node("base", (str(rng.randint(1, base - 1)) + "".join(str(rng.randrange(base)) for _ in range(rng.randint(1, 6))), base))


def _measured(rng: random.Random, tree: Node) -> Node:
    if rng.random() < 0.6:
        return with_unit(_signed(rng, tree))
    return with_unit(tree, rng.choice([unit for unit in UNITS if unit != "dollar"]))


def _money(rng: random.Random) -> Node:
    return Node("money", (rng.choice("$$€£"), Node("dec", (f"{rng.randint(1, 999)}.{rng.randint(0, 99):02d}",))))


def _complex(rng: random.Random) -> Node:
    imaginary = Node("mul", (integer(rng.randint(2, 300)), Node("i"))) if rng.random() < 0.8 else Node("i")
    return with_unit(Node("add", (integer(rng.randint(-40, 40)), _signed(rng, imaginary))))


def _tuple(rng: random.Random, length: int) -> Node:
    return Node("tuple", ("(", *(_scalar(rng) for _ in range(length))))


def _pairs(rng: random.Random) -> Node:
    low, length = rng.randint(1, 9), rng.choice([2, 2, 3])
    firsts = range(low, low + rng.randint(2, 4))
    return Node("pairs", tuple(Node("tuple", ("(", integer(first), *_tuple(rng, length - 1).parts[1:])) for first in firsts))


_DRAWN: dict[str, Callable[[random.Random], Node]] = {
    "integer": lambda rng: _measured(rng, _int(rng)),
    "product": lambda rng: with_unit(_product(rng)),
    "rational": lambda rng: _measured(rng, _rational(rng)),
    "decimal": lambda rng: _measured(rng, _decimal(rng)),
    "mixed number": lambda rng: _measured(rng, _mixed(rng)),
    "percent": lambda rng: Node("percent", (_int(rng) if rng.random() < 0.5 else _decimal(rng),)),
    "money": _money,
    "closed": lambda rng: _measured(rng, _closed(rng)),
    "closed, no unit": lambda rng: with_unit(_signed(rng, _closed(rng))),
    "formula": lambda rng: with_unit(_formula(rng)),
    "polynomial": lambda rng: with_unit(_polynomial(rng)),
    "complex": _complex,
    "tuple": lambda rng: _tuple(rng, rng.randint(2, 4)),
    "pairs": _pairs,
    "list": lambda rng: Node("list", _distinct(rng, rng.randint(2, 4))),
    "interval": _interval,
    "equation": _equation,
    "matrix": _matrix,
    "base": _base,
    "choice": lambda rng: Node("choice", (rng.choice("ABCDE"),)),
    "text": lambda rng: Node("text", (rng.choice(WORDS),)),
}  # fmt: skip


# --- changing one node


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
    others = [digit for digit in "0123456789" if digit >= lowest and digit != digits[place]]
    return digits[:place] + rng.choice(others) + digits[place + 1 :]


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
        pairs = [(int(other_digit(rng, str(top))), bottom), (top, int(other_digit(rng, str(bottom)))), (bottom, top), (top + 1, bottom)]
        found = [Node("rat", pair) for pair in pairs]
        found = [one for one in found if one.parts[1] > 1]
    elif kind == "dec":
        whole, _, digits = parts[0].partition(".")
        shifted = f"{whole}{digits[0]}.{digits[1:] or 0}" if whole != "0" else f"0.0{digits}"
        found = [Node("dec", (text,)) for text in (other_digit(rng, parts[0]), shifted, parts[0] + "3")]
        if len(digits) > 1:
            found.append(Node("dec", (parts[0][:-1],)))
    elif kind == "mixed":
        whole, top, bottom = parts
        found = [Node("mixed", (whole, top, bottom + 1)), Node("mixed", (whole + 1, top, bottom))]
        found.append(Node("mul", (integer(whole), Node("rat", (top, bottom)))))
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
        found = [Node("fn", (name, parts[1])) for name in ("sin", "cos", "tan") if name != parts[0]]
        if parts[0] == "ln":
            found = [Node("log", (10, parts[1])), parts[1]]
    elif kind == "log":
        found = [Node("log", (parts[0] + 1, parts[1])), Node("fn", ("ln", parts[1]))]
    elif kind == "pi":
        found = [integer(3), integer(1), symbol("x")]
    elif kind == "i":
        found = [integer(1), symbol("x"), Node("neg", (node,))]
    elif kind == "sym":
        found = [symbol(name) for name in "xyzabnt" if name != parts[0]]
    elif kind == "add":
        place = rng.randrange(len(parts))
        part = parts[place]
        flipped = part.parts[0] if part.kind == "neg" else Node("neg", (part,))
        fewer = parts[:place] + parts[place + 1 :]
        found = [_replaced(node, (place,), flipped), Node("add", fewer) if len(fewer) > 1 else fewer[0], product(parts)]
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
    if kind == "value":
        alternative = Node("list", (parts[0], Node("neg", (parts[0],))))
        return [alternative, *(with_unit(parts[0], unit) for unit in UNITS if parts[1] and unit != parts[1])]
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
            transposed = (members[row * parts[1] + column] for column in range(parts[1]) for row in range(parts[0]))
            found.append(Node(kind, (*parts[:2], *transposed)))
        return found + ([Node(kind, (bracket, *members)) for bracket in "[{"] if kind == "tuple" else [])
    if kind == "piece":
        low, high, opening, closing = parts
        below = low.kind == "neg" and low.parts[0].kind == "inf"
        found = [] if below else [Node(kind, (low, high, "(" if opening == "[" else "[", closing))]
        return found if high.kind == "inf" else [*found, Node(kind, (low, high, opening, ")" if closing == "]" else "]"))]
    if kind == "pairs":
        return [Node(kind, parts[1:]), Node(kind, (*parts, parts[0]._replace(parts=("(", *reversed(parts[0].parts[1:])))))]
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


def drawn_misses(
    rng: random.Random, gold: Node, count: int, policy: Mapping[str, Mapping[str, Any]], at: list[Point]
) -> list[tuple[Node, bool]]:
    """Near misses of a gold that have a value, and whether each is still the gold."""
    found: list[tuple[Node, bool]] = []
    while len(found) < count:
        answer = near_miss(rng, gold)
        try:
            found.append((answer, same(gold, answer, policy, at)))
        except Worthless:
            continue
    return found
