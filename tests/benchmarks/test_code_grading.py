"""Both modes side by side: official error codes, disagreements and their quirks, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from benchmarks.code_grading import (
    UNEXPLAINED,
    CodeSample,
    Disagreement,
    explain,
    judge_both,
    official_code,
    sandbox_tests,
)
from benchmarks.errors import BenchmarkError
from benchmarks.records import CodeTest
from sandbox import Executor, Limits, Result, TestResult, Verdict

STDIN = (CodeTest(input="3 4\n", expected="7\n"), CodeTest(input="1 1\n", expected="2\n"))
CALLS = (CodeTest(function="f", args=(1,), expected=1), CodeTest(function="f", args=(2,), expected=2))
SMALL = Limits(cpu_s=0.5, wall_s=5)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(workers=2) as made:
        yield made


def result(verdict: Verdict, **fields: object) -> Result:
    return Result([TestResult(verdict, **fields)], total=1)  # type: ignore[arg-type]


def test_samples_are_judged_in_both_modes_and_disagreements_named(executor):
    codes = [
        "a, b = map(int, input().split())\nprint(a + b)",
        "import sys\nfor line in sys.stdin: print(sum(map(int, line.split())))",
        "a, b = map(int, input().split())\nprint(float(a + b))",
        "print(7)",
    ]
    samples = [CodeSample("sum", number, code, STDIN) for number, code in enumerate(codes)]
    samples.append(CodeSample("same", 0, "class Solution:\n    seen = []\n    def f(self, x):\n"
                              "        self.seen.append(x)\n        return self.seen[0]", CALLS))  # fmt: skip
    both = judge_both(samples, executor)
    assert [r.passed for r in both.native] == [True, True, False, False, True]
    assert [r.passed for r in both.lcb_compat] == [True, False, True, False, False]
    assert both.disagreements == [
        Disagreement("sum", 1, Verdict.AC, Verdict.RE, "stdin-mock"),
        Disagreement("sum", 2, Verdict.WA, Verdict.AC, "number-spelling"),
        Disagreement("same", 0, Verdict.AC, Verdict.WA, "shared-state"),
    ]


def test_carriage_returns_are_found_by_judging_without_them(executor):
    tests = (CodeTest(input="1\r\n2\r\n", expected="True\n"),)
    both = judge_both([CodeSample("lines", 0, "print(input() == '1')", tests)], executor)
    assert [row.quirk for row in both.disagreements] == ["carriage-return"]


@pytest.mark.parametrize(
    ("code", "stdin_code", "call_code"),
    [
        ("x + 1", -2, -2),
        ("1 / 0", -4, -4),
        ("exit()", -2, -5),
        ("__import__('os')._exit(0)", -5, -5),
        ("__import__('os')._exit(1)", -5, -5),
        ("__import__('os').abort()", -5, -5),
        ("(_ for _ in ()).throw(KeyboardInterrupt)", -5, -5),
        ("[0 for _ in iter(int, 1)]", -3, -3),
        ("no syntax", -4, -4),
    ],
)
def test_official_codes_of_failures(executor, code, stdin_code, call_code):
    limits = Limits(cpu_s=0.5, wall_s=5, memory_mb=1024)
    program = executor.run(f"x = 0\nprint({code})", sandbox_tests(STDIN), limits, "lcb_compat")
    function = executor.run(f"def f(x):\n    return {code}", sandbox_tests(CALLS), limits, "lcb_compat")
    assert (official_code(program, False), official_code(function, True)) == (stdin_code, call_code)


def test_a_time_out_while_loading_is_officially_a_runtime_error(executor):
    loading = executor.run("while True: pass\ndef f(x): return x", sandbox_tests(CALLS), SMALL, "lcb_compat")
    assert loading.verdict == "TLE" and official_code(loading, True) == -4


def test_codes_of_what_is_officially_unknown():
    assert official_code(result(Verdict.AC), True) is None
    assert official_code(result(Verdict.MLE), True) == official_code(result(Verdict.OLE), False) == -4
    assert official_code(result(Verdict.SV), False) == -5
    with pytest.raises(ValueError, match="IE is no verdict"):
        official_code(result(Verdict.IE), False)


def test_samples_without_tests_are_refused(executor):
    with pytest.raises(BenchmarkError, match="empty, sample 3: no tests"):
        judge_both([CodeSample("empty", 3, "print(1)", ())], executor)


def test_what_no_quirk_explains_is_unexplained():
    sample = CodeSample("sum", 0, "print(8)", STDIN)
    right, wrong = result(Verdict.AC, stdout="7\n"), result(Verdict.WA, stdout="8\n")
    assert explain(sample, right, wrong) == explain(sample, wrong, right) == UNEXPLAINED


@pytest.mark.parametrize(
    ("code", "quirk"),
    [
        ("exec('x = 5')\nprint(x)", "text-scope"),
        ("x = 1\nexec('x = 5')\nprint(x)", "text-scope"),
        ("import sys\nprint(5 if sys.stdin.encoding else 0)", "stream-attributes"),
        ("import sys\nsys.stdin.encoding.lower()\nprint(5)", "stream-attributes"),
        ("class A: pass\nprint(5 if str(A).count('.') == 1 else A)", "qualified-name"),
        ("import builtins\nbuiltins.sum = lambda x: 5\nprint(sum([1]))", "builtins-copied"),
        ("sqrt = 1\nfrom math import sqrt\nprint(int(sqrt(25)) if sqrt != 1 else 1)", "imports-first"),
        ("class Solution:\n    def go(self): return 5\nprint(Solution().go())", "solution-required"),
    ],
)
def test_programs_on_standard_input_fail_officially_for_a_named_quirk(executor, code, quirk):
    both = judge_both([CodeSample("five", 0, code, (CodeTest(input="\n", expected="5\n"),))], executor)
    assert [(row.native, row.quirk) for row in both.disagreements] == [(Verdict.AC, quirk)]


def test_a_tuple_anywhere_below_the_outermost_value_is_a_nested_tuple(executor):
    values: list[tuple[str, object]] = [
        ("{'a': (1, 2)}", {"a": [1, 2]}),
        ("{'a': {'b': [(1,)]}}", {"a": {"b": [[1]]}}),
        ("[{'a': (1,)}]", [{"a": [1]}]),
    ]
    samples = [
        CodeSample(text, 0, f"def f(x): return {text}", (CodeTest(function="f", args=(1,), expected=expected),))
        for text, expected in values
    ]
    assert [row.quirk for row in judge_both(samples, executor).disagreements] == ["nested-tuple"] * 3


def test_an_output_longer_than_what_is_kept_is_looked_at_once_more(executor):
    code = "print('\\n'.join(['a  b'] * 30000))"
    sample = CodeSample("long", 0, code, (CodeTest(input="", expected="a b\n" * 30000),))
    assert [row.quirk for row in judge_both([sample], executor).disagreements] == ["inner-space"]


@pytest.mark.parametrize(
    "text",
    [".buffer ", "from sys import ", "if ", "if   (", "__name__", "open(", "os.write( ", "kill ", "x = ", "global ", "sys.stdin . ",
     "type( sys . ", "exec   ", "import x\nx\n"],
)
def test_hostile_programs_are_looked_at_in_bounded_time(text):
    started = time.perf_counter()
    for code in (text * 20_000, text + " " * 200_000 + "__name__"):
        explain(CodeSample("sum", 0, code, STDIN), result(Verdict.AC), result(Verdict.WA, stderr=code[:65536]))
    assert time.perf_counter() - started < 5
