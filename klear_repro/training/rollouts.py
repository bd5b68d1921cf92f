"""Where rollouts come from: an engine, and how it gets the weights of the policy before each step.

`hf` on one process reads the live weights: nothing is copied.  With several processes each has a whole copy for its
rollouts, filled from the shards; so has LoRA, whose matrices are merged on the way.  `vllm` runs in the trainer's process
and loads the weights anew; on CUDA it sleeps while the trainer works.  `vllm-server` is vLLM in
processes of its own: the first process of the trainer writes the weights for them, all of them ask for rollouts.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from klear_repro.engines.base import Completion, Request, Sampling
from klear_repro.engines.hf import HFEngine
from klear_repro.models import ModelSource
from klear_repro.sections import RLConfig
from klear_repro.training.distributed import ALONE, Ranks
from klear_repro.training.lora import hub_tensors
from klear_repro.training.packing import Policy
from klear_repro.training.start import Start


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
        for name, tensor in hub_tensors(policy.model, policy.named_weights()):
            own[name].copy_(tensor)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """`Engine.generate`."""
        return self._engine.generate(requests, sampling)

    def rest(self) -> None: ...


class VLLMRollouts:
    """vLLM, in this process or as servers.

    Args:
        start: makes the engine, once there is something to generate.
        dtype: of the run; shards are float32 also where the run computes in bfloat16, and need not travel so.
        ranks: only the first one hands the weights over.
    """

    own_logprobs = False

    def __init__(self, start: Callable[[], Any], dtype: torch.dtype, ranks: Ranks = ALONE) -> None:
        self._start, self._dtype, self._ranks = start, dtype, ranks
        self._engine: Any = None

    def sync(self, policy: Policy) -> None:
        """Hand over every weight, whole and merged."""
        if self._engine is None:
            self._engine = self._start()
        weights = ((name, tensor.to(self._dtype)) for name, tensor in hub_tensors(policy.model, policy.named_weights()))
        if self._ranks.first:
            self._engine.load_weights(weights)
        else:
            deque(weights, maxlen=0)  # each whole tensor is put together by all
        self._ranks.all(None)  # nobody asks before they are there

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """`Engine.generate`."""
        return self._engine.generate(requests, sampling)

    def rest(self) -> None:
        """Sleep, where the engine can."""
        self._engine.sleep()


def make_rollouts(start: Start, config: RLConfig) -> Rollouts:
    """The rollout engine of a stage, made before its model is sharded or gets LoRA layers."""
    if config.engine == "hf":
        if start.ranks.world == 1 and not start.lora.lora_rank:
            return LiveRollouts(start.model, start.tokenizer, config.slots)
        copied = copy.deepcopy(start.model).to(start.device.dtype).requires_grad_(False)
        return CopiedRollouts(copied, start.tokenizer, config.slots)
    source = ModelSource(start.source.name, start.source, "", "")
    if config.engine == "vllm":
        from klear_repro.engines.vllm import VLLMEngine

        options: dict[str, Any] = {"device": start.device, "seed": start.seed, "slots": config.slots, "logprobs": True, "trained": True}
        return VLLMRollouts(lambda: VLLMEngine(source, **options), start.device.dtype)
    from klear_repro.engines.vllm_server import VLLMServerEngine

    folder = Path(config.transfer_folder) if config.transfer_folder else start.run / "weights"
    section = "rl_code" if start.label.startswith("rl-code") else "rl_math"
    server: dict[str, Any] = {"endpoints": config.endpoints, "folder": folder, "slots": config.slots, "section": section}
    return VLLMRollouts(lambda: VLLMServerEngine(source, **server), start.device.dtype, start.ranks)
