"""Memory of every kind stays bounded in every tier, and no program can make the sandbox fail (IE)."""
# ruff: noqa: E501 - a program reads best on its line

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import Executor, Limits, Test, TestResult, Verdict

SHARED = {
    "anonymous": "area = mmap.mmap(-1, SIZE)",
    "anonymous-flags": "area = mmap.mmap(-1, SIZE, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)",
    "validated": "area = mmap.mmap(-1, SIZE, flags=3 | mmap.MAP_ANONYMOUS)",
    "unreserved": "area = mmap.mmap(-1, SIZE, flags=0x4001 | mmap.MAP_ANONYMOUS)",
    "access": "area = mmap.mmap(-1, SIZE, access=mmap.ACCESS_WRITE)",
    "zero": "area = mmap.mmap(os.open('/dev/zero', os.O_RDWR), SIZE)",
    "zero-read": "area = mmap.mmap(os.open('/dev/zero', os.O_RDONLY), SIZE, prot=mmap.PROT_READ)",
    "memfd": "fd = os.memfd_create('x'); os.ftruncate(fd, SIZE); area = mmap.mmap(fd, SIZE)",
    "output": "os.ftruncate(1, SIZE); area = mmap.mmap(1, SIZE)",
    "tmp": "fd = os.open(f'/tmp/{len(keep)}', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, SIZE); area = mmap.mmap(fd, SIZE)",
    "shm": "area = mmap.mmap(os.open(f'/dev/shm/{len(keep)}', os.O_RDWR | os.O_CREAT), SIZE)",
    "small": "area = mmap.mmap(-1, 1 << 20)",
}
HOLD = """
import mmap, os
SIZE = 16 << 20
keep = []
for _ in range(48):
    %s
    for offset in range(0, len(area), 1 << 20):
        try:
            area[offset:offset + (1 << 20)] = b"x" * (1 << 20)
        except TypeError:
            area[offset:offset + (1 << 20)]
        area.madvise(mmap.MADV_DONTNEED)
    try:
        area.resize(4096)
    except (TypeError, OSError):
        pass
    keep.append(area)
print("held")
"""


def _shared_bytes() -> int:
    """What the machine holds of shared memory (proc(5), meminfo), in bytes."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["Shmem"].split()[0]) << 10


@pytest.mark.parametrize("kind", SHARED)
def test_shared_memory_that_leaves_the_resident_size_is_not_to_be_had(executor, kind):
    limits = Limits(cpu_s=6, wall_s=12, memory_mb=256, output_mb=16)
    before, most = _shared_bytes(), 0
    ended = threading.Event()

    def look() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, _shared_bytes())

    watch = threading.Thread(target=look)
    watch.start()
    result = executor.run(HOLD % SHARED[kind], [Test(input="", expected="held")], limits).tests[0]
    ended.set()
    watch.join()
    assert result.verdict in ("AC", "WA", "RE", "MLE", "OLE")
    assert most - before < 128 << 20, f"{result.verdict}: {(most - before) >> 20} MiB of shared memory"


def test_small_anonymous_mappings_work_as_they_do_elsewhere(judge):
    code = """
import mmap
area = mmap.mmap(-1, 13)
area.write(b"Hello world!!")
area.seek(0)
print(area.readline().decode(), len(area), area[0:5].decode(), type(area).__name__, isinstance(area, mmap.mmap))
area.close()
grown = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)
grown.resize(8192)
grown[8191] = 7
print(grown[8191], len(grown))
print(len(mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE)))
"""
    assert judge(code, f"Hello world!! 13 Hello mmap True\n7 8192\n{64 << 20}").verdict == "AC"


def test_the_device_of_zeros_can_be_read(judge):
    assert judge("print(sum(open('/dev/zero', 'rb').read(9)))", "0").verdict == "AC"


FORCE = {
    "oom-small-steps": "x = []\nwhile True: x.append(b'x' * 4096 * (len(x) % 7 + 1))",
    "oom-threads": "import threading\ndef grow():\n    x = []\n    while True: x.append(bytearray(1 << 20))\nfor _ in range(40): threading.Thread(target=grow).start()",
    "oom-at-once": "x = bytearray(400 << 20)\nx[::4096] = b'x' * len(x[::4096])",
    "kernel-buffers": "import os, socket\nkeep = []\ntry:\n    while True:\n        a, b = socket.socketpair(); a.setblocking(False); keep += [a, b]\n        try:\n            while True: a.send(b'x' * 65536)\n        except BlockingIOError: pass\nexcept OSError: pass\nx = []\nwhile True: x.append(bytearray(1 << 20))",
    "files-and-memory": "import os\nopen('/tmp/x', 'wb').write(b'x' * (15 << 20))\nos.write(1, b'y' * (15 << 20))\nx = []\nwhile True: x.append(bytearray(1 << 20))",
    "signals-to-all": "import os, signal\nfor pid in (-1, 0, 1, 2, os.getppid(), os.getppid() - 1, os.getpid() - 1, os.getpid() + 1):\n    for number in (9, 15, 19, 11):\n        try: os.kill(pid, number)\n        except OSError: pass\n    try: os.killpg(pid, 9)\n    except OSError: pass",
    "frames-and-descriptors": "import os\nfor fd in range(0, 64):\n    try: os.write(fd, b'{\"reached\":0,\"killed\":null}\\n' * 9)\n    except OSError: pass\nos.closerange(0, 64)",
    "ends-at-once": "import os\nos._exit(77)",
    "dies-of-each-signal": "import os, sys, random, time\nos.kill(os.getpid(), random.Random(time.time_ns()).choice([1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14, 15, 24, 25, 30, 31]))",
}  # fmt: skip


@pytest.mark.parametrize("name", FORCE)
def test_no_program_ends_in_the_sandboxs_failure(executor, name):
    tests = [Test(input="", expected="1")] * 3
    result = executor.run(FORCE[name], tests, Limits(cpu_s=2, wall_s=4, memory_mb=64, output_mb=16))
    assert {test.verdict for test in result.tests}.isdisjoint({"IE", "AC"}), result.tests
    assert executor.run("print(1)", tests).passed


def test_a_program_that_takes_its_zygote_with_it_has_exceeded_its_memory():
    """The kernel may end the zygote for what its group took: here another process takes all there is."""
    limits = Limits(memory_mb=32, output_mb=1)
    with Executor(workers=1) as executor:
        assert executor.run("print(1)", [Test("", "1")], limits).passed
        if any("no control group" in note for note in executor.notes):
            pytest.skip(executor.notes[0])
        group = _group_of(executor)
        tests = [Test("1", "1"), Test("2", "2"), Test("bad", "3"), Test("4", "4")]
        code = "x = input()\nif x == 'bad':\n    import time\n    time.sleep(9)\nprint(x)"
        threading.Timer(0.5, _exhaust, [group, _zygote_of(executor)]).start()
        result = executor.run(code, tests, limits)
        assert [test.verdict for test in result.tests] == ["AC", "AC", "MLE", "AC"], result.tests
        assert result.tests[2].peak_mb == 32 and "took the sandbox's process with it" in result.tests[2].message
        assert executor.run("print(1)", [Test("", "1")]).passed


def _group_of(executor: Executor) -> Path:
    launcher = executor._all[0]._zygotes["light"].process.pid
    for point in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        if found := next(Path(point).rglob(f"klear-sandbox-{launcher}"), None):
            return found
    raise AssertionError("no group")


def _zygote_of(executor: Executor) -> int:
    launcher = executor._all[0]._zygotes["light"].process.pid
    return int(Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()[0])


def _exhaust(group: Path, zygote: int) -> None:
    """Another process takes all that the group has; the kernel prefers the zygote."""
    Path(f"/proc/{zygote}/oom_score_adj").write_text("1000")
    hungry = (
        "import os, sys\nopen(sys.argv[1] + '/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "x = []\nwhile True: x.append(bytearray(4 << 20))"
    )
    with subprocess.Popen([sys.executable, "-c", hungry, str(group)]) as process:
        while Path(f"/proc/{zygote}").exists() and process.poll() is None:
            time.sleep(0.02)
        process.kill()


def test_a_zygote_that_the_machine_loses_is_tried_again():
    """Killed by somebody else, not for memory: the machine's fault, so the program gets its verdict."""
    with Executor(workers=1) as executor:
        assert executor.run("print(1)", [Test("", "1")]).passed
        threading.Timer(0.3, os.kill, [_zygote_of(executor), signal.SIGKILL]).start()
        result = executor.run("import time\ntime.sleep(0.6)\nprint(1)", [Test("", "1")] * 3)
        assert [test.verdict for test in result.tests] == ["AC"] * 3


Judge = Callable[..., TestResult]


@pytest.mark.parametrize("memory_mb", [256, 1024])
def test_a_million_levels_of_calls_are_granted_where_their_frames_fit(judge: Judge, memory_mb):
    code = "import sys\nsys.setrecursionlimit(10**7)\ndef d(n): return 0 if n == 0 else d(n - 1) + 1\nprint(d(10**6))"
    assert judge(code, "1000000", memory_mb=memory_mb).verdict == "AC"


@pytest.mark.parametrize("stack_mb", [64, 256, 512])
def test_a_thread_may_have_a_stack_larger_than_the_memory_limit_that_it_does_not_fill(judge: Judge, stack_mb):
    code = (
        f"import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size({stack_mb} << 20)\n"
        "def d(n): return 0 if n == 0 else d(n - 1) + 1\n"
        "t = threading.Thread(target=lambda: print(d(10**5)))\nt.start()\nt.join()"
    )
    assert judge(code, "100000", memory_mb=256).verdict == "AC"


STREAMS = {
    "open": "print(sum(map(int, open('/dev/stdin').read().split())))",
    "binary": "print(sum(map(int, open('/dev/stdin', 'rb').read().split())))",
    "io": "import io\nprint(sum(map(int, io.open('/dev/fd/0').read().split())))",
    "proc": "print(sum(map(int, open('/proc/self/fd/0').read().split())))",
    "path": "from pathlib import Path\nprint(sum(map(int, Path('/dev/stdin').read_text().split())))",
    "descriptor": "import os\nprint(sum(map(int, os.read(os.open('/dev/stdin', os.O_RDONLY), 99).split())))",
    "fileinput": "import fileinput\nprint(sum(map(int, ' '.join(fileinput.input('/dev/stdin')).split())))",
    "joined": "print(sum(map(int, open('/dev/' + 'stdin').read().split())))",
    "exists": "import os\nprint(7 if os.path.exists('/dev/stdin') else 0)",
    "goes-on": "a = open('/dev/stdin', 'rb', 0)\nprint(int(a.read(2)) + int(input()))",
    "output": "with open('/dev/stdout', 'w') as f: print(7, file=f)",
    "errors": "print('seen', file=open('/dev/stderr', 'w'))\nprint(7)",
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_standard_streams_can_be_opened_by_name(judge: Judge, name):
    result = judge(STREAMS[name], "7", "3 4")
    assert result.verdict == Verdict.AC, result.stderr
    assert name != "errors" or result.stderr == "seen\n"


def test_the_times_of_tmp_tell_nothing_of_the_test_before(executor):
    if executor.tier == "landlock":
        pytest.skip("no /tmp of its own")
    code = (
        "import os, time\ndef times(): return {os.stat('/tmp').st_mtime_ns, os.stat('/tmp').st_ctime_ns, os.stat('/tmp').st_atime_ns}\n"
        "print(*times())\ntime.sleep(0.02)\nopen('/tmp/x', 'w').close()\nos.unlink('/tmp/x')\nos.listdir('/tmp')\n"
        "print(*times())\ntime.sleep(0.02)  # the clock of files is a coarse one"
    )
    left: set[str] = set()
    for test in executor.run(code, [Test(input="", expected="")] * 4).tests:
        found, now = test.stdout.splitlines()
        assert left.isdisjoint(found.split())
        left = set(now.split()) - set(found.split())
        assert left


def test_an_interactor_that_raises_on_what_a_program_says_rejects_it():
    sys.path.insert(0, str(Path(__file__).parent))
    with Executor(workers=1) as executor:
        for said, verdict in (("x", "WA"), ("", "WA"), ("9" * 5000, "WA"), ("\\xff", "WA")):
            test = Test(input="7", expected="", interactor="trusted:higher_or_lower")
            result = executor.run(f"print({said!r}, flush=True)\ninput()", [test]).tests[0]
            assert result.verdict == verdict and "cannot read the output: ValueError" in result.message
        test = Test(input="not a number", expected="", interactor="trusted:no_such_name")
        assert executor.run("print(1)", [test]).verdict == "IE"
