"""Programs on which the sandbox must agree with the official LiveCodeBench checker.

Model programs on the examples of their own problem statements, HumanEval solutions on their assertions,
mutants of both, model programs with a quirk put in, the quirks of `quirks.py`, and the programs of `state.jsonl`,
which could keep something from one test to the next. Everything but the last two is made from the shared data, which
is not part of this project; nothing here is random.
"""

from __future__ import annotations

import ast
import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.livecodebench import decode_private_tests

from . import quirks

STATE = Path(__file__).with_name("state.jsonl")
MUTANT_TIMEOUT = 1
MUTANTS_OF_REAL = 40
"""Of each of the three real problems; the official checker fails well over 20 of them."""


@dataclass(frozen=True)
class Case:
    """One program with its tests in the official form; a call's arguments are lines of JSON."""

    name: str
    code: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: str | None = None
    timeout: int = 6

    @property
    def group(self) -> str:
        """model, humaneval, mutant, injected, quirk, state or real."""
        return self.name.partition("/")[0]

    @property
    def key(self) -> str:
        """The hash of all that the verdict depends on."""
        parts = [self.code, self.inputs, self.outputs, self.function, self.timeout]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]

    @property
    def rows(self) -> list[dict[str, str]]:
        """The tests as `benchmarks.livecodebench.code_tests` takes them."""
        return [{"input": i, "output": o} for i, o in zip(self.inputs, self.outputs, strict=True)]


def own_cases() -> list[Case]:
    """The quirks, which need no shared data."""
    cases = [
        Case(f"quirk/{name}", code, (given,), (expected,), timeout=1)
        for name, code, given, expected in quirks.STDIN
    ]
    cases += [Case(f"quirk/{name}", code, given, expected) for name, code, given, expected in quirks.STDIN_STATE]
    for name, body, arguments, expected in quirks.FUNCTIONAL:
        code = body if "def f" in body else f"class Solution:\n    def f(self, x):\n        {body}"
        cases.append(Case(f"quirk/{name}", code, arguments, expected, "f", timeout=1))
    return cases


def state_cases() -> list[Case]:
    """The programs of `state.jsonl`, written for this project: several tests each, functions called `f` and programs
    on standard input. Most keep something; what is expected is, in turns, what a fresh process gives for each test,
    and what one process gives for all of them.
    """
    rows = map(json.loads, STATE.read_text(encoding="utf-8").splitlines())
    return [
        Case(f"state/{row['name']}", row["code"], tuple(row["inputs"]), tuple(row["outputs"]), row.get("function"), timeout=1)
        for row in rows
    ]


def shared_cases(data: Path) -> list[Case]:
    """Everything that is made from the files in the shared folder `data`."""
    rows = json.loads((data / "lcb_o1_mini_eval_all.json").read_text(encoding="utf-8"))
    models = [case for row in rows if (case := _model_case(row)) is not None]
    stdin = [case for case in models if case.function is None]
    calls = [case for case in models if case.function is not None]
    evals = list(_human_eval(data / "human_eval.jsonl"))
    mutants = [mutant for case in (*stdin[::3], *calls[::3], *evals[::3]) for mutant in _mutants(case, 1)]
    injected = [
        *_injected([case for case in stdin if "input()" in case.code], quirks.INJECTED_STDIN),
        *_injected([case for case in calls if "class Solution" in case.code], quirks.INJECTED_CALLS),
    ]
    return [*models, *evals, *mutants, *injected, *_real(data / "lcb_v1_sample.jsonl", rows)]


def _model_case(row: dict[str, Any]) -> Case | None:
    """A model's program on the examples of the problem statement; None if they cannot be read from it."""
    name, code, text = f"model/{row['question_id']}", row["code_list"][0], row["question_content"]
    if row["platform"] != "leetcode":
        pairs = re.findall(
            r"Sample Input ?\d*:?\n+(.*?)\n+Sample Output ?\d*:?\n+(.*?)(?:\n\n\n|\n\n(?=\S)|\Z)", text, re.S
        )
        if row["platform"] == "codeforces":
            pairs = [(re.sub(r"\n\n+", "\n", given), output) for given, output in pairs]
        tests = [(given.strip() + "\n", output.strip() + "\n") for given, output in pairs]
        return _case(name, code, tests, None)
    found = re.search(r"def (\w+)\(", row["starter_code"])
    tests = []
    for given, output in re.findall(r"Input: ?(.*?)\n+Output: ?(.*?)\n", text, re.S):
        values = [value.strip() for value in re.split(r"(?:^|, )\w+ = ", given)[1:]]
        if all(map(_is_json, [*values, output])) and values:
            tests.append(("\n".join(values), output))
    return _case(name, code, tests, found.group(1)) if found else None


def _case(name: str, code: str, tests: list[tuple[str, str]], function: str | None) -> Case | None:
    if not tests or not code:
        return None
    return Case(name, code, tuple(i for i, _ in tests), tuple(o for _, o in tests), function)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def _human_eval(file: Path) -> Iterator[Case]:
    """Canonical solutions as functions, on the assertions that compare with plain JSON data."""
    for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        tests = []
        for node in ast.walk(ast.parse(row["test"])):
            if (pair := _assertion(node)) is not None:
                tests.append(pair)
        code = row["prompt"] + row["canonical_solution"]
        if case := _case(f"humaneval/{row['task_id'].partition('/')[2]}", code, tests, row["entry_point"]):
            yield case


def _assertion(node: ast.AST) -> tuple[str, str] | None:
    if not isinstance(node, ast.Assert) or not isinstance(node.test, ast.Compare):
        return None
    called, expected = node.test.left, node.test.comparators[0]
    if not isinstance(called, ast.Call) or not isinstance(node.test.ops[0], ast.Eq) or not called.args:
        return None
    try:
        given = "\n".join(json.dumps(ast.literal_eval(argument)) for argument in called.args)
        return given, json.dumps(ast.literal_eval(expected))
    except (ValueError, TypeError):
        return None


def _real(file: Path, rows: list[dict[str, Any]]) -> Iterator[Case]:
    """The three problems whose own tests are there, with the model's program and mutants of it."""
    programs = {row["question_id"]: row["code_list"][0] for row in rows}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name = json.loads(row["labels"])["task_id"].partition("/")[2]
        tests = decode_private_tests(row["test"])
        case = _case(
            f"real/{name}", programs[name], [(test["input"], test["output"]) for test in tests],
            tests[0].get("fn_name"),
        )  # fmt: skip
        assert case is not None
        yield case
        yield from _mutants(case, MUTANTS_OF_REAL)


_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def _mutants(case: Case, number: int) -> Iterator[Case]:
    """Up to `number` distinct mutants, the same in every run: a swapped operator, another constant, a lost or crashing statement."""
    choice = random.Random(case.key)
    seen = {case.code}
    for attempt in range(4 * number):
        if (code := _mutate(case.code, choice)) is None or code in seen:
            continue
        seen.add(code)
        group = "real" if case.group == "real" else "mutant"
        name = f"{group}/{case.name.partition('/')[2]}/{case.group}-{attempt}"
        yield replace(case, name=name, code=code, timeout=MUTANT_TIMEOUT)
        if len(seen) > number:
            return


def _mutate(code: str, choice: random.Random) -> str | None:
    kind = choice.choice(["operator", "operator", "constant", "constant", "delete", "raise", "name", "syntax"])
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    places: list[Any] = [node for node in ast.walk(tree) if _is_place(kind, node)]
    if kind == "syntax":
        return code.replace(":\n", "\n", 1)
    if not places:
        return None
    node = choice.choice(places)
    if kind == "operator" and isinstance(node, ast.Compare):
        node.ops[0] = _SWAPS[type(node.ops[0])]()  # type: ignore[call-overload]
    elif kind == "operator":
        node.op = _SWAPS[type(node.op)]()
    elif kind == "constant":
        node.value = node.value + (choice.choice([1, -1]) if isinstance(node.value, int) else "x")
    elif kind == "name":
        node.id += "_"
    else:
        tree = _Replace(node, ast.Pass() if kind == "delete" else ast.parse("raise ValueError(1)").body[0]).visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


def _is_place(kind: str, node: ast.AST) -> bool:
    if kind == "operator":
        operator = getattr(node, "op", None) or next(iter(getattr(node, "ops", [])), None)
        return isinstance(node, (ast.BinOp, ast.BoolOp, ast.Compare)) and type(operator) in _SWAPS
    if kind == "constant":
        return isinstance(node, ast.Constant) and type(node.value) in (int, str)
    if kind == "name":
        return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    return isinstance(node, (ast.Assign, ast.Expr, ast.AugAssign, ast.Return))


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else self.generic_visit(node)


def _injected(cases: list[Case], changes: dict[str, str]) -> Iterator[Case]:
    """Each change on programs of its own: `{code}` stands for the program, `{function}` for its method."""
    for number, (name, template) in enumerate(changes.items()):
        for case in cases[number :: len(changes)][: quirks.PROGRAMS_PER_INJECTION]:
            code = template.replace("{indented}", re.sub(r"(?m)^(?=.)", "    ", case.code))
            code = code.replace("{code}", case.code).replace("{function}", case.function or "")
            yield replace(case, name=f"injected/{name}/{case.name.partition('/')[2]}", code=code, timeout=1)
