"""What functions keep from one call to the next, for `lcb_compat`.

Definition: grade_call_based of lcb_runner/evaluation/testing_util.py of LiveCodeBench at 28fef95, which makes
all calls of a sample in one process, on one `Solution`, and compares each value before the next call. The
executor gives each test a process of its own. A program whose text could keep something is therefore run once
more, with the calls of all its tests in turn in one process, and the values are compared as one list; where
that disagrees, the first test that fails is looked for. Such a process holds the inputs of all tests and,
like any other, no expected value. Exactness is per sample, as the official verdict is: the result of tests
after the first failure is the one without state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .inside import lcb
from .model import Limits, Test, TestResult, Verdict

_WORDS = ("cache", "global", "setattr", "__dict__", "vars(", "builtins", "=[]", "={}")
_DEFINITIONS = ("def ", "async def ", "class ", "@")
_COMPARED = (Verdict.AC, Verdict.WA, Verdict.RE)

Run = Callable[[Test, Limits], TestResult]
"""Runs the program on one test within other limits than the sample's."""


def may_keep_state(source: str) -> bool:
    """False if the text cannot keep anything between calls. A look at the lines, for the text is hostile and
    parsing is the sandbox's work: assignments to attributes, at the level of definitions, or of defaults.
    """
    if any(word in source for word in _WORDS):
        return True
    lines = [(line, line.lstrip()) for line in source.splitlines()]
    levels = {len(line) - len(text) for line, text in lines if text.startswith(_DEFINITIONS)} | {0}
    for line, text in lines:
        target, equals, _ = text.partition("=")
        at_level = len(line) - len(text) in levels and not text.startswith("#")
        if equals and (at_level or "." in target):
            return True
    return False


def carry_over(
    source: str, tests: Sequence[Test], results: list[TestResult], limits: Limits, stop: bool, run: Run
) -> list[TestResult]:
    """The results as they are when the calls share a process; unchanged for programs without state.

    A test without a verdict on its value (TLE, MLE, …) ends the calls, as it officially does; with `stop`
    the results end at the first failure.
    """
    function = tests[0].function
    alone = next((i for i, result in enumerate(results) if result.verdict is not Verdict.AC), len(results))
    if function is None or alone == 0 or len(tests) == 1 or any(test.function != function for test in tests):
        return results
    if not may_keep_state(source):
        return results
    end = next((i for i, result in enumerate(results) if result.verdict not in _COMPARED), len(tests))
    outcomes: dict[int, TestResult] = {}

    def passes(count: int) -> bool:
        if count not in outcomes:
            outcomes[count] = run(_in_turn(function, tests[:count]), _limits(limits, results, count))
        return outcomes[count].verdict is Verdict.AC

    first = _first_failure(passes, end, min(alone, end))
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


def _in_turn(function: str, tests: Sequence[Test]) -> Test:
    return Test(
        function=lcb.IN_TURN, args=[function, [list(test.args) for test in tests]],
        expected=[test.expected for test in tests],
    )  # fmt: skip


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
