r"""What stands beside boxes: the words before them, further values of a list, and values offered as an alternative."""

from __future__ import annotations

import re

from benchmarks.strict import phrases
from benchmarks.strict.boxes import Box
from benchmarks.strict.layout import cleaned
from benchmarks.strict.prose import Wanted, clause_at, is_value

NEAR = 300
"""Characters beside a box in which another value can be offered."""
_OPENERS = re.compile(r"(?:[\s$*({\[`:：]|\\[(\[,;! ]|\\(?:text|mathrm|displaystyle)|(?<![a-zA-Z\\])[a-zA-Z]\s*=)+$")


_UNEQUAL = re.compile(r"(?:\\neq?|\\not\s*=|≠)\s*$")


def before(text: str, box: Box) -> str:
    """The text before a box without what opens mathematics and without a label «x =»."""
    left = text[max(0, box.start - NEAR) : box.start]
    if _UNEQUAL.search(left):
        return left
    opened = _OPENERS.search(left[-60:])
    return left[: len(left) - len(opened.group())] if opened else left


VALUE = r"(?:\$[^$\n]{1,200}\$|\\\([^\n]{1,200}?\\\)|\\?[$€£¥]?\s?[-−–]?\d[\d,./]*(?:\s+\d+/\d+)?%?)"
_EDGE = r"(?:[\s$*)\]}`]|\\[,;!]?)*"
_UNITS = r"(?:[a-zA-Z°%/²³]{1,15}\.?\s+){0,3}?"
_OR_BEHIND = re.compile(
    rf"{_EDGE}(?:\\text\s*\{{[^{{}}]{{0,40}}\}}{_EDGE})?{_UNITS}[\s,.;(（，、]*(?:(?:but|though|and)\s+)?(?:{phrases.OR}"
    rf"|\\text\s*\{{\s*{phrases.OR}\s*\}}|/(?=\s*\$?\d))(?:[\s,]*(?:{phrases.MAYBE}|{phrases.OR}))*[\s,:]*",
    re.IGNORECASE,
)
_AND_BEHIND = re.compile(rf"{_EDGE}(?:,\s*)?{phrases.AND}\s*({VALUE})\s*[.。]?\s*(?:\n|$)", re.IGNORECASE)
_OTHER_IF = re.compile(
    rf"{_EDGE}[^\n.]{{0,60}}?(?:[(,;]|\band\b|\bbut\b)\s*(?:but\s+|though\s+)?({VALUE}){phrases.ALSO_POSSIBLE}",
    re.IGNORECASE,
)
_OR_FURTHER = re.compile(
    rf"{_EDGE}[^\n.]{{1,60}}?[,(;]\s*{phrases.OR}(?:[\s,]*{phrases.MAYBE})*\s*"
    rf"({VALUE}(?:\s(?!{phrases.UNIT_STOP.pattern})[a-zA-Z°]{{1,12}})?)",
    re.IGNORECASE,
)
_OR_AHEAD = re.compile(rf"({VALUE})\s*(?:[a-zA-Z]{{1,12}}\s+)?[\s,*)]*{phrases.OR}(?:[\s,]*{phrases.MAYBE})*[\s,]*$", re.IGNORECASE)
_AND_AHEAD = re.compile(rf"({VALUE})[\s,*]*{phrases.AND}\s*$", re.IGNORECASE)


_EITHER = re.compile(r"\b(?:either|answer\s*(?:is|:)|(?:could|might|may)\s+be|possibly|maybe)\b[^.\n]{0,40}$", re.IGNORECASE)
_LABEL_AHEAD = re.compile(r"([a-zA-Z]\w?)\s*=[\s$\\({]*$")


_VERB_BEHIND = re.compile(rf"{_EDGE}(?:is|are|was|has|does|gives?|works?|satisfies|leaves)\b")


def _alternative(found: re.Match[str], ahead: str, text: str, box: Box) -> str | None:
    """The value before «or □», if the box is another one; None if it says the same again («is 0.6, or □ cents», `2x = 8` or `x =` □)."""
    value, joined = found[1].strip("$ "), found.group()[len(found[1]) :]
    if not re.search(r"\d", value) or (("," in joined or value.endswith(",")) and not _EITHER.search(ahead[: found.start()])):
        return None
    left, equals, right = value.rpartition("=")
    label = _LABEL_AHEAD.search(text[max(0, box.start - 30) : box.start])
    if equals and label is not None and left.strip() != label[1]:
        return None
    return right if equals else found[1]


def values_beside(text: str, group: list[Box], wanted: Wanted) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Further values of a list («1 and [box]»), and values that are offered as an alternative to the group of boxes."""
    more, beside = [], []
    behind = text[group[-1].end : group[-1].end + NEAR]
    ahead = before(text, group[0])[-120:]
    if found := _OR_BEHIND.match(behind):
        rest = cleaned(behind[found.end() :])
        other = clause_at(rest, wanted)
        if other and (is_value(other) or wanted == "words" or re.match(r"(?:more|less|fewer|greater|higher|so)\b|\(?[A-J]\)?\b", other)):
            beside += [] if phrases.SAME_AS.match(other) else [other]
    elif found := _AND_BEHIND.match(behind):
        more.append(found.group(1))
    elif found := _OR_FURTHER.match(behind):
        beside.append(found.group(1))
    if found := _OTHER_IF.match(behind):
        beside.append(found.group(1))
    if also := phrases.ALSO.search(behind[:160]):
        other = clause_at(cleaned(behind[also.end() :]), wanted)
        beside += [other] if other and is_value(other[:30]) and "\\boxed" not in other else []
    if wanted != "choice" and (found := _OR_AHEAD.search(ahead)) and (instead := _alternative(found, ahead, text, group[0])):
        beside.append(instead)
    elif (found := _AND_AHEAD.search(ahead)) and not re.search(r"(?:=|between)\s*$", ahead[: found.start()]):
        states = _VERB_BEHIND.match(behind)  # «3 is odd, and □ is even»
        unlabelled = not states and not re.search(r"[a-zA-Z]\s*=[\s$\\({]*$", text[max(0, group[0].start - 30) : group[0].start])
        more += [found.group(1)] if unlabelled and "=" not in found.group(1) else []
    return tuple(value.strip() for value in more), tuple(dict.fromkeys(value.strip() for value in beside))
