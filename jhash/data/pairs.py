"""Media whose items come in pairs: row i of one medium's part and row i of the other's are one thing.

Parts of a medium 'image': 'image/train' and 'image/test', and 'image/database' where the data have one of their own.
The table 'pairs' is the training parts side by side: columns 'image:features', 'image:labels', 'text:features', ...
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jhash.data import media, pair_files, published_pairs, raw, samples, splits
from jhash.data.dataset import Dataset, Task
from jhash.data.source import SideBySide, Subset, Transformed, resident
from jhash.features import KINDS, fit_normalisation, normalise
from jhash.types import InputError, Table

# dataset -> its media, two or more, of which a run takes two; () where files decide
PAIRS: Mapping[str, tuple[str, ...]] = {
    "fashion": ("image", "text"),
    "wikipedia": ("image", "text"),
    "wikipedia_deep": ("image", "text"),
    "pair_files": (),
    "raw": ("image", "text", "video"),
    **dict.fromkeys(published_pairs.FIELDS, ("image", "text")),
}


@dataclasses.dataclass(frozen=True)
class Paired:
    """A dataset as it is stored."""

    parts: Mapping[str, Mapping[str, Table]]  # 'train', 'test', 'database' -> medium -> `features`, `labels`
    classes: tuple[str, ...]
    words: tuple[str, ...] = ()  # what the columns of 'text' count, where it is a bag of words
    shown: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)  # 'text/test' -> what a person reads


def load_pairs(config: Mapping[str, Any], seed: int, names: Sequence[str]) -> Dataset:
    """Opens, splits, checks and normalises the named media, and asks each of them for each of them.

    Vectors come out as float32 [N, C]; pixels, which are uint8 in two dimensions or more, as they are stored, or in
    float32 where `data.pixels` says how to normalise them.

    Raises:
        InputError: one sentence on what is missing or wrong.
    """
    if len(set(names)) != 2 or len(names) != 2:
        raise InputError(f"config.modalities: expected two media of {config['name']}, found {tuple(names)}")
    if config.get("noise") or config.get("new_classes"):
        raise InputError("data.noise, data.new_classes: expected neither where items come in pairs")
    stored = open_pairs(config, seed, names)
    parts = {"train": stored.parts["train"]} if config["fold"] else stored.parts
    _check(parts, names)
    parts = _divided(parts, config, seed)
    tables, normalisation = {}, {}
    for name in names:
        own = {part: tables_of[name] for part, tables_of in parts.items()}
        fitted = fit(own["train"], config["normalise"], config.get("pixels", "none"))
        normalisation[name] = fitted
        tables |= {f"{name}/{part}": normalised(table, fitted) for part, table in own.items()}
    tables["pairs"] = SideBySide({name: tables[f"{name}/train"] for name in names}, f"{config['name']}, pairs")
    return Dataset(
        name=config["name"],
        tables=tables,
        tasks=_tasks(names, parts, config["fold"]),
        modalities={part: part.split("/")[0] for part in tables},
        normalisation=normalisation,
        classes=stored.classes,
        words=stored.words,
        shown=_shown(parts, stored),
    )


def open_pairs(config: Mapping[str, Any], seed: int, names: Sequence[str]) -> Paired:
    """The dataset as it is stored, of the named media alone.

    Raises:
        InputError: a dataset without pairs, or without such a medium; what its reader raises.
    """
    name = config["name"]
    if name not in PAIRS:
        raise InputError(f"data.name: expected items in pairs ({', '.join(PAIRS)}), found {name!r}, which has none")
    if name == "pair_files":
        return Paired(*pair_files.open_files(config, names))
    for medium in names:
        if medium not in PAIRS[name]:
            raise InputError(f"{name}: expected media among {', '.join(PAIRS[name])}, found {medium!r}")
    if name == "fashion":
        return _fashion(config, ("train",) if config["fold"] else ("train", "test"))
    if name == "raw":
        return _raw(config, names)
    if name in published_pairs.FIELDS:
        return Paired(*published_pairs.open_pairs(config, seed))
    opened = {medium: media.open_medium(config, medium) for medium in names}
    parts = {part: {m: getattr(one, part) for m, one in opened.items()} for part in ("train", "test", "database")}
    kept = {part: tables for part, tables in parts.items() if all(table is not None for table in tables.values())}
    return Paired(kept, next(iter(opened.values())).classes)


def _fashion(config, parts: Sequence[str]) -> Paired:
    opened = {part: samples.fashion(part, tuple(config["labels"])) for part in parts}
    _, classes, words, _ = opened["train"]
    parts, shown = {}, {}
    for part, (tables, _, _, names) in opened.items():
        parts[part], shown[f"text/{part}"] = tables, names
    return Paired(parts, classes, words, shown)


def _raw(config, names) -> Paired:
    for field in (*(f"{medium}_column" for medium in names), "label_columns"):
        if not config[field]:
            raise InputError(f"data.{field}: expected a column of the manifest, found none")
    found = raw.open_raw(config, parts=("train",) if config["fold"] else raw.PARTS)
    if "test" not in found.parts and not config["fold"]:
        raise InputError(f"{config['manifest']}: expected items whose split is test, or data.fold, found neither")
    shown = {f"text/{part}": texts for part, texts in found.texts.items()}
    return Paired(found.parts, found.classes, found.vocabulary, shown)


def _divided(parts, config, seed):
    """Parts by the config's fold, at most its number of training pairs, its validation share of them; all media by the
    same rows. What training does without is searched all the same, but for a fold with fewer pairs.
    """
    parts = {part: dict(tables) for part, tables in parts.items()}
    if config["fold"]:
        size = len(next(iter(parts["train"].values())))
        held, rest = splits.fold_rows(size, config["fold"], seed)
        whole = parts["train"]
        parts = {
            "train": {name: Subset(table, rest, table.name) for name, table in whole.items()},
            "test": {
                name: Subset(table, held, f"{table.name} (fold {config['fold']})") for name, table in whole.items()
            },
        }
    if config["largest"]:
        whole = parts["train"]
        parts["train"] = {name: media.at_most(table, config["largest"], seed) for name, table in whole.items()}
        if "database" not in parts and not config["fold"]:
            parts["database"] = whole
    if config["validation"]:
        whole = parts["train"]
        held, rest = splits.validation_rows(len(next(iter(whole.values()))), config["validation"], seed)
        parts["train"] = {name: Subset(table, rest, table.name) for name, table in whole.items()}
        parts["validation"] = {name: Subset(table, held, f"{table.name}, held out") for name, table in whole.items()}
        parts.setdefault("database", whole)
    return parts


def _shown(parts, stored: Paired) -> dict[str, Sequence[str]]:
    """What a person reads of each part, by the rows of a stored one that it has; nothing of rows copied out of one."""
    known = {}
    for name, texts in stored.shown.items():
        medium, part = name.split("/")
        known[id(stored.parts[part][medium])] = texts

    def texts_of(table: Table) -> Sequence[str]:
        if isinstance(table, Subset):
            whole = texts_of(table.table)
            return [whole[row] for row in table.rows] if whole else ()
        return known.get(id(table), ())

    return {
        f"{medium}/{part}": found
        for part, tables in parts.items()
        for medium, table in tables.items()
        if (found := texts_of(table))
    }


def _check(parts, names) -> None:
    """Pairs have one length and one set of labels, and some; a medium's items have one shape in all parts; queries and
    those searched have a class in common, and not every one of both the same.
    """
    seen, shared = {}, {}
    for part, tables in parts.items():
        for name in names:
            like, own = parts["train"][name], tables[name]
            expected, found = (list(table.columns["features"].shape) for table in (like, own))
            if found != expected:
                raise InputError(f"{own.name}: items must be {expected} like those of {like.name}, found {found}")
        lengths = {name: len(tables[name]) for name in names}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise InputError(f"{part}: expected as many items of each medium, and some, found {lengths}")
        first, second = (tables[name] for name in names)
        seen[part], shared[part] = (fill(first.columns["labels"].shape, bool) for fill in (np.zeros, np.ones))
        for rows in np.array_split(np.arange(len(first)), max(1, len(first) // 65536)):
            labels = [table.read(rows, ["labels"])["labels"] for table in (first, second)]
            if labels[0].shape != labels[1].shape or (labels[0] != labels[1]).any():
                raise InputError(f"{part}: expected the same labels of {names[0]} and {names[1]}, found others")
            seen[part] |= labels[0].any(axis=0)
            shared[part] &= labels[0].all(axis=0)
    asks, searched = "test" if "test" in seen else "train", "database" if "database" in seen else "train"
    if not (seen[asks] & seen[searched]).any():
        raise InputError(f"labels: expected a class that both the {asks} and the {searched} part have, found none")
    if (shared[asks] & shared[searched]).any():
        found = f"all items of the {asks} and the {searched} part in one"
        raise InputError(f"labels: expected items of different classes, found {found}: every ranking would be right")


def fit(table: Table, vectors: str, pixels: str) -> dict[str, np.ndarray]:
    """What `normalised` needs, from a training table and the kind of normalisation of its vectors or its pixels.

    Of pixels also their shape, as `pixels`; that alone where they stay as they are. A pixel's place is a dimension, an
    item a clip of one frame: 'centre' takes the mean picture or clip away.

    Raises:
        InputError: an unknown kind.
    """
    shape = table.columns["features"].shape
    if len(shape) == 1:
        return fit_normalisation(Transformed(table, _flat, "features"), vectors, column="features")
    if pixels not in KINDS:
        raise InputError(f"data.pixels: expected one of {', '.join(KINDS)}, found {pixels!r}.")
    kept = {"pixels": np.array(shape)}
    if pixels == "none":
        return kept
    return kept | fit_normalisation(Transformed(table, _flat, "features"), pixels, column="features")


def normalised(table: Table, fitted: Mapping[str, np.ndarray]) -> Table:
    """Vectors in memory, shifted and scaled; pixels wherever they are, shifted and scaled as they are read, or not."""
    if "shift" not in fitted:
        return table
    done = Transformed(table, functools.partial(normalised_items, fitted=fitted), "features")
    return done if "pixels" in fitted else resident(done)


def normalised_items(items: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
    """Vectors [B, C] or pixels [B, ...] in float32, by what `fit` returned; pixels as they are if it has no shift."""
    if "shift" not in fitted:
        return items
    given = {name: value for name, value in fitted.items() if name != "pixels"}
    return normalise(_flat(items), **given).reshape(items.shape)


def _flat(items: np.ndarray) -> np.ndarray:
    """[B, ...] -> [B, 1, C]: each item a clip of one frame."""
    return items.reshape(len(items), 1, -1)


def _tasks(names, parts, fold) -> tuple[Task, ...]:
    """Each medium asks each, itself too: the queries' partners are never in the database."""
    asks, searched = f"fold {fold}" if fold else "test", "database" if "database" in parts else "train"
    return tuple(
        Task(
            f"{query}/test",
            (f"{other}/{searched}",),
            (f"{query} {asks}", f"{other} {searched}"),
            drawn=query != other,
        )
        for query in names
        for other in names
    )
