"""What a report consists of, before it becomes Markdown or HTML: sections of paragraphs, tables, figures and samples.

Both templates render these blocks and nothing else, so that `report.md` and `index.html` say the same.
All strings are plain text; the templates escape them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

Tone = Literal["", "good", "bad", "muted"]


@dataclass(frozen=True)
class Cell:
    """A table cell that is coloured by what it says."""

    text: str
    tone: Tone = ""
    link: str = ""
    """A relative address, percent-encoded."""


@dataclass(frozen=True)
class Paragraph:
    """One paragraph; a note stands out."""

    kind: ClassVar[str] = "paragraph"
    text: str
    note: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table; columns whose index is in `text_columns` are aligned left, the others right."""

    kind: ClassVar[str] = "table"
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    text_columns: frozenset[int] = frozenset({0})


@dataclass(frozen=True)
class Figure:
    """A figure that lies as `figures/NAME.svg` and `figures/NAME.png` beside the report."""

    kind: ClassVar[str] = "figure"
    name: str
    caption: str
    alt: str
    svg: str


@dataclass(frozen=True)
class SampleText:
    """One generation with what was said of it."""

    kind: ClassVar[str] = "sample"
    title: str
    tone: Tone
    facts: tuple[tuple[str, str], ...]
    statement: str
    text: str


@dataclass(frozen=True)
class Folded:
    """Long text that is folded away until asked for."""

    kind: ClassVar[str] = "folded"
    title: str
    text: str
    language: str = ""


@dataclass(frozen=True)
class Viewer:
    """The viewer of all samples; only the page has it (`reports.viewer`)."""

    kind: ClassVar[str] = "viewer"
    samples: int


Block = Paragraph | Bullets | Table | Figure | SampleText | Folded | Viewer


@dataclass(frozen=True)
class Section:
    """A part of the report under its own heading."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """The whole report."""

    title: str
    subtitle: str
    lead: tuple[Paragraph | Bullets, ...]
    sections: tuple[Section, ...] = field(default=())

    @property
    def has_viewer(self) -> bool:
        """Whether the page shows all samples."""
        return any(isinstance(block, Viewer) for section in self.sections for block in section.blocks)


def table(
    caption: str, header: list[str], rows: list[list[Cell | str]], text_columns: set[int] | None = None
) -> Table:
    """A table from plain strings and cells."""
    cells = tuple(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows)
    return Table(caption, tuple(header), cells, frozenset({0} if text_columns is None else text_columns))


def points(value: float) -> str:
    """A score: 83.2."""
    return f"{value:.1f}"


def signed(value: float) -> str:
    """A difference: +1.9 or −1.9."""
    return f"{value:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")


def between(low: float, high: float, sign: bool = False) -> str:
    """An interval of a score, 80.1 to 86.0, which ends at 0 and 100, or of a difference, which ends at ±100; "unknown" where unbounded."""
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        return "unknown"
    low, high = max(-100.0 if sign else 0.0, low), min(100.0, high)
    return f"{signed(low)} to {signed(high)}" if sign else f"{points(low)} to {points(high)}"


def percent(share: float) -> str:
    """A share as a percentage with as many digits as a small one needs."""
    value = share * 100
    return "0 %" if value == 0 else f"{value:.2g} %" if value < 1 else f"{value:.1f} %"


def percent_range(least: float, most: float) -> str:
    """A share that is known, or that lies between two; unknown where that says nothing."""
    if least == most:
        return percent(least)
    return "unknown" if least == 0 and most == 1 else f"{percent(least)} to {percent(most)}"


def probability(value: float) -> str:
    """A p-value: 0.032, or < 0.001."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
