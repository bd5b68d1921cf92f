"""Weights as others get them: readable for servers of another user, in the data type of the run; models that cannot leave are refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from klear_program import PROFILE, inside
from safetensors import safe_open
from transformers import AutoModelForCausalLM, DeepseekV2Config, DeepseekV3Config

from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.device import Device
from klear_repro.engines.hf import HFEngine
from klear_repro.engines.vllm_server import VLLMServerEngine
from klear_repro.errors import UserError
from klear_repro.files import make_folder
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig, RLConfig, RuntimeConfig
from klear_repro.training.packing import Policy
from klear_repro.training.rollouts import make_rollouts
from klear_repro.training.start import Start, prepare, refuse_untrainable

SMALL = ModelConfig(hidden_size=64, layers=2, vocab_size=320)


@pytest.fixture(params=[0o022, 0o002, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}


def begun(run: Path, dtype: torch.dtype = torch.float32, **lora: Any) -> Start:
    tokenizer = train_tokenizer(["1 + 1 = 2"] * 9, 320)
    model = new_model(SMALL, tokenizer, 0).to(dtype)
    device = Device(torch.device("cpu"), dtype, 1)
    return Start(model, tokenizer, run, 0, "rl-math", device, RuntimeConfig(), SMALL.model_copy(update=lora), run)


@pytest.mark.parametrize("rank", [0, 2])
def test_all_files_of_a_checkpoint_have_the_mode_of_a_new_file(umask: int, rank: int, tmp_path: Path) -> None:
    """Weights, optimiser and tokenizer: vLLM servers often run as another user."""
    if rank:
        pytest.importorskip("peft")
    _, _, checkpoints, _ = prepare(begun(tmp_path / "run", lora_rank=rank), 1e-3, (0.9, 0.99), 0.0)
    checkpoints.save(1, {})
    found = modes(tmp_path / "run" / "checkpoints")
    assert {"rl-math/step-1/model.safetensors", "rl-math/step-1/trainer/optimizer.safetensors", "rl-math/step-1/state.json"} <= set(found)
    for name, mode in found.items():
        folder = (tmp_path / "run" / "checkpoints" / name).is_dir()
        assert oct(mode) == oct((0o777 if folder else 0o666) & ~umask), name


def test_a_folder_that_is_made_whole_has_the_modes_of_new_files(umask: int, tmp_path: Path) -> None:
    """Also of a GGUF model that is written as a folder for vLLM."""

    def fill(target: Path) -> None:
        (target / "private").write_text("x")
        (target / "private").chmod(0o600)

    make_folder(tmp_path / "made", fill)
    assert modes(tmp_path / "made") == {".": 0o777 & ~umask, "private": 0o666 & ~umask}


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of vLLM servers without servers: the file is written as always, and nobody is asked to read it."""

    def begin(self: Any, source: Any, *, endpoints: Any, folder: Path, slots: int, section: str) -> None:
        self._folder = folder

    async def reload(self: Any) -> None:
        return None

    monkeypatch.setattr(VLLMServerEngine, "__init__", begin)
    monkeypatch.setattr(VLLMServerEngine, "_reload", reload)


@pytest.mark.parametrize(("dtype", "size"), [(torch.bfloat16, 2), (torch.float32, 4)])
@pytest.mark.usefixtures("handed_over")
def test_weights_go_to_servers_in_the_type_of_the_run(dtype: torch.dtype, size: int, tmp_path: Path) -> None:
    """Also where the master weights are float32, as several processes have them: the file has two bytes a weight in bfloat16."""
    start = begun(tmp_path / "run", dtype)
    rollouts = make_rollouts(start, RLConfig(engine="vllm-server", endpoints=("http://h/v1",)))
    policy = Policy(start.model.float(), dtype)
    rollouts.sync(policy)
    file = tmp_path / "run" / "weights" / "model.safetensors"
    numbers = sum(weight.numel() for weight in policy.parameters())
    with safe_open(file, "pt") as written:
        assert {written.get_slice(name).get_dtype() for name in written.keys()} == {"BF16" if size == 2 else "F32"}  # noqa: SIM118 (no mapping)
        assert sum(written.get_tensor(name).numel() for name in written.keys()) == numbers  # noqa: SIM118 (no mapping)
    head = file.stat().st_size - size * numbers
    assert 0 < head < 10_000


@pytest.mark.usefixtures("handed_over")
def test_the_file_for_servers_has_the_mode_of_a_new_file(umask: int, tmp_path: Path) -> None:
    start = begun(tmp_path / "run")
    make_rollouts(start, RLConfig(engine="vllm-server", endpoints=("http://h/v1",))).sync(Policy(start.model))
    assert modes(tmp_path / "run" / "weights") == {".": 0o777 & ~umask, "model.safetensors": 0o666 & ~umask}


# --- models that neither leave nor sample as they are trained ---------------------------------------

LATENT: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "max_position_embeddings": 320,
    "num_attention_heads": 2, "num_key_value_heads": 2, "kv_lora_rank": 8, "q_lora_rank": 12, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 12, "first_k_dense_replace": 2, "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_group": 1, "topk_group": 1, "n_shared_experts": 1,
}  # fmt: skip


@pytest.mark.parametrize("kind", [DeepseekV2Config, DeepseekV3Config])
def test_a_model_with_latent_attention_is_one_line_in_training_and_in_the_hf_engine(kind: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["1 + 1 = 2"] * 9, 320)
    model = AutoModelForCausalLM.from_config(kind(**LATENT, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "base")
    says = r"has multi-head latent attention \(kv_lora_rank=8\)"
    with pytest.raises(UserError, match=says):
        refuse_untrainable(model, tokenizer, "base")
    with pytest.raises(ValueError, match=says):
        HFEngine(model, tokenizer, slots=4)
    (tmp_path / "mini.toml").write_text(PROFILE)
    words = ["--profile", tmp_path / "mini.toml", "--run-dir", tmp_path / "run", "--model.path", tmp_path / "base"]
    for stages, more in (("sft,rl-math", []), ("rl-math", ["--sft.steps", 0])):
        outcome = inside("--stage", stages, *words, *more)
        assert outcome.code == 2, outcome.err
        assert f"model: {type(model).__name__} has multi-head latent attention (kv_lora_rank=8)" in outcome.lines[-1]
        assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_model_with_state_that_checkpoints_do_not_keep_is_refused() -> None:
    """As the router of some mixtures of experts has it: it would be missing when the next stage loads the checkpoint."""
    tokenizer = train_tokenizer(["1 + 1 = 2"] * 9, 320)
    model = new_model(SMALL, tokenizer, 0)
    refuse_untrainable(model, tokenizer, "base")
    model.model.layers[0].mlp.register_buffer("e_score_correction_bias", torch.zeros(3))
    with pytest.raises(UserError, match="e_score_correction_bias, which is no parameter: the trainer's checkpoints keep"):
        refuse_untrainable(model, tokenizer, "base")
