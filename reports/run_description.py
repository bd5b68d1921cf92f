"""The sections that describe the run itself: preset, hardware, manifest and configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from benchmarks.errors import BenchmarkError
from benchmarks.protocols import load_protocol, protocol_diff
from reports.against_published import resolved_protocol
from reports.blocks import Block, Cell, Folded, Paragraph, table
from reports.load import Run
from reports.measurements import of_programs
from reports.text import brief

OWN_STAGE = "report"
"""The stage that writes this: it is running while it does, and is left out so that a second report is the same."""
CUDA_PARTS = "CUDA kernels, bf16 on a GPU, vLLM on CUDA and FSDP2 over NCCL"
PRESETS = ("paper", "release")
CHANGED = "+changed"
"""Ends the name of a protocol with replaced fields (`Protocol.resolve`)."""
NAMED = 3
"""Models that a heading has room for."""


def measured_models(run: Run) -> str:
    """The models that were measured, for a heading, controls last; empty where there is none.

    A heading names them before the run and its profile: the profile `klear-8b-eval` may have evaluated any model.
    """
    ordered = sorted(run.measurements, key=lambda one: one.is_control)
    models = list(dict.fromkeys(one.model for one in ordered))
    more = f" and {len(models) - NAMED} more" if len(models) > NAMED else ""
    return ", ".join(brief(model) for model in models[:NAMED]) + more


def preset_blocks(run: Run) -> list[Block]:
    """The preset of the run, where paper and released code differ, and what this run used."""
    preset = run.manifest.preset
    name = preset.get("name") if isinstance(preset, Mapping) else preset
    if not name:
        return [Paragraph("The manifest names no preset.")]
    follows = (
        f"The run follows the preset {_plain(name)}." if name != "none" else "The run follows no preset."
    )
    differences = preset.get("differences") if isinstance(preset, Mapping) else None
    rows = [
        [field, *(_plain(value) for value in values), _used(run, field)]
        for field, values in _differences(differences).items()
    ]
    if not rows:
        return [Paragraph(follows)]
    rows_of_cells: list[list[Cell | str]] = [list(row) for row in rows]
    caption = "Where the paper and the released code differ"
    header = ["field", *PRESETS, "this run"]
    return [Paragraph(follows), table(caption, header, rows_of_cells, {0, 1, 2, 3})]


def _differences(listed: object) -> dict[str, tuple[Any, Any]]:
    """Field → (paper, release), from a mapping to pairs or from a list of rows with those keys."""
    found: dict[str, tuple[Any, Any]] = {}
    entries = (
        listed.items()
        if isinstance(listed, Mapping)
        else enumerate(listed)
        if isinstance(listed, list)
        else ()
    )
    for place, entry in entries:
        if isinstance(entry, Mapping):
            found[str(entry.get("field", place))] = (entry.get("paper", "–"), entry.get("release", "–"))
        elif isinstance(entry, list) and len(entry) == 2:
            found[str(place)] = (entry[0], entry[1])
        elif isinstance(entry, list) and len(entry) == 3:
            found[str(entry[0])] = (entry[1], entry[2])
        else:
            found[_plain(entry)] = ("–", "–")
    return found


def _used(run: Run, field: str) -> str:
    """What the configuration says of a field in the RL sections; both where they differ."""
    sections = [run.config.get(name) for name in ("rl_math", "rl_code")]
    used = [section[field] for section in sections if isinstance(section, Mapping) and field in section]
    return " / ".join(dict.fromkeys(_plain(value) for value in used)) or "–"


def changed_protocols(run: Run) -> list[Paragraph]:
    """Which fields of a named protocol the run replaced, one sentence for each protocol."""
    found: dict[str, list[str]] = {}
    for evaluation in run.manifest.evaluations:
        ours = resolved_protocol(evaluation)
        if ours is None or not ours.name.endswith(CHANGED):
            continue
        name = ours.name.removesuffix(CHANGED)
        try:
            theirs = load_protocol(name)
        except BenchmarkError:  # a file of the user's own
            continue
        kind: Literal["math", "code"] = "code" if of_programs(evaluation.benchmark) else "math"
        differs = protocol_diff(ours, theirs.for_benchmark(evaluation.benchmark, kind))
        said = [f"{field} {brief(_plain(mine))} instead of {brief(_plain(other))}" for field, (mine, other) in sorted(differs.items())]
        if words := ", ".join(said):
            found.setdefault(f"Protocol {name} was changed: {words}", []).append(evaluation.benchmark)
    return [Paragraph(f"{words} ({', '.join(dict.fromkeys(benchmarks))}).", note=True) for words, benchmarks in found.items()]


def vouched_servers(run: Run) -> list[Paragraph]:
    """That servers ran what was asked for is the user's word, where it was given."""
    models = sorted({one.model for one in run.measurements if any(fields.get("engine.vouched") for fields in one.settings.values())})
    said = "is the user's word (eval.vouched): servers do not tell"
    ran = "unquantised and with the protocol's context extension"
    return [Paragraph(f"That servers ran {brief(model, 100)} {ran} {said}.", note=True) for model in models]


def cuda_sentence(run: Run) -> str:
    """What of this run says nothing about CUDA."""
    hardware = run.manifest.hardware
    if not hardware:
        return "The manifest does not say on what hardware this ran: nothing here is evidence that it works on CUDA."
    gpu, device = hardware.get("gpu"), str(hardware.get("device", "unknown"))
    engines = {evaluation.engine for evaluation in run.manifest.evaluations}
    if engines == {"imported"} and not run.metrics:
        only = "Nothing was trained or generated in this run, which only judged responses from elsewhere"
        return f"{only}. {CUDA_PARTS} have not been exercised by it."
    if gpu and "cuda" in device:
        used = f"This run used {_plain(gpu)} ({device}, {_plain(hardware.get('dtype', 'dtype unknown'))})"
        return f"{used}; whatever it did not reach is not shown to work there."
    there = f"A GPU was present ({_plain(gpu)}) but not used" if gpu else "There was no GPU"
    return (
        f"{there}: nothing in this run touched CUDA. Training, generation and grading ran on {device}; "
        f"{CUDA_PARTS} have not been exercised by it."
    )


def manifest_blocks(run: Run) -> list[Block]:
    """Stages, hardware, versions, seeds and hashes; manifest and configuration in full, folded."""
    manifest = run.manifest
    blocks: list[Block] = []
    stages: list[list[Cell | str]] = [
        [
            name,
            _plain(stage.get("status", "")),
            _seconds(stage.get("seconds")),
            _plain(stage.get("fingerprint", "")),
        ]
        for name, stage in manifest.stages.items()
        if name != OWN_STAGE
    ]
    if stages:
        blocks.append(table("Stages", ["stage", "status", "seconds", "fingerprint"], stages, {0, 1, 3}))
    parts = {
        "Hardware": manifest.hardware,
        "Versions": manifest.versions,
        "Git": manifest.git,
        "Seeds": manifest.seeds,
        "Data hashes": manifest.data_hashes,
    }
    for title, values in parts.items():
        pairs: list[list[Cell | str]] = [[str(name), _plain(value)] for name, value in values.items()]
        blocks += [table(title, ["name", "value"], pairs, {0, 1})] if pairs else []
    if run.raw_manifest:
        shown = {name: value for name, value in run.raw_manifest.items() if name != "updated"}
        if isinstance(shown.get("stages"), Mapping):
            shown["stages"] = {name: stage for name, stage in shown["stages"].items() if name != OWN_STAGE}
        title = "manifest.json, without the stage that writes this report"
        blocks.append(Folded(title, json.dumps(shown, indent=2), "json"))
    if run.config_text:
        blocks.append(Folded("config.toml", run.config_text, "toml"))
    return blocks or [Paragraph("There is no manifest.")]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _seconds(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, (int, float)) and abs(value) < 1e12 else "–"
