"""DSMHN's method: fields, stages, the loss of a step, devices, learning, weights that are given, stops."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import optax
import oracles
import oracles_pairs
import pytest

from jhash import parallel, steps, train
from jhash.data.source import ArrayTable, SideBySide
from jhash.encoders import cnn_small, stream
from jhash.encoders.c3d import C3D
from jhash.encoders.resnet import ResNet
from jhash.methods import dsmhn
from jhash.types import InputError, Stopped

TINY = {"bits": 8, "hidden": (16, 16), "inter": "logistic", "batch": 8, "epochs": 2, "learning_rate": 1e-2}
NOISY = {"hidden": (0, 16), "augment": True, "dropout": 0.25}
PICTURE = (9, 8, 3)
WEIGHTS = {"similarity": 0.7, "semantic": 1.3, "quantisation": 0.4, "balance": 2.0}


def pairs(items=24, image=(6,), several=False, owner=None):
    """The table 'pairs': vectors around a centre for each class, or pixels; text 5 wide; three classes in turns."""
    random = np.random.default_rng(0)
    owner = np.arange(items) % 3 if owner is None else np.asarray(owner)
    labels = np.eye(3, dtype=np.uint8)[owner]
    if several:
        labels |= np.eye(3, dtype=np.uint8)[(owner * 2 + 1) % 3]
    if len(image) > 1:
        features = random.integers(0, 256, (items, *image)).astype(np.uint8)
    else:
        features = (random.normal(size=(3, *image))[owner] + 0.3 * random.normal(size=(items, *image))) / 2
    texts = (random.normal(size=(3, 5))[owner] + 0.3 * random.normal(size=(items, 5))) / 2
    media = {"image": features if len(image) > 1 else features.astype(np.float32), "text": texts.astype(np.float32)}
    tables = {name: ArrayTable(name, {"features": array, "labels": labels}) for name, array in media.items()}
    return {"pairs": SideBySide(tables, "toys, pairs")}


@pytest.fixture(scope="module", autouse=True)
def small_backbones():
    """What backbones do is tested elsewhere; compiling all their layers would take most of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cnn_small, "WIDTHS", {2: (4, 6), 3: (4, 6)})
        patch.setitem(BACKBONES, "c3d", functools.partial(C3D, width=2, name="backbone"))
        patch.setitem(BACKBONES, "resnet50", functools.partial(ResNet, blocks=(1,), width=4, name="backbone"))
        patch.setattr(stream, "backbone", backbone)
        patch.setattr(dsmhn, "read_weights", given_weights)
        yield


BACKBONES = {"cnn_small": functools.partial(cnn_small.CnnSmall, name="backbone")}


def backbone(name, *, dtype, axis_name):
    return BACKBONES[name](dtype=dtype, **({"axis_name": axis_name} if name == "resnet50" else {}))


def given_weights(path, backbone):
    """As read_weights gives them: arrays of the small network's shapes, none as it would be drawn."""
    assert (str(path), backbone) == ("small.npz", "cnn_small")
    items = jax.ShapeDtypeStruct((8, *PICTURE), np.uint8)
    shapes = jax.eval_shape(cnn_small.CnnSmall().init, jax.random.key(0), items)
    random = np.random.default_rng(5)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32) / 4, shapes)


def run(folder, **options):
    return train.Run(folder=folder, devices=options.pop("devices", 1), warn=options.pop("warn", pytest.fail), **options)


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def begun(method, tables):
    """(stage, context, state, past) of the streams before their first step."""
    past = {}
    for index, stage in enumerate(method.stages(tables)):
        keys, table = steps.keys_of_stage(0, index), tables[stage.table]
        context = method.prepare(stage, past, tables, keys[0], None)
        start = jax.jit(functools.partial(train.initial_state, method, stage))
        state = start(past, context, train.example_of(table, method, stage), keys[1])
        if not stage.steps:
            past[stage.name] = train.leave(method, stage, context, state)
    return stage, context, state, past


def batch_of(tables, method, rows=range(8)):
    return {"item": tables["pairs"].read(np.array(rows), method.columns)}


# --- fields and stages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"inter": "hinge"},
            "inter: expected one of logistic, contrastive, squared, triplet, found 'hinge'",
        ),
        ({"dtype": "float16"}, "config.hyper.dtype: expected one of float32, bfloat16, found 'float16'"),
        ({"media": ("image",)}, "config.modalities: dsmhn takes two different media, found"),
        ({"media": ("image", "image")}, "config.modalities: dsmhn takes two different media, found"),
        ({"backbones": ("",)}, "config.hyper.backbones: expected an entry for each of two media"),
        ({"hidden": (1, 2, 3)}, "config.hyper.hidden: expected an entry for each of two media"),
        ({"hidden": ("a", "b")}, "config.hyper.hidden: expected widths, or 0 for none, found"),
        ({"learning_rate": -1.0}, "config.hyper.learning_rate: expected a number above 0, found -1.0"),
        ({"margin": -5.0}, "config.hyper.margin: expected a number, at least 0, found -5.0"),
        ({"hidden": (16, -1)}, "config.hyper.hidden: expected widths, or 0 for none, found"),
        ({"weights": ("a.npz", "")}, "config.hyper.weights: 'a.npz' needs a backbone to go into, found ''"),
        ({"dropout": 1.0}, "config.hyper.dropout: expected a number, at least 0 and below 1, found 1.0"),
        ({"bits": 0}, "config.hyper.bits: expected a whole number, at least 1, found 0"),
        ({"batch": 0}, "config.hyper.batch: expected a whole number, at least 1, found 0"),
        ({"epochs": 0}, "config.hyper.epochs: expected a whole number, at least 1, found 0"),
    ],
)
def test_a_wrong_field_is_refused(fields, words):
    with pytest.raises(InputError, match=words) as caught:
        dsmhn.Method(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "image", "words"),
    [
        ({}, (8, 8, 3), r"image has items \[8, 8, 3\]; expected one of .* for it, found ''"),
        ({"backbones": ("cnn_small", "")}, (6,), r"cnn_small takes items .*, but image has \[6\]"),
        ({"backbones": ("vgg16", "")}, (8, 8, 3), r"vgg16 takes items \[224, 224, 3\], but image has \[8, 8, 3\]"),
        ({"backbones": ("alexnet", "")}, (8, 8, 3), "expected one of .* or '', found 'alexnet'"),
        ({"batch": 32}, (6,), "toys, pairs: config.hyper.batch is 32, but there are only 24 pairs"),
    ],
)
def test_pairs_that_do_not_serve_are_refused(fields, image, words):
    with pytest.raises(InputError, match=words):
        dsmhn.Method(**TINY | fields).stages(pairs(image=image))


def test_an_epoch_is_every_whole_batch():
    (stage,) = dsmhn.Method(**TINY).stages(pairs(items=23))
    assert (stage.table, stage.size, stage.batch, stage.steps, stage.pass_steps) == ("pairs", 23, 8, 4, 2)


@pytest.mark.parametrize(("several", "single"), [(False, True), (True, False)])
def test_pairs_of_one_class_each_are_told_from_those_of_several(several, single):
    method, tables = dsmhn.Method(**TINY), pairs(several=several)
    (stage,) = method.stages(tables)
    assert bool(method.prepare(stage, {}, tables, None, None)["single"]) is single
    tables["pairs"].tables["image"].arrays["labels"][0] = 0
    assert bool(method.prepare(stage, {}, tables, None, None)["single"]) is single  # the first is of no class


# --- a step -------------------------------------------------------------------------------------------------------

OF_ONE, OF_SEVERAL = pairs(), pairs(several=True)
STEPS = {  # several classes an item or one, fields
    "logistic": (OF_ONE, {}),
    "contrastive": (OF_SEVERAL, {"inter": "contrastive", "balanced": False, "margin": 0.8}),
    "triplet": (OF_SEVERAL, {"inter": "triplet"}),
    "bfloat16": (OF_ONE, {"dtype": "bfloat16"}),
}


@functools.cache
def vectors():
    """(stage, context, state) of vectors; biases, which start at 0, moved away from there."""
    stage, context, state, _ = begun(dsmhn.Method(**TINY), OF_ONE)
    return stage, context, state.replace(params=jax.tree.map(lambda leaf: leaf + 0.1, state.params))


@functools.cache
def losses_of_a_step():
    """name of STEPS -> ((loss, (collections, terms)), the batch), and relaxed codes by medium; one program for all."""
    stage, context, state = vectors()
    methods = {name: dsmhn.Method(**TINY | WEIGHTS | fields) for name, (_, fields) in STEPS.items()}
    rows = [0, 1, 2, 3, 4, 6, 9, 12]
    batches = {name: batch_of(tables, methods[name], rows) for name, (tables, _) in STEPS.items()}

    def all_of_them(params, batches):
        found = {}
        for name, method in methods.items():
            given = context | {"single": np.bool_(STEPS[name][0] is OF_ONE)}
            found[name] = method.loss(stage, given, params, {}, batches[name], {}, 0, jax.random.key(0), parallel.ALONE)
        past, items = {"streams": train.Past(params, {}, {})}, batches["logistic"]["item"]
        method = methods["logistic"]
        return found, {m: method.encode(past, {"features": items[f"{m}:features"]}, m) for m in method.media}

    found, codes = jax.jit(all_of_them)(state.params, batches)
    return {name: (found[name], batches[name]["item"]) for name in found}, codes


def networks(items):
    """medium -> (relaxed codes, logits) [B, ...] in float64 by the weights alone."""
    found, params = {}, vectors()[2].params

    def dense(x, layer):
        return oracles.dense(x, np.asarray(layer["kernel"]), np.asarray(layer["bias"]))

    for medium in ("image", "text"):
        h = dense(oracles.relu(dense(items[f"{medium}:features"], params[medium]["hidden"])), params[medium]["hash"])
        found[medium] = np.tanh(h), dense(np.tanh(h), params[f"{medium}_classifier"])
    return found


@pytest.mark.parametrize("name", ["logistic", "contrastive", "triplet"])
def test_the_loss_of_a_step_is_the_oracle_s(name):
    (total, (collections, terms)), items = losses_of_a_step()[0][name]
    method, found, labels = dsmhn.Method(**TINY | STEPS[name][1]), networks(items), items["image:labels"]
    similar, both = oracles_pairs.shares_class(labels, labels), (("image", "text"), ("text", "image"))
    settings = {"kind": method.inter, "margin": method.margin, "balanced": method.balanced}
    single = STEPS[name][0] is OF_ONE
    expected = {
        "similarity": [oracles_pairs.dsmhn_inter(found[a][0], found[b][0], similar, **settings) for a, b in both],
        "semantic": [oracles_pairs.dsmhn_semantic(found[a][1], labels, single) for a, _ in both],
        "quantisation": [oracles_pairs.dsmhn_quantisation(found[a][0]) for a, _ in both],
        "balance": [oracles_pairs.dsmhn_balance(found[a][0]) for a, _ in both],
    }
    expected = {term: np.mean(values) for term, values in expected.items()}
    assert terms.keys() == expected.keys() and collections == {} and 0 < similar.mean() < 1
    for term, value in expected.items():
        assert float(terms[term]) == pytest.approx(value, rel=1e-5), term
    weights = [WEIGHTS[term] for term in expected]
    assert float(total) == pytest.approx(oracles_pairs.dsmhn_total(expected.values(), weights), rel=1e-5)


@pytest.mark.parametrize("medium", ["image", "text"])
def test_codes_come_from_a_medium_s_own_items_and_weights(medium):
    found, codes = losses_of_a_step()
    np.testing.assert_allclose(codes[medium], networks(found["logistic"][1])[medium][0], rtol=1e-5, atol=1e-6)


def test_products_in_bfloat16_are_near_those_in_float32():
    found, _ = losses_of_a_step()
    half, full = (found[name][0][0] for name in ("bfloat16", "logistic"))
    assert float(half) == pytest.approx(float(full), rel=0.02) and half != full and half.dtype == np.float32


# --- devices ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recorded(dsmhn.Method):
    """Plain steps, for Adam divides rounding by itself where a gradient is next to nothing; its state is the gradient.

    A real ResNet-50 takes minutes to compile: this one has a single block and batch statistics all the same.
    """

    backbones: tuple[str, ...] = ("resnet50", "")

    def optimizer(self, stage):
        def update(gradients, state, params=None):
            return jax.tree.map(lambda leaf: -0.02 * leaf, gradients), gradients

        return optax.GradientTransformation(lambda params: params, update)


@pytest.fixture(scope="module")
def on_devices():
    """(the state before, and for 1 and 4 devices a list of states and logs of sixteen steps); noise of every kind."""
    method, tables = Recorded(**TINY | NOISY | {"epochs": 6}), pairs(image=PICTURE)
    stage, context, state, _ = begun(method, tables)
    keys, found = steps.keys_of_stage(0, 0), {1: [], 4: []}
    order = np.arange(24, dtype=np.int32)
    for devices, reached in found.items():
        call, now = steps.streamed_call(method, stage, devices, 0), parallel.replicate(state, devices)
        for number in range(16):
            rows = {"item": order[number % 3 * 8 : number % 3 * 8 + 8]}
            given = parallel.shard((batch_of(tables, method, rows["item"]), rows), devices)
            now, logs = call(now, (context, keys), given)
            reached.append(jax.tree.map(np.asarray, (now, logs)))
    return state, found[1], found[4]


def assert_close(alone, together, tolerance=1e-5):
    """Each array of one device against the four of four, by the norm."""
    for (path, a), b in zip(jax.tree.leaves_with_path(alone), jax.tree.leaves(together), strict=True):
        for one in b:
            assert np.linalg.norm(a - one) <= tolerance * np.linalg.norm(a), jax.tree_util.keystr(path)


def test_loss_and_gradients_of_four_devices_are_those_of_one(on_devices):
    _, (alone, *_), (together, *_) = on_devices
    assert_close(alone[1], together[1])
    assert_close(alone[0].opt, together[0].opt)
    assert all(np.linalg.norm(leaf) > 0 for leaf in jax.tree.leaves(alone[0].opt))


def test_sixteen_steps_on_four_devices_are_those_on_one(on_devices):
    _, alone, together = on_devices
    assert_close(alone[-1][0].params, together[-1][0].params)


def test_statistics_of_a_backbone_are_those_of_the_whole_batch(on_devices):
    before, (alone, *_), (together, *_) = on_devices
    assert alone[0].collections.keys() == before.collections.keys() == {"image"}
    assert_close(alone[0].collections, together[0].collections)
    moved = [state.collections["image"]["backbone"]["bn1"]["mean"] for state in (before, alone[0])]
    assert np.abs(moved[1] - moved[0]).max() > 1e-3


def test_an_item_s_code_is_its_own_by_the_statistics_that_training_left(on_devices):
    before, alone, _ = on_devices
    items = pairs(image=PICTURE)["pairs"].tables["image"].arrays["features"][:8]
    method, params = Recorded(**TINY | NOISY), alone[-1][0].params

    def codes(kept, items):
        return method.encode({"streams": train.Past(params, kept, {})}, {"features": items}, "image")

    def three(kept, before, items):
        return codes(kept, items), codes(kept, items[:1]), codes(before, items)

    together, single, other = jax.jit(three)(alone[-1][0].collections, before.collections, items)
    np.testing.assert_allclose(single, together[:1], rtol=1e-4, atol=1e-5)
    assert np.abs(other - together).max() > 1e-2


# --- learning -----------------------------------------------------------------------------------------------------

ALONE = {"semantic": 0.0, "quantisation": 0.0, "balance": 0.0}
UNEVEN = pairs(owner=[0] * 16 + [1] * 4 + [2] * 4)  # bits that only tell classes apart don't split these in half
LEARNERS = {kind: (OF_ONE, ALONE | {"inter": kind}) for kind in ("logistic", "contrastive", "squared", "triplet")}
LEARNERS |= {f"balance {weight}": (UNEVEN, ALONE | {"balance": weight}) for weight in (0.0, 5.0)}


@functools.cache
def learned():
    """name of LEARNERS -> (the similarity term of 40 steps on all pairs at once, the last codes by medium)."""
    methods = {name: dsmhn.Method(**TINY | fields | {"batch": 24}) for name, (_, fields) in LEARNERS.items()}
    stage, context, state = vectors()
    stage = dataclasses.replace(stage, batch=24, steps=40)

    def all_of_them(state, batches):
        return {name: learn(methods[name], state, batches[name]) for name in LEARNERS}

    def learn(method, state, batch):
        def step(state, _):
            return steps.update(method, stage, context, state, batch, {}, jax.random.key(0), parallel.ALONE)

        state, logs = jax.lax.scan(step, state, length=40)
        past, items = {"streams": train.Past(state.params, {}, {})}, batch["item"]
        codes = {m: method.encode(past, {"features": items[f"{m}:features"]}, m) for m in method.media}
        return logs["similarity"], codes

    batches = {name: batch_of(tables, methods[name], range(24)) for name, (tables, _) in LEARNERS.items()}
    return jax.tree.map(np.asarray, jax.jit(all_of_them)(state, batches))


@pytest.mark.parametrize("kind", ["logistic", "contrastive", "squared", "triplet"])
def test_an_inter_loss_falls_and_brings_pairs_together(kind):
    falling, codes = learned()[kind]
    assert falling[-1] < 0.6 * falling[0]
    same = np.arange(24)[:, None] % 3 == np.arange(24)[None] % 3
    products = codes["image"] @ codes["text"].T
    assert products[same].mean() > products[~same].mean() + 3


def test_balance_brings_the_means_of_bits_to_0():
    without, balanced = (
        np.mean([np.abs(codes.mean(0)).mean() for codes in learned()[f"balance {weight}"][1].values()])
        for weight in (0.0, 5.0)
    )
    assert balanced < 0.5 * without


# --- pixels and given weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "clip", "first", "least"),
    [("cnn_small", (4, 6, 6, 1), "patches", 8), ("c3d", (16, 112, 112, 3), "conv1", 2)],
)
def test_clips_pass_through_a_backbone(name, clip, first, least):
    """From pixels of a clip to codes in [-1, 1] that differ, and back to a gradient in the first layer.

    At least so many bits differ between items: some of so narrow a C3D's stand at their ends for all of them.
    """
    method = dsmhn.Method(**TINY | {"backbones": (name, ""), "hidden": (0, 0)})
    tables = pairs(items=8, image=clip)
    stage, context, state, _ = begun(method, tables)

    def both(params, batch):
        given = ({}, batch, {}, state.step, jax.random.key(0), parallel.ALONE)
        slopes = jax.grad(lambda params: method.loss(stage, context, params, *given)[0])(params)
        past = {"streams": train.Past(params, {}, {})}
        return slopes, method.encode(past, {"features": batch["item"]["image:features"]}, "image")

    slopes, codes = jax.jit(both)(state.params, batch_of(tables, method))
    assert np.linalg.norm(slopes["image"]["backbone"][first]["kernel"]) > 0
    assert codes.shape == (8, 8) and np.abs(codes).max() <= 1 and (np.ptp(codes, axis=0) > 1e-3).sum() >= least


FROZEN = dsmhn.Method(
    **TINY | NOISY | {"epochs": 3, "backbones": ("cnn_small", ""), "weights": ("small.npz", "")},
    weight_decay=0.1,
    backbone_learning_rate=0.0,
)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """(folder, what training left, where it began): pixels, given weights that stay, noise of every kind."""
    tables, folder = pairs(items=17, image=PICTURE), tmp_path_factory.mktemp("frozen")
    *_, state, past = begun(FROZEN, tables)
    return folder, train.train(FROZEN, tables, run(folder)), state, past


def test_training_begins_with_given_weights(frozen):
    *_, state, past = frozen
    assert_same_bits(state.params["image"]["backbone"], given_weights("small.npz", "cnn_small")["params"])
    assert sorted(state.params["image"]) == ["backbone", "hash"] and sorted(state.params["text"]) == ["hash", "hidden"]
    assert past["weights"].kept and all(name.startswith("image/params/") for name in past["weights"].kept)


def test_a_backbone_s_own_rate_of_0_leaves_it_as_it_was_given(frozen):
    _, left, begin, _ = frozen
    assert_same_bits(left["streams"].params["image"]["backbone"], given_weights("small.npz", "cnn_small")["params"])
    for network, layer in (("image", "hash"), ("text", "hash"), ("text", "hidden")):
        before, after = (params[network][layer]["kernel"] for params in (begin.params, left["streams"].params))
        assert np.abs(before - after).max() > 1e-3


# --- stops --------------------------------------------------------------------------------------------------------


def stop_after(calls):
    counter = itertools.count(1)
    return lambda: next(counter) >= calls


def test_a_stopped_run_ends_bit_for_bit_where_an_unbroken_one_ends(frozen, tmp_path):
    folder, unbroken, *_ = frozen
    tables, stops = pairs(items=17, image=PICTURE), 0
    while True:
        try:
            broken = train.train(FROZEN, tables, run(tmp_path, stopping=stop_after(2)))
            break
        except Stopped:
            stops += 1
    assert stops == 2
    assert_same_bits(broken, unbroken)
    read = train.train(FROZEN, tables, run(folder, watch=lambda *_: pytest.fail("trained again")))
    assert_same_bits(read, unbroken)


@pytest.mark.slow
def test_streamed_rows_train_like_resident_ones(frozen, tmp_path):
    streamed = train.train(FROZEN, pairs(items=17, image=PICTURE), run(tmp_path, resident_gb=0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), frozen[1], streamed)
