"""The judge released with Klear-Reasoner, stated a second time and on its own for comparison.

Source of the rule: `benchmarks/judge_math.py` of github.com/suu990901/KlearReasoner at 5d2d0b8.
"""

from __future__ import annotations

from math_verify import parse, verify


def released_verdict(response: str, gold: str) -> bool:
    """True where the released judge counts the response as correct.  Main thread only (SIGALRM)."""
    gold = gold.strip()
    found = parse(response, parsing_timeout=5)
    if len(found) < 2:  # nothing matched, or a match that could not be parsed
        return False
    matched_text = found[1]
    if matched_text == gold:
        return True
    expected = parse("\\boxed{" + gold + "}", parsing_timeout=5)
    return bool(verify(expected, found, timeout_seconds=5))
