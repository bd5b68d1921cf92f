"""The comparators, on the trusted side: exact, strict about what they parse, and bounded in time."""

import contextlib
import math
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import Executor, Test
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


NEAR, SHARE = (1e-3, 0.0), (0.0, 1e-3)


@pytest.mark.parametrize(("expected", "output", "tolerance", "right"), [
    ("0.5", "0.5005", NEAR, True),
    ("0.5", "0.502", NEAR, False),
    ("0.5", "0.5009999", (1e-3, 1e-9), True),
    ("0.5", "5.001e-1 ", NEAR, True),
    ("1000", "1000.9", SHARE, True),
    ("1000", "1002", SHARE, False),
    ("1000", "1002", (2.0, 1e-3), True),
    ("-1000", "1000", SHARE, False),
    ("0", "0.0005", SHARE, False),
    ("0", "-0.0", SHARE, True),
    ("3", "3.0001", NEAR, True),
    ("x 1 y", "x 1.0001 y", NEAR, True),
    ("x 1 y", "X 1 y", NEAR, False),
    ("1 2", "1 2 3", NEAR, False),
    ("1 2 3", "1 2", NEAR, False),
    ("1\n2", "1 2", NEAR, False),
    ("nan", "nan", NEAR, False),
    ("1 NaN", "1 NaN", NEAR, False),
    ("-nan", "-nan", NEAR, False),
    ("1", "nan", NEAR, False),
    ("inf", "Infinity", NEAR, True),
    ("inf", "-inf", NEAR, False),
    ("inf", "1e999", NEAR, False),
    ("1e999", "1e999", NEAR, True),
    ("1e999999", "1.0001e999999", SHARE, True),
    ("1e999999", "1", SHARE, False),
    ("9" * 30, "9" * 29 + "8", (1.0, 0.0), True),
    ("9" * 30, "9" * 29 + "7", (1.0, 0.0), False),
    ("0.1", "0.101", NEAR, True),
    ("0.1", "0.1010000000000000000000001", NEAR, True),  # as a float 1e-3 is a little more than that
    ("1", "0x1", NEAR, False),
    ("1", "1_0", NEAR, False),
    ("1", "\u0661", NEAR, False),
])  # fmt: skip
def test_numbers_of_a_text_may_differ_by_a_tolerance(expected, output, tolerance, right):
    assert text_matches(expected.encode(), output.encode(), "native", tolerance) is right


@pytest.mark.parametrize(("expected", "value", "tolerance", "right"), [
    (0.5, 0.5005, NEAR, True),
    (0.5, 0.502, NEAR, False),
    (1, 1.0005, NEAR, True),
    (10**400, 10**400 + 1, (1.0, 0.0), True),
    (10**400, 10**400 + 2, (1.0, 0.0), False),
    (10**400, 10**400 * 2, SHARE, False),
    (10**400, 1.0, SHARE, False),
    (True, 1, NEAR, False),
    (1, True, NEAR, False),
    ([1.0, {"a": (2.0,)}], [1.0001, {"a": [2.0001]}], NEAR, True),
    ({1.0: 2}, {1.0001: 2}, NEAR, False),
    ({1.0}, {1.0001}, NEAR, False),
    (math.nan, math.nan, NEAR, False),
    ([1.0, math.nan], [1.0, math.nan], SHARE, False),
    (math.inf, math.inf, NEAR, True),
    (math.inf, -math.inf, NEAR, False),
    (math.inf, 1e308, SHARE, False),
    (1e308, -1e308, SHARE, False),
    (1 + 1j, 1 + 1.0005j, NEAR, True),
    (1 + 1j, 2 + 1j, NEAR, False),
    (1j, 10**400, NEAR, False),
    (1.0, "1.0", NEAR, False),
    (1.0, None, NEAR, False),
    ("1.0", "1.0", NEAR, True),
])  # fmt: skip
def test_numbers_of_a_value_may_differ_by_a_tolerance(expected, value, tolerance, right):
    assert value_matches(expected, frames.encode(value), "native", tolerance) is right


@given(st.floats(), st.floats(), st.floats(0, 1e300), st.floats(0, 1e300))
def test_floats_are_near_each_other_as_exact_arithmetic_says(expected, value, abs_tol, rel_tol):
    if math.isfinite(expected) and math.isfinite(value):
        distance = abs(Fraction(expected) - Fraction(value))
        right = distance <= Fraction(abs_tol) or distance <= Fraction(rel_tol) * abs(Fraction(expected))
    else:
        right = expected == value
    if abs_tol or rel_tol:
        assert value_matches(expected, frames.encode(value), "native", (abs_tol, rel_tol)) is right


@pytest.mark.parametrize(("named", "said"), [
    ({"abs_tol": -1.0}, "abs_tol: -1.0 is not allowed; a number from 0 to 1e+300 (a distance)"),
    ({"rel_tol": math.nan}, "rel_tol: nan is not allowed"),
    ({"rel_tol": math.inf}, "rel_tol: inf is not allowed"),
    ({"abs_tol": "1e-6"}, "abs_tol: '1e-6' is not allowed"),
    ({"abs_tol": True}, "abs_tol: True is not allowed"),
    ({"abs_tol": 1e-6, "checker": "a:b"}, "abs_tol: not allowed with checker or interactor"),
])  # fmt: skip
def test_a_bad_tolerance_is_named(named, said):
    with pytest.raises(ValueError) as error:
        Test(input="", expected="", **named)
    assert str(error.value).startswith(said)


def test_tolerances_are_for_the_native_mode():
    with Executor(workers=1) as executor:
        with pytest.raises(ValueError, match=r"tests\[0\].abs_tol: not allowed in mode 'lcb_compat'; native"):
            executor.run("print(1)", [Test("", "1", abs_tol=1e-6)], mode="lcb_compat")
        assert executor.run("print(1.0000001)", [Test("", "1", abs_tol=1e-6)]).passed
        assert executor.run("def f(): return [1.0000001]", [Test(function="f", expected=[1], rel_tol=1e-6)]).passed
