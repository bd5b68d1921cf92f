"""The report of one run, section by section: what it is, scores, published numbers, gains, figures, samples, manifest.

Every sentence is made from the run folder; a section whose data is missing says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reports.against_published import comparisons, published_blocks, unjudged
from reports.attributions import attribution_blocks
from reports.blocks import Block, Bullets, Cell, Figure, Paragraph, Report, Section, Viewer, table
from reports.canvas import Canvas
from reports.cautions import cheatable, partial, quantised, tool_users
from reports.figures_training import draw_clip_shares, draw_ratios, funnel, held_out_progress, learning_curves, rl_runs, training_curves
from reports.gains import ClipShares, StageGains, clip_shares, gain_blocks, stage_gains
from reports.imports import import_paragraphs
from reports.load import Run
from reports.many import entries_of
from reports.pairs import pair_blocks
from reports.run_description import (
    OWN_STAGE,
    changed_protocols,
    cuda_sentence,
    manifest_blocks,
    measured_models,
    preset_blocks,
    vouched_servers,
)
from reports.samples import sample_blocks
from reports.score_tables import score_blocks
from reports.text import brief, counted
from reports.viewer import Viewed

RL_STAGES = ("rl-math", "rl-code")
HEALTH_COLUMNS = [("entropy", "entropy (nats)"), ("grad_norm", "gradient norm")]


def contents(run: Run, figures: Path, viewed: Viewed) -> Report:
    """Build the report; figures are drawn into the folder `figures`."""
    canvas = Canvas(figures)
    manifest = run.manifest
    gains, clip = stage_gains(run), clip_shares(run)
    training = [Section("training", "Training", (Paragraph("Nothing was trained in this run."),))]
    if run.metrics or gains:
        training = [
            Section("gains", "What training gained", tuple(gain_blocks(gains))),
            Section("clip", "Tokens outside the clip range", tuple(_clip_blocks(run, clip, canvas))),
            Section("training", "Training", tuple(_training_blocks(run, canvas))),
        ]
    pairs = pair_blocks(entries_of([run]), [one.measurements for one in gains])
    funnel = _data_funnel(run, canvas)
    sections = [
        Section("scores", "Measured scores", tuple(score_blocks(run, canvas))),
        Section("published", "Against the published numbers", tuple(published_blocks(run))),
        *([Section("attribution", "Attribution", tuple(attributed))] if (attributed := attribution_blocks(run)) else []),
        *([Section("pairs", "Compared with each other", tuple(pairs))] if pairs else []),
        *([Section("data", "Data", (funnel,))] if funnel else []),
        *training,
        Section("samples", "Sample generations", tuple(sample_blocks(run))),
        *([Section("viewer", "All samples", (Viewer(viewed.samples),))] if viewed.samples else []),
        Section("preset", "Preset", tuple(preset_blocks(run))),
        Section("cuda", "What has never run on CUDA", (Paragraph(cuda_sentence(run)),)),
        Section("manifest", "The run", tuple(manifest_blocks(run))),
    ]
    notes = tuple(dict.fromkeys([*manifest.notes, *run.notes]))
    if notes:
        sections.insert(-1, Section("notes", "Notes on this run", (Bullets(notes),)))
    parts = [f"Configuration: profile {brief(manifest.profile)}" if manifest.profile else "", manifest.created]
    subtitle = " · ".join(part for part in parts if part)
    lead: list[Paragraph | Bullets] = [*_what_this_is(run), *_findings(run, gains, clip)]
    name = manifest.name or run.path.resolve().name
    models = measured_models(run)
    return Report(f"{models} · run {name}" if models else f"Run {name}", subtitle, tuple(lead), tuple(sections))


def _what_this_is(run: Run) -> list[Paragraph]:
    manifest = run.manifest
    if manifest.stand_in:
        words = (
            "Models and benchmarks of this run are synthetic stand-ins: its scores are NOT comparable with any "
            "published number. It exercises the recipe, from SFT through GPPO to evaluation, at toy size."
        )
    elif manifest.stand_in is None:
        words = "The manifest does not say what this run is: no verdict can be given."
    else:
        models = ", ".join(dict.fromkeys(one.model for one in run.measurements)) or "no model yet"
        benchmarks = ", ".join(dict.fromkeys(one.benchmark for one in run.measurements)) or "no benchmark yet"
        words = f"This run measures {models} on {benchmarks}."
    lead = [Paragraph(words, note=manifest.stand_in is not False)]
    lead += import_paragraphs(run)
    lead += vouched_servers(run)
    lead += changed_protocols(run)
    lead += [Paragraph(words, note=True) for words in (*tool_users(run), *quantised(run), *cheatable(run), *partial(run))]
    if manifest.model_note:
        lead.append(Paragraph(f"About the model: {manifest.model_note.rstrip('.')}.", note=True))
    unfinished = [name for name, stage in manifest.stages.items() if stage.get("status") != "done"]
    unfinished = [name for name in unfinished if name != OWN_STAGE]
    if unfinished:
        lead.append(Paragraph(f"The run is not finished: {', '.join(unfinished)}.", note=True))
    if run.notes:
        lead.append(
            Paragraph(f"Parts of the run are missing or damaged: {counted(len(run.notes), 'note')} near the end.")
        )
    return lead


def _findings(run: Run, gains: list[StageGains], clip: ClipShares) -> list[Bullets]:
    """The report in a few sentences: verdicts, what training gained on its own benchmark, clip shares."""
    said = [one.sentence for one in comparisons(run)] + [one.sentence for one in unjudged(run)]
    for stage in gains:
        said += stage.sentences if stage.own_kind else ()
    said += clip.sentences
    return [Bullets(tuple(said))] if said else []


def _clip_blocks(run: Run, found: ClipShares, canvas: Canvas) -> list[Block]:
    if found.table is None:
        return [Paragraph("This run has no RL metrics.")]
    intro = "Inside the clip range the gradients of GPPO and clip are equal; only outside it do the losses differ."
    blocks: list[Block] = [Paragraph(intro), found.table, Bullets(found.sentences)]
    for stage in RL_STAGES:
        figure = draw_clip_shares(
            canvas, f"clip-{stage}", rl_runs(run.metrics, stage), f"{stage}: share of tokens outside the clip range"
        )
        ratios = draw_ratios(
            canvas, f"ratios-{stage}", rl_runs(run.metrics, stage), _clip_range(run, stage), f"{stage}: extreme ratios of each step"
        )
        blocks += [drawn for drawn in (figure, ratios) if drawn]
    return blocks


def _clip_range(run: Run, stage: str) -> tuple[float, float] | None:
    section = run.config.get(stage.replace("-", "_"))
    if not isinstance(section, Mapping):
        return None
    low, high = section.get("eps_low"), section.get("eps_high")
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and 0 <= low < 1 and high >= 0:
        return 1 - low, 1 + high
    return None


def _reward_funnel(run: Run, canvas: Canvas) -> Figure | None:
    """Groups of rollouts from those made to those trained on, over all steps of each RL run."""
    steps = (
        ("groups made", "groups"), ("rewards differ", "groups_flat"), ("kept by the filter", "groups_kept"),
        ("trained on", "groups_trained"),
    )  # fmt: skip
    parts, left_out = [], 0
    for name, metrics in run.metrics.items():
        if metrics.has("groups") and metrics.has("groups_kept"):
            there = [(label, column) for label, column in steps if metrics.has(column)]
            known = np.all([np.isfinite(metrics.column(column)) for _, column in there], axis=0)
            left_out += int(np.count_nonzero(~known))
            sums = {column: float(np.sum(metrics.column(column)[known])) for _, column in there}
            if "groups_flat" in sums:
                sums["groups_flat"] = sums["groups"] - sums["groups_flat"]
            parts.append((name, [(label, sums[column]) for label, column in there]))
    but = f" but {left_out} in which one of the numbers is unknown" if left_out else ""
    return funnel(canvas, "reward-funnel", parts, f"Groups of rollouts from generation to update, all steps together{but}")


def _data_funnel(run: Run, canvas: Canvas) -> Figure | None:
    """Every set of `data/funnel.json` with its numbers, in the order of the file."""
    parts = []
    for name, numbers in run.funnel.items():
        if isinstance(numbers, Mapping):
            steps = [(str(step), float(value)) for step, value in numbers.items() if isinstance(value, (int, float)) and 0 <= value < 1e15]
            parts.append((str(name), steps))
    return funnel(canvas, "data-funnel", parts, "What the data stage made and kept")


def _training_blocks(run: Run, canvas: Canvas) -> list[Block]:
    if not run.metrics:
        return [Paragraph("This run has no training metrics.")]
    drawn = []
    sft = [run.metrics[name] for name in ("sft", "rl-math-sft", "rl-code-sft") if name in run.metrics]
    drawn.append(
        training_curves(
            canvas,
            "sft",
            sft,
            [("loss", "SFT loss"), ("grad_norm", "gradient norm")],
            "SFT and the SFT controls",
        )
    )
    for stage in RL_STAGES:
        runs = rl_runs(run.metrics, stage)
        drawn.append(
            learning_curves(
                canvas,
                f"{stage}-learning",
                runs,
                run.progress,
                f"{stage}: learning curves, GPPO and the clip control, with held-out evaluations",
            )
        )
        drawn.append(
            held_out_progress(
                canvas,
                f"{stage}-held-out",
                rl_runs(run.progress, stage),
                f"{stage}: held-out problems while training, with the stage's own verifier",
            )
        )
        drawn.append(
            training_curves(
                canvas, f"{stage}-health", runs, HEALTH_COLUMNS, f"{stage}: entropy and gradient norm"
            )
        )
    rows: list[list[Cell | str]] = []
    for name, metrics in run.metrics.items():
        steps = len(metrics.column("step"))
        tokens = metrics.column("tokens")
        failures = metrics.column("verifier_failures")
        skipped = metrics.column("skipped_updates")
        rows.append(
            [name, str(steps), _total(metrics.column("seconds")), _total(tokens), _total(skipped), _total(failures)]
        )
    header = ["run", "steps", "seconds", "tokens", "skipped updates", "verifier failures"]
    drawn.append(_reward_funnel(run, canvas))
    return [table("Training runs", header, rows), *(figure for figure in drawn if figure)]


def _total(values: NDArray[np.float64]) -> str:
    """The sum over steps; of those that are known, where some are not."""
    known = np.isfinite(values)
    return f"{'' if known.all() else 'at least '}{np.sum(values[known]):,.0f}" if known.any() else "–"
