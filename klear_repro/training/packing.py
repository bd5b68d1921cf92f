"""Sequences packed into one row without padding, and the log-probabilities of their responses.

A micro-batch is the concatenation of whole sequences.  Positions begin at 0 in each, and no token attends to another
sequence: attention is computed sequence by sequence, or, on CUDA where flash-attn is installed, by it with the sequences'
bounds (CUDA only, never run).  Only positions that predict a response token reach the output head
(`training.chunked_head`), so prompts cost no logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.utils import is_flash_attn_2_available

from klear_repro.training.chunked_head import token_logprobs
from klear_repro.training.distributed import Ranks

Pair = tuple[Sequence[int], Sequence[int]]
"""Prompt and response, token ids."""
ATTENTION = "klear_packed"
FLASH = "flash_attention_2"


@dataclass(frozen=True)
class Packed:
    """Sequences of one micro-batch.  T tokens in S sequences, N of them response tokens."""

    input_ids: Tensor
    """[1, T]."""
    position_ids: Tensor
    """[1, T], from 0 in each sequence."""
    bounds: Tensor
    """Where sequences begin and end, int32 [S + 1]."""
    longest: int
    """Tokens of the longest sequence."""
    predicting: Tensor
    """Positions whose next token is a response token, [N]."""
    targets: Tensor
    """Those tokens, [N]."""
    sequence_ids: Tensor
    """The sequence that each of them is in, [N]."""


def pack(sequences: Sequence[Pair], device: torch.device) -> Packed:
    """Concatenate (prompt, response) token lists; a prompt has at least one token."""
    ids: list[int] = []
    positions: list[int] = []
    predicting: list[int] = []
    owners: list[int] = []
    bounds = [0]
    for number, (prompt, response) in enumerate(sequences):
        start = len(ids)
        ids += [*prompt, *response]
        positions += range(len(ids) - start)
        predicting += range(start + len(prompt) - 1, len(ids) - 1)
        owners += [number] * len(response)
        bounds.append(len(ids))
    tokens = torch.tensor(ids, device=device)
    where = torch.tensor(predicting, dtype=torch.long, device=device)
    return Packed(
        input_ids=tokens[None],
        position_ids=torch.tensor(positions, device=device)[None],
        bounds=torch.tensor(bounds, dtype=torch.int32, device=device),
        longest=max((end - start for start, end in pairwise(bounds)), default=0),
        predicting=where,
        targets=tokens[where + 1],
        sequence_ids=torch.tensor(owners, dtype=torch.long, device=device),
    )


def cut(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Indices of sequences in micro-batches of at most `most_tokens` tokens (first fit, longest first).

    A sequence longer than that has a micro-batch of its own.
    """
    cuts: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        place = next((place for place, left in enumerate(room) if left >= lengths[index]), None)
        if place is None:
            cuts.append([])
            room.append(most_tokens)
            place = len(cuts) - 1
        cuts[place].append(index)
        room[place] -= lengths[index]
    return cuts


def shares(lengths: Sequence[int], most_tokens: int, ranks: Ranks) -> list[list[int]]:
    """The micro-batches of this process: as many as every other one has, the last ones empty where there are too few.

    Several processes cut finer where one of them would have nothing to do.
    """
    if ranks.world == 1:
        return cut(lengths, most_tokens)
    fair = -(-sum(lengths) // ranks.world)
    cuts = cut(lengths, min(most_tokens, max(fair, *lengths)))
    return [cuts[index] if index < len(cuts) else [] for index in range(ranks.rank, -(-len(cuts) // ranks.world) * ranks.world, ranks.world)]


class Policy(torch.nn.Module):
    """π_θ for training: a causal language model of transformers whose `forward` gives log-probabilities of packed responses.

    `dtype`: of computation, where it is not that of the weights (shards in float32).
    """

    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.model = model
        self._dtype = dtype or model.dtype

    @property
    def _flash(self) -> bool:
        """Whether flash attention can be used: CUDA only, half precision, and its package installed."""
        return self.device.type == "cuda" and is_flash_attn_2_available() and self._dtype in (torch.bfloat16, torch.float16)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def named_weights(self) -> dict[str, Tensor]:
        """Name in the model → parameter; tied ones once."""
        return dict(self.model.named_parameters())

    @contextmanager
    def updating(self) -> Iterator[None]:
        """Training mode and packed attention, for forward and backward passes alike (gradient checkpointing runs both)."""
        config, training = self.model.config, self.model.training
        before = config._attn_implementation
        config._attn_implementation = FLASH if self._flash else ATTENTION
        self.model.train()
        try:
            yield
        finally:
            config._attn_implementation = before
            self.model.train(training)

    def forward(self, batch: Packed, temperature: float = 1.0, with_entropy: bool = True) -> tuple[Tensor, Tensor]:
        """log π of every response token and the entropy of its distribution, float32 [N]; entropy has no gradient.

        Only inside `updating`.
        """
        hidden = self.model.base_model(
            input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, cu_seq_lens_q=batch.bounds,
            cu_seq_lens_k=batch.bounds, max_length_q=batch.longest, max_length_k=batch.longest,
        ).last_hidden_state[0]  # fmt: skip
        head = self.model.get_output_embeddings()
        return token_logprobs(hidden[batch.predicting], head.weight, batch.targets, temperature, with_entropy=with_entropy)


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float, cu_seq_lens_q: Tensor, **kwargs: Any
) -> tuple[Tensor, None]:
    """Causal attention inside each sequence.  Shapes: [1, heads, T, dim], keys and values with fewer heads."""
    bounds = cu_seq_lens_q.tolist()
    shared = query.shape[1] != key.shape[1]
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            query[:, :, start:end], key[:, :, start:end], value[:, :, start:end], is_causal=True, scale=scaling, enable_gqa=shared
        )
        for start, end in pairwise(bounds)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


AttentionInterface.register(ATTENTION, _attend)
