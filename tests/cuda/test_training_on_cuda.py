"""The trainer's parts on a GPU: the numbers of the CPU, and what they cost."""

from __future__ import annotations

import copy
import time
from typing import Any

import golden
import head_rivals
import pytest
import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from klear_repro.training.chunked_head import token_logprobs
from klear_repro.training.distributed import shard
from klear_repro.training.optim import Optimizer
from klear_repro.training.packing import Policy
from klear_repro.training.rl import mini_batch_gradients

CUDA = torch.device("cuda")
TOKENS, VOCABULARY, WIDTH = 8192, 151_936, 1024
SEQUENCES = [([1, 2, 3], [4, 5, 6, 7]), ([1, 2, 3], [9]), ([10, 11], [12] * 20), ([13] * 9, [14, 15, 16]), ([1, 2, 3], [17] * 30)]


def small(**more: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 97, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4,
             "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64, "initializer_range": 0.2}  # fmt: skip
    return Qwen3ForCausalLM(Qwen3Config(**sizes | more))


def trained(policy: Policy, upstream: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """log π of SEQUENCES and the gradients, in the CPU's float32."""
    with policy.updating():
        logp, _ = policy(policy.pack(SEQUENCES))
        (logp * upstream.to(logp.device)).sum().backward()
    gradients = {name: weight.grad for name, weight in policy.named_weights().items()}
    return logp.detach().cpu(), {name: gradient.float().cpu() for name, gradient in gradients.items() if gradient is not None}


def head_inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, weight, targets and the gradient of log π."""
    draw = torch.Generator(CUDA).manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH, generator=draw, device=CUDA).to(dtype).requires_grad_()
    weight = (torch.randn(VOCABULARY, WIDTH, generator=draw, device=CUDA) * 0.05).to(dtype).requires_grad_()
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=draw, device=CUDA)
    return hidden, weight, targets, torch.randn(TOKENS, generator=draw, device=CUDA) / TOKENS


def head_way(way: str, dtype: torch.dtype) -> tuple[dict[str, Tensor], float, float]:
    """(log π, entropy and gradients; extra peak memory, MiB; seconds) of the second of two runs."""
    hidden, weight, targets, upstream = head_inputs(dtype)
    for _ in range(2):
        hidden.grad = weight.grad = None
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, began = torch.cuda.memory_allocated(), time.perf_counter()
        logp, entropy = token_logprobs(hidden, weight, targets) if way == "chunked" else head_rivals.plain(hidden, weight, targets)
        (logp * upstream).sum().backward()
        torch.cuda.synchronize()
        seconds, extra = time.perf_counter() - began, (torch.cuda.max_memory_allocated() - before) / 2**20
    return {"logp": logp.detach(), "entropy": entropy, "hidden": hidden.grad, "weight": weight.grad}, extra, seconds


@torch.no_grad()
def exactly() -> dict[str, Tensor]:
    """The same in float64, some tokens at a time."""
    hidden, weight, targets, upstream = (one.detach() for one in head_inputs(torch.float32))
    wide = weight.double()
    found: dict[str, Any] = {"logp": [], "entropy": [], "hidden": [], "weight": torch.zeros_like(wide)}
    for part in torch.arange(TOKENS, device=CUDA).split(512):
        logp = (hidden[part].double() @ wide.t()).log_softmax(-1)
        found["logp"].append(logp.gather(1, targets[part, None])[:, 0])
        probs = logp.exp()
        found["entropy"].append(-(probs * logp).sum(-1))
        slope = probs.neg_().scatter_add_(1, targets[part, None], torch.ones(len(part), 1, device=CUDA, dtype=torch.float64))
        slope *= upstream[part, None]
        found["hidden"].append(slope @ wide)
        found["weight"] += slope.t() @ hidden[part].double()
    return {name: one if name == "weight" else torch.cat(one) for name, one in found.items()}


def test_the_chunked_head_is_exact_in_a_tenth_of_the_memory_of_all_logits_at_once() -> None:
    mine, extra, seconds = head_way("chunked", torch.float32)
    plain, much, others_seconds = head_way("plain", torch.float32)
    print(f"\nchunked head: {extra:.0f} of {much:.0f} MiB ({extra / much:.3f}), {seconds * 1e3:.0f} of {others_seconds * 1e3:.0f} ms")
    for name, exact in exactly().items():
        ours, theirs = (float((one[name] - exact).abs().max() / exact.abs().max()) for one in (mine, plain))
        print(f"{name}: apart from float64 by {ours:.1e} of the largest entry, all logits at once by {theirs:.1e}")
        assert ours < 1e-5, name
    assert extra <= much / 10


def test_the_chunked_head_in_bfloat16_sums_in_float32() -> None:
    mine, extra, seconds = head_way("chunked", torch.bfloat16)
    exact, _, _ = head_way("plain", torch.float32)
    print(f"\nchunked head, bfloat16: {extra:.0f} MiB, {seconds * 1e3:.0f} ms")
    assert mine["logp"].dtype == mine["entropy"].dtype == torch.float32
    assert float((mine["logp"] - exact["logp"]).abs().mean()) < 0.02
    for name in ("hidden", "weight"):
        assert float((mine[name].float() - exact[name]).norm() / exact[name].norm()) < 0.02, name


@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_sequences_have_the_logprobs_and_gradients_of_the_cpu(checkpointing: bool) -> None:
    upstream = torch.randn(sum(len(response) for _, response in SEQUENCES), generator=torch.Generator().manual_seed(1))
    expected, gradients = trained(Policy(small()), upstream)
    model = small().to(CUDA)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    logp, mine = trained(Policy(model), upstream)
    torch.testing.assert_close(logp, expected, rtol=1e-4, atol=1e-4)
    for name, gradient in gradients.items():
        assert float((mine[name] - gradient).norm() / gradient.norm()) < 1e-4, name


def test_bfloat16_is_near_float32_and_flash_attention_near_blocks() -> None:
    """Flash attention takes part where its package is installed."""
    upstream = torch.randn(sum(len(response) for _, response in SEQUENCES), generator=torch.Generator().manual_seed(1))
    expected, gradients = trained(Policy(small()), upstream)
    policy = Policy(small().to(CUDA, torch.bfloat16))
    print(f"\nprompts computed once: {policy.shares_prompts}")
    logp, mine = trained(policy, upstream)
    assert float((logp - expected).abs().mean()) < 0.05
    for name, gradient in gradients.items():
        assert float((mine[name] - gradient).norm() / gradient.norm()) < 0.1, name


@pytest.mark.parametrize("preset", ["paper", "release"])
@pytest.mark.parametrize("most_tokens", [1, 40, 10_000])
def test_an_update_of_each_preset_is_the_definition_written_once_more_in_float64(preset: str, most_tokens: int) -> None:
    """On the GPU both: transformers computes rotary angles in float32, and a GPU's cosine is another in the last bit."""
    config = golden.settings(preset, micro_batch_tokens=most_tokens)
    model, other = golden.small_model().to(CUDA), golden.small_model().to(CUDA)
    with CUDA:  # where tensors are made
        samples = golden.mini_batch(config, model)
        golden.reference_loss(other, preset).backward()
    policy = Policy(model)
    with policy.updating():
        mini_batch_gradients(policy, samples, config)
    mine, others = golden.gradients(model), golden.gradients(other)
    assert set(mine) == set(others)
    for name, gradient in mine.items():
        torch.testing.assert_close(gradient, others[name], rtol=0, atol=1e-10, msg=name)


def test_a_shard_over_nccl_takes_the_steps_of_the_whole_model(tmp_path: Any) -> None:
    """FSDP2 with one process: several want a GPU each."""
    upstream = torch.randn(sum(len(response) for _, response in SEQUENCES), generator=torch.Generator().manual_seed(1))
    model = small().to(CUDA)
    alone, sharded = Policy(copy.deepcopy(model)), Policy(model, torch.float32)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    try:
        shard(sharded, torch.float32)
        for policy in (alone, sharded):
            optimizer = Optimizer(policy.named_weights(), 1e-3, (0.9, 0.95), 0.1)
            for _ in range(3):
                with policy.updating():
                    logp, _ = policy(policy.pack(SEQUENCES))
                    (logp * upstream.to(CUDA)).sum().backward()
                norm, stepped = optimizer.step(1e-3, 1.0)
                assert stepped and norm > 0
        wholes = {name: weight.full_tensor() for name, weight in sharded.named_weights().items()}
    finally:
        torch.distributed.destroy_process_group()
    for name, weight in alone.named_weights().items():
        assert float((wholes[name] - weight).norm() / weight.norm()) < 1e-5, name


def test_a_model_of_1_7_billion_parameters_takes_a_step_within_40_gib() -> None:
    """Qwen3-1.7B's sizes with random weights, as the profile single-gpu trains it: bfloat16, float32 masters, gradient checkpointing,
    micro-batches of 16,384 tokens; eight responses of 2,000 tokens to each of two prompts of 300."""
    config = Qwen3Config(vocab_size=VOCABULARY, hidden_size=2048, num_hidden_layers=28, intermediate_size=6144, num_attention_heads=16,
                         num_key_value_heads=8, head_dim=128, max_position_embeddings=40_960, tie_word_embeddings=True)  # fmt: skip
    torch.manual_seed(0)
    with torch.device(CUDA):
        model = Qwen3ForCausalLM(config).to(torch.bfloat16)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    policy = Policy(model, torch.bfloat16)
    optimizer = Optimizer(policy.named_weights(), 1e-6, (0.9, 0.95), 0.1)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(VOCABULARY, (18, 2000), generator=draw).tolist()
    sequences = [(ids[16 + number % 2][:300], ids[number]) for number in range(16)]
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with policy.updating():
            for indices in policy.micro_batches(sequences, 16_384):
                logp, _ = policy(policy.pack([sequences[index] for index in indices]))
                (-logp.sum() / 32_000).backward()
        norm, stepped = optimizer.step(1e-6, 1.0)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    tokens = sum(len(prompt) + len(response) for prompt, response in sequences)
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"\n1.7 B parameters: {tokens / seconds:.0f} trained tokens a second, peak {peak:.1f} GiB, {torch.cuda.get_device_name()}")
    assert stepped and norm > 0 and peak < 40
