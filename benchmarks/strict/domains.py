r"""Which numbers a symbol runs over: `, k \in \mathbb{Z}`, «for all n», «where a, b are real», `(n \ge 1)`.

A set such as `\{2k\pi \mid k \in \mathbb{Z}\}` is read as `2k\pi, k \in \mathbb{Z}`.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.strict.equality import COUNTERS
from benchmarks.strict.parts import at_top, cut, enclosed, last_bracket, letters_of, list_parts, members, symbol_of, trimmed
from benchmarks.strict.tokens import Token, Tokens


class Domain(NamedTuple):
    """A set and the symbols that run over it."""

    letter: str = ""
    """R, Z, N, …; with `+` its positive part, with `0` also zero; with `?` another part; empty if there is none."""
    names: tuple[str, ...] = ()


_SETS = frozenset("RZNQC")
_WHOLE = {"integer", "integers"}
_OTHERS = "real whole natural positive nonnegative non-negative number numbers all any every each some an a is are constant be in arbitrary"
_ABOUT_NUMBERS = frozenset(_OTHERS.split()) | _WHOLE
_PARTS = {"+": "+", "*": "+", ">0": "+", "≥1": "+", "≥0": "0"}
"""What a script at the letter of a set means."""
_OPENING = ("where", "with")


def without_domain(tokens: Tokens) -> tuple[Tokens, Domain]:
    """An answer without what says which numbers its symbols run over, and that set."""
    domain = Domain()
    tokens = _opened_builder(tokens)
    for place, _ in at_top(tokens):
        if place and _begins_domain(tokens[place : place + 3]):
            if (stated := _stated(_without_opening(tokens[place:]))) is not None:
                return trimmed(tokens[:place]), stated
            if not any(other.kind == "num" or (other.kind == "rel" and other.text != "∈") for other in tokens[place:]):
                domain = Domain(_in_words(tokens[place:]))
                tokens = trimmed(tokens[:place])
            break
    parts = cut(tokens, "sep", (",", ";"))
    while len(parts) > 1 and (stated := _stated(trimmed(parts[-1]))) is not None:
        domain = stated
        tokens = trimmed(tokens[: len(tokens) - len(parts[-1])])
        parts = parts[:-1]
    start = last_bracket(tokens) if tokens else None
    if start and (stated := _stated(_without_opening(tokens[start + 1 : -1]))) is not None:
        domain = stated
        tokens = trimmed(tokens[:start])
    return tokens, domain


def renamed(tokens: Tokens, old: str, new: str) -> Tokens:
    """The tokens with another name for a symbol."""
    found = []
    for token in tokens:
        if token.kind in ("run", "name", "word") and token.text == old:
            token = token._replace(text=new)
        elif token.kind == "run" and old in token.text and len(old) == 1:
            token = token._replace(text=token.text.replace(old, new))
        found.append(
            token._replace(
                args=tuple(renamed(argument, old, new) for argument in token.args),
                rows=tuple(tuple(renamed(cell, old, new) for cell in row) for row in token.rows),
            )
        )
    return tuple(found)


def _opened_builder(tokens: Tokens) -> Tokens:
    r"""`\{2k\pi \mid k \in \mathbb{Z}\}` as `2k\pi, k \in \mathbb{Z}`; a set of numbers in one symbol stays."""
    if enclosed(tokens) != "{}":
        return tokens
    inside = tokens[1:-1]
    bar = next((place for place, token in at_top(inside) if token.kind == "bar" or (token.kind == "rel" and token.text in ":|")), None)
    if bar is None:
        return tokens
    left, right = trimmed(inside[:bar]), trimmed(inside[bar + 1 :])
    if symbol_of(left) is None:
        return (*left, Token("sep", ","), *right) if _stated(right) is not None else tokens
    conditions = cut(right, "sep", (",", ";"))
    sides, relations = members(trimmed(conditions[0]))
    if relations == ["="] and symbol_of(sides[0]) == symbol_of(left) and all(_stated(trimmed(one)) for one in conditions[1:]):
        return right
    return tokens


def _without_opening(tokens: Tokens) -> Tokens:
    """A condition without «where», «for all», ∀."""
    tokens = trimmed(tokens)
    while tokens and (letters_of(tokens[0]) in (*_OPENING, "for", "all", "any", "every", "each") or _is_for_all(tokens[0])):
        tokens = trimmed(tokens[1:])
    return tokens


def _is_for_all(token: Token) -> bool:
    return token.kind == "unknown" and token.text == "forall"


def _begins_domain(tokens: Tokens) -> bool:
    """Do the tokens begin with ∀, «where», «with», «for all», or «for k ∈»?"""
    first = letters_of(tokens[0])
    if _is_for_all(tokens[0]) or first in _OPENING:
        return True
    second = letters_of(tokens[1]) if len(tokens) > 1 else ""
    if first != "for" or not second:
        return False
    relation = tokens[2] if len(tokens) > 2 and tokens[2].kind == "rel" else None
    return second in ("all", "any", "every", "each", "some", "real", *_WHOLE) or (len(second) == 1 and relation is not None)


def _in_words(tail: Tokens) -> str:
    """The set that «for all integers k» or «where k ∈ ℤ» names; a mark for one that is not known."""
    words = [letters_of(token) for token in tail[1:] if len(letters_of(token)) > 1 or token.kind == "word"]
    named = next((_letter_at(tail[place:]) for place, token in enumerate(tail) if token.kind == "set"), "")
    if any(word not in _ABOUT_NUMBERS and len(word) > 1 for word in words):
        return "?"
    if named or "some" not in words:
        return named or _of_words(words)
    return _of_words(words) or ("R" if "constant" in words else "?")


def _of_words(words: list[str]) -> str:
    """The letter of the set that words name; empty if they name none."""
    part = "+" if "positive" in words else "0" if {"nonnegative", "non-negative"} & set(words) else ""
    if _WHOLE & set(words) or {"whole", "number"} <= set(words) or {"whole", "numbers"} <= set(words):
        return "Z" + part
    return "N" if "natural" in words else "R" + part if "real" in words else ""


def _stated(part: Tokens) -> Domain | None:
    r"""What a condition such as `k \in \mathbb{Z}`, «k is an integer» or `n \ge 1` says; None if it is no domain."""
    sides, relations = members(part)
    if relations == ["∈"]:
        letter = _letter_at(sides[1])
        names = _names(sides[0])
        return Domain(letter, names) if letter and names else None
    if relations in (["≥"], [">"]) and len(names := _names(sides[0])) == 1 and names[0] in COUNTERS:
        bound = trimmed(sides[1])
        number = bound[0].value if len(bound) == 1 and bound[0].kind == "num" else None
        mark = _PARTS.get(f"{relations[0]}{number}")
        return None if mark is None else Domain("Z" + mark, names)
    if not relations:
        return _stated_in_words(part)
    return None


def _stated_in_words(part: Tokens) -> Domain | None:
    """«k is an integer», «k integer», «integers a and b»."""
    words = [letters_of(token) for token in part if len(letters_of(token)) > 1]
    letter = _of_words(words)
    names = _names(tuple(token for token in part if len(letters_of(token)) == 1 and letters_of(token) != "a" or token.kind == "sep"))
    if not letter or not names or any(word not in _ABOUT_NUMBERS for word in words):
        return None
    others = [token for token in part if token.kind != "sep" and not letters_of(token)]
    return None if others else Domain(letter, names)


def _names(tokens: Tokens) -> tuple[str, ...]:
    """The symbols of a list; none if it holds anything else."""
    names = [symbol_of(name) for name in list_parts(tokens)]
    return tuple(name for name in names if name is not None) if all(names) else ()


def _letter_at(part: Tokens) -> str:
    r"""The set's letter and a mark for a part of it (`\mathbb{Z}^+`); empty if there is no set."""
    part = trimmed(part) if len(part) == 1 else part
    place = next((index for index, token in enumerate(part) if token.kind == "set"), None)
    if place is None:
        token = part[0] if part else None
        if token is not None and token.kind == "group" and len(token.args[0]) == 1:
            token = token.args[0][0]
        if token is None or token.kind not in ("run", "word") or token.text not in _SETS:
            return ""
        return token.text + _part_at(part[1:])
    if place:
        return "?"  # 2ℤ
    return part[place].text + _part_at(part[place + 1 :])


def _part_at(rest: Tokens) -> str:
    """The part of a set that what stands behind its letter means."""
    if not rest:
        return ""
    script = rest[0].args[0] if len(rest) == 1 and rest[0].kind in ("sup", "sub") else ()
    return _PARTS.get("".join(str(token.value) if token.kind == "num" else token.text for token in script), "?")


def same_domain(one: str, other: str) -> bool:
    """Are two sets the same?  ℕ may begin with 0 or with 1."""
    if one.endswith("?") or other.endswith("?"):
        return one == other == "?"
    return one == other or {one, other} in ({"N", "Z+"}, {"N", "Z0"}, {"N", "N+"}, {"N", "N0"}, {"N+", "Z+"}, {"N0", "Z0"})
