"""The import stage: responses that were generated elsewhere become samples of a run folder, and every judge scores them.

Nothing is generated and no model is needed.  The file's own verdicts, where it has some, stand beside the judges' as
grader `recorded`.  A request that failed is no answer: `strict` leaves it out, and the released judge grades, as it
does in the released code, the text of the problem in its place.  Everything that may be refused is read before anything is written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks import load_benchmark
from benchmarks.errors import BenchmarkError
from benchmarks.livecodebench_problems import WINDOWS, ids_hash
from benchmarks.protocols import Protocol, load_protocol
from benchmarks.records import BrokenRow, Generation, Grade, Problem, Reason, Thinking, digest, read_jsonl, write_grades
from benchmarks.traces import Trace, TraceFile, Traces, extractions, is_from_file, read_traces
from benchmarks.traces.fields import encodable
from benchmarks.traces.files import file_hashes, find_files
from benchmarks.traces.problems import OUTSIDE
from klear_repro.config import Config
from klear_repro.errors import UserError
from klear_repro.evaluate import groups, keep_problems, store_path
from klear_repro.judging import Judges, keyed
from klear_repro.progress import say
from klear_repro.runfolder import RunFolder
from klear_repro.store import SampleStore

SHOWN = 3
"""Skipped rows of a file that are named."""


@dataclass(frozen=True)
class Import:
    """What an import will store: everything is read and known to be right."""

    label: str
    revision: str
    protocol: Protocol
    found: Traces
    by_benchmark: dict[str, list[Trace]]
    problems: dict[str, dict[str, Problem]]
    outside: int
    """LiveCodeBench problems that are in no window."""


def prepare_import(config: Config) -> Import:
    """Read the files of `config.traces` and find their problems; nothing is written.

    Raises:
        UserError: no file, another format, too many rows that cannot be used, or no problem that can be judged.
    """
    wanted = [name for name in config.eval.benchmarks if not name.startswith("mini-")]
    paths = [Path(text) for text in config.traces.paths]
    try:
        traces = config.traces
        found = read_traces(paths, traces.format, wanted, traces.max_skipped, traces.named_fields, traces.only)
        protocol = _protocol(config, found.files)
    except FileNotFoundError as error:
        raise UserError(f"traces.paths: {error.filename}: no such file") from None
    except ValueError as error:
        raise UserError(f"traces.paths: {error}" if not isinstance(error, UserError) else str(error)) from None
    by_benchmark: dict[str, list[Trace]] = {}
    for trace in found.traces:
        by_benchmark.setdefault(trace.problem.benchmark, []).append(trace)
    outside = {trace.problem.id for trace in by_benchmark.pop(OUTSIDE, [])}
    if not by_benchmark:
        raise UserError(f"traces.paths: none of the {len(outside)} problems is in a window of {', '.join(WINDOWS)}")
    return Import(
        label=config.traces.model or _name_of(paths[0]), revision=digest([file.sha256 for file in found.files]), protocol=protocol,
        found=found, by_benchmark=by_benchmark, outside=len(outside),
        problems={name: _problems(config, name, traces) for name, traces in by_benchmark.items()},
    )  # fmt: skip


def input_hashes(paths: Sequence[str]) -> list[str]:
    """SHA-256 of every file that an import would read; empty for one that is not there.

    Raises:
        UserError: a folder without such files.
    """
    found: list[str] = []
    for path in map(Path, paths):
        try:
            found += [file_hashes(file)[0] for file in find_files(path)] if path.exists() else [""]
        except BenchmarkError as error:
            raise UserError(f"traces.paths: {error}") from None
    return found


def file_name(label: str) -> str:
    """A model's name as a file's: the organisation stands before two hyphens."""
    return label.replace("/", "--")


def _name_of(path: Path) -> str:
    name = encodable(path.resolve().name).split(".")[0]
    return re.sub(r"[^\w ()=+,@-]", "-", name).strip()[:96] or "traces"


def check_label(wanted: Import, manifest: dict[str, Any]) -> None:
    """Refuse a name under which this run folder holds something else.

    Raises:
        UserError: it evaluated a model of that name, or another model has its file's name.
    """
    for entry in manifest.get("evaluations", []):
        if entry["benchmark"] not in wanted.by_benchmark:
            continue
        if entry["model"] == wanted.label and entry["engine"] != "imported":
            raise UserError(f"traces.model={wanted.label!r}: this run folder has evaluated a model of that name on {entry['benchmark']}; pass another name or --run-dir")
        if entry["model"] != wanted.label and file_name(entry["model"]) == file_name(wanted.label):
            raise UserError(f"traces.model={wanted.label!r}: this run folder has a model {entry['model']!r} with a file of the same name; pass another name or --run-dir")


def import_traces(wanted: Import, folder: RunFolder, judges: Judges) -> None:
    """Store and grade what `prepare_import` found, and describe it in the manifest; an earlier import under this name is replaced.

    Raises:
        UserError: the name is taken (`check_label`).
        RunError: the judges cannot run.
    """
    check_label(wanted, folder.manifest)
    for file, name in zip(wanted.found.files, _names(wanted.found.files), strict=True):
        _say_file(file, name)
    if wanted.found.left_out:
        say(f"import: left out, because no rows of a known format are in them: {', '.join(wanted.found.left_out[:5])}{' …' * (len(wanted.found.left_out) > 5)}")
    if wanted.outside:
        say(f"import: {wanted.outside} problems are outside of the windows and not graded")
    _say_contents(wanted.found.traces)
    named, same = extractions(wanted.found.traces)
    if named:
        say(f"import: {same} of {named} recorded programs are what this project extracts too")
    staged = [_stage(folder, name, wanted, judges) for name in wanted.by_benchmark]  # which takes long, and changes nothing
    for one in staged:
        one.put(folder.path)
        entry = one.entry | {"extractions": {"recorded": named, "same": same} if named else None}
        kept = folder.manifest["evaluations"]
        folder.manifest["evaluations"] = [
            other for other in kept if (other["benchmark"], other["model"]) != (entry["benchmark"], wanted.label)
        ] + [entry]
    folder.manifest["imports"] = [*_other_imports(folder.manifest["imports"], wanted), _described(wanted)]
    folder.save()


def _names(files: Sequence[TraceFile]) -> list[str]:
    """Names of files, with their folder's where only that tells two apart."""
    often = Counter(file.path.name for file in files)
    return [encodable(file.path.name if often[file.path.name] == 1 else f"{file.path.parent.name}/{file.path.name}") for file in files]


def _say_file(file: TraceFile, name: str) -> None:
    released = f", the released {file.released}" if file.released else ""
    members = f" from {file.members} files in it" if file.members > 1 else ""
    say(f"import {name}: {file.responses} responses{members}, format {file.format}, SHA-256 {file.sha256}{released}")
    if file.skipped:
        say(f"import {name}: {len(file.skipped)} skipped: {'; '.join(map(str, file.skipped[:SHOWN]))}{' …' * (len(file.skipped) > SHOWN)}")
    if file.note:
        say(f"import {name}: {file.note}")
    if file.elsewhere:
        counts = ", ".join(f"{count} of {benchmark}" for benchmark, count in file.elsewhere.items())
        say(f"import {name}: left out, because eval.benchmarks asks for others: {counts}")


def _say_contents(traces: Sequence[Trace]) -> None:
    """What the responses bring with them, or do not."""
    recorded, tools = sum(one.recorded is not None for one in traces), sum(one.tool for one in traces)
    if not recorded:
        say("import: no verdicts of the file's own, so there is no judge recorded")
    elif recorded < sum(one.error is None for one in traces):
        say(f"import: {recorded} of {len(traces)} responses have a verdict of the file's own; the judge recorded is of those alone")
    if tools:
        say(f"import: {tools} of {len(traces)} responses have a program with its output, or call a tool")


def _other_imports(imports: Sequence[dict[str, Any]], wanted: Import) -> list[dict[str, Any]]:
    """Earlier imports, without the benchmarks that this one replaces."""
    kept = []
    for one in imports:
        if one["model"] == wanted.label:
            left = [name for name in one.get("benchmarks", []) if name not in wanted.by_benchmark]
            kept += [{**one, "benchmarks": left}] if left else []
        else:
            kept.append(one)
    return kept


def _described(wanted: Import) -> dict[str, Any]:
    files = [
        {
            "name": name, "format": file.format, "rows": file.responses, "bytes": file.path.stat().st_size, "sha256": file.sha256,
            "released": file.released, "answer_field": file.answer_field, "note": file.note, "skipped": len(file.skipped), "reasons": [encodable(str(one)) for one in file.skipped[:SHOWN]],
        }
        for file, name in zip(wanted.found.files, _names(wanted.found.files), strict=True)
    ]  # fmt: skip
    named = wanted.protocol.name if wanted.protocol.name != "imported" else ""
    return {"model": wanted.label, "benchmarks": list(wanted.by_benchmark), "protocol": named, "files": files}


def _protocol(config: Config, files: Sequence[TraceFile]) -> Protocol:
    """The judges and the thinking rule; the protocol that the samples are said to follow, if any."""
    forms = {file.format for file in files}
    rule: Thinking = "required" if forms == {"klear"} else "auto"
    if config.traces.thinking != "auto-by-format":
        rule = config.traces.thinking
    try:
        named = load_protocol(config.eval.protocol) if config.eval.protocol else None
    except ValueError as error:
        raise UserError(str(error)) from None
    if named is not None:
        return named if config.traces.thinking == "auto-by-format" else named.resolve({"thinking": rule})
    return Protocol(name="imported", description="not known", max_new_tokens=1, samples=1, judges=("klear", "strict"), thinking=rule)


def _problems(config: Config, name: str, traces: Sequence[Trace]) -> dict[str, Problem]:
    """The problems by id, for programs with their tests where these are at hand."""
    problems = {trace.problem.id: trace.problem for trace in traces}
    if name in WINDOWS:
        window = WINDOWS[name]
        if window.ids is not None and ids_hash(problems) != window.ids:
            say(f"import: {len(problems)} problems of {name}, whose window has {window.problems}: not the same ones")
        if config.eval.benchmark_path:
            try:
                loaded = {problem.id: problem for problem in load_benchmark(name, config.eval.benchmark_path)}
            except ValueError as error:
                raise UserError(str(error)) from None
            if without := len(set(problems) - set(loaded)):
                say(f"import: {without} of {len(problems)} problems of {name} have no tests in {config.eval.benchmark_path}; they are not judged here")
            return {identity: loaded.get(identity, problem) for identity, problem in problems.items()}
    return problems


@dataclass(frozen=True)
class _Staged:
    """The graded responses to one benchmark, beside what they will replace."""

    entry: dict[str, Any]
    made: Path
    path: Path
    problems: list[Problem]
    grades: list[Grade]

    def put(self, run_dir: Path) -> None:
        """Put them in their places, each file whole."""
        benchmark = self.path.parent.name
        if self.path.exists():
            say(f"import {self.entry['model']} {benchmark}: replaces the earlier import under this name")
        self.made.replace(self.path)
        keep_problems(run_dir, benchmark, self.problems)
        write_grades(run_dir / "grades" / benchmark / f"{self.path.stem}.parquet", self.grades)


def _stage(folder: RunFolder, name: str, wanted: Import, judges: Judges) -> _Staged:
    """Store and grade the responses to one benchmark in a file of their own."""
    label, traces, problems = wanted.label, wanted.by_benchmark[name], wanted.problems[name]
    protocol = wanted.protocol.for_benchmark(name, next(iter(problems.values())).kind)
    sampling_hash = digest(["imported", wanted.revision])
    rows = [
        Generation(
            model=label, revision=wanted.revision, benchmark=name, problem_id=trace.problem.id, sample_index=trace.sample_index,
            prompt_hash="", sampling_hash=sampling_hash, text=trace.text, token_count=trace.tokens, seed=trace.sample_index, seconds=0,
            finish_reason="error" if trace.error is not None else trace.finish_reason, error=trace.error,
        )
        for trace in traces
    ]  # fmt: skip
    path = store_path(folder.path, name, file_name(label))
    made = path.with_name(f".{path.name}.tmp")
    made.unlink(missing_ok=True)  # of an import that was killed
    with SampleStore(made) as store:
        for row in rows:
            store.add(row)
    judged = [row for row in rows if problems[row.problem_id].kind == "math" or problems[row.problem_id].tests]
    grades = judges.grade(problems, protocol, judged)
    for trace, row in zip(traces, rows, strict=True):
        if trace.recorded is not None:
            reason: Reason = "correct" if trace.recorded else "wrong"
            grade = Grade(correct=trace.recorded, extracted=trace.recorded_code, reason=reason, grader="recorded")
            grades.append(keyed(grade, row))
    _say_scores(label, name, rows, len(problems), grades)
    entry = {
        "benchmark": name, "model": label, "revision": wanted.revision,
        "protocol": protocol.model_dump(mode="json") if protocol.name != "imported" else {"name": "imported", "judges": list(protocol.judges), "thinking": protocol.thinking},
        "sampling_hash": sampling_hash, "engine": "imported", "problems": len(problems), "samples": len(rows), "expected": len(rows),
        "failed": sum(row.error is not None for row in rows),
        "recorded": sum(trace.recorded is not None for trace in traces), "tools": sum(trace.tool for trace in traces),
        "skipped": sum(len(file.skipped) for file in wanted.found.files),
        "gold": "file" if is_from_file(name) else "", "problem_ids": list(problems), "groups": groups(list(problems.values())),
    }  # fmt: skip
    return _Staged(entry, made, path, _with_kept(folder.path, name, problems), grades)


def _with_kept(run_dir: Path, name: str, problems: dict[str, Problem]) -> list[Problem]:
    """The problems, and those of other models that are there already, whose statements stay as they are."""
    path = run_dir / "data" / "problems" / f"{name}.jsonl"
    try:
        kept = {one.id: one for one in (Problem.model_validate(row) for _, row in read_jsonl(path))} if path.is_file() else {}
    except (BrokenRow, ValidationError, OSError):  # damaged: it is written anew
        kept = {}
    return list((problems | kept).values())


def _say_scores(label: str, name: str, rows: Sequence[Generation], problems: int, grades: Sequence[Grade]) -> None:
    failed = sum(row.error is not None for row in rows)
    uneven = len(set(Counter(row.problem_id for row in rows).values())) > 1
    say(f"import {label} {name}: {problems} problems, {len(rows)} responses, {failed} failed requests{', not the same number a problem' if uneven else ''}")
    for grader in dict.fromkeys(grade.grader for grade in grades):
        mine = [grade for grade in grades if grade.grader == grader]
        counts: Counter[str] = Counter()
        for grade in mine:
            assert grade.key is not None
            counts[grade.key.problem_id] += grade.correct
        totals = Counter(grade.key.problem_id for grade in mine if grade.key)
        score = sum(counts[identity] / total for identity, total in totals.items()) / len(totals)
        say(f"import {label} {name} ({grader}): {100 * score:.2f} % on {len(totals)} problems, {len(mine)} responses")
