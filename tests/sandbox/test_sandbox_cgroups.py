"""Control groups: made where the machine lets them be, a bound for all that a worker's processes use, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox import Executor, Limits, Test
from sandbox.inside import cgroups

ROOT = Path(__file__).resolve().parents[2]


def _launchers(owner: int) -> set[str]:
    """Names of the groups of executors that a process has; other tests have others meanwhile."""
    children = (Path(f"/proc/{owner}/task") / thread / "children" for thread in os.listdir(f"/proc/{owner}/task"))
    return {f"{cgroups.PREFIX}{child}" for path in children for child in path.read_text().split()}


def _groups() -> set[str]:
    found = set()
    for folder, names, _ in os.walk("/sys/fs/cgroup"):  # which does not mind what goes meanwhile
        found.update(os.path.join(folder, name) for name in names if name.startswith(cgroups.PREFIX))
    return found


def _gone(found: set[str]) -> bool:
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if not found & _groups():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def mine() -> set[str]:
    """The groups of an executor in use, and that they are gone when it is closed."""
    with Executor(workers=1) as executor:
        if any("control group" in note for note in executor.notes):
            pytest.skip(str(executor.notes))
        mine = _launchers(os.getpid())
        made = {path for path in _groups() if Path(path).name in mine}
    assert made and _gone(made)
    return made


def test_a_worker_has_its_group_and_leaves_none_behind(mine):
    assert {Path(path).name for path in mine} == {Path(next(iter(mine))).name}


def test_a_killed_owner_leaves_no_group(mine):
    code = "from sandbox import Executor\nwith Executor(workers=2) as e: print('up', flush=True); input()"
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
    names = _launchers(owner.pid)
    made = {path for path in _groups() if Path(path).name in names}
    assert len({Path(path).name for path in made}) == 2
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert _gone(made)


def test_the_next_worker_removes_what_a_killed_launcher_left(mine):
    for path in mine:
        stale = Path(path).with_name(f"{cgroups.PREFIX}999999999")
        stale.mkdir()
    with Executor(workers=1):
        assert not any(path.endswith("999999999") for path in _groups())


USE = """
import os, sys
from sandbox.inside import cgroups
group = cgroups.Group()
child = os.fork()
if child == 0:
    group.join()
    group.bound(1, 1)
    assert group.killed_for() == ""
    hungry = os.fork()
    if hungry == 0:
        block = bytearray(400 << 20)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(hungry, 0)[1])
    print(status, group.killed_for(), repr(group.killed_for()), flush=True)
    os._exit(0)
os.waitpid(child, 0)
group.remove()
"""


def test_the_group_bounds_memory_and_tells_that_it_was_the_cause(mine):
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["-9", "limit", "''"], done.stderr


def test_limits_that_grow_from_sample_to_sample_are_followed():
    code = "x = bytearray(300 << 20)\nprint(1)"
    with Executor(workers=1) as executor:
        verdicts = [executor.run(code, [Test("", "1")], Limits(memory_mb=mb)).verdict for mb in (64, 512, 64, 1024)]
    assert verdicts == ["MLE", "AC", "MLE", "AC"]


def test_where_no_group_can_be_made_the_notes_say_so():
    if os.geteuid() != 0:
        pytest.skip("needs root, to become nobody")
    code = (
        "import os\nfrom sandbox.inside import cgroups\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "try: cgroups.Group()\nexcept OSError as error: print('refused:', error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("refused: version 2: ") and "version 1: " in done.stdout, done.stderr
