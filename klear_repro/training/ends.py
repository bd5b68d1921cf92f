"""The end of turn of a model that is trained: the one of its chat template, in its configurations too, so that `generate` stops there.

A base model's configuration ends with its end of text, which a conversation does not.  What it ended with stays an end.
"""

from __future__ import annotations

from typing import Any

from klear_repro.engines.chat_format import CLOSE, OPEN, ChatFormat, thinking_at_end
from klear_repro.errors import UserError
from klear_repro.progress import say

_SHOWN = 120
"""Characters of a prompt's end that are shown."""
_QUESTION = {"role": "user", "content": "Six times seven?"}
_SYSTEM = {"role": "system", "content": "You are an assistant."}


def end_turns(model: Any, tokenizer: Any, label: str = "") -> None:
    """Write the end of turn into the model's configurations, first of its ends.

    Args:
        label: of the stage, for the line that says what was found about the template; empty: none is said.
    """
    chat = ChatFormat(tokenizer)
    if chat.end is None:
        return
    config = model.generation_config
    own = config.eos_token_id if config is not None and config.eos_token_id is not None else model.config.eos_token_id
    others = [token for token in (own if isinstance(own, (list, tuple)) else [own]) if token not in (None, chat.end)]
    model.config.eos_token_id = [chat.end, *others] if others else chat.end
    if config is not None:
        config.eos_token_id = model.config.eos_token_id
    if label:
        say(f"{label}: chat template: {_sentence(chat, others)}")


def _sentence(chat: ChatFormat, others: list[int]) -> str:
    end = _end_of_prompt(chat)
    does = {OPEN: ", which opens the thinking", OPEN + CLOSE: ", which closes the thinking"}.get(thinking_at_end(end), "")
    said = f"the prompt ends with {end[-_SHOWN:]!r}{does}; turns end with {chat.end_text} ({chat.end})"
    names = [f"{chat.tokenizer.convert_ids_to_tokens(token)} ({token})" for token in others]
    if len(names) == 1:
        said += f", and the model's own end, {names[0]}, stays one"
    elif names:
        said += f", and the model's own ends, {', '.join(names[:-1])} and {names[-1]}, stay ends"
    if tags := chat.special_tags:
        said += f"; {' and '.join(tags)} {'are special tokens and stay' if len(tags) > 1 else 'is a special token and stays'} in texts"
    return said


def _end_of_prompt(chat: ChatFormat) -> str:
    """What the template puts behind a conversation for the answer to begin; without a generation prompt, behind the question."""
    for turns in ([_QUESTION], [_SYSTEM, _QUESTION]):
        try:
            prompt, before = chat.render(turns), chat.render(turns, generation=False)
        except UserError:
            continue
        begins = prompt.removeprefix(before) if prompt.startswith(before) else ""
        return begins or prompt.rpartition(_QUESTION["content"])[2]
    return ""
