"""Messages between the parent and a zygote: one JSON line a packet on a SOCK_SEQPACKET pair, descriptors
beside it.

To the zygote: setup, sample (descriptors: source, compiled) and test (descriptors: input, output). From it:
ready, and one outcome a test, followed by the program's standard error. Only trusted code reads or writes
this socket.
"""

from __future__ import annotations

import json
import socket
from typing import Any

MAX_PACKET = 150_000
STDERR_BYTES = 64 << 10

# How far a program got: never locked down (the sandbox's failure), locked down, compiled and started.
FORKED, LOCKED, STARTED = 0, 1, 2


def send(
    connection: socket.socket, message: dict[str, Any], descriptors: list[int], body: bytes | memoryview = b""
) -> None:
    """Sends one packet. Raises OSError when the other side is gone."""
    packet = [json.dumps(message, separators=(",", ":")).encode() + b"\n", body]
    if descriptors:
        socket.send_fds(connection, packet, descriptors)
    else:
        connection.sendmsg(packet)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int], bytes]:
    """One packet. Raises EOFError when the other side is gone, TimeoutError after the socket's time-out."""
    packet, descriptors, _, _ = socket.recv_fds(connection, MAX_PACKET, 4)
    if not packet:
        raise EOFError("the other side closed the connection")
    head, _, body = packet.partition(b"\n")
    return json.loads(head), list(descriptors), body
