"""Where an index is on disk: its folder, its head, which says how much was acknowledged, and what is there for sure."""

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jhash.index.rows import Description
from jhash.types import InputError

NAME = "codes"  # of the table
HEAD = "head.json"


class Spot(NamedTuple):
    """Where an index is."""

    name: str  # as the user wrote it
    uri: str  # for LanceDB
    folder: Path | None  # of a local index; None: object storage
    beside: Path  # where its lock and its fast structures are

    @property
    def data(self) -> Path | None:
        return self.folder and self.folder / f"{NAME}.lance"


def spot(place: str | Path) -> Spot:
    """A folder, or a URI such as s3://bucket/name, whose lock and fast structures lie in the user's cache."""
    name = str(place)
    if "://" not in name:
        folder = Path(place).absolute()
        return Spot(name, str(folder), folder, folder)
    caches = os.environ.get("JHASH_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Spot(name, name, None, Path(caches) / "jhash" / hashlib.sha256(name.encode()).hexdigest()[:32])


def files(data: Path) -> set[str]:
    """The files of a table."""
    return {entry.path for name in ("data", "_versions", "_transactions") for entry in _entries(data / name)}


def _entries(folder: Path) -> Sequence[os.DirEntry]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [entry for entry in entries if entry.is_file()]
    return []


def sync(data: Path, written: set[str]) -> None:
    """Asks the disk to keep every file of the table that isn't among those `written`, which they join."""
    new = files(data) - written
    for path in [*sorted(new), *sorted({os.path.dirname(path) for path in new})]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    written |= new


def write_head(folder: Path, description: Description, rows: int) -> None:
    """Says that so many rows are acknowledged."""
    partial = folder / f".{HEAD}.partial"
    with open(partial, "w") as file:
        json.dump({"generation": description.generation, "rows": rows}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / HEAD)


def read_head(where: Spot) -> tuple[int, int]:
    """(generation, rows) that were acknowledged; (0, 0) on object storage. Raises InputError: missing or damaged."""
    if where.folder is None:
        return 0, 0
    if not where.data.is_dir():
        raise InputError(f"{where.name}: expected the folder of an index, found none.")
    file = where.folder / HEAD
    try:
        content = json.loads(file.read_text())
        return int(content["generation"]), int(content["rows"])
    except FileNotFoundError as error:
        raise InputError(f"{file}: expected the head of an index, found no such file.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: expected the head of an index, found it damaged.") from error
