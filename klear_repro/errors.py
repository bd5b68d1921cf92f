"""Errors that a user can act on: one line, no traceback."""

from __future__ import annotations


class UserError(ValueError):
    """Bad arguments, configuration or input data: exit code 2."""


class RunError(Exception):
    """The run cannot go on, though what was asked is right (disk full, sandbox lost): exit code 1.

    `everywhere`: all processes of the training raise it at the same place.
    """

    def __init__(self, message: str, *, everywhere: bool = False) -> None:
        super().__init__(message)
        self.everywhere = everywhere
