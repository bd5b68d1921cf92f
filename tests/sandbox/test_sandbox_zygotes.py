"""Which zygote a program gets is a matter of speed: what it can import and how it is judged is the same in all of them."""

from __future__ import annotations

import pytest

from sandbox import Executor, Limits, Test
from sandbox.worker import find_numpy, preload_for

TEXT, CALL = [Test("", "")], [Test(function="f", args=[], expected=1)]


@pytest.mark.parametrize(("source", "kind"), [
    ("print(1)", "light"),
    ("import sys\nfrom collections import deque, Counter\nimport heapq, math as m", "light"),
    ("import os.path as p, sys\nfrom collections.abc import Iterable", "light"),
    ("def f():\n    import bisect\n    from itertools import *", "light"),
    ("x = 'no\\nimport json here'", "light"),
    ("import sys, re", "full"),
    ("from typing import List", "full"),
    ("try:\n\timport json as j\nexcept ImportError: pass", "full"),
    ("import sortedcontainers", "full"),
    ("from . import x", "full"),
    ("import numpy as np", "numpy"),
    ("x = __import__('numpy')", "numpy"),
])  # fmt: skip
def test_the_text_of_a_program_chooses_its_zygote(source, kind):
    if kind == "numpy" and find_numpy() is None:
        kind = "full"
    assert preload_for(source.encode(), TEXT, "native", find_numpy()) == kind


def test_functions_and_the_compatible_mode_get_the_full_one():
    assert preload_for(b"pass", CALL, "native", None) == "full"
    assert preload_for(b"pass", [*TEXT, *CALL], "native", None) == "full"
    assert preload_for(b"pass", TEXT, "lcb_compat", None) == "full"
    assert preload_for(b"import numpy", TEXT, "native", None) == "full"


IMPORTS = (
    "import os.path as p, sys", "import sys; import json\njson.dumps(1)", "from collections import (\n    deque,\n    Counter,\n)",
    "from typing import \\\n    List", "import \\\n    re\nre.compile('a')", "exec('import decimal')",
    "__import__('fractions').Fraction(1)",
    "if True: import statistics", "import xml.dom.minidom, asyncio", "from importlib import import_module as m\nm('dataclasses')",
    "import contextlib, dataclasses, platform, tempfile, shutil, enum, abc, types, string, copy, datetime, pickle, subprocess, hashlib",
)  # fmt: skip


def test_every_way_of_importing_works_whatever_was_guessed():
    with Executor(workers=1) as executor:
        for source in IMPORTS:
            result = executor.run(f"{source}\nprint(1)", [Test("", "1")])
            assert result.passed, (source, result.tests[0].stderr)


EXITS = """
import atexit, threading{more}
from concurrent.futures import ThreadPoolExecutor
atexit.register(print, "handler")
pool = ThreadPoolExecutor(2)
pool.submit(print, "task")
threading.Timer(0.05, print, ["timer"]).start()
print("main")
"""


@pytest.mark.parametrize("more", ["", ", json"])
def test_threads_and_handlers_end_a_program_as_the_interpreter_ends_it(more):
    with Executor(workers=1) as executor:
        result = executor.run(EXITS.format(more=more), [Test("", "")])
        output = result.tests[0].stdout.split()
        assert sorted(output) == ["handler", "main", "task", "timer"] and output[-1] == "handler"


def test_limits_of_one_sample_do_not_stay_for_the_next():
    deep = "import sys\nsys.setrecursionlimit(10**6)\nprint(sys.getrecursionlimit.__globals__['_granted']())"
    with Executor(workers=1) as executor:
        for memory_mb in (64, 1024, 200, 64):
            expected = str(min(10**6, max(1600 * memory_mb, min(8192 * memory_mb, 1 << 20))))
            assert executor.run(deep, [Test("", expected)], Limits(memory_mb=memory_mb)).passed
