"""A model's tokenizer alone, which the keys of its samples need: its weights are the workers'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from klear_repro.engines.base import chat_ids
from klear_repro.models import ModelSource, load_tokenizer


class ChatTokenizer:
    """What `Engine` says of tokens, without an engine.

    Raises:
        UserError: the tokenizer cannot be read.
    """

    def __init__(self, source: ModelSource) -> None:
        self.tokenizer: Any = load_tokenizer(source)

    def encode_chat(self, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
        """Token ids of a conversation after the chat template, ready for the answer."""
        return chat_ids(self.tokenizer, messages, **template)
