"""Programs judged on tests as LiveCodeBench officially does and as an online judge does, and where they differ.

The official verdict and its error codes are those of lcb_runner/evaluation of LiveCodeBench at 28fef95
(`testing_util.py`, `compute_code_generation_metrics.py`); the programs run in the sandbox, whose `lcb_compat` mode
gives the official verdict and whose `native` mode gives the right one. Every disagreement has the name of the
official checker's quirk that explains it, or `unexplained`; docs/livecodebench.md says what each quirk is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.errors import BenchmarkError
from benchmarks.lcb_quirks import CARRIAGE_RETURN, QUIRKS, UNEXPLAINED, Evidence, Quirk, name_quirk
from benchmarks.records import CodeTest
from sandbox import Executor, Limits, Result, Test, Verdict
from sandbox.model import KEPT_KB

__all__ = [
    "CARRIAGE_RETURN", "OFFICIAL_LIMITS", "QUIRKS", "UNEXPLAINED", "CodeSample", "Comparison", "Disagreement", "Quirk", "explain",
    "judge_both", "official_code", "sandbox_tests",
]  # fmt: skip

OFFICIAL_LIMITS = Limits(cpu_s=6, wall_s=12, memory_mb=4096, output_mb=128)
"""Officially 6 s of wall time a test, and no bound on memory or output. Wall time is doubled: others run beside."""
WRONG_ANSWER, TIME_LIMIT, RUNTIME_ERROR, RUNNER_ERROR = -2, -3, -4, -5


@dataclass(frozen=True)
class CodeSample:
    """One program for one problem, with the problem's public and private tests."""

    problem_id: str
    sample: int
    code: str
    tests: tuple[CodeTest, ...]


@dataclass(frozen=True)
class Disagreement:
    """A sample that passes in one mode and fails in the other.

    `quirk` is the name of one of QUIRKS, `carriage-return`, or `unexplained`.
    """

    problem_id: str
    sample: int
    native: Verdict
    lcb_compat: Verdict
    quirk: str


@dataclass(frozen=True)
class Comparison:
    """Both results of each sample, in order, and the samples on which they disagree."""

    native: list[Result]
    lcb_compat: list[Result]
    disagreements: list[Disagreement]


def sandbox_tests(tests: Iterable[CodeTest]) -> list[Test]:
    """Tests of a record as the sandbox takes them."""
    return [
        Test(function=test.function, args=test.args, expected=test.expected)
        if test.input is None
        else Test(input=test.input, expected=test.expected)
        for test in tests
    ]


def judge_both(samples: Sequence[CodeSample], executor: Executor, limits: Limits = OFFICIAL_LIMITS) -> Comparison:
    """Judges every sample in both modes, up to its first failing test.

    Raises:
        BenchmarkError: a sample without tests (officially it passes), or one that the sandbox could not judge.
    """
    for sample in samples:
        if not sample.tests:
            raise BenchmarkError(f"{sample.problem_id}, sample {sample.sample}: no tests, so nothing to pass")
    jobs = [(sample.code, sandbox_tests(sample.tests)) for sample in samples]
    native = executor.run_many(jobs, limits, "native", stop_on_first_failure=True)
    compat = executor.run_many(jobs, limits, "lcb_compat", stop_on_first_failure=True)
    disagreements = []
    for sample, job, right, official in zip(samples, jobs, native, compat, strict=True):
        if Verdict.IE in (right.verdict, official.verdict):
            raise BenchmarkError(f"{sample.problem_id}, sample {sample.sample}: the sandbox failed; judge again")
        if right.passed != official.passed:
            quirk = CARRIAGE_RETURN if _returns_matter(job, official, executor, limits) else explain(sample, right, official)
            if quirk == UNEXPLAINED and any(len(test.stdout) == KEPT_KB << 10 for test in [*right.tests, *official.tests]):
                quirk = explain(sample, *(_with_all_output(job, mode, executor, limits) for mode in ("native", "lcb_compat")))
            disagreements.append(Disagreement(sample.problem_id, sample.sample, right.verdict, official.verdict, quirk))
    return Comparison(native, compat, disagreements)


def _returns_matter(job: tuple[str, list[Test]], official: Result, executor: Executor, limits: Limits) -> bool:
    """Whether the official verdict would be the other one if the inputs had no carriage returns."""
    code, tests = job
    if not any(test.function is None and "\r\n" in str(test.input) for test in tests):
        return False
    without = [replace(test, input=str(test.input).replace("\r\n", "\n")) for test in tests]
    return executor.run(code, without, limits, "lcb_compat", True).passed != official.passed


def _with_all_output(job: tuple[str, list[Test]], mode: str, executor: Executor, limits: Limits) -> Result:
    """Once more, for the output beyond what results usually keep."""
    return executor.run(*job, limits, mode, True, keep_kb=limits.output_mb << 10)


def official_code(result: Result, functional: bool) -> int | None:
    """The `error_code` that the official checker would give; None for a program that passes.

    `result` comes from mode `lcb_compat`. Raises ValueError for IE, which is no verdict. What is stopped by a limit
    that the official checker lacks (MLE, OLE) or by the kernel (SV) has no official code; it counts as -4 and -5.
    """
    failed = next((test for test in result.tests if test.verdict is not Verdict.AC), None)
    if result.verdict is Verdict.IE:
        raise ValueError("result: IE is no verdict; judge the sample again")
    if failed is None:
        return None
    if failed.verdict is Verdict.WA:
        return WRONG_ANSWER
    if failed.verdict is Verdict.TLE:
        called = not functional or failed.stdout != ""  # the harness writes a newline once the program is loaded
        return TIME_LIMIT if called else RUNTIME_ERROR
    if failed.verdict is Verdict.RE:
        uncaught = failed.exit_code == 1 and failed.stderr != ""  # the harness reports an exception
        return RUNTIME_ERROR if uncaught else RUNNER_ERROR
    return RUNNER_ERROR if failed.verdict is Verdict.SV else RUNTIME_ERROR


def explain(sample: CodeSample, native: Result, compat: Result) -> str:
    """The name of the first quirk that explains why one mode passes and the other fails, or `unexplained`."""
    failed = compat if native.passed else native
    index = next(i for i, test in enumerate(failed.tests) if test.verdict is not Verdict.AC)
    both = [result.tests[min(index, len(result.tests) - 1)] for result in (native, compat)]
    return name_quirk(Evidence(sample.code, sample.tests[index], *both))
