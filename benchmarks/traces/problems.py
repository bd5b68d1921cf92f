"""Which problem a row is of: one of a keyed benchmark, a LiveCodeBench problem by its date, or one that the file alone knows.

The gold answer of a keyed problem is the official key's, whatever the file says.  A problem that no benchmark has is judged against the
answer that its row carries, in a benchmark named after the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.answer_keys import KEYED, AnswerKey, KeyEntry, agrees, load_key, match, statement_hash
from benchmarks.errors import BenchmarkError
from benchmarks.livecodebench_problems import WINDOWS
from benchmarks.records import BrokenRow, Problem, digest
from benchmarks.traces.fields import Row

FROM_FILE = "file-"
"""How the name of a benchmark begins whose problems and answers come from the imported file; no benchmark of the project does so."""
OUTSIDE = "livecodebench"
"""Of a LiveCodeBench problem that is in no window."""
MOST_STATEMENTS = 8
"""Texts of one row in which its problem is looked for."""
LONGEST_PROMPT = 20_000
"""Characters; in a longer prompt no statement is looked for between its paragraphs."""
MOST_PARTS = 24
"""Paragraphs or lines of a prompt, the last ones, among which a problem's statement is looked for; examples stand before it."""
LONGEST_NAME = 80
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}[-:][0-9]{2}[-:][0-9]{2}([.,][0-9]+)?([-+][0-9]{2}[-:][0-9]{2})?"
_LOG = re.compile(rf"^{_TIME}_(?P<task>.+)_[A-Za-z0-9]{{22}}$")
"""Of a log of inspect_ai: time, task, and an id."""
_WRITTEN_AT = re.compile(rf"[-_.]?{_TIME}$")
_SAMPLE_OF = re.compile(r"([-_.](rs|seed|run|sample|chunk|part|shard)[-_]?[0-9]+)+$", re.IGNORECASE)


def is_from_file(benchmark: str) -> bool:
    """Whether a benchmark's problems and answers come from an imported file, so that no published number is of it."""
    return benchmark.startswith(FROM_FILE)


def file_benchmark(path: Path, member: str = "") -> str:
    """A benchmark's name from a file's: letters, digits and `._-` alone, the same for output-rs0.jsonl and output-rs1.jsonl.

    Without the time at which the file was written, so that two models' files of one task have the same name.
    """
    name = Path(member or path.name).name
    while (suffix := Path(name).suffix.lower()) in (".jsonl", ".ndjson", ".json", ".gz", ".zst", ".zip", ".parquet", ".eval", ".test"):
        name = name[: -len(suffix)]
    log = _LOG.match(name)
    name = log["task"] if log else _WRITTEN_AT.sub("", name)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", _SAMPLE_OF.sub("", name)).strip("-.") or "traces"
    shown = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9]}-{digest(name)[:8]}"
    return FROM_FILE + shown


def allowed(benchmarks: Sequence[str]) -> list[str]:
    """The benchmarks among these that responses can be of; all of them where none is named.

    Raises:
        BenchmarkError: none of these.
    """
    every = (*KEYED, *WINDOWS)
    names = [name for name in (benchmarks or every) if name in every]
    if not names:
        raise BenchmarkError(f"benchmark {benchmarks[0]!r}: traces can be of {', '.join(every)}")
    return names


class Finder:
    """Finds the problem of each row; rows of one problem are looked up once."""

    def __init__(self, benchmarks: Sequence[str] = ()) -> None:
        self.names = allowed(benchmarks)
        self._narrowed = bool(benchmarks)
        self._keys = [load_key(name) for name in KEYED]
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...], str | None], tuple[AnswerKey, KeyEntry] | str | None] = {}

    def problems(self, row: Row, own: str) -> list[Problem]:
        """The problems of a row: one, or one for each window that a LiveCodeBench problem is in; `own` is the file's own benchmark.

        A problem of a benchmark that was not asked for is given too.

        Raises:
            BrokenRow: it is of no problem, or of several.
        """
        if row.code is not None:
            return self._code(row)
        place = (row.statements, row.ids, row.gold)
        if place not in self._known:
            try:
                self._known[place] = find(self._keys, self.names, row)
            except BrokenRow as error:
                self._known[place] = str(error)
        found = self._known[place]
        if isinstance(found, str):
            raise BrokenRow(found)
        statement = row.statements[0] if row.statements else ""
        if found is not None:
            key, entry = found
            return [Problem(benchmark=key.name, id=entry.id, kind="math", statement=statement, answer=entry.answer)]
        if row.gold is None:
            shown = statement[:60] or ", ".join(row.ids)[:60]
            raise BrokenRow(f"not a problem of {', '.join(self.names)}, and no answer beside it: {shown!r}…")
        if not statement and not row.ids:
            raise BrokenRow("neither a problem's statement nor its id")
        return [Problem(benchmark=own, id=_own_id(row, statement), kind="math", statement=statement, answer=row.gold)]

    def is_asked_for(self, benchmark: str) -> bool:
        """Whether responses to this benchmark's problems count: those of the file alone only where no benchmark was named."""
        return benchmark in self.names or benchmark == OUTSIDE or (is_from_file(benchmark) and not self._narrowed)

    def _code(self, row: Row) -> list[Problem]:
        code = row.code
        assert code is not None
        date = code.info["contest_date"]
        within = [name for name, window in WINDOWS.items() if window.start.isoformat() <= date <= window.end.isoformat()]
        fields = {"id": code.id, "kind": "code", "statement": code.statement, "starter_code": code.starter_code, "info": code.info}
        return [Problem.model_validate({**fields, "benchmark": name}) for name in within or [OUTSIDE]]


def _own_id(row: Row, statement: str) -> str:
    """The same for the same problem in every file, so that two models' outputs are compared on the same problems."""
    text = statement_hash(statement) + hashlib.sha256(statement.encode()).hexdigest() if statement else "id " + row.ids[0]
    return digest([text, row.gold])[:12]


def find(keys: Sequence[AnswerKey], narrowed: Sequence[str], row: Row) -> tuple[AnswerKey, KeyEntry] | None:
    """The problem of a row.

    A statement that is a known one, wherever in a prompt; else one that resembles it; an id, where the row has no statement or its
    answer agrees.

    Raises:
        BrokenRow: its prompt has the statements of several problems.
    """
    for statement in row.statements[:MOST_STATEMENTS]:
        found: dict[str, tuple[AnswerKey, KeyEntry]] = {}
        for part in _parts(statement):
            hashed = statement_hash(part)
            for key in keys:
                if hashed in key.by_hash:
                    entry = key.by_hash[hashed]
                    found[entry.id] = (key, entry)
                    if part is statement:
                        return key, entry
        if len(found) > 1:
            raise BrokenRow(f"its prompt has the statements of several problems ({', '.join(found)})")
        if found:
            return next(iter(found.values()))
    golds = () if row.gold is None else (row.gold,)
    for statement in row.statements[:MOST_STATEMENTS]:
        for key in keys:
            if near := match(key, statement, (), golds):
                return key, near
    return _by_id(keys, narrowed, row, golds)


def _by_id(
    keys: Sequence[AnswerKey], narrowed: Sequence[str], row: Row, golds: tuple[str, ...]
) -> tuple[AnswerKey, KeyEntry] | None:
    """By an id that only one benchmark has; a bare number says nothing unless one benchmark was asked for."""
    if row.statements and not golds:
        return None
    ids = [one for one in row.ids if not one.isdecimal() or len(narrowed) == 1]
    asked = [key for key in keys if key.name in narrowed]
    found = [(key, entry) for key in asked if ids and (entry := match(key, "", ids, golds))]
    known = [(key, entry) for key, entry in found if not golds or agrees(golds, entry.answer)]
    return known[0] if len(known) == 1 else None


def _parts(text: str) -> Iterator[str]:
    """The text, and what of it stands between paragraphs, labels or lines of a prompt."""
    yield text
    if len(text) > LONGEST_PROMPT:
        return
    for separator in ("\n\n", "\n"):
        pieces = text.split(separator)[-MOST_PARTS:]
        for start in range(len(pieces)):
            for end in range(len(pieces), start, -1):
                if end - start < len(pieces):
                    yield _without_label(separator.join(pieces[start:end]))


def _without_label(text: str) -> str:
    for label in ("Question:", "Problem:", "Q:"):
        if text.lstrip().startswith(label):
            return text.lstrip()[len(label) :]
    return text
