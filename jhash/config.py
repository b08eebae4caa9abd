"""What an experiment may say: every field with its default, so that a mistyped one is noticed."""

import dataclasses
import importlib
import inspect
import pkgutil

from ml_collections import ConfigDict, config_dict

import jhash.methods
from jhash.data.load import complete
from jhash.data.media import MEDIA
from jhash.data.pairs import PAIRS
from jhash.data.validate import near
from jhash.types import InputError, Method


def experiment(method: str, data: str, **data_fields) -> ConfigDict:
    """All fields of an experiment with their defaults, for a config file to change.

    Args:
        method: a file name in jhash/methods, without '.py'.
        data: a dataset's name (see `jhash.data.load`).
        **data_fields: fields of that dataset.
    """
    paired = is_paired(method)
    if paired:
        media = {"modalities": PAIRS.get(data, ())[:2]}  # the two media of a pair
    elif data in MEDIA:
        media = {
            "modalities": MEDIA[data],  # the media to train, in the order of their arrival
            "library": "",  # the workdir of an earlier run, whose media are frozen
            "stages": "fold",  # one by one, resumable; 'scan': in one program; 'side_by_side': 2 to M on many devices
        }
    else:
        media = {}
    return ConfigDict(
        {
            "method": method,
            **media,
            "hyper": {f.name: _default(f) for f in _fields(method_class(method)) if f.name != "media"},
            "data": complete({"name": data, **data_fields}),
            # methods scored beside this one, at the same length
            "baselines": ("cca_itq", "itq") if paired else () if media else ("itq", "lsh", "cosine"),
            # the table says who won, tied or lost against it, or against the first of them that has the task
            "against": ("itq", "cca_itq") if paired else "itq",
            "baseline_view": "mean",  # what the baselines see of the frames: 'mean' | 'flatten'
            "seed": 0,
            "seeds": 1,  # runs with seed, seed + 1, ...
            "select": "last",  # 'last' | 'validation': the best step by config.data.validation, never by test data
            "select_every": 100,  # steps between two looks at the validation part
            "presets": ("trec",) if paired else ("video", "trec"),  # retrieval protocols (see `jhash.measures`)
            "ties": "stable",
            "run": {  # nothing in here makes it another experiment
                "devices": 0,  # 0: as many as divide the batch
                "resident_gb": -1.0,  # larger tables are streamed; -1: 1 GB on a CPU, half of a GPU's memory
                "save_every": 60.0,  # seconds between checkpoints
                "log_every": 20,  # steps between two points of a learning curve
                "tensorboard": True,
            },
        }
    )


def method_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(jhash.methods.__path__))


def method_class(name: str, field: str = "config.method") -> type:
    """The `Method` of jhash/methods/<name>.py. Raises InputError for a name without a file, which `field` gave."""
    if name not in method_names():
        raise InputError(
            f"{field}: expected one of {', '.join(method_names())}, found {name!r}{near(name, method_names())}"
        )
    return importlib.import_module(f"jhash.methods.{name}").Method


def is_paired(name: str) -> bool:
    """Whether the method learns from items that come in pairs."""
    return getattr(method_class(name), "paired", False)


def method_of(config: ConfigDict) -> Method:
    """The experiment's own method; one with `media` takes those of config.modalities."""
    fields = config.hyper.to_dict()
    if "media" in [field.name for field in _fields(method_class(config.method))]:
        fields["media"] = list(config.get("modalities", ()))
    return build(config.method, fields)


def build(name: str, fields: dict) -> Method:
    """A method from its hyper-parameters. Raises InputError for a field it doesn't have."""
    cls = method_class(name)
    known = [field.name for field in _fields(cls)]
    for field in fields:
        if field not in known:
            raise InputError(f"config.hyper.{field}: {name} has no such field{near(field, known)}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})


def baseline(name: str, config: ConfigDict) -> Method:
    """A baseline at the experiment's code length, seeing frames as config.baseline_view says, or vectors of media.

    One that is the experiment's method with some parts left out, as DCMH is CMGCAH's, takes its other settings too;
    beside DSMHN, its backbone, its hidden layer of the first medium and its span of training.
    """
    cls, shared = method_class(name, "config.baselines"), {}
    known = inspect.signature(cls).parameters
    if issubclass(cls, method_class(config.method)):
        own = inspect.get_annotations(cls)  # what makes it the baseline
        shared = {field: value for field, value in config.hyper.to_dict().items() if field not in own}
    elif "backbones" in config.hyper and "backbone" in known:  # the same pictures, as often, in the same batches
        shared = {"backbone": config.hyper.backbones[0], "weights": config.hyper.weights[0]}
        shared["image_hidden"] = config.hyper.hidden[0]
        shared |= {"iterations": config.hyper.epochs, "batch": config.hyper.batch}
        shared["learning_rate"] = config.hyper.learning_rate
    given = shared | {"bits": config.hyper.bits, "structure_features": config.baseline_view}
    if "modalities" in config:
        given |= {"column": "features", "media": tuple(config.modalities)}
    return cls(**{field: value for field, value in given.items() if field in known})


def _fields(cls: type) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(cls) if field.init]


def _default(field: dataclasses.Field):
    """A field without a default, or whose default is None, takes any type, so that a flag can set it."""
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return config_dict.placeholder(object) if value in (None, dataclasses.MISSING) else value
