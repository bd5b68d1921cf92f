"""Functions of the task files for stock lm-eval (0.4.13): problems with checked answers, avg@k over all repeats.

The standard error that lm-eval prints beside a mean over problems is the problem-clustered one: the standard deviation
of the problems' averages over √m (`benchmarks.estimators.clustered_standard_error`).
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from benchmarks import load_benchmark
from benchmarks.grading import Grader, GraderPool
from benchmarks.records import Thinking

PATH_VARIABLE = "KLEAR_BENCHMARKS"


def problems(name: str, benchmark_path: str | None = None, thinking: Thinking = "required", **_: Any) -> dict[str, Any]:
    """The problems as lm-eval's documents.

    `--metadata benchmark_path=FOLDER` or the variable KLEAR_BENCHMARKS says where the JSONL files are; without
    either the problems come from the Hub.  `thinking`: where `strict` finds the end of the thinking; `required` is the
    protocol's, `--metadata thinking=auto` is for models without thinking tags.
    """
    from datasets import Dataset

    listed = load_benchmark(name, benchmark_path or os.environ.get(PATH_VARIABLE) or None)
    rows = [{"id": one.id, "benchmark": name, "statement": one.statement, "answer": one.answer, "thinking": thinking} for one in listed]
    return {"test": Dataset.from_list(rows)}


def all_responses(responses: Iterable[list[str]], docs: Sequence[Any]) -> list[list[str]]:
    """Every repeat; lm-eval's default would keep the first one."""
    return [list(one) for one in responses]


@cache
def _pool() -> GraderPool:
    pool = GraderPool()
    atexit.register(pool.close)
    return pool


def process_results(doc: dict[str, Any], results: list[list[str]]) -> dict[str, float]:
    """Share of correct repeats of one problem under both judges."""
    graders: tuple[Grader, ...] = ("klear", "strict")
    scores = {}
    for grader in graders:
        grades = _pool().grade_many([(text, doc["answer"]) for text in results[0]], grader, doc["thinking"])
        scores[f"avg_at_k_{grader}"] = sum(grade.correct for grade in grades) / len(grades)
    return scores
