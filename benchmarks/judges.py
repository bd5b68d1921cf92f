r"""The two judges of mathematical answers.  They run inside the worker processes of `benchmarks.grading`.

`klear` is the released judge (`benchmarks/judge_math.py` of the released code, described in its own
words here): math-verify parses the whole response, thinking included; fewer than two results are
wrong; the second result (the text that was matched) may equal the gold string; else math-verify
compares the parsed gold, put into a box, with the parsed response.  What sympy raises on the way is
a wrong answer, as there.  Where it would hang for ever, the parent process ends it (judge time-out).

`strict` is in `benchmarks.strict`.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from math_verify import parse, verify
from math_verify.errors import TimeoutException

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
