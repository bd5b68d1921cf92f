"""The published numbers, typed and complete."""

from __future__ import annotations

from benchmarks.protocols import protocol_names
from benchmarks.published import contradictions, find_scores, published_scores


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
