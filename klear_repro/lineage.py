"""What every training stage is made from: its settings, the stages before it, and the weights that it starts from.

The run folder decides.  The manifest records for each stage the settings that it ran with, the weights that it started from and the
checkpoint that it ended with, each with a hash.  A later command may add stages; it may not say that an earlier one ran with
other settings.  So a changed setting of a stage that the folder has is refused, unless this command does the stage again.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import digest
from klear_repro.config import Config
from klear_repro.device import Device
from klear_repro.errors import RunError, UserError
from klear_repro.files import file_hash, folder_hash
from klear_repro.progress import say
from klear_repro.runfolder import RunFolder

STAGES = ("data", "sft", "rl-math", "rl-code")
"""In the order in which each starts from what those before it left."""
WHERE = {"endpoints", "transfer_folder"}
"""Fields of an RL stage that say where it runs, not what it does: they may change when it goes on."""
EACH_STAGE = ("model.positions", "model.lora_rank", "model.lora_alpha", "model.lora_targets")
"""Fields of `model` that say how a stage trains, not which model it starts from."""
OWN = (*EACH_STAGE, "runtime.gradient_checkpointing", "runtime.device", "runtime.dtype")
"""Settings that every training stage has for itself: a later one may have others."""
CONTENTS = "contents of "
WEIGHTS = "model.safetensors"


class Lineage:
    """The training stages of a run folder: which may be run, skipped or done again, and what each starts from.

    Args:
        device: what the stages of this command compute on, resolved.
    """

    def __init__(self, config: Config, folder: RunFolder, device: Device) -> None:
        self.config, self.folder = config, folder
        self.settings = _settings(config, device)
        """Stage → setting → value, as the stage would run now."""
        self.fingerprints = self._fingerprints(STAGES)
        """Of each stage: its settings, and the fingerprint of the stage before it; final after `check`."""

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """What the manifest has of the stages."""
        return self.folder.manifest.get("stages", {})

    def left_out(self, stage: str) -> bool:
        """Whether the configuration has no steps for a stage."""
        if stage == "sft":
            return not (self.config.sft.steps or self.config.sft.epochs)
        return stage != "data" and not (self.config.rl_math if stage == "rl-math" else self.config.rl_code).steps

    def _has(self, stage: str) -> bool:
        """Whether a stage is finished, and need not be recorded again: what was left out binds nobody until something was made after it."""
        record = self.records.get(stage, {})
        return record.get("status") == "done" and (self._is_binding(stage) or record["fingerprint"] == self.fingerprints[stage])

    def with_what_takes_no_time(self, stages: Sequence[str]) -> list[str]:
        """Training stages bring along what the run folder lacks of those before them: data, which takes seconds, and what is left out."""
        last = max((STAGES.index(stage) for stage in stages if stage in STAGES), default=0)
        missing = [stage for stage in STAGES[:last] if not self._has(stage) and (stage == "data" or self.left_out(stage))]
        return [*(stage for stage in STAGES if stage in (*missing, *stages)), *(stage for stage in stages if stage not in STAGES)]

    # --- before anything is written -----------------------------------------------------------------

    def check(self, stages: Sequence[str], force: bool) -> None:
        """Refuse what would throw finished work away, would start from nothing, or would belie what was run.

        Raises:
            UserError: it names the setting, its value then and now, and what to do.
        """
        named = [stage for stage in STAGES if stage in stages]
        kept = [stage for stage in STAGES if self._is_binding(stage) and not (force and stage in named)]
        for stage in kept:
            self._refuse_other_settings(stage, named)
        for stage in named:
            self._refuse_unknown_checkpoints(stage, force)
            before = STAGES[max(0, STAGES.index(stage) - 1)]
            if before not in stages and stage != "data" and not self._has(before):
                state = "has not finished" if before in self.records else "does not have"
                raise UserError(f"--stage={stage}: needs stage {before}, which this run folder {state}; pass --stage {before},{stage}")
        self.fingerprints = self._fingerprints([stage for stage in STAGES if stage in named or stage not in kept])
        last = max((STAGES.index(stage) for stage in named), default=-1)
        for stage in kept:
            if STAGES.index(stage) <= last:
                self._refuse_another_start(stage, named)

    def _is_binding(self, stage: str) -> bool:
        """Whether a stage, or one after it, has made anything that a later command could belie."""
        return stage in self.records and any(self._made_something(later) for later in STAGES[STAGES.index(stage) :])

    def _made_something(self, stage: str) -> bool:
        """Not what was left out, nor what was refused or ended before its first step."""
        record = self.records.get(stage, {"left_out": True})
        if record.get("left_out"):
            return False
        if stage == "data" or record["status"] == "done" or self._has_checkpoints(stage):
            return True
        rows = self.folder.path / "metrics" / f"{stage}.jsonl"
        return rows.is_file() and rows.stat().st_size > 0

    def _has_checkpoints(self, stage: str) -> bool:
        """Whether there are any of a stage or its controls, damaged ones too; whatever else a user keeps there is left alone."""
        found = (self.folder.path / "checkpoints").glob(f"{stage}*/*")
        return any(re.fullmatch(r"(damaged-)?step-\d+", path.name) and path.is_dir() for path in found)

    def _fingerprints(self, made: Sequence[str]) -> dict[str, str]:
        """Of the stages that this command makes or goes on with, as they would be made; of the others, as they were."""
        found, before = {}, ""
        for stage in STAGES:
            before = digest([before, self.settings[stage]]) if stage in made or stage not in self.records else self.records[stage]["fingerprint"]
            found[stage] = before
        return found

    def _refuse_other_settings(self, stage: str, named: Sequence[str]) -> None:
        """A stage that this command names goes on with all of its settings; one that it does not name keeps those of its own."""
        then, now = self.records[stage].get("settings"), self.settings[stage]
        again = f"--force --stage {','.join(self._again(stage, named))} to do it again (its results are deleted), or another --run-dir"
        if then is None and not named:  # an earlier version of this project made it; it can still be evaluated and reported
            return
        if then is None:
            raise UserError(f"run-dir={str(self.folder.path)!r}: manifest.json does not say with which settings stage {stage} was made; pass {again}")
        own = () if stage in named else OWN
        changed = [name for name in {**now, **then} if then.get(name) != now.get(name) and name not in own and not self._is_gone(name, stage, named)]
        if not changed:
            return
        name, more = changed[0], changed[1:]
        others = f" (and {len(more)} more: {', '.join(more[:3])}{', …' if len(more) > 3 else ''})" if more else ""
        if name.startswith(CONTENTS):
            raise UserError(f"{name.removeprefix(CONTENTS)}: stage {stage} was made with other settings: its contents have changed{others}; pass {again}")
        remedy = f"pass {_flag(name, then.get(name))}, or {again}" if "." in name else f"pass {again}"
        raise UserError(f"{name}={_shown(now.get(name))}: stage {stage} was made with other settings: {name}={_shown(then.get(name))}{others}; {remedy}")

    def _is_gone(self, name: str, stage: str, named: Sequence[str]) -> bool:
        """Files that a finished stage was made from, and that nobody needs any more, may be deleted."""
        section, _, field = name.removeprefix(CONTENTS).partition(".")
        return name.startswith(CONTENTS) and stage not in named and not Path(getattr(getattr(self.config, section), field)).exists()

    def _again(self, stage: str, named: Sequence[str]) -> list[str]:
        """A stage with what was made from it, and what was asked for."""
        later = STAGES[STAGES.index(stage) :]
        return [one for one in later if one == stage or one in named or self._is_binding(one)]

    def _refuse_unknown_checkpoints(self, stage: str, force: bool) -> None:
        if stage not in self.records and not force and self._has_checkpoints(stage):
            raise UserError(
                f"run-dir={str(self.folder.path)!r}: checkpoints/{stage} is of no stage that manifest.json knows; "
                f"pass --force --stage {stage} (they are deleted), or another --run-dir"
            )

    def _refuse_another_start(self, stage: str, named: Sequence[str]) -> None:
        """A stage whose settings are as they were, but which was made from something that is not there any more."""
        before = STAGES[max(0, STAGES.index(stage) - 1)]
        again = f"pass --force --stage {','.join(self._again(stage, named))} to do it again (its results are deleted), or another --run-dir"
        above = self.fingerprints[before] if stage != "data" else ""
        if digest([above, self.records[stage]["settings"]]) != self.records[stage]["fingerprint"]:
            raise UserError(f"run-dir={str(self.folder.path)!r}: stage {stage} was made from another {before} than this folder has now; {again}")
        start, source = self.records[stage].get("starts_from"), self.before(stage)
        end = self.records[source]["checkpoint"] if source else None
        if start and end and start != end and not (source in named and stage not in named):  # else it is being done again
            raise UserError(
                f"run-dir={str(self.folder.path)!r}: stage {stage} was made from another {source} than this folder has now: "
                f"it started from {described(start)}, and there is {described(end)}; {again}"
            )

    def say_what_is_outdated(self, stages: Sequence[str]) -> None:
        """Of stages that are done again: what was made from their deleted results."""
        first = min((STAGES.index(stage) for stage in stages if stage in self.records and stage in STAGES), default=len(STAGES))
        later = [stage for stage in STAGES[first:] if stage not in stages and self.records.get(stage, {}).get("starts_from")]
        if later:
            say(f"{', '.join(later)}: made from what is now done again; --force --stage {','.join(later)} makes it from the new checkpoint")

    # --- while stages run ----------------------------------------------------------------------------

    def facts(self, stage: str) -> dict[str, Any]:
        """What the manifest says of a stage from its beginning on."""
        if stage not in STAGES:
            return {}
        return {"settings": self.settings[stage], **({"left_out": True} if self.left_out(stage) else {})}

    def before(self, stage: str) -> str:
        """The stage whose checkpoint this one starts from, by what the run folder has; empty: the base model."""
        earlier = [one for one in STAGES[: STAGES.index(stage)] if "checkpoint" in self.records.get(one, {})]
        return earlier[-1] if earlier else ""

    def base_revision(self) -> str:
        """The commit of the Hub's base model that a stage of this folder started from; empty if none did."""
        found = (record.get("starts_from", {}) for record in self.records.values())
        return next((start["revision"] for start in found if start.get("model") == self.config.model.path and len(start.get("revision", "")) == 40), "")

    def started(self, stage: str, start: dict[str, str]) -> str:
        """Record what a stage starts from; what is wrong with that, empty if nothing is."""
        record = self.records[stage]
        then = record.get("starts_from", start)
        if then != start and self._has_checkpoints(stage):
            return (
                f"stage {stage} started from {described(then)}, and that is now {described(start)}; nothing was trained; "
                f"--force --stage {stage} does it again, or bring back what it started from"
            )
        record["starts_from"] = start
        self.folder.save()
        return ""

    def ended(self, stage: str) -> None:
        """Record the checkpoint that a stage ended with."""
        from klear_repro.training.checkpoint import latest

        path = latest(self.folder.path / "checkpoints" / stage)
        assert path is not None
        self.records[stage]["checkpoint"] = self.checkpoint(path)

    def checkpoint(self, path: Path) -> dict[str, str]:
        """A checkpoint as the manifest names it; the hash is the one that its `state.json` has."""
        state = json.loads((path / "state.json").read_text())
        return {"folder": f"checkpoints/{path.parent.name}/{path.name}", "weights": state["files"][WEIGHTS]}

    def starting_checkpoint(self, stage: str) -> tuple[Path, str]:
        """The checkpoint that `stage` ended with, and what is wrong with it: damaged, gone or another one; empty if nothing is.

        A stage that can be completed from an earlier checkpoint is marked as not finished.
        """
        from klear_repro.training.checkpoint import newest_whole, set_aside

        record, home = self.records[stage], self.folder.path / "checkpoints" / stage
        try:
            path = newest_whole(home)
        except RunError as error:
            return home, str(error)
        if path is None:
            return home, f"no checkpoint of {stage} in {self.folder.path}; --force --stage {stage} does it again"
        there, end = self.checkpoint(path), record["checkpoint"]
        if there == end:
            return path, ""
        if there["folder"] == end["folder"]:
            then = f"stage {stage} ended with ({there['weights']}, not {end['weights']})"
            return path, f"{there['folder']} has other weights than {then}; bring them back, or --force --stage {stage} does it again"
        record["status"] = "running"
        self.folder.save()
        state = "damaged" if set_aside(home) else "gone"
        return path, f"the last checkpoint of {stage} is {state}, and {path.name} is not its end; --stage {stage} completes it from there"


def described(start: dict[str, str]) -> str:
    """What a stage starts from, in a message."""
    if "folder" in start:
        return f"{start['folder']} (weights {start['weights']})"
    return f"model {start['model']} ({start.get('revision') or start.get('weights')})"


def weights_hash(model: Any) -> str:
    """First 16 hex digits of the SHA-256 of a model's weights, as a safetensors file has them."""
    import hashlib

    from safetensors.torch import save

    return hashlib.sha256(save({name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()})).hexdigest()[:16]


def _settings(config: Config, device: Device) -> dict[str, dict[str, Any]]:
    values: dict[str, Any] = config.model_dump(mode="json")

    def section(name: str, without: Collection[str] = ()) -> dict[str, Any]:
        return {f"{name}.{field}": _plain(value) for field, value in values[name].items() if field not in without}

    def contents(*fields: str) -> dict[str, Any]:
        return {f"{CONTENTS}{field}": contents_hash(values[field.partition(".")[0]][field.partition(".")[2]]) for field in fields}

    own = {
        **{name: section("model")[name] for name in EACH_STAGE},
        "runtime.gradient_checkpointing": config.runtime.gradient_checkpointing,
        "runtime.device": device.device.type,
        "runtime.dtype": str(device.dtype).removeprefix("torch."),
    }
    rl = {stage: {**section(name, WHERE), **own, **contents(f"{name}.data", f"{name}.heldout")} for stage, name in (("rl-math", "rl_math"), ("rl-code", "rl_code"))}
    return {
        "data": {"runtime.seed": config.runtime.seed, **section("data"), "stand_in": config.stand_in},
        "sft": {**section("sft"), **section("model"), **own, **contents("sft.data", "model.path")},
        **rl,
    }


def _plain(value: Any) -> Any:
    """JSON has no infinities."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def contents_hash(name: str) -> str:
    """Hash of what a local file or model folder contains; empty for what comes from the Hub, which has a revision of its own.

    Weights count by name and size: hashing gigabytes at every start would cost minutes.
    """
    path = Path(name)
    if name and path.is_file():
        return file_hash(path)
    if name and path.is_dir():
        sizes = sorted((file.name, file.stat().st_size) for file in path.iterdir() if file.is_file())
        return digest([sizes, folder_hash(path, ("*.json",))])
    return ""


def _text(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _shown(value: Any) -> str:
    return repr(_text(value)) if isinstance(value, (str, list)) else _text(value)


def _flag(name: str, value: Any) -> str:
    return f"--{name} {shlex.quote(_text(value))}"
