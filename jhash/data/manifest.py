"""The .csv that names a user's photographs, clips and texts: a line an item, checked before anything is decoded."""

import collections
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash.data.decode import Broken, check_name
from jhash.data.validate import near
from jhash.types import InputError

PARTS = ("train", "test", "database")


class Item(NamedTuple):
    """A line of the manifest."""

    line: int
    part: str
    paths: Mapping[str, str]  # 'image' and 'video', where there are such columns
    text: str
    labels: tuple[str, ...]


def read_manifest(path: Path, config: Mapping[str, Any]) -> tuple[list[Item], bytes]:
    """The items of a .csv in its order, and its bytes.

    Raises:
        InputError: missing, not UTF-8, not a table with the columns that the config names, or, with its line, a row of
            another length, an unknown part or a path that leaves the root.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file (data.manifest expects a .csv).")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: expected text in UTF-8, found byte {content[error.start]:#x}."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_header(path, header, config)
        items = [_item(path, reader.line_num, header, row, config) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a line of a .csv: {error}.") from error
    if not any(item.part == "train" for item in items):
        raise InputError(f"{path}: expected training items, found none among {len(items)} items.")
    return items, content


def _columns(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Field -> the columns that it names."""
    named = {field: [config[field]] for field in ("image_column", "video_column", "split_column")}
    named |= {"text_column": config["text_column"].split(";"), "label_columns": list(config["label_columns"])}
    return {field: [column for column in columns if column] for field, columns in named.items()}


def _check_header(path: Path, header: list[str], config: Mapping[str, Any]) -> None:
    twice = [column for column, count in collections.Counter(header).items() if count > 1]
    if twice:
        raise InputError(f"{path}, line 1: expected different columns, found {twice[0]!r} twice.")
    for field, columns in _columns(config).items():
        for column in columns:
            if column not in header:
                found = ", ".join(header) or "nothing"
                raise InputError(
                    f"{path}, line 1: expected the column {column!r} of data.{field}, found {found}"
                    f"{near(column, header)}."
                )


def _item(path: Path, line: int, header: list[str], row: list[str], config: Mapping[str, Any]) -> Item:
    where = f"{path}, line {line}"
    if len(row) != len(header):
        raise InputError(f"{where}: expected {len(header)} columns like the first line, found {len(row)}.")
    cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
    part = cells[config["split_column"]] if config["split_column"] else "train"
    if part not in PARTS:
        raise InputError(
            f"{where}: {config['split_column']}: expected one of {', '.join(PARTS)}, found {part!r}{near(part, PARTS)}."
        )
    paths = {one: cells[config[f"{one}_column"]] for one in ("image", "video") if config[f"{one}_column"]}
    for name in paths.values():
        try:
            check_name(name)
        except Broken as error:
            raise InputError(f"{where}: {error}, found {name!r}.") from error
    text = " ".join(cells[column] for column in _columns(config)["text_column"])
    several = len(config["label_columns"]) > 1
    labels = [
        f"{column}={value.strip()}" if several else value.strip()
        for column in config["label_columns"]
        for value in cells[column].split(";")
        if value.strip()
    ]
    return Item(line, part, paths, text, tuple(labels))


def label_rows(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    """The classes of N items -> uint8 [N, C] of 0/1, a column a class; labels that aren't among them are left out."""
    places = {name: place for place, name in enumerate(classes)}
    rows = np.zeros((len(labels), len(classes)), np.uint8)
    for row, names in enumerate(labels):
        rows[row, [places[name] for name in names if name in places]] = 1
    return rows
