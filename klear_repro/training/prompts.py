"""Training prompts of RL: token ids, and what a verifier needs, from rows in the format of the released data.

Format: `{"data_source": …, "prompt": messages, "ability": "math" | "code", "reward_model": {"ground_truth": …}}`
(Suu/KlearReasoner-MathSub-30K, -CodeSub-15K; verl/utils/reward_score/code_r1_compute.py of the released code).  The
`ground_truth` of code is JSON or an object with `inputs` and `outputs`, with `functional` (one program of asserts or a list of
them) or with `pytest`, and may say `timeout` and `max_test_cases`.  Deviations from the release:
 - a row's `timeout` bounds `pytest` too, and is never more than the stage's limits;
 - a prompt that is too long is left out, where the release cuts it on the left, role and question first;
 - a row whose tests cannot be run is skipped, where the release scores every answer to it −1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from klear_repro.asserts.reading import AssertTest, UnusableTests, read_asserts
from klear_repro.engines.chat_format import ChatFormat
from klear_repro.errors import UserError
from klear_repro.rewards import known_sources, source_kind
from klear_repro.training.targets import Refused, question
from sandbox import Test

TEST_FIELDS = ("input", "expected", "function", "args", "weight")
"""Of a test in a row; `checker` and `interactor` name functions to run, which data may not."""
SHORTEST_S = 0.01
"""The shortest `timeout` of a row."""


@dataclass(frozen=True)
class Prompt:
    """A training prompt: token ids, and what its verifier needs."""

    ids: tuple[int, ...]
    data_source: str
    ground_truth: Any
    max_tests: int = 0
    """Tests of a program that are run, at most, as its row says; 0: it says nothing."""
    timeout_s: float = 0.0
    """Seconds that a test may take, as its row says; 0: it says nothing."""
    thinking: str = ""
    """Thinking tags at the end of the prompt, which count as the response's."""


class CodeTests(NamedTuple):
    """What a code row says of its tests; 0 where it says nothing."""

    tests: list[dict[str, Any] | AssertTest]
    """Arguments of `sandbox.Test`, or programs of asserts."""
    max_tests: int = 0
    timeout_s: float = 0.0

    @property
    def cheatable(self) -> bool:
        """Whether a program can pass one of them without being right."""
        return any(isinstance(test, AssertTest) and test.cheatable for test in self.tests)


def make_prompts(tokenizer: Any, rows: Sequence[dict[str, Any]]) -> list[Prompt]:
    """Training prompts from rows that `check_row` took. Rows that the chat template cannot write are left out, and it is said how many.

    Raises:
        UserError: none is left.
    """
    chat, refused, prompts = ChatFormat(tokenizer), Refused("rl", "prompts"), []
    for number, row in enumerate(rows):
        truth, source = row["reward_model"]["ground_truth"], row["data_source"]
        known: tuple[Any, int, float] = code_tests(truth) if source_kind(source) == "code" else (str(truth), 0, 0.0)
        with refused.row(number):
            ids = question(chat, row["prompt"])
            prompts.append(Prompt(ids, source, *known, chat.thinking_before(ids)))
    refused.report(len(rows))
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
    kind = source_kind(source)
    if kind is None:
        raise UserError(f"{where}: data_source={shown(source)}, allowed are {known_sources()} and names that begin so (docs/training.md, «Data of your own», says how each is scored)")
    if kind == "code":
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


def code_tests(truth: Any) -> CodeTests:
    """The tests of a code row: a list of `CodeTest`s, or one of the released forms; JSON, or what JSON stands for.

    Raises:
        UserError: another form, or a test that cannot be run.
    """
    value = _plain(truth)
    tests = _listed(value)
    for number, test in enumerate(tests):
        if isinstance(test, AssertTest):
            continue
        if others := sorted(set(test) - set(TEST_FIELDS)):
            raise UserError(f"test {number + 1} has {', '.join(others)[:80]}, allowed are {', '.join(TEST_FIELDS)}")
        try:
            Test(**test)
        except ValueError as error:
            raise UserError(f"test {number + 1}, {shown(test)}: {error}") from None
    said = value if isinstance(value, dict) else {}
    most, seconds = said.get("max_test_cases"), said.get("timeout")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise UserError(f"max_test_cases={shown(most)}: must be a whole number from 1 on")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not SHORTEST_S <= seconds < math.inf):
        raise UserError(f"timeout={shown(seconds)}: must be a number of seconds from {SHORTEST_S} on")
    return CodeTests(tests, most or 0, seconds or 0.0)


def _plain(truth: Any) -> Any:
    """A row's `ground_truth` without the fields that are empty: a table gives every row the fields of all rows."""
    if not isinstance(truth, (dict, list)):
        try:
            truth = json.loads(truth)
        except (ValueError, TypeError, RecursionError):
            raise UserError(f"{shown(truth)} is not JSON") from None
    if isinstance(truth, dict):
        whole = {name: value for name, value in truth.items() if value is not None}
        empty = {name for name in ("functional", "pytest") if name in whole and not whole[name]}
        return {name: value for name, value in whole.items() if name not in empty} if empty and len(whole) > len(empty) else whole
    return [_without_empty(test) for test in truth] if isinstance(truth, list) else truth


def _without_empty(test: Any) -> Any:
    if not isinstance(test, dict):
        return test
    return {name: value for name, value in test.items() if value is not None or (name == "expected" and test.get("function"))}


def _listed(value: Any) -> list[dict[str, Any] | AssertTest]:
    if isinstance(value, list) and value and all(isinstance(test, dict) for test in value):
        return list(value)
    if isinstance(value, dict) and "functional" in value:
        return _functional(value["functional"])
    if isinstance(value, dict) and "pytest" in value:
        try:
            return [read_asserts(value["pytest"], "pytest")]
        except UnusableTests as error:
            raise UserError(f"pytest: {error}") from None
    if isinstance(value, dict) and isinstance(value.get("inputs"), list) and isinstance(value.get("outputs"), list):
        inputs, outputs = value["inputs"], value["outputs"]
        if not inputs or len(inputs) != len(outputs):
            raise UserError(f"{len(inputs)} inputs and {len(outputs)} outputs, must be as many and at least one")
        return [{"input": _text(given), "expected": _text(wanted)} for given, wanted in zip(inputs, outputs, strict=True)]
    found = (", ".join(map(str, value)) or "an empty object") if isinstance(value, dict) else type(value).__name__
    raise UserError(f"tests must have inputs and outputs, functional or pytest; {found[:80]} is not supported")


def _functional(programs: Any) -> list[dict[str, Any] | AssertTest]:
    """Each program of asserts is one test."""
    if isinstance(programs, list) and not programs:
        raise UserError("functional=[]: must be a program of asserts or a list of them, at least one")
    tests: list[dict[str, Any] | AssertTest] = []
    for number, program in enumerate(programs if isinstance(programs, list) else [programs]):
        try:
            tests.append(read_asserts(program, "functional"))
        except UnusableTests as error:
            raise UserError(f"functional{f'[{number}]' if isinstance(programs, list) else ''}: {error}") from None
    return tests


def _text(value: Any) -> Any:
    """Input or output of a test; the release joins those of a list."""
    return ", ".join(map(str, value)) if isinstance(value, list) else value
