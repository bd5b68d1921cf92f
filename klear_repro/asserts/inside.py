"""Runs a program together with tests that are Python text: the source of this file is what the sandbox executes.

Nothing here is trusted.  The sandbox calls `values` or `passes` with the program and the tests as arguments:

- `values` computes the program's side of each assert.  What is expected stays outside, where the values are compared
  (`klear_repro.asserts.checker`).
- `passes` runs the asserts themselves, beside the program: one that looks for it can make them pass.

Definition: verl/utils/reward_score/code_r1_compute.py of the released code, which writes imports, LeetCode's classes, the
program and its asserts into one file, or the program into solution.py and the tests into a file for pytest.  Deviations:
the program's `__name__` is `solution`, so a main guard does not run; pandas is not there; `from __future__` works; instead
of pytest there is the part of it that `PYTEST` names.
"""

PREDEFINED = dict(globals())  # of the sandbox: what `from math import *` and the like define

import builtins  # noqa: E402
import contextlib  # noqa: E402
import copy  # noqa: E402
import itertools  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from os.path import commonprefix  # noqa: E402
from re import search as re_search  # noqa: E402
from time import time  # noqa: E402
from types import FunctionType, ModuleType  # noqa: E402
from typing import Any  # noqa: E402

PYTEST = ("raises", "approx", "fail", "skip", "param", "mark")
"""What of pytest the tests may use; of `mark` only `parametrize` and `skip` do something."""
LONGEST = 1_000_000
"""Nodes of a linked list or tree that are read; a cycle has more."""
_exec, _eval, _compile, _deepcopy = exec, eval, compile, copy.deepcopy  # the program may replace the originals


class ListNode:
    """LeetCode's linked list."""

    def __init__(self, val: Any = 0, next: Any = None) -> None:
        self.val, self.next = val, next


class TreeNode:
    """LeetCode's binary tree."""

    def __init__(self, val: Any = 0, left: Any = None, right: Any = None) -> None:
        self.val, self.left, self.right = val, left, right


def list_node(values: Any) -> ListNode | None:
    """The linked list of the values."""
    node = None
    for value in reversed(values):
        node = ListNode(value, node)
    return node


def tree_node(values: Any) -> TreeNode | None:
    """The tree whose nodes are the values level by level, None where there is none."""
    if not values:
        return None
    root = TreeNode(values[0])
    level, rest = [root], iter(values[1:])
    for node in level:
        for side in ("left", "right"):
            value = next(rest, None)
            if value is not None:
                child = TreeNode(value)
                setattr(node, side, child)
                level.append(child)
    return root


def list_values(node: Any) -> list[Any]:
    """What `list_node` makes a list of."""
    values = []
    while node is not None:
        values.append(node.val)
        node = node.next
        if len(values) > LONGEST:
            raise AssertionError("the list does not end")
    return values


def tree_values(root: Any) -> list[Any]:
    """What `tree_node` makes a tree of."""
    values, level = [], [root]
    for node in level:
        values.append(None if node is None else node.val)
        level += [] if node is None else [node.left, node.right]
        if len(level) > LONGEST:
            raise AssertionError("the tree does not end")
    while values and values[-1] is None:
        values.pop()
    return values


def is_same_list(one: Any, other: Any) -> bool:
    """Whether two linked lists have the same values."""
    return bool(list_values(one) == list_values(other))


def is_same_tree(one: Any, other: Any) -> bool:
    """Whether two trees have the same values in the same places."""
    return bool(tree_values(one) == tree_values(other))


LEETCODE = {one.__name__: one for one in (ListNode, TreeNode, list_node, tree_node, is_same_list, is_same_tree)}


def values(program: str, style: str, setup: str, sides: list[str]) -> list[Any]:
    """What each expression gives, one after the other; `setup` are imports and names that they need."""
    space: dict[str, Any] = dict(load(program, setup + " ".join(sides))) if style == "functional" else {"__builtins__": builtins}
    if style == "pytest":
        load(program, "")
    _exec(_compile(setup, "<tests>", "exec", dont_inherit=True), space)
    space.update(__list_values__=list_values, __tree_values__=tree_values)
    return [kept(_eval(_compile(side, "<tests>", "eval", dont_inherit=True), space)) for side in sides]


def passes(program: str, style: str, tests: str, sealed: str) -> Any:
    """`sealed` if the tests pass, which a program that ends early does not reach; None if they do not."""
    space = load(program, tests)
    try:
        if style == "functional":
            module = sys.modules["__main__"] = sys.modules["solution"]
            module.__name__ = "__main__"
            with unittest_in(module):
                _exec(_compile(tests, "<tests>", "exec", dont_inherit=True), space)
        else:
            run_pytest(tests)
    except AssertionError:
        return None
    return sealed


def load(program: str, tests: str) -> dict[str, Any]:
    """The program's names, once it has run as the module `solution`."""
    module = sys.modules["solution"] = ModuleType("solution")
    space = module.__dict__
    space.update(PREDEFINED, **LEETCODE, re_search=re_search, commonprefix=commonprefix, time=time)
    space.update(__name__="solution", __builtins__=builtins)
    if re.search(r"\bnp\b", program + tests):
        with contextlib.suppress(ImportError):
            space["np"] = __import__("numpy")
    _exec(_compile(program, "<solution>", "exec", dont_inherit=True), space)
    return space


def kept(value: Any) -> Any:
    """The value as it is now: a later call may change it."""
    try:
        return _deepcopy(value)
    except Exception:  # noqa: BLE001 - generators and the like, which equal nothing
        return value


# --- unittest and pytest -------------------------------------------------------------------------


@contextlib.contextmanager
def unittest_in(module: ModuleType) -> Any:
    """`unittest.main()` runs the test cases of `module` and goes on if they pass, where the original exits."""
    import unittest

    def main(*ignored: Any, **also_ignored: Any) -> None:
        run_cases([one for one in vars(module).values() if is_case(one)])

    original, unittest.main = unittest.main, main  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        unittest.main = original  # type: ignore[misc]


def is_case(value: Any) -> bool:
    """Whether something is a class of unittest's tests."""
    unittest = sys.modules.get("unittest")
    return unittest is not None and isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ != "unittest.case"


def run_cases(cases: list[Any]) -> None:
    """Raises AssertionError unless all tests of unittest's classes pass, or if there are none."""
    import unittest

    result = unittest.TestResult()
    for case in cases:
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun and result.wasSuccessful(), result.failures + result.errors


class Skipped(Exception):
    """The test asks to be left out."""


class Raises:
    """`pytest.raises` as a context manager."""

    def __init__(self, expected: Any, match: Any = None) -> None:
        self.expected, self.match, self.value = expected, match, None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        assert kind is not None, f"{self.expected} was not raised"
        self.type, self.value = kind, error
        if not issubclass(kind, self.expected):
            return False
        assert self.match is None or re.search(self.match, str(error)), f"{error} does not match {self.match}"
        return True


def raises(expected: Any, *call: Any, match: Any = None, **words: Any) -> Any:
    """`pytest.raises`."""
    if not call:
        return Raises(expected, match)
    with Raises(expected) as caught:
        call[0](*call[1:], **words)
    return caught


class approx:
    """`pytest.approx` of numbers, and of lists and dictionaries of them."""

    def __init__(self, expected: Any, rel: Any = None, abs: Any = None, nan_ok: bool = False) -> None:
        self.expected, self.tolerances, self.nan_ok = expected, (1e-6 if rel is None and abs is None else rel or 0.0, 1e-12 if abs is None else abs), nan_ok

    def __eq__(self, other: object) -> bool:
        return self._near(self.expected, other)

    __hash__ = None  # type: ignore[assignment]

    def _near(self, expected: Any, other: Any) -> bool:
        if isinstance(expected, dict):
            return isinstance(other, dict) and other.keys() == expected.keys() and all(self._near(expected[key], other[key]) for key in expected)
        if isinstance(expected, (list, tuple)):
            return len(expected) == len(other) and all(map(self._near, expected, other))
        if not isinstance(expected, (int, float)) or expected == other:
            return bool(expected == other)
        if expected != expected:
            return self.nan_ok and other != other
        finite = abs(expected) != float("inf") and abs(other) != float("inf")
        return finite and bool(abs(expected - other) <= max(self.tolerances[0] * abs(expected), self.tolerances[1]))


def fail(reason: str = "", **ignored: Any) -> None:
    """`pytest.fail`."""
    raise AssertionError(reason)


def skip(reason: str = "", **ignored: Any) -> None:
    """`pytest.skip`."""
    raise Skipped(reason)


def param(*given: Any, **ignored: Any) -> Any:
    """`pytest.param`, without its marks."""
    return Given(given)


class Given(tuple):  # type: ignore[type-arg]
    """The values of a `pytest.param`."""


class Mark:
    """`pytest.mark`: `parametrize` and `skip`; any other mark changes nothing."""

    def parametrize(self, names: Any, cases: Any, **ignored: Any) -> Any:
        """Runs the test once for each case."""
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        rows = [dict(zip(names, case if len(names) > 1 or isinstance(case, Given) else (case,), strict=True)) for case in cases]

        def decorate(test: Any) -> Any:
            test.cases = [*getattr(test, "cases", ()), rows]
            return test

        return decorate

    def __getattr__(self, name: str) -> Any:
        def decorate(*given: Any, **ignored: Any) -> Any:
            test: Any = given[0] if given and isinstance(given[0], (FunctionType, type)) else None
            if test is None:
                return lambda test: decorate(test)
            if name == "skip":
                test.__test__ = False
            return test

        return decorate


def run_pytest(tests: str) -> None:
    """Raises AssertionError unless all tests in the text pass; other exceptions of theirs are passed on."""
    shim = sys.modules["pytest"] = ModuleType("pytest")
    shim.__dict__.update(raises=raises, approx=approx, fail=fail, skip=skip, param=param, mark=Mark())
    module = sys.modules["test_solution"] = ModuleType("test_solution")
    _exec(_compile(tests, "<tests>", "exec", dont_inherit=True), module.__dict__)
    found = 0
    for name, value in list(vars(module).items()):
        if is_case(value):
            run_cases([value])
            found += 1
        elif isinstance(value, FunctionType) and name.startswith("test"):
            found += run_test(value, ())
        elif isinstance(value, type) and name.startswith("Test") and getattr(value, "__test__", True):
            for method in [each for each in vars(value) if each.startswith("test")]:
                owner = value()
                if hasattr(owner, "setup_method"):
                    owner.setup_method(*[None] * (owner.setup_method.__code__.co_argcount - 1))
                found += run_test(vars(value)[method], (owner,))
    assert found, "no tests"


def run_test(test: Any, owner: tuple[Any, ...]) -> int:
    """Runs one test function on all its cases; 1."""
    if getattr(test, "__test__", True):
        for case in itertools.product(*getattr(test, "cases", ())):
            with contextlib.suppress(Skipped):
                test(*owner, **{name: value for one in case for name, value in one.items()})
    return 1
