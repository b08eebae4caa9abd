"""Charts as SVG, without a drawing library: lines, bars, heat maps and points.

Nothing is told apart by colour alone: lines have dashes and markers, bars and cells carry their names and numbers,
points have shapes, solid and hollow.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import chex
import numpy as np

from jhash.pages import svg
from jhash.pages.svg import FONT, LINE, WIDTH

FEW = 12  # points of a line, up to which each has a marker
MARKERS = 5  # of a line of more points
LARGEST = 1e300  # a number that is drawn
CLASSES = 20  # of a scatter plot that have a colour and a shape of their own
PLOT = 200  # the height of the lines' field


class Line(NamedTuple):
    """A line: x and y [P], and a band (low, high), [P] each, or None. Points beyond LARGEST or NaN are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None


class Bar(NamedTuple):
    """A bar with whiskers from low to high; without a value it is a dash."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None


def lines(title: str, below: str, beside: str, series: Sequence[Line], *, log: bool = False, zero: bool = True) -> str:
    """Lines in one field, with a legend below it. Returns '' where there is no finite point.

    Args:
        title: what is shown.
        below: what x is.
        beside: what y is.
        series: the lines, drawn in this order.
        log: whether x goes by its logarithm to base 2; points of x ≤ 0 are left out.
        zero: whether y begins at 0.
    """
    kept = [_finite(line, log) for line in series]
    kept = [line for line in kept if len(line.x)]
    if not kept:
        return ""
    xs = np.concatenate([line.x for line in kept])
    heights = np.concatenate([values for line in kept for values in (line.y, *(line.band or ()))])
    steps = svg.ticks(
        min(0.0, heights.min()) if zero else heights.min(), max(0.0, heights.max()) if zero else heights.max()
    )
    across = _across(xs, log)
    names, words = svg.labels(steps), svg.labels(across)
    left = max(map(svg.width_of, names)) + 12
    right = WIDTH - max(10.0, svg.width_of(words[-1]) / 2)
    parts, top = svg.head(title)
    parts.append(svg.text(4, top, beside, soft=True))
    top += 12
    bottom = top + PLOT
    place = np.log2 if log else np.asarray
    edges = place([xs.min(), xs.max()])

    def x(values):
        share = (place(values) - edges[0]) / (edges[1] - edges[0]) if edges[1] > edges[0] else np.full(len(values), 0.5)
        return left + (right - left) * share

    def y(values):
        return bottom - PLOT * (np.asarray(values) - steps[0]) / (steps[-1] - steps[0])

    for tick, name in zip(y(steps), names, strict=True):
        parts.append(f'<path class="grid" stroke="#e2e2de" d="M{left:.1f} {tick:.1f}H{right:.1f}"/>')
        parts.append(svg.text(left - 6, tick + 5, name, "end"))
    parts += [svg.text(tick, bottom + LINE, name, "middle") for tick, name in zip(x(across), words, strict=True)]
    parts.append(f'<path class="axis" stroke="#565656" d="M{left:.1f} {bottom:.1f}H{right:.1f}"/>')
    parts.append(svg.text((left + right) / 2, bottom + 2 * LINE, below, "middle", soft=True))
    for number, line in enumerate(kept):
        if line.band is not None:
            low, high = (list(zip(x(line.x), y(edge), strict=True)) for edge in line.band)
            parts.append(f'<polygon {svg.fill(number)} opacity=".14" points="{_points(low + high[::-1])}"/>')
    for number, line in enumerate(kept):
        points = list(zip(x(line.x), y(line.y), strict=True))
        dashes = f'stroke-width="2" stroke-dasharray="{svg.DASHES[number % len(svg.DASHES)]}"'
        parts.append(f'<polyline {svg.stroke(number)} {dashes} points="{_points(points)}"/>')
        marked = [points[place] for place in _marked(x(line.x), number)]
        parts.append(f'<path {svg.fill(number)} d="{"".join(svg.outline(number, *point, 4) for point in marked)}"/>')
    samples = [_sample(number) for number in range(len(kept))]
    found, end = svg.legend([line.name for line in kept], samples, bottom + 2 * LINE + 6, 34)
    return svg.sheet(title, end, parts + found)


def _finite(line: Line, log: bool) -> Line:
    columns = [np.asarray(values, float) for values in (line.x, line.y, *(line.band or ()))]
    chex.assert_equal_shape(columns)
    good = (np.abs(columns) < LARGEST).all(axis=0) & ((columns[0] > 0) | (not log))
    columns = [values[good] for values in columns]
    return Line(line.name, columns[0], columns[1], tuple(columns[2:]) or None)


def _across(xs: np.ndarray, log: bool) -> list[float]:
    """Ticks of x: all its values where they are few and far enough apart, else round numbers."""
    own = np.unique(xs)
    gaps = np.diff(np.log2(own) if log else own)
    if len(own) <= 6 and (len(own) < 3 or gaps.min() * 8 >= gaps.sum()):
        return own.tolist()
    round_ones = svg.powers(own[0], own[-1]) if log else svg.ticks(own[0], own[-1])
    return [tick for tick in round_ones if own[0] <= tick <= own[-1]] or own[[0, -1]].tolist()


def _points(points) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _marked(x: np.ndarray, number: int) -> list[int]:
    """Which points of a line at x [P] have a marker: all where they are few, else some, other ones on each line."""
    if len(x) <= FEW:
        return list(range(len(x)))
    shares = (np.arange(MARKERS) + (0.5 + 0.382 * number) % 1) / MARKERS
    at = x.min() + np.ptp(x) * shares
    return np.unique(np.abs(x[:, None] - at).argmin(axis=0)).tolist()


def _sample(number: int) -> str:
    dashes = f'stroke-width="2" stroke-dasharray="{svg.DASHES[number % len(svg.DASHES)]}"'
    marker = f'<path {svg.fill(number)} d="{svg.outline(number, 17, 0, 4)}"/>'
    return f'<path {svg.stroke(number)} {dashes} d="M0 0H34"/>{marker}'


def bars(title: str, beside: str, groups: Mapping[str, Sequence[Bar]], digits: int, *, signed: bool = False) -> str:
    """Lying bars in groups, each under its name, with its value behind it; one name has one colour in all groups.

    Returns '' where no bar has a value.

    Args:
        title: what is shown.
        beside: what the values are.
        groups: name -> bars.
        digits: behind the point of the values.
        signed: whether values are differences: + or − stands before each.
    """
    known = [bar for group in groups.values() for bar in group if bar.value is not None]
    if not known:
        return ""
    ends = [end for bar in known for end in (bar.value, bar.low, bar.high) if end is not None]
    steps = svg.ticks(min(0.0, *ends), max(0.0, *ends), 4)
    order = list(dict.fromkeys(bar.name for group in groups.values() for bar in group))
    figures = max(svg.width_of(_figure(bar.value, digits, signed)) for bar in known)
    names = min(WIDTH * 0.4, max(map(svg.width_of, order)))
    left, right = names + 10, WIDTH - figures - 12

    def x(value):
        return left + (right - left) * (value - steps[0]) / (steps[-1] - steps[0])

    parts, y = svg.head(title)
    parts.append(svg.text(4, y, beside, soft=True))
    first, drawn = y + 8, []
    y += 10
    for group, members in groups.items():
        if group:
            words = svg.shortened(group, WIDTH - 8)
            drawn.append(svg.ground(2, y - 2, svg.width_of(words) + 4, LINE + 3))  # a grid line would cross the words
            drawn.append(svg.text(4, y + LINE - 3, words, soft=True))
            y += LINE + 2
        for bar in members:
            drawn.append(svg.text(names + 4, y + 15, svg.shortened(bar.name, names), "end"))
            drawn.append(_bar(bar, order.index(bar.name), x, y))
            if bar.value is not None:
                drawn.append(svg.text(right + 8, y + 15, _figure(bar.value, digits, signed)))
            y += 24
        y += 6
    for tick, name in zip(steps, svg.labels(steps), strict=True):
        parts.append(f'<path class="grid" stroke="#e2e2de" d="M{x(tick):.1f} {first:.1f}V{y:.1f}"/>')
        parts.append(svg.text(x(tick), y + LINE - 2, name.replace("-", "−"), "middle"))
    parts.append(f'<path class="axis" stroke="#565656" d="M{x(0):.1f} {first:.1f}V{y:.1f}"/>')
    return svg.sheet(title, y + LINE + 8, [*parts, *drawn])


def _bar(bar: Bar, number: int, x, y: float) -> str:
    if bar.value is None:
        return svg.text(x(0) + 6, y + 15, "–")
    start, end = sorted((x(0), x(bar.value)))
    part = f'<rect {svg.fill(number)} x="{start:.1f}" y="{y + 2:.1f}" width="{end - start:.1f}" height="18"/>'
    if bar.low is not None and bar.high is not None:
        low, high = x(bar.low), x(bar.high)
        whisker = f"M{low:.1f} {y + 11:.1f}H{high:.1f}M{low:.1f} {y + 6:.1f}v10M{high:.1f} {y + 6:.1f}v10"
        part += f'<path class="ring" stroke="#ffffff" stroke-width="4" d="{whisker}"/>'
        part += f'<path class="axis" stroke="#565656" stroke-width="1.5" d="{whisker}"/>'
    return part


def _figure(value: float, digits: int, signed: bool) -> str:
    """A number as a table of the same digits has it, with a minus as wide as a plus."""
    return f"{round(value, digits) + 0.0:{'+' * signed},.{digits}f}".replace("-", "−")


def heat(title: str, below: str, beside: str, columns: Sequence[str], rows: Sequence[str], values: np.ndarray) -> str:
    """Numbers [R, C] in coloured cells; NaN is an empty cell. Blue is much; where some are below 0, orange is below 0.

    Returns '' where no number is finite. `below` says what columns are, `beside` what rows are.
    """
    values = np.asarray(values, float)
    chex.assert_shape(values, (len(rows), len(columns)))
    if not np.isfinite(values).any():
        return ""
    names = min(120.0, max(map(svg.width_of, rows)))
    left = names + 10
    cell = max(46.0, (WIDTH - left - 4) / len(columns))
    width = max(float(WIDTH), left + cell * len(columns) + 4)
    upright = any(svg.width_of(name) > cell - 4 for name in columns)
    parts, top = svg.head(title, width)
    parts.append(svg.text(4, top, f"{beside} ↓   {below} →", soft=True))
    top += 10 + (min(110.0, max(map(svg.width_of, columns))) if upright else LINE)
    for c, name in enumerate(columns):
        x = left + cell * (c + 0.5)
        if upright:
            turned = svg.text(0, 5, svg.shortened(name, 110))
            parts.append(f'<g transform="translate({x:.1f} {top - 4:.1f}) rotate(-90)">{turned}</g>')
        else:
            parts.append(svg.text(x, top - 6, name, "middle"))
    low, high = np.nanmin(values), np.nanmax(values)
    for r, name in enumerate(rows):
        y = top + 34 * r
        parts.append(svg.text(left - 6, y + 22, svg.shortened(name, names), "end"))
        for c in range(len(columns)):
            if np.isfinite(values[r, c]):
                parts.append(numbered(values[r, c], low, high, left + cell * c, y, cell))
    return svg.sheet(title, top + 34 * len(rows) + 6, parts, width)


def numbered(value: float, low: float, high: float, x: float, y: float, width: float) -> str:
    """A cell of a heat map, 34 high, with its number."""
    ground = shade(value, low, high)
    place = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{width - 2:.1f}" height="32"'
    style = f'font-family="sans-serif" font-size="{FONT}" text-anchor="middle" fill="{_ink(ground)}"'
    words = f"{value:.3f}".removeprefix("0") if abs(value) < 1 else f"{value:.3g}"
    number = f'<text x="{x + width / 2:.1f}" y="{y + 22:.1f}" {style}>{words.replace("-0.", "-.")}</text>'
    return f'<rect {place} fill="#{ground[0]:02x}{ground[1]:02x}{ground[2]:02x}"/>{number}'


def _ink(ground: tuple[int, int, int]) -> str:
    """Black or white, whichever stands out more: by relative luminance (WCAG 2.2), .179 is where both do alike."""
    share = np.array(ground) / 255
    light = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92) @ (0.2126, 0.7152, 0.0722)
    return "#ffffff" if light < 0.179 else "#000000"


def shade(value: float, low: float, high: float) -> tuple[int, int, int]:
    """Red, green and blue of a number between low and high: from pale to blue; below 0, from pale to orange."""
    if low < 0:
        share, full = abs(value) / max(abs(low), abs(high)), (0, 90, 150) if value >= 0 else (190, 80, 0)
    else:
        share, full = (value - low) / (high - low) if high > low else 0.5, (0, 90, 150)
    pale = (240, 245, 249)
    return tuple(round(a + (b - a) * min(1.0, max(0.0, share))) for a, b in zip(pale, full, strict=True))


def scatter(title: str, points: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> str:
    """Points of a plane by class. The 20 most frequent have a colour and a marker each, the rest are grey dots.

    The legend says how many points are of each.

    Args:
        title: what is shown.
        points: [N, 2]; the axes have no unit and are not drawn.
        classes: int [N]; a number that is no place in `names` is a point without a class.
        names: of the classes.
    """
    points, classes = np.asarray(points, float), np.asarray(classes)
    chex.assert_shape(points, (len(classes), 2))
    if not len(points):
        return ""
    counts = {c: int((classes == c).sum()) for c in range(len(names))}
    frequent = sorted(counts, key=lambda c: (-counts[c], c))[:CLASSES]
    shown = [c for c in sorted(frequent) if counts[c]]
    rest = ~np.isin(classes, shown)
    parts, top = svg.head(title)
    low, span = points.min(axis=0), max(float(np.ptp(points, axis=0).max()), 1e-9)
    side, middle = WIDTH - 20, np.ptp(points, axis=0) / span
    height = max(side * middle[1], 60.0)
    size = 3.2 if len(points) <= 600 else 2.4
    places = 10 + side * ((points - low) / span + [[(1 - middle[0]) / 2, 0.0]])
    places[:, 1] += top - 12
    if rest.any():
        marks = "".join(svg.outline(0, *place, 0.4 * size) for place in places[rest])
        parts.append(f'<path class="rest" fill="#565656" opacity=".45" d="{marks}"/>')
    for number, c in enumerate(shown):
        marks = "".join(svg.outline(number, *place, size) for place in places[classes == c])
        parts.append(f'<path {_inked(number)} opacity=".85" d="{marks}"/>')
    samples = [f'<path {_inked(number)} d="{svg.outline(number, 6, 0, 4)}"/>' for number in range(len(shown))]
    words = [f"{names[c]} ({counts[c]:,})" for c in shown]
    if rest.any():
        samples.append('<path class="rest" fill="#565656" d="' + svg.outline(0, 6, 0, 1.6) + '"/>')
        others = sum(1 for c in counts if counts[c] and c not in shown)
        words.append(f"{f'{others} other classes' if others else 'no class'} ({rest.sum():,})")
    found, end = svg.legend(words, samples, top + height + 6, 12)
    return svg.sheet(title, end, parts + found)


def _inked(number: int) -> str:
    """The attributes of a marker: solid, and hollow where each shape has been used once."""
    return svg.fill(number) if number < svg.SHAPES else f'{svg.stroke(number)} stroke-width="1.2"'


def is_number(value: object) -> bool:
    """Whether a chart can show it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
