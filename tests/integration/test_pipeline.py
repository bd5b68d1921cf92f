"""The whole program on a miniature profile: what a run leaves, skips, survives and refuses."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from klear_program import contents, finish, inside, klear, rows, snapshot, start, wait_for

from benchmarks import load_benchmark
from benchmarks.records import read_generations, read_grades

LABELS = ("sft", "rl-math", "rl-math-clip", "rl-code")
STAGES = ("data", "sft", "rl-math", "rl-code", "eval", "report")

SFT_METRICS = {"step", "loss", "lr", "grad_norm", "tokens", "seconds"}
RL_METRICS = {
    "step", "loss_policy", "loss_lm", "reward_mean", "accuracy", "groups", "groups_kept", "length_mean", "truncated",
    "clip_low", "clip_high", "ratio_min", "ratio_max", "entropy", "grad_norm", "lr", "updates", "skipped_updates",
    "verifier_failures", "tokens", "seconds", "seconds_generate", "seconds_reward", "seconds_train",
}  # fmt: skip


# --- a whole run --------------------------------------------------------------------------------


def test_a_run_leaves_the_documented_folder(finished: Path) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert manifest["stand_in"] is True
    assert manifest["name"] == finished.name
    assert manifest["preset"]["name"] == "release"
    assert {row["field"] if isinstance(row, dict) else row for row in manifest["preset"]["differences"]} >= {"reward", "std", "aggregation"}
    assert {name: record["status"] for name, record in manifest["stages"].items()} == dict.fromkeys(STAGES, "done")
    assert manifest["versions"]["torch"]
    assert manifest["hardware"]["threads"] == 1
    assert manifest["seeds"]["run"] == 0
    assert {"sft.parquet", "rl-math.parquet", "rl-code.parquet", "mini-aime.jsonl", "mini-lcb.jsonl"} <= set(manifest["data_hashes"])
    events = [(row["stage"], row["event"]) for row in rows(finished / "events.jsonl")]
    assert events == [(stage, event) for stage in STAGES for event in ("stage started", "stage done")]
    assert (finished / "data" / "funnel.json").is_file()
    assert (finished / "config.toml").is_file()


def test_a_run_leaves_no_temporary_file(finished: Path) -> None:
    assert [name for name in snapshot(finished) if name.endswith((".tmp", ".torn")) or ".tmp/" in name] == []


@pytest.mark.parametrize("label", LABELS)
def test_metrics_have_one_row_a_step_with_the_documented_fields(finished: Path, label: str) -> None:
    written = rows(finished / "metrics" / f"{label}.jsonl")
    steps = 36 if label == "sft" else 2
    assert [row["step"] for row in written] == list(range(1, steps + 1))
    for row in written:
        assert set(row) >= (SFT_METRICS if label == "sft" else RL_METRICS)


def test_the_miniature_gives_reinforcement_learning_something_to_do(finished: Path) -> None:
    """Else the comparisons of weights below would say little."""
    for label in ("rl-math", "rl-code"):
        assert sum(row["grad_norm"] or 0 for row in rows(finished / "metrics" / f"{label}.jsonl")) > 0


@pytest.mark.parametrize("label", LABELS)
def test_checkpoints_are_in_hub_format(finished: Path, label: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    steps = sorted(int(path.name.removeprefix("step-")) for path in (finished / "checkpoints" / label).iterdir())
    assert steps[-1] == (36 if label == "sft" else 2)
    folder = finished / "checkpoints" / label / f"step-{steps[-1]}"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "qwen3"
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)


def test_every_evaluation_of_the_manifest_has_its_samples_and_grades(finished: Path) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    done = {(entry["benchmark"], entry["model"]): entry for entry in manifest["evaluations"]}
    assert set(done) == {(name, label) for name in ("mini-aime", "mini-lcb") for label in ("sft", "rl-math", "rl-code")} | {
        ("mini-aime", "rl-math-clip")
    }
    for (benchmark, model), entry in done.items():
        problems = load_benchmark(benchmark, finished / "data")
        assert entry["problem_ids"] == [problem.id for problem in problems]
        assert entry["samples"] == entry["expected"] == 2 * len(problems) == 8
        stored, left_out = read_generations(finished / "generations" / benchmark / f"{model}.jsonl")
        assert not left_out
        assert {(row.problem_id, row.sample_index) for row in stored} == {(problem.id, index) for problem in problems for index in range(2)}
        assert len({row.seed for row in stored}) == 8
        grades = list(read_grades(finished / "grades" / benchmark / f"{model}.parquet"))
        graders = {grade.grader for grade in grades}
        assert graders == ({"strict", "klear"} if benchmark == "mini-aime" else {"native"})
        assert {(grade.key, grade.grader) for grade in grades} == {(row.key, grader) for row in stored for grader in graders}


def test_the_report_says_that_this_is_a_stand_in(finished: Path) -> None:
    markdown = (finished / "report" / "report.md").read_text()
    page = (finished / "report" / "index.html").read_text()
    assert "mini-aime" in markdown
    assert "mini-lcb" in markdown
    assert "stand-in" in markdown.lower()
    assert "stand-in" in page.lower()
    assert not re.search(r"""(src|href)=["']https?://""", page.replace('href="https://arxiv', ""))


def test_a_second_run_has_nothing_to_do_and_changes_no_file(finished: Path, profile: Path) -> None:
    before = snapshot(finished)
    outcome = klear("--profile", profile, "--run-dir", finished)
    assert outcome.code == 0, outcome.err
    assert [line for line in outcome.lines if "nothing to do" in line] == [f"{stage}: done already, nothing to do" for stage in STAGES]
    assert snapshot(finished) == before


def test_a_run_folder_remembers_its_own_configuration(finished: Path) -> None:
    before = snapshot(finished)
    outcome = inside("--stage", "data,sft", "--run-dir", finished)
    assert outcome.code == 0, outcome.err
    assert sum("nothing to do" in line for line in outcome.lines) == 2
    assert snapshot(finished) == before


# --- kills --------------------------------------------------------------------------------------


def kill_often(words: list[Any], folder: Path, kills: int, longest: float, wait_for_start: bool = True) -> list[float]:
    """Run, kill -9 the program alone at a random moment, run again … until it ends by itself; returns the delays."""
    delays: list[float] = []
    for _ in range(kills):
        before = (folder / "events.jsonl").stat().st_size if (folder / "events.jsonl").exists() else 0
        process = start(*words)
        began = time.monotonic()
        if wait_for_start:
            path = folder / "events.jsonl"

            def began_or_done(path: Path = path, before: int = before, process: Any = process) -> bool:
                return (path.exists() and path.stat().st_size > before) or process.poll() == 0

            wait_for(began_or_done, process, "the first stage")
        delay = random.uniform(0, longest)
        delays.append(round(time.monotonic() - began + delay, 3))
        time.sleep(delay)
        if process.poll() is not None:
            assert process.returncode == 0, finish(process).err
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:
            break
    outcome = klear(*words)
    assert outcome.code == 0, (delays, outcome.err)
    return delays


def assert_same_run(run: Path, reference: Path, delays: list[float]) -> None:
    mine, theirs = contents(run), contents(reference)
    assert set(mine) == set(theirs), delays
    different = [name for name in theirs if mine[name] != theirs[name]]
    assert not different, (delays, different)


def test_a_run_killed_four_times_is_the_run_that_was_never_killed(finished: Path, profile: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    spent = sum(record["seconds"] for record in json.loads((finished / "manifest.json").read_text())["stages"].values())
    delays = kill_often(["--profile", profile, "--run-dir", folder], folder, kills=4, longest=spent / 3)
    assert_same_run(folder, finished, delays)


@pytest.mark.proof
@pytest.mark.slow
def test_a_run_killed_twenty_times_is_the_run_that_was_never_killed(profile: Path, tmp_path: Path) -> None:
    """Budget: 10 minutes on two idle cores."""
    more = ["--sft.steps", 300, "--rl_math.steps", 8, "--rl_code.steps", 8, "--eval.samples", 8]
    reference, folder = tmp_path / "whole", tmp_path / "killed"
    whole = klear("--profile", profile, *more, "--run-dir", reference)
    assert whole.code == 0, whole.err
    spent = sum(record["seconds"] for record in json.loads((reference / "manifest.json").read_text())["stages"].values())
    delays = kill_often(["--profile", profile, *more, "--run-dir", folder], folder, kills=20, longest=spent / 12)
    assert len(delays) == 20, f"the run ended after {len(delays)} kills: {delays}"
    assert_same_run(folder, reference, delays)


def test_samples_that_were_stored_before_a_kill_are_kept(copy: Path, profile: Path) -> None:
    """A torn last line and three whole rows: those three stay as they are, the rest comes back the same."""
    file = copy / "generations" / "mini-aime" / "sft.jsonl"
    whole = file.read_bytes()
    lines = whole.split(b"\n")
    file.write_bytes(b"\n".join(lines[:3]) + b"\n" + lines[3][:25])
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["stages"]["eval"]["status"] = "running"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    outcome = inside("--profile", profile, "--stage", "eval", "--run-dir", copy)
    assert outcome.code == 0, outcome.err
    assert any("torn" in line for line in outcome.lines)
    assert file.read_bytes().split(b"\n")[:3] == lines[:3]
    stored = {row.key: row.text for row in read_generations(file)[0]}
    file.write_bytes(whole)
    assert stored == {row.key: row.text for row in read_generations(file)[0]}


# --- interrupts and locks -----------------------------------------------------------------------


def test_ctrl_c_keeps_what_is_finished_and_a_second_process_is_refused_meanwhile(profile: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["--profile", profile, "--stage", "data,sft", "--sft.steps", 5000, "--run-dir", folder]
    process = start(*words)
    wait_for(lambda: len(rows(folder / "metrics" / "sft.jsonl")) > 8, process, "eight steps")
    second = klear(*words)
    assert second.code == 2, second.err
    assert len(second.lines) == 1
    assert "another process" in second.err
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal does
    first = finish(process, timeout=60)
    assert first.code == 130, first.err
    assert "Traceback" not in first.err
    assert "interrupted" in first.lines[-1]
    assert sorted((folder / "checkpoints" / "sft").glob("step-*"))
    kept = rows(folder / "metrics" / "sft.jsonl")
    assert [row["step"] for row in kept] == list(range(1, len(kept) + 1))
    assert json.loads((folder / "manifest.json").read_text())["stages"]["sft"]["status"] == "running"


def test_ctrl_c_while_programs_run_leaves_no_traceback(copy: Path, profile: Path) -> None:
    shutil.rmtree(copy / "checkpoints" / "rl-code")
    (copy / "metrics" / "rl-code.jsonl").unlink()
    words = ["--profile", profile, "--stage", "rl-code", "--force", "--rl_code.steps", 5000, "--run-dir", copy]
    process = start(*words)
    wait_for(lambda: len(rows(copy / "metrics" / "rl-code.jsonl")) >= 1, process, "the first step")
    os.killpg(process.pid, signal.SIGINT)
    outcome = finish(process, timeout=60)
    assert outcome.code == 130, outcome.err
    assert "Traceback" not in outcome.err
    assert "interrupted" in outcome.lines[-1]


# --- changed settings ---------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 4])
def test_ctrl_c_says_once_what_is_kept_and_how_to_go_on_also_if_tox_repeats_it(profile: Path, tmp_path: Path, times: int) -> None:
    process = start("--profile", profile, "--stage", "data,sft", "--run-dir", tmp_path / "run")
    wait_for(lambda: len(rows(tmp_path / "run" / "metrics" / "sft.jsonl")) > 2, process, "three steps")
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    outcome = finish(process)
    own = [line for line in outcome.lines if line.startswith("klear-repro:")]
    assert outcome.code == 130 and "Traceback" not in outcome.err, outcome.err
    assert own == outcome.lines[-1:] and "kept" in own[0] and "same command" in own[0]


def test_changed_settings_are_refused_and_nothing_is_touched(copy: Path, profile: Path) -> None:
    before = snapshot(copy)
    outcome = inside("--profile", profile, "--sft.lr", "2e-3", "--run-dir", copy)
    assert outcome.code == 2
    assert len(outcome.lines) == 1
    assert "sft" in outcome.err
    assert "--force" in outcome.err
    assert snapshot(copy) == before


def test_force_does_the_named_stage_anew(copy: Path, profile: Path) -> None:
    old = rows(copy / "metrics" / "sft.jsonl")
    outcome = inside("--profile", profile, "--stage", "sft", "--force", "--sft.lr", "2e-3", "--sft.steps", 6, "--run-dir", copy)
    assert outcome.code == 0, outcome.err
    new = rows(copy / "metrics" / "sft.jsonl")
    assert len(new) == 6
    assert new[-1]["lr"] != old[5]["lr"]
    assert [path.name for path in (copy / "checkpoints" / "sft").iterdir()] == ["step-6"]
    assert "lr = 0.002" in (copy / "config.toml").read_text()
    later = inside("--profile", profile, "--stage", "rl-math", "--sft.lr", "2e-3", "--sft.steps", 6, "--run-dir", copy)
    assert later.code == 2
    assert "rl-math" in later.err


def test_a_stage_without_the_one_before_it_is_refused(profile: Path, tmp_path: Path) -> None:
    outcome = inside("--profile", profile, "--stage", "rl-math", "--run-dir", tmp_path / "run")
    assert outcome.code == 2
    assert len(outcome.lines) == 1
    assert "sft" in outcome.err


# --- full disk ----------------------------------------------------------------------------------


def half_written(folder: Path) -> list[str]:
    """What a failed write must not leave: temporary files, and checkpoints that lack a part."""
    left = [str(path) for path in folder.rglob("*") if ".tmp" in path.name]
    for path in folder.glob("checkpoints/*/step-*"):
        needed = ("model.safetensors", "trainer/optimizer.safetensors", "state.json")
        left += [f"{path}/{name}" for name in needed if not (path / name).is_file()]
    return left


@pytest.mark.parametrize("size", ["16k", "1m"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(small_disk: Callable[[str], Path], profile: Path, size: str) -> None:
    disk = small_disk(size)
    outcome = klear("--profile", profile, "--stage", "data,sft", "--run-dir", disk / "run")
    assert outcome.code == 1, outcome.err
    assert "Traceback" not in outcome.err
    assert "no space left" in outcome.lines[-1]
    assert [line for line in outcome.lines if line.startswith("klear-repro:")] == outcome.lines[-1:]
    assert half_written(disk / "run") == []


def test_a_run_goes_on_when_the_full_disk_has_room_again(small_disk: Callable[[str], Path], profile: Path, finished: Path) -> None:
    disk = small_disk("3m")
    words = ["--profile", profile, "--stage", "data,sft,rl-math", "--run-dir", disk / "run"]
    full = klear(*words)
    assert full.code == 1, full.err
    assert "no space left" in full.lines[-1]
    assert half_written(disk / "run") == []
    small_disk("200m")
    outcome = klear(*words)
    assert outcome.code == 0, outcome.err
    mine, theirs = contents(disk / "run"), contents(finished)
    assert {name for name in theirs if name.startswith(("data/", "checkpoints/sft", "checkpoints/rl-math", "metrics/rl-math"))} <= set(mine)
    assert [name for name in mine if mine[name] != theirs.get(name)] == []
