"""The stage that evaluates the models of a run folder, and the one that imports samples made elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.protocols import Protocol
from benchmarks.records import SampleKey, digest
from klear_repro.config import Config
from klear_repro.device import Device, choose_device
from klear_repro.engines.base import Engine
from klear_repro.errors import UserError
from klear_repro.files import file_hash, folder_hash, kept_file_hash
from klear_repro.models import ModelSource
from klear_repro.progress import say
from klear_repro.runfolder import RunFolder

if TYPE_CHECKING:
    from klear_repro.attribution import Filler
    from klear_repro.evaluate import Task
    from klear_repro.forecast import Forecast
    from klear_repro.importing import Import
    from klear_repro.parallel import Workers
    from klear_repro.work import SampleSet

RL_STAGES: tuple[Literal["rl-math", "rl-code"], ...] = ("rl-math", "rl-code")
HELD_OUT = {"rl-math": ("mini-aime", "mini-words"), "rl-code": ("mini-lcb",)}
"""Benchmarks of the data stage that a stage is evaluated on, while it runs and beside its controls."""


class EvaluationStage:
    """What evaluation, shards of it, and import do in one run folder."""

    def __init__(self, config: Config, folder: RunFolder, device: Device) -> None:
        self.config, self.folder, self.device = config, folder, device
        self.path = folder.path
        self.seed = config.runtime.seed
        self._import: Import | None = None
        self.forecast: Forecast | None = None
        """What `check` found; None where models or problems are made by an earlier stage of this run."""

    def check(self, *, trains: bool, makes_data: bool, force: bool = False) -> None:
        """Find models, protocols and problems before anything is written, and say what will happen; not where this run makes them."""
        from klear_repro.names import STAND_INS, check_names

        settings = self.config.eval
        made = [name for name in settings.benchmarks if makes_data and name in STAND_INS and not settings.benchmark_path]
        if not made and (settings.model or not trains):
            return self.foresee(force)
        check_names(self.config)
        if settings.model or not trains:
            self.models()
        for name in settings.benchmarks:
            if name not in made:
                self._task(name, tests=False)

    def foresee(self, force: bool = False) -> None:
        """Check what evaluation needs but weights, and say what it will take (`klear_repro.preflight`); `force`: samples that are there go."""
        from klear_repro.preflight import preflight

        self.forecast = preflight(self.config, self.path, self.device, self.models, anew=force)
        if not self.config.eval.shard:  # whoever starts shards says it once
            say(self.forecast.paragraph())

    def models(self) -> dict[str, tuple[Any, tuple[str, ...]]]:
        """What to evaluate: label → (source, benchmarks).

        Raises:
            UserError: a model cannot be had, there is none, or the one to attribute is not among them.
        """
        found, chosen = self._models(), self.config.eval.attribute_model
        if chosen and chosen not in found:
            raise UserError(f"eval.attribute_model={chosen!r}: must be one of the models of this run: {', '.join(found)}")
        return found

    def _models(self) -> dict[str, tuple[Any, tuple[str, ...]]]:
        from klear_repro.model_list import named_models
        from klear_repro.models import ModelSource, find_model

        benchmarks = self.config.eval.benchmarks
        if self.config.eval.model:
            return {source.name: (source, benchmarks) for source in named_models(self.config.eval.model, self.config.eval.revision)}
        from klear_repro.training.checkpoint import latest  # imports the models of transformers, which takes seconds

        found: dict[str, tuple[Any, tuple[str, ...]]] = {}
        if self.config.model.path:
            source = find_model(self.config.model.path, self.config.model.revision, weights=False)
            found["base"] = (replace(source, name="base"), benchmarks)
        labels: list[tuple[str, tuple[str, ...]]] = [(stage, benchmarks) for stage in ("sft", *RL_STAGES)]
        for stage in RL_STAGES:
            on = tuple(name for name in benchmarks if name in HELD_OUT[stage])
            labels += [(f"{stage}-{control}", on) for control in ("clip", "sft")]
        for label, on in labels:
            path = latest(self.path / "checkpoints" / label)
            if path is not None and on:
                weights = path / "model.safetensors"
                found[label] = (ModelSource(label, path, "", kept_file_hash(weights), weights.stat().st_size), on)
        if not found:
            raise UserError("eval: this run folder has no checkpoint; pass --model, or run the stage sft first")
        return found

    def with_weights(self, models: dict[str, tuple[Any, tuple[str, ...]]]) -> dict[str, tuple[Any, tuple[str, ...]]]:
        """The models with the weights that are still on the Hub; as they are where nothing is generated here."""
        from klear_repro.models import with_weights

        if self.config.eval.engine == "openai" or (self.forecast is not None and not self.forecast.missing):
            return models
        return {label: (with_weights(source), on) for label, (source, on) in models.items()}

    def fingerprint(self) -> str:
        from benchmarks.protocols import load_protocol
        from klear_repro.names import DEFAULT_PROTOCOL, STAND_INS

        config = self.config.eval
        models = [(label, source.revision, on) for label, (source, on) in self.models().items()]
        inputs: list[str] = []
        if config.benchmark_path:
            path = Path(config.benchmark_path)
            inputs.append(folder_hash(path, ("*.jsonl",)) if path.is_dir() else file_hash(path) if path.is_file() else "")
        else:
            inputs += [str(self.folder.manifest.get("data_hashes", {}).get(f"{name}.jsonl")) for name in config.benchmarks]
        try:
            names = [config.protocol or STAND_INS.get(name, DEFAULT_PROTOCOL) for name in config.benchmarks] + list(config.attribute)
            protocols = [load_protocol(name).model_dump(mode="json") for name in names]
        except ValueError as error:
            raise UserError(str(error)) from None
        return digest([self.seed, config.model_dump(mode="json"), models, inputs, protocols, str(self.device.dtype)])

    def generate_shard(self) -> None:
        """Make what is missing, beside other processes in the same folder, and grade nothing."""
        for label, (source, on) in self.with_weights(self.models()).items():
            tasks = [self._task(name, tests=False) for name in on]
            self._check_revision(label, source, tasks)
            for samples, missing in self.generate(label, source, tasks):
                benchmark = next(iter(samples.keys)).benchmark
                said = f"{missing} of {len(samples.keys)} samples were missing, and all are there now" if missing else f"all {len(samples.keys)} samples are there"
                say(f"eval {label} {benchmark}: {said}; grade them with the same command without --eval.shard")

    def _check_revision(self, label: str, source: ModelSource, tasks: Sequence[Task]) -> None:
        """Refuse a shard of another checkpoint than those before it, whose samples would be of no use to them.

        Raises:
            UserError: all samples of a task that are there are of another revision.
        """
        from benchmarks.records import read_generations
        from klear_repro.evaluate import store_path

        for task in tasks:
            file = store_path(self.path, task.benchmark, label)
            sampling = task.protocol.sampling_hash(self.seed)
            there = {row.revision for row in read_generations(file)[0] if row.sampling_hash == sampling} if file.is_file() else set()
            if there and source.revision not in there:
                raise UserError(
                    f"eval.revision={source.revision!r}: the samples of {label} on {task.benchmark} in this run folder are of {', '.join(sorted(there))}; "
                    "pass that revision, or another --run-dir"
                )

    def generate(self, label: str, source: ModelSource, tasks: Sequence[Task]) -> list[tuple[SampleSet, int]]:
        """Make what is missing of one model's samples, one engine after the other; returns the samples of each task and how many were missing."""
        from klear_repro.engines.chat import ChatTokenizer
        from klear_repro.evaluate import context, sample_set

        encoder = ChatTokenizer(source)
        sets = {task.benchmark: sample_set(task, label, source.revision, self.path, encoder, self.seed) for task in tasks}
        missing: dict[str, int] = {}
        alike: dict[object, list[Task]] = {}
        for task in tasks:
            alike.setdefault(context(task.protocol), []).append(task)
        for group in alike.values():
            names = [task.benchmark for task in group]
            with self.workers(source, group[0].protocol) as workers, self.folder.shared():
                self.canary(workers, [sets[name] for name in names], label)
                missing |= zip(names, workers.fill([sets[name] for name in names], f"eval {label} {', '.join(names)}"), strict=True)
        return [(sets[task.benchmark], missing[task.benchmark]) for task in tasks]

    def canary(self, workers: Filler, sets: Sequence[SampleSet], label: str) -> None:
        """Have a few samples made before the rest is queued (`klear_repro.canary`)."""
        from klear_repro.canary import Watched, run_canary

        watched = [Watched(f"eval {label} {next(iter(one.keys)).benchmark}", one.judged, one.keys, one.store) for one in sets]

        def make(picked: list[list[SampleKey]]) -> None:
            parts = [replace(one, keys={key: one.keys[key] for key in keys}) for one, keys in zip(sets, picked, strict=True) if keys]
            workers.fill(parts, f"eval {label}: canary")

        together = self.forecast.side_by_side() if self.forecast else None
        run_canary(make, watched, self.config.eval.canary, together)

    def evaluate(self, force: bool) -> None:
        """Generate and grade everything, then attribute where that is asked for, and describe it in the manifest."""
        models = self.models()
        if force:
            for label, (_, on) in models.items():
                for name in on:
                    (self.path / "generations" / name / f"{label}.jsonl").unlink(missing_ok=True)
            (self.path / "grades" / "programs.jsonl").unlink(missing_ok=True)
        if self.forecast is None:
            self.foresee()
        models = self.with_weights(models)
        if self.config.eval.evaluates:
            self.grade(models)
        if self.config.eval.attribute:
            self.attribute({label: found for label, found in models.items() if self.config.eval.attribute_model in ("", label)})

    def grade(self, models: dict[str, tuple[ModelSource, tuple[str, ...]]]) -> None:
        """Generate what is missing of each model, and grade all of it."""
        from klear_repro.evaluate import grade
        from klear_repro.judging import Judges

        tasks = {name: self._task(name) for name in self.config.eval.benchmarks}
        with Judges(self.config, self.path / "grades" / "programs.jsonl") as judges:
            for label, (source, on) in models.items():
                for samples, missing in self.generate(label, source, [tasks[name] for name in on]):
                    task = tasks[next(iter(samples.keys)).benchmark]
                    if not missing:
                        say(f"eval {label} {task.benchmark}: all {len(samples.keys)} samples are there, none generated")
                    self._record("evaluations", grade(task, samples, self.config.eval.engine, self.path, judges))

    def attribute(self, models: dict[str, tuple[ModelSource, tuple[str, ...]]]) -> None:
        """Which differences of two protocols change each model's score (`klear_repro.attribution`)."""
        from klear_repro.attribution import attribute
        from klear_repro.engines.chat import ChatTokenizer
        from klear_repro.judging import Judges

        with Judges(self.config, self.path / "grades" / "programs.jsonl") as judges:
            for label, (source, on) in models.items():
                for name in on:
                    start, end = (self._task(name, protocol) for protocol in self.config.eval.attribute)
                    entry = attribute(
                        start, end, self.path, label, source.revision, self.seed, judges, ChatTokenizer(source), partial(self.workers, source),
                        partial(self.canary, label=label),
                    )  # fmt: skip
                    self._record("attributions", entry)

    def _task(self, benchmark: str, protocol: str = "", *, tests: bool = True) -> Task:
        from klear_repro.evaluate import make_task

        return make_task(self.config.eval, benchmark, self.path / "data", protocol, tests=tests)

    def _record(self, kind: str, entry: dict[str, Any]) -> None:
        """Put an entry of the manifest in the place of the one before of the same benchmark and model."""
        others = [old for old in self.folder.manifest[kind] if (old["benchmark"], old["model"]) != (entry["benchmark"], entry["model"])]
        self.folder.manifest[kind] = [*others, entry]
        self.folder.save()

    def workers(self, source: ModelSource, protocol: Protocol) -> Workers:
        """The workers of an engine with a protocol's context setting; they start when there is something to generate."""
        from klear_repro.parallel import Plan, Workers

        config, cuda = self.config.eval, self.device.device.type == "cuda"
        threads = self.device.threads
        if config.data_parallel > 1 and not self.config.runtime.threads:
            threads = max(1, len(os.sched_getaffinity(0)) // config.data_parallel)
        where = self.device.device.type, str(self.device.dtype).removeprefix("torch."), threads
        commands = int(config.shard.partition("/")[2] or 1)
        return Workers(Plan(
            self.path, partial(start_engine, self.config, self.path, source, protocol, where), config.data_parallel, config.data_parallel * commands,
            silent_s=0 if config.engine == "openai" else config.silent_s, gpus_each=config.tensor_parallel if cuda and config.engine != "openai" else 0, fresh=cuda,
        ))  # fmt: skip

    def import_fingerprint(self) -> str:
        from klear_repro.importing import input_hashes

        config = self.config.eval
        files = input_hashes(self.config.traces.paths)
        return digest([files, self.config.traces.model_dump(mode="json"), config.benchmarks, config.benchmark_path, config.protocol, config.code_mode])

    def prepare_import(self) -> None:
        """Read what is to be imported before anything is written, so that a refused import leaves nothing behind."""
        from klear_repro.importing import check_label, prepare_import

        self._import = prepare_import(self.config)
        check_label(self._import, self.folder.manifest)

    def import_traces(self) -> None:
        from klear_repro.importing import import_traces
        from klear_repro.judging import Judges

        assert self._import is not None
        with Judges(self.config, self.path / "grades" / "programs.jsonl") as judges:
            import_traces(self._import, self.folder, judges)


PROMPT_TOKENS = 512
"""Tokens of a prompt where an engine reckons how many samples memory holds."""


def start_engine(config: Config, folder: Path, source: ModelSource, protocol: Protocol, where: tuple[str, str, int]) -> Engine:
    """The engine that was asked for, in this process.

    Args:
        folder: the run folder.
        protocol: one with the context setting that is needed.
        where: device, data type and threads, as `choose_device` takes them.
    """
    import transformers

    from klear_repro.models import as_folder, load
    from klear_repro.weights import quantization_of

    transformers.utils.logging.disable_progress_bar()
    device, settings = choose_device(*where), config.eval
    length = protocol.max_model_len or 0
    longest = protocol.max_new_tokens + PROMPT_TOKENS
    if settings.engine == "vllm":
        from klear_repro.engines.vllm import VLLMEngine

        return VLLMEngine(
            as_folder(source, folder / "models"), device=device, max_model_len=length, rope=protocol.rope, context=protocol.context,
            seed=config.runtime.seed, slots=settings.slots, longest=longest, tensor_parallel=settings.tensor_parallel,
            end_of_turn=settings.end_of_turn, options=settings.vllm_options(), quantization=quantization_of(source),
        )  # fmt: skip
    if settings.engine == "openai":
        from klear_repro.engines.openai import OpenAIEngine

        return OpenAIEngine(
            source, endpoints=settings.endpoints, model=settings.served_name, slots=settings.slots,
            request_s=settings.request_s, end_of_turn=settings.end_of_turn, vouched=settings.vouched,
        )  # fmt: skip
    from klear_repro.engines.hf import HFEngine

    quantization = quantization_of(source)
    if protocol.rope is not None:  # a GGUF file has no configuration that can be extended
        source = as_folder(source, folder / "models")
    model, tokenizer = load(source, device, protocol.rope, length, protocol.context)
    try:
        return HFEngine(
            model, tokenizer, slots=settings.slots, max_model_len=length, longest=longest, end_of_turn=settings.end_of_turn,
            quantization=quantization, copies=settings.data_parallel,
        )  # fmt: skip
    except ValueError as error:
        raise UserError(f"model {source.name}: {error}") from None
