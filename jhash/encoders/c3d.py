"""C3D up to fc7 (Tran et al. 2015, Fig 3): 3 × 3 × 3 convolutions over clips, scaled as its Sports-1M weights."""

import chex
import flax.linen as nn
import jax.numpy as jnp

from jhash.encoders.vgg import first_kernel, fully_connected
from jhash.types import Array

MEAN = (90.0, 98.0, 102.0)  # of Sports-1M's blue, green and red: one number for each plane of its mean clip
LAYERS = (("conv1",), ("conv2",), ("conv3a", "conv3b"), ("conv4a", "conv4b"), ("conv5a", "conv5b"))


def preprocess(items: Array) -> Array:
    """RGB clips [B, T, H, W, 3] in 0..255 -> float32, blue first, less the mean: the weights were trained on BGR."""
    chex.assert_shape(items, (None, None, None, None, 3))
    return items[..., ::-1].astype(jnp.float32) - jnp.asarray(MEAN, jnp.float32).reshape(1, 1, 1, 1, 3)


class C3D(nn.Module):
    """Clips [B, T, H, W, 3] -> fc7 [B, 64 · width], 4096 as published; published weights need [B, 16, 112, 112, 3].

    Eight convolutions, five poolings; the first pooling keeps all frames. Dropout is left to the method.
    """

    width: int = 64  # channels of the first convolution
    classes: int = 0  # of the classifier fc8; 0: fc7 is the output
    dtype: jnp.dtype = jnp.float32  # of the products; parameters and outputs stay float32

    @nn.compact
    def __call__(self, items: Array, train: bool = False) -> Array:
        """`items` are RGB in 0..255, uint8 or float32; `train`, part of the common signature, changes nothing."""
        x = preprocess(items)
        for block, names in enumerate(LAYERS):
            channels, frames = self.width * min(2**block, 8), 2 if block else 1
            for name in names:
                x = nn.relu(self._convolution(channels, name)(x))
            # 'SAME' pads at the end alone: the last 7 × 7 becomes 4 × 4, as Caffe rounds up
            x = nn.max_pool(x, (frames, 2, 2), (frames, 2, 2), "SAME")
        return fully_connected(x, 64 * self.width, self.classes, self.dtype)

    def _convolution(self, channels, name):
        init = first_kernel if name == "conv1" else nn.initializers.he_normal()
        return nn.Conv(channels, (3, 3, 3), kernel_init=init, dtype=self.dtype, name=name)
