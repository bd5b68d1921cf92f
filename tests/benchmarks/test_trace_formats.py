"""Outputs of other programs: a row of every format, every packing, bad rows, bounds, and real files."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from trace_rows import ROWS, SAID, STATEMENT

from benchmarks import BENCHMARKS, BenchmarkError
from benchmarks.traces import files
from benchmarks.traces import read_traces as read_all
from benchmarks.traces.problems import file_benchmark


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_every_format_says_what_it_says(tmp_path: Path, name: str) -> None:
    """Texts, verdicts, ends and tokens; the problem is in no benchmark, so the row's own answer is the right one."""
    form, row = ROWS[name]
    path = written(tmp_path / "My outputs!.jsonl", [row])
    found = read_all([path])
    assert [file.format for file in found.files] == [form] and found.files[0].skipped == ()
    assert [(one.text, one.recorded, one.finish_reason, one.tokens) for one in found.traces] == SAID[name]
    assert {(one.problem.benchmark, one.problem.answer, one.problem.kind) for one in found.traces} == {("file-My-outputs", "57", "math")}
    assert len({one.problem.id for one in found.traces}) == 1 and len({one.sample_index for one in found.traces}) == len(found.traces)


@pytest.mark.parametrize(
    "packing", ["lines", "array", "indented", "bom", "utf-16", "gz", "zst", "zip", "folder", "parquet", "document", "log"]
)
def test_every_packing_gives_the_same_responses(tmp_path: Path, packing: str) -> None:
    rows = [ROWS["inspect"][1] | {"id": number, "input": f"{STATEMENT} ({number}) é"} for number in range(12)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    name = {
        "gz": "x.jsonl.gz",
        "zst": "x.jsonl.zst",
        "zip": "x.zip",
        "parquet": "x.parquet",
        "log": "x.eval",
        "array": "x.json",
        "indented": "x.json",
        "document": "x.json",
    }
    path = tmp_path / "in" / name.get(packing, "x.jsonl")
    path.parent.mkdir()
    if packing == "gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif packing == "zst":  # in two frames
        half = len(lines) // 2
        path.write_bytes(b"".join(zstandard.compress(part.encode()) for part in (lines[:half], lines[half:])))
    elif packing in ("zip", "log"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            members = {f"samples/{row['id']}_epoch_1.json": json.dumps(row) for row in rows} | {"header.json": "{}"}
            for member, text in (members if packing == "log" else {"../../x.jsonl": lines, "notes.txt": "x"}).items():
                archive.writestr(member, text)
    elif packing == "parquet":
        pq.write_table(pa.Table.from_pylist([{**row, "scores": {"match": {"value": "C"}}, "id": str(row["id"])} for row in rows]), path)
    elif packing == "folder":
        path.write_text(lines.split("\n", 6)[6])
        (path.parent / "a.jsonl").write_text("\n".join(lines.split("\n", 6)[:6]))
        (path.parent / "results.json").write_text('{"accuracy": 1}')
        (path.parent / ".hidden.jsonl").write_text("nonsense")
    else:
        texts = {
            "lines": lines,
            "bom": "\ufeff" + lines,
            "utf-16": lines,
            "array": json.dumps(rows),
            "indented": json.dumps(rows, indent=1),
        }
        texts["document"] = json.dumps({"version": 2, "eval": {}, "samples": rows}, indent=2)
        path.write_text(texts[packing], encoding="utf-16" if packing == "utf-16" else "utf-8")
    found = read_all([path.parent if packing == "folder" else path])
    assert [trace.problem.statement for trace in found.traces] == [row["input"] for row in rows]
    assert {trace.text for trace in found.traces} == {"<think>\nhm\n</think>\n\n57"} and {trace.recorded for trace in found.traces} == {
        True
    }
    assert found.left_out == (["results.json"] if packing == "folder" else [])


@pytest.mark.parametrize(
    "nest",
    [
        lambda rows: {"samples": {"task": rows}}, lambda rows: {"results": {"AIME24": {"examples": rows}}, "config": {"a": [1]}},
        lambda rows: {str(number): row for number, row in enumerate(rows)}, lambda rows: rows[0] | {"N": 1},
    ],
)  # fmt: skip
def test_rows_are_found_inside_a_document(tmp_path: Path, nest: Any) -> None:
    row = {"problem": STATEMENT, "answer": "57", "model_outputs": ["57", "56"]}
    (tmp_path / "x.json").write_text(json.dumps(nest([row, row]), indent=2))
    assert [trace.text for trace in read_all([tmp_path / "x.json"]).traces] in (["57", "56"], ["57", "56"] * 2)


def test_samples_of_several_files_are_counted_through_in_natural_order(tmp_path: Path) -> None:
    row = ROWS["nemo"][1]
    for number in (0, 1, 2, 10):
        written(tmp_path / f"output-rs{number}.jsonl", [{**row, "generation": f"rs{number}"}])
    found = read_all([tmp_path])
    assert [(trace.text, trace.sample_index) for trace in found.traces] == [("rs0", 0), ("rs1", 1), ("rs2", 2), ("rs10", 3)]
    assert {trace.problem.benchmark for trace in found.traces} == {"file-output"}


def test_rows_say_which_sample_they_are_and_the_same_one_twice_is_skipped(tmp_path: Path) -> None:
    row = {"problem": STATEMENT, "answer": "57"}
    rows = [
        {**row, "response": text, "sample": sample}
        for text, sample in (("b", 1), ("a", 0), ("again", 1), ("d", "3"), ("e", -1), ("f", 0.5))
    ]
    found = read_all([written(tmp_path / "x.jsonl", rows)], max_skipped=0.5)
    assert {trace.text: trace.sample_index for trace in found.traces} == {"b": 1, "a": 0, "d": 3, "e": 4, "f": 5}
    assert [str(skip) for skip in found.files[0].skipped] == ["x.jsonl, line 3: sample 1 of its problem is there twice"]


def test_one_bad_row_of_every_kind_stops_no_file(tmp_path: Path) -> None:
    good = json.dumps({"problem": STATEMENT, "answer": "57", "response": "57"})
    bad = [
        "nonsense", "[1, 2]", '"text"', "null", '{"problem": "x", "response": ', "[" * 100_000, '{"problem": "x", "response": "y"}',
        '{"problem": "x"}', '{"problem": "x", "answer": "1", "response": 5}', '{"a": 1}', '{"id": ' + "9" * 5000 + "}",
        '{"problem": "x", "answer": "1", "response": []}',
    ]  # fmt: skip
    for row in bad:
        (tmp_path / "x.jsonl").write_bytes(b"\n".join([good.encode()] * 3 + [row.encode()] + [good.encode()] * 2))
        found = read_all([tmp_path / "x.jsonl"])
        assert len(found.traces) == 5 and len(found.files[0].skipped) == 1, row[:40]
        assert found.files[0].skipped[0].place == "x.jsonl, line 4"
    (tmp_path / "x.jsonl").write_bytes(good.encode() + b"\n\xff\xfe\xfa\n" + good.encode())
    assert "not UTF-8" in str(read_all([tmp_path / "x.jsonl"]).files[0].skipped[0])


def test_values_that_make_no_sense_are_taken_for_absent(tmp_path: Path) -> None:
    fields = '"response": "a\\ud800b", "correct": NaN, "tokens": 1e400, "finish_reason": 7, "sample": -3'
    text = '{"problem": "%s", "problem": "%s", "answer": 57, ' + fields + "}"
    (tmp_path / "x.jsonl").write_text(text % ("first", STATEMENT))
    (trace,) = read_all([tmp_path / "x.jsonl"]).traces
    assert (trace.text, trace.recorded, trace.tokens, trace.finish_reason, trace.sample_index) == ("a?b", None, 0, None, 0)
    assert trace.problem.statement == STATEMENT  # as every reader of JSON does, the last of two equal keys counts


def test_what_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = json.dumps({"problem": STATEMENT, "answer": "57", "response": "57"}).encode() + b"\n"
    monkeypatch.setattr(files, "LONGEST_ROW", 1000)
    (tmp_path / "x.jsonl").write_bytes(good * 4 + b'{"problem": "' + b"x" * 5000 + b'"}\n' + good)
    found = read_all([tmp_path / "x.jsonl"])
    assert len(found.traces) == 5 and str(found.files[0].skipped[0]) == "x.jsonl, line 5: longer than 1000 bytes"
    monkeypatch.setattr(files, "LARGEST_FILE", 1 << 16)
    bombs = {"a.jsonl.gz": gzip.compress(good * 1_000), "b.jsonl.gz": gzip.compress(b" " * (1 << 18))}
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.jsonl", good * 1_000)
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
    for name in (*bombs, "c.zip"):
        with pytest.raises(BenchmarkError, match="more than 0 GiB of text; split the file|is empty"):
            read_all([tmp_path / name])
    monkeypatch.setattr(files, "MOST_LINES", 50)
    with pytest.raises(BenchmarkError, match="more than 50 lines"):
        read_all([written(tmp_path / "many.jsonl", [json.loads(good)] * 60)])


def test_a_broken_array_gz_or_log_is_refused_with_its_place(tmp_path: Path) -> None:
    row = json.dumps({"problem": STATEMENT, "answer": "57", "response": "57"})
    (tmp_path / "a.json").write_text(f"[{row}, {row}, {{]")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(row.encode() * 50)[:-12])
    (tmp_path / "c.jsonl").write_bytes(b"\x28\xb5\x2f\xfd0000")
    (tmp_path / "d.jsonl.zst").write_bytes(zstandard.compress(row.encode() * 50)[:-5])
    (tmp_path / "e.jsonl").write_bytes(b"\xfd7zXZ\0000")
    for name, reason in (
        ("a.json", "a.json, row 3: not JSON"),
        ("b.jsonl.gz", "not a gzip file that can be read"),
        ("c.jsonl", "not a zstd file that can be read"),
        ("d.jsonl.zst", "d.jsonl.zst: not a zstd file that can be read \\(it ends before its end\\)"),
        ("e.jsonl", "packed with xz"),
    ):
        with pytest.raises(BenchmarkError, match=reason) as caught:
            read_all([tmp_path / name])
        assert "\n" not in str(caught.value)


def test_a_folder_of_two_formats_is_refused_and_reviews_stand_for_predictions(tmp_path: Path) -> None:
    for kind, name in (("predictions", "evalscope prediction"), ("reviews", "evalscope review")):
        (tmp_path / "e" / kind).mkdir(parents=True)
        written(tmp_path / "e" / kind / "x.jsonl", [ROWS[name][1]])
    found = read_all([tmp_path / "e"])
    assert [trace.recorded for trace in found.traces] == [True] and found.left_out == ["x.jsonl"]
    written(tmp_path / "e" / "y.jsonl", [ROWS["nemo"][1]])
    with pytest.raises(BenchmarkError, match="files of several formats: .*evalscope .*nemo-skills|nemo-skills .*evalscope"):
        read_all([tmp_path / "e"])


def test_an_id_finds_its_problem_where_there_is_no_statement(shared: Path, tmp_path: Path) -> None:
    found = read_all([written(tmp_path / "x.jsonl", [{"id": "2024-II-3", "response": "x"}, {"id": "3", "answer": "1", "response": "y"}])])
    assert [(trace.problem.benchmark, trace.problem.answer) for trace in found.traces] == [("aime24", "45"), ("file-x", "1")]


@pytest.mark.parametrize(
    ("name", "benchmark"),
    [
        ("aime24.jsonl", "file-aime24"), ("..jsonl", "file-traces"), ("a b/c.jsonl.gz", "file-c"), ("output-rs12.jsonl", "file-output"),
        ("../../etc/passwd", "file-passwd"), ("täst\n.json", "file-t-st"), ("x_chunk_3.jsonl", "file-x"),
        ("2026-11-28T04-36-13-00-00_my-task_DiFVo7YbN9DNirrESszBdL.eval", "file-my-task"),
        ("samples_aime_2025-01-15T14-43-47.148527.jsonl", "file-samples_aime"),
        ("details_x|0_2025-11-05T14-43-47.1485.parquet", "file-details_x-0"),
        ("x-rs0-chunk-1.jsonl", "file-x"),
    ],
)  # fmt: skip
def test_the_benchmark_of_a_file_has_a_safe_name_that_is_no_other_benchmarks(name: str, benchmark: str) -> None:
    assert file_benchmark(Path("x.zip"), name) == benchmark and benchmark not in BENCHMARKS
    assert len(file_benchmark(Path("x" * 250 + ".jsonl"))) < 100


def test_the_same_problem_has_the_same_id_in_every_file(tmp_path: Path) -> None:
    one = read_all([written(tmp_path / "a.jsonl", [ROWS["generic"][1]])]).traces[0].problem
    two = read_all([written(tmp_path / "b.jsonl", [ROWS["limo"][1]])]).traces[0].problem
    other = read_all([written(tmp_path / "c.jsonl", [{**ROWS["limo"][1], "gold_answer": "58"}])]).traces[0].problem
    assert one.id == two.id != other.id


@pytest.mark.parametrize(
    "name", ["traces_tora_gsm8k.jsonl", "traces_nemo_output-rs0.jsonl", "math_cot_real_outputs.jsonl", "traces_skythought_aime24.jsonl"]
)
def test_real_outputs_are_read_whole(shared: Path, name: str) -> None:
    path = shared / "data" / name
    found = read_all([path])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    expected = [text for row in rows for text in (row["code"] if isinstance(row.get("code"), list) else [row["generation"]])]
    assert [trace.text for trace in found.traces] == expected and found.files[0].skipped == ()
    recorded = [one for row in rows for one in row.get("score", [row.get("symbolic_correct")] * len(row.get("code", [0])))]
    assert [trace.recorded for trace in found.traces] == recorded


@pytest.mark.parametrize("name", ["aime24.ai-mo.jsonl", "aime24.qs.jsonl", "aime24.qwq.jsonl", "human_eval.jsonl", "lcb_v1_sample.jsonl"])
def test_problem_sets_are_refused_in_one_line(shared: Path, name: str) -> None:
    with pytest.raises(BenchmarkError, match="no response") as caught:
        read_all([shared / "data" / name])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
