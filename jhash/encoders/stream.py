"""One stream of DSMHN: a medium's items to relaxed codes."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jhash.encoders.backbone import backbone
from jhash.encoders.dropout import dropout
from jhash.types import Array, Key


class Stream(nn.Module):
    """tanh(Dense_K(φ(x))): items [B, ...] to relaxed codes [B, K] in [-1, 1].

    φ is a backbone, '' for vectors as they are, and one dense layer with ReLU behind it, left out where hidden is 0.
    """

    bits: int
    backbone: str = ""
    hidden: int = 1024
    rate: float = 0.0  # of dropout, on the features and on the hidden layer
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None  # devices over which a backbone's batch statistics are taken

    @nn.compact
    def __call__(self, items: Array, key: Key | None = None, places: Array | None = None) -> Array:
        """`key` is the step's, `places` [B] the rows' in the whole batch; without a key nothing is dropped."""
        train = key is not None
        x = items.astype(jnp.float32) if self.backbone == "" else self._backbone()(items, train=train)
        chex.assert_rank(x, 2)
        keys = None if key is None else jax.random.split(key)
        if keys is not None:
            x = dropout(x, keys[0], places, self.rate)
        if self.hidden:
            x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(x))
            if keys is not None:
                x = dropout(x, keys[1], places, self.rate)
        return jnp.tanh(nn.Dense(self.bits, dtype=self.dtype, name="hash")(x).astype(jnp.float32))

    def _backbone(self):
        return backbone(self.backbone, dtype=self.dtype, axis_name=self.axis)
