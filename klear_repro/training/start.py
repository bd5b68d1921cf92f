"""What SFT and RL share before their loops: the policy, its optimiser and its checkpoints, alone or sharded, fresh or resumed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from klear_repro.device import Device
from klear_repro.engines.hf import latent_attention
from klear_repro.errors import UserError
from klear_repro.files import keep_rows
from klear_repro.sections import ModelConfig, RuntimeConfig
from klear_repro.seeds import derive_seed
from klear_repro.training.checkpoint import Checkpoints
from klear_repro.training.distributed import ALONE, Ranks, shard
from klear_repro.training.ends import end_turns
from klear_repro.training.logs import RunLog
from klear_repro.training.lora import add_lora
from klear_repro.training.optim import Optimizer
from klear_repro.training.packing import Policy

HEAD_TOLERANCE, HALF_TOLERANCE = 0.01, 0.25
"""Mean difference of log-probabilities, nats: in half precision a logit of 20 is rounded by up to 0.06."""


@dataclass(frozen=True)
class Start:
    """What a training stage starts from and where it writes."""

    model: Any
    tokenizer: Any
    run: Path
    """The run folder."""
    seed: int
    label: str
    """Of the stage or control: folder of its checkpoints, name of its metrics."""
    device: Device
    runtime: RuntimeConfig
    lora: ModelConfig
    """Its lora_* fields."""
    source: Path = Path()
    """The folder that the model comes from, in Hub format (for vLLM)."""
    ranks: Ranks = ALONE

    @property
    def checkpoints(self) -> Path:
        """Folder of its checkpoints."""
        return self.run / "checkpoints" / self.label

    @property
    def metrics(self) -> Path:
        """One row a step."""
        return self.run / "metrics" / f"{self.label}.jsonl"

    def log(self, steps: int, done: int) -> RunLog:
        """Where its rows go."""
        path = self.metrics if self.ranks.first else None
        return RunLog(path, self.label, steps, done, trackers=self.runtime.trackers, run=self.run.resolve().name, folder=self.run / "trackers")


def prepare(start: Start, lr: float, betas: Sequence[float], weight_decay: float) -> tuple[Policy, Optimizer, Checkpoints, dict[str, Any]]:
    """Policy, optimiser, checkpoints, and the state to go on from (`{"step": 0}` at the beginning).

    Metrics of steps after the checkpoint are dropped: they will be made again.
    """
    model = start.model
    end_turns(model, start.tokenizer, start.label if start.ranks.first else "")
    if start.lora.lora_rank:
        add_lora(model, start.lora.lora_rank, start.lora.lora_alpha, start.lora.lora_targets, derive_seed(start.seed, "lora"))
    if start.runtime.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if start.lora.lora_rank:
            model.enable_input_require_grads()
    policy = Policy(model, start.device.dtype)
    refuse_other_heads(policy)
    if start.ranks.world > 1:
        model.float()  # the shards are the master weights
        shard(policy, start.device.dtype)
    optimizer = Optimizer(policy.named_weights(), lr, betas, weight_decay)
    checkpoints = Checkpoints(start.checkpoints, policy, optimizer, start.tokenizer, start.device.dtype, start.runtime.keep_checkpoints, start.ranks)
    state = checkpoints.restore() or {"step": 0}
    if start.ranks.first:
        keep_rows(start.metrics, lambda row: row["step"] <= state["step"])
    return policy, optimizer, checkpoints, state


def refuse_untrainable(model: Any, tokenizer: Any, name: str) -> None:
    """What can be told before anything is computed.

    Raises:
        UserError: the tokenizer has no chat template or no end of a turn, or the model has attention or state that is not supported.
    """
    if not tokenizer.chat_template:
        raise UserError(f"model {name}: its tokenizer has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json), and prompts are chats")
    if tokenizer.eos_token is None:
        raise UserError(f"model {name}: its tokenizer has no eos_token (in tokenizer_config.json), with which a response ends")
    refuse_other_attention(model)
    parameters = {parameter for parameter, _ in model.named_parameters(remove_duplicate=False)}
    if others := [key for key in model.state_dict() if key not in parameters]:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UserError(f"model: {type(model).__name__} has {others[0]}{more}, which is no parameter: the trainer's checkpoints keep parameters only")


def refuse_other_attention(model: Any) -> None:
    """Raises UserError for a model with sliding or multi-head latent attention."""
    config = model.config
    if latent := latent_attention(config):
        raise UserError(f"model: {type(model).__name__} has {latent}: the trainer and its rollouts have keys and values of one width only")
    kinds = set(getattr(config, "layer_types", None) or (["sliding_attention"] if getattr(config, "sliding_window", None) else []))
    if other := kinds - {"full_attention"}:
        raise UserError(f"model: {type(model).__name__} has {', '.join(sorted(other))}: the trainer has full attention only")


def refuse_other_heads(policy: Policy) -> None:
    """The packed forward pass has full attention and a plain output head; a model with anything else would be trained on wrong numbers.

    Raises:
        UserError: its own log-probabilities of a short sequence are others, or it has other attention.
    """
    refuse_other_attention(policy.model)
    config = policy.model.config
    kind = f"model: {type(policy.model).__name__}"
    ids = [(7 * place + 3) % config.vocab_size for place in range(24)]
    with torch.no_grad(), policy.updating():
        ours, _ = policy(policy.pack([(ids[:4], ids[4:])]), with_entropy=False)
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([ids], device=policy.device), use_cache=False).logits[0, 3:-1].float()
    own = logits.log_softmax(-1).gather(1, torch.tensor(ids[4:], device=policy.device)[:, None])[:, 0]
    apart = float((ours - own).abs().mean())
    most = HALF_TOLERANCE if policy.model.dtype in (torch.bfloat16, torch.float16) else HEAD_TOLERANCE
    if not apart <= most and bool(own.isfinite().all()):
        raise UserError(
            f"{kind}: its log-probabilities of a short sequence are {apart:.3g} nats apart from the trainer's (allowed: {most}), which "
            "knows no bias, scale or soft cap of logits, no soft cap of attention and no dropout"
        )


def epoch_slice(count: int, position: int, size: int, seed: int) -> list[int]:
    """`size` indices from a position on, in an endless row of epochs, each shuffled with its own seed.

    The released code drops what fills no step at the end of an epoch; here the next epoch begins in the same step.
    """
    indices: list[int] = []
    while len(indices) < size:
        epoch, offset = divmod(position + len(indices), count)
        order = list(range(count))
        random.Random(derive_seed(seed, "epoch", epoch)).shuffle(order)
        indices += order[offset : offset + size - len(indices)]
    return indices
