"""The process that judges: started clean by `benchmarks.judge_pool`, it loads math-verify once and forks.

It is a fresh interpreter (not a fork of the caller), so it shares no CUDA context, thread or lock
with it; forking from it costs milliseconds where an import of math-verify costs a second.  Each
worker grades in its main thread, because math-verify's time-outs use SIGALRM.

Control socket (packets): `ready` at the start; `spawn` with a file descriptor → `PID`; `kill PID` →
wait status and the bytes by which the worker was ever larger than this process.  Its end means that
the caller is gone: all workers are killed.  Tasks go over one more socket for each worker
(`benchmarks.judge_wire`), and verdicts back: reason, extracted answer, processor time of the worker.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.judge_wire import pack_message, read_message
from benchmarks.judges import Judgement, judge_klear, quiet_math_verify
from benchmarks.strict.judge import judge_strict

MEMORY_BYTES = 4 << 30
"""Address space of a worker: a power tower ends in a MemoryError instead of filling the machine."""
RECYCLE_BYTES = 1 << 30
"""Resident size from which a worker ends after its answer and is replaced."""
STRICT_CPU_S = 0.5
"""Processor time of one strict grade.  The caller gives it twice, and both together must be less than 2 s."""
OUT_OF_MEMORY = 3
"""Exit status of a worker whose judge has not caught a MemoryError."""


class OutOfTime(BaseException):
    """Raised by the timer signal.  A BaseException, so that sympy's own handlers let it through."""


def _out_of_time(signum: int, frame: object) -> NoReturn:
    raise OutOfTime


def judge(task: dict[str, Any]) -> Judgement:
    """One judgement within its processor time."""
    if task["grader"] == "klear":
        return judge_klear(task["text"], task["gold"])
    try:
        signal.setitimer(signal.ITIMER_PROF, STRICT_CPU_S, 0.1)
        try:
            return judge_strict(task["text"], task["gold"], task["type"])
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except OutOfTime:
        signal.setitimer(signal.ITIMER_PROF, 0)
        return Judgement("judge time-out")


def _work(stream: socket.socket) -> None:
    buffer = bytearray()
    while (task := read_message(stream, buffer)) is not None:
        verdict = judge(task)
        stream.sendall(pack_message([verdict.reason, verdict.extracted, time.process_time()]))
        if _resident_bytes() > RECYCLE_BYTES:
            return


def _resident_bytes() -> int:
    # Not getrusage: its maximum is inherited from the caller across exec.
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _spawn(control: socket.socket, descriptor: int) -> int:
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return pid
    status = 1
    try:
        control.close()
        _work(socket.socket(fileno=descriptor))
        status = 0
    except ConnectionError:  # the caller is gone
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY
    finally:
        if status == 1:
            sys.excepthook(*sys.exc_info())
        os._exit(status)


def main(control_descriptor: int) -> None:
    """Serve until the control socket closes."""
    control = socket.socket(fileno=control_descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, _out_of_time)
    warnings.simplefilter("ignore")
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]  # a batch system may have set a lower one, which cannot be raised
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    quiet_math_verify()
    judge_klear(
        r"<think>\boxed{1}</think> $\boxed{\frac{2}{4}}$", r"\frac{1}{2}"
    )  # fills the parser's caches
    judge_strict(r"so it is $\boxed{\int_0^2 x dx + \sum_{n=1}^{\infty} 2^{-n}}$", "3")
    gc.freeze()
    size = _resident_bytes()
    workers: set[int] = set()
    control.send(b"ready")
    while True:
        packet, descriptors, _, _ = socket.recv_fds(control, 64, 1)
        if not packet:
            break
        if packet == b"spawn":
            pid = _spawn(control, descriptors[0])
            workers.add(pid)
            control.send(str(pid).encode())
        else:
            pid = int(packet.split()[1])
            workers.discard(pid)
            status, peak = _kill(pid)
            control.send(f"{status} {peak - size}".encode())
    for pid in workers:
        _kill(pid)


def _kill(pid: int) -> tuple[int, int]:
    """Wait status and largest resident size, in bytes."""
    os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    return status, used.ru_maxrss << 10
