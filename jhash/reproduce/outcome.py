"""Ours beside the print: each cell's number with its interval and spread, the gaps between rows, and what they say."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from jhash.reproduce import again, cost, measured, printed, protocols, runs
from jhash.reproduce import data as datasets
from jhash.reproduce.cells import Block, Cell
from jhash.reproduce.data import Data
from jhash.reproduce.grid import Column, Cost, CrossScore, Exhibit, Measure, ReconstructionError, Score, StreamScore
from jhash.reproduce.measured import Measured
from jhash.reproduce.printed import Printed
from jhash.types import InputError


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
    note: str = ""  # what a time was measured on
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
    ordered: tuple[bool, ...]  # columns in which rows are compared: scores, no means of others, no sizes and times
    lower: tuple[bool, ...]  # columns in which less is better
    results: tuple[tuple[Result, ...], ...]
    reference: str
    missing: str
    seeds: int  # of each cell
    unit: str  # of the columns in which rows are compared: 'in percent', 'as fractions', or an error's
    quick: str = ""  # what a quick budget changes
    how: tuple[str, ...] = ()  # by which protocols, in sentences
    notes: tuple[str, ...] = ()  # of the print's rows


FEATURES = {"wikipedia": "classic features", "wikipedia_deep": "deep features"}  # of the same pictures and texts


def names_of(found: Part) -> tuple[str, str]:
    """A stand-in's name and that of the print's set: by their features where both are of the same items."""
    if found.data != found.stands_for:
        return found.data, found.stands_for
    return f"{found.data} ({FEATURES[found.data]})", f"{found.data} ({FEATURES[f'{found.data}_deep']})"


def part(exhibit: Exhibit, block: Block, cache: Path, failed: Mapping[str, str], quick: str = "") -> Part:
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
        apart = reference is not None and block.cells[r] != block.cells[reference]  # not its runs by another name
        for c, column in enumerate(block.grid.columns):
            values = table.rows.get(row.label) if table else None
            of_print = None if values is None or column.printed is None else values[column.printed]
            base = None
            if reference is not None and r != reference and table and column.printed is not None:
                base = (table.rows.get(block.grid.rows[reference].label) or {column.printed: None})[column.printed]
            compared = found[reference][c][0] if apart else None
            line.append(_result(found[r][c], of_print, base, compared, scale, block, r, c))
        results.append(tuple(line))
    usual = 1 if scale > 1 else 4 if exhibit.paper == "cmgcah" else 3
    return Part(
        data=block.data.name,
        stands_for=_stands_for(exhibit, block, table),
        about=block.data.about,
        rows=tuple(row.label for row in block.grid.rows),
        columns=tuple(_headed(column) for column in block.grid.columns),
        decimals=tuple(_digits(column, table, usual) for column in block.grid.columns),
        ordered=_ordered(block, table),
        lower=tuple(_lower(column.measure) for column in block.grid.columns),
        results=tuple(results),
        reference=block.grid.reference,
        missing=block.missing,
        seeds=max((len(cell.runs) for row in block.cells for cell in row), default=0),
        unit=_unit(exhibit, block),
        quick=quick,
        how=_how([value for row in found for value, _ in row if value is not None], block),
        notes=tuple(f"Print, {label}: {note}." for label, note in (table.notes.items() if table else ())),
    )


def _ordered(block: Block, table: Printed | None) -> tuple[bool, ...]:
    """Not a mean of columns that are compared themselves: it would count them twice."""
    printed_here = {c.printed for c in block.grid.columns if c.printed is not None}
    found = []
    for column in block.grid.columns:
        of_print = table.columns[column.printed] if table and column.printed is not None else {}
        of_others = column.over or printed_here & set(of_print.get("over", ()))
        found.append(not of_others and not isinstance(column.measure, Cost))
    return tuple(found)


def _lower(measure: Measure | None) -> bool:
    return isinstance(measure, ReconstructionError | Cost)


def _headed(column: Column) -> str:
    if isinstance(column.measure, ReconstructionError):
        return f"{column.label} (squared units of the frames, lower is better)"
    return f"{column.label} (lower is better)" if _lower(column.measure) else column.label


def _unit(exhibit: Exhibit, block: Block) -> str:
    if any(isinstance(column.measure, ReconstructionError) for column in block.grid.columns):
        return "mean squared error in squared units of the frames as they are read, lower is better"
    return {"percent": "in percent", "fraction": "as fractions"}[printed.unit(exhibit.paper)]


def _how(found: Sequence[Measured], block: Block) -> tuple[str, ...]:
    said = protocols.sentences(one for value in found for one in value.how)
    if any(isinstance(column.measure, ReconstructionError) for column in block.grid.columns):
        counts = sorted({sum(map(len, value.strata)) for value in found if value.strata})
        said += [
            f"Error: the mean over {n:,} items that ask, each over all its frames and their numbers." for n in counts
        ]
    return tuple(said)


def _stands_for(exhibit: Exhibit, block: Block, table: Printed | None) -> str:
    """The print's name of the set in whose place another one stands; '' where none does, or nothing is printed."""
    if not block.data.stand_in or exhibit.paper not in printed.PAPERS:
        return ""
    columns = [table.columns[c.printed] for c in block.grid.columns if c.printed is not None] if table else []
    named = [column["dataset"] for column in columns if "dataset" in column]
    return named[0] if named else datasets.PUBLISHED[exhibit.datasets[0]].printed


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
    """(the number, what a time is of) or (None, the reason)."""
    if cell.why:
        return None, cell.why
    if cell.measure is None:
        return None, ""
    if isinstance(cell.measure, Cost):
        value, how = cost.measure(cell.measure, cell.changes, cache)
        return Measured(value), how
    for run in (*cell.runs, *cell.others):
        if run.key in failed:
            return None, failed[run.key]
        if not run.done(cache):
            return None, "not run yet"
    return measured.over_seeds([_of_run(cell, seed, cache) for seed in range(len(cell.runs))]), ""


def _of_run(cell: Cell, seed: int, cache: Path) -> Measured:
    """One seed's number. A run whose results are damaged counts as not done from now on."""
    folder = cell.runs[seed].folder(cache)
    try:
        if isinstance(cell.measure, Score):
            return measured.of_score(folder, cell.measure, cell.method, seed)
        other = cell.others[seed].folder(cache) if cell.others else None
        return dataclasses.replace(
            again.measure(cell.measure, folder, seed, other), how=_how_again(cell, folder, seed, other)
        )
    except InputError as error:
        (folder / runs.DONE).unlink(missing_ok=True)
        raise InputError(f"{error} The same command again does this run anew.") from error


def _how_again(cell: Cell, folder: Path, seed: int, other: Path | None) -> tuple[protocols.How, ...]:
    """The protocol of a run scored again: that of its own results, or of those that were trained where it searches."""
    if isinstance(cell.measure, StreamScore):
        where = folder
    elif isinstance(cell.measure, CrossScore) and other is not None:
        where = other
    else:
        return ()
    return measured.of_score(where, Score(cell.measure.preset, cell.measure.k), cell.method, seed).how


def _mean_of(cells: Sequence[tuple[Measured | None, str]]) -> tuple[Measured | None, str]:
    """The mean of several columns, none of which may be missing."""
    reasons = [why for value, why in cells if value is None]
    if reasons:
        return None, reasons[0]
    return measured.over_seeds([dataclasses.replace(value, deviation=None) for value, _ in cells]), ""


def _result(own, of_print, base, compared, scale: float, block: Block, r: int, c: int) -> Result:
    value, said = own
    cell, column = block.cells[r][c], block.grid.columns[c]
    factor = scale if isinstance(cell.measure, Score | None) else 1.0
    names = tuple(run.name for run in cell.runs)
    gap_printed = None if of_print is None or base is None else of_print - base
    if value is None:
        gap = None if gap_printed is None else Gap(None, None, None, gap_printed)
        return Result(printed=of_print, why=said, runs=names, gap=gap)
    bounds, gap = measured.interval(value), None
    if compared is not None:
        ours, ends = measured.difference(value, compared)
        low, high = (None, None) if ends is None else (factor * ends[0], factor * ends[1])
        gap = Gap(factor * ours, low, high, gap_printed)
    sized = isinstance(cell.measure, Cost)  # of one shape everywhere, but times are of a machine
    alike = cell.measure.what != "milliseconds" if sized else not block.data.stand_in
    return Result(
        ours=factor * value.value,
        low=None if bounds is None else factor * bounds[0],
        high=None if bounds is None else factor * bounds[1],
        deviation=None if value.deviation is None or column.over else factor * value.deviation,
        printed=of_print,
        difference=factor * value.value - of_print if of_print is not None and alike else None,
        gap=gap,
        note=said,
        runs=names,
    )


def as_json(found: Part) -> dict:
    """All of it in plain types, None where a number is missing."""
    return dataclasses.asdict(found)
