"""What surrounds a box and makes it a piece of something else: «half of [box]», `[box].5`, «[box] thousand», «[box]. Oops»."""

from __future__ import annotations

import re

from benchmarks.strict.boxes import Box

MULTIPLIER_BEHIND = re.compile(
    r"(?:[\s$*\\)\]]|\\text\s*\{|\\[,;! ]){0,6}"
    r"\b(hundred|thousand|million|billion|trillion|dozen|squared|cubed|factorial|tenths|hundredths)\b",
    re.IGNORECASE,
)
_CHANGED_BEHIND = re.compile(
    r"[\s$*\\)\]]*(?:-?(?:st|nd|rd|th)\b\s+(?:root|power|prime|term|derivative|Fibonacci|triangular|smallest|largest)"
    r"|\\?%\s*\$?\s*of\s+[$\\]*\d|(?:=>|[+×→:/])\s*[$\\]*\d|\\to(?![a-z])|\\ldots|[kKM]\b(?!&)|[万千亿]|too\s+(?:many|few|large|small)"
    r"|(?:plus|minus|times|choose|over|out\s+of|to|less\s+than|more\s+than)\s+(?:[$\\]*\d|(?:one|two|three|four|five|ten)\b))"
)
_OTHER_BEFORE = re.compile(
    r"\b(?:minus|negative|(?:one|\d+)\s+over|other\s+than(?:[\s$]+[a-z]\s*=)?|(?:wrong|incorrect)\s+answer\s+(?:is|was|would\s+be)"
    r"|first\s+guess\s+was|(?:first|initially)\s+(?:thought|got|guessed)(?:\s+(?:it\s+was|of))?|(?<!value\s)\bof\s+(?:the"
    r"|this)\s+(?:final\s+)?answer\s+is|might\s+think|half\s+of|twice|double|(?<!\ba\s)(?:(?:square|cube)\s+)?root\s+of|reciprocal\s+of"
    r"|factorial\s+of|opposite\s+of|negative\s+of"
    r"|number\s+of\s+\w+\s+of|divisors?\s+of|multiple\s+of|all\s+but|any(?:thing)?\s+(?:but|except)|(?:square|cube)\s+of"
    r"|all\s+\w+\s+except)[\s$*\\(]*$",
    re.IGNORECASE,
)
_DIGIT_BEFORE = re.compile(r"\d\.?$|\d\s*[/×]\s*\$*$")
_FIRST_OF_MORE = re.compile(r"[({,]\s*$")
_MORE_BEHIND = re.compile(r"\s*,\s*[\d\\a-z(-]")
_FORMULA_OPENS = re.compile(r"\\\(\s*$")
_DIGITS_BEHIND = re.compile(r"(?:\.\d|(?:,|\{,\})\d{3}|\d)")
_DISOWNED = re.compile(
    r"\b(?:never\s+mind|oops|scratch\s+that|i\s+meant?\b|(?:this|it|which)\s+(?:is\s+(?:extraneous|rejected)|(?:over|double)-?\s?counts?"
    r"|contradicts)"
    r"|(?:discard|reject)\s+it|\(?should\s+be\s+[$\\]*-?\d)",
    re.IGNORECASE,
)


def is_part_of_more(text: str, group: list[Box]) -> bool:
    """Is a box only a piece of what is stated («half of □», `□.5`, `(□, 5)`), or disowned («□. Oops»)?"""
    first, last = group[0], group[-1]
    left, right = text[max(0, first.start - 80) : first.start], text[last.end : last.end + 200]
    if (
        _OTHER_BEFORE.search(left)
        or _DIGIT_BEFORE.search(left)
        or _DIGITS_BEHIND.match(right)
        or _CHANGED_BEHIND.match(right)
    ):
        return True
    if _FIRST_OF_MORE.search(left) and _MORE_BEHIND.match(right) and not _FORMULA_OPENS.search(left):
        return True
    return _DISOWNED.search(right) is not None
