"""Sets of real numbers: intervals, their unions, and the inequalities that describe them."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from benchmarks.strict.equality import COUNTERS, equal, value_near
from benchmarks.strict.expressions import Tree, parse
from benchmarks.strict.parts import at_top, cut, enclosed, letters_of, members, symbol_of, trimmed, without_words_before
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.values import substituted, symbols

INFINITY: Tree = ("const", "inf")
MINUS_INFINITY: Tree = ("neg", INFINITY)
_FLIPPED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}


class Interval(NamedTuple):
    """All numbers between two bounds; a single number where both are the same and closed."""

    low: Tree
    low_closed: bool
    high: Tree
    high_closed: bool


Intervals = tuple[Interval, ...]
REALS = (Interval(MINUS_INFINITY, False, INFINITY, False),)


def says_all_reals(tokens: Tokens) -> bool:
    """«all real numbers» and the like."""
    return " ".join(letters_of(token) for token in tokens) in ("all real numbers", "all reals", "real numbers", "all real values", "reals")


def read_set(tokens: Tokens) -> tuple[Intervals, str | None]:
    """The intervals that an answer describes, in order, and the symbol that it describes them for.

    Raises:
        Unreadable: it is no set of real numbers in one variable.
    """
    tokens = trimmed(tokens)
    if enclosed(tokens) == "{}":
        return _builder(tokens[1:-1])
    if any(letters_of(token) in ("complement", "outside", "excluded") for token in tokens):
        raise Unreadable("another set")
    tokens = _without_all(without_words_before(_with_element_sign(tokens)))
    if says_all_reals(tokens):
        return REALS, None
    kept = [part for part in cut(tokens, "sep", (",", ";")) if not _is_real(trimmed(part))]
    if len(kept) == 1:
        tokens = trimmed(kept[0])
    for place, token in at_top(tokens):
        if token.kind == "rel" and token.text == "∈":
            symbol = symbol_of(tokens[:place])
            if symbol is None:
                raise Unreadable("a relation of several symbols")
            return read_set(_with_one_in(tokens[place + 1 :], symbol))[0], symbol
        equals = token.kind == "rel" and token.text == "=" and place
        if equals and looks_like_set(tokens[:place]) and enclosed(trimmed(tokens[place + 1 :])):
            first, name = read_set(tokens[:place])
            second, other = read_set(tokens[place + 1 :])
            if not same_set(first, second):
                raise Unreadable("members that differ")
            return second, name or other
        if token.kind == "rel" and token.text == "⇒":
            return read_set(tokens[place + 1 :])
    operator = _last_operator(tokens)
    if operator is None:
        intervals, name = _piece(trimmed(tokens))
        return _ordered(intervals), name
    if not _is_union(tokens[operator]):
        return _difference(tokens, operator)
    left, name = read_set(tokens[:operator])
    right, other = _piece(trimmed(tokens[operator + 1 :]))
    if None not in (name, other) and name != other:
        raise Unreadable("several symbols")
    return _ordered([*left, *right]), name or other


_IS_IN = ("is", "in", "lies", "belongs", "to", "the", "interval")
_ALL_NUMBERS = ("all", "any", "every", "real", "numbers", "values", "of", "integers")


def _with_element_sign(tokens: Tokens) -> Tokens:
    """`x ∈ A` of «x is in A»."""
    words = [letters_of(token) for token in tokens]
    end = next((place for place, word in enumerate(words[1:], 1) if word not in _IS_IN), 0)
    if end < 2 or "in" not in words[:end] and "to" not in words[:end] or symbol_of(tokens[:1]) is None:
        return tokens
    return (tokens[0], Token("rel", "∈"), *tokens[end:])


def _without_all(tokens: Tokens) -> Tokens:
    """`x < 2` of «all real numbers x < 2»; «all integers n ≥ 3» is `n ≥ 3`, but «all integers x > 2» is not `x > 2`."""
    words = [letters_of(token) for token in tokens]
    end = next((place for place, word in enumerate(words) if word not in _ALL_NUMBERS), 0)
    if not end or words[0] not in ("all", "any", "every") or symbol_of(tokens[end : end + 1]) is None:
        return tokens
    return tokens if "integers" in words[:end] and words[end] not in COUNTERS else tokens[end:]


def _is_real(part: Tokens) -> bool:
    r"""Is it `x \in \mathbb{R}`, which says nothing beside another condition?"""
    sides, relations = members(part)
    return relations == ["∈"] and symbol_of(sides[0]) is not None and _is_reals(trimmed(sides[1]))


def _with_one_in(tokens: Tokens, symbol: str) -> Tokens:
    """`A or x ∈ B` as `A or B`."""
    found = list(tokens)
    for place, token in reversed(list(at_top(tokens))):
        if token.kind == "rel" and token.text == "∈" and place and symbol_of(tokens[place - 1 : place]) == symbol:
            del found[place - 1 : place + 1]
    return tuple(found)


def _builder(inside: Tokens) -> tuple[Intervals, str | None]:
    for place, token in at_top(inside):
        if token.kind == "bar" or (token.kind == "rel" and token.text in ":|"):
            before = inside[:place]
            first, *rest = members(before)[0]
            if any(token.kind == "set" and token.text != "R" for part in rest for token in part):
                raise Unreadable("a set of whole or rational numbers")
            symbol = symbol_of(first)
            if symbol is None:
                raise Unreadable("a set of several symbols")
            intervals, name = read_set(inside[place + 1 :])
            if name not in (None, symbol):
                raise Unreadable("another symbol")
            return intervals, symbol
    points = [parse(trimmed(part)) for part in cut(inside, "sep", (",", ";")) if part]
    if not points or any(symbols(point) for point in points):
        raise Unreadable("a set of other things")
    return _ordered([Interval(point, True, point, True) for point in points]), None


def _piece(tokens: Tokens) -> tuple[list[Interval], str | None]:
    if _is_reals(tokens):
        return list(REALS), None
    if len(tokens) == 2 and _is_reals(tokens[:1]) and tokens[1].kind == "sub" and members(tokens[1].args[0])[1]:
        return _inequality((Token("run", "x"), *tokens[1].args[0]))[0], None  # \mathbb{R}_{\le 0}
    if enclosed(tokens) == "{}":
        intervals, name = _builder(tokens[1:-1])
        return list(intervals), name
    if (pair := _brackets(tokens)) is not None:
        return [pair], None
    conditions = [trimmed(part) for part in cut(tokens, "sep", (",", "and", ";", "row")) if trimmed(part)]
    read = [_inequality(condition) for condition in conditions]
    names = {name for _, name in read}
    if len(names) != 1:
        raise Unreadable("several symbols")
    if len(read) == 1:
        return read[0][0], read[0][1]
    return _common([intervals for intervals, _ in read]), names.pop()


def _is_reals(tokens: Tokens) -> bool:
    return len(tokens) == 1 and tokens[0].kind in ("set", "run") and tokens[0].text == "R"  # a run: R in bold type


def _is_union(token: Token) -> bool:
    return (token.kind == "op" and token.text == "∪") or (token.kind == "sep" and token.text == "or")


def _last_operator(tokens: Tokens) -> int | None:
    r"""The place of the last ∪, «or», `\setminus`, minus before a set in braces, or «except»: sets are read from left to right."""
    found = None
    for place, token in at_top(tokens):
        following = tokens[place + 1 : place + 2]
        before_set = token.kind == "op" and token.text == "-" and following and following[0].kind == "open" and following[0].text == "{"
        without = (token.kind == "op" and token.text == "\\") or letters_of(token) in ("except", "excluding")
        if place and (before_set or without or _is_union(token)):
            found = place
    return found


def _difference(tokens: Tokens, place: int) -> tuple[Intervals, str | None]:
    """One set without another; «except» may also stand before single numbers."""
    whole, name = read_set(tokens[:place])
    taken = trimmed(tuple(token for token in tokens[place + 1 :] if letters_of(token) != "for"))
    if letters_of(tokens[place]) and not looks_like_set(taken) and enclosed(taken) != "{}":
        parts = [trimmed(part) for part in cut(taken, "sep", (",", "and", ";"))]
        taken = tuple(token for part in parts for token in (Token("sep", ","), *_without_symbol(part, name)))[1:]
        away = _builder(taken)[0]
    else:
        away, other = read_set(taken)
        if None not in (name, other) and name != other:
            raise Unreadable("several symbols")
    return _ordered(_without(list(whole), away)), name


def _without_symbol(part: Tokens, name: str | None) -> Tokens:
    """`2` of `x = 2`."""
    sides, relations = members(part)
    return trimmed(sides[1]) if relations == ["="] and symbol_of(sides[0]) in (name, "x") else part


def _without(whole: list[Interval], away: Intervals) -> list[Interval]:
    """What is left of a set without another one."""
    for one in away:
        below = Interval(MINUS_INFINITY, False, one.low, not one.low_closed)
        above = Interval(one.high, not one.high_closed, INFINITY, False)
        whole = [both for kept in whole for side in (below, above) if (both := _overlap(kept, side)) is not None]
    return whole


def _brackets(tokens: Tokens) -> Interval | None:
    """`[a, b)` in either writing (`[a, b[`)."""
    if len(tokens) < 5 or tokens[0].text not in "([]" or tokens[-1].text not in ")][":
        return None
    if tokens[0].kind not in ("open", "close") or tokens[-1].kind not in ("open", "close"):
        return None
    ends = cut(tokens[1:-1], "sep", (",", ";"))
    if len(ends) != 2:
        return None
    low, high = (parse(trimmed(end)) for end in ends)
    if symbols(low) | symbols(high):
        raise Unreadable("bounds with symbols")
    return Interval(low, tokens[0].text == "[", high, tokens[-1].text == "]")


def _inequality(tokens: Tokens) -> tuple[list[Interval], str]:
    parts, relations = members(tokens)
    if len(relations) == 1 and relations[0] in _FLIPPED and (distance := _distance(parts, relations[0])) is not None:
        return distance
    places = [place for place, part in enumerate(parts) if symbol_of(part)]
    if len(places) != 1 or not relations:
        raise Unreadable("not an inequality in one symbol")
    place = places[0]
    name = symbol_of(parts[place])
    assert name is not None
    bounds = [None if index == place else parse(trimmed(part)) for index, part in enumerate(parts)]
    if any(bound is not None and symbols(bound) for bound in bounds):
        raise Unreadable("bounds with symbols")
    if relations == ["≠"]:
        other = next(bound for bound in bounds if bound is not None)
        return _without(list(REALS), (Interval(other, True, other, True),)), name
    if any(relation not in _FLIPPED for relation in relations) or len(relations) > 2 or (len(relations) == 2 and place != 1):
        raise Unreadable("a relation")
    if len(relations) == 2 and (relations[0] in "<≤") != (relations[1] in "<≤"):
        raise Unreadable("bounds on one side")
    low, low_closed, high, high_closed = MINUS_INFINITY, False, INFINITY, False
    for index, relation in enumerate(relations):
        bound = bounds[index] if index < place else bounds[index + 1]
        assert bound is not None
        seen = _FLIPPED[relation] if index < place else relation
        if seen in "<≤":
            high, high_closed = bound, seen == "≤"
        else:
            low, low_closed = bound, seen == "≥"
    return [Interval(low, low_closed, high, high_closed)], name


def _distance(parts: list[Tokens], relation: str) -> tuple[list[Interval], str] | None:
    """`|x - a| < r`, and with the other relations; None for anything else."""
    if not (parts[0] and parts[0][0].text == "|"):
        parts, relation = parts[::-1], _FLIPPED[relation]
    try:
        left, radius = parse(trimmed(parts[0])), parse(trimmed(parts[1]))
    except Unreadable:
        return None
    names = symbols(left)
    if left[:2] != ("fn", "abs") or len(names) != 1 or symbols(radius):
        return None
    name = next(iter(names))
    shift = substituted(left[2], {name: Fraction(0)})
    if not equal(left[2], ("add", ("sym", name), shift)):
        return None
    low, high = (("add", ("neg", shift), bound) for bound in (("neg", radius), radius))
    closed = relation in "≤≥"
    if relation in "<≤":
        return [Interval(low, closed, high, closed)], name
    return [Interval(MINUS_INFINITY, False, low, closed), Interval(high, closed, INFINITY, False)], name


def _common(sets: list[list[Interval]]) -> list[Interval]:
    """The intersection of several sets."""
    found = sets[0]
    for others in sets[1:]:
        found = [both for one in found for other in others if (both := _overlap(one, other)) is not None]
    return found


def _overlap(a: Interval, b: Interval) -> Interval | None:
    low = max((a, b), key=lambda one: (value_near(one.low), not one.low_closed))
    high = min((a, b), key=lambda one: (value_near(one.high), one.high_closed))
    both = Interval(low.low, low.low_closed, high.high, high.high_closed)
    start, end = value_near(both.low), value_near(both.high)
    return both if start < end or (start == end and both.low_closed and both.high_closed) else None


def _ordered(intervals: list[Interval]) -> Intervals:
    """In the order of their lower bounds; what touches is joined."""
    found: list[Interval] = []
    for interval in sorted(intervals, key=lambda one: (value_near(one.low), not one.low_closed)):
        last = found[-1] if found else None
        if last is not None and _reaches(last, interval):
            end = max((last, interval), key=lambda one: (value_near(one.high), one.high_closed))
            found[-1] = Interval(last.low, last.low_closed or _closes_low(last, interval), end.high, end.high_closed)
        else:
            found.append(interval)
    return tuple(found)


def _reaches(last: Interval, following: Interval) -> bool:
    """Does an interval overlap or touch the one behind it?"""
    if equal(last.high, following.low):
        return last.high_closed or following.low_closed
    return value_near(last.high) > value_near(following.low)


def _closes_low(last: Interval, following: Interval) -> bool:
    return following.low_closed and equal(last.low, following.low)


def same_set(a: Intervals, b: Intervals) -> bool:
    """Are two sets the same, bound by bound?"""
    return len(a) == len(b) and all(_same_interval(one, other) for one, other in zip(a, b, strict=True))


def _same_interval(a: Interval, b: Interval) -> bool:
    return (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed) and equal(a.low, b.low) and equal(a.high, b.high)


def looks_like_set(tokens: Tokens) -> bool:
    """Signs of a set of numbers: ∪, ∈, ℝ, an inequality, a bracket that is not round."""
    if any(token.kind == "set" and token.text == "R" or (token.kind == "op" and token.text == "∪") for _, token in at_top(tokens)):
        return True
    if any(token.kind == "rel" and token.text in "<>≤≥≠∈" for _, token in at_top(tokens)):
        return True
    return (
        len(tokens) > 4
        and tokens[0].text + tokens[-1].text in ("[]", "[)", "(]", "][", "](", ")[")
        and len(cut(tokens[1:-1], "sep", ",")) == 2
    )
