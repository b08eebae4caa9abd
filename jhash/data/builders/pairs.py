"""Published pairs of image and text as a TFDS dataset: what the builders of single sets share."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from jhash.data import published_pairs
from jhash.data.builders import records
from jhash.types import InputError, Table

BLOCK = 64  # pairs that are read at once
INSTRUCTIONS = "Put the published .mat or HDF5 files (see jhash.data.published_pairs) into a folder and name it here."


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """One split 'pairs' in the files' order, which every seed divides anew; configs name the features' precision.

    A dataset's own class gives `described` and `citation`.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = records.CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    code_path = None  # nothing is downloaded: TFDS need not look for checksums (by a package it doesn't declare)
    file = None  # the published file or folder, where it isn't the folder that TFDS is given

    def _info(self) -> tfds.core.DatasetInfo:
        """Examples {'id', 'image' [H, W, 3], 'features' [d], 'text' [W], 'labels' [C]}.

        The form of an example stands before a file is looked at, so it has both image and features. What the files
        don't have are features of length 0, or one black pixel, as TFDS cannot read back an image of none.
        """
        encoding = tfds.features.Encoding.BYTES
        storage = np.dtype(self.builder_config.name).type
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.described,
            citation=self.citation,
            disable_shuffling=True,
            metadata=records.Beside(),
            features=tfds.features.FeaturesDict(
                {
                    "id": np.int64,
                    "image": tfds.features.Tensor(shape=(None, None, 3), dtype=np.uint8, encoding=encoding),
                    "features": tfds.features.Tensor(shape=(None,), dtype=storage, encoding=encoding),
                    "text": tfds.features.Tensor(shape=(None,), dtype=storage, encoding=encoding),
                    "labels": tfds.features.Tensor(shape=(None,), dtype=np.uint8, encoding=encoding),
                }
            ),
        )

    def _shard_iterators_per_split(self, dl_manager):
        return shards(self, str(self.file or dl_manager.manual_dir))

    def _example_writer(self):
        return records.Uncompressed(self.info.file_format)


def shards(builder: tfds.core.DatasetBuilder, source: str) -> Mapping[str, list[Callable[[], Iterator]]]:
    """'pairs' -> one generator function for each shard of about 256 MB, for `_shard_iterators_per_split`.

    All words stand beside the shards as well, so that they can be had without the images.

    Raises:
        InputError: a file is missing, damaged or holds values that cannot be stored.
    """
    name, storage = builder.name, np.dtype(builder.builder_config.name)
    tables = published_pairs.open_published(name, published_pairs.find(name, {"file": source}))
    image, text = tables["image"], tables["text"]
    words = np.empty((len(text), *text.columns["features"].shape), storage)
    for start in range(0, len(text), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(text)))
        words[rows] = _stored(text, rows, storage)
    labels = text.read(np.arange(len(text)), ["labels"])["labels"]
    builder.info.metadata.arrays |= {"text": words, "labels": labels}
    item = image.columns["features"]
    size = max(1, records.SHARD_BYTES // (int(np.prod(item.shape)) * np.dtype(item.dtype).itemsize))
    progress = tqdm.tqdm(total=len(image), unit=" pairs", desc=name, disable=None)
    return {
        "pairs": [
            functools.partial(_examples, image, words, start, min(start + size, len(image)), storage, progress)
            for start in range(0, len(image), size)
        ]
    }


def _examples(
    image: Table, words: np.ndarray, start: int, stop: int, storage: np.dtype, progress: tqdm.tqdm
) -> Iterator[tuple[int, dict[str, Any]]]:
    pictures = len(image.columns["features"].shape) == 3
    for first in range(start, stop, BLOCK):
        rows = np.arange(first, min(first + BLOCK, stop))
        items = image.read(rows, ["features"])["features"] if pictures else _stored(image, rows, storage)
        labels = image.read(rows, ["labels"])["labels"]
        for row, item, classes in zip(rows.tolist(), items, labels, strict=True):
            none = {"features": np.zeros(0, storage)} if pictures else {"image": np.zeros((1, 1, 3), np.uint8)}
            given = {"image" if pictures else "features": item, "text": words[row], "labels": classes}
            yield row, {"id": row} | none | given
        progress.update(len(rows))


def _stored(table: Table, rows: np.ndarray, storage: np.dtype) -> np.ndarray:
    """Rows [R] -> features [R, d] in the precision that they are stored in."""
    given = table.read(rows, ["features"])["features"]
    with np.errstate(over="ignore"):
        result = given.astype(storage)
    if not np.isfinite(result).all():
        row, column = np.argwhere(~np.isfinite(result))[0]
        raise InputError(
            f"{table.name}: pair {rows[row]}, dimension {column} is {given[row, column]}, "
            f"which cannot be stored as a finite {storage}."
        )
    return result
