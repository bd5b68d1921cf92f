"""Models whose numbers the packed forward pass would get wrong are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from klear_program import PROFILE, inside
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig, LlamaConfig, MistralConfig, PhiConfig, Qwen3Config

from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.errors import UserError
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig
from klear_repro.training.packing import Policy
from klear_repro.training.start import refuse_other_heads

SIZES: dict[str, Any] = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 2,
         "pad_token_id": 0}  # fmt: skip


def policy(config: Any, dtype: torch.dtype = torch.float32) -> Policy:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("lm_head.bias"):
                weight.normal_()
    return Policy(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [LlamaConfig(**SIZES), Qwen3Config(**SIZES, head_dim=8)], ids=["llama", "qwen3"])
def test_a_model_with_a_plain_head_and_full_attention_is_taken(config: Any, dtype: torch.dtype) -> None:
    refuse_other_heads(policy(config, dtype))


@pytest.mark.parametrize("config", [
    GraniteConfig(**SIZES, logits_scaling=8.0), CohereConfig(**SIZES, logit_scale=0.2), PhiConfig(**SIZES),
    LlamaConfig(**SIZES, attention_dropout=0.5),
], ids=["scale of logits", "scale and parallel layers", "bias", "dropout"])  # fmt: skip
def test_a_model_that_computes_otherwise_is_refused_with_the_difference(config: Any) -> None:
    with pytest.raises(UserError, match=r"nats apart from the trainer's \(allowed: 0.01\)"):
        refuse_other_heads(policy(config))


@pytest.mark.parametrize("config", [
    MistralConfig(**SIZES, sliding_window=4), Gemma2Config(**SIZES, head_dim=8, sliding_window=4),
    Qwen3Config(**SIZES, head_dim=8, use_sliding_window=True, sliding_window=4, max_window_layers=1),
], ids=["mistral", "gemma2", "qwen3"])  # fmt: skip
def test_a_model_with_sliding_attention_is_refused(config: Any) -> None:
    with pytest.raises(UserError, match="sliding_attention: the trainer has full attention only"):
        refuse_other_heads(policy(config))


@pytest.mark.parametrize("sft", [0, 1])
@pytest.mark.parametrize(("kind", "says"), [
    ("sliding", "model: Qwen3ForCausalLM has sliding_attention: the trainer has full attention only"),
    ("no template", "model base: its tokenizer has no chat template"),
    ("no end", "model base: its tokenizer has no eos_token"),
])  # fmt: skip
def test_a_model_that_cannot_be_trained_is_one_line_with_and_without_sft(kind: str, says: str, sft: int, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["1 + 1 = 2"] * 9, 320)
    model = new_model(ModelConfig(hidden_size=64, layers=2, vocab_size=320), tokenizer, 0)
    if kind == "sliding":
        model.config.use_sliding_window, model.config.sliding_window = True, 8
        model.config.layer_types = ["full_attention", "sliding_attention"]
    elif kind == "no template":
        tokenizer.chat_template = None
    else:
        tokenizer.eos_token = None
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "base")
    (tmp_path / "mini.toml").write_text(PROFILE)
    outcome = inside("--profile", tmp_path / "mini.toml", "--run-dir", tmp_path / "run", "--model.path", tmp_path / "base",
                     "--sft.steps", sft, "--stage", "sft,rl-math")  # fmt: skip
    assert outcome.code == 2, outcome.err
    assert says in outcome.lines[-1]
    assert not (tmp_path / "run" / "checkpoints").exists()
