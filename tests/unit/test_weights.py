"""What the heads of weight files say, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from klear_repro.engines.vllm_names import check_names, known_names
from klear_repro.errors import UserError
from klear_repro.models import find_model
from klear_repro.weights import gguf_positions, quantization_of


def written(path: Path, kind: gguf.GGMLQuantizationType) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_tensor("norm", np.ones(32, dtype=np.float32))
    numbers = np.ones((4, 64), dtype=np.float32)
    writer.add_tensor("weight", gguf.quants.quantize(numbers, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("kind", "said"), [("Q8_0", "gguf Q8_0"), ("Q4_1", "gguf Q4_1"), ("F16", ""), ("F32", "")])
def test_a_gguf_file_says_how_it_is_quantised_and_how_long_its_context_is(tmp_path: Path, kind: str, said: str) -> None:
    source = find_model(str(written(tmp_path / "x.gguf", gguf.GGMLQuantizationType[kind])))
    assert quantization_of(source) == said and gguf_positions(source) == 2048


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, ""), ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptq"),
        ({"quantization_config": {"bits": 4}}, "unknown"),
        ({"text_config": {"quantization_config": {"quant_method": "fp8"}}}, "fp8"),
        ({"compression_config": {"quant_method": "sparseml"}}, "sparseml"),
        ({"quantization_config": None}, ""),
    ],
)  # fmt: skip
def test_a_checkpoint_says_how_it_is_quantised(tmp_path: Path, fields: dict[str, object], said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3"} | fields))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert quantization_of(find_model(str(tmp_path))) == said


def test_names_of_vllms_options_are_read_from_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "vllm"
    for file, text in {
        "__init__.py": "raise ImportError('it is not imported')", "config/cache.py": 'CacheDType = Literal["auto", "fp8"]',
        "model_executor/layers/quantization/__init__.py": 'QuantizationMethods = Literal[\n    "awq",  # a comment\n    "fp8",\n]',
        "v1/attention/backends/registry.py": 'class AttentionBackendEnum(Enum):\n    """Doc."""\n    FLASH_ATTN = "x"\n    CUSTOM = ""\n',
    }.items():  # fmt: skip
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(text)
    assert known_names(package, "quantization") == ["awq", "fp8"] and known_names(package, "attention_backend") == ["FLASH_ATTN", "CUSTOM"]
    monkeypatch.syspath_prepend(tmp_path)
    check_names({"quantization": "fp8", "kv_cache_dtype": "auto", "attention_backend": "flash_attn", "block_size": 16})
    for option, wrong in (("quantization", "fp9"), ("kv_cache_dtype", "fp9"), ("attention_backend", "FLASH")):
        with pytest.raises(UserError, match=f"eval.{option}='{wrong}': this vLLM knows "):
            check_names({option: wrong})
    (package / "config" / "cache.py").write_text("CacheDType = str")
    check_names({"kv_cache_dtype": "fp9"})  # vLLM itself decides
