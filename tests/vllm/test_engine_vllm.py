"""The vllm engine beside the hf engine, on small Qwen3 models with random weights, in float32 on a CPU."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.protocols import Rope
from klear_repro.engines.base import Completion, Request, Sampling
from klear_repro.errors import UserError

_SPEC = find_spec("vllm")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(_SPEC is None or _SPEC.origin is None, reason="vLLM is not installed (the tox environment vllm has it)"),
]

ROOT = Path(__file__).resolve().parents[2]
LENGTH = 256
GREEDY = Sampling(temperature=0, top_p=1, top_k=0, min_p=0, repetition_penalty=1, max_new_tokens=32)
PENALISED = Sampling(temperature=0, top_p=1, top_k=0, min_p=0, repetition_penalty=1.3, max_new_tokens=32)
PLAIN = Sampling(temperature=1, top_p=1, top_k=0, min_p=0, repetition_penalty=1, max_new_tokens=48)
FILTERED = Sampling(temperature=1, top_p=0.95, top_k=100, min_p=0, repetition_penalty=1.05, max_new_tokens=48)

Start = Callable[..., Any]


@pytest.fixture(scope="module")
def device() -> Any:
    from klear_repro.device import choose_device

    return choose_device("cpu", "float32", 0)


@pytest.fixture(scope="module")
def statements() -> list[str]:
    from klear_repro.data.synthetic import math_task

    rng = random.Random(0)
    return list(dict.fromkeys(math_task(rng).statement for _ in range(60)))[:48]


@pytest.fixture(scope="module")
def make_model(tmp_path_factory: pytest.TempPathFactory, statements: list[str]) -> Callable[[bool], Path]:
    """A folder in Hub format, with a tied head or one of its own."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from klear_repro.data.tokenizer import train_tokenizer

    made: dict[bool, Path] = {}

    def make(tied: bool) -> Path:
        if tied not in made:
            tokenizer = train_tokenizer([*statements, "<think>\n1+2=3 so 3\n</think>\n\n\\boxed{3}"], 400)
            torch.manual_seed(1)
            model = Qwen3ForCausalLM(
                Qwen3Config(
                    vocab_size=len(tokenizer), hidden_size=96, num_hidden_layers=3, intermediate_size=192, num_attention_heads=4,
                    num_key_value_heads=2, head_dim=32, max_position_embeddings=LENGTH, initializer_range=0.1,
                    tie_word_embeddings=tied, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                )
            )  # fmt: skip
            made[tied] = tmp_path_factory.mktemp("tied" if tied else "untied")
            model.save_pretrained(made[tied])
            tokenizer.save_pretrained(made[tied])
        return made[tied]

    return make


@pytest.fixture(scope="module")
def start(device: Any) -> Iterator[Start]:
    """Starts the vllm engine, or gives the running one where it is the same: a process has one."""
    from klear_repro.engines.vllm import VLLMEngine
    from klear_repro.models import find_model

    running: list[tuple[Any, Any]] = []

    def make(folder: Path, **options: Any) -> Any:
        if not running or running[0][0] != (folder, options):
            running[:] = [((folder, options), VLLMEngine(find_model(str(folder)), device=device, **options))]
        return running[0][1]

    yield make
    if running:
        running[0][1].close()


@pytest.fixture(scope="module")
def start_hf(device: Any) -> Start:
    """The same model in the hf engine."""
    from klear_repro.engines.hf import HFEngine
    from klear_repro.models import find_model, load

    def make(folder: Path, max_model_len: int = 0, rope: Rope | None = None) -> Any:
        model, tokenizer = load(find_model(str(folder)), device, rope, max_model_len)
        return HFEngine(model, tokenizer, slots=16, max_model_len=max_model_len)

    return make


def requests(engine: Any, statements: Sequence[str], samples: int = 1) -> list[Request]:
    prompts = [engine.encode_chat([{"role": "user", "content": text}]) for text in statements]
    return [
        Request((index, sample), ids, seed=2**62 + 7919 * index + sample)
        for sample in range(samples)
        for index, ids in enumerate(prompts)
    ]


def by_tag(completions: Iterator[Completion]) -> dict[Any, Completion]:
    found: dict[Any, Completion] = {}
    for completion in completions:
        assert completion.tag not in found
        found[completion.tag] = completion
    return found


@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied head"])
def test_greedy_texts_are_those_of_the_hf_engine(tied: bool, make_model: Any, start: Start, start_hf: Start, statements: list[str]) -> None:
    folder = make_model(tied)
    engine, other = start(folder, max_model_len=LENGTH), start_hf(folder, LENGTH)
    asked = requests(engine, statements)
    assert len(asked) >= 40 and asked == requests(other, statements)
    for sampling in (GREEDY, PENALISED):
        ours, theirs = by_tag(engine.generate(asked, sampling)), by_tag(other.generate(asked, sampling))
        assert {tag: (one.text, one.token_ids, one.finish_reason) for tag, one in ours.items()} == {
            tag: (one.text, one.token_ids, one.finish_reason) for tag, one in theirs.items()
        }
        assert len({one.text for one in ours.values()}) > len(asked) // 2  # a model that says one thing would prove nothing


@pytest.mark.parametrize("sampling", [PLAIN, FILTERED], ids=["plain", "filtered"])
def test_a_seeded_sample_is_the_same_in_any_order_and_company(
    sampling: Sampling, make_model: Any, start: Start, statements: list[str]
) -> None:
    engine = start(make_model(False), max_model_len=LENGTH)
    asked = requests(engine, statements[:16], samples=3)
    forth = by_tag(engine.generate(asked, sampling))
    back = by_tag(engine.generate(asked[::-1], sampling))
    alone = by_tag(engine.generate(asked[5:8], sampling))
    texts = {tag: one.text for tag, one in forth.items()}
    assert {tag: one.text for tag, one in back.items()} == texts
    assert {tag: one.text for tag, one in alone.items()} == {request.tag: texts[request.tag] for request in asked[5:8]}
    assert len(set(texts.values())) > 0.9 * len(asked)  # another seed is another text


def test_every_sample_is_yielded_once_with_its_tokens_and_its_reason(make_model: Any, start: Start, statements: list[str]) -> None:
    engine = start(make_model(False), max_model_len=LENGTH)
    asked = requests(engine, statements, samples=2)
    found = by_tag(engine.generate(asked, PLAIN))
    assert set(found) == {request.tag for request in asked}
    end = engine.tokenizer.eos_token_id
    for one in found.values():
        assert end not in one.token_ids[:-1]
        if one.finish_reason == "stop":
            assert one.token_ids[-1] == end and len(one.token_ids) <= PLAIN.max_new_tokens
        else:
            assert one.token_ids[-1] != end and len(one.token_ids) == PLAIN.max_new_tokens
        assert one.text == engine.tokenizer.decode(one.token_ids, skip_special_tokens=True)
        assert "<|im_end|>" not in one.text and one.seconds > 0 and one.logprobs == ()
    assert {one.finish_reason for one in found.values()} == {"stop", "length"}


def test_short_samples_come_before_long_ones_are_done_and_a_caller_may_stop(make_model: Any, start: Start, statements: list[str]) -> None:
    engine = start(make_model(False), max_model_len=LENGTH)
    asked = requests(engine, statements, samples=2)
    stream = engine.generate(asked, PLAIN)
    first = next(stream)
    assert len(first.token_ids) < PLAIN.max_new_tokens
    with pytest.raises(RuntimeError, match="another call"):
        next(engine.generate(asked[:1], PLAIN))
    stream.close()
    again = by_tag(engine.generate(asked[:4], PLAIN))
    assert set(again) == {request.tag for request in asked[:4]}


def test_a_prompt_without_room_for_the_budget_is_refused(make_model: Any, start: Start) -> None:
    engine = start(make_model(False), max_model_len=LENGTH)
    with pytest.raises(UserError, match=rf"max_new_tokens=48: with a prompt of 220 tokens that is 268, .* {LENGTH}"):
        list(engine.generate([Request(0, (5,) * 220, 1)], PLAIN))
    exact = list(engine.generate([Request(0, (5,) * (LENGTH - 48), 1)], PLAIN))
    assert len(exact) == 1


def test_a_length_beyond_the_model_is_refused_in_one_line(make_model: Any, device: Any) -> None:
    from klear_repro.engines.vllm import VLLMEngine
    from klear_repro.models import find_model

    with pytest.raises(UserError, match="max_model_len") as refused:
        VLLMEngine(find_model(str(make_model(False))), device=device, max_model_len=4 * LENGTH)
    assert "pydantic" not in str(refused.value) and len(str(refused.value)) < 600


def test_yarn_gives_the_length_that_was_asked_for_and_the_texts_of_the_hf_engine(make_model: Any, start: Start, start_hf: Start) -> None:
    folder, rope = make_model(False), Rope(factor=2.5, original_max_position_embeddings=LENGTH)
    length = int(2.5 * LENGTH)
    engine = start(folder, max_model_len=length, rope=rope)
    assert engine.max_model_len == length
    rng = random.Random(3)
    # prompts up to and beyond the original length
    asked = [Request(n, tuple(rng.randrange(5, 300) for _ in range(n)), 1) for n in (20, 200, 260, 300, 450, length - 32)]
    texts = {tag: one.text for tag, one in by_tag(engine.generate(asked, GREEDY)).items()}
    extended = start_hf(folder, length, rope)
    assert texts == {tag: one.text for tag, one in by_tag(extended.generate(asked, GREEDY)).items()}
    plain = start_hf(folder)
    short = asked[:2]
    assert [one.text for one in plain.generate(short, GREEDY)] != [texts[request.tag] for request in short]


def test_logprobs_are_those_of_the_model_where_they_are_asked_for(
    make_model: Any, start: Start, start_hf: Start, statements: list[str]
) -> None:
    import torch

    folder = make_model(True)
    engine = start(folder, max_model_len=LENGTH, logprobs=True)
    asked = requests(engine, statements[:8])
    model = start_hf(folder).model
    for one, request in ((one, asked[one.tag[0]]) for one in engine.generate(asked, PLAIN)):
        ids = torch.tensor([[*request.prompt_ids, *one.token_ids]])
        with torch.no_grad():
            logp = model(input_ids=ids).logits[0, len(request.prompt_ids) - 1 : -1].log_softmax(-1)
        expected = logp.gather(1, torch.tensor(one.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(one.logprobs), expected, atol=1e-4, rtol=0)
    assert all(one.logprobs == () for one in engine.generate(asked[:2], FILTERED))


def test_starting_the_engine_leaves_the_process_as_it_was(make_model: Any, start: Start) -> None:
    import torch

    before = os.environ.get("LD_PRELOAD"), os.sched_getaffinity(0), torch.set_num_threads
    start(make_model(False), max_model_len=LENGTH, seed=5)
    assert (os.environ.get("LD_PRELOAD"), os.sched_getaffinity(0), torch.set_num_threads) == before


def test_the_evaluation_stage_runs_with_vllm_and_has_the_sample_keys_of_hf(make_model: Any, statements: list[str], tmp_path: Path) -> None:
    from benchmarks.records import Problem

    problems = [
        Problem(benchmark="mini-aime", id=f"mini-aime-{index:03}", kind="math", statement=text, answer="7")
        for index, text in enumerate(statements[:3])
    ]
    file = tmp_path / "mini-aime.jsonl"
    file.write_text("".join(problem.model_dump_json() + "\n" for problem in problems))
    rows: dict[str, list[dict[str, Any]]] = {}
    for engine in ("vllm", "hf"):
        run_dir = tmp_path / engine
        command = [
            sys.executable, "-m", "klear_repro.run", "--stage", "eval", "--engine", engine, "--model", str(make_model(False)),
            "--benchmark", "mini-aime", "--benchmark-path", str(file), "--samples", "2", "--run-dir", str(run_dir),
            "--eval.max-model-len", str(LENGTH),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (stored,) = (run_dir / "generations" / "mini-aime").glob("*.jsonl")
        rows[engine] = [json.loads(line) for line in stored.read_text().splitlines()]
        assert len(list((run_dir / "grades" / "mini-aime").glob("*.parquet"))) == 1
    names = ("model", "revision", "benchmark", "problem_id", "sample_index", "prompt_hash", "sampling_hash", "seed", "prompt_tokens")
    keys = {engine: {tuple(row[name] for name in names) for row in found} for engine, found in rows.items()}
    assert keys["vllm"] == keys["hf"] and len(keys["vllm"]) == len(rows["vllm"]) == 6
    assert all(0 < row["token_count"] <= 160 and row["finish_reason"] in ("stop", "length") for row in rows["vllm"])
