"""Errors that a user can act on: one line, no traceback."""

from __future__ import annotations

import errno
import shutil
import sys


class UserError(ValueError):
    """Bad arguments, configuration or input data: exit code 2."""


class RunError(Exception):
    """The run cannot go on, though what was asked is right (disk full, sandbox lost): exit code 1.

    `everywhere`: all processes of the training raise it at the same place.
    """

    def __init__(self, message: str, *, everywhere: bool = False) -> None:
        super().__init__(message)
        self.everywhere = everywhere


FULL = ("No space left on device", "Disk quota exceeded", "database or disk is full")
"""A full disk, as libraries write it that have exceptions of their own (safetensors, pyarrow, SQLite)."""
NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "bad alloc", "bad_alloc", "failed to map segment")
"""Want of memory, as torch, CUDA, the system, C++ and the loader of libraries write it."""
OF_FILES = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO,
    errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOTEMPTY, errno.EBUSY, errno.ENODEV,
}  # fmt: skip
"""What a file system refuses whatever the program does; a missing file is not among it, which is the program's own fault."""


def machine_failure(error: BaseException) -> str | None:
    """What to say of an error that the machine is to blame for (disk, memory, files), in one line; None if it is none of these."""
    text = _text(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) or any(words in text for words in FULL):
        where = error.filename if isinstance(error, OSError) and error.filename else "the run folder"
        return f"no space left on the disk of {where}; what was finished is kept, and the same command goes on"
    if isinstance(error, MemoryError) or isinstance(error, (OSError, RuntimeError, ImportError)) and any(words in text.lower() for words in NO_MEMORY):
        written = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in written if any(words in line.lower() for words in NO_MEMORY)]
        detail = [*telling, *written, "the system gave none"][0][:200]
        return (
            f"not enough memory ({detail}); what was finished is kept; a smaller model, fewer samples side by side (eval.slots, rl_math.slots) "
            "or fewer tokens at a time (micro_batch_tokens) need less"
        )
    if isinstance(error, OSError) and error.errno in OF_FILES:
        return f"{error.filename or 'a file'}: {error.strerror}"
    return None


OWN = ("klear_repro", "benchmarks", "sandbox", "reports")


def missing_package(error: ModuleNotFoundError) -> str | None:
    """What to say where a package is not installed, in one line; None if it is one of this project's own modules."""
    package = (error.name or "").partition(".")[0]
    if not package or package in OWN:
        return None
    return (
        f"the package {package!r} is not installed for {sys.executable}; use the Python of the environment that the project is installed in "
        "(after a tox command .tox/core/bin/python), or pip install -e . in the checkout"
    )


def _text(error: BaseException) -> str:
    """What an error says; of `shutil.Error`, which gathers one for each file of a folder, the first only."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][-1])
    return str(error)
