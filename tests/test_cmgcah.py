"""CMGCAH's method: fields, phases, buffers, the losses of a step, ablations, devices, given weights, stops."""

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
from jhash.encoders import cnn_small
from jhash.encoders.cnn_small import CnnSmall
from jhash.methods import cmgcah, dcmh
from jhash.types import InputError, Stopped

TINY = {"bits": 8, "features": 16, "text_hidden": 12, "generator_hidden": 12, "critic_hidden": 8, "width": 16}
TINY |= {"batch": 8, "iterations": 2, "learning_rate": 1e-3}
WEIGHTS = {"alpha": 0.02, "beta": 0.005, "gamma": 0.03, "delta": 0.5, "adversarial": 0.7}
LEAN = TINY | WEIGHTS | {"position": 0.0}  # without the transformer, most of the compiling; the parity test has it
SIDES = ("image", "text")
OTHER = {"image": "text", "text": "image"}


def pairs(items=24, image=(20,)):
    """The table 'pairs': image, vectors or pixels, and text 5 wide; items of one class or two of three."""
    random = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.uint8)[np.arange(items) % 3] | (random.random((items, 3)) < 0.2)
    pixels = random.integers(0, 256, (items, *image)).astype(np.uint8)
    features = pixels if len(image) > 1 else random.normal(size=(items, *image)).astype(np.float32)
    media = {"image": features, "text": random.normal(size=(items, 5)).astype(np.float32)}
    tables = {name: ArrayTable(name, {"features": array, "labels": labels}) for name, array in media.items()}
    return {"pairs": SideBySide(tables, "toys, pairs")}


def run(folder, **options):
    return train.Run(folder=folder, devices=options.pop("devices", 1), warn=options.pop("warn", pytest.fail), **options)


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def begun(method, tables, compiled=True):
    """(stage, context, state, past) before the first step; of the state shapes alone where it isn't compiled."""
    past = {}
    for index, stage in enumerate(method.stages(tables)):
        keys, table = steps.keys_of_stage(0, index), tables[stage.table]
        context = method.prepare(stage, past, tables, keys[0], None)
        start = functools.partial(train.initial_state, method, stage)
        start = jax.jit(start) if compiled else functools.partial(jax.eval_shape, start)
        state = start(past, context, train.example_of(table, method, stage), keys[1])
        if not stage.steps:
            past[stage.name] = train.leave(method, stage, context, state)
    return stage, context, state, past


# --- fields and stages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"label_loss": "hinge"}, "config.hyper.label_loss: expected one of bce, softmax, found 'hinge'"),
        ({"normalised": "none"}, "config.hyper.normalised: expected one of rows, mean, sum, found 'none'"),
        ({"fusion": "swapped"}, "config.hyper.fusion: expected one of fixed, printed, found 'swapped'"),
        ({"critic": "epoch"}, "config.hyper.critic: expected one of pass, step, found 'epoch'"),
        ({"ablation": "e"}, "config.hyper.ablation: expected one of none, a, b, c, d, found 'e'"),
        ({"dtype": "float16"}, "config.hyper.dtype: expected one of float32, bfloat16, found 'float16'"),
        ({"media": ("image", "text", "video")}, "config.modalities: expected two different media, found"),
        ({"weights": "a.npz"}, "config.hyper.weights: 'a.npz' needs a backbone to go into, found ''"),
        (
            {"backbone": "resnet50"},
            "config.hyper.weights: expected a file for resnet50, whose statistics stay, found ''",
        ),
        ({"heads": 3, "width": 16}, "config.hyper.width: expected a multiple of 3 heads, found 16"),
        ({"text_hidden": 0}, "config.hyper.text_hidden: expected a whole number, at least 1, found 0"),
        ({"image_hidden": -1}, "config.hyper.image_hidden: expected a whole number, at least 0, found -1"),
        ({"gamma": float("inf")}, "config.hyper.gamma: expected a number, at least 0, found inf"),
        ({"width": 20}, "config.hyper.width: expected a multiple of 8 heads, found 20"),
        ({"bits": 0}, "config.hyper.bits: expected a whole number, at least 1, found 0"),
        ({"batch": 0}, "config.hyper.batch: expected a whole number, at least 1, found 0"),
        ({"iterations": 0}, "config.hyper.iterations: expected a whole number, at least 1, found 0"),
    ],
)
def test_a_wrong_field_is_refused(fields, words):
    with pytest.raises(InputError, match=words) as caught:
        cmgcah.Method(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "image", "words"),
    [
        ({}, (8, 8, 3), r"image has items \[8, 8, 3\]; expected one of .* for it, found ''"),
        ({"backbone": "c3d"}, (112, 112, 3), "backbone: expected one of cnn_small, .* or '', found 'c3d'"),
        (
            {"backbone": "cnn_small"},
            (4, 8, 8, 3),
            r"the first, image, to be pictures or vectors, found items \[4, 8, 8, 3\]",
        ),
        ({"backbone": "cnn_small"}, (6,), r"cnn_small takes items .*, but image has \[6\]"),
        ({"media": ("text", "image")}, (8, 8, 3), r"the second, image, to be vectors, found items \[8, 8, 3\]"),
        ({"batch": 32}, (6,), "toys, pairs: config.hyper.batch is 32, but there are only 24 pairs"),
    ],
)
def test_pairs_that_do_not_serve_are_refused(fields, image, words):
    with pytest.raises(InputError, match=words):
        cmgcah.Method(**TINY | fields).stages(pairs(image=image))


@pytest.mark.parametrize(
    ("fields", "phases"),
    [
        ({}, "iiiIIItttTTT"),
        ({"critic": "step"}, "iiiItttT"),
        ({"ablation": "c"}, "iiittt"),
        ({"ablation": "a", "critic": "step"}, "iiittt"),
    ],
)
def test_each_phase_of_an_outer_iteration_begins_with_the_first_batch(fields, phases):
    method = cmgcah.Method(**TINY | fields)
    (stage,) = method.stages(pairs(items=30))
    assert (stage.pass_steps, stage.steps) == (len(phases), 2 * len(phases))
    order = np.random.default_rng(0).permutation(30).astype(np.int32)
    for step, letter in enumerate(2 * phases):
        inside = step % len(phases)
        place = inside - phases.index(letter)
        rows = method.rows(stage, {}, order, np.int32(step), None)["item"]
        np.testing.assert_array_equal(rows, order[place * 8 : place * 8 + 8])
        assert stage.phase(step) == "iItT".index(letter)


# --- one outer iteration ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recorded(cmgcah.Method):
    """Plain steps, for RMSprop divides a gradient by itself; the state of a phase's optimiser is its last gradient."""

    normalised: str = "sum"

    def _rmsprop(self, steps, names):
        def update(gradients, state, params=None):
            return jax.tree.map(lambda leaf: -0.02 * leaf, gradients), gradients

        return optax.GradientTransformation(lambda params: {name: params[name] for name in names}, update)


METHOD = Recorded(**LEAN)
ORDER = np.random.default_rng(1).permutation(24).astype(np.int32)


def rows_of(step):
    return ORDER[step % 3 * 8 : step % 3 * 8 + 8]


@pytest.fixture(scope="module")
def iteration():
    """For 1 and 4 devices: the states before the 12 steps of an outer iteration and after each, and each one's logs."""
    tables, found = pairs(), {}
    stage, context, state, _ = begun(METHOD, tables)
    keys = steps.keys_of_stage(0, 0)
    for devices in (1, 4):
        now = parallel.replicate(state, devices)
        states, logs = [jax.tree.map(np.asarray, now)], []
        for step in range(12):
            rows = {"item": rows_of(step)}
            batch = {"item": tables["pairs"].read(rows["item"], METHOD.columns)}
            call = steps.streamed_call(METHOD, stage, devices, stage.phase(step))
            now, log = call(now, (context, keys), parallel.shard((batch, rows), devices))
            states.append(jax.tree.map(np.array, now))
            logs.append(jax.tree.map(np.array, log))
        found[devices] = states, logs
    return found


def changed(one, other):
    """The names of the parts of two dicts of trees in which any number differs."""
    return {
        name
        for name in one
        if any((a != b).any() for a, b in zip(jax.tree.leaves(one[name]), jax.tree.leaves(other[name]), strict=True))
    }


PHASES = {
    "image": (range(0, 3), {"image", "alignment"}),
    "image_critic": (range(3, 6), {"image_critic"}),
    "text": (range(6, 9), {"text", "alignment"}),
    "text_critic": (range(9, 12), {"text_critic"}),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_moves_its_own_networks_and_its_own_optimiser(phase, iteration):
    states, _ = iteration[1]
    for step in PHASES[phase][0]:
        before, after = states[step : step + 2]
        assert changed(before.params, after.params) == PHASES[phase][1]
        assert changed(before.opt, after.opt) == {phase}
        for group in PHASES[phase][1]:
            assert changed(before.params[group], after.params[group]) == before.params[group].keys()


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_refreshes_the_rows_of_its_batch_and_its_side_alone(phase, iteration):
    states, _ = iteration[1]
    for step in PHASES[phase][0]:
        before, after = (state.collections for state in states[step : step + 2])
        found = {side: set(np.flatnonzero((before[side] != after[side]).any(1))) for side in SIDES}
        own = {side: set(rows_of(step)) if side == phase else set() for side in SIDES}
        assert found == own


def test_codes_are_the_signs_of_both_buffers_after_the_last_step_alone(iteration):
    states, _ = iteration[1]
    for state in states[:12]:
        np.testing.assert_array_equal(state.collections["codes"], states[0].collections["codes"])
    for kept in (states[0].collections, states[12].collections):
        np.testing.assert_array_equal(kept["codes"], oracles_pairs.cmgcah_codes(kept["image"], kept["text"]))
    assert (states[0].collections["codes"] != states[12].collections["codes"]).any()


def dense(x, layer):
    return oracles.dense(x, np.asarray(layer["kernel"]), np.asarray(layer["bias"]))


def layers(x, network):
    return oracles_pairs.cmgcah_two_layers(
        x, *((network[n]["kernel"], network[n]["bias"]) for n in ("dense0", "dense1"))
    )


def forward(params, side, items):
    """One side by its weights alone, in float64: features, logits, made features, codes."""
    networks = params[side]["features"]
    own = dense(items, networks["dense"]) if side == "image" else layers(items, networks)
    logits = dense(own, params[side]["predictor"]["dense0"])
    made = layers(oracles_pairs.cmgcah_conditioned(own, logits), params[side]["generator"])
    fused = oracles_pairs.cmgcah_fused(*((own, made) if side == "image" else (made, own)))
    aligned = params["alignment"]["alignment"]
    parts = [(aligned[name]["kernel"], aligned[name]["bias"]) for name in ("mask", "codes")]
    return own, logits, made, oracles_pairs.cmgcah_aligned(fused, *parts)


def judged(params, side, features, logits):
    return layers(oracles_pairs.cmgcah_conditioned(features, logits), params[f"{side}_critic"]["critic"])[:, 0]


def items_at(step):
    arrays = pairs()["pairs"].read(rows_of(step), METHOD.columns)
    return {side: arrays[f"{side}:features"] for side in SIDES}, arrays["image:labels"]


@pytest.mark.parametrize(("side", "step"), [("image", 0), ("text", 6)])
def test_the_terms_of_a_side_s_step_and_its_buffer_are_the_oracle_s(side, step, iteration):
    states, logs = iteration[1]
    params, kept = states[step].params, states[step].collections
    items, labels = items_at(step)
    _, logits, made, codes = forward(params, side, items[side])
    everything = pairs()["pairs"].read(np.arange(24), ["image:labels"])["image:labels"]
    similar = oracles_pairs.shares_class(labels, everything)
    buffer = np.array(kept[side], np.float64)
    buffer[rows_of(step)] = codes
    expected = {
        "adversarial": oracles_pairs.cmgcah_generator(judged(params, side, made, logits), False),
        "between": oracles_pairs.cmgcah_likelihood(codes, kept[OTHER[side]], similar, "sum"),
        "within": oracles_pairs.cmgcah_likelihood(codes, buffer, similar, "sum"),
        "quantisation": oracles_pairs.cmgcah_quantisation(codes, kept["codes"][rows_of(step)], "sum"),
        "label": oracles_pairs.cmgcah_label(logits, labels, "bce"),
    }
    for name, value in expected.items():
        assert float(logs[step][f"{side}_{name}"]) == pytest.approx(value, rel=1e-5), name
    np.testing.assert_allclose(states[step + 1].collections[side], buffer, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("side", "step"), [("image", 3), ("text", 9)])
def test_a_critic_is_shown_the_other_side_s_features_and_the_made_ones(side, step, iteration):
    states, logs = iteration[1]
    items, _ = items_at(step)
    _, logits, made, _ = forward(states[step].params, side, items[side])
    real, *_ = forward(states[step].params, OTHER[side], items[OTHER[side]])
    verdicts = [judged(states[step].params, side, features, logits) for features in (real, made)]
    expected = oracles_pairs.cmgcah_critic(*verdicts)
    assert float(logs[step][f"{side}_critic"]) == pytest.approx(expected, rel=1e-5)


def test_the_loss_is_the_weighted_sum_of_the_terms_as_last_seen(iteration):
    _, logs = iteration[1]
    weights = {"adversarial": 0.7, "between": 0.02, "within": 0.005, "quantisation": 0.03, "label": 0.5, "critic": 0.0}
    for log in logs:
        terms = {name: value for name, value in log.items() if name != "loss"}
        assert terms.keys() == {f"{side}_{name}" for side in SIDES for name in weights}
        expected = sum(weights[name.split("_", 1)[1]] * float(value) for name, value in terms.items())
        assert float(log["loss"]) == pytest.approx(expected, rel=1e-5)


def assert_one(alone, together):
    """A state of one device against that of four: gradients, parameters, buffers, codes and terms."""
    for name in ("opt", "params", "collections"):
        leaves = jax.tree.leaves_with_path(getattr(alone, name)), jax.tree.leaves(getattr(together, name))
        for (path, a), b in zip(*leaves, strict=True):
            where, most = (name, jax.tree_util.keystr(path)), 2e-5 * np.linalg.norm(a) + 1e-7
            assert all(np.linalg.norm(a - replica) <= most for replica in b), where


def test_four_devices_are_one(iteration):
    """Terms as printed are sums over the whole batch."""
    for one, four in zip(iteration[1][0], iteration[4][0], strict=True):
        assert_one(one, four)


def test_four_devices_are_one_from_pixels_with_the_transformer_and_means(monkeypatch):
    monkeypatch.setattr(cnn_small, "WIDTHS", {2: (4, 6), 3: (4, 6)})
    method = Recorded(**LEAN | {"position": 0.5, "normalised": "mean", "backbone": "cnn_small"})
    tables, rows = pairs(image=(6, 7, 3)), {"item": rows_of(0)}
    stage, context, state, _ = begun(method, tables)
    batch, keys = {"item": tables["pairs"].read(rows["item"], method.columns)}, steps.keys_of_stage(0, 0)

    def moved(devices):
        call, given = steps.streamed_call(method, stage, devices, 0), parallel.shard((batch, rows), devices)
        return jax.tree.map(np.array, call(parallel.replicate(state, devices), (context, keys), given)[0])

    one = moved(1)
    assert_one(one, moved(4))
    assert optax.tree.norm(one.opt["image"]["image"]["features"]["position"]) > 0


# --- variants -----------------------------------------------------------------------------------------------------


def test_printed_forms_reach_the_loss(iteration):
    """Labels by softmax, generators that saturate, means: the terms of the image side's first step."""
    state, (rows, (items, labels)) = iteration[1][0][0], (rows_of(0), items_at(0))
    method = Recorded(**LEAN | {"normalised": "mean"}, label_loss="softmax", saturating=True)
    stage, context, *_ = begun(method, pairs(), compiled=False)
    batch = pairs()["pairs"].read(rows, method.columns)
    moved = jax.jit(lambda state: method._side_step("image", stage, context, batch, rows, parallel.ALONE, state))(state)
    found = {name.removeprefix("image_"): term for name, term in moved.collections["terms"].items()}
    own, logits, *_ = forward(state.params, "image", items["image"])
    condition = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    made = layers(np.concatenate([own, condition], 1), state.params["image"]["generator"])
    verdicts = layers(np.concatenate([made, condition], 1), state.params["image_critic"]["critic"])[:, 0]
    assert float(found["label"]) == pytest.approx(oracles_pairs.cmgcah_label(logits, labels, "softmax"), rel=1e-5)
    assert float(found["adversarial"]) == pytest.approx(oracles_pairs.cmgcah_generator(verdicts, True), rel=1e-5)
    aligned = state.params["alignment"]["alignment"]
    parts = [(aligned[name]["kernel"], aligned[name]["bias"]) for name in ("mask", "codes")]
    codes = oracles_pairs.cmgcah_aligned(oracles_pairs.cmgcah_fused(own, made), *parts)
    expected = oracles_pairs.cmgcah_quantisation(codes, state.collections["codes"][rows], "mean")
    assert float(found["quantisation"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("condition", "moves"), [("held", False), ("trained", True)])
def test_a_predictor_learns_from_labels_alone_where_the_condition_is_held(condition, moves, iteration):
    """Without a weight on its own loss a predictor moves by what critic and codes make of its labels, or not at all."""
    state, rows = iteration[1][0][0], rows_of(0)
    method = Recorded(**LEAN | {"delta": 0.0}, condition=condition)
    stage, context, *_ = begun(method, pairs(), compiled=False)
    batch = pairs()["pairs"].read(rows, method.columns)
    moved = jax.jit(lambda state: method._side_step("image", stage, context, batch, rows, parallel.ALONE, state))(state)
    for network, expected in (("predictor", moves), ("generator", True)):
        before, after = (one.params["image"][network]["dense0"]["kernel"] for one in (state, moved))
        assert bool(np.any(before != after)) == expected, network


@pytest.mark.parametrize(("adversarial", "moves"), [(0.0, False), (0.7, True)])
def test_a_generator_is_moved_by_its_critic_as_its_weight_says(adversarial, moves, iteration):
    """Without a weight on any other loss."""
    state, rows = iteration[1][0][0], rows_of(0)
    weights = dict.fromkeys(WEIGHTS, 0.0) | {"adversarial": adversarial}
    method = Recorded(**LEAN | weights)
    stage, context, *_ = begun(method, pairs(), compiled=False)
    batch = pairs()["pairs"].read(rows, method.columns)
    moved = jax.jit(lambda state: method._side_step("image", stage, context, batch, rows, parallel.ALONE, state))(state)
    before, after = (one.params["image"]["generator"]["dense0"]["kernel"] for one in (state, moved))
    assert bool(np.any(before != after)) == moves


def test_codes_come_from_a_medium_alone_in_the_order_that_fusion_says(iteration):
    params, (items, _) = iteration[1][0][12].params, items_at(0)
    past, printed = {"pairs": train.Past(params, {}, {})}, dataclasses.replace(METHOD, fusion="printed")

    def all_codes(items):
        methods = {"fixed": METHOD, "printed": printed}
        return {(n, s): m.encode(past, {"features": items[s]}, s) for n, m in methods.items() for s in SIDES}

    found = jax.jit(all_codes)(items)
    for side in SIDES:
        expected = forward(params, side, items[side])[-1]
        np.testing.assert_allclose(found["fixed", side], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["fixed", "image"], found["printed", "image"])
    assert np.abs(found["fixed", "text"] - found["printed", "text"]).max() > 1e-3


def test_a_hidden_layer_stands_before_the_features_of_vectors():
    items = items_at(0)[0]
    method = cmgcah.Method(**LEAN | {"image_hidden": 7}, ablation="a")
    *_, state, _ = begun(method, pairs())
    found = method.encode({"pairs": train.Past(state.params, {}, {})}, {"features": items["image"]}, "image")
    own = state.params["image"]["features"]
    assert own["hidden"]["kernel"].shape == (20, 7) and own["dense"]["kernel"].shape == (7, 16)
    features = layers(items["image"], {"dense0": own["hidden"], "dense1": own["dense"]})
    expected = dense(features, state.params["image"]["hash"]["codes"])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


SIDE, CRITICS = ["features", "generator", "predictor"], ["image_critic", "text_critic"]
NETWORKS = {  # of each ablation: groups, networks of a side, the parts of the alignment and how wide its input is
    "none": (["alignment", "image", *CRITICS[:1], "text", *CRITICS[1:]], SIDE, ["codes", "mask"], 32),
    "a": (["image", "text"], ["features", "hash"], ["codes"], 16),
    "b": (["alignment", "image", *CRITICS[:1], "text", *CRITICS[1:]], SIDE, ["codes"], 32),
    "c": (["alignment", "image", "text"], ["features"], ["codes", "mask"], 16),
    "d": (["alignment", "image", *CRITICS[:1], "text", *CRITICS[1:]], SIDE, ["codes", "mask"], 32),
}


@pytest.mark.parametrize("ablation", NETWORKS)
def test_an_ablation_has_its_networks_and_its_steps_fit(ablation):
    method = cmgcah.Method(**TINY, ablation=ablation)
    stage, context, state, _ = begun(method, pairs(), compiled=False)
    groups, own, parts, width = NETWORKS[ablation]
    assert sorted(state.params) == groups and sorted(state.params["text"]) == sorted(state.params["image"]) == own
    aligned = state.params["alignment"]["alignment"] if ablation != "a" else state.params["image"]["hash"]
    assert sorted(aligned) == parts and aligned["codes"]["kernel"].shape == (width, 8)
    assert ("position" in state.params["image"]["features"]) is (ablation != "d")
    rows = {"item": rows_of(0)}
    batch = {"item": pairs()["pairs"].read(rows["item"], method.columns)}
    given = (batch, rows, jax.random.key(0), parallel.ALONE)
    for phase in (0, 1, 2, 3):
        after, logs = jax.eval_shape(
            lambda state: steps.update(method, stage, context, state, *given, phase=phase), state
        )
        same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), after, state)
        assert all(jax.tree.leaves(same))
        assert len(logs) == 1 + (12 if method.generates else 6)


def test_dcmh_is_the_first_ablation():
    assert dcmh.Method(bits=8).ablation == "a" and not dcmh.Method(bits=8).generates
    assert dcmh.Method(bits=8).described == cmgcah.Method(bits=8, ablation="a").described == "ablation a"


# --- given weights ------------------------------------------------------------------------------------------------


def test_training_begins_with_given_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(cnn_small, "WIDTHS", {2: (4, 6), 3: (4, 6)})
    shapes = jax.eval_shape(CnnSmall().init, jax.random.key(0), np.zeros((8, 6, 7, 3), np.uint8))
    random = np.random.default_rng(5)
    given = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), shapes)
    monkeypatch.setattr(cmgcah, "read_weights", lambda path, backbone: given)
    method, tables = cmgcah.Method(**LEAN, backbone="cnn_small", weights="small.npz"), pairs(image=(6, 7, 3))
    weights, joint = method.stages(tables)
    assert (weights.name, joint.name) == ("weights", "pairs")
    past = {"weights": train.fit(method, weights, 0, {}, tables, run(tmp_path), last=False)}
    context = method.prepare(joint, past, tables, None, None)
    state = jax.jit(functools.partial(train.initial_state, method, joint))(
        past, context, train.example_of(tables["pairs"], method, joint), jax.random.key(0)
    )
    assert_same_bits(state.params["image"]["features"]["backbone"], given["params"])
    items = {"features": tables["pairs"].tables["image"].arrays["features"]}
    left = past | {"pairs": train.Past(state.params, state.collections, {})}
    assert jax.eval_shape(lambda left, items: method.encode(left, items, "image"), left, items).shape == (24, 8)


# --- stops --------------------------------------------------------------------------------------------------------

WHOLE = cmgcah.Method(**LEAN)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return train.train(WHOLE, pairs(items=17), run(tmp_path_factory.mktemp("unbroken")))


def stop_after(calls):
    counter = itertools.count(1)
    return lambda: next(counter) >= calls


def test_a_run_that_is_stopped_within_an_outer_iteration_ends_bit_for_bit_where_an_unbroken_one_ends(
    unbroken, tmp_path
):
    with pytest.raises(Stopped, match="pairs: stopped after step [23] of 16"):
        train.train(WHOLE, pairs(items=17), run(tmp_path, stopping=stop_after(2)))
    assert_same_bits(train.train(WHOLE, pairs(items=17), run(tmp_path)), unbroken)


@pytest.mark.slow
def test_streamed_rows_train_like_resident_ones(unbroken, tmp_path):
    """RMSprop divides rounding by itself where a gradient is next to nothing, so it is the buffers that are held."""
    streamed = train.train(WHOLE, pairs(items=17), run(tmp_path, resident_gb=0))
    for side in SIDES:
        one, other = (past["pairs"].collections[side] for past in (unbroken, streamed))
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-3)
