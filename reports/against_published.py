"""The run beside the published numbers (`benchmarks.published`), with a verdict where one can be given.

A verdict compares a measurement with the published row of the same model, benchmark and token budget.
Whatever makes the two runs incomparable is a blocker and forces "inconclusive" (reports.statistics); what the
numbers alone would say is shown beside it.  A stand-in run gets no verdict at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from benchmarks.errors import BenchmarkError
from benchmarks.protocols import Protocol, load_protocol, protocol_diff, protocol_names
from benchmarks.published import PublishedScore, built_in, model_key
from reports.blocks import Block, Bullets, Cell, Paragraph, Tone, between, percent, percent_range, points, signed, table
from reports.load import Run
from reports.measurements import Evaluation, Measurement
from reports.scores import Scores, defects, expected_problems, scores
from reports.statistics import Verdict, reproduction_verdict
from reports.text import brief, counted

TARGET = "Klear-Reasoner-8B"
UNKNOWN_BUDGET = 32_768
"""Where the manifest has no budget, the comparison is with the row of this many tokens."""
HEAVY_TRUNCATION = 0.25
"""Share of samples at the length limit above which a score says more of the budget than of the model."""
SHOWN = (("Klear-Reasoner-8B-SFT", "32K"), (TARGET, "32K"), (TARGET, "64K"))


@dataclass(frozen=True)
class Comparison:
    """One measurement against one published score, under one grader."""

    measurement: Measurement
    result: Scores
    row: PublishedScore
    verdict: Verdict

    @property
    def same_model(self) -> bool:
        """Whether the published score is this very model's, by its name."""
        return _same_model(self.measurement, self.row)

    @property
    def sentence(self) -> str:
        """The comparison in one sentence."""
        published = f"{points(self.row.score)} published for {self.row.model} at {self.row.length}"
        measured = f"{self.row.benchmark}, {self.result.grader} grader: {points(self.result.score)} measured"
        if not self.same_model:
            return f"{measured} for {self.measurement.label}, which has no published score ({published})."
        several = f" for {self.measurement.label}" if self.measurement.label != self.measurement.model else ""
        return f"{measured}{several}, {published}: {self.verdict.label}."


def comparable(run: Run, measurement: Measurement) -> bool:
    """Whether published numbers of this benchmark exist and the run is not a stand-in."""
    return run.manifest.stand_in is not True and measurement.benchmark in run.published.targets


def comparisons(run: Run) -> list[Comparison]:
    """Every graded measurement of a comparable benchmark, under each of its graders."""
    found = []
    for measurement in run.measurements:
        row = _published_row(run, measurement) if comparable(run, measurement) else None
        for grader in measurement.graders if row else []:
            result = scores(measurement, grader)
            if row is not None and result is not None:
                found.append(Comparison(measurement, result, row, _verdict(run, measurement, result, row)))
    return found


def _published_row(run: Run, measurement: Measurement) -> PublishedScore | None:
    """The row of the same model, else of the reproduction's target, else of any, whose budget is next to the measurement's."""
    find = run.published.find
    rows = [
        row
        for row in find(measurement.benchmark, measurement.model) or find(measurement.benchmark, TARGET) or find(measurement.benchmark)
        if row.measured_by != "independent"
    ]
    evaluation = measurement.evaluation
    budget = evaluation.protocol_field("max_new_tokens") if evaluation else None
    if budget is None:
        budget = _budget_of(measurement.protocol_name)
    wanted = budget if isinstance(budget, int) and 0 < budget < 2**40 else UNKNOWN_BUDGET
    ours = evaluation.protocol_name if evaluation else ""
    rows.sort(key=lambda row: (row.samples is None, abs(math.log(row.budget / wanted)), row.protocol != ours))
    return rows[0] if rows else None


def _budget_of(protocol: str) -> int | None:
    """Tokens of one of the project's protocols, where the manifest has nothing but its name."""
    return load_protocol(protocol).max_new_tokens if protocol in protocol_names() else None


def _verdict(run: Run, measurement: Measurement, result: Scores, row: PublishedScore) -> Verdict:
    def judged(correct: NDArray[np.int64], blockers: list[str]) -> Verdict:
        return reproduction_verdict(
            correct,
            result.samples,
            published=row.score,
            published_samples=row.samples or int(result.samples.max()),
            margin=run.published.targets[row.benchmark].margin,
            blockers=blockers,
        )

    blockers = _blockers(run, measurement, result, row)
    late = np.bincount(result.place[result.timed_out], minlength=len(result.problem_ids))
    if late.any():
        as_wrong, as_right = judged(result.correct, []), judged(result.correct + late, [])
        if _by_numbers(as_wrong) != _by_numbers(as_right):
            found = f"{counted(int(late.sum()), 'judge time-out')}, counted as wrong"
            blockers.append(f"{found}: if all were right the numbers would say {_by_numbers(as_right)}")
    return judged(result.correct, blockers)


def _blockers(run: Run, measurement: Measurement, result: Scores, row: PublishedScore) -> list[str]:
    found = list(run.doubts)
    if run.manifest.stand_in is None:
        found.append("the manifest does not say what the run is")
    if run.manifest.model_note:
        found.append(f"other weights ({run.manifest.model_note})")
    if row.samples is None:
        found.append("the published number does not say of how many samples it is")
    if not _same_model(measurement, row):
        found.append(f"other model (the published number is {row.model}'s)")
    found += _protocol_blockers(measurement.evaluation, row)
    judge = _published_judge(row)
    if judge and result.grader != judge and not measurement.is_code:
        found.append(f"other judge ({result.grader}; the published number's is {judge})")
    problems = run.published.targets[row.benchmark].problems
    if len(result.problem_ids) != problems:
        found.append(f"{len(result.problem_ids)} of the benchmark's {problems} problems")
    expected = set(expected_problems(measurement))
    if expected and expected != set(result.problem_ids):
        found.append(f"{counted(len(expected ^ set(result.problem_ids)), 'problem')} not both in the manifest and graded")
    if len(set(result.samples.tolist())) > 1:
        found.append("not the same number of samples for every problem")
    least, most = result.truncated
    if least > HEAVY_TRUNCATION:
        found.append(f"heavy truncation ({percent_range(least, most)} of the samples ended at the length limit)")
    elif most > HEAVY_TRUNCATION:
        found.append(f"nobody knows how {percent(most - least)} of the samples ended")
    return found + defects(measurement, result.grader)


def _published_judge(row: PublishedScore) -> str:
    """The first judge of the published number's protocol; empty where that is not known."""
    try:
        return load_protocol(row.protocol).judges[0] if row.protocol else ""
    except BenchmarkError:
        return ""


def _protocol_blockers(evaluation: Evaluation | None, row: PublishedScore) -> list[str]:
    ours = resolved_protocol(evaluation)
    if ours is None:
        return ["the run's protocol is unknown"]
    if row.protocol is None:
        return ["the protocol of the published number is not known"]
    try:
        kind: Literal["math", "code"] = "code" if "lcb" in row.benchmark else "math"
        theirs = load_protocol(row.protocol).for_benchmark(row.benchmark, kind)
    except BenchmarkError:
        return [f"the protocol of the published number, {row.protocol}, is not known here"]
    words = protocol_words(ours, theirs)
    return [f"other protocol than {row.protocol}: {', '.join(words)}"] if words else []


def resolved_protocol(evaluation: Evaluation | None) -> Protocol | None:
    """The protocol of an evaluation with every field; None where the manifest does not have it."""
    if evaluation is None or not isinstance(evaluation.protocol, Mapping):
        return None
    try:
        kind: Literal["math", "code"] = "code" if "lcb" in evaluation.benchmark else "math"
        return Protocol.model_validate(evaluation.protocol).for_benchmark(evaluation.benchmark, kind)
    except (ValidationError, BenchmarkError):
        return None


def protocol_words(ours: Protocol, theirs: Protocol) -> list[str]:
    """What differs between two protocols, but for the number of samples and the judges, which have reasons of their own."""
    return [
        f"{field} {_plain(mine)} instead of {_plain(other)}"
        for field, (mine, other) in sorted(protocol_diff(ours, theirs).items())
        if field not in ("samples", "judges")
    ]


def _same_model(measurement: Measurement, row: PublishedScore) -> bool:
    return model_key(row.model) == model_key(measurement.model)


def _plain(value: object) -> str:
    return brief("none" if value is None else repr(value) if isinstance(value, str) else str(value))


def published_blocks(run: Run) -> list[Block]:
    """The section on published numbers: verdicts, then the numbers themselves."""
    found = comparisons(run)
    if run.manifest.stand_in:
        first: list[Block] = [
            Paragraph(
                "This is a stand-in run: none of its scores may be compared with a published number. The table "
                "shows what a run on the real benchmarks would be compared with.", note=True
            )
        ]  # fmt: skip
    elif not found:
        first = [Paragraph("No benchmark with published numbers was measured and graded in this run.")]
    else:
        first = [verdict_table(run, found), *explanations(found)]
    return [*first, _published_table(run, found), *_contradictions(run)]


def verdict_table(run: Run, found: list[Comparison]) -> Block:
    """Every comparison in a row, with the verdict and what the numbers alone would say."""
    rows: list[list[Cell | str]] = []
    for one in found:
        verdict = one.verdict
        rows.append(
            [
                one.row.benchmark,
                one.measurement.row_label,
                one.measurement.protocol_name,
                one.result.grader,
                f"{points(one.result.score)} (avg@{int(np.max(one.result.samples))})",
                percent_range(*one.result.truncated),
                f"{points(one.row.score)} ({one.row.length}{f', avg@{one.row.samples}' if one.row.samples else ''})",
                f"{signed(verdict.difference)} ({between(*verdict.ci90, sign=True)})",
                Cell(_label(verdict.label, verdict), _tone(verdict)),
                _by_numbers(verdict),
            ]
        )
    header = ["benchmark", "model", "protocol", "grader", "measured", "truncated", "published", "difference (90 %)", "verdict"]
    return table(f"Measured against published, in points ({_margins(run, found)})", [*header, "without blockers"], rows, {0, 1, 2, 3, 8, 9})


def _margins(run: Run, found: list[Comparison]) -> str:
    """The margins of what is compared: the project's own, and those of a user's file."""
    names = list(dict.fromkeys(one.row.benchmark for one in found))
    own = built_in().targets
    margins = {name: run.published.targets[name].margin for name in names}
    resized = [
        f"{name} {run.published.targets[name].problems} instead of the project's {own[name].problems}"
        for name in names
        if name in own and run.published.targets[name].problems != own[name].problems
    ]
    fixed = [f"{name} {margins[name]}" for name in names if name in own and margins[name] == own[name].margin]
    others = [
        f"{name} {margins[name]}" + (f" instead of the project's {own[name].margin}" if name in own else "")
        for name in names
        if name not in own or margins[name] != own[name].margin
    ]
    said = [f"margins, fixed beforehand: {', '.join(fixed)}"] if fixed else []
    said += [f"margins of a file of published numbers beside the project's: {', '.join(others)}"] if others else []
    said += [f"problems of such a file: {', '.join(resized)}"] if resized else []
    return "; ".join(said)


def _by_numbers(verdict: Verdict) -> str:
    """What the numbers alone say, the reserve included."""
    return "inconclusive" if verdict.near_margin else _label(verdict.unblocked_label, verdict)


def _label(label: str, verdict: Verdict) -> str:
    return f"{label} ({verdict.direction})" if label == "not reproduced" and verdict.direction else label


def _tone(verdict: Verdict) -> Tone:
    tones: dict[str, Tone] = {"reproduced": "good", "not reproduced": "bad"}
    return tones.get(verdict.label, "muted")


def explanations(found: list[Comparison]) -> list[Block]:
    """Why each verdict is what it is, and what a verdict of this size can show."""
    blocks: list[Block] = []
    for one in found:
        verdict = one.verdict
        name = f"{one.measurement.label} on {one.row.benchmark}, {one.result.grader} grader"
        if verdict.blockers:
            why = "cannot get a verdict of its own because of" if verdict.incomparable else "is not called reproduced because of"
            blocks += [Paragraph(f"{name}, {why}:"), Bullets(verdict.blockers)]
        words = f"{name}: " if not verdict.blockers else ""
        if verdict.unblocked_label == "inconclusive" or verdict.near_margin:
            words += _what_would_decide(verdict, one.row) + " "
        words += (
            f"A perfect reproduction of this size would be called reproduced with probability {verdict.power:.2f}; the smallest true "
            f"difference that it would call not reproduced in four runs of five is {points(verdict.detectable)} points."
        )
        blocks.append(Paragraph(words))
    return blocks


def _what_would_decide(verdict: Verdict, row: PublishedScore) -> str:
    if verdict.samples_needed is None:
        own = f"own {row.samples} samples a problem" if row.samples else "own samples"
        return f"More samples alone would not settle the numbers at this difference: the noise of the published run's {own} stays."
    return f"At this difference the numbers would decide with {verdict.samples_needed} samples a problem."


def _published_table(run: Run, found: list[Comparison]) -> Block:
    """What the target, the measured models and a user's files have, and the run's measurement that is nearest to being comparable."""
    measured: dict[tuple[str, str, str], Comparison] = {}
    for one in found:
        key = (model_key(one.row.model), one.row.length, one.row.benchmark)
        if one.same_model and (key not in measured or one.verdict.incomparable < measured[key].verdict.incomparable):
            measured[key] = one
    missing = "not measured: stand-in run" if run.manifest.stand_in else "not measured"
    others = [(row.model, row.length) for row in run.published.scores if row not in built_in().scores]
    others += [(one.row.model, one.row.length) for one in found if one.same_model]
    shown = dict.fromkeys((model_key(model), length) for model, length in [*SHOWN, *others])
    rows: list[list[Cell | str]] = []
    for model, length in shown:
        for benchmark in run.published.targets:
            for row in run.published.find(benchmark, model, length):
                if row.measured_by == "independent":
                    continue
                here = measured.get((model, length, benchmark))
                tries = run.published.find(benchmark, model, length, "independent")
                other = ", ".join(points(one.score) for one in tries) or "–"
                cell = Cell(_measured_here(here)) if here else Cell(missing, "muted")
                said = f"{points(row.score)} (avg@{row.samples})" if row.samples else points(row.score)
                rows.append([row.model, length, benchmark, said, other, cell, row.source])
    header = ["model", "budget", "benchmark", "published", "independent attempt", "this run", "source"]
    caption = "Published numbers, pass@1 in percent (P: arXiv 2508.07629; the independent attempt used another protocol)"
    return table(caption, header, rows, {0, 1, 2, 5, 6})


def _measured_here(one: Comparison) -> str:
    unlike = "; not comparable, see above" if one.verdict.incomparable else ""
    return f"{points(one.result.score)} ({one.result.grader}{_other_budget(one)}{unlike})"


def _other_budget(one: Comparison) -> str:
    """What to say where the run's token budget is not the published one's."""
    evaluation = one.measurement.evaluation
    budget = evaluation.protocol_field("max_new_tokens") if evaluation else None
    if budget == one.row.budget:
        return ""
    return f"; budget {budget:,} tokens" if isinstance(budget, int) else "; budget unknown"


def _contradictions(run: Run) -> list[Block]:
    said = [
        f"The paper gives {row.model} on {row.benchmark} at {row.length} as "
        + " and ".join(
            f"{points(score)} ({where})" for score, where in zip(row.scores, row.where, strict=True)
        )
        + f"; {points(row.used)} is used here."
        for row in run.published.contradictions
    ]
    return [Bullets(tuple(said))] if said else []
