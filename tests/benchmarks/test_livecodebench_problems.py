"""LiveCodeBench's windows from files of the official shape: real ids and dates, tests made here."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, fake_hub

from benchmarks import BenchmarkError, BenchmarkWarning, load_benchmark
from benchmarks.livecodebench_problems import HUB_REPO, WINDOWS, ids_hash, release_files
from sandbox import Executor, Test

PUBLIC = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
PRIVATE = [{"input": "3 4\n", "output": "7\n", "testtype": "stdin"}]


def packed(tests: list[dict[str, str]]) -> str:
    """Private tests in the official encoding."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def official(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A row as in the Hub's files, from one of the results file."""
    fields = ("question_title", "question_content", "platform", "question_id", "contest_id", "contest_date", "starter_code", "difficulty")
    tests = {"public_test_cases": json.dumps(PUBLIC), "private_test_cases": packed(PRIVATE), "metadata": "{}"}
    return {field: row[field] for field in fields} | tests | changes


@pytest.fixture(scope="module")
def rows(data: Path) -> list[dict[str, Any]]:
    """The 880 problems of release_v5, with made-up tests."""
    return [official(row) for row in json.loads((data / "lcb_o1_mini_eval_all.json").read_text(encoding="utf-8"))]


def write(folder: Path, rows: list[dict[str, Any]], release: int = 5) -> Path:
    """The rows spread over a release's files."""
    folder.mkdir(exist_ok=True)
    names = release_files(release)
    for number, name in enumerate(names):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows[number :: len(names)]), encoding="utf-8")
    return folder


def test_without_tests_the_problems_are_the_same_and_no_test_is_unpacked(rows, tmp_path):
    whole = load_benchmark("lcb_v5", write(tmp_path / "whole", rows))
    broken = write(tmp_path / "broken", [row | {"private_test_cases": "not packed"} for row in rows])
    bare = load_benchmark("lcb_v5", broken, tests=False)
    assert bare == [problem.model_copy(update={"tests": (), "info": dict(problem.info) | {"source": "broken"}}) for problem in whole]
    with pytest.raises(BenchmarkError):
        load_benchmark("lcb_v5", broken)


def test_the_window_of_v5_has_279_problems(rows, tmp_path):
    problems = load_benchmark("lcb_v5", write(tmp_path, rows))
    assert len(problems) == 279
    assert Counter(p.info["difficulty"] for p in problems) == {"easy": 67, "medium": 89, "hard": 123}
    assert Counter(p.info["platform"] for p in problems) == {"atcoder": 175, "leetcode": 104}
    dates = [p.info["contest_date"] for p in problems]
    assert dates == sorted(dates) and dates[0] >= "2024-08-01"
    assert [(t.input, t.expected) for t in problems[0].tests] == [("1 2\n", "3\n"), ("3 4\n", "7\n")]


def test_a_window_is_the_same_from_one_file_and_in_any_order(rows, tmp_path):
    whole = tmp_path / "all.jsonl"
    whole.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)), encoding="utf-8")
    one, many = load_benchmark("lcb_v5", whole), load_benchmark("lcb_v5", write(tmp_path / "release", rows))
    assert [p.id for p in one] == [p.id for p in many]


def test_another_release_or_a_missing_problem_is_refused(rows, tmp_path):
    inside = next(i for i, row in enumerate(rows) if row["contest_date"] > "2024-09")
    extra = official(rows[inside], question_id="abc999_z")
    for changed, count in ((rows[:inside] + rows[inside + 1 :], 278), ([*rows, extra], 280)):
        with pytest.raises(BenchmarkError, match=f"lcb_v5: .* has {count} problems from 2024-08-01 to 2025-02-01 .* has 279"):
            load_benchmark("lcb_v5", write(tmp_path, changed))


def row_of(**changes: Any) -> dict[str, Any]:
    base = {
        "question_title": "Sum", "question_content": "Add.", "platform": "atcoder", "question_id": "x", "contest_id": "c",
        "contest_date": "2025-03-01T00:00:00", "starter_code": "", "difficulty": "easy",
    }  # fmt: skip
    return official(base, **changes)


def load_one(tmp_path: Path, *rows: dict[str, Any]) -> list[Any]:
    file = tmp_path / "window.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.warns(BenchmarkWarning, match=r"lcb_v6: window.jsonl has \d+ problems in the window .*; write-ups say 131"):
        return load_benchmark("lcb_v6", file)


def test_a_window_includes_midnight_at_both_ends_and_nothing_beyond(tmp_path):
    dates = ["2025-01-31T23:59:59", "2025-02-01T00:00:00", "2025-05-01T00:00:00", "2025-05-01T00:00:01"]
    made = [row_of(question_id=f"q{i}", contest_date=date) for i, date in enumerate(dates)]
    assert [p.id for p in load_one(tmp_path, *made)] == ["q1", "q2"]


def test_functional_problems_become_calls_that_the_sandbox_judges(tmp_path):
    tests = [{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}]
    made = row_of(
        metadata=json.dumps({"func_name": "total"}), private_test_cases=json.dumps(tests), public_test_cases=packed(tests),
        starter_code="class Solution:\n    def total(self, xs: List[int], y: int) -> int:\n        ",
    )  # fmt: skip
    (problem,) = load_one(tmp_path, made)
    assert problem.starter_code.startswith("class Solution") and len(problem.tests) == 2
    with Executor(workers=1) as executor:
        given = [Test(function=t.function, args=list(t.args), expected=t.expected) for t in problem.tests]
        assert executor.run(problem.starter_code + "return sum(xs) + y", given, mode="lcb_compat").passed


@pytest.mark.parametrize(("changes", "said"), [
    ({"contest_date": "soon"}, "line 1: contest_date: 'soon' is not a date"),
    ({"private_test_cases": "!!"}, "line 1: private tests: neither JSON nor base64"),
    ({"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(datetime(2025, 1, 1)))).decode()}, "line 1: private tests: "),
    ({"public_test_cases": 3}, "line 1: public_test_cases: int is not allowed; text"),
    ({"public_test_cases": "[]", "private_test_cases": "[]"}, "line 1: no tests, which anything would pass"),
    ({"metadata": "{"}, "line 1: metadata: not JSON"),
    ({"metadata": '{"func_name": 3}'}, "line 1: metadata: expected an object"),
    ({"difficulty": None}, "line 1: difficulty: NoneType is not allowed; text"),
])  # fmt: skip
def test_broken_rows_are_named(tmp_path, changes, said):
    file = tmp_path / "window.jsonl"
    file.write_text(json.dumps(row_of(**changes)) + "\n", encoding="utf-8")
    with pytest.raises(BenchmarkError) as error:
        load_benchmark("lcb_v6", file)
    assert str(error.value).startswith(f"window.jsonl, {said}")


def test_a_problem_that_appears_twice_is_refused(tmp_path):
    file = tmp_path / "window.jsonl"
    file.write_text(2 * (json.dumps(row_of()) + "\n"), encoding="utf-8")
    with pytest.raises(BenchmarkError, match="line 2: problem x of lcb_v6 appears twice"):
        load_benchmark("lcb_v6", file)


def test_a_file_without_the_window_is_refused(tmp_path):
    file = tmp_path / "window.jsonl"
    file.write_text(json.dumps(row_of(contest_date="2023-01-01")) + "\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match="lcb_v6: window.jsonl has no problem from 2025-02-01 to 2025-05-01"):
        load_benchmark("lcb_v6", file)


FROM_HUB = """
import sys, json
from benchmarks import load_benchmark
problems = load_benchmark("lcb_v5", revision=sys.argv[1])
print(json.dumps([len(problems), problems[0].info["source"]]))
"""


@pytest.fixture
def from_hub(tmp_path: Path) -> Callable[[str, str], subprocess.CompletedProcess[str]]:
    def run(endpoint: str, revision: str) -> subprocess.CompletedProcess[str]:
        environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "PATH": ""}
        root = Path(__file__).resolve().parents[2]
        return subprocess.run([sys.executable, "-c", FROM_HUB, revision], cwd=root, env=environment, capture_output=True, text=True)

    return run


def test_a_window_comes_from_the_hub_at_one_commit_and_no_script_is_run(rows, tmp_path, from_hub):
    folder = write(tmp_path / "files", rows)
    files = {file.name: file.read_bytes() for file in folder.iterdir()} | {"code_generation_lite.py": b"raise SystemExit(7)"}
    with fake_hub(HUB_REPO, files) as endpoint:
        done = from_hub(endpoint, COMMIT)
    assert json.loads(done.stdout) == [279, f"{HUB_REPO}@{COMMIT}"], done.stderr


def test_the_hash_of_ids_does_not_depend_on_their_order():
    assert ids_hash(["b", "a"]) == ids_hash(["a", "b"]) != ids_hash(["ab"])
    assert WINDOWS["lcb_v5"].problems == 279
