"""ResNet-50 up to the average pooling (He et al. 2016), the stride on the 3 × 3 convolution: torchvision's v1.5."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jhash.encoders.vgg import preprocess
from jhash.types import Array

EXPANSION = 4  # a bottleneck's output channels against its inner ones
MOMENTUM, EPSILON = 0.9, 1e-5  # of the running statistics; torch calls this momentum .1


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions around a shortcut, each with batch normalisation (He et al. 2016, Fig 5)."""

    channels: int  # inside
    stride: int
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, 4 · channels]."""
        wide = EXPANSION * self.channels
        y = nn.relu(self._norm("bn1", train)(_convolution(self.channels, 1, 1, self.dtype, "conv1")(x)))
        y = nn.relu(self._norm("bn2", train)(_convolution(self.channels, 3, self.stride, self.dtype, "conv2")(y)))
        y = self._norm("bn3", train)(_convolution(wide, 1, 1, self.dtype, "conv3")(y))
        if self.stride != 1 or x.shape[-1] != wide:
            x = _convolution(wide, 1, self.stride, self.dtype, "downsample_0")(x)
            x = self._norm("downsample_1", train)(x)
        return nn.relu(x + y)

    def _norm(self, name, train):
        return _norm(name, train, self.axis_name, self.dtype)


class ResNet(nn.Module):
    """Images [B, H, W, 3] -> the mean over the last map, [B, 32 · width], 2048 as published.

    Running statistics are in the collection `batch_stats`; with `train` they are not read but updated, so apply with
    `mutable=['batch_stats']`. The running variance is the biased one, where torch's is n / (n - 1) of it.
    """

    blocks: Sequence[int] = (3, 4, 6, 3)  # bottlenecks a stage: ResNet-50's
    width: int = 64  # channels of the first convolution
    classes: int = 0  # of the classifier fc; 0: the mean is the output
    axis_name: str | None = None  # of devices whose rows are one batch
    dtype: jnp.dtype = jnp.float32  # of the products; parameters, statistics and outputs stay float32

    @nn.compact
    def __call__(self, items: Array, train: bool = False) -> Array:
        """`items` are RGB in 0..255, uint8 or float32; `train` normalises by the batch's own statistics."""
        x = _convolution(self.width, 7, 2, self.dtype, "conv1")(preprocess(items))
        x = nn.relu(_norm("bn1", train, self.axis_name, self.dtype)(x))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, blocks in enumerate(self.blocks):
            for i in range(blocks):
                stride = 2 if stage and not i else 1
                name = f"layer{stage + 1}_{i}"
                x = Bottleneck(self.width * 2**stage, stride, self.axis_name, self.dtype, name=name)(x, train)
        x = x.astype(jnp.float32).mean((1, 2))
        return nn.Dense(self.classes, name="fc")(x) if self.classes else x


def _convolution(channels, size, stride, dtype, name):
    # padded alike on both sides, also at stride 2, where flax's 'SAME' would not be
    init, padding = nn.initializers.he_normal(), size // 2
    return nn.Conv(channels, (size, size), stride, padding, use_bias=False, kernel_init=init, dtype=dtype, name=name)


def _norm(name, train, axis_name, dtype):
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=MOMENTUM,
        epsilon=EPSILON,
        axis_name=axis_name,
        dtype=dtype,
        use_fast_variance=False,  # E[x²] - E[x]² loses half the digits where the mean is large
        name=name,
    )
