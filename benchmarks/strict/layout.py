r"""The layout of prose: typesetting marks and program code taken away, mathematics masked, sentences, decimal commas.

Mathematics is masked by characters of a private-use area, so that patterns of words never look into it and positions stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarks.strict import phrases

VALUE, NAME = "\ue000", "\ue001"
"""Masks of mathematics that may be a value, and of a mere name such as `$x$` or `$ABC$`."""

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[ \t]*$", re.MULTILINE)
_TAGS = re.compile(
    r"</?(?:b|i|em|strong|p|div|span|br|h\d|u|code|s|eos)\s*/?>|<[|｜][^<>\n]{1,40}[|｜]>|[\u200b-\u200f\u2060\ufeff]",
    re.IGNORECASE,
)
_STRESS = re.compile(r"(?<![\d*])\*\*|\*\*(?![\d*])|(?<!\w)__(?!_)|(?<!_)__(?!\w)|`")
_WIDE = re.compile(r"[ \t]{3,}")
_STRESSED_MARK = re.compile(r"(?<=\*\*)[!！]")
_LINE_MARK = re.compile(r"^[ \t]*(?:>[ \t]?)+|^[ \t]*#{1,3}(?!#)[ \t]*|^[ \t]*#{5,6}[ \t]*|^[ \t]*[*•][ \t]+", re.MULTILINE)
_ITALIC = re.compile(r"(?<![\w*\\])([*_])([^\s*_](?:[^*_\n]{0,80}[^\s*_])?)\1(?![\w*])")


def cleaned(text: str) -> str:
    """The text without typesetting marks, tags and program code."""
    pieces, position, language = [], 0, None
    for fence in _FENCE.finditer(text):
        if language is None or language in ("", "output", "text", "plaintext", "math", "latex", "markdown"):
            pieces.append(text[position : fence.start()])
        language = fence.group(1).lower() if language is None else None
        position = fence.end()
    if language is None or language in ("", "output", "text", "plaintext", "math", "latex", "markdown"):
        pieces.append(text[position:])
    text = _STRESSED_MARK.sub("", "".join(pieces))
    text = _WIDE.sub("  ", _STRESS.sub("", _LINE_MARK.sub("", _TAGS.sub(" ", text))))
    return "\n".join(_tightened(line) if "$" in line else line for line in _ITALIC.sub(r"\2", text).split("\n"))


_NO_WORDS = re.compile(r"\\(?:text\w*|math\w+|operatorname|mbox|begin|end)\s*\{[^{}]*\}|\\[a-zA-Z]+")


def _tightened(line: str) -> str:
    """The line with formulas `$ 12 $` as `$12$`, so that they do not look like money."""
    pieces = re.split(r"(?<!\\)\$", line)
    place = 1
    while place < len(pieces) - 1:
        piece = pieces[place].strip()
        money = re.match(r"\s?\d", pieces[place + 1]) or re.search(r"[a-zA-Z]{3}", _NO_WORDS.sub(" ", piece))
        if piece and not money:
            pieces[place] = piece
        place += 2 if piece and not money else 1
    return "$".join(pieces)


_DELIMITER = re.compile(r"\$\$|(?<!\\)\$|\\[()\[\]]")


def _closes(text: str, opener: str, token: re.Match[str]) -> bool:
    """Does a delimiter end the mathematics?  A dollar sign before a digit, or spaced unlike the first one, is money."""
    if opener in ("$", "$ ") and token.group() == "$":
        spaced = text[token.start() - 1].isspace()
        return spaced == (opener == "$ ") and not text[token.end() : token.end() + 1].isdigit()
    return (opener, token.group()) in ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"))


def masked(text: str) -> str:
    """The text with its mathematics masked character by character."""
    spans: list[tuple[int, int]] = []
    opened: tuple[str, int] | None = None
    for token in _DELIMITER.finditer(text):
        sign = token.group()
        if sign in (r"\(", r"\["):
            opened = opened or (sign, token.start())
        elif opened and _closes(text, opened[0], token):
            spans.append((opened[1], token.end()))
            opened = None
        elif sign in ("$", "$$") and (opened is None or opened[0] in ("$", "$ ")):
            spaced = sign == "$" and text[token.end() : token.end() + 1].isspace()
            opened = ("$ " if spaced else sign, token.start())
    pieces, position = [], 0
    for start, end in spans:
        mask = VALUE if _may_be_value(text[start:end]) else NAME
        pieces += [text[position:start], mask * (end - start)]
        position = end
    return "".join([*pieces, text[position:]])


_A_NAME = re.compile(
    r"[a-zA-Z](?:_\{?\w+\}?|\(\w\)|')?|[A-Z]{2,}|\\(?:triangle|angle|overline|odot|Delta|square|blacksquare|checkmark|vec|widehat"
    r"|mathbb|mathcal)(?![a-z])[^=<>]*|\\qed"
)


def _may_be_value(formula: str) -> bool:
    inside = re.sub(r"^(?:\$\$?|\\[(\[])\s*|[\s.,]*(?:\$\$?|\\[)\]])$", "", formula)
    return _A_NAME.fullmatch(inside) is None


_END = re.compile(
    r"(?<![apAP]\.[mM])(?<!\bi\.e)(?<!\be\.g)(?<!\bapprox)(?<!\bsq)(?<!\b[Aa]ns)"
    r"[.!?]+(?!\s*=)(?=\s+(?![a-z])|\s*$|[\"')\]*]+(?:\s|$)|[A-Z\u3000-\uffff])|[。！？؟।]|\n+"
)
_END_OF_DISPLAY = re.compile(r"\.\s?(?:\$\$|\\\])(?=\s*[A-Z])")
_END_OF_TIME = re.compile(r"[apAP]\.[mM]\.(?=\s+[A-Z\n]|\s*$)")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, each with its end mark; mathematics is never cut, a new line ends a sentence."""
    shadow, start = masked(text), 0
    displays = (m.end() for m in _END_OF_DISPLAY.finditer(text) if shadow[m.start()] == VALUE)
    ends = (m.end() for pattern in (_END, _END_OF_TIME) for m in pattern.finditer(shadow))
    for end in sorted({*ends, *displays, len(text)}):
        if text[start:end].strip():
            yield text[start:end].strip()
        start = end


_CYRILLIC = re.compile(r"[\u0400-\u04ff]{2}")
_ACCENT = re.compile(r"[à-öø-ÿăđơưąęłńśźżğışőűěščřžÀ-ÖØ-ß]")
_FUNCTION_WORD = re.compile(
    r"\b(?:la|le|les|est|une|donc|nous|el|los|una|por|para|então|temos|uma|der|die|das|und|ist|ergibt|il|che|quindi|sono|jest|więc|là"
    r"|vậy|bu|için|antwort|lösung|respuesta|risposta|resposta)\b",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(?<!\\)\b(?:la|le|el|los|las|una|une|les|der|die|das|dem|il|gli|uma)\b", re.IGNORECASE)
_FOREIGN_VERB = re.compile(r"\b(?:es|est|ist|sono|vale|vaut|mide|ergibt|gibt|sind|costa|cuesta|pesa|dura)\b")


def uses_decimal_comma(text: str) -> bool:
    """Is the text in a language that writes 0,5 for one half?"""
    markers = (marker for pattern in (phrases.MARKER, phrases.MARKER_LINE) for marker in pattern.finditer(text))
    if _CYRILLIC.search(text) or any(marker["comma"] for marker in markers):
        return True
    if _ARTICLE.search(text) and _FOREIGN_VERB.search(text):
        return True
    return _ACCENT.search(text) is not None and len({word.lower() for word in _FUNCTION_WORD.findall(text)}) >= 2


def decimal_points(part: str) -> str:
    """The part with points for decimal commas; `1,234`, which may be either, stays, and so does what stands in brackets."""
    part = re.sub(r"(?<![\d.,])(\d{1,3})((?:\.\d{3})+),(\d+)(?![\d,])", lambda m: m[1] + m[2].replace(".", "") + "." + m[3], part)
    return re.sub(
        r"(?<![\d.,(\[])(\d+)(?:,|\{,\})(\d+)(?![\d,)\]])",
        lambda m: m[0] if len(m[2]) == 3 and not m[1].startswith("0") and len(m[1]) <= 3 else f"{m[1]}.{m[2]}",
        part,
    )
