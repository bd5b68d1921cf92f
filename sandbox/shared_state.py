"""What programs keep from one test to the next, for `lcb_compat`.

Definition: grade_call_based and grade_stdio of lcb_runner/evaluation/testing_util.py of LiveCodeBench at 28fef95,
which run all tests of a sample in one process (functions on one `Solution`) and compare each result before the next
test. The executor gives each test a process of its own. A program that could keep something
(`sandbox.statelessness`) is therefore run once more, on all its tests in turn in one process, and the results are
compared as one list; where that disagrees, the first test that fails is looked for. Such a process holds the inputs
of all tests and, like any other, no expected output. Exactness is per sample, as the official verdict is: the
results of tests after the first failure are those without state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .compare import as_bytes
from .inside import lcb
from .model import Limits, Test, TestResult, Verdict
from .statelessness import functions_may_keep_state, programs_may_keep_state

_SHARE_OF_MEMORY = 8
"""Inputs of more than this part of the memory limit are not held by one process: they alone could exceed it."""

_LOOKED_AT = 100_000
"""Characters of a program that are looked at, in less than 0.1 s; a longer one may keep something."""

Run = Callable[[Test, Limits], TestResult]
"""Runs the program on one test within other limits than the sample's."""


def carry_over(
    source: str, tests: Sequence[Test], results: list[TestResult], limits: Limits, stop: bool, run: Run
) -> list[TestResult]:
    """The results as they are when the tests share a process; unchanged for programs without state.

    With `stop` the results end at the first failure.
    """
    alone = next((i for i, result in enumerate(results) if result.verdict is not Verdict.AC), len(results))
    if alone == 0 or len(tests) == 1 or not _may_differ(source, tests, limits):
        return results
    end = len(tests)
    outcomes: dict[int, TestResult] = {}

    def passes(count: int) -> bool:
        if count not in outcomes:
            outcomes[count] = run(_in_turn(tests[:count]), _limits(limits, results, count))
        return outcomes[count].verdict is Verdict.AC

    first = _first_failure(passes, end, alone)
    if broken := next((o for o in outcomes.values() if o.verdict is Verdict.IE), None):
        return [*results[:-1], broken]
    if first == alone and (first == end or outcomes[first + 1].verdict is results[first].verdict):
        return results
    shared = list(results)
    for index in range(alone, first):
        accepted = outcomes[first] if index >= len(shared) else replace(shared[index], verdict=Verdict.AC)
        shared[index : index + 1] = [replace(accepted, message="accepted after the calls before it")]
    if first < end:
        failed = outcomes[first + 1]
        shared[first : first + 1] = [replace(failed, message=f"after the calls before it: {failed.message}")]
    return shared[: first + 1] if stop else shared


def _limits(limits: Limits, results: Sequence[TestResult], count: int) -> Limits:
    """For the first so many calls in one process: twice what they took alone and one test's limit, so that a
    program cannot make the second look cost more than the first.
    """
    taken, missing = results[:count], max(0, count - len(results))
    cpu_s = limits.cpu_s * (1 + missing) + 2 * sum(result.cpu_s for result in taken)
    wall_s = limits.wall_s * (1 + missing) + 2 * sum(result.wall_s for result in taken)
    return replace(limits, cpu_s=min(cpu_s, 3600.0), wall_s=min(wall_s, 7200.0))


def _may_differ(source: str, tests: Sequence[Test], limits: Limits) -> bool:
    """Whether the program could keep something from one of these tests to the next."""
    function = tests[0].function
    if any(test.function != function for test in tests):
        return False
    if len(source) > _LOOKED_AT:
        return True
    if function is not None:
        return functions_may_keep_state(source)
    held = sum(len(test.input) for test in tests)
    return held <= (limits.memory_mb << 20) // _SHARE_OF_MEMORY and programs_may_keep_state(source)


def _in_turn(tests: Sequence[Test]) -> Test:
    """All of these tests as one: a call whose value is the list of their results."""
    function = tests[0].function
    if function is None:
        return Test(
            function=lcb.TEXTS_IN_TURN, args=[_text(test.input) for test in tests],
            expected=[_text(test.expected) for test in tests],
        )  # fmt: skip
    return Test(
        function=lcb.IN_TURN, args=[function, [list(test.args) for test in tests]],
        expected=[test.expected for test in tests],
    )  # fmt: skip


def _text(text: str | bytes) -> str:
    """As the program reads it."""
    return as_bytes(text).decode("utf-8", "surrogateescape")


def _first_failure(passes: Callable[[int], bool], end: int, guess: int) -> int:
    """The smallest index whose call fails, or `end`; `passes(n)` says whether the first n calls are right."""
    low, high = 0, guess  # the first `low` calls pass, the first `high` do not
    if passes(guess):
        if guess == end or not passes(guess + 1):
            return guess
        if passes(end):
            return end
        low, high = guess + 1, end
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low
