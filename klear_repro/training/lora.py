"""LoRA through peft (arXiv 2106.09685): small trainable matrices in place, merged into the weights wherever those leave.

    W' = W + (alpha / rank)·B·A

The layers are injected into the model as it is, so the loop, the engines and the names of the other weights stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from klear_repro.errors import UserError
from klear_repro.training.distributed import whole

ADAPTER = "default"


def add_lora(model: Any, rank: int, alpha: int, targets: Sequence[str], seed: int) -> None:
    """Freeze the model and put LoRA layers into it.

    Args:
        targets: names of linear layers, such as q_proj; `all-linear` for all but the output head.

    Raises:
        UserError: peft is not installed, or no layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("model.lora_rank: peft is not installed; pip install -e '.[lora]', or leave it at 0") from None
    linear = sorted({name for name, module in model.base_model.named_modules() if isinstance(module, torch.nn.Linear)})
    names = linear if tuple(targets) == ("all-linear",) else [name for name in linear if name.rpartition(".")[2] in targets]
    if not names:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise UserError(f"model.lora_targets={','.join(targets)!r}: allowed are all-linear, {known}")
    torch.manual_seed(seed % 2**32)
    prefix = f"{model.base_model_prefix}."
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=[prefix + name for name in names])
    inject_adapter_in_model(config, model, adapter_name=ADAPTER)


def hub_tensors(model: Any, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The weights of the plain model from those of one with or without LoRA layers, one after another: whole tensors, names as on the Hub.

    Args:
        weights: as `model.named_parameters()` has them; every process must ask when they are sharded.
    """
    for name, weight in weights.items():
        if ".lora_" in name:
            continue
        tensor = whole(weight.detach())
        layer, found, what = name.partition(".base_layer.")
        if found and what == "weight":
            down, up = (whole(weights[f"{layer}.lora_{side}.{ADAPTER}.weight"].detach()) for side in "AB")
            scaling = model.get_submodule(layer).scaling[ADAPTER]
            tensor = (tensor.float() + scaling * (up.float() @ down.float())).to(tensor.dtype)
        yield name.replace(".base_layer.", "."), tensor
