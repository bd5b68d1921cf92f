"""Tests of what only a GPU reaches: skipped where there is none.  One NVIDIA GPU of 40 GiB runs all of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "integration"), str(TESTS / "training"), str(TESTS / "perf")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(autouse=True)
def nothing_left_on_the_gpu() -> None:
    torch.cuda.empty_cache()
