"""What encoding costs at shapes that need no data, measured once on each machine and kept beside the runs."""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jhash.cost
from jhash.complexity import as_shapes
from jhash.config import method_of
from jhash.experiment import say
from jhash.reproduce import runs
from jhash.reproduce.grid import Cost
from jhash.workdir import write_json


def measure(asked: Cost, changes: Mapping[str, Any], cache: Path) -> tuple[float, str]:
    """One number of the encoder of a config, its parameters drawn at random, and of a time what it is of."""
    config = importlib.import_module(f"jhash_configs.{asked.config}").get_config()
    config.update_from_flattened_dict(dict(changes))
    method, device = method_of(config), runs.machine()
    made_by = [Path(module.__file__).read_bytes() for module in (jhash.cost, importlib.import_module(__name__))]
    named = [dataclasses.replace(asked, what=""), str(method), runs.module_digest((config.method,)), device, made_by]
    kept = cache.with_name("costs") / f"{hashlib.sha256(repr(named).encode()).hexdigest()[:16]}.json"
    found = _kept(kept)
    if asked.what not in found:
        found = _measured(method, asked, device)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, found)
    return found[asked.what], found["how"] if asked.what == "milliseconds" else ""


def _kept(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        say(f"{file}: damaged, and measured again ({error})")
        return {}


def _measured(method, asked: Cost, device: str) -> dict[str, Any]:
    found = jhash.cost.measure(method, None, as_shapes(dict(asked.shapes)), asked.medium)
    timing = found.batched or found.single
    how = f"median of batches of {timing.batch} on {device} ({timing.low:.3g} to {timing.high:.3g} ms, quartiles)"
    return {
        "parameters": found.parameters_encode / 1e6,
        "multiply_adds": found.multiply_adds / 1e9,
        "milliseconds": timing.median,
        "how": f"{asked.medium}: {how}",
    }
