"""What charts are drawn with: words, markers, ticks at round numbers, legends that wrap, and the sheet they lie on.

Colours stand twice: as attributes, for a picture that is a file of its own, and as classes, which a page's style sheet
may change for a dark screen.
"""

import math
from collections.abc import Sequence

import numpy as np

from jhash.pages.html import escaped
from jhash.pages.style import COLOURS

WIDTH = 360  # of a chart in its own units; a phone shows about 330 pixels
FONT = 15
LINE = 19  # from one line of words to the next
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2")
SHAPES = 11  # of markers: no divisor of the number of DASHES, so that 55 lines differ in one or the other


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def stroke(number: int) -> str:
    """The attributes of a line of series `number`."""
    return f'class="s{number % len(COLOURS)}" stroke="{colour(number)}" fill="none"'


def fill(number: int) -> str:
    return f'class="f{number % len(COLOURS)}" fill="{colour(number)}"'


def text(x: float, y: float, words: object, anchor: str = "start", *, soft: bool = False) -> str:
    """Words whose base line is at y."""
    kind, ink = ("soft", "#565656") if soft else ("ink", "#1c1c1c")
    style = f'font-family="sans-serif" font-size="{FONT}" class="{kind}" fill="{ink}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escaped(words)}</text>'


def ground(x: float, y: float, width: float, height: float) -> str:
    """A piece of the sheet's own colour, for words that lines would else cross."""
    return f'<rect class="ground" fill="#ffffff" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def width_of(words: str) -> float:
    """About how wide words are, never too little for common fonts."""
    return sum(map(_width, words))


def _width(letter: str) -> float:
    """Capitals stand in the names of variants, and are wider than what a mean over a sentence gives."""
    wide = letter.isupper() or letter in "+−mw%@→"
    return FONT if ord(letter) > 0x2E80 else (0.76 if wide else 0.56) * FONT


def shortened(words: str, width: float) -> str:
    """Words that fit a width, the last of them '…' where some are left out."""
    if width_of(words) <= width:
        return words
    kept = max(1, int(width / (0.56 * FONT)) - 1)
    while kept > 1 and width_of(words[:kept] + "…") > width:
        kept -= 1
    return words[:kept] + "…"


def wrapped(words: str, width: float) -> list[str]:
    """Words in lines that fit a width."""
    lines: list[str] = []
    for word in words.split():
        if lines and width_of(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(shortened(word, width))
    return lines


def head(title: str, width: float = WIDTH) -> tuple[list[str], float]:
    """The title in as many lines as it needs, and where the next line of words stands."""
    lines = wrapped(title, width - 8)
    return [text(4, FONT + 2 + LINE * i, line) for i, line in enumerate(lines)], FONT + 2 + LINE * len(lines)


def sheet(title: str, height: float, parts: Sequence[str], width: float = WIDTH) -> str:
    """The picture: parts on paper, named for those who hear it; one that is wider than a phone is scrolled there."""
    wide = width > WIDTH
    style = f"max-width:{1.5 * width:.0f}px" + (f";min-width:{width * 12.5 / FONT:.0f}px" if wide else "")
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart{" wide" if wide else ""}" role="img" '
        f'aria-label="{escaped(title)}" viewBox="0 0 {width:.0f} {height:.0f}" width="100%" style="{style}">'
    )
    paper = ground(0, 0, width, height)
    return "\n".join([opening, f"<title>{escaped(title)}</title>", paper, *parts, "</svg>"]) + "\n"


def outline(shape: int, x: float, y: float, size: float) -> str:
    """The path of a marker in one of the shapes, whose number may be any."""
    s, corners = size, CORNERS[shape % SHAPES]
    if not corners:
        return f"M{x - s:.1f} {y:.1f}a{s:.1f} {s:.1f} 0 1 0 {2 * s:.1f} 0a{s:.1f} {s:.1f} 0 1 0 {-2 * s:.1f} 0z"
    return "M" + "L".join(f"{x + a * s:.1f} {y + b * s:.1f}" for a, b in corners) + "z"


_PLUS = [(-0.5, -1.4), (0.5, -1.4), (0.5, -0.5), (1.4, -0.5), (1.4, 0.5), (0.5, 0.5)]
_PLUS += [(-a, -b) for a, b in _PLUS]
CORNERS = (
    [],  # a circle
    [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    [(0, -1.3), (1.2, 1), (-1.2, 1)],
    [(0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)],
    _PLUS,
    [(0, 1.3), (1.2, -1), (-1.2, -1)],
    [((a - b) * 0.71, (a + b) * 0.71) for a, b in _PLUS],  # the same, lying on its side: ×
    [(-1.6, -0.5), (1.6, -0.5), (1.6, 0.5), (-1.6, 0.5)],
    [(-1.3, 0), (1, -1.2), (1, 1.2)],
    [(-0.5, -1.6), (0.5, -1.6), (0.5, 1.6), (-0.5, 1.6)],
    [(1.3, 0), (-1, -1.2), (-1, 1.2)],
)


def legend(names: Sequence[str], samples: Sequence[str], top: float, sample: float) -> tuple[list[str], float]:
    """Names beside samples, as many a line as fit, long ones in several, and where the picture may go on below them.

    Args:
        names: of the series.
        samples: SVG of each, drawn from 0 to `sample` around y = 0.
        top: the upper edge of the first line.
        sample: how wide a sample is.
    """
    parts, x, y = [], 4.0, top + LINE
    for name, drawn in zip(names, samples, strict=True):
        lines = wrapped(name, WIDTH - 16 - sample) or [""]
        width = sample + 6 + max(map(width_of, lines)) + 12
        if x > 4 and x + width > WIDTH:
            x, y = 4.0, y + LINE + 2
        parts.append(f'<g transform="translate({x:.1f} {y - 5:.1f})">{drawn}</g>')
        parts += [text(x + sample + 6, y + LINE * i, line) for i, line in enumerate(lines)]
        x, y = x + width, y + LINE * (len(lines) - 1)
    return parts, y + 8


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` or below it to `high` or above it: steps of 1, 2, 2.5 or 5 times a power of ten.

    Numbers that are equal, or differ in what ten figures hardly show, stand in the middle of a range as wide as they
    are large; those too small for a float's full precision lie at 0.
    """
    largest = max(abs(low), abs(high))
    if largest < 1e-300:
        low, high = 0.0, 1.0
    elif high - low <= 1e-8 * largest:
        low, high = low - largest / 2, high + largest / 2
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * i:.10g}") for i in range(first, last + 1)]


def powers(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of two from `low` to `high`, every one or every second, third, …, so that they are few."""
    first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
    apart = max(1, math.ceil((last - first + 1) / most))
    return [2.0**i for i in range(first, last + 1, apart)] or [low]


def labels(values: Sequence[float]) -> list[str]:
    """Ticks in figures, with as many decimals as tell them apart; very large and very small ones as 1e+06."""
    largest = max((abs(value) for value in values), default=0.0)
    steps = np.diff(sorted(values))
    if largest >= 1e6 or (largest and largest < 1e-3):
        figures = next((n for n in range(3, 10) if len({f"{value:.{n}g}" for value in values}) == len(set(values))), 10)
        return [f"{value:.{figures}g}" for value in values]
    decimals = next((d for d in range(6) if np.allclose(np.round(values, d), values, rtol=0, atol=1e-9)), 6)
    return [f"{value:,.{decimals if len(steps) else min(decimals, 3)}f}" for value in values]
