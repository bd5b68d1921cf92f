"""Supervised fine-tuning on teacher responses.

Paper: arXiv 2508.07629 §3.1: the mean of −log π over response tokens, cosine learning rate (8e-5 → 4e-5 at
full size), all responses kept, wrong ones too.  The paper prints π where log π is meant (Eq. 8).

    L = −(1 / tokens) · sum over the response tokens of a batch of log π_θ(token | before)

The samples of a step are a function of (seed, step) alone, so a resumed run repeats nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from klear_repro.config import SFTConfig
from klear_repro.engines.base import chat_ids
from klear_repro.errors import RunError
from klear_repro.files import Appender, keep_rows
from klear_repro.progress import Progress
from klear_repro.seeds import derive_seed
from klear_repro.training.batches import collate, micro_batches, response_logprobs
from klear_repro.training.checkpoint import latest, restore, save_checkpoint
from klear_repro.training.optim import adamw, apply_gradients, cosine

Pair = tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class Start:
    """What a training stage starts from and where it writes."""

    model: Any
    tokenizer: Any
    checkpoints: Path
    metrics: Path
    seed: int
    label: str


def train_sft(
    start: Start, config: SFTConfig, pairs: Sequence[Pair], *, steps: int | None = None, constant_lr: float | None = None
) -> Path:
    """Train, checkpoint, resume; returns the last checkpoint.

    Args:
        pairs: (prompt, response) token lists.
        steps: instead of `config.steps` (the control that trains for a given time).
        constant_lr: instead of the cosine.

    Raises:
        RunError: the loss is not finite.
    """
    steps = config.steps if steps is None else steps
    model, device = start.model, start.model.device
    optimizer = adamw(model, config.lr, config.betas, config.weight_decay)
    done = resume(start, model, optimizer)
    path = latest(start.checkpoints)
    if done >= steps and path:
        return path
    model.train()
    pad = start.tokenizer.pad_token_id
    with Appender(start.metrics) as metrics, Progress(start.label, steps, "step", done) as progress:
        for step in range(done, steps):
            began = time.perf_counter()
            chosen = [pairs[index] for index in epoch_slice(len(pairs), step, config.batch_size, start.seed)]
            tokens = sum(len(response) for _, response in chosen)
            loss = 0.0
            for cut in micro_batches([len(prompt) + len(response) for prompt, response in chosen], config.micro_batch_tokens):
                batch = collate([chosen[index] for index in cut], pad, device)
                logp, _ = response_logprobs(model, batch)
                part = -torch.where(batch.targets, logp, 0).sum() / tokens
                part.backward()
                loss += float(part.detach())
            lr = constant_lr if constant_lr is not None else cosine(step, steps, config.warmup_steps, config.lr, config.lr_end)
            norm, stepped = apply_gradients(model, optimizer, lr, config.grad_clip)
            if not stepped:
                raise RunError(f"{start.label}: the gradient at step {step + 1} is not finite (loss {loss}); the last checkpoint is kept")
            metrics.append({
                "step": step + 1, "loss": loss, "lr": lr, "grad_norm": norm, "tokens": tokens,
                "seconds": time.perf_counter() - began,
            })  # fmt: skip
            if (step + 1) % config.save_every == 0 or step + 1 == steps:
                path = save_checkpoint(start.checkpoints, step + 1, model, start.tokenizer, optimizer, {})
            progress.update(text=f"loss {loss:.3f}")
    assert path is not None
    return path


def resume(start: Start, model: Any, optimizer: torch.optim.Optimizer) -> int:
    """Go back to the newest checkpoint, if there is one; metrics after it are dropped.  Returns its step."""
    path = latest(start.checkpoints)
    done = restore(path, model, optimizer)["step"] if path else 0
    keep_rows(start.metrics, lambda row: row["step"] <= done)
    return done


def epoch_slice(count: int, step: int, size: int, seed: int) -> list[int]:
    """The `size` indices of a step: consecutive slices of endless epochs, each shuffled with its own seed."""
    indices: list[int] = []
    position = step * size
    while len(indices) < size:
        epoch, offset = divmod(position + len(indices), count)
        order = list(range(count))
        random.Random(derive_seed(seed, "epoch", epoch)).shuffle(order)
        indices += order[offset : offset + size - len(indices)]
    return indices


def encode_pairs(tokenizer: Any, rows: Sequence[dict[str, Any]]) -> list[Pair]:
    """Token lists of (prompt, response and end of turn) from rows with `prompt` and `response`."""
    responses = [tokenizer.encode(row["response"] + tokenizer.eos_token, add_special_tokens=False) for row in rows]
    return [(chat_ids(tokenizer, row["prompt"]), response) for row, response in zip(rows, responses, strict=True)]
