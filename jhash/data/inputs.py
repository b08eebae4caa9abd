"""What a trained model is to encode, as a user has it: arrays, texts, pictures, a dataset; read a block at a time.

features.npy, arrays.npz:image, clips.h5:frames, data.mat     arrays of numbers, an item a row
names.txt, names.jsonl                                         texts, an item a line, where the model has words
photos/, photos.zip, photo.jpg                                 pictures, where the model was trained from pixels
fashion/test                                                   a part of a dataset that jhash knows
converted/fcvid/float16/1.0.0:test                             a split of a conversion by jhash.data.convert

Strings [N] as `image_ids` of an .npz or .h5 are what the items of its array `image` are called: see jhash.extract.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash.data import listed, load, media, pairs
from jhash.data.decode import SUFFIXES
from jhash.data.files import read_strings
from jhash.data.given_files import ENDINGS
from jhash.data.rows import Shape, open_rows
from jhash.data.source import RecordTable
from jhash.data.validate import near
from jhash.types import InputError, Table

TEXTS = (".txt", ".jsonl")
BLOCK_ITEMS = {"pixels": 256, "features": 1024, "frames": 1024}  # a network's layers are larger than what it is given
BLOCK_BYTES = 32 * 2**20


class Wanted(NamedTuple):
    """What a model takes of one medium."""

    modality: str
    form: str  # 'pixels' uint8 [N, ...], 'features' [N, C] or 'frames' [N, T, C]
    shape: Shape  # of an item's pixels; else (C,)
    vocabulary: tuple[str, ...]  # of texts; () where they are vectors or the medium is another
    data: Mapping[str, Any]  # `config.data` of its run
    seed: int  # of its run

    def fits(self, shape: Shape) -> bool:
        """Whether an array [N, ...] of that shape can be encoded; pictures of one channel may lack its axis."""
        if self.form == "pixels":
            return self.shape in (shape[1:], (*shape[1:], 1))
        if self.form == "frames":
            return len(shape) == 3 and shape[2:] == self.shape
        return len(shape) > 1 and math.prod(shape[1:]) == self.shape[0]

    @property
    def said(self) -> str:
        """In words."""
        sizes = ", ".join(map(str, self.shape))
        start = {"pixels": "uint8 [items, ", "features": "[items, ", "frames": "[items, frames, "}[self.form]
        return f"{self.modality} {start}{sizes}]"


@dataclasses.dataclass(frozen=True)
class Items:
    """Items in their order."""

    name: str  # what a sentence calls them
    shape: Shape  # [N, ...]
    read: Callable[[int, int], np.ndarray]  # (start, stop) -> [stop - start, ...], as `Model.encode` takes them
    identity: dict[str, Any]  # of JSON's values: it differs where the items do
    names: Callable[[int, int], list[str]] | None = None  # (start, stop) -> what they are called, where they have names
    block: int = 1  # how many are best read at once
    broken: Mapping[int, str] | None = None  # row -> what is wrong, of those read so far; None: they aren't skipped

    def __len__(self) -> int:
        return self.shape[0]


def open_items(given: str, wanted: Wanted, field: str = "--input", skip: bool = False) -> Items:
    """Finds out what was given and opens it.

    Args:
        given: see above.
        wanted: what the model takes.
        field: what a sentence calls it.
        skip: pictures and clips that cannot be decoded are read as black ones and said in `Items.broken`.

    Raises:
        InputError: nothing there, nothing in it, or nothing that the model can encode; nothing of which broken items
            could be skipped.
    """
    items = _opened(given, wanted, field, skip)
    if skip and items.broken is None:
        raise InputError(
            f"{given}: --broken: expected a folder or .zip of pictures or clips to skip in, found neither."
        )
    if not len(items):
        raise InputError(f"{given}: {field}: expected at least one item, found none.")
    size = 4 * math.prod(items.shape[1:])
    return dataclasses.replace(items, block=max(1, min(BLOCK_ITEMS[wanted.form], BLOCK_BYTES // size, len(items))))


def is_named(given: str) -> bool:
    """Whether it is written like a file's or a dataset's name and not like words: 'shoes' may well be a folder.

    A file of that name need not be there.
    """
    endings = (*ENDINGS, *TEXTS, *SUFFIXES, ".zip")
    kinds = {Path(part).suffix.lower() for part in (given, given.split(":")[0])}
    return bool(kinds & set(endings)) or _dataset(given) is not None or _conversion(given)[0] is not None


def _opened(given: str, wanted: Wanted, field: str, skip: bool) -> Items:
    path = Path(given)
    folder, split = _conversion(given)
    if folder is not None:
        return _of_conversion(folder, split, wanted, field)
    if path.suffix in TEXTS:
        return _of_texts(path, wanted, field)
    if path.is_dir() or path.suffix.lower() in (".zip", *SUFFIXES):
        return _of_pictures(path, wanted, field, skip)
    if not path.exists() and _dataset(given) is not None:
        return _of_dataset(given, wanted, field)
    if wanted.vocabulary and path.is_file() and path.suffix not in ENDINGS:
        raise InputError(
            f"{path}: {field}: expected texts in {' or '.join(TEXTS)}, or an array in {', '.join(ENDINGS)}, found "
            f"{path.suffix!r}."
        )
    return _of_array(given, wanted, field)


# ---- arrays


def _of_array(given: str, wanted: Wanted, field: str) -> Items:
    rows = open_rows(given, field, wanted.fits)
    _check_shape(given, field, rows.shape, wanted)
    read = _checked(given, rows.read, wanted)
    identity = listed.stamp(rows.path) | {"array": rows.name, "shape": list(rows.shape)}
    ids = read_strings(rows.path, f"{rows.name}_ids", rows.shape[0])
    return Items(given, rows.shape, read, identity, (lambda start, stop: list(ids[start:stop])) if ids else None)


def _check_shape(where: str, field: str, shape: Shape, wanted: Wanted) -> None:
    if not wanted.fits(shape):
        words = ", or texts in .txt or .jsonl" if wanted.vocabulary else ""
        raise InputError(f"{where}: {field}: expected {wanted.said}{words}, found {list(shape)}.")


def _checked(where: str, read: Callable[[int, int], np.ndarray], wanted: Wanted) -> Callable[[int, int], np.ndarray]:
    """Pixels must be uint8; other numbers become float32 and must be finite as such."""

    def checked(start: int, stop: int) -> np.ndarray:
        values = read(start, stop)
        if wanted.form == "pixels":
            if values.dtype != np.uint8:
                raise InputError(f"{where}: expected pixels in uint8, found {values.dtype}.")
            return values
        stored = values
        with np.errstate(over="ignore"):
            values = stored.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            place = np.argwhere(~finite)[0]
            found = f"{stored[tuple(place)]} in item {start + place[0]}, place {place[1:].tolist()}"
            raise InputError(f"{where}: expected finite numbers in float32, found {found}.")
        return values

    return checked


# ---- texts and pictures


def _of_texts(path: Path, wanted: Wanted, field: str) -> Items:
    if not wanted.vocabulary:
        raise InputError(f"{path}: {field}: expected {wanted.said}, for the model has no words, found texts.")
    texts = listed.Texts(path, wanted.vocabulary)
    named = texts.names if path.suffix == ".jsonl" and texts.named else None
    return Items(str(path), (texts.size, len(wanted.vocabulary)), texts.bags, listed.stamp(path), named)


def _of_pictures(path: Path, wanted: Wanted, field: str, skip: bool) -> Items:
    if wanted.form != "pixels" or len(wanted.shape) not in (3, 4) or wanted.shape[-1] != 3:
        raise InputError(f"{path}: {field}: expected {wanted.said}, which no pictures are, found pictures or a folder.")
    found = listed.Pictures(path, wanted.shape, wanted.data.get("fit", "whole"), skip)
    items = Items(str(path), (len(found.paths), *wanted.shape), found.read, found.identity(), found.names)
    return dataclasses.replace(items, broken=found.broken if skip else None)


# ---- datasets


def _dataset(given: str) -> tuple[str, str] | None:
    """'fashion/test' -> its halves, where there is such a dataset."""
    match = re.fullmatch(r"(\w+)/(\w+)", given)
    return match.groups() if match and match[1] in load.FIELDS else None


def _of_dataset(given: str, wanted: Wanted, field: str) -> Items:
    """A part as it is stored, with the fields of the run's own config where that is the run's dataset."""
    name, part = _dataset(given)
    own = dict(wanted.data) if wanted.data.get("name") == name else {"name": name}
    own["fold"] = own.get("fold", "") if name == "raw" else ""  # the whole part, whatever the run left out of it
    tables, texts = _tables(load.complete(own), wanted)
    if part not in tables:
        known = ", ".join(f"{name}/{one}" for one in tables)
        raise InputError(f"{given}: {field}: expected one of {known}, found {part!r}{near(part, tables)}.")

    def names(start: int, stop: int) -> list[str]:
        return [f"{wanted.modality}/{part}/{row}" for row in range(start, stop)]

    identity = {"dataset": {key: str(value) for key, value in own.items()}, "part": part}
    if wanted.vocabulary and part in texts:
        bags = listed.bags_of(texts[part], wanted.vocabulary)
        return Items(given, (len(texts[part]), len(wanted.vocabulary)), bags, identity, names)
    return dataclasses.replace(_of_table(tables[part], given, wanted, field, identity), names=names)


def _tables(config: Mapping[str, Any], wanted: Wanted) -> tuple[dict[str, Table], dict[str, Any]]:
    """Part -> its table, and, where its items are texts that a person can read, part -> these."""
    name, medium = config["name"], wanted.modality
    if name in media.MEDIA:
        opened = media.open_medium(config, medium)
        parts = {part: getattr(opened, part) for part in ("train", "test", "database")}
        return {part: table for part, table in parts.items() if table is not None}, {}
    if name in pairs.PAIRS:
        stored = pairs.open_pairs(config, wanted.seed, (medium,))
        texts = {part: stored.shown[f"{medium}/{part}"] for part in stored.parts if f"{medium}/{part}" in stored.shown}
        return {part: tables[medium] for part, tables in stored.parts.items()}, texts
    if medium != "video":
        raise InputError(f"--modality: expected a medium of {name}, video, found {medium!r}.")
    return load.open_parts(config, wanted.seed), {}


def _of_table(table: Table, where: str, wanted: Wanted, field: str, identity: dict[str, Any]) -> Items:
    column = next(name for name in table.columns if name != "labels")
    shape = (len(table), *table.columns[column].shape)
    _check_shape(where, field, shape, wanted)

    def read(start: int, stop: int) -> np.ndarray:
        return table.read(np.arange(start, stop), [column])[column]

    return Items(where, shape, _checked(where, read, wanted), identity | {"shape": list(shape)})


def _conversion(given: str) -> tuple[Path | None, str]:
    """'folder:split' -> its halves where the folder is a conversion, 'folder' -> itself and ''; else None."""
    for folder, split in ((given, ""), given.rpartition(":")[::2]):
        if folder and (Path(folder) / "dataset_info.json").is_file():
            return Path(folder), split
    return None, ""


def _of_conversion(folder: Path, split: str, wanted: Wanted, field: str) -> Items:
    files = sorted(folder.glob("*.array_record-*"))
    splits = sorted({file.name.split(".array_record-")[0].split("-", 1)[-1] for file in files})
    chosen = split or (splits[0] if len(splits) == 1 else "")
    if chosen not in splits:
        found = f"{split!r}{near(split, splits)}" if split else "none named"
        raise InputError(f"{folder}: {field}: expected a split, one of {', '.join(splits) or 'none'}, found {found}.")
    columns = {"frames": ("frames",), "pixels": ("image",), "features": ("features", "text")}[wanted.form]
    column = "text" if (wanted.modality, chosen) == ("text", "pairs") else columns[0]
    try:
        table = RecordTable(str(folder), folder, chosen, {}, column)
    except (KeyError, ValueError, OSError) as error:
        raise InputError(
            f"{folder}: {field}: expected what python -m jhash.data.convert wrote, with {column!r}: {error}"
        ) from error
    identity = listed.stamp(folder / "dataset_info.json") | {"split": chosen, "column": column}
    return _of_table(table, f"{folder}:{chosen}", wanted, field, identity)
