"""What an experiment will need, before it is run: files, memory, disk, and minutes from a few timed steps."""

import dataclasses
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

import jhash.data.plan
from jhash import library, parallel, train
from jhash.config import baseline, is_paired, method_of
from jhash.data.load import complete, open_parts
from jhash.data.pairs import load_pairs
from jhash.data.source import Subset
from jhash.data.streams import Known, load_streams
from jhash.steps import keys_of_stage, resident_spans
from jhash.types import InputError, Method, Past, Stage, Table

ROWS, STEPS = 4096, 4  # the timed training sees so many rows, for so many steps


def lines(config: ConfigDict) -> list[str]:
    """The plan as text. Raises InputError for whatever the run itself would refuse at its start."""
    method = method_of(config)
    for name in config.baselines:
        baseline(name, config)
    tables, text = _opened(config)
    stages = method.stages(tables)
    limit = config.run.resident_gb if config.run.resident_gb >= 0 else parallel.memory_gb()
    largest = max(train.table_bytes(tables[stage.table], method) for stage in stages)
    resident = largest <= limit * 1e9
    text.append(
        f"training on {jax.local_device_count()} {jax.default_backend()} device(s), the largest table "
        + ("on the device" if resident else f"streamed (larger than {limit:.1f} GB)")
    )
    minutes, disk, past = 0.0, 0, {}
    small = _small(method, tables, stages)
    for index, stage in enumerate(stages):
        timed = _time_stage(method, method.stages(small)[index], index, past, small, config.seed)
        past[stage.name] = timed.past
        prepare = timed.prepare * len(tables[stage.table]) / len(small[stage.table])
        total = prepare + timed.compile + stage.steps * timed.step
        minutes, disk = minutes + total / 60, disk + 3 * timed.state_bytes
        text.append(
            f"  {stage.name}: structures {prepare / 60:.1f} min, compiling {timed.compile:.0f} s, "
            f"{stage.steps} steps of {timed.step:.3f} s: {total / 60:.1f} min"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    memory = peak + (largest if resident else 0)
    text.append(f"for each seed about {minutes:.0f} min; {config.seeds} seed(s): {config.seeds * minutes:.0f} min")
    text.append(f"memory about {memory / 1e9:.1f} GB; disk about {disk / 1e6:.0f} MB of checkpoints for each seed")
    return text


@dataclasses.dataclass(frozen=True)
class Timed:
    prepare: float  # seconds
    compile: float
    step: float
    state_bytes: int
    past: Past


def _opened(config: ConfigDict) -> tuple[Mapping[str, Table], list[str]]:
    """The tables that a run would open, and what to say of them."""
    if "modalities" not in config:
        planned = jhash.data.plan.plan(config.data, config.seed)
        return open_parts(config.data, config.seed), jhash.data.plan.lines(planned)
    known = Known()
    if config.get("library"):
        earlier = library.read(library.find(config.library, config.seed, config.method))
        known = Known(earlier.classes, tuple(earlier.parts))
    data = (complete(config.data), config.seed, config.modalities)
    tables = (load_pairs(*data) if is_paired(config.method) else load_streams(*data, known)).tables
    text = [f"data {config.data.name}"]
    for name, table in tables.items():
        if "features" in table.columns:
            items, classes = table.columns["features"], table.columns["labels"].shape[0]
            text.append(f"  {name}: {[len(table), *items.shape]} {items.dtype}, {classes} classes")
    return tables, text


def _small(method: Method, tables: Mapping[str, Table], stages: Sequence[Stage]) -> dict[str, Table]:
    """The first rows of what is trained on, or all of it where the method wants more than those."""
    trained = {stage.table: tables[stage.table] for stage in stages}
    cut = {
        **tables,
        **{name: Subset(table, np.arange(min(ROWS, len(table))), "the first rows") for name, table in trained.items()},
    }
    try:
        method.stages(cut)
        return cut
    except InputError:
        return dict(tables)


def _time_stage(method: Method, stage: Stage, index: int, past, tables, seed: int) -> Timed:
    keys, table = keys_of_stage(seed, index), tables[stage.table]
    short = dataclasses.replace(stage, steps=min(stage.steps, STEPS))
    clock = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        context = method.prepare(stage, past, tables, keys[0], Path(scratch))
    prepare, clock = time.perf_counter() - clock, time.perf_counter()
    state = train.initial_state(method, stage, past, context, train.example_of(table, method, stage), keys[1])
    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state))
    devices, seconds = parallel.count(0, stage.batch), [0.0]
    if short.steps:
        for now, _ in resident_spans(method, short, table, context, keys, state, devices, 1):
            seconds.append(time.perf_counter() - clock)
            clock, state = time.perf_counter(), now
        state = parallel.first(state, devices)
    step = float(np.median(seconds[2:])) if len(seconds) > 2 else 0.0
    return Timed(prepare, seconds[min(1, len(seconds) - 1)], step, size, train.leave(method, stage, context, state))
