"""Attribution on a tiny real model: variants, shared samples, effects that add up, and intervals that cover."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.estimators import paired_effect
from benchmarks.protocols import Protocol, load_protocol
from benchmarks.records import Problem, read_generations, read_grades
from klear_repro.attribution import BUDGET, EXTENSION, FROM, TO, attribute, share, variants
from klear_repro.config import Config
from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.engines.hf import HFEngine
from klear_repro.errors import UserError
from klear_repro.evaluate import Task, make_task, sample_set
from klear_repro.judging import Judges
from klear_repro.leases import Leases
from klear_repro.models import new_model
from klear_repro.sections import EvalConfig, ModelConfig
from klear_repro.store import SampleStore
from klear_repro.work import SampleSet, Tally, fill

WORDS = "Find 12 + 34. <think>\n\n</think>\n\n\\boxed{46} What is 7 times 8? " * 20


@pytest.fixture(scope="module")
def engine() -> HFEngine:
    tokenizer = train_tokenizer([WORDS], 320)
    config = ModelConfig(hidden_size=32, layers=1, heads=2, kv_heads=1, head_dim=16, intermediate_size=64, vocab_size=320,
                         max_position=512, initializer_range=0.3)  # fmt: skip
    return HFEngine(new_model(config, tokenizer, 5).eval(), tokenizer, slots=16)


@dataclass
class Here:
    """Workers without processes: the engine of this one."""

    engine: HFEngine
    folder: Path

    def fill(self, sets: Sequence[SampleSet], label: str) -> list[int]:
        with Tally(sets) as tally, Leases(self.folder) as leases:
            fill(self.engine, sets, leases)
            return tally.missing


def attributed(engine: HFEngine, folder: Path, problems: Path, names: Sequence[str]) -> dict[str, Any]:
    """The entry of an attribution between two protocol files, in a run folder."""
    start, end = (make_task(EvalConfig(benchmark_path=str(problems)), "mini-aime", folder, name) for name in names)
    with Judges(Config()) as judges:
        return attribute(start, end, folder, "m", "r", 0, judges, engine, lambda protocol: nullcontext(Here(engine, folder)))


def protocol(**changes: Any) -> Protocol:
    base = Protocol(name="a", description="", max_new_tokens=24, samples=6)
    return base.resolve({"name": changes.pop("name", "a"), **changes})


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    listed = [Problem(benchmark="mini-aime", id=f"p{i}", kind="math", statement=f"Find {i} + 34.", answer=str(i % 4)) for i in range(5)]
    (tmp_path / "mini-aime.jsonl").write_text("".join(problem.model_dump_json() + "\n" for problem in listed))
    return tmp_path


def test_the_variants_between_the_paper_and_the_release_are_its_known_differences():
    listed = variants(load_protocol("klear-paper-32k"), load_protocol("klear-release-64k"))
    names = {variant.name: variant for variant in listed}
    assert set(names) == {FROM, TO, "top_k", "repetition_penalty", BUDGET, EXTENSION}
    assert names["top_k"].protocol.sampling.top_k == 20 and names["top_k"].protocol.sampling.repetition_penalty == 1.0
    assert names[BUDGET].base == EXTENSION and names[BUDGET].protocol.rope is not None
    assert names[EXTENSION].protocol.max_new_tokens == 32768 and names[EXTENSION].base == FROM
    back = {variant.name: variant for variant in variants(load_protocol("klear-release-64k"), load_protocol("klear-paper-32k"))}
    assert back[EXTENSION].base == BUDGET and back[EXTENSION].protocol.max_new_tokens == 32768
    assert back[BUDGET].protocol.rope is not None


def test_the_independent_attempt_differs_from_the_release_in_budget_and_two_parameters():
    names = [one.name for one in variants(load_protocol("klear-issue2-64k"), load_protocol("klear-release-64k"))]
    assert sorted(names) == sorted([FROM, "top_k", "repetition_penalty", BUDGET, TO])


def test_protocols_that_do_not_differ_are_refused():
    with pytest.raises(UserError, match="differ in nothing"):
        variants(protocol(), protocol(name="b", samples=3))


def write(path: Path, made: Protocol) -> str:
    sampling = made.sampling
    path.write_text(
        f'name = "{path.stem}"\ndescription = ""\nmax_new_tokens = {made.max_new_tokens}\nsamples = {made.samples}\n'
        f'judges = {list(made.judges)}\n[sampling]\ntemperature = {sampling.temperature}\ntop_k = {sampling.top_k}\n'
        f"repetition_penalty = {sampling.repetition_penalty}\n"
    )
    return str(path)


def test_effects_are_measured_sample_by_sample_and_add_up(engine: HFEngine, problems: Path, tmp_path: Path):
    first = write(tmp_path / "first.toml", protocol(max_new_tokens=24))
    second = write(tmp_path / "second.toml", protocol(max_new_tokens=40, **{"sampling.top_k": 5, "judges": ("strict", "klear")}))
    entry = attributed(engine, tmp_path, problems, (first, second))
    assert set(entry["variants"]) == {FROM, "top_k", BUDGET, "judge", TO}
    assert entry["variants"]["judge"] == entry["variants"]["judge"] | {"generated": 0}
    assert entry["variants"][FROM]["generated"] == 30
    for rows in entry["judges"].values():
        by = {row["factor"]: row for row in rows}
        parts = sum(row["effect"] for name, row in by.items() if name != "whole difference")
        assert parts == pytest.approx(by["whole difference"]["effect"])
        assert all(row["ci95"][0] <= row["effect"] <= row["ci95"][1] for row in rows)
    stored, left_out = read_generations(tmp_path / "generations" / "mini-aime" / "m.jsonl")
    assert not left_out
    shared = [row for row in stored if row.shared_from]
    budget = load_protocol(first).resolve({"max_new_tokens": 40, "max_model_len": None})
    assert len(shared) == sum(one["shared"] for one in entry["variants"].values())
    for row in shared:
        assert row.finish_reason == "stop" and row.token_count <= 40
    task = make_task(EvalConfig(benchmark_path=str(problems)), "mini-aime", tmp_path, first)
    alone = sample_set(Task("mini-aime", task.problems, budget), "m", "r", tmp_path / "alone", engine, 0)
    assert Here(engine, tmp_path).fill([alone], "") == [30]
    with SampleStore(alone.store) as store:
        fresh = {row.key: row.text for row in store}
    assert {row.key: row.text for row in stored if row.sampling_hash == budget.sampling_hash(0)} == fresh
    tables = {file.stem: list(read_grades(file)) for file in (tmp_path / "attribution" / "mini-aime" / "m").glob("*.parquet")}
    assert set(tables) == set(entry["variants"]) and {len(rows) for rows in tables.values()} == {60}
    again = attributed(engine, tmp_path, problems, (first, second))
    assert all(one["generated"] == 0 == one["shared"] for one in again["variants"].values())
    assert again["judges"] == entry["judges"]


def test_only_what_ended_by_itself_within_the_budget_is_shared(engine: HFEngine, tmp_path: Path, problems: Path):
    made, other = protocol(max_new_tokens=24), protocol(max_new_tokens=8)
    hotter = protocol(max_new_tokens=8, **{"sampling.temperature": 0.5})
    found = make_task(EvalConfig(benchmark_path=str(problems)), "mini-aime", tmp_path).problems
    sets = {one: sample_set(Task("mini-aime", found, one), "m", "r", tmp_path, engine, 0) for one in (made, other, hotter)}
    Here(engine, tmp_path).fill([sets[made]], "")
    with SampleStore(sets[made].store) as store:
        long = list(store)
        siblings = {one.sampling_hash(0): one for one in (made, other, hotter)}
        copied = share(store, list(sets[other].keys), other, siblings)
        assert copied == sum(row.finish_reason == "stop" and row.token_count <= 8 for row in long)
        assert share(store, list(sets[hotter].keys), hotter, siblings) == 0


@given(st.integers(2, 12), st.integers(2, 16), st.floats(0.1, 0.9), st.integers(0, 2**31))
def test_the_same_outcomes_have_no_effect_and_shifted_ones_a_whole_one(m: int, n: int, rate: float, seed: int):
    rng = np.random.default_rng(seed)
    before = (rng.random((m, n)) < rate).astype(float)
    assert paired_effect(before, before, resampled=False) == (0.0, 0.0)
    assert paired_effect(np.zeros((m, n)), np.ones((m, n)))[0] == 1.0
    difference, error = paired_effect(before, 1 - before)
    assert difference == pytest.approx(1 - 2 * before.mean()) and error > 0


def test_the_interval_covers_the_true_effect_as_often_as_it_says():
    rng = np.random.default_rng(1)
    rates = rng.beta(0.6, 0.6, 30)
    shifted = np.clip(rates + rng.normal(0, 0.05, 30), 0, 1)
    truth, covered = float(np.mean(shifted - rates)), 0
    for _ in range(600):
        draws = rng.random((30, 16))
        difference, error = paired_effect(draws < rates[:, None], draws < shifted[:, None])
        covered += abs(difference - truth) <= 1.96 * error
    assert 0.92 <= covered / 600 <= 0.98


@pytest.mark.parametrize("judges", [(("klear",), ("strict",)), (("strict",), ("klear",))])
def test_protocols_with_one_judge_each_are_attributed_to_the_judge(engine: HFEngine, problems: Path, tmp_path: Path, judges: Any):
    files = [write(tmp_path / f"{name}.toml", protocol(judges=one)) for name, one in zip(("x", "y"), judges, strict=True)]
    entry = attributed(engine, tmp_path, problems, files)
    assert next(iter(entry["judges"])) == f"{judges[0][0]} → {judges[1][0]}" and set(entry["variants"]) == {FROM, "judge", TO}
    assert all(row["ci95"][0] < row["ci95"][1] for rows in entry["judges"].values() for row in rows)


def test_rare_changes_of_a_verdict_are_inside_the_interval():
    """With most draws nothing changes, and the interval must still reach the true share."""
    rng, covered = np.random.default_rng(2), 0
    for _ in range(400):
        before = (rng.random((30, 8)) < 0.5).astype(float)
        after = np.where(rng.random((30, 8)) < 0.003, 1 - before, before)
        difference, error = paired_effect(before, after)
        covered += abs(difference) <= 1.96 * error
    assert covered >= 380


def test_a_remainder_of_any_size_has_a_real_error():
    assert paired_effect(np.zeros((3, 1)), np.array([[2.0], [-2.0], [3.0]]))[1] > 0
    assert paired_effect(np.array([[1.0], [0.0], [1.0]]), np.array([[1.0], [0.0], [1.0]]), resampled=False) == (0.0, 0.0)
