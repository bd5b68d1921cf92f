"""Which stack of packages this machine takes: `cuda` (vLLM on an NVIDIA GPU) or `core`.

They cannot share an environment (constraints/core.txt, constraints/cuda.txt).  tox asks here before it makes one (toxfile.py), with
whatever Python it runs on, so this module imports the standard library only and nothing of the project.

A GPU counts if its driver answers: `nvidia-smi` lists one or, where there is no such program, as in many containers, the driver's
files show one.  Nothing is imported or compiled for that; whether vLLM runs on the GPU is vLLM's to say.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STACKS = ("core", "cuda")
OVERRIDE = "KLEAR_STACK"
"""Environment variable that settles the choice."""
DRIVER = 580
"""NVIDIA driver that CUDA 13 wants, for which the torch of constraints/cuda.txt is built."""
ANSWER_S = 60
"""The first call of nvidia-smi wakes every GPU of the machine, which takes seconds for each."""


@dataclass(frozen=True)
class Stack:
    """The choice and its reason, a phrase for the line that announces it."""

    name: str
    reason: str


def choose_stack(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Stack:
    """The stack for this machine.

    Args:
        environment: KLEAR_STACK, CUDA_VISIBLE_DEVICES and PATH are read.
        root: where /proc, /dev and /usr/lib/wsl are looked for.

    Raises:
        ValueError: KLEAR_STACK names no stack.
    """
    if wanted := environment.get(OVERRIDE, "").strip():
        if wanted not in STACKS:
            raise ValueError(f"{OVERRIDE}={wanted!r}: allowed are {', '.join(STACKS)}, or empty for the machine's own")
        return Stack(wanted, f"{OVERRIDE}={wanted}")
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not _visible(visible):
        return Stack("core", f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU")
    if program := _nvidia_smi(environment, root):
        listed, answer = _ask(program, environment)
        return Stack("cuda", f"{answer}{_old_driver(root)}") if listed else Stack("core", f"nvidia-smi lists no GPU ({answer})")
    if not (root / "proc/driver/nvidia/version").exists():
        return Stack("core", "no NVIDIA GPU here")
    devices = sorted(path.name for path in (root / "dev").glob("nvidia[0-9]*"))
    if not devices:
        return Stack("core", "an NVIDIA driver without a GPU")
    return Stack("cuda", f"/dev/{devices[0]}{_old_driver(root)}")


def _visible(devices: str) -> bool:
    """Whether CUDA sees a GPU: it reads the list up to the first entry that is none."""
    first = devices.split(",")[0].strip()
    return first.isdecimal() or first.startswith(("GPU-", "MIG-"))


def _nvidia_smi(environment: Mapping[str, str], root: Path) -> str | None:
    """The program from PATH, or the one that Windows lends to WSL, which is seldom on it."""
    wsl = root / "usr/lib/wsl/lib/nvidia-smi"
    return shutil.which("nvidia-smi", path=environment.get("PATH", "")) or (str(wsl) if os.access(wsl, os.X_OK) else None)


def _ask(program: str, environment: Mapping[str, str]) -> tuple[bool, str]:
    """(it lists a GPU, its first line)."""
    try:
        done = subprocess.run(
            [program, "-L"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(environment),
            timeout=ANSWER_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False, f"no answer in {ANSWER_S} s"
    except OSError as error:
        return False, error.strerror or type(error).__name__
    text = done.stdout.decode(errors="replace").strip()
    first = re.sub(r"\s*\(UUID: .*?\)", "", text.splitlines()[0])[:100] if text else ""
    if done.returncode:
        return False, first or f"exit code {done.returncode}"
    return "no devices" not in text.lower(), first or program


def _old_driver(root: Path) -> str:
    """What to add where the driver's version is known and too old for the stack."""
    try:
        text = (root / "proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"\b(\d{3,4})\.\d+(?:\.\d+)?\b", text)
    return f"; its driver {found[0]} is older than {DRIVER}, which CUDA 13 wants" if found and int(found[1]) < DRIVER else ""


def cuda_torch(python: str | Path, pin: str, environment: Mapping[str, str] = os.environ) -> str:
    """The version of torch that pip would take, if it is no CPU build; empty if it is one, or if pip cannot tell.

    pip is asked for the versions that it sees, which downloads nothing; of those with the pinned number it takes the greatest local one,
    `2.13.0+cpu` before `2.13.0`, which on Linux is the build for CUDA.

    Args:
        python: the interpreter of the environment that torch is for.
        pin: the version that the constraints ask for, such as 2.13.0.
    """
    try:
        done = subprocess.run(
            [str(python), "-I", "-m", "pip", "index", "versions", "--disable-pip-version-check", "torch"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(environment), timeout=ANSWER_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""  # the installation will say what is wrong
    listed = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    seen = [version.strip() for version in listed[1].split(",")] if listed else []
    builds = [version for version in seen if version.partition("+")[0] == pin]
    return builds[0] if builds and not builds[0].partition("+")[2].startswith("cpu") else ""
