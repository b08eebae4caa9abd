"""A reproduced table as files: report.html to look at, table.json, table.tex, table.md and references.bib.

All of them are made from the same numbers, rounded in one place.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from jhash import report
from jhash.pages import charts, grids, html, paste
from jhash.pages.bibliography import bibtex
from jhash.reproduce import data as datasets
from jhash.reproduce import drawn, findings, outcome, printed
from jhash.reproduce.cells import Asked, Block
from jhash.reproduce.grid import Exhibit
from jhash.reproduce.outcome import Part, Result
from jhash.workdir import flat, write_json

LEGEND = (
    "± is half of the 95 % interval over queries (bootstrap), s the standard deviation between seeds. ▼ and ▲: below "
    "and above the reference row, the 95 % interval of the gap, by the paired bootstrap over queries, excluding 0. "
    "– is an empty cell."
)
FIRST_SEED = "Curves, codes and searches are the first seed's."


def folder_name(exhibit: Exhibit, names: Sequence[str], budget: str, seeds: int | None) -> str:
    """'dkph-table-2-nmnist-quick', '…-5-seeds' where others than the usual number were asked for."""
    more = [f"{seeds}-seeds"] if seeds else []
    return "-".join([exhibit.paper, *exhibit.name.lower().split(), *names, budget, *more])


def write(
    folder: Path,
    exhibit: Exhibit,
    blocks: Sequence[Block],
    asked: Asked,
    cache: Path,
    failed: Mapping[str, str],
    command: str,
) -> str:
    """Writes all files of a table; gives what a terminal shows of it."""
    parts = [outcome.part(exhibit, block, cache, failed, _quick(exhibit, block, asked)) for block in blocks]
    found = [drawn.pictures(exhibit, block, part, cache) for block, part in zip(blocks, parts, strict=True)]
    ran = _ran(blocks, cache)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "table.json", _document(exhibit, parts, found, asked, command, ran))
    head = f"{printed.paper(exhibit.paper)['method'] if exhibit.paper in printed.PAPERS else 'DSMHN'}, {exhibit.name}"
    tables = [table(part) for part in parts]
    labels = [f"tab:{exhibit.paper}-{exhibit.name.lower().replace(' ', '-')}-{part.data}" for part in parts]
    latex = "\n".join(
        paste.latex(*lines, f"{head}, {exhibit.title}; {_where(part)}", label, _below(part))
        for part, lines, label in zip(parts, tables, labels, strict=True)
    )
    markdown = "\n".join(
        "\n\n".join([_where(part), paste.markdown(*lines).rstrip(), *_below(part)]) + "\n"
        for part, lines in zip(parts, tables, strict=True)
    )
    references = bibtex(_methods(exhibit, blocks))
    for name, text in (("table.tex", latex), ("table.md", markdown), ("references.bib", references)):
        html.write(folder / name, text)
    body = _body(exhibit, blocks, asked, ran, zip(parts, found, tables, strict=True))
    body.append(html.section("To run it again", html.preformatted(command), *_runs(ran)))
    body.append(html.details("LaTeX", html.preformatted(latex)))
    body.append(html.details("Markdown", html.preformatted(markdown)))
    body.append(html.details("BibTeX of what was run", html.preformatted(references)))
    title = f"{head}{': ours beside the print' * bool(exhibit.printed)}"
    html.write(folder / "report.html", html.document(title, body))
    return _text(head, exhibit, parts, tables, folder)


def _document(exhibit: Exhibit, parts: Sequence[Part], found, asked: Asked, command: str, ran) -> dict:
    """table.json: all numbers, in the unit of the print, and the pictures' as they are drawn."""
    return {
        "paper": exhibit.paper,
        "name": exhibit.name,
        "title": exhibit.title,
        "unit": printed.unit(exhibit.paper),
        "budget": asked.budget,
        "seeds": asked.seeds,
        "command": command,
        "notes": list(exhibit.notes),
        "parts": [outcome.as_json(part) | {"findings": findings.said(part)} for part in parts],
        "pictures": [[{k: v for k, v in one.items() if k != "html"} for one in pictures] for pictures in found],
        "runs": ran,
    }


def _body(exhibit: Exhibit, blocks: Sequence[Block], asked: Asked, ran, shown_parts) -> list[str]:
    """The page down to the last data set. `shown_parts` are (part, its pictures, its table)."""
    body = [html.paragraph(f"{exhibit.title[0].upper()}{exhibit.title[1:]}. {_seeds(asked) if ran else ''}")]
    body += [html.note(line) for line in exhibit.notes]
    body += [html.note(FIRST_SEED)] if exhibit.picture in ("precision_recall", "precision_at", "codes", "found") else []
    return body + [_section(exhibit, part, pictures, lines) for part, pictures, lines in shown_parts]


def _quick(exhibit: Exhibit, block: Block, asked: Asked) -> str:
    """What a quick budget changes on a set; '' where it changes nothing."""
    quick = datasets.QUICK.get((exhibit.paper, block.data.name), {}) if asked.budget == "quick" else {}
    if not quick:
        return ""
    full = flat(datasets.config_of(exhibit.paper, block.data, asked.data, "full").to_dict())
    changes = ", ".join(f"{name} {value} in place of {full[name]}" for name, value in quick.items())
    return f"Budget quick on {block.data.name}: {changes}. A full budget trains for longer and gives other numbers."


def table(part: Part) -> tuple[list[str], list[list[str]]]:
    """Header and lines: a line of ours and, where something is printed, one of the print and one of the difference."""
    lines = []
    for label, results in zip(part.rows, part.results, strict=True):
        digits = part.decimals
        if any(one.ours is not None for one in results) or all(one.printed is None for one in results):
            lines.append([label, *(shown(one, n) for one, n in zip(results, digits, strict=True))])
            label = "· printed"
        else:
            label = f"{label}, printed"
        if any(one.printed is not None for one in results):
            lines.append([label, *(_number(one.printed, n) for one, n in zip(results, digits, strict=True))])
        if any(one.difference is not None for one in results):
            lines.append(
                ["· ours − printed", *(_number(one.difference, n, "+") for one, n in zip(results, digits, strict=True))]
            )
    return ["", *part.columns], lines


def shown(one: Result, digits: int) -> str:
    """'0.475 ±0.012 s0.004 ▼'."""
    if one.ours is None:
        return "–"
    text = _number(one.ours, digits)
    if one.low is not None:
        text += f" ±{(one.high - one.low) / 2:.{digits}f}"
    if one.deviation is not None:
        text += f" s{one.deviation:.{digits}f}"
    if one.gap is not None and one.gap.clear:
        text += " ▼" if one.gap.ours < 0 else " ▲"
    return text


def _number(value: float | None, digits: int, sign: str = "") -> str:
    if value is None:
        return "–"
    return findings.signed(value, digits) if sign else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def _where(part: Part) -> str:
    if part.data == datasets.SHAPES.name:
        return datasets.SHAPES.about
    return " in the place of ".join(outcome.names_of(part)) if part.stands_for else part.data


def _scores(unit: str) -> str:
    return f"Scores {unit}" if unit.split()[0] in ("in", "as") else f"{unit[0].upper()}{unit[1:]}"


def _beside(unit: str, what: str = "") -> str:
    """The name of an axis, which has one short line."""
    return f"{what}scores {unit}" if unit.split()[0] in ("in", "as") else f"{what}errors, lower is better"


def _below(part: Part) -> list[str]:
    """What may not be parted from a table: what its numbers can't say, its unit and its protocols."""
    return [*findings.warnings(part), f"{_scores(part.unit)}.", *part.how]


def _seeds(asked: Asked) -> str:
    return f"{asked.seeds} seed{'s' if asked.seeds > 1 else ''}, budget {asked.budget}."


def _section(exhibit: Exhibit, part: Part, pictures: Sequence[dict], lines) -> str:
    header, rows = lines
    inside = []
    inside += [html.paragraph(line) for line in findings.warnings(part)]
    inside += [html.paragraph(line) for line in findings.orderings(part)]
    for bits in dict.fromkeys(picture["bits"] for picture in pictures if picture["kind"] == "found"):
        inside += [html.paragraph(line) for line in grids.legend(bits, drawn.NEAREST)]
    figures = [html.figure(draw(picture, part.unit), picture.get("caption", "")) for picture in pictures]
    inside += [html.side_by_side(*figures)] if len(figures) > 1 else figures
    inside.append(html.table(header, rows))
    if any(one.low is not None for line in part.results for one in line):
        inside.append(
            html.note(f"{LEGEND} {_scores(part.unit)}{', ours above, printed below' * bool(exhibit.printed)}.")
        )
    inside += [html.note(line) for line in part.how]
    gaps = findings.rows(part)
    if gaps:
        inside.append(html.details(f"Each row against {part.reference}", *(html.paragraph(line) for line in gaps)))
    inside += [html.note(line) for line in _reasons(part)]
    return html.section(_where(part), *inside)


def _reasons(part: Part) -> list[str]:
    """Why cells are empty, rows of one reason together, what is amiss with the print, and what times are of."""
    reasons: dict[str, list[str]] = {}
    times: dict[str, None] = {}
    for label, results in zip(part.rows, part.results, strict=True):
        for one in results:
            if one.why and label not in reasons.setdefault(one.why, []):
                reasons[one.why].append(label)
            times |= {one.note: None} if one.note else {}
    empty = [f"Empty: {', '.join(labels)}: {why}" for why, labels in reasons.items()]
    return [*empty, *part.notes, *(f"Time: {how}." for how in times)]


def draw(picture: Mapping, unit: str) -> str:
    """One of `drawn.pictures` as SVG, searches as HTML."""
    if picture["kind"] == "lines":
        series = [charts.Line(line["name"], line["x"], line["y"], line["band"]) for line in picture["lines"]]
        beside = {"recall": "precision", "R": "precision"}.get(picture["x"], _beside(unit))
        zero = all(line["band"] for line in picture["lines"]) or picture["x"] in ("recall", "R")
        return charts.lines(picture["title"], picture["x"], beside, series, log=picture["log"], zero=zero)
    if picture["kind"] == "bars":
        groups: dict[str, list] = {}
        for bar in picture["bars"]:
            groups.setdefault(bar["group"], []).append(charts.Bar(bar["name"], bar["value"], bar["low"], bar["high"]))
        signed, digits = picture["signed"], picture["digits"]
        beside = _beside(unit, "difference of " * signed)
        return charts.bars(picture["title"], beside, groups, digits, signed=signed)
    if picture["kind"] == "heat":
        values = [[float("nan") if value is None else value for value in line] for line in picture["values"]]
        return charts.heat(picture["title"], picture["x"], "", picture["columns"], picture["rows"], values)
    if picture["kind"] == "found":
        return f"<h3>{html.escaped(picture['title'])}</h3>{picture['html']}"
    return charts.scatter(picture["title"], picture["points"], picture["classes"], picture["names"])


def _methods(exhibit: Exhibit, blocks: Sequence[Block]) -> list[str]:
    named = [cell.method for block in blocks for row in block.cells for cell in row if cell.runs]
    return list(dict.fromkeys([exhibit.paper, *named]))


def _ran(blocks: Sequence[Block], cache: Path) -> list[dict]:
    """What the runs' done.json say, each once."""
    found = {}
    for block in blocks:
        for row in block.cells:
            for cell in row:
                for run in (*cell.runs, *cell.others):
                    if run.done(cache):
                        file = run.folder(cache) / "done.json"
                        found[run.name] = {"folder": run.name} | json.loads(file.read_text(encoding="utf-8"))
    return list(found.values())


def _runs(ran: Sequence[Mapping]) -> list[str]:
    if not ran:
        return []
    links = "".join(
        f'<li><a href="../runs/{one["folder"]}/report.html">{html.escaped(one["title"])}</a></li>' for one in ran
    )
    versions = dict.fromkeys(
        f"jax {one['jax']}, flax {one['flax']}, numpy {one['numpy']}, {one['device']}" for one in ran
    )
    total = sum(one["seconds"] for one in ran) / 60
    mixed = [html.note("The runs are of several versions or devices: numbers may differ by that too.")]
    return [
        html.paragraph(f"{len(ran)} run{'s' if len(ran) > 1 else ''}, {total:.1f} minutes; {'; '.join(versions)}."),
        html.note("A run that was stopped or killed counts from its last start."),
        *(mixed if len(versions) > 1 else []),
        html.details("The page of each run", f"<ul>{links}</ul>"),
    ]


def _text(head: str, exhibit: Exhibit, parts: Sequence[Part], tables, folder: Path) -> str:
    lines = [f"{head}: {exhibit.title}"]
    for part, (header, rows) in zip(parts, tables, strict=True):
        lines += ["", _where(part), report.aligned([header, *rows])]
        lines += [*findings.said(part), *part.how, *_reasons(part)]
    return "\n".join([*lines, "", f"{folder / 'report.html'}", ""])
