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


@dataclass(frozen=True)
class Prompt:
    """A training prompt: token ids, and what its verifier needs."""

    ids: tuple[int, ...]
    data_source: str
    ground_truth: Any


def make_prompts(tokenizer: Any, rows: Sequence[dict[str, Any]], longest: int = 0) -> list[Prompt]:
    """Training prompts from rows in the released format; those of more than `longest` tokens are cut on the left, as the release does.

    Raises:
        UserError: a row that is not in that format.
    """
    prompts = []
    for number, row in enumerate(rows):
        try:
            truth, source = row["reward_model"]["ground_truth"], row["data_source"]
            ids = chat_ids(tokenizer, row["prompt"])
        except (KeyError, TypeError) as error:
            raise UserError(f"prompts, row {number + 1}: no {error} (needed: data_source, prompt, ability, reward_model.ground_truth)") from None
        prompts.append(Prompt(ids[-longest:] if longest else ids, source, code_tests(truth, number) if row.get("ability") == "code" else str(truth)))
    return prompts


def code_tests(truth: str, number: int) -> list[dict[str, Any]]:
    """Tests of a code row: a list of `CodeTest`s, or the released `inputs` and `outputs`.

    Raises:
        UserError: another form, such as `functional` or `pytest` programs.
    """
    try:
        value = json.loads(truth)
    except ValueError:
        raise UserError(f"prompts, row {number + 1}: reward_model.ground_truth is not JSON") from None
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and "inputs" in value and "outputs" in value:
        return [{"input": given, "expected": wanted} for given, wanted in zip(value["inputs"], value["outputs"], strict=True)]
    raise UserError(f"prompts, row {number + 1}: tests must have inputs and outputs; {', '.join(value) if isinstance(value, dict) else type(value).__name__} is not supported yet")
