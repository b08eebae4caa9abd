"""The curves of a comparison: mAP@k, precision against recall, learning, mAP against bits."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jhash import compare_settings
from jhash.compare_folders import Folder
from jhash.compared import Column, Contender, Line
from jhash.curves import curve
from jhash.data.load import open_parts
from jhash.data.splits import fold_rows
from jhash.pages import charts, html
from jhash.types import InputError, Table

GRID = np.linspace(0.02, 1.0, 50)  # recalls at which curves of several seeds are averaged
SMOOTHED = 200  # points of a learning curve, at most


def sections(field: Sequence[Contender], compared: Mapping[Column, Sequence[Line]]) -> list[str]:
    """Each with its charts and a sentence for what is missing; none where the folders hold nothing for it."""
    made = {
        "mAP@k": at_cutoffs(field, compared),
        "Precision and recall": precision_recall(field, compared),
        "mAP against bits": against_bits(field, compared),
        "Learning": learning(field),
    }
    return [html.section(heading, *filter(None, parts)) for heading, parts in made.items() if any(parts)]


def _chart(picture: str, caption: str) -> str:
    return html.figure(picture, caption) if picture else ""


def at_cutoffs(field: Sequence[Contender], compared: Mapping[Column, Sequence[Line]]) -> list[str]:
    """A chart for each task and protocol: the mean over seeds of each contender, with its interval."""
    parts = []
    for way in dict.fromkeys(column[:4] for column in compared):
        series = []
        for one in field:
            points = {column.k: mean for column, mean in one.means.items() if _cut(column) and column[:4] == way}
            if len(points) > 1:
                ks = sorted(points)
                mean, low, high = np.array([points[k] for k in ks]).T
                series.append(charts.Line(one.short, ks, mean, (low, high)))
        title = f"{way[0]} → {way[1]}, {way[2]}, {way[3]}"
        parts.append(_chart(charts.lines(title, "k", "mAP@k", series), "The band is the 95 % interval over queries."))
    return parts


def _cut(column: Column) -> bool:
    return column.metric == "map" and column.k is not None


# ---- precision against recall


def precision_recall(field: Sequence[Contender], compared: Mapping[Column, Sequence[Line]]) -> list[str]:
    """A chart for each task: from curves.json, else from the codes of the first seed, where the labels are at hand."""
    stored = {one.folder.name: _stored(one.folder) for one in field}
    labels: dict[str, tuple | str] = {}
    parts: list[str] = []
    missing: dict[tuple[str, str], list[str]] = {}
    for task in dict.fromkeys(column[:2] for column in compared):
        series, title = [], f"{task[0]} → {task[1]}"
        for one in field:
            points = _of_stored(stored[one.folder.name], one, task)
            if points is None:
                if one.folder.name not in labels:
                    labels[one.folder.name] = _labels(one.folder)
                points = _of_codes(one, labels[one.folder.name])
            if isinstance(points, str):
                missing.setdefault((one.name, points), []).append(title)
            else:
                series.append(charts.Line(one.short, *points))
        caption = "By rank, the mean over queries and over all orders of equal distances."
        parts.append(_chart(charts.lines(title, "recall", "precision", series), caption))
    if any(parts):
        parts += map(html.note, _without(missing))
    return parts


def _without(missing: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    """(contender, reason) -> tasks, as sentences; contenders that lack the same for the same reason share one."""
    alike: dict[tuple[str, str], list[str]] = {}
    for (name, reason), tasks in missing.items():
        alike.setdefault((", ".join(tasks), reason), []).append(name)
    return [f"No curve of {'; '.join(names)} for {tasks}: {reason}." for (tasks, reason), names in alike.items()]


def _stored(folder: Folder) -> list[dict[str, Any]]:
    """The entries of curves.json that have all that a curve needs."""
    try:
        held = json.loads((folder.path / "curves.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    wanted = {"method", "query", "database", "recall", "precision"}
    return [one for one in held if isinstance(one, dict) and wanted <= one.keys()] if isinstance(held, list) else []


def _of_stored(entries: Sequence[Mapping[str, Any]], one: Contender, task) -> tuple[np.ndarray, np.ndarray] | None:
    own = [entry for entry in entries if entry["method"] == one.method]
    if one.folder.config:  # else the folder has one task, by whatever name
        own = [entry for entry in own if (entry["query"], entry["database"]) == task]
    if not own:
        return None
    return GRID, np.mean([np.interp(GRID, entry["recall"], entry["precision"]) for entry in own], axis=0)


def _labels(folder: Folder) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | str:
    """Labels [Q, C] and [N, C] of a run on clips and the queries' own rows, or what keeps them away.

    Other runs wrote curves.json themselves.
    """
    if not folder.config or "modalities" in folder.config:
        return "curves.json has none" if (folder.path / "curves.json").is_file() else "there is no curves.json"
    data, seed = folder.config["data"], folder.config["seed"]
    try:
        opened = open_parts(data, seed)
        if data["fold"]:
            held, rest = fold_rows(len(opened["train"]), data["fold"], seed)
            return _read_labels(opened["train"])[held], _read_labels(opened["train"])[rest], None
        asking = _read_labels(opened["query"])
        if data["name"] == "fcvid":  # its queries search themselves
            return asking, asking, np.arange(len(asking))
        return asking, _read_labels(opened.get("database", opened["train"])), None
    except (InputError, OSError, KeyError) as error:
        return f"there is no curves.json, and the labels aren't at hand ({str(error).rstrip('.')})"


def _read_labels(table: Table) -> np.ndarray:
    return table.read(np.arange(len(table)), ["labels"])["labels"]


def _of_codes(one: Contender, labels) -> tuple[Sequence[float], Sequence[float]] | str:
    if isinstance(labels, str):
        return labels
    if one.bits is None:
        return "it has vectors and no codes"
    place = one.folder.path / f"seed-{one.seeds[0]}" / one.method
    try:
        codes = [np.load(place / f"codes_{part}.npy", allow_pickle=False) for part in ("query", "database")]
    except (OSError, ValueError):
        return f"there are no codes in {place.relative_to(one.folder.path)}"
    if [len(array) for array in codes] != [len(array) for array in labels[:2]]:
        return "its data have other numbers of items than its codes"
    points = curve(*codes, *labels)
    return points["recall"], points["precision"]


# ---- bits, steps


def against_bits(field: Sequence[Contender], compared: Mapping[Column, Sequence[Line]]) -> list[str]:
    """A chart for each column of mAP, a line for each method; nothing where all codes are of one length."""
    if len({one.bits for one in field if one.bits is not None}) < 2:
        return []
    parts = []
    for column in compared:
        found: dict[str, dict[int, list]] = {}
        for one in field:
            if one.bits is not None and column in one.means:
                name = one.method if one.variant is None else f"{one.method} ({one.variant})"
                found.setdefault(name, {}).setdefault(one.bits, []).append(one.means[column])
        series = []
        for name, by_bits in found.items():
            bits = sorted(by_bits)
            mean, low, high = np.array([np.mean(by_bits[length], axis=0) for length in bits]).T
            series.append(charts.Line(name, bits, mean, (low, high)))
        title = f"{column.query} → {column.database}, {column.title}"
        caption = "Runs of one method and length in several folders are averaged."
        parts.append(_chart(charts.lines(title, "bits", "value", series, log=True), caption))
    return parts


def learning(field: Sequence[Contender]) -> list[str]:
    """A chart for each method and stage of metrics.jsonl: the loss at each step, the mean over seeds, by folder."""
    found: dict[tuple[str, str, str], dict[str, dict[int, list[float]]]] = {}
    whose = {one.short: one for one in field}
    for one in field:
        for point in _points(one):
            for value in ("loss", "validation"):
                if charts.is_number(point.get(value)):
                    steps = found.setdefault((one.method, point["stage"], value), {}).setdefault(one.short, {})
                    steps.setdefault(point["step"], []).append(point[value])
    parts = []
    for (method, stage, value), by_name in found.items():
        series = []
        for name, steps in by_name.items():
            kept = sorted(steps)[:: -(-len(steps) // SMOOTHED)]
            series.append(charts.Line(name, kept, [np.mean(steps[step]) for step in kept]))
        title = f"{method}, {stage}: {value}"
        note = compare_settings.unlike_losses([whose[name] for name in by_name]) if value == "loss" else ""
        parts.append(_chart(charts.lines(title, "step", value, series, zero=False), note))
    return parts


def _points(one: Contender) -> list[dict[str, Any]]:
    """The whole points of a contender's learning curve."""
    file = one.folder.path / "metrics.jsonl"
    points = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            point = json.loads(line)
        except ValueError:
            continue
        if isinstance(point, dict) and point.get("method") == one.method and {"stage", "step"} <= point.keys():
            points.append(point)
    return points
