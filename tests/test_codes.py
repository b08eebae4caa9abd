"""Signs and their straight-through gradients, packing, and the shared dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jhash import codes
from jhash.encoders.dropout import dropout

POINTS = jnp.array([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0])


def pulled_back(function, gradient):
    return jax.vjp(function, POINTS)[1](jnp.asarray(gradient))[0]


@pytest.mark.parametrize("function", [codes.sign, codes.sign_clipped, codes.sign_tanh])
def test_sign_of_zero_is_plus_one(function):
    expected = np.array([-1, -1, -1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(function(POINTS), expected)
    np.testing.assert_array_equal(jax.jit(function)(POINTS), expected)


def test_sign_window_sends_zero_to_minus_one():
    np.testing.assert_array_equal(codes.sign_window(POINTS), [-1, -1, -1, -1, -1, 1, 1, 1])


def test_sign_has_no_gradient():
    np.testing.assert_array_equal(pulled_back(codes.sign, np.ones(8, np.float32)), 0)


def test_sign_clipped_clips_the_values_of_the_gradient():
    gradient = np.array([-3, -1, -0.5, 0, 0.5, 1, 1.5, 9], np.float32)
    np.testing.assert_array_equal(pulled_back(codes.sign_clipped, gradient), np.clip(gradient, -1, 1))


def test_sign_tanh_has_the_gradient_of_tanh():
    gradient = np.linspace(-3, 3, 8, dtype=np.float32)
    expected = gradient * (1 - np.tanh(np.asarray(POINTS, np.float64)) ** 2)
    np.testing.assert_allclose(pulled_back(codes.sign_tanh, gradient), expected, rtol=1e-5)


def test_sign_window_passes_the_gradient_on_a_half_open_interval():
    np.testing.assert_array_equal(pulled_back(codes.sign_window, np.full(8, 5, np.float32)), [0, 0, 5, 5, 5, 5, 5, 0])


@pytest.mark.parametrize("function", [codes.sign, codes.sign_clipped, codes.sign_tanh, codes.sign_window])
def test_signs_keep_the_dtype(function):
    assert function(POINTS.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("bits", [1, 7, 8, 16, 31, 32, 33, 64])
@pytest.mark.parametrize("word", [jnp.uint8, jnp.uint32])
def test_unpack_undoes_pack(bits, word):
    signs = np.where(np.random.default_rng(bits).random((5, bits)) < 0.5, -1, 1).astype(np.int8)
    words = codes.pack(signs, word)
    assert words.dtype == word
    assert words.shape == (5, -(-bits // (8 * jnp.dtype(word).itemsize)))
    np.testing.assert_array_equal(codes.unpack(words, bits), signs)


def test_packed_bytes_are_those_of_numpy():
    code = np.random.default_rng(0).random((3, 21)) < 0.5
    np.testing.assert_array_equal(codes.pack(code), np.packbits(code, axis=-1, bitorder="little"))


def test_bool_and_signs_pack_alike():
    code = np.random.default_rng(1).random((4, 40)) < 0.5
    np.testing.assert_array_equal(codes.pack(code), codes.pack(np.where(code, 1.0, -1.0)))


def test_xor_of_words_counts_differing_bits():
    first, second = np.where(np.random.default_rng(2).random((2, 45)) < 0.5, -1, 1)
    for word in (jnp.uint8, jnp.uint32):
        differing = jax.lax.population_count(codes.pack(first, word) ^ codes.pack(second, word)).sum()
        assert differing == (first != second).sum()


def test_pack_refuses_other_words():
    with pytest.raises(ValueError, match="uint8 or uint32"):
        codes.pack(np.ones((2, 8)), jnp.int32)


def test_unpack_refuses_more_bits_than_there_are():
    with pytest.raises(ValueError, match="can't hold codes of 9 bits"):
        codes.unpack(jnp.zeros((2, 1), jnp.uint8), 9)


KEY = jax.random.key(0)


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01, 1e-4, 0.75])
def test_dropout_keeps_the_mean_and_the_rate(rate):
    dropped = np.asarray(dropout(jnp.ones((64, 33, 61)), KEY, jnp.arange(64), rate))
    n = dropped.size
    zero = (dropped == 0).mean()
    error = 5 * np.sqrt(rate * (1 - rate) / n)  # five standard errors, beside the 2 % of the coarser random numbers
    assert abs(zero - rate) < error + 0.02 * min(rate, 1 - rate)
    assert abs(dropped.mean() - 1) < error / (1 - rate)
    assert len(np.unique(dropped)) == 2


def test_dropout_of_a_row_depends_on_its_place_alone():
    x = jnp.arange(1.0, 8 * 5 * 7 + 1).reshape(8, 5, 7)
    whole = dropout(x, KEY, jnp.arange(8), 0.5)
    np.testing.assert_array_equal(dropout(x[2:4], KEY, jnp.arange(2, 4), 0.5), whole[2:4])
    np.testing.assert_array_equal(jax.jit(dropout, static_argnums=3)(x, KEY, jnp.arange(8), 0.5), whole)


def test_dropout_differs_between_rows_and_keys():
    x = jnp.ones((2, 64))
    first = dropout(x, KEY, jnp.arange(2), 0.5)
    assert (first[0] != first[1]).any()
    assert (dropout(x, jax.random.key(1), jnp.arange(2), 0.5) != first).any()


def test_dropout_neighbours_are_independent():
    kept = np.asarray(dropout(jnp.ones((200, 64)), KEY, jnp.arange(200), 0.5)) > 0
    correlation = np.corrcoef(kept.T) - np.eye(64)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(200)


def test_dropout_passes_the_gradient_it_kept():
    x = jnp.ones((3, 40))
    np.testing.assert_array_equal(
        jax.grad(lambda x: dropout(x, KEY, jnp.arange(3), 0.1).sum())(x), dropout(x, KEY, jnp.arange(3), 0.1)
    )


def test_dropout_of_rate_zero_is_the_identity():
    x = jnp.ones((3, 4))
    assert dropout(x, KEY, jnp.arange(3), 0.0) is x


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_dropout_of_a_rate_near_either_end_stays_finite(rate):
    assert np.isfinite(dropout(jnp.ones((3, 4)), KEY, jnp.arange(3), rate)).all()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_dropout_refuses_what_is_no_rate(rate):
    with pytest.raises(ValueError, match="dropout rate"):
        dropout(jnp.ones((3, 4)), KEY, jnp.arange(3), rate)
