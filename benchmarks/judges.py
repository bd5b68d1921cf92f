r"""The two judges of mathematical answers.  They run inside the worker processes of `benchmarks.grading`.

`klear` is the released judge (`benchmarks/judge_math.py` of the released code, described in its own
words here): math-verify parses the whole response, thinking included; fewer than two results are
wrong; the second result (the text that was matched) may equal the gold string; else math-verify
compares the parsed gold, put into a box, with the parsed response.  What sympy raises on the way is
a wrong answer, as there.  Where it would hang for ever, the parent process ends it (judge time-out).

`strict` reads the final text only: the last box, else the closing prose; integers are compared as
integers, numbers exactly (a rounded decimal is wrong), everything else by math-verify.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from typing import Any, NamedTuple

from math_verify import LatexExtractionConfig, parse, verify
from math_verify.errors import TimeoutException
from sympy import Basic, Float, Rational, nan, zoo
from sympy.core.relational import Relational
from sympy.sets import Set

from benchmarks.answer_text import (
    BOX_WINDOW,
    LONGEST_ANSWER,
    PROSE_WINDOW,
    exact_number,
    find_boxes,
    last_group,
    normal_form,
    other_number_beside,
    prose_alternatives,
    top_level_parts,
)
from benchmarks.records import Reason

SYMPY_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, SyntaxError,
    TypeError, ValueError,
)  # fmt: skip
"""What sympy and its LaTeX parser raise on what they cannot handle: such an answer is not the gold one."""
SHOWN = 200
"""Characters of an extracted answer that are kept."""


class Judgement(NamedTuple):
    """A judge's verdict: what it read and why it decided so."""

    reason: Reason
    extracted: str | None = None


class _TimeoutFlag(logging.Handler):
    """Remembers that math-verify gave up on a time-out, which it only logs."""

    raised = False

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Timeout during"):
            self.raised = True


_flag = _TimeoutFlag()


def quiet_math_verify() -> None:
    """Send math-verify's log to the time-out flag only; it would print whole responses."""
    for name in ("math_verify.parser", "math_verify.grader"):
        logger = logging.getLogger(name)
        logger.handlers = [_flag]
        logger.propagate = False


def judge_klear(response: str, gold: str) -> Judgement:
    """Verdict of the released judge on one response."""
    _flag.raised = False
    gold = gold.strip()
    try:
        parsed = parse(response, parsing_timeout=5)
    except SYMPY_ERRORS:
        return Judgement("wrong")
    if len(parsed) < 2:
        return Judgement("judge time-out" if _flag.raised else "no answer")
    shown = str(parsed[1])[:SHOWN]
    if parsed[1] == gold:
        return Judgement("correct", shown)
    try:
        if verify(parse(f"\\boxed{{{gold}}}", parsing_timeout=5), parsed, timeout_seconds=5):
            return Judgement("correct", shown)
    except SYMPY_ERRORS:
        return Judgement("wrong", shown)
    except TimeoutException:
        return Judgement("judge time-out", shown)
    return Judgement("judge time-out" if _flag.raised else "wrong", shown)


def judge_strict(text: str, gold: str) -> Judgement:
    """Verdict on the final text of a response (`answer_text.final_text` has cut the thinking off)."""
    window = text[-BOX_WINDOW:]
    boxes, unclosed = find_boxes(window)
    boxes = [box for box in boxes if normal_form(box.content[: LONGEST_ANSWER + 1])]
    if unclosed is not None and not re.search(r"[$\n]", window[unclosed:].strip()):
        return Judgement("truncated")
    if not boxes:
        return _judge_prose(window[-PROSE_WINDOW:], gold)
    group = last_group(window, boxes)
    answer = group[-1].content.strip()
    shown = answer[:SHOWN]
    if len(answer) > LONGEST_ANSWER:
        return Judgement("wrong", shown)
    wanted = gold_parts(gold)
    if len(group) > 1:
        return _judge_group([box.content for box in group], gold, wanted)
    if (
        len(wanted) == 1
        and len(top_level_parts(answer)) > 1
        and len(top_level_parts(normal_form(answer))) > 1
    ):
        return Judgement("correct" if _same_values(top_level_parts(answer), gold) else "hedged", shown)
    beside = other_number_beside(window, group[-1])
    if beside is not None and len(wanted) == 1 and _is_other_integer(beside, answer):
        return Judgement("hedged", shown)
    return Judgement("correct" if same_answer(answer, gold) else "wrong", shown)


def _judge_group(contents: list[str], gold: str, wanted: list[str]) -> Judgement:
    shown = ", ".join(content.strip() for content in contents)[:SHOWN]
    if max(len(content) for content in contents) > LONGEST_ANSWER:
        return Judgement("wrong", shown)
    if len(wanted) > 1:
        if same_answer(contents[-1], gold):
            return Judgement("correct", contents[-1].strip()[:SHOWN])
        return Judgement("correct" if same_answer(", ".join(contents), gold) else "wrong", shown)
    if _same_values(contents, gold):
        return Judgement("correct", shown)
    return Judgement("wrong" if len({normal_form(content) for content in contents}) == 1 else "hedged", shown)


def _same_values(answers: list[str], gold: str) -> bool:
    return all(same_answer(answer, gold) for answer in answers)


def _is_other_integer(beside: str, answer: str) -> bool:
    stated = exact_number(normal_form(answer))
    other = exact_number(beside)
    return (
        stated is not None
        and other is not None
        and stated.denominator == other.denominator == 1
        and stated != other
    )


def _judge_prose(text: str, gold: str) -> Judgement:
    if not text.strip():
        return Judgement("no answer")
    # math-verify finds a number behind a space only; Chinese and Japanese text has none.
    spaced = re.sub(r"([\u3000-\u9fff\uff00-\uffef])(-?\d)", r"\1 \2", text)
    parsed = parse(spaced, parsing_timeout=None, raise_on_error=False)
    if not parsed:
        return Judgement("no answer")
    shown = str(parsed[-1]).strip()[:SHOWN]
    alternatives = prose_alternatives(text)
    if alternatives is not None and len(gold_parts(gold)) == 1 and shown.replace(",", "") in alternatives:
        return Judgement("hedged", shown)
    if isinstance(parsed[-1], str) and same_answer(parsed[-1], gold):
        return Judgement("correct", shown)
    target = _parsed_gold(gold)
    return Judgement("correct" if target and _same_parsed(target, parsed) else "wrong", shown)


def gold_parts(gold: str) -> list[str]:
    """The values of a gold answer: one, or the members of a list."""
    return top_level_parts(gold)


def same_answer(answer: str, gold: str) -> bool:
    """Does a box's content denote the gold answer?  Numbers exactly, lists in any order."""
    left, right = normal_form(answer), normal_form(gold)
    if not left:
        return False
    if left == right:
        return True
    if len(gold_parts(gold)) > 1:
        return _same_list(left, gold)
    a, b = exact_number(left), exact_number(right)
    if a is not None and b is not None:
        return a == b or ("%" in left + right and _without_percent(left) == _without_percent(right))
    if _words(left) is not None and _words(left) == _words(right):
        return True
    return _same_by_math_verify(left, right)


def _same_list(answer: str, gold: str) -> bool:
    inner = re.fullmatch(r"\\?\{(.*?)\\?\}|\\lbrace(.*?)\\rbrace", answer.strip(), re.DOTALL)
    text = next(group for group in inner.groups() if group is not None) if inner else answer
    given = [part for part in top_level_parts(text) for part in _both_signs(part)]
    wanted = [part for part in gold_parts(gold) for part in _both_signs(part)]
    if len(given) != len(wanted):
        return False
    for target in wanted:
        found = next((part for part in given if same_answer(part, target)), None)
        if found is None:
            return False
        given.remove(found)
    return True


def _both_signs(part: str) -> list[str]:
    if not re.search(r"\\[pm][mp](?![a-zA-Z])|±", part):
        return [part]
    plus = re.sub(r"\\pm(?![a-zA-Z])|±", "+", re.sub(r"\\mp(?![a-zA-Z])", "-", part))
    minus = re.sub(r"\\pm(?![a-zA-Z])|±", "-", re.sub(r"\\mp(?![a-zA-Z])", "+", part))
    return [plus, minus]


def _without_percent(text: str) -> Fraction | None:
    return exact_number(re.sub(r"\\?%", "", text))


def _words(text: str) -> str | None:
    """Letters and digits of an answer that is words or a time of day rather than a formula."""
    if re.search(r"[\\^_=+*/<>{}]", text) or not re.search(r"[A-Za-z]{2}|[ap]\.m|\d:\d", text):
        return None
    return re.sub(r"[^a-z0-9:]", "", text.lower())


_BOX_ONLY = (LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False),)
"""Parse the box as a whole; math-verify would otherwise fall back to any number inside an unreadable one."""


def _parsed_gold(gold: str) -> list[Any]:
    return list(parse(f"\\boxed{{{normal_form(gold)}}}", extraction_config=_BOX_ONLY, parsing_timeout=None))


def _same_by_math_verify(answer: str, gold: str) -> bool:
    target = _parsed_gold(gold)
    given = parse(f"\\boxed{{{answer}}}", extraction_config=_BOX_ONLY, parsing_timeout=None)
    return bool(target and given) and _same_parsed(target, given)


def _same_parsed(target: list[Any], given: list[Any]) -> bool:
    a, b = target[0], given[0]
    try:
        if _is_number(a) and _is_number(b):
            same = same_number(a, b)
            if same is not None:
                return same
    except SYMPY_ERRORS:
        return False
    return bool(verify(target, given, timeout_seconds=None))


def _is_number(value: object) -> bool:
    if not isinstance(value, Basic) or isinstance(value, Set | Relational):
        return False
    return not value.free_symbols and value.is_number is True and value not in (nan, zoo)


def same_number(a: Any, b: Any) -> bool | None:
    """Are two closed SymPy expressions equal, to 50 digits relative?  None when they have no finite value.

    math-verify rounds decimals to 6 places and compares tiny numbers as equal; here decimals are
    exact rationals and the tolerance is relative.
    """
    a, b = _with_exact_decimals(a).doit(), _with_exact_decimals(b).doit()
    if a == b:
        return True
    if a.is_Rational and b.is_Rational:
        return False
    left, right = a.evalf(60), b.evalf(60)
    if not (left.is_number and right.is_number and left.is_finite and right.is_finite):
        return None
    size = max(abs(left), abs(right))
    return bool(abs(left - right) <= size * Rational(1, 10**50)) if size else True


def _with_exact_decimals(value: Any) -> Any:
    return value.replace(lambda part: isinstance(part, Float), lambda part: Rational(str(part)))
