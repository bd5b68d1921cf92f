"""Supervised fine-tuning on teacher responses.

Paper: arXiv 2508.07629 §3.1: the mean of −log π over response tokens, cosine learning rate (8e-5 → 4e-5 at
full size), all responses kept, wrong ones too.  The paper prints π where log π is meant (Eq. 8).

    L = −(1 / tokens) · sum over the response tokens of a batch of log π_θ(token | before)

Deviations: paper and release say nothing of batch, warm-up, betas, weight decay and clipping.  Here a batch is a number of
sequences, packed without padding, and the mean is over all of its tokens, however it is cut and shared out; the rest are fields
of `SFTConfig`.  A response is written and ended as the chat template does it (`training.targets`).  Samples above `max_length` are left out, where the paper says no
more than "maximum length 32K".  A step whose gradient is not finite is skipped and counted;
the run stops at the third in a row.

The samples of a step are a function of (seed, step) alone, so a resumed run repeats nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from klear_repro.engines.chat_format import ChatFormat
from klear_repro.errors import RunError, UserError
from klear_repro.files import read_rows
from klear_repro.progress import say
from klear_repro.sections import SFTConfig
from klear_repro.training.checkpoint import latest
from klear_repro.training.optim import cosine
from klear_repro.training.packing import SPARE, Pair
from klear_repro.training.start import Start, epoch_slice, prepare
from klear_repro.training.step_metrics import finite
from klear_repro.training.targets import Refused, target

PATIENCE = 3


def train_sft(
    start: Start, config: SFTConfig, pairs: Sequence[Pair], *, steps: int | None = None, constant_lr: float | None = None
) -> Path:
    """Train, checkpoint, resume; returns the last checkpoint.

    Args:
        pairs: (prompt, response) token lists.
        steps: instead of `config.steps` (the control that trains for a given time).
        constant_lr: instead of the cosine.

    Raises:
        RunError: PATIENCE steps in a row had no finite gradient.
    """
    steps = sft_steps(config, len(pairs)) if steps is None else steps
    policy, optimizer, checkpoints, state = prepare(start, config.lr, config.betas, config.weight_decay)
    done, ranks = state["step"], start.ranks
    skipped = deque([bool(row["skipped_updates"]) for row in ranks.told(read_rows(start.metrics)[-PATIENCE:])], maxlen=PATIENCE)
    with start.log(steps, done) as log, policy.updating(), checkpoints:
        for step in range(done, steps):
            began = time.perf_counter()
            chosen = [pairs[index] for index in epoch_slice(len(pairs), step * config.batch_size, config.batch_size, start.seed)]
            tokens = sum(len(response) for _, response in chosen)
            loss = 0.0
            for indices in policy.micro_batches(chosen, config.micro_batch_tokens, ranks):
                batch = policy.pack([chosen[index] for index in indices or SPARE])
                logp, _ = policy(batch, with_entropy=False)
                part = -logp.sum() / tokens * bool(indices)
                (part * ranks.world).backward()
                loss += float(part.detach())
            loss = sum(ranks.all(loss))
            lr = constant_lr if constant_lr is not None else cosine(step, steps, config.warmup_steps, config.lr, config.lr_end)
            norm, stepped = optimizer.step(lr, config.grad_clip)
            skipped.append(not stepped)
            seconds = time.perf_counter() - began
            log.step({
                "step": step + 1, "epoch": (step + 1) * config.batch_size / len(pairs), "loss": finite(loss), "lr": lr,
                "grad_norm": finite(norm), "skipped_updates": int(not stepped), "tokens": tokens, "tokens_per_second": sum(len(prompt) + len(response) for prompt, response in chosen) / seconds, "seconds": seconds,
            })  # fmt: skip
            checkpoints.poll()
            if len(skipped) == PATIENCE and all(skipped):
                raise RunError(
                    f"{start.label}: the gradients of {PATIENCE} steps in a row, up to step {step + 1}, are not finite (loss {loss}); a lower lr, or "
                    "float32, may help; the last checkpoint is kept",
                    everywhere=True,
                )
            if (step + 1) % config.save_every == 0 or step + 1 == steps:
                checkpoints.save(step + 1, {})
    path = latest(start.checkpoints)
    assert path is not None
    return path


def sft_steps(config: SFTConfig, samples: int) -> int:
    """Optimiser steps of the stage: `config.steps`, or as many as its epochs take."""
    return -(-config.epochs * samples // config.batch_size) if config.epochs else config.steps


def encode_pairs(tokenizer: Any, rows: Sequence[dict[str, Any]], longest: int) -> list[Pair]:
    """Token lists of (prompt, response and end of turn) from rows with `prompt` (messages), `response` and perhaps `reasoning`.

    Those that the chat template cannot write, and those of more than `longest` tokens, are left out, and it is said how many.

    Raises:
        UserError: none is left.
    """
    chat, refused = ChatFormat(tokenizer), Refused("sft", "samples")
    pairs: list[Pair] = []
    for number, row in enumerate(rows):
        with refused.row(number):
            pairs.append(target(chat, row["prompt"], row["response"], row.get("reasoning") or ""))
    refused.report(len(rows))
    kept = [pair for pair in pairs if len(pair[0]) + len(pair[1]) <= longest]
    if not kept:
        raise UserError(f"sft.max_length={longest}: none of {len(pairs)} samples is that short")
    if len(kept) < len(pairs):
        say(f"sft: {len(pairs) - len(kept)} of {len(pairs)} samples are longer than {longest} tokens and left out")
    return kept
