"""Training: `train` folds over the stages of a method, `fit` carries one stage to its end. It names no method.

A run that is killed and started again ends in the same parameters, bit for bit, as an unbroken one.
"""

import dataclasses
import functools
import math
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jhash import checkpoint, parallel
from jhash.steps import keys_of_stage, resident_spans, streamed_spans
from jhash.types import Diverged, InputError, Key, Method, Past, Stage, Stopped, Table, TrainState, Tree

QUICK = {"xla_backend_optimization_level": 0}  # an initialisation runs once: compiling it well would take longer


@dataclasses.dataclass(frozen=True)
class Run:
    """How to train, apart from what: nothing here changes the result but `devices` and `resident_gb`, in last bits."""

    folder: Path
    seed: int = 0
    devices: int = 0  # 0: as many local ones as divide the batch
    resident_gb: float = 1.0  # tables up to this size live on the device, larger ones are streamed
    save_every: float = 60.0  # seconds between checkpoints
    score: Callable[[Mapping[str, Past]], float] | None = (
        None  # higher is better; keeps the best state of the last stage
    )
    score_every: int = 100  # steps
    past: Mapping[str, Past] = dataclasses.field(default_factory=dict)  # what earlier runs left, ...
    finished: int = 0  # ... and how many stages those had: a stage's folder and random keys go by its whole number
    watch: Callable[[Stage, int, Mapping[str, np.ndarray]], None] = lambda stage, step, logs: None
    warn: Callable[[str], None] = print
    stopping: Callable[[], bool] = lambda: False


def train(method: Method, tables: Mapping[str, Table], run: Run) -> dict[str, Past]:
    """The fold over the method's stages: stage name -> what it left. Raises what `fit` raises."""
    past = dict(run.past)
    stages = method.stages(tables)
    for index, stage in enumerate(stages, start=run.finished):
        past[stage.name] = fit(method, stage, index, past, tables, run, last=stage is stages[-1])
    return past


def keep(method: Method, tables: Mapping[str, Table], past: Mapping[str, Past], run: Run) -> None:
    """Writes what stages left that were trained elsewhere: `train` then finds them finished."""
    for index, stage in enumerate(method.stages(tables), start=run.finished):
        checkpoint.save(_folder(run, index, stage) / "past", past[stage.name]._asdict())


def is_finished(method: Method, tables: Mapping[str, Table], run: Run) -> bool:
    """Whether each stage has left its past on disk."""
    stages = enumerate(method.stages(tables), start=run.finished)
    return all((_folder(run, index, stage) / "past").is_dir() for index, stage in stages)


def _folder(run: Run, index: int, stage: Stage) -> Path:
    return run.folder / f"{index:02d}_{stage.name}"


def fit(method: Method, stage: Stage, index: int, past: Mapping[str, Past], tables, run: Run, *, last: bool) -> Past:
    """Trains one stage, or goes on where it was left, or reads what it left when it is finished.

    Raises Diverged, Stopped, InputError, OSError (disk full); what is on disk then stays good.
    """
    folder = _folder(run, index, stage)
    finished = _finished(folder / "past", run)
    if finished is not None:
        return finished
    keys, table = keys_of_stage(run.seed, index), tables[stage.table]
    context = _context(method, stage, past, tables, keys[0], folder, run)
    init, given = _init_call(method, stage), (past, context, example_of(table, method, stage), keys[1])
    saved = checkpoint.Checkpoints(folder / "checkpoints")
    state = saved.newest(jax.eval_shape(init, *given), run.warn) or init(*given)
    best = _Best(folder / "best", run, method, stage, context, past) if last and run.score and stage.steps else None
    if int(state.step) < stage.steps:
        state = _steps(method, stage, table, context, keys, state, saved, best, run)
    left = best.past() if best else leave(method, stage, context, state)
    checkpoint.save(folder / "past", left._asdict())
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return left


def _steps(method, stage, table, context, keys, state, saved, best, run: Run) -> TrainState:
    """The steps of a stage that are left, with checkpoints, and the two ways to end early."""
    devices = parallel.count(run.devices, stage.batch)
    spans = resident_spans if table_bytes(table, method) <= run.resident_gb * 1e9 else streamed_spans
    cut = run.score_every if best else stage.steps
    step, clock = int(state.step), time.monotonic()
    for now, logs in spans(method, stage, table, context, keys, state, devices, cut):
        _check_finite(stage, step, logs)
        run.watch(stage, step, logs)
        step += len(logs["loss"])
        stopping, scoring = run.stopping(), best is not None and (step % cut == 0 or step == stage.steps)
        if stopping or scoring or step == stage.steps or time.monotonic() - clock > run.save_every:
            whole = parallel.first(now, devices)
            _check_finite(stage, step, {"parameters": np.array([optax.tree.norm(whole.params)])})
            if scoring:
                best.offer(whole)
            saved.save(whole)
            clock = time.monotonic()
        if stopping and step < stage.steps:
            raise Stopped(
                f"{stage.name}: stopped after step {step} of {stage.steps}; the same command goes on from there"
            )
    return whole


@functools.cache
def _init_call(method: Method, stage: Stage) -> Callable:
    """Compiled (past, context, example, key) -> state."""
    return jax.jit(functools.partial(initial_state, method, stage), compiler_options=QUICK)


def initial_state(method, stage, past, context, example, key) -> TrainState:
    params, collections = method.init(stage, past, context, example, key)
    optimizer = method.optimizer(stage)
    opt = {name: one.init(params) for name, one in optimizer.items()} if isinstance(optimizer, dict) else None
    return TrainState(jnp.int32(0), params, collections, opt if opt is not None else optimizer.init(params))


def example_of(table: Table, method: Method, stage: Stage) -> dict[str, np.ndarray]:
    """{column: [B, ...]} of zeros: shapes are all that an initialisation may depend on."""
    shapes = {name: table.columns[name] for name in method.columns}
    return {name: np.zeros((stage.batch, *shape.shape), shape.dtype) for name, shape in shapes.items()}


def table_bytes(table: Table, method: Method) -> int:
    shapes = [table.columns[name] for name in method.columns]
    return len(table) * sum(math.prod(shape.shape) * np.dtype(shape.dtype).itemsize for shape in shapes)


def leave(method: Method, stage: Stage, context: Tree, state: TrainState) -> Past:
    left = Past(state.params, state.collections, method.conclude(stage, context, state))
    return jax.tree.map(np.asarray, left)


def _finished(folder: Path, run: Run) -> Past | None:
    if not folder.is_dir():
        return None
    try:
        return read_past(folder)
    except checkpoint.BrokenCheckpoint as broken:
        run.warn(f"{broken}; this stage is trained again")
        return None


def read_past(folder: Path) -> Past:
    """What a finished stage left at <stage folder>/past. Raises BrokenCheckpoint."""
    return _past(checkpoint.load(folder))


def _past(saved: Tree) -> Past:
    return Past(*(checkpoint.lists(saved.get(name, {})) for name in Past._fields))


def _context(method, stage, past, tables, key: Key, folder: Path, run: Run) -> dict[str, np.ndarray]:
    """What `prepare` found in the data: computed once, saved with a digest, read back on resume."""
    file, scratch = folder / "context.npz", folder / "scratch"
    if file.is_file():
        try:
            with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as saved:
                context = {name: saved[name] for name in saved.files}
            if str(context.pop("digest")) == checkpoint.digest(context):
                return context
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            pass
        run.warn(f"{file}: unreadable; the structures are computed again")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    context = {name: np.asarray(value) for name, value in method.prepare(stage, past, tables, key, scratch).items()}
    partial = folder / "context.partial.npz"
    np.savez(partial, digest=np.array(checkpoint.digest(context)), **context)
    partial.replace(file)
    shutil.rmtree(scratch)
    return context


def _check_finite(stage: Stage, step: int, logs: Mapping[str, np.ndarray]) -> None:
    for name, log in logs.items():
        bad = np.flatnonzero(~np.isfinite(log))
        if bad.size:
            raise Diverged(
                f"{stage.name}: {name} became {log[bad[0]]} at step {step + int(bad[0])}; "
                "the last good checkpoint is kept (a smaller learning rate, or config.data.normalise, may help)"
            )


class _Best:
    """The best state by a score on a part split off the training part; never by test data."""

    def __init__(self, folder: Path, run: Run, method: Method, stage: Stage, context: Tree, past: Mapping[str, Past]):
        self.folder, self.run = folder, run
        self.method, self.stage, self.context, self.earlier = method, stage, context, past

    def offer(self, state: TrainState) -> None:
        left = leave(self.method, self.stage, self.context, state)
        score = self.run.score({**self.earlier, self.stage.name: left})
        self.run.watch(self.stage, int(state.step) - 1, {"validation": np.array([score])})
        held = self._held()
        if held is None or score > float(held["score"]) or int(state.step) == int(held["step"]):
            kept = {"score": np.float64(score), "step": np.int64(state.step), **left._asdict()}
            checkpoint.save(self.folder, kept)

    def past(self) -> Past:
        return _past(self._held())

    def _held(self) -> Tree | None:
        if not self.folder.is_dir():
            return None
        try:
            return checkpoint.load(self.folder)
        except checkpoint.BrokenCheckpoint as broken:
            raise InputError(
                f"{broken}, and with it the best step is lost: delete {self.folder.parent} to train it again"
            ) from broken
