"""vLLM in worker processes: two checkpoints and an attribution in one run, with two workers, each engine in free memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Problem, read_generations

_SPEC = find_spec("vllm")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(_SPEC is None or _SPEC.origin is None, reason="vLLM is not installed (the tox environment vllm has it)"),
]

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = """
name = "{name}"
description = ""
max_new_tokens = 24
max_model_len = {length}
samples = 4
judges = ["strict"]
[sampling]
temperature = {temperature}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with two checkpoints, six problems and two protocols of different lengths beside it."""
    from klear_repro.data.tokenizer import train_tokenizer
    from klear_repro.models import new_model
    from klear_repro.sections import ModelConfig

    tokenizer = train_tokenizer(["Find 12 + 34. <think>\n\n</think>\n\n\\boxed{46} What is 7 times 8? " * 20], 320)
    config = ModelConfig(hidden_size=64, layers=1, heads=2, kv_heads=1, head_dim=32, intermediate_size=64, vocab_size=320,
                         max_position=512, initializer_range=0.3)  # fmt: skip
    for seed, label in enumerate(("sft", "rl-math")):
        folder = tmp_path / "run" / "checkpoints" / label / "step-1"
        new_model(config, tokenizer, seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "state.json").write_text("{}")
    problems = [Problem(benchmark="mini-aime", id=f"p{i}", kind="math", statement=f"Find {i} + 34.", answer=str(i % 4)) for i in range(6)]
    (tmp_path / "mini-aime.jsonl").write_text("".join(problem.model_dump_json() + "\n" for problem in problems))
    for name, length, temperature in (("from", 128, 1.0), ("to", 256, 0.8)):
        (tmp_path / f"{name}.toml").write_text(PROTOCOL.format(name=name, length=length, temperature=temperature))
    return tmp_path / "run"


class Watch(threading.Thread):
    """Looks at the processes below another one: which are at work with vLLM, and what memory they have, MiB."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.seen: list[tuple[frozenset[int], float]] = []
        """At each look, the workers and the resident memory of all processes below."""

    def run(self) -> None:
        while self.process.poll() is None:
            below = _below(self.process.pid)
            server = {pid for pid, parent in below.items() if parent == self.process.pid}
            workers = frozenset(pid for pid, parent in below.items() if parent in server)
            self.seen.append((workers, sum(map(_resident, below))))
            time.sleep(0.03)

    def engines(self) -> list[tuple[frozenset[int], float]]:
        """The workers of each engine after the other, and the most memory while it lived."""
        found: list[tuple[frozenset[int], float]] = []
        for workers, memory in self.seen:
            if workers and found and found[-1][0] & workers:
                found[-1] = (found[-1][0] | workers, max(memory, found[-1][1]))
            elif workers:
                found.append((workers, memory))
        return found

    def idle(self) -> list[float]:
        """The least memory between each two engines. What follows the last one is the end of the run, when all processes go."""
        gaps: list[float] = []
        gap: list[float] = []
        begun = False
        for workers, memory in self.seen:
            if not workers:
                gap.append(memory)
            elif gap:
                gaps += [min(gap)] * begun
                gap = []
            begun = begun or bool(workers)
        return gaps


def _below(parent: int) -> dict[int, int]:
    """Process → its parent, of all below one."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found: dict[int, int] = {}
    level = {parent}
    while level:
        level = {pid for pid, above in parents.items() if above in level}
        found |= {pid: parents[pid] for pid in level}
    return found


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def watched(*words: Any) -> tuple[str, Watch]:
    command = [sys.executable, "-m", "klear_repro.run", "--stage", "eval,report", "--engine", "vllm", "--benchmark", "mini-aime"]
    command += map(str, words)
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
    watch = Watch(process)
    watch.start()
    _, err = process.communicate(timeout=900)
    watch.join()
    assert process.returncode == 0, err[-3000:]
    return err, watch


def test_two_checkpoints_and_an_attribution_with_two_workers_give_their_memory_back_between_engines(run: Path) -> None:
    """An engine for each checkpoint, then one for each length of the attribution."""
    protocols = [str(run.parent / f"{name}.toml") for name in ("from", "to")]
    _, watch = watched(
        "--benchmark-path", run.parent, "--run-dir", run, "--eval.data_parallel", "2", "--runtime.threads", "1", "--eval.slots", "4",
        "--protocol", protocols[0], "--attribute", ",".join(protocols), "--eval.attribute_model", "sft",
    )  # fmt: skip
    found, idle = watch.engines(), watch.idle()
    before = min(memory for workers, memory in watch.seen[: next(place for place, seen in enumerate(watch.seen) if seen[0])])
    most, least = ([round(memory) for memory in listed] for listed in ((memory for _, memory in found), idle))
    print(f"\n{len(found)} engines with two workers each: {before:.0f} MiB below the run at first, at most {most}, between {least}")
    assert [len(workers) for workers, _ in found] == [2] * 4  # one engine's workers have ended before the next one's start
    assert idle and max(idle) < min(idle) + 20  # a gap may be too short to be looked at
    assert min(memory for _, memory in found) > max(idle) + 500
    for label, settings in (("sft", 4), ("rl-math", 1)):
        file = run / "generations" / "mini-aime" / f"{label}.jsonl"
        rows, left_out = read_generations(file)
        lines = [line for line in file.read_text().splitlines() if line.strip()]
        assert not left_out and len(rows) == len(lines) and len({row.sampling_hash for row in rows}) == settings
        assert len(rows) == 24 * settings
    manifest = json.loads((run / "manifest.json").read_text())
    assert [entry["model"] for entry in manifest["evaluations"]] == ["sft", "rl-math"]
    assert [entry["model"] for entry in manifest["attributions"]] == ["sft"]
    assert "Attribution" in (run / "report" / "report.md").read_text()
