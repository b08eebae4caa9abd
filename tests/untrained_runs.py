"""Experiments that leave results without training, for what is done with results of many runs."""

import numpy as np

from jhash import report
from jhash.metrics import Scores


def untrained(config, folder):
    """An experiment's results without the experiment: each method's values are drawn by its name, length and seed."""
    folder.mkdir(parents=True)
    found = []
    for name in (config.method, *config.baselines):
        random = np.random.default_rng([config.seed, config.hyper.bits, *name.encode()])
        scores = Scores(
            "video", "stable", np.arange(20), {("map", k): random.random(20) for k in (5, 20, 40, 60, 80, 100)}
        )
        names = {"method": name, "variant": None, "dataset": "jhmdb", "query": "test", "database": "train"}
        found += report.results(scores, **names, bits=config.hyper.bits, seed=config.seed, items=(20, 50))
    report.write_results(folder / "results.json", found)
