"""The result cache: what is the same is not run again, what may differ is."""

import contextlib
import dataclasses
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox import Executor, Limits, Test

ROOT = Path(__file__).resolve().parents[2]
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


def test_the_error_for_a_wrong_file_names_it(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE results (name TEXT)")
    text = tmp_path / "text"
    text.write_text("this is not a database " * 100)
    for path in (text, tmp_path, tmp_path / "no" / "folder", other):
        with pytest.raises(sqlite3.Error, match=re.escape(f"cache {path}: ")):
            Executor(cache=path)


# A cache may never cost a result.


def _right(executor, code=CODE):
    """Whether a run gives its result, and how long it took."""
    began = time.monotonic()
    result = executor.run(code, TESTS)
    assert [test.verdict for test in result.tests] == ["AC", "WA"]
    return time.monotonic() - began


def _complaints(executor):
    return [note for note in executor.notes if note.startswith("cache ")]


def test_a_locked_file_loses_no_result_and_costs_little_time(cached, tmp_path):
    _right(cached)
    other = sqlite3.connect(tmp_path / "results.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    took = [_right(cached, CODE + "\n" * n) for n in range(1, 6)]
    assert sum(took) < 5, took
    assert cached.cache.errors >= 5
    assert len(_complaints(cached)) == 1 and "database is locked" in _complaints(cached)[0]
    other.execute("COMMIT")
    other.close()


def test_a_file_that_is_locked_from_the_beginning_is_used_later(tmp_path, monkeypatch):
    monkeypatch.setattr("sandbox.cache._PAUSE_S", 0.5)
    path = tmp_path / "results.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("CREATE TABLE other (x)")
    began = time.monotonic()
    with Executor(workers=1, cache=path) as executor:
        assert _right(executor) < 5 and time.monotonic() - began < 10
        assert len(_complaints(executor)) == 1
        other.close()
        time.sleep(0.6)
        _right(executor)
        _right(executor)
        assert executor.cache.hits == 1


def test_a_full_disk_loses_no_result(tmp_path):
    with Executor(workers=1, cache=tmp_path / "results.sqlite") as executor:
        _right(executor)
        executor.cache._database.execute("PRAGMA max_page_count=1")  # the error of a full disk, from SQLite itself
        big = "import sys; n = int(input()); print('x' * 60000, file=sys.stderr); print(n + 1)"
        for _ in range(2):
            _right(executor, big)
        _right(executor)
        assert (executor.cache.hits, executor.cache.errors) == (1, 2)
        assert len(_complaints(executor)) == 1 and "disk is full" in _complaints(executor)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_a_file_system_without_inodes_loses_no_result(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=2", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("mounting is refused here")
    try:
        with Executor(workers=1, cache=tmp_path / "results.sqlite") as executor:  # no inode is left for its journal
            _right(executor)
            _right(executor)
            assert executor.cache.hits == 0 and len(_complaints(executor)) == 1
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_a_file_system_without_room_loses_no_result(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("mounting is refused here")
    try:
        with Executor(workers=1, cache=tmp_path / "results.sqlite") as executor:
            _right(executor)
            with contextlib.suppress(OSError), open(tmp_path / "rest", "wb", buffering=0) as rest:
                while True:
                    rest.write(b"x" * 4096)
            for n in range(1, 9):
                _right(executor, CODE + "\n" * 100_000 + "#" * n)
        with contextlib.suppress(sqlite3.Error), Executor(workers=1, cache=tmp_path / "other.sqlite") as executor:
            _right(executor)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.parametrize("damage", ["pages", "all", "empty", "gone", "table", "no permission"])
def test_a_file_that_is_damaged_later_loses_no_result(tmp_path, damage):
    path = tmp_path / "results.sqlite"
    with Executor(workers=1, cache=path) as executor:
        for n in range(20):
            executor.run(CODE + "\n" * n, TESTS)
    with Executor(workers=1, cache=path) as executor:
        _right(executor, CODE + "\n" * 30)
        if damage == "table":
            sqlite3.connect(path).execute("DROP TABLE results")
        else:
            _damage(path, damage)
        for n in (0, 5, 30, 40):
            _right(executor, CODE + "\n" * n)


def _damage(path, how):
    size = path.stat().st_size
    if how == "pages":
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
    for file in path.parent.glob(f"{path.name}*"):  # whatever SQLite has beside it too
        if how == "gone":
            file.unlink()
        elif how == "no permission":
            file.chmod(0)
        elif how in ("all", "empty"):
            with open(file, "r+b") as opened:
                opened.truncate(0)
                opened.write(b"\xa5" * size if how == "all" else b"")


def test_processes_may_share_a_file(tmp_path):
    code = (
        "import sys\nfrom sandbox.cache import ResultCache\nfrom sandbox.model import Result, TestResult\n"
        "cache, kept = ResultCache(sys.argv[1]), Result([TestResult('AC')], 'root', 1, 1.0)\n"
        "for n in range(200): cache.put(b'%d %s' % (n, sys.argv[2].encode()), kept)\n"
        "found = [cache.get(b'%d %s' % (n, sys.argv[2].encode())) for n in range(200)]\n"
        "print(found == [kept] * 200, cache.errors)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "results.sqlite")]
    processes = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True, cwd=ROOT) for n in range(3)]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["True 0\n"] * 3


@pytest.mark.parametrize("body", [
    "'nonsense'", "''", "x'00ff'", "cast(x'ff00ff' as text)", "replace(body, '\"AC\"', '\"RE\"')", "replace(body, '\"WA\"', '\"AC\"')",
    "'[]'", "'null'", "'{\"tests\": 3}'", "substr(body, 1, 80)", "7",
])  # fmt: skip
def test_a_damaged_row_is_a_miss(cached, tmp_path, body):
    _right(cached)
    with sqlite3.connect(tmp_path / "results.sqlite") as other:
        assert other.execute(f"UPDATE results SET body = {body}").rowcount == 1
    other.close()
    _right(cached)
    assert (cached.cache.hits, cached.cache.misses, cached.cache.errors) == (0, 2, 1)
    assert len(_complaints(cached)) == 1
    _right(cached)
    assert cached.cache.hits == 1, "it is stored again"


def test_rows_that_changed_places_are_misses(cached, tmp_path):
    _right(cached)
    cached.run(CODE + "\n", TESTS[:1])
    with sqlite3.connect(tmp_path / "results.sqlite") as other:
        (first, one), (second, two) = other.execute("SELECT key, body FROM results").fetchall()
        other.executemany("UPDATE results SET body = ? WHERE key = ?", [(two, first), (one, second)])
    other.close()
    _right(cached)
    assert cached.cache.errors == 1


def test_an_executor_closed_during_a_run_loses_no_result_to_its_cache(tmp_path):
    with Executor(workers=1, cache=tmp_path / "results.sqlite") as executor:
        executor.cache.close()
        _right(executor)
        assert executor.cache.errors == 2
