"""What a user sees while a stage works: a bar with rates and time left, or plain lines when not a terminal.

Plain lines come at once where tokens are counted, then about every five seconds, and less often the longer it takes: every minute
after an hour.  Rates are those of the last minutes, so the start of an engine does not weigh on them for hours.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections import deque
from types import TracebackType
from typing import Self, TextIO

PLAIN_EVERY = 5.0
"""Seconds between plain lines, at first."""
PLAIN_AT_MOST = 60.0
"""Seconds between plain lines of a run of hours."""
WINDOW_S = 300.0
"""Rates are measured over the last seconds, this many."""
PRIOR_UNITS = 4
"""The expected tokens of a unit count as much as the tokens of this many finished ones."""


class Progress:
    """Progress of one stage.  Use as a context manager; `total` and `done` count `unit`s.

    `update` and `tokens` may be called from several threads; workers that report over a pipe are added up by calling them for each.

    Args:
        tokens_each: tokens that a unit is expected to need; 0: not known.
        tokens_most: tokens that a unit can need at most; 0: not known.
    """

    def __init__(self, label: str, total: int, unit: str, done: int = 0, *, tokens_each: float = 0.0, tokens_most: int = 0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self._start_done = done
        self.made = 0
        """Tokens so far, those of unfinished units too."""
        self._tokens_each, self._tokens_most = tokens_each, tokens_most
        self._counts_tokens = bool(tokens_each or tokens_most)
        self._finished, self._finished_tokens = 0, 0
        self._said = (-1, -1)
        """Units and tokens in the last plain line."""
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._last: float | None = None if self._counts_tokens else self._start
        self._points: deque[tuple[float, int, int]] = deque([(self._start, done, 0)])
        self._bar = None
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[text]}"),
            )  # fmt: skip
            self._task = self._bar.add_task(label, total=total, completed=done, rate="", text="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        elif self._counts_tokens:
            with self._lock:
                self._show("")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        elif (self.done > self._start_done or self.made) and self._said != (self.done, self.made):
            self._line("", time.monotonic())

    def update(self, advance: int = 1, text: str = "", tokens: int = 0) -> None:
        """Count `advance` more units, finished with `tokens` in all if that is known; `text` stands behind the bar."""
        with self._lock:
            self.done += advance
            if tokens:
                self._finished += advance
                self._finished_tokens += tokens
            self._show(text)

    def tokens(self, count: int) -> None:
        """Count `count` more tokens, of whichever unit; with 0 a line that is due is shown."""
        with self._lock:
            self._counts_tokens = True
            first = count > 0 and not self.made
            self.made += count
            if first:  # an engine takes a while to start, and nobody knows over which time these were made
                self._points = deque([(time.monotonic(), self.done, self.made)])
                self._last = None
            self._show("")

    def _show(self, text: str) -> None:
        now = time.monotonic()
        if now - self._points[-1][0] >= 1:
            self._points.append((now, self.done, self.made))
            while len(self._points) > 2 and now - self._points[1][0] > WINDOW_S:
                self._points.popleft()
        if self._bar:
            self._bar.update(self._task, completed=self.done, rate=self._rates(now), text=text)
        elif self._last is None or now - self._last >= pause(now - self._start):
            self._last = now
            self._line(text, now)

    def _line(self, text: str, now: float) -> None:
        self._said = (self.done, self.made)
        say(f"{self.label}: {self.done}/{self.total} {self.unit}s, {self._rates(now)}  {text}".rstrip())

    def _rates(self, now: float) -> str:
        then, done, made = self._points[0]
        seconds = max(now - then, 1e-9)
        units_a_second, tokens_a_second = (self.done - done) / seconds, (self.made - made) / seconds
        parts = [f"{units_a_second:.2f}/s"]
        if self._counts_tokens and not self.made and self.done == self._start_done:
            return "0 tokens, the engine starts and loads the model"
        if self._counts_tokens:
            parts = [f"{self.made:,} tokens", f"{tokens_a_second:,.0f} tokens/s"]
        return f"{', '.join(parts)}, {self._time_left(units_a_second, tokens_a_second)}"

    def _time_left(self, units_a_second: float, tokens_a_second: float) -> str:
        remaining = max(0, self.total - self.done)
        if not remaining:
            return "0:00 left"
        known = self._finished == self.done - self._start_done  # else nobody says how many of the tokens are of finished units
        under_way = max(0, self.made - self._finished_tokens) if known else 0
        each = self._expected_tokens()
        if each and tokens_a_second:
            return f"about {clock(max(0.0, remaining * each - under_way) / tokens_a_second)} left"
        if self._tokens_most and tokens_a_second:
            return f"at most {clock(max(0, remaining * self._tokens_most - under_way) / tokens_a_second)} left"
        return f"{clock(remaining / units_a_second)} left" if units_a_second else "unknown time left"

    def _expected_tokens(self) -> float:
        """Tokens of a unit: what was expected, and more and more what the finished ones had; 0: not known."""
        prior = PRIOR_UNITS if self._tokens_each else 0
        seen = self._finished + prior
        if not self._tokens_each and self._finished < PRIOR_UNITS:  # the first to finish are short ones
            return 0.0
        return (self._finished_tokens + prior * self._tokens_each) / seen


def pause(elapsed: float) -> float:
    """Seconds until the next plain line, when this many have passed."""
    return min(max(elapsed / 60, PLAIN_EVERY), PLAIN_AT_MOST)


def printable(text: str) -> str:
    """The text with every character that a terminal would obey written out (`\\x1b`): names and messages come from models and files."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def say(text: str) -> None:
    """One plain line to the user (standard error: standard output stays free for results)."""
    print(printable(text), file=sys.stderr, flush=True)


def say_warnings() -> None:
    """Have the project's own warnings said as lines to the user, each once, without a place in the source."""
    from benchmarks.errors import BenchmarkWarning

    said: set[str] = set()
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None) -> None:
        if not issubclass(category, BenchmarkWarning):
            shown(message, category, filename, lineno, file, line)
        elif str(message) not in said:
            said.add(str(message))
            say(f"warning: {message}")

    warnings.showwarning = show


def clock(seconds: float) -> str:
    """A time as people read it: 0:05, 1:02:03, 2 days 3:04:05."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    short = f"{hours}:{minutes:02}:{rest:02}" if hours or days else f"{minutes}:{rest:02}"
    return f"{days} day{'s' * (days != 1)} {short}" if days else short
