"""Files that survive a kill: whole files appear at once, append-only files lose at most a torn last line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

_KEPT_FROM_BYTES = 1 << 24
_SETTLED_S = 2.0


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write under a temporary name, sync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(temporary, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """`write_atomic` of indented JSON."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def make_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is either whole or absent: `fill` writes it under a temporary name."""
    import shutil

    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        fill(temporary)
        as_new_files(temporary)
        sync_files(temporary)
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # nothing there once it was renamed
    sync_folder(path.parent)


def as_new_files(folder: Path) -> None:
    """Give all files below a folder the mode that a new file there has: safetensors writes its own with 0600, for this user alone."""
    mode = new_file_mode(folder)
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            file.chmod(mode)


def new_file_mode(folder: Path) -> int:
    """The mode of a new file in a folder, by umask and access lists; asking for the umask would change it for other threads."""
    probe = folder / f".mode-{os.getpid()}.tmp"
    with open(probe, "wb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    probe.unlink()
    return mode


def sync_files(folder: Path) -> None:
    """Make the contents of all files below a folder durable."""
    for file in folder.rglob("*"):
        if file.is_file():
            with open(file, "rb") as done:
                os.fsync(done.fileno())


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Appender:
    """Appends JSON rows to a file, each with one write.

    A torn last line, left by a kill, is moved to `NAME.torn` when the file is opened; `torn` says so.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self.path = path
        self._sync = sync
        path.parent.mkdir(parents=True, exist_ok=True)
        self.torn = self._repair()
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by __exit__

    def _repair(self) -> bool:
        if not self.path.exists():
            return False
        with open(self.path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start, tail = size, b""
            while start and b"\n" not in tail:
                start = max(0, start - 65536)
                file.seek(start)
                tail = file.read(size - start)
            torn = tail[tail.rfind(b"\n") + 1 :]
            if not torn:
                return False
            with open(self.path.with_name(self.path.name + ".torn"), "ab") as aside:
                aside.write(torn + b"\n")
            file.truncate(size - len(torn))
        return True

    def append(self, row: Mapping[str, Any] | str) -> None:
        """Append one row; on a full disk what was written of it is taken back."""
        line = row if isinstance(row, str) else json.dumps(row, ensure_ascii=True, allow_nan=False)
        data = line.encode() + b"\n"
        before = os.fstat(self._file.fileno()).st_size
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
            if self._sync:
                os.fsync(self._file.fileno())
        except OSError:
            os.ftruncate(self._file.fileno(), before)
            raise

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of an append-only file; a torn last line is dropped.

    Raises:
        ValueError: a line before the last is not JSON.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1] if line.strip()]


def keep_rows(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Rewrite an append-only file with the rows that `keep` says."""
    if path.exists():
        rows = [row for row in read_rows(path) if keep(row)]
        write_atomic(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def file_hash(path: Path) -> str:
    """First 16 hex digits of the SHA-256 of a file."""
    with open(path, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()[:16]


def kept_file_hash(path: Path) -> str:
    """`file_hash`, which for a large file is remembered in the user's cache folder until the file changes.

    A changed file has another size, inode or time of change, the last of which no program can set.  A hash is not kept for
    a file that was changed in the last `_SETTLED_S` seconds: within a clock tick it may change again.
    """
    about = path.stat()
    if about.st_size < _KEPT_FROM_BYTES:
        return file_hash(path)
    identity = [str(path.resolve()), about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev]
    kept = cache_folder() / "hashes" / hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    try:
        found = kept.read_text(encoding="ascii")
        if re.fullmatch("[0-9a-f]{16}", found):
            return found
    except (OSError, UnicodeDecodeError):  # not there yet, or damaged
        pass
    found = file_hash(path)
    if time.time() - max(about.st_mtime, about.st_ctime) > _SETTLED_S and path.stat() == about:
        with suppress(OSError):  # a cache folder that cannot be written costs time only
            write_atomic(kept, found)
    return found


def cache_folder() -> Path:
    """Where this program keeps what can be computed again: `$XDG_CACHE_HOME/klear-repro`, by default in `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "klear-repro"


def folder_hash(path: Path, patterns: tuple[str, ...] = ("*",), hash_of: Callable[[Path], str] = file_hash) -> str:
    """Hash of the names and contents of the files of a folder that match; `hash_of` gives that of one file."""
    names = sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
    digest = hashlib.sha256()
    with ThreadPoolExecutor(8) as pool:
        for file, content in zip(names, pool.map(hash_of, names), strict=True):
            digest.update(f"{file.name}\0{content}\0".encode())
    return digest.hexdigest()[:16]
