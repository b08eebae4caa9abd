"""An LSTM over the frames of a video: the LSTM row of DKPH's Table 1, whose size the paper does not print."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jhash.encoders.by_rows import by_rows
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
        if key is None:
            return self._layer(x.astype(self.dtype))
        before, after = jax.random.split(key)
        x = dropout(x.astype(self.dtype), before, places, self.rate)
        return dropout(self._layer(x), after, places, self.rate)

    def _layer(self, x):
        kernel_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        # the inputs' share of the gates does not wait for the frames before: one product for all of them
        dense = nn.Dense(4 * self.width, kernel_init=kernel_init, dtype=self.dtype, dot_general=by_rows, name="input")
        gates = dense(x)
        kernel = self.param("recurrent", nn.initializers.orthogonal(), (self.width, 4 * self.width))
        kernel = kernel.astype(self.dtype)

        def frame(carry, gates):
            hidden, cell = carry
            enter, forget, candidate, leave = jnp.split(gates + hidden @ kernel, 4, axis=-1)
            cell = nn.sigmoid(forget) * cell + nn.sigmoid(enter) * jnp.tanh(candidate)
            hidden = nn.sigmoid(leave) * jnp.tanh(cell)
            return (hidden, cell), hidden

        start = jnp.zeros((len(x), self.width), self.dtype)
        _, hidden = jax.lax.scan(frame, (start, start), gates.swapaxes(0, 1))
        return hidden.swapaxes(0, 1)
