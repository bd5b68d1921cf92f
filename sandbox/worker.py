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
import re
import secrets
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import compare, messages
from .compare import as_bytes
from .inside import frames, lcb, protocol
from .judge import Outcome, judge
from .judge_process import CANCEL_S, CheckerFailed, CheckerStalled, JudgeProcess
from .model import Cancelled, IsolationUnavailable, Limits, SandboxError, Test, TestResult, Verdict
from .output import Output

ATTEMPTS = 3
INLINE_TEXT, INLINE_VALUE = 32 << 10, 8 << 10  # bytes that are compared in this process: well below 0.1 s, whatever they say
_AHEAD = 4
_GRACE_S = 30.0
_START_S = 60.0
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_START = (
    "import sys; sys.path.insert(0, {folder!r}); from inside import zygote; del sys.path[0]; "
    "zygote.main({fd}, {pid})"
)
_LIGHT = frozenset(
    (
        b"sys", b"os", b"io", b"math", b"heapq", b"bisect", b"collections", b"itertools", b"functools", b"operator",
        b"random", b"time", b"threading", b"array", b"cmath", b"queue",
    )
)  # fmt: skip
_OF_FILES = (b"open", b"TextIOWrapper", b"Buffered")
_LOOKED_AT = 64 << 10  # bytes of a program's beginning in which imports are looked for
_IMPORTED = re.compile(rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.M)
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


def preload_for(source: bytes, tests: Sequence[Test], mode: str, numpy: str | None) -> str:
    """Which zygote suits a program: "numpy", "full" with all that functions, `lcb_compat` and larger imports
    need, or "light". A wrong guess costs time and nothing else: every zygote can import what the others have.
    """
    if numpy is not None and b"numpy" in source:
        return "numpy"
    if mode != "native" or any(test.function is not None for test in tests):
        return "full"
    names: set[bytes] = set()
    for origin, listed in _IMPORTED.findall(source[:_LOOKED_AT]):
        names.update(name.split()[0].partition(b".")[0] for name in (origin or listed).split(b",") if name.strip())
    return "light" if names <= _LIGHT else "full"


class ZygoteProcess:
    """A zygote of the given tier, with what `preload_for` names in memory; `wait` says when it is ready. Raises
    IsolationUnavailable if it cannot be started.
    """

    def __init__(self, tier: str, numpy: str | None, preload: str) -> None:
        self.notes: list[str] = []
        self._tier = tier
        self._ready = False
        if not sys.executable:
            raise IsolationUnavailable("sys.executable is empty: there is no interpreter to start")
        self.connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {"PYTHONHASHSEED": "0"} | (
            _ONE_THREAD if preload == "numpy" else {}
        )  # cleared before any program
        script = _START.format(folder=_FOLDER, fd=theirs.fileno(), pid=os.getpid())
        self._log = os.memfd_create("sandbox", os.MFD_CLOEXEC)
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", script],
                    env=environment, pass_fds=[theirs.fileno()], start_new_session=True, cwd="/",
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log,
                )  # fmt: skip
            self.connection.settimeout(_START_S)
            messages.send(self.connection, {"tier": tier, "numpy": numpy, "preload": preload})
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> IsolationUnavailable:
        """Ends what was started; the error to raise."""
        reason = os.pread(self._log, 65536, 0).decode("utf-8", "replace").strip()[-500:] or repr(error)
        self.close()
        return IsolationUnavailable(f"tier {self._tier}: the zygote did not start: {reason}")

    def wait(self, cancel: threading.Event | None = None) -> ZygoteProcess:
        """This zygote, once it is ready. Raises IsolationUnavailable with the reason if it refuses, and Cancelled; it is
        then ended.
        """
        try:
            if cancel is not None:
                _wait(self.connection, cancel)
            answer, _ = messages.receive(self.connection)
        except Cancelled:
            self.close()
            raise
        except (OSError, EOFError) as error:
            raise self._refusal(error) from error
        if not answer["ready"]:
            self.close()
            raise IsolationUnavailable(f"tier {self._tier}: {answer['reason']}")
        self.notes = answer["notes"]
        self._ready = True
        os.close(self._log)
        self._log = -1
        return self

    def close(self) -> bool:
        """Ends the zygote and all of its programs; returns when they are gone: whether it had died before, of what a
        program took of the group's memory.
        """
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)  # close alone would not wake a thread that waits
        self.connection.close()
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
        process = getattr(self, "process", None)
        if process is None:
            return False
        try:
            if not self._ready:  # it does not listen yet; the zygote dies with its launcher
                process.kill()
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return bool(process.returncode == protocol.EXHAUSTED)


def _memfd(data: bytes, sealed: bool) -> int:
    descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if sealed else 0))
    view, position = memoryview(data), 0
    while position < len(data):
        position += os.pwrite(descriptor, view[position:], position)
    if sealed:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _wait(connection: socket.socket, cancel: threading.Event) -> None:
    """Returns when there is an answer, or when the time-out of the connection is up. Raises Cancelled."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    deadline = time.monotonic() + (connection.gettimeout() or 0)
    while True:
        if cancel.is_set():
            raise Cancelled("the run was cancelled")
        if poll.poll(1000 * CANCEL_S) or time.monotonic() > deadline:
            return


def _as_text(data: Any) -> Any:
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data


def encode_test(test: Test) -> tuple[bytes, bytes]:
    """Arguments and expectation as frames, for the calls of functions; otherwise nothing. Raises what `frames.encode` raises."""
    if test.function is None:
        return b"", b""
    return frames.encode(list(test.args)), frames.encode(test.expected)


@dataclass(frozen=True)
class Job:
    """A sample as a worker takes it: `encoded` is `encode_test` of each test, and `keep_bytes` of each standard output stay
    in the results.
    """

    source: bytes
    tests: Sequence[Test]
    encoded: Sequence[tuple[bytes, bytes]]
    limits: Limits
    mode: str
    stop: bool
    keep_bytes: int
    cancel: threading.Event | None


@dataclass(frozen=True)
class _Sent:
    """A test that a zygote has: its expectation as a frame, the token of its own frame, the descriptor of its output."""

    test: Test
    expected: bytes
    token: bytes
    output: int


def _said(right: bool) -> str:
    return "" if right else "wrong answer"


class Worker:
    """Runs one sample at a time. Not thread-safe: the executor lends a worker to one thread at a time."""

    def __init__(self, tier: str, numpy: str | None) -> None:
        self.tier = tier
        self.numpy = numpy
        self._zygotes: dict[str, ZygoteProcess] = {}
        self._judges: JudgeProcess | None = None
        self._closed = False

    def start(self, preload: str = "light", cancel: threading.Event | None = None) -> ZygoteProcess:
        """The zygote for such programs, started if need be. Raises Cancelled."""
        if self._closed:
            raise SandboxError("the executor was closed")
        if preload not in self._zygotes:
            self._zygotes[preload] = ZygoteProcess(self.tier, self.numpy, preload).wait(cancel)
        return self._zygotes[preload]

    def close(self) -> None:
        """Ends the zygotes, and the process that judges, for good."""
        self._closed = True
        for zygote in list(self._zygotes.values()):
            zygote.close()
        self._zygotes.clear()
        self._end_judges()

    def run(self, job: Job) -> list[TestResult]:
        """Results in order; what the sandbox could not carry out in ATTEMPTS tries is IE. Raises Cancelled."""
        preload = preload_for(job.source, job.tests, job.mode, self.numpy)
        results: list[TestResult] = []
        failures = 0
        while len(results) < len(job.tests) and not (job.stop and results and results[-1].verdict is not Verdict.AC):
            before = len(results)
            try:
                self._run_rest(preload, job, results)
            except Cancelled:
                self._drop(preload)
                raise
            except (_Failed, OSError, EOFError, SandboxError) as error:
                failures = 1 if len(results) > before else failures + 1
                if self._drop(preload):
                    results.append(self._exhausted(job, job.tests[len(results)]))
                    failures = 0
                elif failures >= ATTEMPTS:
                    message = f"{type(error).__name__}: {error}"
                    results.append(TestResult(Verdict.IE, message=message, weight=job.tests[len(results)].weight))
                    failures = 0
            except BaseException:  # an interrupt: answers are still under way, so this zygote cannot go on
                self._drop(preload)
                raise
        return results

    def _drop(self, preload: str) -> bool:
        """Ends what ran the programs. Returns whether a program had ended it already (`ZygoteProcess.close`)."""
        self._end_judges()
        zygote = self._zygotes.pop(preload, None)
        return zygote is not None and zygote.close()

    @staticmethod
    def _exhausted(job: Job, test: Test) -> TestResult:
        """Of a program that took so much memory that the kernel ended its zygote: at least its limit."""
        message = f"memory exceeds {job.limits.memory_mb} MiB, and took the sandbox's process with it"
        return TestResult(Verdict.MLE, peak_mb=float(job.limits.memory_mb), message=message, weight=test.weight)

    def _run_rest(self, preload: str, job: Job, results: list[TestResult]) -> None:
        connection = self.start(preload, job.cancel).connection
        limits = job.limits
        connection.settimeout(limits.wall_s + _GRACE_S)
        code, compiled = _memfd(job.source, sealed=True), _memfd(b"", sealed=False)
        streams = job.mode == "native" and (b"/dev/" in job.source or b"/proc/self/fd" in job.source)
        files = any(word in job.source for word in _OF_FILES)
        message = (job.mode, limits.cpu_s, limits.wall_s, limits.memory_mb, limits.output_mb, streams, files)
        try:
            messages.send(connection, message, [code, compiled])
        finally:
            os.close(code)
            os.close(compiled)
        waiting: deque[_Sent] = deque()
        following = iter(zip(job.tests[len(results) :], job.encoded[len(results) :], strict=True))
        ahead = 1 if job.stop or any(test.interactor is not None for test in job.tests) else _AHEAD
        gone: OSError | None = None
        try:
            while True:
                while gone is None and len(waiting) < ahead and (pair := next(following, None)) is not None:
                    try:
                        waiting.append(self._send(connection, *pair, limits))
                    except OSError as error:  # the zygote is gone; what it answered before is still there
                        gone = error
                if not waiting:
                    if gone is not None:
                        raise gone
                    return
                if job.cancel is not None:
                    _wait(connection, job.cancel)
                result = self._collect(connection, waiting[0], job)
                results.append(result)
                os.close(waiting.popleft().output)
                if job.stop and result.verdict is not Verdict.AC:
                    return
        finally:
            for sent in waiting:
                os.close(sent.output)

    def _send(
        self, connection: socket.socket, test: Test, encoded: tuple[bytes, bytes], limits: Limits
    ) -> _Sent:
        """Sends one test. Raises OSError."""
        arguments, expected = encoded
        if test.interactor is not None:
            return _Sent(test, expected, b"", self._begin_dialog(connection, test, limits))
        token = secrets.token_bytes(frames.TOKEN_BYTES) if test.function is not None else b""
        given = _memfd(as_bytes(test.input) if test.function is None else token + arguments, sealed=True)
        output = _memfd(b"", sealed=False)
        try:
            messages.send(connection, test.function, [given, output])
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(given)
        return _Sent(test, expected, token, output)

    def _begin_dialog(self, connection: socket.socket, test: Test, limits: Limits) -> int:
        """Connects a program with its interactor. Returns a descriptor for `_collect` to close: an empty output."""
        assert test.interactor is not None
        program_reads, interactor_writes = os.pipe2(os.O_CLOEXEC)
        interactor_reads, program_writes = os.pipe2(os.O_CLOEXEC)
        try:
            given, expected = _as_text(test.input), _as_text(test.expected)
            self._judge_process().talk(
                test.interactor, given, expected, interactor_reads, interactor_writes, limits.output_mb
            )
            messages.send(connection, None, [program_reads, program_writes])
        finally:
            for descriptor in (program_reads, program_writes, interactor_reads, interactor_writes):
                os.close(descriptor)
        return _memfd(b"", sealed=False)

    def _collect(self, connection: socket.socket, sent: _Sent, job: Job) -> TestResult:
        answer, errors = messages.receive(connection)
        if "reason" in answer:
            raise _Failed(f"the zygote gave up: {answer['reason']}")
        outcome = Outcome(**answer, errors=errors)
        if outcome.reached == protocol.FORKED:
            raise _Failed(
                errors.decode("utf-8", "replace")[:500] or f"died before it was locked down: {answer}"
            )
        output = Output(sent.output, sent.token)
        try:
            if sent.test.interactor is not None:
                return self._end_dialog(sent.test, outcome, output, job)
            complaint = partial(self._complaint, sent, output, job)
            return judge(sent.test, outcome, output, job.limits, job.mode, job.keep_bytes, complaint)
        except CheckerFailed as error:  # not the sandbox's failure: trying again would give the same
            self._end_judges()
            return TestResult(Verdict.IE, message=f"{type(error).__name__}: {error}", weight=sent.test.weight)

    def _judge_process(self) -> JudgeProcess:
        if self._judges is None:
            self._judges = JudgeProcess()
        return self._judges

    def _end_judges(self) -> None:
        judges, self._judges = self._judges, None
        if judges is not None:
            judges.close()

    def _complaint(self, sent: _Sent, output: Output, job: Job) -> str:
        """What there is against the output of a program that ended well; "" for nothing. What is small is compared here,
        the rest in a process that can be ended. Raises CheckerFailed, Cancelled.
        """
        test, tolerance = sent.test, (sent.test.abs_tol, sent.test.rel_tol)
        if test.checker is not None:
            return self._check(test, output, job)
        mode = compare.OUTPUTS if test.function == lcb.TEXTS_IN_TURN else job.mode
        if output.value is not None:
            expected, length = sent.expected, output.value[1]
            if length > 16 * len(expected) + 4096:  # far longer than any spelling of the right value
                return "wrong answer"
            if length <= INLINE_VALUE:
                payload = output.read(*output.value)
                return _said(compare.value_matches(test.expected, payload, mode, tolerance))
        else:
            expected = as_bytes(test.expected)
            if max(output.size, len(expected)) <= INLINE_TEXT:
                return _said(compare.text_matches(expected, output.read(0, output.size), job.mode, tolerance))
            alike = job.mode == "native" and tolerance == compare.EXACT and abs(output.size - len(expected)) <= 2
            if alike and output.read(0, output.size).strip() == expected.strip():
                return ""
        return self._compare(expected, output, mode, tolerance, job)

    def _compare(self, expected: bytes, output: Output, mode: str, tolerance: compare.Tolerance, job: Job) -> str:
        """A comparison elsewhere. Raises Cancelled, and _Failed if the machine lets it down."""
        descriptor = _memfd(expected, sealed=False)
        try:
            return _said(self._judge_process().compare(descriptor, output, mode, tolerance, job.cancel))
        except CheckerStalled as error:
            self._end_judges()
            return str(error)
        except CheckerFailed as error:
            raise _Failed(str(error)) from error
        finally:
            os.close(descriptor)

    def _check(self, test: Test, output: Output, job: Job) -> str:
        """What the test's checker has against the output. Raises CheckerFailed, Cancelled."""
        assert test.checker is not None
        is_value = output.value is not None
        given = list(test.args) if is_value else _as_text(test.input)
        expected = test.expected if is_value else _as_text(test.expected)
        try:
            judges = self._judge_process()
            judges.check(test.checker, given, expected, output)
            return _said(judges.answer(test.checker, job.limits.checker_s, job.cancel)[0])
        except CheckerStalled as error:
            self._end_judges()
            return str(error)
        except CheckerFailed as error:  # the output's fault, if the checker can read what is expected
            self._end_judges()
            judges = self._judge_process()
            try:
                judges.try_out(test.checker, given, expected, is_value)
                judges.answer(test.checker, job.limits.checker_s, job.cancel)
            except (CheckerFailed, CheckerStalled):
                raise error from None
            return f"the checker cannot read the output: {error}"

    def _end_dialog(self, test: Test, outcome: Outcome, output: Output, job: Job) -> TestResult:
        """The verdict of a program that talked with an interactor, whose streams have ended with it."""
        assert test.interactor is not None
        judges, limits = self._judge_process(), job.limits
        said, kind = "", ""
        try:
            accepted, said, kind = judges.answer(test.interactor, limits.checker_s, job.cancel)
            complaint = "" if accepted else "the interactor does not accept"
            if kind == "unreadable":
                complaint, said = f"the interactor cannot read the output: {said}", ""
        except CheckerStalled as error:
            self._end_judges()
            complaint = str(error)
        result = judge(test, outcome, output, limits, job.mode, job.keep_bytes, lambda: "")
        result.stdout = said[: job.keep_bytes]
        if kind == "too much":
            result.verdict, result.message = Verdict.OLE, f"standard output exceeds {limits.output_mb} MiB"
        elif complaint and result.verdict in (Verdict.AC, Verdict.RE) and outcome.killed is None:
            result.verdict, result.message = Verdict.WA, complaint
        return result
