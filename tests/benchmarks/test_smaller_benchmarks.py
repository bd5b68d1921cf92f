"""GSM8K, MATH-500 and HumanEval: answers and tests are the official ones, or the file is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import BenchmarkError, BenchmarkWarning, load_benchmark
from benchmarks.answer_keys import load_key


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(("name", "count"), [("gsm8k", 1319), ("math500", 500)])
def test_the_keys_have_every_problem_once(name: str, count: int) -> None:
    key = load_key(name)
    assert len(key.problems) == count == len(key.by_hash) == len(key.by_id)
    assert all(entry.answer and len(entry.hash) == 16 for entry in key.problems)


def test_answers_of_gsm8k_are_whole_numbers_and_the_first_is_known() -> None:
    key = load_key("gsm8k")
    assert all(entry.answer.removeprefix("-").isdigit() for entry in key.problems)
    assert key.problems[0].answer == "18"


def test_a_file_with_a_wrong_or_missing_answer_is_refused(tmp_path: Path) -> None:
    row = {"id": "test-0000", "question": "A farmer sells eggs.", "answer": "9 * 2 = <<9*2=18>>18.\n#### 18"}
    with pytest.raises(BenchmarkError, match="1 of 1319 problems of gsm8k; missing test-0001"):
        load_benchmark("gsm8k", write(tmp_path / "a.jsonl", [row]))
    with pytest.raises(BenchmarkError, match="line 1: problem test-0000 of gsm8k has the answer '19'"):
        load_benchmark("gsm8k", write(tmp_path / "b.jsonl", [row | {"answer": "#### 19"}]))
    with pytest.raises(BenchmarkError, match="appears twice"):
        load_benchmark("gsm8k", write(tmp_path / "c.jsonl", [row, row]))
    with pytest.raises(BenchmarkError, match="line 1: not a problem of gsm8k"):
        load_benchmark("gsm8k", write(tmp_path / "d.jsonl", [{"question": "What is 1 + 1?", "answer": "2"}]))


def test_human_eval_is_loaded_with_its_assertions_and_checked(data: Path, tmp_path: Path) -> None:
    problems = load_benchmark("humaneval", data)
    assert len(problems) == 164 and problems[0].id == "HumanEval/0"
    assert "def check(candidate)" in problems[0].after and problems[0].before == problems[0].statement
    rows = [json.loads(line) for line in (data / "human_eval.jsonl").read_text().splitlines()]
    easier = [rows[0] | {"test": "def check(candidate):\n    pass\n"}, *rows[1:]]
    with pytest.raises(BenchmarkError, match="line 1: HumanEval/0 has another test"):
        load_benchmark("humaneval", write(tmp_path / "a.jsonl", easier))
    with pytest.raises(BenchmarkError, match="163 of 164 problems of humaneval; missing HumanEval/163"):
        load_benchmark("humaneval", write(tmp_path / "b.jsonl", rows[:-1]))
    with pytest.raises(BenchmarkError, match="appears twice"):
        load_benchmark("humaneval", write(tmp_path / "c.jsonl", [*rows, rows[3]]))
    with pytest.raises(BenchmarkError, match="line 1: entry_point: NoneType is not allowed"):
        load_benchmark("humaneval", write(tmp_path / "d.jsonl", [{**rows[0], "entry_point": None}]))
    other = [rows[0] | {"prompt": rows[0]["prompt"].replace("closer", "nearer")}, *rows[1:]]
    with pytest.warns(BenchmarkWarning, match=r"1 of 164 prompts differ .*HumanEval/0"):
        assert len(load_benchmark("humaneval", write(tmp_path / "e.jsonl", other))) == 164
