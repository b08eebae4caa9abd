"""Searches as a person sees them: queries, and beside each its nearest items, right ones ✓ and wrong ones ✗."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import chex
import numpy as np

from jhash import hamming, measures
from jhash.data.dataset import Dataset, Task
from jhash.pages import shown
from jhash.pages.html import escaped
from jhash.types import Table


class Item(NamedTuple):
    """What a person sees of an item."""

    look: str  # HTML
    classes: str


class Search(NamedTuple):
    """A query and its nearest items, nearest first."""

    query: Item
    found: Sequence[Item]
    distances: np.ndarray  # [k] differing bits
    alike: np.ndarray  # bool [k], whether they share a class with the query


def nearest(
    queries: np.ndarray,
    database: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    k: int,
    own: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k nearest items of each query, or all of a smaller database; equal distances by the lowest row.

    Args:
        queries: ±1 [Q, K].
        database: ±1 [N, K].
        query_labels: 0/1 [Q, C].
        database_labels: 0/1 [N, C].
        k: how many.
        own: [Q] rows of the database that are the queries themselves, and are left out.

    Returns:
        (distances [Q, k] int64, rows [Q, k] int64, whether they share a class bool [Q, k]).
    """
    chex.assert_rank([queries, database, query_labels, database_labels], 2)
    chex.assert_equal_shape([queries, database], dims=1)
    chex.assert_equal_shape([query_labels, database_labels], dims=1)
    most = min(k + (own is not None), len(database))
    distances, rows = hamming.top_k(hamming.lay_out(queries), hamming.lay_out(database), queries.shape[1], most)
    if own is not None:
        order = np.argsort(rows == own[:, None], axis=1, kind="stable")[:, : min(k, len(database) - 1)]
        distances, rows = (np.take_along_axis(values, order, axis=1) for values in (distances, rows))
    alike = [
        (labels[None, :] & database_labels[found]).any(axis=1) for labels, found in zip(query_labels, rows, strict=True)
    ]
    return distances, rows, np.stack(alike)


def searches(dataset: Dataset, task: Task, codes: Mapping[str, np.ndarray], asking: np.ndarray, k: int) -> list[Search]:
    """The searches of a task's queries `asking` [A] for their k nearest items.

    Args:
        dataset: whose parts of the task all have tables.
        task: the direction.
        codes: part -> ±1 [N, K].
        asking: rows of the part that asks.
        k: items shown for each.
    """
    database = np.concatenate([codes[part] for part in task.database])
    labels = np.concatenate([labels_of(dataset.tables[part]) for part in task.database])
    asked = labels_of(dataset.tables[task.query])[asking]
    own = asking if task.self_in_database else None
    distances, rows, alike = nearest(codes[task.query][asking], database, asked, labels, k, own)
    queries = items(dataset, task.query, asking)
    found = _across_parts(dataset, task.database, rows.ravel())
    k = rows.shape[1]
    return [
        Search(query, found[k * place : k * (place + 1)], distances[place], alike[place])
        for place, query in enumerate(queries)
    ]


def items(dataset: Dataset, part: str, rows: np.ndarray) -> list[Item]:
    """What a person sees of a part's rows."""
    return [
        Item(*pair)
        for pair in zip(shown.looks(dataset, part, rows), shown.classes_of(dataset, part, rows), strict=True)
    ]


def _across_parts(dataset: Dataset, parts: Sequence[str], rows: np.ndarray) -> list[Item]:
    """Items by their rows in several parts that stand one behind the other."""
    starts = np.cumsum([0] + [len(dataset.tables[part]) for part in parts])
    found: list[Item | None] = [None] * len(rows)
    for part, start, stop in zip(parts, starts[:-1], starts[1:], strict=True):
        here = np.flatnonzero((rows >= start) & (rows < stop))
        for place, item in zip(here, items(dataset, part, rows[here] - start), strict=True):
            found[place] = item
    return found


def labels_of(table: Table) -> np.ndarray:
    """[N, C] 0/1."""
    return table.read(np.arange(len(table)), ["labels"])["labels"]


def grid(found: Sequence[Search]) -> str:
    """The searches as HTML, one below the other."""
    return "".join(map(_search, found))


def _search(search: Search) -> str:
    k = len(search.alike)
    share = measures.precision_at(search.alike[None, :], k)[0] if k else 0.0
    caption = f"<b>asks</b> {escaped(search.query.classes)}<br>precision@{k}: {share:.3f}"
    parts = [f'<div class="search">{_figure(search.query, "asks", caption)}<div class="answers">\n']
    for item, distance, alike in zip(search.found, search.distances, search.alike, strict=True):
        kind, mark = ("right", "✓") if alike else ("wrong", "✗")
        caption = f'<b class="{kind}">{mark} {distance}</b> {escaped(item.classes)}'
        parts.append(_figure(item, kind, caption))
    return "".join([*parts, "</div></div>\n"])


def _figure(item: Item, kind: str, caption: str) -> str:
    """`kind` and `caption` are HTML already."""
    return f'<figure class="item {kind}">{item.look}<figcaption>{caption}</figcaption></figure>\n'


def legend(bits: int, k: int) -> list[str]:
    """How to read a grid, in sentences."""
    return [
        "Queries are taken at even distances, from the first item of the part that asks to its last. Nobody chose "
        "them, and they are the same whatever they find.",
        f"Beside each query stand the {k} items whose codes of {bits} bits differ in the fewest bits from its own. "
        "How many differ, the Hamming distance, is under each; equal distances stand in the order of the data.",
        "✓ (whole frame): shares a class with the query. ✗ (broken frame): shares none. precision@k: the share of the "
        "k shown items that are ✓. The search does not see the classes.",
    ]
