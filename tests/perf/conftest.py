"""Figures of `tox -e perf`: one line each, and all of them in perf.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Report = Callable[..., None]


@pytest.fixture(scope="session")
def figures() -> Iterator[list[dict[str, object]]]:
    """Everything that was measured; written when the last measurement is done."""
    found: list[dict[str, object]] = []
    yield found
    Path("perf.json").write_text(json.dumps(found, indent=2) + "\n")


@pytest.fixture
def report(figures: list[dict[str, object]]) -> Report:
    """report(name, value, unit, target, against): print one figure; met is value ≥ target, or ≤ with less=True."""

    def add(name: str, value: float, unit: str, target: float, against: str, less: bool = False) -> None:
        met = "met" if (value <= target if less else value >= target) else "short"
        print(f"\n{name}: {value:.2f} {unit} (target {target:g}, against {against}) {met}")
        figures.append({"name": name, "value": value, "unit": unit, "target": target, "against": against, "met": met == "met"})

    return add
