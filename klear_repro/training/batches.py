"""From token lists to tensors: padding, micro-batches by tokens, log-probabilities of responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Right-padded sequences.  All tensors are [batch, time]; column t of `mask` says that token t is a response token."""

    input_ids: Tensor
    attention: Tensor
    mask: Tensor

    @property
    def targets(self) -> Tensor:
        """Response tokens as targets of the position before them, bool [batch, time − 1]."""
        return self.mask[:, 1:]


def collate(sequences: Sequence[tuple[Sequence[int], Sequence[int]]], pad_id: int, device: torch.device) -> Batch:
    """Pad (prompt, response) token lists on the right."""
    longest = max(len(prompt) + len(response) for prompt, response in sequences)
    ids = torch.full((len(sequences), longest), pad_id)
    attention = torch.zeros_like(ids)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, (prompt, response) in enumerate(sequences):
        whole = len(prompt) + len(response)
        ids[row, :whole] = torch.tensor([*prompt, *response])
        attention[row, :whole] = 1
        mask[row, len(prompt) : whole] = True
    return Batch(ids.to(device), attention.to(device), mask.to(device))


def micro_batches(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Cut sequences into micro-batches of at most `most_tokens` padded tokens, longest first.

    Returns lists of indices; a sequence longer than the limit has one of its own.
    """
    cuts: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if cuts and (len(cuts[-1]) + 1) * lengths[cuts[-1][0]] <= most_tokens:
            cuts[-1].append(index)
        else:
            cuts.append([index])
    return cuts


def response_logprobs(model: Any, batch: Batch, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """log π of every next token and the entropy of its distribution, both float32 [batch, time − 1].

    Entropy (nats) carries no gradient.  Position t speaks of token t + 1, as `Batch.targets` does.
    """
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention).logits[:, :-1]
    logp = (logits.float() / temperature).log_softmax(-1)
    with torch.no_grad():
        entropy = -(logp.exp() * logp).sum(-1)
    return logp.gather(-1, batch.input_ids[:, 1:, None])[..., 0], entropy
