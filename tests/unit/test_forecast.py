"""The arithmetic of a forecast, the sentences made of it, and what is read from the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.published import built_in
from klear_repro.forecast import Forecast, Room, Work, cache_values, hours, size, tokens
from klear_repro.machine import GPU, free_disk, free_memory, same_disk, visible_gpus
from klear_repro.outlook import expected_power

QWEN3_8B = {
    "architectures": ["Qwen3ForCausalLM"],
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 4096,
    "sliding_window": None,
    "use_sliding_window": False,
    "max_position_embeddings": 40960,
}
GIB = 1 << 30


def work(**changes: object) -> Work:
    values: dict[str, object] = {
        "model": "m",
        "benchmark": "aime24",
        "kind": "math",
        "protocol": "p",
        "problems": 30,
        "samples": 64,
        "missing": 1920,
        "budget": 65536,
        "prompt": 200,
    }
    return Work(**{**values, **changes})  # type: ignore[arg-type]


def forecast(*parts: Work, room: Room | None = None, slots: int = 128, copies: int = 1, download: int = 0) -> Forecast:
    return Forecast(work=parts or (work(),), room=room, slots=slots, copies=copies, folder=Path("runs/mine"), download=download)


# --- the cache --------------------------------------------------------------------------------------


def test_an_80_gb_card_holds_about_six_whole_samples_of_the_release_protocol() -> None:
    values = cache_values(QWEN3_8B)
    assert values == 2 * 36 * 8 * 128
    room = Room("GPU memory", int(0.9 * 79.6 * GIB), 16_400_000_000, 2 * values)
    assert room.at_once(65_536 + 300) == 6 and room.at_once(16_000) == 25


@pytest.mark.parametrize(
    "unusual",
    [
        {"kv_lora_rank": 512},
        {"sliding_window": 4096, "use_sliding_window": True},
        {"sliding_window": 4096, "no": 1, "use_sliding_window": None},
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"layer_types": "odd"},
        {"layer_types": ["linear_attention"]},
        {"num_hidden_layers": None},
        {"num_key_value_heads": [8, 4]},
        {"num_attention_heads": True},
        {"head_dim": -1},
        {"is_encoder_decoder": True},
        {"text_config": {"num_hidden_layers": 3}},
        {"num_hidden_layers": "36"},
    ],
)
def test_of_an_unusual_model_the_cache_is_unknown(unusual: dict[str, object]) -> None:
    if unusual.get("use_sliding_window", 1) is None:
        unusual = {name: value for name, value in unusual.items() if name == "sliding_window"}
        config = {name: value for name, value in QWEN3_8B.items() if name != "use_sliding_window"}
    else:
        config = QWEN3_8B
    assert cache_values({**config, **unusual}) is None


def test_heads_and_their_width_have_the_defaults_of_transformers() -> None:
    assert cache_values({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}) == 2 * 2 * 4 * 16
    assert cache_values({**QWEN3_8B, "sliding_window": 131072}) == cache_values(QWEN3_8B)  # written down, and not used
    assert cache_values({}) is None


sizes = st.integers(0, 10**13)


@given(sizes, sizes, st.integers(0, 10**7), st.floats(1, 1e7), st.floats(1, 1e7))
def test_more_room_holds_no_fewer_samples_and_longer_ones_no_more(
    usable: int, weights: int, token: int, shorter: float, longer: float
) -> None:
    shorter, longer = sorted((shorter, longer))
    few = Room("", usable, weights, token).at_once(longer)
    assert few is None or few >= 0
    if few is not None and (more := Room("", usable, weights, token).at_once(shorter)) is not None:
        assert more >= few
        bigger = Room("", usable + 10**9, weights, token).at_once(longer)
        assert bigger is not None and bigger >= few


# --- tokens, time, kills -----------------------------------------------------------------------------


@given(
    st.integers(1, 500),
    st.integers(1, 256),
    st.integers(0, 10**6),
    st.integers(1, 10**6),
    st.none() | st.floats(1, 1e7),
    st.none() | st.floats(0.1, 1e4),
    st.integers(1, 512),
    st.integers(1, 16),
)
def test_more_samples_never_take_less_and_nothing_is_negative(
    problems: int, samples: int, missing: int, budget: int, each: float | None, speed: float | None, slots: int, copies: int
) -> None:
    total = problems * samples
    missing = min(missing, total)
    one = forecast(
        work(problems=problems, samples=samples, missing=missing, budget=budget, each=each, speed=speed), slots=slots, copies=copies
    )
    assert 0 <= one.missing <= total and one.most >= 0
    assert one.expected is None or 0 <= one.expected <= one.most + 1e-6 * one.most
    assert "-" not in one.paragraph().replace("runs/mine", "").replace("--", "") and "nan" not in one.paragraph()
    more = forecast(
        work(problems=problems, samples=samples + 1, missing=missing + problems, budget=budget, each=each, speed=speed),
        slots=slots,
        copies=copies,
    )
    assert more.most > one.most
    if one.expected is not None and more.expected is not None:
        assert more.expected > one.expected
    before, after = one.seconds(), more.seconds()
    if before is not None and after is not None and missing >= slots * copies:
        assert after >= before >= 0


def test_the_paragraph_says_what_is_known_and_what_is_not() -> None:
    room = Room("GPU memory (NVIDIA H100)", int(0.9 * 80e9), 16_400_000_000, 147_456)
    text = forecast(room=room, download=16_400_000_000).paragraph()
    assert text.count("\n") == 0 and text.startswith(
        "what will happen: 1,920 samples of m (problems × samples: aime24 30 × 64) under p; none is there yet."
    )
    assert "at most 125.8 million (65,536 a sample); how many to expect is unknown until samples are there" in text
    assert (
        "Memory: 72.0 GB of GPU memory (NVIDIA H100), of which the weights take 16.4 GB; the cache then holds about 5 samples at once "
        "at full length. "
        in text
    )
    assert "16.4 GB of weights are downloaded first." in text
    assert "unknown until samples are there; at 1,000 tokens a second the most tokens take 35 hours" in text
    assert "those under way (5 at once) are begun again, at most 327,700 tokens." in text
    assert "Everything goes to runs/mine." in text and "nothing published" in text


def test_days_are_called_days() -> None:
    five = [work(benchmark=name) for name in ("aime24", "aime25", "hmmt25")]
    assert "the most tokens take 105 hours (4.4 days)" in forecast(*five).paragraph()
    assert [hours(value) for value in (59, 700, 7200, 86400 * 2, 86400 * 10)] == [
        "0:59",
        "12 minutes",
        "2 hours",
        "48 hours (2.0 days)",
        "240 hours (10.0 days)",
    ]


def test_samples_that_are_there_give_tokens_and_time() -> None:
    one = work(missing=1000, each=20_000.0, each_from=920, speed=50.0)
    text = forecast(one, room=Room("GPU memory", 72 * 10**9, 16 * 10**9, 147_456)).paragraph()
    assert (
        "920 are there, 1,000 are made" in text
        and "about 20.0 million expected, from 920 samples that are there; at most 65.5 million" in text
    )
    assert "about 5 samples at once at full length, 18 at the expected one" in text
    assert "about 6 hours, if samples go on" in text  # 20e6 / (50 × 18) s
    assert "(18 at once) are begun again, about 180,000 tokens." in text


def test_unknown_memory_and_servers_are_said_to_be() -> None:
    assert "Memory is the servers'." in forecast().paragraph()
    assert "unknown for this model" in forecast(room=Room("main memory", 10**10, 10**9, None)).paragraph()
    assert (
        "10.0 GB of main memory; the size of the weights is unknown; how many"
        in forecast(room=Room("main memory", 10**10, 0, 10)).paragraph()
    )
    assert "nobody knows how much GPU memory there is" in forecast(room=Room("GPU memory", 0, 10**9, 10)).paragraph()
    assert "at most 65,536 tokens each" in forecast(slots=0).paragraph()


def test_models_run_one_after_the_other() -> None:
    four = [work(model=f"m{place}", missing=10) for place in range(4)]
    assert forecast(*four).side_by_side() == 10 and forecast(*four, slots=3).side_by_side() == 3


def test_nothing_missing_needs_no_forecast() -> None:
    text = forecast(work(missing=0)).paragraph()
    assert "all 1,920 samples are there; nothing is generated" in text and "kill" not in text


def test_greedy_samples_of_one_problem_are_the_same_text() -> None:
    assert "Temperature 0 gives the same text" in forecast(work(greedy=True)).paragraph()
    assert "Temperature 0" not in forecast(work(greedy=True, samples=1)).paragraph() + forecast().paragraph()


def test_the_verdict_names_the_published_number_its_power_and_what_blocks_it() -> None:
    row = built_in().find("aime24", "Klear-Reasoner-8B", "64K")[0]
    text = forecast(work(published=row, power=0.83)).paragraph()
    assert (
        "aime24 is compared with 90.5 published for Klear-Reasoner-8B at 64K, a perfect reproduction is called reproduced "
        "with a probability of about 0.83."
        in text
    )
    text = forecast(work(published=row, power=0.17, doubts=("16 samples a problem, the published run had 64",))).paragraph()
    assert (
        "inconclusive whatever comes out (16 samples a problem, the published run had 64); by the numbers alone a perfect" in text
        and "0.17" in text
    )


@pytest.mark.parametrize(
    ("benchmark", "length", "samples", "kind", "documented"),
    [
        ("aime24", "64K", 64, "math", 0.84),
        ("aime25", "64K", 64, "math", 0.56),
        ("hmmt25", "64K", 64, "math", 0.57),
        ("hmmt25", "32K", 64, "math", 0.47),
        ("lcb_v5", "64K", 8, "code", 0.70),
        ("lcb_v6", "64K", 8, "code", 0.32),
    ],
)
def test_the_power_before_a_run_is_near_the_one_that_simulations_give(
    benchmark: str, length: str, samples: int, kind: str, documented: float
) -> None:
    """The table of docs/reports.md."""
    row, target = built_in().find(benchmark, "Klear-Reasoner-8B", length)[0], built_in().targets[benchmark]
    full = expected_power(row, target.problems, samples, target.margin, kind)
    assert abs(full - documented) < 0.15
    fewer = [expected_power(row, target.problems, count, target.margin, kind) for count in (1, samples // 4, samples)]
    assert fewer == sorted(fewer) and fewer[0] < 0.05


def test_numbers_are_short() -> None:
    assert [tokens(value) for value in (0, 950, 12_345, 1.26e6, 2.1e9)] == ["0", "950", "12,300", "1.3 million", "2.1 billion"]
    assert [size(value) for value in (500, 2.5e6, 16.4e9)] == ["0 kB", "2 MB", "16.4 GB"]


# --- the machine -------------------------------------------------------------------------------------


def nvidia_smi(folder: Path, lines: str, code: int = 0) -> dict[str, str]:
    """An environment in which `nvidia-smi` prints these lines."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\nexit {code}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


TWO = "0, GPU-aaaa, NVIDIA H100 80GB HBM3, 81559, 81000\n1, GPU-bbbb, NVIDIA A100-SXM4-40GB, 40960, 100"


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["H100", "A100"]),
        ("1", ["A100"]),
        ("1,0", ["A100", "H100"]),
        ("GPU-bbbb", ["A100"]),
        ("GPU-a", ["H100"]),
        ("", []),
        ("-1", []),
        ("0,7,1", ["H100"]),
        ("MIG-1", ["part"]),
    ],
)
def test_gpus_are_those_that_cuda_would_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    environ = nvidia_smi(tmp_path, TWO)
    monkeypatch.setenv("PATH", environ["PATH"])
    found = visible_gpus(environ | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}))
    assert [name for gpu, name in zip(found, names, strict=True) if name in gpu.name] == names
    if visible is None:
        assert found[0] == GPU("NVIDIA H100 80GB HBM3", 81559 << 20, 81000 << 20)


@pytest.mark.parametrize(
    ("lines", "code"), [("No devices were found", 0), ("NVIDIA-SMI has failed", 9), ("", 0), ("0, GPU, x, [N/A], [N/A]", 0)]
)
def test_a_driver_that_does_not_answer_shows_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, code: int) -> None:
    environ = nvidia_smi(tmp_path, lines, code)
    monkeypatch.setenv("PATH", environ["PATH"])
    assert not any(gpu.total for gpu in visible_gpus(environ))


def test_without_the_program_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({"PATH": str(tmp_path)}) == []


def test_memory_is_what_the_control_group_leaves(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert free_memory(tmp_path) == 0
    write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable:       2000 kB\n")
    assert free_memory(tmp_path) == 2000 << 10
    write("sys/fs/cgroup/memory.max", "max\n")
    write("sys/fs/cgroup/memory.current", "5\n")
    assert free_memory(tmp_path) == 2000 << 10
    write("sys/fs/cgroup/memory.max", "1000005\n")
    assert free_memory(tmp_path) == 1_000_000
    write("sys/fs/cgroup/memory.current", "2000000\n")
    assert free_memory(tmp_path) == 0


def test_disks_of_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "a" / "b") > 0 and same_disk(tmp_path / "a", tmp_path / "b" / "c")
