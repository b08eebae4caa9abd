"""What a table or a figure consists of: rows and columns, each of which changes an experiment or says what to read.

A row and a column together name one run, by what both change in the data set's config, and one number of it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jhash.reproduce.data import Data

ABSENT = "jhash does not have it"


def bits(number: int) -> dict[str, Any]:
    """What a column of that code length changes."""
    return {"hyper.bits": number}


@dataclasses.dataclass(frozen=True)
class Score:
    """A measure of retrieval in results.json: of one direction, or the mean over those between different media."""

    preset: str
    k: int | None = None
    asks: str = ""  # the asking medium, '' for all
    answers: str = ""
    metric: str = "map"


@dataclasses.dataclass(frozen=True)
class StreamScore:
    """DKPH's retrieval by its temporal stream l in place of b, of the same trained run."""

    preset: str
    k: int | None = None


@dataclasses.dataclass(frozen=True)
class CrossScore:
    """Retrieval among another data set's items by the trained run: 'value', or 'change' against training there."""

    preset: str
    k: int | None
    dataset: str
    what: str  # 'value' | 'change' in percent of what training there gives
    digest: str = ""  # of that data set


@dataclasses.dataclass(frozen=True)
class ReconstructionError:
    """Mean squared error of DKPH's student: `use` as of `jhash.methods.dkph.reconstruction_error`."""

    use: str
    category: int | None = None  # of the items of one class alone


@dataclasses.dataclass(frozen=True)
class Cost:
    """What encoding costs, found without a run: the network of a config, at items of a shape."""

    what: str  # 'parameters' | 'multiply_adds' | 'milliseconds': in millions, in thousand millions, as it is
    config: str  # a file of configs/
    shapes: tuple[tuple[str, tuple[int, ...]], ...]  # (medium, shape of its items) of all media of the method
    medium: str = "video"  # the one that is encoded


Measure = Score | StreamScore | CrossScore | ReconstructionError | Cost


@dataclasses.dataclass(frozen=True)
class Row:
    """One line: a variant of the method, a baseline, or a competitor that jhash doesn't have."""

    label: str  # as printed, where it is printed
    changes: Mapping[str, Any] | None = None  # fields of the config; None where nothing can be run
    why: str = ""  # the reason where nothing can be run, or where it has no such number
    method: str = ""  # a baseline's, whose numbers stand beside the method's own
    baselines: bool = False  # whether the run takes the config's baselines along: the method as it stands does
    measure: Callable[[Measure], Measure | None] = lambda measure: measure  # None: it has no such number
    at: tuple = ()  # its place in a picture: (series,), (series, x), or (row, column) of a heat map


@dataclasses.dataclass(frozen=True)
class Column:
    """One number of each row's runs, on one data set."""

    label: str
    data: Data
    changes: Mapping[str, Any]
    measure: Measure | None  # None: the mean of other columns
    printed: int | None = None  # the column of the printed table
    over: tuple[int, ...] = ()  # the columns, by their place here, of which this is the mean
    group: str = ""  # the picture it belongs to, ...
    x: float | None = None  # ... and its place there
    digits: int | None = None  # behind the point; None: as printed, or as is usual


@dataclasses.dataclass(frozen=True)
class Grid:
    """All cells of a table on one data set."""

    rows: Sequence[Row]
    columns: Sequence[Column]
    reference: str = ""  # the row that others are compared with


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """A table or a figure of a paper."""

    paper: str
    name: str  # 'Table 5', 'Figure 3'
    title: str  # what it shows, in our words
    grid: Callable[[Data], Grid]  # on one data set
    datasets: tuple[str, ...]  # jhash's names of those the paper used
    stand_ins: tuple[str, ...] = ()  # small shipped ones that can take their place
    printed: str = ""  # the printed table that it is compared with
    picture: str = ""  # '' | 'lines' | 'bars' | 'heat' | 'precision_recall' | 'precision_at' | 'codes' | 'found'
    x: str = ""  # what a picture's horizontal axis is
    log: bool = False
    notes: tuple[str, ...] = ()  # what a reader must know of how it is measured here
    also: tuple[str, ...] = ()  # data sets that it needs besides
