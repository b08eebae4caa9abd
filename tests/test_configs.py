"""Every experiment that jhash packs: its fields exist, and all its stages have shapes that fit, without any data."""

import dataclasses
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from jhash import train
from jhash.config import baseline, build, experiment, is_paired, method_of
from jhash.data.media import MEDIA
from jhash.data.source import SideBySide
from jhash.parallel import ALONE
from jhash.steps import keys_of_stage, update
from jhash.types import InputError, Past

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("[a-z]*.py"))
SHAPES = {  # items, frames, width of the training part
    "nmnist": (1000, 10, 2312),
    "jhmdb": (433, 16, 30),
    "fcvid": (45585, 25, 4096),
    "activitynet": (9722, 30, 2048),
    "yfcc": (409788, 25, 4096),
    "files": (861, 32, 60),
}
DIGITS = {"image": (4000, 784), "stroke": (4000, 16), "audio": (1200, 1280)}
DIGITS |= {"event": (1000, 2312), "text": (4000, 2048), "sign": (1648, 784)}
MEDIA_SHAPES = {  # classes; medium -> items and width of the training part
    "digits": (10, DIGITS),
    "wikipedia": (10, {"image": (2173, 128), "text": (2173, 10)}),
    "wikipedia_deep": (10, {"image": (2173, 4096), "text": (2173, 300)}),
    "nuswide": (10, {"image": (8000, 4096), "text": (8000, 300)}),
    "xmedia": (
        20,
        {"image": (4000, 4096), "text": (4000, 3000), "audio": (800, 29), "3d": (400, 4700), "video": (969, 4096)},
    ),
    "xmedianet": (
        200,
        {"image": (32000, 4096), "text": (32000, 300), "audio": (8000, 672), "3d": (1600, 4700), "video": (8000, 4096)},
    ),
}

PHOTOGRAPH = (224, 224, 3)
PAIR_SHAPES = {  # pairs to train on, classes, medium -> the shape of an item
    "fashion": (2559, 30, {"image": (80, 60, 3), "text": (895,)}),
    "wikipedia": (2173, 10, {"image": (128,), "text": (10,)}),
    "mirflickr25k": (10_000, 24, {"image": PHOTOGRAPH, "text": (1386,)}),
    "nuswide_tc21": (10_500, 21, {"image": PHOTOGRAPH, "text": (1000,)}),
    "mscoco": (10_000, 80, {"image": PHOTOGRAPH, "text": (2000,)}),
    "pair_files": (431, 27, {"skeleton": (3840,), "inertial": (1080,)}),
    "raw": (500, 12, {"image": (80, 80, 3), "text": (400,)}),
}


def config_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(), module


class ShapeOnly(toys.ArrayTable):
    """A table of the published size without its content."""

    def __init__(self, items, *shape):
        self.name, self.items = "shapes", items
        self.columns = {"frames": jax.ShapeDtypeStruct(shape, np.float32)}

    def __len__(self):
        return self.items

    def read(self, rows, columns):
        raise AssertionError("read")


OF_PAIRS = [path for path in CONFIGS if is_paired(config_of(path)[0].method)]
OF_MEDIA = [path for path in CONFIGS if "modalities" in config_of(path)[0] and path not in OF_PAIRS]


class LabelsOnly(ShapeOnly):
    """One medium of the published size, items of more than one dimension being pixels; each item is in every class."""

    def __init__(self, items, shape, classes):
        super().__init__(items, *shape)
        shapes = {"features": (shape, np.uint8 if len(shape) > 1 else np.float32), "labels": ((classes,), np.uint8)}
        self.columns = {name: jax.ShapeDtypeStruct(*shape) for name, shape in shapes.items()}

    def read(self, rows, columns):
        assert columns == ["labels"]
        return {"labels": np.ones((len(rows), *self.columns["labels"].shape), np.uint8)}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_says_its_command_and_its_figure(path):
    config, module = config_of(path)
    assert f"python -m jhash.launch --config configs/{path.name}" in module.__doc__
    assert path.stem.startswith(f"{config.method}_{config.data.name.removeprefix('pair_')}")


ITEMS, CENTRES = 127, 61  # primes, so that they can be told from every other length in a shape


@pytest.mark.parametrize("path", [p for p in CONFIGS if p not in OF_MEDIA + OF_PAIRS], ids=lambda path: path.stem)
def test_shapes_fit(path, tmp_path):
    """Structures are found in a few narrow clips; their shapes, stretched to the real size, meet the real network."""
    config, _ = config_of(path)
    items, frames, width = SHAPES[config.data.name]
    method = build(config.method, config.hyper.to_dict())
    small = dataclasses.replace(method, centres=CENTRES, items_a_centre=None, batch=8)
    random = np.random.default_rng(0)
    narrow = {"train": toys.ArrayTable(frames=random.normal(size=(ITEMS, frames, 8)).astype(np.float32))}
    real = {"train": ShapeOnly(items, frames, width)}
    small_past, past = {}, {}
    for index, (stage, tiny) in enumerate(zip(method.stages(real), small.stages(narrow), strict=True)):
        assert stage.steps > 0 and stage.batch <= stage.size
        keys = keys_of_stage(0, index)
        found = small.prepare(tiny, small_past, narrow, keys[0], tmp_path)
        example = train.example_of(narrow["train"], small, tiny)
        shapes = jax.eval_shape(lambda: train.initial_state(small, tiny, small_past, found, example, keys[1]))
        state = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype), shapes)
        small_past[stage.name] = train.leave(small, tiny, found, state)

        stretched = {ITEMS: items, CENTRES: method._centres(items)}
        context = {
            name: jax.ShapeDtypeStruct(tuple(stretched.get(n, n) for n in np.shape(leaf)), np.asarray(leaf).dtype)
            for name, leaf in found.items()
        }
        example = train.example_of(real["train"], method, stage)
        state = jax.eval_shape(lambda: train.initial_state(method, stage, past, None, example, keys[1]))
        order, step = jax.ShapeDtypeStruct((items,), jnp.int32), jax.ShapeDtypeStruct((), jnp.int32)
        rows = jax.eval_shape(lambda c, o, s: method.rows(stage, c, o, s, keys[2]), context, order, step)
        batch = {
            role: {"frames": jax.ShapeDtypeStruct((stage.batch, frames, width), jnp.float32)}
            for role, chosen in rows.items()
            if chosen.dtype == jnp.int32
        }
        assert all(chosen.shape == (stage.batch,) for chosen in rows.values())
        loss, (collections, logs) = jax.eval_shape(
            lambda c, p, o, b, r, s: method.loss(stage, c, p, o, b, r, s, keys[3], ALONE),
            *(context, state.params, state.collections, batch, rows, step),
        )
        assert loss.shape == () and all(log.shape == () for log in logs.values())
        assert jax.tree.structure(collections) == jax.tree.structure(state.collections)
        past[stage.name] = Past(
            state.params, state.collections, jax.eval_shape(lambda s: method.conclude(stage, context, s), state)
        )
    clip = {"frames": jax.ShapeDtypeStruct((2, frames, width), jnp.float32)}
    assert jax.eval_shape(lambda p, c: method.encode(p, c, "video"), past, clip).shape == (2, config.hyper.bits)


@pytest.mark.parametrize("path", OF_MEDIA, ids=lambda path: path.stem)
def test_shapes_of_media_fit(path, tmp_path):
    """The fold over all media at their real sizes: libraries are zeros, everything else has shapes alone."""
    config, _ = config_of(path)
    classes, shapes = MEDIA_SHAPES[config.data.name]
    assert set(config.modalities) <= set(MEDIA[config.data.name]) == set(shapes)
    method = method_of(config)
    assert {medium for medium, _ in getattr(method, "learning_rates", ())} <= set(config.modalities)
    tables = {medium: LabelsOnly(shapes[medium][0], shapes[medium][1:], classes) for medium in config.modalities}
    tables["all/together"] = SideBySide(dict(tables), "together")
    past = {}
    for index, stage in enumerate(method.stages(tables)):
        assert stage.steps > 0 and stage.batch == 256
        keys, table = keys_of_stage(0, index), tables[stage.table]
        context = method.prepare(stage, past, tables, keys[0], tmp_path)
        example = train.example_of(table, method, stage)
        state = jax.eval_shape(lambda: train.initial_state(method, stage, past, context, example, keys[1]))
        order, step = jax.ShapeDtypeStruct((stage.size,), jnp.int32), jax.ShapeDtypeStruct((), jnp.int32)
        rows = jax.eval_shape(lambda o, s: method.rows(stage, context, o, s, keys[2]), order, step)
        assert {role: chosen.shape for role, chosen in rows.items()} == {"item": (256,)}
        batch = {"item": {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in example.items()}}
        loss, (collections, logs) = jax.eval_shape(
            lambda p, b, r, s: method.loss(stage, context, p, {}, b, r, s, keys[3], ALONE),
            *(state.params, batch, rows, step),
        )
        assert loss.shape == () and all(log.shape == () for log in logs.values()) and not collections
        kept = jax.eval_shape(lambda s: method.conclude(stage, context, s), state)
        if "library" in kept:
            assert kept["library"].shape == (classes, config.hyper.prototypes, config.hyper.bits)
        past[stage.name] = Past(state.params, {}, {name: np.zeros(x.shape, x.dtype) for name, x in kept.items()})
    for medium in config.modalities:
        item = {"features": jax.ShapeDtypeStruct((2, shapes[medium][1]), jnp.float32)}
        codes = jax.eval_shape(lambda p, i: method.encode(p, i, medium), past, item)
        assert codes.shape == (2, config.hyper.bits) and codes.dtype == np.float32


@pytest.mark.parametrize("path", OF_PAIRS, ids=lambda path: path.stem)
def test_shapes_of_pairs_fit(path, tmp_path):
    """Every phase of a step on pairs of their real sizes, pretrained weights left out, and the codes of each medium."""
    config, _ = config_of(path)
    items, classes, shapes = PAIR_SHAPES[config.data.name]
    config.modalities = config.modalities or tuple(shapes)
    assert tuple(config.modalities) == tuple(shapes)
    method = method_of(config)
    tables = {medium: LabelsOnly(items, shape, classes) for medium, shape in shapes.items()}
    tables["pairs"] = SideBySide(dict(tables), "pairs")
    (stage,) = method.stages(tables)
    assert stage.steps > 0 and stage.batch == config.hyper.batch <= items
    keys, example = keys_of_stage(0, 0), train.example_of(tables["pairs"], method, stage)
    context = method.prepare(stage, {}, tables, keys[0], tmp_path)
    state = jax.eval_shape(lambda: train.initial_state(method, stage, {}, context, example, keys[1]))
    order, step = jax.ShapeDtypeStruct((items,), jnp.int32), jax.ShapeDtypeStruct((), jnp.int32)
    rows = jax.eval_shape(lambda o, s: method.rows(stage, context, o, s, keys[2]), order, step)
    assert {role: chosen.shape for role, chosen in rows.items()} == {"item": (stage.batch,)}
    batch = {"item": {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in example.items()}}
    for phase in range(len(stage.bounds)):
        after, logs = jax.eval_shape(
            lambda s, b, r: update(method, stage, context, s, b, r, keys[3], ALONE, phase), state, batch, rows
        )
        assert jax.tree.structure(after) == jax.tree.structure(state)
        assert all(a.shape == b.shape for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True))
        assert all(log.shape == () for log in logs.values())
    past = {stage.name: Past(state.params, state.collections, {})}
    for medium in shapes:
        item = tables[medium].columns["features"]
        few = {"features": jax.ShapeDtypeStruct((2, *item.shape), item.dtype)}
        codes = jax.eval_shape(lambda p, i: method.encode(p, i, medium), past, few)
        assert codes.shape == (2, config.hyper.bits) and codes.dtype == np.float32


def test_an_unknown_method_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="found 'mcmhs' .did you mean 'mcmsh'"):
        experiment("mcmhs", "nmnist")


def test_an_unknown_hyper_parameter_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="config.hyper.center: mcmsh has no such field .did you mean 'centres'"):
        build("mcmsh", {"center": 3})


def test_a_baseline_that_does_not_train_is_the_same_whatever_the_span_of_training():
    config = experiment("dsmhn", "fashion")
    config.hyper.backbones = ("cnn_small", "")
    config.hyper.hidden = (6, 9)
    config.hyper.epochs = 7
    for name in ("itq", "cca_itq"):
        assert baseline(name, config).iterations == 50
    beside = baseline("dcmh", config)
    assert (beside.iterations, beside.batch, beside.backbone) == (7, config.hyper.batch, "cnn_small")
    assert beside.image_hidden == 6
