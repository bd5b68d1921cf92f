"""What every engine does: requests in, finished samples out, each with its own seed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from jinja2 import TemplateError

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
    """A generator of text.  `generate` yields each sample as soon as it is finished, in any order."""

    name: str
    tokenizer: Any

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]: ...

    def encode_chat(self, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
        """Token ids of a conversation after the chat template, ready for the answer."""
        ...

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        """What the samples are made with, as the engine resolved it: JSON values, written down with every sample."""
        ...


def chat_ids(tokenizer: Any, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
    """Token ids of a conversation after the tokenizer's chat template, ready for the answer; `template`: its variables.

    Raises:
        UserError: the template refuses it, such as a role that it does not know.
    """
    try:
        ids = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=True, return_dict=False, **template)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise UserError(f"the model's chat template refuses a conversation with the roles {roles}: {error}") from None
    return tuple(ids)


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
