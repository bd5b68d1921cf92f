r"""From the tokens of an answer to its label, value, unit and remark.  A token that has none of these places makes it unreadable.

label     what stands before the value and names it: `x =`, `\angle ABC =`, `\text{The answer is }`, `(C)` before a number
value     an expression (`expressions.parse`)
unit      words and signs behind the value (`units.read_unit`)
remark    the same value said again: `(\approx 0.33)`, `\pmod{1000}`, `(four hundred sixty)`
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import NamedTuple

from benchmarks.strict.equality import equal, value_near
from benchmarks.strict.expressions import Tree, values_of, without_degrees
from benchmarks.strict.number_words import number_in_words, without_measure_word
from benchmarks.strict.parts import (
    NEVER_A_LABEL,
    at_top,
    cut,
    enclosed,
    letters_of,
    members,
    qualified,
    symbol_of,
    trimmed,
    without_choice_label,
    without_remark,
    without_words_before,
)
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.units import LETTERS, Unit, is_unit_word, read_unit
from benchmarks.strict.values import NoValue, Unbounded, symbols


class Quantity(NamedTuple):
    """A value with its unit; two trees where a ± stands for both."""

    trees: tuple[Tree, ...]
    unit: Unit | None = None
    label: str | None = None
    """The single symbol that it is said to be (`x = 5`)."""
    decimals: int | None = None
    """Digits behind the point if the value is written as a decimal."""
    named: bool = True
    """Is it a value by itself or of a plain name, rather than of a formula (`x^2 = 5`)?"""
    beside: tuple[Tokens, ...] = ()
    """Values in a remark («or 50 %»)."""


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
    if enclosed(tokens) == "()" and any(token.kind == "rel" and token.text == "=" for _, token in at_top(tokens[1:-1])):
        tokens = trimmed(tokens[1:-1])  # (35 + 70 = 105)
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
    if len(parts) > 1 and len(last := trimmed(parts[-1])) == 1 and last[0].text == "open" and relations[-1] == "=":
        parts, relations = [*parts[:-1], (last[0]._replace(text="decimal"),)], [*relations[:-1], "≈"]  # \sqrt2 = 1.414…
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
    exact_ones = [value for value in found[:approximate] if value is not None]
    if not exact_ones:
        exact_ones = [value for value in found if value is not None and value.decimals is not None]
    if not exact_ones:
        raise Unreadable("no member has a value")
    if found[-1] is None and found[:approximate][-1] is None and symbol_of(parts[-1]) is None and not _is_name(parts[-1]):
        raise Unreadable("the last member cannot be read")
    for part in parts:
        if _is_denied(part):
            raise Unreadable("a denial")
    if not with_symbols and any(found[end] is None and _is_equation_side(parts[end]) for end in (0, -1)):
        raise Unreadable("an equation to solve")
    value = exact_ones[-1]
    if value.decimals is not None and len(exact_ones) > 1 and _rounds(exact_ones[-2], value):
        value = exact_ones[-2]
    if any(other is not None and other is not value and not _goes_with(value, other) for other in found):
        raise Unreadable("members that differ")
    label = symbol_of(parts[0]) or symbol_of(parts[-1])
    others = [part for part, one in zip(parts, found, strict=True) if one is None and symbol_of(part) is None]
    for part, one in zip(parts, found, strict=True):
        if with_symbols and one is not None and one is not value and _is_formula(part) and not _agree(value, one):
            others.append(part)
    if with_symbols and (any(_is_formula(part) for part in others) or any(label in symbols(tree) for tree in value.trees)):
        raise Unreadable("an equation")
    return value._replace(label=label, named=not any(_is_formula(part) for part in others))


def _agree(value: Quantity, other: Quantity) -> bool:
    return len(value.trees) == len(other.trees) and all(equal(a, b) for a, b in zip(value.trees, other.trees, strict=True))


def _is_denied(part: Tokens) -> bool:
    words = tuple(token for token in part if letters_of(token) not in ("mod", "modulo"))
    said = {letters_of(token) for token in (*part, *(one for token in part for argument in token.args for one in argument))}
    changed = any(token.kind in ("op", "sup", "frac", "sqrt") for token in part)
    if said & (NEVER_A_LABEL | _CASES) or {"such", "that"} <= said or (changed and said & {"answer", "result"}):
        return True
    if part and (part[-1].kind, part[-1].text) == ("op", "/"):  # x /= 5
        return True
    return qualified(words) or any(token.kind == "unknown" and token.text in ("lnot", "neg", "nexists", "not") for token in part)


_CASES = frozenset(["for", "with", "by", "case", "when"])
"""Words before a symbol that is only a case: «true for n = 5»."""


def _is_equation_side(part: Tokens) -> bool:
    """Is a member arithmetic with one symbol, such as `2x` or `x + 1`: an equation still to be solved, not a name?"""
    if symbol_of(part) is not None:
        return False
    try:
        trees = values_of(trimmed(part))
    except Unreadable:
        return False
    return any(len(symbols(tree)) == 1 and tree[0] != "sym" and _is_arithmetic(tree) for tree in trees)


def _is_formula(part: Tokens) -> bool:
    """Is a member a formula with symbols (`y^2`, `2f(x)`) rather than the name of a point, a length or a set?"""
    try:
        trees = values_of(trimmed(part))
    except Unreadable:
        return False
    names = {name for tree in trees for name in symbols(tree)}
    return bool(names) and (any(token.kind == "accent" for token in part) or not all(name[0].isupper() for name in names))


def _is_arithmetic(tree: Tree) -> bool:
    return tree[0] in ("num", "sym") or (tree[0] in ("add", "mul", "div", "neg") and all(_is_arithmetic(part) for part in tree[1:]))


def _goes_with(value: Quantity, other: Quantity) -> bool:
    """May another member stand in one chain with the value: the same, a rounding of it, or something with symbols that it names?"""
    if len(value.trees) != len(other.trees) or any(symbols(tree) for tree in other.trees):
        return True
    if any(symbols(tree) for tree in value.trees):
        return False  # 0 = x^2 + 2x + 1
    if other.unit != value.unit:
        return True
    return all(equal(a, b) for a, b in zip(value.trees, other.trees, strict=True)) or _rounds(value, other) or _rounds(other, value)


def _is_name(tokens: Tokens) -> bool:
    r"""Something with symbols that names the value (`\frac{m}{n}` in `\frac34 = \frac mn`)."""
    try:
        return any(symbols(tree) for tree in values_of(trimmed(tokens)))
    except Unreadable:
        return False


def _rounds(longer: Quantity, decimal: Quantity) -> bool:
    """Is the decimal a rounding of the value before it?"""
    if decimal.decimals is None or len(longer.trees) != 1 or len(decimal.trees) != 1 or symbols(longer.trees[0]):
        return False
    try:
        a, b = value_near(longer.trees[0]), value_near(decimal.trees[0])
    except (NoValue, Unbounded):
        return False
    scaled = a * 10.0**decimal.decimals
    if abs(scaled - round(scaled)) < 1e-9:
        return abs(a - b) < 1e-12 * max(1.0, abs(a))
    last = round(b * 10.0**decimal.decimals)
    return last in (math.floor(abs(scaled)) * (1 if a > 0 else -1), round(scaled))


def _plain(tokens: Tokens, with_symbols: bool) -> Quantity:
    """A value without relations: number in words, or expression and unit."""
    tokens, beside = without_remark(trimmed(tokens))
    tokens = without_choice_label(tokens)
    money: Tokens = ()
    sign: Tokens = ()
    if tokens and tokens[0].kind == "op" and tokens[0].text in "-+" and len(tokens) > 1 and tokens[1].kind == "money":
        sign, tokens = tokens[:1], tokens[1:]
    if len(tokens) > 1 and letters_of(tokens[0]) == "us" and tokens[1] == Token("money", "dollar"):
        tokens = tokens[1:]  # US$ 5
    if tokens and (tokens[0].kind == "money" or (letters_of(tokens[0]) in ("usd", "eur", "rs", "inr") and len(tokens) > 1)):
        money, tokens = tokens[:1], tokens[1:]
    tokens = _with_chinese_apart(tokens)
    words = [letters_of(token) for token in tokens]
    if tuple(words) in _ENDLESS:
        return Quantity((_ENDLESS[tuple(words)],))
    if tokens and all(words) and (said := _said(words)) is not None:
        number, length = said
        unit = read_unit(money + tokens[length:]) if money or tokens[length:] else Unit(())
        return Quantity((("num", number * unit.scale),), unit._replace(scale=1) if unit.kinds or unit.percent else None)
    if not tokens:
        raise Unreadable("nothing")
    if tokens[-1].kind == "degree" and any(token.kind == "function" for token in tokens):
        return _with_degrees(tokens)._replace(beside=beside)
    if len(tokens) >= 2 and enclosed(tokens) == "()" and len(cut(tokens[1:-1], "sep", ",")) == 1 and not _opens(tokens[1:-1]):
        return _plain(sign + money + tokens[1:-1], with_symbols)._replace(beside=beside)
    return _with_unit(sign + tokens, money, with_symbols)._replace(beside=beside)


def with_spelled_number(tokens: Tokens) -> Tokens:
    """The tokens with a number in words at their start as one token, if «and» is among its words («two hundred and four»)."""
    words = ["and" if token.kind == "sep" and token.text == "and" else letters_of(token) for token in tokens]
    count = next((place for place, word in enumerate(words) if not word), len(words))
    for length in range(min(count, _MOST_NUMBER_WORDS), 2, -1):
        if "and" in words[1 : length - 1] and (number := number_in_words(words[:length])) is not None:
            return (Token("num", "integer", value=number), *tokens[length:])
    return tokens


_MOST_NUMBER_WORDS = 20


def _with_chinese_apart(tokens: Tokens) -> Tokens:
    """«九个» as number and measure word, «二 〇 四» as one word."""
    if not tokens or not all(token.kind == "word" and not token.text.isascii() for token in tokens):
        return tokens
    number, measure = without_measure_word("".join(token.text for token in tokens))
    return (Token("word", number), Token("word", measure)) if measure else (Token("word", number),)


_ENDLESS: dict[tuple[str, ...], Tree] = {
    ("infinity",): ("const", "inf"), ("positive", "infinity"): ("const", "inf"), ("plus", "infinity"): ("const", "inf"),
    ("negative", "infinity"): ("neg", ("const", "inf")), ("minus", "infinity"): ("neg", ("const", "inf")),
}  # fmt: skip


def _said(words: list[str]) -> tuple[Fraction, int] | None:
    """The number that words begin with («three bolts»), and how many of them it takes."""
    for length in range(len(words), 0, -1):
        if (number := number_in_words(words[:length])) is None:
            continue
        if words[:length] == ["half"] and length < len(words) and (len(words) != 3 or words[1] not in ("a", "an")):
            return None  # «half past», «half as much»; but «half a mile»
        return number, length
    return None


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
        if with_symbols or not any(symbols(tree) for tree in trees):
            return Quantity(tuple(trees), read_unit(money) if money else None, decimals=_decimals(tokens))
        start = _letters_start(tokens)
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
    r"""Degrees within an expression: of an angle that a function takes (`\cos 60^\circ`), or of each term (`90^\circ - x`)."""
    try:
        return Quantity(tuple(values_of(tokens)))
    except Unreadable:
        return Quantity(tuple(values_of(without_degrees(tokens))), read_unit((Token("degree"),)))


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
        if token.kind == "word" and place and token.text not in ("i", "e"):
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
        if token.kind == "open" and token.text == "[" and place and _is_unit_group(tokens[place + 1 : -1]):
            return place
        if token.kind in ("group", "frac") and place and all(_is_unit_group(argument) for argument in token.args):
            return place
    return None


def _is_unit_group(tokens: Tokens) -> bool:
    if not tokens or tokens[0].kind == "sup":
        return False
    return all(token.kind in ("word", "degree", "sup", "percent") or (token.kind == "run" and is_unit_word(token.text)) for token in tokens)


def _letters_start(tokens: Tokens) -> int:
    """The place of letters that are a unit because the gold has no symbols: `5 m`, `540m`, `3 men`.  Raises Unreadable."""
    for place, token in enumerate(tokens):
        if place and token.kind == "name" and (token.text == "Omega" or (token.text == "mu" and place + 1 < len(tokens))):
            return place
        if place and token.kind in ("run", "word"):
            single = token.text in LETTERS and (token.spaced or token.text in "msghL")
            if single or (token.spaced and re.fullmatch(r"(?i)[b-df-hj-np-tv-z][aeiou][a-z]", token.text)):
                return place
            break
    raise Unreadable("a value with symbols")


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
