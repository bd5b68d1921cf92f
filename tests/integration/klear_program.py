"""A miniature of the smoke profile, the program as a user starts it, and what to compare of the run folders it leaves."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import read_generations, read_grades

ROOT = Path(__file__).resolve().parents[2]

PROFILE = """
preset = "release"
stand_in = true

[runtime]
threads = 1
workers = 1

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
sft_math_problems = 60
sft_code_problems = 4
sft_code_answers = 2
rl_math_problems = 16
rl_code_problems = 8
heldout_math = 4
heldout_code = 4
steps = 1
tests = 3

[sft]
steps = 36
batch_size = 8
save_every = 6
warmup_steps = 2

[rl_math]
steps = 2
prompts_per_step = 4
train_prompts = 4
mini_batch_prompts = 2
samples_per_prompt = 4
max_new_tokens = 40
filter_by = "reward"
eval_every = 1
eval_problems = 2
controls = ["clip"]

[rl_code]
steps = 2
prompts_per_step = 4
train_prompts = 4
mini_batch_prompts = 2
samples_per_prompt = 4
max_new_tokens = 40
filter_by = "reward"

[eval]
samples = 2
max_new_tokens = 40
"""


@dataclass(frozen=True)
class Outcome:
    """How the program ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


def environment(**more: str) -> dict[str, str]:
    """No Hub, no leftovers of the caller's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    return kept | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)} | more


def start(*words: str | Path, before: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
    """The program in a session of its own, as in a terminal window."""
    options.setdefault("env", environment())
    options.setdefault("cwd", ROOT)
    command = [*before, sys.executable, "-m", "klear_repro.run", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


def finish(process: subprocess.Popen[str], timeout: float = 240) -> Outcome:
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Outcome(process.returncode, out, err)


def klear(*words: str | Path, **options: Any) -> Outcome:
    """Run the program to its end."""
    return finish(start(*words, **options))


def inside(*words: str | Path) -> Outcome:
    """Run the program in this process: quicker where the start does not matter; an uncaught error fails the test."""
    from klear_repro.run import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as leave:
            code = int(leave.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], what: str, seconds: float = 120) -> None:
    """Wait until `condition`, while `process` lives."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"the program ended ({process.returncode}) before {what}: {finish(process).err}")
        if time.monotonic() > end:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"no {what} after {seconds} s")
        time.sleep(0.02)


def rows(path: Path) -> list[dict[str, Any]]:
    """JSON lines of a file, whole ones only; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Name → (time of change, hash) of every file but the lock."""
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith(("seconds", "tokens_per_second", "peak_memory"))}


def contents(folder: Path) -> dict[str, Any]:
    """Everything of a run that must not depend on when it was stopped: data, weights, metrics, samples, grades."""
    found: dict[str, Any] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(file.relative_to(folder))
        top = name.split("/")[0]
        if name.endswith(".torn"):
            continue
        if top in ("data", "checkpoints"):
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif top in ("metrics", "evaluations", "rollouts"):
            found[name] = [without_times(row) for row in rows(file)]
        elif "/settings/" in name:
            found[name] = json.loads(file.read_text())
        elif name == "grades/programs.jsonl":
            found[name] = sorted(str(row) for row in rows(file))
        elif top == "generations":
            stored, left_out = read_generations(file)
            assert not left_out, left_out
            found[name] = {row.key: without_times(row.model_dump()) for row in stored}
        elif top == "grades":
            found[name] = sorted(str(without_times(grade.model_dump())) for grade in read_grades(file))
        elif top != "report":
            found[name] = None
    return found


def last_weights(run: Path, label: str) -> dict[str, Any]:
    """Tensors of the newest checkpoint of a stage."""
    from safetensors.torch import load_file

    steps = sorted((run / "checkpoints" / label).glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    return load_file(steps[-1] / "model.safetensors")


def processes_below(parent: int) -> list[int]:
    """Process ids below a process, the furthest first."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:  # it has ended
            continue
        if int(text.rpartition(")")[2].split()[1]) == parent:
            found.append(int(status.parent.name))
    return [below for child in found for below in processes_below(child)] + found
