"""MCMSH: its equations against plain loops, its sampling, and the whole method in miniature."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.test_util import check_grads
from toys import ArrayTable

from jhash import parallel
from jhash.losses import mcmsh as losses
from jhash.methods.mcmsh import Method
from jhash.types import InputError, Past, Stage

ITEMS, FRAMES, CHANNELS, BATCH = 24, 4, 6, 8
SMALL = {"bits": 5, "width": 8, "reduction": 4, "batch": BATCH, "centres": 7, "pool": 4}
KEY = jax.random.key(0)
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # compiling is all the time


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def close(got, expected, rtol=2e-5):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-6)


# --- the equations ------------------------------------------------------------------------------------------------


def relaxed(number, seed=0):
    return [jnp.tanh(jnp.asarray(normal(7, 5, seed=seed + i))) for i in range(number)]


def test_hash_layers_are_the_oracles():
    e, kernel, bias = normal(3, 4, 6), normal(6, 5), normal(5)
    y = jnp.asarray((e @ kernel + bias).transpose(1, 0, 2))
    close(losses.hash_tanh_of_mean(y), oracles.mcmsh_hash_paper(e, kernel, bias)[0])
    close(losses.hash_mean_of_tanh(y, jnp.sqrt(3.0)), oracles.mcmsh_hash_released(e, kernel, bias, epoch=2)[0])


def test_cluster_losses_are_the_oracles():
    e, u = normal(2, 7, 3, 6), normal(2, 7, 6)
    mean = jnp.asarray(e.mean(2))
    close(losses.cluster_loss(mean[0], u[0]), oracles.mcmsh_cluster_paper(e[0], u[0]))
    close(losses.cluster_loss_of_pairs(mean, u), oracles.mcmsh_cluster_released(e[0], u[0], e[1], u[1]))


def test_similarity_losses_are_the_oracles():
    h, other = relaxed(2)
    target = np.array([1, -1, 0, 1, -1, 0, 1], np.float32)
    close(losses.similarity_loss(h, other, target), oracles.mcmsh_similarity_pairs(h, other, target))
    every = np.sign(normal(7, 7))
    close(losses.similarity_loss_of_batch(h, h, every), oracles.mcmsh_similarity_all_pairs(h, every))


def test_quantisation_losses_are_the_oracles():
    h, other = relaxed(2)
    for gradient in ("held", "released"):
        close(losses.quantisation_loss(h, gradient=gradient), oracles.mcmsh_quantisation_paper(h))
        both = losses.quantisation_loss_of_pairs(jnp.stack([h, other]), gradient=gradient)
        close(both, oracles.mcmsh_quantisation_released(h, other))


def test_the_released_quantisation_trains_nothing():
    h = relaxed(1)[0]
    slope = lambda gradient: jax.grad(functools.partial(losses.quantisation_loss, gradient=gradient))(h)  # noqa: E731
    np.testing.assert_array_equal(slope("released"), 0)
    close(slope("held"), oracles.mcmsh_quantisation_gradient(h, len(h)))


@pytest.mark.parametrize("margins", [(5 / 4, 5 / 64), (20.0, 20.0)])
def test_quadruplet_loss_is_the_oracles(margins):
    h = relaxed(4)
    has = np.array([1, 1, 0, 1, 0, 1, 1], bool)
    close(
        losses.quadruplet_loss(*h, has, margins=margins),
        oracles.mcmsh_quadruplet(*h, margins=margins, has_negative=has),
    )


def test_quadruplet_loss_by_hand():
    """Positive at distance 4, negative at 8, the negatives 4 apart: relu(4 - 8 + 5) + relu(4 - 4 + 1) = 2."""
    item, positive, negative1, negative2 = (jnp.array([row]) for row in [[1.0, 1], [-1, 1], [-1, -1], [-1, 1]])
    assert losses.quadruplet_loss(item, positive, negative1, negative2, jnp.array([True]), margins=(5, 1)) == 2


def test_an_item_without_negatives_adds_nothing_and_still_counts():
    h = relaxed(4)
    one = losses.quadruplet_loss(*(x[:1] for x in h), jnp.ones(1, bool), margins=(9, 9))
    first = losses.quadruplet_loss(*h, jnp.arange(7) == 0, margins=(9, 9))
    close(first, one / 7)


def test_gradients_of_the_losses():
    h = relaxed(4)
    target, has = jnp.sign(normal(7)), jnp.ones(7, bool)
    functions = [
        (lambda x: losses.cluster_loss(x, h[1]), h[0]),
        (lambda x: losses.similarity_loss(x, h[1], target), h[0]),
        (lambda x: losses.similarity_loss_of_batch(x, x, jnp.sign(normal(7, 7))), h[0]),
        (lambda x: losses.quantisation_loss(x, gradient="held"), h[0]),
        (lambda x: losses.quadruplet_loss(x, *h[1:], has, margins=(30, 30)), h[0]),
    ]
    for function, x in functions:
        check_grads(jax.jit(function), (x,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)
        close(jax.jit(function)(x), function(x))


def test_similarity_by_hand():
    """Sharing one of three: 1; none of four but one of five: -1; the fourth of one is among the other's: 0."""
    mine = jnp.array([[0, 1, 2, 3, 4]] * 4)
    other = jnp.array([[9, 8, 0, 7, 6], [9, 8, 7, 6, 4], [9, 8, 7, 3, 6], [9, 8, 7, 6, 5]])
    np.testing.assert_array_equal(losses.similarity(mine, other), [1, -1, 0, 0])


# --- the method ---------------------------------------------------------------------------------------------------


def stage_of(method):
    return Stage("train", "train", ITEMS, method.batch, 30, ITEMS // method.batch)


@functools.cache
def context():
    """By hand: item i has the positives i + 1, i + 2 and the negative i + 3; 0 has no positive, 1 no negative."""
    item = np.arange(ITEMS)[:, None]
    return {
        "nearest": ((item + np.arange(5)) % ITEMS).astype(np.int32),
        "targets": normal(ITEMS, 8),
        "positive": ((item + [[1, 2, 1, 2]]) % ITEMS).astype(np.int32),
        "positive_count": np.where(item[:, 0] == 0, 0, 2).astype(np.int32),
        "negative": ((item + [[3] * 4]) % ITEMS).astype(np.int32),
        "negative_count": np.where(item[:, 0] == 1, 0, 1).astype(np.int32),
    }


def rows_of(method, key=KEY):
    return method.rows(stage_of(method), context(), jnp.arange(ITEMS, dtype=jnp.int32), jnp.int32(0), key)


def test_rows_take_partners_from_the_pools():
    method = Method(**SMALL)
    draw = jax.jit(lambda key: rows_of(method, key))
    for seed in range(20):
        rows = {role: np.asarray(row) for role, row in draw(jax.random.key(seed)).items()}
        offset = (rows["partner"] - rows["item"]) % ITEMS
        ordinary = rows["item"] > 1
        assert set(rows["sign"][ordinary & np.isin(offset, [1, 2])]) <= {1.0}
        assert set(rows["sign"][ordinary & (offset == 3)]) <= {-1.0}
        assert np.isin(offset[ordinary], [1, 2, 3]).all()
        assert np.isin((rows["positive"] - rows["item"])[1:] % ITEMS, [1, 2]).all()
        assert rows["positive"][0] == 0
        np.testing.assert_array_equal(rows["has_negative"], rows["item"] != 1)


def test_both_kinds_of_partner_are_drawn_alike_often():
    method = Method(**SMALL)
    signs = jax.vmap(lambda key: rows_of(method, key)["sign"])(jax.random.split(KEY, 200))[:, 2:]
    assert abs(float(signs.mean())) < 5 / np.sqrt(signs.size)


def test_an_item_without_a_pool_gets_an_unlike_partner():
    unlike = []
    method = Method(**SMALL, unlike_target=-0.25)
    draw = jax.jit(lambda key: rows_of(method, key))
    for seed in range(20):
        rows = draw(jax.random.key(seed))
        for item in (0, 1):
            if rows["sign"][item] == -0.25:
                nearest = context()["nearest"]
                unlike.append(
                    float(losses.similarity(nearest[[item]], nearest[np.asarray(rows["partner"])[[item]]])[0])
                )
    assert unlike and not any(unlike)


def test_the_roles_of_the_printed_variant():
    rows = rows_of(Method(variant="paper", **SMALL))
    assert set(rows) == {"item", "positive", "negative1", "negative2", "has_negative"}


def started(method):
    return method.init(stage_of(method), {}, context(), {"frames": jnp.zeros((2, FRAMES, CHANNELS))}, KEY)


def batch_of(rows):
    frames = jnp.asarray(normal(ITEMS, FRAMES, CHANNELS))
    return {role: {"frames": frames[row]} for role, row in rows.items() if jnp.issubdtype(row.dtype, jnp.integer)}


ABLATIONS = [
    *({"gates": gates} for gates in [(), ("L",), ("M",), ("S",), ("L", "S")]),
    {"reduction": 2},
    {"cluster_weight": 1.0, "similarity_weight": 0.0, "quantisation_weight": 0.0, "quadruplet_weight": 0.0},
    {"hash_form": "tanh_of_mean"},
    {"gate_form": "sum"},
    {"cluster_form": "item"},
    {"pairs": "batch"},
    {"quantisation_form": "item"},
    {"quantisation_gradient": "released"},
    {"masking": False},
    {"dropout": 0.0},
    {"dtype": "bfloat16"},
    {"steps": 10, "learning_rate": 1e-3, "decay": 1.0},
    {"variant": "paper"},
    {"variant": "paper", "masking": True, "gate_form": "each"},
]


@pytest.mark.parametrize("settings", ABLATIONS, ids=str)
def test_every_ablation_has_a_step(settings):
    method = Method(**(SMALL | settings))
    rows = jax.eval_shape(lambda: rows_of(method))
    roles = [role for role, row in rows.items() if row.dtype == jnp.int32]
    assert set(roles) == set(method._roles)
    frames = jax.ShapeDtypeStruct((BATCH, FRAMES, CHANNELS), jnp.float32)
    params, collections = jax.eval_shape(lambda: started(method))

    def gradient(params, collections, batch, rows):
        given = (collections, batch, rows, jnp.int32(3), KEY, parallel.across(1))
        return jax.grad(lambda params: method.loss(stage_of(method), context(), params, *given)[0])(params)

    batch = {role: {"frames": frames} for role in roles}
    got = jax.eval_shape(gradient, params, collections, batch, rows)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), got) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), params
    )


def value_and_gradient(method, devices):
    """(loss, gradient, collections) of the whole batch, as the loop takes them."""
    params, collections = jax.jit(lambda: started(method)).lower().compile(QUICKLY)()
    rows = jax.jit(lambda: rows_of(method))()
    across = parallel.across(devices)

    def run(state, rows, batch):
        objective = lambda params: method.loss(  # noqa: E731
            stage_of(method), context(), params, state[1], batch, rows, jnp.int32(3), KEY, across
        )
        (loss, (after, _)), gradient = jax.value_and_grad(objective, has_aux=True)(state[0])
        return *across.mean((loss, gradient)), after

    batch = batch_of(rows)
    if devices == 1:
        return jax.jit(run)((params, collections), rows, batch)
    split = lambda leaf: leaf.reshape(devices, -1, *leaf.shape[1:])  # noqa: E731
    out = jax.pmap(run, parallel.AXIS, in_axes=(None, 0, 0))(
        (params, collections), jax.tree.map(split, rows), jax.tree.map(split, batch)
    )
    return jax.tree.map(lambda leaf: leaf[0], out)


@pytest.mark.slow  # minutes of compilation; test_train.py trains it on four devices in seconds
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_four_devices_equal_one(variant):
    method = Method(variant=variant, masking=True, **SMALL)
    one, four = (value_and_gradient(method, devices) for devices in (1, 4))
    close(four[0], one[0])
    norm = lambda tree: np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(tree)))  # noqa: E731
    assert norm(jax.tree.map(jnp.subtract, one[1], four[1])) < 1e-5 * norm(one[1])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one[2], four[2])


def test_prepare_finds_the_structures(tmp_path):
    frames = normal(ITEMS, FRAMES, CHANNELS)
    tables = {"train": ArrayTable(frames=frames)}
    method = Method(**SMALL)
    (stage,) = method.stages(tables)
    found = method.prepare(stage, {}, tables, KEY, tmp_path)
    assert found["nearest"].shape == (ITEMS, 5)
    assert found["targets"].shape == (7, 8)
    assert set(found) == set(context())
    flattened = dataclasses.replace(method, structure_features="flatten").prepare(stage, {}, tables, KEY, tmp_path)
    assert not np.array_equal(flattened["targets"], found["targets"])


@pytest.mark.slow
def test_encode_uses_the_trained_scale():
    method = Method(**SMALL)
    params, collections = started(method)
    frames = jnp.asarray(normal(3, FRAMES, CHANNELS))

    def codes(scale):
        past = {"train": Past(params, collections | {"scale": jnp.float32(scale)}, {})}
        return method.encode(past, {"frames": frames}, "video")

    assert codes(1).shape == (3, 5)
    assert codes(1).dtype == jnp.float32
    assert float(jnp.abs(codes(30)).mean()) > float(jnp.abs(codes(1)).mean())


def test_learning_rate_and_scale_run_through_the_epochs_of_the_paper():
    method = Method(**SMALL, steps=5500)
    stage = Stage("train", "train", ITEMS, BATCH, 5500, 3)
    epochs = method._epoch(stage, jnp.array([0, 99, 100, 1999, 2000, 5499]))
    np.testing.assert_array_equal(epochs, [0, 0, 1, 19, 20, 54])
    whole = Stage("train", "train", 45585, 256, 55 * 178, 178)
    steps = 178 * np.arange(55)
    np.testing.assert_array_equal(method._epoch(whole, jnp.asarray(steps)), np.arange(55))
    np.testing.assert_array_equal(method._epoch(whole, jnp.asarray(steps + 177)), np.arange(55))


def test_steps_default_to_the_epochs():
    tables = {"train": ArrayTable(frames=normal(ITEMS, FRAMES, CHANNELS))}
    assert Method(**SMALL).stages(tables) == [Stage("train", "train", ITEMS, BATCH, 165, 3)]
    assert Method(**SMALL, steps=40).stages(tables)[0].steps == 40
    assert Method(**SMALL, items_a_centre=4).stages(tables)
    assert Method(**(SMALL | {"items_a_centre": 4}))._centres(ITEMS) == 6


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_margins_follow_the_code_length(bits):
    assert Method(bits=bits).margins == oracles.mcmsh_margins(bits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "printed"}, "config.hyper.variant: expected one of paper, released"),
        ({"gates": ("L", "X")}, "config.hyper.gates"),
        ({"gates": ("L", "L")}, "config.hyper.gates"),
        ({"reduction": 3}, "config.hyper.reduction: expected a divisor"),
        ({"dropout": 1.0}, "config.hyper.dropout: expected a number, at least 0 and below 1, found 1.0"),
        ({"width": 0}, "config.hyper.width: expected a whole number, at least 1, found 0"),
        ({"learning_rate": float("nan")}, "config.hyper.learning_rate: expected a number above 0, found nan"),
        ({"quantisation_gradient": "none"}, "config.hyper.quantisation_gradient"),
        (
            dict.fromkeys(["cluster_weight", "similarity_weight", "quantisation_weight", "quadruplet_weight"], 0),
            "config.hyper: expected one of cluster_weight, .* above 0, found none",
        ),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Method(**settings)


@pytest.mark.parametrize(
    ("settings", "message"), [({"batch": 25}, "at least a batch of 25"), ({"centres": 25}, "config.hyper.centres")]
)
def test_too_few_items_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Method(**(SMALL | settings)).stages({"train": ArrayTable(frames=normal(ITEMS, FRAMES, CHANNELS))})
