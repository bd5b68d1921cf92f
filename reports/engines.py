"""What an engine did that a published number does not allow for: quantised weights or cache, another context extension."""

from __future__ import annotations

from typing import Any

from benchmarks.protocols import Protocol
from benchmarks.published import model_key
from reports.measurements import Measurement
from reports.text import brief

FULL_TYPES = ("auto", "float16", "bfloat16", "float32", "half")
"""Types of a key-value cache in which a model is served as it was trained."""


ASKED = ("rope_type", "factor", "original_max_position_embeddings")
"""What a protocol says of an extension, as rope parameters."""


def engine_blockers(measurement: Measurement, ours: Protocol | None, theirs: Protocol | None) -> list[str]:
    """Reasons against a verdict, from what the engine resolved.

    Args:
        ours: the protocol of the run.
        theirs: that of the published number.

    What servers of the engine openai do not say is a reason, unless the user vouched for it; what other engines did not write down is none.
    """
    found: list[str] = []
    for name, fields in sorted(measurement.settings.items()):
        if fields.get("engine.name") == "openai" and not fields.get("engine.vouched"):
            found += _of_servers(measurement, str(fields.get("engine.served.by", "")))
        if quantised := fields.get("engine.quantization"):
            found.append(f"the engine ran quantised weights ({brief(str(quantised))})")
        cache = fields.get("engine.kv_cache_dtype")
        if cache is not None and str(cache).removeprefix("torch.") not in FULL_TYPES:
            found.append(f"the engine's key-value cache is of type {brief(str(cache))}")
        for whose, protocol in (("the protocol", ours), (f"{theirs.name if theirs else ''}", theirs)):
            if protocol is not None and name and (other := _other_context(protocol, fields)):
                found.append(f"other context extension than {whose} asks for: {other}")
                break
    return list(dict.fromkeys(found))


def _of_servers(measurement: Measurement, served: str) -> list[str]:
    """What speaks against servers that ran the model, by the names that they gave."""
    found = []
    names = [name for name in served.split(", ") if name]
    if names and model_key(measurement.model) not in {model_key(name) for name in names}:
        found.append(f"the servers say that they ran {brief(served)}, and {brief(measurement.model)} was asked for")
    silent = "servers do not say whether weights were quantised and which context extension they used"
    return [*found, f"{silent} (eval.vouched says that you know)"]


def _other_context(protocol: Protocol, fields: dict[str, Any]) -> str:
    """How the engine's positions differ from what a protocol asks for; empty where they do not, or nobody knows."""
    rope = {name: fields.get(f"engine.rope_parameters.{name}") for name in ASKED}
    if protocol.context == "model" or rope["rope_type"] is None:
        return ""
    if protocol.rope is None:
        return "" if rope["rope_type"] == "default" else f"{_plain(rope)} instead of none"
    original = protocol.rope.original_max_position_embeddings
    asked = {"rope_type": protocol.rope.type, "factor": protocol.rope.factor, "original_max_position_embeddings": original}
    return "" if rope == asked else f"{_plain(rope)} instead of {_plain(asked)}"


def _plain(rope: dict[str, Any]) -> str:
    return brief(" ".join(str(rope[name]) for name in ASKED if rope[name] is not None))
