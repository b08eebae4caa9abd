"""Makes and keeps an index of codes.

    python -m jhash.index create photos.index --bits 64 --metadata year:int --metadata title:text
    python -m jhash.index add photos.index --codes codes.npy --ids ids.txt --modality image --metadata photos.csv
    python -m jhash.index delete photos.index --ids old.txt
    python -m jhash.index compact|stats|verify photos.index
    python -m jhash.index export photos.index photos-export
    python -m jhash.index import photos.index photos-export

Codes are in any form that python -m jhash.evaluate takes; `python -m jhash.search` searches. A place may be a URI such
as s3://bucket/photos, with credentials in the environment.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tqdm

from jhash.command import exit_code
from jhash.data import given_codes
from jhash.data.given_codes import BIT_ORDERS
from jhash.index.collection import Index
from jhash.index.files import read_ids, read_metadata
from jhash.index.rows import check_ids, check_metadata, check_modality
from jhash.types import InputError

BLOCK = 65536  # codes added at a time, each block whole or not at all


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jhash.index", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=help, description=help)
        one.add_argument("place", metavar="PLACE", help="the index: a folder, or a URI")
        return one

    one = command("create", "an empty index")
    one.add_argument("--bits", type=int, metavar="K", help="length of its codes; a checkpoint knows it")
    one.add_argument("--metadata", action="append", default=[], metavar="NAME:KIND", help="int, float, text or bool")
    one.add_argument("--fingerprint", default="", metavar="TEXT", help="of the model that makes the codes")
    one.add_argument(
        "--checkpoint", type=Path, metavar="W", help="the workdir of the model, in place of its fingerprint"
    )
    one.add_argument("--seed", type=int, default=0, help="which of the workdir's runs")
    one.add_argument("--method", help="the workdir's own, or one of its baselines")

    one = command("add", "adds items, or replaces those whose ids are there")
    one.add_argument("--codes", required=True, metavar="FILE", help=".npy, .npz, .mat or .h5, with path:array")
    one.add_argument("--ids", type=Path, metavar="FILE", help="a line each, or .npy; else the metadata's column id")
    one.add_argument("--modality", help="of all; else the metadata's column modality")
    one.add_argument("--metadata", type=Path, metavar="FILE", help=".csv or .jsonl, a row for each code")
    one.add_argument("--packed", action="store_true", help="codes are packed bytes")
    one.add_argument("--bit-order", default="big", choices=BIT_ORDERS, help="of packed bytes")

    one = command("delete", "deletes items")
    one.add_argument("--ids", type=Path, required=True, metavar="FILE", help="a line each, or .npy")

    command("compact", "removes what was deleted or replaced from the disk, and versions older than an hour")
    command("verify", "reads everything and names what is damaged")
    command("stats", "what it holds").add_argument("--json", action="store_true", help="as JSON and nothing else")
    command("export", "writes plain files").add_argument("folder", type=Path, metavar="FOLDER")
    command("import", "a new index of what export wrote").add_argument("folder", type=Path, metavar="FOLDER")
    return parser


def _create(options: argparse.Namespace) -> None:
    bits, fingerprint = options.bits, options.fingerprint
    if options.checkpoint is not None:
        from jhash.trained import open_run  # networks and all, which no other command here needs

        run = open_run(options.checkpoint, options.seed, options.method)
        if fingerprint or bits not in (None, run.bits):
            raise InputError(f"{options.checkpoint}: its codes have {run.bits} bits and a fingerprint: leave both out.")
        bits, fingerprint = run.bits, run.fingerprint
    if bits is None:
        raise InputError("--bits: expected the length of the codes, or --checkpoint, found neither.")
    metadata = {}
    for column in options.metadata:
        name, _, kind = column.partition(":")
        if name in metadata:
            raise InputError(f"--metadata: expected each column once, found {name!r} twice.")
        metadata[name] = kind
    Index.create(options.place, bits=bits, fingerprint=fingerprint, metadata=metadata)
    print(f"{options.place}: an empty index of {bits} bits")


def _add(options: argparse.Namespace) -> None:
    with Index.open(options.place) as index:
        held = index.stats()
        codes = _read_codes(options, held.bits)
        columns = None if options.metadata is None else read_metadata(options.metadata, held.metadata)
        taken, metadata = ({}, {}) if columns is None else columns[:2]
        if columns is not None and columns.left:
            print(f"{options.metadata}: left out, for the index has no such columns: {', '.join(columns.left)}")
        ids = taken.get("id") if options.ids is None else read_ids(options.ids)
        modality = options.modality or taken.get("modality")
        if ids is None or modality is None:
            field = "ids: expected --ids" if ids is None else "modality: expected --modality"
            raise InputError(f"{field}, or a column of --metadata, found neither.")
        _check_lengths(options, len(codes), ids, metadata)
        ids, added, replaced = check_ids(ids), 0, 0
        modality, metadata = check_modality(modality, len(ids)), check_metadata(metadata, held.metadata, len(ids))
        for start in tqdm.trange(0, len(codes), BLOCK, desc="adding", unit="block", disable=len(codes) <= BLOCK):
            rows = slice(start, start + BLOCK)
            values = {name: column[rows] for name, column in metadata.items()}
            done = index.add(codes[rows], ids[rows], modality[rows], values)
            added, replaced = added + done.added, replaced + done.replaced
        items = index.stats().items
    print(f"{options.place}: {added:,} items added and {replaced:,} replaced; it holds {items:,}")


def _read_codes(options: argparse.Namespace, bits: int) -> np.ndarray:
    """±1 int8 [N, K]."""
    form = {"packed": options.packed, "bit_order": options.bit_order}
    return given_codes.read_codes(options.codes, "--codes", bits, **form, say=print)


def _check_lengths(options: argparse.Namespace, items: int, ids: list[str], metadata: dict[str, list]) -> None:
    """Here the sentence can name the file, which `Index.add` doesn't know."""
    if len(ids) != items:
        raise InputError(f"{options.ids or options.metadata}: expected {items} ids, one a code, found {len(ids)}.")
    for values in metadata.values():
        if len(values) != items:
            raise InputError(f"{options.metadata}: expected {items} rows, one a code, found {len(values)}.")


def _delete(options: argparse.Namespace) -> None:
    ids = read_ids(options.ids)
    with Index.open(options.place) as index:
        print(f"{options.place}: {index.delete(ids):,} of {len(ids):,} items deleted")


def _compact(options: argparse.Namespace) -> None:
    with Index.open(options.place) as index:
        print(f"{options.place}: {index.compact():,} rows removed")


def _verify(options: argparse.Namespace) -> None:
    print(f"{options.place}: {Index.open(options.place).verify():,} rows, all as they were written")


def _stats(options: argparse.Namespace) -> None:
    held = dataclasses.asdict(Index.open(options.place).stats())
    if options.json:
        print(json.dumps(held, indent=1))
        return
    for name, value in held.items():
        if isinstance(value, dict):
            value = ", ".join(
                f"{key} {one:,}" if isinstance(one, int) else f"{key} {one}" for key, one in value.items()
            )
        print(f"{name:12} {f'{value:,}' if isinstance(value, int) else value}")


def _export(options: argparse.Namespace) -> None:
    Index.open(options.place).export(options.folder)
    print(f"{options.folder}: codes.npy, items.jsonl, index.json")


def _import(options: argparse.Namespace) -> None:
    print(f"{options.place}: {Index.load_export(options.place, options.folder).stats().items:,} items")


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "create": _create,
    "add": _add,
    "delete": _delete,
    "compact": _compact,
    "verify": _verify,
    "stats": _stats,
    "export": _export,
    "import": _import,
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; 0, 2 behind one sentence on stderr, or 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: COMMANDS[options.command](options), "stopped; what was acknowledged is there")
