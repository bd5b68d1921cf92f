"""What is stored of one model on one benchmark, and what the report calls it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmarks.records import FinishReason, Grade, SampleKey

TRAINING_ORDER = ("sft", "rl-math", "rl-math-clip", "rl-math-sft", "rl-code", "rl-code-clip", "rl-code-sft")
CONTROLS = tuple(name for name in TRAINING_ORDER if name.endswith(("-clip", "-sft")))
COMPARED = {
    "engine": ("dtype", "max_model_len", "rope_parameters", "stop_ids", "sent"),
    "protocol": ("sampling", "max_new_tokens", "max_model_len", "rope"),
}
"""What of the settings of samples may change a text: the parts of a settings file and their fields."""
UNKNOWN = "unknown"
"""The protocol of a measurement that the manifest does not describe."""


class Lenient(BaseModel):
    """Part of a manifest: fields that are not known are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Evaluation(Lenient):
    """One evaluation as the manifest describes it."""

    benchmark: str
    model: str
    revision: str = ""
    protocol: Mapping[str, Any] | str = ""
    sampling_hash: str = ""
    engine: Mapping[str, Any] | str = ""
    problems: int | None = None
    samples: int | None = None
    expected: int | None = None
    problem_ids: tuple[str, ...] = ()
    groups: Mapping[str, Mapping[str, str]] = {}

    @property
    def protocol_name(self) -> str:
        """Name of the protocol, "unknown" where the manifest has none."""
        name = self.protocol if isinstance(self.protocol, str) else self.protocol.get("name")
        return str(name) if name else UNKNOWN

    def protocol_field(self, name: str) -> Any:
        """A field of the resolved protocol, None where the manifest has none."""
        return self.protocol.get(name) if isinstance(self.protocol, Mapping) else None

    @property
    def judges(self) -> list[str]:
        """Judges of the protocol, the one of its own score first; empty where the manifest has none."""
        judges = self.protocol_field("judges")
        return [str(judge) for judge in judges] if isinstance(judges, (list, tuple)) else []


@dataclass(frozen=True, slots=True)
class Sample:
    """Where one generation lies, and what can be said of it without its text."""

    key: SampleKey
    seed: int
    failed: bool
    text_hash: bytes
    tokens: int
    characters: int
    finish: FinishReason | None
    settings: str
    """Hash of what it was made with; empty where that is not known, or where the text is another sampling's (attribution)."""
    path: Path
    offset: int


@dataclass
class Measurement:
    """Everything stored of one model on one benchmark under one sampling."""

    benchmark: str
    model: str
    revision: str
    sampling_hash: str
    evaluation: Evaluation | None = None
    samples: dict[SampleKey, Sample] = field(default_factory=dict)
    grades: dict[str, dict[SampleKey, Grade]] = field(default_factory=dict)
    """Grader → sample → grade."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Hash → what samples were made with, the fields of `COMPARED`; empty where the file of that hash cannot be read."""
    conflicts: list[str] = field(default_factory=list)
    """What the folder says twice, and differently."""
    label: str = ""
    """What the report calls it: its own within its benchmark."""
    row_label: str = ""
    """The same beside a column with its protocol."""
    protocol_label: str = ""
    """What its protocol is called beside a column with the model: its own for the model within its benchmark."""

    @property
    def protocol_name(self) -> str:
        """Name of the protocol, "unknown" where the manifest has none."""
        return self.evaluation.protocol_name if self.evaluation else UNKNOWN

    @property
    def graders(self) -> list[str]:
        """Graders in the order of the protocol's judges, else `strict` first."""
        order = [*(self.evaluation.judges if self.evaluation else []), "strict", "klear"]
        return sorted(
            self.grades, key=lambda name: (order.index(name) if name in order else len(order), name)
        )

    @property
    def is_control(self) -> bool:
        """A control of a training stage."""
        return self.model in CONTROLS

    @property
    def is_code(self) -> bool:
        """Programs: by the benchmark's name, or because most grades have a sandbox verdict."""
        judged = [grade.verdict is not None for table in self.grades.values() for grade in table.values()]
        return "lcb" in self.benchmark or 2 * sum(judged) > len(judged)


def name_measurements(measurements: Sequence[Measurement]) -> None:
    """Labels: the model, with protocol, sampling and checkpoint where one model was measured several times on a benchmark."""
    revision_names = _prefixes({one.revision for one in measurements}, 8)
    hashes = _prefixes({one.sampling_hash for one in measurements}, 6)
    models = Counter((one.benchmark, one.model) for one in measurements)
    rows = Counter((one.benchmark, one.model, one.protocol_name) for one in measurements)
    revisions: dict[tuple[str, str], set[str]] = {}
    for one in measurements:
        revisions.setdefault((one.benchmark, one.model), set()).add(one.revision)
    for one in measurements:
        place, protocol, sampling = (one.benchmark, one.model), one.protocol_name, hashes[one.sampling_hash]
        several = rows[*place, protocol] > 1
        checkpoint = f", revision {revision_names[one.revision]}" if len(revisions[place]) > 1 else ""
        named = f", {protocol if protocol != UNKNOWN else 'unknown protocol'} {sampling}" if models[place] > 1 else ""
        one.label = one.model + named + checkpoint
        one.row_label = one.model + (f", sampling {sampling}" if several else "") + checkpoint
        one.protocol_label = protocol + (f" {sampling}" if several else "") + checkpoint


def _prefixes(texts: set[str], least: int) -> dict[str, str]:
    """The first characters of each, as few as tell all apart but not fewer than `least`."""
    longest = max(map(len, texts), default=0)
    length = next((n for n in range(least, longest) if len({text[:n] for text in texts}) == len(texts)), longest)
    return {text: text[: max(length, least)] for text in texts}
