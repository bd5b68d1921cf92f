"""What an evaluation will take, before it begins: samples, tokens, memory, hours, and what its verdict can say.

Arithmetic and the paragraph that is made of it; nothing here reads the machine, a model or a file
(`klear_repro.preflight` does).  What is not known is said to be unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.published import PublishedScore
from klear_repro.progress import clock

BYTES_A_TOKEN = 5
"""Bytes that one new token takes in a store of samples: text as JSON, about 4 for English and LaTeX, with some reserve."""
MAIN_MEMORY = "main memory"
"""Where a model is on a CPU."""
SCALE = 1000
"""Tokens a second that hours are given at for scale, where the machine's own rate is not known."""
UNUSUAL = frozenset(
    ("kv_lora_rank", "attention_chunk_size", "full_attention_interval", "num_kv_shared_layers", "layers_block_type", "hybrid_override_pattern",
     "mamba_d_state", "ssm_cfg", "state_size", "linear_num_key_heads", "cross_attention_layers", "attn_layer_period", "text_config", "encoder_layers")
)  # fmt: skip
"""Fields of config.json of models that keep something other than keys and values of every token in every layer."""


def cache_values(config: Mapping[str, Any]) -> int | None:
    """Numbers that the key-value cache keeps a token, over all layers; None where the model keeps something else (MLA, windows, state).

    `config`: the model's config.json.
    """
    if any(config.get(name) for name in UNUSUAL) or config.get("is_encoder_decoder"):
        return None
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        return None
    kinds = config.get("layer_types")
    if kinds is not None and (not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds)):
        return None
    layers, heads, width = (config.get(name) for name in ("num_hidden_layers", "num_attention_heads", "hidden_size"))
    shared = config.get("num_key_value_heads", heads)
    if not all(_whole(value) for value in (layers, heads, width, shared)):
        return None
    assert isinstance(heads, int) and isinstance(width, int)
    dimension = config.get("head_dim") or width // heads
    if not _whole(dimension):
        return None
    return 2 * int(layers) * int(shared) * int(dimension)  # type: ignore[arg-type]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


@dataclass(frozen=True)
class Room:
    """The memory for one copy of the model, in bytes, over all GPUs that it is spread over."""

    where: str
    """Such as `GPU memory (NVIDIA H100)` or `main memory`."""
    usable: int
    """What weights and cache may have together; 0: not known."""
    weights: int
    """0: not known."""
    token: int | None
    """Cache of one token; None: not known."""

    def at_once(self, tokens: float) -> int | None:
        """Samples of so many tokens, prompt and answer, that the cache holds side by side; None: not known."""
        if not self.usable or not self.weights or not self.token or tokens <= 0:
            return None
        return max(0, math.floor((self.usable - self.weights) / (self.token * tokens)))


@dataclass(frozen=True)
class Work:
    """The samples of one model on one benchmark under one protocol."""

    model: str
    benchmark: str
    kind: str
    """`math` or `code`."""
    protocol: str
    problems: int
    samples: int
    """A problem."""
    missing: int
    budget: int
    """New tokens of a sample, at most."""
    prompt: int
    """Tokens of the longest prompt."""
    each: float | None = None
    """New tokens that a sample is expected to have; None: not known."""
    each_from: int = 0
    """Stored samples that `each` is the mean of."""
    speed: float | None = None
    """New tokens a second of one sample beside others, as those samples had it; None: not known."""
    greedy: bool = False
    published: PublishedScore | None = None
    power: float | None = None
    """Probability that a perfect reproduction is called reproduced by the numbers; None: nothing published."""
    doubts: tuple[str, ...] = ()
    """What makes the verdict inconclusive whatever comes out."""

    @property
    def total(self) -> int:
        """Samples, those that are there too."""
        return self.problems * self.samples

    @property
    def most(self) -> int:
        """New tokens of the missing samples, at most."""
        return self.missing * self.budget

    @property
    def expected(self) -> float | None:
        """New tokens of the missing samples, as expected; None: not known."""
        return None if self.each is None else self.missing * min(self.each, float(self.budget))


@dataclass(frozen=True)
class Forecast:
    """What one command will do."""

    work: tuple[Work, ...]
    room: Room | None
    """None: the memory is not this machine's."""
    slots: int
    """Samples that one copy runs side by side, at most; 0: as many as fit."""
    copies: int
    """Copies of the model."""
    folder: Path
    download: int = 0
    """Bytes of weights that are to be fetched."""
    notes: tuple[str, ...] = field(default=())

    @property
    def missing(self) -> int:
        """Samples to make."""
        return sum(one.missing for one in self.work)

    @property
    def most(self) -> int:
        """New tokens, at most."""
        return sum(one.most for one in self.work)

    @property
    def expected(self) -> float | None:
        """New tokens, as expected; None where that is not known of some part."""
        parts = [one.expected for one in self.work if one.missing]
        return None if any(part is None for part in parts) else sum(part or 0 for part in parts)

    def side_by_side(self) -> int | None:
        """Samples under way at once, over all copies: what is asked for, what memory holds and what is missing; None: not known."""
        held = self._held(expected=True)
        limits = [limit for limit in (self.slots or None, None if held is None else max(1, held)) if limit is not None]
        if not limits:
            return None
        largest = max(sum(one.missing for one in self.work if one.model == model) for model in {one.model for one in self.work})
        return min(largest, self.copies * min(limits))  # one model after the other

    def _held(self, *, expected: bool) -> int | None:
        """Samples that the cache of one copy holds, at their full or, where that is known, at their expected length."""
        if self.room is None:
            return None
        lengths = [one.prompt + (min(one.each, one.budget) if expected and one.each is not None else one.budget) for one in self.work if one.missing]
        return self.room.at_once(max(lengths)) if lengths else None

    def seconds(self) -> float | None:
        """Time to generate, from the speed of the samples that are there; None: not known.  Rough: speed depends on how many run at once."""
        together, total = self.side_by_side(), 0.0
        for one in self.work:
            if one.missing:
                if one.expected is None or not one.speed or not together:
                    return None
                total += one.expected / (one.speed * together)
        return total

    def paragraph(self) -> str:
        """What will happen, in one paragraph."""
        if not self.missing:
            return f"what will happen: all {sum(one.total for one in self.work):,} samples are there; nothing is generated. {self._verdicts()}"
        parts = [self._samples(), self._tokens(), self._memory(), self._hours(), self._kill(), self._verdicts(), *self.notes, f"Everything goes to {self.folder}."]
        return "what will happen: " + " ".join(part for part in parts if part)

    def _samples(self) -> str:
        models = list(dict.fromkeys(one.model for one in self.work))
        shapes = list(dict.fromkeys(f"{one.benchmark} {one.problems} × {one.samples}" for one in self.work))
        protocols = list(dict.fromkeys(one.protocol for one in self.work))
        total = sum(one.total for one in self.work)
        there = f"{total - self.missing:,} are there, {self.missing:,} are made" if self.missing < total else "none is there yet"
        return f"{total:,} samples of {listed(models)} (problems × samples: {listed(shapes)}) under {listed(protocols)}; {there}."

    def _tokens(self) -> str:
        most = f"at most {tokens(self.most)}"
        budgets = sorted({one.budget for one in self.work if one.missing})
        most += f" ({' or '.join(f'{budget:,}' for budget in budgets)} a sample)" if len(budgets) <= 2 else ""
        expected = self.expected
        if expected is None:
            return f"Tokens: {most}; how many to expect is unknown until samples are there."
        seen = sum(one.each_from for one in self.work if one.missing)
        return f"Tokens: about {tokens(expected)} expected, from {seen:,} samples that are there; {most}."

    def _memory(self) -> str:
        if self.room is None:
            return "Memory is the servers'."
        room = self.room
        there = f"{size(room.usable)} of {room.where}" if room.usable else f"nobody knows how much {room.where} there is"
        sentence = f"Memory: {there}, of which the weights take {size(room.weights)}" if room.weights else f"Memory: {there}; the size of the weights is unknown"
        full, likely = self._held(expected=False), self._held(expected=True)
        if full is None or likely is None:
            why = " for this model" if room.token is None else ""
            return f"{sentence}; how many samples the cache holds at once is unknown{why}."
        sentence += f"; the cache then holds about {full:,} samples at once at full length"
        sentence += f", {likely:,} at the expected one" if likely != full else ""
        if self.copies > 1:
            sentence += f", in each of {self.copies} copies"
        return sentence + "."

    def _hours(self) -> str:
        begun = f"{size(self.download)} of weights are downloaded first. " if self.download else ""
        seconds = self.seconds()
        if seconds is not None:
            return f"{begun}Time on this machine: about {hours(seconds)}, if samples go on as those that are there."
        if self.room is not None and self.room.where == MAIN_MEMORY:  # SCALE is a GPU's
            return f"{begun}Time on this machine: unknown until samples are there."
        bound = self.expected if self.expected is not None else self.most
        which = "the expected tokens take" if self.expected is not None else "the most tokens take"
        return f"{begun}Time on this machine: unknown until samples are there; at {SCALE:,} tokens a second {which} {hours(bound / SCALE)}."

    def _kill(self) -> str:
        together = self.side_by_side()
        budget = max(one.budget for one in self.work if one.missing)
        if together is None:
            return f"A kill costs no finished sample; those under way are begun again, at most {budget:,} tokens each."
        known = [min(one.each, one.budget) for one in self.work if one.missing and one.each is not None]
        cost = f"about {tokens(together * max(known) / 2)} tokens" if known else f"at most {tokens(together * budget)} tokens"
        return f"A kill costs no finished sample; those under way ({together:,} at once) are begun again, {cost}."

    def _verdicts(self) -> str:
        parts = []
        for one in self.work:
            if one.published is None:
                continue
            row = one.published
            text = f"{one.benchmark} is compared with {row.score} published for {row.model} at {row.length}"
            if one.doubts:
                text += f", inconclusive whatever comes out ({'; '.join(one.doubts)})"
            if one.power is not None:
                text += f"{'; by the numbers alone' if one.doubts else ','} a perfect reproduction is called reproduced with a probability of about {one.power:.2f}"
            parts.append(text)
        greedy = any(one.greedy and one.samples > 1 for one in self.work)
        repeated = " Temperature 0 gives the same text for all samples of a problem; one (--samples 1) is enough." if greedy else ""
        return (f"Verdict: {'; '.join(parts)}." if parts else "Verdict: none, nothing published is of this model and these benchmarks.") + repeated


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names with commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def tokens(count: float) -> str:
    """A number of tokens, short: 950, 12,300, 1.3 million, 2.1 billion."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} billion"
    if count >= 1e6:
        return f"{count / 1e6:.1f} million"
    return f"{round(count, -2 if count >= 10_000 else 0):,.0f}"


def size(count: float) -> str:
    """Bytes in the units of disks: GB, or MB below one."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def hours(seconds: float) -> str:
    """A long time, rounded: minutes, hours, or hours and days."""
    if seconds < 7200:
        return clock(seconds) if seconds < 600 else f"{seconds / 60:.0f} minutes"
    plain = f"{seconds / 3600:,.0f} hours"
    return plain if seconds < 2 * 86400 else f"{plain} ({seconds / 86400:,.1f} days)"
