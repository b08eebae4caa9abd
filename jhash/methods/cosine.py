"""The features themselves, ranked by cosine similarity: what codes of any length are held against.

No training steps and nothing learned, so `rows` and `loss` don't exist.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import optax

from jhash.features import structure_view
from jhash.types import Array, Key, Past, Stage, Table, TrainState, Tree


@dataclasses.dataclass(frozen=True)
class Method:
    """Fields: `structure_features`, 'mean' or 'flatten' over frames. There are no bits."""

    bits: int = 0
    structure_features: str = "mean"
    column: str = "frames"  # 'features' of media: each is hashed by itself, and asked within itself alone
    real: ClassVar[bool] = True
    across_media: ClassVar[bool] = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    inputs = columns

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        if self.column == "frames":
            return [Stage("cosine", "train", len(tables["train"]), batch=1, steps=0, pass_steps=1)]
        parts = [name for name in tables if name.endswith("/train")]
        return [Stage(part.split("/")[0], part, len(tables[part]), batch=1, steps=0, pass_steps=1) for part in parts]

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> Tree:
        return {}

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        return {}, {}

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        return optax.identity()

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return context

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        """The view of the frames [B, T, C]: [B, C] or [B, T * C]."""
        return structure_view(inputs[self.column], self.structure_features)
