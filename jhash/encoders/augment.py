"""Pictures and clips as they might have been taken: mirrored, and moved by a few pixels."""

import chex
import jax
import jax.numpy as jnp

from jhash.types import Array

SHARE = 16  # an item is moved by at most this part of its shorter side


def flip_and_shift(items: Array, keys: Array) -> Array:
    """Each item mirrored left to right or not, and moved; its border is repeated where nothing was.

    Args:
        items: [B, H, W, C] or [B, T, H, W, C]; a clip's frames move as one.
        keys: [B], one for each item.
    """
    chex.assert_rank(items, {4, 5})
    chex.assert_equal_shape_prefix([items, keys], 1)
    height, width = items.shape[-3:-1]
    most = max(1, min(height, width) // SHARE)

    def moved(item, key):
        flip_key, shift_key = jax.random.split(key)
        down, right = jax.random.randint(shift_key, (2,), -most, most + 1)
        rows, columns = jnp.arange(height), jnp.arange(width)
        columns = jnp.where(jax.random.bernoulli(flip_key), width - 1 - columns, columns)
        item = jnp.take(item, jnp.clip(rows + down, 0, height - 1), axis=-3)
        return jnp.take(item, jnp.clip(columns + right, 0, width - 1), axis=-2)

    return jax.vmap(moved)(items, keys)
