"""What a forked program does to itself before the first untrusted byte is compiled. There is no way back.

Order matters: resource limits, then identity, then the parent-death signal (a change of identity clears it),
then no_new_privs, Landlock and, last, the system-call filter. Any failure is an exception: the program never
starts.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from dataclasses import dataclass

from . import kernel, landlock, seccomp

STACK_BYTES = 100 << 20  # below the 128 MB that the kernel leaves free under the stack
DESCRIPTORS = 64
THREADS = 64
ADDRESS_SLACK = (
    256 << 20
)  # address space is not memory: arenas and guard pages; peak memory is checked afterwards


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


@dataclass(frozen=True)
class Lock:
    """What `apply` needs; `uid` None keeps the identity, `ruleset` None and `filter` None leave a layer out.

    `base_bytes` is the zygote's own address space; `count_threads` says that RLIMIT_NPROC counts this worker
    alone.
    """

    uid: int | None
    ruleset: int | None
    filter: seccomp.Filter | None
    base_bytes: int
    count_threads: bool


def apply(lock: Lock, cpu_s: float, memory_mb: int, output_mb: int) -> None:
    """Limits this process for good: CPU in seconds, memory and output in MiB. Raises OSError, ValueError."""
    address = lock.base_bytes + (memory_mb << 20) + ADDRESS_SLACK
    for which, value in (
        (resource.RLIMIT_CPU, int(cpu_s) + 2),  # a backstop: the zygote watches the exact limit
        (resource.RLIMIT_AS, address),
        (resource.RLIMIT_FSIZE, (output_mb << 20) + 1),
        *_FIXED,
    ):
        limit = min(value, _HARD[which])
        resource.setrlimit(which, (limit, limit))
    if lock.filter is None:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    if lock.count_threads:
        resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))
    if lock.uid is not None:
        os.setgroups([])
        os.setresgid(lock.uid, lock.uid, lock.uid)
        os.setresuid(lock.uid, lock.uid, lock.uid)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if lock.ruleset is not None:
        landlock.restrict(lock.ruleset)
    lock.filter.install(os.getpid())
