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
_DRAWN = 2**22  # row numbers drawn at a time: 32 MB


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
