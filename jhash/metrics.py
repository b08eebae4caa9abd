"""From codes or vectors and labels to scores and curves, a block of queries at a time, in float64 NumPy.

The protocols and the measures themselves are in `jhash.measures`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jhash import hamming, measures
from jhash.types import InputError


class Scores(NamedTuple):
    """Per-query values by (metric, k), ready for intervals over queries: (('map', 20), [S]).

    Metrics are 'map' at a cut-off (None: the whole ranking), 'precision' at a rank, and 'lookup_precision' and
    'lookup_recall' within a radius. Two methods scored on the same labels and preset have the same queries.
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


def evaluate_codes(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    preset: str,
    *,
    ties: str | None = None,
    cutoffs: Sequence[int | None] | None = None,
    self_rows: np.ndarray | None = None,
    precision_ranks: Sequence[int] = (),
    radii: Sequence[int] = (),
    seed: int = 0,
) -> Scores:
    """Scores a ranking by Hamming distance. An item is relevant where it shares a label with the query.

    Args:
        query_codes: ±1 [Q, K].
        database_codes: ±1 [N, K].
        query_labels: 0/1 [Q, L], one or several a row.
        database_labels: 0/1 [N, L].
        preset: a name in `measures.PRESETS`.
        ties: another rule for ties than the preset's.
        cutoffs: other cut-offs than the preset's.
        self_rows: [Q], the database row that is the query itself; None where no query is in the database. Only
            protocols that remove it look at it.
        precision_ranks: ranks at which to give precision too.
        radii: radii within which to give the precision (0 for an empty ball) and recall of a hash look-up.
        seed: of the permutation where ties are 'shuffled'.

    Raises:
        InputError: for codes other than ±1, labels other than 0/1, shapes that don't agree, an unknown preset, ties
            'expected' where the order of ties would change the divisor.
    """
    protocol = _protocol(preset, ties, cutoffs)
    _check_at_least(1, precision_ranks=precision_ranks)
    _check_at_least(0, radii=radii)
    query_codes, database_codes = _check_codes(query_codes, database_codes)
    _check_labels(query_codes, database_codes, query_labels, database_labels, self_rows)
    if protocol.ties == "shuffled":
        database_codes, database_labels, self_rows = _shuffle(database_codes, database_labels, self_rows, seed)
    blocks = _code_blocks(query_codes, database_codes, query_labels, database_labels, self_rows, protocol)
    items, bits = database_codes.shape
    multi_label = _multi_label(query_labels, database_labels)
    return _score(blocks, preset, protocol, bits, items, precision_ranks, radii, multi_label)


def evaluate_vectors(
    query_vectors: np.ndarray,
    database_vectors: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    preset: str,
    *,
    ties: str | None = None,
    cutoffs: Sequence[int | None] | None = None,
    self_rows: np.ndarray | None = None,
    precision_ranks: Sequence[int] = (),
    seed: int = 0,
) -> Scores:
    """Scores a ranking by cosine similarity of real vectors [Q, F] and [N, F], highest first; otherwise as codes.

    A vector of zeros has similarity 0 to everything. Ties are 'stable' or 'shuffled': the other rules count equal
    distances, which real numbers hardly have.
    """
    protocol = _protocol(preset, ties, cutoffs)
    _check_at_least(1, precision_ranks=precision_ranks)
    if protocol.ties not in ("stable", "shuffled"):
        raise InputError(f"ties of real vectors: expected 'stable' or 'shuffled', found {protocol.ties!r}.")
    queries, database = _unit(query_vectors, "query vectors"), _unit(database_vectors, "database vectors")
    _check_widths(queries, database, "vectors")
    _check_labels(queries, database, query_labels, database_labels, self_rows)
    if protocol.ties == "shuffled":
        database, database_labels, self_rows = _shuffle(database, database_labels, self_rows, seed)

    def compare(rows):
        return -(queries[rows] @ database.T)

    blocks = _blocks(compare, query_labels, database_labels, self_rows, protocol)
    multi_label = _multi_label(query_labels, database_labels)
    return _score(blocks, preset, protocol, None, len(database), precision_ranks, (), multi_label)


def precision_recall_curve(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    *,
    by: str,
    depth: int | None = None,
    self_rows: np.ndarray | None = None,
) -> Curve:
    """Precision and recall by 'radius' 0..K (an empty ball has precision 0), or by 'rank' 1..depth with stable ties.

    Args:
        query_codes: ±1 [Q, K].
        database_codes: ±1 [N, K].
        query_labels: 0/1 [Q, L].
        database_labels: 0/1 [N, L].
        by: 'radius' or 'rank'. By rank it keeps 16 bytes for each query and rank.
        depth: the last rank; None is the whole ranking.
        self_rows: [Q], the database rows that are the queries themselves, removed from their rankings; None keeps all.
    """
    if by not in ("radius", "rank"):
        raise InputError(f"curve by {by!r}: expected 'radius' or 'rank'.")
    _check_at_least(1, depth=() if depth is None else (depth,))
    query_codes, database_codes = _check_codes(query_codes, database_codes)
    _check_labels(query_codes, database_codes, query_labels, database_labels, self_rows)
    bits, items = query_codes.shape[1], len(database_codes) - (self_rows is not None)
    depth = items if depth is None else min(depth, items)
    protocol = dataclasses.replace(measures.PRESETS["trec"], self_rule="kept" if self_rows is None else "removed")
    parts = []
    for block in _code_blocks(query_codes, database_codes, query_labels, database_labels, self_rows, protocol):
        if by == "radius":
            precision, recall = measures.within_radius(*_histograms(block, bits))
        else:
            precision, recall = measures.within_rank(_ranked(block, "stable", depth), block.relevant)
        parts.append((block.relevant, precision, recall))
    relevant, precision, recall = (np.concatenate(part) for part in zip(*parts, strict=True))
    points = np.arange(bits + 1) if by == "radius" else np.arange(1, depth + 1)
    queries = np.flatnonzero(relevant)
    return Curve(points, queries, precision[queries], recall[queries])


class _Block(NamedTuple):
    """Some queries against the whole database."""

    values: np.ndarray  # [q, N] distances, or negative similarities: the smallest is the nearest
    relevance: np.ndarray  # bool [q, N]; False at a query's own row where that is removed
    relevant: np.ndarray  # [q]
    selves: np.ndarray | None  # [q] own rows to remove from the rankings


def _code_blocks(query_codes, database_codes, query_labels, database_labels, self_rows, protocol):
    bits = query_codes.shape[1]
    queries, database = hamming.lay_out(query_codes), jnp.asarray(hamming.lay_out(database_codes))

    def compare(rows):
        return np.asarray(hamming.distances(queries[:, rows], database, bits))

    return _blocks(compare, query_labels, database_labels, self_rows, protocol)


def _blocks(compare: Callable, query_labels, database_labels, self_rows, protocol) -> Iterator[_Block]:
    queries, database = hamming.lay_out(query_labels), jnp.asarray(hamming.lay_out(database_labels))
    remove = self_rows is not None and protocol.self_rule == "removed"
    for rows in hamming.blocks(len(query_labels), max(1, hamming.PAIRS // len(database_labels))):
        relevance = np.asarray(hamming.share_a_bit(queries[:, rows], database))
        selves = None
        if remove:
            selves = np.asarray(self_rows)[rows]
            relevance = relevance.copy()
            relevance[np.arange(len(selves)), selves] = False
        yield _Block(compare(rows), relevance, np.count_nonzero(relevance, axis=1), selves)


def _score(blocks, preset, protocol, bits, items, precision_ranks, radii, multi_label):
    depths = [*protocol.cutoffs, *precision_ranks]
    whole = None in depths or protocol.divisor == "first_relevant"
    depth = items if whole else min(items, max(depths))
    choice = {"cutoffs": protocol.cutoffs, "divisor": protocol.divisor}
    parts, relevant = [], []
    for block in blocks:
        values = {}
        if protocol.ties == "expected" or radii:
            counts, hits = _histograms(block, bits)
        if protocol.ties == "expected":
            precisions = measures.expected_average_precision(counts, hits, **choice)
            values |= {("precision", k): measures.expected_precision_at(counts, hits, k) for k in precision_ranks}
        else:
            ranked = _ranked(block, protocol.ties, depth)
            precisions = measures.average_precision(ranked, block.relevant, **choice)
            values |= {("precision", k): measures.precision_at(ranked, k) for k in precision_ranks}
        values |= {("map", k): precisions[:, i] for i, k in enumerate(protocol.cutoffs)}
        if radii:
            precision, recall = measures.within_radius(counts, hits)
            values |= {("lookup_precision", r): precision[:, min(r, bits)] for r in radii}
            values |= {("lookup_recall", r): recall[:, min(r, bits)] for r in radii}
        parts.append(values)
        relevant.append(block.relevant)
    left_out = protocol.empty == "left_out" or (protocol.empty == "left_out_multi_label" and multi_label)
    counted = np.concatenate(relevant) > (0 if left_out else -1)
    values = {name: np.concatenate([part[name] for part in parts])[counted] for name in parts[0]}
    return Scores(preset, protocol.ties, np.flatnonzero(counted), values)


def _ranked(block, ties, depth):
    """Whether the item at each rank is relevant, bool [q, depth], without the query itself where it is removed."""
    values = block.values
    if ties in ("optimistic", "pessimistic"):
        last = block.relevance if ties == "pessimistic" else ~block.relevance
        values = 2 * values.astype(np.uint16) + last
    rows = hamming.smallest(values, min(values.shape[1], depth + (block.selves is not None)))
    if block.selves is not None:
        keep = rows != block.selves[:, None]
        keep[:, -1] &= ~keep.all(axis=1)  # the query ranks below this depth: drop the last item in its place
        rows = rows[keep].reshape(len(rows), -1)
    return np.take_along_axis(block.relevance, rows.astype(np.intp), axis=1)


def _histograms(block, bits):
    counts = hamming.histogram(block.values, bits)
    if block.selves is not None:
        queries = np.arange(len(block.selves))
        counts[queries, block.values[queries, block.selves]] -= 1
    return counts, hamming.histogram(block.values, bits, block.relevance)


def _shuffle(items, labels, self_rows, seed):
    order = np.random.default_rng(seed).permutation(len(items))
    return items[order], np.asarray(labels)[order], None if self_rows is None else np.argsort(order)[self_rows]


# ---- what the user gave


def _protocol(preset, ties, cutoffs):
    if preset not in measures.PRESETS:
        raise InputError(f"preset {preset!r}: expected one of {', '.join(measures.PRESETS)}.")
    changes = {} if ties is None else {"ties": ties}
    changes |= {} if cutoffs is None else {"cutoffs": tuple(cutoffs)}
    return dataclasses.replace(measures.PRESETS[preset], **changes)


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
