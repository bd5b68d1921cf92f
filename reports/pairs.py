"""Measurements side by side: checkpoints on the same problems, and one checkpoint under two protocols.

Within each benchmark everything is compared with the first measurement of the same protocol, with the first of the same name under it
(another run's checkpoint of the same stage), and with the first of the same checkpoint under another protocol; where there is none of
them, with the first that it shares problems with.  p-values are adjusted for all
comparisons of the report together (Holm).  A comparison of different protocols says which fields differ: it shows what the
protocols make of the same problems, and says nothing of the checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.against_published import protocol_words, resolved_protocol
from reports.blocks import Block, Bullets, Cell, Paragraph, Tone, between, points, probability, signed, table
from reports.measurements import Measurement
from reports.scores import Scores, defects, scores
from reports.statistics import PairedComparison, holm, paired_comparison

LEVEL = 0.05


@dataclass(frozen=True)
class Entry:
    """One graded measurement under a name that is its own in the report."""

    name: str
    measurement: Measurement


@dataclass(frozen=True)
class Pair:
    """Second minus first, on the problems that both have."""

    first: Entry
    second: Entry
    scores: tuple[Scores, Scores]
    compared: PairedComparison
    protocol: tuple[str, ...] | None
    """What differs in the protocols, as "field second instead of first"; None where one of them is unknown."""

    @property
    def same_model(self) -> bool:
        """Whether both are of the same weights."""
        one, two = self.first.measurement, self.second.measurement
        return (one.model, one.revision) == (two.model, two.revision)


def pairs(entries: Sequence[Entry]) -> list[Pair]:
    """Every entry against those before it on its benchmark that say most; they share a grader and a problem with it."""
    found = []
    for benchmark in dict.fromkeys(entry.measurement.benchmark for entry in entries):
        of = [entry for entry in entries if entry.measurement.benchmark == benchmark]
        for place, second in enumerate(of):
            made = [pair for first in of[:place] if (pair := _pair(first, second)) is not None]
            alike = [pair for pair in made if pair.protocol == ()]
            named = [pair for pair in alike if pair.first.measurement.model == second.measurement.model]
            crossed = [pair for pair in made if pair.protocol != () and pair.same_model]
            chosen = [*alike[:1], *(pair for pair in named[:1] if pair is not alike[0]), *crossed[:1]]
            found += chosen or made[:1]
    return found


def comparable(first: Entry, second: Entry) -> bool:
    """Whether two entries share a benchmark, a grader and a problem."""
    one, two = first.measurement, second.measurement
    if one.benchmark != two.benchmark:
        return False
    shared = one.grades.keys() & two.grades.keys()
    return any({key.problem_id for key in one.grades[name]} & {key.problem_id for key in two.grades[name]} for name in shared)


def _pair(first: Entry, second: Entry) -> Pair | None:
    grader = next((name for name in first.measurement.graders if name in second.measurement.grades), None)
    if grader is None:
        return None
    one, two = scores(first.measurement, grader), scores(second.measurement, grader)
    if one is None or two is None:
        return None
    compared = paired(two, one)
    one, two = on_common_problems(one, two), on_common_problems(two, one)
    ours, theirs = resolved_protocol(second.measurement.evaluation), resolved_protocol(first.measurement.evaluation)
    differs = tuple(protocol_words(ours, theirs)) if ours and theirs else None
    return Pair(first, second, (one, two), compared, differs) if compared else None


def on_common_problems(result: Scores, other: Scores) -> Scores:
    """The scores on the problems that both have, so that what stands beside a difference adds up to it."""
    both = set(result.problem_ids) & set(other.problem_ids)
    kept = np.array([name in both for name in result.problem_ids])
    if kept.all() or not kept.any():
        return result
    names = tuple(name for name in result.problem_ids if name in both)
    return replace(result, problem_ids=names, correct=result.correct[kept], samples=result.samples[kept])


def paired(first: Scores, second: Scores) -> PairedComparison | None:
    """First minus second on the problems that both have; None when there are none."""
    ours = dict(zip(first.problem_ids, first.rates, strict=True))
    theirs = dict(zip(second.problem_ids, second.rates, strict=True))
    both = [name for name in first.problem_ids if name in theirs]
    if not both:
        return None
    return paired_comparison(np.array([ours[name] for name in both]), np.array([theirs[name] for name in both]))


def pair_blocks(entries: Sequence[Entry], elsewhere: Sequence[Sequence[Measurement]] = ()) -> list[Block]:
    """A table of all pairs and a sentence for each; empty when there is nothing to compare.

    Pairs of two measurements of one group of `elsewhere` are left out: they are compared there.
    """
    groups = [{id(one) for one in group} for group in elsewhere]
    both = [(pair, {id(pair.first.measurement), id(pair.second.measurement)}) for pair in pairs(entries)]
    found = [pair for pair, ids in both if not any(ids <= group for group in groups)]
    if not found:
        return []
    adjusted = [float(value) for value in holm([pair.compared.p_value for pair in found])]
    rows = [_row(pair, p) for pair, p in zip(found, adjusted, strict=True)]
    header = ["benchmark", "grader", "first", "second", "first scores", "second scores", "second − first", "95 %"]
    header += ["p (Holm)", "problems", "kind"]
    intro = (
        "Differences are taken problem by problem on the problems that both have, in points, with Student's t interval over problems; "
        "p is a sign-flip permutation test, corrected for all comparisons of this table (Holm). The intervals cover problems and "
        "sampling, not training seeds."
    )
    said = tuple(_sentence(pair, p) for pair, p in zip(found, adjusted, strict=True))
    return [Paragraph(intro), table("Compared on the same problems", header, rows, {0, 1, 2, 3, 10}), Bullets(said)]


def _row(pair: Pair, p: float) -> list[Cell | str]:
    compared = pair.compared
    tone: Tone = "" if p >= LEVEL else "good" if compared.difference > 0 else "bad"
    one, two = pair.scores
    return [
        pair.first.measurement.benchmark, one.grader, pair.first.name, pair.second.name, points(one.score), points(two.score),
        Cell(signed(compared.difference), tone), between(*compared.ci95, sign=True), probability(p), str(compared.problems), _kind(pair),
    ]  # fmt: skip


def _kind(pair: Pair) -> str:
    if pair.protocol is None:
        return "protocol unknown"
    if not pair.protocol:
        return "same checkpoint, same protocol" if pair.same_model else "checkpoints"
    return "protocols" if pair.same_model else "checkpoints under different protocols"


def _sentence(pair: Pair, p: float) -> str:
    compared = pair.compared
    words = f"{signed(compared.difference)} points, 95 % interval {between(*compared.ci95, sign=True)}, p {probability(p)}"
    side = "above" if compared.difference > 0 else "below"
    where = f"on {pair.first.measurement.benchmark}"
    if p < LEVEL:
        said = f"{pair.second.name} scores {side} {pair.first.name} {where} ({words})."
    else:
        said = f"{pair.second.name} and {pair.first.name} cannot be told apart {where} ({words})."
    if pair.protocol is None:
        said += " The protocol of one of them is unknown: the difference may be the protocol's."
    elif pair.protocol and not pair.same_model:
        said += f" Their protocols differ ({', '.join(pair.protocol)}): the difference may be the protocol's."
    elif pair.protocol:
        said += f" The protocols differ in {', '.join(pair.protocol)}."
    engines = [pair.first.measurement.engine_name, pair.second.measurement.engine_name]
    if engines[0] != engines[1]:
        said += f" Their engines differ ({engines[1]} instead of {engines[0]})."
    unfit = list(dict.fromkeys(
        f"{entry.name}: {defect}" for entry, result in zip((pair.first, pair.second), pair.scores, strict=True)
        for defect in defects(entry.measurement, result.grader)
    ))  # fmt: skip
    return said + (f" Beware: {'; '.join(unfit)}." if unfit else "")
