"""A trained method → codes → scores; and a trained method of a workdir, ready to encode new items.

As a command it scores codes that are in files already, whoever made them: `jhash.given`.
"""

import functools
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import scipy.io
from jax.tree_util import Partial
from ml_collections import ConfigDict

from jhash import metrics
from jhash.config import baseline, method_of
from jhash.data import validate
from jhash.data.load import prepared
from jhash.data.pairs import normalised_items
from jhash.data.source import ArrayTable
from jhash.data.text import bag_of_words, load_vocabulary, save_vocabulary
from jhash.given import evaluate_arrays as evaluate_arrays
from jhash.given import main
from jhash.train import read_past
from jhash.types import InputError, Method, Past, Table

VOCABULARY = "vocabulary.json"
BLOCK = 1024  # items that are looked at at once


@functools.cache
def encoder(method: Method, modality: str) -> Callable:
    """(past, inputs) -> [B, bits] or vectors: one function object for each, which is what a compiled call is found by.

    Products are of full float32: a GPU's TF32, by which it trains, would turn bits that are close to 0.
    """

    def encode(past, inputs):
        with jax.default_matmul_precision("highest"):
            return method.encode(past, inputs, modality)

    return encode


def encode(method: Method, past: Mapping[str, Past], table: Table, modality: str) -> np.ndarray:
    """Codes ±1 int8 [N, K] of every item of a table (sgn(0) = +1), or real vectors [N, F] float32 of a real method."""
    vectors = table.map(Partial(encoder(method, modality), dict(past)), method.inputs)
    return vectors.astype(np.float32) if method.real else np.where(vectors >= 0, 1, -1).astype(np.int8)


def score(
    method, query, database, query_labels, database_labels, *, preset: str, ties: str, **options
) -> metrics.Scores:
    """Scores codes or, of a real method, vectors, by the preset; also by mAP over the whole ranking."""
    rank = metrics.evaluate_vectors if method.real else metrics.evaluate_codes
    ties = "stable" if method.real and ties not in ("stable", "shuffled") else ties
    return rank(query, database, query_labels, database_labels, preset, ties=ties, **options)


def save_codes(folder: Path, codes: Mapping[str, np.ndarray]) -> None:
    """codes_<part>.npy each, ±1 int8 [N, K], and all of them in codes.mat; 'image/test' is written image_test."""
    codes = {part.replace("/", "_"): array for part, array in codes.items()}
    for part, array in codes.items():
        partial = folder / f".codes_{part}.partial.npy"
        np.save(partial, array)
        partial.replace(folder / f"codes_{part}.npy")
    partial = folder / ".codes.partial.mat"
    scipy.io.savemat(partial, dict(codes), do_compression=True)
    partial.replace(folder / "codes.mat")


def require_labels(table: Table) -> None:
    """Raises InputError for a table without labels."""
    if "labels" not in table.columns:
        raise InputError(f"{table.name}: expected labels, which the evaluation needs, found none")


def labels_of(table: Table) -> np.ndarray:
    """[N, L] 0/1."""
    return table.read(np.arange(len(table)), ["labels"])["labels"]


def save_preparation(
    workdir: Path, normalisation: Mapping[str, Mapping[str, np.ndarray]], vocabulary: tuple[str, ...]
) -> None:
    """What was fitted to the training parts and new items need as well.

    normalisation.npz has <modality>/<name> each; vocabulary.json the words of the medium 'text', where it has some.
    """
    partial = workdir / ".normalisation.partial.npz"
    np.savez(
        partial, **{f"{one}/{name}": value for one, fitted in normalisation.items() for name, value in fitted.items()}
    )
    partial.replace(workdir / "normalisation.npz")
    if vocabulary:
        save_vocabulary(workdir / VOCABULARY, vocabulary)


class Model:
    """A trained method: `encode` gives the codes of new items, prepared like those it was trained on."""

    def __init__(
        self,
        method: Method,
        past: Mapping[str, Past],
        frames: int,
        normalisation: Mapping,
        vocabulary: tuple[str, ...] = (),
    ):
        self.method, self.past, self.frames, self.normalisation = method, past, frames, normalisation
        self.vocabulary = vocabulary  # of the medium 'text'; () where texts came as vectors

    def encode(self, items: np.ndarray | list[str], modality: str = "video") -> np.ndarray:
        """Codes ±1 int8 [N, K] of any number of items as stored in the dataset's files.

        Args:
            items: clips [N, T, C]; features [N, C] of another medium, or its pixels, uint8 [N, ...]; texts, where the
                model has a vocabulary for them.
            modality: 'video', or a medium that the run trained.

        Raises:
            InputError: another medium, items of another shape, or numbers that aren't finite in float32.
        """
        if modality not in self.normalisation:
            raise InputError(f"modality: expected one of {', '.join(self.normalisation)}, found {modality!r}")
        items = self._numbers(items, modality)
        fitted, features = self.normalisation[modality], self.method.inputs == ("features",)
        if not len(items):
            return np.zeros((0, self.method.bits), np.int8)
        if "pixels" in fitted:
            expected = tuple(fitted["pixels"].tolist())
            items = items[..., None] if (*items.shape[1:], 1) == expected else items
            if items.shape[1:] != expected or items.dtype != np.uint8:
                raise InputError(
                    f"items: expected uint8 [items, {', '.join(map(str, expected))}], found {items.dtype} "
                    f"{list(items.shape)}"
                )
            items = normalised_items(items, fitted)
            return encode(self.method, self.past, ArrayTable("items", {"features": items}), modality)
        frames = items.reshape(len(items), 1, -1) if features else items
        if features and frames.shape[2:] != fitted["shift"].shape:
            raise InputError(f"items: expected [items, {len(fitted['shift'])}], found {list(items.shape)}")
        table = ArrayTable("items", {"frames": frames})
        validate.check_shape(table)
        for start in range(0, len(frames), BLOCK):  # a file's memory map stays on disk
            with np.errstate(over="ignore"):
                finite = np.isfinite(frames[start : start + BLOCK].astype(np.float32)).all(axis=(1, 2))
            if not finite.all():
                raise InputError(f"items: expected finite numbers, found others in item {start + finite.argmin()}")
        table = prepared(table, self.frames, fitted)
        if features:
            table = ArrayTable("items", {"features": table.arrays["frames"][:, 0]})
        return encode(self.method, self.past, table, modality)

    def _numbers(self, items: np.ndarray | Sequence[str], modality: str) -> np.ndarray:
        """An array of numbers; of texts their bags of words."""
        if isinstance(items, str):
            raise InputError(f"items: expected a list of texts, found a single one, {items[:40]!r}")
        try:
            array = np.asarray(items)
        except ValueError as error:  # items of several shapes
            raise InputError(f"items: expected one array, found {type(items).__name__} ({error})") from error
        if array.dtype.kind == "U":
            if modality != "text" or not self.vocabulary:
                raise InputError(f"{modality}: expected arrays of numbers, found texts, and the model has no words")
            return bag_of_words(array.tolist(), self.vocabulary)
        if array.ndim == 0 or array.dtype.kind not in "fiub":
            raise InputError(f"items: expected an array of numbers or a list of texts, found {type(items).__name__}")
        return array


def load_model(workdir: str | Path, seed: int = 0, method: str | None = None) -> Model:
    """Restores what an experiment trained, from its workdir alone: config.json, the normalisation, Orbax checkpoints.

    Args:
        workdir: the folder given to `python -m jhash.launch --workdir`.
        seed: which of its runs.
        method: the experiment's own method, or one of its baselines.

    Raises:
        InputError: the folder or the run isn't there or isn't finished.
    """
    workdir = Path(workdir)
    normalisation: dict[str, dict[str, np.ndarray]] = {}
    try:
        config = ConfigDict(json.loads((workdir / "config.json").read_text()))
        with open(workdir / "normalisation.npz", "rb") as file, np.load(file, allow_pickle=False) as saved:
            for name in saved.files:
                modality, field = name.split("/")
                normalisation.setdefault(modality, {})[field] = saved[name]
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise InputError(f"{workdir}: expected the workdir of an experiment, found no {missing} there") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{workdir}: expected the workdir of an experiment ({error})") from error
    name = method or config.method
    built = method_of(config) if name == config.method else baseline(name, config)
    folder = workdir / f"seed-{seed}" / name
    stages = sorted(path.parent for path in folder.glob("*/past"))
    if not (folder / "codes.mat").is_file():
        raise InputError(f"{folder}: expected a finished run of {name} with seed {seed}, found none")
    past = {stage.name.split("_", 1)[1]: read_past(stage / "past") for stage in stages}
    vocabulary = load_vocabulary(workdir / VOCABULARY) if (workdir / VOCABULARY).is_file() else ()
    frames = 0 if "modalities" in config else config.data.frames
    return Model(built, past, frames, normalisation, vocabulary)


if __name__ == "__main__":
    sys.exit(main())
