"""The requests and answers of the service, which are also what /openapi.json says of them.

/v1/run is `Executor.run` as JSON. /run_code is RunCodeRequest and RunCodeResponse of SandboxFusion (bytedance/SandboxFusion,
sandbox/server/sandbox_api.py), for Python programs without files.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from ..model import Result, Verdict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TestBody(_Strict):
    """One test: `input` and `expected` text, or `function`, `args` and `expected` value; numbers may differ by a tolerance."""

    __test__ = False

    input: str = ""
    expected: Any = None
    function: str | None = None
    args: list[Any] = []
    weight: float = 1.0
    abs_tol: float = 0.0
    rel_tol: float = 0.0


class LimitsBody(_Strict):
    """Limits of one test: seconds and MiB."""

    cpu_s: float = 6
    wall_s: float = 10
    memory_mb: int = 1024
    output_mb: int = 32


class RunBody(_Strict):
    """`Executor.run` as JSON."""

    code: str
    tests: Annotated[list[TestBody], FailFast()] = Field(min_length=1, max_length=100_000)
    limits: LimitsBody = LimitsBody()
    mode: Literal["native", "lcb_compat"] = "native"
    stop_on_first_failure: bool = False
    keep_kb: int = Field(64, ge=0, le=1 << 15)
    max_tests: int | None = Field(None, ge=1)
    seed: int = 0


class TestAnswer(BaseModel):
    """What one test gave."""

    __test__ = False

    verdict: Verdict
    cpu_s: float
    wall_s: float
    peak_mb: float
    stdout: str
    stderr: str
    exit_code: int | None
    signal: int | None
    message: str
    weight: float


class RunAnswer(BaseModel):
    """What a program gave; a verdict of IE is the sandbox's failure and no result."""

    verdict: Verdict
    passed: bool
    pass_rate: float
    tier: str
    total: int
    positions: list[int] | None
    tests: list[TestAnswer]


class CodeBody(BaseModel):
    """SandboxFusion's RunCodeRequest, for Python programs without files."""

    code: str
    stdin: str | None = None
    language: Literal["python"]
    compile_timeout: float = 10
    run_timeout: float = Field(10, gt=0)
    memory_limit_MB: int = -1
    files: dict[str, str | None] = Field({}, max_length=0)
    fetch_files: list[str] = Field([], max_length=0)


class CommandAnswer(BaseModel):
    """SandboxFusion's CommandRunResult."""

    status: Literal["Finished", "Error", "TimeLimitExceeded"]
    execution_time: float | None
    return_code: int | None
    stdout: str | None
    stderr: str | None


class CodeAnswer(BaseModel):
    """SandboxFusion's RunCodeResponse; `message` begins with the verdict."""

    status: Literal["Success", "Failed", "SandboxError"]
    message: str
    compile_result: CommandAnswer | None = None
    run_result: CommandAnswer | None = None
    executor_pod_name: str | None = None
    files: dict[str, str] = {}


class ErrorAnswer(BaseModel):
    """Why there is no result, in one line."""

    detail: str


def run_answer(result: Result) -> RunAnswer:
    """The answer of /v1/run."""
    return RunAnswer(
        verdict=result.verdict, passed=result.passed, pass_rate=result.pass_rate, tier=result.tier,
        total=result.total, positions=result.positions, tests=[TestAnswer.model_construct(**vars(test)) for test in result.tests],
    )  # fmt: skip


def code_answer(result: Result) -> CodeAnswer:
    """A result in SandboxFusion's words: no compilation for Python, and what is not a time-out has a return code."""
    test = result.tests[0]
    if test.verdict is Verdict.IE:
        return CodeAnswer(status="SandboxError", message=f"IE: {test.message}")
    ended_well = test.verdict in (Verdict.AC, Verdict.WA)
    code = 0 if ended_well else test.exit_code or (-test.signal if test.signal else 1)
    run = CommandAnswer(
        status="TimeLimitExceeded" if test.verdict is Verdict.TLE else "Finished", execution_time=test.wall_s,
        return_code=None if test.verdict is Verdict.TLE else code, stdout=test.stdout, stderr=test.stderr,
    )  # fmt: skip
    message = "" if ended_well else f"{test.verdict}: {test.message}"
    return CodeAnswer(status="Success" if ended_well else "Failed", message=message, run_result=run)
