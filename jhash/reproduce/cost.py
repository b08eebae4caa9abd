"""What encoding costs at shapes that need no data, measured once and kept beside the runs."""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jhash.complexity import as_shapes
from jhash.config import method_of
from jhash.cost import measure as measure_encoder
from jhash.reproduce import runs
from jhash.reproduce.grid import Cost
from jhash.reproduce.measured import Measured
from jhash.workdir import write_json


def measure(asked: Cost, changes: Mapping[str, Any], cache: Path) -> Measured:
    """One number of the encoder that a config describes, its parameters drawn at random."""
    config = importlib.import_module(f"jhash_configs.{asked.config}").get_config()
    config.update_from_flattened_dict(dict(changes))
    method = method_of(config)
    named = repr((dataclasses.replace(asked, what=""), str(method), runs.module_digest((config.method,))))
    kept = cache / "costs" / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        found = measure_encoder(method, None, as_shapes(dict(asked.shapes)), asked.medium)
        write_json(
            kept,
            {
                "parameters": found.parameters_encode / 1e6,
                "multiply_adds": found.multiply_adds / 1e9,
                "milliseconds": found.batched.median if found.batched else found.single.median,
            },
        )
    return Measured(json.loads(kept.read_text(encoding="utf-8"))[asked.what])
