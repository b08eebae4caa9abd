"""Methods of several workdirs side by side, query by query, and which is better than the first one's own."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jhash import intervals, report
from jhash.compare_folders import Folder
from jhash.types import InputError

LEVEL = 0.05  # of the corrected p, below which a difference is one


class Column(NamedTuple):
    """What is compared: a direction of retrieval, a protocol, and a metric of it."""

    query: str
    database: str
    preset: str
    ties: str
    metric: str
    k: int | None

    @property
    def title(self) -> str:
        """'mAP@5, video, stable'."""
        return f"{report.title(self.metric, self.k)}, {self.preset}, {self.ties}"


class Contender(NamedTuple):
    """A method of a workdir; values of several seeds are averaged query by query."""

    name: str  # 'dkph (paper), 64 bits, runs/dkph'
    short: str  # '2: dkph (paper), 64 bits', by the number of its folder
    folder: Folder
    method: str
    variant: str | None
    bits: int | None
    seeds: tuple[int | None, ...]
    values: dict[Column, np.ndarray]  # [S]
    means: dict[Column, tuple[float, float, float]]  # value and ends of its interval, where a query counts


class Line(NamedTuple):
    """A contender in a column; all but the first two are None of the reference itself."""

    contender: Contender
    value: intervals.Interval
    difference: intervals.Interval | None  # from the reference, by the paired bootstrap
    p: float | None  # by sign flips
    p_holm: float | None  # the same, for all comparisons of the column

    @property
    def verdict(self) -> str | None:
        """'won' or 'lost' where the corrected p is below LEVEL, else 'tied'."""
        if self.difference is None:
            return None
        return "tied" if self.p_holm >= LEVEL else "won" if self.difference.mean > 0 else "lost"


def _column(row: Mapping[str, Any]) -> Column:
    return Column(*(row[field] for field in Column._fields))


def contenders(folders: Sequence[Folder]) -> list[Contender]:
    """All methods of all folders; the first is the first folder's own, which the others are compared with."""
    short = len({folder.path.name for folder in folders}) == len(folders)
    found = []
    for number, folder in enumerate(folders, 1):
        place = folder.path.name if short else folder.name
        by_method: dict[tuple, list[report.Result]] = {}
        for result in folder.found:
            by_method.setdefault(tuple(result.row[field] for field in ("method", "variant", "bits")), []).append(result)
        own_first = sorted(by_method.items(), key=lambda item: item[0][0] != folder.own)
        for method, results in own_first:
            said = _said(*method)
            found.append(_contender(f"{said}, {place}", f"{number}: {said}", *method, folder, results))
    return found


def _said(method: str, variant: str | None, bits: int | None) -> str:
    """'dkph (paper), 64 bits'."""
    named = method if variant is None else f"{method} ({variant})"
    return f"{named}, {'real' if bits is None else f'{bits} bits'}"


def _contender(
    name: str, short: str, method, variant, bits, folder: Folder, results: Sequence[report.Result]
) -> Contender:
    by_column: dict[Column, list[report.Result]] = {}
    for result in results:
        by_column.setdefault(_column(result.row), []).append(result)
    values = {column: intervals.average_seeds([one.values for one in seeds]) for column, seeds in by_column.items()}
    means = {
        column: tuple(np.mean([[one.row["value"], *one.row["ci95"]] for one in seeds], axis=0).tolist())
        for column, seeds in by_column.items()
        if len(values[column])
    }
    seeds = tuple(dict.fromkeys(result.row["seed"] for result in results))
    return Contender(name, short, folder, method, variant, bits, seeds, values, means)


def distinct(field: Sequence[Contender]) -> tuple[list[Contender], list[tuple[Contender, Contender]]]:
    """The field with each of its methods once, and which of those left out is which of those kept.

    A method that stands in two folders by the same settings and has the same value for each query is one comparison and
    not two: what is corrected for their number would count it twice. A folder's own method is kept before a baseline.
    """
    kept: list[Contender] = []
    again: list[tuple[Contender, Contender]] = []
    for one in sorted(field, key=lambda one: not _is_own(one)):
        there = next((other for other in kept if _same(one, other)), None)
        if there is None:
            kept.append(one)
        else:
            again.append((one, there))
    return [one for one in field if any(one is other for other in kept)], again


def _is_own(one: Contender) -> bool:
    return one.method == one.folder.own


def _same(one: Contender, other: Contender) -> bool:
    """Whether the two are one method. The settings of a baseline are its name, its length and what it sees."""
    if any(getattr(one, field) != getattr(other, field) for field in ("method", "variant", "bits", "seeds")):
        return False
    if _is_own(one) and _is_own(other) and one.folder.config.get("hyper") != other.folder.config.get("hyper"):
        return False
    both = one.values.keys() & other.values.keys()
    return bool(both) and all(np.array_equal(one.values[column], other.values[column]) for column in both)


def columns(field: Sequence[Contender], metric: str | None, ks: Sequence[int | None] | None) -> list[Column]:
    """The reference's columns that every folder has and in which a query counts, of the metrics asked for.

    Args:
        field: as `contenders` gives them.
        metric: None: 'map'.
        ks: cut-offs, None being the whole ranking; without them 5, 20 and the whole ranking of 'map', where they are
            there, or else all that are.

    Raises:
        InputError: there are none.
    """
    folders = {one.folder.name for one in field}
    common = [
        column for column in field[0].means if folders == {one.folder.name for one in field if column in one.means}
    ]
    here = [column for column in common if column.metric == (metric or "map")]
    if ks is not None:
        here = [column for column in here if column.k in ks]
    elif metric is None:
        here = [column for column in here if (column.metric, column.k) in report.COLUMNS] or here
    if not here:
        known = ", ".join(dict.fromkeys(report.title(column.metric, column.k) for column in common)) or "none"
        asked = [report.title(metric or "map", k) for k in (ks or [None])] if ks or metric is None else [metric]
        raise InputError(f"--metric, --k: expected metrics that all folders have ({known}), found {', '.join(asked)}.")
    return here


def compare(field: Sequence[Contender], column: Column) -> list[Line]:
    """The reference and then all others that have the column: paired bootstrap, sign flips, Holm's correction."""
    reference = field[0].values[column]
    lines = [Line(field[0], _interval(field[0], column), None, None, None)]
    others = [one for one in field[1:] if column in one.means]
    ps = [intervals.sign_flip_test(one.values[column], reference) for one in others]
    for one, p, corrected in zip(others, ps, intervals.holm(ps).tolist(), strict=True):
        difference = intervals.compare(one.values[column], reference).difference
        lines.append(Line(one, _interval(one, column), difference, p, corrected))
    return lines


def _interval(contender: Contender, column: Column) -> intervals.Interval:
    """Of the mean over seeds; one seed's stands in results.json."""
    if len(contender.seeds) == 1:
        return intervals.Interval(*contender.means[column])
    return intervals.bootstrap(contender.values[column])
