"""SHE's equations: prototypes mined, kept apart, handed on; codes that tell classes apart (Pu et al., ICML 2025).

Γ is the cosine of ℓ2-normalised vectors: codes [B, K] and prototypes [C, P, K] come normalised.
"""

import chex
import jax
import jax.numpy as jnp

from jhash.types import Array

SMALLEST = 1e-10  # of what a logarithm is taken: a prototype farther from its anchor gives Eq 8 no gradient


def unit(x: Array) -> Array:
    """[..., K] of any size -> tanh of it, ℓ2-normalised over the last axis: a relaxed code, or a prototype."""
    x = jnp.tanh(x)
    return x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-24))


def mining(codes: Array, labels: Array, library: Array, *, q: float = 0.0) -> Array:
    """Eq 5 and 6 (KLM): minus the logarithm of how near the nearest prototype of an item's own classes is -> [].

    Args:
        codes: [B, K].
        labels: 0/1 [B, C]; of an item in several classes the prototypes of all of them compete, one in none adds 0.
        library: [C, P, K].
        q: 0 for Eq 6; above, generalised cross-entropy (1 - s^q) / q (Zhang and Sabuncu 2018), which a wrong label
            pulls less at; 1 is the mean absolute error.
    """
    chex.assert_rank([codes, labels, library], [2, 2, 3])
    chex.assert_equal_shape_prefix([codes, labels], 1)
    chex.assert_equal(labels.shape[1], library.shape[0])
    nearness = (jnp.einsum("bk,cpk->bcp", codes, library) + 1) / 2
    own = jnp.where(labels[:, :, None] > 0, nearness, 0.0).max((1, 2))
    own = jnp.maximum(own, SMALLEST)
    terms = -jnp.log(own) if q == 0 else (1 - own**q) / q
    return _of_labelled(terms, labels).mean()


def separation(library: Array, *, form: str) -> Array:
    """Eq 7 (KLR): the prototypes of one class near each other, those of other classes far -> [].

    Args:
        library: [C, P, K].
        form: 'paper' as printed, undefined for P = 1; 'released' masks inside the exponent, so that each prototype of
            another class adds 1 to the numerator, and each of the same class 1 to the denominator.
    """
    chex.assert_rank(library, 3)
    classes, prototypes, _ = library.shape
    flat = library.reshape(classes * prototypes, -1)
    itself = jnp.eye(len(flat), dtype=bool)
    owner = jnp.repeat(jnp.arange(classes), prototypes)
    same = owner[:, None] == owner[None, :]
    cosine = jnp.where(itself, 0.0, flat @ flat.T)
    if form == "released":
        return _contrast_released(cosine, same).mean()
    if prototypes == 1:
        raise ValueError("separation as printed: expected at least 2 prototypes a class, found 1")
    return _contrast(jnp.where(itself, -jnp.inf, cosine), same).mean()


def transfer(library: Array, anchor: Array, filled: Array, *, sigma: float) -> Array:
    """Eq 8 (KLT): each prototype within σ of its frozen counterpart, the mean over those of known classes -> [].

    Args:
        library: [C, P, K] of the new medium.
        anchor: [C, P, K], frozen.
        filled: bool [C], the classes that the anchor knows; with none of them the loss is 0.
        sigma: the cosine that is near enough.
    """
    chex.assert_rank([library, filled], [3, 1])
    chex.assert_equal_shape([library, anchor])
    nearness = jnp.clip((library * anchor).sum(-1) - sigma + 1, SMALLEST, 1.0)
    known = jnp.broadcast_to(filled[:, None], nearness.shape)
    return jnp.where(known, -jnp.log(nearness), 0.0).sum() / jnp.maximum(known.sum(), 1)


def discrimination(codes: Array, labels: Array, all_codes: Array, all_labels: Array, *, form: str) -> Array:
    """Eq 9 (DHL): items that share a class near each other, others far -> [], the mean over the given rows.

    Args:
        codes: [b, K] of this device's rows.
        labels: 0/1 [b, C] of the same.
        all_codes: [B, K] of the whole batch; an item counts among its own fellows.
        all_labels: 0/1 [B, C] of the same.
        form: 'paper' or 'released', as in `separation`.
    """
    chex.assert_rank([codes, labels, all_codes, all_labels], 2)
    chex.assert_equal_shape_prefix([all_codes, all_labels], 1)
    same = labels.astype(codes.dtype) @ all_labels.astype(codes.dtype).T > 0
    cosine = codes @ all_codes.T
    if form == "released":
        return _of_labelled(_contrast_released(cosine, same), labels).mean()
    # an item without a class has no fellows, not even itself: any mask will do where its term is left out
    same = same | ~labels.any(1)[:, None]
    return _of_labelled(_contrast(cosine, same), labels).mean()


def _of_labelled(terms, labels):
    """Terms [B], 0 of the items that have no class, which these losses say nothing of."""
    return jnp.where(labels.any(1), terms, 0.0)


def _contrast(cosine, same):
    """[B] -log of the share that e^cosine of the same class has in a row."""
    own = jax.nn.logsumexp(jnp.where(same, cosine, -jnp.inf), axis=1)
    return jax.nn.logsumexp(cosine, axis=1) - own


def _contrast_released(cosine, same):
    """[B] the same with the mask inside the exponent: a masked entry counts e⁰ = 1."""
    own = jnp.exp(jnp.where(same, cosine, 0.0)).sum(1)
    others = jnp.exp(jnp.where(same, 0.0, cosine)).sum(1)
    return jnp.log(own + others) - jnp.log(own)
