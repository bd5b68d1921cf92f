"""What a program sends costs its reader next to nothing: big outputs and forged frames are read by a process that can be ended."""
# ruff: noqa: E501 - a program reads best on its line

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox import Cancelled, Executor, Limits, Test, Verdict

sys.path.insert(0, str(Path(__file__).parent))
import hostile_outputs

LIMITS = Limits(cpu_s=20, wall_s=40, memory_mb=2048, output_mb=33, checker_s=20)
CPU_S = 0.1


class Heart:
    """A thread that beats every few milliseconds; `longest` is the longest time, in seconds, that it was kept from it."""

    def __init__(self) -> None:
        self.longest = 0.0


@contextmanager
def beating() -> Iterator[Heart]:
    heart, ended = Heart(), threading.Event()

    def beat() -> None:
        last = time.monotonic()
        while not ended.wait(0.005):
            now = time.monotonic()
            heart.longest = max(heart.longest, now - last)
            last = now

    thread = threading.Thread(target=beat)
    thread.start()
    yield heart
    ended.set()
    thread.join()


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(workers=1) as made:
        made.run("print('x' * 100000)", [Test("", "x" * 100000 + "yyy")])
        yield made


def _some(cases: Iterator[tuple[str, str, Test, str]], every: int) -> list[tuple[str, str, Test, str]]:
    return [case for number, case in enumerate(cases) if number % every == number // every % every]


BLANK = ("newlines", "spaces", "returns")
SOME = [*_some(hostile_outputs.texts(6 << 20), 5), *_some(hostile_outputs.forged(2 << 20), 5)]


@pytest.mark.parametrize(("name", "code", "test", "mode"), SOME, ids=[case[0] for case in SOME])
def test_hostile_output_is_wrong_and_read_elsewhere(executor, name, code, test, mode):
    began = time.process_time()
    result = executor.run(code, [test], LIMITS, mode).tests[0]
    assert result.verdict in ("WA", "AC", "RE"), result.message
    assert result.verdict != "AC" or name.split("/")[0] in BLANK, name
    assert time.process_time() - began < 5 * CPU_S


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["texts", "forged"])
def test_a_hundred_hostile_outputs_cost_the_caller_a_tenth_of_a_second_each(executor, kind, capsys):
    """Budget: 8 minutes. Everything that a run does in the caller's process, its own thread does."""
    spent, longest, seen = {}, {}, 0
    for name, code, test, mode in getattr(hostile_outputs, kind)():
        for _ in range(3):  # the cores are shared: the least of three is what the work costs
            with beating() as heart:
                began = time.thread_time()  # the heart beats for as long as the comparison takes, and costs more than the rest
                result = executor.run(code, [test], LIMITS, mode).tests[0]
                cpu_s = time.thread_time() - began
            assert result.verdict in ("WA", "AC", "RE"), (name, result.message)
            spent[name] = min(cpu_s, spent.get(name, 9.0))
            longest[name] = min(heart.longest, longest.get(name, 9.0))
            if spent[name] <= CPU_S and longest[name] <= CPU_S:
                break
        seen += 1
    with capsys.disabled():
        worst, stopped = max(spent, key=spent.__getitem__), max(longest, key=longest.__getitem__)
        print(f"\n{kind}: {seen}; CPU of the caller at most {spent[worst]:.3f} s ({worst}); others stopped {longest[stopped]:.3f} s ({stopped})")
    assert seen == 100 and max(spent.values()) <= CPU_S and max(longest.values()) <= CPU_S


def test_a_long_last_line_of_errors_is_classified_in_linear_time(executor):
    for tail, verdict in (("x", "RE"), ("MemoryError", "MLE"), ("numpy.core._exceptions._ArrayMemoryError: no", "MLE"), ("aMemoryErrors", "RE")):
        code = f"import sys\nsys.stderr.write('MemoryError.' * 5400 + '\\n{tail}\\n\\n')\nsys.stderr.flush()\nsys.exit(1)"
        began = time.process_time()
        assert executor.run(code, [Test("", "1")]).verdict == verdict
        assert time.process_time() - began < 5 * CPU_S


@pytest.mark.parametrize("code", ["import " + "a," * 4_000_000, "from " * 2_000_000, " " * 8_000_000 + "x", "import a\n" * 900_000])
def test_a_large_program_is_not_searched_for_its_imports(executor, code):
    began = time.process_time()
    executor.run(code, [Test("", "1")], Limits(cpu_s=1, wall_s=2))
    assert time.process_time() - began < 5 * CPU_S


@pytest.mark.parametrize("size", [1 << 10, 40 << 10, 400 << 10])
@pytest.mark.parametrize("mode", ["native", "lcb_compat"])
def test_small_and_large_outputs_are_compared_alike(executor, size, mode):
    def verdicts(code: str, expected: str, **more: float) -> Verdict:
        return executor.run(code, [Test("", expected, **more)], LIMITS, mode).verdict

    word = "ab 1.50 7\n"
    text = word * (size // len(word))
    code = f"print({word!r} * {size // len(word)}, end='')"
    assert verdicts(code, text) is Verdict.AC
    assert verdicts(code, text + "\n\n") is Verdict.AC
    assert verdicts(code, text[:-2] + "8\n") is Verdict.WA
    assert verdicts(code, text + "x\n") is Verdict.WA
    assert verdicts(code, text.replace(" 7", "   7")) is (Verdict.AC if mode == "native" else Verdict.WA)
    if mode == "native":
        assert verdicts(code, text.replace("1.50", "1.5")) is Verdict.AC
        assert verdicts(code, text.replace("1.50", "1.5001")) is Verdict.WA
        assert verdicts(code, text.replace("1.50", "1.5001"), abs_tol=1e-3) is Verdict.AC


@pytest.mark.parametrize("count", [10, 3000, 60_000])
@pytest.mark.parametrize("mode", ["native", "lcb_compat"])
def test_small_and_large_values_are_compared_alike(executor, count, mode):
    def verdicts(body: str, expected: object, **more: float) -> Verdict:
        test = Test(function="f", args=[count], expected=expected, **more)
        return executor.run(f"def f(n): return {body}", [test], LIMITS, mode).verdict

    numbers = list(range(count))
    assert verdicts("list(range(n))", numbers) is Verdict.AC
    assert verdicts("tuple(range(n))", numbers) is Verdict.AC
    assert verdicts("list(range(n - 1)) + [-1]", numbers) is Verdict.WA
    assert verdicts("list(range(n)) * 3", numbers) is Verdict.WA
    assert verdicts("{i: [i] for i in range(n)}", {n: [n] for n in numbers}) is Verdict.AC
    if mode == "native":
        assert verdicts("[i + 1e-9 for i in range(n)]", numbers) is Verdict.WA
        assert verdicts("[i + 1e-9 for i in range(n)]", numbers, abs_tol=1e-6) is Verdict.AC


def test_what_is_kept_of_an_output_may_be_all_of_it(executor):
    code = "import os\nos.write(1, b'\\xff' + 'é'.encode() * 1500000)"
    kept = executor.run(code, [Test("", "")], LIMITS, keep_kb=4096).tests[0].stdout
    assert kept == "\ufffd" + "é" * 1500000
    assert executor.run(code, [Test("", "")], LIMITS, keep_kb=1).tests[0].stdout == "\ufffd" + "é" * 511 + "\ufffd"


def _cancelled_after(executor: Executor, code: str, test: Test, seconds: float) -> float:
    """How long a run goes on after it was cancelled."""
    cancel, began = threading.Event(), 0.0

    def set_it() -> None:
        nonlocal began
        began = time.monotonic()
        cancel.set()

    timer = threading.Timer(seconds, set_it)
    timer.start()
    with pytest.raises(Cancelled):
        executor.run(code, [test], LIMITS, cancel=cancel)
    return time.monotonic() - began


@pytest.mark.parametrize(("code", "test"), [
    ("print('stall')", Test(input="1", expected="a", checker="trusted:stalls")),
    ("input()", Test(input="1", expected="", interactor="trusted:says_nothing")),
    ("import numpy, time\ntime.sleep(30)", Test(input="1", expected="1")),
], ids=["checker", "interactor", "program"])  # fmt: skip
def test_a_cancelled_run_ends_at_once_whatever_it_waits_for(executor, code, test):
    assert min(_cancelled_after(executor, code, test, seconds) for seconds in (0.1, 0.4, 0.8)) < 0.5
    assert executor.run("print(1)", [Test("", "1")]).passed


def test_a_run_that_waits_for_a_worker_can_be_cancelled(executor):
    first = threading.Event()

    def hold_the_worker() -> None:
        with pytest.raises(Cancelled):
            executor.run("import time\ntime.sleep(30)", [Test("", "1")], LIMITS, cancel=first)

    busy = threading.Thread(target=hold_the_worker)
    busy.start()
    time.sleep(0.2)
    assert _cancelled_after(executor, "print(1)", Test("", "1"), 0.2) < 0.5
    first.set()
    busy.join()
    assert executor.run("print(1)", [Test("", "1")]).passed


def test_a_checker_that_cannot_read_an_output_rejects_it_if_it_can_read_the_expectation(executor):
    def verdict(checker: str, code: str, expected: str) -> Verdict:
        return executor.run(code, [Test(input="", expected=expected, checker=f"trusted:{checker}")], LIMITS).verdict

    assert verdict("adds_up", "print('4 3')", "3 4") is Verdict.AC
    for output in ("'x'", "''", "'9' * 10**6", "'1 ' * 10**6 + 'x'"):
        assert verdict("adds_up", f"print({output})", "3 4") is Verdict.WA
    assert verdict("adds_up", "print('x')", "not numbers either") is Verdict.IE
    assert verdict("dies_of_x", "print('x')", "y") is Verdict.WA
    assert verdict("dies_of_x", "print('y')", "y") is Verdict.AC
    assert verdict("dies_of_x", "print('x')", "x") is Verdict.IE
