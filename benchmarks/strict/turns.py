"""The turn of a response that speaks to the reader: without blocks of thought in other tags than `<think>`, without later turns.

`answer_text.final_text` has cut off what stands before `</think>`.
"""

from __future__ import annotations

import re
from collections import Counter

_NAME = r"(?:think(?:ing)?|thoughts?|thought_process|reason(?:ing)?|analysis|reflect(?:ion)?|scratch_?pad|inner_monologue|seed:think|cot)"
_BLOCK = re.compile(
    rf"<(?P<shut>/?)(?P<tag>{_NAME})\s*>|\[(?P<shut2>/?)(?P<tag2>THINK(?:ING)?|REASONING|THOUGHT)\]|◁(?P<shut3>/?)(?P<tag3>think)▷"
    rf"|<\|(?P<shut4>/|end_of_|end_|END_|(?:begin_of_|begin_|start_|START_)?)(?P<tag4>{_NAME})\|>",
    re.IGNORECASE,
)
_ANALYSIS = re.compile(r"\s*analysis")
_LEAD = re.compile(r"(?:\s|<[^<>]{0,60}>)*")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<\n]{0,60}(?:<\|message\|>)?")
_NEXT_TURN = re.compile(
    r"<\|im_start\|>\s*(?:user|system|human)\b|<\|start_header_id\|>\s*(?:user|system)\b|<start_of_turn>\s*user\b|<\|start\|>\s*user\b"
    r"|<\|(?:user|endoftext|end_of_text)\|>|<[|｜]User[|｜]>|<[|｜]end▁of▁sentence[|｜]>|</s>|\[INST\]|\n(?:Human|User)[ ]?:"
)


def spoken(text: str) -> str | None:
    """What the response says to its reader; None if the text breaks off in a block of thought."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        if channels[-1].group(1) != "final":
            return None
        text = text[channels[-1].end() :]
    elif _ANALYSIS.match(text) and (final := text.rfind("assistantfinal")) >= 0:
        text = text[final + len("assistantfinal") :]
    without = _without_thoughts(text)
    return without if without is None else _first_turn(without)


def _without_thoughts(text: str) -> str | None:
    """The text outside blocks of thought; an end tag that nothing opened makes all text before it thought.

    None if the last block is not closed.
    """
    pieces: list[str] = []
    opened: list[str] = []
    counts: Counter[str] = Counter()
    start = 0
    for token in _BLOCK.finditer(text):
        name = next(name for name in (token["tag"], token["tag2"], token["tag3"], token["tag4"]) if name).lower()
        shut = token["shut"] or token["shut2"] or token["shut3"] or (token["shut4"] or "").lower()
        if not opened:
            pieces.append(text[start : token.start()])
            start = token.end()
        if not shut.startswith(("/", "end")):
            opened.append(name)
            counts[name] += 1
        elif counts[name]:
            while (last := opened.pop()) != name:
                counts[last] -= 1
            counts[name] -= 1
            start = token.end()
        elif not opened:
            pieces.clear()
    return None if opened else " ".join([*pieces, text[start:]])


def _first_turn(text: str) -> str:
    """The text before a turn of the user or after an end of text, when something stands before it."""
    lead = _LEAD.match(text)
    turn = _NEXT_TURN.search(text, lead.end() if lead else 0)
    return text[: turn.start()] if turn else text
