"""Locality-sensitive hashing by random hyperplanes through the mean of the data.

Charikar 2002, "Similarity estimation techniques from rounding algorithms": two vectors fall on different sides of a
random hyperplane with probability angle / π. No training steps, so `rows` and `loss` don't exist.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np
import optax

from jhash.features import structure_view
from jhash.types import Array, Key, Past, Stage, Table, TrainState, Tree

BLOCK = 4096  # rows of features taken to float64 at a time


@dataclasses.dataclass(frozen=True)
class Method:
    """Fields: `bits`; `structure_features`, 'mean' or 'flatten' over frames."""

    bits: int
    structure_features: str = "mean"
    column: str = "frames"  # 'features' of media: each is hashed by itself, and asked within itself alone
    real: ClassVar[bool] = False
    across_media: ClassVar[bool] = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    inputs = columns

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        if self.column == "frames":
            return [Stage("lsh", "train", len(tables["train"]), batch=1, steps=0, pass_steps=1)]
        parts = [name for name in tables if name.endswith("/train")]
        return [Stage(part.split("/")[0], part, len(tables[part]), batch=1, steps=0, pass_steps=1) for part in parts]

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> dict[str, np.ndarray]:
        """`mean` [F] of the training items and normally distributed `hyperplanes` [F, bits], both float32."""
        features = tables[stage.table].map(self._view, self.columns, scratch / "features.npy")
        starts = range(0, len(features), BLOCK)
        mean = sum(features[start : start + BLOCK].sum(axis=0, dtype=np.float64) for start in starts) / len(features)
        hyperplanes = jax.random.normal(key, (features.shape[1], self.bits))
        return {"mean": mean.astype(np.float32), "hyperplanes": np.asarray(hyperplanes, np.float32)}

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        return {}, {}

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        return optax.identity()

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return context

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        """[B, bits] from frames [B, T, C], or features [B, ...] of a medium."""
        kept = past["lsh" if self.column == "frames" else modality].kept
        return (self._view(inputs) - kept["mean"][None, :]) @ kept["hyperplanes"]

    def _view(self, inputs):
        return structure_view(inputs[self.column], self.structure_features)
