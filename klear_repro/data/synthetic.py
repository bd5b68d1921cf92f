"""Synthetic tasks of the smoke profile and the teacher that answers them.

They stand in for what the paper trains and tests on: integer problems with answers 0–999
(AIME-like) and small Python programs with tests (LiveCodeBench-like: stdin and functional).
The teacher thinks aloud between `<think>` and `</think>`, as DeepSeek-R1 does for the paper's
SFT data, and makes mistakes at a settable rate: in a calculation it forgets a carry or a borrow,
in a program it overlooks a case (a slip that usually fails some tests and passes others).  Its
mistakes are systematic, so imitating it longer does not remove them; a verifier can.

Everything is a pure function of a `random.Random`; nothing here reads a file or a clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any

THINK = "<think>\n{thought}\n</think>\n\n"


@dataclass(frozen=True)
class Task:
    """One synthetic problem with its verifier's data and its teacher.

    `teach(rng, error_rate)` returns a response; every possible slip of the calculation or program
    happens with probability `error_rate`.
    """

    kind: str
    """math or code."""
    family: str
    statement: str
    teach: Callable[[random.Random, float], str]
    answer: str | None = None
    tests: tuple[dict[str, Any], ...] = ()
    starter_code: str = ""
    info: dict[str, Any] = field(default_factory=dict)


# --- integer problems ---------------------------------------------------------------------------


def _column_add(a: int, b: int, slip: Callable[[], bool]) -> tuple[str, int]:
    """Written addition of two numbers under 1000; a slip forgets the carry of a column."""
    columns, digits, carry = [], [], 0
    for place in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10**place % 10, b // 10**place % 10
        if carry and slip():
            carry = 0
        total = x + y + carry
        columns.append(f"{x}+{y}{'+1' if carry else ''}={total}")
        digits.append(total % 10)
        carry = total // 10
    value = sum(digit * 10**place for place, digit in enumerate(digits)) + carry * 10 ** len(digits)
    return f"{', '.join(columns)} so {value}", value


def _column_subtract(a: int, b: int, slip: Callable[[], bool]) -> tuple[str, int]:
    """Written subtraction, a ≥ b; a slip forgets the borrow of a column."""
    columns, digits, borrow = [], [], 0
    for place in range(len(str(a))):
        x, y = a // 10**place % 10, b // 10**place % 10
        if borrow and slip():
            borrow = 0
        top = x + 10 * (x < y + borrow)
        columns.append(f"{top}-{y}{'-1' if borrow else ''}={top - y - borrow}")
        digits.append(top - y - borrow)
        borrow = int(top > x)
    value = sum(digit * 10**place for place, digit in enumerate(digits))
    return f"{', '.join(columns)} so {value}", value


def _column_multiply(a: int, k: int, slip: Callable[[], bool]) -> tuple[str, int]:
    """Written multiplication by one digit; a slip forgets the carry."""
    columns, digits, carry = [], [], 0
    for place in range(len(str(a))):
        x = a // 10**place % 10
        if carry and slip():
            carry = 0
        total = x * k + carry
        columns.append(f"{x}*{k}{f'+{carry}' if carry else ''}={total}")
        digits.append(total % 10)
        carry = total // 10
    value = sum(digit * 10**place for place, digit in enumerate(digits)) + carry * 10 ** len(digits)
    return f"{', '.join(columns)} so {value}", value


_WRITTEN = {"+": _column_add, "-": _column_subtract, "*": _column_multiply}

_STORIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # operators of the steps → statements
    "add": (("+",), ("Find {0} + {1}.", "A shop sells {0} pens and {1} books. Find how many things it sells.")),
    "subtract": (("-",), ("Find {0} - {1}.", "A tank holds {0} liters and {1} liters leak out. Find what is left.")),
    "add-subtract": (
        ("+", "-"),
        ("Find {0} + {1} - {2}.", "A bus with {0} people takes {1} more and then {2} leave. Find how many stay."),
    ),
    "multiply-add": (
        ("*", "+"),
        ("Find {0} * {1} + {2}.", "There are {1} boxes of {0} pens each and {2} more pens. Find how many pens there are."),
    ),
}


def _operands(operators: tuple[str, ...], rng: random.Random, digits: int) -> list[int]:
    """Operands for which every intermediate value lies in 0…999."""
    low, high = 10 ** (digits - 1), 10**digits - 1
    while True:
        values = [rng.randint(low, high)]
        running = values[0]
        for operator in operators:
            other = rng.randint(2, 3) if operator == "*" else rng.randint(low, high)
            values.append(other)
            running = {"+": running + other, "-": running - other, "*": running * other}[operator]
            if not 0 <= running <= 999:
                break
        else:
            return values


def _work(operators: tuple[str, ...], values: list[int], slip: Callable[[], bool]) -> tuple[list[str], int]:
    """The written calculation, a line an operation, and its result."""
    lines, running = [], values[0]
    for operator, other in zip(operators, values[1:], strict=True):
        if operator == "-" and other > running:  # only after a slip: the true difference is never negative
            line, running = "below 0 so 0", 0
        else:
            line, running = _WRITTEN[operator](running, other, slip)
        lines.append(line)
    return lines, running


def math_task(rng: random.Random, *, steps: int = 2, digits: int = 2) -> Task:
    """One integer problem of at most `steps` operations on numbers of `digits` digits."""
    family = rng.choice([name for name, (operators, _) in _STORIES.items() if len(operators) <= steps])
    operators, statements = _STORIES[family]
    values = _operands(operators, rng, digits)
    while digits > 1 and _work(operators, values, lambda: True)[1] == _work(operators, values, lambda: False)[1]:
        values = _operands(operators, rng, digits)  # every problem has a carry or borrow to forget

    def teach(teacher: random.Random, error_rate: float) -> str:
        lines, value = _work(operators, values, lambda: teacher.random() < error_rate)
        return THINK.format(thought="\n".join(lines)) + f"\\boxed{{{value}}}"

    _, answer = _work(operators, values, lambda: False)
    statement = rng.choice(statements).format(*values)
    return Task("math", family, statement, teach, answer=str(answer), info={"steps": len(operators)})


# --- programs -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Program:
    """A family of programs: statement, the right body, and the body with the case overlooked."""

    statement: str
    plan: str
    right: tuple[str, str]
    """Statements and the expression of the result."""
    slip: tuple[str, str]
    solve: Callable[[list[int], int], int]
    slipped: Callable[[list[int], int], int]
    """What the program with the slip prints: at least one test of a task must tell the two apart."""


_PROGRAMS: dict[str, _Program] = {
    "largest": _Program(
        "the largest of the numbers, plus {k}", "track the largest",
        ("best = a[0]\nfor x in a:\n    if x > best:\n        best = x", "best + {k}"),
        ("best = 0\nfor x in a:\n    if x > best:\n        best = x", "best + {k}"),
        lambda a, k: max(a) + k,
        lambda a, k: max([0, *a]) + k,
    ),
    "smallest": _Program(
        "the smallest of the numbers, minus {k}", "track the smallest",
        ("best = a[0]\nfor x in a:\n    if x < best:\n        best = x", "best - {k}"),
        ("best = 40\nfor x in a[1:]:\n    if x < best:\n        best = x", "best - {k}"),
        lambda a, k: min(a) - k,
        lambda a, k: min([40, *a[1:]]) - k,
    ),
    "above": _Program(
        "how many numbers are at least {k}", "count them",
        ("n = 0\nfor x in a:\n    if x >= {k}:\n        n += 1", "n"),
        ("n = 0\nfor x in a:\n    if x > {k}:\n        n += 1", "n"),
        lambda a, k: sum(x >= k for x in a),
        lambda a, k: sum(x > k for x in a),
    ),
    "multiples": _Program(
        "the sum of the numbers that {k} divides", "add them up",
        ("n = 0\nfor x in a:\n    if x % {k} == 0:\n        n += x", "n"),
        ("n = 0\nfor x in a:\n    if x % {k} == 0:\n        n += 1", "n"),
        lambda a, k: sum(x for x in a if x % k == 0),
        lambda a, k: sum(x % k == 0 for x in a),
    ),
    "scaled": _Program(
        "{k} times the sum of the numbers", "add and scale",
        ("n = 0\nfor x in a:\n    n += x", "n * {k}"),
        ("n = 0\nfor x in a[1:]:\n    n += x", "n * {k}"),
        lambda a, k: k * sum(a),
        lambda a, k: k * sum(a[1:]),
    ),
    "distance": _Program(
        "the sum of the distances of the numbers from {k}", "add distances",
        ("n = 0\nfor x in a:\n    n += abs(x - {k})", "n"),
        ("n = 0\nfor x in a:\n    n += x - {k}", "n"),
        lambda a, k: sum(abs(x - k) for x in a),
        lambda a, k: sum(x - k for x in a),
    ),
    "range": _Program(
        "{k} times the range of the numbers", "largest minus smallest",
        ("n = max(a) - min(a)", "n * {k}"),
        ("n = max(a) - a[0]", "n * {k}"),
        lambda a, k: k * (max(a) - min(a)),
        lambda a, k: k * (max(a) - a[0]),
    ),
    "last": _Program(
        "the last number modulo {k}", "take the last",
        ("n = a[-1] % {k}", "n"),
        ("n = a[1] % {k}", "n"),
        lambda a, k: a[-1] % k,
        lambda a, k: a[1] % k,
    ),
}  # fmt: skip

_STDIN_ASK = "Read integers from one line. Print {what}."
_FUNCTION_ASK = "Write solve(a) for a list a of integers. Return {what}."


def _numbers(rng: random.Random, k: int) -> list[int]:
    """Test data in which every slip shows now and then: negatives, values equal to k, repeated ends."""
    length = rng.randint(2, 6)
    low = -40 if rng.random() < 0.5 else 1
    values = [rng.randint(low, 40) for _ in range(length)]
    if rng.random() < 0.3:
        values[rng.randrange(length)] = k
    if rng.random() < 0.2:
        values = [-abs(value) - 1 for value in values]
    return values


def code_task(rng: random.Random, *, tests: int = 8) -> Task:
    """One programming problem, stdin or functional, with `tests` tests of which at least one shows the slip."""
    family = rng.choice(list(_PROGRAMS))
    program = _PROGRAMS[family]
    functional = rng.random() < 0.5
    k = rng.randint(2, 30)
    what = program.statement.format(k=k)
    data = [_numbers(rng, k) for _ in range(tests)]
    while all(program.solve(a, k) == program.slipped(a, k) for a in data):
        data[rng.randrange(tests)] = _numbers(rng, k)
    if functional:
        cases = tuple({"function": "solve", "args": [a], "expected": program.solve(a, k)} for a in data)
    else:
        cases = tuple({"input": " ".join(map(str, a)) + "\n", "expected": f"{program.solve(a, k)}\n"} for a in data)

    def source(body: str, result: str) -> str:
        if functional:
            return "def solve(a):\n" + indent(f"{body}\nreturn {result}".format(k=k), "    ")
        return f"a = list(map(int, input().split()))\n{body}\nprint({result})".format(k=k)

    def teach(teacher: random.Random, error_rate: float) -> str:
        program_text = program.slip if teacher.random() < error_rate else program.right
        thought = f"{'function' if functional else 'stdin'}, {program.plan}, k={k}"
        return THINK.format(thought=thought) + f"```python\n{source(*program_text)}\n```"

    return Task(
        "code", family, (_FUNCTION_ASK if functional else _STDIN_ASK).format(what=what), teach, tests=cases,
        starter_code="def solve(a):\n" if functional else "",
        info={"mode": "functional" if functional else "stdin"},
    )  # fmt: skip


def distinct(make: Callable[[], Task], taken: set[str]) -> Iterator[Task]:
    """Endless tasks of `make` whose statement is not in `taken`, which grows with each one.

    Only the statement counts, so that no statement stands on both sides of a split.
    """
    misses = 0
    while misses < 10_000:
        task = make()
        if task.statement in taken:
            misses += 1
            continue
        misses = 0
        taken.add(task.statement)
        yield task
    raise ValueError("no further distinct task: ask for fewer, or raise the difficulty")
