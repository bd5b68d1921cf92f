"""Training by two processes (FSDP2 over gloo): the run of one, also when it is killed and goes on."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from klear_program import PROFILE, ROOT, klear, last_weights, processes_below, rows, wait_for

STAGES = ("sft", "rl-math")
WORDS = ("--stage", "sft,rl-math", "--rl_math.aggregation", "token_mean")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "mini.toml"
    path.write_text(PROFILE.replace('controls = ["clip"]', ""))
    return path


def start(*words: Any) -> subprocess.Popen[str]:
    """torchrun with two processes, in a session of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "klear_repro.run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*command, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err[-3000:]


@pytest.fixture(scope="module")
def one(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run by one process; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    outcome = klear("--profile", profile, *WORDS, "--run-dir", folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture(scope="module")
def two(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run by two processes; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    finish(start("--profile", profile, *WORDS, "--run-dir", folder))
    return folder


def furthest(run: Path, other: Path, label: str) -> float:
    """The largest distance of a weight matrix from its counterpart, relative to its own norm."""
    mine, theirs = last_weights(run, label), last_weights(other, label)
    assert set(mine) == set(theirs)
    return max(float((mine[name] - theirs[name]).norm() / theirs[name].norm()) for name in theirs)


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """What is comparable between one and two processes: no times, no differences that are rounding alone."""
    left_out = ("seconds", "tokens_per_second", "peak_memory", "logprob_gap", "kl_rollout", "approx_kl")
    return {name: value for name, value in row.items() if isinstance(value, (int, float)) and not name.startswith(left_out)}


def test_two_processes_train_the_model_of_one(one: Path, two: Path) -> None:
    for label in STAGES:
        assert furthest(two, one, label) < 1e-5, label
        for row, other in zip(rows(two / "metrics" / f"{label}.jsonl"), rows(one / "metrics" / f"{label}.jsonl"), strict=True):
            assert numbers(row) == pytest.approx(numbers(other), abs=1e-5, rel=1e-4)
    shards = sorted((two / "checkpoints" / "sft").glob("step-36/trainer/*.safetensors"))
    assert [shard.name for shard in shards] == ["optimizer-00001-of-00002.safetensors", "optimizer-00002-of-00002.safetensors"]


def test_the_shards_of_two_processes_can_be_read_as_any_other_file(two: Path) -> None:
    found = {file.stat().st_mode for file in (two / "checkpoints").rglob("*") if file.is_file()}
    assert found == {(two / "config.toml").stat().st_mode}


def test_one_process_goes_on_from_the_shards_of_two(one: Path, two: Path, profile: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(two, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints" / "sft" / "step-36")
    unfinished(run, "sft")
    alone = klear("--profile", profile, "--stage", "sft", *WORDS[2:], "--run-dir", run)
    assert alone.code == 0, alone.err
    assert furthest(run, one, "sft") < 1e-5


def test_bfloat16_goes_on_from_the_exact_weights_whoever_wrote_them(profile: Path, tmp_path: Path) -> None:
    """One process after two and two after one: the loss goes on where it was, and no master weight is rounded."""
    words = ["--profile", profile, "--stage", "sft", "--runtime.dtype", "bfloat16", "--run-dir"]
    assert klear(*words, tmp_path / "one").code == 0
    finish(start(*words, tmp_path / "two"))
    for written, go_on in (("one", lambda *words: finish(start(*words))), ("two", klear)):
        whole = rows(tmp_path / written / "metrics" / "sft.jsonl")
        run = Path(shutil.copytree(tmp_path / written, tmp_path / f"after-{written}"))
        shutil.rmtree(run / "checkpoints" / "sft" / "step-36")
        unfinished(run, "sft")
        go_on(*words, run)
        again = rows(run / "metrics" / "sft.jsonl")
        assert [row["loss"] for row in again[:30]] == [row["loss"] for row in whole[:30]]
        assert [row["loss"] for row in again[30:]] == pytest.approx([row["loss"] for row in whole[30:]], abs=0.02)
        assert again[-1]["loss"] < whole[0]["loss"] / 2
        assert furthest(run, tmp_path / written, "sft") < 0.01


def unfinished(run: Path, stage: str) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["stages"][stage]["status"] = "running"
    (run / "manifest.json").write_text(json.dumps(manifest))


def test_an_argument_that_cannot_be_ends_all_processes_with_one_line(profile: Path, tmp_path: Path) -> None:
    process = start("--profile", profile, "--stage", "rl-math", "--run-dir", tmp_path / "empty")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1  # torchrun's own
    assert "--stage=rl-math: needs stage sft, which this run folder does not have" in err
    assert "Traceback (most recent call last)" not in err.split("--stage=rl-math")[0]


def kill_often(words: list[Any], kills: int, run: Path, work: float) -> int:
    """Run, kill at a random moment, run again … to the end; returns the kills that hit a run.

    Every third moment lies within eight seconds of the start; the others are by progress, so that they lie all over the run on a slow
    machine and on a fast one.  Every second time one of the two processes alone is killed, and the other must not hang.

    Args:
        work: seconds that the steps of an uninterrupted run took.
    """
    hit = 0
    for index in range(kills):
        done = stepping(run)
        target = done + random.uniform(0, 2 * (work - done) / (kills - index + 2))
        process, end = start(*words, "--run-dir", run), time.monotonic() + (math.inf if index % 3 else random.uniform(0, 8))
        while process.poll() is None and time.monotonic() < end and stepping(run) <= target:
            time.sleep(0.1)
        if process.poll() is None:
            hit += 1
            workers = [pid for pid in processes_below(process.pid) if b"klear_repro.run" in cmdline(pid)]
            if index % 2 and workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(random.choice(workers), signal.SIGKILL)
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
    finish(start(*words, "--run-dir", run))
    return hit


def stepping(run: Path) -> float:
    """Seconds of all steps that a run has taken."""
    return sum(row["seconds"] for label in STAGES for row in rows(run / "metrics" / f"{label}.jsonl"))


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def assert_same(run: Path, reference: Path) -> None:
    """Weights and metrics of both stages to 1e-6."""
    for label in STAGES:
        mine, theirs = last_weights(run, label), last_weights(reference, label)
        for name, tensor in theirs.items():
            torch.testing.assert_close(mine[name], tensor, rtol=0, atol=1e-6)
        written = rows(run / "metrics" / f"{label}.jsonl")
        for row, other in zip(written, rows(reference / "metrics" / f"{label}.jsonl"), strict=True):
            assert numbers(row) == pytest.approx(numbers(other), abs=1e-6, rel=1e-6)


def test_processes_that_torchrun_left_before_they_began_end_by_themselves(profile: Path, tmp_path: Path) -> None:
    process = start("--profile", profile, *WORDS, "--run-dir", tmp_path / "run")
    # torchrun's own command line has both, and so has a child that it has forked and that is not a program of its own yet

    def both() -> bool:
        lines = map(cmdline, processes_below(process.pid))
        return sum(b"klear_repro.run" in line and b"torch.distributed.run" not in line for line in lines) >= 2

    wait_for(both, process, "its two processes")
    os.killpg(process.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=90)  # standard error has an end when nobody holds it any more
    assert err.count("torchrun does not answer") == 2 and "Traceback" not in err


@pytest.mark.slow
def test_two_processes_that_are_killed_three_times_train_the_same_model(two: Path, profile: Path, tmp_path: Path) -> None:
    assert kill_often(["--profile", profile, *WORDS], 3, tmp_path / "run", stepping(two))
    assert_same(tmp_path / "run", two)


@pytest.mark.proof
@pytest.mark.slow
def test_two_processes_that_are_killed_twenty_times_train_the_same_model(profile: Path, tmp_path: Path) -> None:
    """Budget: 15 minutes on two idle cores."""
    words = ["--profile", profile, *WORDS, "--data.sft_math_problems", 3000, "--sft.steps", 900, "--rl_math.steps", 40]
    finish(start(*words, "--run-dir", tmp_path / "two"))
    hit = kill_often(words, 20, tmp_path / "run", stepping(tmp_path / "two"))
    assert hit == 20, f"the run ended after {hit} kills"
    assert sum(row["updates"] for row in rows(tmp_path / "run" / "metrics" / "rl-math.jsonl"))
    assert_same(tmp_path / "run", tmp_path / "two")
