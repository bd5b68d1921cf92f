"""Seeds: every random choice of a run has its own, derived from the run's seed and what the choice is for."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed from its parts, such as (run seed, "rl-math", step, prompt, sample).

    The same parts give the same seed on every machine; a different part gives an unrelated one.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
