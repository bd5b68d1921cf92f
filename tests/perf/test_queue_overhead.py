"""What the queue of leases costs: eight workers with an engine that is done at once, against eight that add a fixed part each."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.protocols import Protocol
from benchmarks.records import Generation, SampleKey
from klear_repro.engines.base import Completion
from klear_repro.leases import Leases
from klear_repro.store import SampleStore
from klear_repro.work import SampleSet, fill

pytestmark = pytest.mark.perf

WORKERS, PROBLEMS, SAMPLES, ROUNDS = 8, 30, 134, 3
TEXT = "x" * 20_000


def wanted(folder: Path) -> SampleSet:
    """4,020 samples."""
    protocol = Protocol(name="p", description="", max_new_tokens=100, samples=SAMPLES)
    keys = [
        SampleKey(model="m", revision="r", benchmark="b", problem_id=f"p{problem}", sample_index=index, prompt_hash="h", sampling_hash="s")
        for index in range(SAMPLES) for problem in range(PROBLEMS)
    ]  # fmt: skip
    return SampleSet(folder / "m.jsonl", protocol, 0, dict.fromkeys(keys, (1,)))


class Instant:
    """Done at once."""

    name, tokenizer, slots = "instant", None, 8

    def generate(self, requests: Any, sampling: Any, on_tokens: Any = None) -> Iterator[Completion]:
        for request in requests:
            if request is None:
                time.sleep(0.01)
            else:
                yield Completion(request.tag, (1,), (), TEXT, "stop", 0.0)

    def encode_chat(self, messages: Any, **template: object) -> tuple[int, ...]:
        raise NotImplementedError

    def settings(self, sampling: Any) -> dict[str, Any]:
        return {}


def lease(samples: SampleSet, folder: Path, index: int, together: Any) -> None:
    with Leases(folder) as leases:
        together.wait()
        fill(Instant(), [samples], leases, expected=WORKERS)


def add(samples: SampleSet, folder: Path, index: int, together: Any) -> None:
    together.wait()
    with SampleStore(samples.store) as store:
        for place, key in enumerate(samples.keys):
            if place % WORKERS == index:
                store.add(Generation(**key.model_dump(), text=TEXT, token_count=1, finish_reason="stop", seed=0, seconds=0))


def seconds(how: Any, folder: Path) -> float:
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    together = context.Barrier(WORKERS + 1)
    running = [context.Process(target=how, args=(wanted(folder), folder, index, together)) for index in range(WORKERS)]
    for process in running:
        process.start()
    together.wait()
    began = time.perf_counter()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * WORKERS
    with SampleStore(folder / "m.jsonl", texts=False) as store:
        assert len(store) == PROBLEMS * SAMPLES
    return time.perf_counter() - began


def test_leases_add_little_to_a_store_that_eight_workers_fill(report: Any, tmp_path: Path) -> None:
    ratios = [seconds(lease, tmp_path / f"lease-{turn}") / seconds(add, tmp_path / f"add-{turn}") for turn in range(ROUNDS)]
    against = f"{WORKERS} workers that add a fixed part of {PROBLEMS * SAMPLES} samples"
    spread = f"{against}, median of {ROUNDS}, {min(ratios):.2f} to {max(ratios):.2f}"
    report("queue-overhead", statistics.median(ratios), "x time", 2.0, spread, less=True)
