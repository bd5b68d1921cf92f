"""Leases and the queue: who takes which sample, what a dead process leaves behind, and when a worker stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.protocols import Protocol
from benchmarks.records import Generation, SampleKey, read_generations
from klear_repro.engines.base import Completion, Request
from klear_repro.leases import Leases, place_of
from klear_repro.store import SampleStore
from klear_repro.work import SampleSet, Tally, Work, fill

ROOT = Path(__file__).resolve().parents[2]


def sample_set(folder: Path, problems: int = 3, samples: int = 4, benchmark: str = "mini-aime", **changes: Any) -> SampleSet:
    protocol = Protocol(name="p", description="", max_new_tokens=100, samples=samples, **changes)
    keys = [
        SampleKey(model="m", revision="r", benchmark=benchmark, problem_id=f"p{problem}", sample_index=index, prompt_hash="h",
                  sampling_hash=protocol.sampling_hash(0))
        for index in range(samples) for problem in range(problems)
    ]  # fmt: skip
    return SampleSet(folder / benchmark / "m.jsonl", protocol, 0, dict.fromkeys(keys, (1, 2)))


def row(key: SampleKey, tokens: int = 3) -> Generation:
    return Generation(**key.model_dump(), text="x" * tokens, token_count=tokens, finish_reason="stop", seed=0, seconds=0)


def put(samples: SampleSet, *rows: Generation) -> None:
    with SampleStore(samples.store) as store:
        for one in rows:
            store.add(one)


HOLD = """
import sys
from pathlib import Path
from klear_repro.leases import Leases
with Leases(Path(sys.argv[1])) as leases:
    print(*(leases.take(int(place)) for place in sys.argv[2:]), flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, *keys: SampleKey) -> Iterator[subprocess.Popen[str]]:
    """Another process with leases on these samples."""
    command = [sys.executable, "-c", HOLD, str(folder), *(str(place_of(key)) for key in keys)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin
        assert set(process.stdout.readline().split()) <= {"True"}
        yield process
        if process.poll() is None:
            process.stdin.close()


def asked(requests: Iterator[Request | None], count: int) -> list[tuple[str, int] | None]:
    """Problem and index of the next requests."""
    found = [next(requests) for _ in range(count)]
    return [one and (one.tag.problem_id, one.tag.sample_index) for one in found]  # type: ignore[attr-defined]


class Instant:
    """An engine that is done at once, with an answer as long as `tokens` says of the problem."""

    name, tokenizer, slots = "instant", None, 4

    def __init__(self, **tokens: int) -> None:
        self.tokens = tokens
        self.order: list[tuple[str, int]] = []
        self.streams = 0

    def generate(self, requests: Any, sampling: Any, on_tokens: Any = None) -> Iterator[Completion]:
        self.streams += 1
        for request in requests:
            if request is not None:
                self.order.append((request.tag.problem_id, request.tag.sample_index))
                count = self.tokens.get(request.tag.problem_id, 1)
                yield Completion(request.tag, tuple(range(count)), (), "text", "stop", 0.0)

    def encode_chat(self, messages: Any, **template: object) -> tuple[int, ...]:
        return ()

    def settings(self, sampling: Any) -> dict[str, Any]:
        return {"name": self.name}


def test_a_lease_belongs_to_one_process_and_ends_with_it_however_it_ends(tmp_path: Path):
    key, other, *_ = sample_set(tmp_path).keys
    with Leases(tmp_path) as leases:
        with holder(tmp_path, key) as process:
            assert not leases.take(place_of(key)) and leases.take(place_of(other))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert leases.take(place_of(key))
        with holder(tmp_path) as process:
            pass
        assert leases.workers() == 1
    assert (tmp_path / ".leases").stat().st_size == 0


def test_workers_are_counted_while_they_live(tmp_path: Path):
    with Leases(tmp_path) as leases, ExitStack() as others:
        running = [others.enter_context(holder(tmp_path)) for _ in range(3)]
        assert leases.workers() == 4
        running[1].kill()
        running[1].wait()
        assert leases.workers() == 3


def test_a_copy_of_a_run_folder_has_no_leases(tmp_path: Path):
    import shutil

    key = next(iter(sample_set(tmp_path).keys))
    (tmp_path / "run").mkdir()
    with holder(tmp_path / "run", key):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        with Leases(tmp_path / "copy") as leases:
            assert leases.workers() == 1 and leases.take(place_of(key))


def test_a_worker_alone_makes_every_sample_once_in_order(tmp_path: Path):
    samples, engine = sample_set(tmp_path), Instant()
    put(samples, *[row(key) for key in samples.keys if key.sample_index == 1])
    told: list[int] = []
    with Leases(tmp_path) as leases:
        assert fill(engine, [samples], leases, report=told.append) == 9
        assert fill(engine, [samples], leases) == 0
    stored, left_out = read_generations(samples.store)
    assert not left_out and len(stored) == 12 and {one.key for one in stored} == set(samples.keys)
    assert told == [0] * 9 and sorted(engine.order) == sorted((f"p{problem}", index) for index in (0, 2, 3) for problem in range(3))
    made = next(one for one in stored if one.sample_index == 2)
    assert made.settings and (samples.store.parent / "settings" / f"{made.settings}.json").is_file() and made.prompt_tokens == 2


def test_problems_of_unknown_length_come_first_and_then_those_whose_samples_were_long(tmp_path: Path):
    samples = sample_set(tmp_path, problems=4, samples=3)
    first = {key.problem_id: key for key in reversed(samples.keys)}
    put(samples, row(first["p0"], 10), row(first["p1"], 50), row(first["p3"], 20))
    with Leases(tmp_path) as leases, Work([samples], leases, 1) as work:
        requests = work.requests(samples.sampling, wait=True)
        assert asked(requests, 9) == [("p2", 0), ("p2", 1), ("p2", 2), ("p1", 1), ("p1", 2), ("p3", 1), ("p3", 2), ("p0", 1), ("p0", 2)]
        assert list(requests) == []


def test_what_others_have_leased_is_left_to_them_until_they_end(tmp_path: Path):
    samples = sample_set(tmp_path, problems=2, samples=1)
    mine, others = samples.keys
    with Leases(tmp_path) as leases, Work([samples], leases, 1) as work:
        with holder(tmp_path, others) as process:
            requests = work.requests(samples.sampling, wait=True)
            assert asked(requests, 3) == [(mine.problem_id, 0), None, None]
            process.kill()
            process.wait()
        got = next(one for one in requests if one is not None)
        assert got.tag == others and list(requests) == []


def test_a_worker_with_other_work_does_not_wait_for_what_others_have_leased(tmp_path: Path):
    samples = sample_set(tmp_path, problems=2, samples=1)
    with Leases(tmp_path) as leases, Work([samples], leases, 1) as work, holder(tmp_path, *samples.keys):
        assert list(work.requests(samples.sampling, wait=False)) == []


def test_a_sample_that_another_process_has_finished_is_not_made_again(tmp_path: Path):
    samples = sample_set(tmp_path, problems=2, samples=1)
    mine, others = samples.keys
    with Leases(tmp_path) as leases, Work([samples], leases, 1) as work:
        requests = work.requests(samples.sampling, wait=True)
        assert asked(requests, 1) == [(mine.problem_id, 0)]
        put(samples, row(others))
        assert list(requests) == []


def test_a_worker_holds_no_more_than_its_share_of_what_is_unfinished(tmp_path: Path):
    samples = sample_set(tmp_path, problems=10, samples=1)
    with Leases(tmp_path) as leases, holder(tmp_path), Work([samples], leases, 1) as work:
        requests = work.requests(samples.sampling, wait=True)
        assert [one is not None for one in asked(requests, 7)] == [True] * 5 + [False] * 2
    with Leases(tmp_path) as leases, Work([samples], leases, 5) as work:
        requests = work.requests(samples.sampling, wait=True)
        assert [one is not None for one in asked(requests, 4)] == [True] * 2 + [False] * 2


def test_benchmarks_that_are_sampled_alike_go_through_the_engine_in_one_stream(tmp_path: Path):
    engine = Instant()
    alike = [sample_set(tmp_path, benchmark=name) for name in ("mini-aime", "mini-lcb")]
    hotter = sample_set(tmp_path, benchmark="mini-words", sampling={"temperature": 0.5})
    with Leases(tmp_path) as leases:
        assert fill(engine, [*alike, hotter], leases) == 36
    assert engine.streams == 2
    with Tally([*alike, hotter]) as tally:
        assert tally.missing == [0, 0, 0] and not tally.left


def test_a_second_command_with_more_samples_makes_those_alone(tmp_path: Path):
    with Leases(tmp_path) as leases:
        assert fill(Instant(), [sample_set(tmp_path, samples=2)], leases) == 6
        assert fill(Instant(), [sample_set(tmp_path, samples=5)], leases) == 9
        assert fill(Instant(), [sample_set(tmp_path, samples=2, sampling={"top_k": 3})], leases) == 6


def test_an_engine_that_fails_leaves_no_lease_behind(tmp_path: Path):
    class Failing(Instant):
        def generate(self, requests: Any, sampling: Any, on_tokens: Any = None) -> Iterator[Completion]:
            yield from list(super().generate([next(requests)], sampling))
            next(requests)
            raise RuntimeError("no")

    samples = sample_set(tmp_path)
    with Leases(tmp_path) as leases:
        with pytest.raises(RuntimeError, match="no"):
            fill(Failing(), [samples], leases)
        with holder(tmp_path, *list(samples.keys)[1:]):
            pass
