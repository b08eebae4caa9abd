"""How codes use their bits: each as often +1 as -1, and none saying what another says."""

from typing import NamedTuple

import chex
import numpy as np

from jhash.pages import charts, html, shown, svg

NUMBERED = 16  # bits, up to which a cell carries its number
PIXELS = 512  # of a picture of more, about


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
    if bits <= NUMBERED:
        return "Above 0 two bits are alike, below 0 opposed; an empty cell: a bit that never changes."
    return (
        "Rows and columns are bits, in their order. Above the diagonal stands how alike two of them are, where r > 0, "
        "below it how opposed, where r < 0: the darker, the larger |r|. Hatched: a bit that never changes."
    )


def _correlation(name: str, found: Use) -> str:
    values = found.correlation.copy()
    title = f"{name}: correlation between bits"
    if len(values) <= NUMBERED:
        np.fill_diagonal(values, np.nan)
        bits = [str(number) for number in range(1, len(values) + 1)]
        return charts.heat(title, "bit", "bit", bits, bits, values) or html.note("No two bits change.")
    parts, top = svg.head(title)
    side, left = svg.WIDTH - 16, 8
    bottom = top + 6 + side
    parts.append(svg.text(left + side, top, "r > 0", "end", soft=True))
    place = f'x="{left}" y="{top + 6}" width="{side}" height="{side}"'
    parts.append(f'<image {place} style="image-rendering:pixelated" href="{shown.png(triangles(found))}"/>')
    parts.append(f'<path class="axis" stroke="#565656" d="M{left} {top + 6}L{left + side} {bottom}"/>')
    parts.append(svg.text(left, bottom + svg.LINE, "r < 0", soft=True))
    parts.append(svg.text(left + side - 5 * 46 - 6, bottom + 30, "|r|", "end"))
    for number in range(5):
        x = left + side + 46 * (number - 5)
        parts.append(charts.numbered(number / 4, 0.0, 1.0, x, bottom + 8, 46))
    return svg.sheet(title, bottom + 46, parts)


def triangles(found: Use) -> np.ndarray:
    """Pixels [S, S, 3] of |r|, where r > 0 above the diagonal, where r < 0 below it; what isn't known is hatched."""
    values = found.correlation
    size = max(1, PIXELS // len(values))
    above = np.triu(np.ones_like(values), 1) - np.tril(np.ones_like(values), -1)
    strength = np.clip(np.nan_to_num(values) * above, 0.0, 1.0)
    shades = np.array([charts.shade(value, 0.0, 1.0) for value in strength.ravel()], np.uint8)
    pixels = shades.reshape(*values.shape, 3).repeat(size, axis=0).repeat(size, axis=1)
    unknown = np.isnan(values).repeat(size, axis=0).repeat(size, axis=1)
    stripes = np.add.outer(np.arange(len(pixels)), np.arange(len(pixels))) % 8 < 2
    pixels[unknown] = 255
    pixels[unknown & stripes] = 86
    return pixels
