"""What stands as the answer in a text: boxes, alternatives, retractions and plain prose."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.strict.statement import Missing, Statement, find_statement

BOXES = [
    (r"The sum is $\boxed{17}$.", ("17",)),
    (r"$\fbox{17}$", ("17",)),
    ("$\\framebox\n{17}$", ("17",)),
    (r"so it is \boxed 17$", ("17",)),
    (r"so it is \boxed \frac{1}{2}.", (r"\frac{1}{2}",)),
    ("The sum is \x08oxed{17}.", ("17",)),
    (r"The sum is \\boxed{\\frac{1}{2}}.", (r"\frac{1}{2}",)),
    ("<|begin_of_box|>17<|end_of_box|>", ("17",)),
    (r"\boxed{\boxed{17}}", ("17",)),
    (r"$\boxed{17}}}$", ("17",)),
    (r"$\boxed{17$ is the sum.", ("17",)),
    (r"$\boxed{17}$. (See \boxed above.)", ("17",)),
    (r"$\boxed{17}$ and a last $\boxed{\text{}}$", ("17",)),
    (r"I write it in \boxed{your answer}. Then $\boxed{17}$.", ("17",)),
    (r"$x = \boxed{17}$", ("17",)),
    (r"$-\boxed{17}$", ("-(17)",)),
    (r"$x = -\boxed{17}$", ("-(17)",)),
    (r"It is -\boxed{17}.", ("-(17)",)),
    (r"- \boxed{17}", ("17",)),
    (r"$3\cdot\boxed{17}=51$", ("17",)),
    (r"$\sqrt{\boxed{17}}$", (r"\sqrt{(17)}",)),
    (r"$\boxed{17}x$", ("(17)x",)),
    (r"$\boxed{n}=17$", ("n=17",)),
    (r"$\boxed{17}^\circ$", ("17",)),
    (r"$\boxed{17}\%$", (r"17\%",)),
    (r"$\boxed{17}\text{ minutes}$", ("17",)),
    (r"$\boxed{2\sqrt{5}} \approx 4.47$", (r"2\sqrt{5}",)),
    (r"First $\boxed{16}$. That is wrong; it must be $\boxed{17}$.", ("17",)),
    (r"The perimeter is $\boxed{16}$. The area is $\boxed{17}$.", ("17",)),
    (r"It is $\boxed{17}$, not $\boxed{16}$.", ("17",)),
    (r"$x=\boxed{3}$, $y=\boxed{4}$", ("x = 3", "y = 4")),
    (r"$(\boxed{3}, \boxed{4})$", ("(3, 4)",)),
    (r"1) $\boxed{3}$" + "\n" + r"2) $\boxed{4}$", ("3", "4")),
    (r"(a) $\boxed{3}$ (b) $\boxed{4}$", ("3", "4")),
    (r"The roots are $\boxed{3}$ and $\boxed{4}$.", ("3", "4")),
    (r"The roots are $\boxed{3}$ and $4$.", ("3", "$4$")),
    (r"Option A2: none. Option 1 gives $\boxed{3}$. Option 2 gives $\boxed{4}$.", ("3", "4")),
    (r"I say $\boxed{3}$. Another possible answer is $\boxed{4}$.", ("3", "4")),
    (r"$\boxed{n}$ for even $n$ and $\boxed{n+1}$ for odd $n$", ("n", "n+1")),
    (r"$\boxed{3}$ 或 $\boxed{4}$", ("3", "4")),
    (r"Ответ: $\boxed{0,5}$", ("0.5",)),
    (r"$\bbox[5px,border:2px solid]{17}$", ("17",)),
    ("$\\boxed{\x0crac{1}{2}}$", (r"\frac{1}{2}",)),
    (r"$N\ge\boxed{17}$", (r"N\ge(17)",)),
    (r"$\boxed{17}\le N$", (r"(17)\le N",)),
    (r"N < \boxed{17}", ("N < (17)",)),
    (r"=> \boxed{17}", ("17",)),
    (r"Not more than one fails; we round up to $\boxed{17}$.", ("17",)),
    (r"At least $\boxed{16}$, in fact $\boxed{17}$.", ("17",)),
]


@pytest.mark.parametrize(("text", "parts"), BOXES)
def test_the_last_boxes_that_belong_together_are_the_answer(text: str, parts: tuple[str, ...]) -> None:
    found = find_statement(text)
    assert isinstance(found, Statement)
    assert found._replace(sentences=()) == Statement(parts, "box")


BESIDE = [
    (r"$\boxed{17}$ or $18$", ("$18$",)),
    (r"$\boxed{17}$, or perhaps 18.", ("18",)),
    (r"$\boxed{17}$ (18 if both ends count)", ("18",)),
    (r"$\boxed{17}$. It could also be 18.", ("18",)),
    (r"$\boxed{17}$ if $n$ is even, $18$ otherwise", ("$18$",)),
    (r"either $16$ or $\boxed{17}$", ("$16$",)),
    (r"$\boxed{17}$ or more.", ("more",)),
    (r"$\boxed{\frac{1}{4}}$ or 25%", ("25%",)),
    (r"$\boxed{\text{90 min}}$ or 1 h 30 min.", ("1 h 30 min",)),
    (r"$\boxed{17}$或者18", ("18",)),
    (r"$\boxed{17}$ is the least, or 18 at the edge.", ("18",)),
    (r"$\boxed{17}$, i.e. seventeen", ()),
    (r"$\boxed{17}$, since $16$ fails and $18$ is too large.", ()),
    (r"$\boxed{17}$ (check: 17 = 8 + 9)", ()),
    (r"$\boxed{17}$ and not 18", ()),
    (r"With 2 or 3 coins, $\boxed{17}$", ()),
    ("$\\boxed{17}$\n```output\n18\n```", ()),
]


@pytest.mark.parametrize(("text", "beside"), BESIDE)
def test_other_values_offered_beside_a_box_are_told(text: str, beside: tuple[str, ...]) -> None:
    found = find_statement(text)
    assert isinstance(found, Statement)
    assert (found.kind, found.beside, found.retracted) == ("box", beside, False)


RETRACTED = [
    r"It is not $\boxed{17}$.",
    r"$x \neq \boxed{17}$",
    r"答案不是$\boxed{17}$。",
    r"$\boxed{17}$ is wrong.",
    r"$\boxed{17}$. Wait, that is wrong.",
    r"$\boxed{17}$. Scratch that.",
    "The answer is not 17.",
    "The answer is 17. No, that is wrong.",
    "There aren't 17 ways.",
    "答案不可能是17",
    "I don't think it is 17.",
    r"The answer is at least $\boxed{17}$.",
    r"There are more than **$\boxed{17}$** of them.",
    r"$N\text{ is less than }\boxed{17}$",
    r"La respuesta es mayor que $\boxed{17}$.",
    r"Ответ больше $\boxed{17}$.",
    r"至少$\boxed{17}$",
    r"$\boxed{17}$ is too small.",
    r"$\boxed{17}$ must be rejected.",
    r"$\boxed{17}$ — wrong!",
    r"$\boxed{17}$ at most.",
    r"$\boxed{17}$?",
    r"$\boxed{17}$. But I forgot the case $n=0$.",
    "La respuesta no es 17.",
    "La risposta non è 17.",
    "A resposta não é 17.",
    "La réponse n'est pas 17.",
    "Die Antwort ist nicht 17.",
    "Ответ не 17.",
    "答えは17ではない。",
    "答えは17より大きい。",
    "정답은 17이 아닙니다.",
    "답은 17보다 크다.",
    "Something like 17.",
    "The answer is in the vicinity of 17.",
    "I doubt the answer is 17.",
    "I wonder whether the answer is 17.",
    "Some people say the answer is 17.",
    "The answer is other than 17.",
    "The answer is 17?",
    "The answer is 17 — wrong!",
    "答案是17吗？",
]


@pytest.mark.parametrize("text", RETRACTED)
def test_what_is_negated_or_taken_back_is_retracted(text: str) -> None:
    found = find_statement(text)
    assert isinstance(found, Statement)
    assert found.retracted


LATER = [
    (r"$\boxed{17}$. Wait, that is wrong; the answer is 18.", "18"),
    (r"$\boxed{17}$. I made a mistake. It should be $18$.", "$18$"),
    (r"$\boxed{17}$. Sorry, I meant $18$.", "$18$"),
    (r"$\boxed{17}$. Wait, it's 18.", "18"),
    (r"$\boxed{17}$. Hmm, I missed one: so it is $18$.", "$18$"),
    ("The answer is 17. Oops, 18.", "18"),
    ("The answer is 17? No, it is 18.", "18"),
    ("答案是17吗？不，是18。", "18"),
    ("$\\boxed{17}$\n\n**Final answer: 18**", "18"),
    ("$\\boxed{17}$\n\n#### 18", "18"),
    (r"$\boxed{17}$. So the balance is 18. Final Answer: The final answer is $1,018$.", "$1,018$"),
]


@pytest.mark.parametrize(("text", "part"), LATER)
def test_a_later_plain_statement_replaces_a_box(text: str, part: str) -> None:
    assert find_statement(text) == Statement((part,), "prose")


@pytest.mark.parametrize(
    "behind",
    [
        "The answer is correct.",
        "The final answer is 17.",
        "It should be noted that 5 is prime.",
        "I hope it is correct.",
        "<|im_end|>",
        "If instead $n=9$, the answer would be $84$.",
        "(For comparison, the naive answer is 336.)",
        "The root $x=-3$ must be rejected.",
        "Wait, let me check: 8 + 9 = 17.",
        "No 18 is needed.",
        "I forgot to mention that $n>0$.",
        "<|im_end|>\n<|im_start|>user\nAnd 18?",
        "Without the restriction the answer would be 18.",
        "Wait for the next problem.",
        "A common wrong answer is 18.",
    ],
)
def test_harmless_text_behind_a_box_changes_nothing(behind: str) -> None:
    assert find_statement(rf"$\boxed{{17}}$. {behind}") == Statement(("17",), "box")


@pytest.mark.parametrize(
    "text",
    [
        r"$\boxed{17",
        r"$\boxed{\frac{1}{2}",
        r"$\boxed{17}$ and $\boxed{\frac{1",
        r"<thinking>\boxed{17}",
        r"<|channel|>analysis<|message|>\boxed{17}",
    ],
)
def test_a_last_box_that_is_never_closed_is_truncated(text: str) -> None:
    assert find_statement(text) == Missing("truncated")


PIECES = st.sampled_from(
    [
        "$", "\\boxed{", "}", "{", "\\frac{1}{2}", "17", "1,018", " or ", " and ", "=", "x", "-", "not ", "\\text{",
        "The answer is ", "答案是", "Ответ: ", "0,5", "#### ", "(", ")", "\\(", "\\)", "\n", ". ", ", ", "that is wrong", "if ", "`", "**",
        "<answer>", "</answer>", "is ", " minutes", "<thinking>", "</thinking>", "not 3 but ", "at least ", "Wait, ", "!", "?",
        "\ud800", "\ue000", "%", "Option 2", "*",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES | st.text(max_size=4), max_size=25).map("".join), st.sampled_from(["value", "words", "choice"]))
def test_any_text_has_a_bounded_statement_or_none(text: str, wanted: Any) -> None:
    found = find_statement(text, wanted)
    if isinstance(found, Statement):
        assert found.parts
        assert all(len(part) <= 2 * len(text) + 10 for part in (*found.parts, *found.beside))


HOSTILE = [
    "\\boxed{", "{", "$", "7 ", "x = 1, ", "\\boxed{1} or ", "the answer is ", "$1$ or ", "(", " ", "1,", "1.1", "\\boxed 1 ", "答案",
    "`", "*", "\n", "1-", "\\(1\\)", "not ", "(or ", "m+", "q=q=", "5 if ", "\\boxed{5},", "\\boxed{}", "```\n", "that is wrong ", "é la ",
    "<thinking>", "</thinking>", "</s>", "<|channel|>", "not 1 but ", ", not 1", "wait, ", "?", "if ", "i.e. ", "\\le ", "more than ",
    "$ 1 ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_megabytes_of_hostile_text_take_little_time(piece: str) -> None:
    long, less = piece * (1_000_000 // len(piece)), piece * (50_000 // len(piece))
    for text in (long, "\\boxed{5}" + less, less + "\\boxed{5}"):
        started = time.process_time()
        find_statement(text)
        assert time.process_time() - started < 1
