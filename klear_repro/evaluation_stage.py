"""The stage that evaluates the models of a run folder, and the one that imports samples made elsewhere."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.records import digest
from klear_repro.config import Config
from klear_repro.device import Device
from klear_repro.errors import UserError
from klear_repro.files import file_hash, folder_hash, kept_file_hash
from klear_repro.progress import say
from klear_repro.runfolder import RunFolder

if TYPE_CHECKING:
    from klear_repro.forecast import Forecast

RL_STAGES: tuple[Literal["rl-math", "rl-code"], ...] = ("rl-math", "rl-code")
HELD_OUT = {"rl-math": ("mini-aime", "mini-words"), "rl-code": ("mini-lcb",)}
"""Benchmarks of the data stage that a stage is evaluated on, while it runs and beside its controls."""


class EvaluationStage:
    """What evaluation, shards of it, and import do in one run folder."""

    def __init__(self, config: Config, folder: RunFolder, device: Device) -> None:
        self.config, self.folder, self.device = config, folder, device
        self.path = folder.path
        self.seed = config.runtime.seed
        self.forecast: Forecast | None = None
        """What `check` found; None where models or problems are made by an earlier stage of this run."""

    def check(self, *, trains: bool, makes_data: bool) -> None:
        """Find models, protocols and problems before anything is written, and say what will happen; not where this run makes them."""
        from klear_repro.evaluate import STAND_INS, make_task
        from klear_repro.preflight import check_names

        settings = self.config.eval
        made = [name for name in settings.benchmarks if makes_data and name in STAND_INS and not settings.benchmark_path]
        if not made and (settings.model or not trains):
            return self.foresee()
        check_names(self.config)
        if settings.model or not trains:
            self.models()
        for name in settings.benchmarks:
            if name not in made:
                make_task(settings, name, self.path / "data")

    def foresee(self) -> None:
        """Check what evaluation needs but weights, and say what it will take (`klear_repro.preflight`)."""
        from klear_repro.preflight import preflight

        self.forecast = preflight(self.config, self.path, self.device, self.models)
        if not self.config.eval.shard:  # whoever starts shards says it once
            say(self.forecast.paragraph())

    def models(self) -> dict[str, tuple[Any, tuple[str, ...]]]:
        """What to evaluate: label → (source, benchmarks)."""
        from klear_repro.models import ModelSource, find_model

        benchmarks = self.config.eval.benchmarks
        if self.config.eval.model:
            source = find_model(self.config.eval.model, self.config.eval.revision, weights=False)
            return {source.name: (source, benchmarks)}
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

    def fingerprint(self) -> str:
        from benchmarks.protocols import load_protocol
        from klear_repro.evaluate import STAND_INS

        config = self.config.eval
        models = [(label, source.revision, on) for label, (source, on) in self.models().items()]
        inputs: list[str] = []
        if config.benchmark_path:
            path = Path(config.benchmark_path)
            inputs.append(folder_hash(path, ("*.jsonl",)) if path.is_dir() else file_hash(path) if path.is_file() else "")
        else:
            inputs += [str(self.folder.manifest.get("data_hashes", {}).get(f"{name}.jsonl")) for name in config.benchmarks]
        try:
            names = [config.protocol or STAND_INS.get(name, "klear-paper-32k") for name in config.benchmarks] + list(config.attribute)
            protocols = [load_protocol(name).model_dump(mode="json") for name in names]
        except ValueError as error:
            raise UserError(str(error)) from None
        return digest([self.seed, config.model_dump(mode="json"), models, inputs, protocols, str(self.device.dtype)])

    def generate_shard(self) -> None:
        """The samples of one shard; other processes may be making theirs in the same folder."""
        from klear_repro.evaluate import generate_shard, make_task

        config = self.config.eval
        for label, (source, on) in self.models().items():
            tasks = {name: make_task(config, name, self.path / "data") for name in on}
            for name in on:
                engine = self.engine(source, tasks[name].protocol)
                generate_shard(engine, tasks[name], label, source.revision, self.path, self.seed, config.shard)

    def run_shards(self) -> None:
        """Generate with several processes, where that was asked for."""
        from klear_repro.parallel import run_shards

        config = self.config.eval
        if config.data_parallel == 1:
            return
        cuda = self.device.device.type == "cuda"
        threads = self.config.runtime.threads or max(1, len(os.sched_getaffinity(0)) // config.data_parallel)
        with self.folder.shared():
            run_shards(self.path, config.data_parallel, threads=threads, gpus_each=config.tensor_parallel if cuda else 0,
                       device=self.device.device.type, dtype=str(self.device.dtype).removeprefix("torch."))  # fmt: skip

    def evaluate(self, force: bool) -> None:
        from klear_repro.evaluate import evaluate, make_task
        from klear_repro.judging import Judges

        models = self.models()
        if self.forecast is None:
            self.foresee()
        if force:
            for label, (_, on) in models.items():
                for name in on:
                    (self.path / "generations" / name / f"{label}.jsonl").unlink(missing_ok=True)
            (self.path / "grades" / "programs.jsonl").unlink(missing_ok=True)
        if self.config.eval.attribute:
            return self.attribute(models)
        tasks = {name: make_task(self.config.eval, name, self.path / "data") for name in self.config.eval.benchmarks}
        self.run_shards()
        with Judges(self.config, self.path / "grades" / "programs.jsonl") as judges:
            for label, (source, on) in models.items():
                engine, started = None, None
                for name in on:
                    protocol = tasks[name].protocol
                    if engine is None or started != (protocol.rope, protocol.max_model_len):
                        engine = None  # its memory is needed for the next one
                        engine, started = self.engine(source, protocol), (protocol.rope, protocol.max_model_len)
                    entry = evaluate(engine, tasks[name], label, source.revision, self.path, self.seed, judges)
                    others = [old for old in self.folder.manifest["evaluations"] if (old["benchmark"], old["model"]) != (name, label)]
                    self.folder.manifest["evaluations"] = [*others, entry]
                    self.folder.save()

    def attribute(self, models: dict[str, tuple[Any, tuple[str, ...]]]) -> None:
        """Which differences of two protocols change each model's score (`klear_repro.attribution`)."""
        from klear_repro.attribution import attribute
        from klear_repro.judging import Judges

        with Judges(self.config, self.path / "grades" / "programs.jsonl") as judges:
            for label, (source, on) in models.items():
                for name in on:
                    entry = attribute(
                        self.config.eval, name, self.path, label, source.revision, self.seed, judges, partial(self.engine, source)
                    )
                    others = [old for old in self.folder.manifest["attributions"] if (old["benchmark"], old["model"]) != (name, label)]
                    self.folder.manifest["attributions"] = [*others, entry]
                    self.folder.save()

    def engine(self, source: Any, protocol: Any) -> Any:
        """The engine that was asked for; it starts when it has something to generate."""
        from klear_repro.engines.lazy import LazyEngine

        return LazyEngine(self.config.eval.engine, source, partial(self._start_engine, source, protocol))

    def _start_engine(self, source: Any, protocol: Any) -> Any:
        from klear_repro.models import as_folder, load

        config = self.config.eval
        length = protocol.max_model_len or 0
        if config.engine == "vllm":
            from klear_repro.engines.vllm import VLLMEngine

            return VLLMEngine(
                as_folder(source, self.path / "models"), device=self.device, max_model_len=length, rope=protocol.rope, seed=self.seed,
                slots=config.slots, tensor_parallel=config.tensor_parallel,
            )  # fmt: skip
        if config.engine == "openai":
            from klear_repro.engines.openai import OpenAIEngine

            return OpenAIEngine(
                as_folder(source, self.path / "models"), endpoints=config.endpoints, model=config.served_name, slots=config.slots,
                request_s=config.request_s,
            )  # fmt: skip
        from klear_repro.engines.hf import HFEngine

        if protocol.rope is not None:  # a GGUF file has no configuration that can be extended
            source = as_folder(source, self.path / "models")
        model, tokenizer = load(source, self.device, protocol.rope, length)
        try:
            return HFEngine(model, tokenizer, slots=config.slots, max_model_len=length)
        except ValueError as error:
            raise UserError(f"model {source.name}: {error}") from None

    def import_fingerprint(self) -> str:
        files = [file_hash(Path(path)) if Path(path).is_file() else "" for path in self.config.traces.paths]
        config = self.config.eval
        return digest([files, self.config.traces.model_dump(mode="json"), config.benchmarks, config.benchmark_path, config.protocol, config.code_mode])

    def import_traces(self) -> None:
        from klear_repro.importing import import_traces
        from klear_repro.judging import Judges

        with Judges(self.config, self.path / "grades" / "programs.jsonl") as judges:
            import_traces(self.config, self.folder, judges)
