"""Messages between the graders and their workers: a 4-byte length and a JSON object, over a stream socket.

JSON with escapes carries any Python string, lone surrogates too.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any


def pack_message(message: object) -> bytes:
    """A message as it goes over the socket."""
    body = json.dumps(message).encode("ascii")
    return struct.pack("!I", len(body)) + body


def take_message(buffer: bytearray) -> Any | None:
    """Remove the first whole message from `buffer` and return it; None when there is none yet."""
    if len(buffer) < 4:
        return None
    end = 4 + struct.unpack_from("!I", buffer)[0]
    if len(buffer) < end:
        return None
    message = json.loads(buffer[4:end])
    del buffer[:end]
    return message


def read_message(stream: socket.socket, buffer: bytearray) -> Any | None:
    """The next message of a blocking socket, or None at the end of the stream."""
    while (message := take_message(buffer)) is None:
        part = stream.recv(1 << 20)
        if not part:
            return None
        buffer += part
    return message
