"""Two drills: 50,000 tests in one executor (budget: 10 minutes) and 50 kills of executors (budget: 5 minutes).

`pytest -m proof -s tests/sandbox/test_sandbox_proof.py` prints the figures. A short version of the kills is in CI.
"""

from __future__ import annotations

import gc
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

import sandbox
from sandbox import Executor, Limits, Test

ROOT = Path(sandbox.__file__).resolve().parents[1]
SOAK_TESTS = 50_000
BATCH = 50
PROGRAMS = {  # what an ordinary day brings; every verdict is checked
    "AC": "a, b = map(int, input().split())\nprint(a + b)",
    "WA": "print(input())\nopen('/tmp/x', 'w').write('y' * 4096) if __import__('os').access('/tmp', 2) else 0",
    "RE": "import sys\nsys.stderr.write('e' * 100_000)\nx = [[]] * 1000\n1 / 0",
    "CE": "def f(:\n",
    "OLE": "import os\nwhile True: os.write(1, b'x' * (1 << 20))",
    "MLE": "x = bytearray(1 << 30)",
    "SV": "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(bytes.fromhex('b814000000cd80c3'))\n"
    "ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()",
}
if platform.machine() != "x86_64":
    del PROGRAMS["SV"]  # a 32-bit call
FUNCTION = "class Solution:\n    def f(self, xs: List[int]) -> int:\n        return sum(xs)"
KILLS = """
import sys
sys.path.insert(0, sys.argv[1])
from sandbox import Executor, Limits, Test
executor = Executor(workers=2, tier=sys.argv[2])
print("started", flush=True)
sleep = "import signal, time\\nfor n in range(1, 30):\\n    try: signal.signal(n, signal.SIG_IGN)\\n" \
    "    except (OSError, ValueError): pass\\nprint(1)\\ntime.sleep(60)"
loop = "import threading\\ndef spin():\\n    while True: pass\\nfor _ in range(3): threading.Thread(target=spin).start()\\nspin()"
one = Test(input="", expected="1")
executor.run_many([("print(1)", [one] * 20), (sleep, [one]), (loop, [one]), ("print(1)", [one] * 20)] * 9, Limits(cpu_s=60, wall_s=60))
"""


def _processes(owner: int) -> dict[int, int]:
    """Resident bytes of every process of the executors that `owner` made, by process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                state, *fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"from inside import zygote" in line and f", {owner})".encode() in line and state != "Z":
                found[int(entry.name)] = int(fields[20]) * os.sysconf("SC_PAGE_SIZE")
    return found


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _left_behind() -> dict[str, object]:
    """What outlives a process: descriptors, mounts, control groups, files, IPC objects."""
    folders = [Path(tempfile.gettempdir()), Path("/dev/shm"), Path("/var/tmp"), Path("/run")]
    return {
        "descriptors": set(os.listdir("/proc/self/fd")),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "groups": sorted(str(path) for path in Path("/sys/fs/cgroup").rglob("*") if path.is_dir()),
        "files": sorted(str(path) for folder in folders if folder.is_dir() for path in folder.iterdir() if "pytest" not in path.name),
        "ipc": [Path(f"/proc/sysvipc/{kind}").read_text() for kind in ("shm", "sem", "msg")],
        "zombies": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
    }


@pytest.mark.proof
def test_fifty_thousand_tests_leave_memory_as_it_was_and_nothing_behind():
    before = _left_behind()
    executor = Executor(workers=2)
    tests = [Test(input=f"{i} {i}", expected=str(2 * i)) for i in range(1, BATCH + 1)]
    calls = [Test(function="f", args=[[i] * 100], expected=i * 100) for i in range(BATCH)]
    limits = Limits(cpu_s=10, wall_s=60, memory_mb=256, output_mb=4)
    seen: Counter[str] = Counter()

    def day(count: int) -> None:
        while count > 0:
            samples = [(PROGRAMS["AC"], tests)] * 12 + [(FUNCTION, calls)] * 6
            samples += [(PROGRAMS[kind], tests[:10]) for kind in PROGRAMS]
            for (code, given), result in zip(samples, executor.run_many(samples, limits), strict=True):
                expected = next((kind for kind, program in PROGRAMS.items() if program == code), "AC")
                assert {t.verdict.value for t in result.tests} == {expected}, (expected, result.tests[0])
                seen[expected] += len(given)
                count -= len(given)

    day(2_000)  # what is allocated once is
    started, base, zygotes = time.monotonic(), _resident(), _processes(os.getpid())
    day(SOAK_TESTS - 2_000)
    took, grown, now = time.monotonic() - started, _resident() - base, _processes(os.getpid())
    assert set(now) == set(zygotes), "a zygote died"
    zygotes_grown = sum(now.values()) - sum(zygotes.values())
    print(f"{seen.total()} tests, {took:.0f} s: {dict(seen)}")
    print(f"memory: parent +{grown / 2**20:.2f} MiB, its {len(now)} processes +{zygotes_grown / 2**20:.2f} MiB")
    executor.close()
    assert grown + zygotes_grown < 10 << 20
    assert not _processes(os.getpid())
    assert _left_behind() == before


def _kill_at_random(tier: str, times: int, choose: random.Random) -> list[float]:
    """Kills that many executors; returns the seconds until their last process was gone."""
    gone = []
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLS, str(ROOT), tier], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(choose.uniform(0.02, 1.2))
        process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        process.wait()
        while _processes(process.pid) and time.monotonic() < killed + 5:
            time.sleep(0.01)
        gone.append(time.monotonic() - killed)
        assert gone[-1] < 1.0, f"{tier}: {_processes(process.pid)} live on"
    return gone


@pytest.mark.parametrize("tier", sandbox.TIERS)
def test_a_killed_executor_leaves_no_process_after_a_second(tier):
    _kill_at_random(tier, 1, random.Random(tier))


@pytest.mark.proof
def test_fifty_killed_executors_leave_no_process_after_a_second():
    before = _left_behind()
    choose = random.Random()
    gone = [
        seconds for tier, times in zip(sandbox.TIERS, (17, 17, 16), strict=True) for seconds in _kill_at_random(tier, times, choose)
    ]
    print(f"{len(gone)} kills: the last process gone after {max(gone):.3f} s at most, {sorted(gone)[len(gone) // 2]:.3f} s in the middle")
    assert _left_behind() == before
