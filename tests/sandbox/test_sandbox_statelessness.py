"""Which programs could keep something from one test to the next, told by their text: whatever is not plainly harmless."""

import time

import pytest

from sandbox.statelessness import functions_may_keep_state, programs_may_keep_state

STATELESS = """
class Solution:
    LIMIT = 10 ** 9 + 7
    names = ("a", "b")
    @staticmethod
    def g(y, z=None, w: float = -1.5, v="a, b") -> int:
        y.append(z)
        return y
    def f(self, x):
        # self.y = x
        \"\"\"y = []\"\"\"
        y = {}
        y[x] = [x]
        @cache
        def go(n, seen={}):
            nonlocal y
            return math.inf if n == x else go(n - 1)
        class Local:
            kept = []
        best = float("-inf")
        return go(x) <= self.g([], 1)  # See above. Then

def h(
    y: int = 3,
    *more,
) -> int:
    import math
    return y
"""


@pytest.mark.parametrize(
    "piece",
    [
        "y = {}",
        "y = list()",
        "y: dict = dict()",
        "if True:\n        y = set()",
        "for y in [[]]: pass",
        "@cache\n    def g(self): pass",
        "def g(self, y={}): pass",
        "def g(self, y = [ ]): pass",
        "def g(\n        self,\n        y=set(),\n    ):\n        pass",
        "def g(self, y=')',\n      z=list()): pass",
        "print(y := [])",
        "class Inner:\n        y = []",
    ],
)
def test_a_class_with_more_than_plain_methods_could_keep_something(piece):
    assert functions_may_keep_state(STATELESS.replace("    LIMIT", f"    {piece}\n    LIMIT"))


@pytest.mark.parametrize(
    "piece",
    [
        "self.y = x",
        "self.y += x",
        "self.y[x] = 1",
        "self.y.append(x)",
        "self.__dict__['y'] = x",
        "setattr(self, 'y', x)",
        "global y",
        "del self.y",
        "x, self.y = x",
        "for self.y in x: pass",
        "with x as self.y: pass",
        "y = x; self.y = y",
        "y = self.y = x",
        "(y,\n         self.y\n        ) = x",
        "math.floor = x",
        "random.seed(x)",
        "sys.setrecursionlimit(x)",
        "getcontext().prec = x",
        "setcontext(x)",
        "exec(x)",
        "open(x)",
        "__builtins__['len'] = x",
        "import os",
    ],
)
def test_a_method_that_stores_elsewhere_could_keep_something(piece):
    assert functions_may_keep_state(STATELESS.replace("        y = {}", f"        y = {{}}\n        {piece}"))


@pytest.mark.parametrize(
    "piece",
    [
        "y = []",
        "y = iter(x)",
        "y = x()",
        "if True:\n    y = list()",
        "try:\n    y = list()\nfinally:\n    pass",
        "while True:\n    y = dict()\n    break",
        "import os",
        "y = 1; z = []",
        "import sys; y = []",
        "class A(list): pass",
        "class A: y = []",
        "class A(metaclass=B):\n    pass",
        "@g\ndef k(): pass",
        "def k(y=[]): pass",
        "k = lambda y=[]: y",
        "'''\ndef k():\n'''; y = []",
        "y \\\n= []",
    ],
)
def test_a_module_with_more_than_definitions_could_keep_something(piece):
    assert functions_may_keep_state(f"{STATELESS}\n{piece}\n")


def test_definitions_and_constants_keep_nothing():
    assert not functions_may_keep_state(STATELESS)
    head = "import sys\nfrom typing import *\nN: int = 5\nsys.setrecursionlimit(10**6)\n"
    assert not functions_may_keep_state(head + STATELESS)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("seen = []", False),
        ("n = int(input())", False),
        ("self.n = 1", False),
        ("self.n.m += 1", False),
        ("sys.setrecursionlimit(10 ** 6)", False),
        ("print(a.b, end='')", False),
        ("if a.b == c and a.d <= e: pass", False),
        ("for x in a.b: pass", False),
        ("sys.n = 1", True),
        ("sys.n += 1", True),
        ("x, sys.n = 1, 2", True),
        ("sys.n, x = 1, 2", True),
        ("for sys.n in x: pass", True),
        ("with x as sys.n: pass", True),
        ("y = sys.n = 1", True),
        ("del sys.n", True),
        ("sys.n: int = 1", True),
        ("myself.n = 1", True),
        ("global n", True),
        ("globals()['n'] = 1", True),
        ("getcontext().prec = 5", True),
        ("setattr(sys, 'n', 1)", True),
        ("random.seed(1)", True),
        ("calendar.setfirstweekday(6)", True),
        ("import os", True),
        ("open(0)", True),
        ("exec('x')", True),
        ("builtins.print = 1", True),
        ("sys.modules['x'] = 1", True),
    ],
)
def test_programs_that_reach_what_outlives_them_could_keep_something(line, kept):
    assert programs_may_keep_state(f"import sys, math\ndef main():\n    {line}\nmain()\n") is kept


@pytest.mark.parametrize(
    "text",
    ["=", ".a", "(", '"""', "'''x\n", "def f(", "class A:\n ", "a.", "a . ", "for ", "f(a.b, ", "as a", "1", "# ", "1 ", "x=1,", "set"],
)
def test_hostile_texts_are_looked_at_in_bounded_time(text):
    started = time.process_time()
    many = text * 100_000
    for source in (many, f"def f(x, a={many}", f"x = {many}\nx", f"{text}\n" * 50_000, f'"""{many}'):
        functions_may_keep_state(source)
        programs_may_keep_state(source)
    assert time.process_time() - started < 10
