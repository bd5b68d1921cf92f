"""Started by conftest.py as another user: runs what it is sent in an executor of its own."""

import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sandbox import Executor, SandboxError


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
    main()
