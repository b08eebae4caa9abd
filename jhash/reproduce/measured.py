"""A number of one cell: from the files that its runs left, with what is needed to say how sure it is."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jhash import intervals, report
from jhash.reproduce import protocols
from jhash.reproduce.grid import Score
from jhash.reproduce.protocols import How


@dataclasses.dataclass(frozen=True)
class Measured:
    """A mean with its values query by query, where it has such: a list for each medium that asks."""

    value: float
    strata: tuple[np.ndarray, ...] = ()  # [S] each
    shares: tuple[float, ...] = ()  # of each in the mean; they add up to 1
    asking: tuple[str, ...] = ()  # whose queries each is
    deviation: float | None = None  # between seeds
    how: tuple[How, ...] = ()  # by which protocol, of each direction


def of_score(folder: Path, score: Score, method: str, seed: int) -> Measured:
    """One run's number: the mean over the directions that the score names, of those between different media.

    Raises:
        KeyError: the run has no such rows.
    """
    chosen, hows = [], []
    for row, values, *_ in report.read_found(folder):
        asks, answers = row["query"].split(" ")[0], row["database"].split(" ")[0]
        named = (row["method"], row["preset"], row["metric"], row["k"], row["seed"])
        if named != (method, score.preset, score.metric, score.k, seed):
            continue
        if score.asks and (asks, answers) != (score.asks, score.answers):
            continue
        if not score.asks and asks == answers and " " in row["query"]:  # within a medium: 'image test'
            continue
        chosen.append((asks, values))
        hows.append(protocols.how(row, len(values)))
    if not chosen:
        raise KeyError(f"{folder}: no {score.metric} at {score.k} by {score.preset} of {method}")
    return dataclasses.replace(of_directions(chosen), how=tuple(hows))


def of_directions(directions: Sequence[tuple[str, np.ndarray]]) -> Measured:
    """The mean over directions, (asking medium, per-query values [S]) each: queries of one medium are one sample."""
    strata, shares, asking = [], [], []
    for medium in sorted({asks for asks, _ in directions}):  # a first medium of another order asks the same
        own = [np.asarray(values, np.float64) for asks, values in directions if asks == medium]
        together = [np.mean(own, axis=0)] if len({len(values) for values in own}) == 1 else own
        strata += together
        shares += [len(own) / len(together) / len(directions)] * len(together)
        asking += [medium] * len(together)
    value = sum(share * stratum.mean() for share, stratum in zip(shares, strata, strict=True))
    return Measured(float(value), tuple(strata), tuple(shares), tuple(asking))


def over_seeds(seeds: Sequence[Measured]) -> Measured:
    """The mean over seeds, query by query where the queries are the same, and the deviation between them."""
    mean, deviation = intervals.spread(np.array([one.value for one in seeds]))
    how = tuple(dict.fromkeys(one for found in seeds for one in found.how))
    shapes = {tuple(len(stratum) for stratum in one.strata) for one in seeds}
    if len(shapes) > 1:  # seeds draw other queries
        return Measured(mean, deviation=deviation, how=how)
    strata = tuple(np.mean(found, axis=0) for found in zip(*(one.strata for one in seeds), strict=True))
    return Measured(mean, strata, seeds[0].shares, seeds[0].asking, deviation, how)


def interval(measured: Measured, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % bootstrap interval over queries, each medium's drawn by themselves; None without such values."""
    if not measured.strata or not all(len(stratum) for stratum in measured.strata):
        return None
    if len(measured.strata) == 1:
        found = intervals.bootstrap(measured.strata[0], seed=seed)
        return found.low, found.high
    random, drawn = np.random.default_rng(seed), 0.0
    for share, stratum in zip(measured.shares, measured.strata, strict=True):
        drawn = drawn + share * _resampled(stratum, random)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _resampled(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[R] means of as many values drawn with replacement; a few at a time, for there may be 45,600."""
    means, size = np.empty(intervals.RESAMPLES), len(values)
    step = max(1, 2**22 // size)
    for start in range(0, len(means), step):
        some = means[start : start + step]
        some[:] = values[random.integers(size, size=(len(some), size))].mean(axis=1)
    return means


def difference(one: Measured, other: Measured) -> tuple[float, tuple[float, float] | None]:
    """one − other, with its interval by the paired bootstrap; None where the two were not asked the same."""
    gap = one.value - other.value
    if [len(s) for s in one.strata] != [len(s) for s in other.strata]:
        return gap, None
    if (one.asking, one.shares) != (other.asking, other.shares):
        return gap, None
    strata = tuple(a - b for a, b in zip(one.strata, other.strata, strict=True))
    return gap, interval(Measured(gap, strata, one.shares))
