"""Traces of other programs: every format, rows matched by statement, and whatever is wrong named and refused."""

from __future__ import annotations

import contextlib
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import BENCHMARKS, BenchmarkError, load_benchmark
from benchmarks.protocols import load_protocol
from benchmarks.traces import FORMATS, Format, Trace, extractions, files
from benchmarks.traces import read_traces as read_all

from benchmarks.traces.files import file_hashes
from benchmarks.traces.problems import file_benchmark


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
        ('{"id": ' + "1" * 5000 + "}\n", "not JSON"),
        ('[{"id": 1}, {"id":', "row 2: not JSON"),
        ('{"messages": []}\n', "a list of messages is expected"),
        ('{"messages": [{"role": "user", "content": "x"}]}\n', "there is no error"),
        ('{"messages": [{"role": "assistant", "content": 3}]}\n', "a message without text"),
        ('{"doc": {}, "resps": [[3]]}\n', "a int where text is expected"),
        ('{"problem": "x", "answer": "1"}\n', "have no response: these are problems"),
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
            "messages", "role", "content", "meta", "doc", "resps", "error", "query", "arguments", "text", "problem", "response", "code", "gt",
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


# --- the formats of other programs ------------------------------------------------------------------

STATEMENT, GOLD = "What is seven times eight, plus one?", "57"
"""A problem that no benchmark has."""
CHAT = [{"role": "user", "content": STATEMENT}, {"role": "assistant", "content": "57"}]
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen-math": ("qwen-math", {"idx": 0, "question": STATEMENT, "gt_cot": "", "gt": GOLD, "answer": "7*8+1 #### 57", "code": ["57", "56"], "pred": ["57", "56"], "report": [None, None], "score": [True]}),
    "nemo": ("nemo-skills", {"problem": STATEMENT, "expected_answer": 57, "generation": "57", "symbolic_correct": True, "num_generated_tokens": 9, "finish_reason": "length"}),
    "nemo judged": ("nemo-skills", {"problem": STATEMENT, "expected_answer": "57", "generation": "57", "judgement": "Reasoning: same.\nJudgement: Yes"}),
    "nemo parsed": ("nemo-skills", {"problem": STATEMENT, "expected_answer": "57", "generation": "57", "_full_generation": "<think>hm</think>57"}),
    "lighteval": ("lighteval", {"doc": {"query": STATEMENT, "choices": ["56", "57"], "gold_index": 1}, "model_response": {"text": ["57"], "output_tokens": [[1, 2, 3]]}, "metric": {"em": 1}}),
    "lighteval before 0.11": ("lighteval", {"example": STATEMENT, "full_prompt": f"Q: {STATEMENT}", "predictions": ["57"], "gold": ["57"], "metrics": {"em": 1.0}, "cont_tokens": [[4, 5, 6, 7]]}),
    "lighteval as text": ("lighteval", {"example": STATEMENT, "full_prompt": STATEMENT, "predictions": "['57', '56']", "gold": "['57']", "metrics": {"em": 1.0}}),
    "lm-eval": ("lm-eval", {"doc_id": 0, "doc": {"problem": STATEMENT, "answer": "57"}, "target": "57", "arguments": [["x", {}]], "resps": [["57"]], "exact_match": 1}),
    "inspect": ("inspect", {"id": 1, "epoch": 1, "input": STATEMENT, "target": "57", "output": {"choices": [{"message": {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "57"}]}, "stop_reason": "max_tokens"}], "usage": {"output_tokens": 12}}, "scores": {"match": {"value": "C"}}}),
    "inspect chat": ("inspect", {"id": 1, "epoch": 1, "input": CHAT[:1], "target": ["57"], "output": {"choices": [{"message": CHAT[1], "stop_reason": "stop"}]}, "scores": {"a": {"value": "I"}, "b": {"value": 0.5}}}),
    "evalscope prediction": ("evalscope", {"index": 3, "model": "m", "model_output": {"choices": [{"message": CHAT[1], "stop_reason": "stop"}], "usage": {"output_tokens": 4}}, "messages": CHAT, "metadata": {"answer": "57"}}),
    "evalscope review": ("evalscope", {"index": 3, "target": "57", "messages": CHAT, "sample_score": {"score": {"value": {"acc": 1.0}, "prediction": "57"}, "sample_id": 3}}),
    "evalscope before 1.0": ("evalscope", {"index": "a", "choices": [{"message": CHAT[1], "review": {"gold": "57", "pred": "57", "result": 1}}], "raw_input": {"question": STATEMENT}}),
    "generic": ("generic", {"problem": STATEMENT, "answer": 57, "response": "57", "correct": True, "finish_reason": "stop", "tokens": "11", "sample": 5}),
    "generic list": ("generic", {"question": STATEMENT, "answer": "57", "responses": ["57", None, "56"], "correct": [1, None], "tokens": [3, 4, 5]}),
    "generic objects": ("generic", {"question": STATEMENT, "answer": "57", "response": [{"text": "57", "correct": True, "finish_reason": "length", "tokens": 7}]}),
    "generic id": ("generic", {"id": "my-7", "answer": "57", "response": "57"}),
    "verl": ("generic", {"input": f"user\n{STATEMENT}\nassistant\n", "output": "57", "gts": "57", "score": 1.0, "step": 40}),
    "qwq": ("generic", {"prompt": STATEMENT, "answer": "57", "gen": ["57"]}),
    "limo": ("generic", {"question": STATEMENT, "generated_responses": ["57", "56"], "gold_answer": "57", "answers_correctness": [True, False]}),
    "matharena": ("generic", {"idx": 1, "problem": STATEMENT, "gold_answer": "57", "messages": [CHAT, CHAT], "correct": [True, True], "answers": ["57", "57"]}),
    "opencompass": ("generic", {"origin_prompt": [{"role": "HUMAN", "prompt": STATEMENT}], "prediction": "57", "gold": "57"}),
    "trl": ("generic", {"prompt": CHAT[:1], "completion": CHAT[1:], "solution": "so it is $\\boxed{57}$", "reward": 1.0}),
    "released, of other problems": ("klear", {"id": 0, "meta": {"meta": {"solution": "57"}}, "messages": CHAT}),
}  # fmt: skip
SAID: dict[str, list[tuple[str, bool | None, str | None, int]]] = {
    "qwen-math": [("57", True, None, 0), ("56", None, None, 0)],
    "nemo": [("57", True, "length", 9)],
    "nemo judged": [("57", True, None, 0)],
    "nemo parsed": [("<think>hm</think>57", None, None, 0)],
    "lighteval": [("57", True, None, 3)],
    "lighteval before 0.11": [("57", True, None, 4)],
    "lighteval as text": [("57", None, None, 0), ("56", None, None, 0)],
    "lm-eval": [("57", True, None, 0)],
    "inspect": [("<think>\nhm\n</think>\n\n57", True, "length", 12)],
    "inspect chat": [("57", False, "stop", 0)],
    "evalscope prediction": [("57", None, "stop", 4)],
    "evalscope review": [("57", True, None, 0)],
    "evalscope before 1.0": [("57", True, None, 0)],
    "generic": [("57", True, "stop", 11)],
    "generic list": [("57", True, None, 3), ("", None, None, 4), ("56", None, None, 5)],
    "generic objects": [("57", True, "length", 7)],
    "generic id": [("57", None, None, 0)],
    "verl": [("57", True, None, 0)],
    "qwq": [("57", None, None, 0)],
    "limo": [("57", True, None, 0), ("56", False, None, 0)],
    "matharena": [("57", True, None, 0), ("57", True, None, 0)],
    "opencompass": [("57", None, None, 0)],
    "trl": [("57", True, None, 0)],
    "released, of other problems": [("57", None, None, 0)],
}


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


@pytest.mark.parametrize("packing", ["lines", "array", "indented", "bom", "utf-16", "gz", "zip", "folder", "parquet", "document", "log"])
def test_every_packing_gives_the_same_responses(tmp_path: Path, packing: str) -> None:
    rows = [ROWS["inspect"][1] | {"id": number, "input": f"{STATEMENT} ({number}) é"} for number in range(12)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    name = {"gz": "x.jsonl.gz", "zip": "x.zip", "parquet": "x.parquet", "log": "x.eval", "array": "x.json", "indented": "x.json", "document": "x.json"}
    path = tmp_path / "in" / name.get(packing, "x.jsonl")
    path.parent.mkdir()
    if packing == "gz":
        path.write_bytes(gzip.compress(lines.encode()))
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
        texts = {"lines": lines, "bom": "\ufeff" + lines, "utf-16": lines, "array": json.dumps(rows), "indented": json.dumps(rows, indent=1)}
        texts["document"] = json.dumps({"version": 2, "eval": {}, "samples": rows}, indent=2)
        path.write_text(texts[packing], encoding="utf-16" if packing == "utf-16" else "utf-8")
    found = read_all([path.parent if packing == "folder" else path])
    assert [trace.problem.statement for trace in found.traces] == [row["input"] for row in rows]
    assert {trace.text for trace in found.traces} == {"<think>\nhm\n</think>\n\n57"} and {trace.recorded for trace in found.traces} == {True}
    assert found.left_out == (["results.json"] if packing == "folder" else [])


def test_samples_of_several_files_are_counted_through_in_natural_order(tmp_path: Path) -> None:
    row = ROWS["nemo"][1]
    for number in (0, 1, 2, 10):
        written(tmp_path / f"output-rs{number}.jsonl", [{**row, "generation": f"rs{number}"}])
    found = read_all([tmp_path])
    assert [(trace.text, trace.sample_index) for trace in found.traces] == [("rs0", 0), ("rs1", 1), ("rs2", 2), ("rs10", 3)]
    assert {trace.problem.benchmark for trace in found.traces} == {"file-output"}


def test_rows_say_which_sample_they_are_and_the_same_one_twice_is_skipped(tmp_path: Path) -> None:
    row = {"problem": STATEMENT, "answer": "57"}
    rows = [{**row, "response": text, "sample": sample} for text, sample in (("b", 1), ("a", 0), ("again", 1), ("d", "3"), ("e", -1), ("f", 0.5))]
    found = read_all([written(tmp_path / "x.jsonl", rows)], max_skipped=0.5)
    assert {trace.text: trace.sample_index for trace in found.traces} == {"b": 1, "a": 0, "d": 3, "e": 4, "f": 5}
    assert [str(skip) for skip in found.files[0].skipped] == ["x.jsonl, line 3: sample 1 of its problem is there twice"]


def test_one_bad_row_of_every_kind_stops_no_file(tmp_path: Path) -> None:
    good = json.dumps({"problem": STATEMENT, "answer": "57", "response": "57"})
    bad = [
        "nonsense", "[1, 2]", '"text"', "null", '{"problem": "x", "response": ', "[" * 100_000, '{"problem": "x", "response": "y"}', '{"problem": "x"}',
        '{"problem": "x", "answer": "1", "response": 5}', '{"a": 1}', '{"problem": "x", "answer": "1", "response": []}', '{"id": ' + "9" * 5000 + "}",
    ]  # fmt: skip
    for row in bad:
        (tmp_path / "x.jsonl").write_bytes(b"\n".join([good.encode()] * 3 + [row.encode()] + [good.encode()] * 2))
        found = read_all([tmp_path / "x.jsonl"])
        assert len(found.traces) == 5 and len(found.files[0].skipped) == 1, row[:40]
        assert found.files[0].skipped[0].place == "x.jsonl, line 4"
    (tmp_path / "x.jsonl").write_bytes(good.encode() + b"\n\xff\xfe\xfa\n" + good.encode())
    assert "not UTF-8" in str(read_all([tmp_path / "x.jsonl"]).files[0].skipped[0])


def test_values_that_make_no_sense_are_taken_for_absent(tmp_path: Path) -> None:
    text = '{"problem": "%s", "problem": "%s", "answer": 57, "response": "a\\ud800b", "correct": NaN, "tokens": 1e400, "finish_reason": 7, "sample": -3}'
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
    for name, reason in (("a.json", "a.json, row 3: not JSON"), ("b.jsonl.gz", "not a gzip file that can be read"), ("c.jsonl", "packed with zstd")):
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
        ("../../etc/passwd", "file-passwd"), ("täst\n.json", "file-t-st"), ("x_chunk_3.jsonl", "file-x"), ("x-rs0-chunk-1.jsonl", "file-x"),
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


@pytest.mark.parametrize("name", ["traces_tora_gsm8k.jsonl", "traces_nemo_output-rs0.jsonl", "math_cot_real_outputs.jsonl", "traces_skythought_aime24.jsonl"])
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
