"""One pre-normalised transformer block over the frames of a video: DKPH's frame encoder (Li et al. 2022, 3.2)."""

import math
from collections.abc import Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jhash.encoders.by_rows import by_rows
from jhash.encoders.dropout import row_keys
from jhash.types import Array, Key

# U(±1/sqrt(fan_in)), the usual start of the programs this family of methods was published with
dense_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class LayerNorm(nn.Module):
    """Normalises the last axis, with scale and shift: [..., D] -> [..., D].

    unbiased=False divides by sqrt(variance + eps); True, as in DKPH's released program, by the unbiased standard
    deviation plus eps. Statistics are float32 whatever the dtype.
    """

    unbiased: bool = False
    eps: float = 1e-6

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        centred = x.astype(jnp.float32)
        centred -= centred.mean(-1, keepdims=True)
        squares = (centred**2).sum(-1, keepdims=True)
        if self.unbiased:
            # the floor keeps the gradient of the root finite where all entries are equal
            inverse = 1 / (jnp.sqrt(jnp.maximum(squares / (width - 1), 1e-24)) + self.eps)
        else:
            inverse = jax.lax.rsqrt(squares / width + self.eps)
        rows = (1,) * (x.ndim - 1) + (width,)
        return (centred * inverse * scale.reshape(rows) + bias.reshape(rows)).astype(x.dtype)


class Transformer(nn.Module):
    """Position embedding and one block: projected frames [B, T, width] -> embeddings t [B, T, width].

    One attention head, no normalisation after the block. `position` is 'trained' (the paper) or 'fixed' (sinusoids,
    the released program). Dropout falls on the embedding, the attention weights, the feed-forward layer, both
    residual branches and the output; without a key there is none.
    """

    width: int = 256
    feedforward: int = 1024
    rate: float = 0.1
    position: str = "trained"
    unbiased: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, key: Key | None = None, places: Array | None = None) -> Array:
        """`key` is the draw's, `places` [B] name the rows in the whole batch."""
        chex.assert_shape(x, (None, None, self.width))
        noise = None if key is None else self._noise(key, places, x.shape[1])

        def drop(values):
            return values if noise is None else dropped(values, next(noise), self.rate)

        def dense(features, name):
            return nn.Dense(features, kernel_init=dense_init, dtype=self.dtype, dot_general=by_rows, name=name)

        x = drop(x.astype(self.dtype) + self._positions(x.shape[1])[None])

        queries, keys, values = jnp.split(dense(3 * self.width, "attend")(self._norm("norm1")(x)), 3, axis=-1)
        weights = drop(attention_weights(queries, keys))
        x = x + drop(dense(self.width, "attended")(jnp.einsum("bts,bsd->btd", weights, values)))

        hidden = nn.gelu(dense(self.feedforward, "widen")(self._norm("norm2")(x)), approximate=True)
        x = x + drop(dense(self.width, "narrow")(drop(hidden)))
        return drop(x)

    def _noise(self, key, places, frames):
        """The noise of the six dropouts in their order."""
        widths = (self.width, frames, self.width, self.feedforward, self.width, self.width)
        return iter(draw_noise(key, places, [(frames, width) for width in widths]))

    def _norm(self, name):
        return LayerNorm(self.unbiased, name=name)

    def _positions(self, frames):
        if self.position == "trained":
            start = nn.initializers.normal(0.02)
            return self.param("position", start, (frames, self.width)).astype(self.dtype)
        if self.position == "fixed":
            return jnp.asarray(sinusoids(frames, self.width), self.dtype)
        raise ValueError(f"position {self.position!r}: expected 'trained' or 'fixed'")


def attention_weights(queries: Array, keys: Array) -> Array:
    """softmax(Q Kᵀ / sqrt(d)), Li et al. 2022, Eq 2 without its V: [B, T, d], [B, S, d] -> [B, T, S]."""
    chex.assert_rank([queries, keys], 3)
    scores = jnp.einsum("btd,bsd->bts", queries, keys, preferred_element_type=jnp.float32)
    return jax.nn.softmax(scores / np.sqrt(queries.shape[-1]), axis=-1).astype(queries.dtype)


def draw_noise(key: Key, places: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Random bytes for each row, a function of `key` and its place alone: places [B] -> [B, *shape] uint8 each.

    One draw for all of them: every call of the generator is time spent compiling.
    """
    sizes = [math.prod(shape) for shape in shapes]
    words = jax.vmap(lambda key: jax.random.bits(key, (-(-sum(sizes) // 4),), jnp.uint32))(row_keys(key, places))
    flat = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(len(places), -1)[:, : sum(sizes)]
    parts = jnp.split(flat, np.cumsum(sizes)[:-1], axis=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def dropped(x: Array, noise: Array, rate: float) -> Array:
    """Dropout by random bytes: the rate in steps of 1/256 (.1 becomes 26/256), what is kept over its exact share."""
    chex.assert_equal_shape([x, noise])
    below = round(rate * 256)
    return jnp.where(noise >= below, x * (256 / (256 - below)), 0)


def sinusoids(frames: int, width: int) -> np.ndarray:
    """Fixed position embedding [T, D]: sin at even and cos at odd places of t / 10000^(2 (place // 2) / D)."""
    place = np.arange(width)
    angle = np.arange(frames)[:, None] / 10000.0 ** (2 * (place // 2) / width)[None]
    return np.where(place[None] % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)
