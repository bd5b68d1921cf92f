"""The examples of docs/which-command.md, run in order in one empty folder, as a reader who starts at the top would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from klear_program import ROOT, environment

PAGE = ROOT / "docs" / "which-command.md"


def sections() -> dict[str, list[str]]:
    """Heading → its examples that can be run (fenced as `sh`)."""
    found: dict[str, list[str]] = {}
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        found[part.splitlines()[0]] = re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
    return found


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example in a shell whose `python` and `klear-repro` are those of the tests."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    (tools / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tools / "klear-repro").write_text(f'#!/bin/sh\nexec {sys.executable} -m klear_repro.run "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment(PATH=path), capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip


def test_every_section_of_the_page_has_an_example_that_runs() -> None:
    assert [name for name, examples in sections().items() if not examples] == []


@pytest.mark.slow
def test_the_examples_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    for name, examples in sections().items():
        for example in examples:
            done = shell(example, tmp_path)
            assert done.returncode == 0, f"{name}: {done.stderr}"
            said = re.search(r"prints `(.+?)`", PAGE.read_text(encoding="utf-8").split(f"\n## {name}")[1].split("\n## ")[0])
            assert not said or said[1] == done.stdout.strip(), name
    for run in ("smollm2", "imported", "trained"):
        assert (tmp_path / "runs" / run / "report" / "report.md").is_file()
    assert (tmp_path / "comparison" / "comparison.md").is_file()
