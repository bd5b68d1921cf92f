"""HumanEval (Chen et al. 2021, arXiv 2107.03374): 164 functions to complete, each with assertions of its own.

What runs is the prompt, the model's code and the problem's `check`.  The prompt alone defines the function with an
empty body, so the code may be the body or the whole function.  The assertions run in the process of the program
they judge, as in the official checker, so a program written to cheat can pass them.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.answer_keys import read_table
from benchmarks.errors import BenchmarkError, BenchmarkWarning
from benchmarks.records import BrokenRow, CodeTest, Problem

HUB_REPO = "openai/openai_humaneval"
HUB_DATA = ("openai_humaneval/test-*.parquet",)
FILES = ("human_eval.jsonl", "HumanEval.jsonl", "humaneval.jsonl", "test.jsonl")
PASSES = "passes_all_assertions"


def load_human_eval(path: Path | None, revision: str | None) -> list[Problem]:
    """The 164 problems in order; tests are checked against their official hashes.

    Raises:
        BenchmarkError: nothing at `path`, no Hub, another test than the official one, a problem missing or doubled.
    Warns:
        BenchmarkWarning: prompts differ from the official ones.
    """
    from benchmarks.sources import find_file, local_rows

    if path is None:
        from benchmarks.hub import hub_rows

        source, rows = hub_rows("humaneval", HUB_REPO, revision or "main", HUB_DATA, FILES[0])
    else:
        file = find_file("humaneval", path, FILES)
        source, rows = file.name, local_rows(file)
    return _checked(source, rows)


def _checked(source: str, rows: Iterator[tuple[str, Mapping[str, Any]]]) -> list[Problem]:
    official = {identity: hashes for identity, *hashes in read_table("humaneval")}
    found: dict[str, Problem] = {}
    differing = []
    for where, row in rows:
        place = f"{source}, {where}"
        identity, prompt, test, name = (_text(row, field, place) for field in ("task_id", "prompt", "test", "entry_point"))
        if identity not in official or identity in found:
            why = "appears twice" if identity in found else "is not one of HumanEval/0 … HumanEval/163"
            raise BenchmarkError(f"{place}: task_id {identity!r} {why}")
        if _hash(f"{test.strip()}\n{name}") != official[identity][1]:
            raise BenchmarkError(f"{place}: {identity} has another test or entry point than the official one")
        if _hash(prompt.strip()) != official[identity][0]:
            differing.append(identity)
        after = f"{test}\ndef {PASSES}():\n    check({name})\n    return True\n"
        found[identity] = Problem(
            benchmark="humaneval", id=identity, kind="code", statement=prompt, before=prompt, after=after,
            tests=(CodeTest(function=PASSES, expected=True),), info={"source": source, "entry_point": name},
        )  # fmt: skip
    if missing := [identity for identity in official if identity not in found]:
        raise BenchmarkError(f"{source}: {len(found)} of {len(official)} problems of humaneval; missing {', '.join(missing[:3])}")
    if differing:
        warnings.warn(
            f"{source}: {len(differing)} of {len(found)} prompts differ from the official ones of humaneval: {', '.join(differing[:5])}",
            BenchmarkWarning, stacklevel=5,
        )  # fmt: skip
    return [found[identity] for identity in official]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _text(row: Mapping[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise BrokenRow(f"{place}: {field}: {type(value).__name__} is not allowed; text")
    return value
