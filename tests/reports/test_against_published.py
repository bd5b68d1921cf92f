"""Verdicts against published numbers: who may be compared, and what blocks a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.protocols import load_protocol
from benchmarks.records import read_grades, write_grades
from reports.against_published import comparisons, unjudged
from reports.blocks import between
from reports.figures_scores import within
from reports.load import load_run
from reports.render import write_report
from reports.statistics import Verdict

Builder = Any
"""`RunBuilder` of conftest.py."""

RELEASE = load_protocol("klear-release-64k").model_dump(mode="json")
# 1,738 of 1,920 right is 90.5; the spread is that of a model that solves most problems always.
RIGHT = [64] * 20 + [60, 58, 55, 54, 50, 48, 45, 40, 32, 16]


def measured(
    builder: Builder, right: list[int] = RIGHT, model: str = "Klear-Reasoner-8B", **changes: Any
) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", model, right, 64, protocol=RELEASE | changes, graders=("klear",))


def only_verdict(builder: Builder) -> Verdict:
    found = comparisons(load_run(builder.write()))
    assert len(found) == 1
    return found[0].verdict


def test_the_same_protocol_and_enough_samples_give_a_verdict(builder: Builder) -> None:
    measured(builder)
    verdict = only_verdict(builder)
    assert verdict.blockers == ()
    assert verdict.difference == pytest.approx(sum(RIGHT) / 19.2 - 90.5)
    assert verdict.label == verdict.unblocked_label


def test_a_score_far_below_is_not_reproduced_and_the_report_says_so(builder: Builder) -> None:
    measured(builder, [max(0, count - 8) for count in RIGHT])
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "| not reproduced (below) |" in markdown
    assert "aime24, klear grader: " in markdown and "at 64K: not reproduced." in markdown


def test_a_score_inside_the_margin_but_for_the_reserve_is_explained_and_stays_comparable(builder: Builder) -> None:
    measured(builder, [*RIGHT[:-1], 28])
    verdict = only_verdict(builder)
    assert verdict.near_margin and (verdict.label, verdict.unblocked_label) == ("inconclusive", "reproduced")
    markdown = write_report(builder.path).with_name("report.md").read_text()
    assert "klear grader, is not called reproduced because of:" in markdown
    assert "a difference inside the margin only without a reserve" in markdown and "-0.68 to +2.03 points" in markdown
    assert "would decide with 71 samples a problem" in markdown
    assert "not comparable" not in markdown


def test_what_other_blockers_hide_has_the_reserve_too(builder: Builder) -> None:
    measured(builder, [*RIGHT[:-1], 28], sampling=RELEASE["sampling"] | {"top_k": 0}, name="mine")
    assert only_verdict(builder).near_margin
    markdown = write_report(builder.path).with_name("report.md").read_text()
    assert "| inconclusive | inconclusive |" in markdown


def test_another_budget_is_said_beside_the_published_number(builder: Builder) -> None:
    measured(builder, max_new_tokens=1024)
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "(klear; budget 1,024 tokens; not comparable, see above)" in markdown


def test_another_protocol_blocks_and_names_the_fields(builder: Builder) -> None:
    sampling = RELEASE["sampling"] | {"top_k": 0}
    measured(builder, [max(0, count - 8) for count in RIGHT], sampling=sampling, name="mine")
    verdict = only_verdict(builder)
    assert (verdict.label, verdict.unblocked_label) == ("inconclusive", "not reproduced")
    assert "sampling.top_k 0 instead of 20" in verdict.blockers[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entry, manifest: entry.update(protocol={"name": "other", "max_new_tokens": 65536}), "protocol is unknown"),
        (lambda entry, manifest: entry.update(skipped=3), "3 rows of the imported files left out"),
        (lambda entry, manifest: entry.update(tools=96), "96 of the imported responses contain executed code"),
        (lambda entry, manifest: entry.update(protocol={"name": "klear-release-64k"}), "protocol is unknown"),
        (lambda entry, manifest: entry.update(expected=30 * 64 + 5), "5 of 1925 samples missing"),
        (
            lambda entry, manifest: manifest.update(model_note="dequantised from Q4_1"),
            "dequantised from Q4_1",
        ),
        (lambda entry, manifest: manifest.pop("stand_in"), "does not say what the run is"),
        (lambda entry, manifest: manifest.update(model_note=["dequantised"]), "a damaged manifest"),
        (lambda entry, manifest: manifest.update(schema=2), "another schema"),
        (lambda entry, manifest: manifest.update(stages={"eval": {"status": "running"}}), "not finished"),
        (lambda entry, manifest: manifest["evaluations"].append(entry | {"engine": "vllm"}), "describes it twice"),
        (lambda entry, manifest: entry.update(problem_ids=[f"q{i}" for i in range(30)]), "not both in the manifest and graded"),
        (lambda entry, manifest: entry.update(expected=30 * 64 - 1), "1 sample more than expected"),
    ],
)
def test_whatever_makes_runs_incomparable_blocks(builder: Builder, change: Any, reason: str) -> None:
    measured(builder)
    builder.manifest = json.loads(json.dumps(builder.manifest))
    change(builder.manifest["evaluations"][0], builder.manifest)
    verdict = only_verdict(builder)
    assert verdict.label == "inconclusive"
    assert reason in "; ".join(verdict.blockers)


@pytest.mark.parametrize("judges", [["klear", "strict"], ["strict", "klear"]])
def test_the_judge_is_the_published_protocols_whatever_the_runs_own_says(builder: Builder, judges: list[str]) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", RIGHT, 64, protocol=RELEASE | {"judges": judges})
    found = {one.result.grader: one.verdict for one in comparisons(load_run(builder.write()))}
    assert found["klear"].blockers == ()
    assert found["strict"].blockers == ("other judge (strict; the published number's is klear)",)
    markdown = write_report(builder.path).with_name("report.md").read_text()
    assert "strict grader, cannot get a verdict of its own" in markdown
    assert "klear grader, cannot get a verdict" not in markdown


@pytest.mark.parametrize("problem", [0, 29])
def test_a_missing_sample_leaves_the_difference_that_of_all_problems(builder: Builder, problem: int) -> None:
    measured(builder)
    path = builder.path / "grades" / "aime24" / "Klear-Reasoner-8B.parquet"
    grades = list(read_grades(path))
    lost = next(grade for grade in grades if grade.key and grade.key.problem_id == f"p{problem}")
    write_grades(path, [grade for grade in grades if grade is not lost])
    found = comparisons(load_run(builder.write()))[0]
    assert found.verdict.difference == pytest.approx(found.result.score - 90.5)
    assert "1 of 1920 samples missing or not graded" in found.verdict.blockers
    assert abs(found.verdict.score - sum(RIGHT) / 19.2) < 0.1


def test_one_sample_too_many_counts_with_its_problem_and_blocks(builder: Builder) -> None:
    measured(builder)
    extra = builder.path / "generations" / "aime24" / "Klear-Reasoner-8B.jsonl"
    row = json.loads(extra.read_text().splitlines()[0]) | {"sample_index": 64, "text": "one more"}
    with open(extra, "a") as lines:
        lines.write(json.dumps(row) + "\n")
    grades = list(read_grades(builder.path / "grades" / "aime24" / "Klear-Reasoner-8B.parquet"))
    key = grades[0].key
    assert key is not None
    more = grades[0].model_copy(update={"key": key.model_copy(update={"sample_index": 64})})
    write_grades(builder.path / "grades" / "aime24" / "Klear-Reasoner-8B.parquet", [*grades, more])
    verdict = only_verdict(builder)
    assert verdict.label == "inconclusive" and "1 sample more than expected" in verdict.blockers
    assert abs(verdict.score - sum(RIGHT) / 19.2) < 0.5


def test_grades_that_contradict_each_other_block(builder: Builder) -> None:
    measured(builder)
    path = builder.path / "grades" / "aime24" / "Klear-Reasoner-8B.parquet"
    grades = list(read_grades(path))
    other = grades[0].model_copy(update={"correct": False, "reason": "wrong", "score": 0.0})
    write_grades(path, [*grades, other])
    verdict = only_verdict(builder)
    assert verdict.label == "inconclusive" and "graded twice, differently" in verdict.blockers[0]


def test_samples_of_two_prompts_block(builder: Builder) -> None:
    measured(builder)
    path = builder.path / "grades" / "aime24" / "Klear-Reasoner-8B.parquet"
    grades = [grade for grade in read_grades(path) if grade.key]
    first = [(grade, grade.key) for grade in grades if grade.key and grade.key.sample_index < 3]
    other = [grade.model_copy(update={"key": key.model_copy(update={"prompt_hash": "other"})}) for grade, key in first]
    write_grades(path, [*grades, *other])
    builder.manifest["evaluations"][0]["expected"] = len(grades) + len(other)
    assert "samples of different prompts for the same problem" in only_verdict(builder).blockers


def test_fewer_problems_block(builder: Builder) -> None:
    measured(builder, RIGHT[:3])
    assert "3 of the benchmark's 30 problems" in "; ".join(only_verdict(builder).blockers)


def test_no_other_model_is_set_against_a_published_score(builder: Builder) -> None:
    measured(builder, model="SmolLM2-135M-Instruct")
    assert comparisons(load_run(builder.write())) == []
    page = write_report(builder.path)
    markdown = page.with_name("report.md").read_text()
    assert "This project knows no published number of a model on a benchmark that was measured here" in markdown
    said = markdown + "".join(file.read_text() for file in (page.parent / "figures").glob("*.svg"))
    assert "90.5 (64K" not in said and "published, with its margin" not in said and "Klear" not in said


def test_without_a_known_budget_all_published_rows_are_shown_and_none_is_judged(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", RIGHT, 64, graders=("klear",))
    builder.manifest["evaluations"][0] |= {"engine": "imported", "protocol": {"name": "imported", "judges": ["klear"]}}
    run = load_run(builder.write())
    assert comparisons(run) == []
    (one,) = unjudged(run)
    said = "published 83.2 (32K), 90.5 (64K); not judged, because the token budget is unknown."
    assert one.sentence == f"aime24, klear grader: 90.5 measured; {said}"
    markdown = write_report(builder.path).with_name("report.md").read_text()
    assert "| 83.2 (32K), 90.5 (64K) | – | – | not judged | – |" in markdown and "reproduced" not in markdown.partition("## ")[0]
    assert markdown.count("| 90.5 (klear; not judged) |") == 2 and "An import says it with --protocol." in markdown


@pytest.mark.parametrize(
    ("protocol", "score"), [("klear-issue2-64k", "85.6 (I2)"), ("klear-release-64k", ""), ("klear-paper-32k", "81.3 (I2)")]
)
def test_an_independent_number_of_the_same_protocol_stands_beside_the_verdict(builder: Builder, protocol: str, score: str) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Kwai-Klear/Klear-Reasoner-8B", RIGHT, 64, protocol=load_protocol(protocol).model_dump(mode="json"), file="k")
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert (f"Measured by others under the same protocol: {score}." in markdown) == bool(score)
    assert (f" | {score} | " in markdown) == bool(score)


def test_a_protocol_that_was_changed_is_not_the_independent_numbers(builder: Builder) -> None:
    changed = load_protocol("klear-issue2-64k").resolve({"sampling.temperature": 0.7})
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", RIGHT, 64, protocol=changed.model_dump(mode="json"))
    assert [one.independent for one in comparisons(load_run(builder.write()))] == [(), ()]


def test_shown_intervals_end_where_scores_and_differences_do(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", [1, 1, 1, 0], 1, protocol=RELEASE, graders=("klear",))
    verdict = only_verdict(builder)
    assert verdict.ci90[0] < -30 and between(-130.0, 120.0, sign=True) == "−100.0 to +100.0" and between(-3.0, 101.0) == "0.0 to 100.0"
    assert within(99.5, 1.0) == (1.0, 0.5) and within(0.4, 2.0) == (0.4, 2.0)


def test_identical_generations_block(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    builder.measure(
        "aime24",
        "Klear-Reasoner-8B",
        RIGHT,
        64,
        protocol=RELEASE,
        graders=("klear",),
        text=lambda problem, index: "same",
    )
    verdict = only_verdict(builder)
    assert verdict.label == "inconclusive"
    assert "identical" in "; ".join(verdict.blockers)


def test_a_half_finished_evaluation_has_no_verdict_of_its_own(builder: Builder) -> None:
    measured(builder, RIGHT[:10])
    builder.manifest["evaluations"][0] |= {"expected": 1920, "problem_ids": [f"p{i}" for i in range(30)]}
    assert only_verdict(builder).label == "inconclusive"


def test_a_stand_in_is_never_compared_even_on_a_real_benchmark(builder: Builder) -> None:
    measured(builder)
    builder.manifest["stand_in"] = True
    assert comparisons(load_run(builder.write())) == []


def test_a_grade_without_a_manifest_entry_is_measured_but_not_judged(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", RIGHT, 64, graders=("klear",), describe=False)
    run = load_run(builder.write())
    assert comparisons(run) == [] and [one.published for one in unjudged(run)] == ["83.2 (32K), 90.5 (64K)"]


def test_what_would_decide_is_said(builder: Builder) -> None:
    measured(builder, [min(64, count + 1) for count in RIGHT])
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "A perfect reproduction of this size would be called reproduced with probability" in markdown


def test_one_sandbox_verdict_does_not_make_maths_a_program(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", RIGHT, 64, protocol=RELEASE, graders=("strict",))
    path = builder.path / "grades" / "aime24" / "Klear-Reasoner-8B.parquet"
    first, *rest = read_grades(path)
    write_grades(path, [first.model_copy(update={"verdict": "AC"}), *rest])
    assert "other judge (strict; the published number's is klear)" in only_verdict(builder).blockers


def test_one_key_with_two_texts_blocks(builder: Builder) -> None:
    measured(builder)
    path = builder.path / "generations" / "aime24" / "Klear-Reasoner-8B.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    path.write_text(path.read_text() + json.dumps(line | {"text": "other"}) + "\n")
    assert only_verdict(builder).blockers == ("sample 0 of p0 is there twice, with different texts",)


def test_the_measurement_that_can_be_compared_stands_beside_the_published_number(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    hot = RELEASE | {"name": "hot", "sampling": RELEASE["sampling"] | {"temperature": 1.0}}
    builder.measure("aime24", "Klear-Reasoner-8B", [32] * 30, 64, protocol=hot, graders=("klear",), file="hot", sampling_hash="hothothot")
    measured(builder)
    markdown = write_report(builder.write()).with_name("report.md").read_text().replace("\\", "")
    assert "| 85.6 | 90.5 (klear) |" in markdown
    assert "50.0 measured for Klear-Reasoner-8B, hot hothot, 90.5 published" in markdown


def test_a_published_number_without_samples_is_shown_and_blocks_and_another_models_is_not(builder: Builder, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    row = '[[score]]\nmodel = "{}"\nbenchmark = "{}"\nscore = 61.5\n{}length = "64K"\nmeasured_by = "model"\nsource = "us"\n'
    ours = "[benchmark.ours]\nproblems = 30\nmargin = 3.0\n"
    file.write_text(ours + row.format("TheirModel", "ours", "samples = 64\n") + row.format("MyModel", "aime24", ""))
    builder.manifest["stand_in"] = False
    for benchmark in ("ours", "aime24"):
        builder.measure(benchmark, "MyModel", RIGHT, 64, protocol=RELEASE, graders=("klear",))
    (unknown,) = comparisons(load_run(builder.write(), [file]))
    assert "the published number does not say of how many samples it is" in unknown.verdict.blockers
    assert unknown.verdict.label == "inconclusive"
    markdown = write_report(builder.path, [file]).with_name("report.md").read_text()
    assert "| 61.5 (64K) |" in markdown
    assert "| MyModel | 64K | aime24 | 61.5 | – | 90.5 (klear; not comparable, see above) | us |" in markdown
    assert "| TheirModel | 64K | ours | 61.5 (avg@64) | – | not measured | us |" in markdown.replace("\\", "")


def regraded(builder: Builder, change: Any) -> None:
    """Changes fields of every grade by its number."""
    path = builder.path / "grades" / "aime24" / "Klear-Reasoner-8B.parquet"
    write_grades(path, [grade.model_copy(update=change(number, grade)) for number, grade in enumerate(list(read_grades(path)))])


def test_judging_that_ran_out_of_time_blocks_where_it_matters(builder: Builder) -> None:
    measured(builder)
    plain = only_verdict(builder)
    late = {"correct": False, "reason": "judge time-out", "score": 0.0}
    regraded(builder, lambda number, grade: late if number == 1919 else {})
    assert only_verdict(builder).blockers == plain.blockers == ()
    regraded(builder, lambda number, grade: late if number % 6 == 0 and grade.correct else {})
    verdict = only_verdict(builder)
    assert verdict.label == "inconclusive" and verdict.unblocked_label == "not reproduced"
    assert verdict.blockers == ("291 judge time-outs, counted as wrong: if all were right the numbers would say reproduced",)


def test_what_time_outs_hide_is_what_the_numbers_alone_would_say(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", [8] * 29 + [0], 8, protocol=RELEASE | {"samples": 8}, graders=("klear",))
    builder.write()
    late = {"correct": False, "reason": "judge time-out", "score": 0.0}
    regraded(builder, lambda number, grade: late if number % 6 == 0 and grade.correct else {})
    assert any("if all were right the numbers would say not reproduced (above)" in one for one in only_verdict(builder).blockers)


def test_programs_that_the_sandbox_could_not_judge_block(builder: Builder) -> None:
    measured(builder)
    regraded(builder, lambda number, grade: {"verdict": "IE"} if number in (1, 2) else {})
    assert only_verdict(builder).blockers == ("2 programs without a verdict, because the sandbox failed",)


def with_settings(builder: Builder, *made: Any) -> None:
    """Settings of the samples, in turn."""
    path = builder.path / "generations" / "aime24" / "Klear-Reasoner-8B.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row | {"settings": f"s{i % len(made)}"}) + "\n" for i, row in enumerate(rows)))
    folder = path.parent / "settings"
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(made):
        (folder / f"s{number}.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_samples_that_were_made_differently_block_and_say_how(builder: Builder) -> None:
    measured(builder)
    engine = {"name": "vllm", "max_model_len": 81920, "versions": {"vllm": "1.0"}, "endpoints": 2, "sampling": "SamplingParams()"}
    made = {"engine": engine, "protocol": RELEASE}
    newer = {"engine": engine | {"versions": {"vllm": "1.1"}, "endpoints": 1, "sampling": "SamplingParams(new=None)"}}
    other_judge = {"protocol": RELEASE | {"samples": 8, "description": "older", "name": "x+changed", "judges": ["strict"]}}
    longer = {"engine": engine | {"max_model_len": 90000, "rope_parameters": {"factor": 2.5, "partial_rotary_factor": 1.0}}}
    in_short = {"protocol": RELEASE | {"rope": {"factor": 2.5, "original_max_position_embeddings": 32768}}}
    for alike in (newer, other_judge, longer, in_short, {"engine": {}}, {"engine": {"dtype": None}}):
        with_settings(builder, made, {**made, **alike})
        assert only_verdict(builder).blockers == ()
    with_settings(builder, made | {"engine": engine | {"dtype": "float32"}}, {"engine": engine | {"dtype": "bfloat16"}})
    assert only_verdict(builder).blockers == ("samples made with 2 settings: engine.dtype float32 or bfloat16",)
    with_settings(builder, made, {"engine": engine | {"max_model_len": 40960}})
    room = "room for 40960 tokens, the manifest says that a response may have 65536"
    assert only_verdict(builder).blockers == (f"samples made with 2 settings: {room}",)
    with_settings(builder, made, "nonsense")
    assert only_verdict(builder).blockers == ("samples made with 2 settings: one of them cannot be read",)
    with_settings(builder, {"protocol": RELEASE | {"max_new_tokens": 1000}})
    assert only_verdict(builder).blockers == ("samples made with 1 setting: protocol.max_new_tokens 1000, the manifest says 65536",)
    with_settings(builder, *({"engine": {"sent": {f"field{i}": [number] * 500 for i in range(9)}}} for number in range(5)))
    (blocker,) = only_verdict(builder).blockers
    assert blocker.endswith("or others, 4 more") and len(blocker) < 1200


def test_samples_of_another_budget_that_an_attribution_shares_are_made_as_they_should_be(builder: Builder) -> None:
    measured(builder)
    path = builder.path / "generations" / "aime24" / "Klear-Reasoner-8B.jsonl"

    def shared(**other: Any) -> tuple[str, ...]:
        mine = {"protocol": RELEASE, "engine": {"dtype": "float32"}}
        with_settings(builder, mine, mine | {"protocol": RELEASE | {"max_new_tokens": 32768}} | other)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row | {"shared_from": "other" if row["settings"] == "s1" else ""} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return only_verdict(builder).blockers

    assert shared() == ()
    assert shared(engine={"dtype": "bfloat16"}) == ("samples made with 2 settings: engine.dtype float32 or bfloat16",)


def test_how_samples_were_made_that_nobody_graded_does_not_matter(builder: Builder) -> None:
    measured(builder)
    with_settings(builder, {"engine": {"dtype": "float32"}}, {"engine": {"dtype": "bfloat16"}})
    path = builder.path / "generations" / "aime24" / "Klear-Reasoner-8B.jsonl"
    rows = [json.loads(line) | {"settings": "s0"} for line in path.read_text().splitlines()]
    rows.append(rows[0] | {"settings": "s1", "sample_index": 64, "text": "another"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert only_verdict(builder).blockers == ()


def without_ends(builder: Builder, unknown: Any) -> None:
    """Nothing says how the samples ended whose number fits."""
    regraded(builder, lambda number, grade: {"finish_reason": None} if unknown(number) else {})
    path = builder.path / "generations" / "aime24" / "Klear-Reasoner-8B.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row | {"finish_reason": None, "token_count": 0} if unknown(number) else row for number, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_truncation_that_nobody_knows_is_not_called_none(builder: Builder) -> None:
    measured(builder)
    without_ends(builder, lambda number: number == 7)
    (one,) = comparisons(load_run(builder.write()))
    assert (one.verdict.label, one.verdict.blockers, one.result.truncated) == ("reproduced", (), (0.0, 1 / 1920))
    assert "| 0 % to 0.052 % | 90.5 (64K" in write_report(builder.path).with_name("report.md").read_text()
    without_ends(builder, lambda number: True)
    (one,) = comparisons(load_run(builder.write()))
    assert (one.verdict.label, one.verdict.blockers) == ("inconclusive", ("nobody knows how 100.0 % of the samples ended",))
    markdown = write_report(builder.path).with_name("report.md").read_text()
    assert "| unknown | 90.5 (64K, avg\\@64) |" in markdown and "| 30 × 64 | unknown |" in markdown


def test_a_files_own_number_of_problems_is_said(builder: Builder, tmp_path: Path) -> None:
    measured(builder, RIGHT[:29])
    own = tmp_path / "own.toml"
    own.write_text("[benchmark.aime24]\nproblems = 29\nmargin = 2.0\n")
    page = write_report(builder.write(), published=[own])
    assert "problems of such a file: aime24 29 instead of the project's 30" in page.with_name("report.md").read_text()


YARN = {"rope_type": "yarn", "factor": 2.5, "original_max_position_embeddings": 32768, "rope_theta": 1e6}


SILENT = "servers do not say whether weights were quantised and which context extension they used (eval.vouched says that you know)"


@pytest.mark.parametrize(
    ("engine", "blockers"),
    [
        ({"rope_parameters": YARN}, ()),
        ({"rope_parameters": YARN, "quantization": None, "kv_cache_dtype": "auto"}, ()),
        ({"rope_parameters": YARN, "kv_cache_dtype": "bfloat16"}, ()),
        ({"rope_parameters": YARN, "quantization": "fp8"}, ("the engine ran quantised weights (fp8)",)),
        ({"rope_parameters": YARN, "kv_cache_dtype": "fp8_e4m3"}, ("the engine's key-value cache is of type fp8_e4m3",)),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
            ("other context extension than the protocol asks for: default instead of yarn 2.5 32768",),
        ),
        (
            {"rope_parameters": YARN | {"factor": 4.0}},
            ("other context extension than the protocol asks for: yarn 4.0 32768 instead of yarn 2.5 32768",),
        ),
        ({"endpoints": 1, "sent": {}}, ()),
        ({"rope_parameters": YARN, "quantization": "gguf Q4_1"}, ("the engine ran quantised weights (gguf Q4_1)",)),
        ({"name": "openai", "served": ["main", "/models/klear-reasoner-8b/"], "vouched": True}, ()),
        ({"name": "openai", "served": ["main", "/models/klear-reasoner-8b/"], "vouched": False}, (SILENT,)),
        (
            {"name": "openai", "served": ["qwen3-8b"]},
            ("the servers say that they ran qwen3-8b, and Klear-Reasoner-8B was asked for", SILENT),
        ),
        ({"rope_parameters": [1], "quantization": [], "kv_cache_dtype": None}, ()),
    ],
)
def test_what_the_engine_did_otherwise_than_the_protocol_says_blocks(
    builder: Builder, engine: dict[str, Any], blockers: tuple[str, ...]
) -> None:
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", [58] * 30, 64, protocol=RELEASE, graders=("klear",))
    with_settings(builder, {"engine": {"dtype": "bfloat16"} | engine})
    assert only_verdict(builder).blockers == blockers


def test_an_extension_of_the_checkpoint_itself_blocks_where_the_published_number_has_none(builder: Builder) -> None:
    """A run folder of before protocols said so: its protocol has no `context`, which is the model's own."""
    builder.manifest["stand_in"] = False
    paper = load_protocol("klear-paper-32k").model_dump(mode="json")
    del paper["context"]
    builder.measure("aime24", "Klear-Reasoner-8B", [53] * 30, 64, protocol=paper, graders=("klear",))
    with_settings(builder, {"engine": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}})
    assert only_verdict(builder).blockers == ()
    with_settings(builder, {"engine": {"rope_parameters": YARN}})
    assert only_verdict(builder).blockers == ("other context extension than klear-paper-32k asks for: yarn 2.5 32768 instead of none",)
