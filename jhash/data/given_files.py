"""Arrays that somebody else's program wrote: which array of a file is meant, found by name or by its shape.

A file is named by its path, and where it holds several arrays by `path:array`, such as `codes.mat:B_test`.
"""

import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import scipy.io

from jhash.data.files import read_array
from jhash.data.validate import near
from jhash.types import InputError

ENDINGS = (".npy", ".npz", ".mat", ".h5", ".hdf5")
NUMBERS = 2**31  # in one array of a packed file, which could unpack to any size: 33 million codes of 64 bits
# MATLAB's classes
NO_NUMBERS = ("char", "cell", "struct", "object", "function", "function_handle", "opaque", "unknown")

Shape = tuple[int, ...]
Source = np.ndarray | str | Path  # an array, or the name of its file


class Stored(NamedTuple):
    """An array as it was given."""

    array: np.ndarray
    field: str  # 'query', 'database labels': what a sentence calls it
    source: str = ""  # its file, as the user wrote it; '' of an array in memory
    place: str = ""  # its file and its name there; '' of an array in memory

    @property
    def where(self) -> str:
        return f"{self.source}: {self.field}" if self.source else self.field

    def wrong(self, expected: str, found: object) -> InputError:
        return InputError(f"{self.where}: expected {expected}, found {found}.")

    def line(self, what: str) -> str:
        return f"{self.field}: {what}" + (f", from {self.source}" if self.source else "")


def find(given: Source, field: str, fits: Callable[[Shape], bool], taken: Sequence[str] = ()) -> Stored:
    """The array itself, or the one that a file's name means: where it names none, the only one whose shape fits.

    Args:
        given: an array, 'path' or 'path:array'.
        field: what a sentence calls it.
        fits: whether an array of a shape could be meant.
        taken: `place` of arrays that are something else already, and so aren't meant.

    Raises:
        InputError: no such file or array, a damaged file, several arrays that fit, or one that isn't of numbers.
    """
    if not isinstance(given, (str, Path)):
        stored = Stored(np.asarray(given), field)
    else:
        path, name = split(str(given), field)
        if path.suffix != ".npy":
            name = _named(path, name, field, fits, taken)
        stored = Stored(read_array(path, name), field, str(given), f"{path}:{name}")
        if stored.place in taken:
            raise stored.wrong("another array than the codes", "the same")
    if not isinstance(stored.array, np.ndarray) or stored.array.dtype.kind not in "fiub":
        raise stored.wrong("an array of numbers", getattr(stored.array, "dtype", "an archive of several"))
    return stored


def split(given: str, field: str) -> tuple[Path, str]:
    """'path:array' -> its halves, 'path' -> itself and ''. Paths and arrays may have colons in their own names."""
    cuts = [len(given), *(place for place in range(len(given)) if given[place] == ":")]
    cut = next((cut for cut in cuts if Path(given[:cut]).is_file()), None)
    if cut is None:
        raise InputError(f"{given}: {field}: expected a file, found none of that name.")
    path, name = Path(given[:cut]), given[cut + 1 :]
    if path.suffix not in ENDINGS:
        raise InputError(f"{path}: {field}: expected a file ending in {', '.join(ENDINGS)}, found {path.suffix!r}.")
    if name and path.suffix == ".npy":
        raise InputError(f"{path}: {field}: expected no array's name, for an .npy holds one array, found {name!r}.")
    return path, name


def _named(path: Path, name: str, field: str, fits: Callable[[Shape], bool], taken: Sequence[str]) -> str:
    held = shapes(path, field)
    listed = ", ".join(f"{name} {list(shape)}" for name, shape in held.items()) or "nothing"
    if name and name not in held:
        raise InputError(f"{path}: {field}: expected an array {name!r}, found {listed}{near(name, held)}.")
    if not name:
        left = [one for one in held if f"{path}:{one}" not in taken]
        fitting = [one for one in left if fits(held[one])] if len(left) > 1 else left
        if len(fitting) != 1:
            say = f"; name it, as in {path}:{(fitting or left)[0]}" if left else ""
            raise InputError(f"{path}: {field}: expected one array of a shape that fits, found {listed}{say}.")
        name = fitting[0]
    if math.prod(held[name]) > NUMBERS:
        raise InputError(f"{path}: {field}: expected at most {NUMBERS:,} numbers, found {name} {list(held[name])}.")
    return name


def shapes(path: Path, field: str) -> dict[str, Shape]:
    """The arrays of numbers in an .npz, .mat or .h5 file, by their headers alone."""
    try:
        if path.suffix == ".npz":
            return _npz_shapes(path)
        if path.suffix == ".mat" and not h5py.is_hdf5(path):
            return {name: shape for name, shape, kind in scipy.io.whosmat(path) if kind not in NO_NUMBERS}
        return _hdf5_shapes(path)
    except Exception as error:  # SciPy's reader fails in a dozen ways on a file that was cut short
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{path}: {field}: expected a whole {path.suffix} file, found it damaged or cut short: {reason}"
        ) from error


def _npz_shapes(path: Path) -> dict[str, Shape]:
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                old = np.lib.format.read_magic(file) == (1, 0)
                read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            if dtype.hasobject:
                raise ValueError(f"{member.filename!r} is a pickle, which is never loaded: save arrays of numbers.")
            if dtype.kind in "fiub":
                shapes[member.filename.removesuffix(".npy")] = shape
    return shapes


def _hdf5_shapes(path: Path) -> dict[str, Shape]:
    """'array' or 'group/array' -> its shape; of a .mat as MATLAB sees it, which is turned round in the file."""
    shapes = {}

    def visit(name, found):
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiub" or name.startswith("#"):
            return
        kind = found.attrs.get("MATLAB_class", b"")
        if (kind.decode() if isinstance(kind, bytes) else str(kind)) not in NO_NUMBERS:
            shapes[name] = found.shape[::-1] if path.suffix == ".mat" else found.shape

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return shapes
