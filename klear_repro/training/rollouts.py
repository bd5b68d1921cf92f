"""Where rollouts come from: an engine, and how it gets the weights of the policy before each step.

`hf` on one process reads the live weights: nothing is copied.  With several processes each has a whole copy for its
rollouts, filled from the shards; so has LoRA, whose matrices are merged on the way.  `vllm` runs in the trainer's process
and loads the weights anew; on CUDA it sleeps while the trainer works (CUDA only, never run).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from klear_repro.config import RLConfig
from klear_repro.device import Device
from klear_repro.engines.base import Completion, Request, Sampling
from klear_repro.engines.hf import HFEngine
from klear_repro.training.lora import hub_tensors
from klear_repro.training.packing import Policy


class Rollouts(Protocol):
    """An engine that follows a policy."""

    own_logprobs: bool
    """Whether its log-probabilities are those of the trainer but for rounding, good enough as log π_old."""

    def sync(self, policy: Policy) -> None:
        """Take over the weights; every process must call it."""
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]: ...

    def rest(self) -> None:
        """Give memory back until the next `sync`."""
        ...


class LiveRollouts:
    """The `hf` engine on the trainer's own weights."""

    own_logprobs = True

    def __init__(self, model: Any, tokenizer: Any, slots: int) -> None:
        self._engine = HFEngine(model, tokenizer, slots=slots)

    def sync(self, policy: Policy) -> None: ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """`Engine.generate`."""
        return self._engine.generate(requests, sampling)

    def rest(self) -> None: ...


class CopiedRollouts:
    """The `hf` engine on a plain copy of the model, made before the model was sharded or got LoRA layers."""

    own_logprobs = True

    def __init__(self, copied: Any, tokenizer: Any, slots: int) -> None:
        self._model = copied
        self._engine = HFEngine(copied, tokenizer, slots=slots)

    @torch.no_grad()
    def sync(self, policy: Policy) -> None:
        """Copy every weight."""
        own = dict(self._model.named_parameters())
        for name, tensor in hub_tensors(policy.model, policy.named_weights()).items():
            own[name].copy_(tensor)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """`Engine.generate`."""
        return self._engine.generate(requests, sampling)

    def rest(self) -> None: ...


class VLLMRollouts:
    """vLLM in this process.  Args: `start` makes the engine, once there is something to generate."""

    own_logprobs = False

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._engine: Any = None

    def sync(self, policy: Policy) -> None:
        """Load every weight anew, whole and merged."""
        if self._engine is None:
            self._engine = self._start()
        self._engine.load_weights(hub_tensors(policy.model, policy.named_weights()))

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """`Engine.generate`."""
        return self._engine.generate(requests, sampling)

    def rest(self) -> None:
        """Sleep, where vLLM can."""
        self._engine.sleep()


def make_rollouts(config: RLConfig, model: Any, tokenizer: Any, folder: Path, device: Device, seed: int, *, separate: bool) -> Rollouts:
    """The rollout engine of a stage.

    Args:
        model: before it is sharded or gets LoRA layers.
        folder: the checkpoint that it comes from, for vLLM.
        separate: the trainer's weights are not to be used as they lie: sharded, or with LoRA layers.
    """
    if config.engine == "vllm":
        from klear_repro.engines.vllm import VLLMEngine
        from klear_repro.models import ModelSource

        source = ModelSource(folder.name, folder, "", "")
        return VLLMRollouts(lambda: VLLMEngine(source, device=device, seed=seed, slots=config.slots, logprobs=True, trained=True))
    if separate:
        return CopiedRollouts(copy.deepcopy(model).to(device.dtype).requires_grad_(False), tokenizer, config.slots)
    return LiveRollouts(model, tokenizer, config.slots)
