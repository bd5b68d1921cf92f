"""The optimiser that SFT and RL share: AdamW on float32 master weights, gradient clipping, non-finite gradients skipped.

Weights in bfloat16 have a float32 copy each: the optimiser works on the copy, gradients of micro-batches are added up in
float32, and after a step the weights are the copy, rounded.  Weights in float32 are their own masters; so are the shards
of FSDP2, which casts to bfloat16 by itself (`training.distributed`).

AdamW: arXiv 1711.05101.  Skipping an update whose gradient norm is not finite is what the released code does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Tensor]


class Optimizer:
    """AdamW over named parameters; those that need no gradient are left out.

    Args:
        parameters: name → parameter, float32 or bfloat16, or DTensors of FSDP2.
        lr: where `step` is given none.
        betas, weight_decay: of AdamW.
    """

    def __init__(self, parameters: Mapping[str, Tensor], lr: float, betas: Sequence[float], weight_decay: float) -> None:
        self._all = dict(parameters)
        self._weights = {name: weight for name, weight in parameters.items() if weight.requires_grad}
        self._masters = {name: _master(weight) for name, weight in self._weights.items()}
        whole = all(type(master) is torch.nn.Parameter for master in self._masters.values())  # no DTensor
        self._adamw = torch.optim.AdamW(
            self._masters.values(), lr=lr, betas=(betas[0], betas[1]), weight_decay=weight_decay, fused=True if whole else None
        )
        self._fused = whole

    def step(self, lr: float, most: float) -> tuple[float, bool]:
        """Clip the gradient to norm `most`, step, zero.

        Returns (norm before clipping, whether the step was made): a non-finite norm skips it.
        """
        norm = torch.nn.utils.clip_grad_norm_(self._masters.values(), most)
        size = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        stepped = math.isfinite(size)
        if stepped:
            for group in self._adamw.param_groups:
                group["lr"] = lr
            self._adamw.step()
            self._round()
        self._adamw.zero_grad(set_to_none=True)
        return size, stepped

    def tensors(self) -> Tensors:
        """All that a resumed run needs: `NAME/exp_avg`, `NAME/exp_avg_sq`, `NAME/step`, and `NAME/master` where it is not the weight."""
        found: Tensors = {}
        for name, master in self._masters.items():
            found |= {f"{name}/{key}": value for key, value in self._adamw.state.get(master, {}).items()}
            if master is not self._weights[name]:
                found[f"{name}/master"] = master.detach()
        return found

    def load(self, values: Iterable[tuple[str, Tensor]], tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Take over the values of parameters by name, then what `tensors` gave; sharded parameters take their part of it.

        Both are asked for one tensor at a time.
        """
        with torch.no_grad():
            for name, value in values:
                goal = self._masters.get(name, self._all[name])
                goal.copy_(like(value, goal))
        for key, value in tensors:
            name, _, what = key.rpartition("/")
            master = self._masters[name]
            if what == "step":  # a fused optimiser wants it beside the parameter
                self._adamw.state[master][what] = value.to(master.device if self._fused else value.device, copy=True)
            else:
                self._adamw.state[master][what] = like(value, master)
        self._round()

    def _round(self) -> None:
        with torch.no_grad():
            for name, master in self._masters.items():
                if master is not self._weights[name]:
                    self._weights[name].copy_(master)


def like(value: Tensor, parameter: Any) -> Tensor:
    """A whole tensor on the device of a parameter, sharded as it is."""
    value = value.to(parameter.device, copy=True)
    if not hasattr(parameter, "device_mesh"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def _master(weight: Tensor) -> Tensor:
    if weight.dtype == torch.float32:
        return weight
    master = torch.nn.Parameter(weight.detach().float())

    def add(weight: Tensor) -> None:
        gradient = weight.grad
        assert gradient is not None
        master.grad = gradient.float() if master.grad is None else master.grad.add_(gradient)
        weight.grad = None

    weight.register_post_accumulate_grad_hook(add)
    return master


def cosine(step: int, steps: int, warmup: int, peak: float, end: float) -> float:
    """Learning rate of a step (from 0): linear warm-up to `peak`, then a cosine to `end`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return end + (peak - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
