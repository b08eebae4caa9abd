"""The steps of one stage: what a step computes, and how steps are strung together, resident or streamed.

Batches, roles and random keys are functions of seed, stage and step alone: there is no iterator state, and it does
not matter into how many compiled calls the steps of a stage are cut.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jhash import parallel
from jhash.types import Across, Array, Key, Method, Stage, TrainState, Tree

CALL_SECONDS = 2.0  # a compiled call runs about so long, so that progress, Ctrl-C and checkpoints are never far away


def keys_of_stage(seed: int, index: int) -> Key:
    """[4] keys: for prepare, init, the orders of the passes, the steps."""
    return jax.random.split(jax.random.fold_in(jax.random.key(seed), index), 4)


def order_of_pass(key: Key, size: int | Array, capacity: int | None = None) -> Array:
    """[size] the rows in random order; a row's draw depends on its number alone, never on how many others there are.

    With a capacity, [capacity]: the rows of padding, those from `size` on, come last.
    """
    rows = jnp.arange(size if capacity is None else capacity)
    draws = jax.vmap(lambda row: jax.random.bits(jax.random.fold_in(key, row), (), "uint32"))(rows)
    if capacity is not None:
        draws = jnp.where(rows < size, draws, jnp.uint32(2**32 - 1))
    return jnp.argsort(draws).astype(jnp.int32)  # stable: a row that drew the largest still precedes the padding


def update(
    method: Method,
    stage: Stage,
    context: Tree,
    state: TrainState,
    batch,
    rows,
    key: Key,
    across: Across,
    phase: int = 0,
):
    """One step: (state, logs). Losses and gradients are averaged over the devices here, and nowhere else."""
    if hasattr(method, "update"):
        state, logs = method.update(stage, context, state, batch, rows, key, across, phase)
        return state.replace(step=state.step + 1), logs

    def objective(params):
        return method.loss(stage, context, params, state.collections, batch, rows, state.step, key, across)

    (loss, (collections, logs)), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    gradients, logs = across.mean((gradients, {"loss": loss, **logs}))
    changes, opt = method.optimizer(stage).update(gradients, state.opt, state.params)
    params = optax.apply_updates(state.params, changes)
    return TrainState(state.step + 1, params, collections, opt), logs


def rows_of_step(method: Method, stage: Stage, context: Tree, keys: Key, order: Array, step: Array):
    """(role -> [B], key of the loss) of one step."""
    draw, noise = jax.random.split(jax.random.fold_in(keys[3], step))
    return method.rows(stage, context, order, step, draw), noise


def order_of_step(stage: Stage, keys: Key, step: Array, capacity: int | None = None) -> Array:
    """[size], or [capacity], the order of the pass that the step belongs to."""
    return order_of_pass(jax.random.fold_in(keys[2], step // stage.pass_steps), stage.size, capacity)


def resident_step(
    method: Method, stage: Stage, context: Tree, keys: Key, columns, order: Array, state, devices: int, phase: int = 0
):
    """One step on columns [N, ...] that live on the device: (state, logs)."""
    rows, noise = rows_of_step(method, stage, context, keys, order, state.step)
    rows = parallel.local_rows(rows, devices)
    batch = {
        role: {name: column[chosen] for name, column in columns.items()}
        for role, chosen in rows.items()
        if _is_rows(chosen)
    }
    return update(method, stage, context, state, batch, rows, noise, parallel.across(devices), phase)


@functools.cache
def resident_call(method: Method, stage: Stage, devices: int) -> Callable:
    """Compiled (state, (context, keys, steps), columns) -> (state, logs [pass_steps]): a span of steps of one pass.

    Each phase is a loop of its own rather than a branch within one: a branch copies all that it doesn't change.
    """

    def run(state, shared, columns):
        context, keys, steps = shared
        order, begin = order_of_step(stage, keys, state.step), state.step % stage.pass_steps

        def one(phase, state):
            return resident_step(method, stage, context, keys, columns, order, state, devices, phase)

        def body(phase, i, carry):
            state, logs = carry
            state, log = one(phase, state)
            return state, jax.tree.map(lambda all, now: all.at[i].set(now), logs, log)

        shapes = jax.eval_shape(functools.partial(one, 0), state)[1]
        carry = state, jax.tree.map(lambda log: jnp.zeros((stage.pass_steps, *log.shape), log.dtype), shapes)
        for phase, bounds in enumerate(stage.bounds):
            first, last = (jnp.clip(bound - begin, 0, steps) for bound in bounds)
            carry = jax.lax.fori_loop(first, last, functools.partial(body, phase), carry)
        return carry

    return parallel.compile_step(run, devices, sharded=False)


@functools.cache
def streamed_call(method: Method, stage: Stage, devices: int, phase: int = 0) -> Callable:
    """Compiled (state, (context, keys), (batch, rows)) -> (state, logs []): one step on a batch that was read."""
    across = parallel.across(devices)

    def run(state, shared, given):
        context, keys = shared
        batch, rows = given
        _, noise = jax.random.split(jax.random.fold_in(keys[3], state.step))
        return update(method, stage, context, state, batch, rows, noise, across, phase)

    return parallel.compile_step(run, devices, sharded=True)


@functools.cache
def _rows_call(method: Method, stage: Stage) -> Callable:
    """Compiled (context, keys, step, order) -> role -> [B], for the host that reads the batches."""
    return jax.jit(lambda context, keys, step, order: rows_of_step(method, stage, context, keys, order, step)[0])


def _is_rows(chosen) -> bool:
    return jnp.issubdtype(chosen.dtype, jnp.integer)


def resident_spans(method, stage, table, context, keys, state, devices, cut) -> Iterator[tuple[TrainState, Mapping]]:
    """Trains on a table that lives on the device; yields (device state, logs [n]) after a call of n steps."""
    call = resident_call(method, stage, devices)
    columns = {name: jnp.asarray(column) for name, column in table.read(np.arange(len(table)), method.columns).items()}
    step, span = int(state.step), 1
    state, context = parallel.replicate(state, devices), jax.device_put(context)
    while step < stage.steps:
        span = min(span, stage.steps - step, stage.pass_steps - step % stage.pass_steps, cut - step % cut)
        began = time.perf_counter()
        state, logs = call(state, (context, keys, jnp.int32(span)), columns)
        logs = {name: log[:span] for name, log in parallel.first(logs, devices).items()}
        step += span
        yield state, logs
        span = max(1, min(2 * span, round(span * CALL_SECONDS / (time.perf_counter() - began))))


def streamed_spans(method, stage, table, context, keys, state, devices, cut) -> Iterator[tuple[TrainState, Mapping]]:
    """Trains on a table that is read as it goes, the next batch while this one is computed; yields after each step."""
    del cut  # every step is a call of its own
    rows_call = _rows_call(method, stage)
    order_call = jax.jit(lambda step: order_of_step(stage, keys, step))
    context, orders = jax.device_put(context), {}

    def read(step: int):
        current = step // stage.pass_steps
        if current not in orders:
            orders.clear()
            orders[current] = order_call(jnp.int32(step))
        rows = {role: np.asarray(r) for role, r in rows_call(context, keys, jnp.int32(step), orders[current]).items()}
        batch = {role: table.read(chosen, method.columns) for role, chosen in rows.items() if _is_rows(chosen)}
        return parallel.shard((batch, rows), devices)

    first, state = int(state.step), parallel.replicate(state, devices)
    with ThreadPoolExecutor(1, "jhash-reader") as reader:
        ahead = reader.submit(read, first)
        for step in range(first, stage.steps):
            given = ahead.result()
            if step + 1 < stage.steps:
                ahead = reader.submit(read, step + 1)
            state, logs = streamed_call(method, stage, devices, stage.phase(step))(state, (context, keys), given)
            yield state, {name: log[None] for name, log in parallel.first(logs, devices).items()}
