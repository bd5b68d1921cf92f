"""Workers in processes of their own: what they are started with, how they end, and that they end together."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from klear_program import processes_below
from scripted_engine import break_down, refuse, sample_set, speak, start_failing, start_hanging, start_scripted

from benchmarks.records import read_generations
from klear_repro.errors import RunError, UserError
from klear_repro.leases import Leases, place_of
from klear_repro.parallel import Plan, Workers
from klear_repro.work import Tally

QUICK = {f"p{problem}": 0.02 for problem in range(30)}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path / "log"


def ends(log: Path) -> dict[str, list[float]]:
    """Process → when each of its samples ended."""
    return {file.name: [float(line.split()[0]) for line in file.read_text().splitlines()] for file in log.iterdir()}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def settle(condition: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_workers_start_when_something_is_missing_keep_their_engine_and_end_with_the_block(tmp_path: Path, log: Path):
    few, more = sample_set(tmp_path, 4, 2), sample_set(tmp_path, 4, 6)
    with Workers(Plan(tmp_path, partial(start_scripted, 2, QUICK, log), count=2)) as workers:
        assert workers.fill([few], "eval") == [8]
        pids = [int(name) for name in ends(log)]
        assert workers.fill([more], "eval") == [16] and {int(name) for name in ends(log)} >= set(pids)
        assert all(map(alive, pids))
    assert not any(map(alive, pids)) and sum(map(len, ends(log).values())) == 24
    with Workers(Plan(tmp_path, refuse)) as workers:
        assert workers.fill([more], "eval") == [0]


def test_what_a_worker_prints_reaches_standard_error_line_by_line(tmp_path: Path, log: Path, capfd: pytest.CaptureFixture[str]):
    with Workers(Plan(tmp_path, partial(speak, 2, QUICK, log), count=2)) as workers:
        workers.fill([sample_set(tmp_path, 4, 2)], "eval")
    out, err = capfd.readouterr()
    lines = err.splitlines()
    for number in (1, 2):
        assert f"[{number}/2] out" in lines and f"[{number}/2] half a line, and the rest" in lines
    assert out == "" and any(line.startswith("eval: 8/8 samples") for line in lines)


def test_workers_have_the_variables_of_this_process_but_not_those_of_torchrun(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("SPOKEN", "yes")
    samples = sample_set(tmp_path, 2, 1)
    with Workers(Plan(tmp_path, partial(start_scripted, 2, QUICK, log))) as workers:
        workers.fill([samples], "eval")
    (settings,) = (samples.store.parent / "settings").iterdir()
    assert '"SPOKEN": "yes"' in settings.read_text() and "RANK" not in settings.read_text() and "WORLD_SIZE" not in settings.read_text()


def test_fresh_interpreters_have_a_gpu_each(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch):
    """As with CUDA: spawned, not forked, and each sees its own part of the GPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    samples = sample_set(tmp_path, 8, 4)
    with Workers(Plan(tmp_path, partial(start_scripted, 2, QUICK, log), count=2, expected=2, gpus_each=1, fresh=True)) as workers:
        assert workers.fill([samples], "eval") == [32]
    seen = sorted(file.read_text().split('"CUDA_VISIBLE_DEVICES": ')[1][:3] for file in (samples.store.parent / "settings").iterdir())
    assert seen == ['"3"', '"5"']
    needed = "eval.data_parallel=2: needs 4 GPUs .eval.tensor_parallel=2 each., there are 3"
    with pytest.raises(UserError, match=needed), Workers(Plan(tmp_path, refuse, count=2, gpus_each=2, fresh=True)) as workers:
        workers.fill([sample_set(tmp_path, 8, 5)], "eval")


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("start", "error", "said"), [(refuse, UserError, "no such thing"), (break_down, RunError, "it broke")])
def test_an_error_of_every_worker_is_the_error_of_the_run(tmp_path: Path, count: int, start: object, error: type[Exception], said: str):
    with pytest.raises(error, match=said), Workers(Plan(tmp_path, start, count=count)) as workers:  # type: ignore[arg-type]
        workers.fill([sample_set(tmp_path, 2, 2)], "eval")


def test_a_full_disk_in_a_worker_is_a_full_disk_here(tmp_path: Path, log: Path):
    full = OSError(28, "No space left on device", "somewhere")
    plan = Plan(tmp_path, partial(start_failing, 1, QUICK, log, {"p0": full}))
    with pytest.raises(OSError, match="somewhere") as caught, Workers(plan) as workers:
        workers.fill([sample_set(tmp_path, 1, 1)], "eval")
    assert caught.value.errno == 28


def test_a_worker_without_others_that_is_killed_ends_the_run_with_a_line_that_names_the_signal(tmp_path: Path, log: Path):
    samples = sample_set(tmp_path, 30, 20)
    began = 0.0
    with Workers(Plan(tmp_path, partial(start_scripted, 2, QUICK, log))) as workers:

        def kill() -> None:
            nonlocal began
            settle(lambda: any(len(listed) > 4 for listed in ends(log).values()))
            (pid,) = map(int, ends(log))
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)

        said = "the worker was ended by SIGKILL.*samples that are finished are kept, and the same command goes on"
        with pytest.raises(RunError, match=said), beside(kill):
            workers.fill([samples], "eval")
        assert time.monotonic() - began < 5
    with Workers(Plan(tmp_path, partial(start_scripted, 50, QUICK, log))) as workers:
        assert 0 < workers.fill([samples], "eval")[0] < 600


def test_what_a_killed_worker_had_begun_goes_to_the_others(tmp_path: Path, log: Path, capfd: pytest.CaptureFixture[str]):
    samples = sample_set(tmp_path, 30, 20)
    with Workers(Plan(tmp_path, partial(start_scripted, 4, QUICK, log), count=3)) as workers:

        def kill() -> None:
            settle(lambda: len(ends(log)) == 3)
            os.kill(int(next(iter(ends(log)))), signal.SIGKILL)

        with beside(kill):
            workers.fill([samples], "eval")
    stored, left_out = read_generations(samples.store)
    assert not left_out and {row.key for row in stored} == set(samples.keys) and len(samples.store.read_text().splitlines()) == 600
    err = capfd.readouterr().err
    assert err.count("was ended by SIGKILL") == 1 and "the other workers take over what it had begun" in err


@pytest.mark.parametrize("loading", [True, False], ids=["while it starts", "over its samples"])
def test_a_worker_that_hangs_is_named_and_ended_and_the_others_take_over(
    tmp_path: Path, log: Path, loading: bool, capfd: pytest.CaptureFixture[str]
):
    samples = sample_set(tmp_path, 6, 4)
    plan = Plan(tmp_path, partial(start_hanging, 2, QUICK, log, tmp_path / "first", loading), count=3, silent_s=3.0)
    with Workers(plan) as workers:
        assert workers.fill([samples], "eval") == [24]
        hung = int((tmp_path / "first").read_text())
        assert not alive(hung)
        if not loading:
            settle(lambda: not alive(int((tmp_path / "child").read_text())))
        assert workers.fill([sample_set(tmp_path, 6, 8)], "eval") == [24]  # it is not started again
    stored, left_out = read_generations(samples.store)
    assert not left_out and len(stored) == 48
    err = capfd.readouterr().err
    assert err.count("hung: nothing came from it for 3 s (eval.silent_s), so it was ended; the other workers take over") == 1
    assert re.search(r"^worker [123]/3 hung", err, re.MULTILINE)


def test_if_all_workers_hang_the_run_ends_with_one_line(tmp_path: Path, log: Path):
    plan = Plan(tmp_path, partial(start_hanging, 2, QUICK, log, tmp_path, False), count=2, silent_s=1.0)
    with pytest.raises(RunError, match=r"worker [12]/2 hung.*eval\.silent_s.*the same command goes on"), Workers(plan) as workers:
        workers.fill([sample_set(tmp_path, 6, 4)], "eval")


def test_a_worker_that_waits_for_others_does_not_hang(tmp_path: Path, log: Path):
    """Another process has leased its sample for longer than a worker may be silent."""
    samples = sample_set(tmp_path, 1, 1)
    plan = Plan(tmp_path, partial(start_scripted, 2, {"p0": 0.1}, log), count=1, silent_s=3.0)
    with Leases(tmp_path) as leases:
        for key in samples.keys:
            assert leases.take(place_of(key))

        def give() -> None:
            time.sleep(6)
            leases.release(place_of(next(iter(samples.keys))))

        with Workers(plan) as workers, beside(give):
            assert workers.fill([samples], "eval") == [1]
    assert sum(map(len, ends(log).values())) == 1


def test_a_program_that_was_suspended_takes_nobody_for_hung(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("klear_repro.parallel.SUSPENDED_S", 0.0)  # every look comes after a pause
    plan = Plan(tmp_path, partial(start_scripted, 2, {"p0": 3.0}, log), silent_s=1.0)
    with Workers(plan) as workers:
        assert workers.fill([sample_set(tmp_path, 1, 1)], "eval") == [1]


# --- a worker that cannot be started --------------------------------------------------------------


def open_files() -> set[str]:
    return {os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}


def refusing(context: str, number: int, error: Exception) -> object:
    """A `start` of processes that fails at this call, after the system would have been asked."""
    import importlib

    popen = importlib.import_module(f"multiprocessing.popen_{context}").Popen
    real, calls = popen._launch, iter(range(100))

    def launch(self: object, process: object) -> None:
        if next(calls) + 1 == number:
            raise error
        real(self, process)

    return popen, launch


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("error", [OSError(11, "Resource temporarily unavailable"), OSError(24, "Too many open files"), EOFError()])
def test_a_worker_that_cannot_be_started_is_one_line_and_ends_the_others(
    tmp_path: Path, log: Path, fresh: bool, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    with Workers(Plan(tmp_path, partial(start_scripted, 2, QUICK, log), fresh=fresh)) as workers:
        workers.fill([sample_set(tmp_path, 1, 1)], "eval")  # the servers that stay are there
    before, below = open_files(), set(processes_below(os.getpid()))
    popen, launch = refusing("spawn_posix" if fresh else "forkserver", 2, error)
    monkeypatch.setattr(popen, "_launch", launch)
    plan = Plan(tmp_path, partial(start_scripted, 2, QUICK, log), count=3, fresh=fresh)
    with pytest.raises(RunError, match="^worker 2/3 could not be started: "), Workers(plan) as workers:
        workers.fill([sample_set(tmp_path, 6, 4)], "eval")
    assert open_files() <= before
    settle(lambda: set(processes_below(os.getpid())) <= below)


def test_what_cannot_be_sent_to_a_worker_is_one_line(tmp_path: Path):
    with pytest.raises(RunError, match="cannot be sent"), Workers(Plan(tmp_path, lambda: refuse())) as workers:
        workers.fill([sample_set(tmp_path, 1, 1)], "eval")


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {here!r})
from scripted_engine import sample_set, start_scripted
from klear_repro.parallel import Plan, Workers
folder = Path({folder!r})
times = {{f"p{{problem}}": {seconds} for problem in range(30)}}
with Workers(Plan(folder, partial(start_scripted, 2, times, folder / "log"), count=2)) as workers:
    workers.fill([sample_set(folder, 30, {samples})], "eval")
"""


def script(folder: Path, samples: int, seconds: float) -> subprocess.Popen[str]:
    """A script without a guard around its main part, as people write them."""
    file = folder / "script.py"
    file.write_text(SCRIPT.format(here=str(Path(__file__).parent), folder=str(folder), samples=samples, seconds=seconds))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, str(file)], stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment)


def test_a_script_without_a_main_guard_can_start_workers(tmp_path: Path, log: Path):
    process = script(tmp_path, 1, 0.02)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Error" not in err, err
    with Tally([sample_set(tmp_path, 30, 1)]) as tally:
        assert tally.missing == [0]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_do_not_outlive_the_process_that_started_them(tmp_path: Path, log: Path, how: signal.Signals):
    process = script(tmp_path, 200, 0.5)
    settle(lambda: len(ends(log)) == 2, 120)
    below = processes_below(process.pid)
    assert {int(name) for name in ends(log)} <= set(below)
    os.kill(process.pid, how)
    process.wait(timeout=30)
    settle(lambda: not any(map(alive, below)))
    assert process.stderr
    process.stderr.close()


def beside(action: object) -> object:
    """Run an action in a thread while the block runs."""
    import threading
    from contextlib import contextmanager

    @contextmanager
    def running():  # type: ignore[no-untyped-def]
        thread = threading.Thread(target=action)  # type: ignore[arg-type]
        thread.start()
        try:
            yield
        finally:
            thread.join()

    return running()


@pytest.mark.slow
def test_eight_workers_end_within_ten_percent_though_one_problem_takes_ten_times_as_long(tmp_path: Path, log: Path):
    """30 problems, 16 samples of half a second each, those of one problem five; four slots a worker."""
    times = {f"p{problem}": 0.5 * random.Random(problem).uniform(0.8, 1.2) for problem in range(30)}
    times["p17"] = 5.0
    samples = sample_set(tmp_path, 30, 16)
    with Workers(Plan(tmp_path, partial(start_scripted, 4, times, log), count=8, expected=8)) as workers:
        assert workers.fill([samples], "eval") == [480]
    found = ends(log)
    began = min(time for listed in found.values() for time in listed) - 0.4  # the shortest sample's own time
    last = sorted(max(listed) - began for listed in found.values())
    spread = (last[-1] - last[0]) / last[-1]
    least = sum(times[key.problem_id] for key in samples.keys) / 32
    print(f"\n8 workers end after {last[0]:.2f} to {last[-1]:.2f} s, {spread:.1%} apart; {least:.2f} s is the least possible")
    assert len(found) == 8 and sum(map(len, found.values())) == 480
    assert spread <= 0.1
