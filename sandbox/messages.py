"""The parent's side of a zygote's socket; `sandbox.inside.protocol` has the other and the description."""

from __future__ import annotations

import json
import marshal
import socket
import struct
from collections.abc import Sequence
from typing import Any

from .inside import protocol

_PAIR = struct.Struct("@2i")


def send(connection: socket.socket, message: Any, descriptors: Sequence[int] = ()) -> None:
    """Sends one message. Raises OSError when the zygote is gone."""
    packet = marshal.dumps(message, 2)
    if descriptors:
        rights = _PAIR.pack(*descriptors)
        connection.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    else:
        connection.send(packet)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """One answer and the standard error behind it. Raises EOFError when the zygote is gone, TimeoutError after
    the socket's time-out.
    """
    try:
        packet = connection.recv(protocol.MAX_PACKET)
    except ConnectionResetError:  # it died with messages unread; what it had answered before comes after that error
        packet = connection.recv(protocol.MAX_PACKET)
    if not packet:
        raise EOFError("the zygote closed the connection")
    head, _, body = packet.partition(b"\n")
    answer: dict[str, Any] = json.loads(head)
    return answer, body
