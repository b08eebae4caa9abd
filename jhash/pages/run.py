"""The page of one run, report.html: what was run, what came out, how it learned and what its codes are like."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash import report
from jhash.config import experiment
from jhash.data.dataset import Dataset, Task
from jhash.pages import bibliography, bits, charts, embedding, grids, html, learning, paste, pictures, results, shown
from jhash.pages.curves import codes_of, drawn_curves
from jhash.types import InputError
from jhash.workdir import flat

PAGE = "report.html"
NEAREST = 5  # items shown for each query
ASKING = 8  # queries shown of a direction
FEW = 4  # directions, up to which each shows so many; of more, each shows two
POINTS = 1000  # of the picture of codes: some seconds
NEAR = 10  # others, among which media may be mixed


class Run(NamedTuple):
    """What a finished run holds."""

    workdir: Path
    config: Mapping[str, Any]  # as in config.json
    dataset: Dataset
    tasks: Mapping[str, Sequence[Task]]  # method -> what its codes can do
    found: Sequence[report.Result]
    against: Sequence[str]  # the baselines that others are compared with
    curves: Sequence[Mapping]  # as in curves.json

    @property
    def rows(self) -> list[dict]:
        return [result.row for result in self.found]

    @property
    def method(self) -> str:
        return self.config["method"]


def write(run: Run) -> None:
    """Writes workdir/report.html, whole or not at all.

    Codes are read from the workdir: those of the run's own method, by its first seed.
    """
    codes = _codes(run)
    parts = [_what(run), _results(run), *_curves(run)]
    learned = learning.pictures(run.workdir)
    parts += [html.section("How it learned", *learned)] if learned else []
    if codes:
        parts += [_plane(run, codes), _bits(run, codes), _searches(run, codes)]
    parts += [_complexity(run), _paste(run)]
    title = f"{run.method} on {run.config['data']['name']}"
    html.write(run.workdir / PAGE, html.document(title, [part for part in parts if part]))


def _codes(run: Run) -> dict[str, np.ndarray]:
    """part -> ±1 [N, K] of the run's own method by its first seed; {} where it has vectors."""
    found = {part: codes_of(run.workdir, run.config["seed"], run.method, part) for part in run.dataset.parts}
    return {} if any(codes is None for codes in found.values()) else found


def _what(run: Run) -> str:
    config, variants = run.config, [row["variant"] for row in run.rows if row["method"] == run.method]
    first, count = config["seed"], config["seeds"]
    facts = [
        ("method", results.named(run.method, variants[0] if variants else None)),
        ("data", config["data"]["name"]),
        ("bits", str(config["hyper"].get("bits", "–"))),
        ("seeds", str(first) if count == 1 else f"{first} to {first + count - 1}"),
        ("baselines", ", ".join(config["baselines"]) or "none"),
    ]
    if run.rows:
        facts.append(("protocols", _protocols(run.rows)))
    if "modalities" in config:
        facts.insert(2, ("media", ", ".join(config["modalities"])))
    backbones = _backbones(config)
    if backbones:
        facts.append(("backbones" if len(backbones) > 1 else "backbone", "; ".join(backbones)))
    facts.append(("items", _sizes(run.dataset)))
    facts.append(("versions", ", ".join(f"{name} {_version(name)}" for name in ("jhash", "jax", "flax", "numpy"))))
    changed = _changed(config)
    settings = [
        html.note("Every other setting is jhash's default for this method and these data; config.json has all.")
    ]
    if changed:
        settings.insert(0, html.table(["setting", "value", "default"], changed, numeric_from=3))
    return html.section(
        "What was run",
        html.table(["fact", "value"], [list(fact) for fact in facts], numeric_from=2),
        html.details(f"{len(changed)} settings that differ from the defaults", *settings),
    )


def _protocols(rows: Sequence[Mapping]) -> str:
    """'she, trec (equal distances: stable)': those of the rows, for media have protocols of their own."""
    by_ties: dict[str, list[str]] = {}
    for preset, ties in dict.fromkeys((row["preset"], row["ties"]) for row in rows):
        by_ties.setdefault(ties, []).append(preset)
    return "; ".join(f"{', '.join(presets)} (equal distances: {ties})" for ties, presets in by_ties.items())


def _backbones(config: Mapping[str, Any]) -> list[str]:
    """What each medium's backbone began with."""
    hyper, media = config["hyper"], config.get("modalities", ())
    if "backbones" in hyper:
        given = zip(media, hyper["backbones"], hyper["weights"], strict=False)
    else:  # one backbone is the first medium's
        given = zip(media, [hyper.get("backbone", "")], [hyper.get("weights", "")], strict=False)
    return [
        f"{medium}: {backbone}, " + (Path(file).name if file else "trained from scratch, no pretrained weights")
        for medium, backbone, file in given
        if backbone
    ]


def _sizes(dataset: Dataset) -> str:
    """'image/train 2,173, image/test 693': each table once that holds items of one medium."""
    sizes = {
        part: len(table)
        for part, table in dataset.tables.items()
        if part not in ("pairs", "all/together") and table is not dataset.tables.get(f"{part}/train")
    }
    return ", ".join(f"{part} {size:,}" for part, size in sizes.items())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _changed(config: Mapping[str, Any]) -> list[list[str]]:
    """(field, value, default) where a config differs from the defaults of its method and dataset."""
    try:
        usual = experiment(config["method"], config["data"]["name"]).to_dict()
    except InputError:
        usual = {}
    usual, here = (flat(json.loads(json.dumps(one))) for one in (usual, dict(config)))
    names = [name for name in sorted(here) if here[name] != usual.get(name) and name != "run.resident_gb"]
    return [[name, json.dumps(here[name]), json.dumps(usual.get(name))] for name in names]


def _results(run: Run) -> str:
    rows = run.rows
    if not rows:
        return html.section(
            "Results", html.paragraph("No second medium yet: the codes are kept, and the next medium is compared.")
        )
    parts = []
    if _many(run):
        drawn = [
            charts.heat(one.caption, "answers", "asks", one.answers, one.asks, one.values)
            for one in results.squares(rows)
        ]
        parts.append(html.side_by_side(*(html.figure(picture, "") for picture in drawn if picture)))
    compared = report.comparisons(run.found, run.against)
    tables = [_table(block) for block in results.blocks(rows, compared)]
    parts += [html.details("Task by task, with intervals", *tables)] if _many(run) else tables
    parts.append(html.note(report.LEGEND + "."))
    if run.against:
        whom = ", where it has none ".join(run.against)
        parts.append(html.note(f"won, tied, lost: against {whom}, paired bootstrap over queries."))
    parts.append(html.details(f"All {len(rows)} rows of results.json", _table(results.everything(rows))))
    return html.section("Results", *parts)


def _many(run: Run) -> bool:
    """Whether its tasks fill a square of media."""
    return "library" in run.config or len({(row["query"], row["database"]) for row in run.rows}) > FEW


def _table(block: results.Block) -> str:
    return html.table(block.header, block.rows, caption=block.caption, numeric_from=block.words)


def _curves(run: Run) -> list[str]:
    drawn = [html.figure(pictures.map_at_k(run.rows), "")] if pictures.map_at_k(run.rows) else []
    curves, note = drawn_curves(run.workdir, run.config, run.dataset, run.tasks, run.curves)
    if curves:
        drawn.append(html.figure(pictures.precision_recall(curves), note))
        drawn.append(html.figure(pictures.precision_at_rank(curves), note))
    return [html.section("Curves", html.side_by_side(*drawn))] if drawn else []


def _asking(run: Run) -> list[str]:
    """Parts that ask, else all: what the pictures of codes show, for no training item is among them."""
    parts = [part for part in run.dataset.parts if part == "query" or part.endswith("/test")]
    return parts or list(run.dataset.parts)


def _said(run: Run, part: str) -> str:
    """A part that asks, as results have it."""
    return next((task.names[0] for task in run.dataset.tasks if task.query == part), part)


def _plane(run: Run, codes: Mapping[str, np.ndarray]) -> str:
    parts = _asking(run)
    rows = {part: embedding.evenly(len(codes[part]), POINTS // len(parts)) for part in parts}
    chosen = np.concatenate([codes[part][rows[part]] for part in parts])
    labels = np.concatenate([run.dataset.tables[part].read(rows[part], ["labels"])["labels"] for part in parts])
    found = embedding.embed(chosen)
    classes = np.where(labels.any(axis=1), labels.argmax(axis=1), -1)
    names = shown.class_names(run.dataset, labels.shape[1])
    whole, whose = sum(len(codes[part]) for part in parts), ", ".join(_said(run, part) for part in parts)
    caption = f"{len(chosen):,} of {whole:,} items of {whose}: {found.how}."
    caption += " An item of several classes has the colour of its first." if (labels.sum(axis=1) > 1).any() else ""
    caption += f" {charts.CLASSES} classes are told apart, the rest is grey." if len(names) > charts.CLASSES else ""
    drawn = [html.figure(charts.scatter("Codes by class", found.points, classes, names), caption)]
    if len(parts) > 1:
        media = np.repeat(np.arange(len(parts)), [len(rows[part]) for part in parts])
        by_part = charts.scatter("The same codes by medium", found.points, media, [shown.medium_of(p) for p in parts])
        drawn.append(html.figure(by_part, _mixture(chosen, media)))
    return html.section("What lies near what", html.side_by_side(*drawn))


def _mixture(codes: np.ndarray, media: np.ndarray) -> str:
    if len(codes) <= NEAR:
        return ""
    share, even = embedding.mixed(codes, media, NEAR)
    return f"Of an item's {NEAR} nearest, {share:.0%} are of another medium; were media mixed evenly, {even:.0%}."


def _bits(run: Run, codes: Mapping[str, np.ndarray]) -> str:
    drawn = [bits.pictures(_said(run, part), codes[part]) for part in _asking(run)]
    title = "1 more medium" if len(drawn) == 2 else f"{len(drawn) - 1} more media"
    folded = [html.details(title, *drawn[1:])] if len(drawn) > 1 else []
    return html.section("How the bits are used", drawn[0], *folded)


def _searches(run: Run, codes: Mapping[str, np.ndarray]) -> str:
    tasks = [task for task in run.tasks[run.method] if all(part in codes for part in task.parts)]
    tasks = [task for task in tasks if task.drawn] or tasks
    if not tasks:
        return ""
    number, parts = ASKING if len(tasks) <= FEW else 2, []
    for task in tasks:
        asking = embedding.evenly(len(codes[task.query]), number)
        found = grids.grid(grids.searches(run.dataset, task, codes, asking, NEAREST))
        words = f"{task.names[0]} asks, {task.names[1]} is searched: rows {', '.join(map(str, asking))}"
        parts.append(html.details(words, found) if len(tasks) > 1 and parts else html.note(words + ".") + found)
    legend = [html.paragraph(line) for line in grids.legend(next(iter(codes.values())).shape[1], NEAREST)]
    return html.section(f"The nearest {NEAREST} items", *legend, *parts)


def _complexity(run: Run) -> str:
    """What each method costs, where complexity.json says it."""
    try:
        costs = json.loads((run.workdir / "complexity.json").read_text(encoding="utf-8"))
        rows = [[method, *(_number(cost.get(name)) for name in COSTS)] for method, cost in costs.items()]
    except (OSError, ValueError, AttributeError):
        return ""
    return html.section("What it costs", html.table(["method", *COSTS.values()], rows)) if rows else ""


COSTS = {
    "parameters": "parameters",
    "parameters_encode": "parameters that encode",
    "flops": "operations an item",
    "milliseconds": "milliseconds an item",
}


def _number(value: Any) -> str:
    if not charts.is_number(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _paste(run: Run) -> str:
    rows, parts = run.rows, []
    compared = report.comparisons(run.found, run.against)
    blocks = [one.block() for one in results.squares(rows)] if _many(run) else results.blocks(rows, compared)
    if blocks:
        latex = [paste.latex(one.header, one.rows, one.caption, f"tab:{one.caption}") for one in blocks]
        parts.append(html.details("LaTeX (booktabs)", html.preformatted("\n".join(latex))))
        markdown = [f"{one.caption}\n\n{paste.markdown(one.header, one.rows)}" for one in blocks]
        parts.append(html.details("Markdown", html.preformatted("\n".join(markdown))))
    entries = bibliography.bibtex([run.method, *run.config["baselines"]])
    parts += [html.details("BibTeX", html.preformatted(entries))] if entries else []
    return html.section("To paste", *parts) if parts else ""
