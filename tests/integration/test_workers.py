"""Workers in processes of their own: what they are started with, how they end, and that they end together."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from klear_program import processes_below
from scripted_engine import break_down, refuse, sample_set, speak, start_failing, start_scripted

from benchmarks.records import read_generations
from klear_repro.errors import RunError, UserError
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
