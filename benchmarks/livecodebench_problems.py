"""The problems of `lcb_v5` and `lcb_v6`: a window of contest dates in a release of LiveCodeBench, tests included.

Definition: arXiv 2508.07629 Table 1 names the windows; files and releases are those of the Hub's
livecodebench/code_generation_lite, where release n is the problems of `test.jsonl` … `testn.jsonl`, and
`lcb_runner/benchmarks/code_generation.py` of LiveCodeBench at 28fef95, whose windows include midnight at both ends. The
loader script of that repository is never run: its files are read directly, or a local copy of them.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError, BenchmarkWarning
from benchmarks.livecodebench import PrivateTestsError, code_tests, decode_private_tests
from benchmarks.records import BrokenRow, CodeTest, Problem, read_jsonl

HUB_REPO = "livecodebench/code_generation_lite"


@dataclass(frozen=True)
class Window:
    """Contest dates from `start` to `end`, both at midnight and both included, in a release.

    `problems` is how many there are, `ids` the SHA-256 of their sorted question ids, a line each; None: nowhere
    published with its ids, so that the count is told and not checked.
    """

    release: int
    start: datetime
    end: datetime
    problems: int
    ids: str | None


WINDOWS = {
    "lcb_v5": Window(
        5, datetime(2024, 8, 1), datetime(2025, 2, 1), 279, "257bcd509a240e64a59cec85e52e53e1b752735c09392f6008fd6c0af885b2c8"
    ),
    "lcb_v6": Window(6, datetime(2025, 2, 1), datetime(2025, 5, 1), 131, None),
}


def release_files(release: int) -> list[str]:
    """The files that make up a release."""
    return ["test.jsonl", *(f"test{number}.jsonl" for number in range(2, release + 1))]


def ids_hash(ids: Iterable[str]) -> str:
    """SHA-256 of the sorted question ids, a line each."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def load_livecodebench(name: str, path: Path | None, revision: str | None, tests: bool = True) -> list[Problem]:
    """The problems of one window, by contest date and id.

    `path` is a folder with the release's files, or one JSONL file with at least the window; without it they come from
    the Hub at `revision`.  Without `tests` they are left out, unread.

    Raises:
        BenchmarkError: files missing, problems missing, doubled or of another release, tests that cannot be read.
    Warns:
        BenchmarkWarning: a window whose problems are nowhere published has another count than write-ups say.
    """
    window = WINDOWS[name]
    source, files = _files(name, window, path, revision)
    problems: dict[str, Problem] = {}
    for file in files:
        for number, row in _rows(file):
            place = f"{file.name}, line {number}"
            if not window.start <= contest_date(row, place) <= window.end:
                continue
            problem = _problem(name, row, source, place, _tests(row, place) if tests else ())
            if problem.id in problems:
                raise BenchmarkError(f"{place}: problem {problem.id} of {name} appears twice")
            problems[problem.id] = problem
    _check(name, window, source, problems)
    return sorted(problems.values(), key=lambda problem: (problem.info["contest_date"], problem.id))


def _files(name: str, window: Window, path: Path | None, revision: str | None) -> tuple[str, list[Path]]:
    """Where the rows come from, and the files with them."""
    names = release_files(window.release)
    if path is None:
        from benchmarks.hub import download

        source, folder = download(name, HUB_REPO, revision or "main", names, names[-1])
    elif path.is_file():
        return path.name, [path]
    else:
        source, folder = path.name, path
    missing = [file for file in names if not (folder / file).is_file()]
    if missing:
        raise BenchmarkError(
            f"{name}: no {', '.join(missing)} in {folder if path else source};"
            f" pass --benchmark-path with the folder of {names[0]} … {names[-1]}, or one JSONL file with the window"
        )
    return source, [folder / file for file in names]


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        yield from read_jsonl(file)
    except OSError as error:
        raise BenchmarkError(f"{file} cannot be read: {error.strerror}") from error


def contest_date(row: Mapping[str, Any], place: str) -> datetime:
    """The row's contest date. Raises BrokenRow."""
    try:
        found = datetime.fromisoformat(str(row["contest_date"]))
    except (KeyError, ValueError) as error:
        raise BrokenRow(f"{place}: contest_date: {row.get('contest_date')!r} is not a date (ISO 8601)") from error
    return found.replace(tzinfo=None)


def _text(row: Mapping[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise BrokenRow(f"{place}: {field}: {type(value).__name__} is not allowed; text")
    return value


def _tests(row: Mapping[str, Any], place: str) -> tuple[CodeTest, ...]:
    try:
        function = _metadata(row, place).get("func_name")
        public = decode_private_tests(_text(row, "public_test_cases", place))
        private = decode_private_tests(_text(row, "private_test_cases", place))
        tests = code_tests([*public, *private], function)
    except PrivateTestsError as error:
        raise BrokenRow(f"{place}: {error}") from error
    if not tests:
        raise BrokenRow(f"{place}: no tests, which anything would pass")
    return tuple(tests)


def _problem(name: str, row: Mapping[str, Any], source: str, place: str, tests: tuple[CodeTest, ...]) -> Problem:
    info = {
        "difficulty": _text(row, "difficulty", place), "platform": _text(row, "platform", place),
        "contest_date": contest_date(row, place).isoformat(), "title": str(row.get("question_title", "")), "source": source,
    }  # fmt: skip
    return Problem(
        benchmark=name, id=_text(row, "question_id", place), kind="code", statement=_text(row, "question_content", place),
        starter_code=str(row.get("starter_code") or ""), tests=tests, info=info,
    )  # fmt: skip


def _metadata(row: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    value = row.get("metadata") or {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BrokenRow(f"{place}: metadata: not JSON") from error
    if not isinstance(value, Mapping) or not isinstance(value.get("func_name", ""), str):
        raise BrokenRow(f"{place}: metadata: expected an object whose func_name is text")
    return value


def _check(name: str, window: Window, source: str, problems: Mapping[str, Problem]) -> None:
    found = ids_hash(problems)
    if window.ids is not None and found != window.ids:
        raise BenchmarkError(
            f"{name}: {source} has {len(problems)} problems from {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d} (ids {found[:12]});"
            f" release_v{window.release} has {window.problems} (ids {window.ids[:12]})"
        )
    if not problems:
        raise BenchmarkError(f"{name}: {source} has no problem from {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}")
    if len(problems) != window.problems:
        warnings.warn(
            f"{name}: {source} has {len(problems)} problems in the window (ids {found[:12]}); write-ups say {window.problems}",
            BenchmarkWarning,
            stacklevel=4,
        )
