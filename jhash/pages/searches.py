"""Searches among pairs of pictures and something else as a page of their own, search.html."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jhash import measures
from jhash.data.dataset import Dataset, Task
from jhash.pages import grids, html, shown
from jhash.pages.embedding import evenly

NEAREST = 8  # items shown for each query
ASKING = 8  # queries of a direction from one medium to another
ASKING_ITSELF = 4  # queries of pictures for pictures


def has_pictures(dataset: Dataset) -> bool:
    """Whether its items come in pairs and one of their media is made of pixels."""
    return "pairs" in dataset.tables and any("pixels" in fitted for fitted in dataset.normalisation.values())


def write(path: Path, dataset: Dataset, tasks: Sequence[Task], codes: Mapping[str, np.ndarray], facts: str) -> None:
    """Writes the page of a method's searches, whole or not at all.

    Args:
        path: where to, such as workdir/search.html.
        dataset: one that `has_pictures`.
        tasks: the directions that the codes can do; those with pictures are shown.
        codes: part -> ±1 [N, K].
        facts: the method, its bits and its seed, for the title.
    """
    bits = next(iter(codes.values())).shape[1]
    legend = [html.paragraph(line) for line in grids.legend(bits, NEAREST) + _stands_in(dataset)]
    html.write(path, html.document(f"{dataset.name}: {facts}", legend + sections(dataset, tasks, codes)))


def sections(dataset: Dataset, tasks: Sequence[Task], codes: Mapping[str, np.ndarray]) -> list[str]:
    """Other medium → pictures, pictures → other medium, pictures → pictures, of those directions that are tasks."""
    media = sorted(dataset.normalisation, key=lambda medium: "pixels" not in dataset.normalisation[medium])
    pictures, other = media[:2]
    by_media = {tuple(part.split("/")[0] for part in task.parts): task for task in tasks}
    wanted = {(other, pictures): ASKING, (pictures, other): ASKING, (pictures, pictures): ASKING_ITSELF}
    return [_section(dataset, by_media[key], codes, number) for key, number in wanted.items() if key in by_media]


def _section(dataset: Dataset, task: Task, codes: Mapping[str, np.ndarray], number: int) -> str:
    searched = task.database[0]
    labels = {part: grids.labels_of(dataset.tables[part]) for part in (task.query, searched)}
    _, _, alike = grids.nearest(codes[task.query], codes[searched], labels[task.query], labels[searched], NEAREST)
    mean = measures.precision_at(alike, alike.shape[1]).mean()
    asking = evenly(len(codes[task.query]), number)
    note = (
        f"{task.names[0]} asks, {task.names[1]} is searched ({len(codes[searched]):,} items). "
        f"Mean precision@{alike.shape[1]} of all {len(alike):,} queries: {mean:.2f}. "
        f"Shown: rows {', '.join(map(str, asking))}."
    )
    heading = " → ".join(part.split("/")[0] for part in task.parts)
    return html.section(heading, html.note(note), grids.grid(grids.searches(dataset, task, codes, asking, NEAREST)))


def _stands_in(dataset: Dataset) -> list[str]:
    bare = [medium for medium in dataset.normalisation if not shown.has_look(dataset, f"{medium}/test")]
    return [f"The data hold nothing to show of {medium} but each item's row and classes." for medium in bare]
