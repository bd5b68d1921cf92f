"""The judge `strict` of the `benchmarks` that PYTHONPATH names, in a process of its own: `python strict_before.py WORKERS`.

Answers every line of pairs (JSON: text and gold) with the seconds that they took, and the verdicts.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.grading import GraderPool

with GraderPool(workers=int(sys.argv[1])) as pool:
    for line in sys.stdin:
        pairs = [(text, gold) for text, gold in json.loads(line)]
        began = time.perf_counter()
        verdicts = [grade.correct for grade in pool.grade_many(pairs)]
        print(json.dumps([time.perf_counter() - began, verdicts]), flush=True)
