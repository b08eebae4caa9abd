"""Searches of a trained method as one page that a person can look at: queries, and beside each its nearest items.

The page stands alone: its pictures lie inside it, and it has no scripts and asks no network for anything.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import chex
import numpy as np
from PIL import Image

from jhash import hamming, measures
from jhash.data.dataset import Dataset, Task
from jhash.data.source import Transformed
from jhash.types import Table

NEAREST = 8  # items shown for each query
ASKING = 8  # queries of a direction from one medium to another
ASKING_ITSELF = 4  # queries of pictures for pictures
SIDE = 128  # pixels of a picture's longer side, at most: about 120 pictures then stay under 2 MB
LETTERS = 300  # of a text, at most

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fafaf8; max-width: 1280px; margin: auto;
  padding: 24px }
h1 { font-size: 24px } h2 { font-size: 19px; margin: 40px 0 0 } h2 + p { margin-top: 2px; color: #555 }
.search { display: grid; grid-template-columns: 170px 1fr; gap: 18px; padding: 14px 0; border-top: 1px solid #ddd }
.answers { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 8px }
figure { margin: 0; padding: 5px; background: #fff; border: 3px solid #bbb; border-radius: 5px; overflow: hidden;
  overflow-wrap: anywhere; font-size: 13px }
figure.alike { border-color: #2e8b57 } figure.other { border-color: #c8453b }
img { display: block; height: 110px; max-width: 100%; margin: auto; object-fit: contain }
figcaption { margin-top: 4px; font-size: 12px; color: #555 }
b.alike { color: #2e8b57 } b.other { color: #c8453b }
@media (max-width: 640px) { .search { grid-template-columns: 1fr } }
"""


class Item(NamedTuple):
    """What a person sees of an item."""

    seen: np.ndarray | str  # pixels, uint8 [H, W], [H, W, C] or, of a clip, [T, H, W, C]; or words
    classes: str


class Search(NamedTuple):
    """A query and its nearest items, nearest first."""

    query: Item
    found: Sequence[Item]
    distances: np.ndarray  # [k] differing bits
    alike: np.ndarray  # bool [k], whether they share a class with the query


class Section(NamedTuple):
    """Searches of one direction."""

    heading: str
    note: str
    searches: Sequence[Search]


def has_pictures(dataset: Dataset) -> bool:
    """Whether its items come in pairs and one of their media is made of pixels."""
    return "pairs" in dataset.tables and any(map(_is_pixels, dataset.normalisation.values()))


def write(path: Path, dataset: Dataset, tasks: Sequence[Task], codes: Mapping[str, np.ndarray], facts: str) -> None:
    """Writes the page of a method's searches, whole or not at all.

    Args:
        path: where to, such as workdir/search.html.
        dataset: one that `has_pictures`.
        tasks: the directions that the codes can do; those with pictures are shown.
        codes: part -> ±1 [N, K].
        facts: the method, its bits and its seed, for the title.
    """
    text = page(f"{dataset.name}: {facts}", _legend(dataset, codes), sections(dataset, tasks, codes))
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


def sections(dataset: Dataset, tasks: Sequence[Task], codes: Mapping[str, np.ndarray]) -> list[Section]:
    """Other medium → pictures, pictures → other medium, pictures → pictures, of those directions that are tasks."""
    media = sorted(dataset.normalisation, key=lambda medium: not _is_pixels(dataset.normalisation[medium]))
    pictures, other = media[:2]
    by_media = {tuple(part.split("/")[0] for part in task.parts): task for task in tasks}
    wanted = {(other, pictures): ASKING, (pictures, other): ASKING, (pictures, pictures): ASKING_ITSELF}
    return [_section(dataset, by_media[key], codes, number) for key, number in wanted.items() if key in by_media]


def _section(dataset: Dataset, task: Task, codes: Mapping[str, np.ndarray], number: int) -> Section:
    searched = task.database[0]
    labels = {part: _labels(dataset.tables[part]) for part in (task.query, searched)}
    distances, rows, alike = nearest(codes[task.query], codes[searched], labels[task.query], labels[searched], NEAREST)
    asking = evenly(len(codes[task.query]), number)
    queries = _items(dataset, task.query, asking)
    found = _items(dataset, searched, rows[asking].ravel())
    k = rows.shape[1]
    searches = [
        Search(query, found[k * place : k * (place + 1)], distances[row], alike[row])
        for place, (row, query) in enumerate(zip(asking, queries, strict=True))
    ]
    mean = measures.precision_at(alike, k).mean()
    note = (
        f"{task.names[0]} asks, {task.names[1]} is searched ({len(codes[searched]):,} items). "
        f"Mean precision@{k} of all {len(alike):,} queries: {mean:.2f}. Shown: rows {', '.join(map(str, asking))}."
    )
    return Section(" → ".join(part.split("/")[0] for part in task.parts), note, searches)


def nearest(
    queries: np.ndarray, database: np.ndarray, query_labels: np.ndarray, database_labels: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k nearest items of each query, or all of a smaller database; equal distances by the lowest row.

    Args:
        queries: ±1 [Q, K].
        database: ±1 [N, K].
        query_labels: 0/1 [Q, C].
        database_labels: 0/1 [N, C].
        k: how many.

    Returns:
        (distances [Q, k] int64, rows [Q, k] int64, whether they share a class bool [Q, k]).
    """
    chex.assert_rank([queries, database, query_labels, database_labels], 2)
    chex.assert_equal_shape([queries, database], dims=1)
    chex.assert_equal_shape([query_labels, database_labels], dims=1)
    bits = queries.shape[1]
    found = hamming.top_k(hamming.lay_out(queries), hamming.lay_out(database), bits, min(k, len(database)))
    alike = [
        (labels[None, :] & database_labels[rows]).any(axis=1)
        for labels, rows in zip(query_labels, found[1], strict=True)
    ]
    return *found, np.stack(alike)


def evenly(size: int, number: int) -> np.ndarray:
    """`number` of rows 0 … size - 1 at even distances, the first and the last among them; all where there are fewer."""
    return np.linspace(0, size - 1, min(size, number)).round().astype(int)


def _items(dataset: Dataset, part: str, rows: np.ndarray) -> list[Item]:
    table, medium = dataset.tables[part], part.split("/")[0]
    labels = table.read(rows, ["labels"])["labels"]
    names = [", ".join(dataset.classes[i] for i in np.flatnonzero(one)) or "no class" for one in labels]
    if _is_pixels(dataset.normalisation[medium]):
        stored = table.table if isinstance(table, Transformed) else table
        seen = stored.read(rows, ["features"])["features"]
    else:
        seen = [dataset.shown[part][row] for row in rows] if part in dataset.shown else names
    return [Item(*pair) for pair in zip(seen, names, strict=True)]


def _legend(dataset: Dataset, codes: Mapping[str, np.ndarray]) -> list[str]:
    bits = next(iter(codes.values())).shape[1]
    lines = [
        "Queries are taken at even distances, from the first item of the part that asks to its last. Nobody chose "
        "them, and they are the same whatever they find.",
        f"Beside each query stand the items whose codes of {bits} bits differ in the fewest bits from its own. "
        "How many differ, the Hamming distance, is under each; equal distances stand in the order of the data.",
        "Green (✓): shares a class with the query. Red (✗): shares none. precision@k: the share of the k shown items "
        "that are green. Classes are in grey; the search does not see them.",
    ]
    stands_in = [
        medium
        for medium, fitted in dataset.normalisation.items()
        if not _is_pixels(fitted) and f"{medium}/test" not in dataset.shown
    ]
    if stands_in:
        lines.append(
            f"The data hold no words to show of {stands_in[0]}: the names of its classes stand in their place."
        )
    return lines


def _is_pixels(fitted: Mapping[str, np.ndarray]) -> bool:
    return "pixels" in fitted


def _labels(table: Table) -> np.ndarray:
    return table.read(np.arange(len(table)), ["labels"])["labels"]


def page(title: str, legend: Sequence[str], directions: Sequence[Section]) -> str:
    """The whole page as HTML. Every text is escaped; the same input gives the same bytes."""
    parts = ['<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">']
    parts.append("""<meta http-equiv="Content-Security-Policy" content="default-src 'none'; """)
    parts.append("""img-src data:; style-src 'unsafe-inline'">""")
    parts.append('<meta name="viewport" content="width=device-width, initial-scale=1">')
    parts.append(f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n")
    parts += [f"<p>{escape(line)}</p>\n" for line in legend]
    for section in directions:
        parts.append(f"<h2>{escape(section.heading)}</h2>\n<p>{escape(section.note)}</p>\n")
        parts += [_search(search) for search in section.searches]
    return "".join([*parts, "</body></html>\n"])


def _search(search: Search) -> str:
    k = len(search.alike)
    precision = measures.precision_at(search.alike[None, :], k)[0]
    caption = f"{escape(search.query.classes)}<br>precision@{k}: {precision:.3f}"
    parts = [f'<div class="search">{_figure(search.query, "query", caption)}<div class="answers">\n']
    for item, distance, alike in zip(search.found, search.distances, search.alike, strict=True):
        kind, mark = ("alike", "✓") if alike else ("other", "✗")
        parts.append(_figure(item, kind, f'<b class="{kind}">{mark} {distance}</b> {escape(item.classes)}'))
    return "".join([*parts, "</div></div>\n"])


def _figure(item: Item, kind: str, caption: str) -> str:
    """`kind` and `caption` are HTML already."""
    if isinstance(item.seen, str):
        text = item.seen if len(item.seen) <= LETTERS else item.seen[:LETTERS] + "…"
        seen = escape(text) or "(no words)"
    else:
        seen = f'<img alt="{escape(item.classes)}" src="data:image/jpeg;base64,{jpeg(item.seen)}">'
    return f'<figure class="{kind}">{seen}<figcaption>{caption}</figcaption></figure>\n'


def jpeg(pixels: np.ndarray) -> str:
    """A picture as a JPEG in base64, its longer side at most SIDE.

    Args:
        pixels: uint8 [H, W], [H, W, C], or a clip [T, H, W, C], of which the middle frame is taken. Three channels are
            red, green and blue; of other numbers the mean is shown in grey.
    """
    chex.assert_rank(pixels, {2, 3, 4})
    frame = pixels[len(pixels) // 2] if pixels.ndim == 4 else pixels
    if frame.ndim == 3 and frame.shape[-1] != 3:
        frame = frame.mean(axis=-1).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(frame))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode("ascii")
