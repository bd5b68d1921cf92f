"""The official answer keys, and matching of a copy's rows to them.

The keys are `answers/*.toml`: for each problem its number in the competition, its answer, and two
fingerprints of its statement (large sets have their rows in a `.tsv` beside it, with the hash alone);
the statements themselves are not part of this project.  `hash` is the
SHA-256 of the statement reduced to lower-case letters and digits; `sketch` is a bottom-k sketch of
its token pairs (Broder 1997), which recognises a problem in copies that typeset it differently.
The reference statements are those of the evaluation files released with Klear-Reasoner.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import pairwise
from typing import Any

KEYED = ("aime24", "aime25", "hmmt25", "gsm8k", "math500")
"""Benchmarks of mathematics with an official key."""
SKETCH_SIZE = 32
SAME_PROBLEM = 0.4
"""Estimated Jaccard similarity of token pairs from which two statements are taken for one problem."""


@dataclass(frozen=True)
class KeyEntry:
    """One problem of a key: number in the competition, official answer, fingerprints of the statement."""

    id: str
    answer: str
    hash: str
    sketch: frozenset[int]


@dataclass(frozen=True)
class AnswerKey:
    """One benchmark's key, with the file names and Hub repository where its problems are found."""

    name: str
    title: str
    files: tuple[str, ...]
    hub_repo: str
    hub_revision: str
    problems: tuple[KeyEntry, ...]
    hub_data: tuple[str, ...] = ()
    """Patterns of the data files in the Hub repository; none: all of them."""

    @cached_property
    def by_hash(self) -> Mapping[str, KeyEntry]:
        """Statement hash → problem."""
        return {entry.hash: entry for entry in self.problems}

    @cached_property
    def by_id(self) -> Mapping[str, KeyEntry]:
        """Id, letters and digits alone → problem."""
        return {_plain(entry.id): entry for entry in self.problems}


def statement_hash(statement: str) -> str:
    """16 hex digits that do not change with white space, punctuation, dollar signs or case."""
    text = unicodedata.normalize("NFKC", statement).lower()
    return hashlib.sha256(re.sub(r"[^a-z0-9]+", "", text).encode()).hexdigest()[:16]


def statement_sketch(statement: str) -> frozenset[int]:
    """The `SKETCH_SIZE` smallest 32-bit hashes of the pairs of neighbouring words and numbers."""
    text = unicodedata.normalize("NFKC", statement).lower()
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = re.sub(r"\\(?:left|right|displaystyle|text|mathrm|textbf|emph|quad|qquad|begin|end)\b", " ", text)
    words = re.findall(r"[a-z]+|[0-9]+", text)
    pairs = {f"{a} {b}" for a, b in pairwise(words)}
    hashes = sorted(int.from_bytes(hashlib.sha256(pair.encode()).digest()[:4], "big") for pair in pairs)
    return frozenset(hashes[:SKETCH_SIZE])


def similarity(a: frozenset[int], b: frozenset[int]) -> float:
    """Estimated Jaccard similarity of the sets behind two sketches (0 to 1)."""
    smallest = sorted(a | b)[:SKETCH_SIZE]
    return sum(value in a and value in b for value in smallest) / len(smallest) if smallest else 0.0


@cache
def load_key(name: str) -> AnswerKey:
    """The key of one of KEYED, from the package data."""
    folder = files("benchmarks") / "answers"
    table = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    if "problem" in table:
        problems = [
            KeyEntry(row["id"], row["answer"], row["hash"], _sketch_from_hex(row["sketch"]))
            for row in table["problem"]
        ]
    else:
        problems = [KeyEntry(row[0], row[2], row[1], frozenset()) for row in read_table(name)]
    hub: Mapping[str, Any] = table["hub"]
    return AnswerKey(
        name=name,
        title=table["title"],
        files=tuple(table["files"]),
        hub_repo=hub["repo"],
        hub_revision=hub["revision"],
        problems=tuple(problems),
        hub_data=tuple(hub.get("data", ())),
    )


def read_table(name: str) -> list[list[str]]:
    """The rows of `answers/NAME.tsv`, split at tabs."""
    text = (files("benchmarks") / "answers" / f"{name}.tsv").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def match(key: AnswerKey, statement: str, row_ids: Iterable[object]) -> KeyEntry | None:
    """The key's entry for a row: by statement hash, else by sketch, else by an id like `2024-II-3`."""
    if found := key.by_hash.get(statement_hash(statement)):
        return found
    sketch = statement_sketch(statement)
    best = max(key.problems, key=lambda entry: similarity(entry.sketch, sketch) if entry.sketch else 0.0)
    if best.sketch and similarity(best.sketch, sketch) >= SAME_PROBLEM:
        return best
    return next((key.by_id[_plain(str(row_id))] for row_id in row_ids if _plain(str(row_id)) in key.by_id), None)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _sketch_from_hex(text: str) -> frozenset[int]:
    return frozenset(int(text[i : i + 8], 16) for i in range(0, len(text), 8))
