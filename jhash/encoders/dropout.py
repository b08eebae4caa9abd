"""Dropout that is cheap on a CPU and the same on any number of devices."""

import chex
import jax
import jax.numpy as jnp

from jhash.types import Array, Key


def dropout(x: Array, key: Key, places: Array, rate: float) -> Array:
    """Zeroes entries with probability `rate` and divides the rest by the exact probability of being kept.

    Row i's noise depends on `key` and `places[i]` alone, so it is the same whichever device holds the row. An entry
    costs 1 random bit at rate 1/2, otherwise 8, or 16 where 8 bits would miss the rate by more than 2 % of it (.1
    becomes 26/256); a plain bernoulli costs 32, which on a CPU is most of a small network's time.

    Args:
        x: [B, ...].
        key: the draw's own key, the same on every device.
        places: [B] places of the rows in the whole batch.
        rate: in [0, 1); 0 returns x.
    """
    chex.assert_shape(places, x.shape[:1])
    if not 0 <= rate < 1:
        raise ValueError(f"dropout rate {rate}: expected 0 <= rate < 1")
    if rate == 0:
        return x
    bits, dropped = _resolution(rate)
    noise = _noise(key, places, x[0].size, bits).reshape(x.shape)
    kept = 1 - dropped / 2**bits
    return jnp.where(noise >= dropped, x * (1 / kept), 0)


def _resolution(rate):
    """(bits, d): an entry is dropped where a number of so many random bits is below d."""
    if rate == 0.5:
        return 1, 1
    for bits in (8, 16):
        dropped = round(rate * 2**bits)
        if abs(dropped / 2**bits - rate) <= 0.02 * min(rate, 1 - rate):
            return bits, dropped
    raise ValueError(f"dropout rate {rate}: finer than 16 random bits can tell")


def _noise(key, places, size, bits):
    """[B, size] uniform numbers of so many bits, cut out of 32-bit words: the generator's price is by the word."""
    each = 32 // bits

    def row(place):
        return jax.random.bits(jax.random.fold_in(key, place), (-(-size // each),), jnp.uint32)

    words = jax.vmap(row)(places)[:, :, None]
    cut = (words >> (bits * jnp.arange(each, dtype=jnp.uint32))[None, None]) & (2**bits - 1)
    return cut.reshape(len(places), -1)[:, :size]
