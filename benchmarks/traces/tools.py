"""Signs that a tool worked on a response: a program with its output in the text, calls in the messages, or the file's own count of them.

A model may also write an "output" that nothing printed; a text does not tell the two apart.  What a harness ran
beside the text and did not write down is not seen.  Every search here takes time in proportion to the row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.traces.fields import chat_text

_FENCE = re.compile(r"`{3,}([\w+-]*)")
_CODE = {"python", "py", "python3", "ipython", "sympy", "sage", "tool_code", "code", "r", "julia"}
_OUTPUT = {"output", "outputs", "stdout", "tool_output", "tool_outputs", "code_output", "execution_output"}
_PAIRS = (
    ("<llm-code>", "<llm-code-output>"),  # NeMo-Skills and OpenMathInstruct
    ("<|python_tag|>", "<|start_header_id|>ipython"),  # Llama 3
    ("<tool_call>", "<tool_response>"),  # Hermes and Qwen
    ("</code>", "<interpreter>"),  # ReTool
    ("<|code|>", "<|execution|>"),  # MathCoder
    ("<|call|>", "to=assistant"),  # gpt-oss
    ("<｜tool▁call▁begin｜>", "<｜tool▁output▁begin｜>"),  # DeepSeek
    ("[TOOL_CALLS]", "[TOOL_RESULTS]"),  # Mistral
    ("</python>", "<result>"),  # Tool-Star
    ("</search>", "<information>"),  # Search-R1
)
"""What stands before, and what behind it, where a tool was called and answered."""
_ROLES = {"tool", "function", "ipython", "observation", "tool_response"}
_ASSISTANTS = {"assistant", "bot", "model"}
_CALLS = ("tool_calls", "function_call", "functionCall", "tool_use", "executableCode", "codeExecutionResult")
"""Fields of a message that say of a call."""
_TYPES = {
    "tool_use", "tool_call", "tool_calls", "tool_result", "server_tool_use", "function_call", "function_call_output",
    "code_interpreter_call", "code_execution_tool_result", "executable_code", "code_execution_result", "web_search_call",
}  # fmt: skip
"""Types of a message, or of a part of one, that are a call or its answer."""
_COUNTS = ("code_rounds_executed", "num_tool_calls", "num_code_executions", "tool_call_count")
_HELD = (
    "response", "responses", "generation", "generations", "completion", "completions", "messages", "conversation", "conversations",
    "model_response", "model_responses", "model_output", "model_outputs", "output", "outputs", "prediction", "predictions", "choices",
    "tool_calls", "function_call",
)  # fmt: skip
"""Fields of a row that may hold messages of the model."""


def ran_tool(text: str) -> bool:
    """Whether a text has a program that is followed at once by a block with its output, or a tool's call and answer in marks for them."""
    if any((start := text.find(call)) >= 0 and text.find(answer, start) >= 0 for call, answer in _PAIRS):
        return True
    opened: str | None = None
    closed, end = "", 0
    for fence in _FENCE.finditer(text):
        name = fence[1].lower()
        if name in _OUTPUT:
            follows = opened is None and closed in _CODE and not text[end : fence.start()].strip()
            if follows or opened in _CODE:  # the block of output may also end that of the program
                return True
        if name or opened is None:
            opened = name
        else:
            closed, end, opened = opened, fence.end(), None
    return False


def called_tools(row: Mapping[str, Any], of: int) -> list[bool]:
    """For each of the `of` responses of a row: whether its messages have a call of a tool, or the row counts one."""
    found = [False] * of
    for name in (*_HELD, *_COUNTS):
        value = row.get(name)
        uses = _counted if name in _COUNTS else _called
        if isinstance(value, Mapping) and len(value) == of > 1:
            value = list(value.values())
        if isinstance(value, list) and len(value) == of > 1:
            found = [before or uses(one) for before, one in zip(found, value, strict=True)]
        elif uses({name: value} if name in _CALLS else value):
            return [True] * of
    reports = row.get("report") if isinstance(row.get("code"), list) else None  # of the Qwen2.5-Math harness: what became of a program
    if isinstance(reports, list) and len(reports) == of:
        found = [before or (isinstance(one, str) and bool(one)) for before, one in zip(found, reports, strict=True)]
    return found


def _counted(value: object) -> bool:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return isinstance(value, (int, float)) and value > 0


def _called(value: object) -> bool:
    return any(_is_call(one) if isinstance(one, Mapping) else _conversed(one) for one in _inside(value))


def _inside(value: object) -> Iterator[Mapping[str, Any] | list[Any]]:
    """The objects and lists in a value, itself among them, however deep they lie."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            yield one
            left += one.values()
        elif isinstance(one, list):
            yield one
            left += [inner for inner in one if isinstance(inner, (Mapping, list))]


def _is_call(one: Mapping[str, Any]) -> bool:
    role, form = one.get("role"), one.get("type")
    if (isinstance(role, str) and role.lower() in _ROLES) or (isinstance(form, str) and form in _TYPES):
        return True
    return any(any(value.values()) if isinstance(value := one.get(name), Mapping) else isinstance(value, list) and value for name in _CALLS)


def _conversed(messages: list[Any]) -> bool:
    """Whether the messages from the assistant's first one on have a program and its output, which others may have sent."""
    said: list[str] = []
    for one in messages:
        if isinstance(one, Mapping) and isinstance(one.get("role"), str) and (said or one["role"].lower() in _ASSISTANTS):
            said.append(chat_text(one.get("content")) or "")
    return len(said) > 1 and ran_tool("\n".join(said))
