r"""Numbers in a formula: digits in groups, decimals, periods, powers of ten.

Digits grouped by three are one number (`10,\!080`, `10{,}080`, `10\,080`, `10 080`).  A plain comma is ambiguous: `10,080` is one
number, or two where the reader asks for lists.  `0.\overline{3}`, `0.\dot{3}`, `0.(3)` and `0.333…` are repeating decimals.
"""

from __future__ import annotations

import re
from fractions import Fraction

from benchmarks.strict.tokens import Token, Unreadable

_LONGEST = 2_000
"""Digits of a number, and the largest power of ten behind it."""

_BETWEEN = r"(?:\\text\{,\}|\\thinspace\s*|,\s*\\!\s*|\{,\}\s?|\\,\s?|\\ |\\;|\\:|~|\{\\,\}|'(?=\d{3}(?!\d))|(?<=\d) (?=\d{3}(?!\d)))"
_GROUPS = re.compile(rf"\d{{1,3}}(?:{_BETWEEN}\d{{3}})+(?!\d)")
_COMMA_GROUPS = re.compile(r"\d{1,3}(?:,(?:\\[,;: ])?\d{3})+(?!\d)")
_DIGITS = re.compile(r"\d+")
_DIGITS_ALONE = re.compile(r"\d+(?![\d.,'~ eE{\\])")
"""Digits that nothing can continue as a number."""
_DECIMALS = re.compile(r"\.\d+")
_EXPONENT = re.compile(r"[eE]([+-]?\d{1,6})(?![\d.a-zA-Z])")
_PERIOD = re.compile(r"\\(?:overline|bar|dot)\s*(?:\{\s*(\d{1,60})\s*\}|(\d))((?:\d{0,60}\\dot\s*\{?\s*(\d)\s*\}?)?)")
_PERIOD_IN_BRACKETS = re.compile(r"\((\d{1,60})\)(?![\^\d(])")
_ON_AND_ON = re.compile(r"\s*(?:\\[lcd]?dots[cb]?(?![a-zA-Z])|\.\.\.+)")


def has_comma_groups(text: str) -> bool:
    """Does the text hold digits like `1,037`, one number or two?"""
    return _COMMA_GROUPS.search(text) is not None


def read_number(text: str, start: int, lists: bool) -> tuple[Token, int]:
    """The number that begins at `start`, and where it ends.

    The token's text says how it is written: integer, decimal, repeating, or open (a decimal that goes on in an unknown way).

    Raises:
        Unreadable: it is too long.
    """
    if (alone := _DIGITS_ALONE.match(text, start)) and alone.end() - start <= _LONGEST:
        return Token("num", "integer", value=Fraction(int(alone.group()))), alone.end()
    commas = _COMMA_GROUPS.match(text, start)
    if commas and lists and not re.search(r"(?<=\D)0", commas.group()):  # 1,037 is never 1 and 37
        commas = None
    whole = _GROUPS.match(text, start) or commas or _DIGITS.match(text, start)
    digits = re.sub(r"\D", "", whole.group()) if whole else ""
    at = whole.end() if whole else start
    after = _DECIMALS.match(text, at)
    decimals, at = (after.group()[1:], after.end()) if after else ("", at)
    if len(digits) + len(decimals) > _LONGEST:
        raise Unreadable("a number is too long")
    value = Fraction(int(digits or "0")) + Fraction(int(decimals or "0"), 10 ** len(decimals))
    if not after and text.startswith(".", at) and (_PERIOD.match(text, at + 1) or _PERIOD_IN_BRACKETS.match(text, at + 1)):
        after, at = whole, at + 1
    if after:
        return _with_period(text, at, value, digits, decimals)
    if exponent := _EXPONENT.match(text, at):
        return _times_power_of_ten(value, exponent)
    return Token("num", "integer", value=value), at


def _with_period(text: str, at: int, value: Fraction, digits: str, decimals: str) -> tuple[Token, int]:
    """A decimal, with what may repeat behind its digits."""
    if repeated := _PERIOD.match(text, at):
        period = (repeated.group(1) or repeated.group(2)) + re.sub(r"\D", "", repeated.group(3))
        return Token("num", "repeating", value=value + _repeating(period, len(decimals))), repeated.end()
    if repeated := _PERIOD_IN_BRACKETS.match(text, at):
        return Token("num", "repeating", value=value + _repeating(repeated.group(1), len(decimals))), repeated.end()
    if dots := _ON_AND_ON.match(text, at):
        found = _shown_period(decimals)
        written = "open" if found is None else "repeating"
        return Token("num", written, value=value if found is None else Fraction(int(digits or "0")) + found), dots.end()
    if exponent := _EXPONENT.match(text, at):
        return _times_power_of_ten(value, exponent)
    return Token("num", "decimal", value=value), at


def _repeating(period: str, place: int) -> Fraction:
    """The value of digits that repeat from a place behind the point."""
    return Fraction(int(period), (10 ** len(period) - 1) * 10**place)


def _times_power_of_ten(value: Fraction, exponent: re.Match[str]) -> tuple[Token, int]:
    if abs(int(exponent.group(1))) > _LONGEST:
        raise Unreadable("an exponent is too large")
    return Token("num", "decimal", value=value * Fraction(10) ** int(exponent.group(1))), exponent.end()


def _shown_period(decimals: str) -> Fraction | None:
    """The value of `0.` and digits that go on: they must show the period twice, a single digit three times."""
    for start in range(min(len(decimals), 60)):
        rest = decimals[start:]
        for length in range(1, len(rest) // 2 + 1):
            if len(rest) // length < (3 if length == 1 else 2):
                continue
            period = rest[:length]
            if all(rest[index] == period[index % length] for index in range(len(rest))):
                return Fraction(int(decimals[:start] or "0"), 10**start) + _repeating(period, start)
    return None
