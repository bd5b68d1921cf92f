"""Engines in processes of their own: workers that take samples from one queue and end with their engine, which frees its memory.

This process loads no model.  It hands each worker what to start (model folder, context setting) and which samples there must
be; the workers lease them one by one from the run folder (`klear_repro.work`), beside those of other commands.  A worker that
dies costs what it had begun; the others go on, and without others the command ends.  One that hangs is ended: it has samples
under way, and neither a token nor a sample came of them for `Plan.silent_s`.  It is not started again.

On a CPU, workers are forked from a clean process that has imported the model libraries and never computed: a start costs
hundredths of a second.  With CUDA, every worker is a fresh interpreter.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from klear_repro.engines.base import Engine
from klear_repro.errors import RunError, UserError, machine_failure
from klear_repro.leases import Leases
from klear_repro.progress import Progress, say
from klear_repro.work import FINISHED, SampleSet, Tally, fill

TORCHRUN = {"RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
"""What torchrun tells its processes: a worker is none of them."""
PRELOADED = (
    "torch", "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto", "transformers.models.qwen3.modeling_qwen3",
    "klear_repro.engines.hf", "klear_repro.evaluation_stage", "klear_repro.parallel",
)  # fmt: skip
"""Imported once for all workers on a CPU."""
LOOK_S = 2.0
"""Seconds between two looks at what workers of other commands have finished."""
GOODBYE_S = 20.0
"""Time that a worker has to close its engine, and once more to end on SIGTERM."""
SUSPENDED_S = 10.0
"""So long between two looks, and this process was stopped itself: nobody's silence counts."""
KEPT = "the samples that are finished are kept, and the same command goes on"


@dataclass(frozen=True)
class Plan:
    """How the workers of one engine run."""

    folder: Path
    """The run folder."""
    start: Callable[[], Engine]
    """Makes the engine, in the worker: a function of a module, or a `partial` of one."""
    count: int = 1
    expected: int = 1
    """Workers that were announced, those of other commands too."""
    gpus_each: int = 0
    """CUDA only; 0: none, and `CUDA_VISIBLE_DEVICES` stays as it is."""
    silent_s: float = 0.0
    """A worker that has samples under way and makes no token for so long hangs, seconds; starting counts, too.  0: it may."""
    fresh: bool = False
    """Fresh interpreters, which CUDA needs; else forks of a process that computes nothing."""


@dataclass(eq=False)
class _Worker:
    """One worker, as the process that started it sees it."""

    name: str
    process: Any
    orders: Connection
    """Sample sets go out; what `klear_repro.work.fill` reports, None at the end, and errors come in."""
    lifeline: Connection
    """Ends with this process, and the worker with it."""
    output: Connection
    """What it writes to standard output and error."""
    prefix: str
    rest: bytes = b""
    """The beginning of its next line."""
    alive: bool = True
    busy: bool = False
    heard: float = 0.0
    """When it last gave a sign of progress."""
    error: Exception | None = None


class Workers:
    """The workers of one engine, started when they first have something to do.  Use as a context manager."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.orders.close()
            if kind is not None and worker.alive:
                worker.process.terminate()
        for worker in self._workers:
            _see_off(worker)

    def fill(self, sets: Sequence[SampleSet], label: str) -> list[int]:
        """Have the workers make what is missing; returns how many samples of each set were missing.

        Raises:
            UserError, RunError, OSError: no worker is left, and this is what the first one raised or died of.
        """
        with Tally(sets) as tally:
            missing = tally.missing
            if not any(missing):
                return missing
            if not self._workers:
                self._start()
            for worker in self._workers:
                if worker.alive:
                    worker.busy, worker.heard = True, time.monotonic()
                    with contextlib.suppress(OSError):  # it has died, which its sentinel says
                        worker.orders.send([one for one, count in zip(sets, missing, strict=True) if count])
            each, most = tally.mean_tokens(), max(one.protocol.max_new_tokens for one in sets)
            with Progress(label, tally.total, "sample", tally.total - sum(missing), tokens_each=each, tokens_most=most) as progress:
                self._attend(tally, progress)
            if tally.left:
                raise next(worker.error for worker in self._workers if worker.error)
            return missing

    def _attend(self, tally: Tally, progress: Progress) -> None:
        """Listen to the workers until none is busy."""
        looked = listened = time.monotonic()
        while any(worker.busy for worker in self._workers):
            alive = [worker for worker in self._workers if worker.alive]
            ends = [end for worker in alive for end in (worker.orders, worker.output, worker.process.sentinel)]
            ready = set(wait(ends, timeout=1.0))
            progress.tokens(0)  # a line may be due, though no token has come
            finished = False  # whether some worker has finished a sample
            for worker in alive:
                if worker.output in ready:
                    _forward(worker)
                if worker.orders in ready or worker.process.sentinel in ready:
                    finished |= self._hear(worker, progress)
                if worker.process.sentinel in ready:
                    self._bury(worker)
            before, listened = listened, time.monotonic()
            self._end_silent(pause=listened - before)
            if finished or time.monotonic() - looked >= LOOK_S:
                looked = time.monotonic()
                _count(tally, progress)
        _count(tally, progress)

    def _end_silent(self, pause: float) -> None:
        """End the workers that hang; `pause`: seconds since the last look."""
        limit, now = self._plan.silent_s, time.monotonic()
        for worker in self._workers:
            if pause >= SUSPENDED_S:
                worker.heard = now
            elif limit and worker.alive and worker.busy and now - worker.heard >= limit and worker.error is None:
                worker.error = RunError(f"{worker.name} hung: nothing came from it for {limit:.0f} s (eval.silent_s), so it was ended; {KEPT}")
                _kill(worker.process)
                worker.process.kill()  # one that hung before it had a group

    def _hear(self, worker: _Worker, progress: Progress) -> bool:
        """Take in what a worker says; whether samples were finished."""
        finished = False
        with contextlib.suppress(EOFError, OSError):
            while worker.orders.poll():
                said = worker.orders.recv()
                worker.heard = time.monotonic()
                if isinstance(said, Exception):
                    worker.error = said
                elif said is None:
                    worker.busy = False
                elif said > 0:
                    progress.tokens(said)
                finished |= said is None or said == FINISHED
        return finished

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended, which it was not asked to."""
        _kill(worker.process)  # what it started
        worker.process.join()
        _forward(worker, last=True)
        worker.alive = worker.busy = False
        code = worker.process.exitcode
        if worker.error is None and code < 0:
            worker.error = RunError(f"{worker.name} was ended by {_signal(-code)}; {KEPT}")
        elif worker.error is None:
            worker.error = RunError(f"{worker.name} failed (exit code {code}), and its last words are above; {KEPT}")
        others = [other for other in self._workers if other is not worker]
        if any(other.alive for other in others) and str(worker.error) not in (str(other.error) for other in others):
            said = str(worker.error).removesuffix(f"; {KEPT}")
            say(f"{said if said.startswith(worker.name) else worker.prefix + said}; the other workers take over what it had begun")

    def _start(self) -> None:
        context: Any = multiprocessing.get_context("spawn" if self._plan.fresh else "forkserver")
        environments = list(self._environments())
        try:
            ForkingPickler.dumps(self._plan)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise RunError(f"workers could not be started: what they are to start cannot be sent to them ({error})") from None
        for number, environment in enumerate(environments, start=1):
            several = f"{number}/{len(environments)}" if len(environments) > 1 else ""
            name, prefix = (f"worker {several}", f"[{several}] ") if several else ("the worker", "")
            try:
                if not self._plan.fresh:
                    _start_server(context)
                self._workers.append(self._started(context, environment, name, prefix))
            except (OSError, EOFError) as error:
                reason = machine_failure(error) or f"{getattr(error, 'strerror', None) or type(error).__name__}; {KEPT}"
                raise RunError(f"{name} could not be started: {reason}") from None

    def _started(self, context: Any, environment: Mapping[str, str], name: str, prefix: str) -> _Worker:
        with ExitStack() as stack:
            ends = [stack.enter_context(end) for end in (*context.Pipe(), *context.Pipe(duplex=False), *context.Pipe(duplex=False))]
            orders, theirs, lifeline_end, lifeline, output, output_end = ends
            process = context.Process(target=_work, args=(theirs, lifeline_end, output_end, environment, self._plan))
            with _outside_of_main():
                process.start()
            stack.pop_all()
        for end in (theirs, lifeline_end, output_end):
            end.close()
        os.set_blocking(output.fileno(), False)
        return _Worker(name, process, orders, lifeline, output, prefix)

    def _environments(self) -> Iterator[dict[str, str]]:
        """Environment variables of each worker.

        Raises:
            UserError: there are not as many GPUs.
        """
        plan, each = self._plan, self._plan.gpus_each
        gpus = _gpus() if each else []
        if len(gpus) < plan.count * each:
            raise UserError(f"eval.data_parallel={plan.count}: needs {plan.count * each} GPUs (eval.tensor_parallel={each} each), there are {len(gpus)}")
        for index in range(plan.count):
            mine = {"CUDA_VISIBLE_DEVICES": ",".join(gpus[index * each : (index + 1) * each])} if each else {}
            yield without_torchrun(os.environ) | mine


def without_torchrun(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that torchrun did not set."""
    return {name: value for name, value in environment.items() if name not in TORCHRUN and not name.startswith("TORCHELASTIC_")}


def _kill(process: Any) -> None:
    """Kill a worker and the processes that it started, which are of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _count(tally: Tally, progress: Progress) -> None:
    for row in tally.look():
        progress.update(tokens=row.token_count)


def _gpus() -> list[str]:
    """CUDA only."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]


def _signal(number: int) -> str:
    name = signal.Signals(number).name if number in {one.value for one in signal.Signals} else f"signal {number}"
    return f"{name}, as the kernel does where memory runs out" if number == signal.SIGKILL else name


# --- the worker's end -----------------------------------------------------------------------------


def _work(orders: Connection, lifeline: Connection, output: Connection, environment: Mapping[str, str], plan: Plan) -> None:
    """The main function of a worker: fills the sets that it is told of, one order after the other, until there are no more orders."""
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed worker leaves behind
    os.setpgrp()  # it and what its engine starts can be killed together
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it sees to its end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    engine: Any = None
    try:
        with Leases(plan.folder) as leases:
            while (sets := _next_order(orders)) is not None:
                engine = engine or plan.start()
                fill(engine, sets, leases, expected=plan.expected, report=orders.send)
                orders.send(None)
    except (UserError, RunError) as error:
        orders.send(error)
        sys.exit(1)
    except OSError as error:  # some of its kinds cannot be sent
        orders.send(OSError(error.errno, error.strerror or str(error), error.filename))
        sys.exit(1)
    except (MemoryError, RuntimeError, ImportError) as error:
        failure = machine_failure(error)
        if failure is None:
            raise
        orders.send(RunError(failure))
        sys.exit(1)
    finally:
        if hasattr(engine, "close"):
            engine.close()


def _next_order(orders: Connection) -> Sequence[SampleSet] | None:
    try:
        sets: Sequence[SampleSet] = orders.recv()
    except EOFError:
        return None
    return sets


def _end_with(lifeline: Connection) -> None:
    """End this process, and what it started, as soon as the one that started it is gone."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os.killpg(0, signal.SIGKILL)


# --- starting and ending --------------------------------------------------------------------------


def _start_server(context: Any) -> None:
    """The process that workers are forked from, with this one's search path and without what torchrun set."""
    from multiprocessing import forkserver

    context.set_forkserver_preload(list(PRELOADED))
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(without_torchrun(before) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"})
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _outside_of_main() -> Iterator[None]:
    """Else multiprocessing runs the main module once more in the worker: a script that calls this program would start it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _see_off(worker: _Worker) -> None:
    """Wait until a worker has ended, which it has been asked to, and let go of what belongs to it."""
    process = worker.process
    for harder in (process.terminate, process.kill):
        end = time.monotonic() + GOODBYE_S
        while process.is_alive() and time.monotonic() < end:
            wait([process.sentinel, worker.output], timeout=0.1)
            _forward(worker)
        if not process.is_alive():
            break
        harder()
    process.join()
    _forward(worker, last=True)
    worker.lifeline.close()
    worker.output.close()
    process.close()


def _forward(worker: _Worker, *, last: bool = False) -> None:
    """Say the lines that a worker wrote; the `last` one need not be complete."""
    data = worker.rest
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(worker.output.fileno(), 1 << 16):
            data += chunk
    *lines, worker.rest = data.split(b"\n")
    if last and worker.rest:
        lines.append(worker.rest)
    for line in lines:
        say(worker.prefix + line.decode(errors="replace").rstrip().rpartition("\r")[2])
