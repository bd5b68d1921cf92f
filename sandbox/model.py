"""The public types: verdicts, limits, tests and results, with the bounds that a caller may use.

The verdicts are those of facts of online judging (go-judge, DMOJ): AC WA TLE MLE RE OLE CE, and two of a
sandbox's own: SV, which the kernel killed for breaking the policy, and IE, the sandbox's own failure, which
is no result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TIERS = ("root", "userns", "landlock")
MODES = ("native", "lcb_compat")
KEPT_KB = 64  # of standard output in a result, unless asked otherwise


class SandboxError(RuntimeError):
    """The sandbox cannot do what it was asked for."""


class IsolationUnavailable(SandboxError):
    """The machine refuses the tier that was asked for, or, with "auto", all of them."""


class Cancelled(SandboxError):
    """The caller asked for the end of a run."""


class Verdict(StrEnum):
    """What became of a program on a test."""

    AC = "AC"
    """accepted"""
    WA = "WA"
    """wrong answer"""
    TLE = "TLE"
    """CPU or wall time limit exceeded"""
    MLE = "MLE"
    """memory limit exceeded"""
    RE = "RE"
    """non-zero exit, signal, uncaught exception, or a function that never returned"""
    OLE = "OLE"
    """output limit exceeded"""
    CE = "CE"
    """does not compile"""
    SV = "SV"
    """killed by the kernel for breaking the system-call policy"""
    IE = "IE"
    """the sandbox's own failure: no result, never a zero reward"""


def _check(field_name: str, value: object, whole: bool, low: float, high: float, unit: str) -> None:
    good = isinstance(value, int) or (not whole and isinstance(value, float) and math.isfinite(value))
    if not good or isinstance(value, bool) or not low <= value <= high:  # type: ignore[operator]
        kind = "whole number" if whole else "number"
        raise ValueError(
            f"{field_name}: {value!r} is not allowed; a {kind} from {low:g} to {high:g} ({unit})"
        )


@dataclass(frozen=True)
class Limits:
    """Limits of one test. Raises ValueError that names the field, its value and what is allowed."""

    cpu_s: float = 6
    """CPU seconds of the whole program"""
    wall_s: float = 10
    """seconds from its start to its end"""
    memory_mb: int = 1024
    """peak resident memory, MiB"""
    output_mb: int = 32
    """standard output, and any file it writes, MiB"""

    def __post_init__(self) -> None:
        _check("cpu_s", self.cpu_s, False, 0.01, 3600, "seconds")
        _check("wall_s", self.wall_s, False, 0.01, 7200, "seconds")
        _check("memory_mb", self.memory_mb, True, 16, 1 << 20, "MiB")
        _check("output_mb", self.output_mb, True, 1, 1024, "MiB")


@dataclass(frozen=True)
class Test:
    """One test: `input` and `expected` text, or `function`, `args` and the `expected` value (plain data)."""

    __test__ = False  # for pytest

    input: str | bytes = ""
    expected: Any = None
    function: str | None = None
    args: Sequence[Any] = ()

    def __post_init__(self) -> None:
        if self.function is not None:
            if not isinstance(self.function, str) or not self.function.isidentifier():
                raise ValueError(
                    f"function: {self.function!r} is not allowed; the name of a function or method"
                )
            if not isinstance(self.args, (list, tuple)):
                raise ValueError(f"args: {type(self.args).__name__} is not allowed; a list or a tuple")
            return
        if self.args:
            raise ValueError("args: not allowed without function")
        if not isinstance(self.input, (str, bytes)):
            raise ValueError(f"input: {type(self.input).__name__} is not allowed; str or bytes")
        if not isinstance(self.expected, (str, bytes)):
            raise ValueError(f"expected: {type(self.expected).__name__} is not allowed; str or bytes")


@dataclass
class TestResult:
    """What one test gave. Times are seconds, memory is MiB; text is cut to 64 KiB."""

    __test__ = False

    verdict: Verdict
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_mb: float = 0.0
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""


@dataclass
class Result:
    """What a program gave on its tests; with `stop_on_first_failure` the tests after the first failure are
    absent.
    """

    tests: list[TestResult] = field(default_factory=list)
    tier: str = ""
    total: int = 0

    @property
    def verdict(self) -> Verdict:
        """IE if any test has no result, else AC, else the verdict of the first test that failed."""
        verdicts = [test.verdict for test in self.tests]
        if Verdict.IE in verdicts:
            return Verdict.IE
        return next((verdict for verdict in verdicts if verdict is not Verdict.AC), Verdict.AC)

    @property
    def passed(self) -> bool:
        """All tests were run and all are AC."""
        return len(self.tests) == self.total > 0 and self.verdict is Verdict.AC

    @property
    def pass_rate(self) -> float:
        """The share of all tests that are AC, 0 to 1; meaningless when the verdict is IE."""
        return sum(test.verdict is Verdict.AC for test in self.tests) / self.total if self.total else 0.0
