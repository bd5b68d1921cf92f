"""The canary: a few samples that must come to a good end before thousands are queued.

A wrong chat template, a missing stop token or a budget that is far too small costs a day when it is found in the report, and
minutes when it is found here.  The samples are the first of the run, on problems of their own, and are stored like any others:
nothing is generated twice, and a run that goes on reads them instead.

A sample is at a good end when it ended by itself and the judge `strict` finds an answer's place in it: the thinking is closed
(`benchmarks.answer_text.final_text`, with the protocol's own rule).  Not one good end stops the run; some bad ones are reported,
for a model may well think longer than a budget allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.answer_text import final_text
from benchmarks.protocols import Protocol
from benchmarks.records import Generation, SampleKey
from klear_repro.errors import RunError
from klear_repro.forecast import hours, tokens
from klear_repro.progress import say

SHORTEST_BUDGET = 1024
"""Up to this budget, in tokens, there is no canary: the whole run is short, or cut off on purpose."""
SHOWN = 80
"""Characters of the end of a bad sample that are shown."""


@dataclass(frozen=True)
class Seen:
    """How the samples of a canary ended."""

    samples: int
    ended: int
    """Ended by themselves."""
    closed: int
    """Closed their thinking, where the protocol or the text has one."""
    good: int
    """Both."""
    mean_tokens: float
    speed: float
    """New tokens a second of one sample beside the others; 0: not known."""
    end: str
    """The end of a bad one, as Python writes a string; empty where there is none."""


def needed(size: int, protocol: Protocol, keys: Sequence[SampleKey], stored: Mapping[SampleKey, Generation]) -> list[SampleKey]:
    """The samples that are to be looked at before the rest: the first one of each of the first `size` problems.

    None where it would be of no use: no more samples are missing, the budget is short, or a stored sample is at a good end already.
    """
    if not size or protocol.max_new_tokens <= SHORTEST_BUDGET:
        return []
    if any(_good(stored[key], protocol) for key in keys if key in stored):
        return []
    first: dict[str, SampleKey] = {}
    for key in keys:
        first.setdefault(key.problem_id, key)
    chosen = list(first.values())[:size]
    return chosen if any(key not in stored for key in keys if key not in chosen) else []


def look(rows: Iterable[Generation], protocol: Protocol) -> Seen:
    """How samples ended."""
    found = list(rows)
    bad = next((row for row in found if not _good(row, protocol)), None)
    seconds = sum(row.seconds for row in found)
    made = sum(row.token_count for row in found)
    return Seen(
        samples=len(found),
        ended=sum(row.finish_reason == "stop" for row in found),
        closed=sum(_closed(row, protocol) for row in found),
        good=sum(_good(row, protocol) for row in found),
        mean_tokens=made / max(1, len(found)),
        speed=made / seconds if seconds else 0.0,
        end=repr(bad.text[-SHOWN:]) if bad else "",
    )


def run_canary(
    make: Callable[[Sequence[SampleKey]], object], stored: Callable[[], Mapping[SampleKey, Generation]], protocol: Protocol,
    keys: Sequence[SampleKey], size: int, together: int | None = None,
) -> Seen | None:  # fmt: skip
    """Make the canary's samples, look at them, and report it; None where none is needed.

    Args:
        make: generates and stores the samples of these keys, and returns when they are there; in this process or in a worker.
        stored: the samples that are there.
        keys: all samples of the task, in their order.
        size: `eval.canary`.
        together: samples that will run side by side; None: not known.

    Raises:
        RunError: not one of the samples is at a good end.
    """
    before = stored()
    chosen = needed(size, protocol, keys, before)
    if not chosen:
        return None
    label = f"eval {chosen[0].model} {chosen[0].benchmark}: canary"
    missing = [key for key in chosen if key not in before]
    if missing:
        say(f"{label}: {len(missing)} samples are made first, and the rest is queued once they have come to a good end (--eval.canary 0: no canary)")
        make(missing)
    after = stored()
    seen = look((after[key] for key in chosen if key in after), protocol)
    if not seen.samples:  # the engine gave none back, and says why itself
        return None
    left = sum(key not in after for key in keys)
    say(f"{label}: {sentence(seen, protocol)}{_time(seen, left, together)}")
    if not seen.good:
        raise RunError(f"{label}: {advice(seen, protocol)}")
    return seen


def sentence(seen: Seen, protocol: Protocol) -> str:
    """What was seen, in one line."""
    shown = f"{seen.ended} of {seen.samples} samples ended by themselves"
    if protocol.thinking == "required" or seen.closed < seen.samples:
        shown += f", {seen.closed} closed their thinking"
    shown += f"; {seen.mean_tokens:,.0f} tokens each on average"
    if seen.good < seen.samples:
        shown = f"warning: {shown}; one that came to no good end stops with {seen.end}"
    return shown


def advice(seen: Seen, protocol: Protocol) -> str:
    """Why the run does not go on, and what to do about it."""
    if not seen.ended:
        why = f"all {seen.samples} samples were cut off at {protocol.max_new_tokens:,} tokens"
        what = "a larger --max-new-tokens" if not seen.closed else "the model's stop tokens (eos_token_id in generation_config.json)"
        what += ", or a checkpoint whose chat template is its own"
    elif not seen.closed:
        why = f"none of {seen.samples} samples has a closed thinking (</think>), and the protocol's rule is thinking = {protocol.thinking!r}"
        what = "a protocol for models without thinking (thinking = 'auto'), or a chat template that opens the thinking"
    else:
        why = f"none of {seen.samples} samples ended by itself with its thinking closed"
        what = "the chat template, the stop tokens and a larger --max-new-tokens"
    return f"{why}; the last one seen stops with {seen.end}; try {what}; --eval.canary 0 goes on as it is. The samples are kept"


def _time(seen: Seen, left: int, together: int | None) -> str:
    if not seen.speed or not left:
        return ""
    wanted = left * seen.mean_tokens
    side = max(1, min(together or seen.samples, left))
    low, high = sorted((wanted / (seen.speed * side), wanted / (seen.speed * min(seen.samples, left))))
    span = hours(low) if hours(low) == hours(high) else f"between {hours(low)} and {hours(high)}"
    return f"; at that length the {left:,} samples left are about {tokens(wanted)} tokens and take {span}, roughly ({seen.speed:,.1f} tokens a second for one sample beside {seen.samples - 1} others)"


def _closed(row: Generation, protocol: Protocol) -> bool:
    return final_text(row.text, protocol.thinking, "stop") is not None


def _good(row: Generation, protocol: Protocol) -> bool:
    return row.finish_reason == "stop" and _closed(row, protocol)
