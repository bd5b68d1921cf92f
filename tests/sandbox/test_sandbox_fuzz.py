"""Fuzzing of what reads hostile bytes on the trusted side: private tests, frames, packets and the comparison.

Nothing may crash, none of it may take over a second, and no output may pass for a frame of another token. In CI each
runs for about a second; `pytest -m proof tests/sandbox/test_sandbox_fuzz.py` runs each for five minutes, or for
KLEAR_FUZZ_S seconds.
"""
# ruff: noqa: E501 - a strategy reads best on its line

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as fixed_seed
from hypothesis import strategies as st

from benchmarks.livecodebench import PrivateTestsError, decode_private_tests
from sandbox import Limits, Test, messages
from sandbox.compare import text_matches, value_matches
from sandbox.inside import frames, protocol
from sandbox.judge import Outcome, judge
from sandbox.output import Output

sys.path.insert(0, str(Path(__file__).parent))
from written import written

PROOF_S = float(os.environ.get("KLEAR_FUZZ_S", "300"))
SLOWEST_S = 1.0
TOKEN = bytes(range(16))
KEPT = 1 << 16


def fuzz(strategy: st.SearchStrategy[Any], check: Callable[[Any], object], seconds: float) -> int:
    """Draws examples for so long, in rounds of hypothesis, each with a seed of its own. Returns how many."""
    deadline, drawn, rounds = time.monotonic() + seconds, 0, 0
    started = random.Random(0) if seconds < 10 else random.Random()
    while time.monotonic() < deadline:
        rounds += 1

        @fixed_seed(started.getrandbits(32))
        @settings(max_examples=150, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(strategy)
        def example(value: Any) -> None:
            nonlocal drawn
            drawn += 1
            began = time.thread_time()
            check(value)
            assert time.thread_time() - began < SLOWEST_S

        example()
    return drawn


@st.composite
def mutated(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """Valid bytes with a few of them changed, dropped, doubled or moved."""
    data = bytearray(draw(valid))
    for _ in range(draw(st.integers(0, 4))):
        at, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        piece = bytes(data[at:end])
        data[at:end] = draw(
            st.sampled_from([b"", piece * 2, piece[::-1]]) | st.binary(max_size=8) | st.just(piece + b"\0")
            | st.sampled_from([b"[" * 2000, b"9" * 5000, b'{"set":[', b'{"dict":[[', b'{"int":"', b"\xff", b'"', b"\\ud800"])
        )  # fmt: skip
    return bytes(data)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(1 << 400), 1 << 400) | st.floats() | st.text(max_size=8)
    | st.binary(max_size=8) | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    | st.sets(st.integers() | st.text(max_size=3), max_size=3),
    max_leaves=10,
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(1 << 70), 1 << 70)
    | st.text(max_size=6) | st.sampled_from(["nan", "inf", "-0x1", "0x" + "f" * 3000, "1" * 400, "zz", " 0x1", "1_0", "1e999", "\ud800"])
    | st.builds(lambda n: n * (2**61 - 1), st.integers(0, 1000))
)  # fmt: skip
TAGS = st.sampled_from(["int", "float", "tuple", "dict", "set", "frozenset", "bytes", "complex", "opaque", "", "Int", "__class__"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(TAGS, inner, max_size=2)
    | st.builds(lambda tag, items: {tag: items}, TAGS, st.lists(inner, max_size=4))
    | st.builds(lambda pairs: {"dict": pairs}, st.lists(st.tuples(inner, inner), max_size=4)),
    max_leaves=20,
)


def _deep(tag: str, depth: int, core: str) -> bytes:
    return (f'{{"{tag}":[' * depth + core + "]}" * depth).encode()


def _colliding(tag: str, count: int, step: int) -> bytes:
    keys = [f'{{"int":"{i * step:x}"}}' for i in range(count)]
    return f'{{"{tag}":[{",".join(f"[{key},1]" if tag == "dict" else key for key in keys)}]}}'.encode()


PAYLOADS = (
    mutated(PLAIN.map(frames.encode))
    | TREES.map(lambda tree: json.dumps(tree).encode())
    | mutated(TREES.map(lambda tree: json.dumps(tree).encode()))
    | st.builds(_deep, st.sampled_from(["tuple", "set", "frozenset"]), st.integers(0, 1500), st.sampled_from(["", "1", "[]"]))
    | st.builds(_colliding, st.sampled_from(["set", "dict", "frozenset"]), st.integers(0, 3000), st.sampled_from([1, 2**61 - 1, 1 << 40]))
    | st.builds(lambda key, count: b"{" + b",".join([b'"%s":1' % key] * count) + b"}", st.sampled_from([b"int", b"set"]), st.integers(0, 9))
    | st.binary(max_size=60)
)  # fmt: skip
EXPECTED = [None, 0, True, 1.5, float("nan"), "x", [1, 2], {"a": [1]}, {1, 2}, (1, (2,)), b"\0", list(range(3000)), 1j, 2**300]


def check_payload(payload: bytes) -> None:
    """A payload is a value or a FrameError, is compared without an error, and is equal to itself only."""
    try:
        value = frames.decode(payload)
    except frames.FrameError:
        value = frames
    for mode in ("native", "lcb_compat"):
        for expected in EXPECTED:
            same = value_matches(expected, payload, mode)
            assert same in (True, False) and not (same and value is frames)
            if same and expected == expected and not isinstance(expected, (tuple, float, list)):
                assert value == expected


def check_plain(value: Any) -> None:
    """Plain data arrives as it left."""
    assert value_matches(value, frames.encode(value), "native")


OUTPUTS = st.tuples(
    mutated(st.builds(lambda printed, payload, token: printed + frames.seal(payload, token), st.binary(max_size=40), PAYLOADS,
                      st.binary(min_size=16, max_size=16) | st.just(bytes(16)) | st.just(TOKEN[::-1])))
    | st.builds(lambda n, tail: n * b"\0" + frames.TAIL.pack(tail, bytes(16), frames.MAGIC), st.integers(0, 60), st.integers(0, 2**64 - 1)),
    st.sampled_from([b"", b"\0" * 16, frames.MAGIC]),
)  # fmt: skip


def _judged(test: Test, output: bytes, status: int) -> str:
    """The verdict on a program that ended so, and whose value, if any, is not the right one."""
    with written(output) as descriptor:
        outcome = Outcome(reached=protocol.STARTED, status=status)
        return judge(test, outcome, Output(descriptor, TOKEN), Limits(), "native", KEPT, lambda: "wrong answer").verdict


def check_forgery(drawn: tuple[bytes, bytes]) -> None:
    """What a program prints without the token is not a value; with it, it states a value that is compared."""
    output = b"".join(drawn)
    test = Test(function="f", args=[], expected=7)
    if TOKEN not in output:
        assert _judged(test, output, 0) == "RE"
    sealed = output + frames.seal(b"8", TOKEN)
    with written(sealed) as descriptor:
        found = Output(descriptor, TOKEN)
        assert found.value == (len(output), 1) and found.printed == len(output)
    assert _judged(test, sealed, 0) == "WA"
    assert _judged(test, sealed, 1) == "RE"


ERRORS = mutated(st.sampled_from([
    b'{"reached":2,"killed":null,"status":0,"cpu_s":0.0,"wall_s":0.0,"peak_kb":1}\n', b"MemoryError\n", b"Traceback\nMemoryError: x",
    b"\n" * 50, b"\xff\n" + b'{"ready":true}\n',
]))  # fmt: skip


def check_packet(errors: bytes) -> None:
    """The zygote's head line is all that the parent believes; a program's standard error cannot become one."""
    head = b'{"reached":%d,"killed":null,"status":1,"cpu_s":0.5,"wall_s":1.0,"peak_kb":1024}\n' % protocol.STARTED
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.sendmsg([head, errors])
        answer, body = messages.receive(ours)
    assert (answer, body) == (json.loads(head), errors)
    with written(b"") as descriptor:
        outcome = Outcome(**answer, errors=body)
        result = judge(Test(input="", expected=""), outcome, Output(descriptor), Limits(), "native", KEPT, lambda: "")
    assert result.verdict in ("RE", "MLE")


TOKENS = st.sampled_from([
    "1", "01", "+1", "-0", "1.0", ".5", "5.", "1e5", "1E-5", "1e999999", "1e-999999", "1e9999999", "1" * 999, "1" * 1001, "0." + "1" * 998,
    "1e" + "9" * 50, "NaN", "sNaN", "-sNaN123", "inf", "Infinity", "1_000", "\u0661", "\u0967", "\uff11", "\u00b2", "\u2003", "\x1c", "\x85", "\xa0",
    "\u200b", "\ufeff", "\0", "\x0b", "\x0c", "a", "YES", "\ud800", "'", "[1, 2]",
]) | st.text(max_size=5) | st.integers().map(str) | st.floats().map(repr) | st.decimals().map(str)  # fmt: skip
TEXT = st.lists(TOKENS | st.sampled_from([" ", "  ", "\t", "\n", "\r\n", "\r", "\n\n"]), max_size=12).map("".join)
TEXTS = st.tuples(TEXT, TEXT, st.integers(1, 300), st.binary(max_size=10))


def check_texts(drawn: tuple[str, str, int, bytes]) -> None:
    """The comparison ends, is reflexive, and does not see spaces around lines or at the ends."""
    one, two, times, noise = drawn
    expected, output = one.encode("utf-8", "surrogatepass"), two.encode("utf-8", "surrogatepass")
    for mode in ("native", "lcb_compat"):
        assert text_matches(expected, output * times + noise, mode) in (True, False)
        text_matches(output * times, expected, mode)
    assert text_matches(expected, expected, "native")
    assert text_matches(expected, b" \n" + expected + b"\n \n", "native")
    if text_matches(expected, output, "native"):
        assert len(expected.split()) == len(output.split())
        assert not text_matches(expected, output + b"\nx", "native")


def _packed(data: bytes) -> bytes:
    return base64.b64encode(zlib.compress(data))


def _pickled(text: str, form: int) -> bytes:
    return pickle.dumps(text, protocol=form)


TESTS = st.lists(
    st.fixed_dictionaries({"input": st.text(max_size=5) | st.none(), "output": st.text(max_size=5)}, optional={"testtype": st.text(max_size=3)}),
    max_size=3,
).map(json.dumps) | TREES.map(json.dumps)  # fmt: skip
COLUMNS = st.fixed_dictionaries({"inputs": st.lists(st.text(max_size=3), max_size=2), "outputs": st.lists(st.text(max_size=3), max_size=2)})
PICKLES = st.builds(_pickled, TESTS, st.integers(2, 5)) | COLUMNS.map(lambda c: pickle.dumps({"input_output": json.dumps(c)}))
PRIVATE = (
    TESTS.map(str.encode)
    | mutated(TESTS.map(str.encode))
    | mutated(PICKLES).map(_packed)
    | mutated(PICKLES.map(zlib.compress)).map(base64.b64encode)
    | mutated(PICKLES.map(_packed))
    | st.builds(lambda n, char: _packed(_pickled('[{"input":"' + char * n + '","output":""}]', 4)), st.integers(0, 300_000), st.sampled_from("a["))
    | st.builds(lambda n: _packed(struct.pack("<BBBQ", 0x80, 4, 0x8D, n) + b"x"), st.integers(0, 2**64 - 1))
    | st.lists(st.sampled_from([b"\x80\x04", b"\x95" + bytes(8), b"X\1\0\0\0a", b"q\0", b"\x94", b"}", b"(", b"s", b"u", b"."]), max_size=12).map(
        lambda codes: _packed(b"".join(codes)))
    | st.binary(max_size=80)
)  # fmt: skip


def check_private(data: bytes) -> None:
    """Private tests are a list of text tests or one documented error."""
    try:
        tests = decode_private_tests(data.decode("utf-8", "surrogateescape"), 1 << 20)
    except PrivateTestsError:
        return
    assert all(isinstance(test["input"], str) and isinstance(test["output"], str) for test in tests)


TARGETS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], object]]] = {
    "private-tests": (PRIVATE, check_private),
    "frames": (PAYLOADS, check_payload),
    "plain-data": (PLAIN, check_plain),
    "forgery": (OUTPUTS, check_forgery),
    "packets": (ERRORS, check_packet),
    "comparison": (TEXTS, check_texts),
}


@pytest.mark.parametrize("target", TARGETS)
def test_hostile_bytes_are_read_safely(target):
    assert fuzz(*TARGETS[target], seconds=1.0) > 50


@pytest.mark.proof
@pytest.mark.parametrize("target", TARGETS)
def test_hostile_bytes_are_read_safely_for_five_minutes(target):
    count = fuzz(*TARGETS[target], seconds=PROOF_S)
    print(f"{target}: {count} examples in {PROOF_S:g} s")
    assert count > 20 * PROOF_S


def test_private_tests_with_a_number_of_many_digits_are_a_load_error():
    with pytest.raises(PrivateTestsError):
        decode_private_tests("[" + "9" * 5000 + "]")
