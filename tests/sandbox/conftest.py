"""Every case runs in every tier that this machine grants, as root and as an unprivileged user."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sandbox import Executor, IsolationUnavailable, Limits, Result, Test, TestResult  # noqa: E402

HELPER = Path(__file__).with_name("unprivileged.py")
PLACES = (
    ["root", "landlock", "userns as nobody", "landlock as nobody"]
    if os.geteuid() == 0
    else ["userns", "landlock"]
)


class Unprivileged:
    """An executor in a process of user 65534, driven over pipes; only `run` and `close`."""

    def __init__(self, tier: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HELPER), tier], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd="/",
        )  # fmt: skip
        try:
            self.tier = self._answer()
        except EOFError:  # it could not become another user, or that user cannot read the interpreter
            _, errors = self.process.communicate()
            pytest.skip(f"nothing runs as user 65534 here: {errors.decode().strip()[-300:]}")

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        answer = pickle.load(self.process.stdout)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, *arguments: Any, **named: Any) -> Result:
        """Like Executor.run."""
        assert self.process.stdin is not None
        pickle.dump((arguments, named), self.process.stdin)
        self.process.stdin.flush()
        result = self._answer()
        assert isinstance(result, Result)
        return result

    def close(self) -> None:
        """Ends the helper."""
        self.process.communicate(timeout=20)


@pytest.fixture(scope="session", params=PLACES)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | Unprivileged]:
    """An executor in each tier."""
    tier, _, user = request.param.partition(" as ")
    try:
        made: Executor | Unprivileged = Unprivileged(tier) if user else Executor(workers=1, tier=tier)
        assert made.tier == tier
    except IsolationUnavailable as error:
        reason = str(error)
        refused = any(word in reason for word in ("PermissionError", "[Errno 28]", "[Errno 38]", "no Landlock"))
        assert refused and "did not start" not in reason, reason
        pytest.skip(reason)
    yield made
    made.close()


@pytest.fixture
def judge(executor: Executor) -> Callable[..., TestResult]:
    """Runs a program once on standard input; keyword arguments are limits."""

    def run(
        code: str, expected: str = "1\n", given: str = "1\n", mode: str = "native", **limits: Any
    ) -> TestResult:
        return executor.run(code, [Test(input=given, expected=expected)], Limits(**limits), mode).tests[0]

    return run


@pytest.fixture
def call(executor: Executor) -> Callable[..., TestResult]:
    """Calls a function `f` of a program once."""

    def run(
        code: str, arguments: list[Any], expected: Any, mode: str = "native", **limits: Any
    ) -> TestResult:
        test = Test(function="f", args=arguments, expected=expected)
        return executor.run(code, [test], Limits(**limits), mode).tests[0]

    return run
