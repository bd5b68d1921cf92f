"""Custom checkers and interactors: their verdict counts, and hostile output can neither stall nor crash the executor."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Executor, Limits, NoReward, Test, Verdict, soft_reward

sys.path.insert(0, str(Path(__file__).parent))  # where trusted.py is

QUICK = Limits(cpu_s=2, wall_s=3, checker_s=1)
BISECT = """
low, high = 1, 1000
while True:
    middle = (low + high) // 2
    print(middle, flush=True)
    answer = input()
    if answer == "right":
        break
    low, high = (middle + 1, high) if answer == "higher" else (low, middle - 1)
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(workers=1) as made:
        yield made


def checked(executor: Executor, name: str, code: str, expected: object = "a b", **more: object) -> Verdict:
    test = Test(input="1\n", expected=expected, checker=f"trusted:{name}")
    return executor.run(code, [test], QUICK, **more).verdict  # type: ignore[arg-type]


def talked(executor: Executor, name: str, code: str, limits: Limits = QUICK):
    return executor.run(code, [Test(input="777", expected="", interactor=f"trusted:{name}")], limits).tests[0]


def test_a_checker_accepts_what_the_comparison_would_not(executor):
    assert checked(executor, "any_order", "print('b a')") is Verdict.AC
    assert checked(executor, "any_order", "print('b b')") is Verdict.WA
    assert executor.run("print('b a')", [Test("1", "a b")], QUICK).verdict is Verdict.WA


def test_a_checker_judges_values_of_functions(executor):
    tests = [Test(function="two", args=[[3, 1, 2], 5], expected=5, checker="trusted:sums_to")]
    for body, verdict in (("[0, 2]", "AC"), ("[2, 0]", "AC"), ("[0, 1]", "WA"), ("object()", "WA"), ("1 / 0", "RE")):
        assert executor.run(f"def two(xs, n): return {body}", tests, QUICK).verdict == verdict


def test_a_program_that_fails_is_not_shown_to_the_checker(executor):
    assert checked(executor, "raises", "1 / 0") is Verdict.RE
    assert checked(executor, "raises", "while True: pass") is Verdict.TLE


def test_a_checker_that_raises_dies_or_does_not_answer_is_the_sandboxs_failure(executor):
    for name in ("raises", "dies", "not_a_verdict", "no_such_name"):
        result = executor.run("print('b')", [Test("1", "a", checker=f"trusted:{name}"), Test("1", "b")], QUICK)
        assert [test.verdict for test in result.tests] == ["IE", "AC"]
        assert f"trusted:{name}" in result.tests[0].message
        with pytest.raises(NoReward):
            soft_reward(result)


def test_output_that_stalls_the_checker_is_wrong_in_bounded_time(executor):
    began = time.monotonic()
    assert checked(executor, "stalls", "print('stall')") is Verdict.WA
    assert time.monotonic() - began < 3
    assert checked(executor, "stalls", "print('go')") is Verdict.AC


def test_a_checker_sees_no_secret_of_the_caller(executor, monkeypatch):
    monkeypatch.setenv("KLEAR_SECRET", "1")
    with Executor(workers=1) as fresh:
        assert checked(fresh, "sees_no_secret", "print(1)") is Verdict.AC


def test_the_checkers_process_ends_with_the_executor():
    with Executor(workers=1) as fresh:
        assert checked(fresh, "any_order", "print('a b')") is Verdict.AC
        process = fresh._all[0]._judges._process
        assert process.poll() is None
    assert process.poll() is not None


def test_an_interactor_talks_with_the_program(executor):
    result = talked(executor, "higher_or_lower", BISECT)
    assert result.verdict is Verdict.AC and result.stdout.startswith("500\n750\n")


@pytest.mark.parametrize(("code", "verdict"), [
    ("for i in range(20):\n    print(i + 1, flush=True)\n    input()", "WA"),
    ("", "WA"),
    ("print('x', flush=True)\ninput()", "WA"),
    ("print(500, flush=True)\n1 / 0", "WA"),
    ("print(777, flush=True)\ninput()\n1 / 0", "RE"),
    ("print(777, flush=True)\nimport time\ntime.sleep(60)", "TLE"),
    ("print(777)\nimport os\nos.close(1)\nos.close(0)\nwhile True: pass", "TLE"),
    ("def", "CE"),
])  # fmt: skip
def test_a_program_that_breaks_the_dialog_fails(executor, code, verdict):
    limits = Limits(cpu_s=1, wall_s=1.5, checker_s=1)
    assert talked(executor, "higher_or_lower", code, limits).verdict == verdict


def test_a_flood_stops_at_the_output_limit(executor):
    code = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    assert talked(executor, "reads_for_ever", code, Limits(cpu_s=2, wall_s=4, output_mb=4)).verdict is Verdict.OLE


def test_a_dialog_that_both_sides_wait_in_ends(executor):
    began = time.monotonic()
    assert talked(executor, "says_nothing", "input()", Limits(cpu_s=1, wall_s=1, checker_s=1)).verdict is Verdict.TLE
    assert time.monotonic() - began < 4
    assert talked(executor, "higher_or_lower", BISECT).verdict is Verdict.AC


def test_many_dialogs_and_checks_leave_no_descriptor(executor):
    def once() -> None:
        tests = [Test(input=str(n), expected="", interactor="trusted:higher_or_lower") for n in (1, 500, 1000)]
        assert executor.run(BISECT, tests, QUICK).passed
        assert executor.run("print('b a')", [Test("1", "a b", checker="trusted:any_order")] * 3, QUICK).passed

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        once()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("named", "said"), [
    ({"checker": "os.system"}, "checker: 'os.system' is not allowed; module:function"),
    ({"checker": 3}, "checker: 3 is not allowed; module:function"),
    ({"interactor": "a b:c"}, "interactor: 'a b:c' is not allowed; module:function"),
    ({"interactor": "a:b", "checker": "a:b"}, "interactor: not allowed with checker or function"),
    ({"weight": 0}, "weight: 0 is not allowed"),
    ({"weight": float("nan")}, "weight: nan is not allowed"),
])  # fmt: skip
def test_bad_arguments_are_named(named, said):
    with pytest.raises(ValueError) as error:
        Test(input="", expected="", **named)
    assert str(error.value).startswith(said)


def test_checkers_are_for_the_native_mode(executor):
    with pytest.raises(ValueError, match=r"tests\[0\].checker: not allowed in mode 'lcb_compat'; native"):
        executor.run("print(1)", [Test("", "1", checker="a:b")], mode="lcb_compat")
