"""Pictures of results as files of their own: mAP@k against k, precision against recall."""

from collections.abc import Mapping, Sequence

import numpy as np

from jhash.pages.charts import Line, lines


def map_at_k(rows: Sequence[Mapping]) -> str:
    """Mean over seeds of mAP@k for each method of one dataset, with the 95 % interval over queries as a band.

    `rows` as in results.json. Returns the SVG, or '' where no row has a cut-off.
    """
    cells: dict[str, dict[int, list]] = {}
    for row in rows:
        if row["metric"] == "map" and row["k"] is not None and row["value"] is not None:
            bits = "real" if row["bits"] is None else f"{row['bits']} bit"
            cell = cells.setdefault(f"{row['method']}, {bits}", {}).setdefault(row["k"], [])
            cell.append((row["value"], *row["ci95"]))
    series = []
    for name, by_k in cells.items():
        ks = sorted(by_k)
        values = np.array([np.mean(by_k[k], axis=0) for k in ks])
        series.append(Line(name, ks, values[:, 0], (values[:, 1], values[:, 2])))
    if not series:
        return ""
    return lines(f"{rows[0]['dataset']}: mAP@k, mean and 95 % interval over queries", "k", "mAP@k", series)


def precision_recall(curves: Sequence[Mapping]) -> str:
    """Precision against recall by rank, the mean over seeds: a line for each method and task; of many tasks, a line
    for each medium that asks, the mean over those that answer.

    `curves` as in curves.json: `dataset`, `query`, and `precision` and `recall` [P] at ranks of their own.
    """
    grid, found = np.linspace(0.02, 1.0, 50), {}
    few = few_tasks(curves)
    for curve in curves:
        found.setdefault(name_of(curve, few), []).append(np.interp(grid, curve["recall"], curve["precision"]))
    series = [Line(name, grid, np.mean(values, axis=0)) for name, values in found.items()]
    title = f"{curves[0]['dataset']}: precision and recall by rank" + (
        "" if few else ", mean over the media that answer"
    )
    return lines(title, "recall", "precision", series)


def precision_at_rank(curves: Sequence[Mapping]) -> str:
    """Precision among the R nearest against R, the mean over seeds: lines as in `precision_recall`.

    `curves` as in curves.json; `rank` [P] are the R.
    """
    few, found = few_tasks(curves), {}
    for curve in curves:
        found.setdefault(name_of(curve, few), []).append(curve)
    series = []
    for name, members in found.items():
        ranks = max((member["rank"] for member in members), key=len)
        values = [np.interp(ranks, member["rank"], member["precision"]) for member in members]
        series.append(Line(name, ranks, np.mean(values, axis=0)))
    title = f"{curves[0]['dataset']}: precision@R" + ("" if few else ", mean over the media that answer")
    return lines(title, "R, items looked at", "precision", series, log=True)


def few_tasks(curves: Sequence[Mapping]) -> bool:
    """Whether a picture can have a line for each task."""
    return len({(curve["query"], curve["database"]) for curve in curves}) <= 2


def name_of(curve: Mapping, few: bool) -> str:
    """A line's name: of few tasks the method and both sides; of many the medium that asks."""
    asks, answers = (curve[side].split(" ")[0] for side in ("query", "database"))
    return f"{curve['method']}: {asks} → {answers}" if few else asks
