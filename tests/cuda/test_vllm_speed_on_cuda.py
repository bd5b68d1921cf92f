"""Speed of vLLM with Qwen3-8B's sizes and random weights under `klear-release-64k`.  Never run so far.

`python -m pytest -m perf -s tests/cuda/test_vllm_speed_on_cuda.py`, on one NVIDIA GPU of 80 GB, in about 20 minutes.  A sample of
length L is a prompt of L − 512 tokens and 512 forced new ones, so the speed is that of generating at this length.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.protocols import load_protocol
from klear_repro.engines.base import Request, Sampling

_SPEC = find_spec("vllm")
pytestmark = [pytest.mark.perf, pytest.mark.skipif(_SPEC is None or _SPEC.origin is None, reason="vLLM is not installed")]

RELEASE = load_protocol("klear-release-64k")
NEW = 512
VARIANTS: dict[str, dict[str, Any]] = {
    "as the protocol says": {},
    "no repetition penalty": {"repetition_penalty": 1.0},
    "no seed": {"seed": None},
    "log-probabilities": {"logprobs": 0},
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from transformers import Qwen3Config

    from klear_repro.data.tokenizer import train_tokenizer
    from klear_repro.device import choose_device
    from klear_repro.engines.vllm import VLLMEngine
    from klear_repro.models import ModelSource

    folder = tmp_path_factory.mktemp("qwen3-8b")
    train_tokenizer(["<think>\n1+2=3 so 3\n</think>\n\n\\boxed{3}"], 400).save_pretrained(folder)
    config = Qwen3Config(
        vocab_size=151936, hidden_size=4096, num_hidden_layers=36, intermediate_size=12288, num_attention_heads=32, num_key_value_heads=8,
        head_dim=128, max_position_embeddings=32768, rope_theta=1e6, tie_word_embeddings=False, architectures=["Qwen3ForCausalLM"],
    )  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config.to_dict() | {"dtype": "bfloat16"}))
    made = VLLMEngine(
        ModelSource("qwen3-8b", Path(folder), "", "random"), device=choose_device("cuda", "bfloat16", 0),
        max_model_len=RELEASE.max_model_len or 0,
        rope=RELEASE.rope, context=RELEASE.context, longest=RELEASE.max_new_tokens, options={"load_format": "dummy"},
    )  # fmt: skip
    yield made
    made.close()


@pytest.mark.parametrize("length", [8192, 32768, 65536])
def test_tokens_a_second_at_a_length(engine: Any, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = Sampling(**RELEASE.sampling.model_dump(), max_new_tokens=NEW)
    parameters = engine._parameters
    requests = [
        Request(index, tuple((index * 7919 + place * 31) % 150_000 for place in range(length - NEW)), index)
        for index in range(engine.slots)
    ]
    print(f"\n{length:,} tokens: cache of {engine.cache_tokens:,} tokens, {engine.held} samples of the budget, {engine.slots} side by side")
    for name, changes in VARIANTS.items():

        def forced(request: Request, how: Sampling, changes: dict[str, Any] = changes) -> Any:
            made = parameters(request, how)
            for field, value in {"ignore_eos": True, "stop_token_ids": [], "min_tokens": NEW, **changes}.items():
                setattr(made, field, value)
            return made

        monkeypatch.setattr(engine, "_parameters", forced)
        began, before = time.perf_counter(), engine._preemptions()
        first: list[float] = []

        def report(tokens: int, first: list[float] = first) -> None:
            first.append(time.perf_counter())

        made = list(engine.generate(requests, sampling, report))
        seconds = time.perf_counter() - began
        assert [one.token_count for one in made] == [NEW] * len(requests)
        generating = began + seconds - first[0] if len(first) > 1 else seconds  # from the first report of tokens on
        free, total = torch.cuda.mem_get_info()
        print(
            f"  {name}: {NEW * len(requests) / seconds:,.0f} tokens/s with prompts, about {NEW * len(requests) / generating:,.0f} without; "
            f"{engine._preemptions() - before} preemptions; peak {torch.cuda.max_memory_reserved() / 2**30:.1f} GiB of torch, "
            f"{(total - free) / 2**30:.1f} GiB of the GPU"
        )
