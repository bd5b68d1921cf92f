"""What is measured: problems, protocols, graders, estimators and the published numbers.

Nothing here generates text.  Importing the package is cheap: pydantic, datasets, math-verify and
pyarrow are imported by the functions that need them, torch by none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError, BenchmarkWarning

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.records import Problem

BENCHMARKS = (
    "aime24", "aime25", "hmmt25", "aime26", "hmmt26", "lcb_v5", "lcb_v6", "gsm8k", "math500", "humaneval",
    "mini-aime", "mini-lcb", "mini-words",
)  # fmt: skip
"""Names that `load_benchmark` knows."""


def load_benchmark(name: str, path: str | Path | None = None, revision: str | None = None, *, tests: bool = True) -> list[Problem]:
    """Load the problems of one benchmark, in the order of the official numbering.

    `path` is a file (JSONL, JSON, CSV, Parquet, or gzipped) or a folder that holds one; without it the problems come
    from the Hub at `revision` (`benchmarks.sources`, the windows of LiveCodeBench `benchmarks.livecodebench_problems`,
    `benchmarks.human_eval`).
    `mini-aime`, `mini-lcb` and `mini-words` are written by the data stage and always need `path`.  Answers
    are checked against the official key, windows against the official ids.  Without `tests` the problems of the windows
    have none, which spares gigabytes where nothing is graded.

    Raises:
        BenchmarkError: unknown name, nothing at `path`, no Hub, a wrong answer, a problem missing or doubled.
        benchmarks.records.BrokenRow: (a BenchmarkError) a line cannot be read; it names file and line.
    Warns:
        BenchmarkWarning: statements differ from the reference copy, rows are no problem of the benchmark, answers of the key
            have one source.
    """
    from benchmarks.sources import load

    return load(name, path, revision, tests)


__all__ = ["BENCHMARKS", "BenchmarkError", "BenchmarkWarning", "load_benchmark"]
