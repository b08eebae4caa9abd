"""A trained run, opened from its workdir, and the codes of items that stream through it block by block."""

import concurrent.futures
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.errors
import jax
import numpy as np

from jhash.checkpoint import BrokenCheckpoint, digest
from jhash.data.inputs import Items, Wanted
from jhash.evaluate import Model, load_model
from jhash.types import InputError


class Run(NamedTuple):
    """A trained method and what is known of it."""

    workdir: Path
    model: Model
    data: dict[str, Any]  # `config.data` of the run
    seed: int  # of its data
    fingerprint: str  # of its configuration and parameters

    @property
    def bits(self) -> int:
        """K of its codes."""
        return self.model.method.bits


def open_run(workdir: Path, seed: int = 0, method: str | None = None) -> Run:
    """Restores a run. Raises InputError: it isn't there, isn't whole, or makes no codes."""
    try:
        model = load_model(workdir, seed, method)
    except BrokenCheckpoint as error:
        raise InputError(f"{workdir}: expected a whole checkpoint, found a damaged one: {error}.") from error
    if model.method.real:
        raise InputError(f"{workdir}: --method: expected one that makes codes, found {method!r}, which makes vectors.")
    config = json.loads((workdir / "config.json").read_text())
    mark = fingerprint(model, config, method or config["method"])
    model.past = jax.device_put(dict(model.past))  # once, and not for every block
    return Run(workdir, model, config["data"], config["seed"], mark)


def check_bits(run: Run, place: str, bits: int) -> None:
    """Raises InputError where the codes of an index, of `bits` bits, are of another length than the run's."""
    if bits != run.bits:
        raise InputError(f"{place}: expected codes of {run.bits} bits, as {run.workdir} makes, found {bits} bits.")


def wanted(run: Run, modality: str | None) -> Wanted:
    """What the run's model takes of a medium; without a name, of its only one. Raises InputError: it has no such."""
    known = run.model.normalisation
    if modality is None and len(known) > 1:
        raise InputError(f"--modality: expected one of {', '.join(known)}, found none.")
    modality = next(iter(known)) if modality is None else modality
    if modality not in known:
        raise InputError(f"--modality: expected one of {', '.join(known)}, found {modality!r}.")
    fitted = known[modality]
    words = run.model.vocabulary if modality == "text" else ()
    if "pixels" in fitted:
        return Wanted(modality, "pixels", tuple(fitted["pixels"].tolist()), words, run.data, run.seed)
    form = "features" if run.model.method.inputs == ("features",) else "frames"
    return Wanted(modality, form, fitted["shift"].shape, words, run.data, run.seed)


def encoded(run: Run, items: Items, modality: str, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Codes ±1 int8 [b, K] of the items from `start` to `stop`, a block after another; the next is read meanwhile.

    Args:
        run: whose codes.
        items: what to encode.
        modality: the medium that they are of.
        start: the first item.
        stop: the one behind the last; None is the number of items.

    Raises:
        InputError: items that cannot be read, or that the model's network doesn't take.
    """
    stop = len(items) if stop is None else stop

    def read(first: int) -> np.ndarray:
        last = min(first + items.block, stop)
        values = items.read(first, last)
        if len(values) != last - first:
            raise InputError(f"{items.name}: expected {len(items):,} items, found fewer: it changed meanwhile.")
        return values

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(read, start) if start < stop else None
        for first in range(start, stop, items.block):
            values = waiting.result()
            waiting = pool.submit(read, first + items.block) if first + items.block < stop else None
            yield _codes(run, items, values, modality)


def _codes(run: Run, items: Items, values: np.ndarray, modality: str) -> np.ndarray:
    """A short last block is filled up with its first item, so that the network is compiled for one size of block."""
    missing = np.repeat(values[:1], items.block - len(values), axis=0)
    try:
        return run.model.encode(np.concatenate([values, missing]), modality)[: len(values)]
    except InputError as error:
        raise InputError(f"{items.name}: {error}") from error
    except (TypeError, ValueError, flax.errors.FlaxError) as error:  # what a network says of clips of other lengths
        found, said = list(values.shape[1:]), (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{items.name}: expected {modality} items like those that were trained on, found {found} each "
            f"({said[:200]})."
        ) from error


def fingerprint(model: Model, config: Mapping[str, Any], method: str) -> str:
    """SHA-256 of what decides the codes: settings of the method, what its stages left, normalisation and words.

    Args:
        model: as `load_model` gives it.
        config: of its run, as config.json has it.
        method: its name.
    """
    named = {name: config.get(name) for name in ("hyper", "modalities", "baseline_view")}
    facts = {"method": method, "frames": model.frames, "words": model.vocabulary, **named}
    trees = [digest(tree) for tree in (dict(model.past), model.normalisation)]
    return hashlib.sha256(json.dumps([facts, trees], sort_keys=True).encode()).hexdigest()
