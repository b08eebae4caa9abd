"""What a dataset needs before anything is run: files found, shapes, disk for a conversion, memory when resident."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jhash.data import published, published_media, published_pairs
from jhash.data.load import complete, open_parts
from jhash.data.source import H5Table, Subset


def conversion_bytes(dataset: str, directory: str, storage: str) -> int:
    """Disk bytes of an array_record conversion, a little for what stands around the items included.

    Raises:
        InputError: missing or damaged files.
    """
    if dataset in published_media.FIELDS:
        return published_media.conversion_bytes(dataset, directory, storage)
    if dataset in published_pairs.FIELDS:
        return published_pairs.conversion_bytes(dataset, directory, storage)
    total = 0
    for part in published.DATASETS[dataset]:
        table = published.open_h5(dataset, directory, part)
        labels = int(np.prod(table.columns["labels"].shape)) * len(table) if "labels" in table.columns else 0
        item = int(np.prod(table.columns["frames"].shape)) * np.dtype(storage).itemsize
        total += round(1.01 * len(table) * item) + 2 * labels
    return total


def plan(config: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """What `load_dataset` would read with this `config.data`; only headers and labels are read.

    Returns:
        `parts`: part -> {'name', 'shape' [N, T, C], 'dtype', 'labels' (classes or 0), 'files' {path: bytes}, 'layout'};
        `resident_bytes`: part -> its float32 frames after frame sampling, as resident training holds them;
        `convert_bytes`: storage -> disk bytes, for published .h5 files.

    Raises:
        InputError: missing or damaged files.
    """
    config = complete(config)
    opened = open_parts(config, seed)
    parts, memory = {}, {}
    for part, table in opened.items():
        source = table.table if isinstance(table, Subset) else table
        frames = table.columns["frames"]
        files = {str(path): path.stat().st_size for path in getattr(source, "paths", ())}
        shape = [len(table), *frames.shape]
        parts[part] = {
            "name": table.name,
            "shape": shape,
            "dtype": str(frames.dtype),
            "labels": table.columns["labels"].shape[0] if "labels" in table.columns else 0,
            "files": files,
            "layout": layout(source) if isinstance(source, H5Table) else "",
        }
        memory[part] = 4 * len(table) * (config["frames"] or frames.shape[0]) * frames.shape[1]
    result = {"dataset": config["name"], "parts": parts, "resident_bytes": memory}
    if config.get("format") == "h5":
        sizes = {s: conversion_bytes(config["name"], config["dir"], s) for s in ("float32", "float16")}
        result["convert_bytes"] = sizes
    return result


def layout(table: H5Table) -> str:
    """How the frames lie in the file: single rows are read fast where it is contiguous or a chunk holds one item."""
    first = table.shards[0]
    if first.chunks is None:
        return "contiguous"
    return f"chunks {list(first.chunks)}" + (f", {first.compression}" if first.compression else "")


def lines(planned: Mapping[str, Any]) -> list[str]:
    """The plan as text for a terminal."""
    result = [f"data {planned['dataset']}"]
    for part, found in planned["parts"].items():
        labels = f"{found['labels']} classes" if found["labels"] else "no labels"
        result.append(f"  {part}: {found['shape']} {found['dtype']}, {labels} ({found['name']})")
        for path, size in found["files"].items():
            result.append(f"    {path}: {size / 2**30:.2f} GiB" + (f", {found['layout']}" if found["layout"] else ""))
        result.append(f"    resident in float32: {planned['resident_bytes'][part] / 2**30:.2f} GiB")
    for storage, size in planned.get("convert_bytes", {}).items():
        result.append(f"  array_record conversion in {storage}: {size / 2**30:.2f} GiB of disk")
    return result
