"""Responses that were generated elsewhere, in the formats of the field, matched to their problems.

| format | rows |
| --- | --- |
| `klear` | the released script (`benchmarks/inference.py` of the released code): `{id, meta, messages, error?}` |
| `lm-eval` | `samples_TASK_TIME.jsonl` of `lm_eval --log_samples`: `{doc_id, doc, resps, filter, …}` |
| `lighteval` | `details_TASK_TIME.parquet`: `doc`, `model_response`, `metric`; before 0.11 `example`, `predictions`, `gold`, `metrics` |
| `lcb` | LiveCodeBench's `…_eval_all.json`: `{question_id, output_list, code_list, graded_list, …}` |
| `qwen-math` | the Qwen2.5-Math harness and its family: `{question, gt, code: [responses], pred, score}` |
| `nemo-skills` | `output.jsonl`, `output-rsN.jsonl`: `{problem, generation, expected_answer, …}` |
| `inspect` | samples of inspect_ai's `.eval` and of its older `.json` |
| `evalscope` | `predictions/` or `reviews/` |
| `generic` | the documented row (`benchmarks.traces.generic`) and its many spellings |

`files` reads the containers, `problems` says which problem a row is of, `tools` whether a tool worked on a response, the other
modules read one row each.  A row that cannot be used is skipped, counted and named; too many of them refuse the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, Literal

from benchmarks.errors import BenchmarkError
from benchmarks.livecodebench import extract_code
from benchmarks.records import BrokenRow, FinishReason, Problem
from benchmarks.traces import generic, harnesses, logs, released
from benchmarks.traces.doubts import Answers, Models, is_of, no_such
from benchmarks.traces.fields import Response, Row, find_model
from benchmarks.traces.files import Placed, Skip, Source, file_hashes, find_files, rows, sources
from benchmarks.traces.problems import Finder, file_benchmark, is_from_file
from benchmarks.traces.released import RELEASED
from benchmarks.traces.tools import called_tools, ran_tool

Format = Literal["klear", "lm-eval", "lighteval", "lcb", "qwen-math", "nemo-skills", "inspect", "evalscope", "generic"]
Reader = Callable[[str, Mapping[str, Any]], Row | None]
MAX_SKIPPED = 0.25
"""Share of a file's rows that may be skipped."""
LOOKED_AT = 50
"""Rows of a file that its format is looked for in."""
_CLAIMS: dict[Format, Callable[[Mapping[str, Any]], bool]] = {
    "lm-eval": harnesses.claims_lm_eval, "lighteval": logs.claims_lighteval, "lcb": released.claims_lcb,
    "qwen-math": harnesses.claims_qwen_math, "inspect": logs.claims_inspect, "evalscope": logs.claims_evalscope,
    "nemo-skills": harnesses.claims_nemo, "generic": generic.claims, "klear": released.claims_klear,
}  # fmt: skip
"""Format → whether a row is of it; the first one that says so counts, the most particular first."""
FORMATS = tuple(_CLAIMS)


def _reader(form: Format) -> Reader:
    """A reader of one file's rows."""
    readers: dict[Format, Callable[[], Reader]] = {
        "klear": lambda: released.read_klear, "lm-eval": harnesses.LmEval, "lighteval": lambda: logs.read_lighteval,
        "lcb": released.LiveCodeBench, "qwen-math": lambda: harnesses.read_qwen_math, "nemo-skills": lambda: harnesses.read_nemo,
        "inspect": lambda: logs.read_inspect, "evalscope": lambda: logs.read_evalscope, "generic": lambda: generic.read,
    }  # fmt: skip
    return readers[form]()


@dataclass(frozen=True)
class Trace:
    """One response of a file."""

    problem: Problem
    """For programs without tests, which are elsewhere."""
    sample_index: int
    """The row's own number of the sample, or how many responses to this problem stand before it in the files."""
    text: str
    """The response; of a failed request of the released script what the released judge reads in its place, the problem's text."""
    error: str | None = None
    """Why the request failed, which is no answer."""
    recorded: bool | None = None
    """Verdict that the file has for this very response."""
    recorded_code: str | None = None
    """Program that the file says was extracted."""
    finish_reason: FinishReason | None = None
    tokens: int = 0
    """0 where the file does not say."""
    tool: bool = False
    """Whether a tool seems to have worked on it: a program with its output, or a call."""


@dataclass(frozen=True)
class TraceFile:
    """One file that was read."""

    path: Path
    members: int
    """Files in it with rows; 1 where it is no archive."""
    format: Format
    responses: int
    sha256: str
    released: str
    """Name among the released traces, if it is one of them."""
    skipped: tuple[Skip, ...]
    """Rows and responses that could not be used."""
    elsewhere: Mapping[str, int]
    """Benchmark that was not asked for → its responses, which are left out."""
    answer_field: str = ""
    """The field that right answers of problems are from that no benchmark has, if it may as well be the model's own answer."""
    note: str = ""
    """What should be said of that field."""


@dataclass
class Traces:
    """All responses of some files."""

    traces: list[Trace] = field(default_factory=list)
    files: list[TraceFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Files of a folder that hold no rows of a known format."""


def read_traces(
    paths: Sequence[Path], form: Format | Literal["auto"] = "auto", benchmarks: Sequence[str] = (), max_skipped: float = MAX_SKIPPED,
    fields: Mapping[str, str] | None = None, only: str = "",
) -> Traces:  # fmt: skip
    """The responses of files and folders in their order; `benchmarks` narrows which problems count.

    A LiveCodeBench response has the window of its contest date as benchmark, or, outside of all windows, `livecodebench`.  A problem
    that no benchmark has is of `file-NAME`.

    Args:
        paths: files, or folders whose files are of one format.
        form: the format; `auto`: what the rows look like.
        benchmarks: names; none: all.
        max_skipped: share of a file's rows that may be skipped, from 0 to 1; one row may, unless it is 0.
        fields: field of the documented row → where it is in these files (`generic.FIELDS`); the rows are then of the format `generic`.
        only: the model or folder that is meant, where there are several.

    Raises:
        BenchmarkError: a file is of no known format or cannot be read, more is skipped than may be, it holds several models' responses or
            the model's own answers where the right ones should be, or nothing is left.
    """
    if fields and form not in ("auto", "generic"):
        raise BenchmarkError(f"traces.fields: for rows of the format generic, and traces.format is {form}; leave one of them out")
    found, reading = Traces(), _Reading(Finder(benchmarks), max_skipped, dict(fields or {}), only)
    models = Models()
    for path in paths:
        models.start()
        for file, parts in _recognised(path, "generic" if fields else form, found.left_out):
            _read_file(found, reading, models, path, file, parts)
        models.check(path.name)
    finder = reading.finder
    if not found.traces and only and reading.others:
        raise BenchmarkError(no_such(only, (one for one, _ in reading.others), [str(folder) for _, folder in reading.others]))
    if not found.traces:
        missed: Counter[str] = Counter()
        for one in found.files:
            missed.update(one.elsewhere)
        raise BenchmarkError(f"no response to a problem of {', '.join(finder.names)}; there are {_counted(missed)}")
    return found


@dataclass
class _Reading:
    """What is the same for all files of one import."""

    finder: Finder
    max_skipped: float
    fields: Mapping[str, str]
    only: str
    counts: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    """Benchmark and problem → numbers of samples that are taken."""
    others: set[tuple[str, PurePath]] = field(default_factory=set)
    """Models and folders that were not asked for."""


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in numbers.items()) or "none"


# --- which files, and of which format --------------------------------------------------------------


def find_format(source: Source) -> Format:
    """The format of a file, by its first rows.

    Raises:
        BenchmarkError: none of FORMATS, or nothing in it can be read.
    """
    seen: dict[str, Any] = {}
    unread: list[Skip] = []
    for one in islice(rows(source, _is_row), LOOKED_AT):
        if isinstance(one, Skip):
            unread.append(one)
            continue
        for form, claims in _CLAIMS.items():
            if claims(one[1]):
                return form
        seen = seen or one[1]
    if not seen:
        raise BenchmarkError(str(unread[0]) if unread else f"{source.name} is empty")
    fields = ", ".join(str(name)[:40] for name in list(seen)[:6])
    if any(name in seen for name in (*generic.STATEMENTS, "content", "url", "statement")):
        why = "name the field of the response with --traces.fields response=FIELD; or, if these are problems, --benchmark-path takes them"
        raise BenchmarkError(f"{source.name}: rows with {fields} have no response under a known name; {why}")
    raise BenchmarkError(f"{source.name}: a row with {fields} is none of the formats {', '.join(FORMATS)}")


def _is_row(row: Mapping[str, Any]) -> bool:
    return any(claims(row) for claims in _CLAIMS.values())


def _recognised(path: Path, form: Format | Literal["auto"], left_out: list[str]) -> Iterator[tuple[Path, list[tuple[Source, Format]]]]:
    """Files with their sources and formats; what is not recognised among several is left out and named."""
    files = find_files(path)
    parts = [(file, source) for file in files for source in sources(file)]
    known: dict[Path, list[tuple[Source, Format]]] = {}
    for file, source in parts:
        try:
            known.setdefault(file, []).append((source, find_format(source) if form == "auto" else form))
        except BenchmarkError:
            if len(parts) == 1:
                raise
            known.pop(file) if not known.get(file) else None
            left_out.append(source.name)
    forms = {one: source.name for found in known.values() for source, one in found}
    if not forms:
        raise BenchmarkError(f"{path}: none of its {len(parts)} files is of the formats {', '.join(FORMATS)}")
    if len(forms) > 1:
        shown = ", ".join(f"{one} ({name})" for one, name in forms.items())
        raise BenchmarkError(f"{path}: files of several formats: {shown}; name the files of one, or its traces.format")
    reviewed = forms.keys() == {"evalscope"} and any("reviews" in file.parts for file in known)
    for file, found in known.items():
        if reviewed and "predictions" in file.parts:  # the same responses without verdicts
            left_out.append(file.name)
            continue
        yield file, found


# --- rows -----------------------------------------------------------------------------------------


def _read_file(found: Traces, reading: _Reading, models: Models, path: Path, file: Path, parts: Sequence[tuple[Source, Format]]) -> None:
    sha256, git = file_hashes(file)
    if any(one.sha256 == sha256 for one in found.files):
        raise BenchmarkError(f"{file}: the same content as a file before it")
    traces: list[Trace] = []
    skipped: list[Skip] = []
    elsewhere: Counter[str] = Counter()
    answers, finder, total = Answers(), reading.finder, 0
    missed: Counter[str] = Counter(reading.fields.values())
    for source, form in parts:
        own, folder = file_benchmark(source.path, source.member), source.folder(path)
        numbered: set[tuple[str, str, int]] = set()
        for one in _rows(source, form, reading.fields, missed):
            if not isinstance(one, Skip) and not is_of(reading.only, one, folder):
                reading.others.add((one.model, folder))
                continue
            total += 1
            if isinstance(one, Skip):
                skipped.append(one)
                continue
            try:
                problems = finder.problems(one, own)
            except BrokenRow as error:
                skipped.append(Skip(one.place, str(error)))
                continue
            skipped += [Skip(one.place, reason) for reason in one.skipped]
            for problem in problems:
                if not finder.is_asked_for(problem.benchmark):
                    elsewhere[problem.benchmark] += len(one.responses)
                    continue
                answers.see(one, problem)
                models.see(one, problem, folder)
                for response in one.responses:
                    key = (problem.benchmark, problem.id)
                    if response.sample is not None and (*key, response.sample) in numbered:
                        skipped.append(Skip(one.place, f"sample {response.sample} of its problem is there twice"))
                        continue
                    if response.sample is not None:
                        numbered.add((*key, response.sample))
                    traces.append(_trace(problem, response, reading.counts.setdefault(key, set())))
    if missed:
        ours = next(name for name, theirs in reading.fields.items() if theirs in missed)
        raise BenchmarkError(f"{file.name}: traces.fields {ours}={reading.fields[ours]}: no row of it has that field")
    if not total and reading.only:
        return
    if not (traces or elsewhere):
        raise BenchmarkError(f"{file.name} holds no response that can be used: {skipped[0] if skipped else 'no row'}")
    if len(skipped) > (max(1, reading.max_skipped * total) if reading.max_skipped else 0):
        shown = "; ".join(map(str, skipped[:3]))
        found_bad = f"{len(skipped)} of {total} rows of {file.name} cannot be used"
        raise BenchmarkError(f"{found_bad}, more than traces.max_skipped={reading.max_skipped:g} allows: {shown}")
    note = answers.check(file.name)
    found.traces += traces
    found.files.append(TraceFile(
        file, len(parts), parts[0][1], len(traces), sha256, RELEASED.get(git, ""), tuple(skipped), dict(elsewhere), answers.field, note,
    ))  # fmt: skip


def _rows(source: Source, form: Format, fields: Mapping[str, str], missed: Counter[str]) -> Iterator[Row | Skip]:
    """The rows of a source; `missed`: what was named of `fields` and not yet seen."""
    read = _reader(form)
    for one in rows(source, _CLAIMS[form]):
        if isinstance(one, Skip):
            yield one
            continue
        place, raw = one
        model = find_model(raw)
        if fields:
            raw = generic.renamed(raw, fields, missed)
        if not _CLAIMS[form](raw):
            yield Skip(place, f"no row of the format {form}: it has {', '.join(str(name)[:40] for name in list(raw)[:6]) or 'no fields'}")
            continue
        try:
            row = read(place, raw)
        except BrokenRow as error:
            yield Skip(place, str(error).removeprefix(": "))
            continue
        if row is not None:
            yield replace(row, model=model, responses=_with_tools(row, raw))


def _with_tools(row: Row, raw: Mapping[str, Any]) -> tuple[Response, ...]:
    """The responses of a row, each with whether a tool seems to have worked on it."""
    if row.skipped:  # which of the row's own places are left is not known, so a call in one counts for all
        called = [any(called_tools(raw, len(row.responses) + len(row.skipped)))] * len(row.responses)
    else:
        called = called_tools(raw, len(row.responses))
    return tuple(
        replace(one, tool=one.error is None and (call or ran_tool(one.text))) for one, call in zip(row.responses, called, strict=True)
    )


def _trace(problem: Problem, response: Response, taken: set[int]) -> Trace:
    """The response under its own number, or the next one that is free."""
    index = response.sample if response.sample is not None and response.sample not in taken else len(taken)
    while index in taken:
        index += 1
    taken.add(index)
    return Trace(
        problem, index, response.text, response.error, response.recorded, response.code, response.finish_reason, response.tokens,
        response.tool,
    )  # fmt: skip


def extractions(traces: Iterable[Trace]) -> tuple[int, int]:
    """How many programs the file names, and how many of them this project's extraction takes out too.

    A response in two windows counts once.
    """
    named = {(trace.problem.id, trace.sample_index): trace for trace in traces if trace.recorded_code is not None}
    same = sum(extract_code(trace.text, "lcb") == trace.recorded_code for trace in named.values())
    return len(named), same


__all__ = [
    "FORMATS", "Format", "Placed", "Skip", "Trace", "TraceFile", "Traces", "extractions", "find_format", "is_from_file", "read_traces",
]  # fmt: skip
