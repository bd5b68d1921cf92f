"""Prints the table of docs/reports.md: what a perfect reproduction of each published score can hope for."""

from __future__ import annotations

import numpy as np
from test_coverage import SHAPES, at_published_score, verdicts


def main() -> None:
    """Median over 2,000 runs, on the 200 draws of difficulties whose mean is next to the published score."""
    print("| published | problems × samples | SE of D | power | detectable | called reproduced |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for shape in SHAPES:
        found = list(verdicts(shape, at_published_score(shape, 0.5), 0.0))
        stated = ("standard_error", "power", "detectable")
        error, power, detectable = (float(np.median([getattr(one, name) for one in found])) for name in stated)
        share = np.mean([one.label == "reproduced" for one in found])
        name = f"{shape.name}, {100 * shape.score:.1f}"
        print(f"| {name} | {shape.problems} × {shape.samples} | {error:.2f} | {power:.2f} | {detectable:.1f} | {share:.2f} |")


if __name__ == "__main__":
    main()
