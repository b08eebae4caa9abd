"""Iterative quantisation: PCA, then the rotation that brings the projections nearest to the corners of a cube.

Gong and Lazebnik 2011, "Iterative quantization: a Procrustean approach to learning binary codes". No training steps:
`prepare` does all the work, so `rows` and `loss` don't exist.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import chex
import jax
import numpy as np
import optax
import scipy.linalg

from jhash.features import structure_view
from jhash.types import Array, InputError, Key, Past, Stage, Table, TrainState, Tree

BLOCK = 2**24  # numbers of features taken to float64 at a time, 128 MB
LARGEST = 8192  # the widest covariance, half a GB
ROUNDS = 8  # of subspace iteration, where a covariance would be wider


def pca(features: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean [F] and the leading eigenvectors [F, D] of the covariance of features [N, F], in float64.

    D is `components`, or as many directions as the features vary in where those are fewer. Features are read in blocks
    of rows and may be memory-mapped. Where there are fewer items than dimensions the eigenvectors come from the
    products between items, [N, N], in place of the covariance; where there are many of both, from subspace iteration.

    Raises:
        InputError: where the features don't vary at all.
    """
    chex.assert_rank(features, 2)
    items, width = features.shape
    mean = sum(block.sum(axis=0) for _, block in _blocks(features)) / items
    size = min(items, width)
    components = min(components, size)
    if size > LARGEST:
        variances, axes = _by_iteration(features, mean, components)
    else:
        products = _products(features, mean)
        variances, axes = scipy.linalg.eigh(products, subset_by_index=[size - components, size - 1])
    if variances[-1] <= 0.0:
        raise InputError("ITQ: expected features that vary, found items that are all alike.")
    vary = variances > 1e-12 * variances[-1]
    variances, axes = variances[vary], axes[:, vary]
    if len(axes) < width:
        axes = sum((block - mean[None, :]).T @ axes[rows] for rows, block in _blocks(features)) / np.sqrt(variances)
    return mean, axes[:, ::-1]


def _products(features, mean):
    """The covariance times N, [F, F], or where there are fewer items the products between them, [N, N]."""
    items, width = features.shape
    if width <= items:
        return sum(block.T @ block for block in (block - mean[None, :] for _, block in _blocks(features)))
    products = np.empty((items, items))
    for rows, block in _blocks(features):
        for others, other in _blocks(features):
            products[rows, others] = (block - mean[None, :]) @ (other - mean[None, :]).T
    return products


def _by_iteration(features, mean, components):
    """The leading eigenvalues [D] of the covariance times N, rising, and eigenvectors [F, D], without forming it.

    Halko, Martinsson and Tropp 2011, "Finding structure with randomness": twice the directions are multiplied by it a
    few times, and the exact eigenvectors are taken within what they span.
    """
    axes = np.random.default_rng(0).standard_normal((features.shape[1], 2 * components + 8))
    for _ in range(ROUNDS):
        axes, _ = np.linalg.qr(axes)
        axes = sum(block.T @ (block @ axes) for block in (block - mean[None, :] for _, block in _blocks(features)))
    axes, _ = np.linalg.qr(axes)
    projected = [(block - mean[None, :]) @ axes for _, block in _blocks(features)]
    variances, within = scipy.linalg.eigh(sum(part.T @ part for part in projected))
    return variances[-components:], axes @ within[:, -components:]


def project(features: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(features - mean) times axes: [N, F], [F] and [F, D] -> [N, D] in float64, a block of rows at a time."""
    chex.assert_rank([features, mean, axes], [2, 1, 2])
    return np.concatenate([(block - mean[None, :]) @ axes for _, block in _blocks(features)])


def rotate(projected: np.ndarray, rotation: np.ndarray, *, iterations: int) -> np.ndarray:
    """Alternately takes B = sgn(V R) and the R that minimises ||B - V R||²: Gong and Lazebnik 2011, Eq 2.

    Args:
        projected: V [N, D], centred, D at most K.
        rotation: R [D, K] to begin with, orthogonal; of orthonormal rows where D < K.
        iterations: 50 in the paper.

    Returns:
        R [D, K].
    """
    chex.assert_rank([projected, rotation], 2)
    for _ in range(iterations):
        codes = np.where(projected @ rotation >= 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(projected.T @ codes, full_matrices=False)
        rotation = left @ right
    return rotation


def rotation_start(key: Key, directions: int, bits: int) -> np.ndarray:
    """A random R [D, K] of orthonormal rows, D at most K."""
    square, _ = np.linalg.qr(np.asarray(jax.random.normal(key, (bits, bits)), np.float64))
    return square[:directions]


@dataclasses.dataclass(frozen=True)
class Method:
    """Fields: `bits`; `structure_features`, 'mean' or 'flatten' over frames.

    Features of fewer directions than bits, which the paper doesn't have, are rotated into as many signs all the same.
    """

    bits: int
    structure_features: str = "mean"
    iterations: int = 50
    column: str = "frames"  # 'features' of media: each is hashed by itself, and asked within itself alone
    real: ClassVar[bool] = False
    across_media: ClassVar[bool] = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    inputs = columns

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        if self.column == "frames":
            return [Stage("itq", "train", len(tables["train"]), batch=1, steps=0, pass_steps=1)]
        parts = [name for name in tables if name.endswith("/train")]
        return [Stage(part.split("/")[0], part, len(tables[part]), batch=1, steps=0, pass_steps=1) for part in parts]

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> dict[str, np.ndarray]:
        """`mean` [F] and `projection` [F, bits], PCA and rotation in one, both float32."""
        features = tables[stage.table].map(self._view, self.columns, scratch / "features.npy")
        mean, axes = pca(features, self.bits)
        projected = project(features, mean, axes)
        start = rotation_start(key, axes.shape[1], self.bits)
        projection = axes @ rotate(projected, start, iterations=self.iterations)
        return {"mean": mean.astype(np.float32), "projection": projection.astype(np.float32)}

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        return {}, {}

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        return optax.identity()

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return context

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        """[B, bits] from frames [B, T, C], or features [B, ...] of a medium."""
        kept = past["itq" if self.column == "frames" else modality].kept
        return (self._view(inputs) - kept["mean"][None, :]) @ kept["projection"]

    def _view(self, inputs):
        return structure_view(inputs[self.column], self.structure_features)


def _blocks(features):
    size = max(1, BLOCK // features.shape[1])
    for start in range(0, len(features), size):
        rows = slice(start, start + size)
        yield rows, features[rows].astype(np.float64)
