"""Results that need not be computed twice: a SQLite file, keyed by everything that a result depends on.

The key is a SHA-256 over code, tests, limits, mode, tier, what is kept of the output, and the runtime: version of
Python, of numpy, and the sandbox's own files. IE and TLE are not stored, because they may be the machine's and not
the program's; nor is what a custom checker or an interactor judged, whose code is not in the key. Several
threads and processes may share a file.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .inside import frames
from .model import Limits, Result, Test, TestResult, Verdict

_PASSING = (Verdict.IE, Verdict.TLE)
_FOLDER = Path(__file__).resolve().parent


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
    """A file of results. Raises sqlite3.Error where it cannot be opened or written; `hits` and `misses` count."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID")

    def get(self, key: bytes) -> Result | None:
        """The stored result, or None."""
        with self._lock:
            row = self._database.execute("SELECT body FROM results WHERE key = ?", (key,)).fetchone()
            self.hits += row is not None
            self.misses += row is None
        if row is None:
            return None
        body = json.loads(row[0])
        tests = [TestResult(**{**test, "verdict": Verdict(test["verdict"])}) for test in body["tests"]]
        return Result(tests=tests, tier=body["tier"], total=body["total"], total_weight=body["total_weight"])

    def put(self, key: bytes, result: Result) -> None:
        """Stores a result, unless it may be the machine's doing."""
        if any(test.verdict in _PASSING for test in result.tests):
            return
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, json.dumps(asdict(result))))

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()
