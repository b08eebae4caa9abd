"""Data parallelism in one file: pmap, the axis name, gather, replicate, shard. Nobody else knows it is pmap."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from jhash.types import Across, Array, InputError, Tree

AXIS = "devices"


def _gather(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, AXIS, axis=0, tiled=True), tree)


def _mean(tree: Tree) -> Tree:
    return jax.lax.pmean(tree, AXIS)


def _places(rows: int) -> Array:
    return jax.lax.axis_index(AXIS) * rows + jnp.arange(rows)


def _same(tree: Tree) -> Tree:
    return tree


ALONE = Across(gather=_same, mean=_same, places=jnp.arange, axis=None)
TOGETHER = Across(gather=_gather, mean=_mean, places=_places, axis=AXIS)


def across(devices: int) -> Across:
    """The view that one of `devices` devices has of the whole batch."""
    return ALONE if devices == 1 else TOGETHER


def count(asked: int, batch: int) -> int:
    """Devices to use: those asked for, or with 0 as many of the local ones as divide the batch."""
    local = available(asked)
    if asked and batch % asked:
        raise InputError(f"config.run.devices: expected a number that divides the batch of {batch}, found {asked}")
    return asked or max(n for n in range(1, local + 1) if batch % n == 0)


def available(asked: int) -> int:
    """Devices to use where no batch is split: those asked for, or with 0 all local ones."""
    local = jax.local_device_count()
    if asked > local:
        raise InputError(f"config.run.devices: expected at most the {local} devices here, found {asked}")
    return asked or local


def memory_gb() -> float:
    """How much of a table may live on the device: half of a GPU's memory, little on a CPU, which holds it already."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats["bytes_limit"] / 2e9 if "bytes_limit" in stats else 1.0


def local_rows(tree: Tree, devices: int) -> Tree:
    """Inside a compiled step: the rows [b, ...] of the whole batch [B, ...] that belong to this device."""
    if devices == 1:
        return tree

    def cut(leaf: Array) -> Array:
        share = leaf.shape[0] // devices
        return jax.lax.dynamic_slice_in_dim(leaf, jax.lax.axis_index(AXIS) * share, share)

    return jax.tree.map(cut, tree)


def compile_step(function: Callable, devices: int, *, sharded: bool) -> Callable:
    """Compiles function(state, shared, batch) -> (state, logs); the state is donated.

    On several devices the state is replicated, `shared` is the same everywhere, and `batch` is split by rows
    ([devices, b, ...]) where `sharded`, else the same everywhere too.
    """
    if devices == 1:
        return jax.jit(function, donate_argnums=0)
    return jax.pmap(
        function,
        AXIS,
        in_axes=(0, None, 0 if sharded else None),
        devices=jax.local_devices()[:devices],
        donate_argnums=0,
    )


def spread(function: Callable, shared: Tree, items: Tree, devices: int) -> Tree:
    """function(shared, item) of n items [n, ...], one on each device at a time -> [n, ...].

    In the last round a device without an item repeats the last one.
    """
    number = len(jax.tree.leaves(items)[0])
    devices = min(devices, number)
    call = jax.pmap(function, AXIS, in_axes=(None, 0), devices=jax.local_devices()[:devices])
    rounds = []
    for begin in range(0, number, devices):
        chosen = np.minimum(np.arange(begin, begin + devices), number - 1)
        rounds.append(call(shared, jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], items)))
    return jax.tree.map(lambda *parts: np.concatenate([np.asarray(part) for part in parts])[:number], *rounds)


def replicate(tree: Tree, devices: int) -> Tree:
    """The same tree on each device; on one device, the tree as device arrays of its own (so it may be donated).

    It lies as a compiled step leaves it, or the step would be compiled a second time for its own result.
    """
    if devices == 1:
        return jax.tree.map(lambda leaf: jnp.array(leaf), tree)
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()[:devices]), AXIS)
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
    return jax.tree.map(lambda leaf: jax.device_put(np.repeat(np.asarray(leaf)[None], devices, axis=0), place), tree)


def first(tree: Tree, devices: int) -> Tree:
    """One replica, as NumPy arrays that no donation can touch."""
    return jax.tree.map(lambda leaf: np.array(leaf if devices == 1 else leaf[0]), tree)


def shard(tree: Tree, devices: int) -> Tree:
    """[B, ...] -> [devices, b, ...] for the streamed step; a plain transfer on one device."""
    if devices == 1:
        return jax.device_put(tree)
    return jax.tree.map(lambda leaf: np.reshape(leaf, (devices, -1, *np.shape(leaf)[1:])), tree)


def rounded_up(number: int) -> int:
    """The next number that the local devices divide."""
    return -(-number // jax.local_device_count()) * jax.local_device_count()


def last_axis(array: np.ndarray) -> Array | np.ndarray:
    """[..., Q] with an equal share of Q on each local device; what is computed of it item by item is then split too.

    With one device, or where they don't divide Q, it stays as it is.
    """
    devices = jax.local_devices()
    if len(devices) == 1 or array.shape[-1] % len(devices):
        return array
    place = jax.sharding.PartitionSpec(*[None] * (array.ndim - 1), AXIS)
    return jax.device_put(array, jax.sharding.NamedSharding(jax.sharding.Mesh(np.array(devices), AXIS), place))


def everywhere(tree: Tree) -> Tree:
    """The same arrays on every local device, for calls with `last_axis`."""
    devices = jax.local_devices()
    if len(devices) == 1:
        return jax.device_put(tree)
    mesh = jax.sharding.Mesh(np.array(devices), AXIS)
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def over_processes(number: int, work: Callable[[np.ndarray], dict]) -> dict:
    """work(rows) -> {name: array [r, ...]} of this process's share of 0..number - 1; of all rows, on every process.

    Shares are equal, so the last process may do its last row more than once.
    """
    processes = jax.process_count()
    if processes == 1:
        return work(np.arange(number))
    share = -(-number // processes)
    rows = np.minimum(np.arange(share) + jax.process_index() * share, number - 1)

    def gathered(array: np.ndarray) -> np.ndarray:
        # as bytes: on the way JAX would make 32 bits of 64
        sent = np.ascontiguousarray(array).reshape(share, -1).view(np.uint8)
        held = np.ascontiguousarray(multihost_utils.process_allgather(sent, tiled=True)[:number])
        return held.view(array.dtype).reshape(number, *array.shape[1:])

    return {name: gathered(array) for name, array in work(rows).items()}
