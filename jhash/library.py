"""What a run on streaming media hands on to later ones, in one file: prototypes, code book of classes, codes.

A later medium is trained from this file alone, and its codes are scored against the ones in it. It is a plain .npz:

    version            1
    method, bits       whose prototypes, how long the codes
    dataset, fold      of what data, and which fold of them asked ('': the test part)
    media, classes     names, media in the order of training, classes in the order of the labels' columns
    kept/<name>        what the last medium's stage kept: library [C, P, K], filled [C], ...
    codes/<part>       uint8 [N, ceil(K / 8)], bit j of a byte is entry 8w + j, of 'image/train', 'image/test', ...
    labels/<part>      0/1 [N, C]
    digest             SHA-256 over all of it
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jhash.types import InputError, Past
from jhash.workdir import write_json, written

VERSION = 1
FILE, EARLIER = "library.npz", "earlier.npz"  # what a run hands on, and the copy of what it was handed


@dataclasses.dataclass(frozen=True)
class Library:
    """The file's content; `parts` holds ±1 codes [N, K] and labels [N, C]."""

    method: str
    bits: int
    media: tuple[str, ...]
    classes: tuple[str, ...]
    kept: Mapping[str, np.ndarray]
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]]
    dataset: str = ""
    fold: str = ""

    @property
    def past(self) -> dict[str, Past]:
        """What a fold over later stages begins with."""
        return {"library": Past({}, {}, dict(self.kept))}

    def labels(self, part: str, classes: int) -> np.ndarray:
        """A stored part's labels with as many columns as the code book has by now, [N, classes]."""
        labels = self.parts[part][1]
        return np.pad(labels, [(0, 0), (0, classes - labels.shape[1])])


def write(path: Path, library: Library) -> None:
    """Writes the file, whole or not at all."""
    arrays = {
        "version": np.int64(VERSION),
        "method": np.array(library.method),
        "bits": np.int64(library.bits),
        "dataset": np.array(library.dataset),
        "fold": np.array(library.fold),
        "media": np.array(library.media),
        "classes": np.array(library.classes),
        **{f"kept/{name}": np.asarray(value) for name, value in library.kept.items()},
    }
    for part, (codes, labels) in library.parts.items():
        arrays[f"codes/{part}"] = np.packbits(codes > 0, axis=1, bitorder="little")
        arrays[f"labels/{part}"] = labels
    with written(path) as file:
        np.savez_compressed(file, digest=np.array(_digest(arrays)), **arrays)


def read(path: Path) -> Library:
    """Reads and checks the file. Raises InputError: none there, torn, altered, or of a later version."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected the library of a finished run, found no such file") from error
    except Exception as error:  # zipfile, zlib and numpy fail in a dozen ways on a torn file
        raise InputError(f"{path}: expected a whole library, found a torn or damaged file ({error})") from error
    version = arrays.get("version", np.array("none"))
    if version.tolist() != VERSION:
        raise InputError(f"{path}: expected a library of version {VERSION}, found version {version.tolist()!r}")
    if str(arrays.pop("digest", "")) != _digest(arrays):
        raise InputError(f"{path}: the library's content differs from what was written")
    bits = int(arrays["bits"])
    parts = {
        name.removeprefix("codes/"): (_unpacked(array, bits), arrays[name.replace("codes/", "labels/", 1)])
        for name, array in arrays.items()
        if name.startswith("codes/")
    }
    return Library(
        method=str(arrays["method"]),
        bits=bits,
        media=tuple(map(str, arrays["media"])),
        classes=tuple(map(str, arrays["classes"])),
        kept={name.removeprefix("kept/"): array for name, array in arrays.items() if name.startswith("kept/")},
        parts=parts,
        dataset=str(arrays["dataset"]),
        fold=str(arrays["fold"]),
    )


def find(workdir: str, seed: int, method: str, copy: Path | None = None) -> Path:
    """The library to begin with: this run's own copy, where it was made before, or that of the workdir it is asked of.

    Raises InputError: no such workdir or run.
    """
    if copy is not None and copy.is_file():
        return copy
    path = Path(workdir) / f"seed-{seed}" / method / FILE
    if not path.is_file():
        raise InputError(
            f"config.library {workdir!r}: expected the workdir of a finished run of {method} with seed {seed}, "
            f"found no {path}"
        )
    return path


def copy(path: Path, folder: Path) -> None:
    """Copies a library into a run's folder, and writes down where it came from and its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes()
    origin = {"copied from": str(path.resolve()), "sha256": hashlib.sha256(content).hexdigest()}
    write_json(folder / "earlier.json", origin)
    with written(folder / EARLIER) as file:
        file.write(content)


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    return np.where(np.unpackbits(packed, axis=1, count=bits, bitorder="little"), 1, -1).astype(np.int8)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype} {array.shape};".encode() + array.tobytes())
    return total.hexdigest()
