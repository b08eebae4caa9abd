"""Queries against a whole database, a block of queries at a time: what lies where, and whether it is relevant.

A block of codes is one number a pair, twice the distance plus whether the item is relevant: one histogram of it counts
all items and the relevant ones at each distance, and whatever ranks by it has the relevance in its lowest bit.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jhash import hamming, parallel
from jhash.types import Array

CACHED = 2**17  # pairs whose order stays in the processor's cache


class Labels(NamedTuple):
    """Labels in the form in which pairs are compared fastest; relevant are those with one in common.

    ids: [N] the one class of each item, for where no item of either side has two; an item without any has a number
        that no item of the other side has.
    words: word-major bits [ceil(L / 8), N] otherwise.
    """

    ids: np.ndarray | None
    words: np.ndarray

    @property
    def compared(self) -> np.ndarray:
        """`ids` or `words`."""
        return self.words if self.ids is None else self.ids


def lay_out_labels(query_labels: np.ndarray, database_labels: np.ndarray) -> tuple[Labels, Labels]:
    """Labels 0/1 [Q, L] and [N, L] -> both in one form."""
    both = np.asarray(query_labels), np.asarray(database_labels)
    words = [hamming.lay_out(labels) for labels in both]
    counts = [np.count_nonzero(labels, axis=1) for labels in both]
    if max(count.max(initial=0) for count in counts) > 1:
        return Labels(None, words[0]), Labels(None, words[1])
    classes = both[0].shape[1]
    narrow = np.uint8 if classes <= 254 else np.uint16 if classes <= 65534 else np.uint32
    ids = [np.full(len(labels), classes + side, narrow) for side, labels in enumerate(both)]
    for one, labels in zip(ids, both, strict=True):
        rows, columns = np.nonzero(labels)
        one[rows] = columns
    return Labels(ids[0], words[0]), Labels(ids[1], words[1])


class CodeBlock:
    """Some queries against the whole database, by Hamming distance."""

    def __init__(self, judged: np.ndarray, bits: int, removed: bool, gains: np.ndarray | None):
        """`judged` [q, N] from `judge`; `removed`: each row has one item that isn't there; `gains` [q, N] or None."""
        self.judged, self.bits, self.removed, self.gains = judged, bits, removed, gains
        self._ranked: np.ndarray | None = None  # all of it, once it was asked for

    @functools.cached_property
    def histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """(items, relevant items) at each distance, both [q, K + 1]."""
        both = hamming.histogram(self.judged, 2 * (self.bits + 2))[:, : 2 * (self.bits + 1)]
        hits = both[:, 1::2]
        return both[:, ::2] + hits, hits

    @functools.cached_property
    def relevant(self) -> np.ndarray:
        """[q] relevant items of each query."""
        if "histograms" in self.__dict__:
            return self.histograms[1].sum(axis=1)
        return np.array([np.count_nonzero(row & 1) for row in self.judged])

    def ranked(self, ties: str, depth: int) -> np.ndarray:
        """Whether the item at each rank is relevant, bool [q, depth]; ties by row, or as said."""
        items = self.judged.shape[1] - self.removed
        if ties in ("optimistic", "pessimistic"):  # sorted whole, equal distances stand by their lowest bit
            last = int(ties == "optimistic")
            return (np.sort(self.judged ^ last, axis=1, kind="stable")[:, :depth] & 1) != last
        if depth < items:
            return np.take_along_axis(self.judged, self.rows(depth), axis=1) & 1 > 0
        if self._ranked is None:
            few = hamming.blocks(len(self.judged), max(1, CACHED // len(self.judged[0])))
            self._ranked = np.concatenate([_sorted_relevance(self.judged[rows], items) for rows in few])
        return self._ranked

    def rows(self, depth: int) -> np.ndarray:
        """The rows at the first ranks, [q, depth], equal distances by row."""
        items = self.judged.shape[1]
        return hamming.smallest(self.judged >> 1, depth if depth + self.removed < items else items)[:, :depth]


def _sorted_relevance(judged, items):
    """Relevance by distance, equal ones by row, bool [q, items]."""
    order = np.argsort(judged >> 1, axis=1, kind="stable")[:, :items]
    return np.stack([row.take(places) for row, places in zip(judged, order, strict=True)]) & 1 > 0


class VectorBlock:
    """Some queries against the whole database, by the cosine similarity of real vectors."""

    def __init__(self, values: np.ndarray, relevance: np.ndarray, selves: np.ndarray | None, gains: np.ndarray | None):
        """Negative similarities [q, N], relevance bool [q, N], rows [q] that aren't there, gains [q, N] or None."""
        self.values, self.relevance, self.gains = values, relevance, gains
        if selves is not None:
            queries = np.arange(len(selves))
            values[queries, selves] = np.inf
            relevance[queries, selves] = False

    @functools.cached_property
    def relevant(self) -> np.ndarray:
        """[q] relevant items of each query."""
        return np.count_nonzero(self.relevance, axis=1)

    def ranked(self, ties: str, depth: int) -> np.ndarray:
        """Whether the item at each rank is relevant, bool [q, depth]; ties by row."""
        return np.take_along_axis(self.relevance, self.rows(depth), axis=1)

    def rows(self, depth: int) -> np.ndarray:
        """The rows at the first ranks, [q, depth], equal similarities by row."""
        return hamming.smallest(self.values, depth)


Block = CodeBlock | VectorBlock


@functools.partial(jax.jit, static_argnames="bits")
def judge(
    queries: Array, database: Array, query_labels: Array, database_labels: Array, selves: Array | None, bits: int
) -> Array:
    """Twice the distance, plus 1 where a pair shares a label.

    Args:
        queries: word-major codes [W, q].
        database: word-major codes [W, N].
        query_labels: as in `Labels.compared`, [q] or [words, q].
        database_labels: [N] or [words, N].
        selves: [q] the row that isn't there, or None.
        bits: K.

    Returns:
        [q, N] of uint8, or uint16 above 126 bits; 2 (K + 1) for the row that isn't there.
    """
    chex.assert_rank([queries, database], 2)
    judged = 2 * hamming.distances(queries, database, bits).astype(jnp.uint8 if bits <= 126 else jnp.uint16)
    judged += relevance(query_labels, database_labels).astype(judged.dtype)
    return judged if selves is None else judged.at[jnp.arange(len(selves)), selves].set(2 * (bits + 1))


def relevance(query_labels: Array, database_labels: Array) -> Array:
    """Whether each pair shares a label, bool [q, N]; labels as in `Labels.compared`."""
    if query_labels.ndim == 1:
        return query_labels[:, None] == database_labels[None, :]
    return hamming.over_words(query_labels, database_labels, jnp.bitwise_and, jnp.bitwise_or) != 0


_relevance = jax.jit(relevance)


def over_codes(
    work: Callable[[CodeBlock], Any],
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    labels: tuple[Labels, Labels],
    selves: np.ndarray | None,
    *,
    gains: bool = False,
    pairs: int = hamming.PAIRS,
) -> Iterator:
    """work(block) of every block of queries, in order.

    Args:
        work: what to do with a block.
        query_codes: ±1 [Q, K].
        database_codes: ±1 [N, K].
        labels: of both.
        selves: [Q] database rows to leave out of the queries' rankings, or None.
        gains: whether blocks count the labels in common.
        pairs: query-item pairs in a block, at least a query. A block takes 1 byte a pair (2 above 126 bits), and about
            4 more where whole rankings are asked for; there are `hamming.WORKERS` of them at a time.
    """
    bits = query_codes.shape[1]
    size = parallel.rounded_up(_size(len(query_codes), len(database_codes), pairs))
    asking = hamming.lay_out(query_codes), labels[0].compared, None if selves is None else np.asarray(selves)
    database, there = parallel.everywhere((hamming.lay_out(database_codes), labels[1].compared))

    def one(rows):
        codes, classes, own = (
            None if part is None else parallel.last_axis(_filled(part[..., rows], size)) for part in asking
        )
        judged = np.asarray(judge(codes, database, classes, there, own, bits))[: rows.stop - rows.start]
        return work(CodeBlock(judged, bits, selves is not None, _gains(labels, rows, own) if gains else None))

    return hamming.in_threads(one, hamming.blocks(len(query_codes), size))


def over_vectors(
    work: Callable[[VectorBlock], Any],
    queries: np.ndarray,
    database: np.ndarray,
    labels: tuple[Labels, Labels],
    selves: np.ndarray | None,
    *,
    gains: bool = False,
    pairs: int = hamming.PAIRS // 4,
) -> Iterator:
    """As `over_codes`, of unit vectors [Q, F] and [N, F]; a block takes 5 bytes a pair."""

    def one(rows):
        relevant = np.array(_relevance(labels[0].compared[..., rows], labels[1].compared))
        own = None if selves is None else np.asarray(selves)[rows]
        counted = _gains(labels, rows, own) if gains else None
        return work(VectorBlock(-(queries[rows] @ database.T), relevant, own, counted))

    return hamming.in_threads(one, hamming.blocks(len(queries), _size(len(queries), len(database), pairs)))


def _size(queries, items, pairs):
    return min(queries, max(1, pairs // items))


def _gains(labels, rows, selves):
    gains = np.array(hamming.shared_bits(labels[0].words[:, rows], labels[1].words))
    if selves is not None:
        gains[np.arange(len(gains)), np.asarray(selves)[: len(gains)]] = 0
    return gains


def _filled(columns, size):
    """The last block is filled up, so that one compiled call does them all."""
    short = size - columns.shape[-1]
    return np.pad(columns, [(0, 0)] * (columns.ndim - 1) + [(0, short)]) if short else columns
