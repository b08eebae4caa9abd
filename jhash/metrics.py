"""From codes or vectors and labels to scores and curves, a block of queries at a time, in float64 NumPy.

The protocols and the measures themselves are in `jhash.measures`, the blocks in `jhash.ranking`. Several processes of
one JAX cluster share the queries, and each gets the whole result.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jhash import hamming, measures, parallel, ranking
from jhash.types import InputError


class Scores(NamedTuple):
    """Per-query values by (metric, k), ready for intervals over queries: (('map', 20), [S]).

    Metrics are 'map' at a cut-off (None: the whole ranking), 'precision', 'recall' and 'ndcg' at a rank, and
    'lookup_precision' and 'lookup_recall' within a radius. Two methods scored on the same labels and preset have the
    same queries.
    """

    preset: str
    ties: str
    queries: np.ndarray  # [S] the rows of the queries that count
    values: dict[tuple[str, int | None], np.ndarray]

    def means(self) -> dict[tuple[str, int | None], float | None]:
        """The mean over queries of each metric; None where no query counts."""
        return {name: float(value.mean()) if len(value) else None for name, value in self.values.items()}


class Curve(NamedTuple):
    """Precision and recall of each query that has relevant items: recall is undefined for the others."""

    points: np.ndarray  # [P] ranks from 1, or radii from 0
    queries: np.ndarray  # [S]
    precision: np.ndarray  # [S, P]
    recall: np.ndarray  # [S, P]


class Task(NamedTuple):
    """A protocol, and what beside its average precision is asked for."""

    preset: str  # a name in `measures.PRESETS`
    ties: str | None = None  # another rule for ties than the preset's
    cutoffs: Sequence[int | None] | None = None  # others than the preset's
    precision_ranks: Sequence[int] = ()  # at which to give precision
    recall_ranks: Sequence[int] = ()  # at which to give recall: 0 where nothing is relevant
    ndcg_ranks: Sequence[int] = ()  # at which to give NDCG: not with ties 'optimistic' or 'pessimistic'
    radii: Sequence[int] = ()  # within which to give precision (0 for an empty ball) and recall of a hash look-up


def evaluate_codes(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    preset: str,
    *,
    self_rows: np.ndarray | None = None,
    seed: int = 0,
    pairs: int = hamming.PAIRS,
    **asked: Any,
) -> Scores:
    """`evaluate_tasks` with the one task Task(preset, **asked)."""
    given = query_codes, database_codes, query_labels, database_labels
    return evaluate_tasks(*given, [Task(preset, **asked)], self_rows=self_rows, seed=seed, pairs=pairs)[0]


def evaluate_tasks(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    tasks: Sequence[Task],
    *,
    self_rows: np.ndarray | None = None,
    seed: int = 0,
    pairs: int = hamming.PAIRS,
) -> list[Scores]:
    """Scores a ranking by Hamming distance, by each task. An item is relevant where it shares a label with the query.

    Tasks that rank the same items in the same order are done in one pass over the distances.

    Args:
        query_codes: ±1 [Q, K].
        database_codes: ±1 [N, K].
        query_labels: 0/1 [Q, L], one or several a row.
        database_labels: 0/1 [N, L].
        tasks: what to measure.
        self_rows: [Q], the database row that is the query itself; None where no query is in the database. Only
            protocols that remove it look at it.
        seed: of the permutation where ties are 'shuffled'.
        pairs: query-item pairs held at a time by each of `hamming.WORKERS` threads, at least one query: 2 to 4 bytes
            a pair, and 24 for the quarter of them where whole rankings are needed.

    Raises:
        InputError: for codes other than ±1, labels other than 0/1, shapes that don't agree, an unknown preset, ties
            'expected' where the order of ties would change the divisor.
    """
    protocols = [protocol_of(task) for task in tasks]
    query_codes, database_codes = _check_codes(query_codes, database_codes)
    _check_labels(query_codes, database_codes, query_labels, database_labels, self_rows)
    found = {}
    passes = [(it.ties == "shuffled", it.self_rule == "removed" and self_rows is not None) for it in protocols]
    for passing in dict.fromkeys(passes):
        chosen = [place for place, one in enumerate(passes) if one == passing]
        shuffled, removed = passing
        database, labels, own = database_codes, database_labels, self_rows if removed else None
        if shuffled:
            database, labels, own = _shuffle(database, labels, own, seed)
        whole = any(protocols[place].ties != "expected" and _ranks_all(protocols[place]) for place in chosen)
        blocks = functools.partial(ranking.over_codes, pairs=pairs // 4 if whole else pairs)
        measured = [(tasks[place], protocols[place]) for place in chosen]
        scores = _scores(blocks, (query_codes, database, query_labels, labels, own), measured)
        found |= dict(zip(chosen, scores, strict=True))
    return [found[place] for place in range(len(tasks))]


def evaluate_vectors(
    query_vectors: np.ndarray,
    database_vectors: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    preset: str,
    *,
    self_rows: np.ndarray | None = None,
    seed: int = 0,
    **asked: Any,
) -> Scores:
    """Scores a ranking by cosine similarity of real vectors [Q, F] and [N, F], highest first, by Task(preset, **asked).

    A vector of zeros has similarity 0 to everything. Ties are 'stable' or 'shuffled': the other rules count equal
    distances, which real numbers hardly have; nor is there a ball of some radius.
    """
    task = Task(preset, **asked)
    protocol = protocol_of(task)
    if protocol.ties not in ("stable", "shuffled"):
        raise InputError(f"ties of real vectors: expected 'stable' or 'shuffled', found {protocol.ties!r}.")
    if task.radii:
        raise InputError(f"radii: expected codes for a look-up within a radius, found real vectors and {task.radii}.")
    queries, database = _unit(query_vectors, "query vectors"), _unit(database_vectors, "database vectors")
    _check_widths(queries, database, "vectors")
    _check_labels(queries, database, query_labels, database_labels, self_rows)
    own = self_rows if protocol.self_rule == "removed" else None
    if protocol.ties == "shuffled":
        database, database_labels, own = _shuffle(database, database_labels, own, seed)
    given = queries, database, query_labels, database_labels, own
    return _scores(ranking.over_vectors, given, [(task, protocol)])[0]


def precision_recall_curve(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    *,
    by: str,
    ties: str = "stable",
    ranks: Sequence[int] | None = None,
    self_rows: np.ndarray | None = None,
) -> Curve:
    """Precision and recall by 'radius' 0..K (an empty ball has precision 0), or by 'rank'.

    Args:
        query_codes: ±1 [Q, K].
        database_codes: ±1 [N, K].
        query_labels: 0/1 [Q, L].
        database_labels: 0/1 [N, L].
        by: 'radius' or 'rank'.
        ties: by rank, 'stable', or 'expected', the mean over all orders of equal distances, which is several times
            quicker.
        ranks: by rank, at which of them, from 1; None is every one. It keeps 16 bytes for each and each query.
        self_rows: [Q], the database rows that are the queries themselves, removed from their rankings; None keeps all.
    """
    if by not in ("radius", "rank"):
        raise InputError(f"curve by {by!r}: expected 'radius' or 'rank'.")
    if ties not in ("stable", "expected"):
        raise InputError(f"curve with ties {ties!r}: expected 'stable' or 'expected'.")
    query_codes, database_codes = _check_codes(query_codes, database_codes)
    _check_labels(query_codes, database_codes, query_labels, database_labels, self_rows)
    bits, items = query_codes.shape[1], len(database_codes) - (self_rows is not None)
    points = np.arange(bits + 1) if by == "radius" else np.arange(1, items + 1) if ranks is None else np.asarray(ranks)
    if by == "rank" and (points.ndim != 1 or points.min(initial=1) < 1 or points.max(initial=1) > max(items, 1)):
        raise InputError(f"ranks: expected whole numbers from 1 to the {items} items, found {ranks}.")

    def work(block):
        if by == "radius":
            precision, recall = measures.within_radius(*block.histograms)
        elif ties == "expected":
            precision, recall = _shares(measures.expected_hits_at(*block.histograms, points), points, block.relevant)
        else:
            ranked = block.ranked("stable", max(points, default=0))
            precision, recall = _shares(measures.hits_at(ranked, points), points, block.relevant)
        return {"relevant": block.relevant, "precision": precision, "recall": recall}

    given = query_codes, database_codes, query_labels, database_labels, self_rows
    pairs = hamming.PAIRS // 4 if by == "rank" and ties == "stable" else hamming.PAIRS
    found = _over(functools.partial(ranking.over_codes, pairs=pairs), given, work)
    queries = np.flatnonzero(found["relevant"])
    return Curve(points, queries, found["precision"][queries], found["recall"][queries])


def _shares(found, ranks, relevant):
    return found / ranks, measures.recall(found, relevant[:, None])


def _over(blocks, given, work, **options):
    """work(block) -> {name: array [q, ...]} of all blocks of queries, put together; processes share the queries."""
    queries, database, query_labels, database_labels, own = given
    query_labels, database_labels = ranking.lay_out_labels(query_labels, database_labels)

    def share(rows):
        mine = ranking.Labels(*(None if part is None else part[..., rows] for part in query_labels))
        selves = None if own is None else np.asarray(own)[rows]
        parts = list(blocks(work, queries[rows], database, (mine, database_labels), selves, **options))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return parallel.over_processes(len(queries), share)


def _scores(blocks, given, measured):
    """Scores by each of some (task, protocol) that rank the same items in the same order."""
    _, database, *labels, own = given
    items = len(database) - (own is not None)

    def work(block):
        values = {"relevant": block.relevant}
        for place, (task, protocol) in enumerate(measured):
            values |= {(place, *name): value for name, value in _values(block, task, protocol, items).items()}
        return values

    found = _over(blocks, given, work, gains=any(task.ndcg_ranks for task, _ in measured))
    multi_label, scores = _multi_label(*labels), []
    for place, (task, protocol) in enumerate(measured):
        left_out = protocol.empty == "left_out" or (protocol.empty == "left_out_multi_label" and multi_label)
        counted = found["relevant"] > (0 if left_out else -1)
        values = {name[1:]: value[counted] for name, value in found.items() if name[0] == place}
        scores.append(Scores(task.preset, protocol.ties, np.flatnonzero(counted), values))
    return scores


def _values(block, asked, protocol, items):
    """Every value asked for of a block's queries, {(metric, k): [q]}; a ranking has `items`."""
    choice = {"cutoffs": protocol.cutoffs, "divisor": protocol.divisor}
    if protocol.ties == "expected":
        counts, hits = block.histograms
        precisions = measures.expected_average_precision(counts, hits, **choice)
        found = measures.expected_hits_at(counts, hits, (*asked.precision_ranks, *asked.recall_ranks))
    else:
        ranks = (*protocol.cutoffs, *asked.precision_ranks, *asked.recall_ranks)
        ranked = block.ranked(protocol.ties, items if _ranks_all(protocol) else min(items, max(ranks)))
        precisions = measures.average_precision(ranked, block.relevant, **choice)
        found = measures.hits_at(ranked, (*asked.precision_ranks, *asked.recall_ranks))
    values = {("map", k): precisions[:, i] for i, k in enumerate(protocol.cutoffs)}
    places = iter(found.T)
    values |= {("precision", k): next(places) / k for k in asked.precision_ranks}
    values |= {("recall", k): measures.recall(next(places), block.relevant) for k in asked.recall_ranks}
    if asked.radii:
        precision, recall = measures.within_radius(*block.histograms)
        values |= {("lookup_precision", r): precision[:, min(r, precision.shape[1] - 1)] for r in asked.radii}
        values |= {("lookup_recall", r): recall[:, min(r, recall.shape[1] - 1)] for r in asked.radii}
    return values | _ndcg(block, protocol.ties, items, asked.ndcg_ranks)


def _ndcg(block, ties, items, ranks):
    if not ranks:
        return {}
    gain_counts = hamming.histogram(block.gains, int(block.gains.max(initial=0)) + 1)
    if ties == "expected":
        gains = 2.0**block.gains - 1
        counts, _ = block.histograms
        sums = [
            np.bincount(distances, gain, minlength=counts.shape[1])[: counts.shape[1]]
            for distances, gain in zip(block.judged >> 1, gains, strict=True)
        ]
        return {("ndcg", k): measures.expected_ndcg(counts, np.stack(sums), gain_counts, k) for k in ranks}
    gains = np.take_along_axis(block.gains, block.rows(min(items, max(ranks))), axis=1)
    return {("ndcg", k): measures.ndcg(gains, gain_counts, k) for k in ranks}


def _shuffle(items, labels, self_rows, seed):
    order = np.random.default_rng(seed).permutation(len(items))
    return items[order], np.asarray(labels)[order], None if self_rows is None else np.argsort(order)[self_rows]


# ---- what the user gave


def protocol_of(task: Task) -> measures.Protocol:
    """The task's preset with what the task changes. Raises InputError for a task that can't be measured."""
    if task.preset not in measures.PRESETS:
        raise InputError(f"preset {task.preset!r}: expected one of {', '.join(measures.PRESETS)}.")
    changes = {} if task.ties is None else {"ties": task.ties}
    changes |= {} if task.cutoffs is None else {"cutoffs": tuple(task.cutoffs)}
    protocol = dataclasses.replace(measures.PRESETS[task.preset], **changes)
    _check_at_least(1, **{field: getattr(task, field) for field in ("precision_ranks", "recall_ranks", "ndcg_ranks")})
    _check_at_least(0, radii=task.radii)
    if task.ndcg_ranks and protocol.ties in ("optimistic", "pessimistic"):
        raise InputError(f"NDCG with ties {protocol.ties!r}: expected 'stable', 'shuffled' or 'expected'.")
    return protocol


def _ranks_all(protocol):
    """Whether the measures look at every rank."""
    return None in protocol.cutoffs or protocol.divisor == "first_relevant"


def _check_at_least(least, **numbers):
    for name, values in numbers.items():
        if any(value < least for value in values):
            raise InputError(f"{name}: expected whole numbers from {least} up, found {tuple(values)}.")


def _check_codes(query_codes, database_codes):
    checked = []
    for name, signs in (("query codes", query_codes), ("database codes", database_codes)):
        signs = np.asarray(signs)
        if signs.ndim != 2 or 0 in signs.shape:
            raise InputError(f"{name}: expected [items, bits], at least one of each, found shape {signs.shape}.")
        if not (np.abs(signs) == 1).all():
            raise InputError(f"{name}: expected -1 and +1 alone, found other values.")
        checked.append(signs)
    _check_widths(*checked, "codes")
    return checked


def _check_widths(queries, database, name):
    if queries.shape[1] != database.shape[1]:
        raise InputError(f"database {name}: expected the queries' width {queries.shape[1]}, found {database.shape[1]}.")


def _check_labels(queries, database, query_labels, database_labels, self_rows):
    for name, items, labels in (("query", queries, query_labels), ("database", database, database_labels)):
        labels = np.asarray(labels)
        if labels.ndim != 2 or len(labels) != len(items):
            raise InputError(f"{name} labels: expected shape ({len(items)}, classes), found {labels.shape}.")
        if not ((labels == 0) | (labels == 1)).all():
            raise InputError(f"{name} labels: expected 0 and 1 alone, found other values.")
    _check_widths(np.asarray(query_labels), np.asarray(database_labels), "labels")
    if self_rows is None:
        return
    rows = np.asarray(self_rows)
    if rows.shape != (len(queries),) or rows.dtype.kind not in "iu":
        raise InputError(f"self rows: expected one row number for each of {len(queries)} queries, found {rows.shape}.")
    if rows.min() < 0 or rows.max() >= len(database):
        raise InputError(f"self rows: expected 0 to {len(database) - 1}, found {rows.min()} to {rows.max()}.")


def _unit(vectors, name):
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(f"{name}: expected [items, width], at least one of each, found shape {vectors.shape}.")
    if not np.isfinite(vectors).all():
        raise InputError(f"{name}: expected finite numbers, found NaN or infinity.")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _multi_label(*labels):
    return any((np.asarray(label).sum(axis=1) > 1).any() for label in labels)
