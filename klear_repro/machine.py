"""What the machine has: GPUs with their memory, cores, main memory, free disk.  Read from the system; no CUDA context is made.

A CUDA context would take half a gigabyte of every GPU from the processes that generate, so memory is asked of `nvidia-smi`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NVIDIA_SMI_S = 10.0
"""Seconds that `nvidia-smi` may take; it hangs where the driver does."""


MOST_WORKERS = 32
"""Processes that judge, unless `runtime.workers` says more."""


@dataclass(frozen=True)
class GPU:
    """One GPU that this process may use.  Sizes are bytes; 0: not known."""

    name: str
    total: int
    free: int


@dataclass(frozen=True)
class Machine:
    """What there is to generate with."""

    gpus: tuple[GPU, ...]
    memory: int
    """Main memory that is free, bytes; 0: not known."""


def this_machine() -> Machine:
    """The machine that runs this."""
    return Machine(tuple(visible_gpus(os.environ)), free_memory())


def visible_gpus(environ: Mapping[str, str]) -> list[GPU]:
    """The GPUs of `nvidia-smi` that `CUDA_VISIBLE_DEVICES` leaves; none where there is no such program or it fails.

    A part of a GPU (MIG) is listed with unknown sizes.
    """
    query = ["nvidia-smi", "--query-gpu=index,uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, errors="replace", timeout=NVIDIA_SMI_S, check=False, env=dict(environ))
    except (OSError, subprocess.TimeoutExpired):
        return []
    found: dict[str, tuple[str, GPU]] = {}
    for line in done.stdout.splitlines() if not done.returncode else ():
        words = [word.strip() for word in line.split(",")]
        if len(words) == 5:
            index, uuid, name, total, free = words
            found[index] = uuid, GPU(name, _mebibytes(total), _mebibytes(free))
    if "CUDA_VISIBLE_DEVICES" not in environ:
        return [gpu for _, gpu in found.values()]
    chosen = []
    for word in environ["CUDA_VISIBLE_DEVICES"].split(","):
        name = word.strip()
        if name in found:
            chosen.append(found[name][1])
        elif name.startswith("MIG-"):
            chosen.append(GPU("part of a GPU", 0, 0))
        elif matching := [gpu for uuid, gpu in found.values() if name and uuid.startswith(name)]:
            chosen.append(matching[0])
        else:  # CUDA stops at the first one that does not exist
            break
    return chosen


def _mebibytes(text: str) -> int:
    return int(text) << 20 if text.isdecimal() else 0


def free_memory(root: Path = Path("/")) -> int:
    """Main memory that a new process can have, bytes, within the limit of its control group; 0: not known."""
    available = 0
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) << 10
    group = root / "sys/fs/cgroup"
    for limit, used, statistics, prefix in (
        ("memory.max", "memory.current", "memory.stat", ""),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_"),
    ):
        most, now = _text(group / limit).strip(), _text(group / used).strip()
        if most.isdecimal() and now.isdecimal():  # else «max»: no limit
            left = max(0, int(most) - int(now) + _cached(group / statistics, prefix))
            available = min(available, left) if available else left
    return available


def _cached(statistics: Path, prefix: str) -> int:
    """Contents of files that a control group has in memory, bytes: they count as used, and are given up for a process."""
    rows = [line.split() for line in _text(statistics).splitlines()]
    named = {f"{prefix}{name}" for name in ("active_file", "inactive_file")}
    return sum(int(row[1]) for row in rows if len(row) == 2 and row[0] in named and row[1].isdecimal())


def cores(environ: Mapping[str, str], root: Path = Path("/")) -> int:
    """Cores for this process, at least 1: those it may run on, within the quota of its control group, shared with the other processes of torchrun."""
    count = float(len(os.sched_getaffinity(0)))
    quota, _, period = _text(root / "sys/fs/cgroup/cpu.max").strip().partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        count = min(count, int(quota) / int(period))
    processes = environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(count / max(1, int(processes) if processes.isdecimal() else 1)))


def workers(wanted: int) -> int:
    """`runtime.workers`, or as many as there are cores, at most MOST_WORKERS: each takes memory."""
    return wanted or min(MOST_WORKERS, cores(os.environ))


def free_disk(path: Path) -> int:
    """Bytes that may be written at `path`, which need not exist."""
    return shutil.disk_usage(_there(path)).free


def same_disk(one: Path, other: Path) -> bool:
    """Whether two paths, which need not exist, are on one file system."""
    return _there(one).stat().st_dev == _there(other).stat().st_dev


def _there(path: Path) -> Path:
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
