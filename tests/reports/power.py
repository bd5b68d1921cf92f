"""Prints the table of docs/reports.md: what a perfect reproduction of each published score can hope for."""

from __future__ import annotations

import numpy as np
from test_coverage import SHAPES, drawn, verdicts


def main() -> None:
    """Median over 2,000 runs, on the 200 draws of difficulties whose mean is next to the published score."""
    print("| published | problems × samples | SE of D | power | detectable | called reproduced |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for shape in SHAPES:
        candidates = drawn(shape, 20_000, 21)
        rates = candidates[np.argsort(np.abs(candidates.mean(1) - shape.score), kind="stable")[:200]]
        spread = np.sum(rates * (1 - rates), axis=1)
        found = list(verdicts(shape, rates[np.argsort(spread)[100]], 0.0))
        stated = ("standard_error", "power", "detectable")
        error, power, detectable = (float(np.median([getattr(one, name) for one in found])) for name in stated)
        share = np.mean([one.label == "reproduced" for one in found])
        name = f"{shape.name}, {100 * shape.score:.1f}"
        print(f"| {name} | {shape.problems} × {shape.samples} | {error:.2f} | {power:.2f} | {detectable:.1f} | {share:.2f} |")


if __name__ == "__main__":
    main()
