"""Device, data type and threads of a run: decided here and nowhere else."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Device:
    """Where a run computes."""

    device: torch.device
    dtype: torch.dtype
    threads: int


def choose_device(device: str, dtype: str, threads: int) -> Device:
    """Resolve `auto`: CUDA and bfloat16 where there is a GPU, else CPU and float32; sets torch's threads.

    Raises:
        ValueError: CUDA was asked for and is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("runtime.device='cuda': this machine has no CUDA device; allowed here is 'cpu' or 'auto'")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    default = torch.bfloat16 if chosen.type == "cuda" else torch.float32
    kind = {"auto": default, "float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    if threads:
        torch.set_num_threads(threads)
    return Device(chosen, kind, torch.get_num_threads())


def hardware(device: Device) -> dict[str, Any]:
    """What the manifest says of the machine."""
    gpu = torch.cuda.get_device_name() if device.device.type == "cuda" else None  # CUDA only
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": gpu,
        "device": device.device.type,
        "dtype": str(device.dtype).removeprefix("torch."),
        "threads": device.threads,
        "platform": platform.platform(),
    }
