"""SHE's media in one compiled program: what the fold in `train` does, for media that are all at hand.

    scan_stages     a `jax.lax.scan` over the media; the carry is the frozen library
    side_by_side    the first medium, then all others at once on several devices: they depend on the first alone

Items and features are padded to the largest medium. No draw depends on the padding: batches hold real items only,
and the padding of a network's first kernel multiplies zeros, so that it neither matters nor learns. Both functions
give the fold's parameters bit for bit where a padded width doesn't make the compiler sum a product in another order;
where it does, they begin as the fold does and part by rounding, which a long training amplifies.

Nothing is saved: a killed program begins again. The fold in `train` is the way for media that come one by one, for
long trainings, and for media that don't fit on the device.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jhash import parallel
from jhash.methods.she import Method
from jhash.steps import keys_of_stage, order_of_step, resident_step
from jhash.train import Run, initial_state
from jhash.types import Array, Diverged, InputError, Past, Stage, Table, Tree


class Medium(NamedTuple):
    """What a stage is given of its medium, padded to [N, d]; of several media stacked, each leaf begins with [M]."""

    columns: Mapping[str, Array]  # 'features' [N, d], 'labels' [N, C]
    context: Tree  # what `prepare` found for this medium alone: 'present' [C], 'width' [], an independent 'start' [2]
    keys: Array  # [4, 2], data of its stage's
    size: Array  # [], items without padding
    steps: Array  # []
    pass_steps: Array  # []
    rate: Array  # [], of learning


class Frozen(NamedTuple):
    """The carry: what a stage is given of the media before."""

    anchor: Array  # [C, P, K]
    filled: Array  # bool [C]
    start: Array  # [2], the key that libraries begin with


def scan_stages(method: Method, tables: Mapping[str, Table], run: Run) -> dict[str, Past]:
    """`train.train` as one scan: stage name -> what it left. `run` means what it means there, as far as it applies.

    Raises:
        InputError: no medium; media that differ in batch or classes, or don't fit on the device; a validation score.
        Diverged: a loss or a parameter that is not a finite number.
    """
    stages, frozen, media = _stages(method, tables, run)
    _, left = jax.jit(_scan_of(method, *_shared(stages)))(frozen, _stacked(media))
    return {**run.past, **_left(stages, media, left, run)}


def side_by_side(method: Method, tables: Mapping[str, Table], run: Run) -> dict[str, Past]:
    """The same, with media 2 to M on `run.devices` devices at once (0: all local ones), each from the first's library.

    Raises:
        InputError: as above; more devices than there are; a first medium that lacks a class, whose prototypes would
            be those of a later one.
        Diverged: a loss or a parameter that is not a finite number.
    """
    stages, frozen, media = _stages(method, tables, run)
    devices = parallel.available(run.devices)
    lacking = np.flatnonzero(~(frozen.filled | media[0].context["present"]))
    if lacking.size:
        raise InputError(
            f"{tables[stages[0].table].name}: expected items of every class in the first of media trained side by "
            f"side, found none of class {lacking[0]}; scan_stages and the fold don't ask for that"
        )
    first = jax.jit(_stage_of(method, *_shared(stages[:1])))(frozen, media[0])
    past = _left(stages[:1], media[:1], jax.tree.map(lambda leaf: np.asarray(leaf)[None], first), run)
    if len(stages) > 1:
        one = _stage_of(method, *_shared(stages[1:]))
        others = parallel.spread(one, _carried(first[0]), _stacked(media[1:]), devices)
        past |= _left(stages[1:], media[1:], others, run)
    return {**run.past, **past}


# in the compiled program; cached, so that another seed compiles nothing again


@functools.cache
def _stage_of(method: Method, batch: int, longest: int) -> Callable[[Frozen, Medium], tuple[Past, Mapping[str, Array]]]:
    """A stage as a pure function: (frozen library, medium) -> (what it leaves, logs [longest])."""

    def train(frozen, medium):
        stage = Stage("", "", medium.size, batch, medium.steps, medium.pass_steps)  # numbers that are traced
        own = dataclasses.replace(method, learning_rate=medium.rate, learning_rates=())  # this too
        context, keys = {**frozen._asdict(), **medium.context}, jax.random.wrap_key_data(medium.keys)
        capacity = len(medium.columns["features"])
        example = {name: jnp.zeros((batch, *x.shape[1:]), x.dtype) for name, x in medium.columns.items()}
        state = initial_state(own, stage, {}, context, example, keys[1])

        def step(state, order):
            return resident_step(own, stage, context, keys, medium.columns, order, state, devices=1)

        def one_pass(_, carry):
            order = order_of_step(stage, keys, carry[0].step, capacity)

            def body(_, carry):
                state, logs = carry
                after, log = step(state, order)
                return after, jax.tree.map(lambda all, now: all.at[state.step].set(now), logs, log)

            return jax.lax.fori_loop(0, stage.pass_steps, body, carry)

        log = jax.eval_shape(step, state, jnp.zeros(capacity, jnp.int32))[1]
        logs = jax.tree.map(lambda log: jnp.zeros((longest, *log.shape), log.dtype), log)
        state, logs = jax.lax.fori_loop(0, stage.steps // stage.pass_steps, one_pass, (state, logs))
        return Past(state.params, state.collections, own.conclude(stage, context, state)), logs

    return train


@functools.cache
def _scan_of(method: Method, batch: int, longest: int) -> Callable:
    """(Frozen, media [M, ...]) -> (Frozen, (what they leave, logs) [M, ...])."""
    one = _stage_of(method, batch, longest)

    def body(frozen, medium):
        past, logs = one(frozen, medium)
        return _carried(past), (past, logs)

    return lambda frozen, media: jax.lax.scan(body, frozen, media)


def _shared(stages: Sequence[Stage]) -> tuple[int, int]:
    """The batch, and the steps of the longest stage."""
    return stages[0].batch, max(stage.steps for stage in stages)


def _carried(past: Past) -> Frozen:
    return Frozen(past.kept["library"], past.kept["filled"], past.kept["start"])


# in and out, on the host


def _stages(method: Method, tables: Mapping[str, Table], run: Run) -> tuple[Sequence[Stage], Frozen, Sequence[Medium]]:
    """The stages, what the first is given of earlier runs, and the media, not padded yet."""
    stages, media = method.stages(tables), []
    _check(stages, tables, run)
    for index, stage in enumerate(stages, start=run.finished):
        keys = keys_of_stage(run.seed, index)
        context = method.prepare(stage, run.past, tables, keys[0], scratch=run.folder)  # it needs none
        if not media:
            frozen = Frozen(*(context[name] for name in Frozen._fields))
        own = ("present", "width", "start") if method.start == "independent" else ("present", "width")
        medium = Medium(
            columns=tables[stage.table].read(np.arange(stage.size), method.columns),
            context={name: context[name] for name in own},
            keys=np.asarray(jax.random.key_data(keys)),
            size=np.int32(stage.size),
            steps=np.int32(stage.steps),
            pass_steps=np.int32(stage.pass_steps),
            rate=np.float32(method.rate(stage.name)),
        )
        media.append(medium)
    return stages, frozen, media


def _check(stages: Sequence[Stage], tables: Mapping[str, Table], run: Run) -> None:
    if not stages:
        raise InputError("media: expected at least one, found none")
    if run.score:
        raise InputError("run.score: expected none, since media in one program keep their last state, found one")
    batch, shapes = max(stage.batch for stage in stages), [tables[stage.table].columns for stage in stages]
    classes, widest = shapes[0]["labels"].shape[0], max(shape["features"].shape[0] for shape in shapes)
    for stage, shape in zip(stages, shapes, strict=True):
        name, found = tables[stage.table].name, shape["labels"].shape[0]
        if stage.size < batch:
            raise InputError(
                f"{name}: expected at least {batch} items, the batch of all media in one program, found {stage.size}"
            )
        if found != classes:
            raise InputError(f"{name}: expected {classes} classes, as {stages[0].name} has, found {found}")
    gigabytes = len(stages) * max(stage.size for stage in stages) * 4 * (widest + classes) / 1e9
    if gigabytes > run.resident_gb:
        raise InputError(
            f"media: expected at most {run.resident_gb:.3g} GB on the device, all padded to the largest, "
            f"found {gigabytes:.3g} GB; the fold takes one medium after another"
        )


def _stacked(media: Sequence[Medium]) -> Medium:
    """[M, ...] of each leaf, columns padded with zeros."""
    columns = {}
    for name in media[0].columns:
        parts = [medium.columns[name] for medium in media]
        whole = (len(parts), *np.max([part.shape for part in parts], axis=0))
        columns[name] = np.zeros(whole, np.result_type(*parts))
        for padded, part in zip(columns[name], parts, strict=True):
            padded[: len(part), : part.shape[1]] = part
    rest = [medium._replace(columns={}) for medium in media]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rest)._replace(columns=columns)


def _left(stages: Sequence[Stage], media: Sequence[Medium], left: Tree, run: Run) -> dict[str, Past]:
    """Stage name -> what it left, the padding cut off, from (Past, logs) with leading axes [M]; watched and checked."""
    found, left = {}, jax.tree.map(np.asarray, left)
    for place, (stage, medium) in enumerate(zip(stages, media, strict=True)):
        past, log = jax.tree.map(lambda leaf, place=place: leaf[place].copy(), left)
        log = {name: values[: stage.steps] for name, values in log.items()}
        for name, values in {**log, "parameters": past.params}.items():
            if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values)):
                raise Diverged(f"{stage.name}: {name} became infinite or no number (a smaller learning rate may help)")
        run.watch(stage, 0, log)
        first = past.params["network"][0]
        first["kernel"] = first["kernel"][: medium.context["width"]].copy()
        found[stage.name] = past
    return found
