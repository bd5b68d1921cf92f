r"""From the tokens of an answer to its parts: label, value, unit, remark.  Every token has one of these places, or the answer is unreadable.

label     what stands before the value and names it: `x =`, `\angle ABC =`, `\text{The answer is }`, `(C)` before a number
value     an expression (`expressions.parse`)
unit      words and signs behind the value (`units.read_unit`)
remark    the same value said again: `(\approx 0.33)`, `\pmod{1000}`, `(four hundred sixty)`
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from benchmarks.strict.expressions import Tree, matching, values_of
from benchmarks.strict.latex import Token, Tokens, Unreadable
from benchmarks.strict.number_words import number_in_words
from benchmarks.strict.units import LETTERS, QUALIFIERS, Unit, is_unit_word, read_unit
from benchmarks.strict.values import NoValue, Unbounded, exact, symbols

COPULAS = {
    "is", "are", "equals", "equal", "be", "was", "were", "gives", "has", "为", "是", "等于", "est", "es", "é", "ist", "sono", "è", "son", "sont",
    "являются", "равно", "равна", "равен", "becomes", "answer", "total", "option", "choice", "result", "of", "答案", "therefore", "thus", "so",
    "hence", "get", "have", "共", "有",
}  # fmt: skip
_TRAILING = {".", "`", '"', "?"}


class Quantity(NamedTuple):
    """A value with its unit; two trees where a ± stands for both."""

    trees: tuple[Tree, ...]
    unit: Unit | None = None
    label: str | None = None
    """The single symbol that it is said to be (`x = 5`)."""
    decimals: int | None = None
    """Digits behind the point if the value is written as a decimal."""
    beside: tuple[Tokens, ...] = ()
    """Values in a remark («or 50 %»)."""


def trimmed(tokens: Tokens) -> Tokens:
    """Without what decorates an answer as a whole: groups, quotes, a full stop, separators at the ends."""
    while tokens:
        if len(tokens) == 1 and tokens[0].kind == "group":
            tokens = tokens[0].args[0]
        elif (
            tokens[-1].kind == "unknown" and tokens[-1].text in _TRAILING - {"?"} or tokens[-1].kind == "unknown" and tokens[-1].text == "}"
        ):
            tokens = tokens[:-1]
        elif tokens[0].kind == "unknown" and tokens[0].text in ("`", '"', "&"):
            tokens = tokens[1:]
        elif tokens[-1].kind == "sep" or tokens[-1] == Token("op", "*", spaced=tokens[-1].spaced):
            tokens = tokens[:-1]
        elif (
            tokens[0].kind == "sep"
            or (tokens[0].kind == "rel" and tokens[0].text in "=:→⇒")
            or tokens[0] == Token("op", "*")
            or tokens[0].kind == "op"
            and tokens[0].text == "'"
            and tokens[-1].kind == "op"
        ):
            tokens = tokens[1:]
        else:
            break
    return tokens


def enclosed(tokens: Tokens) -> str | None:
    """The kinds of bracket that enclose the whole, such as `()` or `[)`; None if nothing does."""
    if len(tokens) < 2 or tokens[0].kind != "open" or tokens[-1].kind != "close":
        return None
    try:
        return tokens[0].text + tokens[-1].text if matching(tokens, 0) == len(tokens) - 1 else None
    except Unreadable:
        return None


def at_top(tokens: Tokens) -> Iterator[tuple[int, Token]]:
    """Tokens outside brackets, with their places."""
    depth = 0
    for place, token in enumerate(tokens):
        if token.kind == "close":
            depth -= 1
        if depth == 0:
            yield place, token
        if token.kind == "open":
            depth += 1


def cut(tokens: Tokens, kind: str, texts: str | tuple[str, ...]) -> list[Tokens]:
    """The tokens between those of a kind outside brackets."""
    parts, start = [], 0
    for place, token in at_top(tokens):
        if token.kind == kind and token.text in texts:
            parts.append(tokens[start:place])
            start = place + 1
    return [*parts, tokens[start:]]


def without_domain(tokens: Tokens) -> Tokens:
    """Without what says which numbers a symbol runs over: `, k \\in \\mathbb{Z}`, «for all n», «where a, b are real»."""
    for place, token in at_top(tokens):
        if place and (token == Token("unknown", "forall", spaced=token.spaced) or (letters_of(token) == "where") or (
            letters_of(token) == "for" and place + 1 < len(tokens) and letters_of(tokens[place + 1]) in ("all", "any", "every", "each", "some")
        )):  # fmt: skip
            if not any(other.kind == "num" or (other.kind == "rel" and other.text != "∈") for other in tokens[place:]):
                tokens = trimmed(tokens[:place])
            break
    parts = cut(tokens, "sep", (",", ";"))
    while len(parts) > 1 and _is_domain(trimmed(parts[-1])):
        tokens = trimmed(tokens[: len(tokens) - len(parts[-1])])
        parts = parts[:-1]
    start = _last_bracket(tokens) if tokens else None
    if start and _is_domain(tokens[start + 1 : -1]):
        tokens = trimmed(tokens[:start])
    return tokens


def _is_domain(part: Tokens) -> bool:
    sides, relations = members(part)
    return relations == ["∈"] and symbol_of(sides[0]) is not None and bool(sides[1]) and sides[1][0].kind == "set"


def letters_of(token: Token) -> str:
    """The word that a token is, in small letters; empty for anything else."""
    return token.text.lower() if token.kind in ("word", "run") or (token.kind == "function" and token.text in ("min", "sec", "max")) else ""


def qualified(tokens: Tokens) -> bool:
    """Does a word say that this is not the plain value («at least», «not», «if»)?"""
    return any(token.kind in ("word", "run") and len(token.text) > 1 and token.text.lower() in QUALIFIERS for token in tokens)


def without_words_before(tokens: Tokens) -> Tokens:
    """What follows a label in words that ends in a verb or a colon: `\text{The answer is }460`, `\text{Total: }5`."""
    end = 0
    for place, token in at_top(tokens):
        word = letters_of(token)
        if (word in COPULAS and (token.kind == "word" or len(word) > 1)) or (token.kind == "rel" and token.text == ":" and place):
            if all(_is_label(before) for before in tokens[:place]) and any(letters_of(before) for before in tokens[: place + 1]):
                end = place + 1
        elif not _is_label(token):
            break
    if end and qualified(tokens[:end]):
        raise Unreadable("a bound or a denial")
    return trimmed(tokens[end:]) if end and end < len(tokens) else tokens


def _is_label(token: Token) -> bool:
    return token.kind in ("word", "run", "name", "function", "accent", "bar", "open", "close") or (
        token.kind in ("op", "sep") and token.text in ("'", "-", ",")
    )


def without_remark(tokens: Tokens) -> tuple[Tokens, tuple[Tokens, ...]]:
    """The tokens without a remark in brackets behind the value, and the other values that the remark offers."""
    beside: list[Tokens] = []
    while len(tokens) > 2:
        if tokens[-1].kind == "remark":
            tokens = tokens[:-1]
            continue
        mod = next((place for place, token in at_top(tokens) if letters_of(token) in ("mod", "modulo") and place), None)
        if mod is not None and not any(token.kind == "rel" for token in tokens[mod:]):
            tokens = tokens[:mod]
            continue
        start = _last_bracket(tokens)
        if start is None or start == 0 or not _is_remark(tokens[start + 1 : -1]):
            break
        inside = tokens[start + 1 : -1]
        if inside[0].kind == "sep" and inside[0].text == "or":
            beside.append(trimmed(inside))
        elif qualified(inside) and not letters_of(inside[0]).startswith(("approx", "about", "mod")):
            raise Unreadable("a condition")
        tokens = trimmed(tokens[:start])
    if len(tokens) > 1 and tokens[-1].kind == "remark":
        tokens = tokens[:-1]
    return tokens, tuple(beside)


def _last_bracket(tokens: Tokens) -> int | None:
    if tokens[-1].kind != "close" or tokens[-1].text != ")":
        return None
    depth = 0
    for place in range(len(tokens) - 1, -1, -1):
        depth += (tokens[place].kind == "close") - (tokens[place].kind == "open")
        if depth == 0:
            return place
    return None


def _is_remark(inside: Tokens) -> bool:
    if not inside:
        return False
    first = inside[0]
    return first.kind == "word" or (first.kind == "run" and is_unit_word(first.text)) or (
        first.kind in ("rel", "sep") and first.text in ("≈", "or", "~")
    ) or (first.kind == "rel" and first.text == "=" and len(inside) > 1)  # fmt: skip


def members(tokens: Tokens) -> tuple[list[Tokens], list[str]]:
    """The members of a chain of relations outside brackets, and the relations between them."""
    parts, relations, start = [], [], 0
    for place, token in at_top(tokens):
        if token.kind == "rel":
            parts.append(tokens[start:place])
            relations.append(token.text)
            start = place + 1
    return [*parts, tokens[start:]], relations


def symbol_of(tokens: Tokens) -> str | None:
    """The name of a single symbol, perhaps with a subscript or as a function of something: `x`, `a_1`, `f(x)`."""
    tokens = trimmed(tokens)
    if not tokens or tokens[0].kind not in ("run", "name", "word") or (tokens[0].kind != "name" and len(tokens[0].text) > 1):
        return None
    rest = tokens[1:]
    name = tokens[0].text
    if rest and rest[0].kind == "sub":
        name += "_" + "".join(str(token.value) if token.kind == "num" else token.text for token in rest[0].args[0])
        rest = rest[1:]
    while rest and rest[0].kind == "op" and rest[0].text == "'":
        name, rest = name + "'", rest[1:]
    if not rest:
        return name
    return name + "()" if enclosed(rest) == "()" else None


def quantity(tokens: Tokens, with_symbols: bool) -> Quantity:
    """The value that an answer states: the last member of its chain that is one.

    `with_symbols`: a value may have free symbols (because the gold has).

    Raises:
        Unreadable: it states no single value.
    """
    tokens = trimmed(tokens)
    tokens, beside = without_remark(tokens)
    for place, token in at_top(tokens):
        if token.kind == "rel" and token.text in "⇒⇔":
            return quantity(tokens[place + 1 :], with_symbols)
    tokens = without_words_before(tokens)
    parts, relations = members(tokens)
    if ":" in relations:
        last = [place for place, token in at_top(tokens) if token.kind == "rel" and token.text == "="]
        tokens = tokens[last[-1] + 1 :] if last else tokens
        return _ratio(*members(tokens))
    if any(relation not in "=≡≈≅" for relation in relations):
        raise Unreadable("a relation that is no equation")
    if not relations:
        return _plain(tokens, with_symbols)._replace(beside=beside)
    return _from_chain(parts, relations, with_symbols)._replace(beside=beside)


def _ratio(parts: list[Tokens], relations: list[str]) -> Quantity:
    if relations != [":"]:
        raise Unreadable("colons")
    top, bottom = (values_of(trimmed(part)) for part in parts)
    if len(top) + len(bottom) != 2:
        raise Unreadable("a ratio of several values")
    return Quantity((("div", top[0], bottom[0]),))


def _from_chain(parts: list[Tokens], relations: list[str], with_symbols: bool) -> Quantity:
    found: list[Quantity | None] = []
    for place, part in enumerate(parts):
        part = trimmed(part)
        symbol = symbol_of(part)
        if not part or (symbol is not None and (place == 0 or len(parts) == 2)):
            found.append(None)
            continue
        try:
            found.append(_plain(without_words_before(part), with_symbols))
        except Unreadable:
            found.append(None)
    approximate = next((place + 1 for place, relation in enumerate(relations) if relation == "≈"), len(parts))
    exact_ones = [value for value in found[:approximate] if value is not None] or [value for value in found if value is not None]
    if not exact_ones:
        raise Unreadable("no member has a value")
    if found[-1] is None and found[:approximate][-1] is None and symbol_of(parts[-1]) is None and not _is_name(parts[-1]):
        raise Unreadable("the last member cannot be read")
    value = exact_ones[-1]
    if approximate <= place_of(found, value) and value.decimals is None:
        raise Unreadable("only an approximation")
    if value.decimals is not None and len(exact_ones) > 1 and _rounds(exact_ones[-2], value):
        value = exact_ones[-2]
    label = symbol_of(parts[0]) or symbol_of(parts[-1])
    return value._replace(label=label)


def place_of(found: list[Quantity | None], value: Quantity) -> int:
    """The place of a value in a chain."""
    return next(place for place, one in enumerate(found) if one is value)


def _is_name(tokens: Tokens) -> bool:
    """Something with symbols that names the value (`\\frac{m}{n}` in `\\frac34 = \\frac mn`)."""
    try:
        return any(symbols(tree) for tree in values_of(trimmed(tokens)))
    except Unreadable:
        return False


def _rounds(longer: Quantity, decimal: Quantity) -> bool:
    """Is the decimal a rounding of the value before it?"""
    try:
        a, b = exact(longer.trees[0]), exact(decimal.trees[0])
    except (NoValue, Unbounded):
        return False
    if a is None:
        return True
    return b is not None and abs(a - b) <= Fraction(1, 10 ** (decimal.decimals or 0))


def _plain(tokens: Tokens, with_symbols: bool) -> Quantity:
    """A value without relations: number in words, or expression and unit."""
    tokens, beside = without_remark(trimmed(tokens))
    tokens = without_choice_label(tokens)
    money: Tokens = ()
    sign: Tokens = ()
    if tokens and tokens[0].kind == "op" and tokens[0].text in "-+" and len(tokens) > 1 and tokens[1].kind == "money":
        sign, tokens = tokens[:1], tokens[1:]
    if tokens and tokens[0].kind == "money":
        money, tokens = tokens[:1], tokens[1:]
    words = [letters_of(token) for token in tokens]
    if tokens and all(words) and (number := number_in_words(words)) is not None:
        return Quantity((("num", Fraction(number)),), read_unit(money) if money else None)
    if not tokens:
        raise Unreadable("nothing")
    if len(tokens) > 1 and tokens[0].kind == "function" and tokens[-1].kind == "degree":
        return _with_degrees(tokens)._replace(beside=beside)
    if len(tokens) >= 2 and enclosed(tokens) == "()" and len(cut(tokens[1:-1], "sep", ",")) == 1 and not _opens(tokens[1:-1]):
        return _plain(sign + money + tokens[1:-1], with_symbols)._replace(beside=beside)
    return _with_unit(sign + tokens, money, with_symbols)._replace(beside=beside)


def _opens(tokens: Tokens) -> bool:
    return bool(tokens) and tokens[0].kind == "rel"


def _with_unit(tokens: Tokens, money: Tokens, with_symbols: bool) -> Quantity:
    start = _unit_start(tokens)
    if (
        start is not None
        and tokens[start].kind == "degree"
        and start < len(tokens) - 1
        and any(_is_operand(token) for token in tokens[start + 1 :])
    ):
        return _with_degrees(tokens)
    if start is None and any(_holds_degrees(argument) for token in tokens for argument in token.args):
        return _with_degrees(tokens)
    if start is None:
        trees = values_of(tokens)
        if not with_symbols and any(symbols(tree) for tree in trees):
            place = next(
                (
                    index
                    for index, token in enumerate(tokens)
                    if index and token.kind in ("run", "word") and token.text in LETTERS and token.spaced
                ),
                None,
            )
            if place is None:
                raise Unreadable("a value with symbols")
            start = place
    if start is None:
        return Quantity(tuple(trees), read_unit(money) if money else None, decimals=_decimals(tokens))
    value, rest = tokens[:start], tokens[start:]
    number = next((index for index, token in enumerate(rest) if token.kind == "num"), None)
    if number is not None:
        return _compound(value, rest[:number], rest[number:])
    unit = read_unit(money + rest)
    trees = values_of(value)
    if not with_symbols and any(symbols(tree) for tree in trees):
        raise Unreadable("a value with symbols")
    if unit.scale != 1:
        trees = [("mul", tree, ("num", Fraction(unit.scale))) for tree in trees]
        unit = unit._replace(scale=1)
    return Quantity(tuple(trees), unit if unit.kinds or unit.percent else None, decimals=_decimals(value))


def _is_operand(token: Token) -> bool:
    return token.kind in ("num", "name", "frac", "sqrt", "function") or (token.kind == "op" and token.text in "+-*/")


def _with_degrees(tokens: Tokens) -> Quantity:
    """Degrees within an expression: of an angle that a function takes (`\\cos 60^\\circ`), or of each term (`90^\\circ - x`)."""
    try:
        return Quantity(tuple(values_of(tokens)))
    except Unreadable:
        return Quantity(tuple(values_of(_without_degrees(tokens))), read_unit((Token("degree"),)))


def _without_degrees(tokens: Tokens) -> Tokens:
    return tuple(
        token._replace(args=tuple(_without_degrees(argument) for argument in token.args)) for token in tokens if token.kind != "degree"
    )


def _holds_degrees(tokens: Tokens) -> bool:
    return any(token.kind == "degree" or any(_holds_degrees(argument) for argument in token.args) for token in tokens)


def _unit_start(tokens: Tokens) -> int | None:
    """The place where the unit begins; None if there is none."""
    for place, token in at_top(tokens):
        if place == 0 and token.kind != "num":
            if token.kind in ("word", "run") and is_unit_word(token.text):
                raise Unreadable("words before the value")
            continue
        if token.kind in ("degree", "percent", "money"):
            return place
        if token.kind == "word" and place:
            return place
        if (
            token.kind == "run"
            and place
            and token.spaced
            and token.text in LETTERS
            and tokens[place + 1 : place + 2]
            and tokens[place + 1].kind == "num"
        ):
            return place  # 3 h 24 min
        if token.kind == "run" and place and is_unit_word(token.text):
            return place
        if token.kind == "function" and token.text in ("min", "sec", "deg") and place and place == len(tokens) - 1:
            return place
        if token.kind == "group" and place and _is_unit_group(token.args[0]):
            return place
    return None


def _is_unit_group(tokens: Tokens) -> bool:
    return bool(tokens) and all(token.kind in ("word", "degree", "sup", "percent") or (token.kind == "run" and is_unit_word(token.text)) for token in tokens) and (
        tokens[0].kind != "sup"
    )  # fmt: skip


def _compound(value: Tokens, unit: Tokens, rest: Tokens) -> Quantity:
    """`5 h 20 min`: a value in two units of one kind."""
    first = _with_unit(value + unit, (), False)
    second = _plain(rest, False)
    return together(first, second)


def together(first: Quantity, second: Quantity) -> Quantity:
    """The sum of two quantities of one kind, the smaller unit behind.  Raises Unreadable."""
    a, b = first.unit, second.unit
    if (
        a is None
        or b is None
        or a.kinds != b.kinds
        or not a.known
        or not b.known
        or a.size <= b.size
        or len(first.trees) + len(second.trees) != 2
    ):
        raise Unreadable("two quantities")
    return Quantity((("add", first.trees[0], ("mul", second.trees[0], ("num", b.size / a.size))),), a)


def _decimals(tokens: Tokens) -> int | None:
    tokens = tokens[1:] if tokens and tokens[0].kind == "op" else tokens
    if len(tokens) != 1 or tokens[0].kind != "num" or tokens[0].text != "decimal" or tokens[0].value is None:
        return None
    denominator, digits = tokens[0].value.denominator, 0
    while 10**digits % denominator:
        digits += 1
    return max(1, digits)


def without_choice_label(tokens: Tokens) -> Tokens:
    """The tokens behind `(C)`, `C.` or `C)` where something follows it."""
    place = choice_label(tokens)
    return tokens[place:] if place and place < len(tokens) else tokens


def choice_label(tokens: Tokens) -> int:
    """How many tokens at the start are a choice letter with its brackets; 0 if there is none."""
    if len(tokens) >= 3 and tokens[0].text == "(" and tokens[2].text == ")" and _is_choice(tokens[1]):
        return 3
    if len(tokens) >= 2 and _is_choice(tokens[0]) and tokens[1].kind in ("close", "unknown", "rel") and tokens[1].text in (")", ".", ":"):
        return 2
    return 0


def _is_choice(token: Token) -> bool:
    if token.kind == "group" and len(token.args[0]) == 1:
        token = token.args[0][0]
    return token.kind in ("word", "run") and len(token.text) == 1 and "A" <= token.text <= "J"
