"""From a table, its data sets, seeds and budget to the runs of each cell."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jhash.reproduce import data as datasets
from jhash.reproduce import runs
from jhash.reproduce.data import Data
from jhash.reproduce.grid import Cost, CrossScore, Exhibit, Grid, Measure
from jhash.reproduce.runs import Run
from jhash.types import InputError


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    data: Path  # the folder of published data sets
    seeds: int
    budget: str  # 'quick' | 'full'


class Cell(NamedTuple):
    """What one number needs: a run a seed, and of a CrossScore's change those on the other data set."""

    measure: Measure | None
    method: str
    runs: tuple[Run, ...] = ()
    others: tuple[Run, ...] = ()
    why: str = ""  # the reason where it stays empty
    changes: Mapping[str, Any] = {}  # what row and column change, of a Cost


class Block(NamedTuple):
    """A table on one data set."""

    data: Data
    grid: Grid
    cells: tuple[tuple[Cell, ...], ...]  # rows × columns
    missing: str  # why the data are not here, or ''


def blocks(exhibit: Exhibit, names: Sequence[str], asked: Asked) -> list[Block]:
    """The table on each of the named data sets; without names on those that the paper used.

    Raises:
        InputError: a name that is no data set of this table's.
    """
    allowed = (*exhibit.datasets, *exhibit.stand_ins)
    for name in names:
        if name not in allowed:
            raise InputError(f"--dataset: expected one of {', '.join(allowed)} for {exhibit.name}, found {name!r}")
    return [_block(exhibit, name, asked) for name in names or exhibit.datasets]


def _block(exhibit: Exhibit, name: str, asked: Asked) -> Block:
    data = datasets.find(name)
    if data is None:  # a kind of data that no file is known of
        data = Data(name, "")
        missing = f"no data set of {name.replace('_', ' and ')} is known to jhash"
    else:
        missing = datasets.missing(data, asked.data)
    if missing and exhibit.stand_ins:
        missing += f" (--data names the folder; {' or '.join(exhibit.stand_ins)} can stand in by --dataset)"
    grid = exhibit.grid(data)
    digest = "" if missing or data == datasets.SHAPES else datasets.digest(data, asked.data)
    cells = tuple(
        tuple(_cell(exhibit, grid, row, column, asked, digest, missing) for column in grid.columns) for row in grid.rows
    )
    return Block(data, grid, cells, missing)


def _cell(exhibit: Exhibit, grid: Grid, row, column, asked: Asked, digest: str, missing: str) -> Cell:
    method = row.method or exhibit.paper
    if row.changes is None:
        return Cell(None, method, why=row.why)
    if column.over:
        return Cell(None, method)
    measure = row.measure(column.measure)
    if measure is None:
        return Cell(None, method, why=row.why)
    if isinstance(measure, Cost):
        return Cell(measure, method, changes=dict(column.changes) | dict(row.changes))
    if missing:
        return Cell(None, method, why=missing)
    own = tuple(_run(exhibit.paper, column.data, row, column, asked, digest, seed) for seed in range(asked.seeds))
    others: tuple[Run, ...] = ()
    if isinstance(measure, CrossScore):
        there = datasets.PUBLISHED[measure.dataset]
        away = datasets.missing(there, asked.data)
        if away:
            return Cell(None, method, why=away)
        beside = datasets.digest(there, asked.data)
        measure = dataclasses.replace(measure, digest=beside)
        if measure.what == "change":
            others = tuple(_run(exhibit.paper, there, row, column, asked, beside, s) for s in range(asked.seeds))
    return Cell(measure, method, own, others)


def _run(paper: str, data: Data, row, column, asked: Asked, digest: str, seed: int) -> Run:
    base = datasets.config_of(paper, data, asked.data, asked.budget)
    config = datasets.config_of(paper, data, asked.data, asked.budget)
    config.update_from_flattened_dict(dict(column.changes) | dict(row.changes))
    config.seed, config.seeds = seed, 1
    if not row.baselines:
        config.baselines = ()
    what = runs.differing(config, base)
    title = ", ".join(
        [f"{paper} on {data.name}", f"{config.hyper.bits} bits", *([what] if what else []), f"seed {seed}"]
    )
    return runs.run_of(config, digest, title)


def runs_needed(found: Sequence[Block]) -> list[Run]:
    """Each run once, those of one config with several seeds side by side."""
    needed: dict[str, Run] = {}
    for block in found:
        for row in block.cells:
            for cell in row:
                needed |= {run.key: run for run in (*cell.runs, *cell.others)}
    return list(needed.values())
