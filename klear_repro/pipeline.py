"""The stages over a run folder: data → sft → rl-math → rl-code → eval → report.

A stage whose fingerprint (its configuration and what it was made from) is unchanged is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from benchmarks.records import digest
from klear_repro.config import Config, RLConfig
from klear_repro.device import Device, choose_device, hardware
from klear_repro.errors import RunError, UserError
from klear_repro.files import file_hash, folder_hash, read_rows
from klear_repro.progress import say
from klear_repro.runfolder import RunFolder
from klear_repro.seeds import derive_seed
from klear_repro.training.distributed import ALONE, Ranks, join, launched, leave

RL_STAGES: tuple[Literal["rl-math", "rl-code"], ...] = ("rl-math", "rl-code")
HELD_OUT = {"rl-math": ("mini-aime", "mini-words"), "rl-code": ("mini-lcb",)}
"""Benchmarks of the data stage that a stage is evaluated on, while it runs and beside its controls."""
WHERE = {"endpoints", "transfer_folder"}
"""Fields of an RL stage that say where it runs, not what it does: they may change when it goes on."""


def run(config: Config, path: Path, stages: Sequence[str], *, force: bool = False) -> None:
    """Run the named stages in `path`.

    Raises:
        UserError: what was asked cannot be done, in one line.
        RunError: it was begun and failed; what was finished is kept.
    """
    if config.data.source == "none":
        stages = [stage for stage in stages if stage in ("eval", "import", "report")]
        if not stages:
            raise UserError(f"profile {config.profile} trains nothing (data.source='none'): its stages are eval, import, report")
    try:
        device = choose_device(config.runtime.device, config.runtime.dtype, config.runtime.threads)
    except ValueError as error:
        raise UserError(str(error)) from None
    transformers.utils.logging.disable_progress_bar()  # the stages have their own
    if launched():
        return _run_together(config, path, stages, device, force)
    with RunFolder(path, config, shared=bool(config.eval.shard)) as folder:
        if config.eval.shard:
            return _generate_shard(_Pipeline(config, folder, device), stages)
        _Pipeline(config, folder, device).run(stages, force)


def _run_together(config: Config, path: Path, stages: Sequence[str], device: Device, force: bool) -> None:
    """Under torchrun: the first process runs the stages, the others join it in training."""
    ranks = join()
    if device.device.type == "cuda":  # CUDA only
        device = Device(torch.device("cuda", torch.cuda.current_device()), device.dtype, device.threads)
    if not ranks.first:
        worker = _Pipeline(config, RunFolder(path, config), device, ranks)
        while (order := ranks.told(None)) is not None:
            job, words = order
            getattr(worker, job)(*words)
        return leave()
    pipeline: _Pipeline | None = None
    try:
        with RunFolder(path, config) as folder:
            pipeline = _Pipeline(config, folder, device, ranks)
            pipeline.run(stages, force)
    except (UserError, RunError, OSError):
        if pipeline is None or not pipeline.training:  # the others wait for their next job
            ranks.told(None)
        raise
    ranks.told(None)
    leave()


def _generate_shard(pipeline: _Pipeline, stages: Sequence[str]) -> None:
    if list(stages) != ["eval"]:
        raise UserError(f"eval.shard={pipeline.config.eval.shard!r}: with --stage eval alone, not {','.join(stages)}")
    pipeline.check(stages, force=False)
    pipeline.generate_shard()


class _Pipeline:
    """What the stages share."""

    def __init__(self, config: Config, folder: RunFolder, device: Device, ranks: Ranks = ALONE) -> None:
        self.config, self.folder, self.device, self.ranks = config, folder, device, ranks
        self.path = folder.path
        self.training = False
        """Whether all processes are at work on a job."""
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self.seed = config.runtime.seed
        machine = [self.seed, str(device.device), str(device.dtype)]
        self.fingerprints = {"data": digest([self.seed, config.data.model_dump(mode="json")])}
        before = self.fingerprints["data"]
        for stage, section in (
            ("sft", [config.sft.model_dump(mode="json"), config.model.model_dump(mode="json"), config.runtime.gradient_checkpointing, *machine, *_inputs(config.sft.data, config.model.path)]),
            ("rl-math", [config.rl_math.model_dump(mode="json", exclude=WHERE), *_inputs(config.rl_math.data, config.rl_math.heldout)]),
            ("rl-code", [config.rl_code.model_dump(mode="json", exclude=WHERE), *_inputs(config.rl_code.data, config.rl_code.heldout)]),
        ):
            self.fingerprints[stage] = before = digest([before, section])

    def run(self, stages: Sequence[str], force: bool) -> None:
        """Run the named stages, once all that can be checked before was."""
        stages = self.with_data(stages)
        self.check(stages, force)
        self.folder.describe(hardware(self.device))
        self.write_config()
        for stage in stages:
            self.stage(stage, force)
        say(f"run folder: {self.path}")

    def write_config(self) -> None:
        from klear_repro.config import dump_toml
        from klear_repro.files import write_atomic

        target, text = self.path / "config.toml", dump_toml(self.config)
        if not target.exists() or target.read_text() != text:
            write_atomic(target, text)

    def with_data(self, stages: Sequence[str]) -> list[str]:
        """SFT brings the data stage along where the run folder has none: it takes seconds."""
        record = self.folder.manifest.get("stages", {}).get("data")
        missing = "sft" in stages and "data" not in stages and (record is None or record["status"] != "done")
        return ["data", *stages] if missing else list(stages)

    def check(self, stages: Sequence[str], force: bool) -> None:
        """Refuse, before anything is written, what would throw finished work away or has nothing to start from."""
        for stage in stages:
            if stage in self.fingerprints and not force:
                self.folder.check_unchanged(stage, self.fingerprints[stage])
        order = list(self.fingerprints)
        for stage in stages:
            if stage in order[1:]:
                needed = order[order.index(stage) - 1]
                record = self.folder.manifest.get("stages", {}).get(needed)
                if needed not in stages and (record is None or record["status"] != "done"):
                    raise UserError(f"--stage={stage}: needs stage {needed}, which this run folder does not have; pass --stage {needed},{stage}")
        if self.config.data.source == "files":
            sft = ("sft", self.config.sft.steps or self.config.sft.epochs, self.config.sft.data)
            for stage, steps, data in (sft, ("rl-math", self.config.rl_math.steps, self.config.rl_math.data), ("rl-code", self.config.rl_code.steps, self.config.rl_code.data)):
                if stage in stages and steps and not data:
                    raise UserError(f"{stage.replace('-', '_')}.data='': must name a file or data set where data.source='files'; or set {stage.replace('-', '_')}.steps to 0")
        for stage, section in (("rl-math", self.config.rl_math), ("rl-code", self.config.rl_code)):
            if stage in stages and section.steps and section.engine == "vllm":
                from klear_repro.engines.vllm import require_vllm

                if self.ranks.world > 1:
                    raise UserError(f"{stage.replace('-', '_')}.engine='vllm': one process only; under torchrun use hf or vllm-server")
                require_vllm()
        self.check_data(stages, force)
        if set(stages) & {"sft", *RL_STAGES}:
            from klear_repro.training.logs import check_trackers

            check_trackers(self.config.runtime.trackers)
        if "import" in stages and not self.config.traces.paths:
            raise UserError("traces.paths: needed by --stage import; pass --traces.paths FILE")
        if "eval" in stages:
            self.check_eval(trains="sft" in stages, makes_data="data" in stages)
        if "report" in stages and not {"eval", "import"} & set(stages) and not (self.path / "manifest.json").exists():
            raise UserError(f"run-dir={str(self.path)!r}: nothing to report there; run the stage eval or import first")

    def check_data(self, stages: Sequence[str], force: bool) -> None:
        """Read the rows that the stages name, before anything is written or deleted."""
        files = self.config.data.source == "files"
        todo = [stage for stage in stages if stage in self.fingerprints and (force or not self.folder.is_done(stage, self.fingerprints[stage]))]
        if "sft" in todo and self.config.sft.data:
            self.sft_rows(keep=True)
        for stage in RL_STAGES:
            config, section = self.rl_config(stage), stage.replace("-", "_")
            if stage not in todo or not config.steps:
                continue
            if files and config.eval_every and not config.heldout:
                raise UserError(f"{section}.heldout='': must name problems to evaluate on every eval_every={config.eval_every} steps where data.source='files'; or set eval_every to 0")
            if files and "sft" in config.controls and not self.config.sft.data:
                raise UserError(f"{section}.controls='sft': needs sft.data, more of which is what that control trains on")
            self.rl_rows(stage, "data", keep=True)
            self.rl_rows(stage, "heldout", keep=True)

    def check_eval(self, *, trains: bool, makes_data: bool) -> None:
        """Find models, protocols and problems before anything is written; those that this run makes are left out."""
        from klear_repro.evaluate import STAND_INS, make_task

        if self.config.eval.engine == "vllm":
            from klear_repro.engines.vllm import require_vllm

            require_vllm()  # before gigabytes of a model are downloaded
        if self.config.eval.model or not trains:
            self.models()
        from benchmarks.protocols import load_protocol

        try:
            for name in self.config.eval.attribute:
                load_protocol(name)
        except ValueError as error:
            raise UserError(f"eval.attribute: {error}") from None
        for name in self.config.eval.benchmarks:
            if not (makes_data and name in STAND_INS and not self.config.eval.benchmark_path):
                make_task(self.config.eval, name, self.path / "data")

    def stage(self, stage: str, force: bool) -> None:
        """Run one stage, unless it is done."""
        job: Callable[[], None] = {
            "data": self.data, "sft": self.sft, "rl-math": lambda: self.rl("rl-math"), "rl-code": lambda: self.rl("rl-code"),
            "eval": lambda: self.evaluate(force), "import": self.import_traces, "report": self.report,
        }[stage]  # fmt: skip
        if stage in self.fingerprints:
            fingerprint = self.fingerprints[stage]
            if force:
                self.folder.forget(stage)
        else:
            fingerprint = {"eval": self.eval_fingerprint, "import": self.import_fingerprint, "report": self.report_fingerprint}[stage]()
        if not force and self.folder.is_done(stage, fingerprint):
            say(f"{stage}: done already, nothing to do")
            return
        self.folder.work(stage, fingerprint, job)

    # --- data and training ----------------------------------------------------------------------

    def data(self) -> None:
        from klear_repro.data.stage import make_data
        from klear_repro.files import write_json

        if self.config.data.source == "files":
            write_json(self.path / "data" / "funnel.json", {"source": "files"})
            return
        funnel = make_data(self.config.data, self.seed, self.path / "data")
        self.folder.manifest["data_hashes"] = {
            file.name: file_hash(file) for file in sorted((self.path / "data").iterdir()) if file.suffix in (".parquet", ".jsonl")
        }
        say(f"data: {funnel['sft']['samples']} teacher samples, {funnel['sft']['right'] / max(1, funnel['sft']['samples']):.0%} of them right")

    def base_model(self, rows: Sequence[dict[str, Any]]) -> tuple[Any, Any]:
        """The model that SFT starts from, and its tokenizer."""
        from klear_repro.data.tokenizer import train_tokenizer
        from klear_repro.models import find_model, load, new_model

        if self.config.model.path:
            return load(find_model(self.config.model.path, self.config.model.revision), self.device)
        texts = (part for row in rows for part in (row["prompt"][0]["content"], row["response"]))
        tokenizer = train_tokenizer(texts, self.config.model.vocab_size)
        model = new_model(self.config.model, tokenizer, derive_seed(self.seed, "model") % 2**32)
        return model.to(self.device.device, self.device.dtype), tokenizer

    def pairs(self, model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]]) -> list[Any]:
        from klear_repro.training.sft import encode_pairs

        return encode_pairs(tokenizer, rows, self.config.sft.max_length or model.config.max_position_embeddings)

    def sft_rows(self, *, keep: bool = False) -> list[dict[str, Any]]:
        """`keep`: for the next call, which then needs not read them again."""
        from klear_repro.data.sources import sft_rows
        from klear_repro.data.stage import read_parquet

        config = self.config.sft
        if not config.data:
            return read_parquet(self.path / "data" / "sft.parquet")
        rows = self._rows.pop("sft", None) or sft_rows(config.data, config.data_revision)
        if keep:
            self._rows["sft"] = rows
        return rows

    def start(self, label: str, model: Any, tokenizer: Any, stage: str = "", source: Path = Path()) -> Any:
        """Where `label` trains; with the seeds of `stage`, if that is another one."""
        from klear_repro.training.sft import Start

        seed = derive_seed(self.seed, stage or label)
        return Start(model, tokenizer, self.path, seed, label, self.device, self.config.runtime, self.config.model, source, self.ranks)

    def sft(self) -> None:
        """SFT; with no steps the base model stays as it is."""
        if not self.config.sft.steps and not self.config.sft.epochs:
            say("sft: steps=0, left out")
            return
        self.together("train_sft_stage")

    def train_sft_stage(self) -> None:
        from klear_repro.training.sft import train_sft

        rows = self.sft_rows()
        model, tokenizer = self.base_model(rows)
        train_sft(self.start("sft", model, tokenizer), self.config.sft, self.pairs(model, tokenizer, rows))

    def rl(self, stage: Literal["rl-math", "rl-code"]) -> None:
        config = self.rl_config(stage)
        if not config.steps:
            say(f"{stage}: steps=0, left out")
            return
        before = self.before(stage)
        self.together("train_rl_stage", stage, stage, before)
        if "clip" in config.controls:
            self.together("train_rl_stage", stage, f"{stage}-clip", before)
        if "sft" in config.controls:
            self.together("train_longer", stage, f"{stage}-sft", before)

    def before(self, stage: str) -> str:
        """The stage whose checkpoint this one starts from; empty: the base model."""
        order = [name for name, steps in (("sft", self.config.sft.steps or self.config.sft.epochs), ("rl-math", self.config.rl_math.steps)) if steps]
        if stage == "rl-math" and "rl-math" in order:
            order.remove("rl-math")
        return order[-1] if order else ""

    def together(self, job: str, *words: str) -> None:
        """A training job in every process (`klear_repro.training.distributed`); the first one says which."""
        self.ranks.told((job, words))
        self.training = True
        getattr(self, job)(*words)
        self.training = False

    def train_rl_stage(self, stage: str, label: str, before: str) -> None:
        """RL from the last checkpoint of `before`; a control sees the prompts and seeds of the stage it is compared with."""
        from klear_repro.rewards import RewardModel
        from klear_repro.training.prompts import make_prompts
        from klear_repro.training.rl import train_rl
        from sandbox import Limits

        config = self.rl_config(stage)
        if label.endswith("-clip"):
            config = config.model_copy(update={"loss": "clip"})
        if self._finished(label, config.steps):
            return
        model, tokenizer, source = self.load_checkpoint(before)
        start = self.start(label, model, tokenizer, stage, source)
        prompts = make_prompts(tokenizer, self.training_rows(stage), config.max_prompt_tokens)
        heldout = make_prompts(tokenizer, self.heldout_rows(stage), config.max_prompt_tokens) if config.eval_every else []
        longest, room = max(len(prompt.ids) for prompt in [*prompts, *heldout]), model.config.max_position_embeddings
        if longest + config.max_new_tokens > room:
            raise UserError(
                f"{stage.replace('-', '_')}.max_new_tokens={config.max_new_tokens}: with the longest prompt, {longest} tokens, that is more than the model's {room} positions; "
                "lower it, or max_prompt_tokens"
            )
        limits = Limits(cpu_s=config.cpu_s, wall_s=config.wall_s, memory_mb=config.memory_mb)
        runtime = self.config.runtime
        with RewardModel(config.reward, workers=runtime.workers, max_tests=config.max_tests, limits=limits, tier=runtime.tier) as rewards:
            train_rl(start, config, prompts, rewards, heldout)

    def rl_config(self, stage: str) -> RLConfig:
        return self.config.rl_math if stage == "rl-math" else self.config.rl_code

    def rl_rows(self, stage: str, what: Literal["data", "heldout"], *, keep: bool = False) -> list[dict[str, Any]]:
        """Rows that a stage names, checked; none where it names none.  `keep`: for the next call."""
        from klear_repro.data.sources import rl_rows

        config, field = self.rl_config(stage), f"{stage.replace('-', '_')}.{what}"
        name, revision = getattr(config, what), getattr(config, f"{what}_revision")
        if not name:
            return []
        rows = self._rows.pop(field, None) or rl_rows(name, revision, field)
        if keep:
            self._rows[field] = rows
        return rows

    def training_rows(self, stage: str) -> list[dict[str, Any]]:
        """What a stage trains on."""
        from klear_repro.data.stage import read_parquet

        return self.rl_rows(stage, "data") or read_parquet(self.path / "data" / f"{stage}.parquet")

    def heldout_rows(self, stage: str) -> list[dict[str, Any]]:
        """The held-out problems of a stage as training prompts."""
        from benchmarks import load_benchmark
        from klear_repro.data.stage import problem_row

        if rows := self.rl_rows(stage, "heldout"):
            return rows
        there = [name for name in HELD_OUT[stage] if (self.path / "data" / f"{name}.jsonl").is_file()]
        return [problem_row(problem) for name in there for problem in load_benchmark(name, self.path / "data")]

    def train_longer(self, stage: str, label: str, before: str) -> None:
        """The control: more SFT from the same start, for the time that the RL stage took."""
        from klear_repro.training.sft import train_sft

        steps = self.ranks.told(self._control_steps(stage, label) if self.ranks.first else 0)
        if self._finished(label, steps):
            return
        model, tokenizer, _ = self.load_checkpoint(before)
        pairs = self.pairs(model, tokenizer, self.sft_rows())
        train_sft(self.start(label, model, tokenizer), self.config.sft, pairs, steps=steps, constant_lr=self.config.sft.lr_end)

    def _control_steps(self, stage: str, label: str) -> int:
        """SFT steps that take as long as the RL stage did: chosen once, then kept in the manifest."""
        chosen = self.folder.manifest.setdefault("control_steps", {})
        if label not in chosen:
            spent = sum(row["seconds"] for row in read_rows(self.path / "metrics" / f"{stage}.jsonl"))
            sft = sorted(row["seconds"] for row in read_rows(self.path / "metrics" / "sft.jsonl"))
            chosen[label] = max(1, round(spent / sft[len(sft) // 2])) if sft else 1
            self.folder.save()
        return int(chosen[label])

    def _finished(self, label: str, steps: int) -> bool:
        from klear_repro.training.checkpoint import checkpoints, newest_whole

        folder = self.path / "checkpoints" / label
        if self.ranks.first:
            newest_whole(folder)
        found = checkpoints(folder) if self.ranks.first else []
        return self.ranks.told(bool(found) and found[-1][0] >= steps)

    def load_checkpoint(self, label: str) -> tuple[Any, Any, Path]:
        """Model, tokenizer and folder of the newest checkpoint of a stage; without a label the base model."""
        from klear_repro.models import as_folder, find_model, load
        from klear_repro.training.checkpoint import newest_whole, set_aside

        if not label:
            source = as_folder(find_model(self.config.model.path, self.config.model.revision), self.path / "models")
            return *load(source, self.device), source.folder
        path = self.ranks.told(newest_whole(self.path / "checkpoints" / label) if self.ranks.first else None)
        if path is None:
            raise RunError(f"no checkpoint of {label} in {self.path}")
        if set_aside(path.parent) > int(path.name.removeprefix("step-")):
            if self.ranks.first:
                self.folder.manifest["stages"][label]["status"] = "running"
                self.folder.save()
            raise RunError(f"the last checkpoint of {label} is damaged, and {path.name} is not its end; --stage {label} completes it from there", everywhere=True)
        return *load(find_model(str(path.resolve())), self.device), path

    # --- evaluation and report ------------------------------------------------------------------

    def models(self) -> dict[str, tuple[Any, tuple[str, ...]]]:
        """What to evaluate: label → (source, benchmarks)."""
        from klear_repro.models import ModelSource, find_model
        from klear_repro.training.checkpoint import latest

        benchmarks = self.config.eval.benchmarks
        if self.config.eval.model:
            source = find_model(self.config.eval.model, self.config.eval.revision)
            return {source.name: (source, benchmarks)}
        found: dict[str, tuple[Any, tuple[str, ...]]] = {}
        if self.config.model.path:
            source = find_model(self.config.model.path, self.config.model.revision)
            found["base"] = (ModelSource("base", source.folder, source.gguf, source.revision), benchmarks)
        labels: list[tuple[str, tuple[str, ...]]] = [(stage, benchmarks) for stage in ("sft", *RL_STAGES)]
        for stage in RL_STAGES:
            on = tuple(name for name in benchmarks if name in HELD_OUT[stage])
            labels += [(f"{stage}-{control}", on) for control in ("clip", "sft")]
        for label, on in labels:
            path = latest(self.path / "checkpoints" / label)
            if path is not None and on:
                found[label] = (ModelSource(label, path, "", file_hash(path / "model.safetensors")), on)
        if not found:
            raise UserError("eval: this run folder has no checkpoint; pass --model, or run the stage sft first")
        return found

    def eval_fingerprint(self) -> str:
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

    def evaluate(self, force: bool) -> None:
        from klear_repro.evaluate import evaluate, make_task
        from klear_repro.judging import Judges

        models = self.models()
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

    def import_fingerprint(self) -> str:
        files = [file_hash(Path(path)) if Path(path).is_file() else "" for path in self.config.traces.paths]
        config = self.config.eval
        return digest([files, self.config.traces.model_dump(mode="json"), config.benchmarks, config.benchmark_path, config.protocol, config.code_mode])

    def import_traces(self) -> None:
        from klear_repro.importing import import_traces
        from klear_repro.judging import Judges

        with Judges(self.config, self.path / "grades" / "programs.jsonl") as judges:
            import_traces(self.config, self.folder, judges)

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

    def report_fingerprint(self) -> str:
        manifest = {name: value for name, value in self.folder.manifest.items() if name in ("evaluations", "attributions", "stand_in", "model_note", "preset")}
        stages = {name: record["fingerprint"] for name, record in self.folder.manifest["stages"].items() if name != "report"}
        metrics = folder_hash(self.path / "metrics") if (self.path / "metrics").is_dir() else ""
        grades = [file_hash(file) for file in sorted((self.path / "grades").glob("*/*.parquet"))]
        return digest([manifest, stages, metrics, grades, self.config.report.model_dump(mode="json")])

    def report(self) -> None:
        from reports.render import write_report

        say(f"report: {write_report(self.path)}")


def _inputs(*names: str) -> list[str]:
    """What local files and model folders that a stage names contain; what comes from the Hub has a revision of its own.

    Weights count by name and size: hashing gigabytes at every start would cost minutes.
    """
    found = []
    for path in map(Path, filter(None, names)):
        if path.is_file():
            found.append(file_hash(path))
        elif path.is_dir():
            sizes = sorted((file.name, file.stat().st_size) for file in path.iterdir() if file.is_file())
            found.append(digest([sizes, folder_hash(path, ("*.json",))]))
    return found
