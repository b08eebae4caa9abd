"""Input that is wrong, said in one sentence: where, what was expected, what was found."""

import difflib
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import scipy.io

from jhash.data.source import blocks
from jhash.types import InputError, Table


def load_npz(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Those arrays of an .npz that it has, by default all. Raises InputError: no file, cut short, or with a pickle."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        with open(path, "rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: expected an .npz archive of arrays, found a single array.")
            return {name: arrays[name] for name in arrays.files if names is None or name in names}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error) from error  # RuntimeError: a password, or a compression that isn't known


def npz_names(path: Path) -> list[str]:
    """The names of the arrays in an .npz."""
    with np.load(path, allow_pickle=False) as arrays:
        return sorted(arrays.files)


def load_npy(path: Path) -> np.ndarray:
    """An .npy, memory-mapped. Raises InputError: missing, cut short, or a pickle, which is never loaded."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error)
    if "pickle" in reason or "object" in reason.lower():
        return InputError(f"{path}: holds pickled Python objects, which are never loaded: save arrays of numbers.")
    return InputError(f"{path}: not a whole {path.suffix} file (cut short or damaged): {reason}")


def load_mat(path: Path, name: str, cell: int | None = None) -> np.ndarray:
    """One array of numbers from a .mat file, version 5 (SciPy) or 7.3 (HDF5, stored transposed).

    Args:
        path: the file.
        name: the variable.
        cell: where the variable is a cell array, which of its cells, counted from 0.

    Raises:
        InputError: missing, cut short, without that name or cell, or not an array of numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        array, found = (_mat73 if h5py.is_hdf5(path) else _mat5)(path, name, cell)
    except Exception as error:  # SciPy's reader fails in a dozen ways on a file that was cut short
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: not a whole .mat file (cut short or damaged): {reason}") from error
    if array is None and name in found and cell is not None:
        raise InputError(f"{path}: {name!r} must be a cell array of at least {cell + 1} cells.")
    if array is None:
        raise InputError(f"{path}: expected an array {name!r}, found {', '.join(found) or 'nothing'}.")
    if hasattr(array, "toarray"):
        array = array.toarray()
    if array.dtype.kind not in "fiub":
        said = "; names are read from .npz and .h5 alone" if array.dtype.kind in "OU" else ""
        raise InputError(f"{path}: {name!r} must be an array of numbers, found {array.dtype}{said}.")
    return array


def _mat5(path: Path, name: str, cell: int | None) -> tuple[np.ndarray | None, list[str]]:
    """The array, None where there is none, and then the names of all variables; else no other variable is read."""
    array = scipy.io.loadmat(path, variable_names=[name], spmatrix=False).get(name)
    if cell is not None and array is not None:
        array = array.ravel()[cell] if array.dtype == object and array.size > cell else None
    if array is not None:
        return array, []
    # whole: SciPy skips what isn't asked for without a look whether it is there
    variables = scipy.io.loadmat(path, spmatrix=False)
    return None, sorted(found for found in variables if not found.startswith("__"))


def _mat73(path: Path, name: str, cell: int | None) -> tuple[np.ndarray | None, list[str]]:
    with h5py.File(path, "r") as file:
        array = file.get(name)
        if cell is not None and isinstance(array, h5py.Dataset):
            cells = array[()].T.ravel() if h5py.check_ref_dtype(array.dtype) else ()
            array = file[cells[cell]] if len(cells) > cell else None
        array = array[()].T if isinstance(array, h5py.Dataset) else None
        return array, sorted(key for key in file if not key.startswith("#"))


def one_hot(classes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Class numbers [N] -> labels [N, L] of 0/1, uint8, one column for each of the sorted `names` [L]."""
    return (np.asarray(classes)[:, None] == np.asarray(names)[None, :]).astype(np.uint8)


def check_kinds(stored: Mapping[str, np.ndarray]) -> None:
    """Labels of all parts, file -> array, are numbers, or names. Raises InputError: neither, or one here, one there."""
    kinds = {file: "names" if array.dtype.kind in "US" else "numbers" for file, array in stored.items()}
    for file, array in stored.items():
        if array.dtype.kind not in "fiubUS":
            raise InputError(f"{file}: labels must be numbers or names, found {array.dtype}.")
    if len(set(kinds.values())) > 1:
        raise InputError(f"labels must be of one kind in all parts, found {kinds}.")


def check_labels(where: str, labels: np.ndarray, items: int) -> np.ndarray:
    """Labels [N, L] as uint8 0/1. Raises InputError: another rank or length, other values, not a single 1."""
    if labels.ndim != 2:
        raise InputError(f"{where}: labels must be [N, classes], found {list(labels.shape)}.")
    if len(labels) != items:
        raise InputError(f"{where}: labels must have {items} rows, one an item, found {list(labels.shape)}.")
    wrong = np.argwhere((labels != 0) & (labels != 1))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(f"{where}: labels must be 0 or 1, found {labels[row, column]} at row {row}, column {column}.")
    return np.asarray(labels, np.uint8)


def check_shape(table: Table, like: Table | None = None) -> None:
    """Frames are [N, T, C] of numbers, N > 0; with `like`, T and C equal those of another table.

    Raises:
        InputError: it is not so.
    """
    frames = table.columns["frames"]
    shape = [len(table), *frames.shape]
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"{table.name}: frames must be [items, frames, width], none of them 0, found {shape}.")
    if jnp.dtype(frames.dtype).kind not in "fiub":
        raise InputError(f"{table.name}: frames must be numbers, found {frames.dtype}.")
    if like is not None and frames.shape != like.columns["frames"].shape:
        expected = list(like.columns["frames"].shape)
        raise InputError(
            f"{table.name}: items must be {expected} (frames, width) like those of {like.name}, found {shape[1:]}."
        )


def check_finite(table: Table) -> None:
    """Streams all frames. Raises InputError naming the first item and frame with a NaN or an infinity."""
    for start, block in blocks(table, ["frames"]):
        finite = np.isfinite(block["frames"])
        if not finite.all():
            row, frame, column = np.argwhere(~finite)[0]
            value = block["frames"][row, frame, column]
            raise InputError(
                f"{table.name}: features must be finite, found {value} in item {start + row}, frame {frame}, "
                f"dimension {column}."
            )


def check_labelled(tables: Sequence[Table], why: str) -> None:
    """Raises InputError naming the first table without labels, and what they are needed for."""
    for table in tables:
        if "labels" not in table.columns:
            raise InputError(f"{table.name}: has no labels, which {why} needs.")


def check_table(table: Table, like: Table | None = None) -> None:
    """Shape, labels and every number of a table, streamed. Raises InputError with one sentence."""
    check_shape(table, like)
    if "labels" in table.columns:
        check_labels(table.name, table.read(np.arange(len(table)), ["labels"])["labels"], len(table))
    check_finite(table)


def near(word: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' where one of the known words is close, else ''."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
