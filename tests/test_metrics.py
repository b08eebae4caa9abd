"""Every preset, tie rule and divisor against plain loops, on random codes with many ties."""

import dataclasses

import numpy as np
import oracle_metrics as oracle
import pytest

from jhash import measures, metrics, ranking
from jhash.types import InputError

EXACT = {"rtol": 0, "atol": 1e-12}


def _signs(random, items, bits):
    return np.where(random.random((items, bits)) < 0.5, -1, 1).astype(np.int8)


def _labels(random, items, classes, multi):
    """Some rows have no label at all, and the last class nobody has."""
    labels = np.zeros((items, classes), np.uint8)
    labels[np.arange(items), random.integers(classes - 1, size=items)] = 1
    if multi:
        labels |= (random.random((items, classes)) < 0.2) & (np.arange(classes) < classes - 1)[None, :]
    labels[random.random(items) < 0.15] = 0
    return labels


def _problem(bits, multi=False, seed=0, queries=9, items=47, classes=5):
    """Queries are database rows too; the second query is of a class that no item has."""
    random = np.random.default_rng(seed)
    database, labels = _signs(random, items, bits), _labels(random, items, classes, multi)
    selves = random.permutation(items)[:queries]
    query_labels = labels[selves].copy()
    query_labels[1] = np.eye(classes)[-1]
    return database[selves], database, query_labels, labels, selves


def _plain(problem, query, removed):
    """A query's distances and relevance in plain lists."""
    queries, database, query_labels, labels, selves = (part.tolist() for part in problem)
    rows = [row for row in range(len(database)) if not (removed and row == selves[query])]
    values = [oracle.hamming(queries[query], database[row]) for row in rows]
    return values, [oracle.shares_a_label(query_labels[query], labels[row]) for row in rows]


def _oracle(problem, protocol, query, k):
    values, relevance = _plain(problem, query, protocol.self_rule == "removed")
    return oracle.average_precision(oracle.ranking(values, relevance, protocol.ties), k, protocol.divisor)


def _counted(problem, protocol):
    removed, multi = protocol.self_rule == "removed", (np.concatenate(problem[2:4]).sum(axis=1) > 1).any()
    left_out = protocol.empty == "left_out" or (protocol.empty == "left_out_multi_label" and multi)
    return [q for q in range(len(problem[0])) if not left_out or any(_plain(problem, q, removed)[1])]


# What each preset means, written out a second time: cut-offs, divisor, ties, self, empty.
MEANING = {
    "video": ((5, 10, 20, 40, 60, 80, 100), "k", "stable", "kept", "zero"),
    "she": ((None,), "relevant", "stable", "kept", "left_out_multi_label"),
    "dcmh": ((None,), "first_relevant", "stable", "kept", "zero"),
    "deephash": ((1000,), "hits", "stable", "kept", "zero"),
    "trec": ((None,), "relevant", "stable", "removed", "left_out"),
}


@pytest.mark.parametrize("bits", [1, 8, 300])
@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("preset", MEANING)
def test_preset_equals_plain_loops(preset, multi, bits):
    protocol, problem = measures.Protocol(*MEANING[preset]), _problem(bits, multi)
    pairs = 4 * 47 * (4 if metrics._ranks_all(protocol) else 1)  # blocks of 4, 4 and 1 queries
    scores = metrics.evaluate_codes(*problem[:4], preset, self_rows=problem[4], pairs=pairs)
    assert scores.queries.tolist() == _counted(problem, protocol)
    for k in protocol.cutoffs:
        expected = [_oracle(problem, protocol, query, k) for query in scores.queries]
        np.testing.assert_allclose(scores.values["map", k], expected, **EXACT)


@pytest.mark.parametrize("most", [1, 3])
def test_relevant_is_what_shares_a_label(most):
    random = np.random.default_rng(0)
    labels = np.zeros((20, 11), np.uint8)
    for row in labels[1:]:  # the first item has none
        row[random.choice(11, size=most, replace=False)] = 1
    asking, searched = ranking.lay_out_labels(labels[:8], labels)
    assert (asking.ids is None) == (most > 1)
    plain = [[oracle.shares_a_label(a, b) for b in labels.tolist()] for a in labels[:8].tolist()]
    np.testing.assert_array_equal(ranking.relevance(asking.compared, searched.compared), plain)


def test_hundreds_of_classes_are_those_that_items_have():
    problem = _problem(8, multi=True)
    wide = [np.zeros((len(labels), 700), np.uint8) for labels in problem[2:4]]
    for labels, narrow in zip(wide, problem[2:4], strict=True):
        labels[:, [0, 150, 300, 500, 699]] = narrow
    found = metrics.evaluate_codes(*problem[:2], *wide, "dcmh", ndcg_ranks=(5,))
    expected = metrics.evaluate_codes(*problem[:4], "dcmh", ndcg_ranks=(5,))
    assert all((found.values[name] == expected.values[name]).all() for name in expected.values)


@pytest.mark.parametrize("preset", ["dcmh", "deephash"])
@pytest.mark.parametrize("k", [1, 6, 46])
def test_presets_at_other_cutoffs(preset, k):
    problem = _problem(8)
    protocol = dataclasses.replace(measures.PRESETS[preset], cutoffs=(k,))
    scores = metrics.evaluate_codes(*problem[:4], preset, cutoffs=(k,))
    expected = [_oracle(problem, protocol, query, k) for query in scores.queries]
    np.testing.assert_allclose(scores.values["map", k], expected, **EXACT)


@pytest.mark.parametrize("divisor", ["k", "hits", "relevant", "min_k_relevant", "first_relevant"])
@pytest.mark.parametrize("ties", ["optimistic", "pessimistic"])
@pytest.mark.parametrize("self_rule", ["kept", "removed"])
def test_best_and_worst_orders_of_ties(divisor, ties, self_rule, monkeypatch):
    protocol, problem = measures.Protocol((1, 6, 46), divisor, ties, self_rule, "zero"), _problem(5)
    monkeypatch.setitem(measures.PRESETS, "tried", protocol)
    scores = metrics.evaluate_codes(*problem[:4], "tried", self_rows=problem[4])
    for k in protocol.cutoffs:
        expected = [_oracle(problem, protocol, query, k) for query in range(len(problem[0]))]
        np.testing.assert_allclose(scores.values["map", k], expected, **EXACT)


@pytest.mark.parametrize("divisor", ["k", "relevant", "min_k_relevant"])
def test_expected_is_the_mean_over_all_orders(divisor):
    random = np.random.default_rng(0)
    for _ in range(12):
        values, relevance = random.integers(0, 3, (1, 7)), random.random((1, 7)) < 0.5
        counts = np.array([np.bincount(values[0], minlength=3)])
        hits = np.array([np.bincount(values[0][relevance[0]], minlength=3)])
        cutoffs = (1, 3, 5, 7, 9) if divisor == "k" else (1, 3, 5, 9, None)
        found = measures.expected_average_precision(counts, hits, cutoffs=cutoffs, divisor=divisor)
        plain = [
            oracle.expected_average_precision(values[0].tolist(), relevance[0].tolist(), k, divisor) for k in cutoffs
        ]
        np.testing.assert_allclose(found[0], plain, **EXACT)


@pytest.mark.parametrize("bits", [1, 8, 300])
@pytest.mark.parametrize("self_rule", ["kept", "removed"])
def test_expected_from_codes(bits, self_rule, monkeypatch):
    problem, removed = _problem(bits), self_rule == "removed"
    monkeypatch.setitem(measures.PRESETS, "tried", measures.Protocol((4, 20), "k", "expected", self_rule, "zero"))
    scores = metrics.evaluate_codes(*problem[:4], "tried", self_rows=problem[4], precision_ranks=(4,))
    for query in range(len(problem[0])):
        for k in (4, 20):
            plain = oracle.expected_sum_term_by_term(*_plain(problem, query, removed), k) / k
            np.testing.assert_allclose(scores.values["map", k][query], plain, **EXACT)


def test_expected_precision_is_the_mean_over_all_orders():
    values, relevance = np.array([[0, 1, 1, 1, 2, 2]], np.uint8), np.array([[0, 1, 0, 0, 1, 1]], bool)
    counts, hits = np.array([[1, 3, 2]]), np.array([[0, 1, 2]])
    for k in (1, 2, 5, 8):
        every = [oracle.precision_at(r, k) for r in oracle.all_rankings(values[0].tolist(), relevance[0].tolist())]
        np.testing.assert_allclose(measures.expected_hits_at(counts, hits, [k])[0] / k, [np.mean(every)], **EXACT)


@pytest.mark.parametrize("divisor, cutoffs", [("hits", (5,)), ("hits", (None,)), ("first_relevant", (5,))])
def test_expected_needs_a_divisor_that_ties_leave_alone(divisor, cutoffs):
    with pytest.raises(InputError, match="ties 'expected'"):
        measures.Protocol(cutoffs, divisor, "expected", "kept", "zero")


def test_tie_rules_are_ordered_as_their_names_say():
    problem = _problem(3)
    means = [
        metrics.evaluate_codes(*problem[:4], "video", ties=ties).means()["map", 10]
        for ties in ("pessimistic", "expected", "optimistic")
    ]
    assert means[0] < means[1] < means[2]


def test_shuffled_is_stable_after_one_permutation_and_its_mean_is_expected():
    queries, database, query_labels, labels, selves = _problem(2)
    order = np.random.default_rng(5).permutation(len(database))
    places = np.argsort(order)[selves]
    problem = (queries, database, query_labels, labels)
    found = metrics.evaluate_codes(*problem, "trec", ties="shuffled", seed=5, self_rows=selves)
    plain = metrics.evaluate_codes(queries, database[order], query_labels, labels[order], "trec", self_rows=places)
    np.testing.assert_array_equal(found.values["map", None], plain.values["map", None])
    many = [metrics.evaluate_codes(*problem, "video", ties="shuffled", seed=s).means()["map", 10] for s in range(60)]
    expected = metrics.evaluate_codes(*problem, "video", ties="expected").means()["map", 10]
    assert abs(np.mean(many) - expected) < 4 * np.std(many) / np.sqrt(60)


@pytest.mark.parametrize("bits", [1, 8, 300])
def test_precision_and_lookup_beside_average_precision(bits):
    problem, radii = _problem(bits), (0, bits // 2, bits + 9)
    asked = {"precision_ranks": (3, 60), "recall_ranks": (5, 60), "radii": radii}
    scores = metrics.evaluate_codes(*problem[:4], "trec", self_rows=problem[4], **asked)
    for place, query in enumerate(scores.queries):
        values, relevance = _plain(problem, query, removed=True)
        for k in (3, 60):
            plain = oracle.precision_at(oracle.ranking(values, relevance), k)
            np.testing.assert_allclose(scores.values["precision", k][place], plain, **EXACT)
        for k in (5, 60):
            plain = sum(oracle.ranking(values, relevance)[:k]) / sum(relevance)
            np.testing.assert_allclose(scores.values["recall", k][place], plain, **EXACT)
        for radius in radii:
            found = [scores.values[name, radius][place] for name in ("lookup_precision", "lookup_recall")]
            np.testing.assert_allclose(found, oracle.ball(values, relevance, radius), **EXACT)


@pytest.mark.parametrize("removed", [False, True])
def test_precision_recall_by_radius(removed):
    problem = _problem(8)
    selves = problem[4] if removed else None
    curve = metrics.precision_recall_curve(*problem[:4], by="radius", self_rows=selves)
    np.testing.assert_array_equal(curve.points, np.arange(9))
    for place, query in enumerate(curve.queries):
        plain = [oracle.ball(*_plain(problem, query, removed), radius) for radius in range(9)]
        np.testing.assert_allclose(np.stack([curve.precision[place], curve.recall[place]], axis=1), plain, **EXACT)


def test_precision_recall_by_rank():
    problem = _problem(8)
    curve = metrics.precision_recall_curve(*problem[:4], by="rank", self_rows=problem[4])
    np.testing.assert_array_equal(curve.points, np.arange(1, 47))
    for place, query in enumerate(curve.queries):
        ranked = oracle.ranking(*_plain(problem, query, removed=True))
        np.testing.assert_allclose(
            curve.precision[place], [oracle.precision_at(ranked, k) for k in range(1, 47)], **EXACT
        )
        np.testing.assert_allclose(curve.recall[place], [sum(ranked[:k]) / sum(ranked) for k in range(1, 47)], **EXACT)


@pytest.mark.parametrize("removed", [False, True])
def test_expected_precision_recall_by_rank_is_the_mean_over_all_orders(removed):
    problem = _problem(8)
    selves = problem[4] if removed else None
    ranks = [1, 2, 7, 30, 46]
    curve = metrics.precision_recall_curve(*problem[:4], by="rank", ties="expected", ranks=ranks, self_rows=selves)
    for place, query in enumerate(curve.queries):
        values, relevance = _plain(problem, query, removed)
        found = [oracle.expected_hits(values, relevance, k) for k in ranks]
        np.testing.assert_allclose(curve.precision[place], np.array(found) / ranks, **EXACT)
        np.testing.assert_allclose(curve.recall[place], np.array(found) / sum(relevance), **EXACT)


def test_tasks_measured_together_are_those_measured_alone():
    problem, tasks = _problem(5), []
    for preset in measures.PRESETS:
        for ties in ("stable", "shuffled", "optimistic", "pessimistic", "expected"):
            if ties != "expected" or preset != "deephash":
                tasks.append(metrics.Task(preset, ties, precision_ranks=(3,), radii=(2,)))
    together = metrics.evaluate_tasks(*problem[:4], tasks, self_rows=problem[4], seed=1)
    for task, found in zip(tasks, together, strict=True):
        alone = metrics.evaluate_codes(*problem[:4], **task._asdict(), self_rows=problem[4], seed=1)
        assert (found.preset, found.ties, list(found.values)) == (alone.preset, alone.ties, list(alone.values))
        np.testing.assert_array_equal(found.queries, alone.queries)
        for name, values in alone.values.items():
            np.testing.assert_array_equal(found.values[name], values)


def test_ranks_beyond_the_ranking_are_refused():
    with pytest.raises(InputError, match="ranks: expected whole numbers from 1 to the 46 items"):
        problem = _problem(8)
        metrics.precision_recall_curve(*problem[:4], by="rank", ranks=[47], self_rows=problem[4])


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("ties", ["stable", "expected"])
def test_ndcg_equals_plain_loops(ties, removed, multi, monkeypatch):
    protocol = measures.Protocol((4,), "k", ties, "removed" if removed else "kept", "zero")
    monkeypatch.setitem(measures.PRESETS, "tried", protocol)
    problem = _problem(5, multi)
    scores = metrics.evaluate_codes(*problem[:4], "tried", self_rows=problem[4], ndcg_ranks=(1, 6, 60))
    plain = oracle.ndcg if ties == "stable" else oracle.expected_ndcg
    for query in range(len(problem[0])):
        values, _ = _plain(problem, query, removed)
        gains = _gains(problem, query, removed)
        for k in (1, 6, 60):
            np.testing.assert_allclose(scores.values["ndcg", k][query], plain(values, gains, k), **EXACT)


def _gains(problem, query, removed):
    _, _, query_labels, labels, selves = problem
    shared = (query_labels[query][None, :] & labels).sum(axis=1)
    return np.delete(shared, selves[query]).tolist() if removed else shared.tolist()


def test_ndcg_of_vectors_ranks_by_similarity():
    _, _, query_labels, labels, selves = _problem(8, multi=True)
    database = _vectors("real")
    scores = metrics.evaluate_vectors(database[selves], database, query_labels, labels, "video", ndcg_ranks=(5,))
    for query, row in enumerate(selves):
        values = [-oracle.cosine(database[row].tolist(), other.tolist()) for other in database]
        gains = (query_labels[query][None, :] & labels).sum(axis=1).tolist()
        np.testing.assert_allclose(scores.values["ndcg", 5][query], oracle.ndcg(values, gains, 5), **EXACT)


@pytest.mark.parametrize("ties", ["optimistic", "pessimistic"])
def test_ndcg_of_the_best_and_worst_order_is_refused(ties):
    with pytest.raises(InputError, match=f"NDCG with ties '{ties}'"):
        metrics.evaluate_codes(*_problem(8)[:4], "video", ties=ties, ndcg_ranks=(5,))


def test_a_curve_leaves_out_queries_with_nothing_relevant():
    curve = metrics.precision_recall_curve(*_problem(8)[:4], by="radius")
    assert 1 not in curve.queries and len(curve.queries) == len(curve.recall) > 0


def _vectors(kind):
    random = np.random.default_rng(0)
    if kind == "real":
        return random.normal(size=(47, 3))
    return np.eye(3)[random.integers(3, size=47)] * random.choice([-3.0, 0.0, 0.5], (47, 1))  # similarities -1, 0, 1


@pytest.mark.parametrize("kind", ["real", "tied"])
@pytest.mark.parametrize("preset, removed", [("video", False), ("trec", True)])
def test_vectors_rank_by_cosine_similarity(preset, removed, kind):
    _, _, query_labels, labels, selves = _problem(8)
    database = _vectors(kind)
    queries = database[selves]
    scores = metrics.evaluate_vectors(queries, database, query_labels, labels, preset, self_rows=selves)
    protocol = measures.PRESETS[preset]
    for place, query in enumerate(scores.queries):
        rows = [row for row in range(47) if not (removed and row == selves[query])]
        values = [-oracle.cosine(queries[query].tolist(), database[row].tolist()) for row in rows]
        relevance = [oracle.shares_a_label(query_labels[query].tolist(), labels[row].tolist()) for row in rows]
        for k in protocol.cutoffs:
            plain = oracle.average_precision(oracle.ranking(values, relevance), k, protocol.divisor)
            np.testing.assert_allclose(scores.values["map", k][place], plain, **EXACT)


def test_vectors_have_no_expected_ties():
    vectors, labels = np.ones((2, 3)), np.ones((2, 1), np.uint8)
    with pytest.raises(InputError, match="ties of real vectors"):
        metrics.evaluate_vectors(vectors, vectors, labels, labels, "video", ties="expected")


def test_vectors_have_no_ball():
    vectors, labels = np.ones((2, 3)), np.ones((2, 1), np.uint8)
    with pytest.raises(InputError, match="radii: expected codes"):
        metrics.evaluate_vectors(vectors, vectors, labels, labels, "video", radii=(2,))


def test_no_query_left_gives_no_number():
    signs, labels = np.ones((2, 8), np.int8), np.zeros((2, 3), np.uint8)
    scores = metrics.evaluate_codes(signs, signs, labels, labels, "trec")
    assert scores.means() == {("map", None): None}


SIGNS, LABELS = np.ones((3, 8), np.int8), np.eye(3, dtype=np.uint8)
BAD = {
    "database codes: expected the queries' width 8": {"database_codes": SIGNS[:, :4]},
    "query codes: expected -1 and \\+1": {"query_codes": SIGNS * 0},
    "query codes: expected \\[items, bits\\]": {"query_codes": SIGNS[0]},
    "database labels: expected shape \\(3, classes\\)": {"database_labels": LABELS[:2]},
    "query labels: expected 0 and 1": {"query_labels": LABELS * 2},
    "database labels: expected the queries' width": {"database_labels": LABELS[:, :2]},
    "preset 'vidoe': expected one of video": {"preset": "vidoe"},
    "self rows: expected 0 to 2": {"self_rows": np.array([0, 1, 3])},
    "self rows: expected one row number": {"self_rows": np.array([0])},
    "field 'ties'": {"ties": "random"},
    "field 'cutoffs'": {"cutoffs": (0,)},
    "divisor 'k'": {"cutoffs": (None,)},
    "radii: expected whole numbers from 0 up": {"radii": (2, -1)},
    "precision_ranks: expected whole numbers from 1 up": {"precision_ranks": (0,)},
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_a_sentence(sentence):
    good = {"query_codes": SIGNS, "database_codes": SIGNS, "query_labels": LABELS, "database_labels": LABELS}
    with pytest.raises(InputError, match=sentence):
        metrics.evaluate_codes(**(good | {"preset": "video"} | BAD[sentence]))


def test_vectors_must_be_finite():
    vectors = np.ones((3, 4))
    with pytest.raises(InputError, match="database vectors: expected finite"):
        metrics.evaluate_vectors(vectors, vectors * np.nan, LABELS, LABELS, "video")
