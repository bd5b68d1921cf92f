"""The published numbers, typed and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.protocols import protocol_names
from benchmarks.published import contradictions, find_scores, load_published, published_scores


def test_table_one_has_eleven_rows_of_five_benchmarks() -> None:
    rows = [row for row in published_scores() if row.source == "P Table 1"]
    assert len(rows) == 55
    assert sum(row.measured_by == "paper" for row in rows) == 9
    assert {(row.benchmark, row.samples) for row in rows} == {
        ("aime24", 64), ("aime25", 64), ("hmmt25", 64), ("lcb_v5", 8), ("lcb_v6", 8),
    }  # fmt: skip


def test_the_claim_and_the_independent_measurement_are_both_there() -> None:
    found = find_scores("aime24", "Suu/Klear-Reasoner-8B", length="64K")
    assert [(row.score, row.measured_by) for row in found] == [(90.5, "model"), (85.6, "independent")]
    independent = {(row.benchmark, row.length): row.score for row in find_scores(measured_by="independent")}
    assert independent == {
        ("aime24", "64K"): 85.6, ("aime25", "64K"): 81.0, ("aime24", "32K"): 81.3, ("aime25", "32K"): 76.9,
    }  # fmt: skip


def test_the_contradiction_is_recorded_and_the_table_value_used() -> None:
    (contradiction,) = contradictions()
    assert contradiction.scores == (55.4, 58.1)
    (row,) = find_scores("lcb_v6", "Klear-Reasoner-8B", "64K")
    assert row.score == contradiction.used == 58.1


def test_every_named_protocol_exists_and_unknown_models_find_nothing() -> None:
    assert {row.protocol for row in published_scores()} - {None} <= set(protocol_names())
    assert find_scores("aime24", "someone/else") == []


ROW = """
[[score]]
model = "mine/Klear-Reasoner-8B"
benchmark = "aime24"
score = 88.0
samples = 32
length = "64K"
measured_by = "independent"
source = "a lab's own"
protocol = "klear-issue2-64k"
"""


def test_a_users_own_rows_come_first_and_take_the_place_of_the_same_measurement(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for row in (ROW, ROW.replace("mine/", "")):  # the Hub organisation counts nowhere
        file.write_text(row)
        found = load_published([file]).find("aime24", "Klear-Reasoner-8B", "64K")
        assert [(row.score, row.measured_by) for row in found] == [(88.0, "independent"), (90.5, "model")]
    file.write_text(ROW.replace("klear-issue2-64k", "klear-release-64k"))
    found = load_published([file]).find("aime24", "Klear-Reasoner-8B", "64K")
    assert [row.score for row in found] == [88.0, 90.5, 85.6]


def test_a_users_own_benchmark_comes_with_its_size_and_margin(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(ROW.replace("aime24", "ours") + "[benchmark.ours]\nproblems = 50\nmargin = 3.0\n")
    table = load_published([file])
    assert table.targets["ours"].margin == 3.0 and table.targets["aime24"].problems == 30


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ROW.replace("88.0", "880"), "score.0.score: Input should be less than or equal to 100, got 880"),
        (ROW.replace("64K", "long"), "score.0.length"),
        (ROW.replace("source", "sauce"), "score.0."),
        (ROW.replace("aime24", "ours"), "no [benchmark.ours]"),
        ('[[contradiction]]\nmodel = "m"\nbenchmark = "b"\nlength = "1K"\nscores = [1, 2]\nwhere = ["x"]\nused = 1\n', "1 places"),
        ("[[score]", "not TOML"),
        ("score = 3", "score: "),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_field(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(BenchmarkError) as error:
        load_published([file])
    assert said in str(error.value) and str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="cannot be read"):
        load_published([tmp_path / "none.toml"])
