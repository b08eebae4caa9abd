"""Precision against recall, at as many ranks as a picture needs."""

import numpy as np

from jhash import metrics

POINTS = 100  # of a curve


def task(items: int) -> metrics.Task:
    """What to measure for a curve over rankings of this many items."""
    ranks = tuple(np.unique(np.geomspace(1, items, POINTS).astype(int)).tolist())
    return metrics.Task("trec", "expected", precision_ranks=ranks, recall_ranks=ranks)


def points(measured: metrics.Scores) -> dict[str, list]:
    """`rank`, `precision` and `recall`, lists of numbers, of what `task` measured.

    They are means over the queries that have relevant items, and over all orders of equal distances.
    """
    means = measured.means()
    ranks = [k for metric, k in means if metric == "recall"]
    return {"rank": ranks} | {
        name: [round(means[name, rank] or 0.0, 6) for rank in ranks] for name in ("precision", "recall")
    }


def curve(
    query: np.ndarray,
    database: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    self_rows: np.ndarray | None = None,
) -> dict[str, list]:
    """The `points` of codes ±1 [Q, K] and [N, K] with labels 0/1.

    `self_rows` [Q] are the queries' own rows, removed from their rankings.
    """
    asked = task(len(database) - (self_rows is not None))
    given = query, database, query_labels, database_labels
    return points(metrics.evaluate_tasks(*given, [asked], self_rows=self_rows)[0])
