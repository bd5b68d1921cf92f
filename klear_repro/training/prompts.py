"""Training prompts of RL: token ids, and what a verifier needs, from rows in the format of the released data.

Format: `{"data_source": …, "prompt": messages, "ability": "math" | "code", "reward_model": {"ground_truth": …}}`
(Suu/KlearReasoner-MathSub-30K, -CodeSub-15K).  Not supported: tests of the forms `functional` and `pytest`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from klear_repro.engines.base import chat_ids
from klear_repro.errors import UserError
from klear_repro.rewards import CODE_SOURCES, MATH_SOURCES


@dataclass(frozen=True)
class Prompt:
    """A training prompt: token ids, and what its verifier needs."""

    ids: tuple[int, ...]
    data_source: str
    ground_truth: Any


def make_prompts(tokenizer: Any, rows: Sequence[dict[str, Any]], longest: int = 0) -> list[Prompt]:
    """Training prompts from rows that `check_row` took; those of more than `longest` tokens are cut on the left, as the release does."""
    prompts = []
    for row in rows:
        truth, source = row["reward_model"]["ground_truth"], row["data_source"]
        ids = chat_ids(tokenizer, row["prompt"])
        prompts.append(Prompt(ids[-longest:] if longest else ids, source, code_tests(truth) if source in CODE_SOURCES else str(truth)))
    return prompts


def check_row(row: dict[str, Any], where: str) -> None:
    """Raises UserError for a row that is not in the format of the released data; `where` names it."""
    try:
        truth, source, prompt = row["reward_model"]["ground_truth"], row["data_source"], row["prompt"]
        turns = [(turn["role"], turn["content"]) for turn in prompt]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where}: {error} (needed: data_source, prompt as a list of role and content, reward_model.ground_truth)") from None
    if not turns or not all(isinstance(part, str) for turn in turns for part in turn):
        raise UserError(f"{where}: prompt must be a list of messages with role and content")
    if source not in MATH_SOURCES | CODE_SOURCES:
        raise UserError(f"{where}: data_source={source!r}, allowed are {', '.join(sorted(MATH_SOURCES | CODE_SOURCES))}")
    if source in CODE_SOURCES:
        try:
            code_tests(truth)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None


def code_tests(truth: Any) -> list[dict[str, Any]]:
    """Tests of a code row: a list of `CodeTest`s, or the released `inputs` and `outputs`.

    Raises:
        UserError: another form, such as `functional` or `pytest` programs.
    """
    try:
        value = json.loads(truth)
    except (ValueError, TypeError, RecursionError):
        raise UserError("reward_model.ground_truth is not JSON") from None
    if isinstance(value, list) and value and all(isinstance(test, dict) for test in value):
        return value
    if isinstance(value, dict) and isinstance(value.get("inputs"), list) and isinstance(value.get("outputs"), list):
        inputs, outputs = value["inputs"], value["outputs"]
        if not inputs or len(inputs) != len(outputs):
            raise UserError(f"{len(inputs)} inputs and {len(outputs)} outputs, must be as many and at least one")
        return [{"input": given, "expected": wanted} for given, wanted in zip(inputs, outputs, strict=True)]
    found = ", ".join(value) if isinstance(value, dict) else type(value).__name__
    raise UserError(f"tests must have inputs and outputs; {found[:80]} is not supported")
