"""Tables for other programs, and the metadata of the Hub."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.protocols import load_protocol
from reports.blocks import Report, Section, table
from reports.exports import write_tables
from reports.render import write_report

Builder = Any
RELEASE = load_protocol("klear-release-64k").model_dump(mode="json")


def exported(tmp_path: Path, rows: list[list[str]]) -> tuple[list[list[str]], str]:
    report = Report("title", "", (), (Section("part", "Part", (table("A 90 % caption", ["name", "value"], [list(row) for row in rows]),)),))
    write_tables(report, tmp_path / "tables")
    with open(tmp_path / "tables" / "part-1-a-90-caption.csv", newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines)), (tmp_path / "tables" / "part-1-a-90-caption.tex").read_text()


def test_csv_has_plain_numbers_and_no_cell_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    cells = ["=HYPERLINK(1)", "+1.9", "−4.9", "@SUM(A1)", "-x", "a\u202eb", 'say "hi", you', "=1+1", " =1+1", "-2+3+cmd|' /C calc'!A0",
             "+1.5 to +2.5", "−1.9 (−3.0 to +0.2)", "+9.7 to +20.5, p < 0.001"]  # fmt: skip
    rows, _ = exported(tmp_path, [[cell, "1"] for cell in cells])
    assert rows[0] == ["name", "value"]
    assert [row[0] for row in rows[1:]] == [
        "'=HYPERLINK(1)", "+1.9", "-4.9", "'@SUM(A1)", "'-x", "a⟦U+202E⟧b", 'say "hi", you', "'=1+1", "' =1+1", "'-2+3+cmd|' /C calc'!A0",
        "+1.5 to +2.5", "-1.9 (-3.0 to +0.2)", "+9.7 to +20.5, p < 0.001",
    ]  # fmt: skip


def test_latex_escapes_what_it_would_act_on(tmp_path: Path) -> None:
    _, tex = exported(tmp_path, [[r"\input{/etc/passwd} $x_1^2$ & 100% #1 ~ {}", "−1.5"]])
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\_1\textasciicircum{}2\$ \& 100\% \#1 \textasciitilde{} \{\} & $-$1.5 \\" in tex
    assert r"\caption{A 90 \% caption}" in tex and r"\begin{tabular}{lr}" in tex
    assert tex.count(r"\\") == 2


def test_every_table_of_a_report_is_there_in_both_forms(smoke_page: Path) -> None:
    folder = smoke_page.parent / "tables"
    names = sorted(path.stem for path in folder.glob("*.csv"))
    assert names == sorted(path.stem for path in folder.glob("*.tex"))
    assert len(names) == smoke_page.read_text().count("<caption>")
    with open(folder / "scores-1-mini-aime.csv", newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    assert rows[0][:2] == ["model", "protocol"] and [row[0] for row in rows[1:3]] == ["sft", "rl-math"]


def test_a_stand_in_has_no_metadata_for_the_hub(smoke_page: Path) -> None:
    assert not (smoke_page.parent / "model-index.yml").exists()


def test_the_metadata_is_a_model_card_that_the_hub_reads(builder: Builder) -> None:
    hub = pytest.importorskip("huggingface_hub")
    builder.manifest |= {"stand_in": False, "model_note": "weights dequantised"}
    builder.measure("aime24", "Klear-Reasoner-8B", [64] * 20 + [32] * 10, 64, protocol=RELEASE, graders=("klear", "strict"))
    text = write_report(builder.write()).with_name("model-index.yml").read_text()
    card = hub.ModelCard(f"---\n{text}---\n# Model\n")
    results = card.data.eval_results
    assert [(one.metric_name, one.metric_value) for one in results] == [("avg@64 (klear judge)", 83.33), ("avg@64 (strict judge)", 83.33)]
    assert results[0].dataset_name == "AIME 2024" and card.data.model_name == "Klear-Reasoner-8B"
    arguments = results[0].metric_args
    assert arguments["protocol"] == "klear-release-64k" and arguments["note"] == "weights dequantised"
    low, high = arguments["ci95_same_problems"]
    assert low < 83.33 < high


def test_a_hostile_model_name_stays_a_string_in_the_metadata(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("mini-aime", "x", [1, 2])
    path = builder.path / "grades" / "mini-aime" / "x.parquet"
    assert path.is_file()
    builder.manifest["evaluations"][0]["protocol"] = "a: {b}\n- !!python/object:os.system [x]"
    text = write_report(builder.write()).with_name("model-index.yml").read_text()
    (entry,) = yaml.safe_load(text)["model-index"]
    assert entry["name"] == "x"
    protocol = entry["results"][0]["metrics"][0]["args"]["protocol"]
    assert re.fullmatch(r"a: \{b\}\s- !!python/object:os.system \[x\]", protocol)


def test_a_part_of_a_benchmark_is_not_the_benchmark_in_the_metadata(builder: Builder) -> None:
    hub = pytest.importorskip("huggingface_hub")
    builder.manifest |= {"stand_in": False}
    builder.measure("aime24", "Klear-Reasoner-8B", [64, 32, 0, 64], 64, protocol=RELEASE)
    text = write_report(builder.write()).with_name("model-index.yml").read_text()
    result, *_ = hub.ModelCard(f"---\n{text}---\n# Model\n").data.eval_results
    assert (result.dataset_name, result.dataset_type) == ("AIME 2024, 4 of 30 problems", "aime24, 4 of 30 problems")
    assert "only 4 of 30 problems" in result.metric_args["unfit"]
