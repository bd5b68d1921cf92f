"""Trusted code that reads what a program wrote, in a process of its own that can be ended.

Three kinds of it: the comparison of outputs that are not small, custom checkers, and interactors. A checker is
`check(given, expected, output) -> bool`: the test's input, its expectation and standard output as text, or arguments,
expectation and value of a function. An interactor is `interact(given, expected, read, write) -> bool`, where `read` and
`write` are text streams from and to the program. Both are named "module:function" and imported here, not in the executor:
what they read was written by a program that may want to stall or crash them. Requests and answers are frames
(sandbox.inside.frames), so that no side runs what the other chose; outputs come as descriptors.
"""

from __future__ import annotations

import importlib
import io
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from . import compare
from .inside import frames
from .model import Cancelled, SandboxError
from .output import Output

CHECKER_MEMORY_MB = 4096
_COMPARE_CPU_S = 10  # and four seconds for each MiB that is expected, several times what honest outputs take
CANCEL_S = 0.05  # how often a waiting run looks whether it was cancelled
_COMPARE_MEMORY_MB = 1024  # and sixteen times what is compared
_START = "import sys; sys.path[:] = {path!r}; from sandbox.judge_process import serve; serve({fd})"
_KEPT = 64 << 10


class CheckerFailed(SandboxError):
    """The checker raised, or its process died: its fault, and no verdict."""


class CheckerStalled(SandboxError):
    """What reads the output was still at it when its time was up, and was ended."""


class JudgeProcess:
    """A process that compares, checks and talks, one request at a time. Raises CheckerFailed where it cannot start."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        path = [os.path.abspath(entry or os.getcwd()) for entry in sys.path]
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        script = _START.format(path=[root, *path], fd=theirs.fileno())
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", "-c", script], env={}, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._socket = ours
        self._connection = Connection(os.dup(ours.fileno()))

    def close(self) -> None:
        """Ends the process, whatever it is at."""
        self._connection.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def compare(
        self, expected: int, output: Output, mode: str, tolerance: tuple[float, float], cancel: threading.Event | None
    ) -> bool:
        """Whether output or value is right; the expectation lies behind a descriptor, as text or as a frame. Raises
        CheckerStalled if that takes too much CPU time, CheckerFailed if the machine fails, and Cancelled.
        """
        place = output.value or (0, output.size)
        expected_mb = os.fstat(expected).st_size >> 20
        memory_mb = _COMPARE_MEMORY_MB + 16 * (expected_mb + (place[1] >> 20))
        cpu_s = _COMPARE_CPU_S + 4 * expected_mb
        arguments = [output.value is not None, list(place), mode, list(tolerance), memory_mb, cpu_s]
        self._send("comparison", "compare", arguments, [expected, output.descriptor])
        return self.answer("comparison", 12.0 * cpu_s, cancel)[0]

    def check(self, name: str, given: Any, expected: Any, output: Output) -> None:
        """Begins a check of standard output, or of a function's value. Raises CheckerFailed."""
        place = output.value or (0, output.size)
        self._send(name, "check", [given, expected, output.value is not None, list(place)], [output.descriptor])

    def try_out(self, name: str, given: Any, expected: Any, is_value: bool) -> None:
        """Begins a check of the expectation itself. Raises CheckerFailed."""
        self._send(name, "try out", [given, expected, is_value], [])

    def talk(self, name: str, given: Any, expected: Any, read: int, write: int, most_mb: int) -> None:
        """Begins a dialog over two descriptors, of which the process gets copies. Raises CheckerFailed."""
        self._send(name, "dialog", [given, expected, most_mb], [read, write])

    def _send(self, name: str, kind: str, arguments: Sequence[Any], descriptors: Sequence[int]) -> None:
        try:
            self._connection.send_bytes(frames.encode([name, kind, list(arguments), len(descriptors)]))
            if descriptors:
                socket.send_fds(self._socket, [b"."], list(descriptors))
        except OSError as error:
            raise CheckerFailed(f"the process of {name} is gone") from error

    def answer(self, name: str, seconds: float, cancel: threading.Event | None = None) -> tuple[bool, str, str]:
        """(accepted, what an interactor read, or its error, "value", "too much" or "unreadable"). Raises CheckerFailed,
        CheckerStalled, and Cancelled within CANCEL_S of the event.
        """
        deadline = time.monotonic() + seconds
        try:
            while not self._connection.poll(max(0.0, min(CANCEL_S, deadline - time.monotonic()) if cancel else seconds)):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("the run was cancelled")
                if time.monotonic() >= deadline:
                    raise CheckerStalled(f"{name} took more than {seconds:g} s")
            kind, value, text = frames.decode(self._connection.recv_bytes(1 << 20))
        except (EOFError, OSError) as error:
            status = self._process.wait()
            if status == -signal.SIGXCPU:
                raise CheckerStalled(f"{name} took too much CPU time") from error
            raise CheckerFailed(f"the process of {name} died (status {status})") from error
        if kind == "error":
            raise CheckerFailed(f"{name}: {text}")
        return bool(value), text, kind


class _TooMuch(Exception):
    """The program wrote more to its interactor than it may."""


class _Bounded(io.RawIOBase):
    """What the program writes: counted, and its beginning kept."""

    def __init__(self, descriptor: int, most: int) -> None:
        self._descriptor = descriptor
        self._left = most
        self.began = False
        self.kept = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.began = True
        count = os.readv(self._descriptor, [buffer])
        self._left -= count
        if self._left < 0:
            raise _TooMuch
        if len(self.kept) < _KEPT:
            self.kept += bytes(buffer[:count])[: _KEPT - len(self.kept)]
        return count


def _load(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


Answer = tuple[str, Any, str]


def _compare(
    descriptors: list[int], is_value: bool, place: list[int], mode: str, tolerance: list[float], memory_mb: int, cpu_s: int
) -> Answer:
    _bound(memory_mb, cpu_s)
    wanted = Output(descriptors[0])
    expected, given = wanted.read(0, wanted.size), Output(descriptors[1]).read(*place)
    try:
        if is_value:
            right = compare.value_matches(frames.decode(expected), given, mode, (tolerance[0], tolerance[1]))
        else:
            right = compare.text_matches(expected, given, mode, (tolerance[0], tolerance[1]))
    except MemoryError:
        right = False
    finally:
        _bound(CHECKER_MEMORY_MB, None)
    return "value", right, ""


def _check(name: str, descriptors: list[int], given: Any, expected: Any, is_value: bool, place: list[int]) -> Answer:
    output: Any = Output(descriptors[0]).read(*place)
    if is_value:
        try:
            output = frames.decode(output)
        except frames.FrameError:
            return "value", False, ""
    else:
        output = output.decode("utf-8", "replace")
    return _verdict(_load(name)(given, expected, output))


def _try_out(name: str, given: Any, expected: Any, is_value: bool) -> Answer:
    return _verdict(_load(name)(given, expected, expected if is_value or isinstance(expected, str) else ""))


def _verdict(answer: Any, text: str = "") -> Answer:
    if not isinstance(answer, bool):
        return "error", False, f"{type(answer).__name__} is not allowed as an answer; bool"
    return "value", answer, text


def _interact(name: str, descriptors: list[int], given: Any, expected: Any, most_mb: int) -> Answer:
    function = _load(name)
    raw = _Bounded(descriptors[0], most_mb << 20)
    read = io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8", errors="replace")
    try:
        with open(descriptors[1], "w", buffering=1, encoding="utf-8", closefd=False) as write:
            answer = _verdict(function(given, expected, read, write))
    except (EOFError, ConnectionError):  # the program ended the dialog
        answer = "value", False, ""
    except _TooMuch:
        answer = "too much", False, ""
    except (Exception, SystemExit) as error:  # of what the program said: a wrong answer, with the reason
        if not raw.began:
            raise
        answer = "unreadable", False, f"{type(error).__name__}: {error}"[:500]
    if answer[0] in ("value", "too much"):
        answer = *answer[:2], raw.kept.decode("utf-8", "replace")
    return answer


def _bound(memory_mb: int, cpu_s: int | None) -> None:
    """Bounds this process for the request in hand: its address space, and what it may still use of CPU time."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, resource.getrlimit(resource.RLIMIT_AS)[1]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = resource.RLIM_INFINITY if cpu_s is None else math.ceil(used.ru_utime + used.ru_stime) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def serve(descriptor: int) -> None:
    """The process's life: one request after the other, until the executor hangs up."""
    _bound(CHECKER_MEMORY_MB, None)
    connection = Connection(descriptor)
    channel = socket.socket(fileno=os.dup(descriptor))
    while True:
        try:
            name, kind, arguments, count = frames.decode(connection.recv_bytes())
            descriptors = socket.recv_fds(channel, 1, count)[1] if count else []
        except (EOFError, OSError):
            return
        answer: Answer
        try:
            if kind == "compare":
                answer = _compare(descriptors, *arguments)
            elif kind == "check":
                answer = _check(name, descriptors, *arguments)
            elif kind == "try out":
                answer = _try_out(name, *arguments)
            else:
                answer = _interact(name, descriptors, *arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - told to the executor, which decides whose fault it is
            answer = "error", False, f"{type(error).__name__}: {error}"[:500]
        finally:
            for opened in descriptors:
                os.close(opened)
        connection.send_bytes(frames.encode(list(answer)))
