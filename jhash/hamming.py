"""Hamming distances between packed codes: in blocks, counted, and the exact nearest items.

Codes lie word-major here, [words, N] of uint8: one XOR then runs over consecutive items, and the counts add up in the
narrowest integer that can hold them.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jhash import codes
from jhash.types import Array

PAIRS = 2**23  # query-item pairs in a block: about 30 bytes a pair at the worst, so 250 MB


def lay_out(signs: np.ndarray) -> np.ndarray:
    """Codes of ±1 (or labels of 0/1) [N, K] -> word-major bits [ceil(K / 8), N] of uint8."""
    chex.assert_rank(signs, 2)
    return np.ascontiguousarray(np.asarray(codes.pack(signs)).T)


@functools.partial(jax.jit, static_argnames="bits")
def distances(queries: np.ndarray, database: np.ndarray, bits: int) -> Array:
    """Differing bits of each pair: word-major [W, Q] and [W, N] -> [Q, N] of uint8, or uint16 above 255 bits."""
    chex.assert_rank([queries, database], 2)
    chex.assert_equal_shape([queries, database], dims=0)
    count = jnp.uint8 if bits <= 255 else jnp.uint16  # a uint8 sum of 256 differing bits would wrap to 0
    words = zip(queries, database, strict=True)
    return sum(lax.population_count(q[:, None] ^ d[None, :]).astype(count) for q, d in words)


@jax.jit
def share_a_bit(queries: np.ndarray, database: np.ndarray) -> Array:
    """Whether each pair has a bit set in both: word-major [W, Q] and [W, N] -> bool [Q, N]. Relevance by labels."""
    chex.assert_rank([queries, database], 2)
    chex.assert_equal_shape([queries, database], dims=0)
    words = zip(queries, database, strict=True)
    return functools.reduce(jnp.bitwise_or, [q[:, None] & d[None, :] for q, d in words]) != 0


def smallest(values: np.ndarray, k: int) -> np.ndarray:
    """The columns of the k smallest values of each row, in order, equal values by the lowest column.

    Args:
        values: [Q, N] of uint8, uint16, or float32 without NaN.
        k: at most N; N sorts whole rows.

    Returns:
        [Q, k] of uint32 or uint64. Value and column are sorted as one integer: 32 bits wide where both fit.
    """
    chex.assert_rank(values, 2)
    if values.dtype == np.float32:
        values = _ordered_bits(values)
    columns = values.shape[1]
    column_bits = max(1, (columns - 1).bit_length())
    key = np.uint32 if 8 * values.dtype.itemsize + column_bits <= 32 else np.uint64
    keys = values.astype(key)
    keys <<= key(column_bits)
    keys |= np.arange(columns, dtype=key)[None, :]
    return _first(keys, k) & key(2**column_bits - 1)


def top_k(
    queries: np.ndarray, database: np.ndarray, bits: int, k: int, *, pairs: int = PAIRS
) -> tuple[np.ndarray, np.ndarray]:
    """The exact k nearest items of each query, equal distances by the lowest row.

    Args:
        queries: word-major [W, Q], from `lay_out`.
        database: word-major [W, N].
        bits: K.
        k: at most N.
        pairs: query-item pairs held at a time.

    Returns:
        (distances [Q, k] in int64, rows [Q, k] in int64), nearest first.
    """
    chex.assert_rank([queries, database], 2)
    count, items = queries.shape[1], database.shape[1]
    if not 0 < k <= items:
        raise ValueError(f"k = {k}: expected 1 to {items}, the items in the database")
    width = min(items, max(k, pairs))
    key, shift = (np.uint32, 24) if items <= 2**24 and bits <= 255 else (np.uint64, 40)
    nearest = np.empty((count, k), key)
    for rows in blocks(count, max(1, pairs // width)):
        best = np.empty((rows.stop - rows.start, 0), key)
        for columns in blocks(items, width):
            keys = np.asarray(distances(queries[:, rows], database[:, columns], bits)).astype(key)
            keys <<= key(shift)
            keys |= np.arange(columns.start, columns.stop, dtype=key)[None, :]
            best = np.concatenate([best, _first(keys, min(k, keys.shape[1]))], axis=1)
        nearest[rows] = _first(best, k)
    return (nearest >> key(shift)).astype(np.int64), (nearest & key(2**shift - 1)).astype(np.int64)


def histogram(values: np.ndarray, bits: int, counted: np.ndarray | None = None) -> np.ndarray:
    """How many items lie at each distance: [Q, N] of 0..K -> [Q, K + 1] in int64, of those `counted` [Q, N] alone."""
    chex.assert_rank(values, 2)
    rows, bins = values.shape[0], bits + 1
    flat = values + bins * np.arange(rows, dtype=np.int64)[:, None]
    flat = flat.ravel() if counted is None else flat[counted]
    return np.bincount(flat, minlength=rows * bins).reshape(rows, bins)


def blocks(count: int, size: int) -> list[slice]:
    """Slices of at most `size` that cover `count` rows in order."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _first(keys, k):
    """The k smallest keys of each row in order. lax.top_k takes 50 times as long on a CPU."""
    if k < keys.shape[1]:
        keys = np.partition(keys, k - 1, axis=1)[:, :k]
    return np.sort(keys, axis=1)


def _ordered_bits(values):
    """float32 -> uint32 in the same order: negative numbers run backwards as bits, and -0 equals 0."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
