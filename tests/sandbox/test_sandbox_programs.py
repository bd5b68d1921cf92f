"""What honest programs may rely on beyond the 52 cases, in every tier."""

import pytest

from sandbox import Limits, Test
from sandbox.worker import find_numpy


def test_own_output_can_be_taken_back(judge):
    code = "import os\nos.write(1, b'2')\nos.ftruncate(1, 0)\nos.lseek(1, 0, 0)\nprint(1)"
    assert judge(code).verdict == "AC"


def test_a_forbidden_call_that_is_caught_is_no_offence(judge):
    assert judge("import socket\ntry:\n    socket.socket()\nexcept OSError:\n    print(1)").verdict == "AC"


def test_memory_that_was_freed_or_refused_in_time_is_no_offence(judge):
    assert judge("try:\n    x = bytearray(3 << 30)\nexcept MemoryError:\n    print(1)").verdict == "AC"
    assert judge("x = bytearray(100 << 20)\ndel x\nprint(1)", memory_mb=256).verdict == "AC"


def test_cpu_time_is_counted_to_its_limit(judge):
    result = judge("while True: pass", cpu_s=0.3, wall_s=10)
    assert result.verdict == "TLE" and 0.3 <= result.cpu_s < 2


def test_functions_and_methods_are_found_and_leetcode_names_are_predefined(call):
    assert call("def f(a, b): return a + b", [3, 4], 7).verdict == "AC"
    assert (
        call("class Solution:\n    def f(self, a: List[int]) -> int: return sum(a)", [[1, 2]], 3).verdict
        == "AC"
    )
    assert call("def g(): pass", [], None).verdict == "RE"
    assert call("def f(n): return Counter(str(n))", [11], {"1": 2}).verdict == "AC"


@pytest.mark.parametrize(
    ("expression", "expected", "verdict"),
    [
        ("(1, 2)", [1, 2], "AC"),
        ("[(1, 2)]", [[1, 2]], "AC"),
        ("True", 1, "WA"),
        ("1", True, "WA"),
        ("1.0", 1, "AC"),
        ("float('nan')", float("nan"), "AC"),
        ("float('inf')", float("inf"), "AC"),
        ("2 ** 200", 2**200, "AC"),
        ("{1: {2}}", {1: {2}}, "AC"),
        ("b'x\\0'", b"x\0", "AC"),
        ("'\\ud800'", "\ud800", "AC"),
        ("None", None, "AC"),
        ("None", 0, "WA"),
        ("iter([1])", [1], "WA"),
        ("[[]]", [[], []], "WA"),
        ("1j", 1j, "AC"),
    ],
)
def test_returned_values_are_compared_by_value(call, expression, expected, verdict):
    assert call(f"def f(): return {expression}", [], expected).verdict == verdict


def test_prints_of_a_function_are_kept_apart_from_its_value(call):
    result = call("def f(x):\n    print('debug', x)\n    return x", [5], 5)
    assert (result.verdict, result.stdout) == ("AC", "debug 5\n")


def test_asyncio_and_temporary_files_work(judge, executor):
    assert judge("import asyncio\nasync def main(): print(1)\nasyncio.run(main())").verdict == "AC"
    if executor.tier == "landlock":
        pytest.skip("nothing at all can be written in the landlock tier")
    code = "import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.write(b'1'); f.seek(0)\n"
    code += "    print(f.read().decode())"
    assert judge(code).verdict == "AC"


@pytest.mark.skipif(find_numpy() is None, reason="numpy is not installed")
@pytest.mark.parametrize("load", ["import numpy as np", "np = __import__('num' + 'py')"])
def test_numpy_can_be_used(judge, load):
    assert judge(f"{load}\nprint(np.arange(2).sum())").verdict == "AC"


def test_random_numbers_and_set_order_are_the_same_in_every_run(executor):
    code = "import random\nprint(random.random(), list({str(i) for i in range(9)}))"
    outputs = {t.stdout for t in executor.run(code, [Test(input="", expected="")] * 3).tests}
    assert len(outputs) == 1


def test_figures_are_plausible(judge):
    busy = judge("x = bytearray(50 << 20)\nfor i in range(10**6): pass\nprint(1)")
    assert busy.cpu_s > 0.005 and busy.wall_s >= busy.cpu_s / 4 and 50 < busy.peak_mb < 200
    assert judge("import time\ntime.sleep(0.2)\nprint(1)").wall_s >= 0.2


def test_stop_on_first_failure_leaves_the_rest_out(executor):
    tests = [Test(input="", expected=str(i)) for i in (1, 2, 1)]
    stopped = executor.run("print(1)", tests, Limits(), "native", True)
    assert [t.verdict for t in stopped.tests] == ["AC", "WA"] and not stopped.passed
    assert executor.run("print(1)", tests).pass_rate == pytest.approx(2 / 3)


LEFT_OPEN = {  # what the interpreter flushes at its end, wherever the file is
    "bound-method": "w = open(1, 'w').write\nw('7')",
    "partial": "from functools import partial\nprint = partial(print, file=open(1, 'w'))\nprint(7)",
    "attribute": "class IO: out = open(1, 'w')\nIO.out.write('7')",
    "closure": "def make():\n    out = open(1, 'w')\n    return lambda text: out.write(text)\nmake()('7')\nkeep = make",
    "list": "files = [open(1, 'w')]\nfiles[0].write('7')",
    "thread": "import threading, time\nout = open(1, 'w')\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), out.write('7'))).start()",
    "handler": "import atexit\nout = open(1, 'w')\natexit.register(lambda: out.write('7'))",
    "bytes": "import os\nout = os.fdopen(1, 'wb')\nout.write(b'7')",
    "wrapped": "import io, sys\nout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w', closefd=False)))\nout.write('7')",
    "template": "import sys\nfrom io import IOBase\nclass Fast(IOBase):\n"
    "    def __init__(self, file): self.writable = 'r' not in file.mode\nout = Fast(sys.stdout)\nprint(7)",
    "closed": "import os\nout = open(os.dup(1), 'w')\nos.close(out.fileno())\nprint(7)",
}
AS_ELSEWHERE = {
    "byte-order-mark": "\ufeffprint(7)",
    "file": "import os\nassert os.path.basename(__file__)\nprint(7)",
    "recursion-limit": "import sys\nsys.setrecursionlimit(10**7)\nassert sys.getrecursionlimit() == 10**7\nprint(7)",
    "stream-names": "import sys\nassert sys.stdin.name + sys.stdout.name + sys.stderr.name == '<stdin><stdout><stderr>'\nprint(7)",
}


@pytest.mark.parametrize("name", [*LEFT_OPEN, *AS_ELSEWHERE])
def test_programs_find_what_the_interpreter_gives_them_elsewhere(judge, name):
    result = judge((LEFT_OPEN | AS_ELSEWHERE)[name], "7")
    assert result.verdict == "AC", result.stderr
