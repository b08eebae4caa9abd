"""Media to be hashed one after another: each its own features and labels, paired with another's or not.

Only the medium that is asked for is read. Labels of different media, or of different days, are matched by the names of
their columns.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jhash.data import published_media, samples
from jhash.data.source import ArrayTable, Subset, resident
from jhash.data.splits import drawn_rows
from jhash.data.validate import near
from jhash.types import InputError, Table

# dataset -> its media in the order of collection
MEDIA: Mapping[str, tuple[str, ...]] = {
    "digits": ("image", "stroke", "audio", "event", "text", "sign"),
    "wikipedia": ("image", "text"),
    **{name: tuple(media) for name, media in published_media.FIELDS.items()},
}


@dataclasses.dataclass(frozen=True)
class Medium:
    """One medium of a dataset, in memory: tables of `features` [N, d] float32 and `labels` [N, C] uint8 0/1."""

    name: str
    train: Table
    test: Table
    database: Table | None  # where the file has one of its own; None: training and test items, as published
    classes: tuple[str, ...]  # C names, of the columns of labels


def open_medium(config: Mapping[str, Any], medium: str) -> Medium:
    """Reads one medium. Where a published file has validation items (`valid_*`), they are behind the test items.

    Args:
        config: `name`, a key of MEDIA; of published sets also `file`, the .mat or .h5 file, or, with `format`
            'array_record', `dir` and `storage` of a conversion.
        medium: one of MEDIA[name].

    Raises:
        InputError: one sentence on what is missing or wrong: the name, the file, a field, its numbers.
    """
    name = config.get("name", "")
    if name not in MEDIA:
        raise InputError(f"data.name: expected one of {', '.join(MEDIA)}, found {name!r}{near(name, MEDIA)}.")
    if medium not in MEDIA[name]:
        raise InputError(
            f"{name}: expected a medium among {', '.join(MEDIA[name])}, found {medium!r}{near(medium, MEDIA[name])}."
        )
    if name == "digits":
        parts, classes = {part: samples.digits(medium, part) for part in ("train", "test")}, tuple("0123456789")
    elif name == "wikipedia":
        parts = {part: samples.wikipedia(medium, part) for part in ("train", "test")}
        classes = samples.wikipedia_names()
    else:
        parts, classes = published_media.open_published(config, medium)
    return Medium(medium, parts["train"], parts["test"], parts.get("database"), classes)


def at_most(table: Table, number: int, seed: int) -> Table:
    """`number` of a table's items, drawn by the seed and in their order; 0, or as many as it has: the table itself.

    Raises:
        InputError: a negative number.
    """
    if number < 0:
        raise InputError(f"{table.name}: expected a number of items, or 0 for all, found {number}.")
    if number in (0, len(table)) or number > len(table):
        return table
    rows, _ = drawn_rows(len(table), number, np.random.default_rng([seed, 4]))
    drawn = Subset(table, rows, f"{table.name} ({number} of {len(table)})")
    return resident(drawn) if isinstance(table, ArrayTable) else drawn


def symmetric_noise(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Labels [N, C] of 0/1 where that share of the items, rounded to whole ones, has wrong classes.

    The items are drawn by the seed. Each exchanges its classes for as many drawn evenly from those that it doesn't
    have; where it has more than half of them, it keeps what cannot be exchanged.

    Raises:
        InputError: a share outside 0 to 1, or labels that don't have two columns.
    """
    if labels.ndim != 2 or labels.shape[1] < 2:
        raise InputError(f"symmetric noise: labels must be [N, C] of two classes or more, found {list(labels.shape)}.")
    if not 0.0 <= share <= 1.0:
        raise InputError(f"symmetric noise: expected a share of the items between 0 and 1, found {share}.")
    generator = np.random.default_rng([seed, 5])
    rows, _ = drawn_rows(len(labels), round(share * len(labels)), generator)
    old = labels[rows] > 0
    order = np.argsort(generator.random(old.shape) + old, axis=1)  # classes it doesn't have come first
    chosen = np.zeros(old.shape, labels.dtype)
    np.put_along_axis(chosen, order, (np.arange(old.shape[1])[None] < old.sum(axis=1, keepdims=True)), axis=1)
    noisy = labels.copy()
    noisy[rows] = chosen
    return noisy
