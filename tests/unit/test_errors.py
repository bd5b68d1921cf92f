"""What the machine is to blame for: a full disk, too little memory, files that may not be touched."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from klear_repro.errors import machine_failure


def raised(action: object) -> Exception:
    """The error that `action` raises."""
    with pytest.raises(Exception) as caught:  # its class is what is asked for
        action()  # type: ignore[operator]
    return caught.value


def test_a_full_disk_is_one_line_whoever_says_it(tmp_path: Path) -> None:
    plain = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/run/folder/file")
    copied = shutil.Error([("from", "to", str(plain)), ("from2", "to2", str(plain))])
    foreign = RuntimeError("I/O error: No space left on device (os error 28)")
    for error in (plain, copied, foreign):
        line = machine_failure(error)
        assert line is not None
        assert line.startswith("no space left on the disk of")
        assert "\n" not in line
    assert "/run/folder/file" in str(machine_failure(plain))


def test_want_of_memory_is_one_line_whoever_says_it() -> None:
    errors = [
        MemoryError(),
        raised(lambda: torch.empty(1 << 50)),
        raised(lambda: np.ones(1 << 50)),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has a total capacity of 79.1 GiB"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    ]
    for error in errors:
        line = machine_failure(error)
        assert line is not None, repr(error)
        assert line.startswith("not enough memory")
        assert "\n" not in line
        assert "eval.slots" in line


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.EISDIR, errno.EIO, errno.EMFILE])
def test_what_a_file_system_refuses_names_the_file(number: int) -> None:
    assert machine_failure(OSError(number, os.strerror(number), "/run/folder")) == f"/run/folder: {os.strerror(number)}"


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), KeyError("memory"), FileNotFoundError(errno.ENOENT, "No such file", "x"), ValueError("memory")]
)
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception) -> None:
    assert machine_failure(error) is None
