"""The fault drill: what breaks under a run ends in a clear message or a continued run, never in a silent wrong number."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from klear_program import PROFILE, finish, inside, processes_below, rows, start, wait_for

from klear_repro.engines.hf import HFEngine
from klear_repro.training.packing import Policy


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "mini.toml"
    path.write_text(PROFILE.replace('controls = ["clip"]', ""))
    return path


@pytest.fixture
def run(profile: Path, tmp_path: Path) -> Iterator[list[Any]]:
    """Words of a run whose SFT is done."""
    words = ["--profile", profile, "--run-dir", tmp_path / "run"]
    outcome = inside(*words, "--stage", "sft")
    assert outcome.code == 0, outcome.err
    yield [*words, "--stage", "rl-math"]


def metrics(words: list[Any]) -> list[dict[str, Any]]:
    return rows(Path(words[3]) / "metrics" / "rl-math.jsonl")


def poisoned(monkeypatch: pytest.MonkeyPatch, calls: set[int]) -> list[int]:
    """NaN log-probabilities in the named calls of the policy that are differentiated."""
    original, seen = Policy.forward, [0]

    def forward(self: Policy, batch: Any, temperature: float = 1.0, with_entropy: bool = True) -> Any:
        logp, entropy = original(self, batch, temperature, with_entropy)
        if torch.is_grad_enabled():
            seen[0] += 1
        return (logp * torch.nan if seen[0] in calls and torch.is_grad_enabled() else logp), entropy

    monkeypatch.setattr(Policy, "forward", forward)
    return seen


def test_nan_in_one_batch_of_rl_skips_that_update_and_counts_it(run: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = poisoned(monkeypatch, {2})  # the second mini-batch: one micro-batch each
    outcome = inside(*run, "--rl_math.filter_by", "none")
    assert outcome.code == 0, outcome.err
    assert seen[0] >= 4
    assert [row["skipped_updates"] for row in metrics(run)] == [1, 0]
    assert [(row["updates"], row["on_policy_updates"]) for row in metrics(run)] == [(2, 1), (2, 1)]
    assert all(0 < row["on_policy_share"] < 1 for row in metrics(run))
    assert all(row["grad_norm"] is not None for row in metrics(run))


def test_nan_of_the_trainer_in_the_first_batch_of_a_step_skips_that_update_too_and_the_next_is_compared(
    run: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, {1})
    outcome = inside(*run, "--rl_math.filter_by", "none")
    assert outcome.code == 0, outcome.err
    assert [row["skipped_updates"] for row in metrics(run)] == [1, 0]
    assert all(0 <= row["logprob_gap_mean"] < 0.05 for row in metrics(run))
    assert [row["on_policy_updates"] for row in metrics(run)] == [2, 1]  # after a skipped update π_θ is still π_old


def test_a_step_with_one_update_says_that_nothing_could_be_clipped(run: list[Any]) -> None:
    outcome = inside(*run, "--rl_math.filter_by", "none", "--rl_math.mini_batch_prompts", 4)
    assert outcome.code == 0, outcome.err
    for row in metrics(run):
        assert (row["updates"], row["on_policy_updates"], row["on_policy_share"]) == (1, 1, 1.0)
        assert row["clip_fraction_low"] == row["clip_fraction_high"] == 0
        assert abs(row["ratio_max"] - 1) < 1e-3 and abs(row["ratio_min"] - 1) < 1e-3


def test_nan_of_the_trainer_that_stays_stops_the_run_and_is_not_called_a_mismatch(run: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, set(range(1, 99)))
    words = [*run, "--rl_math.filter_by", "none", "--rl_math.patience", 2]
    for _ in range(2):  # asked again, it makes no further step
        outcome = inside(*words)
        assert outcome.code == 1
        assert "rl-math: stopped after step 2: in each of the last 2 steps no update had a finite gradient" in outcome.lines[-1]
    assert [row["skipped_updates"] for row in metrics(run)] == [2, 2]
    assert all(row["logprob_gap"] is None for row in metrics(run))


def test_nan_of_the_engine_is_a_mismatch_that_stops(run: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    original = HFEngine._completion

    def completion(self: HFEngine, one: Any) -> Any:
        return dataclasses.replace(original(self, one), logprobs=(float("nan"),) * len(one.tokens))

    monkeypatch.setattr(HFEngine, "_completion", completion)
    outcome = inside(*run, "--rl_math.filter_by", "none")
    assert outcome.code == 1
    assert "differ by nan nats" in outcome.lines[-1]
    assert metrics(run) == []


def test_nan_in_one_batch_of_sft_skips_that_step_and_counts_it(profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, {9, 11, 12})
    outcome = inside("--profile", profile, "--run-dir", tmp_path / "run", "--stage", "sft")
    assert outcome.code == 0, outcome.err
    written = rows(tmp_path / "run" / "metrics" / "sft.jsonl")
    assert [row["step"] for row in written if row["skipped_updates"]] == [9, 11, 12]
    assert [row["step"] for row in written if row["loss"] is None] == [9, 11, 12]
    assert len(written) == 36


def test_nan_in_three_batches_of_sft_in_a_row_stops_it(profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, {9, 10, 11})
    outcome = inside("--profile", profile, "--run-dir", tmp_path / "run", "--stage", "sft")
    assert outcome.code == 1
    assert "sft: the gradients of 3 steps in a row, up to step 11, are not finite (loss nan)" in outcome.lines[-1]
    assert [path.name for path in (tmp_path / "run" / "checkpoints" / "sft").iterdir()] == ["step-6"]


def test_an_engine_that_raises_is_one_line_and_the_run_goes_on_afterwards(run: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = HFEngine._decode, [0]

    def decode(self: HFEngine, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 60:
            raise RuntimeError("out of memory\nlong story")
        return original(self, *args)

    monkeypatch.setattr(HFEngine, "_decode", decode)
    failed = inside(*run)
    assert failed.code == 1
    assert "the rollout engine failed: out of memory; the last checkpoint is kept" in failed.lines[-1]
    again = inside(*run)
    assert again.code == 0, again.err
    assert [row["step"] for row in metrics(run)] == [1, 2]


def test_a_reward_worker_that_is_killed_costs_no_wrong_score(run: list[Any], tmp_path: Path) -> None:
    words = [*run, "--rl_math.steps", 12]
    undisturbed = finish(start(*[tmp_path / "other" if word == run[3] else word for word in words], "--stage", "sft,rl-math"))
    assert undisturbed.code == 0, undisturbed.err
    process = start(*words)
    wait_for(lambda: len(metrics(run)) >= 2, process, "two steps")
    killed = 0
    for _ in range(2):
        for child in processes_below(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                killed += 1
        time.sleep(1.5)
    outcome = finish(process)
    assert killed
    assert outcome.code == 0, outcome.err
    mine, theirs = metrics(run), rows(tmp_path / "other" / "metrics" / "rl-math.jsonl")
    assert len(mine) == 12
    for row, other in zip(mine, theirs, strict=True):  # a lost score is counted; a score that was given is the right one
        if row["verifier_failures"]:
            break
        assert row["reward_mean"] == other["reward_mean"]
        assert row["details"] == other["details"]


def test_a_run_that_was_stopped_for_its_control_is_not_done_when_asked_again(tmp_path: Path) -> None:
    profile = tmp_path / "mini.toml"
    profile.write_text(PROFILE)
    words = ["--profile", profile, "--run-dir", tmp_path / "run", "--sft.steps", 1, "--rl_math.patience", 1, "--rl_math.max_new_tokens", 8]
    words += ["--rl_math.steps", 1]
    first = inside(*words, "--stage", "sft,rl-math")
    assert first.code == 1, first.err
    assert "rl-math: stopped after step 1: in each of the last 1 steps every group was flat" in first.lines[-1]
    left = metrics(words)
    again = inside(*words, "--stage", "sft,rl-math")
    assert (again.code, again.lines[-1]) == (1, first.lines[-1])
    assert metrics(words) == left
    for folder in ("checkpoints", "metrics"):  # as if the stage itself had learnt, and its control had not
        made = next((tmp_path / "run" / folder).glob("rl-math*"))
        made.rename(made.with_name(made.name.replace("rl-math", "rl-math-clip")))
    learnt = [{**row, "groups_kept": 1, "updates": 1, "groups_flat": 0} for row in left]
    (tmp_path / "run" / "metrics" / "rl-math.jsonl").write_text("".join(json.dumps(row) + "\n" for row in learnt))
    shutil.copytree(tmp_path / "run" / "checkpoints" / "rl-math-clip", tmp_path / "run" / "checkpoints" / "rl-math")
    control = inside(*words, "--stage", "sft,rl-math")
    assert control.code == 1, control.err
    assert "rl-math-clip: stopped after step 1: in each of the last 1 steps every group was flat" in control.lines[-1]
