"""What `klear-repro` and `python -m klear_repro.run` start with, before anything is imported that takes time or a new Python.

An interrupt while the program is still being imported ends it at once, in one line; there is nothing to keep yet.  `run.py` gives
the signal back to Python when the work begins.
"""

import os
import signal
import sys

OLDEST = (3, 11)
INTERRUPTED = "klear-repro: interrupted before anything was begun"


def main():  # type: ignore[no-untyped-def]  # annotations would have to be those of any Python 3
    """The exit code of the program; 2 on a Python that is too old for it."""
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        sys.stderr.write("klear-repro: Python {}.{} or later is needed, this is {} ({})\n".format(*OLDEST, found, sys.executable))
        return 2
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored, as under nohup
        signal.signal(signal.SIGINT, _leave)
    try:
        from klear_repro.run import main as run
    except ModuleNotFoundError as error:
        from klear_repro.errors import missing_package

        line = missing_package(error)
        if line is None:
            raise
        sys.stderr.write("klear-repro: " + line + "\n")
        return 2
    code = run()
    if code == 130:  # the same interrupt may come again, from tox, and there is nothing left to interrupt
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _leave(number, frame):  # type: ignore[no-untyped-def]
    os.write(2, INTERRUPTED.encode() + b"\n")
    os._exit(130)


def interruptible() -> None:
    """From here on an interrupt is a KeyboardInterrupt again, as Python has it."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
