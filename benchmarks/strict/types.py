"""The types of an answer.  docs/judges.md says what counts as the same for each."""

from __future__ import annotations

from typing import Literal, get_args

AnswerType = Literal[
    "integer", "rational", "decimal", "percent", "money", "mixed number", "base-n number", "expression", "tuple", "list", "interval",
    "equation", "matrix", "choice", "text",
]  # fmt: skip
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)
