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
            progress, place = task
            run = progress.run
            queue.finish(progress, place, executor.run(run.code, [run.tests[place]], run.limits, cancel=queue.cancel))
    except Exception as error:  # noqa: BLE001 - raised again by `run_programs`
        queue.end(error)


class _Progress:
    """What is known of one program."""

    def __init__(self, run: ProgramRun, stop_after_tle: int) -> None:
        self.run = run
        by_length = sorted(range(len(run.tests)), key=lambda place: _input_length(run.tests[place]))
        self.first = sorted(by_length[: stop_after_tle or None])
        """Places of the tests that are run in any case."""
        self._others = sorted(set(by_length).difference(self.first))
        self._results: dict[int, TestResult] = {}
        self._tier = ""

    def add(self, place: int, result: Result) -> list[int]:
        """Takes a result; returns the places that are to be run because of it."""
        self._results[place], self._tier = result.tests[0], result.tier
        if result.verdict is Verdict.TLE:
            return []
        released, self._others = self._others, []
        return released

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
        self._waiting = deque((run, place) for run in runs for place in run.first)
        self._under_way = 0
        self._changed = threading.Condition()

    def take(self) -> tuple[_Progress, int] | None:
        """The next test; None once there will be none."""
        with self._changed:
            while not self._waiting and self._under_way and not self.cancel.is_set():
                self._changed.wait()
            if not self._waiting or self.cancel.is_set():
                return None
            self._under_way += 1
            return self._waiting.popleft()

    def finish(self, progress: _Progress, place: int, result: Result) -> None:
        """Takes the result of a test."""
        with self._changed:
            self._waiting.extend((progress, other) for other in progress.add(place, result))
            self._under_way -= 1
            self._changed.notify_all()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more is run, and what runs is killed; the first error is why."""
        with self._changed:
            self.error = self.error or (None if self.cancel.is_set() else error)
            self.cancel.set()
            self._changed.notify_all()


def _input_length(test: Test) -> int:
    return len(test.input) if test.function is None else len(str(test.args))
