"""Honest programs get the verdict they deserve (cases 1 to 11 and 17 to 20), in every tier."""

import pytest

from sandbox import Limits, Test
from sandbox.worker import find_numpy


def test_iterating_over_stdin_is_accepted(judge):
    assert judge("import sys\nfor line in sys.stdin: print(line.strip())", "1\n2\n", "1\n2\n").verdict == "AC"


@pytest.mark.parametrize(
    "read",
    [
        "sys.stdin.buffer.read().decode()",
        "open(0).read()",
        "os.read(0, 99).decode()",
        "sys.stdin.read()",
        "sys.stdin.buffer.readline().decode() + sys.stdin.readline()",
        "input()",
        "os.fdopen(0).readline()",
        "next(sys.stdin)",
    ],
)
def test_every_way_of_reading_stdin_is_accepted(judge, read):
    assert judge(f"import os, sys\nprint({read})").verdict == "AC"


def test_globals_and_any_main_guard_are_accepted(judge):
    code = "x = 0\ndef f():\n    global x\n    x = 1\nif __name__ == '__main__':\n    f()\nprint(x)"
    assert judge(code).verdict == "AC"


def test_a_main_function_in_a_thread_with_a_large_stack_is_accepted(judge):
    code = """
import sys, threading
sys.setrecursionlimit(10**6)
threading.stack_size(256 << 20)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def main(): print(depth(60000))
thread = threading.Thread(target=main)
thread.start()
thread.join()
"""
    assert judge(code, "60000").verdict == "AC"


def test_exit_after_the_right_output_counts_its_status(judge):
    assert judge("print(1); exit(0)").verdict == "AC"
    assert judge("import sys\nprint(1); sys.exit()").verdict == "AC"
    failed = judge("print(1); exit(1)")
    assert (failed.verdict, failed.exit_code) == ("RE", 1)
    assert judge("print(1); quit('sorry')").verdict == "RE"


def test_an_exception_after_the_right_output_is_a_runtime_error_with_its_traceback(judge):
    result = judge("print(1)\n1 / 0")
    assert result.verdict == "RE" and "ZeroDivisionError" in result.stderr and result.exit_code == 1


def test_sixteen_megabytes_of_right_output_are_accepted(judge):
    assert judge("print('x' * (16 << 20))", "x" * (16 << 20)).verdict == "AC"


def test_input_that_is_never_read_is_no_problem(judge):
    assert judge("print(1)", "1", "y" * (4 << 20)).verdict == "AC"


def test_line_endings_and_the_last_newline_do_not_matter(judge):
    assert judge("print(input().strip())", "1", "1\r\n").verdict == "AC"
    assert judge("print('1\\r\\n2', end='')", "1\n2\n").verdict == "AC"


def test_an_early_quiet_exit_is_a_wrong_answer(judge):
    assert judge("import os\nos._exit(0)").verdict == "WA"


def test_exit_handlers_run_and_what_they_print_counts(judge):
    code = "import atexit\natexit.register(print, 2)\nprint(1)"
    assert judge(code).verdict == "WA"
    assert judge(code, "1\n2\n").verdict == "AC"


def test_a_thread_is_waited_for_and_a_daemon_thread_is_not(judge):
    code = "import threading, time\ndef late():\n    time.sleep(0.3); print(2)\nprint(1)\n"
    assert judge(code + "threading.Thread(target=late, daemon=True).start()").verdict == "AC"
    assert judge(code + "threading.Thread(target=late).start()", "1\n2\n").verdict == "AC"


def test_state_does_not_survive_from_one_test_to_the_next_in_any_order(executor):
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


def test_mutated_arguments_do_not_reach_the_comparison(executor):
    data = [[3, 1, 2]]
    test = Test(function="f", args=data, expected=[1, 2, 3])
    assert executor.run("def f(x):\n    x.sort()\n    return x", [test]).passed
    assert data == [[3, 1, 2]]


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


def test_programs_that_do_not_compile_are_ce_on_every_test(executor):
    for code in ("x = '\0'", "[" * 1_000_000, "x = '\ud800'", "def", "return 1", "x = " + "9" * 100_000):
        result = executor.run(code, [Test(input="", expected="")] * 3)
        assert [t.verdict for t in result.tests] == ["CE"] * 3, code[:20]


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
