"""What a report says of responses that were generated elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reports.against_published import comparable, comparisons
from reports.cautions import cautions
from reports.imports import import_paragraphs
from reports.load import load_run
from reports.render import write_report

Builder = Any
FILE = {"name": "out.jsonl", "format": "qwen-math", "rows": 120, "sha256": "ab" * 32, "skipped": 2, "released": ""}


def lead(builder: Builder) -> str:
    return write_report(builder.write()).with_name("report.md").read_text().partition("\n## ")[0]


def test_the_lead_names_file_hash_and_whose_word_the_protocol_is(builder: Builder) -> None:
    builder.manifest |= {"stand_in": False, "imports": [{"model": "Org/Model", "protocol": "klear-release-64k", "files": [FILE]}]}
    said = lead(builder).replace("\\_", "_")
    assert f"Org/Model were generated elsewhere and imported from out.jsonl (qwen-math, 120 responses, SHA-256 {'ab' * 32})." in said
    assert "klear-release-64k is the importer's word: nothing in the files shows it. 2 rows could not be used and are left out." in said


def test_an_import_without_a_protocol_says_so(builder: Builder) -> None:
    builder.manifest |= {"stand_in": False, "imports": [{"model": "m", "protocol": "", "files": [FILE] * 6}]}
    said = lead(builder)
    assert "Nobody said under which protocol: sampling and token budget are unknown. 12 rows" in said
    assert "and 2 more, which manifest.json names" in said


def test_a_damaged_list_of_imports_is_no_error(builder: Builder) -> None:
    for damaged in (3, [3, None], [{"files": 3}], [{"model": {"a": 1}, "files": [{"sha256": None, "skipped": "x"}, 4]}], {"model": "m"}):
        builder.manifest["imports"] = damaged
        assert all(one.text for one in import_paragraphs(load_run(builder.write())))


def test_a_benchmark_of_a_file_is_never_compared_even_where_a_users_numbers_have_its_name(builder: Builder, tmp_path: Path) -> None:
    row = '[[score]]\nmodel = "m"\nbenchmark = "file-x"\nscore = 61.5\nsamples = 4\nlength = "64K"\nmeasured_by = "model"\nsource = "us"\n'
    (tmp_path / "own.toml").write_text("[benchmark.file-x]\nproblems = 3\nmargin = 3.0\n" + row)
    builder.manifest["stand_in"] = False
    builder.measure("file-x", "m", [1, 2, 3], 4)
    run = load_run(builder.write(), [tmp_path / "own.toml"])
    assert not comparable(run, run.measurements[0]) and comparisons(run) == []


def test_a_file_with_lcb_in_its_name_holds_no_programs_for_that(builder: Builder) -> None:
    builder.measure("file-lcb-maths", "m", [1, 2, 3], 4)
    assert not load_run(builder.write()).measurements[0].is_code


def imported(builder: Builder, benchmark: str, **counts: int) -> None:
    """Twelve imported responses of `m`, and what the manifest counts of them."""
    builder.manifest["stand_in"] = False
    builder.measure(benchmark, "m", [1, 2, 3], 4)
    builder.manifest["evaluations"][-1] |= {"engine": "imported", "samples": 12, **counts}
    names = [one["benchmark"] for one in builder.manifest["evaluations"]]
    builder.manifest["imports"] = [{"model": "m", "benchmarks": names, "protocol": "", "files": [FILE]}]


def test_a_file_without_verdicts_of_its_own_says_so(builder: Builder) -> None:
    imported(builder, "aime24", recorded=0)
    said = lead(builder)
    assert "The file carries no verdicts of its own, so nothing here can be compared with the judge recorded." in said
    builder.manifest["imports"][0]["files"] = [FILE, FILE]
    assert "The files carry no verdicts of their own, so" in lead(builder)


def test_a_file_with_some_verdicts_says_how_many(builder: Builder) -> None:
    imported(builder, "aime24", recorded=4)
    imported(builder, "aime25", recorded=12)
    said = lead(builder)
    assert "Only 16 of 24 responses have a verdict of the file's own: the judge recorded is of those alone." in said


def test_nothing_is_said_of_verdicts_where_every_answer_has_one_or_nobody_knows(builder: Builder) -> None:
    imported(builder, "aime24", recorded=11, failed=1)
    assert "verdict" not in lead(builder)
    del builder.manifest["evaluations"][0]["recorded"]
    assert "verdict" not in lead(builder)


def test_responses_that_a_tool_worked_on_are_said_in_the_lead_and_in_a_comparison(builder: Builder) -> None:
    imported(builder, "aime24", recorded=12, tools=12)
    imported(builder, "aime25", recorded=12, tools=0)
    why = "contain executed code with its output, or calls of a tool: 12 of 12 on aime24. A score with tools is no comparison"
    assert f"Responses of m {why}" in lead(builder)
    assert any(f"Responses of m {why}" in one for one in cautions(load_run(builder.path)))


def test_one_response_in_a_hundred_with_a_program_and_its_output_is_no_note(builder: Builder) -> None:
    imported(builder, "aime24", recorded=12)
    for tools, noted in ((1, False), (4, False), (5, True)):
        builder.manifest["evaluations"][0] |= {"samples": 100, "tools": tools}
        assert ("executed code" in lead(builder)) is noted
