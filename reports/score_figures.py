"""Which figures of the measured scores a report has."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from reports.against_published import comparisons
from reports.blocks import Block, Paragraph
from reports.canvas import Canvas
from reports.figures_scores import (
    Curves,
    Dot,
    accuracy_by_checkpoint,
    curves,
    known_lengths,
    length_histograms,
    outcome_bars,
    problem_heat_map,
)
from reports.load import Run
from reports.scores import Measured, Scores, budget_curve, complete_problems, pass_curve, vote_curve
from reports.statistics import Z95, sampling_variance

ACCURACY = "Scores under each protocol's own judge, with 95 % intervals (same problems)"
"""Caption of the figure of measured and published scores."""


def accuracy_figure(run: Run, canvas: Canvas, benchmarks: Mapping[str, Measured]) -> list[Block]:
    """Scores under the protocol's own judge beside the published ones; empty when nothing is graded."""
    published = published_marks(run)
    dots = []
    for benchmark, measured in benchmarks.items():
        for measurement, results in measured:
            for result in list(results.values())[:1]:
                dots.append(Dot(benchmark, measurement.label, result.score, *result.interval, *published.get(id(measurement), ())))
    return [accuracy_by_checkpoint(canvas, "accuracy", dots, ACCURACY)] if dots else []


def published_marks(run: Run) -> dict[int, tuple[float, float, float]]:
    """Identity of a measurement → published score of its model, half its 95 % interval and the margin, in points."""
    marks: dict[int, tuple[float, float, float]] = {}
    for one in comparisons(run):
        most = int(one.result.samples.max())
        variance = sampling_variance(one.result.correct, one.result.samples) * most / (one.row.samples or most)
        half = Z95 * math.sqrt(variance) * 100
        marks.setdefault(id(one.measurement), (one.row.score, half, run.published.targets[one.row.benchmark].margin))
    return marks


def sample_figures(canvas: Canvas, benchmarks: Mapping[str, Measured]) -> list[Block]:
    """By problem, by samples drawn, by token budget, by outcome and by length; empty when nothing is graded."""
    graded = {name: _main(measured) for name, measured in benchmarks.items()}
    graded = {name: rows for name, rows in graded.items() if rows}
    if not graded:
        return []
    blocks: list[Block] = []
    for number, (benchmark, rows) in enumerate(graded.items()):
        caption = f"{benchmark}: share of right samples of each problem, {_judges({benchmark: rows})} grader"
        models = [(model, result) for model, result, _ in rows]
        blocks.append(problem_heat_map(canvas, f"problems-{number}-{slug(benchmark)}", models, caption))
    blocks += _sampling_curves(canvas, graded)
    exact = {name: _strict(benchmarks[name]) for name in graded}
    blocks += _budget_curves(canvas, exact)
    bars = [(f"{model} on {benchmark}", Counter(result.reasons)) for benchmark, rows in exact.items() for model, result, _ in rows]
    blocks.append(outcome_bars(canvas, "outcomes", bars, f"What became of the samples ({_judges(exact)} grader)"))
    lengths = [(f"{model} on {benchmark}", result) for benchmark in graded for model, result, _ in [_last(benchmarks[benchmark])]]
    lengths = [group for group in lengths if len(known_lengths(group[1]))]
    if lengths:
        known = [(title, len(known_lengths(result)), result.total) for title, result in lengths]
        unknown = [f"{title}: {some:,} of {total:,}" for title, some, total in known if some < total]
        caption = f"Response length of right and wrong samples ({_judges(graded)} grader)"
        caption += f"; lengths that are known: {', '.join(unknown)}" if unknown else ""
        blocks.append(length_histograms(canvas, "lengths", lengths, caption))
    return blocks


Rows = list[tuple[str, Scores, bool]]
"""(label, scores under one judge, whether the answers are programs)."""


def _main(measured: Measured) -> Rows:
    """Under the protocol's own judge."""
    return [(one.label, next(iter(results.values())), one.is_code) for one, results in measured if results]


def _strict(measured: Measured) -> Rows:
    """Under `strict` where it judged: it tells a hedged or cut-off answer from a wrong one, and a score under it does not depend on
    what was written after a cut."""
    return [(one.label, results.get("strict") or next(iter(results.values())), one.is_code) for one, results in measured if results]


def _judges(graded: Mapping[str, Rows]) -> str:
    return " and ".join(dict.fromkeys(result.grader for rows in graded.values() for _, result, _ in rows))


def _last(measured: Measured) -> tuple[str, Scores, bool]:
    """The last graded measurement that is no control of a training stage."""
    graded = [one for one in measured if one[1]]
    return _main([one for one in graded if not one[0].is_control] or graded)[-1]


def _sampling_curves(canvas: Canvas, graded: Mapping[str, Rows]) -> Iterator[Block]:
    several = {name: [row for row in rows if row[1].samples[complete_problems(row[1])].min() > 1] for name, rows in graded.items()}
    answers = {name: [row for row in rows if not row[2]] for name, rows in several.items()}
    passes = [(name, [(model, *pass_curve(result)) for model, result, _ in rows]) for name, rows in several.items()]
    votes = [(name, [(model, *vote_curve(result)) for model, result, _ in rows]) for name, rows in answers.items()]
    caption = "pass@k: at least one of k samples is right, unbiased estimate" + _of_what(several)
    figure = curves(canvas, "pass-at-k", passes, caption, "k", "pass@k against k: " + _ends(passes))
    if figure:
        yield figure
    caption = "maj@k: the answer that most of k samples give, over 1,000 subsets of each problem's samples, ties shared" + _of_what(answers)
    figure = curves(canvas, "maj-at-k", votes, caption, "k", "maj@k against k: " + _ends(votes))
    if figure:
        yield figure


def _of_what(graded: Mapping[str, Rows]) -> str:
    """The judges of a curve over samples, and the measurements that lack samples of some problems."""
    places = [(model, name, complete_problems(result)) for name, rows in graded.items() for model, result, _ in rows]
    some = [f"{model} on {name}: {np.count_nonzero(kept)} of {len(kept)}" for model, name, kept in places if not kept.all()]
    return f" ({_judges(graded)} grader)" + (f"; over the problems with all samples, {', '.join(some)}" if some else "")


def _budget_curves(canvas: Canvas, graded: Mapping[str, Rows]) -> Iterator[Block]:
    panels, without = [], []
    for name, rows in graded.items():
        found = [(model, budget_curve(result)) for model, result, _ in rows]
        panels.append((name, [(model, *curve) for model, curve in found if curve is not None]))
        without += [f"{model} on {name}" for model, curve in found if curve is None]
    caption = f"Score against token budget, from these very samples: a longer response counts as truncated ({_judges(graded)} grader)."
    if any(result.grader == "klear" for rows in graded.values() for _, result, _ in rows):
        caption += " Under klear it is a lower bound, for that judge may find an answer in thinking that was cut off."
    figure = curves(canvas, "budget", panels, caption, "tokens a response may have", "Score against token budget: " + _ends(panels))
    if figure:
        yield figure
    if without:
        yield Paragraph(f"No score against token budget, because right samples have no number of tokens: {', '.join(without)}.")


def _ends(panels: Curves) -> str:
    return "; ".join(f"{model} on {name} from {y[0]:.1f} to {y[-1]:.1f}" for name, lines in panels for model, _, y in lines)


def slug(name: str) -> str:
    """A name as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"
