"""Published scores: Table 1 of arXiv 2508.07629 and the independent measurements, one typed row each.

The numbers are in `published.toml`, with who measured them and where they are printed.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field

from benchmarks.records import Record

Length = Literal["32K", "64K", "96K"]


class PublishedScore(Record):
    """One published number: pass@1 in percent, as avg@samples."""

    model: str
    benchmark: str
    score: float = Field(ge=0, le=100)
    samples: int | None = Field(default=None, gt=0)
    """Generations a problem; None where it is not stated."""
    length: Length
    """Budget of a generation as the table gives it."""
    measured_by: Literal["paper", "model", "independent"]
    """`paper`: by the paper's authors (†); `model`: by the model's own; `independent`: by somebody else."""
    source: str
    protocol: str | None = None
    """The project's protocol that comes closest, where one does."""
    note: str = ""


class Contradiction(Record):
    """A number that one source prints in two versions."""

    model: str
    benchmark: str
    length: Length
    scores: tuple[float, ...]
    where: tuple[str, ...]
    used: float
    """The one that `published_scores` gives."""


@cache
def _table() -> dict[str, list[dict[str, object]]]:
    return tomllib.loads((files("benchmarks") / "published.toml").read_text(encoding="utf-8"))


@cache
def published_scores() -> tuple[PublishedScore, ...]:
    """All rows, in the order of the table."""
    return tuple(PublishedScore.model_validate(row) for row in _table()["score"])


@cache
def contradictions() -> tuple[Contradiction, ...]:
    """Numbers that the paper gives in two versions."""
    return tuple(Contradiction.model_validate(row) for row in _table()["contradiction"])


def find_scores(
    benchmark: str | None = None,
    model: str | None = None,
    length: str | None = None,
    measured_by: str | None = None,
) -> list[PublishedScore]:
    """Rows that fit; a model is compared without its Hub organisation and without regard to case."""
    wanted = None if model is None else model.rstrip("/").rsplit("/", 1)[-1].lower()
    return [
        row
        for row in published_scores()
        if benchmark in (None, row.benchmark)
        and wanted in (None, row.model.lower())
        and length in (None, row.length)
        and measured_by in (None, row.measured_by)
    ]
