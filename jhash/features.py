"""From raw columns to model inputs, and from frames to what the structures see. Pure functions."""

import unicodedata
import zlib
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jhash.types import Array, InputError, Table


def structure_view(frames: Array, kind: str) -> Array:
    """One vector an item for k-means, anchor graphs and the shallow baselines.

    Args:
        frames: [B, T, C]; features of other media, [B, C] or pixels [B, H, W, C], are flattened whatever the kind.
        kind: 'mean' over frames, [B, C], as the papers have it; 'flatten', [B, T * C], where order says more than
            the average does (skeletons).
    """
    frames = frames.astype(jnp.float32)
    if frames.ndim != 3:
        return frames.reshape(frames.shape[0], -1)
    if kind == "mean":
        return frames.mean(axis=1)
    if kind == "flatten":
        return frames.reshape(frames.shape[0], -1)
    raise ValueError(f"structure view {kind!r}: expected 'mean' or 'flatten'")


def frame_positions(stored: int, wanted: int) -> np.ndarray:
    """Which `wanted` of `stored` frames to keep: evenly spread, the first and the last among them, int64 [wanted].

    A clip shorter than `wanted` repeats frames in order.
    """
    if stored < 1 or wanted < 1:
        raise ValueError(f"frame_positions: expected at least one frame, found stored {stored}, wanted {wanted}")
    return np.rint(np.linspace(0, stored - 1, wanted)).astype(np.int64)


def sample_frames(frames: Array, number: int) -> Array:
    """[B, T, C] -> [B, number, C], frames evenly spread over the clip; NumPy stays NumPy."""
    chex.assert_rank(frames, 3)
    return frames[:, frame_positions(frames.shape[1], number)]


def sqrt_counts(frames: Array) -> Array:
    """Square roots of event counts, float32, any shape: a Poisson count's variance then no longer grows with it."""
    return frames.astype(np.float32) ** 0.5


def normalise_pose(joints: Array) -> Array:
    """Joints [B, T, J, D] -> [B, T, J * D]: each clip centred on its mean joint and scaled to root mean square 1.

    Place in the picture and size of the person go; the movement of the whole body within the clip stays.
    """
    chex.assert_rank(joints, 4)
    joints = joints.astype(np.float32)
    centred = joints - joints.mean(axis=(1, 2), keepdims=True)
    scale = (centred * centred).mean(axis=(1, 2, 3), keepdims=True) ** 0.5
    return (centred / (scale + (scale == 0.0))).reshape(*joints.shape[:2], -1)


def character_ngrams(texts: Sequence[str], *, width: int, sizes: Sequence[int] = (1, 2, 3)) -> np.ndarray:
    """Counts of hashed runs of characters, float32 [N, width], each row of Euclidean length 1.

    Spellings that Unicode counts as one, and the two cases, count as one. A mark before and after the text takes part
    in runs of two characters or more, so that beginnings and ends differ from what stands within. The hash is CRC-32
    of UTF-8 bytes, the same on every machine; runs that meet in a column are added up.

    Args:
        texts: N strings; one without any run, such as an empty one with sizes (1,), is a row of zeros.
        width: columns.
        sizes: lengths of the runs.
    """
    rows, places, known = [], [], {}
    for row, text in enumerate(texts):
        bare = unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(text)).casefold())
        marked = f"\x02{bare}\x03"
        for size in sizes:
            whole = bare if size == 1 else marked
            for start in range(len(whole) - size + 1):
                run = whole[start : start + size]
                if run not in known:
                    known[run] = zlib.crc32(run.encode()) % width
                rows.append(row)
                places.append(known[run])
    counts = np.zeros((len(texts), width), np.float32)
    np.add.at(counts, (np.array(rows, np.int64), np.array(places, np.int64)), 1.0)
    length = np.linalg.norm(counts, axis=1, keepdims=True)
    counts /= length + (length == 0.0)
    return counts


KINDS = ("none", "standard", "centre", "clip", "clip_centre", "centre_clip")


@jax.jit
def _sums(frames: Array, pivot: Array) -> tuple[Array, Array]:
    """Over a block's frames: the sums of (x - pivot) and of its square, each [C]."""
    difference = frames - pivot[None, None]
    return difference.sum(axis=(0, 1)), jnp.square(difference).sum(axis=(0, 1))


def fit_normalisation(
    table: Table, kind: str, *, column: str = "frames", floor: float = 0.1, block: int = 256
) -> dict[str, np.ndarray]:
    """Shift and scale [C], float32, from all frames of a table, read `block` items at a time.

    Args:
        table: the training part.
        column: of it, [N, T, C].
        kind: 'none' (0 and 1); 'standard' (each dimension to mean 0 and standard deviation 1); 'centre' (mean 0, then
            one scale for all dimensions, so that the root mean square of an entry is 1); 'clip' (nothing fitted, each
            clip by itself to root mean square 1); 'clip_centre' and 'centre_clip' (the two in that order).
        floor: with 'standard', no standard deviation counts as less than this share of their root mean square, so that
            a dimension which hardly ever moves isn't blown up to the size of the others.
        block: items read at once.

    Returns:
        `shift`, `scale`, `clip_before` and `clip_after`, for `normalise`.
    """
    if kind not in KINDS:
        raise InputError(f"data.normalise: expected one of {', '.join(KINDS)}, found {kind!r}.")
    before = kind in ("clip", "clip_centre")
    clips = {"clip_before": np.bool_(before), "clip_after": np.bool_(kind == "centre_clip")}
    clip, width = table.columns[column].shape
    frames = len(table) * clip
    if kind in ("none", "clip"):
        return {"shift": np.zeros(width, np.float32), "scale": np.ones(width, np.float32), **clips}

    def read(rows):
        values = table.read(rows, [column])[column].astype(np.float32)
        return scale_clips(values) if before else values

    first = read(np.arange(min(block, len(table))))
    pivot = first.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    total, square = np.zeros(width), np.zeros(width)
    for start in range(0, len(table), block):
        rows = np.arange(start, min(start + block, len(table)))
        values = read(rows)
        if len(first) == block > len(rows):  # frames at the pivot add nothing, and one compilation serves all blocks
            missing = np.broadcast_to(pivot, (block - len(rows), *values.shape[1:]))
            values = np.concatenate([values, missing])
        for sum_, part in zip((total, square), _sums(values, pivot), strict=True):
            sum_ += np.asarray(part, np.float64)
    variance = np.maximum(square / frames - np.square(total / frames), 0.0)
    rms = np.sqrt(variance.mean())
    if rms == 0.0:
        deviation = np.ones(width)
    elif kind != "standard":
        deviation = np.full(width, rms)
    else:
        deviation = np.maximum(np.sqrt(variance), floor * rms)
    shift, scale = (pivot + total / frames).astype(np.float32), (1.0 / deviation).astype(np.float32)
    return {"shift": shift, "scale": scale, **clips}


def normalise(frames: Array, shift: Array, scale: Array, clip_before: bool, clip_after: bool) -> Array:
    """(frames - shift) * scale in float32, [B, T, C] with shift and scale [C], and `scale_clips` before or after it.

    NumPy stays NumPy.
    """
    chex.assert_rank([frames, shift, scale], [3, 1, 1])
    frames = frames.astype(np.float32)
    frames = scale_clips(frames) if clip_before else frames
    frames = (frames - shift[None, None]) * scale[None, None]
    return scale_clips(frames) if clip_after else frames


def scale_clips(frames: Array) -> Array:
    """Each clip of [B, T, C] over the root mean square of its entries; one of zeros stays so."""
    chex.assert_rank(frames, 3)
    size = (frames * frames).mean(axis=(1, 2), keepdims=True) ** 0.5
    return frames / (size + (size == 0.0))
