"""One pre-normalised transformer block over the frames of a video: DKPH's frame encoder (Li et al. 2022, 3.2)."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jhash.encoders.dropout import dropout
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
        keys = None if key is None else iter(jax.random.split(key, 6))

        def drop(values):
            return values if keys is None else dropout(values, next(keys), places, self.rate)

        def dense(features, name):
            return nn.Dense(features, kernel_init=dense_init, dtype=self.dtype, name=name)

        x = drop(x.astype(self.dtype) + self._positions(x.shape[1])[None])

        queries, keys_, values = jnp.split(dense(3 * self.width, "attend")(self._norm("norm1")(x)), 3, axis=-1)
        weights = drop(attention_weights(queries, keys_))
        x = x + drop(dense(self.width, "attended")(jnp.einsum("bts,bsd->btd", weights, values)))

        hidden = nn.gelu(dense(self.feedforward, "widen")(self._norm("norm2")(x)), approximate=True)
        x = x + drop(dense(self.width, "narrow")(drop(hidden)))
        return drop(x)

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


def sinusoids(frames: int, width: int) -> np.ndarray:
    """Fixed position embedding [T, D]: sin at even and cos at odd places of t / 10000^(2 (place // 2) / D)."""
    place = np.arange(width)
    angle = np.arange(frames)[:, None] / 10000.0 ** (2 * (place // 2) / width)[None]
    return np.where(place[None] % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)
