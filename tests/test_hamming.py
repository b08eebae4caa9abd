"""Distances, exact neighbours and histograms, held to plain loops."""

import numpy as np
import oracle_metrics as oracle
import pytest

from jhash import hamming


def _signs(seed, items, bits):
    return np.where(np.random.default_rng(seed).random((items, bits)) < 0.5, -1, 1).astype(np.int8)


def _plain(queries, database):
    return [[oracle.hamming(q, d) for d in database.tolist()] for q in queries.tolist()]


@pytest.mark.parametrize("bits", [1, 8, 13, 64, 300])
def test_distances_equal_plain_counting(bits):
    queries, database = _signs(0, 3, bits), _signs(1, 11, bits)
    found = hamming.distances(hamming.lay_out(queries), hamming.lay_out(database), bits)
    np.testing.assert_array_equal(found, _plain(queries, database))


@pytest.mark.parametrize("bits, dtype", [(255, np.uint8), (256, np.uint16), (600, np.uint16)])
def test_opposite_codes_differ_in_every_bit(bits, dtype):
    ones = np.ones((1, bits), np.int8)
    found = np.asarray(hamming.distances(hamming.lay_out(ones), hamming.lay_out(-ones), bits))
    assert found.dtype == dtype and found[0, 0] == bits


def test_sharing_a_bit_is_sharing_a_label():
    labels = (np.random.default_rng(0).random((20, 11)) < 0.15).astype(np.uint8)
    found = hamming.share_a_bit(hamming.lay_out(labels), hamming.lay_out(labels))
    plain = [[oracle.shares_a_label(a, b) for b in labels.tolist()] for a in labels.tolist()]
    np.testing.assert_array_equal(found, plain)


def _nearest(queries, database, k):
    rows = [sorted(range(len(row)), key=lambda i, row=row: (row[i], i))[:k] for row in _plain(queries, database)]
    return np.array(rows)


@pytest.mark.parametrize("bits", [1, 8, 300])
@pytest.mark.parametrize("k", [1, 7, 41])
@pytest.mark.parametrize("pairs", [1, 50, 10**6])
def test_top_k_is_stable_whatever_the_blocks(bits, k, pairs):
    queries, database = _signs(2, 5, bits), _signs(3, 41, bits)
    distances, rows = hamming.top_k(hamming.lay_out(queries), hamming.lay_out(database), bits, k, pairs=pairs)
    expected = _nearest(queries, database, k)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(distances, np.take_along_axis(np.array(_plain(queries, database)), expected, axis=1))


def test_top_k_refuses_more_than_the_database_holds():
    words = hamming.lay_out(_signs(0, 4, 8))
    with pytest.raises(ValueError, match="k = 5: expected 1 to 4"):
        hamming.top_k(words, words, 8, 5)


@pytest.mark.parametrize("dtype, top", [(np.uint8, 3), (np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("k", [1, 30, 300])
def test_smallest_is_a_stable_argsort(dtype, top, k):
    values = np.random.default_rng(4).integers(0, top + 1, (4, 300)).astype(dtype)
    np.testing.assert_array_equal(hamming.smallest(values, k), np.argsort(values, axis=1, kind="stable")[:, :k])


def test_smallest_sorts_wide_values_in_long_rows_by_64_bits():
    values = np.random.default_rng(4).integers(0, 2**16, (1, 2**16 + 1)).astype(np.uint16)
    assert hamming.smallest(values, 3).dtype == np.uint64
    np.testing.assert_array_equal(hamming.smallest(values, 99), np.argsort(values, axis=1, kind="stable")[:, :99])


def test_smallest_sorts_real_numbers_with_both_zeros_equal():
    values = np.array([[1.5, -0.0, 0.0, -2.0, 1.5, -1e-30, -np.inf]], np.float32)
    np.testing.assert_array_equal(hamming.smallest(values, 7), [[6, 3, 5, 1, 2, 0, 4]])


def test_histogram_counts_each_distance_of_all_and_of_some():
    values = np.array([[0, 2, 2, 3], [1, 1, 1, 1]], np.uint8)
    some = np.array([[True, False, True, False], [False, True, True, False]])
    np.testing.assert_array_equal(hamming.histogram(values, 3), [[1, 0, 2, 1], [0, 4, 0, 0]])
    np.testing.assert_array_equal(hamming.histogram(values, 3, some), [[1, 0, 1, 0], [0, 2, 0, 0]])


def test_blocks_cover_every_row_once():
    rows = [row for block in hamming.blocks(23, 5) for row in range(block.start, block.stop)]
    assert rows == list(range(23))
