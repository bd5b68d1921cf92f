"""Making text that a model wrote harmless to show: visible, cut, fenced, escaped.

Model output is hostile.  HTML escaping is Jinja's; what it does not cover is here: characters that
act without being seen (control characters, bidirectional overrides, zero-width characters; see
Unicode TR 36 and CVE-2021-42574), text that breaks out of a Markdown cell or fence, and megabytes on one line.
"""

from __future__ import annotations

import re
import unicodedata

KEEP_CHARACTERS = 4000
"""A longer text is cut in the middle."""

_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#$@])")
_LINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp|www)([:.])|\\@(?=[^\W\d])")
_SPLIT = "<!-- -->"
"""Between two parts of a text that GitHub would link or notify if they stood together; it is not shown."""
_MARKER = re.compile(r"^(\d*)(?=[-+=]([-=\s]|$)|=|(?<=\d)[.)](\s|$))")


def visible(text: str) -> str:
    """Replace characters that act without being seen by their code point, as in ⟦U+202E⟧.

    Line feeds and tabs stay; a carriage return before a line feed is dropped.
    """
    text = text.replace("\r\n", "\n")
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_shown(character) for character in text)


def cut(text: str, keep: int = KEEP_CHARACTERS) -> str:
    """Keep the first two thirds and the last third of `keep` characters, with a note of what is missing."""
    if len(text) <= keep:
        return text
    head = keep * 2 // 3
    tail = keep - head
    return f"{text[:head]}\n[… {len(text) - keep:,} characters left out …]\n{text[-tail:]}"


def fenced(text: str, language: str = "") -> str:
    """A Markdown code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def markdown(text: str, links: bool = True) -> str:
    """Text that Markdown shows as it is, in a paragraph or a table cell: one line, nothing linked or interpreted.

    Without `links` for a place where nothing is linked, such as the words for an image, where `_SPLIT` would be shown.
    """
    line = " ".join(visible(text).split())
    escaped = _MARKDOWN.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    marker = _MARKER.match(escaped)
    if marker:
        escaped = f"{marker.group(1)}\\{escaped[marker.end() :]}"
    return escaped if not links else _LINK.sub(lambda found: f"{found[1]}{_SPLIT}{found[2]}" if found[1] else f"@{_SPLIT}", escaped)


def brief(text: str, longest: int = 60) -> str:
    """A value as a sentence has room for it."""
    return text if len(text) <= longest else f"{text[: longest - 3]}…"


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 sample, 2 samples."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _UNSEEN:
        return character
    return f"⟦U+{ord(character):04X}⟧"
