"""Rows of the released inference script of Klear-Reasoner (`benchmarks/inference.py`), and of LiveCodeBench's `…_eval_all.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.livecodebench_problems import contest_date
from benchmarks.records import BrokenRow
from benchmarks.traces.fields import CodeProblem, Response, Row, encodable, find_gold, some, verdict

RELEASED = {
    "ea04667e6bca0abecf5580d654d145e07073a51d": "aime24_inference_avg64.jsonl.zip",
    "c2e3ffa14240f636f49d5dbfa96a248420f2e5fb": "aime25_inference_avg64.jsonl.zip",
}
"""Git's hash of the traces in `benchmarks/` of github.com/suu990901/KlearReasoner at 5d2d0b8, and their names."""


def claims_klear(row: Mapping[str, Any]) -> bool:
    """`{id, meta, messages, error?}`."""
    return "messages" in row


def read_klear(place: str, row: Mapping[str, Any]) -> Row:
    """Of an error row the last message is the problem: the released judge grades that."""
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, Mapping) for one in messages):
        raise BrokenRow("messages: a list of messages is expected")
    contents = [(one.get("role"), _message(one.get("content"))) for one in messages]
    asked = tuple(content for role, content in contents if role == "user")
    error = row.get("error") or None
    if contents[-1][0] != "assistant" and error is None:
        raise BrokenRow(f"no response: the last message is the {str(contents[-1][0])[:20]}'s, and there is no error")
    response = Response(contents[-1][1], None if error is None else encodable(str(error)[:500]))
    meta = row.get("meta")
    inner = meta.get("meta") if isinstance(meta, Mapping) else None
    return Row(place, asked[:1], (response,), find_gold([inner, meta, row]))


def _message(content: object) -> str:
    """As in the released judge, the first one of a list."""
    if isinstance(content, list) and content:
        content = content[0]
    if not isinstance(content, str):
        raise BrokenRow("a message without text")
    return encodable(content)


def claims_lcb(row: Mapping[str, Any]) -> bool:
    """LiveCodeBench's outputs, evaluated (`…_eval_all.json`) or not yet."""
    return "question_id" in row and "output_list" in row


class LiveCodeBench:
    """Rows of LiveCodeBench, each problem once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, place: str, row: Mapping[str, Any]) -> Row:
        """One row.

        Raises:
            BrokenRow: no outputs, no date, or a problem that was there already.
        """
        outputs, codes, verdicts = (row.get(name) for name in ("output_list", "code_list", "graded_list"))
        if not isinstance(outputs, list) or (isinstance(verdicts, list) and len(outputs) != len(verdicts)):
            raise BrokenRow("output_list and graded_list of one length are expected")
        identity, statement = encodable(str(row.get("question_id"))), encodable(str(row.get("question_content", "")))
        if identity in self._seen:
            raise BrokenRow(f"question_id {identity[:40]} appears twice")
        date = contest_date(row, "")
        info = {name: encodable(str(row[name])) for name in ("difficulty", "platform") if row.get(name)}
        info["contest_date"] = date.isoformat()
        responses, skipped = [], []
        for index, text in enumerate(outputs):
            code = codes[index] if isinstance(codes, list) and index < len(codes) else None
            if not isinstance(text, str) or not (code is None or isinstance(code, str)):
                skipped.append(f"output {index} or its program is no text")
                continue
            passed = verdict(verdicts[index]) if isinstance(verdicts, list) else None
            responses.append(Response(encodable(text), recorded=passed, code=None if code is None else encodable(code)))
        self._seen.add(identity)
        problem = CodeProblem(identity, statement, encodable(str(row.get("starter_code") or "")), info)
        return some(Row(place, (statement,), tuple(responses), skipped=tuple(skipped), code=problem))
