"""Codes of new items by a trained method, from a file, a folder or a dataset into a file of codes, an index, or both.

    python -m jhash.encode --checkpoint runs/fashion --input photos.zip --modality image --output codes.npy
    python -m jhash.encode --checkpoint runs/fashion --input names.txt --modality text --index shop.index

The codes are -1 and +1 in int8 [N, K], or with --packed uint8 [N, ceil(K / 8)] in numpy.packbits' order of bits, big,
which `python -m jhash.evaluate --packed` reads by default. Memory holds a block of items and the names of files or the
ids, however many there are. A command that was stopped or killed goes on where it was when it is given again.

Row i is item i, pictures in the order of their names. With --broken skip pictures and clips that cannot be decoded have
no row and get no place in the index; they are named and counted on stderr. codes.npy.ids.txt then has a line for each
row of codes.npy, the item's id, as `python -m jhash.index add --ids` takes it. (Where such a file is already there, any
command that writes codes.npy writes it too, so that the two never differ.) A command that was refused at a broken
picture goes on from there when it is given again with --broken skip.
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


NAMED = 3  # broken items that the last line names


class Encoded(NamedTuple):
    """What `encode` did."""

    items: int  # that have a code
    broken: int  # that have none
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
    skip: bool = False,
    say: Callable[[str], None] = print,
    warn: Callable[[str], None] = print,
) -> Encoded:
    """Encodes all items into a file, an index, or both.

    Without an output the codes grow in <index>.<modality>.npy.partial beside the index, and are then added to it.
    Where items are skipped, <output>.ids.txt has the ids of those that have a row.

    Args:
        run: whose codes.
        given: see `jhash.data.inputs`.
        modality: a medium that was trained; None is the only one.
        output: an .npy.
        packed: a bit a bit in the output, and not a byte a bit.
        index: a collection, made where there is none.
        ids: a file of the items' ids in the index, see `jhash.index.files.read_ids`.
        skip: leaves out pictures and clips that cannot be decoded.
        say: gets a line where the work goes on from an earlier one.
        warn: gets a line on each item that is skipped, and one on all of them.

    Raises:
        InputError: one sentence on what is missing or wrong; a broken item, unless they are skipped and not all are.
    """
    _check_places(given, output, index, ids)
    want = wanted(run, modality)
    items = open_items(given, want, skip=skip)
    named = _ids(items, want.modality, ids)
    listed = None
    if output is not None and (skip or ids_beside(output).exists()):
        listed = ids_beside(output)
        _check_lines(listed, named, len(items))
    collection = None if index is None else open_index(run, index, say)
    packed = packed or output is None
    width = -(-run.bits // 8) if packed else run.bits
    made = {"input": items.identity, "modality": want.modality, "block": items.block, "packed": packed}
    made |= {"model": run.fingerprint}
    path = output or Path(f"{Path(index)}.{want.modality}.npy")
    began = time.monotonic()
    dtype = np.uint8 if packed else np.int8
    with growing(path, len(items), width, dtype, made, say, skips=skip) as codes:
        before = codes.done
        with _bar("encode", len(items), codes.taken) as bar:
            for block in encoded(run, items, want.modality, codes.taken):
                skipped = _broken(items, codes.taken, len(block))
                for why in skipped.values():
                    warn(f"{given}: left out: {why}.")
                kept = np.delete(block, [item - codes.taken for item in skipped], axis=0)
                codes.append(np.packbits(kept > 0, axis=1) if packed else kept, skipped)
                bar.update(len(block))
        seconds = time.monotonic() - began
        if codes.skipped:
            _tell(given, codes, warn)
        named = _of_rows(named, codes)
        replaced = 0 if collection is None else _add(collection, codes, run.bits, packed, named, want.modality)
        if listed is not None:
            _write_ids(listed, named, codes.done)
        codes.finish(keep=output is not None)
    return Encoded(codes.done, len(codes.skipped), codes.done - before, seconds, replaced)


def ids_beside(output: Path) -> Path:
    """The file of the ids of an output's rows."""
    return output.with_name(f"{output.name}.ids.txt")


def _check_lines(path: Path, named: Callable[[int, int], list[str]], size: int) -> None:
    """Raises InputError, before anything is encoded: an id that isn't one line of the file."""
    for start in range(0, size, ADDED):
        for one in named(start, min(start + ADDED, size)):
            if one.splitlines() != [one]:
                raise InputError(f"{path}: expected ids of one line each, found {one!r}.")


def _broken(items: Items, start: int, size: int) -> dict[int, str]:
    """Those of a block that was read."""
    return {item: items.broken[item] for item in range(start, start + size) if item in (items.broken or {})}


def _tell(given: str, codes: CodeFile, warn: Callable[[str], None]) -> None:
    """Counts what has no row. Raises InputError: nothing has one."""
    examples = "; ".join(list(codes.skipped.values())[:NAMED])
    if not codes.done:
        raise InputError(f"{given}: --input: every one of {codes.size:,} items is broken, such as {examples}.")
    warn(f"{given}: {len(codes.skipped):,} of {codes.size:,} items are broken and left out, such as {examples}.")


def _of_rows(named: Callable[[int, int], list[str]], codes: CodeFile) -> Callable[[int, int], list[str]]:
    """From the items' ids those of the file's rows, which lack the items that were left out."""
    if not codes.skipped:
        return named
    items = np.delete(np.arange(codes.size), list(codes.skipped))

    def of_rows(start: int, stop: int) -> list[str]:
        places = items[start:stop].tolist()
        ids = named(places[0], places[-1] + 1)
        return [ids[place - places[0]] for place in places]

    return of_rows


def _write_ids(path: Path, named: Callable[[int, int], list[str]], rows: int) -> None:
    """A line a row, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for start in range(0, rows, ADDED):
                file.writelines(f"{one}\n" for one in named(start, min(start + ADDED, rows)))
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


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
    if None not in (output, ids) and ids.resolve() == ids_beside(output).resolve():
        raise InputError(f"{ids}: --ids: expected another file than the one of the ids beside --output.")
    if ids is not None and index is None:
        raise InputError("--ids: expected an --index whose items they name, found none.")


def _ids(items: Items, modality: str, file: Path | None) -> Callable[[int, int], list[str]]:
    """(start, stop) -> the items' ids: those of a file, their names, or 'video/clips.npy/17', so that another file's
    items are others.
    """
    if file is not None:
        ids = check_ids(read_ids(file))
        if len(ids) != len(items):
            raise InputError(f"{file}: --ids: expected {len(items):,} lines, an id an item, found {len(ids):,}.")
        return lambda start, stop: ids[start:stop]
    source = f"{modality}/{Path(items.name).name}"
    return items.names or (lambda start, stop: [f"{source}/{row}" for row in range(start, stop)])


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
    skips = "pictures and clips that cannot be decoded end the command (refuse, the default), or have no code (skip)"
    parser.add_argument("--broken", default="refuse", choices=("refuse", "skip"), help=skips)
    return parser


def _run(options: argparse.Namespace) -> None:
    run = open_run(options.checkpoint, options.seed, options.method)
    names, skip = ("modality", "output", "packed", "index", "ids"), options.broken == "skip"
    given = {name: getattr(options, name) for name in names}
    done = encode(run, options.input, **given, skip=skip, say=print, warn=_warn)
    speed = f", {done.new / max(done.seconds, 1e-9):,.0f} items a second" if done.new else ""
    speed += f", {done.broken:,} broken left out" if done.broken else ""
    before = f", {done.items - done.new:,} of them before" if done.new < done.items else ""
    places = [f"{options.output}, {'packed uint8' if options.packed else 'int8'}"] if options.output else []
    if options.output and ids_beside(options.output).exists():
        places.append(f"ids of its rows in {ids_beside(options.output)}")
    if options.index:
        places.append(f"{options.index}" + (f", {done.replaced:,} in place of others" if done.replaced else ""))
    print(f"{done.items:,} items of {run.bits} bits{before}{speed}: {'; '.join(places)}")


def _warn(line: str) -> None:
    """Above the bar, where there is one."""
    tqdm.tqdm.write(f"jhash: {line}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Encodes and says what it did; 0, 2 behind one sentence on stderr, or 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options), "stopped; the same command goes on from here")


if __name__ == "__main__":
    sys.exit(main())
