"""Whole training stages: damaged checkpoints, data from files, LoRA, bfloat16, trackers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from klear_program import PROFILE, environment, klear, last_weights, rows


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "mini.toml"
    path.write_text(PROFILE)
    return path


@pytest.fixture(scope="module")
def trained(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SFT and math RL, undisturbed; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    outcome = klear("--profile", profile, "--stage", "sft,rl-math", "--run-dir", folder)
    assert outcome.code == 0, outcome.err
    return folder


def flip_a_byte(path: Path) -> None:
    """In the middle of a tensor: the file still loads."""
    data = bytearray(path.read_bytes())
    data[-5] ^= 0xFF
    path.write_bytes(data)


def test_a_damaged_last_checkpoint_is_set_aside_for_the_one_before(trained: Path, profile: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    flip_a_byte(run / "checkpoints" / "sft" / "step-36" / "model.safetensors")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["stages"]["sft"]["status"] = "running"
    (run / "manifest.json").write_text(json.dumps(manifest))
    outcome = klear("--profile", profile, "--stage", "sft", "--run-dir", run)
    assert outcome.code == 0, outcome.err
    assert "step-36 is damaged (model.safetensors is not what was written)" in outcome.err
    assert (run / "checkpoints" / "sft" / "damaged-step-36").is_dir()
    assert all(torch.equal(last_weights(run, "sft")[name], tensor) for name, tensor in last_weights(trained, "sft").items())


def test_a_stage_does_not_start_from_what_comes_before_a_damaged_end(trained: Path, profile: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    words = ["--profile", profile, "--run-dir", run]
    flip_a_byte(run / "checkpoints" / "sft" / "step-36" / "model.safetensors")
    refused = klear(*words, "--stage", "rl-math", "--force")
    assert refused.code == 1, refused.err
    assert "the last checkpoint of sft is damaged, and step-30 is not its end; --stage sft completes it" in refused.lines[-1]
    again = klear(*words, "--stage", "sft,rl-math")
    assert again.code == 0, again.err
    for label in ("sft", "rl-math"):
        assert all(torch.equal(last_weights(run, label)[name], tensor) for name, tensor in last_weights(trained, label).items())


def test_a_stage_with_damaged_checkpoints_only_says_so(trained: Path, profile: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    for file in (run / "checkpoints" / "sft").glob("step-*/state.json"):
        file.write_text("{")
    for _ in range(2):  # asked again, it does not begin anew either
        outcome = klear("--profile", profile, "--stage", "rl-math", "--force", "--run-dir", run)
        assert outcome.code == 1, outcome.err
        assert "every checkpoint is damaged" in outcome.lines[-1]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_sft_learns_from_a_local_file_for_a_number_of_epochs(profile: Path, tmp_path: Path, kind: str) -> None:
    told = [{"messages": [{"role": "user", "content": f"{n} + 1"}, {"role": "assistant", "content": str(n + 1)}]} for n in range(20)]
    told.append({"messages": [{"role": "user", "content": "long"}, {"role": "assistant", "content": "x " * 4000}]})
    path = tmp_path / f"told.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in told))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(told), path)
    words = ["--sft.data", path, "--sft.epochs", 2, "--sft.save_every", 1, "--runtime.keep_checkpoints", 3]
    folder = tmp_path / "run" / "checkpoints" / "sft"
    (folder / "step-1-merged").mkdir(parents=True)  # a user's own
    (folder / "step-2.tar").touch()
    outcome = klear("--profile", profile, "--stage", "sft", *words, "--run-dir", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in folder.iterdir()} == {"step-1-merged", "step-2.tar", "step-3", "step-4", "step-5"}
    assert "1 of 21 samples are longer than 320 tokens and left out" in outcome.err
    written = rows(tmp_path / "run" / "metrics" / "sft.jsonl")
    assert len(written) == 5  # 2 × 20 samples, 8 a step
    assert written[-1]["epoch"] == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [('{"question": "1"}\n', "must have messages that end with the assistant's"), ("", "no rows there"), ("{", "cannot be read")],
)
def test_data_that_cannot_be_learnt_from_is_one_line(profile: Path, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "bad.jsonl").write_text(content)
    outcome = klear("--profile", profile, "--stage", "sft", "--sft.data", tmp_path / "bad.jsonl", "--run-dir", tmp_path / "run")
    assert outcome.code == 2, outcome.err
    assert "sft.data=" in outcome.lines[-1]
    assert says in outcome.lines[-1]


def test_a_model_whose_answers_are_all_wrong_stops_with_the_reason(profile: Path, tmp_path: Path) -> None:
    words = ["--profile", profile, "--stage", "sft,rl-math", "--sft.steps", 1, "--rl_math.steps", 50, "--rl_math.patience", 2,
             "--rl_math.max_new_tokens", 8, "--run-dir", tmp_path / "run"]  # fmt: skip
    outcome = klear(*words)
    assert outcome.code == 1, outcome.err
    assert "every group was flat" in outcome.lines[-1]
    assert "no </think>" in outcome.lines[-1]
    written = rows(tmp_path / "run" / "metrics" / "rl-math.jsonl")
    assert len(written) < 50
    assert [row["groups_kept"] for row in written[-2:]] == [0, 0]
    kept = rows(tmp_path / "run" / "rollouts" / "rl-math.jsonl")
    assert {row["step"] for row in kept} == {row["step"] for row in written}
    again = klear(*words)
    assert (again.code, again.lines[-1]) == (1, outcome.lines[-1])
    assert rows(tmp_path / "run" / "metrics" / "rl-math.jsonl") == written  # no further step


def test_lora_and_bfloat16_train_resume_and_leave_plain_checkpoints(profile: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    words = ["--profile", profile, "--stage", "sft,rl-math", "--model.lora_rank", 4]
    words += ["--runtime.dtype", "bfloat16", "--runtime.gradient_checkpointing", "true"]
    whole = klear(*words, "--run-dir", tmp_path / "whole")
    assert whole.code == 0, whole.err
    model, info = AutoModelForCausalLM.from_pretrained(tmp_path / "whole" / "checkpoints" / "rl-math" / "step-2", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.dtype == torch.bfloat16
    run = Path(shutil.copytree(tmp_path / "whole", tmp_path / "again"))
    shutil.rmtree(run / "checkpoints" / "rl-math" / "step-2")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["stages"]["rl-math"]["status"] = "running"
    (run / "manifest.json").write_text(json.dumps(manifest))
    again = klear(*words, "--run-dir", run)
    assert again.code == 0, again.err
    for label in ("sft", "rl-math"):
        assert all(torch.equal(last_weights(run, label)[name], tensor) for name, tensor in last_weights(tmp_path / "whole", label).items())


def test_evaluations_while_training_and_trackers_are_written(profile: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = klear(
        "--profile", profile, "--stage", "sft,rl-math", "--rl_math.eval_every", 1, "--runtime.trackers", "tensorboard,wandb",
        "--run-dir", run, env=environment(WANDB_MODE="offline", WANDB_SILENT="true"),
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert [row["step"] for row in rows(run / "evaluations" / "rl-math.jsonl")] == [0, 1, 2]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = next((run / "trackers" / "tensorboard").glob("*rl-math"))
    events = EventAccumulator(str(folder)).Reload()
    assert [one.step for one in events.Scalars("reward_mean")] == [1, 2]
    assert list((run / "trackers" / "wandb").glob("offline-run-*"))
