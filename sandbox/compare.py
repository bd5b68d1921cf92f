"""Compares what a program gave with what was expected, on the trusted side and in time bounded by the
expectation.

Native: lines and their tokens must agree; a number written with a point or an exponent in the expectation
may be written otherwise. `lcb_compat`: grade_stdio and grade_call_based of LiveCodeBench at 28fef95, Decimal
quirks included.
"""

from __future__ import annotations

import re
from decimal import Decimal, DecimalException
from typing import Any

from .inside import frames

_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_LONGEST_NUMBER = 1000


def text_matches(expected: bytes, output: bytes, mode: str) -> bool:
    """Whether standard output is right; both are UTF-8, or bytes that merely resemble it."""
    if mode == "lcb_compat":
        try:
            return _official_text(
                expected.decode("utf-8", "surrogateescape"), output.decode("utf-8", "surrogatepass")
            )
        except UnicodeDecodeError:
            return False  # the official harness captures text, which always encodes
    return _native_text(expected, output)


def _native_text(expected: bytes, output: bytes) -> bool:
    expected, output = expected.strip(), output.strip()
    if expected == output:
        return True
    expected_lines = expected.split(b"\n")
    output_lines = output.split(b"\n", len(expected_lines))
    if len(output_lines) != len(expected_lines):
        return False
    return all(_native_line(e, o) for e, o in zip(expected_lines, output_lines, strict=True))


def _native_line(expected: bytes, output: bytes) -> bool:
    if expected == output:
        return True
    wanted = expected.split()
    found = output.split(None, len(wanted))
    if len(found) != len(wanted):
        return False
    return all(e == o or _same_number(e, o) for e, o in zip(wanted, found, strict=True))


def _same_number(expected: bytes, output: bytes) -> bool:
    """An integer must be written as one; where the expectation is a decimal fraction, the value counts."""
    if len(expected) > _LONGEST_NUMBER or len(output) > _LONGEST_NUMBER or not _NUMBER.fullmatch(output):
        return False
    if not _NUMBER.fullmatch(expected) or not any(c in expected for c in b".eE"):
        return False
    return Decimal(expected.decode()) == Decimal(output.decode())


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


def value_matches(expected: Any, payload: bytes, mode: str) -> bool:
    """Whether a function's return value is right. `expected` is plain data; the payload is untrusted."""
    if len(payload) > 16 * len(frames.encode(expected)) + 4096:
        return False  # far longer than any spelling of the right value: not worth parsing
    try:
        value = frames.decode(payload)
    except frames.FrameError:
        return False
    try:
        return bool(value == expected) if mode == "lcb_compat" else _same_value(expected, value)
    except RecursionError:
        return False


def _same_value(expected: Any, value: Any) -> bool:
    """Like ==, but True is not 1, a tuple is a list, and NaN is NaN."""
    if isinstance(expected, bool) or isinstance(value, bool):
        return isinstance(expected, bool) and isinstance(value, bool) and expected == value
    if isinstance(expected, (list, tuple)):
        if not isinstance(value, (list, tuple)) or len(value) != len(expected):
            return False
        return all(_same_value(e, v) for e, v in zip(expected, value, strict=True))
    if isinstance(expected, dict):
        if not isinstance(value, dict) or len(value) != len(expected):
            return False
        return all(key in value and _same_value(item, value[key]) for key, item in expected.items())
    if isinstance(expected, float) and expected != expected:
        return isinstance(value, float) and value != value
    return bool(expected == value)
