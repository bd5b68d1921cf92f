"""Configuration: bounds, unknown keys, profiles, presets, and a file that says all of it again."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from klear_repro.config import (
    PRESETS,
    Config,
    ConfigError,
    dump_toml,
    fields,
    load_config,
    preset_differences,
    profile_names,
)
from klear_repro.sections import VLLM_OPTIONS, RLConfig


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_and_says_its_name(name: str) -> None:
    assert load_config(name, {}).profile == name


@pytest.mark.parametrize("name", profile_names())
def test_the_written_configuration_is_the_configuration(name: str, tmp_path: Path) -> None:
    config = load_config(
        name, {"sft.lr": "0.00123", "eval.benchmarks": "aime24, aime25", "rl_math.loss": "cispo", "rl_math.dual_clip_c": "0"}
    )
    (tmp_path / "config.toml").write_text(dump_toml(config))
    assert load_config("", {}, tmp_path / "config.toml") == config


@pytest.mark.parametrize("name", ["klear-8b-paper", "klear-8b-release"])
def test_the_full_recipe_fits_the_positions_that_its_profile_gives_the_model(name: str) -> None:
    config = load_config(name, {})
    for stage in (config.rl_math, config.rl_code):
        assert stage.max_prompt_tokens + stage.max_new_tokens <= config.model.positions
    assert config.sft.max_length <= config.model.positions


def test_the_smoke_profile_is_the_default_and_a_stand_in() -> None:
    config = load_config("", {})
    assert config.profile == "smoke"
    assert config.stand_in
    assert config.rl_math.alpha == 0.1
    assert (config.rl_math.eps_low, config.rl_math.eps_high) == (0.2, 0.28)
    assert config.rl_math.loss == config.rl_code.loss == "gppo"


def test_presets_are_where_paper_and_release_differ() -> None:
    assert PRESETS["paper"] == {
        "reward": "paper",
        "std": "population",
        "aggregation": "token_mean",
        "dual_clip_c": 0.0,
        "filter_by": "reward",
        "positive_by": "accuracy",
    }
    assert PRESETS["release"] == {
        "reward": "release", "std": "unbiased", "aggregation": "klear_microbatch", "dual_clip_c": 10.0, "filter_by": "acc",
        "positive_by": "reward",
    }  # fmt: skip
    assert preset_differences()["dual_clip_c"] == (0.0, 10.0)


def test_a_preset_fills_both_rl_stages_and_a_field_of_the_profile_wins(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('preset = "release"\n[rl_code]\nstd = "none"\n')
    config = load_config(str(profile), {"rl_math.aggregation": "sequence_mean"})
    assert (config.rl_math.reward, config.rl_math.std, config.rl_math.dual_clip_c) == ("release", "unbiased", 10.0)
    assert config.rl_math.aggregation == "sequence_mean"
    assert config.rl_code.std == "none"
    assert config.rl_code.filter_by == "acc"
    assert config.profile == "mine"


def test_every_field_has_a_description_a_default_and_can_be_set_on_the_command_line() -> None:
    for section, name, info in fields():
        assert info.description, f"{section}.{name}"
        default = info.get_default()
        text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        config = load_config(
            "klear-8b-eval", {f"{section}.{name}": text, "rl_math.controls": "", "rl_code.controls": ""} | {f"{section}.{name}": text}
        )
        assert getattr(getattr(config, section), name) == default, f"{section}.{name}"


REFUSED = [
    ("eval.samples", "-1", "greater than or equal to 0"),
    ("runtime.seed", "-1", "greater than or equal to 0"),
    ("runtime.workers", "-1", "greater than or equal to 0"),
    ("runtime.workers", "513", "less than or equal to 512"),
    ("runtime.device", "tpu", "'auto', 'cpu' or 'cuda'"),
    ("sft.lr", "0", "greater than 0"),
    ("sft.lr", "1", "less than 1"),
    ("sft.lr", "fast", "number"),
    ("sft.steps", "1.5", "integer"),
    ("rl_math.eps_low", "1", "less than 1"),
    ("rl_math.samples_per_prompt", "1", "greater than or equal to 2"),
    ("rl_math.temperature", "0", "greater than 0"),
    ("rl_math.top_p", "1.01", "less than or equal to 1"),
    ("rl_math.loss", "ppo", "'gppo', 'ce_gppo', 'clip', 'cispo' or 'gspo'"),
    ("rl_math.controls", "dpo", "'clip' or 'sft'"),
    ("rl_code.memory_mb", "1", "greater than or equal to 64"),
    ("rl_code.stop_after_tle", "-1", "greater than or equal to 0"),
    ("rl_code.max_skipped", "1.5", "less than or equal to 1"),
    ("sft.max_skipped", "some", "number"),
    ("data.digits", "4", "less than or equal to 3"),
    ("model.vocab_size", "10", "greater than or equal to 300"),
]


@pytest.mark.parametrize(("field", "value", "allowed"), REFUSED)
def test_a_value_out_of_bounds_is_refused_with_field_value_and_what_is_allowed(field: str, value: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("smoke", {field: value})
    message = str(error.value)
    assert "\n" not in message
    assert field in message
    assert value in message
    assert allowed in message


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"rl_math.mini_batch_prompts": "300"}, "mini_batch_prompts=300: must be at most train_prompts"),
        ({"rl_math.train_prompts": "300"}, "train_prompts=300: must be at most prompts_per_step"),
        ({"rl_math.dual_clip_c": "1"}, "dual_clip_c=1.0: must be above 1, or 0 for off"),
        ({"rl_math.dual_clip_c": "10", "rl_math.loss": "cispo"}, "dual_clip_c=10.0: must be 0 with loss=cispo"),
        ({"rl_math.alpha": "inf"}, "rl_math.alpha"),
        ({"rl_math.beta_low": "inf"}, "rl_math.beta_low"),
        ({"rl_math.endpoints": "http://127.0.0.1:1/v1"}, "for engine=vllm-server"),
        ({"sft.lr_end": "0.5"}, "lr_end=0.5: must be at most lr"),
        ({"model.heads": "3"}, "must divide heads=3"),
    ],
)
def test_an_impossible_combination_is_refused(overrides: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("smoke", overrides)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "near"),
    [
        ("sft.step", "sft.steps"),
        ("rl_math.eps_hi", "rl_math.eps_high"),
        ("evl.samples", "eval.samples"),
        ("nothing.at_all", "runtime, model"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(field: str, near: str) -> None:
    with pytest.raises(ConfigError, match="unknown") as error:
        load_config("smoke", {field: "1"})
    assert near in str(error.value)


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_config("smoke", {}).sft.steps = 1  # type: ignore[misc]


@given(
    note=st.text(max_size=60),
    path=st.text(max_size=20),
    lr=st.floats(1e-9, 0.99),
    clip=st.floats(min_value=0, exclude_min=True, allow_nan=False),
    controls=st.lists(st.sampled_from(["clip", "sft"]), max_size=2),
)
@settings(max_examples=200, deadline=None)
def test_any_configuration_survives_its_file(note: str, path: str, lr: float, clip: float, controls: list[str]) -> None:
    config = Config.model_validate(
        {
            "eval": {"note": note, "benchmark_path": path},
            "sft": {"lr": lr, "lr_end": 0.0, "grad_clip": clip},
            "rl_code": {"controls": controls},
        }
    )
    assert Config.model_validate(tomllib.loads(dump_toml(config))) == config


def test_no_limit_can_be_written_as_infinity() -> None:
    """`grad_clip = inf` is no clipping."""
    config = Config.model_validate({"rl_math": RLConfig.model_validate({"grad_clip": float("inf")}).model_dump()})
    assert Config.model_validate(tomllib.loads(dump_toml(config))) == config


def test_options_of_vllm_are_kept_under_its_names_and_only_where_they_are_set() -> None:
    set_here = {"eval.gpu_memory_utilization": "0.85", "eval.kv_cache_dtype": "fp8", "eval.enforce_eager": "true", "eval.max_num_seqs": "7"}
    config = load_config("klear-8b-eval", set_here)
    expected = {"gpu_memory_utilization": 0.85, "kv_cache_dtype": "fp8", "enforce_eager": True, "max_num_seqs": 7}
    assert config.eval.vllm_options() == expected
    assert load_config("klear-8b-eval", {}).eval.vllm_options() == {}
    assert set(expected) < set(VLLM_OPTIONS) < set(type(config.eval).model_fields)


@pytest.mark.parametrize("engine", ["hf", "openai"])
@pytest.mark.parametrize(
    ("name", "value"), [("gpu_memory_utilization", "0.5"), ("quantization", "fp8"), ("enable_prefix_caching", "false")]
)
def test_an_option_of_vllm_is_refused_with_another_engine(engine: str, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"eval: {name}=.*: only with engine='vllm', not '{engine}'"):
        load_config("smoke", {"eval.engine": engine, f"eval.{name}": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpu_memory_utilization", "1.1"), ("gpu_memory_utilization", "0"), ("max_num_seqs", "0"), ("block_size", "x"),
        ("cpu_offload_gb", "-1"),
    ],
)
def test_an_option_of_vllm_out_of_bounds_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"eval.{name}='{value}'"):
        load_config("klear-8b-eval", {f"eval.{name}": value})
