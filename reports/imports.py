"""What the lead of a report says of responses that were imported: from which files, and whose word their protocol is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.blocks import Paragraph
from reports.load import Run
from reports.text import brief, counted

SHOWN = 4
"""Files of one import that are named; `manifest.json` has all."""


def import_paragraphs(run: Run) -> list[Paragraph]:
    """One note for each import; empty where nothing was imported."""
    entries = run.raw_manifest.get("imports")
    listed = entries if isinstance(entries, list) else []
    return [Paragraph(_sentence(one) + _verdicts(run, one), note=True) for one in listed if isinstance(one, Mapping)]


def _verdicts(run: Run, entry: Mapping[str, Any]) -> str:
    """That the files have no verdicts of their own, or for some responses only; empty where they have all, or nobody knows."""
    benchmarks = entry.get("benchmarks")
    asked = benchmarks if isinstance(benchmarks, list) else []
    of = [one for one in run.manifest.evaluations if one.model == entry.get("model") and one.benchmark in asked]
    found = [one for one in of if one.engine_name == "imported"]
    if not found or any(one.recorded is None for one in found):
        return ""
    recorded, samples = sum(one.recorded or 0 for one in found), sum(one.samples or 0 for one in found)
    files = entry.get("files")
    several = isinstance(files, list) and len(files) > 1
    if not recorded:
        what = "The files carry no verdicts of their own" if several else "The file carries no verdicts of its own"
        return f" {what}, so nothing here can be compared with the judge recorded."
    if recorded >= samples - sum(one.failed for one in found):
        return ""
    own = "of the files' own" if several else "of the file's own"
    return f" Only {recorded:,} of {samples:,} responses have a verdict {own}: the judge recorded is of those alone."


def _sentence(entry: Mapping[str, Any]) -> str:
    listed = entry.get("files")
    files = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    named = "; ".join(_file(one) for one in files[:SHOWN]) or "files that the manifest does not name"
    more = f"; and {len(files) - SHOWN} more, which manifest.json names" if len(files) > SHOWN else ""
    model = brief(str(entry.get("model", "a model")), 100)
    said = f"The responses of {model} were generated elsewhere and imported from {named}{more}."
    protocol = entry.get("protocol")
    if protocol:
        said += f" That they follow the protocol {brief(str(protocol))} is the importer's word: nothing in the files shows it."
    else:
        said += " Nobody said under which protocol: sampling and token budget are unknown."
    from_file = [name for name in entry.get("benchmarks", []) if isinstance(name, str) and name.startswith("file-")]
    if from_file:
        fields = sorted({str(one["answer_field"]) for one in files if one.get("answer_field")})
        field = f" (field {', '.join(brief(name) for name in fields)})" if fields else ""
        field += "".join(f"; {brief(str(one['note']), 300)}" for one in files if one.get("note"))
        names = brief(", ".join(from_file), 200)
        said += f" What {names} counts as right is the answer in the file itself{field}: no other source confirms it."
    skipped = sum(one["skipped"] for one in files if isinstance(one.get("skipped"), int))
    return said + (f" {counted(skipped, 'row')} could not be used and {'is' if skipped == 1 else 'are'} left out." if skipped else "")


def _file(file: Mapping[str, Any]) -> str:
    name, form, rows = (brief(str(file.get(field, "unknown")), 100) for field in ("name", "format", "rows"))
    released = f", the released {brief(str(file['released']))}" if file.get("released") else ""
    return f"{name} ({form}, {rows} responses, SHA-256 {brief(str(file.get('sha256', 'unknown')), 64)}{released})"
