r"""The part of a response after its thinking, and the boxes in a text.  Everything here is linear in the length of the text."""

from __future__ import annotations

import re
from typing import NamedTuple

from benchmarks.records import FinishReason, Thinking

BOX_WINDOW = 100_000
"""Characters at the end of the final text in which boxes are looked for."""
PROSE_WINDOW = 10_000
"""Characters at the end of the final text that are read when there is no box."""
LONGEST_ANSWER = 2_000
"""A longer box is no answer that could be right; it is not parsed."""


def final_text(
    response: str, thinking: Thinking = "auto", finish_reason: FinishReason | None = None
) -> str | None:
    """The text after the last `</think>`; None when the response was cut off before its answer.

    `auto`: an opened and unclosed `<think>` is cut off, and without tags the whole text is the answer.
    `required`: no `</think>` is cut off.  A finish reason `length` always is.
    """
    if finish_reason == "length":
        return None
    closed = response.rfind("</think>")
    opened_again = response.find("<think>", max(closed, 0)) >= 0
    if opened_again or (closed < 0 and thinking == "required"):
        return None
    return response if closed < 0 else response[closed + len("</think>") :]


class Box(NamedTuple):
    """Content of one box and where its command starts and ends in the text."""

    content: str
    start: int
    end: int


def find_boxes(text: str) -> tuple[list[Box], int | None]:
    r"""Outermost closed `\boxed{…}` and `\fbox{…}`, and the start of a later box that is never closed."""
    open_braces: list[tuple[int, int] | None] = []
    boxes: list[Box] = []
    for token in re.finditer(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", text, re.DOTALL):
        if token.group() == "{":
            open_braces.append(None)
        elif token.group() == "}":
            box = open_braces.pop() if open_braces else None
            if box is not None:
                while boxes and boxes[-1].start > box[0]:
                    boxes.pop()
                boxes.append(Box(text[box[1] : token.start()], box[0], token.end()))
        elif token.group().endswith("{") and len(token.group()) > 2:
            open_braces.append((token.start(), token.end()))
    last_end = boxes[-1].end if boxes else 0
    unclosed = [box[0] for box in open_braces if box is not None and box[0] >= last_end]
    return boxes, unclosed[-1] if unclosed else None
