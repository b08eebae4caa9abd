"""A picture of results.json: mAP@k against k, a line for each method, as SVG that needs no drawing library."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import numpy as np

COLOURS = ("#0b6e4f", "#c1440e", "#3d5a98", "#8a6d00", "#7a3b8f", "#4a4a4a")
WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 640, 380, 60, 50, 150, 40


def map_at_k(rows: Sequence[Mapping]) -> str:
    """Mean over seeds of mAP@k for each method of one dataset, with the 95 % interval over queries as a band.

    `rows` as in results.json. Returns the SVG, or '' where no row has a cut-off.
    """
    lines = {}
    for row in rows:
        if row["metric"] == "map" and row["k"] is not None and row["value"] is not None:
            bits = "real" if row["bits"] is None else f"{row['bits']} bit"
            cell = lines.setdefault(f"{row['method']}, {bits}", {}).setdefault(row["k"], [])
            cell.append((row["value"], *row["ci95"]))
    if not lines:
        return ""
    ks = sorted({k for line in lines.values() for k in line})
    top = max(np.mean(cell, axis=0)[2] for line in lines.values() for cell in line.values())
    top = np.ceil(10 * top) / 10

    def x(k):
        return LEFT + (WIDTH - LEFT - RIGHT) * (k - ks[0]) / max(1, ks[-1] - ks[0])

    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top

    parts = [_text(LEFT, TOP - 16, f"{rows[0]['dataset']}: mAP@k, mean and 95 % interval over queries", "start", 14)]
    for tick in np.arange(0, top + 0.05, 0.1):
        grid = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"'
        parts.append(f'<line {grid} stroke="#ddd"/>' + _text(LEFT - 8, y(tick) + 4, f"{tick:.1f}", "end"))
    parts += [_text(x(k), HEIGHT - BOTTOM + 18, str(k), "middle") for k in ks]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "k", "middle"))
    labels = _apart([y(np.mean(line[max(line)], axis=0)[0]) for line in lines.values()])
    for (name, line), colour, label in zip(lines.items(), COLOURS * len(lines), labels, strict=False):
        means = {k: np.mean(line[k], axis=0) for k in sorted(line)}
        centre = " ".join(f"{x(k):.1f},{y(value[0]):.1f}" for k, value in means.items())
        low = [f"{x(k):.1f},{y(value[1]):.1f}" for k, value in means.items()]
        high = [f"{x(k):.1f},{y(value[2]):.1f}" for k, value in means.items()]
        parts.append(f'<polygon points="{" ".join(low + high[::-1])}" fill="{colour}" opacity=".10"/>')
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
