"""Reinforcement learning with verified rewards: the loop, in the order of the paper.

One step (arXiv 2508.07629 §3.2, §4.1):
 1. give the weights (π_old) to the rollout engine; sample `prompts_per_step` prompts, `samples_per_prompt` rollouts of each;
 2. score every rollout with the verifier of its `data_source`: maths right or wrong, code soft;
 3. A = (reward − mean) / std inside each group (Eq. 4); drop groups without advantage (§5.2.5);
 4. cut the kept groups into mini-batches; for each one, one update of L = L_policy + α·L_LM (Eq. 7, 11, 14),
    L_LM over the correct samples (Eq. 13).  From the second mini-batch on, π_θ ≠ π_old: that is what
    the clip range is about.
Before anything is updated, the trainer's log-probabilities are compared with the engine's, and a mismatch stops the run.

Deviations from the paper, beyond the fields of `RLConfig`, on points where it says nothing: a rollout whose verifier failed is
left out of mean, deviation and loss; kept groups are cut to whole mini-batches, or to one that is smaller; a run stops when
verifiers fail too often or nothing can be learned (`training.watch`).
From the released code:
 - the warm-up counts updates, from lr / warmup_steps on; there it counts rollout steps, from 0 on;
 - mini-batches are cut in the order of the prompts and in whole groups; there sequences are mixed and balanced by tokens across
   ranks, and cut to a multiple of the ranks, even through a group;
 - the mean over a mini-batch is over the sequences (or tokens) in it; there it is over the size it should have;
 - `klear_microbatch` has one sequence a micro-batch, however tokens are packed here.  There a rank has 2 (math) or 4 (code) sequences an
   update in micro-batches of up to 36,864 tokens, and as many micro-batches as the rank that needs most: in effect one each.
   L_LM is then the released one too, the token mean of each positive sequence over the number of all sequences;
   else it is the mean over all positive tokens of the mini-batch;
 - log π_old of the `hf` engine, which computes on the trainer's weights in the same precision, is taken as it is (`old_logp`);
 - with `overlong_filter` whole groups are counted for a step, and one with a single rollout left is dropped; there rollouts are
   counted, and that one has an advantage of its score;
 - epochs run into each other (`training.start`), where there what fills no step at the end of an epoch is dropped;
 - tests are drawn with a seed; held-out problems are also evaluated before the first step.
Micro-batches are cut by tokens and keep the responses to one prompt together; the prompt is computed once.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.estimators import clustered_standard_error
from benchmarks.grading import JudgeError
from klear_repro.engines.base import Completion, Request, Sampling
from klear_repro.errors import RunError
from klear_repro.files import Appender, keep_rows, read_rows
from klear_repro.rewards import RewardModel, Rollout, Score
from klear_repro.sections import RLConfig
from klear_repro.seeds import derive_seed
from klear_repro.training.advantages import group_advantages, kept_groups, overlong_penalty, without_overlong
from klear_repro.training.checkpoint import latest
from klear_repro.training.distributed import ALONE, Ranks
from klear_repro.training.losses import policy_loss, positive_lm_loss
from klear_repro.training.optim import Optimizer
from klear_repro.training.packing import SPARE, Pair, Policy
from klear_repro.training.prompts import Prompt
from klear_repro.training.rollouts import Rollouts, make_rollouts
from klear_repro.training.start import Start, epoch_slice, prepare
from klear_repro.training.step_metrics import Clock, StepMetrics, finite, joined
from klear_repro.training.watch import hopeless, stop_if_hopeless
from sandbox import SandboxError


@dataclass(frozen=True)
class Group:
    """The scored rollouts of one prompt."""

    prompt: Prompt
    completions: tuple[Completion, ...]
    scores: tuple[Score, ...]


@dataclass
class Sample:
    """One rollout that is trained on."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    advantage: float
    positive: bool
    rollout_logp: tuple[float, ...]
    """log π of each token by the engine."""
    old_logp: Sequence[float] = ()
    """log π_old of each token."""

    @property
    def pair(self) -> Pair:
        """Prompt and response."""
        return self.prompt, self.tokens


def train_rl(start: Start, config: RLConfig, prompts: Sequence[Prompt], rewards: RewardModel, heldout: Sequence[Prompt] = ()) -> Path:
    """Train, checkpoint, resume; returns the last checkpoint.

    Args:
        heldout: prompts of the evaluations every `config.eval_every` steps.

    Raises:
        RunError: the run cannot go on, with the reason; the last checkpoint is kept.
    """
    ranks = start.ranks
    rollouts = make_rollouts(start, config)
    policy, optimizer, checkpoints, state = prepare(start, config.lr, config.betas, config.weight_decay)
    done, updates, position = state["step"], state.get("updates", 0), state.get("position", 0)
    recent = deque(ranks.told(read_rows(start.metrics)[-config.patience :]), maxlen=config.patience)
    stop_if_hopeless(list(recent), config, start.label)
    with start.log(config.steps, done) as log, _Kept(start, done) as kept, checkpoints:
        if config.eval_every and done == 0:
            rollouts.sync(policy)
            kept.evaluation(0, evaluate(rollouts, heldout, rewards, config, ranks, start.seed))
        for step in range(done, config.steps):
            clock = Clock()
            rollouts.sync(policy)
            clock.lap("sync")
            groups: list[Group] = []
            for _ in range(1 + config.refill_rounds):
                chosen = [prompts[index] for index in epoch_slice(len(prompts), position, config.prompts_per_step, start.seed)]
                position += config.prompts_per_step
                groups += _roll_out_and_score(rollouts, chosen, len(groups), rewards, config, ranks, start.seed, step, clock)
                if len(_kept(groups, config)) >= config.train_prompts:
                    break
            rollouts.rest()
            samples, row = select(groups, config)
            if row["verifier_failures"] > config.max_verifier_failures * row["rollouts"]:
                raise RunError(
                    f"{start.label}: the verifier failed on {row['verifier_failures']} of {row['rollouts']} rollouts of step {step + 1}, more than "
                    f"max_verifier_failures={config.max_verifier_failures} allows ({_most_common(row['details'])}); the last checkpoint is kept",
                    everywhere=True,
                )
            with policy.updating():
                row |= _update(policy, optimizer, samples, config, updates, ranks, rollouts.own_logprobs, f"{start.label}: step {step + 1}")
            updates += row["updates"]
            clock.lap("train")
            row = {"step": step + 1, **row, "lr": learning_rate(config, max(0, updates - 1)), **clock.seconds()}
            row["tokens_per_second"] = row["trained_tokens"] / row["seconds"]
            kept.rollouts(step + 1, groups, config)
            if config.eval_every and ((step + 1) % config.eval_every == 0 or step + 1 == config.steps):
                rollouts.sync(policy)
                kept.evaluation(step + 1, evaluate(rollouts, heldout, rewards, config, ranks, start.seed))
                rollouts.rest()
            log.step(row)
            recent.append(row)
            checkpoints.poll()
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps or hopeless(list(recent), config):
                checkpoints.save(step + 1, {"updates": updates, "position": position})
            stop_if_hopeless(list(recent), config, start.label)
    path = latest(start.checkpoints)
    assert path is not None
    return path


# --- 1, 2: rollouts and their scores --------------------------------------------------------------


def roll_out(rollouts: Rollouts, prompts: Sequence[Prompt], sampling: Sampling, samples: int, seeds: Sequence[int]) -> list[list[Completion]]:
    """`samples` completions of every prompt; each has a seed derived from its prompt's."""
    requests = [
        Request((group, sample), prompt.ids, derive_seed(seed, sample))
        for group, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
        for sample in range(samples)
    ]
    try:
        finished = {completion.tag: completion for completion in rollouts.generate(requests, sampling)}
    except RuntimeError as error:  # torch's and vLLM's own; what a user asked for wrongly is a UserError
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
        raise RunError(f"the rollout engine failed: {reason}; the last checkpoint is kept") from error
    return [[finished[group, sample] for sample in range(samples)] for group in range(len(prompts))]


def score(rewards: RewardModel, prompts: Sequence[Prompt], groups: Sequence[Sequence[Completion]], seeds: Sequence[int], retries: int) -> list[Group]:
    """The groups with their scores; a rollout whose verifier failed is scored again up to `retries` times."""
    rolled = [
        Rollout(prompt.data_source, completion.text, prompt.ground_truth, seed, completion.finish_reason,
                prompt.max_tests, prompt.timeout_s, prompt.thinking)
        for prompt, group, seed in zip(prompts, groups, seeds, strict=True)
        for completion in group
    ]
    try:
        scores = rewards.score(rolled)
        for _ in range(retries):
            failed = [index for index, one in enumerate(scores) if math.isnan(one.reward)]
            if not failed:
                break
            for index, again in zip(failed, rewards.score([rolled[index] for index in failed]), strict=True):
                scores[index] = again
    except (JudgeError, SandboxError) as error:
        raise RunError(f"the verifier cannot run: {error}; the last checkpoint is kept") from error
    each = iter(scores)
    return [Group(prompt, tuple(group), tuple(next(each) for _ in group)) for prompt, group in zip(prompts, groups, strict=True)]


def _roll_out_and_score(
    rollouts: Rollouts, prompts: Sequence[Prompt], before: int, rewards: RewardModel, config: RLConfig, ranks: Ranks, seed: int, step: int, clock: Clock
) -> list[Group]:
    """Groups of the prompts in their order; every process makes its share and gets all of them.  `before`: groups of the step so far."""
    sampling = Sampling(config.temperature, config.top_p, 0, 0.0, 1.0, config.max_new_tokens)
    numbers = ranks.share(range(len(prompts)))
    mine = [prompts[number] for number in numbers]
    completions = roll_out(rollouts, mine, sampling, config.samples_per_prompt, [derive_seed(seed, "rollout", step, before + number) for number in numbers])
    clock.lap("generate")
    groups = score(rewards, mine, completions, [derive_seed(seed, "tests", step, before + number) for number in numbers], config.verifier_retries)
    groups = ranks.whole(groups)
    clock.lap("reward")
    return groups


def evaluate(rollouts: Rollouts, prompts: Sequence[Prompt], rewards: RewardModel, config: RLConfig, ranks: Ranks, seed: int) -> dict[str, Any]:
    """Held-out prompts with the sampling of the released validation (T 0.6, top_p 0.95) and the stage's own verifier."""
    prompts = prompts[: config.eval_problems or None]
    sampling = Sampling(0.6, 0.95, 0, 0.0, 1.0, config.max_new_tokens)
    numbers = ranks.share(range(len(prompts)))
    mine = [prompts[number] for number in numbers]
    seeds = [derive_seed(seed, "evaluation", number) for number in numbers]  # the same at every step
    groups = ranks.whole(score(rewards, mine, roll_out(rollouts, mine, sampling, config.eval_samples, seeds), seeds, config.verifier_retries))
    scored = [[one for one in group.scores if not math.isnan(one.reward)] for group in groups]
    known = [one for group in scored for one in group]
    right = [int(sum(one.accuracy for one in group)) for group in scored if group]
    every = [completion for group in groups for completion in group.completions]
    return {
        "accuracy": sum(one.accuracy for one in known) / len(known) if known else None,
        "accuracy_se": finite(clustered_standard_error(right, [len(group) for group in scored if group])) if len(right) > 1 else None,
        "reward_mean": sum(one.reward for one in known) / len(known) if known else None,
        "problems": len(groups), "samples": len(every), "verifier_failures": len(every) - len(known),
        "length_mean": sum(len(one.token_ids) for one in every) / len(every),
        "truncated": sum(one.finish_reason == "length" for one in every) / len(every),
    }  # fmt: skip


# --- 3: advantages and the groups that have one -----------------------------------------------------


def _tables(groups: Sequence[Group], config: RLConfig) -> tuple[Tensor, Tensor]:
    """(rewards after filter and penalty, accuracies), both [groups, samples]."""
    reward = torch.tensor([[one.reward for one in group.scores] for group in groups], dtype=torch.float64)
    accuracy = torch.tensor([[one.accuracy for one in group.scores] for group in groups], dtype=torch.float64)
    if config.overlong_filter:
        reward = without_overlong(reward, torch.tensor([[one.finish_reason == "length" for one in group.completions] for group in groups]))
    lengths = torch.tensor([[one.token_count for one in group.completions] for group in groups])
    return reward + overlong_penalty(lengths, config.max_new_tokens, config.overlong_penalty_tokens), accuracy


def _kept(groups: Sequence[Group], config: RLConfig) -> list[int]:
    reward, accuracy = _tables(groups, config)
    return kept_groups(reward, accuracy, config.filter_by).nonzero()[:, 0].tolist()


def select(groups: Sequence[Group], config: RLConfig) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Groups to train on, with advantages, and what the metrics say of the rollouts.

    A number of groups that fills no whole mini-batch is cut, unless there is only one mini-batch.
    """
    reward, accuracy = _tables(groups, config)
    advantages = group_advantages(reward, config.std)
    kept = _kept(groups, config)
    trained = kept[: config.train_prompts]
    if len(trained) > config.mini_batch_prompts:
        trained = trained[: len(trained) // config.mini_batch_prompts * config.mini_batch_prompts]
    samples = [
        [
            Sample(
                groups[number].prompt.ids, completion.token_ids, float(advantages[number, index]),
                float((accuracy if config.positive_by == "accuracy" else reward)[number, index]) == 1.0, completion.logprobs,
            )
            for index, completion in enumerate(groups[number].completions)
            if not math.isnan(reward[number, index])
        ]
        for number in trained
    ]  # fmt: skip
    scores = [one for group in groups for one in group.scores]
    failed = sum(math.isnan(one.reward) for one in scores)
    raw = torch.tensor([[one.reward for one in group.scores] for group in groups], dtype=torch.float64)
    known, left = raw[~raw.isnan()], reward[~reward.isnan()]
    shaped = {"reward_shaped_mean": float(left.mean()) if len(left) else None}
    logprobs = [value for group in groups for completion in group.completions for value in completion.logprobs]
    every = [completion for group in groups for completion in group.completions]
    tokens = sum(len(completion.token_ids) for completion in every)
    return samples, {
        "reward_mean": float(known.mean()) if len(known) else None,
        "reward_std": float(known.std(correction=0)) if len(known) else None,
        "reward_max": float(known.max()) if len(known) else None,
        **(shaped if config.overlong_filter or config.overlong_penalty_tokens else {}),
        "accuracy": sum(one.accuracy for one in scores) / (len(scores) - failed) if failed < len(scores) else None,
        "rollouts": len(scores),
        "groups": len(groups),
        "groups_flat": len(groups) - int(kept_groups(raw, raw, "reward").sum()),
        "groups_kept": len(kept),
        "groups_trained": len(trained),
        "length_mean": tokens / len(every),
        "length_max": max(len(completion.token_ids) for completion in every),
        "truncated": sum(completion.finish_reason == "length" for completion in every) / len(every),
        "rollout_entropy": finite(-sum(logprobs) / len(logprobs)) if logprobs else None,
        "verifier_failures": failed,
        "details": dict(Counter(one.detail for one in scores).most_common(8)),
        "tokens": tokens,
        "trained_tokens": sum(len(sample.prompt) + len(sample.tokens) for group in samples for sample in group),
    }


# --- 4: updates --------------------------------------------------------------------------------------


def _update(
    policy: Policy, optimizer: Optimizer, groups: list[list[Sample]], config: RLConfig, updates: int, ranks: Ranks, own_logprobs: bool, where: str
) -> dict[str, Any]:
    """One optimiser update a mini-batch; returns the metrics, means over tokens."""
    log = StepMetrics()
    every = [sample for group in groups for sample in group]
    for sample in every:
        sample.old_logp = sample.rollout_logp
    if every and (config.old_logp == "trainer" or config.rollout_cap or (config.old_logp == "auto" and not own_logprobs)):
        trainer_logprobs(policy, every, config, ranks)
        log.compare([sample.old_logp for sample in every], [sample.rollout_logp for sample in every])
        log.stop_on_mismatch(config, where)
    made = skipped = on_policy_updates = on_policy_tokens = 0
    for first in range(0, len(groups), config.mini_batch_prompts):
        mini = [sample for group in groups[first : first + config.mini_batch_prompts] for sample in group]
        on_policy = made == skipped  # π_θ is still π_old
        part = StepMetrics(comparing=on_policy and not log.gaps["tokens"])
        mini_batch_gradients(policy, mini, config, part, ranks)
        for one in ranks.all(part):
            log.take(one)
            on_policy_tokens += on_policy * one.tokens
        on_policy_updates += on_policy
        if part.comparing:
            log.stop_on_mismatch(config, where)
        norm, stepped = optimizer.step(learning_rate(config, updates + made), config.grad_clip)
        log.norms.append(norm)
        made += 1
        skipped += not stepped
    on_policy_share = on_policy_tokens / log.tokens if log.tokens else None
    return {**log.row(), "updates": made, "on_policy_updates": on_policy_updates, "on_policy_share": on_policy_share, "skipped_updates": skipped}


@torch.no_grad()
def trainer_logprobs(policy: Policy, samples: Sequence[Sample], config: RLConfig, ranks: Ranks = ALONE) -> None:
    """Fill `old_logp` with the trainer's own log-probabilities under the present weights."""
    found: dict[int, list[float]] = {}
    pairs = [sample.pair for sample in samples]
    for indices in policy.micro_batches(pairs, config.micro_batch_tokens, ranks):
        batch = policy.pack([pairs[index] for index in indices or SPARE])
        logp, _ = policy(batch, config.temperature, with_entropy=False)
        parts = logp.split([len(samples[index].tokens) for index in indices]) if indices else []
        found |= {index: part.tolist() for index, part in zip(indices, parts, strict=True)}
    for part in ranks.all(found):
        for index, values in part.items():
            samples[index].old_logp = values


def mini_batch_gradients(policy: Policy, mini: Sequence[Sample], config: RLConfig, log: StepMetrics | None = None, ranks: Ranks = ALONE) -> None:
    """Add the gradient of L_policy + α·L_LM over one mini-batch to the parameters.

    The result does not depend on how the mini-batch is cut into micro-batches or shared by processes.
    """
    tokens = sum(len(sample.tokens) for sample in mini)
    positive_tokens = sum(len(sample.tokens) for sample in mini if sample.positive)
    denominator = tokens if config.aggregation == "token_mean" else len(mini)
    for indices in policy.micro_batches([sample.pair for sample in mini], config.micro_batch_tokens, ranks):
        part = [mini[index] for index in indices or SPARE]
        batch = policy.pack([sample.pair for sample in part])
        logp, entropy = policy(batch, config.temperature)
        if not indices:  # nothing left to do here, but the others wait for this process
            (logp.sum() * 0).backward()
            continue
        old = joined([sample.old_logp for sample in part], policy.device).to(logp.dtype)
        rollout = joined([sample.rollout_logp for sample in part], policy.device)
        advantages = torch.tensor([sample.advantage for sample in part], dtype=logp.dtype, device=policy.device)[batch.sequence_ids]
        positive = torch.tensor([sample.positive for sample in part], device=policy.device)[batch.sequence_ids]
        mask = torch.ones_like(positive)
        policy_part = policy_loss(
            config.loss, logp, old, advantages, mask, config.eps_low, config.eps_high, config.dual_clip_c or None,
            config.beta_low, config.beta_high, config.aggregation, sequence_ids=batch.sequence_ids, microbatch_ids=batch.sequence_ids, denominator=denominator,
            rollout_logp=rollout.to(logp.dtype) if config.rollout_cap else None, rollout_cap=config.rollout_cap or 2.0,
        )  # fmt: skip
        if config.aggregation == "klear_microbatch":
            lm = positive_lm_loss(logp / batch.sequence_ids.bincount()[batch.sequence_ids], mask, positive, len(mini))
        else:
            lm = positive_lm_loss(logp, mask, positive, positive_tokens)
        ((policy_part.loss + config.alpha * lm) * ranks.world).backward()
        if log is not None:
            log.add(policy_part.loss, lm, policy_part.metrics, entropy, logp, rollout)


def learning_rate(config: RLConfig, updates: int) -> float:
    """Of the update that follows `updates` updates: linear warm-up, then constant."""
    return config.lr * min(1.0, (updates + 1) / max(1, config.warmup_steps))


# --- what is kept of a step besides its metrics ----------------------------------------------------


class _Kept:
    """Rollouts in rollouts/STAGE.jsonl, evaluations in evaluations/STAGE.jsonl; rows after the checkpoint are dropped first."""

    def __init__(self, start: Start, done: int) -> None:
        self._files: dict[str, Appender] = {}
        if not start.ranks.first:
            return
        for name, path in (("rollouts", start.run / "rollouts" / f"{start.label}.jsonl"), ("evaluation", start.run / "evaluations" / f"{start.label}.jsonl")):
            keep_rows(path, lambda row: 0 < done >= row["step"])  # a run that begins anew evaluates its start anew
            self._files[name] = Appender(path)

    def __enter__(self) -> _Kept:
        return self

    def __exit__(self, *exc: object) -> None:
        for file in self._files.values():
            file.__exit__()

    def evaluation(self, step: int, row: dict[str, Any]) -> None:
        if self._files:
            self._files["evaluation"].append({"step": step, **row})

    def rollouts(self, step: int, groups: Sequence[Group], config: RLConfig) -> None:
        """The samples of the first groups."""
        if not self._files:
            return
        reward, _ = _tables(groups, config)
        places = [(number, index) for number, group in enumerate(groups) for index in range(len(group.completions))]
        for number, index in places[: config.keep_rollouts]:
            group, value = groups[number], float(reward[number, index])
            completion = group.completions[index]
            self._files["rollouts"].append({
                "step": step, "group": number, "sample": index, "data_source": group.prompt.data_source, "text": completion.text,
                "reward": None if math.isnan(value) else value, "accuracy": group.scores[index].accuracy, "detail": group.scores[index].detail,
                "tokens": completion.token_count, "finish_reason": completion.finish_reason,
            })  # fmt: skip


def _most_common(details: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in list(details.items())[:3])
