"""The section on measured scores: a table and a tally for each benchmark, with figures.

Every grader has its column, with the difference between them: a sample is generated once and judged by all.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from reports.blocks import Block, Bullets, Cell, Paragraph, between, percent_range, points, signed, table
from reports.breakdown import breakdown_blocks
from reports.canvas import Canvas
from reports.judges import compare_judges, judge_blocks
from reports.load import Run
from reports.measurements import Measurement
from reports.score_figures import accuracy_figure, sample_figures
from reports.scores import Measured, Scores, defects, scores
from reports.text import counted


def score_blocks(run: Run, canvas: Canvas) -> list[Block]:
    """Tables, remarks and figures; says so when nothing was measured."""
    benchmarks: dict[str, Measured] = {}
    for measurement in run.measurements:
        results = {grader: scores(measurement, grader) for grader in measurement.graders}
        known = {grader: result for grader, result in results.items() if result is not None}
        benchmarks.setdefault(measurement.benchmark, []).append((measurement, known))
    if not benchmarks:
        return [Paragraph("Nothing was measured in this run.", note=True)]
    blocks: list[Block] = []
    if run.manifest.model_note:
        blocks.append(Paragraph(f"Beside every score: {run.manifest.model_note.rstrip('.')}.", note=True))
    blocks.append(
        Paragraph(
            "Scores are avg@samples in points. The first interval (95 %) is for the same problems sampled again; "
            "“problems like these” is for other problems from the same source, and contains the noise of sampling too."
        )
    )
    blocks += accuracy_figure(run, canvas, benchmarks)
    for benchmark, measured in benchmarks.items():
        graders = list(dict.fromkeys(grader for _, results in measured for grader in results))
        blocks.append(_score_table(benchmark, measured, graders))
        blocks += breakdown_blocks(benchmark, measured)
        blocks += judge_blocks(benchmark, measured)
        blocks += _tally(benchmark, measured)
        blocks += _remarks(measured)
        blocks += _wordings(run, benchmark, {measurement.protocol_name for measurement, _ in measured})
    return blocks + sample_figures(canvas, benchmarks)


def _wordings(run: Run, benchmark: str, protocols: set[str]) -> list[Block]:
    """How many statements a model saw in other words than those of the reference copy; of imported samples nobody knows that."""
    if protocols == {"imported"}:
        return []
    own = [problem for (name, _), problem in run.problems.items() if name == benchmark]
    differs = sorted(problem.id for problem in own if problem.info.get("statement") == "differs")
    unconfirmed = sorted(problem.id for problem in own if problem.info.get("unconfirmed"))
    found = []
    if differs:
        words = f"{len(differs)} of {len(own)} statements are in other words than the reference copy's (answers agree)"
        found.append(f"{words}: {_some(differs)}.")
    if unconfirmed:
        have = "has" if len(unconfirmed) == 1 else "have"
        found.append(f"{counted(len(unconfirmed), 'answer')} of the key {have} one public source only: {_some(unconfirmed)}.")
    return [Bullets(tuple(found))] if found else []


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _score_table(benchmark: str, measured: Measured, graders: list[str]) -> Block:
    code = any(measurement.is_code for measurement, _ in measured)
    header = ["model", "protocol", *(f"{grader} (95 %)" for grader in graders)]
    header += [f"{other} − {graders[0]}" for other in graders[1:]]
    header += ["problems like these", "problems × samples", "truncated", *(["tests passed"] if code else [])]
    rows: list[list[Cell | str]] = []
    for measurement, results in measured:
        row: list[Cell | str] = [measurement.row_label, measurement.protocol_name]
        row += [_score(results.get(grader)) for grader in graders]
        row += [_judge_difference(measurement, graders[0], other) for other in graders[1:]]
        main = next(iter(results.values()), None)
        if main is None:
            row.append(Cell("not graded" if measurement.samples else "no samples yet", "muted"))
        else:
            population = main.population_interval
            row += [between(*population) if population else "unknown", _size(main), percent_range(*main.truncated)]
            row += [points(float(np.mean(main.partials)))] if code else []
        rows.append([*row, *[""] * (len(header) - len(row))])
    return table(benchmark, header, rows, {0, 1})


def _score(result: Scores | None) -> str:
    return f"{points(result.score)} ({between(*result.interval)})" if result else "–"


def _judge_difference(measurement: Measurement, first: str, other: str) -> str:
    if first not in measurement.grades or other not in measurement.grades:
        return "–"
    compared = compare_judges(measurement, first, other)
    return signed(compared.difference) if compared else "–"


def _size(result: Scores) -> str:
    fewest, most = int(result.samples.min()), int(result.samples.max())
    return f"{len(result.problem_ids)} × {most if fewest == most else f'{fewest} to {most}'}"


def _tally(benchmark: str, measured: Measured) -> list[Block]:
    """How many samples count as what, one column for each reason and sandbox verdict that occurs."""
    entries = [(measurement, result) for measurement, results in measured for result in results.values()]
    reasons = list(sum((Counter(result.reasons) for _, result in entries), Counter()))
    verdicts = sorted(sum((Counter(result.verdicts) for _, result in entries), Counter()))
    reasons.sort(key=lambda reason: (reason != "correct", reason != "wrong", reason))
    rows: list[list[Cell | str]] = [
        [
            measurement.label,
            result.grader,
            *(str(result.reasons.get(reason, 0)) for reason in reasons),
            *(str(result.verdicts.get(verdict, 0)) for verdict in verdicts),
        ]
        for measurement, result in entries
    ]
    header = ["model", "grader", *reasons, *verdicts]
    return [table(f"{benchmark}: samples by reason", header, rows, {0, 1})] if rows else []


def _remarks(measured: Measured) -> list[Block]:
    said = []
    for measurement, results in measured:
        found = {grader: defects(measurement, grader) for grader in results}
        if not results and measurement.samples:
            expected = measurement.evaluation.expected if measurement.evaluation else None
            of = f" of {expected:,} that are expected" if expected is not None else ""
            said.append(f"{measurement.label}: {counted(len(measurement.samples), 'sample')}{of}, none of them graded.")
        for defect in dict.fromkeys(defect for listed in found.values() for defect in listed):
            graders = [grader for grader, listed in found.items() if defect in listed]
            where = "" if len(graders) == len(found) else f", {' and '.join(graders)} grader"
            said.append(f"{measurement.label}{where}: {defect}.")
    return [Bullets(tuple(said))] if said else []
