"""The visual cloze: frames masked at random in training, as BERT masks words (Li et al. 2022, 3.2).

MCMSH (Hao et al. 2022) is trained with it as released, though its paper says nothing of it.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jhash.encoders.dropout import row_keys
from jhash.types import Array, Key

MASKED, ZEROED, REPLACED = 0.15, 0.8, 0.1  # of all frames; of the masked ones: the rest of them is kept as it is


class Cloze(NamedTuple):
    """Which frames are masked, and how; a masked frame that is in neither is kept."""

    zeroed: Array  # [B, T] bool
    replaced: Array  # [B, T] bool, never where zeroed
    source: Array  # [B, T] the frame that stands in, counted over the whole batch: item · T + frame


def draw_cloze(key: Key, places: Array, frames: int, whole: int) -> Cloze:
    """Each frame by itself: .15 masked, of which .8 zeroed, .1 replaced by a random frame, .1 kept.

    Args:
        key: the draw's own key, the same on every device.
        places: [B] of the rows in the whole batch: a row's mask depends on its place alone.
        frames: T.
        whole: items in the whole batch, among which the frame that stands in is drawn.
    """
    chex.assert_rank(places, 1)
    draw = jax.vmap(lambda key: jax.random.bits(key, (2, frames), jnp.uint32))
    kind, other = jnp.split(draw(row_keys(key, places)), 2, axis=1)
    chance, source = kind[:, 0] / 2.0**32, (other[:, 0] % (whole * frames)).astype(jnp.int32)
    zeroed = chance < MASKED * ZEROED
    return Cloze(zeroed, ~zeroed & (chance < MASKED * (ZEROED + REPLACED)), source)


def apply_cloze(values: Array, everyone: Array, cloze: Cloze) -> Array:
    """The cloze of frames [B, T, C], or of anything linear in them, such as their products [B, T, n].

    Masking a product instead of the frames is the same, since a zeroed frame's product is 0 and a replaced one's is
    that of the frame that stands in, and it spares the copy of [B, T, C].

    Args:
        values: [B, T, n].
        everyone: [W, T, n] the same of the whole batch, from which the frames that stand in are taken.
        cloze: of the rows of `values`.
    """
    chex.assert_rank([values, everyone], 3)
    chex.assert_shape(cloze, values.shape[:2])
    stand_ins = everyone.reshape(-1, everyone.shape[-1])[cloze.source]
    return jnp.where(cloze.zeroed[..., None], 0, jnp.where(cloze.replaced[..., None], stand_ins, values))
