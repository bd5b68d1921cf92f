"""What all tests share: the checkout, the folder of released data, and long drills only when asked for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]


# The same examples in every run, and no limit of time for one: a machine may be busy.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


def pytest_configure() -> None:
    """A shell that starts the tests in the background has them ignore interrupts, and so all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "proof" not in config.option.markexpr:
        drill = pytest.mark.skip(reason="a long drill: run it with -m proof")
        for item in items:
            if item.get_closest_marker("proof"):
                item.add_marker(drill)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of released data files and facts; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("KLEAR_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared data in {folder}: set KLEAR_SHARED")
    return folder
