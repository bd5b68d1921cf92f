"""Every gold that the project ships, and every one in the shared data: right in other spellings, wrong when its value is changed.

The spellings and the changes are made from the gold's text by the rules below, none of which the judge uses.  `plain_latex` says whether
a change is one in value; a change that is none, or that it cannot read, is left out and counted.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from answer_draws import other_digit
from mpmath import mp
from plain_latex import cleaned, values

from benchmarks.answer_keys import KEYED, load_key
from benchmarks.strict.compare import read_gold
from benchmarks.strict.judge import judge_strict

FEWEST_SPELLINGS = 3
MOST_DIGITS = 3
"""Digits of a gold that are changed, one at a time."""
MOST_DECIMALS = 1_500
"""Precision with which two values are compared that are the same to 30 decimals."""
SKIPPED = 0.01
"""Largest share of changes that may be left out because they cannot be read or do not change the value."""


def shipped_golds() -> list[str]:
    return sorted({entry.answer for name in KEYED for entry in load_key(name).problems})


def shared_golds(data: Path) -> list[str]:
    """The golds of all files of mathematics in the shared data, and of the hand-made cases."""
    found = set()
    mathematical = re.compile(r"aime|HMMT|math|traces")
    for file in [*sorted(data.glob("*.jsonl")), *sorted((data.parent / "cases").glob("math*.jsonl"))]:
        if not mathematical.match(file.name):
            continue
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            meta = row["meta"] if isinstance(row.get("meta"), dict) else {}
            texts = [row.get("answer", row.get("expected_answer", row.get("gt"))), row.get("gold"), meta.get("solution")]
            found |= {str(text) for text in texts if text is not None}
    return sorted(found)


# --- what a gold is, by its text


UNIT = re.compile(r"(?<=[\d}!])\s*(\^\\circ|\\(?:text|mbox)\{\s*[a-z ]+\}(?:\^\d)?)$")
SYMBOLIC = re.compile(r"[a-zA-Z]|\\(?:pi|theta|sqrt|ln|infty|binom|lfloor)")
PLAIN_COMMANDS = re.compile(r"\\(?:frac|cdot|overline)")
RELATION = re.compile(r"[<>]|\\(?:leq?|geq?|neq?)(?![a-z])")


def without_unit(gold: str) -> tuple[str, str]:
    """Value and unit of a gold."""
    found = UNIT.search(gold)
    return (gold[: found.start()], found[1]) if found else (gold, "")


def kind_of(gold: str) -> str:
    """The type of a gold, by simple rules on its text."""
    if re.fullmatch(r"\\text\{\(?[A-J]\)?\}|[A-J]", gold):
        return "choice"
    if re.fullmatch(r"\\text\{.*\}|\d?\d:(?:\d0|.*[ap]\.?m?\.*)", gold):
        return "text"
    if r"\begin" in gold:
        return "matrix"
    if re.fullmatch(r"\d+_\{?\d+\}?", gold):
        return "base-n number"
    if gold.startswith(r"\$"):
        return "money"
    if gold.endswith("%"):
        return "percent"
    text = cleaned(gold)
    if is_interval(text):
        return "interval"
    if is_tuple(text):
        return "tuple"
    if r"\pm" in text or len(split(text, ",;")) > 1 or text.startswith(r"\{"):
        return "list"
    return single_kind(text)


def is_interval(text: str) -> bool:
    bracketed = re.fullmatch(r"([(\[])(.*)([)\]])", text)
    if bracketed and len(split(bracketed[2], ",")) == 2 and (bracketed[1] + bracketed[3] != "()" or r"\infty" in text):
        return True
    return r"\cup" in text or RELATION.search(text) is not None or text.startswith((r"\mathbb", r"x \in ["))


def is_tuple(text: str) -> bool:
    found = re.fullmatch(r"(?:[A-Z]\s*=\s*)?(?:\((.*)\)|\\langle(.*)\\rangle)", text)
    return found is not None and len(split(text, ",")) == (2 if found[2] else 1) and len(split(found[1] or found[2], ",")) > 1


def single_kind(text: str) -> str:
    """The type of a gold that is one thing, cleaned."""
    left, equals, right = text.partition("=")
    if equals and re.fullmatch(r"\s*[a-zA-Z]\s*", right):
        left, right = right, left
    if equals and re.fullmatch(r"\s*[a-zA-Z]\s*", left) and not SYMBOLIC.search(right):
        return single_kind(right.strip())  # x = 5
    if equals:
        return "equation"
    value = without_unit(text)[0]
    if re.match(r"\(\d+\+\\frac", value) and ".\\overline" not in text and not re.match(r"\(0\+", value):
        return "mixed number"
    bracketed = ":" in value  # 7:32
    if bracketed or re.search(r"\^\{[^}]*/", value) or SYMBOLIC.search(PLAIN_COMMANDS.sub("", value)):
        return "expression"
    if re.fullmatch(r"-?\d*\.\d+", value):
        return "decimal"
    return "integer" if mp.isint(values(value)[0]) else "rational"


def split(text: str, separators: str) -> list[str]:
    """The parts between separators outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter in separators and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def members(gold: str) -> list[str]:
    """The members of a list or tuple, without labels and enclosing brackets."""
    text = cleaned(gold).replace(r"\langle", "(").replace(r"\rangle", ")").replace(r"\{", "(").replace(r"\}", ")")
    text = re.sub(r"^[A-Za-z]\s*=\s*(?=[^=]*$)", "", text)
    if len(split(text, ",;")) == 1 and text.startswith("("):
        text = text[1:-1]
    return split(text, ",;")


def entries(gold: str) -> tuple[str, list[list[str]]]:
    """The factor of a matrix and its rows."""
    found = re.fullmatch(r"(.*)\\begin\{.matrix\}(.*)\\end\{.matrix\}", gold, re.DOTALL)
    assert found, gold
    return found[1].strip(), [[cell.strip() for cell in row.split("&")] for row in found[2].split(r"\\")]


ROW, OR, THIN, GEQ = r" \\ ", r" \text{ or } ", r",\,", r"\geq"
Piece = tuple[str, str, str, str]


def pieces(gold: str) -> list[Piece]:
    """Bounds and brackets of a set of numbers."""
    text = re.sub(r"^\\\{\s*[a-z]\s*(?:\||:|\\mid)\s*(.*)\\\}$", r"\1", cleaned(gold))
    text = re.sub(r"^[a-z]\s*\\in\s*", "", text)
    if text == r"\mathbb{R}":
        return [("-\\infty", "\\infty", "(", ")")]
    if not RELATION.search(text):
        found = [re.fullmatch(r"([(\[])(.*)([)\]])", part.strip()) for part in text.split(r"\cup")]
        halves = [(piece, split(piece[2], ",")) for piece in found if piece]
        return [(low, high, piece[1], piece[3]) for piece, (low, high) in halves]
    text = re.sub(r"\\leq?(?![a-z])|<=", "≤", re.sub(r"\\geq?(?![a-z])|>=", "≥", re.sub(r"\\neq?(?![a-z])", "≠", text)))
    parts = [part.strip() for part in re.split(r"([<>≤≥≠])", text)]
    if parts[-1].isalpha() or parts[1] in ">≥" and len(parts) == 5:
        parts = [part.translate(str.maketrans("<>≤≥", "><≥≤")) for part in reversed(parts)]
    if len(parts) == 5:
        return [(parts[0], parts[4], "([" [parts[1] == "≤"], ")]"[parts[3] == "≤"])]
    bound, sign = parts[2], parts[1]
    below, above = ("-\\infty", bound, "(", ")]"[sign == "≤"]), (bound, "\\infty", "(["[sign == "≥"], ")")
    return [below, above] if sign == "≠" else [below] if sign in "<≤" else [above]


# --- other spellings


def in_any_type(gold: str) -> Iterator[str]:
    """What leaves the formula alone."""
    yield rf"\displaystyle {gold}"
    yield rf"{{\color{{blue}} {gold}}}"
    yield rf"\boxed{{{gold}}}"
    yield re.sub(r"(?<=[,=+])(?!\\!)(?=[^}]*$)", r"\\;", gold)
    yield gold.replace("-", "−")


UNIT_SPELLINGS = {
    r"^\circ": ["", r"\text{ degrees}", "°", r"^{\circ}"], "inches^2": ["", r"\text{ in}^2", r"\text{ square inches}"],
    "cm^2": ["", r"\text{ square centimeters}", r"\,\mathrm{cm}^2"], "square units": ["", r"\text{ units}^2", r"\text{ sq. units}"],
    "degrees": ["", r"^\circ", "°"], "cents": ["", r"\text{ cent}", r"\text{¢}"],
}  # fmt: skip
OTHER_UNITS = {
    r"^\circ": [r"\text{ radians}", r"\text{ cm}"], "inches^2": [r"\text{ inches}", r"\text{ inches}^3", r"\text{ cm}^2"],
    "cm^2": [r"\text{ cm}", r"\text{ m}^2", r"\text{ cm}^3"], "square units": [r"\text{ units}", r"\text{ cubic units}"],
    "degrees": [r"\text{ radians}", r"\text{ cm}"], "cents": [r"\text{ dollars}", r"\text{ euros}"],
}  # fmt: skip


def unit_name(unit: str) -> str:
    return re.sub(r"\\(?:text|mbox)\{\s*|\}", "", unit)


def of_a_value(gold: str) -> Iterator[str]:
    """Other ways to write a number or an expression."""
    value, unit = without_unit(gold)
    for other in UNIT_SPELLINGS[unit_name(unit)] if unit else []:
        yield value + other
    name, equals, right = value.partition("=")
    if equals:  # x = 5
        name, value = (name, right) if name.strip().isalpha() else (right, name)
        yield value
        yield rf"\text{{The value is }} {value}"
    text = cleaned(value)
    if not equals and not SYMBOLIC.search(PLAIN_COMMANDS.sub("", text)):
        yield rf"N = {value}{unit}"
    if re.fullmatch(r"-?\d+", text):
        yield from of_an_integer(int(text))
    elif found := re.fullmatch(r"(-?)\\frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))", text):
        yield from of_a_fraction(found[1], int(found[2] or found[3]), int(found[4] or found[5]))
    elif found := re.fullmatch(r"(\d*)\.(\d+)", text):
        yield from of_a_decimal(found[1], found[2])
    elif found := re.fullmatch(r"\((\d+)\+\\frac\{(\d+)\}\{(\d+)\}\)", text):
        yield from of_a_mixed_number(*map(int, found.groups()))
    elif found := re.fullmatch(r"(\d+):(\d+)", text):
        yield from of_a_ratio(int(found[1]), int(found[2]))
    else:
        yield from of_an_expression(value)


def of_an_integer(value: int) -> Iterator[str]:
    yield f"{value - 7} + 7"
    yield rf"\frac{{{3 * value}}}{{3}}"
    yield f"{value}.0"
    yield rf"\left({value}\right)"
    yield rf"-\left({-value}\right)" if value < 0 else rf"\mathbf{{{value}}}"
    if 3 < len(str(abs(value))) < 40:
        yield from (f"{value:,}", f"{value:,}".replace(",", "{,}"), f"{value:,}".replace(",", r"\,"))


def of_a_fraction(sign: str, top: int, bottom: int) -> Iterator[str]:
    yield rf"{sign}\frac{{{3 * top}}}{{{3 * bottom}}}"
    yield f"{sign}{top}/{bottom}"
    yield rf"{{{sign}{top} \over {bottom}}}"
    yield rf"\dfrac{{{sign}{top}}}{{{bottom}}}"
    yield rf"{sign}{top} \div {bottom}"
    yield rf"{sign}\frac{{1}}{{{bottom}}} \cdot {top}"
    if sign:
        yield rf"\frac{{{top}}}{{-{bottom}}}"
    if not sign and top > bottom:
        yield rf"{top // bottom} \frac{{{top % bottom}}}{{{bottom}}}"


def of_a_decimal(whole: str, digits: str) -> Iterator[str]:
    yield f"{whole}.{digits}00"
    yield f"{whole or 0}.{digits}" if not whole or int(whole) else f".{digits}"
    yield rf"\frac{{{int(whole + digits)}}}{{{10 ** len(digits)}}}"
    yield rf"{int(whole + digits)} \cdot 10^{{-{len(digits)}}}"


def of_a_mixed_number(whole: int, top: int, bottom: int) -> Iterator[str]:
    yield rf"\frac{{{whole * bottom + top}}}{{{bottom}}}"
    yield rf"{whole} + \frac{{{top}}}{{{bottom}}}"
    yield f"{whole} {top}/{bottom}"
    yield rf"{whole}\,\tfrac{{{2 * top}}}{{{2 * bottom}}}"


def of_a_ratio(top: int, bottom: int) -> Iterator[str]:
    yield f"{top} : {bottom}"
    yield rf"\frac{{{top}}}{{{bottom}}}"
    yield f"{top}/{bottom}"
    yield f"{2 * top}:{2 * bottom}"


def of_an_expression(value: str) -> Iterator[str]:
    yield rf"\left({value}\right)"
    if r"\infty" not in value:
        yield rf"\frac{{2\left({value}\right)}}{{2}}"
        yield rf"-\left(-\left({value}\right)\right)"
        yield rf"{value} + 0"
    for pattern, form in EXPRESSION_RULES:
        changed = re.sub(pattern, form, value)
        if changed != value:
            yield changed
    text = cleaned(value)
    terms = re.findall(r"[+-]?(?:[^+\-({]|\([^()]*\)|\{(?:[^{}]|\{[^{}]*\})*\})+", text)
    if len(terms) > 1 and "".join(terms) == text and not text.startswith("-"):
        yield "".join([*(terms[1:] if not terms[1].startswith("+") else [terms[1][1:], *terms[2:]]), "+" + terms[0]])


EXPRESSION_RULES = [
    (r"\\sqrt\s*(?:\{(\d+)\}|(\d))", r"{(\1\2)}^{1/2}"),
    (r"\\sqrt\s*(?:\{(\d+)\}|(\d))", r"√(\1\2)"), (r"\\pi", "π "), (r"\\frac", r"\\dfrac"),
    (r"\\frac\{([^{}]*)\}\{([^{}]*)\}(?!.*\})", r"\\left((\1)/(\2)\\right)"), (r"([a-z])\^2(?!\d)", r"\1²"), (r"\\cdot", r"\\times"),
]  # fmt: skip


def of_a_list(gold: str) -> Iterator[str]:
    found = members(gold)
    inside = [part for member in found for part in both_signs(member)]
    label = re.match(r"[a-z](?=\s*=[^=]*$)", gold)
    name = label[0] if label else "x"
    if any("=" in part for part in found):
        yield from of_labelled_members(gold)
    elif r"\ldots" in gold:
        yield rf"\{{{', '.join(found)}\}}"
        yield gold.replace(r"\ldots", r"\dots")
        yield gold.replace(r"\ldots", r"\cdots")
        yield gold.replace(" ", "")
    else:
        yield ", ".join(reversed(inside))
        yield rf"\{{{', '.join(inside)}\}}"
        yield ", ".join(inside[:-1]) + rf" \text{{ and }} {inside[-1]}"
        yield rf"\left\{{{THIN.join(inside[1:] + inside[:1])}\right\}}"
        if not any("," in part for part in inside):
            yield OR.join(f"{name} = {part}" for part in inside)
            yield rf"{name} \in \{{{', '.join(inside)}\}}"


def both_signs(member: str) -> list[str]:
    return [member.replace(r"\pm", sign).removeprefix("+").strip() for sign in "+-"] if r"\pm" in member else [member]


def of_labelled_members(gold: str) -> Iterator[str]:
    groups = split(gold, ";") if ";" in gold else split(gold, ",")
    yield (";" if ";" in gold else ", ").join(reversed(groups))
    yield OR.join(groups) if ";" in gold else r" \text{ and } ".join(groups)
    solutions = [split(group, ",") for group in split(gold, ";")]
    names = [split(part, "=")[0] for part in solutions[0]]
    tuples = [", ".join(split(part, "=")[1] for part in solution) for solution in solutions]
    yield f"({','.join(names)}) = " + ", ".join(f"({found})" for found in tuples)


def of_a_tuple(gold: str) -> Iterator[str]:
    name, equals, rest = gold.partition("=")  # D = (0, 1)
    found = members(rest or name)
    letters = "xyzt"[: len(found)]
    yield rf"\bigl( {' , '.join(found)} \bigr)"
    yield rf"\begin{{pmatrix}} {ROW.join(found)} \end{{pmatrix}}"
    yield rf"\langle {', '.join(found)} \rangle"
    if not equals:
        yield f"({','.join(letters)}) = ({', '.join(found)})"
        yield ", ".join(f"{letter} = {member}" for letter, member in zip(letters, found, strict=True))


def of_an_interval(gold: str) -> Iterator[str]:
    found = pieces(gold)
    yield r"\cup ".join(rf"\left{opening}{low}, {high}\right{closing}" for low, high, opening, closing in reversed(found))
    yield r"x \in " + r" \cup ".join(f"{opening}{low}, \\; {high}{closing}" for low, high, opening, closing in found)
    yield "∪".join(f"{opening}{low},{high}{closing}" for low, high, opening, closing in found)
    if gold != r"\mathbb{R}":
        yield OR.join(map(inequality, found))
        yield rf"\{{x \mid {OR.join(map(inequality, found))}\}}"


def inequality(piece: Piece) -> str:
    low, high, opening, closing = piece
    below, above = {"(": " < ", "[": r" \le "}[opening], {")": " < ", "]": r" \leqslant "}[closing]
    if "infty" in low:
        return f"x{above}{high}"
    return f"x {'>' if opening == '(' else GEQ} {low}" if "infty" in high else f"{low}{below}x{above}{high}"


def of_an_equation(gold: str) -> Iterator[str]:
    left, right = (side.strip() for side in gold.split("="))
    yield f"{right} = {left}"
    yield f"2\\left({left}\\right) = 2\\left({right}\\right)"
    yield rf"{left} - \left({right}\right) = 0"
    yield f"0 = {right} - ({left})"


def of_a_matrix(gold: str) -> Iterator[str]:
    factor, rows = entries(gold)
    body = ROW.join(" & ".join(row) for row in rows)
    yield rf"{factor}\begin{{bmatrix}} {body} \end{{bmatrix}}"
    yield rf"{factor}\left( \begin{{array}}{{{'c' * len(rows[0])}}} {body} \end{{array}} \right)"
    tripled = ROW.join(" & ".join(f"3({cell})" for cell in row) for row in rows)
    yield rf"\frac{{1}}{{3}}{factor}\begin{{pmatrix}} {tripled} \end{{pmatrix}}"
    multiplied = [[rf"{factor} \cdot ({cell})" if factor else f"{cell}+0" for cell in row] for row in rows]
    yield rf"\begin{{pmatrix}} {ROW.join(' & '.join(row) for row in multiplied)} \end{{pmatrix}}"


def of_a_base_number(gold: str) -> Iterator[str]:
    digits, base = gold.replace("{", "").replace("}", "").split("_")
    yield f"{digits}_{{{base}}}"
    yield digits
    yield f"{digits}_{{({base})}}"
    yield rf"{digits} \text{{ base }} {base}"
    yield f"({digits})_{{{base}}}"


def of_a_percentage(gold: str) -> Iterator[str]:
    number = gold.removesuffix(r"\%")
    yield number
    yield rf"\frac{{{number}}}{{100}}"
    yield rf"{number} \text{{ percent}}"
    yield f"{int(number) / 100}"
    yield rf"{number}.0\%"


def of_money(gold: str) -> Iterator[str]:
    number = cleaned(gold.removeprefix(r"\$"))
    yield number
    yield rf"{number} \text{{ dollars}}"
    yield rf"\text{{\${number}}}"
    yield rf"\${number}.00" if "." not in number else rf"\${number.rstrip('0')}"
    yield f"\\${float(number):,.2f}"


def of_a_choice(gold: str) -> Iterator[str]:
    letter = re.sub(r"\\text|[{}()]", "", gold)
    yield from (letter, f"({letter})", rf"\textbf{{({letter})}}", rf"\mathrm{{{letter}}}", rf"\text{{{letter}}}", f"{letter}.")


def of_a_text(gold: str) -> Iterator[str]:
    word = re.sub(r"\\text\{(.*)\}", r"\1", gold)
    yield word
    yield rf"\textbf{{{word}}}"
    yield rf"\mathrm{{{word.replace(' ', '~')}}}"
    yield rf"\text{{{word.upper()}}}"
    yield rf"\text{{The answer is {word}}}"


SPELLINGS: dict[str, Callable[[str], Iterator[str]]] = {
    "integer": of_a_value, "rational": of_a_value, "decimal": of_a_value, "mixed number": of_a_value, "expression": of_a_value,
    "percent": of_a_percentage, "money": of_money, "base-n number": of_a_base_number, "tuple": of_a_tuple, "list": of_a_list,
    "interval": of_an_interval, "equation": of_an_equation, "matrix": of_a_matrix, "choice": of_a_choice, "text": of_a_text,
}  # fmt: skip


def spellings(gold: str, kind: str) -> list[str]:
    """Different spellings of a gold, none of them its own text; those made for its type come first."""
    found = list(SPELLINGS[kind](gold))
    if kind not in ("choice", "text"):
        found += in_any_type(gold)
    return [text for text in dict.fromkeys(found) if text != gold]


# --- changes of the value


def meaning(text: str, kind: str) -> Any:
    """Something that two texts of a type share if they are the same answer.  Raises ValueError if the text cannot be read."""
    if kind in ("choice", "text", "base-n number"):
        return text
    if kind in ("percent", "money"):
        return rounded(values(cleaned(text.replace(r"\%", "").replace(r"\$", ""))))
    if kind == "list":
        parts = [part for member in members(text) for part in both_signs(member)]
        return sorted(repr(meaning(part, kind_of(part)) if r"\ldots" not in part else part) for part in parts)
    if kind == "tuple":
        return [rounded(values(member)) for member in members(text.partition("=")[2] or text)]
    if kind == "interval":
        return sorted((*map(str, rounded(values(low) + values(high))), opening, closing) for low, high, opening, closing in pieces(text))
    if kind == "matrix":
        factor, rows = entries(text)
        return [[rounded(values(f"({factor or 1})({cell})")) for cell in row] for row in rows]
    left, equals, right = cleaned(text).partition("=")
    if kind == "equation":
        difference = [a - b for a, b in zip(values(left), values(right), strict=True)]
        return rounded([value / difference[0] for value in difference])
    if equals:
        left = right if left.strip().isalpha() else left
    return rounded(values(without_unit(left or text)[0] if equals else cleaned(without_unit(text)[0])))


def same_meaning(text: str, other: str, kind: str) -> bool:
    """Are two texts the same answer?  Looks at many decimals if they agree to 30.  Raises ValueError."""
    if meaning(text, kind) != meaning(other, kind):
        return False
    with mp.workdps(MOST_DECIMALS):
        return bool(meaning(text, kind) == meaning(other, kind))


def rounded(found: list[Any]) -> list[str]:
    return [mp.nstr(value, mp.dps - 20) for value in found]


def changes(gold: str, kind: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """What is changed, and the changed gold."""
    if kind == "choice":
        letter = re.sub(r"\\text|[{}()]", "", gold)
        yield from (("another letter", gold.replace(letter, other)) for other in "ABCDE" if other != letter)
        return
    if kind == "text":
        yield from text_changes(gold, rng)
        return
    yield from digit_changes(gold, rng)
    by_kind = {"tuple": tuple_changes, "list": list_changes, "interval": interval_changes, "matrix": matrix_changes}
    yield from by_kind.get(kind, sign_changes)(gold)
    value, unit = without_unit(gold)
    if unit:
        yield from (("another unit", value + other) for other in OTHER_UNITS[unit_name(unit)])
    if kind == "base-n number":
        digits, base = gold.replace("{", "").replace("}", "").split("_")
        yield "another base", f"{digits}_{{{int(base) + 1}}}"
        yield "another base", f"{int(digits, int(base))}_{{10}}"
    if kind == "money":
        yield "another currency", gold.replace(r"\$", "€")
    if kind == "percent":
        yield "a hundredth", gold.replace(r"\%", "") + r" \cdot 100\%"


def digit_changes(gold: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    body = without_unit(gold.split("_")[0])[0]
    places = [found.span() for found in re.finditer(r"\d+", body)]
    for _ in range(min(MOST_DIGITS, sum(map(str.isdigit, body)))):
        start, end = rng.choice(places)
        yield "a digit", gold[:start] + other_digit(rng, gold[start:end]) + gold[end:]


def sign_changes(gold: str) -> Iterator[tuple[str, str]]:
    if "=" in gold:
        left, right = gold.split("=")
        if right.strip() != "0":
            yield "the sign", f"{left}={negated(right)}" if not SYMBOLIC.fullmatch(right.strip()) else f"{negated(left)}={right}"
        yield from inner_sign_changes(gold)
        return
    if gold == "0":
        return
    money = r"\$" if gold.startswith(r"\$") else ""
    yield "the sign", (f"-{gold}" if money or "_" in gold or "%" in gold else negated(gold))
    yield from inner_sign_changes(gold)


def inner_sign_changes(gold: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"(?<=[\w})]) ?[+-]", gold):
        yield "a sign", gold[: found.end() - 1] + {"+": "-", "-": "+"}[gold[found.end() - 1]] + gold[found.end() :]


def negated(text: str) -> str:
    value, unit = without_unit(text)
    value = value.strip()
    if re.search(r"(?<=[\w})])\s*[+-]", value):
        return rf"-({value}){unit}"
    return (value.removeprefix("-") if value.startswith("-") else f"-{value}") + unit


def tuple_changes(gold: str) -> Iterator[tuple[str, str]]:
    found = members(gold.partition("=")[2] or gold)
    for place in (place for place, member in enumerate(found) if member != "0"):
        yield "a sign", f"({', '.join([*found[:place], negated(found[place]), *found[place + 1 :]])})"
    for place in range(len(found) - 1):
        yield "the order", f"({', '.join([*found[:place], found[place + 1], found[place], *found[place + 2 :]])})"
    yield "a member less", f"({', '.join(found[:-1])})"
    yield "a member more", f"({', '.join([*found, '0'])})"


def list_changes(gold: str) -> Iterator[tuple[str, str]]:
    if "=" in gold and not re.fullmatch(r"[a-z]\s*=[^=]*", gold):
        groups = split(gold, ";" if ";" in gold else ",")
        yield "a member less", groups[0]
        yield "a sign", gold.replace("=", "=-", 1)
        return
    found = [part for member in members(gold) for part in both_signs(member)]
    yield "a member less", ", ".join(found[:-1])
    yield "a member less", ", ".join(found[1:])
    yield "a member more", ", ".join([*found, "77"])
    if not found[0].startswith("("):
        yield "a sign", ", ".join([negated(found[0]), *found[1:]])


def interval_changes(gold: str) -> Iterator[tuple[str, str]]:
    found = pieces(gold)
    for place, (low, high, opening, closing) in enumerate(found):
        others = [("the order", (high, low, opening, closing))]
        others += [("a bound's sign", (negated(low), high, opening, closing))] if low != "0" else []
        others += [("a bound's sign", (low, negated(high), opening, closing))] if high != "0" else []
        if "infty" not in low:
            others.append(("a bracket", (low, high, "[" if opening == "(" else "(", closing)))
        if "infty" not in high:
            others.append(("a bracket", (low, high, opening, "]" if closing == ")" else ")")))
        for name, other in others:
            yield name, printed([*found[:place], other, *found[place + 1 :]])
    if len(found) > 1:
        yield "a piece less", printed(found[1:])
        yield "a piece less", printed(found[:-1])


def printed(found: list[Piece]) -> str:
    return r" \cup ".join(f"{opening}{low}, {high}{closing}" for low, high, opening, closing in found)


def matrix_changes(gold: str) -> Iterator[tuple[str, str]]:
    factor, rows = entries(gold)
    cells = [cell for row in rows for cell in row]
    width = len(rows[0])
    for place in range(len(cells)):
        signed = [*cells[:place], negated(cells[place]), *cells[place + 1 :]]
        swapped = [*cells[1 : place + 1], cells[0], *cells[place + 1 :]]
        for name, changed in (("a sign", signed), ("the order", swapped)):
            if changed == cells or (changed is signed and cells[place] == "0"):
                continue
            body = ROW.join(" & ".join(changed[start : start + width]) for start in range(0, len(cells), width))
            yield name, rf"{factor}\begin{{pmatrix}} {body} \end{{pmatrix}}"


def text_changes(gold: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    if re.search(r"\d", gold):
        yield from digit_changes(gold, rng)
        return
    word = re.sub(r"\\text\{(.*)\}", r"\1", gold)
    yield from (("another word", rf"\text{{{other}}}") for other in ("odd", "west", "parabola", "Evan", "no") if other != word.lower())
    yield "a denial", rf"\text{{not {word}}}"
    yield "an alternative", rf"\text{{{word} or odd}}"


TOKEN = re.compile(r"\\[A-Za-z]+|\d|\S")
REPLACED = {
    "+": ["-", r"\cdot "], "-": ["+", ""], r"\cdot": ["+", "-", "/"], ":": ["+"], "(": ["-("], "^": ["_", ""], "!": [""], "i": ["1", "x"],
    r"\pi": ["3", "e", "x"], r"\frac": [r"\binom"], r"\sqrt": ["", r"\sin", r"\ln"], r"\ln": [r"\sqrt"],
    r"\sin": [r"\cos", r"\tan"], r"\cot": [r"\tan", r"\cos"],
}  # fmt: skip


def one_token_changed(value: str) -> Iterator[str]:
    """A formula with each of its tokens replaced, dropped or negated in turn."""
    for found in TOKEN.finditer(value):
        token, before, after = found[0], value[: found.start()], value[found.end() :]
        if token.isdigit():
            others = [str((int(token) + step) % 10) for step in (1, 5, 9)]
        elif re.fullmatch(r"[a-zA-Z]", token) and token not in "ei":
            others = ["x", "y", "2"]
        else:
            others = REPLACED.get(token, [])
        space = " " if after[:1].isalpha() else ""
        yield from (before + other + space + after for other in others if other != token)
        if token.isdigit() or token in (r"\sqrt", r"\pi", r"\frac"):
            yield f"{before}-{token}{space}{after}"
            yield f"{before}2{token}{space}{after}"


# --- the tests


class Report:
    """What went wrong with a set of golds."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failed: list[tuple[str, ...]] = []


def judged(golds: list[str]) -> Report:
    report = Report()
    for gold in golds:
        kind = kind_of(gold)
        report.counts[f"golds: {kind}"] += 1
        read = read_gold(gold).type
        if read != kind:
            report.failed.append(("type", gold, kind, read))
        if not accepted(gold, gold):
            report.failed.append(("itself", gold))
        check_spellings(report, gold, kind)
        check_changes(report, gold, kind)
    return report


def accepted(answer: str, gold: str) -> bool:
    return judge_strict(f"The answer is \\boxed{{{answer}}}.", gold).reason == "correct"


def check_spellings(report: Report, gold: str, kind: str) -> None:
    found = spellings(gold, kind)
    if len(found) < FEWEST_SPELLINGS:
        report.failed.append(("fewer than three spellings", gold))
    for text in found:
        report.counts["spellings"] += 1
        if not accepted(text, gold):
            report.failed.append(("refused", gold, text))


def check_changes(report: Report, gold: str, kind: str) -> None:
    made = Counter[str]()
    for name, text in dict.fromkeys(changes(gold, kind, random.Random(gold))):
        if name not in CERTAIN and not changes_the_value(report, gold, text, kind):
            continue
        made[name] += 1
        report.counts["changes"] += 1
        if accepted(text, gold):
            report.failed.append(("accepted", gold, name, text))
    if not made:
        report.failed.append(("no change", gold))


CERTAIN = ("another unit", "another currency", "another base", "a bracket", "a member less", "a member more", "a piece less")
"""Changes that need no look at the value."""


def changes_the_value(report: Report, gold: str, text: str, kind: str) -> bool:
    try:
        changed = not same_meaning(text, gold, kind)
    except ValueError:
        report.counts["changes that cannot be read"] += 1
        print("cannot be read:", gold, "→", text)
        return False
    if not changed:
        report.counts["changes that change nothing"] += 1
        print("changes nothing:", gold, "→", text)
    return changed


def check(golds: list[str]) -> None:
    report = judged(golds)
    print(*report.failed, sep="\n")
    print(f"\n{len(golds)} golds: {dict(sorted(report.counts.items()))}")
    assert report.failed == []
    assert report.counts["spellings"] >= FEWEST_SPELLINGS * len(golds)
    assert report.counts["changes that cannot be read"] <= SKIPPED * report.counts["changes"]
    assert report.counts["changes that change nothing"] <= SKIPPED * report.counts["changes"]


def test_every_shipped_gold_is_right_in_other_spellings_and_wrong_when_it_is_changed() -> None:
    golds = shipped_golds()
    assert len(golds) >= 600
    check(golds)


def test_every_shared_gold_is_right_in_other_spellings_and_wrong_when_it_is_changed(data: Path) -> None:
    golds = sorted({*shared_golds(data)} - {*shipped_golds()})
    assert len(golds) >= 150
    check(golds)


def test_the_golds_have_every_type(data: Path) -> None:
    kinds = {kind_of(gold) for gold in [*shipped_golds(), *shared_golds(data)]}
    assert kinds == set(SPELLINGS)


def test_of_golds_with_one_token_changed_only_those_of_equal_value_are_accepted(data: Path) -> None:
    counts: Counter[str] = Counter()
    wrongly = []
    for gold in sorted({*shipped_golds(), *shared_golds(data)}):
        if SPELLINGS[kind_of(gold)] is not of_a_value or len(gold) > 60 or "=" in gold or re.fullmatch(r"\d{1,5}", gold):
            continue
        value, unit = without_unit(gold)
        for text in dict.fromkeys(one_token_changed(value)):
            try:
                equal = same_meaning(text, value, "expression")
            except ValueError:
                counts["cannot be read"] += 1
                continue
            correct = accepted(text + unit, gold)
            counts[f"{'equal' if equal else 'different'}, {'accepted' if correct else 'refused'}"] += 1
            if correct and not equal:
                wrongly.append((gold, text + unit))
    print(f"\n{dict(sorted(counts.items()))}")
    assert wrongly == []
    assert counts["different, refused"] >= 2_000
    assert counts["cannot be read"] < 0.15 * counts.total()
    assert counts["equal, refused"] < 0.02 * counts.total()
