"""Advantages inside a group, and which groups are kept."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from klear_repro.training.advantages import group_advantages, kept_groups

NAN = math.nan


def rewards(*groups: list[float]) -> torch.Tensor:
    return torch.tensor(groups, dtype=torch.float64)


@pytest.mark.parametrize(("std", "deviation"), [("population", statistics.pstdev), ("unbiased", statistics.stdev), ("none", None)])
def test_advantages_are_rewards_minus_mean_over_deviation(std: str, deviation: object) -> None:
    group = [1.0, -1.0, -0.5, 1.0, -2.0]
    mean = statistics.fmean(group)
    scale = deviation(group) + 1e-6 if callable(deviation) else 1.0
    expected = [(value - mean) / scale for value in group]
    assert group_advantages(rewards(group), std)[0].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("std", ["population", "unbiased", "none"])
def test_a_group_of_equal_rewards_has_no_advantage(std: str) -> None:
    assert not group_advantages(rewards([0.25] * 8, [-1.0] * 8), std).any()


@pytest.mark.parametrize("std", ["population", "unbiased", "none"])
def test_a_failed_verifier_gets_no_advantage_and_changes_no_other(std: str) -> None:
    whole = group_advantages(rewards([1.0, -1.0, 0.5]), std)[0]
    holed = group_advantages(rewards([1.0, NAN, -1.0, 0.5, NAN]), std)[0]
    assert holed[[1, 4]].tolist() == [0, 0]
    torch.testing.assert_close(holed[[0, 2, 3]], whole)


def test_a_single_known_reward_has_no_advantage() -> None:
    assert not group_advantages(rewards([1.0, NAN, NAN], [NAN, NAN, NAN])).any()


@given(
    st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=16),
    st.sampled_from(["population", "unbiased", "none"]),
)
@settings(max_examples=100, deadline=None)
def test_advantages_sum_to_zero_and_keep_the_order_of_rewards(group: list[float], std: str) -> None:
    advantages = group_advantages(rewards(group), std)[0].tolist()
    assert sum(advantages) == pytest.approx(0, abs=1e-5)
    for first, a in zip(group, advantages, strict=True):
        for second, b in zip(group, advantages, strict=True):
            assert (first < second) <= (a < b)


KEPT = [
    # rewards, accuracies → kept by acc, by reward
    ([1.0, -1.0], [1.0, 0.0], True, True),
    ([1.0, 1.0], [1.0, 1.0], False, False),
    ([-1.0, -0.5], [0.0, 0.0], False, True),  # only format errors differ
    ([0.25, 0.75], [0.0, 0.0], False, True),  # a code group without a full pass
    ([1.0, NAN], [1.0, 0.0], False, False),
    ([NAN, NAN], [0.0, 0.0], False, False),
    ([-1.0, 1.0], [0.0, 1.0], True, True),
]


def test_groups_are_dropped_by_accuracy_or_by_reward() -> None:
    given_rewards = rewards(*[row[0] for row in KEPT])
    accuracy = rewards(*[row[1] for row in KEPT])
    assert kept_groups(given_rewards, accuracy, "acc").tolist() == [row[2] for row in KEPT]
    assert kept_groups(given_rewards, accuracy, "reward").tolist() == [row[3] for row in KEPT]
    assert kept_groups(given_rewards, accuracy, "none").tolist() == [not all(map(math.isnan, row[0])) for row in KEPT]
