"""The official LiveCodeBench harness, quirks included, for one test in its own process.

Definition: lcb_runner/evaluation/testing_util.py of LiveCodeBench at 28fef95: the prelude of imports, the
trailing `__main__` guard that is unwrapped, the body that becomes a function, the mocked stdin, the
swallowed SystemExit. One difference: officially all tests of a sample share a process, here each has its
own, so a program whose state survives from one test to the next is judged without that state.
"""

from __future__ import annotations

import ast
import builtins
import io
import os
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any

RECURSION_LIMIT = 50_000
INT_DIGITS = 50_000
HAS_SOLUTION = "__text_has_class_solution__"
_STAR = (
    "string",
    "re",
    "datetime",
    "collections",
    "heapq",
    "bisect",
    "copy",
    "math",
    "random",
    "statistics",
    "itertools",
    "functools",
    "operator",
    "io",
    "sys",
    "json",
    "builtins",
    "typing",
)
_PLAIN = _STAR[:-2]
_AFTER_PRELUDE = "import sys"  # officially imports come first, so `from __future__` is a syntax error
_UNIMPORTABLE = ("ipdb", "joblib", "resource", "psutil", "tkinter")
_DISABLED = (
    *("kill", "system", "putenv", "remove", "removedirs", "rmdir", "fchdir", "setuid", "fork", "forkpty"),
    *("killpg", "rename", "renames", "truncate", "replace", "unlink", "fchmod", "fchown", "chmod", "chown"),
    *("chroot", "lchflags", "lchmod", "lchown", "getcwd", "chdir"),
)
_STREAMS = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
_prelude: dict[str, Any] = {}


def prelude() -> dict[str, Any]:
    """The names that the official prelude defines; the standard streams among them are the current ones."""
    if not _prelude:
        text = "".join(f"from {name} import *\n" for name in _STAR) + "".join(
            f"import {name}\n" for name in _PLAIN
        )
        exec(text, _prelude)
        del _prelude["__builtins__"]
    current = {name: getattr(sys, name) for name in _STREAMS if name in _prelude}
    return {**_prelude, **current}


def transform(source: str, functional: bool) -> str:
    """The text that the official grader executes, without its prelude. Raises what `ast.parse` raises."""
    if functional:
        mark = f"\n{HAS_SOLUTION} = True\n" if "class Solution" in source else ""
        return f"{_AFTER_PRELUDE}\n{source}{mark}"
    tree = ast.parse(source)
    body = list(tree.body)
    if (
        body
        and isinstance(body[-1], ast.If)
        and ast.unparse(body[-1].test).strip() == "__name__ == '__main__'"
    ):
        body = ast.parse(_unparse(body[:-1]) + "\n" + _unparse(body[-1].body)).body
    imports = [s for s in body if isinstance(s, (ast.Import, ast.ImportFrom))]
    others = [s for s in body if not isinstance(s, (ast.Import, ast.ImportFrom))]
    if not others:
        raise SyntaxError("nothing is left for the function that the body becomes")
    function = ast.FunctionDef(
        name="wrapped_function",
        args=ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]),
        body=others, decorator_list=[], lineno=1, col_offset=0,
    )  # fmt: skip
    return "\n".join([_AFTER_PRELUDE, _unparse(imports), ast.unparse(function)])


def _unparse(statements: Sequence[ast.stmt]) -> str:
    return "\n".join(ast.unparse(statement) for statement in statements)


class _MockBuffer:
    def __init__(self, inputs: str) -> None:
        self.inputs = inputs.encode("utf-8")

    def read(self, *args: Any) -> bytes:
        return self.inputs

    def readline(self, *args: Any) -> bytes:
        return self.inputs.split(b"\n")[0] + b"\n"


class _MockStdin:
    """The mock with the patches that the official grader puts on the instance already applied."""

    def __init__(self, inputs: str) -> None:
        lines = iter(inputs.split("\n"))
        self.inputs = inputs
        self._stringio = io.StringIO(inputs)
        self.buffer = _MockBuffer(inputs)
        self.readline = lambda *args: next(lines)
        self.readlines = lambda *args: inputs.split("\n")
        self.read = lambda *args: inputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stringio, name)


def official_names() -> dict[str, Any]:
    """The prelude, after the functions that the official `reliability_guard` takes away are gone."""
    for name in _DISABLED:
        setattr(os, name, None)
    builtins.quit = None  # type: ignore[assignment]
    builtins.help = None  # type: ignore[assignment]
    for name in _UNIMPORTABLE:
        sys.modules[name] = None  # type: ignore[assignment]
    sys.setrecursionlimit(RECURSION_LIMIT)
    return {**prelude(), "quit": None, "help": None, "__name__": "tmp_sol"}


def run_stdio(code: CodeType) -> int:
    """Runs the wrapped program on descriptor 0; its StringIO output goes to descriptor 1. Returns 0 or
    raises.
    """
    with open(0, "rb", closefd=False) as file:
        inputs = file.read().decode("utf-8", "surrogateescape")
    real_output, real_write = sys.stdout, os.write
    module = ModuleType("tmp_sol", "")
    space = module.__dict__
    space.update(official_names())
    exec(code, space)
    captured = sys.stdout = io.StringIO()
    captured.close = lambda: None  # type: ignore[method-assign]
    sys.stdin = _MockStdin(inputs)  # type: ignore[assignment]
    try:
        space["wrapped_function"]()
    except SystemExit:
        pass
    finally:
        sys.stdout = real_output
    data = memoryview(captured.getvalue().encode("utf-8", "surrogatepass"))
    while data:
        data = data[real_write(1, data) :]
    return 0
