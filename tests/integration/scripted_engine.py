"""An engine whose samples take scripted times: real workers, store and leases without a model."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.protocols import Protocol
from benchmarks.records import SampleKey
from klear_repro.engines.base import Completion, Request, Sampling
from klear_repro.errors import RunError, UserError
from klear_repro.work import SampleSet


@dataclass
class Scripted:
    """Sleeps as long as `seconds` says of a problem, `slots` samples side by side; writes down when each sample ended, and where."""

    slots: int
    seconds: Mapping[str, float]
    log: Path
    name: str = "scripted"
    tokenizer: Any = None
    fails: Mapping[str, Exception] = field(default_factory=dict)
    """Problems that end with an error."""

    def generate(
        self, requests: Iterable[Request | None], sampling: Sampling, on_tokens: Callable[[int], None] | None = None
    ) -> Iterator[Completion]:
        running: list[tuple[float, Request]] = []
        pulled, ended = iter(requests), False
        while True:
            while not ended and len(running) < self.slots:
                try:
                    request = next(pulled)
                except StopIteration:
                    ended = True
                    break
                if request is None:
                    break
                running.append((time.monotonic() + self.seconds[request.tag.problem_id], request))  # type: ignore[attr-defined]
            if not running and ended:
                return
            running.sort(key=lambda one: one[0])
            if not running or running[0][0] > time.monotonic():
                time.sleep(0.01)
                continue
            key = running.pop(0)[1].tag
            assert isinstance(key, SampleKey)
            if key.problem_id in self.fails:
                raise self.fails[key.problem_id]
            with open(self.log / str(os.getpid()), "a") as log:
                log.write(f"{time.monotonic()} {key.problem_id} {key.sample_index}\n")
            tokens = tuple(range(round(1000 * self.seconds[key.problem_id]) + 1))
            yield Completion(key, tokens, (), f"{key.problem_id}/{key.sample_index}", "stop", self.seconds[key.problem_id])

    def encode_chat(self, messages: Any, **template: object) -> tuple[int, ...]:
        raise NotImplementedError

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        shown = ("RANK", "WORLD_SIZE", "SPOKEN", "CUDA_VISIBLE_DEVICES")
        return {"name": self.name, "variables": {name: value for name, value in os.environ.items() if name in shown}}


def sample_set(folder: Path, problems: int, samples: int, benchmark: str = "mini-aime", **sampling: Any) -> SampleSet:
    protocol = Protocol(name="p", description="", max_new_tokens=10_000, samples=samples, **sampling)
    listed = [
        SampleKey(model="m", revision="r", benchmark=benchmark, problem_id=f"p{problem}", sample_index=index, prompt_hash=f"h{problem}",
                  sampling_hash=protocol.sampling_hash(0))
        for index in range(samples) for problem in range(problems)
    ]  # fmt: skip
    return SampleSet(folder / "generations" / benchmark / "m.jsonl", protocol, 0, dict.fromkeys(listed, (1, 2, 3)))


def start_scripted(slots: int, seconds: Mapping[str, float], log: Path) -> Scripted:
    return Scripted(slots, seconds, log)


def start_failing(slots: int, seconds: Mapping[str, float], log: Path, fails: Mapping[str, Exception]) -> Scripted:
    return Scripted(slots, seconds, log, fails=fails)


def refuse() -> Scripted:
    raise UserError("eval.engine: no such thing")


def break_down() -> Scripted:
    raise RunError("it broke")


def speak(slots: int, seconds: Mapping[str, float], log: Path) -> Scripted:
    print("out", flush=True)
    os.write(2, b"half a line, ")
    os.write(2, b"and the rest\n")
    return Scripted(slots, seconds, log)


def start_hanging(slots: int, seconds: Mapping[str, float], log: Path, first: Path, loading: bool) -> Scripted:
    """Hangs in the process that makes the file `first`, in every one if it is a folder: while it starts, or over its samples."""
    hangs = first.is_dir()
    if not hangs:
        with contextlib.suppress(FileExistsError), open(first, "x") as file:
            file.write(str(os.getpid()))
            hangs = True
    if hangs and loading:
        threading.Event().wait()
    if hangs:  # a child, as engines have, outlives a process that is killed alone
        child = subprocess.Popen(["sleep", "1000"])
        (log.parent / "child").write_text(str(child.pid))
    return Scripted(slots, seconds if not hangs else dict.fromkeys(seconds, 1e6), log)
