"""The self-gating units of MC-MLP (Hao et al. 2022, section 3.1), on frames-first arrays [T, R, B, D].

R counts the roles of a step (anchor, partner, ...): each is normalised by its own statistics, as if it had passed the
network alone. A unit gates over axis p, drawing its context from axis a: in token mixing p = 0 (T), a = 3 (D); in
channel mixing p = 3 (D), a = 0 (T). Frames first makes every mix, over frames or channels, one plain product.
"""

import functools
from collections.abc import Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jhash.types import Array

FRAMES, ROLES, CHANNELS = 0, 1, 3


def fan_in_uniform(fan_in: int):
    """Initialiser U(-1/√fan_in, 1/√fan_in) for weights and biases alike."""
    bound = fan_in**-0.5
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def mix(x: Array, kernel: Array, axis: int) -> Array:
    """Contracts `axis` (0 or the last) of x with the first axis of kernel [in, out]; the result stays in place.

    Its gradient is the usual one, with a barrier: left alone, XLA's CPU compiler works out both operands of a kernel's
    gradient a second time, transposed. All are products of plain matrices: of more axes, it copies what it transposes.
    """
    matrix = _matrix(x, axis)
    mixed = kernel.T @ matrix if axis == FRAMES else matrix @ kernel
    return mixed.reshape(*(kernel.shape[1] if i == axis else n for i, n in enumerate(x.shape)))


def _matrix(x, axis):
    """The axis by all others, or where it is the last, all others by it."""
    return x.reshape(x.shape[0], -1) if axis == FRAMES else x.reshape(-1, x.shape[-1])


def _mix_forward(x, kernel, axis):
    return mix(x, kernel, axis), (x, kernel)


def _mix_backward(axis, residuals, gradient):
    x, kernel = residuals
    x, gradient = jax.lax.optimization_barrier((x, gradient))
    left, right = _matrix(x, axis), _matrix(gradient, axis)
    return mix(gradient, kernel.T, axis), left @ right.T if axis == FRAMES else left.T @ right


mix.defvjp(_mix_forward, _mix_backward)


def along(vector: Array, axis: int) -> Array:
    """[n] as an array of rank 4 that broadcasts on `axis`."""
    return vector.reshape([-1 if i == axis else 1 for i in range(4)])


def adaptive_average(n: int, m: int) -> np.ndarray:
    """[n, m] float32: column i averages inputs floor(i n/m) ... ceil((i+1) n/m) - 1, for m below or above n."""
    matrix = np.zeros((n, m), np.float32)
    for i in range(m):
        first, end = i * n // m, -(-(i + 1) * n // m)
        matrix[first:end, i] = 1 / (end - first)
    return matrix


def average(x: Array, m: int, axis: int) -> Array:
    """Adaptive average pooling of an axis to length m, up or down.

    As a product, also from and to length 1: XLA's sums over the first axis are slow on a CPU.
    """
    return mix(x, jnp.asarray(adaptive_average(x.shape[axis], m), x.dtype), axis)


def squeeze_convolution(x: Array, kernel: Array, p: int, a: int) -> Array:
    """Convolution of width 3 along axis a (zero padding 1) over the channels on axis p, for few output channels.

    Mixes first and shifts the smaller result. kernel: [3, in, out].
    """
    taps, inputs, outputs = kernel.shape
    mixed = mix(x, kernel.transpose(1, 0, 2).reshape(inputs, taps * outputs), p)
    before, here, after = jnp.split(mixed, taps, p)
    return _shift(before, a, 1) + here + _shift(after, a, -1)


def expand_convolution(x: Array, kernel: Array, p: int, a: int) -> Array:
    """The same convolution for few input channels: shifts first, then one mix. kernel: [3, in, out]."""
    shifted = jnp.concatenate([_shift(x, a, 1), x, _shift(x, a, -1)], p)
    return mix(shifted, kernel.reshape(-1, kernel.shape[-1]), p)


def _shift(x, axis, by):
    """Entry i becomes entry i - by; zeros come in."""
    size = x.shape[axis]
    padded = jnp.pad(x, [(max(by, 0), max(-by, 0)) if i == axis else (0, 0) for i in range(x.ndim)])
    return jax.lax.slice_in_dim(padded, max(-by, 0), max(-by, 0) + size, axis=axis)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but roles and features, each role by its own statistics.

    The running statistics are updated once a role, in the roles' order. In evaluation they normalise.
    """

    feature_axis: int
    axis_name: str | None = None  # of devices whose rows are one batch
    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """[n, R, B, m] -> the same shape and dtype."""
        chex.assert_rank(x, 4)
        features = x.shape[self.feature_axis]
        scale = self.param("scale", nn.initializers.ones, (features,))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (features,))
        scale, bias = along(scale, self.feature_axis), along(bias, self.feature_axis)
        if not train:
            mean, var = along(running_mean.value, self.feature_axis), along(running_var.value, self.feature_axis)
            return _affine(x, mean, jax.lax.rsqrt(var + self.epsilon), scale, bias)
        y, mean, var = normalise(x, scale, bias, self.feature_axis, self.axis_name, self.epsilon)
        if not self.is_initializing():
            running_mean.value = self._fold(running_mean.value, mean)
            running_var.value = self._fold(running_var.value, var)
        return y

    def _fold(self, running, by_role):
        """Running statistics [n] after one update for each role of by_role [.., R, .., n, ..] in order."""
        by_role = jnp.moveaxis(by_role, ROLES, 0).reshape(-1, running.shape[0])
        rate = 1 - self.momentum
        weights = rate * self.momentum ** np.arange(len(by_role))[::-1]
        folded = self.momentum ** len(by_role) * running + weights.astype(np.float32) @ by_role
        return jax.lax.stop_gradient(folded)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def normalise(x: Array, scale: Array, bias: Array, feature_axis: int, axis_name: str | None, epsilon: float):
    """Batch normalisation of [n, R, B, m] by role, with the gradient written out: one pass for its two sums, one for x.

    Args:
        x: [n, R, B, m].
        scale: of each feature, as an array that broadcasts against x.
        bias: the same.
        feature_axis: 0 or 3.
        axis_name: of devices whose rows are one batch.
        epsilon: added to the variance.

    Returns:
        The normalised array, and mean and (biased) variance by role and feature, in float32, which carry no gradient.
    """
    return _normalise_forward(x, scale, bias, feature_axis, axis_name, epsilon)[0]


def _normalise_forward(x, scale, bias, feature_axis, axis_name, epsilon):
    wide = x.astype(jnp.float32)
    mean, square = _means((wide, wide * wide), feature_axis, axis_name)
    var = jnp.maximum(square - mean * mean, 0)
    inverse = jax.lax.rsqrt(var + epsilon)
    return (_affine(x, mean, inverse, scale, bias), mean, var), (x, mean, inverse, scale)


def _normalise_backward(feature_axis, axis_name, epsilon, residuals, cotangents):
    x, mean, inverse, scale = residuals
    gradient = cotangents[0].astype(jnp.float32)
    standard = (x.astype(jnp.float32) - mean) * inverse
    own = _means((gradient, gradient * standard), feature_axis, None)
    of_mean, of_product = own if axis_name is None else jax.lax.pmean(own, axis_name)
    change = scale * inverse * (gradient - of_mean - standard * of_product)
    number = x.size / own[0].size
    summed = [(number * one).sum(ROLES, keepdims=True) for one in own]
    return change.astype(x.dtype), summed[1], summed[0]


normalise.defvjp(_normalise_forward, _normalise_backward)


def _means(arrays, feature_axis, axis_name):
    """Of each role and feature, over all devices."""
    others = tuple(i for i in range(4) if i not in (ROLES, feature_axis))
    means = [array.mean(others, keepdims=True) for array in arrays]
    return means if axis_name is None else jax.lax.pmean(means, axis_name)


def _affine(x, mean, inverse, scale, bias):
    factor = scale * inverse
    return x * factor.astype(x.dtype) + (bias - mean * factor).astype(x.dtype)


class Gate(nn.Module):
    """The mask of one self-gating module: L-RD, M-RD or S-RD (Eq 1 and 2), Fig 2b-d.

    L averages over all of axis a and uses dense layers; M averages over windows of 3 and uses convolutions of width
    3 along a; S uses the convolutions alone. Both layers are followed by batch normalisation, then ReLU or sigmoid.
    """

    kind: str  # 'L', 'M' or 'S'
    p: int
    reduced: int  # width between the two layers
    grouped: bool  # as many groups as reduced channels: each channel sees its own size / reduced of the features
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """[T, R, B, D] -> a mask of the same shape, in (0, 1)."""
        a = CHANNELS if self.p == FRAMES else FRAMES
        size, context = x.shape[self.p], x.shape[a]
        norm = lambda name: BatchNorm(self.p, self.axis_name, name=name)  # noqa: E731
        if self.kind == "L":
            small = nn.initializers.normal(1e-3)
            squeeze = self.param("squeeze", small, (size, self.reduced)).astype(x.dtype)
            expand = self.param("expand", small, (self.reduced, size)).astype(x.dtype)
            y = mix(average(x, 1, a), squeeze, self.p)
            y = mix(nn.relu(norm("squeeze_norm")(y, train)), expand, self.p)
            return average(nn.sigmoid(norm("expand_norm")(y, train)), context, a)
        windows = max(context // 3, 1)
        if self.kind == "M":
            x = average(x, windows, a)
        squeeze, expand = (kernel.astype(x.dtype) for kernel in self._kernels(size))
        y = nn.relu(norm("squeeze_norm")(squeeze_convolution(x, squeeze, self.p, a), train))
        mask = nn.sigmoid(norm("expand_norm")(expand_convolution(y, expand, self.p, a), train))
        if self.kind == "M":
            mask = average(mask, context, a)
        return mask

    def _kernels(self, size):
        """[3, size, reduced] (He, fan out) and [3, reduced, size] (Glorot), block-diagonal where grouped."""
        within = size // self.reduced if self.grouped else size
        across = 1 if self.grouped else self.reduced
        he = nn.initializers.normal((2 / (3 * self.reduced)) ** 0.5)
        glorot = nn.initializers.normal((2 / (3 * across + 3 * size)) ** 0.5)
        squeeze = self.param("squeeze", he, (3, within, self.reduced))
        expand = self.param("expand", glorot, (3, across, size))
        if not self.grouped:
            return squeeze, expand
        own = np.repeat(
            np.eye(self.reduced, dtype=np.float32), within, axis=0
        )  # [size, reduced]: who is in which group
        return jnp.tile(squeeze, (1, self.reduced, 1)) * own[None], expand * own.T[None]


class GatingUnit(nn.Module):
    """Mixes over axis a, gates (Eq 3), mixes over axis a again, for each of L, M and S in parallel.

    form 'each' (the released program): every module has its own two mixes and the gated outputs are summed.
    form 'sum' (as printed): one mix before, the masks summed, one mix after. No module: the identity.
    """

    kinds: Sequence[str]  # any of 'L', 'M', 'S'
    p: int
    reduced: int
    grouped: bool
    form: str
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """[T, R, B, D] -> [T, R, B, D]."""
        if not self.kinds:
            return x
        a = CHANNELS if self.p == FRAMES else FRAMES
        n = x.shape[a]
        mixes = len(self.kinds) if self.form == "each" else 1
        uniform = fan_in_uniform(n)
        before = self.param("before", uniform, (n, mixes * n)).astype(x.dtype)
        before_bias = self.param("before_bias", uniform, (mixes * n,)).astype(x.dtype)
        after = self.param("after", uniform, (mixes, n, n)).astype(x.dtype)
        after_bias = self.param("after_bias", uniform, (mixes, n)).astype(x.dtype)
        # One product for all would save nothing: the gradient of cutting it apart copies three arrays.
        each = zip(jnp.split(before, mixes, 1), jnp.split(before_bias, mixes), strict=True)
        mixed = [mix(x, kernel, a) + along(bias, a) for kernel, bias in each]
        gates = [Gate(kind, self.p, self.reduced, self.grouped, self.axis_name, name=kind) for kind in self.kinds]
        if self.form == "each":
            gated = [gate(u, train) * u for gate, u in zip(gates, mixed, strict=True)]
        else:
            gated = [sum(gate(mixed[0], train) for gate in gates) * mixed[0]]
        return sum(mix(u, kernel, a) for u, kernel in zip(gated, after, strict=True)) + along(after_bias.sum(0), a)
