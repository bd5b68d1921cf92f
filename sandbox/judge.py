"""From what the kernel and the zygote observed about one test to its verdict. What is compared, and where, is the
worker's; here nothing takes longer than the length of standard error, of which 64 KiB are kept.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass

from .inside import protocol
from .model import Limits, Test, TestResult, Verdict
from .output import Output

_MEMORY_ERROR = re.compile(rb"[\w.]*MemoryError\b")


@dataclass
class Outcome:
    """How one test ended; `errors` is the beginning and the end of standard error."""

    reached: int
    killed: str | None = None
    status: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_kb: int = 0
    skipped: bool = False
    errors: bytes = b""


Complaint = Callable[[], str]
"""What comparison or checker have against the output; "" for nothing."""


def judge(
    test: Test, outcome: Outcome, output: Output, limits: Limits, mode: str, keep_bytes: int, complaint: Complaint
) -> TestResult:
    """The verdict and the figures of a test that the sandbox did carry out (`reached` is not FORKED).

    `complaint` is only called if the program ended well.
    """
    verdict, message = _verdict(test, outcome, output, limits, mode, complaint)
    return TestResult(
        verdict=verdict, cpu_s=outcome.cpu_s, wall_s=outcome.wall_s, peak_mb=outcome.peak_kb / 1024,
        stdout=output.text(keep_bytes), stderr=outcome.errors.decode("utf-8", "replace"),
        exit_code=outcome.status if outcome.status >= 0 and not outcome.killed else None,
        signal=-outcome.status if outcome.status < 0 else None, message=message, weight=test.weight,
    )  # fmt: skip


def _verdict(
    test: Test, outcome: Outcome, output: Output, limits: Limits, mode: str, complaint: Complaint
) -> tuple[Verdict, str]:
    if outcome.status == -signal.SIGSYS:
        return Verdict.SV, "killed by the kernel for a forbidden system call"
    if outcome.reached == protocol.LOCKED:
        return Verdict.CE, "not compiled: " + (
            outcome.killed or _last_line(outcome.errors) or "the compiler died"
        )
    if output.size > limits.output_mb << 20:
        return Verdict.OLE, f"standard output exceeds {limits.output_mb} MiB"
    if outcome.killed == "threads":
        return Verdict.RE, "too many threads"
    if outcome.killed == "memory" or outcome.peak_kb > limits.memory_mb << 10:
        return Verdict.MLE, f"memory exceeds {limits.memory_mb} MiB"
    if outcome.killed == "wall":
        return Verdict.TLE, f"wall time exceeds {limits.wall_s:g} s"
    if outcome.killed == "cpu" or outcome.cpu_s > limits.cpu_s:
        return Verdict.TLE, f"CPU time exceeds {limits.cpu_s:g} s"
    if outcome.status == 1 and _MEMORY_ERROR.match(outcome.errors.rstrip(b"\n").rpartition(b"\n")[2]):
        return Verdict.MLE, "MemoryError"
    if outcome.status < 0:
        return Verdict.RE, f"killed by {_signal_name(-outcome.status)}"
    if outcome.status > 0:
        return Verdict.RE, f"exit status {outcome.status}: {_last_line(outcome.errors)}"
    if test.function is not None and output.value is None:
        return Verdict.RE, "the process ended before the function returned"
    if mode == "lcb_compat" and not output.size:  # its harness ends the output with a newline
        return Verdict.RE, "the process ended before the program returned"
    said = complaint()
    return (Verdict.WA, said) if said else (Verdict.AC, "")


def _last_line(errors: bytes) -> str:
    lines = errors.strip().splitlines()
    return lines[-1][:300].decode("utf-8", "replace") if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
