"""FCVID, ActivityNet and YFCC as their features circulate: .h5 files of frames and .mat files of labels.

The files stand in one folder, `data.dir`:

    fcvid        fcv_train_feats.h5, fcv_test_feats.h5, fcv_test_labels.mat
    activitynet  train_feats.h5, query_feats.h5, q_label.mat, test_feats.h5, re_label.mat
    yfcc         yfcc_train*.h5 (9 shards), yfcc_test*.h5 (2 shards), yfcc_test*label*.mat (one, or one a shard)

YFCC's names are not printed anywhere: the patterns are ours, and shards are taken in the order of their numbers.
Where there is no such file, an error names all that are missing; nothing is ever taken in their place.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jhash.data.source import H5Table, RecordTable
from jhash.data.validate import check_labels, check_shape, load_mat
from jhash.types import InputError, Table


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of a published dataset: where its frames and labels stand, and the shape that was published."""

    pattern: str  # of the .h5 files; a plain name is a pattern of itself
    shards: int
    shape: tuple[int, int, int]  # items, frames, width as published; other numbers of items are taken as they come
    labels: str = ""  # pattern of the .mat files, '' where the part has no labels
    name: str = ""  # of the array in them
    classes: int = 0


DATASETS: Mapping[str, Mapping[str, Part]] = {
    "fcvid": {
        "train": Part("fcv_train_feats.h5", 1, (45_585, 25, 4096)),
        "test": Part("fcv_test_feats.h5", 1, (45_600, 25, 4096), "fcv_test_labels.mat", "labels", 239),
    },
    "activitynet": {
        "train": Part("train_feats.h5", 1, (9_722, 30, 2048)),
        "query": Part("query_feats.h5", 1, (1_000, 30, 2048), "q_label.mat", "q_label", 200),
        "test": Part("test_feats.h5", 1, (3_760, 30, 2048), "re_label.mat", "re_label", 200),
    },
    "yfcc": {
        "train": Part("yfcc_train*.h5", 9, (409_788, 25, 4096)),
        "test": Part("yfcc_test*.h5", 2, (101_256, 25, 4096), "yfcc_test*label*.mat", "labels", 80),
    },
}


def find(dataset: str, directory: str) -> dict[str, tuple[list[Path], list[Path]]]:
    """part -> (files of frames, files of labels) of a published dataset.

    Raises:
        InputError: one sentence that names every missing file, the folder, and what must be in each.
    """
    folder, missing, found = Path(directory), [], {}
    for part, spec in DATASETS[dataset].items():
        frames, labels = _matches(folder, spec.pattern), _matches(folder, spec.labels) if spec.labels else []
        found[part] = frames, labels
        if len(frames) != spec.shards:
            items, length, width = spec.shape
            number = "" if spec.shards == 1 else f"{spec.shards} files together, {len(frames)} found, "
            missing.append(f"{spec.pattern} ({number}HDF5, dataset 'feats' [{items}, {length}, {width}] float32)")
        if spec.labels and len(labels) not in {1, spec.shards}:
            missing.append(f"{spec.labels} (array {spec.name!r} [{spec.shape[0]}, {spec.classes}] of 0 and 1)")
    if missing:
        where = f"data.dir {directory!r}" + ("" if folder.is_dir() else ", which is no folder,")
        raise InputError(f"{where} does not hold all of {dataset}; missing: {'; '.join(missing)}.")
    return found


def _matches(folder: Path, pattern: str) -> list[Path]:
    """Matching files in the order of the numbers in their names, 2 before 10."""
    return sorted(
        folder.glob(pattern), key=lambda path: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", path.name)]
    )


def open_h5(dataset: str, directory: str, part: str) -> H5Table:
    """One part as published: frames read from the .h5 as training goes, labels [N, L] in memory.

    Raises:
        InputError: a missing or damaged file, or labels that do not fit.
    """
    frames, labels = find(dataset, directory)[part]
    spec = DATASETS[dataset][part]
    name = str(frames[0]) if len(frames) == 1 else f"{Path(directory) / spec.pattern}"
    table = H5Table(name, frames, "feats", {})
    check_shape(table)
    if not labels:
        return table
    stored = [load_mat(path, spec.name) for path in labels]
    if len(stored) == 1 and stored[0].ndim == 2 and stored[0].shape[1] == len(table) != len(stored[0]):
        stored = [stored[0].T]  # written class by class
    where = ", ".join(map(str, labels))
    if len({array.shape[1:] for array in stored}) > 1:
        raise InputError(f"{where}: the label files must have equal numbers of classes.")
    checked = check_labels(where, np.concatenate(stored), len(table))
    return H5Table(name, frames, "feats", {"labels": checked})


def build_folder(dataset: str, directory: str, storage: str) -> Path:
    """Where `jhash.data.convert` puts a dataset: TFDS's layout, <directory>/<dataset>/<storage>/<version>."""
    return Path(directory) / dataset / storage / "1.0.0"


def finished_folder(dataset: str, directory: str, storage: str) -> Path:
    """`build_folder` of a finished conversion.

    Raises:
        InputError: there is none, with the command that makes it.
    """
    folder = build_folder(dataset, directory, storage)
    if not (folder / "dataset_info.json").is_file():
        raise InputError(
            f"{folder}: no finished array_record conversion of {dataset}; make it by `python -m jhash.data.convert "
            f"--dataset {dataset} --source PATH --output {directory} --storage {storage}`."
        )
    return folder


def open_records(dataset: str, directory: str, storage: str, part: str) -> RecordTable:
    """One part of a finished conversion.

    Raises:
        InputError: there is none, with the command that makes it.
    """
    folder = finished_folder(dataset, directory, storage)
    labels = folder / f"labels_{part}.npy"
    arrays = {"labels": np.load(labels, allow_pickle=False)} if DATASETS[dataset][part].labels else {}
    return RecordTable(f"{folder} ({part})", folder, part, arrays)


def opener(config: Mapping[str, Any]) -> Callable[[str], Table]:
    """part -> Table for `data.name`, `dir`, `format` and `storage`; all files are looked for at once, first.

    Raises:
        InputError: missing files, or a format or storage that there is not.
    """
    name, directory, form, storage = (config[field] for field in ("name", "dir", "format", "storage"))
    if not directory:
        raise InputError(f"data.dir: expected the folder that holds the files of {name}, found nothing.")
    if storage not in ("float32", "float16"):
        raise InputError(f"data.storage: expected 'float32' or 'float16', found {storage!r}.")
    if form == "array_record":
        return lambda part: open_records(name, directory, storage, part)
    if form != "h5":
        raise InputError(f"data.format: expected 'h5' or 'array_record', found {form!r}.")
    if storage != "float32":
        raise InputError("data.storage: the published .h5 files are float32; float16 needs data.format 'array_record'.")
    find(name, directory)
    return lambda part: open_h5(name, directory, part)
