"""Shared data and one pool of judges for the tests of `benchmarks`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.grading import GraderPool

SHARED = Path(os.environ.get("KLEAR_SHARED") or Path(__file__).resolve().parents[2].parent / "shared")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of released data files; tests that need it are skipped where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data in {folder}: set KLEAR_SHARED")
    return folder


@pytest.fixture(scope="session")
def cases() -> list[dict[str, Any]]:
    """The hand-made grading cases."""
    file = SHARED / "cases" / "math_grading.jsonl"
    if not file.is_file():
        pytest.skip(f"no shared cases in {file.parent}: set KLEAR_SHARED")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def pool() -> Iterator[GraderPool]:
    """Two judging processes for the whole run."""
    with GraderPool(workers=2) as graders:
        yield graders
