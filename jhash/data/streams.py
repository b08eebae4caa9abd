"""Media that arrive one after another: a table to train on and parts to ask and to search each, one book of classes.

Parts of a medium 'image': 'image' is trained on, 'image/train' and 'image/test' hold the same and the test items with
the labels that the evaluation goes by. Where labels carry noise, only those of 'image' do.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jhash.data import media, splits
from jhash.data.dataset import Dataset, Task
from jhash.data.source import ArrayTable, SideBySide, Subset
from jhash.features import fit_normalisation, normalise
from jhash.types import InputError


@dataclasses.dataclass(frozen=True)
class Known:
    """What an earlier run hands on, as far as data go: classes in the order of their columns, and parts with codes."""

    classes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def load_streams(config: Mapping[str, Any], seed: int, names: Sequence[str], known: Known) -> Dataset:
    """Opens, splits, checks and normalises the named media, and pairs them, also with those that are known.

    Each ordered pair of different media is two tasks: by the protocol 'she' with training and test items as the
    database, and by 'trec' with the training items alone. A first medium alone has no task yet.

    Raises:
        InputError: one sentence on what is missing or wrong; a class that the code book lacks.
    """
    if not names or len(set(names)) < len(names):
        raise InputError(f"config.modalities: expected media of {config['name']}, each once, found {tuple(names)}")
    again = sorted(set(names) & {part.split("/")[0] for part in known.parts})
    if again:
        raise InputError(f"config.modalities: the library holds {again[0]!r} already; expected other media")
    if config["validation"]:
        raise InputError(
            "data.validation: expected none where media come one by one: their stages end at the last step"
        )
    if config["noise"] and not 0.0 < config["noise"] < 1.0:
        raise InputError(f"data.noise: expected a share from 0 to below 1, found {config['noise']}")
    if config["largest"] < 0:  # before anything is read
        raise InputError(f"data.largest: expected a number of items, or 0 for all, found {config['largest']}")
    opened = [media.open_medium(config, name) for name in names]
    classes = _code_book(opened, known, config["new_classes"])
    tables, normalisation = {}, {}
    for medium in opened:
        parts, normalisation[medium.name] = _parts(medium, classes, config, seed)
        tables |= parts
    parts_here = [part for part in tables if "/" in part]
    tables["all/together"] = SideBySide({name: tables[name] for name in names}, f"{config['name']}, all media")
    return Dataset(
        name=config["name"],
        tables=tables,
        tasks=_tasks([*known.parts, *parts_here], set(names), config["fold"]),
        modalities={part: part.split("/")[0] for part in tables},
        normalisation=normalisation,
        classes=classes,
        kept=tuple(parts_here),
    )


def _code_book(opened: Sequence[media.Medium], known: Known, new_classes: bool) -> tuple[str, ...]:
    """The names of the labels' columns: those of the library, then new ones where they are allowed."""
    found = [name for medium in opened for name in medium.classes]
    if not known.classes:
        return tuple(sorted(set(found), key=_natural))
    new = [name for name in dict.fromkeys(found) if name not in known.classes]
    if new and not new_classes:
        where = next(medium.name for medium in opened if new[0] in medium.classes)
        raise InputError(
            f"{where}: expected classes that the library knows ({', '.join(known.classes[:12])}"
            f"{', …' if len(known.classes) > 12 else ''}), found {new[0]!r}; config.data.new_classes=True adds it"
        )
    return (*known.classes, *new)


def _natural(name: str):
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def _parts(medium: media.Medium, classes: Sequence[str], config, seed: int):
    """The medium's tables by name, and the normalisation that its training items gave."""
    columns = np.array([classes.index(name) for name in medium.classes])

    def taken(table):
        read = table.read(np.arange(len(table)), ["features", "labels"])
        labels = np.zeros((len(table), len(classes)), np.uint8)
        labels[:, columns] = read["labels"]
        return read["features"].astype(np.float32), labels

    train, asked = medium.train, medium.test
    if config["fold"]:
        held, rest = splits.fold_rows(len(train), config["fold"], seed)
        train, asked = Subset(train, rest, train.name), Subset(train, held, train.name)
    given = {"train": taken(media.at_most(train, config["largest"], seed)), "test": taken(asked)}
    if medium.database is not None and not config["fold"]:
        given["database"] = taken(medium.database)
    for part, (_, labels) in given.items():
        if not labels.any():
            raise InputError(f"{config['name']} {medium.name} ({part}): expected items with a class, found none")
    fitted = fit_normalisation(
        ArrayTable(medium.train.name, {"frames": given["train"][0][:, None]}), config["normalise"]
    )
    tables = {}
    for part, (features, labels) in given.items():
        name = f"{config['name']} {medium.name} ({part})"
        features = np.asarray(normalise(features[:, None], **fitted))[:, 0]
        tables[f"{medium.name}/{part}"] = ArrayTable(name, {"features": features, "labels": labels})
    clean = tables[f"{medium.name}/train"]
    noisy = clean
    if config["noise"]:
        noisy = ArrayTable(
            f"{clean.name}, noisy",
            {
                "features": clean.arrays["features"],
                "labels": media.symmetric_noise(clean.arrays["labels"], config["noise"], seed),
            },
        )
    return {medium.name: noisy} | tables, fitted


def _tasks(parts: Sequence[str], here: set[str], fold: str) -> tuple[Task, ...]:
    """All ordered pairs of different media with at least one of them here, by both protocols."""
    names = list(dict.fromkeys(part.split("/")[0] for part in parts))
    asks = f"fold {fold}" if fold else "test"
    tasks = []
    for query in names:
        for other in names:
            if query == other or not {query, other} & here:
                continue
            own = f"{other}/database" if f"{other}/database" in parts else None
            published = (own,) if own else (f"{other}/train", f"{other}/test")
            said = "database" if own else f"train + {asks}"
            whole, clean = (f"{query} {asks}", f"{other} {said}"), (f"{query} {asks}", f"{other} train")
            tasks.append(Task(f"{query}/test", published, whole, presets=("she",), drawn=True))
            tasks.append(Task(f"{query}/test", (f"{other}/train",), clean, presets=("trec",)))
    return tuple(tasks)
