"""Codes and labels that somebody else's program made, in whichever form: understood, said in a line, made alike."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jhash.data.given_files import Shape, Source, Stored, find
from jhash.data.validate import check_labels, one_hot
from jhash.types import InputError

BIT_ORDERS = ("big", "little")
# what an array of codes can be
SIGNS, BITS, BOOLS, BYTES, PACKED = "-1 and +1", "0 and 1", "bool", "uint8 of 0 and 1", "packed uint8"


class Given(NamedTuple):
    """Codes and labels in the one form that jhash scores."""

    query: np.ndarray  # ±1 int8 [Q, K]
    database: np.ndarray  # ±1 int8 [N, K]
    query_labels: np.ndarray  # 0/1 uint8 [Q, L]
    database_labels: np.ndarray  # 0/1 uint8 [N, L]


def read_given(
    query: Source,
    database: Source,
    query_labels: Source,
    database_labels: Source,
    *,
    bits: int | None = None,
    packed: bool = False,
    bit_order: str = "big",
    say: Callable[[str], None] | None = None,
) -> Given:
    """Reads codes and labels in any form, and says in a line for each array what it was taken for.

    Args:
        query: codes [Q, K] of -1 and +1, of 0 and 1, or bool, or packed uint8 [Q, ceil(K / 8)]; or their file, 'path'
            or 'path:array'.
        database: codes [N, ...], in a form of their own; or their file.
        query_labels: class numbers [Q], [Q, 1] or [1, Q], or 0/1 [Q, L]; or their file.
        database_labels: labels of the same kind for N items; or their file. Class numbers are matched by value.
        bits: K. It also decides whether uint8 of 0 and 1 are bits or packed bytes: without it they are bits, unless
            the codes that they are compared with are as wide and packed.
        packed: all codes are packed bytes.
        bit_order: of packed bytes: 'big', the first bit is the highest (`numpy.packbits`); 'little', the lowest
            (`jhash.codes.pack`, MATLAB's compactbit, FAISS). Distances between two packed arrays are the same by both.
        say: gets the lines.

    Raises:
        InputError: a file that is missing, damaged, or without the one array that fits; codes that are neither ±1 nor
            0/1 nor packed; codes of two lengths; labels of other lengths, or of two kinds.
    """
    if bits is not None and bits < 1:
        raise InputError(f"bits: expected a number from 1 up, found {bits}.")
    if bit_order not in BIT_ORDERS:
        raise InputError(f"bit order: expected one of {', '.join(BIT_ORDERS)}, found {bit_order!r}.")
    found = [_codes(source, field) for source, field in ((query, "query"), (database, "database"))]
    places = [codes.place for codes in found if codes.place]
    labels = [
        _labels(source, field, len(codes.array), places)
        for source, field, codes in zip(
            (query_labels, database_labels), ("query labels", "database labels"), found, strict=True
        )
    ]
    forms = _forms(found, bits, packed)
    signs = [_signs(codes, form, bits, bit_order) for codes, form in zip(found, forms, strict=True)]
    if signs[0].shape[1] != signs[1].shape[1]:
        raise found[1].wrong(f"codes of {signs[0].shape[1]} bits like those of the queries", signs[1].shape[1])
    matched, kinds = _matched(*labels)
    if say is not None:
        for codes, form, plain in zip(found, forms, signs, strict=True):
            say(codes.line(f"{len(plain):,} codes of {plain.shape[1]} bits, {form}") + _doubt(codes, form, bits))
        for stored, kind in zip(labels, kinds, strict=True):
            say(stored.line(kind))
    return Given(*signs, *matched)


def read_codes(
    source: Source,
    field: str,
    bits: int,
    *,
    packed: bool = False,
    bit_order: str = "big",
    say: Callable[[str], None] | None = None,
) -> np.ndarray:
    """Codes ±1 int8 [N, K] of K = `bits`, in any of the forms of `read_given`, which says what the rest are."""
    stored = _codes(source, field)
    form = _forms([stored], bits, packed)[0]
    signs = _signs(stored, form, bits, bit_order)
    if say is not None:
        say(stored.line(f"{len(signs):,} codes of {bits} bits, {form}"))
    return signs


def read_rows(rows: Source, field: str, items: int) -> np.ndarray:
    """Row numbers int64 [items], counted from 0, of an array or a file. Raises InputError: other numbers or lengths."""
    stored = find(rows, field, lambda shape: _is_vector(shape, items))
    if not _is_vector(stored.array.shape, items):
        raise stored.wrong(f"{items:,} row numbers, one a query", list(stored.array.shape))
    return _whole(stored, stored.array.reshape(-1), "row numbers, counted from 0")


# ---- codes


def _codes(source: Source, field: str) -> Stored:
    stored = find(source, field, lambda shape: len(shape) == 2)
    if stored.array.ndim != 2 or 0 in stored.array.shape:
        raise stored.wrong("codes [items, bits], at least one of each", list(stored.array.shape))
    return stored


def _forms(found: Sequence[Stored], bits: int | None, packed: bool) -> list[str]:
    """Bytes of 0 and 1 are packed where the others, as wide, are: a few queries may happen to have no other bytes."""
    forms = [_form(codes, bits, packed) for codes in found]
    if set(forms) == {BYTES, PACKED} and found[0].array.shape[1] == found[1].array.shape[1]:
        return [PACKED, PACKED]
    return forms


def _form(stored: Stored, bits: int | None, packed: bool) -> str:
    codes = stored.array
    if codes.dtype == np.uint8 and (packed or bits not in (None, codes.shape[1])):
        return PACKED
    if packed:
        raise stored.wrong("packed codes in uint8", codes.dtype)
    if codes.dtype == bool:
        return BOOLS
    ones = codes == 1
    if (ones | (codes == 0)).all():
        return BYTES if codes.dtype == np.uint8 else BITS
    if codes.dtype == np.uint8 and bits is None:
        _refuse_casts(stored)
        return PACKED
    other = -1 if (codes == -1).any() else 0
    wrong = np.argwhere(~(ones | (codes == other)))
    if len(wrong):
        row, column = wrong[0]
        value = f"{codes.dtype} {codes[row, column]} at row {row}, column {column}"
        raise stored.wrong("codes of -1 and +1, of 0 and 1, or packed in uint8", value)
    return SIGNS


def _refuse_casts(stored: Stored) -> None:
    """-1 and +1 become 255 and 1 in uint8, and masks are often 0 and 255: as packed bits both are nonsense."""
    values = np.flatnonzero(np.bincount(stored.array.ravel(), minlength=256)).tolist()
    if values in ([0, 255], [1, 255]):
        raise stored.wrong("packed uint8", f"{values[0]} and 255 alone (where it is packed, say so or give its bits)")


def _signs(stored: Stored, form: str, bits: int | None, bit_order: str) -> np.ndarray:
    """±1 int8 [N, K]."""
    codes = np.asarray(stored.array)
    width = codes.shape[1]
    if form == PACKED:
        bits = 8 * width if bits is None else bits
        if width != -(-bits // 8):
            expected = f"codes of {bits} bits: {bits} columns of 0 and 1, or {-(-bits // 8)} packed bytes"
            raise stored.wrong(expected, f"{width} columns of uint8")
        codes = np.unpackbits(codes, axis=1, bitorder=bit_order)
        filled = np.argwhere(codes[:, bits:])
        if len(filled):
            raise stored.wrong(f"zeros behind bit {bits}, bit order {bit_order!r}", f"a 1 in row {filled[0][0]}")
        codes = codes[:, :bits]
    elif bits is not None and width != bits:
        raise stored.wrong(f"codes of {bits} bits", f"{width} columns of {form}")
    return np.where(codes > 0, np.int8(1), np.int8(-1))


def _doubt(stored: Stored, form: str, bits: int | None) -> str:
    """What an ambiguous array could be as well."""
    if form != BYTES or bits is not None:
        return ""
    width = 8 * stored.array.shape[1]
    return f" (could be {width} packed bits: say so by bits {width}, or packed)"


# ---- labels


def _labels(source: Source, field: str, items: int, taken: Sequence[str]) -> Stored:
    """Class numbers as [N], labels of 0 and 1 as [N, L]."""
    stored = find(
        source, field, lambda shape: _is_vector(shape, items) or (len(shape) == 2 and shape[0] == items), taken
    )
    shape = stored.array.shape
    if _is_vector(shape, items):
        return stored._replace(array=stored.array.reshape(-1))
    if len(shape) != 2 or shape[0] != items or 0 in shape:
        raise stored.wrong(f"one row for each of {items:,} codes", f"shape {list(shape)}")
    return stored


def _is_vector(shape: Shape, items: int) -> bool:
    """One number an item: MATLAB's files have no arrays of one dimension, so [N, 1] and [1, N] too."""
    return shape in ((items,), (items, 1)) or (items > 1 and shape == (1, items))


def _matched(asking: Stored, searched: Stored) -> tuple[list[np.ndarray], list[str]]:
    """Labels 0/1 [Q, L] and [N, L], and what each was taken for."""
    both = (asking, searched)
    kinds = ["class numbers" if stored.array.ndim == 1 else "0/1 with a column a class" for stored in both]
    if kinds[0] != kinds[1]:
        raise searched.wrong(f"labels like those of the queries, {kinds[0]}", kinds[1])
    if asking.array.ndim == 1:
        return _matched_numbers(both)
    widths = [stored.array.shape[1] for stored in both]
    if widths[0] != widths[1]:
        raise searched.wrong(f"{widths[0]} classes like those of the queries", widths[1])
    labels = [check_labels(stored.where, stored.array, len(stored.array)) for stored in both]
    most = [int(label.sum(axis=1).max()) for label in labels]
    lines = [
        f"{len(label):,} rows of {widths[0]} classes, 0/1, {'one' if top == 1 else f'up to {top}'} a row"
        for label, top in zip(labels, most, strict=True)
    ]
    return labels, lines


def _matched_numbers(both: Sequence[Stored]) -> tuple[list[np.ndarray], list[str]]:
    numbers = [_whole(stored, stored.array, "whole class numbers") for stored in both]
    known = [np.unique(array) for array in numbers]
    if not np.isin(*known).any():
        found = " and ".join(f"{some[0]} to {some[-1]}" for some in known)
        raise both[1].wrong("a class that the queries have too", f"none (queries and database: {found})")
    classes = np.union1d(*known)
    lines = [f"{len(a):,} class numbers of {len(k)} classes" for a, k in zip(numbers, known, strict=True)]
    return [one_hot(array, classes) for array in numbers], lines


def _whole(stored: Stored, array: np.ndarray, expected: str) -> np.ndarray:
    """int64, of whole numbers alone, in whichever dtype they come: MATLAB's are floats."""
    if array.dtype.kind == "f":
        wrong = np.flatnonzero(~(np.isfinite(array) & (np.round(array) == array) & (np.abs(array) < 2**53)))
        if len(wrong):
            raise stored.wrong(expected, f"{array[wrong[0]]} in row {wrong[0]}")
    return array.astype(np.int64)
