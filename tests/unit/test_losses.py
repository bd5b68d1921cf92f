"""The policy losses: gradients against the published table and against a second implementation, and what must never happen.

The second implementation is the paper's own expression, min(r·A, clip(r, (1−ε_l)/sg(r)·r, (1+ε_h)/sg(r)·r)·A)
(arXiv 2508.07629 Eq. 11), left to autograd, and for the other losses theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from klear_repro.training.losses import policy_loss, positive_lm_loss

LOSSES = ("gppo", "ce_gppo", "clip", "cispo", "gspo")
LOW, HIGH = 0.2, 0.28
BETA_LOW, BETA_HIGH = 0.5, 0.75
BETAS = {"beta_low": BETA_LOW, "beta_high": BETA_HIGH}

CASES = {
    # name → (advantage, ratio)
    "positive advantage, above the range": (1.5, 2.0),
    "negative advantage, below the range": (-1.5, 0.5),
    "positive advantage, below the range": (1.5, 0.5),
    "negative advantage, above the range": (-1.5, 2.0),
    "inside the range": (1.5, 1.1),
    "inside the range, negative advantage": (-1.5, 0.9),
}
WEIGHTS = {
    # loss → factor of A·∇log π in each case
    "clip": (0.0, 0.0, 0.5, 2.0, 1.1, 0.9),
    "gppo": (1.28, 0.8, 0.5, 2.0, 1.1, 0.9),
    "ce_gppo": (0.96, 0.4, 0.5, 2.0, 1.1, 0.9),  # 0.75·1.28 and 0.5·0.8
    "cispo": (1.28, 0.8, 0.8, 1.28, 1.1, 0.9),
    "gspo": (0.0, 0.0, 0.5, 2.0, 1.1, 0.9),  # one token: its sequence's ratio is its own
}


def one_token(name: str, ratio: float, advantage: float, **options: Any) -> tuple[float, float]:
    """(loss, gradient with respect to log π) of a single token, float64."""
    logp = torch.tensor([[-1.3]], dtype=torch.float64, requires_grad=True)
    old = logp.detach() - math.log(ratio)
    out = policy_loss(name, logp, old, torch.tensor([advantage], dtype=torch.float64), torch.ones(1, 1), LOW, HIGH, **options)
    (gradient,) = torch.autograd.grad(out.loss, logp, allow_unused=True)
    return out.loss.item(), 0.0 if gradient is None else gradient.item()


def random_batch(seed: int, rows: int = 7, time: int = 11, spread: float = 0.6, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Log-probs with ratios on both sides of the range; ragged mask, the first row complete."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    old = -normal(rows, time).abs() - 0.1
    lengths = torch.randint(1, time + 1, (rows,), generator=generator)
    lengths[0] = time
    return {
        "logp": (old + spread * normal(rows, time)).to(dtype).requires_grad_(),
        "old_logp": old.to(dtype),
        "advantages": normal(rows).to(dtype),
        "mask": torch.arange(time)[None] < lengths[:, None],
    }


def gradient_of(out: Any, logp: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(out.loss, logp, allow_unused=True)
    return torch.zeros_like(logp) if gradient is None else gradient


# --- the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_that_of_the_published_table(name: str, case: str) -> None:
    advantage, ratio = CASES[case]
    weight = WEIGHTS[name][list(CASES).index(case)]
    _, gradient = one_token(name, ratio, advantage, **BETAS)
    assert gradient == pytest.approx(-weight * advantage, abs=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_ce_gppo_with_both_betas_one_is_gppo(case: str) -> None:
    advantage, ratio = CASES[case]
    assert one_token("ce_gppo", ratio, advantage) == one_token("gppo", ratio, advantage)


@pytest.mark.parametrize("case", CASES)
def test_betas_change_no_other_loss(case: str) -> None:
    advantage, ratio = CASES[case]
    for name in ("gppo", "clip", "cispo", "gspo"):
        assert one_token(name, ratio, advantage, **BETAS) == one_token(name, ratio, advantage)


def test_the_edges_of_the_range_belong_to_the_range() -> None:
    for edge in (1 + HIGH - 1e-12, 1 - LOW + 1e-12):
        for advantage in (1.0, -1.0):
            assert one_token("clip", edge, advantage)[1] == pytest.approx(-edge * advantage, abs=1e-10)


# --- a second implementation --------------------------------------------------------------------


def paper_token_losses(name: str, logp: Tensor, old: Tensor, advantage: Tensor, mask: Tensor) -> Tensor:
    """Token losses by the papers' own expressions."""
    ratio = (logp - old).exp()
    if name == "gspo":  # s_i = exp(mean of the log-ratios), one for all tokens of a sequence
        mean = torch.stack([(row - before)[keep].mean() for row, before, keep in zip(logp, old, mask, strict=True)])
        ratio = mean.exp()[:, None].expand(logp.shape)
    held = ratio.detach()
    if name == "cispo":
        return -held.clip(1 - LOW, 1 + HIGH) * advantage * logp
    if name in ("clip", "gspo"):
        clipped = ratio.clip(1 - LOW, 1 + HIGH)
    else:
        low, high = ((1 - LOW) / held * ratio, (1 + HIGH) / held * ratio)
        clipped = torch.maximum(torch.minimum(ratio, high), low)
        if name == "ce_gppo":
            factor = torch.where(held > 1 + HIGH, BETA_HIGH, torch.where(held < 1 - LOW, BETA_LOW, 1.0))
            # the factor belongs to the preserved branch alone: chosen where the plain minimum chooses it
            chosen = clipped.detach() * advantage < held * advantage
            return -torch.where(chosen, factor * clipped * advantage, ratio * advantage)
    return -torch.minimum(ratio * advantage, clipped * advantage)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_agree_with_the_papers_own_expression(name: str, seed: int) -> None:
    batch = random_batch(seed)
    out = policy_loss(name, **batch, eps_low=LOW, eps_high=HIGH, **BETAS)
    logp, mask = batch["logp"], batch["mask"]
    tokens = paper_token_losses(name, logp, batch["old_logp"], batch["advantages"][:, None].expand(logp.shape), mask)
    expected = tokens[mask].sum() / mask.sum()
    assert abs((out.loss - expected).item()) < 1e-12
    torch.testing.assert_close(out.token_loss, torch.where(mask, tokens, 0), atol=1e-12, rtol=0)
    (slope,) = torch.autograd.grad(expected, logp)
    torch.testing.assert_close(gradient_of(out, logp), slope, atol=1e-10, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_forward_value_of_gppo_is_that_of_clip_higher(seed: int) -> None:
    batch = random_batch(seed, spread=1.5)
    assert abs(policy_loss("gppo", **batch).loss.item() - policy_loss("clip", **batch).loss.item()) < 1e-12


def test_on_policy_every_loss_has_the_policy_gradient() -> None:
    batch = random_batch(0)
    batch["old_logp"] = batch["logp"].detach()
    wanted = -(batch["advantages"][:, None] * batch["mask"]) / batch["mask"].sum()
    for name in LOSSES:
        torch.testing.assert_close(gradient_of(policy_loss(name, **batch), batch["logp"]), wanted, atol=1e-12, rtol=0)


# --- finite differences -------------------------------------------------------------------------


def slope_by_differences(loss: Callable[[Tensor], float], at: Tensor, step: float = 1e-6) -> Tensor:
    slope = torch.zeros_like(at)
    for index in range(at.numel()):
        move = torch.zeros(at.numel(), dtype=at.dtype)
        move[index] = step
        move = move.reshape(at.shape)
        slope.view(-1)[index] = (loss(at + move) - loss(at - move)) / (2 * step)
    return slope


SMOOTH = {
    # where the value is a smooth function of log π with no stop-gradient in it: (advantage, ratio)
    "clip": tuple(CASES.values()),
    "gspo": tuple(CASES.values()),
    "gppo": ((1.5, 0.5), (-1.5, 2.0), (1.5, 1.1), (-1.5, 0.9)),
    "ce_gppo": ((1.5, 0.5), (-1.5, 2.0), (1.5, 1.1), (-1.5, 0.9)),
    "cispo": ((1.5, 2.0), (-1.5, 0.5), (1.5, 0.5), (-1.5, 2.0)),  # outside the range its weight is a constant
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_slope_where_the_loss_is_smooth(name: str) -> None:
    for advantage, ratio in SMOOTH[name]:
        logp = torch.tensor([[-1.3, -0.4, -2.0]], dtype=torch.float64, requires_grad=True)
        old = logp.detach() - math.log(ratio)

        def loss(at: Tensor, old: Tensor = old, advantage: float = advantage) -> Any:
            return policy_loss(name, at, old, torch.tensor([advantage], dtype=torch.float64), torch.ones(1, 3), **BETAS)

        slope = slope_by_differences(lambda at: loss(at).loss.item(), logp.detach())
        torch.testing.assert_close(gradient_of(loss(logp), logp), slope, atol=1e-7, rtol=1e-7)


# --- dual clip ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gppo", "ce_gppo", "clip", "gspo"])
def test_dual_clip_is_constant_without_gradient_for_a_negative_advantage_above_c(name: str) -> None:
    for ratio in (10.5, 100.0):
        loss, gradient = one_token(name, ratio, -1.5, dual_clip_c=10.0)
        assert loss == pytest.approx(15.0)  # −c·A
        assert gradient == 0.0


@pytest.mark.parametrize("name", ["gppo", "ce_gppo", "clip", "gspo"])
def test_dual_clip_touches_nothing_else(name: str) -> None:
    for advantage, ratio in ((-1.5, 9.9), (-1.5, 0.5), (-1.5, 0.001), (1.5, 100.0), (1.5, 0.001), (-1.5, 1.0)):
        assert one_token(name, ratio, advantage, dual_clip_c=10.0, **BETAS) == one_token(name, ratio, advantage, **BETAS)


def test_gradient_preserved_below_the_range_survives_the_dual_clip() -> None:
    assert one_token("gppo", 0.01, -2.0, dual_clip_c=10.0)[1] == pytest.approx(0.8 * 2.0)


# --- extreme ratios -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_ten_thousand_tokens_with_log_ratios_up_to_80_stay_finite(name: str, dtype: torch.dtype) -> None:
    log_ratio = torch.linspace(-80, 80, 10_000).reshape(100, 100)
    logp = torch.full((100, 100), -85.0).to(dtype).requires_grad_()
    old = (-85.0 - log_ratio).to(dtype)
    advantages = torch.tensor([1.0, -1.0]).repeat(50).to(dtype)
    out = policy_loss(name, logp, old, advantages, torch.ones(100, 100), **BETAS)
    gradient = gradient_of(out, logp)
    assert out.loss.isfinite()
    assert out.token_loss.isfinite().all()
    assert gradient.isfinite().all()
    assert gradient.float().norm().isfinite()
    assert out.loss.dtype == torch.float32
    assert all(value.isfinite() for value in out.metrics.values())


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("name", LOSSES)
def test_each_extreme_token_alone_has_a_finite_loss_and_gradient(name: str, advantage: float) -> None:
    for log_ratio in (-80.0, -30.0, -20.0, 20.0, 30.0, 80.0):
        logp = torch.tensor([[-0.5]], requires_grad=True)
        out = policy_loss(name, logp, logp.detach() - log_ratio, torch.tensor([advantage]), torch.ones(1, 1))
        assert out.loss.isfinite()
        assert gradient_of(out, logp).isfinite().all()


def test_gradient_beyond_the_bound_is_the_bounded_ratio() -> None:
    for name in ("gppo", "clip"):
        logp = torch.tensor([[-0.5]], dtype=torch.float64, requires_grad=True)
        out = policy_loss(name, logp, logp.detach() - 60, torch.tensor([-1.0], dtype=torch.float64), torch.ones(1, 1))
        assert gradient_of(out, logp).item() == pytest.approx(math.exp(20))


def test_preserved_gradient_does_not_depend_on_how_extreme_the_token_is() -> None:
    for log_ratio, advantage, weight in ((80.0, 1.0, 1.28), (21.0, 1.0, 1.28), (-80.0, -1.0, 0.8), (-21.0, -1.0, 0.8)):
        logp = torch.tensor([[-0.5]], requires_grad=True)
        out = policy_loss("gppo", logp, logp.detach() - log_ratio, torch.tensor([advantage]), torch.ones(1, 1))
        assert gradient_of(out, logp).item() == pytest.approx(-weight * advantage)


def verl_gspo(logp: Tensor, old: Tensor, advantage: Tensor, mask: Tensor) -> Tensor:
    """Token losses as verl has them (core_algos.py, compute_policy_loss_gspo): the log-ratio of a sequence is clamped at 10."""
    mean = ((logp - old) * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    ratio = (logp - logp.detach() + mean.detach()).clamp(max=10.0).exp()
    return torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - LOW, 1 + HIGH))


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("mean", [-30.0, -19.0, -1.0, 0.0, 1.0, 9.99, 10.0, 10.01, 19.0, 60.0])
def test_gspo_is_that_of_verl_also_beyond_its_bound(mean: float, advantage: float) -> None:
    """In float64, and in float32 against it: the ratio of a sequence is at most e^10, without a gradient beyond."""
    old = torch.tensor([[-90.0, -80.0, -100.0], [-1.0, -2.0, -3.0]], dtype=torch.float64)
    drift = torch.tensor([[mean - 2, mean + 3, mean - 1], [0.1, -0.2, 0.05]], dtype=torch.float64)
    mask = torch.ones(2, 3, dtype=torch.bool)
    each = torch.tensor([[advantage], [advantage]], dtype=torch.float64).expand(2, 3)
    for dtype, near in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        logp = (old + drift).to(dtype).requires_grad_()
        out = policy_loss("gspo", logp, old.to(dtype), each.to(dtype), mask)
        exact = logp.detach().double().requires_grad_()
        expected = verl_gspo(exact, old, each, mask)
        torch.testing.assert_close(out.token_loss.double(), expected, atol=1e-8, rtol=near)
        (slope,) = torch.autograd.grad(expected.sum() / 6, exact)
        gradient = gradient_of(out, logp)
        torch.testing.assert_close(gradient.double(), slope, atol=1e-8, rtol=near)
        assert gradient.abs().max() <= math.exp(10) / 6 * 1.001
        assert not (mean > 10.005 and gradient[0].any())
        beyond = mean > 10 or mean < -20
        assert dtype == torch.float32 or out.metrics["extreme_tokens"] == 3 * beyond


def test_extreme_tokens_are_counted() -> None:
    old = torch.zeros(1, 6)
    logp = torch.tensor([[-80.0, -20.5, -19.5, 0.0, 19.5, 20.5]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 0]])
    assert policy_loss("gppo", logp, old, torch.ones(1), mask).metrics["extreme_tokens"] == 2


# --- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "klear_microbatch"])
@pytest.mark.parametrize("name", LOSSES)
def test_what_stands_under_the_mask_has_no_influence(name: str, aggregation: str) -> None:
    batch = random_batch(3)
    mask = batch["mask"]
    clean = policy_loss(name, **batch, aggregation=aggregation, rollout_logp=batch["old_logp"])
    wanted = gradient_of(clean, batch["logp"])
    for junk in (math.nan, math.inf, -math.inf):
        logp = torch.where(mask, batch["logp"].detach(), junk).requires_grad_()
        dirty = policy_loss(
            name,
            logp,
            torch.where(mask, batch["old_logp"], junk),
            torch.where(mask, batch["advantages"][:, None], junk),
            mask,
            aggregation=aggregation,
            rollout_logp=torch.where(mask, batch["old_logp"], junk),
        )
        assert dirty.loss.item() == clean.loss.item()
        assert torch.equal(gradient_of(dirty, logp), wanted)
        assert {key: value.item() for key, value in dirty.metrics.items()} == {key: value.item() for key, value in clean.metrics.items()}


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "klear_microbatch"])
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_to_learn_from_gives_zero_and_a_zero_gradient(name: str, aggregation: str) -> None:
    batch = random_batch(0) | {"mask": torch.zeros(7, 11)}
    out = policy_loss(name, **batch, aggregation=aggregation)
    assert out.loss.item() == 0
    assert not gradient_of(out, batch["logp"]).any()
    assert out.metrics["tokens"] == 0


def test_a_sequence_without_response_tokens_does_not_dilute_the_mean_of_sequences() -> None:
    batch = random_batch(1)
    batch["mask"][2] = False
    whole = policy_loss("gppo", **batch, aggregation="sequence_mean").loss
    kept = [row for row in range(7) if row != 2]
    fewer = policy_loss("gppo", **{key: value[kept] for key, value in batch.items()}, aggregation="sequence_mean").loss
    torch.testing.assert_close(whole, fewer)


# --- aggregation --------------------------------------------------------------------------------


def aggregated(tokens: Tensor, mask: Tensor, aggregation: str, microbatches: list[int]) -> float:
    """The three definitions as plain loops over Python numbers."""
    sequences = [[float(value) for value, keep in zip(*row, strict=True) if keep] for row in zip(tokens, mask, strict=True)]
    if aggregation == "token_mean":
        every = [value for sequence in sequences for value in sequence]
        return math.fsum(every) / len(every)
    if aggregation == "sequence_mean":
        return math.fsum(math.fsum(sequence) / len(sequence) for sequence in sequences) / len(sequences)
    total = 0.0
    for number in set(microbatches):
        members = [sequence for sequence, microbatch in zip(sequences, microbatches, strict=True) if microbatch == number]
        every = [value for sequence in members for value in sequence]
        total += len(members) * math.fsum(every) / len(every)
    return total / len(sequences)


@pytest.mark.parametrize("microbatches", [[0] * 7, [0, 0, 1, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5, 6], [2, 0, 2, 1, 0, 1, 2]])
@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "klear_microbatch"])
def test_aggregation_agrees_with_a_loop(aggregation: str, microbatches: list[int]) -> None:
    batch = random_batch(11)
    out = policy_loss("gppo", **batch, aggregation=aggregation, microbatch_ids=torch.tensor(microbatches))
    tokens = policy_loss("gppo", **batch).token_loss.detach()
    assert out.loss.item() == pytest.approx(aggregated(tokens, batch["mask"], aggregation, microbatches), abs=1e-12)


def test_one_sequence_a_micro_batch_makes_the_released_aggregation_a_sequence_mean() -> None:
    batch = random_batch(12)
    released = policy_loss("gppo", **batch, aggregation="klear_microbatch", microbatch_ids=torch.arange(7)).loss
    assert released.item() == pytest.approx(policy_loss("gppo", **batch, aggregation="sequence_mean").loss.item(), abs=1e-12)


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "klear_microbatch"])
@pytest.mark.parametrize("name", LOSSES)
def test_packed_and_padded_forms_are_the_same_loss(name: str, aggregation: str) -> None:
    batch = random_batch(5)
    mask = batch["mask"]
    microbatches = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    options: dict[str, Any] = {"aggregation": aggregation, **BETAS}
    padded = policy_loss(name, **batch, microbatch_ids=microbatches, **options)
    numbers = torch.arange(7)[:, None].expand(mask.shape)[mask]
    packed_logp = batch["logp"].detach()[mask].requires_grad_()
    packed = policy_loss(
        name, packed_logp, batch["old_logp"][mask], batch["advantages"][numbers], torch.ones(len(numbers)),
        sequence_ids=numbers, microbatch_ids=microbatches[numbers], **options,
    )  # fmt: skip
    torch.testing.assert_close(packed.loss, padded.loss, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient_of(packed, packed_logp), gradient_of(padded, batch["logp"])[mask], atol=1e-12, rtol=0)
    for key, value in padded.metrics.items():
        torch.testing.assert_close(packed.metrics[key], value, atol=1e-12, rtol=0)


@pytest.mark.parametrize("cuts", [[[0, 1, 2, 3, 4, 5, 6]], [[0], [1, 2, 3], [4, 5, 6]], [[6], [5], [4], [3], [2], [1], [0]]])
@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean"])
@pytest.mark.parametrize("name", LOSSES)
def test_cutting_a_mini_batch_into_micro_batches_leaves_the_gradient(name: str, aggregation: str, cuts: list[list[int]]) -> None:
    batch = random_batch(8)
    whole = gradient_of(policy_loss(name, **batch, aggregation=aggregation), batch["logp"])
    denominator = int(batch["mask"].sum()) if aggregation == "token_mean" else 7
    total = sum(
        policy_loss(name, **{key: value[cut] for key, value in batch.items()}, aggregation=aggregation, denominator=denominator).loss
        for cut in cuts
    )
    (gradient,) = torch.autograd.grad(total, batch["logp"])
    torch.testing.assert_close(gradient, whole, atol=1e-12, rtol=0)


def test_micro_batches_given_one_by_one_or_by_number_are_the_released_aggregation() -> None:
    batch = random_batch(9)
    numbers = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    whole = policy_loss("gppo", **batch, aggregation="klear_microbatch", microbatch_ids=numbers).loss
    parts = [
        policy_loss(
            "gppo", **{key: value[numbers == number] for key, value in batch.items()}, aggregation="klear_microbatch", denominator=7
        ).loss
        for number in range(3)
    ]
    torch.testing.assert_close(torch.stack(parts).sum(), whole, atol=1e-12, rtol=0)


# --- sampling engine ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_rollout_log_probs_weight_each_token_by_the_truncated_ratio_of_trainer_and_engine(name: str) -> None:
    batch = random_batch(2)
    generator = torch.Generator().manual_seed(1)
    rollout = batch["old_logp"] + torch.randn(7, 11, generator=generator, dtype=torch.float64)
    rollout[0, 0] = batch["old_logp"][0, 0] - 80  # the engine found this token all but impossible
    rollout[0, 1] = batch["old_logp"][0, 1] + 80
    out = policy_loss(name, **batch, rollout_logp=rollout, rollout_cap=2.0)
    weight = (batch["old_logp"] - rollout).exp().clamp(max=2.0)
    plain = policy_loss(name, **batch)
    assert weight[0, 0] == 2.0
    torch.testing.assert_close(out.token_loss, plain.token_loss * weight, atol=1e-12, rtol=1e-12)
    (slope,) = torch.autograd.grad((plain.token_loss * weight).sum() / batch["mask"].sum(), batch["logp"])
    torch.testing.assert_close(gradient_of(out, batch["logp"]), slope, atol=1e-12, rtol=1e-12)


# --- what flows where ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_only_log_pi_gets_a_gradient(name: str) -> None:
    batch = random_batch(4)
    batch["old_logp"].requires_grad_()
    batch["advantages"].requires_grad_()
    out = policy_loss(name, **batch)
    old, advantages = torch.autograd.grad(out.loss, (batch["old_logp"], batch["advantages"]), allow_unused=True)
    assert old is None or not old.any()
    assert advantages is None or not advantages.any()
    assert not any(value.requires_grad for value in out.metrics.values())


def test_advantages_a_sequence_or_a_token_are_the_same() -> None:
    batch = random_batch(6)
    expected = policy_loss("gppo", **batch).loss
    for shape in ((7, 1), (7, 11)):
        given = batch | {"advantages": batch["advantages"][:, None].expand(shape)}
        assert policy_loss("gppo", **given).loss.item() == expected.item()


def test_metrics_say_which_tokens_are_outside_and_which_are_clipped() -> None:
    ratios = torch.tensor([[2.0, 0.5, 1.0, 1.1], [2.0, 0.5, 0.5, 1.0]], dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    out = policy_loss("gppo", ratios.log(), torch.zeros(2, 4, dtype=torch.float64), torch.tensor([1.0, -1.0]), mask)
    values = {name: value.item() for name, value in out.metrics.items()}
    assert values["tokens"] == 7
    assert values["outside_low"] == pytest.approx(3 / 7)
    assert values["outside_high"] == pytest.approx(2 / 7)
    assert values["clip_fraction_low"] == pytest.approx(2 / 7)
    assert values["clip_fraction_high"] == pytest.approx(1 / 7)
    assert values["ratio_min"] == pytest.approx(0.5)
    assert values["ratio_max"] == pytest.approx(2.0)
    assert values["positive_tokens"] == 4
    assert values["dual_clip_fraction"] == 0
    assert policy_loss(
        "gppo", ratios.log(), torch.zeros(2, 4, dtype=torch.float64), torch.tensor([1.0, -1.0]), mask, dual_clip_c=1.5
    ).metrics["dual_clip_fraction"].item() == pytest.approx(1 / 7)


# --- the LM loss --------------------------------------------------------------------------------


def test_lm_loss_is_the_mean_over_the_tokens_of_correct_samples() -> None:
    batch = random_batch(7)
    positive = torch.tensor([True, False, True, False, False, False, True])
    loss = positive_lm_loss(batch["logp"], batch["mask"], positive)
    rows = [batch["logp"][row][batch["mask"][row]] for row in (0, 2, 6)]
    assert loss.item() == pytest.approx(-torch.cat(rows).mean().item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(loss, batch["logp"])
    assert not gradient[~positive].any()
    assert not gradient[~batch["mask"]].any()


def test_lm_loss_without_correct_samples_is_zero_with_a_zero_gradient() -> None:
    batch = random_batch(7)
    loss = positive_lm_loss(batch["logp"], batch["mask"], torch.zeros(7, dtype=torch.bool))
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, batch["logp"])
    assert not gradient.any()


def test_lm_loss_in_parts_with_a_denominator_is_the_whole() -> None:
    batch = random_batch(7)
    positive = torch.tensor([True, False, True, False, False, False, True])
    tokens = int(batch["mask"][positive].sum())
    parts = [positive_lm_loss(batch["logp"][cut], batch["mask"][cut], positive[cut], tokens) for cut in (slice(0, 3), slice(3, 7))]
    assert sum(part.item() for part in parts) == pytest.approx(positive_lm_loss(batch["logp"], batch["mask"], positive).item(), abs=1e-12)


def test_lm_loss_ignores_what_stands_elsewhere() -> None:
    batch = random_batch(7)
    positive = torch.arange(7) < 2
    logp = torch.where(batch["mask"] & positive[:, None], batch["logp"].detach(), math.nan).requires_grad_()
    loss = positive_lm_loss(logp, batch["mask"], positive)
    (gradient,) = torch.autograd.grad(loss, logp)
    assert loss.isfinite()
    assert gradient.isfinite().all()


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "changed"),
    [
        ("name", {"name": "ppo"}),
        ("aggregation", {"aggregation": "sum"}),
        ("eps_low", {"eps_low": 1.0}),
        ("eps_low", {"eps_low": -0.1}),
        ("eps_high", {"eps_high": -0.1}),
        ("eps_high", {"eps_high": math.nan}),
        ("rollout_logp", {"rollout_logp": torch.zeros(1)}),
        ("rollout_logp", {"rollout_logp": torch.zeros(7, 1)}),
        ("rollout_cap", {"rollout_logp": torch.zeros(7, 11), "rollout_cap": 0.0}),
        ("rollout_cap", {"rollout_logp": torch.zeros(7, 11), "rollout_cap": -1.0}),
        ("denominator", {"denominator": -2}),
        ("denominator", {"denominator": math.nan}),
        ("microbatch_ids", {"aggregation": "klear_microbatch", "microbatch_ids": torch.zeros(6, dtype=torch.long)}),
        ("microbatch_ids", {"aggregation": "klear_microbatch", "microbatch_ids": torch.full((7,), -1)}),
        ("dual_clip_c", {"dual_clip_c": 1.0}),
        ("dual_clip_c", {"dual_clip_c": 10.0, "name": "cispo"}),
        ("old_logp", {"old_logp": torch.zeros(7, 10)}),
        ("mask", {"mask": torch.ones(7)}),
        ("advantages", {"advantages": torch.zeros(11)}),
        ("advantages", {"advantages": torch.zeros(())}),
        ("logp", {"logp": torch.zeros(7, 11, 1), "old_logp": torch.zeros(7, 11, 1), "mask": torch.ones(7, 11, 1)}),
        ("sequence_ids", {"sequence_ids": torch.zeros(7, 11, dtype=torch.long)}),
        ("sequence_ids", {"logp": torch.zeros(5), "old_logp": torch.zeros(5), "mask": torch.ones(5), "advantages": torch.ones(5),
                          "sequence_ids": torch.tensor([0, 0, -1, 1, 1])}),
        ("sequence_ids", {"logp": torch.zeros(5), "old_logp": torch.zeros(5), "mask": torch.ones(5), "advantages": torch.ones(5)}),
    ],
)
def test_an_impossible_argument_is_named(argument: str, changed: dict[str, Any]) -> None:
    arguments = {"name": "gppo", **random_batch(0)} | changed
    with pytest.raises(ValueError, match=argument):
        policy_loss(**arguments)


@pytest.mark.parametrize("name", LOSSES)
def test_an_infinite_upper_bound_is_no_bound_and_every_gradient_is_finite(name: str) -> None:
    batch = random_batch(3)
    batch["logp"] = batch["logp"].detach().requires_grad_()
    endless, wide = (policy_loss(name, **batch, eps_high=bound) for bound in (math.inf, 1e12))
    (gradient,), (expected,) = (torch.autograd.grad(one.loss, batch["logp"]) for one in (endless, wide))
    assert torch.equal(gradient, expected) and gradient.isfinite().all()


def test_a_denominator_below_one_divides_too_and_zero_is_for_nothing_to_count() -> None:
    batch = random_batch(1)
    whole, half = (policy_loss("gppo", **batch, denominator=count).loss.item() for count in (1.0, 0.5))
    assert half == pytest.approx(2 * whole)
    nothing = batch | {"mask": torch.zeros_like(batch["mask"])}
    assert policy_loss("gppo", **nothing, denominator=0).loss == 0


def test_cispo_clips_whatever_the_advantage() -> None:
    logp, old = torch.zeros(1, 4), -torch.tensor([[2.0, 0.5, 2.0, 0.5]]).log()
    metrics = policy_loss("cispo", logp, old, torch.tensor([[1.0, 1.0, -1.0, -1.0]]), torch.ones(1, 4)).metrics
    assert metrics["clip_fraction_high"] == metrics["outside_high"] == 0.5
    assert metrics["clip_fraction_low"] == metrics["outside_low"] == 0.5


@pytest.mark.parametrize("drift", [1e-5, 3e-5, 1e-4, 1e-2, 1.0])
def test_the_divergence_of_small_drifts_is_no_rounding(drift: float) -> None:
    old = torch.full((1, 64), -1.5)
    logp = old + drift * torch.linspace(-1, 1, 64)[None]
    exact = (logp.double() - old.double()).expm1() - (logp.double() - old.double())
    found = policy_loss("gppo", logp, old, torch.ones(1), torch.ones(1, 64)).metrics["approx_kl"]
    assert float(found) == pytest.approx(float(exact.mean()), rel=1e-3)


# --- properties ---------------------------------------------------------------------------------

finite = st.floats(-80, 80, allow_nan=False, width=32)
names = st.sampled_from(LOSSES)


@given(names, finite, st.floats(-5, 5, width=32), st.floats(0, 0.9), st.floats(0, 3))
@settings(max_examples=200, deadline=None)
def test_gradient_never_points_against_the_advantage(name: str, log_ratio: float, advantage: float, low: float, high: float) -> None:
    logp = torch.tensor([[-1.0]], dtype=torch.float64, requires_grad=True)
    out = policy_loss(name, logp, logp.detach() - log_ratio, torch.tensor([advantage]), torch.ones(1, 1), low, high)
    gradient = gradient_of(out, logp).item()
    assert math.isfinite(gradient)
    assert gradient * advantage <= 0


@given(st.lists(st.tuples(finite, st.floats(-5, 5, width=32)), min_size=1, max_size=20), st.sampled_from(["gppo", "ce_gppo", "clip"]))
@settings(max_examples=100, deadline=None)
def test_gppo_keeps_at_least_the_gradient_of_clip(tokens: list[tuple[float, float]], name: str) -> None:
    log_ratio, advantages = (torch.tensor([values], dtype=torch.float64) for values in zip(*tokens, strict=True))
    logp = torch.full_like(log_ratio, -90.0, requires_grad=True)
    old, mask = logp.detach() - log_ratio, torch.ones_like(log_ratio)
    kept = gradient_of(policy_loss(name, logp, old, advantages, mask), logp).abs()
    clipped = gradient_of(policy_loss("clip", logp, old, advantages, mask), logp).abs()
    assert (kept >= clipped - 1e-12).all()


@given(st.integers(0, 10_000), names, st.sampled_from(["token_mean", "sequence_mean"]), st.permutations(range(5)))
@settings(max_examples=60, deadline=None)
def test_the_order_of_sequences_does_not_matter(seed: int, name: str, aggregation: str, order: list[int]) -> None:
    batch = random_batch(seed, rows=5, time=6)
    shuffled = {key: value[order] for key, value in batch.items()}
    first = policy_loss(name, **batch, aggregation=aggregation).loss.item()
    assert policy_loss(name, **shuffled, aggregation=aggregation).loss.item() == pytest.approx(first, abs=1e-12)


@given(st.integers(0, 10_000), names, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_padding_does_not_matter(seed: int, name: str, padding: int) -> None:
    batch = random_batch(seed, rows=3, time=5)
    wider = {key: torch.nn.functional.pad(value.detach(), (0, padding)) if value.ndim == 2 else value for key, value in batch.items()}
    assert policy_loss(name, **wider).loss.item() == pytest.approx(policy_loss(name, **batch).loss.item(), abs=1e-12)


@given(st.integers(0, 10_000), names, st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_the_loss_is_linear_in_positive_factors_of_the_advantage(seed: int, name: str, factor: float) -> None:
    batch = random_batch(seed, rows=3, time=5)
    scaled = batch | {"advantages": factor * batch["advantages"]}
    expected = factor * policy_loss(name, **batch).loss.item()
    assert policy_loss(name, **scaled).loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_an_advantage_without_a_dimension_is_named_even_for_one_sequence() -> None:
    with pytest.raises(ValueError, match="advantages"):
        policy_loss("gppo", torch.zeros(1, 3), torch.zeros(1, 3), torch.tensor(1.0), torch.ones(1, 3))
