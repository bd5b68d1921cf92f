"""The weight files of a model: which they are, and what can be told of them from their heads, before anything is loaded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from klear_repro.errors import UserError

if TYPE_CHECKING:
    from klear_repro.models import ModelSource

FLOATS = ("F64", "F32", "F16", "BF16")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX = "model.safetensors.index.json"


def weight_files(name: str, folder: Path, there: Collection[str]) -> list[str]:
    """The weight files that are read, of those that are `there`: what the index in `folder` names, if it has one.

    Raises:
        UserError: the index is none, or names files that are not there.
    """
    found = sorted(file for file in there if file.endswith(".safetensors") and "/" not in file)
    if INDEX not in there:
        return ["model.safetensors"] if "model.safetensors" in found else found
    try:
        named = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"eval.model={name!r}: {INDEX} is not an index of weights") from None
    absent = sorted(str(file) for file in named if file not in found)
    if absent and "model.safetensors" not in found:
        raise UserError(f"eval.model={name!r}: {len(absent)} of {len(named)} weight files that {INDEX} names are missing: {', '.join(absent[:3])}")
    return [file for file in found if file in named or file == "model.safetensors"]


def check_files(name: str, files: Sequence[str]) -> None:
    """Refuse a model without weights that may be read.

    Raises:
        UserError: there are none, or only pickled ones.
    """
    if any(file.endswith(".safetensors") for file in files):
        return
    others = ", ".join(sorted(file for file in files if file.endswith(PICKLED)))
    ggufs = sorted(file for file in files if file.endswith(".gguf"))
    if others:
        why = f"only {others}, which is pickled, and unpickling runs code; convert it to safetensors first"
    elif ggufs:
        why = f"only GGUF; pass one of its files as a path: {', '.join(ggufs[:3])}" + (" …" if len(ggufs) > 3 else "")
    else:
        why = "none of any kind"
    raise UserError(f"eval.model={name!r}: no *.safetensors weights there ({why})")


def check_weights(source: ModelSource) -> None:
    """Whether weights on this disk are whole and have the shapes of the configuration, as far as the heads of the files say.

    Weights that are still on the Hub, GGUF, quantised weights (their shapes are packed) and models that transformers does not know
    are left to whoever loads them.

    Raises:
        UserError: a file is cut off, or is of another model.
    """
    from safetensors import SafetensorError, safe_open

    if source.missing or source.gguf:
        return
    shapes: dict[str, list[int]] = {}
    for file in weight_files(str(source.folder), source.folder, [path.name for path in source.folder.iterdir()]):
        try:
            with safe_open(source.folder / file, framework="pt") as opened:
                shapes |= {key: opened.get_slice(key).get_shape() for key in opened.keys()}  # noqa: SIM118 (no mapping)
        except (SafetensorError, OSError) as error:
            raise UserError(f"model {source.name}: {file} is no whole safetensors file ({error})") from None
    other = sorted(key for key, shape in _expected(source).items() if key in shapes and shapes[key] != shape)
    if other:
        shown = ", ".join(other[:3]) + (" …" if len(other) > 3 else "")
        raise UserError(f"model {source.name}: {len(other)} weights are missing or of another shape than config.json says: {shown}")


def _expected(source: ModelSource) -> dict[str, list[int]]:
    """Key → shape of the weights that transformers makes for the configuration; empty where it cannot say."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from klear_repro.models import UNREADABLE

    try:
        config: Any = AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
        if getattr(config, "quantization_config", None):
            return {}
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except UNREADABLE:  # the engine has its own say, and may know the model
        return {}
    return {key: list(weight.shape) for key, weight in model.state_dict().items()}


def quantization_of(source: ModelSource) -> str:
    """By which method a model's weights are quantised, as its own files say; empty: not at all.

    Of GGUF it is the type of most numbers, such as `gguf Q4_1`; also where they are floats again when they are used.
    """
    if source.gguf:
        from gguf import GGUFReader

        sizes: Counter[str] = Counter()
        for tensor in GGUFReader(source.folder / source.gguf).tensors:
            sizes[tensor.tensor_type.name] += int(tensor.n_elements)
        most = sizes.most_common(1)[0][0] if sizes else "unknown"
        return "" if most in FLOATS else f"gguf {most}"
    config = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    for holder in (config, config.get("text_config")):
        found = (holder.get("quantization_config") or holder.get("compression_config")) if isinstance(holder, dict) else None
        if found:
            method = found.get("quant_method") or found.get("quant_algo") if isinstance(found, dict) else None
            return str(method or "unknown")
    return ""


def gguf_positions(source: ModelSource) -> int:
    """Positions that a GGUF file says that its model has, tokens; 0: it does not say."""
    from gguf import GGUFReader

    fields = GGUFReader(source.folder / source.gguf).fields
    found = [field for name, field in fields.items() if name.endswith(".context_length")]
    return int(found[0].parts[found[0].data[0]][0]) if found else 0
