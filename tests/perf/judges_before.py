"""The judges of the `benchmarks` that PYTHONPATH names, in a process of its own: `python judges_before.py WORKERS`.

Answers every line (JSON: the judge, and pairs of text and gold) with the seconds that they took, and the verdicts.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.grading import GraderPool

with GraderPool(workers=int(sys.argv[1])) as pool:
    for line in sys.stdin:
        judge, pairs = json.loads(line)
        items = [(text, gold) for text, gold in pairs]
        began = time.perf_counter()
        verdicts = [grade.correct for grade in pool.grade_many(items, judge)]
        print(json.dumps([time.perf_counter() - began, verdicts]), flush=True)
