"""data/funnel.json: what of the data was kept for training, and why not the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import CHEATABLE
from klear_repro.asserts.reading import AssertTest
from klear_repro.files import write_json
from klear_repro.training.prompts import Prompt


def count_prompts(prompts: Sequence[Prompt], usable: int, skipped: int) -> dict[str, int]:
    """The numbers of a set: its rows, those that can be trained on, those whose prompt is short enough, and cheatable ones among them."""
    cheatable = sum(any(isinstance(test, AssertTest) and test.cheatable for test in one.ground_truth) for one in prompts)
    counts = {"rows": usable + skipped, "usable": usable, "short enough": len(prompts)}
    return counts | ({CHEATABLE: cheatable} if cheatable else {})


def write_funnel(run: Path, name: str, counts: dict[str, int]) -> None:
    """Replaces the numbers of one set in the file."""
    path = run / "data" / "funnel.json"
    funnel = json.loads(path.read_bytes()) if path.exists() else {}
    path.parent.mkdir(exist_ok=True)
    write_json(path, {**funnel, name: counts})
