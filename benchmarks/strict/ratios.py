"""Ratios: `3:2`, `1 : 2 : 3`, «3 to 2», `a:b = 3:2`."""

from __future__ import annotations

from benchmarks.strict.equality import equal
from benchmarks.strict.expressions import Tree, parse
from benchmarks.strict.parts import at_top, letters_of, members, trimmed, without_remark, without_words_before
from benchmarks.strict.tokens import Token, Tokens, Unreadable


def ratio(tokens: Tokens) -> list[Tree] | None:
    """The terms of a ratio; None for anything else."""
    try:
        tokens, beside = without_remark(trimmed(without_words_before(tokens)))
        written = tuple(Token("rel", ":") if place and _is_to(token) else token for place, token in enumerate(tokens))
        last = [place for place, token in at_top(written) if token.kind == "rel" and token.text == "="]
        parts, relations = members(written[last[-1] + 1 :] if last else written)
        if beside or not relations or set(relations) != {":"}:
            return None
        return [parse(trimmed(part)) for part in parts]
    except Unreadable:
        return None


def _is_to(token: Token) -> bool:
    return token.kind == "word" and letters_of(token) == "to"


def same_ratio(wanted: list[Tree], found: list[Tree]) -> bool:
    """Are two ratios the same up to a common factor?"""
    first, other = wanted[0], found[0]
    return len(wanted) == len(found) and all(
        equal(("mul", a, other), ("mul", first, b)) for a, b in zip(wanted[1:], found[1:], strict=True)
    )
