"""Runs one program on one test, inside the locked-down process. Everything in this process is hostile or
lost.

Descriptors: 0 the input (or, for a function, token and arguments), 1 standard output, 2 standard error, 3
the compiled program, 4 its source. 3 and 4 are closed before the program starts. What a program can reach
here is worth nothing: it holds the input and no expected output, and the parent believes only the value that
comes back.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import io
import marshal
import mmap
import os
import signal
import struct
import sys
import threading
from _sitebuiltins import Quitter  # type: ignore[import-not-found]
from types import CodeType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from . import frames, lcb

FILE_NAME = "<solution>"
FIRST_CLOSED = 5  # descriptors from here on are closed before anything else
RECURSION_LIMIT = 50_000
INT_DIGITS = 50_000
_SIZE = struct.Struct("<Q")
_grant, _granted = sys.setrecursionlimit, sys.getrecursionlimit
# Levels of calls that fit into a MiB: a plain frame takes about 125 bytes, and an exception that unwinds it 0.5 KiB more.
_FRAMES_PER_MB, _UNWOUND_PER_MB = 8192, 1600
_DEEP = 1 << 20  # levels: deeper than honest programs go
_SMALL_MAPPING = 1 << 20
_NAMED_STREAMS = {
    f"{prefix}{name}": descriptor
    for descriptor, word in enumerate(("stdin", "stdout", "stderr"))
    for prefix, name in (("/dev/", word), ("/dev/fd/", descriptor), ("/proc/self/fd/", descriptor))
}
COMPILE_ERRORS = (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError)


class Unusable(Exception):
    """The program does not define what the test calls."""


def open_standard_streams() -> None:
    """Text streams over descriptors 0, 1 and 2, as the interpreter makes them in UTF-8 mode.

    Made once, in the zygote, where the three are /dev/null; nothing is read or written through them there.
    """
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", newline="\n", closefd=False)  # noqa: SIM115
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        stream.buffer.raw.name = f"<{name}>"
        setattr(sys, f"__{name}__", stream)


class Mapping(mmap.mmap):
    """`mmap.mmap` that makes small anonymous mappings private, which is the same in one process.

    Python shares them unless told otherwise, and the filter refuses shared anonymous memory, which nothing could count.
    """

    def __new__(cls, fileno: int, length: int, flags: int = mmap.MAP_SHARED, *rest: Any, **named: Any) -> Mapping:
        if fileno == -1 and length <= _SMALL_MAPPING and flags == mmap.MAP_SHARED and "access" not in named:
            flags = mmap.MAP_PRIVATE
        return super().__new__(cls, fileno, length, flags, *rest, **named)


def name_streams() -> None:
    """Makes `open` take `/dev/stdin` and the like, which lead into a /proc that programs do not have.

    As on a pipe, the opened file goes on where the standard stream is.
    """
    real_open, real_descriptor = io.open, os.open

    def descriptor_of(file: Any) -> int | None:
        path = os.fspath(file) if isinstance(file, (str, bytes, os.PathLike)) else None
        number = _NAMED_STREAMS.get(os.fsdecode(path)) if path is not None else None
        return None if number is None else os.dup(number)

    def open(file: Any, *arguments: Any, **named: Any) -> Any:
        descriptor = descriptor_of(file)
        return real_open(file if descriptor is None else descriptor, *arguments, **named)

    def open_descriptor(path: Any, *arguments: Any, **named: Any) -> int:
        descriptor = descriptor_of(path)
        return real_descriptor(path, *arguments, **named) if descriptor is None else descriptor

    builtins.open = io.open = open
    os.open = open_descriptor


def _read_all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    parts: list[bytes] = []
    while size > 0:
        part = os.pread(descriptor, size, sum(map(len, parts)))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def load_code(mode: str, functional: bool) -> CodeType:
    """The compiled program from descriptor 3, or from the source in 4, which is then kept in 3 for later
    tests.

    The length goes in last: a compiler that is killed half-way leaves nothing behind. Raises COMPILE_ERRORS.
    """
    if stored := _read_all(3):
        loaded: CodeType = marshal.loads(stored[_SIZE.size :])
        return loaded
    source = _read_all(4).decode("utf-8", "surrogatepass")
    if mode != "lcb_compat":
        source = source.removeprefix("\ufeff")
    source.encode("utf-8")
    code = compile(lcb.transform(source, functional) if mode == "lcb_compat" else source, FILE_NAME, "exec",
                   dont_inherit=True)  # fmt: skip
    body = marshal.dumps(code)
    os.pwrite(3, body, _SIZE.size)
    os.pwrite(3, _SIZE.pack(len(body)), 0)
    return code


def compiled_size(descriptor: int) -> int:
    """Length of the compiled program in `descriptor`, 0 if it never got that far."""
    head = os.pread(descriptor, _SIZE.size, 0)
    return int(_SIZE.unpack(head)[0]) if len(head) == _SIZE.size else 0


def bound_recursion(memory_mb: int) -> None:
    """Caps what `sys.setrecursionlimit` grants programs with so much memory: Python's own frames live on the heap,
    and endless recursion would fill it for seconds before it failed. A million levels are granted where their frames fit,
    more only where there is room to unwind them.
    """
    levels = max(memory_mb * _UNWOUND_PER_MB, min(memory_mb * _FRAMES_PER_MB, _DEEP), RECURSION_LIMIT)
    asked = 0

    def setrecursionlimit(limit: int, /) -> None:
        nonlocal asked
        _grant(min(limit, levels) if type(limit) is int else limit)
        asked = limit

    def getrecursionlimit() -> int:
        return asked or _granted()

    sys.setrecursionlimit = setrecursionlimit
    sys.getrecursionlimit = getrecursionlimit


def run(mode: str, function: str | None, streams: bool, files: bool, on_ready: Callable[[], None]) -> int:
    """Compiles or loads the program, reports ready, runs it. Returns the exit status. `streams`: see `name_streams`;
    `files`: it may have files open at its end.
    """
    try:
        wrapped = function is None or (mode == "lcb_compat" and function == lcb.TEXTS_IN_TURN)
        code = load_code(mode, not wrapped)
    except COMPILE_ERRORS as error:
        _report(error)
        return 1
    token, arguments = _read_arguments() if function is not None else (b"", [])
    os.closerange(3, FIRST_CLOSED)
    if streams:
        name_streams()
    on_ready()
    value = b""
    try:
        if function is None:
            status = (lcb.run_stdio if mode == "lcb_compat" else _run_stdio)(code)
        else:
            result = (lcb.call if mode == "lcb_compat" else _call)(code, function, arguments)
            value = _encode(result)
            status = 0
    except SystemExit as error:
        status = _exit_status(error)
        if function is not None:
            status = lcb.RUNNER_ERROR if mode == "lcb_compat" else status or 1
    except BaseException as error:  # noqa: BLE001 - this is the interpreter's top level
        status = _report(error)
        if mode == "lcb_compat" and not isinstance(error, Exception):
            status = lcb.RUNNER_ERROR
    if (
        mode != "lcb_compat" and status == 0
    ):  # officially the grader lives on: threads and handlers do not count
        _exit_handlers()
    if files and mode != "lcb_compat":
        _flush_files()
    return _finish(status, token, value)


def _read_arguments() -> tuple[bytes, list[Any]]:
    data = _read_all(0)
    os.lseek(0, 0, os.SEEK_END)
    return data[: frames.TOKEN_BYTES], frames.decode(data[frames.TOKEN_BYTES :])


def _encode(result: Any) -> bytes:
    try:
        return frames.encode(result)
    except (RecursionError, RuntimeError, TypeError, ValueError):
        return frames.encode(object())


def _run_stdio(code: CodeType) -> int:
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    space = module.__dict__
    space["__builtins__"] = builtins
    space["__annotations__"] = {}
    space["__file__"] = sys.argv[0]
    exec(code, space)
    return 0


def _call(code: CodeType, function: str, arguments: list[Any]) -> Any:
    """The value of the named method of `Solution`, or of the named function; LeetCode's names are
    predefined.
    """
    module = sys.modules["solution"] = ModuleType("solution")
    space = module.__dict__
    space.update(lcb.prelude())
    space["__name__"] = "solution"
    exec(code, space)
    solution = space.get("Solution")
    owner = solution() if isinstance(solution, type) and hasattr(solution, function) else module
    if not hasattr(owner, function):
        raise Unusable(f"the program defines no function {function!r}")
    return getattr(owner, function)(*arguments)


def _exit_status(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return int(error.code) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def _report(error: BaseException) -> int:
    """Writes the traceback as the interpreter would; a MemoryError is named last, so that the parent sees
    it.
    """
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != FILE_NAME:
            trace = trace.tb_next
        sys.excepthook(type(error), BaseException.with_traceback(error, trace), trace)
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - the program may have replaced the hook or the stream
        os.write(2, f"{type(error).__name__}\n".encode("utf-8", "replace"))
    if isinstance(error, MemoryError):
        os.write(2, b"MemoryError\n")
    return 1


def _flush_files() -> None:
    """The interpreter flushes files as they die; this process ends without that, so it is done for those that are left,
    text before bytes. (Of what the zygote had, which is frozen, none is looked at.)
    """
    files = [one for one in gc.get_objects() if type(one) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)]
    for file in sorted(files, key=lambda one: type(one) is not io.TextIOWrapper):
        try:
            if not file.closed and file.writable():
                file.flush()
        except (OSError, ValueError):  # a closed or full descriptor; the interpreter says so and goes on
            continue


def _exit_handlers() -> None:
    """Waits for the program's threads and runs what it registered with atexit, as the interpreter does."""
    try:
        if len(threading.enumerate()) > 1:
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException as error:  # noqa: BLE001 - hostile code runs here
        _report(error)


def _finish(status: int, token: bytes, value: bytes) -> int:
    """Flushes and, for a function that returned, appends the sealed value to the output."""
    for stream in (sys.stdout, sys.__stdout__):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BaseException:  # noqa: BLE001 - a closed or replaced stream: the interpreter exits with 120
            status = status or 120
    try:
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - the interpreter ignores this one
        os.closerange(2, 3)
    if value and status == 0:
        data = memoryview(frames.seal(value, token))
        os.lseek(1, 0, os.SEEK_END)
        while data:
            data = data[os.write(1, data) :]
    return status


def prepare(full: bool) -> None:
    """Once a zygote: the parts of `site` that programs use and, if `full`, what functions and `lcb_compat` need
    and most other programs would pay for.
    """
    global frames, lcb
    builtins.exit = Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = Quitter("quit", "Ctrl-D (i.e. EOF)")
    sys.set_int_max_str_digits(INT_DIGITS)
    sys.argv = ["solution.py"]
    Mapping.__name__ = Mapping.__qualname__ = Mapping.__module__ = "mmap"
    mmap.mmap = Mapping  # type: ignore[misc]
    open_standard_streams()
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if full:
        from . import frames, lcb

        lcb.prelude()
