"""Bounds the connections of the server, which uvicorn does not: their number, their silence, and unread answers.

A connection must bring a whole request head within HEAD_S of its beginning, or of the answer before, however the
bytes dribble; a client must take PACE bytes of an answer, or the rest, in STALLED_S. Of too many connections those go
that wait for their client, first of the client that has most. Deviation from uvicorn's h11 protocol: chunks of a few
bytes are refused, since each costs as much as a thousand bytes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 20.0
STALLED_S = 30.0
PACE = 256 << 10
_SWEEP_S = 0.5
_CHUNKS = 4096  # that any request may have
_CHUNK_BYTES = 256  # the average chunk beyond those
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connections:
    """All connections of a server: at most `most`, with at most `unread` bytes of answers that nobody has read."""

    def __init__(self, most: int, unread: int) -> None:
        self.most = most
        self._unread = unread
        self._all: dict[Connection, None] = {}
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> bool:
        """Takes a new connection, if need be in the place of others. False if all are at work."""
        if len(self._all) >= self.most and not self._make_room():
            return False
        self._all[connection] = None
        if not self._sweeping:
            self._sweeping = True
            connection.loop.call_later(_SWEEP_S, self._sweep, connection.loop)
        return True

    def remove(self, connection: Connection) -> None:
        """Forgets one that is closed."""
        self._all.pop(connection, None)

    def give_up(self, client: tuple[str, int] | None) -> None:
        """Aborts the connection of a client, which does not read."""
        for connection in [one for one in self._all if one.client == client]:
            connection.transport.abort()

    def _make_room(self) -> bool:
        """Aborts some of those that wait for their client, many at a time, for it looks at all."""
        candidates = [connection for connection in self._all if not connection.at_work]
        counts = Counter(connection.address for connection in candidates)
        candidates.sort(key=lambda one: (one.sends_body, -counts[one.address], one.answered, one.since))
        for connection in candidates[: max(1, self.most // 32)]:
            self.remove(connection)
            connection.transport.abort()
        return bool(candidates)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._all):
            connection.check(now)
        unread = {connection: size for connection in self._all if (size := connection.transport.get_write_buffer_size())}
        total = sum(unread.values())
        for connection in sorted(unread, key=lambda one: one.stalled_since):
            if total <= self._unread:
                break
            total -= unread[connection]
            connection.transport.abort()
        if self._all:
            loop.call_later(_SWEEP_S, self._sweep, loop)
        else:
            self._sweeping = False


class _Parser(h11.Connection):
    """h11's, with an end to chunks that are too small."""

    chunks = received = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.chunks = self.received = 0
        elif isinstance(event, h11.Data):
            self.chunks += event.chunk_start
            self.received += len(event.data)
            if self.chunks > _CHUNKS + self.received // _CHUNK_BYTES:
                raise h11.RemoteProtocolError("the chunks are too small")
        return event


class Connection(H11Protocol):
    """One connection; `protocol` makes the class for a server."""

    registry: Connections

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = _Parser(h11.SERVER, self.conn._max_incomplete_event_size)
        self.since = self.stalled_since = self.loop.time()
        self.answered = False
        self.address = ""
        self._unread = 0

    @property
    def at_work(self) -> bool:
        """The server has a whole request that it has not answered."""
        return self._asked and self.conn.their_state is not h11.SEND_BODY

    @property
    def sends_body(self) -> bool:
        """The client is in the middle of a request."""
        return self._asked and self.conn.their_state is h11.SEND_BODY

    @property
    def _asked(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio's."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if not self.registry.add(self):
            transport.write(_FULL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        self.registry.remove(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """uvicorn's."""
        self.answered = True
        self.since = self.loop.time()
        super().on_response_complete()

    def check(self, now: float) -> None:
        """Ends a connection whose client is too slow."""
        unread = self.transport.get_write_buffer_size()
        if unread == 0 or unread > self._unread or unread <= self._unread - PACE:
            self.stalled_since, self._unread = now, unread
        if now > self.stalled_since + STALLED_S or (unread == 0 and not self._asked and now > self.since + HEAD_S):
            self.transport.abort()


def protocol(connections: Connections) -> type[Connection]:
    """The protocol class of a server with these connections, for `uvicorn.Config(http=…)`."""
    return type("BoundedConnection", (Connection,), {"registry": connections})
