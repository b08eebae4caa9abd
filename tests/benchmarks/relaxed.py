"""What a paired run loses where the relaxed codes u become their signs.

    PYTHONPATH=. python tests/benchmarks/relaxed.py runs/cmgcah_fashion --seed 0

Of each direction: mAP over the ranking by signs (what is reported) and by the cosine of u. Of each medium's training
part: how many values of u are below .2 in size, and the mean over bits of |mean of the bit|. A network may keep u near
0 where a bit doesn't matter to an item; its sign is then anybody's.
"""

import argparse
import functools
import json
from pathlib import Path

import numpy as np
from jax.tree_util import Partial

from jhash import metrics
from jhash.data.pairs import load_pairs
from jhash.evaluate import labels_of, load_model

SMALL = 0.2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    config = json.loads((flags.workdir / "config.json").read_text())
    model = load_model(flags.workdir, flags.seed)
    dataset = load_pairs(config["data"], config["seed"], config["modalities"])

    relaxed = {}
    for name, table in dataset.tables.items():
        if name != "pairs":
            encode = functools.partial(model.method.encode, modality=name.split("/")[0])
            relaxed[name] = table.map(Partial(encode, dict(model.past)), model.method.inputs)
    print(f"{'':>32}{'signs':>8}{'cosine':>8}")
    for task in dataset.tasks:
        query, (database,) = task.query, task.database
        labels = labels_of(dataset.tables[query]), labels_of(dataset.tables[database])
        vectors = relaxed[query], relaxed[database]
        codes = [np.where(one >= 0, 1, -1).astype(np.int8) for one in vectors]
        found = metrics.evaluate_codes(*codes, *labels, "trec"), metrics.evaluate_vectors(*vectors, *labels, "trec")
        by_signs, by_cosine = (scores.means()["map", None] for scores in found)
        print(f"{f'{query} -> {database}':>32}{by_signs:8.3f}{by_cosine:8.3f}")
    print(f"\n{'':>32}{f'|u| < {SMALL}':>9}{'|mean bit|':>12}")
    for medium in config["modalities"]:
        u = relaxed[f"{medium}/train"]
        balance = np.abs(np.where(u >= 0, 1, -1).mean(0)).mean()
        print(f"{medium:>32}{(np.abs(u) < SMALL).mean():9.3f}{balance:12.3f}")


if __name__ == "__main__":
    main()
