"""A model's tokenizer alone, which the keys of its samples need: its weights are the workers'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from klear_repro.engines.chat_format import ChatFormat
from klear_repro.models import ModelSource, load_tokenizer


class ChatTokenizer:
    """What `Engine` says of tokens, without an engine.

    Raises:
        UserError: the tokenizer cannot be read.
    """

    def __init__(self, source: ModelSource) -> None:
        self.tokenizer: Any = load_tokenizer(source)
        self._format = ChatFormat(self.tokenizer)

    def encode_chat(self, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
        """Token ids of a conversation after the chat template, ready for the answer."""
        return self._format.prompt_ids(messages, **template)
