"""The optimiser step that SFT and RL share: AdamW, gradient clipping, non-finite gradients skipped and counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch


def adamw(model: Any, lr: float, betas: Sequence[float], weight_decay: float) -> torch.optim.AdamW:
    """AdamW over all parameters of the model."""
    return torch.optim.AdamW(model.parameters(), lr=lr, betas=(betas[0], betas[1]), weight_decay=weight_decay, fused=True)


def apply_gradients(model: Any, optimizer: torch.optim.Optimizer, lr: float, most: float) -> tuple[float, bool]:
    """Clip, step, zero.

    Returns (gradient norm before clipping, whether the step was made): a non-finite norm skips it,
    as the released code does.
    """
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), most))
    stepped = math.isfinite(norm)
    if stepped:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm, stepped


def cosine(step: int, steps: int, warmup: int, peak: float, end: float) -> float:
    """Learning rate of a step (from 0): linear warm-up to `peak`, then a cosine to `end`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return end + (peak - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
