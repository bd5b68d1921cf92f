"""Synthetic tasks: the teacher is right when it does not slip, wrong when it does, by the real graders and the real sandbox."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load_benchmark
from benchmarks.grading import GraderPool
from benchmarks.livecodebench import extract_code
from klear_repro.data.stage import make_data, read_parquet
from klear_repro.data.synthetic import Task, code_task, distinct, math_task
from klear_repro.sections import DataConfig
from sandbox import Executor, Limits, Test

COUNT = 150


@pytest.fixture(scope="module")
def maths() -> list[Task]:
    rng = random.Random(1)
    return list(islice(distinct(lambda: math_task(rng, steps=2, digits=2), set()), COUNT))


@pytest.fixture(scope="module")
def programs() -> list[Task]:
    rng = random.Random(1)
    return list(islice(distinct(lambda: code_task(rng, tests=6), set()), COUNT))


@pytest.fixture(scope="module")
def graders() -> Iterator[GraderPool]:
    with GraderPool(workers=1) as pool:
        yield pool


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(workers=1) as sandbox:
        yield sandbox


def math_right(graders: GraderPool, tasks: list[Task], error_rate: float) -> list[bool]:
    teacher = random.Random(2)
    items = [(task.teach(teacher, error_rate), task.answer or "") for task in tasks]
    return [grade.correct for grade in graders.grade_many(items, grader="strict", thinking="required")]


def pass_rates(executor: Executor, tasks: list[Task], error_rate: float) -> list[float]:
    teacher = random.Random(2)
    jobs = [(extract_code(task.teach(teacher, error_rate), style="klear"), [Test(**test) for test in task.tests]) for task in tasks]
    assert all(program for program, _ in jobs)
    return [result.pass_rate for result in executor.run_many(jobs, limits=Limits(cpu_s=2, wall_s=5, memory_mb=256))]


def test_answers_without_a_slip_are_right(graders: GraderPool, maths: list[Task]) -> None:
    assert all(math_right(graders, maths, 0.0))


def test_answers_with_every_slip_are_wrong(graders: GraderPool, maths: list[Task]) -> None:
    """Every problem has a carry or borrow to forget."""
    assert sum(math_right(graders, maths, 1.0)) == 0


def test_answers_slip_at_about_the_rate_that_was_set(graders: GraderPool, maths: list[Task]) -> None:
    right = sum(math_right(graders, maths, 0.3)) / COUNT
    assert 0.35 < right < 0.85  # one to three chances to slip, 0.3 each


def test_programs_without_a_slip_pass_every_test(executor: Executor, programs: list[Task]) -> None:
    assert pass_rates(executor, programs, 0.0) == [1.0] * COUNT


def test_programs_with_a_slip_fail_at_least_one_test(executor: Executor, programs: list[Task]) -> None:
    rates = pass_rates(executor, programs, 1.0)
    assert max(rates) < 1
    assert any(0 < rate < 1 for rate in rates)  # a soft reward has something to say


def test_programs_slip_at_about_the_rate_that_was_set(executor: Executor, programs: list[Task]) -> None:
    wrong = sum(rate < 1 for rate in pass_rates(executor, programs, 0.3)) / COUNT
    assert abs(wrong - 0.3) < 0.15


def test_answers_are_integers_from_0_to_999_and_both_kinds_of_program_occur(maths: list[Task], programs: list[Task]) -> None:
    assert all(task.answer and 0 <= int(task.answer) <= 999 for task in maths)
    assert {task.info["mode"] for task in programs} == {"stdin", "functional"}
    assert all(len(task.tests) == 6 for task in programs)
    assert all(bool(task.starter_code) == (task.info["mode"] == "functional") for task in programs)


def test_statements_are_distinct_and_never_enter_a_taken_side() -> None:
    rng = random.Random(3)
    taken: set[str] = set()
    first = list(islice(distinct(lambda: math_task(rng, steps=1), taken), 200))
    second = list(islice(distinct(lambda: math_task(rng, steps=1), taken), 200))
    statements = [task.statement for task in first + second]
    assert len(set(statements)) == 400
    assert taken == set(statements)


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2])
def test_every_difficulty_that_may_be_set_gives_problems(steps: int, digits: int) -> None:
    def give_up(*_: Any) -> None:
        raise AssertionError(f"no problem of {steps} steps and {digits} digits in 3 s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(3)
    try:
        rng = random.Random(4)
        assert all(math_task(rng, steps=steps, digits=digits).answer for _ in range(30))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


SMALL: dict[str, Any] = {
    "sft_math_problems": 60, "sft_code_problems": 10, "sft_code_answers": 2, "rl_math_problems": 20, "rl_code_problems": 10,
    "heldout_math": 8, "heldout_code": 6, "tests": 3,
}  # fmt: skip


def statements(folder: Path) -> dict[str, set[str]]:
    found = {}
    for name in ("sft", "rl-math", "rl-code"):
        found[name] = {row["prompt"][0]["content"] for row in read_parquet(folder / f"{name}.parquet")}
    for name in ("mini-aime", "mini-lcb"):
        found[name] = {problem.statement for problem in load_benchmark(name, folder)}
    return found


def test_no_statement_is_on_two_sides(tmp_path: Path) -> None:
    make_data(DataConfig(**SMALL), 0, tmp_path)
    sides = statements(tmp_path)
    assert {name: len(texts) for name, texts in sides.items()} == {"sft": 70, "rl-math": 20, "rl-code": 10, "mini-aime": 8, "mini-lcb": 6}
    assert len(set().union(*sides.values())) == 114


def test_data_is_the_same_for_a_seed_and_another_for_another(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_data(DataConfig(**SMALL), seed, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["funnel.json", "mini-aime.jsonl", "mini-lcb.jsonl", "rl-code.parquet", "rl-math.parquet", "sft.parquet"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not statements(tmp_path / "a")["mini-aime"] & statements(tmp_path / "c")["mini-aime"]


def test_rows_of_the_rl_sets_have_the_released_columns(tmp_path: Path) -> None:
    make_data(DataConfig(**SMALL), 0, tmp_path)
    math = read_parquet(tmp_path / "rl-math.parquet")[0]
    code = read_parquet(tmp_path / "rl-code.parquet")[0]
    assert {"data_source", "prompt", "ability", "reward_model"} <= set(math) & set(code)
    assert (math["data_source"], math["ability"]) == ("math_longcot_math_verify", "math")
    assert (code["data_source"], code["ability"]) == ("coder1_longcot", "code")
    assert math["reward_model"]["style"] == "rule"
    assert math["reward_model"]["ground_truth"].isdigit()


def test_the_share_of_right_teacher_answers_is_what_the_error_rate_makes_it(tmp_path: Path) -> None:
    for rate in (0.0, 1.0):
        funnel = make_data(DataConfig(**SMALL, math_error_rate=rate, code_error_rate=rate), 0, tmp_path / str(rate))
        assert funnel["sft"]["samples"] == 80
        assert funnel["sft"]["right"] == (80 if rate == 0 else 0)


def test_more_problems_than_there_are_is_said(tmp_path: Path) -> None:
    rng = random.Random(0)
    only = math_task(rng)
    with pytest.raises(ValueError, match="distinct"):
        list(islice(distinct(lambda: only, set()), 2))
