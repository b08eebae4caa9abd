"""Pairs of an image and a text with several labels, as the programs that came after DCMH hand them round.

    mirflickr25k  FLICKR-25K.mat: images, YAll [20015, 1386], LAll [20015, 24]
    nuswide_tc21  NUS-WIDE-TC21.mat: image, text [190421, 1000], label [190421, 21]
    mscoco        MS-COCO.mat: images, tags [N, 2000], labels [N, 80], in some files 91

Each also circulates as three files, …-iall.mat, …-yall.mat and …-lall.mat, with the fields IAll, YAll and LAll. Nothing
official says what these files hold: names and orders of axes are those that public programs read. Images are pictures
or features, in HDF5, which a .mat of version 7.3 is, and then read row by row, or in a .mat of version 5, whose arrays
are 2 GB at most, and then read whole. Single rows are read slowly where HDF5 is compressed or has the pairs as its last
axis: such files are better converted (see `jhash.data.convert`). Where a file is missing an error says so; nothing is
ever taken in its place.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import scipy.io

from jhash.data import published
from jhash.data.source import RecordTable, Subset, open_dataset, stream
from jhash.data.validate import check_labels, load_mat, load_npy, near
from jhash.types import InputError, Table

ENDINGS = (".mat", ".h5", ".h5py", ".hdf5")
SLAB_BYTES = 64 * 2**20  # of a matrix of words, which may stand in the file as eight bytes a word


@dataclasses.dataclass(frozen=True)
class Pairs:
    """A dataset: the fields of its files, the first that is there is read, and the protocol it is measured by."""

    images: tuple[str, ...]
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    queries: int
    training: int
    wordless: bool = True  # whether pairs without a single word are kept


FIELDS: Mapping[str, Pairs] = {
    "mirflickr25k": Pairs(("images", "IAll"), ("YAll",), ("LAll",), 2_000, 10_000),
    # The three files hold 195,834 pairs: those without a tag are taken to be what the papers' 190,421 lack. DCMH's own
    # queries here are 2,100, and CMGCAH prints no split: 2,000 as of the others.
    "nuswide_tc21": Pairs(("image", "IAll"), ("text", "YAll"), ("label", "LAll"), 2_000, 10_500, wordless=False),
    "mscoco": Pairs(("images", "IAll"), ("tags", "YAll"), ("labels", "LAll"), 2_000, 10_000),
}


def open_pairs(config: Mapping[str, Any], seed: int) -> tuple[dict[str, dict[str, Table]], tuple[str, ...]]:
    """A dataset of pairs, divided by the protocol of DCMH (Jiang and Li 2017, section 4.1).

    The pairs are drawn into a random order by the seed: the first `queries` are the test part, the rest the database,
    of which the first `training` are the training part. Row i of both media is one pair; the training part is the
    first rows of the database. Pairs without a class, and of NUS-WIDE those without a word, are left out before.

    Args:
        config: `name`, a key of FIELDS, and `file`, the one file or a folder, or `images`, `texts` and `labels_file`;
            or, with `format` 'array_record', `dir` and `storage` of a conversion. `queries` and `training` where they
            aren't those of FIELDS; 0 stands for these.
        seed: of the random order.

    Returns:
        part -> medium -> table of `features` and `labels` [C] uint8, for 'train', 'test', 'database' and 'image',
        'text'. Texts are [W] float32, images [H, W, 3] uint8 or features [d] float32. And the names of the classes,
        their places 0 … C - 1.

    Raises:
        InputError: one sentence on what is missing or wrong: the name, a file, a field, its numbers.
    """
    name, form = config.get("name", ""), config.get("format", "published")
    if name not in FIELDS:
        raise InputError(f"data.name: expected one of {', '.join(FIELDS)}, found {name!r}{near(name, FIELDS)}.")
    if form == "published":
        tables = open_published(name, find(name, config))
    elif form == "array_record":
        tables = open_records(name, config.get("dir", ""), config.get("storage", "float32"))
    else:
        raise InputError(f"data.format: expected 'published' or 'array_record', found {form!r}.")
    queries = config.get("queries", 0) or FIELDS[name].queries
    training = config.get("training", 0) or FIELDS[name].training
    rows = split_rows(len(tables["image"]), queries, training, seed)
    parts = {
        part: {medium: Subset(table, chosen, f"{table.name} ({medium}, {part})") for medium, table in tables.items()}
        for part, chosen in rows.items()
    }
    return parts, tuple(str(place) for place in range(tables["text"].columns["labels"].shape[0]))


def split_rows(size: int, queries: int, training: int, seed: int) -> dict[str, np.ndarray]:
    """part -> rows of a random order; training and other rows ascend, so that files are read from top to bottom.

    Raises:
        InputError: fewer than one query or training pair, or more of both than there are pairs.
    """
    if queries < 1 or training < 1 or queries + training > size:
        raise InputError(
            f"data.queries and data.training: expected 1 or more of each and {size} pairs together at most, "
            f"found {queries} and {training}."
        )
    order = np.random.default_rng([seed, 6]).permutation(size)
    test, train, rest = (np.sort(rows) for rows in np.split(order, [queries, queries + training]))
    return {"train": train, "test": test, "database": np.concatenate([train, rest])}


def find(name: str, config: Mapping[str, Any]) -> tuple[Path, Path, Path]:
    """The files of images, texts and labels, three times the same where one holds all.

    `images`, `texts` and `labels_file` name them, or `file` names the one, or a folder in which, or in whose folders,
    stand the one or the three that end in iall, yall and lall.

    Raises:
        InputError: no such file, with what must be in it, or several to choose from.
    """
    wanted = dict(zip(("images", "texts", "labels_file"), dataclasses.astuple(FIELDS[name])[:3], strict=True))
    given = {field: config.get(field, "") for field in wanted}
    if any(given.values()):
        for field, path in given.items():
            if not path or not Path(path).is_file():
                fields = " or ".join(wanted[field])
                raise InputError(f"data.{field}: expected a file of {name} that holds {fields}, found {str(path)!r}.")
        return Path(given["images"]), Path(given["texts"]), Path(given["labels_file"])
    path = config.get("file", "")
    if path and Path(path).is_file():
        return (Path(path),) * 3
    needed = f"a file of {name} with {', '.join(' or '.join(fields) for fields in wanted.values())}"
    needed += ", or three that end in iall, yall and lall"
    if not path:
        raise InputError(f"data.file: expected {needed}; found nothing.")
    files = sorted(file for each in ("*", "*/*") for file in Path(path).glob(each) if file.suffix in ENDINGS)
    ends = [[file for file in files if file.stem.lower().endswith(end)] for end in ("iall", "yall", "lall")]
    if all(len(found) == 1 for found in ends):
        return ends[0][0], ends[1][0], ends[2][0]
    if len(files) == 1 and not any(ends):
        return (files[0],) * 3
    listed = ", ".join(file.name for file in files) or "none"
    raise InputError(f"data.file: expected {needed}, at {str(path)!r}; found {listed}.")


@dataclasses.dataclass(frozen=True)
class Stored:
    """An array of a file. `shape` and `items`, the axis that counts the pairs, are as its writer saw them.

    What MATLAB writes as [224, 224, 3, N] h5py sees as [N, 3, 224, 224], width before height. A file that has this
    shape without MATLAB's mark is taken to be another program's, height before width.
    """

    where: str  # the file and the field
    values: h5py.Dataset | np.ndarray
    turned: bool = False  # MATLAB wrote it into HDF5, where its axes stand in reverse order
    items: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[::-1] if self.turned else self.values.shape

    @property
    def item(self) -> tuple[int, ...]:
        return self.shape[: self.items] + self.shape[self.items + 1 :]

    @property
    def axis(self) -> int:
        """The axis that counts the pairs as it stands in the file."""
        return self.values.ndim - 1 - self.items if self.turned else self.items

    def between(self, start: int, stop: int, axis: int) -> np.ndarray:
        """What stands in the file between two places of one of its axes."""
        try:
            return self.values[(slice(None),) * axis + (slice(start, stop),)]
        except OSError as error:
            raise InputError(f"{self.where} cannot be read, the file is damaged: {error}") from error

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Ascending rows [R], each once -> [R, ...], neighbours in one call, other axes in the order of the writer."""
        result, place = np.empty((len(rows), *self.item), self.values.dtype.newbyteorder("=")), 0
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else ():
            block = self.between(int(run[0]), int(run[-1]) + 1, self.axis)
            result[place : place + len(run)] = np.moveaxis(block.T if self.turned else block, self.items, 0)
            place += len(run)
        return result


def stored(path: Path, fields: Sequence[str]) -> Stored:
    """The first of the fields that a file has.

    Raises:
        InputError: not a whole file, none of the fields in it, or not an array of numbers.
    """
    hdf5 = h5py.is_hdf5(path)
    if not hdf5 and path.suffix != ".mat":
        raise InputError(f"{path}: expected a .mat file, or HDF5, found {path.suffix or 'no ending'}.")
    try:
        if hdf5:
            with h5py.File(path, "r") as file:
                found = sorted(key for key in file if not key.startswith("#"))
        else:
            found = sorted(name for name, _, _ in scipy.io.whosmat(path))
    except Exception as error:  # SciPy's reader fails in a dozen ways on a file that was cut short
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: not a whole {path.suffix} file (cut short or damaged): {reason}") from error
    field = next((field for field in fields if field in found), None)
    if field is None:
        expected, listed = " or ".join(map(repr, fields)), ", ".join(found) or "nothing"
        raise InputError(f"{path}: expected an array {expected}, found {listed}.")
    where = f"{path}: {field!r}"
    if not hdf5:
        return Stored(where, load_mat(path, field))
    dataset = open_dataset(path, field)
    return Stored(where, dataset, turned="MATLAB_class" in dataset.attrs)


def aligned(images: Stored, texts: Stored, labels: Stored) -> tuple[Stored, ...]:
    """The three arrays with the axis of the pairs, the first or the last: the one whose length they share.

    Raises:
        InputError: texts or labels that aren't matrices, images of another rank, or no length that all share.
    """
    for each, ranks in ((images, (2, 4)), (texts, (2,)), (labels, (2,))):
        if len(each.shape) not in ranks or 0 in each.shape:
            also = " or pictures of three channels" if 4 in ranks else ""
            raise InputError(f"{each.where} must be [items, width]{also}, nothing of it 0, found {list(each.shape)}.")
    arrays = images, texts, labels
    common = [size for size in labels.shape if all(size in (each.shape[0], each.shape[-1]) for each in arrays)]
    if not common:
        found = ", ".join(f"{list(each.shape)} in {each.where}" for each in arrays)
        raise InputError(f"images, texts and labels must be of one length, found {found}.")
    return tuple(
        dataclasses.replace(each, items=0 if each.shape[0] == common[0] else len(each.shape) - 1) for each in arrays
    )


def image_struct(images: Stored) -> jax.ShapeDtypeStruct:
    """What one image is read as: [H, W, 3] uint8 or [d] float32. Raises InputError: pictures without three channels."""
    item = images.item
    if len(item) == 1:
        return jax.ShapeDtypeStruct(item, np.float32)
    if 3 not in (item[0], item[2]):
        raise InputError(f"{images.where} must be pictures of three channels, first or last, found {list(item)} each.")
    return jax.ShapeDtypeStruct(item if item[2] == 3 else (*item[1:], 3), np.uint8)


def read_images(images: Stored, rows: np.ndarray) -> np.ndarray:
    """Ascending rows [R] -> [R, H, W, 3] uint8 or [R, d] float32.

    Raises:
        InputError: pictures of other than whole numbers from 0 to 255, features that aren't finite.
    """
    block = images.read(rows)
    if block.ndim == 2:
        with np.errstate(over="ignore"):
            block = block.astype(np.float32)
    right, words = (np.isfinite(block), "finite") if block.ndim == 2 else (_bytes(block), "whole numbers of 0 to 255")
    if not right.all():
        place = tuple(np.argwhere(~right)[0])
        raise InputError(f"{images.where} must be {words}, found {block[place]} in item {rows[place[0]]}.")
    if block.ndim == 4:
        return np.ascontiguousarray(block if block.shape[3] == 3 else np.moveaxis(block, 1, 3), np.uint8)
    return block


def _bytes(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.True_
    return (values >= 0) & (values <= 255) & (values == np.rint(values))


def matrix(array: Stored) -> np.ndarray:
    """An array [N, W] in memory: as uint8 where all is whole and of 0 to 255, as counts of words are, else float32.

    Raises:
        InputError: numbers that aren't finite.
    """
    values, whole = array.values, np.empty(array.values.shape, np.uint8)
    step = max(1, SLAB_BYTES // (values.shape[1] * values.dtype.itemsize))
    for start in range(0, len(values), step):
        with np.errstate(over="ignore"):
            slab = array.between(start, start + step, 0).astype(np.float32)
        if not np.isfinite(slab).all():
            place = tuple(np.argwhere(~np.isfinite(slab))[0])
            item = place[1] if array.axis else start + place[0]
            raise InputError(f"{array.where} must be finite, found {slab[place]} in item {item}.")
        if whole.dtype == np.uint8 and not _bytes(slab).all():
            whole = whole.astype(np.float32)
        whole[start : start + step] = slab
    return np.ascontiguousarray(whole.T if array.axis else whole)


class ReadTable:
    """One medium: `features` that a function reads, ascending rows [R] -> [R, ...], with `labels` in memory."""

    def __init__(self, name: str, item: jax.ShapeDtypeStruct, function: Callable, labels: np.ndarray):
        self.name, self.function, self.labels = name, function, labels
        self.columns = {"features": item, "labels": jax.ShapeDtypeStruct(labels.shape[1:], labels.dtype)}

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
        return {c: self._items(rows) if c == "features" else self.labels[rows] for c in columns}

    def _items(self, rows: np.ndarray) -> np.ndarray:
        unique, places = np.unique(np.asarray(rows, np.int64), return_inverse=True)
        values = self.function(unique).astype(self.columns["features"].dtype, copy=False)
        return values if np.array_equal(unique, rows) else values[places]

    map = stream


def open_published(name: str, paths: tuple[Path, Path, Path]) -> dict[str, Table]:
    """medium -> table of all pairs that are kept, in the order of the files.

    Raises:
        InputError: a missing or damaged file or field, lengths that differ, or numbers that are no such data.
    """
    spec = FIELDS[name]
    wanted = zip(paths, (spec.images, spec.texts, spec.labels), strict=True)
    images, texts, labels = aligned(*(stored(path, fields) for path, fields in wanted))
    item, words, classes = image_struct(images), matrix(texts), matrix(labels)
    classes = check_labels(labels.where, classes, len(classes))
    kept = np.flatnonzero(classes.any(axis=1) & (spec.wordless | words.any(axis=1)))
    word = jax.ShapeDtypeStruct(words.shape[1:], np.float32)
    image = ReadTable(images.where, item, functools.partial(read_images, images), classes)
    text = ReadTable(texts.where, word, words.__getitem__, classes)
    return {"image": Subset(image, kept, images.where), "text": Subset(text, kept, texts.where)}


def open_records(name: str, directory: str, storage: str) -> dict[str, Table]:
    """As `open_published`, from a finished conversion (see `jhash.data.convert`).

    Raises:
        InputError: no folder named, another storage, or no conversion there, with the command that makes it.
    """
    if not directory:
        raise InputError(f"data.dir: expected the folder that holds the conversion of {name}, found nothing.")
    if storage not in ("float32", "float16"):
        raise InputError(f"data.storage: expected 'float32' or 'float16', found {storage!r}.")
    folder = published.finished_folder(name, directory, storage)
    words, labels = (load_npy(folder / f"{field}.npy") for field in ("text", "labels"))
    labels = np.asarray(labels)
    opened = (RecordTable(str(folder), folder, "pairs", {"labels": labels}, field) for field in ("features", "image"))
    records = next(table for table in opened if 0 not in table.columns[table.column].shape)
    shape, kind = records.columns[records.column].shape, np.uint8 if records.column == "image" else np.float32
    image = ReadTable(records.name, jax.ShapeDtypeStruct(shape, kind), functools.partial(_record, records), labels)
    word = jax.ShapeDtypeStruct(words.shape[1:], np.float32)
    return {"image": image, "text": ReadTable(records.name, word, words.__getitem__, labels)}


def _record(records: RecordTable, rows: np.ndarray) -> np.ndarray:
    return records.read(rows, [records.column])[records.column]


def conversion_bytes(name: str, source: str, storage: str) -> int:
    """Disk bytes of a conversion, 200 a pair for what stands around it included.

    Raises:
        InputError: a missing or damaged file.
    """
    tables = open_published(name, find(name, {"file": source}))
    image, text = (tables[medium].columns["features"] for medium in ("image", "text"))
    size = 1 if image.dtype == np.uint8 else np.dtype(storage).itemsize
    words = 2 * text.shape[0] * np.dtype(storage).itemsize  # in the records and beside them
    classes = 2 * tables["text"].columns["labels"].shape[0]
    return len(tables["text"]) * (int(np.prod(image.shape)) * size + words + classes + 200)
