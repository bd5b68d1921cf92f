"""What one RL step reports of its updates, and where its seconds went.

Shares and means are over the tokens of all updates of the step, in every process; the names are those of docs/run-folder.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from klear_repro.errors import RunError
from klear_repro.sections import RLConfig

SHARES = ("outside_low", "outside_high", "clip_fraction_low", "clip_fraction_high", "dual_clip_fraction", "approx_kl")
"""Means over tokens among the metrics of `losses.policy_loss`."""


class StepMetrics:
    """Collects what the updates of one step report.  `comparing`: `add` compares trainer and engine, while π_θ is still π_old."""

    def __init__(self, comparing: bool = False) -> None:
        self.comparing = comparing
        self.losses = [0.0, 0.0]
        self.sums: dict[str, float] = {}
        self.tokens = 0
        self.low, self.high = math.inf, -math.inf
        self.norms: list[float] = []
        self.gaps = {"sum": 0.0, "kl": 0.0, "tokens": 0.0, "max": 0.0}

    def take(self, other: StepMetrics) -> None:
        """Add what another process, or another mini-batch, reports."""
        self.losses = [mine + theirs for mine, theirs in zip(self.losses, other.losses, strict=True)]
        for name, value in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.tokens += other.tokens
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        largest = math.nan if math.isnan(other.gaps["max"]) else max(self.gaps["max"], other.gaps["max"])
        self.gaps = {name: value + other.gaps[name] for name, value in self.gaps.items()} | {"max": largest}

    def add(self, policy: Tensor, lm: Tensor, metrics: dict[str, Tensor], entropy: Tensor, logp: Tensor, rollout: Tensor) -> None:
        if self.comparing:
            self._difference(logp.detach().double(), rollout.double())
        self.losses[0] += float(policy.detach())
        self.losses[1] += float(lm.detach())
        count = int(metrics["tokens"])
        shares = {name: float(metrics[name]) for name in SHARES}
        shares["entropy"] = float(entropy.mean())
        for name, value in shares.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * count
        self.sums["extreme_tokens"] = self.sums.get("extreme_tokens", 0.0) + float(metrics["extreme_tokens"])
        self.tokens += count
        self.low = min(self.low, float(metrics["ratio_min"]))
        self.high = max(self.high, float(metrics["ratio_max"]))

    def compare(self, trainer: Sequence[Sequence[float]], engine: Sequence[Sequence[float]]) -> None:
        """Log-probabilities of all samples, by trainer and engine, under the same weights."""
        self._difference(joined(trainer, torch.device("cpu")), joined(engine, torch.device("cpu")))

    def _difference(self, trainer: Tensor, engine: Tensor) -> None:
        """Tokens where only the trainer's are not finite are no mismatch: their update has no finite gradient, and is skipped for it."""
        gap = (trainer - engine)[trainer.isfinite() | ~engine.isfinite()]
        if not gap.numel():
            return
        self.gaps["sum"] += float(gap.abs().sum())
        self.gaps["kl"] += float((gap.clamp(max=20).exp() - 1 - gap).sum())
        self.gaps["tokens"] += gap.numel()
        self.gaps["max"] = max(self.gaps["max"], float(gap.abs().max())) if not gap.isnan().any() else math.nan

    def stop_on_mismatch(self, config: RLConfig, where: str) -> None:
        """Raises RunError when trainer and engine do not compute the same policy."""
        if not self.gaps["tokens"]:
            return
        mean = self.gaps["sum"] / self.gaps["tokens"]
        if not mean <= config.logprob_tolerance:  # also NaN
            raise RunError(
                f"{where}: log-probabilities of trainer and rollout engine differ by {mean:.3g} nats on average (largest {self.gaps['max']:.3g}), more than "
                f"logprob_tolerance={config.logprob_tolerance}: the engine has other weights, or computes otherwise; nothing was updated, the last checkpoint is kept",
                everywhere=True,
            )

    def row(self) -> dict[str, Any]:
        updates = len(self.norms)

        def mean(name: str) -> float | None:
            return finite(self.sums[name] / self.tokens) if self.tokens else None

        norms = [norm for norm in self.norms if math.isfinite(norm)]
        compared = self.gaps["tokens"]
        return {
            "loss_policy": finite(self.losses[0] / updates) if updates else None,
            "loss_lm": finite(self.losses[1] / updates) if updates else None,
            "clip_low": mean("outside_low"),
            "clip_high": mean("outside_high"),
            "clip_fraction_low": mean("clip_fraction_low"),
            "clip_fraction_high": mean("clip_fraction_high"),
            "dual_clip_fraction": mean("dual_clip_fraction"),
            "approx_kl": mean("approx_kl"),
            "entropy": mean("entropy"),
            "ratio_min": finite(self.low) if self.tokens else None,
            "ratio_max": finite(self.high) if self.tokens else None,
            "extreme_tokens": int(self.sums.get("extreme_tokens", 0)),
            "grad_norm": sum(norms) / len(norms) if norms else None,
            "logprob_gap": self.gaps["max"] if compared else None,
            "logprob_gap_mean": self.gaps["sum"] / compared if compared else None,
            "kl_rollout": self.gaps["kl"] / compared if compared else None,
        }


def joined(values: Sequence[Sequence[float]], device: torch.device) -> Tensor:
    """Values of all samples in one row, float64 [tokens]."""
    return torch.tensor([value for row in values for value in row], dtype=torch.float64, device=device)


def finite(value: float) -> float | None:
    """The value, None for NaN and infinities, which JSON does not have."""
    return value if math.isfinite(value) else None


class Clock:
    """Wall seconds by phase."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[f"seconds_{name}"] = self._laps.get(f"seconds_{name}", 0.0) + now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        return {"seconds": self._last - self._start, **self._laps}
