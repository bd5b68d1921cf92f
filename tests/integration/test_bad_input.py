"""Bad input: one line that says what is wrong, the right exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from klear_program import Outcome, environment, inside, klear, snapshot


def refused(outcome: Outcome, *words: str, code: int = 2) -> None:
    """One line of the program's own on standard error, which contains `words`; no traceback."""
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err
    assert len(outcome.lines) == 1, outcome.err
    assert outcome.lines[0].startswith("klear-repro: ")
    for word in words:
        assert word in outcome.err, outcome.err


# --- arguments and configuration ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--profile", "smok"], ("profile", "smok", "smoke", "smollm2-cpu")),
        (["--profile", "none/here.toml"], ("profile", "none/here.toml")),
        (["--stage", "train"], ("--stage", "train", "rl-math", "report")),
        (["--stage", "plan"], ("--stage", "plan")),
        (["--stage", ","], ("--stage", "rl-math")),
        (["--sft.stepz", "3"], ("sft.stepz", "sft.steps")),
        (["--stf.steps", "3"], ("stf.steps", "sft.steps")),
        (["--nonsense"], ("--nonsense",)),
        (["stray"], ("stray",)),
        (["--samples", "-1"], ("eval.samples", "-1", "greater than or equal to 0")),
        (["--samples", "many"], ("eval.samples", "many", "integer")),
        (["--limit", "2.5"], ("eval.limit", "2.5", "integer")),
        (["--rl_math.loss", "ppo"], ("rl_math.loss", "ppo", "gppo", "cispo")),
        (["--rl-math.eps-low", "1"], ("rl_math.eps_low", "less than 1")),
        (["--sft.lr", "nan"], ("sft.lr", "nan")),
        (["--rl_math.mini_batch_prompts", "99"], ("mini_batch_prompts=99", "train_prompts")),
        (["--rl_math.dual_clip_c", "0.5"], ("dual_clip_c", "above 1")),
        (["--model.kv_heads", "3"], ("kv_heads=3", "heads=4")),
        (["--engine", "llama"], ("eval.engine", "llama", "hf", "vllm")),
        (["--resume", "--force"], ("--force", "--resume")),
        (["--report.published", "none.toml"], ("report.published", "none.toml", "cannot be read")),
        (["--profile", "klear-8b-eval", "--stage", "sft"], ("data.source", "eval, import, report")),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(words: list[str], said: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    refused(inside(*words, "--run-dir", folder), *said)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sft]\nstepz = 3\n", ("sft.stepz", "unknown key", "sft.steps")),
        ("[sfd]\nsteps = 3\n", ("sfd", "unknown key")),
        ("[sft]\nsteps = -3\n", ("sft.steps", "-3", "greater than or equal to 0")),
        ('[sft]\nsteps = "three"\n', ("sft.steps", "three", "integer")),
        ("[sft\nsteps = 3\n", ("not TOML", "bad.toml")),
        ("rl_math = 3\n", ("rl_math", "3")),
        ('preset = "paper"\nrl_math = 3\n', ("rl_math", "3")),
        ('preset = ["paper"]\n', ("preset", "paper")),
        ('preset = "papers"\n', ("preset", "papers", "release")),
    ],
)
def test_a_wrong_profile_is_refused_in_one_line(text: str, said: tuple[str, ...], tmp_path: Path) -> None:
    profile = tmp_path / "bad.toml"
    profile.write_text(text)
    refused(inside("--profile", profile, "--run-dir", tmp_path / "run"), *said)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.rl_math_problems", "0", "--stage", "data,sft,rl-math"], ("rl_math",)),
        (["--data.sft_math_problems", "0", "--data.sft_code_problems", "0", "--stage", "data,sft"], ("sft",)),
        (["--rl_math.max_new_tokens", "100000", "--stage", "data,sft,rl-math"], ("max_new_tokens",)),
        (["--rl_math.steps", "0", "--sft.steps", "1", "--stage", "data,sft,rl-math"], ()),
    ],
)
def test_an_impossible_combination_is_one_line(words: list[str], said: tuple[str, ...], profile: Path, tmp_path: Path) -> None:
    outcome = inside("--profile", profile, *words, "--run-dir", tmp_path / "run")
    assert outcome.code in ((1, 2) if said else (0, 1, 2)), outcome.err
    for word in said:
        assert word in outcome.lines[-1], outcome.err


# --- models and benchmarks ----------------------------------------------------------------------


def evaluated(folder: Path, *words: str | Path, **options: Any) -> Outcome:
    program = klear if options else inside
    return program("--profile", "klear-8b-eval", "--engine", "hf", "--stage", "eval,report", "--run-dir", folder, *words, **options)


def nothing_made(folder: Path) -> bool:
    """No sample, no grade, no report and no temporary file."""
    names = (
        [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file() and file.stat().st_size] if folder.exists() else []
    )
    return not [name for name in names if name.split("/")[0] in ("generations", "grades", "report") or ".tmp" in name]


@pytest.mark.parametrize("missing", ["weights", "config", "folder"])
def test_a_model_that_cannot_be_read_is_refused(missing: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    if missing != "folder":
        model.mkdir()
        (model / "pytorch_model.bin").write_bytes(b"pickled")
    if missing == "weights":
        (model / "config.json").write_text('{"model_type": "qwen3"}')
    said = {"weights": ("safetensors", "pytorch_model.bin"), "config": ("config.json",), "folder": ("no such folder",)}[missing]
    refused(evaluated(tmp_path / "run", "--model", model), "model", str(model), *said)
    assert nothing_made(tmp_path / "run")


def test_weights_that_are_no_safetensors_are_refused(finished: Path, tmp_path: Path) -> None:
    import shutil

    model = Path(shutil.copytree(finished / "checkpoints" / "sft" / "step-36", tmp_path / "model"))
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:1000])
    outcome = evaluated(
        tmp_path / "run", "--model", model, "--benchmark", "mini-aime", "--benchmark-path", finished / "data", "--protocol", "smoke-math"
    )
    assert outcome.code in (1, 2), outcome.err
    assert "Traceback" not in outcome.err
    assert "model" in outcome.lines[-1]
    assert nothing_made(tmp_path / "run")


def test_a_broken_benchmark_line_is_named_with_its_number(finished: Path, tmp_path: Path) -> None:
    lines = (finished / "data" / "mini-aime.jsonl").read_text().splitlines()
    lines[2] = lines[2][:40]
    broken = tmp_path / "mini-aime.jsonl"
    broken.write_text("\n".join(lines) + "\n")
    model = finished / "checkpoints" / "sft" / "step-36"
    outcome = evaluated(tmp_path / "run", "--model", model, "--benchmark", "mini-aime", "--benchmark-path", broken)
    refused(outcome, "mini-aime.jsonl", "line 3")
    assert nothing_made(tmp_path / "run")


def test_an_unknown_benchmark_or_protocol_is_refused(finished: Path, tmp_path: Path) -> None:
    model = finished / "checkpoints" / "sft" / "step-36"
    refused(evaluated(tmp_path / "run", "--model", model, "--benchmark", "aime99"), "aime99", "aime24")
    refused(evaluated(tmp_path / "run", "--model", model, "--protocol", "klear-9k"), "klear-9k", "klear-paper-32k")
    assert nothing_made(tmp_path / "run")


def test_a_budget_longer_than_the_model_is_refused(finished: Path, tmp_path: Path) -> None:
    model = finished / "checkpoints" / "sft" / "step-36"
    outcome = evaluated(
        tmp_path / "run", "--model", model, "--benchmark", "mini-aime", "--benchmark-path", finished / "data",
        "--protocol", "smoke-math", "--eval.max_new_tokens", "5000",
    )  # fmt: skip
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    assert "max_new_tokens=5000" in outcome.lines[-1]
    assert nothing_made(tmp_path / "run")


UNREACHABLE = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_ETAG_TIMEOUT": "2"}


@pytest.mark.parametrize("offline", [True, False])
def test_no_hub_and_no_local_model_says_what_to_pass(offline: bool, tmp_path: Path) -> None:
    more = {"HF_HOME": str(tmp_path / "hub")} | ({} if offline else UNREACHABLE)
    outcome = evaluated(tmp_path / "run", "--model", "nobody/nothing-8B", env=environment(**more))
    refused(outcome, "nobody/nothing-8B", "Hub", "--model")
    assert nothing_made(tmp_path / "run")


def test_no_hub_and_no_local_benchmark_says_what_to_pass(finished: Path, tmp_path: Path) -> None:
    model = finished / "checkpoints" / "sft" / "step-36"
    outcome = evaluated(tmp_path / "run", "--model", model, "--benchmark", "aime24", env=environment(HF_HOME=str(tmp_path / "hub")))
    refused(outcome, "aime24", "--benchmark-path")
    assert nothing_made(tmp_path / "run")


def test_a_refused_evaluation_leaves_the_configuration_of_a_finished_run(copy: Path, tmp_path: Path) -> None:
    before = snapshot(copy)
    refused(inside("--stage", "eval", "--model", tmp_path / "nothing", "--run-dir", copy), "no such folder")
    assert snapshot(copy)["config.toml"] == before["config.toml"]


# --- run folder ---------------------------------------------------------------------------------


def test_a_run_folder_that_is_a_file_is_one_line(profile: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/below"):
        outcome = inside("--profile", profile, "--stage", "data", "--run-dir", tmp_path / place)
        assert outcome.code in (1, 2)
        assert len(outcome.lines) == 1, outcome.err
        assert str(tmp_path / "file") in outcome.err
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unwritable_run_folder_is_one_line(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    before: list[str] = []
    if os.geteuid() == 0:  # root may write anywhere, unless it gives that up
        before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
        try:
            works = subprocess.run([*before, "test", "-w", str(closed)], check=False, capture_output=True).returncode == 1
        except FileNotFoundError:
            works = False
        if not works:
            pytest.skip("root cannot give up its right to write anywhere here: no working setpriv")
    outcome = klear("--profile", "smoke", "--stage", "data", "--run-dir", closed / "run", before=before)
    refused(outcome, str(closed), "denied", code=1)
    assert list(closed.iterdir()) == []


def test_a_manifest_that_is_not_json_is_refused(profile: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema": 1, "stag')
    refused(inside("--profile", profile, "--stage", "data", "--run-dir", tmp_path), "manifest.json")
    assert (tmp_path / "manifest.json").read_text() == '{"schema": 1, "stag'


@pytest.mark.parametrize("text", ["[]", "{}", json.dumps({"stages": []})])
def test_a_manifest_of_another_shape_is_no_traceback(profile: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    outcome = inside("--profile", profile, "--stage", "report", "--run-dir", tmp_path)
    assert "Traceback" not in outcome.err
    assert outcome.code in (0, 1, 2)
