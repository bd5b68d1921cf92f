"""The 164 canonical solutions of HumanEval are accepted, and none of them without its body."""

import json
import os
from pathlib import Path

import pytest

from sandbox import Executor, Limits, Test

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(os.environ.get("KLEAR_SHARED", ROOT.parent / "shared")) / "data" / "human_eval.jsonl"


def _load() -> list[dict[str, str]]:
    if not FILE.exists():
        pytest.skip(f"{FILE.name} is not there; set KLEAR_SHARED to the folder that holds data/")
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines() if line.strip()]


def _samples(problems: list[dict[str, str]], body: str | None) -> list[tuple[str, list[Test]]]:
    """Each problem's own `check`, wrapped into a function that returns True if no assertion fails."""
    samples = []
    for problem in problems:
        solution = problem["canonical_solution"] if body is None else body
        code = f"{problem['prompt']}{solution}\n{problem['test']}\n"
        code += f"def passes():\n    check({problem['entry_point']})\n    return True\n"
        samples.append((code, [Test(function="passes", args=[], expected=True)]))
    return samples


def test_canonical_solutions_are_accepted():
    problems = _load()
    with Executor(workers=2) as executor:
        results = executor.run_many(_samples(problems, None), Limits(cpu_s=10, wall_s=60))
    failed = [(p["task_id"], r.tests[0]) for p, r in zip(problems, results, strict=True) if not r.passed]
    assert len(problems) == 164 and not failed


@pytest.mark.parametrize("body", ["    pass\n", "    return None\n"])
def test_solutions_without_a_body_are_not(body):
    problems = _load()
    with Executor(workers=2) as executor:
        results = executor.run_many(_samples(problems, body), Limits(cpu_s=5, wall_s=60))
    assert [p["task_id"] for p, r in zip(problems, results, strict=True) if r.passed] == []
