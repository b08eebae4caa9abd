"""The parts of a page: headings, tables, figures. A page stands alone: no scripts, and nothing is fetched.

Functions that take words escape them; parts of a page are HTML already.
"""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from jhash.pages.style import STYLE
from jhash.workdir import written

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML


def escaped(words: object) -> str:
    """Words as HTML and as XML; what neither may hold becomes U+FFFD."""
    return escape(FORBIDDEN.sub("\ufffd", str(words)))


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page under one heading."""
    head = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(title)}</title><style>{STYLE}</style></head>
<body><main><h1>{escaped(title)}</h1>
"""
    return head + "\n".join(parts) + "\n</main></body></html>\n"


def section(heading: str, *parts: str) -> str:
    """Parts under a heading of their own."""
    return f"<section><h2>{escaped(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(text: str) -> str:
    return f"<p>{escaped(text)}</p>"


def note(text: str) -> str:
    """A paragraph of small print."""
    return f'<p class="note">{escaped(text)}</p>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", numeric_from: int = 1) -> str:
    """A table that scrolls inside its own box, its first column staying in sight.

    Args:
        header: the names of the columns.
        rows: as many words each.
        caption: stands above it.
        numeric_from: the first column that is right-aligned.

    Raises:
        ValueError: a row of another length than the header.
    """
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {number}: expected {len(header)} cells, found {len(row)}")
    lines = [f"<caption>{escaped(caption)}</caption>"] if caption else []
    lines.append(f"<thead>{_row(header, ['col'] * len(header), numeric_from)}</thead><tbody>")
    lines += [_row(row, ["row"], numeric_from) for row in rows]
    body = "\n".join([*lines, "</tbody>"])
    name = escaped(caption or "table")
    return f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table>{body}</table></div>'


def _row(cells: Sequence[str], scopes: Sequence[str], numeric_from: int) -> str:
    """`scopes` are those of its first cells, which are headings."""
    parts = []
    for place, cell in enumerate(cells):
        kind = ' class="number"' if place >= numeric_from else ""
        tag, scope = ("th", f' scope="{scopes[place]}"') if place < len(scopes) else ("td", "")
        parts.append(f"<{tag}{scope}{kind}>{escaped(cell)}</{tag}>")
    return f"<tr>{''.join(parts)}</tr>"


def details(summary: str, *parts: str) -> str:
    """Parts that are folded away until a reader opens them; on paper they are open."""
    return f"<details><summary>{escaped(summary)}</summary>\n" + "\n".join(parts) + "\n</details>"


def preformatted(text: str) -> str:
    """Text to copy, with its own line breaks, which scrolls inside its own box."""
    return f'<pre tabindex="0">{escaped(text)}</pre>'


def figure(svg_or_html: str, caption: str) -> str:
    """A picture with words below it. `svg_or_html` is HTML already."""
    words = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
    return f'<figure><div class="scroll">{svg_or_html}</div>{words}</figure>'


def side_by_side(*parts: str) -> str:
    """Parts beside one another where the screen is wide enough for it."""
    return '<div class="beside">' + "\n".join(parts) + "</div>"


def write(path: Path, text: str) -> None:
    """Writes a page, whole or not at all.

    Raises:
        OSError: where the disk is full or the folder can't be written to; what was there before stays.
    """
    with written(Path(path)) as file:
        file.write(text.encode())
