"""DKPH's equations: reconstruction, binary and embedding similarity, the student's objective (Li et al., ECCV 2022)."""

import chex
import flax.linen as nn
import jax.numpy as jnp

from jhash.types import Array


def reconstruction_loss(frames: Array, reconstructed: Array) -> Array:
    """Eq 7: mean squared error over items, frames and dimensions, [B, T, C] twice -> []."""
    chex.assert_rank(frames, 3)
    chex.assert_equal_shape([frames, reconstructed])
    return jnp.mean((frames - reconstructed) ** 2)


def binary_similarity_loss(target: Array, weight: Array, item: Array, partner: Array) -> Array:
    """Eq 10, L_bsim: mean over pairs of weight (target − b_i · b_j / K)².

    Args:
        target: [B] 1 for a positive pair, -1 for a hard negative one.
        weight: [B] |Â_ij|.
        item: [B, K] codes b_i of ±1.
        partner: [B, K] codes b_j of ±1.
    """
    chex.assert_rank([target, weight, item, partner], [1, 1, 2, 2])
    chex.assert_equal_shape([item, partner])
    return jnp.mean(weight * (target - (item * partner).mean(-1)) ** 2)


def embedding_similarity_loss(
    embedding: Array, centre: Array, partner_centre: Array, target: Array, weight: Array, *, eta: float, margin: float
) -> Array:
    """Eq 11, L_tsim as printed: nearer to the own centre and, for a negative pair, farther from the partner's.

    Args:
        embedding: [B, D] the student's t̄_i, mean over frames.
        centre: [B, D] the teacher-space centre nearest to i.
        partner_centre: [B, D] the one nearest to j.
        target: [B] 1 or -1.
        weight: [B] |Â_ij|.
        eta: η, the weight of the hinge.
        margin: β.
    """
    chex.assert_rank([embedding, target, weight], [2, 1, 1])
    chex.assert_equal_shape([embedding, centre, partner_centre])
    own = ((embedding - centre) ** 2).sum(-1)
    other = ((embedding - partner_centre) ** 2).sum(-1)
    return jnp.mean(own + eta * weight * (1 - target) * nn.relu(own - other + margin))


def released_embedding_similarity_loss(
    item: Array, partner: Array, centre: Array, partner_centre: Array, target: Array, *, eta: float, margin: float
) -> Array:
    """Eq 11 as released: both members drawn to their centres, over D; unsquared distances in the hinge.

    The hinge sees both centres multiplied by 0 for a positive pair, so such a pair adds eta * margin and no gradient.

    Args:
        item: [B, D] the student's t̄_i.
        partner: [B, D] the student's t̄_j.
        centre: [B, D] the teacher-space centre nearest to i.
        partner_centre: [B, D] the one nearest to j.
        target: [B] 1 or -1.
        eta: the weight of the hinge.
        margin: of the hinge.
    """
    chex.assert_rank([item, target], [2, 1])
    chex.assert_equal_shape([item, partner, centre, partner_centre])
    pull = ((item - centre) ** 2 + (partner - partner_centre) ** 2).mean(-1)
    further = _distance(item, centre) - _distance(item, partner_centre)
    return jnp.mean(pull + eta * nn.relu(jnp.where(target > 0, 0, further) + margin))


def _distance(x, y):
    return jnp.sqrt(jnp.maximum(((x - y) ** 2).sum(-1), 1e-24))  # the floor keeps the gradient at 0 finite


def student_objective(
    reconstruction: Array, binary: Array, embedding: Array, *, weight: float, gamma1: float, gamma2: float
) -> Array:
    """Eq 12, second line; `weight` is 1 in the paper. The teacher's objective is L_recon alone."""
    return weight * reconstruction + gamma1 * binary + gamma2 * embedding
