"""Checkpoints: Hub format, and beside it all that a trainer needs to go on bit for bit.

A checkpoint is a folder `step-N` that is either whole or absent.  The optimiser's tensors are
safetensors, the rest is JSON: nothing is pickled.  No state of a random generator is kept because
every random choice is derived from (seed, stage, step).
"""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from klear_repro.files import make_folder

OPTIMIZER = "trainer/optimizer.safetensors"
"""In a folder of its own: who loads a model, vLLM for one, takes every safetensors file beside its configuration for weights."""
KEEP = 2
"""Checkpoints of a stage that stay on disk: the newest, and the one before it."""


def save_checkpoint(folder: Path, step: int, model: Any, tokenizer: Any, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> Path:
    """Write `folder/step-N` and drop the oldest beyond `KEEP`."""

    def fill(target: Path) -> None:
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        (target / OPTIMIZER).parent.mkdir()
        save_file(_optimizer_tensors(model, optimizer), target / OPTIMIZER)
        (target / "state.json").write_text(json.dumps({"step": step, **state}))

    path = folder / f"step-{step}"
    try:
        make_folder(path, fill)
    except SafetensorError as error:  # says an I/O error in words only
        if "os error 28" in str(error):
            raise OSError(errno.ENOSPC, "No space left on device", str(path)) from None
        raise
    kept = [path for _, path in checkpoints(folder)[-KEEP:]]
    for old in folder.glob("step-*"):  # also what a kill left half deleted
        if old not in kept:
            shutil.rmtree(old)
    return path


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of all checkpoints, oldest first."""
    found = [path for path in folder.glob("step-*") if (path / "state.json").is_file()]
    return sorted((int(path.name.removeprefix("step-")), path) for path in found)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a stage."""
    found = checkpoints(folder)
    return found[-1][1] if found else None


def restore(path: Path, model: Any, optimizer: torch.optim.Optimizer | None) -> dict[str, Any]:
    """Load weights, and the optimiser's state if one is given, into what exists; returns the state."""
    weights = load_file(path / "model.safetensors")
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)
    if optimizer is not None:
        tensors = load_file(path / OPTIMIZER)
        for name, parameter in model.named_parameters():
            keys = [key for key in tensors if key.rpartition("/")[0] == name]
            optimizer.state[parameter] = {key.rpartition("/")[2]: tensors[key].clone() for key in keys}
    return json.loads((path / "state.json").read_text())


def _optimizer_tensors(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{name}/{key}": value.contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
