"""What an evaluation is going to do, read from its configuration and from the samples that are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.records import Generation, SampleKey, read_generations
from klear_repro.config import Config
from klear_repro.evaluate import Task, make_task, store_path
from klear_repro.forecast import Work
from klear_repro.models import ModelSource
from klear_repro.outlook import doubts, power_of, published_row
from klear_repro.sections import EvalConfig

ENOUGH = 4
"""Stored samples from which the length of the next ones is expected."""
RECENT = 256
"""Stored samples, the last ones, that the speed is read from."""
MANY = 16
"""Stored samples from which the speed is read: those of a canary alone had the machine to themselves."""

Models = Mapping[str, tuple[ModelSource, tuple[str, ...]]]
"""Label → (model, benchmarks that it is evaluated on)."""


@dataclass(frozen=True)
class Planned:
    """One task of one model, with the samples of this model and benchmark that are there, of whatever protocol."""

    label: str
    source: ModelSource
    task: Task
    rows: tuple[Generation, ...]
    seed: int
    anew: bool = False
    """Whether they will be made again."""

    @cached_property
    def total(self) -> int:
        """Samples of the task."""
        return len(self.task.problems) * self.task.protocol.samples

    @cached_property
    def own(self) -> tuple[Generation, ...]:
        """The stored samples of this very task, as far as that is known before prompts are rendered; none if they are made again."""
        if self.anew:
            return ()
        wanted, ids = self.task.protocol.sampling_hash(self.seed), set(self.task.by_id)
        return tuple(
            row for row in self.rows
            if row.revision == self.source.revision and row.sampling_hash == wanted and row.problem_id in ids
            and row.sample_index < self.task.protocol.samples
        )  # fmt: skip

    @cached_property
    def waits(self) -> bool:
        """Whether anything is to be made, as far as that is known before prompts are rendered."""
        return len({(row.problem_id, row.sample_index) for row in self.own}) < self.total

    def each(self) -> tuple[float | None, int]:
        """Mean new tokens of a stored sample, of this task or else of another protocol, and of how many; None: too few are there."""
        for rows in (self.own, self.rows):
            counts = [row.token_count for row in rows if row.token_count]
            if len(counts) >= ENOUGH:
                return sum(counts) / len(counts), len(counts)
        return None, 0

    def speed(self) -> float | None:
        """New tokens a second of one stored sample beside others; None: too few are there."""
        made = [row for row in self.rows if row.seconds and row.token_count and not row.shared_from][-RECENT:]
        return sum(row.token_count for row in made) / sum(row.seconds for row in made) if len(made) >= MANY else None


def plan(config: Config, path: Path, models: Models, *, anew: bool = False) -> list[Planned]:
    """Every task of every model, problems loaded; `anew`: samples that are there will be made again.

    Raises:
        UserError: problems that cannot be had.
    """
    settings, tasks, planned = config.eval, dict[tuple[str, tuple[str, ...]], list[Task]](), []
    for label, (source, on) in models.items():
        for benchmark in on:
            wanted = benchmark, settings.measured(label)
            if wanted not in tasks:
                tasks[wanted] = _tasks(settings, *wanted, path / "data")
            file = store_path(path, benchmark, label)
            rows = tuple(read_generations(file)[0]) if file.is_file() else ()
            planned += [Planned(label, source, task, rows, config.runtime.seed, anew) for task in tasks[wanted]]
    return planned


def _tasks(config: EvalConfig, benchmark: str, protocols: Sequence[str], data: Path) -> list[Task]:
    """The task of a benchmark and those of an attribution (`EvalConfig.measured`); those that share all samples once."""
    found = [make_task(config, benchmark, data, name, tests=False) for name in protocols]
    if len(found) >= 2:
        from klear_repro.attribution import variants

        *found, start, end = found
        between = (one.protocol.model_copy(update={"samples": start.protocol.samples}) for one in variants(start.protocol, end.protocol))
        found += [Task(benchmark, start.problems, protocol) for protocol in between]
    listed: dict[str, Task] = {}
    for task in found:
        same = task.protocol.sampling_hash(0) + task.protocol.prompt.model_dump_json()
        if same not in listed or listed[same].protocol.samples < task.protocol.samples:
            listed[same] = task
    return list(listed.values())


def describe(config: Config, planned: Planned, keys: Mapping[SampleKey, Sequence[int]]) -> Work:
    """What is known of one task's future; `keys`: its samples with the token ids of their prompts."""
    task, protocol = planned.task, planned.task.protocol
    there = {row.key for row in planned.own}
    each, seen = planned.each()
    row = None if config.stand_in else published_row(config, planned.label, task)
    power = power_of(config, task, row) if row else None
    return Work(
        model=planned.label, benchmark=task.benchmark, kind=task.problems[0].kind, protocol=protocol.name, problems=len(task.problems),
        samples=protocol.samples, missing=sum(key not in there for key in keys), budget=protocol.max_new_tokens,
        prompt=max(len(ids) for ids in keys.values()), each=each, each_from=seen, speed=planned.speed(),
        greedy=protocol.sampling.temperature == 0, published=row, power=power, doubts=doubts(config, task, row) if row else (),
    )  # fmt: skip
