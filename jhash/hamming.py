"""Hamming distances between packed codes: counted by XOR and population count, the exact nearest items, the items near.

Codes lie word-major here, [words, N] of uint8: one XOR then runs over consecutive items, and the counts add up in the
narrowest integer that can hold them. Distances come from the devices in blocks. On a CPU NumPy selects from them:
XLA's own top-k and sort take 50 times as long there.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jhash import parallel
from jhash.nearest import Nearest, ordered_bits
from jhash.types import Array

PAIRS = 2**22  # query-item pairs in a block: 1 byte each, or 2 above 255 bits, and as much again to compare them
SELECTED = 2**28  # pairs in a block of which an accelerator selects, 5 bytes each: with 2^22 it takes 8 times as long
QUERIES = 256  # in a block: the database's codes are then read once for all of them
UNROLLED = 32  # words of a code that are compared in one expression
FEW = 8  # queries that are compared with the whole database one by one, which is quicker than cutting it up
WORKERS = min(8, os.cpu_count() or 1)  # blocks at a time: NumPy's share of the work is done on one core a block


def lay_out(signs: np.ndarray) -> np.ndarray:
    """Codes of ±1 (or labels of 0/1) [N, K] -> word-major bits [ceil(K / 8), N] of uint8.

    Bit j of word w is entry 8w + j, as `codes.pack` has it.
    """
    chex.assert_rank(signs, 2)
    items, bits = np.shape(signs)
    words = np.empty((-(-bits // 8), items), np.uint8)
    for rows in blocks(items, 2**16):
        words[:, rows] = np.packbits(np.asarray(signs[rows]) > 0, axis=1, bitorder="little").T
    return words


@functools.partial(jax.jit, static_argnames="bits")
def distances(queries: np.ndarray, database: np.ndarray, bits: int) -> Array:
    """Differing bits of each pair: word-major [W, Q] and [W, N] -> [Q, N] of uint8, or uint16 above 255 bits."""
    chex.assert_rank([queries, database], 2)
    chex.assert_equal_shape([queries, database], dims=0)
    count = jnp.uint8 if bits <= 255 else jnp.uint16  # a uint8 sum of 256 differing bits would wrap to 0
    return over_words(queries, database, lambda q, d: lax.population_count(q ^ d).astype(count), jnp.add)


@jax.jit
def shared_bits(queries: np.ndarray, database: np.ndarray) -> Array:
    """Bits set in both of each pair: word-major [W, Q] and [W, N] -> [Q, N] of uint16. Labels in common."""
    chex.assert_rank([queries, database], 2)
    chex.assert_equal_shape([queries, database], dims=0)
    return over_words(queries, database, lambda q, d: lax.population_count(q & d).astype(jnp.uint16), jnp.add)


def over_words(queries: Array, database: Array, compare: Callable, combine: Callable) -> Array:
    """Word-major [W, Q] and [W, N] -> [Q, N]: what `compare` says of each two words, put together by `combine`.

    Of two words without a bit set it has to say what changes nothing.
    """

    def some(asking, searched):
        words = zip(asking, searched, strict=True)
        return functools.reduce(combine, [compare(q[:, None], d[None, :]) for q, d in words])

    if len(queries) <= UNROLLED:
        return some(queries, database)
    # a loop over groups of words: XLA would take minutes to compile hundreds in one expression
    both = [jnp.pad(words, ((0, -len(words) % UNROLLED), (0, 0))) for words in (queries, database)]
    asking, searched = (words.reshape(-1, UNROLLED, words.shape[1]) for words in both)
    start = some(asking[0], searched[0])
    return lax.fori_loop(1, len(asking), lambda i, total: combine(total, some(asking[i], searched[i])), start)


def top_k(
    queries: np.ndarray, database: np.ndarray, bits: int, k: int, *, pairs: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The exact k nearest items of each query, equal distances by the lowest row.

    Args:
        queries: word-major [W, Q], from `lay_out`.
        database: word-major [W, N]; may be memory-mapped, or already lie on a device.
        bits: K.
        k: at most N.
        pairs: query-item pairs held at a time: PAIRS by each of WORKERS threads, 3 bytes each at the most (FEW queries
            are taken whole), or on an accelerator SELECTED.

    Returns:
        (distances [Q, k] in int64, rows [Q, k] in int64), nearest first.
    """
    chex.assert_rank([queries, database], 2)
    items = database.shape[1]
    if not 0 < k <= items:
        raise ValueError(f"k = {k}: expected 1 to {items}, the items in the database")
    here = jax.default_backend() == "cpu"
    select, most = (_top_k_on_host, PAIRS) if here else (_top_k_on_device, SELECTED)

    def share(asked):
        distances, rows = select(queries[:, asked], database, bits, k, pairs or most)
        return {"distances": distances, "rows": rows}

    found = parallel.over_processes(queries.shape[1], share)
    return found["distances"], found["rows"]


def within(
    queries: np.ndarray, database: np.ndarray, bits: int, radius: int, *, pairs: int = PAIRS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All items within a radius of each query, nearest first, equal distances by the lowest row.

    Args:
        queries: word-major [W, Q], from `lay_out`.
        database: word-major [W, N]; may be memory-mapped, or already lie on a device.
        bits: K.
        radius: the largest distance, from 0.
        pairs: query-item pairs held at a time by each of WORKERS threads.

    Returns:
        (offsets [Q + 1], distances [M], rows [M]), all int64: query q found entries offsets[q] to offsets[q + 1].
    """
    chex.assert_rank([queries, database], 2)
    if radius < 0:
        raise ValueError(f"radius = {radius}: expected a number from 0 up")
    none = np.empty(0, np.int64)

    def one(rows):
        found = [(none, none, none)]
        for columns, values in _walk(queries[:, rows], database, bits, pairs):
            query, column = np.nonzero(values <= radius)
            found.append((query + rows.start, values[query, column].astype(np.int64), column + columns.start))
        return [np.concatenate(part) for part in zip(*found, strict=True)]

    parts, database = _parts(queries, database)
    found = [(none, none, none), *in_threads(one, parts)]
    query, distance, row = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((row, distance, query))
    offsets = np.searchsorted(query[order], np.arange(queries.shape[1] + 1))
    return offsets, distance[order], row[order]


def smallest(values: np.ndarray, k: int) -> np.ndarray:
    """The columns of the k smallest values of each row, in order, equal values by the lowest column.

    Args:
        values: [Q, N] of uint8, uint16, or float32 without NaN.
        k: at most N; N sorts whole rows.

    Returns:
        [Q, k] of int64.
    """
    chex.assert_rank(values, 2)
    if values.dtype == np.float32:
        values = ordered_bits(values)
    if k == values.shape[1]:
        return np.argsort(values, axis=1, kind="stable")
    nearest = Nearest(len(values), k, values.shape[1], 8 * values.dtype.itemsize)
    nearest.add(values, 0)
    return nearest.result()[1]


def histogram(values: np.ndarray, bins: int) -> np.ndarray:
    """How often each whole number 0..bins - 1 occurs in each row: [Q, N] of uint8 or uint16 -> [Q, bins] in int64."""
    chex.assert_rank(values, 2)
    if values.dtype != np.uint8:
        return np.stack([np.bincount(row, minlength=bins) for row in values])
    # NumPy sorts bytes by counting them, and unlike bincount it leaves the other threads alone meanwhile
    edges = np.arange(min(bins, 256), dtype=np.uint8)
    starts = np.empty((len(values), bins + 1), np.int64)
    starts[:, len(edges) :] = values.shape[1]
    for start, row in zip(starts, np.sort(values, axis=1, kind="stable"), strict=True):
        start[: len(edges)] = np.searchsorted(row, edges)
    return np.diff(starts, axis=1)


def blocks(count: int, size: int) -> list[slice]:
    """Slices of at most `size` that cover `count` rows in order."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def in_threads(work: Callable[[slice], Any], parts: Sequence[slice]) -> Iterator:
    """work(part) of each part, in order; WORKERS at a time."""
    if len(parts) == 1:
        yield work(parts[0])
        return
    pool = ThreadPoolExecutor(WORKERS)
    try:
        yield from pool.map(work, parts)
    finally:
        pool.shutdown(cancel_futures=True)


def _parts(queries, database):
    """Blocks of queries, some for each worker, and the database where such blocks want it."""
    count = queries.shape[1]
    if count <= FEW:
        return blocks(count, 1), jax.device_put(database)
    return blocks(count, min(QUERIES, -(-count // WORKERS))), np.asarray(database)


def _top_k_on_host(queries, database, bits, k, pairs):
    items = database.shape[1]

    def one(rows):
        nearest = Nearest(rows.stop - rows.start, k, items, bits.bit_length())
        for columns, values in _walk(queries[:, rows], database, bits, pairs):
            nearest.add(values, columns.start)
        return nearest.result()

    parts, database = _parts(queries, database)
    found = [(np.empty((0, k), np.int64),) * 2, *in_threads(one, parts)]
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _top_k_on_device(queries, database, bits, k, pairs):
    """With keys selected where the distances are; the blocks' best are merged on the host."""
    count, items, database = queries.shape[1], database.shape[1], np.asarray(database)
    high = max(1, min(count, QUERIES))
    shift = 31 - bits.bit_length()  # what a key of 32 bits leaves for places
    wide = min(items, 2**shift, max(k, pairs // high))
    asked = [parallel.last_axis(_filled(queries[:, rows], _rounded(high))) for rows in blocks(count, high)]
    best = [Nearest(rows.stop - rows.start, k, items, bits.bit_length()) for rows in blocks(count, high)]
    for columns in blocks(items, wide):
        words, number = _filled(database[:, columns], _rounded(wide)), columns.stop - columns.start
        for one, nearest in zip(asked, best, strict=True):
            value, place = _select(one, words, number, bits, min(k, wide), shift)
            held = slice(0, min(k, number))
            nearest.add_sorted(*(np.asarray(part)[: nearest.rows, held] for part in (value, place)), columns.start)
    found = [(np.empty((0, k), np.int64),) * 2, *(one.result() for one in best)]
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _walk(queries, database, bits, pairs) -> Iterator[tuple[slice, np.ndarray]]:
    """Distances of some queries to all items: (items, [q, n]). The next block is under way while one is used."""
    count, items = queries.shape[1], database.shape[1]
    if not items:
        return
    if count == 1:
        yield slice(0, items), np.asarray(distances(queries, database, bits))
        return
    wide = min(items, max(1, pairs // count))
    asked = parallel.last_axis(_filled(queries, _rounded(count)))
    ahead = None
    for columns in blocks(items, wide):
        following = columns, distances(asked, _filled(database[:, columns], _rounded(wide)), bits)
        if ahead is not None:
            yield _cut(*ahead, count)
        ahead = following
    if ahead is not None:
        yield _cut(*ahead, count)


def _cut(columns, values, count):
    return columns, np.asarray(values)[:count, : columns.stop - columns.start]


def _rounded(size):
    """A few sizes of blocks for all sizes of input: each new one takes XLA a moment to compile."""
    return -(-size // 4096) * 4096 if size > 4096 else 1 << (size - 1).bit_length()


def _filled(words, size):
    return words if words.shape[1] == size else np.pad(words, ((0, 0), (0, size - words.shape[1])))


@functools.partial(jax.jit, static_argnames=("bits", "k", "shift"))
def _select(queries, database, number, bits, k, shift):
    """(distances, places) of the k nearest of the first `number` items, [Q, k] each. At most 2^shift items."""
    places = jnp.arange(database.shape[1])[None, :]
    keys = distances(queries, database, bits).astype(jnp.int32) << shift | places
    keys = jnp.where(places < number, keys, jnp.iinfo(jnp.int32).max)
    keys = -lax.top_k(-keys, k)[0]
    return keys >> shift, keys & (2**shift - 1)
