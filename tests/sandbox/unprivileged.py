"""Started by conftest.py as root: becomes user 65534 and runs what it is sent in an executor of its own.

Interpreters often live below a folder that only its owner may enter (pyenv, uv). Such a folder is covered, in a
mount namespace of this process, by an empty one that holds nothing but the interpreter, numpy and this checkout,
at their usual paths. The host sees nothing of it, and it goes with the process.
"""

import os
import pickle
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sandbox import Executor, SandboxError  # noqa: E402
from sandbox.inside import kernel  # noqa: E402
from sandbox.worker import find_numpy  # noqa: E402

NOBODY = 65534


def _closed_folder(path: Path) -> Path | None:
    """The first folder on the way to `path` that others may not enter."""
    ways = [*reversed(path.parents), path]
    return next((way for way in ways if way.is_dir() and not way.stat().st_mode & 0o001), None)


def open_the_way(needed: list[Path]) -> None:
    """Makes the needed folders reachable for everyone, in this process and its children. Raises OSError."""
    closed = {path: folder for path in needed if (folder := _closed_folder(path)) is not None}
    if not closed:
        return
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_SLAVE)
    sources = {path: os.open(path, os.O_PATH) for path in closed}
    for folder in set(closed.values()):
        kernel.mount("tmpfs", str(folder), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    for path, source in sources.items():
        path.mkdir(0o755, parents=True, exist_ok=True)
        kernel.mount(f"/proc/self/fd/{source}", str(path), "", kernel.MS_BIND | kernel.MS_REC)
        os.close(source)


def become_nobody() -> None:
    """Gives up root for good and starts this file again. Raises OSError."""
    numpy = find_numpy()
    folders = [sys.base_prefix, sys.prefix, str(ROOT), *([os.path.dirname(numpy)] if numpy else [])]
    open_the_way(sorted({Path(folder).resolve() for folder in folders}))
    os.umask(0o077)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.chdir("/")
    os.execv(sys.executable, [sys.executable, __file__, *sys.argv[1:]])


def main() -> None:
    executor = Executor(workers=1, tier=sys.argv[1])
    try:
        answer: object = executor.tier
    except SandboxError as error:
        answer = error
    while True:
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.flush()
        try:
            arguments, named = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        try:
            answer = executor.run(*arguments, **named)
        except (SandboxError, ValueError) as error:
            answer = error
    executor.close()


if __name__ == "__main__":
    if os.geteuid() == 0:
        become_nobody()
    main()
