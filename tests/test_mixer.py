"""MC-MLP: its size, its gates against plain loops, and roles that never see one another."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from jhash.encoders.gates import (
    CHANNELS,
    FRAMES,
    BatchNorm,
    Gate,
    GatingUnit,
    adaptive_average,
    expand_convolution,
    squeeze_convolution,
)
from jhash.encoders.mixer import MCMLP

KEY = jax.random.key(0)
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # compiling is all the time


def compiled(function, *given):
    """function(*given), compiled at once and carelessly."""
    return jax.jit(function).lower(*given).compile(QUICKLY)(*given)


def size_of(frames=25, channels=4096, **settings):
    network = MCMLP(64, **settings)
    shape = jax.ShapeDtypeStruct((2, frames, channels), jnp.float32)
    params = jax.eval_shape(lambda x: network.init(KEY, [x]), shape)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1_761_397),
        ({"reduction": 2}, 1_877_429),
        ({"reduction": 8}, 1_777_973),
        ({"reduction": 32}, 1_753_109),
        ({"gates": ()}, 1_330_767),
        ({"frames": 30, "channels": 2048}, 1_242_460),
    ],
)
def test_number_of_parameters(settings, expected):
    assert size_of(**settings) == expected


@pytest.mark.parametrize(("n", "m"), [(25, 8), (8, 25), (256, 85), (85, 256), (5, 5), (4, 1), (1, 4)])
def test_adaptive_average_is_the_oracles(n, m):
    x = np.random.default_rng(0).normal(size=(2, n, 3))
    expected = oracles.mcmsh_adaptive_average_pool(x, m)
    np.testing.assert_allclose(np.einsum("bnp,nm->bmp", x, adaptive_average(n, m)), expected, atol=1e-6)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def as_oracle(x, p):
    """[T, 1, B, D] -> [B, a, p]."""
    x = np.asarray(x)[:, 0]
    return x.transpose(1, 2, 0) if p == FRAMES else x.transpose(1, 0, 2)


@pytest.mark.parametrize("p", [FRAMES, CHANNELS])
@pytest.mark.parametrize("convolution", [squeeze_convolution, expand_convolution])
def test_convolutions_are_the_oracles(p, convolution):
    x, kernel = draw(6, 1, 3, 6), draw(3, 6, 4, seed=1)
    got = convolution(jnp.asarray(x), jnp.asarray(kernel), p, CHANNELS - p)
    np.testing.assert_allclose(as_oracle(got, p), oracles.mcmsh_conv1d(as_oracle(x, p), kernel, 1), atol=1e-5)


def filled(variables):
    """Every parameter random, so that no scale is 1 and no shift 0."""
    leaves, tree = jax.tree.flatten(variables)
    return jax.tree.unflatten(tree, [jnp.asarray(0.5 * draw(*leaf.shape, seed=i)) for i, leaf in enumerate(leaves)])


def oracle_gate(kind, params, grouped):
    """x [B, a, p] -> mask, by the oracle, with the parameters of a Gate."""
    weights = {
        "reduce": np.asarray(params["squeeze"]),
        "expand": np.asarray(params["expand"]),
        "reduce_scale": np.asarray(params["squeeze_norm"]["scale"]),
        "reduce_bias": np.asarray(params["squeeze_norm"]["bias"]),
        "expand_scale": np.asarray(params["expand_norm"]["scale"]),
        "expand_bias": np.asarray(params["expand_norm"]["bias"]),
    }
    if kind == "L":
        return lambda x: oracles.mcmsh_mask_long(x, weights)
    mask = oracles.mcmsh_mask_middle if kind == "M" else oracles.mcmsh_mask_short
    return lambda x: mask(x, weights, weights["reduce"].shape[-1] if grouped else 1)


def trained(module, x):
    """What a gate makes of x [T, 1, B, D] in training, and the parameters that it was given."""
    shapes = jax.eval_shape(lambda x: module.init(KEY, x, True), x)
    params = filled(shapes["params"])
    given = {**jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes), "params": params}
    return module.apply(given, jnp.asarray(x), True, mutable=["batch_stats"])[0], params


@pytest.mark.parametrize(("p", "grouped"), [(FRAMES, False), (CHANNELS, True)])
@pytest.mark.parametrize("kind", ["L", "M", "S"])
def test_gate_is_the_oracles(kind, p, grouped):
    x = draw(8, 1, 3, 12)
    gate = Gate(kind, p, reduced=x.shape[p] // 4, grouped=grouped)
    got, params = trained(gate, x)
    expected = oracle_gate(kind, params, grouped)(as_oracle(x, p))
    np.testing.assert_allclose(as_oracle(jnp.broadcast_to(got, x.shape), p), expected, atol=2e-5)


@pytest.mark.parametrize(("p", "grouped"), [(FRAMES, False), (CHANNELS, True)])
@pytest.mark.parametrize("form", ["each", "sum"])
@pytest.mark.parametrize("kinds", ["LMS", "S"])
def test_gating_unit_is_the_oracles(kinds, form, p, grouped):
    x = draw(8, 1, 3, 12)
    unit = GatingUnit(tuple(kinds), p, x.shape[p] // 4, grouped, form)
    got, params = trained(unit, x)
    n = x.shape[CHANNELS - p]
    before = np.asarray(params["before"]).reshape(n, -1, n).swapaxes(0, 1)
    before_bias = np.asarray(params["before_bias"]).reshape(-1, n)
    after, after_bias = np.asarray(params["after"]), np.asarray(params["after_bias"])
    masks = [oracle_gate(kind, params[kind], grouped) for kind in kinds]
    masks = [[mask] for mask in masks] if form == "each" else [masks]
    expected = sum(
        oracles.mcmsh_gate_unit(as_oracle(x, p), (before[i], before_bias[i]), mask, (after[i], after_bias[i]))
        for i, mask in enumerate(masks)
    )
    np.testing.assert_allclose(as_oracle(got, p), expected, atol=1e-4)


def test_no_gates_are_the_identity():
    x = jnp.asarray(draw(3, 1, 2, 4))
    assert GatingUnit((), FRAMES, 1, False, "each").apply({}, x, True) is x


def test_batch_norm_folds_the_roles_in_order():
    x = jnp.asarray(draw(4, 3, 5, 2) * np.array([1, 2, 3])[None, :, None, None] + 1)
    norm = BatchNorm(CHANNELS)
    variables = norm.init(KEY, x, True)
    got, updated = norm.apply(variables, x, True, mutable=["batch_stats"])
    running = variables
    for role in range(3):
        alone, changed = norm.apply(running, x[:, role : role + 1], True, mutable=["batch_stats"])
        running = {**running, **changed}
        np.testing.assert_allclose(got[:, role], alone[:, 0], atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updated, {"batch_stats": running["batch_stats"]}
    )
    mean, var = np.zeros(2), np.ones(2)
    for role in range(3):
        values = np.asarray(x[:, role], np.float64)
        mean, var = 0.9 * mean + 0.1 * values.mean((0, 1)), 0.9 * var + 0.1 * values.var((0, 1))
    np.testing.assert_allclose(updated["batch_stats"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["var"], var, rtol=1e-5)


def small(roles=2, **settings):
    network = MCMLP(bits=3, width=16, reduction=4, dropout=0.5, **settings)
    frames = [jnp.asarray(draw(6, 5, 7, seed=10 + role)) for role in range(roles)]
    variables = compiled(network.init, KEY, frames)
    keys = jax.random.split(KEY, (4, roles, 6))
    return network, variables, frames, keys


@pytest.mark.slow
def test_roles_together_equal_roles_apart():
    network, variables, frames, keys = small()
    apply = functools.partial(compiled, lambda *given: network.apply(*given, mutable=["batch_stats"]))
    (together, bits), _ = apply(variables, frames, keys)
    for role in range(2):
        (alone, alone_bits), _ = apply(variables, frames[role : role + 1], keys[:, role : role + 1])
        np.testing.assert_allclose(together[role], alone[0], atol=1e-5)
        np.testing.assert_allclose(bits[:, role], alone_bits[:, 0], atol=1e-5)


@pytest.mark.slow
def test_evaluation_uses_the_running_statistics_and_no_dropout():
    network, variables, frames, _ = small(roles=1)
    embedding, bits = compiled(network.apply, variables, frames)
    _, first = compiled(network.apply, variables, [frames[0][:1]])
    np.testing.assert_allclose(bits[:, :, :1], first, atol=1e-5)
    assert embedding.shape == (1, 6, 16)
    assert bits.shape == (5, 1, 6, 3)


@pytest.mark.slow
def test_jit_changes_nothing():
    network, variables, frames, _ = small(roles=1)
    plain = network.apply(variables, frames)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), plain, jax.jit(network.apply)(variables, frames)
    )


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_short_clips_of_odd_length(frames):
    x = jnp.asarray(draw(2, frames, 5))
    network = MCMLP(bits=3, width=8, reduction=4)
    shapes = jax.eval_shape(lambda x: network.init_with_output(KEY, [x])[0][1], x)
    assert shapes.shape == (frames, 1, 2, 3)
