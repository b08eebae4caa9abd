"""The k smallest of numbers that come in blocks of columns, in NumPy: each is sorted with its column as one integer."""

import chex
import numpy as np


class Nearest:
    """The k smallest values of each row so far, equal values by the lowest column.

    Blocks are added in the order of their columns. A later value has to be smaller than the k-th best so far, so that
    after a first piece nearly all of them are passed over by one comparison.
    """

    def __init__(self, rows: int, k: int, columns: int, width: int):
        """For `rows` rows of `columns` values of `width` bits each."""
        self.rows, self.k = rows, k
        self.shift = max(1, (columns - 1).bit_length())
        self.key = np.uint32 if width + self.shift <= 32 else np.uint64
        self.best = np.empty((rows, 0), self.key)
        self.waiting: list[np.ndarray] = []
        self.seen = 0

    def add(self, values: np.ndarray, first: int) -> None:
        """Values [rows, C] of unsigned integers, of columns first, first + 1, ..."""
        chex.assert_rank(values, 2)
        start = 0
        while start < values.shape[1]:
            piece = values[:, start : start + max(512, 2**14 // self.rows, 2 * self.k, self.seen)]
            place = first + start
            self.waiting.append(self._all(piece, place) if self._bound() is None else self._smaller(piece, place))
            if sum(part.shape[1] for part in self.waiting) >= self.k or self._bound() is None:
                self._merge()
            self.seen += piece.shape[1]
            start += piece.shape[1]

    def add_sorted(self, values: np.ndarray, places: np.ndarray, first: int) -> None:
        """The best of a block, selected elsewhere: values [rows, m] and their columns counted from `first`."""
        self.waiting.append(self._keys(values, places.astype(self.key) + self.key(first)))
        self._merge()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """(values [rows, k], columns [rows, k]), both int64, in order."""
        self._merge()
        keys = np.sort(self.best, axis=1)
        return (keys >> self.key(self.shift)).astype(np.int64), (keys & self.key(2**self.shift - 1)).astype(np.int64)

    def _bound(self):
        """[rows] the k-th best value so far, or None while there are fewer than k."""
        if self.best.shape[1] < self.k:
            return None
        return self.best[:, self.k - 1] >> self.key(self.shift)

    def _keys(self, values, columns):
        keys = values.astype(self.key)
        keys <<= self.key(self.shift)
        keys |= columns
        return keys

    def _all(self, values, first):
        return self._keys(values, np.arange(first, first + values.shape[1], dtype=self.key)[None, :])

    def _smaller(self, values, first):
        """Keys of the values below the bound, [rows, m], filled up with the largest key."""
        width = values.shape[1]
        places = np.flatnonzero(values < self._bound().astype(values.dtype)[:, None])
        edges = np.searchsorted(places, np.arange(0, values.size + 1, width))
        counts = np.diff(edges)
        rows = np.repeat(np.arange(self.rows), counts)
        columns = places - rows * width
        keys = np.full((self.rows, counts.max()), np.iinfo(self.key).max)
        filled = np.arange(keys.shape[1])[None, :] < counts[:, None]
        keys[filled] = self._keys(values[rows, columns], columns.astype(self.key) + self.key(first))
        return keys

    def _merge(self):
        """`best` becomes the k smallest of itself and all that waits; its k-th is then the largest."""
        keys = np.concatenate([self.best, *self.waiting], axis=1)
        self.waiting = []
        if keys.shape[1] >= self.k:
            keys = np.partition(keys, self.k - 1, axis=1)[:, : self.k]
        self.best = keys


def ordered_bits(values: np.ndarray) -> np.ndarray:
    """float32 -> uint32 in the same order: negative numbers run backwards as bits, and -0 equals 0."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
