"""The picture of a figure, as plain numbers that `page.py` draws and table.json keeps."""

from pathlib import Path

import numpy as np

from jhash.evaluate import labels_of
from jhash.pages import charts, grids, shown
from jhash.pages.embedding import embed, evenly
from jhash.reproduce import again
from jhash.reproduce.cells import Block
from jhash.reproduce.grid import Exhibit, Score
from jhash.reproduce.outcome import Part

RANKS = range(100, 2001, 100)  # of CMGCAH's Figure 2
ITEMS = 1000  # drawn of codes, at most
SEEDS = "Bands: one standard deviation between {} seeds either way."
QUERIES, NEAREST = 6, 5  # of MCMSH's Figure 7


def pictures(exhibit: Exhibit, block: Block, part: Part, cache: Path) -> list[dict]:
    """{'kind', 'title', ...} each: see the functions below. Empty where nothing was run."""
    if not exhibit.picture:
        return [*_gaps(part), *_by_length(block, part)]
    if exhibit.picture in ("lines", "bars", "heat"):
        return {"lines": _lines, "bars": _bars, "heat": _heat}[exhibit.picture](exhibit, block, part)
    if exhibit.picture in ("precision_recall", "precision_at"):
        return _curves(exhibit, block, part, cache)
    if exhibit.picture == "codes":
        return _codes(block, part, cache)
    return _found(block, part, cache) if exhibit.picture == "found" else []


def _gaps(part: Part) -> list[dict]:
    """How far each row is from the reference row, ours beside the print: means over the columns that have both."""
    bars, digits = [], 0
    for label, results in zip(part.rows, part.results, strict=True):
        both = [
            c
            for c, one in enumerate(results)
            if part.ordered[c] and one.gap and one.gap.low is not None and one.gap.printed is not None
        ]
        gaps = [results[c].gap for c in both]
        if gaps:
            digits = part.decimals[both[0]]
            ours, low, high, of_print = (
                float(np.mean([getattr(gap, name) for gap in gaps])) for name in ("ours", "low", "high", "printed")
            )
            bars.append({"group": label, "name": "here", "value": ours, "low": low, "high": high})
            bars.append({"group": label, "name": "printed", "value": of_print, "low": None, "high": None})
    found = {"kind": "bars", "title": f"{part.data}: gap to {part.reference}, mean over columns", "bars": bars}
    found |= {"digits": digits, "signed": True}
    return [found | {"caption": "Whiskers: the mean of the columns' 95 % intervals over queries."}] if bars else []


def _by_length(block: Block, part: Part) -> list[dict]:
    """Score against code length: for each direction a picture of the first measure that has several lengths."""
    kinds: dict = {}
    for c, column in enumerate(block.grid.columns):
        if isinstance(column.measure, Score) and "hyper.bits" in column.changes:
            kinds.setdefault(column.measure, []).append(c)
    first: dict = {}
    for score, columns in kinds.items():
        if len(columns) > 1:
            first.setdefault((score.asks, score.answers), (score, columns))
    found = []
    for score, columns in first.values():
        lines = []
        for label, line in zip(part.rows, part.results, strict=True):
            known = [
                (block.grid.columns[c].changes["hyper.bits"], line[c]) for c in columns if line[c].ours is not None
            ]
            lines += [_line(label, known) | {"band": _between_seeds([one for _, one in known])}] if known else []
        where = f"{score.asks} → {score.answers}, " if score.asks else ""
        title = f"{part.data}: {where}mAP{f'@{score.k}' if score.k else ''} against code length"
        if lines:
            picture = {"kind": "lines", "title": title, "x": "bits", "log": True, "lines": lines}
            several = any(line["band"] for line in lines)
            found.append(picture | ({"caption": SEEDS.format(part.seeds)} if several else {}))
    return found


def _between_seeds(results) -> list | None:
    """A band of one standard deviation between seeds either way; None of one seed."""
    if any(one.deviation is None for one in results):
        return None
    return [[one.ours + sign * one.deviation for one in results] for sign in (-1, 1)]


def _lines(exhibit: Exhibit, block: Block, part: Part) -> list[dict]:
    """Pictures for each series of rows, or of all rows where they are in none."""
    found = []
    together = list(zip(block.grid.rows, part.results, strict=True))
    for series in dict.fromkeys(row.at[:1] for row in block.grid.rows):
        members = [(row, line) for row, line in together if row.at[:1] == series]
        if all(len(row.at) > 1 for row, _ in members):
            found.append(_over_rows(series[0], part, members))
        else:
            found += _over_columns(f"{part.data}: {''.join(f'{name}, ' for name in series)}", exhibit, block, members)
    return [picture for picture in found if any(line["x"] for line in picture["lines"])]


def _over_rows(series: str, part: Part, members) -> dict:
    """A line a column, over the rows' places."""
    lines = []
    for c, column in enumerate(part.columns):
        lines.append(_line(column, [(row.at[1], line[c]) for row, line in members if line[c].ours is not None]))
    return {"kind": "lines", "title": f"{part.data}: {series}", "x": series, "log": False, "lines": lines}


def _over_columns(head: str, exhibit: Exhibit, block: Block, members) -> list[dict]:
    """A picture for each group of columns: a line a row, over the columns' places."""
    found = []
    for group in dict.fromkeys(column.group for column in block.grid.columns if column.group):
        lines = []
        for row, line in members:
            known = [
                (column.x, one)
                for column, one in zip(block.grid.columns, line, strict=True)
                if column.group == group and one.ours is not None
            ]
            lines.append(_line(row.label, known))
        picture = {"kind": "lines", "title": head + group, "x": exhibit.x, "log": exhibit.log}
        found.append(picture | {"lines": [line for line in lines if line["x"]]})
    return found


def _line(name: str, known) -> dict:
    banded = all(one.low is not None for _, one in known)
    band = [[one.low for _, one in known], [one.high for _, one in known]] if banded else None
    return {"name": name, "x": [x for x, _ in known], "y": [one.ours for _, one in known], "band": band}


def _bars(exhibit: Exhibit, block: Block, part: Part) -> list[dict]:
    bars = []
    for label, line in zip(part.rows, part.results, strict=True):
        for column, one in zip(part.columns, line, strict=True):
            bars.append({"group": column, "name": label, "value": one.ours, "low": one.low, "high": one.high})
    if all(bar["value"] is None for bar in bars):
        return []
    title = f"{part.data}: {exhibit.title}"
    return [{"kind": "bars", "title": title, "bars": bars, "digits": part.decimals[0], "signed": False}]


def _heat(exhibit: Exhibit, block: Block, part: Part) -> list[dict]:
    across, down = (list(dict.fromkeys(row.at[i] for row in block.grid.rows)) for i in (1, 0))
    values = [[None] * len(across) for _ in down]
    for row, line in zip(block.grid.rows, part.results, strict=True):
        values[down.index(row.at[0])][across.index(row.at[1])] = line[0].ours
    if all(value is None for line in values for value in line):
        return []
    picture = {"kind": "heat", "title": f"{part.data}: {part.columns[0]}", "x": exhibit.x, "values": values}
    return [picture | {"columns": [f"{x:g}" for x in across], "rows": [f"{y:g}" for y in down]}]


def _finished(block: Block, cache: Path):
    """(row's label, column's label, method, folder of the first seed's run) of each cell whose run is there."""
    for row, cells in zip(block.grid.rows, block.cells, strict=True):
        for column, cell in zip(block.grid.columns, cells, strict=True):
            if cell.runs and cell.runs[0].done(cache):
                yield row.label, column, cell, cell.runs[0].folder(cache)


def _curves(exhibit: Exhibit, block: Block, part: Part, cache: Path) -> list[dict]:
    """Precision against recall, or at the first R items, the first seed's: a picture for each column and direction."""
    found: dict[str, list[dict]] = {}
    for label, column, cell, folder in _finished(block, cache):
        for curve in again.curves(folder, 0, cell.method):
            asks, answers = (curve[side].split(" ")[0] for side in ("query", "database"))
            wanted = (cell.measure.asks, cell.measure.answers)
            if wanted[0] and wanted != (asks, answers):
                continue
            direction = f", {asks} → {answers}" if block.data.media and not wanted[0] else ""
            if exhibit.picture == "precision_at":
                ranks = [r for r in RANKS if r <= curve["rank"][-1]]
                line = {"x": ranks, "y": np.interp(ranks, curve["rank"], curve["precision"]).round(6).tolist()}
            else:
                line = {"x": curve["recall"], "y": curve["precision"]}
            title = f"{part.data}: {column.label}{direction}"
            found.setdefault(title, []).append(line | {"name": label, "band": None})
    x = "R" if exhibit.picture == "precision_at" else "recall"
    return [{"kind": "lines", "title": title, "x": x, "log": False, "lines": lines} for title, lines in found.items()]


def _codes(block: Block, part: Part, cache: Path) -> list[dict]:
    """Codes of the queries and of items searched in two dimensions, by class; the first seed's."""
    found = []
    for label, _, cell, folder in _finished(block, cache):
        run = again.open_run(folder, 0, cell.method)
        parts = list(dict.fromkeys(run.tasks[0].parts))
        codes = np.concatenate([run.codes[name] for name in parts])
        labels = np.concatenate([labels_of(run.dataset.tables[name]) for name in parts])
        placed = embed(codes, ITEMS)
        drawn = labels[placed.rows]
        found.append(
            {
                "kind": "scatter",
                "title": f"{part.data}: {label}, {placed.how}",
                "points": placed.points.round(4).tolist(),
                "classes": np.where(drawn.any(axis=1), drawn.argmax(axis=1), -1).tolist(),
                "names": shown.class_names(run.dataset, labels.shape[1]),
                "caption": _left_out(drawn, len(labels), parts),
            }
        )
    return found


def _left_out(drawn: np.ndarray, whole: int, parts) -> str:
    """What a picture of codes doesn't show, of labels [M, C] of the items drawn."""
    items = f"All {whole:,} items" if len(drawn) == whole else f"{len(drawn):,} of {whole:,} items, drawn evenly,"
    said = f"{items} of {', '.join(parts)}; the number of each class in brackets."
    several = (drawn.sum(axis=1) > 1).any()
    classes = len(set(drawn.argmax(axis=1)[drawn.any(axis=1)]))
    said += " An item of several classes has the colour of its first." if several else ""
    if classes > charts.CLASSES:
        said += f" The {charts.CLASSES} most frequent of {classes} classes are told apart, the others are grey."
    return said


def _found(block: Block, part: Part, cache: Path) -> list[dict]:
    """The nearest items of some queries, drawn evenly and not picked; the first seed's. `html` shows them."""
    found = []
    for label, _, cell, folder in _finished(block, cache):
        run = again.open_run(folder, 0, cell.method)
        task = run.tasks[0]
        asking = evenly(len(run.codes[task.query]), QUERIES)
        searches = grids.searches(run.dataset, task, run.codes, asking, NEAREST)
        found.append(
            {
                "kind": "found",
                "title": f"{part.data}: {label}, the {NEAREST} nearest items of {len(asking)} queries",
                "bits": run.codes[task.query].shape[1],
                "queries": asking.tolist(),
                "right": [[bool(alike) for alike in one.alike] for one in searches],
                "html": grids.grid(searches),
            }
        )
    return found
