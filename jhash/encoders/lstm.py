"""An LSTM over the frames of a video: the LSTM row of DKPH's Table 1, whose size the paper does not print."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jhash.encoders.dropout import dropout
from jhash.types import Array, Key


class LSTM(nn.Module):
    """One layer: projected frames [B, T, width] -> hidden states [B, T, width].

    It takes no position embedding: order is in the recurrence. Dropout on input and output; without a key there is
    none. The sizes are jhash's choice, after Srivastava et al. 2015.
    """

    width: int = 256
    rate: float = 0.1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, key: Key | None = None, places: Array | None = None) -> Array:
        """`key` is the draw's, `places` [B] name the rows in the whole batch."""
        chex.assert_shape(x, (None, None, self.width))
        x = x.astype(self.dtype)
        layer = nn.RNN(nn.OptimizedLSTMCell(self.width, dtype=self.dtype), name="lstm")
        if key is None:
            return layer(x)
        before, after = jax.random.split(key)
        return dropout(layer(dropout(x, before, places, self.rate)), after, places, self.rate)
