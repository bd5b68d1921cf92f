"""Outputs as the executor finds them: behind a descriptor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def written(data: bytes) -> Iterator[int]:
    """The descriptor of a memfd that holds the bytes."""
    descriptor = os.memfd_create("output")
    try:
        os.pwrite(descriptor, data, 0)
        yield descriptor
    finally:
        os.close(descriptor)
