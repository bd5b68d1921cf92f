r"""What stands as the answer in the final text of a response: boxes, what is said beside and behind them, or plain prose.

Nothing here reads mathematics: contents come back as they are written, with what qualifies them («at least 204», «not 204»),
so that the reader of answers can refuse them.  Boxes are looked for in the last `BOX_WINDOW` characters, everything else in
windows of at most `PROSE_WINDOW`; every pattern is linear or works on a shorter piece.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, NamedTuple

from benchmarks.answer_text import BOX_WINDOW, PROSE_WINDOW
from benchmarks.strict import doubts, phrases
from benchmarks.strict.beside import NEAR, VALUE, before, values_beside
from benchmarks.strict.boxes import (
    Box,
    after_formula,
    closed_boxes,
    formula_around,
    is_coefficient,
    is_placeholder,
    repaired,
    without_boxes,
)
from benchmarks.strict.layout import cleaned, decimal_points, sentences, uses_decimal_comma
from benchmarks.strict.prose import Wanted, clause_at, closing_statement, is_value, marked_statement, stated, without_contrast
from benchmarks.strict.surroundings import MULTIPLIER_BEHIND, is_part_of_more
from benchmarks.strict.turns import spoken

MOST_BOXES = 24
"""A longer list of boxes is not an answer that could be right."""


class Statement(NamedTuple):
    """What a response offers as its answer."""

    parts: tuple[str, ...]
    """Contents of the boxes that belong together (usually one), or one piece of prose."""
    kind: Literal["box", "prose"]
    beside: tuple[str, ...] = ()
    """Values that the text offers as an alternative: unless each equals the answer, it is hedged."""
    retracted: bool = False
    """Negated, or taken back with nothing new offered."""
    coefficient: str | None = None
    """The content of the box where the part is the box with symbols behind it (`\\boxed{37}x^3`): the answer, if the gold is a number."""
    unit: str = ""
    """The word right behind a single box, which may be the unit of its content («□ km, or 5000 m»)."""
    sentences: tuple[str, ...] = ()
    """The contents of all boxes of the text, if each stands in a sentence of its own."""


class Missing(NamedTuple):
    """Why there is no answer."""

    reason: Literal["no answer", "truncated"]


def find_statement(text: str, wanted: Wanted = "value") -> Statement | Missing:
    """The answer that a response's final text states; `wanted` is the kind of the gold answer."""
    turn = spoken(text)
    if turn is None:
        return Missing("truncated")
    window = repaired(turn.rstrip()[-BOX_WINDOW:])
    boxes, truncated = closed_boxes(window)
    if truncated:
        return Missing("truncated")
    filled = [box for box in boxes if not is_placeholder(box.content)]
    if not filled:
        return _prose(without_boxes(window, boxes)[-PROSE_WINDOW:], wanted)
    return _boxed(window, filled, wanted)


def _prose(text: str, wanted: Wanted) -> Statement | Missing:
    text = _own(without_contrast(cleaned(text), wanted), wanted)
    part = marked_statement(text, wanted) or closing_statement(text, wanted)
    if part is None:
        return Missing("no answer")
    stands = text.rfind(part)
    behind = text[stands + len(part) :] if stands >= 0 else ""
    retracted = _is_negation(part, wanted) or doubts.WITHDRAWN_AT_ONCE.match(behind[:NEAR]) is not None or _taken_back(behind)
    if wanted == "value" and (corrected := _corrected(list(sentences(behind)))) and _key(corrected) != _key(part):
        part, retracted = corrected, _is_negation(corrected, wanted)
    if uses_decimal_comma(text):
        part = decimal_points(part)
    return Statement((_AND_OF_ONE_LETTER.sub(" and ", part),), "prose", retracted=retracted)


_AND_OF_ONE_LETTER = re.compile(r"(?<=[\d$)])\s+[ye]\s+(?=[-$\d\\(])")
"""The Spanish y and the Italian e between two values, which in a formula are symbols."""


def _own(text: str, wanted: Wanted) -> str:
    """The text without answers to other questions, where it states another one, and without wrong answers."""
    said = list(sentences(text))
    own = [sentence for sentence in said if not doubts.OTHER_ANSWER.search(sentence)]
    here = [sentence for sentence in own if not doubts.OTHER_CASE.search(sentence)]
    if len(here) < len(own) and marked_statement("\n".join(here), wanted):
        own = here
    return text if len(own) == len(said) else "\n".join(own)


def _is_negation(part: str, wanted: Wanted) -> bool:
    if wanted == "words":
        return doubts.NEGATION.match(part) is not None and not part.lower().startswith("neither")
    denied = doubts.NEGATION.search(part) or doubts.BEHIND_VALUE.search(part) or doubts.BLURRED.search(part)
    return denied is not None and not phrases.NUMBER_WORD.fullmatch(part)


def _boxed(text: str, boxes: list[Box], wanted: Wanted) -> Statement:
    all_boxes = boxes
    behind = cleaned(after_formula(text, boxes[-1])[:PROSE_WINDOW])
    if len(boxes) > 1 and _denied_before(text, boxes[-1]) and not _SENTENCE_END.search(text[boxes[-2].end : boxes[-1].start][-NEAR:]):
        boxes = boxes[:-1]
    group = _group(text, boxes)
    kept = [box for box in group if not _denied_before(text, box)]
    if _A_WORD.search(behind) is None:
        behind = ""
    if behind and (later := _later_answer(behind, group[-1], wanted)):
        return Statement((_with_points(later, text),), "prose", retracted=_is_negation(later, wanted))
    taken_back = doubts.WITHDRAWN_AT_ONCE.match(text, group[-1].end, group[-1].end + NEAR) is not None
    retracted = not kept or taken_back or bool(behind and _taken_back(behind)) or is_part_of_more(text, group)
    retracted = retracted or _is_other_case(text, group[0]) or _one_of_several_symbols(text, kept)
    kept = kept or group
    parts = tuple(_with_points(part, text) for part in _contents(text, kept))
    if len(parts) == 1 and (multiplier := MULTIPLIER_BEHIND.match(text, kept[-1].end)):
        parts = (f"{parts[0].strip()} \\text{{ {multiplier.group(1)}}}",)
    more, beside = values_beside(text, kept, wanted)
    coefficient = kept[0].content if len(kept) == 1 and is_coefficient(text, kept[0]) else None
    unit = _UNIT_BEHIND.match(text, kept[-1].end) if beside else None
    return Statement((*parts, *more), "box", beside, retracted, coefficient, unit[1] if unit else "", _one_a_sentence(text, all_boxes))


def _one_a_sentence(text: str, boxes: list[Box]) -> tuple[str, ...]:
    """The contents of the boxes if each stands in a sentence of its own and none is denied; else none."""
    apart = all(_SENTENCE_END.search(text, a.end, b.start) for a, b in pairwise(boxes))
    if not apart or not 1 < len(boxes) <= MOST_BOXES or any(_denied_before(text, box) for box in boxes):
        return ()
    return tuple(box.content for box in boxes)


def _is_other_case(text: str, box: Box) -> bool:
    """Does the box end a sentence such as «If repetition were allowed, the answer would be □»?"""
    sentence = _SENTENCE_END.split(text[max(0, box.start - NEAR) : box.start])[-1]
    return doubts.OTHER_CASE_BEFORE.search(sentence) is not None


_UNIT_BEHIND = re.compile(r"(?:[\s$*)\]]|\\[)\]]){0,6}([a-zA-Z°]{1,12}(?:/[a-zA-Z]{1,6})?)")
_A_WORD = re.compile(r"\w")
_ONE_NUMBER = re.compile(r"\s*\$?\s*[-−–]?\d+(?:,|\{,\})\d+\s*\$?(?:\s*\\?%)?\.?\s*")


def _with_points(part: str, text: str) -> str:
    """A box or statement that is one number, with a decimal point where the language writes a comma."""
    if _ONE_NUMBER.fullmatch(part) and uses_decimal_comma(text[-PROSE_WINDOW:]):
        return decimal_points(part)
    return part


def _one_of_several_symbols(text: str, group: list[Box]) -> bool:
    """Is it «x = □ or y = □», which does not say both?"""
    names = _names_before(text, group)
    either = any(re.search(phrases.OR, text[a.end : b.start], re.IGNORECASE) for a, b in pairwise(group))
    return either and len(group) > 1 and len(set(names)) == len(group)


def _names_before(text: str, group: list[Box]) -> list[str]:
    """The symbols that boxes are said to be (`x =` □)."""
    labels = (_LABEL_BEFORE.search(text, max(0, box.start - 30), box.start) for box in group)
    return [label[1] for label in labels if label]


def _contents(text: str, group: list[Box]) -> tuple[str, ...]:
    """What each box stands for: its content, or the formula that it is a part of; a bracketed list is one part."""
    if len(group) == 1:
        return (formula_around(text, group[0]),)
    first, last = group[0], group[-1]
    left, right = text[max(0, first.start - 20) : first.start].rstrip(), text[last.end : last.end + 20].lstrip()
    bracketed = re.search(r"(?<!\\)\($|\\langle$", left) and re.match(r"\)|\\(?:right\)|rangle)", right)
    commas = all(re.fullmatch(r"\s*,(?:\s|\\[,;! ])*", text[a.end : b.start]) for a, b in pairwise(group))
    if bracketed and commas:
        return ("(" + ", ".join(box.content for box in group) + ")",)
    names = _names_before(text, group)
    if len(set(names)) == len(group):
        values = [formula_around(text, box) for box in group]
        return tuple(value if "=" in value else f"{name} = {value}" for name, value in zip(names, values, strict=True))
    return tuple(formula_around(text, box) for box in group)


_LABEL_BEFORE = re.compile(r"(?<![a-zA-Z\\])([a-zA-Z](?:_\w)?)\s*=[\s$\\({]*$")


_MADE_OF_OTHERS = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z](?:\s*[-+*/]\s*[a-zA-Z](?![a-zA-Z])){1,4}\s*=[\s$\\({]*$")
"""What stands before a box that is made of those before it: `m + n =` □."""


def _group(text: str, boxes: list[Box]) -> list[Box]:
    """The last box with those before it that belong to it: joined, listed, or offered as alternatives."""
    group = boxes[-1:]
    if _MADE_OF_OTHERS.search(text, max(0, group[0].start - 60), group[0].start):
        return group
    for box in reversed(boxes[-MOST_BOXES:-1]):
        between = text[box.end : group[-1].start]
        if len(between) > NEAR or not _belong_together(between):
            break
        group.append(box)
    return group[::-1]


_SHORT_JOINER = re.compile(
    rf"(?:[\s$.,;:()\[\]*~&/、，。；：>]|\\[()\[\],;! \\]|\\q?quad|\\(?:text|mathrm|textbf)\s*\{{|\}}|{phrases.OR}|{phrases.AND}"
    rf"|{phrases.MAYBE}"
    r"|\bmore\s+precisely\b|(?<![a-zA-Z\\])[a-zA-Z](?:_\{?\w{1,3}\}?)?\s*=|\\(?:text|lor|land|vee|wedge)(?![a-zA-Z]))*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?:](?=[\s$\\*)]|$)|[。！？：]|\n\s*\n")


def _belong_together(between: str) -> bool:
    """Does the text between two boxes join them, rather than lead from one to the next?"""
    if _SHORT_JOINER.fullmatch(between) or phrases.ALTERNATIVE.search(between):
        return True
    if phrases.PROGRESS.search(between):
        return False
    if phrases.LIST_LABEL.search(between):
        return True
    if len(between) > 100 or _SENTENCE_END.search(between):
        return False
    return bool(re.search(rf",|，|{phrases.AND}|{phrases.OR}", between, re.IGNORECASE))


_ASKS_WHY_NOT = re.compile(r"\b(?:if|why|or)\s+not\s*$", re.IGNORECASE)


def _denied_before(text: str, box: Box) -> bool:
    left = before(text, box)[-80:]
    alone = doubts.BOUND_ALONE.search(left) and re.match(r"[\s$.)*}]*(?:\n|$|,)", text[box.end : box.end + NEAR])
    if alone or doubts.BOUND_BEFORE.search(left) or doubts.SUPPOSED_BEFORE.search(left):
        return True
    return doubts.NOT_BEFORE.search(left) is not None and _ASKS_WHY_NOT.search(left) is None


def _later_answer(behind: str, box: Box, wanted: Wanted) -> str | None:
    """A plain statement behind the last box whose content is another one."""
    if (end := _IS_THE_ANSWER.search(behind)) and (named := _VALUE_AT_END.search(behind[: end.start()][-NEAR:])):
        return named[1]
    said = [sentence for sentence in sentences(behind) if not (doubts.OTHER_CASE.search(sentence) or doubts.OTHER_ANSWER.search(sentence))]
    later = marked_statement("\n".join(said), wanted, behind_box=True)
    if wanted == "value" and later is None:
        later = _corrected(said)
        if later is None and (back := doubts.TAKEN_BACK.search(behind)):
            rest = behind[back.end() : back.end() + NEAR]
            later = next((found for piece in sentences(rest) if (found := stated(piece, wanted)) and is_value(found)), None)
    if later is None or re.fullmatch(re.escape(_key(box.content)) + r"[a-zA-Z°%]*", _key(later)):
        return None
    return later


_IS_THE_ANSWER = re.compile(r"\s+is\s+(?:therefore\s+|thus\s+)?(?:the|my|our)\s+(?:final\s+|correct\s+|right\s+)?answer\b")
_VALUE_AT_END = re.compile(rf"({VALUE})$")


def _corrected(said: list[str]) -> str | None:
    """The bare value of a sentence that corrects («Wait, it is 57.»)."""
    for sentence in said:
        if opening := doubts.CORRECTION.match(sentence):
            rest = clause_at(sentence[opening.end() :])
            if re.fullmatch(rf"{VALUE}\s*(?:[a-zA-Z]{{1,15}})?", rest) and "=" not in rest:
                return rest
    return None


def _key(part: str) -> str:
    part = re.sub(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}", r"\1", part[:2_000])
    return re.sub(r"\\d?frac", "frac", re.sub(r"[\s$,{}()*`.]|\\[,;! ()\[\]]", "", part))


def _taken_back(behind: str) -> bool:
    found = list(doubts.TAKEN_BACK.finditer(behind))
    last = found[-1] if found else doubts.IMPOSSIBLE.match(behind)
    if last is None or re.search(r"\b(?:if|unless|suppose|whether)\s+$", behind[max(0, last.start() - 12) : last.start()], re.IGNORECASE):
        return False
    return not re.search(r"\b(?:is|was)\s+(?:indeed\s+|actually\s+)?(?:right|correct)\b", behind[last.end() :], re.IGNORECASE)
