"""Where problems come from: local JSONL in the released shapes, Problem records, or the Hub.

Row shapes that are read: the released evaluation files (`{meta, messages}` and, for HMMT,
`{id, messages, answer, solution}`), the same rows nested once more as the released inference script
writes them (`{id, meta: {meta, messages}, messages}`), and flat rows (`problem` or `question` with
`answer`).  Every gold answer that a row carries is checked against the official key, and the key's
spelling is what graders get, so two copies of a benchmark give the same grades.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks import BENCHMARKS
from benchmarks.answer_keys import AnswerKey, KeyEntry, load_key, match, statement_hash
from benchmarks.errors import BenchmarkError, BenchmarkWarning
from benchmarks.human_eval import load_human_eval
from benchmarks.livecodebench_problems import WINDOWS, load_livecodebench
from benchmarks.records import BrokenRow, Problem, read_jsonl

RECORD_BENCHMARKS = ("mini-aime", "mini-lcb", "mini-words")
STATEMENT_FIELDS = ("problem", "question", "Problem", "Question")
GOLD_FIELDS = ("answer", "Answer", "solution", "gold", "expected_answer", "ground_truth")
ID_FIELDS = ("unique_id", "id", "ID", "problem_id", "url")
LONGEST_GOLD = 200
"""A longer `solution` is a worked solution, not an answer."""


def load(name: str, path: str | Path | None, revision: str | None, tests: bool = True) -> list[Problem]:
    """See `benchmarks.load_benchmark`."""
    if name not in BENCHMARKS:
        raise BenchmarkError(f"unknown benchmark {name!r}; available: {', '.join(BENCHMARKS)}")
    if name in RECORD_BENCHMARKS:
        return _load_records(name, path)
    if name in WINDOWS:
        return load_livecodebench(name, Path(path) if path is not None else None, revision, tests)
    if name == "humaneval":
        return load_human_eval(Path(path) if path is not None else None, revision)
    key = load_key(name)
    if path is None:
        from benchmarks.hub import hub_rows

        return _checked(key, *hub_rows(name, key.hub_repo, revision or key.hub_revision, key.hub_data, key.files[0]))
    file = find_file(name, Path(path), key.files)
    return _checked(key, str(file), local_rows(file))


def find_file(name: str, path: Path, names: tuple[str, ...]) -> Path:
    """`path`, or the first of `names` in it.  Raises BenchmarkError."""
    if path.is_file():
        return path
    if not path.exists():
        raise BenchmarkError(
            f"{name}: {path} does not exist; pass --benchmark-path FOLDER with {names[0]} or the file"
        )
    for candidate in names:
        if (path / candidate).is_file():
            return path / candidate
    raise BenchmarkError(
        f"{name}: no {' or '.join(names)} in {path}; pass --benchmark-path with its folder or the file"
    )


def local_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place and content of each row.  Raises BenchmarkError."""
    try:
        for number, row in read_jsonl(file):
            yield f"line {number}", row
    except OSError as error:
        raise BenchmarkError(f"{file} cannot be read: {error.strerror}") from error


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


def _checked(key: AnswerKey, source: str, rows: Iterator[tuple[str, Mapping[str, Any]]]) -> list[Problem]:
    """Match rows to the key; refuse wrong, doubled and missing problems; report other statements."""
    found: dict[str, Problem] = {}
    lines: dict[str, str] = {}
    differing = []
    for where, row in rows:
        place = f"{source}, {where}"
        inner = _unnested(row)
        statement = _statement(inner, place)
        entry = match(key, statement, _ids(inner))
        if entry is None:
            raise BenchmarkError(f"{place}: not a problem of {key.name} ({key.title}): {statement[:60]!r}…")
        if entry.id in found:
            raise BenchmarkError(
                f"{place}: problem {entry.id} of {key.name} appears twice (also {lines[entry.id]})"
            )
        for given in _golds(inner, place):
            _check_answer(key, entry, given, place)
        same = statement_hash(statement) == entry.hash
        if not same:
            differing.append(entry.id)
        origin = source if source.startswith(key.hub_repo) else Path(source).name
        info = {"source": origin, "statement": "reference" if same else "differs"}
        found[entry.id] = Problem(
            benchmark=key.name, id=entry.id, kind="math", statement=statement, answer=entry.answer, info=info
        )
        lines[entry.id] = where
    missing = [entry.id for entry in key.problems if entry.id not in found]
    if missing:
        shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise BenchmarkError(
            f"{source}: {len(found)} of {len(key.problems)} problems of {key.name}; missing {shown}"
        )
    if differing:
        warnings.warn(
            f"{source}: {len(differing)} of {len(found)} statements differ from the reference copy"
            f" of {key.name} (answers agree): {', '.join(differing[:5])}{' …' if len(differing) > 5 else ''}",
            BenchmarkWarning,
            stacklevel=4,
        )
    return [found[entry.id] for entry in key.problems]


def _check_answer(key: AnswerKey, entry: KeyEntry, given: str, place: str) -> None:
    if _canonical(given) == _canonical(entry.answer):
        return
    from benchmarks.grading import grade_math

    if not grade_math(f"\\boxed{{{given}}}", entry.answer, grader="strict").correct:
        raise BenchmarkError(
            f"{place}: problem {entry.id} of {key.name} has the answer {given!r},"
            f" the official answer is {entry.answer!r}"
        )


def _unnested(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The input row inside an output row of the released inference script; other rows unchanged."""
    meta = row.get("meta")
    return meta if isinstance(meta, Mapping) and "messages" in meta else row


def _statement(row: Mapping[str, Any], place: str) -> str:
    messages = row.get("messages")
    if isinstance(messages, list):
        for message in messages:
            if isinstance(message, Mapping) and message.get("role") == "user":
                content = message.get("content")
                if isinstance(content, str) and content.strip():
                    return content
    for holder in (row, row.get("meta")):
        if isinstance(holder, Mapping):
            for field in STATEMENT_FIELDS:
                value = holder.get(field)
                if isinstance(value, str) and value.strip():
                    return value
    raise BrokenRow(
        f"{place}: no problem statement (looked for a user message, {', '.join(STATEMENT_FIELDS)})"
    )


def _golds(row: Mapping[str, Any], place: str) -> list[str]:
    """Every short answer that a row carries, as text without an outer box."""
    golds = []
    for holder in (row, row.get("meta")):
        if not isinstance(holder, Mapping):
            continue
        for field in GOLD_FIELDS:
            value = holder.get(field)
            if isinstance(value, int | float) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and "####" in value:  # GSM8K: worked solution, ####, answer
                value = value.rpartition("####")[2].replace(",", "")
            if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
                value = value[0]
            if (
                isinstance(value, str)
                and 0 < len(value.strip()) <= LONGEST_GOLD
                and "\n" not in value.strip()
            ):
                boxed = re.fullmatch(r"\$*\\boxed\{(.*)\}\$*", value.strip())
                text = boxed.group(1) if boxed else value.strip()
                if field != "solution" or boxed or not re.search(r" |\\boxed", text):
                    golds.append(text)
    if not golds:
        raise BrokenRow(f"{place}: no answer (looked for {', '.join(GOLD_FIELDS)}, also inside meta)")
    return golds


def _ids(row: Mapping[str, Any]) -> list[object]:
    meta = row.get("meta")
    holders = [row, meta] if isinstance(meta, Mapping) else [row]
    return [holder[field] for holder in holders for field in ID_FIELDS if field in holder]


def _canonical(answer: str) -> str:
    text = re.sub(r"\\[dt]frac", r"\\frac", answer.strip().strip("$"))
    text = re.sub(r"\\[,;! ]|\s+", "", text)
    return str(int(text)) if re.fullmatch(r"\d{1,9}", text) else text
