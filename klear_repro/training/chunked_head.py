"""Log-probabilities of sampled tokens without the logits of a sequence in memory.

    log π(y_t) = z_{t,y_t} − log Σ_v exp z_{t,v},   z_t = W h_t / τ
    ∂ log π(y_t) / ∂z_{t,v} = [v = y_t] − π_v

The logits of a chunk of tokens are made, reduced to log π, the normaliser and the entropy, and dropped; the backward
pass makes them once more from the stored normaliser.  What stays is [tokens] in the forward pass, and in the backward pass
one chunk of logits, whatever the number of tokens.  The numbers are those of the plain way in float32; entropy is a
metric and has no gradient.

The same idea, for cross-entropy: "Cut Your Losses", arXiv 2411.09009.  Neither the paper nor the released code says how
it is done there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 256 << 20
"""Size of one chunk of logits in float32."""


def token_logprobs(
    hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float = 1.0, chunk: int = 0, *, with_entropy: bool = True
) -> tuple[Tensor, Tensor]:
    """log π of `targets` and the entropy of their distributions.

    Args:
        hidden: last hidden states, [tokens, width].
        weight: of the output head, [vocabulary, width]; heads with a bias are not supported.
        targets: token ids, [tokens].
        temperature: what logits are divided by.
        chunk: tokens a chunk; 0: as many as make CHUNK_BYTES of logits.
        with_entropy: else the second result is zeros.

    Returns (log π, entropy in nats without gradient), [tokens], in float32, or float64 where `hidden` is.
    """
    size = chunk or max(16, CHUNK_BYTES // (4 * weight.shape[0]))
    logp, entropy = _TokenLogprobs.apply(hidden, weight, targets, temperature, size, with_entropy)
    return logp, entropy


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, size: int, with_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        count = hidden.shape[0]
        logp = torch.empty(count, dtype=_wide(hidden.dtype), device=hidden.device)
        normaliser, entropy = torch.empty_like(logp), torch.zeros_like(logp)
        for start in range(0, count, size):
            part = slice(start, start + size)
            logits = _logits(hidden[part], weight, temperature)
            normaliser[part] = logits.logsumexp(-1)
            logp[part] = logits.gather(1, targets[part, None])[:, 0] - normaliser[part]
            if with_entropy:
                logits.sub_(normaliser[part, None])
                entropy[part] = -torch.linalg.vecdot(logits.exp(), logits)
        ctx.save_for_backward(hidden, weight, targets, normaliser)
        ctx.temperature, ctx.size = temperature, size
        ctx.mark_non_differentiable(entropy)
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        upstream: Tensor = gradients[0]
        hidden, weight, targets, normaliser = ctx.saved_tensors
        for_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for_weight = torch.zeros(weight.shape, dtype=_wide(weight.dtype), device=weight.device) if ctx.needs_input_grad[1] else None
        for start in range(0, hidden.shape[0], ctx.size):
            part = slice(start, start + ctx.size)
            scale = upstream[part, None] / ctx.temperature
            slope = _logits(hidden[part], weight, ctx.temperature).sub_(normaliser[part, None]).exp_().mul_(-scale)
            slope.scatter_add_(1, targets[part, None], scale)
            slope = slope.to(hidden.dtype)
            if for_hidden is not None:
                torch.mm(slope, weight, out=for_hidden[part])
            if for_weight is not None:
                if slope.dtype == for_weight.dtype:
                    for_weight.addmm_(slope.t(), hidden[part])
                else:
                    for_weight += slope.t() @ hidden[part]
        return for_hidden, None if for_weight is None else for_weight.to(weight.dtype), None, None, None, None


def _logits(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """z = W h / τ, [tokens, vocabulary]."""
    logits = (hidden @ weight.t()).to(_wide(hidden.dtype))
    return logits.div_(temperature) if temperature != 1.0 else logits


def _wide(dtype: torch.dtype) -> torch.dtype:
    """What is summed in: at least float32."""
    return torch.promote_types(dtype, torch.float32)
