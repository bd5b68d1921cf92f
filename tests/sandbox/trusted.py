"""Checkers and interactors that the tests name: right ones, sloppy ones, and ones that fail."""

from __future__ import annotations

import os
import time
from typing import Any, TextIO


def any_order(given: str, expected: str, output: str) -> bool:
    """The expected words in any order."""
    return sorted(output.split()) == sorted(expected.split())


def sums_to(args: list[Any], expected: int, value: Any) -> bool:
    """Two different positions whose values have the sum."""
    numbers = args[0]
    return (
        isinstance(value, list) and len(value) == 2 and all(type(v) is int and 0 <= v < len(numbers) for v in value)
        and value[0] != value[1] and numbers[value[0]] + numbers[value[1]] == expected
    )  # fmt: skip


def raises(given: str, expected: str, output: str) -> bool:
    """A checker with a bug."""
    raise KeyError(output)


def stalls(given: str, expected: str, output: str) -> bool:
    """A checker that some output holds up."""
    while "stall" in output:
        time.sleep(1)
    return True


def dies(given: str, expected: str, output: str) -> bool:
    """A checker that ends its process."""
    os._exit(0)


def not_a_verdict(given: str, expected: str, output: str) -> Any:
    """A checker that does not say yes or no."""
    return "yes"


def sees_no_secret(given: str, expected: str, output: str) -> bool:
    """Nothing of the caller's environment is here."""
    return "KLEAR_SECRET" not in os.environ


def higher_or_lower(given: str, expected: str, read: TextIO, write: TextIO) -> bool:
    """The program guesses a number of up to 1000 in at most ten questions."""
    secret = int(given)
    for _ in range(10):
        guess = int(read.readline() or "0")
        if guess == secret:
            write.write("right\n")
            return True
        write.write("higher\n" if guess < secret else "lower\n")
    return False


def reads_for_ever(given: str, expected: str, read: TextIO, write: TextIO) -> bool:
    """Takes whatever comes."""
    while read.read(65536):
        pass
    return True


def says_nothing(given: str, expected: str, read: TextIO, write: TextIO) -> bool:
    """Leaves the program waiting, and itself too."""
    time.sleep(3600)
    return True


def adds_up(given: str, expected: str, output: str) -> bool:
    """A checker that raises on anything but numbers."""
    return sum(map(int, output.split())) == sum(map(int, expected.split()))


def dies_of_x(given: str, expected: str, output: str) -> bool:
    """A checker that some output brings down."""
    if "x" in output:
        os.kill(os.getpid(), 11)
    return output.strip() == expected
