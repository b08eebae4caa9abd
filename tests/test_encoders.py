"""Frame encoders: the transformer against plain loops, the convolution and the LSTM against their definitions."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from jhash.encoders.by_rows import by_rows
from jhash.encoders.convolution import Convolution
from jhash.encoders.lstm import LSTM
from jhash.encoders.transformer import LayerNorm, Transformer, attention_weights, sinusoids

ENCODERS = {
    "trained": Transformer(6, 10),
    "fixed": Transformer(6, 10, position="fixed", unbiased=True),
    "convolution": Convolution(6),
    "lstm": LSTM(6),
}


def frames(seed=0, shape=(5, 7, 6)):
    return jax.random.normal(jax.random.key(seed), shape)


def randomised(params, seed=1):
    """No zero biases, no unit scales: a swapped or forgotten one then shows."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: np.asarray(leaf) + 0.3 * random.normal(size=leaf.shape).astype("float32"), params)


@functools.cache
def started(name):
    """(params, compiled apply, frames) of one encoder."""
    encoder, x = ENCODERS[name], frames()
    return jax.jit(encoder.init)(jax.random.key(2), x), jax.jit(encoder.apply), x


@pytest.mark.parametrize("name", ENCODERS)
def test_noise_belongs_to_a_rows_place_and_not_to_its_company(name):
    params, run, x = started(name)
    key, order = jax.random.key(3), np.array([3, 0, 4, 1, 2])
    whole = np.asarray(run(params, x, key, jnp.arange(5)))
    np.testing.assert_allclose(run(params, x[order], key, jnp.asarray(order)), whole[order], rtol=1e-5, atol=1e-6)
    assert np.abs(run(params, x, jax.random.key(4), jnp.arange(5)) - whole).max() > 0.01


@pytest.mark.parametrize("name", ENCODERS)
def test_without_a_key_there_is_no_noise_and_jit_changes_nothing(name):
    params, run, x = started(name)
    plain = run(params, x)
    assert plain.shape == x.shape
    np.testing.assert_allclose(ENCODERS[name].apply(params, x), plain, rtol=1e-5, atol=1e-5)
    silent = jax.jit(ENCODERS[name].clone(rate=0.0).apply)(params, x, jax.random.key(0), jnp.arange(5))
    np.testing.assert_allclose(silent, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_half_precision_computes_in_it_and_stays_near(name):
    params, run, x = started(name)
    half = jax.jit(ENCODERS[name].clone(dtype=jnp.bfloat16).apply)(params, x)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), run(params, x), atol=0.1)


def test_transformer_is_the_block_written_in_plain_loops():
    params, run, x = started("fixed")
    p = randomised(params["params"])

    def pair(name, first, second):
        return p[name][first], p[name][second]

    kernels, biases = np.split(p["attend"]["kernel"], 3, axis=1), np.split(p["attend"]["bias"], 3)
    attend = list(zip(kernels, biases, strict=True))
    expected = oracles.dkph_block(
        np.asarray(x) + oracles.dkph_positions(7, 6)[None],
        pair("norm1", "scale", "bias"),
        [*attend, pair("attended", "kernel", "bias")],
        pair("norm2", "scale", "bias"),
        pair("widen", "kernel", "bias"),
        pair("narrow", "kernel", "bias"),
    )
    np.testing.assert_allclose(run({"params": p}, x), expected, rtol=2e-5, atol=2e-5)


def test_trained_positions_are_parameters_for_each_frame():
    assert started("trained")[0]["params"]["position"].shape == (7, 6)
    assert "position" not in started("fixed")[0]["params"]
    with pytest.raises(ValueError, match="position 'learned'"):
        jax.eval_shape(Transformer(6, 10, position="learned").init, jax.random.key(0), frames())


def test_sinusoids():
    np.testing.assert_allclose(sinusoids(25, 16), oracles.dkph_positions(25, 16), atol=1e-6)


def test_attention_of_equal_keys_is_even():
    weights = attention_weights(frames(), jnp.ones((5, 7, 6)))
    np.testing.assert_allclose(weights, np.full((5, 7, 7), 1 / 7), rtol=1e-6)


def test_layer_norm_by_the_unbiased_deviation():
    x, norm = frames(shape=(2, 3, 5)), LayerNorm(unbiased=True)
    params = randomised(norm.init(jax.random.key(0), x)["params"])
    expected = oracles.dkph_layer_norm(x, *(np.asarray(params[name]) for name in ("scale", "bias")))
    np.testing.assert_allclose(norm.apply({"params": params}, x), expected, rtol=1e-5, atol=1e-5)


def test_standard_layer_norm_is_the_usual_one():
    x, norm = frames(shape=(2, 3, 5)), LayerNorm()
    params = randomised(norm.init(jax.random.key(0), x))
    np.testing.assert_allclose(norm.apply(params, x), nn.LayerNorm().apply(params, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unbiased", [False, True])
def test_layer_norm_gradient_also_where_all_entries_are_equal(unbiased):
    norm, x = LayerNorm(unbiased), frames(shape=(3, 5))
    params = randomised(norm.init(jax.random.key(0), x))
    run = jax.jit(lambda x: (norm.apply(params, x) ** 2).sum())
    jax.test_util.check_grads(run, (x,), order=1, modes=["rev"], rtol=1e-2, atol=1e-2)
    assert np.isfinite(jax.grad(run)(jnp.ones((3, 5)))).all()


def test_convolution_is_one_over_frames_with_padding():
    params, run, x = started("convolution")
    params = randomised(params["params"])["convolve"]
    kernel = params["kernel"].reshape(3, 6, 6)  # [neighbour, in, out]
    expected = jax.lax.conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    expected = jax.nn.relu(expected + params["bias"][None, None])
    np.testing.assert_allclose(run({"params": {"convolve": params}}, x), expected, rtol=1e-5, atol=1e-5)


def test_lstm_is_its_definition_frame_by_frame():
    params, run, x = started("lstm")
    p, x = randomised(params["params"]), np.asarray(x)
    hidden, cell, expected = np.zeros((5, 6)), np.zeros((5, 6)), []
    for t in range(7):
        gates = x[:, t] @ p["input"]["kernel"] + p["input"]["bias"] + hidden @ p["recurrent"]
        enter, forget, leave = (1 / (1 + np.exp(-gates[:, 6 * g : 6 * g + 6])) for g in (0, 1, 3))
        cell = forget * cell + enter * np.tanh(gates[:, 12:18])
        hidden = leave * np.tanh(cell)
        expected.append(hidden)
    np.testing.assert_allclose(run({"params": p}, x), np.stack(expected, 1), rtol=1e-5, atol=1e-5)


def test_products_of_rows_are_those_of_tokens():
    x, kernel = jax.random.normal(jax.random.key(0), (3, 5, 4, 2)), jax.random.normal(jax.random.key(1), (4, 2, 6, 7))

    def loss(product):
        return lambda x, kernel: jnp.sin(product(x, kernel)).sum()

    ours = loss(lambda x, kernel: by_rows(x, kernel, (((2, 3), (0, 1)), ((), ()))))
    plain = loss(lambda x, kernel: jnp.einsum("btij,ijkl->btkl", x, kernel))
    found, expected = (jax.value_and_grad(each, (0, 1))(x, kernel) for each in (ours, plain))
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-5)


def test_products_of_rows_take_the_last_axes_with_the_first_alone():
    with pytest.raises(AssertionError):
        by_rows(jnp.ones((3, 4)), jnp.ones((5, 4)), (((1,), (1,)), ((), ())))
