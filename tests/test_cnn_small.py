"""The network that trains from pixels: patches, convolution and halving against loops, its whole, its price."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jhash.encoders import cnn_small
from jhash.encoders.cnn_small import CnnSmall, convolve, halved, patches
from jhash.encoders.generation import tokens

RANDOM = np.random.default_rng(0)


def layer_norm(x, layer):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * layer["scale"] + layer["bias"]


def naive_patches(x, sizes):
    """One patch after another, zeros where it reaches beyond the item."""
    grid = [-(-side // size) for side, size in zip(x.shape[1:-1], sizes, strict=True)]
    found = np.zeros((len(x), *grid, *sizes, x.shape[-1]))
    for place in itertools.product(*map(range, grid)):
        cut = x[(slice(None), *(slice(at * size, (at + 1) * size) for at, size in zip(place, sizes, strict=True)))]
        found[(slice(None), *place, *(slice(side) for side in cut.shape[1:-1]))] = cut
    return found.reshape(len(x), *grid, -1)


def naive_convolve(x, kernel):
    """One place of the kernel after another."""
    reach = [(side // 2, side // 2) for side in kernel.shape[:-2]]
    padded, found = np.pad(x, [(0, 0), *reach, (0, 0)]), np.zeros((*x.shape[:-1], kernel.shape[-1]))
    for place in itertools.product(*map(range, kernel.shape[:-2])):
        window = tuple(slice(at, at + side) for at, side in zip(place, x.shape[1:-1], strict=True))
        found += padded[(slice(None), *window)] @ kernel[place]
    return found


def naive_halved(x):
    """Means of blocks of two; of what is there, at an odd end."""
    found = np.zeros((len(x), *(-(-side // 2) for side in x.shape[1:-1]), x.shape[-1]))
    for place in itertools.product(*map(range, found.shape[1:-1])):
        block = x[(slice(None), *(slice(2 * at, 2 * at + 2) for at in place))]
        found[(slice(None), *place)] = block.mean(tuple(range(1, x.ndim - 1)))
    return found


@pytest.mark.parametrize(
    ("shape", "sizes"), [((2, 6, 8, 3), (3, 2)), ((2, 7, 9, 3), (3, 2)), ((1, 5, 4, 6, 2), (2, 3, 3))]
)
def test_patches_are_cut_one_after_another(shape, sizes):
    x = RANDOM.normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(patches(jnp.asarray(x), sizes), naive_patches(x, sizes).astype(np.float32))


@pytest.mark.parametrize(("shape", "kernel"), [((2, 5, 4, 3), (3, 3, 3, 6)), ((2, 3, 5, 4, 2), (3, 3, 3, 2, 4))])
def test_a_convolution_is_a_sum_over_the_kernel_s_places(shape, kernel):
    x, kernel = (RANDOM.normal(size=sides).astype(np.float32) for sides in (shape, kernel))
    np.testing.assert_allclose(convolve(jnp.asarray(x), kernel), naive_convolve(x, kernel), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (2, 5, 3, 3), (2, 1, 5, 3), (2, 1, 3, 4, 2)])
def test_halving_takes_the_mean_of_what_is_there(shape):
    x = RANDOM.normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(halved(jnp.asarray(x)), naive_halved(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 40, 26, 3), (2, 5, 20, 17, 2)])
def test_the_network_is_its_layers_by_loops(shape, monkeypatch):
    monkeypatch.setattr(cnn_small, "WIDTHS", {2: (4, 6, 5), 3: (4, 6, 5)})
    items = RANDOM.integers(0, 256, shape, np.uint8)
    module = CnnSmall(features=7)
    params = jax.tree.map(
        lambda leaf: RANDOM.normal(size=leaf.shape).astype(np.float32),
        jax.eval_shape(module.init, jax.random.key(0), items)["params"],
    )
    grid = {4: 20, 5: 8}[len(shape)]
    side = -(-max(shape[-3:-1]) // grid)
    sizes = (*(-(-frames // grid) for frames in shape[1:-3]), side, side)
    x = naive_patches(items / 127.5 - 1, sizes) @ params["patches"]["kernel"] + params["patches"]["bias"]
    for number in range(2):
        x = naive_convolve(x, params[f"conv{number}"])
        x = naive_halved(np.maximum(layer_norm(x, params[f"norm{number}"]), 0))
    x = x.reshape(len(x), -1) @ params["dense"]["kernel"] + params["dense"]["bias"]
    expected = np.maximum(layer_norm(x, params["norm"]), 0)
    assert expected.shape == (2, 7) and (expected > 0).any()
    np.testing.assert_allclose(jax.jit(module.apply)({"params": params}, items), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "most"),
    [((80, 60, 3), 38), ((80, 80, 3), 49), ((8, 32, 32, 1), 41), ((16, 64, 64, 3), 53), ((224, 224, 3), 57)],
)
def test_an_item_costs_few_operations(shape, most):
    """MFLOP, as XLA counts them."""
    module, items = CnnSmall(), jax.ShapeDtypeStruct((1, *shape), np.uint8)
    variables = jax.eval_shape(module.init, jax.random.key(0), items)
    counted = jax.jit(module.apply).lower(variables, items).cost_analysis()["flops"] / 1e6
    assert most - 3 < counted < most


@pytest.mark.parametrize("sides", [(8, 8), (9, 12), (5, 5), (2, 7), (80, 60)])
def test_a_picture_is_sixteen_tokens_in_the_order_of_reading(sides):
    x = RANDOM.normal(size=(2, *sides, 3)).astype(np.float32)
    sizes = [-(-side // 4) for side in sides]
    x_padded = np.pad(x, [(0, 0), *((0, 4 * size - side) for size, side in zip(sizes, sides, strict=True)), (0, 0)])
    expected = naive_patches(x_padded, sizes).reshape(2, 16, -1).astype(np.float32)
    np.testing.assert_array_equal(tokens(jnp.asarray(x)), expected)


def test_a_vector_is_sixteen_tokens_with_zeros_at_the_end():
    found = np.asarray(tokens(jnp.arange(1.0, 41.0).reshape(2, 20)))
    assert found.shape == (2, 16, 2)
    np.testing.assert_array_equal(found.reshape(2, -1), np.pad(np.arange(1.0, 41.0).reshape(2, 20), ((0, 0), (0, 12))))
