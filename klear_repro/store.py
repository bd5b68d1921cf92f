"""The sample store: `generations/BENCHMARK/MODEL.jsonl`, one line a sample, on disk the moment it is finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.records import Generation, SampleKey, read_generations
from klear_repro.files import Appender
from klear_repro.progress import say


class SampleStore:
    """Generations of one model on one benchmark.  Use as a context manager.

    A row that is there is never written again; a torn line of a stopped writer is set aside and said.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._appender = Appender(path)
        if self._appender.torn:
            say(f"{path}: the last line was torn (its writer was stopped); it is set aside in {path.name}.torn")
        rows, left_out = read_generations(path)
        for message in left_out:
            say(message)
        self._rows = {row.key: row for row in rows}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._appender.__exit__(kind, error, trace)

    def missing(self, keys: Iterable[SampleKey]) -> list[SampleKey]:
        """The keys that have no sample yet, in order."""
        return [key for key in keys if key not in self._rows]

    def add(self, row: Generation) -> None:
        """Store one sample; a key that is there already is left as it is."""
        if row.key not in self._rows:
            self._appender.append(row.model_dump_json())
            self._rows[row.key] = row

    def rows(self, keys: Sequence[SampleKey]) -> list[Generation]:
        """The samples of these keys, in order.

        Raises:
            KeyError: one is missing.
        """
        return [self._rows[key] for key in keys]
