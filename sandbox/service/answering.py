"""Sends answers piece by piece, so that one that nobody reads takes its own size in memory, and all of them a bounded one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_PIECE = 256 << 10


class Unread:
    """The answers that are being sent, `most` bytes in all. Beyond that the oldest is given up, and its connection: an
    answer that is read is soon gone.
    """

    def __init__(self, most: int, give_up: Callable[[Any], None]) -> None:
        self._most = most
        self._give_up = give_up
        self._answers: dict[Answer, int] = {}
        self.total = 0

    def begin(self, answer: Answer) -> None:
        """Counts an answer in, until its `end`."""
        self._answers[answer] = len(answer.body)
        self.total += len(answer.body)
        while self.total > self._most and len(self._answers) > 1:
            oldest = next(iter(self._answers))
            self.end(oldest)
            self._give_up(oldest.client)

    def end(self, answer: Answer) -> None:
        """Forgets an answer and what it says."""
        self.total -= self._answers.pop(answer, 0)
        answer.body = b""


class Answer(Response):
    """A JSON text on its way to a client."""

    media_type = "application/json"

    def __init__(self, content: bytes, unread: Unread) -> None:
        super().__init__(content)
        self.client: Any = None
        self._unread = unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Each piece waits until the client has taken those before."""
        self.client = scope["client"]
        self._unread.begin(self)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            place = 0
            while place + _PIECE < len(self.body):
                await send({"type": "http.response.body", "body": bytes(self.body[place : place + _PIECE]), "more_body": True})
                place += _PIECE
            await send({"type": "http.response.body", "body": bytes(self.body[place:])})
        finally:
            self._unread.end(self)
