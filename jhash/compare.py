"""Compares workdirs of experiments, or of python -m jhash.evaluate, on the same queries.

    python -m jhash.compare runs/dkph runs/mcmsh runs/theirs
    python -m jhash.compare runs/dkph runs/mcmsh --metric map --k 5,20,all --output compare.html

All methods are compared with the first folder's own: the difference of the means and its 95 % interval by the paired
bootstrap; p by flipping the signs of the differences at random, and p corrected for the number of comparisons (Holm):
won or lost where that is below .05. Values of several seeds are averaged query by query first. A method that stands in
several folders with the same settings and the same values counts once.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jhash import compare_page, compare_settings
from jhash.command import exit_code
from jhash.compare_folders import doubts, read_folders
from jhash.compared import LEVEL, Column, Contender, Line, columns, compare, contenders, distinct
from jhash.pages import html
from jhash.types import InputError

HEADER = ("method", "value", "±", "verdict", "difference", "95 % interval", "p", "p, Holm")


def cells(line: Line) -> tuple[str, ...]:
    """A line of the table, as HEADER names its cells."""
    value, half = line.value.mean, (line.value.high - line.value.low) / 2
    words = (line.contender.name, f"{value:.4f}", f"{half:.4f}")
    if line.difference is None:
        return (*words, "reference", "–", "–", "–", "–")
    mean, low, high = line.difference
    interval = f"{low:+.4f} to {high:+.4f}"
    return (*words, line.verdict, f"{mean:+.4f}", interval, f"{line.p:.4f}", f"{line.p_holm:.4f}")


def headline(column: Column, field: Sequence[Contender]) -> str:
    """'fcvid: test -> train; mAP@5, video, stable; 45,600 queries'."""
    dataset = field[0].folder.found[0].row["dataset"]
    number = len(field[0].values[column])
    return f"{dataset}: {column.query} -> {column.database}; {column.title}; {number:,} queries"


def table(field: Sequence[Contender], compared: Mapping[Column, Sequence[Line]], remarks: Sequence[str]) -> str:
    """Plain text, a block for each column."""
    blocks = []
    for column, lines in compared.items():
        rows = [HEADER, *(cells(line) for line in lines)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(HEADER))]
        aligned = [
            "  ".join(
                cell.ljust(width) if HEADER[place] in ("method", "verdict") else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        blocks.append("\n".join([headline(column, field), *aligned]))
    legend = f"difference: from {field[0].name}, which is beaten by those that won; won, lost: p, Holm below {LEVEL}"
    return "\n\n".join([*blocks, "\n".join([legend, *remarks])])


def document(
    field: Sequence[Contender], compared: Mapping[Column, Sequence[Line]], remarks: Sequence[str]
) -> dict[str, Any]:
    """What --json prints."""
    dataset = field[0].folder.found[0].row["dataset"]
    found = []
    for column, lines in compared.items():
        names = {"dataset": dataset, **column._asdict(), "queries": len(field[0].values[column])}
        found.append(names | {"lines": [_fields(line) for line in lines]})
    return {"reference": field[0].name, "columns": found, "remarks": list(remarks)}


def _fields(line: Line) -> dict[str, Any]:
    one, value = line.contender, line.value
    names = {"name": one.name, "workdir": one.folder.name, "method": one.method, "variant": one.variant}
    names |= {"bits": one.bits, "seeds": list(one.seeds), "value": value.mean, "ci95": [value.low, value.high]}
    if line.difference is None:
        return names
    mean, low, high = line.difference
    found = {"difference": mean, "difference_ci95": [low, high], "verdict": line.verdict}
    return names | found | {"p": line.p, "p_holm": line.p_holm}


def page(field: Sequence[Contender], compared: Mapping[Column, Sequence[Line]], remarks: Sequence[str]) -> str:
    """The same as a page, with the curves that the folders hold."""
    tables = [
        html.table(
            HEADER, [(line.contender.short, *cells(line)[1:]) for line in lines], caption=headline(column, field)
        )
        for column, lines in compared.items()
    ]
    legend = (
        f"Differences are from {field[0].name}. Their intervals come from the paired bootstrap over queries, each for "
        "itself. p is that of the paired randomisation test, and beside it corrected for the comparisons of its table "
        "by Holm's procedure: methods that won beat the reference, those that lost are beaten, by a corrected p below "
        f"{LEVEL}. Values of several seeds are averaged query by query."
    )
    notes = map(html.note, remarks)
    parts = [html.section("On the same queries", html.paragraph(legend), *tables, *notes)]
    parts += [compare_settings.section(field), *compare_page.sections(field, compared)]
    return html.document("Comparison", parts)


# ---- the command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jhash.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdirs", nargs="+", metavar="W", help="the first one's own method is the reference")
    parser.add_argument("--metric", metavar="M", help="map, precision, lookup_recall, ...; map by default")
    parser.add_argument("--k", metavar="K,K,all", help="its cut-offs; 5, 20 and the whole ranking by default")
    parser.add_argument("--output", type=Path, metavar="FILE", help="a page with the table and the curves")
    parser.add_argument("--json", action="store_true", help="print the table as JSON and nothing else")
    return parser


def _numbers(text: str | None) -> list[int | None] | None:
    """'5,20,all' -> [5, 20, None]."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() or word == "all" for word in words):
        raise InputError(f"--k: expected whole numbers or all, with commas between, found {text!r}.")
    return [None if word == "all" else int(word) for word in words]


def _write(path: Path, text: str) -> None:
    try:
        html.write(path, text)
    except OSError as error:
        raise InputError(f"{path}: --output: cannot be written: {error.strerror or error}.") from error


def _counted_once(again: Sequence[tuple[Contender, Contender]]) -> list[str]:
    """A sentence for each method that stands for others, as `distinct` gives them."""
    alike: dict[str, list[str]] = {}
    for one, other in again:
        alike.setdefault(other.name, []).append(one.name)
    return [
        f"{' and '.join(names)}: the same values, query by query, as {kept}, and counted once."
        for kept, names in alike.items()
    ]


def _run(options: argparse.Namespace) -> None:
    ks = _numbers(options.k)
    folders = read_folders(options.workdirs)
    whole = contenders(folders)
    field, again = distinct(whole)
    compared = {column: compare(field, column) for column in columns(whole, options.metric, ks)}
    remarks = doubts(folders) + _counted_once(again)
    if options.output is not None:
        _write(options.output, page(field, compared, remarks))
    as_json = json.dumps(document(field, compared, remarks), indent=1, allow_nan=False) if options.json else ""
    print(as_json or table(field, compared, remarks))


def main(arguments: list[str] | None = None) -> int:
    """Compares and prints; 0, 2 behind one sentence on stderr, or 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
