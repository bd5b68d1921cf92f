"""Worker processes for the graders: started, fed, timed, killed and replaced from one thread.

A batch of tasks is spread over workers that `benchmarks.judge_server` forks.  The reason «judge
time-out» is given only to a task that had its time twice: the second time alone, on a fresh worker.

- **Time is processor time.**  A worker says by itself when a task has used it up; one that cannot
  (it is inside a long C call) is killed when it has used a little more.  On a busy machine a task
  takes longer, and that is all.
- **A worker that is late without having had the processor** (stopped, or starved by other programs)
  is killed and replaced, and this was no attempt of its task.  The task then waits twice as long.
  After STALLS such turns the caller gets «judge time-out» after all: he must not hang.
- **A worker that dies on its task** (out of memory, or a crash) was an attempt of this task.
- **A worker that is killed from outside** was no attempt of any task.  It died idle, or by a signal
  that no judge causes, without having grown.  If it holds tasks, the first one (at which it was, if
  it had begun at all) runs again at the end; the others were not begun, and are handed out again.

Workers that died between two batches are noticed before anything is handed out.  If the judge
server itself is gone, the tasks without a grade go to a new one; what they had of their time counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.judge_wire import take_message
from benchmarks.records import Grade, Reason

START_LIMIT_S = 60.0
WINDOW_BYTES = 32_768
"""Tasks sent ahead to a busy worker; less than a socket buffers, so that sending never waits for it."""
SERVERS = 3
"""Judge servers that a batch tries before it gives up."""
ATTEMPTS = 2
"""Times that a task may use up its time, or end its worker."""
STALLS = 4
"""Times that a task may wait for a worker that does not get the processor, each twice as long as the one before."""
KILLS = 50
"""Workers that a task may lose by no fault of its own; there only so that every batch ends."""
GROWN_BYTES = 256 << 20
"""A worker that was killed after it had grown by more was killed for its memory, by the kernel for all that is known."""
CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS}
)
"""Signals by which a process ends itself."""


class JudgeError(RuntimeError):
    """The judges cannot run here (math-verify missing), or a judge has a bug; the traceback is on stderr."""


class Limit(NamedTuple):
    """The time of one attempt: of the processor, and by the clock for a worker that does not get the processor."""

    processor_s: float
    wall_s: float


class Ending(NamedTuple):
    """How a worker ended: its wait status, and by how much it had been larger than a new one."""

    status: int
    grown_bytes: int

    def failed(self) -> bool:
        """A bug: there is a traceback."""
        return os.WIFEXITED(self.status) and os.WEXITSTATUS(self.status) == 1

    def by_itself(self) -> bool:
        """It had become large and ended after an answer."""
        return os.WIFEXITED(self.status) and os.WEXITSTATUS(self.status) == 0

    def from_outside(self) -> bool:
        """Somebody killed it: no judge ends so."""
        killed = os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) not in CRASHES
        return killed and self.grown_bytes <= GROWN_BYTES


@dataclass(slots=True)
class Task:
    """One pair to judge, for all items that have it, and what became of it so far."""

    packed: bytes
    numbers: list[int] = field(default_factory=list)
    attempts: int = 0
    stalls: int = 0
    kills: int = 0

    @property
    def again(self) -> bool:
        """It has lost a worker or a time-out: it runs alone, on a fresh worker."""
        return bool(self.attempts or self.stalls or self.kills)

    @property
    def given_up(self) -> bool:
        return self.attempts >= ATTEMPTS or self.stalls >= STALLS or self.kills >= KILLS


_BOOT = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from benchmarks.judge_server import main
main(int(sys.argv[1]))
"""


class ServerGone(JudgeError):
    """The judge server has ended, killed from outside for all that is known; another one can be started."""


class Server:
    """The judge server process and the control socket to it."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = json.dumps([entry or os.getcwd() for entry in sys.path])
        environment = os.environ | {
            "PYTHONHASHSEED": "0",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONWARNINGS": "ignore",
        }
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), paths],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self.control.settimeout(START_LIMIT_S)
        if self._answer() != b"ready":
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)
            if (self.process.returncode or 0) < 0:
                raise ServerGone(f"the judge process was killed by signal {-self.process.returncode}")
            raise JudgeError(
                "the judge process did not start; its error is above (is math-verify installed?)"
            )

    def _answer(self) -> bytes:
        try:
            return self.control.recv(64)
        except (TimeoutError, ConnectionError):
            return b""

    def spawn(self) -> Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self.control, [b"spawn"], [theirs.fileno()])
                answer = self._answer()
            except ConnectionError:
                answer = b""
        if not answer:
            ours.close()
            raise ServerGone("the judge process is gone")
        return Worker(int(answer), ours)

    def kill(self, pid: int) -> Ending:
        """Kill one worker, if it is not dead yet."""
        try:
            self.control.send(f"kill {pid}".encode())
            answer = self._answer()
        except ConnectionError:
            answer = b""
        if not answer:
            raise ServerGone("the judge process is gone")
        status, grown = answer.split()
        return Ending(int(status), int(grown))

    def close(self) -> None:
        self.control.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def forget(self) -> None:
        """In a forked child: drop the descriptors, leave the process to the parent."""
        self.control.close()
        self.process.returncode = 0


class Worker:
    """One worker: its socket, the tasks it holds in order, and what the first of them has had of its time."""

    def __init__(self, pid: int, stream: socket.socket) -> None:
        self.pid = pid
        self.stream = stream
        self.stream.setblocking(False)  # a worker that is stopped must not stop the caller
        self.tasks: deque[Task] = deque()
        self.held_bytes = 0
        self.used = False
        self.began = self.deadline = 0.0
        self.processor_s = 0.0
        """Its processor time when the first task began, as it said itself."""
        self.buffer = bytearray()
        self.unsent: deque[memoryview] = deque()

    def has_room(self, task: Task) -> bool:
        if not self.tasks:
            return True
        return not self.tasks[0].again and self.held_bytes + len(task.packed) <= WINDOW_BYTES

    def send(self, task: Task, limit: Limit) -> None:
        self.used = True
        self.tasks.append(task)
        self.held_bytes += len(task.packed)
        if len(self.tasks) == 1:
            self._begin(limit)
        self.unsent.append(memoryview(task.packed))
        self.push()

    def push(self) -> None:
        """Send what the socket takes."""
        while self.unsent:
            part = self.unsent[0]
            try:
                sent = self.stream.send(part, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            if sent == len(part):
                self.unsent.popleft()
            else:
                self.unsent[0] = part[sent:]

    def receive(self, limit: Limit) -> Iterable[tuple[Task, Reason, str | None]]:
        """Answers that have arrived.  Raises ConnectionError when the worker is gone."""
        data = self.stream.recv(1 << 16)
        if not data:
            raise ConnectionError
        self.buffer += data
        while (verdict := take_message(self.buffer)) is not None:
            reason, extracted, self.processor_s = verdict
            task = self.tasks.popleft()
            self.held_bytes -= len(task.packed)
            self._begin(limit)
            yield task, reason, extracted

    def _begin(self, limit: Limit) -> None:
        self.began = time.monotonic()
        self.deadline = self.began + min(limit.processor_s, self.patience(limit))

    def patience(self, limit: Limit) -> float:
        """Seconds by the clock that its first task waits for the processor."""
        stalls = self.tasks[0].stalls if self.tasks else 0
        return limit.wall_s * float(2**stalls)

    def spent(self) -> float:
        """Processor time that its first task has used."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it is dead: its socket will say so
            return 0.0
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") - self.processor_s


class Batch:
    """One run of a pool: hands out tasks, collects answers, replaces workers that are late or dead."""

    def __init__(
        self, server: Server, alive: list[Worker], tasks: Iterable[Task], grader: str, limit: Limit,
        grades: dict[int, Grade],
    ) -> None:  # fmt: skip
        self.server, self.alive = server, alive
        self.grader, self.limit, self.grades = grader, limit, grades
        self.waiting: deque[Task] = deque()
        self.again: deque[Task] = deque()
        for task in tasks:
            (self.again if task.again else self.waiting).append(task)
        self.selector = selectors.DefaultSelector()

    def run(self, workers: int) -> None:
        with self.selector:
            for worker in self.alive:
                self.selector.register(worker.stream, selectors.EVENT_READ, worker)
            self._collect(0)  # the ends of those that died since the last batch
            while self.waiting or self.again or any(worker.tasks for worker in self.alive):
                busy = sum(1 for worker in self.alive if worker.tasks)
                while len(self.alive) < min(workers, busy + len(self.waiting) + len(self.again)):
                    self._start_worker()
                self._hand_out()
                deadlines = [worker.deadline for worker in self.alive if worker.tasks]
                now = time.monotonic()
                self._collect(max(0.0, min(deadlines, default=now) - now))
                for worker in list(self.alive):
                    if worker.tasks and worker.deadline <= time.monotonic():
                        self._late(worker)

    def _start_worker(self) -> Worker:
        worker = self.server.spawn()
        self.alive.append(worker)
        self.selector.register(worker.stream, selectors.EVENT_READ, worker)
        return worker

    def _hand_out(self) -> None:
        for worker in sorted(self.alive, key=lambda worker: len(worker.tasks)):
            share = max(1, len(self.waiting) // (2 * len(self.alive)))
            for _ in range(share):
                if not self.waiting or not worker.has_room(self.waiting[0]):
                    break
                if not self._send(worker, self.waiting.popleft()):
                    break
        for worker in sorted(self.alive, key=lambda worker: worker.used):
            if self.waiting or not self.again:
                break
            if not worker.tasks:
                if worker.used:
                    self._remove(worker)
                    worker = self._start_worker()
                self._send(worker, self.again.popleft())

    def _send(self, worker: Worker, task: Task) -> bool:
        try:
            worker.send(task, self.limit)
        except ConnectionError:
            self._died(worker)
            return False
        self._watch(worker)
        return True

    def _watch(self, worker: Worker) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.unsent else 0)
        if self.selector.get_key(worker.stream).events != events:
            self.selector.modify(worker.stream, events, worker)

    def _collect(self, wait_s: float) -> None:
        for key, events in self.selector.select(wait_s):
            worker: Worker = key.data
            try:
                if events & selectors.EVENT_WRITE:
                    worker.push()
                    self._watch(worker)
                if events & selectors.EVENT_READ:
                    self._take_answers(worker)
            except ConnectionError:
                self._died(worker)

    def _take_answers(self, worker: Worker) -> None:
        for task, reason, extracted in worker.receive(self.limit):
            if reason == "judge time-out":
                task.attempts += 1
                self._try_again(task, extracted)
            else:
                self._grade(task, reason, extracted)

    def _late(self, worker: Worker) -> None:
        """The time is up by the clock.  By the processor, too?"""
        spent = worker.spent()
        patience_ends = worker.began + worker.patience(self.limit)
        now = time.monotonic()
        if spent < self.limit.processor_s and now < patience_ends:
            worker.deadline = min(now + max(0.01, self.limit.processor_s - spent), patience_ends)
            return
        task = worker.tasks.popleft()
        if spent >= self.limit.processor_s:
            task.attempts += 1
        else:
            task.stalls += 1
        self._remove(worker)
        self._try_again(task)

    def _died(self, worker: Worker) -> None:
        """A worker has ended: idle, by itself (it was large), on a bug, by what it judged, or killed from outside."""
        with contextlib.suppress(ConnectionError, BlockingIOError):
            while True:  # what it answered before
                self._take_answers(worker)
        first = worker.tasks.popleft() if worker.tasks else None
        ending = self._remove(worker)
        if ending.failed():
            raise JudgeError("a judge failed; its traceback is above")
        if first is None:
            return
        if ending.by_itself():
            (self.again if first.again else self.waiting).appendleft(first)
            return
        if ending.from_outside():
            first.kills += 1
        else:
            first.attempts += 1
        self._try_again(first)

    def _try_again(self, task: Task, extracted: str | None = None) -> None:
        if task.given_up:
            self._grade(task, "judge time-out", extracted)
        else:
            self.again.append(task)

    def _remove(self, worker: Worker) -> Ending:
        """End a worker.  The tasks that it still holds were not begun."""
        self.waiting.extendleft(reversed(worker.tasks))
        worker.tasks.clear()
        self.alive.remove(worker)
        self.selector.unregister(worker.stream)
        worker.stream.close()
        return self.server.kill(worker.pid)

    def _grade(self, task: Task, reason: Reason, extracted: str | None) -> None:
        correct = reason == "correct"
        if extracted is not None:  # lone surrogates cannot be stored
            extracted = extracted.encode("utf-8", "replace").decode()
        for number in task.numbers:
            self.grades[number] = Grade(
                correct=correct, extracted=extracted, reason=reason, grader=self.grader, score=float(correct)
            )
