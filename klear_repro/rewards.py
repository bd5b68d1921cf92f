"""Rewards of the RL stages: `data_source` selects the verifier, the preset its scores.

Paper: arXiv 2508.07629 §3.2; released code: verl/utils/reward_score/ (math_verify on the text after the
last `</think>`; code by its pass rate).  Scores by case:

| case                                        | release          | paper             | short-answer      |
| maths right / wrong                         | +1 / −1          | +1 / −1           | +1 / −1           |
| no `</think>`                               | −0.5             | −1                | not looked for    |
| `</think>` without `<think>`                | −2               | −1                | not looked for    |
| code, share p of the tests passed           | 2p − 1           | p                 | p                 |
| code, no ```python block after `</think>`   | −1               | 0                 | 0                 |

`short-answer` is this project's own, for models that neither think nor box: the answer is what the strict judge reads in the
response, which must be finished within the budget.

The paper says only that format errors are penalised; its preset gives them the score of a wrong
answer.  One functional *program* (a list of asserts, pytest) scores ±1 in the release; the smoke
profile has none.  Deviations from the release, in all presets:
 - a failure of the verifier itself (a grader's worker lost, a sandbox error) is no score at all, NaN, where the release gives −1;
 - tests are drawn with a seed;
 - maths goes through this project's `strict` judge, where the release takes math-verify's word: several boxed answers that
   differ, or an answer with alternatives, are wrong here, and it reads what math-verify alone does not;
 - a program's output is compared line by line and token by token, and a number with a point may be written otherwise
   (`sandbox.compare`), where the release wants equality after `strip`;
 - limits are the stage's (`cpu_s`, `wall_s`, `memory_mb`), whatever a row says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.grading import GraderPool
from benchmarks.livecodebench import extract_code
from sandbox import Executor, Limits, Test, Verdict, choose_tests

Preset = Literal["paper", "release", "short-answer"]
MATH_SOURCES = frozenset({"math_longcot_math_verify"})
CODE_SOURCES = frozenset({"coder1_longcot"})


@dataclass(frozen=True)
class Rollout:
    """What a verifier needs to know of one sample."""

    data_source: str
    response: str
    ground_truth: Any
    """Maths: the answer, str.  Code: a list of tests, dicts as in `benchmarks.records.CodeTest`."""
    seed: int
    """Chooses the tests when a problem has more than are run."""
    finish_reason: str | None = None
    """`length` where the budget ended it; only `short-answer` looks at it."""
    max_tests: int = 0
    """Tests that are run, at most, as the problem says; 0: it says nothing."""


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
    """Scores batches of rollouts; owns the grader processes and the sandbox.  Use as a context manager."""

    def __init__(self, preset: Preset, *, workers: int, max_tests: int, limits: Limits, tier: str = "auto") -> None:
        self.preset = preset
        self.max_tests = max_tests
        self.limits = limits
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
        scores: list[Score | None] = [format_score(rollout.response, self.preset) for rollout in rollouts]
        maths, code = [], []
        for index, rollout in enumerate(rollouts):
            if rollout.data_source in MATH_SOURCES:
                maths.append(index)
            elif rollout.data_source in CODE_SOURCES:
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
        items = [(after_thinking(one.response), one.ground_truth, one.finish_reason if short else None) for one in rollouts]
        grades = self._graders.grade_many(items, grader="strict", thinking="auto")
        return [_failed("judge time-out") if grade.reason == "judge time-out" else _math_score(grade.correct) for grade in grades]

    def _code(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """Each distinct (program, tests) pair is executed once, however many samples wrote it."""
        jobs: dict[tuple[str, tuple[int, ...]], tuple[str, list[Test]]] = {}
        keys: list[tuple[str, tuple[int, ...]] | None] = []
        for rollout in rollouts:
            program = extract_code(rollout.response, style="klear")
            if not program:
                keys.append(None)
                continue
            chosen = choose_tests(rollout.ground_truth, min(self.max_tests, rollout.max_tests or self.max_tests), rollout.seed)
            job = (program, tuple(id(test) for test in chosen))
            jobs.setdefault(job, (program, [Test(**test) for test in chosen]))
            keys.append(job)
        if jobs and self._executor is None:
            self._executor = Executor(workers=self._workers, tier=self._tier).__enter__()
        results = dict(zip(jobs, self._executor.run_many(list(jobs.values()), limits=self.limits), strict=True)) if self._executor and jobs else {}
        scores = []
        for key in keys:
            if key is None:
                scores.append(code_score(0.0, self.preset, "no code"))
            elif results[key].verdict is Verdict.IE:
                scores.append(_failed("IE"))
            else:
                scores.append(code_score(results[key].pass_rate, self.preset, str(results[key].verdict)))
        return scores


def known_sources() -> str:
    """The values of `data_source`, for messages."""
    return ", ".join(sorted(MATH_SOURCES | CODE_SOURCES))


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
