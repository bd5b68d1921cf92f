"""Linux system calls that Python 3.11 does not wrap, called by number through ctypes.

Numbers and constants come from the kernel's uapi headers (asm/unistd_64.h for x86_64, asm-generic/unistd.h
for aarch64, linux/prctl.h, linux/sched.h, linux/capability.h). `syscall` raises OSError like the functions
of `os`.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False  # typing's own is one import, and that import is 0.05 ms a fork
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

Step: TypeAlias = "tuple[Callable[..., Any], tuple[Any, ...]]"
"""A function and its arguments. In a fork every page that is written is copied, 2 µs each, so a child makes calls
that were converted before the fork: few objects are touched.
"""

MACHINE = os.uname().machine
X86_64 = MACHINE == "x86_64"
AARCH64 = MACHINE == "aarch64"

_NUMBERS = {  # name: (x86_64, aarch64)
    "capset": (126, 91),
    "pivot_root": (155, 41),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_NOATIME = 1024
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19
MNT_DETACH = 2

# PyDLL keeps the GIL: these calls are short, and the process that makes them has one thread.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


_CAPABILITY_HEADER = b"\x22\x05\x08\x20" + bytes(4)  # _LINUX_CAPABILITY_VERSION_3, this process


def supported() -> bool:
    """Whether system-call numbers are known for this machine."""
    return os.name == "posix" and os.uname().sysname == "Linux" and (X86_64 or AARCH64)


def syscall(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Calls `name`; integers travel as 64-bit values, bytes as pointers. Raises OSError with the kernel's
    errno.
    """
    number = _NUMBERS[name][0 if X86_64 else 1]
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *values)
    if result < 0:
        _fail(name)
    return result


def prepared(name: str, *arguments: int | bytes) -> Step:
    """The call `syscall(name, *arguments)`, converted beforehand: `take` makes it."""
    number = _NUMBERS[name][0 if X86_64 else 1]
    values = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return _libc.syscall, (ctypes.c_long(number), *values)


def prepared_prctl(option: int, a: int) -> Step:
    """The call `prctl(option, a)`, converted beforehand."""
    return _libc.prctl, (ctypes.c_int(option), *map(ctypes.c_ulong, (a, 0, 0, 0)))


def take(steps: Iterable[Step]) -> None:
    """Makes prepared calls in order. Raises OSError at the first that fails."""
    for function, arguments in steps:
        if (function(*arguments) or 0) < 0:
            _fail("lock-down")


def _fail(name: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{name}: {os.strerror(number)}")


def fork() -> int:
    """fork(3) without the interpreter's after-fork work, which costs 1 ms of page faults in the child.

    Only right in a process with one thread whose child makes no use of inherited locks: that is the zygote.
    """
    pid: int = _libc.fork()
    if pid < 0:
        _fail("fork")
    return pid


def prctl(option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> None:
    """prctl(2). Raises OSError."""
    if _libc.prctl(option, ctypes.c_ulong(a), ctypes.c_ulong(b), ctypes.c_ulong(c), ctypes.c_ulong(d)) < 0:
        _fail("prctl")


def unshare(flags: int) -> None:
    """unshare(2), which `os` lacks before Python 3.12. Raises OSError."""
    if _libc.unshare(ctypes.c_int(flags)) < 0:
        _fail("unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2). Raises OSError that names the target."""
    status = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    if status < 0:
        _fail(f"mount {target}")


def unmount(target: str) -> None:
    """umount2(2), lazily: what is still open stays alive, nothing new can be reached. Raises OSError."""
    if _libc.umount2(target.encode(), MNT_DETACH) < 0:
        _fail(f"umount {target}")


DROP_CAPABILITIES = prepared("capset", _CAPABILITY_HEADER, bytes(24))
"""Empties the effective, permitted and inheritable sets; with no_new_privs they never come back."""
