"""What pairs of items say to codes: who is alike by label, and how likely the codes make that. Pure functions."""

import chex
import jax
import jax.numpy as jnp

from jhash.types import Array


def shares_class(labels: Array, others: Array) -> Array:
    """S: labels [B, C] and [N, C] of 0/1 -> [B, N] float32, 1 where two items have a class in common."""
    chex.assert_rank([labels, others], 2)
    common = labels.astype(jnp.float32) @ others.astype(jnp.float32).T
    return (common > 0).astype(jnp.float32)


def logistic(u: Array, v: Array, similar: Array) -> Array:
    """-log p(S | u, v) of each pair, with p(S = 1) = sigmoid(½ uᵀv): CMGCAH Eq 13 (and DCMH's).

    Args:
        u: relaxed codes [B, K].
        v: relaxed codes [N, K].
        similar: S [B, N] of 0/1.

    Returns:
        softplus(Θ) - S Θ [B, N], which is log(1 + e^Θ) - S Θ without its overflow.
    """
    chex.assert_rank([u, v, similar], 2)
    chex.assert_shape(similar, (u.shape[0], v.shape[0]))
    theta = 0.5 * u @ v.T
    return jax.nn.softplus(theta) - similar * theta
