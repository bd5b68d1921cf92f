"""Protocols: prompt, sampling, budget, context extension, samples and judges of one evaluation, as files.

A number without its protocol cannot be compared.  The files in `protocols/` state what the paper
(arXiv 2508.07629), the released script (`benchmarks/inference.py` of the released code) and the
independent attempt in that repository's issue 2 used, and what other models' cards and harnesses say;
`protocol_diff` says where two of them differ.  Prompts are files of their own, in `prompts/`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.errors import BenchmarkError
from benchmarks.records import Thinking, digest

Context = Literal["off", "yarn", "model"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Prompt(_Part):
    """How a problem's statement becomes the text that the model sees."""

    name: str = ""
    """The file in `prompts/` that it comes from."""
    system: str | None = None
    """System message, or none."""
    user: str = "{statement}"
    """User message; `{statement}` stands for the problem's statement, `{starter_code}` for its code stub, `{format}`
    for one of the next two."""
    with_starter: str = ""
    """What `{format}` stands for where a problem has a code stub."""
    without_starter: str = ""
    """What `{format}` stands for where it has none."""
    chat_template: bool = True
    """Apply the tokenizer's chat template with a generation prompt; else the user message is the prompt."""
    enable_thinking: bool | None = None
    """Passed to the chat template when not null."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A name stands for the file of that name."""
        return _prompt_file(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_statement(self) -> Self:
        if "{statement}" not in self.user:
            raise ValueError("`user` must contain {statement}")
        if self.system is not None and not self.chat_template:
            raise ValueError("`system` needs `chat_template`")
        return self

    def user_message(self, statement: str, starter_code: str = "") -> str:
        """The user message for one problem.  Braces inside the statement are left alone."""
        shape = self.user.replace("{format}", self.with_starter if starter_code else self.without_starter)
        before, _, after = shape.partition("{statement}")
        code = starter_code or "# YOUR CODE HERE"
        return before.replace("{starter_code}", code) + statement + after.replace("{starter_code}", code)

    def messages(self, statement: str, starter_code: str = "") -> list[dict[str, str]]:
        """Chat messages for one problem, as chat templates take them."""
        user = {"role": "user", "content": self.user_message(statement, starter_code)}
        return [user] if self.system is None else [{"role": "system", "content": self.system}, user]


class Sampling(_Part):
    """Sampling parameters with the meaning that vLLM gives them."""

    temperature: float = Field(default=1.0, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    """0: off."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """0: off."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """1: off.  Counts prompt and generated tokens."""


class Rope(_Part):
    """Context extension by YaRN (arXiv 2309.00071)."""

    type: Literal["yarn"] = "yarn"
    factor: float = Field(gt=1)
    original_max_position_embeddings: int = Field(gt=0)
    """Tokens."""


class CodePart(_Part):
    """What a protocol has in place of its own fields on problems whose answer is a program."""

    prompt: Prompt | None = None
    """Null: the protocol's own."""
    samples: int | None = Field(default=None, gt=0)
    """Null: the protocol's own."""
    extraction: Literal["lcb", "klear"] = "lcb"


class Protocol(_Part):
    """One evaluation protocol.  Frozen: changes are made by `resolve`."""

    name: str
    description: str
    prompt: Prompt = Prompt()
    sampling: Sampling = Sampling()
    max_new_tokens: int = Field(gt=0)
    """Budget of one generation in tokens."""
    max_model_len: int | None = Field(default=None, gt=0)
    """Prompt and generation together in tokens; null: what the model's configuration allows."""
    context: Context = "model"
    """Context extension: none, even where the checkpoint's configuration has one; YaRN as `rope` says; or what that configuration has.
    A file that does not say means `yarn` where it has `rope`, else `model`."""
    rope: Rope | None = None
    """Where `context` is `yarn`."""
    samples: int = Field(gt=0)
    """Generations a problem; the n of avg@n."""
    judges: tuple[Literal["klear", "strict"], ...] = ("klear", "strict")
    """The first one is the judge of the protocol's own score."""
    thinking: Thinking = "auto"
    """Rule by which `strict` finds the end of the thinking (`benchmarks.grading`)."""
    extraction: Literal["lcb", "klear"] = "lcb"
    """Rule by which a program is taken out of a response (`benchmarks.livecodebench.extract_code`)."""
    code: CodePart | None = None
    """Null: programs are asked for like answers."""

    @model_validator(mode="before")
    @classmethod
    def _context_of_rope(cls, values: Any) -> Any:
        """Files and run folders of before there was `context` have `rope` or not."""
        if isinstance(values, Mapping) and "context" not in values and values.get("rope") is not None:
            return {**values, "context": "yarn"}
        return values

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.context == "yarn") != (self.rope is not None):
            needs = "needs [rope] with factor and original_max_position_embeddings"
            raise ValueError(f"context={self.context!r} {needs if self.rope is None else 'is not possible with [rope]; it must be yarn'}")
        if self.max_model_len is not None and self.max_model_len <= self.max_new_tokens:
            raise ValueError(
                f"max_model_len={self.max_model_len} leaves no room for a prompt"
                f" beside max_new_tokens={self.max_new_tokens}"
            )
        if not self.judges or len(set(self.judges)) != len(self.judges):
            raise ValueError(f"judges={list(self.judges)} must name one or two different judges")
        return self

    def for_benchmark(self, name: str, kind: Literal["math", "code"]) -> Protocol:
        """The protocol as it stands on one benchmark, its part for programs put in place or left out."""
        changes: dict[str, Any] = {"code": None}
        if kind == "code" and self.code is not None:
            given = {field: getattr(self.code, field) for field in ("prompt", "samples", "extraction")}
            changes |= {field: value for field, value in given.items() if value is not None}
        if name == "humaneval":  # its statements are code, which the prompts of LiveCodeBench do not fit
            changes["prompt"] = Prompt.model_validate("humaneval")
        return self.model_copy(update=changes)

    def sampling_hash(self, seed: int) -> str:
        """Hash of what may change a generation beside the prompt: sampling, budget, context extension, seed.

        The number of samples and the judges are not in it: more samples or another judge share generations.  `off` and
        `model` are not told apart either, as most checkpoints have no extension of their own; where one has, the report
        compares what the engine resolved with the protocol.
        """
        values = self.model_dump(mode="json", include={"sampling", "max_new_tokens", "max_model_len", "rope"})
        return digest(values | {"seed": seed})

    def resolve(self, overrides: Mapping[str, Any] | None = None) -> Protocol:
        """The protocol with some fields replaced: `{"samples": 4, "sampling.top_k": 20, "rope": None}`.

        A changed protocol gets `+changed` behind its name, so that it is not taken for the named one.  The number of samples changes no
        sample, and stands beside every score: with another one the name stays.

        Raises:
            BenchmarkError: unknown field or impossible value.
        """
        if not overrides:
            return self
        values = self.model_dump()
        for field, value in overrides.items():
            holder = values
            *parents, last = field.split(".")
            for parent in parents:
                if not isinstance(holder.get(parent), dict):
                    raise BenchmarkError(f"protocol {self.name}: no field {field!r}")
                holder = holder[parent]
            if last not in holder:
                raise BenchmarkError(
                    f"protocol {self.name}: no field {field!r}; fields: {', '.join(sorted(holder))}"
                )
            holder[last] = value
        if "rope" in overrides and "context" not in overrides:
            del values["context"]  # it follows
        elif values["context"] != "yarn" and "rope" not in overrides:
            values["rope"] = None
        changed = _validated(values, self.name)
        compared = {"name", "description", "samples"}
        if changed.model_dump(exclude=compared) == self.model_dump(exclude=compared):
            return changed
        if "name" in overrides or changed.name.endswith("+changed"):
            return changed
        return changed.model_copy(update={"name": f"{self.name}+changed"})


def protocol_names() -> list[str]:
    """Names of the protocols that come with the project."""
    entries = (files("benchmarks") / "protocols").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def load_protocol(name_or_path: str | Path) -> Protocol:
    """A protocol by name, or from a TOML file.

    Raises:
        BenchmarkError: unknown name (the message lists the names), unreadable or wrong file.
    """
    text = str(name_or_path)
    if text in protocol_names():
        source = (files("benchmarks") / "protocols" / f"{text}.toml").read_text(encoding="utf-8")
        return _parsed(source, text)
    path = Path(text)
    if path.suffix == ".toml" and path.is_file():
        return _parsed(path.read_text(encoding="utf-8", errors="replace"), str(path))
    raise BenchmarkError(
        f"unknown protocol {text!r}; allowed: {', '.join(protocol_names())}, or a .toml file"
    )


def prompt_names() -> list[str]:
    """Names of the prompts that come with the project."""
    entries = (files("benchmarks") / "prompts").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def _prompt_file(name: str) -> dict[str, Any]:
    if name not in prompt_names():
        raise ValueError(f"no prompt {name!r}; allowed: {', '.join(prompt_names())}")
    text = (files("benchmarks") / "prompts" / f"{name}.toml").read_text(encoding="utf-8")
    return {"name": name} | tomllib.loads(text)


def protocol_diff(a: Protocol, b: Protocol) -> dict[str, tuple[Any, Any]]:
    """Dotted field name → (value in a, value in b) where they differ, name and description aside."""
    left, right = _flat(a.model_dump(mode="json")), _flat(b.model_dump(mode="json"))
    fields = [field for field in {**left, **right} if field not in ("name", "description")]
    return {
        field: (left.get(field), right.get(field)) for field in fields if left.get(field) != right.get(field)
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for field, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{field}.")
        elif not (field in ("rope", "code") and value is None):
            flat[prefix + field] = value
    return flat


def _parsed(source: str, where: str) -> Protocol:
    try:
        values = tomllib.loads(source)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BenchmarkError(f"protocol {where}: not TOML ({error})") from error
    return _validated(values, where)


def _validated(values: Mapping[str, Any], where: str) -> Protocol:
    try:
        return Protocol.model_validate(values)
    except ValidationError as error:
        problems: Sequence[Any] = error.errors()
        first = problems[0]
        field = ".".join(str(part) for part in first["loc"]) or "fields"
        raise BenchmarkError(
            f"protocol {where}: {field}: {first['msg']} (got {str(first['input'])[:80]!r})"
        ) from error
