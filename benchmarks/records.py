"""The rows of a run folder: problems, generations and grades.

Everything that the pipeline, the graders and the reports exchange is one of the three
records below (layout and words: docs/run-folder.md).  They are frozen pydantic models: a row
that comes from a file is checked field by field, and a row of another schema version is
refused instead of being misread.

A sample is identified by its `SampleKey`, never by its place in a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.errors import BenchmarkError

SCHEMA: Literal[1] = 1

CHEATABLE = "cheatable: tests run beside the program"
"""In data/funnel.json: training problems whose tests a program can pass without being right."""

FinishReason = Literal["stop", "length", "error"]
Reason = Literal["correct", "wrong", "truncated", "no answer", "hedged", "judge time-out"]
Thinking = Literal["auto", "required"]


def digest(value: object) -> str:
    """First 16 hex digits of the SHA-256 of `value` as canonical JSON: the hash of keys and fingerprints."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Record(BaseModel):
    """Base of all rows: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CodeTest(Record):
    """One test: stdin → stdout (`input`, `expected`) or a call (`function`, `args`, `expected`)."""

    input: str | None = None
    function: str | None = None
    args: tuple[Any, ...] = ()
    expected: Any = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.input is None) == (self.function is None):
            raise ValueError("a test has either `input` or `function`")
        return self


class Problem(Record):
    """One problem of a benchmark.

    `statement` is the bare text a protocol turns into a prompt.  Maths problems have `answer`;
    code problems have `tests` (public and private together) and perhaps `starter_code`; what runs is
    `before`, the program and `after`.
    `info` holds what reports group by: difficulty, contest_date (ISO 8601), platform, source.
    """

    schema_version: Literal[1] = SCHEMA
    benchmark: str
    id: str
    kind: Literal["math", "code"]
    statement: str
    answer: str | None = None
    tests: tuple[CodeTest, ...] = ()
    starter_code: str = ""
    before: str = ""
    """Code that is put before the program."""
    after: str = ""
    """Code that is put behind it, such as the assertions that a test calls."""
    info: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "math" and self.answer is None:
            raise ValueError("a math problem needs `answer`")
        return self


class SampleKey(Record):
    """Identity of one sample.  Equal keys mean the same sample; all that may change the text is in here."""

    model: str
    """Name of the checkpoint: `sft`, `rl-math`, a Hub id."""
    revision: str
    """Hash of the weights, or the resolved Hub commit."""
    benchmark: str
    problem_id: str
    sample_index: int = Field(ge=0)
    prompt_hash: str
    """Hash of the prompt as the model sees it, after the chat template."""
    sampling_hash: str
    """Hash of sampling parameters, budget, context extension and run seed."""


class Generation(SampleKey):
    """One generation as it was made: append-only, one row a sample in `generations/BENCHMARK/MODEL.jsonl`."""

    schema_version: Literal[1] = SCHEMA
    text: str
    token_count: int = Field(ge=0)
    """New tokens, the end-of-turn token included; 0 for an import that does not say."""
    finish_reason: FinishReason | None
    """None for an import that does not say."""
    seed: int
    seconds: float = Field(ge=0)
    """Wall time from admission to the last token."""
    settings: str = ""
    """`settings/HASH.json` beside the file: the resolved protocol, and what the engine really used.  Empty: not known."""
    shared_from: str = ""
    """Sampling hash that the text was made under, where another budget gives the same text (attribution)."""
    prompt_tokens: int = Field(default=0, ge=0)
    error: str | None = None

    @property
    def key(self) -> SampleKey:
        """The identity of this row."""
        return SampleKey(**{name: getattr(self, name) for name in SampleKey.model_fields})


class Grade(Record):
    """What a grader says of one response.

    `grade_math` fills the first four fields; a row of `grades/BENCHMARK/MODEL.parquet` has the key
    of its sample too.  `score` is 0 or 1 for maths and the share of passed tests for code (the soft
    reward); `correct` for code means that every test passed, and `verdict` is the sandbox's.
    """

    correct: bool
    extracted: str | None = None
    reason: Reason
    grader: str = "strict"
    score: float = Field(default=0.0, ge=0, le=1)
    verdict: str | None = None
    tests: str = ""
    """Tests of a program that were run, as "PLACE:VERDICT" with spaces between; places count from 0."""
    failure: str = ""
    """What the first failing test said: an error, or what was printed and what was expected."""
    key: SampleKey | None = None
    finish_reason: FinishReason | None = None
    token_count: int = 0
    seconds: float = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.correct != (self.reason == "correct"):
            raise ValueError(f"correct={self.correct} does not fit reason={self.reason!r}")
        return self


class BrokenRow(BenchmarkError):
    """A line that is not the record it should be.  The message names file and line."""


def read_jsonl(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for every non-empty line.

    Raises:
        BrokenRow: a line is not a JSON object; file and line number are in the message.
    """
    with open(path, encoding="utf-8", errors="strict") as lines:
        number = 0
        try:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    kind = type(row).__name__
                    raise BrokenRow(f"{path}, line {number}: expected a JSON object, got {kind}")
                yield number, row
        except json.JSONDecodeError as error:
            where = f"{error.msg} at column {error.colno}"
            raise BrokenRow(f"{path}, line {number}: not JSON ({where})") from error
        except UnicodeDecodeError as error:
            raise BrokenRow(f"{path}, line {number + 1}: not UTF-8") from error
        except RecursionError as error:
            raise BrokenRow(f"{path}, line {number}: nested too deeply") from error


def read_generations(path: Path) -> tuple[list[Generation], list[str]]:
    """Read an append-only generations file.

    Returns the rows in file order, the first of each key only, and one message for each line
    that was left out: a torn last line (a writer was killed) or a corrupt one.  The file stays as it is.
    """
    rows: dict[SampleKey, Generation] = {}
    left_out: list[str] = []
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():  # the place of a line that was set aside
                continue
            try:
                row = Generation.model_validate_json(line)
            except ValueError:
                torn = not line.endswith(b"\n")
                what = "torn last line (the writer was stopped)" if torn else "not a generation row"
                left_out.append(f"{path}, line {number}: {what}, left out")
                continue
            rows.setdefault(row.key, row)
    return list(rows.values()), left_out


def write_grades(path: Path, grades: Iterable[Grade]) -> None:
    """Write grades with their keys as one Parquet table, atomically; columns: `SampleKey`, then `Grade`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    key_types = {name: whole if name == "sample_index" else text for name in SampleKey.model_fields}
    types = key_types | {
        "grader": text, "correct": pa.bool_(), "extracted": text, "reason": text, "score": real,
        "verdict": text, "tests": text, "failure": text, "finish_reason": text, "token_count": whole, "seconds": real,
    }  # fmt: skip
    rows = []
    for grade in grades:
        if grade.key is None:
            raise ValueError("a grade without its key cannot be stored")
        rows.append(grade.key.model_dump() | grade.model_dump(exclude={"key"}))
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(types.items())))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(table, temporary)
    temporary.replace(path)


def read_grades(path: Path, bad_row: Callable[[int], None] | None = None) -> Iterable[Grade]:
    """Yield the grades of one table that `write_grades` wrote.

    A row that is no grade goes to `bad_row` with its number from 1; without it, it raises.

    Raises:
        ValidationError, KeyError: a row is no grade.
        OSError, pyarrow.ArrowException: the file is no such table.
    """
    import pyarrow.parquet as pq

    for number, row in enumerate(pq.read_table(path).to_pylist(), start=1):
        try:
            key = SampleKey(**{name: row.pop(name) for name in SampleKey.model_fields})
            grade = Grade(key=key, **row)
        except (ValidationError, KeyError):
            if bad_row is None:
                raise
            bad_row(number)
            continue
        yield grade
