"""Signs that a file is not what it is taken for: its `answer` is the model's own answer, or it holds several models' responses.

Either would give a score that looks right and is not, so such a file is refused, in a line that says what to pass.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from benchmarks.answer_keys import plain_answer, same_answer, statement_hash
from benchmarks.answer_text import find_boxes
from benchmarks.errors import BenchmarkError
from benchmarks.records import Problem
from benchmarks.traces.fields import Row
from benchmarks.traces.problems import is_from_file

LEAST = 3
"""Responses that must contradict a file before it is refused."""
ENOUGH = 10
"""Responses that must all agree with a file before it is remarked upon."""
LONGEST_END = 20_000
"""Characters at the end of a response in which its last box is looked for."""
MOST_OWN = 0.8
"""Share of a file's wrong responses that give what stands in the field; a right answer is hardly ever given by one."""
MOST_OTHER = 0.2
"""Share of known problems at which the field may have another answer than the official one."""
_SAMPLE = re.compile(
    r"[\d_.T:+-]*|(rs|seed|run|sample|chunk|part|shard|epoch|rank|worker|try|iter|repeat|rep|trial|attempt|pass|round|gen|generation|rollout)s?[-_=.]?\d+",
    re.IGNORECASE,
)
"""A folder that holds further samples of the same model: a number, a time, or `seed-1`."""


class Answers:
    """Whether a field of one file that is taken for the right answer may be the model's own."""

    def __init__(self) -> None:
        self.field = ""
        """The field, once it is used for a problem that no benchmark has."""
        self._official, self._other = 0, 0
        self._wrong, self._own = 0, 0
        self._boxed, self._compared = 0, 0
        self._answers: dict[str, set[str]] = {}

    def see(self, row: Row, problem: Problem) -> None:
        """Count one row, and the problem that it was found to be of."""
        if not row.gold_field or row.gold is None:
            return
        if not is_from_file(problem.benchmark):
            same = same_answer(row.gold, problem.answer or "")
            self._official, self._other = self._official + same, self._other + (not same)
            return
        self.field = row.gold_field
        wanted = plain_answer(row.gold)
        self._answers.setdefault(statement_hash(problem.statement) if problem.statement else problem.id, set()).add(wanted)
        for response in row.responses:
            boxes, _ = find_boxes(response.text[-LONGEST_END:])
            same = bool(boxes) and plain_answer(boxes[-1].content) == wanted
            self._compared, self._boxed = self._compared + 1, self._boxed + same
            if response.recorded is False and boxes:
                self._wrong, self._own = self._wrong + 1, self._own + same

    def check(self, name: str) -> str:
        """Refuse the file, if this is not the right answer; else what should be said of it, if anything.

        Raises:
            BenchmarkError: it contradicts the file's own verdicts, the official answers, or itself.
        """
        several = sum(len(found) > 1 for found in self._answers.values())
        remedy = "name the field of the right one with --traces.fields answer=FIELD, or answer=" + self.field + " if it is that"
        if self.field and self._own >= LEAST and self._own > MOST_OWN * self._wrong:
            why = f"{self._own} of {self._wrong} responses that the file calls wrong give it"
            raise BenchmarkError(f"{name}: the field {self.field!r} looks like the model's own answer: {why}; {remedy}")
        if several >= LEAST and several > MOST_OTHER * len(self._answers):
            why = f"{several} of {len(self._answers)} problems have several different ones"
            raise BenchmarkError(f"{name}: the field {self.field!r} looks like the model's own answer: {why}; {remedy}")
        if self.field and self._other >= LEAST and self._other > MOST_OTHER * (self._official + self._other):
            why = f"it is not the official one for {self._other} of {self._official + self._other} known problems"
            raise BenchmarkError(f"{name}: the field {self.field!r} looks like the model's own answer: {why}; {remedy}")
        if self._compared >= ENOUGH and self._boxed == self._compared:
            return f"all {self._compared} responses give what stands in the field {self.field!r}; if it is the model's own answer, {remedy}"
        return ""


class Models:
    """Whether responses are of several models, by what rows and folders say."""

    def __init__(self) -> None:
        self.named: Counter[str] = Counter()
        self._places: dict[tuple[str, str], dict[str, str]] = {}

    def start(self) -> None:
        """The next path that was given: its files may have the problems of those before, as further samples."""
        self._places = {}

    def see(self, row: Row, problem: Problem, folder: PurePath) -> None:
        """Count one row of a file in `folder`, which is seen from the path that was given."""
        if row.model:
            self.named[row.model] += len(row.responses)
        parts = [part for part in folder.parts if not _SAMPLE.fullmatch(part)]
        self._places.setdefault((problem.benchmark, problem.id), {}).setdefault("/".join(parts), str(folder))

    def check(self, path: str) -> None:
        """Refuse what is of several models.

        Raises:
            BenchmarkError: rows name several, or the same problem is in folders of different names.
        """
        if len(self.named) > 1:
            shown = ", ".join(f"{name[:80]} ({count})" for name, count in self.named.most_common(5)) + " …" * (len(self.named) > 5)
            raise BenchmarkError(f"{path}: responses of several models, and an import is of one ({shown}); pass --traces.only NAME")
        for places in self._places.values():
            if len(places) > 1:
                shown = ", ".join(sorted(place or "." for place in places.values())[:5])
                raise BenchmarkError(
                    f"{path}: the same problems in folders that look like several models' or settings' ({shown}), and an import is of one; "
                    "pass --traces.only FOLDER, or its files one by one if all are samples of one model"
                )


def is_of(only: str, row: Row, folder: PurePath) -> bool:
    """Whether a row is of the model or folder that was asked for; all are where none was."""
    return not only or row.model == only or only in folder.parts or (not row.model and only == "/".join(folder.parts))


def no_such(only: str, models: Iterable[str], folders: Sequence[str]) -> str:
    """What to say where nothing is of the model or folder that was asked for."""
    there = sorted({*models, *(folder for folder in folders if folder not in ("", "."))})
    return f"traces.only={only!r}: no row names that model, and no folder is called so; there are {', '.join(there[:8]) or 'no names'}"
