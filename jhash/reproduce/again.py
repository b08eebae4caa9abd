"""A finished run opened again, for what its results do not hold: curves, reconstruction, codes to draw, other searches.

What takes long is kept in the run's folder, whose name stands for config, data and modules.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jhash import experiment
from jhash.checkpoint import BrokenCheckpoint
from jhash.curves import curve
from jhash.data.dataset import Dataset, Task
from jhash.data.load import load_dataset
from jhash.evaluate import Model, encode, labels_of, load_model, score
from jhash.methods.dkph import reconstruction_error
from jhash.reproduce.grid import CrossScore, ReconstructionError, Score, StreamScore
from jhash.reproduce.measured import Measured, of_directions, of_score
from jhash.reproduce.runs import DONE
from jhash.types import InputError
from jhash.workdir import write_json, written

BLOCK = 256  # clips rebuilt at a time


@dataclasses.dataclass(frozen=True)
class Opened:
    """A run with its data."""

    config: ConfigDict
    dataset: Dataset
    model: Model
    codes: Mapping[str, np.ndarray]  # part -> ±1 [N, K], or vectors of a real method

    @property
    def tasks(self) -> list[Task]:
        return experiment.tasks_of(self.model.method, self.dataset)

    def arrays(self, task: Task) -> list[np.ndarray]:
        """Codes of the queries [Q, K] and the database [N, K], and the labels of both."""
        return experiment.arrays_of(task, self.codes, self.dataset, None)


def open_run(folder: Path, seed: int, method: str) -> Opened:
    """A finished run's method, data and codes. Raises InputError where one of them isn't there."""
    config = ConfigDict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    dataset = experiment.dataset_of(config, None)
    own = folder / f"seed-{seed}" / method
    names = {part: own / f"codes_{part.replace('/', '_')}.npy" for part in dataset.parts}
    try:
        codes = {part: np.load(file, allow_pickle=False) for part, file in names.items()}
        return Opened(config, dataset, load_model(folder, seed, method), codes)
    except (OSError, ValueError, EOFError, BrokenCheckpoint) as error:
        (folder / DONE).unlink(missing_ok=True)
        raise InputError(f"{folder}: what this finished run left can't be read: {error}.") from error


def curves(folder: Path, seed: int, method: str) -> list[dict]:
    """Precision and recall by rank of each drawn task, or of all where none is: as curves.json."""
    kept = folder / f"curves-{_own_digest(f'{method} {seed}')}.json"
    found = _kept(kept, lambda file: json.loads(file.read_text(encoding="utf-8")))
    if found is None:
        run, found = open_run(folder, seed, method), []
        for task in run.tasks:
            if task.drawn or not any(one.drawn for one in run.tasks):
                names = {"query": task.names[0], "database": task.names[1]}
                arrays = run.arrays(task)
                own = np.arange(len(arrays[0])) if task.self_in_database else None
                found.append(names | curve(*arrays, own))
        write_json(kept, found)
    return found


def measure(measure, folder: Path, seed: int, other: Path | None) -> Measured:
    """A number that results.json doesn't have, kept beside it.

    Args:
        measure: StreamScore, CrossScore or ReconstructionError, of DKPH or, CrossScore, of any method of video.
        folder: of a finished run.
        seed: its seed.
        other: of a CrossScore's change, the run that was trained on the other data set.
    """
    kept = folder / f"measured-{_own_digest(f'{measure} {other and other.name}')}.npy"
    values = _kept(kept, functools.partial(np.load, allow_pickle=False))
    if values is None:
        if isinstance(measure, ReconstructionError):
            values = _errors(folder, seed, measure)
        elif isinstance(measure, StreamScore):
            values = _stream(folder, seed, measure)
        else:
            values = _cross(folder, seed, measure)
        with written(kept) as file:
            np.save(file, values)
    if isinstance(measure, CrossScore) and measure.what == "change":
        method = json.loads((other / "config.json").read_text(encoding="utf-8"))["method"]
        there = of_score(other, Score(measure.preset, measure.k), method, seed).value
        return Measured(100 * (float(values.mean()) / there - 1))
    asks = json.loads((folder / "results.json").read_text(encoding="utf-8"))[0]["query"].split(" ")[0]
    return of_directions([(asks, values)])


def _kept(file: Path, read: Callable[[Path], Any]) -> Any:
    """What a file has, or None where it isn't there or is damaged."""
    try:
        return read(file) if file.is_file() else None
    except (OSError, ValueError, EOFError) as error:
        experiment.say(f"{file}: damaged, and made again ({error})")
        return None


def _own_digest(words: str) -> str:
    """Names what is kept: by what it is of, and by the code here that makes it, which is not in the run's name."""
    return hashlib.sha256(words.encode() + Path(__file__).read_bytes()).hexdigest()[:12]


def _stream(folder: Path, seed: int, asked: StreamScore) -> np.ndarray:
    """Per-query mAP@k of retrieval by the sign of l's mean over frames."""
    run = open_run(folder, seed, "dkph")
    method = dataclasses.replace(run.model.method, encode_with="l")
    coded = {part: encode(method, run.model.past, run.dataset.tables[part], "video") for part in run.dataset.parts}
    task = run.tasks[0]
    arrays = experiment.arrays_of(task, coded, run.dataset, None)
    own = np.arange(len(arrays[0])) if task.self_in_database else None
    return score(method, *arrays, preset=asked.preset, ties="stable", self_rows=own).values["map", asked.k]


def _errors(folder: Path, seed: int, asked: ReconstructionError) -> np.ndarray:
    """Mean squared errors [N] of the queries' reconstructions, or of those of one class."""
    run = open_run(folder, seed, "dkph")
    task = run.tasks[0]
    table, method = run.dataset.tables[task.query], run.model.method
    rows = np.arange(len(table))
    if asked.category is not None:
        rows = np.flatnonzero(labels_of(table)[:, asked.category])
        if not len(rows):
            raise InputError(f"{table.name}: expected queries of class {asked.category}, found none")
    params = run.model.past["student"].params
    latent = None
    if asked.use == "fixed":  # the mean over the same items' frames, as of the mean over the frames of each
        by_stream = dataclasses.replace(method, encode_with="l")
        means = [by_stream.encode(run.model.past, {"frames": block}, "video") for block in _blocks(table, rows)]
        latent = jnp.concatenate(means).mean(axis=0)
    rebuild = jax.jit(
        lambda params, frames: reconstruction_error(method, params, frames, use=asked.use, latent_mean=latent)
    )
    return np.concatenate([np.asarray(rebuild(params, block), np.float64) for block in _blocks(table, rows)])


def _blocks(table, rows: np.ndarray):
    for start in range(0, len(rows), BLOCK):
        yield jnp.asarray(table.read(rows[start : start + BLOCK], ["frames"])["frames"])


def _cross(folder: Path, seed: int, asked: CrossScore) -> np.ndarray:
    """Per-query mAP@k of the run's encoder on another data set's queries and database, prepared as its own were."""
    method = json.loads((folder / "config.json").read_text(encoding="utf-8"))["method"]
    run = open_run(folder, seed, method)
    held = run.config.data.to_dict()
    where = str(Path(held["dir"]).with_name(asked.dataset))
    there = load_dataset({"name": asked.dataset, "dir": where, "frames": held["frames"], "normalise": "none"}, seed)
    if held["normalise"] != "none":
        raise InputError(f"{folder.name}: expected data without normalisation, found {held['normalise']!r}")
    coded = {part: encode(run.model.method, run.model.past, there.tables[part], "video") for part in there.parts}
    task = there.tasks[0]
    arrays = experiment.arrays_of(task, coded, there, None)
    own = np.arange(len(arrays[0])) if task.self_in_database else None
    found = score(run.model.method, *arrays, preset=asked.preset, ties="stable", self_rows=own)
    return found.values["map", asked.k]
