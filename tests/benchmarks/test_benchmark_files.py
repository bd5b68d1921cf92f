"""Loading of problems: released shapes, altered copies, missing files, the Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub import COMMIT, fake_hub
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import BENCHMARKS, BenchmarkError, BenchmarkWarning, load_benchmark
from benchmarks.answer_keys import load_key, match, similarity, statement_hash, statement_sketch
from benchmarks.grading import GraderPool
from benchmarks.records import BrokenRow, Problem

ROOT = Path(__file__).resolve().parents[2]
COMPETITIONS = {"aime24": "aime24.qs.jsonl", "aime25": "aime25.qs.jsonl", "hmmt25": "HMMT-202502.jsonl"}


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def core(problems: list[Problem]) -> list[tuple[str, str, str | None]]:
    return [(problem.id, problem.statement, problem.answer) for problem in problems]


@pytest.mark.parametrize("name", COMPETITIONS)
def test_every_key_has_thirty_different_problems(name: str) -> None:
    key = load_key(name)
    assert len(key.problems) == 30
    assert len({entry.id for entry in key.problems}) == len({entry.hash for entry in key.problems}) == 30
    if name.startswith("aime"):
        assert all(0 <= int(entry.answer) <= 999 for entry in key.problems)
    worst = max(similarity(a.sketch, b.sketch) for a in key.problems for b in key.problems if a is not b)
    assert worst < 0.25


@pytest.mark.parametrize("name", COMPETITIONS)
def test_released_files_load_from_folder_and_from_file(data: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problems = load_benchmark(name, data)
        assert core(load_benchmark(name, str(data / COMPETITIONS[name]))) == core(problems)
    assert [problem.id for problem in problems] == [entry.id for entry in load_key(name).problems]
    assert all(problem.kind == "math" and problem.info["statement"] == "reference" for problem in problems)


@pytest.mark.parametrize("name", COMPETITIONS)
def test_other_shapes_and_orders_give_the_same_problems(data: Path, tmp_path: Path, name: str) -> None:
    problems = load_benchmark(name, data)
    rows = read(data / COMPETITIONS[name])
    answered = [{"role": "assistant", "content": "I do not know"}]
    nested = [{"id": i, "meta": row, "messages": row["messages"] + answered} for i, row in enumerate(rows)]
    flat = [{"question": p.statement, "answer": p.answer} for p in reversed(problems)]
    numbers = (
        [{"problem": p.statement, "answer": int(p.answer or "")} for p in problems]
        if "aime" in name
        else flat
    )
    for shape in (nested, flat, numbers):
        assert core(load_benchmark(name, write(tmp_path / "copy.jsonl", shape))) == core(problems)
    write(tmp_path / f"{name}.jsonl", flat)
    assert core(load_benchmark(name, tmp_path)) == core(problems)


@pytest.mark.parametrize("field", ["solution", "answer"])
def test_a_wrong_answer_is_named_and_refused(data: Path, tmp_path: Path, field: str) -> None:
    rows = read(data / "aime24.qs.jsonl")
    rows[2]["meta"][field] = "46"
    with pytest.raises(
        BenchmarkError, match=r"line 3: problem 2024-II-3 .*'46', the official answer is '45'"
    ):
        load_benchmark("aime24", write(tmp_path / "aime24.jsonl", rows))


def test_an_answer_in_another_form_is_accepted_and_a_near_miss_is_not(data: Path, tmp_path: Path) -> None:
    rows = read(data / "HMMT-202502.jsonl")
    for row, form in [(rows[2], "1/576"), (rows[3], "$-984$"), (rows[6], "\\dfrac{9}{\\sqrt{23}}")]:
        row["answer"], row["solution"] = form, f"\\boxed{{{form}}}"
    problems = load_benchmark("hmmt25", write(tmp_path / "a.jsonl", rows))
    assert core(problems) == core(load_benchmark("hmmt25", data))
    rows[6]["answer"] = "\\frac{9}{\\sqrt{21}}"
    with pytest.raises(BenchmarkError, match="line 7: problem 2025-02-algebra-7"):
        load_benchmark("hmmt25", write(tmp_path / "a.jsonl", rows))


def test_doubled_missing_and_foreign_problems_are_refused(data: Path, tmp_path: Path) -> None:
    rows = read(data / "aime25.qs.jsonl")
    file = tmp_path / "aime25.jsonl"
    with pytest.raises(BenchmarkError, match="29 of 30 problems of aime25; missing 2025-II-15"):
        load_benchmark("aime25", write(file, rows[:-1]))
    with pytest.raises(
        BenchmarkError, match=r"line 31: problem 2025-I-1 of aime25 appears twice \(also line 1\)"
    ):
        load_benchmark("aime25", write(file, [*rows, rows[0]]))
    with pytest.raises(BenchmarkError, match="line 1: not a problem of aime24"):
        load_benchmark("aime24", write(file, rows))
    with pytest.raises(BenchmarkError, match="0 of 30"):
        load_benchmark("aime25", write(file, []))


def test_differing_statements_are_a_warning(data: Path, tmp_path: Path) -> None:
    rows = read(data / "aime25.qs.jsonl")
    text = rows[1]["messages"][0]["content"].replace("\\overline", "\\bar") + " Explain."
    rows[1]["messages"][0]["content"] = text
    with pytest.warns(BenchmarkWarning, match="1 of 30 statements differ .*2025-I-2"):
        problems = load_benchmark("aime25", write(tmp_path / "aime25.jsonl", rows))
    assert problems[1].statement == text
    assert problems[1].info["statement"] == "differs"


def test_an_unknown_wording_is_matched_by_an_official_id() -> None:
    key = load_key("aime24")
    found = match(key, "Wholly different words here.", ["2024-ii-03", "2024-II-3"])
    assert found is not None and found.id == "2024-II-3"
    assert match(key, "Wholly different words here.", [3]) is None


def test_hashes_ignore_typesetting() -> None:
    assert statement_hash("Find $\\,x$ .") == statement_hash("find x")
    assert statement_hash("Find $x$") != statement_hash("Find $y$")


@given(st.text())
def test_fingerprints_take_any_text(text: str) -> None:
    assert len(statement_hash(text)) == 16
    assert similarity(statement_sketch(text), statement_sketch(text)) in (0.0, 1.0)


BROKEN: list[tuple[str, str]] = [
    ("{not json", "line 2: not JSON"),
    ("[1]", "line 2: expected a JSON object"),
    ('{"answer": "5"}', "line 2: no problem statement"),
    ('{"messages": [{"role": "user", "content": ""}], "answer": "5"}', "line 2: no problem statement"),
    ('{"problem": "STATEMENT"}', "line 2: no answer"),
    ("[" * 100_000, "line 2: (nested too deeply|not JSON)"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_broken_line_is_named(data: Path, tmp_path: Path, line: str, message: str) -> None:
    lines = (data / "aime24.qs.jsonl").read_text(encoding="utf-8").splitlines()
    statement = json.dumps(json.loads(lines[1])["messages"][0]["content"])
    lines[1] = line.replace('"STATEMENT"', statement)
    file = tmp_path / "aime24.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(BrokenRow, match=f"aime24.jsonl, {message}") as error:
        load_benchmark("aime24", file)
    assert "\n" not in str(error.value)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "aime24.jsonl"
    file.write_bytes(b"\xff\xff\n")
    with pytest.raises(BrokenRow, match="line 1: not UTF-8"):
        load_benchmark("aime24", file)


WRONG_CALLS: list[tuple[Callable[[Path], object], str]] = [
    (lambda p: load_benchmark("aime23"), "unknown benchmark 'aime23'; available: aime24, aime25, hmmt25"),
    (lambda p: load_benchmark("gpqa", p), "unknown benchmark 'gpqa'"),
    (lambda p: load_benchmark("lcb_v5", p), "lcb_v5: no test.jsonl, test2.jsonl, test3.jsonl, test4.jsonl, test5.jsonl in "),
    (lambda p: load_benchmark("aime24", p / "nowhere"), "does not exist; pass --benchmark-path"),
    (
        lambda p: load_benchmark("aime24", p),
        "no aime24.qs.jsonl or aime24.jsonl in .*; pass --benchmark-path",
    ),
    (lambda p: load_benchmark("mini-lcb"), "pass --benchmark-path with the folder that holds mini-lcb.jsonl"),
]


@pytest.mark.parametrize(("call", "message"), WRONG_CALLS)
def test_wrong_calls_say_what_to_pass(tmp_path: Path, call: Callable[[Path], object], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message) as error:
        call(tmp_path)
    assert "\n" not in str(error.value)


def test_without_hub_and_file_the_error_says_what_to_pass(tmp_path: Path) -> None:
    program = (
        "from benchmarks import load_benchmark\n"
        "try:\n    load_benchmark('aime24')\nexcept ValueError as error:\n    print(error)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=60,
    )
    assert done.stdout.count("\n") == 1, done.stderr
    assert (
        "from the Hub" in done.stdout and "pass --benchmark-path FILE, or a folder with aime24.qs.jsonl" in done.stdout
    )


def load_from_hub(
    endpoint: str, home: Path, name: str, revision: str | None = None
) -> subprocess.CompletedProcess[str]:
    program = (
        "import json\nfrom benchmarks import load_benchmark\n"
        f"try:\n    problems = load_benchmark({name!r}, revision={revision!r})\n"
        "    print(json.dumps([[p.id, p.answer, p.info['source']] for p in problems]))\n"
        "except ValueError as error:\n    print(error)"
    )
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
    )


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_a_benchmark_comes_from_the_hub_at_one_commit(data: Path, tmp_path: Path, form: str) -> None:
    rows = [
        {"problem": p.statement, "answer": p.answer, "solution": "Long.\nText."}
        for p in load_benchmark("aime25", data)
    ]
    file = write(tmp_path / "test.jsonl", rows)
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
        file = tmp_path / "test.parquet"
    files = {f"data/{file.name}": file.read_bytes(), "README.md": b"#", "loader.py": b"raise SystemExit(7)"}
    repo = load_key("aime25").hub_repo
    with fake_hub(repo, files) as endpoint:
        done = load_from_hub(endpoint, tmp_path / "home", "aime25")
        missing = load_from_hub(endpoint, tmp_path / "home", "aime25", revision="f" * 40)
    problems = json.loads(done.stdout)
    assert len(problems) == 30
    assert problems[0] == ["2025-I-1", "70", f"{repo}@{COMMIT}"]
    assert "cannot get" in missing.stdout and missing.stdout.count("\n") == 1
    offline = load_from_hub(endpoint, tmp_path / "home", "aime25")
    assert json.loads(offline.stdout) == problems, "the downloaded copy serves when the Hub is gone"


def test_a_repository_with_a_loader_script_only_is_refused(tmp_path: Path) -> None:
    with fake_hub(load_key("aime25").hub_repo, {"loader.py": b"raise SystemExit(7)"}) as endpoint:
        done = load_from_hub(endpoint, tmp_path, "aime25")
    assert "holds no Parquet or JSON files" in done.stdout


def mini(number: int, **changes: Any) -> dict[str, Any]:
    fields = {"benchmark": "mini-aime", "id": f"m{number}", "kind": "math", "statement": "1+1", "answer": "2"}
    return {**fields, **changes}


def test_records_of_the_smoke_profile_load_and_are_checked(tmp_path: Path) -> None:
    file = write(tmp_path / "mini-aime.jsonl", [mini(1), mini(2)])
    assert [problem.id for problem in load_benchmark("mini-aime", tmp_path)] == ["m1", "m2"]
    for rows, message in [
        ([mini(1), mini(1)], "line 2: problem 'm1' appears twice"),
        ([mini(1), mini(2, answer=None)], "line 2: not a problem record"),
        ([mini(1), mini(2, benchmark="mini-lcb")], "line 2: a problem of 'mini-lcb', expected 'mini-aime'"),
        ([mini(1, extra=1)], "line 1: not a problem record .extra"),
        ([], "holds no problems"),
    ]:
        with pytest.raises(BenchmarkError, match=message):
            load_benchmark("mini-aime", write(file, rows))


def test_a_perfect_hmmt_sheet_scores_all_and_near_misses_none(data: Path, pool: GraderPool) -> None:
    problems = load_benchmark("hmmt25", data)
    golds = [problem.answer or "" for problem in problems]
    perfect = pool.grade_many([(f"<think>…</think> $\\boxed{{{gold}}}$", gold) for gold in golds])
    assert [grade.reason for grade in perfect] == ["correct"] * 30
    near = [near_miss(gold) for gold in golds]
    missed = pool.grade_many(
        [(f"<think>…</think> $\\boxed{{{text}}}$", gold) for text, gold in zip(near, golds, strict=True)]
    )
    assert [grade.correct for grade in missed] == [False] * 30
    signs = pool.grade_many([(f"</think> $\\boxed{{-({gold})}}$", gold) for gold in golds if "," not in gold])
    assert not any(grade.correct for grade in signs)


def near_miss(gold: str) -> str:
    """The answer with its last digit raised by one, which is another value for every HMMT answer."""
    place = max(position for position, character in enumerate(gold) if character.isdigit())
    return gold[:place] + str((int(gold[place]) + 1) % 10 or 1) + gold[place + 1 :]


def test_importing_the_package_is_light() -> None:
    heavy = "{'torch', 'pydantic', 'datasets', 'sympy', 'numpy', 'huggingface_hub'}"
    program = f"import sys, benchmarks; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
    assert set(COMPETITIONS) < set(BENCHMARKS)
