"""Checkpoints: Hub format, and beside it all that a trainer needs to go on bit for bit.

A checkpoint is a folder `step-N` that is either whole or absent; its `state.json` has the hash of every file of tensors,
and one whose files do not match is set aside for the one before it.  Tensors are safetensors, the rest is JSON: nothing
is pickled.  No state of a random generator is kept because every random choice is derived from (seed, stage, step).

Several processes write their shards side by side in the background while training goes on; the first one puts the
weights together in Hub format when all are done.  A checkpoint of N processes can be resumed by any number.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from klear_repro.errors import RunError
from klear_repro.files import as_new_files, file_hash, make_folder, sync_files, sync_folder
from klear_repro.progress import say
from klear_repro.training.distributed import ALONE, Ranks
from klear_repro.training.lora import hub_tensors
from klear_repro.training.optim import Optimizer
from klear_repro.training.packing import Policy

DAMAGED = "damaged-"


class Checkpoints:
    """The checkpoints of one stage.

    Args:
        folder: where `step-N` are.
        policy, optimizer, tokenizer: what is saved and restored.
        dtype: of the weights in Hub format.
        keep: how many stay on disk, the newest ones.
    """

    def __init__(
        self, folder: Path, policy: Policy, optimizer: Optimizer, tokenizer: Any, dtype: torch.dtype, keep: int = 2, ranks: Ranks = ALONE
    ) -> None:
        self.folder = folder
        self._keep = keep
        self._policy, self._optimizer, self._tokenizer, self._dtype, self._ranks = policy, optimizer, tokenizer, dtype, ranks
        self._writer: _ShardWriter | None = None

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write `step-N` and drop the oldest beyond `keep`; with several processes it is whole after `finish` or a later `poll`."""
        tensors = self._trainer_tensors()
        if self._ranks.world > 1:
            self.finish()
            self._writer = _ShardWriter(self._hidden(step), step, dict(state), tensors, self._ranks)
            return

        def fill(target: Path) -> None:
            self._write_hub(target, self._policy.named_weights())
            (target / "trainer").mkdir()
            save_file(tensors, target / "trainer" / "optimizer.safetensors")
            _write_state(target, {"step": step, **state})

        with _full_disk(self.folder / f"step-{step}"):
            make_folder(self.folder / f"step-{step}", fill)
        self._prune()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """What is still being written is completed, also when all processes stop for the same reason."""
        if error is None or (isinstance(error, RunError) and error.everywhere):
            self.finish()

    def poll(self) -> None:
        """Complete the checkpoint in the background, if all processes have written theirs."""
        if self._writer is not None and all(self._ranks.all(self._writer.ready)):
            self.finish()

    def finish(self) -> None:
        """Wait for the checkpoint in the background and complete it."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        error = writer.join()
        failures = [text for text in self._ranks.all(str(error) if error else "") if text]
        if error is not None:
            raise error
        if failures:
            raise RunError(f"checkpoint step-{writer.step}: another process could not write its part: {failures[0]}")
        failed = ""
        if self._ranks.first:
            try:
                self._complete(writer)
            except OSError as problem:
                failed = str(problem)
        if failed := self._ranks.told(failed):
            raise RunError(f"checkpoint step-{writer.step}: {failed}")

    def restore(self) -> dict[str, Any] | None:
        """Go back to the newest checkpoint that is whole; returns its state, None if there is none."""
        if self._ranks.first:
            newest_whole(self.folder)
        path = self._ranks.told(latest(self.folder) if self._ranks.first else None)
        if path is None:
            return None
        weights = self._policy.named_weights()
        merged = any(".lora_" in name for name in weights)  # the Hub format has other weights then
        shards = sorted((path / "trainer").glob("*.safetensors"))
        state = _keys(shards)
        with safe_open(path / "model.safetensors", "pt") as file:
            hub = set() if merged else set(file.keys())
            exact: dict[str, str] = {}
            for name, weight in weights.items():
                kept = [key for key in (f"{name}/master", f"{name}/weight") if key in state]
                state -= set(kept)
                if kept:
                    exact[name] = kept[0]
                elif name not in hub and weight.requires_grad:
                    raise RunError(f"{path}: has no values of {name}; --force does the stage anew")
            known = [name for name in weights if name in exact or name in hub]
            self._optimizer.load(  # one tensor at a time: every process reads all shards
                ((name, _joined(shards, exact[name]) if name in exact else file.get_tensor(name)) for name in known),
                ((key, _joined(shards, key)) for key in sorted(state)),
            )
        return json.loads((path / "state.json").read_text())

    def _trainer_tensors(self) -> dict[str, Tensor]:
        """The optimiser's state, and the weights that the Hub format does not keep as they are; of shards the local part."""
        tensors = self._optimizer.tensors()
        sharded = self._ranks.world > 1
        for name, weight in self._policy.named_weights().items():
            if sharded or ".lora_" in name:
                tensors[f"{name}/weight"] = weight.detach()
        return {key: _local(value).contiguous() for key, value in tensors.items()}

    def _write_hub(self, target: Path, weights: Mapping[str, Tensor]) -> None:
        model = self._policy.model
        state = {name: tensor.to(self._dtype).contiguous() for name, tensor in hub_tensors(model, weights)}
        model.config.architectures = [type(model).__name__.removeprefix("FSDP")]
        model.config.dtype = self._dtype
        model.config.save_pretrained(target)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(target)
        save_file(state, target / "model.safetensors", metadata={"format": "pt"})
        self._tokenizer.save_pretrained(target)

    def _complete(self, writer: _ShardWriter) -> None:
        """The first process: weights in Hub format from all shards, then the folder gets its name."""
        path = self.folder / f"step-{writer.step}"
        with _full_disk(path):
            shards = sorted((writer.target / "trainer").glob("*.safetensors"))
            self._write_hub(writer.target, {name: _joined(shards, f"{name}/weight") for name in self._policy.named_weights()})
            _write_state(writer.target, {"step": writer.step, **writer.state})
            as_new_files(writer.target)
            sync_files(writer.target)
            if path.exists():
                shutil.rmtree(path)
            writer.target.rename(path)
            sync_folder(self.folder)
        self._prune()

    def _hidden(self, step: int) -> Path:
        target = self.folder / f".step-{step}.tmp"
        if self._ranks.first:
            shutil.rmtree(target, ignore_errors=True)
            (target / "trainer").mkdir(parents=True)
        self._ranks.all(None)  # nobody writes before it is there
        return target

    def _prune(self) -> None:
        kept = [path for _, path in checkpoints(self.folder)[-self._keep :]]
        for _, old in _steps(self.folder):  # also what a kill left half deleted
            if old not in kept:
                shutil.rmtree(old)


class _ShardWriter:
    """Writes this process's tensors in a thread; they are copied first, so training can go on."""

    def __init__(self, target: Path, step: int, state: dict[str, Any], tensors: dict[str, Tensor], ranks: Ranks) -> None:
        self.target, self.step, self.state = target, step, state
        self._tensors = {key: value.to("cpu", copy=True) for key, value in tensors.items()}
        self._file = target / "trainer" / f"optimizer-{ranks.rank + 1:05}-of-{ranks.world:05}.safetensors"
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write, name=f"checkpoint {step}")
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def join(self) -> Exception | None:
        """Wait; returns what went wrong."""
        self._thread.join()
        return self._error

    def _write(self) -> None:
        try:
            with _full_disk(self._file):
                save_file(self._tensors, self._file)
        except (OSError, SafetensorError) as error:
            self._error = error
        self._tensors = {}


class _full_disk:
    """safetensors says an I/O error in words only; a full disk becomes the error that it is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, SafetensorError) and "os error 28" in str(error):
            raise OSError(errno.ENOSPC, "No space left on device", str(self._path)) from None


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of all checkpoints, oldest first."""
    return [(step, path) for step, path in _steps(folder) if (path / "state.json").is_file()]


def _steps(folder: Path) -> list[tuple[int, Path]]:
    """The folders named like a checkpoint, whole or not; whatever else a user keeps there is left alone."""
    named = ((re.fullmatch(r"step-(\d+)", path.name), path) for path in folder.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in named if match and path.is_dir())


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a stage."""
    found = checkpoints(folder)
    return found[-1][1] if found else None


def newest_whole(folder: Path) -> Path | None:
    """The newest checkpoint whose files are what was written; damaged ones are renamed, and it is said.

    Raises:
        RunError: there are checkpoints, and all of them are damaged.
    """
    found = checkpoints(folder)
    for _, path in reversed(found):
        problem = damage(path)
        if not problem:
            return path
        aside = path.with_name(DAMAGED + path.name)
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        say(f"checkpoint {path} is damaged ({problem}); it is now {aside.name}, and the one before it is taken")
    if found or set_aside(folder):
        raise RunError(f"{folder}: every checkpoint is damaged; --force does the stage anew")
    return None


def set_aside(folder: Path) -> int:
    """Step of the newest checkpoint that was found damaged, 0 if there is none."""
    return max((int(path.name.rpartition("-")[2]) for path in folder.glob(f"{DAMAGED}step-*")), default=0)


def damage(path: Path) -> str:
    """What is wrong with the files of a checkpoint, empty if nothing is."""
    try:
        state = json.loads((path / "state.json").read_text())
        files = state["files"].items()
    except (ValueError, KeyError, AttributeError, TypeError, UnicodeDecodeError):
        return "state.json cannot be read"
    for name, expected in files:
        if not (path / name).is_file():
            return f"{name} is missing"
        if file_hash(path / name) != expected:
            return f"{name} is not what was written"
    return ""


def _write_state(target: Path, state: dict[str, Any]) -> None:
    names = sorted(str(file.relative_to(target)) for file in target.rglob("*") if file.is_file())
    (target / "state.json").write_text(json.dumps({**state, "files": {name: file_hash(target / name) for name in names}}, indent=1))


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _keys(shards: list[Path]) -> set[str]:
    if not shards:
        return set()
    with safe_open(shards[0], "pt") as file:
        return set(file.keys())


def _joined(shards: list[Path], key: str) -> Tensor:
    """A tensor from its shards, which are slices of the first dimension; a number is the same in all."""
    parts = []
    for shard in shards:
        with safe_open(shard, "pt") as file:
            parts.append(file.get_tensor(key))
    return parts[0] if len(parts) == 1 or parts[0].ndim == 0 else torch.cat(parts)
