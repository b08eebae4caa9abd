"""Toy methods with the shapes of the five papers' training: each drives the loop where the real method strains it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jhash.types import Stage


class ArrayTable:
    """A table in memory, for tests that need nothing more."""

    def __init__(self, **columns):
        self.name = "toy"
        self.arrays = columns
        self.columns = {k: jax.ShapeDtypeStruct(v.shape[1:], v.dtype) for k, v in columns.items()}

    def __len__(self):
        return len(next(iter(self.arrays.values())))

    def read(self, rows, columns):
        return {name: self.arrays[name][rows] for name in columns}

    def map(self, function, columns, path=None):
        return np.asarray(function({name: self.arrays[name] for name in columns}))


def tables(size=24, seed=0):
    """Paired toy data: x [N, 6], y [N, 4], labels [N, 3]."""
    random = np.random.default_rng(seed)
    labels = np.eye(3, dtype=np.float32)[np.arange(size) % 3]
    x = labels @ random.normal(size=(3, 6)) + 0.3 * random.normal(size=(size, 6))
    y = labels @ random.normal(size=(3, 4)) + 0.3 * random.normal(size=(size, 4))
    pairs = ArrayTable(x=x.astype(np.float32), y=y.astype(np.float32), labels=labels)
    return {"train": pairs, "x": pairs, "y": ArrayTable(y=y[:17].astype(np.float32), labels=labels[:17])}


def items(stage, order, step):
    start = (step % stage.per_epoch) * stage.batch
    return jax.lax.dynamic_slice_in_dim(order, start, stage.batch)


def dense(key, inputs, outputs):
    return 0.3 * jax.random.normal(key, (inputs, outputs))


def noise(key, places, width):
    """[b, width] noise of each row by its place in the whole batch."""
    return jax.vmap(lambda place: jax.random.normal(jax.random.fold_in(key, place), (width,)))(places)


@dataclasses.dataclass(frozen=True)
class Toy:
    """What the toys share: sizes, plain SGD (rounding is not amplified), nothing prepared, nothing kept."""

    bits: int = 4
    batch: int = 8
    steps: int = 10
    columns: tuple[str, ...] = ("x",)

    def stages(self, tables):
        size = len(tables["train"])
        return [Stage("train", "train", size, self.batch, self.steps, size // self.batch)]

    def prepare(self, stage, past, tables, key, scratch):
        return {}

    def optimizer(self, stage):
        return optax.sgd(0.1)

    def rows(self, stage, context, order, step, key):
        return {"item": items(stage, order, step)}

    def conclude(self, stage, context, state):
        return {}


@dataclasses.dataclass(frozen=True)
class Mcmsh(Toy):
    """Several forward passes, each with statistics of its own over the whole batch; a scale that follows the epoch."""

    def prepare(self, stage, past, tables, key, scratch):
        labels = tables["train"].read(np.arange(stage.size), ["labels"])["labels"]
        same = labels @ labels.T > 0
        return {"positive": np.argsort(~same, axis=1)[:, :4].astype(np.int32)}

    def init(self, stage, past, context, example, key):
        width = example["x"].shape[-1]
        collections = {"mean": jnp.zeros(self.bits), "scale": jnp.float32(1)}
        return {"w": dense(key, width, self.bits)}, collections

    def rows(self, stage, context, order, step, key):
        item = items(stage, order, step)
        drawn = jax.random.randint(key, item.shape, 0, 4)
        return {"item": item, "partner": context["positive"][item, drawn], "sign": jnp.where(drawn > 1, 1.0, -1.0)}

    def loss(self, stage, context, params, collections, batch, rows, step, key, across):
        codes = {}
        mean, places = collections["mean"], across.places(len(rows["item"]))
        for number, role in enumerate(("item", "partner")):
            y = batch[role]["x"] @ params["w"] + 0.1 * noise(jax.random.fold_in(key, number), places, self.bits)
            batch_mean = across.mean(y.mean(0))
            mean = 0.9 * mean + 0.1 * batch_mean
            codes[role] = jnp.tanh(y - batch_mean[None, :])
        closeness = (codes["item"] * codes["partner"]).mean(1)
        loss = ((rows["sign"] - closeness) ** 2).mean()
        scale = jnp.sqrt((step // stage.per_epoch + 1).astype(jnp.float32))
        return loss, ({"mean": mean, "scale": scale}, {"closeness": closeness.mean()})


@dataclasses.dataclass(frozen=True)
class Dkph(Toy):
    """A teacher, then a student whose context is computed from the teacher."""

    def stages(self, tables):
        student = super().stages(tables)[0]
        return [dataclasses.replace(student, name="teacher", steps=5), dataclasses.replace(student, name="student")]

    def prepare(self, stage, past, tables, key, scratch):
        if stage.name == "teacher":
            return {}
        teacher = past["teacher"].params
        return {"target": tables["train"].map(lambda block: jnp.tanh(block["x"] @ teacher["w"]), ["x"])}

    def init(self, stage, past, context, example, key):
        width = example["x"].shape[-1]
        return {"w": dense(key, width, self.bits), "back": dense(jax.random.fold_in(key, 1), self.bits, width)}, {}

    def loss(self, stage, context, params, collections, batch, rows, step, key, across):
        x = batch["item"]["x"]
        code = jnp.tanh(x @ params["w"])
        loss = ((x - code @ params["back"]) ** 2).mean()
        if stage.name == "student":
            loss = loss + ((code - context["target"][rows["item"]]) ** 2).mean()
        return loss, ({}, {})


@dataclasses.dataclass(frozen=True)
class She(Toy):
    """Unpaired media of different width and size, each with a table and a stage; the first one's library is kept."""

    columns: tuple[str, ...] = ("labels",)

    def stages(self, tables):
        return [
            Stage(medium, medium, len(tables[medium]), self.batch, self.steps, len(tables[medium]) // self.batch)
            for medium in ("x", "y")
        ]

    def prepare(self, stage, past, tables, key, scratch):
        return {"anchor": past["x"].kept["library"]} if "x" in past else {}

    def init(self, stage, past, context, example, key):
        return {"library": dense(key, 3, self.bits)}, {}

    def loss(self, stage, context, params, collections, batch, rows, step, key, across):
        drawn = batch["item"]["labels"] @ params["library"]
        loss = ((drawn - 1.0) ** 2).mean()
        if "anchor" in context:
            loss = loss + ((params["library"] - context["anchor"]) ** 2).mean()
        return loss, ({}, {})

    def conclude(self, stage, context, state):
        return {"library": jnp.tanh(state.params["library"])}


@dataclasses.dataclass(frozen=True)
class Cmgcah(Toy):
    """Two optimisations that alternate by phase inside an outer iteration, and memory buffers of all rows' codes."""

    columns: tuple[str, ...] = ("x", "y")

    def stages(self, tables):
        size = len(tables["train"])
        epoch = size // self.batch
        return [Stage("train", "train", size, self.batch, 12, 2 * epoch, (epoch, epoch))]

    def prepare(self, stage, past, tables, key, scratch):
        labels = tables["train"].read(np.arange(stage.size), ["labels"])["labels"]
        return {"labels": labels}

    def init(self, stage, past, context, example, key):
        widths = {name: example[name].shape[-1] for name in ("x", "y")}
        params = {n: dense(jax.random.fold_in(key, i), w, self.bits) for i, (n, w) in enumerate(widths.items())}
        return params, {name: jnp.zeros((stage.size, self.bits)) for name in widths}

    def optimizer(self, stage):
        return {"x": optax.sgd(0.1), "y": optax.sgd(0.1)}

    def objective(self, params, name, other, context, collections, batch, rows):
        codes = jnp.tanh(batch["item"][name] @ params[name])
        theta = 0.5 * codes @ collections[other].T
        same = context["labels"][rows["item"]] @ context["labels"].T
        return (jax.nn.softplus(theta) - same * theta).sum(1).mean(), codes

    def update(self, stage, context, state, batch, rows, key, across, phase):
        def side(name, other):
            def step(state):
                (loss, codes), gradients = jax.value_and_grad(self.objective, has_aux=True)(
                    state.params, name, other, context, state.collections, batch, rows
                )
                loss, gradients = across.mean((loss, gradients))
                changes, opt = self.optimizer(stage)[name].update(gradients, state.opt[name])
                buffer = state.collections[name].at[across.gather(rows["item"])].set(across.gather(codes))
                return state.replace(
                    params=optax.apply_updates(state.params, changes),
                    collections={**state.collections, name: buffer},
                    opt={**state.opt, name: opt},
                ), {"loss": loss}

            return step

        return (side("x", "y") if phase == 0 else side("y", "x"))(state)


@dataclasses.dataclass(frozen=True)
class Dsmhn(Toy):
    """Pairs of media in one step, and a loss over all pairs of the whole batch."""

    columns: tuple[str, ...] = ("x", "y", "labels")

    def init(self, stage, past, context, example, key):
        widths = {name: example[name].shape[-1] for name in ("x", "y")}
        return {n: dense(jax.random.fold_in(key, i), w, self.bits) for i, (n, w) in enumerate(widths.items())}, {}

    def loss(self, stage, context, params, collections, batch, rows, step, key, across):
        mine = {name: jnp.tanh(batch["item"][name] @ params[name]) for name in ("x", "y")}
        labels = batch["item"]["labels"]
        theta = 0.5 * mine["x"] @ across.gather(mine["y"]).T
        same = labels @ across.gather(labels).T
        return (jax.nn.softplus(theta) - same * theta).mean(), ({}, {})


ALL = (Mcmsh, Dkph, She, Cmgcah, Dsmhn)
