"""An index as plain files: codes.npy, items.jsonl and index.json, which any program reads and `read_export` checks."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jhash.data.source import write_array
from jhash.data.validate import load_npy
from jhash.index.fast import digest
from jhash.index.rows import Description, check_columns, check_ids, check_metadata, check_modality, codes_of
from jhash.types import InputError
from jhash.workdir import write_json


class Export(NamedTuple):
    """What an export holds."""

    bits: int
    fingerprint: str
    metadata: dict[str, str]  # column -> kind
    codes: np.ndarray  # uint8 [N, ceil(K / 8)]: bit j of byte w is bit 8w + j of the code
    ids: list[str]
    modality: list[str]
    values: Mapping[str, list]  # column -> [N]


def export(folder: Path, description: Description, parts: Iterable, items: int) -> None:
    """Writes the rows of an index, which come as Arrow tables of `items` rows together; whole or not at all.

    Raises:
        InputError: the folder has something in it, or can't be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder}: expected a new or empty folder for an export, found one with something in it.")
    partial = folder.absolute().with_name(f".{folder.absolute().name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        with open(partial / "items.jsonl", "w", encoding="utf-8") as file:
            codes = (_written(file, rows, description) for rows in parts)
            write_array(partial / "codes.npy", (items, description.width), np.uint8, codes)
        facts = {"format": 1, "bits": description.bits, "bit_order": "little", "items": items}
        facts |= {"fingerprint": description.fingerprint, "metadata": dict(description.metadata)}
        facts |= {"sha256": {name: digest(partial / name) for name in ("codes.npy", "items.jsonl")}}
        write_json(partial / "index.json", facts)
        partial.replace(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _written(file, rows, description: Description) -> np.ndarray:
    """Writes the items of some rows, a line each; their codes."""
    for item in rows.select(["id", "modality", *description.metadata]).to_pylist():
        file.write(json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n")
    return codes_of(rows)


def read_export(folder: Path) -> Export:
    """What `export` wrote. Raises InputError: a file that is missing or isn't what was written."""
    try:
        facts = json.loads((folder / "index.json").read_text())
        bits, items, fingerprint = int(facts["bits"]), int(facts["items"]), str(facts["fingerprint"])
        metadata = check_columns(facts["metadata"])
        for name in ("codes.npy", "items.jsonl"):
            if digest(folder / name) != facts["sha256"][name]:
                raise InputError(f"{folder / name}: expected what was written, found it changed.")
        with open(folder / "items.jsonl", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        ids, modality = ([line[name] for line in lines] for name in ("id", "modality"))
        values = {name: [line[name] for line in lines] for name in metadata}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder}: expected the export of an index, found none or a damaged one: {error}.") from error
    codes = load_npy(folder / "codes.npy")
    if codes.shape != (items, -(-bits // 8)) or codes.dtype != np.uint8 or len(ids) != items:
        raise InputError(f"{folder}: expected {items} packed codes of {bits} bits, found {list(codes.shape)}.")
    values = check_metadata(values, metadata, items)
    return Export(bits, fingerprint, metadata, codes, check_ids(ids), check_modality(modality, items), values)
