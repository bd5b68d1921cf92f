"""Names in figures: no two alike, and all of a legend on the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reports.canvas import Canvas, short_name, short_names
from reports.figures_scores import MOST_PANELS, Dot, accuracy_by_checkpoint, curves


@given(st.lists(st.text(max_size=80), max_size=12), st.integers(12, 48))
def test_no_two_names_of_a_figure_are_alike_and_each_has_room(names: list[str], longest: int) -> None:
    shown = short_names(names, longest)
    assert set(shown) == set(names)
    assert len(set(shown.values())) == len(set(names))
    for text in shown.values():
        assert len(text) <= longest + 1 and text.strip() and "\n" not in text and not text.startswith("_")


@given(st.text("ab", max_size=50), st.text("ab", max_size=50), st.sets(st.integers(0, 10**6), min_size=2, max_size=6))
def test_long_names_show_where_they_differ(start: str, end: str, numbers: set[int]) -> None:
    names = [f"{start}-{number:07}-{end}" for number in numbers]
    for name, text in short_names(names).items():
        if text != short_name(name):
            assert name[len(start) + 1 : len(start) + 8] in text or "(" in text or text.strip("…") in name


def test_checkpoints_of_one_run_are_told_apart_by_their_step() -> None:
    shown = short_names(f"Klear-Reasoner-8B-rl-math-step-{step}-gppo-beta1.0-seed0" for step in (100, 200, 300))
    assert [f"step-{step}" in text for step, text in zip((100, 200, 300), shown.values(), strict=True)] == [True] * 3


def line_of(name: str) -> tuple[str, np.ndarray, np.ndarray]:
    return name, np.array([1.0, 2.0, 4.0]), np.array([10.0, 20.0, 40.0])


def test_every_line_has_its_own_entry_in_the_legend(tmp_path: Path) -> None:
    names = [f"Klear-Reasoner-8B-rl-math-step-{step}-gppo-beta1.0-seed0" for step in (100, 200, 300)]
    figure = curves(Canvas(tmp_path), "curves", [("aime24", [line_of(name) for name in names])], "", "k", "")
    assert figure is not None
    svg = (tmp_path / "curves.svg").read_text()
    assert [svg.count(f">{text}<") for text in short_names(names).values()] == [1, 1, 1]


def test_a_legend_of_long_names_is_on_the_picture(tmp_path: Path) -> None:
    """No ink in the outermost columns of pixels."""
    names = ["Deepseek-R1-0528-Distill-8B", "AceReason-Nemotron-1.1-7B", "OpenReasoning-Nemotron-7B", "W" * 32, *map(str, range(8))]
    curves(Canvas(tmp_path), "curves", [("aime24", [line_of(name) for name in names])], "", "k", "")
    pixels = np.asarray(Image.open(tmp_path / "curves.png").convert("L"))
    assert pixels.min() < 100
    assert pixels[:, :3].min() == pixels[:, -3:].min() == 255


def test_all_benchmarks_are_drawn_and_what_has_no_room_is_said(tmp_path: Path) -> None:
    def drawn(number: int) -> tuple[str, str, str]:
        dots = [Dot(f"bench{place}", "m", 50.0, 40.0, 60.0) for place in range(number)]
        figure = accuracy_by_checkpoint(Canvas(tmp_path), "accuracy", dots, "Scores")
        return (tmp_path / "accuracy.svg").read_text(), figure.caption, figure.alt

    svg, caption, alt = drawn(8)
    assert all(f">bench{place}<" in svg for place in range(8)) and caption == "Scores" and "bench7" in alt
    svg, caption, alt = drawn(MOST_PANELS + 2)
    assert f"bench{MOST_PANELS - 1}<" in svg and f"bench{MOST_PANELS}<" not in svg
    assert caption == f"Scores (the first {MOST_PANELS} of {MOST_PANELS + 2})" and f"bench{MOST_PANELS} " not in alt
