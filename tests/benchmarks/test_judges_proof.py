"""Ten thousand made-up responses under both judges: no exception, within the limits, klear as the released judge.

Budget: 5 minutes on two cores.  CI runs a fortieth of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from fair_time import timed
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from released_judge import released_verdict

from benchmarks.grading import KLEAR_LIMIT_S, Grader, GraderPool

PIECES = st.sampled_from(
    [
        "$", "$$", "\\boxed{", "}", "{", "\\frac{1}{2}", "204", "0204", "1,037", " or ", " and ", "=", "x", "\\sqrt2", "\\text{",
        "<think>", "</think>", "The answer is ", "−7", ".5", "\\pm", "(", ")", "[", "]", "\\(", "\\)", "和", "\ud800", "3!", "\n",
        "%", "\\left(", "\\right)", "\\begin{pmatrix}", "&", "\\\\", "^", "^{", "_", "\\cup", "\\{", "10^{30}", "\u2028", "\x00",
    ]
)  # fmt: skip
SHORT = st.lists(PIECES | st.text(max_size=6), max_size=30).map("".join)
NESTED = st.builds(
    lambda opening, inside, depth, closed: opening * depth + inside + "}" * (depth if closed else depth - 1),
    st.sampled_from(["{", "\\boxed{", "\\frac{1}{", "\\sqrt{", "\\text{"]), PIECES, st.integers(1, 120), st.booleans(),
)  # fmt: skip
LONG = st.builds(
    lambda piece, size, end: piece * (size // max(1, len(piece))) + end,
    st.sampled_from(["so x = 1, ", "{", "$", "7 ", "\\boxed{5} ", "\\frac{1}{2} ", "ab\n", "$x$ ", "和"]),
    st.integers(1_000_000, 3_000_000), SHORT,
)  # fmt: skip
TOWERS = st.builds(
    lambda base, heights, form: form.format("".join(f"{base}^{{" for _ in heights) + str(base) + "}" * len(heights)),
    st.integers(2, 99), st.lists(st.none(), min_size=2, max_size=6),
    st.sampled_from(["\\boxed{{{}}}", "so it is ${}$", "\\boxed{{5}} ${}$"]),
)  # fmt: skip
FACTORIALS = st.builds(lambda n, depth: "\\boxed{" + "(" * depth + str(n) + "!)" * depth + "}", st.integers(3, 30), st.integers(1, 5))
ORDINARY = st.integers(0, 9).flatmap(lambda kind: NESTED if kind == 0 else SHORT)
GOLDS = st.sampled_from(
    ["204", "33", "\\frac{1}{2}", "8\\sqrt{10}", "-984", "1, 2", "9!", "\\frac{-1+\\sqrt{17}}{2}, \\frac{-1-\\sqrt{17}}{2}"]
)
BATCH = 20
TWICE_KLEAR_S = 2 * KLEAR_LIMIT_S + 2


@pytest.fixture(scope="module")
def one() -> Iterator[GraderPool]:
    """One worker, so that the time of a grade is what a caller waits for it."""
    with GraderPool(workers=1) as pool:
        pool.grade("\\boxed{1}", "1")
        pool.grade("\\boxed{1}", "1", "klear")
        yield pool


def drilled(strategy: st.SearchStrategy[str], batches: int, check: Callable[[str, str], None]) -> int:
    """`check` on `batches` times BATCH drawn responses; returns how many there were."""
    seen = 0

    @settings(
        max_examples=batches, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(st.tuples(strategy, GOLDS), min_size=BATCH, max_size=BATCH))
    def run(items: list[tuple[str, str]]) -> None:
        nonlocal seen
        for text, gold in items:
            seen += 1
            check(text, gold)

    run()
    return seen


def in_time(pool: GraderPool, text: str, gold: str, grader: Grader, limit: float) -> bool:
    spent, grade = timed(lambda: pool.grade(text, gold, grader), limit)
    assert spent < limit, (grader, spent, ascii(text[:200]))
    grade.model_dump_json()
    return grade.correct


def ordinary(pool: GraderPool, text: str, gold: str) -> None:
    in_time(pool, text, gold, "strict", 2)
    assert in_time(pool, text, gold, "klear", TWICE_KLEAR_S) == released_verdict(text, gold), ascii(text)
    bare = text.replace("<think>", "").replace("</think>", "")
    thought = f"<think>{text.replace('think>', '')} \\boxed{{204}}</think>"
    assert pool.grade(thought + bare, gold) == pool.grade(bare, gold), ascii(text)


def hard(pool: GraderPool, text: str, gold: str) -> None:
    in_time(pool, text, gold, "strict", 2)


def both(pool: GraderPool, text: str, gold: str) -> None:
    hard(pool, text, gold)
    in_time(pool, text, gold, "klear", TWICE_KLEAR_S)


def test_a_few_hundred_made_up_responses_are_graded_like_the_released_judge_and_in_time(one: GraderPool) -> None:
    assert drilled(ORDINARY, 12, lambda text, gold: ordinary(one, text, gold)) >= 240
    assert drilled(TOWERS | FACTORIALS, 1, lambda text, gold: hard(one, text, gold)) >= BATCH


@pytest.mark.proof
def test_ten_thousand_made_up_responses_are_graded_like_the_released_judge_and_in_time(one: GraderPool) -> None:
    began, seen = time.monotonic(), {}
    seen["ordinary"] = drilled(ORDINARY, 480, lambda text, gold: ordinary(one, text, gold))
    seen["megabytes, strict"] = drilled(LONG, 10, lambda text, gold: hard(one, text, gold))
    seen["towers and factorials, strict"] = drilled(TOWERS | FACTORIALS, 15, lambda text, gold: hard(one, text, gold))
    seen["megabytes, both"] = drilled(LONG, 1, lambda text, gold: both(one, text, gold))
    seen["towers and factorials, both"] = drilled(TOWERS | FACTORIALS, 1, lambda text, gold: both(one, text, gold))
    print(f"\n{seen}, {time.monotonic() - began:.0f} s")
    assert sum(seen.values()) >= 10_000
