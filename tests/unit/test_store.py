"""The sample store: a sample that is there is never made or written again."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.records import Generation, SampleKey, read_generations
from klear_repro.store import SampleStore


def key(index: int, **changed: str) -> SampleKey:
    base = {"model": "sft", "revision": "r", "benchmark": "mini-aime", "problem_id": "p0", "prompt_hash": "p", "sampling_hash": "s"}
    return SampleKey(**(base | changed), sample_index=index)


def row(index: int, text: str = "<think>\n</think>\nline two \u2028 é", **changed: str) -> Generation:
    return Generation(**key(index, **changed).model_dump(), text=text, token_count=3, finish_reason="stop", seed=index, seconds=0.5)


def test_stored_samples_are_not_missing_and_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "generations" / "mini-aime" / "sft.jsonl"
    keys = [key(index) for index in range(5)]
    with SampleStore(path) as store:
        assert store.missing(keys) == keys
        for index in (3, 0, 1):
            store.add(row(index))
        assert store.missing(keys) == [keys[2], keys[4]]
    with SampleStore(path) as store:
        assert store.missing(keys) == [keys[2], keys[4]]
        assert store.rows([keys[0], keys[3]]) == [row(0), row(3)]
        with pytest.raises(KeyError):
            store.rows(keys)


def test_a_sample_is_on_disk_the_moment_it_is_added(tmp_path: Path) -> None:
    with SampleStore(tmp_path / "sft.jsonl") as store:
        store.add(row(0))
        assert read_generations(tmp_path / "sft.jsonl")[0] == [row(0)]


def test_a_key_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    with SampleStore(tmp_path / "sft.jsonl") as store:
        store.add(row(0, "first"))
        before = (tmp_path / "sft.jsonl").read_bytes()
        store.add(row(0, "second"))
        assert (tmp_path / "sft.jsonl").read_bytes() == before
        assert store.rows([key(0)])[0].text == "first"


@pytest.mark.parametrize("part", ["model", "revision", "benchmark", "problem_id", "prompt_hash", "sampling_hash"])
def test_a_sample_of_any_other_key_does_not_count(tmp_path: Path, part: str) -> None:
    with SampleStore(tmp_path / "sft.jsonl") as store:
        store.add(row(0, **{part: "another"}))
        assert store.missing([key(0)]) == [key(0)]


def test_a_torn_line_is_set_aside_said_and_generated_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sft.jsonl"
    with SampleStore(path) as store:
        store.add(row(0))
        store.add(row(1))
    path.write_bytes(path.read_bytes()[:-30])
    with SampleStore(path) as store:
        assert "torn" in capsys.readouterr().err
        assert store.missing([key(0), key(1)]) == [key(1)]
        store.add(row(1))
    assert read_generations(path) == ([row(0), row(1)], [])


def test_a_corrupt_line_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sft.jsonl"
    path.write_text(row(0).model_dump_json() + "\nnonsense\n" + row(1).model_dump_json() + "\n")
    with SampleStore(path) as store:
        assert store.missing([key(0), key(1)]) == []
    assert "line 2" in capsys.readouterr().err
