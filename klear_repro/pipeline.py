"""The stages over a run folder: data → sft → rl-math → rl-code → eval → report.

A stage whose fingerprint (its configuration and what it was made from) is unchanged is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from benchmarks.records import digest
from klear_repro.config import Config
from klear_repro.device import Device, choose_device, hardware
from klear_repro.errors import RunError, UserError
from klear_repro.evaluation_stage import HELD_OUT, RL_STAGES, EvaluationStage
from klear_repro.files import file_hash, folder_hash, read_rows
from klear_repro.lineage import Lineage, contents_hash, weights_hash
from klear_repro.machine import workers
from klear_repro.progress import say
from klear_repro.runfolder import RunFolder
from klear_repro.sections import RLConfig
from klear_repro.seeds import derive_seed
from klear_repro.training.distributed import ALONE, Ranks, join, launched, leave


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
    if config.eval.shard and list(stages) != ["eval"]:
        raise UserError(f"eval.shard={config.eval.shard!r}: with --stage eval alone, not {','.join(stages)}")
    if "report" in stages:
        _check_published(config.report.published)
    transformers.utils.logging.disable_progress_bar()  # the stages have their own
    if launched():
        return _run_together(config, path, stages, device, force)
    with RunFolder(path, config, shared=bool(config.eval.shard)) as folder:
        if config.eval.shard:
            return _generate_shard(_Pipeline(config, folder, device), stages)
        _Pipeline(config, folder, device).run(stages, force)


def _check_published(paths: Sequence[str]) -> None:
    from benchmarks.errors import BenchmarkError
    from benchmarks.published import load_published

    try:
        load_published([Path(path) for path in paths])
    except BenchmarkError as error:
        raise UserError(f"report.published: {error}") from None


def _check_sandbox(tier: str) -> None:
    from sandbox import Executor, SandboxError

    try:
        Executor(workers=1, tier=tier).__enter__().close()
    except SandboxError as error:
        raise UserError(f"runtime.tier={tier!r}: {error} (docs/sandbox.md says what a tier needs)") from None


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
    pipeline.check(stages, force=False)
    pipeline.evaluation.generate_shard()


class _Pipeline:
    """What the stages share."""

    def __init__(self, config: Config, folder: RunFolder, device: Device, ranks: Ranks = ALONE) -> None:
        self.config, self.folder, self.device, self.ranks = config, folder, device, ranks
        self.path = folder.path
        self.training = False
        """Whether all processes are at work on a job."""
        self.evaluation = EvaluationStage(config, folder, device)
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._skipped: dict[str, int] = {}
        self.seed = config.runtime.seed
        self.lineage = Lineage(config, folder, device)

    def run(self, stages: Sequence[str], force: bool) -> None:
        """Run the named stages, once all that can be checked before was."""
        stages = self.lineage.with_what_takes_no_time(stages)
        self.check(stages, force)
        if force:
            self.lineage.say_what_is_outdated(stages)
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

    def check(self, stages: Sequence[str], force: bool) -> None:
        """Refuse, before anything is written, what would throw finished work away or has nothing to start from."""
        self.lineage.check(stages, force)
        if self.config.data.source == "files":
            sft = ("sft", self.config.sft.steps or self.config.sft.epochs, self.config.sft.data)
            for stage, steps, data in (sft, ("rl-math", self.config.rl_math.steps, self.config.rl_math.data), ("rl-code", self.config.rl_code.steps, self.config.rl_code.data)):
                if stage in stages and steps and not data:
                    raise UserError(f"{stage.replace('-', '_')}.data='': must name a file or data set where data.source='files'; or set {stage.replace('-', '_')}.steps to 0")
        for stage, section in (("rl-math", self.config.rl_math), ("rl-code", self.config.rl_code)):
            if stage not in stages or not section.steps:
                continue
            self.check_lengths(stage, section)
            if section.engine == "vllm-server" and not section.endpoints:
                raise UserError(f"{stage.replace('-', '_')}.endpoints='': needed by engine=vllm-server (docs/training.md says how servers are started); or another engine")
            if section.engine == "vllm":
                from klear_repro.engines.vllm import require_vllm

                if self.ranks.world > 1:
                    raise UserError(f"{stage.replace('-', '_')}.engine='vllm': one process only; under torchrun use hf or vllm-server")
                require_vllm()
        self.check_data(stages, force)
        for stage in RL_STAGES if force else ():
            if stage in stages and self.rl_config(stage).steps:
                self.check_redoing(stage, stages)
        if set(stages) & {"sft", *RL_STAGES}:
            from klear_repro.training.logs import check_trackers

            check_trackers(self.config.runtime.trackers)
        if "import" in stages and not self.config.traces.paths:
            raise UserError("traces.paths: needed by --stage import; pass --traces.paths FILE")
        if "import" in stages and (force or not self.folder.is_done("import", self.evaluation.import_fingerprint())):
            self.evaluation.prepare_import()
        if "eval" in stages:
            self.evaluation.check(trains="sft" in stages, makes_data="data" in stages, force=force)
        if "report" in stages and not {"eval", "import"} & set(stages) and not (self.path / "manifest.json").exists():
            raise UserError(f"run-dir={str(self.path)!r}: nothing to report there; run the stage eval or import first")

    def check_lengths(self, stage: str, section: RLConfig) -> None:
        """Refuse a budget that no prompt fits beside, where the model's positions are known before it is loaded."""
        known, file = self.config.model.positions, Path(self.config.model.path) / "config.json"
        if self.config.model.path and not known and file.is_file():
            try:
                known = int(json.loads(file.read_bytes())["max_position_embeddings"])
            except (ValueError, TypeError, KeyError):  # loading it says what is wrong, if anything is
                return
        if known and section.max_new_tokens >= known:
            raise UserError(f"{stage.replace('-', '_')}.max_new_tokens={section.max_new_tokens}: leaves no room for a prompt in the model's {known} positions; lower it, or raise model.positions")

    def check_data(self, stages: Sequence[str], force: bool) -> None:
        """Read the rows that the stages name, before anything is written or deleted."""
        from klear_repro.rewards import source_kind

        source = self.config.data.source
        fingerprints = self.lineage.fingerprints
        todo = [stage for stage in stages if stage in fingerprints and (force or not self.folder.is_done(stage, fingerprints[stage]))]
        if "sft" in todo and self.config.sft.data:
            self.check_template("sft.data", self.sft_rows(keep=True))
        for stage in RL_STAGES:
            config, section = self.rl_config(stage), stage.replace("-", "_")
            if stage not in todo or not config.steps:
                continue
            no_code = stage == "rl-code" and source == "words"
            if no_code and not config.data:
                raise UserError(f"{section}.steps={config.steps}: must be 0 where data.source='words', which makes no code problems; or name some with {section}.data")
            if (source == "files" or no_code) and config.eval_every and not config.heldout:
                raise UserError(f"{section}.heldout='': must name problems to evaluate on every eval_every={config.eval_every} steps where data.source={source!r}; or set eval_every to 0")
            if source == "files" and "sft" in config.controls and not self.config.sft.data:
                raise UserError(f"{section}.controls='sft': needs sft.data, more of which is what that control trains on")
            rows = [*self.rl_rows(stage, "data", keep=True), *self.rl_rows(stage, "heldout", keep=True)]
            self.check_template(f"{section}.data", rows)
            if any(source_kind(row["data_source"]) == "code" for row in rows) or (stage == "rl-code" and not config.data):
                _check_sandbox(self.config.runtime.tier)

    def check_template(self, field: str, rows: Sequence[dict[str, Any]]) -> None:
        """Refuse data that the base model's chat template cannot write; nothing is known yet of a model that is made on the spot."""
        if rows and self.config.model.path:
            from klear_repro.models import find_model, load_tokenizer
            from klear_repro.training.targets import refuse_unwritable

            source = find_model(self.config.model.path, self.config.model.revision, weights=False)
            refuse_unwritable(load_tokenizer(source), field, rows)

    def stage(self, stage: str, force: bool) -> None:
        """Run one stage, unless it is done."""
        job: Callable[[], None] = {
            "data": self.data, "sft": self.sft, "rl-math": lambda: self.rl("rl-math"), "rl-code": lambda: self.rl("rl-code"),
            "eval": lambda: self.evaluation.evaluate(force), "import": self.evaluation.import_traces, "report": self.report,
        }[stage]  # fmt: skip
        if stage in self.lineage.fingerprints:
            fingerprint = self.lineage.fingerprints[stage]
            if force:
                self.folder.forget(stage)
        else:
            fingerprint = {"eval": self.evaluation.fingerprint, "import": self.evaluation.import_fingerprint, "report": self.report_fingerprint}[stage]()
        if not force and self.folder.is_done(stage, fingerprint):
            say(f"{stage}: done already, nothing to do")
            return
        self.folder.work(stage, fingerprint, job, self.lineage.facts(stage))

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
        from klear_repro.models import find_model, new_model

        if self.config.model.path:
            source = find_model(self.config.model.path, self.base_revision())
            self.note_start("sft", {"model": self.config.model.path, "revision": source.revision})
            return self.trainable(source)
        texts = (part for row in rows for part in (row["prompt"][0]["content"], row["response"]))
        tokenizer = train_tokenizer(texts, self.config.model.vocab_size)
        model = new_model(self.config.model, tokenizer, derive_seed(self.seed, "model") % 2**32)
        self.note_start("sft", {"model": "new", "weights": weights_hash(model)})
        return model.to(self.device.device, self.device.dtype), tokenizer

    def base_revision(self) -> str:
        """Hub revision of the base model: of a branch the commit that a stage of this folder has started from, if one has."""
        return self.ranks.told(self.config.model.revision or self.lineage.base_revision() if self.ranks.first else "")

    def note_start(self, stage: str, start: dict[str, str]) -> None:
        """Write down what a stage starts from; every process must say the same.

        Raises:
            RunError: the stage was begun from something else.
        """
        if problem := self.ranks.told(self.lineage.started(stage, start) if self.ranks.first else ""):
            raise RunError(problem, everywhere=True)

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
        rows = self._rows.pop("sft", None) or sft_rows(config.data, config.data_revision, config.max_skipped)
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
        if self.lineage.left_out("sft"):
            say("sft: steps=0, left out")
            return
        self.together("train_sft_stage")
        self.lineage.ended("sft")

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
        before = self.lineage.before(stage)
        self.together("train_rl_stage", stage, stage, before)
        if "clip" in config.controls:
            self.together("train_rl_stage", stage, f"{stage}-clip", before)
        if "sft" in config.controls:
            self.together("train_longer", stage, f"{stage}-sft", before)
        self.lineage.ended(stage)

    def together(self, job: str, *words: str) -> None:
        """A training job in every process (`klear_repro.training.distributed`); the first one says which."""
        self.ranks.told((job, words))
        self.training = True
        getattr(self, job)(*words)
        self.training = False

    def train_rl_stage(self, stage: str, label: str, before: str) -> None:
        """RL from the last checkpoint of `before`; a control sees the prompts and seeds of the stage it is compared with."""
        from klear_repro.rewards import RewardModel
        from klear_repro.training.rl import train_rl
        from klear_repro.training.watch import stop_if_hopeless
        from sandbox import Limits

        config = self.rl_config(stage)
        if label.endswith("-clip"):
            config = config.model_copy(update={"loss": "clip"})
        if self._finished(label, config.steps):  # which its last step may have been for another reason
            rows = read_rows(self.path / "metrics" / f"{label}.jsonl") if self.ranks.first else []
            return stop_if_hopeless(self.ranks.told(rows), config, label)
        model, tokenizer, source = self.load_start(stage, before)
        start = self.start(label, model, tokenizer, stage, source)
        prompts, heldout = self.prompts_that_fit(tokenizer, stage, model.config.max_position_embeddings)
        limits = Limits(cpu_s=config.cpu_s, wall_s=config.wall_s, memory_mb=config.memory_mb)
        runtime = self.config.runtime
        with RewardModel(
            config.reward, workers=workers(runtime.workers), max_tests=config.max_tests, limits=limits, tier=runtime.tier, stop_after_tle=config.stop_after_tle
        ) as rewards:
            train_rl(start, config, prompts, rewards, heldout)

    def prompts_that_fit(self, tokenizer: Any, stage: str, room: int, *, tell: bool = True) -> tuple[list[Any], list[Any]]:
        """Prompts and held-out prompts of a stage, for a model with so many positions; `tell`: say and write down what was left out.

        Raises:
            UserError: the budget does not fit beside the longest.
        """
        config = self.rl_config(stage)
        prompts = self.prompts(tokenizer, stage, "data", self.training_rows(stage), tell)
        heldout = self.prompts(tokenizer, stage, "heldout", self.heldout_rows(stage), tell) if config.eval_every else []
        longest = max(len(prompt.ids) for prompt in [*prompts, *heldout])
        if longest + config.max_new_tokens > room:
            raise UserError(
                f"{stage.replace('-', '_')}.max_new_tokens={config.max_new_tokens}: with the longest prompt, {longest} tokens, that is more than the model's {room} positions; "
                "lower it, or max_prompt_tokens, or raise model.positions"
            )
        return prompts, heldout

    def check_redoing(self, stage: str, stages: Sequence[str]) -> None:
        """Refuse, before results are deleted, a stage that could not be made again from what the folder has."""
        from klear_repro.models import find_model, load_tokenizer

        before = self.lineage.before(stage)
        if before in stages or "data" in stages or not self.lineage.records.get(stage):
            return
        path, problem = self.lineage.starting_checkpoint(before) if before else (Path(self.config.model.path), "")
        if problem:
            raise RunError(f"{problem}; nothing was deleted")
        if path.is_dir():
            known = json.loads((path / "config.json").read_bytes())["max_position_embeddings"]
            self.prompts_that_fit(load_tokenizer(find_model(str(path))), stage, max(known, self.config.model.positions), tell=False)

    def prompts(self, tokenizer: Any, stage: str, what: Literal["data", "heldout"], rows: Sequence[dict[str, Any]], tell: bool) -> list[Any]:
        """The prompts of a stage that are not too long; what was left out is said, and written down where the rows come from outside."""
        from klear_repro.data.funnel import count_prompts, write_funnel
        from klear_repro.training.prompts import make_prompts

        config, section = self.rl_config(stage), stage.replace("-", "_")
        written, longest = make_prompts(tokenizer, rows), config.max_prompt_tokens
        prompts = [prompt for prompt in written if not longest or len(prompt.ids) <= longest]
        if too_long := len(written) - len(prompts):
            if not prompts:
                raise UserError(f"{section}.max_prompt_tokens={longest}: all {too_long:,} prompts of {section}.{what} are longer")
            if self.ranks.first and tell:
                say(f"{section}.{what}: {too_long:,} of {len(written):,} prompts are longer than max_prompt_tokens={longest} and left out")
        if getattr(config, what) and self.ranks.first and tell:
            skipped = self._skipped.get(f"{section}.{what}", 0)
            write_funnel(self.path, stage if what == "data" else f"{stage} held-out", count_prompts(prompts, len(rows), skipped))
        return prompts

    def rl_config(self, stage: str) -> RLConfig:
        return self.config.rl_math if stage == "rl-math" else self.config.rl_code

    def rl_rows(self, stage: str, what: Literal["data", "heldout"], *, keep: bool = False) -> list[dict[str, Any]]:
        """Rows that a stage names, checked; none where it names none.  `keep`: for the next call."""
        from klear_repro.data.sources import rl_rows

        config, field = self.rl_config(stage), f"{stage.replace('-', '_')}.{what}"
        name, revision = getattr(config, what), getattr(config, f"{what}_revision")
        if not name:
            return []
        rows = self._rows.pop(field, None)
        if rows is None:
            usable = rl_rows(name, revision, field, config.max_skipped)
            rows, self._skipped[field] = usable.rows, usable.skipped
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
        model, tokenizer, _ = self.load_start(stage, before)
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

    def load_start(self, stage: str, before: str) -> tuple[Any, Any, Path]:
        """Model, tokenizer and folder of what a stage starts from: the checkpoint that `before` ended with; if it is empty, the base model."""
        from klear_repro.models import as_folder, find_model

        if not before:
            source = as_folder(find_model(self.config.model.path, self.base_revision()), self.path / "models")
            self.note_start(stage, {"model": self.config.model.path, "revision": source.revision})
            return *self.trainable(source), source.folder
        path, problem = self.ranks.told(self.lineage.starting_checkpoint(before) if self.ranks.first else (Path(), ""))
        if problem:
            raise RunError(problem, everywhere=True)
        self.note_start(stage, self.lineage.checkpoint(path))
        return *self.trainable(find_model(str(path.resolve()))), path

    def trainable(self, source: Any) -> tuple[Any, Any]:
        """Model and tokenizer, once it is clear that they can be trained."""
        from klear_repro.models import load
        from klear_repro.training.start import refuse_untrainable

        model, tokenizer = load(source, self.device)
        model.config.max_position_embeddings = max(model.config.max_position_embeddings, self.config.model.positions)
        refuse_untrainable(model, tokenizer, source.name)
        return model, tokenizer

    # --- report ---------------------------------------------------------------------------------

    def report_fingerprint(self) -> str:
        manifest = {name: value for name, value in self.folder.manifest.items() if name in ("evaluations", "attributions", "imports", "stand_in", "model_note", "preset")}
        stages = {name: record["fingerprint"] for name, record in self.folder.manifest["stages"].items() if name != "report"}
        metrics = folder_hash(self.path / "metrics") if (self.path / "metrics").is_dir() else ""
        grades = [file_hash(file) for file in sorted((self.path / "grades").glob("*/*.parquet"))]
        return digest([manifest, stages, metrics, grades, self.config.report.model_dump(mode="json"), [contents_hash(path) for path in self.config.report.published]])

    def report(self) -> None:
        from reports.render import write_report

        options = self.config.report
        say(f"report: {write_report(self.path, [Path(path) for path in options.published], texts=options.viewer)}")

