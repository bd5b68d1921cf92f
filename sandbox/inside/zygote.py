"""The zygote: a warm, trusted interpreter that forks one locked-down process a test and watches it.

Two processes: the launcher, outside the namespaces, ends the zygote when the executor dies (a pidfd: no
thread and no inherited socket can hide that); the zygote is the first process of its PID namespace, so all
die with it. The zygote runs no untrusted code, never parses what a program writes, and holds no expected
output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import mmap
import os
import random
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from . import harness, kernel, landlock, lockdown, namespaces, protocol, seccomp

_WATCH_S = 0.05  # how often a running program's threads and memory are looked at
_FREE_DESCRIPTOR = (
    10  # below it nothing is ever opened, so that dup2 onto 0..4 cannot hit a descriptor in use
)
_FIRST_UID = 1_000_000


@dataclass
class Sample:
    """The program in hand: mode, limits, and the descriptors of its source and of its compiled form."""

    mode: str
    cpu_s: float
    wall_s: float
    memory_mb: int
    output_mb: int
    source: int
    compiled: int
    failed: bool = False


class NumpyFinder(importlib.abc.MetaPathFinder):
    """Finds numpy, and nothing else, in the folder that the parent found it in."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The specification of numpy itself; its parts are found along its own path."""
        if name != "numpy":
            return None
        file = os.path.join(self.folder, "__init__.py")
        return importlib.util.spec_from_file_location(name, file, submodule_search_locations=[self.folder])


def library_paths(numpy: str | None) -> list[str]:
    """What programs may read: the standard library first, then numpy, then where shared libraries live."""
    standard = os.path.dirname(os.__file__)
    paths = [standard]
    paths += [
        p for p in sys.path if os.path.exists(p) and not p.startswith(standard + os.sep) and p != standard
    ]
    if numpy:
        paths += [numpy, numpy + ".libs"]
    triplet = f"{kernel.MACHINE}-linux-gnu"
    paths += [f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib64", "/usr/lib64", "/etc/ld.so.cache"]
    return paths


def _hidden_paths() -> list[str]:
    standard = os.path.dirname(os.__file__)
    return [os.path.join(standard, name) for name in ("site-packages", "dist-packages")]


def _landlock_rules(tier: str, paths: list[str]) -> list[tuple[str, int]]:
    rules = [(device, landlock.DEVICE) for device in namespaces.DEVICES]
    if tier != "landlock":
        return rules + [("/tmp", landlock.READ_WRITE)] + [(path, landlock.READ) for path in paths]
    # No mounts to hide site-packages with: the library's entries one by one, names only for the folder.
    standard, hidden = paths[0], _hidden_paths()
    entries = [entry.path for entry in os.scandir(standard) if entry.path not in hidden]
    return rules + [(standard, landlock.LIST)] + [(path, landlock.READ) for path in entries + paths[1:]]


def _spare_uid(number: int) -> int | None:
    """A user id that only this worker's programs have, so that RLIMIT_NPROC counts them alone; None if not
    root.
    """
    if os.geteuid() != 0:
        return None
    with open("/proc/self/uid_map", encoding="ascii") as file:
        end = max(int(start) + int(count) for start, _, count in (line.split() for line in file))
    for uid in (_FIRST_UID + number, 60_000 + number % 5_000):
        if uid < end:
            return uid
    return None


def _can_run_as(uid: int, library: str) -> bool:
    """Whether a process may become `uid` and still read the standard library (tried in a child)."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with open(os.path.join(library, "os.py"), "rb") as file:
                status = 0 if file.read(1) else 1
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _address_space(proc: int | None) -> int:
    """This process's virtual size in bytes, from the /proc that `proc` is open on, or from the usual one."""
    descriptor = os.open("/proc/self/statm" if proc is None else "self/statm", os.O_RDONLY, dir_fd=proc)
    with open(descriptor, encoding="ascii") as file:
        return int(file.read().split()[0]) * mmap.PAGESIZE


def _kernel_version() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


class Zygote:
    """One worker's zygote; making it enters the isolation of its tier. Raises OSError if that is refused."""

    def __init__(self, connection: socket.socket, setup: dict[str, Any]) -> None:
        self.connection = connection
        self.tier: str = setup["tier"]
        self.namespaced = self.tier in ("root", "userns")
        self.notes: list[str] = []
        self.paths = library_paths(setup["numpy"])
        uid = _spare_uid(setup["number"]) if self.tier in ("root", "landlock") else None
        base_bytes = _address_space(None)
        self.proc = self._enter()
        if uid is not None and not _can_run_as(uid, self.paths[0]):
            uid = None
        if self.tier == "root" and uid is None:
            raise PermissionError("the programs cannot run under a user id of their own")
        if self.tier == "landlock" and uid is None and os.geteuid() == 0:
            self.notes.append(
                "programs keep user id 0, without capabilities: no other one can read the library"
            )
        self._find_numpy(setup["numpy"], setup["import_numpy"])
        if self.proc is not None:
            base_bytes = _address_space(self.proc)
        self.ruleset = self._make_ruleset()
        counted = uid is not None or (self.tier == "userns" and _kernel_version() >= (5, 14))
        self.lock = lockdown.Lock(
            uid=uid, ruleset=self.ruleset, filter=None if self.tier == "unsafe" else seccomp.Filter(),
            base_bytes=base_bytes, count_threads=counted,
        )  # fmt: skip
        lockdown.prepare_zygote(self.lock)
        self.shared = mmap.mmap(-1, mmap.PAGESIZE)
        self.errors = Errors()
        self.sample: Sample | None = None

    def _enter(self) -> int | None:
        """Moves into the tier's file system. Returns a descriptor of /proc for counting threads, or None."""
        if not self.namespaced:
            os.chdir("/")
            return os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if os.getpid() != 1:
            raise OSError("not the first process of a PID namespace")  # kill(-1) would reach the host
        proc = namespaces.build_root(self.paths, _hidden_paths())
        self.paths = [namespaces.place(path) for path in self.paths]
        sys.path[:] = [namespaces.place(path) for path in sys.path]
        importlib.invalidate_caches()
        socket.sethostname("sandbox")
        if proc is None:
            self.notes.append("no private /proc: threads are bounded by RLIMIT_NPROC alone")
        return proc

    def _find_numpy(self, folder: str | None, now: bool) -> None:
        if folder:
            sys.meta_path.append(NumpyFinder(namespaces.place(folder) if self.namespaced else folder))
        if folder and now:
            importlib.import_module("numpy")

    def _make_ruleset(self) -> int | None:
        if self.tier == "unsafe":
            return None
        try:
            return landlock.make_ruleset(_landlock_rules(self.tier, self.paths))
        except OSError:
            if self.tier == "landlock":
                raise
            self.notes.append("no Landlock in this kernel: files are hidden by the mount namespace alone")
            return None

    def serve(self) -> None:
        """Answers messages until the parent hangs up."""
        protocol.send(self.connection, {"ready": True, "notes": self.notes}, [])
        while True:
            message, descriptors, _ = protocol.receive(self.connection)
            if message["op"] == "sample":
                self._begin(message, descriptors)
            else:
                outcome, errors = self._test(message, descriptors)
                protocol.send(self.connection, outcome, [], errors)

    def _begin(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if self.sample is not None:
            os.close(self.sample.source)
            os.close(self.sample.compiled)
        del message["op"]
        self.sample = Sample(**message, source=descriptors[0], compiled=descriptors[1])
        self._prepare()

    def _prepare(self) -> None:
        """The calls that lock the programs of this sample down."""
        if (sample := self.sample) is not None:
            self.steps = lockdown.prepare(self.lock, sample.cpu_s, sample.memory_mb, sample.output_mb)

    def _test(self, message: dict[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], bytes | memoryview]:
        sample = self.sample
        assert sample is not None
        if sample.failed:
            for descriptor in descriptors:
                os.close(descriptor)
            return {"reached": protocol.LOCKED, "skipped": True}, b""
        self.shared[0] = protocol.FORKED
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        started = time.monotonic()
        pid = kernel.fork()
        if pid == 0:
            self._become_program(sample, message["function"], [*descriptors, write_end])
        for descriptor in (*descriptors, write_end):
            os.close(descriptor)
        os.set_blocking(read_end, False)
        pidfd = os.pidfd_open(pid)
        try:
            killed = self._watch(pid, pidfd, read_end, started, sample)
        finally:
            self._kill_all(pid)
            _, status, usage = os.wait4(pid, 0)
            os.close(pidfd)
        wall = time.monotonic() - started
        errors = self.errors.take(read_end)
        os.close(read_end)
        self._clean()
        reached = self.shared[0]
        if reached == protocol.LOCKED:
            sample.failed = True
        outcome = {
            "reached": reached, "killed": killed, "status": os.waitstatus_to_exitcode(status),
            "cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": wall, "peak_kb": usage.ru_maxrss,
        }  # fmt: skip
        return outcome, errors

    def _become_program(self, sample: Sample, function: str | None, descriptors: list[int]) -> None:
        """In the child: lock down, run, and never return."""
        status = 1
        try:
            zygote = 1 if self.namespaced else os.getppid()
            for target, descriptor in enumerate([*descriptors, sample.compiled, sample.source]):
                os.dup2(descriptor, target, inheritable=False)
            if self.tier == "unsafe":
                os.setsid()
            lockdown.apply(self.lock, self.steps)
            if os.getppid() != zygote and not self.namespaced:
                os._exit(1)
            os.closerange(harness.FIRST_CLOSED, 1 << 20)
            self.shared[0] = protocol.LOCKED
            status = harness.run(sample.mode, function, sample.memory_mb, self._started)
        except BaseException as error:  # noqa: BLE001 - the last line of defence: report, and never go on
            os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace")[:2000])
        finally:
            os._exit(status)

    def _started(self) -> None:
        self.shared[0] = protocol.STARTED
        self.shared.close()

    def _watch(self, pid: int, pidfd: int, read_end: int, started: float, sample: Sample) -> str | None:
        """Waits for the program's end or a limit. Returns why it must be killed, or None."""
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(read_end, select.POLLIN)
        poll.register(self.connection, 0)
        clock = (~pid << 3) | 2  # the process's CPU clock: MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h
        step = _WATCH_S if self.proc is not None else sample.wall_s
        wait = min(sample.wall_s, sample.cpu_s, step)
        while True:
            for descriptor, event in poll.poll(max(1, wait * 1000)):
                if descriptor == pidfd:
                    return None
                if descriptor == self.connection.fileno():
                    os._exit(0)  # the executor is gone, and with this process all of its programs
                if event & select.POLLIN:
                    self.errors.read(read_end)
                else:
                    poll.unregister(read_end)
            wall_left = started + sample.wall_s - time.monotonic()
            cpu_left = sample.cpu_s - time.clock_gettime(clock)
            if wall_left <= 0:
                return "wall"
            if cpu_left <= 0:
                return "cpu"
            if (excess := self._excess(pid, sample.memory_mb)) is not None:
                return excess
            wait = min(wall_left, cpu_left, step)

    def _excess(self, pid: int, memory_mb: int) -> str | None:
        """What the program has too much of; proc(5), stat: fields 20 (threads) and 24 (resident pages)."""
        if self.proc is None:
            return None
        try:
            descriptor = os.open(f"{pid}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.proc)
        except FileNotFoundError:
            return None
        try:
            fields = os.read(descriptor, 4096).rpartition(b")")[2].split()
        finally:
            os.close(descriptor)
        if int(fields[17]) > lockdown.THREADS:
            return "threads"
        return "memory" if int(fields[21]) * mmap.PAGESIZE > memory_mb << 20 else None

    def _kill_all(self, pid: int) -> None:
        """Ends the program: in a PID namespace everything but this process, otherwise the one process it can
        be.
        """
        for kill, target in ((os.kill, pid), (os.kill, -1) if self.namespaced else (os.killpg, pid)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(target, signal.SIGKILL)

    def _clean(self) -> None:
        """Reaps strays and gives the next program an empty /tmp."""
        if not self.namespaced:
            return
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        if os.listdir("/tmp"):
            namespaces.renew_tmp()
            if self.ruleset is not None:
                os.close(self.ruleset)
            self.ruleset = self._make_ruleset()
            self.lock = dataclasses.replace(self.lock, ruleset=self.ruleset)
            self._prepare()


class Errors:
    """Standard error, bounded: its first and its last bytes; what lies between is dropped.

    The bytes lie in memory that no fork inherits: what one program wrote is nothing for the next to find.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 2 * protocol.STDERR_BYTES)
        self._memory.madvise(mmap.MADV_DONTFORK)
        self._view = memoryview(self._memory)
        self.length = 0

    def read(self, descriptor: int) -> bool:
        """Takes what is there. Returns whether there may be more."""
        half = protocol.STDERR_BYTES // 2
        try:
            count = os.readv(descriptor, [self._view[self.length :]])
        except BlockingIOError:
            return False
        self.length += count
        if self.length > 2 * half:
            self._memory.move(half, self.length - half, half)
            self.length = 2 * half
        return count > 0

    def take(self, descriptor: int) -> memoryview:
        """All of it, with the rest, which a pipe bounds, after the last writer has died; valid until the next read."""
        while self.read(descriptor):
            pass
        length, self.length = self.length, 0
        return self._view[:length]


def _launch(connection: socket.socket, parent: int) -> None:
    """Enters the namespaces, forks the zygote, and stays as its keeper until it or the executor ends."""
    setup, _, _ = protocol.receive(connection)
    setup["number"] = os.getpid() % 4_000_000
    parent_fd = os.pidfd_open(parent)
    if os.getppid() != parent:
        return
    if setup["tier"] in ("root", "userns"):
        namespaces.enter(user=setup["tier"] == "userns")
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(parent_fd)
        _serve(connection, setup, keeper)
    connection.close()
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(parent_fd, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _serve(connection: socket.socket, setup: dict[str, Any], keeper: int) -> None:
    """The zygote's life; it ends here and never returns into the launcher."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() not in (keeper, 0):
            os._exit(0)
        if setup["tier"] != "unsafe":
            os.setsid()
        zygote = Zygote(connection, setup)
        for name in [name for name in sys.modules if name.partition(".")[0] == "inside"]:
            del sys.modules[name]  # nothing for a program to import; here they live on
        os.environ.clear()
        random.seed(0)
        gc.collect()
        gc.freeze()
        zygote.serve()
    except EOFError:
        pass
    except (OSError, ImportError, ValueError) as error:
        _refuse(connection, error)
    finally:
        os._exit(0)


def _refuse(connection: socket.socket, error: Exception) -> None:
    with contextlib.suppress(OSError):
        protocol.send(connection, {"ready": False, "reason": f"{type(error).__name__}: {error}"[:500]}, [])


def main(descriptor: int, parent: int) -> None:
    """Entry point of the process that the executor starts with an empty environment."""
    for _ in range(descriptor, _FREE_DESCRIPTOR):
        os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FREE_DESCRIPTOR)
    os.close(descriptor)
    os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    connection = socket.socket(fileno=high)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    harness.prepare()
    try:
        _launch(connection, parent)
    except (OSError, EOFError) as error:
        _refuse(connection, error)
