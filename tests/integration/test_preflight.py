"""Cheap checks first: what is wrong is refused in one line, and no weight is asked for, against a local server with the Hub's protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from klear_program import ROOT, environment, finish, klear, rows, start

from benchmarks.records import Generation, Problem
from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from fake_hub import FakeHub, serving

WEIGHTS = "model.safetensors"
HUGE = 10**15
CHILD = """
import json, sys, urllib.request
from pathlib import Path
from klear_repro.config import ConfigError, load_config
from klear_repro.device import choose_device
from klear_repro.errors import UserError
from klear_repro.machine import Machine
from klear_repro.models import find_model
from klear_repro.preflight import preflight
from klear_repro.run import parse

hub = sys.argv[1]
for case in json.load(sys.stdin):
    try:
        urllib.request.urlopen(f"{hub}/case/{case['name']}", timeout=10)
    except OSError:
        pass  # the server knows no such page, and has written it down
    config = load_config("klear-8b-eval", parse(case["words"])[1])

    def models():
        source = find_model(config.eval.model, weights=False)
        return {source.name: (source, config.eval.benchmarks)}

    try:
        said = preflight(config, Path(case["run"]), choose_device("cpu", "auto", 1), models, Machine((), case["memory"])).paragraph()
    except UserError as error:
        said = f"refused: {error}"
    print(json.dumps(said))
"""
"""Runs the checks of several commands in one process: torch takes seconds to load."""


@dataclass(frozen=True)
class Case:
    """A command, the memory of the machine that it runs on, and what the checks say of it."""

    words: tuple[str, ...]
    says: str
    memory: int = 10**11
    model: str = "org/tiny"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small checkpoint in Hub format, with the positions of a large one."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = train_tokenizer(["Find 12 + 34. <think>\n\n</think>\n\n\\boxed{46} What is 7 times 8? " * 20], 320)
    config = ModelConfig(
        hidden_size=64, layers=2, heads=2, kv_heads=1, head_dim=32, intermediate_size=64, vocab_size=320, max_position=40960
    )
    tokenizer.save_pretrained(folder)
    new_model(config, tokenizer, 0).save_pretrained(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def hub(files: dict[str, bytes]) -> Iterator[FakeHub]:
    refuses = files | {"chat_template.jinja": b"{{ raise_exception('only for the initiated') }}"}
    settings = json.loads(files["tokenizer_config.json"])
    settings.pop("chat_template", None)
    bare = {name: content for name, content in files.items() if name != "chat_template.jinja"}
    bare["tokenizer_config.json"] = json.dumps(settings).encode()
    broken = files | {"tokenizer.json": b"{"}
    repos = {"models/org/tiny": files, "models/org/refuses": refuses, "models/org/bare": bare, "models/org/broken": broken}
    with serving(repos) as server:
        yield server


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark of six problems, the run folder of a few samples, and a file that is no benchmark."""
    folder = tmp_path_factory.mktemp("problems")
    rows = [Problem(benchmark="mini-aime", id=f"p{i}", kind="math", statement=f"Find {i} + 34.", answer=str(i % 4)) for i in range(6)]
    (folder / "mini-aime.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    (folder / "torn.jsonl").write_text(rows[0].model_dump_json() + "\n{\n")
    stored = [
        Generation(model="tiny", revision="other", benchmark="mini-aime", problem_id="p0", sample_index=index, prompt_hash="x",
                   sampling_hash="y", text="t", token_count=3000, finish_reason="stop", seed=index, seconds=30.0)
        for index in range(8)
    ]  # fmt: skip
    (folder / "run" / "generations" / "mini-aime").mkdir(parents=True)
    (folder / "run" / "generations" / "mini-aime" / "tiny.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in stored))
    return folder


CASES = {
    "benchmark": Case(("--benchmark", "aime99"), "refused: eval.benchmarks='aime99': unknown benchmark; allowed: aime24"),
    "protocol": Case(("--protocol", "klear-paper-33k"), "refused: unknown protocol 'klear-paper-33k'; allowed: deepseek-r1"),
    "prompt": Case(("--eval.prompt", "nosuch"), "refused: eval.prompt='nosuch': no prompt 'nosuch'"),
    "attribute": Case(("--attribute", "qwen3,nosuch"), "refused: eval.attribute: unknown protocol 'nosuch'"),
    "published": Case(("--report.published", "nosuch.toml"), "refused: report.published: nosuch.toml: cannot be read"),
    "no-endpoint": Case(("--engine", "openai"), "refused: eval.endpoints: needed by the engine openai"),
    "model": Case(("--model", "org/nothing"), "refused: eval.model='org/nothing': not on the Hub"),
    "length": Case(("--max-new-tokens", "50000"), "refused: max_new_tokens=50000 (protocol klear-paper-32k+changed): leaves no room"),
    "model-len": Case(("--eval.max_model_len", "41000"), "refused: max_model_len=41000 (protocol klear-paper-32k+changed, model tiny)"),
    "problems": Case(("--benchmark-path", "{problems}/torn.jsonl"), "refused: {problems}/torn.jsonl, line 2"),
    "server": Case(("--engine", "openai", "--eval.endpoints", "http://127.0.0.1:9/v1"), "refused: eval.endpoints: http://127.0.0.1:9/v1"),
    "weights": Case((), "refused: model tiny: its weights take", memory=100_000),
    "cache": Case((), "lower --max-new-tokens; --runtime.dtype", memory=300_000),
    "disk": Case((), "refused: eval.model: 1000000.0 GB of weights are to be downloaded, and", memory=10**16, model="org/huge"),
    "samples": Case(("--samples", "1000000000"), "refused: run-dir='{problems}/run': the samples take about"),
    "template": Case((), "only for the initiated", model="org/refuses"),
    "no-template": Case((), "refused: eval.model: its chat template cannot be used", model="org/bare"),
    "tokenizer": Case((), "refused: model broken: its tokenizer cannot be read", model="org/broken"),
    "prompt-length": Case(("--eval.max_model_len", "32780"), "refused: max_new_tokens=32768: with a prompt of"),
    "right": Case((), "mini-aime 6 × 64) under klear-paper-32k; none is there yet. Tokens: about 1.2 million expected"),
}  # fmt: skip


@pytest.fixture(scope="module")
def said(
    hub: FakeHub, problems: Path, files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, list[str]]]:
    """Case → what the checks said, and the addresses that they asked the Hub for."""
    hub.repos = {
        **hub.repos,
        "models/org/huge": {name: content for name, content in files.items() if name != WEIGHTS} | {"big.safetensors": b""},
    }
    hub.sizes["big.safetensors"] = HUGE
    asked = []
    for name, case in CASES.items():
        words = [
            "--model",
            case.model,
            "--engine",
            "hf",
            "--benchmark",
            "mini-aime",
            "--benchmark-path",
            "{problems}",
            "--protocol",
            "klear-paper-32k",
            *case.words,
        ]
        asked.append(
            {"name": name, "words": [word.format(problems=problems) for word in words], "run": str(problems / "run"), "memory": case.memory}
        )
    env = environment(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path_factory.mktemp("home")), HF_HUB_DISABLE_TELEMETRY="1")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, hub.url],
        input=json.dumps(asked),
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for _, path, _ in hub.asked:
        if path.startswith("/case/"):
            current = parts.setdefault(path.removeprefix("/case/"), [])
        else:
            current.append(path)
    return {name: (json.loads(line), parts[name]) for name, line in zip(CASES, done.stdout.splitlines(), strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_each_check_says_in_one_line_what_is_wrong_and_no_weight_is_asked_for(
    name: str, said: dict[str, tuple[str, list[str]]], problems: Path
) -> None:
    text, asked = said[name]
    assert CASES[name].says.format(problems=problems) in text and "\n" not in text, text
    assert not [path for path in asked if path.endswith((".safetensors", ".bin"))]


@pytest.mark.parametrize("name", ["benchmark", "protocol", "prompt", "attribute", "published", "no-endpoint"])
def test_wrong_names_ask_the_hub_for_nothing(name: str, said: dict[str, tuple[str, list[str]]]) -> None:
    assert said[name][1] == []


def test_the_run_folder_is_left_alone(said: dict[str, tuple[str, list[str]]], problems: Path) -> None:
    assert sorted(path.name for path in (problems / "run").rglob("*")) == ["generations", "mini-aime", "tiny.jsonl"]


# --- as a user runs it -----------------------------------------------------------------------------


def words(problems: Path, run: Path, *more: str) -> list[str | Path]:
    return ["--stage", "eval", "--profile", "klear-8b-eval", "--engine", "hf", "--benchmark", "mini-aime", "--benchmark-path", problems,
            "--protocol", "klear-paper-32k", "--run-dir", run, "--runtime.threads", "1", *more]  # fmt: skip


def test_the_paragraph_comes_before_the_first_byte_of_the_weights(hub: FakeHub, problems: Path, tmp_path: Path) -> None:
    hub.stalls[WEIGHTS] = 0
    env = environment(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path / "home"), HF_HUB_DISABLE_TELEMETRY="1")
    process = start(*words(problems, tmp_path / "run", "--model", "org/tiny"), env=env)
    try:
        assert hub.stalled.wait(120)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    shown = finish(process).lines
    (prompt,) = [line for line in shown if line.startswith("eval: the prompt of mini-aime, problem p0, for tiny")]
    (paragraph,) = [line for line in shown if line.startswith("what will happen: ")]
    assert "of weights are downloaded first" in paragraph and "<|im_start|>assistant\\n" in prompt
    assert not (tmp_path / "run" / "generations").exists()


@pytest.fixture(scope="module")
def folder(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint as a folder."""
    path = tmp_path_factory.mktemp("model") / "tiny"
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


@pytest.mark.slow
def test_a_canary_that_comes_to_no_good_end_stops_the_run_and_the_next_run_reads_it(folder: Path, problems: Path, tmp_path: Path) -> None:
    """The model is untrained: greedily, it repeats itself."""
    run = tmp_path / "run"
    small = ("--samples", "1", "--limit", "5", "--max-new-tokens", "1100", "--temperature", "0")
    command = words(problems, run, "--model", str(folder), *small)
    outcome = klear(*command)
    assert outcome.code == 1 and "canary: " in outcome.lines[-1] and "--eval.canary 0 goes on as it is" in outcome.lines[-1], outcome.err
    stored = run / "generations" / "mini-aime" / "tiny.jsonl"
    assert sorted((row["problem_id"], row["sample_index"]) for row in rows(stored)) == [(f"p{i}", 0) for i in range(4)]
    assert not (run / "grades" / "mini-aime").exists()
    before = stored.read_bytes()
    again = klear(*command)
    assert again.code == 1 and again.lines[-1] == outcome.lines[-1] and stored.read_bytes() == before
    assert any("4 are there, 1 are made" in line for line in again.lines)
    through = klear(*command, "--eval.canary", "0")
    assert through.code == 0, through.err
    assert stored.read_bytes().startswith(before) and len(rows(stored)) == 5
    assert any(line.startswith("eval tiny mini-aime: 4/5 samples, 0 tokens, the engine starts") for line in through.lines)
    done = klear(*command, "--eval.canary", "3")
    assert done.code == 0 and any("all 5 samples are there; nothing is generated" in line for line in done.lines), done.err
