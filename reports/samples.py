"""A few generations to look at: right, wrong, judged differently, cut off; programs with their verdict.

The choice is the same for the same run: the first sample of each kind in the order of problems,
then the next, problems not yet shown first.  Texts are
hostile and stay as they are here; cutting and making them visible is `reports.text`.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.records import Generation, Grade, SampleKey
from reports.blocks import Block, Paragraph, SampleText, Tone
from reports.load import Reader, Run
from reports.measurements import Measurement
from reports.scores import expected_problems

PER_BENCHMARK = 6
"""Samples shown of each benchmark where the configuration does not say (`report.examples`)."""


def sample_blocks(run: Run) -> list[Block]:
    """Sample generations of the last measured model of each benchmark, as many a benchmark as configured."""
    last: dict[str, Measurement] = {}
    for measurement in run.measurements:
        if measurement.grades and measurement.samples and not measurement.is_control:
            last[measurement.benchmark] = measurement
    blocks: list[Block] = []
    for measurement in last.values():
        for title, key in _chosen(measurement, _examples(run)):
            block = _block(run, measurement, title, key)
            if block:
                blocks.append(block)
    if not blocks:
        return [Paragraph("There are no graded generations to show.")]
    intro = (
        "Texts as the model wrote them: the first of each kind, cut where they are long, "
        "characters that act without being seen written out."
    )
    return [Paragraph(intro), *blocks]


def _examples(run: Run) -> int:
    section = run.config.get("report")
    examples = section.get("examples") if isinstance(section, Mapping) else None
    return examples if isinstance(examples, int) and examples >= 0 else PER_BENCHMARK


def _chosen(measurement: Measurement, examples: int) -> list[tuple[str, SampleKey]]:
    """(what it shows, key): the first sample of each kind that exists, then the second of each, and so on."""
    order = {name: place for place, name in enumerate(expected_problems(measurement))}
    main = measurement.grades[measurement.graders[0]]
    keys = sorted(
        (key for key in main if key in measurement.samples),
        key=lambda key: (order.get(key.problem_id, len(order)), key.problem_id, key.sample_index),
    )
    what = "program" if measurement.is_code else "answer"
    kinds: dict[str, list[SampleKey]] = {
        f"right {what}": [key for key in keys if main[key].correct],
        "the judges differ": [key for key in keys if _disputed(measurement, key)],
        f"wrong {what}": [key for key in keys if not main[key].correct and main[key].reason == "wrong"],
        "cut off at the length limit": [key for key in keys if main[key].reason == "truncated"],
        "no answer": [key for key in keys if main[key].reason == "no answer"],
    }
    chosen: dict[SampleKey, str] = {}
    while len(chosen) < min(examples, len(keys)):
        before = len(chosen)
        for title, candidates in kinds.items():
            left = [key for key in candidates if key not in chosen]
            seen = {key.problem_id for key in chosen}
            fresh = next((key for key in left if key.problem_id not in seen), left[0] if left else None)
            if fresh is not None and len(chosen) < examples:
                chosen[fresh] = title
        if len(chosen) == before:
            break
    return [(title, key) for key, title in chosen.items()]


def _disputed(measurement: Measurement, key: SampleKey) -> bool:
    return len({table[key].correct for table in measurement.grades.values() if key in table}) > 1


def _block(run: Run, measurement: Measurement, title: str, key: SampleKey) -> SampleText | None:
    try:
        with Reader() as reader:
            generation = reader.read(measurement.samples[key])
    except (OSError, ValueError):
        run.notes.append(f"{measurement.samples[key].path.relative_to(run.path)} changed while it was read.")
        return None
    problem = run.problems.get((key.benchmark, key.problem_id))
    graded = {
        name: measurement.grades[name][key] for name in measurement.graders if key in measurement.grades[name]
    }
    tone: Tone = "good" if next(iter(graded.values())).correct else "bad"
    is_imported = measurement.engine_name == "imported"
    facts = [*_facts(generation, is_imported), *((f"{name} grader", _said(grade)) for name, grade in graded.items())]
    if problem is not None and problem.answer is not None:
        facts.append(("right answer", problem.answer))
    heading = f"{key.benchmark} · {key.model} · problem {key.problem_id}, sample {key.sample_index}: {title}"
    return SampleText(heading, tone, tuple(facts), problem.statement if problem else "", generation.text)


def _facts(generation: Generation, is_imported: bool) -> list[tuple[str, str]]:
    return [
        ("tokens", str(generation.token_count) if generation.token_count else "not known"),
        ("finish", generation.finish_reason or "not known"),
        ("seed", "not known" if is_imported else str(generation.seed)),
    ]


def _said(grade: Grade) -> str:
    words: str = grade.reason
    if grade.verdict is not None:
        words += f", verdict {grade.verdict}, {grade.score:.0%} of the tests passed"
    elif grade.extracted is not None:
        words += f", read as {grade.extracted}"
    return words
