"""Rewards of the RL stages: `data_source` selects the verifier, the preset its scores.

Paper: arXiv 2508.07629 §3.2; released code: verl/utils/reward_score/ (math_verify on the text after the
last `</think>`; code by its pass rate).  Scores by case:

| case                                        | release          | paper             | short-answer      |
| maths right / wrong                         | +1 / −1          | +1 / −1           | +1 / −1           |
| no `</think>`                               | −0.5             | −1                | not looked for    |
| `</think>` without `<think>`                | −2               | −1                | not looked for    |
| code, share p of the tests passed           | 2p − 1           | p                 | p                 |
| code, no ```python block after `</think>`   | −1               | 0                 | 0                 |

A program of asserts or a text for pytest is one test, so a row with a single one scores ±1 in the release and 0 or 1 in the
paper's preset; a list of programs scores by the share that pass.

`short-answer` is this project's own, for models that neither think nor box: the answer is what the strict judge reads in the
response, which must be finished within the budget.

Tags count wherever they are: a chat template that ends the prompt with `<think>` leaves the response no more to write than the other
one, and after a prompt that ends with both, the response is the answer.

The paper says only that format errors are penalised; its preset gives them the score of a wrong
answer.  Deviations from the release, in all presets:
 - a failure of the verifier itself (a grader's worker lost, a sandbox error) is no score at all, NaN, where the release gives −1;
 - tests are drawn with a seed;
 - maths goes through this project's `strict` judge, where the release takes math-verify's word: several boxed answers that
   differ, or an answer with alternatives, are wrong here, and it reads what math-verify alone does not;
 - a program's output is compared line by line and token by token, and a number with a point may be written otherwise
   (`sandbox.compare`), where the release wants equality after `strip`;
 - a row's `timeout` shortens the stage's `cpu_s`, and `wall_s` in proportion, and never lengthens them;
 - a program that runs out of time on each of the `stop_after_tle` tests with the shortest inputs is not run on the others:
   they count as failed, and the detail says so;
 - asserts that only call the program and compare are compared outside its process (`klear_repro.asserts`); any other test text runs
   beside the program, as in the release, and a program that looks for it can pass without being right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks.grading import GraderPool
from benchmarks.livecodebench import extract_code
from klear_repro.asserts.reading import RUNNER, AssertTest
from klear_repro.program_runs import ProgramRun, run_programs
from sandbox import Executor, Limits, Result, Test, Verdict, choose_tests

Preset = Literal["paper", "release", "short-answer"]
SOURCES: dict[str, Literal["math", "code"]] = {"coder1_longcot": "code", "math_longcot_math_verify": "math"}
"""Beginnings of `data_source`; the released validation rows go on with the benchmark, as in coder1_longcot_lcbv5."""


@dataclass(frozen=True)
class Rollout:
    """What a verifier needs to know of one sample."""

    data_source: str
    response: str
    ground_truth: Any
    """Maths: the answer, str.  Code: a list of tests, dicts as in `benchmarks.records.CodeTest` or `AssertTest`."""
    seed: int
    """Chooses the tests when a problem has more than are run."""
    finish_reason: str | None = None
    """`length` where the budget ended it; only `short-answer` looks at it."""
    max_tests: int = 0
    """Tests that are run, at most, as the problem says; 0: it says nothing."""
    timeout_s: float = 0.0
    """Seconds that a test may take, as the problem says; 0: it says nothing."""
    thinking: str = ""
    """Thinking tags that the prompt ends with."""

    @property
    def whole(self) -> str:
        """The response with the tags of its prompt."""
        return self.thinking + self.response


@dataclass(frozen=True)
class Score:
    """Reward of one sample.

    `reward` is NaN when the verifier failed; `accuracy` is 1 when the score is exactly 1.0, the
    release's `acc`; `detail` is a verdict or reason for the logs.
    """

    reward: float
    accuracy: float
    detail: str


class RewardModel:
    """Scores batches of rollouts; owns the grader processes and the sandbox.  Use as a context manager.

    Args:
        stop_after_tle: tests without a result in time after which a program is not run on the others; 0: it is run on all.
    """

    def __init__(self, preset: Preset, *, workers: int, max_tests: int, limits: Limits, tier: str = "auto", stop_after_tle: int = 0) -> None:
        self.preset = preset
        self.max_tests = max_tests
        self.limits = limits
        self.stop_after_tle = stop_after_tle
        self._workers = workers
        self._tier = tier
        self._graders: GraderPool | None = None
        self._executor: Executor | None = None

    def __enter__(self) -> RewardModel:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._graders is not None:
            self._graders.__exit__(None, None, None)
        if self._executor is not None:
            self._executor.__exit__(None, None, None)

    def score(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """Scores in the order of `rollouts`.

        Raises:
            ValueError: a `data_source` that no verifier knows; it is named.
        """
        scores: list[Score | None] = [format_score(rollout.whole, self.preset) for rollout in rollouts]
        maths, code = [], []
        for index, rollout in enumerate(rollouts):
            if (kind := source_kind(rollout.data_source)) == "math":
                maths.append(index)
            elif kind == "code":
                code.append(index)
            else:
                raise ValueError(f"data_source={rollout.data_source!r}: allowed are {known_sources()}")
        for indices, verify in ((maths, self._math), (code, self._code)):
            todo = [index for index in indices if scores[index] is None]
            for index, score in zip(todo, verify([rollouts[index] for index in todo]), strict=True):
                scores[index] = score
        return [score for score in scores if score is not None]

    def _math(self, rollouts: Sequence[Rollout]) -> list[Score]:
        if not rollouts:
            return []
        if self._graders is None:
            self._graders = GraderPool(workers=self._workers).__enter__()
        short = self.preset == "short-answer"
        items = [(after_thinking(one.response if short else one.whole), one.ground_truth, one.finish_reason if short else None) for one in rollouts]
        grades = self._graders.grade_many(items, grader="strict", thinking="auto")
        return [_failed("judge time-out") if grade.reason == "judge time-out" else _math_score(grade.correct) for grade in grades]

    def _code(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """Each distinct (program, tests) pair is executed once, however many samples wrote it."""
        runs: dict[tuple[Any, ...], ProgramRun] = {}
        keys: list[tuple[Any, ...] | None] = []
        for rollout in rollouts:
            program = extract_code(rollout.whole, style="klear")
            if not program:
                keys.append(None)
                continue
            chosen = choose_tests(rollout.ground_truth, min(self.max_tests, rollout.max_tests or self.max_tests), rollout.seed)
            key = (program, rollout.timeout_s, *map(id, chosen))
            if key not in runs:
                runs[key] = _program_run(program, chosen, within(self.limits, rollout.timeout_s))
            keys.append(key)
        if runs and self._executor is None:
            self._executor = Executor(workers=self._workers, tier=self._tier).__enter__()
        results = dict(zip(runs, run_programs(self._executor, list(runs.values()), self.stop_after_tle), strict=True)) if self._executor and runs else {}
        return [code_score(0.0, self.preset, "no code") if key is None else self._code_score(results[key]) for key in keys]

    def _code_score(self, result: Result) -> Score:
        if result.verdict is Verdict.IE:
            return _failed("IE")
        stopped = len(result.tests) < result.total
        return code_score(result.pass_rate, self.preset, f"{result.verdict}, not run on every test" if stopped else str(result.verdict))


def source_kind(source: object) -> Literal["math", "code"] | None:
    """What a `data_source` says that a row is, by its beginning; None if it is unknown."""
    return next((kind for name, kind in SOURCES.items() if isinstance(source, str) and source.startswith(name)), None)


def within(limits: Limits, timeout_s: float) -> Limits:
    """The limits of a row with a time-out: it bounds the processor time, and the wall time in proportion; 0: the limits as they are."""
    if not timeout_s or timeout_s >= limits.cpu_s:
        return limits
    return replace(limits, cpu_s=timeout_s, wall_s=max(0.01, limits.wall_s * timeout_s / limits.cpu_s))


def _program_run(program: str, tests: Sequence[dict[str, Any] | AssertTest], limits: Limits) -> ProgramRun:
    if any(isinstance(test, AssertTest) for test in tests):
        return ProgramRun(RUNNER, [test.test(program) for test in tests if isinstance(test, AssertTest)], limits)
    return ProgramRun(program, [Test(**test) for test in tests if isinstance(test, dict)], limits)


def known_sources() -> str:
    """The values of `data_source`, for messages."""
    return ", ".join(sorted(SOURCES))


def after_thinking(response: str) -> str:
    """The text after the last `</think>`, which is all that the released math reward reads."""
    return response.rpartition("</think>")[2]


def format_score(response: str, preset: Preset) -> Score | None:
    """The score of a response without both thinking tags, None when they are there (released code, checked first) or not asked for."""
    if preset == "short-answer":
        return None
    if "</think>" not in response:
        return Score(-0.5 if preset == "release" else -1.0, 0.0, "no </think>")
    if "<think>" not in response:
        return Score(-2.0 if preset == "release" else -1.0, 0.0, "no <think>")
    return None


def code_score(pass_rate: float, preset: Preset, detail: str) -> Score:
    """Soft reward of a program: 2p − 1 (release) or p (paper)."""
    return Score(2 * pass_rate - 1 if preset == "release" else pass_rate, float(pass_rate == 1.0), detail)


def _math_score(correct: bool) -> Score:
    return Score(1.0, 1.0, "correct") if correct else Score(-1.0, 0.0, "wrong")


def _failed(detail: str) -> Score:
    return Score(math.nan, 0.0, detail)
