r"""Statement, answers and ids of one row, under the names that public copies give them.

Names are compared without case, spaces and underscores.  They are looked for in the row and in what it holds under
`meta`, `extra_info`, `reward_model` and the like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.answer_text import find_boxes
from benchmarks.records import BrokenRow

STATEMENT_FIELDS = (
    "problem", "question", "statement", "problemtext", "problemstatement", "questiontext", "questioncontent", "rawproblem", "rawquestion",
    "originalproblem", "originalquestion", "prompt", "input", "query", "instruction", "text", "content",
)  # fmt: skip
ANSWER_FIELDS = (
    "answer", "expectedanswer", "groundtruth", "finalanswer", "trueanswer", "correctanswer", "goldanswer", "referenceanswer", "gold",
    "gt", "target", "label", "extractedanswer", "groundtruthanswer",
)  # fmt: skip
SOLUTION_FIELDS = ("solution", "referencesolution", "gtcot", "cot", "rationale", "output", "completion")
ID_FIELDS = ("uniqueid", "id", "problemid", "questionid", "taskid", "sampleid", "name", "url", "link", "source", "problemurl", "sourceurl")
HOLDERS = ("meta", "metadata", "extrainfo", "rewardmodel", "doc", "info")
LONGEST_ANSWER = 200
"""Characters; a longer `solution` is a worked solution, not an answer."""
_DEEPEST = 3


def statements(row: Mapping[str, Any], place: str) -> list[str]:
    """The texts of a row that may be its problem, the likeliest first.

    Raises:
        BrokenRow: there is none.
    """
    found: list[str] = []
    for holder in _holders(row):
        found += _asked(holder.get("messages"))
    for name in STATEMENT_FIELDS:
        for holder in _holders(row):
            value = holder.get(name)
            if isinstance(value, str) and value.strip():
                found.append(value)
            else:
                found += _asked(value)
    if not found:
        raise BrokenRow(f"{place}: no problem statement (looked for a user message, {', '.join(STATEMENT_FIELDS[:3])}, prompt …)")
    return list(dict.fromkeys(found))


def answers(row: Mapping[str, Any]) -> list[str]:
    """Every answer that a row gives, as text without an outer box; that of a worked solution if there is no other."""
    given: list[str] = []
    worked: list[str] = []
    for holder in _holders(row):
        for name in (*ANSWER_FIELDS, *SOLUTION_FIELDS):
            for value in _texts(holder.get(name)):
                short = _short(value, name)
                if short is not None:
                    given.append(short)
                elif (last := _end_of_solution(value)) is not None:
                    worked.append(last)
    return list(dict.fromkeys(given)) or worked[:1]


def ids(row: Mapping[str, Any]) -> list[object]:
    """What may name the problem: ids and addresses, and paper and number where fields of their own give them."""
    found: list[object] = []
    for holder in _holders(row):
        found += [holder[name] for name in ID_FIELDS if isinstance(holder.get(name), str | int) and holder[name] != ""]
        year = next((holder[name] for name in ("year", "contestyear") if holder.get(name)), None)
        paper = _paper(next((holder[name] for name in ("part", "paper", "exam", "set", "aimenumber") if holder.get(name)), None))
        number = next((holder[name] for name in ("problemnumber", "problemno", "number") if holder.get(name)), None)
        if year and paper and re.fullmatch(r"\d{1,2}", str(number)):
            found.append(f"{year}-{paper}-{int(str(number))}")
    return found


def _paper(value: object) -> str | None:
    text = str(value).strip().upper().removeprefix("AIME").strip(" -_")
    return {"I": "I", "II": "II"}.get(text) or ({1: "I", 2: "II"}.get(value) if isinstance(value, int) else None)


def _holders(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The row and what it holds that says more of the problem, with plain names.

    An output row of the released inference script has the input row in `meta`: that one counts.
    """
    inner = row.get("meta")
    if isinstance(inner, Mapping) and "messages" in inner:
        row = inner
    holders: list[dict[str, Any]] = []
    todo: list[tuple[Mapping[str, Any], int]] = [(row, 0)]
    while todo:
        one, depth = todo.pop(0)
        plain = {re.sub(r"[\s_-]", "", str(name)).lower(): value for name, value in one.items()}
        holders.append(plain)
        if depth < _DEEPEST:
            todo += [(plain[name], depth + 1) for name in HOLDERS if isinstance(plain.get(name), Mapping)]
    return holders


def _asked(messages: object) -> list[str]:
    """What the user says in a list of messages, the last of it first."""
    if not isinstance(messages, list):
        return []
    said = [one.get("content") for one in messages if isinstance(one, Mapping) and one.get("role", one.get("from")) in ("user", "human")]
    parts = [_text_of(content) for content in said]
    return [text for text in reversed(parts) if text.strip()]


def _text_of(content: object) -> str:
    if isinstance(content, list):  # [{"type": "text", "text": …}]
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def _texts(value: object) -> Iterator[str]:
    """An answer as text; of a list with one answer that one, also where the list is written as text."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield str(int(value)) if value == value and abs(value) < 1e15 and value == int(value) else str(value)
    elif isinstance(value, list) and len(value) == 1:
        yield from _texts(value[0])
    elif isinstance(value, str) and value.strip():
        text = value.strip()
        if text.startswith('["') and text.endswith('"]'):
            try:
                inner = json.loads(text)
            except (json.JSONDecodeError, RecursionError):
                inner = None
            if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], str):
                text = inner[0].strip()
        yield text


def _short(value: str, name: str) -> str | None:
    """The answer if the text is one, without a box; None for a worked solution."""
    if len(value) > LONGEST_ANSWER or "\n" in value or "####" in value:
        return None
    boxed = re.fullmatch(r"\$*\s*\\boxed\s*\{(.*)\}\s*\$*\.?", value)
    if boxed and _is_balanced(boxed.group(1)):
        return boxed.group(1).strip()
    if "\\boxed" in value or (name in SOLUTION_FIELDS and " " in value):
        return None
    return value


def _is_balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def _end_of_solution(text: str) -> str | None:
    """What a worked solution ends in: the text after GSM8K's ####, else its last box."""
    if "####" in text:
        last = text.rpartition("####")[2].strip().replace(",", "")
        return last if 0 < len(last) <= LONGEST_ANSWER else None
    boxes, _ = find_boxes(text[-100_000:])
    return boxes[-1].content.strip() if boxes else None
