"""Tests that are Python text: what becomes a comparison outside the program's process, what runs beside it, and what cheats get."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from assert_texts import BESIDE, PLAIN, Style
from hypothesis import given, settings
from hypothesis import strategies as st

from klear_repro.asserts import checker
from klear_repro.asserts.literals import Literals, NotLiteral
from klear_repro.asserts.reading import LONGEST, RUNNER, AssertTest, UnusableTests, read_asserts
from sandbox import Executor, Limits, Verdict
from sandbox.inside import frames

MUTATIONS = {"sum(b)": "sum(b) + 1", "% 2 == 0": "% 2 == 1", "range(n)": "range(1, n)", "2 * value": "value", "before\n": "head\n"}
CHEATS = {
    "leaves": "import os\ndef f(a, b): return 0\nos._exit(0)",
    "leaves when called": "import os\ndef f(a, b): os._exit(0)",
    "exits": "import sys\nsys.exit(0)",
    "exits when called": "import sys\ndef f(a, b): sys.exit(0)",
    "raises SystemExit at the end": "import atexit, os\natexit.register(os._exit, 0)\ndef f(a, b): return 0",
    "ends open": "def f(a, b): return 0\n'''",
}
FLIP = """
class Solution:
    def flip(self, root):
        if root:
            root.left, root.right = self.flip(root.right), self.flip(root.left)
        return root
"""
ALWAYS_EQUAL = "class Equal:\n    def __eq__(self, other): return True\n    def __hash__(self): return 3\ndef f(a, b): return Equal()"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(workers=1) as one:
        yield one


def verdict(executor: Executor, test: AssertTest, program: str) -> Verdict:
    return executor.run(RUNNER, [test.test(program)], Limits(cpu_s=4, wall_s=10, memory_mb=512)).verdict


@pytest.mark.parametrize("name", PLAIN)
def test_calls_that_are_compared_stay_outside_the_program(executor: Executor, name: str) -> None:
    style, program, text = PLAIN[name]
    test = read_asserts(text, style)
    assert not test.cheatable
    assert verdict(executor, test, program) is Verdict.AC
    broken = program
    for right, wrong in MUTATIONS.items():
        broken = broken.replace(right, wrong)
    assert broken != program and verdict(executor, test, broken) is not Verdict.AC
    assert "expected" not in json.dumps(list(test.test("").args))


@pytest.mark.parametrize("name", BESIDE)
def test_any_other_text_runs_beside_the_program_and_is_marked(executor: Executor, name: str) -> None:
    style, program, text = BESIDE[name]
    test = read_asserts(text, style)
    assert test.cheatable
    assert verdict(executor, test, program) is Verdict.AC
    broken = "def f(a, b): return [a]\ndef double(values): return []\ndef g(): return [1, 0]"
    assert verdict(executor, test, broken) is not Verdict.AC


@pytest.mark.parametrize("cheat", CHEATS)
@pytest.mark.parametrize("name", ["asserts", "pytest", "a loop", "unittest", "parametrize"])
def test_a_program_that_ends_early_does_not_pass(executor: Executor, name: str, cheat: str) -> None:
    style, _, text = (BESIDE.get(name) or PLAIN[name])
    assert verdict(executor, read_asserts(text, style), CHEATS[cheat]) is not Verdict.AC


def test_a_value_that_equals_everything_only_passes_beside_the_asserts(executor: Executor) -> None:
    outside, beside = (read_asserts(text, "functional") for text in ("assert f(1, [2]) == 3", "assert f(1, [2]) == 1 + f(0, [2])"))
    assert verdict(executor, outside, ALWAYS_EQUAL) is Verdict.WA
    assert beside.cheatable


def test_what_is_expected_never_enters_the_sandbox() -> None:
    text = "wanted = 'a secret'\nassert f(1) == wanted\nassert f(2) != 'another'\nassert f(3) in ['one', 'two']"
    test = read_asserts(text, "functional").test("program")
    assert not any(word in json.dumps(list(test.args)) for word in ("secret", "another", "two"))


def test_leetcodes_trees_are_compared_by_their_values(executor: Executor) -> None:
    program = FLIP
    check = """
def check(candidate):
    assert is_same_tree(candidate(root = tree_node([4, 2, 7, 1, None])), tree_node({}))
    assert is_same_tree(candidate(root = tree_node([])), None)
check(Solution().flip)
"""
    for wanted, result in (("[4, 7, 2, None, None, None, 1]", Verdict.AC), ("[4, 7, 2, 1]", Verdict.WA)):
        test = read_asserts(check.format(wanted), "functional")
        assert not test.cheatable and verdict(executor, test, program) is result
    endless = program.replace("return root", "root and setattr(root, 'left', root)\n        return root")
    assert verdict(executor, test, endless) is not Verdict.AC


def test_humanevals_solutions_pass_and_empty_functions_fail(executor: Executor, shared: Path) -> None:
    outside = 0
    rows = [json.loads(line) for line in (shared / "data" / "human_eval.jsonl").read_text().splitlines()]
    for row in rows:
        test = read_asserts(f"{row['test']}\ncheck({row['entry_point']})", "functional")
        outside += not test.cheatable
        assert verdict(executor, test, row["prompt"] + row["canonical_solution"]) is Verdict.AC, row["task_id"]
        assert verdict(executor, test, row["prompt"] + "    pass\n") is not Verdict.AC, row["task_id"]
    assert (len(rows), outside) == (164, 156)


def test_asserts_that_do_not_compile_the_program_fail_it(executor: Executor) -> None:
    assert verdict(executor, read_asserts("assert f(1) == 1", "functional"), "def f(:") is Verdict.RE


def test_a_program_may_import_from_the_future_and_use_the_releases_names(executor: Executor) -> None:
    program = """
from __future__ import annotations
def f(n: Missing):
    one = int(np.array([1])[0]) + len(re_search('a', 'a').group()) + commonprefix(['ab', 'ac']).count('a')
    return gcd(n, 4) + one
"""
    assert verdict(executor, read_asserts("assert f(6) == 5", "functional"), program) is Verdict.AC


@pytest.mark.parametrize(
    ("style", "text", "says"),
    [
        ("functional", "", "must be the text of a program"),
        ("functional", 3, "must be the text of a program"),
        ("functional", "assert f(1) ==", "not Python"),
        ("functional", "(" * 5000, "not Python"),
        ("functional", "-" * 100_000 + "1", "not Python"),
        ("functional", "assert\0", "not Python"),
        ("functional", "import pandas as pd\nassert f(1) == 2", "imports pandas"),
        ("functional", "f(1)", "asserts nothing"),
        ("pytest", "assert f(1) == 2", "no test functions"),
        ("pytest", "def test_f(tmp_path):\n    assert f(1) == 2", "needs the fixture tmp_path"),
        ("pytest", "class TestF:\n    def test_f(self, capsys):\n        assert f(1) == 2", "needs the fixture capsys"),
        ("pytest", "import pytest\n@pytest.fixture\ndef one():\n    return 1\ndef test_f():\n    assert f(1) == 2", "needs pytest.fixture"),
        ("pytest", "from pytest import importorskip\ndef test_f():\n    assert f(1) == 2", "needs pytest.importorskip"),
        ("pytest", "import pytest\n@pytest.mark.xfail\ndef test_f():\n    assert f(1) == 2", "needs pytest.mark.xfail"),
        ("pytest", "async def test_f():\n    assert f(1) == 2", "asynchronous"),
        ("pytest", "def setup_module():\n    pass\ndef test_f():\n    assert f(1) == 2", "needs pytest's setup_module"),
        ("pytest", "#" * (LONGEST + 1), "characters, allowed are"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_run_is_refused_with_the_reason(style: Style, text: Any, says: str) -> None:
    with pytest.raises(UnusableTests, match=says):
        read_asserts(text, style)


HOSTILE = {
    "powers": "assert f(9 ** 9 ** 9 ** 9) == 1",
    "a long number": "assert f(1) == 10 ** 4000000",
    "repetition": "assert f([[0] * 10 ** 5] * 10 ** 5) == 1",
    "names of names": "n0 = [0]\n" + "".join(f"n{n + 1} = [{', '.join([f'n{n}'] * 4)}]\n" for n in range(15)) + "assert f(1) == n15",
    "a name many times": f"a = {[0] * 20_000}\nassert f(1) == [{'a, ' * 40_000}]",
    "sums": f"assert f({' + '.join([str([0] * 100)] * 700)}) == 1",
    "keys that collide": f"assert f(1) == {{{', '.join(str(n * (2**61 - 1)) for n in range(1, 8000))}}}",
    "deep": f"assert f({'[' * 90}{']' * 90}) == 1",
    "many asserts": "assert f(1) == 1\n" * 14_000,
    "many names": "".join(f"n{n} = {n}\n" for n in range(20_000)) + "assert f(n1) == 1",
    "functions that call each other": "".join(f"def g{n}():\n    g{n + 1}()\n    g{n + 1}()\n" for n in range(60))
    + "def g60():\n    assert f(1) == 1\ng0()",
    "functions that assert nothing": "".join(f"def g{n}():\n    g{n + 1}()\n    g{n + 1}()\n" for n in range(60))
    + "def g60():\n    pass\ng0()\nassert f(1) == 1",
    "loops": "".join(f"{' ' * n}for n{n} in {[0] * 100}:\n" for n in range(20)) + " " * 20 + "assert f(1) == 1",
    "cases": "import pytest\n" + f"@pytest.mark.parametrize('a', {[0] * 100})\n" * 20 + "def test_f(a):\n    assert f(a) == 1",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_costs_no_more_than_its_length(name: str) -> None:
    begun = time.process_time()
    with contextlib.suppress(UnusableTests):  # Python itself has bounds
        read_asserts(HOSTILE[name], "pytest" if "pytest" in HOSTILE[name] else "functional")
    assert time.process_time() - begun < 5


def test_a_text_that_is_too_long_to_parse_runs_beside_the_program() -> None:
    assert read_asserts("assert f(1) == 1\n" + "#" * LONGEST, "functional").cheatable


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
hashable = st.recursive(scalars, lambda inner: st.tuples(inner, inner), max_leaves=4)
tables = st.dictionaries(hashable, scalars, max_size=3) | st.sets(hashable, max_size=3)
plain = st.recursive(scalars | tables, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner), max_leaves=8)


@given(plain)
def test_a_value_that_is_written_out_is_read_as_python_reads_it(value: Any) -> None:
    text = repr(value).replace("inf", "float('inf')") if "inf" in repr(value) and "'" not in repr(value) else repr(value)
    try:
        read = Literals().value(ast.parse(text, mode="eval").body, {})
    except NotLiteral:
        assert "inf" in text
        return
    assert read == value and type(read) is type(value)


@settings(deadline=None)
@given(plain, plain)
def test_a_comparison_outside_is_pythons_own(value: Any, wanted: Any) -> None:
    test = read_asserts(f"assert f() == {wanted!r}", "functional")
    if test.cheatable:  # such as inf, a name that nobody defined
        return
    for given_back in (value, wanted, [wanted]):
        travelled = frames.decode(frames.encode([given_back]))
        assert checker.all_right([], [list(one) for one in test.expected], travelled) == (given_back == wanted)


@given(st.floats(), st.floats(), st.floats(0, 1), st.floats(0, 1))
def test_closeness_is_that_of_math(value: float, wanted: float, relative: float, absolute: float) -> None:
    assert checker.right(value, "isclose", wanted, relative, absolute) == math.isclose(value, wanted, rel_tol=relative, abs_tol=absolute)


@given(st.floats() | st.integers(), st.floats() | st.integers())
def test_pytests_approx_is_the_same_outside_and_beside(value: float, wanted: float) -> None:
    from klear_repro.asserts.inside import approx

    assert checker.right(value, "approx", wanted, 1e-6, 1e-12) == (approx(wanted) == value) == (value == pytest.approx(wanted))
