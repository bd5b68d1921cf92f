"""Rows of the Qwen2.5-Math harness and its family, of NeMo-Skills, and of lm-eval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.records import BrokenRow
from benchmarks.traces import generic
from benchmarks.traces.fields import (
    NO_RESPONSE,
    STATEMENTS,
    Response,
    Row,
    at,
    count,
    encodable,
    find_gold,
    find_ids,
    finish_reason,
    first,
    flattened,
    judgement,
    some,
    texts,
    verdict,
)

# --- Qwen2.5-Math ---------------------------------------------------------------------------------


def claims_qwen_math(row: Mapping[str, Any]) -> bool:
    """`code` is the list of responses, whatever its name says (math-evaluation-harness, ToRA, Rho-1, simpleRL, LIMO's first evaluation)."""
    return isinstance(row.get("code"), list) and any(name in row for name in ("gt", "pred", "gt_cot"))


def read_qwen_math(place: str, row: Mapping[str, Any]) -> Row:
    """`{idx, question, gt, code: [responses], pred, report, score: [bools]}`; `gt` is the answer, `answer` may be its long form."""
    known = {name: value for name, value in row.items() if name not in generic.RESPONSES}
    found = generic.read(place, {**known, "response": row["code"]})
    gold = find_gold([row], ("gt", "answer"))
    return Row(place, texts(row, ("question", "problem", "query")) or found.statements, found.responses, gold, (), found.skipped)


# --- NeMo-Skills ----------------------------------------------------------------------------------


def claims_nemo(row: Mapping[str, Any]) -> bool:
    """Rows of `output.jsonl` and `output-rsN.jsonl`, which are sample N."""
    marks = ("expected_answer", "predicted_answer", "symbolic_correct", "is_correct", "judgement", "num_generated_tokens")
    return "generation" in row and any(name in row for name in marks)


def read_nemo(place: str, row: Mapping[str, Any]) -> Row:
    """`_full_generation` is the response with its thinking; a judging model's verdict counts where there is no other."""
    text = first(row, ("_full_generation", "generation"))
    if not isinstance(text, str) and text is not None:
        raise BrokenRow(f"generation: a {type(text).__name__} where text is expected")
    verdicts = [verdict(row.get(name)) for name in ("symbolic_correct", "is_correct")] + [judgement(row.get("judgement"))]
    response = Response(
        encodable(text or ""), None if text is not None else NO_RESPONSE, next((one for one in verdicts if one is not None), None),
        finish_reason=finish_reason(row.get("finish_reason")), tokens=count(first(row, generic.TOKENS)),
    )  # fmt: skip
    return Row(place, texts(row, ("problem", "question")), (response,), find_gold([row], ("expected_answer", "answer")), find_ids(row))


# --- lm-eval --------------------------------------------------------------------------------------

METRICS = ("exact_match", "math_verify", "acc", "correct", "extractive_match", "pass@1")
"""Metrics of rows that do not name theirs (lm-eval before 0.4.5)."""


def claims_lm_eval(row: Mapping[str, Any]) -> bool:
    """`samples_TASK_TIME.jsonl` of `--log_samples`."""
    return "resps" in row and "doc" in row


class LmEval:
    """Rows of lm-eval: a document stands once for every filter, with the same responses, and the first filter's row counts."""

    def __init__(self) -> None:
        self._filter: str | None = None

    def __call__(self, place: str, row: Mapping[str, Any]) -> Row | None:
        """One row; None for one of another filter."""
        doc, given = row.get("doc"), row.get("resps")
        if not isinstance(doc, Mapping) or not isinstance(given, list):
            raise BrokenRow("doc and resps are expected")
        name = str(row.get("filter", ""))
        self._filter = name if self._filter is None else self._filter
        if name != self._filter:
            return None
        answers = list(flattened(given))
        recorded = _metric(row) if len(answers) == 1 else None
        responses, skipped = [], []
        for number, one in enumerate(answers):
            if one is None or isinstance(one, str):
                responses.append(Response(encodable(one or ""), NO_RESPONSE if one is None else None, recorded))
            else:
                skipped.append(f"resps {number}: a {type(one).__name__} where text is expected (is it a task that generates?)")
        asked = texts(doc, STATEMENTS) + tuple(map(encodable, _prompts(row.get("arguments"))))
        gold = find_gold([doc], ("answer", "Answer", "gold", "expected_answer", "final_answer"))
        gold = gold or find_gold([row, doc], ("target", "solution"))
        return some(Row(place, asked, tuple(responses), gold, find_ids(doc), tuple(skipped)))


def _metric(row: Mapping[str, Any]) -> bool | None:
    """What all metrics of a row that are 0 or 1 say, where they agree."""
    listed = row.get("metrics")
    names = [str(name) for name in listed] if isinstance(listed, list) else [name for name in METRICS if name in row]
    found = {verdict(row.get(name)) for name in names} - {None}
    return found.pop() if len(found) == 1 else None


def _prompts(arguments: object) -> list[str]:
    """Prompts of logged requests: `{gen_args_0: {arg_0: text}}`, or `[[text, {…}]]` in older versions."""
    if isinstance(arguments, Mapping):
        arguments = [[value.get("arg_0")] for value in arguments.values() if isinstance(value, Mapping)]
    found = [at(one, 0, 1) for one in arguments] if isinstance(arguments, list) else []
    return [one for one in found if isinstance(one, str)]
