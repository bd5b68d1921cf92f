"""Grading of stored samples: every judge of the protocol for answers, both modes of the sandbox for programs.

Judging needs the stored text and the problem alone, so it can be done again at any time.  Programs are run on their tests
up to the first failure, which decides the verdict; the soft score of one that fails is its share of passed tests,
over a sample of them where there are many, because each may take the whole time limit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.code_grading import OFFICIAL_LIMITS, sandbox_tests
from benchmarks.grading import GraderPool, JudgeError
from benchmarks.livecodebench import extract_code
from benchmarks.livecodebench_problems import WINDOWS
from benchmarks.protocols import Protocol
from benchmarks.records import CodeTest, Generation, Grade, Problem, Reason, digest
from klear_repro.config import Config
from klear_repro.errors import RunError
from klear_repro.files import Appender
from klear_repro.machine import workers
from klear_repro.progress import Progress, say
from sandbox import Executor, Limits, Result, SandboxError, Test, TestResult, Verdict

CODE_LIMITS = Limits(cpu_s=6, wall_s=10, memory_mb=1024)
"""Of programs on other benchmarks than LiveCodeBench."""
SHOWN = 300
"""Characters of an output or an error that are kept with a grade."""
MATH_BATCH = 256
"""Answers between two updates of the progress line."""


class Judged(NamedTuple):
    """What is kept of a program's result."""

    verdict: str
    rate: float
    """Share of passed tests."""
    tests: str = ""
    """As `Grade.tests`."""
    failure: str = ""
    """As `Grade.failure`."""

    @property
    def passed(self) -> bool:
        """All tests were run and passed."""
        return self.verdict == Verdict.AC


class Judges:
    """The grading processes and the sandbox of an evaluation, started when first needed.  Use as a context manager.

    `journal` is an append-only file of the sandbox's results: programs that were judged before an interruption are
    not run again, unless the tests, the limits or the sandbox have changed.
    """

    def __init__(self, config: Config, journal: Path | None = None) -> None:
        self._config = config
        self._journal = journal
        self._pool: GraderPool | None = None
        self._executor: Executor | None = None
        self._hashes: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Judges:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool:
            self._pool.close()
        if self._executor:
            self._executor.close()

    def grade(self, problems: Mapping[str, Problem], protocol: Protocol, rows: Sequence[Generation]) -> list[Grade]:
        """Every row under every judge.

        Raises:
            RunError: the sandbox failed on a program even when tried again; nothing is scored zero for that.
        """
        if not rows:
            return []
        if problems[rows[0].problem_id].kind == "math":
            return self._math(problems, protocol, rows)
        return [grade for mode in self.modes(rows[0].benchmark) for grade in self._code(problems, protocol, rows, mode)]

    def modes(self, benchmark: str) -> tuple[str, ...]:
        """The sandbox modes that programs of a benchmark are judged in."""
        chosen = self._config.eval.code_mode
        if chosen == "auto":
            return ("lcb_compat", "native") if benchmark in WINDOWS else ("native",)
        return ("lcb_compat", "native") if chosen == "both" else (chosen,)

    def _math(self, problems: Mapping[str, Problem], protocol: Protocol, rows: Sequence[Generation]) -> list[Grade]:
        if self._pool is None:
            self._pool = GraderPool(workers=workers(self._config.runtime.workers))
        grades = []
        for judge in protocol.judges:
            mine = [row for row in rows if judge == "klear" or row.error is None]  # a failed request is no answer
            with Progress(f"grade {rows[0].model} {rows[0].benchmark} ({judge})", len(mine), "sample") as progress:
                for start in range(0, len(mine), MATH_BATCH):
                    batch = mine[start : start + MATH_BATCH]
                    items = [(row.text, problems[row.problem_id].answer, row.finish_reason) for row in batch]
                    try:
                        given = self._pool.grade_many(items, judge, protocol.thinking)
                    except JudgeError as error:
                        raise RunError(f"the judges cannot run: {error}; the samples are kept") from None
                    grades += [keyed(grade, row) for grade, row in zip(given, batch, strict=True)]
                    progress.update(len(batch))
        return grades

    def _code(self, problems: Mapping[str, Problem], protocol: Protocol, rows: Sequence[Generation], mode: str) -> list[Grade]:
        programs = [extract_code(row.text, style=protocol.extraction) for row in rows]
        jobs = list(dict.fromkeys((row.problem_id, program) for row, program in zip(rows, programs, strict=True) if program.strip()))
        verdicts = self._run(problems, jobs, rows[0], mode, first_failure=True)
        failing = [job for job, result in verdicts.items() if not result.passed and len(problems[job[0]].tests) > 1]
        soft = self._run(problems, failing, rows[0], mode, first_failure=False)
        grades = []
        for row, program in zip(rows, programs, strict=True):
            job = (row.problem_id, program)
            grades.append(keyed(_code_grade(program, row, verdicts.get(job), soft.get(job), mode), row))
        return grades

    def _run(
        self, problems: Mapping[str, Problem], jobs: Sequence[tuple[str, str]], row: Generation, mode: str, *, first_failure: bool
    ) -> dict[tuple[str, str], Judged]:
        """Results by (problem, program); the tests are built as they are needed, for they may be large."""
        if not jobs:
            return {}
        if self._executor is None:
            runtime = self._config.runtime
            self._executor = Executor(workers=workers(runtime.workers), tier=runtime.tier)
            try:
                self._executor.__enter__()
            except SandboxError as error:
                raise RunError(f"programs cannot be judged: {error}; the samples are kept") from None
        limits = OFFICIAL_LIMITS if row.benchmark in WINDOWS else CODE_LIMITS
        soft = None if first_failure else self._config.eval.soft_tests or None
        settings = digest([mode, first_failure, soft, asdict(limits), self._executor.tier, self._executor.runtime])
        names = {job: digest([settings, self._problem_hash(problems[job[0]]), job[1]]) for job in jobs}
        known = _read_journal(self._journal) if self._journal else {}
        results = {job: known[name] for job, name in names.items() if name in known}
        waiting = [job for job in jobs if job not in results]
        failed = 0
        label = f"grade {row.model} {row.benchmark} ({mode}, {'verdicts' if first_failure else 'soft scores'})"
        with ExitStack() as stack:
            journal = stack.enter_context(Appender(self._journal)) if self._journal else None
            progress = stack.enter_context(Progress(label, len(jobs), "program", len(results)))
            for index, result in self._executor.stream(_samples(problems, waiting), limits, mode, first_failure, max_tests=soft):
                failed += result.verdict is Verdict.IE
                judged = results[waiting[index]] = _judged(result, problems[waiting[index][0]])
                if journal and result.verdict is not Verdict.IE:
                    journal.append({"job": names[waiting[index]]} | judged._asdict())
                progress.update()
        if failed:
            raise RunError(f"the sandbox failed on {failed} programs of {row.benchmark}; the samples are kept, run the same command again")
        return results

    def _problem_hash(self, problem: Problem) -> str:
        """Once a problem: its tests may be megabytes."""
        key = (problem.benchmark, problem.id)
        if key not in self._hashes:
            self._hashes[key] = digest([problem.model_dump(mode="json")])
        return self._hashes[key]


def _read_journal(path: Path) -> dict[str, Judged]:
    """What was judged before; a broken line is said, and its program judged again."""
    known = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            kept = json.loads(line or b"{}")
            if kept:
                said = str(kept.get("tests", "")), str(kept.get("failure", ""))
                known[str(kept["job"])] = Judged(str(Verdict(kept["verdict"])), float(kept["rate"]), *said)
        except (ValueError, KeyError, TypeError, RecursionError):
            say(f"{path}: a line is no verdict; its program is judged again")
    return known


def _samples(problems: Mapping[str, Problem], jobs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[Test]]]:
    for identity, program in jobs:
        problem = problems[identity]
        parts = [part for part in (problem.before, program, problem.after) if part]
        yield "\n".join(parts), sandbox_tests(problem.tests)


def _judged(result: Result, problem: Problem) -> Judged:
    places = result.positions or range(len(result.tests))
    ran = list(zip(places, result.tests, strict=False))
    tests = " ".join(f"{place}:{test.verdict}" for place, test in ran)  # no times: the same run has the same grades
    failed = next(((place, test) for place, test in ran if test.verdict is not Verdict.AC), None)
    return Judged(str(result.verdict), result.pass_rate, tests, _failure(problem.tests[failed[0]], failed[1]) if failed else "")


def _failure(test: CodeTest, result: TestResult) -> str:
    """The last line of an error, or what was expected; what a function returned is not kept by the sandbox."""
    error = (result.message or result.stderr).strip()
    if result.verdict is Verdict.WA and test.function is not None:
        arguments = ", ".join(map(repr, test.args))
        return f"{test.function}({_start(arguments)}) is not {_start(repr(test.expected))}"
    if result.verdict is Verdict.WA:
        return f"printed {_start(result.stdout)!r}, expected {_start(str(test.expected))!r}"
    return _start(error.splitlines()[-1]) if error else ""


def _start(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _code_grade(program: str, row: Generation, result: Judged | None, soft: Judged | None, grader: str) -> Grade:
    if result is None:
        reason: Reason = "truncated" if row.finish_reason == "length" else "no answer"
        return Grade(correct=False, extracted=None, reason=reason, grader=grader)
    return Grade(
        correct=result.passed, extracted=program, reason="correct" if result.passed else "wrong", grader=grader,
        score=1.0 if result.passed else (soft or result).rate, verdict=result.verdict, tests=_merged(result, soft), failure=result.failure,
    )  # fmt: skip


def _merged(first: Judged, soft: Judged | None) -> str:
    """Tests of both runs by place; where a test was run twice, the run that decided the verdict counts."""
    found = {int(one.split(":")[0]): one for judged in (soft, first) if judged for one in judged.tests.split()}
    return " ".join(found[place] for place in sorted(found))


def keyed(grade: Grade, row: Generation) -> Grade:
    """The grade with the key of its sample and what reports group by."""
    score = grade.score if grade.verdict is not None else float(grade.correct)
    return grade.model_copy(update={
        "key": row.key, "finish_reason": row.finish_reason, "token_count": row.token_count, "seconds": row.seconds, "score": score,
    })  # fmt: skip
