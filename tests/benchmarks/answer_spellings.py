"""Prints answers that are trees as LaTeX, each in many spellings.  Two spellings of a tree denote the same answer."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from answer_trees import Node, Worthless, evaluate, integer, names
from mpmath import mp, mpc

T = TypeVar("T")
UNITS = {
    "cm": (r"\text{ cm}", r"\,\mathrm{cm}", r"\text{ centimeters}", " cm", r"~\text{cm}"),
    "m": (r"\text{ meters}", r"\text{ m}", r"\text{ metres}"),
    "cm^2": (r"\text{ cm}^2", r"\text{ square centimeters}", r"\,\mathrm{cm}^2", r"\mbox{ cm}^2"),
    "degree": (r"^\circ", r"^{\circ}", "°", r"\text{ degrees}", r"^\circ{}"),
    "hour": (r"\text{ hours}", r"\text{ h}", r"\,\mathrm{hr}"),
    "minute": (r"\text{ minutes}", r"\text{ min}"),
    "apple": (r"\text{ apples}",),
    "dollar": (r"\text{ dollars}",),
}
"""Unit → its spellings, the plain one first."""

SUM, SLASH, PRODUCT, POWER, ATOM = range(5)
"""How strongly a printed tree holds together.  A weaker one gets brackets."""
_SUPERSCRIPTS = {2: "²", 3: "³"}


class Speller:
    """Prints trees.  Without a random generator it prints the usual spelling.

    `boxed`: the answer will stand in a box, where it may have dollar signs or a sentence of its own.
    """

    def __init__(self, rng: random.Random | None = None, boxed: bool = True) -> None:
        self.rng, self.boxed = rng, boxed

    def choose(self, *options: T) -> T:
        return options[0] if self.rng is None else self.rng.choice(options)

    def chance(self, share: float) -> bool:
        return self.rng is not None and self.rng.random() < share

    def space(self) -> str:
        return self.choose("", "", " ", " ", r"\,", r"\;", r"\ ")

    def bracketed(self, text: str) -> str:
        opening, closing = self.choose("()", (r"\left(", r"\right)"), (r"\bigl(", r"\bigr)"), "()")
        return f"{opening}{self.space()}{text}{self.space()}{closing}"

    def at(self, node: Node, level: int) -> str:
        text, found = self.tree(node)
        return text if found >= level else self.bracketed(text)

    def tree(self, node: Node) -> tuple[str, int]:
        """The text of a tree, and how strongly it holds together."""
        return getattr(self, f"_{node.kind}")(*node.parts)

    def _int(self, value: int) -> tuple[str, int]:
        return str(value), ATOM

    def _inf(self) -> tuple[str, int]:
        return r"\infty", ATOM

    def _pi(self) -> tuple[str, int]:
        return self.choose(r"\pi", "π", r"{\pi}"), ATOM

    def _sym(self, name: str) -> tuple[str, int]:
        return name, ATOM

    def _i(self) -> tuple[str, int]:
        return "i", ATOM

    def _rat(self, top: int, bottom: int) -> tuple[str, int]:
        if bottom in (3, 9, 11, 99) and top % bottom and self.chance(0.15):
            return _repeating(top, bottom), ATOM
        factor = self.choose(1, 1, 1, 3, 10)
        return self._fraction(str(top * factor), str(bottom * factor))

    def _fraction(self, top: str, bottom: str) -> tuple[str, int]:
        form = self.choose("frac", "frac", "dfrac", "tfrac", "over", "slash", "div", "short", "brackets")
        if form == "short" and len(top) == len(bottom) == 1:
            return rf"\frac{top}{bottom}" if top.isdigit() else rf"\frac {top}{bottom}", POWER
        if form == "over":
            return rf"{{{top} \over {bottom}}}", POWER
        if form in ("slash", "div", "brackets"):
            plain = top.isdigit() and bottom.isdigit()
            sign = "/" if form != "div" else r" \div "
            if plain and form != "brackets":
                return f"{top}{sign}{bottom}", SLASH
            return f"({top}){sign}({bottom})", SLASH
        form = form if form != "short" else "frac"
        return rf"\{form}{{{top}}}{{{bottom}}}", POWER

    def _dec(self, text: str) -> tuple[str, int]:
        whole, _, digits = text.partition(".")
        if self.chance(0.15):
            return self._fraction(str(int(whole + digits)), str(10 ** len(digits)))
        return self.choose(text, text, text + "0", text[1:] if whole == "0" else text), ATOM

    def _mixed(self, whole: int, top: int, bottom: int) -> tuple[str, int]:
        form = self.choose("frac", "dfrac", "over", "plus", "improper", "spaced")
        if form == "plus":
            return rf"{whole} + \frac{{{top}}}{{{bottom}}}", SUM
        if form == "improper":
            return self._fraction(str(whole * bottom + top), str(bottom))
        if form == "spaced":
            return f"{whole} {top}/{bottom}", SLASH
        if form == "over":
            return rf"{whole}{{{top} \over {bottom}}}", PRODUCT
        return rf"{whole}{self.choose('', ' ', chr(92) + ',')}\{form}{{{top}}}{{{bottom}}}", PRODUCT

    def _sqrt(self, inner: Node) -> tuple[str, int]:
        text, level = self.tree(inner)
        form = self.choose("braces", "braces", "short", "sign", "half", "index")
        if form == "half":
            return f"{self.at(inner, ATOM)}^{{{self.choose('1/2', chr(92) + 'frac{1}{2}', chr(92) + 'frac12', '0.5')}}}", POWER
        if form == "index":
            return rf"\sqrt[2]{{{text}}}", ATOM
        if form == "sign":
            return f"√{text}" if text.isdigit() else f"√({text})", POWER
        if form == "short" and len(text) == 1 and level == ATOM:
            return rf"\sqrt {text}" if text.isalpha() else rf"\sqrt{text}", POWER
        return rf"\sqrt{{{text}}}", ATOM

    def _cbrt(self, inner: Node) -> tuple[str, int]:
        if self.chance(0.3):
            return f"{self.at(inner, ATOM)}^{{{self.choose('1/3', chr(92) + 'frac{1}{3}')}}}", POWER
        return rf"\sqrt[3]{{{self.tree(inner)[0]}}}", ATOM

    def _pow(self, base: Node, exponent: Node) -> tuple[str, int]:
        number = exponent.parts[0] if exponent.kind == "int" else None
        if number in (2, 3) and self.chance(0.15):
            text = self.at(base, ATOM)
            return rf" \cdot ".join([text] * number), PRODUCT  # noqa: F541
        if number in (2, 3) and base.kind in ("sym", "int") and self.chance(0.2):
            return f"{self.at(base, ATOM)}{_SUPERSCRIPTS[number]}", POWER
        if number is not None and number < 10 and self.choose(True, False):
            return f"{self.at(base, ATOM)}^{number}", POWER
        return f"{self.at(base, ATOM)}^{{{self.space()}{self.tree(exponent)[0]}}}", POWER

    def _fact(self, number: int) -> tuple[str, int]:
        plain = f"{number}!", POWER
        return self.choose(plain, plain, (rf"{number} \cdot {number - 1}!", PRODUCT), (f"({number})!", POWER))

    def _binom(self, top: int, bottom: int) -> tuple[str, int]:
        form = self.choose("binom", "dbinom", "choose", "factorials", "value")
        if form == "value":
            return str(math.comb(top, bottom)), ATOM
        if form == "choose":
            return rf"{{{top} \choose {bottom}}}", POWER
        if form == "factorials" and bottom <= top:
            return rf"\frac{{{top}!}}{{{bottom}! \cdot {top - bottom}!}}", POWER
        return rf"\{'dbinom' if form == 'dbinom' else 'binom'}{{{top}}}{{{bottom}}}", POWER

    def _fn(self, name: str, argument: Node) -> tuple[str, int]:
        if name != "ln" and argument.kind == "div" and argument.parts[0].kind == "pi" and argument.parts[1].kind == "int":
            divisor = argument.parts[1].parts[0]
            if divisor and 180 % divisor == 0 and self.chance(0.2):
                return rf"\{name} {180 // divisor}{self.choose('^' + chr(92) + 'circ', '^{' + chr(92) + 'circ}', '°')}", SLASH
        return self._applied(rf"\{name}", argument)

    def _applied(self, head: str, argument: Node) -> tuple[str, int]:
        text, level = self.tree(argument)
        if level >= POWER and self.choose(True, False):
            return f"{head} {text}", SLASH
        return f"{head}{self.bracketed(text)}", POWER

    def _log(self, base: int, argument: Node) -> tuple[str, int]:
        if self.chance(0.3):
            return rf"\frac{{\ln {self.bracketed(self.tree(argument)[0])}}}{{\ln {base}}}", POWER
        return self._applied(rf"\log_{{{base}}}" if base > 9 or self.choose(True, False) else rf"\log_{base}", argument)

    def _neg(self, inner: Node) -> tuple[str, int]:
        if inner.kind == "rat" and self.chance(0.2):
            return rf"\frac{{-{inner.parts[0]}}}{{{inner.parts[1]}}}", POWER
        return f"{self.choose('-', '-', '−')}{self.at(inner, SLASH)}", SUM

    def _add(self, *parts: Node) -> tuple[str, int]:
        order = list(parts)
        if self.rng is not None:
            self.rng.shuffle(order)
        text = ""
        for place, part in enumerate(order):
            minus = part.kind == "neg"
            term = self.at(part.parts[0] if minus else part, SLASH)
            sign = self.choose("-", "-", "−") if minus else "+" if place else ""
            text += f"{self.space() if place else ''}{sign}{self.space() if place else ''}{term}"
        return text, SUM

    def _mul(self, a: Node, b: Node) -> tuple[str, int]:
        if self.chance(0.3):
            a, b = b, a
        left, right = self.at(a, PRODUCT), self.at(b, PRODUCT)
        sign = self.choose("", "", r" \cdot ", r" \times ", "*", "·", "×")
        if not sign:
            before, after = left.rstrip(), right.lstrip(" ")
            mixed = before[-1].isdigit() and after.startswith((r"\frac", r"\dfrac", r"\tfrac", "{"))
            if after[0].isdigit() or mixed or (before[-1] in "!}" and after[0] == "{"):
                sign = r" \cdot "
            elif (before[-1].isalpha() and after[0].isalpha()) or after.startswith((r"\sin", r"\cos", r"\tan", r"\ln", r"\log")):
                sign = " "
        return f"{left}{sign}{right}", PRODUCT

    def _div(self, top: Node, bottom: Node) -> tuple[str, int]:
        if self.chance(0.15):
            return rf"\frac{{1}}{{{self.tree(bottom)[0]}}} \cdot {self.at(top, PRODUCT)}", PRODUCT
        return self._fraction(self.tree(top)[0], self.tree(bottom)[0])

    # answers as a whole

    def answer(self, node: Node, loose: bool = True) -> str:
        """The text of an answer.  `loose`: also in ways that only the gold explains, such as `28` for `28\\%`."""
        text: str = getattr(self, f"_answer_{node.kind}")(loose, *node.parts)
        return text if self.rng is None else self._wrapped(node, text)

    def _wrapped(self, node: Node, text: str) -> str:
        kind = node.kind
        forms = [text] * 6 + [f"{{{text}}}", f" {text} ", rf"\displaystyle {text}"]
        forms += [f"${text}$", rf"\boxed{{{text}}}"] if self.boxed else []
        forms += [rf"{{\color{{blue}} {text}}}", rf"\color{{red}}{{{text}}}"]
        if kind in ("choice", "text"):
            forms = [text]
        if kind == "value" and not names(node):
            forms += [rf"\left({text}\right)", f"x = {text}", f"N={text}"]
            forms += [rf"\text{{The answer is }} {text}", f"{text}."] if self.boxed else []
            forms += [rf"\mathbf{{{text}}}", rf"\text{{{text}}}"] if text.isdigit() else []
            forms += [f"{self.tree(node.parts[0])[0]} = {text}", *self._rounded(node.parts[0], text)] if not node.parts[1] else []
        if kind == "value" and names(node) == {"x"}:
            forms += [f"f(x) = {text}"]
        return self.choose(*forms)

    def _number(self, tree: Node) -> str:
        """A number that stands alone: thousands may be set apart."""
        if tree.kind == "int" and self.rng is not None:
            value = tree.parts[0]
            groups = [f"{value:,}".replace(",", sign) for sign in (",", "{,}", r",\!", r"\,")]
            return self.choose(str(value), str(value), str(value), f"{value}.0", *groups)
        if tree.kind == "neg" and tree.parts[0].kind == "int":
            return self.choose("-", "−") + self._number(tree.parts[0])
        return self.tree(tree)[0]

    def _rounded(self, tree: Node, text: str) -> list[str]:
        """The value and its rounding, if it is real and no short decimal."""
        try:
            value = evaluate(tree, {})
        except Worthless:
            return []
        if isinstance(value, mpc) or tree.kind in ("int", "dec") or abs(value) > 10**6 or abs(value) < 0.1:
            return []
        return [rf"{text} \approx {mp.nstr(value, 7)}"]

    def _answer_value(self, loose: bool, tree: Node, unit: str) -> str:
        if not unit and loose and tree.kind == "dec" and self.chance(0.1):
            return rf"{_decimal_text(Fraction(tree.parts[0]) * 100)}\%"
        if not unit:
            return self._number(tree)
        if loose and self.chance(0.2):
            return self._number(tree)
        text, level = self.tree(tree)
        bare = level >= PRODUCT or (tree.kind == "neg" and tree.parts[0].kind in ("int", "dec"))
        return (text if bare else self.bracketed(text)) + self.choose(*UNITS[unit])

    def _answer_percent(self, loose: bool, tree: Node) -> str:
        text, level = self.tree(tree)
        text = text if level == ATOM else self.bracketed(text)
        return text + (self.choose(r"\%", r"\,\%", r" \%", r"\text{ percent}", "") if loose else self.choose(r"\%", r"\text{ percent}"))

    def _answer_money(self, loose: bool, sign: str, tree: Node) -> str:
        text, level = self.tree(tree)
        text = text if level == ATOM else self.bracketed(text)
        if loose and self.chance(0.2):
            return text
        if sign == "$" and self.choose(False, False, True):
            return text + r"\text{ dollars}"
        return ("\\$" if sign == "$" else sign) + text

    def _answer_tuple(self, loose: bool, bracket: str, *members: Node) -> str:
        texts = [self.tree(member)[0] for member in members]
        inside = f",{self.space()}".join(texts)
        if bracket != "(":
            opening, closing = _BRACKETS[bracket]
            return opening + inside + closing
        form = self.choose("round", "round", "left", "angle", "column", "labelled", "labels", "bmatrix")
        letters = "xyzt"[: len(members)]
        if form == "left":
            return rf"\left({inside}\right)"
        if form == "angle":
            return rf"\langle {inside} \rangle"
        if form in ("column", "bmatrix"):
            name = "pmatrix" if form == "column" else "bmatrix"
            return rf"\begin{{{name}}} " + r" \\ ".join(texts) + rf" \end{{{name}}}"
        if form == "labelled" and len(members) <= 4:
            return f"({', '.join(letters)}) = ({inside})"
        if form == "labels" and 1 < len(members) <= 4:
            return ", ".join(f"{letter} = {text}" for letter, text in zip(letters, texts, strict=True))
        return f"({inside})"

    def _answer_pairs(self, loose: bool, *members: Node) -> str:
        order = list(members)
        if self.rng is not None:
            self.rng.shuffle(order)
        texts = []
        for member in order:
            opening, closing = _BRACKETS[member.parts[0]]
            texts.append(opening + f",{self.space()}".join(self.tree(part)[0] for part in member.parts[1:]) + closing)
        form = self.choose("commas", "commas", "braces", "and", "label")
        if form == "braces":
            return rf"\{{{', '.join(texts)}\}}"
        if form == "and" and len(texts) > 1:
            return ", ".join(texts[:-1]) + rf" \text{{ and }} {texts[-1]}"
        return ("(x, y) = " if form == "label" and len(members[0].parts) == 3 else "") + ", ".join(texts)

    def _answer_list(self, loose: bool, *members: Node) -> str:
        order = list(members)
        if self.rng is not None:
            self.rng.shuffle(order)
        texts = [self.tree(member)[0] for member in order]
        form = self.choose("commas", "commas", "braces", "and", "or", "label", "semicolons", "set")
        if form == "braces":
            return rf"\{{{', '.join(texts)}\}}"
        if form == "set":
            return rf"x \in \left\{{{', '.join(texts)}\right\}}"
        if form == "and" and len(texts) > 1:
            return ", ".join(texts[:-1]) + rf" \text{{ and }} {texts[-1]}"
        if form == "or":
            return r" \text{ or } ".join(f"x = {text}" for text in texts)
        if form == "label":
            return "x = " + ", ".join(texts)
        return f"{';' if form == 'semicolons' else ','}{self.choose(' ', self.space())}".join(texts)

    def _answer_interval(self, loose: bool, *pieces: Node) -> str:
        order = list(pieces)
        if self.rng is not None:
            self.rng.shuffle(order)
        if self.chance(0.3):
            return r" \text{ or } ".join(self._inequality(*piece.parts) for piece in order)
        texts = []
        for piece in order:
            low, high, opening, closing = piece.parts
            left, right = self.choose(("", ""), (r"\left", r"\right"))
            texts.append(f"{left}{opening}{self.tree(low)[0]},{self.space()}{self.tree(high)[0]}{right}{closing}")
        return self.choose("", "", r"x \in ") + self.choose(r" \cup ", "∪").join(texts)

    def _inequality(self, low: Node, high: Node, opening: str, closing: str) -> str:
        below = {"[": self.choose(r" \le ", r" \leq ", "≤"), "(": self.choose(" < ", r" \lt ")}[opening]
        above = {"]": self.choose(r" \le ", r" \leqslant ", "≤"), ")": " < "}[closing]
        if low.kind == "neg" and low.parts[0].kind == "inf":
            return f"x{above}{self.tree(high)[0]}"
        if high.kind == "inf":
            return f"x{'>' if opening == '(' else self.choose(chr(92) + 'ge ', '≥')}{self.tree(low)[0]}"
        return f"{self.tree(low)[0]}{below}x{above}{self.tree(high)[0]}"

    def _answer_equation(self, loose: bool, left: Node, right: Node) -> str:
        form = self.choose("plain", "plain", "swapped", "scaled", "moved", "alone")
        if form == "swapped":
            left, right = right, left
        elif form == "scaled":
            factor = integer(self.choose(2, -1, 5))
            left, right = Node("mul", (factor, left)), Node("mul", (factor, right))
        elif form == "moved":
            left, right = Node("add", (left, Node("neg", (right,)))), integer(0)
        elif form == "alone" and loose and left.kind == "sym" and left.parts[0] not in names(right):
            return self.tree(right)[0]
        return f"{self.tree(left)[0]}{self.space()}={self.space()}{self.tree(right)[0]}"

    def _answer_matrix(self, loose: bool, rows: int, columns: int, *entries: Node) -> str:
        form = self.choose("pmatrix", "pmatrix", "bmatrix", "array", "left")
        factor = ""
        if self.chance(0.2):
            factor, entries = r"\frac{1}{2}", tuple(Node("mul", (integer(2), entry)) for entry in entries)
        cells = [self.tree(entry)[0] for entry in entries]
        body = r" \\ ".join(" & ".join(cells[start : start + columns]) for start in range(0, rows * columns, columns))
        if form in ("array", "left"):
            name, arguments = ("array", "{" + "c" * columns + "}") if form == "array" else ("matrix", "")
            return rf"{factor}\left( \begin{{{name}}}{arguments} {body} \end{{{name}}} \right)"
        return rf"{factor}\begin{{{form}}} {body} \end{{{form}}}"

    def _answer_base(self, loose: bool, digits: str, base: int) -> str:
        forms = [f"{digits}_{base}", f"{digits}_{{{base}}}", f"{digits}_{{({base})}}", f"({digits})_{{{base}}}"]
        forms += [rf"{digits}_{{\text{{{_NAMES[base]}}}}}", rf"{digits} \text{{ base }} {base}"]
        return self.choose(*forms, *([digits] if loose else []))

    def _answer_choice(self, loose: bool, letter: str) -> str:
        forms = [rf"\text{{({letter})}}", letter, f"({letter})", rf"\textbf{{({letter})}}", rf"\mathrm{{{letter}}}", f"{letter}."]
        return self.choose(*forms, rf"\text{{{letter}}}")

    def _answer_text(self, loose: bool, words: str) -> str:
        if self.rng is None:
            return rf"\text{{{words}}}"
        words = self.choose(words, words, words.capitalize(), words.upper())
        forms = [rf"\{command}{{{words}}}" for command in ("text", "textbf", "mbox")] + [rf"\mathrm{{{words.replace(' ', '~')}}}"]
        return self.choose(*forms, rf"\text{{{words}.}}", *([words, rf"\text{{The answer is {words}}}"] if self.boxed else []))


_BRACKETS = {"(": ("(", ")"), "[": ("[", "]"), "{": (r"\{", r"\}")}
_NAMES = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}


def _repeating(top: int, bottom: int) -> str:
    """The repeating decimal of a fraction with a denominator of 3, 9, 11 or 99."""
    whole, rest = divmod(top, bottom)
    digits = f"{rest * 9 // bottom}" if bottom in (3, 9) else f"{rest * 99 // bottom:02d}"
    return rf"{whole}.\overline{{{digits}}}"


def _decimal_text(value: Fraction) -> str:
    """An exact decimal of a value with few digits behind the point."""
    return f"{Decimal(value.numerator) / value.denominator:f}"
