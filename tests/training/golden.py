"""A small batch in float64, and the update of a preset on it written once more, sequence by sequence, from the paper and the release.

As a program (`python golden.py OUT`, under torchrun) it writes the gradient that several processes compute together.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from klear_repro.config import PRESETS
from klear_repro.engines.base import Completion
from klear_repro.rewards import Score
from klear_repro.sections import RLConfig
from klear_repro.training.packing import Policy
from klear_repro.training.prompts import Prompt
from klear_repro.training.rl import Group, Sample, mini_batch_gradients, select

VOCABULARY = 61


def small_model() -> Any:
    """GPT-NeoX: unlike Qwen3, nothing inside it is cast to float32."""
    torch.manual_seed(3)
    config = GPTNeoXConfig(vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                           max_position_embeddings=64, initializer_range=0.3)  # fmt: skip
    return GPTNeoXForCausalLM(config).double()


def settings(preset: str, **more: Any) -> RLConfig:
    sizes = {"train_prompts": 5, "prompts_per_step": 5, "mini_batch_prompts": 5, "samples_per_prompt": 4}
    sizes |= {"max_new_tokens": 16, "temperature": 0.9}
    recipe = {name: value for name, value in PRESETS[preset].items() if name != "reward"}
    return RLConfig(**(sizes | recipe | more))


REWARDS = ([1, -1, -1, -1], [1, 1, -1, 1], [-1, -1, -1, -1], [0.5, -0.5, 0.25, -1], [1, -0.5, -2, 1])
"""Of five groups: the third is flat by every measure, the fourth by `acc` alone."""


def groups() -> list[Group]:
    rng = random.Random(5)
    made = []
    for rewards in REWARDS:
        prompt = Prompt(tuple(rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 9))), "s", "4")
        completions = []
        for _ in rewards:
            tokens = tuple(rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 16)))
            completions.append(Completion(None, tokens, (-1.0,) * len(tokens), "text", "stop", 0.1))
        made.append(Group(prompt, tuple(completions), tuple(Score(float(reward), float(reward == 1), "x") for reward in rewards)))
    return made


def mini_batch(config: RLConfig, model: Any) -> list[Sample]:
    """The samples that are trained on; log π_old lies around log π, far enough for every case of the clip."""
    samples = [sample for group in select(groups(), config)[0] for sample in group]
    rng = random.Random(7)
    with torch.no_grad():
        for sample in samples:
            sample.old_logp = [value + rng.uniform(-3, 3) for value in alone(model, sample, config.temperature).tolist()]
    return samples


def alone(model: Any, sample: Sample, temperature: float) -> Tensor:
    """log π of the response's tokens, the sequence by itself, with all its logits."""
    ids = torch.tensor([[*sample.prompt, *sample.tokens]])
    logits = model(input_ids=ids).logits[0, len(sample.prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(sample.tokens)[:, None])[:, 0]


def reference_loss(model: Any, preset: str) -> Tensor:
    """L_GPPO + 0.1·L_LM of the five groups; `release` has one sequence a micro-batch."""
    kept = [0, 1, 3, 4] if preset == "paper" else [0, 1, 4]
    everything = groups()
    rows = []
    for number in kept:
        rewards = torch.tensor([float(reward) for reward in REWARDS[number]], dtype=torch.float64)
        deviation = rewards.std(correction=0 if preset == "paper" else 1)
        for reward, completion in zip(rewards, everything[number].completions, strict=True):
            advantage = (reward - rewards.mean()) / (deviation + 1e-6)
            rows.append((everything[number].prompt.ids, completion.token_ids, advantage, reward == 1))
    rng = random.Random(7)
    token_losses, logps, positives = [], [], []
    for prompt, tokens, advantage, positive in rows:
        logp = alone(model, Sample(prompt, tokens, 0, False, ()), 0.9)
        old = logp.detach() + torch.tensor([rng.uniform(-3, 3) for _ in tokens], dtype=torch.float64)
        ratio = (logp - old).exp()
        bounded = torch.clamp(ratio, (1 - 0.2) / ratio.detach() * ratio, (1 + 0.28) / ratio.detach() * ratio)  # Eq. 17
        loss = -torch.minimum(ratio * advantage, bounded * advantage)
        if preset == "release" and advantage < 0:
            loss = torch.where(ratio > 10, -10 * advantage * torch.ones_like(loss), loss)
        token_losses.append(loss)
        logps.append(logp)
        positives.append(bool(positive))
    if preset == "paper":
        right = [logp for logp, positive in zip(logps, positives, strict=True) if positive]
        return torch.cat(token_losses).mean() - 0.1 * torch.cat(right).mean()
    total = torch.zeros((), dtype=torch.float64)
    for loss, logp, positive in zip(token_losses, logps, positives, strict=True):
        total = total + (loss.mean() - 0.1 * positive * logp.mean()) / len(rows)
    return total


def gradients(model: Any) -> dict[str, Tensor]:
    found = {}
    for name, weight in model.named_parameters():
        gradient = weight.grad
        found[name] = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient.clone()
    return found


def main(target: Path) -> None:
    from safetensors.torch import save_file

    from klear_repro.training.distributed import join, leave, shard

    ranks = join()
    config = settings("paper", micro_batch_tokens=30)
    model = small_model()
    samples = mini_batch(config, model)
    policy = Policy(model)
    shard(policy, torch.float64)
    with policy.updating():
        mini_batch_gradients(policy, samples, config, ranks=ranks)
    whole = gradients(model)
    if ranks.first:
        save_file({name: tensor.contiguous() for name, tensor in whole.items()}, target)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
