"""The rows of an index as a search wants them: codes memory-mapped word by word, which ids are there, in which order.

All of it follows from the table. A folder of files, made for the first rows of one generation, saves reading them
again; it carries digests, and where it is missing, torn or of another table it is made anew.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from jhash.index.rows import Description, arrow, codes_of
from jhash.index.table import Table
from jhash.types import InputError

TAIL = 20_000  # rows behind the files that are worth no new files; a quarter of the files' rows, where that is more
COLUMNS = ["_deleted", "_check", "_code", "id", "modality"]
MANIFEST = "manifest.json"
STALE = 3600.0  # seconds after which a folder that never became whole is rubbish


@dataclasses.dataclass(frozen=True)
class Held:
    """Rows [N] of one generation, deleted ones too: a row's number is its place in the table."""

    base: np.ndarray  # [W, B] uint8: the codes in the files, memory-mapped
    tail: np.ndarray  # [W, N - B] uint8: those added since
    ids: Any  # Arrow's chunked texts [N]
    names: tuple[str, ...]  # of modalities
    modality: np.ndarray  # [N] int32, places in `names`
    live: np.ndarray  # [N] bool: neither deleted nor replaced
    check: int  # the check of the last row
    folder: Path | None = None  # of the files

    def __len__(self) -> int:
        return len(self.live)

    def rows_of(self, ids: list[str]) -> np.ndarray:
        """The live rows of those ids that are there, in order."""
        pa = arrow()
        import pyarrow.compute as pc

        found = pc.is_in(self.ids, value_set=pa.array(ids, pa.string()))
        return np.flatnonzero(_numpy(found) & self.live)

    def followed(self, rows) -> "Held":
        """This and the rows behind it, an Arrow table: an id's last row takes the earlier ones' place."""
        if not rows.num_rows:
            return self
        ids = rows["id"]
        numbers = _numpy(ids.combine_chunks().dictionary_encode().indices)
        last = np.zeros(numbers.max() + 1, np.int64)
        last[numbers] = np.arange(len(numbers))  # of a number that comes again the last one stays
        live = (last[numbers] == np.arange(len(numbers))) & ~_numpy(rows["_deleted"])
        before = self.live.copy()
        before[self.rows_of(ids.combine_chunks())] = False
        encoded = rows["modality"].combine_chunks().dictionary_encode()
        names = tuple(dict.fromkeys([*self.names, *encoded.dictionary.to_pylist()]))
        places = np.array([names.index(name) for name in encoded.dictionary.to_pylist()], np.int32)
        chunks = [*self.ids.chunks, *ids.chunks]
        if len(chunks) > 256:  # so that a thousand small batches aren't looked through one by one
            chunks = [arrow().concat_arrays(chunks)]
        return dataclasses.replace(
            self,
            tail=np.concatenate([self.tail, codes_of(rows).T], axis=1),
            ids=arrow().chunked_array(chunks),
            names=names,
            modality=np.concatenate([self.modality, places[_numpy(encoded.indices)]]),
            live=np.concatenate([before, live]),
            check=rows["_check"][-1].as_py(),
        )


def _numpy(column) -> np.ndarray:
    return column.to_numpy() if hasattr(column, "chunks") else column.to_numpy(zero_copy_only=False)


def nothing(description: Description) -> Held:
    """No rows yet."""
    pa = arrow()
    words = np.zeros((description.width, 0), np.uint8)
    ids = pa.chunked_array([], pa.string())
    return Held(words, words, ids, (), np.zeros(0, np.int32), np.zeros(0, bool), 0)


def held(table: Table) -> Held:
    """All rows of the table: from the files as far as they go, and from the table behind them.

    Raises:
        InputError: a damaged table.
    """
    found = _of_files(table)
    if found is not None:
        # the files' last row once more: its check says that they are of this table
        rows = _read(table, len(found) - 1)
        if rows["_check"][0].as_py() == found.check:
            return settled(table, found.followed(rows.slice(1)))
    return settled(table, read_all(table))


def read_all(table: Table) -> Held:
    """All rows, from the table alone. Raises InputError: a damaged table."""
    return nothing(table.description).followed(_read(table, 0))


def further(table: Table, before: Held) -> Held:
    """All rows of the table, where those `before` were the first ones of the same generation."""
    return settled(table, before.followed(_read(table, len(before))))


def _read(table: Table, first: int):
    parts = [rows.select(COLUMNS) for rows in table.read(first)]
    return arrow().concat_tables(parts or [table.description.schema().empty_table().select(COLUMNS)])


def settled(table: Table, rows: Held) -> Held:
    """The same rows, from new files where many have come since the last."""
    if len(rows) - rows.base.shape[1] <= max(TAIL, rows.base.shape[1] // 4):
        return rows
    with contextlib.suppress(OSError):  # a full disk, or a folder that may only be read: memory serves as well
        return _write(table, rows)
    return rows


# ---- files


def _write(table: Table, rows: Held) -> Held:
    """Puts the rows into a new folder, and removes those it takes the place of."""
    parent = table.spot.beside / "fast"
    partial = parent / f".partial-{uuid.uuid4().hex}"
    partial.mkdir(parents=True)
    try:
        words = np.concatenate([rows.base, rows.tail], axis=1)
        for name, array in (("codes", words), ("modality", rows.modality), ("live", rows.live)):
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        _write_ids(partial / "ids.arrow", rows.ids)
        facts = {
            "index": table.description.digest,
            "rows": len(rows),
            "check": rows.check,
            "names": rows.names,
            "files": {path.name: digest(path) for path in sorted(partial.iterdir())},
        }
        write_facts(partial / MANIFEST, facts)
        folder = parent / f"{table.description.generation}-{len(rows)}-{partial.name[-8:]}"
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _remove_others(folder)
    # a copy would stay in memory: the files are read where they lie
    base = np.load(folder / "codes.npy", mmap_mode="r", allow_pickle=False)
    return dataclasses.replace(rows, base=base, tail=base[:, :0], folder=folder)


def _write_ids(path: Path, ids) -> None:
    pa = arrow()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.schema([("id", pa.string())])) as writer:
        for chunk in ids.chunks:
            writer.write_batch(pa.record_batch([chunk], names=["id"]))


def _remove_others(folder: Path) -> None:
    """A process that still reads removed files keeps what it has mapped; one that comes too late makes its own."""
    for other in folder.parent.iterdir():
        with contextlib.suppress(OSError):
            if not other.name.startswith(".") and _order(other) <= _order(folder) and other != folder:
                shutil.rmtree(other, ignore_errors=True)
            elif other.name.startswith(".") and time.time() - other.stat().st_mtime > STALE:
                shutil.rmtree(other, ignore_errors=True)


def _order(folder: Path) -> tuple[int, int]:
    """(generation, rows) of a folder, by its name."""
    generation, rows, *_ = [*folder.name.split("-"), "", ""]
    return (int(generation), int(rows)) if generation.isdecimal() and rows.isdecimal() else (-1, -1)


def _of_files(table: Table) -> Held | None:
    """What the newest whole folder of this table holds; None where there is none."""
    for folder in _folders(table):
        with contextlib.suppress(InputError, OSError, ValueError, KeyError, TypeError):
            return _load(folder, table.description)
    return None


def _folders(table: Table) -> list[Path]:
    """Those for the table's generation and no later rows, the newest first."""
    parent, latest = table.spot.beside / "fast", (table.description.generation, table.rows)
    found = parent.iterdir() if parent.is_dir() else ()
    return sorted((one for one in found if (latest[0], 1) <= _order(one) <= latest), key=_order, reverse=True)


def _load(folder: Path, description: Description) -> Held:
    """Raises InputError, or what a reader makes of a damaged file."""
    pa = arrow()
    facts = read_facts(folder / MANIFEST)
    for name, expected in facts["files"].items():
        if digest(folder / name) != expected:
            raise InputError(f"{folder / name}: expected what was written, found it damaged.")
    if facts["index"] != description.digest:
        raise InputError(f"{folder}: expected the files of this index, found those of another.")
    base = np.load(folder / "codes.npy", mmap_mode="r", allow_pickle=False)
    modality, live = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("modality", "live"))
    with pa.memory_map(str(folder / "ids.arrow")) as file:
        ids = pa.ipc.open_file(file).read_all()["id"]
    return Held(base, base[:, :0], ids, tuple(facts["names"]), modality, live, facts["check"], folder)


def check_files(table: Table) -> None:
    """Raises InputError naming the first of the fast structures that isn't what was written."""
    for folder in _folders(table):
        try:
            _load(folder, table.description)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: expected whole files, found them damaged: {error}.") from error


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """Writes JSON that carries its own digest, whole or not at all."""
    text = json.dumps(facts, sort_keys=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps({"facts": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}))
    partial.replace(path)


def read_facts(path: Path) -> dict[str, Any]:
    """What `write_facts` wrote. Raises InputError: missing or damaged."""
    try:
        content = json.loads(path.read_text())
        if hashlib.sha256(content["facts"].encode()).hexdigest() == content["sha256"]:
            return json.loads(content["facts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected the facts of an index, found them missing or damaged.") from error
    raise InputError(f"{path}: expected the facts of an index, found them damaged.")
