"""The reader of the `strict` judge in its steps: tokens, expressions, units, sets, quantities, and when two of them are equal."""

from __future__ import annotations

from fractions import Fraction

import pytest

from benchmarks.strict.equality import equal
from benchmarks.strict.expressions import Tree, parse, values_of
from benchmarks.strict.latex import tokenize
from benchmarks.strict.reading import quantity
from benchmarks.strict.sets import read_set, same_set
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.units import UNIT_WORDS, Unit, read_unit, same_kind
from benchmarks.strict.values import exact
from benchmarks.strict.votes import joined_answer


def shown(tokens: Tokens) -> str:
    """Kinds, texts and values of tokens on one line; arguments in brackets."""
    parts = []
    for token in tokens:
        said = str(token.value) if token.value is not None else token.text
        arguments = "".join(f"[{shown(argument)}]" for argument in token.args)
        parts.append(f"{token.kind}:{said}{arguments}" if said else f"{token.kind}{arguments}")
    return " ".join(parts)


def tree(text: str) -> Tree:
    return parse(tokenize(text))


def value(text: str) -> Fraction | None:
    return exact(tree(text))


# Tokens


@pytest.mark.parametrize("text", ["10{,}080", r"10,\!080", r"10\,080", "10 080", "10,080", "10'080", "１０{,}０８０"])
def test_digits_grouped_by_three_are_one_number(text: str) -> None:
    assert shown(tokenize(text)) == "num:10080"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("10,180", "num:10 sep:, num:180"), ("10,080", "num:10080"), ("10{,}080", "num:10080"), ("10,08", "num:10 sep:, num:8")],
)
def test_a_plain_comma_separates_when_the_reader_asks_for_lists(text: str, tokens: str) -> None:
    assert shown(tokenize(text, lists=True)) == tokens


@pytest.mark.parametrize(
    ("text", "written", "number"),
    [
        (r"0.\overline{3}", "repeating", Fraction(1, 3)),
        (r"0.1\overline{6}", "repeating", Fraction(1, 6)),
        (r"0.\dot{3}", "repeating", Fraction(1, 3)),
        ("0.(142857)", "repeating", Fraction(1, 7)),
        ("0.333…", "repeating", Fraction(1, 3)),
        (r"1.2727\ldots", "repeating", Fraction(14, 11)),
        ("0.1234...", "open", Fraction(617, 5000)),
        ("2.50", "decimal", Fraction(5, 2)),
        (".5", "decimal", Fraction(1, 2)),
        ("1e3", "decimal", Fraction(1000)),
        ("1000", "integer", Fraction(1000)),
    ],
)
def test_a_number_keeps_how_it_is_written(text: str, written: str, number: Fraction) -> None:
    (token,) = tokenize(text)
    assert (token.text, token.value) == (written, number)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (r"\text{at most }5", "word:at word:most num:5"),
        (r"\text{5 apples}", "num:5 word:apples"),
        (r"\mathrm{cm}", "word:cm"),
        (r"\mathrm{x}", "run:x"),
        (r"\mathrm{lcm}", "function:lcm"),
        ("五个", "word:五个"),
        ("1或2", "num:1 sep:or num:2"),
        (r"3\text{ and }4", "num:3 sep:and num:4"),
    ],
)
def test_text_gives_words_numbers_and_separators(text: str, tokens: str) -> None:
    assert shown(tokenize(text)) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (r"\mathbf{x}", "group[run:x]"),
        (r"\boxed{\bm{7}}", "group[group[num:7]]"),
        (r"\textcolor{red}{5}", "group[num:5]"),
        (r"\color{red}5", "num:5"),
        (r"\displaystyle 5", "num:5"),
        (r"\hspace{2mm}5", "num:5"),
        (r"\left(3\right)", "open:( num:3 close:)"),
        (r"\left|x\right|", "open:| run:x close:|"),
        ("**7**", "num:7"),
    ],
)
def test_fonts_sizes_and_colours_leave_no_token(text: str, tokens: str) -> None:
    assert shown(tokenize(text)) == tokens


@pytest.mark.parametrize(
    ("text", "repaired"),
    [("\x0crac12", r"\frac12"), ("\x08inom{3}{2}", r"\binom{3}{2}"), ("\theta", r"\theta"), ("3\times 4", r"3\times 4")],
)
def test_a_command_that_lost_its_first_letter_to_an_escape_is_repaired(text: str, repaired: str) -> None:
    assert shown(tokenize(text)) == shown(tokenize(repaired))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (r"\unheard", "unknown:unheard"),
        (r"\leqx", "rel:≤ run:x"),
        (r"\quadx", "run:x"),
        (r"\pi*9", "name:pi op:* num:9"),
        (r"\not=", "rel:≠"),
        (r"n \ne 5", "run:n rel:≠ num:5"),
        ("n != 5", "run:n rel:≠ num:5"),
        ("n!=5", "run:n op:! rel:= num:5"),
    ],
)
def test_commands_and_signs_are_told_apart(text: str, tokens: str) -> None:
    assert shown(tokenize(text)) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (r"\sqrt10", "sqrt[num:10]"),
        (r"\sqrt[3]{8}", "sqrt[num:8][num:3]"),
        (r"\frac12", "frac[num:1][num:2]"),
        ("½", "vulgar[num:1][num:2]"),
        ("2^10", "num:2 sup[num:10]"),
        ("2^(n+1)", "num:2 sup[open:( run:n op:+ num:1 close:)]"),
        ("x**2", "run:x sup[num:2]"),
        ("x²", "run:x sup[num:2]"),
        (r"90^\circ", "num:90 degree"),
        (r"3\pmod 7", "num:3 remark:mod[num:7]"),
    ],
)
def test_arguments_are_what_authors_mean(text: str, tokens: str) -> None:
    assert shown(tokenize(text)) == tokens


@pytest.mark.parametrize("text", ["①", "2^①", r"\frac①2", ".①", "፩"])
def test_a_digit_that_is_no_decimal_digit_is_a_letter(text: str) -> None:
    assert "①" in shown(tokenize(text)) or "፩" in shown(tokenize(text))


def test_a_matrix_has_rows_of_cells() -> None:
    (token,) = tokenize(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}")
    assert [[shown(cell) for cell in row] for row in token.rows] == [["num:1", "num:2"], ["num:3", "num:4"]]


@pytest.mark.parametrize("text", ["{1", r"\frac{1}", "x^", r"\begin{pmatrix}1", "{" * 100 + "}" * 100, r"\sqrt" * 100 + "2", "1" * 3000])
def test_what_is_not_closed_or_too_deep_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        tokenize(text)


# Expressions


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"2\frac13", Fraction(7, 3)),
        ("2 1/2", Fraction(5, 2)),
        ("2½", Fraction(5, 2)),
        (r"-1\frac12", Fraction(-3, 2)),
        (r"3\frac54", Fraction(15, 4)),
        (r"2(3)(4)", Fraction(24)),
        ("2^{-1}", Fraction(1, 2)),
        ("2^3!", Fraction(40320)),
        ("-2^2", Fraction(-4)),
        ("8^{2/3}", Fraction(4)),
        ("--3", Fraction(3)),
        ("C(5,2)", Fraction(10)),
        ("{}_5C_2", Fraction(10)),
        (r"{5 \choose 2}", Fraction(10)),
        (r"{1+2 \over 4}", Fraction(3, 4)),
        (r"\sum_{i=1}^{3} i^2", Fraction(14)),
        (r"\prod_{k=1}^4 k", Fraction(24)),
        ("|3-5|", Fraction(2)),
        (r"\lfloor 2.5\rfloor", Fraction(2)),
        (r"\sqrt[3]{8}", Fraction(2)),
        (r"\max(1,\gcd(4,6))", Fraction(2)),
    ],
)
def test_the_exact_value_of_an_expression(text: str, number: Fraction) -> None:
    assert value(text) == number


@pytest.mark.parametrize(
    ("text", "explicit"),
    [
        ("1/2x", "(1/2)*x"),
        ("xy^2", "x*(y^2)"),
        (r"\sin 2x", r"\sin(2x)"),
        (r"\sin^2 x", r"(\sin(x))^2"),
        (r"\sin^{-1} x", r"\arcsin(x)"),
        (r"\log_2 x", r"\ln(x)/\ln(2)"),
        ("sinx", r"\sin(x)"),
        (r"\sin 30^\circ", r"\sin(30\pi/180)"),
        ("x(y+1)", "x*(y+1)"),
        (r"\sqrt x y", r"(\sqrt{x})*y"),
    ],
)
def test_a_short_notation_is_the_same_tree_as_the_explicit_one(text: str, explicit: str) -> None:
    assert tree(text) == tree(explicit)


@pytest.mark.parametrize("text", ["2 3", "1+", "(1", r"\sin(1,2)", r"\sum i", "apples", "0.1234...", "(" * 100 + "1" + ")" * 100])
def test_what_is_no_expression_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        tree(text)


def test_a_plus_minus_is_two_trees() -> None:
    assert [exact(each) for each in values_of(tokenize(r"5\pm 2"))] == [7, 3]
    assert [exact(each) for each in values_of(tokenize(r"5\mp 2"))] == [3, 7]


# Units


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (r"\text{cm}", Unit((("m", 1),), Fraction(1, 100))),
        (r"\text{cm}^2", Unit((("m", 2),), Fraction(1, 10_000))),
        (r"\text{square meters}", Unit((("m", 2),))),
        (r"\text{meters squared}", Unit((("m", 2),))),
        (r"\text{km/h}", Unit((("m", 1), ("s", -1)), Fraction(5, 18))),
        (r"\text{meters per second}", Unit((("m", 1), ("s", -1)))),
        (r"\text{million dollars}", Unit((("dollar", 1),), scale=1_000_000)),
        (r"^\circ", Unit((("degree", 1),))),
        (r"\%", Unit((), percent=True)),
        (r"\text{percent}", Unit((), percent=True)),
        (r"\text{th}", Unit(())),
        (r"\text{red apples}", Unit((("apple", 1), ("red", 1)), known=False)),
        (r"\text{dozen eggs}", Unit((("egg", 1),), scale=12, known=False)),
        ("小时", Unit((("s", 1),), Fraction(3600))),
    ],
)
def test_words_behind_a_number_are_its_unit(text: str, unit: Unit) -> None:
    assert read_unit(tokenize(text)) == unit


@pytest.mark.parametrize("text", [r"\text{at most}", r"\text{if even}", r"\text{or more}", "以上", "x y", r"\text{m}^{9}"])
def test_a_word_that_changes_the_number_is_no_unit(text: str) -> None:
    with pytest.raises(Unreadable):
        read_unit(tokenize(text))


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [("cm", "miles", True), ("cm", "kg", False), ("apples", "red apples", True), ("square units", "cm^2", True), ("units", "cm^2", False)],
)
def test_units_of_one_kind(gold: str, answer: str, same: bool) -> None:
    gold_unit, unit = (read_unit(tokenize(rf"\text{{{text}}}")) for text in (gold, answer))
    assert same_kind(gold_unit, unit) is same


# Sets


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("x>2", r"(2,\infty)"),
        ("2<x", r"(2,\infty)"),
        (r"1<x\le 3", "(1,3]"),
        ("]1,3]", "(1,3]"),
        (r"x\in[1,2]", "[1,2]"),
        (r"[0,1]\cup[1,2]", "[0,2]"),
        (r"(2,3)\cup(0,1)", r"(0,1)\cup(2,3)"),
        ("x>1, x<5", "(1,5)"),
        ("x<1 or x>2", r"(-\infty,1)\cup(2,\infty)"),
        (r"x\ne 1", r"\mathbb{R}\setminus\{1\}"),
        (r"\mathbb{R}\setminus\{0\}", r"(-\infty,0)\cup(0,\infty)"),
        (r"\{x : x>2\}", r"(2,\infty)"),
        ("|x-1|<2", "(-1,3)"),
        (r"|x|\ge 2", r"(-\infty,-2]\cup[2,\infty)"),
        ("all real numbers", r"(-\infty,\infty)"),
    ],
)
def test_two_descriptions_of_one_set(text: str, other: str) -> None:
    assert same_set(read_set(tokenize(text))[0], read_set(tokenize(other))[0])


@pytest.mark.parametrize(("text", "other"), [("(0,1)", "[0,1)"), ("(0,1)", "(0,2)"), ("x>2", "x<2"), (r"[0,1)\cup(1,2]", "[0,2]")])
def test_sets_that_differ(text: str, other: str) -> None:
    assert not same_set(read_set(tokenize(text))[0], read_set(tokenize(other))[0])


@pytest.mark.parametrize("text", ["x+y>2", "x>1, y>2", r"\{(1,2)\}", r"[0,a)", "x=2"])
def test_what_is_no_set_of_real_numbers_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read_set(tokenize(text))


# Equality


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("0.5", r"\frac12", True),
        (r"0.\overline{9}", "1", True),
        (r"\frac13", "0." + "3" * 60, False),
        (r"\sqrt{8}", r"2\sqrt2", True),
        (r"\sqrt{3+2\sqrt2}", r"1+\sqrt2", True),
        (r"\pi", "3.14159265358979323846264338327950288419716939937510", False),
        (r"e^{i\pi}", "-1", True),
        ("(x+1)^2", "x^2+2x+1", True),
        ("x+1", "x+2", False),
        ("x", "y", False),
        (r"\sqrt{x^2}", "x", False),
        (r"\frac{x^2-1}{x-1}", "x+1", True),
        (r"\ln(x^2)", r"2\ln x", True),  # wherever both are real
        (r"\sin^2 x+\cos^2 x", "1", False),  # a gold without symbols has no answer with symbols
        ("2^{2^{100}}", "2^{2^{100}}", True),
        ("1+2^{2^{100}}", "2^{2^{100}}+1", True),
        ("2^{2^{100}}", "4^{2^{99}}", True),
        ("2^{2^{100}}", "8^{2^{99}}", False),
        ("2^{3^{3^{100}}}", "8^{3^{3^{100}-1}}", False),  # towers are not computed
        (r"\infty", r"\infty", True),
        (r"\infty", r"-\infty", False),
    ],
)
def test_equality_of_two_expressions(a: str, b: str, same: bool) -> None:
    assert equal(tree(a), tree(b)) is same


# Quantities


@pytest.mark.parametrize(
    ("text", "label", "number"),
    [
        ("x=5", "x", 5),
        ("5=x", "x", 5),
        (r"f(2) = 5", "f()", 5),
        (r"x = \sqrt 4 = 2", "x", 2),
        (r"\frac12\approx 0.5", None, Fraction(1, 2)),
        (r"\frac13\approx 0.333", None, Fraction(1, 3)),
        (r"\text{The answer is }460", None, 460),
        (r"\text{Total: }5", None, 5),
        ("(C) 42", None, 42),
        ("1/3 (about 0.33)", None, Fraction(1, 3)),
        (r"3\pmod 7", None, 3),
        (r"\text{three bolts}", None, 3),
        (r"\text{two thirds}", None, Fraction(2, 3)),
        ("2:3", None, Fraction(2, 3)),
        (r"-\$5", None, -5),
        (r"2.5\text{ million}", None, 2_500_000),
        (r"5\text{ h }20\text{ min}", None, Fraction(16, 3)),
        ("3 h 24 min", None, Fraction(17, 5)),
    ],
)
def test_labels_and_remarks_leave_the_value(text: str, label: str | None, number: Fraction) -> None:
    read = quantity(tokenize(text), with_symbols=False)
    assert (read.label, exact(read.trees[0])) == (label, number)


def test_a_remark_may_offer_an_alternative() -> None:
    read = quantity(tokenize("50 (or 0.5)"), with_symbols=False)
    assert [shown(other) for other in read.beside] == ["num:1/2"]


@pytest.mark.parametrize(
    "text", [r"9\pmod 7", r"\text{at least }5", "5 (if even)", "3x", "5 or 6", "x > 5", r"5\text{ kg }20\text{ min}", ""]
)
def test_what_states_no_single_value_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        quantity(tokenize(text), with_symbols=False)


# Votes


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("0.5", Fraction(1, 2)),
        (r"\frac12", Fraction(1, 2)),
        ("x = 1/2", Fraction(1, 2)),
        (r"50\%", Fraction(1, 2)),
        ("1,037", Fraction(1037)),
        ("2 x + 1", "2x+1"),
        (r"\sqrt 4", r"\sqrt4"),
        ("1/0", "1/0"),
        ("1" * 301, "1" * 301),
    ],
)
def test_votes_are_counted_by_the_value_of_plain_numbers(text: str, key: Fraction | str) -> None:
    assert joined_answer(text) == key


def test_every_unit_of_the_table_can_be_read() -> None:
    for word in sorted(UNIT_WORDS - {"min", "sec", "deg"}):
        try:
            unit = read_unit((Token("word", word),))
        except Unreadable:
            continue  # a word that also says «at least» and the like
        assert unit.size > 0, word
