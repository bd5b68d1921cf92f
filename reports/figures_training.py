"""Figures of the training metrics: learning curves with evaluation points, clip fractions and ratios, funnels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reports.blocks import Figure
from reports.canvas import INK, SERIES, Axes, Canvas, line, short_name, whole_numbers
from reports.load import Metrics
from reports.text import visible


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
                line(axes, run.column("step"), run.column(column), run.name, index)
            axes.set(title=label, xlabel="step")
            whole_numbers(axes.xaxis)
        if len(runs) > 1:
            panels[0].legend(loc="best")

    names = ", ".join(run.name for run in runs)
    alt = f"{' and '.join(label for _, label in present)} against training step for {names}."
    return canvas.draw(name, caption, visible(alt), len(present), paint)


def learning_curves(
    canvas: Canvas, name: str, runs: Sequence[Metrics], progress: Mapping[str, Metrics], caption: str
) -> Figure | None:
    """Mean reward, and the share of samples with full reward joined to the held-out evaluations of the same runs."""
    columns = [("reward_mean", "mean reward"), ("accuracy", "samples with full reward (%)")]
    present = [(column, label) for column, label in columns if any(run.has(column) for run in runs)]
    if not present:
        return None

    def paint(panels: Sequence[Axes]) -> None:
        for axes, (column, label) in zip(panels, present, strict=True):
            share = column == "accuracy"
            for index, run in enumerate(runs):
                line(axes, run.column("step"), run.column(column) * (100 if share else 1), run.name, index)
                if share and run.name in progress:
                    evaluation_points(axes, progress[run.name], index, f"{run.name}, held-out")
            axes.set(title=label, xlabel="step")
            whole_numbers(axes.xaxis)
        panels[-1].legend(loc="best")

    said = [spoken(progress[run.name]) for run in runs if run.name in progress]
    alt = f"Reward and full-reward share against training step for {', '.join(run.name for run in runs)}."
    alt += f" Held-out problems solved, percent: {'; '.join(said)}." if said else ""
    return canvas.draw(name, caption, visible(alt), len(present), paint)


def draw_ratios(canvas: Canvas, name: str, runs: Sequence[Metrics], bounds: tuple[float, float] | None, caption: str) -> Figure | None:
    """Smallest and largest importance ratio of each step on a logarithmic axis, with the clip range dotted."""
    if not any(run.has("ratio_max") for run in runs):
        return None

    from matplotlib.ticker import LogLocator, NullFormatter

    def paint(panels: Sequence[Axes]) -> None:
        (axes,) = panels
        for index, run in enumerate(runs):
            line(axes, run.column("step"), run.column("ratio_max"), f"{run.name}, largest", 2 * index)
            line(axes, run.column("step"), run.column("ratio_min"), f"{run.name}, smallest", 2 * index + 1)
        for bound in bounds or ():
            axes.axhline(bound, color=INK, ls=":", lw=1)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(_plain)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(title="ratio π_θ/π_old", xlabel="step")
        whole_numbers(axes.xaxis)
        axes.legend(loc="best")

    extremes = [f"{run.name} {np.nanmin(run.column('ratio_min')):.3g} to {np.nanmax(run.column('ratio_max')):.3g}"
                for run in runs if run.has("ratio_min") and run.has("ratio_max")]  # fmt: skip
    alt = f"Smallest and largest ratio of a step; over all steps {'; '.join(extremes)}."
    return canvas.draw(name, caption, visible(alt), 1, paint)


def _plain(value: float, _: int) -> str:
    return f"{value:g}"


def funnel(canvas: Canvas, name: str, parts: Sequence[tuple[str, Sequence[tuple[str, float]]]], caption: str) -> Figure | None:
    """What is left after each step, one group of bars for each (title, [(step, number)])."""
    shown = [part for part in parts if part[1]]
    if not shown:
        return None
    rows = [(title, step, number, index) for index, (title, steps) in enumerate(shown) for step, number in steps]

    def paint(panels: Sequence[Axes]) -> None:
        (axes,) = panels
        for row, (_, _, number, index) in enumerate(rows):
            most = max(value for _, value in shown[index][1]) or 1
            axes.barh(row, 100 * number / most, color=SERIES[index % len(SERIES)], height=0.7)
            axes.text(100 * number / most + 1, row, f"{number:,.0f}", va="center", fontsize=8)
        axes.set(xlabel="% of the first of its group", xlim=(0, 115), ylim=(len(rows) - 0.5, -0.5))
        axes.set_yticks(range(len(rows)), [short_name(f"{title}: {step}", 48) for title, step, _, _ in rows])

    said = (f"{title}: " + ", ".join(f"{step} {number:,.0f}" for step, number in steps) for title, steps in shown)
    return canvas.draw(name, caption, visible("; ".join(said)), 1, paint, height=0.9 + 0.26 * len(rows))


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
                line(axes, run.column("step"), run.column(column) * 100, run.name, index)
            axes.set(title=label, xlabel="step")
            axes.set_ylim(bottom=0)
            whole_numbers(axes.xaxis)
        panels[0].legend(loc="best")

    alt = "Share of tokens outside the clip range against training step."
    return canvas.draw(name, caption, alt, 2, paint)


def held_out_progress(canvas: Canvas, name: str, runs: Sequence[Metrics], caption: str) -> Figure | None:
    """Accuracy on held-out problems while training, in percent, with 95 % intervals over problems (1.96 clustered errors)."""
    if not any(run.has("accuracy") for run in runs):
        return None

    def paint(panels: Sequence[Axes]) -> None:
        (axes,) = panels
        for index, run in enumerate(runs):
            line(axes, run.column("step"), run.column("accuracy") * 100, run.name, index)
            evaluation_points(axes, run, index)
        axes.set(title="held-out problems solved (%)", xlabel="step")
        whole_numbers(axes.xaxis)
        axes.legend(loc="best")

    alt = f"Percent of held-out problems solved: {'; '.join(map(spoken, runs))}."
    return canvas.draw(name, caption, visible(alt), 1, paint)


def evaluation_points(axes: Axes, run: Metrics, index: int, label: str | None = None) -> None:
    """Held-out accuracy in percent, with 95 % intervals over problems (1.96 clustered errors)."""
    steps, accuracy = run.column("step"), run.column("accuracy") * 100
    known = (accuracy >= 0) & (accuracy <= 100)
    steps, accuracy = steps[known], accuracy[known]
    half = np.maximum(np.nan_to_num(run.column("accuracy_se") * 196)[known], 0)
    spread = [np.minimum(half, accuracy), np.minimum(half, 100 - accuracy)]
    colour = SERIES[index % len(SERIES)]
    axes.errorbar(steps, accuracy, yerr=spread, fmt="o", ms=4, capsize=3, color=colour, label=short_name(label) if label else None)


def spoken(run: Metrics) -> str:
    """Held-out evaluations in words: rl-math 25 at step 0, 50 at step 5."""
    points = zip(run.column("step"), run.column("accuracy") * 100, strict=True)
    return f"{run.name} {', '.join(f'{value:.0f} at step {step:.0f}' for step, value in points if np.isfinite(value))}"


def rl_runs(of: Mapping[str, Metrics], stage: str) -> list[Metrics]:
    """The RL run of a stage and its clipped control, those that are in `of`."""
    return [of[name] for name in (stage, f"{stage}-clip") if name in of]


