"""Programs on their tests side by side: the same results however many workers there are, and an end to programs that never end."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from klear_repro.asserts.reading import read_asserts
from klear_repro.machine import MOST_WORKERS, cores, workers
from klear_repro.program_runs import ProgramRun, run_programs
from klear_repro.rewards import RewardModel, Rollout, within
from sandbox import Executor, Limits, SandboxError, Test, Verdict

LIMITS = Limits(cpu_s=0.4, wall_s=10, memory_mb=256)
TESTS = [Test(input=f"{n}\n", expected=f"{2 * n}\n") for n in range(9)]
ENDLESS = "while True:\n    pass"
PROGRAMS = [
    "print(2 * int(input()))",
    "n = int(input())\nassert n < 5\nprint(2 * n if n != 2 else 0)",
    "n = int(input())\nwhile n == 4:\n    pass\nprint(2 * n)",
    ENDLESS,
    "print(",
    "n = int(input())\nassert n != 3\nprint(2 * n)",
]


def code(program: str) -> str:
    return f"<think>\n</think>\n```python\n{program}\n```"


def runs(*programs: str, tests: list[Test] = TESTS) -> list[ProgramRun]:
    return [ProgramRun(program, tests, LIMITS) for program in programs]


def test_verdicts_are_those_of_the_executor_with_1_2_and_5_workers() -> None:
    with Executor(workers=1) as executor:
        wanted = [[one.verdict for one in executor.run(program, TESTS, LIMITS).tests] for program in PROGRAMS[:3] + PROGRAMS[4:]]
    for count in (1, 2, 5):
        with Executor(workers=count) as executor:
            results = run_programs(executor, runs(*PROGRAMS[:3], *PROGRAMS[4:]), stop_after_tle=3)
        assert [[one.verdict for one in result.tests] for result in results] == wanted
        assert [result.total for result in results] == [len(TESTS)] * 5


def test_rewards_do_not_depend_on_the_number_of_workers() -> None:
    plain = [{"input": f"{n}\n", "expected": f"{2 * n}\n"} for n in range(12)]
    asserts = [read_asserts(f"assert f({n}) == {n}", "functional") for n in range(5)]
    rollouts = [Rollout("coder1_longcot", code(program), plain, seed) for program in PROGRAMS for seed in (0, 1) if program != PROGRAMS[2]]
    rollouts += [Rollout("coder1_longcot", code("def f(n): return min(n, 2)"), asserts, 0)]
    found = []
    for count in (1, 2, 5):
        with RewardModel("release", workers=count, max_tests=6, limits=LIMITS, stop_after_tle=2) as rewards:
            found.append(rewards.score(rollouts))
    assert found[0] == found[1] == found[2]
    assert {one.detail for one in found[0]} >= {"AC", "RE", "CE", "TLE, not run on every test"}
    assert found[0][-1].reward == pytest.approx(2 * 3 / 5 - 1)


def test_a_program_that_never_ends_is_stopped_after_the_tests_with_the_shortest_inputs() -> None:
    tests = [Test(input="9" * (6 - n), expected="") for n in range(6)]
    shortest_pass = "import sys\nlength = len(sys.stdin.read())\nwhile length > 3:\n    pass"
    with Executor(workers=2) as executor:
        (stopped,) = run_programs(executor, runs(ENDLESS, tests=tests), stop_after_tle=3)
        (slow,) = run_programs(executor, runs(shortest_pass, tests=tests), stop_after_tle=3)
        (whole,) = run_programs(executor, runs(ENDLESS, tests=tests), stop_after_tle=0)
    assert [len(stopped.tests), stopped.total, stopped.pass_rate, stopped.passed] == [3, 6, 0, False]
    assert slow.pass_rate == 0.5
    assert stopped.verdict is whole.verdict is Verdict.TLE
    assert len(whole.tests) == 6


def test_a_program_that_is_slow_on_some_tests_is_run_on_all() -> None:
    slow = "n = int(input())\nwhile n < 2:\n    pass\nprint(2 * n)"
    with Executor(workers=2) as executor:
        (result,) = run_programs(executor, runs(slow), stop_after_tle=3)
    assert len(result.tests) == 9
    assert result.pass_rate == 7 / 9


def test_a_program_without_other_tests_is_run_on_what_there_is() -> None:
    with Executor(workers=1) as executor:
        (result,) = run_programs(executor, runs(ENDLESS, tests=TESTS[:2]), stop_after_tle=3)
    assert len(result.tests) == result.total == 2


def test_the_tests_of_one_program_run_side_by_side() -> None:
    sleepy = "import time\ntime.sleep(0.4)\nprint(2 * int(input()))"
    with Executor(workers=4) as executor:
        begun = time.monotonic()
        (result,) = run_programs(executor, runs(sleepy, tests=TESTS[:8]))
        taken = time.monotonic() - begun
    assert result.passed
    assert taken < 8 * 0.4 * 0.75


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_ends_all_of_it(count: int) -> None:
    class Broken:
        workers = count

        def run(self, code: str, tests: list[Any], limits: Limits, **options: Any) -> Any:
            raise SandboxError("gone")

    with pytest.raises(SandboxError, match="gone"):
        run_programs(Broken(), runs(*PROGRAMS))  # type: ignore[arg-type]


def test_a_rows_timeout_shortens_the_limits_in_proportion_and_never_lengthens_them() -> None:
    limits = Limits(cpu_s=35, wall_s=70)
    assert within(limits, 7) == replace(limits, cpu_s=7, wall_s=14)
    assert within(limits, 0) == within(limits, 35) == within(limits, 90) == limits


def test_a_rows_timeout_decides_what_is_too_slow() -> None:
    busy = "import time\nwhile time.process_time() < 0.4:\n    pass\nprint(int(input()))"
    tests = [{"input": "1\n", "expected": "1\n"}]
    with RewardModel("release", workers=1, max_tests=8, limits=Limits(cpu_s=3, wall_s=9)) as rewards:
        scores = rewards.score([Rollout("coder1_longcot_lcbv5", code(busy), tests, 0, timeout_s=seconds) for seconds in (0.0, 0.2, 50.0)])
    assert [(one.reward, one.detail) for one in scores] == [(1, "AC"), (-1, "TLE"), (1, "AC")]


def test_workers_are_the_cores_that_a_process_of_torchrun_has(tmp_path: Path) -> None:
    there = len(os.sched_getaffinity(0))
    assert cores({}, tmp_path) == there
    assert cores({"LOCAL_WORLD_SIZE": str(2 * there)}, tmp_path) == 1
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    for text, count in (("max 100000\n", there), ("100000 100000\n", 1), ("50000 100000\n", 1)):
        (tmp_path / "sys/fs/cgroup/cpu.max").write_text(text)
        assert cores({}, tmp_path) == count
    assert workers(7) == 7 and 1 <= workers(0) <= MOST_WORKERS
