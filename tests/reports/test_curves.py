"""pass@k, maj@k and the score against the token budget, from the graded samples of a run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.estimators import maj_at_k, maj_curve
from benchmarks.strict.votes import joined_answer
from reports.scores import Scores, budget_curve, complete_problems, pass_curve, powers, vote_curve


def made(right: list[list[bool]], tokens: list[list[int]] | None = None, answers: list[list[str | None]] | None = None) -> Scores:
    """Scores from outcomes by problem and sample."""
    n = [len(row) for row in right]
    place = np.repeat(np.arange(len(right)), n)
    flat = np.array([one for row in right for one in row], dtype=bool)
    return Scores(
        grader="strict", problem_ids=tuple(f"p{i}" for i in range(len(right))), correct=np.bincount(place[flat], minlength=len(right)),
        samples=np.array(n), reasons={}, verdicts={}, truncated=(0.0, 0.0), partials=np.zeros(len(right)), place=place, right=flat,
        timed_out=np.zeros(len(flat), dtype=bool),
        tokens=np.array([one for row in tokens or [[5] * k for k in n] for one in row]),
        answers=tuple(one for row in answers or [[None] * k for k in n] for one in row),
    )  # fmt: skip


def test_powers_end_with_the_number_itself() -> None:
    assert powers(1) == [1] and powers(8) == [1, 2, 4, 8] and powers(6) == [1, 2, 4, 6]


def test_pass_at_k_starts_at_the_score_and_ends_at_the_share_of_solved_problems() -> None:
    result = made([[True, False, False, False], [False] * 4, [True] * 4])
    k, score = pass_curve(result)
    assert list(k) == [1, 2, 4]
    assert score == pytest.approx([result.score, 100 * (0.5 + 0 + 1) / 3, 200 / 3])


def test_curves_are_of_the_problems_with_all_samples() -> None:
    result = made([[True, False, False, False], [True], [True] * 4], answers=[["a", "b", "b", "b"], ["a"], ["a"] * 4])
    assert list(complete_problems(result)) == [True, False, True]
    assert pass_curve(result)[1] == pytest.approx([100 * (0.25 + 1) / 2, 100 * (0.5 + 1) / 2, 100.0])
    k, score = vote_curve(result)
    assert list(k) == [1, 2, 4] and score[0] == pytest.approx(62.5) and score[-1] == pytest.approx(50.0)


def test_votes_join_equal_answers_and_right_ones_are_one() -> None:
    result = made(
        [[False, False, True, True, False], [True, True, False, False, False]],
        answers=[["0.5", r"\frac{1}{2}", "7", "7.0", "3"], ["a", "b", "x + 1", "y", None]],
    )
    k, score = vote_curve(result)
    assert k[-1] == 5
    # Problem 0: a half has two votes, right ones two, a tie; problem 1: two right votes, written differently, against single ones.
    assert score[-1] == pytest.approx(100 * (0.5 + 1.0) / 2)
    assert score[0] == pytest.approx(result.score)


def test_joined_answers_are_values_or_normal_forms() -> None:
    assert joined_answer("0.5") == joined_answer(r"\dfrac{1}{2}") == joined_answer("1/2")
    assert joined_answer(r"x+1") == joined_answer(r"x + 1")
    assert joined_answer("204") != joined_answer("203")


@given(st.data())
def test_a_curve_of_votes_is_its_points(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    answers = data.draw(st.lists(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=n, max_size=n), min_size=1, max_size=3))
    correct = [[answer == "a" for answer in row] for row in answers]
    ks = powers(n)
    curve = maj_curve(answers, correct, ks, subsets=50)
    assert curve == pytest.approx([maj_at_k(answers, correct, k, subsets=50) for k in ks])
    assert all(0 <= value <= 1 for value in curve)


def test_the_budget_curve_is_the_score_with_longer_responses_cut_off() -> None:
    right = [[True, True, False, True], [False, True, True, True]]
    tokens = [[10, 20, 30, 40], [5, 50, 60, 70]]
    curve = budget_curve(made(right, tokens))
    assert curve is not None
    budgets, score = curve
    assert budgets[-1] == 70 and score[-1] == pytest.approx(made(right).score)
    for budget, value in zip(budgets, score, strict=True):
        kept = [[r and t <= budget for r, t in zip(*rows, strict=True)] for rows in zip(right, tokens, strict=True)]
        assert value == pytest.approx(made(kept).score)
    assert np.all(np.diff(score) >= 0)


def test_without_token_counts_there_is_no_budget_curve() -> None:
    assert budget_curve(made([[True, False]], [[0, 5]])) is None


def test_a_failed_generation_does_not_cost_the_budget_curve() -> None:
    whole = budget_curve(made([[True, False]], tokens=[[10, 0]]))
    assert whole is not None and whole[1][-1] == 50.0
