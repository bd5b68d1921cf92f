"""Judges side by side: the same samples under two graders, problem by problem."""

from __future__ import annotations

import numpy as np

from reports.blocks import Block, Cell, Tone, between, points, signed, table
from reports.measurements import Measurement
from reports.scores import Measured, Scores
from reports.statistics import JudgeComparison, judge_comparison


def judge_blocks(benchmark: str, measured: Measured) -> list[Block]:
    """One table of a benchmark with two graders or more; empty with one."""
    rows: list[list[Cell | str]] = []
    for measurement, results in measured:
        graders = list(results)
        for other in graders[1:]:
            compared = compare_judges(measurement, graders[0], other)
            if compared is not None:
                rows.append(_row(measurement, results[graders[0]], results[other], compared))
    if not rows:
        return []
    header = ["model", "first", "second", "first scores", "second scores", "second − first", "95 %"]
    header += ["only first right", "only second right", "samples"]
    return [table(f"{benchmark}: judges on the same samples", header, rows, {0, 1, 2})]


def compare_judges(measurement: Measurement, first: str, second: str) -> JudgeComparison | None:
    """Two graders on the samples that both judged; None when there are none."""
    one, two = measurement.grades[first], measurement.grades[second]
    both = [key for key in one if key in two]
    if not both:
        return None
    names = {name: place for place, name in enumerate(sorted({key.problem_id for key in both}))}
    problem = np.array([names[key.problem_id] for key in both])
    right = np.array([(one[key].correct, two[key].correct) for key in both], dtype=bool)
    size = len(names)

    def tally(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(problem[chosen], minlength=size)

    return judge_comparison(tally(right[:, 0] & ~right[:, 1]), tally(~right[:, 0] & right[:, 1]), np.bincount(problem, minlength=size))


def _row(measurement: Measurement, first: Scores, second: Scores, found: JudgeComparison) -> list[Cell | str]:
    tone: Tone = "" if found.ci95[0] <= 0 <= found.ci95[1] else "bad"
    return [
        measurement.label, first.grader, second.grader, points(first.score), points(second.score), Cell(signed(found.difference), tone),
        between(*found.ci95, sign=True), f"{found.first_only:,}", f"{found.second_only:,}", f"{found.samples:,}",
    ]  # fmt: skip
