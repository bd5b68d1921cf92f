"""The zygote's side of its socket: packets on a SOCK_SEQPACKET pair, descriptors beside them.

To the zygote, in marshal, written by the trusted parent: a dict (setup), a tuple (sample: mode, CPU s, wall s,
memory MiB, output MiB, whether `/dev/stdin` may be named, whether files may be open at the end; descriptors:
source, compiled), or a function's name, None for standard input (test; descriptors: input, output). From it one JSON
line, ready or one outcome a test, followed by the program's standard error. Only trusted code reads or writes this
socket. The parent's side is `sandbox.messages`.
"""

from __future__ import annotations

import marshal
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_PACKET = 150_000
STDERR_BYTES = 64 << 10

# How far a program got: never locked down (the sandbox's failure), locked down, compiled and started.
FORKED, LOCKED, STARTED = 0, 1, 2

EXHAUSTED = 90  # exit status of the launcher: the zygote itself died of what its programs took of the group's memory

_PAIR = struct.Struct("@2i")
_SPACE = socket.CMSG_SPACE(_PAIR.size)
_buffer = bytearray(8192)  # of setup, the longest: a few paths


def receive(connection: socket.socket) -> tuple[Any, tuple[int, int] | None]:
    """One message and its two descriptors, if it has any. Raises EOFError when the parent is gone."""
    length, ancillary, _, _ = connection.recvmsg_into([_buffer], _SPACE, socket.MSG_CMSG_CLOEXEC)
    if not length:
        raise EOFError("the parent closed the connection")
    return marshal.loads(_buffer), _PAIR.unpack(ancillary[0][2]) if ancillary else None  # type: ignore[return-value]


def text(value: str) -> bytes:
    """A JSON string; what is not printable ASCII becomes a question mark."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in value)
    return b'"%s"' % plain.replace("\\", "\\\\").replace('"', '\\"').encode("ascii")
