"""The run beside the published numbers (`benchmarks.published`), with a verdict where one can be given.

A verdict compares a measurement with the published row of the same model, benchmark and token budget; a measurement of a model without
published numbers is set against none, and one whose budget nobody knows is shown beside every row of its model without a verdict.
Whatever makes the two runs incomparable is a blocker and forces "inconclusive" (reports.statistics); what the
numbers alone would say is shown beside it.  A stand-in run gets no verdict at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from benchmarks.errors import BenchmarkError
from benchmarks.protocols import Protocol, load_protocol, protocol_diff, protocol_names
from benchmarks.published import PublishedScore, built_in, model_key
from benchmarks.traces import is_from_file
from reports.blocks import Block, Bullets, Cell, Paragraph, Tone, between, percent, percent_range, points, signed, table
from reports.engines import engine_blockers
from reports.load import Run
from reports.measurements import Evaluation, Measurement, of_programs
from reports.scores import Scores, defects, expected_problems, scores
from reports.statistics import Verdict, reproduction_verdict
from reports.text import brief, counted

TARGET = "Klear-Reasoner-8B"
HEAVY_TRUNCATION = 0.25
"""Share of samples at the length limit above which a score says more of the budget than of the model."""
SHOWN = (("Klear-Reasoner-8B-SFT", "32K"), (TARGET, "32K"), (TARGET, "64K"))
NONE_KNOWN = (
    "This project knows no published number of a model on a benchmark that was measured here; report.published adds numbers that you know."
)


@dataclass(frozen=True)
class Comparison:
    """One measurement against the published score of its model, under one grader."""

    measurement: Measurement
    result: Scores
    row: PublishedScore
    verdict: Verdict
    independent: tuple[PublishedScore, ...] = ()
    """What others measured under the measurement's own protocol."""

    @property
    def sentence(self) -> str:
        """The comparison in one sentence."""
        published = f"{points(self.row.score)} published for {self.row.model} at {self.row.length}"
        others = "".join(f" Measured by others under the same protocol: {independent_words(one)}." for one in self.independent)
        return f"{_measured(self.measurement, self.result)}, {published}: {self.verdict.label}.{others}"


@dataclass(frozen=True)
class Unjudged:
    """One measurement of a model with published scores whose token budget nobody knows: which of them it is to be compared with neither."""

    measurement: Measurement
    result: Scores
    rows: tuple[PublishedScore, ...]

    @property
    def published(self) -> str:
        """The published scores with their budgets."""
        return ", ".join(f"{points(row.score)} ({row.length})" for row in self.rows)

    @property
    def sentence(self) -> str:
        """What is known, in one sentence."""
        return f"{_measured(self.measurement, self.result)}; published {self.published}; not judged, because the token budget is unknown."


def _measured(measurement: Measurement, result: Scores) -> str:
    several = f" for {measurement.label}" if measurement.label != measurement.model else ""
    return f"{measurement.benchmark}, {result.grader} grader: {points(result.score)} measured{several}"


def independent_words(row: PublishedScore) -> str:
    """An independent score with its source."""
    return f"{points(row.score)} ({row.source})"


def comparable(run: Run, measurement: Measurement) -> bool:
    """Whether published numbers of this benchmark exist, the run is not a stand-in, and the answers are the benchmark's."""
    own = is_from_file(measurement.benchmark) or (measurement.evaluation is not None and measurement.evaluation.gold == "file")
    return run.manifest.stand_in is not True and measurement.benchmark in run.published.targets and not own


def comparisons(run: Run) -> list[Comparison]:
    """Every graded measurement whose model has a published score on its benchmark and whose budget is known, under each of its graders."""
    found = []
    for measurement in run.measurements:
        rows, budget = _published_rows(run, measurement), _budget(measurement)
        if not rows or budget is None:
            continue
        protocol = measurement.protocol_name
        row = min(rows, key=lambda row: (row.samples is None, abs(math.log(row.budget / budget)), row.protocol != protocol))
        others = _independent(run, measurement, row)
        for grader in measurement.graders:
            result = scores(measurement, grader)
            if result is not None:
                found.append(Comparison(measurement, result, row, _verdict(run, measurement, result, row), others))
    return found


def unjudged(run: Run) -> list[Unjudged]:
    """Every graded measurement whose model has published scores on its benchmark and whose budget nobody knows."""
    found = []
    for measurement in run.measurements:
        rows = _published_rows(run, measurement)
        if rows and _budget(measurement) is None:
            results = [scores(measurement, grader) for grader in measurement.graders]
            found += [Unjudged(measurement, result, tuple(rows)) for result in results if result is not None]
    return found


def _published_rows(run: Run, measurement: Measurement) -> list[PublishedScore]:
    """The scores that the measured model's authors, or the paper's, published on this benchmark; no other model's."""
    if not comparable(run, measurement):
        return []
    return [row for row in run.published.find(measurement.benchmark, measurement.model) if row.measured_by != "independent"]


def _independent(run: Run, measurement: Measurement, row: PublishedScore) -> tuple[PublishedScore, ...]:
    """What others measured of the same model with the same budget, under a protocol that differs in nothing from the measurement's."""
    ours = resolved_protocol(measurement.evaluation)
    found = run.published.find(measurement.benchmark, measurement.model, row.length, "independent")
    return tuple(one for one in found if ours is not None and one.protocol and _is_same(ours, one))


def _is_same(ours: Protocol, row: PublishedScore) -> bool:
    theirs = _protocol_of(row)
    return theirs is not None and not protocol_words(ours, theirs)


def _budget(measurement: Measurement) -> int | None:
    """Tokens that a response could have; None where nobody knows."""
    evaluation = measurement.evaluation
    budget = evaluation.protocol_field("max_new_tokens") if evaluation else None
    if budget is None:
        budget = _budget_of(measurement.protocol_name)
    return budget if isinstance(budget, int) and not isinstance(budget, bool) and 0 < budget < 2**40 else None


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
    if measurement.evaluation and measurement.evaluation.skipped:
        found.append(f"{counted(measurement.evaluation.skipped, 'row')} of the imported files left out")
    if measurement.evaluation and measurement.evaluation.uses_tools:
        tools = f"{measurement.evaluation.tools:,} of the imported responses"
        found.append(f"{tools} contain executed code with its output, or calls of a tool")
    found += _protocol_blockers(measurement.evaluation, row)
    found += engine_blockers(measurement, resolved_protocol(measurement.evaluation), _protocol_of(row))
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
    theirs = _protocol_of(row)
    if theirs is None:
        return [f"the protocol of the published number, {row.protocol}, is not known here"]
    words = protocol_words(ours, theirs)
    return [f"other protocol than {row.protocol}: {', '.join(words)}"] if words else []


def _protocol_of(row: PublishedScore) -> Protocol | None:
    """The protocol that a published row names; None where the project has none of that name."""
    try:
        kind: Literal["math", "code"] = "code" if of_programs(row.benchmark) else "math"
        return load_protocol(row.protocol).for_benchmark(row.benchmark, kind) if row.protocol else None
    except BenchmarkError:
        return None


def resolved_protocol(evaluation: Evaluation | None) -> Protocol | None:
    """The protocol of an evaluation with every field; None where the manifest does not have it."""
    if evaluation is None or not isinstance(evaluation.protocol, Mapping):
        return None
    try:
        kind: Literal["math", "code"] = "code" if of_programs(evaluation.benchmark) else "math"
        return Protocol.model_validate(evaluation.protocol).for_benchmark(evaluation.benchmark, kind)
    except (ValidationError, BenchmarkError):
        return None


def protocol_words(ours: Protocol, theirs: Protocol) -> list[str]:
    """What differs between two protocols, but for samples, judges, and `off` against `model`, which have reasons of their own."""
    return [
        f"{field} {_plain(mine)} instead of {_plain(other)}"
        for field, (mine, other) in sorted(protocol_diff(ours, theirs).items())
        if field not in ("samples", "judges") and not (field == "context" and ours.rope is None and theirs.rope is None)
    ]


def _plain(value: object) -> str:
    return brief("none" if value is None else repr(value) if isinstance(value, str) else str(value))


def published_blocks(run: Run) -> list[Block]:
    """The section on published numbers: verdicts, then the numbers themselves."""
    found, unknown = comparisons(run), unjudged(run)
    if run.manifest.stand_in:
        first: list[Block] = [
            Paragraph(
                "This is a stand-in run: none of its scores may be compared with a published number. The table "
                "shows what a run on the real benchmarks would be compared with.", note=True
            )
        ]  # fmt: skip
    elif not found and not unknown:
        first = [Paragraph(NONE_KNOWN)]
    else:
        first = [verdict_table(run, found, unknown), *explanations(found, unknown)]
    shown = _published_table(run, found, unknown)
    return [*first, *([shown, *_contradictions(run)] if shown else [])]


def verdict_table(run: Run, found: list[Comparison], unknown: list[Unjudged]) -> Block:
    """Every comparison in a row, with the verdict and what the numbers alone would say; then what is not judged."""
    rows: list[list[Cell | str]] = []
    for one in found:
        verdict = one.verdict
        rows.append(
            [
                *_row_start(one.measurement, one.result),
                f"{points(one.row.score)} ({one.row.length}{f', avg@{one.row.samples}' if one.row.samples else ''})",
                ", ".join(map(independent_words, one.independent)) or "–",
                f"{signed(verdict.difference)} ({between(*verdict.ci90, sign=True)})",
                Cell(_label(verdict.label, verdict), _tone(verdict)),
                _by_numbers(verdict),
            ]
        )
    rows += [[*_row_start(one.measurement, one.result), one.published, "–", "–", Cell("not judged", "muted"), "–"] for one in unknown]
    header = ["benchmark", "model", "protocol", "grader", "measured", "truncated", "published", "by others, same protocol"]
    header += ["difference (90 %)", "verdict", "without blockers"]
    margins = _margins(run, [*(one.row.benchmark for one in found), *(one.measurement.benchmark for one in unknown)])
    return table(f"Measured against published, in points ({margins})", header, rows, {0, 1, 2, 3, 7, 9, 10})


def _row_start(measurement: Measurement, result: Scores) -> list[Cell | str]:
    return [
        measurement.benchmark, measurement.row_label, measurement.protocol_name, result.grader,
        f"{points(result.score)} (avg@{int(np.max(result.samples))})", percent_range(*result.truncated),
    ]  # fmt: skip


def _margins(run: Run, benchmarks: Sequence[str]) -> str:
    """The margins of what is compared: the project's own, and those of a user's file."""
    names = list(dict.fromkeys(benchmarks))
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


def explanations(found: list[Comparison], unknown: list[Unjudged]) -> list[Block]:
    """Why each verdict is what it is, and what a verdict of this size can show; why there is none."""
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
    for measurement in {id(one.measurement): one.measurement for one in unknown}.values():
        say = " An import says it with --protocol." if measurement.engine_name == "imported" else ""
        blocks.append(Paragraph(
            f"{measurement.label} on {measurement.benchmark} is not judged: nobody knows the token budget of its samples, and so not "
            f"which published number is of the same.{say}"
        ))  # fmt: skip
    return blocks


def _what_would_decide(verdict: Verdict, row: PublishedScore) -> str:
    if verdict.samples_needed is None:
        own = f"own {row.samples} samples a problem" if row.samples else "own samples"
        return f"More samples alone would not settle the numbers at this difference: the noise of the published run's {own} stays."
    return f"At this difference the numbers would decide with {verdict.samples_needed} samples a problem."


def _published_table(run: Run, found: list[Comparison], unknown: list[Unjudged]) -> Block | None:
    """What the measured models and a user's files have, and the run's measurement that is nearest to being comparable.

    The numbers of the reproduction's own models are shown where one of them was measured, or nothing real was.
    """
    measured: dict[tuple[str, str, str], Comparison] = {}
    for one in found:
        key = (model_key(one.row.model), one.row.length, one.row.benchmark)
        if key not in measured or one.verdict.incomparable < measured[key].verdict.incomparable:
            measured[key] = one
    beside = {(model_key(row.model), row.length, row.benchmark): one for one in reversed(unknown) for row in one.rows}
    missing = "not measured: stand-in run" if run.manifest.stand_in else "not measured"
    models = {model_key(one.model) for one in run.measurements}
    targets = SHOWN if run.manifest.stand_in or not models or models & {model_key(model) for model, _ in SHOWN} else ()
    others = [(row.model, row.length) for row in run.published.scores if row not in built_in().scores]
    others += [(one.row.model, one.row.length) for one in found] + [(row.model, row.length) for one in unknown for row in one.rows]
    shown = dict.fromkeys((model_key(model), length) for model, length in [*targets, *others])
    rows: list[list[Cell | str]] = []
    for model, length in shown:
        for benchmark in run.published.targets:
            for row in run.published.find(benchmark, model, length):
                if row.measured_by == "independent":
                    continue
                here, near = measured.get((model, length, benchmark)), beside.get((model, length, benchmark))
                tries = run.published.find(benchmark, model, length, "independent")
                other = ", ".join(points(one.score) for one in tries) or "–"
                words = _measured_here(here) if here else f"{points(near.result.score)} ({near.result.grader}; not judged)" if near else ""
                said = f"{points(row.score)} (avg@{row.samples})" if row.samples else points(row.score)
                rows.append([row.model, length, benchmark, said, other, words or Cell(missing, "muted"), row.source])
    if not rows:
        return None
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
