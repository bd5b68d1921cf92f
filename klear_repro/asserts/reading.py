"""Reads tests that are Python text, and separates what a program must give from what is expected of it.

A text that only calls the program with values that are written out and compares what comes back (`assert f(1, [2]) == 3`,
`check(Solution().f)`, `self.assertEqual(f(1), 2)`, `math.isclose`, …) becomes calls in the sandbox and comparisons outside
it: the program never sees what is expected.  Any other text runs beside the program, which can then cheat
(`AssertTest.cheatable`).  Nothing is evaluated here; every step is linear in the text, and longer ones are not parsed.
"""

from __future__ import annotations

import ast
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.records import digest
from klear_repro.asserts import checker, inside
from klear_repro.asserts.plain import NotPlain, PlainAsserts
from sandbox import Test
from sandbox.inside import frames

Style = Literal["functional", "pytest"]
LONGEST = 1 << 18
"""Characters of a text that is parsed."""
RUNNER = Path(inside.__file__).read_text(encoding="utf-8")
"""The program that the sandbox runs; the program that is judged is an argument of it."""
_HOOKS = ("setup_module", "setup_function", "setup_class", "teardown_module", "teardown_function", "teardown_class", "teardown_method")


class UnusableTests(ValueError):
    """The text cannot be run as tests, with the reason."""


@dataclass(frozen=True)
class AssertTest:
    """A text of tests, ready to be run with a program."""

    style: Style
    text: str = ""
    """The text, where it runs beside the program."""
    setup: str = ""
    sides: tuple[str, ...] = ()
    """Otherwise: the expressions that the program's values come from, and the imports that they need."""
    expected: tuple[tuple[Any, ...], ...] = ()
    """And what is expected of each (`klear_repro.asserts.checker`)."""

    @property
    def cheatable(self) -> bool:
        """Whether a program can pass without being right."""
        return bool(self.text)

    def test(self, program: str) -> Test:
        """The test of a program, which the sandbox runs with `RUNNER` as its code."""
        if not self.cheatable:
            expected = [list(one) for one in self.expected]
            return Test(function="values", args=[program, self.style, self.setup, list(self.sides)], expected=expected, checker=checker.NAME)
        sealed = digest([self.style, self.text])
        return Test(function="passes", args=[program, self.style, self.text, sealed], expected=sealed)


def read_asserts(text: object, style: Style) -> AssertTest:
    """The tests of a text.

    Raises:
        UnusableTests: it cannot be run here, or tests nothing.
    """
    if not isinstance(text, str) or not text.strip():
        raise UnusableTests("must be the text of a program that is not empty")
    if len(text) > LONGEST:
        if style == "pytest":
            raise UnusableTests(f"{len(text):,} characters, allowed are {LONGEST:,}")
        return AssertTest(style, text)
    tree = _parsed(text)
    _check_imports(tree)
    if style == "pytest":
        _check_pytest(tree)
    if not any(_can_fail(node) for node in ast.walk(tree)):
        raise UnusableTests("asserts nothing")
    try:
        plain = PlainAsserts(style).read(tree)
        expected = tuple(plain.expected)
        frames.encode([list(one) for one in expected])  # else the sandbox refuses it
        return AssertTest(style, "", "\n".join(plain.setup), tuple(ast.unparse(side) for side in plain.sides), expected)
    except (NotPlain, RecursionError, ValueError, TypeError):
        return AssertTest(style, text)


def _parsed(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the text's own: its escapes, its asserts on tuples
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnusableTests(f"not Python ({str(error)[:80]})") from None


def _can_fail(node: ast.AST) -> bool:
    return isinstance(node, (ast.Assert, ast.Raise)) or (isinstance(node, (ast.Attribute, ast.Name)) and _name(node).startswith(("assert", "raises", "fail", "exit")))


def _name(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id


def _check_imports(tree: ast.Module) -> None:
    allowed = sys.stdlib_module_names | {"numpy", "solution", "pytest"}
    for node in ast.walk(tree):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.partition(".")[0] not in allowed:
                raise UnusableTests(f"imports {name[:40] or '.'}, and the sandbox has the standard library and numpy")


def _check_pytest(tree: ast.Module) -> None:
    """Raises UnusableTests for what the sandbox's part of pytest cannot do."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pytest" and node.attr not in inside.PYTEST:
            raise UnusableTests(f"needs pytest.{node.attr[:40]}; of pytest there is {', '.join(inside.PYTEST)}")
        if isinstance(node, ast.ImportFrom) and node.module == "pytest":
            for one in node.names:
                if one.name not in inside.PYTEST:
                    raise UnusableTests(f"needs pytest.{one.name[:40]}; of pytest there is {', '.join(inside.PYTEST)}")
        if isinstance(node, ast.Attribute) and node.attr in ("skipif", "xfail", "usefixtures") and isinstance(node.value, ast.Attribute) and node.value.attr == "mark":
            raise UnusableTests(f"needs pytest.mark.{node.attr}")
        if isinstance(node, ast.FunctionDef) and node.name in _HOOKS:
            raise UnusableTests(f"needs pytest's {node.name}")
    if not (tests := _test_functions(tree)):
        raise UnusableTests("no test functions")
    for function, method in tests:
        _check_parameters(function, method)


def _test_functions(tree: ast.Module) -> list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """The functions that pytest would run, and whether each is a method."""
    found: list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
            found.append((node, False))
        if isinstance(node, ast.ClassDef) and (node.name.startswith("Test") or node.bases):
            found += [(one, True) for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and one.name.startswith("test")]
    return found


def _check_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, method: bool) -> None:
    if isinstance(function, ast.AsyncFunctionDef):
        raise UnusableTests(f"{function.name[:40]} is asynchronous")
    given: set[str] = set()
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(func=ast.Attribute(attr="parametrize"), args=[ast.Constant(value=str(names)), *_]):
                given |= {name.strip() for name in names.split(",")}
            case ast.Call(func=ast.Attribute(attr="parametrize"), args=[ast.List(elts=names) | ast.Tuple(elts=names), *_]):
                given |= {name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str)}
    wanted = [one.arg for one in (*function.args.posonlyargs, *function.args.args)][bool(method) :]
    without_default = wanted[: len(wanted) - len(function.args.defaults)]
    if fixtures := [name for name in without_default if name not in given]:
        raise UnusableTests(f"needs the fixture {fixtures[0][:40]}, and there are none")
