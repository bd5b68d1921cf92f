"""Worker processes for the graders: started, fed, timed, killed and replaced from one thread.

A batch of tasks is spread over workers that `benchmarks.judge_server` forks.  A worker that is late
is killed and its task gets the reason «judge time-out»; one that dies is replaced and its task tried
once more.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.judge_wire import take_message
from benchmarks.records import Grade, Reason

START_LIMIT_S = 60.0
WINDOW_BYTES = 32_768
"""Tasks sent ahead to a busy worker; less than a socket buffers, so that sending never waits for it."""
SERVERS = 3
"""Judge servers that a batch tries before it gives up."""
ATTEMPTS = 2
"""A task whose worker dies without a time-out is tried once more on a fresh worker."""


class JudgeError(RuntimeError):
    """The judges cannot run here (math-verify missing), or a judge has a bug; the traceback is on stderr."""


class Task(NamedTuple):
    number: int
    packed: bytes


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

    def kill(self, pid: int) -> int:
        """Kill one worker and return its wait status."""
        try:
            self.control.send(f"kill {pid}".encode())
            answer = self._answer()
        except ConnectionError:
            answer = b""
        if not answer:
            raise ServerGone("the judge process is gone")
        return int(answer)

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
    """One worker: its socket, the tasks it holds in order, and when the first of them is late."""

    def __init__(self, pid: int, stream: socket.socket) -> None:
        self.pid = pid
        self.stream = stream
        self.tasks: deque[Task] = deque()
        self.held_bytes = 0
        self.deadline = 0.0
        self.buffer = bytearray()

    def has_room(self, task: Task) -> bool:
        return not self.tasks or self.held_bytes + len(task.packed) <= WINDOW_BYTES

    def send(self, task: Task, limit_s: float) -> None:
        if not self.tasks:
            self.deadline = time.monotonic() + limit_s
        self.tasks.append(task)
        self.held_bytes += len(task.packed)
        self.stream.sendall(task.packed)

    def receive(self, limit_s: float) -> Iterable[tuple[int, Reason, str | None]]:
        """Answers that have arrived.  Raises ConnectionError when the worker is gone."""
        data = self.stream.recv(1 << 16)
        if not data:
            raise ConnectionError
        self.buffer += data
        while (verdict := take_message(self.buffer)) is not None:
            reason, extracted = verdict
            task = self.tasks.popleft()
            self.held_bytes -= len(task.packed)
            self.deadline = time.monotonic() + limit_s
            yield task.number, reason, extracted


class Batch:
    """One run of a pool: hands out tasks, collects answers, replaces workers that are late or dead."""

    def __init__(
        self, server: Server, alive: list[Worker], waiting: deque[Task], grader: str, limit_s: float,
        grades: dict[int, Grade],
    ) -> None:  # fmt: skip
        self.server, self.alive, self.waiting = server, alive, waiting
        self.grader, self.limit_s, self.grades = grader, limit_s, grades
        self.deaths: dict[int, int] = {}
        self.selector = selectors.DefaultSelector()

    def run(self, workers: int) -> None:
        with self.selector:
            for worker in self.alive:
                self.selector.register(worker.stream, selectors.EVENT_READ, worker)
            while self.waiting or any(worker.tasks for worker in self.alive):
                busy = sum(1 for worker in self.alive if worker.tasks)
                while len(self.alive) < min(workers, busy + len(self.waiting)):
                    self._start_worker()
                self._hand_out()
                self._collect()
                for worker in [
                    late for late in self.alive if late.tasks and late.deadline <= time.monotonic()
                ]:
                    self._finish(worker.tasks.popleft(), "judge time-out", None)
                    self._remove(worker)

    def _start_worker(self) -> None:
        worker = self.server.spawn()
        self.alive.append(worker)
        self.selector.register(worker.stream, selectors.EVENT_READ, worker)

    def _hand_out(self) -> None:
        for worker in sorted(self.alive, key=lambda worker: len(worker.tasks)):
            share = max(1, len(self.waiting) // (2 * len(self.alive)))
            for _ in range(share):
                if not self.waiting or not worker.has_room(self.waiting[0]):
                    break
                try:
                    worker.send(self.waiting.popleft(), self.limit_s)
                except ConnectionError:
                    self._died(worker)
                    break

    def _collect(self) -> None:
        held = [worker.deadline for worker in self.alive if worker.tasks]
        wait = max(0.0, min(held, default=time.monotonic()) - time.monotonic())
        for event, _ in self.selector.select(wait):
            worker: Worker = event.data
            try:
                for index, reason, extracted in worker.receive(self.limit_s):
                    self._grade(index, reason, extracted)
            except ConnectionError:
                self._died(worker)

    def _died(self, worker: Worker) -> None:
        """A worker ended by itself: idle (it was large), on a bug, or killed by what it judged."""
        first = worker.tasks.popleft() if worker.tasks else None
        status = self._remove(worker)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1:
            raise JudgeError("a judge failed; its traceback is above")
        if first is None:
            return
        if not os.WIFEXITED(status):
            self.deaths[first.number] = self.deaths.get(first.number, 0) + 1
        if self.deaths.get(first.number, 0) >= ATTEMPTS:
            self._finish(first, "judge time-out", None)
        else:
            self.waiting.appendleft(first)

    def _remove(self, worker: Worker) -> int:
        self.waiting.extendleft(reversed(worker.tasks))
        worker.tasks.clear()
        self.alive.remove(worker)
        self.selector.unregister(worker.stream)
        worker.stream.close()
        return self.server.kill(worker.pid)

    def _finish(self, task: Task, reason: Reason, extracted: str | None) -> None:
        self._grade(task.number, reason, extracted)

    def _grade(self, index: int, reason: Reason, extracted: str | None) -> None:
        correct = reason == "correct"
        if extracted is not None:  # lone surrogates cannot be stored
            extracted = extracted.encode("utf-8", "replace").decode()
        self.grades[index] = Grade(
            correct=correct, extracted=extracted, reason=reason, grader=self.grader, score=float(correct)
        )
