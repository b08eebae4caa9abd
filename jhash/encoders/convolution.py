"""A 1-d convolution over the frames of a video: the CNN row of DKPH's Table 1, whose size the paper does not print."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jhash.encoders.by_rows import by_rows
from jhash.encoders.dropout import dropout
from jhash.types import Array, Key


class Convolution(nn.Module):
    """One layer, kernel 3, padded, ReLU: projected frames [B, T, width] -> embeddings [B, T, width].

    It takes no position embedding: order reaches it through the kernel. Dropout on input and output; without a key
    there is none. The sizes are jhash's choice, after the frame-wise networks of Yue-Hei Ng et al. 2015.
    """

    width: int = 256
    rate: float = 0.1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, key: Key | None = None, places: Array | None = None) -> Array:
        """`key` is the draw's, `places` [B] name the rows in the whole batch."""
        chex.assert_shape(x, (None, None, self.width))
        x = x.astype(self.dtype)
        if key is None:
            return self._layer(x)
        before, after = jax.random.split(key)
        return dropout(self._layer(dropout(x, before, places, self.rate)), after, places, self.rate)

    def _layer(self, x):
        kernel_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        # one product of three neighbouring frames side by side: on a CPU much quicker than a convolution's own code
        padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
        neighbours = jnp.concatenate([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], axis=-1)
        dense = nn.Dense(self.width, kernel_init=kernel_init, dtype=self.dtype, dot_general=by_rows, name="convolve")
        return nn.relu(dense(neighbours))
