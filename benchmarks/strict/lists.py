"""Members of lists, sets and tuples, with the symbols that they are said to be; nothing here compares them."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.strict.expressions import has_plus_minus, sign_choices
from benchmarks.strict.gold import names_of
from benchmarks.strict.parts import at_top, cut, enclosed, letters_of, list_parts, may_be_name, members, qualified, symbol_of, trimmed
from benchmarks.strict.tokens import Token, Tokens, Unreadable


def spelled_out(tokens: Tokens) -> Tokens:
    """`(x, y) = (1, 2)` as `x = 1, y = 2`."""
    sides, relations = members(tokens)
    if relations != ["="] or any(enclosed(trimmed(side)) != "()" for side in sides):
        return tokens
    names, values = (list_parts(trimmed(side)[1:-1]) for side in sides)
    if len(names) != len(values) or not all(symbol_of(name) for name in names):
        return tokens
    equal_signs = [(*name, Token("rel", "="), *value) for name, value in zip(names, values, strict=True)]
    return tuple(token for part in equal_signs for token in (Token("sep", ","), *part))


class Item(NamedTuple):
    """One member of a list, with the symbol that it is said to be one for each sign of a ±."""

    tokens: Tokens
    label: str | None = None


def items(tokens: Tokens) -> list[Item]:
    """The members of a list or set: a ± gives two, a label before the first is that of all."""
    tokens = trimmed(tokens)
    for place, token in at_top(tokens):
        if token.kind == "rel" and token.text == "∈" and (symbol_of(tokens[:place]) or names_of(trimmed(tokens[:place]))):
            tokens = trimmed(tokens[place + 1 :])
            break
    union = [trimmed(part) for part in cut(tokens, "op", "∪")]
    if len(union) > 1 and all(enclosed(part) == "{}" for part in union):
        return [item for part in union for item in items(part)]
    if enclosed(tokens) == "{}":
        tokens = trimmed(tokens[1:-1])
    for separators in ((";", "or", "row"), (";", "or", "row", "and")):
        groups = [part for part in (trimmed(part) for part in cut(tokens, "sep", separators)) if part]
        if len(groups) > 1 and all(len(_labels(group)) > 1 for group in groups):  # p=5, q=2; p=7, q=2
            bracketed = [(Token("open", "("), *_values_by_name(group), Token("close", ")")) for group in groups]
            return [Item(group) for group in bracketed]
    sides, relations = members(tokens)
    if relations and set(relations) == {"="} and enclosed(trimmed(sides[-1])) == "{}":
        tokens = trimmed(trimmed(sides[-1])[1:-1])
    return items_of(tokens)


def _labels(tokens: Tokens) -> set[str | None]:
    found = {_labelled(part)[0] for part in list_parts(tokens)}
    return set() if None in found else found


def _values_by_name(tokens: Tokens) -> Tokens:
    """The values of `q = 2, p = 5` in the order of their names."""
    named = [Item(value, label) for label, value in map(_labelled, list_parts(tokens))]
    found = [token for item in named_in_order(named, ()) for token in (Token("sep", ","), *item.tokens)]
    return tuple(found[1:])


def _labelled(part: Tokens) -> tuple[str | None, Tokens]:
    sides, relations = members(part)
    if len(sides) == 2 and relations == ["="]:
        if names := names_of(trimmed(sides[0])):
            if list(names) != sorted(names) and tuple(sorted(names)) in _ALPHABETICAL:
                raise Unreadable("members in another order than that of the alphabet")
            return None, trimmed(sides[1])
        if (name := symbol_of(sides[0])) is not None:
            return name, trimmed(sides[1])
        if (name := symbol_of(sides[1])) is not None:
            return name, trimmed(sides[0])
    return None, part


def items_of(tokens: Tokens) -> list[Item]:
    """The members between separators, without what encloses them."""
    found: list[Item] = []
    for part in list_parts(tokens):
        label, value = _labelled(part)
        if enclosed(value) == "{}" and label is not None:
            found += [item._replace(label=label) for item in items_of(value[1:-1])]
        elif has_plus_minus(value):
            found += [Item(choice, label) for choice in sign_choices(value)]
        else:
            found.append(Item(value, label))
    labels = {item.label for item in found}
    if len(labels) == 2 and found[0].label is not None and all(item.label is None for item in found[1:]):
        return [item._replace(label=found[0].label) for item in found]
    return found


def all_named(tokens: Tokens) -> Tokens:
    """`x = 2 \\quad y = 3` with a comma, and `x = y = 1` as `x = 1, y = 1`.  Raises Unreadable for `x = y = 1, 2`."""
    found: list[Token] = []
    for place, token in enumerate(tokens):
        equals = [one.text for one in tokens[place + 1 : place + 2]] == ["="]
        named = place > 2 and token.spaced and equals and symbol_of((token,)) is not None
        if named and tokens[place - 1].kind not in ("op", "rel", "sep") and any(one.kind == "rel" for one in tokens[:place]):
            found.append(Token("sep", ","))
        found.append(token)
    parts = list_parts(tuple(found))
    sides, relations = members(parts[0]) if parts else ([], [])
    if len(sides) < 3 or set(relations) != {"="} or any(symbol_of(side) is None for side in sides[:-1]):
        return tuple(found)
    if len(parts) > 1:
        raise Unreadable("several symbols with several values")
    return tuple(token for side in sides[:-1] for token in (Token("sep", ","), *side, Token("rel", "="), *sides[-1]))[1:]


def offers_one_of(tokens: Tokens) -> bool:
    """Is it «x = 2 or y = 3», which does not say both?"""
    labels = [_labelled(trimmed(part))[0] for part in cut(tokens, "sep", ("or",))]
    return len(labels) > 1 and None not in labels and len(set(labels)) == len(labels)


_LETTERS = ("xy", "xyz", "ab", "abc", "abcd", "mn", "pq", "pqr", "uv", "st", "rs", "jk", "hk")


_ALPHABETICAL = {*map(tuple, _LETTERS), ("r", "theta")}
"""Symbols whose order in a tuple is that of the alphabet."""


def named_in_order(found: list[Item], names: tuple[str, ...]) -> list[Item]:
    """`y = -2, x = 8` in the order of the gold's names, else of the alphabet."""
    labels = [item.label for item in found]
    if None in labels:
        return found
    if len(set(labels)) < len(labels):
        raise Unreadable("one symbol with several values")
    if names and set(labels) != set(names):
        raise Unreadable("other names")
    if not names and tuple(sorted(map(str, labels))) not in _ALPHABETICAL:
        return found
    order = {name: place for place, name in enumerate(names or sorted(map(str, labels)))}
    return [item._replace(label=None) for item in sorted(found, key=lambda item: order[str(item.label)])]


def without_name(tokens: Tokens) -> Tokens:
    """A tuple without what it is called: `(x, y) = (8, -2)`, `D(8, -2)`, «point (8, -2)»."""
    if len(tokens) > 1 and letters_of(tokens[0]) in ("point", "points", "pair", "triple", "vertex", "vector"):
        tokens = tokens[1:]
    while enclosed(tokens) in ("{}", "()") and enclosed(trimmed(tokens[1:-1])) == "()" and len(list_parts(tokens[1:-1])) == 1:
        tokens = trimmed(tokens[1:-1])  # {(8, -2)}
    sides, relations = members(tokens)
    if qualified(sides[0]):
        raise Unreadable("a denial")
    if relations == ["="] and not may_be_name(sides[0]):
        raise Unreadable("an equation")  # (x + 1, y) = (2, 3)
    chain = bool(relations) and all(relation in "=∈" for relation in relations)
    if chain and (len(relations) == 1 or (enclosed(tokens) is None and len(list_parts(tokens)) == 1)):
        tokens = trimmed(sides[-1])
    first = tokens[0] if len(tokens) > 1 else None
    if first is not None and first.kind in ("run", "word") and len(first.text) == 1 and first.text.isupper():
        rest = tokens[2:] if tokens[1] == Token("op", "'") else tokens[1:]
        return rest if enclosed(rest) == "()" else tokens
    return tokens
