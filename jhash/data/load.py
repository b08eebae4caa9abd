"""From the `data` part of a config to the tables that a run trains on, queries with and searches in."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jhash.data import files, pair_files, published, published_pairs, raw, samples, splits, validate
from jhash.data.dataset import Dataset, Task
from jhash.data.source import ArrayTable, RecordTable, Subset, Transformed, resident
from jhash.features import fit_normalisation, normalise, sample_frames
from jhash.types import InputError, Table

COMMON = {
    "name": "",
    "normalise": "none",  # 'standard' | 'centre' | 'clip' | 'clip_centre' | 'centre_clip': see features
    "fold": "",  # '2/5': the second fifth of the training part is the query set; the test part is not opened
    "validation": 0.0,  # this share of the training part is held out, to choose the best step by
}
VIDEO = COMMON | {
    "frames": 0,  # frames sampled evenly from each clip; 0: all that are stored
}
STREAM = COMMON | {
    "largest": 0,  # items of a medium to train on, drawn by the seed; 0: all
    "noise": 0.0,  # this share of the training labels is wrong, drawn by the seed; those that score are right
    "new_classes": False,  # whether a medium may bring classes that the library doesn't know
}
PAIRS = COMMON | {
    "largest": 0,  # pairs to train on, drawn by the seed; 0: all
    "pixels": "none",  # how pixels are normalised, as `normalise` says of vectors
}
PUBLISHED_MEDIA = {"file": "", "format": "published", "dir": "", "storage": "float32"}
PUBLISHED_PAIRS = PUBLISHED_MEDIA | {
    "images": "",  # three files in place of one
    "texts": "",
    "labels_file": "",
    "queries": 0,  # 0: the published number
    "training": 0,
}
PUBLISHED = {"dir": "", "format": "h5", "storage": "float32"}  # 'h5' | 'array_record'; its precision on disk
FIELDS = {
    "nmnist": VIDEO,
    "jhmdb": VIDEO,
    "fcvid": VIDEO | PUBLISHED,
    "activitynet": VIDEO | PUBLISHED,
    "yfcc": VIDEO | PUBLISHED | {"queries": 1000},
    "digits": STREAM,
    "wikipedia": STREAM,
    **dict.fromkeys(("wikipedia_deep", "nuswide", "xmedia", "xmedianet", "multilabel"), STREAM | PUBLISHED_MEDIA),
    "fashion": PAIRS | {"labels": ("subCategory",)},  # the attributes that make items alike
    "pair_files": PAIRS | pair_files.FIELDS,
    "raw": PAIRS | raw.FIELDS,
    **dict.fromkeys(published_pairs.FIELDS, PAIRS | PUBLISHED_PAIRS),
    "files": VIDEO
    | {
        "train": "",
        "query": "",
        "database": "",  # '': the training part
        "train_labels": "",  # '': in the same file as the frames
        "query_labels": "",
        "database_labels": "",
        "frames_array": "frames",
        "labels_array": "labels",
        "split_array": "",  # an array [N] of the training file …
        "query_values": (),  # … whose items with one of these values are the queries
    },
}


@dataclasses.dataclass(frozen=True)
class Parts:
    """A dataset's parts, not yet opened: a part that is never asked for is never read."""

    train: Callable[[], Table]
    query: Callable[[], Table]
    database: Callable[[], Table] | None = None  # None: the training part, or the queries where they search themselves


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `config.data` with the defaults of its dataset filled in.

    Raises:
        InputError: an unknown dataset or field, or a value of another type.
    """
    given = dict(config.items())
    name = given.get("name", "")
    if not isinstance(name, str) or name not in FIELDS:
        raise InputError(
            f"data.name: expected one of {', '.join(FIELDS)}, found {name!r}{validate.near(name, FIELDS)}."
        )
    known = FIELDS[name]
    for field, value in given.items():
        if field not in known:
            raise InputError(f"data.{field}: {name} has no such field{validate.near(field, known)}.")
        wanted = type(known[field])
        if wanted is float and type(value) is int:
            given[field] = float(value)
        elif (type(value) is bool) != (wanted is bool) or not isinstance(
            value, (tuple, list) if wanted is tuple else wanted
        ):
            raise InputError(f"data.{field}: expected {wanted.__name__}, found {value!r}.")
    return known | given


def load_dataset(
    config: Mapping[str, Any], seed: int, normalisation: Mapping[str, np.ndarray] | None = None
) -> Dataset:
    """Opens, splits, checks and normalises a video dataset. Frames come out as float32 [N, T, C].

    Args:
        config: `config.data`, a ConfigDict or dict with the fields above.
        seed: draws folds, the validation share and YFCC's queries.
        normalisation: shift and scale of an earlier run, for data which that run's model is to encode; None fits them.

    Raises:
        InputError: one sentence on what is missing or wrong.
    """
    config = complete(config)
    self_in_database = config["name"] == "fcvid" and not config["fold"]
    opened = open_parts(config, seed)
    rows = {"train": np.arange(len(opened["train"]))}  # which rows of the training part serve as what
    if config["fold"]:
        validate.check_labelled([opened["train"]], "data.fold")
        rows["query"], rows["train"] = splits.fold_rows(len(rows["train"]), config["fold"], seed)
    if "database" not in opened and not self_in_database:
        rows["database"] = rows["train"]
    if config["validation"] != 0.0:
        held, rest = splits.validation_rows(len(rows["train"]), config["validation"], seed)
        rows["validation"], rows["train"] = rows["train"][held], rows["train"][rest]
    _check(opened)

    if normalisation is None:
        sampled = _sampled(opened["train"], config["frames"])
        normalisation = fit_normalisation(_part(sampled, rows["train"], "train"), config["normalise"])
    tables = {part: prepared(table, config["frames"], normalisation) for part, table in opened.items()}
    whole = tables["train"]
    tables |= {part: _part(whole, chosen, part) for part, chosen in rows.items()}
    tables.setdefault("database", tables["query"])
    searched = "train" if tables["database"] is tables["train"] else "test"
    names = (f"fold {config['fold']}", "rest of train") if config["fold"] else ("test", searched)
    return Dataset(
        name=config["name"],
        tables=tables,
        tasks=(Task("query", ("database",), names, self_in_database),),
        modalities=dict.fromkeys(tables, "video"),
        normalisation={"video": normalisation},
    )


def open_parts(config: Mapping[str, Any], seed: int) -> dict[str, Table]:
    """The parts as they are stored: 'train' and, unless a fold stands in for them, 'query' and its own 'database'."""
    config = complete(config)
    parts = _parts(config, seed)
    opened = {"train": parts.train()}
    if not config["fold"]:
        opened["query"] = parts.query()
        if parts.database is not None:
            opened["database"] = parts.database()
    return opened


def _parts(config: Mapping[str, Any], seed: int) -> Parts:
    name = config["name"]
    if name in ("nmnist", "jhmdb"):
        sample = getattr(samples, name)
        return Parts(train=lambda: sample("train"), query=lambda: sample("test"))
    if name == "files":
        return Parts(**files.parts(config))
    part = published.opener(config)
    if name == "fcvid":
        return Parts(train=lambda: part("train"), query=lambda: part("test"))
    if name == "activitynet":
        return Parts(train=lambda: part("train"), query=lambda: part("query"), database=lambda: part("test"))

    def drawn(which: int, role: str) -> Table:
        test = part("test")
        return Subset(test, splits.query_rows(len(test), config["queries"], seed)[which], f"{test.name} ({role})")

    return Parts(train=lambda: part("train"), query=lambda: drawn(0, "queries"), database=lambda: drawn(1, "database"))


def _check(opened: Mapping[str, Table]) -> None:
    """Every number of every part, but what a conversion has checked already."""
    for part, table in opened.items():
        validate.check_shape(table, None if part == "train" else opened["train"])
        source = table.table if isinstance(table, Subset) else table
        if not isinstance(source, RecordTable):
            validate.check_table(table)
    labelled = {part: table for part, table in opened.items() if "labels" in table.columns}
    widths = {table.name: table.columns["labels"].shape[0] for table in labelled.values()}
    if len(set(widths.values())) > 1:
        raise InputError(f"labels must have one column a class, the same in every part, found {widths}.")


def prepared(table: Table, frames: int, normalisation: Mapping[str, np.ndarray]) -> Table:
    """A stored table as models see it: frames sampled (0: all), float32, shifted and scaled; in memory if it was.

    Raises:
        InputError: frames that are not [N, T, C], or of another width than the normalisation's.
    """
    validate.check_shape(table)
    table = _sampled(table, frames)
    shift, scale = (np.asarray(normalisation[key], np.float32) for key in ("shift", "scale"))
    width = table.columns["frames"].shape[1]
    if shift.shape != (width,) or scale.shape != (width,):
        raise InputError(f"{table.name}: frames are {width} wide, but the model's normalisation is {len(shift)} wide.")
    clips = {name: bool(normalisation[name]) for name in ("clip_before", "clip_after")}
    plain = not shift.any() and (scale == 1.0).all() and not any(clips.values())
    if plain and table.columns["frames"].dtype == np.float32:
        return table
    if plain:
        done = Transformed(table, lambda frames: frames.astype(np.float32))
    else:
        done = Transformed(table, lambda frames: normalise(frames, shift, scale, **clips))
    source = table.table if isinstance(table, Transformed) else table
    in_memory = isinstance(source, ArrayTable) and not isinstance(source.arrays["frames"], np.memmap)
    return resident(done) if in_memory else done


def _sampled(table: Table, frames: int) -> Table:
    """The table with `frames` evenly spread frames a clip, 0 for all."""
    if frames < 0:
        raise InputError(f"data.frames: expected a number of frames, or 0 for all that are stored, found {frames}.")
    return Transformed(table, functools.partial(sample_frames, number=frames)) if frames else table


def _part(table: Table, rows: np.ndarray, part: str) -> Table:
    return table if len(rows) == len(table) else Subset(table, rows, f"{table.name} ({part})")
