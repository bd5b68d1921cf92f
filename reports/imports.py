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
    return [Paragraph(_sentence(one), note=True) for one in entries if isinstance(one, Mapping)] if isinstance(entries, list) else []


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
