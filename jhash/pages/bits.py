"""How codes use their bits: each as often +1 as -1, and none saying what another says."""

from typing import NamedTuple

import chex
import numpy as np

from jhash.pages import charts, html, shown, svg

NUMBERED = 16  # bits, up to which a cell carries its number


class Use(NamedTuple):
    share: np.ndarray  # [K] of items whose bit is +1
    correlation: np.ndarray  # [K, K] between bits; NaN where one of them never changes


def use(codes: np.ndarray) -> Use:
    """Of codes ±1 [N, K]."""
    chex.assert_rank(codes, 2)
    signs = np.asarray(codes, np.float64)
    mean = signs.mean(axis=0)
    deviation = np.sqrt(np.maximum(1 - mean * mean, 0.0))
    moved = np.where(deviation > 1e-9, deviation, np.nan)
    covariance = signs.T @ signs / len(signs) - np.outer(mean, mean)
    return Use((1 + mean) / 2, np.clip(covariance / np.outer(moved, moved), -1.0, 1.0))


def summary(found: Use) -> str:
    """One sentence: how far from balanced the worst bit is, and how alike bits are."""
    mean = np.abs(2 * found.share - 1)
    between = between_bits(found)
    alike = "no two bits that change" if not len(between) else f"{np.abs(between).mean():.3f}"
    still = int(np.isnan(np.diag(found.correlation)).sum())
    words = f"Largest |mean| of a bit {mean.max():.3f} (0: balanced, 1: always the same); "
    words += f"mean |correlation| between two bits {alike}."
    return words + (f" {still} of {len(mean)} bits never {'changes' if still == 1 else 'change'}." if still else "")


def between_bits(found: Use) -> np.ndarray:
    """The correlations of pairs of different bits that are known, each pair once."""
    values = found.correlation[np.triu_indices(len(found.share), 1)]
    return values[np.isfinite(values)]


def pictures(name: str, codes: np.ndarray) -> str:
    """Figures of both, side by side, with the summary: of codes ±1 [N, K]; `name` says whose."""
    found = use(codes)
    numbers = np.arange(1, len(found.share) + 1)
    balance = charts.lines(
        f"{name}: share of items whose bit is +1",
        "bits, the rarest +1 first",
        "share",
        [
            charts.Line("bits", numbers, np.sort(found.share)),
            charts.Line("balanced", [1, len(numbers)], [0.5, 0.5]),
        ],
    )
    caption = f"{len(codes):,} items, {len(numbers)} bits."
    return html.paragraph(f"{name}: {summary(found)}") + html.side_by_side(
        html.figure(balance, caption), html.figure(_correlation(name, found), _legend(len(numbers)))
    )


def _legend(bits: int) -> str:
    words = (
        "Blue: two bits are alike; orange: they are opposed; pale: neither; an empty cell: a bit that never changes."
    )
    return words if bits <= NUMBERED else words + " Row and column are bits, in their order."


def _correlation(name: str, found: Use) -> str:
    values = found.correlation.copy()
    title = f"{name}: correlation between bits"
    if len(values) <= NUMBERED:
        np.fill_diagonal(values, np.nan)
        bits = [str(number) for number in range(1, len(values) + 1)]
        return charts.heat(title, "bit", "bit", bits, bits, values) or html.note("No two bits change.")
    pixels = np.full((*values.shape, 3), 255, np.uint8)
    for place in np.argwhere(np.isfinite(values)):
        pixels[tuple(place)] = charts.shade(values[tuple(place)], -1.0, 1.0)
    lines, _ = svg.head(title)
    heading = svg.sheet(title, svg.FONT + 2 + svg.LINE * len(lines) - 8, lines)
    return heading + shown.image(shown.png(pixels), title, "pixels")
