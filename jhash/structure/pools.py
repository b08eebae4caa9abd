"""Pools: for each item some similar and some dissimilar items, drawn once on the host and looked up in training.

Every function returns a flat dict of arrays over N items:
  positive [N, size] int32, negative [N, size] int32: row numbers, drawn uniformly without replacement from the item's
    true set; a set of at most `size` items is listed whole, and the rest of the row repeats it in turn;
  positive_count, negative_count [N] int32: how many entries of the row are real, so min(size, true set). Where it is 0
    the row holds the item itself;
  positive_total, negative_total [N] int32: the size of the true set.
"""

from collections.abc import Mapping
from typing import Literal

import jax
import numpy as np
import scipy.sparse

from jhash.structure.anchor_graph import (
    BLOCK_ENTRIES,
    AnchorGraph,
    check_over,
    neighbours_together,
    rows_of_a,
    rows_of_product,
    statistics,
)
from jhash.structure.kmeans import generator
from jhash.types import InputError, Key

DRAWN_TOGETHER = 256  # items whose random numbers are drawn in one call


def mcmsh_pools(
    index: np.ndarray,
    *,
    neighbours: tuple[int, int, int] = (3, 4, 5),
    size: int = 64,
    key: Key,
    positives_include_self: bool = False,
    block: int = BLOCK_ENTRIES,
) -> dict[str, np.ndarray]:
    """Pools of the three-granularity graph (Hao et al. 2022) from index [N, m3], each item's nearest centres in order.

    With A^(m) the anchor graph over m nearest centres, non-zero exactly where two items share one of them: positive are
    the items with A^(m1) > 0, negative those with A^(m2) = 0 and A^(m3) > 0. `neighbours` is (m1, m2, m3); the paper's
    is (3, 4, 5).

    Raises InputError for another width of index, or neighbours that don't rise.
    """
    close, near, far = neighbours
    if not 1 <= close <= near < far:
        raise InputError(f"config.hyper.neighbours: expected m1 <= m2 < m3, found {tuple(neighbours)}.")
    if index.ndim != 2 or index.shape[1] != far:
        raise InputError(f"structures: expected the {far} nearest centres of each item, found {list(index.shape)}.")
    centres = int(index.max()) + 1
    order = neighbours_together(index)
    index = index[order]
    # One product counts all three: 1 for a centre shared among the m3 nearest, `step` among the m2, step² among the m1.
    ties, step = [_indicator(index[:, :m], centres) for m in (far, near, close)], far + 1
    left = scipy.sparse.hstack([ties[0], step * ties[1], step * step * ties[2]], format="csr")
    right = scipy.sparse.hstack(ties, format="csr").T.tocsr()

    positive, negative = _Pool(order, size, key, 0), _Pool(order, size, key, 1)
    for place, others, shared in rows_of_product(left, right, block):
        similar = others[shared >= step * step]
        positive.add(similar if positives_include_self else similar[similar != place])
        negative.add(others[shared < step])
    return {**positive.columns("positive"), **negative.columns("negative")}


def gaussian_adaptive_pools(
    graph: AnchorGraph,
    *,
    lambda1: float = 2.0,
    lambda2: float = 1.0,
    over: Literal["nonzero", "all"] = "nonzero",
    size: int = 64,
    key: Key,
    block: int = BLOCK_ENTRIES,
) -> dict[str, np.ndarray]:
    """Pools of the Gaussian-adaptive similarity graph (Li et al. 2022, Eq 9).

    With mu_i and epsilon_i the mean and deviation of row i of A, positive are the items with
    A_ij >= mu_i + lambda1 epsilon_i, negative those with mu_i - lambda2 epsilon_i < A_ij < mu_i. Over all entries, as
    printed, the lower bound is negative on any sparse graph and nearly all negatives have A_ij = 0; so by default the
    statistics are those of the non-zero entries and a negative has A_ij > 0. The item itself is left out throughout.
    """
    check_over(over)
    order = neighbours_together(graph.index)
    own = graph.self_similarity()[order]
    positive, negative = _Pool(order, size, key, 0), _Pool(order, size, key, 1)
    for place, others, values in rows_of_a(graph, order, block):
        mean, deviation, _ = statistics(values, own[place], len(order) if over == "all" else None)
        high, low = mean + lambda1 * deviation, mean - lambda2 * deviation
        values = np.where(others == place, -np.inf, values)
        # Equal similarities differ in their last digits by the order of summing: that must not decide.
        slack = 1e-9 * mean
        zeros_too = over == "all" and low < -slack
        positive.add(others[values >= high - slack])
        between = others[(values > max(low + slack, 0.0)) & (values < mean - slack)]
        negative.add(between, all_but=others if zeros_too else None)
    return {**positive.columns("positive"), **negative.columns("negative")}


def weighted_pools(
    graph: AnchorGraph, *, size: int = 64, key: Key, block: int = BLOCK_ENTRIES
) -> dict[str, np.ndarray]:
    """Pools of the anchor graph itself, for the ablation '+A' (Li et al. 2022, Table 2).

    Positive are the items with A_ij > 0, negative those with A_ij = 0. Adds
    positive_weight [N, size] float32: A_ij over the largest entry of row i, the item itself left out of both.
    """
    order = neighbours_together(graph.index)
    positive, negative = _Pool(order, size, key, 0, weighted=True), _Pool(order, size, key, 1)
    for place, others, values in rows_of_a(graph, order, block):
        apart = others != place
        similar, values = others[apart], values[apart]
        positive.add(similar, values=values / values.max() if len(values) else values)
        negative.add(similar[:0], all_but=others)
    return {**positive.columns("positive"), **negative.columns("negative")}


def graph_report(
    index: np.ndarray, pools: Mapping[str, np.ndarray], *, centres: int, reseeded: int = 0
) -> dict[str, float]:
    """How large the structures came out, from sizes alone; how right they are would need labels.

    Takes the nearest centres [N, p], the pools, the number of centres and how many clusters k-means reseeded.
    """
    held = np.bincount(index[:, 0], minlength=centres)
    report = {
        "items": len(index),
        "centres": centres,
        "centres_empty": int((held == 0).sum()),
        "centres_reseeded": reseeded,
    }
    for name, sizes in (
        ("items_a_centre", held),
        ("positives_an_item", pools["positive_total"]),
        ("negatives_an_item", pools["negative_total"]),
    ):
        report[f"{name}_mean"] = float(sizes.mean())
        report[f"{name}_min"] = int(sizes.min())
        report[f"{name}_max"] = int(sizes.max())
    report["share_without_positive"] = float((pools["positive_total"] == 0).mean())
    report["share_without_negative"] = float((pools["negative_total"] == 0).mean())
    return report


class _Pool:
    """Takes the true set of place 0, 1, 2, ... of an order of the items and keeps `size` of each.

    Sets are held until DRAWN_TOGETHER have come. Each uses `size` random numbers whatever it holds, so a draw doesn't
    depend on the blocks in which the sets were found.
    """

    def __init__(self, order: np.ndarray, size: int, key: Key, stream: int, *, weighted: bool = False):
        items = len(order)
        self._order = order
        self._rows = np.empty((items, size), np.int32)
        self._total = np.zeros(items, np.int32)
        self._weight = np.zeros((items, size), np.float32) if weighted else None
        self._drawn = 0
        self._random = generator(jax.random.fold_in(key, stream))
        self._waiting: list[tuple[np.ndarray, np.ndarray | None, np.ndarray | None]] = []

    def add(self, members: np.ndarray, *, values: np.ndarray | None = None, all_but: np.ndarray | None = None) -> None:
        """The next place's set: members [n] with weights `values` [n], and all places outside `all_but` where given."""
        self._waiting.append((members, values, None if all_but is None else np.sort(all_but)))
        if len(self._waiting) == DRAWN_TOGETHER:
            self._draw()

    def columns(self, name: str) -> dict[str, np.ndarray]:
        """The finished pool, places turned back into items."""
        self._draw()
        columns = {
            name: self._order[self._rows],
            f"{name}_count": np.minimum(self._total, self._rows.shape[1]),
            f"{name}_total": self._total,
        }
        if self._weight is not None:
            columns[f"{name}_weight"] = self._weight
        place = np.argsort(self._order)
        return {title: column[place] for title, column in columns.items()}

    def _draw(self) -> None:
        items, size = self._rows.shape
        totals = np.array([len(m) + (0 if out is None else items - len(out)) for m, _, out in self._waiting], np.int32)
        chosen = distinct_ranks(totals, self._random.random((len(totals), size)))
        for offset, (members, values, all_but) in enumerate(self._waiting):
            place = self._drawn + offset
            if totals[offset] == 0:
                self._rows[place] = place
                continue
            ranks = chosen[offset]
            self._rows[place] = members[ranks] if all_but is None else _member_or_outsider(members, all_but, ranks)
            if values is not None:
                self._weight[place] = values[ranks]
        self._total[self._drawn : self._drawn + len(totals)] = totals
        self._drawn += len(totals)
        self._waiting = []


def distinct_ranks(totals: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """[b, size] ranks below totals [b], from uniform [b, size] in [0, 1).

    For a total above size a uniformly random subset (Floyd's algorithm: one number a rank, no shuffle); else
    0 ... total - 1 and round again.
    """
    size = uniform.shape[1]
    ranks = np.arange(size)[None, :] % np.maximum(totals, 1)[:, None]
    many = np.flatnonzero(totals > size)
    chosen = np.full((len(many), size), -1, np.int64)
    for step in range(size):
        last = totals[many] - size + step
        rank = np.floor(uniform[many, step] * (last + 1)).astype(np.int64)
        seen = (chosen[:, :step] == rank[:, None]).any(1)
        chosen[:, step] = np.where(seen, last, rank)
    ranks[many] = chosen
    return ranks


def _member_or_outsider(members: np.ndarray, all_but: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """By rank in the members followed by all places that aren't in all_but (ascending)."""
    outside = ranks - len(members)
    # The k-th outsider is k plus the number of entries of all_but that lie below it.
    outsider = outside + np.searchsorted(all_but - np.arange(len(all_but)), outside, side="right")
    inside = members[np.minimum(ranks, len(members) - 1)] if len(members) else outsider
    return np.where(outside < 0, inside, outsider)


def _indicator(index: np.ndarray, centres: int) -> scipy.sparse.csr_matrix:
    items, m = index.shape
    return scipy.sparse.csr_matrix(
        (np.ones(index.size, np.int32), np.ascontiguousarray(index).ravel(), np.arange(items + 1, dtype=np.int64) * m),
        shape=(items, centres),
    )
