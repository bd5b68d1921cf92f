"""Rows of an output file, however it is packed: JSONL, a JSON array or document, Parquet, or a log of inspect_ai (`packed` unpacks).

Nothing is unpacked to disk and no name in an archive is used as a path.  What is read is bounded: characters of a row, of a
document and of all rows, lines, and members of an archive.  A row that cannot be read is handed on as `Skip`; a file that cannot be
read any further is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from benchmarks import packed
from benchmarks.errors import BenchmarkError
from benchmarks.packed import CHUNK
from benchmarks.parquet_files import parquet_rows
from benchmarks.records import BrokenRow
from benchmarks.traces.columns import useful_columns
from benchmarks.traces.fields import natural

LONGEST_ROW = 1 << 26
"""Bytes of one row; more is not a row."""
LARGEST_FILE = 4 << 30
"""Bytes of all rows together, which are in memory at once; a small file may hold more than that."""
LARGEST_DOCUMENT = 1 << 28
"""Bytes of a JSON file that is one object, or of one sample of a log."""
MOST_LINES = 10_000_000
MOST_MEMBERS = 20_000
"""Files in an archive or a folder."""
ENDINGS = (".jsonl", ".ndjson", ".json", ".gz", ".zst", ".zip", ".parquet", ".eval")
"""Of the files that are looked at in a folder."""
LISTS = ("samples", "rows", "results", "records", "data", "details", "predictions", "examples")
"""Keys of a document under which a list of rows may be."""
DEEPEST_LIST = 4
"""Objects inside each other in which such a list is looked for."""
_BETWEEN = re.compile(r"[\s,]*")

Placed = tuple[str, dict[str, Any]]
"""Where a row is, and the row."""


@dataclass(frozen=True)
class Skip:
    """A row that is left out: where it is, and why."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True)
class Source:
    """Something that holds rows: a file, or a member of a zip."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.path.name}/{self.member}" if self.member else self.path.name

    def folder(self, path: Path) -> PurePath:
        """The folder that it is in, as seen from the path that was given, or from the zip."""
        outside = self.path.relative_to(path).parent if path != self.path else PurePath()
        return outside / PurePath(self.member).parent


def file_hashes(path: Path) -> tuple[str, str]:
    """SHA-256 of a file, and the hash by which git knows it (SHA-1 of `blob SIZE\\0` and the content)."""
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as data:
        while chunk := data.read(1 << 20):
            sha256.update(chunk)
            sha1.update(chunk)
    return sha256.hexdigest(), sha1.hexdigest()


def find_files(path: Path) -> list[Path]:
    """The file itself, or the files of a folder that may hold rows, in natural order; hidden ones are left out.

    Raises:
        BenchmarkError: nothing there.
    """
    if path.is_dir():
        found: list[Path] = []
        for one in path.rglob("*"):
            hidden = any(part.startswith(".") for part in one.relative_to(path).parts)
            if one.suffix.lower() in ENDINGS and not hidden and one.is_file():
                found.append(one)
            if len(found) > MOST_MEMBERS:
                raise BenchmarkError(f"{path}: more than {MOST_MEMBERS} files; name the ones that are meant")
        if not found:
            raise BenchmarkError(f"{path}: no file in it ends in {', '.join(ENDINGS)}")
        return sorted(found, key=lambda one: natural(str(one.relative_to(path))))
    if not path.is_file():
        raise BenchmarkError(f"{path}: no such file")
    return [path]


def sources(path: Path) -> list[Source]:
    """The file, or the members of a zip that may hold rows, in natural order."""
    if not packed.starts(path).startswith(packed.ZIP):
        return [Source(path)]
    with packed.archive(path) as archive:
        names = [one.filename for one in archive.infolist() if not one.is_dir()]
        if len(names) > MOST_MEMBERS:
            raise BenchmarkError(f"{path.name}: more than {MOST_MEMBERS} files in it")
        if _is_log(names):
            return [Source(path)]
        if sum(one.file_size for one in archive.infolist()) > LARGEST_FILE:
            raise BenchmarkError(f"{path.name}: more than {LARGEST_FILE >> 30} GiB of text; split the file")
        kept = [name for name in names if name.lower().endswith((".jsonl", ".ndjson", ".json")) and not name.startswith("__MACOSX")]
        if not kept:
            raise BenchmarkError(f"{path.name}: no .jsonl or .json file in it")
        return [Source(path, name) for name in sorted(kept, key=natural)]


def rows(source: Source, is_row: Callable[[Mapping[str, Any]], bool]) -> Iterator[Placed | Skip]:
    """Every row of a source; `is_row` says whether a JSON document is one row itself.

    Raises:
        BenchmarkError: the source cannot be read, or holds more than is read.
    """
    start = packed.starts(source.path)
    if start.startswith(packed.PARQUET):
        yield from _parquet(source.path)
    elif start.startswith(packed.ZIP) and not source.member:
        yield from _log_samples(source.path)
    else:
        with packed.text(source.path, source.name, source.member) as data:
            yield from _json(data, source, is_row)


# --- JSON -----------------------------------------------------------------------------------------


def _json(data: BinaryIO, source: Source, is_row: Callable[[Mapping[str, Any]], bool]) -> Iterator[Placed | Skip]:
    """Lines of objects, an array of them, or one document: what the first line that is not blank says."""
    blank, line = 0, data.readline(LONGEST_ROW)
    while line and not line.strip() and blank < MOST_LINES:
        blank, line = blank + 1, data.readline(LONGEST_ROW)
    if not line.strip():
        raise BenchmarkError(f"{source.name} is empty")
    start, behind, whole = line.lstrip()[:1], b"", _loaded(line)
    while whole is not None and not behind.strip() and len(behind) < LONGEST_ROW and (more := data.readline(LONGEST_ROW)):
        behind += more
    rest, is_alone = _Joined(line + behind, data), not behind.strip()
    by_lines = Path(source.member or source.path.name.removesuffix(".gz").removesuffix(".zst")).suffix.lower() in (".jsonl", ".ndjson")
    if start == b"[" and (whole is None or is_alone):
        yield from _array(io.TextIOWrapper(io.BufferedReader(rest, CHUNK), encoding="utf-8", newline=""), source.name)
    elif start == b"{" and (is_alone if whole is not None else not by_lines):
        yield from _document(io.TextIOWrapper(io.BufferedReader(rest, CHUNK), encoding="utf-8", newline=""), source.name, is_row)
    else:
        yield from _lines(io.BufferedReader(rest, CHUNK), source.name, blank)


def _lines(data: BinaryIO, name: str, number: int) -> Iterator[Placed | Skip]:
    """A row a line; `number` lines are before the first."""
    total = 0
    while line := data.readline(LONGEST_ROW):
        number += 1
        is_long = len(line) == LONGEST_ROW and not line.endswith(b"\n")
        if is_long:
            yield Skip(f"{name}, line {number}", f"longer than {LONGEST_ROW} bytes")
        elif line.strip():
            yield _line(name, number, line)
        total += len(line)
        while is_long and line and not line.endswith(b"\n"):
            line = data.readline(LONGEST_ROW)
            total += len(line)
            _check_size(name, total)
        _check_size(name, total)
        if number > MOST_LINES:
            raise BenchmarkError(f"{name}: more than {MOST_LINES} lines")


def _line(name: str, number: int, line: bytes) -> Placed | Skip:
    place = f"{name}, line {number}"
    try:
        row = json.loads(line.decode())
    except json.JSONDecodeError as error:
        return Skip(place, f"not JSON ({error.msg} at column {error.colno})")
    except UnicodeDecodeError:
        return Skip(place, "not UTF-8")
    except RecursionError:
        return Skip(place, "nested too deeply")
    except ValueError as error:  # a number of thousands of digits
        return Skip(place, f"not JSON ({str(error)[:80]})")
    if not isinstance(row, dict):
        return Skip(place, f"expected a JSON object, got {type(row).__name__}")
    return place, row


def _loaded(line: bytes) -> object:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None


class _Joined(io.RawIOBase):
    """Bytes that were read already, then the rest of a stream."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start, self._rest = io.BytesIO(start), rest

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        chunk = self._start.read(len(target)) or self._rest.read(len(target))
        target[: len(chunk)] = chunk
        return len(chunk)


def _array(data: io.TextIOBase, name: str) -> Iterator[Placed | Skip]:
    """Members of a JSON array one by one, so that a large one is never there twice."""
    decoder = json.JSONDecoder()
    buffer, position, size, number, total = "", 0, CHUNK, 0, 0
    opened = False
    while True:
        if not opened and "[" in buffer:
            opened, position = True, buffer.index("[") + 1
        position = found.end() if (found := _BETWEEN.match(buffer, position)) else position
        if opened and position < len(buffer) and buffer[position] == "]":
            return
        problem = "ends before its end"
        if opened and position < len(buffer):
            try:
                value, end = decoder.raw_decode(buffer, position)
            except RecursionError:
                raise BrokenRow(f"{name}, row {number + 1}: nested too deeply; nothing behind it can be read") from None
            except ValueError as error:  # so far: its end may be missing yet
                problem = f"not JSON ({str(error).partition(': line')[0][:80]})"
            else:
                if end < len(buffer):  # a number at the very end may go on
                    number, position, size = number + 1, end, CHUNK
                    place = f"{name}, row {number}"
                    yield (place, value) if isinstance(value, dict) else Skip(place, f"expected a JSON object, got {type(value).__name__}")
                    continue
        if len(buffer) - position > LONGEST_ROW:
            raise BrokenRow(f"{name}, row {number + 1}: longer than {LONGEST_ROW} characters")
        try:
            more = data.read(size)
        except UnicodeDecodeError:
            raise BrokenRow(f"{name}, row {number + 1}: not UTF-8") from None
        if not more:
            raise BrokenRow(f"{name}, row {number + 1}: {problem}; nothing behind it can be read")
        total += len(more)
        _check_size(name, total)
        buffer, position, size = buffer[position:] + more, 0, min(2 * size, LONGEST_ROW)


def _document(data: io.TextIOBase, name: str, is_row: Callable[[Mapping[str, Any]], bool]) -> Iterator[Placed | Skip]:
    """Rows of a file that is one JSON object: the object, a list in it, or its values."""
    try:
        text = data.read(LARGEST_DOCUMENT + 1)
    except UnicodeDecodeError:
        raise BrokenRow(f"{name}: not UTF-8") from None
    if len(text) > LARGEST_DOCUMENT:
        raise BenchmarkError(f"{name}: one JSON object of more than {LARGEST_DOCUMENT >> 20} MiB; split the file, or write a row a line")
    yield from _document_rows(_object(text, name), name, is_row)


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BrokenRow(f"{name}, line {error.lineno}: not JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise BrokenRow(f"{name}: nested too deeply") from None
    except ValueError as error:
        raise BrokenRow(f"{name}: not JSON ({str(error)[:80]})") from None
    if not isinstance(value, dict):
        raise BrokenRow(f"{name}: expected a JSON object, got {type(value).__name__}")
    return value


def _document_rows(value: dict[str, Any], name: str, is_row: Callable[[Mapping[str, Any]], bool]) -> Iterator[Placed | Skip]:
    if is_row(value):
        yield name, value
        return
    if nested := list(_nested(value, "", is_row, DEEPEST_LIST)):
        for place, one in nested:
            yield (f"{name}, {place}", one) if isinstance(one, dict) else Skip(f"{name}, {place}", "expected a JSON object")
        return
    for key in LISTS:
        members = value.get(key)
        if isinstance(members, list) and any(isinstance(one, dict) for one in members):
            for number, one in enumerate(members, start=1):
                place = f"{name}, {key} {number}"
                yield (place, one) if isinstance(one, dict) else Skip(place, f"expected a JSON object, got {type(one).__name__}")
            return
    if value and all(isinstance(one, dict) for one in value.values()):
        for key, one in value.items():  # the key is a number, or the problem's statement
            named = one if key.isdecimal() or is_row(one) else {"problem": key, **one}
            yield f"{name}, {key[:40]!r}", named
        return
    yield name, value


def _nested(
    value: Mapping[str, Any], where: str, is_row: Callable[[Mapping[str, Any]], bool], most: int
) -> Iterator[tuple[str, object]]:
    """Members of the lists of rows in a document, such as `samples`, `samples.TASK` or `results.TASK.examples`, with their places."""
    for key, one in value.items():
        place = f"{where}{key[:40]}"
        if isinstance(one, list) and any(isinstance(row, dict) and is_row(row) for row in one):
            yield from ((f"{place} {number}", row) for number, row in enumerate(one, start=1))
        elif isinstance(one, dict) and most > 1 and not is_row(one):
            yield from _nested(one, f"{place}.", is_row, most - 1)


def _check_size(name: str, total: int) -> None:
    if total > LARGEST_FILE:
        raise BenchmarkError(f"{name}: more than {LARGEST_FILE >> 30} GiB of text; split the file")


# --- other containers -----------------------------------------------------------------------------


def _parquet(path: Path) -> Iterator[Placed | Skip]:
    for number, row in enumerate(parquet_rows(path, LARGEST_FILE, useful_columns), start=1):
        place = f"{path.name}, row {number}"
        yield Skip(place, f"longer than {LONGEST_ROW} characters") if row is None else (place, row)


def _is_log(names: list[str]) -> bool:
    return "_journal/start.json" in names or ("header.json" in names and any(name.startswith("samples/") for name in names))


def _log_samples(path: Path) -> Iterator[Placed | Skip]:
    """The samples of inspect_ai's `.eval`, in the order of problem and epoch."""
    with packed.archive(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("samples/") and name.endswith(".json")]
        total = 0
        for name in sorted(names, key=natural):
            place = f"{path.name}/{name}"
            with packed.member(archive, path, name) as data:
                content = data.read(LARGEST_DOCUMENT + 1)
            total += len(content)
            _check_size(path.name, total)
            if len(content) > LARGEST_DOCUMENT:
                yield Skip(place, f"longer than {LARGEST_DOCUMENT} bytes")
                continue
            try:
                yield place, _object(content.decode(), place)
            except UnicodeDecodeError:
                yield Skip(place, "not UTF-8")
            except BrokenRow as error:
                yield Skip(place, str(error).removeprefix(place).lstrip(",: "))
