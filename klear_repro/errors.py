"""Errors that a user can act on: one line, no traceback."""

from __future__ import annotations


class UserError(ValueError):
    """Bad arguments, configuration or input data: exit code 2."""


class RunError(Exception):
    """The run cannot go on, though what was asked is right (disk full, sandbox lost): exit code 1."""
