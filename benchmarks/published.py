"""Published scores: Table 1 of arXiv 2508.07629 and the independent measurements, one typed row each.

The numbers are in `published.toml`, with who measured them and where they are printed; a user's own file
has the same form (docs/reports.md).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from benchmarks.errors import BenchmarkError
from benchmarks.records import Record

Length = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}K$")]
"""Budget of a generation in units of 1,024 tokens: 32K, 64K, 96K."""


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

    @property
    def budget(self) -> int:
        """Budget of a generation in tokens."""
        return int(self.length.removesuffix("K")) * 1024


class Contradiction(Record):
    """A number that one source prints in two versions."""

    model: str
    benchmark: str
    length: Length
    scores: tuple[float, ...]
    where: tuple[str, ...]
    used: float
    """The one that the rows give."""

    @model_validator(mode="after")
    def _as_many_places(self) -> Self:
        if len(self.scores) != len(self.where):
            raise ValueError(f"{len(self.where)} places in `where` for {len(self.scores)} scores")
        return self


class Target(Record):
    """A benchmark with published numbers, and what was decided of it before looking."""

    problems: int = Field(gt=0)
    """Problems of the whole benchmark."""
    margin: float = Field(gt=0, le=100)
    """Largest difference in points that still counts as reproduced."""


@dataclass(frozen=True)
class Published:
    """Published numbers, of one file or of several."""

    scores: tuple[PublishedScore, ...]
    contradictions: tuple[Contradiction, ...]
    targets: Mapping[str, Target]
    """Benchmark → its size and margin."""

    def find(
        self,
        benchmark: str | None = None,
        model: str | None = None,
        length: str | None = None,
        measured_by: str | None = None,
    ) -> list[PublishedScore]:
        """Rows that fit; a model is compared without its Hub organisation and without regard to case."""
        wanted = None if model is None else model_key(model)
        return [
            row
            for row in self.scores
            if benchmark in (None, row.benchmark)
            and wanted in (None, model_key(row.model))
            and length in (None, row.length)
            and measured_by in (None, row.measured_by)
        ]


def model_key(model: str) -> str:
    """A model's name without its Hub organisation and without regard to case."""
    return model.rstrip("/").rsplit("/", 1)[-1].lower()


@cache
def built_in() -> Published:
    """The numbers that come with the project: `benchmarks/published.toml`."""
    return _parsed("published.toml", (files("benchmarks") / "published.toml").read_text(encoding="utf-8"))


def load_published(paths: Sequence[Path] = ()) -> Published:
    """The built-in numbers and those of further files of the same form; a file's own rows come first.

    A row of a file takes the place of the built-in row of the same model, benchmark, length, measurer and protocol.

    Raises:
        BenchmarkError: a file cannot be read or a field is wrong; one line that names file, place and what is allowed.
    """
    table = built_in()
    for path in paths:
        try:
            more = _parsed(str(path), path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise BenchmarkError(f"{path}: cannot be read ({error})") from error
        taken = {_place(row) for row in more.scores}
        targets = {**table.targets, **more.targets}
        for row in more.scores:
            if row.benchmark not in targets:
                raise BenchmarkError(f"{path}: benchmark {row.benchmark!r} has no [benchmark.{row.benchmark}] with problems and margin")
        scores = (*more.scores, *(row for row in table.scores if _place(row) not in taken))
        table = Published(scores, (*more.contradictions, *table.contradictions), targets)
    return table


def _place(row: PublishedScore) -> tuple[str, ...]:
    return model_key(row.model), row.benchmark, row.length, row.measured_by, row.protocol or ""


def _parsed(name: str, text: str) -> Published:
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BenchmarkError(f"{name}: not TOML ({error})") from error
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BenchmarkError(f"{name}: {where}: {first['msg']}, got {first['input']!r:.80}") from error
    return Published(file.score, file.contradiction, file.benchmark)


class _File(Record):
    score: tuple[PublishedScore, ...] = ()
    contradiction: tuple[Contradiction, ...] = ()
    benchmark: Mapping[str, Target] = {}


def published_scores() -> tuple[PublishedScore, ...]:
    """All built-in rows, in the order of the table."""
    return built_in().scores


def contradictions() -> tuple[Contradiction, ...]:
    """Built-in numbers that the paper gives in two versions."""
    return built_in().contradictions


def find_scores(
    benchmark: str | None = None,
    model: str | None = None,
    length: str | None = None,
    measured_by: str | None = None,
) -> list[PublishedScore]:
    """`Published.find` on the built-in rows."""
    return built_in().find(benchmark, model, length, measured_by)
