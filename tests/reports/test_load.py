"""Reading a run folder: complete, half-written, damaged."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Problem
from reports.load import NotARunFolder, Reader, load_run
from reports.render import write_report
from reports.scores import defects, scores

Builder = Any
"""`RunBuilder` of conftest.py."""


def test_a_complete_run_is_read_without_notes(smoke_run: Builder) -> None:
    run = load_run(smoke_run.write())
    assert run.notes == []
    assert [m.model for m in run.measurements][:2] == ["sft", "rl-math"]
    assert list(run.metrics)[:3] == ["sft", "rl-math", "rl-math-clip"]
    first = scores(run.measurements[0], "strict")
    assert first is not None
    assert first.problem_ids[10] == "p10"
    assert first.correct.tolist() == [0, 1, 2] * 4
    assert first.score == pytest.approx(25.0)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotARunFolder, match="no such folder"):
        load_run(tmp_path / "missing")
    with pytest.raises(NotARunFolder, match="not a run folder"):
        load_run(tmp_path)


def test_torn_and_corrupt_lines_are_left_out_and_reported(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    path = root / "generations" / "mini-aime" / "sft.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "{broken}\n" + "".join(lines[2:-1]) + lines[-1][:20])
    run = load_run(root)
    assert len(run.measurements[0].samples) == 6
    assert any("torn" in note for note in run.notes)
    assert any("line 2" in note for note in run.notes)


def test_a_sample_that_was_written_twice_counts_once(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    path = root / "generations" / "mini-aime" / "sft.jsonl"
    path.write_text(path.read_text() * 2)
    assert len(load_run(root).measurements[0].samples) == 8


def test_a_generation_is_read_back_by_its_place(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2], text=lambda problem, index: f"é {problem}/{index}")
    run = load_run(builder.write())
    with Reader() as reader:
        for sample in run.measurements[0].samples.values():
            expected = f"é {sample.key.problem_id[1:]}/{sample.key.sample_index}"
            assert reader.read(sample).text == expected


def test_nan_null_and_torn_metrics_are_missing_values(builder: Builder) -> None:
    path = builder.metrics(
        "rl-math", [{"reward_mean": 0.5}, {"reward_mean": math.nan}, {"reward_mean": None}]
    )
    path.write_text(path.read_text() + '{"step": 3, "rew')
    run = load_run(builder.write())
    column = run.metrics["rl-math"].column("reward_mean")
    assert column[0] == 0.5 and math.isnan(column[1]) and math.isnan(column[2]) and len(column) == 3
    assert any("reward_mean is not finite at step 1" in note for note in run.notes)
    assert any("torn" in note for note in run.notes)


def test_huge_and_strange_metric_values_do_not_stop_the_reader(builder: Builder) -> None:
    path = builder.metrics("sft", [{"loss": 10**400}, {"loss": "text"}, {"loss": [1]}, {"loss": 1.5}])
    path.write_text(path.read_text() + '{"loss": 1}\n[1]\n')
    run = load_run(builder.write())
    assert run.metrics["sft"].has("loss")
    assert any("without a step" in note for note in run.notes)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', "\x00", "[" * 100_000])
def test_a_damaged_manifest_is_a_note(builder: Builder, text: str) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    (root / "manifest.json").write_text(text)
    run = load_run(root)
    assert any("manifest" in note for note in run.notes)
    assert run.manifest.stand_in is None
    assert len(run.measurements) == 1


def test_a_wrong_manifest_field_costs_only_that_field(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    builder.measure("mini-aime", "rl-math", [1, 2])
    builder.manifest["evaluations"][0]["samples"] = "many"
    builder.manifest["hardware"] = 3
    builder.manifest["notes"] = None
    run = load_run(builder.write())
    assert [(entry.model, entry.samples) for entry in run.manifest.evaluations] == [("sft", None), ("rl-math", 4)]
    assert run.manifest.name == "hand-made"
    assert any("hardware" in note for note in run.notes)
    assert any("evaluations.0.samples" in note for note in run.notes)


@pytest.mark.parametrize("gone", ["benchmark", "model"])
def test_an_evaluation_that_says_not_what_was_measured_is_left_out(builder: Builder, gone: str) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    builder.measure("mini-aime", "rl-math", [1, 2])
    del builder.manifest["evaluations"][0][gone]
    builder.manifest["evaluations"].append("nonsense")
    assert [entry.model for entry in load_run(builder.write()).manifest.evaluations] == ["rl-math"]


def test_an_evaluation_without_checkpoint_or_sampling_is_that_of_the_only_samples(builder: Builder) -> None:
    for model, unsaid in (("a", ["revision"]), ("b", ["sampling_hash"]), ("c", ["revision", "sampling_hash"])):
        builder.measure("mini-aime", model, [1, 2])
        for name in unsaid:
            del builder.manifest["evaluations"][-1][name]
    run = load_run(builder.write())
    assert [(one.model, one.revision, one.sampling_hash, len(one.samples)) for one in run.measurements] == [
        (model, "r1", "sh", 8) for model in "abc"
    ]
    assert all(one.evaluation and len(one.grades["strict"]) == 8 for one in run.measurements) and run.notes == []


def test_an_evaluation_that_may_be_of_two_checkpoints_is_of_neither(builder: Builder) -> None:
    builder.measure("mini-aime", "a", [1, 2])
    del builder.manifest["evaluations"][-1]["revision"]
    root = builder.write()
    path = root / "generations" / "mini-aime" / "a.jsonl"
    path.write_text(path.read_text().replace('"revision":"r1"', '"revision":"r0"') + path.read_text())
    run = load_run(root)
    assert [(len(one.samples), one.grades) for one in run.measurements] == [(0, {})]
    said = "of another checkpoint or sampling than the manifest describes, or it does not say of which"
    assert run.notes == [f"16 samples of a on mini-aime left out: {said}."]


def test_samples_that_two_evaluations_may_mean_are_of_neither(builder: Builder) -> None:
    builder.measure("mini-aime", "a", [1, 2])
    (entry,) = builder.manifest["evaluations"]
    builder.manifest["evaluations"] = [entry | {"sampling_hash": ""}, entry | {"sampling_hash": "", "revision": ""}]
    run = load_run(builder.write())
    assert [(len(one.samples), one.grades) for one in run.measurements] == [(0, {}), (0, {})]


def test_labels_stay_apart_and_short(builder: Builder) -> None:
    alike = ["checkpoints/step-8", "checkpoints/step-16", "a" * 10**6 + "1", "a" * 10**6 + "2"]
    for number, revision in enumerate(alike):
        builder.measure("mini-aime", "m", [1, 2], revision=revision, sampling_hash=f"sampling{number}", file=f"m{number}")
    measurements = load_run(builder.write()).measurements
    for name in ("label", "row_label", "protocol_label"):
        found = [getattr(one, name) for one in measurements]
        assert len(set(found)) == 4 and max(map(len, found)) < 80


def test_a_row_that_is_no_grade_costs_only_itself(builder: Builder) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    path = root / "grades" / "mini-aime" / "sft.parquet"
    table = parquet.read_table(path)
    reasons = table.column("reason").to_pylist()
    reasons[4] = "who knows"
    parquet.write_table(table.set_column(table.schema.get_field_index("reason"), "reason", [reasons]), path)
    run = load_run(root)
    assert sum(map(len, run.measurements[0].grades.values())) == 15
    assert "grades/mini-aime/sft.parquet: 1 row unreadable and left out, the first is row 5." in run.notes


def test_notes_say_nothing_of_where_the_folder_is(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    (root / "grades" / "mini-aime" / "sft.parquet").write_bytes(b"nonsense")
    (root / "config.toml").unlink()
    (root / "config.toml").mkdir()
    (root / "data").mkdir(exist_ok=True)
    (root / "data" / "mini-aime.jsonl").write_text("{")
    (root / "data" / "funnel.json").mkdir()
    notes = load_run(root).notes
    assert len(notes) == 4 and not any(str(root) in note for note in notes), notes


@pytest.mark.parametrize("name", ["a", "data", "run"])
def test_a_note_is_the_same_whatever_the_folders_name(builder: Builder, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    (root / "data").mkdir()
    (root / "data" / "mini-aime.jsonl").write_text("{")
    moved = root.rename(root.with_name(name))
    monkeypatch.chdir(moved.parent)
    for path in (moved, Path(name)):
        (note,) = load_run(path).notes
        assert note.startswith("data/mini-aime.jsonl cannot be read (data/mini-aime.jsonl, line 1: not JSON")


def test_settings_are_read_from_beside_the_samples_and_nowhere_else(builder: Builder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "settings").mkdir(parents=True)
    (outside / "settings" / "aa.json").write_text('{"engine": {"dtype": "secret"}}')
    builder.measure("mini-aime", "sft", [1, 2, 3])
    root = builder.write()
    path = root / "generations" / "mini-aime" / "sft.jsonl"
    settings = path.parent / "settings"
    settings.mkdir()
    (settings / "aa.json").symlink_to(outside / "settings" / "aa.json")
    os.mkfifo(settings / "bb.json")
    sent = {"model": "m", "top_k": -1, "<b>": 1}
    engine = {"dtype": "mine", "stop_ids": None, "versions": {"a": 1}, "max_model_len": 9, "sent": sent}
    (settings / "cc.json").write_text(json.dumps({"engine": engine}))
    (settings / "dd.json").write_text('{"engine": ' + '{"a":' * 3000 + "1" + "}" * 3001)
    (settings / "ee.json").write_text('{"engine": {"dtype": ' + "[" * 500 + "1" + "]" * 500 + "}}")
    (settings / "ff.json").write_text('{"engine": {"dtype": "' + "x" * 10**6 + '"}}')
    names = ["aa", "bb", "cc", "dd", "ee", "ff", "../outside", "", "gone"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row | {"settings": names[i % len(names)], "benchmark": str(outside) if i == 9 else "mini-aime"} for i, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [one.settings for one in load_run(root).measurements if one.benchmark == "mini-aime"]
    known = {"engine.dtype": "mine", "engine.max_model_len": 9, "engine.sent.top_k": -1}  # and no null
    assert found == [{name: {} for name in sorted(set(names) - {""})} | {"cc": known}]


def test_samples_of_another_checkpoint_are_left_out_with_a_note(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    path = root / "generations" / "mini-aime" / "sft.jsonl"
    old = [json.loads(line) | {"revision": "older"} for line in path.read_text().splitlines()]
    path.write_text(path.read_text() + "".join(json.dumps(row) + "\n" for row in old))
    run = load_run(root)
    assert len(run.measurements) == 1 and len(run.measurements[0].samples) == 8
    assert any("another checkpoint or sampling" in note for note in run.notes)


def test_two_protocols_of_one_model_are_two_measurements(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    other = builder.manifest["evaluations"][0] | {"sampling_hash": "other", "protocol": {"name": "other"}}
    builder.manifest["evaluations"].append(other)
    run = load_run(builder.write())
    assert [(m.evaluation.protocol_name, len(m.samples)) for m in run.measurements if m.evaluation] == [
        ("smoke-math", 8),
        ("other", 0),
    ]


def test_broken_grades_are_left_out_as_a_whole(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    (root / "grades" / "mini-aime" / "sft.parquet").write_bytes(b"PAR1 broken")
    run = load_run(root)
    assert run.measurements[0].grades == {}
    assert any("sft.parquet cannot be read" in note for note in run.notes)


def test_defects_name_missing_failed_and_identical_samples(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2], text=lambda problem, index: "same")
    builder.manifest["evaluations"][0]["expected"] = 12
    root = builder.write()
    path = root / "generations" / "mini-aime" / "sft.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0] |= {"finish_reason": "error", "error": "out of memory"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = "; ".join(defects(load_run(root).measurements[0], "strict"))
    assert "4 of 12 samples missing" in found
    assert "1 generation failed" in found
    assert "5 generations identical" in found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.9])
def test_any_file_may_end_anywhere(builder: Builder, share: float) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    builder.metrics("rl-math", [{"reward_mean": 0.5}, {"reward_mean": 0.6}])
    builder.problems(
        "mini-aime", [Problem(benchmark="mini-aime", id="p0", kind="math", statement="?", answer="1")]
    )
    root = builder.write()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        run = load_run(root)
        for measurement in run.measurements:
            for grader in measurement.graders:
                scores(measurement, grader)
        noticeable = share > 0 and path.name != "config.toml"
        assert run.notes or not noticeable, f"{path.name} cut at {share} goes unnoticed"
        path.write_bytes(whole)


def test_samples_beyond_a_complete_evaluation_are_not_its_defects(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    root = builder.write()
    path = root / "generations" / "mini-aime" / "sft.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows.append(rows[0] | {"sample_index": 99})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert defects(load_run(root).measurements[0], "strict") == []


def test_a_stage_without_evaluations_is_not_damaged(smoke_run: Builder) -> None:
    (smoke_run.path / "evaluations").mkdir()
    (smoke_run.path / "evaluations" / "rl-math.jsonl").touch()
    assert load_run(smoke_run.write()).notes == []


def test_a_model_that_is_named_like_a_control_is_none(builder: Builder) -> None:
    builder.measure("mini-aime", "my-8b-sft", [1, 2])
    assert not load_run(builder.write()).measurements[0].is_control
    builder.measure("mini-aime", "rl-math-sft", [1, 2])
    assert load_run(builder.write()).measurements[1].is_control


def test_no_wrong_byte_of_the_grades_stops_the_reader(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    path = builder.path / "grades" / "mini-aime" / "sft.parquet"
    whole, root = path.read_bytes(), builder.write()
    for place in range(0, len(whole), max(1, len(whole) // 400)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        load_run(root)


def test_links_to_nowhere_and_files_in_place_of_folders_are_survived(smoke_run: Builder) -> None:
    (smoke_run.path / "evaluations").mkdir()
    (smoke_run.path / "evaluations" / "rl-math.jsonl").symlink_to("nowhere")
    (smoke_run.path / "report").mkdir()
    (smoke_run.path / "report" / "samples").write_text("a file")
    assert write_report(smoke_run.write()).is_file()
