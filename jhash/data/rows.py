"""Arrays in files, whatever their size: which one is meant, and its rows from top to bottom, a block at a time."""

import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from jhash.data import given_files
from jhash.data.source import open_dataset
from jhash.data.validate import load_mat, load_npy, load_npz, near
from jhash.types import InputError

Shape = tuple[int, ...]


class Rows(NamedTuple):
    """An array in a file; only what `read` returns is in memory, but of a .mat of version 5, which is read whole."""

    path: Path
    name: str  # of the array in its file; '' in an .npy
    shape: Shape
    read: Callable[[int, int], np.ndarray]  # (start, stop) -> its rows, native in byte order


def open_rows(given: str, field: str, fits: Callable[[Shape], bool]) -> Rows:
    """The array that 'path' or 'path:array' means: where no array is named, the only one whose shape fits.

    Args:
        given: an .npy, .npz, .mat, .h5 or .hdf5 file.
        field: what a sentence calls it.
        fits: whether an array of a shape could be meant.

    Raises:
        InputError: no such file or array, several that fit, a damaged file, a pickle, or one that isn't of numbers.
    """
    path, name = given_files.split(given, field)
    if path.suffix == ".npy":
        array = load_npy(path)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise InputError(
                f"{path}: {field}: expected an array of numbers, found {getattr(array, 'dtype', 'several')}."
            )
        return Rows(path, "", array.shape, lambda start, stop: _plain(array[start:stop]))
    name = _chosen(path, name, field, fits)
    if path.suffix == ".npz":
        return _of_npz(path, name)
    if path.suffix == ".mat" and not h5py.is_hdf5(path):
        array = load_mat(path, name)
        return Rows(path, name, array.shape, lambda start, stop: _plain(array[start:stop]))
    return _of_hdf5(path, name)


def _chosen(path: Path, name: str, field: str, fits: Callable[[Shape], bool]) -> str:
    shapes = given_files.shapes(path, field)
    listed = ", ".join(f"{one} {list(shape)}" for one, shape in shapes.items()) or "nothing"
    if name:
        if name not in shapes:
            raise InputError(f"{path}: {field}: expected an array {name!r}, found {listed}{near(name, shapes)}.")
        return name
    fitting = list(shapes) if len(shapes) == 1 else [one for one in shapes if fits(shapes[one])]
    if len(fitting) != 1:
        say = f"; name it, as in {path}:{(fitting or list(shapes))[0]}" if shapes else ""
        raise InputError(f"{path}: {field}: expected one array of a shape that fits, found {listed}{say}.")
    return fitting[0]


def _plain(values: np.ndarray) -> np.ndarray:
    """In memory, in C order and native bytes."""
    return np.array(values, values.dtype.newbyteorder("="), order="C")


def _of_hdf5(path: Path, name: str) -> Rows:
    """MATLAB writes an array's axes in the opposite order."""
    dataset, turned = open_dataset(path, name), path.suffix == ".mat"

    def read(start: int, stop: int) -> np.ndarray:
        try:
            return _plain(dataset[..., start:stop].T if turned else dataset[start:stop])
        except OSError as error:
            where = f"rows {start} to {stop - 1} of {name!r}"
            raise InputError(f"{path}: {where} cannot be read, the file is damaged: {error}") from error

    return Rows(path, name, dataset.shape[::-1] if turned else dataset.shape, read)


def _of_npz(path: Path, name: str) -> Rows:
    member = _Member(path, name)
    if not member.column_major:
        return Rows(path, name, member.shape, member.read)
    if math.prod(member.shape) > given_files.NUMBERS:  # its rows lie scattered over all of it
        raise InputError(f"{path}: {name!r}: expected row-major order of so large an array, found column-major.")
    array = load_npz(path, [name])[name]
    return Rows(path, name, array.shape, lambda start, stop: _plain(array[start:stop]))


class _Member:
    """An array of an .npz, unpacked on the way from its beginning to the rows that are read."""

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        self.file = zipfile.ZipFile(path).open(f"{name}.npy")
        old = np.lib.format.read_magic(self.file) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        self.shape, self.column_major, self.dtype = read(self.file)
        self.begin = self.file.tell()

    def read(self, start: int, stop: int) -> np.ndarray:
        row = self.dtype.itemsize * math.prod(self.shape[1:])
        try:
            self.file.seek(self.begin + start * row)  # no step at all from one block to the next
            data = self.file.read((stop - start) * row)
            if len(data) != (stop - start) * row:
                raise EOFError(f"it ends before row {stop} of {self.shape[0]}")
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self.path}: {self.name!r} is cut short or damaged: {error}") from error
        return _plain(np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:]))
