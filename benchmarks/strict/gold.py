"""Reads gold answers and finds their types."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from benchmarks.strict.domains import Domain, without_domain
from benchmarks.strict.expressions import Tree, has_plus_minus, parse
from benchmarks.strict.latex import tokenize
from benchmarks.strict.number_words import number_in_words
from benchmarks.strict.parts import (
    at_top,
    choice_label,
    cut,
    enclosed,
    letters_of,
    list_parts,
    members,
    symbol_of,
    trimmed,
    without_words_before,
)
from benchmarks.strict.reading import quantity
from benchmarks.strict.sets import looks_like_set, says_all_reals
from benchmarks.strict.tokens import Tokens, Unreadable
from benchmarks.strict.types import AnswerType
from benchmarks.strict.units import is_unit_word
from benchmarks.strict.values import NoValue, Unbounded, exact, symbols

_CLOCK = re.compile(r"\s*(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?\s*(?:\\?[a-zA-Z{~ ]*[AaPp]\.?\s*[Mm]\.?.*)?", re.DOTALL)


class Gold(NamedTuple):
    """A gold answer, read once."""

    text: str
    tokens: Tokens
    type: AnswerType
    names: tuple[str, ...] = ()
    """What the members of a tuple are called, in its order (`(p, q) = …`)."""
    domain: Domain = Domain()
    """The set that its symbols run over."""


@lru_cache(8192)
def read_gold(text: str, answer_type: AnswerType | None = None, lists: bool = False) -> Gold:
    """The gold's tokens and type.  Raises Unreadable if it is no formula."""
    tokens, domain = without_domain(trimmed(tokenize(without_dollars(text), lists)))
    names: tuple[str, ...] = ()
    sides, relations = members(tokens)
    if relations == ["="] and enclosed(trimmed(sides[1])) == "()" and (enclosed(trimmed(sides[0])) == "()" or symbol_of(sides[0])):
        names = names_of(trimmed(sides[0]))  # (p, q) = (3, 2), or the point D = (0, 1)
        tokens = trimmed(sides[1])
    elif relations == ["∈"] and names_of(trimmed(sides[0])):
        tokens = trimmed(sides[1])
    return Gold(text, tokens, answer_type or type_of(text, tokens), names, domain)


def names_of(tokens: Tokens) -> tuple[str, ...]:
    """The symbols of `(p, q)`; none for anything else."""
    names = [symbol_of(part) for part in list_parts(tokens[1:-1])] if enclosed(tokens) == "()" else [None]
    return tuple(name for name in names if name is not None) if all(names) else ()


def without_dollars(text: str) -> str:
    """The text without spaces around it and without one pair of `$` around the whole."""
    text = text.strip()
    enclosing = len(text) > 2 and text[0] == text[-1] == "$" and "$" not in text[1:-1] and text[-2] != "\\"
    return text[1:-1] if enclosing else text


def type_of(text: str, tokens: Tokens) -> AnswerType:
    """The type of a gold answer, from its text and its trimmed tokens."""
    if _is_choice(tokens):
        return "choice"
    if says_all_reals(tokens):
        return "interval"
    if len(tokens) == 1 and tokens[0].text == "emptyset":
        return "text"
    if _is_text(text, tokens):
        return "text"
    if any(token.kind == "matrix" for token in _inside(tokens)):
        return "matrix"
    if read_base(tokens) is not None:
        return "base-n number"
    if looks_like_set(tokens) or _has_endless_bound(tokens):
        return "interval"
    if enclosed(tokens) == "{}":
        return "interval" if any(token.kind == "bar" or (token.kind == "rel" and token.text in ":|") for token in tokens) else "list"
    if len([part for part in cut(tokens, "sep", (",", ";", "and", "or", "row")) if part]) > 1 or has_plus_minus(tokens):
        return "list"
    if enclosed(tokens) in ("()", "<>", "[]") and len(cut(tokens[1:-1], "sep", (",", ";"))) > 1:
        return "tuple"
    parts, relations = members(tokens)
    if "=" in relations and not _names_a_value(parts):
        return "equation"
    return _number_type(tokens)


def _has_endless_bound(tokens: Tokens) -> bool:
    r"""`(5, \infty)` is an interval."""
    ends = cut(tokens[1:-1], "sep", ",") if enclosed(tokens) == "()" else []
    return len(ends) == 2 and any(token.kind == "name" and token.text == "infty" for end in ends for token in end)


def _inside(tokens: Tokens) -> Tokens:
    """The tokens without one pair of brackets around the whole."""
    return tokens[1:-1] if enclosed(tokens) in ("()", "[]") else tokens


def _is_choice(tokens: Tokens) -> bool:
    """Is it a letter from A to J, perhaps in brackets?"""
    if len(tokens) == 1:
        return tokens[0].kind in ("word", "run") and len(tokens[0].text) == 1 and "A" <= tokens[0].text <= "J"
    return choice_label(tokens) == len(tokens) > 0


def _is_text(text: str, tokens: Tokens) -> bool:
    """Is it words: «yes», «Monday, May 5», a time of day?"""
    if len(tokens) == 1 and tokens[0].kind == "run" and re.fullmatch(r"(?i)no|(?=.*[aeiou])\w{3,}", tokens[0].text):
        return True  # «yes», «odd», «tea»
    if len(tokens) == 1 and tokens[0].kind == "run" and re.fullmatch(r"[A-Z]{2,}", tokens[0].text):
        return True  # points: «BCD»
    plain = re.sub(r"\\(?:text|mbox|mathrm)\s*\{|\}|\\[!,;: ]", "", text)
    if _CLOCK.fullmatch(plain) and re.search(r"[AaPp]\.?\s*[Mm]|^\D*\d?\d:\d\d\D*$", text):
        return re.search(r"[AaPp]\.?\s*\\?[Mm]", text) is not None or re.fullmatch(r"\s*(?:[01]?\d|2[0-4]):[0-5]0\s*", text) is not None
    if not any((token.kind == "word" and len(token.text) > 1) or (token.kind == "run" and is_unit_word(token.text)) for token in tokens):
        return False
    if any(token.kind in ("rel", "frac", "sqrt", "matrix", "rows", "sup", "money", "percent") for token in tokens):
        return False
    if any(token.kind == "num" for token in tokens):  # «Monday, May 5», but not «the answer is 5»
        return tokens[0].kind == "word" and len(tokens[0].text) > 1 and without_words_before(tokens) == tokens
    return letters_of(tokens[0]) != "" or tokens[0].kind == "word"


def read_base(tokens: Tokens) -> tuple[str, int | None] | None:
    """The digits and the base of `4210_5`, `(52)_8` or `2A_{16}`; None for anything else."""
    digits, place = "", 0
    if len(tokens) == 2 and tokens[0].kind == "accent" and tokens[0].text == "overline":
        tokens = (*tokens[0].args[0], tokens[1])  # \overline{4210}_5
    if len(tokens) > 3 and tokens[0].text == "(" and tokens[2].text == ")" and tokens[3].kind == "sub":
        tokens = (tokens[1], *tokens[3:])  # (52)_8
    while place < len(tokens) and tokens[place].kind in ("num", "run", "word"):
        token = tokens[place]
        if token.kind == "num":
            if token.text != "integer" or token.value is None:
                return None
            digits += str(token.value)
        elif re.fullmatch(r"[A-Fa-f]{1,12}", token.text) and (digits or place == 0):
            digits += token.text.upper()
        else:
            break
        place += 1
    rest = tokens[place:]
    if not digits or not re.search(r"\d", digits) or not rest:
        return None
    if len(rest) == 1 and rest[0].kind == "sub":
        return _base_of(digits, rest[0].args[0])
    if letters_of(rest[0]) == "in" and len(rest) > 2 and letters_of(rest[1]) == "base":
        rest = rest[1:]
    if letters_of(rest[0]) == "base" and len(rest) > 1:
        return _base_of(digits, rest[1:])
    return None


def _base_of(digits: str, tokens: Tokens) -> tuple[str, int | None] | None:
    tokens = trimmed(tokens)
    if enclosed(tokens) == "()":
        tokens = tokens[1:-1]
    if tokens and letters_of(tokens[0]) == "base":
        tokens = tokens[1:]
    if len(tokens) == 1 and tokens[0].kind == "num" and tokens[0].value is not None and 2 <= tokens[0].value <= 36:
        return digits, int(tokens[0].value)
    if tokens and all(letters_of(token) for token in tokens) and (number := number_in_words([letters_of(token) for token in tokens])):
        return digits, int(number)
    return None


def _names_a_value(parts: list[Tokens]) -> bool:
    """Are the sides those of `x = 5`: a symbol or words, and a value without symbols?"""
    values = 0
    for place, part in enumerate(parts):
        part = trimmed(part)
        if symbol_of(part) is not None or all(letters_of(token) and len(token.text) > 1 for token in part):
            continue
        try:
            closed = not symbols(parse(part))
        except Unreadable:
            closed = _is_closed(part)
        if not closed and place == len(parts) - 1:
            return False
        values += closed
        if not closed and place == 0 and len(parts) == 2:
            return _is_name_like(part)
    return values >= 1


def _is_closed(part: Tokens) -> bool:
    """Is it a quantity without symbols?"""
    try:
        quantity(part, False)
    except Unreadable:
        return False
    return True


def _is_name_like(part: Tokens) -> bool:
    r"""`|AB|`, `\overline{AB}`, `\frac{NO}{BO}`: a name for the value, not the side of an equation."""
    flat = [inside for token in part for inside in ((token,) if not token.args else [one for argument in token.args for one in argument])]
    if flat and all(token.kind == "run" and len(token.text) > 1 and token.text.isupper() for token in flat if token.kind != "op"):
        return True
    return any(
        token.kind in ("accent", "set") or (token.kind == "name" and token.text in ("angle", "triangle")) for _, token in at_top(part)
    ) or bool(part and part[0].kind in ("bar", "open") and part[0].text == "|")


def _number_type(tokens: Tokens) -> AnswerType:
    """The type of a single value."""
    try:
        read = quantity(tokens, True)
    except Unreadable:
        return "expression"
    if read.unit is not None and read.unit.percent:
        return "percent"
    if any(token.kind == "money" for _, token in at_top(tokens)):
        return "money"
    if len(read.trees) > 1 or symbols(read.trees[0]):
        return "expression"
    first = next((token for _, token in at_top(tokens) if token.kind == "num"), None)
    tree = read.trees[0][1] if read.trees[0][0] == "neg" else read.trees[0]
    if tree[0] == "num" and tree[1].denominator > 1 and first is not None and first.text == "integer":
        return "mixed number"
    if read.decimals is not None:
        return "decimal"
    try:
        value = exact(read.trees[0])
    except (NoValue, Unbounded):
        return "expression"
    if value is None:
        return "expression"
    if not _is_worked_out(read.trees[0]) or any(token.kind == "rel" and token.text == ":" for token in tokens):
        return "expression"
    return "integer" if value.denominator == 1 else "rational"


def _is_worked_out(tree: Tree) -> bool:
    """Is it arithmetic with rational numbers: no roots, no constants, no functions other than factorials?"""
    if tree[0] == "num":
        return True
    if tree[0] == "fn":
        return tree[1] == "factorial" and _is_worked_out(tree[2])
    return tree[0] in ("add", "mul", "div", "neg", "pow") and all(_is_worked_out(part) for part in tree[1:])
