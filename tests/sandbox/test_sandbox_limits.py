"""Programs that use too much are stopped, with the right verdict (cases 22 to 38), in every tier."""

import time

import pytest

SHORT = {"cpu_s": 0.3, "wall_s": 0.6}


@pytest.mark.parametrize(
    "code",
    [
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import time\ntime.sleep(100)",
        "import os, time\nfor fd in (0, 1, 2): os.close(fd)\ntime.sleep(100)",
        "10 ** 10 ** 8",
        "import threading\nthreading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()\nprint(1)",
        "import sys\nsys.stdin = None\nimport select\nselect.select([], [], [])",
        "import re\nre.match('(a+)+b', 'a' * 60)",
        "import atexit, time\natexit.register(time.sleep, 100)\nprint(1)",
        "class Slow:\n    def __repr__(self):\n        while True: pass\nraise SystemExit(Slow())",
    ],
)
def test_programs_that_do_not_end_exceed_the_time_limit(judge, code):
    started = time.monotonic()
    assert judge(code, **SHORT).verdict == "TLE"
    assert time.monotonic() - started < 20


def test_ignoring_every_signal_does_not_help(judge):
    code = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass
"""
    assert judge(code, **SHORT).verdict == "TLE"


def test_cpu_time_of_all_threads_counts(judge):
    code = "while True: pass"
    result = judge(code, cpu_s=0.3, wall_s=10)
    assert result.verdict == "TLE" and 0.3 <= result.cpu_s < 2


def test_a_program_that_cannot_be_compiled_in_time_is_ce(judge):
    result = judge("x = " + "+".join(["(" * 50 + "1" + ")" * 50] * 40_000), cpu_s=0.2, wall_s=5)
    assert result.verdict == "CE"


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(3 << 30)",
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "x = 'x' * (3 << 30)",
        "x = {}\ni = 0\nwhile True:\n    x[i] = str(i); i += 1",
        "import mmap\nx = []\nwhile True: x.append(mmap.mmap(-1, 8 << 20)); x[-1].write(b'x' * (8 << 20))",
    ],
)
def test_too_much_memory_is_mle(judge, code):
    result = judge(code, memory_mb=128)
    assert result.verdict == "MLE" or "mmap" in code and "Cannot allocate" in result.stderr
    assert result.peak_mb < 128 + 300


def test_memory_that_was_freed_or_refused_in_time_is_no_offence(judge):
    assert judge("try:\n    x = bytearray(3 << 30)\nexcept MemoryError:\n    print(1)").verdict == "AC"
    assert judge("x = bytearray(100 << 20)\ndel x\nprint(1)", memory_mb=256).verdict == "AC"


@pytest.mark.parametrize(
    "make",
    ["os.fork()", "os.forkpty()", "os.posix_spawn('/bin/true', ['true'], {})", "subprocess.run(['true'])",
     "multiprocessing.Process(target=print).start()", "os.execv('/bin/sh', ['sh'])",
     "ctypes.CDLL(None, use_errno=True).syscall(57) == -1 and 1/0"],
)  # fmt: skip
def test_a_program_can_make_no_process(judge, make):
    code = f"import os, subprocess, multiprocessing, ctypes\nwhile True:\n    {make}"
    assert judge(code).verdict == "RE"


@pytest.mark.parametrize("stack", ["", "threading.stack_size(32768)"])
def test_a_thread_bomb_is_stopped(judge, stack):
    code = (
        f"import threading, time\n{stack}\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()"
    )
    result = judge(code, cpu_s=3, wall_s=6)
    assert result.verdict in ("RE", "MLE") and result.wall_s < 5


def test_a_double_fork_leaves_no_survivor(judge):
    code = (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: pass\n"
    )
    assert judge(code).verdict == "RE"


@pytest.mark.parametrize(
    "code",
    [
        "while True: print('x' * 1000)",
        "while True:\n    try: print('x' * 100000)\n    except BaseException: pass",
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nimport os\nwhile True:\n"
        "    try: os.write(1, b'x' * 99999)\n    except OSError: pass",
        "import sys\nsys.stdout.buffer.raw.seek(1 << 20)\nsys.stdout.buffer.raw.write(b'x' * 2)",
    ],
)
def test_a_flood_of_output_is_ole(judge, code):
    assert judge(code, output_mb=1, cpu_s=2, wall_s=2).verdict == "OLE"


def test_output_of_exactly_the_limit_is_no_offence(judge):
    assert judge("print('x' * ((1 << 20) - 1))", "x" * ((1 << 20) - 1), output_mb=1).verdict == "AC"


def test_a_flood_of_errors_is_cut_and_harmless(judge):
    result = judge("import sys\nfor i in range(20000): sys.stderr.write(f'{i}' * 200)\nprint(1)")
    assert result.verdict == "AC" and 1000 < len(result.stderr) <= 65536
    assert result.stderr.startswith("0") and result.stderr.endswith("19999")


@pytest.mark.parametrize(
    "code",
    [
        "f = open('/tmp/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))",
        "i = 0\nwhile True:\n    open(f'/tmp/{i}', 'w').close(); i += 1",
        "import os\nos.chdir('/tmp')\nwhile True: os.mkdir('d'); os.chdir('d')",
        "import os\nos.write(os.memfd_create('x'), b'x')",
        "from multiprocessing import shared_memory\nshared_memory.SharedMemory(create=True, size=1 << 30)",
        "import ctypes\nif ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) == -1: raise OSError",
    ],
)
def test_filling_files_or_shared_memory_is_stopped(judge, code):
    assert judge(code, cpu_s=5, wall_s=10).verdict in ("RE", "MLE")
    assert (
        judge(
            "import os\nprint(1 + sum(1 for _ in os.listdir('/tmp')))" if _writable(judge) else "print(1)"
        ).verdict
        == "AC"
    )


def _writable(judge) -> bool:
    return bool(judge("open('/tmp/x', 'w').close()\nprint(1)").verdict == "AC")


@pytest.mark.parametrize(
    "make", ["open('/dev/null')", "os.pipe()", "socket.socketpair()", "os.dup(1)", "os.eventfd(0)"]
)
def test_using_up_descriptors_is_a_runtime_error(judge, make):
    assert judge(f"import os, socket\nkeep = []\nwhile True: keep.append({make})", cpu_s=2).verdict == "RE"


@pytest.mark.parametrize(
    "code",
    [
        "def f(): return f() + 1\nf()",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f() + 1\nf()",
        "import sys\nsys.setrecursionlimit(10**9)\nfrom functools import lru_cache\n"
        "@lru_cache(None)\ndef f(n): return f(n + 1)\nf(0)",
        "x = ()\nfor i in range(3 * 10**6): x = (x,)\nhash(x)",
    ],
)
def test_a_stack_overflow_is_a_runtime_error(judge, code):
    assert judge(code).verdict == "RE"


@pytest.mark.parametrize(
    "crash",
    ["import ctypes; ctypes.string_at(0)", "import os; os.abort()", "import os; os.kill(os.getpid(), 9)",
     "import signal; signal.raise_signal(signal.SIGSEGV)",
     "import faulthandler; faulthandler._sigsegv()"],
)  # fmt: skip
def test_a_crash_is_a_runtime_error(judge, crash):
    result = judge(f"print(1, flush=True)\n{crash}")
    assert result.verdict == "RE" and result.signal
