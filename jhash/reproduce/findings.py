"""What a table says of the print's orderings, in sentences; of gaps, not of values, where another set stands in."""

import math
from collections.abc import Sequence

import numpy as np

from jhash.reproduce.outcome import Part

CAREFUL = (
    "Intervals are over queries, of the networks as they were trained: another seed may move a row as far; the columns "
    "of a row share runs."
)


def orderings(found: Part) -> list[str]:
    """How many printed pairs of rows stand in the printed order here, and how many clear gaps have the printed sign."""
    lines = []
    pairs, alike = _pairs(found)
    if pairs:
        lines.append(
            f"Pairs of rows that the print orders, over all columns: {pairs}; in the printed order here: {alike} "
            f"({100 * alike / pairs:.0f} %). Tossing a coin gives half."
        )
    gaps = [one.gap for line in found.results for one in _compared(found, line) if one.gap and one.gap.low is not None]
    printed = [gap for gap in gaps if gap.printed]
    clear = [gap for gap in printed if gap.clear]
    if printed:
        signs = sum((gap.ours > 0) == (gap.printed > 0) for gap in clear)
        lines.append(
            f"Printed gaps to {found.reference}: {len(printed)}; clear here (the 95 % interval excludes 0): "
            f"{len(clear)}; of these with the printed sign: {signs}. {CAREFUL}"
        )
    return lines


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
        digits = found.decimals[(both or columns)[0]]
        said = f"{label}: {np.mean([gap.ours for gap in gaps]):+.{digits}f} on average against {found.reference}"
        if both:
            said += f", printed {np.mean([gap.printed for gap in gaps]):+.{digits}f}"
        below, above = sum(gap.high < 0 for gap in gaps), sum(gap.low > 0 for gap in gaps)
        lines.append(f"{said}; clearly below in {below}, clearly above in {above} of {len(gaps)} columns.")
    return lines
