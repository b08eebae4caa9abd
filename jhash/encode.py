"""Codes of new items by a trained method, from a file, a folder or a dataset into a file of codes, an index, or both.

    python -m jhash.encode --checkpoint runs/fashion --input photos.zip --modality image --output codes.npy
    python -m jhash.encode --checkpoint runs/fashion --input names.txt --modality text --index shop.index

The codes are -1 and +1 in int8 [N, K], or with --packed uint8 [N, ceil(K / 8)] in numpy.packbits' order of bits, big,
which `python -m jhash.evaluate --packed` reads by default. Memory holds a block of items and the names of files or the
ids, however many there are. A command that was stopped or killed goes on where it was when it is given again.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tqdm

from jhash.code_file import CodeFile, growing
from jhash.command import exit_code
from jhash.data.inputs import Items, open_items
from jhash.index import Index
from jhash.index.files import read_ids
from jhash.index.rows import check_ids
from jhash.trained import Run, check_bits, encoded, open_run, wanted
from jhash.types import InputError

ADDED = 2**16  # codes that an index gets at once
QUIET_SECONDS = 10.0  # between two lines on how far it is, where nobody watches a terminal


class Encoded(NamedTuple):
    """What `encode` did."""

    items: int
    new: int  # that this call encoded, the rest were there
    seconds: float
    replaced: int  # items of the index that had the same ids


def encode(
    run: Run,
    given: str,
    *,
    modality: str | None = None,
    output: Path | None = None,
    packed: bool = False,
    index: str | None = None,
    ids: Path | None = None,
    say: Callable[[str], None] = print,
) -> Encoded:
    """Encodes all items into a file, an index, or both.

    Without an output the codes grow in <index>.<modality>.npy.partial beside the index, and are then added to it.

    Args:
        run: whose codes.
        given: see `jhash.data.inputs`.
        modality: a medium that was trained; None is the only one.
        output: an .npy.
        packed: a bit a bit in the output, and not a byte a bit.
        index: a collection, made where there is none.
        ids: a file of the items' ids in the index, see `jhash.index.files.read_ids`.
        say: gets a line where the work goes on from an earlier one.

    Raises:
        InputError: one sentence on what is missing or wrong.
    """
    _check_places(given, output, index, ids)
    want = wanted(run, modality)
    items = open_items(given, want)
    named = _ids(items, want.modality, ids)
    collection = None if index is None else open_index(run, index, say)
    packed = packed or output is None
    width = -(-run.bits // 8) if packed else run.bits
    made = {"input": items.identity, "modality": want.modality, "block": items.block, "packed": packed}
    made |= {"model": run.fingerprint}
    path = output or Path(f"{Path(index)}.{want.modality}.npy")
    began = time.monotonic()
    with growing(path, len(items), width, np.uint8 if packed else np.int8, made, say) as codes:
        before = codes.done
        with _bar("encode", len(items), before) as bar:
            for block in encoded(run, items, want.modality, before):
                codes.append(np.packbits(block > 0, axis=1) if packed else block)
                bar.update(len(block))
        seconds = time.monotonic() - began
        replaced = 0 if collection is None else _add(collection, codes, run.bits, packed, named, want.modality)
        codes.finish(keep=output is not None)
    return Encoded(len(items), len(items) - before, seconds, replaced)


def _check_places(given: str, output: Path | None, index: str | None, ids: Path | None) -> None:
    if output is None and index is None:
        raise InputError("--output: expected a file, or --index a collection, found neither.")
    if output is None and "://" in index:
        raise InputError("--output: expected a file too, for codes on their way to an index on object storage.")
    if output is not None and output.suffix != ".npy":
        raise InputError(
            f"{output}: --output: expected a name that ends in .npy, found {output.suffix or 'no ending'}."
        )
    if output is not None and (output.is_dir() or output.resolve() == Path(given).resolve()):
        raise InputError(f"{output}: --output: expected another place than the input or a folder.")
    if ids is not None and index is None:
        raise InputError("--ids: expected an --index whose items they name, found none.")


def _ids(items: Items, modality: str, file: Path | None) -> Callable[[int, int], list[str]]:
    """(start, stop) -> the items' ids: those of a file, their names, or 'video/17'."""
    if file is not None:
        ids = check_ids(read_ids(file))
        if len(ids) != len(items):
            raise InputError(f"{file}: --ids: expected {len(items):,} lines, an id an item, found {len(ids):,}.")
        return lambda start, stop: ids[start:stop]
    return items.names or (lambda start, stop: [f"{modality}/{row}" for row in range(start, stop)])


def open_index(run: Run, place: str, say: Callable[[str], None]) -> Index:
    """The collection there, or a new one of the run's codes. Raises InputError: it is of another model or length."""
    if "://" in place or Path(place).exists():
        index = Index.open(place, fingerprint=run.fingerprint)
        check_bits(run, place, index.stats().bits)
        return index
    index = Index.create(place, bits=run.bits, fingerprint=run.fingerprint)
    say(f"{place}: a new collection of codes of {run.bits} bits.")
    return index


def _add(
    index: Index, codes: CodeFile, bits: int, packed: bool, named: Callable[[int, int], list[str]], modality: str
) -> int:
    """How many were replaced. What is added twice, as after a kill, replaces itself."""
    rows, replaced = codes.rows(), 0
    with index, _bar("add to the index", len(rows), 0) as bar:
        for start in range(0, len(rows), ADDED):
            block = np.array(rows[start : start + ADDED])
            signs = np.where(np.unpackbits(block, axis=1, count=bits) > 0, 1, -1).astype(np.int8) if packed else block
            replaced += index.add(signs, named(start, start + len(block)), modality).replaced
            bar.update(len(block))
    return replaced


def _bar(what: str, items: int, done: int) -> tqdm.tqdm:
    often = {} if sys.stderr.isatty() else {"mininterval": QUIET_SECONDS}
    return tqdm.tqdm(total=items, initial=done, desc=what, unit=" items", file=sys.stderr, **often)


# ---- the command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jhash.encode", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="W", help="the workdir of an experiment")
    parser.add_argument("--seed", type=int, default=0, help="which of its runs")
    parser.add_argument("--method", metavar="NAME", help="the experiment's own method, or one of its baselines")
    kinds = "arrays, path:array, texts, pictures, dataset/part; see python -m pydoc jhash.data.inputs"
    parser.add_argument("--input", required=True, metavar="ITEMS", help=kinds)
    parser.add_argument("--modality", metavar="NAME", help="a medium that was trained, where it is more than one")
    parser.add_argument("--output", type=Path, metavar="CODES.npy", help="what is written")
    parser.add_argument("--packed", action="store_true", help="a bit a bit, in numpy.packbits' order")
    parser.add_argument("--index", metavar="I", help="adds the codes to this collection, which is made if need be")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="ids of the items in the index, a line each, or .npy")
    return parser


def _run(options: argparse.Namespace) -> None:
    run = open_run(options.checkpoint, options.seed, options.method)
    names = ("modality", "output", "packed", "index", "ids")
    done = encode(run, options.input, **{name: getattr(options, name) for name in names}, say=print)
    speed = f", {done.new / max(done.seconds, 1e-9):,.0f} items a second" if done.new else ""
    before = f", {done.items - done.new:,} of them before" if done.new < done.items else ""
    places = [f"{options.output}, {'packed uint8' if options.packed else 'int8'}"] if options.output else []
    if options.index:
        places.append(f"{options.index}" + (f", {done.replaced:,} in place of others" if done.replaced else ""))
    print(f"{done.items:,} items of {run.bits} bits{before}{speed}: {' and '.join(places)}")


def main(arguments: list[str] | None = None) -> int:
    """Encodes and says what it did; 0, 2 behind one sentence on stderr, or 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options), "stopped; the same command goes on from here")


if __name__ == "__main__":
    sys.exit(main())
