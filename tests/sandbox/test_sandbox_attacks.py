"""Attacks beyond the 52 cases, by what they are after: files, network, processes, memory, the grader.

`pytest -k files` runs a group. Each program makes a real attempt and says what it got; a call that is refused raises
OSError. The last part takes features away from the kernel and shows that nothing runs without them.
"""

# ruff: noqa: E501 - an attack reads best on its line

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import sandbox
from sandbox import Executor, Limits, Test
from sandbox.inside import kernel

ROOT = Path(sandbox.__file__).resolve().parents[1]
CALL = """
import ctypes, errno, mmap, os, signal, socket, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.sbrk.restype = ctypes.c_void_p
def call(x86_64, aarch64, *arguments):
    result = libc.syscall(x86_64 if os.uname().machine == "x86_64" else aarch64, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result
def refused(*attempts):
    for attempt in attempts:
        try:
            print("not refused:", attempt, attempt())
        except OSError:
            pass
"""
REFUSED = {
    "files": {
        "openat2-magic-link": "refused(lambda: call(437, 437, -100, b'/proc/self/root', struct.pack('QQQ', os.O_PATH, 0, 0), 24))",
        "tmpfile-linkat": """
def link():
    fd = os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)
    call(265, 37, fd, b"", -100, b"/tmp/linked", 0x1000)
refused(link, lambda: call(265, 37, 0, b"", -100, b"/tmp/input", 0x1000))""",
        "new-mount-api": """
refused(lambda: call(430, 430, b"tmpfs", 0), lambda: call(432, 432, 0, 0, 0), lambda: call(433, 433, -100, b"/", 0),
        lambda: call(428, 428, -100, b"/", 1), lambda: call(429, 429, -100, b"/tmp", -100, b"/", 0),
        lambda: call(442, 442, -100, b"/", 0, bytes(32), 32), lambda: call(166, 39, b"/tmp", 2))""",
        "file-handles": """
handle = ctypes.create_string_buffer(struct.pack("II", 128, 0) + bytes(128))
refused(lambda: call(303, 264, -100, b"/", handle, ctypes.byref(ctypes.c_int()), 0),
        lambda: call(304, 265, 0, struct.pack("IIQ", 8, 1, 2), 0))""",
        "input-reopened-for-writing": """
def reopen():
    fd = os.open("/proc/self/fd/0", os.O_RDWR)
    return os.pwrite(fd, b"9", 0)
refused(reopen, lambda: os.pwrite(0, b"9", 0), lambda: os.ftruncate(0, 0), lambda: mmap.mmap(0, 1))""",
        "library-mapped-for-writing": """
fd = os.open(os.__file__, os.O_RDONLY)
refused(lambda: mmap.mmap(fd, 4096), lambda: os.fchmod(fd, 0o777), lambda: os.fchown(fd, 0, 0), lambda: os.ftruncate(fd, 0),
        lambda: os.open(os.__file__, os.O_RDWR), lambda: os.open(os.__file__, os.O_WRONLY | os.O_TRUNC))""",
        "parents-of-the-root": """
def climb(*ways):
    for way in ways:
        os.chdir(way)
    return os.open("etc/passwd", os.O_RDONLY)
root = os.open("/", os.O_PATH)
refused(lambda: climb("/", "..", ".."), lambda: os.open("../../../etc/shadow", os.O_RDONLY, dir_fd=root),
        lambda: os.open("etc/passwd", os.O_RDONLY, dir_fd=root), lambda: os.open("/proc/self/cwd/../etc/passwd", os.O_RDONLY))""",
        "exchange-with-the-library": """
name = os.__file__.encode()
refused(lambda: call(316, 276, -100, name, -100, b"/tmp/os.py", 2), lambda: call(316, 276, -100, name, -100, name + b".old", 0),
        lambda: os.rename(os.path.dirname(os.__file__), "/tmp/library"))""",
        "watching-files": """
refused(lambda: call(294, 26, 0), lambda: call(300, 262, 0, 0), lambda: call(301, 263, 0, 1, 0, -100, b"/"),
        lambda: call(0x48, 25, os.open("/", os.O_PATH), 1026, 1))""",
        "devices": """
refused(lambda: call(133, 33, -100, b"/tmp/sda", 0o60660, 0x800), lambda: os.open("/dev/kmsg", os.O_RDONLY),
        lambda: os.open("/dev/tty", os.O_RDWR), lambda: os.open("/dev/ptmx", os.O_RDWR), lambda: os.open("/dev/fuse", os.O_RDWR),
        lambda: os.open("/dev/net/tun", os.O_RDWR), lambda: call(16, 29, os.open("/dev/random", os.O_RDONLY), 0x5203, 0))""",
    },
    "network": {
        "descriptors-through-a-pair": """
a, b = socket.socketpair()
refused(lambda: socket.send_fds(a, [b"x"], [0]), lambda: socket.recv_fds(b, 1, 1), lambda: call(307, 269, a.fileno(), 0, 0, 0),
        lambda: call(299, 243, a.fileno(), 0, 0, 0, 0))""",
        "pair-made-into-a-server": """
a, b = socket.socketpair(type=socket.SOCK_DGRAM)
address = b"\\1\\0\\0abstract"
refused(lambda: call(49, 200, a.fileno(), address, 11), lambda: call(50, 201, a.fileno(), 1), lambda: call(42, 203, a.fileno(), address, 11),
        lambda: call(43, 202, a.fileno(), 0, 0), lambda: call(288, 242, a.fileno(), 0, 0, 0), lambda: a.sendto(b"x", "\\0abstract"))""",
        "other-families-pairs": """
refused(*(lambda family=family: call(53, 199, family, kind, 0, ctypes.create_string_buffer(8))
          for family in (0, 2, 10, 16, 17, 30, 31, 38, 40, 44) for kind in (1, 2, 3, 5)))""",
        "who-is-the-peer": """
a, b = socket.socketpair()
refused(lambda: a.getsockopt(socket.SOL_SOCKET, 17, 12), lambda: a.setsockopt(socket.SOL_SOCKET, 50, 0), lambda: a.getsockname(),
        lambda: a.setsockopt(socket.SOL_SOCKET, 32, 1 << 30), lambda: call(16, 29, a.fileno(), 0x8912, bytes(64)),
        lambda: call(16, 29, a.fileno(), 0x8933, bytes(64)))""",
        "io_uring": """
refused(lambda: call(425, 425, 4, ctypes.create_string_buffer(120)), lambda: call(426, 426, 1, 1, 1, 0, 0, 0), lambda: call(427, 427, 1, 0, 0, 0),
        lambda: call(206, 0, 1, ctypes.byref(ctypes.c_ulong())), lambda: call(209, 2, 0, 0, 0))""",
        "names": """
refused(lambda: socket.getaddrinfo("localhost", 80), lambda: socket.gethostbyname("example.com"), lambda: socket.if_nameindex(),
        lambda: socket.sethostname("x"), lambda: open("/etc/resolv.conf"))""",
    },
    "processes": {
        "signals-by-other-calls": """
parent = os.getppid() or 1
info = struct.pack("iii", 9, 0, -1) + bytes(116)
refused(lambda: call(200, 130, parent, 9), lambda: call(129, 138, parent, 9, info), lambda: call(297, 240, parent, parent, 9, info),
        lambda: call(234, 131, parent, parent, 9), lambda: call(234, 131, -1, parent, 9), lambda: call(424, 424, 0, 9, 0, 0),
        lambda: os.killpg(os.getpgid(0), 9))""",
        "clone-flags": """
stack = ctypes.create_string_buffer(1 << 16)
top = ctypes.addressof(stack) + (1 << 15)
flags = [17, 0x100 | 17, 0x4100 | 17, 0x10000 | 0x900, 0x3d0f00 & ~0x400, 0x3d0f00 & ~0x200, 0x3d0f00 | 0x40000000, 0x3d0f00 | 0x1000,
         0x3d0f00 | 0x2000, 0x80000000 | 17, 0x10000000 | 17, 0x3d0f00 | 0x00020000]
refused(*(lambda f=f: call(56, 220, f, top, 0, 0, 0) for f in flags), lambda: call(58, 1079, 0), lambda: call(435, 435, bytes(88), 88))""",
        "descriptors-of-a-thread-s-own": "refused(lambda: call(436, 436, 60, 63, 2), lambda: call(272, 97, 0x400), lambda: call(272, 97, 0x200))",
        "scheduling": """
refused(lambda: call(141, 140, 0, 0, -20), lambda: call(141, 140, 0, os.getppid(), 19), lambda: call(144, 119, 0, 1, struct.pack("i", 1)),
        lambda: call(314, 274, 0, bytes(56), 0), lambda: call(251, 30, 1, 0, 0), lambda: call(203, 122, 0, 8, b"\\1" + bytes(7)),
        lambda: call(142, 118, 0, struct.pack("i", 0)), lambda: os.nice(1))""",
        "prctl": """
def prctl(option, *rest):
    if libc.prctl(option, *map(ctypes.c_ulong, (*rest, 0, 0, 0, 0)[:4])) < 0:
        raise OSError(ctypes.get_errno(), "refused")
refused(*(lambda o=o: prctl(o, 1) for o in (0x59616d61, 2, 3, 7, 8, 9, 24, 26, 28, 29, 33, 35, 36, 41, 47, 53, 57, 59, 62, 65)))""",
        "other-programs": """
refused(lambda: call(322, 281, os.open(os.__file__, os.O_RDONLY), b"", 0, 0, 0x1000), lambda: call(59, 221, b"/lib64/ld-linux-x86-64.so.2", 0, 0),
        lambda: call(59, 221, b"/usr/bin/python3", 0, 0), lambda: call(175, 105, 0, 0, b""), lambda: call(313, 273, 0, b"", 0))""",
        "asynchronous-owners": """
read, write = os.pipe()
import fcntl
refused(lambda: fcntl.fcntl(read, 8, os.getppid()), lambda: fcntl.fcntl(read, 15, bytes(8)), lambda: fcntl.fcntl(read, 10, 9),
        lambda: fcntl.fcntl(read, 1024, 0), lambda: call(16, 29, read, 0x8901, struct.pack("i", os.getppid())),
        lambda: call(16, 29, read, 0x5452, struct.pack("i", 1)), lambda: call(16, 29, 0, 0x5412, b"x"))""",
        "memory-of-others": """
parent = os.getppid() or 1
refused(lambda: call(440, 440, parent, 0, 0, 4, 0), lambda: call(279, 239, parent, 0, 0, 0, 0), lambda: call(256, 238, parent, 0, 0, 0),
        lambda: call(273 + 1, 100, parent, bytes(8), bytes(8)), lambda: os.open(f"/proc/{parent}/mem", os.O_RDWR),
        lambda: os.open(f"/proc/{parent}/maps", os.O_RDONLY), lambda: os.readlink(f"/proc/{parent}/exe"), lambda: os.listdir(f"/proc/{parent}/fd"))""",
        "keys-and-watchers": """
refused(lambda: call(248, 217, b"user", b"x", b"y", 1, -1), lambda: call(249, 218, b"user", b"x", 0, 0), lambda: call(298, 241, bytes(128), 0, -1, -1, 0),
        lambda: call(321, 280, 0, bytes(128), 128), lambda: call(323, 282, 1), lambda: call(444, 444, 0, 0, 1), lambda: call(447, 447, 0))""",
    },
    "memory": {
        "memfd-and-secret": """
refused(lambda: call(319, 279, b"x", 2), lambda: call(319, 279, b"x", 4), lambda: call(447, 447, 0), lambda: call(29, 194, 0, 1 << 20, 0o1600),
        lambda: call(30, 196, 0, 0, 0), lambda: call(64, 190, 0, 1, 0o1600), lambda: call(68, 186, 0, 0o1600), lambda: call(240, 180, b"q", 66, 0o600, 0))""",
        "locked": """
page = ctypes.create_string_buffer(8192)
refused(lambda: call(149, 228, ctypes.byref(page), 8192), lambda: call(325, 284, ctypes.byref(page), 8192, 0), lambda: call(151, 230, 3),
        lambda: mmap.mmap(-1, 8192, flags=0x2022))""",
        "huge-pages": "refused(lambda: mmap.mmap(-1, 2 << 20, flags=0x40022), lambda: mmap.mmap(-1, 2 << 20, flags=0x40021 | 21 << 26))",
        "unreserved": "refused(lambda: mmap.mmap(-1, 1 << 40, flags=0x4022), lambda: mmap.mmap(-1, 3 << 30, flags=0x4021), lambda: mmap.mmap(-1, 3 << 30, prot=0))",
        "grown": """
area = mmap.mmap(-1, 1 << 20)
refused(lambda: area.resize(3 << 30))
if libc.sbrk(ctypes.c_long(2 << 30)) != 2**64 - 1: print("not refused: sbrk")""",
        "stacks-of-threads": """
threading.stack_size(600 << 20)
started = []
def start():
    for _ in range(9):
        started.append(threading.Thread(target=threading.Event().wait, daemon=True))
        try:
            started[-1].start()
        except RuntimeError as error:
            raise OSError from error
refused(start)""",
    },
}  # fmt: skip
_ATTEMPTS = [(group, name) for group, attacks in REFUSED.items() for name in attacks]


@pytest.mark.parametrize(("group", "name"), _ATTEMPTS, ids=["-".join(pair) for pair in _ATTEMPTS])
def test_every_way_is_refused(judge, group, name):
    result = judge(f"{CALL}{REFUSED[group][name]}\nprint(1)", memory_mb=256, cpu_s=5)
    assert result.verdict == "AC", (result.stdout, result.stderr)


def test_files_of_the_zygote_cannot_be_opened_through_its_descriptors(executor, judge):
    """It holds the compiled program, and in the landlock tier its /proc entries have names."""
    code = """
import os
opened = 0
for process in {os.getppid(), os.getpid() - 1, 1}:
    for descriptor in range(3, 64):
        try:
            opened += bool(os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDWR))
        except OSError:
            pass
print(opened)
"""
    assert judge(code, "0").verdict == "AC"


def test_files_flushed_a_thousand_times_do_not_touch_the_disk(judge):
    code = "import os\nfd = os.open(os.__file__, os.O_RDONLY)\nfor _ in range(20000):\n    os.fsync(fd); os.fdatasync(fd)\nprint(1)"
    assert judge(code, cpu_s=3).verdict == "AC"


def test_files_in_the_landlock_tier_links_tell_their_target_and_uname_the_host(executor, judge):
    """What no namespace hides: names. docs/sandbox.md says so."""
    import socket

    code = "import os, socket\nprint(socket.gethostname(), os.path.lexists('/etc/passwd'))"
    seen = judge(code).stdout.split()
    assert seen == ([socket.gethostname(), "True"] if executor.tier == "landlock" else ["sandbox", "False"])


def test_processes_the_main_thread_s_end_does_not_stop_the_clock(judge):
    code = """
import ctypes, os, threading
def go_on():
    while True: pass
threading.Thread(target=go_on).start()
print(1, flush=True)
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)
"""
    assert judge(code, cpu_s=0.3, wall_s=2).verdict == "TLE"


def test_processes_that_stop_themselves_are_ended(judge):
    assert judge("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", cpu_s=0.3, wall_s=0.5).verdict == "TLE"


def test_processes_that_die_of_any_signal_get_a_verdict(executor):
    """IE would be no result: a program must not be able to ask for it."""
    code = "import os\nn = int(input())\nprint(1, flush=True)\nos.kill(os.getpid(), n)\nimport time\ntime.sleep(0.1)"
    stopping = {19, 20, 21, 22}
    tests = [Test(input=str(n), expected="1") for n in range(1, 65) if n not in stopping]
    verdicts = {t.verdict for t in executor.run(code, tests).tests}
    assert verdicts <= {"AC", "RE", "SV"} and "RE" in verdicts


def test_memory_that_leaves_the_resident_size_stays_bounded_by_the_address_space(judge):
    code = """
import mmap, sys
keep = []
try:
    while True:
        area = mmap.mmap(-1, 8 << 20)
        area.write(b"x" * (8 << 20))
        area.madvise(mmap.MADV_DONTNEED)
        keep.append(area)
except OSError:
    print(len(keep) * 8 <= 128 + 256 + 64)
"""
    assert judge(code, "True", memory_mb=128).verdict in ("AC", "MLE")


def test_memory_is_watched_under_a_forged_process_name(judge):
    code = """
import ctypes
ctypes.CDLL(None).prctl(15, b") R 1 1 1 1\\n1 1", 0, 0, 0)
x = []
while True: x.append(bytearray(1 << 20))
"""
    assert judge(code, memory_mb=128).verdict == "MLE"


def test_memory_taken_after_the_main_thread_has_gone_is_counted(judge):
    code = """
import ctypes, os, threading
def grow():
    x = [bytearray(1 << 20) for _ in range(300)]
    os.write(1, b"1")
    os._exit(0)
threading.Thread(target=grow).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)
"""
    assert judge(code, memory_mb=128).verdict == "MLE"


def test_memory_for_many_small_mappings_ends_in_an_error(judge):
    code = """
import mmap
keep = []
try:
    while True: keep.append(mmap.mmap(-1, 4096, prot=1 + len(keep) % 2 * 2))
except OSError:
    print(1)
"""
    assert judge(code, memory_mb=256).verdict in ("AC", "MLE", "RE")


def test_memory_for_the_compiler_is_bounded(judge):
    assert judge("x = [" + "[a, b]," * 600_000 + "]", memory_mb=64, cpu_s=5).verdict == "CE"


def test_memory_of_the_kernel_behind_descriptors_is_bounded(judge):
    """64 descriptors, threads included, are some MiB of buffers."""
    code = """
import ctypes, os, socket, threading
libc = ctypes.CDLL(None)
def hoard(keep):
    libc.syscall(436, 60, 63, 2)
    try:
        while True: keep.extend(socket.socketpair())
    except OSError:
        pass
keep = [[] for _ in range(8)]
threads = [threading.Thread(target=hoard, args=(mine,)) for mine in keep]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(map(len, keep)) <= 64)
"""
    assert judge(code, "True").verdict == "AC"


def test_memory_of_earlier_programs_is_not_inherited(executor):
    """What a program writes to standard error passes through the zygote, whose memory the next one is a copy of."""
    code = """
import ctypes, os, sys
def mark(): return b"".join(reversed([b"test", b"first-", b"secret-of-the-"]))
if int(input()) == 1:
    sys.stderr.buffer.write(mark() * 2000)
else:
    libc = ctypes.CDLL(None)
    libc.sbrk.restype, libc.write.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    at, (there, here) = libc.sbrk(0), os.pipe()
    back, found, pages = mark()[::-1], 0, 0
    while libc.write(here, at - 4096, 4096) == 4096:  # as far as the heap reaches
        at, pages = at - 4096, pages + 1
        found += os.read(there, 4096)[::-1].count(back)  # backwards, or the needle would find itself
    print(found if pages > 100 else "no heap")
"""
    tests = [Test(input="1", expected=""), *[Test(input="2", expected="0")] * 3]
    result = executor.run(code, tests)
    assert result.passed, result


POISON = """
import marshal, os, struct
code = marshal.dumps(compile("print(7)", "<solution>", "exec"))
data = struct.pack("<Q", len(code)) + code
def poison():
    for descriptor in [*range(3, 200)]:
        for path in (None, f"/proc/self/fd/{descriptor}", f"/proc/{os.getppid()}/fd/{descriptor}"):
            try:
                target = os.open(path, os.O_RDWR) if path else descriptor
                os.pwrite(target, data, 0)
            except OSError:
                pass
poison()
print(int(input()))
"""


def test_grader_compiled_code_cannot_be_replaced_for_the_next_tests(executor):
    result = executor.run(POISON, [Test(input=str(i), expected="7") for i in (1, 2, 3)])
    assert [t.verdict for t in result.tests] == ["WA"] * 3
    assert [t.stdout for t in result.tests] == ["1\n", "2\n", "3\n"]


def test_grader_the_zygote_is_found_in_the_frames_and_is_of_no_use(executor):
    code = """
import sys
frame, found = sys._getframe(), []
while frame:
    found += [value for value in frame.f_locals.values() if hasattr(value, "connection") and hasattr(value, "shared")]
    frame = frame.f_back
gained = 0
for zygote in found:
    for attack in (
        lambda: zygote.connection.send(b'{"reached":2,"status":0,"cpu_s":0,"wall_s":0,"peak_kb":1,"killed":null}\\n'),
        lambda: zygote.shared.__setitem__(0, 0),
        lambda: zygote.serve(),
    ):
        try:
            attack()
            gained += 1
        except (OSError, ValueError, EOFError):
            pass
print(gained)
"""
    result = executor.run(code, [Test(input="", expected="0")] * 2)
    assert result.passed, result


LIES = {
    "int-subclass": "class L(int):\n    def __int__(self): return 1\n    __index__ = __float__ = __int__\ndef f(x): return L(2)",
    "list-subclass": "class L(list):\n    def __iter__(self): return iter([1])\n    def __len__(self): return 1\ndef f(x): return L([2])",
    "json": "import json\njson.dumps = json.JSONEncoder.encode = lambda *a, **k: '3'\ndef f(x): return 2",
    "class": "class L:\n    __class__ = property(lambda self: int)\n    def __eq__(self, o): return True\n    __hash__ = None\ndef f(x): return L()",
    "seal": "import sys\nframe = sys._getframe()\nwhile frame:\n    frame.f_globals['_finish'] = lambda *a: 0\n    frame = frame.f_back\n"
    "def f(x): return 2",
    "timer": "import signal\ndef late(*a): raise SystemExit(0)\nsignal.signal(signal.SIGALRM, late)\n"
    "signal.setitimer(signal.ITIMER_REAL, 1e-5, 1e-5)\ndef f(x):\n    while True: pass",
    "last-word": "class L:\n    def __del__(self):\n        import os; os.write(1, b'1'); os._exit(0)\nkeep = L()\ndef f(x):\n    global keep\n    del keep",
    "main-module": "import sys\nsys.modules['frames'] = sys.modules['inside'] = sys\ndef f(x): return 2",
}


@pytest.mark.parametrize("mode", ["native", "lcb_compat"])
@pytest.mark.parametrize("lie", LIES)
def test_grader_is_not_told_a_lie_about_a_wrong_value(call, lie, mode):
    assert call(LIES[lie], [1], 1, mode, cpu_s=2).verdict in ("WA", "RE", "TLE")


def test_grader_only_compares_what_a_second_thread_says_after_the_frame(call):
    code = """
import os, struct, threading
token = os.pread(0, 16, 0)
def later():
    while True:
        try:
            os.write(1, b'3' + struct.pack('<Q16s7s', 1, token, b'\\0klear1'))
        except OSError:
            pass
def f(x):
    threading.Thread(target=later, daemon=True).start()
    return 2
"""
    for _ in range(5):
        assert call(code, [1], 1, output_mb=1, wall_s=2).verdict in ("WA", "RE", "OLE")


def test_grader_takes_the_exit_status_of_the_process_and_not_of_a_thread(judge):
    code = "import os, threading\nprint(1, flush=True)\nthreading.Thread(target=os._exit, args=(3,)).start()\nimport time\ntime.sleep(1)\nos._exit(0)"
    result = judge(code)
    assert (result.verdict, result.exit_code) == ("RE", 3)


def test_grader_is_not_stalled_by_keys_that_collide(call):
    """The hash of a whole number is its remainder by 2**61 - 1: such a set takes quadratic time to build."""
    honest = "def f(x): return {2**i: i for i in range(3000)}"
    many = """
import os, struct
def f(x):
    payload = ('{"set":[' + ','.join('{"int":"%x"}' % (i * (2**61 - 1)) for i in range(1, 30000)) + ']}').encode()
    os.write(1, payload + struct.pack('<Q16s7s', len(payload), os.pread(0, 16, 0), b'\\0klear1'))
    os._exit(0)
"""
    assert call(honest, [1], {2**i: i for i in range(3000)}).verdict == "AC"
    started = time.monotonic()
    assert call(many, [1], list(range(10_000))).verdict == "WA"
    assert time.monotonic() - started < 1.5


WITHOUT = """
import ctypes, os, struct, sys
sys.path.insert(0, sys.argv[1])
from sandbox import Executor, IsolationUnavailable, Test
from sandbox.inside import kernel
numbers = [int(text) for text in sys.argv[3:]]
def instruction(code, value, on_true=0, on_false=0): return struct.pack("=HBBI", code, on_true, on_false, value)
program = instruction(0x20, 0)
for number in numbers:
    program += instruction(0x15, number, 0, 1) + instruction(0x06, 0x00050026)
program += instruction(0x06, 0x7FFF0000)
kept = ctypes.create_string_buffer(program, len(program))
kernel.prctl(38, 1)
kernel.syscall("seccomp", 1, 0, struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(kept)))
try:
    with Executor(workers=1, tier=sys.argv[2]) as executor:
        result = executor.run("print(1)", [Test(input="", expected="1")])
        print(executor.tier, result.verdict, *executor.notes)
except IsolationUnavailable as error:
    print("refused", error)
"""
NUMBERS = {  # x86_64, aarch64
    "landlock_create_ruleset": (444, 444), "landlock_restrict_self": (446, 446), "seccomp": (317, 277), "unshare": (272, 97),
    "pivot_root": (155, 41), "mount": (165, 40), "capset": (126, 91), "pidfd_open": (434, 434), "memfd_create": (319, 279),
    "setresuid": (117, 147), "prlimit64": (302, 261),
}  # fmt: skip


def _without(tier: str, *missing: str) -> str:
    numbers = [str(NUMBERS[name][0 if kernel.X86_64 else 1]) for name in missing]
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(ROOT), tier, *numbers], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


@pytest.fixture(scope="module")
def granted() -> set[str]:
    """The tiers of this machine."""
    found = set()
    for tier in sandbox.TIERS:
        if _without(tier).startswith(tier):
            found.add(tier)
    return found


@pytest.mark.parametrize("tier", sandbox.TIERS)
@pytest.mark.parametrize("missing", ["seccomp", "landlock_restrict_self", "unshare", "mount", "pivot_root", "capset", "pidfd_open"])
def test_a_kernel_without_a_feature_runs_nothing_with_less_isolation(granted, tier, missing):
    if tier not in granted:
        pytest.skip(f"tier {tier} is not granted here")
    answer = _without(tier, missing)
    if tier == "landlock" and missing in ("unshare", "mount", "pivot_root"):
        assert answer.startswith("landlock AC"), answer  # it needs none of them
    else:
        assert answer.startswith("refused") or answer.startswith(f"{tier} IE") or "Error" in answer, answer


def test_a_kernel_without_landlock_keeps_the_namespaced_tiers_which_say_so(granted):
    for tier in granted:
        answer = _without(tier, "landlock_create_ruleset")
        assert answer.startswith("refused") if tier == "landlock" else (answer.startswith(f"{tier} AC") and "no Landlock" in answer), answer


def test_auto_takes_the_next_tier_and_in_the_end_none(granted):
    if "landlock" in granted:
        assert _without("auto", "unshare").startswith("landlock AC")
    assert _without("auto", "unshare", "landlock_create_ruleset").startswith("refused")


def test_in_the_unsafe_tier_limits_hold_and_nothing_else_is_promised():
    with Executor(workers=1, tier="unsafe") as executor:
        loop = executor.run("while True: pass", [Test(input="", expected="")], Limits(cpu_s=0.2, wall_s=1))
        assert (loop.verdict, loop.tier) == ("TLE", "unsafe")
