"""Dropout that is cheap on a CPU and the same on any number of devices."""

import chex
import jax
import jax.numpy as jnp

from jhash.types import Array, Key


def row_keys(key: Key, places: Array) -> Array:
    """A key for each row: [B] places in the whole batch -> [B] keys, the same whichever device holds a row."""
    return jax.vmap(lambda place: jax.random.fold_in(key, place))(places)


def dropout(x: Array, key: Key, places: Array, rate: float) -> Array:
    """Zeroes entries with probability `rate`, row i's noise being a function of `key` and `places[i]` alone.

    Args:
        x: [B, ...].
        key: the draw's own key, the same on every device.
        places: [B] places of the rows in the whole batch.
        rate: in [0, 1); 0 returns x.
    """
    return dropout_rows(x, row_keys(key, places), rate)


def dropout_rows(x: Array, keys: Array, rate: float, *, axis: int = 0) -> Array:
    """Zeroes entries with probability `rate` and divides the rest by the exact probability of being kept.

    An entry costs 1 random bit at rate 1/2, otherwise 8, or 16 or 24 where fewer would miss the rate by more than 2 %
    of it (.1 becomes 26/256; below 2⁻²⁵ nothing is dropped); a plain bernoulli costs 32, which on a CPU is most of a
    small network's time.

    Args:
        x: [..., B, ...] with the rows on `axis`, which isn't the last unless it is the only one.
        keys: [B] a key for each row.
        rate: in [0, 1); 0 returns x.
        axis: of the rows.
    """
    chex.assert_shape(keys, x.shape[axis : axis + 1])
    if not 0 <= rate < 1:
        raise ValueError(f"dropout rate {rate}: expected 0 <= rate < 1")
    if rate == 0:
        return x
    bits, dropped = _resolution(rate)
    kept = 1 - dropped / 2**bits
    return jnp.where(_noise(x, keys, bits, axis) >= dropped, x * (1 / kept), 0)


def _resolution(rate):
    """(bits, d): an entry is dropped where a number of so many random bits is below d."""
    if rate == 0.5:
        return 1, 1
    for bits in (8, 16, 24):
        dropped = min(round(rate * 2**bits), 2**bits - 1)
        if abs(dropped / 2**bits - rate) <= 0.02 * min(rate, 1 - rate):
            break
    return bits, dropped


def _noise(x, keys, bits, axis):
    """Numbers of so many random bits, in the shape of x, cut out of 32-bit words: the generator is paid by the word."""
    if x.ndim == 1:
        return _noise(x[:, None], keys, bits, 0)[:, 0]
    each = 32 // bits
    *others, last = (n for i, n in enumerate(x.shape) if i != axis)
    words = jax.vmap(lambda key: jax.random.bits(key, (*others, -(-last // each)), jnp.uint32))(keys)
    words = jnp.moveaxis(words, 0, axis)[..., None]
    shifts = (bits * jnp.arange(each, dtype=jnp.uint32)).reshape((1,) * x.ndim + (each,))
    return ((words >> shifts) & (2**bits - 1)).reshape(*x.shape[:-1], -1)[..., :last]
