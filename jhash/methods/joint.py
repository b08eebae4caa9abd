"""A supervised baseline that sees all media at once: SHE's networks and losses with one library and one training.

Each step takes a batch of every medium; the prototypes are shared, and items of all media tell classes apart together.
What a method loses that gets its media one by one is measured against it. It is jhash's own, from no paper.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from jhash import fields
from jhash.encoders.perceptron import apply_layers, init_layers
from jhash.losses import she as losses
from jhash.types import Across, Array, InputError, Key, Past, Rows, Stage, Table, TrainState, Tree


@dataclasses.dataclass(frozen=True)
class Method:
    """Fields as in SHE; `media` are those of config.modalities."""

    bits: int = 64
    media: tuple[str, ...] = ()
    hidden: int = 4096
    prototypes: int = 3
    separation: float = 1.0
    discrimination: float = 4.0
    batch: int = 256  # of each medium
    epochs: int = 300  # of the largest medium
    learning_rate: float = 1e-4

    inputs: ClassVar[tuple[str, ...]] = ("features",)
    real: ClassVar[bool] = False

    def __post_init__(self):
        fields.check_counts(self, "bits", "hidden", "batch", "epochs")
        fields.check_rates(self, "learning_rate")
        fields.check_numbers(self, "separation", "discrimination")
        if self.prototypes < 2:
            raise InputError(f"config.hyper.prototypes: expected at least 2 a class, found {self.prototypes}")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{medium}:{column}" for medium in self.media for column in ("features", "labels"))

    @property
    def described(self) -> str:
        """How results name it."""
        return f"hidden {self.hidden}"

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        """One stage on the table that holds all media side by side.

        Raises:
            InputError: pairs, which have no such table.
        """
        if "all/together" not in tables:
            raise InputError("joint: expected media that arrive one by one, found pairs")
        table = tables["all/together"]
        batch = min(self.batch, len(table))
        epoch = len(table) // batch
        return [Stage("joint", "all/together", len(table), batch, self.epochs * epoch, epoch)]

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate, b1=0.5, b2=0.999)

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> Tree:
        return {}

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        keys = jax.random.split(key, len(self.media) + 1)
        params = {}
        for medium, one in zip(self.media, keys[1:], strict=True):
            widths = (example[f"{medium}:features"].shape[-1], self.hidden, self.hidden, self.bits)
            params[medium] = init_layers(one, widths, last_bias=False)
        classes = example[f"{self.media[0]}:labels"].shape[-1]
        shape = (classes, self.prototypes, self.bits)
        return params | {"library": jax.random.uniform(keys[0], shape, minval=-1, maxval=1)}, {}

    def rows(self, stage: Stage, context: Tree, order: Array, step: Array, key: Key) -> Rows:
        return {"item": jax.lax.dynamic_slice_in_dim(order, step % stage.per_epoch * stage.batch, stage.batch)}

    def loss(
        self,
        stage: Stage,
        context: Tree,
        params: Tree,
        collections: Tree,
        batch: Mapping[str, Mapping[str, Array]],
        rows: Rows,
        step: Array,
        key: Key,
        across: Across,
    ) -> tuple[Array, tuple[Tree, Mapping[str, Array]]]:
        """KLM of every medium, KLR of the one library, DHL over the items of all media."""
        items, library = batch["item"], losses.unit(params["library"])
        labels = jnp.concatenate([items[f"{medium}:labels"] for medium in self.media])
        relaxed = [losses.unit(apply_layers(params[medium], items[f"{medium}:features"])) for medium in self.media]
        codes = jnp.concatenate(relaxed)
        terms = {
            "mining": losses.mining(codes, labels, library),
            "separation": losses.separation(library, form="paper"),
            "discrimination": losses.discrimination(
                codes, labels, across.gather(codes), across.gather(labels), form="paper"
            ),
        }
        total = terms["mining"] + self.separation * terms["separation"] + self.discrimination * terms["discrimination"]
        return total, (collections, terms)

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return {}

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        return apply_layers(past["joint"].params[modality], inputs["features"])
