"""The strict judge against made-up answers: every respelling is right, every near miss that differs is wrong.

`answer_trees` draws an answer as a tree, prints it in many spellings and changes one token of it.  Whether a changed answer is still the
gold is decided by mpmath (50 digits, random points) and by `order` and `unit` in the policy table, never by the judge's own reader.
"""

from __future__ import annotations

import random
import time
import tomllib
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest
from answer_draws import draw, drawn_misses
from answer_spellings import Speller
from answer_trees import Node, evaluate, integer, points, same, symbol, type_of, with_unit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.grading import GraderPool
from benchmarks.strict.compare import read_gold
from benchmarks.strict.judge import judge_strict

POLICY: dict[str, dict[str, Any]] = tomllib.loads((files("benchmarks.strict") / "policy.toml").read_text(encoding="utf-8"))
POINTS = points(random.Random(2025))
PER_GOLD = 4
"""Near misses of each gold that is drawn."""


BOXED = (
    "So it is \\boxed{%s}.", "Therefore the answer is $\\boxed{%s}$.", "$$\\boxed{%s}$$",
    "Since $x = 3$, we get\n\\[\n\\boxed{%s}.\n\\]\nDone.",
)  # fmt: skip
STATED = (
    "The answer is $%s$.", "We have seen that $x < 3$.\n\n**Final answer:** $%s$", "Answer: $ %s $", "The final answer is: \\(%s\\)",
)  # fmt: skip


def stated(rng: random.Random, answer: Node, loose: bool = True) -> str:
    """A response that states the answer in a random spelling, mostly in a box."""
    in_box = rng.random() < 0.7
    spelling = Speller(rng, boxed=in_box).answer(answer, loose)
    if in_box:
        return rng.choice(BOXED[:1] if "$" in spelling.replace(r"\$", "") else BOXED).replace("%s", spelling)
    return rng.choice(STATED).replace("%s", spelling)


def right(response: str, gold: str) -> bool:
    return judge_strict(response, gold).reason == "correct"


def judged(rng: random.Random, golds: int) -> tuple[Counter[str], list[tuple[str, str]], list[tuple[str, str]]]:
    """Counts, respellings that were refused, and different answers that were accepted, both with their golds."""
    counts: Counter[str] = Counter()
    lost, wrongly = [], []
    for _ in range(golds):
        tree = draw(rng)
        gold = Speller().answer(tree)
        response = stated(rng, tree)
        counts["respellings"] += 1
        if not right(response, gold):
            lost.append((gold, response))
        for miss, equal in drawn_misses(rng, tree, PER_GOLD, POLICY, POINTS):
            response = stated(rng, miss, loose=False)
            correct = right(response, gold)
            counts[f"near misses, {'equal' if equal else 'different'}, {'accepted' if correct else 'refused'}"] += 1
            if correct and not equal:
                wrongly.append((gold, response))
    return counts, lost, wrongly


def check(seed: int, golds: int) -> Counter[str]:
    began = time.monotonic()
    counts, lost, wrongly = judged(random.Random(seed), golds)
    print(*(f"refused: {gold} | {response!r}" for gold, response in lost), sep="\n")
    print(*(f"accepted: {gold} | {response!r}" for gold, response in wrongly), sep="\n")
    print(f"\n{dict(sorted(counts.items()))}, respellings refused: {len(lost)}, {time.monotonic() - began:.0f} s")
    assert wrongly == []
    assert lost == []
    misses = counts.total() - counts["respellings"]
    assert counts["near misses, equal, refused"] < 0.02 * misses
    assert counts["near misses, different, refused"] > 0.9 * misses
    assert misses == PER_GOLD * golds
    return counts


def test_of_1500_near_misses_only_equal_answers_are_accepted_and_no_respelling_is_refused() -> None:
    check(1, 375)


@pytest.mark.proof
def test_of_20000_near_misses_only_equal_answers_are_accepted_and_no_respelling_is_refused() -> None:
    check(20_000, 5_000)


def test_the_drawn_answers_have_every_type_of_the_policy_table_and_the_judge_gives_them_that_type() -> None:
    rng, seen = random.Random(3), set()
    for _ in range(600):
        tree = draw(rng)
        kind = read_gold(Speller().answer(tree)).type
        seen.add(kind)
        expected = type_of(tree)
        if (expected, kind) == ("expression", "integer"):  # 2^{25} \cdot 26!
            value = evaluate(tree.parts[0], {})
            expected = "integer" if value == int(value) else expected
        assert kind == expected, Speller().answer(tree)
    assert seen == set(POLICY)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_a_respelling_never_changes_the_verdict(seed: int, spelling: int) -> None:
    tree = draw(random.Random(seed))
    gold = Speller().answer(tree)
    rng = random.Random(spelling)
    assert right(stated(rng, tree), gold)
    [(miss, equal)] = drawn_misses(random.Random(seed), tree, 1, POLICY, POINTS)
    if not equal:
        assert [right(stated(rng, miss, loose=False), gold) for _ in range(3)] == [False] * 3


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_added_thinking_never_changes_the_grade_of_any_type_of_answer(pool: GraderPool, seed: int) -> None:
    rng = random.Random(seed)
    bare, thought = [], []
    for _ in range(12):
        tree = draw(rng)
        gold = Speller().answer(tree)
        [(miss, _)] = drawn_misses(rng, tree, 1, POLICY, POINTS)
        responses = [stated(rng, tree), stated(rng, miss, loose=False)]
        for response, other in (responses, responses[::-1]):
            bare.append((response, gold))
            thought.append((f"<think>Maybe.  {other}  No, wait: \\boxed{{3}}</think>\n\n{response}", gold))
    assert pool.grade_many(thought, "strict") == pool.grade_many(bare, "strict")


def test_a_pool_gives_the_verdicts_that_the_judge_gives_here(pool: GraderPool) -> None:
    rng, items = random.Random(8), []
    for _ in range(60):
        tree = draw(rng)
        gold = Speller().answer(tree)
        items.append((stated(rng, tree), gold))
        items += [(stated(rng, miss, loose=False), gold) for miss, _ in drawn_misses(rng, tree, 2, POLICY, POINTS)]
    grades = pool.grade_many(items, "strict")
    assert [grade.reason for grade in grades] == [judge_strict(*item).reason for item in items]


PLUS = Node("add", (symbol("x"), integer(1)))
KNOWN = [
    (with_unit(integer(12)), with_unit(Node("mul", (integer(3), integer(4)))), True),
    (with_unit(integer(12), "cm"), with_unit(integer(12)), True),
    (with_unit(integer(12), "cm"), with_unit(integer(12), "m"), False),
    (with_unit(Node("sqrt", (integer(2),))), with_unit(Node("pow", (integer(2), Node("rat", (1, 2))))), True),
    (with_unit(Node("sqrt", (integer(2),))), with_unit(Node("rat", (99, 70))), False),
    (with_unit(Node("pow", (PLUS, integer(2)))), with_unit(Node("mul", (PLUS, PLUS))), True),
    (with_unit(Node("pow", (PLUS, integer(2)))), with_unit(Node("add", (Node("pow", (symbol("x"), integer(2))), integer(1)))), False),
    (Node("tuple", ("(", integer(1), integer(2))), Node("tuple", ("(", integer(2), integer(1))), False),
    (Node("list", (integer(1), integer(2))), Node("list", (integer(2), integer(1))), True),
    (Node("list", (integer(1), integer(2))), Node("list", (integer(1),)), False),
    (Node("equation", (symbol("y"), PLUS)), Node("equation", (PLUS, symbol("y"))), True),
    (Node("equation", (symbol("y"), PLUS)), Node("equation", (symbol("x"), symbol("y"))), False),
    (Node("base", ("101", 2)), Node("base", ("101", 3)), False),
]


@pytest.mark.parametrize(("gold", "answer", "expected"), KNOWN)
def test_the_oracle_itself_tells_equal_from_different(gold: Node, answer: Node, expected: bool) -> None:
    assert same(gold, answer, POLICY, POINTS) is expected


def test_the_oracle_joins_the_pieces_of_a_set() -> None:
    def piece(low: int, high: int, opening: str, closing: str) -> Node:
        return Node("piece", (integer(low), integer(high), opening, closing))

    whole = Node("interval", (piece(1, 5, "[", ")"),))
    assert same(whole, Node("interval", (piece(3, 5, "[", ")"), piece(1, 3, "[", ")"))), POLICY, POINTS)
    assert same(whole, Node("interval", (piece(1, 5, "[", ")"), piece(9, 7, "[", "]"))), POLICY, POINTS)
    assert not same(whole, Node("interval", (piece(3, 5, "(", ")"), piece(1, 3, "[", ")"))), POLICY, POINTS)
    assert not same(whole, Node("interval", (piece(1, 5, "[", "]"),)), POLICY, POINTS)
