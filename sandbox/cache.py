"""Results that need not be computed twice: a SQLite file, keyed by everything that a result depends on.

The key is a SHA-256 over code, tests, limits, mode, tier, what is kept of the output, and the runtime: version of
Python, of numpy, and the sandbox's own files. IE and TLE are not stored, because they may be the machine's and not
the program's; nor is what a custom checker or an interactor judged, whose code is not in the key. Several
threads and processes may share a file.

The cache never costs a result: whatever is wrong with the file after it was opened makes misses. A row carries a digest
of its key and text, so that a damaged one is known.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from .inside import frames
from .model import Limits, Result, Test, TestResult, Verdict

_PASSING = (Verdict.IE, Verdict.TLE)
_FOLDER = Path(__file__).resolve().parent
_BUSY_S = 0.5  # to wait for a file that others have locked
_PAUSE_S = 10.0  # to leave it alone after that
_LOCKED = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
_TEMPORARY = _LOCKED | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DIGEST = 64  # characters of a SHA-256 in front of each body


@functools.cache
def runtime(numpy: str | None) -> str:
    """What programs run on: the interpreter, the folder's numpy, and the files of this package."""
    files = hashlib.sha256()
    for path in sorted(_FOLDER.rglob("*.py")):
        files.update(path.read_bytes())
    version = os.path.join(numpy, "version.py") if numpy else ""
    found = hashlib.sha256(Path(version).read_bytes()).hexdigest() if version and os.path.exists(version) else "none"
    return f"{platform.python_implementation()} {platform.python_version()} {platform.machine()} {found} {files.hexdigest()}"


def key_of(
    code: str, tests: Sequence[Test], limits: Limits, mode: str, tier: str, stop: bool, keep_kb: int, numpy: str | None
) -> bytes:
    """The identity of a result; tests in their order, for `stop` makes it matter."""
    plain = [[test.input, test.expected, test.function, list(test.args), test.weight, test.abs_tol, test.rel_tol] for test in tests]
    settings = [asdict(limits), mode, tier, stop, keep_kb, runtime(numpy)]
    return hashlib.sha256(frames.encode([code, plain, settings])).digest()


class ResultCache:
    """A file of results, which never costs one: what cannot be read is a miss, and what cannot be written is not kept.

    `hits` and `misses` count, and `errors` those misses and writes that failed; `complain` is told each reason once. Raises
    sqlite3.Error with the file's name for one that cannot be a cache: no database, another program's, not writable. A
    file that is locked, or a full disk, is no such mistake.
    """

    def __init__(self, path: str | os.PathLike[str], complain: Callable[[str], None] = lambda text: None) -> None:
        self.hits = self.misses = self.errors = 0
        self._name = os.fspath(path)
        self._complain = complain
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._resume_at = 0.0
        self._prepared = False
        try:
            self._database = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise type(error)(f"cache {self._name}: {error}") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            if _primary(error) not in _TEMPORARY and not (_primary(error) == sqlite3.SQLITE_CANTOPEN and self._has_a_place()):
                self._database.close()
                raise type(error)(f"cache {self._name}: {error}; name another file, or delete this one") from error
            self._failed(error)

    def get(self, key: bytes) -> Result | None:
        """The stored result, or None."""
        with self._lock:
            found = self._read(key)
            self.hits += found is not None
            self.misses += found is None
        return found

    def put(self, key: bytes, result: Result) -> None:
        """Stores a result, unless it may be the machine's doing."""
        if any(test.verdict in _PASSING for test in result.tests):
            return
        text = json.dumps(asdict(result))
        with self._lock:
            if self._usable():
                try:
                    self._prepare()
                    self._database.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, _digest(key, text) + text))
                except sqlite3.Error as error:
                    self._failed(error)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            try:
                self._database.close()
            except sqlite3.Error as error:
                self._failed(error)

    def _has_a_place(self) -> bool:
        """Whether the file could be opened, or made, if the file system had room: journals need an inode of their own."""
        folder = os.path.dirname(os.path.abspath(self._name))
        return os.access(folder, os.W_OK) and not os.path.isdir(self._name)

    def _prepare(self) -> None:
        if not self._prepared:
            self._database.execute("PRAGMA journal_mode=TRUNCATE")  # no WAL: its shared memory, cut off, kills the process
            self._database.execute("PRAGMA synchronous=OFF")  # a loss of power may damage the file, which costs no result
            self._database.execute("CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID")
            self._database.execute("SELECT key, body FROM results LIMIT 0")
            self._prepared = True

    def _read(self, key: bytes) -> Result | None:
        if not self._usable():
            return None
        try:
            self._prepare()
            row = self._database.execute("SELECT body FROM results WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return None
        if row is None:
            return None
        digest, text = str(row[0])[:_DIGEST], str(row[0])[_DIGEST:]
        if not isinstance(row[0], str) or digest != _digest(key, text):
            self._failed("a row is damaged")
            return None
        body = json.loads(text)
        tests = [TestResult(**{**test, "verdict": Verdict(test["verdict"])}) for test in body["tests"]]
        return Result(tests=tests, tier=body["tier"], total=body["total"], total_weight=body["total_weight"])

    def _usable(self) -> bool:
        """Whether to try. Not for a while after the file was locked, or every run would wait for it."""
        if time.monotonic() >= self._resume_at:
            return True
        self.errors += 1
        return False

    def _failed(self, reason: sqlite3.Error | str) -> None:
        self.errors += 1
        if isinstance(reason, sqlite3.Error) and _primary(reason) in _LOCKED:
            self._resume_at = time.monotonic() + _PAUSE_S
        if (text := str(reason)) not in self._told:
            self._told.add(text)
            self._complain(f"cache {self._name}: {text}; results that it cannot give or keep are computed")


def _primary(error: sqlite3.Error) -> int:
    """SQLite's result code without its details; -1 for an error that Python's module found itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def _digest(key: bytes, text: str) -> str:
    return hashlib.sha256(key + text.encode("utf-8", "surrogatepass")).hexdigest()
