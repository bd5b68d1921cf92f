"""What a user sees while a stage works: a bar with rate and time left, or plain lines when not a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

PLAIN_EVERY = 5.0
"""Seconds between plain lines."""


class Progress:
    """Progress of one stage.  Use as a context manager; `total` and `done` count `unit`s."""

    def __init__(self, label: str, total: int, unit: str, done: int = 0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self._start_done = done
        self._start = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[text]}"),
            )  # fmt: skip
            self._task = self._bar.add_task(label, total=total, completed=done, rate="", text="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        elif self.done > self._start_done:
            self._line("")

    def update(self, advance: int = 1, text: str = "") -> None:
        """Count `advance` more units; `text` stands behind the bar."""
        self.done += advance
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._task, completed=self.done, rate=f"{self._rate(now):.2f} {self.unit}/s", text=text)
        elif now - self._last >= PLAIN_EVERY:
            self._last = now
            self._line(text)

    def _rate(self, now: float) -> float:
        return (self.done - self._start_done) / max(now - self._start, 1e-9)

    def _line(self, text: str) -> None:
        rate = self._rate(time.monotonic())
        left = (self.total - self.done) / rate if rate else float("inf")
        say(f"{self.label}: {self.done}/{self.total} {self.unit}s, {rate:.2f}/s, {_clock(left)} left  {text}".rstrip())


def say(text: str) -> None:
    """One plain line to the user (standard error: standard output stays free for results)."""
    print(text, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
