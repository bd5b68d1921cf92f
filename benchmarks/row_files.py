"""Rows of a data file: JSONL, a JSON array, CSV, Parquet, and the first three packed with gzip or zstd.

What a text file holds is seen from its content, not from its name: a `.jsonl` may be an array, a `.txt` JSONL.
A byte-order mark is skipped.  Nothing is unpickled or executed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import packed
from benchmarks.errors import BenchmarkError
from benchmarks.parquet_files import parquet_rows
from benchmarks.records import BrokenRow

_PLAIN = (".jsonl", ".json", ".csv")
SUFFIXES = (".parquet", ".tsv", ".txt", *(name + packer for name in _PLAIN for packer in ("", ".gz", ".zst")))
LARGEST = 1 << 30
"""Bytes of a text file after unpacking; more is no file of problems."""
_LONGEST_CELL = 1 << 24
_HOLDS_ROWS = ("data", "rows", "problems", "questions", "examples", "instances", "test", "train")


def read_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place (`line 3`, `row 3`) and content of each row.

    Raises:
        BrokenRow: a row cannot be read; file and place are in the message.
        BenchmarkError: the file cannot be read, or is too large.
    """
    try:
        if file.suffix == ".parquet":
            yield from _parquet(file)
            return
        text = _text(file)
    except OSError as error:
        raise BenchmarkError(f"{file} cannot be read: {error.strerror or error}") from error
    name = file.name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith((".csv", ".tsv")):
        yield from _csv(file, text, "\t" if name.endswith(".tsv") else ",")
    elif text.lstrip()[:1] == "[" and (rows := _array(file, text)) is not None:
        yield from rows
    else:
        yield from _lines(file, text)


def _text(file: Path) -> str:
    with packed.text(file, str(file)) as data:
        content = data.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise BenchmarkError(f"{file}: more than {LARGEST >> 30} GiB of text is no file of problems")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BrokenRow(f"{file}, line {line}: not UTF-8") from error


def _parquet(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in enumerate(parquet_rows(file, LARGEST), start=1):
        if row is None:
            raise BrokenRow(f"{file}, row {number}: too long for a problem")
        yield f"row {number}", row


def _csv(file: Path, text: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise BrokenRow(f"{file}: not CSV ({error})") from error
    finally:
        csv.field_size_limit(limit)
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", {name: value for name, value in row.items() if isinstance(name, str) and value not in (None, "")}


def _array(file: Path, text: str) -> list[tuple[str, dict[str, Any]]] | None:
    """The rows of a JSON array of objects; None if the text is no single JSON value."""
    try:
        rows = json.loads(text)
    except json.JSONDecodeError:
        return None
    except ValueError as error:  # a number of thousands of digits
        raise BrokenRow(f"{file}, line 1: not JSON ({error})") from error
    except RecursionError as error:
        raise BrokenRow(f"{file}, line 1: nested too deeply") from error
    if "\n" not in text.strip() and not all(isinstance(row, Mapping) for row in rows):
        return None  # a JSONL file whose only row is a list
    found = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise BrokenRow(f"{file}, row {number}: expected a JSON object, got {type(row).__name__}")
        found.append((f"row {number}", row))
    return found


def _lines(file: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if text.lstrip()[:1] == "{" and (rows := _columns_or_rows(text)) is not None:
        yield from rows
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BrokenRow(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
        except ValueError as error:  # a number of thousands of digits
            raise BrokenRow(f"{place}: not JSON ({error})") from error
        except RecursionError as error:
            raise BrokenRow(f"{place}: nested too deeply") from error
        if not isinstance(row, dict):
            raise BrokenRow(f"{place}: expected a JSON object, got {type(row).__name__}")
        yield f"line {number}", row


def _columns_or_rows(text: str) -> list[tuple[str, dict[str, Any]]] | None:
    """The rows of one object that holds them: `{"data": [rows]}`, or `{"name of a row": row}` over several lines."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for name in _HOLDS_ROWS:
        rows = table.get(name)
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            return [(f"row {number}", row) for number, row in enumerate(rows, start=1)]
    if len(table) > 1 and all(isinstance(value, dict) for value in table.values()):
        return [(f"row {number}", {"id": name, **row}) for number, (name, row) in enumerate(table.items(), start=1)]
    return None
