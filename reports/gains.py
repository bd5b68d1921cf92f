"""What training gained, and whether the loss is to be thanked for it.

A stage starts from a checkpoint; beside it run controls from the same start: the clipped loss, and more SFT
for the same time.  All are compared problem by problem on the same held-out problems, with Holm's correction
over the comparisons of all benchmarks and stages together; the sentences are made from these numbers and say whatever they show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from reports.blocks import (
    Block,
    Bullets,
    Cell,
    Paragraph,
    Table,
    Tone,
    between,
    percent,
    points,
    probability,
    signed,
    table,
)
from reports.load import Run
from reports.measurements import CONTROLS, Measurement
from reports.pairs import on_common_problems, paired
from reports.scores import Scores, defects, scores
from reports.statistics import PairedComparison, holm
from reports.text import counted

LEVEL = 0.05


@dataclass(frozen=True)
class Stage:
    """One RL stage with its start and its controls (name → what it is)."""

    kind: str
    start: str
    treated: str
    controls: tuple[tuple[str, str, str], ...]
    """(checkpoint, what it is, what no difference to it means)."""


def _stage(kind: str, start: str, treated: str) -> Stage:
    clip = (f"{treated}-clip", "clip control", "this run does not show that GPPO matters")
    sft = (
        f"{treated}-sft",
        "SFT control",
        "this run does not show that RL does more than as much time of SFT",
    )
    return Stage(kind, start, treated, (clip, sft))


STAGES = (_stage("maths", "sft", "rl-math"), _stage("code", "rl-math", "rl-code"))


@dataclass(frozen=True)
class Compared:
    """One checkpoint of a stage against the start and against the treated one."""

    model: str
    label: str
    role: str
    meaning: str
    result: Scores
    gain: PairedComparison
    lead: PairedComparison | None
    """Treated minus this one; None for the treated checkpoint itself."""
    gain_p: float = 1.0
    lead_p: float = 1.0

    @property
    def gained(self) -> bool:
        """Whether the gain over the start is told apart from noise."""
        return self.gain_p < LEVEL and self.gain.difference > 0


@dataclass(frozen=True)
class StageGains:
    """What one stage gained on one benchmark."""

    own_kind: bool
    """The benchmark is of the kind that the stage trains: maths or code."""
    table: Table | None
    sentences: tuple[str, ...]
    measurements: tuple[Measurement, ...] = ()
    """What is compared here: the start, the treated one, the controls."""


def stage_gains(run: Run) -> list[StageGains]:
    """Every stage that has a start and an end on the same benchmark; p-values are adjusted for all of them together."""
    found = [_compared_stage(run, stage, *pair) for stage in STAGES for pair in _pairs(run, stage)]
    p_values = [one.p_value for stage in found for compared in stage.compared for one in (compared.gain, compared.lead) if one]
    adjusted = iter(holm(p_values).tolist() if p_values else [])
    return [
        _stage_gains(run, replace(one, compared=[
            replace(compared, gain_p=next(adjusted), lead_p=next(adjusted) if compared.lead else 1.0) for compared in one.compared
        ]))
        for one in found
    ]  # fmt: skip


@dataclass(frozen=True)
class _Stage:
    """A stage on one benchmark, before its p-values are adjusted."""

    stage: Stage
    start: Measurement
    treated: Measurement
    grader: str
    base: Scores | None
    compared: list[Compared]
    notes: list[str]
    controls: list[Measurement]


def gain_blocks(found: list[StageGains]) -> list[Block]:
    """Tables and sentences of the section."""
    if not found:
        return [Paragraph("This run has no two checkpoints of a training stage on the same benchmark.")]
    blocks: list[Block] = [
        Paragraph(
            "Differences are taken problem by problem on the same problems, in points, with Student's t interval "
            "(95 %) over problems; p is a sign-flip permutation test, corrected for all comparisons of this section "
            "(Holm). One training run of each: the intervals cover problems and sampling, not training seeds."
        )
    ]
    for one in found:
        blocks += [one.table] if one.table else []
        blocks.append(Bullets(one.sentences))
    return blocks


def _pairs(run: Run, stage: Stage) -> list[tuple[Measurement, Measurement]]:
    """(start, treated) on each benchmark where both were measured, the stage's own kind first."""
    found = []
    for treated in run.measurements:
        if treated.model == stage.treated:
            start = _measured(run, treated, stage.start)
            if start is not None and _common(start, treated):
                found.append((start, treated))
    return sorted(found, key=lambda pair: (pair[1].is_code != (stage.kind == "code"), pair[1].benchmark))


def _measured(run: Run, like: Measurement, model: str) -> Measurement | None:
    """The model's measurement on the same benchmark under the same sampling; None where there is none."""
    of = [one for one in run.measurements if one.benchmark == like.benchmark and one.model == model and one.grades]
    return next((one for one in of if _sampled(one) == _sampled(like)), None)


def _sampled(measurement: Measurement) -> tuple[str, object]:
    evaluation = measurement.evaluation
    return measurement.sampling_hash, evaluation.protocol_field("prompt") if evaluation else None


def _common(one: Measurement, two: Measurement) -> str | None:
    """The grader to compare under: the first of the treated one's that graded both."""
    return next((grader for grader in two.graders if grader in one.grades), None)


def _compared_stage(run: Run, stage: Stage, start: Measurement, treated: Measurement) -> _Stage:
    grader = _common(start, treated) or ""
    base, end = (scores(start, grader), scores(treated, grader)) if grader else (None, None)
    compared, notes, controls = _compare(run, stage, treated, base, end) if base and end else ([], [], [])
    return _Stage(stage, start, treated, grader, base, compared, notes, controls)


def _stage_gains(run: Run, found: _Stage) -> StageGains:
    stage, start, treated, base, compared, notes = found.stage, found.start, found.treated, found.base, found.compared, found.notes
    own = treated.is_code == (stage.kind == "code")
    if base is None or not compared:
        return StageGains(
            own, None, (f"{stage.start} and {stage.treated} share no problem of {treated.benchmark}.",)
        )
    size = str(len(base.problem_ids))
    rows: list[list[Cell | str]] = [[start.label, "start", size, points(base.score), "", "", "", "", "", _seconds(run, stage.start)]]
    for one in compared:
        tone: Tone = "good" if one.gained else "bad" if one.gain_p < LEVEL else ""
        lead = ["", ""]
        if one.lead:
            lead = [
                signed(one.lead.difference),
                f"{between(*one.lead.ci95, sign=True)}, p {probability(one.lead_p)}" + _on(one.lead, one.gain),
            ]
        gain = f"{between(*one.gain.ci95, sign=True)}, p {probability(one.gain_p)}"
        change = Cell(signed(one.gain.difference), tone)
        here, there = on_common_problems(one.result, base), on_common_problems(base, one.result)
        rows.append([
            one.label, one.role, str(one.gain.problems), points(here.score), points(there.score), change, gain, *lead,
            _seconds(run, one.model),
        ])  # fmt: skip
    caption = f"{treated.label} on {treated.benchmark}, {found.grader} grader; scores on the problems shared with the start"
    header = ["checkpoint", "role", "problems", "score", f"{stage.start} there", f"gain over {stage.start}", "95 % interval, p"]
    header += [f"{stage.treated} minus this", "95 % interval, p", "training time (s)"]
    all_of_them = (start, treated, *found.controls)
    unfit = [f"{one.model}: {defect}" for one in all_of_them for defect in defects(one, base.grader) if "identical" not in defect]
    beware = [f"Beware: {'; '.join(unfit)}."] if unfit else []
    sentences = (*_sentences(run, stage, compared, treated.benchmark), *notes, *beware)
    return StageGains(own, table(caption, header, rows, {0, 1}), sentences, all_of_them)


def _on(lead: PairedComparison, gain: PairedComparison) -> str:
    """The number of problems, where it is not that of the row."""
    return "" if lead.problems == gain.problems else f" ({lead.problems} problems)"


def _compare(
    run: Run, stage: Stage, treated: Measurement, base: Scores, end: Scores
) -> tuple[list[Compared], list[str], list[Measurement]]:
    entries = [(stage.treated, treated.label, "GPPO", "", end)]
    notes, controls = [], []
    for model, role, meaning in stage.controls:
        measured = _measured(run, treated, model)
        result = scores(measured, end.grader) if measured else None
        if measured is None or result is None:
            notes.append(f"The {role} ({model}) was not measured on {treated.benchmark}: nothing is said against it.")
        else:
            entries.append((model, measured.label, role, meaning, result))
            controls.append(measured)
    gain = [paired(result, base) for *_, result in entries]
    lead = [paired(end, result) for *_, result in entries[1:]]
    if None in gain:
        return [], notes, []
    both = zip(entries, gain, [None, *lead], strict=True)
    return [Compared(*entry, up, ahead) for entry, up, ahead in both if up is not None], notes, controls


def _sentences(run: Run, stage: Stage, compared: list[Compared], benchmark: str) -> list[str]:
    treated = compared[0]
    up = treated.gain
    words = f"{signed(up.difference)} points, 95 % interval {between(*up.ci95, sign=True)}, p {probability(treated.gain_p)}"
    if treated.gained:
        said = [f"{stage.treated} scores above {stage.start} on {benchmark} ({words})."]
    elif treated.gain_p < LEVEL:
        said = [
            f"{stage.treated} scores below {stage.start} on {benchmark} ({words}): training made it worse."
        ]
    else:
        said = [
            f"This run does not show that {stage.treated} differs from {stage.start} on {benchmark} ({words})."
        ]
    for control in compared[1:]:
        said.append(_against(treated, control))
        said += _unequal_time(run, stage.treated, control)
    return said


def _against(treated: Compared, control: Compared) -> str:
    lead = control.lead
    assert lead is not None, "a control is compared with the treated checkpoint"
    words = f"difference {signed(lead.difference)} points, 95 % interval {between(*lead.ci95, sign=True)}, p {probability(control.lead_p)}"
    name = f"the {control.role} ({control.model})"
    if control.lead_p < LEVEL and lead.difference > 0:
        return f"{treated.model} ends above {name} ({words}), in this one training run of each."
    if control.lead_p < LEVEL:
        return f"{name[0].upper()}{name[1:]} ends above {treated.model} ({words}): {control.meaning}, rather the opposite."
    if treated.gained and control.gained:
        return f"{name[0].upper()}{name[1:]} gained too, and the difference is within noise ({words}): {control.meaning}."
    return f"{treated.model} and {name} cannot be told apart ({words}): {control.meaning}."


def _unequal_time(run: Run, treated: str, control: Compared) -> list[str]:
    if treated not in run.metrics or control.model not in run.metrics:
        return []
    ours, theirs = run.metrics[treated].seconds, run.metrics[control.model].seconds
    if not (math.isfinite(ours) and math.isfinite(theirs)) or ours <= 0 or 0.8 <= theirs / ours <= 1.25:
        return []
    return [f"Not the same time: {control.model} trained {theirs:.0f} s, {treated} {ours:.0f} s."]


def _seconds(run: Run, model: str) -> str:
    seconds = run.metrics[model].seconds if model in run.metrics else math.nan
    return f"{seconds:.0f}" if math.isfinite(seconds) else "unknown"


@dataclass(frozen=True)
class ClipShares:
    """Tokens outside the clip range, the only ones on which the losses differ."""

    table: Table | None
    sentences: tuple[str, ...]


def clip_shares(run: Run) -> ClipShares:
    """Shares of every RL run, in a table and in words for the runs that are no control."""
    rows: list[list[Cell | str]] = []
    said = []
    for name, metrics in run.metrics.items():
        low, high = metrics.column("clip_low"), metrics.column("clip_high")
        known = np.isfinite(low) & np.isfinite(high)
        without = (metrics.column("updates") > 0) | metrics.is_damaged("clip_low") | metrics.is_damaged("clip_high")
        damaged = int(np.count_nonzero(~known & without))
        but = f" (unknown in {counted(damaged, 'other step')})" if damaged else ""
        if not np.any(known):
            continue
        outside = (low + high)[known]
        values = (np.mean(low[known]), np.mean(high[known]), np.mean(outside), np.max(outside))
        rows.append([name, str(np.count_nonzero(known)), *(percent(float(value)) for value in values)])
        if name in CONTROLS:
            continue
        if np.any(outside > 0):
            said.append(
                f"In {name} {percent(float(np.mean(outside)))} of the tokens were outside the clip range (mean over "
                f"steps; {percent(float(np.max(outside)))} in the largest step): only there GPPO and clip differ{but}."
            )
        elif damaged:
            said.append(f"In {name} no token left the clip range in the {counted(int(known.sum()), 'step')} where that is known{but}.")
        else:
            said.append(
                f"In {name} no token left the clip range: GPPO and clip take the same steps there, and a difference "
                "between them is chance."
            )
    header = [
        "run",
        "steps with updates",
        "below 1 − ε_l",
        "above 1 + ε_h",
        "outside, mean",
        "outside, largest step",
    ]
    caption = "Share of tokens whose ratio is outside the clip range, mean over steps"
    return ClipShares(table(caption, header, rows) if rows else None, tuple(said))
