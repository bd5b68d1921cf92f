"""Estimators against exact enumeration and hand-computed values."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import BenchmarkError
from benchmarks.estimators import (
    avg_at_n,
    clustered_standard_error,
    maj_at_k,
    pass_at_k,
    sampling_standard_error,
    sampling_variances,
)


@st.composite
def counts(draw: st.DrawFn) -> tuple[list[int], int]:
    n = draw(st.integers(1, 70))
    return draw(st.lists(st.integers(0, n), min_size=1, max_size=10)), n


@given(counts(), st.data())
def test_pass_at_k_is_the_binomial_formula_and_grows_with_k(
    case: tuple[list[int], int], choice: st.DataObject
) -> None:
    correct, n = case
    k = choice.draw(st.integers(1, n))
    exact = sum(1 - math.comb(n - c, k) / math.comb(n, k) for c in correct) / len(correct)
    assert pass_at_k(correct, n, k) == pytest.approx(exact, abs=1e-12)
    assert pass_at_k(correct, n, k) >= avg_at_n(correct, n) - 1e-12
    assert pass_at_k(correct, n, 1) == pytest.approx(avg_at_n(correct, n))


@given(counts(), st.data())
def test_pass_at_k_is_what_livecodebench_computes(case: tuple[list[int], int], choice: st.DataObject) -> None:
    library = pytest.importorskip("livecodebench.evaluation.pass_k_utils")
    correct, n = case
    k = choice.draw(st.integers(1, n))
    assert pass_at_k(correct, n, k) == pytest.approx(float(np.mean(library.estimate_pass_at_k(n, correct, k))), abs=1e-12)


def test_pass_at_k_does_not_overflow() -> None:
    assert pass_at_k([1], 10**6, 10**5) == pytest.approx(0.1)
    assert pass_at_k([0, 10**6], 10**6, 10**4) == 0.5


def test_maj_at_k_agrees_with_all_subsets() -> None:
    answers, grades = ["a", "a", "b", "c", None, "b"], [True, True, False, False, False, False]
    scores = []
    for subset in combinations(range(6), 3):
        votes = [answers[i] for i in subset if answers[i] is not None]
        top = max(votes.count(vote) for vote in votes)
        winners = {vote for vote in votes if votes.count(vote) == top}
        scores.append(("a" in winners) / len(winners))
    estimate = maj_at_k([answers], [grades], 3, subsets=40_000)
    assert estimate == pytest.approx(np.mean(scores), abs=0.01)
    assert maj_at_k([answers], [grades], 6) == 0.5
    assert maj_at_k([answers], [grades], 3, seed=1) == maj_at_k([answers], [grades], 3, seed=1)
    assert maj_at_k([[None, None]], [[False, False]], 2) == 0.0


def test_standard_errors_have_their_textbook_values() -> None:
    assert clustered_standard_error([1, 3], 4) == pytest.approx(0.25)
    assert sampling_standard_error([1, 3], 4) == pytest.approx(math.sqrt(2 * 0.25 * 0.75 / 3) / 2)
    assert sampling_standard_error([0, 4], 4) == pytest.approx(math.sqrt(2 * 0.1 * 0.9 / 3) / 2)
    assert math.isnan(clustered_standard_error([1], 4))
    assert math.isnan(sampling_standard_error([1], 1))
    assert sampling_variances([1, 3, 1], [4, 4, 1]) == pytest.approx([0.0625, 0.0625, 0.1875])
    assert sampling_variances([4, 0, 1], [4, 4, 1]) == pytest.approx([0.03, 0.03, 0.1875])


@given(counts())
def test_scores_and_errors_stay_in_their_range(case: tuple[list[int], int]) -> None:
    correct, n = case
    assert 0 <= avg_at_n(correct, n) <= 1
    for error in (clustered_standard_error(correct, n), sampling_standard_error(correct, n)):
        assert math.isnan(error) or 0 <= error <= 1


def test_sampling_error_is_the_spread_of_repeated_runs() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.beta(2, 1, size=30)
    runs = rng.binomial(64, difficulty, size=(4_000, 30))
    predicted = np.mean([sampling_standard_error(run, 64) ** 2 for run in runs])
    assert predicted == pytest.approx(np.var(runs.mean(axis=1) / 64), rel=0.08)


@pytest.mark.parametrize(
    ("correct", "samples"), [([], 4), ([5], 4), ([-1], 4), ([0], 0), ([0.5], 4), ([[1]], 4)]
)
def test_impossible_counts_are_refused(correct: list[float], samples: int) -> None:
    with pytest.raises(BenchmarkError):
        avg_at_n(correct, samples)


def test_impossible_k_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="k=5 must lie between 1 and the smallest number of samples, 4"):
        pass_at_k([1, 2], [4, 8], 5)
    with pytest.raises(BenchmarkError, match="k=0"):
        maj_at_k([["a"]], [[True]], 0)
