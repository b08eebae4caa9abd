"""Rows of results.json as tables: the tasks, a square of media by media, and every number there is."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jhash import intervals, report


class Block(NamedTuple):
    """A table, for HTML, LaTeX and Markdown alike."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    words: int  # so many columns of names, before those of numbers


class Square(NamedTuple):
    """mAP over whole rankings of each medium that asks for each that answers, seeds averaged."""

    caption: str
    asks: list[str]
    answers: list[str]
    values: np.ndarray  # [asks, answers]; NaN where there is no such task

    def block(self) -> Block:
        cells = [["–" if np.isnan(value) else f"{value:.3f}" for value in line] for line in self.values]
        rows = [[name, *line] for name, line in zip(self.asks, cells, strict=True)]
        return Block(self.caption, ["asks \\ answers", *self.answers], rows, 1)


def blocks(rows: Sequence[Mapping], compared: Mapping[tuple, intervals.Comparison]) -> list[Block]:
    """A line for each method and length, a column for each measure and protocol; tasks measured alike share a table.

    Args:
        rows: as in results.json; seeds of one cell are averaged.
        compared: from `report.comparisons`.
    """
    found = []
    for task in dict.fromkeys(map(_task, rows)):
        here = [row for row in rows if _task(row) == task]
        kinds = list(dict.fromkeys((row["metric"], row["k"], row["preset"], row["ties"]) for row in here))
        usual = [kind for column in report.COLUMNS for kind in kinds if kind[:2] == column]
        kinds = usual or kinds
        header = ["method", "bits"]
        header += [f"{report.title(metric, k)} ({preset}, {ties})" for metric, k, preset, ties in kinds]
        lines = []
        for method, variant, bits in dict.fromkeys((row["method"], row["variant"], row["bits"]) for row in here):
            cells: dict[tuple, list] = {}
            for row in here:
                if (row["method"], row["variant"], row["bits"]) == (method, variant, bits):
                    cells.setdefault((row["metric"], row["k"], row["preset"], row["ties"]), []).append(row)
            texts = [report.text(cells.get(kind, []), compared) for kind in kinds]
            lines.append([named(method, variant), length(bits), *texts])
        found.append(Block("{}: {} → {}".format(*task), header, lines, 2))
    return _merged(found)


def _merged(found: Sequence[Block]) -> list[Block]:
    """Tables of one header as one, whose first column is the task."""
    alike: dict[tuple, list[Block]] = {}
    for block in found:
        alike.setdefault(tuple(block.header), []).append(block)
    merged = []
    for header, members in alike.items():
        if len(members) == 1:
            merged += members
            continue
        name = members[0].caption.split(": ")[0]
        rows = [[one.caption.removeprefix(f"{name}: "), *row] for one in members for row in one.rows]
        merged.append(Block(name, ["task", *header], rows, 3))
    return merged


def _task(row: Mapping) -> tuple:
    return row["dataset"], row["query"], row["database"]


def named(method: str, variant: str | None) -> str:
    return method if variant is None else f"{method} ({variant})"


def length(bits: int | None) -> str:
    return "real" if bits is None else str(bits)


def squares(rows: Sequence[Mapping]) -> list[Square]:
    """One for each method, length, protocol and kind of database; `query` and `database` begin with a medium's name."""
    cells: dict[tuple, dict[tuple[str, str], list[float]]] = {}
    for row in rows:
        if row["metric"] == "map" and row["k"] is None and row["value"] is not None:
            (asks, how), (answers, where) = (row[side].split(" ", 1) for side in ("query", "database"))
            kind = (named(row["method"], row["variant"]), length(row["bits"]), row["preset"], row["ties"], how, where)
            cells.setdefault(kind, {}).setdefault((asks, answers), []).append(row["value"])
    found = []
    for (method, bits, preset, ties, how, where), values in cells.items():
        asks = list(dict.fromkeys(pair[0] for pair in values))
        answers = dict.fromkeys(pair[1] for pair in values)
        answers = [one for one in asks if one in answers] + [one for one in answers if one not in asks]
        table = [[np.mean(values.get((one, other), [np.nan])) for other in answers] for one in asks]
        caption = f"{method}, {bits} bits: mAP ({preset}, {ties}), {how} → {where}"
        found.append(Square(caption, asks, answers, np.array(table)))
    return found


def everything(rows: Sequence[Mapping]) -> Block:
    """A line for each row of results.json, to four decimals."""
    header = ["method", "bits", "seed", "task", "measure", "protocol", "value", "95 % from", "to", "queries", "items"]
    lines = []
    for row in rows:
        interval = row["ci95"] or (None, None)
        numbers = ["–" if value is None else f"{value:.4f}" for value in (row["value"], *interval)]
        seed = "–" if row["seed"] is None else str(row["seed"])
        names = [named(row["method"], row["variant"]), length(row["bits"]), seed]
        names += [f"{row['query']} → {row['database']}", report.title(row["metric"], row["k"])]
        names.append(f"{row['preset']}, {row['ties']}")
        lines.append([*names, *numbers, f"{row['query_items']:,}", f"{row['database_items']:,}"])
    return Block("All rows of results.json", header, lines, 6)
