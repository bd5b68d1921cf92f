"""Compares what a program gave with what was expected, on the trusted side and in time that is linear in both.

Native: lines and their tokens must agree; a number written with a point or an exponent in the expectation may be written
otherwise. With a tolerance, numbers agree if they differ by at most `abs_tol`, or by at most `rel_tol` times the expected
one; NaN then equals nothing. `lcb_compat`: grade_stdio and grade_call_based of LiveCodeBench at 28fef95, Decimal quirks
included.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable
from decimal import Context, Decimal, DecimalException
from itertools import zip_longest
from typing import Any

from .inside import frames

Tolerance = tuple[float, float]
"""(abs_tol, rel_tol); both zero: numbers must be equal."""

OUTPUTS = "lcb_outputs"
EXACT: Tolerance = (0.0, 0.0)
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_INFINITE = re.compile(rb"[+-]?inf(?:inity)?", re.I)
_LONGEST_NUMBER = 1000
_WIDE = Context(prec=2500, Emin=-999_999_999, Emax=999_999_999, traps=[])  # of differences of numbers as long as allowed
_NUMBERS = (int, float, complex)


def as_bytes(text: str | bytes) -> bytes:
    """Test text as the program reads it: UTF-8, lone surrogates as such."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def text_matches(expected: bytes, output: bytes, mode: str, tolerance: Tolerance = EXACT) -> bool:
    """Whether standard output is right; both are UTF-8, or bytes that merely resemble it."""
    if mode == "lcb_compat":
        try:
            return _official_text(
                expected.decode("utf-8", "surrogateescape"), output.decode("utf-8", "surrogatepass")
            )
        except UnicodeDecodeError:
            return False  # the official harness captures text, which always encodes
    return _native_text(expected.strip(), output.strip(), tolerance)


def _native_text(expected: bytes, output: bytes, tolerance: Tolerance) -> bool:
    if expected == output and tolerance == EXACT:
        return True
    lines: Iterable[tuple[bytes | None, bytes | None]] = zip_longest(io.BytesIO(expected), io.BytesIO(output))
    return all(e is not None and o is not None and _native_line(e.strip(), o.strip(), tolerance) for e, o in lines)


def _native_line(expected: bytes, output: bytes, tolerance: Tolerance) -> bool:
    if expected == output and tolerance == EXACT:
        return True
    wanted = expected.split()
    found = output.split(None, len(wanted))
    if len(found) != len(wanted):
        return False
    same = _same_number if tolerance == EXACT else _near_number
    return all(same(e, o, tolerance) for e, o in zip(wanted, found, strict=True))


def _same_number(expected: bytes, output: bytes, tolerance: Tolerance) -> bool:
    """An integer must be written as one; where the expectation is a decimal fraction, the value counts."""
    if expected == output:
        return True
    if not any(c in expected for c in b".eE") or not (_is_number(expected) and _is_number(output)):
        return False
    return Decimal(expected.decode()) == Decimal(output.decode())


def _is_number(token: bytes) -> bool:
    return len(token) <= _LONGEST_NUMBER and _NUMBER.fullmatch(token) is not None


def _near_number(expected: bytes, output: bytes, tolerance: Tolerance) -> bool:
    """Numbers of any spelling by their distance, other tokens as they are written."""
    if expected.lower().lstrip(b"+-") == b"nan":
        return False
    if _is_number(expected) and _is_number(output):
        near = _clearly_near(float(expected), float(output), tolerance)
        return _near(Decimal(expected.decode()), Decimal(output.decode()), tolerance) if near is None else near
    if _INFINITE.fullmatch(expected):
        return _INFINITE.fullmatch(output) is not None and expected.startswith(b"-") == output.startswith(b"-")
    return expected == output


def _clearly_near(expected: float, given: float, tolerance: Tolerance) -> bool | None:
    """`_near` in floating point, which is ten times faster; None if rounding could decide."""
    distance, bound = abs(expected - given), max(tolerance[0], tolerance[1] * abs(expected))
    doubt = 1e-15 * (abs(expected) + abs(given) + bound)
    if not doubt < math.inf or abs(distance - bound) <= doubt:
        return None
    return distance < bound


def _near(expected: Decimal, given: Decimal, tolerance: Tolerance) -> bool:
    """Finite numbers: |e − g| ≤ abs_tol or |e − g| ≤ rel_tol · |e|, exactly for floats and numbers of up to 1,000 digits."""
    distance = _WIDE.abs(_WIDE.subtract(expected, given))
    bounds = Decimal(tolerance[0]), _WIDE.multiply(Decimal(tolerance[1]), _WIDE.abs(expected))
    return any(_WIDE.compare(distance, bound) <= 0 for bound in bounds)


def _official_text(expected: str, output: str) -> bool:
    expected_lines = expected.strip().split("\n")
    output_lines = output.strip().split("\n", len(expected_lines))
    if len(output_lines) != len(expected_lines):
        return False
    return all(
        _official_line(e.strip(), o.strip()) for e, o in zip(expected_lines, output_lines, strict=True)
    )


def _official_line(expected: str, output: str) -> bool:
    if expected == output:
        return True
    wanted = expected.split()
    found = output.split(None, len(wanted))
    if len(found) != len(wanted):
        return False
    try:
        return [Decimal(token) for token in found] == [Decimal(token) for token in wanted]
    except (DecimalException, ValueError):  # not numbers, or a signalling NaN, which may not be compared
        return False


def value_matches(expected: Any, payload: bytes, mode: str, tolerance: Tolerance = EXACT) -> bool:
    """Whether a function's return value is right. `expected` is plain data; the payload is untrusted. In mode OUTPUTS both
    are lists of standard outputs, text by text as in `lcb_compat`.
    """
    try:
        value = frames.decode(payload)
    except frames.FrameError:
        return False
    if mode == OUTPUTS:
        if not isinstance(value, list) or len(value) != len(expected) or not all(isinstance(one, str) for one in value):
            return False
        pairs = zip(expected, value, strict=True)
        return all(text_matches(as_bytes(wanted), as_bytes(given), "lcb_compat") for wanted, given in pairs)
    try:
        return bool(value == expected) if mode == "lcb_compat" else _same_value(expected, value, tolerance)
    except RecursionError:
        return False


def _same_value(expected: Any, value: Any, tolerance: Tolerance) -> bool:
    """Like ==, but True is not 1, a tuple is a list, and NaN is NaN; with a tolerance numbers may be near each other, but
    for the keys of dictionaries and the members of sets.
    """
    if isinstance(expected, bool) or isinstance(value, bool):
        return isinstance(expected, bool) and isinstance(value, bool) and expected == value
    if isinstance(expected, (list, tuple)):
        if not isinstance(value, (list, tuple)) or len(value) != len(expected):
            return False
        return all(_same_value(e, v, tolerance) for e, v in zip(expected, value, strict=True))
    if isinstance(expected, dict):
        if not isinstance(value, dict) or len(value) != len(expected):
            return False
        return all(key in value and _same_value(item, value[key], tolerance) for key, item in expected.items())
    if tolerance != EXACT and isinstance(expected, _NUMBERS) and isinstance(value, _NUMBERS):
        return _near_value(expected, value, tolerance)
    if isinstance(expected, float) and expected != expected:
        return isinstance(value, float) and value != value
    return bool(expected == value)


def _near_value(expected: complex, value: complex, tolerance: Tolerance) -> bool:
    if isinstance(expected, complex) or isinstance(value, complex):
        try:
            distance, size = abs(expected - value), abs(expected)
        except OverflowError:
            return False
        return expected == value or distance <= tolerance[0] or distance <= tolerance[1] * size < float("inf")
    try:
        near = _clearly_near(float(expected), float(value), tolerance)
    except OverflowError:
        near = None
    if near is not None:
        return near
    wanted, given = Decimal(expected), Decimal(value)
    if not (wanted.is_finite() and given.is_finite()):
        return wanted == given
    return _near(wanted, given, tolerance)
