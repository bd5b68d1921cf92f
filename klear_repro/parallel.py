"""Data parallelism: several processes, each with a copy of the model, fill one store with their share of the samples.

Each process is this program with `--eval.shard I/N` on the same run folder.  The store keeps them apart sample by
sample, so one that dies loses nothing that it finished, and the same command goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from klear_repro.errors import RunError, UserError
from klear_repro.progress import say

TORCHRUN = {"RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
"""What torchrun tells its processes: a shard is none of them."""


def run_shards(run_dir: Path, count: int, *, threads: int, gpus_each: int, device: str, dtype: str) -> None:
    """Run all shards of the evaluation that the run folder's configuration describes, and wait for them.

    `threads`: CPU threads of each process.  `gpus_each`: GPUs of each process; 0: no CUDA.  `device`, `dtype`: what
    they all compute on and with.

    Raises:
        UserError: there are not as many GPUs.
        RunError: a process failed; what it said has been shown.
    """
    gpus = _gpus() if gpus_each else []
    if len(gpus) < count * gpus_each:
        raise UserError(f"eval.data_parallel={count}: needs {count * gpus_each} GPUs (eval.tensor_parallel={gpus_each} each), there are {len(gpus)}")
    running = []
    for index in range(count):
        command = [
            sys.executable, "-m", "klear_repro.run", "--stage", "eval", "--run-dir", str(run_dir), "--eval.shard", f"{index + 1}/{count}",
            "--eval.data_parallel", "1", "--runtime.threads", str(threads), "--runtime.device", device, "--runtime.dtype", dtype,
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name not in TORCHRUN and not name.startswith("TORCHELASTIC_")}
        if gpus_each:  # CUDA only
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index * gpus_each : (index + 1) * gpus_each])
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", env=environment)
        reader = threading.Thread(target=_forward, args=(process, f"[{index + 1}/{count}] "), daemon=True)
        reader.start()
        running.append((process, reader))
    try:
        codes = [process.wait() for process, _ in running]
    except BaseException:  # an interrupt: the processes must not outlive this one
        for process, _ in running:
            process.terminate()
        for process, _ in running:
            process.wait()
        raise
    for _, reader in running:
        reader.join()
    failed = [f"{index + 1}/{count} ({code})" for index, code in enumerate(codes) if code]
    if failed:
        raise RunError(f"shard {', '.join(failed)} failed; the samples that are finished are kept, and the same command goes on")


def _gpus() -> list[str]:
    """CUDA only."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]


def _forward(process: subprocess.Popen[str], prefix: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        say(prefix + line.rstrip())
