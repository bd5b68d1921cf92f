"""Scores of one measurement under one grader: counts a problem, intervals, reasons, truncation.

The counts are what every comparison starts from (reports.statistics); the rest is what a reader needs to
judge a score: how many samples were expected, cut off, failed or identical to another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.estimators import avg_at_n
from reports.load import Measurement
from reports.statistics import Interval, sampling_interval, superpopulation_interval
from reports.text import counted


@dataclass(frozen=True)
class Scores:
    """Graded samples of one model on one benchmark under one grader.  Scores are in points."""

    grader: str
    problem_ids: tuple[str, ...]
    correct: NDArray[np.int64]
    """Correct samples of each problem."""
    samples: NDArray[np.int64]
    """Graded samples of each problem."""
    reasons: Mapping[str, int]
    verdicts: Mapping[str, int]
    truncated: float
    """Share of samples that ended at the length limit, or that the grader calls truncated."""
    partial: float
    """Mean share of passed tests, in points; equals the score for maths."""
    partials: NDArray[np.float64]
    """Mean share of passed tests of each problem, in points."""
    lengths_right: NDArray[np.int64]
    """Tokens of each correct sample."""
    lengths_wrong: NDArray[np.int64]

    @property
    def rates(self) -> NDArray[np.float64]:
        """Share of correct samples of each problem."""
        rates: NDArray[np.float64] = self.correct / self.samples
        return rates

    @property
    def score(self) -> float:
        """Mean over problems of the share of correct samples (avg@k)."""
        return avg_at_n(self.correct, self.samples) * 100

    @property
    def interval(self) -> Interval:
        """95 % interval if the same problems were sampled again."""
        return sampling_interval(self.correct, self.samples)

    @property
    def population_interval(self) -> Interval | None:
        """95 % interval on other problems like these; None for a single problem."""
        return superpopulation_interval(self.correct, self.samples)

    @property
    def total(self) -> int:
        """Graded samples."""
        return int(np.sum(self.samples))


def scores(measurement: Measurement, grader: str) -> Scores | None:
    """Scores under one grader, None when it graded nothing.  Problems are in the manifest's order."""
    grades = list(measurement.grades.get(grader, {}).items())
    if not grades:
        return None
    order = {name: place for place, name in enumerate(expected_problems(measurement))}
    names = sorted(
        {key.problem_id for key, _ in grades}, key=lambda name: (order.get(name, len(order)), name)
    )
    place = {name: index for index, name in enumerate(names)}
    correct, samples = np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    partials = np.zeros(len(names))
    for key, grade in grades:
        samples[place[key.problem_id]] += 1
        correct[place[key.problem_id]] += grade.correct
        partials[place[key.problem_id]] += 100 * grade.score
    rows = [grade for _, grade in grades]
    cut = sum(row.finish_reason == "length" or row.reason == "truncated" for row in rows)
    return Scores(
        grader=grader,
        problem_ids=tuple(names),
        correct=correct,
        samples=samples,
        reasons=Counter(row.reason for row in rows),
        verdicts=Counter(row.verdict for row in rows if row.verdict is not None),
        truncated=cut / len(rows),
        partial=100 * sum(row.score for row in rows) / len(rows),
        partials=partials / samples,
        lengths_right=np.array([row.token_count for row in rows if row.correct], dtype=np.int64),
        lengths_wrong=np.array([row.token_count for row in rows if not row.correct], dtype=np.int64),
    )


def expected_problems(measurement: Measurement) -> tuple[str, ...]:
    """Problem ids that a complete evaluation has, as far as the manifest says."""
    return measurement.evaluation.problem_ids if measurement.evaluation else ()


def defects(measurement: Measurement, grader: str) -> list[str]:
    """What makes the samples unfit for a verdict: missing, failed, ungraded or identical ones."""
    found = []
    graded = measurement.grades.get(grader, {})
    expected = measurement.evaluation.expected if measurement.evaluation else None
    if expected is not None and len(graded) < expected:
        found.append(f"{expected - len(graded)} of {counted(expected, 'sample')} missing or not graded")
    elif expected is None and len(graded) < len(measurement.samples):
        found.append(f"{counted(len(measurement.samples) - len(graded), 'sample')} not graded")
    stored = [sample for key, sample in measurement.samples.items() if key in graded or expected is None]
    failed = {sample.key for sample in stored if sample.failed}
    failed |= {key for key, grade in graded.items() if grade.finish_reason == "error"}
    if failed:
        found.append(f"{counted(len(failed), 'generation')} failed")
    texts = {(sample.key.problem_id, sample.text_hash) for sample in stored if not sample.failed}
    copies = sum(not sample.failed for sample in stored) - len(texts)
    if copies:
        found.append(f"{counted(copies, 'generation')} identical to another one of the same problem")
    return found
