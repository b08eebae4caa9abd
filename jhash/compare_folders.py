"""Workdirs to be compared: read, and refused where they have other data, other queries or no task in common."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash import report
from jhash.data.published_pairs import FIELDS as DRAWN_PAIRS
from jhash.types import InputError

DRAWN = ("yfcc", *DRAWN_PAIRS)  # datasets whose queries are drawn by the seed
DECIDING = ("fold", "queries", "split_array", "query_values", "split_column", "labels", "label_columns")
FILES = ("dir", "file", "manifest", "train", "query", "database")  # fields of data that say where it lies
GIVEN = ("query", "database")  # what `jhash.evaluate` calls the task of codes that it is given


class Folder(NamedTuple):
    """A workdir as it was read."""

    name: str  # as the user gave it
    found: list[report.Result]
    config: dict[str, Any]  # {} of an evaluation of given codes
    own: str  # the method that the experiment is about

    @property
    def path(self) -> Path:
        return Path(self.name)


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
    return {_task(row): (row["query_items"], row["database_items"]) for row in rows}


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
    return {_protocol(result.row): result.queries for result in folder.found}


def _relevant(folder: Folder) -> dict[tuple[str, str], int | None]:
    """(query, database) -> the digest of what is relevant to what."""
    return {_task(result.row): result.relevance for result in folder.found}


def doubts(folders: Sequence[Folder]) -> list[str]:
    """Sentences on folders whose queries and items may be others than the first's, though nothing says so."""
    first = folders[0]
    old = [folder.name for folder in folders if None in _relevant(folder).values()]
    found = []
    if old:
        found.append(
            f"{', '.join(old)}: an earlier jhash kept no digest of labels: whether queries and items are those of the "
            "others could not be checked."
        )
    for folder in folders:
        data, theirs = (one.config.get("data", {}) for one in (first, folder))
        differing = [f"data.{field}" for field in FILES if data.get(field) != theirs.get(field)]
        if first.config and folder.config and differing and not {first.name, folder.name} & set(old):
            found.append(
                f"{folder.name}: of other files than {first.name} ({', '.join(differing)}) with the same labels: its "
                "queries and items are taken to be the same."
            )
    return found


def _task(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["query"], row["database"]


def _protocol(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return (*_task(row), row["preset"], row["ties"])
