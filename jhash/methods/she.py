"""SHE: hash codes for media that arrive one after another (Pu et al., ICML 2025).

Each medium has a stage of its own: a hash network, and a library of P prototypes for each class. The libraries of the
media before are frozen; a new medium's is aligned to them, so that its codes are comparable with all earlier ones
though nothing of those media is at hand but the library.

The paper's ablations are fields of `Method`:
    Table 5   mining=0, separation=0, transfer=0, discrimination=0
    Fig 3, 4  separation and transfer (α), discrimination (β), sigma, prototypes
    Table 7   the order of config.modalities        Fig 6   bits
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jhash import fields
from jhash.encoders.perceptron import apply_layers, init_layers
from jhash.losses import she as losses
from jhash.types import Across, Array, InputError, Key, Past, Rows, Stage, Table, TrainState, Tree

VARIANTS = {
    "paper": {"losses": "paper", "library": "free", "start": "anchor"},
    "released": {"losses": "released", "library": "mlp", "start": "shared"},
    "jhash": {"losses": "paper", "library": "mlp", "start": "independent"},
}
CHOICES = {
    "variant": tuple(VARIANTS),
    "losses": ("paper", "released"),
    "library": ("mlp", "free"),
    "start": ("shared", "anchor", "independent"),
    "dtype": ("float32", "bfloat16"),
}
NOISE = 0.1  # of the one-hot rows that the library's network is fed with


@dataclasses.dataclass(frozen=True)
class Method:
    """SHE. `variant` fills each field that is None from VARIANTS; any of them can be set alone."""

    bits: int = 64
    variant: str = "jhash"
    losses: str | None = None  # Eq 7 and 9 as in the 'paper', or as 'released'
    library: str | None = None  # prototypes are 'free' parameters, or an 'mlp' gives them from noisy one-hot rows
    start: str | None = None  # a library starts with the draws all media 'share', at the 'anchor' (free), or by its own
    hidden: int = 4096
    prototypes: int = 3  # P, for each class
    # weights; the paper's α weighs separation and transfer, its β discrimination
    mining: float = 1.0
    separation: float = 1.0
    transfer: float = 1.0
    discrimination: float = 4.0
    sigma: float = 0.95  # a cosine to the anchor that is near enough
    mining_q: float = 0.0  # above 0: generalised cross-entropy in place of Eq 6, for labels with errors
    # training
    batch: int = 256
    epochs: int = 300
    learning_rate: float = 1e-4
    learning_rates: tuple[tuple[str, float], ...] = ()  # (medium, rate) where it isn't `learning_rate`
    dtype: str = "float32"  # of the products; parameters and losses stay float32

    columns: ClassVar[tuple[str, ...]] = ("features", "labels")
    inputs: ClassVar[tuple[str, ...]] = ("features",)
    real: ClassVar[bool] = False

    def __post_init__(self):
        for name, value in VARIANTS.get(self.variant, {}).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        fields.check_choices(self, CHOICES)
        fields.check_counts(self, "bits", "hidden", "batch", "epochs")
        fields.check_rates(self, "learning_rate")
        weights = ("mining", "separation", "transfer", "discrimination")
        fields.check_numbers(self, *weights)
        try:
            rates = tuple((str(medium), float(rate)) for medium, rate in self.learning_rates)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"config.hyper.learning_rates: expected pairs of a medium and its rate, found {self.learning_rates!r}"
            ) from error
        object.__setattr__(self, "learning_rates", rates)
        if not any(getattr(self, name) for name in weights):
            raise InputError(f"config.hyper: expected one of {', '.join(weights)} above 0, found none")
        if self.prototypes < 1 or (self.prototypes == 1 and self.losses == "paper" and self.separation > 0):
            raise InputError(
                f"config.hyper.prototypes: expected at least {1 + (self.losses == 'paper')} with "
                f"losses={self.losses!r} (Eq 7 as printed compares those of one class), found {self.prototypes}"
            )
        if self.start == "anchor" and self.library == "mlp":
            raise InputError(
                "config.hyper.start: expected 'shared' or 'independent' with library='mlp', found 'anchor'"
            )
        if not 0.0 <= self.sigma <= 1.0:
            raise InputError(f"config.hyper.sigma: expected a cosine from 0 to 1, found {self.sigma}")
        if not 0.0 <= self.mining_q <= 1.0:
            raise InputError(f"config.hyper.mining_q: expected a number from 0 to 1, found {self.mining_q}")

    @property
    def described(self) -> str:
        """How results name it: the hidden width belongs to it, since smaller machines train smaller networks."""
        return f"{self.variant}, hidden {self.hidden}"

    # the span of training

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        """One stage for each training table, named by its medium, in their order; 'image/test' is none.

        Raises:
            InputError: a table without features or labels.
        """
        return [self._stage(name, table) for name, table in tables.items() if "/" not in name]

    def _stage(self, medium: str, table: Table) -> Stage:
        missing = [column for column in self.columns if column not in table.columns]
        if missing or len(table) == 0:
            raise InputError(f"{table.name}: expected items with {missing[0] if missing else 'features'}, found none")
        batch = min(self.batch, len(table))
        epoch = len(table) // batch
        return Stage(medium, medium, len(table), batch, self.epochs * epoch, epoch)

    def rate(self, medium: str) -> float:
        return dict(self.learning_rates).get(medium, self.learning_rate)

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        return optax.adam(self.rate(stage.name), b1=0.5, b2=0.999)

    # what is frozen

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> Tree:
        """The library as the media before left it: `anchor` [C, P, K] and `filled` [C], the classes it knows.

        And `present` [C], the classes that this medium has; `width` [], its features'; `start` [2], the key that
        libraries begin with.

        Raises:
            InputError: a library of another code length or number of prototypes.
        """
        table = tables[stage.table]
        present = np.zeros(table.columns["labels"].shape, bool)
        for rows in np.array_split(np.arange(len(table)), max(1, len(table) // 65536)):
            present |= table.read(rows, ["labels"])["labels"].any(0)
        context = {"present": present, "width": np.int32(table.columns["features"].shape[0])}
        if not past:
            shape = (len(present), self.prototypes, self.bits)
            anchor, filled = np.zeros(shape, np.float32), np.zeros(len(present), bool)
            start = np.asarray(jax.random.key_data(key))
        else:
            kept = list(past.values())[-1].kept
            anchor, filled, start = (np.asarray(kept[name]) for name in ("library", "filled", "start"))
            if anchor.shape[1:] != (self.prototypes, self.bits):
                raise InputError(
                    f"library: expected {self.prototypes} prototypes a class of {self.bits} bits, "
                    f"found {anchor.shape[1]} of {anchor.shape[2]} bits"
                )
            new = len(present) - len(anchor)  # classes that are named for the first time
            anchor, filled = np.pad(anchor, [(0, new), (0, 0), (0, 0)]), np.pad(filled, (0, new))
        if self.start == "independent":
            start = np.asarray(jax.random.key_data(key))
        return context | {"anchor": anchor, "filled": filled, "start": start}

    # the steps

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        network_key, library_key = jax.random.split(key)
        widths = (example["features"].shape[-1], self.hidden, self.hidden, self.bits)
        network = init_layers(network_key, widths, last_bias=False, inputs=context["width"])
        if self.start != "independent":
            library_key = jax.random.wrap_key_data(context["start"])
        classes = context["anchor"].shape[0]
        if self.library == "mlp":
            widths = (classes, self.hidden, self.hidden, self.bits)
            return {"network": network, "library": init_layers(library_key, widths, last_bias=True)}, {}
        library = jax.random.uniform(library_key, context["anchor"].shape, minval=-1, maxval=1)
        if self.start == "anchor":
            anchor = jnp.arctanh(jnp.clip(context["anchor"], -0.999, 0.999))
            library = jnp.where(context["filled"][:, None, None], anchor, library)
        return {"network": network, "library": library}, {}

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
        """KLM + α (KLR + KLT) + β DHL; the first medium has nothing that it could be aligned to."""
        labels = batch["item"]["labels"]
        codes = self._relaxed(params, batch["item"]["features"])
        library = self._library(params, context)
        terms = {"mining": losses.mining(codes, labels, library, q=self.mining_q)}
        terms["transfer"] = losses.transfer(library, context["anchor"], context["filled"], sigma=self.sigma)
        if self.separation:
            terms["separation"] = losses.separation(library, form=self.losses)
        terms["discrimination"] = losses.discrimination(
            codes, labels, across.gather(codes), across.gather(labels), form=self.losses
        )
        total = sum(getattr(self, name) * term for name, term in terms.items())
        return total, (collections, terms)

    def _relaxed(self, params: Tree, features: Array) -> Array:
        return losses.unit(apply_layers(params["network"], features, self.dtype))

    def _library(self, params: Tree, context: Tree) -> Array:
        """[C, P, K] from the parameters; of an MLP, by one pass over P noisy one-hot rows for each class."""
        if self.library == "free":
            return losses.unit(params["library"])
        key = jax.random.fold_in(jax.random.wrap_key_data(context["start"]), 1)
        rows = noisy_one_hot(key, context["anchor"].shape[0], self.prototypes)
        return losses.unit(apply_layers(params["library"], rows, self.dtype))

    # what stays

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        """`library` [C, P, K] for the media to come, `filled` [C] the classes it knows; `own`, this medium's [C, P, K].

        The prototypes of a class stay those of the first medium that had it.
        """
        own = jax.jit(self._library)(state.params, context)  # op by op it would round otherwise than in jhash/scan.py
        library = jnp.where(context["filled"][:, None, None], context["anchor"], own)
        filled = context["filled"] | context["present"]
        return {"library": library, "filled": filled, "own": own, "start": context["start"]}

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        return apply_layers(past[modality].params["network"], inputs["features"], self.dtype)


def noisy_one_hot(key: Key, classes: int, prototypes: int) -> Array:
    """[C, P, C] one-hot rows whose 1 is min(1 + .1 n, 1), n standard normal: one draw for each prototype."""
    noise = jax.random.normal(key, (classes, prototypes, 1))
    ones = jnp.minimum(1 + NOISE * noise, 1.0)
    return ones * jnp.eye(classes)[:, None, :]
