"""The import stage: responses that were generated elsewhere become samples of a run folder, and every judge scores them.

Nothing is generated and no model is needed.  The file's own verdicts, where it has some, stand beside the judges' as
grader `recorded`.  A request that failed is no answer: `strict` leaves it out, and the released judge grades, as it
does in the released code, the text of the problem in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import load_benchmark
from benchmarks.livecodebench_problems import WINDOWS, ids_hash
from benchmarks.protocols import Protocol, load_protocol
from benchmarks.records import Generation, Grade, Problem, Reason, Thinking, digest, write_grades
from benchmarks.traces import RELEASED, Format, Trace, extractions, file_hashes, find_format, read_traces
from klear_repro.config import Config
from klear_repro.errors import UserError
from klear_repro.evaluate import groups, keep_problems, store_path
from klear_repro.judging import Judges, keyed
from klear_repro.progress import say
from klear_repro.runfolder import RunFolder
from klear_repro.store import SampleStore


def import_traces(config: Config, folder: RunFolder, judges: Judges) -> None:
    """Read the files of `config.traces`, store and grade what is in them, and describe it in the manifest.

    Raises:
        UserError: no file, another format, or a row of no known problem; nothing is stored then.
    """
    traces, files = _read(config)
    revision = digest([file["sha256"] for file in files])
    label = config.traces.model or Path(config.traces.paths[0]).name.split(".")[0] or "traces"
    protocol = _protocol(config, files)
    by_benchmark: dict[str, list[Trace]] = {}
    for trace in traces:
        by_benchmark.setdefault(trace.problem.benchmark, []).append(trace)
    outside = by_benchmark.pop("livecodebench", [])
    for entry in folder.manifest["evaluations"]:
        if entry["model"] == label and entry["benchmark"] in by_benchmark and entry["engine"] != "imported":
            raise UserError(f"traces.model={label!r}: this run folder has evaluated a model of that name on {entry['benchmark']}; pass another name or --run-dir")
    if not by_benchmark:
        raise UserError(f"traces.paths: none of the {len(outside)} problems is in a window of {', '.join(WINDOWS)}")
    prepared = {name: _problems(config, name, found) for name, found in by_benchmark.items()}
    for file in files:
        say(f"import {file['name']}: {file['rows']} responses, format {file['format']}, SHA-256 {file['sha256']}{file['released']}")
    if outside:
        say(f"import: {len(outside)} problems are outside of the windows and not graded")
    named, same = extractions(traces)
    if named:
        say(f"import: {same} of {named} recorded programs are what this project extracts too")
    for name, found in by_benchmark.items():
        entry = _import_one(folder, name, found, prepared[name], label, revision, protocol, judges)
        entry["extractions"] = {"recorded": named, "same": same} if named else None
        kept = folder.manifest["evaluations"]
        folder.manifest["evaluations"] = [one for one in kept if (one["benchmark"], one["model"]) != (name, label)] + [entry]
    folder.manifest["imports"] = [one for one in folder.manifest["imports"] if one["model"] != label] + [{"model": label, "files": files}]
    folder.save()


def _read(config: Config) -> tuple[list[Trace], list[dict[str, Any]]]:
    """All responses, counted through over the files, and a description of each file."""
    wanted = [name for name in config.eval.benchmarks if not name.startswith("mini-")]
    traces: list[Trace] = []
    files: list[dict[str, Any]] = []
    counts: Counter[tuple[str, str]] = Counter()
    for text in config.traces.paths:
        path = Path(text)
        try:
            form: Format = config.traces.format if config.traces.format != "auto" else find_format(path)
            found = read_traces(path, form, wanted)
            sha256, git = file_hashes(path)
            if sha256 in {file["sha256"] for file in files}:
                raise UserError(f"traces.paths={text!r}: the same content as a file before it")
        except UserError:
            raise
        except FileNotFoundError:
            raise UserError(f"traces.paths={text!r}: no such file") from None
        except ValueError as error:
            raise UserError(f"traces.paths={text!r}: {error}") from None
        for trace in found:
            key = (trace.problem.benchmark, trace.problem.id)
            traces.append(replace(trace, sample_index=counts[key]))
            counts[key] += 1
        released = f", the released {RELEASED[git]}" if git in RELEASED else ""
        files.append({"name": path.name, "format": form, "rows": len(found), "bytes": path.stat().st_size, "sha256": sha256, "released": released})
    return traces, files


def _protocol(config: Config, files: Sequence[dict[str, Any]]) -> Protocol:
    """The judges and the thinking rule; the protocol that the samples are said to follow, if any."""
    forms = {file["format"] for file in files}
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


def _import_one(
    folder: RunFolder, name: str, traces: Sequence[Trace], problems: dict[str, Problem], label: str, revision: str,
    protocol: Protocol, judges: Judges,
) -> dict[str, Any]:  # fmt: skip
    """Store and grade the responses to one benchmark; returns its entry for the manifest."""
    protocol = protocol.for_benchmark(name, next(iter(problems.values())).kind)
    sampling_hash = digest(["imported", revision])
    rows = [
        Generation(
            model=label, revision=revision, benchmark=name, problem_id=trace.problem.id, sample_index=trace.sample_index,
            prompt_hash="", sampling_hash=sampling_hash, text=trace.text, token_count=0, seed=trace.sample_index, seconds=0,
            finish_reason="error" if trace.error is not None else None, error=trace.error,
        )
        for trace in traces
    ]  # fmt: skip
    with SampleStore(store_path(folder.path, name, label)) as store:
        for row in rows:
            store.add(row)
    judged = [row for row in rows if problems[row.problem_id].kind == "math" or problems[row.problem_id].tests]
    grades = judges.grade(problems, protocol, judged)
    for trace, row in zip(traces, rows, strict=True):
        if trace.recorded is not None:
            reason: Reason = "correct" if trace.recorded else "wrong"
            grade = Grade(correct=trace.recorded, extracted=trace.recorded_code, reason=reason, grader="recorded")
            grades.append(keyed(grade, row))
    keep_problems(folder.path, name, list(problems.values()))
    write_grades(folder.path / "grades" / name / f"{label}.parquet", grades)
    failed = sum(row.error is not None for row in rows)
    per_problem = Counter(row.problem_id for row in rows)
    uneven = len(set(per_problem.values())) > 1
    say(f"import {label} {name}: {len(problems)} problems, {len(rows)} responses, {failed} failed requests{', not the same number a problem' if uneven else ''}")
    for grader in dict.fromkeys(grade.grader for grade in grades):
        mine = [grade for grade in grades if grade.grader == grader]
        counts: Counter[str] = Counter()
        for grade in mine:
            assert grade.key is not None
            counts[grade.key.problem_id] += grade.correct
        totals = Counter(grade.key.problem_id for grade in mine if grade.key)
        score = sum(counts[identity] / total for identity, total in totals.items()) / len(totals)
        say(f"import {label} {name} ({grader}): {100 * score:.2f} % on {len(totals)} problems, {len(mine)} responses")
    return {
        "benchmark": name, "model": label, "revision": revision,
        "protocol": protocol.model_dump(mode="json") if protocol.name != "imported" else {"name": "imported", "judges": list(protocol.judges)},
        "sampling_hash": sampling_hash, "engine": "imported", "problems": len(problems), "samples": len(rows), "expected": len(rows),
        "failed": failed, "problem_ids": list(problems), "groups": groups(list(problems.values())),
    }  # fmt: skip


