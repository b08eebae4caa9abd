"""Tables: named columns of equal length, in memory, in HDF5 files or in array_record shards.

Every class here follows `jhash.types.Table`. `read` answers any row numbers in the order asked for, repeats allowed;
`map` streams a whole table through a jitted function, so that memory holds a block or two and never the table.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import jax
import numpy as np
from jax.tree_util import Partial

from jhash.types import InputError, Table

BLOCK_BYTES = 128 * 2**20
BLOCK_ROWS = 4096  # a block against 2,000 centres is then 32 MB of distances, however narrow the items are


def block_rows(table: Table, columns: Sequence[str]) -> int:
    """Rows in a block of about 128 MB of these columns: between 1 and 4,096, and no more than the table has.

    A table made from another reads that one's items, which may be larger: its blocks bound ours.
    """
    item = sum(table.columns[c].dtype.itemsize * int(np.prod(table.columns[c].shape)) for c in columns)
    rows = max(1, min(len(table), BLOCK_ROWS, BLOCK_BYTES // max(item, 1)))
    return min(rows, block_rows(table.table, columns)) if isinstance(table, (Subset, Transformed)) else rows


def blocks(table: Table, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The table from top to bottom: (first row, column -> [b, ...]), the last block as short as it falls."""
    size = block_rows(table, columns)
    for start in range(0, len(table), size):
        yield start, table.read(np.arange(start, min(start + size, len(table))), columns)


def stream(table: Table, function: Callable, columns: Sequence[str], path: Path | None = None) -> np.ndarray:
    """`Table.map`: the function over {column: [b, ...]} -> [b, ...], block by block, into [N, ...].

    The function is compiled once, for one block shape: the last block is padded with its own first row and cut. Of a
    `jax.tree_util.Partial` the arrays are arguments, so that the same function with other arrays isn't compiled again.
    While one block is computed the next is read. With a path the result is written beside it under a temporary name,
    renamed when whole and returned memory-mapped.

    Raises:
        InputError: a block cannot be read, or the disk cannot hold the result.
    """
    size = block_rows(table, columns)
    struct = {c: jax.ShapeDtypeStruct((size, *table.columns[c].shape), table.columns[c].dtype) for c in columns}
    function = function if isinstance(function, Partial) else Partial(function)
    result = _apply.eval_shape(function, struct)  # traced once for all calls with this function
    if result.shape[:1] != (size,):
        raise ValueError(f"map over {table.name}: expected a result [{size}, ...] of a block, found {result.shape}")
    shape = (len(table), *result.shape[1:])
    parts = _computed(table, function, columns, size)
    if path is not None:
        return write_array(path, shape, result.dtype, (values for _, values in parts))
    out = np.empty(shape, result.dtype)
    for start, values in parts:
        out[start : start + len(values)] = values
    return out


@jax.jit
def _apply(function: Partial, block: Mapping) -> jax.Array:
    return function(block)


def _computed(table: Table, function: Callable, columns: Sequence[str], size: int) -> Iterator[tuple[int, np.ndarray]]:
    waiting = None
    for start, block in blocks(table, columns):
        count = min(size, len(table) - start)
        if count < size:
            block = {c: np.concatenate([v, np.repeat(v[:1], size - count, axis=0)]) for c, v in block.items()}
        if waiting is not None:
            yield waiting[0], np.asarray(waiting[2])[: waiting[1]]
        waiting = start, count, _apply(function, block)  # JAX computes it while the loop reads the next block
    if waiting is not None:
        yield waiting[0], np.asarray(waiting[2])[: waiting[1]]


def write_array(path: Path, shape: tuple[int, ...], dtype: np.dtype, parts: Iterator[np.ndarray]) -> np.ndarray:
    """Writes parts [b, ...] one after another as one .npy [N, ...] and returns it memory-mapped, read-only.

    The bytes are appended to `<path>.part` rather than through a memory map, so that a full disk is an error here and
    not a bus error later; the file gets its name when it is whole.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for values in parts:
                file.write(np.ascontiguousarray(values, dtype).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raise InputError(f"{path}: cannot be written ({size} bytes are needed): {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _struct(array: np.ndarray) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape[1:], array.dtype)


def _checked(rows: np.ndarray, size: int, name: str) -> np.ndarray:
    rows = np.asarray(rows, np.int64)
    if rows.ndim != 1 or (len(rows) and (rows.min() < 0 or rows.max() >= size)):
        raise IndexError(f"{name}: row numbers must be one-dimensional and between 0 and {size - 1}")
    return rows


class ArrayTable:
    """Columns that are arrays [N, ...], in memory or memory-mapped."""

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray]):
        lengths = {column: len(array) for column, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"{name}: columns must be of one length, found {lengths}.")
        self.name = name
        self.arrays = dict(arrays)
        self.columns = {column: _struct(array) for column, array in arrays.items()}

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
        rows = _checked(rows, len(self), self.name)
        return {column: np.asarray(self.arrays[column][rows]) for column in columns}

    map = stream


class H5Table:
    """`frames` in one HDF5 file or several shards end to end, with the small columns (labels) in memory.

    h5py serialises its calls, so a prefetching thread may read beside the main one.
    """

    def __init__(self, name: str, paths: Sequence[Path], dataset: str, arrays: Mapping[str, np.ndarray]):
        self.name = name
        self.paths = [Path(path) for path in paths]
        self.shards = [open_dataset(path, dataset) for path in self.paths]
        self.starts = np.cumsum([0] + [len(shard) for shard in self.shards])
        self.arrays = dict(arrays)
        first = self.shards[0]
        for path, shard in zip(self.paths, self.shards, strict=True):
            if shard.shape[1:] != first.shape[1:] or shard.dtype != first.dtype:
                raise InputError(
                    f"{path}: {dataset!r} must be like that of {self.paths[0].name}, [N, "
                    f"{', '.join(map(str, first.shape[1:]))}] {first.dtype}, found {list(shard.shape)} {shard.dtype}."
                )
        for column, array in self.arrays.items():
            if len(array) != len(self):
                raise InputError(f"{name}: {column} must have {len(self)} rows, one an item, found {len(array)}.")
        self.columns = {"frames": jax.ShapeDtypeStruct(first.shape[1:], first.dtype.newbyteorder("="))}
        self.columns |= {column: _struct(array) for column, array in self.arrays.items()}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
        rows = _checked(rows, len(self), self.name)
        return {c: self._frames(rows) if c == "frames" else self.arrays[c][rows] for c in columns}

    def _frames(self, rows: np.ndarray) -> np.ndarray:
        """Sorted, each row once, neighbours in one call; then scattered back to the order asked for."""
        unique, places = np.unique(rows, return_inverse=True)
        values = np.empty((len(unique), *self.columns["frames"].shape), self.columns["frames"].dtype)
        cuts = np.flatnonzero((np.diff(unique) != 1) | np.isin(unique[1:], self.starts)) + 1
        for start, stop in zip(np.r_[0, cuts], np.r_[cuts, len(unique)], strict=True):
            if start == stop:
                continue
            shard = int(np.searchsorted(self.starts, unique[start], side="right")) - 1
            first = unique[start] - self.starts[shard]
            try:
                self.shards[shard].read_direct(values[start:stop], np.s_[first : first + stop - start])
            except OSError as error:
                where = f"rows {first} to {first + stop - start - 1}"
                raise InputError(
                    f"{self.paths[shard]}: {where} cannot be read, the file is damaged: {error}"
                ) from error
        return values if len(unique) == len(rows) and np.array_equal(unique, rows) else values[places]

    map = stream


def open_dataset(path: Path, dataset: str) -> h5py.Dataset:
    """The named dataset of an HDF5 file, left open for reading.

    Raises:
        InputError: no such file, not HDF5, cut short, or without that dataset of numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        file = h5py.File(path, "r")
        found = file.get(dataset)
        names = ", ".join(sorted(file)) or "nothing"
    except OSError as error:
        raise InputError(f"{path}: not a whole HDF5 file (cut short or damaged): {error}") from error
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{path}: expected a dataset {dataset!r}, found {names}.")
    if found.dtype.kind not in "fiub" or found.ndim == 0:
        raise InputError(f"{path}: {dataset!r} must be an array of numbers, found {found.dtype}.")
    return found


class RecordTable:
    """One large column in a TFDS array_record build (see `jhash.data.convert`), the small ones (labels) in memory."""

    def __init__(
        self, name: str, directory: Path, split: str, arrays: Mapping[str, np.ndarray], column: str = "frames"
    ):
        import tensorflow_datasets as tfds  # half a second that readers of other files need not wait for

        self.name, self.column = name, column
        builder = tfds.builder_from_directory(directory)
        self.paths = sorted(Path(directory).glob(f"*-{split}.array_record-*"))
        self.source = builder.as_data_source(split=split)
        self.arrays = dict(arrays)
        for small, array in self.arrays.items():
            if len(array) != len(self):
                raise InputError(f"{name}: {small} must have {len(self)} rows, one an item, found {len(array)}.")
        item = self.source[0][column]
        self.columns = {column: jax.ShapeDtypeStruct(item.shape, item.dtype)}
        self.columns |= {small: _struct(array) for small, array in self.arrays.items()}

    def __len__(self) -> int:
        return len(self.source)

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
        rows = _checked(rows, len(self), self.name)
        return {c: self._items(rows) if c == self.column else self.arrays[c][rows] for c in columns}

    def _items(self, rows: np.ndarray) -> np.ndarray:
        unique, places = np.unique(rows, return_inverse=True)
        item = self.columns[self.column]
        values = np.empty((len(unique), *item.shape), item.dtype)
        for start in range(0, len(unique), 64):
            wanted = unique[start : start + 64].tolist()
            for place, example in enumerate(self.source.__getitems__(wanted), start):
                if int(example["id"]) != unique[place]:
                    raise InputError(
                        f"{self.name}: record {unique[place]} carries id {int(example['id'])}: rebuild it."
                    )
                values[place] = example[self.column]
        return values[places]

    map = stream


@dataclasses.dataclass(frozen=True)
class Subset:
    """The given rows of a table, in the given order: a fold, the queries of a split."""

    table: Table
    rows: np.ndarray
    name: str

    @property
    def columns(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        return self.table.columns

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
        return self.table.read(self.rows[_checked(rows, len(self), self.name)], columns)

    map = stream


@dataclasses.dataclass(frozen=True)
class SideBySide:
    """Unpaired tables read together, as long as the longest: row i is row i mod n of each, columns 'image:features'."""

    tables: Mapping[str, Table]
    name: str

    @property
    def columns(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        return {f"{one}:{c}": shape for one, table in self.tables.items() for c, shape in table.columns.items()}

    def __len__(self) -> int:
        return max(map(len, self.tables.values()))

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
        rows, block = _checked(rows, len(self), self.name), {}
        for one, table in self.tables.items():
            wanted = [c.removeprefix(f"{one}:") for c in columns if c.startswith(f"{one}:")]
            read = table.read(rows % len(table), wanted) if wanted else {}
            block |= {f"{one}:{c}": values for c, values in read.items()}
        return block

    map = stream


class Transformed:
    """A table one of whose columns passes through a pure function of blocks, [R, ...] -> [R, ...], as it is read."""

    def __init__(self, table: Table, function: Callable[[np.ndarray], np.ndarray], column: str = "frames"):
        self.table, self.function, self.name, self.column = table, function, table.name, column
        stored = table.columns[column]
        given = jax.dtypes.canonicalize_dtype(stored.dtype)  # float64 reaches the function as float32
        after = jax.eval_shape(function, jax.ShapeDtypeStruct((1, *stored.shape), given))
        self.columns = dict(table.columns) | {column: jax.ShapeDtypeStruct(after.shape[1:], after.dtype)}

    def __len__(self) -> int:
        return len(self.table)

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
        block = self.table.read(rows, columns)
        if self.column in block:
            block[self.column] = np.asarray(self.function(block[self.column]))
        return block

    map = stream


def resident(table: Table) -> ArrayTable:
    """The whole table in memory: for what is read many times and is small."""
    return ArrayTable(table.name, table.read(np.arange(len(table)), list(table.columns)))
