"""Rewards: every row of the table of rewards.py under both presets, with real graders and really executed programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from klear_repro.rewards import RewardModel, Rollout
from sandbox import Limits, Result, TestResult, Verdict, choose_tests

MATH, CODE = "math_longcot_math_verify", "coder1_longcot"
TESTS = [{"input": f"{n}\n", "expected": f"{2 * n}\n"} for n in (0, 1, 2, 3)]
CALLS = [{"function": "double", "args": [n], "expected": 2 * n} for n in (0, 1, 2, 3)]


@pytest.fixture(scope="module", params=["paper", "release"])
def model(request: pytest.FixtureRequest) -> Iterator[RewardModel]:
    limits = Limits(cpu_s=2, wall_s=5, memory_mb=256)
    with RewardModel(request.param, workers=1, max_tests=16, limits=limits) as rewards:
        yield rewards


def program(text: str) -> str:
    return f"<think>\nhm\n</think>\n\n```python\n{text}\n```"


def score(model: RewardModel, source: str, response: str, truth: Any) -> tuple[float, float]:
    (one,) = model.score([Rollout(source, response, truth, 0)])
    return one.reward, one.accuracy


RIGHT = "print(2 * int(input()))"
ROWS = {
    # case → source, response, ground truth, (paper reward, accuracy), (release reward, accuracy)
    "math, right": (MATH, "<think>\n2+2\n</think>\n\n\\boxed{4}", "4", (1, 1), (1, 1)),
    "math, wrong": (MATH, "<think>\n2+2\n</think>\n\n\\boxed{5}", "4", (-1, 0), (-1, 0)),
    "math, no answer": (MATH, "<think>\n2+2\n</think>\n\nI do not know.", "4", (-1, 0), (-1, 0)),
    "math, right only while thinking": (MATH, "<think>\n\\boxed{4}\n</think>\n\n\\boxed{5}", "4", (-1, 0), (-1, 0)),
    "math, no end of thinking": (MATH, "<think>\n\\boxed{4}", "4", (-1, 0), (-0.5, 0)),
    "math, no tags": (MATH, "\\boxed{4}", "4", (-1, 0), (-0.5, 0)),
    "math, only the end of thinking": (MATH, "</think>\\boxed{4}", "4", (-1, 0), (-2, 0)),
    "code, all tests": (CODE, program(RIGHT), TESTS, (1, 1), (1, 1)),
    "code, half of the tests": (CODE, program("print(2 * min(1, int(input())))"), TESTS, (0.5, 0), (0, 0)),
    "code, one test": (CODE, program("input()\nprint(0)"), TESTS, (0.25, 0), (-0.5, 0)),
    "code, no test": (CODE, program("print(9)"), TESTS, (0, 0), (-1, 0)),
    "code, functional": (CODE, program("def double(n):\n    return 2 * n"), CALLS, (1, 1), (1, 1)),
    "code, functional, one test": (CODE, program("def double(n):\n    return 0"), CALLS, (0.25, 0), (-0.5, 0)),
    "code, crash": (CODE, program("raise SystemExit(1)"), TESTS, (0, 0), (-1, 0)),
    "code, does not compile": (CODE, program("print("), TESTS, (0, 0), (-1, 0)),
    "code, no program": (CODE, "<think>\nhm\n</think>\n\nnothing", TESTS, (0, 0), (-1, 0)),
    "code, program only while thinking": (CODE, f"<think>\n```python\n{RIGHT}\n```\n</think>\n\nnothing", TESTS, (0, 0), (-1, 0)),
    "code, the last of two programs": (CODE, program("print(9)") + "\n\n```python\n" + RIGHT + "\n```", TESTS, (1, 1), (1, 1)),
    "code, no end of thinking": (CODE, f"<think>\n```python\n{RIGHT}\n```", TESTS, (-1, 0), (-0.5, 0)),
    "code, only the end of thinking": (CODE, f"</think>\n```python\n{RIGHT}\n```", TESTS, (-1, 0), (-2, 0)),
}


@pytest.mark.parametrize("case", ROWS)
def test_reward_is_that_of_the_table(model: RewardModel, case: str) -> None:
    source, response, truth, paper, release = ROWS[case]
    assert score(model, source, response, truth) == (paper if model.preset == "paper" else release)


def test_a_mixed_batch_is_scored_in_order(model: RewardModel) -> None:
    cases = list(ROWS.values())
    scores = model.score([Rollout(source, response, truth, 0) for source, response, truth, *_ in cases])
    wanted = [row[3 if model.preset == "paper" else 4] for row in cases]
    assert [(one.reward, one.accuracy) for one in scores] == wanted


def test_nothing_to_score_is_nothing(model: RewardModel) -> None:
    assert model.score([]) == []


def test_an_unknown_data_source_is_named(model: RewardModel) -> None:
    with pytest.raises(ValueError, match=r"data_source='gsm8k'.*coder1_longcot.*math_longcot_math_verify"):
        model.score([Rollout(MATH, "<think></think>1", "1", 0), Rollout("gsm8k", "<think></think>1", "1", 0)])


def test_the_same_program_may_score_differently_on_two_problems(model: RewardModel) -> None:
    other = [{"input": f"{n}\n", "expected": f"{3 * n}\n"} for n in (0, 1)]
    first, second = model.score([Rollout(CODE, program(RIGHT), truth, 0) for truth in (TESTS, other)])
    assert first.accuracy == 1
    assert second.accuracy == 0


class _Failing:
    """A sandbox that fails on every program."""

    workers = 1

    def run(self, code: str, tests: list[Any], limits: Limits, **options: Any) -> Result:
        return Result(tests=[TestResult(Verdict.IE) for _ in tests], total=len(tests))

    def __exit__(self, *exc: object) -> None:
        pass


def test_a_failed_sandbox_is_no_score_at_all() -> None:
    with RewardModel("release", workers=1, max_tests=16, limits=Limits(cpu_s=2, wall_s=5, memory_mb=256)) as rewards:
        rewards._executor = _Failing()  # type: ignore[assignment]
        failed, none = rewards.score([Rollout(CODE, program(RIGHT), TESTS, 0), Rollout(CODE, "<think></think>", TESTS, 0)])
    assert math.isnan(failed.reward)
    assert failed.accuracy == 0
    assert none.reward == -1


def test_at_most_max_tests_are_drawn_with_the_seed_and_in_their_order() -> None:
    tests = [{"input": str(n), "expected": str(n)} for n in range(40)]
    drawn = choose_tests(tests, 16, 7)
    assert len(drawn) == 16
    assert [int(test["input"]) for test in drawn] == sorted(int(test["input"]) for test in drawn)
    assert drawn == choose_tests(tests, 16, 7)
    assert drawn != choose_tests(tests, 16, 8)
    assert choose_tests(tests[:16], 16, 7) == tests[:16]


def test_only_the_drawn_tests_are_run() -> None:
    tests = [{"input": f"{n}\n", "expected": f"{2 * n if n % 2 else 9}\n"} for n in range(20)]
    with RewardModel("paper", workers=1, max_tests=4, limits=Limits(cpu_s=2, wall_s=5, memory_mb=256)) as rewards:
        for seed in range(4):
            drawn = choose_tests(tests, 4, seed)
            share = sum(test["expected"] != "9\n" for test in drawn) / 4
            assert rewards.score([Rollout(CODE, program(RIGHT), tests, seed)])[0].reward == share


def test_a_short_answer_that_the_budget_ended_is_wrong() -> None:
    with RewardModel("short-answer", workers=1, max_tests=1, limits=Limits()) as rewards:
        finished, cut = rewards.score([Rollout(MATH, "2 + 2 = 4. The answer is 4.", "4", 0, reason) for reason in ("stop", "length")])
    assert (finished.reward, finished.accuracy) == (1, 1)
    assert (cut.reward, cut.accuracy) == (-1, 0)
