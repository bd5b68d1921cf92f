"""What SFT teaches of a row: the tokens that follow the prompt, as the chat template would have them, up to the end of turn.

The response stands as it is, with what the template puts around an answer.  What the prompt has of the thinking already is not
taught again, reasoning that is kept beside the content gets its place, and the result is decoded to see that nothing is lost.
Templates are asked by rendering the row without an answer, with one, and with its reasoning; none is known by name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from klear_repro.engines.chat_format import CLOSE, OPEN, REASONING, ChatFormat, Hidden, joined, thinking_at_end
from klear_repro.errors import UserError
from klear_repro.progress import say
from klear_repro.training.packing import Pair

_ANSWER = "Fortytwo answers"
_SHOWN = 60
"""Characters of a lost text that are shown."""
CHECKED = 32
"""Rows that are written and read before anything else is done."""
Messages = Sequence[Mapping[str, Any]]


class Refused:
    """Rows that the chat template cannot write: they are left out, counted and reported with the reason of the first.

    Args:
        label, what: of a stage, and what its rows are.
    """

    def __init__(self, label: str, what: str) -> None:
        self._label, self._what = label, what
        self._reasons: list[str] = []

    @contextmanager
    def row(self, number: int) -> Iterator[None]:
        """One row, counted from 0; what follows in the block is left out if the template refuses."""
        try:
            yield
        except UserError as error:
            self._reasons.append(f"row {number + 1}: {error}")

    def refuse_if_all(self, rows: int) -> None:
        """Raises UserError where the template refused each of so many rows."""
        if self._reasons and len(self._reasons) == rows:
            raise UserError(f"{self._label}: none of {rows} {self._what} can be written with the model's chat template; {self._reasons[0]}")

    def report(self, rows: int) -> None:
        """Say how many of so many rows were left out.

        Raises:
            UserError: all of them.
        """
        self.refuse_if_all(rows)
        if self._reasons:
            left_out = f"{len(self._reasons)} of {rows} {self._what} cannot be written with the model's chat template and are left out"
            say(f"{self._label}: {left_out}; {self._reasons[0]}")


def without_tags(reasoning: str) -> str:
    """Reasoning that stands in a field of its own, without the tags that some files have around it there."""
    text = reasoning.strip()
    return text.removeprefix(OPEN).removesuffix(CLOSE).strip() if text.startswith(OPEN) or text.endswith(CLOSE) else reasoning


class _Around(NamedTuple):
    """What the template puts before an answer, beyond the prompt (None: it does not go on from the prompt), and behind it."""

    before: str | None
    behind: str


def target(chat: ChatFormat, messages: Messages, response: str, reasoning: str = "") -> Pair:
    """Token ids of prompt and response.

    Args:
        reasoning: the thinking, where the row has it beside the response.

    Raises:
        UserError: the template cannot write such a row, with the reason.
    """
    reasoning = without_tags(reasoning)
    if reasoning.strip() and CLOSE in response:
        if reasoning.strip() not in response:
            raise UserError("the response thinks, and so does the reasoning beside it")
        reasoning = ""
    hidden = chat.hide(messages, response, reasoning)
    asked = hidden.messages(messages)
    prompt = chat.render(asked)
    written = _written(chat, asked, prompt, hidden.hidden(response), hidden.hidden(reasoning) if reasoning.strip() else "")
    prompt_ids = chat.encode(prompt, hidden)
    whole = chat.encode(prompt + written, hidden)
    ids = whole[len(prompt_ids) :] if whole[: len(prompt_ids)] == prompt_ids else chat.encode(written, hidden)
    check_prompt(chat, messages, prompt_ids)
    _check_response(chat, ids, hidden, written)
    return prompt_ids, ids


def _written(chat: ChatFormat, messages: Messages, prompt: str, response: str, reasoning: str) -> str:
    """The text that follows the prompt, special tokens of the template and all."""
    thinking = thinking_at_end(prompt)
    if reasoning:
        if thinking.endswith(CLOSE):
            raise UserError(f"the prompt closes the thinking, and the response thinks ({REASONING[0]} beside it)")
        if own := _with_reasoning(chat, messages, prompt, response, reasoning):
            return own
        response = joined(reasoning, response)
    around = _around(chat, messages, prompt)
    lead = _lead(chat, messages, prompt, around.before or "")
    if thinking == OPEN:
        body = _in_open_thinking(prompt, response, around.before or "")
    elif thinking:
        body = lead + _without_empty_thinking(response)
    else:
        body = lead + response
    return body + _ending(chat, around.behind)


def _with_reasoning(chat: ChatFormat, messages: Messages, prompt: str, response: str, reasoning: str) -> str:
    """What a template makes of reasoning that it knows a field for; empty if it knows none."""
    for name in REASONING:
        text = _rendered(chat, [*messages, {"role": "assistant", "content": response, name: reasoning}])
        behind = text.removeprefix(prompt) if text.startswith(prompt) else ""
        thought, found, after = behind.rpartition(response.strip())
        if found and reasoning.strip() in thought:
            return thought + found + _ending(chat, after)
    return ""


def _around(chat: ChatFormat, messages: Messages, prompt: str) -> _Around:
    text = _rendered(chat, [*messages, {"role": "assistant", "content": _ANSWER}])
    before, found, behind = text.rpartition(_ANSWER)
    return _Around(before.removeprefix(prompt) if found and before.startswith(prompt) else None, behind)


def _rendered(chat: ChatFormat, messages: Messages) -> str:
    try:
        return chat.render(messages, generation=False)
    except (ValueError, TypeError, KeyError):  # an answer, or a field of it, that the template does not take
        return ""


def _lead(chat: ChatFormat, messages: Messages, prompt: str, before: str) -> str:
    """What the model has to write before an answer: white space, or the name of a channel; thinking is the response's own.

    Raises:
        UserError: it would be the header of the assistant's turn, which belongs into the prompt.
    """
    if not before.replace(OPEN, "").replace(CLOSE, "").strip():
        return "" if CLOSE in before or OPEN in before else before
    if chat.render(messages, generation=False) == prompt:
        raise UserError(
            f"the chat template has no generation prompt: add_generation_prompt changes nothing, and an answer begins with {before!r}; "
            "add it to the template"
        )
    return before


def _in_open_thinking(prompt: str, response: str, before: str) -> str:
    """A response behind a prompt that ends in an open thinking."""
    begins = response.lstrip()
    if begins.startswith(OPEN) and CLOSE in response:
        return begins.removeprefix(OPEN).removeprefix(prompt[prompt.rindex(OPEN) + len(OPEN) :])
    if CLOSE in response:
        return response
    if CLOSE in before and OPEN not in response:
        return before + response
    raise UserError(f"the prompt opens {OPEN}, and the response has no {CLOSE}")


def _without_empty_thinking(response: str) -> str:
    """A response behind a prompt that closed the thinking.

    Raises:
        UserError: it thinks.
    """
    thought, found, answer = response.partition(CLOSE)
    if found and not thought.replace(OPEN, "").strip():
        return answer.lstrip()
    if found or OPEN in response:
        raise UserError("the prompt closes the thinking, and the response thinks")
    return response


def _ending(chat: ChatFormat, behind: str) -> str:
    """What stands behind an answer, up to the end of turn."""
    before, found, _ = behind.partition(chat.end_text)
    return before + chat.end_text if found else chat.end_text


def question(chat: ChatFormat, messages: Messages) -> tuple[int, ...]:
    """Token ids of a conversation that rollouts answer.

    Raises:
        UserError: the template cannot write it, or says nowhere that the assistant begins.
    """
    ids = chat.prompt_ids(messages)
    check_prompt(chat, messages, ids)
    hidden = chat.hide(messages)
    asked = hidden.messages(messages)
    prompt = chat.render(asked)
    _lead(chat, asked, prompt, _around(chat, asked, prompt).before or "")
    return ids


def refuse_unwritable(tokenizer: Any, label: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write and read some rows of SFT or RL, before anything dear is begun.

    Args:
        label: the configuration field that names them.

    Raises:
        UserError: the chat template can write none of the first ones.
    """
    if not tokenizer.chat_template:  # which is refused with the model
        return
    chat, first = ChatFormat(tokenizer), rows[:CHECKED]
    refused = Refused(label, "rows")
    for number, row in enumerate(first):
        with refused.row(number):
            if "response" in row:
                target(chat, row["prompt"], row["response"], row.get("reasoning") or "")
            else:
                question(chat, row["prompt"])
    refused.refuse_if_all(len(first))


def check_prompt(chat: ChatFormat, messages: Messages, ids: Sequence[int]) -> None:
    """Whether the encoded prompt has the text of every message; of earlier answers what follows their thinking.

    Raises:
        UserError: the template leaves something out, or the tokenizer cannot write it.
    """
    text = _squeezed(str(chat.tokenizer.decode(list(ids))))
    for number, message in enumerate(messages):
        content = message["content"]
        if _squeezed(content.rpartition(CLOSE)[2] if message["role"] == "assistant" else content) not in text:
            raise UserError(f"the chat template or the tokenizer leaves out messages[{number}].content={_start(content)}")


def _check_response(chat: ChatFormat, ids: Sequence[int], hidden: Hidden, written: str) -> None:
    """Whether the tokens say what was to be written, and end the turn once.

    Raises:
        UserError: they do not.
    """
    if _squeezed(str(chat.tokenizer.decode(list(ids)))) != _squeezed(hidden.shown(written)):
        raise UserError(f"the tokenizer loses text: {_start(hidden.shown(written))} becomes {_start(chat.tokenizer.decode(list(ids)))}")
    if list(ids).count(chat.end) != 1 or ids[-1] != chat.end:
        raise UserError(f"{chat.end_text} ends the turn, and the template writes it elsewhere too: {_start(chat.tokenizer.decode(list(ids)))}")


def _squeezed(text: str) -> str:
    """A text without white space, which tokenizers and templates are free with, in one spelling of its letters."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _start(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
