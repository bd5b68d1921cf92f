"""A control group for a worker, where the machine lets one be made: version 2, else 1 (cgroups(7)).

It holds the zygote and its programs, so joining costs a program nothing. It is a backstop behind the limits of each
program: it also counts what resident size does not, such as kernel memory, pipes and files in memory, and it holds
between two looks of the zygote. The launcher makes it before it leaves the host's namespaces, works through
descriptors afterwards, and removes it.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

from . import lockdown

PREFIX = "klear-sandbox-"
_KEPT_OUTPUTS = 5  # written by programs, waiting for the parent to read them
_OTHER_MB = 96  # /tmp, the zygote itself, the kernel's part
_MEMORY = {  # version: what bounds memory, counts kills, counts how often the bound was met, keeps the group out of swap
    2: ("memory.max", "memory.events", "memory.events", ("memory.swap.max", "0")),
    1: ("memory.limit_in_bytes", "memory.oom_control", "memory.failcnt", ("memory.swappiness", "0")),
}
_SEEN = struct.Struct("=2Q")


def _mount_point(version: int, controller: str) -> str:
    """Where the hierarchy with this controller is mounted (proc(5), mounts). Raises OSError for none."""
    kind = "cgroup2" if version == 2 else "cgroup"
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, point, found, options = line.split()[:4]
            if found == kind and (version == 2 or controller in options.split(",")):
                return point
    raise OSError(f"no {controller} controller is mounted")


def _own_folder(version: int, controller: str) -> str:
    """This process's group; the top of the hierarchy where a container hides the way there. Raises OSError."""
    point = _mount_point(version, controller)
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            if not names if version == 2 else controller in names.split(","):
                folder = os.path.normpath(point + path)
                return folder if os.path.isdir(folder) else point
    return point


def _remove(path: str, folder: int | None = None) -> bool:
    """Whether the group is gone; the kernel keeps one that has processes."""
    try:
        os.rmdir(path, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _counter(descriptor: int, name: bytes) -> int:
    """The number behind the name, or the only one of the file."""
    words = os.pread(descriptor, 4096, 0).split()
    return int(words[words.index(name) + 1] if name in words else words[0])


class Group:
    """The group of the launcher that makes it. Raises OSError where the machine refuses one."""

    def __init__(self) -> None:
        self.name = f"{PREFIX}{os.getpid()}"
        self._folders: list[int] = []
        self._members: list[int] = []
        self._descriptors: list[int] = []
        self._bound = 0
        self._seen = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)  # shared by launcher and zygote
        reasons = []
        for version in (2, 1):
            try:
                self._make(version)
                return
            except OSError as error:
                reasons.append(f"version {version}: {error.strerror or error}")
                self.remove()
        raise OSError("; ".join(reasons))

    def _make(self, version: int) -> None:
        limit, kills, met, (swap, none) = _MEMORY[version]
        path = self._make_folder(version, "memory", limit)
        self._descriptors = [os.open(f"{path}/{limit}", os.O_WRONLY | os.O_CLOEXEC),
                             os.open(f"{path}/{kills}", os.O_RDONLY | os.O_CLOEXEC),
                             os.open(f"{path}/{met}", os.O_RDONLY | os.O_CLOEXEC)]  # fmt: skip
        if os.path.exists(f"{path}/{swap}"):
            _write(f"{path}/{swap}", none)
        if version == 1:
            path = self._make_folder(version, "pids", "pids.max")
        _write(f"{path}/pids.max", str(lockdown.THREADS + 4))

    def _make_folder(self, version: int, controller: str, needed: str) -> str:
        """Makes the group inside this process's own or, in version 2, where a group with processes hands no
        controller down, beside it. Raises OSError.
        """
        own = _own_folder(version, controller)
        reason = OSError(f"{needed} is not handed down")
        for folder in (own, os.path.dirname(own)) if version == 2 else (own,):
            path = os.path.join(folder, self.name)
            try:
                self._remove_stale(folder)
                os.mkdir(path)
                if os.path.exists(f"{path}/{needed}"):
                    self._members.append(os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
                    self._folders.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                    return path
                _remove(path)
            except OSError as error:
                reason = error
        raise reason

    def _remove_stale(self, folder: str) -> None:
        """Removes what killed launchers left; the kernel refuses to where processes are left."""
        for name in os.listdir(folder):
            if name.startswith(PREFIX) and (name == self.name or not os.path.exists(f"/proc/{name[len(PREFIX) :]}")):
                _remove(os.path.join(folder, name))

    def join(self) -> None:
        """Puts this process, and with it what it forks, into the group. Raises OSError."""
        for descriptor in self._members:
            os.write(descriptor, b"0")

    def bound(self, memory_mb: int, output_mb: int) -> None:
        """Sets the limit for programs that may use so much; the kernel may refuse to go below what is in use."""
        limit = memory_mb + _KEPT_OUTPUTS * output_mb + _OTHER_MB
        if limit != self._bound:
            try:
                os.pwrite(self._descriptors[0], b"%d" % (limit << 20), 0)
            except OSError:  # in use: the limit of the sample before stays
                return
            self._bound = limit

    def hide(self) -> None:
        """In the zygote: keeps from programs what it shares with the launcher."""
        self._seen.madvise(mmap.MADV_DONTFORK)

    def killed_for(self) -> str:
        """Why the kernel has ended a process for want of memory since the last call, the launcher's or the zygote's:
        "limit" if the group had used up its own, "machine" if not; "" if it has ended none.
        """
        seen_kills, seen_met = _SEEN.unpack_from(self._seen)
        kills, met = _counter(self._descriptors[1], b"oom_kill"), _counter(self._descriptors[2], b"oom")
        _SEEN.pack_into(self._seen, 0, kills, met)
        if kills == seen_kills:
            return ""
        return "limit" if met > seen_met else "machine"

    def remove(self) -> None:
        """Removes the group; its last processes, killed already, may take a moment to go."""
        for descriptor in (*self._members, *self._descriptors):
            os.close(descriptor)
        for folder in self._folders:
            for _ in range(100):
                if _remove(self.name, folder):
                    break
                time.sleep(0.01)
            os.close(folder)
        self._members, self._folders, self._descriptors = [], [], []
