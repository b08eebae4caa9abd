"""From a user's photographs or clips, with words and labels, to features of a pretrained network in files of pairs.

    python -m jhash.extract shop/items.csv shop.npz --image-column file --text-column name --label-columns kind \\
        --split-column split --root shop/pictures.zip --backbone vgg16 --weights vgg16.safetensors

shop.npz then has `image` [N, 4096] float32 (of clips `video`), their paths `image_ids` [N], `text` [N, V] float32 of
0/1, `labels` [N, C] uint8 of 0/1, `split` [N] of 0 (train) and 1 (test), and the names of columns: `classes` [C] and
`words` [V]. The items of a part stay in the manifest's order, the training part comes first. Where the manifest has a
database part, each part is a file of its own, shop_train.npz, shop_test.npz and shop_database.npz: in one file, all
that does not ask is trained on.

    python -m jhash.extract new/items.csv new.npz --image-column file --backbone vgg16 --weights vgg16.safetensors

Without columns of texts, labels and splits new.npz has `image` and `image_ids` alone, in the manifest's order: for a
trained model. `jhash.encode` puts its codes into an index under these ids.
"""

import argparse
import contextlib
import fcntl
import functools
import os
import shlex
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import h5py
import jax
import numpy as np

from jhash.command import exit_code
from jhash.data import raw
from jhash.data.manifest import PARTS, read_manifest
from jhash.data.source import blocks
from jhash.types import InputError, Table, Tree
from jhash.weights import BACKBONES, read_weights

SECONDS = 10.0  # between two lines on how far it is


class Column(NamedTuple):
    """An array of a file, block by block as it comes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Iterable[np.ndarray]


class Network(NamedTuple):
    """A backbone with its weights, compiled for one size of batch."""

    apply: Callable[[np.ndarray], jax.Array]  # uint8 [batch, ...] -> [batch, width]
    batch: int
    width: int


def extract(
    config: Mapping[str, Any],
    output: Path,
    backbone: str,
    weights: Path | None,
    batch: int = 16,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Reads a manifest's media, sends the pictures or clips through a backbone, and returns the files written.

    Sizes of pictures and clips follow from the backbone. Memory holds the weights and a batch: what is decoded lies in
    the config's cache, or else in a hidden folder beside the output, where all files grow too. They get their names
    when they are whole; then the folder is deleted.

    Args:
        config: fields of `jhash.data.raw.FIELDS`: manifest, image_column or video_column, and text_column,
            label_columns and split_column or none of these.
        output: ends in .npz or .h5.
        backbone: a name in `jhash.weights.BACKBONES`.
        weights: what `jhash.weights.read_weights` reads.
        batch: items that the network sees at once.
        say: gets a line now and then.

    Raises:
        InputError: one sentence on what is missing, wrong, broken or in the way.
    """
    output = Path(output)
    config = _complete(config, backbone, batch)
    medium = _medium(config, backbone)
    _check_files(config, output, weights)
    network = _network(backbone, weights, batch)
    with _workshop(output) as folder:
        say(f"{config['manifest']}: reading pictures, clips and words.")
        found = raw.open_raw({**config, "cache": config["cache"] or str(folder / "decoded")}, say)
        files = _files(output, tuple(found.parts))
        _check_space(folder, found, medium, network)
        for path, parts in files.items():
            columns = _columns(found, parts, medium, network)
            told = _told(columns[medium], f"{path}: {medium}", say)
            _write(folder / path.name, columns | {medium: told})
        for path in files:
            path.unlink(missing_ok=True)  # a new part never stands beside an old one, whenever it is killed
        for path in files:
            os.replace(folder / path.name, path)
    return list(files)


def command(files: Sequence[Path], medium: str) -> str:
    """What to type to train on the files that `extract` returned."""
    quoted = [shlex.quote(str(path)) for path in files]
    if len(files) == 1:
        data = [f"train={quoted[0]}", "split_array=split", 'query_values="(1,)"']
    else:
        data = [f"{field}={path}" for field, path in zip(("train", "query", "database"), quoted, strict=True)]
    fields = [f"--config.modalities=\"('{medium}','text')\"", *(f"--config.data.{field}" for field in data)]
    return " ".join(["python -m jhash.launch --config dsmhn_files", *fields])


def _complete(config: Mapping[str, Any], backbone: str, batch: int) -> dict[str, Any]:
    """All fields of a raw dataset, its items of the size that the backbone's weights were made for."""
    if backbone not in BACKBONES:
        raise InputError(f"--backbone: expected one of {', '.join(BACKBONES)}, found {backbone!r}.")
    if batch < 1:
        raise InputError(f"--batch: expected 1 or more, found {batch}.")
    *frames, height, width, _ = BACKBONES[backbone].items
    sizes = {"height": height, "width": width} | ({"frames": frames[0]} if frames else {})
    return {**raw.FIELDS, **config, **sizes}


def _medium(config: Mapping[str, Any], backbone: str) -> str:
    """'image' or 'video', whichever the backbone takes; the config must name a column of it, and none of the other."""
    medium, other = ("image", "video") if len(BACKBONES[backbone].items) == 3 else ("video", "image")
    beside = ("text_column", "label_columns", "split_column")  # all of them to train on, none to encode
    for field in (f"{medium}_column", *(beside if any(config[field] for field in beside) else ())):
        if not config[field]:
            option = field.replace("_", "-")
            raise InputError(f"--{option}: expected a column of the manifest, found none.")
    if config[f"{other}_column"]:
        found = config[f"{other}_column"]
        raise InputError(f"--{other}-column: {backbone} takes a column of {medium}s alone, found {found!r}.")
    return medium


def _check_files(config: Mapping[str, Any], output: Path, weights: Path | None) -> None:
    """What can be known before hours of work: an ending, weights, a test part."""
    if output.suffix not in (".npz", ".h5"):
        raise InputError(f"{output}: expected a file ending in .npz or .h5, found {output.suffix or 'no ending'}.")
    if weights is None:
        raise InputError("--weights: expected a file, found none: features of an untrained network are noise.")
    if any(Path(weights).resolve() == path.resolve() for path in (output, *_files(output, PARTS))):
        raise InputError(f"{output}: expected another file than the weights.")
    items, _ = read_manifest(Path(config["manifest"]), config)
    if config["split_column"] and not any(item.part == "test" for item in items):
        found = f"{len(items)} items for training or the database"
        raise InputError(f"{config['manifest']}: expected items whose {config['split_column']} is test, found {found}.")


def _network(backbone: str, weights: Path, batch: int) -> Network:
    module, variables = BACKBONES[backbone].module, jax.device_put(read_weights(weights, backbone))
    items = jax.ShapeDtypeStruct((batch, *BACKBONES[backbone].items), np.uint8)
    width = jax.eval_shape(functools.partial(_apply, module), variables, items).shape[1]
    return Network(functools.partial(_apply, module, variables), batch, width)


@functools.partial(jax.jit, static_argnums=0)
def _apply(module: nn.Module, variables: Tree, items: jax.Array) -> jax.Array:
    return module.apply(variables, items)


def _files(output: Path, parts: Sequence[str]) -> dict[Path, tuple[str, ...]]:
    """Which parts go into which file."""
    if "database" not in parts:
        return {output: tuple(parts)}
    return {output.with_name(f"{output.stem}_{part}{output.suffix}"): (part,) for part in parts}


@contextlib.contextmanager
def _workshop(output: Path) -> Iterator[Path]:
    """A hidden folder beside the output, for one process at a time; what a killed one left is used or deleted."""
    folder = output.with_name(f".{output.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(held)
    except BlockingIOError as error:
        raise InputError(f"{output}: another extraction into this file is at work.") from error
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror or error}.") from error


def _check_space(folder: Path, found: raw.Raw, medium: str, network: Network) -> None:
    items = sum(len(tables[medium]) for tables in found.parts.values())
    path = max(len(one) for paths in found.paths.values() for one in paths[medium])
    needed = items * (4 * network.width + 4 * len(found.vocabulary) + len(found.classes) + 4 * path + 8)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{folder}: the features need {needed} bytes of disk, only {free} are free.")


def _columns(found: raw.Raw, parts: Sequence[str], medium: str, network: Network) -> dict[str, Column]:
    """The arrays of one file: rows of one part follow those of another."""
    pictures = [found.parts[part][medium] for part in parts]
    items = sum(map(len, pictures))
    seen = Column((items, network.width), np.float32, (v for table in pictures for v in features(table, network)))
    named = {medium: seen, f"{medium}_ids": _strings([one for part in parts for one in found.paths[part][medium]])}
    if not found.texts:
        return named
    texts = [found.parts[part]["text"] for part in parts]

    def end_to_end(tables: Sequence[Table], column: str) -> Iterator[np.ndarray]:
        return (block[column] for table in tables for _, block in blocks(table, [column]))

    columns = named | {
        "text": Column((items, len(found.vocabulary)), np.float32, end_to_end(texts, "features")),
        "labels": Column((items, len(found.classes)), np.uint8, end_to_end(texts, "labels")),
    }
    if len(parts) > 1:
        split = np.repeat([PARTS.index(part) for part in parts], [len(table) for table in pictures])
        columns["split"] = Column(split.shape, split.dtype, [split])
    return columns | {"classes": _strings(found.classes), "words": _strings(found.vocabulary)}


def _strings(words: Sequence[str]) -> Column:
    array = np.array(words)
    return Column(array.shape, array.dtype, [array])


def features(table: Table, network: Network) -> Iterator[np.ndarray]:
    """The features [b, F] of a table's items, batch by batch; its last row fills the last batch up, and is cut off."""
    for start in range(0, len(table), network.batch):
        rows = np.minimum(np.arange(start, start + network.batch), len(table) - 1)
        values = network.apply(table.read(rows, ["features"])["features"])
        yield np.asarray(values)[: len(table) - start]


def _told(column: Column, what: str, say: Callable[[str], None]) -> Column:
    """The same column, which says now and then how far it is."""

    def told() -> Iterator[np.ndarray]:
        items, done, began = column.shape[0], 0, time.monotonic()
        last = began
        for values in column.blocks:
            yield values
            done, now = done + len(values), time.monotonic()
            if now - last >= SECONDS or done == items:
                say(f"{what}: {done} of {items} items, {done / max(now - began, 1e-9):.1f} a second.")
                last = now

    return column._replace(blocks=told())


def _write(path: Path, columns: Mapping[str, Column]) -> None:
    (_write_npz if path.suffix == ".npz" else _write_h5)(path, columns)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _write_npz(path: Path, columns: Mapping[str, Column]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, column in columns.items():
            descr = np.lib.format.dtype_to_descr(np.dtype(column.dtype))
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": descr, "fortran_order": False, "shape": column.shape}
                np.lib.format.write_array_header_1_0(member, header)
                for values in column.blocks:
                    member.write(np.ascontiguousarray(values, column.dtype).tobytes())


def _write_h5(path: Path, columns: Mapping[str, Column]) -> None:
    with h5py.File(path, "w") as file:
        for name, column in columns.items():
            text = np.dtype(column.dtype).kind == "U"
            dataset = file.create_dataset(name, column.shape, h5py.string_dtype() if text else column.dtype)
            start = 0
            for values in column.blocks:
                dataset[start : start + len(values)] = values.astype(object) if text else values
                start += len(values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jhash.extract", description=__doc__.split("\n")[0])
    parser.add_argument("manifest", metavar="MANIFEST.csv", help="a .csv in UTF-8 with a header, an item a line")
    parser.add_argument("output", type=Path, metavar="OUT", help="what is written, an .npz or .h5")
    parser.add_argument("--image-column", default="", metavar="NAME", help="paths of photographs")
    parser.add_argument("--video-column", default="", metavar="NAME", help="paths of clips, for c3d: 16 frames each")
    parser.add_argument("--text-column", default="", metavar="NAME", help="texts; 'name;caption' joins two columns")
    parser.add_argument("--label-columns", default=(), nargs="+", metavar="NAME", help="what makes items alike")
    parser.add_argument("--split-column", default="", metavar="NAME", help="'train', 'test' or 'database'")
    parser.add_argument("--root", default="", metavar="PATH", help="where paths begin, a folder or .zip")
    parser.add_argument("--backbone", required=True, choices=sorted(BACKBONES))
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="published weights, see python -m jhash.weights -h"
    )
    parser.add_argument("--batch", type=int, default=16, help="items that the network sees at once")
    parser.add_argument("--cache", default="", metavar="DIR", help="keeps what is decoded for another run")
    parser.add_argument("--broken", default="refuse", choices=("refuse", "skip"), help="items that cannot be decoded")
    return parser


def _run(options: dict[str, Any]) -> None:
    output, backbone, weights, batch = (options.pop(name) for name in ("output", "backbone", "weights", "batch"))
    files = extract(options, output, backbone, weights, batch, functools.partial(print, flush=True))
    medium = "video" if options["video_column"] else "image"
    if options["text_column"]:
        print(f"{', '.join(map(str, files))}: whole. To train on it:\n    {command(files, medium)}")
        return
    given = f"--input {shlex.quote(str(output))} --modality {medium} --output codes.npy"
    print(f"{output}: whole. To encode it:\n    python -m jhash.encode --checkpoint WORKDIR {given}")


def main(arguments: list[str] | None = None) -> int:
    """Extracts and says what to type next; 0, 2 behind one sentence on stderr, or 130 after Ctrl-C."""
    options = vars(_parser().parse_args(arguments))
    return exit_code(lambda: _run(options), "stopped; the same command begins again")


if __name__ == "__main__":
    sys.exit(main())
