"""SHE's method: fields, stages, what is frozen and handed on, how libraries start, the loss, devices, learning."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles_she as oracles
import pytest

from jhash import evaluate, parallel, steps, train
from jhash.data.source import ArrayTable
from jhash.encoders.perceptron import apply_layers, init_layers
from jhash.losses import she as losses
from jhash.methods import joint, she
from jhash.types import InputError, Past, Stopped

WIDTHS = {"image": 6, "audio": 9, "stroke": 4}
TINY = {"bits": 8, "hidden": 16, "batch": 8, "epochs": 2, "learning_rate": 1e-2}


def medium(name, items=24, classes=(0, 1, 2), number=3):
    """Features around a centre for each class, in turns of the given classes; labels [N, number]."""
    random = np.random.default_rng(list(WIDTHS).index(name))
    centres = random.normal(size=(number, WIDTHS[name]))
    owner = np.resize(classes, items)
    features = centres[owner] + 0.2 * random.normal(size=(items, WIDTHS[name]))
    labels = np.eye(number, dtype=np.uint8)[owner]
    return ArrayTable(name, {"features": features.astype(np.float32), "labels": labels})


def media(**options):
    return {name: medium(name, **options) for name in WIDTHS}


def run(folder, **options):
    return train.Run(folder=folder, devices=options.pop("devices", 1), warn=options.pop("warn", pytest.fail), **options)


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@functools.cache
def start_of(method, stage):
    return jax.jit(lambda context, example, key: method.init(stage, {}, context, example, key)[0])


def begun(method, tables, name, past=None, seed=0, index=0):
    """(stage, context, params) of a medium's stage before its first step."""
    stage = next(stage for stage in method.stages(tables) if stage.name == name)
    keys = steps.keys_of_stage(seed, index)
    context = method.prepare(stage, past or {}, tables, keys[0], None)
    return stage, context, start_of(method, stage)(context, train.example_of(tables[name], method, stage), keys[1])


def untrained(method, tables):
    """Stage name -> (context, Past) of the whole fold, no step taken."""
    past, contexts = {}, {}
    for index, name in enumerate(tables):
        stage, context, params = begun(method, tables, name, past, index=index)
        state = train.TrainState(jnp.int32(0), params, {}, ())
        contexts[name], past[name] = context, train.leave(method, stage, context, state)
    return contexts, past


# --- fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", she.VARIANTS)
def test_a_variant_fills_what_is_not_given(variant):
    method = she.Method(variant=variant)
    assert {name: getattr(method, name) for name in she.VARIANTS[variant]} == she.VARIANTS[variant]


def test_a_field_that_is_given_stays():
    method = she.Method(variant="released", losses="paper")
    assert (method.losses, method.library, method.start) == ("paper", "mlp", "shared")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"variant": "papers"}, "method.variant: expected one of paper, released, jhash, found 'papers'"),
        ({"losses": "printed"}, "method.losses: expected one of paper, released, found 'printed'"),
        ({"library": "cnn"}, "method.library: expected one of mlp, free, found 'cnn'"),
        ({"start": "zero"}, "method.start: expected one of shared, anchor, independent, found 'zero'"),
        ({"dtype": "float16"}, "method.dtype: expected one of float32, bfloat16, found 'float16'"),
        ({"mining": -1.0}, "loss weights of at least 0 and one above, found"),
        (dict.fromkeys(("mining", "separation", "transfer", "discrimination"), 0.0), "one above, found"),
        ({"prototypes": 0}, "method.prototypes: expected at least 2 with losses='paper'"),
        ({"prototypes": 1}, "method.prototypes: expected at least 2 with losses='paper'"),
        ({"prototypes": 0, "losses": "released"}, "method.prototypes: expected at least 1 with losses='released'"),
        ({"start": "anchor"}, "method.start: expected 'shared' or 'independent' with library='mlp', found 'anchor'"),
        ({"sigma": 1.5}, "method.sigma: expected a cosine from 0 to 1, found 1.5"),
        ({"mining_q": -0.1}, "method.mining_q: expected a number from 0 to 1, found -0.1"),
        ({"bits": 0}, "method.bits: expected at least 1, found 0"),
        ({"hidden": 0}, "method.hidden: expected at least 1, found 0"),
        ({"batch": 0}, "method.batch: expected at least 1, found 0"),
        ({"learning_rates": ("audio",)}, "method.learning_rates: expected pairs of a medium and its rate"),
    ],
)
def test_a_wrong_field_is_refused(fields, words):
    with pytest.raises(InputError, match=words) as caught:
        she.Method(**fields)
    assert "\n" not in str(caught.value)


def test_a_single_prototype_will_do_where_nothing_compares_it():
    assert she.Method(prototypes=1, separation=0.0).prototypes == 1
    assert she.Method(prototypes=1, losses="released").prototypes == 1


def test_a_medium_may_have_a_rate_of_its_own():
    method = she.Method(learning_rate=1e-4, learning_rates=[["audio", 1e-3]])
    assert (method.rate("audio"), method.rate("image")) == (1e-3, 1e-4)
    assert hash(method) == hash(she.Method(learning_rate=1e-4, learning_rates=(("audio", 1e-3),)))


def test_the_joint_baseline_compares_prototypes_of_a_class():
    with pytest.raises(InputError, match="method.prototypes: expected at least 2 a class, found 1"):
        joint.Method(prototypes=1)


# --- stages -------------------------------------------------------------------------------------------------------


def test_each_medium_has_a_stage_in_its_order_and_its_test_part_has_none():
    tables = media() | {"image/train": medium("image"), "image/test": medium("image"), "all/together": None}
    tables = {"stroke": tables.pop("stroke"), **tables}
    stages = she.Method(**TINY).stages(tables)
    assert [(stage.name, stage.table) for stage in stages] == [(n, n) for n in ("stroke", "image", "audio")]
    assert {(stage.size, stage.batch, stage.steps, stage.pass_steps) for stage in stages} == {(24, 8, 6, 3)}


def test_the_short_last_batch_is_dropped():
    (stage,) = she.Method(**TINY).stages({"image": medium("image", items=23)})
    assert (stage.size, stage.steps, stage.pass_steps, stage.per_epoch) == (23, 4, 2, 2)


def test_a_medium_smaller_than_a_batch_is_one_batch():
    (stage,) = she.Method(**TINY).stages({"image": medium("image", items=5)})
    assert (stage.batch, stage.steps, stage.pass_steps) == (5, 2, 1)


def test_a_table_without_labels_and_one_without_items_are_refused():
    bare = ArrayTable("bare", {"features": np.zeros((4, 3), np.float32)})
    with pytest.raises(InputError, match="bare: expected items with labels, found none"):
        she.Method().stages({"image": bare})
    with pytest.raises(InputError, match="image: expected items with features, found none"):
        she.Method().stages({"image": medium("image", items=0)})


# --- what is frozen, and what is handed on ------------------------------------------------------------------------

FREE = she.Method(**TINY, library="free", start="independent")


def test_the_first_medium_has_no_anchor_and_later_ones_have_its_library():
    contexts, past = untrained(FREE, media())
    assert not contexts["image"]["filled"].any() and not contexts["image"]["anchor"].any()
    for name in ("audio", "stroke"):
        assert contexts[name]["filled"].all()
        np.testing.assert_array_equal(contexts[name]["anchor"], past["image"].kept["own"])
        np.testing.assert_array_equal(past[name].kept["library"], past["image"].kept["library"])
        assert (past[name].kept["own"] != past["image"].kept["own"]).any()


def test_contexts_say_which_classes_a_medium_has_and_how_wide_it_is():
    tables = {"image": medium("image", classes=(0, 2)), "audio": medium("audio")}
    contexts, _ = untrained(FREE, tables)
    assert contexts["image"]["present"].tolist() == [True, False, True]
    assert [int(contexts[name]["width"]) for name in tables] == [6, 9]


def test_a_class_is_filled_by_the_first_medium_that_has_it_and_stays():
    tables = {
        "image": medium("image", classes=(0,)),
        "audio": medium("audio", classes=(0, 2)),
        "stroke": medium("stroke", classes=(0, 1, 2)),
    }
    contexts, past = untrained(FREE, tables)
    filled = [past[name].kept["filled"].tolist() for name in tables]
    assert filled == [[True, False, False], [True, False, True], [True, True, True]]
    last = past["stroke"].kept["library"]
    for number, name in enumerate(("image", "stroke", "audio")):
        np.testing.assert_array_equal(last[number], past[name].kept["own"][number])
    np.testing.assert_array_equal(past["audio"].kept["library"][[0, 2]], last[[0, 2]])


def test_a_class_that_is_named_later_is_appended():
    _, past = untrained(FREE, {"image": medium("image")})
    wider = {"audio": medium("audio", classes=(0, 3), number=4)}
    _, context, _ = begun(FREE, wider, "audio", past, index=1)
    assert context["anchor"].shape == (4, 3, 8) and context["filled"].tolist() == [True, True, True, False]
    np.testing.assert_array_equal(context["anchor"][:3], past["image"].kept["library"])


@pytest.mark.parametrize("other", [{"bits": 16}, {"prototypes": 2}])
def test_a_library_of_another_shape_is_refused(other):
    _, past = untrained(FREE, {"image": medium("image")})
    method = dataclasses.replace(FREE, **other)
    words = f"expected {method.prototypes} prototypes a class of {method.bits} bits, found 3 of 8 bits"
    with pytest.raises(InputError, match=words):
        begun(method, media(), "audio", past, index=1)


# --- how libraries start ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["mlp", "free"])
@pytest.mark.parametrize("start", ["shared", "independent"])
def test_libraries_start_with_draws_shared_or_of_their_own(library, start):
    method = dataclasses.replace(FREE, library=library, start=start)
    contexts, past = untrained(method, media())
    one, *others = (past[name] for name in WIDTHS)
    assert len({contexts[name]["start"].tobytes() for name in WIDTHS}) == (1 if start == "shared" else 3)
    for other in others:
        same = [(a == b).all() for a, b in zip(*map(jax.tree.leaves, (one.params["library"], other.params["library"])))]
        assert all(same) if start == "shared" else not any(same)
        assert (one.params["network"][1]["kernel"] != other.params["network"][1]["kernel"]).any()


def test_free_libraries_that_start_at_the_anchor_start_upon_it():
    method = dataclasses.replace(FREE, start="anchor")
    tables = {"image": medium("image", classes=(0, 2)), "audio": medium("audio")}
    contexts, past = untrained(method, tables)
    anchor, own = contexts["audio"]["anchor"], past["audio"].kept["own"]
    np.testing.assert_allclose(own[[0, 2]], anchor[[0, 2]], rtol=1e-5, atol=1e-6)
    cosine = (own * past["image"].kept["own"]).sum(-1)
    assert cosine[[0, 2]] == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(past["audio"].kept["library"][[0, 2]], anchor[[0, 2]])


def test_noisy_one_hot_rows():
    rows = np.asarray(she.noisy_one_hot(jax.random.key(0), 40, 3))
    ones = rows[np.arange(40), :, np.arange(40)]
    assert rows.shape == (40, 3, 40) and (rows != 0).sum() == 120 and (ones > 0).all()
    assert ones.max() == 1 and 0.35 < (ones == 1).mean() < 0.65 and 0.6 < ones.min() < 0.9
    below = ones[ones < 1]
    assert len(np.unique(below)) == len(below)  # a draw for each prototype


def test_rows_of_a_class_stay_when_classes_are_added():
    few, many = (np.asarray(she.noisy_one_hot(jax.random.key(0), classes, 3)) for classes in (4, 6))
    np.testing.assert_array_equal(many[:4, :, :4], few)


def test_an_initialisation_does_not_depend_on_padding():
    key = jax.random.key(0)
    narrow = init_layers(key, (6, 16, 16, 8), last_bias=False)
    padded = init_layers(key, (9, 16, 16, 8), last_bias=False, inputs=jnp.int32(6))
    np.testing.assert_array_equal(padded[0]["kernel"][:6], narrow[0]["kernel"])
    assert padded[0]["kernel"].shape == (9, 16)
    assert_same_bits([padded[0]["bias"], padded[1:]], [narrow[0]["bias"], narrow[1:]])


def test_bounds_of_an_initialisation():
    layers = init_layers(jax.random.key(0), (25, 100, 400, 64), last_bias=True)
    bounds = (1 / 5, 1 / 10, 1 / 5)  # the last by the width of the input, as released
    for layer, bound in zip(layers, bounds, strict=True):
        for leaf in layer.values():
            assert 0.9 * bound < np.abs(leaf).max() <= bound and abs(np.mean(leaf)) < 0.2 * bound
    assert "bias" not in init_layers(jax.random.key(0), (3, 4, 2), last_bias=False)[-1]


def test_layers_have_relu_between_them():
    layers = init_layers(jax.random.key(1), (4, 6, 6, 3), last_bias=False)
    x = medium("stroke", items=5).arrays["features"]
    hidden = np.maximum(x @ layers[0]["kernel"] + layers[0]["bias"][None], 0)
    hidden = np.maximum(hidden @ layers[1]["kernel"] + layers[1]["bias"][None], 0)
    np.testing.assert_allclose(apply_layers(layers, x), hidden @ layers[2]["kernel"], rtol=1e-5, atol=1e-6)
