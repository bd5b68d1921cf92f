"""Progress as plain lines: at once, in tokens, with the time left, and ever more seldom."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from klear_repro import progress
from klear_repro.progress import Progress, clock, pause


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time that `Progress` reads."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] = 1000.0 + seconds

    return move


def test_the_first_line_comes_at_once_where_tokens_are_counted(at: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("eval m aime24", 8, "sample", tokens_most=1000):
        assert capsys.readouterr().err == "eval m aime24: 0/8 samples, 0 tokens, the engine starts and loads the model\n"


def test_other_stages_stay_quiet_when_they_are_quick(at: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("grade", 8, "sample") as bar:
        for second in range(4):
            at(second)
            bar.update()
        assert capsys.readouterr().err == ""
    assert capsys.readouterr().err.startswith("grade: 4/8 samples, ")


def test_tokens_of_several_workers_add_up_and_give_the_time_left(at: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("eval", 10, "sample", 2, tokens_each=100.0, tokens_most=1000) as bar:
        at(30)
        bar.tokens(50)  # the engine took 30 s to start
        at(32)
        bar.tokens(20)
        bar.tokens(30)
        at(34)
        bar.update(1, tokens=100)
        capsys.readouterr()
        at(40)
        bar.tokens(100)
        line = capsys.readouterr().err
    # 150 tokens in the 10 s since the first: 7 samples of 100 tokens are left, 100 tokens of them are made
    assert line == "eval: 3/10 samples, 200 tokens, 15 tokens/s, about 0:40 left\n"


def test_without_an_expectation_the_budget_bounds_the_time_left(at: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("eval", 2, "sample", tokens_most=1000) as bar:
        bar.tokens(1)
        at(10)
        capsys.readouterr()
        bar.tokens(100)
        assert capsys.readouterr().err == "eval: 0/2 samples, 101 tokens, 10 tokens/s, at most 3:09 left\n"


def test_finished_samples_correct_what_was_expected(at: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("eval", 104, "sample", tokens_each=10.0) as bar:
        bar.tokens(1)
        at(100)
        bar.tokens(8000)
        capsys.readouterr()
        for _ in range(4):
            bar.update(1, tokens=2000)
        at(110)
        bar.tokens(0)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("about 23:01 left"), line  # 100 samples of (4 × 10 + 4 × 2000) / 8 tokens, 73 a second


def test_lines_become_seldom(at: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    assert pause(0) == 5 and pause(600) == 10 and pause(3600) == 60 == pause(1e6)
    with Progress("eval", 10**6, "sample", tokens_most=10) as bar:
        for second in range(4 * 3600):
            at(second)
            bar.tokens(1)
        assert 150 < len(capsys.readouterr().err.splitlines()) < 400


def test_threads_lose_no_token() -> None:
    with Progress("eval", 4000, "sample", tokens_most=10) as bar:

        def work() -> None:
            for _ in range(1000):
                bar.tokens(3)
                bar.update(1, tokens=3)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bar.made == 12000 and bar.done == 4000


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.9, "0:59"), (3723, "1:02:03"), (86400, "1 day 0:00:00"), (3 * 86400 + 60, "3 days 0:01:00")]
)
def test_times_are_written_as_people_read_them(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
