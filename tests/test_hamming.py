"""Distances, exact neighbours and histograms, held to plain loops."""

import numpy as np
import oracle_metrics as oracle
import pytest

from jhash import codes, hamming


def _signs(seed, items, bits):
    return np.where(np.random.default_rng(seed).random((items, bits)) < 0.5, -1, 1).astype(np.int8)


def _plain(queries, database):
    return [[oracle.hamming(q, d) for d in database.tolist()] for q in queries.tolist()]


@pytest.mark.parametrize("bits", [1, 8, 13, 64, 255, 256, 257, 300, 1031])
def test_distances_equal_plain_counting(bits):
    queries, database = _signs(0, 3, bits), _signs(1, 11, bits)
    found = hamming.distances(hamming.lay_out(queries), hamming.lay_out(database), bits)
    np.testing.assert_array_equal(found, _plain(queries, database))


@pytest.mark.parametrize("bits, dtype", [(255, np.uint8), (256, np.uint16), (600, np.uint16)])
def test_opposite_codes_differ_in_every_bit(bits, dtype):
    ones = np.ones((1, bits), np.int8)
    found = np.asarray(hamming.distances(hamming.lay_out(ones), hamming.lay_out(-ones), bits))
    assert found.dtype == dtype and found[0, 0] == bits


@pytest.mark.parametrize("classes", [11, 700])
def test_shared_bits_are_labels_in_common(classes):
    labels = (np.random.default_rng(0).random((20, classes)) < 0.4).astype(np.uint8)
    found = hamming.shared_bits(hamming.lay_out(labels), hamming.lay_out(labels))
    np.testing.assert_array_equal(found, labels.astype(int) @ labels.T)


def test_words_lie_as_pack_has_them():
    signs = _signs(0, 70_000, 13)
    np.testing.assert_array_equal(hamming.lay_out(signs), np.asarray(codes.pack(signs)).T)


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


def test_smallest_sorts_wide_values_in_rows_longer_than_32_bits_hold():
    values = np.random.default_rng(4).integers(0, 2**16, (1, 2**16 + 1)).astype(np.uint16)
    np.testing.assert_array_equal(hamming.smallest(values, 99), np.argsort(values, axis=1, kind="stable")[:, :99])


def test_smallest_sorts_real_numbers_with_both_zeros_equal():
    values = np.array([[1.5, -0.0, 0.0, -2.0, 1.5, -1e-30, -np.inf]], np.float32)
    np.testing.assert_array_equal(hamming.smallest(values, 7), [[6, 3, 5, 1, 2, 0, 4]])


@pytest.mark.parametrize("items", [1, 40, 2**14 + 1, 2**14 + 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_histogram_counts_each_number(items, dtype):
    values = np.random.default_rng(0).integers(0, 256, (3, items)).astype(dtype)
    expected = [[np.count_nonzero(row == number) for number in range(256)] for row in values]
    np.testing.assert_array_equal(hamming.histogram(values, 256), expected)


@pytest.mark.parametrize("bits, spread", [(8, 8), (300, 300), (8, 1)])
@pytest.mark.parametrize("pairs", [1, 50, 10**6])
def test_within_finds_every_item_of_the_ball(bits, spread, pairs):
    queries, database = _signs(2, 5, bits), _signs(3, 41, bits)
    database[:, spread:] = queries[0, spread:]
    plain = np.array(_plain(queries, database))
    for radius in (0, bits // 2, bits + 3):
        words = hamming.lay_out(queries), hamming.lay_out(database)
        offsets, distances, rows = hamming.within(*words, bits, radius, pairs=pairs)
        for query, row in enumerate(plain):
            span = slice(offsets[query], offsets[query + 1])
            expected = [item for item in np.argsort(row, kind="stable") if row[item] <= radius]
            assert rows[span].tolist() == expected and distances[span].tolist() == row[expected].tolist()


def test_a_negative_radius_is_refused():
    words = hamming.lay_out(_signs(0, 4, 8))
    with pytest.raises(ValueError, match="radius = -1"):
        hamming.within(words, words, 8, -1)


def test_an_empty_database_has_no_neighbours():
    words = hamming.lay_out(_signs(0, 4, 8))
    offsets, distances, rows = hamming.within(words, words[:, :0], 8, 8)
    assert offsets.tolist() == [0] * 5 and len(distances) == len(rows) == 0


@pytest.mark.parametrize("order", ["far first", "near first", "all equal"])
@pytest.mark.parametrize("k", [1, 100, 1999])
def test_top_k_of_a_sorted_database(order, k):
    database = _signs(5, 2000, 16)
    query = database[:3]
    distances = np.count_nonzero(database != query[0], axis=1)
    database = database[np.argsort(distances if order == "near first" else -distances, kind="stable")]
    database = np.ones_like(database) if order == "all equal" else database
    found = hamming.top_k(hamming.lay_out(query), hamming.lay_out(database), 16, k, pairs=3000)
    plain = np.count_nonzero(query[:, None] != database[None], axis=2)
    expected = np.argsort(plain, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found[1], expected)
    np.testing.assert_array_equal(found[0], np.take_along_axis(plain, expected, axis=1))


@pytest.mark.parametrize("bits", [255, 256])
def test_top_k_counts_to_the_last_bit(bits):
    ones = np.ones((1, bits), np.int8)
    database = np.concatenate([-ones, ones, -ones])
    found = hamming.top_k(hamming.lay_out(ones), hamming.lay_out(database), bits, 3)
    assert found[0].tolist() == [[0, bits, bits]] and found[1].tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("bits, items", [(8, 2**24 - 1), (8, 2**24), (8, 2**24 + 1), (255, 2**24 + 1)])
def test_rows_are_counted_beyond_what_32_bit_keys_hold(bits, items):
    words = np.full((-(-bits // 8), items), 255, np.uint8)
    words[-1] >>= -bits % 8
    words[:, -1] = words[:, items // 2] = 0
    found = hamming.top_k(np.zeros((len(words), 1), np.uint8), words, bits, 3)
    assert found[1].tolist() == [[items // 2, items - 1, 0]]


@pytest.mark.parametrize("bits, k, pairs", [(6, 1, 50), (6, 7, 50), (6, 41, 10**6), (6, 41, 50), (4096, 7, 10**6)])
def test_selection_on_a_device_gives_the_same(bits, k, pairs):
    queries, database = (hamming.lay_out(_signs(seed, items, bits)) for seed, items in ((2, 5), (3, 41)))
    database[:, 7] = hamming.lay_out(-_signs(2, 5, bits))[:, 0]  # as far away as can be
    on_device = hamming._top_k_on_device(queries, database, bits, k, pairs)
    for found, expected in zip(on_device, hamming.top_k(queries, database, bits, k), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_blocks_cover_every_row_once():
    rows = [row for block in hamming.blocks(23, 5) for row in range(block.start, block.stop)]
    assert rows == list(range(23))
