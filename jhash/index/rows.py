"""The rows of an index: their columns, what a user may put into them, and a check that finds a changed bit in each."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jhash.types import InputError

MISSING = "an index needs LanceDB, which is not installed: pip install jhash[index]"
KINDS = ("int", "float", "text", "bool")
TAKEN = ("id", "modality")  # columns of every index; those of its own begin with '_'
WEIGHT = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it loses a bit
BLOCK = 8192  # rows whose checks are made at a time: every byte takes about 30 while it is weighed
ABSENT = np.uint64(0xD1B54A32D192ED03)


def arrow():
    """pyarrow, which comes with LanceDB. Raises InputError where it isn't installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise InputError(MISSING) from error
    return pyarrow


class Description(NamedTuple):
    """What an index is. It is kept in the table's schema, so it changes with the table or not at all."""

    bits: int
    fingerprint: str  # of the model that made the codes; '' where it isn't known
    metadata: Mapping[str, str]  # column -> 'int' | 'float' | 'text' | 'bool'
    name: str  # random: no other index has it
    generation: int  # how often it was compacted; places begin anew with each

    @property
    def width(self) -> int:
        """Bytes in a packed code."""
        return -(-self.bits // 8)

    @property
    def text(self) -> str:
        return json.dumps(self._asdict() | {"format": 1})

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def schema(self):
        """The columns: `_place` counts the rows of a generation, and a `_deleted` row takes its id away."""
        pa = arrow()
        types = {"int": pa.int64(), "float": pa.float64(), "text": pa.string(), "bool": pa.bool_()}
        columns = [("_place", pa.int64()), ("_deleted", pa.bool_()), ("id", pa.string()), ("modality", pa.string())]
        columns += [("_code", pa.list_(pa.uint8(), self.width)), ("_check", pa.uint64())]
        columns += [(name, types[kind]) for name, kind in self.metadata.items()]
        return pa.schema(columns, metadata={"jhash": self.text})


def described(place: str, schema) -> Description:
    """The description in a table's schema. Raises InputError where it isn't an index's or doesn't fit its columns."""
    try:
        content = json.loads((schema.metadata or {})[b"jhash"])
        if content.pop("format") != 1:
            raise InputError(f"{place}: expected an index of format 1, found one of a later jhash.")
        description = Description(**content)
        fits = description.schema().equals(schema)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{place}: expected the table of an index, found another or a damaged one.") from error
    if not fits:
        raise InputError(f"{place}: expected the columns of its own description, found the table damaged.")
    return description


def check_columns(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata columns as they may be. Raises InputError: a name that SQL can't take, a name twice, another kind."""
    seen = set(TAKEN)
    for name, kind in metadata.items():
        if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
            raise InputError(f"metadata: expected a column of letters, digits and _, found {name!r}.")
        if name.casefold() in seen:
            raise InputError(f"metadata: expected another name than {', '.join(sorted(seen))}, found {name!r}.")
        if kind not in KINDS:
            raise InputError(f"metadata: {name}: expected one of {', '.join(KINDS)}, found {kind!r}.")
        seen.add(name.casefold())
    return dict(metadata)


def check_signs(field: str, codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes [n, K] of -1 and +1. Raises InputError: another rank or length, or other values."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != bits:
        raise InputError(f"{field}: expected codes [items, {bits}], found shape {list(codes.shape)}.")
    wrong = np.argwhere((codes != 1) & (codes != -1)) if codes.dtype.kind in "fi" else np.zeros((1, 2), int)
    if codes.size and len(wrong):
        row, column = wrong[0]
        value = f"{codes.dtype} {codes[row, column]} at row {row}, column {column}"
        raise InputError(f"{field}: expected codes of -1 and +1, found {value}.")
    return codes


def packed(codes: np.ndarray) -> np.ndarray:
    """±1 [n, K] -> uint8 [n, ceil(K / 8)], the bits as `jhash.codes.pack` lays them."""
    return np.packbits(codes > 0, axis=1, bitorder="little")


def check_ids(ids: Sequence[str]) -> list[str]:
    """Ids as a list. Raises InputError: one that isn't text, is empty, or comes twice."""
    if isinstance(ids, str):
        raise InputError(f"ids: expected a sequence of texts, found the one text {ids!r}.")
    ids = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        _check_text("ids", row, name)
        if first.setdefault(name, row) != row:
            raise InputError(f"ids: expected each once, found {name!r} in rows {first[name]} and {row}.")
    return [str(name) for name in ids]


def check_modality(modality: str | Sequence[str], items: int) -> list[str]:
    """A modality for each of `items` items. Raises InputError: another length, or no text."""
    names = [modality] * items if isinstance(modality, str) else list(modality)
    if len(names) != items:
        raise InputError(f"modality: expected one, or one for each of {items} codes, found {len(names)}.")
    for row, name in enumerate(names):
        _check_text("modality", row, name)
    return [str(name) for name in names]


def _check_text(field: str, row: int, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise InputError(f"{field}: expected text, found {value!r} in row {row}.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{field}: expected text in UTF-8, found {value!r} in row {row}.") from error


def check_metadata(
    given: Mapping[str, Sequence] | None, kinds: Mapping[str, str], items: int
) -> dict[str, list[int | float | str | bool | None]]:
    """Column -> a value for each item, None where there is none. Raises InputError: unknown column, length, value."""
    given = given or {}
    for name in given:
        if name not in kinds:
            raise InputError(f"metadata: expected columns among {', '.join(kinds) or 'none'}, found {name!r}.")
    columns = {}
    for name, kind in kinds.items():
        values = given.get(name, [None] * items)
        values = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if len(values) != items:
            raise InputError(f"metadata: {name}: expected {items} values, one a code, found {len(values)}.")
        columns[name] = [_value(name, kind, row, value) for row, value in enumerate(values)]
    return columns


def _value(name: str, kind: str, row: int, value: Any) -> int | float | str | bool | None:
    if value is None:
        return None
    value = value.item() if isinstance(value, np.generic) else value
    if kind == "text" and isinstance(value, str):
        _check_text(f"metadata: {name}", row, value or "-")
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    if kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise InputError(f"metadata: {name}: expected {kind}, found {value!r} in row {row}.")


def make(
    description: Description, ids: Sequence[str], codes: np.ndarray | None, modality: Sequence[str], metadata: Mapping
):
    """An Arrow table of items, or, without codes, of deletions; `_place` and `_check` are given by `placed`."""
    pa = arrow()
    count = len(ids)
    words = np.zeros((count, description.width), np.uint8) if codes is None else codes
    values = {name: metadata.get(name, [None] * count) for name in description.metadata}
    columns = {
        "_place": np.zeros(count, np.int64),
        "_deleted": np.full(count, codes is None),
        "id": ids,
        "modality": modality,
        "_code": pa.FixedSizeListArray.from_arrays(pa.array(words.ravel()), description.width),
        "_check": np.zeros(count, np.uint64),
        **values,
    }
    return pa.table(columns, schema=description.schema())


def placed(description: Description, rows, first: int):
    """The rows at places `first`, `first` + 1, ..., with their checks."""
    pa = arrow()
    places = pa.array(np.arange(first, first + rows.num_rows, dtype=np.int64))
    rows = rows.replace_schema_metadata(description.schema().metadata)
    rows = rows.set_column(rows.schema.get_field_index("_place"), "_place", places)
    checks = pa.array(row_checks(rows, description))
    return rows.set_column(rows.schema.get_field_index("_check"), "_check", checks)


def codes_of(rows) -> np.ndarray:
    """Packed codes uint8 [n, W] of an Arrow table of rows."""
    column = rows["_code"].combine_chunks()
    return column.flatten().to_numpy().reshape(rows.num_rows, column.type.list_size)


# ---- checks


def row_checks(rows, description: Description) -> np.ndarray:
    """A number uint64 [n] for each row of an Arrow table, made from every column but `_check` and the description.

    Made against accidents: a single changed bit always changes it, any other damage but once in 2^64. A stored file
    has no check of its own.
    """
    checks = np.full(rows.num_rows, int(description.digest[:16], 16), np.uint64)
    for start in range(0, rows.num_rows, BLOCK):
        some = rows.slice(start, BLOCK)
        for name in rows.schema.names:
            if name != "_check":
                block = slice(start, start + BLOCK)
                checks[block] = _mixed(checks[block] + _column(some[name].combine_chunks()))
    return checks


def _column(column) -> np.ndarray:
    """Numbers uint64 [n] for the values of one column."""
    pa = arrow()
    if pa.types.is_string(column.type):
        numbers = _texts(column)
    elif pa.types.is_fixed_size_list(column.type):
        numbers = _weighed(column.flatten().to_numpy(), np.full(len(column), column.type.list_size))
    else:
        filled = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
        values = filled.to_numpy(zero_copy_only=False)
        numbers = values.astype(np.uint64) if values.dtype == bool else values.view(np.uint64)
    present = column.is_valid().to_numpy(zero_copy_only=False)
    return np.where(present, numbers, ABSENT)


def _texts(column) -> np.ndarray:
    _, offsets, data = column.buffers()
    offsets = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    content = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return _weighed(content[offsets[0] : offsets[-1]], np.diff(offsets))


def _weighed(content: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sums of each row's bytes, weighed by their places in the row: all bytes [B], rows' lengths [n] -> [n]."""
    ends = np.cumsum(lengths)
    starts = ends - lengths
    places = np.arange(len(content)) - np.repeat(starts, lengths)
    weights = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, WEIGHT))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((content.astype(np.uint64) + 1) * weights[places])])
    return sums[ends] - sums[starts] + lengths.astype(np.uint64)


def _mixed(x: np.ndarray) -> np.ndarray:
    """Spreads each bit over all, one to one (the finishing steps of Steele et al. 2014's SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
