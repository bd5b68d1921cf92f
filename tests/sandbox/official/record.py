"""Asks the official LiveCodeBench checker for its verdicts and keeps them: python record.py CHECKOUT [DATA]

CHECKOUT is a folder with LiveCodeBench's `lcb_runner` at 28fef95, DATA the folder of shared data. Programs whose
verdict is in the file keep it: delete verdicts.jsonl to ask about all of them again. Programs are run WITHOUT
ISOLATION, as the official checker does: use a machine that may be lost.
"""

from __future__ import annotations

import json
import platform
import sys
import types
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parent)]

from official.cases import Case, own_cases, shared_cases, state_cases  # noqa: E402

FILE = HERE / "verdicts.jsonl"
COMMIT = "28fef95"


def _checker(checkout: str) -> Any:
    """`evaluate_generations_by_problem`, without the packages around it, which import far more."""
    for name in ("lcb_runner", "lcb_runner.evaluation"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(checkout, *name.split(".")))]
        sys.modules[name] = package
    from lcb_runner.evaluation import compute_code_generation_metrics as metrics  # type: ignore[import-not-found]

    return metrics.evaluate_generations_by_problem


def verdict(job: tuple[str, Case]) -> dict[str, Any]:
    """The row of one program: passed as `compute_metrics_from_results` has it, and the error code."""
    import numpy as np

    checkout, case = job
    tests: dict[str, Any] = {"inputs": case.inputs, "outputs": case.outputs}
    if case.function is not None:
        tests["fn_name"] = case.function
    sample = {"input_output": json.dumps(tests)}
    results, metadata = _checker(checkout)(([case.code], sample, False, case.timeout))
    try:
        passed = bool(np.all(np.array(results[0]) > 0))
    except ValueError:  # an array among the results
        passed = False
    return {"name": case.name, "key": case.key, "passed": passed, "code": metadata[0].get("error_code")}


def _known() -> dict[str, dict[str, Any]]:
    """The rows that are there, by key, if this Python made them."""
    if not FILE.exists():
        return {}
    head, *rows = map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
    return {row["key"]: row for row in rows} if head["python"] == platform.python_version() else {}


def main(checkout: str, data: Path) -> None:
    """Writes the file, a line a program, in the order of the programs."""
    cases, known = [*own_cases(), *state_cases(), *shared_cases(data)], _known()
    asked = [case for case in cases if case.key not in known]
    with ProcessPoolExecutor(2) as pool:
        for row in pool.map(verdict, [(checkout, case) for case in asked], chunksize=8):
            known[row["key"]] = row
    rows = [known[case.key] | {"name": case.name} for case in cases]
    head = {"checker": COMMIT, "python": platform.python_version(), "programs": len(rows)}
    lines = [json.dumps(row, separators=(",", ":")) for row in [head, *rows]]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else HERE.parents[2].parent / "shared" / "data")
