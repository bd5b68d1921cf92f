"""Programs judged on tests as LiveCodeBench officially does and as an online judge does, and where they differ.

The official verdict and its error codes are those of lcb_runner/evaluation of LiveCodeBench at 28fef95
(`testing_util.py`, `compute_code_generation_metrics.py`); the programs run in the sandbox, whose `lcb_compat` mode
gives the official verdict and whose `native` mode gives the right one. Every disagreement has the name of the
official checker's quirk that explains it, or `unexplained`; docs/livecodebench.md says what each quirk is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.records import CodeTest
from sandbox import Executor, Limits, Result, Test, TestResult, Verdict
from sandbox.compare import text_matches
from sandbox.inside.lcb import prelude
from sandbox.model import KEPT_KB

OFFICIAL_LIMITS = Limits(cpu_s=6, wall_s=12, memory_mb=4096, output_mb=128)
"""Officially 6 s of wall time a test, and no bound on memory or output. Wall time is doubled: others run beside."""
WRONG_ANSWER, TIME_LIMIT, RUNTIME_ERROR, RUNNER_ERROR = -2, -3, -4, -5
UNEXPLAINED = "unexplained"
CARRIAGE_RETURN = "carriage-return"
"""The quirk that is found by judging again: \\r\\n in the input reaches the program untranslated."""


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
            disagreements.append(Disagreement(sample.problem_id, sample.sample, right.verdict, official.verdict, quirk))
    return Comparison(native, compat, disagreements)


def _returns_matter(job: tuple[str, list[Test]], official: Result, executor: Executor, limits: Limits) -> bool:
    """Whether the official verdict would be the other one if the inputs had no carriage returns."""
    code, tests = job
    if not any(test.function is None and "\r\n" in str(test.input) for test in tests):
        return False
    without = [replace(test, input=str(test.input).replace("\r\n", "\n")) for test in tests]
    return executor.run(code, without, limits, "lcb_compat", True).passed != official.passed


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


@dataclass(frozen=True)
class _Evidence:
    """What a quirk may be recognised by. Only the text of programs is looked at, never their syntax tree: they
    are hostile, and parsing is the sandbox's work.
    """

    code: str
    test: CodeTest
    native: TestResult
    compat: TestResult

    @property
    def functional(self) -> bool:
        return self.test.input is None

    @property
    def officially_fails(self) -> bool:
        return self.native.verdict is Verdict.AC


@dataclass(frozen=True)
class Quirk:
    """A way in which the official checker is wrong: `what` it does, and how a disagreement shows it.

    `fails`: it fails right programs (True), passes wrong ones (False), or either (None). `code` is searched in the
    program, `error` in the standard error or the message of the mode that failed; `check` looks at the rest. The
    patterns take time in proportion to the text, which is hostile.
    """

    name: str
    what: str
    fails: bool | None
    code: str = ""
    error: str = ""
    check: Callable[[_Evidence], bool] | None = None

    def explains(self, evidence: _Evidence) -> bool:
        """Whether all that the quirk is recognised by is there."""
        if self.fails is not None and self.fails != evidence.officially_fails:
            return False
        failed = evidence.compat if evidence.officially_fails else evidence.native
        if self.error and not re.search(self.error, f"{failed.stderr}\n{failed.message}"):
            return False
        if self.code and not re.search(self.code, evidence.code):
            return False
        return self.check is None or self.check(evidence)


def explain(sample: CodeSample, native: Result, compat: Result) -> str:
    """The name of the first quirk that explains why one mode passes and the other fails, or `unexplained`."""
    failed = compat if native.passed else native
    index = next(i for i, test in enumerate(failed.tests) if test.verdict is not Verdict.AC)
    both = [result.tests[min(index, len(result.tests) - 1)] for result in (native, compat)]
    evidence = _Evidence(sample.code, sample.tests[index], *both)
    return next((quirk.name for quirk in QUIRKS if quirk.explains(evidence)), UNEXPLAINED)


def _only_compared_otherwise(evidence: _Evidence) -> bool:
    """The output that one mode refuses is right for the other one."""
    failed, mode = (evidence.compat, "native") if evidence.officially_fails else (evidence.native, "lcb_compat")
    if evidence.functional or failed.verdict is not Verdict.WA or len(failed.stdout) >= KEPT_KB << 10:
        return False
    return text_matches(str(evidence.test.expected).encode(), failed.stdout.encode(), mode)


def _spelled_otherwise(evidence: _Evidence) -> bool:
    return _only_compared_otherwise(evidence) and evidence.native.stdout.split() != str(evidence.test.expected).split()


def _nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, list) for item in value)


def _wrong_value(evidence: _Evidence) -> bool:
    failed = evidence.compat if evidence.officially_fails else evidence.native
    return evidence.functional and failed.verdict is Verdict.WA


@functools.cache
def _prelude_names() -> frozenset[str]:
    return frozenset(prelude())


def _misses_prelude(evidence: _Evidence) -> bool:
    found = re.findall(r"NameError: name '(\w+)' is not defined", evidence.native.stderr)
    return bool(found) and found[-1] in _prelude_names()


def _guard_is_unwrapped(code: str) -> bool:
    """Whether the program's only mention of `__name__` is the guard that the official checker looks for."""
    lines = [line for line in code.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    guards = [number for number, line in enumerate(lines) if "__name__" in line]
    if len(guards) != 1 or not _GUARD.match(lines[guards[0]]):
        return False
    return all(line[0] in " \t" for line in lines[guards[0] + 1 :])


_GUARD = re.compile(r"if(?: +| *\( *)__name__ *== *(['\"])__main__\1(?: *\))? *:")
_FROM_SYS = r"(?m)^[ \t]*from[ \t]+sys[ \t]+import\b[^\n]*"
_REMOVED = (
    r"\b(?:quit|help|kill|system|putenv|remove|removedirs|rmdir|fchdir|setuid|fork|forkpty|killpg|renames?|truncate|"
    r"replace|unlink|fchmod|fchown|chmod|chown|chroot|getcwd|chdir)\s*\("
)

QUIRKS = (
    Quirk("shared-state", "all calls share one process and one Solution object", None, check=lambda e: (
        "the calls before it" in e.compat.message)),
    Quirk("inner-space", "white space inside a line counts unless all of its tokens are numbers", True,
          check=_only_compared_otherwise),
    Quirk("number-spelling", "tokens are equal as Decimal: 1_000 is 1000, 1.0 is 1, digits of any script", False,
          check=_spelled_otherwise),
    Quirk("unicode-space", "lines are stripped of all that Unicode calls white space", False,
          check=_only_compared_otherwise),
    Quirk("stdin-mock", "sys.stdin cannot be iterated, entered, or asked for its descriptor", True,
          error=r"'_MockStdin' object|UnsupportedOperation: fileno"),
    Quirk("buffer-mock", "sys.stdin.buffer has read and readline only", True, error="'_MockBuffer' object"),
    Quirk("stdout-mock", "sys.stdout has no buffer and cannot be closed", True,
          error=r"'_io.StringIO' object has no attribute|missing 1 required positional argument: 'x'"),
    Quirk("array-truth", "an array of several elements has no truth value to compare by", True,
          error="truth value of an array"),
    Quirk("solution-required", "a text that mentions class Solution must define it, with the method", True,
          error=r"KeyError: 'Solution'|'Solution' object has no attribute"),
    Quirk("future-import", "the prelude stands before the program's first line", True, error="from __future__ imports"),
    Quirk("empty-body", "a program of imports only leaves an empty function", True, error="nothing is left"),
    Quirk("unimportable", "resource, psutil, joblib, ipdb and tkinter cannot be imported", True,
          error=r"import of \w+ halted; None in sys\.modules"),
    Quirk("removed-function", "quit, help and functions of os are None", True, code=_REMOVED,
          error="'NoneType' object is not callable"),
    Quirk("unregistered-module", "the program's module is not in sys.modules", True,
          error="'NoneType' object has no attribute '__dict__'"),
    Quirk("unparse", "what ast.unparse cannot write is not wrapped, and fails", True, error=(
        r"not compiled: (?:RecursionError|ValueError)")),
    Quirk("process-end", "os._exit ends the checker's process before it has judged", True, code=r"\b_exit\b",
          error="ended before"),
    Quirk("global-of-main", "top-level names are local, so `global` does not find them", True, code=r"\bglobal\b",
          error="NameError"),
    Quirk("body-in-function", "the program is the body of a function: scopes, imports first, return allowed", None,
          error=r"NameError: name '\w+' is not defined. Did|UnboundLocalError|cannot access local variable|"
                r"import \* only allowed|Can't pickle local|outside function|no binding for nonlocal|KeyError: '\w+'|"
                r"is not callable", check=lambda e: not e.functional and not (
                    not e.officially_fails and _misses_prelude(e))),
    Quirk("prelude", "names of eighteen modules are predefined, and imports come first", False, check=_misses_prelude),
    Quirk("recursion-limit", "the recursion limit is 50,000 from the start", False, error="RecursionError"),
    Quirk("exit-status", "SystemExit is swallowed, whatever its status", False, check=lambda e: (
        e.native.verdict is Verdict.RE and "Traceback" not in e.native.stderr)),
    Quirk("main-guard", "only a last `if __name__ == '__main__'` is unwrapped; __name__ is another", None,
          code=r"__name__", check=lambda e: not _guard_is_unwrapped(e.code)),
    Quirk("exit-handler", "atexit handlers, and threads that nothing waits for, come after the verdict", None,
          code=r"\batexit\b|\bthreading\b"),
    Quirk("descriptor-0", "descriptor 0 is empty: open(0), os.read(0, n)", True,
          code=r"\bf?d?open\(\s*0|\bread\(\s*0|/dev/stdin"),
    Quirk("stdin-by-name", "`from sys import stdin` is another stream, whose readline keeps no newline", None,
          code=_FROM_SYS + r"(?:\bstdin\b|\*)"),
    Quirk("stdout-elsewhere", "what is not printed through sys.stdout is lost", True,
          code=_FROM_SYS + r"(?:\bstdout\b|\*)|__stdout__|\bos\.write\(\s*1|fdopen\(\s*1"),
    Quirk("buffer-readline", "sys.stdin.buffer.readline gives the first line each time", None,
          code=r"\.buffer\b", check=lambda e: "readline" in e.code),
    Quirk("read-restarts", "read and readlines give the whole input each time, lines without newlines", None,
          code=r"\bread\b|\breadlines\b"),
    Quirk("nan", "NaN never equals NaN", True, check=lambda e: _wrong_value(e) and "nan" in repr(e.test.expected)),
    Quirk("nested-tuple", "only the outermost tuple becomes a list", True, check=lambda e: (
        _wrong_value(e) and _nested(e.test.expected))),
    Quirk("exact-number", "a Fraction or Decimal equals a number", False, code=r"\b(?:Fraction|Decimal)\b",
          check=_wrong_value),
    Quirk("bool-is-int", "True is 1", False, check=_wrong_value),
)  # fmt: skip
"""In the order in which they are tried: those with the surest evidence first."""
