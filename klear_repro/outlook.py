"""What the verdict of an evaluation can say, before anything is measured: the published number, the power, what blocks it.

`reports.against_published` decides once the samples are there; the same rules are applied here to what is known before.
"""

from __future__ import annotations

import math
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.protocols import Protocol, load_protocol
from benchmarks.published import PublishedScore, load_published
from klear_repro.config import Config
from klear_repro.evaluate import Task
from klear_repro.names import STAND_INS
from reports.against_published import protocol_words
from reports.statistics import reproduction_verdict

EQUAL_SHARE = {"math": 0.45, "code": 0.28}
"""The noise of a score beside that of equally hard problems, as in docs/reports.md: the real problems are that unequal."""


def expected_power(row: PublishedScore, problems: int, samples: int, margin: float, kind: str) -> float:
    """Power of a run of this size before anything is measured (`reports.statistics.Verdict.power`).

    Problems are taken to be as unequal as the real ones (`EQUAL_SHARE`): some always right, some always wrong, the others alike.
    """
    rate = row.score / 100
    wanted = EQUAL_SHARE[kind] * problems * rate * (1 - rate)

    def off(shape: tuple[int, int]) -> float:
        right, between = shape
        share = (rate * problems - right) / between
        return abs(between * share * (1 - share) - wanted) if 0 <= share <= 1 else math.inf

    right, between = min(((right, between) for right in range(problems) for between in range(1, problems - right + 1)), key=off)
    left = min(max(round(rate * problems * samples) - right * samples, 0), between * samples)
    middle = [left // between + (place < left % between) for place in range(between)]
    counts = [samples] * right + middle + [0] * (problems - between - right)
    return reproduction_verdict(counts, samples, published=row.score, published_samples=row.samples or samples, margin=margin).power


def published_row(config: Config, label: str, task: Task) -> PublishedScore | None:
    """The published number that a run of this model is compared with: the one of the nearest budget; None: there is none."""
    published = load_published(_files(config))
    if task.benchmark not in published.targets or task.benchmark in STAND_INS:
        return None
    rows = [row for row in published.find(task.benchmark, label) if row.measured_by != "independent"]
    return min(rows, key=lambda row: (row.samples is None, abs(math.log(row.budget / task.protocol.max_new_tokens))), default=None)


def power_of(config: Config, task: Task, row: PublishedScore) -> float:
    """`expected_power` of a task against a published number."""
    margin = load_published(_files(config)).targets[task.benchmark].margin
    return expected_power(row, len(task.problems), task.protocol.samples, margin, task.problems[0].kind)


def doubts(config: Config, task: Task, row: PublishedScore) -> tuple[str, ...]:
    """What makes the verdict inconclusive whatever the samples say, as far as that is known before (`reports.against_published`)."""
    found = [f"other weights ({config.eval.note})"] if config.eval.note else []
    target = load_published(_files(config)).targets[task.benchmark]
    if len(task.problems) != target.problems:
        found.append(f"{len(task.problems)} of {target.problems} problems")
    if row.samples is None:
        found.append("nobody knows of how many samples the published number is")
    elif task.protocol.samples < row.samples:
        found.append(f"{task.protocol.samples} samples a problem, the published run had {row.samples}")
    theirs = _protocol(row, task)
    if theirs is None:
        found.append("the protocol of the published number is not known")
    elif words := protocol_words(task.protocol, theirs):
        found.append(f"other protocol: {', '.join(words[:3])}" + (" …" if len(words) > 3 else ""))
    return tuple(found)


def _protocol(row: PublishedScore, task: Task) -> Protocol | None:
    try:
        return load_protocol(row.protocol).for_benchmark(task.benchmark, task.problems[0].kind) if row.protocol else None
    except BenchmarkError:
        return None


def _files(config: Config) -> tuple[Path, ...]:
    return tuple(Path(path) for path in config.report.published)
