"""SHE's method: fields, stages, what is frozen and handed on, how libraries start, the loss, devices, learning."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles_she as oracles
import pytest

from jhash import parallel, steps, train
from jhash.data.source import ArrayTable
from jhash.encoders.perceptron import apply_layers, init_layers
from jhash.methods import joint, she
from jhash.types import InputError, Past, Stopped

MEDIA = ("image", "audio", "stroke")
TINY = {"bits": 8, "hidden": 16, "batch": 8, "epochs": 2, "learning_rate": 1e-2}


def medium(name, items=24, classes=(0, 1, 2), number=3, width=6):
    """Features around a centre for each class, in turns of the given classes; labels [N, number]."""
    random = np.random.default_rng(MEDIA.index(name))
    centres = random.normal(size=(number, width))
    owner = np.resize(classes, items)
    features = centres[owner] + 0.2 * random.normal(size=(items, width))
    labels = np.eye(number, dtype=np.uint8)[owner]
    return ArrayTable(name, {"features": features.astype(np.float32), "labels": labels})


def media():
    """Three media of one width, for which all that they start with is compiled once."""
    return {name: medium(name) for name in MEDIA}


def run(folder, **options):
    return train.Run(folder=folder, devices=options.pop("devices", 1), warn=options.pop("warn", pytest.fail), **options)


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@functools.cache
def start_of(method):
    return jax.jit(lambda context, example, key: method.init(None, {}, context, example, key)[0])


def begun(method, tables, name, past=None, seed=0, index=0):
    """(stage, context, params) of a medium's stage before its first step."""
    stage = next(stage for stage in method.stages(tables) if stage.name == name)
    keys = steps.keys_of_stage(seed, index)
    context = method.prepare(stage, past or {}, tables, keys[0], None)
    return stage, context, start_of(method)(context, train.example_of(tables[name], method, stage), keys[1])


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
        ({"variant": "papers"}, "config.hyper.variant: expected one of paper, released, jhash, found 'papers'"),
        ({"losses": "printed"}, "config.hyper.losses: expected one of paper, released, found 'printed'"),
        ({"library": "cnn"}, "config.hyper.library: expected one of mlp, free, found 'cnn'"),
        ({"start": "zero"}, "start: expected one of shared, anchor, independent, found 'zero'"),
        ({"dtype": "float16"}, "config.hyper.dtype: expected one of float32, bfloat16, found 'float16'"),
        ({"mining": -1.0}, "config.hyper.mining: expected a number, at least 0, found -1.0"),
        (
            dict.fromkeys(("mining", "separation", "transfer", "discrimination"), 0.0),
            "discrimination above 0, found none",
        ),
        ({"prototypes": 0}, "config.hyper.prototypes: expected at least 2 with losses='paper'"),
        ({"prototypes": 1}, "config.hyper.prototypes: expected at least 2 with losses='paper'"),
        ({"prototypes": 0, "losses": "released"}, "prototypes: expected at least 1 with losses='released'"),
        ({"start": "anchor"}, "start: expected 'shared' or 'independent' with library='mlp', found 'anchor'"),
        ({"sigma": 1.5}, "config.hyper.sigma: expected a cosine from 0 to 1, found 1.5"),
        ({"mining_q": -0.1}, "config.hyper.mining_q: expected a number from 0 to 1, found -0.1"),
        ({"bits": 0}, "config.hyper.bits: expected a whole number, at least 1, found 0"),
        ({"hidden": 0}, "config.hyper.hidden: expected a whole number, at least 1, found 0"),
        ({"batch": 0}, "config.hyper.batch: expected a whole number, at least 1, found 0"),
        ({"learning_rates": ("audio",)}, "config.hyper.learning_rates: expected pairs of a medium and its rate"),
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
    with pytest.raises(InputError, match="config.hyper.prototypes: expected at least 2 a class, found 1"):
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
    assert [int(contexts[name]["width"]) for name in tables] == [6, 6]


def test_a_class_is_filled_by_the_first_medium_that_has_it_and_stays():
    tables = {
        "image": medium("image", classes=(0,)),
        "audio": medium("audio", classes=(0, 2)),
        "stroke": medium("stroke", classes=(1,)),
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
    one, *others = (past[name] for name in MEDIA)
    assert len({contexts[name]["start"].tobytes() for name in MEDIA}) == (1 if start == "shared" else 3)
    for other in others:
        leaves = map(jax.tree.leaves, (one.params["library"], other.params["library"]))
        same = [(a == b).all() for a, b in zip(*leaves, strict=True)]
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


@functools.cache
def rows_of(classes):
    return np.asarray(she.noisy_one_hot(jax.random.key(0), classes, 3))


def test_noisy_one_hot_rows():
    rows = rows_of(40)
    ones = rows[np.arange(40), :, np.arange(40)]
    assert rows.shape == (40, 3, 40) and (rows != 0).sum() == 120 and (ones > 0).all()
    assert ones.max() == 1 and 0.35 < (ones == 1).mean() < 0.65 and 0.6 < ones.min() < 0.9
    below = ones[ones < 1]
    assert len(np.unique(below)) == len(below)  # a draw for each prototype


def test_rows_of_a_class_stay_when_classes_are_added():
    np.testing.assert_array_equal(rows_of(40)[:36, :, :36], rows_of(36))


@functools.cache
def layers_of(widths, **options):
    return jax.jit(functools.partial(init_layers, widths=widths, last_bias=True, **options))(jax.random.key(0))


def test_an_initialisation_does_not_depend_on_padding():
    narrow, padded = layers_of((25, 10, 6)), layers_of((29, 10, 6), inputs=25)
    np.testing.assert_array_equal(padded[0]["kernel"][:25], narrow[0]["kernel"])
    assert padded[0]["kernel"].shape == (29, 10)
    assert_same_bits([padded[0]["bias"], padded[1:]], [narrow[0]["bias"], narrow[1:]])


def test_bounds_of_an_initialisation():
    layers = layers_of((25, 100, 400, 64))
    bounds = (1 / 5, 1 / 10, 1 / 5)  # the last by the width of the input, as released
    for layer, bound in zip(layers, bounds, strict=True):
        for leaf in layer.values():
            assert 0.9 * bound < np.abs(leaf).max() <= bound and abs(np.mean(leaf)) < 0.2 * bound
    without = jax.eval_shape(functools.partial(init_layers, widths=(3, 4, 2), last_bias=False), jax.random.key(0))
    assert ["bias" in layer for layer in without] == [True, False]


def test_layers_have_relu_between_them_and_none_at_the_end():
    random = np.random.default_rng(0)
    layers = [{"kernel": random.normal(size=shape).astype(np.float32)} for shape in ((4, 6), (6, 3))]
    layers[0]["bias"] = random.normal(size=6).astype(np.float32)
    x = medium("stroke", items=5, width=4).arrays["features"]
    found = jax.jit(apply_layers)(layers, x)
    expected = np.maximum(x @ layers[0]["kernel"] + layers[0]["bias"][None], 0) @ layers[1]["kernel"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (expected < 0).any()


# --- the loss -----------------------------------------------------------------------------------------------------

WEIGHTS = {"mining": 0.5, "separation": 0.7, "transfer": 1.3, "discrimination": 2.0}


def later(method):
    """(context, params, batch) of a second medium, with an anchor that lacks a class; drawn, not trained."""
    classes, random = 3, np.random.default_rng(3)

    def layers(widths, last_bias):
        drawn = [{"kernel": random.normal(size=shape) / 3} for shape in itertools.pairwise(widths)]
        for layer, width in zip(drawn[: len(drawn) if last_bias else -1], widths[1:], strict=False):
            layer["bias"] = 0.1 * random.normal(size=width)
        return drawn

    anchor = oracles.normalised(random.normal(size=(classes * 3, 8))).reshape(classes, 3, 8)
    filled = np.array([True, False, True])
    context = {"anchor": anchor * filled[:, None, None], "filled": filled}
    context |= {"start": np.asarray(jax.random.key_data(jax.random.key(7)))}
    params = {"network": layers((6, 16, 16, 8), False), "library": random.normal(size=(classes, 3, 8))}
    if method.library == "mlp":
        params["library"] = layers((classes, 16, 16, 8), True)
    context, params = (
        jax.tree.map(lambda leaf: leaf.astype(np.float32) if leaf.dtype == np.float64 else leaf, tree)
        for tree in (context, params)
    )
    return context, params, {"item": medium("image", items=8, classes=(0, 0, 1, 2)).arrays}


def evaluated(method, context, params, batch):
    return method.loss(None, context, params, {}, batch, {}, jnp.int32(0), None, parallel.ALONE)


def expected_terms(method, context, params, batch):
    """By the oracles, in float64."""

    def weights(layers):
        return [(layer["kernel"], layer.get("bias")) for layer in layers]

    codes, labels = oracles.hash_network(weights(params["network"]), batch["item"]["features"]), batch["item"]["labels"]
    if method.library == "mlp":
        rows = she.noisy_one_hot(jax.random.fold_in(jax.random.wrap_key_data(context["start"]), 1), 3, 3)
        library = oracles.library_network(weights(params["library"]), np.asarray(rows).swapaxes(0, 1))
    else:
        library = oracles.normalised(np.tanh(params["library"]).reshape(9, 8)).reshape(3, 3, 8)
    paper = method.losses == "paper"
    return {
        "mining": oracles.mining(codes, labels, library),
        "separation": (oracles.separation_paper if paper else oracles.separation_released)(library),
        "transfer": oracles.transfer(library, context["anchor"], context["filled"], method.sigma),
        "discrimination": (oracles.discrimination_paper if paper else oracles.discrimination_released)(codes, labels),
    }


@pytest.mark.parametrize("variant", she.VARIANTS)
def test_the_loss_is_the_weighted_sum_of_its_terms(variant):
    method = she.Method(**TINY, variant=variant, sigma=0.6, **WEIGHTS)
    given = later(method)
    total, (_, terms) = jax.jit(functools.partial(evaluated, method))(*given)
    expected = expected_terms(method, *given)
    assert terms.keys() == expected.keys() and expected["transfer"] > 0
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-4), name
    assert float(total) == pytest.approx(sum(WEIGHTS[name] * value for name, value in expected.items()), rel=1e-4)


def test_a_weight_of_0_takes_its_term_out():
    whole = she.Method(**TINY, variant="paper", **WEIGHTS)
    given = later(whole)
    without = {name: dataclasses.replace(whole, **{name: 0.0}) for name in WEIGHTS}
    (total, (_, terms)), rest = jax.jit(
        lambda: (evaluated(whole, *given), {name: evaluated(method, *given)[0] for name, method in without.items()})
    )()
    for name, weight in WEIGHTS.items():
        assert weight * float(terms[name]) > 0.01
        assert float(rest[name]) == pytest.approx(float(total - weight * terms[name]), rel=1e-5), name


def test_the_first_medium_has_nothing_to_be_aligned_to():
    method = she.Method(**TINY, variant="paper")
    context, *given = later(method)
    context["filled"] = np.zeros(3, bool)
    assert float(jax.jit(functools.partial(evaluated, method))(context, *given)[1][1]["transfer"]) == 0


def test_products_in_bfloat16_are_finite_and_near_those_in_float32():
    full = she.Method(**TINY, variant="paper")
    context, params, batch = later(full)

    def slope(method):
        return jax.value_and_grad(lambda params: evaluated(method, context, params, batch)[0])(params)

    (value, slopes), (half_value, half_slopes) = jax.jit(
        lambda: (slope(full), slope(dataclasses.replace(full, dtype="bfloat16")))
    )()
    assert float(half_value) == pytest.approx(float(value), rel=0.02) and half_value != value
    for one, other in zip(jax.tree.leaves(slopes), jax.tree.leaves(half_slopes), strict=True):
        assert other.dtype == np.float32 and np.linalg.norm(one - other) < 0.2 * np.linalg.norm(one)


# --- devices, stops -----------------------------------------------------------------------------------------------


def as_joint():
    """The baseline with the media side by side: (method, params, batch)."""
    names = ("image", "audio")
    method = joint.Method(bits=8, media=names, hidden=16, batch=8)
    _, params, _ = later(she.Method(**TINY, variant="paper"))
    params = {name: params["network"] for name in names} | {"library": params["library"]}
    items = {f"{n}:{column}": array for n in names for column, array in medium(n, items=8).arrays.items()}
    return method, {}, params, {"item": items}


def as_she():
    method = she.Method(**TINY, variant="paper")
    return method, *later(method)


@pytest.mark.parametrize("given", [as_she, as_joint])
def test_loss_and_gradients_of_four_devices_are_those_of_one(given):
    method, context, params, batch = given()

    def gradients(batch, across):
        def loss(params):
            return method.loss(None, context, params, {}, batch, {}, jnp.int32(0), None, across)[0]

        return across.mean(jax.value_and_grad(loss)(params))

    alone = jax.jit(lambda batch: gradients(batch, parallel.ALONE))(batch)
    together = jax.pmap(lambda batch: gradients(batch, parallel.TOGETHER), parallel.AXIS)(parallel.shard(batch, 4))
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        assert np.linalg.norm(a) > 1e-4 and np.linalg.norm(a - b[0]) <= 1e-5 * np.linalg.norm(a)


@dataclasses.dataclass(frozen=True)
class Sgd(she.Method):
    """Adam divides rounding by itself where a gradient is next to nothing; plain steps can be held to a tolerance."""

    def optimizer(self, stage):
        return optax.sgd(0.05)


@pytest.mark.slow
def test_sixteen_steps_on_four_devices_are_those_on_one(tmp_path):
    method = Sgd(**TINY | {"epochs": 1}, variant="paper")
    context, *_ = later(method)
    past = {"library": Past({}, {}, {"library": context["anchor"]} | {n: context[n] for n in ("filled", "start")})}
    tables = {"audio": medium("audio", items=128)}
    alone, together = (
        train.train(method, tables, run(tmp_path / str(devices), devices=devices, past=past, finished=1))["audio"]
        for devices in (1, 4)
    )
    for a, b in zip(jax.tree.leaves(alone.params), jax.tree.leaves(together.params), strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a)
    np.testing.assert_array_equal(alone.kept["library"][[0, 2]], context["anchor"][[0, 2]])
    assert (tmp_path / "1" / "01_audio").is_dir()


def stop_after(calls):
    counter = itertools.count(1)
    return lambda: next(counter) >= calls


def test_a_stopped_run_ends_bit_for_bit_where_an_unbroken_one_ends(tmp_path):
    method, tables = she.Method(**TINY | {"epochs": 3}, variant="paper"), {"audio": medium("audio", items=25)}
    unbroken, stops = train.train(method, tables, run(tmp_path / "a")), 0
    while True:
        try:
            broken = train.train(method, tables, run(tmp_path / "b", stopping=stop_after(2)))
            break
        except Stopped:
            stops += 1
    assert stops == 2
    assert_same_bits(broken, unbroken)
    read = train.train(method, tables, run(tmp_path / "a", watch=lambda *_: pytest.fail("trained again")))
    assert_same_bits(read, unbroken)


# --- learning -----------------------------------------------------------------------------------------------------


def precision(query, database, query_labels, database_labels):
    """mAP over the whole ranking by Hamming distance, ties in order; one class an item."""
    found = []
    for code, label in zip(query, query_labels, strict=True):
        order = np.argsort(-(database.astype(int) @ code), kind="stable")
        hits = (database_labels @ label)[order]
        found.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits > 0].mean())
    return np.mean(found)


@pytest.mark.slow
def test_codes_of_media_that_never_met_find_each_other_by_the_transfer_alone(tmp_path):
    """Each is trained on a day of its own, from the library of the day before; one name lets one program do for all.

    A day without a library is training without transfer.
    """
    whole = [medium(name, items=300).arrays for name in MEDIA]
    method = she.Method(bits=16, hidden=32, batch=15, epochs=12, learning_rate=3e-3)

    def codes_of(day, past):
        table = ArrayTable("medium", {name: array[:240] for name, array in whole[day].items()})
        options = run(tmp_path / f"{day}-{len(past)}", finished=day, past=past)
        left = train.train(method, {"medium": table}, options)["medium"]
        return left, np.where(evaluated_codes(method, left.params, whole[day]["features"]) < 0, -1, 1)

    def between(codes):
        parts = [(codes[day][:240], codes[day][240:], whole[day]["labels"]) for day in range(3)]
        return [
            precision(asks[1], answers[0], asks[2][240:], answers[2][:240])
            for asks, answers in itertools.permutations(parts, 2)
        ]

    first, begun = codes_of(0, {})
    second, after = codes_of(1, {"library": first})
    _, last = codes_of(2, {"library": second})
    assert min(between([begun, after, last])) > 0.9
    assert np.mean(between([begun, codes_of(1, {})[1], codes_of(2, {})[1]])) < 0.7


@functools.partial(jax.jit, static_argnums=0)
def evaluated_codes(method, params, features):
    return method.encode({"medium": Past(params, {}, {})}, {"features": features}, "medium")
