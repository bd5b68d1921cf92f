"""Every example in the policy table of the strict judge gets its verdict."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from benchmarks.grading import GraderPool
from benchmarks.strict.compare import read_gold
from benchmarks.strict.types import ANSWER_TYPES

POLICY: dict[str, dict[str, Any]] = tomllib.loads((files("benchmarks.strict") / "policy.toml").read_text(encoding="utf-8"))


def test_the_policy_table_has_a_complete_row_for_every_type_and_for_nothing_else() -> None:
    assert sorted(POLICY) == sorted(ANSWER_TYPES)
    for name, row in POLICY.items():
        assert sorted(row) == ["gold", "order", "right", "rule", "unit", "wrong"], name
        assert row["order"] in ("fixed", "free", "none"), name
        assert row["unit"] in ("optional", "none"), name
        assert row["right"], name
        assert row["wrong"], name


@pytest.mark.parametrize("name", POLICY)
def test_the_example_gold_of_a_type_has_that_type(name: str) -> None:
    assert read_gold(POLICY[name]["gold"]).type == name


@pytest.mark.parametrize("name", POLICY)
def test_every_example_of_a_type_gets_its_verdict(pool: GraderPool, name: str) -> None:
    row = POLICY[name]
    right, wrong = [row["gold"], *row["right"]], row["wrong"]
    grades = pool.grade_many([(f"So it is $\\boxed{{{answer}}}$.", row["gold"]) for answer in right + wrong], "strict")
    verdicts = [grade.correct for grade in grades]
    found = list(zip(right + wrong, verdicts, strict=True))
    assert [answer for answer, correct in found[: len(right)] if not correct] == []
    assert [answer for answer, correct in found[len(right) :] if correct] == []


def test_the_page_on_judges_shows_the_whole_table() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "judges.md").read_text(encoding="utf-8")
    for name, row in POLICY.items():
        right, wrong = (", ".join(shown(answer) for answer in row[kind]) for kind in ("right", "wrong"))
        assert f"| {name} | {row['rule']} | {shown(row['gold'])} | {right} | {wrong} |" in page


def shown(answer: str) -> str:
    """An answer in a cell of a Markdown table."""
    return "`" + answer.replace("|", "\\|") + "`"
