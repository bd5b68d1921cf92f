"""Responses that a tool worked on are found, in texts and in messages, and others are not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.traces import read_traces
from benchmarks.traces.tools import called_tools, ran_tool

PROGRAM = "```python\nprint(6 * 7)\n```"
WITH_TOOLS = {
    "ToRA": f"Let us compute.\n{PROGRAM}\n```output\n42\n```\nIt is \\boxed{{42}}.",
    "a second program": f"{PROGRAM}\nNo, again.\n{PROGRAM}\n\n```output\n42\n```",
    "output ends the program": "```python\nprint(42)\n```output\n42\n```",
    "a fence within a line": "So: ```python\nprint(42)``` \n```output\n42\n```",
    "NeMo-Skills": "<llm-code>\nprint(42)\n</llm-code>\n<llm-code-output>\n42\n</llm-code-output>",
    "Hermes": '<tool_call>{"name": "python"}</tool_call><tool_response>42</tool_response>',
    "ReTool": f"<code>\n{PROGRAM}\n</code>\n<interpreter>42</interpreter>",
    "Llama 3": "<|python_tag|>print(42)<|eom_id|><|start_header_id|>ipython<|end_header_id|>42",
}
WITHOUT_TOOLS = {
    "a text": "It is \\boxed{42}.",
    "a program": PROGRAM,
    "a program and words": f"{PROGRAM}\nThis prints:\n```output\n42\n```",
    "an example of a contest": "```input\n6 7\n```\n```output\n42\n```",
    "output first": f"```output\n42\n```\n{PROGRAM}",
    "an answer before a call": "<tool_response>42</tool_response> and <tool_call>",
    "the mark alone": "I would write <llm-code> here.",
}


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_program_with_its_output_is_found(name: str) -> None:
    assert ran_tool(WITH_TOOLS[name])


@pytest.mark.parametrize("name", WITHOUT_TOOLS)
def test_a_program_without_output_is_no_tool(name: str) -> None:
    assert not ran_tool(WITHOUT_TOOLS[name])


ASKED, ANSWER = {"role": "user", "content": "What is 6 times 7?"}, {"role": "assistant", "content": "\\boxed{42}"}
CALLING = [
    {"messages": [ASKED, {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "python"}}]}, ANSWER]},
    {"messages": [ASKED, {"role": "assistant", "content": "hm"}, {"role": "tool", "content": "42"}, ANSWER]},
    {"messages": [ASKED, {"role": "assistant", "content": PROGRAM}, {"role": "user", "content": "```output\n42\n```"}, ANSWER]},
    {"messages": [ASKED, {"role": "assistant", "content": [{"type": "tool_use", "name": "python"}]}, ANSWER]},
    {"response": {"content": "42", "function_call": {"name": "python"}}},
    {"output": {"choices": [{"message": {"content": "42", "tool_calls": [{"id": "1"}]}}]}},
    {"generation": "42", "num_tool_calls": 2},
    {"generation": "42", "code_rounds_executed": [1]},
    {"response": "42", "tool_calls": [{"name": "python"}]},
    {"code": ["def solution(): return 42"], "report": ["Done"]},
]
NOT_CALLING = [
    {"messages": [ASKED, {**ANSWER, "tool_calls": None, "function_call": {"name": None}}]},
    {"messages": [ASKED, {**ANSWER, "tool_calls": []}]},
    {"generation": "42", "num_tool_calls": 0, "code_rounds_executed": None},
    {"response": "42", "tools": [{"type": "function"}]},
    {"messages": [{"role": "user", "content": f"{PROGRAM}\n```output\n42\n```"}, ANSWER]},
    {"code": ["It is 42"], "report": [None]},
]


@pytest.mark.parametrize("row", CALLING)
def test_a_call_in_messages_or_counts_is_found(row: dict[str, Any]) -> None:
    assert called_tools(row, 1) == [True]


@pytest.mark.parametrize("row", NOT_CALLING)
def test_a_tool_that_was_offered_and_not_called_is_none(row: dict[str, Any]) -> None:
    assert called_tools(row, 1) == [False]


def test_of_several_responses_those_with_a_call_are_marked() -> None:
    called = [ASKED, {"role": "tool", "content": "42"}, ANSWER]
    assert called_tools({"responses": [[ASKED, ANSWER], called, [ASKED, ANSWER]]}, 3) == [False, True, False]
    assert called_tools({"code": ["a", "b"], "report": [None, "Done"], "num_tool_calls": [0, 0]}, 2) == [False, True]


def test_traces_carry_whether_a_tool_worked_on_them(tmp_path: Path) -> None:
    row = {"problem": "What is 6 times 7?", "answer": "42", "response": [WITH_TOOLS["ToRA"], "\\boxed{42}", None]}
    conversation = {"problem": "What is 6 times 7?", "answer": "42", "response": CALLING[1]["messages"]}
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(conversation) + "\n")
    assert [one.tool for one in read_traces([tmp_path / "x.jsonl"], "generic").traces] == [True, False, False, True]


FILES = {"traces_tora_gsm8k.jsonl": 100, "traces_nemo_output-rs0.jsonl": 0, "lcb_o1_mini_eval_all.json": 0}


@pytest.mark.parametrize(("file", "tools"), FILES.items())
def test_real_files_with_and_without_tools_are_told_apart(shared: Path, file: str, tools: int) -> None:
    assert sum(one.tool for one in read_traces([shared / "data" / file]).traces) == tools


HOSTILE = {
    "fences": "```python\n" * 200_000,
    "programs": "```python\n```\n" * 150_000,
    "blanks": "```python\n```" + " \n" * 1_000_000 + "x```output",
    "ticks": "`" * 2_000_000,
    "calls": "<tool_call>" * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_take_no_time(name: str) -> None:
    started = time.monotonic()
    assert not ran_tool(HOSTILE[name])
    assert time.monotonic() - started < 5  # seconds; it takes a third of one


def test_messages_in_messages_in_messages_are_no_error() -> None:
    deep: Any = "42"
    for _ in range(50_000):
        deep = [{"content": deep}]
    assert called_tools({"messages": deep}, 1) == [False]
