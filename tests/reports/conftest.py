"""Fixtures of the report tests: run folders made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_builder import RunBuilder, complete

from reports.render import write_report


@pytest.fixture
def builder(tmp_path: Path) -> RunBuilder:
    """An empty run in a temporary folder."""
    return RunBuilder(tmp_path / "run")


@pytest.fixture
def smoke_run(builder: RunBuilder) -> RunBuilder:
    """A complete stand-in run."""
    return complete(builder)


@pytest.fixture(scope="session")
def smoke_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a complete stand-in run, written once; not to be changed."""
    return write_report(complete(RunBuilder(tmp_path_factory.mktemp("smoke") / "run")).write())
