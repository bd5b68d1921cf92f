"""The canary: which samples it takes, when it is needed, what stops a run and what is only reported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.protocols import Protocol
from benchmarks.records import FinishReason, Generation, SampleKey, Thinking
from klear_repro.canary import Watched, chosen, look, run_canary
from klear_repro.errors import RunError

GOOD, CUT, OPEN, PLAIN = ("<think>a</think>7", "stop"), ("<think>a and a", "length"), ("<think>a", "stop"), ("7", "stop")
DONE_AND_CUT = ("<think>a</think>7 user: and now?", "length")


def protocol(thinking: Thinking = "required", budget: int = 4096) -> Protocol:
    return Protocol(name="p", description="", max_new_tokens=budget, samples=3, thinking=thinking)


def keys(problems: int = 6, samples: int = 3) -> list[SampleKey]:
    return [
        SampleKey(model="m", revision="r", benchmark="b", problem_id=f"p{problem}", sample_index=index, prompt_hash="x", sampling_hash="y")
        for index in range(samples)
        for problem in range(problems)
    ]


def row(key: SampleKey, how: tuple[str, str], tokens: int = 100) -> Generation:
    text, reason = how
    ending: FinishReason = "stop" if reason == "stop" else "length"
    return Generation(**key.model_dump(), text=text, token_count=tokens, finish_reason=ending, seed=1, seconds=10.0)


class Run:
    """Samples that end as `endings` say, in turn, and a store that they are kept in."""

    def __init__(self, folder: Path, endings: Sequence[tuple[str, str]], rule: Protocol, listed: Sequence[SampleKey] | None = None) -> None:
        self.watched = Watched("eval m b", rule, list(listed if listed is not None else keys()), folder / "m.jsonl")
        self.endings = list(endings)
        self.made: list[SampleKey] = []

    def make(self, picked: list[list[SampleKey]]) -> None:
        (mine,) = picked
        there = {one.key for one in self.watched.stored()}
        with open(self.watched.store, "a") as out:
            for place, key in enumerate(mine):
                if key not in there:
                    self.made.append(key)
                    out.write(row(key, self.endings[place % len(self.endings)]).model_dump_json() + "\n")

    def start(self, size: int = 4, together: int | None = None) -> list[object]:
        return list(run_canary(self.make, [self.watched], size, together))


def test_it_is_the_first_samples_of_distinct_problems(tmp_path: Path) -> None:
    run = Run(tmp_path, [GOOD], protocol())
    assert len(run.start()) == 1
    assert [(key.problem_id, key.sample_index) for key in run.made] == [("p0", 0), ("p1", 0), ("p2", 0), ("p3", 0)]
    few = Run(tmp_path / "few", [GOOD], protocol(), keys(problems=2))
    few.watched.store.parent.mkdir()
    few.start()
    assert [key.problem_id for key in few.made] == ["p0", "p1"]


@pytest.mark.parametrize(
    ("size", "rule", "listed"),
    [
        (0, protocol(), None),
        (4, protocol(budget=1024), None),
        (4, protocol(), keys(4, 1)),
        (4, protocol(), keys(2, 1)),
        (4, protocol(), []),
    ],
    ids=["switched off", "short budget", "all samples are the canary", "fewer samples", "no samples"],
)
def test_there_is_none_where_it_would_be_of_no_use(tmp_path: Path, size: int, rule: Protocol, listed: list[SampleKey] | None) -> None:
    run = Run(tmp_path, [CUT], rule, listed)
    assert run.start(size) == [] and not run.made


def test_a_run_that_goes_on_with_a_good_sample_needs_none(tmp_path: Path) -> None:
    run = Run(tmp_path, [CUT], protocol())
    run.watched.store.write_text(row(keys()[9], CUT).model_dump_json() + "\nnot a row\n" + row(keys()[11], GOOD).model_dump_json() + "\n")
    assert run.start() == [] and not run.made


def test_samples_of_another_run_in_the_store_do_not_count(tmp_path: Path) -> None:
    run = Run(tmp_path, [GOOD], protocol())
    other = keys()[0].model_copy(update={"sampling_hash": "other"})
    run.watched.store.write_text(row(other, GOOD).model_dump_json() + "\n")
    assert len(run.start()) == 1 and len(run.made) == 4


def test_the_same_command_gives_the_same_answer_and_makes_nothing_twice(tmp_path: Path) -> None:
    run = Run(tmp_path, [CUT], protocol())
    for _ in range(2):
        with pytest.raises(RunError, match="all 4 samples were cut off at 4,096 tokens"):
            run.start()
    assert len(run.made) == 4
    assert run.start(size=0) == []


@pytest.mark.parametrize(
    ("endings", "rule", "why"),
    [
        ([CUT], protocol(), "all 4 samples were cut off at 4,096 tokens.*a larger --max-new-tokens"),
        ([CUT], protocol("auto"), "all 4 samples were cut off"),
        ([DONE_AND_CUT], protocol(), "all 4 samples were cut off.*the model's stop tokens"),
        ([PLAIN], protocol(), "none of 4 samples has a closed thinking.*thinking = 'auto'"),
        ([OPEN], protocol("auto"), "none of 4 samples has a closed thinking"),
        ([OPEN, DONE_AND_CUT], protocol(), "none of 4 samples ended by itself with its thinking closed"),
    ],
)
def test_not_one_good_end_stops_the_run_and_says_what_to_do(
    tmp_path: Path, endings: list[tuple[str, str]], rule: Protocol, why: str
) -> None:
    run = Run(tmp_path, endings, rule)
    with pytest.raises(RunError, match=why) as raised:
        run.start()
    assert "--eval.canary 0 goes on as it is" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("bad", [CUT, OPEN, PLAIN, DONE_AND_CUT])
def test_some_bad_ends_are_one_line_of_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: tuple[str, str]) -> None:
    (seen,) = run_canary((run := Run(tmp_path, [GOOD, bad], protocol())).make, [run.watched], 4)
    assert seen.good == 2
    _, line = capsys.readouterr().err.splitlines()
    assert "warning: " in line and f"stops with {bad[0]!r}" in line


def test_models_without_thinking_are_at_a_good_end_where_the_protocol_allows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Run(tmp_path, [PLAIN], protocol("auto")).start()
    assert "warning" not in capsys.readouterr().err


def test_what_is_shown_of_a_sample_is_short_and_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = ("x" * 500 + "\x1b[2J\r\n\u202eklear-repro: done\x00", "length")
    Run(tmp_path, [GOOD, hostile], protocol()).start()
    shown = capsys.readouterr().err
    assert "\x1b" not in shown and "\u202e" not in shown and "\r" not in shown and "\\x1b[2J" in shown and "x" * 81 not in shown


def test_it_says_how_long_the_rest_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """100 tokens in 10 s for one of four: 14 samples left are 1,400 tokens, at 40 tokens a second or, 12 at once, 120."""
    Run(tmp_path, [GOOD], protocol()).start(together=12)
    assert "the 14 samples left are about 1,400 tokens and take between 0:11 and 0:35, roughly" in capsys.readouterr().err


def test_several_benchmarks_share_one_start(tmp_path: Path) -> None:
    first, second = (
        Run(tmp_path, [GOOD], protocol()),
        Run(tmp_path, [CUT], protocol("auto"), [key.model_copy(update={"benchmark": "c"}) for key in keys()]),
    )
    calls = []

    def make(picked: list[list[SampleKey]]) -> None:
        calls.append([len(part) for part in picked])
        first.make(picked[:1])
        second.make(picked[1:])

    with pytest.raises(RunError, match="all 4 samples were cut off"):
        run_canary(make, [first.watched, second.watched], 4)
    assert calls == [[4, 4]]


@given(st.integers(0, 9), st.integers(1, 8), st.integers(1, 5), st.sets(st.integers(0, 39)))
def test_it_never_asks_for_more_than_its_size_or_for_a_problem_twice(size: int, problems: int, samples: int, stored: set[int]) -> None:
    listed = keys(problems, samples)

    class Memory(Watched):
        def stored(self):  # type: ignore[no-untyped-def]
            return (row(listed[place], CUT) for place in stored if place < len(listed))

    picked = chosen(size, Memory("", protocol(), listed, Path("nowhere")))
    assert len(picked) <= size and len({key.problem_id for key in picked}) == len(picked) and set(picked) <= set(listed)


@given(st.lists(st.sampled_from([GOOD, CUT, OPEN, PLAIN, DONE_AND_CUT]), max_size=9), st.sampled_from(["auto", "required"]))
def test_counts_agree_with_each_other(endings: list[tuple[str, str]], rule: Thinking) -> None:
    seen = look([row(key, how) for key, how in zip(keys(), endings, strict=False)], protocol(rule))
    assert 0 <= seen.good <= min(seen.ended, seen.closed) <= max(seen.ended, seen.closed) <= seen.samples == len(endings)
    assert bool(seen.end) == (seen.good < seen.samples) and seen.speed >= 0
