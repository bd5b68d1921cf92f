"""What a reader must know beside the scores of a run, whatever report they stand in: parts of benchmarks, tools, quantised
weights, rewards that can be cheated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.answer_keys import KEYED, load_key
from benchmarks.livecodebench_problems import WINDOWS
from benchmarks.records import CHEATABLE
from reports.load import Run
from reports.measurements import Measurement
from reports.run_description import changed_protocols, vouched_servers
from reports.text import brief

HUMANEVAL = 164


def problems_of(run: Run, benchmark: str) -> int | None:
    """How many problems a benchmark has; None where nobody knows."""
    if target := run.published.targets.get(benchmark):
        return target.problems
    if benchmark in KEYED:
        return len(load_key(benchmark).problems)
    if benchmark in WINDOWS:
        return WINDOWS[benchmark].problems
    return HUMANEVAL if benchmark == "humaneval" else None


def part_of(run: Run, benchmark: str, measured: int) -> str:
    """Such as "4 of 30 problems" where that is not all of them."""
    whole = problems_of(run, benchmark)
    return f"{measured:,} of {whole:,} problems" if whole and 0 < measured < whole else ""


def partial(run: Run) -> list[str]:
    """Benchmarks of which only some problems were measured."""
    if run.manifest.stand_in is not False:
        return []
    parts = ((one.benchmark, part_of(run, one.benchmark, one.problems or 0)) for one in run.manifest.evaluations)
    return list(dict.fromkeys(f"Only {part} of {benchmark} were measured: no score of the benchmark." for benchmark, part in parts if part))


def quantised(run: Run) -> list[str]:
    """Models whose weights an engine had quantised, or that were so before they were read as floats."""
    found = ((one.model, method) for one in run.measurements for method in _methods(one))
    return list(dict.fromkeys(f"The weights of {brief(model, 100)} are quantised ({method})." for model, method in found))


def tool_users(run: Run) -> list[str]:
    """Models whose imported responses a tool seems to have worked on, with how many of them on each benchmark."""
    found: dict[str, list[str]] = {}
    for one in run.manifest.evaluations:
        if one.uses_tools:
            found.setdefault(one.model, []).append(f"{one.tools:,} of {one.samples or 0:,} on {brief(one.benchmark)}")
    why = "A score with tools is no comparison for a model without them"
    return [
        f"Responses of {brief(model, 100)} contain executed code with its output, or calls of a tool: {', '.join(counts)}. {why}."
        for model, counts in found.items()
    ]


def cheatable(run: Run) -> list[str]:
    """Training data whose tests a program can pass without being right."""
    found = []
    for name, numbers in run.funnel.items():
        counts = numbers if isinstance(numbers, Mapping) else {}
        number, kept = counts.get(CHEATABLE), counts.get("short enough")
        if isinstance(number, int) and isinstance(kept, int) and number > 0:
            problems = f"{number:,} of {kept:,} problems of {brief(str(name), 100)}"
            found.append(f"The tests of {problems} run in the process of the program they judge, which can pass without being right.")
    return found


def cautions(run: Run) -> list[str]:
    """All of it in sentences, for a comparison that has no room for each run's own lead."""
    unknown = [
        f"Nobody said under which protocol the imported responses of {brief(one.model, 100)} were made."
        for one in run.measurements if one.engine_name == "imported" and one.protocol_name == "imported"
    ]  # fmt: skip
    said = [paragraph.text for paragraph in (*vouched_servers(run), *changed_protocols(run))]
    return list(dict.fromkeys([*unknown, *tool_users(run), *quantised(run), *cheatable(run), *said, *partial(run)]))


def _methods(measurement: Measurement) -> Iterator[str]:
    for fields in measurement.settings.values():
        if method := fields.get("engine.quantization"):
            yield brief(str(method))
