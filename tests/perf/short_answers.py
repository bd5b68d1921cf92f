"""Short answers of all kinds: about half of them right, hardly one spelled as its gold is, and no pair twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from math import gcd
from typing import NamedTuple

WORDS = ("Tuesday", "red", "equilateral", "even", "parabola", "hexagon", "Alice", "increasing", "circle", "never")
UNITS = (r"\text{ cm}", r"\text{ km/h}", r"\,\mathrm{m}^2", r"\text{ dollars}", r"^\circ", r"\text{ minutes}")


class Answer(NamedTuple):
    """A final text, its gold answer, and whether they mean the same."""

    text: str
    gold: str
    right: bool


def fraction(value: Fraction, command: str = r"\frac") -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}{command}{{{abs(value.numerator)}}}{{{value.denominator}}}"


def integers(rng: random.Random, right: bool) -> tuple[str, str]:
    value = rng.randint(1000, 10**6)
    given = value if right else value + rng.choice((-1, 1, 10, 1000))
    forms = (f"{given:,}", f"n = {given}", f"{given}.0", f"{given - 7} + 7", rf"\text{{{given}}}", f"{given:,}".replace(",", r"{,}"))
    return rng.choice(forms), str(value)


def fractions(rng: random.Random, right: bool) -> tuple[str, str]:
    value = Fraction(rng.randint(-99, 99) * 7 + 1, rng.randint(3, 60))
    given = value if right else rng.choice((value + 1, -value, 1 / value))
    times = rng.randint(2, 5)
    top, bottom = given.numerator * times, given.denominator * times
    forms = (fraction(given, r"\dfrac"), rf"\frac{{{top}}}{{{bottom}}}", f"{given.numerator}/{given.denominator}", rf"{top} \div {bottom}")
    return rng.choice(forms), fraction(value)


def surds(rng: random.Random, right: bool) -> tuple[str, str]:
    a, b, root = rng.randint(1, 40), rng.randint(2, 12), rng.choice((2, 3, 5, 6, 7, 10, 11, 13))
    c = a if right else a + rng.choice((-1, 1))
    forms = (
        rf"{c} + \sqrt{{{b * b * root}}}", rf"{b}\sqrt{root} + {c}" if root < 10 else rf"{b}\sqrt{{{root}}} + {c}",
        rf"\frac{{{2 * c} + {2 * b} \sqrt{{{root}}}}}{{2}}", rf"{c} + {b * root} / \sqrt{{{root}}}",
    )  # fmt: skip
    return rng.choice(forms), rf"{a}+{b}\sqrt{{{root}}}"


def lists(rng: random.Random, right: bool) -> tuple[str, str]:
    values = rng.sample(range(-99, 100), rng.randint(2, 4))
    given = list(values) if right else [values[0] + 100, *values[1:]]
    rng.shuffle(given)
    joined = ", ".join(map(str, given))
    forms = (rf"\{{{joined}\}}", f"x = {joined}", ",".join(f"{value}.0" for value in given), r" \text{ and } ".join(map(str, given)))
    return rng.choice(forms), ", ".join(map(str, values))


def tuples(rng: random.Random, right: bool) -> tuple[str, str]:
    values = rng.sample(range(1, 100), rng.randint(2, 3))
    given = values if right else values[1:] + values[:1]
    forms = (
        r"\left(" + ",".join(map(str, given)) + r"\right)", "( " + " , ".join(f"{value}.0" for value in given) + " )",
        "(" + r",\ ".join(rf"\frac{{{2 * value}}}{{2}}" for value in given) + ")",
    )  # fmt: skip
    return rng.choice(forms), "(" + ", ".join(map(str, values)) + ")"


def decimals(rng: random.Random, right: bool) -> tuple[str, str]:
    value = rng.randint(1, 99_999)
    given = value if right else value + rng.choice((-1, 1, 100))
    exact = Fraction(given, 1000)
    forms = (f"{given / 1000:.3f}0", fraction(exact), rf"{given} \times 10^{{-3}}", f"x = {given / 1000:.4f}")
    return rng.choice(forms), f"{value / 1000:.3f}"


def words(rng: random.Random, right: bool) -> tuple[str, str]:
    first, second, third = rng.sample(WORDS, 3)
    number = rng.randint(2, 99)
    given = second if right else third
    forms = (rf"\text{{{first} {given} {number}}}", rf"\mathrm{{{first}\ {given}\ {number}}}", f"{first.upper()} {given} {number}")
    return rng.choice(forms), rf"\text{{{first.lower()} {second.lower()} {number}}}"


def units(rng: random.Random, right: bool) -> tuple[str, str]:
    value, unit = rng.randint(2, 5000), rng.choice(UNITS)
    given = value if right else value + rng.choice((-1, 1, 50))
    return rng.choice((f"{given}{unit}", f"{given}.0{unit}", rf"x = {given}{unit}")), str(value)


def percents(rng: random.Random, right: bool) -> tuple[str, str]:
    value = rng.randint(11, 9999)
    given = value if right else value + rng.choice((-1, 1, 100))
    plain = f"{given // 10}.{given % 10}"
    return rng.choice((rf"{plain}0\%", f"{plain}0 %", rf"{plain} \text{{ percent}}", rf"{plain}\,\%")), rf"{value // 10}.{value % 10}\%"


def matrices(rng: random.Random, right: bool) -> tuple[str, str]:
    rows = [[rng.randint(-9, 9) for _ in range(2)] for _ in range(2)]
    given = rows if right else [rows[0], [rows[1][0], rows[1][1] + 1]]
    cell = rng.choice(("{}", " {} ", "{}.0", r"\frac{{{}}}{{1}}"))
    kind = rng.choice(("pmatrix", "bmatrix"))

    def spelled(of: list[list[int]], form: str, kind: str) -> str:
        return rf"\begin{{{kind}}}" + r" \\ ".join("&".join(form.format(value) for value in row) for row in of) + rf"\end{{{kind}}}"

    return spelled(given, cell, kind), spelled(rows, " {}", "pmatrix")


def equations(rng: random.Random, right: bool) -> tuple[str, str]:
    a, b = rng.choice([n for n in range(-30, 31) if n not in (-1, 0, 1)]), rng.choice([n for n in range(-99, 100) if n])
    c = b if right else b + rng.choice((-100, 100))
    forms = (f"{c} + {a}x = y", f"y {-a:+d}x = {c}", f"{2 * a}x {2 * c:+d} = 2y", rf"y = {a} \cdot x {c:+d}")
    return rng.choice(forms), f"y = {a}x{b:+d}"


def expressions(rng: random.Random, right: bool) -> tuple[str, str]:
    a, b = rng.sample(range(2, 30), 2)
    c = b if right else b + 1
    name = rng.choice("xnt")
    common = gcd(a, c)
    forms = (
        rf"{name}^2 + {a + c}{name} + {a * c}", rf"({name}+{c})({name}+{a})", rf"{name}({name}+{a}) + {c}({name} + {a})",
        rf"{common}({name}+{a})\left(\frac{{{name}+{c}}}{{{common}}}\right)",
    )  # fmt: skip
    return rng.choice(forms), f"({name}+{a})({name}+{b})"


KINDS: tuple[Callable[[random.Random, bool], tuple[str, str]], ...] = (
    integers, fractions, surds, lists, tuples, decimals, words, units, percents, matrices, equations, expressions,
)  # fmt: skip
ENDS = (r"The answer is $\boxed{%s}$.", r"**Answer:** \(\boxed{%s}\)", r"$$\boxed{%s}$$", r"So we get \boxed{%s}")


def short_answers(count: int, seed: int) -> list[Answer]:
    """`count` different pairs, of all kinds in turn."""
    rng = random.Random(seed)
    made: dict[tuple[str, str], Answer] = {}
    while len(made) < count:
        right = rng.random() < 0.5
        answer, gold = KINDS[len(made) % len(KINDS)](rng, right)
        made.setdefault((answer, gold), Answer(rng.choice(ENDS) % answer, gold, right))
    return list(made.values())
