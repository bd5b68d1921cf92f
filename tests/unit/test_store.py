"""The sample store: a sample that is there is never made or written again."""

from __future__ import annotations

import random
import subprocess
import sys
import time
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


def test_a_corrupt_line_is_quarantined_said_and_its_sample_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sft.jsonl"
    path.write_text(row(0).model_dump_json() + "\nnonsense\n" + row(1).model_dump_json() + "\n")
    with SampleStore(path) as store:
        assert store.missing([key(0), key(1), key(2)]) == [key(2)]
        store.add(row(2))
    assert "moved to sft.jsonl.quarantine" in capsys.readouterr().err
    assert (tmp_path / "sft.jsonl.quarantine").read_text() == "nonsense\n"
    assert read_generations(path) == ([row(0), row(1), row(2)], [])
    with SampleStore(path):
        assert capsys.readouterr().err == ""


def test_samples_of_another_process_are_seen_and_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "sft.jsonl"
    with SampleStore(path) as one, SampleStore(path) as other:
        assert one.add(row(0, "first"))
        assert not other.add(row(0, "second"))
        assert other.rows([key(0)])[0].text == "first"
        assert other.add(row(1)) and one.missing([key(0), key(1), key(2)]) == [key(2)]
    assert [found.sample_index for found in read_generations(path)[0]] == [0, 1]


def test_a_line_that_a_killed_process_left_half_written_spoils_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sft.jsonl"
    with SampleStore(path) as store:
        store.add(row(0))
        with open(path, "ab") as killed:
            killed.write(row(1).model_dump_json().encode()[:40])
        store.add(row(2))
    assert capsys.readouterr().err.count("moved to") == 1
    assert [found.sample_index for found in read_generations(path)[0]] == [0, 2]


FILL = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {here!r}]
from test_store import key, row
from klear_repro.store import SampleStore
wanted = list(range(300))
wanted = wanted if sys.argv[2] == "0" else wanted[::-1]
with SampleStore(Path(sys.argv[1])) as store:
    for index in wanted:
        if store.missing([key(index)]):
            store.add(row(index, "x" * 20_000))
"""


def test_two_processes_that_are_killed_and_started_again_fill_one_store_without_a_double(tmp_path: Path) -> None:
    path, here = tmp_path / "sft.jsonl", Path(__file__).parent
    code = FILL.format(root=str(here.parents[1]), here=str(here))

    def begin(which: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code, str(path), str(which)], stderr=subprocess.DEVNULL)

    rng = random.Random(0)
    running = [begin(0), begin(1)]
    kills = 0
    while kills < 6:
        time.sleep(rng.uniform(0.3, 1.2))
        which = rng.randrange(2)
        running[which].kill()
        running[which].wait()
        running[which] = begin(which)
        kills += 1
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    rows, left_out = read_generations(path)
    assert not left_out and len(rows) == 300 == len(lines)
    assert {found.sample_index for found in rows} == set(range(300))


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_whatever_is_cut_off_the_file_only_the_last_sample_is_lost(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "sft.jsonl"
    with SampleStore(path) as store:
        for index in range(3):
            store.add(row(index))
    path.write_bytes(path.read_bytes()[:-cut])
    with SampleStore(path) as store:
        assert store.missing([key(0), key(1), key(2)]) == [key(2)]
