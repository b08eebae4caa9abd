"""DSMHN's losses. The paper's equations are not at hand: what its abstract names is rebuilt here (BUILD_NOTES.md).

Everything is a mean, over items, over pairs and over bits, so that weights mean the same at any batch and code length;
but in the logistic likelihood Θ = ½ hᵀh' adds up over bits, as in its source.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from jhash.losses.similarity import logistic
from jhash.types import Array

INTER = ("logistic", "contrastive", "squared", "triplet")


def inter(h: Array, others: Array, similar: Array, *, kind: str, margin: float, balanced: bool) -> Array:
    """The inter-modality loss of items of one modality against all of the other's in the batch, [].

    Args:
        h: relaxed codes [B, K] in [-1, 1] of one modality.
        others: relaxed codes [N, K] of the other.
        similar: S [B, N] of 0/1.
        kind: 'logistic', 'contrastive', 'squared' or 'triplet'.
        margin: m of 'contrastive' and 'triplet', in squared distances a bit, which go from 0 to 4.
        balanced: the mean over pairs gives alike and unlike ones half of the weight each, item by item; without it
            every pair weighs the same. Triplets are balanced as they are.
    """
    chex.assert_rank([h, others, similar], 2)
    chex.assert_equal(h.shape[1], others.shape[1])
    if kind == "triplet":
        return triplet(distances(h, others), similar, margin=margin)
    if kind == "logistic":
        pairs = logistic(h, others, similar)
    elif kind == "contrastive":
        pairs = contrastive(distances(h, others), similar, margin=margin)
    elif kind == "squared":
        pairs = squared(h, others, similar)
    else:
        raise ValueError(f"inter {kind!r}: expected one of {', '.join(INTER)}")
    return _balanced(pairs, similar) if balanced else pairs.mean()


def distances(h: Array, others: Array) -> Array:
    """Squared Euclidean distances a bit, [B, K] and [N, K] -> [B, N]; 4 between opposite codes."""
    squares = jnp.square(h).sum(1)[:, None] + jnp.square(others).sum(1)[None] - 2 * h @ others.T
    return jnp.maximum(squares, 0.0) / h.shape[1]


def contrastive(distance: Array, similar: Array, *, margin: float) -> Array:
    """S d + (1 - S) max(m - d, 0) of each pair, [B, N]."""
    return similar * distance + (1 - similar) * jax.nn.relu(margin - distance)


def squared(h: Array, others: Array, similar: Array) -> Array:
    """(2 S - 1 - hᵀh' / K)² of each pair, [B, N]."""
    return jnp.square(2 * similar - 1 - h @ others.T / h.shape[1])


def triplet(distance: Array, similar: Array, *, margin: float) -> Array:
    """max(m + d⁺ - d⁻, 0): a mean over all triplets of an item, then over all items, [].

    An item of which the batch has no triplet adds 0. Memory goes with B N²: 8 MB an array at a batch of 128.
    """
    hinge = jax.nn.relu(margin + distance[:, :, None] - distance[:, None, :])  # [B, positive, negative]
    valid = similar[:, :, None] * (1 - similar)[:, None, :]
    return ((hinge * valid).sum((1, 2)) / jnp.maximum(valid.sum((1, 2)), 1.0)).mean()


def _balanced(pairs, similar):
    """Item by item half of the mean over alike pairs and half of that over unlike ones."""
    alike, unlike = similar.sum(1), (1 - similar).sum(1)
    positive = (pairs * similar).sum(1) / jnp.maximum(alike, 1.0)
    negative = (pairs * (1 - similar)).sum(1) / jnp.maximum(unlike, 1.0)
    return 0.5 * (positive + negative).mean()


def semantic(logits: Array, labels: Array, single: Array) -> Array:
    """How well a linear classifier tells the codes' classes, [].

    Args:
        logits: [B, C].
        labels: [B, C] of 0/1.
        single: [] bool: True for softmax cross-entropy, False for binary cross-entropy, a mean over classes.
    """
    chex.assert_equal_shape([logits, labels])
    labels = labels.astype(jnp.float32)
    softmax = optax.softmax_cross_entropy(logits, labels).mean()
    return jnp.where(single, softmax, optax.sigmoid_binary_cross_entropy(logits, labels).mean())


def quantisation(h: Array) -> Array:
    """The mean of (h - sgn h)², sgn h held constant, []."""
    return jnp.square(h - jax.lax.stop_gradient(jnp.where(h >= 0, 1.0, -1.0))).mean()


def balance(h: Array) -> Array:
    """The mean over bits of (mean over the batch's items)², [B, K] -> []: 0 where each bit splits the items in half."""
    return jnp.square(h.mean(0)).mean()
