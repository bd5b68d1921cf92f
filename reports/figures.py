"""The figures of a report, drawn with matplotlib into `figures/NAME.svg` and `.png`.

Colours are the Okabe–Ito palette, which readers with any colour vision can tell apart; lines differ in dash
too, so that they survive printing.  In the page the same drawing takes its colours from CSS variables, which
lets it follow a dark theme.  Output depends on the run alone: no dates, fixed identifiers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from reports.blocks import Figure
from reports.load import Metrics
from reports.scores import Scores
from reports.text import visible

INK, GRID = "#1b1b1d", "#dcdcdf"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), "-", (0, (5, 2)))
PAGE_COLOURS = {INK: "var(--ink)", GRID: "var(--grid)"} | {
    c: f"var(--series-{i})" for i, c in enumerate(SERIES)
}

STYLE: dict[str, Any] = {
    "svg.hashsalt": "klear-repro",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}

Axes = Any
"""A matplotlib axes; its stubs do not cover what is used here."""


@dataclass(frozen=True)
class Dot:
    """One measured score with its interval, for `accuracy_by_checkpoint`."""

    benchmark: str
    model: str
    score: float
    low: float
    high: float
    published: float | None = None


class Canvas:
    """Draws figures into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def draw(
        self,
        name: str,
        caption: str,
        alt: str,
        panels: int,
        paint: Callable[[Sequence[Axes]], None],
        height: float = 2.7,
    ) -> Figure:
        """Make one figure of `panels` axes side by side, painted by `paint`, as SVG and PNG."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Drawing
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        with matplotlib.rc_context(dict[Any, Any](STYLE)):
            drawing = Drawing(figsize=(min(8.4, 1.2 + 3.6 * panels) if panels > 1 else 6.2, height))
            FigureCanvasAgg(drawing)
            paint([drawing.add_subplot(1, panels, place + 1) for place in range(panels)])
            ConstrainedLayoutEngine().execute(drawing)
            buffer = io.StringIO()
            drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
            drawing.savefig(
                self.folder / f"{name}.png", dpi=150, facecolor="white", metadata={"Software": None}
            )
        svg = re.sub(r"[ \t]+\n", "\n", buffer.getvalue())
        (self.folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        return Figure(name, caption, alt, _for_page(svg, name))


def _for_page(svg: str, name: str) -> str:
    """The `<svg>` element alone, with identifiers of its own, the page's colours and a size that adapts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r" <metadata>.*?</metadata>\n", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', lambda match: f"{match.group(1)}{name}-", svg)
    svg = re.sub(
        r'(<svg\b[^>]*?) (?:width|height)="[^"]*"([^>]*?) (?:width|height)="[^"]*"', r"\1\2", svg, count=1
    )
    for colour, variable in PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg


def training_curves(
    canvas: Canvas, name: str, runs: Sequence[Metrics], columns: Sequence[tuple[str, str]], caption: str
) -> Figure | None:
    """One panel for each (column, axis label) that any run has; the first run is drawn strongest."""
    present = [(column, label) for column, label in columns if any(run.has(column) for run in runs)]
    if not present:
        return None

    def paint(panels: Sequence[Axes]) -> None:
        for axes, (column, label) in zip(panels, present, strict=True):
            for index, run in enumerate(runs):
                _line(axes, run.column("step"), run.column(column), run.name, index)
            axes.set(title=label, xlabel="step")
            _whole_numbers(axes.xaxis)
        if len(runs) > 1:
            panels[0].legend(loc="best")

    names = ", ".join(run.name for run in runs)
    alt = f"{' and '.join(label for _, label in present)} against training step for {names}."
    return canvas.draw(name, caption, visible(alt), len(present), paint)


def draw_clip_shares(canvas: Canvas, name: str, runs: Sequence[Metrics], caption: str) -> Figure | None:
    """Share of tokens below and above the clip range in each step, in percent."""
    sides = [
        ("clip_low", "ratio below 1 − ε_l (% of tokens)"),
        ("clip_high", "ratio above 1 + ε_h (% of tokens)"),
    ]
    if not any(run.has(column) for run in runs for column, _ in sides):
        return None

    def paint(panels: Sequence[Axes]) -> None:
        for axes, (column, label) in zip(panels, sides, strict=True):
            for index, run in enumerate(runs):
                _line(axes, run.column("step"), run.column(column) * 100, run.name, index)
            axes.set(title=label, xlabel="step")
            axes.set_ylim(bottom=0)
            _whole_numbers(axes.xaxis)
        panels[0].legend(loc="best")

    alt = "Share of tokens outside the clip range against training step."
    return canvas.draw(name, caption, alt, 2, paint)


def length_histograms(
    canvas: Canvas, name: str, groups: Sequence[tuple[str, Scores]], caption: str
) -> Figure:
    """Tokens of right and wrong samples, one panel for each (title, scores); at most three panels."""
    shown = groups[:3]

    def paint(panels: Sequence[Axes]) -> None:
        for axes, (title, result) in zip(panels, shown, strict=True):
            lengths = np.concatenate([result.lengths_right, result.lengths_wrong])
            edges = np.histogram_bin_edges(lengths, bins=min(30, max(5, int(np.ptp(lengths)) + 1)))
            for values, label, index in (
                (result.lengths_right, "right", 0),
                (result.lengths_wrong, "wrong", 1),
            ):
                axes.hist(values, bins=edges, histtype="stepfilled", color=SERIES[index], alpha=0.3)
                axes.hist(values, bins=edges, histtype="step", color=SERIES[index], ls=DASHES[index], lw=1.4,
                          label=f"{label} ({len(values)})")  # fmt: skip
            axes.set(title=visible(title), xlabel="tokens", ylabel="samples")
            _whole_numbers(axes.xaxis)
            _whole_numbers(axes.yaxis)
            axes.legend(loc="best")

    alt = f"Histograms of response length in tokens, right and wrong samples apart, for {', '.join(t for t, _ in shown)}."
    return canvas.draw(name, caption, visible(alt), len(shown), paint)


def accuracy_by_checkpoint(canvas: Canvas, name: str, dots: Sequence[Dot], caption: str) -> Figure:
    """Scores with 95 % intervals, one panel a benchmark (at most three); a published score is a diamond."""
    benchmarks = list(dict.fromkeys(dot.benchmark for dot in dots))[:3]
    shown = [[dot for dot in dots if dot.benchmark == benchmark] for benchmark in benchmarks]
    rows = max(len(group) for group in shown)

    def paint(panels: Sequence[Axes]) -> None:
        for axes, group in zip(panels, shown, strict=True):
            for row, dot in enumerate(group):
                below, above = max(0.0, dot.score - dot.low), max(0.0, dot.high - dot.score)
                axes.errorbar(
                    [dot.score], [row], xerr=[[below], [above]], fmt="o", color=SERIES[0], capsize=3, ms=5
                )
                if dot.published is not None:
                    axes.plot(
                        [dot.published], [row], "D", color=SERIES[1], ms=6, mfc="none", label="published"
                    )
            axes.set(xlabel="score in points", xlim=(-2, 102), ylim=(rows - 0.5, -0.5))
            axes.set_title(visible(group[0].benchmark))
            axes.set_yticks(range(len(group)), [visible(dot.model) for dot in group])
            handles, labels = axes.get_legend_handles_labels()
            if handles:
                axes.legend(handles[:1], labels[:1], loc="best")

    alt = "; ".join(f"{dot.model} on {dot.benchmark} {dot.score:.1f}" for dot in dots)
    return canvas.draw(name, caption, visible(alt), len(shown), paint, height=1.2 + 0.32 * rows)


def held_out_progress(canvas: Canvas, name: str, runs: Sequence[Metrics], caption: str) -> Figure | None:
    """Accuracy on held-out problems while training, in percent, with 95 % intervals over problems (1.96 clustered errors)."""
    if not any(run.has("accuracy") for run in runs):
        return None

    def paint(panels: Sequence[Axes]) -> None:
        (axes,) = panels
        for index, run in enumerate(runs):
            steps, accuracy = run.column("step"), run.column("accuracy") * 100
            _line(axes, steps, accuracy, run.name, index)
            half = np.nan_to_num(run.column("accuracy_se") * 196)
            spread = [np.minimum(half, accuracy), np.minimum(half, 100 - accuracy)]
            axes.errorbar(steps, accuracy, yerr=spread, fmt="o", ms=4, capsize=3, color=SERIES[index % len(SERIES)])
        axes.set(title="held-out problems solved (%)", xlabel="step")
        _whole_numbers(axes.xaxis)
        axes.legend(loc="best")

    def spoken(run: Metrics) -> str:
        points = zip(run.column("step"), run.column("accuracy") * 100, strict=True)
        known = (f"{value:.0f} at step {step:.0f}" for step, value in points if np.isfinite(value))
        return f"{run.name} {', '.join(known)}"

    alt = f"Percent of held-out problems solved: {'; '.join(map(spoken, runs))}."
    return canvas.draw(name, caption, visible(alt), 1, paint)


def rl_runs(of: Mapping[str, Metrics], stage: str) -> list[Metrics]:
    """The RL run of a stage and its clipped control, those that are in `of`."""
    return [of[name] for name in (stage, f"{stage}-clip") if name in of]


def _line(axes: Axes, steps: Any, values: Any, label: str, index: int) -> None:
    known = np.isfinite(values)
    if not np.any(known):
        return
    index %= len(SERIES)
    style = {"color": SERIES[index], "ls": DASHES[index], "label": visible(label)}
    if np.count_nonzero(known) == 1:
        style |= {"marker": "o"}
    axes.plot(steps[known], values[known], **style)


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=6))
