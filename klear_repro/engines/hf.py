"""The `hf` engine: continuous batching over a transformers model, on any device and on live weights.

Requests wait in a queue; each takes a slot of the key-value cache, is prefilled once for all samples
of the same prompt, and leaves the batch at its last token, so nobody waits for the longest.  A
sample has its own seed and its own uniform draws, one a token; the next token is found by inverting
the cumulative distribution.

Every row is computed independently of its neighbours: prompts are prefilled alone, attention of
one new token is a matrix product per row over whole blocks of 64 keys, and the batch is always a
multiple of as many rows as this processor's matrix kernels need to round alike (`RowRules`: 4 on some, 16 on
others).  A layer that needs more, as small ones do with many threads, gets zero rows for itself alone.  On a CPU in
float32 a sample is therefore bit for bit the same whatever else is in the batch, which is what
resuming an interrupted evaluation relies on.  On CUDA the kernels chosen depend on the batch, and
the same sample may differ in its last bits.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import AttentionInterface, Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from klear_repro.engines.base import IDLE_S, Completion, Intake, Request, Sampling, TokenMeter, versions
from klear_repro.engines.chat_format import ChatFormat
from klear_repro.engines.row_rules import row_rules
from klear_repro.engines.turns import stop_ids
from klear_repro.machine import free_memory

_ATTENTION = "klear_rows"
MOST_SLOTS = 128
"""Samples side by side where memory would hold more."""
_KEPT_PROMPTS = 64
"""Prompts whose keys and values are kept for their next sample; a prompt that was let go is computed again."""


def _rows_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of one new token for each row; prompts go to torch's fused kernel.

    Shapes: query [rows, heads, 1, dim], key and value [rows, kv heads, length, dim], mask [rows, 1, 1, length].
    """
    if query.shape[2] > 1:
        output, _ = sdpa_attention_forward(module, query, key, value, None, scaling=scaling, **kwargs)
        return output, None
    rows, heads, _, dim = query.shape
    shared = key.shape[1]
    scores = torch.matmul(query.view(rows, shared, heads // shared, dim), key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return torch.matmul(weights, value).reshape(rows, 1, heads, dim), None


AttentionInterface.register(_ATTENTION, _rows_attention)


class _SlotCache(Cache):
    """Keys and values of all slots: per layer [slots, kv heads, capacity, dim], written row by row."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.prefilled: list[tuple[Tensor, Tensor]] | None = None
        self.positions = torch.empty(0, dtype=torch.long)
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self.prefilled is not None:
            self.prefilled.append((key_states, value_states))
            return key_states, value_states
        rows = torch.arange(key_states.shape[0], device=key_states.device)
        self.keys[layer_idx][rows, :, self.positions] = key_states[:, :, 0]
        self.values[layer_idx][rows, :, self.positions] = value_states[:, :, 0]
        return self.keys[layer_idx][:, :, : self.length], self.values[layer_idx][:, :, : self.length]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def reserve(self, slots: int, capacity: int, like: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Make room, keeping what is there."""
        if self.keys:
            rows, _, there, _ = self.keys[0].shape
            if rows >= slots and there >= capacity:
                return
            slots, capacity = max(slots, rows), max(capacity, there)
        for store, index in ((self.keys, 0), (self.values, 1)):
            for layer, pair in enumerate(like):
                _, heads, _, dim = pair[index].shape
                grown = pair[index].new_zeros(slots, heads, capacity, dim)
                if len(store) > layer:
                    old = store[layer]
                    grown[: old.shape[0], :, : old.shape[2]] = old
                    store[layer] = grown
                else:
                    store.append(grown)

    def keep(self, rows: Tensor) -> None:
        """Keep only these slots, in this order."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]


@dataclass
class _Running:
    """One sample in a slot."""

    request: Request
    started: float
    draws: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


def latent_attention(config: Any) -> str:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434) in words; empty if a model has none.

    Its keys are wider than its values, and it compresses both; the slots of this engine hold keys and values of one width.
    """
    rank = getattr(config, "kv_lora_rank", None)
    return f"multi-head latent attention (kv_lora_rank={rank})" if rank else ""


def _fitting(model: Any, longest: int, copies: int) -> int:
    """Samples of this length whose cache the free memory holds, at most `MOST_SLOTS`."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    each = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize * _round_up(longest)
    free = torch.cuda.mem_get_info(model.device)[0] if model.device.type == "cuda" else free_memory() // copies
    # while it grows a cache is there twice; the rest is for the step itself
    return max(1, min(MOST_SLOTS, int(0.4 * free) // each)) if free else MOST_SLOTS


class HFEngine:
    """Generates with a transformers causal language model.

    Args:
        model: on its device; in `eval` mode while it computes.  Its weights are read anew at every
            call, so a trainer can hand over the model it trains.
        tokenizer: with a chat template.
        slots: samples that run side by side; 0: `MOST_SLOTS`, or as many as memory holds at full length.
        max_model_len: prompt and answer together, tokens; 0: what the model's configuration says.
        longest: tokens of the longest sample, prompt and answer; 0: `max_model_len`.
        end_of_turn: the token that ends a turn, by name; empty: what the chat template shows.
        quantization: how the weights are quantised, for `settings` (`klear_repro.weights.quantization_of`).
        copies: workers on this machine that each have a copy and share the main memory, which `slots` 0 divides by them.
    """

    name = "hf"

    def __init__(
        self, model: Any, tokenizer: Any, *, slots: int, max_model_len: int = 0, longest: int = 0, end_of_turn: str = "",
        quantization: str = "", copies: int = 1,
    ) -> None:  # fmt: skip
        if latent := latent_attention(model.config):
            raise ValueError(f"model has {latent}: the hf engine has keys and values of one width only; use --engine vllm")
        self.model = model
        self.tokenizer = tokenizer
        self._chat = ChatFormat(tokenizer)
        self.quantization = quantization
        slots = slots or _fitting(model, longest or max_model_len or model.config.max_position_embeddings, copies)
        self._rules = row_rules(model, slots)
        self.narrowest = self._rules.narrowest
        self.slots = _round_up(slots, self.narrowest)
        self.max_model_len = max_model_len or model.config.max_position_embeddings
        positions = model.config.max_position_embeddings
        if self.max_model_len > positions:
            raise ValueError(f"max_model_len={self.max_model_len}: the model has {positions} positions; set eval.max_model_len, or a protocol with rope")
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            raise ValueError(f"model has {', '.join(sorted(kinds))} layers: the hf engine has full attention only; use --engine vllm")
        self.stop_ids = stop_ids(tokenizer, model.generation_config.eos_token_id, end_of_turn)

    def encode_chat(self, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
        """Token ids of a conversation after the chat template, ready for the answer."""
        return self._chat.prompt_ids(messages, **template)

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        """What the samples are made with (`Engine.settings`)."""
        config = self.model.config
        return {
            "name": self.name, "model_class": type(self.model).__name__, "dtype": str(self.model.dtype), "device": str(self.model.device),
            "max_model_len": self.max_model_len, "rope_parameters": getattr(config, "rope_parameters", None),
            "quantization": self.quantization or None,
            "stop_ids": sorted(self.stop_ids), "sampling": asdict(sampling), "versions": versions("torch", "transformers", "tokenizers"),
        }  # fmt: skip

    def generate(
        self, requests: Iterable[Request | None], sampling: Sampling, on_tokens: Callable[[int], None] | None = None
    ) -> Iterator[Completion]:
        """`Engine.generate`.

        Raises:
            UserError: a prompt that leaves no room for the budget; lengths are in the message.
        """
        yield from self._run(Intake(requests, sampling, self.max_model_len, "the model's"), sampling, TokenMeter(on_tokens))

    @torch.inference_mode()  # on a generator: off while the caller has control
    def _run(self, intake: Intake, sampling: Sampling, meter: TokenMeter) -> Iterator[Completion]:
        device = self.model.device
        cache = _SlotCache()
        prompts: OrderedDict[tuple[int, ...], tuple[list[tuple[Tensor, Tensor]], Tensor]] = OrderedDict()
        width = 0
        slots: list[_Running | None] = []
        lengths = torch.zeros(0, dtype=torch.long, device=device)
        last = torch.zeros(0, dtype=torch.long, device=device)
        seen = None
        if sampling.repetition_penalty != 1.0:
            seen = torch.zeros(0, self.model.config.vocab_size, dtype=torch.bool, device=device)
        while True:
            running = sum(one is not None for one in slots)
            arrived = intake.pull(self.slots - running)
            if not running and not arrived:
                if intake.ended:
                    break
                time.sleep(IDLE_S)
                continue
            drained = running + len(arrived) < self.slots
            if running + len(arrived) > width:
                more = min(self.slots, _round_up(running + len(arrived), self.narrowest)) - width
                width += more
                slots += [None] * more
                lengths, last = pad(lengths, (0, more)), pad(last, (0, more))
                seen = pad(seen, (0, 0, 0, more)) if seen is not None else None
            fresh: list[int] = []
            first_logits: list[Tensor] = []
            free = (slot for slot in range(width) if slots[slot] is None)
            for request, slot in zip(arrived, free, strict=False):
                ids = request.prompt_ids
                if ids not in prompts:
                    prompts[ids] = self._prefill(cache, ids)
                prompts.move_to_end(ids)
                states, logits = prompts[ids]
                while len(prompts) > _KEPT_PROMPTS:
                    prompts.popitem(last=False)
                cache.reserve(width, _round_up(len(ids) + min(sampling.max_new_tokens, 64)), states)
                for layer, (key, value) in enumerate(states):
                    cache.keys[layer][slot, :, : len(ids)] = key[0]
                    cache.values[layer][slot, :, : len(ids)] = value[0]
                slots[slot] = _Running(request, time.perf_counter(), _draws(request.seed, sampling))
                lengths[slot] = len(ids)
                if seen is not None:
                    seen[slot] = False
                    seen[slot, torch.tensor(ids, device=device)] = True
                fresh.append(slot)
                first_logits.append(logits)
            if fresh:
                # padded to the narrowest batch, so that sampling sees the same kernels whoever is fresh
                yield from self._take(slots, fresh, torch.cat(first_logits), last, seen, sampling)
                meter.add(len(fresh))
            active = [slot for slot in range(width) if slots[slot] is not None]
            if not active:
                continue
            if drained and len(active) <= width // 2 and width > self.narrowest:
                width = _round_up(len(active), self.narrowest)
                rows = torch.tensor((active + [slot for slot in range(len(slots)) if slot not in active])[:width], device=device)
                slots = [slots[row] for row in rows.tolist()]
                lengths, last = lengths[rows], last[rows]
                seen = seen[rows] if seen is not None else None
                cache.keep(rows)
                active = list(range(len(active)))
            longest = _round_up(int(lengths.max()) + 1)  # whole blocks: kernels round differently at ragged ends
            if longest > cache.keys[0].shape[2]:
                cache.reserve(width, 2 * longest, [(keys[:1], values[:1]) for keys, values in zip(cache.keys, cache.values, strict=True)])
            logits = self._decode(cache, last, lengths, longest)
            lengths += 1
            yield from self._take(slots, active, logits[torch.tensor(active, device=device)], last, seen, sampling)
            meter.add(len(active))
            # an empty slot must not grow the cache
            lengths[torch.tensor([one is None for one in slots], device=device)] = 0
        meter.close()

    def _prefill(self, cache: _SlotCache, ids: tuple[int, ...]) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Keys and values of a prompt, and the logits after it, [1, vocabulary]."""
        cache.prefilled = []
        tokens = torch.tensor([ids], device=self.model.device)
        positions = torch.arange(len(ids), device=self.model.device)[None]
        logits = self._forward(input_ids=tokens, position_ids=positions, past_key_values=cache, logits_to_keep=1)
        states, cache.prefilled = cache.prefilled, None
        return states, logits

    def _decode(self, cache: _SlotCache, last: Tensor, lengths: Tensor, longest: int) -> Tensor:
        """Logits after the last token of every slot, [slots, vocabulary]."""
        cache.positions, cache.length = lengths, longest
        allowed = torch.arange(longest, device=last.device)[None] <= lengths[:, None]
        mask = torch.zeros(allowed.shape, dtype=self.model.dtype, device=last.device).masked_fill_(~allowed, -torch.inf)
        with self._rules.applied(self.model):
            return self._forward(
                input_ids=last[:, None], position_ids=lengths[:, None], attention_mask=mask[:, None, None], past_key_values=cache
            )

    def _forward(self, **inputs: Any) -> Tensor:
        """Logits of the last position, with the attention above; the model is given back as it was."""
        config, training = self.model.config, self.model.training
        attention = config._attn_implementation
        config._attn_implementation = _ATTENTION
        if training:  # either way walks through all modules
            self.model.eval()
        try:
            return self.model(**inputs, use_cache=True).logits[:, -1]
        finally:
            config._attn_implementation = attention
            if training:
                self.model.train()

    def _take(
        self, slots: list[_Running | None], rows: list[int], logits: Tensor, last: Tensor, seen: Tensor | None, sampling: Sampling
    ) -> Iterator[Completion]:
        """Choose the next token of `rows`, and yield and free those that are finished."""
        running = [slots[row] for row in rows]
        draws = torch.tensor([one.draws[len(one.tokens)] for one in running if one], dtype=torch.float64, device=logits.device)
        index = torch.tensor(rows, device=logits.device)
        tokens, logprobs = choose_tokens(logits, draws, sampling, seen[index] if seen is not None else None)
        last[index] = tokens
        if seen is not None:
            seen[index, tokens] = True
        for row, one, token, logprob in zip(rows, running, tokens.tolist(), logprobs.tolist(), strict=True):
            assert one is not None
            one.tokens.append(token)
            one.logprobs.append(logprob)
            if token in self.stop_ids or len(one.tokens) == sampling.max_new_tokens:
                slots[row] = None
                yield self._completion(one)

    def _completion(self, one: _Running) -> Completion:
        reason: Literal["stop", "length"] = "stop" if one.tokens[-1] in self.stop_ids else "length"
        return Completion(
            tag=one.request.tag,
            token_ids=tuple(one.tokens),
            logprobs=tuple(one.logprobs),
            text=self._chat.decode(one.tokens),
            finish_reason=reason,
            seconds=time.perf_counter() - one.started,
        )


def choose_tokens(logits: Tensor, draws: Tensor, sampling: Sampling, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sample one token a row by inverting the cumulative distribution.

    Args:
        logits: [rows, vocabulary]; draws: uniform in [0, 1), [rows], float64;
        seen: tokens that the repetition penalty counts, bool [rows, vocabulary].

    Returns (token ids [rows], log-probabilities [rows] at the temperature, before top-k, top-p and min-p).
    The order of the filters is vLLM's: penalty, temperature, min-p, top-k, top-p.
    """
    logits = logits.float()
    if seen is not None:
        penalised = torch.where(logits > 0, logits / sampling.repetition_penalty, logits * sampling.repetition_penalty)
        logits = torch.where(seen, penalised, logits)
    if sampling.temperature == 0:
        best = logits.argmax(-1)
        return best, logits.log_softmax(-1).gather(1, best[:, None])[:, 0]
    logp = (logits / sampling.temperature).log_softmax(-1)
    if sampling.top_p >= 1 and not sampling.top_k and not sampling.min_p:
        mass = logp.double().exp().cumsum(-1)
        tokens = _invert(mass, draws)
    else:
        ordered, order = torch.sort(logp, dim=-1, descending=True, stable=True)
        probs = ordered.double().exp()
        drop = probs < sampling.min_p * probs[:, :1]
        if sampling.top_k:
            drop[:, sampling.top_k :] = True
        probs = probs.masked_fill(drop, 0)
        mass = probs.cumsum(-1)
        # top-p on what is left: the smallest set of most likely tokens whose share reaches top_p
        probs = probs.masked_fill((mass - probs) / mass[:, -1:] >= sampling.top_p, 0)
        tokens = order.gather(1, _invert(probs.cumsum(-1), draws)[:, None])[:, 0]
    return tokens, logp.gather(1, tokens[:, None])[:, 0]


def _invert(mass: Tensor, draws: Tensor) -> Tensor:
    """First index whose cumulative mass exceeds draw × total, [rows]."""
    target = draws[:, None] * mass[:, -1:]
    # a draw so close to 1 that it rounds to the total still falls on a token that has mass
    target = torch.minimum(target, torch.nextafter(mass[:, -1:], torch.zeros_like(target)))
    return torch.searchsorted(mass, target, right=True)[:, 0]


def _draws(seed: int, sampling: Sampling) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=seed)).random(sampling.max_new_tokens)


def _round_up(value: int, step: int = 64) -> int:
    return -(-value // step) * step
