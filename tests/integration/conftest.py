"""One finished run that tests may copy, and a disk that is easily full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from klear_program import PROFILE, klear


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature profile as a file."""
    path = tmp_path_factory.mktemp("profile") / "mini.toml"
    path.write_text(PROFILE)
    return path


@pytest.fixture(scope="session")
def finished(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    outcome = klear("--profile", profile, "--run-dir", folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be changed; times of files are kept."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of a given size; called again with another size, the same one is made larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def disk(size: str) -> Path:
        nonlocal mounted
        options = f"remount,size={size}" if mounted else f"size={size}"
        try:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("no mount program: a full disk needs a small tmpfs")
        if done.returncode:
            pytest.skip(f"a full disk needs a small tmpfs, which this user may not mount: {done.stderr.strip()}")
        mounted = True
        return folder

    yield disk
    if mounted:
        subprocess.run(["umount", str(folder)], check=False)
