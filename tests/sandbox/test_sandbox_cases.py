"""The 52 cases that a sandbox of model-written programs must survive, each in every tier.

A row of the table, or a test, carries the number of its case: `pytest -k case_24` runs one. docs/sandbox.md lists
them with their verdicts and what a tier cannot promise.
"""

from __future__ import annotations

import base64
import os
import pickle
import platform
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.livecodebench import PrivateTestsError, decode_private_tests
from sandbox import Limits, Result, Test

BOTH = ("native", "lcb_compat")
SHORT = {"cpu_s": 0.3, "wall_s": 0.6}
CALL = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(x86_64, aarch64, *arguments):
    if libc.syscall(x86_64 if os.uname().machine == "x86_64" else aarch64, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
"""
MACHINE_CODE = """
import ctypes, mmap
def execute(code):
    memory = mmap.mmap(-1, 4096, prot=7)
    memory.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
"""
FORGE = """
import os, struct
def frame(payload, token): return payload + struct.pack('<Q16s7s', len(payload), token, b'\\0klear1')
"""
LARGE_STACK = """
import sys, threading
sys.setrecursionlimit(10**6)
threading.stack_size(256 << 20)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def main(): print(depth(60000))
thread = threading.Thread(target=main)
thread.start()
thread.join()
"""
IGNORE_SIGNALS = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass
"""
BAD_DESCRIPTORS = """
import errno, os
bad = 0
for descriptor in range(3, 300):
    try:
        os.write(descriptor, b'x')
    except OSError as error:
        bad += error.errno == errno.EBADF
print(bad)
"""
NO_VARIABLE = """
import ctypes
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
print(sum(libc.getenv(name) is not None for name in (b"PATH", b"HOME", b"HF_TOKEN", b"USER", b"LC_CTYPE")))
"""
SECRET = "8675309"
SEARCH = """
import ctypes, gc, sys
SECRET = lambda: "".join(reversed("9035768"))
def frames():
    frame = sys._getframe(1)
    while frame:
        yield frame.f_locals
        frame = frame.f_back
def find():
    kinds = (str, bytes, list, dict, tuple)
    if any(SECRET() in repr(o)[:10**6] for o in frames()):
        return True
    return any(SECRET() in repr(o)[:10000] for o in gc.get_objects() if isinstance(o, kinds))
def heap():  # backwards, or the needle would find itself
    objects = gc.get_objects()
    pages = {id(o) >> 12 for o in objects + gc.get_referents(*objects)}
    return any(b"9035768" in ctypes.string_at(page << 12, 4096)[::-1] for page in pages)
"""
PATCH = """
import builtins, json, sys
json.loads = json.dumps = lambda *a, **k: 1
builtins.all = builtins.any = lambda *a: True
builtins.bytes = builtins.zip = None
for module in list(sys.modules.values()):
    for name in ("text_matches", "value_matches", "judge", "compare"):
        if hasattr(module, name):
            setattr(module, name, lambda *a: True)
"""


@dataclass(frozen=True)
class Case:
    """A program, what it is given and which verdicts are right."""

    number: int
    title: str
    code: str
    verdict: str
    given: str | bytes = "1\n"
    expected: Any = "1\n"
    function: str | None = None
    args: Sequence[Any] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    mode: str = "native"
    message: str = ""  # a pattern that standard error must contain

    @property
    def test(self) -> Test:
        """The one test of the program."""
        if self.function is not None:
            return Test(function=self.function, args=self.args, expected=self.expected)
        return Test(input=self.given, expected=self.expected)


def stdio(number: int, verdict: str, programs: dict[str, str], modes: Sequence[str] = ("native",), **named: Any) -> list[Case]:
    """Programs on standard input, by title."""
    return [Case(number, title, code, verdict, mode=mode, **named) for title, code in programs.items() for mode in modes]


def refused(number: int, attempts: Sequence[str], head: str = "import os\n") -> list[Case]:
    """Attempts that must end in an uncaught error of the system, each named by its own text."""
    failed = r"(?m)^[\w.]*(OSError|PermissionError|FileNotFoundError|Error)\b"
    return [Case(number, attempt, f"{head}{attempt}\nprint(1)", "RE", message=failed) for attempt in attempts]


READS = {
    "buffer": "sys.stdin.buffer.read().decode()",
    "open-0": "open(0).read()",
    "os-read": "os.read(0, 99).decode()",
    "read": "sys.stdin.read()",
    "mixed": "sys.stdin.buffer.readline().decode() + sys.stdin.readline()",
    "input": "input()",
    "fdopen": "os.fdopen(0).readline()",
    "next": "next(sys.stdin)",
}
GUARDS = {
    "usual": "__name__ == '__main__'",
    "reversed": "'__main__' == __name__",
    "and": "__name__ == '__main__' and True",
    "not-in": "__name__ in ('__main__',)",
}
LEAVES = {"os": "import os; os._exit(0)", "sys": "import sys; sys.exit(0)", "raise": "raise SystemExit"}
RUN_TOO_LONG = {
    "except": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "thread": "import threading\nthreading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()\nprint(1)",
    "regex": "import re\nre.match('(a+)+b', 'a' * 60)",
    "exit-status": "class Slow:\n    def __repr__(self):\n        while True: pass\nraise SystemExit(Slow())",
}
LEAK = {
    "list": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "dict": "x = {}\ni = 0\nwhile True:\n    x[i] = str(i); i += 1",
    "shared": "import mmap\nx = []\nwhile True:\n    try:\n        x.append(mmap.mmap(-1, 8 << 20)); x[-1].write(b'x' * (8 << 20))\n"
    "    except OSError:\n        raise MemoryError",
}
FORKS = [
    "os.fork()", "os.forkpty()", "os.posix_spawn('/bin/true', ['true'], {})", "subprocess.run(['true'])",
    "multiprocessing.Process(target=print).start()", "os.execv('/bin/sh', ['sh'])",
    "ctypes.CDLL(None, use_errno=True).syscall(57 if os.uname().machine == 'x86_64' else 1079) == -1 and 1/0",
]  # fmt: skip
FLOODS = {
    "print": "while True: print('x' * 1000)",
    "except": "while True:\n    try: print('x' * 100000)\n    except BaseException: pass",
    "ignored-signal": "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nimport os\nwhile True:\n"
    "    try: os.write(1, b'x' * 99999)\n    except OSError: pass",
    "sparse": "import sys\nsys.stdout.buffer.raw.seek(1 << 20)\nsys.stdout.buffer.raw.write(b'x' * 2)",
}
FILL = {
    "file": "f = open('/tmp/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))",
    "names": "i = 0\nwhile True:\n    open(f'/tmp/{i}', 'w').close(); i += 1",
    "folders": "import os\nos.chdir('/tmp')\nwhile True: os.mkdir('d'); os.chdir('d')",
    "memfd": "import os\nos.write(os.memfd_create('x'), b'x')",
    "dev-shm": "from multiprocessing import shared_memory\nshared_memory.SharedMemory(create=True, size=1 << 30)",
    "shmget": "import ctypes\nif ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) == -1: raise OSError",
}
OVERFLOWS = {
    "default": "def f(): return f() + 1\nf()",
    "raised": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f() + 1\nf()",
    "cache": "import sys\nsys.setrecursionlimit(10**9)\nfrom functools import lru_cache\n@lru_cache(None)\ndef f(n): return f(n + 1)\nf(0)",
    "hash": "x = ()\nfor i in range(3 * 10**6): x = (x,)\nhash(x)",
}
CRASHES = {
    "string_at": "import ctypes; ctypes.string_at(0)",
    "abort": "import os; os.abort()",
    "kill": "import os; os.kill(os.getpid(), 9)",
    "raise": "import signal; signal.raise_signal(signal.SIGSEGV)",
    "faulthandler": "import faulthandler; faulthandler._sigsegv()",
}
STALLS = ["'sNaN'", "'1' * 30_000_000", "'1 ' * 10_000_000", "'1e999999999'", "'\\n' * 10_000_000 + '1'"]
NETWORK = [
    "socket.socket()",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "socket.socket(socket.AF_INET6)",
    "socket.socket(socket.AF_UNIX)",
    "socket.socket(40)",  # AF_VSOCK
    "socket.socket(16, 3, 0)",  # AF_NETLINK
    "socket.socket(38, 5, 0)",  # AF_ALG
    "socket.socket(17, 3, 0)",  # AF_PACKET
    "socket.create_connection(('127.0.0.1', 22))",
    "socket.socketpair(socket.AF_INET)",
    "urllib.request.urlopen('http://127.0.0.1')",
    "socket.socketpair()[0].sendmsg([b'x'])",
]
READ_HOST = [
    "open('/etc/passwd')", "open('/etc/hostname')", "open('/root/.bashrc')", "os.listdir('/home')",
    "os.listdir('/root')", "os.listdir('/etc')", "os.listdir('/sys')", "open('/dev/mem', 'rb')",
    "os.open('/dev/shm', os.O_RDONLY)", "open('/usr/bin/env', 'rb')", "os.open('/', os.O_TMPFILE | os.O_RDWR)",
    "os.scandir('/var/tmp')", "os.chroot('/tmp')", f"open({__file__!r})", "import sandbox", "import inside",
    "import pytest",
]  # fmt: skip
WRITE_HOST = [
    "open('/x', 'w')", "open('/var/tmp/x', 'w')", "open('/dev/shm/x', 'w')", "open(os.__file__, 'a')",
    "os.symlink('/etc/passwd', '/tmp/a')", "os.link(os.__file__, '/tmp/a')", "os.mkdir('/x')", "os.unlink(os.__file__)",
    "os.rename(os.__file__, '/tmp/x')", "os.truncate(os.__file__, 0)", "os.chmod(os.__file__, 0o777)",
    "os.chown('/tmp', 0, 0)", "os.utime(os.__file__)", "os.mkfifo('/tmp/x')", "os.mknod('/tmp/x')",
    "os.setxattr('/tmp', 'user.x', b'')",
]  # fmt: skip
PROC = [
    f"open('/proc/{path}', 'rb').read()"
    for path in ("self/maps", "1/environ", "self/mem", "1/fd/0", "sys/kernel/hostname", "self/root/etc/passwd", "mounts")
] + ["os.listdir('/proc')", "os.listdir('/proc/self/task')"]
SPYING = {  # numbers on x86_64 and aarch64
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "kcmp": (312, 272), "process_mrelease": (448, 448),
}  # fmt: skip
RIGHTS = {
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "chroot": (161, 51), "pivot_root": (155, 41),
    "setuid": (105, 146), "setresuid": (117, 147), "capset": (126, 91), "io_uring_setup": (425, 425), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219), "init_module": (175, 105),
    "kexec_load": (246, 104), "personality": (135, 92), "adjtimex": (159, 171), "reboot": (169, 142),
    "fsopen": (430, 430), "open_tree": (428, 428), "memfd_create": (319, 279), "shmget": (29, 194),
    "mq_open": (240, 180), "inotify_init": (253, 26), "fanotify_init": (300, 262),
}  # fmt: skip
OWN_RIGHTS = [
    "os.setuid(0)", "os.setgid(0)", "os.setgroups([0])", "os.setsid()", "os.nice(-5)", "os.sched_setaffinity(0, {0})",
    "os.setpgid(0, 0)",
]  # fmt: skip
RAISE = "import resource as r\nsoft, hard = r.getrlimit(r.RLIMIT_{0})\nr.setrlimit(r.RLIMIT_{0}, ({1}, {1}))"
LIMITS = ("CPU", "AS", "FSIZE", "NOFILE", "STACK", "CORE")
NOT_CODE = {
    "nul": "x = '\0'", "surrogate": "x = '\ud800'", "brackets": "[" * 1_000_000, "syntax": "def", "return": "return 1",
    "digits": "x = " + "9" * 100_000,
}  # fmt: skip

TABLE: list[Case] = [
    *stdio(1, "AC", {"for": "import sys\nfor line in sys.stdin: print(line.strip())"}, given="1\n2\n", expected="1\n2\n"),
    *stdio(2, "AC", {name: f"import os, sys\nprint({read})" for name, read in READS.items()}),
    *stdio(3, "AC", {name: "x = 0\ndef f():\n    global x\n    x = 1\n"
                     f"if {guard}:\n    f()\nprint(x)" for name, guard in GUARDS.items()}),
    *stdio(4, "AC", {"stack": LARGE_STACK}, expected="60000"),
    *stdio(5, "AC", {"exit": "print(1); exit(0)", "sys": "import sys\nprint(1); sys.exit()",
                       "os": "import os\nprint(1, flush=True); os._exit(0)"}),
    *stdio(6, "RE", {"exit": "print(1); exit(1)", "text": "print(1); quit('sorry')"}),
    *stdio(6, "AC", {"exit": "print(1)\nexit(1)", "text": "import sys\nprint(1)\nsys.exit('sorry')"}, ["lcb_compat"]),
    *stdio(7, "RE", {"division": "print(1)\n1 / 0"}, message="ZeroDivisionError"),
    *stdio(8, "AC", {"print": "print('x' * (16 << 20))"}, expected="x" * (16 << 20)),
    *stdio(9, "AC", {"unread": "print(1)"}, given="y" * (4 << 20)),
    *stdio(10, "AC", {"input": "print(input().strip())"}, given="1\r\n", expected="1"),
    *stdio(10, "AC", {"output": "print('1\\r\\n2', end='')"}, expected="1\n2\n"),
    *stdio(11, "WA", {"early": "import os\nos._exit(0)\nprint(1)"}),
    *(Case(12, f"{where}-{name}", code, "RE", function="f", args=[1], expected=1, mode=mode)
      for mode in BOTH for name, leave in LEAVES.items()
      for where, code in (("call", f"def f(x):\n    {leave}"), ("top", leave))),
    *(Case(13, base, f"class E({base}):\n    def __eq__(self, other): return True\n    __hash__ = None\n"
           "def f(x): return E()", "WA", function="f", args=[1], expected=17, mode=mode)
      for mode in BOTH for base in ("object", "int", "list", "dict", "str")),
    *(Case(14, f"value-{way}", SEARCH + f"def f(x): return int(SECRET()) if {way}() else 0", "WA", function="f", args=[1],
           expected=int(SECRET), mode=mode) for mode in BOTH for way in ("find", "heap")),
    *stdio(14, "WA", {f"text-{way}": SEARCH + f"print(SECRET() if {way}() else 0)" for way in ("find", "heap")}, BOTH, expected=SECRET),
    *stdio(14, "AC", {f"control-{way}": SEARCH + f"x = [SECRET()]\nprint({way}())" for way in ("find", "heap")}, expected="True"),
    *(Case(15, "value", PATCH + "def f(x): return 2", "WA RE", function="f", args=[1], expected=1, mode=mode) for mode in BOTH),
    *stdio(15, "WA RE", {"text": PATCH + "print(2)", "exit": "import os\nos._exit = os.write = os.lseek = None\nprint(2)",
                         "stdout": "import sys\nsys.stdout.close()"}),
    *stdio(15, "WA", {"no-stdout": "import sys\nsys.stdout = None\nprint(1)"}),
    *stdio(15, "RE", {"hook": "import sys\nsys.excepthook = lambda *a: None\nprint(1)\n1 / 0"}),
    *stdio(16, "WA", {text: f"print({text!r})" for text in ("PASSED", "TEST_PASSED", "AC", '{"verdict": "AC"}', "\0klear1")}, BOTH),
    Case(16, "frame", FORGE + "def f(x):\n    os.write(1, frame(b'1', bytes(16)))\n    os._exit(0)", "RE", function="f", args=[1],
         expected=1),
    # Even with the token, which its process cannot be denied, a program states a value, and that is compared.
    Case(16, "token", FORGE + "def f(x):\n    os.write(1, frame(b'2', os.pread(0, 16, 0)))\n    os._exit(0)", "WA", function="f", args=[1],
         expected=1),
    *stdio(17, "WA", {"atexit": "import atexit\natexit.register(print, 2)\nprint(1)"}),
    *stdio(17, "AC", {"atexit": "import atexit\natexit.register(print, 2)\nprint(1)"}, expected="1\n2\n"),
    *stdio(18, "AC", {"daemon": "import threading, time\ndef late():\n    time.sleep(0.3); print(2)\nprint(1)\n"
                      "threading.Thread(target=late, daemon=True).start()"}),
    *stdio(21, "AC", {"descriptors": BAD_DESCRIPTORS}, expected="297"),
    *stdio(21, "RE", {"input": "import os\nos.pwrite(0, b'2', 0)"}),
    *stdio(22, "TLE", RUN_TOO_LONG, limits=SHORT),
    *stdio(23, "TLE", {"sleep": "import time\ntime.sleep(100)", "exit": "import atexit, time\natexit.register(time.sleep, 100)\nprint(1)",
                       "select": "import select\nselect.select([], [], [])"}, limits=SHORT),
    *stdio(24, "TLE", {"closed": "import os, time\nfor fd in (0, 1, 2): os.close(fd)\ntime.sleep(100)"}, limits=SHORT),
    *stdio(25, "TLE", {"signals": IGNORE_SIGNALS}, limits=SHORT),
    *stdio(26, "MLE", {"bytes": "x = bytearray(3 << 30)", "text": "x = 'x' * (3 << 30)"}, limits={"memory_mb": 128}),
    *stdio(27, "MLE", LEAK, limits={"memory_mb": 128}),
    *stdio(28, "RE SV", {make: f"import os, subprocess, multiprocessing, ctypes\nwhile True:\n    {make}" for make in FORKS}),
    *stdio(29, "RE MLE", {stack or "default": f"import threading, time\n{stack}\n"
                          "while True: threading.Thread(target=time.sleep, args=(9,)).start()"
                          for stack in ("", "threading.stack_size(32768)")}, limits={"cpu_s": 3, "wall_s": 6}),
    *stdio(31, "OLE", FLOODS, limits={"output_mb": 1, "cpu_s": 2, "wall_s": 1}),
    *stdio(32, "AC", {"stderr": "import sys\nfor i in range(20000): sys.stderr.write(f'{i}' * 200)\nprint(1)"}, message=r"(?s)^0.*19999\Z"),
    *stdio(33, "RE MLE", FILL, limits={"cpu_s": 5}),
    *stdio(34, "RE", {make: f"import os, socket\nkeep = []\nwhile True: keep.append({make})"
                      for make in ("open('/dev/null')", "os.pipe()", "socket.socketpair()", "os.dup(1)", "os.eventfd(0)")},
           limits={"cpu_s": 2}),
    *stdio(35, "RE", OVERFLOWS),
    *stdio(36, "RE", {name: f"print(1, flush=True)\n{crash}" for name, crash in CRASHES.items()}),
    *stdio(37, "TLE", {"power": "10 ** 10 ** 8"}, limits=SHORT),
    *stdio(38, "WA", {output: f"print({output}, 'x')" for output in STALLS}, BOTH, expected="1.5 2"),
    *stdio(38, "WA", {"long-line": "print('1' * 50_000_000)"}, expected="1.5", limits={"output_mb": 64}),
    *refused(39, NETWORK, "import socket, urllib.request\n"),
    *refused(39, ["call(425, 425, 8, 0)"], CALL),  # io_uring_setup
    *refused(40, READ_HOST),
    *refused(41, WRITE_HOST),
    *refused(42, PROC),
    *stdio(43, "AC", {"environ": "import os\nprint(len(os.environ) + len(os.environb))", "getenv": NO_VARIABLE}, expected="0"),
    *refused(45, [f"call({a}, {b}, os.getppid(), 0, 0, 0, 0, 0)  # {name}" for name, (a, b) in SPYING.items()], CALL),
    *refused(46, [f"call({a}, {b}, 0x10000000, 0, 0, 0, 0)  # {name}" for name, (a, b) in RIGHTS.items()], CALL),
    *refused(46, OWN_RIGHTS),
    *stdio(48, "RE", {f"{name}-{value}": RAISE.format(name, value) for name in LIMITS for value in ("hard + 1", "r.RLIM_INFINITY")},
           message="ValueError|PermissionError|OverflowError"),
    *refused(48, ["resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))"], "import os, resource\n"),
    # PDEATHSIG, DUMPABLE, KEEPCAPS, SECCOMP, CAPBSET_READ and DROP, NO_NEW_PRIVS, TAGGED_ADDR
    *stdio(49, "RE", {f"prctl-{option}": f"import ctypes\nif ctypes.CDLL(None).prctl({option}, 0, 0, 0, 0) == -1: raise OSError"
                      for option in (1, 4, 8, 22, 23, 24, 38, 55)}, message="OSError"),
    *refused(49, ["call(317, 277, 1, 0, 0)", "call(446, 446, 0, 0)"], CALL),  # seccomp, landlock_restrict_self
    *stdio(52, "CE", NOT_CODE),
]  # fmt: skip


def _name(case: Case) -> str:
    title = re.sub(r"[^\w.-]+", "-", case.title)[-40:].strip("-")
    return f"case_{case.number:02}-{title}" + ("-lcb" if case.mode == "lcb_compat" else "")


@pytest.mark.parametrize("case", TABLE, ids=_name)
def test_verdict(executor, case):
    started = time.monotonic()
    limits = Limits(**case.limits)
    result = executor.run(case.code, [case.test], limits, case.mode)
    (test,) = result.tests
    assert result.verdict in case.verdict.split(), test
    assert re.search(case.message, test.stderr), test.stderr[-500:]
    assert len(test.stderr) <= 1 << 16 and test.peak_mb < limits.memory_mb + 300
    if case.number != 4 or limits.wall_s < 10:
        assert time.monotonic() - started < 20
    if case.number == 36:
        assert test.signal


def test_every_case_is_there():
    named = re.findall(r"test_case_(\d\d)_", "\n".join(globals()))
    assert {case.number for case in TABLE} | set(map(int, named)) == set(range(1, 53))


def test_case_17_exit_handlers_of_a_function_do_not_touch_its_value(call):
    late = "import atexit, os\natexit.register(lambda: os.write(1, b'late'))\ndef f(x): return 1"
    assert call(late, [1], 1).verdict == "AC"  # handlers run before the value is sealed


def test_case_18_a_thread_that_is_no_daemon_is_waited_for(judge):
    code = "import threading, time\ndef late():\n    time.sleep(0.3); print(2)\nprint(1)\nthreading.Thread(target=late).start()"
    assert judge(code, "1\n2\n").verdict == "AC"


def test_case_19_state_does_not_survive_from_one_test_to_the_next_in_any_order(executor):
    code = """
import json, os
class Solution:
    seen = []
    def f(self, x):
        self.seen.append(x)
        json.seen = getattr(json, "seen", 0) + 1
        try:
            names = os.listdir("/tmp")
            open("/tmp/left", "w").close()
        except OSError:
            names = []
        return [len(self.seen), json.seen, names]
"""
    tests = [Test(function="f", args=[i], expected=[1, 1, []]) for i in range(4)]
    for order in (tests, tests[::-1]):
        assert [t.verdict for t in executor.run(code, order).tests] == ["AC"] * 4


def test_case_20_mutated_arguments_do_not_reach_the_comparison(executor):
    data = [[3, 1, 2]]
    test = Test(function="f", args=data, expected=[1, 2, 3])
    assert executor.run("def f(x):\n    x.sort()\n    return x", [test]).passed
    assert data == [[3, 1, 2]]
    shared = [1, 2]
    kept = Test(function="f", args=[shared], expected=shared)
    assert executor.run("def f(x):\n    x.append(3)\n    return x", [kept]).verdict == "WA"
    assert shared == [1, 2]


def _called(name: str) -> set[int]:
    """The processes that call themselves so, wherever they are: a child has the name of its parent."""
    found = set()
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
                    own = file.read().strip()
                with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
                    state = file.read().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if own == name and state != "Z":
                found.add(int(process))
    return found


def test_case_30_a_double_fork_leaves_no_survivor(judge):
    name = f"klear{os.urandom(4).hex()}"
    named = f"""
import ctypes, os
libc = ctypes.CDLL(None)
libc.prctl(15, b"{name}")  # PR_SET_NAME
"""
    waits = named + "import time\nprint(1, flush=True)\ntime.sleep(2)\n"
    with ThreadPoolExecutor(1) as pool:  # a program that is there is found by its name
        running = pool.submit(judge, waits)
        end = time.monotonic() + 30
        while not _called(name) and time.monotonic() < end:
            time.sleep(0.02)
        assert _called(name)
        assert running.result().verdict == "AC"
    code = named + "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: pass\n"
    assert judge(code).verdict == "RE"
    caught = named + """
for make in (os.fork, libc.fork, libc.vfork, lambda: libc.syscall(56, 17, 0, 0, 0, 0), lambda: libc.daemon(0, 0)):
    try:
        if make() == 0:
            while True: pass
    except OSError:
        pass
print(1)
"""
    assert judge(caught).verdict == "AC"
    assert not _called(name)


def test_case_31_output_of_exactly_the_limit_is_no_offence(judge):
    assert judge("print('x' * ((1 << 20) - 1))", "x" * ((1 << 20) - 1), output_mb=1).verdict == "AC"


def test_case_33_what_one_program_filled_is_empty_for_the_next(judge):
    see = "import os\ntry:\n    print(len(os.listdir('/tmp')))\nexcept PermissionError:\n    print(0)"
    for code in FILL.values():
        assert judge(code, cpu_s=5).verdict in ("RE", "MLE")
        assert judge(see, "0").verdict == "AC"


@pytest.mark.parametrize(
    "value",
    [
        "[" * 200_000 + "]" * 200_000, "[" + "[]," * 2_000_000 + "1]", '{"int":"0x' + "f" * 1_000_000 + '"}',
        '{"nothing":1}', '{"tuple":1}', '{"set":[[1]]}', '{"int":"1","float":"nan"}', "NaN", "1e999", "\\xff", '{"bytes":1}',
        '{"complex":[1,2,3]}', '{"dict":[1]}', '{"float":"1"}', "9" * 10_000,
    ],
    ids=lambda value: value[:12],
)  # fmt: skip
def test_case_38_a_hostile_frame_is_a_wrong_answer_in_bounded_time(call, value):
    program = f"def f(x):\n    os.write(1, frame({_compact(value)}, os.pread(0, 16, 0)))\n    os._exit(0)"
    assert call(FORGE + program, [1], 1).verdict == "WA"


def _compact(value: str) -> str:
    """Source of an expression for the bytes of `value`, short also for long repetitive ones."""
    if len(value) > 5_000:
        for unit in ("[", "[],", "f", "9"):
            count = value.count(unit)
            if count > 1_000:
                head, _, tail = value.partition(unit * count)
                return f"({head!r} + {unit!r} * {count} + {tail!r}).encode('latin1')"
    return f"b'{value}'"


def test_case_42_in_the_landlock_tier_stat_tells_what_exists_and_no_more(executor, judge):
    """Without a mount namespace names cannot be hidden. What is in them stays closed."""
    seen = judge("import os\nprint(os.stat('/proc/self').st_size + 1, os.path.exists('/etc/passwd'))", "1 True")
    assert seen.verdict == ("AC" if executor.tier == "landlock" else "RE")
    for attempt in ("os.listdir('/proc')", "open('/etc/passwd')", "os.open('/proc/self/environ', os.O_RDONLY)"):
        assert judge(f"import os\n{attempt}").verdict == "RE"


def test_case_43_not_even_the_c_library_knows_a_variable(judge):
    code = """
import ctypes
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
print(environ[0] if environ else None)
"""
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert judge(code, "None").verdict == "AC"


@pytest.mark.parametrize("target", ["os.getppid()", "0", "-1", "1", "2"])
def test_case_44_no_other_process_can_be_signalled(judge, target):
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=False)
    try:
        for number in (0, 9, 19):
            code = f"import os\nif {target} == os.getpid(): raise OSError\nos.kill({target}, {number})"
            assert judge(code).verdict == "RE"
        assert judge(f"import signal\nsignal.pidfd_send_signal(0, {signal.SIGKILL})").verdict == "RE"
        assert bystander.poll() is None and judge("print(1)").verdict == "AC"
    finally:
        bystander.communicate(b"\n")


def test_case_46_no_capability_is_left_and_no_way_back_to_root(executor, judge):
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
status = ctypes.create_string_buffer(24)
print(libc.syscall(125 if os.uname().machine == "x86_64" else 90, b"\\x22\\x05\\x08\\x20" + bytes(4), status), os.geteuid())
"""
    result = judge(code, "-1 65534")  # capget is not even a call that it may make
    assert result.stdout.startswith("-1 ")
    user = int(result.stdout.split()[1])
    assert user != 0 or executor.tier == "landlock"  # there as root, where no other user can read the library


@pytest.mark.skipif(platform.machine() != "x86_64", reason="aarch64 has one calling convention: see test_sandbox_filter.py")
@pytest.mark.parametrize(
    "code",
    [
        "b814000000cd80c3",  # mov eax, 20; int 0x80; ret: getpid by the 32-bit call
        "b827000040" + "0f05c3",  # mov eax, 0x40000027; syscall; ret: getpid by the x32 call
    ],
    ids=["int80", "x32"],
)
def test_case_47_system_calls_of_another_architecture_are_a_security_violation(judge, code):
    result = judge(f"{MACHINE_CODE}execute(bytes.fromhex({code!r}))\nprint(1)")
    assert (result.verdict, result.signal) == ("SV", signal.SIGSYS)


class _Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/klear-hostile",)


@pytest.mark.parametrize(
    "data",
    [zlib.compress(pickle.dumps(_Hostile())), zlib.compress(b" " * (1 << 30)), b"junk", zlib.compress(b"[]")[:-3]],
    ids=["pickle", "bomb", "junk", "cut"],
)
def test_case_50_hostile_test_data_is_a_load_error(data):
    started = time.monotonic()
    with pytest.raises(PrivateTestsError):
        decode_private_tests(base64.b64encode(data).decode())
    assert time.monotonic() - started < 5 and not os.path.exists("/tmp/klear-hostile")


def test_case_51_no_tests_are_an_error_and_never_accepted(executor):
    with pytest.raises(ValueError, match="tests"):
        executor.run("print(1)", [])
    assert not Result(tests=[], tier="root", total=0).passed


def test_case_52_a_program_that_does_not_compile_is_ce_on_every_test(executor, judge):
    for code in NOT_CODE.values():
        result = executor.run(code, [Test(input="", expected="")] * 3)
        assert [t.verdict for t in result.tests] == ["CE"] * 3, code[:20]
    slow = judge("x = " + "+".join(["(" * 50 + "1" + ")" * 50] * 40_000), cpu_s=0.2, wall_s=5)
    assert slow.verdict == "CE"
