"""The tokens of a formula, and the error for a text that is no formula."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class Unreadable(ValueError):
    """The text is no formula that this reader knows."""


class Token(NamedTuple):
    """One token.  `kind` is one of

    num (value), run (letters of a formula), word (letters of a text), name (a symbol with a name: theta, infty), function,
    op, rel, sep, open, close, bar, sup, sub, group, frac, vulgar, sqrt, binom, accent, matrix, rows, percent, degree, money, sum,
    set, dots, remark, unknown.
    """

    kind: str
    text: str = ""
    args: tuple[tuple[Token, ...], ...] = ()
    value: Fraction | None = None
    spaced: bool = False
    """Space before it."""
    rows: tuple[tuple[tuple[Token, ...], ...], ...] = ()


Tokens = tuple[Token, ...]
