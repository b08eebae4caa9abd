"""Searches among the rows of an index: which rows may be found, and the nearest of them, exactly or by FAISS."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from jhash import hamming
from jhash.index.approximate import candidates
from jhash.index.fast import Held
from jhash.types import Array

ASKED = 4096  # candidates of a query, at most: a filter that needs more leaves few items, and those are all looked at
NONE = np.iinfo(np.int64).max  # the distance of no item


class Part(NamedTuple):
    """Some rows with their codes."""

    words: Array  # [W, n]
    rows: np.ndarray  # [n] int64, increasing


class Hits(NamedTuple):
    """Rows that Q queries found, ordered by distance and then by row."""

    offsets: np.ndarray  # [Q + 1]: query q found entries offsets[q] to offsets[q + 1]
    distances: np.ndarray  # [M] int64
    rows: np.ndarray  # [M] int64


class Choice:
    """The rows that may be found: those of the files apart from those added since, which are fewer."""

    def __init__(self, held: Held, allowed: np.ndarray):
        """Of the rows [N] those that are live and `allowed`, bool [N]."""
        self.allowed = held.live & allowed
        cut = held.base.shape[1]
        self.base = _part(held.base, self.allowed[:cut], 0)
        self.tail = _part(held.tail, self.allowed[cut:], cut)

    def __len__(self) -> int:
        return len(self.base.rows) + len(self.tail.rows)


def _part(words: np.ndarray, allowed: np.ndarray, first: int) -> Part:
    rows = np.flatnonzero(allowed)
    # on the device once, and not for each search: a choice is kept as long as it holds
    return Part(jax.device_put(words if len(rows) == len(allowed) else words[:, rows]), rows + first)


def nearest(choice: Choice, queries: np.ndarray, bits: int, k: int) -> Hits:
    """The exact k nearest rows, or all where there are fewer; queries word-major [W, Q]."""
    found = (_top(part, queries, bits, k) for part in (choice.base, choice.tail))
    return _merged(*found, min(k, len(choice)))


def within(choice: Choice, queries: np.ndarray, bits: int, radius: int) -> Hits:
    """All rows at most `radius` away; queries word-major [W, Q]."""
    count, query, distances, rows = queries.shape[1], [], [], []
    for part in (choice.base, choice.tail):
        if len(part.rows) and count:
            offsets, near, places = hamming.within(queries, part.words, bits, radius)
            query.append(np.repeat(np.arange(count), np.diff(offsets)))
            distances.append(near)
            rows.append(part.rows[places])
    query, distances, rows = (np.concatenate([np.zeros(0, np.int64), *some]) for some in (query, distances, rows))
    order = np.lexsort((rows, distances, query))
    return Hits(np.searchsorted(query[order], np.arange(count + 1)), distances[order], rows[order])


def approximate(choice: Choice, queries: np.ndarray, bits: int, k: int, built: Any) -> Hits:
    """About the k nearest rows: what FAISS finds in the files and may be found, and all that was added since.

    Where the choice leaves so little that FAISS would have to be asked for thousands, and for a query that it finds
    too little for, the search is exact.

    Args:
        choice: the rows that may be found.
        queries: word-major [W, Q].
        bits: K.
        k: how many.
        built: FAISS's structure over all rows of the files.
    """
    share = len(choice.base.rows) / built.ntotal
    asked = math.ceil(1.5 * k / share) + 8 if share else ASKED + 1
    if asked > ASKED or not queries.shape[1]:
        return nearest(choice, queries, bits, k)
    distances, rows = candidates(built, queries.T, asked)
    right = (rows >= 0) & choice.allowed[rows]
    short = right.sum(axis=1) < min(k, len(choice.base.rows))
    distances, rows = np.where(right, distances, NONE), np.where(right, rows, NONE)
    order = np.lexsort((rows, distances), axis=-1)[:, :k]  # FAISS gives equal distances in any order
    found = tuple(np.take_along_axis(array, order, axis=1) for array in (distances, rows))
    if short.any():
        for part, exact in zip(found, _top(choice.base, queries[:, short], bits, k), strict=True):
            part[short, : exact.shape[1]] = exact
    return _merged(found, _top(choice.tail, queries, bits, k), min(k, len(choice)))


def _top(part: Part, queries: np.ndarray, bits: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(distances, rows), int64 [Q, min(k, n)]."""
    if not len(part.rows) or not queries.shape[1]:
        empty = np.zeros((queries.shape[1], 0), np.int64)
        return empty, empty
    distances, places = hamming.top_k(queries, part.words, bits, min(k, len(part.rows)))
    return distances, part.rows[places]


def _merged(base: tuple, tail: tuple, k: int) -> Hits:
    """The k nearest of both, each (distances, rows) [Q, n] in order; of equal distances those of `base` come first."""
    distances, rows = (np.concatenate(pair, axis=1) for pair in zip(base, tail, strict=True))
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    taken = (np.take_along_axis(array, order, axis=1).ravel() for array in (distances, rows))
    return Hits(np.arange(len(distances) + 1) * order.shape[1], *taken)
