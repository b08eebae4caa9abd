"""What a table says of the print's orderings, in sentences; of gaps, not of values, where another set stands in.

Warnings come first. A row's number is its mean over seeds, and each verdict says over how many.
"""

import math
from collections.abc import Sequence

import numpy as np

from jhash.reproduce.outcome import Part, names_of

STANDS_IN = (
    "{data} ({about}) stands in for the print's {stands_for}: values cannot be compared, orderings and gaps between "
    "rows may."
)
ONE_SEED = (
    "One seed a row: intervals are over queries, of the networks as they were trained, and another seed may move a row "
    "as far."
)
FEW = 5  # gaps, from which chance has a sentence of its own
CHANCE = 0.05  # of an interval of 95 % that leaves 0 out where there is no difference


def signed(value: float, digits: int) -> str:
    """'+0.012', '−0.012': the sign as wide as the plus."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def said(found: Part) -> list[str]:
    """All of it, what a reader must know before the rest at its head."""
    return [*warnings(found), *orderings(found), *rows(found)]


def warnings(found: Part) -> list[str]:
    """Other data than the print's, a shorter training, one seed."""
    lines = []
    if found.stands_for:
        data, stands_for = names_of(found)
        lines.append(STANDS_IN.format(data=data, about=found.about, stands_for=stands_for))
    if found.quick:
        lines.append(found.quick)
    if found.seeds == 1 and any(one.runs and one.ours is not None for line in found.results for one in line):
        lines.append(ONE_SEED)
    return lines


def orderings(found: Part) -> list[str]:
    """How many printed pairs of rows stand in the printed order here, and the signs of gaps whose interval is off 0."""
    lines = []
    pairs, alike = _pairs(found)
    if pairs:
        lines.append(
            f"Pairs of rows that the print orders, over all columns: {pairs}; in the printed order here, "
            f"{_over(found)}: {alike} ({100 * alike / pairs:.0f} %). Tossing a coin gives half."
        )
    gaps = [one.gap for line in found.results for one in _compared(found, line) if one.gap and one.gap.low is not None]
    printed = [gap for gap in gaps if gap.printed]
    apart = [gap for gap in printed if gap.clear]
    if printed:
        signs = sum((gap.ours > 0) == (gap.printed > 0) for gap in apart)
        lines.append(
            f"Printed gaps to {found.reference}: {len(printed)}; with a 95 % interval over queries that excludes 0 "
            f"here, {_over(found)}: {len(apart)}; of these with the printed sign: {signs}. The columns "
            "of a row share runs."
        )
    if len(gaps) >= FEW:
        lines.append(
            f"{len(gaps)} gaps are looked at, {sum(gap.clear for gap in gaps)} of them with an interval that excludes "
            f"0: were no row different from {found.reference}, chance would give about {CHANCE * len(gaps):.1f} (5 %)."
        )
    return lines


def _over(found: Part) -> str:
    return "by one seed" if found.seeds == 1 else f"by means over {found.seeds} seeds"


def _compared(found: Part, line: Sequence) -> list:
    return [one for one, ordered in zip(line, found.ordered, strict=True) if ordered]


def _pairs(found: Part) -> tuple[int, int]:
    """Pairs of rows with different printed numbers, and those whose numbers here are ordered alike."""
    pairs = alike = 0
    for column in zip(*(_compared(found, line) for line in found.results), strict=True):
        known = [one for one in column if one.ours is not None and one.printed is not None]
        for i, one in enumerate(known):
            for other in known[i + 1 :]:
                if not math.isclose(one.printed, other.printed, abs_tol=1e-12):
                    pairs += 1
                    alike += (one.printed - other.printed) * (one.ours - other.ours) > 0
    return pairs, alike


def rows(found: Part) -> list[str]:
    """A sentence for each row on its gaps to the reference row; the mean is over the columns that are printed too."""
    lines = []
    for label, line in zip(found.rows, found.results, strict=True):
        columns = [c for c, one in enumerate(line) if found.ordered[c] and one.gap and one.gap.low is not None]
        both = [c for c in columns if line[c].gap.printed is not None]
        gaps = [line[c].gap for c in (both or columns)]
        if not gaps:
            continue
        first = (both or columns)[0]
        digits, lower = found.decimals[first], found.lower[first]
        words = f"{label}: {signed(np.mean([gap.ours for gap in gaps]), digits)} on average against {found.reference}"
        if both:
            words += f", printed {signed(np.mean([gap.printed for gap in gaps]), digits)}"
        low, high = sum(gap.high < 0 for gap in gaps), sum(gap.low > 0 for gap in gaps)
        better, worse = (low, high) if lower else (high, low)
        words += (
            f"; {'less' if lower else 'more'} is better: the interval is on the better side of 0 in {better}, on the"
        )
        lines.append(f"{words} worse side in {worse} of {len(gaps)} columns, {_over(found)}.")
    return lines
