"""Finished runs of a config without its training: its own media, directions, methods and lengths, and drawn numbers."""

import dataclasses
import functools
import json
from unittest import mock

import numpy as np
from ml_collections import ConfigDict

from jhash import experiment, report
from jhash.config import baseline, is_paired, method_of
from jhash.data.dataset import Dataset
from jhash.data.source import Subset
from jhash.evaluate import Model, save_codes
from jhash.experiment import dataset_of, tasks_of
from jhash.metrics import Scores

ITEMS = 30  # of each part; its first ones may be of one class
CUTOFFS = {"video": (5, 20, 40, 60, 80, 100, None)}


@functools.cache
def _data(text: str) -> Dataset:
    config = ConfigDict(json.loads(text, object_hook=_tuples))
    whole = dataset_of(config, None)
    tables = {
        part: Subset(whole.tables[part], np.linspace(0, len(whole.tables[part]) - 1, ITEMS).astype(int), part)
        for part in whole.parts
    }
    return dataclasses.replace(whole, tables=tables)


def _tuples(held: dict) -> dict:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in held.items()}


def data_of(config: ConfigDict, earlier=None) -> Dataset:
    """A few items of each part of a config's data; each data set is read once, whatever comes first of its media."""
    kind = "cca_itq" if is_paired(config.method) else config.method
    held = {"method": kind, "data": config.data.to_dict(), "seed": 0, "select": "last", "stages": "fold"}
    if "modalities" in config:
        held["modalities"] = sorted(config.modalities)
    return _data(json.dumps(held, sort_keys=True))


def method_in(config: ConfigDict, name: str):
    return method_of(config) if name == config.method else baseline(name, config)


def finish(config: ConfigDict, folder) -> None:
    """In place of `experiment.run`: results of every task that each method's codes can do, and its codes."""
    folder.mkdir(parents=True)
    dataset, found = data_of(config), []
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    for name in (config.method, *config.baselines):
        method = method_in(config, name)
        random = np.random.default_rng([config.seed, method.bits, *name.encode()])
        own = folder / f"seed-{config.seed}" / name
        own.mkdir(parents=True)
        shape = (ITEMS, method.bits or 8)
        codes = {part: random.choice(np.array([-1, 1], np.int8), shape) for part in dataset.parts}
        save_codes(own, codes)
        arrays = (np.ones((ITEMS, 1)),) * 4
        with mock.patch.object(experiment, "score", functools.partial(drawn_scores, random)):
            for task in tasks_of(method, dataset):
                found += experiment._rows(method, name, task, arrays, dataset, config, config.seed)
    report.write_results(folder / "results.json", found)


def drawn_scores(random, method, *arrays, preset: str, ties: str, self_rows) -> Scores:
    """In place of `experiment.score`: a number a query at each of a protocol's cut-offs."""
    scores = {("map", k): random.random(ITEMS) for k in CUTOFFS.get(preset, (None,))}
    return Scores(preset, ties, np.arange(ITEMS), scores)


def load_model(folder, seed: int, method: str) -> Model:
    """In place of `evaluate.load_model`: the method without what it learnt."""
    config = ConfigDict(json.loads((folder / "config.json").read_text(), object_hook=_tuples))
    return Model(method_in(config, method), {}, 0, {})
