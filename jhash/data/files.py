"""A user's own files: .npz, .npy or .h5 with frames [N, T, C] and labels, as 0/1 [N, L] or class numbers [N].

One file can hold training part and queries, told apart by an array beside them, such as a subject number:

    config.data = {'name': 'files', 'train': 'utd_mhad.npz', 'frames_array': 'skeleton', 'labels_array': 'action',
                   'split_array': 'subject', 'query_values': (2, 4, 6, 8)}
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jhash.data.source import ArrayTable, H5Table, Subset, open_dataset, resident
from jhash.data.validate import check_kinds, check_labels, load_mat, load_npy, load_npz, npz_names, one_hot
from jhash.types import InputError, Table


def parts(config: Mapping[str, Any]) -> dict[str, Callable[[], Table]]:
    """`train`, `query` and, where the config names one, `database`: functions that open them.

    Raises:
        InputError: no training file, no queries, or labels of two kinds.
    """
    if not config["train"]:
        raise InputError("data.train: expected the path of an .npz, .npy or .h5 file, found nothing.")
    if bool(config["query"]) == bool(config["split_array"]):
        raise InputError("data.query: expected either a file of queries here or data.split_array, and not both.")
    if config["split_array"]:
        return {"train": lambda: _one_file(config, False), "query": lambda: _one_file(config, True)}
    result = {"train": lambda: _part(config, "train"), "query": lambda: _part(config, "query")}
    if config["database"]:
        result["database"] = lambda: _part(config, "database")
    return result


def read_array(path: Path, name: str) -> np.ndarray:
    """One array of an .npz, .npy, .h5 or .mat file, of numbers or, but of .mat, of strings.

    Raises:
        InputError: missing, damaged or without that array.
    """
    path = Path(path)
    if path.suffix == ".npy":
        return load_npy(path)
    if path.suffix == ".mat":
        return load_mat(path, name)
    if path.suffix in (".h5", ".hdf5"):
        return _of_h5(path, name)
    if path.suffix != ".npz":
        raise InputError(f"{path}: expected a file ending in .npz, .npy, .h5 or .mat.")
    arrays = load_npz(path, [name])
    if name not in arrays:
        raise InputError(f"{path}: expected an array {name!r}, found {', '.join(npz_names(path)) or 'nothing'}.")
    return arrays[name]


def _of_h5(path: Path, name: str) -> np.ndarray:
    if path.is_file() and h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            held = file.get(name)
            if isinstance(held, h5py.Dataset) and h5py.check_string_dtype(held.dtype):
                return _strings(path, held)
    return open_dataset(path, name)[()]


def _strings(path: Path, held: h5py.Dataset) -> np.ndarray:
    try:
        return held.asstr()[()].astype(str)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected strings in UTF-8 in {held.name}, found {error.object!r}.") from error


def read_strings(path: Path | str, name: str, size: int) -> tuple[str, ...]:
    """So many strings that an .npz or .h5 file has under that name; () where it has no such array."""
    path, found = Path(path), None
    if path.suffix == ".npz" and name in npz_names(path):
        found = load_npz(path, [name])[name]
    elif path.suffix in (".h5", ".hdf5"):
        with h5py.File(path, "r") as file:
            held = file.get(name)
            if isinstance(held, h5py.Dataset) and h5py.check_string_dtype(held.dtype):
                found = _strings(path, held)
    fits = found is not None and found.dtype.kind == "U" and found.shape == (size,)
    return tuple(found.tolist()) if fits else ()


def _part(config: Mapping[str, Any], part: str) -> Table:
    """The table of one file, with labels where it has them."""
    path = Path(config[part])
    labels = _labels(config, part)
    if path.suffix in (".h5", ".hdf5"):
        dataset = open_dataset(path, config["frames_array"])
        arrays = {} if labels is None else {"labels": _encoded(config, path, labels, len(dataset))}
        return H5Table(str(path), [path], config["frames_array"], arrays)
    frames = read_array(path, config["frames_array"])
    if frames.ndim > 3:
        frames = frames.reshape(*frames.shape[:2], -1)
    if frames.ndim != 3:
        raise InputError(f"{path}: frames must be [items, frames, width], found {list(frames.shape)}.")
    arrays = {} if labels is None else {"labels": _encoded(config, path, labels, len(frames))}
    return ArrayTable(str(path), {"frames": frames, **arrays})


def _labels(config: Mapping[str, Any], part: str) -> np.ndarray | None:
    """The labels of a part as they are stored, None where it has none."""
    apart, path, name = config[f"{part}_labels"], Path(config[part]), config["labels_array"]
    if apart:
        return read_array(Path(apart), name)
    if path.suffix == ".npz":
        return load_npz(path, [name]).get(name)
    if path.suffix in (".h5", ".hdf5"):
        return read_array(path, name) if name in open_dataset(path, config["frames_array"]).parent else None
    return None


def _encoded(config: Mapping[str, Any], path: Path, labels: np.ndarray, items: int) -> np.ndarray:
    """Labels [N, L] as 0/1; class numbers [N] get a column for each number that any part has."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        return check_labels(str(path), labels, items)
    labels = labels.reshape(-1)
    if len(labels) != items:
        raise InputError(f"{path}: labels must have {items} rows, one an item, found {len(labels)}.")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError(f"{path}: class numbers must be finite, found {labels[~np.isfinite(labels)][0]}.")
    opened = ["train"] if config["fold"] else [part for part in ("train", "query", "database") if config[part]]
    stored = {
        config[f"{part}_labels"] or config[part]: found.reshape(-1)
        for part in opened
        if (found := _labels(config, part)) is not None
    }
    check_kinds(stored)
    return one_hot(labels, np.unique(np.concatenate(list(stored.values()))))


def _one_file(config: Mapping[str, Any], query: bool) -> Table:
    """The training file's items whose `split_array` value is, or is not, among `query_values`."""
    path = Path(config["train"])
    values = read_array(path, config["split_array"])
    table = _part(config, "train")
    if values.shape != (len(table),):
        raise InputError(
            f"{path}: {config['split_array']!r} must be [{len(table)}], one an item, found {list(values.shape)}."
        )
    chosen = np.isin(values, np.asarray(config["query_values"]))
    if chosen.all() or not chosen.any():
        raise InputError(
            f"data.query_values: {chosen.sum()} of {len(chosen)} items have one of {list(config['query_values'])} in "
            f"{config['split_array']!r}, expected some but not all."
        )
    role = "queries" if query else "training part"
    part = Subset(table, np.flatnonzero(chosen == query), f"{path} ({role})")
    return resident(part) if isinstance(table, ArrayTable) else part
