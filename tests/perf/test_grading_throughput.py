"""The judges against the loop of the released one, in alternation, on 1,920 responses of 150 KB of real reasoning text.

And against what they were before `strict` read answers by itself: on those responses, and on 2,000 mixed short answers.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.grading import GraderPool

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from released_judge import released_verdict

from .short_answers import KINDS, Answer, short_answers

pytestmark = pytest.mark.perf

SHARED = Path(os.environ.get("KLEAR_SHARED") or Path(__file__).resolve().parents[2].parent / "shared")
RESPONSES, LENGTH, ROUNDS = 1920, 150_000, 3
BEFORE, ANSWERS, WORKERS = "a994740", 2000, 2
ENDS = (
    "The answer is $\\boxed{%s}$.", "**Answer:** \\(\\boxed{%s}\\)", "$$\\boxed{%s}$$", "So it is \\boxed{0%s}.",
    "Either way \\boxed{%s} is what remains.",
)  # fmt: skip


@pytest.fixture(scope="module")
def responses() -> list[tuple[str, str]]:
    """(response, gold): thinking joined from real outputs of a model, an answer in one of several spellings, two in three right."""
    file = SHARED / "data" / "math_cot_real_outputs.jsonl"
    if not file.is_file():
        pytest.skip(f"no shared data in {file.parent}: set KLEAR_SHARED")
    real = [json.loads(line)["response"] for line in file.read_text(encoding="utf-8").splitlines()]
    texts = [text for row in real for text in (row if isinstance(row, list) else [row])]
    rng = random.Random(0)
    made = []
    for index in range(RESPONSES):
        parts: list[str] = []
        while sum(map(len, parts)) < LENGTH:
            parts.append(rng.choice(texts))
        answer = str(rng.randint(1, 999))
        end = rng.choice(ENDS) % answer
        made.append(("<think>\n" + "\n\nWait. ".join(parts) + f"\n</think>\n\n{end}", answer if index % 3 else "1000"))
    return made


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2) as made:
        yield made


def timed(work: Callable[[], list[bool]]) -> tuple[float, list[bool]]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def test_judges_are_faster_than_the_released_loop(report, responses, pool):
    def ours(judge: str) -> list[bool]:
        return [grade.correct for grade in pool.grade_many(responses, judge)]

    ours("klear"), ours("strict")
    klear, strict, seconds = [], [], []
    for _ in range(ROUNDS):
        released_s, released = timed(lambda: [released_verdict(text, gold) for text, gold in responses])
        klear_s, verdicts = timed(lambda: ours("klear"))
        strict_s, _ = timed(lambda: ours("strict"))
        assert verdicts == released and 0 < sum(released) < RESPONSES
        klear.append(released_s / klear_s)
        strict.append(released_s / strict_s)
        seconds.append(released_s)
    spent = statistics.median(seconds)
    note = f"the released judge's loop, {RESPONSES} responses of {LENGTH // 1000} KB, {spent:.1f} s; median of {ROUNDS}"
    report("grading-klear", statistics.median(klear), "x, the same verdicts", 1.8, f"{note}, {min(klear):.2f} to {max(klear):.2f}")
    report("grading-strict", statistics.median(strict), "x", 50, f"{note}, {min(strict):.1f} to {max(strict):.1f}")


@pytest.fixture
def before(tmp_path: Path, root: Path) -> Iterator[Callable[..., tuple[float, list[bool]]]]:
    """Seconds and verdicts of the judges as they were at the commit BEFORE, with as many workers."""
    git = shutil.which("git")
    archive = tmp_path / "before.tar"
    command = [str(git), "-C", str(root), "archive", "--output", str(archive), BEFORE, "benchmarks", "sandbox"]
    if git is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip(f"no git history back to {BEFORE} here: nothing to compare with")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    rival = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("judges_before.py")), str(WORKERS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip

    def judged(pairs: list[tuple[str, str]], judge: str = "strict") -> tuple[float, list[bool]]:
        print(json.dumps([judge, pairs]), file=rival.stdin, flush=True)
        spent, verdicts = json.loads(rival.stdout.readline())
        return spent, verdicts

    with rival:
        yield judged
        rival.stdin.close()


def test_judges_are_no_slower_than_before(report: Any, responses: list[tuple[str, str]], pool: GraderPool, before: Any) -> None:
    def ours(judge: str) -> list[bool]:
        return [grade.correct for grade in pool.grade_many(responses, judge)]

    for judge in ("klear", "strict"):
        before(responses[:20], judge), ours(judge)
        gains = []
        for _ in range(ROUNDS):
            before_s, before_verdicts = before(responses, judge)
            now_s, verdicts = timed(partial(ours, judge))
            assert verdicts == before_verdicts
            gains.append(before_s / now_s)
        note = f"at {BEFORE}, the same verdicts; median of {ROUNDS}, {min(gains):.2f} to {max(gains):.2f}"
        report(f"grading-{judge}-before", statistics.median(gains), "x", 0.95, note)


def pairs_of(answers: list[Answer]) -> list[tuple[str, str]]:
    return [(answer.text, answer.gold) for answer in answers]


def as_meant(answers: list[Answer], verdicts: list[bool]) -> int:
    return sum(answer.right == verdict for answer, verdict in zip(answers, verdicts, strict=True))


def test_strict_judges_mixed_short_answers_five_times_as_fast_as_before(report: Any, before: Any) -> None:
    with GraderPool(workers=WORKERS) as fresh:

        def now(answers: list[Answer]) -> tuple[float, list[bool]]:
            return timed(lambda: [grade.correct for grade in fresh.grade_many(pairs_of(answers))])

        before(pairs_of(short_answers(len(KINDS), 0))), now(short_answers(len(KINDS), 0))
        gains, rates, meant = [], [], {"before": 0, "now": 0}
        for seed in range(1, ROUNDS + 1):  # other pairs in every round: nothing is remembered
            answers = short_answers(ANSWERS, seed)
            before_s, before_verdicts = before(pairs_of(answers))
            now_s, verdicts = now(answers)
            gains.append(before_s / now_s)
            rates.append(ANSWERS / before_s)
            meant["before"] += as_meant(answers, before_verdicts)
            meant["now"] += as_meant(answers, verdicts)
    gain, rate, total = statistics.median(gains), statistics.median(rates), ROUNDS * ANSWERS
    note = (
        f"{rate:.0f} a second before, {ANSWERS} mixed short answers on {WORKERS} workers; median of {ROUNDS}, {min(gains):.2f} to "
        f"{max(gains):.2f}; verdicts as meant {meant['now'] / total:.1%}, before {meant['before'] / total:.1%}"
    )
    report("grading-short", gain, "x", 5, note)
    assert meant["now"] >= meant["before"]
    assert gain >= 5
