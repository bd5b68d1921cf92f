"""Sampling that the command line sets in place of the protocol's: another name, and a verdict that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from klear_program import inside

from benchmarks.protocols import load_protocol
from klear_repro.config import ConfigError, dump_toml, load_config
from klear_repro.names import SAMPLING, resolved
from klear_repro.sections import EvalConfig

FLAGS = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.2}


def test_every_sampling_parameter_of_a_protocol_can_be_set() -> None:
    assert set(SAMPLING) == set(load_protocol("qwen3").sampling.model_dump()) == set(FLAGS)


@pytest.mark.parametrize(("name", "value"), FLAGS.items())
def test_a_changed_field_changes_the_protocol_and_its_name_and_nothing_else(name: str, value: float) -> None:
    before = load_protocol("qwen3")
    after = resolved(EvalConfig(**{name: value}), before)  # type: ignore[arg-type]
    assert after.name == "qwen3+changed" and getattr(after.sampling, name) == value
    back = after.resolve({f"sampling.{name}": getattr(before.sampling, name), "name": "qwen3"})
    assert back == before and after.sampling_hash(0) != before.sampling_hash(0)


def test_what_the_protocol_says_anyway_is_no_change() -> None:
    protocol = load_protocol("klear-release-64k")
    same = EvalConfig(temperature=0.6, top_p=0.95, top_k=20, min_p=0.0, repetition_penalty=1.05)
    assert resolved(same, protocol) == protocol == resolved(EvalConfig(), protocol)


@pytest.mark.parametrize("off", ["0", "-1"])
def test_top_k_is_switched_off_as_vllm_users_write_it(off: str) -> None:
    config = load_config("klear-8b-eval", {"eval.top_k": off})
    assert resolved(config.eval, load_protocol("klear-release-64k")).sampling.top_k == 0


def test_the_run_folder_keeps_what_was_set_and_an_empty_value_gives_it_back(tmp_path: Path) -> None:
    config = load_config("klear-8b-eval", {"eval.temperature": "0", "eval.min_p": "0.1"})
    (tmp_path / "config.toml").write_text(dump_toml(config))
    assert load_config("", {}, tmp_path / "config.toml") == config
    for empty in ("", "none"):
        given_back = load_config("", {"eval.temperature": empty}, tmp_path / "config.toml").eval
        assert given_back.temperature is None and given_back.min_p == 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", "-0.1"), ("temperature", "hot"), ("temperature", "nan"), ("temperature", "11"), ("top_p", "0"), ("top_p", "95"),
     ("top_k", "-2"), ("top_k", "2.5"), ("min_p", "1.5"), ("repetition_penalty", "0"), ("repetition_penalty", "inf")],
)  # fmt: skip
def test_impossible_values_are_refused_in_one_line_with_the_field(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"eval.{name}={value!r}: "):
        load_config("klear-8b-eval", {f"eval.{name}": value})
    outcome = inside(f"--{name.replace('_', '-')}", value, "--run-dir", tmp_path / "run")
    assert outcome.code == 2 and len(outcome.lines) == 1 and f"eval.{name}=" in outcome.lines[0]
    assert not (tmp_path / "run").exists()
