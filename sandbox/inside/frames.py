"""Plain data as strict JSON: arguments on their way in, a function's return value on its way out.

JSON arrays are lists, and every JSON object has one key, a tag: int (hex), float (nan, inf, -inf), tuple,
dict (pairs), set, frozenset, bytes (hex), complex (real, imaginary), opaque (the type's name of anything
else, which equals nothing). The trusted side parses this without running any code that the program could
have chosen.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable
from typing import Any

MAGIC = b"\x00klear1"
TOKEN_BYTES = 16
TAIL = struct.Struct(f"<Q{TOKEN_BYTES}s{len(MAGIC)}s")
_INT64 = 1 << 63
_COLLISIONS = 250_000
_dumps, _loads = json.dumps, json.loads  # a program may replace the module's


class FrameError(ValueError):
    """The bytes are not a frame of plain data."""


def encode(value: Any) -> bytes:
    """The value as ASCII JSON. Raises RecursionError for data nested too deeply or in a cycle."""
    return _dumps(_plain(value), separators=(",", ":"), allow_nan=False).encode("ascii")


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else {"int": hex(value)}
    if kind is float:
        return value if value - value == 0 else {"float": repr(value)}
    if kind is list:
        return value if _is_json(value) else [_plain(item) for item in value]
    if kind is tuple:
        return {"tuple": _plain(list(value))}
    if kind is dict:
        if _is_json(list(value)) and _is_json(list(value.values())):
            return {"dict": list(value.items())}
        return {"dict": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if kind is set or kind is frozenset:
        return {kind.__name__: _plain(list(value))}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind is complex:
        return {"complex": [_plain(value.real), _plain(value.imag)]}
    return _plain_of_subclass(value)


def _is_json(items: list[Any]) -> bool:
    """Whether JSON has all of the items: most long lists are of numbers, or of text."""
    kinds = set(map(type, items))
    if kinds == {int}:
        return min(items) >= -_INT64 and max(items) < _INT64
    return kinds <= {str, bool, type(None)}


def _plain_of_subclass(value: Any) -> Any:
    """Subclasses count as their base, read through the base's own methods; numpy values as Python's."""
    if isinstance(value, int):
        return _plain(int.__int__(value))
    if isinstance(value, float):
        return _plain(float.__float__(value))
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return _plain(list(list.__iter__(value)))
    if isinstance(value, tuple):
        return _plain(tuple(tuple.__iter__(value)))
    if isinstance(value, dict):
        return _plain(dict(dict.items(value)))
    if isinstance(value, set):
        return _plain(set(set.__iter__(value)))
    if isinstance(value, frozenset):
        return _plain(frozenset(frozenset.__iter__(value)))
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return _plain(value.tolist())
    return {"opaque": type(value).__name__[:100]}


def decode(data: bytes) -> Any:
    """The value of a frame. Raises FrameError for anything that `encode` does not write."""
    try:
        return _loads(data.decode("ascii"), object_pairs_hook=_tagged, parse_constant=_refuse)
    except (ValueError, RecursionError, TypeError, KeyError, OverflowError) as error:
        raise FrameError(f"not a frame: {error}"[:200]) from error


class Opaque:
    """Something that is not plain data; equal to nothing, itself included."""

    __hash__ = object.__hash__

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{self.name} object>"


def _refuse(text: str) -> Any:
    raise FrameError(f"{text} is not allowed")


def _tagged(pairs: Iterable[tuple[str, Any]]) -> Any:
    ((tag, body),) = pairs
    if tag == "int":
        return int(body, 16)
    if tag == "float":
        return {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[body]
    if tag == "tuple" and isinstance(body, list):
        return tuple(body)
    if tag in ("set", "frozenset") and isinstance(body, list):
        return {"set": set, "frozenset": frozenset}[tag](_spread(body, body))
    if tag == "dict" and isinstance(body, list):
        return dict(_spread(body, [key for key, _ in body]))
    if tag == "bytes":
        return bytes.fromhex(body)
    if tag == "complex":
        return complex(*body)
    if tag == "opaque" and isinstance(body, str):
        return Opaque(body)
    raise FrameError(f"unknown tag {tag[:20]!r}")


def _spread(body: list[Any], keys: list[Any]) -> list[Any]:
    """The body, unless its keys were chosen to collide: a table of those takes quadratic time to build.

    Honest keys collide too, a little: the powers of two have 61 hashes.
    """
    if len(keys) > 64 and sum(n * n for n in Counter(map(hash, keys)).values()) > _COLLISIONS + 64 * len(keys):
        raise FrameError("the keys collide")
    return body


def seal(payload: bytes, token: bytes) -> bytes:
    """What the harness appends to standard output once the function has returned."""
    return payload + TAIL.pack(len(payload), token, MAGIC)


def unseal(tail: bytes, size: int, token: bytes) -> int | None:
    """Length of the payload that ends `size` bytes of output, whose last ones are `tail`, before TAIL.size bytes of seal;
    None if they do not end in a frame with `token`.
    """
    if len(tail) < TAIL.size:
        return None
    length: int
    length, found, magic = TAIL.unpack(tail[-TAIL.size :])
    return length if magic == MAGIC and found == token and length <= size - TAIL.size else None
