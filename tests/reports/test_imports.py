"""What a report says of responses that were generated elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reports.against_published import comparable, comparisons
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
