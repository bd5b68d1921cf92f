"""The result cache: what is the same is not run again, what may differ is."""

import dataclasses
import sqlite3

import pytest

from sandbox import Executor, Limits, Test

CODE = "print(int(input()) + 1)"
TESTS = [Test(input="1\n", expected="2\n"), Test(input="2\n", expected="4\n")]


@pytest.fixture
def cached(tmp_path):
    with Executor(workers=1, cache=tmp_path / "results.sqlite") as made:
        yield made


def test_the_same_sample_is_run_once(cached):
    first, second = cached.run(CODE, TESTS), cached.run(CODE, TESTS)
    assert first == second
    assert [test.verdict for test in second.tests] == ["AC", "WA"]
    assert (cached.cache.hits, cached.cache.misses) == (1, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"code": CODE + "\n"},
        {"tests": TESTS[:1]},
        {"tests": TESTS[::-1]},
        {"tests": [dataclasses.replace(TESTS[0], expected="3\n"), TESTS[1]]},
        {"limits": Limits(cpu_s=5)},
        {"mode": "lcb_compat"},
        {"stop_on_first_failure": True},
        {"keep_kb": 1},
    ],
    ids=str,
)
def test_whatever_differs_is_run(cached, other):
    cached.run(CODE, TESTS)
    arguments = {"code": CODE, "tests": TESTS} | other
    cached.run(**arguments)
    assert (cached.cache.hits, cached.cache.misses) == (0, 2)


def test_types_of_arguments_are_told_apart(cached):
    code = "def f(x): return type(x).__name__"
    for value in (1, 1.0, True, "1", [1], (1,), b"1"):
        result = cached.run(code, [Test(function="f", args=[value], expected=type(value).__name__)])
        assert result.passed
    assert cached.cache.hits == 0


def test_a_time_out_is_not_kept(cached):
    for _ in range(2):
        assert cached.run("while True: pass", TESTS[:1], Limits(cpu_s=0.1)).verdict == "TLE"
    assert (cached.cache.hits, cached.cache.misses) == (0, 2)


def test_results_outlive_the_executor_and_another_runtime_does_not_see_them(tmp_path, monkeypatch):
    path = tmp_path / "results.sqlite"
    for hits in (0, 1):
        with Executor(workers=1, cache=path) as executor:
            executor.run(CODE, TESTS)
            assert executor.cache.hits == hits
    monkeypatch.setattr("sandbox.cache.runtime", lambda numpy: "another Python")
    with Executor(workers=1, cache=path) as executor:
        executor.run(CODE, TESTS)
        assert executor.cache.hits == 0


def test_a_file_that_is_no_database_is_refused_at_once(tmp_path):
    path = tmp_path / "results.sqlite"
    path.write_text("this is not a database, and longer than its header would be " * 20)
    with pytest.raises(sqlite3.DatabaseError):
        Executor(cache=path)
