"""Programs with 16 tests each, as judge problems have them: read a little, compute a little, print."""

from __future__ import annotations

import io
import random
from contextlib import redirect_stdout
from unittest import mock

TEMPLATES = (
    "a, b = map(int, input().split())\n"
    "print(a + b * {k})\n",
    "n = int(input())\n"
    "xs = list(map(int, input().split()))\n"
    "print(*sorted(x % {m} for x in xs))\n",
    "import sys\n"
    "data = sys.stdin.read().split()\n"
    "print(sum(int(x) for x in data[1:]) % {m})\n",
    "from collections import Counter\n"
    "input()\n"
    "count = Counter(input().split())\n"
    "for key in sorted(count):\n"
    "    print(key, count[key] + {k})\n",
    "def gcd(a, b):\n"
    "    while b:\n"
    "        a, b = b, a % b\n"
    "    return a\n"
    "\n"
    "input()\n"
    "value = 0\n"
    "for x in map(int, input().split()):\n"
    "    value = gcd(value, x * {k})\n"
    "print(value)\n",
    "import heapq\n"
    "input()\n"
    "heap = list(map(int, input().split()))\n"
    "heapq.heapify(heap)\n"
    "total = 0\n"
    "while len(heap) > 1:\n"
    "    x = heapq.heappop(heap) + heapq.heappop(heap)\n"
    "    total += x % {m}\n"
    "    heapq.heappush(heap, x)\n"
    "print(total)\n",
    "n = int(input())\n"
    "xs = list(map(int, input().split()))\n"
    "best = [1] * n\n"
    "for i in range(n):\n"
    "    for j in range(i):\n"
    "        if xs[j] < xs[i]:\n"
    "            best[i] = max(best[i], best[j] + 1)\n"
    "print(max(best) + {k})\n",
    "def main():\n"
    "    n = int(input())\n"
    "    s = input().replace(' ', '')\n"
    "    print(s[::-1][:{m}], n)\n"
    "\n"
    "if __name__ == '__main__':\n"
    "    main()\n",
)
TESTS = 16


def _output(code: str, given: str) -> str:
    printed = io.StringIO()
    with mock.patch("sys.stdin", io.StringIO(given)), redirect_stdout(printed):
        exec(compile(code, "<sample>", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def samples(count: int) -> list[dict[str, object]]:
    """`count` samples: `code`, `inputs`, `outputs`; the programs are right, so that every checker runs all tests."""
    rng = random.Random(0)
    made: list[dict[str, object]] = []
    for number in range(count):
        code = TEMPLATES[number % len(TEMPLATES)].format(k=rng.randint(1, 9), m=rng.randint(20, 97))
        inputs = []
        for _ in range(TESTS):
            values = [rng.randint(1, 10**6) for _ in range(2 if number % len(TEMPLATES) == 0 else rng.randint(3, 40))]
            line = " ".join(map(str, values)) + "\n"
            inputs.append(line if number % len(TEMPLATES) == 0 else f"{len(values)}\n{line}")
        made.append({"code": code, "inputs": inputs, "outputs": [_output(code, given) for given in inputs]})
    return made
