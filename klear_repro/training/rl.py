"""Reinforcement learning with verified rewards: the loop, in the order of the paper.

One step (arXiv 2508.07629 §3.2, §4.1):
 1. sample `prompts_per_step` prompts, `samples_per_prompt` rollouts of each, from the live weights (π_old);
 2. score every rollout with the verifier of its `data_source`: maths right or wrong, code soft;
 3. A = (reward − mean) / std inside each group (Eq. 4); drop groups without advantage (§5.2.5);
 4. cut the kept groups into mini-batches; for each one, one update of L = L_policy + α·L_LM (Eq. 7, 11, 14),
    L_LM over the correct samples (Eq. 13).  From the second mini-batch on, π_θ ≠ π_old: that is what
    the clip range is about.

Deviations from the paper: none known beyond the fields of `RLConfig`.
From the released code: surplus groups are those that come last, not balanced by tokens across ranks;
L_LM is a token mean over the positives of the mini-batch (the release averages by micro-batch);
π_old comes from the sampling engine, which here computes on the trainer's own weights in the same
precision, and `logprob_gap` logs how far the two computations are apart; a rollout whose verifier failed is left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from klear_repro.config import RLConfig
from klear_repro.engines.base import Completion, Request, Sampling, chat_ids
from klear_repro.engines.hf import HFEngine
from klear_repro.errors import RunError
from klear_repro.files import Appender
from klear_repro.progress import Progress
from klear_repro.rewards import RewardModel, Rollout, Score
from klear_repro.seeds import derive_seed
from klear_repro.training.advantages import group_advantages, kept_groups
from klear_repro.training.batches import collate, micro_batches, response_logprobs
from klear_repro.training.checkpoint import latest, save_checkpoint
from klear_repro.training.losses import policy_loss, positive_lm_loss
from klear_repro.training.optim import adamw, apply_gradients
from klear_repro.training.sft import Start, epoch_slice, resume


@dataclass(frozen=True)
class Prompt:
    """A training prompt: token ids, and what its verifier needs."""

    ids: tuple[int, ...]
    data_source: str
    ground_truth: Any


@dataclass(frozen=True)
class Sample:
    """One rollout that is trained on."""

    prompt: tuple[int, ...]
    completion: Completion
    advantage: float
    positive: bool


def train_rl(start: Start, config: RLConfig, prompts: Sequence[Prompt], rewards: RewardModel) -> Path:
    """Train, checkpoint, resume; returns the last checkpoint.

    Raises:
        RunError: the verifier failed on every rollout of a step.
    """
    model = start.model
    optimizer = adamw(model, config.lr, config.betas, config.weight_decay)
    done = resume(start, model, optimizer)
    path = latest(start.checkpoints)
    if done >= config.steps and path:
        return path
    updates = _updates_so_far(path)
    engine = HFEngine(model, start.tokenizer, slots=config.slots)
    with Appender(start.metrics) as metrics, Progress(start.label, config.steps, "step", done) as progress:
        for step in range(done, config.steps):
            clock = _Clock()
            chosen = [prompts[index] for index in epoch_slice(len(prompts), step, config.prompts_per_step, start.seed)]
            groups = roll_out(engine, chosen, config, derive_seed(start.seed, "rollout", step))
            clock.lap("generate")
            scores = _score(rewards, chosen, groups, derive_seed(start.seed, "tests", step))
            clock.lap("reward")
            samples, row = select(chosen, groups, scores, config)
            if row["verifier_failures"] == len(chosen) * config.samples_per_prompt:
                raise RunError(f"{start.label}: the verifier failed on every rollout of step {step + 1}; the last checkpoint is kept")
            row |= _update(model, optimizer, samples, config, start.tokenizer.pad_token_id, updates)
            updates += row["updates"]
            clock.lap("train")
            metrics.append({"step": step + 1, **row, "lr": _learning_rate(config, updates), **clock.seconds()})
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                path = save_checkpoint(start.checkpoints, step + 1, model, start.tokenizer, optimizer, {"updates": updates})
            progress.update(text=f"reward {row['reward_mean']:.2f}, accuracy {row['accuracy']:.0%}")
    assert path is not None
    return path


def roll_out(engine: HFEngine, prompts: Sequence[Prompt], config: RLConfig, seed: int) -> list[list[Completion]]:
    """`samples_per_prompt` completions of every prompt, each with its own seed."""
    sampling = Sampling(config.temperature, config.top_p, 0, 0.0, 1.0, config.max_new_tokens)
    requests = [
        Request((group, sample), prompt.ids, derive_seed(seed, group, sample))
        for group, prompt in enumerate(prompts)
        for sample in range(config.samples_per_prompt)
    ]
    finished = {completion.tag: completion for completion in engine.generate(requests, sampling)}
    return [[finished[group, sample] for sample in range(config.samples_per_prompt)] for group in range(len(prompts))]


def _score(rewards: RewardModel, prompts: Sequence[Prompt], groups: Sequence[Sequence[Completion]], seed: int) -> list[list[Score]]:
    rollouts = [
        Rollout(prompt.data_source, completion.text, prompt.ground_truth, derive_seed(seed, index))
        for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True))
        for completion in group
    ]
    scores = iter(rewards.score(rollouts))
    return [[next(scores) for _ in group] for group in groups]


def select(
    prompts: Sequence[Prompt], groups: Sequence[Sequence[Completion]], scores: Sequence[Sequence[Score]], config: RLConfig
) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Groups to train on, with advantages, and what the metrics say of the rollouts.

    A number of groups that fills no whole mini-batch is cut, unless there is only one mini-batch.
    """
    reward = torch.tensor([[score.reward for score in group] for group in scores], dtype=torch.float64)
    accuracy = torch.tensor([[score.accuracy for score in group] for group in scores], dtype=torch.float64)
    advantages = group_advantages(reward, config.std)
    kept = kept_groups(reward, accuracy, config.filter_by).nonzero()[:, 0].tolist()
    trained = kept[: config.train_prompts]
    if len(trained) > config.mini_batch_prompts:
        trained = trained[: len(trained) // config.mini_batch_prompts * config.mini_batch_prompts]
    samples = [
        [
            Sample(prompts[group].ids, completion, float(advantages[group, index]), scores[group][index].accuracy == 1.0)
            for index, completion in enumerate(groups[group])
            if not math.isnan(scores[group][index].reward)
        ]
        for group in trained
    ]
    known = ~reward.isnan()
    every = [completion for group in groups for completion in group]
    tokens = sum(len(completion.token_ids) for completion in every)
    return samples, {
        "reward_mean": float(reward[known].mean()) if known.any() else None,
        "accuracy": float(accuracy[known].mean()) if known.any() else None,
        "groups": len(groups),
        "groups_kept": len(kept),
        "groups_trained": len(trained),
        "length_mean": tokens / len(every),
        "truncated": sum(completion.finish_reason == "length" for completion in every) / len(every),
        "verifier_failures": int((~known).sum()),
        "tokens": tokens,
    }


def _update(
    model: Any, optimizer: torch.optim.Optimizer, groups: list[list[Sample]], config: RLConfig, pad: int, updates: int
) -> dict[str, Any]:
    """One optimiser update a mini-batch; returns the metrics, weighted by tokens over the updates."""
    model.train()
    log = _Log()
    made = skipped = 0
    for first in range(0, len(groups), config.mini_batch_prompts):
        mini = [sample for group in groups[first : first + config.mini_batch_prompts] for sample in group]
        mini_batch_gradients(model, mini, config, pad, log)
        norm, stepped = apply_gradients(model, optimizer, _learning_rate(config, updates + made), config.grad_clip)
        log.norms.append(norm)
        made += 1
        skipped += not stepped
    return {**log.row(), "updates": made, "skipped_updates": skipped}


def mini_batch_gradients(model: Any, mini: Sequence[Sample], config: RLConfig, pad: int, log: _Log) -> None:
    """Add the gradient of L_policy + α·L_LM over one mini-batch to the parameters.

    The result does not depend on how the mini-batch is cut into micro-batches, except with
    `aggregation=klear_microbatch`, whose definition does.
    """
    tokens = sum(len(sample.completion.token_ids) for sample in mini)
    positive_tokens = sum(len(sample.completion.token_ids) for sample in mini if sample.positive)
    denominator = tokens if config.aggregation == "token_mean" else len(mini)
    lengths = [len(sample.prompt) + len(sample.completion.token_ids) for sample in mini]
    for cut in micro_batches(lengths, config.micro_batch_tokens):
        part = [mini[index] for index in cut]
        batch = collate([(sample.prompt, sample.completion.token_ids) for sample in part], pad, model.device)
        logp, entropy = response_logprobs(model, batch, config.temperature)
        old = _aligned([sample.completion.logprobs for sample in part], batch.targets)
        advantages = torch.tensor([sample.advantage for sample in part], device=logp.device)
        positive = torch.tensor([sample.positive for sample in part], device=logp.device)
        policy = policy_loss(
            config.loss, logp, old, advantages, batch.targets, config.eps_low, config.eps_high, config.dual_clip_c or None,
            config.beta_low, config.beta_high, config.aggregation, denominator=denominator,
        )  # fmt: skip
        lm = positive_lm_loss(logp, batch.targets, positive, positive_tokens)
        (policy.loss + config.alpha * lm).backward()
        log.add(policy.loss, lm, policy.metrics, entropy, batch.targets, logp, old)


def _aligned(values: Sequence[Sequence[float]], targets: Tensor) -> Tensor:
    """Per-token values at the positions of `targets`, 0 elsewhere."""
    aligned = torch.zeros(targets.shape, device=targets.device)
    aligned[targets] = torch.tensor([value for row in values for value in row], device=targets.device)
    return aligned


def _learning_rate(config: RLConfig, updates: int) -> float:
    return config.lr * min(1.0, (updates + 1) / max(1, config.warmup_steps))


def _updates_so_far(path: Path | None) -> int:
    import json

    return json.loads((path / "state.json").read_text())["updates"] if path else 0


class _Log:
    """Collects what the updates of one step report."""

    def __init__(self) -> None:
        self.losses = [0.0, 0.0]
        self.sums: dict[str, float] = {}
        self.tokens = 0
        self.low, self.high = math.inf, -math.inf
        self.norms: list[float] = []
        self.gap: float | None = None

    def add(self, policy: Tensor, lm: Tensor, metrics: dict[str, Tensor], entropy: Tensor, targets: Tensor, logp: Tensor, old: Tensor) -> None:
        if not self.norms:  # before the first update π_θ is π_old: any difference is numerical
            gap = float((logp.detach() - old)[targets].abs().max())
            self.gap = max(self.gap or 0.0, gap)
        self.losses[0] += float(policy.detach())
        self.losses[1] += float(lm.detach())
        count = int(metrics["tokens"])
        shares = {name: float(metrics[name]) for name in ("outside_low", "outside_high", "clip_fraction_low", "clip_fraction_high", "approx_kl")}
        shares["entropy"] = float(entropy[targets].mean())
        for name, share in shares.items():
            self.sums[name] = self.sums.get(name, 0.0) + share * count
        self.sums["extreme_tokens"] = self.sums.get("extreme_tokens", 0.0) + float(metrics["extreme_tokens"])
        self.tokens += count
        self.low = min(self.low, float(metrics["ratio_min"]))
        self.high = max(self.high, float(metrics["ratio_max"]))

    def row(self) -> dict[str, Any]:
        updates = len(self.norms)

        def mean(name: str) -> float | None:
            return self.sums[name] / self.tokens if self.tokens else None

        finite = [norm for norm in self.norms if math.isfinite(norm)]
        return {
            "loss_policy": self.losses[0] / updates if updates else None,
            "loss_lm": self.losses[1] / updates if updates else None,
            "clip_low": mean("outside_low"),
            "clip_high": mean("outside_high"),
            "clip_fraction_low": mean("clip_fraction_low"),
            "clip_fraction_high": mean("clip_fraction_high"),
            "approx_kl": mean("approx_kl"),
            "entropy": mean("entropy"),
            "ratio_min": self.low if self.tokens else None,
            "ratio_max": self.high if self.tokens else None,
            "extreme_tokens": int(self.sums.get("extreme_tokens", 0)),
            "grad_norm": sum(finite) / len(finite) if finite else None,
            "logprob_gap": self.gap,
        }


class _Clock:
    """Wall seconds by phase."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[f"seconds_{name}"] = now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        return {"seconds": self._last - self._start, **self._laps}


def make_prompts(tokenizer: Any, rows: Sequence[dict[str, Any]]) -> list[Prompt]:
    """Training prompts from rows in the released format; a code row's ground truth is JSON."""
    import json

    prompts = []
    for row in rows:
        truth = row["reward_model"]["ground_truth"]
        truth = json.loads(truth) if row["ability"] == "code" else truth
        prompts.append(Prompt(chat_ids(tokenizer, row["prompt"]), row["data_source"], truth))
    return prompts
