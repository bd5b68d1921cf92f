"""The run folder's locks between real processes, and what a refused run leaves there."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from klear_repro.config import Config
from klear_repro.errors import UserError
from klear_repro.runfolder import RunFolder, _files, _folders

ROOT = Path(__file__).resolve().parents[2]
INTRUDER = """
import sys, time
from pathlib import Path
from klear_repro.config import Config
from klear_repro.errors import UserError
from klear_repro.runfolder import RunFolder
folder, shared = Path(sys.argv[1]), sys.argv[2] == "shared"
tries = entered = 0
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    tries += 1
    try:
        with RunFolder(folder, Config(), shared=shared):
            entered += 1
    except UserError:
        pass
print(tries, entered)
"""


def intruder(folder: Path, shared: str, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", INTRUDER, str(folder), shared, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def test_nobody_gets_in_while_a_run_opens_and_closes_its_folder_to_those_that_add_samples(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", Config()) as folder:
        other, adder = intruder(tmp_path / "run", "alone", 2.0), intruder(tmp_path / "run", "shared", 2.0)
        times = 0
        while other.poll() is None or adder.poll() is None:
            with folder.shared():
                times += 1
                time.sleep(0.001)
        assert times > 50
        tries, entered = map(int, other.communicate()[0].split())
        assert tries > 50 and entered == 0
        assert int(adder.communicate()[0].split()[1]) > 0


def test_a_run_waits_for_those_that_still_add_samples(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with RunFolder(tmp_path / "run", Config()) as folder:
        with folder.shared():
            gate = open(tmp_path / "run" / ".gate")  # noqa: SIM115
            fcntl.flock(gate, fcntl.LOCK_SH)
            child = os.fork()
            if not child:
                time.sleep(0.3)
                os._exit(0)
            gate.close()  # the child has it
        assert os.waitpid(child, 0)[1] == 0
    assert "waiting for processes with --eval.shard" in capfd.readouterr().err


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {name: (path.stat().st_mtime_ns, path.read_bytes()) if path.is_file() else (0, b"") for name, path in there.items()}


def refused(folder: Path, *, shared: bool = False, sample: str = "") -> None:
    """A run that is refused when it has begun a stage; with a `sample` it has added one by then."""
    with pytest.raises(UserError), RunFolder(folder, Config(), shared=shared) as run:
        if not shared:
            run.describe({})
            run.manifest["stages"]["eval"] = {"fingerprint": "other", "status": "running"}
            run.save()
            run.event("stage started", stage="eval")
        (folder / ".leases").touch()
        (folder / "generations" / "aime24").mkdir(parents=True, exist_ok=True)
        (folder / "generations" / "aime24" / "other.jsonl").write_text(sample)
        raise UserError("no")


@pytest.mark.parametrize("shared", [False, True])
def test_a_refused_run_leaves_a_folder_as_it_was(tmp_path: Path, shared: bool) -> None:
    refused(tmp_path / "new" / "run", shared=shared)
    assert not (tmp_path / "new").exists()
    run = tmp_path / "run"
    with RunFolder(run, Config()) as folder:
        folder.describe({})
        folder.save()
        folder.event("stage done", stage="eval")
    (run / "generations" / "mine").mkdir(parents=True)
    before = contents(run)
    refused(run, shared=shared)
    assert contents(run) == before


@pytest.mark.parametrize("shared", [False, True])
def test_samples_of_a_run_that_is_refused_later_are_kept_but_no_empty_file(tmp_path: Path, shared: bool) -> None:
    refused(tmp_path / "run", shared=shared, sample="{}\n")
    kept = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert "generations/aime24/other.jsonl" in kept and ".leases" not in kept
    assert ("manifest.json" in kept) is not shared


def test_a_refused_shard_leaves_what_others_are_at_work_on(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", Config(), shared=True):
        refused(tmp_path / "run", shared=True)
        assert (tmp_path / "run" / ".gate").exists() and (tmp_path / "run" / ".leases").exists()


def test_files_that_others_take_away_meanwhile_stop_no_run(tmp_path: Path) -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            inner = tmp_path / f"f{number % 7}"
            inner.mkdir(exist_ok=True)
            (inner / "x.tmp").write_text("x")
            (inner / "x.tmp").unlink()
            inner.rmdir()

    (tmp_path / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "deep" / "y").write_text("yy")
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(3000):
            assert _files(tmp_path)["kept/deep/y"][0] == 2
            assert tmp_path / "kept" / "deep" in _folders(tmp_path)
    finally:
        stop.set()
        thread.join()
