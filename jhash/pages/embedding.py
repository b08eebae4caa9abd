"""Codes as points of a plane, for a picture of what lies near what.

Van der Maaten and Hinton 2008, "Visualizing data using t-SNE", of Hamming distances, where scikit-learn is installed;
else the first two principal components.
"""

import importlib.util
from typing import NamedTuple

import chex
import numpy as np

from jhash.types import InputError

MOST = 2000  # points
PERPLEXITY = 30.0
ROUNDS = 500


class Embedding(NamedTuple):
    points: np.ndarray  # [M, 2]
    rows: np.ndarray  # [M] of the codes
    how: str  # what made it, in words


def evenly(size: int, number: int) -> np.ndarray:
    """`number` of rows 0 … size - 1 at even distances, the first and the last among them; all where there are fewer."""
    return np.linspace(0, size - 1, min(size, number)).round().astype(int)


def embed(codes: np.ndarray, most: int = MOST) -> Embedding:
    """Points for at most so many of the codes ±1 [N, K], drawn evenly. The same codes give the same points."""
    chex.assert_rank(codes, 2)
    rows = evenly(len(codes), most)
    chosen = np.asarray(codes[rows], np.float32)
    plane = principal(chosen)
    if importlib.util.find_spec("sklearn") is None:
        return Embedding(plane, rows, "the first two principal components (for t-SNE install jhash[report])")
    if len(chosen) < 8 or not np.ptp(chosen, axis=0).any():
        return Embedding(plane, rows, "the first two principal components, for t-SNE needs more codes that differ")
    return Embedding(_tsne(chosen, plane), rows, "t-SNE of Hamming distances")


def principal(codes: np.ndarray) -> np.ndarray:
    """The first two principal components of codes [N, K], [N, 2]; the largest entry of a direction is positive."""
    centred = codes - codes.mean(axis=0, keepdims=True)
    _, directions = np.linalg.eigh(centred.T @ centred)
    directions = directions[:, ::-1][:, :2]
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])[None]
    plane = np.zeros((len(codes), 2), np.float32)
    plane[:, : directions.shape[1]] = centred @ directions
    return plane


def mixed(codes: np.ndarray, groups: np.ndarray, nearest: int = 10) -> tuple[float, float]:
    """How far groups lie among each other: of each item's `nearest` others, the share that are of another group.

    Items at the same distance share what is left of the places. Codes ±1 [M, K], groups [M]; beside the share, what it
    would be were all codes the same.
    """
    chex.assert_rank([codes, groups], [2, 1])
    if not nearest < len(codes):
        raise InputError(f"mixed: expected more than {nearest} codes, found {len(codes)}")
    codes = np.asarray(codes, np.float32)
    distances = (codes.shape[1] - codes @ codes.T) / 2
    np.fill_diagonal(distances, np.inf)
    last = np.partition(distances, nearest - 1, axis=1)[:, nearest - 1, None]
    nearer, tied = distances < last, distances == last
    left = (nearest - nearer.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
    places = nearer + tied * left
    other = groups[:, None] != groups[None]
    return float((places * other).sum(axis=1).mean() / nearest), float(other.sum() / (len(codes) * (len(codes) - 1)))


def _tsne(codes: np.ndarray, start: np.ndarray) -> np.ndarray:
    """One thread, so that sums have one order."""
    from sklearn.manifold import TSNE  # seconds, which those who draw nothing need not wait for
    from threadpoolctl import threadpool_limits

    distances = (codes.shape[1] - codes @ codes.T) / 2
    np.fill_diagonal(distances, 0.0)
    first = 1e-4 * start / max(float(start[:, 0].std()), 1e-9)
    model = TSNE(
        perplexity=min(PERPLEXITY, (len(codes) - 1) / 3),
        metric="precomputed",
        init=first,
        max_iter=ROUNDS,
        random_state=0,
        n_jobs=1,
    )
    with threadpool_limits(limits=1):
        return model.fit_transform(distances)
