"""Several run folders in one comparison: which runs there are, and what differs between them on the same problems."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from reports.against_published import NONE_KNOWN, comparisons, explanations, unjudged, verdict_table
from reports.blocks import Block, Bullets, Cell, Paragraph, Report, Section, between, percent_range, points, table
from reports.canvas import Canvas
from reports.cautions import cautions
from reports.figures_scores import Dot, accuracy_by_checkpoint, problem_heat_map
from reports.load import Run
from reports.pairs import Entry, comparable, pair_blocks
from reports.run_description import measured_models
from reports.score_figures import ACCURACY, published_marks, slug
from reports.scores import scores


def many_contents(runs: Sequence[Run], folder: Path, canvas: Canvas) -> Report:
    """The comparison of `runs`, of which the first is what the others are compared with; links are relative to `folder`."""
    entries = entries_of(runs)
    compared = pair_blocks(entries) or [Paragraph("No two of these measurements share a benchmark, a grader and a problem.")]
    alone = [entry.name for entry in entries if not any(comparable(entry, other) for other in entries if other is not entry)]
    if alone and len(alone) < len(entries):
        compared.append(Bullets(tuple(f"{name} shares no benchmark, grader and problem with another of these." for name in alone)))
    sections = [
        Section("runs", "Runs", tuple(_run_blocks(runs, folder))),
        Section("scores", "Scores", tuple(_score_blocks(runs, entries, canvas))),
        Section("published", "Against the published numbers", tuple(_published_blocks(runs))),
        Section("pairs", "Compared with each other", tuple(compared)),
    ]
    notes = tuple(f"{_name(runs, run)}: {note}" for run in runs for note in dict.fromkeys([*run.manifest.notes, *run.notes]))
    if notes:
        sections.append(Section("notes", "Notes on these runs", (Bullets(notes),)))
    stand_ins = [_name(runs, run) for run in runs if run.manifest.stand_in is not False]
    lead: list[Paragraph | Bullets] = []
    if stand_ins:
        words = f"Stand-ins, or runs that do not say what they are: {', '.join(stand_ins)}. Their scores compare with no published number."
        lead.append(Paragraph(words, note=True))
    if beware := tuple(f"{_name(runs, run)}: {words}" for run in runs for words in cautions(run)):
        lead.append(Bullets(beware))
    named = ", ".join(f"{_name(runs, run)} ({measured_models(run) or 'no model'})" for run in runs)
    return Report(f"{len(runs)} runs compared", named, tuple(lead), tuple(sections))


def _name(runs: Sequence[Run], run: Run) -> str:
    """The run's name, or its folder's, or its path: the first that is its own."""
    for names in ([one.manifest.name or one.path.resolve().name for one in runs], [one.path.resolve().name for one in runs]):
        if len(set(names)) == len(names):
            return names[[id(one) for one in runs].index(id(run))]
    return str(run.path)


def entries_of(runs: Sequence[Run]) -> list[Entry]:
    """Graded measurements by run; the name says the run, the model, and protocol and revision where only they tell two apart."""
    found = [(run, one) for run in runs for one in run.measurements if one.grades]
    return [Entry(one.label if len(runs) == 1 else f"{_name(runs, run)}: {one.label}", one) for run, one in found]


def _run_blocks(runs: Sequence[Run], folder: Path) -> list[Block]:
    rows: list[list[Cell | str]] = []
    for run in runs:
        manifest = run.manifest
        models = ", ".join(dict.fromkeys(one.model for one in run.measurements)) or "none"
        benchmarks = ", ".join(dict.fromkeys(one.benchmark for one in run.measurements)) or "none"
        engines = ", ".join(dict.fromkeys(one.engine_name for one in run.measurements)) or "none"
        unfinished = [name for name, stage in manifest.stages.items() if stage.get("status") != "done" and name != "report"]
        state = f"unfinished: {', '.join(unfinished)}" if unfinished else "done" if manifest.stages else "unknown"
        page = "./" + quote(os.fsencode(os.path.relpath(run.path.resolve() / "report" / "index.html", folder.resolve())))
        rows.append([
            Cell(_name(runs, run), link=page), models, benchmarks, engines,
            f"profile {manifest.profile}" if manifest.profile else "unknown", manifest.created,
            "stand-in" if manifest.stand_in else "real" if manifest.stand_in is False else "unknown",
            Cell(state, "bad" if unfinished else ""), str(len(run.notes)),
        ])  # fmt: skip
    header = ["run", "models", "benchmarks", "engine", "configuration", "created", "data", "state", "notes"]
    return [table("Runs", header, rows, {0, 1, 2, 3, 4, 5, 6, 7})]


def _score_blocks(runs: Sequence[Run], entries: Sequence[Entry], canvas: Canvas) -> list[Block]:
    chosen = _judges(entries)
    graded = [(entry, result) for entry in entries if (result := scores(entry.measurement, chosen[entry.measurement.benchmark, id(entry)]))]
    if not graded:
        return [Paragraph("Nothing is graded in these runs.")]
    rows: list[list[Cell | str]] = []
    for entry, result in graded:
        protocol = entry.measurement.protocol_name
        rows.append([
            entry.measurement.benchmark, entry.name, entry.measurement.engine_name, protocol, result.grader, points(result.score),
            between(*result.interval),
            str(len(result.problem_ids)), f"{result.total:,}", percent_range(*result.truncated),
        ])  # fmt: skip
    header = ["benchmark", "measurement", "engine", "protocol", "grader", "score", "95 %", "problems", "samples", "truncated"]
    published = {place: marks for run in runs for place, marks in published_marks(run).items()}
    dots = [
        Dot(entry.measurement.benchmark, entry.name, result.score, *result.interval, *published.get(id(entry.measurement), ()))
        for entry, result in graded
    ]
    blocks: list[Block] = [accuracy_by_checkpoint(canvas, "accuracy", dots, ACCURACY)]
    blocks.append(table("Scores in points, on each benchmark under one judge where all have it", header, rows, {0, 1, 2, 3, 4}))
    for number, benchmark in enumerate(dict.fromkeys(dot.benchmark for dot in dots)):
        models = [(entry.name, result) for entry, result in graded if entry.measurement.benchmark == benchmark]
        judges = " and ".join(dict.fromkeys(result.grader for _, result in models))
        caption = f"{benchmark}: share of right samples of each problem, {judges} grader"
        blocks.append(problem_heat_map(canvas, f"problems-{number}-{slug(benchmark)}", models, caption))
    return blocks


def _judges(entries: Sequence[Entry]) -> dict[tuple[str, int], str]:
    """(Benchmark, entry) → its judge here: one that all on the benchmark have, the first one's own if possible; else each one's own."""
    found: dict[tuple[str, int], str] = {}
    for benchmark in dict.fromkeys(entry.measurement.benchmark for entry in entries):
        of = [entry for entry in entries if entry.measurement.benchmark == benchmark]
        common = next((name for name in of[0].measurement.graders if all(name in one.measurement.grades for one in of)), "")
        found |= {(benchmark, id(one)): common or one.measurement.graders[0] for one in of}
    return found


def _published_blocks(runs: Sequence[Run]) -> list[Block]:
    blocks: list[Block] = []
    for run in runs:
        found, unknown = comparisons(run), unjudged(run)
        if found or unknown:
            blocks += [Paragraph(_name(runs, run)), verdict_table(run, found, unknown), *explanations(found, unknown)]
    return blocks or [Paragraph(NONE_KNOWN)]
