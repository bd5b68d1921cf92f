"""The parent's handle of a worker: its zygotes, the descriptors of each test, retries after the sandbox's
failures.

Bytes travel in memfds: sealed ones with the input, plain ones for the output, which the parent reads once
the program is dead, so that no program can block it. A few tests are sent ahead so that the zygote never
waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import secrets
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence

from .inside import frames, protocol
from .judge import Outcome, as_bytes, judge
from .model import Cancelled, IsolationUnavailable, Limits, SandboxError, Test, TestResult, Verdict

ATTEMPTS = 3
_AHEAD = 4
_GRACE_S = 30.0
_START_S = 60.0
_CANCEL_S = 0.05  # how often a waiting run looks whether it was cancelled
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_START = (
    "import sys; sys.path.insert(0, {folder!r}); from inside import zygote; del sys.path[0]; "
    "zygote.main({fd}, {pid})"
)
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class _Failed(Exception):
    """The sandbox itself failed on a test; the message says how."""


def find_numpy() -> str | None:
    """The folder of the numpy that this interpreter would import, without importing it."""
    try:
        spec = importlib.util.find_spec("numpy")
    except (ImportError, ValueError):
        return None
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None


class ZygoteProcess:
    """A running zygote of the given tier. Raises IsolationUnavailable with the reason where it is refused."""

    def __init__(self, tier: str, numpy: str | None, import_numpy: bool) -> None:
        if not sys.executable:
            raise IsolationUnavailable("sys.executable is empty: there is no interpreter to start")
        self.connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {"PYTHONHASHSEED": "0"} | (
            _ONE_THREAD if import_numpy else {}
        )  # cleared before any program
        script = _START.format(folder=_FOLDER, fd=theirs.fileno(), pid=os.getpid())
        log = os.memfd_create("sandbox", os.MFD_CLOEXEC)
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", script],
                    env=environment, pass_fds=[theirs.fileno()], start_new_session=True, cwd="/",
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                )  # fmt: skip
            self.connection.settimeout(_START_S)
            setup = {"tier": tier, "numpy": numpy, "import_numpy": import_numpy}
            protocol.send(self.connection, setup, [])
            answer, _, _ = protocol.receive(self.connection)
        except (OSError, EOFError) as error:
            self.close()
            reason = os.pread(log, 65536, 0).decode("utf-8", "replace").strip()[-500:] or repr(error)
            raise IsolationUnavailable(f"tier {tier}: the zygote did not start: {reason}") from error
        finally:
            os.close(log)
        if not answer["ready"]:
            self.close()
            raise IsolationUnavailable(f"tier {tier}: {answer['reason']}")
        self.notes: list[str] = answer["notes"]

    def close(self) -> None:
        """Ends the zygote and all of its programs; returns when they are gone."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)  # close alone would not wake a thread that waits
        self.connection.close()
        process = getattr(self, "process", None)
        if process is None:
            return
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _memfd(data: bytes, sealed: bool) -> int:
    descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if sealed else 0))
    view, position = memoryview(data), 0
    while position < len(data):
        position += os.pwrite(descriptor, view[position:], position)
    if sealed:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _read_output(descriptor: int) -> bytes:
    size, parts, position = os.fstat(descriptor).st_size, [], 0
    while position < size and (part := os.pread(descriptor, size - position, position)):
        parts.append(part)
        position += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _wait(connection: socket.socket, cancel: threading.Event) -> None:
    """Returns when there is an answer, or when the time-out of the connection is up. Raises Cancelled."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    deadline = time.monotonic() + (connection.gettimeout() or 0)
    while True:
        if cancel.is_set():
            raise Cancelled("the run was cancelled")
        if poll.poll(1000 * _CANCEL_S) or time.monotonic() > deadline:
            return


class Worker:
    """Runs one sample at a time. Not thread-safe: the executor lends a worker to one thread at a time."""

    def __init__(self, tier: str, numpy: str | None) -> None:
        self.tier = tier
        self.numpy = numpy
        self._zygotes: dict[bool, ZygoteProcess] = {}
        self._closed = False

    def start(self, with_numpy: bool = False) -> ZygoteProcess:
        """The zygote, started if need be; programs that name numpy get one that has imported it already."""
        if self._closed:
            raise SandboxError("the executor was closed")
        if with_numpy not in self._zygotes:
            self._zygotes[with_numpy] = ZygoteProcess(self.tier, self.numpy, with_numpy)
        return self._zygotes[with_numpy]

    def close(self) -> None:
        """Ends the zygotes for good."""
        self._closed = True
        for zygote in list(self._zygotes.values()):
            zygote.close()
        self._zygotes.clear()

    def run(
        self, source: bytes, tests: Sequence[Test], limits: Limits, mode: str, stop: bool,
        keep_bytes: int, cancel: threading.Event | None = None,
    ) -> list[TestResult]:  # fmt: skip
        """Results in order; what the sandbox could not carry out in ATTEMPTS tries is IE. Raises Cancelled."""
        with_numpy = self.numpy is not None and b"numpy" in source
        results: list[TestResult] = []
        failures = 0
        while len(results) < len(tests) and not (stop and results and results[-1].verdict is not Verdict.AC):
            before = len(results)
            try:
                self._run_rest(with_numpy, source, tests, limits, mode, stop, keep_bytes, cancel, results)
            except Cancelled:
                self._drop(with_numpy)
                raise
            except (_Failed, OSError, EOFError, SandboxError) as error:
                failures = 1 if len(results) > before else failures + 1
                self._drop(with_numpy)
                if failures >= ATTEMPTS:
                    results.append(TestResult(Verdict.IE, message=f"{type(error).__name__}: {error}"))
                    failures = 0
            except BaseException:  # an interrupt: answers are still under way, so this zygote cannot go on
                self._drop(with_numpy)
                raise
        return results

    def _drop(self, with_numpy: bool) -> None:
        zygote = self._zygotes.pop(with_numpy, None)
        if zygote is not None:
            zygote.close()

    def _run_rest(
        self, with_numpy: bool, source: bytes, tests: Sequence[Test], limits: Limits, mode: str, stop: bool,
        keep_bytes: int, cancel: threading.Event | None, results: list[TestResult],
    ) -> None:  # fmt: skip
        connection = self.start(with_numpy).connection
        connection.settimeout(limits.wall_s + _GRACE_S)
        code, compiled = _memfd(source, sealed=True), _memfd(b"", sealed=False)
        message = {
            "op": "sample", "mode": mode, "cpu_s": limits.cpu_s, "wall_s": limits.wall_s,
            "memory_mb": limits.memory_mb, "output_mb": limits.output_mb,
        }  # fmt: skip
        try:
            protocol.send(connection, message, [code, compiled])
        finally:
            os.close(code)
            os.close(compiled)
        waiting: deque[tuple[Test, int, bytes]] = deque()
        following = iter(tests[len(results) :])
        try:
            while True:
                while len(waiting) < (1 if stop else _AHEAD) and (test := next(following, None)) is not None:
                    waiting.append((test, *self._send(connection, test)))
                if not waiting:
                    return
                if cancel is not None:
                    _wait(connection, cancel)
                result = self._collect(connection, *waiting[0], limits, mode, keep_bytes)
                results.append(result)
                os.close(waiting.popleft()[1])
                if stop and result.verdict is not Verdict.AC:
                    return
        finally:
            for _, output, _ in waiting:
                os.close(output)

    def _send(self, connection: socket.socket, test: Test) -> tuple[int, bytes]:
        """Sends one test. Returns the descriptor of its output and the token of its frame."""
        token = secrets.token_bytes(frames.TOKEN_BYTES) if test.function is not None else b""
        data = as_bytes(test.input) if test.function is None else token + frames.encode(list(test.args))
        given = _memfd(data, sealed=True)
        output = _memfd(b"", sealed=False)
        try:
            protocol.send(connection, {"op": "test", "function": test.function}, [given, output])
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(given)
        return output, token

    def _collect(
        self, connection: socket.socket, test: Test, output: int, token: bytes, limits: Limits, mode: str,
        keep_bytes: int,
    ) -> TestResult:  # fmt: skip
        answer, _, errors = protocol.receive(connection)
        outcome = Outcome(**answer, errors=errors)
        if outcome.reached == protocol.FORKED:
            raise _Failed(
                errors.decode("utf-8", "replace")[:500] or f"died before it was locked down: {answer}"
            )
        outcome.output = _read_output(output)
        return judge(test, outcome, limits, mode, token, keep_bytes)
