"""Searches a collection of codes, by codes or by what a trained model makes codes of, and prints what was found.

    python -m jhash.search --index shop.index --query q.npy --k 10
    python -m jhash.search --index shop.index --checkpoint runs/fashion --modality text --query "red dress" --in image
    python -m jhash.search --index shop.index --checkpoint runs/fashion --modality image --query photo.jpg --json

Without --checkpoint a query is a file of codes in any form that `python -m jhash.evaluate` takes; with it, whatever
`python -m jhash.encode` takes, or, of a model with words, the words themselves.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash.command import exit_code
from jhash.data import given_codes, listed
from jhash.data.inputs import Items, Wanted, is_named, open_items
from jhash.data.text import words
from jhash.data.validate import near
from jhash.index import Found, Index
from jhash.trained import Run, check_bits, encoded, open_run, wanted
from jhash.types import InputError

APPROXIMATE = ("hash", "hnsw", "ivf")
WIDEST = 60  # letters of a cell of the table


class Queries(NamedTuple):
    """What is asked."""

    codes: np.ndarray  # ±1 int8 [Q, K]
    names: list[str]  # [Q]: words, file names, or row numbers


def queries_of_codes(given: str, bits: int, bit_order: str, rows: slice) -> Queries:
    """Codes of a file, of the index's length. Raises InputError: no such file, other codes, another length."""
    codes = given_codes.read_codes(given, "--query", bits, bit_order=bit_order)
    chosen = _chosen(rows, len(codes))
    return Queries(codes[chosen.start : chosen.stop], [str(row) for row in chosen])


def queries_of_items(run: Run, given: str, modality: str | None, rows: slice, say: Callable[[str], None]) -> Queries:
    """Codes of items, or of words where `given` isn't the name of anything. Raises InputError: see `open_items`."""
    want = wanted(run, modality)
    if want.vocabulary and not is_named(given):
        items = _words(given, want, say)
        return Queries(np.concatenate(list(encoded(run, items, want.modality))), [given])
    items = open_items(given, want, "--query")
    chosen = _chosen(rows, len(items))
    codes = np.concatenate(list(encoded(run, items, want.modality, chosen.start, chosen.stop)))
    names = items.names(chosen.start, chosen.stop) if items.names else [str(row) for row in chosen]
    return Queries(codes, names)


def _words(given: str, want: Wanted, say: Callable[[str], None]) -> Items:
    """One text; a word outside the vocabulary finds nothing, so it is said, and refused where there is no other."""
    said = list(dict.fromkeys(words(given)))
    unknown = [word for word in said if word not in want.vocabulary]
    if len(unknown) == len(said):
        hint = near(unknown[0], want.vocabulary) if unknown else ""
        raise InputError(f"--query: expected a file, or words that the model knows, found {given!r}{hint}.")
    if unknown:
        say(f"without {', '.join(unknown)}: not among the {len(want.vocabulary):,} words that the model knows")
    return Items(given, (1, len(want.vocabulary)), listed.bags_of([given], want.vocabulary), {})


def _chosen(rows: slice, size: int) -> range:
    chosen = range(*rows.indices(size))
    if not chosen:
        raise InputError(f"--rows: expected some of {size:,} queries, found none of them.")
    return chosen


# ---- what was found


def hits(found: Found, queries: Queries) -> list[dict[str, Any]]:
    """[{'query', 'hits': [{'rank', 'id', 'distance', 'modality', 'metadata'}]}], as --json prints it."""
    answers = []
    for query, name in enumerate(queries.names):
        columns = found.ids[query], found.distances[query], found.modality[query]
        metadata = found.metadata[query]
        rows = [
            {"rank": rank, "id": str(one), "distance": int(distance), "modality": str(modality)}
            | {"metadata": {column: _plain(values[rank - 1]) for column, values in metadata.items()}}
            for rank, (one, distance, modality) in enumerate(zip(*columns, strict=True), 1)
        ]
        answers.append({"query": name, "hits": rows})
    return answers


def _plain(value: Any) -> Any:
    """What JSON can say: a number that is none is nothing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(answers: Sequence[dict[str, Any]]) -> str:
    """Plain text, a line a hit."""
    columns = list(dict.fromkeys(name for answer in answers for hit in answer["hits"] for name in hit["metadata"]))
    lines = [["query", "rank", "id", "distance", "modality", *columns]]
    for answer in answers:
        for hit in answer["hits"]:
            known = [hit[field] for field in ("rank", "id", "distance", "modality")]
            lines.append([answer["query"], *known, *(hit["metadata"].get(name) for name in columns)])
        if not answer["hits"]:
            lines.append([answer["query"], "-", "nothing", *("-" for _ in lines[0][3:])])
    cells = [[_cell(value) for value in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = {place for place, name in enumerate(lines[0]) if name in ("rank", "distance")}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _cell(value: Any) -> str:
    """A short text without anything that a terminal would obey."""
    text = "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


# ---- the command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jhash.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", required=True, metavar="I", help="a collection, see python -m jhash.index")
    parser.add_argument("--query", required=True, metavar="Q", help="codes; with --checkpoint items or words")
    parser.add_argument("--k", type=int, metavar="K", help="so many nearest items, 10 by default")
    parser.add_argument(
        "--radius", type=int, metavar="R", help="in place of --k: all items with R bits or fewer between"
    )
    parser.add_argument("--in", dest="searched", metavar="MODALITY", help="search items of this modality alone")
    parser.add_argument("--where", metavar="SQL", help='search items alone for which this is true: "year > 2010"')
    parser.add_argument("--approximate", choices=APPROXIMATE, help="a faster search that may miss items")
    parser.add_argument("--rows", default=":", metavar="A:B", help="of the queries: those from A, from 0, to before B")
    parser.add_argument("--bit-order", default="big", choices=given_codes.BIT_ORDERS, help="of packed codes in --query")
    parser.add_argument("--checkpoint", type=Path, metavar="W", help="the workdir of an experiment, to encode queries")
    parser.add_argument("--seed", type=int, default=0, help="which of its runs")
    parser.add_argument("--method", metavar="NAME", help="the experiment's own method, or one of its baselines")
    parser.add_argument("--modality", metavar="NAME", help="of the queries, where more than one was trained")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    return parser


def _rows(text: str) -> slice:
    """'0:5', '5:', ':5' or '5', which is the sixth alone."""
    first, colon, last = (part.strip() for part in text.partition(":"))
    if not all(part == "" or part.isdecimal() for part in (first, last)) or not (first or colon):
        raise InputError(f"--rows: expected numbers as in 0:5, found {text!r}.")
    start = int(first or 0)
    return slice(start, int(last) if last else None) if colon else slice(start, start + 1)


def _check(options: argparse.Namespace) -> None:
    if options.k is not None and options.radius is not None:
        raise InputError("--radius: expected either it or --k, found both.")
    if options.radius is not None and options.approximate is not None:
        raise InputError("--approximate: expected --k, found --radius, which is always exact.")
    if options.k is not None and options.k < 1:
        raise InputError(f"--k: expected 1 or more, found {options.k}.")
    if options.radius is not None and options.radius < 0:
        raise InputError(f"--radius: expected 0 or more, found {options.radius}.")
    if options.checkpoint is None and (options.modality or options.method):
        name = "--modality" if options.modality else "--method"
        raise InputError(f"{name}: expected a --checkpoint that encodes the query, found none.")


def search(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """The document that --json prints. Raises InputError: one sentence on what is missing or wrong."""
    _check(options)
    rows = _rows(options.rows)
    run = None if options.checkpoint is None else open_run(options.checkpoint, options.seed, options.method)
    index = Index.open(options.index, fingerprint=run and run.fingerprint)
    held = index.stats()
    if run is None:
        queries = queries_of_codes(options.query, held.bits, options.bit_order, rows)
    else:
        check_bits(run, options.index, held.bits)
        queries = queries_of_items(run, options.query, options.modality, rows, say)
    filters = {"modality": options.searched, "where": options.where}
    if options.radius is None:
        asked = {"k": options.k or 10, "approximate": options.approximate}
        found = index.search(queries.codes, **asked, **filters, metadata=list(held.metadata))
    else:
        asked = {"radius": options.radius}
        found = index.within(queries.codes, **asked, **filters, metadata=list(held.metadata))
    return {"index": options.index, "bits": held.bits, **asked, **filters, "queries": hits(found, queries)}


def _run(options: argparse.Namespace) -> None:
    document = search(options, lambda line: print(f"jhash: {line}", file=sys.stderr))
    as_json = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) if options.json else ""
    try:
        print(as_json or table(document["queries"]), flush=True)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Searches and prints; 0, 2 behind one sentence on stderr, or 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
