"""Structures against the dense oracle, at odd sizes, with ties, empty clusters and empty pools."""

import jax
import numpy as np
import oracle_structure as oracle
import pytest
from sklearn.cluster import KMeans as ReferenceKMeans

from jhash import structure
from jhash.types import InputError

KEY = jax.random.key(7)


def clustered(items, width, groups, seed=0):
    random = np.random.default_rng(seed)
    means = random.normal(size=(groups, width))
    return (means[random.integers(0, groups, items)] + 0.4 * random.normal(size=(items, width))).astype(np.float32)


def tied_items(items=61, width=7, count=13, p=5, seed=0):
    """(x, centres, index, distance) with one centre too far to be anybody's neighbour."""
    x = clustered(items, width, 8, seed)
    centres = np.concatenate([x[: count - 1] + 0.1, np.full((1, width), 1e3, np.float32)])
    return x, centres, *structure.nearest_centres(x, centres, p)


def dense(index, distance, count, kernel="gaussian", bandwidth=None):
    near = [list(zip(d.tolist(), i.tolist(), strict=True)) for d, i in zip(distance, index, strict=True)]
    weights = oracle.anchor_weights(near, count, kernel, bandwidth)
    return weights, oracle.similarity(weights)


def assert_drawn_from(pools, name, sets, size):
    """Each row lists distinct members of its true set, all of them where they fit, and repeats them in turn."""
    for item, (row, true) in enumerate(zip(pools[name], sets, strict=True)):
        count = pools[f"{name}_count"][item]
        assert pools[f"{name}_total"][item] == len(true)
        assert count == min(size, len(true))
        assert len(set(row[:count].tolist())) == count
        assert set(row[:count].tolist()) <= true
        expected = row[np.arange(size) % count] if count else np.full(size, item)
        np.testing.assert_array_equal(row, expected)


# k-means


def test_kmeans_equals_plain_lloyd():
    x = clustered(157, 5, 6)
    found = structure.kmeans(x, 6, key=KEY, iterations=3, block=50, start=x[:6])
    centres, inertia = oracle.lloyd(x, x[:6], 3)
    np.testing.assert_allclose(found.centres, centres, rtol=1e-5, atol=1e-6)
    assert found.inertia == pytest.approx(inertia, rel=1e-6)
    assert (found.reseeded, found.empty) == (0, 0)


@pytest.mark.parametrize(("items", "width", "count"), [(3001, 33, 120), (999, 260, 37)])
def test_kmeans_inertia_is_within_a_hundredth_of_scikit_learn(items, width, count):
    x = clustered(items, width, 80)
    start = x[:count]
    reference = ReferenceKMeans(count, init=start, n_init=1, max_iter=16, tol=0, algorithm="lloyd")
    expected = reference.fit(x).inertia_
    assert structure.kmeans(x, count, key=KEY, start=start).inertia == pytest.approx(expected, rel=0.01)


def test_kmeans_nearest_is_nearest_to_its_own_centres():
    x = clustered(301, 6, 9)
    found = structure.kmeans(x, 17, key=KEY, iterations=2)
    index, distance = structure.nearest_centres(x, found.centres, 1)
    np.testing.assert_array_equal(found.nearest, index[:, 0])
    assert found.inertia == pytest.approx(float((distance.astype(np.float64) ** 2).sum()), rel=1e-6)


def test_kmeans_draws_distinct_rows_first():
    x = np.arange(40, dtype=np.float32)[:, None]
    found = structure.kmeans(x, 40, key=KEY, iterations=0)
    np.testing.assert_array_equal(np.sort(found.centres[:, 0]), x[:, 0])


def test_kmeans_reseeds_an_empty_cluster_with_the_farthest_row():
    x = np.array([[0.0], [1.0], [2.0], [50.0]], np.float32)
    found = structure.kmeans(x, 2, key=KEY, iterations=1, start=np.array([[1.0], [999.0]], np.float32))
    np.testing.assert_array_equal(found.centres, [[1.0], [50.0]])
    assert (found.reseeded, found.empty) == (1, 0)


def test_kmeans_never_reseeds_with_the_only_row_of_a_cluster():
    x = np.array([[0.0], [0.25], [10.0]], np.float32)
    found = structure.kmeans(x, 3, key=KEY, iterations=1, start=np.array([[0.0], [3.0], [999.0]], np.float32))
    np.testing.assert_array_equal(found.centres, [[0.0], [10.0], [0.25]])
    assert (found.reseeded, found.empty) == (1, 0)


def test_kmeans_says_which_clusters_stay_empty():
    x = np.repeat(np.array([[0.0, 1.0], [4.0, 5.0]], np.float32), 6, axis=0)
    found = structure.kmeans(x, 5, key=KEY)
    assert found.empty == 3
    assert found.inertia == 0


def test_kmeans_stops_when_nothing_moves():
    x = clustered(60, 4, 3)
    lines = []
    structure.kmeans(x, 3, key=KEY, iterations=500, log=lines.append)
    assert len(lines) < 100
    assert " 0 items moved" in lines[-1]


def test_kmeans_replays_and_reads_a_mapped_file(tmp_path):
    x = clustered(1003, 9, 20)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    first, second = (structure.kmeans(rows, 31, key=KEY, block=128) for rows in (x, mapped))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    other = structure.kmeans(x, 31, key=jax.random.key(8), block=128)
    assert not np.array_equal(first.centres, other.centres)


def test_part_of_a_mapped_file_is_read_as_that_part(tmp_path):
    x = clustered(90, 6, 5)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for part in (np.s_[7:], np.s_[::2], np.s_[:, 1:]):
        found, expected = (structure.kmeans(rows[part], 4, key=KEY, block=32) for rows in (mapped, x))
        np.testing.assert_array_equal(found.centres, expected.centres)


def test_half_precision_rows_are_read():
    x = clustered(200, 4, 5).astype(np.float16)
    found = structure.kmeans(x, 5, key=KEY)
    np.testing.assert_array_equal(found.centres, structure.kmeans(x.astype(np.float32), 5, key=KEY).centres)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"centres": 30}, "between 1 and 20 centres for 20 items, found 30"),
        ({"start": np.zeros((4, 2), np.float32)}, r"start of shape \(4, 3\), found \(4, 2\)"),
        ({"x": np.zeros((20, 3, 2), np.float32)}, r"rank 2.*found shape \[20, 3, 2\]"),
        ({"x": np.where(np.arange(60).reshape(20, 3) == 34, np.nan, 1.0)}, "NaN or infinity in item 11"),
    ],
)
def test_kmeans_refuses(change, said):
    arguments = {"x": np.ones((20, 3), np.float32), "centres": 4, **change}
    with pytest.raises(InputError, match=said):
        structure.kmeans(key=KEY, **arguments)


# Nearest centres


@pytest.mark.parametrize(("count", "p"), [(13, 5), (13, 13), (40, 3), (1, 1)])
def test_nearest_centres_equal_the_oracle(count, p):
    x = clustered(53, 7, 8)
    centres = clustered(count, 7, 8, seed=1)
    index, distance = structure.nearest_centres(x, centres, p, block=17)
    near = oracle.nearest_centres(x, centres, p)
    np.testing.assert_array_equal(index, [[m for _, m in item] for item in near])
    np.testing.assert_allclose(distance, [[d for d, _ in item] for item in near], rtol=1e-6)


def test_nearest_centres_keep_their_digits_far_from_the_origin():
    random = np.random.default_rng(0)
    x = (4096 + random.integers(0, 4096, (40, 12)) / 1024).astype(np.float32)
    centres = (4096 + random.integers(0, 4096, (30, 12)) / 1024).astype(np.float32)
    index, distance = structure.nearest_centres(x, centres, 4)
    near = oracle.nearest_centres(x, centres, 4)
    np.testing.assert_array_equal(index, [[m for _, m in item] for item in near])
    np.testing.assert_allclose(distance, [[d for d, _ in item] for item in near], rtol=1e-6)


def test_nearest_centres_outlive_the_rounding_of_the_product():
    random = np.random.default_rng(0)
    sides = 256 * (2 * random.integers(0, 2, (2, 60, 1)) - 1)  # two far groups: taking off the mean doesn't help
    x, centres = (sides + random.integers(0, 1024, (2, 60, 12)) / 1024).astype(np.float32)
    index, _ = structure.nearest_centres(x, centres, 1)
    np.testing.assert_array_equal(index, [[m for _, m in item] for item in oracle.nearest_centres(x, centres, 1)])


def test_nearest_centres_order_ties_by_number():
    centres = np.array([[1.0], [0.0], [-1.0], [1.0]], np.float32)
    index, distance = structure.nearest_centres(np.zeros((1, 1), np.float32), centres, 4)
    np.testing.assert_array_equal(index, [[1, 0, 2, 3]])
    np.testing.assert_array_equal(distance, [[0, 1, 1, 1]])


def test_a_row_on_its_centre_is_at_distance_zero():
    centres = clustered(50, 64, 9) + 100
    _, distance = structure.nearest_centres(centres, centres, 1)
    np.testing.assert_array_equal(distance, 0)


@pytest.mark.parametrize(("centres", "p", "said"), [((4, 3), 5, "the 4 centres, found 5"), ((4, 2), 1, r"\[M, 3\]")])
def test_nearest_centres_refuse(centres, p, said):
    with pytest.raises(InputError, match=said):
        structure.nearest_centres(np.ones((20, 3), np.float32), np.ones(centres, np.float32), p)


# The anchor graph


@pytest.mark.parametrize(("kernel", "bandwidth"), [("gaussian", None), ("laplace", None), ("laplace", 0.3)])
def test_anchor_graph_equals_the_oracle(kernel, bandwidth):
    _, centres, index, distance = tied_items()
    graph = structure.anchor_graph(index, distance, centres=len(centres), kernel=kernel, bandwidth=bandwidth)
    weights, a = dense(index, distance, len(centres), kernel, bandwidth)
    np.testing.assert_allclose(graph.weights, np.take_along_axis(weights, index, axis=1), rtol=1e-12)
    np.testing.assert_allclose(graph.mass, weights.sum(0), rtol=1e-12)
    np.testing.assert_allclose(graph.self_similarity(), np.diag(a), rtol=1e-12)
    np.testing.assert_allclose(a.sum(1), 1, rtol=1e-12)


def test_inverse_lists_hold_each_tie_once():
    _, centres, index, distance = tied_items()
    graph = structure.anchor_graph(index, distance, centres=len(centres))
    for centre in range(len(centres)):
        members = graph.members[graph.starts[centre] : graph.starts[centre + 1]]
        np.testing.assert_array_equal(members, np.flatnonzero((index == centre).any(1)))


def test_items_on_their_centres_weigh_them_equally():
    graph = structure.anchor_graph(np.array([[0, 1], [1, 2]]), np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(graph.weights, 0.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kernel": "cosine"}, "found 'cosine'"),
        ({"bandwidth": 0.0}, "found 0.0"),
        ({"centres": 2}, "2 centres.*0 to 2"),
    ],
)
def test_anchor_graph_refuses(change, said):
    with pytest.raises(InputError, match=said):
        structure.anchor_graph(np.array([[0, 1], [1, 2]]), np.ones((2, 2), np.float32), **change)


@pytest.mark.parametrize("block", [1, 500, 2**21])
@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("over", ["nonzero", "all"])
def test_row_statistics_equal_the_oracle(over, include_self, block):
    _, centres, index, distance = tied_items(p=3)
    graph = structure.anchor_graph(index, distance, centres=len(centres))
    found = structure.row_statistics(graph, over=over, include_self=include_self, block=block)
    expected = oracle.row_statistics(dense(index, distance, len(centres))[1], over, include_self)
    np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-9)


def test_an_item_without_neighbours_has_statistics_zero():
    graph = structure.anchor_graph(np.array([[0], [1], [1]]), np.ones((3, 1), np.float32))
    found = structure.row_statistics(graph)
    np.testing.assert_array_equal(np.stack(found, axis=1)[0], [0, 0, 0])


def test_shares_centre_equals_a_positive_similarity():
    _, centres, index, distance = tied_items(p=3)
    a = dense(index, distance, len(centres))[1]
    i, j = np.divmod(np.arange(61 * 61), 61)
    np.testing.assert_array_equal(jax.jit(structure.shares_centre)(index[i], index[j]), a[i, j] > 0)


# Pools


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("size", [1, 6, 64])
def test_mcmsh_pools_are_drawn_from_the_true_sets(size, include_self):
    _, _, index, _ = tied_items(items=83, count=30)
    pools = structure.mcmsh_pools(index, size=size, key=KEY, positives_include_self=include_self)
    positive, negative = oracle.granularity_sets(index.tolist(), include_self)
    assert_drawn_from(pools, "positive", positive, size)
    assert_drawn_from(pools, "negative", negative, size)


@pytest.mark.parametrize("neighbours", [(1, 1, 2), (2, 3, 5), (3, 3, 5)])
def test_mcmsh_pools_follow_their_neighbours(neighbours):
    _, _, index, _ = tied_items(items=83, count=30)
    pools = structure.mcmsh_pools(index[:, : neighbours[2]], neighbours=neighbours, size=64, key=KEY)
    positive, negative = oracle.granularity_sets(index.tolist(), False, neighbours)
    assert_drawn_from(pools, "positive", positive, 64)
    assert_drawn_from(pools, "negative", negative, 64)


def test_mcmsh_pools_refuse_neighbours_that_do_not_rise():
    with pytest.raises(InputError, match="expected m1 <= m2 < m3, found .3, 5, 5."):
        structure.mcmsh_pools(np.zeros((4, 5), np.int32), neighbours=(3, 5, 5), key=KEY)


def test_mcmsh_pools_of_an_item_alone_are_empty():
    index = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9]], np.int32)
    pools = structure.mcmsh_pools(index, size=3, key=KEY)
    np.testing.assert_array_equal(pools["positive_count"], [0, 1, 1])
    np.testing.assert_array_equal(pools["negative_count"], [0, 0, 0])
    np.testing.assert_array_equal(pools["positive"], [[0] * 3, [2] * 3, [1] * 3])


def test_mcmsh_pools_refuse_another_width():
    with pytest.raises(InputError, match=r"5 nearest centres.*\[4, 3\]"):
        structure.mcmsh_pools(np.zeros((4, 3), np.int32), key=KEY)


@pytest.mark.parametrize("over", ["nonzero", "all"])
@pytest.mark.parametrize(("lambda1", "lambda2"), [(2.0, 1.0), (0.5, 0.3), (1.0, 3.0)])
def test_adaptive_pools_are_drawn_from_the_true_sets(lambda1, lambda2, over):
    _, centres, index, distance = tied_items(items=83, count=30, p=3)
    graph = structure.anchor_graph(index, distance, centres=len(centres))
    pools = structure.gaussian_adaptive_pools(
        graph, lambda1=lambda1, lambda2=lambda2, over=over, size=8, key=KEY, block=700
    )
    positive, negative = oracle.adaptive_sets(dense(index, distance, len(centres))[1], lambda1, lambda2, over)
    assert_drawn_from(pools, "positive", positive, 8)
    assert_drawn_from(pools, "negative", negative, 8)


def test_equal_similarities_are_all_at_the_mean():
    graph = structure.anchor_graph(
        np.tile([[0, 1, 2]], (7, 1)), np.tile(np.array([[0.3, 0.7, 1.1]], np.float32), (7, 1))
    )
    pools = structure.gaussian_adaptive_pools(graph, size=4, key=KEY)
    np.testing.assert_array_equal(pools["positive_total"], 6)
    np.testing.assert_array_equal(pools["negative_total"], 0)


def test_weighted_pools_are_drawn_from_the_true_sets():
    _, centres, index, distance = tied_items(items=83, count=30, p=3)
    graph = structure.anchor_graph(index, distance, centres=len(centres))
    a = dense(index, distance, len(centres))[1]
    pools = structure.weighted_pools(graph, size=9, key=KEY)
    items = range(len(a))
    assert_drawn_from(pools, "positive", [{j for j in items if j != i and a[i, j] > 0} for i in items], 9)
    assert_drawn_from(pools, "negative", [{j for j in items if a[i, j] == 0} for i in items], 9)
    np.fill_diagonal(a, 0)
    expected = np.take_along_axis(a / a.max(1, keepdims=True), pools["positive"].astype(int), axis=1)
    np.testing.assert_allclose(pools["positive_weight"], expected, rtol=1e-6)


def test_pools_replay_from_the_key_whatever_the_block():
    _, centres, index, distance = tied_items(items=400, count=40)
    graph = structure.anchor_graph(index, distance, centres=len(centres))
    for draw in (
        lambda key, block: structure.mcmsh_pools(index, size=5, key=key, block=block),
        lambda key, block: structure.gaussian_adaptive_pools(graph, size=5, key=key, block=block),
        lambda key, block: structure.weighted_pools(graph, size=5, key=key, block=block),
    ):
        first, second, other = draw(KEY, 10_000), draw(KEY, 1), draw(jax.random.key(8), 10_000)
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
        assert not np.array_equal(first["positive"], other["positive"])


def test_draws_are_uniform():
    index = np.zeros((41, 5), np.int32) + np.arange(5, dtype=np.int32)
    drawn = np.zeros(41)
    for seed in range(60):
        drawn += np.bincount(
            structure.mcmsh_pools(index, size=10, key=jax.random.key(seed))["positive"].ravel(), minlength=41
        )
    # 2400 rows draw 10 of 40: each item is drawn by 600 rows, with a deviation of sqrt(2400 / 4 * 3 / 4) = 21.
    assert np.abs(drawn - 600).max() < 4 * 21.3


def test_report_counts_sizes():
    index = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9]], np.int32)
    report = structure.graph_report(index, structure.mcmsh_pools(index, size=3, key=KEY), centres=10, reseeded=2)
    assert report["items_a_centre_max"] == 2
    assert report["centres_empty"] == 8
    assert report["centres_reseeded"] == 2
    assert report["positives_an_item_mean"] == pytest.approx(2 / 3)
    assert report["share_without_negative"] == 1.0


# Principal components


@pytest.mark.parametrize(("count", "width", "dimensions"), [(30, 7, 4), (9, 40, 5), (6, 9, 12), (9, 4, 6), (1, 3, 2)])
def test_pca_equals_the_oracle(count, width, dimensions):
    centres = clustered(count, width, count) * np.linspace(3, 1, width, dtype=np.float32)
    expected = oracle.principal_components(centres, dimensions)
    np.testing.assert_allclose(structure.pca(centres, dimensions), expected, atol=1e-5)
