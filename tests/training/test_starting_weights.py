"""What a stage starts from is what the run folder has, and the manifest says which weights those were."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from klear_program import PROFILE, inside, last_weights, snapshot
from safetensors.torch import load_file

from klear_repro.config import SECTIONS, load_config
from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig

SMALL = PROFILE.replace("steps = 36", "steps = 4").replace('controls = ["clip"]', "").replace("eval_every = 1", "")

EACH_STAGE = {"model.positions", "model.lora_rank", "model.lora_alpha", "model.lora_targets"}
"""Fields of `model` that every stage has for itself: they may change after SFT."""
WHERE = {"endpoints", "transfer_folder"}
"""Fields of an RL stage that say where it runs."""
FITTING: dict[str, str] = {
    "model.path": "elsewhere", "model.heads": "4", "model.kv_heads": "2", "model.vocab_size": "500", "model.revision": "abc",
    "data.source": "words", "data.digits": "3", "data.steps": "2",
    "sft.data": "other.jsonl", "sft.data_revision": "abc", "sft.lr_end": "1e-5", "sft.betas": "0.5,0.5",
    "rl_math.data": "other.jsonl", "rl_math.heldout": "other.jsonl", "rl_math.data_revision": "abc", "rl_math.heldout_revision": "abc",
    "rl_math.engine": "vllm", "rl_math.mini_batch_prompts": "4", "rl_math.train_prompts": "3", "rl_math.max_new_tokens": "30",
    "rl_math.top_p": "0.5", "rl_math.old_logp": "trainer", "rl_math.rollout_cap": "2", "rl_math.betas": "0.5,0.5",
    "rl_math.controls": "clip",
    "rl_math.eps_high": "inf", "rl_math.dual_clip_c": "3", "rl_math.memory_mb": "300", "rl_math.overlong_penalty_tokens": "7",
}  # fmt: skip
"""Other values that fit the rest of the profile, where half or one more does not."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "small.toml"
    path.write_text(SMALL)
    return path


def made(profile: Path, stages: str, folder: Path) -> Path:
    outcome = inside("--profile", profile, "--stage", stages, "--run-dir", folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture(scope="module")
def trained(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with SFT and math RL; not to be changed."""
    return made(profile, "sft,rl-math", tmp_path_factory.mktemp("runs") / "trained")


@pytest.fixture(scope="module")
def after_sft(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with SFT alone; not to be changed."""
    return made(profile, "sft", tmp_path_factory.mktemp("runs") / "sft")


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base model in a folder."""
    tokenizer = train_tokenizer(["1 + 1 = 2"] * 9, 320)
    for part in (new_model(ModelConfig(hidden_size=64, layers=2, vocab_size=320), tokenizer, 3), tokenizer):
        part.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def record(run: Path, stage: str) -> dict[str, Any]:
    return json.loads((run / "manifest.json").read_text())["stages"][stage]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def other_value(section: str, name: str, value: Any) -> str:
    """Another value of a field, as text of the command line."""
    if fitting := FITTING.get(f"{section}.{name}"):
        return fitting
    annotation = SECTIONS[section].model_fields[name].annotation
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, int):
        return str(value + 1)
    if isinstance(value, float):
        return str(value / 2 or 0.25)
    return next(str(choice) for choice in get_args(annotation) if choice != value)


def upstream_fields() -> Iterator[tuple[str, str]]:
    """(stage, field) of everything that a stage before the one asked for was made with."""
    for section in ("data", "model", "sft", "rl_math"):
        for name in SECTIONS[section].model_fields:
            if f"{section}.{name}" not in EACH_STAGE and not (section == "rl_math" and name in WHERE):
                yield ("rl-code" if section == "rl_math" else "rl-math"), f"{section}.{name}"
    yield "rl-math", "runtime.seed"


# --- changed settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "field"), list(upstream_fields()))
def test_a_later_stage_refuses_a_changed_setting_of_one_before_it(
    trained: Path, after_sft: Path, profile: Path, stage: str, field: str
) -> None:
    run = after_sft if stage == "rl-math" else trained
    section, _, name = field.partition(".")
    value = getattr(getattr(load_config(str(profile), {}), section), name)
    new = other_value(section, name, value)
    before = snapshot(run)
    outcome = inside("--profile", profile, "--stage", stage, f"--{field}", new, "--run-dir", run)
    assert outcome.code == 2, outcome.err
    (line,) = outcome.lines
    assert f"{field}=" in line and "was made with other settings" in line and "--force --stage" in line and "another --run-dir" in line
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
    assert line.count(f"{field}=") == 2 and shown in line.partition("other settings")[2]
    assert snapshot(run) == before


@pytest.mark.parametrize("stage", ["eval", "report", "data", "sft", "rl-code"])
def test_no_command_writes_down_settings_that_were_not_run(copy: Path, profile: Path, stage: str) -> None:
    before = snapshot(copy)
    outcome = inside("--profile", profile, "--stage", stage, "--rl_math.lr", "0.5", "--run-dir", copy)
    assert outcome.code == 2 and outcome.lines[-1].startswith("klear-repro: rl_math.lr=0.5: stage rl-math was made with other settings")
    assert snapshot(copy) == before


def test_sft_that_was_made_and_is_left_out_later_is_refused(profile: Path, base: Path, tmp_path: Path) -> None:
    """RL would start from the base model, not from the SFT that the folder has."""
    run, other = tmp_path / "run", tmp_path / "other.toml"
    other.write_text(SMALL.replace("steps = 4", "steps = 0"))
    words = ["--model.path", base, "--run-dir", run]
    assert inside("--profile", profile, "--stage", "sft", "--sft.steps", 2, *words).code == 0
    outcome = inside("--profile", other, "--stage", "rl-math", *words)
    assert outcome.code == 2, (outcome.err, record(run, "rl-math"))
    (line,) = outcome.lines
    assert "sft.steps=0" in line and "pass --sft.steps 2" in line and "--force --stage sft,rl-math" in line
    assert not (run / "checkpoints" / "rl-math").exists()


def test_a_changed_profile_names_the_first_setting_and_counts_the_others(trained: Path, profile: Path, tmp_path: Path) -> None:
    changed = SMALL.replace("layers = 2", "layers = 3").replace("batch_size = 8", "batch_size = 4")
    (tmp_path / "other.toml").write_text(changed)
    outcome = inside("--profile", tmp_path / "other.toml", "--stage", "rl-code", "--run-dir", trained)
    assert outcome.code == 2 and len(outcome.lines) == 1
    assert "sft.batch_size=4" in outcome.err and "and 1 more: model.layers" in outcome.err


def test_only_the_setting_of_a_later_stage_is_changed_without_a_new_sft(copy: Path, profile: Path) -> None:
    sft = snapshot(copy / "checkpoints" / "sft")
    outcome = inside("--profile", profile, "--stage", "rl-math", "--rl_math.lr", "1e-5", "--force", "--run-dir", copy)
    assert outcome.code == 0, outcome.err
    outcome = inside("--profile", profile, "--stage", "rl-code", "--rl_math.lr", "1e-5", "--rl_code.lr", "1e-4", "--run-dir", copy)
    assert outcome.code == 0, outcome.err
    assert snapshot(copy / "checkpoints" / "sft") == sft
    assert record(copy, "rl-math")["settings"]["rl_math.lr"] == 1e-5
    assert record(copy, "rl-code")["settings"]["rl_code.lr"] == 1e-4


def test_settings_of_the_evaluation_may_change(copy: Path, profile: Path) -> None:
    for more in (["--samples", 1], ["--samples", 2, "--temperature", 0.5]):
        outcome = inside("--profile", profile, "--stage", "eval", "--limit", 1, *more, "--run-dir", copy)
        assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(("words", "field", "value"), [
    (["--model.positions", 400], "model.positions", 400),
    (["--runtime.dtype", "bfloat16", "--rl_math.logprob_tolerance", 1], "runtime.dtype", "bfloat16"),
])  # fmt: skip
def test_what_each_stage_has_for_itself_is_recorded_for_each(
    profile: Path, tmp_path: Path, words: list[Any], field: str, value: Any
) -> None:
    run = tmp_path / "run"
    assert inside("--profile", profile, "--stage", "sft", "--run-dir", run).code == 0
    before = record(run, "sft")
    outcome = inside("--profile", profile, "--stage", "rl-math", *words, "--run-dir", run)
    assert outcome.code == 0, outcome.err
    assert record(run, "sft") == before and before["settings"][field] != value
    assert record(run, "rl-math")["settings"][field] == value


# --- starting weights ---------------------------------------------------------------------------


class Seen:
    """The weights that stages really started from: name → tensors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import klear_repro.training.rl
        import klear_repro.training.sft

        self.weights: dict[str, dict[str, torch.Tensor]] = {}
        for module, name in ((klear_repro.training.rl, "train_rl"), (klear_repro.training.sft, "train_sft")):
            monkeypatch.setattr(module, name, self._watched(getattr(module, name)))

    def _watched(self, train: Any) -> Any:
        def watched(start: Any, *words: Any, **named: Any) -> Any:
            self.weights[start.label] = {key: value.detach().clone() for key, value in start.model.named_parameters()}
            return train(start, *words, **named)

        return watched


def assert_same(seen: dict[str, torch.Tensor], file: Path) -> None:
    stored = load_file(file)
    assert set(seen) == set(stored)
    assert all(torch.equal(seen[name], stored[name]) for name in seen)


def test_every_stage_starts_from_the_weights_that_the_manifest_names(
    profile: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = tmp_path / "run", Seen(monkeypatch)
    words = ["--profile", profile, "--model.path", base, "--rl_math.controls", "clip,sft", "--run-dir", run]
    for stage in ("sft", "rl-math", "rl-code"):
        outcome = inside("--stage", stage, *words)
        assert outcome.code == 0, outcome.err
    assert record(run, "sft")["starts_from"]["model"] == str(base)
    assert_same(seen.weights["sft"], base / "model.safetensors")
    for stage, before in (("rl-math", "sft"), ("rl-code", "rl-math")):
        start, end = record(run, stage)["starts_from"], record(run, before)["checkpoint"]
        assert start == end and start["folder"].startswith(f"checkpoints/{before}/step-")
        file = run / start["folder"] / "model.safetensors"
        assert digest(file).startswith(start["weights"]) and len(start["weights"]) >= 16
        for label in (stage, f"{stage}-clip", f"{stage}-sft"):
            if label in seen.weights:
                assert_same(seen.weights[label], file)
    assert {"rl-math-clip", "rl-math-sft"} < set(seen.weights)


def test_rl_of_a_new_folder_where_sft_is_left_out_starts_from_the_base_model(
    profile: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = tmp_path / "run", Seen(monkeypatch)
    words = ["--profile", profile, "--model.path", base, "--sft.steps", 0, "--run-dir", run]
    outcome = inside("--stage", "rl-math", *words)
    assert outcome.code == 0, outcome.err
    assert set(seen.weights) == {"rl-math"}
    assert_same(seen.weights["rl-math"], base / "model.safetensors")
    start = record(run, "rl-math")["starts_from"]
    assert start["model"] == str(base) and start["revision"]
    assert record(run, "sft")["left_out"] is True and "checkpoint" not in record(run, "sft")
    again = inside("--stage", "rl-math", *words)
    assert again.code == 0 and "rl-math: done already, nothing to do" in again.lines
    later = inside("--stage", "rl-code", *words)
    assert later.code == 0, later.err
    assert_same(seen.weights["rl-code"], run / record(run, "rl-math")["checkpoint"]["folder"] / "model.safetensors")


def test_code_rl_where_math_rl_is_left_out_starts_from_sft(profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = tmp_path / "run", Seen(monkeypatch)
    words = ["--profile", profile, "--rl_math.steps", 0, "--run-dir", run]
    for stage in ("sft", "rl-code"):
        outcome = inside("--stage", stage, *words)
        assert outcome.code == 0, outcome.err
    assert_same(seen.weights["rl-code"], run / record(run, "sft")["checkpoint"]["folder"] / "model.safetensors")
    assert record(run, "rl-code")["starts_from"] == record(run, "sft")["checkpoint"]


def test_a_new_model_is_recorded_with_the_hash_of_its_weights(trained: Path, profile: Path, tmp_path: Path) -> None:
    start = record(trained, "sft")["starts_from"]
    assert start["model"] == "new" and len(start["weights"]) == 16
    assert inside("--profile", profile, "--stage", "sft", "--runtime.seed", 1, "--run-dir", tmp_path / "run").code == 0
    other = record(tmp_path / "run", "sft")["starts_from"]
    assert other["model"] == "new" and other["weights"] != start["weights"]


# --- what is not finished, or is not there any more ---------------------------------------------


def edit(run: Path, stage: str, **changes: Any) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["stages"][stage] |= changes
    (run / "manifest.json").write_text(json.dumps(manifest))


def half_sft(run: Path) -> None:
    """As an interrupt in the middle leaves it."""
    shutil.rmtree(run / "checkpoints" / "rl-math")
    shutil.rmtree(run / "checkpoints" / "sft")
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["stages"]["rl-math"], manifest["stages"]["sft"]["finished"]
    manifest["stages"]["sft"].pop("checkpoint", None)
    manifest["stages"]["sft"]["status"] = "running"
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("more", [[], ["--sft.steps", "0"]])
def test_rl_does_not_start_beside_an_sft_that_is_not_finished(copy: Path, profile: Path, base: Path, more: list[str]) -> None:
    half_sft(copy)
    before = snapshot(copy)
    outcome = inside("--profile", profile, "--stage", "rl-math", "--model.path", base if more else "", *more, "--run-dir", copy)
    assert outcome.code == 2, outcome.err
    (line,) = outcome.lines
    assert "sft.steps=0" in line if more else "needs stage sft, which this run folder has not finished; pass --stage sft,rl-math" in line
    assert snapshot(copy) == before
    finished = inside("--profile", profile, "--stage", "sft,rl-math", "--run-dir", copy)
    assert finished.code == 0, finished.err
    assert record(copy, "rl-math")["starts_from"] == record(copy, "sft")["checkpoint"]


def test_an_sft_that_was_refused_before_its_first_step_binds_nobody(profile: Path, base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(base, tmp_path / "refused")
    (tmp_path / "refused" / "chat_template.jinja").unlink(missing_ok=True)
    words = ["--profile", profile, "--run-dir", run]
    refused = inside("--stage", "sft", "--model.path", tmp_path / "refused", *words)
    assert refused.code == 2 and "no chat template" in refused.lines[-1], refused.err
    outcome = inside("--stage", "sft", "--model.path", base, *words)
    assert outcome.code == 0, outcome.err
    assert record(run, "sft")["settings"]["model.path"] == record(run, "sft")["starts_from"]["model"] == str(base)


def test_rl_does_not_start_from_an_earlier_checkpoint_of_sft(profile: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["--profile", profile, "--sft.save_every", 2, "--run-dir", run]
    assert inside("--stage", "sft", *words).code == 0
    end = record(run, "sft")["checkpoint"]
    shutil.rmtree(run / "checkpoints" / "sft" / "step-4")
    outcome = inside("--stage", "rl-math", *words)
    assert outcome.code == 1 and "is gone, and step-2 is not its end" in outcome.lines[-1], outcome.err
    assert not (run / "checkpoints" / "rl-math").exists()
    outcome = inside("--stage", "sft,rl-math", *words)
    assert outcome.code == 0, outcome.err
    assert record(run, "sft")["checkpoint"] == end == record(run, "rl-math")["starts_from"]


def test_rl_does_not_start_from_weights_that_were_put_in_the_place_of_a_checkpoint(copy: Path, profile: Path, tmp_path: Path) -> None:
    """A whole checkpoint, but of another run."""
    assert inside("--profile", profile, "--stage", "sft", "--runtime.seed", 1, "--run-dir", tmp_path / "other").code == 0
    shutil.rmtree(copy / "checkpoints" / "rl-math" / "step-2")
    shutil.rmtree(copy / "checkpoints" / "sft" / "step-4")
    shutil.copytree(tmp_path / "other" / "checkpoints" / "sft" / "step-4", copy / "checkpoints" / "sft" / "step-4")
    edit(copy, "rl-math", status="running")
    outcome = inside("--profile", profile, "--stage", "rl-math", "--run-dir", copy)
    assert outcome.code == 1, outcome.err
    assert "checkpoints/sft/step-4 has other weights than stage sft ended with" in outcome.lines[-1]


def test_a_stage_made_from_an_sft_that_was_done_again_is_refused(copy: Path, profile: Path) -> None:
    words = ["--profile", profile, "--sft.lr", "2e-3", "--run-dir", copy]
    outcome = inside("--stage", "sft", "--force", *words)
    assert outcome.code == 0, outcome.err
    assert any("rl-math" in line and "--force --stage rl-math" in line for line in outcome.lines)
    for stage in ("rl-math", "rl-code"):
        refused = inside("--stage", stage, *words)
        assert refused.code == 2 and len(refused.lines) == 1
        assert "stage rl-math was made from another sft" in refused.err and "--force --stage rl-math" in refused.err
    assert inside("--stage", "rl-math", "--force", *words).code == 0
    assert record(copy, "rl-math")["starts_from"] == record(copy, "sft")["checkpoint"]
    assert last_weights(copy, "rl-math").keys() == last_weights(copy, "sft").keys()


def test_a_folder_without_recorded_settings_is_evaluated_and_not_trained_on(copy: Path, profile: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    for one in manifest["stages"].values():
        one.pop("settings")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    refused = inside("--profile", profile, "--stage", "rl-code", "--run-dir", copy)
    assert refused.code == 2 and "manifest.json does not say with which settings stage data was made" in refused.lines[-1]
    outcome = inside("--profile", profile, "--stage", "eval", "--limit", 1, "--run-dir", copy)
    assert outcome.code == 0, outcome.err


def test_checkpoints_that_the_manifest_does_not_know_are_not_adopted(copy: Path, profile: Path, base: Path) -> None:
    (copy / "manifest.json").unlink()
    for words in (["--stage", "sft"], ["--stage", "rl-math", "--sft.steps", 0, "--model.path", base]):
        outcome = inside("--profile", profile, *words, "--run-dir", copy)
        assert outcome.code == 2, outcome.err
        assert "checkpoints/sft" in outcome.lines[-1] and "manifest.json" in outcome.lines[-1]


def test_a_base_model_that_changed_under_a_stage_is_refused(profile: Path, base: Path, tmp_path: Path) -> None:
    """Also where names, sizes and configuration are the same, so that only the hash of the weights tells."""
    run = tmp_path / "run"
    words = ["--profile", profile, "--model.path", base, "--sft.steps", 0, "--run-dir", run]
    assert inside("--stage", "rl-math", *words).code == 0
    shutil.rmtree(run / "checkpoints" / "rl-math" / "step-2")
    edit(run, "rl-math", status="running")
    weights = bytearray((base / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (base / "model.safetensors").write_bytes(weights)
    outcome = inside("--stage", "rl-math", *words)
    assert outcome.code == 1, outcome.err
    assert "stage rl-math started from" in outcome.lines[-1] and "--force --stage rl-math" in outcome.lines[-1]


@pytest.mark.parametrize(("words", "code", "says"), [
    (["--rl_math.max_new_tokens", 318], 2, "rl_math.max_new_tokens=318: with the longest prompt"),
    (["--rl_math.max_prompt_tokens", 1], 2, "rl_math.max_prompt_tokens=1: all 16 prompts of rl_math.data are longer"),
    ([], 1, "no checkpoint of sft in"),
])  # fmt: skip
def test_force_deletes_nothing_of_a_stage_that_could_not_be_made_again(
    profile: Path, copy: Path, words: list[Any], code: int, says: str
) -> None:
    if not words:
        shutil.rmtree(copy / "checkpoints" / "sft")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != "events.jsonl"}
    outcome = inside("--profile", profile, "--stage", "rl-math", "--force", *words, "--run-dir", copy)
    assert outcome.code == code and says in outcome.lines[-1], outcome.err
    assert {path: path.read_bytes() for path in before} == before
