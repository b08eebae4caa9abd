"""A small convolutional network for pictures and clips, to be trained from scratch on small data without a GPU.

Items are cut into a coarse grid of patches first, and convolutions see that grid alone: 37 MFLOP for a photograph of
80 × 60, 48 of 80 × 80, 40 for a clip of 8 × 32 × 32. Larger items add what their patches cost: 56 for 224 × 224.
"""

import itertools

import chex
import flax.linen as nn
import jax.numpy as jnp

from jhash.encoders.by_rows import by_rows
from jhash.types import Array

GRID = {2: 20, 3: 8}  # the longest side of a picture becomes at most 20 patches, each axis of a clip at most 8
WIDTHS = {2: (32, 64, 128, 256), 3: (32, 32, 64, 128)}
KERNEL = nn.initializers.lecun_normal()


class CnnSmall(nn.Module):
    """Patches, three convolutions with 3-wide kernels, each followed by a halving, one dense layer.

    Pictures [B, H, W, C] or clips [B, T, H, W, C], uint8 of 0..255 or float32 as they are, to [B, features]. Layers
    are normalised item by item, so that there are no statistics to keep and batches may be split over devices.
    """

    features: int = 512
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, items: Array, train: bool = False) -> Array:
        chex.assert_rank(items, {4, 5})
        axes = items.ndim - 2
        first, *widths = WIDTHS[axes]
        embed = nn.Dense(first, dtype=self.dtype, dot_general=by_rows, name="patches")
        x = embed(patches(preprocess(items), patch_sizes(items.shape)))
        for number, width in enumerate(widths):
            kernel = self.param(f"conv{number}", KERNEL, (*(3,) * axes, x.shape[-1], width))
            x = convolve(x, kernel.astype(self.dtype))
            x = nn.relu(nn.LayerNorm(name=f"norm{number}")(x))
            x = halved(x)
        x = nn.Dense(self.features, dtype=self.dtype, name="dense")(x.reshape(len(x), -1))
        return nn.relu(nn.LayerNorm(name="norm")(x)).astype(jnp.float32)


def preprocess(items: Array) -> Array:
    """uint8 0..255 to float32 -1..1; float32 stays as it is."""
    return items.astype(jnp.float32) / 127.5 - 1.0 if items.dtype == jnp.uint8 else items.astype(jnp.float32)


def patch_sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sides of a patch for items of shape [B, H, W, C] (squares) or [B, T, H, W, C]."""
    *time, height, width = shape[1:-1]
    grid = GRID[len(shape) - 2]
    side = -(-max(height, width) // grid)
    return (*(-(-frames // grid) for frames in time), side, side)


def patches(x: Array, sizes: tuple[int, ...]) -> Array:
    """[B, H, W, C] or [B, T, H, W, C] to a grid of flattened patches [B, ..., sizes' product * C].

    Where a side is no multiple of the patch's, zeros are added at its end.
    """
    chex.assert_rank(x, len(sizes) + 2)
    sides = x.shape[1:-1]
    missing = [(0, -side % size) for side, size in zip(sides, sizes, strict=True)]
    x = jnp.pad(x, [(0, 0), *missing, (0, 0)])
    grid = [side // size for side, size in zip(x.shape[1:-1], sizes, strict=True)]
    split = [length for pair in zip(grid, sizes, strict=True) for length in pair]
    x = x.reshape(len(x), *split, x.shape[-1])
    axes = len(sizes)
    order = (0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1)
    return x.transpose(order).reshape(len(x), *grid, -1)


def convolve(x: Array, kernel: Array) -> Array:
    """Convolution with zeros around, [B, ..., C] by an odd kernel [..., C, D] -> [B, ..., D].

    It is one product of all neighbourhoods with the kernel: XLA's own convolutions are about twenty times slower
    inside a loop on a CPU, where a resident table's steps are, than outside of one.
    """
    *sides, inputs, _ = kernel.shape
    chex.assert_shape(x, (None,) * (len(sides) + 1) + (inputs,))
    inner = x.shape[1:-1]
    padded = jnp.pad(x, [(0, 0), *((side // 2, side // 2) for side in sides), (0, 0)])
    cuts = [
        padded[(slice(None), *(slice(at, at + length) for at, length in zip(place, inner, strict=True)))]
        for place in itertools.product(*map(range, sides))
    ]
    neighbourhoods = jnp.concatenate(cuts, axis=-1).reshape(-1, inputs * len(cuts))
    return (neighbourhoods @ kernel.reshape(-1, kernel.shape[-1])).reshape(len(x), *inner, -1)


def halved(x: Array) -> Array:
    """Means over blocks of two along each inner axis; an axis of one stays, an odd one is padded within its block."""
    window = tuple(min(2, side) for side in x.shape[1:-1])
    return nn.avg_pool(x, window, strides=window, padding="SAME", count_include_pad=False)
