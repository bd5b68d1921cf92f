"""Whole updates in float64: each preset against the definition written once more; the same gradient however the work is cut."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import golden
import pytest
import torch
from safetensors.torch import load_file

from klear_repro.training.packing import Policy
from klear_repro.training.rl import mini_batch_gradients
from klear_repro.training.step_metrics import StepMetrics

ROOT = Path(__file__).resolve().parents[2]


def ours(preset: str, **more: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradient of the trainer."""
    config = golden.settings(preset, **more)
    model = golden.small_model()
    samples = golden.mini_batch(config, model)
    policy, log = Policy(model), StepMetrics()
    with policy.updating():
        mini_batch_gradients(policy, samples, config, log)
    return log.losses[0] + config.alpha * log.losses[1], golden.gradients(model)


def theirs(preset: str) -> tuple[float, dict[str, torch.Tensor]]:
    model = golden.small_model()
    loss = golden.reference_loss(model, preset)
    loss.backward()
    return float(loss.detach()), golden.gradients(model)


def agree(mine: dict[str, torch.Tensor], others: dict[str, torch.Tensor], tolerance: float = 1e-10) -> None:
    assert set(mine) == set(others)
    for name, gradient in mine.items():
        torch.testing.assert_close(gradient, others[name], rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")
    assert max(float(gradient.abs().max()) for gradient in mine.values()) > 1e-3


@pytest.mark.parametrize("most_tokens", [1, 30, 70, 100000])
@pytest.mark.parametrize("preset", ["paper", "release"])
def test_an_update_of_each_preset_is_the_definition_written_once_more(preset: str, most_tokens: int) -> None:
    loss, gradient = ours(preset, micro_batch_tokens=most_tokens)
    expected, reference = theirs(preset)
    assert loss == pytest.approx(expected, abs=1e-12)
    agree(gradient, reference)


def test_the_presets_do_not_train_on_the_same_thing() -> None:
    """Other groups, deviations, aggregation and dual clip: a reference that ignores the preset would be found out."""
    paper, release = (golden.settings(preset) for preset in ("paper", "release"))
    assert len(golden.mini_batch(paper, golden.small_model())) == 16
    assert len(golden.mini_batch(release, golden.small_model())) == 12
    assert ours("paper")[0] != pytest.approx(ours("release")[0], abs=1e-3)


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "klear_microbatch"])
@pytest.mark.parametrize("loss", ["gppo", "ce_gppo", "clip", "cispo", "gspo"])
def test_any_cut_into_micro_batches_gives_the_same_gradient(loss: str, aggregation: str) -> None:
    options = {"loss": loss, "aggregation": aggregation, "beta_low": 0.75, "rollout_cap": 2.0}
    whole, *others = (ours("paper", micro_batch_tokens=tokens, **options) for tokens in (100000, 70, 40, 25, 1))
    for other in others:
        assert other[0] == pytest.approx(whole[0], abs=1e-12)
        agree(other[1], whole[1])


def test_two_processes_have_the_gradient_of_one(tmp_path: Path) -> None:
    """FSDP2 over gloo."""
    out = tmp_path / "gradient.safetensors"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(Path(golden.__file__)), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    agree(load_file(out), ours("paper", micro_batch_tokens=30)[1])
