"""The generic row: `problem`, `question` or `id`, and `response` or a list of them (docs/evaluation.md).

Many programs write rows of this kind under other names.  Those that are known are taken too: QwQ's `gen`, verl's dumps of
generations (`input`, `output`, `gts`, `score`), LIMO's `generated_responses`, OpenCompass's `origin_prompt` and `prediction`,
MathArena's conversations under `messages`, SkyThought's `responses` by name, TRL's `prompt` and `completion`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.records import BrokenRow
from benchmarks.traces.fields import (
    GOLDS,
    IDS,
    NO_RESPONSE,
    OWN_ANSWERS,
    STATEMENTS,
    Response,
    Row,
    at,
    chat_text,
    count,
    encodable,
    find_ids,
    finish_reason,
    first,
    gold_and_field,
    last_reply,
    message_text,
    some,
    texts,
    verdict,
    whole,
)

RESPONSES = (
    "response", "responses", "generation", "generations", "completion", "completions", "gen", "generated_text", "generated_texts",
    "generated_responses", "generated_answer", "resp", "attempt", "attempts", "model_response", "model_responses", "model_output",
    "model_outputs", "output", "outputs", "prediction", "predictions", "messages", "conversations",
)  # fmt: skip
VERDICTS = (
    "correct", "is_correct", "is_corrects", "correctness", "answers_correctness", "graded_list", "passed", "acc", "accuracy", "score",
    "scores", "reward", "rewards", "correctness_math_verify",
)  # fmt: skip
"""A score or reward counts where it is 0 or 1."""
FINISHES = ("finish_reason", "finish_reasons", "stop_reason", "stop_reasons")
TOKENS = (
    "tokens", "token_count", "num_tokens", "completion_tokens", "output_tokens", "num_generated_tokens", "response_length", "usage",
    "token_usages",
)  # fmt: skip
SAMPLES = ("sample", "sample_index", "sample_idx", "sample_id", "rollout_idx")


FIELDS: dict[str, tuple[str, ...]] = {
    "problem": (*STATEMENTS, "messages"), "id": IDS, "response": RESPONSES, "answer": GOLDS, "correct": VERDICTS, "finish_reason": FINISHES,
    "tokens": TOKENS, "sample": SAMPLES,
}  # fmt: skip
"""Field of the documented row → the names under which it is looked for."""


def renamed(row: Mapping[str, Any], fields: Mapping[str, str], missed: Counter[str]) -> dict[str, Any]:
    """The row with these fields of the documented row taken from where the user says, and from nowhere else.

    Args:
        fields: name in the documented row → the file's own name; a dot goes into an object, unless a field is called so.
        missed: of these the file's own names that no row had yet; what this one has is taken out.
    """
    values = {ours: _named(row, theirs) for ours, theirs in fields.items()}
    for ours, theirs in fields.items():
        if values[ours] is not None:
            missed.pop(theirs, None)
    taken = {name for ours in fields for name in FIELDS[ours]}
    kept = {name: value for name, value in row.items() if name not in taken}
    return kept | {"gold" if ours == "answer" else ours: value for ours, value in values.items() if value is not None}


def _named(row: Mapping[str, Any], name: str) -> Any:
    if name in row or "." not in name:
        return row.get(name)
    head, _, rest = name.partition(".")
    inner = row.get(head)
    return _named(inner, rest) if isinstance(inner, Mapping) else None


def claims(row: Mapping[str, Any]) -> bool:
    """Whether a row has a response, and something that says of which problem it is."""
    said = any(name in row for name in (*STATEMENTS, *IDS, "messages"))
    held = any(name in row for name in RESPONSES if name not in ("messages", "conversations"))
    return said and (held or any(_is_conversations(row.get(name)) for name in ("messages", "conversations")))


def _is_conversations(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def read(place: str, row: Mapping[str, Any]) -> Row:
    """One row.

    Raises:
        BrokenRow: it has no response.
    """
    given = list(_given(row))
    responses, skipped = [], []
    for number, one in enumerate(given):
        try:
            responses.append(_response(row, one, number, len(given)))
        except BrokenRow as error:
            skipped.append(f"response {number}: {error}" if len(given) > 1 else str(error))
    statements = texts(row, STATEMENTS) or texts(row, ("messages",))
    gold, field = gold_and_field([row, row.get("reward_model"), row.get("metadata"), row.get("extra_info")])
    doubtful = field if field in OWN_ANSWERS else ""
    return some(Row(place, statements, tuple(responses), gold, find_ids(row), tuple(skipped), gold_field=doubtful))


def _given(row: Mapping[str, Any]) -> Iterator[object]:
    """The responses as they stand in the row: texts, messages or objects."""
    for name in RESPONSES:
        if name not in row:
            continue
        value = row[name]
        if name in ("messages", "conversations"):
            if not isinstance(value, list) or not value:
                continue
            for one in value if _is_conversations(value) else [value]:
                yield {"content": last_reply(one)} if isinstance(one, list) else one
        elif isinstance(value, list) and value and all(_is_message(one) for one in value):
            yield {"content": last_reply(value)}
        elif isinstance(value, list):
            for one in value:
                yield {"content": last_reply(one)} if isinstance(one, list) and one and all(_is_message(part) for part in one) else one
        elif isinstance(value, Mapping) and not _text_of(value):
            yield from value.values()
        else:
            yield value
        return


def _is_message(value: object) -> bool:
    return isinstance(value, Mapping) and "role" in value


def _text_of(value: Mapping[str, Any]) -> str | None:
    """Text of a response that is an object: a message, or a row of its own."""
    if isinstance(value.get("body"), Mapping):  # of OpenAI's batches
        value = value["body"]
    choice = at(value.get("choices"), 0, 1)
    if isinstance(choice, Mapping) and isinstance(choice.get("message"), Mapping):
        return message_text(choice["message"])
    inner = first(value, ("content", "text", "response", "generation", "output", "completion", "message"))
    return message_text({**value, "content": inner}) if inner is not None else None


def _response(row: Mapping[str, Any], given: object, number: int, of: int) -> Response:
    own: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    text = _text_of(own) if own else chat_text(given)
    error = None
    if given is None or (own and text is None and "content" in own and own["content"] is None):
        text, error = "", NO_RESPONSE
    if text is None:
        raise BrokenRow(f"a {type(given).__name__} where the text of a response is expected")

    def said(names: tuple[str, ...]) -> Any:
        own_value = first(own, names)
        if own_value is not None:
            return own_value
        return next((found for name in names if (found := at(row.get(name), number, of)) is not None), None)

    usage = said(TOKENS)
    if isinstance(usage, Mapping):
        usage = first(usage, ("completion_tokens", "output_tokens"))
    return Response(
        encodable(text), error, recorded=_recorded(own, row, number, of), finish_reason=finish_reason(said(FINISHES)), tokens=count(usage),
        sample=whole(said(SAMPLES)),
    )  # fmt: skip


def _recorded(own: Mapping[str, Any], row: Mapping[str, Any], number: int, of: int) -> bool | None:
    for name in VERDICTS:
        if name not in own and name not in row:
            continue
        for value in (own.get(name), at(row.get(name), number, of)):
            if (found := verdict(value)) is not None:
                return found
    return None
