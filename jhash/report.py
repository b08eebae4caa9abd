"""Results as rows in results.json, their values query by query in per_query.npz, and as a table for a terminal."""

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jhash import intervals
from jhash.metrics import Scores
from jhash.types import InputError

CELL = ("dataset", "query", "database", "method", "variant", "bits", "preset", "ties", "metric", "k")
PER_QUERY = "per_query.npz"
FIELDS = (*CELL, "value", "ci95", "seed", "query_items", "database_items")
COLUMNS = (("map", 5), ("map", 20), ("map", None))
LEGEND = "± half of the 95 % interval over queries (bootstrap); s the standard deviation between seeds"


class Result(NamedTuple):
    """A row of results.json, and the per-query values [S] that it summarises."""

    row: dict
    values: np.ndarray
    queries: np.ndarray  # [S] the rows of the queries that count
    relevance: int | None  # as `relevance` gives it; None where an earlier jhash wrote none


def results(
    scores: Scores,
    *,
    method: str,
    variant: str | None,
    dataset: str,
    query: str,
    database: str,
    bits: int | None,
    seed: int | None,
    labels: tuple[np.ndarray, np.ndarray],
) -> list[Result]:
    """One row for each metric of the scores, with its interval over queries.

    Where no query counts, value and interval are null. `bits` is None for real vectors, `variant` where a method has
    none. `query` and `database` name what was searched with and what was searched ('test', 'train'), `labels` are 0/1
    of both, [Q, C] and [N, C].
    """
    judged = relevance(*labels)
    names = {"dataset": dataset, "query": query, "database": database, "method": method, "variant": variant}
    names |= {"bits": bits, "preset": scores.preset, "ties": scores.ties}
    found = []
    for (metric, k), values in scores.values.items():
        mean, low, high = intervals.bootstrap(values) if len(values) else (None, None, None)
        interval = None if mean is None else [low, high]
        row = names | {"metric": metric, "k": k, "value": mean, "ci95": interval, "seed": seed}
        row |= {"query_items": len(labels[0]), "database_items": len(labels[1])}
        found.append(Result(row, values, scores.queries, judged))
    return found


def relevance(query_labels: np.ndarray, database_labels: np.ndarray) -> int:
    """A digest of what is relevant to what, by labels 0/1 [Q, C] and [N, C]: 64 bits of a SHA-256.

    The order of classes makes no difference, nor does a class that one side alone has: two programs that number the
    classes of the same items in their own ways agree.
    """
    sides = [np.packbits(np.asarray(labels) != 0, axis=0).T for labels in (query_labels, database_labels)]
    shared = [
        asks.tobytes() + answers.tobytes() for asks, answers in zip(*sides, strict=True) if asks.any() and answers.any()
    ]
    sizes = f"{len(query_labels)} {len(database_labels)} ".encode()
    return int.from_bytes(hashlib.sha256(sizes + b"".join(sorted(shared))).digest()[:8], "big")


def cell(row: Mapping) -> tuple:
    """What a row measures, without its seed: rows of several seeds share a cell."""
    return tuple(row[field] for field in CELL)


def comparisons(found: Sequence[Result], baselines: Sequence[str]) -> dict[tuple, intervals.Comparison]:
    """Each cell against the first baseline with one of the same task, bits, preset, metric: the paired bootstrap.

    The values of several seeds are averaged query by query first, those of the baseline too. Cells whose baseline is
    missing, or in which no query counts, have no comparison.
    """
    values = {}
    for result in found:
        values.setdefault(cell(result.row), []).append(result.values)
    averages = {name: intervals.average_seeds(np.stack(seeds)) for name, seeds in values.items()}
    method, variant = CELL.index("method"), CELL.index("variant")

    def place(name):
        return tuple(part for i, part in enumerate(name) if i not in (method, variant))

    against = {}
    for baseline in reversed(baselines):
        against |= {place(name): average for name, average in averages.items() if name[method] == baseline}
    return {
        name: intervals.compare(average, against[place(name)])
        for name, average in averages.items()
        if name[method] not in baselines and place(name) in against and len(average)
    }


def write_results(path: Path, found: Sequence[Result]) -> None:
    """Writes the rows as one JSON list and, beside it, per_query.npz: both whole, or what was there before stays.

    per_query.npz has the values [S] of row 3 under '3'. Rows that count the same queries share their row numbers:
    `queries` [rows] says that those of row 3 are under 'queries_<queries[3]>'. `relevance` [rows] is what `relevance`
    says of each row's labels, `digest` the SHA-256 of the results.json that it belongs to.

    Raises:
        ValueError: for NaN or infinity, which JSON has no word for: undefined values are null.
        OSError: where the disk is full or the folder can't be written to.
    """
    path = Path(path)
    rows = [{field: result.row[field] for field in FIELDS} for result in found]
    text = (json.dumps(rows, allow_nan=False, indent=1) + "\n").encode()
    written = {path.with_name(PER_QUERY): _packed(found, text), path: text}
    parts = {whole: whole.with_name(whole.name + ".part") for whole in written}
    try:
        for whole, content in written.items():
            with open(parts[whole], "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for whole, part in parts.items():
            os.replace(part, whole)
    except OSError:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise


def _packed(found: Sequence[Result], text: bytes) -> bytes:
    arrays, shared, numbers = {"digest": np.array(hashlib.sha256(text).hexdigest())}, {}, []
    for number, result in enumerate(found):
        queries = np.asarray(result.queries, np.int32)
        numbers.append(shared.setdefault(queries.tobytes(), len(shared)))
        arrays |= {str(number): np.asarray(result.values, np.float64), f"queries_{numbers[-1]}": queries}
    arrays["relevance"] = np.array([result.relevance for result in found], np.uint64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, queries=np.array(numbers, np.int32), **arrays)
    return buffer.getvalue()


def read_results(path: Path) -> list[dict]:
    """The rows of a results.json.

    Raises:
        InputError: no such file, no JSON, or rows that lack a field.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, found something else: {error}.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: expected a list of rows, found other JSON.")
    for number, row in enumerate(rows):
        missing = [field for field in FIELDS if field not in row]
        if missing:
            raise InputError(f"{path}: row {number}: expected the fields {', '.join(FIELDS)}, missing {missing}.")
    return rows


def read_found(workdir: Path) -> list[Result]:
    """What `write_results` wrote at <workdir>/results.json and beside it.

    Raises:
        InputError: one of the two files is missing or damaged, or they are of different runs.
    """
    results, file = Path(workdir) / "results.json", Path(workdir) / PER_QUERY
    rows = read_results(results)
    if not file.is_file():
        raise InputError(f"{file}: expected the values of single queries, found no such file: run it again.")
    most = max([row["query_items"] for row in rows], default=0)
    try:
        with zipfile.ZipFile(file) as archive:
            if any(member.file_size > 8 * (most + len(rows)) + 4096 for member in archive.infolist()):
                raise ValueError(f"arrays of more than {most:,} queries")
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as held:
            digest, shared = str(held["digest"]), held["queries"]
            if digest != hashlib.sha256(results.read_bytes()).hexdigest():
                raise InputError(f"{file}: expected the values of {results.name}, found others: run it again.")
            queries = {number: held[f"queries_{number}"] for number in set(shared.tolist())}
            judged = held["relevance"].tolist() if "relevance" in held.files else [None] * len(rows)
            found = [Result(row, held[str(i)], queries[shared[i]], judged[i]) for i, row in enumerate(rows)]
    except (OSError, ValueError, KeyError, IndexError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file}: expected the values of single queries, found a damaged file: {error}.") from error
    return found


def table(
    rows: Sequence[Mapping],
    *,
    columns: Sequence[tuple[str, int | None]] = COLUMNS,
    compared: Mapping[tuple, intervals.Comparison] | None = None,
    baselines: Sequence[str] = (),
) -> str:
    """Plain text: a block for each dataset and direction, a line for each method and length.

    Args:
        rows: as in results.json; seeds of one cell are averaged.
        columns: (metric, k) in order; each preset and rule for ties that rows have becomes a column of its own.
        compared: from `comparisons`.
        baselines: whom `compared` compares with, for the legend.
    """
    blocks = []
    for place in dict.fromkeys((row["dataset"], row["query"], row["database"]) for row in rows):
        here = [row for row in rows if (row["dataset"], row["query"], row["database"]) == place]
        blocks.append("{}: {} -> {}\n".format(*place) + _block(here, columns, compared or {}))
    whom = ", where it has none ".join(baselines)
    legend = f"{LEGEND};\nwon, tied, lost: against {whom}, paired bootstrap" if baselines else LEGEND
    return "\n\n".join([*blocks, legend]) + "\n"


def matrix(rows: Sequence[Mapping]) -> str:
    """Plain text of retrieval between media: a square for each method, length, protocol and kind of database.

    Args:
        rows: as in results.json, `query` and `database` beginning with a medium's name: 'image test', 'text train';
            mAP over the whole ranking is shown, seeds averaged.
    """
    squares: dict[tuple, dict[tuple[str, str], list]] = {}
    for row in rows:
        if row["metric"] == "map" and row["k"] is None:
            (asks, how), (answers, where) = (row[side].split(" ", 1) for side in ("query", "database"))
            kind = (row["dataset"], row["method"], row["variant"], row["bits"], row["preset"], row["ties"], how, where)
            squares.setdefault(kind, {}).setdefault((asks, answers), []).append(row)
    return "\n\n".join(_square(kind, cells) for kind, cells in squares.items()) + "\n"


def _square(kind, cells):
    dataset, method, variant, bits, preset, ties, how, where = kind
    asks = list(dict.fromkeys(pair[0] for pair in cells))
    answers = sorted({pair[1] for pair in cells}, key=lambda medium: asks.index(medium) if medium in asks else -1)
    named = method if variant is None else f"{method} ({variant})"
    lines = [["", *answers, "queries"]]
    for one in asks:
        values = [_mean(cells[one, other]) if (one, other) in cells else "-" for other in answers]
        count = next(rows[0]["query_items"] for (asking, _), rows in cells.items() if asking == one)
        lines.append([one, *values, f"{count:,}"])
    counts = [
        next(rows[0]["database_items"] for (_, answering), rows in cells.items() if answering == o) for o in answers
    ]
    lines.append(["items", *(f"{count:,}" for count in counts), ""])
    seeds: dict[int, list[float]] = {}
    for rows in cells.values():
        for row in rows:
            if row["value"] is not None:
                seeds.setdefault(row["seed"], []).append(row["value"])
    if not seeds:  # no query has anything relevant
        return f"{dataset}: {named}; {how} -> {where}: nothing relevant in any task"
    mean, deviation = intervals.spread([float(np.mean(values)) for values in seeds.values()])
    spread = "" if deviation is None else f", s{_short(deviation)} between {len(seeds)} seeds"
    head = f"{dataset}: {named}, {'real' if bits is None else f'{bits} bits'}; mAP, {preset}, {ties}; {how} -> {where}"
    return f"{head}\n{aligned(lines)}\nmean of {len(cells)} tasks {_short(mean)}{spread}"


def _mean(rows):
    known = [row["value"] for row in rows if row["value"] is not None]
    return _short(np.mean(known)) if known else "-"


def _block(rows, columns, compared):
    kinds = dict.fromkeys((row["metric"], row["k"], row["preset"], row["ties"]) for row in rows)
    kinds = [kind for column in columns for kind in kinds if kind[:2] == column]
    lines = [
        ["method", "bits", *(title(metric, k) for metric, k, _, _ in kinds)],
        ["", "", *(f"{preset}, {ties}" for _, _, preset, ties in kinds)],
    ]
    for method, variant, bits in dict.fromkeys((row["method"], row["variant"], row["bits"]) for row in rows):
        line = [method if variant is None else f"{method} ({variant})", "real" if bits is None else str(bits)]
        for kind in kinds:
            line.append(text([row for row in rows if _key(row) == (method, variant, bits, *kind)], compared))
        lines.append(line)
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of as many texts each, in columns."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = ("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def _key(row):
    return tuple(row[field] for field in ("method", "variant", "bits", "metric", "k", "preset", "ties"))


def title(metric: str, k: int | None) -> str:
    """'mAP@5', 'mAP', 'lookup precision@2'."""
    name = "mAP" if metric == "map" else metric.replace("_", " ")
    return name if k is None else f"{name}@{k}"


def text(rows, compared):
    """A cell: mean over seeds, half the interval, spread between seeds, and the verdict."""
    known = [row for row in rows if row["value"] is not None]
    if not known:
        return "-"
    mean, deviation = intervals.spread([row["value"] for row in known])
    half = np.mean([(row["ci95"][1] - row["ci95"][0]) / 2 for row in known])
    text = f"{_short(mean)} ±{_short(half)}"
    text += "" if deviation is None else f" s{_short(deviation)}"
    comparison = compared.get(cell(known[0]))
    return text if comparison is None else f"{text} {comparison.verdict}"


def _short(value):
    return f"{value:.3f}".removeprefix("0")
