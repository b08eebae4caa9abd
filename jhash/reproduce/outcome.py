"""Ours beside the print: each cell's number with its interval and spread, the gaps between rows, and what they say."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jhash.reproduce import again, cost, measured, printed
from jhash.reproduce.cells import Block, Cell
from jhash.reproduce.data import Data
from jhash.reproduce.grid import Column, Cost, Exhibit, Score
from jhash.reproduce.measured import Measured
from jhash.reproduce.printed import Printed


@dataclasses.dataclass(frozen=True)
class Gap:
    """A row's distance from the reference row, ours with its interval by the paired bootstrap over queries."""

    ours: float | None
    low: float | None
    high: float | None
    printed: float | None

    @property
    def clear(self) -> bool:
        """Whether our interval excludes 0."""
        return self.low is not None and (self.low > 0 or self.high < 0)


@dataclasses.dataclass(frozen=True)
class Result:
    """One number, in the unit of the print."""

    ours: float | None = None
    low: float | None = None  # of the 95 % interval over queries
    high: float | None = None
    deviation: float | None = None  # between seeds
    printed: float | None = None
    difference: float | None = None  # ours − printed, where the data are the print's
    gap: Gap | None = None  # to the reference row
    why: str = ""  # the reason where ours is empty
    runs: tuple[str, ...] = ()  # names of folders in the cache


@dataclasses.dataclass(frozen=True)
class Part:
    """A table on one data set."""

    data: str
    stands_for: str  # the print's data set, where another stands in for it
    about: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    decimals: tuple[int, ...]
    results: tuple[tuple[Result, ...], ...]
    reference: str
    missing: str


def part(exhibit: Exhibit, block: Block, cache: Path, failed: Mapping[str, str]) -> Part:
    """A block's numbers. `failed` has the reasons of runs that couldn't be done, by key."""
    scale = 100.0 if printed.unit(exhibit.paper) == "percent" else 1.0
    table = printed.table(exhibit.paper, exhibit.printed, rows_of(exhibit, block.data)) if exhibit.printed else None
    found = [[_measured(cell, cache, failed) for cell in row] for row in block.cells]
    for r in range(len(found)):
        for c, column in enumerate(block.grid.columns):
            if column.over and found[r][c][1] == "":
                found[r][c] = _mean_of([found[r][i] for i in column.over])
    reference = next((r for r, row in enumerate(block.grid.rows) if row.label == block.grid.reference), None)
    results = []
    for r, row in enumerate(block.grid.rows):
        line = []
        for c, column in enumerate(block.grid.columns):
            values = table.rows.get(row.label) if table else None
            of_print = None if values is None or column.printed is None else values[column.printed]
            base = None
            if reference is not None and r != reference and table and column.printed is not None:
                base = (table.rows.get(block.grid.rows[reference].label) or {column.printed: None})[column.printed]
            factor = scale if isinstance(block.cells[r][c].measure, Score | None) else 1.0
            compared = found[reference][c][0] if reference is not None and r != reference else None
            own = found[r][c]
            line.append(_result(own, of_print, base, compared, factor, block, r, c))
        results.append(tuple(line))
    usual = 1 if scale > 1 else 4 if exhibit.paper == "cmgcah" else 3
    return Part(
        data=block.data.name,
        stands_for=block.data.printed if block.data.stand_in else "",
        about=block.data.about,
        rows=tuple(row.label for row in block.grid.rows),
        columns=tuple(column.label for column in block.grid.columns),
        decimals=tuple(_digits(column, table, usual) for column in block.grid.columns),
        results=tuple(results),
        reference=block.grid.reference,
        missing=block.missing,
    )


def _digits(column: Column, table: Printed | None, usual: int) -> int:
    if column.digits is not None:
        return column.digits
    return table.decimals[column.printed] if table and column.printed is not None else usual


def rows_of(exhibit: Exhibit, data: Data) -> str:
    """The print's data set, where its rows name theirs."""
    if exhibit.printed != "Table 7":
        return ""
    return data.printed if data.printed in ("xmedia", "xmedianet") else "xmedia"


def _measured(cell: Cell, cache: Path, failed: Mapping[str, str]) -> tuple[Measured | None, str]:
    """(the number, '') or (None, the reason)."""
    if cell.why:
        return None, cell.why
    if cell.measure is None:
        return None, ""
    if isinstance(cell.measure, Cost):
        return cost.measure(cell.measure, cell.changes, cache), ""
    for run in (*cell.runs, *cell.others):
        if run.key in failed:
            return None, failed[run.key]
        if not run.done(cache):
            return None, "not run yet"
    seeds = []
    for seed, run in enumerate(cell.runs):
        folder = run.folder(cache)
        if isinstance(cell.measure, Score):
            seeds.append(measured.of_score(folder, cell.measure, cell.method, seed))
        else:
            other = cell.others[seed].folder(cache) if cell.others else None
            seeds.append(again.measure(cell.measure, folder, seed, other))
    return measured.over_seeds(seeds), ""


def _mean_of(cells: Sequence[tuple[Measured | None, str]]) -> tuple[Measured | None, str]:
    """The mean of several columns, none of which may be missing."""
    reasons = [why for value, why in cells if value is None]
    if reasons:
        return None, reasons[0]
    return measured.over_seeds([dataclasses.replace(value, deviation=None) for value, _ in cells]), ""


def _result(own, of_print, base, compared, factor: float, block: Block, r: int, c: int) -> Result:
    value, why = own
    runs = tuple(run.name for run in block.cells[r][c].runs)
    gap_printed = None if of_print is None or base is None else of_print - base
    if value is None:
        gap = None if gap_printed is None else Gap(None, None, None, gap_printed)
        return Result(printed=of_print, why=why, runs=runs, gap=gap)
    bounds = measured.interval(value)
    gap = None
    if compared is not None:
        ours, ends = measured.difference(value, compared)
        low, high = (None, None) if ends is None else (factor * ends[0], factor * ends[1])
        gap = Gap(factor * ours, low, high, gap_printed)
    return Result(
        ours=factor * value.value,
        low=None if bounds is None else factor * bounds[0],
        high=None if bounds is None else factor * bounds[1],
        deviation=None if value.deviation is None or block.grid.columns[c].over else factor * value.deviation,
        printed=of_print,
        difference=None if of_print is None or block.data.stand_in else factor * value.value - of_print,
        gap=gap,
        runs=runs,
    )


def findings(found: Part) -> list[str]:
    """What the numbers say of the print's orderings, in sentences; gaps, not values, where a set stands in."""
    lines = []
    if found.missing:
        return [f"{found.data}: {found.missing}"]
    pairs, alike, gaps, clear, clear_alike = _ordered(found)
    if pairs:
        lines.append(
            f"Pairs of rows that the print orders: {pairs} over all columns; here {alike} of them "
            f"({100 * alike / pairs:.0f} %) stand in the printed order. Chance is 50 %."
        )
        if clear:
            lines.append(
                f"Of {gaps} gaps to {found.reference!r}, {clear} are clear here (their 95 % interval over queries "
                f"excludes 0, where 1 in 20 would by chance); {clear_alike} of these have the printed sign."
            )
        elif found.reference:
            lines.append(f"Against {found.reference!r} no gap is clear here: all intervals over queries include 0.")
    lines += _rows_against_reference(found)
    return lines


def _ordered(found: Part) -> tuple[int, int, int, int, int]:
    """Printed pairs, those ordered alike, gaps to the reference row, clear ones, those with the printed sign."""
    pairs = alike = gaps = clear = clear_alike = 0
    for c in range(len(found.columns)):
        known = [line[c] for line in found.results if line[c].ours is not None and line[c].printed is not None]
        for i, one in enumerate(known):
            for other in known[i + 1 :]:
                if not math.isclose(one.printed, other.printed, abs_tol=1e-12):
                    pairs += 1
                    alike += (one.printed > other.printed) == (one.ours > other.ours) and one.ours != other.ours
        for one in known:
            if one.gap and one.gap.low is not None and one.gap.printed:
                gaps += 1
            if one.gap and one.gap.clear and one.gap.printed:
                clear += 1
                clear_alike += (one.gap.ours > 0) == (one.gap.printed > 0)
    return pairs, alike, gaps, clear, clear_alike


def _rows_against_reference(found: Part) -> list[str]:
    """A sentence for each row that has gaps, over the columns where ours has one."""
    lines = []
    for label, line in zip(found.rows, found.results, strict=True):
        gaps = [(c, one.gap) for c, one in enumerate(line) if one.gap and one.gap.ours is not None]
        gaps = [(c, gap) for c, gap in gaps if gap.low is not None]
        if not gaps:
            continue
        below = sum(gap.high < 0 for _, gap in gaps)
        above = sum(gap.low > 0 for _, gap in gaps)
        ours = np.mean([gap.ours for _, gap in gaps])
        prints = [gap.printed for _, gap in gaps if gap.printed is not None]
        digits = found.decimals[gaps[0][0]]
        said = f"{label}: {ours:+.{digits}f} on average against {found.reference}"
        if prints:
            said += f", printed {np.mean(prints):+.{digits}f}"
        said += f"; clearly below in {below}, clearly above in {above} of {len(gaps)} columns."
        lines.append(said)
    return lines


def as_json(found: Part) -> dict:
    """All of it in plain types, None where a number is missing."""
    return dataclasses.asdict(found)
