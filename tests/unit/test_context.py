"""Context extension of a checkpoint's own configuration, taken away or kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.protocols import Rope, load_protocol
from klear_repro.errors import UserError
from klear_repro.models import ModelSource, context_config
from klear_repro.names import resolved
from klear_repro.sections import EvalConfig

SIZES = {
    "model_type": "qwen3", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
    "intermediate_size": 32, "vocab_size": 64,
}  # fmt: skip
FOUR = {"factor": 4.0, "original_max_position_embeddings": 32768}
ROPE = Rope(factor=2.5, original_max_position_embeddings=32768)


def checkpoint(folder: Path, **config: Any) -> ModelSource:
    (folder / "config.json").write_text(json.dumps(SIZES | config))
    return ModelSource("m", folder, "", "r")


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        # as Qwen's model cards write it, and as transformers 5 does; positions already multiplied, or those of the model itself
        ({"rope_theta": 1e6, "rope_scaling": {"rope_type": "yarn", **FOUR}, "max_position_embeddings": 131072}, 32768),
        ({"rope_theta": 1e6, "rope_scaling": {"type": "yarn", **FOUR}, "max_position_embeddings": 40960}, 40960),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "beta_fast": 9, **FOUR}, "max_position_embeddings": 131072}, 32768),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e6, "factor": 2.0}, "max_position_embeddings": 8192}, 8192),
    ],
)  # fmt: skip
def test_off_takes_away_what_stretches_positions(tmp_path: Path, config: dict[str, Any], positions: int) -> None:
    made = context_config(checkpoint(tmp_path, **config), "off", None)
    assert made.rope_parameters == {"rope_type": "default", "rope_theta": 1e6}
    assert made.max_position_embeddings == positions


@pytest.mark.parametrize(
    "config",
    [
        {"max_position_embeddings": 4096},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {"rope_scaling": None},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}},
        {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}, "sliding_attention": {"rope_type": "default"}}},
        {"model_type": "not-known-to-transformers", "rope_scaling": "nonsense"},
    ],
)  # fmt: skip
def test_off_leaves_alone_what_has_no_extension_or_was_trained_with_it(tmp_path: Path, config: dict[str, Any]) -> None:
    assert context_config(checkpoint(tmp_path, **config), "off", None) is None
    assert context_config(checkpoint(tmp_path, **config), "model", None) is None


def test_yarn_of_the_protocol_leaves_nothing_of_the_checkpoints_own(tmp_path: Path) -> None:
    own = {"rope_type": "yarn", "rope_theta": 5e5, **FOUR, "attention_factor": 0.87, "beta_fast": 16}
    made = context_config(checkpoint(tmp_path, rope_parameters=own, max_position_embeddings=32768), "yarn", ROPE)
    assert made.rope_parameters == {"rope_type": "yarn", "rope_theta": 5e5, "factor": 2.5, "original_max_position_embeddings": 32768}
    assert made.max_position_embeddings == 81920
    assert context_config(checkpoint(tmp_path), "yarn", ROPE, 70000).max_position_embeddings == 70000


def test_a_model_that_transformers_does_not_know_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="model m: ") as refused:
        context_config(checkpoint(tmp_path, model_type="not-known"), "yarn", ROPE)
    assert "\n" not in str(refused.value)


def test_the_command_line_may_ask_for_another_context_which_changes_the_protocols_name() -> None:
    paper, release = load_protocol("klear-paper-32k"), load_protocol("klear-release-64k")
    changed = resolved(EvalConfig(context="model"), paper)
    assert (changed.context, changed.name) == ("model", "klear-paper-32k+changed")
    assert resolved(EvalConfig(context="off"), paper) == paper
    assert resolved(EvalConfig(context="off"), release).rope is None
