"""What a worker does: it leases samples that are missing, one at a time as its engine gets room, and stores them.

All workers on a run folder take from the same samples.  None of them has a part of its own, so they end together:

- Samples of problems whose samples have been long so far are begun first, those of unknown length before all.
- No worker holds more than its share of what is unfinished, so that one with many slots leaves work to the others.
- A worker without work waits until every sample is there: what a dead one had leased is free at once (`klear_repro.leases`).

Samples of several benchmarks that are sampled alike go through the engine in one stream, so it does not run dry between them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.protocols import Protocol
from benchmarks.records import Generation, SampleKey
from klear_repro.engines.base import Completion, Engine, Request, Sampling
from klear_repro.leases import Leases, place_of
from klear_repro.seeds import derive_seed
from klear_repro.store import SampleStore

POLL_S = 0.25
"""Seconds between two looks at what other workers have leased or finished, and at how many there are."""
FINISHED, IDLE = 0, -1
"""What a worker reports instead of tokens: a sample is finished; it has nothing to do at the moment."""
IDLE_EVERY_S = 1.0
"""Seconds between two reports of having nothing to do."""
GATHER_S = 60.0
"""For this long a worker leaves room for all workers that were announced; then for those that are there."""
_SORT_SHARE = 0.02
"""Share of the time that sorting may take."""


@dataclass(frozen=True)
class SampleSet:
    """Samples of one model on one benchmark under one protocol: which there must be, and where they are kept."""

    store: Path
    protocol: Protocol
    seed: int
    """Of the run."""
    keys: Mapping[SampleKey, tuple[int, ...]]
    """With the token ids of the prompt of each."""
    opened: bool = False
    """Whether the prompts open the thinking, which the responses have to close then."""

    @property
    def judged(self) -> Protocol:
        """The protocol with the rule for the thinking that responses are judged by: a tag of the prompt counts."""
        return self.protocol.model_copy(update={"thinking": "required"}) if self.opened else self.protocol

    @property
    def sampling(self) -> Sampling:
        """As engines take it."""
        given = self.protocol.sampling
        return Sampling(given.temperature, given.top_p, given.top_k, given.min_p, given.repetition_penalty, self.protocol.max_new_tokens)


class Tally:
    """How many samples of some sets are there, whoever makes them.  Use as a context manager."""

    def __init__(self, sets: Sequence[SampleSet]) -> None:
        self._stack = ExitStack()
        self._stores = {path: self._stack.enter_context(SampleStore(path, texts=False)) for path in dict.fromkeys(one.store for one in sets)}
        wanted = {key for one in sets for key in one.keys}
        rows = [row for store in self._stores.values() for row in store.news() if row.key in wanted]
        there = {row.key for row in rows}
        self._counts = [row.token_count for row in rows]
        self.missing = [sum(key not in there for key in one.keys) for one in sets]
        """Samples of each set that were missing at first."""
        self.total = sum(len(one.keys) for one in sets)
        self.left = wanted - there
        """Samples that were missing at the last look."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def mean_tokens(self) -> float:
        """New tokens of a sample that was there at first, on average; 0: there was none."""
        return sum(self._counts) / len(self._counts) if self._counts else 0.0

    def look(self) -> list[Generation]:
        """Samples of the sets that have come since the last time, without their texts."""
        for store in self._stores.values():
            store.missing(())
        news = [row for store in self._stores.values() for row in store.news() if row.key in self.left]
        self.left -= {row.key for row in news}
        return news


def fill(
    engine: Engine, sets: Sequence[SampleSet], leases: Leases, *, expected: int = 1, report: Callable[[int], None] = lambda tokens: None
) -> int:
    """Make the samples that are missing, beside other workers, until every one is there; returns how many were made here.

    Args:
        expected: workers that were announced, with those that have not come yet.
        report: told the number of new tokens now and then, `FINISHED` for every sample, and `IDLE` while none is under way here.
    """
    made = 0
    with Work(sets, leases, expected, report) as work:
        while unfinished := work.unfinished():
            before = made
            for sampling in unfinished:
                requests = work.requests(sampling, wait=len(unfinished) == 1)
                for completion in engine.generate(requests, sampling, report):
                    work.add(completion, engine)
                    made += 1
                    report(FINISHED)
            if made == before:
                work.say_idle()
                time.sleep(POLL_S)
    return made


@dataclass(slots=True, eq=False)
class _Item:
    """A sample that is not there."""

    key: SampleKey
    samples: SampleSet
    order: int
    """As listed."""
    place: int
    """Of its lease."""

    @property
    def kind(self) -> tuple[str, ...]:
        """What it has in common with the other samples of its problem."""
        return _kind(self.key)


class Work:
    """The samples of some sets that are not there, and the leases of this process on them.  Use as a context manager."""

    def __init__(
        self, sets: Sequence[SampleSet], leases: Leases, expected: int, report: Callable[[int], None] = lambda tokens: None
    ) -> None:
        self._report, self._said_idle = report, -inf
        self._leases, self._expected, self._began = leases, expected, time.monotonic()
        self._workers, self._counted = 1, -inf
        items = [(key, one) for one in sets for key in one.keys]
        self._items = {key: _Item(key, one, order, place_of(key)) for order, (key, one) in enumerate(items)}
        self._held: set[SampleKey] = set()
        self._lengths: dict[tuple[str, ...], tuple[int, int]] = {_kind(key): (0, 0) for key in self._items}
        """Tokens and number of the samples of a problem that are there."""
        self._settings: dict[int, str] = {}
        self._stack = ExitStack()
        self._stores = {path: self._stack.enter_context(SampleStore(path, texts=False)) for path in dict.fromkeys(one.store for one in sets)}
        self._refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for key in self._held:
            self._leases.release(self._items[key].place)
        self._stack.close()

    def unfinished(self) -> list[Sampling]:
        """Ways of sampling that some missing sample needs."""
        self._refresh()
        return list(dict.fromkeys(item.samples.sampling for item in self._items.values()))

    def requests(self, sampling: Sampling, *, wait: bool) -> Iterator[Request | None]:
        """The samples of this sampling, each leased when it is asked for; None: there are none to lease at the moment.

        Ends when all are there or running here; without `wait` also when others have leased the rest.
        """
        free = [item for item in self._items.values() if item.samples.sampling == sampling and item.key not in self._held]
        total = len(free) + len(self._held)  # unfinished ones, as of the last look
        taken: list[_Item] = []
        looked, sort_at = time.monotonic(), -inf
        while True:
            now = time.monotonic()
            if now - looked >= POLL_S:
                looked = now
                self.say_idle()
                self._refresh()
                free, taken = [item for item in (*free, *taken) if item.key in self._items], []
                total = len(free) + len(self._held)
            if now >= sort_at:
                free.sort(key=self._urgency)
                sort_at = now + (time.monotonic() - now) / _SORT_SHARE
            if not free:
                if not taken or not wait:
                    return
                yield None
            elif len(self._held) >= ceil(total / self._count_workers(now)):
                yield None
            elif (item := free.pop()).key in self._items:
                if not self._lease(item):
                    taken.append(item)
                elif item.key in self._held:
                    yield Request(item.key, item.samples.keys[item.key], _seed(item))

    def say_idle(self) -> None:
        """Report that no sample is under way here, if that is so: silence while one is means that the engine hangs."""
        now = time.monotonic()
        if not self._held and now - self._said_idle >= IDLE_EVERY_S:
            self._said_idle = now
            self._report(IDLE)

    def add(self, completion: Completion, engine: Engine) -> None:
        """Store a finished sample and give its lease back."""
        key = completion.tag
        assert isinstance(key, SampleKey)
        item = self._items[key]
        samples, store = item.samples, self._stores[item.samples.store]
        if id(samples) not in self._settings:
            settings = {"protocol": samples.protocol.model_dump(mode="json"), "engine": engine.settings(samples.sampling), "run_seed": samples.seed}
            self._settings[id(samples)] = store.keep_settings(settings)
        store.add(Generation(
            **key.model_dump(), text=completion.text, token_count=completion.token_count, finish_reason=completion.finish_reason,
            seed=_seed(item), seconds=round(completion.seconds, 6), prompt_tokens=len(samples.keys[key]), settings=self._settings[id(samples)],
        ))  # fmt: skip
        self._held.discard(key)
        del self._items[key]
        self._leases.release(item.place)
        self._take_in(store)

    def _lease(self, item: _Item) -> bool:
        """Whether the lease was free; the sample is held then, unless it was finished a moment ago."""
        if not self._leases.take(item.place):
            return False
        store = self._stores[item.samples.store]
        if store.missing([item.key]):
            self._held.add(item.key)
        else:
            self._leases.release(item.place)
        self._take_in(store)
        return True

    def _refresh(self) -> None:
        for store in self._stores.values():
            store.missing(())
            self._take_in(store)

    def _take_in(self, store: SampleStore) -> None:
        """Count what has come into a store since the last time."""
        for row in store.news():
            kind = _kind(row)
            if kind in self._lengths:
                tokens, samples = self._lengths[kind]
                self._lengths[kind] = (tokens + row.token_count, samples + 1)
                if (key := row.key) not in self._held:
                    self._items.pop(key, None)

    def _urgency(self, item: _Item) -> tuple[float, int]:
        """The most urgent one is the largest: of unknown length, then the longest, then in order."""
        tokens, samples = self._lengths[item.kind]
        return tokens / samples if samples else inf, -item.order

    def _count_workers(self, now: float) -> int:
        if now - self._counted >= POLL_S:
            self._workers, self._counted = self._leases.workers(), now
        return max(self._workers, self._expected if now - self._began < GATHER_S else 1)


def _kind(key: SampleKey) -> tuple[str, ...]:
    return key.model, key.revision, key.benchmark, key.problem_id, key.prompt_hash, key.sampling_hash


def _seed(item: _Item) -> int:
    key = item.key
    return derive_seed(item.samples.seed, "eval", key.benchmark, key.problem_id, key.sample_index)
