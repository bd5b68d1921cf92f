"""All requests queued at once against the loop of the released script: batches of 128 that wait for their longest."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch

from klear_repro.data.tokenizer import TURN_END, train_tokenizer
from klear_repro.engines.base import Request, Sampling
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig

REQUESTS, SLOTS, MEAN, CAP, ROUNDS = 512, 128, 200, 1200, 3
SAMPLING = Sampling(1.0, 1.0, 0, 0.0, 1.0, CAP)
WORDS = "Find the sum of 12 and 34 and 56. What is the value of 7 times 8 minus 9? " * 20


def geometric_model(folder: Path) -> Path:
    """A Qwen3 with nearly equal probabilities of its 400 tokens, two of which end an answer: lengths of mean 200."""
    tokenizer = train_tokenizer([WORDS + "".join(map(chr, range(33, 1000)))], 400)
    config = ModelConfig(hidden_size=128, layers=4, heads=4, kv_heads=2, head_dim=32, intermediate_size=384, vocab_size=400,
                         max_position=CAP + 200, initializer_range=0.02)  # fmt: skip
    model = new_model(config, tokenizer, 0)
    with torch.no_grad():
        model.model.norm.weight.mul_(0.05)
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    model.generation_config.eos_token_id = [end, end + 7]
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def compare(engine: Any) -> tuple[list[float], float]:
    """Tokens a second queued at once, over those of the waiting loop, a round; and the mean length of an answer."""
    prompts = [engine.encode_chat([{"role": "user", "content": f"Find {index} and {index + 3}."}]) for index in range(30)]
    lengths: list[int] = []

    def rate(batches: list[list[Request]]) -> float:
        began, tokens = time.perf_counter(), 0
        for batch in batches:
            for completion in engine.generate(batch, SAMPLING):
                tokens += completion.token_count
                lengths.append(completion.token_count)
        return tokens / (time.perf_counter() - began)

    ratios = []
    rate([[Request(index, prompts[0], index) for index in range(8)]])
    for turn in range(ROUNDS):
        requests = [Request(index, prompts[index % 30], 10_000 * (turn + 1) + index) for index in range(REQUESTS)]
        waiting = [requests[start : start + SLOTS] for start in range(0, REQUESTS, SLOTS)]
        order = [[requests], waiting] if turn % 2 else [waiting, [requests]]
        rates = [rate(batches) for batches in order]
        ratios.append(rates[0] / rates[1] if turn % 2 else rates[1] / rates[0])
    return ratios, statistics.mean(lengths)


def sentence(ratios: list[float], mean: float) -> str:
    """What the figure was measured against."""
    return (
        f"batches of {SLOTS} that wait, {REQUESTS} requests of mean {mean:.0f} tokens, at most {CAP}, "
        f"median of {ROUNDS}, {min(ratios):.2f} to {max(ratios):.2f}"
    )
