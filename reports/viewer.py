"""The data of the sample viewer: every generation, in compressed pieces that the page loads when they are asked for.

A page that is opened from disk may not `fetch`, but it may load scripts that lie beside it.  So `samples/index.js` has what
can be filtered by, one column a field, and `samples/N.js` the texts of about `PIECE_BYTES`; each is one call of a function of
`assets/viewer.js` with deflated JSON in base64, which no text can break out of.  Samples are in the order of measurements,
problems and sample indices, so that those of one problem lie together.
"""

from __future__ import annotations

import binascii
import json
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import Grade, SampleKey
from reports.load import Reader, Run
from reports.measurements import Measurement, Sample
from reports.scores import expected_problems

PIECE_BYTES = 2 * 1024 * 1024
"""UTF-8 bytes of text in a piece; a longer text has a piece of its own."""
LEVEL = 1
"""Of deflate: level 3 takes twice the time for a tenth of the size."""
WORKERS = 2
REASONS = ("correct", "wrong", "truncated", "no answer", "hedged", "judge time-out")
FINISHES = ("stop", "length", "error")


@dataclass(frozen=True)
class Viewed:
    """What the viewer holds."""

    samples: int
    pieces: int


def write_samples(run: Run, folder: Path) -> Viewed:
    """Write index and pieces into `folder`, which must not exist yet; nothing is written when there are no samples.

    Memory is bounded by a few pieces and the index.
    """
    rows = list(_rows(run))
    if not rows:
        return Viewed(0, 0)
    folder.mkdir(parents=True)
    starts: list[int] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting: deque[Future[None]] = deque()
        for start, texts in _pieces(run, rows):
            waiting.append(pool.submit(_write, folder / f"{len(starts)}.js", "piece", texts, len(starts)))
            starts.append(start)
            if len(waiting) > 2 * WORKERS:
                waiting.popleft().result()
        for one in waiting:
            one.result()
    _write(folder / "problems.js", "problems", _problems(run))
    _write(folder / "index.js", "index", _index(run, rows, starts))
    return Viewed(len(rows), len(starts))


@dataclass(frozen=True)
class _Row:
    measurement: int
    sample: Sample
    grades: tuple[tuple[str, Grade], ...]


def _rows(run: Run) -> Iterator[_Row]:
    for place, measurement in enumerate(run.measurements):
        order = _order(measurement)
        keys = sorted(measurement.samples, key=lambda key: (order[key.problem_id], key.sample_index, key.prompt_hash))
        for key in keys:
            yield _Row(place, measurement.samples[key], _grades(measurement, key))


def _order(measurement: Measurement) -> dict[str, int]:
    """Problem id → place: those of the manifest first, in its order."""
    known = expected_problems(measurement)
    others = sorted({key.problem_id for key in measurement.samples} - set(known))
    return {name: place for place, name in enumerate([*dict.fromkeys(known), *others])}


def _grades(measurement: Measurement, key: SampleKey) -> tuple[tuple[str, Grade], ...]:
    return tuple((name, measurement.grades[name][key]) for name in measurement.graders if key in measurement.grades[name])


def _pieces(run: Run, rows: list[_Row]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(number of the first row, rows with their texts), each about `PIECE_BYTES`."""
    piece: list[dict[str, Any]] = []
    size = start = 0
    with Reader() as reader:
        for number, row in enumerate(rows):
            if piece and size + row.sample.characters > PIECE_BYTES:
                yield start, piece
                piece, size, start = [], 0, number
            piece.append(_shown(run, reader, row))
            size += len(piece[-1]["text"].encode("utf-8", "replace"))
    if piece:
        yield start, piece


def _shown(run: Run, reader: Reader, row: _Row) -> dict[str, Any]:
    try:
        generation = reader.read(row.sample)
    except (OSError, ValueError):
        where = row.sample.path.relative_to(run.path)
        run.notes.append(f"{where} changed while it was read: the text of sample {row.sample.key.sample_index} is not shown.")
        return {"text": "", "seed": str(row.sample.seed), "error": "changed while the report was written", "graded": {}}
    is_imported = run.measurements[row.measurement].engine_name == "imported"
    shown: dict[str, Any] = {"text": generation.text, "seed": "not known" if is_imported else str(generation.seed)}
    if generation.error is not None:
        shown["error"] = generation.error
    shown["graded"] = {name: _said(grade) for name, grade in row.grades}
    return shown


def _said(grade: Grade) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if grade.verdict is not None:
        said |= {"verdict": grade.verdict, "score": grade.score, "tests": grade.tests, "failure": grade.failure}
    elif grade.extracted is not None:
        said["extracted"] = grade.extracted
    return said


def _problems(run: Run) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (benchmark, name), problem in sorted(run.problems.items()):
        found.setdefault(benchmark, {})[name] = {"statement": problem.statement, "answer": problem.answer}
    return found


def _index(run: Run, rows: list[_Row], starts: list[int]) -> dict[str, Any]:
    graders = list(dict.fromkeys(name for one in run.measurements for name in one.graders))
    orders = [_order(one) for one in run.measurements]
    verdicts = sorted({grade.verdict for row in rows for _, grade in row.grades if grade.verdict is not None})
    outcomes: dict[str, list[int]] = {name: [] for name in graders}
    judged: dict[str, list[int]] = {name: [] for name in graders}
    for row in rows:
        graded = dict(row.grades)
        for name in graders:
            grade = graded.get(name)
            outcomes[name].append(REASONS.index(grade.reason) if grade else -1)
            judged[name].append(verdicts.index(grade.verdict) if grade and grade.verdict is not None else -1)
    return {
        "measurements": [
            {
                "benchmark": one.benchmark,
                "model": one.model,
                "protocol": one.protocol_label,
                "problems": list(order),
                "graders": one.graders,
            }
            for one, order in zip(run.measurements, orders, strict=True)
        ],
        "graders": graders,
        "reasons": REASONS,
        "finishes": FINISHES,
        "verdicts": verdicts,
        "pieces": starts,
        "rows": len(rows),
        "columns": {
            "measurement": [row.measurement for row in rows],
            "problem": [orders[row.measurement][row.sample.key.problem_id] for row in rows],
            "sample": [row.sample.key.sample_index for row in rows],
            "tokens": [row.sample.tokens for row in rows],
            "finish": [FINISHES.index(row.sample.finish) if row.sample.finish else -1 for row in rows],
        },
        "outcomes": outcomes,
        "judged": judged,
        "twins": _twins(rows),
    }


def _twins(rows: list[_Row]) -> dict[str, int]:
    """Row → how many before it have its measurement, problem and number, but another prompt; rows without such are left out."""
    seen: Counter[tuple[int, str, int]] = Counter()
    found = {}
    for number, row in enumerate(rows):
        place = (row.measurement, row.sample.key.problem_id, row.sample.key.sample_index)
        if seen[place]:
            found[str(number)] = seen[place]
        seen[place] += 1
    return found


def _write(path: Path, function: str, value: Any, *arguments: int) -> None:
    """One call `klear.FUNCTION(arguments…, "base64")`; the same value gives the same bytes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(text.encode("utf-8", "replace")) + packer.flush()
    before = "".join(f"{argument}," for argument in arguments)
    path.write_bytes(b"klear.%s(%s\"%s\");\n" % (function.encode(), before.encode(), binascii.b2a_base64(packed, newline=False)))
