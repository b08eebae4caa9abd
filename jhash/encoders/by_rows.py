"""Products of tokens [B, T, D] with a kernel as one product of B T rows."""

import math

import chex
import jax

from jhash.types import Array


def by_rows(x: Array, kernel: Array, dimensions, precision=None, preferred_element_type=None) -> Array:
    """What flax's `dot_general` arguments take: x [..., *inner] and kernel [*inner, ...] -> [..., ...].

    The gradient of a kernel sums over all leading axes of x. Over one axis of rows that is a plain product; over two,
    XLA on a CPU first writes x and the gradient in another order, which takes as long as the product.
    """
    (of_x, of_kernel), batched = dimensions
    inner = len(of_x)
    leading = x.ndim - inner
    chex.assert_equal((tuple(of_x), tuple(of_kernel)), (tuple(range(leading, x.ndim)), tuple(range(inner))))
    chex.assert_equal(batched, ((), ()))
    size = math.prod(kernel.shape[:inner])
    rows = jax.lax.dot_general(
        x.reshape(-1, size),
        kernel.reshape(size, -1),
        (((1,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    return rows.reshape(*x.shape[:leading], *kernel.shape[inner:])
