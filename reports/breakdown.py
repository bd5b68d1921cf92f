"""Scores by difficulty, platform and month of the contest, for benchmarks whose problems say so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.estimators import avg_at_n
from reports.blocks import Block, Cell, between, points, table
from reports.measurements import Measurement
from reports.scores import Scores
from reports.statistics import sampling_interval

GROUPINGS = ("difficulty", "platform", "month")
ORDER = {"easy": "0", "medium": "1", "hard": "2"}


def breakdown_blocks(benchmark: str, measured: list[tuple[Measurement, dict[str, Scores]]]) -> list[Block]:
    """One table a benchmark, empty where no problem has a group."""
    graders = list(dict.fromkeys(grader for _, results in measured for grader in results))
    code = any(measurement.is_code for measurement, _ in measured)
    rows: list[list[Cell | str]] = []
    for measurement, results in measured:
        groups = measurement.evaluation.groups if measurement.evaluation else {}
        for grouping in GROUPINGS:
            names = sorted({group[grouping] for group in groups.values() if grouping in group}, key=lambda name: ORDER.get(name, name))
            for name in names:
                inside = {identity for identity, group in groups.items() if group.get(grouping) == name}
                rows.append([measurement.label, grouping, name, *_row(results, graders, inside, code)])
    if not rows:
        return []
    header = ["model", "by", "group", "problems", *(f"{grader} (95 %)" for grader in graders), *(["tests passed"] if code else [])]
    return [table(f"{benchmark}: scores by group", header, rows, {0, 1, 2})]


def _row(results: Mapping[str, Scores], graders: list[str], inside: set[str], code: bool) -> list[str]:
    cells, problems, partial = [], 0, "–"
    for grader in graders:
        result = results.get(grader)
        chosen = [place for place, identity in enumerate(result.problem_ids) if identity in inside] if result else []
        if result is None or not chosen:
            cells.append("–")
            continue
        correct, samples = result.correct[chosen], result.samples[chosen]
        problems = max(problems, len(chosen))
        cells.append(f"{points(avg_at_n(correct, samples) * 100)} ({between(*sampling_interval(correct, samples))})")
        if partial == "–":
            partial = points(float(np.mean(result.partials[chosen])))
    return [str(problems), *cells, *([partial] if code else [])]
