"""`lcb_compat` gives the official verdict where `native` gives the right one, in every tier.

What the official verdicts are is shown by test_sandbox_differential.py, with many more programs.
"""

import time

import pytest

from sandbox import Limits, Test


@pytest.mark.parametrize(
    ("code", "given", "expected"),
    [
        ("import sys\nfor line in sys.stdin: print(line.strip())", "1\n", "1"),
        ("import sys\nf = sys.stdin.buffer\nf.readline(); print(f.readline().decode())", "1\n2\n", "2"),
        ("import sys\nprint(sys.stdin.buffer.readlines()[0].decode())", "1\n", "1"),
        ("import sys\nsys.stdout.buffer.write(b'1')", "", "1"),
        ("import os\nprint(os.read(0, 9).decode())", "1", "1"),
        ("print(open(0).read())", "4", "4"),
        ("from sys import stdin\nfor line in stdin: print(line)", "4", "4"),
        ("x = 0\ndef f():\n    global x\n    x += 1\nf()\nprint(x)", "", "1"),
        ("print(1)\nquit()", "", "1"),
        ("if __name__ == '__main__':\n    print(1)\nx = 1", "", "1"),
        ("from __future__ import annotations\nprint(1)", "", "1"),
        ("import sys\nprint(1)\nimport resource", "", "1"),
        ("import sys\nn = input()\nprint(sys.stdin.read())", "1\n2\n", "2"),
        ("from sys import stdout\nstdout.write('1')", "", "1"),
        ("import os\nos.write(1, b'1')\npass", "", "1"),
    ],
    ids=[
        "stdin-iteration",
        "buffer-readline",
        "buffer-readlines",
        "stdout-buffer",
        "descriptor-0",
        "open-0",
        "stdin-by-name",
        "global-of-main",
        "quit",
        "guard-not-last",
        "future-import",
        "no-resource",
        "read-restarts",
        "stdout-by-name",
        "descriptor-1",
    ],
)
def test_what_the_official_grader_wrongly_fails_passes_natively(judge, code, given, expected):
    assert judge(code, expected, given).verdict == "AC"
    assert judge(code, expected, given, "lcb_compat").verdict != "AC"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('1_000')", "1000"),
        ("print('\\u0661\\u0662')", "12"),
        ("print('1.0')", "1"),
        ("print(1)\nexit(3)", "1"),
        ("print(gcd(4, 6))", "2"),
        ("print(1)\nimport atexit\natexit.register(print, 2)", "1"),
    ],
    ids=["underscore", "arabic-indic", "integral-float", "exit-status", "prelude", "exit-handler"],
)
def test_what_the_official_grader_wrongly_passes_fails_natively(judge, code, expected):
    assert judge(code, expected, "", "lcb_compat").verdict == "AC"
    assert judge(code, expected, "").verdict in ("WA", "RE")


@pytest.mark.parametrize(
    ("code", "given", "expected"),
    [
        ("a, b = map(int, input().split())\nprint(a + b)", "3 4\n", "7\n"),
        ("import sys\nprint(sum(map(int, sys.stdin.read().split())))", "3\n4\n", "7"),
        ("import sys\nprint(sys.stdin.buffer.read().decode())", "3", "3"),
        ("import sys\nprint(sys.stdin.readline(), sys.stdin.readline())", "1\n2\n", "1\n 2"),
        ("from sys import stdin\nprint(stdin.readline(), stdin.readline())", "1\n2\n", "1 2"),
        ("print(input())\nprint(repr(input()))", "1\n\n", "1\n''"),
        ("import sys\ninput = sys.stdin.readline\nn = int(input())\nprint(n)", "5\n", "5"),
        ("import sys\nprint(len(sys.stdin.readlines()))", "1\n2\n", "3"),
        ("def main():\n    print(int(input()))\nif __name__ == '__main__':\n    main()", "8", "8"),
        ("from sys import stdin\nprint(1)", "8", "1"),
        ("print('a', 'b')\nprint()\nprint('c  ')\nprint()", "", "a b\n\nc"),
        ("print('0.50')", "", "0.5"),
    ],
)
def test_ordinary_programs_are_accepted_as_officially(judge, code, given, expected):
    assert judge(code, expected, given, "lcb_compat").verdict == "AC"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("print(2)", "WA"),
        ("print(1)\nprint(1)", "WA"),
        ("1 / 0", "RE"),
        ("def", "CE"),
        ("", "CE"),
        ("import os", "CE"),
        ("while True: pass", "TLE"),
        ("print('sNaN')", "WA"),
        ("import os\nos._exit(0)", "RE"),
        ("x = input()\ny = input()", "RE"),
        ("import os\nos.kill(1, 9)", "RE"),
        ("import psutil", "RE"),
        ("print('x' * (2 << 20))", "OLE"),
    ],
)
def test_failing_programs_fail_compatibly(judge, code, verdict):
    code = code if code in ("", "import os", "def") else code + "\npass"
    assert judge(code, "1", "1", "lcb_compat", cpu_s=0.5, wall_s=3, output_mb=1).verdict == verdict


@pytest.mark.parametrize(
    ("body", "expected", "verdict"),
    [
        ("return True", 1, "AC"),
        ("return (1, 2)", [1, 2], "AC"),
        ("return [(1, 2)]", [[1, 2]], "WA"),
        ("return 1.0", 1, "AC"),
        ("return {1, 2}", [1, 2], "WA"),
        ("from fractions import Fraction\n        return [Fraction(1, 2)]", [0.5], "AC"),
        ("from decimal import Decimal\n        return Decimal('0.1')", 0.1, "WA"),
        ("raise KeyboardInterrupt", None, "RE"),
        ("return float('nan')", float("nan"), "WA"),
        ("return lcm(4, 6)", 12, "AC"),
        ("import resource", None, "RE"),
        ("import sys\n        sys.exit(0)", None, "RE"),
        ("return List[int] is not None", True, "AC"),
    ],
)
def test_functional_results_compare_as_officially(call, body, expected, verdict):
    code = f"class Solution:\n    def f(self):\n        {body}"
    assert call(code, [], expected, "lcb_compat").verdict == verdict


def test_a_solution_class_is_required_officially_once_it_is_mentioned(executor):
    code = "def f(): return 1\n# no class Solution here"
    test = Test(function="f", args=[], expected=1)
    assert executor.run(code, [test], mode="native").verdict == "AC"
    assert executor.run(code, [test], mode="lcb_compat").verdict == "RE"


MEMO = "class Solution:\n    memo = {}\n    def f(self, x, y):\n        return self.memo.setdefault(x, x + y)"
TURNS = "class Solution:\n    n = 0\n    def f(self, x, y):\n        self.n += 1\n        return [3, 4, 6][self.n - 1]"
CRASH = "class Solution:\n    n = 0\n    def f(self, x, y):\n        self.n += 1\n        return [x + y][self.n // 3]"


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize(
    ("code", "native", "compatible"),
    [
        (MEMO, ["AC", "AC", "AC"], ["AC", "WA", "AC"]),
        (TURNS, ["AC", "WA", "WA"], ["AC", "AC", "AC"]),
        (CRASH, ["AC", "AC", "AC"], ["AC", "AC", "RE"]),
        (MEMO.replace("x + y", "1 // y"), ["WA", "WA", "WA"], ["WA", "WA", "WA"]),
        (MEMO.replace("x + y", "1 / 0"), ["RE", "RE", "RE"], ["RE", "RE", "RE"]),
        ("class Solution:\n    def f(self, x, y): return x + y", ["AC"] * 3, ["AC"] * 3),
    ],
    ids=["memo", "right-only-in-turn", "crash-later", "wrong-at-once", "crash-at-once", "no-state"],
)
def test_calls_keep_state_only_compatibly(executor, code, native, compatible, stop):
    tests = [Test(function="f", args=[x, y], expected=x + y) for x, y in ((1, 2), (1, 3), (4, 2))]
    for mode, verdicts in (("native", native), ("lcb_compat", compatible)):
        results = executor.run(code, tests, None, mode, stop).tests
        first = next((n for n, verdict in enumerate(verdicts) if verdict != "AC"), len(verdicts))
        assert [result.verdict for result in results] == (verdicts[: first + 1] if stop else verdicts)


def test_state_does_not_let_a_slow_test_pass(executor):
    code = "class Solution:\n    n = 0\n    def f(self, x):\n        self.n += 1\n        while x == 2: pass\n        return x"
    tests = [Test(function="f", args=[x], expected=x) for x in (1, 2, 3)]
    result = executor.run(code, tests, Limits(cpu_s=0.3, wall_s=3), "lcb_compat")
    assert [test.verdict for test in result.tests] == ["AC", "TLE", "AC"]


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("class Solution:\n    def go(self): return input()\nprint(Solution().go())", "RE"),
        ("'''The class Solution of old'''\nprint(input())", "RE"),
        ("# class Solution\nprint(input())", "AC"),
        ("class Solver:\n    def go(self): return input()\nprint(Solver().go())", "AC"),
    ],
)
def test_a_program_that_mentions_class_solution_officially_fails(judge, code, verdict):
    assert judge(code).verdict == "AC"
    assert judge(code, mode="lcb_compat").verdict == verdict


@pytest.mark.parametrize("stop", [False, True])
def test_programs_keep_what_outlives_them_only_compatibly(executor, stop):
    code = "import math\nmath.n = getattr(math, 'n', 0) + 1\nprint(math.n if input() else 0)"
    tests = [Test(input="x\n", expected=str(n)) for n in (1, 1, 3)]
    for mode, verdicts in (("native", ["AC", "AC", "WA"]), ("lcb_compat", ["AC", "WA", "WA"])):
        results = executor.run(code, tests, None, mode, stop).tests
        first = next(n for n, verdict in enumerate(verdicts) if verdict != "AC")
        assert [result.verdict for result in results] == (verdicts[: first + 1] if stop else verdicts)
    counted = [Test(input="x\n", expected=expected) for expected in ("1.0", " 2 ", "3_0e-1", b"4\n")]
    assert executor.run(code, counted, None, "lcb_compat").passed


def test_a_slow_call_may_be_fast_enough_after_the_calls_before_it(executor):
    code = "seen = set()\ndef f(x):\n    while x == 2 and 1 not in seen: pass\n    seen.add(x)\n    return x"
    tests = [Test(function="f", args=[x], expected=x) for x in (1, 2, 3)]
    assert executor.run(code, tests, Limits(cpu_s=0.3, wall_s=3), "lcb_compat").passed


@pytest.mark.parametrize(
    ("code", "passed"),
    [
        ("def counter(fn):\n    store = dict()\n    return lambda x: store.setdefault(x, len(store))\n@counter\ndef f(x): pass", True),
        ("if True:\n    seen = list()\ndef f(x):\n    seen.append(x)\n    return len(seen) - 1", True),
        ("class Solution:\n    for _ in [0]: seen = list()\n    def f(self, x):\n        self.seen.append(x)\n"
         "        return len(self.seen) - 1", True),
        ("def f(x,\n      seen=dict()):\n    return seen.setdefault(x, len(seen))", True),
        ("it = iter(range(9))\ndef f(x): return next(it)", True),
        ("import random\nrandom.seed(7)\ndef f(x): return int(random.random() != random.Random(7).random())", True),
        ("class Solution:\n    def f(self, x):\n        seen = list()\n        seen.append(x)\n        return len(seen) - 1", False),
    ],
    ids=["decorator", "top-level-if", "class-body-for", "default", "iterator", "seeded", "no-state"],
)  # fmt: skip
def test_functions_keep_state_in_every_way_that_they_officially_do(executor, code, passed):
    tests = [Test(function="f", args=[x], expected=x - 1) for x in (1, 2)]
    assert executor.run(code, tests, None, "lcb_compat").passed is passed


def test_the_second_look_is_bounded_by_the_first(executor):
    code = "class Solution:\n    n = 0\n    def f(self, x):\n        self.n += 1\n        while self.n > 1: pass\n        return x"
    tests = [Test(function="f", args=[x], expected=x) for x in range(50)]
    started = time.monotonic()
    result = executor.run(code, tests, Limits(cpu_s=0.2, wall_s=3), "lcb_compat")
    assert result.tests[1].verdict == "TLE" and time.monotonic() - started < 10
