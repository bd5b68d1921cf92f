"""Where problems come from: files as people have them, Problem records, or the Hub.

A file (`benchmarks.row_files`) may be a copy of a contest in any of the shapes that public copies have: the released
evaluation files (`{meta, messages}`), the same rows nested once more as the released inference script writes them,
verl's rows (`prompt` as messages, `reward_model.ground_truth`), flat rows with a statement and an answer under one
of the usual names, ready prompts.  `benchmarks.row_fields` finds statement, answers and ids in a row;
`benchmarks.answer_keys` says which problem it is.

Every answer that a row carries is checked against the official key, and the key's spelling is what judges get, so two
copies of a benchmark give the same grades.  A row that is no problem of the benchmark is left out, counted and
reported; a problem of the benchmark that is missing is an error.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks import BENCHMARKS
from benchmarks.answer_keys import AnswerKey, KeyEntry, load_key, recognise, same_answer, statement_hash
from benchmarks.errors import BenchmarkError, BenchmarkWarning
from benchmarks.human_eval import load_human_eval
from benchmarks.livecodebench_problems import WINDOWS, load_livecodebench
from benchmarks.records import BrokenRow, Problem
from benchmarks.row_fields import answers, ids, statements
from benchmarks.row_files import SUFFIXES, read_rows
from benchmarks.wording import passages

RECORD_BENCHMARKS = ("mini-aime", "mini-lcb", "mini-words")


def load(name: str, path: str | Path | None, revision: str | None, tests: bool = True) -> list[Problem]:
    """See `benchmarks.load_benchmark`."""
    if name not in BENCHMARKS:
        raise BenchmarkError(f"unknown benchmark {name!r}; available: {', '.join(BENCHMARKS)}{did_you_mean(name)}")
    if name in RECORD_BENCHMARKS:
        return _load_records(name, path)
    if name in WINDOWS:
        return load_livecodebench(name, Path(path) if path is not None else None, revision, tests)
    if name == "humaneval":
        return load_human_eval(Path(path) if path is not None else None, revision)
    key = load_key(name)
    if path is None:
        return _checked(key, *_hub(key, revision))
    found = find_copy(key, Path(path))
    source = str(found[0]) if len(found) == 1 else str(found[0].parent)
    return _checked(key, source, _rows_of(found))


def did_you_mean(name: str) -> str:
    """A hint at the benchmark that a name like `AIME_2024` or `hmmt_feb_2025` is near to; empty if none is."""
    plain = re.sub(r"20(?=\d\d(?!\d))|feb(?:ruary)?|[^a-z0-9]", "", name.lower().replace("livecodebench", "lcb"))
    names = {re.sub(r"[^a-z0-9]", "", one): one for one in BENCHMARKS}
    same_number = [one for one in names if re.sub(r"\D", "", one) == re.sub(r"\D", "", plain)]
    near = difflib.get_close_matches(plain, same_number, 1, 0.6)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def _hub(key: AnswerKey, revision: str | None) -> tuple[str, Iterator[tuple[str, Mapping[str, Any]]]]:
    """The rows of the first of the key's repositories that can be had; only the first can be asked for a revision."""
    from benchmarks.hub import hub_rows

    try:
        return hub_rows(key.name, key.hub_repo, revision or key.hub_revision, key.hub_data, key.files[0])
    except BenchmarkError:
        for repo in () if revision else key.hub_others:
            try:
                return hub_rows(key.name, repo, "main", (), key.files[0])
            except BenchmarkError:
                continue
        raise


def find_file(name: str, path: Path, names: tuple[str, ...]) -> Path:
    """`path`, or the first of `names` in it.  Raises BenchmarkError."""
    if path.is_file():
        return path
    if not path.exists():
        raise BenchmarkError(
            f"{name}: {path} does not exist; pass --benchmark-path FILE, or a folder with {names[0]}"
        )
    for candidate in names:
        if (path / candidate).is_file():
            return path / candidate
    raise BenchmarkError(
        f"{name}: no {' or '.join(names)} in {path}; pass --benchmark-path with its folder or the file"
    )


def find_copy(key: AnswerKey, path: Path) -> list[Path]:
    """The files that hold a key's problems: `path`, a known name in it, else the only file that is called after the
    benchmark, or the files of its papers I and II.

    Raises:
        BenchmarkError: no such file, or several.
    """
    if not path.is_dir() or any((path / one).is_file() for one in key.files):
        return [find_file(key.name, path, key.files)]
    called = {file: _called(file.name, key.name) for file in sorted(path.iterdir()) if file.is_file() and file.name.endswith(SUFFIXES)}
    whole = [file for file, paper in called.items() if paper == ""]
    papers = [file for file, paper in called.items() if paper in ("1", "2")]
    if len(whole) > 1:
        shown = ", ".join(file.name for file in whole[:4])
        raise BenchmarkError(f"{key.name}: several copies in {path} ({shown}); pass --benchmark-path with one of these files")
    return whole or (papers if len(papers) == 2 else [find_file(key.name, path, key.files)])


def _called(file: str, name: str) -> str | None:
    """Whether a file's name is the benchmark's: "" for all of it, "1" or "2" for one paper, None if it is not."""
    stem = re.sub(r"[^a-z0-9]", "", file.lower().split(".")[0])
    series, year = name[:-2], name[-2:]
    found = re.fullmatch(rf"{series}(?:feb)?(?:20)?{year}(?:feb)?(i{{1,2}}|[12])?", stem)
    if found is None:
        return None
    return {"i": "1", "ii": "2"}.get(found.group(1) or "", found.group(1) or "")


def _rows_of(found: Iterable[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    files = list(found)
    for file in files:
        for where, row in local_rows(file):
            yield (where if len(files) == 1 else f"{file.name} {where}"), row


def local_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place and content of each row.  Raises BenchmarkError."""
    yield from read_rows(file)


def _load_records(name: str, path: str | Path | None) -> list[Problem]:
    if path is None:
        raise BenchmarkError(
            f"{name}: pass --benchmark-path with the folder that holds {name}.jsonl;"
            " the smoke profile's data stage writes it to RUN/data"
        )
    file = find_file(name, Path(path), (f"{name}.jsonl",))
    problems: dict[str, Problem] = {}
    for where, row in local_rows(file):
        try:
            problem = Problem.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "row"
            raise BrokenRow(f"{file}, {where}: not a problem record ({field}: {first['msg']})") from error
        if problem.benchmark != name:
            raise BrokenRow(f"{file}, {where}: a problem of {problem.benchmark!r}, expected {name!r}")
        if problem.id in problems:
            raise BenchmarkError(f"{file}, {where}: problem {problem.id!r} appears twice")
        problems[problem.id] = problem
    if not problems:
        raise BenchmarkError(f"{file} holds no problems")
    return list(problems.values())


@dataclass
class _Reading:
    """What was found in a copy so far."""

    key: AnswerKey
    source: str
    found: dict[str, Problem] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    """Rows that are no problem of the key, with the reason."""
    broken: list[BrokenRow] = field(default_factory=list)
    surrounded: int = 0
    """Statements with a prompt's text around them, which is left out."""


def _checked(key: AnswerKey, source: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Problem]:
    """Match rows to the key; refuse wrong, doubled and missing problems; report other statements and unknown rows."""
    reading = _Reading(key, source)
    for where, row in rows:
        try:
            _take(reading, where, row)
        except BrokenRow as error:
            reading.broken.append(error)
    _check_repeats(reading)
    _check_missing(reading)
    _report(reading)
    return [reading.found[entry.id] for entry in key.problems]


def _take(reading: _Reading, where: str, row: Mapping[str, Any]) -> None:
    key, place = reading.key, f"{reading.source}, {where}"
    offered = statements(row, place)
    given = answers(row)
    known = _recognised(key, offered, ids(row), given)
    if known is None:
        reading.unknown.append(f"{where}: not a problem of {key.name} ({key.title}): {offered[0].strip()[:60]!r}…")
        return
    entry, statement, whole = known
    if not given:
        raise BrokenRow(f"{place}: no answer (looked for answer, solution, ground_truth, expected_answer …, also inside meta)")
    for one in given:
        if not same_answer(one, entry.answer):
            raise BenchmarkError(
                f"{place}: problem {entry.id} of {key.name} has the answer {one[:80]!r}, the official answer is {entry.answer!r}"
            )
    reference = statement_hash(statement) == entry.hash
    origin = reading.source if reading.source.startswith((key.hub_repo, *key.hub_others)) else Path(reading.source).name
    info = {"source": origin, "statement": "reference" if reference else "differs"} | ({} if entry.confirmed else {"unconfirmed": True})
    problem = Problem(benchmark=key.name, id=entry.id, kind="math", statement=statement, answer=entry.answer, info=info)
    before = reading.found.setdefault(entry.id, problem)
    reading.places.setdefault(entry.id, []).append(where)
    reading.surrounded += statement_hash(statement) != statement_hash(whole)
    if statement_hash(before.statement) != statement_hash(statement):
        first = reading.places[entry.id][0]
        raise BenchmarkError(f"{place}: problem {entry.id} of {key.name} appears twice (also {first}), in two wordings")


def _recognised(
    key: AnswerKey, offered: list[str], row_ids: list[object], given: list[str]
) -> tuple[KeyEntry, str, str] | None:
    """The problem of a row, its statement, and the text that this stands in."""
    for text in offered:
        found = recognise(key, text, (), given)
        if found is None or statement_hash(found[1]) not in key.by_hash:
            for passage in passages(text):
                if entry := key.by_hash.get(statement_hash(passage)):
                    return entry, passage.strip(), text
        if found is not None:
            return *found, text
    # Without the answers what is plainly the problem is found too, so that a wrong answer is called wrong.
    found = recognise(key, offered[0], row_ids, given) or recognise(key, offered[0], row_ids)
    return None if found is None else (*found, offered[0])


def _check_repeats(reading: _Reading) -> None:
    """A set that is there several times over is read once; a problem that alone is there twice is a fault."""
    counts = {len(places) for places in reading.places.values()}
    if len(counts) > 1 or (counts and counts != {1} and len(reading.found) < len(reading.key.problems)):
        identity, places = next((one, places) for one, places in reading.places.items() if len(places) > 1)
        raise BenchmarkError(
            f"{reading.source}, {places[1]}: problem {identity} of {reading.key.name} appears twice (also {places[0]})"
        )


def _check_missing(reading: _Reading) -> None:
    key = reading.key
    missing = [entry.id for entry in key.problems if entry.id not in reading.found]
    if not missing:
        return
    shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
    papers = {_paper(entry.id) for entry in key.problems} - {_paper(identity) for identity in reading.found}
    if len(papers) == 1 and reading.found and {_paper(identity) for identity in missing} == papers:
        shown += f" (all of {papers.pop()}: is that in another file?)"
    says = f"{len(reading.found)} of {len(key.problems)} problems of {key.name}; missing {shown}"
    if reading.broken:
        more = f", and {len(reading.broken) - 1} more" if len(reading.broken) > 1 else ""
        raise BrokenRow(f"{reading.broken[0]}{more}; {says}")
    if reading.unknown:
        says += f"; {_rows(len(reading.unknown))} unknown, the first: {reading.unknown[0]}"
    raise BenchmarkError(f"{reading.source}: {says}")


def _paper(identity: str) -> str:
    return identity.rpartition("-")[0]


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"


def _report(reading: _Reading) -> None:
    """One warning of one line for each thing that a reader of the scores should know."""
    key, count = reading.key, len(reading.found)
    differing = [identity for identity in (entry.id for entry in key.problems) if reading.found[identity].info["statement"] == "differs"]
    unconfirmed = [entry.id for entry in key.problems if not entry.confirmed]
    repeats = len(next(iter(reading.places.values())))
    says = []
    if differing:
        same = f"of {count} statements differ from the reference copy of {key.name} (answers agree)"
        says.append(f"{len(differing)} {same}: {_some(differing)}")
    if reading.surrounded:
        what = "a prompt's text around the statement, which is left out: the protocol writes the prompt"
        says.append(f"{_rows(reading.surrounded)} had {what}")
    if repeats > 1:
        says.append(f"every problem of {key.name} is there {repeats} times and is read once")
    if left_out := reading.unknown + [str(one).removeprefix(f"{reading.source}, ") for one in reading.broken]:
        says.append(f"{_rows(len(left_out))} left out, the first: {left_out[0]}")
    if unconfirmed:
        says.append(f"{len(unconfirmed)} answers of {key.name} are unconfirmed, with one public source: {_some(unconfirmed)}")
    for line in says:
        warnings.warn(f"{reading.source}: {line}", BenchmarkWarning, stacklevel=5)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
