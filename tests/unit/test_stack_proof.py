"""Proof drill, half a minute each, wants a package index: the CUDA environment of tox resolves from metadata alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from test_stack import LISTED, ROOT, evaluation_environment, names, program

pytestmark = pytest.mark.proof


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_environment_that_tox_makes_with_a_gpu_resolves(python: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("uv"):
        from uv import find_uv_bin

        uv: str | None = find_uv_bin()
    else:
        uv = shutil.which("uv")
    if not uv:
        pytest.skip("no uv here")
    path = program(tmp_path / "bin", LISTED)["PATH"] + os.pathsep + os.environ["PATH"]
    found = evaluation_environment(tmp_path, PATH=path)
    _, constraints, torch = found["deps"].split()
    requirements = tmp_path / "requirements.in"
    requirements.write_text(torch)
    extras = [word for name in found["extras"].split() for word in ("--extra", name)]
    start = time.monotonic()
    done = subprocess.run(
        [uv, "pip", "compile", str(ROOT / "pyproject.toml"), str(requirements), *extras, "--constraints", str(ROOT / constraints),
         "--python-version", python, "--python-platform", "x86_64-manylinux_2_28", "--no-annotate", "--no-header", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    resolved = {line.split(";")[0].strip() for line in done.stdout.splitlines() if "==" in line}
    print(f"\ncuda stack for Python {python}: {len(resolved)} packages in {time.monotonic() - start:.1f} s")
    assert {"vllm==0.33.0", "torch==2.14.0", "antlr4-python3-runtime==4.13.2", "math-verify==0.9.0"} <= resolved
    assert {line.partition("==")[0].lower() for line in resolved} <= names(ROOT / constraints)  # nothing is left to chance
