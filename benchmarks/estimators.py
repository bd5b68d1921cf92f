"""Scores of repeated sampling: avg@n, pass@k, maj@k, and their problem-clustered standard error.

Counts are per problem: `correct[i]` of `samples[i]` generations were right.  Every function returns a
fraction, not points.  Verdicts on a reproduction are in `reports.statistics`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.errors import BenchmarkError

MAJ_SUBSETS = 1_000


def _counts(correct: ArrayLike, samples: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    c, n = np.broadcast_arrays(np.atleast_1d(np.asarray(correct)), np.asarray(samples))
    if c.size == 0:
        raise BenchmarkError("no problems to score")
    if c.ndim != 1 or np.any(c != np.floor(c)) or np.any(n != np.floor(n)):
        raise BenchmarkError("counts must be one whole number a problem")
    c, n = c.astype(np.int64), n.astype(np.int64)
    if np.any(n < 1) or np.any(c < 0) or np.any(c > n):
        raise BenchmarkError("counts must satisfy 0 <= correct <= samples and samples >= 1")
    return c, n


def avg_at_n(correct: ArrayLike, samples: ArrayLike) -> float:
    """Mean over problems of the share of correct generations (the paper's avg@n, pass@1)."""
    c, n = _counts(correct, samples)
    return float(np.mean(c / n))


def pass_at_k(correct: ArrayLike, samples: ArrayLike, k: int) -> float:
    """Mean over problems of 1 − C(n−c, k)/C(n, k), unbiased (Chen et al. 2021, arXiv 2107.03374).

    Computed as 1 − Π (1 − c/(n−i)) for i = 0…k−1, a product of k factors in [0, 1]: no binomial overflows.

    Raises:
        BenchmarkError: k < 1 or k larger than some problem's number of samples.
    """
    c, n = _counts(correct, samples)
    if not 1 <= k <= int(n.min()):
        raise BenchmarkError(f"k={k} must lie between 1 and the smallest number of samples, {int(n.min())}")
    steps = np.arange(k)[:, None]
    factors = np.clip(1.0 - c / (n - steps), 0.0, 1.0)
    return float(np.mean(1.0 - np.prod(factors, axis=0)))


def maj_at_k(
    answers: Sequence[Sequence[Hashable]],
    correct: Sequence[Sequence[bool]],
    k: int,
    subsets: int = MAJ_SUBSETS,
    seed: int = 0,
) -> float:
    """Mean over problems of majority voting among k generations (Wang et al. 2023, arXiv 2203.11171).

    `answers[i][j]` is generation j's answer, equivalent answers already joined to one value, None for
    no answer (it has no vote); `correct[i][j]` its grade.  Averaged over `subsets` random subsets of
    size k without replacement (one when k is all of them); a tie counts as the correct share of the
    tied answers.  A vote is right as far as the generations that cast it are.
    """
    return maj_curve(answers, correct, [k], subsets, seed)[0]


def maj_curve(
    answers: Sequence[Sequence[Hashable]],
    correct: Sequence[Sequence[bool]],
    ks: Sequence[int],
    subsets: int = MAJ_SUBSETS,
    seed: int = 0,
) -> list[float]:
    """`maj_at_k` for several k: each problem's random orders are drawn once, and their first k are the subsets; exact for k = 1."""
    if len(answers) != len(correct) or not answers:
        raise BenchmarkError("answers and grades must cover the same problems, at least one")
    if subsets < 1:
        raise BenchmarkError(f"subsets={subsets} must be at least 1")
    rng = np.random.default_rng(seed)
    scores = np.zeros((len(answers), len(ks)))
    for row, (given, grades) in enumerate(zip(answers, correct, strict=True)):
        n = len(given)
        for k in ks:
            if len(grades) != n or not 1 <= k <= n:
                raise BenchmarkError(f"k={k} must lie between 1 and the number of samples, {n}")
        kinds = sorted({answer for answer in given if answer is not None}, key=repr)
        if not kinds:
            continue
        place = {answer: number for number, answer in enumerate(kinds)}
        labels = np.array([len(kinds) if answer is None else place[answer] for answer in given])
        votes = np.bincount(labels, minlength=len(kinds) + 1)
        right = (np.bincount(labels, np.asarray(grades, dtype=float), len(kinds) + 1) / np.maximum(votes, 1))[:-1]
        orders = rng.permuted(np.tile(labels, (subsets, 1)), axis=1)
        alone = float(np.append(right, 0.0)[labels].mean())
        scores[row] = [alone if k == 1 else _majority(orders[: 1 if k == n else subsets, :k], right) for k in ks]
    return [float(score) for score in scores.mean(axis=0)]


def _majority(labels: NDArray[np.int64], right: NDArray[np.float64]) -> float:
    """Mean over rows of the correct share of the labels that occur most; the last label has no vote."""
    rows, kinds = len(labels), len(right) + 1
    flat = (labels + np.arange(rows)[:, None] * kinds).ravel()
    counts = np.bincount(flat, minlength=rows * kinds).reshape(rows, kinds)[:, :-1]
    top = counts.max(axis=1, keepdims=True)
    tied = (counts == top) & (top > 0)
    return float(((tied @ right) / np.maximum(tied.sum(axis=1), 1)).mean())


def clustered_standard_error(correct: ArrayLike, samples: ArrayLike) -> float:
    """Standard error of avg@n, problems as clusters: sqrt(Σ(p̂−Â)²/(m(m−1))) (Miller 2024, arXiv 2411.00640).

    It treats the problems as drawn from a population and already contains the sampling noise.  NaN for
    one problem: nothing can be said.
    """
    c, n = _counts(correct, samples)
    rates = c / n
    m = rates.size
    if m < 2:
        return float("nan")
    return float(np.sqrt(np.sum((rates - rates.mean()) ** 2) / (m * (m - 1))))


def sampling_standard_error(correct: ArrayLike, samples: ArrayLike) -> float:
    """Standard error of avg@n for these very problems: sqrt(m⁻² Σ p̂(1−p̂)/(n−1)), unbiased in the variance.

    When every problem is all right or all wrong, which would give zero, p̃ = (c+½)/(n+1) stands in.
    NaN when a problem has one sample.
    """
    if np.any(np.asarray(samples) < 2):
        return float("nan")
    variances = sampling_variances(correct, samples)
    return float(np.sqrt(np.sum(variances)) / variances.size)


def sampling_variances(correct: ArrayLike, samples: ArrayLike) -> NDArray[np.float64]:
    """Variance of each problem's share of right samples, [problems]: p̂(1−p̂)/(n−1), unbiased.

    p̃ = (c+½)/(n+1) stands in for p̂ where every problem is all right or all wrong, and, with 1 in place of n−1, at a
    problem with one sample, which says nothing of its noise.
    """
    c, n = _counts(correct, samples)
    smooth = np.all((c == 0) | (c == n)) | (n < 2)
    rates = np.where(smooth, (c + 0.5) / (n + 1), c / n)
    variances: NDArray[np.float64] = rates * (1 - rates) / np.maximum(n - 1, 1)
    return variances


def paired_effect(before: ArrayLike, after: ArrayLike, *, resampled: bool = True) -> tuple[float, float]:
    """Mean difference of two outcomes of the same samples, and its standard error on these very problems.

    `before`, `after`: [problems, samples], the same problem and seed at the same place.  The error is
    sqrt(m⁻² Σ s²/n) with s² the variance of the differences within a problem.  With one sample a problem, or where no
    problem's differences vary, s² is (Σd²+½)/(n+1) − (Σd/(n+1))², which is not zero, or the spread between problems
    stands in where that is larger.  `resampled` false: the samples are not random, and the error is what varies.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.size == 0:
        raise BenchmarkError(f"outcomes must be two arrays [problems, samples] of one shape, not {first.shape} and {second.shape}")
    difference = second - first
    m, n = difference.shape
    mean = float(difference.mean())
    within = float(np.sqrt(np.sum(difference.var(axis=1, ddof=1) / n)) / m) if n > 1 else 0.0
    if within > 0 or not resampled:
        return mean, within
    between = float(np.sqrt(np.sum((difference.mean(axis=1) - mean) ** 2) / (m * (m - 1)))) if m > 1 else 0.0
    spread = (np.square(difference).sum(axis=1) + 0.5) / (n + 1) - np.square(difference.sum(axis=1) / (n + 1))
    return mean, max(between, float(np.sqrt(np.sum(spread / n)) / m))
