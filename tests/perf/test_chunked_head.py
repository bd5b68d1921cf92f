"""The chunked head against all logits at once: T = 8,192, V = 151,936, hidden 1,024, float32; the plain way wants 16 GB of memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.perf

ROOT = Path(__file__).resolve().parents[2]
TOKENS = 8192


def measured(way: str, tokens: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).with_name("head_rivals.py")), way, str(tokens), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_the_chunked_head_wants_a_tenth_of_the_memory_and_no_more_time(report: Any, tmp_path: Path) -> None:
    rounds = []
    for _ in range(3):
        chunked, plain = measured("chunked", TOKENS, tmp_path), measured("plain", TOKENS, tmp_path)
        said = (f"{way} {one['seconds']:.1f} s {one['extra_mb']:.0f} MiB" for way, one in (("chunked", chunked), ("plain", plain)))
        print("\n  " + ", ".join(said))
        rounds.append((chunked, plain))
    for what, key, target in (("time", "seconds", 1.2), ("extra memory", "extra_mb", 0.1)):
        ratios = [chunked[key] / plain[key] for chunked, plain in rounds]
        against = f"all logits at once, spread {min(ratios):.3f}–{max(ratios):.3f}"
        report(f"chunked head, {what}", statistics.median(ratios), "times", target, against, less=True)
    mine, others = load_file(tmp_path / "chunked.safetensors"), load_file(tmp_path / "plain.safetensors")
    worst = max(float((mine[name] - others[name]).abs().max() / others[name].abs().max()) for name in mine)
    report("chunked head, largest gradient error", worst * 1e5, "× 1e-5 of its largest entry", 1.0, "all logits at once", less=True)
    assert rounds[-1][0]["entropy"] == pytest.approx(rounds[-1][1]["entropy"], rel=1e-5)


def test_the_memory_of_the_chunked_head_does_not_grow_with_the_sequence(report: Any, tmp_path: Path) -> None:
    """The gradient of the hidden states, which grows with any way, is left out."""
    extra = []
    for tokens in (1024, 8192):
        median = statistics.median(measured("chunked", tokens, tmp_path)["extra_mb"] for _ in range(2))
        extra.append(median - tokens * 1024 * 4 / 2**20)
    report("chunked head, extra memory at 8 times the tokens", extra[1] / extra[0], "times", 1.1, "itself at 1,024 tokens", less=True)
