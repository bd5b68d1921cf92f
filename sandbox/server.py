"""The sandbox as a service: `python -m sandbox.server` (extra `server`).

`POST /v1/run` is `Executor.run`; `POST /run_code` is that call of SandboxFusion's protocol, for its client (PyPI
`sandbox-fusion` 0.3.7) and for verl's sandbox reward (verl/utils/reward_score/sandbox_fusion). Clients that can send no
header put the token into the address: `/t/TOKEN/run_code`. `/healthz`, `/metrics` (Prometheus) and `/openapi.json` say
how it is doing and what it takes. docs/service.md is the user's page.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import ipaddress
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from .executor import Executor
from .model import TIERS, Cancelled, IsolationUnavailable, Limits, Result, Test, Verdict

try:
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, Response
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from pydantic import BaseModel, ConfigDict, Field
    from starlette.exceptions import HTTPException
except ImportError as error:
    raise ImportError(f"{error}; the server needs its extra: pip install 'klear-repro[server]'") from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_VARIABLE = "KLEAR_SANDBOX_TOKEN"
OPEN = frozenset(("/healthz", "/openapi.json"))
_BACKLOG = 4096  # connections that wait to be taken
_DISCARDED_MB = 1024
_PAUSE_S = 30.0  # that a client may make while it sends
_LOOK_S = 0.25  # how often a waiting request looks whether its client has gone


@dataclass(frozen=True)
class Settings:
    """What a server is started with. `token` None lets everybody in, which is for loopback alone."""

    token: str | None
    workers: int = 2
    tier: str = "auto"
    queue: int = 1024
    request_mb: int = 64
    most_seconds: float = 60
    memory_mb: int = 1024
    output_mb: int = 32


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TestBody(_Strict):
    """One test: `input` and `expected` text, or `function`, `args` and `expected` value."""

    __test__ = False

    input: str = ""
    expected: Any = None
    function: str | None = None
    args: list[Any] = []
    weight: float = 1.0


class LimitsBody(_Strict):
    """Limits of one test: seconds and MiB."""

    cpu_s: float = 6
    wall_s: float = 10
    memory_mb: int = 1024
    output_mb: int = 32


class RunBody(_Strict):
    """`Executor.run` as JSON."""

    code: str
    tests: list[TestBody] = Field(min_length=1, max_length=100_000)
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


class Busy(Exception):
    """The queue is full."""


class Service:
    """The executor behind the requests: a queue with an end, a thread for each worker, and counters."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.executor = Executor(settings.workers, settings.tier)
        self._pool = ThreadPoolExecutor(settings.workers)
        self._held = 0
        self.registry = CollectorRegistry()
        self.answers = Counter("sandbox_requests_total", "requests answered", ["path", "status"], registry=self.registry)
        self.verdicts = Counter("sandbox_tests_total", "tests run", ["verdict"], registry=self.registry)
        self.seconds = Histogram("sandbox_sample_seconds", "from request to result", registry=self.registry)
        held = Gauge("sandbox_requests_held", "requests waiting or running", registry=self.registry)
        held.set_function(lambda: self._held)

    def close(self) -> None:
        """Ends every program and every process."""
        self.executor.close()
        self._pool.shutdown()

    async def run(self, request: Request, *arguments: Any, **named: Any) -> Result:
        """`Executor.run` in its turn. Raises Busy, ValueError, and Cancelled once the client has gone."""
        if self._held >= self.settings.queue:
            raise Busy
        self._held += 1
        cancel = threading.Event()
        call = partial(self.executor.run, *arguments, cancel=cancel, **named)
        try:
            with self.seconds.time():
                running = asyncio.get_running_loop().run_in_executor(self._pool, call)
                while not (await asyncio.wait([running], timeout=_LOOK_S))[0]:
                    if await request.is_disconnected():
                        cancel.set()
                        running.cancel()
                result = await running
        except asyncio.CancelledError:
            if cancel.is_set():
                raise Cancelled("the client has gone") from None
            raise
        finally:
            cancel.set()
            self._held -= 1
        for test in result.tests:
            self.verdicts.labels(test.verdict).inc()
        return result


class Guard:
    """In front of everything: the token (401), and the size of a request (413), counted as it comes in."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    def _admit(self, scope: Scope) -> bool:
        """Whether the request may pass; a token in the path is taken out of it."""
        token, path = self.service.settings.token, scope["path"]
        headers = dict(scope["headers"])
        scheme, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if path.startswith("/t/"):
            scheme, (given, _, rest) = "bearer", path[3:].partition("/")
            scope["path"] = f"/{rest}"
            scope["raw_path"] = scope["path"].encode()
        if token is None or scope["path"] in OPEN:
            return True
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        admitted = self._admit(scope)
        path = scope["path"] if scope["path"] in PATHS else "other"
        most = self.service.settings.request_mb << 20
        detail = f"request: larger than {self.service.settings.request_mb} MiB is not allowed"
        counted = 0

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.service.answers.labels(path, message["status"]).inc()
            await send(message)

        async def counting_receive() -> Message:
            nonlocal counted
            try:
                message = await asyncio.wait_for(receive(), _PAUSE_S)
            except TimeoutError:
                raise HTTPException(408, f"request: nothing came for {_PAUSE_S:g} s") from None
            counted += len(message.get("body", b""))
            if counted > most:
                await _discard(message, receive)
                raise HTTPException(413, detail)
            return message

        if not admitted:
            refusal = _error(401, f"token: needed, as 'Authorization: Bearer TOKEN' or in the path, /t/TOKEN{scope['path']}")
            refusal.headers["www-authenticate"] = "Bearer"
            await _discard({"more_body": True}, receive)
            await refusal(scope, receive, counting_send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            await _discard({"more_body": True}, receive)
            await _error(413, detail)(scope, receive, counting_send)
        else:
            await self.app(scope, counting_receive, counting_send)


async def _discard(message: Message, receive: Receive) -> None:
    """Takes the rest of a request, of which nothing is kept: a client that still sends would not read the answer."""
    left = _DISCARDED_MB << 20
    while message.get("more_body", False) and left > 0:
        try:
            message = await asyncio.wait_for(receive(), _PAUSE_S)
        except TimeoutError:
            return
        left -= len(message.get("body", b""))


def _error(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)


PATHS = frozenset(("/healthz", "/metrics", "/openapi.json", "/v1/run", "/run_code"))


def _bounded_limits(settings: Settings, **asked: Any) -> Limits:
    """Raises ValueError for more than the server gives."""
    limits = Limits(**asked)
    for name, most in (("cpu_s", settings.most_seconds), ("wall_s", settings.most_seconds),
                       ("memory_mb", settings.memory_mb), ("output_mb", settings.output_mb)):  # fmt: skip
        if getattr(limits, name) > most:
            raise ValueError(f"{name}: {getattr(limits, name):g} is not allowed; at most {most:g} on this server")
    return limits


def _code_answer(result: Result) -> CodeAnswer:
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


def make_app(settings: Settings) -> ASGIApp:
    """The ASGI application. Raises IsolationUnavailable where the tier cannot be had."""
    service = Service(settings)
    tier = service.executor.tier

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    api = FastAPI(title="klear_repro sandbox", docs_url=None, redoc_url=None, lifespan=life)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "request"
        return _error(422, f"{place}: {first['msg']}"[:500])

    @api.exception_handler(HTTPException)
    async def unreadable(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400:  # what the framework says of a body that is not JSON in every way
            return _error(422, "request: not JSON that can be read")
        return _error(error.status_code, str(error.detail))

    @api.exception_handler(ValueError)
    async def refused(request: Request, error: ValueError) -> Response:
        return _error(422, str(error)[:500])

    @api.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        answer = _error(429, f"queue: {settings.queue} requests are waiting already")
        answer.headers["retry-after"] = "1"
        return answer

    @api.exception_handler(Cancelled)
    async def gone(request: Request, error: Cancelled) -> Response:
        return _error(499, str(error))

    @api.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Whether the server is up, its tier and what the machine withholds."""
        return {"status": "ok", "tier": tier, "workers": settings.workers, "notes": service.executor.notes}

    @api.get("/metrics")
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(generate_latest(service.registry), media_type="text/plain; version=0.0.4")

    @api.post("/v1/run")
    async def run(body: RunBody, request: Request) -> RunAnswer:
        """Runs a program on tests."""
        limits = _bounded_limits(settings, **body.limits.model_dump())
        tests = [Test(**test.model_dump()) for test in body.tests]
        result = await service.run(
            request, body.code, tests, limits, body.mode, body.stop_on_first_failure,
            keep_kb=body.keep_kb, max_tests=body.max_tests, seed=body.seed,
        )  # fmt: skip
        return RunAnswer(
            verdict=result.verdict, passed=result.passed, pass_rate=result.pass_rate, tier=result.tier,
            total=result.total, positions=result.positions, tests=[TestAnswer(**asdict(test)) for test in result.tests],
        )  # fmt: skip

    @api.post("/run_code")
    async def run_code(body: CodeBody, request: Request) -> CodeAnswer:
        """Runs a program on one standard input, as SandboxFusion does."""
        memory = body.memory_limit_MB if body.memory_limit_MB > 0 else settings.memory_mb
        limits = _bounded_limits(
            settings, cpu_s=body.run_timeout, wall_s=body.run_timeout, memory_mb=min(memory, settings.memory_mb),
            output_mb=settings.output_mb,
        )  # fmt: skip
        tests = [Test(input=body.stdin or "", expected="")]
        return _code_answer(await service.run(request, body.code, tests, limits, keep_kb=settings.output_mb << 10))

    return Guard(api, service)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a whole number from {low} to {high}")
        return int(text)

    return parse


class _Parser(argparse.ArgumentParser):
    """One line for a wrong argument, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"sandbox.server: {message} (--help lists what is allowed)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m sandbox.server", description="Runs untrusted Python programs for clients on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; others than loopback need a proxy with TLS")
    parser.add_argument("--port", type=_whole(0, 65535), default=8080, help="0 takes a free one")
    parser.add_argument("--workers", type=_whole(1, 1024), default=os.cpu_count() or 2, help="programs that run at a time")
    parser.add_argument("--tier", choices=("auto", *TIERS), default="auto", help="isolation; auto is the strongest there is")
    parser.add_argument("--queue", type=_whole(1, 1_000_000), default=1024, help="requests that may wait or run; more get 429")
    parser.add_argument("--request-mb", type=_whole(1, 1024), default=64, help="MiB of a request; more gets 413")
    parser.add_argument("--max-seconds", type=_whole(1, 3600), default=60, help="CPU and wall seconds that a test may ask for")
    parser.add_argument("--memory-mb", type=_whole(16, 1 << 20), default=1024, help="MiB of memory that a test may ask for")
    parser.add_argument("--output-mb", type=_whole(1, 1024), default=32, help="MiB of standard output that a test may ask for")
    parser.add_argument("--token-file", type=Path, help=f"file with the token; else ${TOKEN_VARIABLE}, else a new one, printed")
    parser.add_argument("--no-token", action="store_true", help="let every local process in; on loopback only")
    return parser


def _token(arguments: argparse.Namespace) -> str | None:
    """The token in use. Raises ValueError for one that cannot be, and for none where there must be one."""
    if arguments.no_token:
        if not _is_loopback(arguments.host):
            raise ValueError(f"--no-token: not allowed with --host {arguments.host}; a loopback address")
        return None
    token = os.environ.get(TOKEN_VARIABLE, "")
    source = f"${TOKEN_VARIABLE}"
    if arguments.token_file is not None:
        source = f"--token-file {arguments.token_file}"
        try:
            token = arguments.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{source}: {error}") from error
    elif not token:
        return secrets.token_urlsafe(24)
    if len(token) < 16 or not all(c.isalnum() or c in "-_.~" for c in token) or not token.isascii():
        raise ValueError(f"{source}: not allowed; at least 16 letters, digits or -_.~")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(argv: list[str] | None = None) -> int:
    """The command line. Returns 0 when it was told to end, 1 when it cannot start, 2 for bad arguments."""
    arguments = _parser().parse_args(argv)
    try:
        token = _token(arguments)
        settings = Settings(
            token, arguments.workers, arguments.tier, arguments.queue, arguments.request_mb, arguments.max_seconds,
            arguments.memory_mb, arguments.output_mb,
        )  # fmt: skip
    except ValueError as error:
        print(f"sandbox.server: {error}", file=sys.stderr)
        return 2
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    try:
        listener = socket.create_server((arguments.host, arguments.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        print(f"sandbox.server: --host {arguments.host} --port {arguments.port}: {reason}", file=sys.stderr)
        return 1
    try:
        config = uvicorn.Config(make_app(settings), log_level="warning", backlog=_BACKLOG)
    except IsolationUnavailable as error:
        print(f"sandbox.server: {error}", file=sys.stderr)
        return 1
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    print(f"listening on http://{host}:{listener.getsockname()[1]}", flush=True)
    if token is not None and arguments.token_file is None and not os.environ.get(TOKEN_VARIABLE):
        print(f"token: {token}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
