"""Rows of evaluation logs: lighteval's details, new and old, inspect_ai's samples, and evalscope's predictions and reviews."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from benchmarks.records import BrokenRow
from benchmarks.traces.fields import (
    NO_RESPONSE,
    STATEMENTS,
    Response,
    Row,
    at,
    chat_text,
    count,
    encodable,
    find_gold,
    find_ids,
    finish_reason,
    first,
    gold_text,
    last_reply,
    message_text,
    some,
    texts,
    user_texts,
    verdict,
)

LONGEST_LITERAL = 1 << 22
"""Characters of a list that an old version wrote down as text."""


# --- lighteval ------------------------------------------------------------------------------------


def claims_lighteval(row: Mapping[str, Any]) -> bool:
    """Details since lighteval 0.11 (`doc`, `model_response`), and before (`example` or `full_prompt`, `predictions`)."""
    return ("doc" in row and "model_response" in row) or ("predictions" in row and ("full_prompt" in row or "example" in row))


def read_lighteval(place: str, row: Mapping[str, Any]) -> Row:
    """The single metric of a row with one response is its verdict, where it is 0 or 1."""
    if "doc" in row:
        doc, response = row["doc"], row.get("model_response")
        if not isinstance(doc, Mapping) or not isinstance(response, Mapping):
            raise BrokenRow("doc.query and model_response.text are expected")
        given, tokens, metric = response.get("text"), response.get("output_tokens"), row.get("metric")
        choices, right = doc.get("choices"), doc.get("gold_index")
        right = right[0] if isinstance(right, list) and len(right) == 1 else right
        gold = gold_text(choices[right]) if isinstance(choices, list) and isinstance(right, int) and 0 <= right < len(choices) else None
        gold = gold or (gold_text(choices) if right is None else None) or find_gold([doc.get("specific")])
        asked, ids = texts(doc, STATEMENTS), ()
    else:
        given, tokens, metric = _listed(row.get("predictions")), row.get("cont_tokens"), row.get("metrics")
        asked, ids = texts(row, ("example", "full_prompt")), ()
        gold = gold_text(_listed(row.get("gold"))) or find_gold([row.get("specifics")])
    answers = given if isinstance(given, list) else [given]
    recorded = verdict(metric) if len(answers) == 1 else None
    responses, skipped = [], []
    for number, one in enumerate(answers):
        one = one[0] if isinstance(one, list) and len(one) == 1 else one
        if one is None or isinstance(one, str):
            size = count(at(tokens, number, len(answers)))
            responses.append(Response(encodable(one or ""), NO_RESPONSE if one is None else None, recorded, tokens=size))
        else:
            skipped.append(f"response {number}: a {type(one).__name__} where text is expected (is it a task that generates?)")
    return some(Row(place, asked, tuple(responses), gold, ids, tuple(skipped)))


def _listed(value: object) -> object:
    """Old versions wrote some lists down as Python's text of them."""
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]" and len(value) < LONGEST_LITERAL:
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # then it is a text that begins so
            return value
    return value


# --- inspect_ai -----------------------------------------------------------------------------------


def claims_inspect(row: Mapping[str, Any]) -> bool:
    """A sample of a log: `samples/*.json` of an `.eval`, or `samples` of an older `.json`."""
    return "epoch" in row and "input" in row and isinstance(row.get("output"), Mapping)


def read_inspect(place: str, row: Mapping[str, Any]) -> Row:
    """Several scorers are a verdict where those that say right or wrong agree."""
    attached = row.get("attachments")

    def found(text: str) -> str:
        stored = attached.get(text.removeprefix("attachment://")) if isinstance(attached, Mapping) else None
        return stored if text.startswith("attachment://") and isinstance(stored, str) else text

    asked = [row["input"]] if isinstance(row["input"], str) else user_texts(row["input"]) if isinstance(row["input"], list) else []
    scores = row.get("scores")
    said = [one.get("value") for one in scores.values() if isinstance(one, Mapping)] if isinstance(scores, Mapping) else []
    known = {verdict(value) for value in said} - {None}
    failed = row.get("error")
    error = (str(failed.get("message", "")) if isinstance(failed, Mapping) else str(failed))[:500] if failed else None
    responses = _choices(row["output"], known.pop() if len(known) == 1 else None, error, found)
    gold = gold_text(row.get("target"))
    return some(Row(place, tuple(encodable(found(text)) for text in asked if text.strip()), responses, gold, find_ids(row)))


def _choices(output: Mapping[str, Any], recorded: bool | None, error: str | None, found: Any = str) -> tuple[Response, ...]:
    """The choices of a model's output, as OpenAI's interface, inspect_ai and evalscope have them."""
    choices = output.get("choices")
    usage = output.get("usage")
    tokens = count(first(usage, ("output_tokens", "completion_tokens"))) if isinstance(usage, Mapping) else 0
    listed = [one for one in choices if isinstance(one, Mapping)] if isinstance(choices, list) else []
    made = []
    for one in listed:
        message = one.get("message")
        text = message_text(message) if isinstance(message, Mapping) else chat_text(message)
        ended = finish_reason(first(one, ("stop_reason", "finish_reason")))
        why = error or (NO_RESPONSE if text is None else None)
        made.append(Response(encodable(found(text or "")), why, None if why else recorded, None, ended, tokens if len(listed) == 1 else 0))
    if not made and error is not None:
        made.append(Response("", error))
    return tuple(made)


# --- evalscope ------------------------------------------------------------------------------------


def claims_evalscope(row: Mapping[str, Any]) -> bool:
    """`predictions/MODEL/TASK.jsonl` and `reviews/MODEL/TASK.jsonl`, since version 1.0 and before."""
    return "index" in row and any(name in row for name in ("model_output", "sample_score", "choices"))


def read_evalscope(place: str, row: Mapping[str, Any]) -> Row:
    """A review has the response as the last message of the conversation, or in its score."""
    messages = row.get("messages")
    listed = messages if isinstance(messages, list) else []
    raw = row.get("raw_input")
    asked = tuple(map(encodable, user_texts(listed))) + (texts(raw, STATEMENTS) if isinstance(raw, Mapping) else ())
    asked += (encodable(row["input"]),) if isinstance(row.get("input"), str) else ()
    inner = row.get("sample_score")
    score = inner.get("score") if isinstance(inner, Mapping) else None
    recorded = verdict(score.get("value")) if isinstance(score, Mapping) else None
    gold = gold_text(row.get("target")) or find_gold([raw, row.get("metadata")])
    if isinstance(row.get("model_output"), Mapping) or isinstance(row.get("choices"), list):
        output = row["model_output"] if isinstance(row.get("model_output"), Mapping) else row
        review = at(output.get("choices"), 0, 1)
        review = review.get("review") if isinstance(review, Mapping) else None
        if isinstance(review, Mapping):
            recorded, gold = verdict(review.get("result")), gold or gold_text(review.get("gold"))
        failed = output.get("error")
        return some(Row(place, asked, _choices(output, recorded, str(failed)[:500] if failed else None), gold))
    text = last_reply(listed)
    if text is None and isinstance(score, Mapping):
        text = chat_text(score.get("prediction"))
    if text is None:
        raise BrokenRow("no response")
    return Row(place, asked, (Response(encodable(text), None, recorded),), gold)
