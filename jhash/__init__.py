"""jhash: deep hashing in JAX and Flax. Importing it costs nothing; each room is imported when it is asked for."""

import importlib

__version__ = "0.1.0"

_ROOMS = ("codes", "features", "hamming", "intervals", "measures", "metrics", "report", "structure", "types")
_NAMES = {"load_model": "jhash.evaluate", "evaluate_arrays": "jhash.given", "Index": "jhash.index"}


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"jhash.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'jhash' has no attribute {name!r}")


def __dir__():
    return [*globals(), *_ROOMS, *_NAMES]
