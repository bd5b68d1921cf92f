"""The hf engine against `generate` of transformers, in alternation, on the same model and requests."""

from __future__ import annotations

import random
import statistics
import time

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.protocols import Protocol
from benchmarks.records import Problem
from klear_repro.config import Config
from klear_repro.data.synthetic import math_task
from klear_repro.data.tokenizer import TURN_END, train_tokenizer
from klear_repro.device import choose_device
from klear_repro.engines.base import Request, Sampling
from klear_repro.engines.hf import HFEngine
from klear_repro.evaluate import Task, grade, sample_set
from klear_repro.judging import Judges
from klear_repro.leases import Leases
from klear_repro.models import find_model, load
from klear_repro.work import fill

from .queueing import compare, geometric_model, sentence

pytestmark = pytest.mark.perf

SLOTS, BUDGET, ROUNDS = 64, 160, 5


def test_continuous_batching_gives_more_tokens_a_second_than_batches_that_wait(report):
    """256 requests whose lengths are about geometric (mean 50): the alternative repeats batches of 64 that wait for their longest."""
    torch.manual_seed(0)
    rng = random.Random(0)
    tasks = [math_task(rng) for _ in range(64)]
    tokenizer = train_tokenizer([task.statement + task.teach(rng, 0.0) for task in tasks], 400)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer), hidden_size=192, num_hidden_layers=3, intermediate_size=384, num_attention_heads=4,
            num_key_value_heads=2, head_dim=32, max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=False,
        )
    ).eval()  # fmt: skip
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    with torch.no_grad():  # a random model that ends an answer with probability about 1/50 a token
        model.lm_head.weight.mul_(0.1)
    bias = torch.zeros(len(tokenizer))
    bias[end] = torch.log(torch.tensor(len(tokenizer) / 50.0))
    model.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    engine = HFEngine(model, tokenizer, slots=SLOTS)
    prompts = [engine.encode_chat([{"role": "user", "content": task.statement}]) for task in tasks]
    requests = [Request((index, sample), prompts[index], 1000 * index + sample) for index in range(64) for sample in range(4)]
    sampling = Sampling(1.0, 1.0, 0, 0.0, 1.0, BUDGET)

    def ours() -> float:
        began = time.perf_counter()
        tokens = sum(len(completion.token_ids) for completion in engine.generate(requests, sampling))
        return tokens / (time.perf_counter() - began)

    def waiting() -> float:
        began = time.perf_counter()
        tokens = 0
        for first in range(0, len(requests), SLOTS):
            batch = [request.prompt_ids for request in requests[first : first + SLOTS]]
            longest = max(map(len, batch))
            ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(prompt)) + list(prompt) for prompt in batch])
            with torch.inference_mode():
                out = model.generate(
                    input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long(), do_sample=True, temperature=1.0,
                    top_p=1.0, top_k=0, max_new_tokens=BUDGET, pad_token_id=tokenizer.pad_token_id, eos_token_id=end,
                )  # fmt: skip
            answers = out[:, longest:]
            ended = (answers == end).int()
            lengths = torch.where(ended.any(1), ended.argmax(1) + 1, answers.shape[1])
            tokens += int(lengths.sum())
        return tokens / (time.perf_counter() - began)

    ours(), waiting()
    ratios = [ours() / waiting() for _ in range(ROUNDS)]
    spread = f"transformers generate in batches of {SLOTS}, median of {ROUNDS}, {min(ratios):.2f} to {max(ratios):.2f}"
    report("engine-throughput", statistics.median(ratios), "x tokens a second", 1.0, spread)


def test_queueing_everything_beats_the_loop_of_the_released_script(report, tmp_path):
    model, tokenizer = load(find_model(str(geometric_model(tmp_path))), choose_device("cpu", "float32", 0))
    ratios, mean = compare(HFEngine(model, tokenizer, slots=128))
    report("engine-queueing-hf", statistics.median(ratios), "x tokens a second", 1.2, sentence(ratios, mean))


def test_the_time_of_a_sample_does_not_grow_with_their_number(report, tmp_path):
    """A whole evaluation (keys, generation, store, both judges) of 16 times the samples, in alternation."""
    rng = random.Random(0)
    tasks = [math_task(rng) for _ in range(32)]
    tokenizer = train_tokenizer([task.statement + task.teach(rng, 0.0) for task in tasks], 400)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, intermediate_size=64, num_attention_heads=2,
            num_key_value_heads=1, head_dim=16, max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id,
        )
    ).eval()  # fmt: skip
    engine = HFEngine(model, tokenizer, slots=SLOTS)
    engine.stop_ids = {-1}  # every answer as long as the budget
    problems = [
        Problem(benchmark="mini-aime", id=f"p{index}", kind="math", statement=task.statement, answer="1")
        for index, task in enumerate(tasks)
    ]

    def seconds(samples: int, turn: int, judges: Judges) -> float:
        task = Task("mini-aime", problems, Protocol(name="x", description="", max_new_tokens=32, samples=samples))
        folder = tmp_path / f"{samples}-{turn}"
        folder.mkdir()
        began = time.perf_counter()
        wanted = sample_set(task, "m", "r", folder, engine, 0)
        with Leases(folder) as leases:
            fill(engine, [wanted], leases)
        grade(task, wanted, "hf", folder, judges)
        return (time.perf_counter() - began) / (samples * len(problems))

    ratios = []
    with Judges(Config()) as judges:
        seconds(16, -1, judges)
        for turn in range(ROUNDS):
            few, many = seconds(32, turn, judges), seconds(512, turn, judges)
            ratios.append(many / few)
    spread = f"time a sample of 16,384 samples over that of 1,024, median of {ROUNDS}, {min(ratios):.2f} to {max(ratios):.2f}"
    report("evaluation-growth", statistics.median(ratios), "x time a sample", 1.1, spread, less=True)
