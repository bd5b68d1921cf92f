"""Coverage of the intervals and error rates of the verdict, by simulation over 2,000 runs of each benchmark's size.

Difficulties are Beta distributed, as spread as the published standard errors imply (30 × 64 at 83 points: 0.80 points for
the difference of two runs, and so on).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


class NoRoom(Exception):
    """The problems cannot move so far."""


Move = Callable[[NDArray[np.float64], float], NDArray[np.float64]]


def drawn(shape: Shape, runs: int, seed: int) -> NDArray[np.float64]:
    """Chances of being right, shape [runs, problems]."""
    a, b = shape.score * shape.concentration, (1 - shape.score) * shape.concentration
    return np.random.default_rng(seed).beta(a, b, size=(runs, shape.problems))


def at_published_score(shape: Shape, place: float) -> NDArray[np.float64]:
    """Chances whose mean is next to the published score: of 200 such draws the one at `place` (0 to below 1) in order of its noise."""
    candidates = drawn(shape, 20_000, 21)
    near = candidates[np.argsort(np.abs(candidates.mean(1) - shape.score), kind="stable")[:200]]
    noise = np.sum(near * (1 - near), axis=1)
    return np.array(near[np.argsort(noise, kind="stable")[int(200 * place)]])


def counted(rates: NDArray[np.float64], samples: int, seed: int, runs: int = RUNS) -> NDArray[np.int64]:
    return np.random.default_rng(seed).binomial(samples, rates, size=(runs, rates.shape[-1]))


def verdicts(
    shape: Shape, rates: NDArray[np.float64], shift: float, move: Move | None = None, runs: int = RUNS
) -> Iterator[Verdict]:
    """Runs whose truth lies `shift` points from the published truth; the published score is a run of its own, rounded."""
    n = shape.samples
    published = np.round(counted(rates, n, 2, runs).mean(1) / n * 100, 1)
    moved = (move or moved_by)(rates, shift / 100)
    if abs(moved.mean() - rates.mean() - shift / 100) > 1e-6:
        raise NoRoom(shape.name)
    for row, score in zip(counted(moved, n, 3, runs), published, strict=True):
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


def all_moved_alike(rates: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Rates whose mean differs by `shift`: each moves by the same amount, as far as there is room."""
    low, high = -1.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = np.mean(np.clip(rates + middle, 0, 1)) < np.mean(rates) + shift
        low, high = (middle, high) if below else (low, middle)
    return np.clip(rates + low, 0, 1)


def few_moved_far(rates: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Rates whose mean differs by `shift`: the fifth of them with most room makes the whole difference."""
    room = 1 - rates if shift > 0 else rates
    moving = np.argsort(-room)[: len(rates) // 5]
    moved = rates.copy()
    moved[moving] += np.sign(shift) * room[moving] * min(1.0, abs(shift) * len(rates) / room[moving].sum())
    return moved


def moved_unevenly(rates: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Rates whose mean differs by `shift`: problems get harder and easier, by half a logit, and all move by the rest."""
    inside = np.clip(rates, 1e-12, 1 - 1e-12)
    noise = np.random.default_rng(4).normal(0, 0.5, len(rates))
    uneven = 1 / (1 + (1 - inside) / inside * np.exp(-noise))
    return moved_by(uneven, shift + float(rates.mean() - uneven.mean()))


MOVES: dict[str, Move] = {
    "on the logit scale": moved_by,
    "all alike": all_moved_alike,
    "few far": few_moved_far,
    "unevenly": moved_unevenly,
}


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


@pytest.mark.parametrize(("better", "unevenly"), [(0.0, 0.0), (0.3, 0.5), (-0.3, 0.3), (0.5, 0.0)])
@every_shape
def test_the_interval_between_two_checkpoints_covers_at_its_level(shape: Shape, better: float, unevenly: float) -> None:
    """Problems are drawn anew each time; the second checkpoint is better by a logit that may vary between problems.

    Few problems at 90 points are too skewed for a spread alone to say: docs/reports.md.
    """
    random = np.random.default_rng(10)

    def moved(rates: NDArray[np.float64]) -> NDArray[np.float64]:
        odds = rates / np.maximum(1 - rates, 1e-300) * np.exp(random.normal(better, unevenly, rates.shape))
        return odds / (1 + odds)

    rates, many = drawn(shape, RUNS, 9), drawn(shape, 20_000, 11)
    first = random.binomial(shape.samples, rates) / shape.samples
    second = random.binomial(shape.samples, moved(rates)) / shape.samples
    truth = float((moved(many) - many).mean()) * 100
    found = [paired_comparison(two, one, permutations=1).ci95 for one, two in zip(first, second, strict=True)]
    allowed = 0.035 if shape.score > 0.9 else 0.02 if shape.score > 0.8 else 0.015  # 83 points: 93.6 to 96.0 % in longer simulations
    covered = np.mean([low <= truth <= high for low, high in found])
    assert covered == pytest.approx(0.95, abs=allowed)


@pytest.mark.parametrize(("most_lost", "won"), [(0.1, 0.0), (0.02, 0.01), (0.01, 0.0)])
@every_shape
def test_the_interval_between_two_judges_covers_at_its_level(shape: Shape, most_lost: float, won: float) -> None:
    rates, random = drawn(shape, 1, 12)[0], np.random.default_rng(13)
    n = np.full(shape.problems, shape.samples)
    lost = random.uniform(0.0, most_lost, shape.problems)  # share of right samples that the second judge refuses
    found = []
    for right in counted(rates, shape.samples, 14):
        found.append(judge_comparison(random.binomial(right, lost), random.binomial(n - right, won), n).ci95)
    truth = float(np.mean((1 - rates) * won - rates * lost)) * 100
    assert np.mean([low <= truth <= high for low, high in found]) == pytest.approx(0.95, abs=0.02 if most_lost == 0.01 else 0.015)


@pytest.fixture(scope="module")
def at_the_margin() -> dict[tuple[str, float], list[Verdict]]:
    """2,000 runs of each shape, a margin below and a margin above the truth of the published run."""
    shifts = (-1.0, 1.0)
    return {
        (shape.name, side): list(verdicts(shape, drawn(shape, 1, 15)[0], side * shape.margin)) for shape in SHAPES for side in shifts
    }


def test_at_the_margin_at_most_five_percent_are_called_reproduced(at_the_margin: dict[tuple[str, float], list[Verdict]]) -> None:
    wrong = {place: np.mean([one.label == "reproduced" for one in found]) for place, found in at_the_margin.items()}
    for size in ((30, 64), (279, 8), (131, 8)):
        names = [shape.name for shape in SHAPES if (shape.problems, shape.samples) == size]
        assert np.mean([rate for (name, _), rate in wrong.items() if name in names]) <= 0.05, wrong
    assert max(wrong.values()) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / RUNS), wrong


def test_at_the_margin_the_reserve_is_what_keeps_the_rate_below_five_percent(
    at_the_margin: dict[tuple[str, float], list[Verdict]],
) -> None:
    """The 90 % interval alone, on which the reserve rests, is exact on average and too short in places."""
    alone = [np.mean([one.unblocked_label == "reproduced" for one in found]) for found in at_the_margin.values()]
    assert np.mean(alone) == pytest.approx(0.05, abs=0.005)
    assert max(alone) > 0.055


def test_near_the_ceiling_the_noise_at_the_margin_is_needed_and_not_only_the_rounding() -> None:
    """Problems at 94.8 points that all moved alike to 96.8: 8.5 % without a reserve, 7 % with the rounding alone."""
    shape, runs = SHAPES[1], 10_000
    found = list(verdicts(shape, drawn(shape, 1, 21)[0], shape.margin, all_moved_alike, runs))
    assert np.mean([one.unblocked_label == "reproduced" for one in found]) > 0.07
    assert np.mean([one.label == "reproduced" for one in found]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.proof
@pytest.mark.parametrize("place", [0.1, 0.9], ids=["little noise", "much noise"])
def test_at_the_margin_at_most_five_percent_are_called_reproduced_however_the_problems_moved(place: float) -> None:
    """20,000 runs of each shape on each side, the problems moved in four manners: ten minutes for both.  Prints the rates."""
    runs = 20_000
    wrong = {}
    for shape in SHAPES:
        rates = at_published_score(shape, place)
        for side in (-1, 1):
            for manner, move in MOVES.items():
                try:
                    found = list(verdicts(shape, rates, side * shape.margin, move, runs))
                except NoRoom:
                    continue
                labels = [(one.label == "reproduced", one.unblocked_label == "reproduced") for one in found]
                wrong[shape.name, side, manner] = np.mean(labels, axis=0)
                print(f"{shape.name} {side * shape.margin:+} {manner}: {wrong[shape.name, side, manner] * 100}", flush=True)
    rates_of_labels, alone = np.array(list(wrong.values())).T
    print(f"{len(wrong)} settings: {rates_of_labels.min():.4f} to {rates_of_labels.max():.4f}, mean {rates_of_labels.mean():.4f}")
    print(f"without the reserve {alone.min():.4f} to {alone.max():.4f}, mean {alone.mean():.4f}")
    assert len(wrong) >= 40
    assert rates_of_labels.mean() <= 0.045
    assert rates_of_labels.max() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


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
