"""Memory of a control group, attention heads over GPUs, what a terminal would obey, and numbers that are too long for a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import load_benchmark
from benchmarks.errors import BenchmarkError
from klear_repro.errors import UserError
from klear_repro.machine import free_memory
from klear_repro.preflight import check_heads
from klear_repro.progress import printable

GIB = 1 << 30


def test_contents_of_files_in_a_control_groups_memory_are_free_for_a_process(tmp_path: Path) -> None:
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: {256 << 20} kB\nMemAvailable: {200 << 20} kB\n")
    (group / "memory.max").write_text(f"{64 * GIB}\n")
    (group / "memory.current").write_text(f"{60 * GIB}\n")
    assert free_memory(tmp_path) == 4 * GIB
    (group / "memory.stat").write_text(f"anon {2 * GIB}\nactive_file {28 * GIB}\ninactive_file {30 * GIB}\n")
    assert free_memory(tmp_path) == 62 * GIB


@pytest.mark.parametrize(
    ("heads", "shared", "spread", "fits"), [(32, 8, 1, True), (32, 8, 8, True), (32, 8, 16, True), (32, 8, 3, False), (28, 4, 8, False)]
)
def test_heads_are_spread_evenly_or_refused(heads: int, shared: int, spread: int, fits: bool) -> None:
    config = {"num_attention_heads": heads, "num_key_value_heads": shared}
    if fits:
        return check_heads(config, spread, "m")
    with pytest.raises(UserError, match=f"eval.tensor_parallel={spread}: model m has {heads} attention heads"):
        check_heads(config, spread, "m")


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert printable("a\x1b[31mb\x07\x9bc – 中") == "a\\x1b[31mb\\x07\\x9bc – 中"


@pytest.mark.parametrize("text", ['{"problem": "x", "answer": %s}\n', '[{"problem": "x", "answer": %s}]'])
def test_a_number_of_thousands_of_digits_in_a_problem_file_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "aime24.jsonl"
    file.write_text(text % ("1" * 200_000))
    with pytest.raises(BenchmarkError, match=r"aime24\.jsonl"):
        load_benchmark("aime24", file)
