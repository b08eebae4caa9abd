"""MCMSH: multi-granularity contextualised, multi-structure preserved hashing (Hao et al., ACM MM 2022).

Videos are hashed by an MLP-Mixer with self-gating modules (`jhash.encoders.mixer`) so that three structures found in
the training features survive in the codes: clusters (Eq 7), neighbours (Eq 8-10) and rank order (Eq 11).

The paper's ablations are fields of `Method`:
    Table 1   gates=(), ('L',), ('M',), ('S',), ('L', 'M', 'S')        Table 2   reduction=2, 8, 16, 32
    Table 3   one weight 1 and the others 0; pairs at the final weights
    Fig 3     cluster_weight, similarity_weight, quadruplet_weight
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from jhash import fields, structure
from jhash.encoders.cloze import apply_cloze, draw_cloze
from jhash.encoders.dropout import row_keys
from jhash.encoders.mixer import MCMLP
from jhash.features import structure_view
from jhash.losses import mcmsh as losses
from jhash.types import Across, Array, InputError, Key, Past, Rows, Stage, Table, TrainState, Tree

STRANGERS = 8  # items drawn to find one with S = 0
IN_MEMORY = 512e6  # bytes of structure features kept in memory; more go to a file

VARIANTS = {
    "paper": {
        "hash_form": "tanh_of_mean",
        "gate_form": "sum",
        "cluster_form": "item",
        "pairs": "batch",
        "quantisation_form": "item",
        "masking": False,
    },
    "released": {
        "hash_form": "mean_of_tanh",
        "gate_form": "each",
        "cluster_form": "pair",
        "pairs": "drawn",
        "quantisation_form": "pair",
        "masking": True,
    },
}

CHOICES = {
    "variant": tuple(VARIANTS),
    "hash_form": ("tanh_of_mean", "mean_of_tanh"),
    "gate_form": ("sum", "each"),
    "cluster_form": ("item", "pair"),
    "pairs": ("batch", "drawn"),
    "quantisation_form": ("item", "pair"),
    "quantisation_gradient": ("held", "released"),
    "structure_features": ("mean", "flatten"),
    "dtype": ("float32", "bfloat16"),
}


@dataclasses.dataclass(frozen=True)
class Method:
    """MCMSH. `variant` fills each field that is None from VARIANTS; any of them can be set alone.

    With `steps` in place of the paper's 55 epochs, learning rate and scale still run through their course of `epochs`
    epochs: one counts as steps / epochs steps.
    """

    bits: int = 64
    variant: str = "released"
    # network
    width: int = 256
    gates: tuple[str, ...] = ("L", "M", "S")
    reduction: int = 16
    dropout: float = 0.5
    hash_form: str | None = None
    gate_form: str | None = None  # 'each' gate with two mixes of its own, or the 'sum' of the masks between two mixes
    dtype: str = "float32"  # of the products; parameters, losses and statistics stay float32
    # losses
    cluster_weight: float = 0.8
    similarity_weight: float = 0.1
    quantisation_weight: float = 0.01
    quadruplet_weight: float = 0.01
    margins: tuple[float, float] | None = None  # α₁ and α₂; None: (K / 4, K / 64)
    cluster_form: str | None = None  # Eq 7 of the 'item', or of the 'pair' and over D
    pairs: str | None = None  # Eq 10 over one 'drawn' partner an item, or all pairs of the 'batch'
    quantisation_form: str | None = None  # of the 'item', or of the 'pair' and over K
    quantisation_gradient: str = "held"
    masking: bool | None = None
    # structures
    structure_features: str = "mean"  # what they are found in
    centres: int = 2000
    items_a_centre: float | None = None  # in place of `centres`; FCVID has 23
    neighbours: tuple[int, int, int] = (3, 4, 5)  # m1, m2, m3 of Eq 9
    positives_include_self: bool = False
    unlike_target: float = -1.0  # s of a partner with S = 0, drawn where the pool asked for is empty; released: -1
    pool: int = 64  # positives and negatives drawn for each item
    # training
    batch: int = 256
    epochs: int = 55
    steps: int | None = None  # of the whole training, in place of 55 passes through the data
    learning_rate: float = 3e-4
    decay: float = 0.9
    decay_epochs: int = 20
    lowest_learning_rate: float = 1e-4

    columns: ClassVar[tuple[str, ...]] = ("frames",)
    inputs: ClassVar[tuple[str, ...]] = ("frames",)
    real: ClassVar[bool] = False

    def __post_init__(self):
        for name, value in VARIANTS.get(self.variant, {}).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        fields.check_choices(self, CHOICES)
        fields.check_counts(self, "bits", "width", "reduction", "centres", "pool", "batch", "epochs", "decay_epochs")
        fields.check_counts(self, "steps", least=0)
        fields.check_rates(self, "learning_rate", "lowest_learning_rate", "decay", "items_a_centre")
        fields.check_numbers(self, "dropout", below=1.0)
        weights = ("cluster_weight", "similarity_weight", "quantisation_weight", "quadruplet_weight")
        fields.check_numbers(self, *weights)
        object.__setattr__(self, "gates", tuple(self.gates))
        if len(set(self.gates) & set("LMS")) != len(self.gates):
            raise InputError(f"config.hyper.gates: expected some of 'L', 'M' and 'S', each once, found {self.gates}")
        if self.gates and self.width % self.reduction:
            raise InputError(
                f"config.hyper.reduction: expected a divisor of width {self.width}, found {self.reduction}"
            )
        margins = (self.bits / 4, self.bits / 64) if self.margins is None else tuple(self.margins)
        object.__setattr__(self, "margins", margins)
        if not any(getattr(self, name) for name in weights):
            raise InputError(f"config.hyper: expected one of {', '.join(weights)} above 0, found none")

    @property
    def _paired(self) -> bool:
        """Whether a loss asks for a partner of each anchor."""
        return "drawn" in self.pairs or "pair" in (self.cluster_form, self.quantisation_form)

    @property
    def _roles(self) -> tuple[str, ...]:
        """The forward passes of a step, in the order in which they update the running statistics."""
        return ("item", *(("partner",) if self._paired else ()), "positive", "negative1", "negative2")

    @property
    def described(self) -> str:
        """How results name it."""
        return self.variant

    def _network(self, axis_name: str | None = None) -> MCMLP:
        return MCMLP(
            bits=self.bits,
            width=self.width,
            gates=self.gates,
            reduction=self.reduction,
            gate_form=self.gate_form,
            dropout=self.dropout,
            dtype=self.dtype,
            axis_name=axis_name,
        )

    # the span of training

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        """One stage, 'train', on the table 'train'.

        Raises:
            InputError: the table holds fewer items than a batch, or than centres.
        """
        table = tables["train"]
        size = len(table)
        if size < self.batch:
            raise InputError(f"{table.name}: expected at least a batch of {self.batch} items, found {size}")
        if not self.neighbours[2] <= self._centres(size) <= size:
            raise InputError(
                f"config.hyper.centres: expected {self.neighbours[2]} (config.hyper.neighbours) to {size} (items of "
                f"{table.name}), found {self._centres(size)}"
            )
        epoch = size // self.batch
        steps = self.epochs * epoch if self.steps is None else self.steps
        return [Stage("train", "train", size, self.batch, steps, epoch)]

    def _centres(self, size: int) -> int:
        return (
            self.centres if self.items_a_centre is None else max(self.neighbours[2], round(size / self.items_a_centre))
        )

    def _epoch(self, stage: Stage, step: Array) -> Array:
        """[] float32, from 0. In floats: step · epochs may not fit 32 bits."""
        return jnp.floor(step * jnp.float32(self.epochs / max(stage.steps, 1)) + 1e-4)

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        lowest = min(self.lowest_learning_rate, self.learning_rate)

        def schedule(step):
            decays = self._epoch(stage, step) // self.decay_epochs
            return jnp.maximum(self.learning_rate * self.decay**decays, lowest)

        return optax.flatten(optax.adam(schedule))  # one leaf in place of 78 to compile

    # the structures

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> Tree:
        """The `nearest` centres [N, m3], their PCA `targets` [M, width], and each item's drawn pools."""
        table = tables[stage.table]
        frames, channels = table.columns["frames"].shape
        wide = channels if self.structure_features == "mean" else frames * channels
        path = scratch / "features.npy" if 4 * len(table) * wide > IN_MEMORY else None
        view = table.map(lambda block: structure_view(block["frames"], self.structure_features), ["frames"], path)
        cluster, draw = jax.random.split(key)
        centres = structure.kmeans(view, self._centres(len(table)), key=cluster).centres
        nearest, _ = structure.nearest_centres(view, centres, self.neighbours[2])
        pools = structure.mcmsh_pools(
            nearest,
            neighbours=self.neighbours,
            size=self.pool,
            key=draw,
            positives_include_self=self.positives_include_self,
        )
        wanted = ("positive", "positive_count", "negative", "negative_count")
        targets = structure.pca(centres, self.width)
        return {"nearest": nearest, "targets": targets, **{name: pools[name] for name in wanted}}

    # the steps

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        frames = jnp.asarray(example["frames"], self.dtype)
        variables = self._network().init(key, [frames])
        return variables["params"], {
            "batch_stats": variables.get("batch_stats", {}),
            "scale": jnp.float32(1),  # a of the hash layer, √(epoch + 1)
        }

    def rows(self, stage: Stage, context: Tree, order: Array, step: Array, key: Key) -> Rows:
        """Each role's rows, and the facts `sign` (s of anchor and partner) and `has_negative`."""
        context = jax.tree.map(jnp.asarray, context)
        item = jax.lax.dynamic_slice_in_dim(order, step % stage.per_epoch * stage.batch, stage.batch)
        keys = jax.random.split(key, 6)
        has_positive, has_negative = context["positive_count"][item] > 0, context["negative_count"][item] > 0
        negative1 = _draw(context, "negative", item, keys[1])
        negative2 = _draw(context, "negative", item, keys[2])
        close = context["nearest"][:, : self.neighbours[0]]
        similar = structure.shares_centre(close[negative1], close[negative2])
        rows = {
            "item": item,
            "positive": _draw(context, "positive", item, keys[0]),
            "negative1": negative1,
            "negative2": jnp.where(similar, _draw(context, "negative", item, keys[3]), negative2),
            "has_negative": has_negative,
        }
        if not self._paired:
            return rows
        attract = jax.random.bernoulli(keys[4], shape=item.shape)
        drawn, other, stranger = jax.random.split(keys[5], 3)
        partner = jnp.where(attract, _draw(context, "positive", item, drawn), _draw(context, "negative", item, other))
        found = jnp.where(attract, has_positive, has_negative)
        sign = jnp.where(found, jnp.where(attract, 1.0, -1.0), self.unlike_target)
        return rows | {
            "partner": jnp.where(found, partner, _draw_unlike(context, item, stranger, self.neighbours)),
            "sign": sign,
        }

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
        """Eq 12, after a forward pass of each role by its own batch statistics."""
        roles = self._roles
        frames = [batch[role]["frames"] for role in roles]
        places = across.places(frames[0].shape[0])
        dropout, masks = jax.random.split(key)
        keys = [jax.random.split(jax.random.fold_in(dropout, layer), len(roles)) for layer in range(4)]
        keys = jax.vmap(jax.vmap(lambda one: row_keys(one, places)))(jnp.stack(keys))

        def corrupt(projected):
            everyone = across.gather(projected[0])
            number, length = everyone.shape[:2]
            masked = [
                apply_cloze(one, everyone, draw_cloze(jax.random.fold_in(masks, i), places, length, number))
                for i, one in enumerate(projected[: 2 if self._paired else 1])
            ]
            return masked + projected[len(masked) :]

        (embedding, y), updated = self._network(across.axis).apply(
            {"params": params, "batch_stats": collections["batch_stats"]},
            frames,
            keys,
            corrupt if self.masking else None,
            mutable=["batch_stats"],
        )
        scale = jnp.sqrt(self._epoch(stage, step) + 1)
        relaxed = self._relaxed(y, scale)
        logs = self._losses(context, embedding, relaxed, rows, across)
        collections = {"batch_stats": updated.get("batch_stats", {}), "scale": scale}
        return self._objective(logs), (collections, logs)

    def _relaxed(self, y: Array, scale: Array) -> Array:
        y = y.astype(jnp.float32)
        return losses.hash_tanh_of_mean(y) if self.hash_form == "tanh_of_mean" else losses.hash_mean_of_tanh(y, scale)

    def _losses(self, context, embedding, relaxed, rows, across) -> dict[str, Array]:
        """The four losses without their weights, from embeddings [R, B, D] and relaxed codes [R, B, K]."""
        targets, nearest = jnp.asarray(context["targets"]), jnp.asarray(context["nearest"])
        centre = lambda role: targets[nearest[rows[role], 0]]  # noqa: E731
        of = dict(zip(self._roles, relaxed, strict=True))
        if self.cluster_form == "item":
            cluster = losses.cluster_loss(embedding[0], centre("item"))
        else:
            cluster = losses.cluster_loss_of_pairs(embedding[:2], jnp.stack([centre("item"), centre("partner")]))
        if self.pairs == "drawn":
            neighbours = losses.similarity_loss(of["item"], of["partner"], rows["sign"])
        else:
            own, everyone = nearest[rows["item"]], nearest[across.gather(rows["item"])]
            shape = (len(own), *everyone.shape)
            pairs = [jnp.broadcast_to(side, shape) for side in (own[:, None], everyone[None])]
            neighbours = losses.similarity_loss_of_batch(
                of["item"], across.gather(of["item"]), losses.similarity(*pairs, neighbours=self.neighbours)
            )
        if self.quantisation_form == "item":
            quantisation = losses.quantisation_loss(of["item"], gradient=self.quantisation_gradient)
        else:
            quantisation = losses.quantisation_loss_of_pairs(relaxed[:2], gradient=self.quantisation_gradient)
        quadruplet = losses.quadruplet_loss(
            *(of[role] for role in ("item", "positive", "negative1", "negative2")),
            rows["has_negative"],
            margins=self.margins,
        )
        return {
            "cluster": cluster,
            "similarity": neighbours,
            "quantisation": quantisation,
            "quadruplet": quadruplet,
        }

    def _objective(self, terms: Mapping[str, Array]) -> Array:
        """Eq 12, the quantisation apart from the similarity it is printed with: .01 = β · .1."""
        return (
            self.cluster_weight * terms["cluster"]
            + self.similarity_weight * terms["similarity"]
            + self.quantisation_weight * terms["quantisation"]
            + self.quadruplet_weight * terms["quadruplet"]
        )

    # what stays

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return {}

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        left = past["train"]
        variables = {"params": left.params, "batch_stats": left.collections["batch_stats"]}
        _, y = self._network().apply(variables, [inputs["frames"]])
        return self._relaxed(y, left.collections["scale"])[0]


def _draw(context, pool, item, key):
    """A random entry of each item's pool, [B]; the item itself where the pool is empty."""
    count = context[f"{pool}_count"][item]
    chosen = context[pool][item, jax.random.randint(key, item.shape, 0, jnp.maximum(count, 1))]
    return jnp.where(count > 0, chosen, item)


def _draw_unlike(context, item, key, neighbours):
    """A random item with S = 0 for each, [B]; where none of STRANGERS is one, the last of them."""
    nearest = context["nearest"]
    drawn = jax.random.randint(key, (len(item), STRANGERS), 0, len(nearest))
    own = jnp.broadcast_to(nearest[item][:, None], (*drawn.shape, nearest.shape[-1]))
    unlike = (losses.similarity(own, nearest[drawn], neighbours=neighbours) == 0).at[:, -1].set(True)
    return drawn[jnp.arange(len(item)), unlike.argmax(1)].astype(item.dtype)
