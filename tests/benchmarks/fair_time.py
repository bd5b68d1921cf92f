"""Wall time of a call as it would be with a processor of its own: other programs may have the processors for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

TRIES, PROBE_S = 3, 0.3


def timed(call: Callable[[], Any], limit_s: float) -> tuple[float, Any]:
    """(seconds, result).  A time over the limit is tried again, and divided by what other programs made of it."""
    best = float("inf")
    for _ in range(TRIES):
        began = time.monotonic()
        result = call()
        spent = time.monotonic() - began
        best = min(best, spent)
        if best < limit_s:
            break
        best = min(best, spent / slowness())
    return best, result


def slowness() -> float:
    """Wall time over processor time of a computation just now; at least 1."""
    wall, processor = time.monotonic(), time.process_time()
    while time.process_time() - processor < PROBE_S:
        pass
    return max(1.0, (time.monotonic() - wall) / PROBE_S)
