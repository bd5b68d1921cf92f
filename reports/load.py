"""A run folder as typed values: manifest, metrics, grades and an index of the generations.

The layout is docs/run-folder.md, the rows are `benchmarks.records`.  A run may be half finished or
damaged: whatever is missing or unreadable becomes a sentence in `Run.notes`, never an exception, and
the part is left out.  Texts stay on disk (`Reader`); only their place and hash are kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyarrow import ArrowException
from pydantic import ValidationError

from benchmarks.published import Published, built_in, load_published
from benchmarks.records import BrokenRow, Generation, Grade, Problem, SampleKey, read_grades, read_jsonl
from reports.measurements import TRAINING_ORDER, Evaluation, Lenient, Measurement, Sample, name_measurements, settings_fields
from reports.text import counted

Row = TypeVar("Row")
Identity = tuple[str, str, str, str]
"""Benchmark, model, revision and sampling hash of a measurement."""

READ_BYTES = 1 << 18
"""Read at a time: a row of a long response is tens of kilobytes."""
LONGEST_SETTINGS = 1 << 16
"""Bytes of a settings file that is read; the program writes a few thousand."""
DEEPEST_SETTINGS = 20
"""Values inside each other in such a file."""
PARTS = ("manifest.json", "config.toml", "metrics", "generations", "grades")


class NotARunFolder(ValueError):
    """The path is no folder, or nothing in it belongs to a run.  One line."""


class Manifest(Lenient):
    """`manifest.json`; a field of another type is left out with a note."""

    schema_number: int | None = None
    name: str = ""
    created: str = ""
    updated: str = ""
    profile: str = ""
    preset: Any = None
    stand_in: bool | None = None
    model_note: str = ""
    versions: Mapping[str, Any] = {}
    hardware: Mapping[str, Any] = {}
    git: Mapping[str, Any] = {}
    seeds: Mapping[str, Any] = {}
    data_hashes: Mapping[str, Any] = {}
    stages: Mapping[str, Mapping[str, Any]] = {}
    evaluations: tuple[Evaluation, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metrics:
    """One metrics file, one value a step; NaN where a step has no value."""

    name: str
    columns: Mapping[str, NDArray[np.float64]]
    damaged: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Of the columns that have such a value: the steps whose number is there and not finite, which no program means."""

    def column(self, name: str) -> NDArray[np.float64]:
        """Values of one column, all NaN when no row has it."""
        steps = len(self.columns["step"])
        return self.columns.get(name, np.full(steps, math.nan))

    def is_damaged(self, name: str) -> NDArray[np.bool_]:
        """The steps where this column has a number that is none."""
        return self.damaged.get(name, np.zeros(len(self.columns["step"]), dtype=np.bool_))

    def has(self, name: str) -> bool:
        """Whether any step has a finite value of this column."""
        return bool(np.any(np.isfinite(self.column(name))))

    @property
    def seconds(self) -> float:
        """Time of all steps, in seconds; NaN where that of one of them is not known."""
        return float(np.sum(self.column("seconds")))


@dataclass
class Run:
    """A run folder."""

    path: Path
    manifest: Manifest
    raw_manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    config_text: str
    metrics: dict[str, Metrics]
    progress: dict[str, Metrics]
    """Held-out evaluations while a stage trained: one value an evaluation."""
    measurements: list[Measurement]
    problems: dict[tuple[str, str], Problem]
    """Problems that were evaluated, without their tests: (benchmark, problem id) → problem."""
    notes: list[str]
    doubts: list[str] = field(default_factory=list)
    """What is wrong with the whole run, so that none of its scores can have a verdict."""
    funnel: Mapping[str, Any] = field(default_factory=dict)
    """`data/funnel.json`: what curation kept."""
    published: Published = field(default_factory=built_in)


class Reader:
    """Reads whole rows of samples; the file of the last one stays open.  Use as a context manager."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._lines: BinaryIO | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lines:
            self._lines.close()

    def read(self, sample: Sample) -> Generation:
        """The row of one sample.

        Raises:
            OSError, ValueError: the file is not what it was.
        """
        if self._lines is None or self._path != sample.path:
            if self._lines:
                self._lines.close()
            self._lines, self._path = open(sample.path, "rb", buffering=READ_BYTES), sample.path  # noqa: SIM115 closed above and in __exit__
        self._lines.seek(sample.offset)
        return Generation.model_validate_json(self._lines.readline())


def load_run(path: Path, published: Sequence[Path] = ()) -> Run:
    """Read a run folder, half-finished ones too; `published` are files of published numbers beside the built-in ones.

    Raises:
        NotARunFolder: no folder, or nothing of a run in it.
        BenchmarkError: a file of published numbers is wrong.
    """
    if not path.is_dir():
        raise NotARunFolder(f"{path}: no such folder")
    if not any((path / part).exists() for part in PARTS):
        raise NotARunFolder(f"{path}: not a run folder (none of {', '.join(PARTS)} is there)")
    notes: list[str] = []
    doubts: list[str] = []
    manifest, raw = _manifest(path, notes, doubts)
    text, config = _config(path, notes)
    metrics, progress = _metrics(path, "metrics", notes), _metrics(path, "evaluations", notes)
    problems, funnel = _problems(path, notes), _funnel(path, notes)
    run = Run(path, manifest, raw, config, text, metrics, progress, [], problems, notes, doubts, funnel, load_published(published))
    run.measurements = _measurements(run)
    return run


def _manifest(root: Path, notes: list[str], doubts: list[str]) -> tuple[Manifest, Mapping[str, Any]]:
    path = root / "manifest.json"
    if not path.exists():
        notes.append("manifest.json is missing: protocol, hardware and versions are unknown.")
        return Manifest(), {}
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"manifest.json cannot be read ({_why(error, root)}).")
        return Manifest(), {}
    if not isinstance(raw, dict):
        notes.append("manifest.json is not a JSON object.")
        return Manifest(), {}
    if raw.get("schema") != 1:
        doubts.append("a manifest of another schema")
        notes.append(f"manifest.json has schema {raw.get('schema')!s:.40}, this report knows 1.")
    values = {key: value for key, value in raw.items() if value is not None}
    values["schema_number"] = values.pop("schema", None)
    manifest = _without_bad_fields(values, notes)
    if notes:
        doubts.append("a damaged manifest")
    if any(manifest.stages[stage].get("status") != "done" for stage in ("eval", "import") if stage in manifest.stages):
        doubts.append("an evaluation that is not finished")
    return manifest, raw


def _without_bad_fields(values: dict[str, Any], notes: list[str]) -> Manifest:
    while True:
        try:
            return Manifest.model_validate(values)
        except ValidationError as error:
            place, *inner = error.errors()[0]["loc"]
            notes.append(
                f"manifest.json: {'.'.join(map(str, [place, *inner]))} is not what it should be, left out."
            )
            if place == "evaluations" and inner and isinstance(inner[0], int):
                values["evaluations"] = _without(values["evaluations"], inner[0], inner[1] if len(inner) > 1 else None)
            else:
                del values[str(place)]


def _without(entries: Sequence[Any], place: int, field: object) -> list[Any]:
    """The entries without one's field, or without the one where it has no such field to lose."""
    bad = entries[place]
    loses = isinstance(bad, Mapping) and field in bad and field not in ("benchmark", "model")
    return [*entries[:place], *([{name: value for name, value in bad.items() if name != field}] if loses else []), *entries[place + 1 :]]


def _config(root: Path, notes: list[str]) -> tuple[str, Mapping[str, Any]]:
    """Text of the configuration and its values."""
    path = root / "config.toml"
    if not path.exists():
        notes.append("config.toml is missing.")
        return "", {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        notes.append(f"config.toml cannot be read ({_why(error, root)}).")
        return "", {}
    try:
        return text, tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        notes.append(f"config.toml is not TOML ({error}).")
        return text, {}


def _metrics(root: Path, folder: str, notes: list[str]) -> dict[str, Metrics]:
    found = {}
    place = {name: index for index, name in enumerate(TRAINING_ORDER)}
    paths = sorted((root / folder).glob("*.jsonl"))
    for path in sorted(paths, key=lambda path: place.get(path.stem, len(place))):
        rows: dict[int, dict[str, Any]] = {}
        for row in _json_rows(path, root, notes):
            step = row.get("step")
            if isinstance(step, int) and not isinstance(step, bool):
                rows[step] = row
            else:
                notes.append(f"{path.relative_to(root)}: a row without a step, left out.")
        if not rows:
            # where nothing is evaluated while it trains, the file is there and empty
            if folder != "evaluations" or not path.is_file() or path.stat().st_size:
                notes.append(f"{path.relative_to(root)} has no step.")
            continue
        ordered = [rows[step] for step in sorted(rows)]
        found[path.stem] = Metrics(path.stem, _columns(ordered), _damaged(ordered))
        _note_non_finite(list(rows.values()), str(path.relative_to(root)), notes)
    return found


def _columns(rows: list[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    names = dict.fromkeys(name for row in rows for name in row)
    numbers = {name: [_number(row.get(name)) for row in rows] for name in names}
    return {name: np.array(values, dtype=np.float64) for name, values in numbers.items()}


def _damaged(rows: list[dict[str, Any]]) -> dict[str, NDArray[np.bool_]]:
    names = dict.fromkeys(name for row in rows for name, value in row.items() if _is_damaged(value))
    return {name: np.array([_is_damaged(row.get(name)) for row in rows]) for name in names}


def _is_damaged(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _number(value: object) -> float:
    """A finite number, or NaN; figures and sums then leave the step out."""
    if isinstance(value, (int, float)) and abs(value) < 1e300:
        return float(value)
    return math.nan


def _note_non_finite(rows: list[dict[str, Any]], where: str, notes: list[str]) -> None:
    steps: dict[str, list[int]] = {}
    for row in rows:
        for name, value in row.items():
            if _is_damaged(value):
                steps.setdefault(name, []).append(row["step"])
    for name, at in sorted(steps.items()):
        more = "" if len(at) <= 5 else f" and {len(at) - 5} more"
        notes.append(f"{where}: {name} is not finite at step {', '.join(map(str, sorted(at)[:5]))}{more}.")


def _json_rows(path: Path, root: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file; lines that are no object are left out with a note."""

    def parse(line: bytes) -> dict[str, Any]:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise BrokenRow("not a JSON object")
        return row

    for _, row in _lines(path, root, notes, parse):
        yield row


def _lines(
    path: Path, root: Path, notes: list[str], parse: Callable[[bytes], Row]
) -> Iterator[tuple[int, Row]]:
    """(byte offset, parsed line) for every line that `parse` accepts; the others are counted in one note."""
    bad: list[int] = []
    torn = False
    offset = 0
    where = path.relative_to(root)
    if not path.is_file():
        notes.append(f"{where} is no file, left out.")
        return
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            try:
                row = parse(line)
            except (ValueError, RecursionError):
                torn = not line.endswith(b"\n")
                if not torn:
                    bad.append(number)
                continue
            yield start, row
    if torn:
        notes.append(f"{where}: the last line is torn (the writer was stopped), left out.")
    if bad:
        notes.append(
            f"{where}: {counted(len(bad), 'line')} unreadable and left out, the first is line {bad[0]}."
        )


def _funnel(root: Path, notes: list[str]) -> Mapping[str, Any]:
    path = root / "data" / "funnel.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"data/funnel.json cannot be read ({_why(error, root)}).")
        return {}
    if not isinstance(found, dict):
        notes.append("data/funnel.json is not a JSON object.")
        return {}
    return found


def _problems(root: Path, notes: list[str]) -> dict[tuple[str, str], Problem]:
    found = {}
    folder = root / "data"
    for path in [*sorted(folder.glob("mini-*.jsonl")), *sorted(folder.glob("problems/*.jsonl"))]:
        try:
            problems = [Problem.model_validate(row) for _, row in read_jsonl(path)]
        except (OSError, BrokenRow, ValidationError) as error:
            notes.append(f"{path.relative_to(root)} cannot be read ({_why(error, root)}).")
            continue
        found.update({(problem.benchmark, problem.id): problem for problem in problems})
    return found


def _measurements(run: Run) -> list[Measurement]:
    groups: dict[Identity, Measurement] = {}
    described: set[tuple[str, str]] = set()
    for entry in run.manifest.evaluations:
        identity = (entry.benchmark, entry.model, entry.revision, entry.sampling_hash)
        conflicts = ["the manifest describes it twice"] if identity in groups else []
        groups[identity] = Measurement(*identity, evaluation=entry, conflicts=conflicts)
        described.add(identity[:2])
    others: dict[Identity, Measurement] = {}
    attributed = _attributed(run.raw_manifest)

    def group(key: SampleKey) -> Measurement | None:
        identity = (key.benchmark, key.model, key.revision, key.sampling_hash)
        if identity in groups:
            return groups[identity]
        if identity in attributed:
            return None
        return (others if identity[:2] in described else groups).setdefault(identity, Measurement(*identity))

    for path in sorted((run.path / "generations").glob("*/*.jsonl")):
        for sample in _samples(path, run.path, run.notes):
            measurement = group(sample.key)
            if measurement is not None and measurement.samples.setdefault(sample.key, sample).text_hash != sample.text_hash:
                where = f"sample {sample.key.sample_index} of {sample.key.problem_id}"
                measurement.conflicts.append(f"{where} is there twice, with different texts")
    for path in sorted((run.path / "grades").glob("*/*.parquet")):
        for grade in _grades(path, run.path, run.notes):
            measurement = group(grade.key) if grade.key else None
            if measurement is not None and grade.key:
                known = measurement.grades.setdefault(grade.grader, {}).setdefault(grade.key, grade)
                if known.correct != grade.correct:
                    measurement.conflicts.append(f"sample {grade.key.sample_index} of {grade.key.problem_id} is graded twice, differently")
    found = _adopted(groups, others)
    strangers: dict[tuple[str, str], int] = {}
    for (benchmark, model, *_), one in others.items():
        keys = one.samples.keys() | {key for table in one.grades.values() for key in table}
        strangers[benchmark, model] = strangers.get((benchmark, model), 0) + len(keys)
    for (benchmark, model), count in sorted(strangers.items()):
        run.notes.append(
            f"{counted(count, 'sample')} of {model} on {benchmark} left out: of another checkpoint or sampling than the manifest "
            "describes, or it does not say of which."
        )
    for one in found:
        one.settings = _settings(run.path, one)
    name_measurements(found)
    return found


def _adopted(groups: dict[Identity, Measurement], others: dict[Identity, Measurement]) -> list[Measurement]:
    """The measurements; what the manifest describes without checkpoint or sampling is of the only samples that it can be of."""
    unsaid = [one for one, measurement in groups.items() if not (one[2] and one[3] or measurement.samples or measurement.grades)]
    fits = [
        (one, other)
        for one in unsaid
        for other in others
        if one[:2] == other[:2] and one[2] in ("", other[2]) and one[3] in ("", other[3])
    ]
    ours, theirs = Counter(one for one, _ in fits), Counter(other for _, other in fits)
    adopted = {one: others.pop(other) for one, other in fits if ours[one] == theirs[other] == 1}
    for one, samples in adopted.items():
        samples.evaluation, samples.conflicts = groups[one].evaluation, [*groups[one].conflicts, *samples.conflicts]
    return [adopted.get(one, measurement) for one, measurement in groups.items()]


def _attributed(manifest: Mapping[str, Any]) -> set[Identity]:
    """The samplings that an attribution made beside those of the evaluations."""
    found = set()
    entries = manifest.get("attributions")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("sampling_hashes"), list):
            names = [str(entry.get(name, "")) for name in ("benchmark", "model", "revision")]
            found |= {(names[0], names[1], names[2], str(one)) for one in entry["sampling_hashes"]}
    return found


def _settings(root: Path, measurement: Measurement) -> dict[str, dict[str, Any]]:
    """Hash → what samples were made with, as far as it may change a text; nothing where the file cannot be read."""
    files = {(sample.settings, sample.path.parent) for sample in measurement.samples.values() if sample.settings}
    return {name: _made_with(root, folder / "settings" / f"{name}.json") for name, folder in sorted(files)}


def _made_with(root: Path, path: Path) -> dict[str, Any]:
    try:
        if not path.stem.isalnum() or not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
            return {}
        content = json.loads(path.read_bytes()) if path.stat().st_size <= LONGEST_SETTINGS else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, Mapping) or not _shallow(content, DEEPEST_SETTINGS):
        return {}
    return settings_fields(content)


def _shallow(value: object, most: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return most > 0 and all(_shallow(one, most - 1) for one in inner)


def _samples(path: Path, root: Path, notes: list[str]) -> Iterator[Sample]:
    for offset, row in _lines(path, root, notes, Generation.model_validate_json):
        text_hash = hashlib.blake2b(row.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        failed = row.error is not None or row.finish_reason == "error"
        about = (row.token_count, len(row.text), row.finish_reason, sys.intern(row.settings), bool(row.shared_from))
        yield Sample(row.key, row.seed, failed, text_hash, *about, path, offset)


def _grades(path: Path, root: Path, notes: list[str]) -> list[Grade]:
    bad: list[int] = []
    try:
        found = list(read_grades(path, bad.append))
    except (ValueError, TypeError, OSError, KeyError, OverflowError, ArrowException) as error:
        notes.append(f"{path.relative_to(root)} cannot be read ({_why(error, root)}), left out.")
        return []
    if bad:
        notes.append(f"{path.relative_to(root)}: {counted(len(bad), 'row')} unreadable and left out, the first is row {bad[0]}.")
    return found


def _why(error: Exception, root: Path) -> str:
    """The first line of an error, without the place of the run folder: the same folder gives the same report everywhere."""
    text = error.strerror if isinstance(error, OSError) and error.errno is not None else str(error)
    line = next(iter((text or "").splitlines()), type(error).__name__)
    return re.sub(rf"(?<![\w./-]){re.escape(str(root))}/", "", line)
