"""DSMHN: two streams and their hash functions, learned jointly from pairs (IEEE TNNLS 34(4)).

Only the paper's abstract is at hand, so this is a reconstruction: its parts are the paper's (a network a medium, codes
alike where labels are, codes that tell classes apart, quantisation, bit balance), their formulas are ours. The media
are those of config.modalities: image and text, video and text, or any two whose items come in pairs.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np
import optax

from jhash import fields
from jhash.encoders.augment import flip_and_shift
from jhash.encoders.backbone import check_items
from jhash.encoders.dropout import row_keys
from jhash.encoders.stream import Stream
from jhash.losses import dsmhn as losses
from jhash.losses.similarity import shares_class
from jhash.types import Across, Array, InputError, Key, Past, Rows, Stage, Table, TrainState, Tree
from jhash.weights import read_weights


@dataclasses.dataclass(frozen=True)
class Method:
    """DSMHN. `backbones`, `weights` and `hidden` have one entry for each of the media, in their order."""

    bits: int = 64
    media: tuple[str, ...] = ("image", "text")
    backbones: tuple[str, ...] = ("", "")  # '' takes vectors; others: see jhash.encoders.backbone
    weights: tuple[str, ...] = ("", "")  # files of pretrained weights; '' trains the backbone from scratch
    hidden: tuple[int, ...] = (1024, 1024)  # a dense layer before the codes; 0: none
    # losses; the defaults were chosen on folds of training parts (BUILD_NOTES)
    inter: str = "triplet"  # 'logistic' | 'contrastive' | 'squared' | 'triplet'
    balanced: bool = True  # alike and unlike pairs of an item weigh half each
    margin: float = 1.0  # of 'contrastive' and 'triplet', in squared distances a bit: 4 between opposite codes
    similarity: float = 1.0  # λ1
    semantic: float = 1.0  # λ2
    quantisation: float = 0.1  # λ3
    balance: float = 0.1  # λ4
    # training
    batch: int = 128
    epochs: int = 30
    learning_rate: float = 1e-3  # falls to 0 along a cosine
    backbone_learning_rate: float | None = None  # of pretrained ones; None: as the rest
    weight_decay: float = 0.0
    dropout: float = 0.0
    augment: bool = False  # pictures and clips are mirrored and moved a little
    dtype: str = "float32"  # of the products; parameters and losses stay float32

    inputs: ClassVar[tuple[str, ...]] = ("features",)
    real: ClassVar[bool] = False
    paired: ClassVar[bool] = True

    def __post_init__(self):
        if len(set(self.media)) != 2:
            raise InputError(f"config.modalities: dsmhn takes two different media, found {self.media}")
        for name in ("backbones", "weights", "hidden"):
            if len(getattr(self, name)) != 2:
                raise InputError(
                    f"config.hyper.{name}: expected an entry for each of two media, found {getattr(self, name)}"
                )
        for backbone, file in zip(self.backbones, self.weights, strict=True):
            if file and not backbone:
                raise InputError(f"config.hyper.weights: {file!r} needs a backbone to go into, found ''")
        if not all(isinstance(width, int) and width >= 0 for width in self.hidden):
            raise InputError(f"config.hyper.hidden: expected widths, or 0 for none, found {self.hidden}")
        fields.check_choices(self, {"inter": losses.INTER, "dtype": ("float32", "bfloat16")})
        fields.check_counts(self, "bits", "batch", "epochs")
        fields.check_rates(self, "learning_rate")
        weights = ("similarity", "semantic", "quantisation", "balance")
        fields.check_numbers(self, *weights, "margin", "weight_decay", "backbone_learning_rate")
        fields.check_numbers(self, "dropout", below=1.0)
        if not any(getattr(self, name) for name in weights):
            raise InputError(f"config.hyper: expected one of {', '.join(weights)} above 0, found none")

    @property
    def columns(self) -> tuple[str, ...]:
        first, second = self.media
        return (f"{first}:features", f"{second}:features", f"{first}:labels")

    @property
    def described(self) -> str:
        """How results name it."""
        return self.inter

    @property
    def from_scratch(self) -> dict[str, str]:
        """Medium -> its backbone, where that begins without pretrained weights."""
        given = zip(self.media, self.backbones, self.weights, strict=True)
        return {medium: backbone for medium, backbone, file in given if backbone and not file}

    # the span of training

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        """The pretrained weights where there are any, then both streams at once.

        Raises:
            InputError: items that a backbone can't take; fewer pairs than a batch.
        """
        pairs = tables["pairs"]
        for medium, backbone in zip(self.media, self.backbones, strict=True):
            check_items("backbones", medium, backbone, pairs.columns[f"{medium}:features"].shape)
        if len(pairs) < self.batch:
            raise InputError(f"{pairs.name}: config.hyper.batch is {self.batch}, but there are only {len(pairs)} pairs")
        epoch = len(pairs) // self.batch
        joint = Stage("streams", "pairs", len(pairs), self.batch, self.epochs * epoch, epoch)
        return [Stage("weights", "pairs", len(pairs), 1, 0, 1), joint] if any(self.weights) else [joint]

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        def falling(rate):
            return optax.adamw(optax.cosine_decay_schedule(rate, max(stage.steps, 1)), weight_decay=self.weight_decay)

        if self.backbone_learning_rate is None:
            return falling(self.learning_rate)
        rates = {"pretrained": falling(self.backbone_learning_rate), "rest": falling(self.learning_rate)}
        return optax.multi_transform(rates, self._kinds)

    def _kinds(self, params: Tree) -> Tree:
        """'pretrained' for each leaf of a backbone with weights of its own, else 'rest'."""
        given = [medium for medium, file in zip(self.media, self.weights, strict=True) if file]
        flat = flax.traverse_util.flatten_dict(params)
        kinds = {path: "pretrained" if path[0] in given and "backbone" in path else "rest" for path in flat}
        return flax.traverse_util.unflatten_dict(kinds)

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> Tree:
        """Of 'weights' the files' arrays, 'image/params/conv1_1/kernel' each; then `single` [], no item of two classes.

        Raises:
            InputError: a file of weights that is missing or isn't the backbone's.
        """
        if stage.name == "weights":
            found = {}
            for medium, backbone, file in zip(self.media, self.backbones, self.weights, strict=True):
                if file:
                    variables = flax.traverse_util.flatten_dict(read_weights(Path(file), backbone), sep="/")
                    found |= {f"{medium}/{name}": array for name, array in variables.items()}
            return found
        table = tables[stage.table]
        blocks = np.array_split(np.arange(len(table)), max(1, len(table) // 65536))
        column = f"{self.media[0]}:labels"
        return {"single": np.bool_(all((table.read(rows, [column])[column].sum(1) <= 1).all() for rows in blocks))}

    # the steps

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        """A stream and a linear classifier for each medium; pretrained arrays in place of drawn ones."""
        if stage.name == "weights":
            return {}, {}
        given = past["weights"].kept if "weights" in past else {}
        params, collections = {}, {}
        for number, medium in enumerate(self.media):
            stream_key, classifier_key = jax.random.split(jax.random.fold_in(key, number))
            variables = dict(self._stream(medium, None).init(stream_key, example[f"{medium}:features"]))
            params[medium] = _replaced(variables.pop("params"), given, f"{medium}/params/")
            if variables:
                collections[medium] = _replaced(variables["batch_stats"], given, f"{medium}/batch_stats/")
            classes = example[f"{self.media[0]}:labels"].shape[-1]
            params[f"{medium}_classifier"] = {
                "kernel": nn.initializers.lecun_normal()(classifier_key, (self.bits, classes)),
                "bias": np.zeros(classes, np.float32),
            }
        return params, collections

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
        """λ1 inter + λ2 semantic + λ3 quantisation + λ4 balance; the last three are means of the two media's."""
        items = batch["item"]
        labels = items[f"{self.media[0]}:labels"]
        places, relaxed, after = across.places(len(labels)), {}, {}
        for number, medium in enumerate(self.media):
            noise = jax.random.fold_in(key, number)
            relaxed[medium], after[medium] = self._relaxed(
                params, collections, medium, items[f"{medium}:features"], noise, places, across
            )
        similar = shares_class(labels, across.gather(labels))
        terms = dict.fromkeys(("similarity", "semantic", "quantisation", "balance"), 0.0)
        for medium, other in (self.media, self.media[::-1]):
            h, classifier = relaxed[medium], params[f"{medium}_classifier"]
            logits = h @ classifier["kernel"] + classifier["bias"][None]
            terms["similarity"] += 0.5 * losses.inter(
                h,
                across.gather(relaxed[other]),
                similar,
                kind=self.inter,
                margin=self.margin,
                balanced=self.balanced,
            )
            terms["semantic"] += 0.5 * losses.semantic(logits, labels, context["single"])
            terms["quantisation"] += 0.5 * losses.quantisation(h)
            terms["balance"] += 0.5 * losses.balance(across.gather(h))
        total = sum(getattr(self, name) * term for name, term in terms.items())
        return total, ({medium: stats for medium, stats in after.items() if stats}, terms)

    def _stream(self, medium: str, axis: str | None) -> Stream:
        number = self.media.index(medium)
        return Stream(self.bits, self.backbones[number], self.hidden[number], self.dropout, self.dtype, axis)

    def _relaxed(self, params, collections, medium, items, key, places, across):
        """Relaxed codes [B, K] in training, and the backbone's running statistics, {} where it has none."""
        if self.augment and items.ndim > 2:
            items = flip_and_shift(items, row_keys(jax.random.fold_in(key, 1), places))
        variables = {"params": params[medium]}
        if medium in collections:
            variables["batch_stats"] = collections[medium]
        stream = self._stream(medium, across.axis)
        codes, changed = stream.apply(variables, items, jax.random.fold_in(key, 2), places, mutable=["batch_stats"])
        return codes, changed.get("batch_stats", {})

    # what stays

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return context if stage.name == "weights" else {}

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        left = past["streams"]
        variables = {"params": left.params[modality]}
        if modality in left.collections:
            variables["batch_stats"] = left.collections[modality]
        return self._stream(modality, None).apply(variables, inputs["features"])


def _replaced(variables: Tree, given: Mapping[str, Array], prefix: str) -> Tree:
    """The backbone's arrays replaced by the given ones under that prefix."""
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    for name, array in given.items():
        if name.startswith(prefix):
            flat[f"backbone/{name.removeprefix(prefix)}"] = array
    return flax.traverse_util.unflatten_dict(flat, sep="/")
