"""Seeded splits of rows: folds of a training part, a validation share, queries drawn from a labelled part.

Every function returns two sorted arrays of row numbers that share no row and together are all rows.
"""

import numpy as np

from jhash.types import InputError


def fold_rows(size: int, fold: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(held out, the rest) of rows 0 … size - 1 for fold '2/5', the second of five; the folds of a seed share no row.

    Raises:
        InputError: not of that form, or more folds than rows.
    """
    number, _, folds = fold.partition("/")
    if not (number.isdecimal() and folds.isdecimal() and int(folds) >= 2 and 1 <= int(number) <= int(folds)):
        raise InputError(f"data.fold: expected 'i/n' with 1 ≤ i ≤ n and n ≥ 2, such as '1/5', found {fold!r}.")
    if int(folds) > size:
        raise InputError(f"data.fold: {fold!r} asks for more folds than there are items, {size}.")
    order = np.random.default_rng([seed, 1]).permutation(size)
    held = np.sort(np.array_split(order, int(folds))[int(number) - 1])
    return held, np.setdiff1d(np.arange(size), held)


def validation_rows(size: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(validation, the rest): a share of rows 0 … size - 1, at least one and never all.

    Raises:
        InputError: a share outside (0, 1).
    """
    if not 0.0 < share < 1.0 or size < 2:
        raise InputError(f"data.validation: expected a share of the items between 0 and 1, found {share} of {size}.")
    return drawn_rows(size, min(max(round(share * size), 1), size - 1), np.random.default_rng([seed, 2]))


def query_rows(size: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(queries, the rest): `number` of rows 0 … size - 1.

    Raises:
        InputError: fewer than one query, or nothing left for the database.
    """
    if not 1 <= number < size:
        raise InputError(f"data.queries: expected between 1 and {size - 1} of {size} labelled items, found {number}.")
    return drawn_rows(size, number, np.random.default_rng([seed, 3]))


def drawn_rows(size: int, number: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(drawn, the rest): `number` of rows 0 … size - 1, without replacement."""
    drawn = np.sort(generator.permutation(size)[:number])
    return drawn, np.setdiff1d(np.arange(size), drawn)
