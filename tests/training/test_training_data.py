"""Data of one's own: what cannot be trained on is one line, before anything is written; what changed is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from klear_program import PROFILE, inside, rows

MATH = {"data_source": "math_longcot_math_verify", "prompt": [{"role": "user", "content": "1 + 1"}], "ability": "math",
        "reward_model": {"ground_truth": "2", "style": "rule"}}  # fmt: skip


def code(tests: str) -> dict[str, Any]:
    return {**MATH, "data_source": "coder1_longcot", "ability": "code", "reward_model": {"ground_truth": tests}}


CODE = code(json.dumps({"inputs": ["1"], "outputs": ["2"]}))


@pytest.fixture
def words(tmp_path: Path) -> list[Any]:
    """A run on files, whose SFT has three samples."""
    profile = tmp_path / "mini.toml"
    without = PROFILE.replace('controls = ["clip"]', "").replace("eval_every = 1", "")
    profile.write_text(without.replace("[data]", '[data]\nsource = "files"'))
    write(tmp_path / "told.jsonl", *({"prompt": f"{n} + 1", "response": f"The sum is {n + 1}"} for n in range(3)))
    short = ["--sft.steps", 2, "--sft.save_every", 1]
    return ["--profile", profile, "--run-dir", tmp_path / "run", "--sft.data", tmp_path / "told.jsonl", *short]


def write(path: Path, *given: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


@pytest.mark.parametrize(
    ("good", "row", "says"),
    [
        (MATH, {**MATH, "data_source": "other"}, "row 2: data_source='other', allowed are coder1_longcot, math_longcot_math_verify"),
        (MATH, {**MATH, "reward_model": {"ground_truth": "2", "style": 7}, "data_source": None}, "row 2: data_source=None, allowed are"),
        (CODE, code(json.dumps({"inputs": ["1", "2"], "outputs": ["2"]})), "row 2: 2 inputs and 1 outputs"),
        (CODE, code(json.dumps({"functional": "assert f(1) == 2"})), "functional is not supported"),
        (CODE, code("["), "ground_truth is not JSON"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_refused_before_anything_is_written(
    good: dict[str, Any], row: dict[str, Any], says: str, words: list[Any], tmp_path: Path
) -> None:
    outcome = inside(*words, "--stage", "sft,rl-math", "--rl_math.data", write(tmp_path / "rl.jsonl", good, row))
    assert outcome.code == 2, outcome.err
    assert says in outcome.lines[-1]
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("row", [{**MATH, "prompt": "1 + 1"}, {"data_source": "x", "prompt": [{"role": "user", "content": "1"}]}])
def test_rows_of_another_form_are_refused(row: dict[str, Any], words: list[Any], tmp_path: Path) -> None:
    outcome = inside(*words, "--stage", "sft,rl-math", "--rl_math.data", write(tmp_path / "rl.jsonl", row))
    assert outcome.code == 2, outcome.err
    assert "needed: data_source, prompt as a list of role and content, reward_model.ground_truth" in outcome.lines[-1]


def test_a_prompt_that_leaves_no_room_is_refused_before_training(words: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rl.jsonl", MATH, {**MATH, "prompt": [{"role": "user", "content": "1 + 1 " * 200}]})
    outcome = inside(*words, "--stage", "sft,rl-math", "--rl_math.data", path)
    assert outcome.code == 2, outcome.err
    assert "rl_math.max_new_tokens=40: with the longest prompt" in outcome.lines[-1]
    assert rows(tmp_path / "run" / "metrics" / "rl-math.jsonl") == []


def test_evaluations_while_training_want_problems_of_their_own(words: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rl.jsonl", *({**MATH, "reward_model": {"ground_truth": str(n)}} for n in range(8)))
    go = [*words, "--stage", "sft,rl-math", "--rl_math.data", path, "--rl_math.eval_every", 1, "--rl_math.patience", 9]
    refused = inside(*go)
    assert refused.code == 2, refused.err
    assert "rl_math.heldout='': must name problems" in refused.lines[-1]
    outcome = inside(*go, "--rl_math.heldout", path, "--rl_math.eval_problems", 3)
    assert outcome.code == 0, outcome.err
    assert [row["problems"] for row in rows(tmp_path / "run" / "evaluations" / "rl-math.jsonl")] == [3, 3, 3]


def test_data_that_changed_is_not_taken_for_the_same(words: list[Any], tmp_path: Path) -> None:
    assert inside(*words, "--stage", "sft").code == 0
    (tmp_path / "told.jsonl").write_text((tmp_path / "told.jsonl").read_text().replace("1 + 1", "1 + 2"))
    refused = inside(*words, "--stage", "sft")
    assert refused.code == 2, refused.err
    assert "stage sft was made with other settings" in refused.lines[-1]


def test_the_control_of_more_sft_wants_sft_data(words: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rl.jsonl", MATH)
    more = ["--sft.data", "", "--sft.steps", 0, "--model.path", tmp_path, "--rl_math.controls", "sft"]
    outcome = inside(*words, *more, "--stage", "sft,rl-math", "--rl_math.data", path)
    assert outcome.code == 2, outcome.err
    assert "rl_math.controls='sft': needs sft.data" in outcome.lines[-1]
