"""Leases of samples between workers, as locks of the kernel: nothing is written, and a lease ends with the process that holds it.

A worker locks one byte of the file `.leases` for each sample that it has begun, at the place that the hash of the sample's
key says, far behind the end of the file.  Samples of another protocol, seed or revision have other keys and so other places.
The kernel drops the locks of a process however it ends, so there is no time-out and nothing to clean up; between machines the
file system must support locks (`fcntl`), and a machine that crashes loses its locks when the file server gives it up.

Every worker also locks one of the first `PLACES` bytes, so that workers can be counted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.records import SampleKey, digest
from klear_repro.errors import RunError

NAME = ".leases"
PLACES = 4096
"""The most workers at a time."""
_FLOCK = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, pid."""


class Leases:
    """The leases of this process in one run folder.  Use as a context manager.

    The locks belong to the process, not to the object: one object for one file at a time, and no other descriptor of the file.

    Raises:
        RunError: the file system has no locks, or `PLACES` workers are there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with ExitStack() as stack:
            stack.callback(os.close, self._file)
            place = next((place for place in range(PLACES) if self._lock(place)), None)
            if place is None:
                raise RunError(f"{self._path}: {PLACES} workers are there already")
            stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._file)

    def take(self, place: int) -> bool:
        """Lease the sample with this `place_of`; False: another process has it."""
        return self._lock(place)

    def release(self, place: int) -> None:
        """Give a lease back."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def workers(self) -> int:
        """Processes with leases in this folder, this one included."""
        return 1 + self._others(0, PLACES)

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise RunError(f"{self._path}: its file system cannot lock ({error.strerror}), which workers of one run folder need") from None
        return True

    def _others(self, start: int, end: int) -> int:
        """Locks of other processes among these bytes; the kernel names any one of them at a time."""
        if start >= end:
            return 0
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
        kind, _, place, _, _ = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_GETLK, asked))
        if kind == fcntl.F_UNLCK:
            return 0
        return 1 + self._others(start, place) + self._others(place + 1, end)


def place_of(key: SampleKey) -> int:
    """The byte that is locked for a sample: a hash of its key, behind the places of the workers."""
    return PLACES + int(digest(key.model_dump())[:15], 16)
