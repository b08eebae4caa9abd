"""How a table's scores were measured, in sentences from the rows that its runs left: no number stands without it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jhash import report
from jhash.measures import PRESETS

TIES = {
    "stable": "items at equal distance stand in the database's order",
    "shuffled": "items at equal distance stand in an order drawn by a seed",
    "expected": "the mean over all orders of items at equal distance",
    "optimistic": "relevant items first among those at equal distance",
    "pessimistic": "relevant items last among those at equal distance",
}
DIVISORS = {
    "k": "the cut-off k",
    "hits": "the relevant items above the cut-off",
    "relevant": "the relevant items of the database",
    "min_k_relevant": "the relevant items of the database or k, whichever is less",
    "first_relevant": "the relevant items of the database",
}
SELF = {
    "kept": "a query in the database is left there",
    "removed": "a query in the database is taken out of its ranking",
}
EMPTY = {
    "zero": "a query with nothing relevant counts 0",
    "left_out": "a query with nothing relevant is left out",
    "left_out_multi_label": "a query with nothing relevant is left out of multi-label data and counts 0 elsewhere",
}


class How(NamedTuple):
    """One direction of a score, as results.json has it."""

    metric: str
    k: int | None
    preset: str
    ties: str
    query: str
    database: str
    query_items: int
    database_items: int
    counted: int  # queries that count


def how(row: Mapping, counted: int) -> How:
    """Of a row of results.json, `counted` queries of which have a value."""
    return How(*(row[field] for field in How._fields[:-1]), counted)


def sentences(found: Iterable[How]) -> list[str]:
    """One for each protocol and rule for ties, which scores measured alike share, and one on who asks whom."""
    found = list(dict.fromkeys(found))
    lines = []
    for preset, ties in dict.fromkeys((one.preset, one.ties) for one in found):
        of_it = [one for one in found if (one.preset, one.ties) == (preset, ties)]
        lines.append(f"{_measures(of_it)} by protocol '{preset}', ties '{ties}': {_rules(preset, ties)}.")
    return lines + ([f"Query → database: {_searches(found)}."] if found else [])


def _measures(found: Iterable[How]) -> str:
    named = sorted({(one.metric, one.k is None, one.k) for one in found})
    return ", ".join(report.title(metric, k) + (" of the whole ranking" if k is None else "") for metric, _, k in named)


def _rules(preset: str, ties: str) -> str:
    rules = PRESETS[preset]
    return "; ".join(
        (
            TIES[ties],
            f"precisions are summed and divided by {DIVISORS[rules.divisor]}",
            SELF[rules.self_rule],
            EMPTY[rules.empty],
        )
    )


def _searches(found: Iterable[How]) -> str:
    """'image test (693 items, 690 count) → text train (2,173)': each once."""
    said = {}
    for one in found:
        counts = "" if one.counted == one.query_items else f", {one.counted:,} of them count"
        said[f"{one.query} ({one.query_items:,} items{counts}) → {one.database} ({one.database_items:,})"] = None
    return "; ".join(said)
