"""The names in an evaluation's configuration: benchmarks, protocols, prompts, files.  Nothing here imports torch, so a wrong one is told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks import BENCHMARKS
from benchmarks.errors import BenchmarkError
from benchmarks.protocols import Prompt, Protocol, load_protocol
from benchmarks.published import load_published
from klear_repro.config import Config
from klear_repro.errors import UserError
from klear_repro.sections import EvalConfig

DEFAULT_PROTOCOL = "klear-paper-32k"
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""Sampling parameters that the configuration can set in place of the protocol's."""
STAND_INS = {"mini-aime": "smoke-math", "mini-lcb": "smoke-code", "mini-words": "smoke-words"}


def check_names(config: Config) -> None:
    """Benchmarks, protocols, files of published numbers, and the engine's package.

    Raises:
        UserError: one of them is not there.
    """
    settings = config.eval
    for name in settings.benchmarks:
        if name not in BENCHMARKS:
            raise UserError(f"eval.benchmarks={name!r}: unknown benchmark; allowed: {', '.join(BENCHMARKS)}")
    for name in settings.attribute:
        protocol_of(settings, settings.benchmarks[0], name, "eval.attribute: ")
    for benchmark in settings.benchmarks:
        protocol_of(settings, benchmark)
    try:
        load_published([Path(path) for path in config.report.published])
    except BenchmarkError as error:
        raise UserError(f"report.published: {error}") from None
    if settings.engine == "vllm":
        from klear_repro.engines import vllm_names
        from klear_repro.engines.vllm import require_vllm

        require_vllm()
        vllm_names.check_names(settings.vllm_options())
    if settings.engine == "openai" and not settings.endpoints:
        raise UserError("eval.endpoints: needed by the engine openai; addresses such as http://127.0.0.1:8000/v1, comma-separated")


def protocol_of(settings: EvalConfig, benchmark: str, name: str = "", where: str = "") -> Protocol:
    """The protocol of this name, else the benchmark's, with what the configuration replaces in it.

    Raises:
        UserError: there is none, or it cannot be had so; `where` stands before it.
    """
    try:
        return resolved(settings, load_protocol(name) if name else named_protocol(settings, benchmark))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{where}{error}") from None


def named_protocol(config: EvalConfig, benchmark: str, name: str = "") -> Protocol:
    """The protocol of this name, else the configuration's, else the benchmark's; as its file says.

    Raises:
        BenchmarkError: there is none.
    """
    return load_protocol(name or config.protocol or STAND_INS.get(benchmark, DEFAULT_PROTOCOL))


def resolved(config: EvalConfig, protocol: Protocol) -> Protocol:
    """The protocol with what the configuration replaces in it."""
    overrides: dict[str, Any] = {"samples": config.samples, "max_new_tokens": config.max_new_tokens, "max_model_len": config.max_model_len}
    overrides = {name: value for name, value in (overrides | {"context": config.context}).items() if value}
    for name in SAMPLING:
        value = getattr(config, name)
        if value is not None:
            overrides[f"sampling.{name}"] = max(value, 0)  # vLLM's −1 of top_k is off, too
    if "max_new_tokens" in overrides and "max_model_len" not in overrides and protocol.rope is None:
        overrides["max_model_len"] = None  # the protocol's length was made for its own budget
    if config.prompt:
        try:
            overrides["prompt"] = Prompt.model_validate(config.prompt).model_dump()
        except ValidationError as error:
            raise UserError(f"eval.prompt={config.prompt!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return protocol.resolve(overrides)
