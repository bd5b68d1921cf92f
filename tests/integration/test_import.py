"""The stage import: traces become samples and grades under every judge, without a model."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from klear_program import inside, klear

from benchmarks import load_benchmark
from benchmarks.answer_keys import load_key
from benchmarks.records import read_generations, read_grades


def answered(shared: Path, file: str, answer: Any, repeats: int = 2) -> list[dict[str, Any]]:
    """Output of the released script with `answer(problem, repeat)` as responses."""
    inputs = [json.loads(line) for line in (shared / "data" / file).read_text().splitlines()]
    by_statement = {problem.statement: problem for problem in load_benchmark({"a": "aime24", "H": "hmmt25"}[file[0]], shared / "data")}
    rows = []
    for repeat in range(repeats):
        for row in inputs:
            response = answer(by_statement[row["messages"][0]["content"]], repeat)
            rows.append({"id": len(rows), "meta": row, "messages": [*row["messages"], {"role": "assistant", "content": response}]})
    return rows


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def share(run: Path, benchmark: str, model: str, grader: str) -> tuple[float, int]:
    grades = [grade for grade in read_grades(run / "grades" / benchmark / f"{model}.parquet") if grade.grader == grader]
    return sum(grade.correct for grade in grades) / len(grades), len(grades)


def test_traces_with_failed_requests_are_scored_by_both_judges(shared: Path, tmp_path: Path) -> None:
    rows = answered(shared, "aime24.qs.jsonl", lambda problem, repeat: (
        f"<think>\n\\boxed{{{problem.answer}}}\n</think>\n\\boxed{{{problem.answer if repeat else 'x'}}}"))  # fmt: skip
    rows[3] = {**rows[3], "messages": rows[3]["messages"][:1], "error": "engine died"}
    written(tmp_path / "aime24_inference_avg64.jsonl", rows)
    with zipfile.ZipFile(tmp_path / "t.jsonl.zip", "w") as archive:
        archive.write(tmp_path / "aime24_inference_avg64.jsonl", "aime24_inference_avg64.jsonl")
    outcome = klear("--stage", "import,report", "--traces.paths", tmp_path / "t.jsonl.zip", "--traces.model", "Klear-Reasoner-8B",
                    "--run-dir", tmp_path / "run")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "SHA-256 " in outcome.err and "1 failed requests" in outcome.err
    strict, graded = share(tmp_path / "run", "aime24", "Klear-Reasoner-8B", "strict")
    assert graded == 59 and strict == pytest.approx(30 / 59)
    klear_share, graded = share(tmp_path / "run", "aime24", "Klear-Reasoner-8B", "klear")
    assert graded == 60 and klear_share >= 30 / 60
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert "1 generation failed" in report and "Klear-Reasoner-8B" in report
    again = inside("--stage", "import", "--traces.paths", tmp_path / "t.jsonl.zip", "--traces.model", "Klear-Reasoner-8B",
                   "--run-dir", tmp_path / "run")  # fmt: skip
    assert again.code == 0 and "done already" in again.err


def test_the_official_livecodebench_outputs_are_imported_with_the_published_score(shared: Path, tmp_path: Path) -> None:
    file = shared / "data" / "lcb_o1_mini_eval_all.json"
    outcome = klear("--stage", "import,report", "--traces", file, "--run-dir", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "880 of 880 recorded programs" in outcome.err
    score, graded = share(tmp_path / "run", "lcb_v5", "lcb_o1_mini_eval_all", "recorded")
    assert graded == 279 and round(score, 4) == 0.5197
    stored, _ = read_generations(tmp_path / "run" / "generations" / "lcb_v5" / "lcb_o1_mini_eval_all.jsonl")
    assert len(stored) == 279
    (entry,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["evaluations"]
    assert entry["extractions"] == {"recorded": 880, "same": 880}
    assert {one["difficulty"] for one in entry["groups"].values()} == {"easy", "medium", "hard"}


def test_a_file_of_a_model_with_tools_and_without_verdicts_is_said_to_be_both(shared: Path, tmp_path: Path) -> None:
    file = shared / "data" / "traces_tora_gsm8k.jsonl"
    outcome = inside("--stage", "import,report", "--traces", file, "--traces.model", "microsoft/ToRA-70B", "--run-dir", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "import: no verdicts of the file's own" in outcome.err
    assert "import: 100 of 100 responses have a program with its output, or call a tool" in outcome.err
    (entry,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["evaluations"]
    assert (entry["recorded"], entry["tools"]) == (0, 100)
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert report.startswith("# microsoft/ToRA-70B · run run\n\nConfiguration: profile import · ")
    assert "The file carries no verdicts of its own" in report and "calls of a tool: 100 of 100 on gsm8k." in report


NEAR = {
    "sign": lambda answer: f"-({answer})",
    "last digit": lambda answer: f"{answer[:-1]}{(int(answer[-1]) + 1) % 10}" if answer[-1].isdigit() else f"{answer}+1",
    "unreduced but unequal": lambda answer: f"\\frac{{2*({answer})+1}}{{2}}",
}


def swapped(answer: str) -> str:
    parts = answer.split(",")
    return ",".join(parts[:-1]) if len(parts) > 1 else f"{answer}, {answer}+1"


@pytest.mark.parametrize("near", ["perfect", *NEAR, "list"])
def test_a_perfect_hmmt_sheet_scores_100_and_near_misses_0(shared: Path, tmp_path: Path, near: str) -> None:
    """The released judge finds no gold answer in the released HMMT file and scores a perfect sheet 0 %."""
    miss = {"perfect": str, "list": swapped, **NEAR}[near]
    rows = answered(shared, "HMMT-202502.jsonl", lambda problem, repeat: f"<think>\nhm\n</think>\n\n\\boxed{{{miss(problem.answer)}}}", 1)
    outcome = inside("--stage", "import", "--traces.paths", written(tmp_path / "sheet.jsonl", rows), "--run-dir", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    for judge in ("klear", "strict"):
        grades = [grade for grade in read_grades(tmp_path / "run" / "grades" / "hmmt25" / "sheet.parquet") if grade.grader == judge]
        wrong = [(grade.key and grade.key.problem_id, grade.extracted) for grade in grades if grade.correct != (near == "perfect")]
        assert len(grades) == 30 and wrong == []


def test_aime_files_of_two_shapes_give_the_same_score(shared: Path, tmp_path: Path) -> None:
    key = load_key("aime24")
    flat = [{"problem": problem.statement, "answer": int(problem.answer or 0)} for problem in load_benchmark("aime24", shared / "data")]
    written(tmp_path / "aime24.jsonl", flat[::-1])
    nested = load_benchmark("aime24", shared / "data")
    assert [problem.id for problem in nested] == [entry.id for entry in key.problems]
    other = load_benchmark("aime24", tmp_path / "aime24.jsonl")
    assert [(one.id, one.statement, one.answer) for one in other] == [(one.id, one.statement, one.answer) for one in nested]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "traces.paths: needed by --stage import"),
        (("--traces.paths", "nowhere.jsonl"), "no such file"),
        (("--traces.paths", "README.md"), "not JSON"),
        (("--traces.paths", "README.md", "--traces.format", "tsv"), "traces.format='tsv'"),
        (("--traces.paths", "README.md", "--traces.model", "a/b/c"), "must be NAME or ORGANISATION/NAME"),
        (("--traces.paths", "README.md", "--traces.model", "../x"), "must be NAME or ORGANISATION/NAME"),
        (("--traces.paths", "README.md", "--traces.max-skipped", "2"), "traces.max_skipped"),
        (("--traces.paths", "docs"), "no file in it ends in"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    outcome = inside("--stage", "import", "--run-dir", tmp_path / "run", *words)
    assert outcome.code == 2 and message in outcome.lines[-1] and "Traceback" not in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_perfect_sheet_under_the_published_protocol_gets_a_verdict(shared: Path, tmp_path: Path) -> None:
    """30 × 64 at 27 of 30: the published 90.5 is compared under the very protocol that the manifest names."""
    counts: dict[str, int] = {}

    def answer(problem: Any, repeat: int) -> str:
        counts[problem.id] = repeat
        return f"<think>hm</think>\\boxed{{{problem.answer if (int(problem.id[-1]) + repeat) % 11 else 'x'}}} {repeat}"

    rows = answered(shared, "aime24.qs.jsonl", answer, 64)
    words = ["--stage", "import,report", "--traces", written(tmp_path / "t.jsonl", rows), "--traces.model", "Klear-Reasoner-8B"]
    for name in ("klear-release-64k", "klear-issue2-64k"):
        outcome = inside(*words, "--protocol", name, "--run-dir", tmp_path / name)
        assert outcome.code == 0, outcome.err
    report = (tmp_path / "klear-release-64k" / "report" / "report.md").read_text()
    assert "other protocol than klear-release-64k" not in report and "reproduced" in report.lower()
    other = (tmp_path / "klear-issue2-64k" / "report" / "report.md").read_text()
    assert "other protocol than klear-release-64k: max\\_new\\_tokens 64000 instead of 65536" in other


def test_an_import_does_not_replace_an_evaluation_nor_count_a_file_twice(shared: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "t.jsonl", answered(shared, "aime24.qs.jsonl", lambda problem, repeat: "x", 1))
    twice = inside("--stage", "import", "--traces", f"{file},{file}", "--run-dir", tmp_path / "a")
    assert twice.code == 2 and "the same content" in twice.lines[-1]
    run = tmp_path / "b"
    assert inside("--stage", "import", "--traces", file, "--run-dir", run).code == 0
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["evaluations"][0]["engine"] = "hf"
    manifest["stages"] = {}
    (run / "manifest.json").write_text(json.dumps(manifest))
    outcome = inside("--stage", "import", "--traces", file, "--run-dir", run)
    assert outcome.code == 2 and "has evaluated a model of that name" in outcome.lines[-1]


ASKED = "What is seven times eight, plus one?"


def outputs(path: Path, texts: list[str | None], **fields: Any) -> Path:
    """Generic rows of one problem that no benchmark has, a response each."""
    return written(path, [{"problem": ASKED, "answer": "57", "response": text, **fields} for text in texts])


def entries(run: Path) -> dict[tuple[str, str], dict[str, Any]]:
    manifest = json.loads((run / "manifest.json").read_text())
    return {(one["benchmark"], one["model"]): one for one in manifest["evaluations"]}


def test_a_refused_import_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.jsonl", [{"problem": ASKED, "response": "57"}] * 4)
    outcome = inside("--stage", "import,report", "--traces", bad, "--run-dir", tmp_path / "deep" / "er" / "run")
    assert outcome.code == 2 and "no answer beside it" in outcome.lines[-1] and not (tmp_path / "deep").exists()
    run = tmp_path / "run"
    assert inside("--stage", "import", "--traces", outputs(tmp_path / "good.jsonl", ["57"]), "--run-dir", run).code == 0

    def state() -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in sorted(run.rglob("*")) if file.is_file()}

    before = state()
    assert inside("--stage", "import", "--traces", bad, "--run-dir", run).code == 2 and state() == before
    (tmp_path / "mine").mkdir()
    assert inside("--stage", "import", "--traces", bad, "--run-dir", tmp_path / "mine").code == 2
    assert (tmp_path / "mine").is_dir()


def test_problems_of_the_file_alone_are_judged_against_its_answers_beside_its_verdicts(tmp_path: Path) -> None:
    rows = [
        {"problem": ASKED, "answer": 57, "response": ["so \\boxed{57}", "so \\boxed{56}", None], "correct": [True, True],
         "tokens": [11, 12],
         "finish_reason": ["stop", "length"]},
        {"problem": "no answer here", "response": "x"}, "not a row",
        *({"problem": f"{ASKED} {number}", "answer": "1", "response": "\\boxed{1}"} for number in range(8)),
    ]  # fmt: skip
    file = written(tmp_path / "aime24.jsonl", rows)
    outcome = klear("--stage", "import,report", "--traces", file, "--traces.model", "Org/Model-1", "--run-dir", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert (
        "import aime24.jsonl: 2 skipped: aime24.jsonl, line 2: not a problem of" in outcome.err
        and "line 3: expected a JSON object" in outcome.err
    )
    stored, _ = read_generations(tmp_path / "run" / "generations" / "file-aime24" / "Org--Model-1.jsonl")
    assert [(row.model, row.finish_reason, row.token_count, row.error) for row in stored[:3]] == [
        ("Org/Model-1", "stop", 11, None), ("Org/Model-1", "length", 12, None), ("Org/Model-1", "error", 0, "no response in the file"),
    ]  # fmt: skip
    assert share(tmp_path / "run", "file-aime24", "Org--Model-1", "strict") == (9 / 10, 10)
    assert share(tmp_path / "run", "file-aime24", "Org--Model-1", "klear") == (9 / 11, 11)
    assert share(tmp_path / "run", "file-aime24", "Org--Model-1", "recorded") == (1.0, 2)
    grades = list(read_grades(tmp_path / "run" / "grades" / "file-aime24" / "Org--Model-1.parquet"))
    assert {grade.reason for grade in grades if grade.grader == "strict" and grade.finish_reason == "length"} == {"truncated"}
    entry = entries(tmp_path / "run")["file-aime24", "Org/Model-1"]
    assert (entry["gold"], entry["skipped"], entry["engine"]) == ("file", 2, "imported")
    report = (tmp_path / "run" / "report" / "report.md").read_text().replace("\\", "")
    assert (
        "Org/Model-1 were generated elsewhere and imported from aime24.jsonl (generic, 11 responses, SHA-256 " in report.partition("## ")[0]
    )
    assert "2 rows could not be used and are left out" in report.partition("## ")[0] and "9.1 %" in report
    assert "This project knows no published number of a model on a benchmark that was measured here" in report


def test_imports_under_one_name_add_benchmarks_and_replace_their_own(shared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = written(tmp_path / "a.jsonl", answered(shared, "aime24.qs.jsonl", lambda problem, repeat: "x", 1))
    words = ("--stage", "import", "--traces.model", "Org/M", "--run-dir", run)
    assert inside(*words, "--traces", first).code == 0
    again = inside(*words, "--traces", first)
    assert again.code == 0 and "done already" in again.err
    more = inside(*words, "--traces", outputs(tmp_path / "b.jsonl", ["\\boxed{57}"] * 2))
    assert more.code == 0 and "replaces" not in more.err
    assert entries(run).keys() == {("aime24", "Org/M"), ("file-b", "Org/M")}
    changed = inside(*words, "--traces", outputs(tmp_path / "b.jsonl", ["\\boxed{1}"] * 3))
    assert changed.code == 0 and "import Org/M file-b: replaces the earlier import under this name" in changed.err
    assert len(read_generations(run / "generations" / "file-b" / "Org--M.jsonl")[0]) == 3
    imports = json.loads((run / "manifest.json").read_text())["imports"]
    assert [(one["benchmarks"], one["files"][0]["name"]) for one in imports] == [(["aime24"], "a.jsonl"), (["file-b"], "b.jsonl")]
    other = inside("--stage", "import", "--traces.model", "N", "--run-dir", run, "--traces", outputs(tmp_path / "b.jsonl", ["\\boxed{57}"]))
    assert other.code == 0 and entries(run).keys() == {("aime24", "Org/M"), ("file-b", "Org/M"), ("file-b", "N")}
    assert entries(run)["file-b", "N"]["problem_ids"] == entries(run)["file-b", "Org/M"]["problem_ids"]
    taken = inside(
        "--stage", "import", "--traces.model", "Org--M", "--run-dir", run, "--traces", outputs(tmp_path / "b.jsonl", ["\\boxed{5}"])
    )
    assert taken.code == 2 and "has a model 'Org/M' with a file of the same name" in taken.lines[-1]


def test_an_imported_klear_file_without_a_protocol_is_judged_against_neither_published_row(shared: Path, tmp_path: Path) -> None:
    rows = answered(shared, "aime24.qs.jsonl", lambda problem, repeat: f"<think>hm</think>\\boxed{{{problem.answer}}} {repeat}", 2)
    file = written(tmp_path / "t.jsonl", rows)
    words = ("--stage", "import,report", "--traces", file, "--traces.model", "Kwai-Klear/Klear-Reasoner-8B")
    assert inside(*words, "--run-dir", tmp_path / "a").code == 0
    report = (tmp_path / "a" / "report" / "report.md").read_text()
    assert "published 83.2 (32K), 90.5 (64K); not judged" in report and "reproduced" not in report.partition("## ")[0]
    assert "Nobody said under which protocol" in report.partition("## ")[0]
    assert inside(*words, "--protocol", "klear-issue2-64k", "--run-dir", tmp_path / "b").code == 0
    report = (tmp_path / "b" / "report" / "report.md").read_text()
    assert "Measured by others under the same protocol: 85.6 (I2)." in report.partition("## ")[0]
    assert "is the importer's word" in report.partition("## ")[0]


def test_the_documented_example_is_imported(root: Path, tmp_path: Path) -> None:
    text = (root / "docs" / "evaluation.md").read_text().partition("## Imports")[2]
    rows = text.partition("```json\n")[2].partition("```")[0]
    (tmp_path / "mine.jsonl").write_text(rows)
    (command,) = [line for line in text.splitlines() if line.startswith("klear-repro --stage import,report --traces mine.jsonl")]
    words = command.split()[1:]
    words[words.index("mine.jsonl")] = str(tmp_path / "mine.jsonl")
    words[words.index("runs/mine")] = str(tmp_path / "run")
    outcome = klear(*words)
    assert outcome.code == 0, outcome.err
    stored, _ = read_generations(tmp_path / "run" / "generations" / "file-mine" / "Org--Model.jsonl")
    assert len(stored) == 4 and [row.token_count for row in stored] == [812, 1204, 0, 0]
    assert share(tmp_path / "run", "file-mine", "Org--Model", "strict")[1] == 4
    assert (tmp_path / "run" / "report" / "index.html").is_file()
