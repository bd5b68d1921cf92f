"""Log-probabilities of sampled tokens without the logits of a sequence in memory.

    log π(y_t) = z_{t,y_t} − log Σ_v exp z_{t,v},   z_t = W h_t / τ
    ∂ log π(y_t) / ∂z_{t,v} = [v = y_t] − π_v

The logits of a chunk of tokens are made, reduced to log π, the normaliser and the entropy, and dropped; the backward
pass makes them once more from the stored normaliser, all but the last chunk's, which are still there.  What stays is
[tokens] and one chunk of logits, whatever the number of tokens.  The numbers are those of the plain way in float32;
entropy is a metric and has no gradient.

The same idea, for cross-entropy: "Cut Your Losses", arXiv 2411.09009.  Neither the paper nor the released code says how
it is done there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_BYTES = 512 << 20
"""Size of one chunk of logits in float32."""

CACHE_BYTES = 4 << 20
"""What a CPU works on at once, so that it stays in its cache."""


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
        room = _Room(hidden, weight, min(size, count))
        scratch = torch.empty_like(room.wide[: room.rows])
        for start in range(0, count, size):
            logits = room.logits(hidden[start : start + size], weight, temperature)
            for first, rows in room.blocks(logits):
                part = slice(start + first, start + first + len(rows))
                largest = rows.amax(-1)
                powers = torch.exp(rows.sub_(largest[:, None]), out=scratch[: len(rows)])
                total = powers.sum(-1)
                rest = total.log()
                if with_entropy:
                    entropy[part] = rest - torch.linalg.vecdot(powers, rows) / total
                logp[part] = rows.gather(1, targets[part, None])[:, 0] - rest
                normaliser[part] = largest + rest
                if start + size >= count:
                    rows.sub_(rest[:, None])  # log π of the whole vocabulary: where the backward pass begins
        ctx.save_for_backward(hidden, weight, targets, normaliser)
        ctx.temperature, ctx.size, ctx.room = temperature, size, room
        ctx.mark_non_differentiable(entropy)
        return logp, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        upstream: Tensor = gradients[0]
        hidden, weight, targets, normaliser = ctx.saved_tensors
        kept, ctx.room = ctx.room, None  # its contents are used up: another backward pass makes all chunks anew
        room = kept or _Room(hidden, weight, min(ctx.size, len(hidden)))
        for_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for_weight = torch.zeros(weight.shape, dtype=_wide(weight.dtype), device=weight.device) if ctx.needs_input_grad[1] else None
        for start in reversed(range(0, hidden.shape[0], ctx.size)):
            here = hidden[start : start + ctx.size]
            fresh = kept is None or start + ctx.size < hidden.shape[0]
            slope = room.logits(here, weight, ctx.temperature) if fresh else room.wide[: len(here)]
            for first, rows in room.blocks(slope):
                part = slice(start + first, start + first + len(rows))
                if fresh:
                    rows.sub_(normaliser[part, None])
                scale = upstream[part, None] / ctx.temperature
                rows.exp_().mul_(-scale).scatter_add_(1, targets[part, None], scale)
            slope = room.narrowed(slope)
            if for_hidden is not None:
                torch.mm(slope, weight, out=for_hidden[start : start + ctx.size])
            if for_weight is not None:
                if slope.dtype == for_weight.dtype:
                    for_weight.addmm_(slope.t(), here)
                else:
                    for_weight += slope.t() @ here
        return for_hidden, None if for_weight is None else for_weight.to(weight.dtype), None, None, None, None


class _Room:
    """Memory for one chunk of logits, used again by every chunk: on a CPU fresh pages cost as much as what is computed in them.

    It stays from the forward to the backward pass.
    """

    def __init__(self, hidden: Tensor, weight: Tensor, size: int) -> None:
        vocabulary = weight.shape[0]
        self.wide = torch.empty(size, vocabulary, dtype=_wide(hidden.dtype), device=hidden.device)
        self._narrow = self.wide if self.wide.dtype == hidden.dtype else torch.empty_like(self.wide, dtype=hidden.dtype)
        block = CACHE_BYTES if hidden.device.type == "cpu" else CHUNK_BYTES // 8
        self.rows = max(1, min(size, block // (self.wide.element_size() * vocabulary)))

    def logits(self, hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
        """z = W h / τ, [tokens, vocabulary]."""
        logits = self.wide[: len(hidden)]
        torch.mm(hidden, weight.t(), out=self._narrow[: len(hidden)])
        if self._narrow is not self.wide:
            logits.copy_(self._narrow[: len(hidden)])
        return logits.div_(temperature) if temperature != 1.0 else logits

    def blocks(self, logits: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(number of the first row, rows), on a CPU as many as stay in its cache."""
        return ((first, logits[first : first + self.rows]) for first in range(0, len(logits), self.rows))

    def narrowed(self, slope: Tensor) -> Tensor:
        """`slope` in the precision of the hidden states."""
        return slope if self._narrow is self.wide else self._narrow[: len(slope)].copy_(slope)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """What is summed in: at least float32."""
    return torch.promote_types(dtype, torch.float32)
