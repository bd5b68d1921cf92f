"""The executor: the trusted side's front door. It chooses the tier, owns the workers and hands them samples.

Thread-safe: any thread may call `run` or `run_many`; a call waits for an idle worker. Not to be used in a
fork of the process that made it, which is refused.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

from . import shared_state
from .cache import ResultCache, key_of, runtime
from .compare import as_bytes
from .inside import frames, kernel
from .judge_process import CANCEL_S
from .model import KEPT_KB, MODES, TIERS, Cancelled, IsolationUnavailable, Limits, Result, Test
from .rewards import choose_tests
from .worker import Job, Worker, encode_test, find_numpy

_CHOICES = ("auto", *TIERS, "unsafe")


class Executor:
    """Runs programs on tests in isolated processes.

    `workers` samples run at a time. `tier` "auto" is the strongest of root, userns and landlock that this
    machine grants; "unsafe" (limits, but no isolation) must be asked for. Raises ValueError for bad
    arguments and, when it starts, IsolationUnavailable. Starting takes about 0.1 s, at the first use or on
    entering the context. `cache` is a SQLite file of results (sandbox.cache), made if need be.
    """

    def __init__(
        self, workers: int = 2, tier: str = "auto", *, cache: str | os.PathLike[str] | None = None
    ) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= 1024:
            raise ValueError(f"workers: {workers!r} is not allowed; a whole number from 1 to 1024")
        if tier not in _CHOICES:
            raise ValueError(f"tier: {tier!r} is not allowed; one of {', '.join(_CHOICES)}")
        self.workers = workers
        self.notes: list[str] = []
        self._wanted = tier
        self._tier: str | None = None
        self._owner = os.getpid()
        self._all: list[Worker] = []
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._numpy = find_numpy()
        self.cache = ResultCache(cache, lambda text: self.notes.append(text)) if cache is not None else None

    @property
    def tier(self) -> str:
        """The tier in use; starts the executor if need be."""
        return self._start()

    @property
    def runtime(self) -> str:
        """What results depend on beside code, tests, limits, mode and tier: interpreter, numpy, this package's files."""
        return runtime(self._numpy)

    def __enter__(self) -> Executor:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all workers; every process of theirs is gone when this returns."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._closed = True
            workers, self._all = self._all, []
        for worker in workers:
            worker.close()
        if self.cache is not None:
            self.cache.close()

    def _start(self) -> str:
        if os.getpid() != self._owner:
            raise RuntimeError("this executor belongs to the process that made it; make one in this process")
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor is closed")
            if self._tier is None:
                self._tier = self._begin()
            return self._tier

    def _begin(self) -> str:
        """Starts the first worker in the strongest tier that works, then the others beside each other."""
        if not kernel.supported():
            raise IsolationUnavailable("the sandbox needs Linux on x86_64 or aarch64")
        numpy = self._numpy
        reasons: list[str] = []
        for tier in TIERS if self._wanted == "auto" else (self._wanted,):
            first = Worker(tier, numpy)
            try:
                self.notes = self.notes + first.start().notes
            except IsolationUnavailable as error:
                reasons.append(str(error))
                continue
            self._all = [first, *(Worker(tier, numpy) for _ in range(self.workers - 1))]
            with ThreadPoolExecutor(min(self.workers, 8)) as pool:
                list(pool.map(Worker.start, self._all))
            for worker in self._all:
                self._idle.put(worker)
            return tier
        raise IsolationUnavailable("no isolation is possible here: " + "; ".join(reasons))

    def run(
        self, code: str, tests: Sequence[Test], limits: Limits | None = None, mode: str = "native",
        stop_on_first_failure: bool = False, *, keep_kb: int = KEPT_KB, cancel: threading.Event | None = None,
        max_tests: int | None = None, seed: int = 0,
    ) -> Result:  # fmt: skip
        """Runs the program on every test, each in a process of its own.

        `keep_kb` KiB of each standard output stay in the results. Once `cancel` is set the program is killed
        and the call ends, within 0.1 s, with Cancelled. Of more than `max_tests` tests as many are drawn with
        `seed`, the same ones for every program. Raises ValueError that names the argument: no tests, an unknown
        mode, data that cannot be sent.
        """
        if cancel is not None and cancel.is_set():
            raise Cancelled("the run was cancelled")
        encoded = _check(code, tests, limits, mode)
        _check_number("keep_kb", keep_kb, 0, 1 << 20, "KiB")
        positions = None
        if max_tests is not None:
            _check_number("max_tests", max_tests, 1, 1 << 30, "tests")
            positions = choose_tests(range(len(tests)), max_tests, seed)
            tests = [tests[position] for position in positions]
            encoded = [encoded[position] for position in positions]
        limits = limits or Limits()
        job = Job(as_bytes(code), tests, encoded, limits, mode, stop_on_first_failure, keep_kb << 10, cancel)
        tier, key = self._start(), b""
        if self.cache is not None and not any(test.checker or test.interactor for test in tests):
            key = key_of(code, tests, job.limits, mode, tier, job.stop, keep_kb, self._numpy)
            if (known := self.cache.get(key)) is not None:
                return replace(known, positions=positions)
        worker = self._idle_worker(cancel)
        try:
            results = worker.run(job)
            if mode == "lcb_compat":
                results = shared_state.carry_over(
                    code, tests, results, job.limits, job.stop,
                    lambda test, bounds: worker.run(
                        replace(job, tests=[test], encoded=[encode_test(test)], limits=bounds, stop=False)
                    )[0],
                )  # fmt: skip
        finally:
            self._idle.put(worker)
        result = Result(
            tests=results, tier=tier, total=len(tests), total_weight=sum(test.weight for test in tests),
            positions=positions,
        )  # fmt: skip
        if self.cache is not None and key:
            self.cache.put(key, result)
        return result

    def _idle_worker(self, cancel: threading.Event | None) -> Worker:
        """The next worker that is free. Raises Cancelled."""
        while True:
            try:
                return self._idle.get(timeout=None if cancel is None else CANCEL_S)
            except queue.Empty:
                if cancel is not None and cancel.is_set():
                    raise Cancelled("the run was cancelled") from None

    def stream(
        self, samples: Iterable[tuple[str, Sequence[Test]]], limits: Limits | None = None,
        mode: str = "native", stop_on_first_failure: bool = False, *, max_tests: int | None = None, seed: int = 0,
    ) -> Iterator[tuple[int, Result]]:  # fmt: skip
        """(position, result) of each sample as soon as it is there, in no particular order.

        Samples are drawn only as fast as they are run: at most two a worker are under way. Leaving the loop
        early kills what still runs. Raises what `run` raises, when it comes to that sample.
        """
        self._start()
        stop = threading.Event()
        waiting: dict[Future[Result], int] = {}
        source = enumerate(samples)
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                while True:
                    while len(waiting) < 2 * self.workers and (following := next(source, None)) is not None:
                        index, (code, tests) = following
                        future = pool.submit(
                            self.run, code, tests, limits, mode, stop_on_first_failure, cancel=stop,
                            max_tests=max_tests, seed=seed,
                        )  # fmt: skip
                        waiting[future] = index
                    if not waiting:
                        return
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        yield waiting.pop(future), future.result()
            finally:
                stop.set()
                for future in waiting:
                    future.cancel()

    async def astream(
        self, samples: Iterable[tuple[str, Sequence[Test]]] | AsyncIterable[tuple[str, Sequence[Test]]],
        limits: Limits | None = None, mode: str = "native", stop_on_first_failure: bool = False, *,
        max_tests: int | None = None, seed: int = 0,
    ) -> AsyncIterator[tuple[int, Result]]:  # fmt: skip
        """`stream` for asyncio; the samples may come asynchronously, and results do not wait for the next one.

        Closing the generator (`contextlib.aclosing`) kills what still runs.
        """
        self._start()
        stop, index = threading.Event(), 0
        source = aiter(samples) if isinstance(samples, AsyncIterable) else _asynchronous(samples)
        waiting: dict[asyncio.Future[Result], int] = {}
        drawn: asyncio.Future[tuple[str, Sequence[Test]]] | None = None
        exhausted = False
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                while True:
                    if drawn is None and not exhausted and len(waiting) < 2 * self.workers:
                        drawn = asyncio.ensure_future(anext(source))
                    if drawn is None and not waiting:
                        return
                    pending: set[asyncio.Future[Any]] = {*waiting, *_present(drawn)}
                    done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    if drawn is not None and drawn in done:
                        try:
                            code, tests = drawn.result()
                        except StopAsyncIteration:
                            exhausted = True
                        else:
                            call = partial(
                                self.run, code, tests, limits, mode, stop_on_first_failure, cancel=stop,
                                max_tests=max_tests, seed=seed,
                            )  # fmt: skip
                            waiting[asyncio.get_running_loop().run_in_executor(pool, call)] = index
                            index += 1
                        drawn = None
                    for future in [future for future in waiting if future in done]:
                        yield waiting.pop(future), future.result()
            finally:
                stop.set()
                for unfinished in [*waiting, *_present(drawn)]:
                    unfinished.cancel()

    def run_many(
        self, samples: Iterable[tuple[str, Sequence[Test]]], limits: Limits | None = None,
        mode: str = "native", stop_on_first_failure: bool = False, *, max_tests: int | None = None, seed: int = 0,
    ) -> list[Result]:  # fmt: skip
        """`run` for many samples, all workers busy; results in the order of the samples. Raises what `run`
        raises.
        """
        jobs = list(samples)
        for code, tests in jobs:
            _check(code, tests, limits, mode)
        self._start()

        def run(job: tuple[str, Sequence[Test]]) -> Result:
            return self.run(job[0], job[1], limits, mode, stop_on_first_failure, max_tests=max_tests, seed=seed)

        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(run, jobs))


def _present(future: asyncio.Future[Any] | None) -> list[asyncio.Future[Any]]:
    return [] if future is None else [future]


async def _asynchronous(samples: Iterable[tuple[str, Sequence[Test]]]) -> AsyncIterator[tuple[str, Sequence[Test]]]:
    for sample in samples:
        yield sample


def _check_number(name: str, value: object, low: int, high: int, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}: {value!r} is not allowed; a whole number from {low} to {high} ({unit})")


def _check(code: str, tests: Sequence[Test], limits: Limits | None, mode: str) -> list[tuple[bytes, bytes]]:
    """`encode_test` of each test. Raises ValueError that names the argument."""
    if not isinstance(code, str):
        raise ValueError(f"code: {type(code).__name__} is not allowed; str")
    if limits is not None and not isinstance(limits, Limits):
        raise ValueError(f"limits: {limits!r} is not allowed; a Limits")
    if mode not in MODES:
        raise ValueError(f"mode: {mode!r} is not allowed; one of {', '.join(MODES)}")
    if len(tests) == 0:
        raise ValueError(
            "tests: an empty list is not allowed; at least one Test, or there is nothing to pass"
        )
    for index, test in enumerate(tests):
        if not isinstance(test, Test):
            raise ValueError(f"tests[{index}]: {type(test).__name__} is not allowed; a Test")
        if mode != "native" and (test.checker is not None or test.interactor is not None):
            which = "checker" if test.checker is not None else "interactor"
            raise ValueError(f"tests[{index}].{which}: not allowed in mode {mode!r}; native")
        if mode != "native" and (test.abs_tol or test.rel_tol):
            which = "abs_tol" if test.abs_tol else "rel_tol"
            raise ValueError(f"tests[{index}].{which}: not allowed in mode {mode!r}; native")
        if test.function is None and (test.checker is not None or test.interactor is not None):
            _plain(f"tests[{index}].expected", test.expected)
    return [_encoded(index, test) for index, test in enumerate(tests)]


def _encoded(index: int, test: Test) -> tuple[bytes, bytes]:
    if test.function is None:
        return b"", b""
    return _plain(f"tests[{index}].args", list(test.args)), _plain(f"tests[{index}].expected", test.expected)


def _plain(name: str, value: object) -> bytes:
    """The value as a frame. Raises ValueError for anything but plain data."""
    try:
        encoded = frames.encode(value)
    except (RecursionError, TypeError, ValueError):
        encoded = b'"opaque"'
    if b'"opaque"' in encoded:
        raise ValueError(
            f"{name}: only plain data (numbers, text, bytes, lists, tuples, dicts, sets) is allowed"
        )
    return encoded
