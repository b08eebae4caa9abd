"""The papers' data sets, and the small shipped ones that can stand in for them: whether here, by which config.

`--dataset` takes jhash's names. A stand-in's values say nothing of the paper's; its orderings and gaps may.
"""

import dataclasses
import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jhash.data import published, published_media, published_pairs, samples
from jhash.types import InputError


@dataclasses.dataclass(frozen=True)
class Data:
    name: str  # as `config.data.name` and --dataset have it
    printed: str  # the paper's name of it, or of what it stands in for
    media: tuple[str, ...] = ()
    stand_in: bool = False
    about: str = ""  # what a reader must know of it


PUBLISHED = {
    data.name: data
    for data in (
        Data("wikipedia_deep", "wikipedia", ("image", "text")),
        Data("nuswide", "nus-wide", ("image", "text")),
        Data("xmedia", "xmedia", ("image", "text", "audio", "3d", "video")),
        Data("xmedianet", "xmedianet", ("image", "text", "audio", "3d", "video")),
        Data("fcvid", "fcvid"),
        Data("activitynet", "activitynet"),
        Data("yfcc", "yfcc"),
        Data("mirflickr25k", "mirflickr-25k", ("image", "text")),
        Data("nuswide_tc21", "nus-wide", ("image", "text")),
        Data("mscoco", "ms-coco", ("image", "text")),
    )
}
SHAPES = Data("shapes", "", about="networks alone, at the published shapes")  # what needs no items
DIGITS = "five unpaired media of the digits 0 to 9"
CLASSIC = "its classic features, 128 words of pictures and 10 topics of text"
STAND_INS = {
    data.name: data
    for data in (
        Data("digits", "xmedia", ("image", "stroke", "audio", "event", "text"), True, DIGITS),
        Data("wikipedia", "wikipedia", ("image", "text"), True, CLASSIC),
        Data("nmnist", "fcvid", (), True, "1,000 training clips of an event camera, 100 queries, 10 digits"),
        Data("jhmdb", "fcvid", (), True, "433 training clips of body joints, 176 queries, 14 actions"),
        Data("fashion", "mirflickr-25k", ("image", "text"), True, "2,559 photographs and their names, 641 queries"),
    )
}
# What --budget quick changes: shorter training, so that a table of variants takes minutes on two cores
QUICK: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("she", "digits"): {"hyper.epochs": 15},
    ("she", "wikipedia"): {"hyper.epochs": 30},
    ("dkph", "nmnist"): {"hyper.teacher_steps": 60, "hyper.student_steps": 200},
    ("dkph", "jhmdb"): {"hyper.teacher_steps": 100, "hyper.student_steps": 400},
    ("mcmsh", "nmnist"): {"hyper.steps": 80},
    ("mcmsh", "jhmdb"): {"hyper.steps": 400},
    ("cmgcah", "fashion"): {"hyper.iterations": 15},
    ("cmgcah", "wikipedia"): {"hyper.iterations": 15},
    ("dsmhn", "fashion"): {"hyper.epochs": 12},
    ("dsmhn", "wikipedia"): {"hyper.epochs": 20},
}
# Pretrained backbones, where the folder of --data has them: field, file, and the value with the file's path in it
WEIGHTS = {"cmgcah": ("hyper.weights", "imagenet-vgg-f.mat"), "dsmhn": ("hyper.weights", "vgg16.safetensors")}
BASE: Mapping[str, Mapping[str, Any]] = {"cmgcah": {"presets": ("dcmh", "trec")}}  # the paper's protocol beside ours


def find(name: str) -> Data | None:
    return SHAPES if name == SHAPES.name else PUBLISHED.get(name) or STAND_INS.get(name)


def config_of(method: str, data: Data, folder: Path, budget: str) -> ConfigDict:
    """The config that jhash ships for a method and a data set, with the data where `folder` has them."""
    config = importlib.import_module(f"jhash_configs.{method}_{data.name}").get_config()
    changes = dict(BASE.get(method, {}))
    if not data.stand_in:
        field = "data.dir" if data.name in published.DATASETS else "data.file"
        changes[field] = str(place(data, folder))
        weights, file = WEIGHTS.get(method, ("", ""))
        if weights and (folder / file).is_file():
            changes[weights] = (str(folder / file), "") if method == "dsmhn" else str(folder / file)
    if budget == "quick":
        changes |= QUICK.get((method, data.name), {})
    config.update_from_flattened_dict(changes)
    config.run.tensorboard = False
    return config


def place(data: Data, folder: Path) -> Path:
    """Where a published data set is looked for: folder/<name>, a folder or, of media and pairs, a .mat or .h5 file."""
    files = [folder / f"{data.name}{ending}" for ending in published_media.ENDINGS]
    return next((file for file in files if file.is_file()), folder / data.name)


def missing(data: Data, folder: Path) -> str:
    """Why the data can't be read here, in one sentence; '' where they are here."""
    if data.stand_in or data == SHAPES:
        return ""
    where = str(place(data, folder))
    try:
        if data.name in published.DATASETS:
            published.find(data.name, where)
        elif data.name in published_media.FIELDS:
            published_media.find(data.name, where)
        else:
            published_pairs.find(data.name, {"file": where})
    except InputError as error:
        return str(error)
    return ""


def digest(data: Data, folder: Path) -> str:
    """Which data they are: of a shipped sample by its bytes, of files a user has by their names, sizes and times."""
    found = hashlib.sha256()
    if data.stand_in:
        root = samples.FOLDER / data.name
        for file in sorted(path for path in root.rglob("*") if path.suffix in (".npz", ".csv", ".zip")):
            found.update(str(file.relative_to(root)).encode() + file.read_bytes())
        if data.name == "digits":
            found.update(digest(STAND_INS["nmnist"], folder).encode())  # its medium 'event'
        return found.hexdigest()
    where = place(data, folder)
    files = [where] if where.is_file() else sorted(path for path in where.rglob("*") if path.is_file())
    beside = [folder / name for _, name in WEIGHTS.values()]
    for file in [*files, *(path for path in beside if path.is_file())]:
        facts = file.stat()
        found.update(f"{file.name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return found.hexdigest()
