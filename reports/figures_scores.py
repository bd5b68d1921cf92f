"""Figures of the measured scores: beside the published ones, by problem, by samples drawn, by token budget, by outcome.

A panel for each benchmark, in the order of the manifest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.blocks import Figure
from reports.canvas import DASHES, INK, SERIES, Axes, Canvas, figure_width, legend_columns, line, short_name, short_names, whole_numbers
from reports.scores import Scores
from reports.text import counted, visible

MOST_PANELS = 24
"""More benchmarks are left out, and the caption says so."""
MOST_LABELS = 40
"""Problems whose names are written under a heat map."""
REASONS = ("correct", "wrong", "hedged", "no answer", "truncated", "judge time-out")
SHADES = ("#009e73", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9", "#0072b2")
HATCHES = ("", "//", "..", "xx", "\\\\", "++")

Curves = Sequence[tuple[str, Sequence[tuple[str, NDArray[np.float64], NDArray[np.float64]]]]]
"""(panel, lines), a line being (label, x, y)."""


@dataclass(frozen=True)
class Dot:
    """One measured score with its interval, and the published one where there is one, in points."""

    benchmark: str
    model: str
    score: float
    low: float
    high: float
    published: float | None = None
    published_half: float = 0.0
    """Half of the 95 % interval that the published run's own samples leave."""
    margin: float = 0.0


def accuracy_by_checkpoint(canvas: Canvas, name: str, dots: Sequence[Dot], caption: str) -> Figure:
    """Scores with 95 % intervals, one panel a benchmark; a published score is a diamond, its margin a band."""
    benchmarks = list(dict.fromkeys(dot.benchmark for dot in dots))
    caption, benchmarks = caption + _left_out(benchmarks), benchmarks[:MOST_PANELS]
    shown = [[dot for dot in dots if dot.benchmark == benchmark] for benchmark in benchmarks]
    rows = max(len(group) for group in shown)
    short = short_names(dot.model for dot in dots)

    def paint(panels: Sequence[Axes]) -> None:
        for axes, group in zip(panels, shown, strict=True):
            for row, dot in enumerate(group):
                below, above = max(0.0, dot.score - dot.low), max(0.0, dot.high - dot.score)
                if dot.published is not None:
                    left, right = within(dot.published, dot.margin)
                    axes.barh(row, left + right, left=dot.published - left, height=0.7, color=SERIES[1], alpha=0.18, lw=0)
                    left, right = within(dot.published, dot.published_half)
                    axes.errorbar(
                        [dot.published], [row + 0.18], xerr=[[left], [right]], fmt="D", color=SERIES[1],
                        capsize=3, ms=5, mfc="none", label="published, with its margin",
                    )  # fmt: skip
                axes.errorbar([dot.score], [row], xerr=[[below], [above]], fmt="o", color=SERIES[0], capsize=3, ms=5, label="measured")
            axes.set(xlabel="score in points", xlim=(-2, 102), ylim=(rows - 0.5, -0.5))
            axes.set_title(short_name(group[0].benchmark))
            axes.set_yticks(range(len(group)), [short[dot.model] for dot in group])
        handles: dict[str, Any] = {}
        for axes in panels:
            handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        if len(handles) > 1:
            panels[0].figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)

    alt = "; ".join(
        f"{dot.model} on {dot.benchmark} {dot.score:.1f}" + (f", published {dot.published:.1f}" if dot.published is not None else "")
        for group in shown
        for dot in group
    )
    columns = _columns(list(short.values()))
    return canvas.draw(name, caption, visible(alt), len(shown), paint, height=1.2 + 0.32 * rows, columns=columns)


def within(score: float, half: float) -> tuple[float, float]:
    """How far an interval reaches below and above a score, in points: no score is below 0 or above 100."""
    return min(half, score), min(half, 100 - score)


def _left_out(panels: Sequence[object]) -> str:
    """What a caption says of panels that a figure has no room for."""
    return f" (the first {MOST_PANELS} of {len(panels)})" if len(panels) > MOST_PANELS else ""


def _columns(names: Sequence[str]) -> int:
    """Panels side by side that leave room for the names on their left."""
    longest = max(len(name) for name in names)
    return 3 if longest <= 16 else 2 if longest <= 22 else 1


def problem_heat_map(canvas: Canvas, name: str, models: Sequence[tuple[str, Scores]], caption: str) -> Figure:
    """Share of right samples of every problem under every model; problems are in order of their mean share."""
    problems = list(dict.fromkeys(problem for _, result in models for problem in result.problem_ids))
    place = {problem: column for column, problem in enumerate(problems)}
    shares = np.full((len(models), len(problems)), np.nan)
    for row, (_, result) in enumerate(models):
        shares[row, [place[problem] for problem in result.problem_ids]] = result.rates
    order = np.argsort(-np.nanmean(shares, axis=0), kind="stable")
    short, names = short_names(model for model, _ in models), short_names(problems, 18)

    def paint(panels: Sequence[Axes]) -> None:
        (axes,) = panels
        image = axes.imshow(shares[:, order] * 100, aspect="auto", cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
        axes.figure.colorbar(image, ax=axes, label="right (%)", pad=0.02, use_gridspec=False)
        axes.grid(False)
        axes.set_yticks(range(len(models)), [short[model] for model, _ in models])
        if len(problems) <= MOST_LABELS:
            axes.set_xticks(range(len(problems)), [names[problems[i]] for i in order], rotation=90, fontsize=7)
        axes.set_xlabel("problem, easiest first")

    solved, never = int(np.sum(np.nanmin(shares, axis=0) == 1)), int(np.sum(np.nanmax(shares, axis=0) == 0))
    size = f"{counted(len(problems), 'problem')} by {counted(len(models), 'model')}"
    who = "every model" if np.isfinite(shares).all() else "every model that was asked"
    alt = f"{size}: {solved} always right under {who}, {never} never right."
    return canvas.draw(name, caption, alt, 1, paint, height=1.9 + 0.32 * len(models))


def curves(canvas: Canvas, name: str, panels_of: Curves, caption: str, xlabel: str, alt: str) -> Figure | None:
    """Lines of scores in points, over a logarithmic axis where it is long, one panel each; None when there is nothing to draw."""
    drawn = [panel for panel in panels_of if panel[1]]
    shown = drawn[:MOST_PANELS]
    if not shown:
        return None

    short = short_names(label for _, lines in shown for label, _, _ in lines)
    names = list(short)

    def paint(panels: Sequence[Axes]) -> None:
        handles: dict[str, Any] = {}
        for axes, (title, lines) in zip(panels, shown, strict=True):
            for model, x, y in lines:
                drawn_line = line(axes, x, y, model, names.index(model))
                if drawn_line is not None:
                    handles.setdefault(short[model], drawn_line)
            reach = np.concatenate([x for _, x, _ in lines])
            if reach.max() >= 4 * reach.min():
                axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(_number)
            axes.set(title=short_name(title, 40), xlabel=xlabel, ylim=(-2, 102))
        panels[0].set_ylabel("points")
        panels[0].figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)

    columns = legend_columns(figure_width(len(shown)), short.values())
    down = math.ceil(len(shown) / 3)
    height = 2.7 + 0.17 * max(0, math.ceil(len(names) / columns) - 2) / down
    return canvas.draw(name, caption + _left_out(drawn), visible(alt), len(shown), paint, height=height)


def _number(value: float, _: int) -> str:
    return f"{value / 1024:.0f}K" if value >= 4096 and value % 1024 == 0 else f"{value:g}"


def outcome_bars(canvas: Canvas, name: str, rows: Sequence[tuple[str, Mapping[str, int]]], caption: str) -> Figure:
    """What became of the samples, in percent, one bar for each (label, reason → samples)."""
    totals = [max(1, sum(reasons.values())) for _, reasons in rows]
    short = short_names((label for label, _ in rows), 48)

    def paint(panels: Sequence[Axes]) -> None:
        (axes,) = panels
        left = np.zeros(len(rows))
        for reason, shade, hatch in zip(REASONS, SHADES, HATCHES, strict=True):
            share = np.array([100 * reasons.get(reason, 0) / total for (_, reasons), total in zip(rows, totals, strict=True)])
            if np.any(share > 0):
                axes.barh(range(len(rows)), share, left=left, color=shade, hatch=hatch, edgecolor=INK, lw=0.4, height=0.72, label=reason)
            left += share
        axes.set(xlabel="samples (%)", xlim=(0, 100), ylim=(len(rows) - 0.5, -0.5))
        axes.set_yticks(range(len(rows)), [short[label] for label, _ in rows])
        axes.figure.legend(loc="outside lower center", ncols=6, handlelength=1.2, columnspacing=1.0)

    said = (f"{label}: " + ", ".join(f"{count} {reason}" for reason, count in reasons.items()) for label, reasons in rows)
    return canvas.draw(name, caption, visible("; ".join(said)), 1, paint, height=1.3 + 0.3 * len(rows))


def _known(result: Scores) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = (result.tokens > 0) & (result.tokens < 2**31)
    return known


def known_lengths(result: Scores) -> NDArray[np.int64]:
    """Tokens of the samples whose number of tokens is known."""
    return result.tokens[_known(result)]


def length_histograms(canvas: Canvas, name: str, groups: Sequence[tuple[str, Scores]], caption: str) -> Figure:
    """Tokens of right and wrong samples, one panel for each (title, scores)."""
    shown = groups[:MOST_PANELS]
    short = short_names((title for title, _ in shown), 40)

    def paint(panels: Sequence[Axes]) -> None:
        for axes, (title, result) in zip(panels, shown, strict=True):
            lengths = known_lengths(result)
            edges = np.histogram_bin_edges(lengths, bins=min(30, max(5, int(np.ptp(lengths)) + 1)))
            for right, label, index in ((True, "right", 0), (False, "wrong", 1)):
                values = lengths[result.right[_known(result)] == right]
                axes.hist(values, bins=edges, histtype="stepfilled", color=SERIES[index], alpha=0.3)
                axes.hist(values, bins=edges, histtype="step", color=SERIES[index], ls=DASHES[index], lw=1.4,
                          label=f"{label} ({len(values)})")  # fmt: skip
            axes.set(title=short[title], xlabel="tokens", ylabel="samples")
            whole_numbers(axes.xaxis, 4)
            whole_numbers(axes.yaxis)
            axes.legend(loc="best")

    alt = f"Histograms of response length in tokens, right and wrong samples apart, for {', '.join(title for title, _ in shown)}."
    return canvas.draw(name, caption + _left_out(groups), visible(alt), len(shown), paint)
