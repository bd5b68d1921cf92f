"""Group-relative advantages and the filters around them.

Paper: Klear-Reasoner, arXiv 2508.07629, Eq. 4 (population standard deviation) and §5.2.5 (groups
without advantage are dropped, not refilled).  Released code: unbiased standard deviation, 1e-6 added
to it; a group counts as zero-advantage by its `acc` (score equal to 1.0), not by its rewards.

Deviations: 1e-6 is added to the population deviation as well, where Eq. 4 has nothing; a group with fewer than two
rewards left by verifiers and filters has no advantage, where the released code gives a lone one its score.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Std = Literal["population", "unbiased", "none"]
FilterBy = Literal["acc", "reward", "none"]


def group_advantages(rewards: Tensor, std: Std = "unbiased", epsilon: float = 1e-6) -> Tensor:
    """A = (reward − mean) / (std + epsilon) inside each group.

    Args:
        rewards: [groups, samples]; NaN marks a sample whose verifier failed: it gets advantage 0 and
            does not count in mean and std.
        std: `population` (paper Eq. 4), `unbiased` (released code) or `none` (mean only, Dr. GRPO).

    Returns [groups, samples]; a group with fewer than two rewards is all zero.
    """
    known = ~rewards.isnan()
    count = known.sum(1, keepdim=True)
    mean = torch.where(known, rewards, 0).sum(1, keepdim=True) / count.clamp(min=1)
    centred = torch.where(known, rewards - mean, 0)
    if std == "none":
        return torch.where(count >= 2, centred, 0)
    freedom = count - 1 if std == "unbiased" else count
    deviation = (centred.square().sum(1, keepdim=True) / freedom.clamp(min=1)).sqrt()
    return torch.where(count >= 2, centred / (deviation + epsilon), 0)


def kept_groups(rewards: Tensor, accuracy: Tensor, by: FilterBy = "acc") -> Tensor:
    """Which groups have an advantage to learn from, bool [groups].

    Args:
        rewards: [groups, samples], NaN where the verifier failed.
        accuracy: [groups, samples], 1 where the score is exactly 1.0, else 0.
        by: `acc` drops a group whose accuracies are all equal, even where its rewards differ
            (released code); `reward` drops a group whose rewards are all equal; `none` keeps all.
    """
    known = ~rewards.isnan()
    if by == "none":
        return known.any(1)
    values = accuracy if by == "acc" else rewards
    high = torch.where(known, values, -torch.inf).amax(1)
    low = torch.where(known, values, torch.inf).amin(1)
    return known.any(1) & (high > low)


def overlong_penalty(lengths: Tensor, budget: int, buffer: int) -> Tensor:
    """What a response loses for its length: 0 up to budget − buffer tokens, then linear down to −1 at the budget.

    DAPO, arXiv 2503.14476, Eq. 13.  `lengths`: tokens, any shape; `buffer` 0 is no penalty.
    """
    if not buffer:
        return torch.zeros(lengths.shape, dtype=torch.float64)
    return ((budget - buffer - lengths.double()) / buffer).clamp(-1, 0)


def without_overlong(rewards: Tensor, truncated: Tensor) -> Tensor:
    """Rewards with NaN where a response hit the length limit: such samples count nowhere, neither in mean and std nor in the loss.

    The released code's `overlong_filter`; DAPO masks only their loss and leaves them in the mean.
    """
    return rewards.masked_fill(truncated, torch.nan)
