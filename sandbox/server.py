"""The sandbox as a service: `python -m sandbox.server` (extra `server`).

`POST /v1/run` is `Executor.run`; `POST /run_code` is that call of SandboxFusion's protocol, for its client (PyPI
`sandbox-fusion` 0.3.7) and for verl's sandbox reward (verl/utils/reward_score/sandbox_fusion). Clients that can send no
header put the token into the address: `/t/TOKEN/run_code`. `/healthz`, `/metrics` (Prometheus) and `/openapi.json` say
how it is doing and what it takes. docs/service.md is the user's page; `sandbox.service` has the parts.

The event loop only moves bytes. What takes time, parsing and the making of answers included, is done by the threads
of the workers, for one request each.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from .executor import Executor
from .model import Cancelled, IsolationUnavailable, Limits, Result, Test

try:
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from pydantic import BaseModel, ValidationError
    from pydantic.json_schema import models_json_schema
    from starlette.exceptions import HTTPException

    from .service import reading
    from .service.answering import Answer, Unread
    from .service.bodies import CodeAnswer, CodeBody, ErrorAnswer, RunAnswer, RunBody, code_answer, run_answer
    from .service.connections import HEAD_S, Connections, protocol
except ImportError as error:
    raise ImportError(f"{error}; the server needs its extra: pip install -e '.[server]' in a clone") from error

from .service.options import TOKEN_VARIABLE, Settings, parser, settings
from .service.turns import Busy, Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = frozenset(("/healthz", "/openapi.json"))
PATHS = frozenset(("/healthz", "/metrics", "/openapi.json", "/v1/run", "/run_code"))
_BACKLOG = 4096  # connections that wait to be taken
_KEPT_MB = 64  # of standard outputs in one answer

Job = Callable[[bytearray, threading.Event], BaseModel]
"""Parses a request, runs it and makes its answer; ends early with Cancelled once the event is set."""


class Service:
    """The executor behind the requests: bodies within bounds, a turn for each client, a thread for each worker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.executor = Executor(settings.workers, settings.tier)
        self._pool = ThreadPoolExecutor(settings.workers)
        self._turns = Turns(settings.workers, settings.queue)
        self._held = reading.Held(settings.held_mb << 20)
        self._discard = reading.Discard()
        self.connections = Connections(settings.connections, settings.held_mb << 19)
        self._unread = Unread(settings.held_mb << 19, self.connections.give_up)
        self.registry = CollectorRegistry()
        self.answers = Counter("sandbox_requests_total", "requests answered", ["path", "status"], registry=self.registry)
        self.verdicts = Counter("sandbox_tests_total", "tests run", ["verdict"], registry=self.registry)
        self.seconds = Histogram("sandbox_sample_seconds", "from request to result", registry=self.registry)
        for name, about, value in (
            ("sandbox_requests_held", "requests waiting or running", lambda: self._turns.held),
            ("sandbox_bodies_bytes", "memory reckoned for the requests that are held", lambda: self._held.total),
            ("sandbox_answers_bytes", "answers that clients have not taken yet", lambda: self._unread.total),
            ("sandbox_connections", "open connections", lambda: len(self.connections)),
        ):
            Gauge(name, about, registry=self.registry).set_function(value)

    def close(self) -> None:
        """Ends every program and every process."""
        self.executor.close()
        self._pool.shutdown()

    def run(self, code: str, tests: list[Test], limits: Limits, mode: str = "native", **named: Any) -> Result:
        """`Executor.run`, counted. Called by the workers' threads."""
        result = self.executor.run(code, tests, limits, mode, **named)
        for test in result.tests:
            self.verdicts.labels(test.verdict).inc()
        return result

    async def answer(self, request: Request, job: Job) -> Response:
        """Reads a request and does its job when it is its turn. Raises Refused, Busy, ValueError, and Cancelled once
        the client has gone.
        """
        self._check_headers(request)
        body = self._held.begin(self._client(request))
        try:
            await reading.read(request.receive, body, self._held, self.settings.request_mb, self.settings.values)
            with self.seconds.time():
                return Answer(await self._in_turn(request.receive, body, job), self._unread)
        except ValidationError as error:
            return _error(422, _invalid(error, request.headers.get("content-type", "")))
        finally:
            self._held.end(body)

    async def _in_turn(self, receive: Receive, body: reading.Body, job: Job) -> bytes:
        cancel, submitted = threading.Event(), False
        turn = body.turn = self._turns.ask(body.client)
        gone = asyncio.ensure_future(_gone(receive))

        def work() -> bytes:
            data, body.data = body.data, bytearray()
            answer = job(data, cancel)
            return answer.__pydantic_serializer__.to_json(answer)  # bytes, without the text that model_dump_json makes first

        try:
            await asyncio.wait((turn, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise Cancelled("the client has gone")
            turn.result()
            body.running = submitted = True
            loop = asyncio.get_running_loop()
            running = self._pool.submit(work)
            running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._turns.release))
            result = asyncio.wrap_future(running)
            await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                cancel.set()
            return await result
        finally:
            cancel.set()
            gone.cancel()
            self._turns.leave(body.client, turn)
            if not turn.done():
                turn.cancel()
            elif not submitted and turn.exception() is None:
                self._turns.release()

    async def refusal(self, receive: Receive, refused: reading.Refused) -> Response:
        """The answer to a request that was not read to its end; the connection ends with it unless the rest has come."""
        answer = _error(refused.status, str(refused))
        if refused.status == 408 or (refused.rest and not await self._discard(receive)):
            answer.headers["connection"] = "close"
        return answer

    def _check_headers(self, request: Request) -> None:
        """A body is JSON whatever its Content-Type says, for `curl -d` calls it a form. A browser lets any web page send
        such a form to this machine, and marks it with Origin: there only JSON is allowed, which it asks leave for first.
        """
        headers = request.headers
        kind, encoding = headers.get("content-type", ""), headers.get("content-encoding", "identity")
        if "origin" in headers and kind.partition(";")[0].strip().lower() != "application/json":
            raise reading.Refused(415, f"Content-Type: {kind[:100]!r} is not allowed with an Origin; application/json")
        if encoding.strip().lower() not in ("", "identity"):
            raise reading.Refused(415, f"Content-Encoding: {encoding[:100]!r} is not allowed; identity")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.settings.request_mb << 20:
            raise reading.Refused(413, reading.too_large(self.settings.request_mb))

    def _client(self, request: Request) -> str:
        """Whose request it is: the address, of which the first half counts in IPv6, or what a trusted proxy says."""
        address = request.client.host if request.client else ""
        if self.settings.client_header and (named := request.headers.getlist(self.settings.client_header)):
            address = named[-1].rpartition(",")[2].strip()[:100]
        try:
            whole = ipaddress.IPv6Address(address.partition("%")[0])
        except ValueError:
            return address
        return str(whole.ipv4_mapped or ipaddress.IPv6Network((whole, 64), strict=False))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Guard:
    """In front of everything: the token (401), and the count of the answers."""

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

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.service.answers.labels(path, message["status"]).inc()
            await send(message)

        if admitted:
            await self.app(scope, receive, counting_send)
            return
        detail = f"token: needed, as 'Authorization: Bearer TOKEN' or in the path, /t/TOKEN{scope['path'][:100]}"
        refusal = await self.service.refusal(receive, reading.Refused(401, detail))
        refusal.headers["www-authenticate"] = "Bearer"
        await refusal(scope, receive, counting_send)


def _error(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail[:500]}, status, {"retry-after": "1"} if status == 429 else None)


def _invalid(error: ValidationError, content_type: str) -> str:
    """The first complaint about a request, which names the field."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "request"
    if first["type"] == "json_invalid" and "json" not in content_type.lower():
        return f"{place}: {first['msg']}; Content-Type is {content_type[:100]!r}, but JSON is needed: application/json"
    return f"{place}: {first['msg']}"


def _bounded_limits(settings: Settings, **asked: Any) -> Limits:
    """Raises ValueError for more than the server gives."""
    limits = Limits(**asked)
    for name, most in (("cpu_s", settings.most_seconds), ("wall_s", settings.most_seconds),
                       ("memory_mb", settings.memory_mb), ("output_mb", settings.output_mb)):  # fmt: skip
        if getattr(limits, name) > most:
            raise ValueError(f"{name}: {getattr(limits, name):g} is not allowed; at most {most:g} on this server")
    return limits


def _handle_errors(api: FastAPI, service: Service) -> None:
    """One line for each way in which a request may fail."""

    @api.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        return _error(error.status_code, str(error.detail))

    @api.exception_handler(reading.Refused)
    async def refused(request: Request, error: reading.Refused) -> Response:
        return await service.refusal(request.receive, error)

    @api.exception_handler(ValueError)
    async def not_allowed(request: Request, error: ValueError) -> Response:
        return _error(422, str(error))

    @api.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        return _error(429, str(error))

    @api.exception_handler(Cancelled)
    async def gone(request: Request, error: Cancelled) -> Response:
        return _error(499, str(error))


_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorAnswer, "description": "No token, or another"},
    408: {"model": ErrorAnswer, "description": "The request came too slowly"},
    413: {"model": ErrorAnswer, "description": "Too many bytes or JSON values"},
    415: {"model": ErrorAnswer, "description": "A Content-Encoding, or a web page's request that is not JSON"},
    422: {"model": ErrorAnswer, "description": "Not JSON, or a field that is not allowed"},
    429: {"model": ErrorAnswer, "description": "The queue or the memory for requests is full"},
}


def _described(api: FastAPI) -> Callable[[], dict[str, Any]]:
    """The interface, with the bodies that the framework does not parse."""
    made, described = FastAPI.openapi, dict[str, Any]()

    def openapi() -> dict[str, Any]:
        if not described:
            described.update(made(api))
            _, bodies = models_json_schema([(RunBody, "validation"), (CodeBody, "validation")], ref_template="#/components/schemas/{model}")
            described["components"]["schemas"].update(bodies["$defs"])
        return described

    return openapi


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def make_app(settings: Settings, service: Service) -> ASGIApp:
    """The ASGI application. Raises IsolationUnavailable where the tier cannot be had."""
    tier = service.executor.tier

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    api = FastAPI(title="klear_repro sandbox", docs_url=None, redoc_url=None, lifespan=life)
    api.openapi = _described(api)  # type: ignore[method-assign]
    _handle_errors(api, service)

    @api.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Whether the server is up, its tier and what the machine withholds."""
        return {"status": "ok", "tier": tier, "workers": settings.workers, "notes": service.executor.notes}

    @api.get("/metrics")
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(generate_latest(service.registry), media_type="text/plain; version=0.0.4")

    def run_job(data: bytearray, cancel: threading.Event) -> RunAnswer:
        body = RunBody.model_validate_json(data)
        del data
        tests = [Test(**vars(test)) for test in body.tests]
        keep_kb = min(body.keep_kb, (_KEPT_MB << 10) // len(tests))
        return run_answer(service.run(
            body.code, tests, _bounded_limits(settings, **body.limits.model_dump()), body.mode,
            stop_on_first_failure=body.stop_on_first_failure, keep_kb=keep_kb, cancel=cancel,
            max_tests=body.max_tests, seed=body.seed,
        ))  # fmt: skip

    def code_job(data: bytearray, cancel: threading.Event) -> CodeAnswer:
        body = CodeBody.model_validate_json(data)
        memory = body.memory_limit_MB if body.memory_limit_MB > 0 else settings.memory_mb
        limits = _bounded_limits(
            settings, cpu_s=body.run_timeout, wall_s=body.run_timeout, memory_mb=min(memory, settings.memory_mb),
            output_mb=settings.output_mb,
        )  # fmt: skip
        tests = [Test(input=body.stdin or "", expected="")]
        return code_answer(service.run(body.code, tests, limits, keep_kb=settings.output_mb << 10, cancel=cancel))

    @api.post("/v1/run", response_model=RunAnswer, responses=_REFUSALS, openapi_extra=_takes(RunBody))
    async def run(request: Request) -> Response:
        """Runs a program on tests."""
        return await service.answer(request, run_job)

    @api.post("/run_code", response_model=CodeAnswer, responses=_REFUSALS, openapi_extra=_takes(CodeBody))
    async def run_code(request: Request) -> Response:
        """Runs a program on one standard input, as SandboxFusion does."""
        return await service.answer(request, code_job)

    return Guard(api, service)


def main(argv: list[str] | None = None) -> int:
    """The command line. Returns 0 when it was told to end, 1 when it cannot start, 2 for bad arguments."""
    arguments = parser().parse_args(argv)
    try:
        chosen = settings(arguments)
    except ValueError as error:
        print(f"sandbox.server: {error}", file=sys.stderr)
        return 2
    if chosen.connections < arguments.connections:
        cause = f"`ulimit -Hn` allows {chosen.connections} connections and a queue of {chosen.queue}"
        print(f"sandbox.server: {cause}", file=sys.stderr)
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    try:
        listener = socket.create_server((arguments.host, arguments.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        print(f"sandbox.server: --host {arguments.host} --port {arguments.port}: {reason}", file=sys.stderr)
        return 1
    service = Service(chosen)
    try:
        app = make_app(chosen, service)
    except IsolationUnavailable as error:
        print(f"sandbox.server: {error}", file=sys.stderr)
        return 1
    config = uvicorn.Config(
        app, http=protocol(service.connections), ws="none", log_level="warning", backlog=_BACKLOG, timeout_keep_alive=int(HEAD_S)
    )
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    print(f"listening on http://{host}:{listener.getsockname()[1]}", flush=True)
    if chosen.token is not None and arguments.token_file is None and not os.environ.get(TOKEN_VARIABLE):
        print(f"token: {chosen.token}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
