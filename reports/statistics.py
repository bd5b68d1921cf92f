"""Verdicts on a reproduction, and comparisons of checkpoints on the same problems.

The published and the measured run share the same fixed problems, so the spread between problems
cancels and only sampling noise separates them.  The verdict is an equivalence test in the sense of
Schuirmann (1987, two one-sided tests) against a margin fixed before looking, with a reserve for the noise
and the rounding of the published score that the measured run does not show; the error bars follow
Miller, "Adding Error Bars to Evals" (2024, arXiv 2411.00640), and the multiple comparisons Holm (1979).
Scores, margins and intervals are in points (percent), probabilities in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.estimators import avg_at_n, sampling_variances

Label = Literal["reproduced", "not reproduced", "inconclusive"]
Interval = tuple[float, float]
Floats = NDArray[np.float64]

Z90, Z95 = 1.645, 1.960
"""Normal quantiles of the 90 % and the 95 % interval, as stated with the rule."""
Z80 = 0.842
"""Normal quantile of 80 % power."""
ROUNDING_VARIANCE = 0.05**2 / 3
"""Variance of a published score that was rounded to one decimal: uniform on ±0.05 points."""
ROUNDING = 0.05
"""Points by which a published score that was rounded to one decimal may be off."""
PSEUDO = 0.2
"""Right and wrong problems that `superpopulation_interval` adds, chosen for coverage by simulation."""
EXACT_FLIPS = 14
"""Up to this many problems the permutation test enumerates all 2^m sign patterns."""


@dataclass(frozen=True)
class Verdict:
    """What a run says of a published score.  Points, not fractions; `power` is a probability."""

    label: Label
    """The verdict, after blockers."""
    difference: float
    """Measured minus published."""
    ci90: Interval
    """90 % interval of the difference: inside (−margin, margin) means reproduced, where `reserve90` is inside too."""
    ci95: Interval
    """95 % interval of the difference: wholly outside [−margin, margin] means not reproduced."""
    samples_needed: int | None
    """Samples a problem that decide at this difference and spread, at least the published number of
    samples; None when none would, because the published run's own noise stays."""
    detectable: float
    """Smallest true difference in points that a run of this size calls "not reproduced" with 80 % probability."""
    power: float
    """Probability that a perfect reproduction of this size is called reproduced."""
    unblocked_label: Label
    """What the numbers alone would say."""
    direction: Literal["below", "above"] | None
    """Side of the published score, where `unblocked_label` is "not reproduced"."""
    score: float
    """Measured score."""
    standard_error: float
    """Standard error of the difference, the published run's noise and rounding included."""
    blockers: tuple[str, ...]
    """Why the label is forced to "inconclusive"; empty when nothing forces it."""
    near_margin: bool
    """`ci90` lies inside (−margin, margin) and `reserve90` does not: one of the blockers."""
    reserve90: Interval
    """`ci90` with as much noise of the published run as it would have had at the margin, and with its rounding in full:
    inside (−margin, margin) means reproduced."""

    @property
    def incomparable(self) -> int:
        """How many blockers say that the run is not what the published score is of: all but the margin's nearness."""
        return len(self.blockers) - int(self.near_margin)


def reproduction_verdict(
    correct_counts: ArrayLike,
    samples: int | ArrayLike,
    published: float = 90.5,
    published_samples: int = 64,
    margin: float = 2.0,
    blockers: Sequence[str] = (),
) -> Verdict:
    """Decide whether a run reproduces a published score on the same problems.

    With V_s the sampling variance of the measured score (`sampling_variance`), the difference D has
    SE² = V_s·(1 + samples/published_samples) + 0.05²/3: the published run is as noisy as one of its
    size, and its score is rounded.  Two one-sided tests with that error call 5 % of the runs reproduced that differ by the margin, and
    up to 8 % in places, because the published run is noisier than the measured one where that is nearer to 0 or 100.  So the rule is
    stricter than they are: a run whose `ci90` is inside the margin and whose `reserve90` is not gets a blocker
    (docs/reports.md says in which settings that keeps the rate at 5 % or less).

    Args:
        correct_counts: correct samples of each problem, integers in [0, samples], shape [problems].
        samples: samples a problem: one number, or one for each problem where some are missing.
        published: the published score in points.
        published_samples: samples a problem behind the published score.
        margin: largest difference in points that still counts as reproduced.
        blockers: reasons that force "inconclusive", such as "other protocol".  Fewer samples than
            published are added as a reason of their own.

    Raises:
        ValueError: an argument is out of range; the message names it.
    """
    _whole("published_samples", published_samples)
    counts = _counts(correct_counts, samples)
    if not (_is_number(published) and 0 <= published <= 100):
        raise ValueError(f"published: a score in points from 0 to 100, got {published!r}")
    if not (_is_number(margin) and margin > 0):
        raise ValueError(f"margin: points above 0, got {margin!r}")
    reasons = _reasons(blockers)
    fewest, most = int(np.min(samples)), int(np.max(samples))
    if fewest < published_samples:
        here = str(fewest) if fewest == most else f"{fewest} to {most}"
        reasons += (f"{here} {'sample' if most == 1 else 'samples'} a problem, the published run had {published_samples}",)

    noise = sampling_variances(counts, samples) * 100**2 / len(counts) ** 2
    variance, spread = float(np.sum(noise)), float(np.sum(noise * np.asarray(samples)))
    score = avg_at_n(counts, samples) * 100
    difference = score - published
    error = math.sqrt(variance + spread / published_samples + ROUNDING_VARIANCE)
    ci90 = (difference - Z90 * error, difference + Z90 * error)
    ci95 = (difference - Z95 * error, difference + Z95 * error)
    above, below = (
        _published_variance(spread, score, score + shift, published_samples, len(counts)) for shift in (-margin, margin)
    )
    reserve = difference - _reserve(variance + below), difference + _reserve(variance + above)

    label: Label = "inconclusive"
    direction: Literal["below", "above"] | None = None
    if -margin < ci90[0] and ci90[1] < margin:
        label = "reproduced"
    elif ci95[1] < -margin or ci95[0] > margin:
        label, direction = "not reproduced", "below" if difference < 0 else "above"
    near = label == "reproduced" and not (-margin < reserve[0] and reserve[1] < margin)
    if near:
        reasons += (
            f"a difference inside the margin only without a reserve for the published run: with its noise at the margin and its rounding "
            f"in full, the 90 % interval is {max(-100.0, reserve[0]):+.2f} to {min(100.0, reserve[1]):+.2f} points",
        )
    return Verdict(
        label="inconclusive" if reasons else label,
        difference=difference,
        ci90=ci90,
        ci95=ci95,
        samples_needed=_samples_needed(spread, difference, published_samples, margin, (above, below)),
        detectable=margin + (Z95 + Z80) * error,
        power=_power(variance, score, published, published_samples, margin, samples, len(counts)),
        unblocked_label=label,
        direction=direction,
        score=score,
        standard_error=error,
        blockers=reasons,
        near_margin=near,
        reserve90=reserve,
    )


def sampling_variance(correct_counts: ArrayLike, samples: int | ArrayLike) -> float:
    """Variance of the mean score when the same problems are sampled again, on the scale of fractions.

    V_s = m⁻² Σ of `benchmarks.estimators.sampling_variances`: unbiased, and with p̃ = (c+½)/(n+1) in place of p̂ where it
    would be zero or a problem has one sample.  `samples` is one number, or one for each problem where some are missing.
    """
    counts = _counts(correct_counts, samples)
    return float(np.sum(sampling_variances(counts, samples))) / len(counts) ** 2


def sampling_interval(correct_counts: ArrayLike, samples: int | ArrayLike) -> Interval:
    """95 % interval of the score, in points, if the same problems were sampled again."""
    counts = _counts(correct_counts, samples)
    half = Z95 * math.sqrt(sampling_variance(counts, samples))
    return _clip(avg_at_n(counts, samples), half)


def superpopulation_interval(
    correct_counts: ArrayLike, samples: int | ArrayLike, level: float = 0.95
) -> Interval | None:
    """Interval of the score, in points, on other problems drawn like these; None for a single problem.

    V_c = Σ(p̂−Â)²/(m(m−1)) with Student's t on m−1 degrees, as a score interval (Wilson 1927) at the effective number of
    problems Â(1−Â)/V_c; V_c already contains the sampling noise.  The plain Â ± t·√V_c covers only 90 % for 30 problems
    at 90 points and 93 % at 83, because the scores of problems are skewed; this one covers 95.0 to 96.3 %, with `PSEUDO` right and
    as many wrong problems added (`tests/reports/test_coverage.py`).  `level` is the coverage.
    """
    counts = _counts(correct_counts, samples)
    rates: Floats = counts / np.asarray(samples)
    if len(rates) < 2:
        return None
    quantile = t_quantile((1 + level) / 2, len(rates) - 1)
    problems = len(rates) + 2 * PSEUDO
    mean = (float(np.sum(rates)) + PSEUDO) / problems
    squares = float(np.sum((rates - mean) ** 2)) + PSEUDO * ((1 - mean) ** 2 + mean**2)
    effective = mean * (1 - mean) / (squares / (problems * (problems - 1)))
    share = quantile**2 / effective
    middle = (mean + share / 2) / (1 + share)
    half = quantile * math.sqrt(mean * (1 - mean) / effective + share / effective / 4) / (1 + share)
    return (middle - half) * 100, (middle + half) * 100


@dataclass(frozen=True)
class PairedComparison:
    """Two checkpoints on the same problems: first minus second, in points."""

    difference: float
    ci95: Interval
    """Student's t interval over problems, at most −100 to 100; it covers sampling and the choice of problems, not training seeds.
    Infinite with a single problem."""
    p_value: float
    """Two-sided sign-flip permutation test."""
    problems: int


def paired_comparison(
    first: ArrayLike, second: ArrayLike, permutations: int = 20_000, seed: int = 0
) -> PairedComparison:
    """Compare two checkpoints problem by problem.

    d_i = p̂_i(first) − p̂_i(second), SE = sd(d)/√m.  The end of the interval nearer to zero is that of Student's t on m−1 degrees.  The
    other has fewer where few problems make the difference, for a set of problems may have missed those that move far: f·√(f/(m−1)), at
    least 1, with f = 2m/(κ − (m−3)/(m−1)), at most m−1, and κ the kurtosis of the d_i.  f is Satterthwaite's (O'Neill 2014, "Some
    useful moment results in sampling problems"), the power was chosen for coverage by simulation.  Where all d_i are equal, so that
    it would have no width, other problems may differ in a share of up to 1 − 0.025^(1/m).

    The p-value flips the signs of d_i (Fisher's randomisation test): all 2^m patterns for few problems, else `permutations` seeded
    ones with the observed pattern counted among them (Phipson and Smyth 2010).

    Args:
        first, second: share of correct samples of each problem in [0, 1], in the same order.
        permutations: random sign patterns where there are too many to enumerate.
        seed: of the random sign patterns.

    Raises:
        ValueError: shapes differ, no problems, or a share outside [0, 1].
    """
    one, two = _rates("first", first), _rates("second", second)
    if one.shape != two.shape:
        raise ValueError(f"second: {len(two)} problems, first has {len(one)}")
    _whole("permutations", permutations)
    differences = one - two
    problems = len(differences)
    mean = float(np.mean(differences)) * 100
    below, above = _halves(differences)
    interval = (max(-100.0, mean - below), min(100.0, mean + above)) if problems > 1 else (-math.inf, math.inf)
    return PairedComparison(mean, interval, _sign_flip(differences, permutations, seed), problems)


def _halves(differences: Floats) -> Interval:
    """How far the interval of `paired_comparison` reaches below and above the mean, in points."""
    problems = len(differences)
    if problems < 2:
        return math.inf, math.inf
    if np.ptp(differences) < 1e-12:
        return (100 * (1 - 0.025 ** (1 / problems)),) * 2
    error = float(np.std(differences, ddof=1)) / math.sqrt(problems) * 100
    fewer = max(1.0, _degrees(differences) ** 1.5 / (problems - 1) ** 0.5)
    near, far = (_t_975(degrees) * error for degrees in (problems - 1, fewer))
    mean = float(np.mean(differences))
    return (near, far) if mean > 0 else (far, near) if mean < 0 else (near, near)


def _degrees(values: Floats) -> float:
    """Degrees of freedom of the variance of values that are not all equal: m−1, fewer where their tails are heavier than a normal's."""
    m = len(values)
    squares = (values - values.mean()) ** 2
    kurtosis = m * float(np.sum(squares**2)) / float(np.sum(squares)) ** 2
    return min(m - 1.0, 2 * m / (kurtosis - (m - 3) / (m - 1)))


def _t_975(degrees: float) -> float:
    """The 97.5 % quantile of Student's t for a number of degrees that need not be whole, interpolated in its inverse."""
    below = math.floor(degrees)
    low, high = t_quantile(0.975, below), t_quantile(0.975, below + 1)
    return high + (low - high) * (1 / degrees - 1 / (below + 1)) * below * (below + 1)


@dataclass(frozen=True)
class JudgeComparison:
    """Two judges on the same samples: second minus first, in points."""

    difference: float
    ci95: Interval
    """If the same problems were sampled again."""
    first_only: int
    """Samples that only the first judge counts as right."""
    second_only: int
    """Samples that only the second judge counts as right."""
    samples: int


def judge_comparison(first_only: ArrayLike, second_only: ArrayLike, samples: ArrayLike) -> JudgeComparison:
    """Compare two judges of the same samples, problem by problem.

    A sample's difference d is −1, 0 or 1.  SE² = m⁻² Σ s_i²/n_i with s_i² the variance of d within problem i; where
    it would be zero, s_i² is (Σd²+½)/(n+1) − (Σd/(n+1))², as `benchmarks.estimators.paired_effect` has it.  With one sample
    for every problem nothing is known of the spread within one, and SE² = (s − D²)/m as Tango has it, over problems.  The interval
    is a score interval (Tango 1998, for rare differences): every μ with (D−μ)² ≤ 1.96²·SE²·(1 + √(1 − 4μ(D−μ)/s²))/2, where s is
    the share of samples on which the judges differ.  With D ± 1.96·SE a handful of such samples would be covered in 84 to 93 % of
    the runs.  Judges that agree on all N samples differ on at most 1 − 0.025^(1/N) of others like these (Clopper and Pearson 1934).

    Args:
        first_only, second_only: samples of each problem that only one judge counts as right, shape [problems].
        samples: samples of each problem that both judged, at least 1.

    Raises:
        ValueError: an argument is out of range or of another shape; the message names it.
    """
    n = np.asarray(samples)
    if n.ndim != 1:
        raise ValueError("samples: one number for each problem")
    one, two = _counts(first_only, n), _counts(second_only, n)
    if np.any(one + two > n):
        raise ValueError("second_only: with first_only more than samples")
    total, squares = two - one, one + two
    spread = (squares - total**2 / n) / np.maximum(n - 1, 1)
    if not np.any(spread[n > 1]):
        spread = (squares + 0.5) / (n + 1) - (total / (n + 1)) ** 2
    mean, variance, differ = float(np.mean(total / n)), float(np.sum(spread / n)) / len(n) ** 2, float(np.mean(squares / n))
    if n.max() == 1:
        variance = (differ - mean**2) / len(n)
    if n.max() == 1 and abs(mean) == 1:  # all problems, and in one direction
        low, high = sorted((mean, mean * 0.025 ** (1 / len(n))))
    elif differ:
        low, high = (_score_end(mean, variance, differ, side) for side in (-1, 1))
    else:
        high = 1 - 0.025 ** (1 / float(n.sum()))
        low = -high
    return JudgeComparison(mean * 100, (low * 100, high * 100), int(one.sum()), int(two.sum()), int(n.sum()))


def _score_end(mean: float, variance: float, differ: float, side: Literal[-1, 1]) -> float:
    """The end of the interval of `judge_comparison` below or above the mean, by bisection."""
    near, far = 0.0, 1.0 - side * mean
    for _ in range(60):
        middle = (near + far) / 2
        at = mean + side * middle
        inside = max(0.0, 1 - 4 * at * (mean - at) / differ**2)
        near, far = (middle, far) if middle**2 < Z95**2 * variance * (1 + math.sqrt(inside)) / 2 else (near, middle)
    return mean + side * near


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values for the number of comparisons (Holm 1979): step-down, monotone, at most 1."""
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or np.any(~(values >= 0) | (values > 1)):
        raise ValueError("p_values: a list of probabilities")
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t for a whole number of degrees, by bisection of the exact distribution.

    Raises:
        ValueError: probability outside (0.5, 1) or degrees below 1.
    """
    if not 0.5 < probability < 1:
        raise ValueError(f"probability: between 0.5 and 1, got {probability!r}")
    _whole("degrees", degrees)
    low, high = 0.0, 1.0
    while _t_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _t_cdf(value: float, degrees: int) -> float:
    """P(T ≤ value) for value ≥ 0: the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan2(value, math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2 == 1
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 if odd else 0, degrees - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    central = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + central / 2


def _published_variance(spread: float, score: float, at: float, published_samples: int, problems: int) -> float:
    """Variance in points² of a published score whose truth is `at`, seen from a run with `score`; `spread` is its n·V_s.

    Problems that differ as much (Beta distributed with one concentration) have V_s in proportion to s·(1−s); no problems have
    more than s·(1−s)/(m·n), which is that of equally hard ones.  Even so never less than that of a run like the measured one.
    """
    here, there = (min(max(points / 100, 0.0), 1.0) for points in (score, at))
    equal = spread / published_samples
    most = there * (1 - there) * 100**2 / (problems * published_samples)
    alike = equal * there * (1 - there) / (here * (1 - here)) if 0 < here < 1 else math.inf
    return max(equal, min(alike, most))


def _reserve(variance: float) -> float:
    """Half the width of a 90 % interval of the difference, with the rounding of the published score in full."""
    return Z90 * math.sqrt(variance) + ROUNDING


def _power(
    variance: float, score: float, published: float, published_samples: int, margin: float, samples: int | ArrayLike, problems: int
) -> float:
    """Probability that a run whose truth is the published score is called reproduced; `variance` is that of a run with `score`.

    Its variance is in proportion to s·(1−s) and at most that of equally hard problems; where that is zero it is what a run that is
    right throughout is taken to have, and with one sample a problem it is the same whatever the score
    (`benchmarks.estimators.sampling_variances`).
    """
    here, there = (min(max(points / 100, 0.0), 1.0) for points in (score, published))
    n = np.broadcast_to(np.asarray(samples), problems)
    perfect = variance
    if np.min(n) > 1:
        equal = there * (1 - there) * float(np.sum(1 / n)) * 100**2 / problems**2
        scaled = min(variance * there * (1 - there) / (here * (1 - here)), equal) if 0 < here < 1 else equal
        perfect = scaled or float(np.sum(sampling_variances(n.astype(np.float64), n))) * 100**2 / problems**2
    spread = perfect * problems / float(np.sum(1 / n))
    normal = NormalDist(0, math.sqrt(perfect + spread / published_samples + ROUNDING_VARIANCE))
    edges = (_published_variance(spread, published, published + shift, published_samples, problems) for shift in (-margin, margin))
    return max(0.0, sum(normal.cdf(margin - _reserve(perfect + of_published)) for of_published in edges) - 1)


def _samples_needed(
    spread: float, difference: float, published_samples: int, margin: float, published_variances: tuple[float, float]
) -> int | None:
    """Smallest n that decides at this difference; `spread` is n·V_s in points², `published_variances` those of both tests."""
    if abs(difference) > margin:
        rooms = [((abs(difference) - margin) / Z95, spread / published_samples + ROUNDING_VARIANCE)]
    else:
        distances = margin - difference, margin + difference
        rooms = [((far - ROUNDING) / Z90, noise) for far, noise in zip(distances, published_variances, strict=True)]
    needed = published_samples
    for target, noise in rooms:
        room = target * target - noise
        if target <= 0 or room <= 0:
            return None
        needed = max(needed, math.floor(spread / room) + 1)
    return needed


def _sign_flip(differences: Floats, permutations: int, seed: int) -> float:
    observed = abs(float(np.sum(differences))) - 1e-9
    problems = len(differences)
    if problems <= EXACT_FLIPS:
        patterns = (np.arange(2**problems)[:, None] >> np.arange(problems)) & 1
        return float(np.mean(np.abs((1 - 2.0 * patterns) @ differences) >= observed))
    random = np.random.default_rng(seed)
    extreme, block = 1, 2000
    for start in range(0, permutations, block):
        signs = 1.0 - 2.0 * random.integers(0, 2, size=(min(block, permutations - start), problems))
        extreme += int(np.count_nonzero(np.abs(signs @ differences) >= observed))
    return extreme / (permutations + 1)


def _clip(mean: float, half: float) -> Interval:
    return max(0.0, (mean - half) * 100), min(100.0, (mean + half) * 100)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def _whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or int(value) < 1:
        raise ValueError(f"{name}: a whole number from 1, got {value!r}")


def _counts(correct_counts: ArrayLike, samples: int | ArrayLike) -> Floats:
    for number in np.unique(samples) if np.ndim(samples) else [samples]:
        _whole("samples", number)
    try:
        counts = np.asarray(correct_counts)
    except ValueError as error:
        raise ValueError("correct_counts: one number for each problem, not nested lists") from error
    if counts.ndim != 1 or counts.size == 0 or counts.dtype.kind not in "biuf":
        raise ValueError("correct_counts: one number for each problem, at least one problem")
    values: Floats = counts.astype(np.float64)
    if np.any(~np.isfinite(values)) or np.any(values != np.floor(values)):
        raise ValueError("correct_counts: whole numbers of correct samples")
    if np.ndim(samples) and np.shape(samples) != values.shape:
        raise ValueError("samples: one number, or one for each problem")
    if np.any((values < 0) | (values > np.asarray(samples))):
        raise ValueError(f"correct_counts: between 0 and samples={samples!r}")
    return values


def _rates(name: str, rates: ArrayLike) -> Floats:
    values = np.asarray(rates, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"{name}: one share in [0, 1] for each problem, at least one problem")
    return values


def _reasons(blockers: Sequence[str]) -> tuple[str, ...]:
    reasons = () if isinstance(blockers, str) else tuple(blockers)
    if isinstance(blockers, str) or not all(isinstance(reason, str) and reason for reason in reasons):
        raise ValueError("blockers: a list of reasons, each a text")
    return reasons
