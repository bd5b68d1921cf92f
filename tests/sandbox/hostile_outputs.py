"""Outputs and frames that are made to cost those who read them: each a program, and what was expected of it."""
# ruff: noqa: E501 - a program reads best on its line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox import Test

MIB = 1 << 20
TEXTS = {  # expressions for the bytes that are repeated, with their names
    "zeros": "b'\\0'", "newlines": "b'\\n'", "spaces": "b' '", "digits": "b'7'", "tokens": "b'1 '", "lines": "b'1\\n'",
    "decimals": "b'1.50 '", "exponents": "b'1e999999 '", "quiet": "b'NaN '", "signalling": "b'sNaN '", "infinite": "b'-inf '",
    "not-utf-8": "b'\\xff'", "half-characters": "b'\\xe2\\x82'", "surrogates": "b'\\xed\\xa0\\x80'", "arabic": "'\\u0661'.encode()",
    "wide-spaces": "'\\u2003'.encode()", "returns": "b'\\r'", "underscores": "b'1_0 '", "brackets": "b'[[[['", "long-numbers": "b'9' * 999 + b' '",
}  # fmt: skip
WRITE = """
import os
piece = {piece} * ({size} // len({piece}))
while piece:
    piece = piece[os.write(1, piece):]
"""
PAYLOADS = {  # expressions for the payload of a frame of about SIZE bytes; M is the modulus of hashes of numbers
    "set-of-colliding-tuples": "'{\"set\":[' + ','.join('{\"tuple\":[' + '0.5,' * 2000 + '{\"int\":\"%x\"}]}' % (k * M) for k in range(1, SIZE // 8030)) + ']}'",
    "set-of-colliding-numbers": "'{\"set\":[' + ','.join('{\"int\":\"%x\"}' % (k * M) for k in range(1, SIZE // 30)) + ']}'",
    "dict-of-colliding-numbers": "'{\"dict\":[' + ','.join('[{\"int\":\"%x\"},1]' % (k * M) for k in range(1, SIZE // 34)) + ']}'",
    "sets-of-250-colliding": "'[' + ','.join('{\"set\":[' + ','.join('{\"int\":\"%x\"}' % (k * M) for k in range(1, 500)) + ']}' for _ in range(SIZE // 15000)) + ']'",
    "frozensets-of-frozensets": "'{\"set\":[' + ','.join('{\"frozenset\":[%d]}' % k for k in range(SIZE // 24)) + ']}'",
    "deep-lists": "'[' * (SIZE // 2) + ']' * (SIZE // 2)",
    "deep-tuples": "'{\"tuple\":[' * (SIZE // 12) + ']}' * (SIZE // 12)",
    "empty-lists": "'[' + '[],' * (SIZE // 3) + '[]]'",
    "empty-tuples": "'[' + '{\"tuple\":[]},' * (SIZE // 13) + '1]'",
    "one-number": "'{\"int\":\"' + 'f' * SIZE + '\"}'",
    "one-decimal-number": "'9' * SIZE",
    "one-float": "'1.' + '9' * SIZE",
    "one-text": "'\"' + 'x' * SIZE + '\"'",
    "escapes": "'\"' + '\\\\\\\\u1234' * (SIZE // 6) + '\"'",
    "bytes": "'{\"bytes\":\"' + 'ab' * (SIZE // 2) + '\"}'",
    "numbers": "'[' + ','.join('%d' % k for k in range(SIZE // 7)) + ']'",
    "opaque": "'[' + '{\"opaque\":\"x\"},' * (SIZE // 15) + '1]'",
    "many-keys": "'{' + ','.join('\"%d\":1' % k for k in range(SIZE // 10)) + '}'",
    "not-a-frame": "'[' * 10 + '\"' + 'x' * SIZE",
    "complex": "'[' + '{\"complex\":[1,2]},' * (SIZE // 18) + '1]'",
}  # fmt: skip
FORGE = """
import os, struct
def f(x):
    SIZE, M = {size}, 2**61 - 1
    payload = ({payload}).encode()
    data = payload + struct.pack('<Q16s7s', len(payload), os.pread(0, 16, 0), b'\\0klear1')
    while data:
        data = data[os.write(1, data):]
    os._exit(0)
"""
NUMBERS = list(range(100_000))
EXPECTATIONS: dict[str, Any] = {
    "number": 7, "text": "x" * (2 * MIB), "numbers": NUMBERS, "set": set(range(100_000)), "dict": {str(n): n for n in range(40_000)},
}  # fmt: skip


def texts(size: int = 32 * MIB) -> Iterator[tuple[str, str, Test, str]]:
    """(name, program, test, mode): a hundred of them."""
    for name, piece in TEXTS.items():
        code = WRITE.format(piece=piece, size=size)
        repeated = eval(piece)
        large = repeated * (8 * MIB // len(repeated))
        yield f"{name}/small", code, Test(input="", expected="7\n"), "native"
        yield f"{name}/large", code, Test(input="", expected=large), "native"
        yield f"{name}/near", code, Test(input="", expected=large + b"8", abs_tol=1e-6), "native"
        yield f"{name}/official", code, Test(input="", expected="1 " * (4 * MIB)), "lcb_compat"
        yield f"{name}/checker", code, Test(input="", expected="7", checker="trusted:any_order"), "native"


def forged(size: int = 9 * MIB) -> Iterator[tuple[str, str, Test, str]]:
    """(name, program, test, mode): a hundred of them."""
    for name, payload in PAYLOADS.items():
        code = FORGE.format(payload=payload, size=size)
        for number, (kind, expected) in enumerate(EXPECTATIONS.items()):
            mode = ("native", "lcb_compat")[number % 2]
            yield f"{name}/{kind}", code, Test(function="f", args=[1], expected=expected), mode
