"""Files that go into an index beside the codes: ids, a line each, and metadata from a .csv or .jsonl."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jhash.data.validate import load_npy
from jhash.index.rows import TAKEN
from jhash.types import InputError

WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Columns(NamedTuple):
    """What a file of metadata says of N items."""

    taken: dict[str, list[str]]  # 'id' and 'modality', where it has them
    metadata: dict[str, list]  # column -> [N], None where a cell is empty
    left: list[str]  # columns that the index hasn't


def read_ids(path: Path) -> list[str]:
    """Ids of a text file, a line each, or of an .npy of texts or whole numbers. Raises InputError: other content."""
    if path.suffix == ".npy":
        ids = load_npy(path)
        if ids.ndim != 1 or ids.dtype.kind not in "Uiu":
            raise InputError(f"{path}: --ids: expected texts or whole numbers [items], found {ids.dtype} {ids.shape}.")
        return [str(one) for one in ids.tolist()]
    lines = _text(path, "--ids").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise InputError(f"{path}, line {number}: --ids: expected an id, found an empty line.")
    return [line.strip() for line in lines]


def read_metadata(path: Path, kinds: Mapping[str, str]) -> Columns:
    """The columns of a .csv, whose first line names them, or of a .jsonl, an object a line.

    Args:
        path: the file.
        kinds: the index's columns -> 'int', 'float', 'text' or 'bool', which is how the cells of a .csv are read.

    Raises:
        InputError: a file that is neither, a line of another length, or a cell that can't be read as its kind.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise InputError(f"{path}: --metadata: expected a file ending in .csv or .jsonl, found {path.suffix!r}.")
    rows = _csv(path, kinds) if path.suffix == ".csv" else _jsonl(path)
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    values = {name: [row.get(name) for _, row in rows] for name in names}
    return Columns(
        {name: values[name] for name in TAKEN if name in values},
        {name: values[name] for name in kinds if name in values},
        [name for name in names if name not in kinds and name not in TAKEN],
    )


def _csv(path: Path, kinds: Mapping[str, str]) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(_text(path, "--metadata"), newline=""), strict=True)
    rows = []
    try:
        header = next(reader, [])
        if len(set(header)) != len(header):
            raise InputError(f"{path}, line 1: expected different columns, found {', '.join(header)}.")
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if cells and len(cells) != len(header):
                raise InputError(f"{where}: expected {len(header)} columns like the first line, found {len(cells)}.")
            if cells:
                row = {name: _cell(where, name, kinds, cell) for name, cell in zip(header, cells, strict=True)}
                rows.append((reader.line_num, row))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a line of a .csv: {error}.") from error
    return rows


def _cell(where: str, name: str, kinds: Mapping[str, str], cell: str) -> Any:
    kind = kinds.get(name, "text")
    if kind == "text" or name in TAKEN:
        return cell
    cell = cell.strip()
    try:
        if kind == "bool":
            return WORDS[cell.lower()] if cell else None
        return {"int": int, "float": float}[kind](cell) if cell else None
    except (ValueError, KeyError) as error:
        raise InputError(f"{where}: {name}: expected {kind}, found {cell!r}.") from error


def _jsonl(path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(_text(path, "--metadata").splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: expected JSON, found {line[:40]!r}.") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected an object, found {line[:40]!r}.")
        rows.append((number, row))
    return rows


def _text(path: Path, field: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {field}: expected text in UTF-8, found byte {error.start} that isn't.") from error
    except OSError as error:
        raise InputError(f"{path}: {field}: expected a file, found none ({error.strerror}).") from error
