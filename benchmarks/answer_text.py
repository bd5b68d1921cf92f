r"""What a response offers as its answer, as text: the part after the thinking, boxes, hedges, normal form.

Rules of the `strict` judge that need no mathematics (DESIGN: Thinking).  Everything here is linear in
the length of the text or works on a bounded window of it.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
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
    closed, opened = response.rfind("</think>"), response.rfind("<think>")
    if opened > closed or (closed < 0 and thinking == "required"):
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


_JOINER = re.compile(
    r"(?:[\s$.,;:()\[\]*~&/]|\\[()\[\],;! ]|\\q?quad|\\(?:text|mathrm)\s*\{|\}"
    r"|\b(?:or|and|either|maybe|possibly|perhaps|else|alternatively|could|be|it|is|also)\b"
    r"|或者|或|和|以及|，|、)*",
    re.IGNORECASE,
)


def last_group(text: str, boxes: list[Box]) -> list[Box]:
    """The last box with those before it that are joined to it by nothing but «or», «and», commas or space."""
    group = boxes[-1:]
    for box in reversed(boxes[:-1]):
        between = text[box.end : group[0].start]
        if len(between) > 60 or not _JOINER.fullmatch(between):
            break
        group.insert(0, box)
    return group


_MAYBE = r"(?:(?:maybe|possibly|perhaps|else|it\s+(?:could|might|may)\s+be|could\s+be)\s+)*"
_OR = rf"(?:\bor\b|或者|或)[\s,]*{_MAYBE}"
_EDGE = r"[\s$*\\()\[\]{},]*"
_OR_AFTER = re.compile(rf"{_EDGE}{_OR}{_EDGE}(-?\d[\d,]*(?:\.\d+)?)(?![\d\w/\\^])", re.IGNORECASE)
_OR_BEFORE = re.compile(rf"(?<![\d.])(-?\d[\d,]*(?:\.\d+)?){_EDGE}{_OR}{_EDGE}$", re.IGNORECASE)
_OR_IN_PROSE = re.compile(
    rf"(?<![\d.])(-?\d[\d,]*){_EDGE}{_OR}{_EDGE}(-?\d[\d,]*)(?!\d|\.\d)[^\d]*$", re.IGNORECASE
)


def other_number_beside(text: str, box: Box) -> str | None:
    """A number that prose offers beside the box («203 or [box]», «[box] or maybe 203»), if there is one."""
    after = _OR_AFTER.match(text, box.end, box.end + 200)
    before = _OR_BEFORE.search(text[max(0, box.start - 200) : box.start])
    found = after or before
    return found.group(1).replace(",", "") if found else None


def prose_alternatives(text: str) -> tuple[str, str] | None:
    """The two numbers of a last line that ends in «203 or 204»."""
    lines = text.rstrip().splitlines()
    found = _OR_IN_PROSE.search(lines[-1][-500:]) if lines else None
    if found is None:
        return None
    first, second = (value.rstrip(",").replace(",", "") for value in found.groups())
    return (first, second) if first != second else None


_SPACES = re.compile(
    r"\\[,;:! ]|\\(?:quad|qquad|thinspace|enspace|hspace\s*\{[^{}]*\})(?![a-zA-Z])"
    r"|~|[\u00a0\u2009\u202f\u3000]"
)
_DECORATION = re.compile(
    r"\\(?:displaystyle|textstyle|limits|left|right|[bB]igg?[lr]?|tiny|small|normalsize|[lL]arge|LARGE|[hH]uge)"
    r"(?![a-zA-Z])"
)
_COLOUR = re.compile(r"\\(?:text)?color\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}")
_WRAPPER = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|boldsymbol|bm|mbox|boxed|fbox|ensuremath|underline)"
    r"\s*\{([^{}]*)\}"
)
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|°|\\degree")
_MOD = re.compile(r"(?:\\text\s*\{)?[\s(]*(?:\\pmod|\\bmod|\\mod|mod\b)[\s}]*(?:\{[^{}]*\}|\d+)?[\s)}]*$")
_QUALIFIER = r"(?!.*\b(?:or|and|not|more|less|than|least|most|about|approximately)\b)"
_UNIT = re.compile(
    rf"(?i)\\(?:text|textrm|textbf|textit|mathrm|mbox)\s*\{{{_QUALIFIER}[^{{}}]*\}}\s*(?:\^\s*\{{?\d\}}?)?\s*$"
)
_LABEL = re.compile(r"^\\(?:text|textrm|textbf|textit|mbox)\s*\{[^{}]*(?::|\bis|\([A-E]\))\s*\}")
_PLAIN = str.maketrans(
    {character: f"^{{{digit}}}" for digit, character in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
    | {"−": "-", "–": "-", "×": r"\times ", "π": r"\pi ", "⁄": "/", "√": r"\sqrt ", "∞": r"\infty "}
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff")
)


def normal_form(content: str) -> str:
    r"""A box's content without what does not change its value.

    Spaces, colours, `\text{…}` around or unit behind a value, `x =` and equation chains (the last
    member counts), approximations behind an exact value, `\pmod{…}`, degrees, a dollar sign,
    `\dfrac`, braces left out after `\sqrt`.  The result is LaTeX again.
    """
    text = content
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_PLAIN)).translate(_PLAIN)
    text = _SPACES.sub(" ", text).replace("{,}", ",").replace("{:}", ":")
    text = _DECORATION.sub("", text)
    text = _COLOUR.sub("", text)
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = text.replace(r"\$", "").replace("$", "")
    text = _DEGREES.sub("", text)
    text = _last_member(text)
    text = _LABEL.sub("", _MOD.sub("", text).strip())
    without_unit = _UNIT.sub("", text).strip()
    text = without_unit if re.search(r"\d|\\pi", without_unit) else text
    text = _unwrapped(text)
    text = re.sub(r"\\sqrt\s*(\d{2,})", r"\\sqrt{\1}", text)
    return re.sub(r"\s+", " ", text).lstrip(" ").rstrip(" .,;\\")


def _last_member(text: str) -> str:
    for exact in re.split(r"\\approx(?![a-zA-Z])|≈", text):
        if exact.strip(" $()"):
            text = exact
            break
    members = re.split(r"(?<![<>!\\])=|\\equiv(?![a-zA-Z])", text)
    return members[-1] if members[-1].strip() and len(top_level_parts(text)) == 1 else text


def _unwrapped(text: str) -> str:
    for _ in range(8):
        before = text
        text = _WRAPPER.sub(r"\1", text).strip()
        if _is_one_group(text):
            text = text[1:-1].strip()
        if text == before:
            break
    return text


def _is_one_group(text: str) -> bool:
    if not (text.startswith("{") and text.endswith("}")):
        return False
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return position == len(text) - 1
    return False


def top_level_parts(text: str) -> list[str]:
    """The text split at commas, semicolons, «or», «and» outside brackets, not at thousands commas."""
    if re.fullmatch(r"\s*-?\d{1,3}(?:,\d{3})+(?:\.\d+)?\s*", text):
        return [text]
    parts, depth, start = [], 0, 0
    for token in re.finditer(
        r"\\[{}]|[{}()\[\],;]|(?:\\text\s*\{\s*)?(?:\b(?:or|and)\b|或者|或|和|、|，)(?:\s*\})?|\\lor\b", text
    ):
        kind = token.group()
        if kind in ("{", "(", "[", r"\{"):
            depth += 1
        elif kind in ("}", ")", "]", r"\}"):
            depth -= 1
        elif depth == 0:
            parts.append(text[start : token.start()])
            start = token.end()
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


_NUMBER = r"(-?(?:\d+(?:\.\d*)?|\.\d+))"
_GROUPED = re.compile(r"-?\d{1,3}(?:[ ,]\d{3})+(?:\.\d+)?")


def exact_number(text: str) -> Fraction | None:
    r"""The rational that a plain number, `a/b`, `\frac{a}{b}`, a mixed number or a percentage denotes."""
    text = text.strip()
    if len(text) > 1_000:
        return None
    percent = re.fullmatch(r"(.*\d\}?)\s*\\?%", text)
    if percent:
        value = exact_number(percent.group(1))
        return None if value is None else value / 100
    if text.startswith("+"):
        text = text[1:].strip()
    if _GROUPED.fullmatch(text):
        text = re.sub(r"[ ,]", "", text)
    text = re.sub(r"^-\s+", "-", text)
    if re.fullmatch(_NUMBER, text):
        return Fraction(text.removesuffix("."))
    if mixed := re.fullmatch(r"(-?)(\d+)\s*\\frac\s*(?:\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}|(\d)(\d))", text):
        sign, whole, *parts = mixed.groups()
        top, bottom = (part for part in parts if part is not None)
        value = _ratio(top, bottom)
        return None if value is None else (int(whole) + value) * (-1 if sign else 1)
    if ratio := re.fullmatch(rf"(-?)\\frac\s*\{{\s*{_NUMBER}\s*\}}\s*\{{\s*{_NUMBER}\s*\}}", text):
        value = _ratio(ratio.group(2), ratio.group(3))
        return value if value is None or not ratio.group(1) else -value
    if ratio := re.fullmatch(rf"{_NUMBER}\s*/\s*{_NUMBER}", text):
        return _ratio(ratio.group(1), ratio.group(2))
    return None


def _ratio(top: str, bottom: str) -> Fraction | None:
    denominator = Fraction(bottom)
    return Fraction(top) / denominator if denominator else None


def joined_answer(text: str) -> Fraction | str:
    """What an answer is counted under in a majority vote: its exact value where it is a plain number, else its normal form.

    Answers that are equal only by algebra stay apart.
    """
    form = normal_form(text)
    value = exact_number(form)
    return "".join(form.split()) if value is None else value
