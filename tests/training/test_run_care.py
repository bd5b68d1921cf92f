"""When a run stops, what it says, and what a mismatch of log-probabilities does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from klear_repro.engines.base import Completion
from klear_repro.errors import RunError
from klear_repro.rewards import Rollout, Score
from klear_repro.sections import RLConfig
from klear_repro.training.advantages import overlong_penalty, without_overlong
from klear_repro.training.logs import table_row
from klear_repro.training.prompts import Prompt
from klear_repro.training.rl import Group, score, select
from klear_repro.training.step_metrics import StepMetrics
from klear_repro.training.watch import hopeless

CONFIG = RLConfig(patience=3, stop_entropy=0.01)
GOOD = {
    "updates": 2, "skipped_updates": 0, "groups": 8, "groups_flat": 3, "groups_kept": 5, "accuracy": 0.4, "rollout_entropy": 0.3,
    "truncated": 0.1, "details": {"wrong": 3},
}  # fmt: skip
NOTHING_RIGHT = {"groups_flat": 8, "accuracy": 0.0, "details": {"no </think>": 64}}


def row(**changed: Any) -> dict[str, Any]:
    return {**GOOD, **changed}


def test_a_run_that_learns_goes_on() -> None:
    assert hopeless([row()] * 5, CONFIG) == ""


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"skipped_updates": 2}, "no update had a finite gradient"),
        ({**NOTHING_RIGHT, "groups_kept": 0, "updates": 0}, "no </think> 64"),
        (NOTHING_RIGHT, "no </think> 64"),  # filter_by=none trains on them all the same
        ({"rollout_entropy": 0.001}, "collapsed"),
        ({"rollout_entropy": 0.001, "groups_flat": 8, "groups_kept": 0, "updates": 0, "accuracy": 0.1}, "collapsed"),
    ],
)
def test_three_hopeless_steps_in_a_row_stop_a_run_and_two_do_not(bad: dict[str, Any], says: str) -> None:
    assert says in hopeless([row(), row(**bad), row(**bad), row(**bad)], CONFIG)
    assert hopeless([row(**bad), row(), row(**bad), row(**bad)], CONFIG) == ""
    assert hopeless([row(**bad), row(**bad)], CONFIG) == ""


def test_flat_groups_that_are_all_solved_are_not_hopeless() -> None:
    assert hopeless([row(groups_flat=8, groups_kept=0, accuracy=1.0, updates=0, rollout_entropy=0.0)] * 3, CONFIG) == ""


def test_a_filter_that_leaves_every_rollout_out_stops_the_run() -> None:
    bad = row(groups_kept=0, updates=0, truncated=1.0)
    assert "hit the length limit" in hopeless([bad] * 3, CONFIG.model_copy(update={"overlong_filter": True}))
    assert "hit the length limit" not in hopeless([bad] * 3, CONFIG)


NONE_LEFT = {"groups_kept": 0, "updates": 0}


@pytest.mark.parametrize(
    ("options", "bad", "says"),
    [
        ({"filter_by": "acc"}, {"accuracy": 0.0, "groups_flat": 2}, "2 flat, without rewards that differ, 6 dropped by filter_by=acc"),
        ({}, {"accuracy": 0.5, "groups_flat": 8}, "(of the 8 of the last: 8 flat, without rewards that differ; verdicts: wrong 3)"),
        ({"overlong_filter": True}, {"truncated": 0.97}, "5 dropped by overlong_filter, which left out the 97% of rollouts"),
        ({"overlong_filter": True, "filter_by": "acc"}, {}, "equally right and overlong_filter, which left out the 10%"),
    ],
)
def test_steps_that_train_on_nothing_stop_a_run_and_say_which_filter_dropped_the_groups(
    options: dict[str, Any], bad: dict[str, Any], says: str
) -> None:
    config = CONFIG.model_copy(update=options)
    none = row(**NONE_LEFT, **bad)
    assert "no group was left to train on" in hopeless([none] * 3, config)
    assert says in hopeless([none] * 3, config)
    assert hopeless([none, row(), none, none], config) == ""
    assert hopeless([none] * 2, config) == ""
    assert hopeless([none, none, row(**NONE_LEFT, groups_flat=8, accuracy=1.0)], config) == ""  # everything was right


def test_the_mean_reward_is_the_verifiers_before_filter_and_penalty() -> None:
    truncated = group([1.0, -1.0, -1.0, math.nan], ["stop", "length", "length", "length"])
    _, plain = select([truncated], RLConfig(train_prompts=1, mini_batch_prompts=1))
    assert plain["reward_mean"] == pytest.approx(-1 / 3)
    assert "reward_shaped_mean" not in plain
    _, filtered = select([truncated], RLConfig(train_prompts=1, mini_batch_prompts=1, overlong_filter=True))
    assert {name: filtered[name] for name in ("reward_mean", "reward_std", "reward_max", "accuracy")} == {
        name: plain[name] for name in ("reward_mean", "reward_std", "reward_max", "accuracy")
    }
    assert filtered["reward_shaped_mean"] == 1.0
    _, penalised = select([truncated], RLConfig(train_prompts=1, mini_batch_prompts=1, max_new_tokens=3, overlong_penalty_tokens=3))
    assert penalised["reward_mean"] == plain["reward_mean"]
    assert penalised["reward_shaped_mean"] == pytest.approx(-1 / 3 - 1)
    _, nothing = select([group([1.0, -1.0], ["length", "length"])], RLConfig(train_prompts=1, mini_batch_prompts=1, overlong_filter=True))
    assert nothing["reward_shaped_mean"] is None
    assert nothing["reward_mean"] == 0


def test_flatness_and_entropy_are_those_of_all_rollouts_whatever_is_trained_on() -> None:
    config = RLConfig(train_prompts=1, mini_batch_prompts=1, filter_by="acc", overlong_filter=True)
    groups = [group([1.0, -1.0]), group([-1.0, -1.0]), group([0.5, -1.0]), group([1.0, -1.0], ["length", "length"])]
    _, said = select(groups, config)
    assert said["groups_flat"] == 1
    assert said["groups_kept"] == 1
    assert said["rollout_entropy"] == pytest.approx(0.5)


def test_the_overlong_penalty_grows_linearly_over_the_last_tokens_of_the_budget() -> None:
    assert overlong_penalty(torch.tensor([10, 80, 90, 100]), 100, 20).tolist() == [0, 0, -0.5, -1]
    assert overlong_penalty(torch.tensor([100]), 100, 0).tolist() == [0]


def test_overlong_rollouts_count_nowhere_with_the_filter() -> None:
    filtered = without_overlong(torch.tensor([[1.0, -1.0]]), torch.tensor([[False, True]]))
    assert filtered[0, 0] == 1
    assert filtered[0, 1].isnan()


def completion(length: int = 3, reason: Any = "stop") -> Completion:
    return Completion(None, tuple(range(length)), (-0.5,) * length, "text", reason, 0.1)


def group(rewards: list[float], reasons: list[str] | None = None) -> Group:
    scores = tuple(Score(reward, float(reward == 1.0), "x") for reward in rewards)
    return Group(Prompt((1, 2), "s", "4"), tuple(completion(reason=reason) for reason in reasons or ["stop"] * len(rewards)), scores)


def test_a_failed_verifier_leaves_its_sample_out_and_is_counted() -> None:
    samples, said = select([group([1.0, -1.0, math.nan])], RLConfig(train_prompts=1, mini_batch_prompts=1))
    assert len(samples[0]) == 2
    assert said["verifier_failures"] == 1
    assert said["accuracy"] == 0.5


def test_positives_by_reward_are_lost_to_a_penalty_as_in_the_release_and_by_accuracy_are_not() -> None:
    options = {"train_prompts": 1, "mini_batch_prompts": 1, "max_new_tokens": 3, "overlong_penalty_tokens": 3, "filter_by": "none"}
    for by, expected in (("accuracy", True), ("reward", False)):
        samples, _ = select([group([1.0, -1.0])], RLConfig(**options, positive_by=by))
        assert samples[0][0].positive is expected


class Flaky:
    """A verifier that fails a given number of times on the second rollout."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls: list[int] = []

    def score(self, rollouts: list[Rollout]) -> list[Score]:
        self.calls.append(len(rollouts))
        self.failures -= 1
        return [Score(math.nan if one.seed == 1 and self.failures >= 0 else 1.0, 1.0, "x") for one in rollouts]


@pytest.mark.parametrize(("failures", "lost", "calls"), [(0, 0, [2]), (2, 0, [2, 1, 1]), (9, 1, [2, 1, 1])])
def test_a_failed_verifier_is_asked_again_for_that_rollout_alone(failures: int, lost: int, calls: list[int]) -> None:
    verifier: Any = Flaky(failures)
    prompts = [Prompt((1,), "s", "4")] * 2
    groups = score(verifier, prompts, [[completion()], [completion()]], [0, 1], retries=2)
    assert sum(math.isnan(one.reward) for each in groups for one in each.scores) == lost
    assert verifier.calls == calls


def test_a_mismatch_of_log_probabilities_stops_before_an_update() -> None:
    log = StepMetrics()
    log.compare([[-1.0, -2.0]], [[-1.0, -2.001]])
    log.stop_on_mismatch(RLConfig(), "here")
    log.compare([[-1.0, -2.0]], [[-2.0, -1.0]])
    with pytest.raises(RunError, match=r"here: log-probabilities .* differ by 0\.5 nats .* logprob_tolerance=0\.05"):
        log.stop_on_mismatch(RLConfig(), "here")


@pytest.mark.parametrize("trainer", [-1.0, math.nan])
@pytest.mark.parametrize("engine", [math.nan, -math.inf])
def test_log_probabilities_of_an_engine_that_are_not_finite_are_a_mismatch(trainer: float, engine: float) -> None:
    log = StepMetrics()
    log.compare([[trainer, -1.0]], [[engine, -1.0]])
    with pytest.raises(RunError, match="differ by (nan|inf) nats"):
        log.stop_on_mismatch(RLConfig(), "here")


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_log_probabilities_of_the_trainer_that_are_not_finite_are_no_mismatch_and_hide_none(value: float) -> None:
    log = StepMetrics()
    log.compare([[value]], [[-1.0]])
    log.stop_on_mismatch(RLConfig(), "here")
    assert log.row()["logprob_gap"] is None
    log.compare([[value, -1.0]], [[-1.0, -2.0]])
    with pytest.raises(RunError, match="differ by 1 nats"):
        log.stop_on_mismatch(RLConfig(), "here")


def test_the_console_table_has_columns_of_fixed_width() -> None:
    first, second = (table_row({"reward_mean": value, "seconds": 3.2, "entropy": 0.5}) for value in (0.25, -1.0))
    assert first.index("entropy") == second.index("entropy")
