"""Responses that were generated elsewhere, in the formats of the field, matched to their problems.

| format | file |
| --- | --- |
| `klear` | JSONL of the released script (`benchmarks/inference.py` of the released code), or a zip: `{id, meta, messages, error?}` |
| `lm-eval` | `samples_TASK_TIME.jsonl` of `lm_eval --log_samples`: `{doc_id, doc, resps, filter, …}` |
| `lighteval` | `details_TASK_TIME.parquet`: columns `doc`, `model_response`, `metric` |
| `lcb` | LiveCodeBench's `…_eval_all.json`: `{question_id, output_list, code_list, graded_list, …}` |

A row belongs to the problem whose statement it carries, never to its place in the file; the gold answer is the official
key's.  Rows are read as data alone, and whatever does not fit names file and row.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.answer_keys import KEYED, AnswerKey, KeyEntry, load_key, match, statement_hash
from benchmarks.errors import BenchmarkError
from benchmarks.livecodebench import extract_code
from benchmarks.livecodebench_problems import WINDOWS, contest_date
from benchmarks.records import BrokenRow, Problem

Format = Literal["klear", "lm-eval", "lighteval", "lcb"]
FORMATS: tuple[Format, ...] = ("klear", "lm-eval", "lighteval", "lcb")
LONGEST_ROW = 1 << 26
"""Characters of one line; more is not a row."""
LARGEST_FILE = 4 << 30
"""Characters of all rows together, which are in memory at once; a small file may hold more than that."""
MOST_STATEMENTS = 8
"""Texts of one row in which its problem is looked for."""
LONGEST_PROMPT = 20_000
"""Characters; in a longer prompt no statement is looked for between its paragraphs."""
MOST_PARTS = 24
"""Paragraphs of a prompt among which a problem's statement is looked for."""
RELEASED = {
    "ea04667e6bca0abecf5580d654d145e07073a51d": "aime24_inference_avg64.jsonl.zip",
    "c2e3ffa14240f636f49d5dbfa96a248420f2e5fb": "aime25_inference_avg64.jsonl.zip",
}
"""Git's hash of the traces in `benchmarks/` of github.com/suu990901/KlearReasoner at 5d2d0b8, and their names."""


@dataclass(frozen=True)
class Trace:
    """One response of a file."""

    problem: Problem
    """For programs without tests, which are elsewhere."""
    sample_index: int
    """How many responses to this problem stand before it in the file."""
    text: str
    """The response; of a failed request what the released judge reads in its place, the problem's text."""
    error: str | None = None
    """Why the request failed, which is no answer."""
    recorded: bool | None = None
    """Verdict that the file has for this very response."""
    recorded_code: str | None = None
    """Program that the file says was extracted."""


@dataclass(frozen=True)
class _Response:
    text: str
    error: str | None = None
    recorded: bool | None = None
    code: str | None = None


@dataclass(frozen=True)
class _Row:
    """One row of a file: where the problem's statement may be found, and the responses to it."""

    place: str
    statements: tuple[str, ...]
    responses: tuple[_Response, ...]


def encodable(text: str) -> str:
    """The text with a question mark for every half of a surrogate pair that stands alone, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def file_hashes(path: Path) -> tuple[str, str]:
    """SHA-256 of a file, and the hash by which git knows it (SHA-1 of `blob SIZE\\0` and the content)."""
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as data:
        while chunk := data.read(1 << 20):
            sha256.update(chunk)
            sha1.update(chunk)
    return sha256.hexdigest(), sha1.hexdigest()


def find_format(path: Path) -> Format:
    """The format of a file, by its name and its first row.

    Raises:
        BenchmarkError: none of FORMATS.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path}: no such file")
    if path.suffix == ".parquet":
        return "lighteval"
    if path.suffix == ".json":
        return "lcb"
    for _, row in _json_lines(path):
        if "resps" in row and "doc" in row:
            return "lm-eval"
        if "messages" in row:
            return "klear"
        raise BenchmarkError(f"{path.name}: a row with {', '.join(list(row)[:6])} is none of the formats {', '.join(FORMATS)}")
    raise BenchmarkError(f"{path.name} is empty")


def read_traces(path: Path, form: Format, benchmarks: Sequence[str] = ()) -> list[Trace]:
    """The responses of a file in its order; `benchmarks` narrows where problems are looked for.

    For `lcb` these are the responses of all rows; each has the window of its contest date as benchmark, or, outside of
    all windows, `livecodebench`.

    Raises:
        BenchmarkError: the file is not of this format, or a row is of no problem that is known.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path}: no such file")
    names = [name for name in (benchmarks or (*KEYED, *WINDOWS)) if name in KEYED or name in WINDOWS]
    if not names:
        raise BenchmarkError(f"benchmark {benchmarks[0]!r}: traces can be of {', '.join((*KEYED, *WINDOWS))}")
    if form == "lcb":
        return list(_code_traces(path, [name for name in names if name in WINDOWS]))
    readers: dict[str, Callable[[Path], Iterable[_Row]]] = {"klear": _klear_rows, "lm-eval": _lm_eval_rows, "lighteval": _lighteval_rows}
    keys = [load_key(name) for name in names if name in KEYED]
    if not keys:
        raise BenchmarkError(f"{path.name}: format {form} holds answers; {', '.join(names)} asks for programs")
    counts: dict[tuple[str, str], int] = {}
    traces = []
    for row in readers[form](path):
        found = _find(keys, row)
        if found is None:
            shown = row.statements[0][:60] if row.statements else ""
            raise BenchmarkError(f"{row.place}: not a problem of {', '.join(key.name for key in keys)}: {shown!r}…")
        key, entry = found
        problem = Problem(benchmark=key.name, id=entry.id, kind="math", statement=row.statements[0], answer=entry.answer)
        for response in row.responses:
            index = counts.setdefault((key.name, entry.id), 0)
            counts[key.name, entry.id] += 1
            traces.append(Trace(problem, index, response.text, response.error, response.recorded))
    if not traces:
        raise BenchmarkError(f"{path.name} holds no responses")
    return traces


def _find(keys: Sequence[AnswerKey], row: _Row) -> tuple[AnswerKey, KeyEntry] | None:
    """The problem of a row: a statement that is the reference's, wherever in a prompt; else one that resembles it."""
    for statement in row.statements[:MOST_STATEMENTS]:
        found: dict[str, tuple[AnswerKey, KeyEntry]] = {}
        for part in _parts(statement):
            hashed = statement_hash(part)
            for key in keys:
                if hashed in key.by_hash:
                    found[hashed] = (key, key.by_hash[hashed])
                    if part is statement:
                        return found[hashed]
        if len(found) > 1:
            names = ", ".join(entry.id for _, entry in found.values())
            raise BenchmarkError(f"{row.place}: its prompt has the statements of several problems ({names})")
        if found:
            return next(iter(found.values()))
    for statement in row.statements[:MOST_STATEMENTS]:
        for part in (statement, *_endings(statement)):
            for key in keys:
                if entry := match(key, part, ()):
                    return key, entry
    return None


def _parts(text: str) -> Iterator[str]:
    """The text, and what of it stands between paragraphs, labels or lines of a prompt."""
    yield text
    if len(text) > LONGEST_PROMPT:
        return
    for separator in ("\n\n", "\n"):
        pieces = text.split(separator)[:MOST_PARTS]
        for start in range(len(pieces)):
            for end in range(len(pieces), start, -1):
                if end - start < len(pieces):
                    yield _without_label(separator.join(pieces[start:end]))


def _endings(text: str) -> Iterator[str]:
    pieces = text.split("\n\n")[:MOST_PARTS] if len(text) <= LONGEST_PROMPT else []
    for start in range(1, len(pieces)):
        yield "\n\n".join(pieces[start:])


def _without_label(text: str) -> str:
    for label in ("Question:", "Problem:", "Q:"):
        if text.lstrip().startswith(label):
            return text.lstrip()[len(label) :]
    return text


# --- formats --------------------------------------------------------------------------------------


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and object of every line of a JSONL file, or of the only JSONL file in a zip."""
    if path.suffix == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if name.endswith(".jsonl") and not name.startswith("__MACOSX")]
                if len(members) != 1:
                    raise BenchmarkError(f"{path.name}: expected one .jsonl file in it, found {len(members)}")
                with archive.open(members[0]) as data, io.TextIOWrapper(data, encoding="utf-8") as lines:
                    yield from _objects(lines, f"{path.name}/{members[0]}")
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise BenchmarkError(f"{path.name}: not a zip file that can be read ({error})") from error
        return
    with open(path, encoding="utf-8") as lines:
        yield from _objects(lines, path.name)


def _objects(lines: io.TextIOBase, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    number = total = 0
    try:
        while line := lines.readline(LONGEST_ROW):
            number += 1
            total += len(line)
            _check_size(name, total)
            place = f"{name}, line {number}"
            if len(line) == LONGEST_ROW:
                raise BrokenRow(f"{place}: longer than {LONGEST_ROW} characters")
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise BrokenRow(f"{place}: expected a JSON object, got {type(row).__name__}")
            yield place, row
    except json.JSONDecodeError as error:
        raise BrokenRow(f"{name}, line {number}: not JSON ({error.msg} at column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise BrokenRow(f"{name}, line {number + 1}: not UTF-8") from error
    except RecursionError as error:
        raise BrokenRow(f"{name}, line {number}: nested too deeply") from error


def _check_size(name: str, total: int) -> None:
    if total > LARGEST_FILE:
        raise BenchmarkError(f"{name}: more than {LARGEST_FILE >> 30} GiB of text; split the file")


def _texts(holder: Mapping[str, Any], fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for name in fields if isinstance(value := holder.get(name), str) and value.strip())


STATEMENTS = ("problem", "question", "Problem", "Question", "prompt", "query", "original_query")


def _klear_rows(path: Path) -> Iterator[_Row]:
    """Of an error row the last message is the problem: the released judge grades that."""
    for place, row in _json_lines(path):
        messages = row.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
            raise BrokenRow(f"{place}: messages: a list of messages is expected")
        contents = [(one.get("role"), _message(one.get("content"), place)) for one in messages]
        asked = tuple(content for role, content in contents if role == "user")
        error = row.get("error") or None
        if contents[-1][0] != "assistant" and error is None:
            raise BrokenRow(f"{place}: the last message is the {contents[-1][0]}'s and there is no error")
        response = _Response(contents[-1][1], None if error is None else str(error)[:500])
        yield _Row(place, asked[:1], (response,))


def _message(content: object, place: str) -> str:
    """As in the released judge, the first one of a list."""
    if isinstance(content, list) and content:
        content = content[0]
    if not isinstance(content, str):
        raise BrokenRow(f"{place}: a message without text")
    return encodable(content)


def _lm_eval_rows(path: Path) -> Iterator[_Row]:
    """A document stands once for every filter, with the same responses: the first filter's row counts."""
    first: str | None = None
    for place, row in _json_lines(path):
        doc, responses = row.get("doc"), row.get("resps")
        if not isinstance(doc, dict) or not isinstance(responses, list):
            raise BrokenRow(f"{place}: doc and resps are expected")
        name = str(row.get("filter", ""))
        first = name if first is None else first
        if name != first:
            continue
        texts = list(_strings(responses, place))
        recorded = _recorded(row, row.get("metrics")) if len(texts) == 1 else None
        asked = _texts(doc, STATEMENTS) + tuple(_prompts(row.get("arguments")))
        yield _Row(place, asked, tuple(_Response(text, recorded=recorded) for text in texts))


def _strings(value: object, place: str) -> Iterator[str]:
    """The texts in nested lists."""
    if isinstance(value, str):
        yield encodable(value)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, place)
    else:
        raise BrokenRow(f"{place}: resps: a {type(value).__name__} where text is expected (is it a task that generates?)")


def _prompts(arguments: object) -> Iterator[str]:
    """Prompts of logged requests, as lm-eval writes them to a file: {gen_args_0: {arg_0: text}}."""
    if isinstance(arguments, dict):
        for value in arguments.values():
            if isinstance(value, dict) and isinstance(value.get("arg_0"), str):
                yield value["arg_0"]


def _recorded(row: Mapping[str, Any], names: object) -> bool | None:
    """The only metric of a row, where it is 0 or 1."""
    values = {str(name): row.get(str(name)) for name in names} if isinstance(names, list) else {}
    only = list(values.values())
    return bool(only[0]) if len(only) == 1 and only[0] in (0, 1) else None


def _lighteval_rows(path: Path) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise BrokenRow(f"{path.name}: not a Parquet file ({str(error)[:80]})") from error
    if not {"doc", "model_response"} <= set(names):
        raise BenchmarkError(f"{path.name}: columns {', '.join(names[:6])}; lighteval's details have doc and model_response")
    total = 0
    columns = [name for name in ("doc", "model_response", "metric") if name in names]
    rows = (row for batch in file.iter_batches(16, columns=columns) for row in batch.to_pylist())
    for number, row in enumerate(rows, start=1):
        place = f"{path.name}, row {number}"
        doc, response = row["doc"], row["model_response"]
        if not isinstance(doc, dict) or not isinstance(response, dict) or not isinstance(response.get("text"), list):
            raise BrokenRow(f"{place}: doc.query and model_response.text are expected")
        texts = list(_strings(response["text"], place))
        total += sum(map(len, texts))
        _check_size(path.name, total)
        metric = row.get("metric")
        values = list(metric.values()) if isinstance(metric, dict) else []
        recorded = bool(values[0]) if len(texts) == len(values) == 1 and values[0] in (0, 1) else None
        yield _Row(place, _texts(doc, STATEMENTS), tuple(_Response(text, recorded=recorded) for text in texts))


def _code_traces(path: Path, windows: Sequence[str]) -> Iterator[Trace]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BrokenRow(f"{path.name}: not JSON ({str(error)[:80]})") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BrokenRow(f"{path.name}: expected a list of objects")
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        place = f"{path.name}, row {number}"
        outputs, codes, verdicts = (row.get(name) for name in ("output_list", "code_list", "graded_list"))
        if not isinstance(outputs, list) or not isinstance(verdicts, list) or not len(outputs) == len(verdicts):
            raise BrokenRow(f"{place}: output_list and graded_list of one length are expected")
        identity, statement = str(row.get("question_id")), str(row.get("question_content", ""))
        if identity in seen:
            raise BrokenRow(f"{place}: question_id {identity} appears twice")
        seen.add(identity)
        date = contest_date(row, place)
        within = [name for name in windows if WINDOWS[name].start <= date <= WINDOWS[name].end]
        info = {"contest_date": date.isoformat(), **{name: str(row[name]) for name in ("difficulty", "platform") if row.get(name)}}
        for benchmark in within or ["livecodebench"]:
            starter = str(row.get("starter_code") or "")
            problem = Problem(benchmark=benchmark, id=identity, kind="code", statement=statement, starter_code=starter, info=info)
            for index, (text, passed) in enumerate(zip(outputs, verdicts, strict=True)):
                if not isinstance(text, str) or not isinstance(passed, bool):
                    raise BrokenRow(f"{place}: output {index} is no text, or its verdict neither true nor false")
                code = codes[index] if isinstance(codes, list) and index < len(codes) else None
                if code is not None and not isinstance(code, str):
                    raise BrokenRow(f"{place}: code_list: program {index} is no text")
                yield Trace(problem, index, encodable(text), recorded=passed, recorded_code=code)


def extractions(traces: Iterable[Trace]) -> tuple[int, int]:
    """How many programs the file names, and how many of them this project's extraction takes out too.

    A response in two windows counts once.
    """
    named = {(trace.problem.id, trace.sample_index): trace for trace in traces if trace.recorded_code is not None}
    same = sum(extract_code(trace.text, "lcb") == trace.recorded_code for trace in named.values())
    return len(named), same
