"""The field's protocols, each with its name, and the measures of a ranking or of two histograms, in float64 NumPy.

Average precision has several definitions in this field. A `Protocol` spells every choice out, and no figure stands
without its preset and its rule for ties.
"""

import dataclasses
import functools
from collections.abc import Sequence

import chex
import numpy as np

from jhash.types import InputError

_CHOICES = {
    "divisor": ("k", "hits", "relevant", "min_k_relevant", "first_relevant"),
    "ties": ("stable", "shuffled", "expected", "optimistic", "pessimistic"),
    "self_rule": ("kept", "removed"),
    "empty": ("zero", "left_out", "left_out_multi_label"),
}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Everything that an average precision depends on, beside the ranking.

    cutoffs: how many items of the ranking count; None is the whole ranking.
    divisor: what the sum of precisions at relevant items is divided by: 'k' the cut-off; 'hits' the relevant items
        above the cut-off; 'relevant' those in the database, R; 'min_k_relevant' min(k, R). 'first_relevant' divides by
        min(k, R) too, but sums over the first min(k, R) relevant items wherever they rank.
    ties: the order of items at equal distance: 'stable' by row; 'shuffled' by row after a seeded permutation of the
        database; 'expected' the mean over all orders; 'optimistic' relevant items first, 'pessimistic' last.
    self_rule: whether a query that is itself in the database is 'kept' there or 'removed' from its own ranking.
    empty: a query with nothing relevant counts 'zero', is 'left_out', or is left out of multi-label data alone.
    """

    cutoffs: tuple[int | None, ...]
    divisor: str
    ties: str
    self_rule: str
    empty: str

    def __post_init__(self):
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise InputError(
                    f"protocol field {field!r}: expected one of {choices}, found {getattr(self, field)!r}."
                )
        if not self.cutoffs or any(k is not None and k < 1 for k in self.cutoffs):
            raise InputError(f"protocol field 'cutoffs': expected numbers from 1 up or None, found {self.cutoffs}.")
        if self.divisor == "k" and None in self.cutoffs:
            raise InputError("protocol divisor 'k': expected a number for each cut-off, found the whole ranking.")
        bounded = any(k is not None for k in self.cutoffs)
        if self.ties == "expected" and (self.divisor == "hits" or (self.divisor == "first_relevant" and bounded)):
            raise InputError(
                f"protocol ties 'expected': expected a divisor that the order can't change, found {self.divisor!r}."
            )


PRESETS = {
    # Unsupervised video hashing (Hao et al. 2022; Li et al. 2022).
    "video": Protocol((5, 10, 20, 40, 60, 80, 100), "k", "stable", "kept", "zero"),
    # Cross-media hashing with a database of training and test items, the queries among them.
    "she": Protocol((None,), "relevant", "stable", "kept", "left_out_multi_label"),
    # The deep cross-modal hashing program's evaluation.
    "dcmh": Protocol((None,), "first_relevant", "stable", "kept", "zero"),
    # Most image-hashing programs. They choose the cut-off for each dataset: name yours with `cutoffs`.
    "deephash": Protocol((1000,), "hits", "stable", "kept", "zero"),
    # Information retrieval's own definition.
    "trec": Protocol((None,), "relevant", "stable", "removed", "left_out"),
}


# ---- the measures, from a ranking or from two histograms


def average_precision(
    ranked: np.ndarray, relevant: np.ndarray, *, cutoffs: Sequence[int | None], divisor: str
) -> np.ndarray:
    """Average precision of given rankings, [Q, len(cutoffs)].

    Args:
        ranked: bool [Q, D], whether the item at each rank is relevant; as deep as the deepest cut-off, or the whole
            ranking where the cut-off is None or the divisor 'first_relevant'.
        relevant: [Q], the relevant items in the database.
        cutoffs: k, or None for the whole ranking. A cut-off beyond the database still divides by k where k divides.
        divisor: see `Protocol`. Where it is 0 the result is 0.
    """
    chex.assert_rank([ranked, relevant], [2, 1])
    depth = ranked.shape[1]
    if all(k is None or k >= depth for k in cutoffs):
        found = np.array([np.count_nonzero(row) for row in ranked])
        nth, inverse = _ladder(depth)
        # einsum: a product by BLAS would wake threads of its own for each row
        places = map(np.flatnonzero, ranked)
        total = np.array([np.einsum("i,i", nth[:n], inverse[at]) for n, at in zip(found, places, strict=True)])
        return np.stack([_ratio(total, _divisor(divisor, k, found, relevant)) for k in cutoffs], axis=1)
    result = np.zeros((len(ranked), len(cutoffs)))
    few = max(1, 2**15 // depth)  # rows whose numbers stay in the processor's cache
    for start in range(0, len(ranked), few):
        rows = slice(start, start + few)
        result[rows] = _average_precision(ranked[rows], relevant[rows], cutoffs, divisor)
    return result


def _average_precision(ranked, relevant, cutoffs, divisor):
    depth = ranked.shape[1]
    found = np.array([np.count_nonzero(row) for row in ranked])
    ends = np.cumsum(found)
    starts = np.repeat(ends - found, found)
    nth = np.arange(1, len(starts) + 1) - starts  # the nth hit of its query
    ranks = np.flatnonzero(ranked) - np.repeat(np.arange(len(ranked)) * depth, found) + 1
    precision = nth / ranks
    result = np.zeros((len(ranked), len(cutoffs)))
    for column, k in enumerate(cutoffs):
        kept, hits = precision, found
        if k is not None and k < depth:
            inside = (nth if divisor == "first_relevant" else ranks) <= k
            kept = precision * inside
            hits = _sums(inside.astype(np.int64), found)
        result[:, column] = _ratio(_sums(kept, found), _divisor(divisor, k, hits, relevant))
    return result


def expected_average_precision(
    counts: np.ndarray, hits: np.ndarray, *, cutoffs: Sequence[int | None], divisor: str
) -> np.ndarray:
    """The mean of average precision over all orders of equal distances, [Q, len(cutoffs)], without sorting.

    With n_d items and r_d relevant ones at distance d, and N and R strictly nearer, the expected sum of precisions is
    Σ_d (r_d / n_d) Σ_{t=1..m} (R + 1 + (t - 1) f) / (N + t), with m = min(n_d, k - N) and f = (r_d - 1) / (n_d - 1);
    the inner sum is (R + 1) h + f (m - (N + 1) h), h = H_{N+m} - H_N (after McSherry and Najork 2008).

    Args:
        counts: [Q, K + 1] items at each distance.
        hits: [Q, K + 1] relevant items at each distance.
        cutoffs: k, or None for the whole ranking.
        divisor: any of `Protocol` but 'hits', which the order of ties would change.
    """
    chex.assert_rank([counts, hits], 2)
    chex.assert_equal_shape([counts, hits])
    nearer, nearer_hits = np.cumsum(counts, axis=1) - counts, np.cumsum(hits, axis=1) - hits
    items, relevant = counts.sum(axis=1), hits.sum(axis=1)
    harmonic = _harmonic(int(items.max(initial=0)))
    share = _ratio(hits, counts)
    slope = np.where(hits > 0, _ratio(hits - 1, counts - 1), 0)
    result = np.zeros((len(counts), len(cutoffs)))
    for column, k in enumerate(cutoffs):
        taken = counts if k is None else np.clip(k - nearer, 0, counts)
        h = harmonic[nearer + taken] - harmonic[nearer]
        total = (share * ((nearer_hits + 1) * h + slope * (taken - (nearer + 1) * h))).sum(axis=1)
        result[:, column] = _ratio(total, _divisor(divisor, k, None, relevant))
    return result


def hits_at(ranked: np.ndarray, ranks: Sequence[int]) -> np.ndarray:
    """The relevant items among the first k of each ranking, [Q, len(ranks)], from bool [Q, D]."""
    chex.assert_rank(ranked, 2)
    if not len(ranks) or not ranked.shape[1]:
        return np.zeros((len(ranked), len(ranks)), np.int64)
    return np.cumsum(ranked, axis=1)[:, np.minimum(ranks, ranked.shape[1]) - 1]


def expected_hits_at(counts: np.ndarray, hits: np.ndarray, ranks: Sequence[int]) -> np.ndarray:
    """The mean of `hits_at` over all orders of equal distances, [Q, len(ranks)], from histograms [Q, K + 1]."""
    chex.assert_rank([counts, hits], 2)
    chex.assert_equal_shape([counts, hits])
    if not len(ranks):
        return np.zeros((len(counts), 0))
    start = np.zeros((len(counts), 1), np.int64)
    up_to, found = (np.concatenate([start, np.cumsum(part, axis=1)], axis=1) for part in (counts, hits))
    # within a tie the relevant items found grow evenly with the rank
    return np.stack([np.interp(ranks, *row) for row in zip(up_to, found, strict=True)])


def precision_at(ranked: np.ndarray, k: int) -> np.ndarray:
    """The share of relevant items among the first k, [Q], from bool [Q, D]; always divided by k."""
    return hits_at(ranked, [k])[:, 0] / k


def recall(found: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """The share of the relevant items that was found; 0 where nothing is relevant."""
    return _ratio(found, relevant)


def within_radius(counts: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of the ball of each radius 0..K, both [Q, K + 1], from histograms [Q, K + 1].

    A ball with no item in it has precision 0: a look-up that returns nothing has failed. Recall is 0 where nothing is
    relevant.
    """
    chex.assert_rank([counts, hits], 2)
    chex.assert_equal_shape([counts, hits])
    found = np.cumsum(hits, axis=1)
    return _ratio(found, np.cumsum(counts, axis=1)), _ratio(found, found[:, -1:])


def ndcg(gains: np.ndarray, gain_counts: np.ndarray, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain at k, [Q]: an item that shares g labels gains 2^g - 1 / log2(1 + rank).

    It is divided by the same sum of the best possible ranking (Järvelin and Kekäläinen 2002, with the exponential gain
    that the hashing programs use); 0 where no item shares a label.

    Args:
        gains: [Q, D] labels shared with the item at each rank, D at least k or the whole database.
        gain_counts: [Q, G + 1] items of the database that share 0..G labels.
        k: the last rank that counts.
    """
    chex.assert_rank([gains, gain_counts], 2)
    found = (2.0 ** gains[:, :k] - 1) @ _discounts(min(k, gains.shape[1]))
    return _ratio(found, _ideal(gain_counts, k))


def expected_ndcg(counts: np.ndarray, gain_sums: np.ndarray, gain_counts: np.ndarray, k: int) -> np.ndarray:
    """The mean of `ndcg` at k over all orders of equal distances, [Q].

    Args:
        counts: [Q, K + 1] items at each distance.
        gain_sums: [Q, K + 1] sums of their 2^g - 1.
        gain_counts: [Q, G + 1] items of the database that share 0..G labels.
        k: the last rank that counts.
    """
    chex.assert_equal_shape([counts, gain_sums])
    up_to = np.concatenate([np.zeros(1), np.cumsum(_discounts(min(k, int(counts.sum(axis=1).max(initial=0)))))])
    edges = np.minimum(np.cumsum(counts, axis=1), len(up_to) - 1)
    nearer = np.minimum(np.cumsum(counts, axis=1) - counts, len(up_to) - 1)
    found = (_ratio(gain_sums, counts) * (up_to[edges] - up_to[nearer])).sum(axis=1)
    return _ratio(found, _ideal(gain_counts, k))


@functools.lru_cache(maxsize=8)
def _ladder(depth):
    """(1, 2, ...) and (1, 1/2, ...), both [depth]."""
    nth = np.arange(1.0, depth + 1)
    return nth, 1 / nth


@functools.lru_cache(maxsize=8)
def _harmonic(depth):
    """[depth + 1], the sums 1 + 1/2 + ... + 1/n."""
    return np.concatenate([np.zeros(1), np.cumsum(1 / np.arange(1, depth + 1))])


def _discounts(depth):
    return 1 / np.log2(np.arange(2, depth + 2))


def _ideal(gain_counts, k):
    """The discounted cumulative gain at k of the best ranking, [Q]: items of the largest gain first."""
    falling = gain_counts[:, :0:-1]
    up_to = np.concatenate([np.zeros(1), np.cumsum(_discounts(min(k, int(gain_counts.sum(axis=1).max(initial=0)))))])
    edges = np.minimum(np.cumsum(falling, axis=1), len(up_to) - 1)
    spans = np.diff(up_to[edges], axis=1, prepend=0)
    return spans @ (2.0 ** np.arange(gain_counts.shape[1] - 1, 0, -1) - 1)


def _sums(values, lengths):
    """Sums of consecutive spans of the given lengths, which may be 0."""
    total = np.zeros(len(lengths))
    some = lengths > 0
    if some.any():
        total[some] = np.add.reduceat(values, (np.cumsum(lengths) - lengths)[some])
    return total


def _ratio(numerator, denominator):
    """Their quotient in float64, 0 where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    return np.divide(numerator, denominator, out=np.zeros(shape), where=np.asarray(denominator) > 0)


def _divisor(name, k, hits, relevant):
    if name == "k":
        return np.full(len(relevant), k)
    if name == "hits":
        return hits
    return relevant if name == "relevant" or k is None else np.minimum(k, relevant)
