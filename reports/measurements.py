"""What is stored of one model on one benchmark, and what the report calls it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.errors import BenchmarkError
from benchmarks.protocols import Protocol
from benchmarks.records import FinishReason, Grade, SampleKey, digest
from benchmarks.traces import is_from_file

TRAINING_ORDER = ("sft", "rl-math", "rl-math-clip", "rl-math-sft", "rl-code", "rl-code-clip", "rl-code-sft")
CONTROLS = tuple(name for name in TRAINING_ORDER if name.endswith(("-clip", "-sft")))
COMPARED = ("sampling", "max_new_tokens", "max_model_len", "rope")
"""Fields of the protocol in a settings file that may change a text."""
ENGINE = ("dtype", "stop_ids", "max_model_len", "quantization", "kv_cache_dtype", "name", "vouched")
"""Fields of the engine in a settings file that may change a text."""
OPTIONS = ("attention_backend", "block_size", "enforce_eager", "cpu_offload_gb", "disable_custom_all_reduce")
"""Options of vLLM by which the same numbers are added up in another order."""
UNSET = "vLLM's choice"
"""What stands for such an option that was not set."""
ROPE = ("rope_type", "factor", "rope_theta", "original_max_position_embeddings")
"""Fields of the engine's rope parameters that every version of a library writes down."""
BUDGET_ALONE = ("protocol.max_new_tokens", "protocol.max_model_len", "engine.sent.max_tokens")
"""What may be another sampling's where an attribution shares a text: that it ended before either limit is known."""
LONGEST_PREFIX = 40
"""Characters of a checkpoint's or a sampling's hash in a label."""
NOTICEABLE = 0.05
"""Share of imported responses with executed code from which on a score is said to be made with tools."""
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
    skipped: int = 0
    """Rows of the imported files that could not be used."""
    failed: int = 0
    """Imported requests that failed."""
    recorded: int | None = None
    """Imported responses that have a verdict of the file's own; None where the manifest does not say."""
    tools: int = 0
    """Imported responses that a tool seems to have worked on."""
    gold: str = ""
    """`file`: the answers are those of an imported file, and no benchmark's."""

    @property
    def engine_name(self) -> str:
        """What generated the samples; `imported` for responses from elsewhere."""
        name = self.engine if isinstance(self.engine, str) else self.engine.get("name")
        return str(name) if name else UNKNOWN

    @property
    def uses_tools(self) -> bool:
        """Whether a noticeable part of the imported responses seem to be made with a tool."""
        return 0 < self.tools >= NOTICEABLE * (self.samples or 0)

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
    """Hash of what it was made with; empty where that is not known."""
    shared: bool
    """Whether the text was made for another budget (attribution)."""
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
    """Hash → what samples were made with, see `settings_fields`; empty where the file of that hash cannot be read."""
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
    def engine_name(self) -> str:
        """What generated the samples, "unknown" where the manifest does not say."""
        return self.evaluation.engine_name if self.evaluation else UNKNOWN

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
        return of_programs(self.benchmark) or 2 * sum(judged) > len(judged)


def of_programs(benchmark: str) -> bool:
    """Whether a benchmark's name says that its answers are programs; a file's name says nothing."""
    return "lcb" in benchmark and not is_from_file(benchmark)


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
    """The first characters of each, as few as tell all apart but not fewer than `least`; a hash behind them where that is too many."""
    length = next((n for n in range(least, LONGEST_PREFIX) if len({text[:n] for text in texts}) == len(texts)), None)
    return {text: text[:length] if length else f"{text[:least]}…{digest(text)[:8]}" for text in texts}


def settings_fields(content: Mapping[str, Any]) -> dict[str, Any]:
    """Of what samples were made with (`settings/HASH.json`): the fields that may change a text, with what is not known left out."""
    engine, protocol = content.get("engine"), content.get("protocol")
    engine = engine if isinstance(engine, Mapping) else {}
    parts: dict[str, object] = {"engine": {name: engine.get(name) for name in ENGINE}}
    rope = engine.get("rope_parameters")
    parts["engine.rope_parameters"] = {name: rope.get(name) for name in ROPE} if isinstance(rope, Mapping) else {}
    options = engine.get("options")
    parts["engine.options"] = {name: options.get(name, UNSET) for name in OPTIONS} if isinstance(options, Mapping) else {}
    served = engine.get("served")
    parts["engine.served"] = {"by": ", ".join(map(str, served))} if isinstance(served, list) and served else {}
    sent = engine.get("sent")
    named = sent.items() if isinstance(sent, Mapping) else ()
    parts["engine.sent"] = {name: value for name, value in named if name != "model" and name.isidentifier() and len(name) < 40}
    found = {f"{part}.{name}": value for part, values in parts.items() if isinstance(values, Mapping) for name, value in values.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return known | protocol_fields(protocol)


def protocol_fields(protocol: object) -> dict[str, Any]:
    """Of a protocol as it is written down: the fields that may change a text, in their full form where it is a protocol."""
    if not isinstance(protocol, Mapping):
        return {}
    try:
        values: Mapping[str, Any] = Protocol.model_validate(protocol).model_dump(mode="json")
    except (ValidationError, BenchmarkError):
        values = protocol
    return {f"protocol.{name}": values[name] for name in COMPARED if name in values}
