"""CCA-ITQ: the directions in which two media of pairs correlate, then ITQ's rotation, one for both media.

Gong et al. 2013, "Iterative quantization", section 4: canonical correlation analysis (Hotelling 1936) in place of PCA.
No training steps: `prepare` does all the work, so `rows` and `loss` don't exist.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import chex
import jax
import numpy as np
import optax

from jhash.features import structure_view
from jhash.methods.itq import pca, project, rotate, rotation_start
from jhash.types import Array, Key, Past, Stage, Table, TrainState, Tree


def cca(x: np.ndarray, y: np.ndarray, directions: int, *, ridge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions [F, D] of x and [G, D] of y, D at most `directions`, and their canonical correlations [D], falling.

    Args:
        x: [N, F], centred.
        y: [N, G], centred; row i of both is a pair.
        directions: how many at most; there are no more than F or G.
        ridge: added to each covariance, in units of its mean variance.
    """
    chex.assert_rank([x, y], 2)
    chex.assert_equal(len(x), len(y))
    roots = [_inverse_root(view.T @ view / len(view), ridge) for view in (x, y)]
    left, correlations, right = np.linalg.svd(roots[0] @ (x.T @ y / len(x)) @ roots[1], full_matrices=False)
    return roots[0] @ left[:, :directions], roots[1] @ right[:directions].T, correlations[:directions]


def _inverse_root(covariance, ridge):
    values, axes = np.linalg.eigh(covariance)
    values = np.maximum(values, 0.0) + ridge * values.mean()
    return (axes / np.sqrt(values)) @ axes.T


@dataclasses.dataclass(frozen=True)
class Method:
    """Fields: `components`, principal ones of each medium that CCA sees, and its `ridge`, hold back chance alone."""

    bits: int
    media: tuple[str, ...] = ("image", "text")
    components: int = 256
    ridge: float = 0.1
    iterations: int = 50
    inputs: ClassVar[tuple[str, ...]] = ("features",)
    real: ClassVar[bool] = False
    paired: ClassVar[bool] = True

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{medium}:features" for medium in self.media)

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        return [Stage("cca_itq", "pairs", len(tables["pairs"]), batch=1, steps=0, pass_steps=1)]

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> dict[str, np.ndarray]:
        """`<medium>/mean` [F] and `<medium>/projection` [F, bits] of both media, float32.

        Directions count by their correlation, and where there are fewer of them than bits the rotation spreads them.
        """
        means, axes, views = [], [], []
        for medium in self.media:
            features = tables[f"{medium}/train"].map(_flat, self.inputs, scratch / f"{medium}.npy")
            mean, leading = pca(features, self.components)
            means.append(mean)
            axes.append(leading)
            views.append(project(features, mean, leading))
        *directions, correlations = cca(*views, self.bits, ridge=self.ridge)
        directions = [one * correlations[None] for one in directions]
        projected = np.concatenate([view @ one for view, one in zip(views, directions, strict=True)])
        rotation = rotate(projected, rotation_start(key, len(correlations), self.bits), iterations=self.iterations)
        context = {}
        for medium, mean, leading, one in zip(self.media, means, axes, directions, strict=True):
            context[f"{medium}/mean"] = mean.astype(np.float32)
            context[f"{medium}/projection"] = (leading @ one @ rotation).astype(np.float32)
        return context

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        return {}, {}

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        return optax.identity()

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return context

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        """[B, bits] from features [B, ...] of one of the media."""
        kept = past["cca_itq"].kept
        return (_flat(inputs) - kept[f"{modality}/mean"][None]) @ kept[f"{modality}/projection"]


def _flat(inputs: Mapping[str, Array]) -> jax.Array:
    return structure_view(inputs["features"], "flatten")
