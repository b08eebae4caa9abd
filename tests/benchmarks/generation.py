"""What a trained CMGCAH makes of its generators: mAP where test items are given something else in their place.

    PYTHONPATH=. python tests/benchmarks/generation.py runs/cmgcah_fashion --seed 0

The database keeps its codes. Of the queries, the labels that generators are given are zeros, another item's or the true
ones in place of the predicted; or one part of the fused features, a medium's own or the made ones, is its mean over
the queries. The last columns are root mean squares.
"""

import argparse
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jhash import metrics
from jhash.data.pairs import load_pairs
from jhash.evaluate import encode, labels_of, load_model
from jhash.methods.cmgcah import SIDES


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    config = json.loads((flags.workdir / "config.json").read_text())
    model = load_model(flags.workdir, flags.seed)
    dataset = load_pairs(config["data"], config["seed"], config["modalities"])
    tables, media = dataset.tables, config["modalities"]
    databases = {task.database[0] for task in dataset.tasks}
    coded = {name: encode(model.method, model.past, tables[name], name.split("/")[0]) for name in databases}
    for side, medium in zip(SIDES, media, strict=True):
        query = next(task.query for task in dataset.tasks if task.query.startswith(f"{medium}/"))
        labels = labels_of(tables[query])
        ways, sizes = queries(model, side, tables[query], labels)
        print(f"{query}: root mean square of own features {sizes[0]:.2f}, of predicted labels {sizes[1]:.2f}")
        for way, u in ways.items():
            codes = np.where(u >= 0, 1, -1).astype(np.int8)
            found = [
                metrics.evaluate_codes(codes, coded[name], labels, labels_of(tables[name]), "trec").means()["map", None]
                for name in sorted(databases, key=lambda name: media.index(name.split("/")[0]))
            ]
            print(f"{way:>32}" + "".join(f"{value:8.3f}" for value in found))


def queries(model, side, table, labels):
    """Way -> relaxed codes [N, K]; (root mean square of a side's own features, of its predicted labels)."""
    method, (params, collections, _) = model.method, model.past["pairs"]
    networks, classes = method._networks(labels.shape[1]), labels.shape[1]
    rows = np.arange(len(table))
    items = jnp.asarray(table.read(rows, ["features"])["features"])
    found = method._forward(params, collections.get("fixed", {}), side, items, classes)
    own, condition = found["features"], found["condition"]

    def codes(own, made):
        swapped = side == "text" and method.fusion == "fixed"
        fused = jnp.concatenate([made, own] if swapped else [own, made], axis=1)
        return np.asarray(networks["alignment"]["alignment"].apply({"params": params["alignment"]["alignment"]}, fused))

    def made(given):
        network, weights = networks[side]["generator"], params[side]["generator"]
        return network.apply({"params": weights}, jnp.concatenate([own, given], axis=1))

    def mean(values):
        return jnp.broadcast_to(values.mean(axis=0), values.shape)

    other = condition[np.random.default_rng(0).permutation(len(rows))]
    ways = {
        "as trained": codes(own, made(condition)),
        "labels zero": codes(own, made(jnp.zeros_like(condition))),
        "labels of another item": codes(own, made(other)),
        "labels true": codes(own, made(jnp.asarray(labels, jnp.float32))),
        "own features their mean": codes(mean(own), made(condition)),
        "made features their mean": codes(own, mean(made(condition))),
    }
    return ways, tuple(float(jnp.sqrt(jnp.mean(jnp.square(one)))) for one in (own, condition))


if __name__ == "__main__":
    main()
