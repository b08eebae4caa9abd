"""Workdirs side by side: their methods query by query, and who is better than the first one's own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash import intervals, report
from jhash.data.published_pairs import FIELDS as DRAWN_PAIRS
from jhash.types import InputError

DRAWN = ("yfcc", *DRAWN_PAIRS)  # datasets whose queries are drawn by the seed
DECIDING = ("fold", "queries", "split_array", "query_values", "split_column", "labels", "label_columns")
FILES = ("dir", "file", "manifest", "train", "query", "database")  # fields of data that say where it lies
LEVEL = 0.05  # of the corrected p, below which a difference is one
GIVEN = ("query", "database")  # what `jhash.evaluate` calls the task of codes that it is given


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


class Folder(NamedTuple):
    """A workdir as it was read."""

    name: str  # as the user gave it
    found: list[report.Result]
    config: dict[str, Any]  # {} of an evaluation of given codes
    own: str  # the method that the experiment is about

    @property
    def path(self) -> Path:
        return Path(self.name)


class Contender(NamedTuple):
    """A method of a workdir; values of several seeds are averaged query by query."""

    name: str  # 'dkph (paper), 64 bits, runs/dkph'
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


def read_folders(names: Sequence[str]) -> list[Folder]:
    """Opens workdirs of experiments or of `jhash.evaluate`, and refuses those that cannot be compared with the first.

    Row i of the queries is taken to be the same item in all of them where the labels allow it. Codes that
    `jhash.evaluate` was given are taken to be of the one task of the first experiment that has as many queries and
    items.

    Raises:
        InputError: a folder that isn't one, or is named twice, or of another dataset, other queries, no common task.
    """
    twice = [name for number, name in enumerate(names) if Path(name).resolve() in _resolved(names[:number])]
    if twice:
        raise InputError(f"{twice[0]}: workdirs: expected each folder once, found it twice.")
    folders = [_read(name) for name in names]
    experiment = next((folder for folder in folders if folder.config), None)
    if experiment is not None:
        folders = [folder if folder.config else _placed(folder, experiment) for folder in folders]
    for folder in folders[1:]:
        _check(folders[0], folder)
    return folders


def _resolved(names: Sequence[str]) -> list[Path]:
    return [Path(name).resolve() for name in names]


def _read(name: str) -> Folder:
    if Path(name).exists() and not Path(name).is_dir():
        raise InputError(f"{name}: expected a workdir, found a file.")
    found, file = report.read_found(Path(name)), Path(name) / "config.json"
    if not found:
        raise InputError(f"{name}: results.json: expected a row at least, found none.")
    config = {}
    if file.is_file():
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
            config["method"], config["data"]["name"], config["seed"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: expected the config of an experiment, found something unreadable.") from error
    return Folder(name, found, config, config.get("method", found[0].row["method"]))


def _placed(folder: Folder, experiment: Folder) -> Folder:
    """Given codes under the name of the experiment's task, where only one fits."""
    row = folder.found[0].row
    size = (row["query_items"], row["database_items"])
    fits = [task for task, items in _tasks(experiment).items() if items == size]
    if (row["query"], row["database"]) != GIVEN or len(fits) != 1:
        has = ", ".join(f"{a} -> {b} ({q:,} and {d:,})" for (a, b), (q, d) in _tasks(experiment).items())
        raise InputError(
            f"{folder.name}: query_items and database_items: expected those of one task of {experiment.name}, which "
            f"has {has}; found {size[0]:,} and {size[1]:,}."
        )
    named = {"query": fits[0][0], "database": fits[0][1]}
    if row["dataset"] == "given":
        named["dataset"] = experiment.found[0].row["dataset"]
    return folder._replace(found=[result._replace(row=result.row | named) for result in folder.found])


def _tasks(folder: Folder) -> dict[tuple[str, str], tuple[int, int]]:
    """(query, database) -> items of both."""
    rows = [result.row for result in folder.found]
    return {(row["query"], row["database"]): (row["query_items"], row["database_items"]) for row in rows}


def _check(first: Folder, other: Folder) -> None:
    def refuse(field: str, expected: object, found: object) -> None:
        raise InputError(f"{other.name}: {field}: expected {expected}, as in {first.name}, found {found}.")

    datasets = [folder.found[0].row["dataset"] for folder in (first, other)]
    if datasets[0] != datasets[1]:
        refuse("dataset", repr(datasets[0]), repr(datasets[1]))
    if first.config and other.config:
        fields = [_deciding(folder.config) for folder in (first, other)]
        for field in fields[0]:
            if fields[0][field] != fields[1].get(field):
                refuse(f"config.{field}", repr(fields[0][field]), repr(fields[1].get(field)))
    tasks, theirs = _tasks(first), _tasks(other)
    common = [task for task in tasks if task in theirs]
    if not common:
        refuse("query and database", _said(tasks), _said(theirs))
    for task in common:
        for place, field in enumerate(("query_items", "database_items")):
            if tasks[task][place] != theirs[task][place]:
                refuse(f"{field} of {' -> '.join(task)}", f"{tasks[task][place]:,}", f"{theirs[task][place]:,}")
    counted, counted_there = _counted(first), _counted(other)
    protocols = [key for key in counted if key in counted_there]
    if not protocols:
        ways = [_said({key[2:4] for key in counts if key[:2] in common}, ", ") for counts in (counted, counted_there)]
        refuse("preset and ties", *ways)
    for key in protocols:
        if not np.array_equal(counted[key], counted_there[key]):
            sizes = [f"{len(counts[key]):,}" for counts in (counted, counted_there)]
            others = "" if sizes[0] != sizes[1] else " others"
            refuse(f"queries that count in {key[0]} -> {key[1]}, {key[2]}", sizes[0], sizes[1] + others)
    relevant, relevant_there = _relevant(first), _relevant(other)
    for task in common:
        if None not in (relevant[task], relevant_there[task]) and relevant[task] != relevant_there[task]:
            refuse(f"labels of {' -> '.join(task)}", "those of the same queries and items", "others")


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that decide which items ask."""
    data = config["data"]
    fields = {f"data.{field}": data[field] for field in DECIDING if field in data}
    return fields | ({"seed": config["seed"]} if data.get("fold") or data["name"] in DRAWN else {})


def _said(pairs: Sequence[tuple[str, str]], between: str = " -> ") -> str:
    return "; ".join(between.join(pair) for pair in sorted(pairs))


def _counted(folder: Folder) -> dict[tuple, np.ndarray]:
    """(query, database, preset, ties) -> rows of the queries that count."""
    return {_column(result.row)[:4]: result.queries for result in folder.found}


def _relevant(folder: Folder) -> dict[tuple[str, str], int | None]:
    """(query, database) -> the digest of what is relevant to what."""
    return {_column(result.row)[:2]: result.relevance for result in folder.found}


def doubts(folders: Sequence[Folder]) -> list[str]:
    """A sentence for each folder whose queries and items may be others than the first's, though nothing says so."""
    first = folders[0]
    old = [folder.name for folder in folders if None in _relevant(folder).values()]
    found = [
        f"{name}: an earlier jhash kept no digest of labels: whether its queries and items are those of the others "
        "could not be checked."
        for name in old
    ]
    for folder in folders:
        data, theirs = (one.config.get("data", {}) for one in (first, folder))
        differing = [f"data.{field}" for field in FILES if data.get(field) != theirs.get(field)]
        if first.config and folder.config and differing and not {first.name, folder.name} & set(old):
            found.append(
                f"{folder.name}: of other files than {first.name} ({', '.join(differing)}) with the same labels: its "
                "queries and items are taken to be the same."
            )
    return found


def _column(row: Mapping[str, Any]) -> Column:
    return Column(*(row[field] for field in Column._fields))


# ---- methods and columns


def contenders(folders: Sequence[Folder]) -> list[Contender]:
    """All methods of all folders; the first is the first folder's own, which the others are compared with."""
    short = len({folder.path.name for folder in folders}) == len(folders)
    found = []
    for folder in folders:
        place = folder.path.name if short else folder.name
        by_method: dict[tuple, list[report.Result]] = {}
        for result in folder.found:
            by_method.setdefault(tuple(result.row[field] for field in ("method", "variant", "bits")), []).append(result)
        own_first = sorted(by_method.items(), key=lambda item: item[0][0] != folder.own)
        found += [_contender(*method, folder, place, results) for method, results in own_first]
    return found


def _contender(method, variant, bits, folder: Folder, place: str, results: Sequence[report.Result]) -> Contender:
    named = method if variant is None else f"{method} ({variant})"
    name = f"{named}, {'real' if bits is None else f'{bits} bits'}, {place}"
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
    return Contender(name, folder, method, variant, bits, seeds, values, means)


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
