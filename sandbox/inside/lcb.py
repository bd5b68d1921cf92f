"""The official LiveCodeBench harness, quirks included, for one test in its own process.

Definition: lcb_runner/evaluation/testing_util.py of LiveCodeBench at 28fef95: the prelude of imports, the
trailing `__main__` guard that is unwrapped, the body that becomes a function, the mocked stdin, the
swallowed SystemExit. Officially all tests of a sample share a process, here each has its own; what programs
keep from one test to the next is seen to by `sandbox.shared_state`, which runs several tests in one process.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any

from . import frames

RECURSION_LIMIT = 50_000  # of the official harness
RUNNER_ERROR = 5  # exit status for what ends the official runner: a function's SystemExit, KeyboardInterrupt
IN_TURN = "__calls_in_turn__"  # as a test's function: (name, [arguments of each call]) → [value of each call]
TEXTS_IN_TURN = "__texts_in_turn__"  # as a test's function: inputs → [output of each run]
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
_DISABLED_ELSEWHERE = {"shutil": ("rmtree", "move", "chown"), "subprocess": ("Popen",)}
_NEEDS_CWD = frozenset(("multiprocessing", "concurrent.futures"))  # to import; officially they are imported already
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
        return f"{_AFTER_PRELUDE}\n{source}{_mark(source)}"
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
    text = "\n".join([_AFTER_PRELUDE, _unparse(imports), ast.unparse(function)])
    return text + _mark(text)


def _mark(text: str) -> str:
    """Officially a text with these words must define the class at its top, where a wrapped program has nothing."""
    return f"\n{HAS_SOLUTION} = True\n" if "class Solution" in text else ""


def _unparse(statements: Sequence[ast.stmt]) -> str:
    return "\n".join(ast.unparse(statement) for statement in statements)


class MockBuffer:
    """The official class of this name, which programs may ask for."""

    def __init__(self, inputs: str) -> None:
        self.inputs = inputs.encode("utf-8", "surrogateescape")

    def read(self, *args: Any) -> bytes:
        return self.inputs

    def readline(self, *args: Any) -> bytes:
        return self.inputs.split(b"\n")[0] + b"\n"


class MockStdinWithBuffer:
    """What `sys.stdin` is while the program runs."""

    def __init__(self, inputs: str) -> None:
        self.inputs = inputs
        self._stringio = io.StringIO(inputs)
        self.buffer = MockBuffer(inputs)

    def read(self, *args: Any) -> str:
        return self.inputs

    def readline(self, *args: Any) -> str:
        return self._stringio.readline(*args)

    def readlines(self, *args: Any) -> list[str]:
        return self.inputs.split("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stringio, name)


class _MockFile(io.StringIO):
    """What `builtins.open` gives; the prelude's `open` is the real one."""

    def write(self, text: str) -> int:
        return len(text)


def _patch_streams(inputs: str) -> None:
    """The official patches in the order in which they take effect: the methods are replaced on the real
    standard input, which programs have by name (`from sys import stdin`), and only then is that replaced.
    """
    lines = iter(inputs.split("\n"))
    real: Any = sys.stdin
    real.read = lambda *args: inputs
    real.readline = lambda *args: next(lines)
    real.readlines = lambda *args: inputs.split("\n")
    sys.stdin = MockStdinWithBuffer(inputs)  # type: ignore[assignment]
    builtins.open = lambda *args, **named: _MockFile(inputs)  # type: ignore[assignment]


def official_names() -> dict[str, Any]:
    """The prelude, after the functions that the official `reliability_guard` takes away are gone. Officially the
    process is a child of multiprocessing, which closes its parent's standard input.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    with open(0, closefd=False) as closed:
        sys.__stdin__ = closed  # type: ignore[misc]
    for name in _DISABLED:
        setattr(os, name, None)
    builtins.quit = None  # type: ignore[assignment]
    builtins.help = None  # type: ignore[assignment]
    for name in _UNIMPORTABLE:
        sys.modules[name] = None  # type: ignore[assignment]
    sys.setrecursionlimit(RECURSION_LIMIT)
    return {**prelude(), "quit": None, "help": None, "__name__": "tmp_sol"}


def _load(code: CodeType) -> Any:
    """What has the function that is called: the program's module, or its `Solution()`."""
    if not _NEEDS_CWD.isdisjoint(code.co_names):
        import multiprocessing.process  # noqa: F401

    module = ModuleType("tmp_sol", "")
    space = module.__dict__
    space.update(official_names())
    exec(code, space)
    for name in _DISABLED_ELSEWHERE.keys() & sys.modules.keys():
        for function in _DISABLED_ELSEWHERE[name]:
            setattr(sys.modules[name], function, None)
    return space["Solution"]() if HAS_SOLUTION in space else module


def _silence() -> int:
    """Makes descriptors 0 and 1 /dev/null: officially nothing comes from the one or counts on the other. Returns
    another descriptor of the output.
    """
    output, null = os.dup(1), os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return output


def run_stdio(code: CodeType) -> int:
    """Runs the wrapped program on the text of descriptor 0. Returns 0 or raises.

    What it wrote to its StringIO goes to the output at the end, with a newline that says that it got there.
    """
    with open(0, "rb", closefd=False) as file:
        inputs = file.read().decode("utf-8", "surrogateescape")
    write, descriptor = os.write, _silence()
    (output,) = _outputs(code, [inputs])
    data = memoryview(output.encode("utf-8", "surrogatepass") + b"\n")
    while data:
        data = data[write(descriptor, data) :]
    return 0


def _outputs(code: CodeType, inputs: Sequence[str]) -> list[str]:
    """What the wrapped program writes to its StringIO, run on each input in turn."""
    method = _load(code).wrapped_function
    real_open, real_input, real_output = builtins.open, sys.stdin, sys.stdout
    outputs = []
    for text in inputs:
        captured = sys.stdout = io.StringIO()
        captured.close = lambda x: 1  # type: ignore[method-assign, misc, assignment]  # officially it lacks self
        _patch_streams(text)
        try:
            method()
        except SystemExit:
            pass
        finally:
            sys.stdin, sys.stdout, builtins.open = real_input, real_output, real_open
        outputs.append(captured.getvalue())
    return outputs


def call(code: CodeType, function: str, arguments: Sequence[Any]) -> Any:
    """The value of the call, or of several in turn, as `==` is to see it; of TEXTS_IN_TURN the outputs. A newline
    on descriptor 1 says that the program was loaded.
    """
    if function == TEXTS_IN_TURN:
        restore, descriptor = os.dup2, _silence()
        outputs = _outputs(code, arguments)
        restore(descriptor, 1)
        return outputs
    owner = _load(code)
    name, calls = arguments if function == IN_TURN else (function, [arguments])
    method = getattr(owner, name)
    os.write(1, b"\n")
    if function != IN_TURN:
        return _as_compared(method(*arguments))
    return [frames.decode(frames.encode(_as_compared(method(*each)))) for each in calls]


def _as_compared(value: Any) -> Any:
    """A tuple becomes a list; only the outermost one."""
    return _exact(list(value) if isinstance(value, tuple) else value)


def _exact(value: Any) -> Any:
    """Fractions and decimals as the int or float that they equal; nothing else crosses the boundary. An array has no
    truth value, so officially its comparison fails, unless it has one element.
    """
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    kind = type(value)
    if (kind.__module__, kind.__name__) == ("numpy", "ndarray") and value.size != 1:
        raise ValueError("the truth value of an array with more than one element is ambiguous")
    if kind.__name__ not in ("Decimal", "Fraction"):
        return value
    for number in (int, float):
        with contextlib.suppress(ArithmeticError, TypeError, ValueError):
            if (converted := number(value)) == value:
                return converted
    return value
