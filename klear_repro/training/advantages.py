"""Group-relative advantages and the filters around them.

Paper: Klear-Reasoner, arXiv 2508.07629, Eq. 4 (population standard deviation) and §5.2.5 (groups
without advantage are dropped, not refilled).  Released code: unbiased standard deviation, 1e-6 added
to it; a group counts as zero-advantage by its `acc` (score equal to 1.0), not by its rewards.
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
