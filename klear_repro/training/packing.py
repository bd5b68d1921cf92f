"""Sequences packed into one row without padding, and the log-probabilities of their responses.

A micro-batch is the concatenation of whole sequences.  Positions begin at 0 in each, and no token attends to another
sequence: attention is computed in blocks of sequences of similar length, or, on CUDA where flash-attn is installed, by it with
the sequences' bounds (never run).  Only positions that predict a response token reach the output head
(`training.chunked_head`), so prompts cost no logits.

The responses of a group have one prompt, and what is computed for it is the same in all of them: it is in the row once,
followed by every response to it, each of which attends to the prompt and to itself.  Log-probabilities and gradients are
those of the sequences apart.  Flash attention has no such form: there each response has its prompt to itself.

Deviation from the released code: sequences go to micro-batches first fit, longest first, and processes take turns; there
they are balanced by tokens over ranks and micro-batches.  The loss is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.utils import is_flash_attn_2_available

from klear_repro.training.chunked_head import token_logprobs
from klear_repro.training.distributed import ALONE, Ranks

Pair = tuple[Sequence[int], Sequence[int]]
"""Prompt and response, token ids."""
ATTENTION = "klear_packed"
FLASH = "flash_attention_2"
ALIKE = 0.8
"""How long a sequence of a block of attention is at least, of the longest one."""
REPEATED = 1 / 8
"""What a prompt costs once more, in attention alone, of what it costs the first time."""
SPARE = (0,)
"""What a process computes, for nothing, while others have a micro-batch and it has none."""


@dataclass(frozen=True)
class Packed:
    """Sequences of one micro-batch.  T tokens, of S sequences; N of them are response tokens."""

    input_ids: Tensor
    """[1, T]."""
    position_ids: Tensor
    """[1, T], from 0 in each sequence."""
    lengths: tuple[int, ...]
    """Tokens of each sequence, [S]."""
    blocks: tuple[Tensor, ...]
    """Places in the row of whole sequences, [sequences, longest]; the shorter ones are filled up at their ends."""
    found: Tensor
    """Where each token of the row is in the blocks, laid end to end, [T]."""
    predicting: Tensor
    """Positions whose next token is a response token, [N]."""
    targets: Tensor
    """Those tokens, [N]."""
    sequence_ids: Tensor
    """The sequence that each of them is in, [N]."""


def pack(sequences: Sequence[Pair], device: torch.device, *, share: bool = True) -> Packed:
    """Concatenate (prompt, response) token lists; a prompt has at least one token.

    Args:
        share: have equal prompts in the row once.

    N response tokens are in the order of the sequences, whatever the order of the row.
    """
    ids: list[int] = []
    positions: list[int] = []
    rows: dict[int, list[int]] = {}
    for numbers in same_prompt(sequences) if share else ([number] for number in range(len(sequences))):
        prompt = sequences[numbers[0]][0]
        shared = range(len(ids), len(ids) + len(prompt))
        ids += prompt
        positions += range(len(prompt))
        for number in numbers:
            response = sequences[number][1]
            rows[number] = [*shared, *range(len(ids), len(ids) + len(response))]
            ids += response
            positions += range(len(prompt), len(prompt) + len(response))
    predicting = [place for number, (prompt, _) in enumerate(sequences) for place in rows[number][len(prompt) - 1 : -1]]
    owners = [number for number, (_, response) in enumerate(sequences) for _ in response]
    lengths = [len(rows[number]) for number in range(len(sequences))]
    blocks = [[rows[number] for number in block] for block in alike(lengths)]
    found, offset = [0] * len(ids), 0
    for block in blocks:
        for row in block:
            for place, token in enumerate(row, offset):
                found[token] = place
            offset += len(block[0])
    return Packed(
        input_ids=torch.tensor(ids, device=device)[None],
        position_ids=torch.tensor(positions, device=device)[None],
        lengths=tuple(lengths),
        blocks=tuple(torch.tensor([row + row[-1:] * (len(block[0]) - len(row)) for row in block], device=device) for block in blocks),
        found=torch.tensor(found, device=device),
        predicting=torch.tensor(predicting, dtype=torch.long, device=device),
        targets=torch.tensor([token for _, response in sequences for token in response], dtype=torch.long, device=device),
        sequence_ids=torch.tensor(owners, dtype=torch.long, device=device),
    )


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in blocks of similar length, the longest first in each; none is shorter than ALIKE of it."""
    blocks: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if not blocks or lengths[index] < ALIKE * lengths[blocks[-1][0]]:
            blocks.append([])
        blocks[-1].append(index)
    return blocks


def same_prompt(sequences: Sequence[Pair]) -> list[list[int]]:
    """Indices of sequences, together where their prompts are equal."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, (prompt, _) in enumerate(sequences):
        groups.setdefault(tuple(prompt), []).append(number)
    return list(groups.values())


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


def micro_batches(sequences: Sequence[Pair], most_tokens: int, ranks: Ranks = ALONE, *, share: bool = True) -> list[list[int]]:
    """The micro-batches of this process, indices of sequences; each is at most `most_tokens` tokens of a row, or one sequence.

    Sequences with equal prompts stay together, as many as the budget allows; with `share` the prompt counts once, and REPEATED of it for
    each further response.  Every process has as many micro-batches as the others, the last ones empty where there are too few
    (SPARE); several processes cut finer, so that those of one round are of similar size.
    """
    groups = same_prompt(sequences) if share else [[number] for number in range(len(sequences))]
    again = [int(REPEATED * len(prompt)) if share else 0 for prompt, _ in sequences]
    costs = [len(response) + once_more for (_, response), once_more in zip(sequences, again, strict=True)]
    prompts = [len(sequences[group[0]][0]) - again[group[0]] for group in groups]

    def within(budget: int) -> list[list[int]]:
        parts: list[list[int]] = []
        lengths: list[int] = []
        for prompt, group in zip(prompts, groups, strict=True):
            for part in cut([costs[number] for number in group], max(1, budget - prompt)):
                parts.append([group[place] for place in part])
                lengths.append(prompt + sum(costs[number] for number in parts[-1]))
        return [[number for place in one for number in parts[place]] for one in cut(lengths, budget)]

    cuts = within(most_tokens)
    if ranks.world == 1:
        return cuts
    whole = -(-len(cuts) // ranks.world) * ranks.world
    low, high = (sum(prompts) + sum(costs)) // whole, most_tokens
    while high - low > max(1, high // 32):  # the smallest budget, nearly, that no process needs one more for
        budget = (low + high) // 2
        finer = within(budget)
        if len(finer) <= whole:
            cuts, high = finer, budget
        else:
            low = budget
    return [cuts[index] if index < len(cuts) else [] for index in range(ranks.rank, whole, ranks.world)]


class Policy(torch.nn.Module):
    """π_θ for training: a causal language model of transformers whose `forward` gives log-probabilities of packed responses.

    `dtype`: of computation, where it is not that of the weights (shards in float32).
    """

    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.model = model
        self._dtype = dtype or model.dtype

    @property
    def shares_prompts(self) -> bool:
        """Whether equal prompts are computed once: not with flash attention (CUDA only, half precision, its package installed)."""
        return not (self.device.type == "cuda" and is_flash_attn_2_available() and self._dtype in (torch.bfloat16, torch.float16))

    def pack(self, sequences: Sequence[Pair]) -> Packed:
        """`pack`, as this policy computes."""
        return pack(sequences, self.device, share=self.shares_prompts)

    def micro_batches(self, sequences: Sequence[Pair], most_tokens: int, ranks: Ranks = ALONE) -> list[list[int]]:
        """`micro_batches`, as this policy computes."""
        return micro_batches(sequences, most_tokens, ranks, share=self.shares_prompts)

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
        config._attn_implementation = ATTENTION if self.shares_prompts else FLASH
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
        inner: dict[str, Any] = {"blocks": batch.blocks, "found": batch.found}
        if not self.shares_prompts:  # CUDA only
            bounds = torch.tensor([*accumulate(batch.lengths, initial=0)], dtype=torch.int32, device=self.device)
            longest = max(batch.lengths)
            inner = {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": longest, "max_length_k": longest}
        hidden = self.model.base_model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, **inner).last_hidden_state[0]
        head = self.model.get_output_embeddings()
        return token_logprobs(hidden[batch.predicting], head.weight, batch.targets, temperature, with_entropy=with_entropy)


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float,
    blocks: Sequence[Tensor], found: Tensor, **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Causal attention inside each sequence.  Shapes: [1, heads, T, dim], keys and values with fewer heads; blocks as in `Packed`.

    A block is one causal kernel without a mask: what fills a sequence up comes after it, and is not looked at.
    """
    shared = query.shape[1] != key.shape[1]
    tables = [one[0].transpose(0, 1).flatten(1) for one in (query, key, value)]  # [T, heads · dim]
    mixed = []
    for block in blocks:
        rows = [embedding(block, table).unflatten(2, (-1, one.shape[3])).transpose(1, 2) for table, one in zip(tables, (query, key, value), strict=True)]
        out = scaled_dot_product_attention(rows[0], rows[1], rows[2], is_causal=True, scale=scaling, enable_gqa=shared)
        mixed.append(out.transpose(1, 2).flatten(2).flatten(0, 1))  # [sequences · longest, heads · dim]
    return embedding(found, torch.cat(mixed)).unflatten(1, (query.shape[1], -1))[None], None


AttentionInterface.register(ATTENTION, _attend)
