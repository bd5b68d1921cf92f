"""vLLM as its users set it: options by name, slots by what the cache holds, context extension taken away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from klear_repro.engines.base import Request, Sampling
from klear_repro.errors import UserError

_SPEC = find_spec("vllm")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(_SPEC is None or _SPEC.origin is None, reason="vLLM is not installed (the tox environment vllm has it)"),
]

POSITIONS = 256
GREEDY = Sampling(temperature=0, top_p=1, top_k=0, min_p=0, repetition_penalty=1, max_new_tokens=32)
LONG = Sampling(temperature=1, top_p=1, top_k=0, min_p=0, repetition_penalty=1, max_new_tokens=200)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": POSITIONS, "attention_factor": 0.8, "rope_theta": 10000.0}

Start = Callable[..., Any]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in Hub format."""
    from klear_repro.data.tokenizer import train_tokenizer
    from klear_repro.models import new_model
    from klear_repro.sections import ModelConfig

    folder = tmp_path_factory.mktemp("models") / "plain"
    tokenizer = train_tokenizer(["Find 12 + 34. <think>\n2+4=6 so 46\n</think>\n\n\\boxed{46}"], 320)
    config = ModelConfig(hidden_size=64, layers=2, heads=4, kv_heads=2, head_dim=32, intermediate_size=128, vocab_size=320,
                         max_position=POSITIONS, initializer_range=0.2)  # fmt: skip
    tokenizer.save_pretrained(folder)
    new_model(config, tokenizer, 3).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stretched(plain: Path) -> Path:
    """The same weights in a checkpoint whose configuration carries YaRN, as model cards tell users to write it."""
    folder = plain.parent / "stretched"
    shutil.copytree(plain, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"rope_parameters": YARN, "max_position_embeddings": 4 * POSITIONS}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    from klear_repro.device import choose_device
    from klear_repro.engines.vllm import VLLMEngine
    from klear_repro.models import find_model

    running = []

    def make(folder: Path, **options: Any) -> Any:
        running.append(VLLMEngine(find_model(str(folder)), device=choose_device("cpu", "float32", 0), **options))
        return running[-1]

    yield make
    running[-1].close()


def asked(count: int, length: int = 20) -> list[Request]:
    return [Request(index, tuple(5 + (index * 7 + place) % 200 for place in range(length)), index) for index in range(count)]


def test_slots_are_what_the_cache_holds_options_are_written_down_and_a_full_cache_is_said(
    plain: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"max_num_seqs": 24, "max_num_batched_tokens": 512, "block_size": 32, "num_gpu_blocks_override": 33}
    engine = start(plain, longest=220, options=options)
    assert engine.held == engine.cache_tokens // 220 and 3 <= engine.held <= 5
    assert engine.slots == min(24, 4 * engine.held)
    found = engine.settings(GREEDY)
    assert found["options"] == options and found["quantization"] is None and found["kv_cache_dtype"] == "auto"
    assert engine._llm.model_config.logprobs_mode == "raw_logprobs", "log-probabilities are not asked for"
    reports: list[int] = []
    made = list(engine.generate(asked(engine.slots), LONG, reports.append))
    assert sum(reports) == sum(one.token_count for one in made) and all(one.logprobs == () for one in made)
    said = capsys.readouterr().err
    assert f"{engine.held} samples at full length" in said
    assert "fewer eval.slots" in said, "the cache was too small for all"
    list(engine.generate(asked(2), LONG))
    assert "fewer eval.slots" not in capsys.readouterr().err


def test_requests_are_pulled_into_free_slots_and_explicit_slots_win(plain: Path, start: Start) -> None:
    engine = start(plain, slots=3)
    assert engine.slots == 3
    taken: list[Any] = []

    def trickle() -> Iterator[Request | None]:
        for request in asked(10):
            yield from [None] * (len(taken) % 3)
            taken.append(request.tag)
            yield request

    done = []
    for one in engine.generate(trickle(), GREEDY):
        done.append(one)
        assert len(taken) - len(done) < 3
    assert sorted(one.tag for one in done) == list(range(10))


def test_an_extension_of_the_checkpoint_is_taken_away_kept_or_replaced_as_the_protocol_says(
    plain: Path, stretched: Path, start: Start
) -> None:
    from benchmarks.protocols import Rope
    from klear_repro.device import choose_device
    from klear_repro.engines.hf import HFEngine
    from klear_repro.models import find_model, load

    def in_hf(folder: Path, **how: Any) -> tuple[dict[Any, str], Any]:
        model, tokenizer = load(find_model(str(folder)), choose_device("cpu", "float32", 0), **how)
        engine = HFEngine(model, tokenizer, slots=8)
        return {one.tag: one.text for one in engine.generate(asked(4, 150), GREEDY)}, engine

    expected, _ = in_hf(plain)
    kept, _ = in_hf(stretched)
    assert kept != expected
    texts, hf = in_hf(stretched, context="off")
    assert texts == expected and hf.max_model_len == POSITIONS
    assert hf.settings(GREEDY)["rope_parameters"]["rope_type"] == "default"
    _, hf = in_hf(stretched, context="yarn", rope=Rope(factor=2.5, original_max_position_embeddings=POSITIONS))
    assert hf.settings(GREEDY)["rope_parameters"]["factor"] == 2.5 and hf.max_model_len == 2.5 * POSITIONS
    assert "attention_factor" not in hf.model.config.rope_parameters, "the checkpoint's own extension leaves nothing behind"
    for context, wanted, rope_type, length in (("off", expected, "default", POSITIONS), ("model", kept, "yarn", 4 * POSITIONS)):
        engine = start(stretched, context=context)
        assert engine.settings(GREEDY)["rope_parameters"]["rope_type"] == rope_type and engine.max_model_len == length
        assert {one.tag: one.text for one in engine.generate(asked(4, 150), GREEDY)} == wanted


@pytest.mark.parametrize("options", [{"quantization": "three-bits"}, {"kv_cache_dtype": "fp3"}, {"attention_backend": "SLOW"}])
def test_a_value_that_vllm_does_not_know_is_refused_in_one_line(plain: Path, start: Start, options: dict[str, str]) -> None:
    with pytest.raises(UserError) as refused:
        start(plain, options=options)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 1000
