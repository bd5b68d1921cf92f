"""Several models of one evaluation: the comma-separated list of `eval.model`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from klear_repro.errors import UserError
from klear_repro.models import ModelSource, find_model


def named_models(text: str, revision: str = "") -> list[ModelSource]:
    """The models of a comma-separated list, without weights of the Hub; of different names, which may have a parent folder's before them.

    Raises:
        UserError: one cannot be had, or stands there twice.
    """
    names = [text] if Path(text).exists() else [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"eval.model={text!r}: must name a model")
    if revision and len(names) > 1:
        raise UserError(f"eval.revision={revision!r}: of which of {len(names)} models? Write ORG/NAME@REVISION in eval.model")
    sources = [find_model(name, revision, weights=False) for name in names]
    for place, (name, source) in enumerate(zip(names, sources, strict=True)):
        if any((other.folder, other.gguf, other.revision) == (source.folder, source.gguf, source.revision) for other in sources[:place]):
            raise UserError(f"eval.model={name!r}: stands there twice")
    return [replace(source, name=label) for source, label in zip(sources, _labels(sources), strict=True)]


def _labels(sources: Sequence[ModelSource]) -> list[str]:
    """A name for each: its own, with the commit behind or as many folders before it as others of that name make necessary."""
    labels, folders = [source.name for source in sources], [list(source.folder.absolute().parent.parts[1:]) for source in sources]
    while twins := {label for label in labels if labels.count(label) > 1}:
        for place, source in enumerate(sources):
            if (label := labels[place]) not in twins:
                continue
            if source.hub or not folders[place]:
                labels[place] = f"{label}-{source.revision[:8]}"
            else:
                labels[place] = f"{folders[place].pop()}-{label}"
    return labels
