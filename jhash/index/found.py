"""What an index answers: the items of a search, and what it holds."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jhash.index.fast import Held
from jhash.index.rows import arrow
from jhash.index.search import Hits
from jhash.index.table import Table
from jhash.types import InputError


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search of Q queries found, a list entry a query, nearest first and of equals the one added first."""

    ids: list[np.ndarray]  # [Q] of str [k]
    distances: list[np.ndarray]  # [Q] of int64 [k]
    modality: list[np.ndarray]  # [Q] of str [k]
    metadata: list[dict[str, list]]  # [Q] of column -> [k] values, of the columns that were asked for


@dataclasses.dataclass(frozen=True)
class Stats:
    """What an index holds."""

    items: int
    waiting: int  # rows of items that were deleted or replaced, and of their deletions: `compact` removes them
    bits: int
    modalities: dict[str, int]  # modality -> items
    metadata: dict[str, str]  # column -> kind
    fingerprint: str
    version: int  # of the table; any change makes it larger
    bytes: int  # on disk, with versions of the last hour


def found(table: Table, held: Held, hits: Hits, columns: Sequence[str]) -> Found:
    """The items of rows that were found, with the metadata of some columns.

    Raises:
        InputError: an unknown column, or rows of the table that are damaged.
    """
    known = table.description.metadata
    for name in columns:
        if name not in known:
            raise InputError(f"metadata: expected columns among {', '.join(known) or 'none'}, found {name!r}.")
    ids, media = (np.array(texts, object) for texts in named(held, hits.rows))
    cuts = hits.offsets[1:-1]
    metadata: list[dict[str, list]] = [{name: [] for name in columns} for _ in hits.offsets[1:]]
    if columns and len(hits.rows):
        rows, back = np.unique(hits.rows, return_inverse=True)
        taken = table.take(rows)
        values = {name: taken[name].to_pylist() for name in columns}
        for one, places in zip(metadata, np.split(back, cuts), strict=True):
            one.update({name: [values[name][place] for place in places] for name in columns})
    return Found(*(np.split(part, cuts) for part in (ids, hits.distances, media)), metadata)


def named(held: Held, rows: np.ndarray) -> tuple[list[str], list[str]]:
    """Ids and modalities of rows."""
    ids = held.ids.take(arrow().array(rows)).to_pylist()
    return ids, [held.names[number] for number in held.modality[rows]]


def stats(table: Table, held: Held) -> Stats:
    """What the rows are."""
    description = table.description
    counts = np.bincount(held.modality[held.live], minlength=len(held.names)).tolist()
    items = int(held.live.sum())
    return Stats(
        items=items,
        waiting=len(held) - items,
        bits=description.bits,
        modalities={name: count for name, count in zip(held.names, counts, strict=True) if count},
        metadata=dict(description.metadata),
        fingerprint=description.fingerprint,
        version=table.version,
        bytes=table.bytes,
    )
