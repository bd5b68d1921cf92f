"""What readers of all formats share: a row of outputs as a typed value, and fields as texts, verdicts and numbers.

A field that is not what it should be is taken for absent; what makes a row useless raises `BrokenRow`, and the row is skipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.answer_text import find_boxes
from benchmarks.records import BrokenRow, FinishReason

STATEMENTS = ("problem", "question", "Problem", "Question", "prompt", "query", "original_query", "input", "instruction", "origin_prompt")
"""Fields that may hold a problem's statement, in a prompt or not."""
GOLDS = (
    "gold", "gold_answer", "expected_answer", "ground_truth", "gt", "target", "reference_answer", "correct_answer", "gts", "answer",
    "Answer", "label", "reference", "ref_ans", "solution", "Solution",
)  # fmt: skip
"""Fields that may hold the right answer; the first one that does counts."""
IDS = ("id", "problem_id", "question_id", "unique_id", "uid", "url")
OWN_ANSWERS = ("answer", "Answer", "label", "solution", "Solution")
"""Those of them that other programs use for the model's own answer."""
MODELS = ("model", "model_name", "model_id", "model_name_or_path", "model_path")
LONGEST_GOLD = 400
"""Characters; a longer text without a box is a solution, not an answer."""
LONGEST_ID = 200
NO_RESPONSE = "no response in the file"
"""What is stored as the error of a response that is null."""
_STOPS = {"stop", "eos", "end_turn", "stop_sequence", "eos_token", "end_of_text", "complete", "completed", "finished"}
_LENGTHS = {"length", "max_tokens", "max_length", "model_length", "max_new_tokens", "max_output_tokens", "token_limit", "truncated"}
_RIGHT = {"true", "yes", "correct", "right", "c", "1", "1.0"}
_WRONG = {"false", "no", "incorrect", "wrong", "i", "0", "0.0"}


@dataclass(frozen=True)
class Response:
    """One response of a row, and what the file says of it."""

    text: str
    error: str | None = None
    """Why there is none."""
    recorded: bool | None = None
    """The file's own verdict."""
    code: str | None = None
    """The program that the file says was extracted."""
    finish_reason: FinishReason | None = None
    tokens: int = 0
    """0 where the file does not say."""
    sample: int | None = None
    """The sample's number for its problem, where the file has one."""
    tool: bool = False
    """Whether a tool seems to have worked on it (`benchmarks.traces.tools`)."""


@dataclass(frozen=True)
class CodeProblem:
    """A programming problem, as LiveCodeBench's outputs describe it."""

    id: str
    statement: str
    starter_code: str
    info: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """One row of a file: where its problem's statement may be found, the right answer if it has one, and the responses."""

    place: str
    statements: tuple[str, ...]
    responses: tuple[Response, ...]
    gold: str | None = None
    ids: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """Why responses of this row are left out."""
    code: CodeProblem | None = None
    gold_field: str = ""
    """The field that `gold` is from, if it may as well be the model's own answer."""
    model: str = ""
    """The model that the row names."""


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts output-rs2 before output-rs10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,18})", text)]


def encodable(text: str) -> str:
    """The text with a question mark for every half of a surrogate pair that stands alone, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def texts(holder: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """The texts among these fields; of a list of messages, the user's."""
    found: list[str] = []
    for name in names:
        value = holder.get(name)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            found += user_texts(value)
    return tuple(encodable(text) for text in found if text.strip())


def user_texts(messages: Sequence[Any]) -> list[str]:
    """What the user says in a list of messages, the last message first; OpenCompass writes HUMAN and `prompt`."""
    found = []
    for one in messages:
        if isinstance(one, Mapping) and str(one.get("role", "")).lower() in ("user", "human"):
            text = chat_text(one.get("content", one.get("prompt")))
            found += [text] if text else []
    return found[::-1]


def chat_text(content: object) -> str | None:
    """Text of a message's content: a text, or a list of parts; reasoning stands in think tags before the answer."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        return None
    said: list[str] = []
    for part in content:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, Mapping):
            if isinstance(part.get("text"), str):
                said.append(part["text"])
            elif isinstance(part.get("reasoning"), str):
                said.append(f"<think>\n{part['reasoning']}\n</think>\n")
    return "\n".join(said) if said else None


def message_text(message: Mapping[str, Any]) -> str | None:
    """Text of an assistant's message, with the reasoning that servers put into a field of its own."""
    text = chat_text(message.get("content"))
    reasoning = message.get("reasoning_content") or message.get("reasoning") or message.get("thinking")
    if text is not None and isinstance(reasoning, str) and "</think>" not in text:
        return f"<think>\n{reasoning}\n</think>\n\n{text}"
    return text


def last_reply(messages: Sequence[Any]) -> str | None:
    """The last message of a conversation, if it is the assistant's."""
    last = messages[-1] if messages else None
    if isinstance(last, Mapping) and str(last.get("role", "")).lower() in ("assistant", "bot", "model"):
        return message_text(last)
    return None


def gold_text(value: object, longest: int = LONGEST_GOLD) -> str | None:
    """A right answer as text: a number, a short text, what is in the last box of a solution, what stands behind ####."""
    if isinstance(value, Mapping):
        return find_gold([value], ("ground_truth", "answer", "gold"))
    if isinstance(value, list):
        return gold_text(value[0]) if len(value) == 1 else None
    if isinstance(value, float):
        return None if not math.isfinite(value) else str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**300 else None
    if not isinstance(value, str):
        return None
    text = encodable(value).strip()
    if "####" in text:
        text = text.rsplit("####", 1)[1].strip().replace(",", "")
    if "\\boxed" in text:
        boxes, _ = find_boxes(text)
        text = boxes[-1].content.strip() if boxes else ""
    return text if 0 < len(text) <= longest else None


def find_gold(holders: Iterable[object], names: Sequence[str] = GOLDS) -> str | None:
    """The first field of these that holds an answer."""
    return gold_and_field(holders, names)[0]


def gold_and_field(holders: Iterable[object], names: Sequence[str] = GOLDS) -> tuple[str | None, str]:
    """The first field of these that holds an answer, with its name."""
    for holder in holders:
        for name in names if isinstance(holder, Mapping) else ():
            assert isinstance(holder, Mapping)
            if (found := gold_text(holder.get(name))) is not None:
                return found, name
    return None, ""


def find_model(row: Mapping[str, Any]) -> str:
    """The model that a row names; inspect_ai's samples count the tokens of each that they asked."""
    usage = row.get("model_usage")
    named = [row.get(name) for name in MODELS] + (list(usage) if isinstance(usage, Mapping) and len(usage) == 1 else [])
    return next((encodable(one.strip()) for one in named if isinstance(one, str) and 0 < len(one.strip()) <= LONGEST_ID), "")


def find_ids(row: Mapping[str, Any], names: Sequence[str] = IDS) -> tuple[str, ...]:
    """The row's ids as texts."""
    values = (row.get(name) for name in names)
    kept = [value for value in values if isinstance(value, (str, int)) and not isinstance(value, bool)]
    return tuple(encodable(text) for value in kept if 0 < len(text := str(value).strip() if abs_ok(value) else "") <= LONGEST_ID)


def abs_ok(value: str | int) -> bool:
    """Whether a number is short enough to be written out."""
    return isinstance(value, str) or abs(value) < 10**18


def verdict(value: object) -> bool | None:
    """A verdict as files have it: true, 1, "correct", or a mapping whose values agree; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return bool(value) if value in (0, 1) else None
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in _RIGHT else False if word in _WRONG else None
    if isinstance(value, Mapping) and value:
        found = {verdict(one) for one in value.values() if not isinstance(one, Mapping)}
        return found.pop() if len(found) == 1 else None
    return None


def finish_reason(value: object) -> FinishReason | None:
    """Why a response ended, in the project's words; None where that is not known."""
    word = value.strip().lower() if isinstance(value, str) else ""
    return "stop" if word in _STOPS else "length" if word in _LENGTHS else None


def count(value: object) -> int:
    """A number of tokens, as a number or as text, or a list of tokens; 0 for anything else."""
    if isinstance(value, list):
        return len(value)
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdecimal() and len(value) < 12 else 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**31:
        return 0
    return int(value)


def whole(value: object) -> int | None:
    """A sample's number: a whole one from 0, as a number or as text."""
    if value is None or isinstance(value, (bool, list)):
        return None
    number = count(value)
    return number if number or value in (0, "0") else None


def at(value: object, place: int, of: int) -> Any:
    """What a field says of one of several responses: its place in a list, or the field itself where there is one response."""
    if isinstance(value, list):
        return value[place] if place < len(value) else None
    return value if of == 1 else None


def first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of these fields that is there and not null."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def flattened(value: object) -> Iterator[object]:
    """The members of nested lists."""
    if isinstance(value, list):
        for one in value:
            yield from flattened(one)
    else:
        yield value


_JUDGEMENT = re.compile(r"judge?ment\W{0,8}(yes|no)\b", re.IGNORECASE)


def judgement(value: object) -> bool | None:
    """The verdict of a judging model: what its last "Judgement: Yes" or "No" says."""
    found = _JUDGEMENT.findall(value[-2000:]) if isinstance(value, str) else []
    return found[-1].lower() == "yes" if found else None


def some(row: Row) -> Row:
    """The row, once it is clear that it has a response.

    Raises:
        BrokenRow: it has none.
    """
    if not row.responses:
        raise BrokenRow(row.skipped[0] if row.skipped else "no response")
    return row
