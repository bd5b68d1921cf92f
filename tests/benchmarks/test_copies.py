"""Copies of a contest as people have them: other wordings, fields, files and prompts give the same problems and scores."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import BenchmarkError, BenchmarkWarning, load_benchmark
from benchmarks.answer_keys import KEYED, load_key, match, official_id, recognise, same_answer, statement_hash
from benchmarks.grading import Grader, GraderPool
from benchmarks.records import BrokenRow, Problem
from benchmarks.row_fields import answers, ids, statements
from benchmarks.wording import LONGEST, bare, readings

COPIES = {
    "aime24": ("aime24.qs.jsonl", "aime24.ai-mo.jsonl", "aime24.nemo.jsonl", "aime24.qwq.jsonl"),
    "aime25": ("aime25.qs.jsonl", "aime25.qwq.jsonl"),
    "hmmt25": ("HMMT-202502.jsonl",),
}
PROMPTS = [
    "{}\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
    "{} Let's think step by step and output the final answer within \\boxed{{}}.",
    "{}Please reason step by step, and put your final answer within $\\boxed{{}}$.",
    "Question: {}\n\nAnswer:",
    "**Problem 7:** {}",
    "Put your final answer within \\boxed{{}}.\nThe answer is an integer between 0 and 999 inclusive.\n\n{}",
    "Please solve the following problem step by step. During your reasoning process, if needed, you can choose to write python code to"
    " enhance your reasoning. The code executor will run your code. Please put the final answer within \\boxed{{}}.\n{}",
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{}\nPut your final answer within \\boxed{{}}."
    "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<｜begin▁of▁sentence｜>Please reason step by step, and put your final answer within \\boxed{{}}.<｜User｜>{}<｜Assistant｜>",
    "[INST] {} [/INST]",
]


def load(name: str, path: Path) -> list[Problem]:
    """The problems, whatever there is to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BenchmarkWarning)
        return load_benchmark(name, path)


def plain(problems: list[Problem]) -> list[tuple[str, str | None]]:
    return [(problem.id, problem.answer) for problem in problems]


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def flat(data: Path) -> list[dict[str, Any]]:
    """AIME 2025 as plain rows."""
    return [{"problem": one.statement, "answer": one.answer} for one in load("aime25", data / "aime25.qs.jsonl")]


@pytest.mark.parametrize("name", COPIES)
def test_all_copies_have_the_same_problems_and_the_same_answers_score_the_same(data: Path, pool: GraderPool, name: str) -> None:
    copies = {file: load(name, data / file) for file in COPIES[name]}
    first = plain(copies[COPIES[name][0]])
    assert [identity for identity, _ in first] == [entry.id for entry in load_key(name).problems]
    sheet = {identity: f"<think>…</think>\\boxed{{{answer if at % 3 else '12345'}}}" for at, (identity, answer) in enumerate(first)}
    judges: tuple[Grader, ...] = ("klear", "strict")
    scores = set()
    for file, problems in copies.items():
        assert len(problems) == 30 and plain(problems) == first, file
        pairs = [(sheet[one.id], one.answer or "") for one in problems]
        scores.add(tuple(sum(grade.correct for grade in pool.grade_many(pairs, judge)) for judge in judges))
    assert scores == {(20, 20)}


@pytest.mark.parametrize("name", COPIES)
def test_no_row_of_another_contest_or_set_is_taken_for_a_problem(data: Path, name: str) -> None:
    foreign = [(file, row) for other, files in COPIES.items() if other != name for file in files for row in rows_of(data / file)]
    for file in ("math_cot_real_outputs.jsonl", "traces_nemo_output-rs0.jsonl"):
        foreign += [(file, row) for row in rows_of(data / file)]
    asked = 0
    for file, row in foreign:
        for text in statements(row, file) if set(row) & {"problem", "question", "messages", "prompt"} else ():
            asked += 1
            for given_answers in ([], answers(row)):
                assert match(load_key(name), text, ids(row), given_answers) is None, (file, text[:80])
    assert asked > 100


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_statement_is_found_in_a_prompt_and_the_prompt_is_left_out(tmp_path: Path, flat: list[dict[str, Any]], prompt: str) -> None:
    rows = [{"prompt": prompt.format(row["problem"]), "answer": row["answer"]} for row in flat]
    with pytest.warns(BenchmarkWarning) as caught:
        problems = load_benchmark("aime25", write(tmp_path / "a.jsonl", rows))
    assert [one.statement.strip() for one in problems] == [row["problem"].strip() for row in flat]
    (line,) = (str(one.message) for one in caught)
    assert "30 rows had a prompt's text around the statement" in line and "\n" not in line


def test_what_belongs_to_a_problem_is_never_cut_off(data: Path) -> None:
    for text in (
        "Given $x$, find m+n and put your final answer within \\boxed{}.",
        "What is $f(x)$? Output your answer as a comma-separated list.",
        "Compute the reasoning of step 3.",
    ):
        assert bare(text) == text
    for name, files in COPIES.items():
        for problem in load(name, data / files[0]):
            assert bare(problem.statement) == problem.statement.strip()


CHANGES: list[tuple[str, Callable[[str], str]]] = [
    ("white space", lambda text: "  " + text.replace(" ", " \n  ") + "\n"),
    ("dollars", lambda text: text.replace("$", "")),
    ("brackets", lambda text: text.replace("$", "\\)")),
    ("fractions", lambda text: text.replace("\\frac", "\\dfrac").replace("\\tfrac", "\\dfrac")),
    ("minus", lambda text: text.replace("-", "−")),
    ("ellipsis", lambda text: text.replace("\\dots", "…").replace("\\ldots", "…").replace("\\cdots", "…")),
    ("case", str.upper),
    ("figure", lambda text: text + "\n[asy] size(200); draw((0,0)--(3,4)); label(\"$A$\", (0,0), W); [/asy]"),
    ("footnote", lambda text: text + "\n\n* Problem proposed by a reader; see the official solutions for the figure."),
    ("overlines", lambda text: text.replace("\\overline", "\\bar").replace("\\triangle", "triangle").replace("\\angle", "∠")),
    ("units", lambda text: text.replace("^\\circ", "°").replace("\\leq", "≤").replace("\\geq", "≥").replace("\\cdot", "·")),
    ("first words", lambda text: "Consider the following. " + text),
    ("html", lambda text: text.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")),
]  # fmt: skip


@settings(max_examples=25)
@given(data_=st.data(), place=st.integers(0, 89))
def test_changes_of_wording_and_spelling_do_not_hide_a_problem(data: Path, data_: st.DataObject, place: int) -> None:
    name = tuple(COPIES)[place // 30]
    problem = load(name, data / COPIES[name][0])[place % 30]
    changes = data_.draw(st.lists(st.sampled_from(CHANGES), max_size=3, unique_by=lambda one: one[0]))
    prompt = data_.draw(st.sampled_from(["{}", *PROMPTS]))
    text = problem.statement
    for _, change in changes:
        text = change(text)
    answer = problem.answer or ""
    spelled = data_.draw(st.sampled_from([answer, f" ${answer}$ ", answer.zfill(3) if answer.isdigit() else answer]))
    found = match(load_key(name), prompt.format(text), (), [spelled])
    assert found is not None and found.id == problem.id, ([change for change, _ in changes], text)


def test_a_near_statement_counts_only_with_the_answer(data: Path) -> None:
    key = load_key("aime24")
    words = (
        "Four points A, B, C and D are drawn on the hyperbola x^2/20 - y^2/24 = 1 in such a way that ABCD is a rhombus whose two"
        " diagonals intersect at the origin. Determine the greatest real number that is less than BD^2 for all such rhombi."
    )
    found = match(key, words, (), ["480"])
    assert found is not None and found.id == "2024-I-9"
    assert match(key, words, (), ["479"]) is None


@settings(max_examples=40)
@given(st.text(), st.lists(st.text()), st.lists(st.text(max_size=12)))
def test_any_text_can_be_asked_for(text: str, row_ids: list[str], given_answers: list[str]) -> None:
    for name in KEYED:
        assert match(load_key(name), text, row_ids, given_answers) is None or row_ids
    assert all(reading in text or reading.strip() for reading in readings(text)) or not text.strip()


@pytest.mark.parametrize(
    "unit",
    ["![", ". ", "Problem: ", "<|", "[asy]", "\n", "#", "you are a ", "\\boxed{", "\\begin{asy}", "```asy", "<|im_start|>user\n"],
)
def test_hostile_texts_are_read_in_linear_time(unit: str) -> None:
    """A quadratic reading of these would take minutes; the runner's limit would end it."""
    text = unit * (LONGEST // len(unit))
    for name in KEYED:
        assert match(load_key(name), text, (), ["1"]) is None


def test_a_longer_prompt_is_known_by_its_exact_words_alone(data: Path) -> None:
    problem = load("aime24", data / "aime24.qs.jsonl")[0]
    padded = problem.statement + " " * LONGEST
    assert match(load_key("aime24"), padded, ()) is not None
    assert match(load_key("aime24"), "Please think carefully. " + padded, ()) is None


IDS = [
    ("https://artofproblemsolving.com/wiki/index.php/2024_AIME_II_Problems/Problem_4", "2024-II-4"),
    ("https://artofproblemsolving.com/wiki/index.php?title=2026_AIME_I_Problems/Problem_13#Solution_2", "2026-I-13"),
    ("https://artofproblemsolving.com/wiki/index.php/2024_AIME_II_Problems%2FProblem_4?srsltid=Afm9", "2024-II-4"),
    ("https://artofproblemsolving.com/wiki/index.php/2024_AIME_I?srsltid=AfmBOoqP9", None),
    ("AIME24I-1", "2024-I-1"), ("AIME2026-II-03", "2026-II-3"), ("aime_2026_ii_13", "2026-II-13"), ("2026_AIME_I_P05", "2026-I-5"),
    ("AIME 2024 I Problem 3", "2024-I-3"), ("2024-II-15", "2024-II-15"), ("aime2025_aime2025_i_1", "2025-I-1"),
    ("HMMT2026-FEB-ANT-01", "2026-02-algebra-1"), ("hmmt_feb_2025", None), ("2024 AMC 12A 3", None), ("aime24-7", None),
    (60, None), ("60", None), (None, None), ("AIME 2024 III 3", None), ("2024-I-150", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "identity"), IDS)
def test_an_address_or_id_names_paper_and_problem(text: object, identity: str | None) -> None:
    assert official_id(text) == identity


def test_a_plain_number_of_another_set_says_nothing_and_an_id_yields_to_the_statement(data: Path) -> None:
    """AI-MO's ids 60 to 89 and others' 0 to 29 are no numbers of problems."""
    key = load_key("aime24")
    assert all(match(key, "Wholly different words here.", [number, str(number)]) is None for number in range(100))
    problem = load("aime24", data / "aime24.qs.jsonl")[0]
    assert problem.id == "2024-I-1"
    found = match(key, problem.statement, ["2024-II-9"])
    assert found is not None and found.id == "2024-I-1"
    other = "Wholly different words here, of a problem that the key has in no wording whatever."
    assert match(load_key("aime25"), other, ["https://artofproblemsolving.com/wiki/index.php/2024_AIME_I_Problems/Problem_1"]) is None


SHAPES: list[tuple[str, Callable[[str, str], dict[str, Any]]]] = [
    ("maxwell-jia", lambda s, a: {"ID": "x", "Problem": s, "Solution": f"Long.\nTherefore \\boxed{{{a.zfill(3)}}}", "Answer": int(a)}),
    ("float", lambda s, a: {"id": "0", "question": s, "answer": float(a)}),
    ("padded", lambda s, a: {"problem": s, "expected_answer": a.zfill(3)}),
    ("boxed", lambda s, a: {"problem_text": s, "Final Answer": f"$\\boxed{{{a}}}$"}),
    ("verl", lambda s, a: {"data_source": "aime", "prompt": [{"role": "user", "content": s}], "extra_info": {"index": 0},
                           "reward_model": {"ground_truth": a, "style": "rule"}}),
    ("dapo", lambda s, a: {"prompt": [{"role": "system", "content": "Solve."}, {"role": "user", "content": f"Problem: {s}"}],
                           "reward_model": {"ground_truth": f'["{a}"]'}}),
    ("worked", lambda s, a: {"prompt": s, "reference_solution": f"\\boxed{{{a}}}\n#### {a}"}),
    ("solution alone", lambda s, a: {"problem": s, "solution": f"We have $x=12$. So the answer is $\\boxed{{{a}}}$."}),
    ("chat parts", lambda s, a: {"messages": [{"role": "user", "content": [{"type": "text", "text": s}]}], "target": a}),
    ("conversations", lambda s, a: {"messages": [{"from": "human", "content": s}], "ground_truth": [a]}),
    ("true answer", lambda s, a: {"index": 3, "question": s, "true_answer": a}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "row"), SHAPES, ids=[name for name, _ in SHAPES])
def test_statement_and_answer_are_found_under_the_names_of_public_copies(
    tmp_path: Path, flat: list[dict[str, Any]], shape: str, row: Callable[[str, str], dict[str, Any]]
) -> None:
    rows = [row(one["problem"], one["answer"]) for one in flat]
    assert plain(load("aime25", write(tmp_path / "a.jsonl", rows))) == [(entry.id, entry.answer) for entry in load_key("aime25").problems]
    wrong = [*rows[:4], row(flat[4]["problem"], "998"), *rows[5:]]
    with pytest.raises(BenchmarkError, match=r"line 5: problem 2025-I-5 of aime25 has the answer '998', the official answer is '279'"):
        load("aime25", write(tmp_path / "b.jsonl", wrong))


def test_files_of_other_kinds_give_the_same_problems(tmp_path: Path, flat: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in flat)
    (tmp_path / "array.json").write_text(json.dumps(flat, indent=1))
    (tmp_path / "array.jsonl").write_text(json.dumps(flat))
    (tmp_path / "lines.txt").write_text(lines)
    (tmp_path / "mark.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.replace("\n", "\r\n").encode())
    (tmp_path / "held.json").write_text(json.dumps({"version": 1, "data": flat}))
    (tmp_path / "named.json").write_text(json.dumps({str(at): row for at, row in enumerate(flat)}, indent=1))
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(flat), tmp_path / "table.parquet")
    for name, delimiter in (("table.csv", ","), ("table.tsv", "\t")):
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.DictWriter(file, ["problem", "answer"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(flat)
    for file in sorted(tmp_path.iterdir()):
        assert [one.statement for one in load("aime25", file)] == [row["problem"] for row in flat], file.name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl.gz", b"\x1f\x8b\x08broken", "not a gzip file that can be read"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
        ("a.json", b'["a", "b"]', "expected a JSON object, got list"),
        ("a.json", b'[\n"a",\n"b"]', "row 1: expected a JSON object, got str"),
        ("a.csv", b"x\n1\n", "row 1: no problem statement"),
        ("a.jsonl", b"\xff\x00{", "line 1: not UTF-8"),
        ("a.jsonl", b"", "0 of 30 problems"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as error:
        load("aime25", tmp_path / name)
    assert "\n" not in str(error.value)


def test_rows_of_other_contests_are_left_out_and_counted(data: Path, tmp_path: Path, flat: list[dict[str, Any]]) -> None:
    other = [{"problem": one.statement, "answer": one.answer} for one in load("aime24", data / "aime24.qs.jsonl")]
    file = write(tmp_path / "mixed.jsonl", [*other, {"note": "no statement"}, *flat])
    with pytest.warns(BenchmarkWarning) as caught:
        problems = load_benchmark("aime25", file)
    assert [one.statement for one in problems] == [row["problem"] for row in flat]
    (line,) = (str(one.message) for one in caught)
    assert "31 rows left out, the first: line 1: not a problem of aime25" in line
    with pytest.raises(BenchmarkError, match=r"29 of 30 problems of aime25; missing 2025-II-15; 30 rows unknown, the first: line 1: not a"):
        load("aime25", write(file, [*other, *flat[:-1]]))
    with pytest.raises(BrokenRow, match=r"line 31: no problem statement .*; 29 of 30 problems of aime25; missing 2025-II-15"):
        load("aime25", write(file, [*other, {"note": "no statement"}, *flat[:-1]]))


def test_one_paper_alone_is_named_and_two_files_of_a_folder_are_one_set(tmp_path: Path, flat: list[dict[str, Any]]) -> None:
    first = write(tmp_path / "aime2025-I.jsonl", flat[:15])
    with pytest.raises(BenchmarkError, match=r"15 of 30 problems of aime25; missing 2025-II-1, .*\(all of 2025-II: is that in"):
        load("aime25", first)
    with pytest.raises(BenchmarkError, match=r"no aime25\.qs\.jsonl or aime25\.jsonl in"):
        load("aime25", tmp_path)
    write(tmp_path / "aime2025-II.jsonl", flat[15:])
    assert [one.statement for one in load("aime25", tmp_path)] == [row["problem"] for row in flat]
    write(tmp_path / "AIME_2025.json", flat)
    assert len(load("aime25", tmp_path)) == 30
    write(tmp_path / "aime2025.csv", flat)
    with pytest.raises(BenchmarkError, match=r"several copies in .* \(AIME_2025\.json, aime2025\.csv\); pass --benchmark-path with one"):
        load("aime25", tmp_path)


def test_a_set_that_is_there_several_times_is_read_once_and_a_single_double_is_refused(tmp_path: Path, flat: list[dict[str, Any]]) -> None:
    file = write(tmp_path / "eight.jsonl", flat * 8)
    with pytest.warns(BenchmarkWarning, match="every problem of aime25 is there 8 times and is read once"):
        assert len(load_benchmark("aime25", file)) == 30
    with pytest.raises(BenchmarkError, match=r"line 31: problem 2025-I-1 of aime25 appears twice \(also line 1\)"):
        load("aime25", write(file, [*flat, flat[0]]))
    other = flat[0] | {"problem": flat[0]["problem"].replace("Find the sum of all", "What is the total of the")}
    assert recognise(load_key("aime25"), other["problem"], (), ["70"]) is not None
    with pytest.raises(BenchmarkError, match="line 31: problem 2025-I-1 of aime25 appears twice .*in two wordings"):
        load("aime25", write(file, [*flat, other, *flat[1:]]))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("AIME24", "aime24"), ("aime_2024", "aime24"), ("aime2026", "aime26"), ("hmmt_feb_2025", "hmmt25"),
        ("HMMT-February-2026", "hmmt26"),
        ("math-500", "math500"), ("human_eval", "humaneval"), ("livecodebench_v6", "lcb_v6"), ("aime23", None), ("gpqa", None), ("", None),
    ],
)  # fmt: skip
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(name: str, hint: str | None) -> None:
    with pytest.raises(BenchmarkError, match="unknown benchmark .*available: aime24, aime25") as error:
        load_benchmark(name)
    assert str(error.value).endswith(f"; did you mean {hint!r}?") if hint else "did you mean" not in str(error.value)


@pytest.mark.parametrize(("name", "count"), [("aime26", 30), ("hmmt26", 33)])
def test_the_keys_of_2026_say_which_answers_have_one_source(tmp_path: Path, name: str, count: int) -> None:
    key = load_key(name)
    assert len(key.problems) == count == len({entry.hash for entry in key.problems}) == len(key.by_id)
    rows = [{"id": entry.id, "problem": f"Find the number {at}.", "answer": entry.answer} for at, entry in enumerate(key.problems)]
    unconfirmed = [entry.id for entry in key.problems if not entry.confirmed]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        problems = load_benchmark(name, write(tmp_path / f"{name}.jsonl", rows))
    assert [one.id for one in problems if one.info.get("unconfirmed")] == unconfirmed
    lines = [str(one.message) for one in caught if "unconfirmed" in str(one.message)]
    assert len(lines) == (1 if unconfirmed else 0) and all(unconfirmed[0] in line for line in lines)
    if name.startswith("aime"):
        assert all(0 <= int(entry.answer) <= 999 and entry.confirmed for entry in key.problems)


def test_answers_are_compared_by_value() -> None:
    half = "\\frac{1}{2}"
    for given_answer, official in [("033", "33"), ("33.0", "33"), ("$33$", "33"), ("\\dfrac{1}{2}", half), ("0.5", half), ("000", "0")]:
        assert same_answer(given_answer, official)
    for given_answer, official in [("34", "33"), ("330", "33"), ("", "33"), ("\\frac{1}{3}", half), ("33" + " + 0" * 99, "33")]:
        assert not same_answer(given_answer, official)


def test_every_wording_of_a_key_is_of_one_problem() -> None:
    for name in ("aime24", "aime25", "hmmt25", "aime26", "hmmt26"):
        key = load_key(name)
        hashes = [one for entry in key.problems for one in (entry.hash, *(other.hash for other in entry.others))]
        assert len(hashes) == len(set(hashes)) and statement_hash("") not in hashes
