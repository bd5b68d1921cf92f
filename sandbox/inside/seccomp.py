"""The system-call filter: an allow list in classic BPF (seccomp(2), linux/filter.h, linux/seccomp.h).

Not on the list: EPERM, which the program may catch (clone3 and a few probes: ENOSYS, so that libc falls
back). Another architecture's calling convention, that is 32-bit and x32 calls on x86_64, kills the process:
SIGSYS. Making processes and executing files are not on the list: a program is one process, with threads.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from . import kernel

_LOAD, _EQUAL, _GREATER_EQUAL, _JUMP, _RETURN, _AND = 0x20, 0x15, 0x35, 0x05, 0x06, 0x54
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); None where the architecture does not have the call
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "nanosleep": (35, 101),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "getpid": (39, 172),
    "shutdown": (48, 210),
    "exit": (60, 93),
    "uname": (63, 160),
    "flock": (73, 32),
    "ftruncate": (77, 46),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "umask": (95, 166),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "getgroups": (115, 158),
    "setrlimit": (160, 164),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "set_tid_address": (218, 96),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "epoll_ctl": (233, 21),
    "wait4": (61, 260),
    "waitid": (247, 95),
    "openat": (257, 56),
    "mkdirat": (258, 34),
    "newfstatat": (262, 79),
    "unlinkat": (263, 35),
    "renameat": (264, 38),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "epoll_create1": (291, 20),
    "dup3": (292, 24),
    "pipe2": (293, 59),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "getcpu": (309, 168),
    "renameat2": (316, 276),
    "getrandom": (318, 278),
    "statx": (332, 291),
    "rseq": (334, 293),
    "faccessat2": (439, 439),
    "getdents64": (217, 61),
    "open": (2, None),
    "stat": (4, None),
    "lstat": (6, None),
    "poll": (7, None),
    "access": (21, None),
    "pipe": (22, None),
    "select": (23, None),
    "dup2": (33, None),
    "pause": (34, None),
    "alarm": (37, None),
    "rename": (82, None),
    "mkdir": (83, None),
    "rmdir": (84, None),
    "creat": (85, None),
    "unlink": (87, None),
    "readlink": (89, None),
    "getpgrp": (111, None),
    "time": (201, None),
    "epoll_create": (213, None),
    "epoll_wait": (232, None),
    "eventfd": (284, None),
}
_UNKNOWN_TO_US: dict[str, tuple[int | None, int | None]] = {  # answered with ENOSYS: libc has a second way
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "copy_file_range": (326, 285),
    "sendfile": (40, 71),
    "epoll_pwait2": (441, 441),
    "openat2": (437, 437),
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
}
_POINTLESS: dict[str, tuple[int | None, int | None]] = {  # answered with success, and not done
    "fsync": (74, 82),  # what a program may write is in memory, but the library it reads lies on the host's disk
    "fdatasync": (75, 83),
}
_FCNTL_COMMANDS = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    1030,
    1034,
)  # DUPFD GET/SETFD GET/SETFL locks DUPFD_CLOEXEC GET_SEALS
_IOCTLS = (
    0x5401,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_PRCTLS = (15, 16, 0x53564D41)  # SET_NAME GET_NAME SET_VMA
_THREAD_FLAGS = 0x003D0F00  # those of pthread_create, no more: a thread with descriptors of its own escapes the limit
_CLONE_DETACHED = 0x00400000  # without effect; musl sets it
_MAP_HUGETLB = 0x00040000  # huge pages are not in the resident size
_MAP_ANONYMOUS_SHARED = 0x00000021  # MAP_ANONYMOUS with MAP_SHARED or MAP_SHARED_VALIDATE, which share a bit
_PID_MARK = 0x7E57_1D00  # replaced by the process's own pid in `install`


def _instruction(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, on_true, on_false, value)


def _argument(index: int, high: bool = False) -> bytes:
    return _instruction(_LOAD, 16 + 8 * index + (4 if high else 0))  # both machines are little-endian


def _any_of(argument: int, values: tuple[int, ...]) -> list[bytes]:
    """Allows when the low half of the argument is one of `values`."""
    tests = [_instruction(_EQUAL, value, len(values) - i) for i, value in enumerate(values)]
    return [_argument(argument), *tests, _instruction(_RETURN, _EPERM), _instruction(_RETURN, _ALLOW)]


def _threads_only() -> list[bytes]:
    """Allows clone for a new thread of this process that shares all with the others."""
    return [
        _argument(0),
        _instruction(_AND, 0xFFFFFFFF ^ _CLONE_DETACHED),
        _instruction(_EQUAL, _THREAD_FLAGS, 0, 1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _EPERM),
    ]


def _private_mappings() -> list[bytes]:
    """Allows mmap but for huge pages, which the resident size leaves out, and for shared anonymous memory, whose pages
    stay allocated after they have left the resident size and the address space (madvise, mremap).
    """
    return [
        _argument(3),
        _instruction(_AND, _MAP_HUGETLB),
        _instruction(_EQUAL, 0, 0, 4),
        _argument(3),
        _instruction(_AND, _MAP_ANONYMOUS_SHARED),
        _instruction(_EQUAL, _MAP_ANONYMOUS_SHARED, 1, 0),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _EPERM),
    ]


def _zero(argument: int) -> list[bytes]:
    """Allows when the 64-bit argument is zero."""
    return [
        _argument(argument),
        _instruction(_EQUAL, 0, 0, 3),
        _argument(argument, high=True),
        _instruction(_EQUAL, 0, 0, 1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _EPERM),
    ]


_CHECKED: dict[tuple[int, int], list[bytes]] = {  # (x86_64, aarch64): look at an argument
    (56, 220): _threads_only(),  # clone
    (72, 25): _any_of(1, _FCNTL_COMMANDS),
    (16, 29): _any_of(1, _IOCTLS),
    (157, 167): _any_of(0, _PRCTLS),
    (302, 261): _any_of(0, (0,)),  # prlimit64, of itself; hard limits never rise
    (62, 129): _any_of(0, (_PID_MARK,)),  # kill
    (234, 131): _any_of(0, (_PID_MARK,)),  # tgkill
    (9, 222): _private_mappings(),  # mmap
    (436, 436): _any_of(2, (0, 4)),  # close_range, without UNSHARE
    (53, 199): _any_of(0, (1,)),  # socketpair, AF_UNIX: asyncio needs one
    (44, 206): _zero(4),  # sendto and recvfrom without an address
    (45, 207): _zero(4),
}


def build(machine: str = kernel.MACHINE) -> bytes:
    """The filter's instructions, a mark where the own pid goes. Raises KeyError for an unknown machine."""
    side = 0 if machine == "x86_64" else 1
    actions: dict[int, tuple[bytes, ...]] = {}
    for calls, verdict in ((_ALLOWED, _ALLOW), (_UNKNOWN_TO_US, _ENOSYS), (_POINTLESS, _ERRNO)):
        for numbers in calls.values():
            if (number := numbers[side]) is not None:
                actions[number] = (_instruction(_RETURN, verdict),)
    for pair, body in _CHECKED.items():
        actions[pair[side]] = tuple(body)
    denied = (_instruction(_RETURN, _EPERM),)
    ranges: list[tuple[int, tuple[bytes, ...]]] = []  # first number, what to do from there on
    for number in range(max(actions) + 2):
        action = actions.get(number, denied)
        if not ranges or ranges[-1][1] != action:
            ranges.append((number, action))
    if side == 0:
        ranges.append((0x40000000, (_instruction(_RETURN, _KILL),)))  # x32
    start = [
        _instruction(_LOAD, 4),
        _instruction(_EQUAL, _ARCH[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, 0),
    ]
    return b"".join(start + _search(ranges))


def _search(ranges: list[tuple[int, tuple[bytes, ...]]]) -> list[bytes]:
    """A binary search: the kernel tries every call number at installation, so a list would cost 0.5 ms a
    program.
    """
    if len(ranges) == 1:
        return list(ranges[0][1])
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    if len(below) < 256:
        return [_instruction(_GREATER_EQUAL, ranges[middle][0], len(below), 0), *below, *above]
    jump = _instruction(_JUMP, len(below))
    return [_instruction(_GREATER_EQUAL, ranges[middle][0], 0, 1), jump, *below, *above]


class Filter:
    """A filter ready to be installed: what can be made before the fork is made before the fork."""

    def __init__(self) -> None:
        program = build()
        mark = struct.pack("=I", _PID_MARK)
        self._code = ctypes.create_string_buffer(program, len(program))
        self._header = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(self._code))
        base = ctypes.addressof(self._code)
        self._marks = [
            ctypes.c_uint32.from_address(base + at + 4)
            for at in range(0, len(program), 8)
            if program[at + 4 : at + 8] == mark
        ]
        self._step = [kernel.prepared("seccomp", 1, 0, self._header)]  # SECCOMP_SET_MODE_FILTER

    def install(self, pid: int) -> None:
        """Puts this process under the filter for good; `pid` is all it may signal. Raises OSError."""
        for mark in self._marks:
            mark.value = pid
        kernel.take(self._step)
