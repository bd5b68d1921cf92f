"""Files that are not what they look like: other names for fields, the model's own answers, several models, and bombs."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from trace_rows import ROWS

from benchmarks import BenchmarkError, packed, parquet_files
from benchmarks.traces import files, read_traces


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(count: int, **more: Any) -> list[dict[str, Any]]:
    doubled = {f"What is {number} plus {number}?": 2 * number for number in range(count)}
    return [{"problem": problem, "answer": str(answer), "response": f"\\boxed{{{answer}}}", **more} for problem, answer in doubled.items()]


# --- fields under other names -----------------------------------------------------------------------


def test_the_user_says_which_fields_are_which(tmp_path: Path) -> None:
    row = {
        "text_in": "What is 6 times 7?", "right": {"value": "42"}, "answer": "41", "large": ["\\boxed{41}", "\\boxed{42}"],
        "response": "not this", "ok": [False, True], "why": ["length", "stop"], "used": [7, 9],
    }  # fmt: skip
    path = written(tmp_path / "x.jsonl", [row])
    named = {"problem": "text_in", "answer": "right.value", "response": "large", "correct": "ok", "finish_reason": "why", "tokens": "used"}
    traces = read_traces([path], fields=named).traces
    assert [(one.text, one.recorded, one.finish_reason, one.tokens) for one in traces] == [
        ("\\boxed{41}", False, "length", 7), ("\\boxed{42}", True, "stop", 9),
    ]  # fmt: skip
    assert {(one.problem.statement, one.problem.answer) for one in traces} == {("What is 6 times 7?", "42")}


def test_a_field_that_no_row_has_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", sums(3))
    with pytest.raises(BenchmarkError, match="traces.fields tokens=nothing: no row of it has that field"):
        read_traces([path], fields={"tokens": "nothing"})
    with pytest.raises(BenchmarkError, match="traces.format is klear"):
        read_traces([path], "klear", fields={"tokens": "nothing"})


def test_rows_with_a_response_under_an_unknown_name_are_told_what_to_pass(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"problem": "1 + 1?", "answer": "2", "raw_large": "2"}])
    with pytest.raises(BenchmarkError, match="--traces.fields response=FIELD"):
        read_traces([path])
    assert read_traces([path], fields={"response": "raw_large"}).traces[0].text == "2"


# --- the model's own answers ------------------------------------------------------------------------


def test_an_answer_that_wrong_responses_give_is_the_models_own(tmp_path: Path) -> None:
    rows = [row | {"correct": number % 2 == 0} for number, row in enumerate(sums(10))]
    with pytest.raises(BenchmarkError, match="model's own answer: 5 of 5 responses that the file calls wrong give it"):
        read_traces([written(tmp_path / "own.jsonl", rows)])
    assert len(read_traces([tmp_path / "own.jsonl"], fields={"answer": "answer"}).traces) == 10  # the user says that it is right
    named = [row | {"gold": "7"} for row in rows]
    assert {one.problem.answer for one in read_traces([written(tmp_path / "named.jsonl", named)]).traces} == {"7"}
    right = [row | ({} if row["correct"] else {"response": "\\boxed{-1}"}) for row in rows]
    found = read_traces([written(tmp_path / "right.jsonl", right)])
    assert len(found.traces) == 10 and found.files[0].answer_field == "answer"


def test_an_answer_that_is_not_the_official_one_is_the_models_own(shared: Path, tmp_path: Path) -> None:
    known = [json.loads(line) for line in (shared / "data" / "aime24.ai-mo.jsonl").read_text().splitlines()][:10]
    rows = [{"problem": row["problem"], "answer": "1", "response": "\\boxed{1}"} for row in known]
    assert len(read_traces([written(tmp_path / "known.jsonl", rows)]).traces) == 10  # judged against the key, whatever stands there
    with pytest.raises(BenchmarkError, match="it is not the official one for 10 of 10 known problems"):
        read_traces([written(tmp_path / "mixed.jsonl", [*rows, *sums(5)])])


# --- several models ---------------------------------------------------------------------------------


def test_rows_of_several_models_are_refused_until_one_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [*sums(4, model="org/a"), *sums(3, model="org/b")])
    with pytest.raises(BenchmarkError, match=r"several models.*org/a \(4\), org/b \(3\).*--traces.only"):
        read_traces([path])
    assert len(read_traces([path], only="org/b").traces) == 3
    with pytest.raises(BenchmarkError, match=r"traces.only='c': .*there are org/a, org/b"):
        read_traces([path], only="c")
    paths = [written(tmp_path / name / "y.jsonl", sums(2, model=name)) for name in ("one", "two")]
    with pytest.raises(BenchmarkError, match="several models"):
        read_traces(paths)


def test_folders_of_several_models_are_refused_and_further_samples_are_not(tmp_path: Path) -> None:
    for name in ("alpha-7b", "beta-1b"):
        written(tmp_path / "models" / name / "gsm8k" / "out.jsonl", [row | {"response": name} for row in sums(3)])
    with pytest.raises(BenchmarkError, match="alpha-7b/gsm8k, beta-1b/gsm8k"):
        read_traces([tmp_path / "models"])
    assert {one.text for one in read_traces([tmp_path / "models"], only="beta-1b").traces} == {"beta-1b"}
    for name in ("seed0", "seed_1", "2025-01-01T00-00-00", "20250101_120000", "3"):
        written(tmp_path / "samples" / name / "out.jsonl", [row | {"response": name} for row in sums(3)])
    assert len(read_traces([tmp_path / "samples"]).traces) == 15
    explicit = [tmp_path / "models" / name / "gsm8k" / "out.jsonl" for name in ("alpha-7b", "beta-1b")]
    assert len(read_traces(explicit).traces) == 6
    with zipfile.ZipFile(tmp_path / "models.zip", "w") as archive:
        for one in explicit:
            archive.write(one, one.relative_to(tmp_path))
    with pytest.raises(BenchmarkError, match="look like several models"):
        read_traces([tmp_path / "models.zip"])
    assert len(read_traces([tmp_path / "models.zip"], only="alpha-7b").traces) == 3


def test_folders_of_different_problems_are_one_model(tmp_path: Path) -> None:
    written(tmp_path / "aime" / "out.jsonl", sums(3))
    written(tmp_path / "gsm8k" / "out.jsonl", [{**row, "problem": row["problem"] + " Say it."} for row in sums(3)])
    assert len(read_traces([tmp_path]).traces) == 6


# --- zstd in zip, and bombs -------------------------------------------------------------------------


def zstd_zip(members: dict[str, bytes]) -> bytes:
    """A zip whose members are packed with zstd (method 93), as inspect_ai writes its logs, which `zipfile` cannot write before 3.14."""
    data, stored = io.BytesIO(), {}
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            stored[name] = zstandard.compress(content[: len(content) // 2]) + zstandard.compress(content[len(content) // 2 :])
            archive.writestr(name, stored[name])
    raw = bytearray(data.getvalue())
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = raw.find(signature)
        while at >= 0:
            struct.pack_into("<H", raw, at + method, 93)
            at = raw.find(signature, at + 4)
    return bytes(raw)


def test_a_log_of_todays_inspect_ai_is_read_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    sample = ROWS["inspect"][1]
    samples = {f"samples/{n}_epoch_1.json": json.dumps(sample | {"id": n, "input": f"{n} + 1?"}).encode() for n in range(5)}
    members = {"header.json": b"{}"} | samples
    (tmp_path / "x.eval").write_bytes(zstd_zip(members))
    assert len(read_traces([tmp_path / "x.eval"]).traces) == 5
    raw = bytearray((tmp_path / "x.eval").read_bytes())
    at = raw.find(b"samples/3_epoch_1.json") + len("samples/3_epoch_1.json")
    raw[at : at + 40] = bytes(40)
    (tmp_path / "y.eval").write_bytes(raw)
    with pytest.raises(BenchmarkError, match="y.eval: not a zip file that can be read"):
        read_traces([tmp_path / "y.eval"])


def test_a_small_file_does_not_take_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 1 << 22)
    text = "x" * (1 << 21)
    pq.write_table(pa.table({"problem": ["p"] * 50, "answer": ["1"] * 50, "response": [[text]] * 50}), tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 1 << 19
    with pytest.raises(BenchmarkError, match="x.parquet: more than 0 GiB of text"):
        read_traces([tmp_path / "x.parquet"])
    monkeypatch.setattr(files, "LARGEST_FILE", 1 << 30)
    monkeypatch.setattr(parquet_files, "LONGEST_ROW", 1 << 20)
    with pytest.raises(BenchmarkError, match="x.parquet, row 1: longer than"):
        read_traces([tmp_path / "x.parquet"])
    monkeypatch.setattr(files, "LARGEST_FILE", 1 << 22)
    row = json.dumps({"problem": "p", "answer": "1", "response": text})
    (tmp_path / "y.jsonl.zst").write_bytes(zstandard.compress((row + "\n").encode() * 50))
    with pytest.raises(BenchmarkError, match="y.jsonl.zst: more than 0 GiB of text"):
        read_traces([tmp_path / "y.jsonl.zst"])


def test_unpacking_zstd_makes_little_at_a_time() -> None:
    bomb = zstandard.compress(bytes(1 << 28))
    unpacked = packed._Unzstd(io.BytesIO(bomb))
    total = largest = 0
    target = bytearray(1 << 16)
    while count := unpacked.readinto(target):
        total, largest = total + count, max(largest, len(unpacked._rest))
    assert total == 1 << 28 and largest <= 1 << 25


