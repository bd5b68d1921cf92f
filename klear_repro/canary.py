"""The canary: a few samples that must come to a good end before thousands are queued.

A wrong chat template, a missing stop token or a budget that is far too small costs a day when it is found in the report, and
minutes when it is found here.  The samples are the first of the run, on problems of their own, and are stored like any others:
nothing is generated twice, and a run that goes on reads them instead.

A sample is at a good end when it ended by itself and the judge `strict` finds an answer's place in it: the thinking is closed
(`benchmarks.answer_text.final_text`, with the protocol's own rule).  Not one good end stops the run; some bad ones are reported,
for a model may well think longer than a budget allows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answer_text import final_text
from benchmarks.protocols import Protocol
from benchmarks.records import Generation, SampleKey
from klear_repro.errors import RunError
from klear_repro.forecast import hours, listed, tokens
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


@dataclass(frozen=True)
class Watched:
    """The samples of one model on one benchmark, and where they are kept."""

    label: str
    protocol: Protocol
    keys: Collection[SampleKey]
    """All of them, in their order."""
    store: Path

    def stored(self) -> Iterator[Generation]:
        """Those that are there, read line by line: what is asked for is usually among the first."""
        if not self.store.is_file():
            return
        with open(self.store, "rb") as lines:
            for line in lines:
                try:
                    row = Generation.model_validate_json(line)
                except ValueError:  # torn, or no sample: whoever fills the store says so
                    continue
                if row.key in self.keys:
                    yield row


def chosen(size: int, watched: Watched) -> list[SampleKey]:
    """The samples that are to be looked at before the rest: the first one of each of the first `size` problems.

    None where it would be of no use: no more samples are missing, the budget is short, or a stored sample is at a good end already.
    """
    if not size or watched.protocol.max_new_tokens <= SHORTEST_BUDGET:
        return []
    there = set()
    for row in watched.stored():
        if _good(row, watched.protocol):
            return []
        there.add(row.key)
    first: dict[str, SampleKey] = {}
    for key in watched.keys:
        first.setdefault(key.problem_id, key)
    picked = list(first.values())[:size]
    return picked if any(key not in there for key in watched.keys if key not in picked) else []


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


def run_canary(make: Callable[[list[list[SampleKey]]], object], watched: Sequence[Watched], size: int, together: int | None = None) -> list[Seen]:
    """Make the samples of the canary, look at them, and report it; empty where none is needed.

    Args:
        make: generates and stores samples, the keys of each of `watched`, and returns when they are there.
        watched: what will be generated with one engine.
        size: `eval.canary`.
        together: samples that will run side by side; None: not known.

    Raises:
        RunError: of one of `watched`, not one sample is at a good end.
    """
    picked = [chosen(size, one) for one in watched]
    if not any(picked):
        return []
    say(f"{listed([one.label for one, keys in zip(watched, picked, strict=True) if keys])}: canary of {sum(map(len, picked))} samples; the rest is queued once they have come to a good end (--eval.canary 0: none)")
    make(picked)
    found, refused = [], []
    for one, keys in zip(watched, picked, strict=True):
        wanted = set(keys)
        rows = {row.key: row for row in one.stored() if row.key in wanted} if keys else {}
        if rows:
            seen = look(rows.values(), one.protocol)
            found.append(seen)
            if seen.good:
                say(f"{one.label}: canary: {sentence(seen, one.protocol)}{_time(seen, len(one.keys) - len(rows), together)}")
            else:
                refused.append(f"{one.label}: canary: {advice(seen, one.protocol)}")
    if refused:
        raise RunError(refused[0] + (f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""))
    return found


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
    return f"{why}; one of them stops with {seen.end}; try {what}; --eval.canary 0 goes on as it is (the samples are kept)"


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
