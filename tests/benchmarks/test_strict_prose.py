"""What stands as the answer in a text without a box."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.strict.judge import judge_strict
from benchmarks.strict.statement import Missing, Statement, find_statement

PROSE: list[tuple[str, Any, str]] = [
    ("The answer is 17.", "value", "17"),
    ("The answer is 17, in total, so she wins.", "value", "17"),
    ("**Answer:** `17`", "value", "17"),
    ("> **17**", "value", "17"),
    ("### Final Answer\n\n$$17$$", "value", "$$17$$"),
    ("#### 17,000", "value", "17,000"),
    ("<answer>17</answer>", "value", "17"),
    ("The answer is 17. To check: 17 = 8 + 9.", "value", "17"),
    ("The answer is 17. Therefore, the total is 18.", "value", "18"),
    ("The answer is clear. Thus x = 17.", "value", "x = 17"),
    ("The answer is 17 or maybe 18.", "value", "17 or maybe 18"),
    ("The answer is 17 (or 18).", "value", "17 (or 18)"),
    ("The answer is at least 17.", "value", "at least 17"),
    ("The answer is 17 if n is even.", "value", "17 if n is even"),
    ("The answer is 17 when n is even and 18 when n is odd.", "value", "17 when n is even and 18 when n is odd"),
    ("The answer is 3 less than 20.", "value", "3 less than 20"),
    ("The answer is 4:30 p.m. They rest then.", "value", "4:30 p.m"),
    ("It costs $17.50.", "value", "$17.50"),
    ("So **$17** is what Ann earns every day.", "value", "$17"),
    ("The walk takes 17 minutes.", "value", "17 minutes"),
    ("It takes 2 1/3 hours.", "value", "2 1/3 hours"),
    ("There are at most 17 ways.", "value", "at most 17 ways"),
    ("The probability is 1 in 6.", "value", "1 in 6"),
    ("using 1 or 2 steps we get 17", "value", "17"),
    ("3 * 4 = 12", "value", "3 * 4 = 12"),
    ("x = 3 or x = -4", "value", "x = 3 or x = -4"),
    ("The roots are $-3$ and $4$.", "value", "$-3$ and $4$"),
    ("Therefore,\n$$\nx=17.\n$$", "value", "$$\nx=17.\n$$"),
    ("y = x^2 - 3x + 2", "value", "y = x^2 - 3x + 2"),
    ("The answer is x^2 - 3x + 2.", "value", "x^2 - 3x + 2"),
    ("The range is -2 ≤ x ≤ 5.", "value", "-2 ≤ x ≤ 5"),
    ("The answer is 2sqrt(3).", "value", "2sqrt(3)"),
    ("There is no solution.", "value", "no solution"),
    ("最终答案：**17**", "value", "17"),
    ("答案是17或18", "value", "17或18"),
    ("面积为17平方厘米。", "value", "17平方厘米"),
    ("答えは17です。", "value", "17"),
    ("정답은 17입니다.", "value", "17"),
    ("Ответ: 0,5", "value", "0.5"),
    ("Ответ: 12,5 см.", "value", "12.5 см"),
    ("La réponse est 0,5.", "value", "0.5"),
    ("La respuesta es 17.", "value", "17"),
    ("A resposta é 17.", "value", "17"),
    ("Die Antwort lautet: 0,5.", "value", "0.5"),
    ("Đáp số: 17", "value", "17"),
    ("उत्तर: १७", "value", "१७"),
    ("الجواب: ١٧", "value", "١٧"),
    ("The answer is Carla.", "words", "Carla"),
    ("The function is odd.", "words", "odd"),
    ("Therefore, Carla is the fastest.", "words", "Carla"),
    ("Therefore, the correct choice is (C).", "choice", "C"),
    ("故选C。", "choice", "C"),
    ("**C**", "choice", "C"),
    ("I choose D.", "choice", "D"),
    ("The answer is B or C.", "choice", "B or C"),
    ("A or C", "choice", "A or C"),
    ("The answer is C, not B.", "choice", "C"),
    ("The answer is clearly not 16; it is 17.", "value", "17"),
    ("The answer is not 16 but 17.", "value", "17"),
    ("There are 17 such integers, not 18.", "value", "17"),
    ("La respuesta no es 16, sino 17.", "value", "17"),
    ("答案不是16，而是17。", "value", "17"),
    ("Final answer - 17", "value", "17"),
    ("Final answer: -17", "value", "-17"),
    ("Answer: 17!", "value", "17!"),
    ("**17**!", "value", "17"),
    ("The sum is three hundred sixty-six, i.e. 366.", "value", "366"),
    ("In base 8: $17_8$", "value", "$17_8$"),
    ("The answer is $ 12 \\sqrt{2} $", "value", "$12 \\sqrt{2}$"),
    (r"$\text{The answer is } 17\,\mathrm{hr}$", "value", r"$\text{The answer is } 17\,\mathrm{hr}$"),
    ("She runs 3*3=9 sprints, 9*60=540 meters.", "value", "9*60=540 meters"),
    ("The profit is $70,000 to $80,000.", "value", "$70,000 to $80,000"),
    ("The answer is 17 at most.", "value", "17 at most"),
    ("La probabilidad es 0,5.", "value", "0.5"),
    ("Die Wahrscheinlichkeit ist 0,5.", "value", "0.5"),
    ("The answer is 17. The naive answer is 18.", "value", "17"),
    ("The answer is 17. If order mattered, the answer would be 18.", "value", "17"),
    ("I am not joking: the answer is 17.", "value", "17"),
    ("Evelyn has the greatest average speed.", "words", "Evelyn"),
    ("It is Evelyn, not Carla.", "words", "Evelyn"),
    ("<thinking>18</thinking> The answer is 17.", "value", "17"),
    ("[THINK]18[/THINK]17", "value", "17"),
    ("18</reasoning>17", "value", "17"),
    ("<|channel|>analysis<|message|>18<|end|><|start|>assistant<|channel|>final<|message|>17<|return|>", "value", "17"),
]


@pytest.mark.parametrize(("text", "wanted", "part"), PROSE)
def test_without_a_box_a_plain_statement_is_the_answer(text: str, wanted: Any, part: str) -> None:
    assert find_statement(text, wanted) == Statement((part,), "prose")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        r"$\boxed{}$",
        "I could not solve it.",
        "Is it 17? No.",
        "Let x = 17.",
        r"<thinking>\boxed{17}</thinking>",
        r"[THINK]\boxed{17}[/THINK]",
        r"◁think▷\boxed{17}◁/think▷",
        r"\boxed{17}</thought>",
        "Unable to solve; time ran out at step 17.",
        "I gave up at 17.",
    ],
)
def test_a_text_that_states_nothing_has_no_answer(text: str) -> None:
    assert find_statement(text) == Missing("no answer")


LETTERS = ["Either A or B.", "Options A and B are both correct.", "All except C", "C is wrong.", "I would eliminate C.", "Anything but C."]


@pytest.mark.parametrize("text", LETTERS)
def test_letters_that_are_doubted_are_no_choice(text: str) -> None:
    assert judge_strict(text, r"\text{(C)}").reason != "correct"
    assert judge_strict(text, r"\text{(B)}").reason != "correct"


def test_what_is_said_of_a_thing_by_its_kind_is_the_adjective() -> None:
    assert judge_strict("$f$ is an even function.", r"\text{even}").reason == "correct"
    assert judge_strict("$f$ is an odd function.", r"\text{even}").reason == "wrong"
    assert judge_strict("$f$ is not an even function.", r"\text{even}").reason != "correct"
