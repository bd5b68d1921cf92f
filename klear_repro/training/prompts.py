"""Training prompts of RL: token ids, and what a verifier needs, from rows in the format of the released data.

Format: `{"data_source": …, "prompt": messages, "ability": "math" | "code", "reward_model": {"ground_truth": …}}`
(Suu/KlearReasoner-MathSub-30K, -CodeSub-15K).  Of a code row's `ground_truth` its tests and
`max_test_cases` are taken; its `timeout` is not: limits are those of `RLConfig`.  Not supported: tests of the forms `functional` and
`pytest`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from klear_repro.engines.base import chat_ids
from klear_repro.errors import UserError
from klear_repro.rewards import CODE_SOURCES, MATH_SOURCES, known_sources
from sandbox import Test

TEST_FIELDS = ("input", "expected", "function", "args", "weight")
"""Of a test in a row; `checker` and `interactor` name functions to run, which data may not."""


@dataclass(frozen=True)
class Prompt:
    """A training prompt: token ids, and what its verifier needs."""

    ids: tuple[int, ...]
    data_source: str
    ground_truth: Any
    max_tests: int = 0
    """Tests of a program that are run, at most, as its row says; 0: it says nothing."""


def make_prompts(tokenizer: Any, rows: Sequence[dict[str, Any]], longest: int = 0) -> list[Prompt]:
    """Training prompts from rows that `check_row` took; those of more than `longest` tokens are cut on the left, as the release does."""
    prompts = []
    for row in rows:
        truth, source = row["reward_model"]["ground_truth"], row["data_source"]
        ids = chat_ids(tokenizer, row["prompt"])
        known = code_tests(truth) if source in CODE_SOURCES else (str(truth),)
        prompts.append(Prompt(ids[-longest:] if longest else ids, source, *known))
    return prompts


def check_row(row: dict[str, Any], where: str) -> None:
    """Raises UserError for a row that is not in the format of the released data; `where` names it."""
    missing = [name for name in ("data_source", "prompt", "reward_model") if name not in row]
    if not missing and not (isinstance(row["reward_model"], dict) and "ground_truth" in row["reward_model"]):
        missing = ["reward_model.ground_truth"]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} missing (needed: data_source, prompt as a list of role and content, reward_model.ground_truth)")
    check_messages(row["prompt"], f"{where}: prompt")
    truth, source = row["reward_model"]["ground_truth"], row["data_source"]
    if not isinstance(source, str) or source not in MATH_SOURCES | CODE_SOURCES:
        raise UserError(f"{where}: data_source={shown(source)}, allowed are {known_sources()} (docs/training.md, «Data of your own», says how each is scored)")
    if source in CODE_SOURCES:
        try:
            code_tests(truth)
        except UserError as error:
            raise UserError(f"{where}: reward_model.ground_truth: {error}") from None
    elif not _is_answer(truth):
        raise UserError(f"{where}: reward_model.ground_truth={shown(truth)}: must be the answer, text that is not empty or a number")


def check_messages(turns: Any, where: str) -> None:
    """Raises UserError for anything but a list of messages with role and content; `where` names row and field."""
    if not isinstance(turns, list) or not turns:
        raise UserError(f"{where}={shown(turns)}: must be a list of messages with role and content, at least one")
    for number, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise UserError(f"{where}[{number}]={shown(turn)}: must be a message with role and content")
        for name in ("role", "content"):
            if not isinstance(turn.get(name), str):
                raise UserError(f"{where}[{number}].{name}={shown(turn.get(name))}: must be text")


def _is_answer(truth: Any) -> bool:
    if isinstance(truth, str):
        return bool(truth.strip())
    return isinstance(truth, (int, float)) and not isinstance(truth, bool) and math.isfinite(truth)


def shown(value: Any) -> str:
    """A value in an error, not more than what fits on a line."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:99]}…"


def code_tests(truth: Any) -> tuple[list[dict[str, Any]], int]:
    """(tests, how many of them are run at most, 0: all) of a code row: a list of `CodeTest`s, or the released `inputs` and `outputs`.

    Raises:
        UserError: another form, such as `functional` or `pytest` programs, or a test that the sandbox does not take.
    """
    try:
        value = json.loads(truth)
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"{shown(truth)} is not JSON") from None
    tests, most = _listed(value), value.get("max_test_cases") if isinstance(value, dict) else None
    for number, test in enumerate(tests):
        if others := sorted(set(test) - set(TEST_FIELDS)):
            raise UserError(f"test {number + 1} has {', '.join(others)[:80]}, allowed are {', '.join(TEST_FIELDS)}")
        try:
            Test(**test)
        except ValueError as error:
            raise UserError(f"test {number + 1}, {shown(test)}: {error}") from None
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise UserError(f"max_test_cases={shown(most)}: must be a whole number from 1 on")
    return tests, most or 0


def _listed(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(test, dict) for test in value):
        return value
    if isinstance(value, dict) and isinstance(value.get("inputs"), list) and isinstance(value.get("outputs"), list):
        inputs, outputs = value["inputs"], value["outputs"]
        if not inputs or len(inputs) != len(outputs):
            raise UserError(f"{len(inputs)} inputs and {len(outputs)} outputs, must be as many and at least one")
        return [{"input": given, "expected": wanted} for given, wanted in zip(inputs, outputs, strict=True)]
    found = ", ".join(value) if isinstance(value, dict) else type(value).__name__
    raise UserError(f"tests must have inputs and outputs; {found[:80]} is not supported")
