"""What a run folder does not say: the report says that it is unknown, and the same from wherever it is read."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from run_builder import contents_of

from reports.render import write_report

Builder = Any
"""`RunBuilder` of conftest.py."""


def test_what_the_metrics_do_not_say_is_said_to_be_unknown(builder: Builder) -> None:
    groups = {"groups": 8, "groups_flat": 2, "groups_kept": 6}
    rows: list[dict[str, Any]] = [groups | {"updates": 2, "clip_low": 0.0, "clip_high": 0.0, "seconds": 1.0} for _ in range(4)]
    unknown = {"groups_flat": math.nan, "clip_low": math.nan, "seconds": math.nan}
    builder.metrics("rl-math", [rows[0] | unknown, *rows[1:]])
    builder.metrics("rl-math-sft", rows)
    for model, level in (("sft", 1), ("rl-math", 3), ("rl-math-sft", 2)):
        builder.measure("mini-aime", model, [level] * 6)
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "In rl-math no token left the clip range in the 3 steps where that is known (unknown in 1 other step)." in markdown
    assert "In rl-math no token left the clip range:" not in markdown and "Not the same time" not in markdown
    assert "groups made 24, rewards differ 18, kept by the filter 18" in markdown
    assert "all steps together but 1 in which one of the numbers is unknown" in markdown
    assert "| rl-math | 4 | at least 3 |" in markdown
    gains = next(line for line in markdown.splitlines() if line.startswith("| rl-math | GPPO |"))
    assert gains.endswith("| unknown |")


def test_a_date_in_the_configuration_is_shown(builder: Builder) -> None:
    builder.measure("mini-aime", "mine", [1, 2])
    builder.manifest["preset"]["differences"] = [{"field": "since", "paper": "1", "release": "2"}]
    root = builder.write()
    (root / "config.toml").write_text("[rl_math]\nsince = 1979-05-27\n")
    assert "1979-05-27" in write_report(root).with_name("report.md").read_text()


def test_how_much_is_there_is_said_before_anything_is_graded(builder: Builder) -> None:
    builder.measure("mini-aime", "mine", [1, 2])
    (builder.path / "grades" / "mini-aime" / "mine.parquet").unlink()
    builder.manifest["evaluations"][0]["expected"] = 12
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "mine: 8 samples of 12 that are expected, none of them graded." in markdown


def test_the_words_for_an_image_have_no_marks_in_them(builder: Builder) -> None:
    builder.measure("mini-aime", "mine@home", [1, 2])
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    alts = [line for line in markdown.splitlines() if line.startswith("![")]
    assert alts and not any("<!--" in line for line in alts) and any("mine\\@home" in line for line in alts)


def test_the_same_damaged_run_gives_the_same_report_from_wherever_it_is_read(builder: Builder, tmp_path: Path, monkeypatch: Any) -> None:
    builder.measure("mini-aime", "mine", [1, 2])
    root = builder.write()
    (root / "grades" / "mini-aime" / "mine.parquet").write_bytes(b"nonsense")
    (root / "data").mkdir()
    (root / "data" / "mini-aime.jsonl").write_text("{")
    copy = tmp_path / "elsewhere" / root.name
    shutil.copytree(root, copy)
    monkeypatch.chdir(root.parent)
    first, second = contents_of(write_report(Path(root.name)).parent), contents_of(write_report(copy).parent)
    assert first == second
