"""What the builders of video sets share: the features of an example, the shards, the labels beside them."""

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from array_record.python.array_record_module import ArrayRecordWriter

from jhash.data import published
from jhash.types import InputError, Table

SHARD_BYTES = 256 * 2**20  # TFDS holds a shard's examples while it counts them
CONFIGS = [tfds.core.BuilderConfig(name=storage) for storage in ("float32", "float16")]
INSTRUCTIONS = "Put the published .h5 and .mat files into one folder (see jhash.data.published) and name it here."


class Beside(tfds.core.Metadata):
    """<name>.npy beside the shards: all labels of a part can be had without reading its frames."""

    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}

    def save_metadata(self, data_dir) -> None:
        for name, array in self.arrays.items():
            np.save(Path(data_dir) / f"{name}.npy", array)

    def load_metadata(self, data_dir) -> None:
        self.arrays = {path.stem: np.load(path, allow_pickle=False) for path in Path(data_dir).glob("*.npy")}


class Uncompressed(tfds.core.ExampleWriter):
    """Plain array_record: TFDS's Brotli shrinks features by a third or less and is five to fifteen times slower."""

    def write(self, path, examples) -> None:
        try:
            writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
            for _, example in examples:
                writer.write(example)
            writer.close()
        except RuntimeError as error:  # what array_record makes of a full disk
            raise OSError(str(error).split(";")[0]) from error


def info(builder: tfds.core.DatasetBuilder, description: str, citation: str) -> tfds.core.DatasetInfo:
    """Examples {'id', 'frames' [T, C], 'labels' [L], of length 0 where the part has none}, in the files' order."""
    encoding = tfds.features.Encoding.BYTES
    storage = np.dtype(builder.builder_config.name).type
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        citation=citation,
        disable_shuffling=True,
        metadata=Beside(),
        features=tfds.features.FeaturesDict(
            {
                "id": np.int64,
                "frames": tfds.features.Tensor(shape=(None, None), dtype=storage, encoding=encoding),
                "labels": tfds.features.Tensor(shape=(None,), dtype=np.uint8, encoding=encoding),
            }
        ),
    )


def shards(builder: tfds.core.DatasetBuilder, directory: Path) -> Mapping[str, list[Callable[[], Iterator]]]:
    """part -> one generator function for each shard of about 256 MB, for `_shard_iterators_per_split`.

    Raises:
        InputError: a file is missing, damaged or holds values that cannot be stored.
    """
    storage = np.dtype(builder.builder_config.name)
    result, progress = {}, tqdm.tqdm(total=0, unit=" items", desc=builder.name, disable=None)
    for part in published.DATASETS[builder.name]:
        table = published.open_h5(builder.name, str(directory), part)
        if "labels" in table.columns:
            builder.info.metadata.arrays[f"labels_{part}"] = table.arrays["labels"]
        progress.total += len(table)
        size = max(1, SHARD_BYTES // (int(np.prod(table.columns["frames"].shape)) * storage.itemsize))
        result[part] = [
            functools.partial(_examples, table, start, min(start + size, len(table)), storage, progress)
            for start in range(0, len(table), size)
        ]
    return result


def _examples(
    table: Table, start: int, stop: int, storage: np.dtype, progress: tqdm.tqdm
) -> Iterator[tuple[int, dict[str, Any]]]:
    for first in range(start, stop, 64):
        rows = np.arange(first, min(first + 64, stop))
        block = table.read(rows, list(table.columns))
        with np.errstate(over="ignore"):
            frames = block["frames"].astype(storage)
        finite = np.isfinite(frames)
        if not finite.all():
            item, frame, column = np.argwhere(~finite)[0]
            value = block["frames"][item, frame, column]
            raise InputError(
                f"{table.name}: item {first + item}, frame {frame}, dimension {column} is {value}, "
                f"which cannot be stored as a finite {storage}."
            )
        labels = block.get("labels", np.zeros((len(rows), 0), np.uint8))
        for row, item, label in zip(rows, frames, labels, strict=True):
            yield int(row), {"id": int(row), "frames": item, "labels": label}
        progress.update(len(rows))
