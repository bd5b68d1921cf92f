"""Programs on their tests, with all workers of the sandbox busy: the tests of one program run side by side too.

Every test has a process of its own, so results do not depend on the number of workers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

from sandbox import Executor, Limits, Result, Test, TestResult, Verdict

AT_A_TIME = 4
"""Tests that one worker takes of a program: more are cheaper, fewer spread a slow program over more workers."""


@dataclass(frozen=True)
class ProgramRun:
    """A program, its tests, and the limits of each."""

    code: str
    tests: Sequence[Test]
    limits: Limits


def run_programs(executor: Executor, runs: Sequence[ProgramRun], stop_after_tle: int = 0) -> list[Result]:
    """The results, in the order of `runs`.

    A program that is TLE on each of the `stop_after_tle` tests with the shortest inputs is not run on its others, if there
    are any: they are absent from its result, and `total` counts them.  Which tests those are does not depend on the workers.
    Raises what `Executor.run` raises.
    """
    queue = _Queue([_Progress(run, stop_after_tle) for run in runs])
    with ThreadPoolExecutor(executor.workers) as pool:
        try:
            wait([pool.submit(_work, executor, queue) for _ in range(executor.workers)])
        finally:  # of an interrupt, too
            queue.end()
    if queue.error is not None:
        raise queue.error
    return [one.result() for one in queue.runs]


def _work(executor: Executor, queue: _Queue) -> None:
    try:
        while (task := queue.take()) is not None:
            progress, places = task
            run = progress.run
            tests = [run.tests[place] for place in places]
            queue.finish(progress, places, executor.run(run.code, tests, run.limits, cancel=queue.cancel))
    except Exception as error:  # noqa: BLE001 - raised again by `run_programs`
        queue.end(error)


class _Progress:
    """What is known of one program."""

    def __init__(self, run: ProgramRun, stop_after_tle: int) -> None:
        self.run = run
        by_length = sorted(range(len(run.tests)), key=lambda place: _input_length(run.tests[place]))
        self.first = _pieces(sorted(by_length[: stop_after_tle or None]), 1 if stop_after_tle else AT_A_TIME)
        """Places of the tests that are run in any case."""
        self._others = sorted(by_length[stop_after_tle:]) if stop_after_tle else []
        self._results: dict[int, TestResult] = {}
        self._tier = ""

    def add(self, places: Sequence[int], result: Result) -> list[Sequence[int]]:
        """Takes results; returns the places that are to be run because of them, some at a time."""
        self._results.update(zip(places, result.tests, strict=True))
        self._tier = result.tier
        if result.verdict is Verdict.TLE:
            return []
        released, self._others = self._others, []
        return _pieces(released, AT_A_TIME)

    def result(self) -> Result:
        """All of it."""
        tests = [self._results[place] for place in sorted(self._results)]
        return Result(tests, self._tier, len(self.run.tests), sum(test.weight for test in self.run.tests))


class _Queue:
    """Tests that are to be run, taken by several threads."""

    def __init__(self, runs: list[_Progress]) -> None:
        self.runs = runs
        self.cancel = threading.Event()
        self.error: Exception | None = None
        self._waiting = deque[tuple[_Progress, Sequence[int]]]((run, places) for run in runs for places in run.first)
        self._under_way = 0
        self._changed = threading.Condition()

    def take(self) -> tuple[_Progress, Sequence[int]] | None:
        """The next tests of a program; None once there will be none."""
        with self._changed:
            while not self._waiting and self._under_way and not self.cancel.is_set():
                self._changed.wait()
            if not self._waiting or self.cancel.is_set():
                return None
            self._under_way += 1
            return self._waiting.popleft()

    def finish(self, progress: _Progress, places: Sequence[int], result: Result) -> None:
        """Takes the results of tests."""
        with self._changed:
            self._waiting.extend((progress, others) for others in progress.add(places, result))
            self._under_way -= 1
            self._changed.notify_all()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more is run, and what runs is killed; the first error is why."""
        with self._changed:
            self.error = self.error or (None if self.cancel.is_set() else error)
            self.cancel.set()
            self._changed.notify_all()


def _pieces(places: Sequence[int], size: int) -> list[Sequence[int]]:
    return [places[start : start + size] for start in range(0, len(places), size)]


def _input_length(test: Test) -> int:
    return len(test.input) if test.function is None else len(str(test.args))
