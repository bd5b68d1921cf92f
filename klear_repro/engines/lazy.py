"""An engine that is not started before it has something to generate: keys and grades need the tokenizer alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from klear_repro.engines.base import Completion, Engine, Request, Sampling, chat_ids
from klear_repro.models import ModelSource, load_tokenizer


class LazyEngine:
    """Stands for the engine that `start` makes; `name` is that engine's."""

    def __init__(self, name: str, source: ModelSource, start: Callable[[], Engine]) -> None:
        self.name = name
        self.tokenizer: Any = load_tokenizer(source)
        self._start = start
        self._engine: Engine | None = None

    def encode_chat(self, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
        """Token ids of a conversation after the chat template, ready for the answer."""
        return chat_ids(self.tokenizer, messages, **template)

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        """`Engine.settings`; starts the engine."""
        return self._started().settings(sampling)

    @property
    def slots(self) -> int:
        """`Engine.slots`; starts the engine."""
        return self._started().slots

    def generate(
        self, requests: Iterable[Request | None], sampling: Sampling, on_tokens: Callable[[int], None] | None = None
    ) -> Iterator[Completion]:
        """`Engine.generate`; starts the engine."""
        yield from self._started().generate(requests, sampling, on_tokens)

    def _started(self) -> Engine:
        if self._engine is None:
            self._engine = self._start()
        return self._engine
