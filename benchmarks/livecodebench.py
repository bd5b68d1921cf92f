"""LiveCodeBench: private tests decoded without running code, and programs extracted from responses.

Formats and rules are those of github.com/LiveCodeBench/LiveCodeBench at 28fef95
(`benchmarks/code_generation.py`, `utils/extraction_utils.py`) and, for `style="klear"`, of the reward
released with Klear-Reasoner (`verl/utils/reward_score/code_r1_compute.py`), in this project's own code.
The official decoder unpickles data of unknown origin, which can run any code; here only the opcodes
that a pickled string, or a dictionary of strings, needs are let through.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import pickletools
import zlib
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

from benchmarks.errors import BenchmarkError
from benchmarks.records import CodeTest

LARGEST_BYTES = 512 << 20
"""Decompressed size beyond which private tests are refused."""
LARGEST_CALLS = 128 << 20
"""Characters of all calls of a problem together; parsed, they may take twenty times as much memory."""
STRING_OPCODES = {"PROTO", "FRAME", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINPUT", "MEMOIZE"}
STRUCTURE_OPCODES = {"EMPTY_DICT", "MARK", "SETITEM", "SETITEMS", "STOP"}


class PrivateTestsError(BenchmarkError):
    """A test payload that is broken, too large, or tries to be more than text."""


class _TextUnpickler(pickle.Unpickler):
    """Second line of defence behind the opcode list: no global is ever looked up."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise PrivateTestsError(f"private tests: the pickle asks for {module}.{name}; refused")

    def persistent_load(self, pid: object) -> NoReturn:
        raise PrivateTestsError("private tests: the pickle asks for a persistent object; refused")


def decode_private_tests(text: str, max_bytes: int = LARGEST_BYTES) -> list[dict[str, str]]:
    """The tests of a `private_test_cases` field: dictionaries with `input`, `output`, `testtype`.

    `text` is JSON, or base64 → zlib → a pickled JSON string (the official form), or the same around a
    pickled dictionary `{"input_output": JSON of inputs, outputs, fn_name}`; tests of that last form
    carry `fn_name` too when they are functional.  No pickle can run code or take more than about
    `max_bytes`; what `code_tests` parses has a bound of its own.

    Raises:
        PrivateTestsError: (a BenchmarkError) none of these forms, too large, or a forbidden opcode.
    """
    stripped = text.strip()
    if stripped[:1] in ("[", "{"):
        return _as_tests(_json(stripped))
    try:
        packed = base64.b64decode(stripped, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PrivateTestsError("private tests: neither JSON nor base64") from error
    value = _unpickle_text(_decompress(packed, max_bytes))
    return _as_tests(_json(value) if isinstance(value, str) else value)


def _decompress(packed: bytes, max_bytes: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise PrivateTestsError(f"private tests: not zlib data ({error})") from error
    if len(data) > max_bytes:
        raise PrivateTestsError(f"private tests: more than {max_bytes} bytes decompressed")
    if not stream.eof:
        raise PrivateTestsError("private tests: the zlib data is cut off")
    return data


def _unpickle_text(data: bytes) -> Any:
    try:
        for opcode, _, _ in pickletools.genops(data):
            if opcode.name not in STRING_OPCODES | STRUCTURE_OPCODES:
                raise PrivateTestsError(
                    f"private tests: the pickle is not plain text (opcode {opcode.name}); refused"
                )
        value = _TextUnpickler(io.BytesIO(data)).load()
    except PrivateTestsError:
        raise
    except (
        pickle.UnpicklingError,
        ValueError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        OverflowError,
    ) as error:
        raise PrivateTestsError(f"private tests: broken pickle ({error})") from error
    if not isinstance(value, str | dict):
        raise PrivateTestsError("private tests: the pickle is neither a string nor a dictionary")
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PrivateTestsError(f"private tests: not JSON ({str(error)[:80]})") from error


def _as_tests(value: Any) -> list[dict[str, str]]:
    if isinstance(value, dict) and isinstance(value.get("input_output"), str):
        value = _json(value["input_output"])
    if isinstance(value, dict):
        return _from_columns(value)
    if not isinstance(value, list):
        raise PrivateTestsError("private tests: expected a list of tests")
    for test in value:
        if not isinstance(test, dict) or not all(
            isinstance(test.get(field), str) for field in ("input", "output")
        ):
            raise PrivateTestsError("private tests: a test without text `input` and `output`")
    return [{"testtype": "stdin", **test} for test in value]


def _from_columns(columns: dict[str, Any]) -> list[dict[str, str]]:
    inputs, outputs, function = columns.get("inputs"), columns.get("outputs"), columns.get("fn_name")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise PrivateTestsError("private tests: `inputs` and `outputs` must be lists of equal length")
    if not all(isinstance(value, str) for value in [*inputs, *outputs]):
        raise PrivateTestsError("private tests: `inputs` and `outputs` must hold texts")
    kind = {"testtype": "functional", "fn_name": function} if function else {"testtype": "stdin"}
    return [{"input": i, "output": o, **kind} for i, o in zip(inputs, outputs, strict=True)]


def code_tests(tests: Sequence[dict[str, str]], function: str | None = None) -> tuple[CodeTest, ...]:
    """Decoded tests as record tests.

    `function` is the row's `metadata.func_name`; with it the tests are calls, whose arguments are the
    JSON values on the lines of `input` and whose expected value is the JSON value in `output`.
    """
    converted = []
    if function or any("fn_name" in test for test in tests):
        size = sum(len(test["input"]) + len(test["output"]) for test in tests)
        if size > LARGEST_CALLS:
            raise PrivateTestsError(f"private tests: {size} characters of arguments; at most {LARGEST_CALLS} are parsed")
    for test in tests:
        name = function or test.get("fn_name")
        if name is None:
            converted.append(CodeTest(input=test["input"], expected=test["output"]))
        else:
            args = tuple(_json(line) for line in test["input"].split("\n"))
            converted.append(CodeTest(function=name, args=args, expected=_json(test["output"])))
    return tuple(converted)


def extract_code(text: str, style: Literal["lcb", "klear"] = "lcb") -> str:
    """The program in a response, or an empty string.

    `lcb`: the lines between the last two lines that contain three backticks, over the whole text.
    `klear`: the last closed python block after the first `</think>` (none without it), as the
    released reward's pattern `</think>.*```python\\n(.*?)\\n```` finds it, in linear time.
    """
    if style == "lcb":
        lines = text.split("\n")
        fences = [number for number, line in enumerate(lines) if "```" in line]
        return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) >= 2 else ""
    if style != "klear":
        raise BenchmarkError(f"unknown extraction style {style!r}; allowed: lcb, klear")
    fence = "```python\n"
    thought = text.find("</think>")
    last_close = text.rfind("\n```")
    if thought < 0 or last_close < 0:
        return ""
    start = text.rfind(fence, thought + len("</think>"), last_close)
    if start < 0:
        return ""
    return text[start + len(fence) : text.find("\n```", start + len(fence))]
