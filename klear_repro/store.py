"""The sample store: `generations/BENCHMARK/MODEL.jsonl`, one line a sample, on disk the moment it is finished.

Several processes may fill one store.  Every change happens under a lock of the file, after reading what the others
have added, so a key is never written twice; a line that a killed writer left half done is closed off by the next.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.records import Generation, SampleKey, digest
from klear_repro.errors import RunError
from klear_repro.files import new_file_mode
from klear_repro.progress import say

SYNC_EVERY_S = 1.0
"""Samples reach the kernel at once, so that no kill loses them, and the disk at least this often while they come."""
_CHUNK = 1 << 24


class SampleStore:
    """Generations of one model on one benchmark.  Use as a context manager.

    A row that is there is never written again.  A line that is no generation is moved to `NAME.quarantine` and its
    place left blank, a torn last line to `NAME.torn`; both are said.  Without `texts` the rows that it gives have an empty one.

    Raises:
        RunError: the file system has no locks.
    """

    def __init__(self, path: Path, *, texts: bool = True) -> None:
        self.path = path
        self._texts = texts
        self._news: list[Generation] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._rows: dict[SampleKey, Generation] = {}
        self._end = 0
        self._synced = time.monotonic()
        with self._locked():
            self._set_aside_torn()
            self._refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def __len__(self) -> int:
        return len(self._rows)

    def missing(self, keys: Iterable[SampleKey]) -> list[SampleKey]:
        """The keys that have no sample yet, in order; what other processes added by now counts."""
        with self._locked():
            self._refresh()
        return [key for key in keys if key not in self._rows]

    def add(self, row: Generation) -> bool:
        """Store one sample; a key that is there already is left as it is, and the answer is False.

        Raises:
            OSError: the disk is full; nothing of the row is left.
        """
        with self._locked():
            self._refresh()
            if row.key in self._rows:
                return False
            data = row.model_dump_json().encode() + b"\n"
            size = os.fstat(self._file).st_size
            if size > self._end:  # a writer was killed in the middle of a line: it ends here
                data = b"\n" + data
            try:
                written = 0
                while written < len(data):
                    written += os.write(self._file, data[written:])
            except OSError:
                os.ftruncate(self._file, size)
                raise
            if size > self._end:
                self._refresh()
            else:
                self._end += len(data)
                self._keep(row)
        if time.monotonic() - self._synced >= SYNC_EVERY_S:
            os.fsync(self._file)
            self._synced = time.monotonic()
        return True

    def rows(self, keys: Sequence[SampleKey]) -> list[Generation]:
        """The samples of these keys, in order.

        Raises:
            KeyError: one is missing.
        """
        return [self._rows[key] for key in keys]

    def news(self) -> list[Generation]:
        """The samples that have come since the last call, this process's own too; at first all."""
        news, self._news = self._news, []
        return news

    def __iter__(self) -> Iterator[Generation]:
        return iter(list(self._rows.values()))

    def keep_settings(self, settings: Mapping[str, Any]) -> str:
        """Write down what samples were made with, once, as `settings/HASH.json` beside the store; returns the hash."""
        name = digest(settings)
        path = self.path.parent / "settings" / f"{name}.json"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=path.parent)  # others may be writing it too
            with os.fdopen(handle, "w") as out:
                json.dump(settings, out, indent=2, allow_nan=False)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(temporary, new_file_mode(path.parent))
            os.replace(temporary, path)
        return name

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise RunError(f"{self.path}: its file system cannot lock ({error.strerror}), which a run folder needs") from None
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _set_aside_torn(self) -> None:
        """Whoever holds the lock writes no line, so an unfinished one is a killed writer's."""
        size = os.fstat(self._file).st_size
        start, tail = size, b""
        while start and b"\n" not in tail:
            start = max(0, start - 65536)
            tail = os.pread(self._file, size - start, start)
        torn = tail[tail.rfind(b"\n") + 1 :]
        if torn:
            self._append_to(".torn", torn + b"\n")
            os.ftruncate(self._file, size - len(torn))
            say(f"{self.path}: the last line was torn (its writer was stopped); it is set aside in {self.path.name}.torn")

    def _refresh(self) -> None:
        """Read the whole lines that were added since the last time."""
        size = os.fstat(self._file).st_size
        rest, place = b"", self._end
        while place < size:
            chunk = os.pread(self._file, min(_CHUNK, size - place), place)
            place += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._read(line, self._end)
                self._end += len(line) + 1

    def _read(self, line: bytes, offset: int) -> None:
        if not line.strip():
            return
        try:
            row = Generation.model_validate_json(line)
        except ValueError:
            self._append_to(".quarantine", line + b"\n")
            self._blank(offset, len(line))
            say(f"{self.path}: the line at byte {offset} is no generation; it is moved to {self.path.name}.quarantine, and its sample made again")
            return
        self._keep(row)

    def _keep(self, row: Generation) -> None:
        if (key := row.key) not in self._rows:
            self._rows[key] = row if self._texts else row.model_copy(update={"text": ""})
            self._news.append(self._rows[key])

    def _append_to(self, suffix: str, data: bytes) -> None:
        with open(self.path.with_name(self.path.name + suffix), "ab") as aside:
            aside.write(data)
            aside.flush()
            os.fsync(aside.fileno())

    def _blank(self, offset: int, length: int) -> None:
        handle = os.open(self.path, os.O_WRONLY)  # a file opened for appending cannot be written in place
        try:
            os.pwrite(handle, b" " * length, offset)
        finally:
            os.close(handle)
