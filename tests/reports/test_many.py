"""Several runs in one comparison, and measurements of one run side by side."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from run_builder import RunBuilder

from benchmarks.protocols import load_protocol
from reports.__main__ import main
from reports.load import load_run
from reports.many import entries_of
from reports.pairs import pairs
from reports.render import write_comparison, write_report

Builder = Any
RELEASE = load_protocol("klear-release-64k").model_dump(mode="json")


def evaluated(path: Path, name: str, right: dict[str, list[int]], model: str = "mine", **changes: Any) -> Path:
    builder = RunBuilder(path)
    builder.manifest |= {"name": name, "stand_in": False}
    for benchmark, counts in right.items():
        builder.measure(benchmark, model, counts, 8, protocol=RELEASE | changes)
    return builder.write()


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """A run, one that is better on one of two benchmarks, and one under another protocol."""
    low = [0, 1, 2, 3, 4, 5, 6, 2, 3, 1] * 3
    return [
        evaluated(tmp_path / "one", "one", {"aime24": low, "aime25": low}),
        evaluated(tmp_path / "two", "two", {"aime24": [count + 2 for count in low], "aime25": low}),
        evaluated(tmp_path / "three", "three", {"aime24": low}, sampling=RELEASE["sampling"] | {"top_k": 0}),
    ]


def test_runs_are_compared_with_the_first_on_the_same_problems(three: list[Path], tmp_path: Path) -> None:
    page = write_comparison(three, tmp_path / "out")
    markdown = page.with_name("comparison.md").read_text()
    assert "two: mine scores above one: mine on aime24 (+25.0 points, 95 % interval +13.4 to +36.6, p &lt; 0.001)." in markdown
    assert "two: mine and one: mine cannot be told apart on aime25 (0.0 points" in markdown
    assert "The protocols differ in sampling.top\\_k 0 instead of 20." in markdown
    assert "| checkpoints |" not in markdown  # the same weights by name and revision
    for name in ("accuracy", "problems-0-aime24", "problems-1-aime25"):
        assert (page.parent / "figures" / f"{name}.svg").is_file()
    assert (page.parent / "tables" / "pairs-1-compared-on-the-same-problems.csv").is_file()


def test_p_values_are_adjusted_for_all_comparisons_together(three: list[Path]) -> None:
    found = pairs(entries_of([load_run(path) for path in three]))
    assert [(pair.second.name, pair.first.measurement.benchmark) for pair in found] == [
        ("two: mine", "aime24"), ("three: mine", "aime24"), ("two: mine", "aime25"),
    ]  # fmt: skip
    assert found[0].compared.p_value < 0.001 and found[2].compared.p_value == 1.0
    assert found[0].protocol == () and found[1].protocol == ("sampling.top_k 0 instead of 20",)


def test_the_index_lists_the_runs_with_links_to_their_reports(three: list[Path], tmp_path: Path) -> None:
    odd = tmp_path / "javascript:alert(1) 'ä'"
    shutil.copytree(three[0], odd)
    page = write_comparison([three[1], odd], tmp_path / "out")
    text = page.read_text()
    assert 'href="./../two/report/index.html"' in text
    assert "./../javascript%3Aalert%281%29%20%27%C3%A4%27/report/index.html" in text
    assert 'href="javascript' not in text


def test_a_comparison_names_the_models_first_and_a_profile_only_as_the_configuration(tmp_path: Path) -> None:
    models = {"a": "Qwen3-8B", "b": "Klear-Reasoner-8B"}
    runs = [evaluated(tmp_path / name, name, {"aime24": [1, 2, 3]}, model) for name, model in models.items()]
    said = write_comparison(runs, tmp_path / "out").with_name("comparison.md").read_text()
    assert said.startswith("# 2 runs compared\n\na (Qwen3-8B), b (Klear-Reasoner-8B)\n")
    assert "| run | models | benchmarks | engine | configuration | created |" in said and "| profile smoke |" in said


def test_runs_of_the_same_name_are_told_apart_by_their_folders(three: list[Path], tmp_path: Path) -> None:
    shutil.copytree(three[0], tmp_path / "copy")
    runs = [load_run(three[0]), load_run(tmp_path / "copy")]
    assert [entry.name for entry in entries_of(runs)] == ["one: mine", "one: mine", "copy: mine", "copy: mine"]


def test_stand_ins_and_unfinished_runs_are_said(three: list[Path], tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "toy")
    builder.manifest |= {"name": "toy", "stages": {"sft": {"status": "running"}}}
    builder.measure("mini-aime", "sft", [1, 2])
    markdown = write_comparison([three[0], builder.write()], tmp_path / "out").with_name("comparison.md").read_text()
    assert "Stand-ins, or runs that do not say what they are: toy." in markdown
    assert "unfinished: sft" in markdown
    assert "No two of these measurements share" not in markdown or "aime24" in markdown


def test_an_empty_run_can_be_compared(three: list[Path], tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "empty")
    builder.manifest["name"] = "empty"
    page = write_comparison([builder.write(), three[0]], tmp_path / "out")
    assert "| [empty]" in page.with_name("comparison.md").read_text()


def test_the_same_runs_give_the_same_bytes(three: list[Path], tmp_path: Path) -> None:
    def contents() -> dict[str, bytes]:
        folder = tmp_path / "out"
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    write_comparison(three, tmp_path / "out")
    first = contents()
    write_comparison(three, tmp_path / "out")
    assert contents() == first


def test_two_checkpoints_in_one_run_are_compared(builder: Builder) -> None:
    builder.manifest["stand_in"] = False
    low = [0, 1, 2, 3, 4, 5] * 5
    builder.measure("aime24", "before", low, 8, protocol=RELEASE)
    builder.measure("aime24", "after", [count + 3 for count in low], 8, protocol=RELEASE)
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "after scores above before on aime24 (+37.5 points" in markdown
    assert "| checkpoints |" in markdown


def test_the_command_compares_and_says_where(three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main([*map(str, three), "--out", str(out), "--no-samples"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [*(str(path / "report" / "index.html") for path in three), str(out / "index.html")]
    assert not (three[0] / "report" / "samples").exists()


def test_a_users_own_published_numbers_are_used_and_a_wrong_file_is_one_line(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    row = '[[score]]\nmodel = "mine"\nbenchmark = "aime24"\nscore = 34.0\nsamples = 8\nlength = "64K"\nmeasured_by = "model"\n'
    file.write_text(row + 'source = "us"\nprotocol = "klear-release-64k"\n')
    assert main([str(three[0]), "--published", str(file)]) == 0
    markdown = (three[0] / "report" / "report.md").read_text()
    assert "34.0 published for mine at 64K" in markdown
    assert "(margins, fixed beforehand: aime24 2.0)" in markdown.replace("\\", "")
    file.write_text(file.read_text() + "[benchmark.aime24]\nproblems = 30\nmargin = 9.0\n")
    assert main([str(three[0]), "--published", str(file)]) == 0
    own = "margins of a file of published numbers beside the project's: aime24 9.0 instead of the project's 2.0"
    assert f"({own})" in (three[0] / "report" / "report.md").read_text().replace("\\", "")
    file.write_text(row.replace("34.0", "340"))
    capsys.readouterr()
    assert main([str(three[0]), "--published", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "score.0.score" in error


def test_checkpoints_and_samplings_of_one_name_are_told_apart(tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "run")
    for file, revision, sampling in (("a", "aaaaaaaaaa", "s1"), ("b", "bbbbbbbbbb", "s1"), ("c", "bbbbbbbbbb", "s2")):
        builder.measure("aime24", "mine", [1, 2, 3], revision=revision, sampling_hash=sampling, file=file, protocol=RELEASE)
    names = [entry.name for entry in entries_of([load_run(builder.write())])]
    release = "mine, klear-release-64k"
    assert names == [f"{release} s1, revision aaaaaaaa", f"{release} s1, revision bbbbbbbb", f"{release} s2, revision bbbbbbbb"]


def test_a_folder_with_other_things_in_it_is_left_alone(three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    for name in ("samples", "figures", "tmp"):
        (home / name).mkdir(parents=True)
        (home / name / "thesis.txt").write_text("mine")
    assert main([*map(str, three), "--out", str(home)]) == 2
    assert "samples, figures, tmp there would be overwritten" in capsys.readouterr().err
    assert sorted(path.name for path in home.rglob("*")) == ["figures", "samples", *["thesis.txt"] * 3, "tmp"]
    assert not (three[0] / "report").exists()  # nothing is written before


def test_checkpoints_are_compared_under_one_protocol_and_protocols_of_one_checkpoint(tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "run")
    other = RELEASE | {"name": "other", "max_new_tokens": 1024}
    for model in ("a", "b"):
        for sampling, protocol in (("s1", RELEASE), ("s2", other)):
            builder.measure("aime24", model, [1, 2, 3], sampling_hash=sampling, file=model + sampling, protocol=protocol)
    found = pairs(entries_of([load_run(builder.write())]))
    assert [(pair.first.name[0] + pair.first.name[-2:], pair.second.name[0] + pair.second.name[-2:]) for pair in found] == [
        ("as1", "as2"), ("as1", "bs1"), ("as2", "bs2"), ("bs1", "bs2"),
    ]  # fmt: skip


def test_verdicts_of_several_runs_come_with_their_reasons(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / name, name, {"aime24": [1, 2, 3]}, "Klear-Reasoner-8B") for name in ("one", "two")]
    markdown = write_comparison(runs, tmp_path / "out").with_name("comparison.md").read_text()
    assert "cannot get a verdict of its own because of:" in markdown and "| truncated |" in markdown


def test_a_users_rows_replace_the_projects_and_are_shown_with_their_source(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run", "run", {"aime24": [4] * 30}, model="Klear-Reasoner-8B")
    file = tmp_path / "mine.toml"
    row = '[[score]]\nmodel = "{}"\nbenchmark = "aime24"\nscore = {}\nsamples = 8\nlength = "64K"\nmeasured_by = "model"\nsource = "us"\n'
    file.write_text(row.format("Suu/Klear-Reasoner-8B", 50.5) + 'protocol = "klear-release-64k"\n' + row.format("another", 41.0))
    markdown = write_report(run, [file]).with_name("report.md").read_text().replace("\\", "")
    assert "| Suu/Klear-Reasoner-8B | 64K | aime24 | 50.5 (avg@8)" in markdown and "| 90.5 (avg@" not in markdown
    assert "| another | 64K | aime24 | 41.0 (avg@" in markdown
    assert markdown.count("| 50.0 (klear") == 1


def test_a_checkpoint_is_compared_with_its_namesake_of_the_first_run(tmp_path: Path) -> None:
    runs = []
    for name, right in (("gppo", [4, 4, 3]), ("clip", [3, 2, 3])):
        builder = RunBuilder(tmp_path / name)
        builder.manifest["name"] = name
        builder.measure("mini-aime", "sft", [1, 1, 1], revision="s")
        builder.measure("mini-aime", "rl-math", right, revision=name)
        runs.append(load_run(builder.write()))
    found = [(pair.first.name, pair.second.name) for pair in pairs(entries_of(runs))]
    assert found == [
        ("gppo: sft", "gppo: rl-math"), ("gppo: sft", "clip: sft"), ("gppo: sft", "clip: rl-math"), ("gppo: rl-math", "clip: rl-math"),
    ]  # fmt: skip


def test_one_run_given_twice_is_refused_before_anything_is_written(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(three[0]), f"{three[1]}/../one", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("reports: RUN: ")
    assert not (tmp_path / "out").exists() and not (three[0] / "report").exists()


def test_a_run_without_a_name_has_its_folders_even_from_inside(three: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for path in three[:2]:
        manifest = path / "manifest.json"
        manifest.write_text(manifest.read_text().replace(f'"name": "{path.name}"', '"name": ""'))
    monkeypatch.chdir(three[0])
    assert {entry.name for entry in entries_of([load_run(Path(".")), load_run(Path("../two"))])} == {"one: mine", "two: mine"}


def test_a_comparison_names_each_runs_engine_and_says_where_they_differ(tmp_path: Path) -> None:
    runs = []
    for name, engine in (("one", "vllm"), ("two", "imported"), ("three", "vllm")):
        builder = RunBuilder(tmp_path / name)
        builder.manifest |= {"name": name, "stand_in": False}
        builder.measure("aime24", "mine", [1, 2, 3], 4, protocol=RELEASE)
        builder.manifest["evaluations"][0]["engine"] = engine
        runs.append(builder.write())
    markdown = write_comparison(runs, tmp_path / "out").with_name("comparison.md").read_text()
    assert "| aime24 | two: mine | imported | klear-release-64k |" in markdown and "| aime24 | one: mine | vllm |" in markdown
    assert markdown.count("Their engines differ (imported instead of vllm).") == 1
    assert "| mine | aime24 | imported | profile smoke |" in markdown
