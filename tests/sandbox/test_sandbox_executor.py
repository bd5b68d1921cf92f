"""The executor itself: arguments, order, threads, its own failures, and what is left when it goes."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import sandbox
from sandbox import Cancelled, Executor, IsolationUnavailable, Limits, Test, Verdict
from sandbox import worker as worker_module

ROOT = Path(sandbox.__file__).resolve().parents[1]
ONE = [Test(input="", expected="1\n")]


@pytest.fixture(scope="module")
def pair():
    with Executor(workers=2) as made:
        yield made


def _message(error: pytest.ExceptionInfo[ValueError], *words: str) -> None:
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"workers": 0}, ["workers", "0", "1 to 1024"]),
        ({"workers": True}, ["workers"]),
        ({"tier": "docker"}, ["tier", "docker", "auto", "root", "userns", "landlock", "unsafe"]),
    ],
)
def test_bad_executor_arguments_are_named(named, words):
    with pytest.raises(ValueError) as error:
        Executor(**named)
    _message(error, *words)


@pytest.mark.parametrize(
    ("field", "value"),
    [("cpu_s", 0), ("cpu_s", -1), ("cpu_s", float("nan")), ("cpu_s", "6"), ("wall_s", float("inf")),
     ("memory_mb", 1.5), ("memory_mb", 0), ("output_mb", 0), ("output_mb", None), ("memory_mb", True)],
)  # fmt: skip
def test_bad_limits_are_named_with_value_and_bounds(field, value):
    with pytest.raises(ValueError) as error:
        Limits(**{field: value})
    _message(error, field, repr(value), "from")


def test_bad_runs_are_refused_and_never_accepted(pair):
    with pytest.raises(ValueError) as error:
        pair.run("print(1)", [])
    _message(error, "tests", "empty")
    with pytest.raises(ValueError) as error:
        pair.run_many([("print(1)", ONE), ("print(1)", [])])
    _message(error, "tests")
    with pytest.raises(ValueError) as error:
        pair.run("print(1)", ONE, mode="strict")
    _message(error, "mode", "strict", "native", "lcb_compat")
    with pytest.raises(ValueError) as error:
        pair.run("print(1)", [Test(function="f", args=[object()], expected=1)])
    _message(error, "tests[0].args")
    with pytest.raises(ValueError) as error:
        pair.run(b"print(1)", ONE)
    _message(error, "code")
    for named in (
        {"expected": 1},
        {"function": "a b", "expected": 1},
        {"args": [1], "expected": ""},
        {"input": 3},
    ):
        with pytest.raises(ValueError):
            Test(**named)


def test_results_come_in_order_with_all_workers_busy(pair):
    samples = [
        (f"import time\ntime.sleep(0.1)\nprint({i})", [Test(input="", expected=str(i))]) for i in range(12)
    ]
    started = time.monotonic()
    results = pair.run_many(samples)
    took = time.monotonic() - started
    assert [r.tests[0].stdout for r in results] == [f"{i}\n" for i in range(12)]
    assert all(r.passed for r in results)
    assert took < sum(t.wall_s for r in results for t in r.tests)


def test_many_threads_may_share_an_executor(pair):
    verdicts: list[str] = []
    threads = [
        threading.Thread(target=lambda: verdicts.append(pair.run("print(1)", ONE).verdict)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == ["AC"] * 8


def test_an_executor_outlives_the_thread_that_started_it():
    executor = Executor(workers=1)
    thread = threading.Thread(target=lambda: executor.run("print(1)", ONE))
    thread.start()
    thread.join()
    time.sleep(0.1)
    first = executor._all[0]._zygotes["light"]
    assert executor.run("print(1)", ONE).passed
    assert executor._all[0]._zygotes["light"] is first
    executor.close()
    with pytest.raises(RuntimeError):
        executor.run("print(1)", ONE)


def test_a_forked_child_may_neither_use_nor_end_the_executor(pair):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            pair.run("print(1)", ONE)
        except RuntimeError:
            pair.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert pair.run("print(1)", ONE).passed


def test_the_tier_is_in_every_result(pair):
    assert pair.tier in sandbox.TIERS and pair.run("print(1)", ONE).tier == pair.tier


def test_the_unsafe_tier_is_used_only_on_request():
    with Executor(workers=1, tier="unsafe") as executor:
        result = executor.run("print(1)", ONE)
    assert (result.tier, result.verdict) == ("unsafe", "AC")


def test_without_any_isolation_the_executor_refuses(monkeypatch):
    def refuse(tier, numpy, preload):
        raise IsolationUnavailable(f"tier {tier}: refused")

    monkeypatch.setattr(worker_module, "ZygoteProcess", refuse)
    with pytest.raises(IsolationUnavailable) as error:
        Executor(workers=1).run("print(1)", ONE)
    assert all(tier in str(error.value) for tier in sandbox.TIERS)


def test_auto_falls_back_to_the_next_tier(monkeypatch):
    real = worker_module.ZygoteProcess

    def only_landlock(tier, numpy, preload):
        if tier != "landlock":
            raise IsolationUnavailable(f"tier {tier}: refused")
        return real(tier, numpy, preload)

    monkeypatch.setattr(worker_module, "ZygoteProcess", only_landlock)
    try:
        with Executor(workers=1) as executor:
            assert executor.tier == "landlock"
    except IsolationUnavailable as error:
        pytest.skip(str(error))


def _kill_zygote(executor: Executor) -> None:
    process = executor._all[0]._zygotes["light"].process
    process.kill()
    process.wait()


def test_a_dead_zygote_is_replaced_and_the_test_repeated():
    with Executor(workers=1) as executor:
        _kill_zygote(executor)
        assert executor.run("print(1)", ONE * 3).passed
        timer = threading.Timer(0.3, _kill_zygote, [executor])
        timer.start()
        assert executor.run("import time\ntime.sleep(1)\nprint(1)", ONE).passed


def test_a_sandbox_that_keeps_failing_reports_ie_and_no_other_verdict(monkeypatch):
    with Executor(workers=1) as executor:

        def fail(*arguments, **named):
            raise OSError("out of descriptors")

        monkeypatch.setattr(worker_module, "_memfd", fail)
        result = executor.run("print(1)", ONE * 2)
        assert [t.verdict for t in result.tests] == [Verdict.IE] * 2 and result.verdict is Verdict.IE
        assert "out of descriptors" in result.tests[0].message
        monkeypatch.undo()
        assert executor.run("print(1)", ONE).passed


def test_an_interrupted_run_does_not_give_its_answers_to_the_next_one():
    with Executor(workers=1) as executor:
        slow = "import time\ntime.sleep(0.5)\nprint(1)"
        interrupt = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            interrupt.start()
            executor.run(slow, ONE * 4)
        assert executor.run("print(2)", [Test(input="", expected="2")] * 3).passed


def test_closing_during_a_run_ends_it_without_a_verdict():
    executor = Executor(workers=1)
    results: list[sandbox.Result] = []
    thread = threading.Thread(target=lambda: results.append(executor.run("while True: pass", ONE)))
    assert executor.tier
    thread.start()
    time.sleep(0.3)
    executor.close()
    thread.join(20)
    assert results[0].verdict is Verdict.IE


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] != "Z" and int(fields[1]) == pid:
                found |= {int(entry.name)} | _descendants(int(entry.name))
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


PROGRAM = """
import sys
import tempfile
from sandbox import Executor, Limits, Test
executor = Executor(workers=2, tier=sys.argv[1])
print(executor.tier, flush=True)
test = Test(input="", expected="1")
executor.run_many([("import time\\nprint(1)\\ntime.sleep(60)", [test])] * 2, Limits(cpu_s=60, wall_s=60))
"""


@pytest.mark.parametrize("tier", [*sandbox.TIERS, "unsafe"])
def test_killing_the_executor_leaves_nothing_alive_after_a_second(tier):
    for delay in (0.0, 0.3):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, tier], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        if not process.stdout.readline():
            process.wait()
            pytest.skip(f"tier {tier} is not granted here")
        time.sleep(delay)
        family = _descendants(process.pid)
        assert len(family) >= 4
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        deadline = time.monotonic() + 1.0
        while any(map(_alive, family)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not [pid for pid in family if _alive(pid)]


def test_closing_leaves_no_process_and_no_descriptor():
    gc.collect()  # else descriptors of earlier tests may close half-way
    before, relatives = set(os.listdir("/proc/self/fd")), _descendants(os.getpid())
    with Executor(workers=2) as executor:
        executor.run_many([("print(1)", ONE * 5), ("import numpy\nprint(1)", ONE)])
        family = _descendants(os.getpid()) - relatives
        assert len(family) >= 4
    assert not [pid for pid in family if _alive(pid)]
    assert set(os.listdir("/proc/self/fd")) <= before


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, sandbox; print([m for m in sys.modules if m in ('torch', 'numpy', 'pytest')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_thousand_tests_leave_memory_and_descriptors_as_they_were(pair):
    def state() -> tuple[int, int]:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        return resident, len(os.listdir("/proc/self/fd"))

    pair.run("print(1)", ONE * 200)
    before = state()
    pair.run_many([("print(1)", ONE * 50)] * 20)
    after = state()
    assert after[0] - before[0] < 10 << 20 and after[1] == before[1]


def test_an_environment_below_tmp_is_no_obstacle(monkeypatch, pair):
    """The programs' own /tmp hides the host's, where a checkout with its environment may lie."""
    numpy = worker_module.find_numpy()
    if numpy is None or pair.tier == "landlock":
        pytest.skip("without numpy or namespaces there is nothing to hide")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for path in (numpy, numpy + ".libs"):
            if os.path.exists(path):
                os.symlink(path, os.path.join(folder, os.path.basename(path)))
        monkeypatch.setattr("sandbox.executor.find_numpy", lambda: os.path.join(folder, "numpy"))
        code = "import numpy, os\nprint(numpy.arange(3).sum(), os.listdir('/tmp'), numpy.__file__)"
        with Executor(workers=1, tier=pair.tier) as executor:
            result = executor.run(code, [Test(input="", expected="")])
    assert result.tests[0].stdout == f"3 [] /site{folder}/numpy/__init__.py\n", result


def test_as_much_output_is_kept_as_was_asked_for(pair):
    code, tests = "print('x' * 300_000)", [Test(input="", expected="x" * 300_000)]
    assert [len(pair.run(code, tests, keep_kb=kb).tests[0].stdout) for kb in (0, 64, 1024)] == [0, 65_536, 300_001]
    with pytest.raises(ValueError, match=r"keep_kb: -1 is not allowed"):
        pair.run(code, tests, keep_kb=-1)


def test_a_cancelled_run_ends_soon_and_the_worker_goes_on(pair):
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        pair.run("while True: pass", ONE, Limits(cpu_s=20, wall_s=20), cancel=cancel)
    assert time.monotonic() - began < 3
    assert pair.run("print(1)", ONE).passed


def test_results_stream_in_as_they_come_and_samples_are_drawn_no_faster(pair):
    drawn = []

    def source():
        for number in range(12):
            drawn.append(number)
            yield ("import time\ntime.sleep(1)\nprint(1)" if number == 0 else "print(1)"), ONE

    order = []
    for index, result in pair.stream(source()):
        assert result.passed
        order.append(index)
        assert len(drawn) <= len(order) + 2 * pair.workers
    assert sorted(order) == list(range(12))
    assert order[0] != 0


def test_leaving_a_stream_early_kills_what_runs(pair):
    began = time.monotonic()
    for _, _ in pair.stream([("print(1)", ONE), ("while True: pass", ONE)], Limits(cpu_s=30, wall_s=30)):
        break
    assert time.monotonic() - began < 5
    assert pair.run("print(1)", ONE).passed


@pytest.mark.parametrize("mode", ["native", "lcb_compat"])
def test_a_traceback_shows_the_program_and_nothing_of_the_sandbox(mode):
    with Executor(workers=1) as executor:
        errors = executor.run("def f():\n    1 / 0\nf()", [Test("", "")], mode=mode).tests[0].stderr
    assert "ZeroDivisionError" in errors and "<solution>" in errors and "harness" not in errors and ".py" not in errors
