r"""Boxes of a text: where they are, what is in them, and the formula that a box may be a part of.

Written apart from `answer_text.find_boxes`, which stays as it is: here also `\framebox`, `\boxed 42`, a lost backslash,
box tags of a chat template, and a box that lacks its last brace inside a closed formula.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from benchmarks.strict import phrases


class Box(NamedTuple):
    """Content of one box and where its command starts and ends in the text."""

    content: str
    start: int
    end: int


_TAGGED = re.compile(r"<\|begin_of_box\|>([^<]{0,2000})<\|end_of_box\|>")
_COMMAND = r"(?:boxed|fbox|framebox|bbox)(?![a-zA-Z])"
_TOKEN = re.compile(rf"\\{_COMMAND}(?:\[[^\[\]{{}}\n]{{0,60}}\]){{0,2}}\s*(?P<brace>\{{)?|\\.|[{{}}]", re.DOTALL)
_BARE = re.compile(
    r"[-−]?\\?\$?\d+(?:[.,]\d+)*(?:/\d+)?(?:\\?%)?|-?\\[dt]?frac\s*(?:\{[^{}]{1,50}\}\s*\{[^{}]{1,50}\}|\d\d)"
    r"|\\(?:text|mathrm|textbf|mathbf)\{[^{}]{1,50}\}|[A-J](?=\s*(?:[$.)\\]|$))|\((?:-?[\d.,/]{1,30}|[A-J])\)"
)
_EMPTY = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|phantom|hspace|displaystyle|quad|qquad|ldots?|[,;:! ])(?![a-zA-Z])|[\s${}*_.,~]")


_HOLE = "\ue002"
_DOUBLED = re.compile(rf"(?<!\\)\\\\(?={_COMMAND})")
_WITHOUT_BACKSLASH = re.compile(r"(?<![\\a-zA-Z])boxed(?=\{)")
_MARKS = re.compile(r"\\text|[{}$]")
_PERCENT_BEHIND = re.compile(r"\s*\\?%")
_DIGIT_AT_END = re.compile(r"\d\s*$")
_MINUEND = re.compile(r"[\w)}]\s*[-−–]\s*\{?\s*$")
_MINUEND_PLAIN = re.compile(r"[\w)}][-−–]$")
_EQUALS_SOMETHING = re.compile(r"\s*=(?!=)\s*\S")
_LETTER, _DIGIT = re.compile(r"[a-zA-Z]"), re.compile(r"\d")
_EQUALS = re.compile(r"(?<![<>!\\])=")


def repaired(text: str) -> str:
    r"""The text with `\x08oxed`, `\\boxed` and `boxed{` as `\boxed`, and tags of a box as a box."""
    text = text.replace("\x08oxed", "\\boxed").replace("\x0crac", "\\frac")
    text = _DOUBLED.sub(r"\\", text)
    text = _WITHOUT_BACKSLASH.sub(r"\\boxed", text)
    return _TAGGED.sub(r"\\boxed{\1}", text)


def is_placeholder(content: str) -> bool:
    r"""Is a box empty or filled with nothing but `\text{}`, dots, or «your answer»?"""
    if len(content) > 200:
        return False
    bare = _EMPTY.sub("", content)
    return not bare or phrases.PLACEHOLDER.fullmatch(_MARKS.sub("", content).strip()) is not None


def without_boxes(text: str, boxes: list[Box]) -> str:
    """The text without these boxes and the mathematics around them."""
    starts, ends = [box.start for box in boxes], [box.end for box in boxes]
    without = _HOLE.join(text[a:b] for a, b in zip([0, *ends], [*starts, len(text)], strict=True))
    return re.sub(rf"(?:\$\$?|\\[(\[])[ \n]?{_HOLE}[ \n]?(?:\$\$?|\\[)\]])|{_HOLE}", " ", without)


def closed_boxes(text: str) -> tuple[list[Box], bool]:
    """Outermost boxes that are closed, and whether the text breaks off inside a later one."""
    found_at: list[tuple[int, int, int, int]] = []  # start of the box, start and end of its content, end of the box
    open_braces: list[tuple[int, int] | None] = []
    for token in _TOKEN.finditer(text):
        found = token.group()
        if found == "{":
            open_braces.append(None)
        elif found == "}":
            box = open_braces.pop() if open_braces else None
            if box is not None:
                while found_at and found_at[-1][0] > box[0]:
                    found_at.pop()
                found_at.append((*box, token.start(), token.end()))
        elif token["brace"]:
            open_braces.append((token.start(), token.end()))
        elif len(found) > 2 and "\n" not in found and (bare := _BARE.match(text, token.end(), token.end() + 120)):
            found_at.append((token.start(), *bare.span(), bare.end()))
    boxes = [Box(_content(text[inside:close]), start, end) for start, inside, close, end in found_at]
    last_end = boxes[-1].end if boxes else 0
    unclosed = [box for box in open_braces if box is not None and box[0] >= last_end]
    if not unclosed:
        return boxes, False
    start, inside = unclosed[0]
    closing = re.compile(r"\$|\\\)|\\\]|\n\s*\n").search(text, inside)
    if closing is None:
        return boxes, True
    content = text[inside : closing.start()].strip(" .")
    if content.endswith("\\}") and "\\{" not in content:  # \boxed{185\}
        content = content[:-2]
    if content.count("{") == content.count("}") and len(unclosed) == 1 and not closing.group().isspace():
        boxes.append(Box(content, start, closing.start()))
    return boxes, False


def _content(content: str) -> str:
    r"""A box's content without boxes in it and without doubled backslashes before commands."""
    if "box" in content and (without := re.sub(rf"\\{_COMMAND}\s*(?=\{{)", "", content)) != content:
        inner = re.fullmatch(r"\s*\{([^{}]*)\}\s*", without)
        content = inner.group(1) if inner else without
    if r"\\" in content and not re.search(r"(?<!\\)\\[a-zA-Z]", content):
        content = re.sub(r"\\\\(?=[a-zA-Z])", r"\\", content)
    return content


_BOUND = re.compile(
    r"\$|\\[()\[\]]|\\\\|&|\n\s*\n|\\(?:begin|end)\s*\{[^{}]*\}|\\text\s*\{[^{}]*\}|\\(?:Rightarrow|implies|therefore|quad|qquad"
    r"|Longrightarrow)(?![a-zA-Z])",
)
_SIGN = re.compile(r"(?:^|[=<>(\[{,:≈\s]|\\(?:approx|leq?|geq?|in|to|equiv|left[(\[]?)\s*)[-−–]\s*\{?\s*$")
_LEFT = re.compile(
    r"(?:[-−–+*/^_×·÷±√∉∖]|\\(?:notin|setminus|not\s*\\in)(?![a-zA-Z])|\\(?:cdot|times|div|pm|mp|ast|pi|sqrt|log|ln|sin|cos"
    r"|tan)(?![a-zA-Z])|(?:\\[dt]?frac|\\sqrt|\\binom"
    r"|[\^_])\s*(?:\[\w+\]|\{[^{}]*\})?\s*\{"
    r"|\d|(?<![\\a-zA-Z])[a-zA-Z])(?:\s|\\[,;! ])*$"
)
_RIGHT = re.compile(
    r"(?:\s|\\[,;! ])*(?:\^(?!\s*\{?\s*\\circ)|[-−–+*/_×·÷!±]|\\(?:cdot|times|div|pm|mp|pi|sqrt|[dt]?frac)(?![a-zA-Z])|\d"
    r"|[abcdefijknopqrtuvwxyz](?![a-zA-Z])|\((?=[^()=]{0,10}[a-z])(?=[^()=]{0,20}[-+])[^()=a-z]{0,8}[a-z][^()=a-zA-Z]{0,12}\))"
)
_LEFT_PLAIN = re.compile(r"[\d)}](?:\s*(?:[*/^+×·÷]|\\cdot|\\times)|\s*[-−]|\s+[-−])\s*$")
_RIGHT_PLAIN = re.compile(r"\s?(?:\^(?!\s*\{?\s*\\circ)|[*/+×·÷](?!\*)|\\cdot|\\times|!(?=\s*[=+*]))\s*[\d(\\a-z=]")


_BRACKETED_LEFT = re.compile(r"(?:\\left\s*)?\(\s*$")
_BRACKETED_RIGHT = re.compile(r"\s*(?:\\right\s*)?\)(?P<power>\s*\^)?")
_ANOTHER_VALUE = re.compile(r"\s*=\s*(?:-?\d+(?:\.\d+)?|[a-z]\s*[-+]\s*\d+)\s*$")
_LESS_OR_MORE = r"(?:\\(?:leq?|geq?|lt|gt|leqslant|geqslant|lesssim|gtrsim|ll|gg)(?![a-zA-Z])|[≤≥≪≫])"
_SPACES = r"(?:[\s~&{]|\\[,;! ])*"
_BOUNDED_LEFT = re.compile(rf"(?:{_LESS_OR_MORE}|(?<![-=<>|])[<>]=?){_SPACES}$")
_BOUNDED_LEFT_PLAIN = re.compile(r"(?:[≤≥]|(?<![<=-])[<>]=|[\w)}]\s+[<>]|[\w)}]<)\s*$")
_BOUNDED_RIGHT = re.compile(rf"{_SPACES}(?:{_LESS_OR_MORE}|[<>](?![=>])){_SPACES}[a-zA-Z|\\](?!mbox)")


def _bounded(left: str, right: str, inside: bool) -> str | None:
    r"""The side of an inequality that a box is (`N\ge[box]`), as a formula."""
    if (_BOUNDED_LEFT if inside else _BOUNDED_LEFT_PLAIN).search(left):
        return left
    return "" if inside and "=" not in left and _BOUNDED_RIGHT.match(right) else None


def formula_around(text: str, box: Box) -> str:
    r"""The box's content, or the whole formula when an operator joins the box to something (`2\cdot[box]`).

    In an equation (`2\cdot[box] = 10`) the box holds what is asked for.
    """
    left, right = _left_side(text, box), _right_side(text, box)
    inside = inside_formula(text, box)
    content = box.content
    if (bound := _bounded(left, right, inside)) is not None:
        return f"{bound if inside else _plain_tail(bound)}({content}){'' if bound else right}".strip()
    if _PERCENT_BEHIND.match(right) and _DIGIT_AT_END.search(content):
        content = f"{content.strip()}\\%"
    before, behind = (_LEFT, _RIGHT) if inside else (_LEFT_PLAIN, _RIGHT_PLAIN)
    subtracts = (_MINUEND if inside else _MINUEND_PLAIN).search(left)
    signed = _SIGN.search(left) and (inside or left.endswith(("-", "−", "–"))) and not subtracts
    if signed and not behind.match(right):
        return f"-({content})"
    if inside and not left.strip(" $") and _ANOTHER_VALUE.match(right):
        return f"{content}{right}"
    joined = before.search(left) or behind.match(right)
    bracketed = _BRACKETED_LEFT.search(left) and _BRACKETED_RIGHT.match(right) if inside else None
    if bracketed and (bracketed["power"] or before.search(_BRACKETED_LEFT.sub("", left))):
        return f"{left}{content}{right}"
    names_something = _EQUALS_SOMETHING.match(right) and _LETTER.search(content) and not _DIGIT.search(content)
    if not names_something and (not joined or (inside and _EQUALS.search(right))):
        return content
    if not inside:
        left = _plain_tail(left)
        right = _plain_head(right)
    return _content(f"{left}({box.content}){right}".strip() if joined else f"{left}{box.content}{right}".strip())


_COEFFICIENT_OF = re.compile(
    r"\s*(?:(?:[a-z](?![a-zA-Z])(?:\^(?:\w|\{\w\}))?)+\s*(?:$|[.,]|\\end)|\\[dt]?frac\s*\{\s*(?:\\(?:text|mathrm)|$))"
)


def is_coefficient(text: str, box: Box) -> bool:
    r"""Is a box at the end of a chain a factor of symbols or units (`= \boxed{37}x^3`)?"""
    ends_chain = _left_side(text, box).rstrip(" &").endswith("=")
    return ends_chain and inside_formula(text, box) and _COEFFICIENT_OF.match(_right_side(text, box)) is not None


def _left_side(text: str, box: Box) -> str:
    left = text[max(0, box.start - 200) : box.start]
    ends = [bound.end() for bound in _BOUND.finditer(left)]
    return left[ends[-1] :] if ends else left.rpartition("\n")[2] if "\n\n" in left else left


def _right_side(text: str, box: Box) -> str:
    right = text[box.end : box.end + 200]
    bound = _BOUND.search(right)
    return right[: bound.start()] if bound else right.partition("\n\n")[0]


_MATH_EDGE = re.compile(
    r"\$\$|(?<!\\)\$|\\[()\[\]]"
    r"|\\(?:begin|end)\{(?:aligned|align\*?|equation\*?|gather\*?|array|cases)\}"
)


def inside_formula(text: str, box: Box) -> bool:
    """Does the box stand in mathematics?  Judged by the delimiters of its paragraph."""
    start = max(text.rfind("\n\n", max(0, box.start - 2_000), box.start), box.start - 2_000, 0)
    opened = None
    for token in _MATH_EDGE.finditer(text, start, box.start):
        sign = token.group()
        if sign in (r"\)", r"\]") or sign.startswith(r"\end") or sign == opened:
            opened = None
        elif opened is None:
            opened = sign
    return opened is not None


def after_formula(text: str, box: Box) -> str:
    """The text behind a box, without the delimiter that ends the formula around it: the next one opens another formula."""
    behind = text[box.end :]
    edge = _MATH_EDGE.search(behind) if inside_formula(text, box) else None
    return behind if edge is None else behind[: edge.start()] + " " + behind[edge.end() :]


def _plain_tail(left: str) -> str:
    pieces = re.split(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}\b|[:,;]\s|\n", left)
    return pieces[-1].lstrip(" .*")


def _plain_head(right: str) -> str:
    return re.split(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}|[:,;.]\s|\n|\.$", right)[0].rstrip(" *")
