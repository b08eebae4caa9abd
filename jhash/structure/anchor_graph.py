"""The anchor graph: items similar through the centres they share. A = Z diag(Z'1)^-1 Z' is never stored."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from jhash.types import Array, InputError

BLOCK_ENTRIES = 2**21  # an upper bound of the entries of A held at a time: 24 MB


class AnchorGraph(NamedTuple):
    """N items, each tied to its p nearest of M centres. Rows of A sum to 1."""

    index: np.ndarray  # [N, p] int32, the p nearest centres
    weights: np.ndarray  # [N, p] float64, Z: each row sums to 1
    mass: np.ndarray  # [M] float64, the diagonal of Lambda = diag(Z'1)
    bandwidth: float  # the s or sigma that was used
    starts: np.ndarray  # [M + 1] int64: members[starts[c]:starts[c + 1]] are the items tied to centre c, ascending
    members: np.ndarray  # [N * p] int32

    def self_similarity(self) -> np.ndarray:
        """The diagonal of A, [N] float64."""
        tied = np.where(self.mass > 0, self.mass, 1)
        return np.einsum("np,np,np->n", self.weights, self.weights, 1 / tied[self.index])


class RowStatistics(NamedTuple):
    """Of each row of A; float64 [N] each."""

    mean: np.ndarray
    deviation: np.ndarray  # of the population: divided by the number of entries
    entries: np.ndarray  # int64: how many entries the two are taken over


def anchor_graph(
    index: np.ndarray,
    distance: np.ndarray,
    *,
    centres: int | None = None,
    kernel: Literal["gaussian", "laplace"] = "gaussian",
    bandwidth: float | None = None,
) -> AnchorGraph:
    """Anchor graph (Liu et al. 2011) from the p nearest centres: index, distance [N, p], nearest first.

    Z_ij is the softmax over an item's p centres of -d^2/s^2 (gaussian) or of -d/s (laplace, which Hao et al. 2022 and
    Li et al. 2022 print without a value of s). s is `bandwidth`, or the mean over items of the distance to the p-th
    nearest centre, for both kernels. `centres` is M; by default the largest index plus 1.

    Raises InputError for a bandwidth that isn't positive, an index out of range.
    """
    chex.assert_rank([index, distance], 2)
    chex.assert_equal_shape([index, distance])
    count = int(index.max()) + 1 if centres is None else centres
    if index.min() < 0 or index.max() >= count:
        raise InputError(f"anchor graph: expected indices of {count} centres, found {index.min()} to {index.max()}.")
    if kernel not in ("gaussian", "laplace"):
        raise InputError(f"anchor graph: expected kernel 'gaussian' or 'laplace', found {kernel!r}.")
    if bandwidth is not None and not (np.isfinite(bandwidth) and bandwidth > 0):
        raise InputError(f"anchor graph: expected a positive bandwidth, found {bandwidth}.")
    scale = float(distance[:, -1].mean(dtype=np.float64)) if bandwidth is None else float(bandwidth)
    # Where every item lies on its p centres s is 0, and the p are equally near.
    relative = distance.astype(np.float64) / scale if scale > 0 else np.zeros(distance.shape)
    logits = -(relative**2) if kernel == "gaussian" else -relative
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    mass = np.bincount(index.ravel(), weights.ravel(), minlength=count)
    starts, members = inverse_lists(index, count)
    return AnchorGraph(np.ascontiguousarray(index, np.int32), weights, mass, scale, starts, members)


def inverse_lists(index: np.ndarray, centres: int) -> tuple[np.ndarray, np.ndarray]:
    """The items of each centre, ascending: (starts [M + 1] int64, members [N * p] int32) from index [N, p]."""
    ties = _ties(index, np.ones(index.size, np.int8), centres).T.tocsr()
    return ties.indptr.astype(np.int64), ties.indices.astype(np.int32)


def row_statistics(
    graph: AnchorGraph,
    *,
    over: Literal["nonzero", "all"] = "nonzero",
    include_self: bool = False,
    block: int = BLOCK_ENTRIES,
) -> RowStatistics:
    """Mean and standard deviation of each row of A (mu_i and epsilon_i of Li et al. 2022, Eq 9).

    Over the non-zero entries, or over all N; the item itself left out unless `include_self`. Both are 0 where nothing
    is left. `block` bounds the entries of A in memory.
    """
    check_over(over)
    items = len(graph.index)
    own = graph.self_similarity()
    mean, deviation, entries = np.zeros(items), np.zeros(items), np.zeros(items, np.int64)
    order = neighbours_together(graph.index)
    for place, _, values in rows_of_a(graph, order, block):
        item = order[place]
        left_out = None if include_self else own[item]
        mean[item], deviation[item], entries[item] = statistics(values, left_out, items if over == "all" else None)
    return RowStatistics(mean, deviation, entries)


def statistics(values: np.ndarray, left_out: float | None, items: int | None) -> tuple[float, float, int]:
    """(mean, deviation, number of entries) of one row of A from its non-zero values [n].

    Without one entry equal to `left_out`; with the zeros of the rest of a row of `items` where that is given.
    """
    stored = len(values) - (left_out is not None)
    entries = stored if items is None else items - (left_out is not None)
    if entries == 0:
        return 0.0, 0.0, 0
    mean = (values.sum() - (left_out or 0.0)) / entries
    from_mean = values - mean
    squares = np.einsum("n,n->", from_mean, from_mean) + (entries - stored) * mean**2
    if left_out is not None:
        squares -= (left_out - mean) ** 2
    return mean, np.sqrt(max(squares, 0.0) / entries), entries


def neighbours_together(index: np.ndarray) -> np.ndarray:
    """A renumbering [N] of the items by their nearest centres: order[place] is the item at a place.

    A row of A is summed up in scattered memory; with neighbours side by side most of it stays in cache, which at
    400,000 items is three times as fast.
    """
    return np.lexsort(index[:, :2].T[::-1]).astype(np.int32)


def rows_of_a(graph: AnchorGraph, order: np.ndarray, block: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each place i in the order [N]: (i, the places j with A_ij > 0 [n], A_ij [n] float64), j in a fixed order."""
    count = len(graph.mass)
    index, weights = graph.index[order], graph.weights[order]
    tied = np.where(graph.mass > 0, graph.mass, 1)
    left = _ties(index, weights.ravel(), count)
    right = _ties(index, (weights / tied[index]).ravel(), count).T.tocsr()
    yield from rows_of_product(left, right, block)


def rows_of_product(
    left: scipy.sparse.csr_matrix, right: scipy.sparse.csr_matrix, block: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(row number, columns, values) of each row of a sparse product; `block` bounds the entries held at a time."""
    lengths = np.diff(right.indptr)
    work = np.concatenate([[0], np.cumsum(left.astype(bool).astype(np.int64) @ lengths)])
    first = 0
    while first < left.shape[0]:
        last = max(first + 1, int(np.searchsorted(work, work[first] + block, side="right")) - 1)
        product = left[first:last] @ right
        for row in range(first, last):
            part = slice(product.indptr[row - first], product.indptr[row - first + 1])
            yield row, product.indices[part], product.data[part]
        first = last


def _ties(index: np.ndarray, values: np.ndarray, centres: int) -> scipy.sparse.csr_matrix:
    """[N, M] with p values a row."""
    items, p = index.shape
    return scipy.sparse.csr_matrix(
        (values, index.ravel(), np.arange(items + 1, dtype=np.int64) * p), shape=(items, centres)
    )


def check_over(over: str) -> None:
    if over not in ("nonzero", "all"):
        raise InputError(f"anchor graph: expected over 'nonzero' or 'all', found {over!r}.")


def shares_centre(index_i: Array, index_j: Array) -> Array:
    """Whether A_ij > 0, [B] bool: index_i, index_j [B, m] are the m nearest centres of B pairs. Pure: runs in jit."""
    chex.assert_rank([index_i, index_j], 2)
    chex.assert_equal_shape([index_i, index_j])
    return jnp.any(index_i[:, :, None] == index_j[:, None, :], axis=(1, 2))
