"""Policy losses: GPPO and what it is compared with, as pure functions of log-probabilities.

Notation: r = π_θ/π_old the ratio of a token, A its advantage, sg the stop-gradient, ε_l and ε_h the
clip range, s = exp(log π_θ − sg(log π_θ)), which is 1 in value and ∇log π_θ in gradient.  Every loss
is −(objective), so it is minimised, and its gradient with respect to log π_θ is −weight·A:

| case           | clip | gppo   | ce_gppo    | cispo  |
| A>0, r>1+ε_h   | 0    | 1+ε_h  | β_h(1+ε_h) | 1+ε_h  |
| A<0, r<1−ε_l   | 0    | 1−ε_l  | β_l(1−ε_l) | 1−ε_l  |
| A>0, r<1−ε_l   | r    | r      | r          | 1−ε_l  |
| A<0, r>1+ε_h   | r    | r      | r          | 1+ε_h  |
| otherwise      | r    | r      | r          | r      |

Sources: Klear-Reasoner, arXiv 2508.07629, Eq. 11, 12, 17 (gppo) and A.2 (general form); CE-GPPO, arXiv
2509.20712; DAPO, arXiv 2503.14476 (asymmetric clip); CISPO, arXiv 2506.13585, with the bounds 1−ε_l and
1+ε_h on the ratio (not an absolute maximum); GSPO, arXiv 2507.18071; dual clip, arXiv 1912.09729.

Deviations from the released code (verl/trainer/ppo/core_algos.py): the preserved branch is written
(1±ε)·s instead of clip(r, (1−ε_l)/sg(r)·r, (1+ε_h)/sg(r)·r), which is NaN in float32 at extreme
ratios and equal elsewhere; the log-ratio is bounded to ±20 inside the exponential.  Beyond that bound
r stays e^±20 and the gradient weight is that bounded r (it is not cut to zero); such tokens are
counted as `extreme_tokens`.  The ratio of a sequence (gspo) is bounded by e^10 above, as in verl
(compute_policy_loss_gspo: clamp of the log-ratio at 10), and beyond that its tokens have no gradient;
below, at e^−20, where verl has no bound.  From GSPO: the gradient of its token form (GSPO-token), and the
mean is that of `aggregation`: its own is `sequence_mean`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

LOG_RATIO_BOUND = 20.0
"""Bound of |log π_θ − log π_old| inside the exponential (nats): e^20 ≈ 4.9e8."""
SEQUENCE_LOG_RATIO_BOUND = 10.0
"""Upper bound of the mean log-ratio of a sequence (gspo, nats), beyond which there is no gradient: e^10 ≈ 2.2e4."""

LossName = Literal["gppo", "ce_gppo", "clip", "cispo", "gspo"]
Aggregation = Literal["token_mean", "sequence_mean", "klear_microbatch"]


@dataclass(frozen=True)
class PolicyLoss:
    """Result of `policy_loss`."""

    loss: Tensor
    """Scalar, to be minimised."""
    metrics: dict[str, Tensor]
    """Detached scalars: shares of tokens (0–1), ratios, counts."""
    token_loss: Tensor
    """Loss of each token before aggregation, the shape of `logp`; 0 where masked."""


def policy_loss(
    name: LossName,
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    eps_low: float = 0.2,
    eps_high: float = 0.28,
    dual_clip_c: float | None = None,
    beta_low: float = 1.0,
    beta_high: float = 1.0,
    aggregation: Aggregation = "token_mean",
    sequence_ids: Tensor | None = None,
    microbatch_ids: Tensor | None = None,
    denominator: Tensor | float | None = None,
    rollout_logp: Tensor | None = None,
    rollout_cap: float = 2.0,
) -> PolicyLoss:
    """One policy loss with its metrics.

    Args:
        name: `gppo`, `ce_gppo`, `clip`, `cispo` or `gspo`.
        logp: log π_θ of the sampled tokens, [batch, time], or packed [time] with `sequence_ids`.
        old_logp: log π_old, same shape; no gradient flows into it.
        advantages: A, same shape, or one a sequence: [batch] or [batch, 1].
        mask: true (or 1) on response tokens, same shape.  Whatever stands elsewhere, NaN included,
            has no influence.
        eps_low, eps_high: clip range 1−eps_low … 1+eps_high; 0 ≤ eps_low < 1; eps_high may be infinite: nothing is above then.
        dual_clip_c: for A<0 and r>c the loss is the constant −cA (no gradient); > 1, or None for off.
            Not defined for `cispo`.
        beta_low, beta_high: factors of the preserved gradient of `ce_gppo`; the others ignore them.
        aggregation: `token_mean`: sum over tokens / number of tokens (paper Eq. 7).
            `sequence_mean`: mean over sequences of their token means.
            `klear_microbatch`: token mean inside each micro-batch, averaged with the number of sequences
            as weight (released code).
        sequence_ids: packed form only: sequence number ≥ 0 of every token, [time].
        microbatch_ids: `klear_microbatch` only: micro-batch number, [batch], or [time] when packed;
            None for one micro-batch.
        denominator: what to divide by when this call sees only part of a mini-batch: the number of
            tokens of the whole mini-batch for `token_mean`, of sequences for the other two.
            None: what this call sees.  At least 0; 0 where the whole mini-batch has none.
        rollout_logp: log-probabilities by the engine that sampled, same shape as `logp`: every token
            loss is weighted with min(exp(old_logp − rollout_logp), rollout_cap), without gradient
            (truncated importance sampling).
        rollout_cap: upper bound of that weight, above 0.

    Raises:
        ValueError: an unknown name or aggregation, a shape or value that does not fit; it names the argument.
    """
    _check(name, aggregation, eps_low, eps_high, dual_clip_c)
    if rollout_logp is not None and not rollout_cap > 0:
        raise ValueError(f"rollout_cap={rollout_cap}: must be above 0")
    if rollout_logp is not None and rollout_logp.shape != logp.shape:
        raise ValueError(f"rollout_logp {tuple(rollout_logp.shape)} must have the shape of logp {tuple(logp.shape)}")
    active = mask.bool()
    if active.shape != logp.shape or old_logp.shape != logp.shape:
        raise ValueError(f"old_logp {tuple(old_logp.shape)} and mask {tuple(mask.shape)} must have the shape of logp {tuple(logp.shape)}")
    sequences = _sequence_numbers(logp, sequence_ids)
    dtype = torch.promote_types(logp.dtype, torch.float32)
    logp = torch.where(active, logp, 0).to(dtype)
    old_logp = torch.where(active, old_logp, 0).to(dtype).detach()
    advantages = torch.where(active, _per_token(advantages, logp), 0).to(dtype).detach()

    log_ratio = logp.detach() - old_logp
    carrier = (logp - logp.detach()).exp()  # 1 in value, ∇log π in gradient
    highest = LOG_RATIO_BOUND
    if name == "gspo":
        log_ratio, highest = _mean_by_sequence(log_ratio, active, sequences), SEQUENCE_LOG_RATIO_BOUND
        carrier = torch.where(log_ratio > highest, 1, carrier)
    extreme = (log_ratio < -LOG_RATIO_BOUND) | (log_ratio > highest)
    ratio = log_ratio.clamp(-LOG_RATIO_BOUND, highest).exp()
    above = (ratio > 1 + eps_high) & (advantages > 0)
    below = (ratio < 1 - eps_low) & (advantages < 0)

    if name == "cispo":  # bounds the ratio whatever the advantage
        above, below = ratio > 1 + eps_high, ratio < 1 - eps_low
        objective = ratio.clamp(1 - eps_low, 1 + eps_high) * advantages * logp
    elif name in ("clip", "gspo"):  # a constant outside: no gradient
        objective = torch.where(above, 1 + eps_high, torch.where(below, 1 - eps_low, ratio * carrier)) * advantages
    else:
        high, low = (beta_high, beta_low) if name == "ce_gppo" else (1.0, 1.0)
        factor = torch.where(above, high * (1 + eps_high), torch.where(below, low * (1 - eps_low), ratio))
        objective = factor * carrier * advantages
    dual = torch.zeros_like(active)
    if dual_clip_c is not None:
        dual = (advantages < 0) & (ratio > dual_clip_c)
        objective = torch.where(dual, dual_clip_c * advantages, objective)
    token_loss = torch.where(active, -objective, 0)
    if rollout_logp is not None:
        drift = old_logp - torch.where(active, rollout_logp, 0).to(dtype).detach()
        token_loss = token_loss * drift.clamp(max=LOG_RATIO_BOUND).exp().clamp(max=rollout_cap)

    loss = _aggregate(token_loss, active, sequences, aggregation, microbatch_ids, denominator)
    metrics = _metrics(ratio, log_ratio, extreme, active, advantages, above, below, dual, eps_low, eps_high)
    return PolicyLoss(loss, metrics, token_loss)


def positive_lm_loss(logp: Tensor, mask: Tensor, positive: Tensor, denominator: Tensor | float | None = None) -> Tensor:
    """L_LM = −(sum of log π_θ over the tokens of correct samples) / (their number): paper Eq. 13, with the logarithm.

    Args:
        logp: [batch, time]; mask: the same shape; positive: [batch], true for a correct sample.
        denominator: number of positive tokens of the whole mini-batch; None: of this call.

    Returns 0 (with a zero gradient) when there is no positive token.  The paper prints π where
    log π is meant; the released code uses log π.
    """
    chosen = mask.bool() & positive.bool().reshape(-1, *[1] * (logp.ndim - 1))
    total = torch.where(chosen, logp, 0).sum(dtype=torch.promote_types(logp.dtype, torch.float32))
    return -total / _divisor(denominator, chosen.sum())


def _check(name: str, aggregation: str, eps_low: float, eps_high: float, dual_clip_c: float | None) -> None:
    if name not in get_args(LossName):
        raise ValueError(f"name={name!r}: allowed are {', '.join(get_args(LossName))}")
    if aggregation not in get_args(Aggregation):
        raise ValueError(f"aggregation={aggregation!r}: allowed are {', '.join(get_args(Aggregation))}")
    if not 0 <= eps_low < 1:
        raise ValueError(f"eps_low={eps_low}: must be at least 0 and below 1")
    if not eps_high >= 0:
        raise ValueError(f"eps_high={eps_high}: must be at least 0")
    if dual_clip_c is not None and not dual_clip_c > 1:
        raise ValueError(f"dual_clip_c={dual_clip_c}: must be above 1, or None")
    if dual_clip_c is not None and name == "cispo":
        raise ValueError("dual_clip_c: not defined for cispo, whose ratio is bounded already")


def _sequence_numbers(logp: Tensor, sequence_ids: Tensor | None) -> Tensor:
    """Sequence number of every token, the shape of `logp`."""
    if logp.ndim == 1:
        if sequence_ids is None:
            raise ValueError("sequence_ids: needed for packed log-probs of shape [time]")
        if sequence_ids.shape != logp.shape:
            raise ValueError(f"sequence_ids {tuple(sequence_ids.shape)} must have the shape of logp {tuple(logp.shape)}")
        if sequence_ids.numel() and sequence_ids.min() < 0:
            raise ValueError(f"sequence_ids: {int(sequence_ids.min())} is among them; must be at least 0")
        return sequence_ids
    if logp.ndim != 2:
        raise ValueError(f"logp {tuple(logp.shape)}: must be [batch, time], or [time] with sequence_ids")
    if sequence_ids is not None:
        raise ValueError("sequence_ids: only for packed log-probs of shape [time]")
    return torch.arange(logp.shape[0], device=logp.device)[:, None].expand(logp.shape)


def _per_token(advantages: Tensor, logp: Tensor) -> Tensor:
    if advantages.shape == logp.shape:
        return advantages
    if logp.ndim == 2 and advantages.shape in ((logp.shape[0],), (logp.shape[0], 1)):
        return advantages.reshape(-1, 1).expand(logp.shape)
    raise ValueError(f"advantages {tuple(advantages.shape)}: must be {tuple(logp.shape)}, or one a sequence")


def _by_sequence(values: Tensor, sequences: Tensor) -> Tensor:
    """Sum of `values` over the tokens of each sequence, [sequences]."""
    count = int(sequences.max()) + 1 if sequences.numel() else 0
    sums = torch.zeros(count, dtype=values.dtype, device=values.device)
    return sums.index_add(0, sequences.flatten().long(), values.flatten())


def _mean_by_sequence(values: Tensor, active: Tensor, sequences: Tensor) -> Tensor:
    """Mean of the active values of each sequence, at every token of it."""
    sums = _by_sequence(torch.where(active, values, 0), sequences)
    return (sums / _by_sequence(active.to(values.dtype), sequences).clamp(min=1))[sequences.long()]


def _aggregate(
    token_loss: Tensor,
    active: Tensor,
    sequences: Tensor,
    aggregation: Aggregation,
    microbatch_ids: Tensor | None,
    denominator: Tensor | float | None,
) -> Tensor:
    if aggregation == "token_mean":
        return token_loss.sum() / _divisor(denominator, active.sum())
    lengths = _by_sequence(active.to(token_loss.dtype), sequences)
    present = lengths > 0
    if aggregation == "sequence_mean":
        means = _by_sequence(token_loss, sequences) / lengths.clamp(min=1)
        return means.sum() / _divisor(denominator, present.sum())
    microbatches = _microbatch_numbers(microbatch_ids, sequences)
    tokens = _by_sequence(active.to(token_loss.dtype), microbatches)
    means = _by_sequence(token_loss, microbatches) / tokens.clamp(min=1)
    # each sequence counts once, in its own micro-batch, wherever its first active token stands
    share = torch.where(active, 1 / lengths.clamp(min=1)[sequences.long()], 0)
    weights = _by_sequence(share, microbatches)
    return (means * weights).sum() / _divisor(denominator, present.sum())


def _microbatch_numbers(ids: Tensor | None, sequences: Tensor) -> Tensor:
    """Micro-batch number of every token, the shape of `sequences`."""
    if ids is None:
        return torch.zeros_like(sequences)
    if ids.shape not in (sequences.shape, sequences.shape[:1]):
        raise ValueError(f"microbatch_ids {tuple(ids.shape)}: must be {tuple(sequences.shape)}, or one a sequence")
    if ids.numel() and ids.min() < 0:
        raise ValueError(f"microbatch_ids: {int(ids.min())} is among them; must be at least 0")
    return ids if ids.shape == sequences.shape else ids[:, None].expand_as(sequences)


def _divisor(denominator: Tensor | float | None, count: Tensor) -> Tensor:
    """`denominator`, else `count`; 1 instead of 0, where the sum is 0 too."""
    chosen = count if denominator is None else torch.as_tensor(denominator, device=count.device)
    if not chosen >= 0:
        raise ValueError(f"denominator={float(chosen)}: must be at least 0")
    return torch.where(chosen > 0, chosen, 1)


def _metrics(
    ratio: Tensor,
    log_ratio: Tensor,
    extreme: Tensor,
    active: Tensor,
    advantages: Tensor,
    above: Tensor,
    below: Tensor,
    dual: Tensor,
    eps_low: float,
    eps_high: float,
) -> dict[str, Tensor]:
    """Shares are of the active tokens; `outside_*` whatever the advantage, `clip_fraction_*` where the clip acts."""
    count = active.sum().clamp(min=1)

    def share(which: Tensor) -> Tensor:
        return (which & active).sum() / count

    inside = torch.where(active, ratio, 1)
    bounded = log_ratio.double().clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)  # in float32 small drifts are all rounding
    return {
        "tokens": active.sum(),
        "outside_low": share(ratio < 1 - eps_low),
        "outside_high": share(ratio > 1 + eps_high),
        "clip_fraction_low": share(below),
        "clip_fraction_high": share(above),
        "dual_clip_fraction": share(dual),
        "ratio_min": inside.min() if inside.numel() else inside.new_tensor(1.0),
        "ratio_max": inside.max() if inside.numel() else inside.new_tensor(1.0),
        "ratio_mean": torch.where(active, ratio, 0).sum() / count,
        "approx_kl": torch.where(active, torch.expm1(bounded) - bounded, 0).sum() / count,
        "extreme_tokens": (active & extreme).sum(),
        "positive_tokens": (active & (advantages > 0)).sum(),
    }
