"""Compares the values that a program gave with what its asserts expect, on the trusted side (a checker of `sandbox.judge_process`).

A comparison is a list: its name, the expected value, and tolerances if it has any.  Values are plain data that the sandbox
decoded; the comparisons are Python's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NAME = "klear_repro.asserts.checker:all_right"


def all_right(given: Any, expected: list[list[Any]], values: Any) -> bool:
    """Whether every value is as its assert says; `given` are the arguments of the call."""
    if not isinstance(values, list) or len(values) != len(expected):
        return False
    return all(right(value, *comparison) for value, comparison in zip(values, expected, strict=True))


def right(value: Any, name: str, expected: Any, *tolerances: float) -> bool:
    """Whether one value is as expected."""
    try:
        return bool(COMPARISONS[name](value, expected, *tolerances))
    except (TypeError, ValueError, OverflowError, RecursionError):  # an assert that raises is an assert that fails
        return False


def _number(value: Any) -> Any:
    if not isinstance(value, (int, float, complex)):
        raise TypeError(f"{type(value).__name__} is not a number")
    return value


def _isclose(value: Any, expected: float, relative: float, absolute: float) -> bool:
    value = _number(value)
    if value == expected:
        return True
    infinite = float("inf")
    most = max(relative * max(abs(value), abs(expected)), absolute)
    return abs(value) != infinite and abs(expected) != infinite and abs(value - expected) <= most


def _approx(value: Any, expected: Any, relative: float, absolute: float) -> bool:
    if isinstance(expected, dict):
        return isinstance(value, dict) and value.keys() == expected.keys() and all(_approx(value[key], expected[key], relative, absolute) for key in expected)
    if isinstance(expected, (list, tuple)):
        return isinstance(value, (list, tuple)) and len(value) == len(expected) and all(_approx(v, e, relative, absolute) for v, e in zip(value, expected, strict=True))
    if value == expected or not isinstance(expected, (int, float)):
        return bool(value == expected)
    infinite = float("inf")
    finite = abs(_number(value)) != infinite and abs(expected) != infinite
    return finite and abs(value - expected) <= max(relative * abs(expected), absolute)


COMPARISONS: dict[str, Callable[..., bool]] = {
    "==": lambda value, expected: value == expected,
    "!=": lambda value, expected: value != expected,
    "<": lambda value, expected: value < expected,
    "<=": lambda value, expected: value <= expected,
    ">": lambda value, expected: value > expected,
    ">=": lambda value, expected: value >= expected,
    "in": lambda value, expected: value in expected,
    "is": lambda value, expected: value is expected,
    "is not": lambda value, expected: value is not expected,
    "isclose": _isclose,
    "approx": _approx,
    "within": lambda value, expected, most: abs(_number(value) - expected) <= most,
    "nearer": lambda value, expected, most: abs(_number(value) - expected) < most,
    "places": lambda value, expected, places: value == expected or round(abs(_number(value) - expected), places) == 0,
}
