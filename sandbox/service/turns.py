"""Whose request is next: the waiting clients take turns, each with its own line.

Round robin over clients, so a client with one request waits for one sample of every other client at most. A full
queue drops from the longest line (longest queue drop, Suter et al. 1998), so no client can hold all of it.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Busy(Exception):
    """There is no room for the request; the message says of what."""


class Turns:
    """Places for `places` requests that run, and a queue of `most` that wait or run. For one event loop."""

    def __init__(self, places: int, most: int) -> None:
        self._free = places
        self._most = most
        self._running = 0
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}  # the first key is the client whose turn it is

    @property
    def held(self) -> int:
        """How many wait or run."""
        return self._running + sum(map(len, self._lines.values()))

    def ask(self, client: str) -> asyncio.Future[None]:
        """A future that is done when it is this request's turn. Then the caller owes one `release`.

        It fails with Busy if the queue is full, at once or, for the newest request of the longest line, when a
        client with a shorter line needs the place. Cancel it to leave the queue.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.held >= self._most and not self._make_room(client):
            turn.set_exception(self._full())
        elif self._free:
            self._start(turn)
        else:
            self._lines.setdefault(client, deque()).append(turn)
        return turn

    def leave(self, client: str, turn: asyncio.Future[None]) -> None:
        """Takes a request out of the queue that no longer wants its turn."""
        line = self._lines.get(client)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[client]

    def release(self) -> None:
        """A request has ended: the next client's first is started."""
        self._free += 1
        self._running -= 1
        while self._free and self._lines:
            client = next(iter(self._lines))
            line = self._lines.pop(client)
            turn = line.popleft()
            if line:
                self._lines[client] = line  # behind the others
            if not turn.done():
                self._start(turn)

    def _start(self, turn: asyncio.Future[None]) -> None:
        self._free -= 1
        self._running += 1
        turn.set_result(None)

    def _make_room(self, client: str) -> bool:
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=client)
        if len(self._lines.get(longest, ())) <= len(self._lines.get(client, ())) + 1:
            return False
        self._lines[longest].pop().set_exception(self._full())
        return True

    def _full(self) -> Busy:
        return Busy(f"queue: {self._most} requests are waiting already")
