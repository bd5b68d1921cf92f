"""The public types: verdicts, limits, tests and results, with the bounds that a caller may use.

The usual verdicts of online judges (go-judge, DMOJ): AC WA TLE MLE RE OLE CE, and two of a sandbox's own: SV, which the
kernel killed for breaking the policy, and IE, a failure of the machine or of a checker, which is no result.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TIERS = ("root", "userns", "landlock")
MODES = ("native", "lcb_compat")
KEPT_KB = 64  # of standard output in a result, unless asked otherwise
_TRUSTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")  # a trusted function: module:function


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
    """a failure of the machine, or of a checker: no result, never a zero reward; no program can bring it about"""


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
    checker_s: float = 10
    """seconds that a custom checker, or an interactor after the program's end, may take"""

    def __post_init__(self) -> None:
        _check("cpu_s", self.cpu_s, False, 0.01, 3600, "seconds")
        _check("wall_s", self.wall_s, False, 0.01, 7200, "seconds")
        _check("memory_mb", self.memory_mb, True, 16, 1 << 20, "MiB")
        _check("output_mb", self.output_mb, True, 1, 1024, "MiB")
        _check("checker_s", self.checker_s, False, 0.01, 3600, "seconds")


@dataclass(frozen=True)
class Test:
    """One test: `input` and `expected` text, or `function`, `args` and the `expected` value (plain data).

    `weight` is its part of the pass rate. `abs_tol` and `rel_tol` let numbers differ from the expected ones, token by token
    or value by value: by at most `abs_tol`, or by at most `rel_tol` times the expected number; either is enough, and NaN then
    equals nothing (sandbox.compare). `checker` and `interactor` name trusted functions as "module:function"
    (sandbox.judge_process): the one judges instead of the comparison, the other talks with the program over its
    standard streams, and `expected` is whatever they make of it. Tolerances, checkers and interactors work in mode "native".
    """

    __test__ = False  # for pytest

    input: str | bytes = ""
    expected: Any = None
    function: str | None = None
    args: Sequence[Any] = ()
    weight: float = 1.0
    checker: str | None = None
    interactor: str | None = None
    abs_tol: float = 0.0
    rel_tol: float = 0.0

    def __post_init__(self) -> None:
        _check("weight", self.weight, False, 1e-9, 1e9, "relative to the other tests")
        for which, tolerance in (("abs_tol", self.abs_tol), ("rel_tol", self.rel_tol)):
            _check(which, tolerance, False, 0, 1e300, "a distance" if which == "abs_tol" else "of the expected number")
            if tolerance and (self.checker is not None or self.interactor is not None):
                raise ValueError(f"{which}: not allowed with checker or interactor")
        for which, name in (("checker", self.checker), ("interactor", self.interactor)):
            if name is not None and not (isinstance(name, str) and _TRUSTED.fullmatch(name)):
                raise ValueError(f"{which}: {name!r} is not allowed; module:function")
        if self.interactor is not None and (self.checker is not None or self.function is not None):
            raise ValueError("interactor: not allowed with checker or function")
        if self.function is not None:
            name = self.function
            if not isinstance(name, str) or not name.isidentifier() or len(name) > 1000:
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
        if self.checker is None and self.interactor is None and not isinstance(self.expected, (str, bytes)):
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
    weight: float = 1.0


@dataclass
class Result:
    """What a program gave on its tests; with `stop_on_first_failure` the tests after the first failure are
    absent.

    `total` is the number of tests that were to be run, `total_weight` the sum of their weights (None: `total`), and
    `positions` their places in the list that was given, where a subset was drawn from it.
    """

    tests: list[TestResult] = field(default_factory=list)
    tier: str = ""
    total: int = 0
    total_weight: float | None = None
    positions: list[int] | None = None

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
        """The share of all tests, by weight, that are AC, 0 to 1; meaningless when the verdict is IE."""
        if self.passed:
            return 1.0
        whole = self.total if self.total_weight is None else self.total_weight
        return sum(test.weight for test in self.tests if test.verdict is Verdict.AC) / whole if whole else 0.0
