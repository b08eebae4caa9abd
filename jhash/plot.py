"""Pictures of results as SVG that needs no drawing library: mAP@k against k, precision against recall."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np

COLOURS = ("#0b6e4f", "#c1440e", "#3d5a98", "#8a6d00", "#7a3b8f", "#4a4a4a")
WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 640, 380, 60, 50, 150, 40


class Line(NamedTuple):
    """A line of a picture: x and y [P], and a band [P] low and high or None."""

    x: Sequence[float]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None


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
    if not cells:
        return ""
    lines = {}
    for name, by_k in cells.items():
        ks = sorted(by_k)
        values = np.array([np.mean(by_k[k], axis=0) for k in ks])
        lines[name] = Line(ks, values[:, 0], (values[:, 1], values[:, 2]))
    ticks = sorted({k for line in lines.values() for k in line.x})
    return _picture(f"{rows[0]['dataset']}: mAP@k, mean and 95 % interval over queries", "k", ticks, lines)


def precision_recall(curves: Sequence[Mapping]) -> str:
    """Precision against recall by rank, the mean over seeds: a line for each method and task; of many tasks, a line
    for each medium that asks, the mean over those that answer.

    `curves` as in curves.json: `dataset`, `query`, and `precision` and `recall` [P] at ranks of their own.
    """
    grid, found = np.linspace(0.02, 1.0, 50), {}
    few = len({(curve["query"], curve["database"]) for curve in curves}) <= 2
    for curve in curves:
        asks, answers = (curve[side].split(" ")[0] for side in ("query", "database"))
        name = f"{curve['method']}: {asks} → {answers}" if few else asks
        found.setdefault(name, []).append(np.interp(grid, curve["recall"], curve["precision"]))
    lines = {name: Line(grid, np.mean(values, axis=0)) for name, values in found.items()}
    title = f"{curves[0]['dataset']}: precision and recall by rank" + (
        "" if few else ", mean over the media that answer"
    )
    return _picture(title, "recall", [0.02, 0.2, 0.4, 0.6, 0.8, 1.0], lines)


def _picture(title: str, below: str, ticks: Sequence[float], lines: Mapping[str, Line]) -> str:
    top = max(np.max(line.y if line.band is None else line.band[1]) for line in lines.values())
    top = np.ceil(10 * top) / 10

    def x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - ticks[0]) / max(1e-9, ticks[-1] - ticks[0])

    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top

    def points(xs, ys):
        return [f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True)]

    parts = [_text(LEFT, TOP - 16, title, "start", 14)]
    for tick in np.arange(0, top + 0.05, 0.1):
        grid = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"'
        parts.append(f'<line {grid} stroke="#ddd"/>' + _text(LEFT - 8, y(tick) + 4, f"{tick:.1f}", "end"))
    parts += [_text(x(tick), HEIGHT - BOTTOM + 18, f"{tick:g}", "middle") for tick in ticks]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, below, "middle"))
    labels = _apart([y(line.y[-1]) for line in lines.values()])
    for (name, line), colour, label in zip(lines.items(), COLOURS * len(lines), labels, strict=False):
        if line.band is not None:
            outline = " ".join(points(line.x, line.band[0]) + points(line.x, line.band[1])[::-1])
            parts.append(f'<polygon points="{outline}" fill="{colour}" opacity=".10"/>')
        centre = " ".join(points(line.x, line.y))
        parts.append(f'<polyline points="{centre}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(WIDTH - RIGHT + 8, label + 4, name, "start", colour=colour))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>"]) + "\n"


def _apart(heights: list[float], gap: float = 16.0) -> list[float]:
    """The same heights, moved down where two labels would overlap."""
    placed, last = [0.0] * len(heights), -np.inf
    for i in np.argsort(heights):
        placed[i] = last = max(heights[i], last + gap)
    return placed


def _text(x: float, y: float, text: str, anchor: str, size: int = 12, colour: str = "#222") -> str:
    style = f'font-family="sans-serif" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
