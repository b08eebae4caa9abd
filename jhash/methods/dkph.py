"""DKPH: dual-stream knowledge-preserving hashing for unsupervised video retrieval (Li et al., ECCV 2022).

A teacher learns to reconstruct masked videos. A graph of similar and of deceptively similar pairs is built from its
embeddings (Eq 8 and 9, in `jhash.structure`). The student writes what the graph knows into the codes b, and leaves
what reconstruction needs to a second stream l, which retrieval never sees.

The paper's ablations (Table 2) are fields of `Method`:
    +A   graph='anchor'                      +M   graph='matrices'
    -D   dual_stream=False                   -DR  dual_stream=False, reconstruction=0
    -TS  gamma1=0, gamma2=0                  -Lb  gamma1=0              -Lt  gamma2=0
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jhash import fields, structure
from jhash.encoders.cloze import apply_cloze, draw_cloze
from jhash.encoders.convolution import Convolution
from jhash.encoders.dual_stream import DualStream, Products, frames_times, reconstruction_loss_of_products
from jhash.encoders.lstm import LSTM
from jhash.encoders.transformer import Transformer
from jhash.features import structure_view
from jhash.losses import dkph as losses
from jhash.types import Across, Array, InputError, Key, Past, Rows, Stage, Table, TrainState, Tree

VARIANTS = {
    "paper": {
        "position": "trained",
        "layer_norm": "standard",
        "sign": "tanh",
        "reconstruction_target": "clean",
        "reconstruct_partner": False,
        "embedding_loss": "paper",
        "fallback": "ignored",
        "learning_rate": 5e-4,
    },
    "released": {
        "position": "fixed",
        "layer_norm": "unbiased",
        "sign": "window",
        "reconstruction_target": "masked",
        "reconstruct_partner": True,
        "embedding_loss": "released",
        "fallback": "negative",
        "learning_rate": 3e-4,
    },
}

CHOICES = {
    "variant": tuple(VARIANTS),
    "encoder": ("transformer", "lstm", "convolution"),
    "position": ("trained", "fixed"),
    "layer_norm": ("standard", "unbiased"),
    "sign": ("tanh", "window"),
    "reconstruction_target": ("clean", "masked"),
    "embedding_loss": ("paper", "released"),
    "fallback": ("ignored", "negative"),
    "graph": ("adaptive", "anchor", "matrices"),
    "structure_features": ("teacher", "mean", "flatten"),
    "kernel": ("gaussian", "laplace"),
    "over": ("nonzero", "all"),
    "encode_with": ("b", "l"),
    "decoder": ("frame", "clip"),
    "dtype": ("float32", "bfloat16"),
}


@dataclasses.dataclass(frozen=True)
class Method:
    """DKPH. `variant` fills each field that is None from VARIANTS; any of them can be set alone.

    Choices of jhash where the paper is silent: without the dual stream the decoder sees b repeated over the frames
    (decoder='clip' gives each place of the clip weights of its own, without which b can rebuild no movement);
    graph='anchor' takes the target 1 where A > 0, else -1, with the weight A over its row's maximum (the raw entries
    are about 1 / 2700, with which the loss would vanish); encode_with='l' is the mean of l over frames; both members
    of a pair are masked. A structure built from the frames themselves keeps its clusters, and takes as their centres
    in L_tsim the means of the teacher's embeddings over each.
    """

    bits: int = 64
    variant: str = "paper"
    # network
    encoder: str = "transformer"
    width: int = 256
    feedforward: int = 1024
    dropout: float = 0.1
    teacher_bits: int = 128
    dual_stream: bool = True
    decoder: str = "frame"  # 'clip': without the dual stream, all frames at once from b; ours, for small sets
    position: str | None = None
    layer_norm: str | None = None
    sign: str | None = None
    encode_with: str = "b"  # 'l': retrieval by the temporal stream alone (Table 4)
    dtype: str = "float32"  # of the products; parameters, losses and statistics stay float32
    # losses
    reconstruction: float = 1.0  # weight of L_recon in the student
    gamma1: float = 0.11  # weight of L_bsim
    gamma2: float = 0.9  # weight of L_tsim
    eta: float = 0.1
    margin: float | None = None  # of L_tsim's hinge: 1 as printed, .5 as released
    reconstruction_target: str | None = None
    reconstruct_partner: bool | None = None  # L_recon over both members of each pair, or over the first, as Eq 7
    embedding_loss: str | None = None
    fallback: str | None = None  # an item without positives or negatives: its pair is 'ignored' or called 'negative'
    # structures
    structure_features: str = "teacher"  # the graph is built from its embeddings, or from a view of the frames
    graph: str = "adaptive"
    centres: int = 2000
    items_a_centre: float | None = None  # in place of `centres`; FCVID has 23
    nearest: int = 10  # p centres an item
    kernel: str = "gaussian"  # exp(-d² / s²); 'laplace' is exp(-d / bandwidth), as printed
    bandwidth: float | None = None  # s or α; None: the mean distance to the p-th nearest centre
    lambda1: float = 2.0
    lambda2: float = 1.0
    over: str = "nonzero"  # the entries of a row that its mean and deviation are taken over
    pool: int = 64  # positives and negatives drawn for each item
    # training
    batch: int = 256
    teacher_epochs: int = 60
    student_epochs: int = 48
    teacher_steps: int | None = None  # in place of the epochs
    student_steps: int | None = None
    teacher_learning_rate: float = 3e-4
    learning_rate: float | None = None  # the student's; × .9 at each 20 epochs, at least 1e-4
    decay: float = 0.9
    decay_epochs: int = 20
    lowest_learning_rate: float = 1e-4

    columns: ClassVar[tuple[str, ...]] = ("frames",)
    inputs: ClassVar[tuple[str, ...]] = ("frames",)
    real: ClassVar[bool] = False

    def __post_init__(self):
        preset = VARIANTS.get(self.variant, {})
        for name, value in preset.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        fields.check_choices(self, CHOICES)
        sizes = ("bits", "width", "feedforward", "teacher_bits", "centres", "nearest", "pool", "batch")
        fields.check_counts(self, *sizes, "teacher_epochs", "student_epochs", "decay_epochs")
        fields.check_counts(self, "teacher_steps", "student_steps", least=0)
        rates = ("teacher_learning_rate", "learning_rate", "lowest_learning_rate", "decay")
        fields.check_rates(self, *rates, "items_a_centre", "bandwidth")
        fields.check_numbers(self, "dropout", below=1.0)
        fields.check_numbers(self, "reconstruction", "gamma1", "gamma2", "eta", "margin")
        if self.margin is None:
            object.__setattr__(self, "margin", 1.0 if self.embedding_loss == "paper" else 0.5)
        if self.encode_with == "l" and not self.dual_stream:
            raise InputError("config.hyper.encode_with: 'l' needs the dual stream, found dual_stream=False")
        if self.decoder == "clip" and self.dual_stream:
            raise InputError("config.hyper.decoder: 'clip' rebuilds frames from b alone, so it needs dual_stream=False")
        if self.reconstruction == self.gamma1 == self.gamma2 == 0:
            raise InputError("config.hyper: expected one of reconstruction, gamma1, gamma2 above 0, found none")

    @property
    def described(self) -> str:
        """How results name it."""
        return self.variant

    # the networks

    def _network(self, shape: tuple[int, ...], *, teacher: bool) -> DualStream:
        """For clips of `shape` [T, C]."""
        frames, channels = shape
        return DualStream(
            encoder=self._encoder(),
            bits=self.teacher_bits if teacher else self.bits,
            channels=channels,
            teacher=teacher,
            dual_stream=self.dual_stream,
            sign=self.sign,
            dtype=self.dtype,
            frames=0 if teacher or self.decoder == "frame" else frames,
        )

    def _encoder(self) -> nn.Module:
        if self.encoder == "transformer":
            unbiased = self.layer_norm == "unbiased"
            return Transformer(self.width, self.feedforward, self.dropout, self.position, unbiased, self.dtype)
        return {"lstm": LSTM, "convolution": Convolution}[self.encoder](self.width, self.dropout, self.dtype)

    # the spans of training

    @property
    def _paired(self) -> bool:
        """Whether the student learns from pairs, so from a graph."""
        return self.gamma1 > 0 or self.gamma2 > 0

    @property
    def _taught(self) -> bool:
        """Whether anything of the student comes from the teacher."""
        return self._paired and (self.gamma2 > 0 or self.structure_features == "teacher")

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        """Teacher, then student; the student alone where nothing is asked of a teacher.

        Raises:
            InputError: the table holds fewer items than a batch, or than centres.
        """
        table = tables["train"]
        size = len(table)
        if size < self.batch:
            raise InputError(f"{table.name}: expected at least a batch of {self.batch} items, found {size}")
        if self._paired and not self.nearest <= self._centres(size) <= size:
            raise InputError(
                f"config.hyper.centres: expected {self.nearest} (config.hyper.nearest) to {size} (items of "
                f"{table.name}), found {self._centres(size)}"
            )
        epoch = size // self.batch

        def stage(name, steps, epochs):
            return Stage(name, "train", size, self.batch, epochs * epoch if steps is None else steps, epoch)

        student = stage("student", self.student_steps, self.student_epochs)
        return [stage("teacher", self.teacher_steps, self.teacher_epochs), student] if self._taught else [student]

    def _centres(self, size: int) -> int:
        return self.centres if self.items_a_centre is None else max(self.nearest, round(size / self.items_a_centre))

    def optimizer(self, stage: Stage) -> optax.GradientTransformation:
        if stage.name == "teacher":
            return optax.adam(self.teacher_learning_rate)
        schedule = optax.exponential_decay(
            self.learning_rate,
            self.decay_epochs * stage.per_epoch,
            self.decay,
            staircase=True,
            end_value=min(self.lowest_learning_rate, self.learning_rate),
        )
        return optax.adam(schedule)

    # what the student learns from

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> Tree:
        """The student's graph: teacher-space `centres` [M, width], `nearest` [N], and each item's drawn pools."""
        if stage.name == "teacher" or not self._paired:
            return {}
        table = tables["train"]
        embeddings = self._embeddings(past, table) if self._taught else None
        view = embeddings if self.structure_features == "teacher" else self._view(table, scratch)
        cluster, draw = jax.random.split(key)
        number = self._centres(len(table))
        centres = structure.kmeans(view, number, key=cluster).centres
        index, distance = structure.nearest_centres(view, centres, 5 if self.graph == "matrices" else self.nearest)
        context = {"nearest": index[:, 0], **self._pools(index, distance, number, draw)}
        if self.gamma2 > 0:
            taught = self.structure_features == "teacher"
            context["centres"] = centres if taught else _means(embeddings, index[:, 0], number)
        return context

    def _embeddings(self, past, table):
        """[N, width] the teacher's t̄ in evaluation mode, on unmasked frames."""
        network = self._network(table.columns["frames"].shape, teacher=True)
        params = past["teacher"].params
        embed = jax.jit(lambda params, frames: network.apply({"params": params}, frames, method="embed").mean(axis=1))
        return table.map(lambda block: embed(params, block["frames"]).astype(jnp.float32), ["frames"])

    def _view(self, table, scratch):
        view = jax.jit(lambda frames: structure_view(frames, self.structure_features))
        return table.map(lambda block: view(block["frames"]), ["frames"], scratch / "view.npy")

    def _pools(self, index, distance, centres, key):
        if self.graph == "matrices":
            return structure.mcmsh_pools(index, size=self.pool, key=key)
        graph = structure.anchor_graph(index, distance, centres=centres, kernel=self.kernel, bandwidth=self.bandwidth)
        if self.graph == "anchor":
            return structure.weighted_pools(graph, size=self.pool, key=key)
        return structure.gaussian_adaptive_pools(
            graph, lambda1=self.lambda1, lambda2=self.lambda2, over=self.over, size=self.pool, key=key
        )

    # training

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        frames = example["frames"][:1]
        network = self._network(frames.shape[1:], teacher=stage.name == "teacher")
        return network.init(key, frames)["params"], {}

    def rows(self, stage: Stage, context: Tree, order: Array, step: Array, key: Key) -> Rows:
        """`item`; for the student also its `partner` and the pair's `target` (1 or -1) and `weight` (|Â_ij|), [B]."""
        item = jax.lax.dynamic_slice_in_dim(order, step % stage.per_epoch * stage.batch, stage.batch)
        if stage.name == "teacher" or not self._paired:
            return {"item": item}
        return {"item": item, **losses.draw_pairs(context, item, stage.size, key, fallback=self.fallback)}

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
        """Eq 12 of this device's share, with its terms as logs."""
        frames = [batch[role]["frames"] for role in ("item", "partner") if role in batch]
        teacher = stage.name == "teacher"
        rebuilt = len(frames) if self.reconstruct_partner else 1
        rebuilt = rebuilt if teacher or self.reconstruction > 0 else 0
        network = self._network(frames[0].shape[1:], teacher=teacher)

        def apply(part, *inputs):
            return network.apply({"params": params}, *inputs, method=part)

        # both members go through the encoder as one batch of 2b: no statistic of the batch ties them together
        own = across.places(len(frames[0]))
        places = jnp.concatenate([own + role * stage.batch for role in range(len(frames))])
        mask_key, noise_key = jax.random.split(key)
        cloze = draw_cloze(mask_key, places, frames[0].shape[1], stage.batch)
        whole = self.decoder == "clip" and not teacher
        products = self._products(params, frames, 0 if whole else rebuilt)
        projected = jnp.concatenate([seen[0] for seen in products])
        t = apply("encode", apply_cloze(projected, across.gather(products[0][0]), cloze), noise_key, places)

        b = None if teacher else apply("code", t)
        logs = {}
        if rebuilt and whole:
            target = self._clean_or_masked([self._cast(x) for x in frames[:rebuilt]], cloze, across)
            seen = apply("decode_clip", b[: len(target)])
            logs["reconstruction"] = losses.reconstruction_loss(target, seen)
        elif rebuilt:
            target = self._target(params, frames[:rebuilt], products[:rebuilt], cloze, across)
            size = rebuilt * len(own)
            latent = apply("latent", t[:size], None if teacher else b[:size])
            decoder = (self._cast(params["decoder"]), self._cast(params["decoder_bias"]))
            logs["reconstruction"] = reconstruction_loss_of_products(latent, *decoder, target)
        if teacher:
            return logs["reconstruction"], (collections, logs)
        if self.gamma1 > 0:
            item, partner = jnp.split(b, 2)
            logs["binary_similarity"] = losses.binary_similarity_loss(rows["target"], rows["weight"], item, partner)
        if self.gamma2 > 0:
            logs["embedding_similarity"] = self._embedding_similarity(context, t.mean(axis=1), rows)
        terms = [logs.get(name, 0.0) for name in ("reconstruction", "binary_similarity", "embedding_similarity")]
        total = losses.student_objective(*terms, weight=self.reconstruction, gamma1=self.gamma1, gamma2=self.gamma2)
        return total, (collections, logs)

    def _products(self, params, frames, rebuilt):
        """For each role its frames' products: [projected], and for those to rebuild [projected, x Wᵀ, x · c]."""
        projection, decoder = params["projection"], [params["decoder"], params["decoder_bias"][None]]
        return [
            frames_times(x, [projection, *decoder] if role < rebuilt else [projection], self.dtype)
            for role, x in enumerate(frames)
        ]

    def _target(self, params, frames, products, cloze, across):
        """What Eq 7 asks of the frames to rebuild; as released, of the masked ones."""
        energy = [(self._cast(x) ** 2).sum(-1, keepdims=True) for x in frames]
        seen = [jnp.concatenate([*product[1:], e], axis=-1) for product, e in zip(products, energy, strict=True)]
        target = self._clean_or_masked(seen, cloze, across)
        return Products(target[..., :-2], target[..., -2], target[..., -1])

    def _clean_or_masked(self, by_role, cloze, across):
        """Arrays [b, T, n] of the roles to rebuild -> [B, T, n], as Eq 7 or, as released, as the encoder saw them."""
        target = jnp.concatenate(by_role)
        if self.reconstruction_target == "clean":
            return target
        cloze = jax.tree.map(lambda leaf: leaf[: len(target)], cloze)
        return apply_cloze(target, across.gather(by_role[0]), cloze)

    def _embedding_similarity(self, context, mean, rows):
        item, partner = jnp.split(mean.astype(jnp.float32), 2)
        centre, partner_centre = (context["centres"][context["nearest"][rows[role]]] for role in ("item", "partner"))
        weights = {"eta": self.eta, "margin": self.margin}
        if self.embedding_loss == "paper":
            return losses.embedding_similarity_loss(
                item, centre, partner_centre, rows["target"], rows["weight"], **weights
            )
        return losses.released_embedding_similarity_loss(
            item, partner, centre, partner_centre, rows["target"], **weights
        )

    def _cast(self, x):
        """float32, rounded to what the products saw."""
        return x.astype(self.dtype).astype(jnp.float32)

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        return {}

    # retrieval

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        """[B, bits] before the sign, by the student alone."""
        frames = inputs["frames"]
        network = self._network(frames.shape[1:], teacher=False)
        variables = {"params": past["student"].params}
        t = network.apply(variables, frames, method="embed")
        if self.encode_with == "l":
            return network.apply(variables, t, method="temporal_features").mean(axis=1)
        return network.apply(variables, t, method="logits")


def _means(vectors: np.ndarray, cluster: np.ndarray, clusters: int) -> np.ndarray:
    """[M, D] mean of the vectors [N, D] of each cluster [N]; zero for an empty one, which is no item's nearest."""
    sums = np.zeros((clusters, vectors.shape[1]), np.float64)
    np.add.at(sums, cluster, vectors)
    counts = np.bincount(cluster, minlength=clusters)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def reconstruction_error(
    method: Method, params: Tree, frames: Array, *, use: str = "both", latent_mean: Array | None = None
) -> Array:
    """Mean squared error of each item's reconstruction by the student, [B], on unmasked frames (Tables 5 and 6).

    Args:
        method: with the dual stream.
        params: of the student.
        frames: [B, T, C].
        use: 'both'; 'b' or 'l' alone; 'fixed': b, and l held at its mean.
        latent_mean: [K] for 'fixed'; None: the mean over the given items and frames.
    """
    chex.assert_rank(frames, 3)
    network = method._network(frames.shape[1:], teacher=False)

    def apply(part, *inputs):
        return network.apply({"params": params}, *inputs, method=part)

    t = apply("embed", frames)
    b, latent = apply("code", t)[:, None], apply("temporal_features", t)
    mean = latent.mean(axis=(0, 1)) if latent_mean is None else latent_mean
    seen = {
        "both": latent + b,
        "b": jnp.broadcast_to(b, latent.shape),
        "l": latent,
        "fixed": jnp.broadcast_to(mean[None, None], latent.shape) + b,
    }[use]
    return ((apply("decode", seen) - frames) ** 2).mean(axis=(1, 2))
