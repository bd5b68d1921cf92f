"""Mistakes of a new user: each gives one line on standard error and exit code 1 or 2, and leaves nothing half-written.

A mistake is a name, the command line, what the line must say, and what lies on the disk.  In the words, `{tmp}` is a folder of the test,
`{run}` a run folder in it that is not there yet, `{model}` a checkpoint and `{data}` its problems.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from klear_program import ROOT, Outcome, environment, inside, snapshot

EVAL = "--profile klear-8b-eval --engine hf --stage eval,report --run-dir {run} "
MINI = EVAL + "--benchmark mini-aime --benchmark-path {data} --protocol smoke-math --samples 1 "
IMPORT = "--stage import,report --run-dir {run} "
TRAIN = "--profile {tmp}/files.toml --run-dir {run} "
FILES = '[data]\nsource = "files"\n[sft]\nsteps = 2\n[rl_math]\nsteps = 0\n[rl_code]\nsteps = 0\n[eval]\nbenchmarks = ["mini-aime"]\n'
RL = "--profile {tmp}/files.toml --run-dir {run} --stage sft,rl-math --rl_math.steps 1 --sft.data {tmp}/pairs.jsonl --rl_math.data {tmp}/rows.jsonl"
PAIR = json.dumps({"prompt": "1 + 1?", "response": "2"})
ROW = {"data_source": "math_longcot_math_verify", "prompt": [{"role": "user", "content": "1 + 1?"}], "ability": "math", "reward_model": {"ground_truth": "2"}}

Prepare = Callable[[Path, Path], None]
"""(folder of the test, checkpoint) → None."""


@dataclass(frozen=True)
class Mistake:
    name: str
    words: str
    said: tuple[str, ...]
    prepare: Prepare | None = None


def files(**contents: str | bytes) -> Prepare:
    """Files of the test's folder; `__` in a name stands for a dot, as in `rows__jsonl`."""

    def prepare(folder: Path, model: Path) -> None:
        for name, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / name.replace("__", ".")).write_bytes(data)

    return prepare


def changed_model(change: Callable[[Path], object]) -> Prepare:
    """A copy of the checkpoint at `{tmp}/model`, changed."""

    def prepare(folder: Path, model: Path) -> None:
        change(Path(shutil.copytree(model, folder / "model")))

    return prepare


def edited(name: str, **fields: object) -> Callable[[Path], object]:
    """Fields of a JSON file of a model, set; None takes one out."""

    def change(model: Path) -> None:
        values = json.loads((model / name).read_text()) | fields
        (model / name).write_text(json.dumps({key: value for key, value in values.items() if value is not None}))

    return change


def removed(*patterns: str) -> Callable[[Path], object]:
    return lambda model: [file.unlink() for pattern in patterns for file in model.glob(pattern)]


def cut(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def pickled(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def lines(*rows: object) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


ARGUMENTS = [
    Mistake("misspelt profile", "--profile smok --run-dir {run}", ("profile='smok'", "smoke")),
    Mistake("profile file that is not there", "--profile {tmp}/mine.toml --run-dir {run}", ("mine.toml", "no such file")),
    Mistake("folder as a profile", "--profile {tmp}/mine.toml --run-dir {run}", ("mine.toml",), lambda tmp, model: (tmp / "mine.toml").mkdir()),
    Mistake("JSON as a profile", "--profile {tmp}/mine.json --run-dir {run}", ("profile=", "TOML"), files(mine__json="{}")),
    Mistake("JSON in a TOML profile", "--profile {tmp}/mine.toml --run-dir {run}", ("not TOML",), files(mine__toml='{"sft": {}}')),
    Mistake("profile with a bracket missing", "--profile {tmp}/mine.toml --run-dir {run}", ("not TOML", "line 1"), files(mine__toml="[sft\n")),
    Mistake("profile in UTF-16", "--profile {tmp}/mine.toml --run-dir {run}", ("not TOML",), files(mine__toml="[sft]\n".encode("utf-16"))),
    Mistake("profile with an unknown field", "--profile {tmp}/mine.toml --run-dir {run}", ("sft.stepz", "sft.steps"), files(mine__toml="[sft]\nstepz = 3\n")),
    Mistake("profile with an unknown section", "--profile {tmp}/mine.toml --run-dir {run}", ("evaluation", "unknown key"), files(mine__toml="[evaluation]\nsamples = 3\n")),
    Mistake("text where a profile wants a number", "--profile {tmp}/mine.toml --run-dir {run}", ("sft.steps='ten'", "integer"), files(mine__toml='[sft]\nsteps = "ten"\n')),
    Mistake("one benchmark as text in a profile", "--profile {tmp}/mine.toml --run-dir {run}", ("eval.benchmarks='aime24'",), files(mine__toml='[eval]\nbenchmarks = "aime24"\n')),
    Mistake("unknown stage", "--stage evaluate --run-dir {run}", ("--stage='evaluate'", "eval", "report")),
    Mistake("no stage", "--stage '' --run-dir {run}", ("--stage=''", "eval")),
    Mistake("stages with a space", "--stage eval report --run-dir {run}", ("'report'",)),
    Mistake("unknown flag", "--checkpoint x --run-dir {run}", ("'--checkpoint'", "--help")),
    Mistake("abbreviated flag", "--sampl 3 --run-dir {run}", ("'--sampl'",)),
    Mistake("flag with one hyphen", "-model x --run-dir {run}", ("-model",)),
    Mistake("flag without its value", "--run-dir {run} --model", ("--model", "expected one argument")),
    Mistake("flag in the other's place", "--run-dir {run} --model --engine hf", ("--model", "expected one argument")),
    Mistake("unknown field", "--eval.sample 3 --run-dir {run}", ("eval.sample", "eval.samples")),
    Mistake("field of another section", "--sft.benchmarks aime24 --run-dir {run}", ("sft.benchmarks",)),
    Mistake("both --resume and --force", "--resume --force --run-dir {run}", ("--resume", "--force")),
    Mistake("negative samples", EVAL + "--samples -1", ("eval.samples", "-1")),
    Mistake("samples in words", EVAL + "--samples many", ("eval.samples='many'",)),
    Mistake("samples as a power of ten", EVAL + "--samples 1e3", ("eval.samples='1e3'",)),
    Mistake("half a problem", EVAL + "--limit 2.5", ("eval.limit='2.5'",)),
    Mistake("no slots", EVAL + "--eval.slots 0x", ("eval.slots='0x'",)),
    Mistake("learning rate that is no number", "--sft.lr nan --run-dir {run}", ("sft.lr", "nan")),
    Mistake("learning rate without end", "--sft.lr inf --run-dir {run}", ("sft.lr", "inf")),
    Mistake("negative seed", "--seed -3 --run-dir {run}", ("runtime.seed", "-3")),
    Mistake("empty run folder", "--stage data --run-dir ''", ("run-dir=''",)),
    Mistake("engine in capitals", EVAL + "--engine HF", ("eval.engine='HF'", "'hf'")),
    Mistake("unknown engine", EVAL + "--engine sglang", ("eval.engine='sglang'", "vllm")),
    Mistake("no benchmark", EVAL + "--model {model} --benchmark ''", ("benchmarks=''",)),
    Mistake("unknown device", "--runtime.device gpu --run-dir {run}", ("runtime.device='gpu'", "cuda")),
    Mistake("unknown tier", "--runtime.tier docker --run-dir {run}", ("runtime.tier='docker'", "landlock")),
    Mistake("unknown tracker", "--runtime.trackers mlflow --run-dir {run}", ("runtime.trackers", "mlflow", "wandb")),
    Mistake("shard beyond the last", EVAL + "--eval.shard 5/4", ("eval", "5/4")),
    Mistake("one protocol to attribute", EVAL + "--attribute klear-paper-32k", ("attribute", "FROM,TO")),
    Mistake("model to evaluate where one to train is meant", "--stage rl-math --model {model} --sft.steps 0 --run-dir {run}", ("--model=", "--model.path")),
    Mistake("stage of training with a profile that trains nothing", "--profile klear-8b-eval --stage sft --run-dir {run}", ("eval, import, report",)),
]  # fmt: skip

EVALUATION = [
    Mistake("no model in an empty run folder", EVAL + "--benchmark mini-aime --benchmark-path {data} --model ''", ("--model",)),
    Mistake("unknown benchmark", EVAL + "--model {model} --benchmark aime2024", ("aime2024", "aime24")),
    Mistake("unknown protocol", EVAL + "--model {model} --protocol klear-64k", ("klear-64k", "klear-release-64k")),
    Mistake("protocol file that is not there", EVAL + "--model {model} --protocol {tmp}/mine.toml", ("mine.toml",)),
    Mistake("protocol file that is no TOML", EVAL + "--model {model} --protocol {tmp}/mine.toml", ("mine.toml",), files(mine__toml="name: mine\n")),
    Mistake("protocol file with an unknown field", EVAL + "--model {model} --protocol {tmp}/mine.toml", ("mine.toml", "temprature"), files(mine__toml='name = "mine"\n[sampling]\ntemprature = 0.6\n')),
    Mistake("unknown prompt", MINI + "--model {model} --eval.prompt qwen", ("prompt", "qwen")),
    Mistake("unknown protocol to attribute", MINI + "--model {model} --attribute smoke-math,klear", ("klear",)),
    Mistake("folder of problems that is not there", EVAL + "--model {model} --benchmark aime24 --benchmark-path {tmp}/none", ("none",)),
    Mistake("folder without the problems", EVAL + "--model {model} --benchmark aime24 --benchmark-path {tmp}", ("aime24",)),
    Mistake("problems with a broken line", MINI + "--model {model} --benchmark-path {tmp}/mini-aime.jsonl", ("mini-aime.jsonl", "line 1"), files(**{"mini-aime__jsonl": '{"id": "1", \n'})),
    Mistake("problems in UTF-16", MINI + "--model {model} --benchmark-path {tmp}/mini-aime.jsonl", ("mini-aime.jsonl",), files(**{"mini-aime__jsonl": lines(ROW).encode("utf-16")})),
    Mistake("no problems in the file", MINI + "--model {model} --benchmark-path {tmp}/mini-aime.jsonl", ("mini-aime.jsonl",), files(**{"mini-aime__jsonl": ""})),
    Mistake("rows that are no problems", MINI + "--model {model} --benchmark-path {tmp}/mini-aime.jsonl", ("mini-aime.jsonl", "line 1"), files(**{"mini-aime__jsonl": '{"text": "x"}\n'})),
    Mistake("engine vllm without vLLM", MINI + "--model {model} --engine vllm", ("vLLM is not installed", "hf")),
    Mistake("engine openai without an endpoint", MINI + "--model {model} --engine openai", ("endpoints",)),
    Mistake("endpoints without engine openai", MINI + "--model {model} --eval.endpoints http://127.0.0.1:9/v1", ("endpoints", "openai")),
    Mistake("endpoint without http", MINI + "--model {model} --engine openai --eval.endpoints 127.0.0.1:9", ("127.0.0.1:9", "http")),
    Mistake("endpoint that nobody serves", MINI + "--model {model} --engine openai --eval.endpoints http://127.0.0.1:9/v1", ("127.0.0.1:9",)),
    Mistake("model folder that is not there", MINI + "--model {tmp}/model", ("no such folder",)),
    Mistake("model in the current folder without ./", MINI + "--model some/deep/model", ("some/deep/model",)),
    Mistake("Hub model that cannot be had", MINI + "--model nobody/nothing-8B", ("nobody/nothing-8B", "--model")),
    Mistake("file of weights as a model", MINI + "--model {model}/model.safetensors", ("model.safetensors", "folder")),
    Mistake("package that is not installed", MINI + "--model package:llm-smollm3", ("package:llm-smollm3", "not installed")),
    Mistake("package without a model", MINI + "--model package:numpy", ("package:numpy", ".gguf")),
    Mistake("folder without config.json", MINI + "--model {tmp}/model", ("config.json",), changed_model(removed("config.json"))),
    Mistake("config.json that is no JSON", MINI + "--model {tmp}/model", ("config.json", "not JSON"), changed_model(lambda model: (model / "config.json").write_text("{"))),
    Mistake("folder without weights", MINI + "--model {tmp}/model", ("safetensors",), changed_model(removed("*.safetensors"))),
    Mistake("pickled weights", MINI + "--model {tmp}/model", ("pickled", "safetensors"), changed_model(pickled)),
    Mistake("model with code of its own", MINI + "--model {tmp}/model", ("auto_map", "evil"), changed_model(edited("config.json", auto_map={"AutoModel": "evil.Model"}))),
    Mistake("unknown kind of model", MINI + "--model {tmp}/model", ("qwen9",), changed_model(edited("config.json", model_type="qwen9"))),
    Mistake("weights that are cut off", MINI + "--model {tmp}/model", ("model",), changed_model(cut)),
    Mistake("configuration that contradicts itself", MINI + "--model {tmp}/model", ("model", "num_hidden_layers", "(7)"), changed_model(edited("config.json", num_hidden_layers=7))),
    Mistake("weights of another model", MINI + "--model {tmp}/model", ("model", "missing or of another shape"), changed_model(edited("config.json", intermediate_size=96))),
    Mistake("model without a tokenizer", MINI + "--model {tmp}/model", ("tokenizer",), changed_model(removed("tokenizer*", "special*"))),
    Mistake("tokenizer that is no JSON", MINI + "--model {tmp}/model", ("tokenizer",), changed_model(lambda model: (model / "tokenizer.json").write_text("{"))),
    Mistake("model without a chat template", MINI + "--model {tmp}/model", ("chat template",), changed_model(lambda model: (removed("*.jinja")(model), edited("tokenizer_config.json", chat_template=None)(model)))),
    Mistake("broken chat template", MINI + "--model {tmp}/model", ("template",), changed_model(lambda model: (model / "chat_template.jinja").write_text("{% for %}"))),
    Mistake("budget longer than the model", MINI + "--model {model} --eval.max_new_tokens 5000", ("max_new_tokens=5000",)),
    Mistake("CUDA that is not there", MINI + "--model {model} --runtime.device cuda", ("cuda",)),
    Mistake("shard that also reports", MINI + "--model {model} --eval.shard 1/2", ("eval.shard", "--stage eval")),
]  # fmt: skip

IMPORTS = [
    Mistake("import of nothing", IMPORT, ("traces",)),
    Mistake("traces that are not there", IMPORT + "--traces {tmp}/none.jsonl", ("none.jsonl",)),
    Mistake("empty traces", IMPORT + "--traces {tmp}/traces.jsonl", ("traces.jsonl",), files(traces__jsonl="")),
    Mistake("traces that are text", IMPORT + "--traces {tmp}/traces.jsonl", ("traces.jsonl",), files(traces__jsonl="accuracy: 0.9\n")),
    Mistake("traces that are a picture", IMPORT + "--traces {tmp}/traces.png", ("traces.png",), files(traces__png=b"\x89PNG\r\n\x1a\n\0\0\0")),
    Mistake("traces with unknown fields", IMPORT + "--traces {tmp}/traces.jsonl", ("traces.jsonl",), files(traces__jsonl=lines({"score": 1.0, "name": "x"}))),
    Mistake("unknown format of traces", IMPORT + "--traces {tmp}/traces.jsonl --traces.format inspect9", ("traces.format", "inspect9"), files(traces__jsonl=lines(ROW))),
    Mistake("published numbers that are not there", IMPORT + "--traces {tmp}/traces.jsonl --report.published {tmp}/mine.toml", ("mine.toml",), files(traces__jsonl=lines(ROW))),
    Mistake("published numbers of another form", IMPORT + "--traces {tmp}/traces.jsonl --report.published {tmp}/mine.toml", ("mine.toml",), files(traces__jsonl=lines(ROW), mine__toml="[[score]]\nmodel = 3\n")),
    Mistake("report of nothing", "--stage report --run-dir {run}", ("nothing to report",)),
    Mistake("report of an empty folder", "--stage report --run-dir {tmp}/empty", ("nothing to report",), lambda tmp, model: (tmp / "empty").mkdir()),
]  # fmt: skip

TRAINING = [
    Mistake("no data to train on", TRAIN + "--stage sft", ("sft.data",), files(files__toml=FILES)),
    Mistake("training data that is not there", TRAIN + "--stage sft --sft.data {tmp}/none.jsonl", ("none.jsonl",), files(files__toml=FILES)),
    Mistake("training data as CSV", TRAIN + "--stage sft --sft.data {tmp}/rows.csv", ("rows.csv", "jsonl"), files(files__toml=FILES, rows__csv="a,b\n")),
    Mistake("training data with a broken line", TRAIN + "--stage sft --sft.data {tmp}/rows.jsonl", ("rows.jsonl", "row 3"), files(files__toml=FILES, rows__jsonl=lines(PAIR, PAIR, PAIR[:20], PAIR))),
    Mistake("training data in UTF-16", TRAIN + "--stage sft --sft.data {tmp}/rows.jsonl", ("rows.jsonl", "row 1", "UTF-8"), files(files__toml=FILES, rows__jsonl=lines(PAIR).encode("utf-16"))),
    Mistake("training data in Latin-1", TRAIN + "--stage sft --sft.data {tmp}/rows.jsonl", ("rows.jsonl", "row 2", "UTF-8"), files(files__toml=FILES, rows__jsonl=(lines(PAIR) + '{"prompt": "é", "response": "b"}\n').encode("latin-1"))),
    Mistake("a row without a response", TRAIN + "--stage sft --sft.data {tmp}/rows.jsonl", ("row 2", "response"), files(files__toml=FILES, rows__jsonl=lines(PAIR, {"prompt": "x"}))),
    Mistake("text that is no Parquet", TRAIN + "--stage sft --sft.data {tmp}/rows.parquet", ("rows.parquet",), files(files__toml=FILES, rows__parquet="hello")),
    Mistake("data_source of other data", RL, ("row 2", "data_source='openai/gsm8k'", "math_longcot_math_verify", "docs/training.md"), files(files__toml=FILES, pairs__jsonl=lines(PAIR), rows__jsonl=lines(ROW, ROW | {"data_source": "openai/gsm8k"}))),
    Mistake("RL row without an answer", RL, ("row 1", "reward_model"), files(files__toml=FILES, pairs__jsonl=lines(PAIR), rows__jsonl=lines({"data_source": "math_longcot_math_verify", "prompt": ROW["prompt"]}))),
    Mistake("RL before SFT", "--stage rl-math --run-dir {run}", ("needs stage sft",)),
    Mistake("RL with vLLM without vLLM", "--stage data,sft,rl-math --rl_math.engine vllm --run-dir {run}", ("vLLM is not installed",)),
    Mistake("group larger than the batch", "--rl_math.mini_batch_prompts 99 --run-dir {run}", ("mini_batch_prompts=99",)),
]  # fmt: skip

MISTAKES = [*ARGUMENTS, *EVALUATION, *IMPORTS, *TRAINING]


def test_there_are_at_least_seventy_of_different_names() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 70


def one_line(outcome: Outcome, said: tuple[str, ...], program: str = "klear-repro") -> None:
    """Nothing but one line, which says what is wrong."""
    last_line(outcome, said, program)
    assert len(outcome.lines) == 1, outcome.err


def last_line(outcome: Outcome, said: tuple[str, ...], program: str = "klear-repro") -> None:
    """What went wrong while something was being done is the last line, and the only one about it."""
    assert outcome.code in (1, 2), outcome
    assert "Traceback" not in outcome.err
    own = [line for line in outcome.lines if line.startswith(f"{program}: ")]
    assert own == outcome.lines[-1:], outcome.err
    for words in said:
        assert words in own[0], outcome.err


def told(mistake: Mistake, folder: Path, model: Path, data: Path) -> list[str]:
    """Lay out what the mistake needs, and give its words."""
    if mistake.prepare:
        mistake.prepare(folder, model)
    places = {"tmp": folder, "run": folder / "run" / "one", "model": model, "data": data}
    return shlex.split(mistake.words.format(**places))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "-"))
def test_a_mistake_is_one_line_and_leaves_nothing(mistake: Mistake, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    words = told(mistake, tmp_path, finished / "checkpoints" / "sft" / "step-36", finished / "data")
    before = snapshot(tmp_path)
    one_line(inside(*words), mistake.said)
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", ["--benchmark aime2024", "--protocol klear-64k", "--engine openai", "--attribute smoke-math,klear", "--samples -1"])
def test_a_wrong_name_is_told_before_anything_heavy_is_imported(words: str, tmp_path: Path) -> None:
    program = (
        "import sys; from klear_repro.run import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'pandas', 'datasets'} & set(sys.modules); sys.exit(f'imported {heavy}' if heavy else code)"
    )
    given = ["--stage", "eval", "--run-dir", str(tmp_path / "run"), *words.split()]
    done = subprocess.run([sys.executable, "-c", program, *given], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
