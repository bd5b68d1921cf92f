"""The `strict` judge: what stands after the thinking, compared with the gold as its type demands.

`statement` finds what a response offers as its answer, `gold` says what kind of answer the gold is, `compare` decides.
An integral or another formula that the reader of expressions does not know is left to math-verify, which gets the whole untouched
text of both sides (`library`).
"""

from __future__ import annotations

import re

from benchmarks.answer_text import LONGEST_ANSWER
from benchmarks.judges import SHOWN, Judgement
from benchmarks.records import Reason
from benchmarks.strict.compare import SEVERAL, is_several, same_answer, same_parts
from benchmarks.strict.gold import read_gold
from benchmarks.strict.library import same_by_library
from benchmarks.strict.prose import Wanted
from benchmarks.strict.statement import Missing, find_statement
from benchmarks.strict.tokens import Unreadable
from benchmarks.strict.types import AnswerType

_ADJECTIVE = re.compile(
    r"^(?:an?\s+)([a-z]+)\s+(?:function|number|integer|curve|sequence|series|matrix|triangle|quadrilateral|relation|polynomial)$"
)
"""What is said of a thing by its kind: «an even function» is «even»."""


def judge_strict(text: str, gold: str, answer_type: AnswerType | None = None) -> Judgement:
    """Verdict on the final text of a response (`answer_text.final_text` has cut the thinking off)."""
    kind = _type(gold, answer_type)
    found = find_statement(text, _wanted(kind))
    if isinstance(found, Missing):
        return Judgement(found.reason)
    shown = ", ".join(part.strip() for part in found.parts)[:SHOWN]
    if found.retracted:
        return Judgement("hedged", shown)
    if max(map(len, found.parts)) > LONGEST_ANSWER:
        return Judgement("wrong", shown)
    if len(found.parts) > 1:
        return Judgement(_several(list(found.parts), gold, kind, answer_type), shown)
    if kind == "list" and found.sentences and _same_one_by_one(found.sentences, gold, answer_type):
        return Judgement("correct", ", ".join(found.sentences)[:SHOWN])
    if found.coefficient is not None and kind in _NUMBERS and _same(found.coefficient, gold, answer_type):
        return Judgement("correct", found.coefficient[:SHOWN])
    answer = _ADJECTIVE.sub(r"\1", found.parts[0]) if kind == "text" and found.kind == "prose" else found.parts[0]
    if _same(answer, gold, answer_type):
        said = (answer, f"{answer}\\text{{ {found.unit}}}" if found.unit else answer)
        agree = kind in SEVERAL or all(
            _same(other, gold, answer_type) or any(_same(other, one, None) for one in said) for other in found.beside
        )
        return Judgement("correct" if agree else "hedged", shown)
    hedged = kind not in SEVERAL and (bool(found.beside) or is_several(answer))
    return Judgement("hedged" if hedged else "wrong", shown)


def _type(gold: str, answer_type: AnswerType | None) -> AnswerType:
    try:
        return read_gold(gold, answer_type).type
    except Unreadable:
        return answer_type or "expression"


def _wanted(kind: AnswerType) -> Wanted:
    return "choice" if kind == "choice" else "words" if kind == "text" else "value"


def _same(answer: str, gold: str, answer_type: AnswerType | None) -> bool:
    return len(answer) <= LONGEST_ANSWER and (same_answer(answer, gold, answer_type) or same_by_library(answer, gold))


_NUMBERS: tuple[AnswerType, ...] = ("integer", "rational", "decimal", "percent", "money", "mixed number")


def _same_one_by_one(boxes: tuple[str, ...], gold: str, answer_type: AnswerType | None) -> bool:
    """Are the boxes of a text, wherever they stand, the members of the gold, each once?"""
    short = all(len(box) <= LONGEST_ANSWER for box in boxes) and not any(is_several(box) for box in boxes)
    return short and len(set(boxes)) == len(boxes) and same_parts(boxes, gold, answer_type)


def _several(parts: list[str], gold: str, kind: AnswerType, answer_type: AnswerType | None) -> Reason:
    """Several boxes: the members of a list, or alternatives that must all be the gold."""
    if kind in SEVERAL:
        return "correct" if _same(parts[-1], gold, answer_type) or same_parts(parts, gold, answer_type) else "wrong"
    if all(_same(part, gold, answer_type) for part in parts):
        return "correct"
    return "wrong" if len({"".join(part.split()) for part in parts}) == 1 else "hedged"
