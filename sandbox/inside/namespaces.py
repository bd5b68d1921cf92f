"""The file system and the namespaces that a zygote and its programs see, made once a zygote (about 10 ms).

A tmpfs becomes the root (pivot_root, as bubblewrap does); the interpreter's library, numpy and the shared
libraries are bound into it read-only, /tmp is a second, size-bounded tmpfs, and nothing else of the host
remains.
"""

from __future__ import annotations

import os

from . import kernel
from .kernel import MS_BIND, MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT, MS_SLAVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

INSIDE_ID = 65534
TMP_MB = 16
_TMP_OPTIONS = f"size={TMP_MB}m,nr_inodes=2048,mode=1777"
DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
ZERO = "/dev/zero"
"""Only to read, which Landlock sees to: a shared mapping of it that can be written is memory that nothing counts."""
_LOCKED = (  # statvfs flag, mount flag: a user namespace may not clear what its parent has set
    (os.ST_NOSUID, MS_NOSUID),
    (os.ST_NODEV, MS_NODEV),
    (os.ST_NOEXEC, MS_NOEXEC),
    (os.ST_NOATIME, MS_NOATIME),
    (os.ST_NODIRATIME, 2048),
    (os.ST_RELATIME, 1 << 21),
)


def place(path: str) -> str:
    """Where a read-only path of the host appears inside: where it was, or below /site if that is in /tmp, which
    belongs to the programs.
    """
    return f"/site{path}" if path.startswith("/tmp/") else path


def enter(user: bool) -> None:
    """Leaves the host's namespaces; the caller's next fork is the first process of the new PID namespace.

    With `user` a user namespace comes first, which is what gives an unprivileged caller the right to the
    others. Raises OSError where the kernel or its configuration refuses.
    """
    flags = (
        kernel.CLONE_NEWNS
        | kernel.CLONE_NEWNET
        | kernel.CLONE_NEWIPC
        | kernel.CLONE_NEWUTS
        | kernel.CLONE_NEWPID
    )
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(flags | (kernel.CLONE_NEWUSER if user else 0))
    if user:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{INSIDE_ID} {uid} 1")
        _write("/proc/self/gid_map", f"{INSIDE_ID} {gid} 1")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def private_proc() -> int | None:
    """A descriptor of this PID namespace's /proc, which no path leads to; None where mounting is refused."""
    try:
        kernel.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:
        return (
            None  # a container that masks parts of /proc forbids new ones; RLIMIT_NPROC still counts threads
        )
    descriptor = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    kernel.unmount("/proc")
    return descriptor


def build_root(read_only: Iterable[str], hidden: Iterable[str], devices: Iterable[str]) -> int | None:
    """Makes the new root and moves into it. Returns `private_proc()`. Raises OSError.

    `read_only` paths appear at their `place`, in the order given; `hidden` ones, below the first, become
    empty.
    """
    kernel.mount("none", "/", "", MS_REC | MS_SLAVE)
    proc = private_proc()
    sources = [(place(path), os.path.realpath(path)) for path in read_only if os.path.exists(path)]
    covered = [place(path) for path in hidden if os.path.isdir(path)]
    devices = [path for path in devices if os.path.exists(path)]
    base = "/tmp" if os.path.isdir("/tmp") else "/dev"
    kernel.mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755")
    os.mkdir(f"{base}/.host", 0o700)
    kernel.syscall("pivot_root", base.encode(), f"{base}/.host".encode())
    os.chdir("/")
    for path, source in sources[:1]:
        _bind(f"/.host{source}", path, MS_RDONLY)
    for path in covered:
        kernel.mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path, source in sources[1:]:
        if not os.path.ismount(path):
            _bind(f"/.host{source}", path, MS_RDONLY)
    for path in covered:
        kernel.mount("none", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    for path in devices:
        _bind(f"/.host{path}", path, 0, device=True)
    for name in ("stdin", "stdout", "stderr"):  # they exist; opening them is the harness's work
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o000))
    os.mkdir("/tmp", 0o1777)
    mount_tmp()
    kernel.unmount("/.host")
    os.rmdir("/.host")
    kernel.mount("none", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chdir("/tmp")
    return proc


def _bind(source: str, target: str, flags: int, device: bool = False) -> None:
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
    kernel.mount(source, target, "", MS_BIND | MS_REC)
    present = os.statvfs(target).f_flag
    locked = sum(mount_flag for flag, mount_flag in _LOCKED if present & flag)
    wanted = flags | locked | MS_NOSUID | (0 if device else MS_NODEV)
    kernel.mount("none", target, "", MS_REMOUNT | MS_BIND | wanted)


def mount_tmp() -> None:
    """Puts an empty tmpfs on /tmp. Raises OSError."""
    kernel.mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, _TMP_OPTIONS)


def renew_tmp() -> None:
    """Throws away /tmp with everything in it, however deep, and puts an empty one in its place. Raises
    OSError.
    """
    os.chdir("/")
    kernel.unmount("/tmp")
    mount_tmp()
    os.chdir("/tmp")
