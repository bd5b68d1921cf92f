"""How figures are drawn: with matplotlib, into `figures/NAME.svg` and `.png`.

Colours are the Okabe–Ito palette, which readers with any colour vision can tell apart; lines differ in dash
too, so that they survive printing.  In the page the same drawing takes its colours from CSS variables, which
lets it follow a dark theme.  Output depends on the run alone: no dates, fixed identifiers.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from reports.blocks import Figure
from reports.text import visible

INK, GRID = "#1b1b1d", "#dcdcdf"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), "-", (0, (5, 2)))
PAGE_COLOURS = {INK: "var(--ink)", GRID: "var(--grid)"} | {
    c: f"var(--series-{i})" for i, c in enumerate(SERIES)
}

LONGEST_LABEL = 32
"""Characters of a name that a figure has room for."""

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
        columns: int = 3,
    ) -> Figure:
        """Make one figure of `panels` axes, `columns` side by side, painted by `paint`, as SVG and PNG.

        `height` is that of one row of panels in inches.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Drawing
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        with matplotlib.rc_context(dict[Any, Any](STYLE)):
            across = min(panels, columns)
            down = math.ceil(panels / across)
            drawing = Drawing(figsize=(figure_width(across), height * down))
            FigureCanvasAgg(drawing)
            paint([drawing.add_subplot(down, across, place + 1) for place in range(panels)])
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
    svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    for colour, variable in PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg


def short_name(text: str, longest: int = LONGEST_LABEL) -> str:
    """A name as it is written in a figure: visible, on one line, and cut in the middle where it is long."""
    text = _one_line(text)
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def short_names(names: Iterable[str], longest: int = LONGEST_LABEL) -> dict[str, str]:
    """Every name as it is written in one figure: no two alike.  Long ones that begin and end alike show where they differ."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(short_name(name, longest), []).append(name)
    shown: dict[str, str] = {}
    for short, alike in groups.items():
        if len(alike) == 1:
            shown[alike[0]] = short
            continue
        texts = [_one_line(name) for name in alike]
        same = _shared_start(texts), _shared_start([text[::-1] for text in texts])
        for name, text in zip(alike, texts, strict=True):
            shown[name] = _window(text, *same, longest)
    taken: set[str] = set()
    for name, short in shown.items():
        numbered = (f"{short[: longest - 6]} ({number})" for number in count(2))
        shown[name] = next(text for text in chain([short], numbered) if text not in taken)
        taken.add(shown[name])
    return shown


def _one_line(text: str) -> str:
    """Visible, in one line; matplotlib leaves labels that begin with an underscore out of a legend."""
    line = " ".join(visible(text).split()) or "(no name)"
    return f" {line}" if line.startswith("_") else line


def _shared_start(texts: Sequence[str]) -> int:
    """Characters with which all begin."""
    differing = (place for place, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1)
    return next(differing, min(map(len, texts)))


def _window(text: str, before: int, after: int, longest: int) -> str:
    """As much of the text as has room around what lies between its first `before` and last `after` characters."""
    room = longest - 2
    differs = max(0, len(text) - before - after)
    if differs > room:
        return f"…{short_name(text[before : len(text) - after], room)}"
    start = max(0, min(before - (room - differs) // 2, len(text) - room))
    return f"{'…' if start else ''}{text[start : start + room]}{'…' if start + room < len(text) else ''}"


def line(axes: Axes, steps: Any, values: Any, name: str, index: int) -> Any:
    """One line over steps, its gaps left out; `index` chooses colour and dashes.  None where no value is known."""
    known = np.isfinite(values)
    if not np.any(known):
        return None
    style = {"color": SERIES[index % len(SERIES)], "ls": DASHES[(index + index // len(SERIES)) % len(DASHES)], "label": short_name(name)}
    if np.count_nonzero(known) == 1:
        style |= {"marker": "o"}
    return axes.plot(steps[known], values[known], **style)[0]


def figure_width(across: int) -> float:
    """Inches of a figure with so many panels side by side."""
    return min(8.4, 1.2 + 3.6 * across) if across > 1 else 6.2


def legend_columns(width: float, labels: Iterable[str]) -> int:
    """Entries of a legend below a figure that have room side by side: at 8 points a character has about 0.07 inches."""
    longest = max(map(len, labels), default=1)
    return max(1, min(4, int(width / (0.07 * longest + 0.6))))


def whole_numbers(axis: Any, most: int = 6) -> None:
    """Ticks at whole numbers, about `most` of them."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=most))
