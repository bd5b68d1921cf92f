"""Traces of other programs: every format, rows matched by statement, and whatever is wrong named and refused."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import BenchmarkError, load_benchmark
from benchmarks.protocols import load_protocol
from benchmarks.traces import FORMATS, Format, Trace, extractions
from benchmarks.traces import read_traces as read_all
from benchmarks.traces.files import file_hashes


def read_traces(path: Path, form: Any = "auto", benchmarks: Any = ()) -> list[Trace]:
    return read_all([path], form, benchmarks).traces


def find_format(path: Path) -> Format:
    return read_all([path]).files[0].format


def released_rows(shared: Path, name: str, repeats: int = 1) -> list[dict[str, Any]]:
    """Rows as the released script writes them: the input row goes into `meta` whole, so `meta` is nested twice."""
    inputs = [json.loads(line) for line in (shared / "data" / f"{name}.qs.jsonl").read_text().splitlines()] * repeats
    return [
        {"id": place, "meta": row, "messages": [*row["messages"], {"role": "assistant", "content": f"response {place}"}]}
        for place, row in enumerate(inputs)
    ]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_released_format_is_read_with_its_error_rows(shared: Path, tmp_path: Path) -> None:
    rows = released_rows(shared, "aime24", 3)
    rows[40] = {**rows[40], "messages": rows[40]["messages"][:1], "error": "CUDA out of memory"}
    path = written(tmp_path / "aime24_inference_avg64.jsonl", rows)
    assert find_format(path) == "klear"
    traces = read_traces(path, "klear")
    assert {trace.problem.benchmark for trace in traces} == {"aime24"} and len({trace.problem.id for trace in traces}) == 30
    assert [trace.sample_index for trace in traces] == [0] * 30 + [1] * 30 + [2] * 30
    failed = [trace for trace in traces if trace.error is not None]
    assert [trace.text for trace in failed] == [rows[40]["messages"][0]["content"]] and failed[0].error == "CUDA out of memory"
    official = {problem.id: problem.answer for problem in load_benchmark("aime24", shared / "data")}
    assert all(trace.problem.answer == official[trace.problem.id] for trace in traces)


def test_a_zip_with_one_trace_file_is_read_like_the_file(shared: Path, tmp_path: Path) -> None:
    plain = written(tmp_path / "aime25_inference_avg64.jsonl", released_rows(shared, "aime25"))
    with zipfile.ZipFile(tmp_path / "traces.jsonl.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, plain.name)
        archive.writestr("__MACOSX/._x.jsonl", "{}")
    packed = tmp_path / "traces.jsonl.zip"
    assert find_format(packed) == "klear"
    assert read_traces(packed, "klear") == read_traces(plain, "klear")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(BenchmarkError, match="zip"):
        read_traces(tmp_path / "broken.zip", "klear")


def test_hmmt_rows_without_an_inner_meta_are_matched_too(shared: Path, tmp_path: Path) -> None:
    inputs = [json.loads(line) for line in (shared / "data" / "HMMT-202502.jsonl").read_text().splitlines()]
    answer = {"role": "assistant", "content": ["text"]}
    rows = [{"id": place, "meta": row, "messages": [*row["messages"], answer]} for place, row in enumerate(inputs)]
    traces = read_traces(written(tmp_path / "h.jsonl", rows), "klear")
    assert {trace.problem.benchmark for trace in traces} == {"hmmt25"} and len(traces) == 30
    assert {trace.text for trace in traces} == {"text"}


@pytest.mark.parametrize("prompt", ["lighteval", "lm-eval", "boxed", "bare"])
@pytest.mark.parametrize("benchmark", ["aime24", "hmmt25"])
def test_lighteval_details_are_matched_through_the_prompts_of_harnesses(shared: Path, tmp_path: Path, prompt: str, benchmark: str) -> None:
    from benchmarks.protocols import Prompt

    made = Prompt.model_validate(prompt)
    problems = load_benchmark(benchmark, shared / "data")
    rows = [
        {"doc": {"query": made.user_message(problem.statement), "choices": [problem.answer], "id": str(place)},
         "model_response": {"text": ["one", "two"]}, "metric": {"avg@n:n=2": 0.5}}
        for place, problem in enumerate(problems)
    ]  # fmt: skip
    path = tmp_path / "details_lighteval|x|0_2025.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert find_format(path) == "lighteval"
    traces = read_traces(path, "lighteval")
    assert [trace.problem.id for trace in traces] == [problem.id for problem in problems for _ in range(2)]
    assert [trace.text for trace in traces[:2]] == ["one", "two"] and traces[0].recorded is None
    assert load_protocol("lighteval").prompt.user == Prompt.model_validate("lighteval").user


def test_the_single_verdict_of_a_lighteval_row_is_kept(shared: Path, tmp_path: Path) -> None:
    problem = load_benchmark("aime24", shared / "data")[0]
    row = {"doc": {"query": problem.statement}, "model_response": {"text": ["x"]}, "metric": {"pass@k": 1.0}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "d.parquet")
    assert [trace.recorded for trace in read_traces(tmp_path / "d.parquet", "lighteval")] == [True]


def test_lm_eval_rows_of_further_filters_are_not_counted_again(shared: Path, tmp_path: Path) -> None:
    problem = load_benchmark("aime24", shared / "data")[0]
    row = {"doc_id": 0, "doc": {"Problem": problem.statement, "Answer": 1}, "resps": [["a"]], "metrics": ["exact_match"], "exact_match": 0}
    path = written(tmp_path / "samples_aime24_x.jsonl", [{**row, "filter": "strict"}, {**row, "filter": "flexible", "exact_match": 1}])
    assert find_format(path) == "lm-eval"
    assert [(trace.text, trace.recorded) for trace in read_traces(path, "lm-eval")] == [("a", False)]


def test_the_official_livecodebench_outputs_give_the_published_score_and_all_extractions(shared: Path) -> None:
    path = shared / "data" / "lcb_o1_mini_eval_all.json"
    assert find_format(path) == "lcb"
    traces = read_traces(path, "lcb")
    assert extractions(traces) == (880, 880)
    window = [trace for trace in traces if trace.problem.benchmark == "lcb_v5"]
    assert len({trace.problem.id for trace in window}) == 279 == len(window)
    assert round(sum(bool(trace.recorded) for trace in window) / 279, 4) == 0.5197


def test_a_row_of_no_known_problem_is_skipped_and_named_and_too_many_refuse_the_file(shared: Path, tmp_path: Path) -> None:
    rows = released_rows(shared, "aime24")
    rows[7] = {"id": 7, "messages": [{"role": "user", "content": "What is the airspeed of a swallow?"}, rows[7]["messages"][1]]}
    found = read_all([written(tmp_path / "t.jsonl", rows)])
    assert len(found.traces) == 29 and len(found.files[0].skipped) == 1
    assert str(found.files[0].skipped[0]).startswith("t.jsonl, line 8: not a problem of aime24, aime25")
    with pytest.raises(BenchmarkError, match=r"2 of 9 rows .*max_skipped=0 allows: t2.jsonl, line 8: not a problem of") as caught:
        read_all([written(tmp_path / "t2.jsonl", [*rows[:8], rows[7]])], max_skipped=0.0)
    assert "\n" not in str(caught.value)


def test_rows_of_a_benchmark_that_was_not_asked_for_are_left_out_and_counted(shared: Path, tmp_path: Path) -> None:
    both = [*released_rows(shared, "aime24"), *released_rows(shared, "aime25")]
    found = read_all([written(tmp_path / "t.jsonl", both)], benchmarks=["aime25"])
    assert {trace.problem.benchmark for trace in found.traces} == {"aime25"} and found.files[0].elsewhere == {"aime24": 30}
    with pytest.raises(BenchmarkError, match="no response to a problem of aime25; there are 30 of aime24"):
        read_traces(written(tmp_path / "u.jsonl", released_rows(shared, "aime24")), "klear", ["aime25"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("nonsense\n", "line 1: not JSON"),
        ("[1]\n", "expected a JSON object"),
        ("[1]\n[2]\n", "line 1: expected a JSON object, got list"),
        ('{"a": 1}\n', "none of the formats"),
        ("[" * 100_000 + "\n", "nested too deeply|not JSON"),
        ('{"a": ' * 100_000 + "\n", "nested too deeply|not JSON"),
        ('{"id": ' + "1" * 5000 + "}\n", "not JSON|none of the formats"),  # by how many digits Python reads, which any library may set
        ('[{"id": 1}, {"id":', "row 2: not JSON"),
        ('{"messages": []}\n', "a list of messages is expected"),
        ('{"messages": [{"role": "user", "content": "x"}]}\n', "there is no error"),
        ('{"messages": [{"role": "assistant", "content": 3}]}\n', "a message without text"),
        ('{"doc": {}, "resps": [[3]]}\n', "a int where text is expected"),
        ('{"problem": "x", "answer": "1"}\n', "have no response under a known name"),
        ('{"problem": "x", "answer": "1", "response": 3}\n', "a int where the text of a response is expected"),
        ('{"problem": "x", "response": "y"}\n', "no answer beside it"),
        ('{"response": "y", "answer": "1", "id": null}\n', "neither a problem's statement nor its id"),
    ],
)
def test_files_that_are_no_traces_are_refused_in_one_line(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(content)
    with pytest.raises(BenchmarkError, match=reason) as caught:
        read_traces(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "messages", "role", "content", "meta", "doc", "resps", "error", "query", "arguments", "text", "problem", "response",
            "code", "gt",
            "generation", "expected_answer", "epoch", "input", "output", "choices", "message", "scores", "target", "index", "model_output",
            "predictions", "example", "doc", "model_response", "sample_score", "usage", "question_id", "output_list", "correct", "tokens",
        ]), inner, max_size=5
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(VALUES, max_size=3), form=st.sampled_from([*FORMATS, "auto"]), packed=st.sampled_from(["lines", "array", "document"]))
def test_no_content_of_a_file_raises_anything_but_a_benchmark_error(tmp_path: Path, rows: list[Any], form: Any, packed: str) -> None:
    path = tmp_path / ("t.jsonl" if packed == "lines" else "t.json")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text({"lines": lines, "array": json.dumps(rows), "document": json.dumps({"samples": rows})}[packed])
    with contextlib.suppress(BenchmarkError):
        assert all(isinstance(trace.text, str) for trace in read_traces(path, form))


def test_the_hash_is_gits(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"what is up, doc?")
    assert file_hashes(tmp_path / "x")[1] == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"


def test_a_prompt_with_two_known_problems_is_refused_and_an_id_alone_is_no_problem(shared: Path, tmp_path: Path) -> None:
    first, second = load_benchmark("aime24", shared / "data")[:2]
    shots = f"Question: {first.statement}\nAnswer: 3\n\nQuestion: {second.statement}\nAnswer:"
    answer = {"role": "assistant", "content": "x"}
    row = {"messages": [{"role": "user", "content": shots}, answer]}
    with pytest.raises(BenchmarkError, match="statements of several problems"):
        read_traces(written(tmp_path / "a.jsonl", [row]), "klear")
    row = {"id": first.id, "meta": {"id": first.id}, "messages": [{"role": "user", "content": "What is the colour of the sky?"}, answer]}
    with pytest.raises(BenchmarkError, match="not a problem of aime24"):
        read_traces(written(tmp_path / "b.jsonl", [row]), "klear", ["aime24"])


def test_half_a_surrogate_pair_and_an_empty_error_do_no_harm(shared: Path, tmp_path: Path) -> None:
    rows = released_rows(shared, "aime24")
    rows[0]["messages"][1]["content"] = "a\ud800b"
    rows[1]["error"] = ""
    traces = read_traces(written(tmp_path / "t.jsonl", rows), "klear")
    assert traces[0].text == "a?b" and traces[1].error is None


def test_an_empty_folder_and_broken_zip_data_are_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no file in it ends in"):
        find_format(tmp_path)
    with pytest.raises(BenchmarkError, match="no such file"):
        find_format(tmp_path / "nowhere")
    plain = written(tmp_path / "t.jsonl", released_rows(shared, "aime24"))
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, plain.name)
    data = bytearray((tmp_path / "t.zip").read_bytes())
    data[200:400] = bytes(200)
    (tmp_path / "t.zip").write_bytes(data)
    with pytest.raises(BenchmarkError):
        read_traces(tmp_path / "t.zip", "klear")
