"""Learning curves: what metrics.jsonl says of each stage, a chart for each quantity and a line for each seed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jhash.pages import charts, html
from jhash.pages.embedding import evenly

MOST = 400  # points of a line
FIRST = ("loss", "validation")  # the quantities that are not folded away
NAMES = ("seed", "method", "stage", "step")


def read(workdir: Path) -> dict[tuple[str, str], dict[str, dict[int, list[tuple[float, float]]]]]:
    """(method, stage) -> quantity -> seed -> points (step, value), from workdir/metrics.jsonl; {} without one.

    A line that a kill tore is passed over.
    """
    file = Path(workdir) / "metrics.jsonl"
    found: dict = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            point = json.loads(line)
            seed, step = point["seed"], point["step"]
            where = found.setdefault((point["method"], point["stage"]), {})
        except (ValueError, KeyError, TypeError):
            continue
        for name, value in point.items():
            if name not in NAMES and charts.is_number(value):
                where.setdefault(name, {}).setdefault(seed, []).append((step, value))
    return found


def pictures(workdir: Path) -> list[str]:
    """The loss and the validation score of each method and stage, and, folded away, all else that was logged."""
    first, rest = [], []
    for (method, stage), quantities in read(workdir).items():
        for name, seeds in quantities.items():
            picture = _picture(f"{method}, {stage}: {name}", name, seeds)
            if picture:
                (first if name in FIRST else rest).append(html.figure(picture, ""))
    parts = [html.side_by_side(*first)] if first else []
    return parts + ([html.details(f"{len(rest)} more curves", html.side_by_side(*rest))] if rest else [])


def _picture(title: str, quantity: str, seeds: Mapping[int, Sequence[tuple[float, float]]]) -> str:
    series = []
    for seed, points in sorted(seeds.items()):
        values = np.array(sorted(points), float)
        values = values[evenly(len(values), MOST)]
        series.append(charts.Line(f"seed {seed}", values[:, 0], values[:, 1]))
    return charts.lines(title, "step", quantity, series, zero=False)
