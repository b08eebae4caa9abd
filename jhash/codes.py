"""Binary codes: the sign and its straight-through gradients, and codes as packed bits."""

import jax
import jax.numpy as jnp

from jhash.types import Array


def sign(x: Array) -> Array:
    """sgn with sgn(0) = +1, in the dtype of `x`: [...] -> [...] of -1 and +1. Its gradient is zero."""
    return jnp.where(x >= 0, 1, -1).astype(x.dtype)


@jax.custom_vjp
def sign_clipped(x: Array) -> Array:
    """sgn (0 -> +1) whose backward pass hands on the incoming gradient, its values clipped to [-1, 1].

    The estimator of MCMSH's released program for Eq 6 of Hao et al. 2022.
    """
    return sign(x)


def _sign_clipped_forward(x):
    return sign(x), None


def _sign_clipped_backward(_, gradient):
    return (jnp.clip(gradient, -1, 1),)


sign_clipped.defvjp(_sign_clipped_forward, _sign_clipped_backward)


@jax.custom_vjp
def sign_tanh(x: Array) -> Array:
    """sgn(tanh x) (0 -> +1), straight through on tanh's output: the gradient is that of tanh, 1 - tanh²(x).

    DKPH as printed (Li et al. 2022).
    """
    return sign(x)


def _sign_tanh_forward(x):
    return sign(x), x


def _sign_tanh_backward(x, gradient):
    return (gradient * (1 - jnp.tanh(x) ** 2),)


sign_tanh.defvjp(_sign_tanh_forward, _sign_tanh_backward)


@jax.custom_vjp
def sign_window(x: Array) -> Array:
    """+1 above zero and -1 elsewhere (also at 0); the gradient passes where -1 < x <= 1 and is zero outside.

    DKPH's released program. The only sign here that sends 0 to -1.
    """
    return jnp.where(x > 0, 1, -1).astype(x.dtype)


def _sign_window_forward(x):
    return sign_window(x), x


def _sign_window_backward(x, gradient):
    return (jnp.where((x > -1) & (x <= 1), gradient, 0),)


sign_window.defvjp(_sign_window_forward, _sign_window_backward)


def pack(codes: Array, word: jnp.dtype = jnp.uint8) -> Array:
    """Packs codes [..., K] to words [..., ceil(K / width)]: a positive (or True) entry is a 1, the rest are 0.

    Bit j of word w is entry w * width + j, so little-endian memory reads the same as uint8 and as uint32; the last
    word is filled with zeros, which add nothing to a Hamming distance.

    Args:
        codes: ±1 of any signed dtype, or bool.
        word: jnp.uint8 or jnp.uint32.
    """
    word = jnp.dtype(word)
    width = _width(word)
    bits = jnp.asarray(codes) > 0
    bits = jnp.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, -bits.shape[-1] % width)])
    bits = bits.reshape(*bits.shape[:-1], -1, width).astype(word)
    return (bits << _shifts(bits.ndim, word)).sum(-1, dtype=word)  # different powers of two: the sum never carries


def unpack(words: Array, bits: int) -> Array:
    """The inverse of `pack`: words [..., W] of uint8 or uint32 -> ±1 in int8, [..., bits]."""
    words = jnp.asarray(words)
    width = _width(words.dtype)
    if not 0 < bits <= words.shape[-1] * width:
        raise ValueError(f"{words.shape[-1]} words of {width} bits can't hold codes of {bits} bits")
    ones = (words[..., None] >> _shifts(words.ndim + 1, words.dtype)) & 1
    flat = ones.reshape(*words.shape[:-1], -1)[..., :bits]
    return jnp.where(flat == 1, 1, -1).astype(jnp.int8)


def _width(word):
    if word not in (jnp.uint8, jnp.uint32):
        raise ValueError(f"words of {word}: expected uint8 or uint32")
    return 8 * word.itemsize


def _shifts(ndim, word):
    return jnp.arange(_width(word), dtype=word).reshape((1,) * (ndim - 1) + (-1,))
