"""DKPH's equations: pairs, losses and the student's objective (Li et al., ECCV 2022, Eq 7 and 10 to 12)."""

import chex
import jax
import jax.numpy as jnp

from jhash.types import Array, Key, Rows, Tree


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
    return jnp.mean(own + eta * weight * (1 - target) * jax.nn.relu(own - other + margin))


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
    return jnp.mean(pull + eta * jax.nn.relu(jnp.where(target > 0, 0, further) + margin))


def _distance(x, y):
    return jnp.sqrt(jnp.maximum(((x - y) ** 2).sum(-1), 1e-24))  # the floor keeps the gradient at 0 finite


def student_objective(
    reconstruction: Array, binary: Array, embedding: Array, *, weight: float, gamma1: float, gamma2: float
) -> Array:
    """Eq 12, second line; `weight` is 1 in the paper. The teacher's objective is L_recon alone."""
    return weight * reconstruction + gamma1 * binary + gamma2 * embedding


def draw_pairs(context: Tree, item: Array, size: int, key: Key, *, fallback: str) -> Rows:
    """The sampling S of Eq 10: for each item a positive or a hard negative partner, with probability ½ each.

    An item whose pool is empty gets any other item, with weight 0 ('ignored', Â = 0) or, as released, with weight 1 and
    target -1 ('negative').

    Args:
        context: `positive`, `negative` [N, pool]; `positive_count`, `negative_count` [N]; for the graph A itself
            `positive_weight` [N, pool], where A = 0 for all negatives.
        item: [B] row numbers.
        size: N.
        key: of the step.
        fallback: what an empty pool gives.
    """
    chex.assert_rank(item, 1)
    branch, slot, other = jax.random.uniform(key, (3, *item.shape))
    positive = branch < 0.5
    count = jnp.where(positive, context["positive_count"][item], context["negative_count"][item])
    place = jnp.minimum(slot * count, count - 1).astype(jnp.int32)
    drawn = jnp.where(positive, context["positive"][item, place], context["negative"][item, place])
    stranger = (item + 1 + (other * (size - 1)).astype(jnp.int32)) % size

    weight = jnp.ones(item.shape, jnp.float32)
    if "positive_weight" in context:
        weight = jnp.where(positive, context["positive_weight"][item, place], 0)
    empty = count == 0
    return {
        "partner": jnp.where(empty, stranger, drawn).astype(jnp.int32),
        "target": jnp.where(positive & ~empty, 1.0, -1.0),
        "weight": jnp.where(empty, 0.0 if fallback == "ignored" else 1.0, weight),
    }
