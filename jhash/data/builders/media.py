"""What the builders of several media share: an item, its shards, the labels and names of classes beside them."""

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from jhash.data import published_media
from jhash.data.builders import records
from jhash.types import InputError

INSTRUCTIONS = "Put the published .mat or .h5 file (see jhash.data.published_media) into a folder and name it here."


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """A split for each part of each medium, 'train_image'; configs name the features' precision.

    A dataset's own class gives `described` and `citation`.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = records.CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    code_path = None  # nothing is downloaded: TFDS need not look for checksums (by a package it doesn't declare)
    file = None  # the published file, where it isn't the only one in the folder

    def _info(self) -> tfds.core.DatasetInfo:
        return info(self, self.described, self.citation)

    def _shard_iterators_per_split(self, dl_manager):
        return shards(self, self.file or dl_manager.manual_dir)

    def _example_writer(self):
        return records.Uncompressed(self.info.file_format)


def info(builder: tfds.core.DatasetBuilder, description: str, citation: str) -> tfds.core.DatasetInfo:
    """Examples {'id', 'features' [d], 'labels' [C]}, in the file's order; splits 'train_image', 'test_text', …"""
    encoding = tfds.features.Encoding.BYTES
    storage = np.dtype(builder.builder_config.name).type
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        citation=citation,
        disable_shuffling=True,
        metadata=records.Beside(),
        features=tfds.features.FeaturesDict(
            {
                "id": np.int64,
                "features": tfds.features.Tensor(shape=(None,), dtype=storage, encoding=encoding),
                "labels": tfds.features.Tensor(shape=(None,), dtype=np.uint8, encoding=encoding),
            }
        ),
    )


def shards(builder: tfds.core.DatasetBuilder, source: Path) -> Mapping[str, list[Callable[[], Iterator]]]:
    """split -> one generator function for each shard of about 256 MB, for `_shard_iterators_per_split`.

    A medium is read to count its items and again to write them, so that no more than one or two are in memory.

    Raises:
        InputError: the file is missing, damaged or holds values that cannot be stored.
    """
    storage, path = np.dtype(builder.builder_config.name), published_media.find(builder.name, str(source))
    opened = functools.lru_cache(maxsize=1)(functools.partial(published_media.open_parts, builder.name, path))
    result, progress = {}, tqdm.tqdm(total=0, unit=" items", desc=builder.name, disable=None)
    for medium in published_media.FIELDS[builder.name]:
        parts, classes = opened(medium)
        builder.info.metadata.arrays[f"classes_{medium}"] = np.array(classes)
        for part, table in parts.items():
            builder.info.metadata.arrays[f"labels_{part}_{medium}"] = table.arrays["labels"]
            progress.total += len(table)
            size = max(1, records.SHARD_BYTES // (table.columns["features"].shape[0] * storage.itemsize))
            result[f"{part}_{medium}"] = [
                functools.partial(_examples, opened, medium, part, slice(start, start + size), storage, progress)
                for start in range(0, len(table), size)
            ]
    return result


def _examples(
    opened: Callable, medium: str, part: str, rows: slice, storage: np.dtype, progress: tqdm.tqdm
) -> Iterator[tuple[int, dict[str, Any]]]:
    table = opened(medium)[0][part]
    items = zip(table.arrays["features"][rows], table.arrays["labels"][rows], strict=True)
    for row, (item, labels) in enumerate(items, rows.start):
        with np.errstate(over="ignore"):
            features = item.astype(storage)
        if not np.isfinite(features).all():
            column = np.flatnonzero(~np.isfinite(features))[0]
            raise InputError(
                f"{table.name}: item {row}, dimension {column} is {item[column]}, "
                f"which cannot be stored as a finite {storage}."
            )
        yield row, {"id": row, "features": features, "labels": labels}
        progress.update(1)
