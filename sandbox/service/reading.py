"""Reads request bodies within bounds, so that no body costs more memory or time than it may.

Three bounds, checked as the bytes come: the size, the shape (how many JSON values, how deeply nested), and what all
requests together hold. A body is parsed only when a worker is free for it (sandbox.server), so those that wait are
bytes. The check is not a parser: it counts the commas, colons and brackets outside strings, of which there is at least
one for every value but the first. Whatever is no JSON fails in the parser at the first wrong byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import accumulate
from typing import Any

from ..model import Cancelled
from .turns import Busy

DEEPEST = 100
PAUSE_S = 30.0  # in which a client must send the next PACE bytes, or the rest
PACE = 256 << 10
VALUE_BYTES = 200  # that a JSON value may take in memory, copies included: measured, the worst is {"a":0}
_DISCARDED_S = 30.0
_DISCARDED_RATE = 16 << 20  # bytes a second, of all requests together, that are read only to be thrown away
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\x00\x00")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Refused(Exception):
    """The request is not taken: an HTTP status and one line. `rest` is set while more of its body may come."""

    def __init__(self, status: int, detail: str, rest: bool = True) -> None:
        super().__init__(detail)
        self.status = status
        self.rest = rest


class Shape:
    """Counts the values of a JSON text as its pieces come, and how deeply they are nested."""

    def __init__(self, most_values: int) -> None:
        self.values = 0
        self._most = most_values
        self._depth = 0
        self._inside = 0  # 1 within a string
        self._escape = b""

    def feed(self, piece: bytes) -> None:
        """Takes the next piece. Raises Refused for too many values, or too deep ones."""
        text = self._escape + piece
        if b"\\" in text:
            text = text.replace(b"\\\\", b"")
            self._escape = text[-1:] if text.endswith(b"\\") else b""
            text = text[: len(text) - len(self._escape)].replace(b'\\"', b"")
        else:
            self._escape = b""
        parts = text.split(b'"')
        outside = b"".join(parts[self._inside :: 2])
        self._inside ^= (len(parts) - 1) & 1
        opened = outside.count(b"[") + outside.count(b"{")
        self.values += outside.count(b",") + outside.count(b":") + opened
        if self._depth + opened <= DEEPEST:
            deepest = DEEPEST
            self._depth += opened - outside.count(b"]") - outside.count(b"}")
        else:
            steps = outside.translate(_STEPS, _NOT_BRACKETS)
            depths = list(accumulate((2 * step - 1 for step in steps), initial=self._depth))
            deepest, self._depth = max(depths), depths[-1]
        if deepest > DEEPEST:
            raise Refused(422, f"nesting: deeper than {DEEPEST} levels of arrays and objects is not allowed")
        if self.values > self._most:
            raise Refused(413, f"values: more than {self._most} JSON values in a request are not allowed on this server")


class Body:
    """One request's body while the server holds it, and what it is reckoned to take in memory."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.data = bytearray()
        self.cost = 0
        self.dropped = False
        self.running = False
        self.turn: asyncio.Future[None] | None = None  # that it waits for, once it is whole


class Held:
    """The bodies that the server holds, `most` bytes in all. If there is no room, the client that holds most gives way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.total = 0
        self._bodies: set[Body] = set()

    def begin(self, client: str) -> Body:
        """A new body, which the caller must `end`."""
        body = Body(client)
        self._bodies.add(body)
        return body

    def grow(self, body: Body, piece: bytes, values: int) -> None:
        """Adds a piece to a body. Raises Busy if this is the one that gives way."""
        self.check(body)
        cost = len(body.data) + len(piece) + VALUE_BYTES * values
        self.total += cost - body.cost
        body.cost = cost
        while self.total > self._most and not body.dropped:
            self._drop_one(body)
        self.check(body)
        body.data += piece

    def check(self, body: Body) -> None:
        """Raises Busy if the body had to give way."""
        if body.dropped:
            raise self._full()

    def end(self, body: Body) -> None:
        """Forgets a body."""
        if body in self._bodies:
            self._bodies.remove(body)
            self.total -= body.cost
            body.data = bytearray()

    def _drop_one(self, newest: Body) -> None:
        clients: dict[str, int] = {}
        for body in self._bodies:
            clients[body.client] = clients.get(body.client, 0) + body.cost
        waiting = [body for body in self._bodies if not body.running] or [newest]
        worst = max(waiting, key=lambda body: (clients[body.client], body.cost, body is newest))
        worst.dropped = True
        self.end(worst)
        if worst.turn is not None and not worst.turn.done():
            worst.turn.set_exception(self._full())

    def _full(self) -> Busy:
        return Busy(f"memory: the requests that wait hold {self._most >> 20} MiB already")


async def read(receive: Receive, body: Body, held: Held, most_mb: int, most_values: int) -> None:
    """Reads a whole request into `body`. Raises Refused, Busy, and Cancelled once the client has gone."""
    loop = asyncio.get_running_loop()
    shape, due, paced = Shape(most_values), loop.time() + PAUSE_S, PACE
    more = True
    while more:
        try:
            async with asyncio.timeout_at(due):
                message = await receive()
        except TimeoutError:
            raise Refused(408, f"request: slower than {PACE >> 10} KiB in {PAUSE_S:g} s is not allowed", False) from None
        if message["type"] == "http.disconnect":
            raise Cancelled("the client has gone")
        piece, more = message.get("body", b""), message.get("more_body", False)
        if len(body.data) + len(piece) > most_mb << 20:
            raise Refused(413, too_large(most_mb), more)
        try:
            shape.feed(piece)
        except Refused as refused:
            refused.rest = more
            raise
        try:
            held.grow(body, piece, shape.values)
        except Busy as busy:
            raise Refused(429, str(busy), more) from None
        if len(body.data) >= paced:
            due, paced = loop.time() + PAUSE_S, len(body.data) + PACE


def too_large(most_mb: int) -> str:
    """What is said of a request that is larger."""
    return f"request: larger than {most_mb} MiB is not allowed"


class Discard:
    """Takes the rest of refused requests, of which nothing is kept: a client that still sends would not read the answer.

    All of them together get 16 MiB/s, so that throwing away costs the others little, and each 30 s.
    """

    def __init__(self) -> None:
        self._free_at = 0.0

    async def __call__(self, receive: Receive) -> bool:
        """False if there is more than was taken."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_DISCARDED_S):
                while True:
                    message = await receive()
                    if not message.get("more_body", False):
                        return True
                    self._free_at = max(self._free_at, loop.time()) + len(message["body"]) / _DISCARDED_RATE
                    await asyncio.sleep(self._free_at - loop.time())
        except TimeoutError:
            return False
