"""Simple arithmetic word problems for a small pretrained model, and the short answers that SFT shows it.

They stand in for the paper's mathematics where a model of 135 M parameters is trained on a CPU.  The teacher writes one line
of calculation and the answer, always right; what the model still gets wrong after a little of that is left to RL.
"""

from __future__ import annotations

import random

from klear_repro.data.synthetic import Task

_NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jack", "Kate", "Leo", "Maria", "Noah", "Olga", "Paul", "Rosa", "Sam", "Tina", "Victor")
_THINGS = ("apples", "books", "cards", "coins", "cookies", "eggs", "flowers", "marbles", "pencils", "shells", "stamps", "stickers", "stones", "tickets", "toys")

_STORIES: dict[str, tuple[str, ...]] = {
    "add": (
        "{n} has {a} {t}. {m} gives {n} {b} more. How many {t} does {n} have now?",
        "{n} found {a} {t} on Monday and {b} {t} on Tuesday. How many {t} did {n} find in all?",
        "There are {a} {t} in one bag and {b} {t} in another bag. How many {t} are there together?",
    ),
    "subtract": (
        "{n} had {a} {t} and gave {b} of them to {m}. How many {t} does {n} have left?",
        "A shop had {a} {t} and sold {b} of them. How many {t} are left?",
        "{n} has {a} {t} and {m} has {b} {t}. How many more {t} does {n} have than {m}?",
    ),
    "multiply": (
        "There are {a} boxes with {b} {t} each. How many {t} are there in all?",
        "{n} buys {b} {t} every day for {a} days. How many {t} does {n} buy in all?",
    ),
    "multiply-add": (
        "{n} has {a} boxes with {b} {t} each and {c} more {t}. How many {t} does {n} have?",
        "{m} packs {a} bags with {b} {t} in each. {c} {t} do not fit. How many {t} are there in all?",
    ),
    "add-subtract": (
        "{n} has {a} {t}, finds {b} more and loses {c}. How many {t} does {n} have now?",
        "A box holds {a} {t}. {n} puts in {b} {t} and takes out {c}. How many {t} are in the box?",
    ),
}


def word_task(rng: random.Random) -> Task:
    """One problem of one or two operations, with results from 0 to 198."""
    family = rng.choice(list(_STORIES))
    first, second = rng.sample(_NAMES, 2)
    if family.startswith("multiply"):
        a, b = rng.randint(2, 9), rng.randint(3, 12)
        c = rng.randint(2, 30)
    else:
        a, b = rng.randint(11, 99), rng.randint(11, 99)
        a, b = (max(a, b), min(a, b)) if family == "subtract" else (a, b)
        c = rng.randint(2, min(60, a + b))
    steps = {
        "add": [(a, "+", b, a + b)], "subtract": [(a, "-", b, a - b)], "multiply": [(a, "*", b, a * b)],
        "multiply-add": [(a, "*", b, a * b), (a * b, "+", c, a * b + c)],
        "add-subtract": [(a, "+", b, a + b), (a + b, "-", c, a + b - c)],
    }[family]  # fmt: skip
    answer = steps[-1][-1]
    statement = rng.choice(_STORIES[family]).format(n=first, m=second, t=rng.choice(_THINGS), a=a, b=b, c=c)
    line = " ".join(f"{x} {sign} {y} = {value}." for x, sign, y, value in steps)

    def teach(teacher: random.Random, error_rate: float) -> str:
        return f"{line} The answer is {answer}."

    return Task("math", family, statement, teach, answer=str(answer), info={"steps": len(steps)})
