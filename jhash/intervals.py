"""How sure a mean over queries is: bootstrap intervals, and whether one method beats another on the same queries.

Queries are what is drawn again. Seeds of one method enter by averaging each query's value over them first
(`average_seeds`): the interval then speaks of the method's mean over those seeds on other queries, while the spread
between seeds is reported beside it (`spread`), never mixed into it.
"""

from typing import NamedTuple

import chex
import numpy as np

from jhash.types import InputError

RESAMPLES = 4000
FLIPS = 9999  # the smallest p-value is then 1 in 10,000
_DRAWN = 2**22  # row numbers drawn at a time: 32 MB
_SIGNS = (np.arange(256)[:, None] >> np.arange(8)[None, :]) & 1  # every choice among eight


class Interval(NamedTuple):
    mean: float
    low: float
    high: float


class Comparison(NamedTuple):
    """The mean difference from the baseline over queries, with its interval."""

    verdict: str  # 'won' or 'lost' where the interval excludes 0, else 'tied'
    difference: Interval


def bootstrap(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of per-query values [S] and its 95 % percentile interval (Efron 1979).

    The same seed, resamples and S draw the same queries. With one query the interval is a point.

    Raises:
        InputError: where no query counts.
    """
    values = np.asarray(values, np.float64)
    chex.assert_rank(values, 1)
    if not len(values):
        raise InputError("interval: expected at least one query that counts, found none.")
    random = np.random.default_rng(seed)
    means, size = np.empty(resamples), len(values)
    for start in range(0, resamples, max(1, _DRAWN // size)):
        some = means[start : start + max(1, _DRAWN // size)]
        some[:] = values[random.integers(size, size=(len(some), size))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def compare(values: np.ndarray, baseline: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """The paired bootstrap: both methods' values [S] on the same queries, which are drawn again together.

    Raises:
        InputError: where the two were scored on different numbers of queries.
    """
    values, baseline = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if values.shape != baseline.shape:
        raise InputError(f"comparison: expected the baseline's {len(baseline)} queries, found {len(values)}.")
    difference = bootstrap(values - baseline, resamples=resamples, seed=seed)
    verdict = "won" if difference.low > 0 else "lost" if difference.high < 0 else "tied"
    return Comparison(verdict, difference)


def sign_flip_test(values: np.ndarray, baseline: np.ndarray, *, flips: int = FLIPS, seed: int = 0) -> float:
    """The p-value of the paired randomisation test: is a mean difference this large, either way, what chance gives?

    Where the two methods are alike, each query's difference might as well have the other sign (Fisher 1935, "The Design
    of Experiments", §21; for rankings Smucker, Allan and Carterette, CIKM 2007). All other choices of signs are tried
    where there are no more than `flips`, else so many random ones. p = (k + 1) / (n + 1), where k of the n choices
    tried give a mean at least as far from 0 as the one found (Dwass 1957; exact where all were tried).

    Args:
        values: [S] of a method's queries.
        baseline: [S] of another method's on the same queries.
        flips: at most so many choices of signs.
        seed: draws them.

    Raises:
        InputError: where the two were scored on different numbers of queries.
    """
    values, baseline = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    chex.assert_rank([values, baseline], 1)
    if values.shape != baseline.shape:
        raise InputError(f"comparison: expected the baseline's {len(baseline)} queries, found {len(values)}.")
    differences = values - baseline
    moved = differences[differences != 0]  # a difference of 0 has no sign
    if not len(moved):
        return 1.0
    total, random = moved.sum(), np.random.default_rng(seed)
    least = abs(total) - 1e-12 * np.abs(moved).sum()  # the same sum in another order
    exact = len(moved) <= 62 and 2 ** len(moved) - 1 <= flips
    tried = 2 ** len(moved) - 1 if exact else flips
    eights = np.zeros((-(-len(moved) // 8), 8))
    eights.flat[: len(moved)] = moved
    flipped, numbers = np.zeros(tried), np.arange(1, tried + 1)
    for place, sums in enumerate(eights @ _SIGNS.T):  # [256]: of eight differences, by which of them are flipped
        flipped += sums[(numbers >> 8 * place) & 255 if exact else random.integers(0, 256, tried, np.uint8)]
    found = int((np.abs(total - 2 * flipped) >= least).sum())
    return (found + 1) / (tried + 1)


def holm(values: np.ndarray) -> np.ndarray:
    """p-values [M] of several comparisons, adjusted so that the chance of even one false finding stays what it was.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the smallest is multiplied by M, the next by
    M - 1, ..., none falling below one before it or rising above 1.
    """
    values = np.asarray(values, np.float64)
    chex.assert_rank(values, 1)
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def average_seeds(values: np.ndarray) -> np.ndarray:
    """Per-query values of several seeds [seeds, S] -> [S], for `bootstrap` and `compare`."""
    values = np.asarray(values, np.float64)
    chex.assert_rank(values, 2)
    return values.mean(axis=0)


def spread(means: np.ndarray) -> tuple[float, float | None]:
    """The mean over seeds of each seed's figure [seeds], and their standard deviation (n - 1); None for one seed."""
    means = np.asarray(means, np.float64)
    chex.assert_rank(means, 1)
    return float(means.mean()), float(means.std(ddof=1)) if len(means) > 1 else None
