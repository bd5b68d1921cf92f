"""Attribution: which difference between two protocols changes a checkpoint's score, and by how much.

One checkpoint is measured under FROM, under TO, and under FROM with one factor of TO at a time.  A factor's effect is the
difference that it makes alone; what the effects do not add up to is the remainder, their interaction.  Context
extension and budget are in order: a larger budget is measured on top of the extension that makes it possible.

A sample has one seed in all variants, so variants are compared sample by sample, on the same problems.  Whatever cannot
differ is not generated twice: variants with equal prompt and sampling are the same samples, and a sample that ended by
itself within a smaller budget is the same one under a larger, and the reverse.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.estimators import paired_effect
from benchmarks.protocols import Protocol, protocol_diff
from benchmarks.records import Grade, SampleKey, write_grades
from klear_repro.engines.base import Engine
from klear_repro.engines.chat import ChatTokenizer
from klear_repro.errors import UserError
from klear_repro.evaluate import Task, context, sample_set
from klear_repro.judging import Judges
from klear_repro.progress import say
from klear_repro.store import SampleStore
from klear_repro.work import SampleSet

FROM, TO = "from", "to"
BUDGET, EXTENSION = "budget", "context extension"
GROUPS = {
    "max_new_tokens": BUDGET, "max_model_len": BUDGET, "rope": EXTENSION, "context": EXTENSION, "prompt": "prompt", "judges": "judge",
    "thinking": "thinking rule", "extraction": "extraction",
}  # fmt: skip
"""Protocol field → factor; each sampling parameter is a factor of its own."""
Z95 = 1.960
"""Normal quantile of the 95 % interval."""


@dataclass(frozen=True)
class Variant:
    """One protocol between FROM and TO."""

    name: str
    protocol: Protocol
    base: str
    """The variant that the factor's effect is measured against."""
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """What the factor changes: dotted field → (value of FROM, value of TO)."""


def variants(start: Protocol, end: Protocol) -> list[Variant]:
    """FROM, a variant for each factor in which the two differ, and TO.

    Raises:
        UserError: they differ in nothing that changes a sample or its grade.
    """
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    if start.rope is None and end.rope is None:  # `off` and `model` have one key (`Protocol.sampling_hash`): all under FROM's
        end = end.model_copy(update={"context": start.context})
    for name, values in protocol_diff(start, end).items():
        head, _, rest = name.partition(".")
        factor = rest if head == "sampling" else GROUPS.get(head)
        if factor is not None:
            found.setdefault(factor, {})[name] = values
    if not found:
        raise UserError(f"eval.attribute='{start.name},{end.name}': they differ in nothing to attribute")
    first = EXTENSION if end.rope is not None else BUDGET
    second = BUDGET if first == EXTENSION else EXTENSION
    listed = [Variant(FROM, start, "")]
    for factor, fields in found.items():
        chain = [first] if factor == second and first in found else []
        changed = start
        for one in (*chain, factor):
            changed = _with(changed, end, found[one])
        listed.append(Variant(factor, changed, chain[0] if chain else FROM, fields))
    return [*listed, Variant(TO, end, FROM)]


def _with(protocol: Protocol, other: Protocol, fields: Mapping[str, Any]) -> Protocol:
    """`protocol` with these fields of `other`."""
    overrides: dict[str, Any] = {}
    for name in fields:
        head, _, rest = name.partition(".")
        if head == "sampling":
            overrides[name] = getattr(other.sampling, rest)
        else:
            overrides[head] = other.model_dump()[head]
    return protocol.resolve(overrides)


def share(store: SampleStore, keys: Sequence[SampleKey], protocol: Protocol, siblings: Mapping[str, Protocol]) -> int:
    """Copy what is there of these keys under another budget and ended by itself within this one; returns how many.

    `siblings`: sampling hash → protocol, of the other variants.
    """
    alike = {
        name for name, other in siblings.items() if other.sampling == protocol.sampling and (other.context, other.rope) == (protocol.context, protocol.rope)
    }
    missing = {key.model_copy(update={"sampling_hash": ""}): key for key in store.missing(keys)}
    copied = 0
    for row in store:
        if row.sampling_hash not in alike or row.finish_reason != "stop" or row.token_count > protocol.max_new_tokens:
            continue
        key = missing.pop(row.key.model_copy(update={"sampling_hash": ""}), None)
        if key is not None:
            copied += store.add(row.model_copy(update={"sampling_hash": key.sampling_hash, "shared_from": row.shared_from or row.sampling_hash}))
    return copied


class Filler(typing.Protocol):
    """Has samples made: `klear_repro.parallel.Workers`."""

    def fill(self, sets: Sequence[SampleSet], label: str) -> list[int]: ...


def attribute(
    start: Task, end: Task, run_dir: Path, model: str, revision: str, seed: int, judges: Judges, encoder: Engine | ChatTokenizer,
    workers: Callable[[Protocol], AbstractContextManager[Filler]], canary: Callable[[Filler, Sequence[SampleSet]], None] = lambda running, sets: None,
) -> dict[str, Any]:  # fmt: skip
    """Measure every variant of one benchmark and say what each factor does; returns the entry for the manifest.

    Args:
        start, end: FROM and TO.
        workers: starts an engine for a protocol; it is ended before the next.
        canary: has a few samples of each variant made before the rest is queued (`klear_repro.canary`).

    Raises:
        UserError: the protocols do not differ, or an engine cannot do what a variant asks for.
    """
    benchmark = start.benchmark
    if start.protocol.samples != end.protocol.samples:
        end = replace(end, protocol=end.protocol.model_copy(update={"samples": start.protocol.samples}))
    listed = variants(start.protocol, end.protocol)
    hashes = {variant.protocol.sampling_hash(seed): variant.protocol for variant in listed}
    made: dict[str, tuple[int, int]] = {}
    grades: dict[str, list[Grade]] = {}
    by_engine = groupby(sorted(listed, key=lambda one: repr(context(one.protocol))), key=lambda one: context(one.protocol))
    for _, alike in by_engine:
        group = list(alike)
        with workers(group[0].protocol) as running:
            for variant in group:
                protocol = variant.protocol
                samples = sample_set(replace(start, protocol=protocol), model, revision, run_dir, encoder, seed)
                keys = list(samples.keys)
                with SampleStore(samples.store) as store:
                    shared = share(store, keys, protocol, hashes)
                say(f"attribute {benchmark}: {variant.name} ({_shown(variant)})")
                canary(running, [samples])
                (missing,) = running.fill([samples], f"eval {model} {benchmark} ({variant.name})")
                made[variant.name] = missing, shared
                both = tuple(dict.fromkeys((*protocol.judges, *start.protocol.judges, *end.protocol.judges)))
                with SampleStore(samples.store) as store:
                    stored = store.rows(keys)
                grades[variant.name] = judges.grade(start.by_id, samples.judged.model_copy(update={"judges": both}), stored)
    for name, rows in grades.items():
        write_grades(run_dir / "attribution" / benchmark / model / f"{name.replace(' ', '-')}.parquet", rows)
    entry: dict[str, Any] = {
        "benchmark": benchmark, "model": model, "revision": revision, "from": start.protocol.name, "to": end.protocol.name,
        "problems": len(start.problems), "samples": start.protocol.samples, "sampling_hashes": sorted(hashes),
        "variants": {
            one.name: {"protocol": one.protocol.model_dump(mode="json"), "generated": made[one.name][0], "shared": made[one.name][1]}
            for one in listed
        },
        "judges": {
            judge: effects(listed, {name: outcomes(rows, judge) for name, rows in grades.items()}) for judge in _graders(grades[FROM])
        },
    }  # fmt: skip
    if own := _own_judge(listed, grades):
        entry["judges"] = {f"{start.protocol.judges[0]} → {end.protocol.judges[0]}": own} | entry["judges"]
    named: dict[str, list[dict[str, Any]]] = entry["judges"]
    for judge, found in named.items():
        for row in found:
            low, high = row["ci95"]
            say(f"attribute {benchmark} ({judge}): {row['factor']}: {row['effect']:+.2f} points (95 % {low:+.2f} to {high:+.2f})")
    return entry


def _shown(variant: Variant) -> str:
    if not variant.fields:
        return variant.protocol.name
    return ", ".join(f"{name} {_short(a)} → {_short(b)}" for name, (a, b) in variant.fields.items())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"


def _graders(grades: Sequence[Grade]) -> list[str]:
    return list(dict.fromkeys(grade.grader for grade in grades))


def outcomes(grades: Sequence[Grade], judge: str) -> NDArray[np.float64]:
    """1 or 0 for every sample under one judge: [problems, samples], problems and samples in the order of their ids."""
    rows = {(grade.key.problem_id, grade.key.sample_index): grade.correct for grade in grades if grade.grader == judge and grade.key}
    problems, samples = sorted({problem for problem, _ in rows}), sorted({index for _, index in rows})
    return np.array([[rows[problem, index] for index in samples] for problem in problems], dtype=np.float64)


def _own_judge(listed: Sequence[Variant], grades: Mapping[str, Sequence[Grade]]) -> list[dict[str, Any]]:
    """Effects when every variant is scored by its own judge; empty where that is the same one for all."""
    own = {variant.protocol.judges[0] for variant in listed}
    if len(own) == 1 or not own <= set(_graders(grades[FROM])):
        return []
    return effects(listed, {one.name: outcomes(grades[one.name], one.protocol.judges[0]) for one in listed})


def effects(listed: Sequence[Variant], scored: Mapping[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Score of FROM, effect of each factor, their remainder, and the whole difference, in points with 95 % intervals."""
    rows: list[dict[str, Any]] = []
    noisy = any(variant.protocol.sampling.temperature > 0 for variant in listed)
    rest = scored[TO] - scored[FROM]
    for variant in listed[1:-1]:
        after, before = scored[variant.name], scored[variant.base]
        rest = rest - (after - before)
        rows.append({"factor": variant.name, "on": variant.base, "fields": {name: list(pair) for name, pair in variant.fields.items()}}
                    | _effect(before, after, resampled=noisy))  # fmt: skip
    if len(listed) > 3:
        rows.append({"factor": "remainder (interaction)", "on": "", "fields": {}} | _effect(np.zeros_like(rest), rest, resampled=noisy))
    rows.append({"factor": "whole difference", "on": FROM, "fields": {}} | _effect(scored[FROM], scored[TO], resampled=noisy))
    return rows


def _effect(before: NDArray[np.float64], after: NDArray[np.float64], *, resampled: bool) -> dict[str, Any]:
    difference, error = paired_effect(before, after, resampled=resampled)
    return {
        "effect": 100 * difference,
        "ci95": [100 * (difference - Z95 * error), 100 * (difference + Z95 * error)],
        "before": 100 * float(before.mean()),
        "after": 100 * float(after.mean()),
    }
