"""How long it takes from the command to the paragraph that says what will happen, without weights to download."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig

pytestmark = pytest.mark.perf


def test_the_paragraph_comes_within_15_seconds(shared: Path, tmp_path: Path, report: Callable[..., None], root: Path) -> None:
    """`aime24` with 64 samples a problem, a small checkpoint, engine hf; the median of three starts."""
    tokenizer = train_tokenizer([(shared / "data" / "aime24.qs.jsonl").read_text()], 400)
    config = ModelConfig(hidden_size=64, layers=2, heads=2, kv_heads=1, head_dim=32, vocab_size=400, max_position=40960)
    tokenizer.save_pretrained(tmp_path / "tiny")
    new_model(config, tokenizer, 0).save_pretrained(tmp_path / "tiny")
    words = ["--stage", "eval", "--profile", "klear-8b-eval", "--engine", "hf", "--protocol", "klear-paper-32k", "--benchmark", "aime24",
             "--benchmark-path", str(shared / "data"), "--model", str(tmp_path / "tiny")]  # fmt: skip
    taken = []
    for place in range(3):
        start = time.monotonic()
        command = [sys.executable, "-m", "klear_repro.run", *words, "--run-dir", str(tmp_path / f"run{place}")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root) as process:
            assert process.stderr is not None
            assert any(line.startswith("what will happen: 1,920 samples") for line in process.stderr)
            taken.append(time.monotonic() - start)
            process.kill()
    report("time to the forecast", sorted(taken)[1], "s", 15, "the issue's limit", less=True)
