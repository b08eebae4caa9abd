"""Random small inputs of every awkward kind: each measure against plain loops, each search against a stable sort."""

import math

import numpy as np
import oracle_metrics as oracle
import pytest

from jhash import hamming, measures, metrics

# bits, queries, items, classes: each shape is compiled once and filled many times
SHAPES = [
    (bits, *sizes)
    for bits in (1, 7, 8, 9, 31, 33, 64, 126, 127, 128, 255, 256)
    for sizes in ((1, 1, 1), (2, 1, 3), (3, 11, 1), (2, 9, 4))
]
RULES = ("stable", "optimistic", "pessimistic", "expected")
EXACT = {"rtol": 0, "atol": 1e-12}


def problem(random, bits, queries, items, classes):
    """Codes that are all equal, nearly so, or random; labels none, one or several; a query's own row."""
    flips = random.choice([0, 0.02, 0.5])
    database = np.where(random.random((items, bits)) < flips, -1, 1).astype(np.int8)
    selves = random.integers(items, size=queries)
    asking = database[selves].copy()
    asking[random.random(queries) < 0.5] *= -1
    share = random.choice([0, 0.3, 1])
    labels = [(random.random((rows, classes)) < share).astype(np.uint8) for rows in (queries, items)]
    if random.random() < 0.5:  # one class each
        labels = [np.eye(classes, dtype=np.uint8)[random.integers(classes, size=len(part))] for part in labels]
    return asking, database, *labels, selves


def tasks(bits, items):
    cutoffs = (1, 4, items + 3)
    for preset, protocol in measures.PRESETS.items():
        for ties in RULES:
            if ties != "expected" or protocol.divisor not in ("hits", "first_relevant"):
                asked = {"precision_ranks": (2,), "recall_ranks": (2,), "radii": (0, bits // 2)}
                yield metrics.Task(
                    preset, ties, cutoffs, ndcg_ranks=(3,) if ties in ("stable", "expected") else (), **asked
                )


def plain(given, query, task, protocol):
    """Every value that the task asks for, for one query, by loops."""
    asking, database, query_labels, labels, selves = (part.tolist() for part in given)
    rows = [row for row in range(len(database)) if protocol.self_rule == "kept" or row != selves[query]]
    values = [oracle.hamming(asking[query], database[row]) for row in rows]
    relevance = [oracle.shares_a_label(query_labels[query], labels[row]) for row in rows]
    gains = [sum(a and b for a, b in zip(query_labels[query], labels[row], strict=True)) for row in rows]
    found = {}
    for k in task.cutoffs:
        if task.ties == "expected":
            total = oracle.expected_sum_term_by_term(values, relevance, k)
            by = {"k": k, "relevant": sum(relevance), "min_k_relevant": min(k, sum(relevance))}[protocol.divisor]
            found["map", k] = total / by if by else 0.0
        else:
            found["map", k] = oracle.average_precision(
                oracle.ranking(values, relevance, task.ties), k, protocol.divisor
            )
    for k in task.precision_ranks:
        if task.ties == "expected":
            hits = oracle.expected_hits(values, relevance, k)
        else:
            hits = sum(oracle.ranking(values, relevance, task.ties)[:k])
        found["precision", k] = hits / k
        found["recall", k] = hits / sum(relevance) if sum(relevance) else 0.0
    for radius in task.radii:
        found["lookup_precision", radius], found["lookup_recall", radius] = oracle.ball(values, relevance, radius)
    for k in task.ndcg_ranks:
        found["ndcg", k] = (oracle.ndcg if task.ties == "stable" else oracle.expected_ndcg)(values, gains, k)
    return found, any(relevance)


def check(seed):
    random = np.random.default_rng(seed)
    bits, queries, items, classes = SHAPES[seed % len(SHAPES)]
    given = problem(random, bits, queries, items, classes)
    asked = list(tasks(bits, items))
    multi = (np.concatenate(given[2:4]).sum(axis=1) > 1).any()
    for task, scores in zip(
        asked, metrics.evaluate_tasks(*given[:4], asked, self_rows=given[4], pairs=2 * items), strict=True
    ):
        protocol = measures.PRESETS[task.preset]
        counted, values = [], []
        for query in range(queries):
            found, some = plain(given, query, task, protocol)
            if some or protocol.empty == "zero" or (protocol.empty == "left_out_multi_label" and not multi):
                counted.append(query)
                values.append(found)
        assert scores.queries.tolist() == counted, (seed, task)
        for name, measured in scores.values.items():
            np.testing.assert_allclose(measured, [each[name] for each in values], **EXACT, err_msg=f"{seed} {task}")
    _check_search(random, bits, given[0], given[1], seed)


def _check_search(random, bits, asking, database, seed):
    words = hamming.lay_out(asking), hamming.lay_out(database)
    distances = (asking[:, None] != database[None]).sum(axis=2)
    order = np.argsort(distances, axis=1, kind="stable")
    k, pairs = int(random.integers(1, len(database) + 1)), int(random.integers(1, 40))
    found = hamming.top_k(*words, bits, k, pairs=pairs)
    np.testing.assert_array_equal(found[1], order[:, :k], err_msg=str(seed))
    np.testing.assert_array_equal(found[0], np.take_along_axis(distances, order[:, :k], axis=1), err_msg=str(seed))
    radius = int(random.integers(0, bits + 2))
    offsets, near, rows = hamming.within(*words, bits, radius, pairs=pairs)
    inside = [[row for row in order[q] if distances[q, row] <= radius] for q in range(len(asking))]
    assert [rows[a:b].tolist() for a, b in zip(offsets, offsets[1:], strict=False)] == inside, seed
    assert near.tolist() == [distances[q, row] for q, row_list in enumerate(inside) for row in row_list], seed


@pytest.mark.parametrize("seed", range(0, 60, 5))  # every number of bits once, every size three times
def test_random_inputs_equal_plain_loops(seed):
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_random_inputs_equal_plain_loops(part):
    for seed in range(100 + part, 10_100, 10):
        check(seed)


def test_the_best_ndcg_is_one():
    gains = np.array([[3, 2, 2, 0, 0]])
    assert math.isclose(measures.ndcg(gains, np.array([[2, 0, 2, 1]]), 5)[0], 1)
