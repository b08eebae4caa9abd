"""Features of several media as they circulate: one .mat or .h5 file a dataset, or a conversion of it.

    wikipedia_deep  Wikipedia, VGG-19 and doc2vec features: a .mat of image and text
    nuswide         NUS-WIDE, ten classes: an .h5 of image and text
    xmedia          XMedia: a .mat of image, text, audio, 3D models and video
    xmedianet       XMediaNet: a .mat whose variables are cell arrays of these five, in this order
    multilabel      MIRFlickr, MS-COCO or IAPR TC-12: an .h5 of image and text, with a database of its own

Labels are a column of class numbers, counted from anywhere, or a 0/1 column for each class. Only the fields of the
medium that is asked for are read, of a cell array the whole variable. Where there is no such file an error says which
is missing; nothing is ever taken in its place.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jhash.data import published
from jhash.data.source import ArrayTable, RecordTable, open_dataset, resident
from jhash.data.validate import check_labels, load_mat, one_hot
from jhash.types import InputError

ENDINGS = (".mat", ".h5", ".h5py", ".hdf5")


@dataclasses.dataclass(frozen=True)
class Fields:
    """Where items of one medium stand in a file: the fields of features and labels, and the cell of both."""

    features: str
    labels: str
    cell: int | None = None


def _trained_and_tested(train: Fields, *test: Fields) -> dict[str, tuple[Fields, ...]]:
    return {"train": (train,), "test": test}


# dataset -> medium, in the order of collection -> part -> the fields that are joined to it
FIELDS: Mapping[str, Mapping[str, Mapping[str, tuple[Fields, ...]]]] = {
    "wikipedia_deep": {
        medium: _trained_and_tested(*(Fields(f"{part}_{name}", f"{part}_imgs_labels") for part in ("train", "test")))
        for medium, name in (("image", "imgs_deep"), ("text", "texts_doc"))
    },
    "nuswide": {
        medium: _trained_and_tested(
            *(Fields(f"{part}_{name}", f"{part}_imgs_labels") for part in ("train", "test", "valid"))
        )
        for medium, name in (("image", "imgs_deep"), ("text", "texts"))
    },
    "xmedia": {
        medium: _trained_and_tested(*(Fields(name.format(part), f"{part}{labels}Cat") for part in ("tr", "te")))
        for medium, name, labels in (
            ("image", "I_{}_CNN", "Img"),
            ("text", "T_{}_BOW", "Txt"),
            ("audio", "A_{}", "Aud"),
            ("3d", "d3_{}", "3d"),
            ("video", "V_{}_CNN", "Vid"),
        )
    },
    "xmedianet": {
        medium: _trained_and_tested(*(Fields(part, f"{part}_labels", cell) for part in ("train", "test", "valid")))
        for cell, medium in enumerate(("image", "text", "audio", "3d", "video"))
    },
    "multilabel": {
        medium: {
            part: (Fields(f"{name}{role}", f"Lab{role}"),)
            for part, role in (("train", "Train"), ("test", "Query"), ("database", "DataBase"))
        }
        for medium, name in (("image", "Img"), ("text", "Tag"))
    },
}


def open_published(config: Mapping[str, Any], medium: str) -> tuple[dict[str, ArrayTable], tuple[str, ...]]:
    """`open_parts` by the fields of a config: `name`, and `file`, or `dir` and `storage` of a conversion.

    Raises:
        InputError: no file or conversion, another format or storage, or what `open_parts` raises.
    """
    name, form = config["name"], config.get("format", "published")
    if form == "published":
        return open_parts(name, find(name, config.get("file", "")), medium)
    if form != "array_record":
        raise InputError(f"data.format: expected 'published' or 'array_record', found {form!r}.")
    directory, storage = config.get("dir", ""), config.get("storage", "float32")
    if not directory:
        raise InputError(f"data.dir: expected the folder that holds the conversion of {name}, found nothing.")
    if storage not in ("float32", "float16"):
        raise InputError(f"data.storage: expected 'float32' or 'float16', found {storage!r}.")
    return open_records(name, directory, storage, medium)


def find(name: str, path: str) -> Path:
    """The file at a path, or the only .mat or .h5 file in a folder.

    Raises:
        InputError: no such file, with what must be in it.
    """
    if not path:
        raise InputError(f"data.file: expected the file of {name}, which holds {_names(name)}; found nothing.")
    if Path(path).is_file():
        return Path(path)
    found = sorted(file for file in Path(path).glob("*") if file.suffix in ENDINGS)
    if len(found) > 1:
        listed = ", ".join(file.name for file in found)
        raise InputError(f"data.file: expected one file of {name}, found {listed} in {path}: name one of them.")
    if not found:
        raise InputError(f"data.file: no file of {name} at {str(path)!r}; it holds {_names(name)}.")
    return found[0]


def _names(name: str) -> str:
    """The fields of a dataset's file, in words."""
    parts = [fields for parts in FIELDS[name].values() for part in parts.values() for fields in part]
    cells = " (cell arrays of image, text, audio, 3D and video)" if parts[0].cell is not None else ""
    return ", ".join(dict.fromkeys(field for fields in parts for field in (fields.features, fields.labels))) + cells


def open_parts(name: str, path: Path, medium: str) -> tuple[dict[str, ArrayTable], tuple[str, ...]]:
    """One medium of a published file, in memory.

    As in the released protocol, `valid_*` is joined to the test part, behind it.

    Returns:
        part -> table of `features` [N, d] float32 and `labels` [N, C] uint8, for 'train', 'test' and, where the file
        has its own, 'database'; and the names of the labels' columns: the class numbers of all parts together,
        ascending, or, where the file has 0/1 columns, their places 0 … C - 1; then an item may be without any.

    Raises:
        InputError: a missing or damaged file or field, lengths or widths that differ, or numbers that aren't finite.
    """
    features, labels = {}, {}
    for part, sources in FIELDS[name][medium].items():
        read = [_items(path, fields, medium) for fields in sources]
        features[part] = read[0][0] if len(read) == 1 else _joined(path, sources, [item[0] for item in read])
        labels[part] = [item[1] for item in read]
    everything = [array for part in labels.values() for array in part]
    classes = _classes(path, FIELDS[name][medium], everything)
    first = FIELDS[name][medium]["train"][0].features
    tables = {}
    for part, array in features.items():
        if array.shape[1] != features["train"].shape[1]:
            field = FIELDS[name][medium][part][0].features
            raise InputError(
                f"{path}: {medium} items must be {features['train'].shape[1]} wide in {field!r} as in {first!r}, "
                f"found {array.shape[1]}."
            )
        coded = [one_hot(each, classes) if each.ndim == 1 else each for each in labels[part]]
        where = f"{path} ({medium}, {part})"
        tables[part] = ArrayTable(where, {"features": array, "labels": np.concatenate(coded)})
    return tables, tuple(str(number) for number in classes)


def _items(path: Path, fields: Fields, medium: str) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, d] float32, and class numbers [N] or 0/1 [N, C]."""
    of = "" if fields.cell is None else f", cell {fields.cell + 1}"
    where = f"{path}: {fields.features!r}{of}"
    features = _array(path, fields.features, fields.cell)
    if features.ndim != 2 or 0 in features.shape:
        raise InputError(f"{where} ({medium}) must be [items, width], neither of them 0, found {list(features.shape)}.")
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(features, np.float32)
    finite = np.isfinite(features)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        value = features[row, column]
        raise InputError(f"{where} must be finite, found {value} in item {row}, dimension {column}.")
    labels = _array(path, fields.labels, fields.cell)
    where = f"{path}: {fields.labels!r}{of}"
    numbers = labels.ndim == 1 or (labels.ndim == 2 and 1 in labels.shape)
    if (labels.size if numbers else len(labels)) != len(features):
        raise InputError(
            f"{where} must have a row for each of the {len(features)} items of {fields.features!r}, "
            f"found {list(labels.shape)}."
        )
    if not numbers:
        return features, check_labels(where, labels, len(features))
    labels = labels.reshape(-1)
    wrong = np.flatnonzero(~np.isfinite(labels) | (np.rint(labels) != labels))
    if len(wrong):
        raise InputError(f"{where} must be whole class numbers, found {labels[wrong[0]]} for item {wrong[0]}.")
    return features, labels.astype(np.int64)


def _array(path: Path, name: str, cell: int | None) -> np.ndarray:
    if path.suffix == ".mat":
        return load_mat(path, name, cell)
    dataset = open_dataset(path, name)
    try:
        array = dataset[()]
    except OSError as error:
        raise InputError(f"{path}: {name!r} cannot be read, the file is damaged: {error}") from error
    return array.T if "MATLAB_class" in dataset.attrs else array  # MATLAB writes columns first


def _joined(path: Path, sources: tuple[Fields, ...], arrays: list[np.ndarray]) -> np.ndarray:
    for fields, array in zip(sources, arrays, strict=True):
        if array.shape[1] != arrays[0].shape[1]:
            raise InputError(
                f"{path}: {fields.features!r} must be {arrays[0].shape[1]} wide like {sources[0].features!r}, "
                f"found {array.shape[1]}."
            )
    return np.concatenate(arrays)


def _classes(path: Path, parts: Mapping[str, tuple[Fields, ...]], labels: list[np.ndarray]) -> np.ndarray:
    """The class numbers of all parts of a medium, or the places of its 0/1 columns."""
    columns = [array.shape[1] if array.ndim == 2 else 0 for array in labels]
    if len(set(columns)) > 1:
        fields = [field.labels for part in parts.values() for field in part]
        found = ", ".join(f"{field} {width or 'class numbers'}" for field, width in zip(fields, columns, strict=True))
        raise InputError(f"{path}: labels must have one column a class, the same in every part, found {found}.")
    return np.arange(columns[0]) if columns[0] else np.unique(np.concatenate(labels))


def open_records(name: str, directory: str, storage: str, medium: str) -> tuple[dict[str, ArrayTable], tuple[str, ...]]:
    """As `open_parts`, from a finished conversion (see `jhash.data.convert`).

    Raises:
        InputError: there is none, with the command that makes it.
    """
    folder = published.finished_folder(name, directory, storage)
    classes = np.load(folder / f"classes_{medium}.npy", allow_pickle=False)
    tables = {}
    for part in FIELDS[name][medium]:
        split = f"{part}_{medium}"
        labels = np.load(folder / f"labels_{split}.npy", allow_pickle=False)
        stored = resident(RecordTable(f"{folder} ({medium}, {part})", folder, split, {"labels": labels}, "features"))
        features = stored.arrays["features"].astype(np.float32, copy=False)
        tables[part] = ArrayTable(stored.name, {"features": features, "labels": labels})
    return tables, tuple(classes.tolist())


def conversion_bytes(name: str, source: str, storage: str) -> int:
    """Disk bytes of a conversion, 100 an item for what stands around it included.

    Raises:
        InputError: a missing or damaged file.
    """
    path, total = find(name, source), 0
    for medium in FIELDS[name]:
        for table in open_parts(name, path, medium)[0].values():
            width, classes = (table.columns[column].shape[0] for column in ("features", "labels"))
            total += len(table) * (width * np.dtype(storage).itemsize + 2 * classes + 100)
    return total
