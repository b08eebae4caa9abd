"""Precision against recall, thinned to as many points as a picture needs."""

import numpy as np

from jhash import metrics

POINTS = 100  # of a curve


def curve(
    query: np.ndarray,
    database: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    self_rows: np.ndarray | None = None,
) -> dict[str, list]:
    """Precision and recall by rank, means over the queries that have relevant items, at up to POINTS ranks.

    Codes ±1 [Q, K] and [N, K], labels 0/1; `self_rows` [Q] are the queries' own rows, removed from their rankings.
    Returns `rank`, `precision` and `recall`, lists of numbers. Queries are taken a block at a time, so that memory
    stays under about 200 MB.
    """
    items = len(database) - (self_rows is not None)
    ranks = np.unique(np.geomspace(1, items, POINTS).astype(int))
    block, counted = max(1, 10_000_000 // items), 0
    precision, recall = np.zeros(len(ranks)), np.zeros(len(ranks))
    for start in range(0, len(query), block):
        rows = slice(start, start + block)
        own = None if self_rows is None else self_rows[rows]
        given = query[rows], database, query_labels[rows], database_labels
        found = metrics.precision_recall_curve(*given, by="rank", self_rows=own)
        precision += found.precision[:, ranks - 1].sum(axis=0)
        recall += found.recall[:, ranks - 1].sum(axis=0)
        counted += len(found.queries)
    means = {"precision": precision / max(counted, 1), "recall": recall / max(counted, 1)}
    return {"rank": ranks.tolist()} | {name: np.round(values, 6).tolist() for name, values in means.items()}
