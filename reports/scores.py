"""Scores of one measurement under one grader: counts a problem, intervals, reasons, truncation.

The counts are what every comparison starts from (reports.statistics); the rest is what a reader needs to
judge a score: how many samples were expected, cut off, failed or identical to another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.estimators import avg_at_n, maj_curve, pass_at_k
from benchmarks.records import Grade, SampleKey
from benchmarks.strict.votes import joined_answer
from reports.measurements import BUDGET_ALONE, Measurement, Sample, protocol_fields
from reports.statistics import Interval, sampling_interval, superpopulation_interval
from reports.text import brief, counted

RIGHT = ("right",)
"""What all right answers of a problem are counted under in a vote; no answer's text is this."""
SANDBOX_FAILED = "IE"
"""The sandbox's verdict on a program that it could not judge."""
ENGINES_ROOM = "engine.max_model_len"
"""Prompt and response together; two sizes that both suffice make no difference to a text."""
BUDGETS = (8192, 16384, 32768, 65536)


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
    truncated: tuple[float, float]
    """Share of samples that ended at the length limit, or that a grader calls truncated: least and most, where some do not say."""
    partials: NDArray[np.float64]
    """Mean share of passed tests of each problem, in points; equals 100 times `rates` for maths."""
    place: NDArray[np.int64]
    """Of each sample: the place of its problem in `problem_ids`."""
    right: NDArray[np.bool_]
    """Of each sample: whether it is correct."""
    timed_out: NDArray[np.bool_]
    """Of each sample: whether it counts as wrong because the judge ran out of time."""
    tokens: NDArray[np.int64]
    """Of each sample: its tokens; 0 where they are not known."""
    answers: tuple[str | None, ...]
    """Of each sample: what the grader read as its answer."""

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


Measured = list[tuple[Measurement, dict[str, Scores]]]
"""Measurements of one benchmark with their scores by grader, the protocol's own judge first."""


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
    rows = [grade for _, grade in grades]
    problem = np.array([place[key.problem_id] for key, _ in grades], dtype=np.int64)
    right = np.array([row.correct for row in rows], dtype=np.bool_)
    samples = np.bincount(problem, minlength=len(names))
    partials = np.bincount(problem, [row.score for row in rows], len(names))
    stored = measurement.samples
    return Scores(
        grader=grader,
        problem_ids=tuple(names),
        correct=np.bincount(problem[right], minlength=len(names)),
        samples=samples,
        reasons=Counter(row.reason for row in rows),
        verdicts=Counter(row.verdict for row in rows if row.verdict is not None),
        truncated=_truncated(measurement, grades),
        partials=100 * partials / samples,
        place=problem,
        right=right,
        timed_out=np.array([row.reason == "judge time-out" for row in rows], dtype=np.bool_),
        tokens=np.array([row.token_count or (stored[key].tokens if key in stored else 0) for key, row in grades], dtype=np.int64),
        answers=tuple(row.extracted for row in rows),
    )


def _truncated(measurement: Measurement, grades: list[tuple[SampleKey, Grade]]) -> tuple[float, float]:
    """Least and largest share that may have been cut off.

    An end that nothing says is what `strict` takes it for, which knows it only where the protocol requires a closed thinking.
    """
    stored, strict = measurement.samples, measurement.grades.get("strict", {})
    known = measurement.evaluation is None or measurement.evaluation.protocol_field("thinking") != "auto"
    cut = unknown = 0
    for key, row in grades:
        ends = (row.finish_reason, stored[key].finish if key in stored else None)
        is_cut = "length" in ends or row.reason == "truncated" or (key in strict and strict[key].reason == "truncated")
        cut += is_cut
        unknown += not is_cut and not any(ends) and not (known and key in strict)
    return cut / len(grades), (cut + unknown) / len(grades)


def expected_problems(measurement: Measurement) -> tuple[str, ...]:
    """Problem ids that a complete evaluation has, as far as the manifest says."""
    return measurement.evaluation.problem_ids if measurement.evaluation else ()


def defects(measurement: Measurement, grader: str) -> list[str]:
    """What makes the samples unfit for a verdict: missing, failed, ungraded or identical ones."""
    found = measurement.conflicts[:1]
    if len(measurement.conflicts) > 1:
        found.append(f"{len(measurement.conflicts) - 1} more contradictions of that kind")
    graded = measurement.grades.get(grader, {})
    expected = measurement.evaluation.expected if measurement.evaluation else None
    if expected is not None and len(graded) < expected:
        found.append(f"{expected - len(graded)} of {counted(expected, 'sample')} missing or not graded")
    elif expected is None and len(graded) < len(measurement.samples):
        found.append(f"{counted(len(measurement.samples) - len(graded), 'sample')} not graded")
    if expected is not None and len(graded) > expected:
        found.append(f"{counted(len(graded) - expected, 'sample')} more than expected")
    prompts = {(key.problem_id, key.prompt_hash) for key in graded}
    if len(prompts) > len({name for name, _ in prompts}):
        found.append("samples of different prompts for the same problem")
    unstored = sum(key not in measurement.samples for key in graded)
    if unstored:
        found.append(f"{counted(unstored, 'graded sample')} whose text is not there")
    stored = [sample for key, sample in measurement.samples.items() if key in graded or expected is None]
    failed = {sample.key for sample in stored if sample.failed}
    failed |= {key for key, grade in graded.items() if grade.finish_reason == "error"}
    if failed:
        found.append(f"{counted(len(failed), 'generation')} failed")
    lost = sum(grade.verdict == SANDBOX_FAILED for grade in graded.values())
    if lost:
        found.append(f"{counted(lost, 'program')} without a verdict, because the sandbox failed")
    found += _unlike_settings(measurement, stored)
    texts = {(sample.key.problem_id, sample.text_hash) for sample in stored if not sample.failed}
    copies = sum(not sample.failed for sample in stored) - len(texts)
    if copies:
        found.append(f"{counted(copies, 'generation')} identical to another one of the same problem")
    return found


def _unlike_settings(measurement: Measurement, stored: Sequence[Sample]) -> list[str]:
    """What differs in what the samples were made with, or from what the manifest says of it."""
    made = []
    for name, shared in sorted({(sample.settings, sample.shared) for sample in stored if sample.settings}):
        fields = measurement.settings.get(name, {})
        made.append({field: value for field, value in fields.items() if not (shared and field in BUDGET_ALONE)})
    stated = protocol_fields(measurement.evaluation.protocol if measurement.evaluation else None)
    said = ["one of them cannot be read"] if len(made) > 1 and not all(made) else []
    rooms = [room for one in made if isinstance(room := one.pop(ENGINES_ROOM, None), int)]
    budget = stated.get("protocol.max_new_tokens")
    if rooms and isinstance(budget, int) and min(rooms) < budget:
        said.append(f"room for {min(rooms)} tokens, the manifest says that a response may have {budget}")
    for name in dict.fromkeys(name for one in made for name in one):
        values: list[Any] = []
        for one in made:
            if name in one and one[name] not in values:
                values.append(one[name])
        if len(values) > 1 or (name in stated and stated[name] not in values):
            manifest = f", the manifest says {brief(str(stated[name]))}" if name in stated and stated[name] not in values else ""
            shown = [*(brief(str(value)) for value in values[:3]), *(["others"] if len(values) > 3 else [])]
            said.append(f"{name} {' or '.join(shown)}{manifest}")
    more = [f"{len(said) - 5} more"] if len(said) > 5 else []
    return [f"samples made with {counted(len(made), 'setting')}: {', '.join([*said[:5], *more])}"] if said else []


def powers(largest: int) -> list[int]:
    """1, 2, 4, … and the largest itself."""
    return sorted({2**power for power in range(largest.bit_length()) if 2**power <= largest} | {largest})


def complete_problems(result: Scores) -> NDArray[np.bool_]:
    """Problems with at least as many samples as most problems have: what a curve over samples is drawn from."""
    numbers, often = np.unique(result.samples, return_counts=True)
    usual = numbers[len(numbers) - 1 - np.argmax(often[::-1])]
    complete: NDArray[np.bool_] = result.samples >= usual
    return complete


def pass_curve(result: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """k and pass@k in points over the complete problems, up to the samples that each of them has."""
    complete = complete_problems(result)
    correct, samples = result.correct[complete], result.samples[complete]
    ks = powers(int(samples.min()))
    return np.array(ks, dtype=np.float64), np.array([100 * pass_at_k(correct, samples, k) for k in ks])


def vote_curve(result: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """k and maj@k in points over the complete problems.

    Answers that the grader counts as right are one, the others are joined by value or normal form.
    """
    complete = complete_problems(result)
    ks = powers(int(result.samples[complete].min()))
    joined = {text: joined_answer(text) for text in {text for text in result.answers if text is not None}}
    answers: list[list[object]] = [[] for _ in result.problem_ids]
    grades: list[list[bool]] = [[] for _ in result.problem_ids]
    for problem, right, text in zip(result.place.tolist(), result.right.tolist(), result.answers, strict=True):
        answers[problem].append(RIGHT if right else None if text is None else joined[text])
        grades[problem].append(right)
    kept = np.flatnonzero(complete)
    curve = maj_curve([answers[i] for i in kept], [grades[i] for i in kept], ks)  # type: ignore[arg-type]
    return np.array(ks, dtype=np.float64), 100 * np.array(curve)


def budget_curve(result: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Token budgets and the score in points that these samples would have had under them; None where a right sample has no token count.

    A longer response would have been cut off and count as truncated.  Shorter ones are as they are: the tokens before
    the cut do not depend on the budget.
    """
    known = (result.tokens > 0) & (result.tokens < 2**31)
    if not known.any() or not known[result.right].all():  # those that are not right count nothing at any budget
        return None
    longest, shortest = int(result.tokens[known].max()), np.quantile(result.tokens[known], 0.01)
    budgets = np.unique(np.append(np.geomspace(max(1, shortest), longest, 48), [b for b in BUDGETS if b < longest]))
    weights = result.right / (result.samples[result.place] * len(result.problem_ids))
    order = np.argsort(result.tokens, kind="stable")
    reached = np.append(0.0, np.cumsum(weights[order]))
    return budgets, np.round(100 * reached[np.searchsorted(result.tokens[order], budgets, side="right")], 9)
