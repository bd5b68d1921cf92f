"""The sandbox against the official LiveCodeBench checker, whose verdicts are kept in official/verdicts.jsonl.

`official/record.py` makes that file from a checkout of LiveCodeBench. Programs made from the shared data are
skipped where that is absent; the quirks, and the programs that could keep something, are always judged.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from official import quirks
from official.cases import Case, own_cases, shared_cases, state_cases

from benchmarks.code_grading import (
    CARRIAGE_RETURN,
    QUIRKS,
    UNEXPLAINED,
    CodeSample,
    Comparison,
    Disagreement,
    judge_both,
    official_code,
)
from benchmarks.livecodebench import code_tests
from sandbox import Executor, Limits, Result

FILE = Path(__file__).with_name("official") / "verdicts.jsonl"

VERDICT_DIFFERS = {
    "quirk/fileinput": "reads the command line, which officially is the checker's own",
}
CODE_DIFFERS = {
    "quirk/open-dev-stdin": "RE instead of WA: no file of that name is in the sandbox",
    "quirk/signalling-nan": "WA instead of an exception in the checker",
    "state/m-print-global": "the same: it replaces the len that the checker calls",
}
UNDETERMINED = {
    "model/abc368_f": "its output comes from a thread that nothing waits for",
    "model/abc382_c": "the same",
}

SLOWER = 4
"""A program that passed officially has this many times its limit: the verdicts are of a machine that may be faster."""

Judged = list[tuple[Case, dict[str, Any], Result, Result]]


def recorded() -> dict[str, dict[str, Any]]:
    """The official verdicts by key."""
    rows = map(json.loads, FILE.read_text(encoding="utf-8").splitlines()[1:])
    return {row["key"]: row for row in rows}


def judge(cases: Iterable[Case]) -> tuple[Judged, list[Disagreement]]:
    """Every case with its official verdict and its native and compatible results, and where those disagree."""
    verdicts, groups = recorded(), defaultdict(list)
    for case in cases:
        groups[case.timeout * (SLOWER if verdicts[case.key]["passed"] else 1)].append(case)
    judged: Judged = []
    disagreements: list[Disagreement] = []
    with Executor(workers=2) as executor:
        for timeout, group in groups.items():
            limits = Limits(cpu_s=timeout, wall_s=timeout * 2 + 3, memory_mb=4096, output_mb=128)
            samples = [CodeSample(c.name, 0, c.code, code_tests(c.rows, c.function)) for c in group]
            both: Comparison = judge_both(samples, executor, limits)
            rows = zip(group, both.native, both.lcb_compat, strict=True)
            judged += [(case, verdicts[case.key], native, compat) for case, native, compat in rows]
            disagreements += both.disagreements
    return judged, disagreements


def assert_agreement(judged: Judged) -> None:
    """Verdicts and error codes are the official ones but for what is documented."""
    names = {case.name for case, *_ in judged} - set(UNDETERMINED)
    verdict, code = set(), set()
    for case, official, _, compat in judged:
        if compat.passed != official["passed"]:
            verdict.add(case.name)
        elif official_code(compat, case.function is not None) != official["code"]:
            code.add(case.name)
    assert verdict - set(UNDETERMINED) == names & set(VERDICT_DIFFERS)
    assert code == names & set(CODE_DIFFERS)


def assert_explained(judged: Judged, disagreements: list[Disagreement]) -> None:
    """Whatever `native` judges otherwise has the name of a quirk."""
    known = {quirk.name for quirk in QUIRKS} | {CARRIAGE_RETURN}
    assert {row.quirk for row in disagreements} <= known
    differing = {case.name for case, _, native, compat in judged if native.passed != compat.passed}
    assert {row.problem_id for row in disagreements} == differing


@pytest.fixture(scope="module")
def own() -> tuple[Judged, list[Disagreement]]:
    return judge(own_cases())


@pytest.fixture(scope="module")
def state() -> tuple[Judged, list[Disagreement]]:
    return judge(state_cases())


@pytest.fixture(scope="module")
def from_shared(shared: Path) -> list[Case]:
    cases = shared_cases(shared / "data")
    unknown = [case.name for case in cases if case.key not in recorded()]
    assert not unknown, f"no official verdict: run official/record.py again ({unknown[:3]} …)"
    return cases


def test_small_programs_are_judged_as_officially(own):
    judged, _ = own
    assert len(judged) > 250
    assert_agreement(judged)


def test_each_disagreement_on_small_programs_has_the_name_of_its_quirk(own):
    judged, disagreements = own
    assert_explained(judged, disagreements)
    found = defaultdict(list)
    for row in disagreements:
        found[row.quirk].append(row.problem_id.removeprefix("quirk/"))
    assert {name: sorted(programs) for name, programs in found.items()} == {
        name: sorted(programs) for name, programs in quirks.EXPLAINED_BY.items()
    }


def test_programs_that_could_keep_something_are_judged_as_officially(state):
    judged, disagreements = state
    assert len(judged) > 350
    assert_agreement(judged)
    assert_explained(judged, disagreements)
    assert sum(row.quirk == "shared-state" for row in disagreements) > 200


def test_every_quirk_has_a_program_that_shows_it():
    assert {quirk.name for quirk in QUIRKS} | {CARRIAGE_RETURN} == set(quirks.EXPLAINED_BY)
    assert UNEXPLAINED not in quirks.EXPLAINED_BY


def test_model_programs_and_changed_ones_are_judged_as_officially(from_shared):
    chosen = [case for case in from_shared if case.group == "injected"]
    for group, step in (("model", 4), ("humaneval", 3), ("mutant", 2)):
        chosen += [case for case in from_shared if case.group == group][::step]
    judged, disagreements = judge(chosen)
    assert len(judged) > 600
    assert_agreement(judged)
    assert_explained(judged, disagreements)


def test_the_three_real_problems_are_judged_as_officially(from_shared):
    cases = [case for case in from_shared if case.group == "real"]
    judged, disagreements = judge(cases)
    assert_agreement(judged)
    assert_explained(judged, disagreements)
    programs = [row for row in judged if row[0].name.count("/") == 1]
    assert [(row[1]["passed"], row[2].passed, row[3].passed) for row in programs] == [(True, True, True)] * 3
    failed = [row for row in judged if not row[1]["passed"]]
    assert not any(native.passed or compat.passed for _, _, native, compat in failed)
    assert min(Counter(case.name.split("/")[1] for case, *_ in failed).values()) >= 20


@pytest.mark.proof
def test_all_recorded_programs_are_judged_as_officially(from_shared, own, state):
    judged, disagreements = judge(from_shared)
    assert_agreement(judged)
    assert_explained(judged, disagreements)
    assert len(judged) + len(own[0]) + len(state[0]) == len(recorded())
    for (quirk, native), number in sorted(
        Counter((row.quirk, str(row.native)) for row in [*own[1], *state[1], *disagreements]).items()
    ):
        print(f"{quirk}: native {native}: {number}")
