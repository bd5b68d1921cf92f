"""What is done to a program before its first untrusted byte is compiled. There is no way back.

The zygote does for good what it can do without itself (`prepare_zygote`); the rest is prepared once a sample and
done in each fork (`apply`). Order matters: resource limits, then identity, then the parent-death signal (a
change of identity clears it), then Landlock and, last, the system-call filter. Any failure is an exception: the
program never starts.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

from . import kernel, landlock, seccomp

STACK_BYTES = 100 << 20  # below the 128 MB that the kernel leaves free under the stack
DESCRIPTORS = 64
THREADS = 64
ADDRESS_SLACK = (
    768 << 20
)  # address space is not memory: arenas, guard pages, a thread's stack of 512 MiB that is never filled


_FIXED = (
    (resource.RLIMIT_STACK, STACK_BYTES),
    (resource.RLIMIT_NOFILE, DESCRIPTORS),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
    (resource.RLIMIT_SIGPENDING, 256),
)
_LIMITED = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, *(which for which, _ in _FIXED))
_HARD = {
    which: sys.maxsize if (hard := resource.getrlimit(which)[1]) == resource.RLIM_INFINITY else hard
    for which in _LIMITED
}


class Lock:
    """What `prepare` needs; `uid` None keeps the identity, `ruleset` None and `filter` None leave a layer out.

    `base_bytes` is the zygote's own address space; `count_threads` says that RLIMIT_NPROC counts this worker
    alone.
    """

    def __init__(
        self, uid: int | None, ruleset: int | None, filter: seccomp.Filter | None, base_bytes: int,
        count_threads: bool,
    ) -> None:  # fmt: skip
        self.uid = uid
        self.ruleset = ruleset
        self.filter = filter
        self.base_bytes = base_bytes
        self.count_threads = count_threads


def _limit(which: int, value: int) -> kernel.Step:
    limit = min(value, _HARD[which])
    return resource.setrlimit, (which, (limit, limit))


def prepare_zygote(lock: Lock) -> None:
    """What programs inherit from the zygote and it can do without itself. Raises OSError, ValueError."""
    kernel.take([_limit(which, value) for which, value in _FIXED])
    if lock.filter is None:
        return
    if lock.count_threads:
        resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))
    if lock.uid is not None:
        os.setgroups([])
        os.setresgid(lock.uid, lock.uid, lock.uid)
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def prepare(lock: Lock, cpu_s: float, memory_mb: int, output_mb: int) -> list[kernel.Step]:
    """The calls that lock a program down, but for the filter: CPU in seconds, memory and output in MiB."""
    address = lock.base_bytes + (memory_mb << 20) + ADDRESS_SLACK
    steps = [
        _limit(resource.RLIMIT_CPU, int(cpu_s) + 2),  # a backstop: the zygote watches the exact limit
        _limit(resource.RLIMIT_AS, address),
        _limit(resource.RLIMIT_FSIZE, (output_mb << 20) + 1),
    ]
    if lock.filter is None:
        return [*steps, kernel.prepared_prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)]
    if lock.uid is not None:
        steps.append((os.setresuid, (lock.uid, lock.uid, lock.uid)))
    steps.append(kernel.DROP_CAPABILITIES)
    steps.append(kernel.prepared_prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL))
    if lock.ruleset is not None:
        steps.append(landlock.prepared(lock.ruleset))
    return steps


def apply(lock: Lock, steps: list[kernel.Step]) -> None:
    """Locks this process, a fork of a prepared zygote, for good. Raises OSError, ValueError."""
    kernel.take(steps)
    if lock.filter is not None:
        lock.filter.install(os.getpid())
