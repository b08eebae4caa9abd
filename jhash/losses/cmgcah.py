"""CMGCAH's equations (Ou et al., IEEE T-ITS 2022), from logits rather than probabilities, so that logs stay finite."""

import chex
import jax
import jax.numpy as jnp
import optax

from jhash.losses.similarity import logistic
from jhash.types import Array

NORMALISED = ("rows", "mean", "sum")
LABELS = ("bce", "softmax")


def label(logits: Array, labels: Array, *, form: str) -> Array:
    """The label predictor's loss, a mean over items, []: Eq 3 and 4.

    Args:
        logits: [B, C].
        labels: [B, C] of 0/1.
        form: 'softmax' is the equation as printed, -Σ l log softmax; 'bce' sigmoids with binary cross-entropy, a sum
            over classes like the printed one's, which items of several classes need.
    """
    chex.assert_equal_shape([logits, labels])
    labels = labels.astype(jnp.float32)
    if form == "softmax":
        return -(labels * jax.nn.log_softmax(logits)).sum(1).mean()
    if form == "bce":
        return optax.sigmoid_binary_cross_entropy(logits, labels).sum(1).mean()
    raise ValueError(f"label {form!r}: expected one of {', '.join(LABELS)}")


def critic(real: Array, generated: Array) -> Array:
    """What a discriminator minimises, -(log D(real) + log(1 - D(generated))): Eq 5 and 6 with the sign turned, [].

    Args:
        real: logits [B] of the features that are there.
        generated: logits [B] of those that a generator made.
    """
    chex.assert_rank([real, generated], 1)
    return jax.nn.softplus(-real).mean() + jax.nn.softplus(generated).mean()


def generator(generated: Array, *, saturating: bool) -> Array:
    """What a generator minimises, []: log(1 - D) as Eq 5 and 6 have it where `saturating`, else -log D.

    Args:
        generated: logits [B].
        saturating: the printed form, whose gradient vanishes where the discriminator is sure.
    """
    chex.assert_rank(generated, 1)
    return -jax.nn.softplus(generated).mean() if saturating else jax.nn.softplus(-generated).mean()


def likelihood(u: Array, others: Array, similar: Array, *, normalised: str) -> Array:
    """-Σ_ij (S Θ - log(1 + e^Θ)), Θ = ½ uᵀv: the sums of Eq 11 and 12, [].

    Args:
        u: [B, K] of the batch.
        others: [N, K] of all training items, this modality's or the other's.
        similar: S [B, N].
        normalised: 'sum' as printed; 'rows', the sum over the N items and the mean over the batch; 'mean' over both.
    """
    each = logistic(u, others, similar)
    if normalised == "rows":
        return each.sum(1).mean()
    if normalised == "mean":
        return each.mean()
    if normalised == "sum":
        return each.sum()
    raise ValueError(f"likelihood {normalised!r}: expected one of {', '.join(NORMALISED)}")


def quantisation(u: Array, codes: Array, *, normalised: str) -> Array:
    """||B - U||² of Eq 11 and 12, [].

    Args:
        u: [B, K].
        codes: the rows of B [B, K], ±1, that belong to them.
        normalised: as in `likelihood`; 'mean' is over items and bits.
    """
    chex.assert_equal_shape([u, codes])
    squares = jnp.square(codes - u)
    if normalised == "rows":
        return squares.sum(1).mean()
    if normalised == "mean":
        return squares.mean()
    if normalised == "sum":
        return squares.sum()
    raise ValueError(f"quantisation {normalised!r}: expected one of {', '.join(NORMALISED)}")
