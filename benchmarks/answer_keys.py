"""The official answer keys, and recognition of a copy's rows.

The keys are `answers/*.toml`: for each problem its number in the competition, its answer, and fingerprints of its
statement in one or several wordings (large sets have their rows in a `.tsv` beside it, with one hash alone);
the statements themselves are not part of this project.  `hash` is the SHA-256 of the statement reduced to lower-case
letters and digits; `sketch` is a bottom-k sketch of its pairs of neighbouring words (Broder 1997), which recognises a
problem in copies that word or typeset it differently.  The reference statements of AIME 2024, AIME 2025 and HMMT 2025
are those of the evaluation files released with Klear-Reasoner, of the others those of MathArena's sets.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from itertools import accumulate, pairwise
from typing import Any, NamedTuple
from urllib.parse import unquote

from benchmarks.strict.votes import joined_answer
from benchmarks.wording import LONGEST, readings, words

KEYED = ("aime24", "aime25", "hmmt25", "aime26", "hmmt26", "gsm8k", "math500")
"""Benchmarks of mathematics with an official key."""
SKETCH_SIZE = 48
_LARGEST = 1 << 32
SAME_PROBLEM = 0.45
"""Resemblance of two statements (0 to 1) from which they are taken for one problem where a row gives no answer."""
NEAR_PROBLEM = 0.2
"""The same where the row's answer is the key's."""
LONGEST_GIVEN = 200
"""Characters of an answer in a row that is compared by value."""
FEWEST_PAIRS = 8
"""Pairs of words of a text that can resemble anything."""
CLEARANCE = 0.6
"""Share of the best resemblance that no other problem of the key may reach."""


class Wording(NamedTuple):
    """Fingerprints of one wording of a statement."""

    hash: str
    sketch: frozenset[int]


@dataclass(frozen=True)
class KeyEntry:
    """One problem of a key: number in the competition, official answer, fingerprints of the reference statement."""

    id: str
    answer: str
    hash: str
    sketch: frozenset[int]
    others: tuple[Wording, ...] = ()
    """Further wordings in which copies have the problem."""
    confirmed: bool = True
    """Whether the answer has at least two independent sources."""


@dataclass(frozen=True)
class AnswerKey:
    """One benchmark's key, with the file names and Hub repositories where its problems are found."""

    name: str
    title: str
    files: tuple[str, ...]
    hub_repo: str
    hub_revision: str
    problems: tuple[KeyEntry, ...]
    hub_data: tuple[str, ...] = ()
    """Patterns of the data files in the Hub repository; none: all of them."""
    hub_others: tuple[str, ...] = ()
    """Repositories to ask where `hub_repo` cannot be had."""

    @cached_property
    def by_hash(self) -> Mapping[str, KeyEntry]:
        """Statement hash → problem, over all wordings."""
        return {one.hash: entry for entry in reversed(self.problems) for one in (Wording(entry.hash, entry.sketch), *entry.others)}

    @cached_property
    def by_id(self) -> Mapping[str, KeyEntry]:
        """Id, letters and digits alone → problem."""
        return {_plain(entry.id): entry for entry in self.problems}

    @cached_property
    def sketches(self) -> tuple[tuple[KeyEntry, _Pairs], ...]:
        """Every wording that has a sketch, with its problem."""
        pairs = [(entry, one) for entry in self.problems for one in (entry.sketch, *(other.sketch for other in entry.others))]
        return tuple((entry, _Pairs(sketch)) for entry, sketch in pairs if sketch)

    @cached_property
    def sketched(self) -> frozenset[int]:
        """All hashes of all sketches."""
        return frozenset().union(*(sketch.hashes for _, sketch in self.sketches))


def statement_hash(statement: str) -> str:
    """16 hex digits that do not change with white space, punctuation, dollar signs or case."""
    text = unicodedata.normalize("NFKC", statement).lower()
    return hashlib.sha256(re.sub(r"[^a-z0-9]+", "", text).encode()).hexdigest()[:16]


def statement_sketch(statement: str) -> frozenset[int]:
    """The `SKETCH_SIZE` smallest 32-bit hashes of the pairs of neighbouring words, variables and numbers."""
    return frozenset(sorted(_pairs(statement))[:SKETCH_SIZE])


def similarity(a: frozenset[int], b: frozenset[int]) -> float:
    """Estimated Jaccard similarity of the sets behind two sketches (0 to 1)."""
    smallest = sorted(a | b)[:SKETCH_SIZE]
    return sum(value in a and value in b for value in smallest) / len(smallest) if smallest else 0.0


@lru_cache(1 << 16)
def _pair_hash(first: str, second: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{first} {second}".encode()).digest()[:4], "big")


def _pairs(statement: str) -> frozenset[int]:
    return frozenset(_pair_hash(first, second) for first, second in pairwise(words(statement)))


class _Pairs:
    """Hashes of pairs of words, and the weight of those up to a hash."""

    def __init__(self, hashes: frozenset[int]) -> None:
        weights = _weights()
        self.hashes = hashes
        self.ordered = sorted(hashes)
        self.sums = [0.0, *accumulate(weights.get(one, 1.0) for one in self.ordered)]

    def weight(self, limit: int) -> float:
        """Of the pairs whose hash is not above the limit.

        A pair counts less, the more other problems have it: «relatively prime positive integers» says little.
        """
        return self.sums[bisect_right(self.ordered, limit)]


def _look_at(text: str) -> tuple[tuple[str, ...], tuple[str, ...], _Pairs]:
    """The readings of a text, their hashes, and the pairs of the barest one; of a long text the first alone."""
    found = tuple(readings(text))
    pairs = _pairs(found[-1]) if len(text) <= LONGEST else frozenset[int]()
    return found, tuple(statement_hash(one) for one in found), _Pairs(pairs)


_looked_at = lru_cache(16)(_look_at)
"""The same text is asked of several keys."""


@cache
def load_key(name: str) -> AnswerKey:
    """The key of one of KEYED, from the package data."""
    folder = files("benchmarks") / "answers"
    table = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    if "problem" in table:
        problems = [_entry(row) for row in table["problem"]]
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
        hub_others=tuple(hub.get("others", ())),
    )


def _entry(row: Mapping[str, Any]) -> KeyEntry:
    others = tuple(Wording(one["hash"], _sketch_from_hex(one["sketch"])) for one in row.get("wording", ()))
    sketch = _sketch_from_hex(row["sketch"])
    return KeyEntry(row["id"], row["answer"], row["hash"], sketch, others, row.get("confirmed", True))


def read_table(name: str) -> list[list[str]]:
    """The rows of `answers/NAME.tsv`, split at tabs."""
    text = (files("benchmarks") / "answers" / f"{name}.tsv").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def match(key: AnswerKey, statement: str, row_ids: Iterable[object], answers: Iterable[str] = ()) -> KeyEntry | None:
    """The key's entry for a row, or None.  `recognise` says by which reading of the statement."""
    found = recognise(key, statement, row_ids, answers)
    return None if found is None else found[0]


def recognise(
    key: AnswerKey, statement: str, row_ids: Iterable[object], answers: Iterable[str] = ()
) -> tuple[KeyEntry, str] | None:
    """The key's entry for a row and its statement without a prompt's surroundings.

    In this order: the statement in a known wording, perhaps inside a prompt; an id like `2024-II-3` or an AoPS address
    with paper and problem; a statement that resembles one problem and no other.  `answers` are what the row gives as
    answers: where there are any, one has to be the key's for a resemblance to count, and less resemblance is enough.
    An id of another answer counts only if nothing resembles the statement better.  `statement` is searched up to
    `benchmarks.wording.LONGEST` characters.
    """
    texts, hashes, pairs = _look_at(statement) if len(statement) > LONGEST else _looked_at(statement)
    for text, hashed in zip(texts, hashes, strict=True):
        if found := key.by_hash.get(hashed):
            return found, text
    answers = list(answers)
    named = _named(key, row_ids)
    if named is not None and (not answers or agrees(answers, named.answer)):
        return named, texts[-1]
    near = _resembling(key, pairs, answers)
    entry = near or named
    return None if entry is None else (entry, texts[-1])


def agrees(answers: Iterable[str], official: str) -> bool:
    """Whether one of the answers is the official one."""
    return any(same_answer(one, official) for one in answers)


def same_answer(given: str, official: str) -> bool:
    """Whether two answers are the same, in spelling or in value; a text of more than `LONGEST_GIVEN` characters is no answer."""
    if plain_answer(given) == plain_answer(official):
        return True
    if len(given) > LONGEST_GIVEN:
        return False
    value, wanted = joined_answer(given), joined_answer(official)
    if not isinstance(value, str) and not isinstance(wanted, str):
        return value == wanted
    from benchmarks.grading import grade_math

    return grade_math(f"\\boxed{{{given}}}", official, grader="strict").correct


def plain_answer(answer: str) -> str:
    """An answer without white space, dollar signs, leading zeros and `.0`."""
    text = re.sub(r"\\[dt]frac", r"\\frac", answer.strip().strip("$"))
    text = re.sub(r"\\[,;! ]|\s+", "", text)
    return str(int(float(text))) if re.fullmatch(r"\d{1,9}(?:\.0*)?", text) else text


def _resembling(key: AnswerKey, pairs: _Pairs, answers: list[str]) -> KeyEntry | None:
    """The only problem that a text with these pairs resembles."""
    shared = pairs.hashes & key.sketched
    if not shared or len(pairs.hashes) < FEWEST_PAIRS:
        return None
    scores: dict[str, tuple[float, KeyEntry]] = {}
    for entry, sketch in key.sketches:
        if common := sketch.hashes & shared:
            score = _resemblance(sketch, pairs, common)
            if score > scores.get(entry.id, (0.0, entry))[0]:
                scores[entry.id] = (score, entry)
    ranked = sorted(scores.values(), key=lambda one: -one[0])
    if not ranked or (len(ranked) > 1 and ranked[1][0] > CLEARANCE * ranked[0][0]):
        return None
    score, entry = ranked[0]
    if answers:
        return entry if score >= NEAR_PROBLEM and agrees(answers, entry.answer) else None
    return entry if score >= SAME_PROBLEM else None


def _resemblance(sketch: _Pairs, pairs: _Pairs, common: frozenset[int]) -> float:
    """Harmonic mean of the estimated shares of either statement's pairs that are in the other."""
    weights = _weights()
    shared = sum(weights.get(one, 1.0) for one in common)
    limit = sketch.ordered[-1] if len(sketch.ordered) == SKETCH_SIZE else _LARGEST
    return 2 * shared / (sketch.weight(_LARGEST) + pairs.weight(limit))


@cache
def _weights() -> Mapping[int, float]:
    """Of each hash in a sketch that other public problems have too: 1 over their number and one."""
    return {int(one, 16): 1 / (1 + int(count)) for one, count in read_table("pairs")}


_SEPARATOR = r"[\W_]*"
_NUMBER = rf"{_SEPARATOR}(?:problems?)?{_SEPARATOR}(?:problem|prob|question|p|q|no)?{_SEPARATOR}(\d{{1,2}})(?!\d)"
_AIME = re.compile(rf"(?<!\d)(20\d\d){_SEPARATOR}aime{_SEPARATOR}(ii|i){_NUMBER}|aime{_SEPARATOR}(20\d\d|\d\d){_SEPARATOR}(ii|i){_NUMBER}")
_BARE = re.compile(rf"(20\d\d){_SEPARATOR}(ii|i){_SEPARATOR}(\d{{1,2}})")
_HMMT = re.compile(rf"hmmt{_SEPARATOR}(20\d\d){_SEPARATOR}feb[a-z]*{_SEPARATOR}(ant|algebra|alg|comb[a-z]*|geo[a-z]*){_NUMBER}")
_ROUNDS = {"a": "algebra", "c": "combinatorics", "g": "geometry"}


def official_id(row_id: object) -> str | None:
    """The number in the competition that an id or an address names in words of its own: year, paper and problem.

    `https://artofproblemsolving.com/wiki/index.php/2024_AIME_II_Problems/Problem_4` and `AIME24II-4` are `2024-II-4`.
    """
    text = unquote(str(row_id))[:400].lower()
    if found := _AIME.search(text) or _BARE.fullmatch(text):
        year, paper, number = (part for part in found.groups() if part)
        return f"{int(year) % 100 + 2000}-{paper.upper()}-{int(number)}"
    if found := _HMMT.search(text):
        year, contest, number = found.groups()
        return f"{year}-02-{_ROUNDS[contest[0]]}-{int(number)}"
    return None


def _named(key: AnswerKey, row_ids: Iterable[object]) -> KeyEntry | None:
    for row_id in row_ids:
        for text in (str(row_id)[:400], official_id(row_id)):
            if text and (found := key.by_id.get(_plain(text))):
                return found
    return None


def _plain(text: str) -> str:
    """Lower-case letters and digits with single hyphens between."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _sketch_from_hex(text: str) -> frozenset[int]:
    return frozenset(int(text[start : start + 8], 16) for start in range(0, len(text), 8))
