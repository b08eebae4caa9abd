"""The numbers that the papers print, as they ship with jhash: printed/<paper>.json."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "printed"
PAPERS = ("she", "dkph", "mcmsh", "cmgcah")  # DSMHN is at hand as an abstract, without numbers


@dataclasses.dataclass(frozen=True)
class Printed:
    """One table: `rows` label → a number, or None where none is printed or legible, for each of `columns`."""

    columns: tuple[Mapping[str, Any], ...]  # dataset, task, bits, k, ... as far as the print says
    decimals: tuple[int, ...]
    rows: Mapping[str, tuple[float | None, ...]]
    notes: Mapping[str, str]  # label → what is amiss with the row


@functools.cache
def paper(name: str) -> Mapping[str, Any]:
    """`method`, `title`, `venue`, `year`, `doi`, `unit` and `tables` of a paper."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def unit(name: str) -> str:
    """'percent' or 'fraction': what a paper prints its scores in."""
    return paper(name)["unit"] if name in PAPERS else "fraction"


@functools.cache
def table(name: str, number: str, dataset: str = "") -> Printed:
    """A paper's table, `number` as printed: 'Table 5', 'Table IV'.

    Args:
        name: one of PAPERS.
        number: the table's.
        dataset: the rows of one data set, where rows name theirs.
    """
    found = next(one for one in paper(name)["tables"] if one["name"] == number)
    rows = [row for row in found["rows"] if not dataset or row.get("dataset", dataset) == dataset]
    return Printed(
        columns=tuple(found["columns"]),
        decimals=tuple(found["decimals"]),
        rows={row["label"]: tuple(row["values"]) for row in rows},
        notes={row["label"]: row["note"] for row in rows if "note" in row},
    )
