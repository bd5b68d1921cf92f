"""What a training stage says of itself: metrics/STAGE.jsonl always, a table on the console, trackers by name.

JSONL is the record that reports read and that survives a kill; TensorBoard, Weights & Biases and trackio get the same
numbers and may hold a step twice after a resume.
"""

from __future__ import annotations

import importlib
import math
import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from klear_repro.errors import UserError
from klear_repro.files import Appender
from klear_repro.progress import Progress

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}
"""Name → package."""
COLUMNS = {
    "reward_mean": ("reward", "{:.3f}"), "accuracy": ("right", "{:.1%}"), "loss": ("loss", "{:.4f}"), "length_mean": ("length", "{:.0f}"),
    "truncated": ("cut", "{:.0%}"), "entropy": ("entropy", "{:.3f}"), "grad_norm": ("grad", "{:.3f}"), "kl_rollout": ("kl", "{:.1e}"),
    "groups_trained": ("groups", "{}"), "tokens_per_second": ("tok/s", "{:.0f}"), "seconds": ("s", "{:.1f}"),
}  # fmt: skip
"""Metric → column of the console's table and its format."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UserError for a tracker whose package is not installed."""
    from importlib.util import find_spec

    for name in names:
        if find_spec(TRACKERS[name]) is None:
            raise UserError(f"runtime.trackers={name!r}: the package is not installed; pip install {TRACKERS[name]}")


class RunLog:
    """Rows of one stage, to everywhere.  Use as a context manager.

    Args:
        path: the JSONL file; None for a process that writes nothing.
        label: name of the stage; `steps`, `done`: its progress.
        trackers: of `TRACKERS`; `run`: the run's name there, `folder`: where they keep their files.
    """

    def __init__(self, path: Path | None, label: str, steps: int, done: int, *, trackers: Sequence[str] = (), run: str = "", folder: Path | None = None) -> None:
        self._appender = Appender(path) if path else None
        self._progress = Progress(label, steps, "step", done) if path else None
        self._sinks: list[tuple[Callable[[dict[str, float], int], None], Callable[[], None]]] = []
        if path:
            self._sinks = [_tracker(name, f"{run}-{label}", folder or path.parent) for name in trackers]

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress:
            self._progress.__exit__(kind, error, trace)
        if self._appender:
            self._appender.__exit__()
        for _, close in self._sinks:
            close()

    def step(self, row: dict[str, Any]) -> None:
        """One step's metrics; `row["step"]` counts from 1."""
        row = {**row, "peak_memory_mb": peak_memory_mb()}
        if self._appender is None or self._progress is None:
            return
        self._appender.append(row)
        numbers = {name: float(value) for name, value in row.items() if isinstance(value, (int, float)) and math.isfinite(value)}
        for log, _ in self._sinks:
            log(numbers, row["step"])
        self._progress.update(text=table_row(row))


def table_row(row: dict[str, Any]) -> str:
    """The columns that a row has, each of fixed width, so that lines make a table."""
    cells = [f"{title} {form.format(row[name]):<7}" for name, (title, form) in COLUMNS.items() if row.get(name) is not None]
    return "| " + " ".join(cells)


def peak_memory_mb() -> float:
    """Most memory so far, MiB: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():  # CUDA only
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _tracker(name: str, run: str, folder: Path) -> tuple[Callable[[dict[str, float], int], None], Callable[[], None]]:
    """(log, close) of a tracker."""
    check_trackers([name])
    project = "klear-repro"
    if name == "tensorboard":
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard" / run))

        def log(numbers: dict[str, float], step: int) -> None:
            for key, value in numbers.items():
                writer.add_scalar(key, value, step)

        return log, writer.close
    if name == "trackio":
        os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))  # read when it is imported
    module: Any = importlib.import_module(TRACKERS[name])
    if name == "wandb":
        folder.mkdir(parents=True, exist_ok=True)
        handle = module.init(project=project, name=run, id=run, resume="allow", dir=str(folder), settings=module.Settings(console="off"))
        return lambda numbers, step: handle.log(numbers, step=step), handle.finish
    output, sys.stdout = sys.stdout, sys.stderr  # it greets on standard output, which is for results
    try:
        handle = module.init(project=project, name=run, resume="allow")
    finally:
        sys.stdout = output

    def log_without_step(numbers: dict[str, float], step: int) -> None:
        module.log({name: value for name, value in numbers.items() if name != "step"}, step=step)

    return log_without_step, module.finish
