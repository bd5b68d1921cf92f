"""Grading of mathematical responses by two judges, in killable worker processes.

`klear` gives the verdict of the judge released with Klear-Reasoner; `strict` counts only what stands
after the thinking (`benchmarks.judges` has both).  Judging never happens in the calling process:
a pool (`benchmarks.judge_pool`) keeps workers of a separate server process busy, kills one that
exceeds its time, replaces one that dies, and carries on with the rest.  A response whose grade does
not come back has the reason «judge time-out»: it had its time twice, or ended two workers.  No
response can raise an exception here or hang the caller.

`strict` has 0.6 s of processor time, twice (`benchmarks.judge_server`); both together are less than
2 s on a machine with a free processor.  `klear` has 40 s, twice.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Self

from benchmarks.answer_text import final_text
from benchmarks.errors import BenchmarkError
from benchmarks.judge_pool import SERVERS, Batch, JudgeError, Limit, Server, ServerGone, Task, Worker
from benchmarks.judge_wire import pack_message
from benchmarks.records import FinishReason, Grade, Thinking
from benchmarks.strict.types import ANSWER_TYPES

__all__ = ["Grader", "GraderPool", "JudgeError", "MathItem", "grade_math", "grade_math_many"]

Grader = Literal["strict", "klear"]
GRADERS: tuple[Grader, ...] = ("strict", "klear")
STRICT_PROCESSOR_S = 0.6
"""A worker has a limit of its own (`judge_server.STRICT_CPU_S`); this one is for a worker that cannot heed it."""
STRICT_LIMIT_S = 1.7
"""Seconds by the clock after which a worker that did not get the processor is replaced."""
KLEAR_LIMIT_S = 40.0
"""The released judge's own limits: 5 s for each of two parses and of up to four comparisons; and a margin."""


class MathItem(NamedTuple):
    """One response to grade, with its gold answer."""

    response: str
    gold: str
    finish_reason: FinishReason | None = None


class GraderPool:
    """Judging processes for many responses.  Use as a context manager; workers start with the first grade.

    One batch runs at a time; a second thread waits.  Every input gives a grade, in the order of the items.
    Equal pairs are judged once.  `strict_limit_s` and `klear_limit_s` are the wall time after which a worker is
    replaced; whether that was an attempt of its response is a matter of processor time (`benchmarks.judge_pool`).
    """

    def __init__(
        self,
        workers: int | None = None,
        strict_limit_s: float = STRICT_LIMIT_S,
        klear_limit_s: float = KLEAR_LIMIT_S,
    ) -> None:
        if workers is not None and workers < 1:
            raise BenchmarkError(f"workers={workers}: a grader pool needs at least 1")
        self.workers = workers or len(os.sched_getaffinity(0))
        self._limits = {
            "strict": Limit(min(STRICT_PROCESSOR_S, 0.9 * strict_limit_s), strict_limit_s),
            "klear": Limit(0.9 * klear_limit_s, klear_limit_s),
        }
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._alive: list[Worker] = []
        _pools.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def grade(
        self, response: str, gold: str, grader: Grader = "strict", thinking: Thinking = "auto",
        finish_reason: FinishReason | None = None, *, answer_type: str | None = None,
    ) -> Grade:  # fmt: skip
        """Grade one response."""
        item = MathItem(response, gold, finish_reason)
        return self.grade_many([item], grader, thinking, answer_type=answer_type)[0]

    def grade_many(
        self, items: Iterable[Sequence[str | None]], grader: Grader = "strict", thinking: Thinking = "auto", *,
        answer_type: str | None = None,
    ) -> list[Grade]:  # fmt: skip
        """Grade `(response, gold)` or `(response, gold, finish reason)` items, all workers busy.

        `answer_type` declares what the golds are (`benchmarks.strict.types`); `klear` ignores it.

        Raises:
            BenchmarkError: an unknown grader, thinking rule or answer type.
            JudgeError: the judges cannot run on this machine.
        """
        _check_names(grader, thinking, answer_type)
        grades: dict[int, Grade] = {}
        tasks: dict[bytes, Task] = {}
        for index, item in enumerate(items):
            response, gold, finish_reason = MathItem(*item)  # type: ignore[arg-type]
            text = final_text(response, thinking, finish_reason) if grader == "strict" else response
            if text is None:
                grades[index] = Grade(correct=False, reason="truncated", grader=grader)
            else:
                packed = pack_message({"grader": grader, "text": text, "gold": gold, "type": answer_type})
                tasks.setdefault(packed, Task(packed)).numbers.append(index)
        if tasks:
            with self._lock:
                self._run(list(tasks.values()), grader, grades)
        return [grades[index] for index in range(len(grades))]

    def close(self) -> None:
        """End all processes.  The pool may be used again; it then starts new ones."""
        for worker in self._alive:
            worker.stream.close()
        self._alive.clear()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _run(self, tasks: list[Task], grader: str, grades: dict[int, Grade]) -> None:
        for attempt in range(SERVERS):
            finished = False
            try:
                if self._server is None:
                    self._server = Server()
                Batch(self._server, self._alive, tasks, grader, self._limits[grader], grades).run(self.workers)
                finished = True
                return
            except ServerGone:
                if attempt + 1 == SERVERS:
                    raise
                tasks = [task for task in tasks if task.numbers[0] not in grades]
            finally:
                if not finished:  # workers hold tasks of a batch that nobody waits for
                    self.close()

    def _forget(self) -> None:
        for worker in self._alive:
            worker.stream.close()
        if self._server is not None:
            self._server.forget()
        self._alive, self._server, self._lock = [], None, threading.Lock()


def _check_names(grader: str, thinking: str, answer_type: str | None) -> None:
    if grader not in GRADERS:
        raise BenchmarkError(f"unknown grader {grader!r}; allowed: {', '.join(GRADERS)}")
    if thinking not in ("auto", "required"):
        raise BenchmarkError(f"unknown thinking rule {thinking!r}; allowed: auto, required")
    if answer_type is not None and answer_type not in ANSWER_TYPES:
        raise BenchmarkError(f"unknown answer type {answer_type!r}; allowed: {', '.join(ANSWER_TYPES)}")


_pools: weakref.WeakSet[GraderPool] = weakref.WeakSet()
_shared: GraderPool | None = None
_shared_lock = threading.Lock()


def _shared_pool() -> GraderPool:
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = GraderPool(workers=1)
            atexit.register(_shared.close)
        return _shared


def _after_fork() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()
    for pool in list(_pools):
        pool._forget()


os.register_at_fork(after_in_child=_after_fork)


def grade_math(
    response: str, gold: str, grader: Grader = "strict", thinking: Thinking = "auto",
    finish_reason: FinishReason | None = None, *, answer_type: str | None = None,
) -> Grade:  # fmt: skip
    """Grade one response in the one-worker pool of this process.  `klear` ignores the last three arguments.

    `strict` answers in under 2 s of processor time, `klear` within twice the released judge's own limits (40 s).
    """
    return _shared_pool().grade(response, gold, grader, thinking, finish_reason, answer_type=answer_type)


def grade_math_many(
    items: Iterable[Sequence[str | None]], grader: Grader = "strict", thinking: Thinking = "auto",
    workers: int | None = None, pool: GraderPool | None = None, *, answer_type: str | None = None,
) -> list[Grade]:  # fmt: skip
    """Grade `(response, gold[, finish reason])` items in order, in `pool` or in one made for this call."""
    if pool is not None:
        return pool.grade_many(items, grader, thinking, answer_type=answer_type)
    with GraderPool(workers) as own:
        return own.grade_many(items, grader, thinking, answer_type=answer_type)
