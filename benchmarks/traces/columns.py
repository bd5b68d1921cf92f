"""Which columns of a Parquet file are read: those that may say something of a response."""

from __future__ import annotations

from typing import Any

HEAVY = ("input_tokens", "logits", "logprobs", "pred_logits", "prediction_logits", "unconditioned_logprobs", "padded")
"""Columns of Parquet files that are not read."""


def useful_columns(schema: Any) -> list[str]:
    """Columns and fields of structures that may say something of a response; lists of tokens and logits may be gigabytes."""
    import pyarrow as pa

    names: list[str] = []
    for field in schema:
        inner = [one.name for one in field.type] if pa.types.is_struct(field.type) else []
        names += [f"{field.name}.{name}" for name in inner if name not in HEAVY] if inner else [field.name] * (field.name not in HEAVY)
    return names
