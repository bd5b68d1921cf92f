"""Answers made to slip through: each says something else than the gold that it resembles.  And right ones that look as odd."""

from __future__ import annotations

import time

import pytest

from benchmarks.strict.judge import judge_strict

WRONG = [
    ("58,500", "\\boxed{500, 58}"),
    ("1, 37", "\\boxed{1,037}"),
    ("(2, 5)", "\\boxed{(2,005)}"),
    ("\\sqrt{2}", "\\boxed{\\sqrt{2} = 5.7}"),
    ("\\sqrt{2}", "\\boxed{\\sqrt2 = 1.5}"),
    ("\\frac{1}{3}", "\\boxed{\\frac{1}{3} (= 0.25)}"),
    ("x=5", "\\boxed{x^2=5}"),
    ("x=5", "\\boxed{2x=5}"),
    ("5", "\\boxed{\\text{not } x = 5}"),
    ("x^2-1", "\\boxed{2f(x)=x^2-1}"),
    ("x^2+2x+1", "\\boxed{0 = x^2+2x+1}"),
    ("f(x)=2x", "\\boxed{f(2x)=2x}"),
    ("x^2+y^2=4", "\\boxed{x^2+y^2=5=4}"),
    ("5", "\\boxed{5 \\text{ (actually 6)}}"),
    ("5", "\\boxed{5 \\text{ (rejected)}}"),
    ("5", "\\boxed{5 \\text{ squared}}"),
    ("5", "\\boxed{5 \\text{ thousands}}"),
    ("5", "\\boxed{5\\text{K}}"),
    ("5", "\\boxed{5 \\text{ or more}}"),
    ("5", "\\boxed{5\\text{的平方}}"),
    ("7", "\\boxed{7\\text{ pi}}"),
    ("2", "\\boxed{2abcd}"),
    ("5", "\\boxed{\\text{The square of the answer is } 5}"),
    ("5", "\\boxed{\\text{It can't be }5}"),
    ("5", "\\boxed{\\text{A common mistake is } 5}"),
    ("9", "\\boxed{\\text{four five}}"),
    ("(8,-2)", "\\boxed{y = 8, x = -2}"),
    ("(p,q) = (3,2)", "\\boxed{(q,p) = (3,2)}"),
    ("(1,2)", "\\boxed{(1,2) \\text{ (or } (2,1))}"),
    ("(2,\\infty)", "\\boxed{x > 2, x \\in \\mathbb{Z}}"),
    ("[0,1]", "\\boxed{\\{x \\in \\mathbb{Q} : 0 \\le x \\le 1\\}}"),
    ("\\pm 1 \\pm \\sqrt{2}", "\\boxed{1+\\sqrt2, -1-\\sqrt2}"),
    ("720", "\\boxed{3!!}"),
    ("20 - x", "\\boxed{|x-20|}"),
    ("\\lfloor x \\rfloor", "\\boxed{\\lceil x \\rceil - 1}"),
    ("\\gcd(n,17)", "\\boxed{\\gcd(n,19)}"),
    ("1", "\\boxed{\\tanh(1000)}"),
    ("5", "\\boxed{5 + e^{-1000}}"),
    ("2^{1000}\\sqrt{2}+1", "\\boxed{2^{1000}\\sqrt{2}+2}"),
    ("\\frac{(2+\\sqrt3)^{2024}+(2-\\sqrt3)^{2024}}{2}", "\\boxed{\\frac{(2+\\sqrt3)^{2024}-(2-\\sqrt3)^{2024}}{2}}"),
    ("\\frac{\\pi}{6}", "\\boxed{\\frac{\\pi}{6}^\\circ}"),
    ("\\$36", "\\boxed{36\\%}"),
    ("BCD", "\\boxed{DCB}"),
    ("\\text{nowhere}", "\\boxed{\\text{now here}}"),
    ("\\text{(C)}", "\\boxed{\\text{(C) is wrong}}"),
    ("\\text{(C)}", "\\boxed{\\text{(C) or D}}"),
    ("\\text{Plan A}", "\\boxed{\\text{Plan}}"),
    ("5", "The answer is $\\boxed{5}$ thousand."),
    ("5", "The answer is half of $\\boxed{5}$."),
    ("12", "$0.\\boxed{12}$"),
    ("12", "$\\boxed{12},000$"),
    ("12", "The answer is $(\\boxed{12}, 5)$."),
    ("5", "$\\boxed{5}$. Never mind, it's 6."),
    ("5", "\\boxed{\\cancel{5}}"),
    ("12", "The answer is $ 12 \\sqrt{2} $"),
    ("204", "La respuesta no es 204."),
    ("204", "答案是204吗？不，是205。"),
]
RIGHT = [
    ("15", "\\boxed{5!!}"),
    ("(8,-2)", "\\boxed{y = -2, x = 8}"),
    ("(p,q) = (3,2)", "\\boxed{(q,p) = (2,3)}"),
    ("(1, \\pm 2)", "\\boxed{(1,2), (1,-2)}"),
    ("\\frac{n(n+1)}{2}", "\\boxed{\\sum_{k=1}^{n} k}"),
    ("\\left\\lceil \\frac{n}{2} \\right\\rceil", "\\boxed{\\left\\lfloor \\frac{n+1}{2} \\right\\rfloor}"),
    ("\\sqrt{xy}", "\\boxed{\\sqrt{x}\\sqrt{y}}"),
    ("\\frac{3\\pi}{2}+2k\\pi", "\\boxed{x = \\frac{3\\pi}{2} + 2\\pi k,\\ k \\in \\mathbb{Z}}"),
    ("(0,9) \\cup (9,36)", "\\boxed{0 < x < 36, x \\neq 9}"),
    ("\\text{No solution}", "\\boxed{\\emptyset}"),
    ("10:30 \\text{ a.m.}", "\\boxed{10:30 \\text{ AM}}"),
    ("60 \\text{ km/h}", "\\boxed{60 \\frac{\\text{km}}{\\text{h}}}"),
    ("5000", "The answer is $\\boxed{5}$ thousand."),
    ("513", "\\boxed{100m+n = 513}"),
    ("10^{10^{10}}", "\\boxed{10^{10000000000}}"),
    ("\\cos 80^\\circ", "\\boxed{\\cos(90^\\circ-10^\\circ)}"),
    ("3, 5", "$x=\\boxed{3}$ and $y=\\boxed{5}$"),
]


@pytest.mark.parametrize(("gold", "response"), WRONG)
def test_an_answer_that_only_resembles_the_gold_is_refused(gold: str, response: str) -> None:
    assert judge_strict(response, gold).reason != "correct"


@pytest.mark.parametrize(("gold", "response"), RIGHT)
def test_an_odd_spelling_of_the_gold_is_accepted(gold: str, response: str) -> None:
    assert judge_strict(response, gold).reason == "correct"


@pytest.mark.parametrize("text", ["①", "\\frac①2", "፩", "5①", "\\boxed{" + "①" * 500 + "}"])
def test_digits_that_are_no_decimal_ones_end(text: str) -> None:
    assert judge_strict(f"$\\boxed{{{text}}}$", "1").reason != "correct"


DEEP = {
    "double factorials": "5" + "!!" * 900,
    "products": "(1)" * 600, "bars": "|x|" * 600, "sums": "1+" * 900 + "1", "signs": "-" * 1000 + "1",
    "functions": r"\sin " * 300 + "1", "a huge point": r"\mathbb{R}\setminus\{10^{400}\}",
    "boxes": r"\boxed{" * 5000 + "5" + "}" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("answer", DEEP.values(), ids=list(DEEP))
@pytest.mark.parametrize("gold", ["7", r"(-\infty,2)\cup(2,\infty)", r"\infty"])
def test_answers_with_very_many_parts_end_as_wrong_ones(answer: str, gold: str) -> None:
    started = time.process_time()
    assert judge_strict(f"So the answer is $\\boxed{{{answer}}}$.", gold).reason != "correct"
    assert time.process_time() - started < 1


@pytest.mark.parametrize("behind", ["\\ " * 40 + ".", "\\\\ " * 40 + ".", " " * 5000 + "zz", "- " * 2000, "\\text{ " * 500])
def test_text_behind_a_box_takes_little_time(behind: str) -> None:
    started = time.process_time()
    judge_strict(f"$\\boxed{{5}}$ {behind}", "5")
    judge_strict(f"The answer is 5 {behind}", "5")
    assert time.process_time() - started < 1
