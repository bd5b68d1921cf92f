"""The zygote: a warm, trusted interpreter that forks one locked-down process a test and watches it.

Two processes: the launcher, outside the namespaces, ends the zygote when the executor dies (a pidfd: no
thread and no inherited socket can hide that); the zygote is the first process of its PID namespace, so all
die with it. The zygote runs no untrusted code, never parses what a program writes, and holds no expected
output.
"""

from __future__ import annotations

import bisect  # noqa: F401 - these few are for programs: each module here makes every fork slower
import fcntl
import gc
import heapq  # noqa: F401
import mmap
import os
import random
import select
import signal
import socket
import sys
import time

from . import cgroups, harness, kernel, landlock, lockdown, namespaces, protocol, seccomp
from .standard_error import Errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    import importlib.machinery
    from typing import Any, NoReturn

_SHARED = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
_WATCH_S = 0.05  # how often a running program's threads and memory are looked at
_FREE_DESCRIPTOR = (
    10  # below it nothing is ever opened, so that dup2 onto 0..4 cannot hit a descriptor in use
)
_FIRST_UID = 1_000_000


class Sample:
    """The program in hand: its limits, and whether it did not compile. Source and compiled form are open as
    descriptors 4 and 3.
    """

    def __init__(
        self, mode: str, cpu_s: float, wall_s: float, memory_mb: int, output_mb: int, streams: bool, files: bool
    ) -> None:
        self.mode = mode
        self.cpu_s = cpu_s
        self.wall_s = wall_s
        self.memory_mb = memory_mb
        self.output_mb = output_mb
        self.streams = streams
        self.files = files
        self.failed = False


class NumpyFinder:
    """Finds numpy, and nothing else, in the folder that the parent found it in."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The specification of numpy itself; its parts are found along its own path."""
        if name != "numpy":
            return None
        import importlib.util

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
    rules = [*((device, landlock.DEVICE) for device in namespaces.DEVICES), (namespaces.ZERO, landlock.READ)]
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

    def __init__(self, connection: socket.socket, setup: dict[str, Any], group: cgroups.Group | None) -> None:
        self.connection = connection
        self.group = group
        self.tier: str = setup["tier"]
        self.namespaced = self.tier in ("root", "userns")
        self.notes: list[str] = [setup["without_group"]] if setup["without_group"] else []
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
        self._find_numpy(setup["numpy"], setup["preload"] == "numpy")
        if self.proc is not None:
            base_bytes = _address_space(self.proc)
        self.ruleset = self._make_ruleset()
        counted = uid is not None or (self.tier == "userns" and _kernel_version() >= (5, 14))
        self.lock = lockdown.Lock(
            uid=uid, ruleset=self.ruleset, filter=None if self.tier == "unsafe" else seccomp.Filter(),
            base_bytes=base_bytes, count_threads=counted,
        )  # fmt: skip
        lockdown.prepare_zygote(self.lock)
        self.shared = mmap.mmap(-1, mmap.PAGESIZE, _SHARED)
        self.errors = Errors()
        self.poll = select.poll()
        self.poll.register(connection, 0)
        self.tmp_made = os.stat("/tmp").st_mtime_ns if self.namespaced else 0  # programs cannot set it back
        self.sample = Sample("native", 1, 1, 16, 1, False, False)

    def _enter(self) -> int | None:
        """Moves into the tier's file system. Returns a descriptor of /proc for counting threads, or None."""
        if not self.namespaced:
            os.chdir("/")
            return os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if os.getpid() != 1:
            raise OSError("not the first process of a PID namespace")  # kill(-1) would reach the host
        devices = [*namespaces.DEVICES, *([namespaces.ZERO] if landlock.abi() else [])]
        proc = namespaces.build_root(self.paths, _hidden_paths(), devices)
        self.paths = [namespaces.place(path) for path in self.paths]
        sys.path[:] = [namespaces.place(path) for path in sys.path]
        sys.path_importer_cache.clear()
        socket.sethostname("sandbox")
        if proc is None:
            self.notes.append("no private /proc: threads are bounded by RLIMIT_NPROC alone")
        return proc

    def _find_numpy(self, folder: str | None, now: bool) -> None:
        if folder:
            finder = NumpyFinder(namespaces.place(folder) if self.namespaced else folder)
            sys.meta_path.append(finder)  # type: ignore[arg-type]
        if folder and now:
            __import__("numpy")

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

    def serve(self) -> NoReturn:
        """Answers messages until the parent hangs up. Raises EOFError then."""
        notes = b",".join(map(protocol.text, self.notes))
        self.connection.send(b'{"ready":true,"notes":[%s]}\n' % notes)
        while True:
            message, descriptors = protocol.receive(self.connection)
            assert descriptors is not None
            if type(message) is tuple:
                self._begin(Sample(*message), *descriptors)
            else:
                self._test(message, *descriptors)

    def _begin(self, sample: Sample, source: int, compiled: int) -> None:
        self.sample = sample
        for target, descriptor in ((4, source), (3, compiled)):
            os.dup2(descriptor, target, inheritable=False)
            os.close(descriptor)
        harness.bound_recursion(sample.memory_mb)
        if self.group is not None:
            self.group.bound(sample.memory_mb, sample.output_mb)
        self._prepare()

    def _prepare(self) -> None:
        """The calls that lock the programs of this sample down."""
        sample = self.sample
        self.steps = lockdown.prepare(self.lock, sample.cpu_s, sample.memory_mb, sample.output_mb)

    def _test(self, function: str | None, given: int, output: int) -> None:
        sample, shared = self.sample, self.shared
        if sample.failed:
            os.close(given)
            os.close(output)
            self.connection.send(b'{"reached":%d,"skipped":true}\n' % protocol.LOCKED)
            return
        shared[0] = protocol.FORKED
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        started = time.monotonic()
        pid = kernel.fork()
        if pid == 0:
            self._become_program(function, given, output, write_end)
        os.close(given)
        os.close(output)
        os.close(write_end)
        os.set_blocking(read_end, False)
        pidfd = os.pidfd_open(pid)
        try:
            killed = self._watch(pid, pidfd, read_end, started)
        finally:
            self._kill_all(pid)
            _, status, usage = os.wait4(pid, 0)
            os.close(pidfd)
        wall = time.monotonic() - started
        errors = self.errors.take(read_end)
        os.close(read_end)
        self._clean()
        reached = shared[0]
        if reached == protocol.LOCKED:
            sample.failed = True
        if status == signal.SIGKILL and not killed and self.group is not None and (cause := self.group.killed_for()):
            if cause == "machine":
                self.connection.send(b'{"reason":"the machine ran out of memory"}\n')
                return
            killed = b"memory"
        head = b'{"reached":%d,"killed":%s,"status":%d,"cpu_s":%.6f,"wall_s":%.6f,"peak_kb":%d}\n' % (
            reached, b'"%s"' % killed if killed else b"null", os.waitstatus_to_exitcode(status),
            usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss,
        )  # fmt: skip
        self.connection.sendmsg([head, errors])

    def _become_program(self, function: str | None, given: int, output: int, errors: int) -> NoReturn:
        """In the child: lock down, run, and never return."""
        status = 1
        try:
            zygote = 1 if self.namespaced else os.getppid()
            os.dup2(given, 0, inheritable=False)
            os.dup2(output, 1, inheritable=False)
            os.dup2(errors, 2, inheritable=False)
            if self.tier == "unsafe":
                os.setsid()
            lockdown.apply(self.lock, self.steps)
            if not self.namespaced and os.getppid() != zygote:
                os._exit(1)
            os.closerange(harness.FIRST_CLOSED, 1 << 20)
            self.shared[0] = protocol.LOCKED
            status = harness.run(self.sample.mode, function, self.sample.streams, self.sample.files, self._started)
        except BaseException as error:  # noqa: BLE001 - the last line of defence: report, and never go on
            os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace")[:2000])
        finally:
            os._exit(status)

    def _started(self) -> None:
        self.shared[0] = protocol.STARTED
        self.shared.close()

    def _watch(self, pid: int, pidfd: int, read_end: int, started: float) -> bytes | None:
        """Waits for the program's end or a limit. Returns why it must be killed, or None."""
        poll, sample = self.poll, self.sample
        poll.register(pidfd, select.POLLIN)
        poll.register(read_end, select.POLLIN)
        closed = False
        try:
            clock = (~pid << 3) | 2  # the process's CPU clock: MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h
            step = _WATCH_S if self.proc is not None else sample.wall_s
            wait = min(sample.wall_s, sample.cpu_s, step)
            while True:
                for descriptor, event in poll.poll(max(1, wait * 1000)):
                    if descriptor == pidfd:
                        return None
                    if descriptor == read_end and event & select.POLLIN:
                        self.errors.read(read_end)
                    elif descriptor == read_end:
                        poll.unregister(read_end)
                        closed = True
                    else:
                        os._exit(0)  # the executor is gone, and with this process all of its programs
                wall_left = started + sample.wall_s - time.monotonic()
                cpu_left = sample.cpu_s - time.clock_gettime(clock)
                if wall_left <= 0:
                    return b"wall"
                if cpu_left <= 0:
                    return b"cpu"
                if (excess := self._excess(pid, sample.memory_mb)) is not None:
                    return excess
                wait = min(wall_left, cpu_left, step)
        finally:
            poll.unregister(pidfd)
            if not closed:
                poll.unregister(read_end)

    def _excess(self, pid: int, memory_mb: int) -> bytes | None:
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
            return b"threads"
        return b"memory" if int(fields[21]) * mmap.PAGESIZE > memory_mb << 20 else None

    def _kill_all(self, pid: int) -> None:
        """Ends the program: in a PID namespace everything but this process, otherwise the one process it can
        be.
        """
        try:
            if self.namespaced:
                os.kill(-1, signal.SIGKILL)
                return
            os.kill(pid, signal.SIGKILL)
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def _clean(self) -> None:
        """Reaps strays and gives the next program an empty /tmp."""
        if not self.namespaced:
            return
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        if os.listdir("/tmp") or os.stat("/tmp").st_mtime_ns != self.tmp_made:  # the clock of files is a coarse one
            namespaces.renew_tmp()
            self.tmp_made = os.stat("/tmp").st_mtime_ns
            if self.ruleset is not None:
                os.close(self.ruleset)
            self.ruleset = self._make_ruleset()
            self.lock.ruleset = self.ruleset
            self._prepare()


def _launch(connection: socket.socket, parent: int) -> None:
    """Enters the namespaces, forks the zygote, and stays as its keeper until it or the executor ends."""
    setup, _ = protocol.receive(connection)
    setup["number"] = os.getpid() % 4_000_000
    harness.prepare(full=setup["preload"] != "light")
    parent_fd = os.pidfd_open(parent)
    if os.getppid() != parent:
        return
    group = _make_group(setup)
    if setup["tier"] in ("root", "userns"):
        namespaces.enter(user=setup["tier"] == "userns")
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(parent_fd)
        _serve(connection, setup, keeper, group)
    connection.close()
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(parent_fd, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if group is None:
        return
    exhausted = status == signal.SIGKILL and group.killed_for() == "limit"
    group.remove()
    if exhausted:
        os._exit(protocol.EXHAUSTED)


def _make_group(setup: dict[str, Any]) -> cgroups.Group | None:
    """The worker's control group, or None, and why, in the setup."""
    setup["without_group"] = ""
    if setup["tier"] == "unsafe":
        return None
    try:
        return cgroups.Group()
    except OSError as error:
        setup["without_group"] = f"no control group of its own: {error}"
        return None


def _serve(connection: socket.socket, setup: dict[str, Any], keeper: int, group: cgroups.Group | None) -> None:
    """The zygote's life; it ends here and never returns into the launcher."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() not in (keeper, 0):
            os._exit(0)
        if setup["tier"] != "unsafe":
            os.setsid()
        if group is not None:
            group.join()
            group.hide()
        zygote = Zygote(connection, setup, group)
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
    reason = protocol.text(f"{type(error).__name__}: {error}"[:500])
    try:
        connection.send(b'{"ready":false,"reason":%s}\n' % reason)
    except OSError:  # nobody is left to be told
        return


def main(descriptor: int, parent: int) -> None:
    """Entry point of the process that the executor starts with an empty environment."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FREE_DESCRIPTOR)
    os.close(descriptor)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    while (last := os.dup(null)) < _FREE_DESCRIPTOR:
        pass
    os.close(last)
    connection = socket.socket(fileno=high)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _launch(connection, parent)
    except (OSError, EOFError) as error:
        _refuse(connection, error)
