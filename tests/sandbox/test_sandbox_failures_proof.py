"""A drill: 200 programs that try to make the sandbox itself fail, in each tier, beside honest ones. Budget: 8 minutes a tier.

`tox -e proof -- tests/sandbox/test_sandbox_failures_proof.py` prints the figures. A short version is in
`test_sandbox_memory.py`.
"""
# ruff: noqa: E501 - a program reads best on its line

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from sandbox import Executor, IsolationUnavailable, Limits, Result, Test
from sandbox.model import TIERS

sys.path.insert(0, str(Path(__file__).parent))
from test_sandbox_memory import HOLD, SHARED

pytestmark = pytest.mark.proof
PROGRAMS = 200
HEAD = """
import ctypes, errno, mmap, os, random, signal, socket, sys, threading, time
draw = random.Random({seed})
libc = ctypes.CDLL(None, use_errno=True)
def tried(*calls):
    for call in calls:
        try: call()
        except BaseException: pass
"""
MEMORY = {
    "resident": "x = []\nwhile True: x.append(b'x' * draw.choice([4096, 1 << 16, 1 << 20, 8 << 20]))",
    "threads": "def grow():\n    x = []\n    while True: x.append(bytearray(draw.choice([1 << 16, 1 << 20, 8 << 20])))\n"
    "for _ in range(draw.choice([2, 20, 63])): tried(threading.Thread(target=grow).start)\ngrow()",
    "sparse": "keep = []\nwhile True:\n    keep.append(mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE))\n"
    "    for o in range(0, 8 << 20, 4096): keep[-1][o] = 1\n    tried(lambda: keep[-1].madvise(draw.choice([4, 8, 10, 11, 12, 14, 15, 21])))",
    "tables": "keep = []\ndef more():\n    while True:\n        keep.append(mmap.mmap(-1, 4096 * draw.randrange(1, 9), flags=mmap.MAP_PRIVATE, prot=draw.choice([1, 3])))\n"
    "        keep[-1][0]\ntried(more)\nx = []\nwhile True: x.append(bytearray(1 << 20))",
    "buffers": "keep = []\ndef fill():\n    while True:\n        a, b = socket.socketpair(); keep.extend((a, b)); a.setblocking(False)\n"
    "        tried(lambda: [a.send(b'x' * 4096) for _ in range(9999)])\ntried(fill)\nx = []\nwhile True: x.append(bytearray(1 << 20))",
    "pipes": "keep = []\ndef fill():\n    while True:\n        r, w = os.pipe(); keep.extend((r, w)); os.set_blocking(w, False)\n"
    "        tried(lambda: [os.write(w, b'x' * 4096) for _ in range(9999)])\ntried(fill)\nx = []\nwhile True: x.append(bytearray(1 << 20))",
    "files": "tried(lambda: open('/tmp/x', 'wb').write(b'x' * (64 << 20)), lambda: os.write(1, b'y' * (64 << 20)))\nx = []\nwhile True: x.append(bytearray(1 << 20))",
    "stack": "sys.setrecursionlimit(10**9)\nthreading.stack_size(draw.choice([64, 256, 512]) << 20)\n"
    "def d(n): return d(n + 1) + 1\nthreading.Thread(target=lambda: d(0)).start()\nd(0)",
    "compiler": "x = [" + "[a, b]," * 300_000 + "]",
    "text": "x = 'x'\nwhile True: x += x",
    "number": "x = 1\nwhile True: x = x * x + 10**1000",
}  # fmt: skip
SIGNALS = {
    "all": "for pid in [-1, 0, 1, *range(2, 400), os.getppid(), *(os.getpid() + k for k in range(-9, 9))]:\n"
    "    if pid != os.getpid():\n        for n in (9, 19, 15, 11): tried(lambda: os.kill(pid, n), lambda: os.killpg(pid, n))",
    "later": "time.sleep(draw.random() / 5)\nfor pid in range(1, 4000):\n    if pid != os.getpid(): tried(lambda: os.kill(pid, 9))\nwhile draw.random() < 0.9: time.sleep(0.01)",
    "threads": "for t in range(1, 3000): tried(lambda: libc.syscall(234, os.getpid(), t, 9) if t != os.getpid() else None, lambda: libc.syscall(200, t, 9) if t != os.getpid() else None)",
    "queued": "for pid in range(1, 500): tried(lambda: libc.syscall(129, pid, 9, 0), lambda: libc.syscall(424, libc.syscall(434, pid, 0), 9, 0, 0))",
    "itself": "signal.setitimer(signal.ITIMER_REAL, draw.random() / 20)\nos.kill(os.getpid(), draw.choice([1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 29, 30, 31]))\ntime.sleep(1)",
    "stopped": "os.kill(os.getpid(), draw.choice([19, 20, 21, 22]))",
    "owner": "for fd in range(64): tried(lambda: libc.fcntl(fd, 8, 1), lambda: libc.fcntl(fd, 10, 9), lambda: libc.fcntl(fd, 4, 0o20000))\nos.write(1, b'x')",
    "exit": "threading.Timer(draw.random() / 20, lambda: os._exit(draw.randrange(256))).start()\nwhile True: pass",
}  # fmt: skip
DESCRIPTORS = {
    "closed": "os.closerange(0, 1 << 20)\nwhile draw.random() < 0.99: tried(os.pipe)",
    "moved": "for fd in range(5, 64): tried(lambda: os.dup2(0, fd), lambda: os.dup2(1, fd))\ntried(lambda: os.dup2(1, 0), lambda: os.dup2(0, 2))\nprint(1)",
    "used-up": "keep = []\nwhile True: keep.append(os.open('/dev/null', os.O_RDWR))",
    "truncated": "for fd in range(64): tried(lambda: os.ftruncate(fd, draw.choice([0, 1 << 40, 1 << 62])), lambda: os.lseek(fd, 1 << 62, 0), lambda: os.write(fd, b'x'))",
    "locked": "import fcntl\nfor fd in (0, 1, 2): tried(lambda: fcntl.flock(fd, fcntl.LOCK_EX), lambda: fcntl.lockf(fd, fcntl.LOCK_EX))\nwhile draw.random() < 0.9: time.sleep(0.01)",
    "nonblocking": "for fd in (0, 1, 2): tried(lambda: os.set_blocking(fd, False))\nwhile True: sys.stderr.write('x' * 65536)",
    "answers": "for fd in range(64): tried(lambda: os.write(fd, b'{\"reached\":0,\"killed\":null,\"status\":0,\"reason\":\"x\"}\\n' * draw.randrange(1, 99)))",
    "folders": "def deep():\n    os.chdir('/tmp')\n    while True: os.mkdir('d'); os.chdir('d')\ntried(deep)\ntried(lambda: os.rename('/tmp', '/tmp2'), lambda: os.rmdir('/tmp'))",
    "errors": "while True: os.write(2, os.urandom(65536))",
}  # fmt: skip
FRAMES = {
    "random": "os.write(1, os.urandom(1 << 20))",
    "magic": "os.write(1, b'\\0klear1' * 100000)",
    "length": "import struct\nos.write(1, struct.pack('<Q16s7s', draw.choice([0, 1, 2**63, 2**64 - 1]), os.pread(0, 16, 0), b'\\0klear1'))",
    "deep": "import struct\np = b'[' * 900000\nos.write(1, p + struct.pack('<Q16s7s', len(p), os.pread(0, 16, 0), b'\\0klear1'))",
    "wide": "import struct\np = b'[' + b'[],' * 900000 + b'1]'\nos.write(1, p + struct.pack('<Q16s7s', len(p), os.pread(0, 16, 0), b'\\0klear1'))",
    "colliding": "import struct\np = ('{\"set\":[' + ','.join('{\"int\":\"%x\"}' % (k * (2**61 - 1)) for k in range(1, 40000)) + ']}').encode()\n"
    "os.write(1, p + struct.pack('<Q16s7s', len(p), os.pread(0, 16, 0), b'\\0klear1'))",
    "half": "import struct\nos.write(1, struct.pack('<Q16s7s', 1, os.pread(0, 16, 0), b'\\0klear1')[:draw.randrange(31)])",
}  # fmt: skip


def programs() -> list[tuple[str, str, list[Test]]]:
    """(name, code, tests): what is drawn, the same ones in every run."""
    draw, drawn = random.Random(20), []
    kinds = [("memory", MEMORY), ("signals", SIGNALS), ("descriptors", DESCRIPTORS), ("frames", FRAMES)]
    for number in range(PROGRAMS):
        if number % 5 == 4:
            name = draw.choice(list(SHARED))
            drawn.append((f"shared/{name}", HOLD % SHARED[name] + "\nx = []\nwhile True: x.append(bytearray(1 << 20))", [Test("", "no")] * 2))
            continue
        kind, bodies = kinds[number % 5]
        name = draw.choice(list(bodies))
        code = HEAD.format(seed=number) + bodies[name]
        tests = [Test(input="1\n", expected="no")] * 2
        if kind == "frames":
            body = "\n".join(f"    {line}" for line in bodies[name].splitlines())
            code = f"{HEAD.format(seed=number)}def f(x):\n{body}\n    os._exit(0)"
            tests = [Test(function="f", args=[1], expected=list(range(30_000)))] * 2
        drawn.append((f"{kind}/{name}/{number}", code, tests))
    return drawn


HONEST = ("a, b = map(int, input().split())\nprint(a + b)", [Test(f"{n} {n}", str(2 * n)) for n in range(4)])
LIMITS = Limits(cpu_s=1, wall_s=2, memory_mb=128, output_mb=8)


def check(hostile: list[tuple[str, str, list[Test]]], results: Iterable[tuple[int, Result]]) -> Counter[str]:
    """The verdicts on the hostile programs, of which every second result is; the others are of the honest one."""
    seen: Counter[str] = Counter()
    for index, result in results:
        verdicts = {test.verdict.value for test in result.tests}
        if index % 2:
            assert verdicts == {"AC"}, (hostile[index // 2][0], result.tests)
        else:
            assert verdicts.isdisjoint({"IE", "AC"}), (hostile[index // 2][0], result.tests)
            seen.update(test.verdict.value for test in result.tests)
    return seen


@pytest.mark.parametrize("tier", TIERS)
def test_two_hundred_programs_that_try_to_fail_the_sandbox_only_fail_themselves(tier, capsys):
    hostile = programs()
    samples = [sample for _, code, tests in hostile for sample in ((code, tests), HONEST)]
    try:
        executor = Executor(workers=2, tier=tier).__enter__()
    except IsolationUnavailable as error:
        pytest.skip(str(error))
    with executor:
        seen = check(hostile, executor.stream(samples, LIMITS))
    with capsys.disabled():
        print(f"\n{tier}: {len(hostile)} programs, {seen.total()} tests: {dict(seen)}; {len(hostile)} honest ones beside them all accepted")


def test_the_same_programs_fail_in_turn_in_every_tier_that_an_ordinary_user_has(executor, capsys):
    """Without a control group; one after the other, an honest program after each."""
    if isinstance(executor, Executor):
        pytest.skip("an executor of this process: the test above")
    hostile = programs()
    samples = [sample for _, code, tests in hostile for sample in ((code, tests), HONEST)]
    seen = check(hostile, ((index, executor.run(*sample, LIMITS)) for index, sample in enumerate(samples)))
    with capsys.disabled():
        print(f"\n{executor.tier}, ordinary user: {len(hostile)} programs, {seen.total()} tests: {dict(seen)}")
