"""Does an answer denote the gold answer?  The gold's type decides how the two are compared (docs/judges.md)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from benchmarks.strict.expressions import Tree, has_plus_minus, parse, values_of
from benchmarks.strict.gold import read_base, type_of
from benchmarks.strict.latex import Token, Tokens, Unreadable, has_comma_groups, tokenize
from benchmarks.strict.reading import (
    Quantity,
    at_top,
    choice_label,
    cut,
    enclosed,
    letters_of,
    members,
    quantity,
    symbol_of,
    together,
    trimmed,
    without_domain,
    without_remark,
    without_words_before,
)
from benchmarks.strict.sets import read_set, same_set
from benchmarks.strict.types import AnswerType
from benchmarks.strict.units import same_kind
from benchmarks.strict.values import NoValue, Unbounded, equal, exact, substituted, symbols

LONGEST_LIST = 60
_FAILURES = (Unreadable, NoValue, Unbounded)
PI_180: Tree = ("div", ("const", "pi"), ("num", Fraction(180)))


class Gold(NamedTuple):
    """A gold answer, read once."""

    text: str
    tokens: Tokens
    type: AnswerType


@lru_cache(8192)
def read_gold(text: str, answer_type: AnswerType | None = None, lists: bool = False) -> Gold:
    """The gold's tokens and type.  Raises Unreadable if it is no formula."""
    tokens = without_domain(trimmed(tokenize(_without_dollars(text), lists)))
    sides, relations = members(tokens)
    if relations == ["="] and enclosed(trimmed(sides[0])) == "()" and enclosed(trimmed(sides[1])) == "()":  # (p, q) = (3, 2)
        tokens = trimmed(sides[1])
    return Gold(text, tokens, answer_type or type_of(text, tokens))


def _without_dollars(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "$" and "$" not in text[1:-1] and text[-2] != "\\" else text


def same_answer(answer: str, gold: str, answer_type: AnswerType | None = None) -> bool:
    """Does the text of an answer denote the gold answer?"""
    if _plainly_same(answer, gold):
        return True
    readings = [False]
    if has_comma_groups(answer) or has_comma_groups(gold):
        readings.append(True)
    return any(_same_read(answer, gold, answer_type, lists) for lists in readings)


def _plainly_same(answer: str, gold: str) -> bool:
    squeezed = _SPACE.sub("", answer)
    return squeezed == _SPACE.sub("", gold) and re.search(r"[^\W_]", squeezed) is not None


_SPACE = re.compile(r"^\s+|\s+$|\s+(?=\W)|(?<=\W)\s+")
"""Space that no two letters or digits need between them."""


def _same_read(answer: str, gold: str, answer_type: AnswerType | None, lists: bool) -> bool:
    try:
        wanted = read_gold(gold, answer_type, lists)
        given = trimmed(tokenize(_without_dollars(answer), lists))
    except Unreadable:
        return False
    if not given:
        return False
    if given == wanted.tokens and wanted.tokens:
        return True
    return same_tokens(given, wanted)


def same_tokens(given: Tokens, gold: Gold) -> bool:
    """The same for tokens that are read already."""
    given = without_domain(trimmed(given))
    try:
        if given and given[0].kind == "rows" and len(given) == 1:
            given = _joined_rows(given[0])
        return _COMPARED[gold.type](given, gold)
    except _FAILURES:
        return False


def _joined_rows(token: Token) -> Tokens:
    """The rows of `aligned` as one chain, or as a list where a row starts something new."""
    if token.text == "cases" and any(len(row) > 1 for row in token.rows):
        raise Unreadable("cases")
    found: list[Token] = []
    for row in token.rows:
        cells = [part for cell in row for part in cell]
        if found and cells and cells[0].kind != "rel":
            found.append(Token("sep", "row"))
        found += cells
    return trimmed(tuple(found))


def same_parts(parts: Sequence[str], gold: str, answer_type: AnswerType | None = None) -> bool:
    """Do the contents of several boxes together denote the gold answer?"""
    lists = any(has_comma_groups(part) for part in parts) and has_comma_groups(gold)
    try:
        wanted = read_gold(gold, answer_type, lists)
        given: list[Token] = []
        for part in parts:
            given += [Token("sep", ";"), *trimmed(tokenize(_without_dollars(part), lists))]
    except Unreadable:
        return False
    return same_tokens(tuple(given), wanted)


def is_several(answer: str) -> bool:
    """Does an answer offer several values, or one with an alternative?"""
    try:
        given = trimmed(tokenize(_without_dollars(answer)))
    except Unreadable:
        return False
    return len(_parts(given)) > 1 or has_plus_minus(given)


# --- numbers and expressions


def _same_value(given: Tokens, gold: Gold) -> bool:
    wanted = _gold_quantity(gold.tokens)
    with_symbols = any(symbols(tree) for tree in wanted.trees)
    parts = _parts(given)
    if len(parts) > 1:
        return _all_the_same(parts, wanted, with_symbols)
    base = read_base(trimmed(without_words_before(given)))
    if base is not None and read_base(gold.tokens) is None:
        return base[1] == 10 and base[0].isdigit() and same_quantity(wanted, Quantity((("num", Fraction(int(base[0]))),)))
    found = quantity(given, with_symbols)
    if any(not same_quantity(wanted, quantity(other, with_symbols)) for other in found.beside):
        return False
    return same_quantity(wanted, found)


@lru_cache(8192)
def _gold_quantity(tokens: Tokens) -> Quantity:
    return quantity(tokens, True)


def _parts(given: Tokens) -> list[Tokens]:
    return [part for part in (trimmed(part) for part in cut(given, "sep", (",", ";", "and", "or", "row"))) if part]


def _all_the_same(parts: list[Tokens], wanted: Quantity, with_symbols: bool) -> bool:
    """Several values for a single gold: each is the gold («½ or 0.5»), or together they are one («5 h and 20 min»)."""
    values = [quantity(part, with_symbols) for part in parts[:LONGEST_LIST]]
    if all(value.unit is not None and value.unit.known for value in values) and len(values) == 2:
        try:
            return same_quantity(wanted, together(values[0], values[1]))
        except Unreadable:
            pass
    return len(parts) <= LONGEST_LIST and all(same_quantity(wanted, value) for value in values)


def same_quantity(wanted: Quantity, found: Quantity) -> bool:
    """Are the values equal, with the policy for units, percent and labels?"""
    if wanted.label is not None and found.label is not None and wanted.label != found.label:
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
    gold_unit, unit = wanted.unit, found.unit
    if (gold_unit and gold_unit.percent) or (unit and unit.percent):
        return _same_percent(bool(gold_unit and gold_unit.percent), a, bool(unit and unit.percent), b)
    if gold_unit is not None and unit is not None and gold_unit.kinds and unit.kinds:
        if not same_kind(gold_unit, unit):
            return _same_angle(gold_unit.kinds, a, unit.kinds, b)
        return equal(_times(a, gold_unit.size), _times(b, unit.size)) if gold_unit.size != unit.size else equal(a, b)
    if equal(a, b):
        return True
    if unit is not None and unit.kinds == (("degree", 1),) and gold_unit is None:
        return equal(a, ("mul", b, PI_180))
    return gold_unit is not None and gold_unit.kinds == (("degree", 1),) and unit is None and _has_pi(b) and equal(("mul", a, PI_180), b)


def _same_angle(gold: object, a: Tree, unit: object, b: Tree) -> bool:
    degree, radian = (("degree", 1),), (("radian", 1),)
    if gold == degree and unit == radian:
        return equal(("mul", a, PI_180), b)
    return gold == radian and unit == degree and equal(a, ("mul", b, PI_180))


def _has_pi(tree: Tree) -> bool:
    return tree == ("const", "pi") or any(_has_pi(part) for part in tree if isinstance(part, tuple))


def _times(tree: Tree, factor: Fraction) -> Tree:
    return tree if factor == 1 else ("mul", tree, ("num", factor))


def _same_percent(gold_percent: bool, a: Tree, percent: bool, b: Tree) -> bool:
    hundredth = Fraction(1, 100)
    if gold_percent and percent:
        return equal(a, b)
    if gold_percent:
        return equal(a, b) or equal(_times(a, hundredth), b)
    if equal(a, _times(b, hundredth)):
        return True
    value = exact(a)  # 10 % for 10, but not 0.5 % for 0.5, nor 1.25 % for 1.25
    return value is not None and abs(value) >= (1 if value.denominator == 1 else 2) and equal(a, b)


def _same_base(given: Tokens, gold: Gold) -> bool:
    wanted = read_base(gold.tokens)
    tokens, _ = without_remark(trimmed(without_words_before(given)))
    parts, relations = members(tokens)
    tokens = trimmed(parts[-1]) if relations and all(relation == "=" for relation in relations) else tokens
    found = read_base(tokens)
    if wanted is None:
        return False
    if found is not None:
        return (found[0].lstrip("0"), found[1]) == (wanted[0].lstrip("0"), wanted[1])
    return len(tokens) == 1 and tokens[0].kind == "num" and tokens[0].text == "integer" and str(tokens[0].value) == wanted[0].lstrip("0")


# --- several values


def _same_list(given: Tokens, gold: Gold) -> bool:
    wanted = items(gold.tokens)
    given = without_words_before(given)
    if enclosed(given) == "()" and len(_parts(given[1:-1])) > 1 and len(wanted) > 1:
        return _same_in_order(_items_of(given[1:-1]), wanted)
    found = items(given)
    if len(found) > len(wanted):
        found = _without_repeats(found)
    if len(found) != len(wanted) or len(found) > LONGEST_LIST:
        return False
    if any(token.kind == "dots" for item in wanted for token in item.tokens):
        return _same_in_order(found, wanted)
    labels = [item.label for item in wanted], [item.label for item in found]
    if len(set(labels[0])) > 1 and not any(label is None for label in labels[0]) and all(label is None for label in labels[1]):
        return _same_in_order(found, wanted)  # x = 1, y = 2 against 1, 2
    return _matched(found, wanted)


def _without_repeats(found: list[Item]) -> list[Item]:
    kept: list[Item] = []
    for item in found[:LONGEST_LIST]:
        if not any(item.label == other.label and _safely(lambda item=item, other=other: _same_item(item, other)) for other in kept):  # type: ignore[misc]
            kept.append(item)
    return kept + found[LONGEST_LIST:]


class Item(NamedTuple):
    """One member of a list, with the symbol that it is said to be and the sign that its ± stands for."""

    tokens: Tokens
    label: str | None = None
    tree: Tree | None = None


def items(tokens: Tokens) -> list[Item]:
    """The members of a list or set: a ± gives two, a label before the first is that of all."""
    tokens = trimmed(tokens)
    for place, token in at_top(tokens):
        if token.kind == "rel" and token.text == "∈" and symbol_of(tokens[:place]):
            tokens = trimmed(tokens[place + 1 :])
            break
    if enclosed(tokens) == "{}":
        tokens = trimmed(tokens[1:-1])
    for separators in ((";", "or", "row"), (";", "or", "row", "and")):
        groups = [part for part in (trimmed(part) for part in cut(tokens, "sep", separators)) if part]
        if len(groups) > 1 and all(len(_labels(group)) > 1 for group in groups):  # p=5, q=2; p=7, q=2
            bracketed = [(Token("open", "("), *_values_in_order(group), Token("close", ")")) for group in groups]
            return [Item(group) for group in bracketed]
    sides, relations = members(tokens)
    if relations and set(relations) == {"="} and enclosed(trimmed(sides[-1])) == "{}":
        tokens = trimmed(trimmed(sides[-1])[1:-1])
    return _items_of(tokens)


def _labels(tokens: Tokens) -> set[str | None]:
    found = {_labelled(part)[0] for part in _parts(tokens)}
    return set() if None in found else found


def _values_in_order(tokens: Tokens) -> Tokens:
    found: list[Token] = []
    for part in _parts(tokens):
        if found:
            found.append(Token("sep", ","))
        found += _labelled(part)[1]
    return tuple(found)


def _labelled(part: Tokens) -> tuple[str | None, Tokens]:
    sides, relations = members(part)
    if len(sides) == 2 and relations == ["="]:
        if (name := symbol_of(sides[0])) is not None:
            return name, trimmed(sides[1])
        if (name := symbol_of(sides[1])) is not None:
            return name, trimmed(sides[0])
    return None, part


def _items_of(tokens: Tokens) -> list[Item]:
    found: list[Item] = []
    for part in _parts(tokens):
        label, value = _labelled(part)
        if enclosed(value) == "{}" and label is not None:
            found += [item._replace(label=label) for item in _items_of(value[1:-1])]
        elif has_plus_minus(value) and enclosed(value) is None:
            found += [Item(value, label, tree) for tree in values_of(value)]
        else:
            found.append(Item(value, label))
    labels = {item.label for item in found}
    if len(labels) == 2 and found[0].label is not None and all(item.label is None for item in found[1:]):
        return [item._replace(label=found[0].label) for item in found]
    return found


def _same_item(found: Item, wanted: Item) -> bool:
    if wanted.label is not None and found.label is not None and wanted.label != found.label:
        return False
    if found.tree is not None or wanted.tree is not None:
        trees = [item.tree if item.tree is not None else parse(item.tokens) for item in (found, wanted)]
        return equal(trees[0], trees[1])
    if found.tokens == wanted.tokens:
        return True
    return same_tokens(found.tokens, _read_item(wanted.tokens))


@lru_cache(8192)
def _read_item(tokens: Tokens) -> Gold:
    return Gold("", tokens, type_of("", tokens))


def _same_in_order(found: Sequence[Item], wanted: Sequence[Item]) -> bool:
    return len(found) == len(wanted) and all(_same_item(a, b) for a, b in zip(found, wanted, strict=True))


def _matched(found: list[Item], wanted: list[Item]) -> bool:
    left = list(found)
    for item in wanted:
        place = next((index for index, other in enumerate(left) if _safely(lambda other=other: _same_item(other, item))), None)  # type: ignore[misc]  # noqa: B023
        if place is None:
            return False
        del left[place]
    return not left


def _safely(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except _FAILURES:
        return False


def _same_tuple(given: Tokens, gold: Gold) -> bool:
    given, _ = without_remark(without_words_before(given))
    sides, relations = members(given)
    if relations and all(relation in "=∈" for relation in relations):
        if len(relations) == 1 or enclosed(given) is None and len(_parts(given)) == 1:
            given = trimmed(sides[-1])
    if (
        len(given) > 1
        and given[0].kind in ("run", "word")
        and len(given[0].text) == 1
        and given[0].text.isupper()
        and enclosed(given[1:]) == "()"
    ):
        given = given[1:]  # the point D(8, -2)
    wanted = _items_of(gold.tokens[1:-1])
    brackets = enclosed(gold.tokens) or "()"
    if len(given) == 1 and given[0].kind == "matrix":
        return brackets != "[]" and _same_in_order([Item(cell) for cell in _column(given[0])], wanted)
    found_brackets = enclosed(given)
    if found_brackets is None:
        if _is_range(given) or (given and given[0].kind == "close"):
            return len(wanted) == 2 and _same_interval(given, gold)
        return brackets != "[]" and _same_in_order(_items_of(given), wanted)
    if found_brackets != brackets and {found_brackets, brackets} != {"()", "<>"}:
        return False
    return _same_in_order(_items_of(given[1:-1]), wanted)


def _is_range(tokens: Tokens) -> bool:
    return any(token.kind == "rel" and token.text in "<>≤≥" for _, token in at_top(tokens))


def _column(matrix: Token) -> list[Tokens]:
    if all(len(row) == 1 for row in matrix.rows):
        return [row[0] for row in matrix.rows]
    if len(matrix.rows) == 1:
        return list(matrix.rows[0])
    raise Unreadable("no vector")


# --- sets, equations, matrices


def _same_interval(given: Tokens, gold: Gold) -> bool:
    try:
        wanted, name = read_set(gold.tokens)
    except Unreadable:
        return _same_relation(given, gold)
    try:
        found, other = read_set(given)
    except Unreadable:
        return _same_relation(given, gold)
    if name is not None and other is not None and name != other:
        return False
    return same_set(wanted, found)


def _same_relation(given: Tokens, gold: Gold) -> bool:
    """An inequality in several symbols: the same up to a positive factor."""
    wanted, found = (_difference(tokens, "<≤≠>≥") for tokens in (gold.tokens, given))
    return wanted[1] == found[1] and _proportional(wanted[0], found[0], wanted[1] != "≠")


def _same_equation(given: Tokens, gold: Gold) -> bool:
    given, _ = without_remark(without_words_before(given))
    wanted, _ = _difference(gold.tokens, "=")
    sides, relations = members(given)
    if not relations:
        name, value = _defined(gold.tokens)
        return name is not None and value is not None and equal(value, parse(trimmed(given)))
    if len(relations) > 1 and relations == ["="] * len(relations):
        given = (*sides[0], Token("rel", "="), *sides[-1])
    found, _ = _difference(given, "=")
    return _proportional(wanted, found, False)


def _defined(tokens: Tokens) -> tuple[str | None, Tree | None]:
    """Symbol and expression of `y = 2x + 3`."""
    sides, _ = members(tokens)
    if len(sides) != 2:
        return None, None
    for one, other in (sides, sides[::-1]):
        name = symbol_of(one)
        if name is not None:
            value = parse(trimmed(other))
            if name not in symbols(value):
                return name, value
    return None, None


_ORIENTED = {"<": ("<", 1), "≤": ("≤", 1), ">": ("<", -1), "≥": ("≤", -1), "=": ("=", 1), "≠": ("≠", 1)}


def _difference(tokens: Tokens, allowed: str) -> tuple[Tree, str]:
    sides, relations = members(tokens)
    if len(relations) != 1 or relations[0] not in allowed:
        raise Unreadable("not one relation")
    left, right = (_side(side) for side in sides)
    relation, sign = _ORIENTED[relations[0]]
    return (("add", left, ("neg", right)) if sign > 0 else ("add", right, ("neg", left))), relation


def _side(tokens: Tokens) -> Tree:
    tokens = trimmed(tokens)
    name = symbol_of(tokens)
    if name is not None and name.endswith("()") and symbol_of(tokens[-2:-1]) is not None and len(tokens) < 6:
        return ("sym", name)
    return parse(tokens)


def _proportional(a: Tree, b: Tree, positive: bool) -> bool:
    """Is one tree the other times a constant other than zero?"""
    names = symbols(a)
    if names != symbols(b) or not names:
        return False
    for shift in (0, 5, 9):
        point = {name: Fraction(7 + 3 * place + shift, 5 + place) for place, name in enumerate(sorted(names))}
        at_a, at_b = substituted(a, point), substituted(b, point)
        if equal(at_a, ("num", Fraction(0))) or equal(at_b, ("num", Fraction(0))):
            continue
        if positive and not equal(("fn", "sgn", at_a), ("fn", "sgn", at_b)):
            return False
        return equal(("mul", a, at_b), ("mul", b, at_a))
    return False


def _same_matrix(given: Tokens, gold: Gold) -> bool:
    wanted = _matrix(gold.tokens)
    given, _ = without_remark(without_words_before(given))
    sides, relations = members(given)
    if relations and all(relation == "=" for relation in relations):
        given = trimmed(sides[-1])
    if enclosed(given) in ("()", "<>") and not any(token.kind == "matrix" for token in given):
        cells = [[parse(part)] for part in _parts(given[1:-1])]
        found = (cells if all(len(row) == 1 for row in wanted[0]) else [[cell[0] for cell in cells]], False)
    else:
        found = _matrix(given)
    return (
        wanted[1] == found[1] and len(wanted[0]) == len(found[0])
        and all(len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True)) for a, b in zip(wanted[0], found[0], strict=True))
    )  # fmt: skip


def _matrix(tokens: Tokens) -> tuple[list[list[Tree]], bool]:
    """Entries of a matrix, a factor before it or behind it multiplied in; whether it is a determinant."""
    tokens = trimmed(tokens)
    while enclosed(tokens) in ("()", "[]"):
        tokens = trimmed(tokens[1:-1])
    places = [place for place, token in enumerate(tokens) if token.kind == "matrix"]
    if len(places) != 1:
        raise Unreadable("not one matrix")
    place = places[0]
    matrix = tokens[place]
    before, after = tokens[:place], tokens[place + 1 :]
    if after and not (after[0].kind == "op" and after[0].text in "*/"):
        raise Unreadable("something behind a matrix")
    factor: Tree | None = None
    while before and before[-1] == Token("op", "*"):
        before = before[:-1]
    if before == (Token("op", "-"),):
        factor = ("num", Fraction(-1))
    elif before:
        factor = parse(before)
    rows = []
    for row in matrix.rows:
        cells = [parse(trimmed(cell)) for cell in row]
        rows.append([_after(cell if factor is None else ("mul", factor, cell), after) for cell in cells])
    return rows, matrix.text in ("vmatrix", "Vmatrix")


def _after(cell: Tree, after: Tokens) -> Tree:
    if not after:
        return cell
    return ("mul" if after[0].text == "*" else "div", cell, parse(after[1:]))


# --- letters and words


def _same_choice(given: Tokens, gold: Gold) -> bool:
    return (letter := _choice(given)) is not None and letter == _choice(gold.tokens)


def _choice(tokens: Tokens) -> str | None:
    tokens = without_words_before(trimmed(tokens))
    if place := choice_label(tokens):
        letters = [token.text or token.args[0][0].text for token in tokens[:place] if token.kind in ("word", "run", "group")]
        others = [choice_label(tokens[index:]) for index in range(place, len(tokens))]
        return letters[0] if letters and not any(others) else None
    words = [token for token in tokens if letters_of(token) not in ("option", "choice", "answer", "选项")]
    if enclosed(tuple(words)) == "()":
        words = words[1:-1]
    if len(words) == 1 and words[0].kind in ("word", "run") and len(words[0].text) == 1:
        return words[0].text.upper()
    return None


_ARTICLES = {"a", "an", "the", "due", "is", "are", "it", "only", "just"}
_SAME_WORDS = {"dne": "doesnotexist", "undefined": "doesnotexist", "none": "nosolution", "nosolutions": "nosolution", "norealsolution": "nosolution",
               "norealsolutions": "nosolution", "nosuchnumber": "nosolution"}  # fmt: skip


def _same_text(given: Tokens, gold: Gold) -> bool:
    wanted = _words(gold.tokens)
    found = _words(given)
    if not wanted or not found:
        return False
    if found == wanted:
        return True
    labelled = without_words_before(given)
    return labelled != given and _words(labelled) == wanted


def _words(tokens: Tokens) -> str:
    """Letters and digits of the words, without articles; signs of a formula make it none."""
    tokens, _ = without_remark(trimmed(tokens))
    found = []
    for token in tokens:
        if token.kind == "group":
            found.append(_words(token.args[0]))
        elif token.kind == "num":
            found.append(str(token.value))
        elif token.kind in ("rel", "op", "unknown", "sep") and token.text in (":", "-", "'", ".", ",", '"', "and", "or"):
            found.append(token.text if token.text in (":", "and", "or") else "")
        elif token.kind in ("word", "run", "name", "function"):
            found.append("" if token.text.lower() in _ARTICLES else unicodedata.normalize("NFKC", token.text).casefold())
        elif token.kind in ("open", "close") and token.text in "()":
            continue
        else:
            return ""
    joined = "".join(re.sub(r"[^\w:]", "", part) for part in found)
    return _SAME_WORDS.get(joined, joined)


_COMPARED: dict[AnswerType, Callable[[Tokens, Gold], bool]] = {
    "integer": _same_value, "rational": _same_value, "decimal": _same_value, "percent": _same_value, "money": _same_value,
    "mixed number": _same_value, "expression": _same_value, "base-n number": _same_base, "tuple": _same_tuple, "list": _same_list,
    "interval": _same_interval, "equation": _same_equation, "matrix": _same_matrix, "choice": _same_choice, "text": _same_text,
}  # fmt: skip
