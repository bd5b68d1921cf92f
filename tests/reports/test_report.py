"""The written report: content, safety, determinism, half-finished runs."""

from __future__ import annotations

import base64
import json
import math
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_builder import contents_of

from benchmarks.records import read_grades, write_grades
from reports.__main__ import main
from reports.gains import stage_gains
from reports.load import load_run
from reports.render import write_report

Builder = Any
"""`RunBuilder` of conftest.py."""


class Tags(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def both(path: Path) -> str:
    """Page and Markdown after each other."""
    return path.read_text() + path.with_name("report.md").read_text()


def test_the_heading_names_the_models_and_the_profile_only_as_the_configuration(builder: Builder) -> None:
    builder.manifest |= {"stand_in": False, "name": "klear-8b-eval", "profile": "klear-8b-eval"}
    builder.measure("aime24", "Qwen3-8B", [1, 2, 3], 4)
    page = write_report(builder.write())
    said = page.read_text()
    for tag in ("title", "h1"):
        assert f"<{tag}>Qwen3-8B · run klear-8b-eval</{tag}>" in said
    assert '<p class="subtitle">Configuration: profile klear-8b-eval · 2026-' in said
    markdown = page.with_name("report.md").read_text()
    assert markdown.startswith("# Qwen3-8B · run klear-8b-eval\n\nConfiguration: profile klear-8b-eval · 2026-")


def test_a_heading_has_room_for_three_models_and_names_checkpoints_before_controls(builder: Builder) -> None:
    for model in ("rl-math-clip", "one", "x" * 200, "three", "four"):
        builder.measure("mini-aime", model, [1, 2, 3], 4)
    first = write_report(builder.write()).with_name("report.md").read_text().splitlines()[0]
    assert first == f"# one, {'x' * 57}…, three and 2 more · run hand-made"


def test_the_heading_of_a_run_that_measured_nothing_is_its_name(builder: Builder) -> None:
    assert write_report(builder.write()).with_name("report.md").read_text().startswith("# Run hand-made\n\nConfiguration: profile smoke · ")


def test_a_stand_in_run_says_so_first_and_compares_nothing(smoke_page: Path) -> None:
    markdown = smoke_page.with_name("report.md").read_text()
    for text in (smoke_page.read_text(), markdown):
        assert "NOT comparable" in text
        assert text.index("NOT comparable") < text.index(
            "Measured scores</h2>" if "<h2>" in text else "## Measured"
        )
        assert text.count("not measured: stand-in run") == 15
        assert "nothing in this run touched CUDA" in text
        assert "unbiased std" in text
        assert ">reproduced" not in text and "| reproduced" not in text
    assert "90.5 (avg\\@64)" in markdown
    assert "| rl-math | smoke-math | 75.0 (" in markdown


def test_gains_and_controls_are_said_in_words(smoke_page: Path) -> None:
    markdown = smoke_page.with_name("report.md").read_text()
    assert "rl-math scores above sft on mini-aime (+50.0 points" in markdown
    assert "The clip control (rl-math-clip) gained too, and the difference is within noise" in markdown
    assert "this run does not show that GPPO matters" in markdown
    assert "rl-math ends above the SFT control (rl-math-sft)" in markdown
    assert "rl-code scores above rl-math on mini-lcb" in markdown
    assert "In rl-math 0.62 % of the tokens were outside the clip range" in markdown


def test_every_figure_is_there_as_svg_and_png_and_inlined(smoke_page: Path) -> None:
    names = {path.name for path in (smoke_page.parent / "figures").iterdir()}
    for name in (
        "accuracy",
        "lengths",
        "sft",
        "clip-rl-math",
        "rl-math-learning",
        "rl-math-health",
        "rl-code-learning",
    ):
        assert {f"{name}.svg", f"{name}.png"} <= names
    text = smoke_page.read_text()
    assert text.count("<svg") == len(names) // 2
    identifiers = re.findall(r'\bid="([^"]*)"', text)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(identifiers)


SCRIPTS = ["assets/page.js", "assets/text.js", "assets/viewer.js"]


def test_the_page_wants_nothing_but_what_lies_beside_it(smoke_page: Path) -> None:
    tags = Tags(smoke_page.read_text())
    assert not {"link", "iframe", "object", "embed", "img", "base"} & set(tags.tags)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    addresses = [value for name, value in tags.attributes if name in ("href", "src", "xlink:href", "action")]
    others = [value for value in addresses if not value.startswith(("#", "data:image/png;base64,"))]
    assert others == SCRIPTS and all((smoke_page.parent / path).is_file() for path in SCRIPTS)
    policy = next(value for _, value in tags.attributes if value.startswith("default-src"))
    assert {"default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'"} <= set(policy.split("; "))


def test_pieces_hold_every_text_and_no_text_breaks_out_of_them(builder: Builder) -> None:
    texts = {(p, i): f"{HOSTILE}</script>\");alert({p}{i})//" + "é" * 900_000 * (i == 2) for p in range(2) for i in range(4)}
    builder.measure("mini-aime", "rl-math", [1, 2], text=lambda problem, index: texts[problem, index])
    folder = write_report(builder.write()).parent / "samples"
    found = []
    for number in range(len(list(folder.glob("[0-9]*.js")))):
        call = (folder / f"{number}.js").read_text("ascii")
        packed = re.fullmatch(rf'klear\.piece\({number},"([A-Za-z0-9+/=]*)"\);\n', call)
        assert packed
        found += [row["text"] for row in json.loads(zlib.decompress(base64.b64decode(packed[1]), -15))]
    assert found == [texts[p, i] for p in range(2) for i in range(4)]
    assert len(list(folder.glob("[0-9]*.js"))) == 2  # 1.8 MB of text each


def test_the_same_run_gives_the_same_bytes(smoke_run: Builder, tmp_path: Path) -> None:
    root = smoke_run.write()
    first = contents_of(write_report(root).parent)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["updated"] = "2027-01-01T00:00:00Z"
    manifest["stages"]["report"] = {"fingerprint": "x", "status": "done", "seconds": 3.0}
    (root / "manifest.json").write_text(json.dumps(manifest))
    code = f"from pathlib import Path; from reports.render import write_report; write_report(Path({str(root)!r}))"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )
    assert contents_of(root / "report") == first


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> [a](javascript:alert(3)) </pre></details>\n"
    "```\n````` breaks out\n# heading\n\u202eevil\u202c \x1b[31m \u200b {{ 7*7 }} {% raw %} 😀 | cell"
)


def test_hostile_model_text_is_shown_and_does_nothing(builder: Builder) -> None:
    builder.measure("mini-aime", "rl-math", [1, 2], text=lambda problem, index: f"{HOSTILE} {problem}{index}")
    page = write_report(builder.write())
    text = page.read_text()
    tags = Tags(text)
    assert tags.tags.count("script") == len(SCRIPTS) and "img" not in tags.tags
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)" in text and "{{ 7*7 }}" in text
    for unseen in "\u202e\u200b\x1b":
        assert unseen not in both(page)
        assert f"⟦U+{ord(unseen):04X}⟧" in both(page)
    markdown = page.with_name("report.md").read_text()
    fences = re.findall(r"^(`{6,})$", markdown, flags=re.MULTILINE)
    assert len(fences) % 2 == 0 and len(fences) >= 2
    outside = re.sub(r"^(`{3,})[a-z]*\n.*?^\1$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in outside and "# heading" not in outside


def test_hostile_names_and_notes_do_nothing(builder: Builder) -> None:
    name = "m<script>alert(1)</script>|$x$\u202e"
    builder.measure("mini-aime", "x", [1, 2], describe=False)
    root = builder.write()
    for kind, suffix in (("generations", "jsonl"), ("grades", "parquet")):
        (root / kind / "mini-aime" / f"x.{suffix}").unlink()
    builder.manifest |= {
        "name": name,
        "model_note": name,
        "profile": name,
        "notes": [name],
        "versions": {name: name},
    }
    builder.manifest["preset"] = {"name": name, "differences": [{name: name}]}
    builder.manifest["evaluations"] = [{"benchmark": name, "model": name}]
    builder.metrics("rl-math", [{"reward_mean": 1.0, name: 1}])
    page = write_report(builder.write())
    tags = Tags(page.read_text())
    assert tags.tags.count("script") == 1  # there is no sample to view
    outside = re.sub(r"```json.*?```", "", page.with_name("report.md").read_text(), flags=re.DOTALL)
    assert "<script" not in outside
    assert "\u202e" not in both(page)


@pytest.mark.parametrize(
    "differences",
    [
        {"std": ["population", "unbiased"]},
        {"std": {"paper": "population", "release": "unbiased"}},
        [{"field": "std", "paper": "population", "release": "unbiased"}],
        [["std", "population", "unbiased"]],
    ],
)
def test_preset_differences_stand_beside_what_the_run_used(builder: Builder, differences: object) -> None:
    builder.manifest["preset"] = {"name": "paper", "differences": differences}
    root = builder.write()
    (root / "config.toml").write_text('[rl_math]\nstd = "population"\n[rl_code]\nstd = "unbiased"\n')
    markdown = write_report(root).with_name("report.md").read_text()
    assert "| std | population | unbiased | population / unbiased |" in markdown


@pytest.mark.parametrize(
    "preset",
    [
        "release",
        {"name": "release"},
        7,
        ["x"],
        {"differences": 3},
        {"name": "release", "differences": ["text", 3]},
    ],
)
def test_any_shape_of_a_preset_is_survived(builder: Builder, preset: object) -> None:
    builder.manifest["preset"] = preset
    assert "Preset" in write_report(builder.write()).read_text()


def test_as_many_samples_are_shown_as_configured(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [1, 2, 3])
    root = builder.write()
    for examples in (0, 3, 9):
        (root / "config.toml").write_text(f"[report]\nexamples = {examples}\n")
        assert write_report(root).read_text().count('<article class="sample') == examples


def test_a_line_of_five_megabytes_is_cut(builder: Builder) -> None:
    builder.measure(
        "mini-aime", "sft", [1], samples=2, text=lambda problem, index: f"{index}" + "x" * 5_000_000
    )
    page = write_report(builder.write())
    assert page.stat().st_size < 300_000
    assert "characters left out" in page.read_text()


def test_samples_show_right_wrong_and_a_program_with_its_verdict(smoke_page: Path) -> None:
    page = smoke_page.read_text()
    assert "right answer" in page and "wrong answer" in page
    assert "right program" in page and "verdict AC" in page and "verdict WA" in page
    assert "What is 0 + 0?" in page


@pytest.mark.parametrize("part", ["manifest.json", "config.toml", "metrics", "generations", "grades", "data"])
def test_a_missing_part_is_noted_and_not_an_error(builder: Builder, part: str) -> None:
    builder.measure("mini-aime", "sft", [1, 2])
    builder.metrics("rl-math", [{"reward_mean": 0.5, "seconds": 1.0}])
    (builder.path / "data").mkdir()
    root = builder.write()
    target = root / part
    target.rename(root / f"away-{part}")
    page = write_report(root)
    assert page.stat().st_size > 5_000
    if part == "manifest.json":
        assert "does not say what this run is" in page.read_text()


def test_a_run_that_has_only_begun_has_a_report(builder: Builder) -> None:
    builder.manifest["stages"] = {"data": {"status": "done", "seconds": 1}, "sft": {"status": "running"}}
    page = write_report(builder.write())
    assert "The run is not finished: sft" in page.read_text()
    assert "Nothing was measured" in page.read_text()


@pytest.mark.parametrize(
    ("right", "samples"), [([0], 1), ([1], 1), ([1], 4), ([4, 4], 4), ([0, 0], 4), ([0, 1, 0, 0], 1)]
)
def test_one_problem_one_sample_all_right_and_all_wrong_are_reported(
    builder: Builder, right: list[int], samples: int
) -> None:
    builder.measure("mini-aime", "sft", right, samples)
    builder.measure("mini-aime", "rl-math", right, samples)
    page = write_report(builder.write()).read_text()
    assert "rl-math" in page and "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def test_an_empty_benchmark_and_empty_files_are_reported(builder: Builder) -> None:
    builder.measure("mini-aime", "sft", [], 4)
    builder.metrics("rl-math", [])
    page = write_report(builder.write()).read_text()
    assert "no samples yet" in page
    assert "has no step" in page


def test_nan_in_metrics_is_noted_and_drawn_around(builder: Builder) -> None:
    rows = [
        {"reward_mean": math.nan if step == 2 else 0.1, "seconds": 1.0, "grad_norm": math.nan}
        for step in range(4)
    ]
    builder.metrics("rl-math", rows)
    page = write_report(builder.write())
    assert "reward_mean is not finite at step 2" in page.read_text()
    assert (page.parent / "figures" / "rl-math-learning.svg").exists()
    assert not (page.parent / "figures" / "rl-math-health.svg").exists()


def test_different_training_times_are_said(builder: Builder) -> None:
    for model in ("sft", "rl-math", "rl-math-sft"):
        builder.measure("mini-aime", model, [1, 2, 3])
    builder.metrics("rl-math", [{"seconds": 10.0}])
    builder.metrics("rl-math-sft", [{"seconds": 30.0}])
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "Not the same time: rl-math-sft trained 30 s, rl-math 10 s." in markdown
    assert "clip control (rl-math-clip) was not measured" in markdown


def test_no_token_outside_the_clip_range_is_said(builder: Builder) -> None:
    builder.metrics("rl-math", [{"clip_low": 0.0, "clip_high": 0.0, "seconds": 1.0}])
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "no token left the clip range" in markdown


def test_a_run_on_a_gpu_does_not_claim_the_opposite(builder: Builder) -> None:
    builder.manifest["hardware"] |= {"gpu": "NVIDIA X", "device": "cuda:0"}
    text = both(write_report(builder.write()))
    assert "nothing in this run touched CUDA" not in text
    assert "NVIDIA X" in text


def test_the_command_line_writes_the_report_or_says_in_one_line_why_not(
    builder: Builder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(builder.write())]) == 0
    assert capsys.readouterr().out.strip().endswith("index.html")
    assert main([str(tmp_path / "nothing")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no such folder" in error


def test_a_report_that_cannot_be_stored_is_one_line(
    builder: Builder, capsys: pytest.CaptureFixture[str]
) -> None:
    root = builder.write()
    (root / "report").write_text("in the way")
    assert main([str(root)]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_markdown_renderer_finds_no_html_link_or_heading_of_the_models(builder: Builder) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    builder.measure("mini-aime", "rl-math", [1, 2], text=lambda problem, index: f"{HOSTILE} {problem}{index}")
    builder.manifest["notes"] = [HOSTILE]
    builder.manifest["model_note"] = HOSTILE
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    parser = markdown_it.MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table")
    tokens = parser.parse(markdown)
    inline = [child for token in tokens for child in token.children or []]
    html = {
        token.content.strip() for token in [*tokens, *inline] if token.type in ("html_block", "html_inline")
    }
    assert all(re.fullmatch(r"</?(details|summary)>.*|<!-- -->", content, re.DOTALL) for content in html)
    assert not [content for content in html if "alert" in content]
    links = [
        str(token.attrGet("href") or token.attrGet("src"))
        for token in inline
        if token.type in ("link_open", "image")
    ]
    assert links and all(re.fullmatch(r"figures/[a-z0-9-]+\.(svg|png)", link) for link in links)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert "heading" not in headings


def test_held_out_problems_while_training_are_a_line_with_intervals(tmp_path: Path) -> None:
    from reports.canvas import Canvas
    from reports.figures_training import held_out_progress
    from reports.load import Metrics

    columns = {"step": [0, 5, 10], "accuracy": [0.25, 0.5, np.nan], "accuracy_se": [0.05, np.nan, np.nan]}
    run = Metrics("rl-math", {name: np.array(values, dtype=float) for name, values in columns.items()})
    figure = held_out_progress(Canvas(tmp_path), "held-out", [run], "caption")
    assert figure is not None
    assert "rl-math 25 at step 0, 50 at step 5" in figure.alt
    assert "rl-math</text>" in (tmp_path / "held-out.svg").read_text()  # the line has its name in the legend
    nothing = Metrics("rl-math", {"step": np.array([0.0])})
    assert held_out_progress(Canvas(tmp_path), "held-out", [nothing], "caption") is None


def test_what_the_data_stage_kept_is_drawn_without_any_training(builder: Builder) -> None:
    (builder.path / "data").mkdir(parents=True)
    (builder.path / "data" / "funnel.json").write_text('{"sft": {"made": 10, "kept": 4}}')
    assert "figures/data-funnel.svg" in write_report(builder.write()).with_name("report.md").read_text()


def test_p_values_of_what_training_gained_are_adjusted_over_all_benchmarks(builder: Builder) -> None:
    for number in range(5):
        builder.measure(f"bench{number}", "sft", [1] * 12)
        builder.measure(f"bench{number}", "rl-math", [2] * 6 + [1] * 6)
    said = [one.sentences[0] for one in stage_gains(load_run(builder.write()))]
    assert len(said) == 5 and all("does not show that rl-math differs" in one and "p 0.156" in one for one in said)


def test_outcomes_and_budgets_are_drawn_under_the_strict_judge(builder: Builder) -> None:
    builder.measure("aime24", "mine", [1, 2, 3], protocol={"name": "x", "judges": ["klear", "strict"]}, graders=("klear", "strict"))
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "What became of the samples (strict grader)" in markdown and "counts as truncated (strict grader)" in markdown


def without(builder: Builder, benchmark: str, model: str, lost: set[str], kept: int = 0) -> None:
    """Leaves `kept` grades of each of the problems in `lost`."""
    path = builder.path / "grades" / benchmark / f"{model}.parquet"
    grades = [grade for grade in read_grades(path) if grade.key]
    write_grades(path, [grade for grade in grades if grade.key.problem_id not in lost or grade.key.sample_index < kept])


def test_gains_add_up_where_a_checkpoint_lacks_problems_and_controls_are_watched_too(builder: Builder) -> None:
    for model, right in (("sft", [0] * 10 + [4, 4]), ("rl-math", [3] * 10 + [4, 4]), ("rl-math-clip", [3] * 10 + [4, 4])):
        builder.measure("mini-aime", model, right)
    without(builder, "mini-aime", "sft", {"p10", "p11"})
    without(builder, "mini-aime", "rl-math-clip", {f"p{i}" for i in range(5, 12)})
    (found,) = stage_gains(load_run(builder.write()))
    assert found.table is not None
    rows = [[cell.text for cell in row] for row in found.table.rows]
    assert [row[2:6] for row in rows] == [["10", "0.0", "", ""], ["10", "75.0", "0.0", "+75.0"], ["5", "75.0", "0.0", "+75.0"]]
    beware = found.sentences[-1]
    assert beware.startswith("Beware: ") and "sft: 8 of 48" in beware and "rl-math-clip: 28 of 48" in beware


def test_only_what_the_gains_compare_is_left_out_of_the_comparisons(builder: Builder) -> None:
    for benchmark, models in (("a", ("sft", "rl-math")), ("b", ("sft", "rl-code"))):
        for model in models:
            builder.measure(benchmark, model, [1, 2, 3])
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "| b | strict | sft | rl-code |" in markdown
    assert "| a | strict | sft | rl-math |" not in markdown and "rl-math on a, strict grader" in markdown


def test_a_problem_without_all_samples_costs_no_curve_and_is_said(builder: Builder) -> None:
    builder.measure("mini-aime", "mine", [3] * 12)
    without(builder, "mini-aime", "mine", {"p0"}, kept=1)
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert markdown.count("over the problems with all samples, mine on mini-aime: 11 of 12") == 2
    assert "figures/pass-at-k.svg" in markdown and "figures/maj-at-k.svg" in markdown


def test_lengths_that_are_not_known_are_said(builder: Builder) -> None:
    builder.measure("mini-aime", "mine", [3] * 4)
    path = builder.path / "grades" / "mini-aime" / "mine.parquet"
    write_grades(path, [grade.model_copy(update={"token_count": 0}) for grade in read_grades(path)])
    texts = builder.path / "generations" / "mini-aime" / "mine.jsonl"
    rows = [json.loads(line) for line in texts.read_text().splitlines()]  # where the grades do not say, the samples may
    texts.write_text("".join(json.dumps(row | ({"token_count": 0} if i % 2 else {})) + "\n" for i, row in enumerate(rows)))
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "lengths that are known: mine on mini-aime: 8 of 16" in markdown
    assert "No score against token budget, because right samples have no number of tokens: mine on mini-aime." in markdown


def test_passed_tests_are_a_mean_over_problems_like_the_score(builder: Builder) -> None:
    builder.measure("humaneval", "mine", [4, 0], code=True)
    without(builder, "humaneval", "mine", {"p0"}, kept=1)
    lines = write_report(builder.write()).with_name("report.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| mine |"))
    assert row.split(" | ")[2].startswith("50.0 ") and row.endswith("| 50.0 |")


def test_the_funnel_of_rewards_says_nothing_that_the_metrics_do_not(builder: Builder) -> None:
    rows = [{"groups": 8, "groups_kept": 2, "seconds": 1.0} for _ in range(4)]
    builder.metrics("rl-math", rows)
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "rl-math: groups made 32, kept by the filter 8](" in markdown
