r"""What surrounds a statement in prompts, and what stays of its words whatever the typesetting.

A copy of a contest may have each problem as a ready prompt: with a chat template's marks, a label, and an
instruction before or after it.  `readings` gives the text with less and less of this, so that a fingerprint
can say which of them is a statement.  `words` is what near matches are made of.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

LONGEST = 20_000
"""Characters; a longer text is taken as it is."""
MOST_PASSAGES = 24
"""Paragraphs or lines of a prompt among which a statement is looked for."""
_MOST_CUTS = 16

_MARK = re.compile(r"<[|｜][^<>\n]{1,40}[|｜]>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|</?think>")
_ROLE = re.compile(r"\s*(system|user|human|assistant|gpt|model)\s*(?:\n|:|$)", re.IGNORECASE)
_LABEL = re.compile(
    r"\s*[#*>\s]*(?:(?:math(?:ematics)?\s+)?problem|question|q|user|human)(?:\s*(?:no\.?\s*)?\d{1,2})?\s*(?:\*\*)?[:.](?:\*\*)?\s+(?=\S)",
    re.IGNORECASE,
)
_TAIL_LABEL = re.compile(r"\s+(?:[#*\s]*(?:answer|solution|assistant|a|response)\s*:[*\s]*)$", re.IGNORECASE)
_INSTRUCTION = re.compile(
    r"\\boxed|\bstep[\s-]by[\s-]step\b|\bfinal answer\b|\bthink (?:carefully|about|through)\b|\breason (?:carefully|through)\b"
    r"|\bsolve (?:the following|this|the problem|it)\b|\bcode executor\b|\bpython code\b|\byou are an? \w+|\blast line of your\b"
    r"|\bthe answer is an integer between 0 and 999\b|\banswer the following\b|\byour (?:response|solution|reasoning)\b"
    r"|\bput your answer\b|\bi hope it is correct\b|\bhelpful assistant\b"
    r"|请(?:逐步|一步)|最终答案",
    re.IGNORECASE,
)
_KNOWN_END = re.compile(
    r"\s*(?:please\s+)?(?:reason|think|let['’]?s think) step[\s-]by[\s-]step[,.]?\s(?:[^\n\\]{0,120})\$?\\+boxed\s*\{\s*\}\$?\.?$",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\$|\\\(|\b(?:find|compute|determine|evaluate|calculate|how many|prove)\b", re.IGNORECASE)
_BOX = re.compile(r"\$*(?:\\\()?\\+boxed\s*\{[^{}]{0,40}\{?[^{}]{0,40}\}*(?:\\\))?\$*")
_SENTENCE = re.compile(r"[.?!:。](?=\s|[A-Z][a-z]+ )[ \t]*|\n+")


def readings(text: str) -> Iterator[str]:
    """The text, then what a chat template's marks enclose of it, then that with fewer and fewer instructions around it.

    The last one is the barest.  Only sentences that are plainly no part of a problem («put your final answer within …»)
    are cut off, and only from the two ends.
    """
    yield text
    if len(text) <= LONGEST:
        yield from _less_and_less(_asked(text))


def bare(text: str) -> str:
    """The barest reading: no chat template, label or instruction."""
    last = text
    for reading in readings(text):
        last = reading
    return last.strip()


def passages(text: str) -> Iterator[str]:
    """What stands between paragraphs or lines of a prompt, longest first for each start."""
    if len(text) > LONGEST:
        return
    for separator in ("\n\n", "\n"):
        pieces = text.split(separator)[:MOST_PASSAGES]
        for start in range(len(pieces)):
            for end in range(len(pieces), start, -1):
                if end - start < len(pieces):
                    yield separator.join(pieces[start:end])


def _asked(text: str) -> str:
    """What the user said last, by a chat template's marks; without roles the longest part."""
    parts, role, asked = [], "", ""
    for piece in _MARK.split(text):
        if found := _ROLE.match(piece):
            role, piece = found.group(1).lower(), piece[found.end() :]
        if piece.strip():
            parts.append(piece.strip())
            asked = parts[-1] if role in ("user", "human") else asked
    return asked or max(parts, key=len, default=text.strip())


def _less_and_less(text: str) -> Iterator[str]:
    yield text
    for cut in (_without_first, _without_last):
        for _ in range(_MOST_CUTS):
            shorter = cut(text)
            if shorter is None:
                break
            text = shorter
            yield text


def _without_first(text: str) -> str | None:
    """The text without a label or an instruction at its start; None if there is none."""
    if label := _LABEL.match(text):
        return text[label.end() :]
    end = _SENTENCE.search(text)
    if end and _is_instruction(text[: end.end()]):
        return text[end.end() :].lstrip() or None
    return None


def _without_last(text: str) -> str | None:
    if label := _TAIL_LABEL.search(text[-40:]):
        return text[: len(text) - len(text[-40:]) + label.start()]
    text = text.rstrip()
    if known := _KNOWN_END.search(text, max(0, len(text) - 300)):
        return text[: known.start()] or None
    start = max((found.end() for found in _SENTENCE.finditer(text) if found.end() < len(text)), default=0)
    if start and _is_instruction(text[start:]):
        return text[:start].rstrip() or None
    return None


def _is_instruction(sentence: str) -> bool:
    """Whether a sentence says how to answer and asks for nothing of the problem itself."""
    return bool(_INSTRUCTION.search(sentence)) and not _ASKS.search(_BOX.sub(" ", sentence))


_FIGURE = re.compile(
    r"\[asy\].*?(?:\[/asy\]|$)|<asy>.*?(?:</asy>|$)|\\begin\{(asy|tikzpicture)\}.*?(?:\\end\{\1\}|$)|```(?:asy|tikz).*?(?:```|$)|!\[[^\]]{0,200}\]\([^)]{0,400}\)",
    re.DOTALL,
)
_TAG = re.compile(r"</?(?:[pbi]|(?:br|div|span|em|strong|sub|sup|li|ul|ol|math|center|img)(?:\s[^<>]{0,200})?)\s*/?>", re.IGNORECASE)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[^{}]*\}")
_COMMAND = re.compile(r"\\[a-z]+")
_NAMES = re.compile(r"\b(?:angles?|triangles?|lines?|segments?|cdot|times)\b")


def words(statement: str) -> list[str]:
    r"""Words, variables and numbers of a statement in order, lower case; without figures and LaTeX commands.

    `$\tfrac12 \angle ABC$`, `\(\frac{1}{2}\angle ABC\)` and `½ ∠ABC` give nearly the same.
    """
    text = unicodedata.normalize("NFKC", html.unescape(_TAG.sub(" ", _FIGURE.sub(" ", statement)))).lower().replace("⁄", " ")
    text = re.sub(r"(\\[dt]?frac)\s*(\d)\s*(\d)(?!\d)", r"\1 \2 \3", text)
    text = _NAMES.sub(" ", _COMMAND.sub(" ", _ENVIRONMENT.sub(" ", text)))
    return re.findall(r"[a-z]+|[0-9]+", text)
