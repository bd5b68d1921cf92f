"""What the sandbox is measured against, each in a clean process of its own: `python sandbox_rivals.py NAME PROCESSES`.

Reads samples as JSON from standard input, warms up, and answers every following line with the seconds that one
round took, and how many samples it accepted.

fork      every test in a fork of a warm interpreter, no isolation: the floor of any design with a process a test
official  LiveCodeBench's `check_correctness` (PyPI nvidia-livecodebench) in a process pool, as its own driver runs it
bwrap     a fresh bubblewrap with a fresh interpreter for each test
cpu       arithmetic, no process: what this machine gains from two processes
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

Sample = dict[str, Any]


def check_fork(sample: Sample) -> bool:
    """All tests of a sample, each in a fork; input and output in memfds, compared here."""
    code = compile(sample["code"], "<sample>", "exec")
    right = True
    for given, expected in zip(sample["inputs"], sample["outputs"], strict=True):
        source, output = os.memfd_create("in"), os.memfd_create("out")
        os.pwrite(source, given.encode(), 0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(source, 0)
                os.dup2(output, 1)
                sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
                exec(code, {"__name__": "__main__"})
                sys.stdout.flush()
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        printed = os.pread(output, os.fstat(output).st_size, 0).decode()
        os.close(source)
        os.close(output)
        right = right and status == 0 and printed.split() == expected.split()
    return right


def check_official(sample: Sample) -> bool:
    """The official verdict of a sample."""
    from livecodebench.evaluation.compute_code_generation_metrics import check_correctness

    tests = json.dumps({"inputs": sample["inputs"], "outputs": sample["outputs"]})
    results, _ = check_correctness({"input_output": tests}, sample["code"], timeout=6, debug=False)
    return all(result is True or (not isinstance(result, bool) and result > 0) for result in results)


def check_bwrap(sample: Sample) -> bool:
    """All tests of a sample, each in a new bubblewrap."""
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--tmpfs", "/tmp", "--dev", "/dev"]
    command += [sys.executable, "-I", "-S", "-c", sample["code"]]
    right = True
    for given, expected in zip(sample["inputs"], sample["outputs"], strict=True):
        done = subprocess.run(command, input=given, capture_output=True, text=True)
        right = right and done.returncode == 0 and done.stdout.split() == expected.split()
    return right


def check_cpu(sample: Sample) -> bool:
    """Twenty milliseconds or so of arithmetic."""
    return sum(i * i for i in range(200_000)) > 0


CHECKS: dict[str, Callable[[Sample], bool]] = {
    "fork": check_fork, "official": check_official, "bwrap": check_bwrap, "cpu": check_cpu,
}  # fmt: skip


def main() -> None:
    check, processes = CHECKS[sys.argv[1]], int(sys.argv[2])
    samples = json.loads(sys.stdin.readline())
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        list(pool.map(check, samples[: 4 * processes]))
        print("ready", flush=True)
        for _ in sys.stdin:
            began = time.perf_counter()
            accepted = sum(pool.map(check, samples))
            print(json.dumps([time.perf_counter() - began, accepted]), flush=True)


if __name__ == "__main__":
    main()
