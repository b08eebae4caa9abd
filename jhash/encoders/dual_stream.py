"""DKPH's networks: a frame encoder, a binary stream and a temporal one, a linear decoder (Li et al. 2022, 3.2).

Frames are large and everything behind them is small. In training they are therefore read once: `frames_times` takes
their products with the encoder's and the decoder's kernels together, and Eq 7 follows from those products alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jhash import codes
from jhash.encoders.by_rows import by_rows
from jhash.encoders.transformer import dense_init
from jhash.types import Array

# kernels that meet the raw frames lie as [out, C]: their gradients are then plain products, without a transposition
rows_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=-1, out_axis=-2)


class DualStream(nn.Module):
    """The teacher or the student: a frame encoder, one or two heads, a linear decoder.

    The teacher binarises each frame by itself. The student has a hash layer (Eq 3) over all frames and a temporal
    layer (Eq 5) for each frame.
    """

    encoder: nn.Module  # of projected frames [B, T, width], with its `width`
    bits: int  # K: of the student's code, or of each of the teacher's frame codes
    channels: int  # C
    teacher: bool
    dual_stream: bool  # whether the student has the temporal layer
    sign: str  # 'tanh' or 'window': whose gradient the binarisation has
    dtype: str  # of the products; parameters stay float32
    frames: int = 0  # T where the decoder rebuilds all frames of a clip at once from b; 0: each frame by itself

    def setup(self):
        width = self.encoder.width
        self.projection = self.param("projection", rows_init, (width, self.channels))
        self.projection_bias = self.param("projection_bias", nn.initializers.zeros, (width,))
        if self.teacher:
            self.frame_hash = self._dense()
        else:
            self.hash = self._dense()
            if self.dual_stream:
                self.temporal = self._dense()
        wide = max(self.frames, 1) * self.channels
        self.decoder = self.param("decoder", dense_init, (self.bits, wide))
        self.decoder_bias = self.param("decoder_bias", nn.initializers.zeros, (wide,))

    def _dense(self):
        return nn.Dense(self.bits, kernel_init=dense_init, dtype=self.dtype, dot_general=by_rows)

    def __call__(self, frames):
        """Plain evaluation: [B, T, C] -> reconstruction [B, T, C]."""
        t = self.embed(frames)
        if self.frames:
            return self.decode_clip(self.code(t))
        return self.decode(self.latent(t, None if self.teacher else self.code(t)))

    def embed(self, frames):
        """Visual embeddings t in evaluation mode, on unmasked frames: [B, T, C] -> [B, T, width]."""
        return self.encode(*frames_times(frames, [self.projection], self.dtype))

    def encode(self, projected, key=None, places=None):
        """[B, T, width] products of the frames with the projection -> embeddings t [B, T, width]."""
        return self.encoder(projected + self.projection_bias[None, None], key, places)

    def logits(self, t):
        """Eq 3: [B, T, width] -> [B, K] before the sign."""
        return self.hash(t.reshape(len(t), -1)).astype(jnp.float32)

    def code(self, t):
        """Eq 4: [B, T, width] -> b [B, K]."""
        return self._sign(self.logits(t))

    def temporal_features(self, t):
        """Eq 5: [B, T, width] -> l [B, T, K]."""
        return self.temporal(t).astype(jnp.float32)

    def latent(self, t, b):
        """What the decoder sees: l_m + b (Eq 6); b at each frame without the dual stream; the teacher's frame codes."""
        if self.teacher:
            return self._sign(self.frame_hash(t).astype(jnp.float32))
        repeated = jnp.broadcast_to(b[:, None], (*t.shape[:2], b.shape[-1]))
        return self.temporal_features(t) + repeated if self.dual_stream else repeated

    def decode(self, latent):
        """Eq 6: [B, T, K] -> [B, T, C]."""
        return latent @ self.decoder + self.decoder_bias[None, None]

    def decode_clip(self, b):
        """b [B, K] -> all frames at once, [B, T, C], each place of the clip by weights of its own."""
        return (b @ self.decoder + self.decoder_bias[None]).reshape(len(b), self.frames, self.channels)

    def _sign(self, x):
        return codes.sign_tanh(x) if self.sign == "tanh" else codes.sign_window(x)


def frames_times(frames: Array, kernels: Sequence[Array], dtype: str) -> list[Array]:
    """[B, T, C] times each of several kernels [n, C], transposed, in one product -> [B, T, n] in float32 each."""
    kernel = jnp.concatenate(kernels).astype(dtype)
    flat = frames.reshape(-1, frames.shape[-1]).astype(dtype)
    out = jax.lax.dot_general(flat, kernel, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)
    cuts = np.cumsum([len(k) for k in kernels])[:-1]
    return jnp.split(out.reshape(*frames.shape[:2], -1), cuts, axis=-1)


class Products(NamedTuple):
    """Frames seen through a decoder with kernel W [K, C] and bias c [C]: all that Eq 7 asks of its target."""

    kernel: Array  # [B, T, K] x Wᵀ
    bias: Array  # [B, T] x · c
    energy: Array  # [B, T] ‖x‖²


def reconstruction_loss_of_products(latent: Array, kernel: Array, bias: Array, target: Products) -> Array:
    """Eq 7 for a linear decoder, without ever forming the reconstruction [B, T, C].

    ‖x − (zW + c)‖² = ‖x‖² − 2 (z · xWᵀ + x · c) + z WWᵀ zᵀ + 2 z · Wc + ‖c‖². The products with x are taken together
    with the encoder's own, so the frames are read once on the way in and once for all gradients. In float32 the value
    is exact to about 1e-6 of the mean of ‖x‖² / C.

    Args:
        latent: [B, T, K] the decoder's input z.
        kernel: [K, C] W.
        bias: [C] c.
        target: of the frames to reconstruct.
    """
    chex.assert_rank([latent, kernel, bias], [3, 2, 1])
    chex.assert_equal_shape([latent, target.kernel])
    gram, shift = kernel @ kernel.T, kernel @ bias
    cross = (latent * target.kernel).sum(-1) + target.bias
    norm = (latent * (latent @ gram)).sum(-1) + 2 * latent @ shift + bias @ bias
    return jnp.mean(target.energy - 2 * cross + norm) / len(bias)
