"""The comparators, on the trusted side: exact, strict about what they parse, and bounded in time."""

import contextlib
import math
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.compare import text_matches, value_matches
from sandbox.inside import frames
from sandbox.output import Output

sys.path.insert(0, str(Path(__file__).parent))
from written import written


@pytest.mark.parametrize(
    ("expected", "output", "native", "official"),
    [
        ("1 2\n", "1  2", True, True),
        ("a b", "a  b", True, False),
        ("1\n2", "1 2", False, False),
        ("1\n\n2", "1\n2", False, False),
        ("\n\n1", "1\n\n\n", True, True),
        ("0.5", "0.50", True, True),
        ("0.5", ".5", True, True),
        ("0.5", "5e-1", True, True),
        ("1.0", "1", True, True),
        ("1", "1.0", False, True),
        ("1", "01", False, True),
        ("1", "+1", False, True),
        ("1000", "1_000", False, True),
        ("1.5", "NaN", False, False),
        ("1.5", "sNaN", False, False),
        ("NaN", "nan", False, False),
        ("Infinity", "inf", False, True),
        ("1e10", "1e9999999999", False, False),
        ("YES", "yes", False, False),
        ("", "", True, True),
        ("", " \n", True, True),
        ("", "1", False, False),
        ("\u0661", "1", False, True),
        ("x y", "x", False, False),
    ],
)
def test_text_is_compared_natively_and_officially(expected, output, native, official):
    assert text_matches(expected.encode(), output.encode(), "native") is native
    assert text_matches(expected.encode(), output.encode(), "lcb_compat") is official


@pytest.mark.parametrize("mode", ["native", "lcb_compat"])
@pytest.mark.parametrize("unit", [b"1 ", b"1\n", b"9", b"\n", b"1e9 ", b"\xff", b"  "])
def test_fifty_megabytes_of_output_are_compared_in_bounded_time(mode, unit):
    output = unit * (50_000_000 // len(unit)) + b"x"
    started = time.process_time()
    assert not text_matches(b"1.5 1\n2", output, mode)
    assert not text_matches(b"1.5", output, mode)
    assert time.process_time() - started < 5


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(plain)
def test_plain_data_survives_a_frame(value):
    assert frames.decode(frames.encode(value)) == value
    assert value_matches(value, frames.encode(value), "native")
    assert value_matches(value, frames.encode(value), "lcb_compat")


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_arbitrary_bytes_are_a_value_or_a_frame_error(data):
    with contextlib.suppress(frames.FrameError):
        frames.decode(data)


def unsealed(data: bytes, token: bytes) -> tuple[bytes, bytes] | None:
    """(what was printed, payload) of an output that ends in a frame."""
    with written(data) as descriptor:
        output = Output(descriptor, token)
        return (output.read(0, output.printed), output.read(*output.value)) if output.value else None


@given(st.binary(max_size=100), st.binary(min_size=16, max_size=16))
def test_only_the_own_token_unseals(data, token):
    assert unsealed(data, token) is None
    sealed = b"printed" + frames.seal(data, token)
    assert unsealed(sealed, token) == (b"printed", data)
    assert unsealed(sealed, bytes(b ^ 1 for b in token)) is None
    assert unsealed(sealed + b"x", token) is None


def test_a_length_beyond_the_output_does_not_unseal():
    token = bytes(16)
    assert unsealed(frames.TAIL.pack(2**63, token, frames.MAGIC), token) is None


def test_what_is_not_plain_data_equals_nothing():
    opaque = frames.decode(frames.encode(object()))
    assert opaque != opaque and not value_matches(None, frames.encode(object()), "lcb_compat")
    assert frames.decode(frames.encode([math.inf])) == [math.inf]


def test_cycles_and_deep_nesting_are_refused_and_not_followed():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        frames.encode(loop)
    with pytest.raises(frames.FrameError):
        frames.decode(b"[" * 100_000 + b"]" * 100_000)
