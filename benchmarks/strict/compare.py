"""Does an answer denote the gold answer?  The gold's type decides how the two are compared (docs/judges.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache

from benchmarks.strict.domains import renamed, same_domain, without_domain
from benchmarks.strict.expressions import has_plus_minus
from benchmarks.strict.gold import Gold, names_of, read_base, read_gold, type_of, without_dollars
from benchmarks.strict.latex import tokenize
from benchmarks.strict.lists import Item, all_named, items, items_of, named_in_order, offers_one_of, spelled_out, without_name
from benchmarks.strict.matrices import column, is_transposed, same_matrix, unit_vector_parts
from benchmarks.strict.numerals import has_comma_groups
from benchmarks.strict.parts import (
    at_top,
    cut,
    enclosed,
    letters_of,
    list_parts,
    members,
    symbol_of,
    trimmed,
    without_remark,
    without_words,
    without_words_before,
)
from benchmarks.strict.quantities import same_quantity
from benchmarks.strict.ratios import ratio, same_ratio
from benchmarks.strict.reading import Quantity, quantity, together, with_spelled_number
from benchmarks.strict.relations import same_equation, same_relation
from benchmarks.strict.sets import read_set, same_set
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.types import AnswerType
from benchmarks.strict.values import NoValue, Unbounded, symbols
from benchmarks.strict.words import same_choice, same_text

LONGEST_LIST = 60


SEVERAL: tuple[AnswerType, ...] = ("list", "tuple", "interval", "equation", "matrix")
"""Types of a gold that may be stated in several boxes."""
_FAILURES = (Unreadable, NoValue, Unbounded)


def same_answer(answer: str, gold: str, answer_type: AnswerType | None = None) -> bool:
    """Does the text of an answer denote the gold answer?"""
    if _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(gold) and answer_type in (None, "integer"):
        return int(answer) == int(gold)
    if _plainly_same(answer, gold):
        return True
    try:
        wanted = read_gold(gold, answer_type)
        if _is_ambiguous(wanted):  # (1,200) is a pair
            return _same_read(answer, read_gold(gold, answer_type, True), True)
        if _same_read(answer, wanted, False):
            return True
        if wanted.type == "decimal" and (comma := _DECIMAL_COMMA.fullmatch(answer)) is not None:
            return _same_read(f"{comma[1]}.{comma[2]}{comma[3]}", wanted, False)
        if has_comma_groups(gold) and wanted.type in SEVERAL:
            return _same_read(answer, read_gold(gold, answer_type, True), True)
        return has_comma_groups(answer) and _same_read(answer, wanted, True)
    except Unreadable:
        return False


_DECIMAL_COMMA = re.compile(r"\s*\$?(-?\d+)(?:,|\{,\})(\d{1,2}|\d{4,})((?!\s*(?:[,;\d]|\\?%)).{0,40})", re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]{1,200}")


def _is_ambiguous(gold: Gold) -> bool:
    """Is a gold one number in brackets only because a comma was read as a separator of thousands?"""
    return has_comma_groups(gold.text) and enclosed(gold.tokens) is not None and len(list_parts(gold.tokens[1:-1])) == 1


def _plainly_same(answer: str, gold: str) -> bool:
    squeezed = _SPACE.sub("", answer)
    return squeezed == _SPACE.sub("", gold) and _SAYS.search(squeezed) is not None


_SAYS = re.compile(r"[^\W_]")
_SPACE = re.compile(r"^\s+|\s+$|\s+(?=\W)|(?<=\W)\s+")
"""Space that no two letters or digits need between them."""


def _same_read(answer: str, wanted: Gold, lists: bool) -> bool:
    try:
        given = trimmed(tokenize(without_dollars(answer), lists))
    except Unreadable:
        return False
    return bool(given) and (given == wanted.tokens or same_tokens(given, wanted))


def same_tokens(given: Tokens, gold: Gold) -> bool:
    """The same for tokens that are read already."""
    given, domain = without_domain(trimmed(given))
    if not _same_domain(domain.letter, gold):
        return False
    if gold.domain.letter and len(gold.domain.names) == len(domain.names) == 1 and gold.domain.names != domain.names:
        given = _with_other_symbol(given, domain.names[0], gold.domain.names[0])
    try:
        given = _joined_rows(given, gold.type == "matrix")
        return _COMPARED[gold.type](given, gold)
    except _FAILURES:
        return False


def _with_other_symbol(tokens: Tokens, old: str, new: str) -> Tokens:
    """The tokens with the symbol that runs over a set called as in the gold, unless that name is taken."""
    return tokens if renamed(tokens, new, "") != tokens else renamed(tokens, old, new)


def _same_domain(domain: str, gold: Gold) -> bool:
    """May an answer say that its symbol runs over this set?"""
    wanted = gold.domain.letter
    if not domain or same_domain(domain, wanted) or (domain == "R" and not wanted):
        return True
    if domain.endswith("?"):
        return False
    name = str(symbol_of(members(gold.tokens)[0][0]))
    of_a_function = gold.type == "equation" and (name.endswith("()") or "_" in name)  # f(x) = …, x_n = …
    return not wanted and (of_a_function or gold.type not in ("interval", "equation"))


def _joined_rows(tokens: Tokens, matrix: bool) -> Tokens:
    """The rows of `aligned`, or of a column of equations in `array`: one chain, or a list if a row begins anew with a value."""
    rows = tokens[1:] if len(tokens) == 2 and tokens[0].kind == "open" and tokens[0].text == "{" else tokens
    token = rows[0] if len(rows) == 1 else None
    if token is None or token.kind not in ("rows", "matrix"):
        return tokens
    if token.kind == "matrix" and (matrix or any(len(row) > 1 or all(one.kind != "rel" for one in row[0]) for row in token.rows)):
        return tokens
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
            given += [Token("sep", ";"), *trimmed(tokenize(without_dollars(part), lists))]
    except Unreadable:
        return False
    if wanted.type == "interval":
        union = tuple(token._replace(text="or") if token.text == ";" else token for token in given)
        return same_tokens(union, wanted) or same_tokens(tuple(given), wanted)
    return same_tokens(tuple(given), wanted)


def is_several(answer: str) -> bool:
    """Does an answer offer several values, or one with an alternative?"""
    try:
        given = with_spelled_number(trimmed(tokenize(without_dollars(answer))))
    except Unreadable:
        return False
    return len(list_parts(given)) > 1 or has_plus_minus(given)


def _same_value(given: Tokens, gold: Gold) -> bool:
    given = with_spelled_number(given)
    given = _single_member(given)
    if (terms := ratio(gold.tokens)) is not None and (others := ratio(given)) is not None:
        return same_ratio(terms, others)
    wanted = _gold_quantity(gold.tokens)
    with_symbols = any(symbols(tree) for tree in wanted.trees)
    parts = list_parts(given)
    if len(parts) > 1:
        return _all_the_same(parts, wanted, with_symbols)
    base = read_base(trimmed(without_words_before(given)))
    if base is not None and read_base(gold.tokens) is None:
        return base[1] == 10 and base[0].isdigit() and same_quantity(wanted, Quantity((("num", Fraction(int(base[0]))),)))
    found = quantity(given, with_symbols)
    if any(not same_quantity(wanted, quantity(other, with_symbols)) for other in found.beside):
        return False
    return same_quantity(wanted, found)


def _single_member(tokens: Tokens) -> Tokens:
    r"""`x = 5` of `x \in \{5\}`."""
    sides, relations = members(tokens)
    inside = trimmed(sides[-1])
    if relations != ["∈"] or symbol_of(sides[0]) is None or enclosed(inside) != "{}" or len(list_parts(inside[1:-1])) != 1:
        return tokens
    return (*sides[0], Token("rel", "="), *inside[1:-1])


@lru_cache(8192)
def _gold_quantity(tokens: Tokens) -> Quantity:
    return quantity(tokens, True)


def _all_the_same(parts: list[Tokens], wanted: Quantity, with_symbols: bool) -> bool:
    """Several values for a single gold: each is the gold («½ or 0.5»), or together they are one («5 h and 20 min»)."""
    values = [quantity(part, with_symbols) for part in parts[:LONGEST_LIST]]
    if all(value.unit is not None and value.unit.known for value in values) and len(values) == 2:
        try:
            return same_quantity(wanted, together(values[0], values[1]))
        except Unreadable:
            pass
    return len(parts) <= LONGEST_LIST and all(same_quantity(wanted, value) for value in values)


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


def _same_list(given: Tokens, gold: Gold) -> bool:
    wanted = items(gold.tokens)
    chain = _last_of_chain(spelled_out(all_named(without_words_before(given))))
    if chain is None or offers_one_of(chain):
        return False
    given = chain
    if enclosed(given) == "()" and len(list_parts(given[1:-1])) > 1 and len(wanted) > 1 and not has_plus_minus(given):
        return _same_in_order(items_of(given[1:-1]), wanted)
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


def _last_of_chain(tokens: Tokens) -> Tokens | None:
    r"""`x = 1 \pm 2` of `x = \frac{2 \pm 4}{2} = 1 \pm 2`; None if the members are not the same numbers."""
    sides, relations = members(tokens)
    if len(sides) < 3 or set(relations) != {"="} or not has_plus_minus(sides[-1]) or len(list_parts(tokens)) > 1:
        return tokens
    last = items(sides[-1])
    start = int(symbol_of(sides[0]) is not None)
    if not all(_matched(items(side), last) for side in sides[start:-1]):
        return None
    return (*sides[0], Token("rel", "="), *sides[-1]) if start else sides[-1]


def _without_repeats(found: list[Item]) -> list[Item]:
    kept: list[Item] = []
    for item in found[:LONGEST_LIST]:
        if not any(item.label == other.label and _agrees(item, other) for other in kept):
            kept.append(item)
    return kept + found[LONGEST_LIST:]


def _same_item(found: Item, wanted: Item) -> bool:
    if wanted.label is not None and found.label is not None and wanted.label != found.label:
        return False
    if (enclosed(found.tokens) == "{}") != (enclosed(wanted.tokens) == "{}"):
        return False
    if found.tokens == wanted.tokens or [token.kind for token in (*found.tokens, *wanted.tokens)] == ["dots", "dots"]:
        return True
    return same_tokens(found.tokens, _read_item(wanted.tokens))


@lru_cache(8192)
def _read_item(tokens: Tokens) -> Gold:
    tokens, domain = without_domain(tokens)
    return Gold("", tokens, type_of("", tokens), (), domain)


def _same_in_order(found: Sequence[Item], wanted: Sequence[Item]) -> bool:
    return len(found) == len(wanted) and all(_same_item(a, b) for a, b in zip(found, wanted, strict=True))


def _matched(found: list[Item], wanted: list[Item]) -> bool:
    left = list(found)
    for item in wanted:
        place = next((index for index, other in enumerate(left) if _agrees(other, item)), None)
        if place is None:
            return False
        del left[place]
    return not left


def _agrees(found: Item, wanted: Item) -> bool:
    """Is one member the other?  One that cannot be read is not."""
    try:
        return _same_item(found, wanted)
    except _FAILURES:
        return False


def _same_tuple(given: Tokens, gold: Gold) -> bool:
    given = all_named(without_words(given))
    sides, relations = members(given)
    names = names_of(trimmed(sides[0])) if relations == ["="] else ()
    given = without_name(given)
    wanted = items_of(gold.tokens[1:-1])
    brackets = enclosed(gold.tokens) or "()"
    if len(given) == 1 and given[0].kind == "matrix":
        return brackets != "[]" and _same_in_order([Item(cell) for cell in column(given[0])], wanted)
    if len(given) > 2 and is_transposed(given[-1]) and enclosed(given[:-1]) == "()":
        given = given[:-1]
    if (parts := unit_vector_parts(given)) is not None:
        return brackets != "[]" and _same_in_order([Item(trimmed(part)) for part in parts], wanted)
    if len(given) > 2 and given[0] == Token("rel", "<") and given[-1] == Token("rel", ">"):
        given = (Token("open", "<"), *given[1:-1], Token("close", ">"))
    found_brackets = enclosed(given)
    if found_brackets is None and offers_one_of(given):
        return False
    if found_brackets is None:
        if _is_range(given) or (given and given[0].kind == "close") or cut(given, "op", "∪") != [given]:
            return len(wanted) == 2 and _same_interval(given, gold)
        return brackets != "[]" and _same_in_order(named_in_order(items_of(given), gold.names), wanted)
    if found_brackets != brackets and {found_brackets, brackets} != {"()", "<>"}:
        return False
    found = items_of(given[1:-1])
    if len(names) == len(found):
        found = [item._replace(label=name) for item, name in zip(found, names, strict=True)]
    return _same_in_order(named_in_order(found, gold.names), wanted)


def _is_range(tokens: Tokens) -> bool:
    return any(token.kind == "rel" and token.text in "<>≤≥" for _, token in at_top(tokens))


def _same_interval(given: Tokens, gold: Gold) -> bool:
    try:
        wanted, name = read_set(gold.tokens)
    except Unreadable:
        return same_relation(given, gold)
    try:
        found, other = read_set(given)
    except Unreadable:
        return same_relation(given, gold)
    if name is not None and other is not None and name != other:
        return False
    if name is None and any(letters_of(token) in ("integer", "integers") for token in given):
        return False  # [3, ∞) has more in it than the integers from 3
    return same_set(wanted, found)


_COMPARED: dict[AnswerType, Callable[[Tokens, Gold], bool]] = {
    "integer": _same_value, "rational": _same_value, "decimal": _same_value, "percent": _same_value, "money": _same_value,
    "mixed number": _same_value, "expression": _same_value, "base-n number": _same_base, "tuple": _same_tuple, "list": _same_list,
    "interval": _same_interval, "equation": same_equation, "matrix": same_matrix, "choice": same_choice, "text": same_text,
}  # fmt: skip
