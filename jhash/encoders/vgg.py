"""VGG-16 and VGG-19 up to fc7 (Simonyan and Zisserman 2015, configurations D and E), scaled as torchvision's."""

import chex
import flax.linen as nn
import jax.numpy as jnp

from jhash.types import Array

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue, on a scale of 0..1
SPREAD = 64.0  # of pixels in 0..255 around their mean, about
# For networks whose weights were published for such pixels: untrained ones then begin with features near 1, not near
# 100, where the tanh of a code has no slope left and nothing would ever be learned.
first_kernel = nn.initializers.variance_scaling(2.0 / SPREAD**2, "fan_in", "truncated_normal")
BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions before each pooling


def preprocess(items: Array) -> Array:
    """RGB images [B, H, W, 3] in 0..255 -> float32 of mean 0 and variance 1 over ImageNet."""
    chex.assert_shape(items, (None, None, None, 3))
    mean, std = (jnp.asarray(values, jnp.float32).reshape(1, 1, 1, 3) for values in (MEAN, STD))
    return (items.astype(jnp.float32) / 255 - mean) / std


def fully_connected(x: Array, features: int, classes: int, dtype: jnp.dtype) -> Array:
    """The layers fc6 and fc7 of the module that calls it, each with its ReLU, and fc8 where there are classes.

    Args:
        x: [B, ..., C] what the last pooling left; it is flattened as it lies, channels last.
        features: width of fc6 and fc7.
        classes: width of fc8; 0 leaves it out.
        dtype: of the products.

    Returns:
        float32 [B, features] behind fc7's ReLU, or scores [B, classes] behind fc8.
    """
    x = x.reshape(len(x), -1)
    for name in ("fc6", "fc7"):
        x = nn.relu(nn.Dense(features, kernel_init=nn.initializers.he_normal(), dtype=dtype, name=name)(x))
    if classes:
        x = nn.Dense(classes, dtype=dtype, name="fc8")(x)
    return x.astype(jnp.float32)


class VGG(nn.Module):
    """Images [B, H, W, 3] -> fc7 [B, 64 · width], 4096 as published; published weights need H = W = 224.

    Thirteen or sixteen 3 × 3 convolutions in five blocks, each followed by a pooling that halves the image. Dropout
    is left to the method.
    """

    depth: int = 16  # or 19
    width: int = 64  # channels of the first block
    classes: int = 0  # of the classifier fc8; 0: fc7 is the output
    dtype: jnp.dtype = jnp.float32  # of the products; parameters and outputs stay float32

    @nn.compact
    def __call__(self, items: Array, train: bool = False) -> Array:
        """`items` are RGB in 0..255, uint8 or float32; `train`, part of the common signature, changes nothing."""
        x = preprocess(items)
        for block, convolutions in enumerate(BLOCKS[self.depth]):
            channels = self.width * min(2**block, 8)
            for i in range(convolutions):
                x = nn.relu(self._convolution(channels, f"conv{block + 1}_{i + 1}")(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        return fully_connected(x, 64 * self.width, self.classes, self.dtype)

    def _convolution(self, channels, name):
        return nn.Conv(channels, (3, 3), kernel_init=nn.initializers.he_normal(), dtype=self.dtype, name=name)
