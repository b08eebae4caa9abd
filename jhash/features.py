"""From raw columns to model inputs, and from frames to what the structures see. Pure functions."""

import chex
import jax.numpy as jnp

from jhash.types import Array


def structure_view(frames: Array, kind: str) -> Array:
    """One vector an item for k-means, anchor graphs and the shallow baselines.

    Args:
        frames: [B, T, C].
        kind: 'mean' over frames, [B, C], as the papers have it; 'flatten', [B, T * C], where order says more than
            the average does (skeletons).
    """
    chex.assert_rank(frames, 3)
    frames = frames.astype(jnp.float32)
    if kind == "mean":
        return frames.mean(axis=1)
    if kind == "flatten":
        return frames.reshape(frames.shape[0], -1)
    raise ValueError(f"structure view {kind!r}: expected 'mean' or 'flatten'")
