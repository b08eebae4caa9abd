"""CMGCAH: cross-modal generation and pair correlation alignment hashing (Ou et al., IEEE T-ITS 2022).

Each side makes the other's features out of its own, guided by the labels that it predicts, and both parts, its own and
the made ones, go through one alignment network to a code. An outer iteration passes over the pairs four times, image
side, its critic, text side, its critic, or twice without generation; then the training codes are B = sgn(U + V).

No program was released; what the paper leaves open is a field with its default. Ablations of Table IV: ablation='a'
(no generation, no alignment), 'b' (no mask), 'c' (no generation), 'd' (no transformer).
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jhash import fields
from jhash.encoders.backbone import PICTURES, check_items
from jhash.encoders.generation import Alignment, ImageFeatures, Layers
from jhash.losses import cmgcah as losses
from jhash.losses.similarity import shares_class
from jhash.types import Across, Array, InputError, Key, Past, Rows, Stage, Table, TrainState, Tree
from jhash.weights import read_weights

CHOICES = {
    "label_loss": losses.LABELS,
    "normalised": losses.NORMALISED,
    "fusion": ("fixed", "printed"),
    "condition": ("held", "trained"),
    "critic": ("pass", "step"),
    "ablation": ("none", "a", "b", "c", "d"),
    "dtype": ("float32", "bfloat16"),
}
SIDES = ("image", "text")  # of the networks; the media are those of config.modalities, in this order
OTHER = {"image": "text", "text": "image"}
TERMS = ("adversarial", "between", "within", "quantisation", "label", "critic")


@dataclasses.dataclass(frozen=True)
class Method:
    """CMGCAH; numbers are the paper's where it prints one, six forms are not: see BUILD_NOTES.md."""

    bits: int = 64
    media: tuple[str, ...] = ("image", "text")
    backbone: str = ""  # of the first medium, before f_dnn's dense layer; '' takes vectors
    weights: str = ""  # a file of pretrained weights for it; resnet50 needs one, for its statistics stay as they are
    ablation: str = "none"
    # networks; the paper prints the features' and the text's widths
    features: int = 2048
    image_hidden: int = 0  # a layer before the image's features; without it and a backbone f_dnn is linear, as printed
    text_hidden: int = 4096
    generator_hidden: int = 4096
    critic_hidden: int = 256
    blocks: int = 1  # of the transformer, ...
    width: int = 512
    heads: int = 8
    position: float = 0.01  # λ, Eq 1
    fusion: str = "fixed"  # [image part, text part] on both sides, for the alignment is shared; 'printed': Eq 7's order
    # losses
    alpha: float = 0.01  # between the media
    beta: float = 0.0001  # within a medium; too little where few pairs are similar, see BUILD_NOTES.md
    gamma: float = 0.01  # quantisation
    delta: float = 0.1  # label prediction
    adversarial: float = 1.0  # the generators' own, printed without a weight
    # Eq 11 and 12: sums over all items and means over the batch; 'mean' over both; 'sum' as printed. The other losses
    # are means over the batch whatever this says
    normalised: str = "rows"
    label_loss: str = "bce"  # 'softmax': Eq 3 and 4 as printed, for one class an item
    # predicted labels that generators and critics are given: 'held' constant, so that predictors learn from labels
    # alone; 'trained', Eq 15 and 17 to the letter, where they learn to please the critic and forget the labels
    condition: str = "held"
    saturating: bool = False  # generators minimise log(1 - D), as printed, or -log D
    # training
    batch: int = 128
    iterations: int = 500  # outer ones
    critic: str = "pass"  # a critic's share of an outer iteration: a 'pass' over the pairs, or one 'step' as printed
    learning_rate: float = 10**-4.5  # falls linearly to final_rate
    final_rate: float = 1e-6
    # of RMSprop's mean squares, which begin at 0: without it, as in the programs that this family was published with,
    # the first steps of training are 10, 7, 5.8 ... times the rate, which a large rate may not survive
    bias_correction: bool = False
    dtype: str = "float32"  # of the products; parameters and losses stay float32

    inputs: ClassVar[tuple[str, ...]] = ("features",)
    real: ClassVar[bool] = False
    paired: ClassVar[bool] = True

    def __post_init__(self):
        if len(set(self.media)) != 2:
            raise InputError(f"config.modalities: expected two different media, found {self.media}")
        fields.check_choices(self, CHOICES)
        fields.check_counts(self, "features", "text_hidden", "generator_hidden", "critic_hidden")
        fields.check_counts(self, "image_hidden", least=0)
        fields.check_counts(self, "blocks", "width", "heads", "bits", "batch", "iterations")
        fields.check_rates(self, "learning_rate")
        fields.check_numbers(self, "position", "alpha", "beta", "gamma", "delta", "adversarial", "final_rate")
        if self.width % self.heads:
            raise InputError(f"config.hyper.width: expected a multiple of {self.heads} heads, found {self.width}")
        if self.weights and not self.backbone:
            raise InputError(f"config.hyper.weights: {self.weights!r} needs a backbone to go into, found ''")
        if self.backbone == "resnet50" and not self.weights:
            raise InputError("config.hyper.weights: expected a file for resnet50, whose statistics stay, found ''")

    @property
    def columns(self) -> tuple[str, ...]:
        first, second = self.media
        return (f"{first}:features", f"{second}:features", f"{first}:labels")

    @property
    def described(self) -> str | None:
        """How results name it."""
        return None if self.ablation == "none" else f"ablation {self.ablation}"

    @property
    def from_scratch(self) -> dict[str, str]:
        """Medium -> its backbone, where that begins without pretrained weights."""
        return {self.media[0]: self.backbone} if self.backbone and not self.weights else {}

    @property
    def generates(self) -> bool:
        return self.ablation not in ("a", "c")

    # the span of training

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        """The pretrained weights where there are any, then the outer iterations, each a pass.

        Raises:
            InputError: items that the backbone can't take, text that is no vector; fewer pairs than a batch.
        """
        pairs = tables["pairs"]
        shapes = [pairs.columns[f"{medium}:features"].shape for medium in self.media]
        if len(shapes[0]) > 3:
            raise InputError(
                f"config.modalities: expected the first, {self.media[0]}, to be pictures or vectors, found items "
                f"{list(shapes[0])}"
            )
        check_items("backbone", self.media[0], self.backbone, shapes[0], PICTURES)
        if len(shapes[1]) != 1:
            raise InputError(
                f"config.modalities: expected the second, {self.media[1]}, to be vectors, found items {list(shapes[1])}"
            )
        if len(pairs) < self.batch:
            raise InputError(f"{pairs.name}: config.hyper.batch is {self.batch}, but there are only {len(pairs)} pairs")
        epoch = len(pairs) // self.batch
        critic = 0 if not self.generates else epoch if self.critic == "pass" else 1
        phases = (epoch, critic, epoch, critic)  # the image side, its critic, the text side, its critic
        each = sum(phases)
        joint = Stage("pairs", "pairs", len(pairs), self.batch, self.iterations * each, each, phases)
        return [Stage("weights", "pairs", len(pairs), 1, 0, 1), joint] if self.weights else [joint]

    def optimizer(self, stage: Stage) -> Tree:
        """RMSprop for each phase, over what that phase moves; the alignment network is moved by both sides.

        It divides by the root of the mean square plus 1e-8, as the programs that this family was published with do.
        """
        if stage.name == "weights":
            return {}
        moved = {side: (side, "alignment") for side in SIDES}
        if self.generates:
            moved |= {f"{side}_critic": (f"{side}_critic",) for side in SIDES}
        if self.ablation == "a":
            moved = {side: (side,) for side in SIDES}
        side, critic, *_ = (self.iterations * steps for steps in stage.phases)
        return {phase: self._rmsprop(critic if phase.endswith("critic") else side, moved[phase]) for phase in moved}

    def _rmsprop(self, steps: int, names: Sequence[str]) -> optax.GradientTransformation:
        """Over those groups of parameters alone, its rate falling linearly over so many steps of its own."""
        rate = optax.linear_schedule(self.learning_rate, self.final_rate, steps)
        rmsprop = optax.rmsprop(rate, decay=0.99, eps=1e-8, eps_in_sqrt=False, bias_correction=self.bias_correction)
        return optax.GradientTransformation(
            lambda params: rmsprop.init({name: params[name] for name in names}), rmsprop.update
        )

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> Tree:
        """The labels [N, C] of all pairs; of the stage 'weights' the file's arrays, 'params/conv1/kernel' each.

        Raises:
            InputError: a file of weights that is missing or isn't the backbone's.
        """
        if stage.name == "weights":
            return flax.traverse_util.flatten_dict(read_weights(Path(self.weights), self.backbone), sep="/")
        column = f"{self.media[0]}:labels"
        return {"labels": tables[stage.table].read(np.arange(stage.size), [column])[column]}

    # networks

    def _networks(self, classes: int) -> Mapping[str, Mapping]:
        """Flax modules by place in the parameters."""
        dtype = self.dtype
        position = 0.0 if self.ablation == "d" else self.position
        transformer = (position, self.width, self.heads, self.blocks)
        features = {
            "image": ImageFeatures(self.features, self.backbone, self.image_hidden, *transformer, dtype),
            "text": Layers((self.text_hidden, self.features), dtype),
        }
        networks = {side: {"features": features[side]} for side in SIDES}
        if self.ablation == "a":
            return {side: {**own, "hash": Alignment(self.bits, False, dtype)} for side, own in networks.items()}
        networks["alignment"] = {"alignment": Alignment(self.bits, self.ablation != "b", dtype)}
        if not self.generates:
            return networks
        for side in SIDES:
            networks[side]["predictor"] = Layers((classes,), dtype)
            networks[side]["generator"] = Layers((self.generator_hidden, self.features), dtype)
            networks[f"{side}_critic"] = {"critic": Layers((self.critic_hidden, 1), dtype)}
        return networks

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        """Parameters by phase. Buffers U and V [N, K], normal draws until the first pass, and B = sgn(U + V); with
        generation the first medium's features [N, F], for its network rests until the next outer iteration; the terms
        as last seen; what a backbone has beside its parameters, which stays as it is.
        """
        if stage.name == "weights":
            return {}, {}
        classes, batch = example[self.columns[2]].shape[-1], stage.batch
        fused = self.features * (2 if self.generates else 1)
        sizes = {
            "predictor": (batch, self.features),
            "generator": (batch, self.features + classes),
            "critic": (batch, self.features + classes),
            "alignment": (batch, fused),
            "hash": (batch, self.features),
        }
        params, fixed = {}, {}
        for number, (group, networks) in enumerate(self._networks(classes).items()):
            params[group] = {}
            for place, (name, network) in enumerate(networks.items()):
                one = jax.random.fold_in(jax.random.fold_in(key, number), place)
                side = SIDES.index(group) if group in SIDES else 0
                items = example[self.columns[side]] if name == "features" else jnp.zeros(sizes[name])
                variables = network.init(one, items)
                params[group][name] = variables["params"]
                if "batch_stats" in variables:  # the image features' alone
                    fixed = variables["batch_stats"]
        if self.weights:
            given = flax.traverse_util.unflatten_dict(past["weights"].kept, sep="/")
            params["image"]["features"]["backbone"] = given["params"]
            fixed = {"backbone": given["batch_stats"]} if "batch_stats" in given else {}
        drawn = jax.random.normal(jax.random.fold_in(key, len(params)), (2, stage.size, self.bits))
        buffers = {"image": drawn[0], "text": drawn[1], "codes": jnp.where(drawn.sum(0) >= 0, 1.0, -1.0)}
        if self.generates:
            buffers["features"] = jnp.zeros((stage.size, self.features))
        kept = [f"{side}_{term}" for side in SIDES for term in TERMS if self.generates or term in TERMS[1:4]]
        return params, buffers | {"fixed": fixed, "terms": dict.fromkeys(kept, jnp.float32(0))}

    def _forward(self, params: Tree, fixed: Tree, side: str, items: Array, classes: int) -> dict[str, Array]:
        """One side's `features` [B, F] and relaxed `codes` [B, K]; with generation `logits`, `condition` [B, C] too and
        what is `made` [B, F].
        """
        networks = self._networks(classes)

        def apply(group, name, x):
            return networks[group][name].apply({"params": params[group][name]}, x)

        variables = {"params": params[side]["features"]} | ({"batch_stats": fixed} if fixed and side == "image" else {})
        own = networks[side]["features"].apply(variables, items)
        if self.ablation == "a":
            return {"features": own, "codes": apply(side, "hash", own)}
        if not self.generates:
            return {"features": own, "codes": apply("alignment", "alignment", own)}
        logits = apply(side, "predictor", own)
        condition = jax.nn.softmax(logits) if self.label_loss == "softmax" else jax.nn.sigmoid(logits)
        if self.condition == "held":
            condition = jax.lax.stop_gradient(condition)
        made = apply(side, "generator", jnp.concatenate([own, condition], axis=1))
        swapped = side == "text" and self.fusion == "fixed"
        fused = jnp.concatenate([made, own] if swapped else [own, made], axis=1)
        codes = apply("alignment", "alignment", fused)
        return {"features": own, "logits": logits, "condition": condition, "made": made, "codes": codes}

    def _judge(self, params: Tree, side: str, features: Array, condition: Array) -> Array:
        """A critic's logits [B]: the other side's features, there or made by this side, under this side's labels."""
        network = self._networks(condition.shape[1])[f"{side}_critic"]["critic"]
        given = jnp.concatenate([features, condition], axis=1)
        return network.apply({"params": params[f"{side}_critic"]["critic"]}, given)[:, 0]

    # the steps

    def rows(self, stage: Stage, context: Tree, order: Array, step: Array, key: Key) -> Rows:
        """Each phase begins with the first batch of the iteration's order."""
        inside = step % stage.pass_steps
        begins = jnp.array([first for first, last in stage.bounds if last > first])
        place = inside - begins[jnp.searchsorted(begins, inside, side="right") - 1]
        return {"item": jax.lax.dynamic_slice_in_dim(order, place * stage.batch, stage.batch)}

    def update(
        self, stage: Stage, context: Tree, state: TrainState, batch, rows: Rows, key: Key, across: Across, phase: int
    ) -> tuple[TrainState, Mapping[str, Array]]:
        """One step of the phase that it falls in; after the last one of an iteration B = sgn(U + V)."""
        items = batch["item"]
        side = SIDES[phase // 2]
        if phase % 2 == 0:
            state = self._side_step(side, stage, context, items, rows["item"], across, state)
        elif self.generates:
            state = self._critic_step(side, stage, items, rows["item"], across, state)
        kept = state.collections
        last = state.step % stage.pass_steps == stage.pass_steps - 1
        codes = jax.lax.cond(
            last, lambda: jnp.where(kept["image"] + kept["text"] >= 0, 1.0, -1.0), lambda: kept["codes"]
        )
        terms = kept["terms"]
        weights = {"adversarial": self.adversarial, "between": self.alpha, "within": self.beta}
        weights |= {"quantisation": self.gamma, "label": self.delta, "critic": 0.0}
        total = sum(weights[name.split("_", 1)[1]] * term for name, term in terms.items())
        return state.replace(collections={**kept, "codes": codes}), {"loss": total, **terms}

    def _side_step(self, side, stage, context, items, rows, across, state: TrainState) -> TrainState:
        """Eq 15 or 17: a side's features, predictor, generator and the alignment; its buffer's rows are refreshed."""
        names = (side,) if self.ablation == "a" else (side, "alignment")
        labels = items[self.columns[2]]
        scale = stage.batch if self.normalised == "sum" else 1.0
        form = "rows" if self.normalised == "sum" else self.normalised
        everyone = across.gather(rows)

        def objective(own):
            params = {**state.params, **own}
            inputs = items[self.columns[SIDES.index(side)]]
            found = self._forward(params, state.collections["fixed"], side, inputs, labels.shape[1])
            codes = found["codes"]
            fresh = jax.lax.stop_gradient(across.gather(codes))
            buffer = state.collections[side].at[everyone].set(fresh)
            similar = shares_class(labels, context["labels"])
            terms = {
                "between": scale * losses.likelihood(codes, state.collections[OTHER[side]], similar, normalised=form),
                "within": scale * losses.likelihood(codes, buffer, similar, normalised=form),
                "quantisation": scale * losses.quantisation(codes, state.collections["codes"][rows], normalised=form),
            }
            total = self.alpha * terms["between"] + self.beta * terms["within"] + self.gamma * terms["quantisation"]
            if self.generates:
                judged = self._judge(params, side, found["made"], found["condition"])
                terms["adversarial"] = losses.generator(judged, saturating=self.saturating)
                terms["label"] = losses.label(found["logits"], labels, form=self.label_loss)
                total += self.adversarial * terms["adversarial"] + self.delta * terms["label"]
            return total, (buffer, terms)

        own = {name: state.params[name] for name in names}
        (_, (buffer, terms)), gradients = jax.value_and_grad(objective, has_aux=True)(own)
        return self._moved(stage, state, side, gradients, terms, across, {side: buffer})

    def _critic_step(self, side, stage, items, rows, across, state: TrainState) -> TrainState:
        """Eq 16 or 18: a critic learns to tell the other side's features from those that this side makes.

        The first medium's features, the dearest to make, are those that its own critic was shown in this iteration:
        the image side's parameters have not moved since.
        """
        inputs = {name: items[column] for name, column in zip(SIDES, self.columns, strict=False)}
        classes = items[self.columns[2]].shape[1]
        forward = functools.partial(self._forward, state.params, state.collections["fixed"], classes=classes)
        found = forward(side, inputs[side])
        remembered = state.collections["features"]
        if side == "image":
            real = forward("text", inputs["text"])["features"]
            buffers = {"features": remembered.at[across.gather(rows)].set(across.gather(found["features"]))}
        else:
            real, buffers = remembered[rows], {}

        def objective(own):
            params = {**state.params, **own}
            judged = [self._judge(params, side, features, found["condition"]) for features in (real, found["made"])]
            return losses.critic(*judged)

        name = f"{side}_critic"
        loss, gradients = jax.value_and_grad(objective)({name: state.params[name]})
        return self._moved(stage, state, name, gradients, {"critic": loss}, across, buffers)

    def _moved(self, stage, state, phase, gradients, terms, across, buffers) -> TrainState:
        """The state after one phase's step: its parameters, its optimiser's state, what it saw of its terms."""
        gradients, terms = across.mean((gradients, terms))
        own = {name: state.params[name] for name in gradients}
        changes, opt = self.optimizer(stage)[phase].update(gradients, state.opt[phase], own)
        side = phase.removesuffix("_critic")
        seen = state.collections["terms"] | {f"{side}_{name}": term for name, term in terms.items()}
        return state.replace(
            params={**state.params, **optax.apply_updates(own, changes)},
            opt={**state.opt, phase: opt},
            collections={**state.collections, **buffers, "terms": seen},
        )

    # what stays

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return context if stage.name == "weights" else {}

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        """u or v [B, bits], each from its own medium alone."""
        side = SIDES[self.media.index(modality)]
        params, collections, _ = past["pairs"]
        classes = params[side]["predictor"]["dense0"]["bias"].shape[0] if self.generates else 0
        return self._forward(params, collections.get("fixed", {}), side, inputs["features"], classes)["codes"]
