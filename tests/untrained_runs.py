"""Experiments that leave results without training, for what is done with results of many runs."""

import json

import numpy as np

from jhash import report
from jhash.metrics import Scores


def untrained(config, folder):
    """An experiment's results without the experiment: each method's values are drawn by its name, length and seed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    found = []
    video = config.method != "she"
    preset, ks = ("video", (5, 20, 40, 60, 80, 100)) if video else ("she", (None,))
    ways = [("", "")] if video else [("image ", "text "), ("text ", "image ")]
    for name in (config.method, *config.baselines):
        random = np.random.default_rng([config.seed, config.hyper.bits, *name.encode()])
        own = folder / f"seed-{config.seed}" / name
        own.mkdir(parents=True, exist_ok=True)
        np.save(own / "codes_query.npy", np.ones((20, config.hyper.bits), np.int8))
        for asks, answers in ways:
            scores = Scores(preset, "stable", np.arange(20), {("map", k): random.random(20) for k in ks})
            names = {"method": name, "variant": None, "dataset": config.data.name}
            names |= {"query": f"{asks}test", "database": f"{answers}train"}
            names |= {"labels": (np.ones((20, 1)), np.ones((50, 1)))}
            found += report.results(scores, **names, bits=config.hyper.bits, seed=config.seed)
    report.write_results(folder / "results.json", found)
