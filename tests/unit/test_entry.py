"""The first moments of the program: an interrupt, and a Python that is too old."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from klear_repro.entry import INTERRUPTED

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = "import sys; from klear_repro.entry import main; sys.exit(main())"  # the script `klear-repro`


@pytest.mark.parametrize("start", [["-m", "klear_repro.run"], ["-c", INSTALLED]], ids=["python -m", "klear-repro"])
@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3])
def test_an_interrupt_while_the_program_is_imported_is_one_line(start: list[str], delay: float, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", *start, "--stage", "data", "--run-dir", str(tmp_path / "run")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith("klear_repro.entry"):
            break
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert [line for line in err.splitlines() if not line.startswith("import time:")] == [INTERRUPTED]
    assert (process.returncode, out) == (130, "")
    assert not (tmp_path / "run").exists()


def test_an_ignored_interrupt_stays_ignored() -> None:
    """As under nohup, or in the background of a shell without job control."""
    code = "import signal, klear_repro.entry as e; signal.signal(2, signal.SIG_IGN); e.main(); print(signal.getsignal(2) is signal.SIG_IGN)"
    done = subprocess.run([sys.executable, "-c", code, "--stage", "nothing"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10"])
@pytest.mark.parametrize("module", ["klear_repro.run", "reports"])
def test_an_older_python_is_named_in_one_line(version: str, module: str) -> None:
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"no Python {version} here")
    done = subprocess.run([python, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "Python 3.11 or later is needed" in line and f"{version}." in line


def test_the_version_is_looked_at_before_anything_that_needs_it() -> None:
    code = (
        "import sys\nsys.version_info = (3, 10, 4, 'final', 0)\nsys.modules['tomllib'] = None\n"
        "from klear_repro.entry import main\nsys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("klear-repro: Python 3.11 or later is needed, this is 3.10.4 (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["klear_repro.run", "--stage", "data"], ["reports", "runs/x"]], ids=["klear-repro", "reports"])
def test_a_python_without_the_packages_is_one_line(words: list[str]) -> None:
    command = [sys.executable, "-S", "-m", *words]  # -S: no installed package
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "is not installed for" in line and sys.executable in line and "pip install" in line
