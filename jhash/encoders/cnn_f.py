"""CNN-F up to fc7 (Chatfield et al. 2014, Table 1), in the layout of its published MatConvNet weights."""

import chex
import flax.linen as nn
import jax.numpy as jnp

from jhash.encoders.vgg import first_kernel, fully_connected
from jhash.types import Array

MEAN = (123.68, 116.779, 103.939)  # of ImageNet's red, green and blue, where no file brings a mean image
WINDOW, SHIFT, SLOPE, POWER = 5, 2.0, 1e-4, 0.75  # of the normalisation; the slope is not divided by the window


def preprocess(items: Array, mean: Array) -> Array:
    """RGB images [B, H, W, 3] in 0..255 less the training set's mean image [H, W, 3] -> float32."""
    chex.assert_shape(items, (None, *mean.shape))
    return items.astype(jnp.float32) - mean[None]


def local_response_normalisation(x: Array) -> Array:
    """x / (2 + 1e-4 Σ x²)^.75, the sum over five neighbouring channels (Krizhevsky et al. 2012, 3.3): same shape.

    x is [B, H, W, C]; channels beyond the first and the last count as 0.
    """
    chex.assert_rank(x, 4)
    side = WINDOW // 2
    squares = jnp.pad(x.astype(jnp.float32) ** 2, ((0, 0), (0, 0), (0, 0), (side, side)))
    near = sum(squares[..., i : i + x.shape[-1]] for i in range(WINDOW))
    return (x * (SHIFT + SLOPE * near) ** -POWER).astype(x.dtype)


class CNNF(nn.Module):
    """Images [B, H, W, 3] -> fc7 [B, 64 · width], 4096 as published; published weights need H = W = 224.

    The mean image is the variable `mean` [H, W, 3] in `batch_stats`: a statistic of the training set that no gradient
    changes. Dropout is left to the method.
    """

    width: int = 64  # channels of the first convolution
    classes: int = 0  # of the classifier fc8; 0: fc7 is the output
    dtype: jnp.dtype = jnp.float32  # of the products; parameters and outputs stay float32

    @nn.compact
    def __call__(self, items: Array, train: bool = False) -> Array:
        """`items` are RGB in 0..255, uint8 or float32; `train`, part of the common signature, changes nothing."""
        mean = self.variable("batch_stats", "mean", lambda: jnp.broadcast_to(jnp.asarray(MEAN), items.shape[1:]))
        x = preprocess(items, mean.value)
        x = nn.relu(self._convolution(self.width, 11, 4, "VALID", "conv1")(x))
        x = _pool(local_response_normalisation(x))
        x = nn.relu(self._convolution(4 * self.width, 5, 1, "SAME", "conv2")(x))
        x = _pool(local_response_normalisation(x))
        for name in ("conv3", "conv4", "conv5"):
            x = nn.relu(self._convolution(4 * self.width, 3, 1, "SAME", name)(x))
        return fully_connected(_pool(x), 64 * self.width, self.classes, self.dtype)

    def _convolution(self, channels, size, stride, padding, name):
        init = first_kernel if name == "conv1" else nn.initializers.he_normal()
        return nn.Conv(channels, (size, size), stride, padding, kernel_init=init, dtype=self.dtype, name=name)


def _pool(x):
    # one row and one column more at the end alone, as MatConvNet's file says
    return nn.max_pool(x, (3, 3), (2, 2), ((0, 1), (0, 1)))
