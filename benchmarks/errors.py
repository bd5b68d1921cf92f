"""Errors that a user can mend, each with a one-line message.  Standard library only: importing it is free."""

from __future__ import annotations


class BenchmarkError(ValueError):
    """Wrong input to a benchmark, protocol or grader: a name, a path, a broken or altered file.  One line."""


class BenchmarkWarning(UserWarning):
    """A copy of a benchmark is usable but is not word for word the reference."""
