"""MC-MLP: an MLP-Mixer over frames with self-gating modules (Hao et al. 2022, section 3.1 and Fig 2)."""

from collections.abc import Callable, Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jhash.encoders.dropout import dropout_rows
from jhash.encoders.gates import CHANNELS, FRAMES, GatingUnit, along, average, fan_in_uniform, mix
from jhash.types import Array


class MixerMLP(nn.Module):
    """Dense(2n)-GELU-dropout-Dense(n)-dropout over axis 0 or the last of [T, R, B, D] (Fig 2e)."""

    axis: int
    rate: float

    @nn.compact
    def __call__(self, x: Array, keys: Array | None) -> Array:
        """[T, R, B, D] -> the same shape; keys: [2, R * B] dropout keys, None in evaluation."""
        n = x.shape[self.axis]
        for i, (width, activation) in enumerate([(2 * n, _gelu), (n, _same)]):
            uniform = fan_in_uniform(x.shape[self.axis])
            kernel = self.param(f"kernel{i}", uniform, (x.shape[self.axis], width)).astype(x.dtype)
            bias = self.param(f"bias{i}", uniform, (width,)).astype(x.dtype)
            x = activation(mix(x, kernel, self.axis) + along(bias, self.axis))
            if keys is not None:
                rows = x.reshape(x.shape[0], -1, x.shape[-1])
                x = dropout_rows(rows, keys[i], self.rate, axis=1).reshape(x.shape)
        return x


@jax.custom_vjp
def project(frames: list[Array], kernel: Array) -> list[Array]:
    """Arrays [B, T, C] times one kernel [C, D]; the frames themselves get no gradient."""
    return [one @ kernel for one in frames]


def _project_forward(frames, kernel):
    return project(frames, kernel), frames


def _project_backward(frames, gradients):
    gradients = jax.lax.optimization_barrier(gradients)
    matrix = lambda x: x.reshape(-1, x.shape[-1])  # noqa: E731
    parts = [matrix(g).T @ matrix(one) for g, one in zip(gradients, frames, strict=True)]
    return [jnp.zeros_like(one) for one in frames], jax.lax.optimization_barrier(sum(parts).T)


project.defvjp(_project_forward, _project_backward)


class MCMLP(nn.Module):
    """Frames to relaxed bits for each frame, every role of a step by its own batch statistics.

    With no gates it is the plain MLP-Mixer of Table 1.
    """

    bits: int
    width: int = 256
    gates: Sequence[str] = ("L", "M", "S")
    reduction: int = 16  # r of the channel gates (Table 2); the token gates' is 4
    gate_form: str = "each"
    dropout: float = 0.5
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        frames: Sequence[Array],
        keys: Array | None = None,
        corrupt: Callable[[list[Array]], list[Array]] | None = None,
    ) -> tuple[Array, Array]:
        """The embedding e, its mean over frames, and y = FC(e), Eq 4.

        Args:
            frames: a [B, T, C] for each of R roles.
            keys: [4, R, B] dropout keys; None evaluates, by the running statistics.
            corrupt: what masking does to the projected frames (before the bias), R arrays [B, T, D] -> the same. A
                zeroed frame is projected to zero, a replaced one to the other frame's projection: no frame is copied.

        Returns:
            e averaged over frames [R, B, D], in float32, and y [T, R, B, bits].
        """
        chex.assert_rank(frames, 3)
        chex.assert_equal_shape(frames)
        train = keys is not None
        channels = frames[0].shape[-1]
        uniform = fan_in_uniform(channels)
        kernel = self.param("input_kernel", uniform, (channels, self.width)).astype(self.dtype)
        bias = self.param("input_bias", uniform, (self.width,)).astype(self.dtype)
        projected = project([f.astype(self.dtype) for f in frames], kernel)
        if corrupt is not None:
            projected = corrupt(projected)
        x = nn.relu(jnp.stack(projected).transpose(2, 0, 1, 3) + along(bias, CHANNELS))
        token_keys, channel_keys = keys.reshape(2, 2, -1) if train else (None, None)

        over_frames = dict(p=FRAMES, reduced=max(x.shape[FRAMES] // 4, 1), grouped=False)
        over_channels = dict(p=CHANNELS, reduced=self.width // self.reduction, grouped=True)
        shared = dict(kinds=tuple(self.gates), form=self.gate_form, axis_name=self.axis_name)
        z = MixerMLP(FRAMES, self.dropout, name="token_mlp")(x, token_keys)
        x = x + GatingUnit(**over_frames, **shared, name="token_gates")(z, train)
        z = MixerMLP(CHANNELS, self.dropout, name="channel_mlp")(x, channel_keys)
        x = x + GatingUnit(**over_channels, **shared, name="channel_gates")(z, train)
        e = GatingUnit(**over_channels, **shared, name="output_gates")(x, train)

        uniform = fan_in_uniform(self.width)
        kernel = self.param("hash_kernel", uniform, (self.width, self.bits)).astype(self.dtype)
        bias = self.param("hash_bias", uniform, (self.bits,)).astype(self.dtype)
        return average(e.astype(jnp.float32), 1, FRAMES)[0], e @ kernel + along(bias, CHANNELS)


def _gelu(x):
    """x Φ(x), exact. By erf: jax.nn.gelu goes through erfc, twice the work on a CPU."""
    return 0.5 * x * (1 + jax.lax.erf(x * 2**-0.5))


def _same(x):
    return x
