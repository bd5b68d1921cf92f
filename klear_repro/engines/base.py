"""What every engine does: requests in, finished samples out, each with its own seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from klear_repro.engines.chat_format import ChatFormat
from klear_repro.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters in the terms of vLLM; temperature 0 is greedy."""

    temperature: float
    top_p: float
    top_k: int
    """0 is off."""
    min_p: float
    repetition_penalty: float
    """1.0 is off; counts the tokens of prompt and answer, as vLLM and transformers do."""
    max_new_tokens: int


@dataclass(frozen=True)
class Request:
    """One sample to generate."""

    tag: Hashable
    """Comes back with the completion."""
    prompt_ids: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Completion:
    """One finished sample."""

    tag: Hashable
    token_ids: tuple[int, ...]
    """New tokens, the end-of-turn token included."""
    logprobs: tuple[float, ...]
    """log π of each new token at the sampling temperature, before top-p and top-k; empty where an engine has none."""
    text: str
    finish_reason: Literal["stop", "length"]
    seconds: float
    tokens: int | None = None
    """New tokens as a server counts them; None: `token_ids` has them all."""

    @property
    def token_count(self) -> int:
        """New tokens, the end-of-turn token included."""
        return len(self.token_ids) if self.tokens is None else self.tokens


class Engine(Protocol):
    """A generator of text."""

    name: str
    tokenizer: Any

    @property
    def slots(self) -> int:
        """Samples that it generates side by side, as resolved."""
        ...

    def generate(
        self, requests: Iterable[Request | None], sampling: Sampling, on_tokens: Callable[[int], None] | None = None
    ) -> Iterator[Completion]:
        """Yield each sample as soon as it is finished, in any order.

        Args:
            requests: pulled one by one, and only into a free slot.  None means nothing at the moment: the engine goes on
                with what is running and asks again.  The end means that nothing will come.
            sampling: of all of them.
            on_tokens: called now and then with the number of tokens made since the last call, in this thread.
        """
        ...

    def encode_chat(self, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
        """Token ids of a conversation after the chat template, ready for the answer."""
        ...

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        """What the samples are made with, as the engine resolved it: JSON values, written down with every sample."""
        ...


IDLE_S = 0.05
"""Pause before an engine without work asks for requests again."""
REPORT_S = 0.5
"""Shortest time between two reports of new tokens."""


class Intake:
    """Requests as an engine pulls them.

    Args:
        requests: as `Engine.generate` takes them.  A list is checked whole before anything is generated, else each when it comes.
        sampling: of all of them.
        length: prompt and answer together, tokens; 0: unknown, nothing is checked.
        whose: whose length it is, for the message.

    Raises:
        UserError: a prompt that leaves no room for the budget; lengths are in the message.
    """

    def __init__(self, requests: Iterable[Request | None], sampling: Sampling, length: int, whose: str) -> None:
        self._budget, self._length, self._whose = sampling.max_new_tokens, length, whose
        for request in requests if isinstance(requests, Sequence) else ():
            self._check(request)
        self._requests = iter(requests)
        self.ended = False
        """Nothing will come."""

    def pull(self, most: int) -> list[Request]:
        """At most this many requests; fewer where there are no more at the moment."""
        pulled: list[Request] = []
        while len(pulled) < most and not self.ended:
            try:
                request = next(self._requests)
            except StopIteration:
                self.ended = True
                break
            if request is None:
                break
            self._check(request)
            pulled.append(request)
        return pulled

    def _check(self, request: Request | None) -> None:
        need = len(request.prompt_ids) + self._budget if request else 0
        if self._length and request and need > self._length:
            raise UserError(
                f"max_new_tokens={self._budget}: with a prompt of {len(request.prompt_ids)} tokens that is {need}, "
                f"and {self._whose} length is {self._length}"
            )


class TokenMeter:
    """Adds up new tokens and reports them at most every `REPORT_S` seconds; `close` reports the rest."""

    def __init__(self, report: Callable[[int], None] | None) -> None:
        self._report, self._tokens, self._last = report, 0, time.monotonic()

    def add(self, tokens: int) -> None:
        """Count new tokens."""
        self._tokens += tokens
        if self.due:
            self.close()

    @property
    def due(self) -> bool:
        """Whether the next report may be made."""
        return self._report is not None and time.monotonic() - self._last >= REPORT_S

    def close(self) -> None:
        """Report what has not been reported."""
        if self._report is not None and self._tokens:
            self._report(self._tokens)
        self._tokens, self._last = 0, time.monotonic()


def chat_ids(tokenizer: Any, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
    """Token ids of a conversation after the tokenizer's chat template, ready for the answer; `template`: its variables.

    Text that looks like a special token stays text (`klear_repro.engines.chat_format`).

    Raises:
        UserError: the template refuses it, such as a role that it does not know.
    """
    return ChatFormat(tokenizer).prompt_ids(messages, **template)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of packages, those that are there."""
    import importlib.metadata

    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
