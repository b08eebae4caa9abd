"""The curves of a page: those that the run has drawn, else those of its codes, by as many queries as take a moment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jhash.curves import curve
from jhash.data.dataset import Dataset, Task
from jhash.pages.embedding import evenly
from jhash.pages.grids import labels_of

QUERIES = 1000


def drawn_curves(
    workdir: Path,
    config: Mapping[str, Any],
    dataset: Dataset,
    tasks: Mapping[str, Sequence[Task]],
    given: Sequence[Mapping],
) -> tuple[list[Mapping], str]:
    """Curves as in curves.json, and what they are of, in a sentence.

    Args:
        workdir: has the codes.
        config: as in config.json.
        dataset: whose tables have the labels.
        tasks: method -> its tasks.
        given: the run's own curves; where there are some, they are the answer.
    """
    if given:
        return list(given), "Means over all queries and over all orders of equal distances."
    found, asked, whole = [], 0, 0
    for method, of_method in tasks.items():
        for task in of_method:
            if not all(part in dataset.tables for part in task.parts):
                continue
            codes = [codes_of(workdir, config["seed"], method, part) for part in task.parts]
            if any(one is None for one in codes):
                continue
            rows = evenly(len(codes[0]), QUERIES)
            asked, whole = len(rows), len(codes[0])
            labels = np.concatenate([labels_of(dataset.tables[part]) for part in task.database])
            own = rows if task.self_in_database else None
            asking = labels_of(dataset.tables[task.query])[rows]
            names = {"dataset": dataset.name, "method": method, "query": task.names[0], "database": task.names[1]}
            found.append(names | curve(codes[0][rows], np.concatenate(codes[1:]), asking, labels, own))
    words = f"Seed {config['seed']}; means over {asked:,} of {whole:,} queries and over all orders of equal distances."
    return found, words


def codes_of(workdir: Path, seed: int, method: str, part: str) -> np.ndarray | None:
    """Codes ±1 [N, K] of a part; None where the run has none or has real vectors."""
    file = Path(workdir) / f"seed-{seed}" / method / f"codes_{part.replace('/', '_')}.npy"
    if not file.is_file():
        return None
    codes = np.load(file, allow_pickle=False)
    return None if codes.dtype.kind == "f" else codes
