"""Texts of tests that are Python, each with its style and a program that passes it."""

from __future__ import annotations

from typing import Literal

Style = Literal["functional", "pytest"]
ADD = """\
def f(a, b):
    return a + sum(b)"""
CLASS = """\
class Solution:
    def f(self, a: int, b: List[int]) -> int:
        return a + sum(b)"""
TWICE = """\
def double(values):
    values[:] = [2 * value for value in values]
    return values"""
REVERSED = """\
class Solution:
    def back(self, head: Optional[ListNode]) -> Optional[ListNode]:
        before = None
        while head:
            head.next, before, head = before, head, head.next
        return before
"""
PLAIN: dict[str, tuple[Style, str, str]] = {
    "asserts": (
        "functional",
        ADD,
        """\
assert f(1, [2]) == 3
assert 5 == f(1, b=[4]), 'five'
assert f(0, []) is not None""",
    ),
    "check": (
        "functional",
        ADD,
        """\
METADATA = {'a': 1}

def check(candidate):
    assert candidate(1, b=[2]) == 3

check(f)""",
    ),
    "a method": (
        "functional",
        CLASS,
        """\
def check(candidate):
    assert candidate(a = 1, b = [2]) == 3

check(Solution().f)""",
    ),
    "an object": (
        "functional",
        CLASS,
        """\
s = Solution()
assert s.f(1, [2]) == 3 and s.f(2, []) == 2""",
    ),
    "near": (
        "functional",
        ADD,
        """\
import math
assert abs(f(0.1, [0.2]) - 0.3) < 1e-6
assert math.isclose(f(0.1, [0.2]), 0.3)
assert round(f(0.1, [0.2]), 3) == 0.3""",
    ),
    "truth": (
        "functional",
        "def g(n): return n % 2 == 0",
        """\
assert g(2)
assert not g(1)
assert g(2) is True
assert g(1) == False""",
    ),
    "names": (
        "functional",
        ADD,
        """\
numbers = [1] * 3
wanted = 10**9 + 3
assert f(10**9, numbers) == wanted""",
    ),
    "wrapped": (
        "functional",
        "def g(n): return range(n)",
        """\
assert list(g(3)) == [0, 1, 2]
assert len(g(3)) == 3
assert sorted(g(3), reverse=True)[0] == 2""",
    ),
    "changed later": (
        "functional",
        TWICE,
        """\
assert double([1, 2]) == [2, 4]
assert double([]) == []""",
    ),
    "main": (
        "functional",
        ADD,
        """\
def test():
    assert f(1, [2]) == 3

if __name__ == '__main__':
    test()
    print('passed')""",
    ),
    "unittest": (
        "functional",
        ADD,
        """\
import unittest
class T(unittest.TestCase):
    def test_a(self):
        self.assertEqual(f(1, [2]), 3)
        self.assertAlmostEqual(f(0.1, [0.2]), 0.3)
if __name__ == '__main__':
    unittest.main()""",
    ),
    "a list": (
        "functional",
        REVERSED,
        """\
def check(candidate):
    assert is_same_list(candidate(list_node([1, 2, 3])), list_node([3, 2, 1]))
check(Solution().back)""",
    ),
    "pytest": (
        "pytest",
        ADD,
        """\
from solution import f
import pytest

def test_f():
    assert f(1, [2]) == 3

class TestF:
    def test_near(self):
        assert f(0.1, [0.2]) == pytest.approx(0.3)""",
    ),
    "pytest with unittest": (
        "pytest",
        ADD,
        """\
import unittest
from solution import *

class Cases(unittest.TestCase):
    def test_f(self):
        self.assertTrue(f(1, [2]) == 3)""",
    ),
    "cases": (
        "pytest",
        ADD,
        """\
import pytest
from solution import f

@pytest.mark.parametrize('a,b', [(1, 3), pytest.param(2, 4)])
@pytest.mark.parametrize('c', [[2], [1, 1]])
def test_f(a, b, c):
    assert f(a, c) == b

class TestF:
    @pytest.mark.parametrize(['a', 'b'], [[1, 3]], ids=['one'])
    def test_f(self, a, b):
        assert f(a, [2]) == b""",
    ),
    "a loop over what is written out": (
        "functional",
        ADD,
        """\
for a, b, wanted in [(1, [2], 3), (2, [], 2)]:
    assert f(a, b) == wanted""",
    ),
}
"""Only calls of the program whose values are compared with values that are written out."""
BESIDE: dict[str, tuple[Style, str, str]] = {
    "a loop": (
        "functional",
        ADD,
        """\
for n in range(3):
    assert f(n, [n]) == 2 * n""",
    ),
    "two of the program's calls": (
        "functional",
        ADD,
        "assert f(1, [2]) == f(2, [1])",
    ),
    "isinstance": (
        "functional",
        ADD,
        "assert isinstance(f(1, [2]), int)",
    ),
    "an argument used twice": (
        "functional",
        TWICE,
        """\
values = [1]
assert double(values) == [2]
assert double(values) == [4]""",
    ),
    "an exception": (
        "functional",
        ADD,
        """\
try:
    f(None, [])
    f(None, [1])
except TypeError:
    pass
else:
    assert False""",
    ),
    "numpy": (
        "functional",
        "def g(): return np.zeros(2)",
        """\
import numpy as np
assert np.allclose(g(), [0, 0])""",
    ),
    "unittest": (
        "functional",
        ADD,
        """\
import unittest
class T(unittest.TestCase):
    def setUp(self):
        self.one = 1
    def test_a(self):
        self.assertEqual(f(self.one, [2]), 3)
if __name__ == '__main__':
    unittest.main()""",
    ),
    "parametrize": (
        "pytest",
        ADD,
        """\
import pytest
from solution import f
@pytest.mark.parametrize('a,b', [(1, 3), pytest.param(2, 4)])
@pytest.mark.slow
@pytest.mark.parametrize('c', [[2]])
def test_f(a, b, c):
    assert f(a, c) == b""",
    ),
    "raises": (
        "pytest",
        ADD,
        """\
import pytest
from solution import f
def test_f():
    with pytest.raises(TypeError, match='unsupported'):
        f(None, [1])
@pytest.mark.skip(reason='no')
def test_skipped():
    assert False""",
    ),
    "a method's set-up": (
        "pytest",
        ADD,
        """\
import solution
class TestF:
    def setup_method(self):
        self.a = 1
    def test_f(self):
        assert solution.f(self.a, [2]) == 3""",
    ),
}
"""More than that."""
