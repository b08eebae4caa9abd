"""A user's own files of pairs: one array a medium, row i of each being one thing, in .npz, .mat or .h5.

One file with an array that says who asks:

    config.modalities = ('skeleton', 'inertial')
    config.data = {'name': 'pair_files', 'train': 'utd_mhad.npz', 'labels_array': 'action', 'split_array': 'subject',
                   'query_values': (2, 4, 6, 8)}

or files of their own for queries (`query`) and, where it isn't the training part, the database (`database`); arrays
then are named by the medium, or as `arrays` says: (('image', 'I_tr', 'I_te'),).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jhash.data.files import read_array, read_strings
from jhash.data.source import ArrayTable
from jhash.data.validate import check_kinds, check_labels, one_hot
from jhash.types import InputError, Table

FIELDS = {
    "train": "",
    "query": "",
    "database": "",  # '': the training part
    "arrays": (),  # where names differ: (medium, array of the training file[, of the query[, of the database file]])
    "labels_array": "labels",
    "query_labels_array": "",  # '': as in the training file
    "split_array": "",  # an array [N] of the training file …
    "query_values": (),  # … whose items with one of these values are the queries
}


Opened = tuple[dict[str, dict[str, Table]], tuple[str, ...], tuple[str, ...]]


def open_files(config: Mapping[str, Any], names: Sequence[str]) -> Opened:
    """({'train', 'test'[, 'database']} -> medium -> table, names of the classes, words of 'text').

    Names and words are arrays `classes` and `words` of the training file, as `jhash.extract` writes them; without them
    classes are numbers, and there are no words.

    Vectors come out float32 [N, C]; series [N, T, J, D] of numbers that are no pixels are flattened; uint8 arrays of
    three dimensions or more are pixels: pictures [N, H, W, C] or [N, H, W], clips [N, T, H, W, C] or [N, T, H, W].

    Raises:
        InputError: a file or an array that is missing or damaged, arrays of different lengths, labels of two kinds.
    """
    _check_rows(config["arrays"], names)
    if not config["train"]:
        raise InputError("data.train: expected the path of an .npz, .mat or .h5 file, found nothing.")
    if bool(config["query"]) == bool(config["split_array"]):
        raise InputError("data.query: expected either a file of queries here or data.split_array, and not both.")
    read = {"train": _read(config, "train", names)}
    if config["split_array"]:
        read = _split(config, read["train"])
    else:
        read["test"] = _read(config, "query", names)
        if config["database"]:
            read["database"] = _read(config, "database", names)
    labels, classes = _labels(config, {part: arrays["labels"] for part, arrays in read.items()})
    tables = {
        part: {
            name: ArrayTable(
                f"{_file(config, part)} {name} ({part})", {"features": arrays[name], "labels": labels[part]}
            )
            for name in names
        }
        for part, arrays in read.items()
    }
    width = tables["train"]["text"].columns["features"].shape if "text" in names else (0,)
    return tables, read_strings(config["train"], "classes", len(classes)) or classes, _words(config["train"], width)


def _check_rows(rows: Any, names: Sequence[str]) -> None:
    for row in rows:
        if not isinstance(row, tuple | list) or not 2 <= len(row) <= 4 or row[0] not in names:
            raise InputError(
                f"data.arrays: expected rows of a medium ({', '.join(names)}) and one to three names of arrays, "
                f"found {row!r}."
            )


def _words(path: str, width: tuple[int, ...]) -> tuple[str, ...]:
    return read_strings(path, "words", *width) if len(width) == 1 and width[0] else ()


def _file(config, part: str) -> str:
    return config["train"] if config["split_array"] else config["query" if part == "test" else part]


def _read(config, part: str, names) -> dict[str, np.ndarray]:
    """medium -> [N, ...], and 'labels' as stored."""
    path = config[part]
    known, column = {row[0]: row for row in config["arrays"]}, {"train": 1, "query": 2, "database": 3}[part]
    arrays = {}
    for name in names:
        row = known.get(name, (name,))
        array = row[min(column, len(row) - 1)]
        arrays[name] = _items(f"{path}: {array!r}", read_array(path, array))
    labels = config["query_labels_array"] if part == "query" else ""
    labels = labels or config["labels_array"]
    arrays["labels"] = _vector(read_array(path, labels))
    if arrays["labels"].ndim not in (1, 2):
        found = list(arrays["labels"].shape)
        raise InputError(f"{path}: {labels!r} must be class numbers [items] or 0/1 [items, classes], found {found}.")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"{path}: expected arrays of one length, found {lengths}.")
    return arrays


def _vector(array: np.ndarray) -> np.ndarray:
    """[1, N] and [N, 1] as [N]: MATLAB's files have no arrays of one dimension."""
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array


def _items(where: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub" or array.ndim < 2 or 0 in array.shape:
        raise InputError(f"{where} must be numbers [items, ...], found {list(array.shape)} {array.dtype}.")
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[-1] not in (1, 3):
        raise InputError(
            f"{where}: expected pictures [items, height, width, 3], found {list(array.shape)}: transpose, or clips of "
            "so few frames to [items, frames, height, width, 1]."
        )
    if array.dtype == np.uint8 and array.ndim in (4, 5) and array.shape[-1] in (2, 4):
        raise InputError(
            f"{where}: expected pixels of 1 or 3 channels, found {list(array.shape)}: leave alpha out, or give grey "
            f"clips of that width as [items, frames, height, {array.shape[-1]}, 1]."
        )
    if array.dtype == np.uint8 and array.ndim > 2:
        bare = array.ndim == 3 or (array.ndim == 4 and array.shape[-1] not in (1, 3))
        return array[..., None] if bare else array
    stored = array.reshape(len(array), -1)
    with np.errstate(over="ignore"):
        array = stored.astype(np.float32)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        found = stored[tuple(bad[0])]
        finite = "finite in float32" if np.isfinite(found) else "finite"
        raise InputError(f"{where} must be {finite}, found {found} in item {bad[0][0]}.")
    return array


def _split(config, arrays):
    path, name = config["train"], config["split_array"]
    values, items = _vector(read_array(path, name)), len(arrays["labels"])
    if values.shape != (items,):
        raise InputError(f"{path}: {name!r} must be [{items}], one an item, found {list(values.shape)}.")
    asks = np.isin(values, np.asarray(config["query_values"]))
    if asks.all() or not asks.any():
        raise InputError(
            f"data.query_values: {asks.sum()} of {items} items have one of {list(config['query_values'])} in {name!r}, "
            "expected some but not all."
        )
    return {
        part: {medium: array[chosen] for medium, array in arrays.items()}
        for part, chosen in (("train", ~asks), ("test", asks))
    }


def _labels(config, stored):
    """Labels of all parts as 0/1 [N, C], class numbers or names [N] with a column for each; and the classes' names."""
    check_kinds({_file(config, part): array for part, array in stored.items()})
    several = {part: array.ndim == 2 and array.shape[1] > 1 for part, array in stored.items()}
    if len(set(several.values())) != 1:
        found = {_file(config, part): "columns of 0/1" if one else "classes" for part, one in several.items()}
        raise InputError(f"labels must be of one kind in all parts, found {found}.")
    if several["train"]:
        widths = {part: array.shape[1] for part, array in stored.items()}
        if len(set(widths.values())) != 1:
            raise InputError(f"labels must have one column a class, the same in every part, found {widths}.")
        checked = {part: check_labels(_file(config, part), array, len(array)) for part, array in stored.items()}
        return checked, tuple(str(column) for column in range(widths["train"]))
    flat = {part: array.reshape(-1) for part, array in stored.items()}
    numbers = np.unique(np.concatenate(list(flat.values())))
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        raise InputError(f"{config['train']}: class numbers must be finite, found {numbers[~np.isfinite(numbers)][0]}.")
    return {part: one_hot(array, numbers) for part, array in flat.items()}, tuple(str(number) for number in numbers)
