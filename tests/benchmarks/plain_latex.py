"""A small reader of the LaTeX of golds, for tests: the value of a formula at random points (mpmath, 50 digits).

It knows the notation of the golds and no more, and shares nothing with the judge's reader.  Anything else raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mpmath import mp, mpc, mpf

mp.dps = 50

_LETTERS = "abcdfghjklmnopqrstuvwxyzABCDRNOPS"
POINTS = [
    {letter: 1 + mpf(618) / 100 * (7 * place + index + 1) % 9 for index, letter in enumerate(_LETTERS)} for place in range(3)
]
"""Three points; every letter has another value."""
_TOKEN = re.compile(r"\d+\.?\d*|\.\d+|\\[A-Za-z]+|\S")
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    r"\sin": mp.sin, r"\cos": mp.cos, r"\tan": mp.tan, r"\cot": mp.cot, r"\ln": mp.log, r"\sqrt": mp.sqrt,
}  # fmt: skip


def cleaned(text: str) -> str:
    """Without spacing and with one spelling of brackets and fractions."""
    text = re.sub(r",\\!\s*(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"\\[!,;: ]|~|\$", " ", text.replace(r"\left", "").replace(r"\right", "").replace(r"\displaystyle", ""))
    text = re.sub(r"\\[dt]frac", r"\\frac", text.replace("{,}", ""))
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text.strip()):
        text = text.replace(",", "")
    text = re.sub(r"\\mathrm\{e\}", "e", text)
    text = re.sub(r"(\d*)\.\\overline\{(\d+)\}", lambda found: rf"({found[1] or 0}+\frac{{{found[2]}}}{{{'9' * len(found[2])}}})", text)
    text = re.sub(r"(?<![\d.^_])(\d+) (\d+)/(\d+)", r"(\1+\\frac{\2}{\3})", text)
    return re.sub(r"(?<![\d.^_{}])(\d+)\s*\\frac\{(\d+)\}\{(\d+)\}", _mixed, text).strip()


def _mixed(found: re.Match[str]) -> str:
    """An integer before a fraction below 1 is added to it."""
    whole, top, bottom = map(int, found.groups())
    return rf"({whole}+\frac{{{top}}}{{{bottom}}})" if top < bottom else rf"{whole} \cdot \frac{{{top}}}{{{bottom}}}"


def values(text: str) -> list[Any]:
    """The values of a formula at the points.  Raises ValueError if it has none."""
    tokens = _TOKEN.findall(cleaned(text))
    found = []
    for point in POINTS:
        reader = _Reader(tokens, point)
        try:
            value = reader.sum()
        except (ZeroDivisionError, IndexError, OverflowError, KeyError, TypeError) as error:
            raise ValueError(f"no value: {text}") from error
        if reader.place < len(tokens):
            raise ValueError(f"not read to the end: {text}")
        found.append(value)
    return found


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[str], point: dict[str, Any]) -> None:
        self.tokens, self.point, self.place = tokens, point, 0

    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1]

    def taken(self, *texts: str) -> bool:
        found = self.next() in texts and self.next() != ""
        self.place += found
        return found

    def expect(self, text: str) -> None:
        if self.take() != text:
            raise ValueError(f"{text} expected in {self.tokens}")

    def sum(self) -> Any:
        negative = self.taken("-", "−")
        value = -self.product() if negative else self.product()
        while self.next() in ("+", "-", "−"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self) -> Any:
        value = self.power()
        while True:
            if self.taken("*", r"\cdot", r"\times", "·", "×"):
                value = value * self.signed()
            elif self.taken("/", r"\div", ":"):
                value = value / self.signed()
            elif re.match(r"[\w(.{]|\\(?!le|ge|ne|cup|in\b|pm|\}|text|rfloor)[A-Za-z]", self.next()) and self.next() != "_":
                value = value * self.power()
            else:
                return value

    def signed(self) -> Any:
        return -self.power() if self.taken("-", "−") else self.power()

    def power(self) -> Any:
        value = self.atom()
        while self.next() in ("^", "!"):
            value = mp.factorial(value) if self.take() == "!" else mp.power(value, self.argument())
        return value

    def argument(self) -> Any:
        """A group, or one token: of a number its first digit."""
        if self.next() == "{":
            return self.group("{", "}")
        if re.fullmatch(r"\d\d+", self.next()):
            digits = self.next()
            self.tokens = [*self.tokens[: self.place], digits[0], digits[1:], *self.tokens[self.place + 1 :]]
        return self.atom()

    def group(self, opening: str, closing: str) -> Any:
        self.expect(opening)
        value = self.sum()
        self.expect(closing)
        return value

    def atom(self) -> Any:
        token = self.next()
        if token in ("(", "{"):
            return self.group(token, {"(": ")", "{": "}"}[token])
        self.take()
        if re.fullmatch(r"\d+\.?\d*|\.\d+", token):
            return mpf(token)
        if token == r"\frac":
            top = self.argument()
            return top / self.argument()
        if token == r"\binom":
            top = self.argument()
            return mp.binomial(top, self.argument())
        if token in _FUNCTIONS:
            exponent = self.argument() if token != r"\sqrt" and self.taken("^") else 1
            return _FUNCTIONS[token](self.argument() if token == r"\sqrt" else self.power()) ** exponent
        if token == r"\lfloor":
            value = mp.floor(self.sum())
            self.expect(r"\rfloor")
            return value
        return self.constant(token)

    def constant(self, token: str) -> Any:
        known = {r"\pi": +mp.pi, "e": +mp.e, "i": mpc(0, 1), r"\infty": mp.inf, r"\theta": self.point["t"]}
        return known[token] if token in known else self.point[token]
