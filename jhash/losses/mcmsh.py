"""MCMSH's equations: the hash layer and the four losses (Hao et al., ACM MM 2022, Eq 5 to 11)."""

import chex
import jax
import jax.numpy as jnp

from jhash import codes, structure
from jhash.types import Array


def hash_tanh_of_mean(y: Array) -> Array:
    """Eq 5 as printed: y [T, ..., K] -> tanh of the mean over frames, [..., K]."""
    return jnp.tanh(y.mean(0))


def hash_mean_of_tanh(y: Array, scale: Array) -> Array:
    """Eq 5 as released: y [T, ..., K] -> the mean over frames of tanh(a y), [..., K]; a [] is √(epoch + 1)."""
    return jnp.tanh(scale * y).mean(0)


def cluster_loss(embedding: Array, centre: Array) -> Array:
    """Eq 7: mean over items of ‖ē_i − u_i‖², embeddings averaged over frames and nearest centres [B, D] -> []."""
    chex.assert_rank(embedding, 2)
    chex.assert_equal_shape([embedding, centre])
    return ((embedding - centre) ** 2).sum(-1).mean()


def cluster_loss_of_pairs(embeddings: Array, centres: Array) -> Array:
    """Eq 7 as released: summed over anchor and partner, divided by D; [2, B, D] twice -> []."""
    chex.assert_rank(embeddings, 3)
    return (cluster_loss(embeddings[0], centres[0]) + cluster_loss(embeddings[1], centres[1])) / embeddings.shape[-1]


def similarity(nearest: Array, other: Array, *, neighbours: tuple[int, int, int] = (3, 4, 5)) -> Array:
    """Eq 9: S in {-1, 0, 1} of pairs of items, [...], from the m3 nearest centres of both [..., m3], in order.

    A^(m)_ij > 0 exactly where i and j share one of their m nearest centres, whatever kernel and σ Eq 8 takes.
    """
    chex.assert_equal_shape([nearest, other])
    chex.assert_axis_dimension(nearest, -1, neighbours[2])
    shape, width = nearest.shape[:-1], nearest.shape[-1]
    nearest, other = nearest.reshape(-1, width), other.reshape(-1, width)
    close, near, far = (structure.shares_centre(nearest[:, :m], other[:, :m]) for m in neighbours)
    return jnp.where(close, 1.0, jnp.where(~near & far, -1.0, 0.0)).reshape(shape)


def similarity_loss(item: Array, partner: Array, target: Array) -> Array:
    """Eq 10, first term, over one drawn partner an item: relaxed codes [B, K] twice and s [B] -> []."""
    chex.assert_rank([item, target], [2, 1])
    chex.assert_equal_shape([item, partner])
    return ((target - (item * partner).mean(-1)) ** 2).mean()


def similarity_loss_of_batch(item: Array, everyone: Array, target: Array) -> Array:
    """Eq 10, first term as printed, over all pairs of the batch, each with itself included.

    Args:
        item: [b, K] this device's relaxed codes.
        everyone: [B, K] those of the whole batch.
        target: [b, B] s_ij.
    """
    chex.assert_rank([item, everyone, target], 2)
    return ((item @ everyone.T / item.shape[-1] - target) ** 2).sum(-1).mean()


def quantisation_loss(relaxed: Array, *, gradient: str) -> Array:
    """Eq 10, second term without its factor: Σ‖b_i − h_i‖²/B, b = sgn(h) (Eq 6); [B, K] -> [].

    With gradient='released', b is differentiated by straight-through: its gradient and that of h then cancel exactly
    and the term trains nothing. 'held' takes b as a constant.
    """
    chex.assert_rank(relaxed, 2)
    binary = codes.sign_clipped(relaxed) if gradient == "released" else jax.lax.stop_gradient(codes.sign(relaxed))
    return ((relaxed - binary) ** 2).sum(-1).mean()


def quantisation_loss_of_pairs(relaxed: Array, *, gradient: str) -> Array:
    """The quantisation as released: summed over anchor and partner, divided by K; [2, B, K] -> []."""
    chex.assert_rank(relaxed, 3)
    both = [quantisation_loss(h, gradient=gradient) for h in relaxed]
    return (both[0] + both[1]) / relaxed.shape[-1]


def quadruplet_loss(
    item: Array, positive: Array, negative1: Array, negative2: Array, has_negative: Array, *, margins: tuple
) -> Array:
    """Eq 11: a positive is nearer than a negative by α₁, and than two negatives are to each other by α₂.

    Args:
        item: [B, K] relaxed codes of the anchors.
        positive: [B, K] those of a positive of each.
        negative1: [B, K] those of a negative of each.
        negative2: [B, K] those of another.
        has_negative: [B] bool; an item without a negative adds 0 and still counts in B.
        margins: (α₁, α₂).
    """
    chex.assert_rank([item, has_negative], [2, 1])
    chex.assert_equal_shape([item, positive, negative1, negative2])
    near = ((item - positive) ** 2).sum(-1)
    first = jax.nn.relu(near - ((item - negative1) ** 2).sum(-1) + margins[0])
    second = jax.nn.relu(near - ((negative1 - negative2) ** 2).sum(-1) + margins[1])
    return jnp.where(has_negative, first + second, 0).mean()
