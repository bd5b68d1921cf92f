"""Coverage of the intervals and error rates of the verdict, by simulation over 2,000 runs of each benchmark's size.

Difficulties are Beta distributed, as spread as the published standard errors imply (30 × 64 at 83 points: 0.80 points for
the difference of two runs, and so on).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.statistics import (
    Verdict,
    judge_comparison,
    paired_comparison,
    reproduction_verdict,
    sampling_interval,
    superpopulation_interval,
)

pytestmark = pytest.mark.slow
RUNS = 2000


@dataclass(frozen=True)
class Shape:
    """A benchmark: its size, a published score, the concentration of its difficulties and the margin."""

    name: str
    problems: int
    samples: int
    score: float
    concentration: float
    margin: float


SHAPES = (
    Shape("AIME24 64K", 30, 64, 0.905, 0.77, 2.0),
    Shape("AIME25 64K", 30, 64, 0.832, 0.77, 2.0),
    Shape("HMMT25 64K", 30, 64, 0.708, 0.85, 2.5),
    Shape("HMMT25 32K", 30, 64, 0.603, 0.85, 2.5),
    Shape("LCB V5", 279, 8, 0.660, 0.36, 2.0),
    Shape("LCB V6", 131, 8, 0.581, 0.43, 2.5),
)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def drawn(shape: Shape, runs: int, seed: int) -> NDArray[np.float64]:
    """Chances of being right, shape [runs, problems]."""
    a, b = shape.score * shape.concentration, (1 - shape.score) * shape.concentration
    return np.random.default_rng(seed).beta(a, b, size=(runs, shape.problems))


def counted(rates: NDArray[np.float64], samples: int, seed: int, runs: int = RUNS) -> NDArray[np.int64]:
    return np.random.default_rng(seed).binomial(samples, rates, size=(runs, rates.shape[-1]))


def verdicts(shape: Shape, rates: NDArray[np.float64], shift: float) -> Iterator[Verdict]:
    """Runs whose truth lies `shift` points from the published truth; the published score is a run of its own, rounded."""
    n = shape.samples
    published = np.round(counted(rates, n, 2).mean(1) / n * 100, 1)
    moved = moved_by(rates, shift / 100)
    for row, score in zip(counted(moved, n, 3), published, strict=True):
        yield reproduction_verdict(row, n, float(score), n, shape.margin)


def moved_by(rates: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Rates whose mean differs by exactly `shift`: those with room move on the logit scale."""
    low, high = -50.0, 50.0
    with np.errstate(divide="ignore"):
        logits = np.log(rates) - np.log1p(-rates)
    for _ in range(100):
        middle = (low + high) / 2
        below = np.mean(1 / (1 + np.exp(-(logits + middle)))) < np.mean(rates) + shift
        low, high = (middle, high) if below else (low, middle)
    return 1 / (1 + np.exp(-(logits + low)))


@every_shape
def test_the_interval_of_a_score_on_the_same_problems_covers_at_its_level(shape: Shape) -> None:
    rates = drawn(shape, 1, 5)[0]
    found = [sampling_interval(row, shape.samples) for row in counted(rates, shape.samples, 1)]
    covered = np.mean([low <= rates.mean() * 100 <= high for low, high in found])
    assert covered == pytest.approx(0.95, abs=0.015)


@every_shape
def test_the_intervals_of_a_difference_to_a_published_score_cover_at_their_levels(shape: Shape) -> None:
    rates = drawn(shape, 1, 6)[0]
    found = list(verdicts(shape, rates, 0.0))
    assert np.mean([one.ci95[0] <= 0 <= one.ci95[1] for one in found]) == pytest.approx(0.95, abs=0.015)
    assert np.mean([one.ci90[0] <= 0 <= one.ci90[1] for one in found]) == pytest.approx(0.90, abs=0.015)


@every_shape
def test_the_interval_for_other_problems_covers_at_its_level(shape: Shape) -> None:
    counts = np.random.default_rng(8).binomial(shape.samples, drawn(shape, RUNS, 7))
    found = [superpopulation_interval(row, shape.samples) or (0.0, 0.0) for row in counts]
    covered = np.mean([low <= shape.score * 100 <= high for low, high in found])
    assert covered == pytest.approx(0.95, abs=0.015)


@every_shape
def test_the_interval_between_two_checkpoints_covers_at_its_level(shape: Shape) -> None:
    """Problems are drawn anew each time; the second checkpoint is better by a logit that varies between problems."""
    random = np.random.default_rng(10)

    def better(rates: NDArray[np.float64]) -> NDArray[np.float64]:
        odds = rates / np.maximum(1 - rates, 1e-300) * np.exp(random.normal(0.3, 0.5, rates.shape))
        return odds / (1 + odds)

    rates, many = drawn(shape, RUNS, 9), drawn(shape, 20_000, 11)
    first = random.binomial(shape.samples, rates) / shape.samples
    second = random.binomial(shape.samples, better(rates)) / shape.samples
    truth = float((better(many) - many).mean()) * 100
    found = [paired_comparison(two, one, permutations=1).ci95 for one, two in zip(first, second, strict=True)]
    assert np.mean([low <= truth <= high for low, high in found]) == pytest.approx(0.95, abs=0.015)


@every_shape
def test_the_interval_between_two_judges_covers_at_its_level(shape: Shape) -> None:
    rates, random = drawn(shape, 1, 12)[0], np.random.default_rng(13)
    n = shape.samples
    lost = random.uniform(0.0, 0.1, shape.problems)  # share of right samples that the second judge refuses
    found = []
    for right in counted(rates, n, 14):
        refused = random.binomial(right, lost)
        found.append(judge_comparison(refused, np.zeros_like(refused), np.full(shape.problems, n)).ci95)
    truth = -float(np.mean(rates * lost)) * 100
    assert np.mean([low <= truth <= high for low, high in found]) == pytest.approx(0.95, abs=0.015)


@pytest.fixture(scope="module")
def at_the_margin() -> dict[tuple[str, float], list[Verdict]]:
    """2,000 runs of each shape, a margin below and a margin above the truth of the published run."""
    shifts = (-1.0, 1.0)
    return {
        (shape.name, side): list(verdicts(shape, drawn(shape, 1, 15)[0], side * shape.margin)) for shape in SHAPES for side in shifts
    }


def test_at_the_margin_five_percent_are_called_reproduced(at_the_margin: dict[tuple[str, float], list[Verdict]]) -> None:
    wrong = {place: np.mean([one.label == "reproduced" for one in found]) for place, found in at_the_margin.items()}
    assert np.mean(list(wrong.values())) <= 0.05
    error = np.sqrt(0.05 * 0.95 / RUNS)
    assert max(wrong.values()) <= 0.05 + 3.5 * error, wrong


def test_at_the_margin_few_are_called_not_reproduced(at_the_margin: dict[tuple[str, float], list[Verdict]]) -> None:
    wrong = [np.mean([one.label == "not reproduced" for one in found]) for found in at_the_margin.values()]
    assert np.mean(wrong) <= 0.03
    assert max(wrong) <= 0.04


@every_shape
def test_a_perfect_reproduction_is_never_called_not_reproduced_and_its_power_comes_true(shape: Shape) -> None:
    found = list(verdicts(shape, drawn(shape, 1, 16)[0], 0.0))
    assert np.mean([one.label == "not reproduced" for one in found]) <= 0.001
    assert np.mean([one.label == "reproduced" for one in found]) == pytest.approx(np.mean([one.power for one in found]), abs=0.04)


@pytest.mark.parametrize("shape", SHAPES[3:], ids=lambda shape: shape.name)
def test_the_detectable_difference_is_detected_in_four_runs_of_five(shape: Shape) -> None:
    """Below the ceiling, where a shift leaves the spread as it is."""
    rates = drawn(shape, 1, 16)[0]
    far = float(np.median([one.detectable for one in verdicts(shape, rates, 0.0)]))
    found = list(verdicts(shape, rates, -far))
    assert np.mean([one.label == "not reproduced" for one in found]) == pytest.approx(0.80, abs=0.05)
