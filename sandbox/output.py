"""A program's standard output: in a memfd, of which the trusted side reads no more than it needs."""

from __future__ import annotations

import codecs
import os

from .inside import frames

_PIECE = 1 << 20


class Output:
    """The bytes behind `descriptor`, which the caller closes. With the token of a function's test, `value` is where the
    payload of its frame lies (offset, length), or None if there is no such frame, and `printed` what comes before.
    """

    def __init__(self, descriptor: int, token: bytes = b"") -> None:
        self.descriptor = descriptor
        self.size = self.printed = os.fstat(descriptor).st_size
        self.value: tuple[int, int] | None = None
        if token:
            tail = self.read(max(0, self.size - frames.TAIL.size), frames.TAIL.size)
            length = frames.unseal(tail, self.size, token)
            if length is not None:
                self.printed = self.size - frames.TAIL.size - length
                self.value = self.printed, length

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes, or as many as there are."""
        data = os.pread(self.descriptor, length, offset)
        if len(data) == length or offset + len(data) >= self.size:
            return data
        parts = [data]  # one call of the kernel gives 2 GiB at most
        while len(parts[-1]) and (left := length - sum(map(len, parts))) > 0:
            parts.append(os.pread(self.descriptor, left, offset + sum(map(len, parts))))
        return b"".join(parts)

    def text(self, most: int) -> str:
        """The beginning of what was printed, at most so many bytes, what is not UTF-8 replaced."""
        length = min(self.printed, most)
        if length <= _PIECE:
            return self.read(0, length).decode("utf-8", "replace")
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # in pieces: decoding holds all other threads up
        pieces = [decoder.decode(self.read(offset, min(_PIECE, length - offset))) for offset in range(0, length, _PIECE)]
        return "".join([*pieces, decoder.decode(b"", True)])
