"""The verdict and the comparisons, against the worked values of the rule, scipy, and simulation."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.estimators import sampling_standard_error
from benchmarks.published import find_scores
from reports.statistics import (
    holm,
    judge_comparison,
    paired_comparison,
    reproduction_verdict,
    sampling_interval,
    sampling_variance,
    superpopulation_interval,
    t_quantile,
)


def spread_counts(problems: int, samples: int, score: float, error: float) -> list[int]:
    """Counts with a mean of `score` points, so spread that SE_D against an equal run is about `error` points."""
    variance = (error / 100) ** 2 / 2 * problems * samples  # mean p(1-p) over problems
    mean = score / 100
    concentration = variance / (mean * (1 - mean) - variance)  # of a Beta distribution with that E[p(1-p)]
    rng = np.random.default_rng(0)
    rates = np.sort(
        rng.beta(mean * concentration, (1 - mean) * concentration, size=(4000, problems)), axis=1
    ).mean(0)
    counts = np.rint(np.clip(rates, 0, 1) * samples).astype(int)
    while counts.sum() != round(mean * problems * samples):
        step = 1 if counts.sum() < mean * problems * samples else -1
        middle = np.argsort(np.abs(counts - samples / 2), kind="stable")
        place = next(i for i in middle if 0 <= counts[i] + step <= samples)
        counts[place] += step
    return [int(count) for count in counts]


def test_the_independent_run_at_64k_is_not_reproduced_below() -> None:
    verdict = reproduction_verdict(spread_counts(30, 64, 85.6, 0.8), 64, published=90.5)
    assert verdict.difference == pytest.approx(-4.9, abs=0.05)
    assert verdict.standard_error == pytest.approx(0.8, abs=0.15)
    assert (verdict.label, verdict.direction) == ("not reproduced", "below")


def test_the_independent_run_at_32k_is_inconclusive_and_more_samples_would_not_settle_it() -> None:
    verdict = reproduction_verdict(spread_counts(30, 64, 81.3, 0.8), 64, published=83.2)
    assert verdict.difference == pytest.approx(-1.9, abs=0.05)
    assert (verdict.label, verdict.samples_needed) == ("inconclusive", None)


def test_another_protocol_forces_inconclusive_and_shows_what_it_hides() -> None:
    counts = spread_counts(30, 64, 85.6, 0.8)
    verdict = reproduction_verdict(counts, 64, published=90.5, blockers=["other protocol"])
    assert (verdict.label, verdict.unblocked_label) == ("inconclusive", "not reproduced")
    assert verdict.blockers == ("other protocol",)


def test_fewer_samples_than_published_force_inconclusive() -> None:
    verdict = reproduction_verdict([8] * 25 + [0] * 5, 8, published=40.0, published_samples=64)
    assert (verdict.label, verdict.unblocked_label) == ("inconclusive", "not reproduced")
    assert "8 samples" in verdict.blockers[0]
    assert verdict.samples_needed == 64


@pytest.mark.parametrize(
    ("problems", "samples", "score", "error"),
    [(30, 64, 83, 0.80), (30, 64, 60, 1.07), (279, 8, 66, 0.73), (131, 8, 58, 1.18)],
)
def test_typical_errors_come_out(problems: int, samples: int, score: float, error: float) -> None:
    counts = spread_counts(problems, samples, score, error)
    verdict = reproduction_verdict(counts, samples, published=score, published_samples=samples)
    assert verdict.standard_error == pytest.approx(error, rel=0.2)


def test_the_formula_is_the_stated_one() -> None:
    counts, samples = np.array([64, 60, 32, 5, 0]), 64
    rates = counts / samples
    variance = np.sum(rates * (1 - rates)) / 63 / 25
    error = math.sqrt(variance * 1e4 * (1 + 64 / 32) + 0.05**2 / 3)
    verdict = reproduction_verdict(counts, samples, published=50.0, published_samples=32)
    assert sampling_variance(counts, samples) == pytest.approx(variance)
    assert verdict.ci90 == pytest.approx(
        (verdict.difference - 1.645 * error, verdict.difference + 1.645 * error)
    )
    assert verdict.ci95 == pytest.approx(
        (verdict.difference - 1.960 * error, verdict.difference + 1.960 * error)
    )


def test_all_right_and_all_wrong_still_have_noise() -> None:
    for counts in ([64] * 30, [0] * 30, [64] * 15 + [0] * 15):
        assert sampling_variance(counts, 64) > 0
    assert sampling_variance([1, 0, 1], 1) > 0
    assert sampling_variance([64, 63], 64) == pytest.approx(63 / 64 / 64 / 63 / 4)


def test_a_problem_without_a_sample_or_with_its_own_number_of_samples() -> None:
    assert sampling_variance([4, 1], [8, 2]) == pytest.approx((0.25 / 7 + 0.25 / 1) / 4)
    with pytest.raises(ValueError, match="samples"):
        sampling_variance([0, 1], [0, 2])
    with pytest.raises(ValueError, match="samples"):
        sampling_variance([0, 1], [2, 2, 2])


@given(st.lists(st.tuples(st.integers(2, 70), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_sampling_variance_is_the_estimators(problems: list[tuple[int, float]]) -> None:
    counts, samples = np.array([(round(share * n), n) for n, share in problems]).T
    assert sampling_variance(counts, samples) == pytest.approx(sampling_standard_error(counts, samples) ** 2)


def test_problems_with_their_own_numbers_of_samples_have_a_verdict_on_their_mean() -> None:
    counts, samples = np.array([60, 31, 8, 50]), np.array([64, 63, 9, 64])
    rates = counts / samples
    verdict = reproduction_verdict(counts, samples, published=80.0)
    parts = rates * (1 - rates) / (samples - 1) * 1e4 / 16
    assert verdict.difference == pytest.approx(rates.mean() * 100 - 80.0)
    assert verdict.standard_error == pytest.approx(math.sqrt(parts.sum() + (parts * samples).sum() / 64 + 0.05**2 / 3))
    assert verdict.blockers == ("9 to 64 samples a problem, the published run had 64",)


def test_samples_needed_decide_and_one_fewer_does_not() -> None:
    counts = spread_counts(30, 16, 83.0, 2.2)
    verdict = reproduction_verdict(counts, 16, published=83.0, published_samples=32, margin=2.5)
    assert verdict.unblocked_label == "inconclusive"
    needed = verdict.samples_needed
    assert needed is not None and needed > 32
    spread = sampling_variance(counts, 16) * 1e4 * 16
    score = verdict.score / 100
    at_margin = {sign: max(1.0, (score + sign * 0.025) * (1 - score - sign * 0.025) / (score * (1 - score))) for sign in (-1, 1)}
    for samples, decides in ((needed, True), (needed - 1, False)):
        half = {sign: 1.645 * math.sqrt(spread / samples + spread / 32 * noise) + 0.05 for sign, noise in at_margin.items()}
        assert (verdict.difference + half[-1] < 2.5 and verdict.difference - half[1] > -2.5) == decides


def test_far_from_the_margin_more_samples_are_needed_than_a_difference_of_nothing_needs() -> None:
    counts = np.array(spread_counts(30, 16, 60.0, 2.2)) * 8
    needed = [reproduction_verdict(counts, 128, 60.0 + off, 128, 2.0).samples_needed or 10**9 for off in (0.0, 0.5, 0.9, 3.5, 5.0)]
    assert needed[0] <= needed[1] < needed[2] and needed[3] > needed[4] == 128


def test_the_reserve_takes_the_published_run_to_be_as_noisy_as_it_would_be_at_the_margin() -> None:
    counts, samples = np.array([64, 60, 62, 64, 58, 50, 64, 63]), 64
    score = counts.mean() / 64
    spread = sampling_variance(counts, samples) * 1e4 * 64
    verdict = reproduction_verdict(counts, samples, published=94.0, published_samples=32, margin=5.0)

    def noise(at: float) -> float:
        return max(spread / 32, min(spread / 32 * at * (1 - at) / (score * (1 - score)), 1e4 * at * (1 - at) / (8 * 32)))

    low = 1.645 * math.sqrt(spread / 64 + noise(min(1.0, score + 0.05))) + 0.05
    high = 1.645 * math.sqrt(spread / 64 + noise(score - 0.05)) + 0.05
    assert verdict.reserve90 == pytest.approx((verdict.difference - low, verdict.difference + high))
    assert high > low


def test_a_run_inside_the_margin_but_for_the_reserve_is_inconclusive_and_says_so() -> None:
    counts = np.array([64] * 20 + [40] * 6 + [20] * 4)
    score = float(counts.mean() / 64 * 100)
    error = reproduction_verdict(counts, 64, 80.0).standard_error
    edge = score - (2.0 - 1.645 * error)
    inside, near, outside = (reproduction_verdict(counts, 64, edge + step) for step in (0.1, 0.005, -0.005))
    assert [one.label for one in (inside, near, outside)] == ["reproduced", "inconclusive", "inconclusive"]
    assert [one.unblocked_label for one in (inside, near, outside)] == ["reproduced", "reproduced", "inconclusive"]
    assert [one.near_margin for one in (inside, near, outside)] == [False, True, False]
    assert "margin" in near.blockers[0] and f"{near.reserve90[1]:+.2f}" in near.blockers[0]
    assert near.incomparable == inside.incomparable == outside.incomparable == 0
    blocked = reproduction_verdict(counts, 64, edge + 0.005, blockers=["other protocol"])
    assert blocked.near_margin and blocked.incomparable == 1 and len(blocked.blockers) == 2


def test_the_lower_side_has_its_reserve_too() -> None:
    counts = np.array([0] * 20 + [24] * 6 + [44] * 4)
    score = float(counts.mean() / 64 * 100)
    error = reproduction_verdict(counts, 64, 20.0).standard_error
    edge = score + (2.0 - 1.645 * error)
    near = reproduction_verdict(counts, 64, edge - 0.005)
    assert near.near_margin and near.reserve90[0] <= -2.0 < near.ci90[0]
    assert reproduction_verdict(counts, 64, edge - 0.2).label == "reproduced"


def test_all_right_against_a_published_hundred_is_reproduced() -> None:
    """The noise at the margin is at most that of equally hard problems: a run without any noise of its own does not know its spread."""
    for counts, published in (([64] * 30, 100.0), ([0] * 30, 0.0)):
        verdict = reproduction_verdict(counts, 64, published)
        assert verdict.label == "reproduced"
        most = math.sqrt(sampling_variance(counts, 64) * 1e4 + 98 * 2 / (30 * 64))
        assert max(map(abs, verdict.reserve90)) == pytest.approx(1.645 * most + 0.05)


def test_the_noise_at_the_margin_is_at_most_that_of_equally_hard_problems() -> None:
    counts = np.array([64] * 29 + [63])  # 99.95 points: s(1−s) is 39 times as large two points below
    verdict = reproduction_verdict(counts, 64, 99.9)
    most = math.sqrt(sampling_variance(counts, 64) * 1e4 + (verdict.score - 2) * (102 - verdict.score) / (30 * 64))
    spread = sampling_variance(counts, 64) * 1e4 * 64
    scaled = spread / 64 * (verdict.score - 2) * (102 - verdict.score) / (verdict.score * (100 - verdict.score))
    assert verdict.reserve90[1] == pytest.approx(
        verdict.difference + 1.645 * min(most, math.sqrt(spread / 64 + scaled)) + 0.05
    )


@given(st.integers(1, 40), st.integers(1, 70), st.sampled_from([0.5, 2.0, 30.0, 100.0]), st.integers(0, 2**32 - 1))
def test_a_reserve_is_finite_and_as_wide_as_equally_hard_problems_make_it(problems: int, n: int, margin: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, n + 1, problems) if seed % 3 else np.full(problems, n * (seed % 2))
    verdict = reproduction_verdict(counts, n, float(rng.uniform(0, 100)), n, margin)
    own = sampling_variance(counts, n) * 1e4
    widest = 1.645 * math.sqrt(own + max(own, 2500 / (problems * n))) + 0.05
    for half in (verdict.difference - verdict.reserve90[0], verdict.reserve90[1] - verdict.difference):
        assert 1.645 * math.sqrt(2 * own) + 0.05 <= half + 1e-9 and half <= widest + 1e-9


def test_power_has_the_reserve_of_either_side() -> None:
    counts = np.array(spread_counts(30, 64, 93.0, 0.6))
    verdict = reproduction_verdict(counts, 64, 93.0)
    low, high = verdict.difference - verdict.reserve90[0], verdict.reserve90[1] - verdict.difference
    assert high > low
    normal = NormalDist(0, verdict.standard_error)
    assert verdict.power == pytest.approx(normal.cdf(2 - high) - normal.cdf(low - 2), abs=0.005)  # the counts are next to 93.0


def test_power_is_of_a_perfect_run_however_far_off_this_one_is() -> None:
    errors = {90.5: 0.6, 78.0: 0.6 * math.sqrt(78.0 * 22.0 / (90.5 * 9.5))}  # problems that differ as much
    perfect, low = (reproduction_verdict(spread_counts(30, 64, at, error), 64, 90.5) for at, error in errors.items())
    assert low.standard_error > 1.25 * perfect.standard_error
    assert low.power == pytest.approx(perfect.power, abs=0.08)
    below, at = (reproduction_verdict(spread_counts(30, 64, 85.0, 0.7), 64, published).power for published in (99.99, 100.0))
    assert at == pytest.approx(below, abs=0.01)
    once = [reproduction_verdict([1] * right + [0] * (500 - right), 1, 97.0, 1, 5.0).power for right in (485, 300)]
    assert once[0] == pytest.approx(once[1]) and once[0] < 0.2  # one sample a problem: p̃ is all that is known of it
    nothing = reproduction_verdict([0] * 30, 64, 90.5)
    equally_hard = reproduction_verdict([58] * 30, 64, 90.625)
    assert nothing.power == pytest.approx(equally_hard.power, abs=0.02)


@given(st.data())
def test_a_verdict_follows_from_its_intervals(data: st.DataObject) -> None:
    samples = data.draw(st.integers(1, 70))
    counts = data.draw(st.lists(st.integers(0, samples), min_size=1, max_size=40))
    published = data.draw(st.floats(0, 100))
    margin = data.draw(st.sampled_from([0.5, 2.0, 2.5, 10.0]))
    verdict = reproduction_verdict(counts, samples, published, published_samples=8, margin=margin)
    inside = -margin < verdict.ci90[0] and verdict.ci90[1] < margin
    outside = verdict.ci95[0] > margin or verdict.ci95[1] < -margin
    assert not (inside and outside)
    assert verdict.unblocked_label == (
        "reproduced" if inside else "not reproduced" if outside else "inconclusive"
    )
    assert verdict.label == ("inconclusive" if verdict.blockers else verdict.unblocked_label)
    assert verdict.incomparable == (samples < 8)
    assert verdict.near_margin == (inside and not (-margin < verdict.reserve90[0] and verdict.reserve90[1] < margin))
    assert len(verdict.blockers) == verdict.near_margin + (samples < 8)
    assert verdict.reserve90[0] < verdict.ci90[0] and verdict.ci90[1] < verdict.reserve90[1]
    assert 0 <= verdict.power <= 1
    assert verdict.standard_error > 0
    if verdict.samples_needed is not None:
        assert verdict.samples_needed >= 8
    if verdict.label != "inconclusive":
        assert verdict.samples_needed is not None and verdict.samples_needed <= samples


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("correct_counts", ([], 8)),
        ("correct_counts", ([9], 8)),
        ("correct_counts", ([-1], 8)),
        ("correct_counts", ([0.5], 8)),
        ("correct_counts", ([math.nan], 8)),
        ("correct_counts", ([[1, 2]], 8)),
        ("correct_counts", ([[1, 2], [3]], 8)),
        ("correct_counts", (["1"], 8)),
        ("correct_counts", (None, 8)),
        ("samples", ([1], 0)),
        ("samples", ([1], 8.0)),
        ("samples", ([1], True)),
        ("samples", ([1], None)),
        ("published", ([1], 8, -1)),
        ("published", ([1], 8, math.nan)),
        ("published", ([1], 8, None)),
        ("published_samples", ([1], 8, 50, 0)),
        ("margin", ([1], 8, 50, 8, 0)),
        ("margin", ([1], 8, 50, 8, math.inf)),
        ("blockers", ([1], 8, 50, 8, 2, "other protocol")),
        ("blockers", ([1], 8, 50, 8, 2, [""])),
        ("blockers", ([1], 8, 50, 8, 2, [3])),
    ],
)
def test_a_wrong_argument_is_named(name: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=f"^{name}:"):
        reproduction_verdict(*arguments)  # type: ignore[arg-type]


def simulate(
    rates: NDArray[np.float64], samples: int, shift: float, margin: float, runs: int
) -> tuple[float, float]:
    """Share of runs called reproduced and not reproduced when the truth lies `shift` points from the published truth."""
    rng = np.random.default_rng(1)
    published = np.round(rng.binomial(samples, rates, size=(runs, len(rates))).mean(1) / samples * 100, 1)
    moved = rates + shift / 100
    assert np.all((moved >= 0) & (moved <= 1))
    counts = rng.binomial(samples, moved, size=(runs, len(rates)))
    labels = [
        reproduction_verdict(row, samples, score, samples, margin).label
        for row, score in zip(counts, published, strict=True)
    ]
    return labels.count("reproduced") / runs, labels.count("not reproduced") / runs


@pytest.mark.parametrize(("problems", "samples", "margin"), [(30, 64, 2.0), (279, 8, 2.0), (131, 8, 2.5)])
def test_error_rates_stay_within_five_percent_in_simulation(
    problems: int, samples: int, margin: float
) -> None:
    rates = np.linspace(0.06, 0.94, problems) ** 0.7 * 0.95
    runs = 1000
    slack = 2.6 * math.sqrt(0.05 * 0.95 / runs)
    at_margin, _ = simulate(rates, samples, -margin, margin, runs)
    assert at_margin <= 0.05 + slack
    _, rejected = simulate(rates, samples, 0.0, margin, runs)
    assert rejected <= 0.01
    _, rejected_at_margin = simulate(rates, samples, -margin, margin, runs)
    assert rejected_at_margin <= 0.025 + slack


def test_power_is_the_share_of_perfect_reproductions_that_are_called_so() -> None:
    rates = np.concatenate([np.full(20, 0.97), np.linspace(0.1, 0.9, 10)])
    reproduced, _ = simulate(rates, 64, 0.0, 2.0, 1500)
    expected = reproduction_verdict(np.rint(rates * 64), 64, published=float(rates.mean() * 100)).power
    assert reproduced == pytest.approx(expected, abs=0.06)


def test_sampling_interval_covers_at_its_level() -> None:
    rates = np.linspace(0.1, 0.9, 30)
    counts = np.random.default_rng(2).binomial(16, rates, size=(2000, 30))
    truth = rates.mean() * 100
    covered = [low <= truth <= high for low, high in (sampling_interval(row, 16) for row in counts)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_superpopulation_interval_is_a_score_interval_with_students_t() -> None:
    """The two scores that lie exactly t standard errors from the mean, each with the spread that it implies itself."""
    stats = pytest.importorskip("scipy.stats")
    optimize = pytest.importorskip("scipy.optimize")
    counts = np.array([1, 4, 8, 2, 8, 0])
    padded, weights = np.append(counts / 8, [0.0, 1.0]), np.append(np.ones(6), [0.2, 0.2])
    mean = np.average(padded, weights=weights)
    size = np.sum(weights)
    variance = np.sum(weights * (padded - mean) ** 2) / (size * (size - 1))
    inflation = variance / (mean * (1 - mean))  # of the variance of a proportion
    quantile = stats.t.ppf(0.975, 5)

    def distance(score: float) -> float:
        return float((mean - score) ** 2 - quantile**2 * score * (1 - score) * inflation)

    expected = optimize.brentq(distance, 0.0, mean) * 100, optimize.brentq(distance, mean, 1.0) * 100
    assert superpopulation_interval(counts, 8) == pytest.approx(expected)
    assert superpopulation_interval([3], 8) is None


def test_an_interval_for_other_problems_stays_inside_the_scale() -> None:
    for counts in ([8, 8, 8], [0, 0], [8] * 29 + [7]):
        low, high = superpopulation_interval(counts, 8) or (-1.0, -1.0)
        assert 0 <= low < high <= 100


def test_judges_are_compared_sample_by_sample() -> None:
    found = judge_comparison([0, 2, 0], [1, 0, 3], [4, 4, 8])
    assert (found.first_only, found.second_only, found.samples) == (2, 4, 16)
    assert found.difference == pytest.approx(100 * (1 / 4 - 2 / 4 + 3 / 8) / 3)
    samples = [np.array([1, 0, 0, 0]), np.array([-1, -1, 0, 0]), np.array([1, 1, 1, 0, 0, 0, 0, 0])]
    error = math.sqrt(sum(np.var(one, ddof=1) / len(one) for one in samples)) / 3
    mean, differ = found.difference / 100, (1 / 4 + 2 / 4 + 3 / 8) / 3
    for end in (found.ci95[0] / 100, found.ci95[1] / 100):
        widened = (1 + math.sqrt(1 - 4 * end * (mean - end) / differ**2)) / 2
        assert abs(end - mean) == pytest.approx(1.96 * error * math.sqrt(widened))


def test_judges_that_differ_often_have_the_plain_interval() -> None:
    rng, n = np.random.default_rng(0), np.full(300, 64)
    lost = rng.binomial(64, 0.1, 300)
    found = judge_comparison(lost, np.zeros(300, dtype=int), n)
    error = math.sqrt(float(np.sum((lost - lost**2 / 64) / 63 / 64))) / 300 * 100
    assert found.ci95 == pytest.approx((found.difference - 1.96 * error, found.difference + 1.96 * error), abs=0.02)
    assert found.ci95 == pytest.approx(tuple(-end for end in reversed(judge_comparison(np.zeros(300, dtype=int), lost, n).ci95)))


def test_judges_that_never_differ_may_still_differ_on_other_samples() -> None:
    stats = pytest.importorskip("scipy.stats")
    low, high = judge_comparison([0, 0], [0, 0], [8, 8]).ci95
    bound = stats.binomtest(0, 16).proportion_ci(0.95, method="exact").high * 100
    assert (low, high) == pytest.approx((-bound, bound))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("samples", ([0], [0], 4)),
        ("samples", ([0], [0], [0])),
        ("correct_counts", ([5], [0], [4])),
        ("second_only", ([3], [2], [4])),
    ],
)
def test_a_wrong_argument_of_a_judge_comparison_is_named(name: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=f"^{name}:"):
        judge_comparison(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 29, 130, 278])
def test_t_quantile_equals_scipys(degrees: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    for probability in (0.6, 0.95, 0.975, 0.999):
        assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-9)


def test_paired_comparison_equals_a_paired_t_interval_and_the_enumerated_permutation_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = np.array([0.9, 0.5, 0.4, 1.0, 0.2]), np.array([0.5, 0.5, 0.1, 0.6, 0.3])
    found = paired_comparison(first, second)
    reference = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found.difference == pytest.approx(20.0)
    assert found.ci95 == pytest.approx((reference.low * 100, reference.high * 100))
    exact = stats.permutation_test((first - second,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert found.p_value == pytest.approx(exact.pvalue)


def test_a_difference_that_few_problems_make_has_fewer_degrees_of_freedom() -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = np.array([1.0, 0.9] + [0.5] * 18), np.array([0.1, 0.6] + [0.5] * 18)
    differences = first - second
    found = paired_comparison(first, second)
    degrees = (2 * 20 / (stats.kurtosis(differences, fisher=False) - 17 / 19)) ** 1.5 / math.sqrt(19)
    assert 1 < degrees < 2
    one, two = stats.t.ppf(0.975, 1), stats.t.ppf(0.975, 2)
    quantiles = stats.t.ppf(0.975, 19), two + (one - two) * (1 / degrees - 1 / 2) * 2
    short, long = (quantile * stats.sem(differences) * 100 for quantile in quantiles)
    assert found.ci95 == pytest.approx((6.0 - short, 6.0 + long))
    assert paired_comparison(second, first).ci95 == pytest.approx((-6.0 - long, -6.0 + short))


def test_degrees_between_two_whole_numbers_are_interpolated() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    first = 0.5 + 0.1 * rng.standard_t(4, 30).clip(-4, 4) + 0.05
    found = paired_comparison(first, np.full(30, 0.5))
    degrees = min(29.0, 2 * 30 / (stats.kurtosis(first, fisher=False) - 27 / 29)) ** 1.5 / math.sqrt(29)
    assert 3 < degrees < 29 and degrees != int(degrees)
    short, long = (stats.t.ppf(0.975, number) * stats.sem(first) * 100 for number in (29, degrees))
    assert found.ci95 == pytest.approx((found.difference - short, found.difference + long), rel=0.01)


@given(st.integers(4, 400), st.integers(0, 2**32 - 1))
def test_no_difference_has_more_degrees_of_freedom_than_problems_but_one(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = rng.random(m) ** rng.integers(1, 9)
    stats = pytest.importorskip("scipy.stats")
    low, high = paired_comparison(d, np.zeros(m), permutations=1).ci95
    half = stats.t.ppf(0.975, m - 1) * stats.sem(d) * 100 * (1 - 1e-9)
    assert low <= max(-100.0, d.mean() * 100 - half) and high >= min(100.0, d.mean() * 100 + half)
    assert -100 <= low <= high <= 100


def test_many_problems_use_seeded_permutations() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(60), rng.random(60)
    once, again = paired_comparison(first, second), paired_comparison(first, second)
    assert once == again
    assert once.p_value == pytest.approx(paired_comparison(first, second, seed=9).p_value, abs=0.02)
    assert paired_comparison(np.ones(60), np.zeros(60)).p_value < 0.001


def test_identical_checkpoints_have_no_difference() -> None:
    found = paired_comparison([0.5, 0.25], [0.5, 0.25])
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert paired_comparison([1.0], [0.0]).ci95 == (-math.inf, math.inf)


def test_paired_comparison_names_a_wrong_argument() -> None:
    with pytest.raises(ValueError, match="^second:"):
        paired_comparison([0.5], [0.5, 0.5])
    with pytest.raises(ValueError, match="^first:"):
        paired_comparison([1.5], [0.5])


def test_holm_gives_the_textbook_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).size == 0
    with pytest.raises(ValueError, match="^p_values:"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert np.all(adjusted >= np.array(values)) and np.all(adjusted <= 1)
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(adjusted[order]) >= 0)


def test_the_published_defaults_are_the_papers() -> None:
    rows = find_scores("aime24", "Klear-Reasoner-8B", "64K", "model")
    assert [(row.score, row.samples) for row in rows] == [(90.5, 64)]


@pytest.mark.parametrize(("lost", "half"), [(0, 12), (1, 14), (3, 15), (10, 18)])
def test_judges_compared_on_one_sample_a_problem_have_an_interval_that_says_something(lost: int, half: int) -> None:
    """Half its width in points, with 30 problems; it lies around the difference."""
    found = judge_comparison([1] * lost + [0] * (30 - lost), [0] * 30, [1] * 30)
    low, high = found.ci95
    assert low <= found.difference <= high and (high - low) / 2 < half


def test_judges_that_differ_on_every_one_of_few_samples_are_not_certain_to() -> None:
    low, high = judge_comparison([1, 1, 1], [0, 0, 0], [1, 1, 1]).ci95
    assert low == -100 and high == pytest.approx(-100 * 0.025 ** (1 / 3))
